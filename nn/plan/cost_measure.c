/* Short runs of what sessions are made of, and what follows for the cost of each part: linear layers, work in the clear, loopback. */
#include <pthread.h>
#include <sodium.h>
#include <string.h>
#include <time.h>

#include "lib/mem.h"
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

/* Times of a 1 x 1 convolution whose tiles hold one plane, one filter and rows x cols pixels each. */
static int time_layer(double t[LAYER_TIMES], layer *l, uint32_t planes, uint32_t filters, uint32_t side_h, uint32_t side_w, uint32_t rows, uint32_t cols)
{
    const sotto_linear_shape shape = {planes, side_h, side_w, filters, 1, 1, 1, 1, 0, 0, 0, 0, 1, 8};
    const size_t count = (size_t)planes * filters;
    int32_t *w = sotto_calloc(count, sizeof *w);
    for (size_t i = 0; w != NULL && i < count; i++) {
        w[i] = (int32_t)(i * 2654435761u % 255) - 127;
    }
    int status = sotto_linear_plan_tile(&l->plan, l->p, &shape, 0x1p18, (sotto_linear_tile){1, 1, rows, cols});
    l->in = sotto_calloc(l->plan.in_words, sizeof *l->in);
    l->out = sotto_calloc(l->plan.out_words, sizeof *l->out);
    l->request = sotto_calloc(l->plan.request_bytes, 1);
    l->answer = sotto_calloc(l->plan.answer_bytes, 1);
    if (status == SOTTO_OK && (w == NULL || l->in == NULL || l->out == NULL || l->request == NULL || l->answer == NULL)) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure a linear layer");
    }
    if (status == SOTTO_OK) {
        const double start = sotto_cost_own_time();
        status = sotto_linear_weights_new(&l->weights, &l->plan, l->p, w, NULL);
        t[WEIGHTS] = sotto_cost_own_time() - start;
    }
    int (*const call[])(void *) = {call_request, call_answer, call_open};
    for (size_t i = 0; i < 3 && status == SOTTO_OK; i++) {
        status = time_call(&t[i], call[i], l);
    }
    sotto_linear_weights_free(l->weights, l->p);
    l->weights = NULL;
    sotto_free(w);
    sotto_free(l->in);
    sotto_free(l->out);
    sotto_free(l->request);
    sotto_free(l->answer);
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
    int status = time_layer(one, l, 1, 1, 2, 2, 1, 1);
    if (status == SOTTO_OK) {
        status = time_layer(in, l, SOME, 1, 2, 2, 1, 1);
    }
    if (status == SOTTO_OK) {
        status = time_layer(out, l, 1, SOME, 2, 2, 1, 1);
    }
    if (status == SOTTO_OK) {
        status = time_layer(many, l, MANY_IN, MANY_OUT, 1, 1, 1, 1);
    }
    if (status == SOTTO_OK) {
        status = time_layer(wide, l, 1, SOME, 64, side, 64, side);
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

static int measure_set(sotto_he_cost *c)
{
    const sotto_rng rng = sotto_rng_system();
    sotto_bfv_params *p = NULL;
    sotto_bfv_secret_key sk = {0};
    sotto_bfv_public_key pk = {0};
    int status = sotto_bfv_params_from_bits(&p, c->set.n, c->set.bits, c->set.primes, UINT64_C(1) << 20);
    if (status == SOTTO_OK) {
        status = sotto_bfv_secret_key_new(&sk, p, &rng);
    }
    if (status == SOTTO_OK) {
        status = sotto_bfv_public_key_new(&pk, p, &sk, &rng);
    }
    if (status == SOTTO_OK) {
        layer l = {.p = p, .sk = &sk, .pk = &pk, .rng = rng};
        status = fit_layer(c->of, &l);
    }
    sotto_bfv_secret_key_free(&sk);
    sotto_bfv_public_key_free(&pk);
    sotto_bfv_params_free(p);
    return status;
}

/* Sets of as many primes and one degree that run on the same kernels cost the same; what is measured between them is chance, by which nobody should choose. */
static void level_sets(sotto_costs *c)
{
    const double alike = 1.25;
    const sotto_he_cost *level = c->he;
    double of[SOTTO_COST_SETS_MAX][SOTTO_HE_WORKS];
    for (size_t i = 0; i < c->he_count; i++) {
        double count = 0.0;
        memset(of[i], 0, sizeof of[i]);
        for (size_t k = 0; k < c->he_count; k++) {
            const double ratio = level[k].of[SOTTO_HE_ANSWER] / level[i].of[SOTTO_HE_ANSWER];
            if (level[k].set.n == level[i].set.n && level[k].set.primes == level[i].set.primes && ratio < alike && ratio > 1.0 / alike) {
                count += 1.0;
                for (size_t work = 0; work < SOTTO_HE_WORKS; work++) {
                    of[i][work] += level[k].of[work];
                }
            }
        }
        for (size_t work = 0; work < SOTTO_HE_WORKS; work++) {
            of[i][work] = count > 0.0 ? of[i][work] / count : level[i].of[work];
        }
    }
    for (size_t i = 0; i < c->he_count; i++) {
        memcpy(c->he[i].of, of[i], sizeof of[i]);
    }
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
    return sotto_rng_fill(&c->rng, c->x, WORDS * sizeof *c->x);
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

enum { CHUNK = 1 << 20, CHUNKS = 64, PINGS = 200, WAIT_MS = 60000 };

typedef struct wire {
    sotto_chan chan;
    uint16_t port;
    double received; /* processor time of the receiving side */
    int status;
} wire;

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

/* The other side: takes all chunks, then echoes. */
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
        w->status = sotto_chan_send(&w->chan, &ping, 1);
        if (w->status == SOTTO_OK) {
            w->status = i < PINGS ? sotto_chan_recv(&w->chan, &ping, 1) : sotto_chan_flush(&w->chan);
        }
    }
    sotto_chan_close(&w->chan);
    return NULL;
}

static int wire_talk(sotto_costs *c, sotto_chan *chan)
{
    uint8_t ping = 0;
    int status = SOTTO_OK;
    double trip[PINGS] = {0}, wall = seconds(CLOCK_MONOTONIC);
    const double own = sotto_cost_own_time();
    for (size_t i = 0; i < CHUNKS && status == SOTTO_OK; i++) {
        status = move_chunk(chan, 1);
    }
    status = status == SOTTO_OK ? sotto_chan_flush(chan) : status;
    c->sent = (sotto_cost_own_time() - own) / CHUNK / CHUNKS;
    status = status == SOTTO_OK ? sotto_chan_recv(chan, &ping, 1) : status; /* all has arrived */
    c->byte = (seconds(CLOCK_MONOTONIC) - wall) / CHUNK / CHUNKS;
    for (size_t i = 0; i < PINGS && status == SOTTO_OK; i++) {
        wall = seconds(CLOCK_MONOTONIC);
        status = sotto_chan_send(chan, &ping, 1);
        status = status == SOTTO_OK ? sotto_chan_recv(chan, &ping, 1) : status;
        trip[i] = seconds(CLOCK_MONOTONIC) - wall;
    }
    c->round_trip = sotto_cost_median(trip, PINGS);
    return status;
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
            status = status == SOTTO_OK ? wire_talk(c, &chan) : status;
            sotto_chan_close(&chan);
            pthread_join(thread, NULL);
            status = status == SOTTO_OK && other.status != SOTTO_OK ? sotto_fail(SOTTO_ERR_IO, "loopback failed while it was measured") : status;
        }
    }
    c->received = other.received / CHUNK / CHUNKS;
    sotto_tcp_listener_free(listener);
    return status;
}

/* ---- all of it ----------------------------------------------------------------------------------------------------------------------------- */

int sotto_costs_measure(sotto_costs *c, void (*progress)(void *ctx, size_t done, size_t total), void *ctx)
{
    size_t count, done = 0;
    const sotto_he_set *sets = sotto_network_sets(&count);
    const size_t total = count + SOTTO_OT_SOFTSPOKEN8 + 3;
    int status = sodium_init() < 0 ? sotto_fail(SOTTO_ERR_UNSUPPORTED, "libsodium cannot start on this system") : SOTTO_OK;
    memset(c, 0, sizeof *c);
    sotto_costs_machine(c->machine);
    c->he_count = count < SOTTO_COST_SETS_MAX ? count : SOTTO_COST_SETS_MAX;
    for (size_t i = 0; i < c->he_count && status == SOTTO_OK; i++) {
        c->he[i].set = sets[i];
        status = measure_set(&c->he[i]);
        if (progress != NULL) {
            progress(ctx, ++done, total);
        }
    }
    level_sets(c);
    for (int kind = SOTTO_OT_IKNP; kind <= SOTTO_OT_SOFTSPOKEN8 && status == SOTTO_OK; kind++) {
        status = sotto_costs_measure_ot(c, (sotto_ot_kind)kind);
        if (progress != NULL) {
            progress(ctx, ++done, total);
        }
    }
    if (status == SOTTO_OK) {
        status = sotto_costs_measure_units(c);
    }
    if (status == SOTTO_OK) {
        status = measure_clear(c);
    }
    if (status == SOTTO_OK) {
        status = measure_wire(c);
    }
    if (progress != NULL) {
        progress(ctx, total, total);
    }
    if (status != SOTTO_OK) {
        memset(c, 0, sizeof *c);
    }
    return status;
}
