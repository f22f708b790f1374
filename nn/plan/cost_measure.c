/* Short runs of what sessions are made of, and what follows for the cost of each part: linear layers, work in the clear, loopback. */
#include <pthread.h>
#include <stdatomic.h>
#include <sodium.h>
#include <string.h>
#include <time.h>

#include "lib/mem.h"
#include "lib/prg.h"
#include "lib/tcp.h"
#include "nn/plan/cost_internal.h"

/* ---- clocks ------------------------------------------------------------------------------------------------------------------ */

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double sotto_cost_own_time(void)
{
    return seconds(CLOCK_THREAD_CPUTIME_ID);
}

double sotto_cost_median(double *x, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        for (size_t k = i; k > 0 && x[k - 1] > x[k]; k--) {
            const double swap = x[k];
            x[k] = x[k - 1];
            x[k - 1] = swap;
        }
    }
    return x[count / 2];
}

void sotto_cost_disturb(uint64_t *memory)
{
    for (size_t i = 0; i < SOTTO_COST_DISTURBED; i += 8) {
        memory[i]++;
    }
}

/* Of one call. */
static int time_call(double *out, int (*call)(void *ctx), void *ctx)
{
    double x[SOTTO_COST_RUNS];
    uint64_t *memory = sotto_calloc(SOTTO_COST_DISTURBED, sizeof *memory);
    int status = memory == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure with") : call(ctx); /* what is cold but once */
    for (size_t run = 0; run < SOTTO_COST_RUNS && status == SOTTO_OK; run++) {
        sotto_cost_disturb(memory);
        const double start = sotto_cost_own_time();
        status = call(ctx);
        x[run] = sotto_cost_own_time() - start;
    }
    sotto_free(memory);
    *out = status == SOTTO_OK ? sotto_cost_median(x, SOTTO_COST_RUNS) : 0.0;
    return status;
}

/* ---- linear layers ------------------------------------------------------------------------------------------------------------- */

typedef struct layer {
    const sotto_bfv_params *p;
    sotto_linear_plan plan;
    sotto_linear_weights *weights;
    const sotto_bfv_secret_key *sk;
    const sotto_bfv_public_key *pk;
    uint64_t *in, *out;
    uint8_t *request, *answer;
    sotto_rng rng;
} layer;

static int call_request(void *ctx)
{
    layer *l = ctx;
    return sotto_linear_request(l->request, &l->plan, l->p, l->sk, l->in, &l->rng, NULL);
}

static int call_answer(void *ctx)
{
    layer *l = ctx;
    return sotto_linear_answer(l->answer, &l->plan, l->p, l->pk, l->weights, l->request, l->out, &l->rng, NULL);
}

static int call_open(void *ctx)
{
    layer *l = ctx;
    return sotto_linear_open(l->out, &l->plan, l->p, l->sk, l->answer, NULL);
}

enum { ASK, ANSWER, OPEN, WEIGHTS, LAYER_TIMES };

static void layer_close(layer *l)
{
    sotto_linear_weights_free(l->weights, l->p);
    sotto_free(l->in);
    sotto_free(l->out);
    sotto_free(l->request);
    sotto_free(l->answer);
    l->weights = NULL;
    l->in = l->out = NULL;
    l->request = l->answer = NULL;
}

/* What is sent and got; the plan is there. */
static int layer_buffers(layer *l)
{
    l->in = sotto_calloc(l->plan.in_words, sizeof *l->in);
    l->out = sotto_calloc(l->plan.out_words, sizeof *l->out);
    l->request = sotto_calloc(l->plan.request_bytes, 1);
    l->answer = sotto_calloc(l->plan.answer_bytes, 1);
    return l->in != NULL && l->out != NULL && l->request != NULL && l->answer != NULL ? SOTTO_OK
                                                                                     : sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure a linear layer");
}

/* A convolution whose tiles hold one plane, one filter and rows x cols of its h x w outputs. Kernels have one row and `taps` columns; with a single tap the products are by
 * constants, which are not fetched from memory and few layers have. */
typedef struct layer_size {
    uint32_t planes, filters, h, w, rows, cols, taps;
} layer_size;

/* *made: seconds that its weights took. */
static int layer_open(layer *l, double *made, layer_size s)
{
    const sotto_linear_shape shape = {s.planes, s.h, s.w + s.taps - 1, s.filters, 1, s.taps, 1, 1, 0, 0, 0, 0, 1, 8};
    const size_t count = (size_t)s.planes * s.filters * s.taps;
    int32_t *w = sotto_calloc(count, sizeof *w);
    for (size_t i = 0; w != NULL && i < count; i++) {
        w[i] = (int32_t)(i * 2654435761u % 255) - 127;
    }
    int status = sotto_linear_plan_tile(&l->plan, l->p, &shape, 0x1p18, (sotto_linear_tile){1, 1, s.rows, s.cols});
    if (status == SOTTO_OK) {
        status = w == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure a linear layer") : layer_buffers(l);
    }
    if (status == SOTTO_OK) {
        const double start = sotto_cost_own_time();
        status = sotto_linear_weights_new(&l->weights, &l->plan, l->p, w, NULL);
        *made = sotto_cost_own_time() - start;
    }
    sotto_free(w);
    return status;
}

static int time_layer(double t[LAYER_TIMES], layer *l, layer_size s)
{
    int (*const call[])(void *) = {call_request, call_answer, call_open};
    int status = layer_open(l, &t[WEIGHTS], s);
    for (size_t i = 0; i < 3 && status == SOTTO_OK; i++) {
        status = time_call(&t[i], call[i], l);
    }
    layer_close(l);
    return status;
}

/* With L, S, P the time of a load, an answer and a product, a tile of a planes and b filters takes a L + b S + a b P. Three small layers of 2 x 2 tiles give x = L + P and
 * y = S + P; one with more weights than caches hold gives z = a L + b S + a b P, so P = (z - a x - b y) / (a b - a - b); one whose answers want all coefficients
 * gives the cost of each. */
static int fit_layer(double of[SOTTO_HE_WORKS], layer *l)
{
    enum { TILES = 4, SOME = 8, MANY_IN = 32, MANY_OUT = 16 };
    const uint32_t n = sotto_bfv_n(l->p), side = n / 64;
    double one[LAYER_TIMES] = {0}, in[LAYER_TIMES] = {0}, out[LAYER_TIMES] = {0}, many[LAYER_TIMES] = {0}, wide[LAYER_TIMES] = {0};
    const struct {
        double *t;
        layer_size size;
    } layers[] = {{one, {1, 1, 2, 2, 1, 1, 2}},
                  {in, {SOME, 1, 2, 2, 1, 1, 2}},
                  {out, {1, SOME, 2, 2, 1, 1, 2}},
                  {many, {MANY_IN, MANY_OUT, 1, 1, 1, 1, 2}},
                  {wide, {1, SOME, 64, side, 64, side, 1}}};
    int status = SOTTO_OK;
    for (size_t i = 0; i < sizeof layers / sizeof *layers && status == SOTTO_OK; i++) {
        status = time_layer(layers[i].t, l, layers[i].size);
    }
    const double x = (in[ANSWER] - one[ANSWER]) / (TILES * (SOME - 1)), y = (out[ANSWER] - one[ANSWER]) / (TILES * (SOME - 1));
    const double product = sotto_cost_positive((many[ANSWER] - MANY_IN * x - MANY_OUT * y) / (MANY_IN * MANY_OUT - MANY_IN - MANY_OUT));
    of[SOTTO_HE_REQUEST] = many[ASK] / MANY_IN;
    of[SOTTO_HE_LOAD] = sotto_cost_positive(x - product);
    of[SOTTO_HE_PRODUCT] = product;
    of[SOTTO_HE_MADE] = many[WEIGHTS] / (MANY_IN * MANY_OUT);
    of[SOTTO_HE_ANSWER] = sotto_cost_positive(y - product);
    of[SOTTO_HE_FLOOD] = sotto_cost_positive((wide[ANSWER] - x - (SOME - 1) * y) / (SOME * (double)(n - 1)));
    of[SOTTO_HE_OPEN] = out[OPEN] / (TILES * SOME);
    of[SOTTO_HE_WANTED] = sotto_cost_positive((wide[OPEN] / SOME - of[SOTTO_HE_OPEN]) / (n - 1));
    return status;
}

/* Runs `use` with keys of a set. */
static int with_set(const sotto_he_set *set, int (*use)(void *ctx, layer *l), void *ctx)
{
    const sotto_rng rng = sotto_rng_system();
    sotto_bfv_params *p = NULL;
    sotto_bfv_secret_key sk = {0};
    sotto_bfv_public_key pk = {0};
    int status = sotto_bfv_params_from_bits(&p, set->n, set->bits, set->primes, UINT64_C(1) << 20);
    if (status == SOTTO_OK) {
        status = sotto_bfv_secret_key_new(&sk, p, &rng);
    }
    if (status == SOTTO_OK) {
        status = sotto_bfv_public_key_new(&pk, p, &sk, &rng);
    }
    if (status == SOTTO_OK) {
        layer l = {.p = p, .sk = &sk, .pk = &pk, .rng = rng};
        status = use(ctx, &l);
    }
    sotto_bfv_secret_key_free(&sk);
    sotto_bfv_public_key_free(&pk);
    sotto_bfv_params_free(p);
    return status;
}

static int measure_set(void *ctx, layer *l)
{
    sotto_he_cost *c = ctx;
    return fit_layer(c->of, l);
}

/* Name of the kernels that a set runs on. */
static int kernels_of(const char **name, const sotto_he_set *set)
{
    sotto_bfv_params *p = NULL;
    const int status = sotto_bfv_params_from_bits(&p, set->n, set->bits, set->primes, UINT64_C(1) << 20);
    *name = status == SOTTO_OK ? sotto_ntt_tier(sotto_rns_ntt(sotto_bfv_rns(p), 0)) : NULL;
    sotto_bfv_params_free(p);
    return status;
}

/* Sets of as many primes and one degree that run on the same kernels cost the same; what is measured between them is chance. Choosing by it would be choosing what was
 * measured too low. */
static int level_sets(sotto_costs *c)
{
    const char *kernels[SOTTO_COST_SETS_MAX];
    double of[SOTTO_COST_SETS_MAX][SOTTO_HE_WORKS];
    for (size_t i = 0; i < c->he_count; i++) {
        const int status = kernels_of(&kernels[i], &c->he[i].set);
        if (status != SOTTO_OK) {
            return status;
        }
    }
    for (size_t i = 0; i < c->he_count; i++) {
        for (size_t work = 0; work < SOTTO_HE_WORKS; work++) {
            double x[SOTTO_COST_SETS_MAX];
            size_t count = 0;
            for (size_t k = 0; k < c->he_count; k++) {
                if (c->he[k].set.n == c->he[i].set.n && c->he[k].set.primes == c->he[i].set.primes && strcmp(kernels[k], kernels[i]) == 0) {
                    x[count++] = c->he[k].of[work];
                }
            }
            of[i][work] = sotto_cost_median(x, count);
        }
    }
    for (size_t i = 0; i < c->he_count; i++) {
        memcpy(c->he[i].of, of[i], sizeof of[i]);
    }
    return SOTTO_OK;
}

/* ---- two parties on one machine -------------------------------------------------------------------------------------------------- */

enum { ANSWERS = 8, COMPANY_PLANES = 8, COMPANY_FILTERS = 8 };

/* What the other party does meanwhile. */
typedef struct companion {
    layer l; /* shares its keys and weights with the layer that is timed */
    atomic_int stop;
    int status;
} companion;

static int call_answers(void *ctx)
{
    int status = SOTTO_OK;
    for (size_t i = 0; i < ANSWERS && status == SOTTO_OK; i++) {
        status = call_answer(ctx);
    }
    return status;
}

static void *accompany(void *ctx)
{
    companion *c = ctx;
    while (c->status == SOTTO_OK && !atomic_load(&c->stop)) {
        c->status = call_answer(&c->l);
    }
    return NULL;
}

static int time_in_company(double *out, layer *l)
{
    companion other = {.l = {.p = l->p, .plan = l->plan, .weights = l->weights, .sk = l->sk, .pk = l->pk, .rng = l->rng}};
    pthread_t thread;
    int status = layer_buffers(&other.l);
    if (status == SOTTO_OK) {
        status = call_request(&other.l);
    }
    if (status == SOTTO_OK && pthread_create(&thread, NULL, accompany, &other) != 0) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no thread for the second party of a measurement");
    } else if (status == SOTTO_OK) {
        status = time_call(out, call_answers, l);
        atomic_store(&other.stop, 1);
        pthread_join(thread, NULL);
        status = status == SOTTO_OK && other.status != SOTTO_OK ? sotto_fail(other.status, "the second party of a measurement failed") : status;
    }
    other.l.weights = NULL;
    layer_close(&other.l);
    return status;
}

static int measure_company(void *ctx, layer *l)
{
    double *company = ctx, made, alone = 0.0, both = 0.0;
    int status = layer_open(l, &made, (layer_size){COMPANY_PLANES, COMPANY_FILTERS, 1, 1, 1, 1, 2});
    if (status == SOTTO_OK) {
        status = call_request(l);
    }
    if (status == SOTTO_OK) {
        status = time_call(&alone, call_answers, l);
    }
    if (status == SOTTO_OK) {
        status = time_in_company(&both, l);
    }
    layer_close(l);
    *company = alone > 0.0 && both > alone ? both / alone : 1.0;
    return status;
}

/* ---- in the clear ---------------------------------------------------------------------------------------------------------------------- */

enum { WORDS = 65536, APPLY_RING = 24 };

typedef struct clear {
    sotto_linear_shape shape;
    int32_t *weights;
    uint64_t *x, *y;
    sotto_rng rng;
} clear;

static int call_apply(void *ctx)
{
    const clear *c = ctx;
    return sotto_linear_infer(c->y, &c->shape, APPLY_RING, c->weights, c->x, NULL);
}

static int call_words(void *ctx)
{
    const clear *c = ctx;
    const sotto_step_info step = {.words = WORDS, .shift = {1, 0}};
    uint64_t *own = sotto_calloc(WORDS, sizeof *own);
    if (own == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure sums");
    }
    sotto_step_add(&step, own, c->x, c->y);
    sotto_free_secret(own, WORDS, sizeof *own);
    return SOTTO_OK;
}

static int call_draw(void *ctx)
{
    const clear *c = ctx;
    return sotto_prg_expand(&c->rng, c->x, WORDS * sizeof *c->x);
}

static int measure_clear(sotto_costs *c)
{
    static const sotto_linear_shape shapes[SOTTO_APPLY_KINDS] = {[SOTTO_APPLY_DENSE] = {1024, 1, 1, 128, 1, 1, 1, 1, 0, 0, 0, 0, 1, 8},
                                                                 [SOTTO_APPLY_POINT] = {32, 16, 16, 32, 1, 1, 1, 1, 0, 0, 0, 0, 1, 8},
                                                                 [SOTTO_APPLY_WINDOW] = {16, 16, 16, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 8}};
    clear k = {.weights = sotto_calloc(WORDS * 4, sizeof *k.weights), .x = sotto_calloc(WORDS, sizeof *k.x), .y = sotto_calloc(WORDS, sizeof *k.y),
               .rng = sotto_rng_system()};
    int status = k.weights == NULL || k.x == NULL || k.y == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure sums") : SOTTO_OK;
    if (status == SOTTO_OK) {
        status = time_call(&c->draw, call_draw, &k);
    }
    if (status == SOTTO_OK) {
        status = time_call(&c->word, call_words, &k);
    }
    c->draw /= WORDS;
    c->word /= WORDS;
    for (size_t i = 0; i < SOTTO_APPLY_KINDS && status == SOTTO_OK; i++) {
        const sotto_linear_shape *s = &shapes[i];
        k.shape = *s;
        status = time_call(&c->apply[i], call_apply, &k);
        c->apply[i] /= (double)s->in_c * s->out_c * s->in_h * s->in_w * s->kernel_h * s->kernel_w;
    }
    sotto_free(k.weights);
    sotto_free(k.x);
    sotto_free(k.y);
    return status;
}

/* ---- loopback ---------------------------------------------------------------------------------------------------------------------------- */

enum { CHUNK = 1 << 20, CHUNKS = 64, PINGS = 40, WAIT_MS = 60000, PIECE = 1 << 16, STILL_MS = 30 };
static const double work_between = 3e-4; /* seconds that a side works between two messages of an inference, while the other one sleeps */

typedef struct wire {
    sotto_chan chan;
    uint16_t port;
    double received;    /* processor time of the receiving side */
    double window;
    atomic_size_t sent; /* bytes that the connection has taken from fill() */
    int status;
} wire;

static void work_a_while(void)
{
    const double start = sotto_cost_own_time();
    while (sotto_cost_own_time() - start < work_between) {
    }
}

/* A message in memory of its own, as sessions have it. */
static int move_chunk(sotto_chan *chan, int sends)
{
    uint8_t *chunk = sotto_calloc(CHUNK, 1);
    if (chunk == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure loopback");
    }
    if (sends) {
        memset(chunk, 1, CHUNK);
    }
    const int status = sends ? sotto_chan_send(chan, chunk, CHUNK) : sotto_chan_recv(chan, chunk, CHUNK);
    sotto_free(chunk);
    return status;
}

/* Sends `most` bytes, the first of them while the peer does not read. */
static int fill(wire *w, sotto_chan *chan, size_t most)
{
    uint8_t *piece = sotto_calloc(PIECE, 1);
    int status = piece == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure loopback") : SOTTO_OK;
    for (size_t i = 0; i < most / PIECE && status == SOTTO_OK; i++) {
        status = sotto_chan_send(chan, piece, PIECE);
        status = status == SOTTO_OK ? sotto_chan_flush(chan) : status;
        atomic_fetch_add(&w->sent, PIECE);
    }
    sotto_free(piece);
    return status;
}

/* What the connection holds when this side, which has read much before, does not read. */
static int measure_window(wire *w)
{
    const struct timespec wait = {.tv_nsec = STILL_MS * 1000000L};
    int status = SOTTO_OK;
    size_t before;
    do {
        before = atomic_load(&w->sent);
        nanosleep(&wait, NULL);
    } while (atomic_load(&w->sent) != before);
    w->window = before < (size_t)CHUNK * CHUNKS ? (double)before : 0.0;
    for (size_t i = 0; i < CHUNKS && status == SOTTO_OK; i++) {
        status = move_chunk(&w->chan, 0);
    }
    return status;
}

/* The other side: takes all chunks, echoes, then lets the connection be filled. */
static void *wire_other(void *ctx)
{
    wire *w = ctx;
    uint8_t ping = 0;
    w->status = sotto_tcp_connect(&w->chan, "127.0.0.1", w->port, WAIT_MS);
    const double start = sotto_cost_own_time();
    for (size_t i = 0; i < CHUNKS && w->status == SOTTO_OK; i++) {
        w->status = move_chunk(&w->chan, 0);
    }
    w->received = sotto_cost_own_time() - start;
    for (size_t i = 0; i <= PINGS && w->status == SOTTO_OK; i++) {
        work_a_while();
        w->status = sotto_chan_send(&w->chan, &ping, 1);
        if (w->status == SOTTO_OK) {
            w->status = i < PINGS ? sotto_chan_recv(&w->chan, &ping, 1) : sotto_chan_flush(&w->chan);
        }
    }
    if (w->status == SOTTO_OK) {
        w->status = measure_window(w);
    }
    sotto_chan_close(&w->chan);
    return NULL;
}

static int wire_talk(sotto_costs *c, sotto_chan *chan, wire *w)
{
    uint8_t ping = 0;
    int status = SOTTO_OK;
    double trip[PINGS] = {0}, wall = seconds(CLOCK_MONOTONIC), own = sotto_cost_own_time();
    for (size_t i = 0; i < CHUNKS && status == SOTTO_OK; i++) {
        status = move_chunk(chan, 1);
    }
    status = status == SOTTO_OK ? sotto_chan_flush(chan) : status;
    c->sent = (sotto_cost_own_time() - own) / CHUNK / CHUNKS;
    status = status == SOTTO_OK ? sotto_chan_recv(chan, &ping, 1) : status; /* all has arrived */
    c->byte = (seconds(CLOCK_MONOTONIC) - wall) / CHUNK / CHUNKS;
    own = sotto_cost_own_time();
    for (size_t i = 0; i < PINGS && status == SOTTO_OK; i++) {
        work_a_while();
        wall = seconds(CLOCK_MONOTONIC);
        status = sotto_chan_send(chan, &ping, 1);
        status = status == SOTTO_OK ? sotto_chan_recv(chan, &ping, 1) : status;
        trip[i] = seconds(CLOCK_MONOTONIC) - wall - work_between;
    }
    c->message = sotto_cost_positive((sotto_cost_own_time() - own) / PINGS - work_between) / 2.0;
    c->round_trip = sotto_cost_positive(sotto_cost_median(trip, PINGS));
    return status == SOTTO_OK ? fill(w, chan, (size_t)CHUNK * CHUNKS) : status;
}

static int measure_wire(sotto_costs *c)
{
    sotto_tcp_listener *listener = NULL;
    sotto_chan chan = {0};
    wire other = {.port = 0};
    pthread_t thread;
    int status = sotto_tcp_listen(&listener, "127.0.0.1", 0);
    if (status == SOTTO_OK) {
        other.port = sotto_tcp_port(listener);
        if (pthread_create(&thread, NULL, wire_other, &other) != 0) {
            status = sotto_fail(SOTTO_ERR_MEMORY, "no thread to measure loopback");
        } else {
            status = sotto_tcp_accept(listener, &chan, WAIT_MS, NULL);
            status = status == SOTTO_OK ? wire_talk(c, &chan, &other) : status;
            sotto_chan_close(&chan);
            pthread_join(thread, NULL);
            status = status == SOTTO_OK && other.status != SOTTO_OK ? sotto_fail(SOTTO_ERR_IO, "loopback failed while it was measured") : status;
        }
    }
    c->received = other.received / CHUNK / CHUNKS;
    c->window = other.window;
    sotto_tcp_listener_free(listener);
    return status;
}

/* ---- all of it ----------------------------------------------------------------------------------------------------------------------------- */

typedef struct progress {
    void (*call)(void *ctx, size_t done, size_t total);
    void *ctx;
    size_t done, total;
} progress;

static void advance(progress *p)
{
    p->done++;
    if (p->call != NULL) {
        p->call(p->ctx, p->done, p->total);
    }
}

/* Everything once. */
static int measure_round(sotto_costs *c, progress *p)
{
    int status = SOTTO_OK;
    for (size_t i = 0; i < c->he_count && status == SOTTO_OK; i++) {
        status = with_set(&c->he[i].set, measure_set, &c->he[i]);
        advance(p);
    }
    for (int kind = SOTTO_OT_IKNP; kind <= SOTTO_OT_SOFTSPOKEN8 && status == SOTTO_OK; kind++) {
        status = sotto_costs_measure_ot(c, (sotto_ot_kind)kind);
        advance(p);
    }
    if (status == SOTTO_OK) {
        status = sotto_costs_measure_ferret(c);
        advance(p);
    }
    if (status == SOTTO_OK) {
        status = sotto_costs_measure_units(c);
        advance(p);
    }
    if (status == SOTTO_OK) {
        status = measure_clear(c);
    }
    if (status == SOTTO_OK) {
        status = with_set(&c->he[0].set, measure_company, &c->company);
    }
    if (status == SOTTO_OK) {
        status = measure_wire(c);
        advance(p);
    }
    return status;
}

int sotto_costs_measure(sotto_costs *c, void (*call)(void *ctx, size_t done, size_t total), void *ctx)
{
    size_t count;
    const sotto_he_set *sets = sotto_network_sets(&count);
    sotto_costs *rounds = sotto_calloc(SOTTO_COST_ROUNDS, sizeof *rounds);
    memset(c, 0, sizeof *c);
    count = count < SOTTO_COST_SETS_MAX ? count : SOTTO_COST_SETS_MAX;
    progress p = {call, ctx, 0, SOTTO_COST_ROUNDS * (count + SOTTO_OT_SOFTSPOKEN8 + 3)};
    int status = sodium_init() < 0 ? sotto_fail(SOTTO_ERR_UNSUPPORTED, "libsodium cannot start on this system")
                 : rounds == NULL  ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for the costs of a machine")
                                   : SOTTO_OK;
    for (size_t r = 0; r < SOTTO_COST_ROUNDS && status == SOTTO_OK; r++) {
        rounds[r].he_count = count;
        for (size_t i = 0; i < count; i++) {
            rounds[r].he[i].set = sets[i];
        }
        status = measure_round(&rounds[r], &p);
    }
    if (status == SOTTO_OK) {
        sotto_costs_median(rounds, SOTTO_COST_ROUNDS);
        status = level_sets(&rounds[0]);
    }
    if (status == SOTTO_OK) {
        *c = rounds[0];
        sotto_costs_machine(c->machine);
    }
    sotto_free(rounds);
    return status;
}
