/* Short runs of what sessions are made of, and what follows for the cost of each part. */
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "lib/mem.h"
#include "lib/tcp.h"
#include "nn/secure/cost.h"
#include "nn/secure/poly.h"
#include "nn/secure/unit.h"
#include "ot/lookup.h"

/* ---- clocks ------------------------------------------------------------------------------------------------------------------ */

enum { RUNS = 5, DISTURBED = 1 << 19 /* words */ };

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double own_time(void)
{
    return seconds(CLOCK_THREAD_CPUTIME_ID);
}

static double median(double *x, size_t count)
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

/* In a session other work lies between two calls for one layer: what it leaves in the caches. */
static void disturb(uint64_t *memory)
{
    for (size_t i = 0; i < DISTURBED; i += 8) {
        memory[i]++;
    }
}

/* Of one call. */
static int time_call(double *out, int (*call)(void *ctx), void *ctx)
{
    double x[RUNS];
    uint64_t *memory = sotto_calloc(DISTURBED, sizeof *memory);
    int status = memory == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure with") : call(ctx); /* what is cold but once */
    for (size_t run = 0; run < RUNS && status == SOTTO_OK; run++) {
        disturb(memory);
        const double start = own_time();
        status = call(ctx);
        x[run] = own_time() - start;
    }
    sotto_free(memory);
    *out = status == SOTTO_OK ? median(x, RUNS) : 0.0;
    return status;
}

static double positive(double x)
{
    return x > 0.0 ? x : 0.0;
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
        const double start = own_time();
        status = sotto_linear_weights_new(&l->weights, &l->plan, l->p, w, NULL);
        t[WEIGHTS] = own_time() - start;
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
    const double product = positive((many[ANSWER] - MANY_IN * x - MANY_OUT * y) / (MANY_IN * MANY_OUT - MANY_IN - MANY_OUT));
    of[SOTTO_HE_REQUEST] = many[ASK] / MANY_IN;
    of[SOTTO_HE_LOAD] = positive(x - product);
    of[SOTTO_HE_PRODUCT] = product;
    of[SOTTO_HE_MADE] = many[WEIGHTS] / (MANY_IN * MANY_OUT);
    of[SOTTO_HE_ANSWER] = positive(y - product);
    of[SOTTO_HE_FLOOD] = positive((wide[ANSWER] - x - (SOME - 1) * y) / (SOME * (double)(n - 1)));
    of[SOTTO_HE_OPEN] = out[OPEN] / (TILES * SOME);
    of[SOTTO_HE_WANTED] = positive((wide[OPEN] / SOME - of[SOTTO_HE_OPEN]) / (n - 1));
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

/* ---- a channel in memory ----------------------------------------------------------------------------------------------------------- */

/* Bytes on their way to one side; without bound, so that one thread can play both sides in turn. */
typedef struct queue {
    pthread_mutex_t lock;
    pthread_cond_t more;
    uint8_t *data;
    size_t head, len, cap;
    int closed;
} queue;

typedef struct queue_pair {
    queue to[2];
    struct queue_end {
        queue *in, *out;
    } end[2];
    sotto_chan chan[2];
} queue_pair;

static int queue_room(queue *q, size_t len)
{
    if (q->cap - q->head - q->len >= len) {
        return SOTTO_OK;
    }
    const size_t cap = 2 * (q->len + len);
    uint8_t *data = sotto_calloc(cap, 1);
    if (data == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a message");
    }
    if (q->len > 0) {
        memcpy(data, q->data + q->head, q->len);
    }
    sotto_free(q->data);
    q->data = data;
    q->head = 0;
    q->cap = cap;
    return SOTTO_OK;
}

static int queue_send(void *ctx, const void *data, size_t len)
{
    queue *q = ((struct queue_end *)ctx)->out;
    pthread_mutex_lock(&q->lock);
    const int status = queue_room(q, len);
    if (status == SOTTO_OK) {
        memcpy(q->data + q->head + q->len, data, len);
        q->len += len;
        pthread_cond_signal(&q->more);
    }
    pthread_mutex_unlock(&q->lock);
    return status;
}

static int queue_recv(void *ctx, void *data, size_t len)
{
    queue *q = ((struct queue_end *)ctx)->in;
    int status = SOTTO_OK;
    pthread_mutex_lock(&q->lock);
    while (q->len < len && !q->closed) {
        pthread_cond_wait(&q->more, &q->lock);
    }
    if (q->len >= len) {
        memcpy(data, q->data + q->head, len);
        q->len -= len;
        q->head = q->len > 0 ? q->head + len : 0;
    } else {
        status = sotto_fail(SOTTO_ERR_CLOSED, "the other side of a measurement has failed");
    }
    pthread_mutex_unlock(&q->lock);
    return status;
}

static int queue_flush(void *ctx)
{
    (void)ctx;
    return SOTTO_OK;
}

/* Wakes the peer. */
static void queue_close(void *ctx)
{
    queue *q = ((struct queue_end *)ctx)->out;
    pthread_mutex_lock(&q->lock);
    q->closed = 1;
    pthread_cond_signal(&q->more);
    pthread_mutex_unlock(&q->lock);
}

static void pair_init(queue_pair *p)
{
    static const sotto_chan_ops ops = {queue_send, queue_recv, queue_flush, queue_close};
    memset(p, 0, sizeof *p);
    for (size_t i = 0; i < 2; i++) {
        pthread_mutex_init(&p->to[i].lock, NULL);
        pthread_cond_init(&p->to[i].more, NULL);
        p->end[i] = (struct queue_end){&p->to[i], &p->to[1 - i]};
        p->chan[i] = (sotto_chan){.ops = &ops, .ctx = &p->end[i]};
    }
}

static void pair_free(queue_pair *p)
{
    for (size_t i = 0; i < 2; i++) {
        pthread_mutex_destroy(&p->to[i].lock);
        pthread_cond_destroy(&p->to[i].more);
        sotto_free(p->to[i].data);
    }
}

/* ---- oblivious transfer ------------------------------------------------------------------------------------------------------------- */

typedef struct ot_pair {
    queue_pair queues;
    sotto_ot_kind kind;
    sotto_ot *ot[2];
    int status[2];
} ot_pair;

static void ot_half(ot_pair *p, int party)
{
    const sotto_rng rng = sotto_rng_system();
    static const sotto_block salt = {{1, 2}};
    p->status[party] = sotto_ot_new(&p->ot[party], &p->queues.chan[party], &rng, salt, party, p->kind);
    if (p->status[party] != SOTTO_OK) {
        queue_close(p->queues.chan[party].ctx);
    }
}

static void *ot_other(void *ctx)
{
    ot_half(ctx, 1);
    return NULL;
}

static int ot_pair_new(ot_pair *p, sotto_ot_kind kind)
{
    pthread_t other;
    memset(p, 0, sizeof *p);
    pair_init(&p->queues);
    p->kind = kind;
    if (pthread_create(&other, NULL, ot_other, p) != 0) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no thread for the second party of a measurement");
    }
    ot_half(p, 0);
    pthread_join(other, NULL);
    return p->status[0] != SOTTO_OK || p->status[1] != SOTTO_OK ? sotto_fail(SOTTO_ERR_IO, "base OTs failed in a measurement") : SOTTO_OK;
}

static void ot_pair_free(ot_pair *p)
{
    sotto_ot_free(p->ot[0]);
    sotto_ot_free(p->ot[1]);
    pair_free(&p->queues);
}

enum { OTS = 16384 };

/* Party 1 sends OTs, party 0 receives. */
static int measure_ot(sotto_costs *c, sotto_ot_kind kind)
{
    ot_pair p;
    double sent[RUNS + 1], received[RUNS + 1];
    uint64_t first;
    uint8_t *choices = sotto_calloc(OTS / 8, 1);
    sotto_block *key = sotto_calloc(OTS, sizeof *key);
    int status = ot_pair_new(&p, kind);
    if (status == SOTTO_OK && (choices == NULL || key == NULL)) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure OTs");
    }
    for (size_t run = 0; run <= RUNS && status == SOTTO_OK; run++) {
        double start = own_time();
        status = sotto_ot_recv_random(p.ot[0], &p.queues.chan[0], choices, OTS, key, &first);
        received[run] = own_time() - start;
        start = own_time();
        status = status == SOTTO_OK ? sotto_ot_send_random(p.ot[1], &p.queues.chan[1], OTS, key, &first) : status;
        sent[run] = own_time() - start;
    }
    if (status == SOTTO_OK) {
        c->ot_send[kind] = median(sent + 1, RUNS) / OTS;
        c->ot_recv[kind] = median(received + 1, RUNS) / OTS;
    }
    ot_pair_free(&p);
    sotto_free(choices);
    sotto_free(key);
    return status;
}

/* ---- units ---------------------------------------------------------------------------------------------------------------------------- */

/* Enough that what is kept of them from prepare to infer leaves the nearest caches, as it does in a session. */
enum { UNITS = 8192, RING = 24, DROPPED = 7, WIDTH = 23, PATCH = 4, PATCH_BITS = 2 };

typedef struct unit_run {
    ot_pair *ot;
    sotto_unit_plan plan;
    sotto_unit_client *client;
    sotto_unit_server *server;
    uint64_t *words; /* shares, those of the results behind them */
    uint8_t *choice, *offer, *reply;
    int64_t bound[1];
} unit_run;

/* The calls of a session, in order; both sides in this thread. */
static int unit_work(unit_run *r, sotto_work work)
{
    const sotto_rng rng = sotto_rng_system();
    sotto_ot *const *ot = r->ot->ot;
    sotto_chan *chan = r->ot->queues.chan;
    int status = SOTTO_OK;
    switch (work) {
    case SOTTO_WORK_ASK:
        return sotto_unit_client_new(&r->client, &r->plan, ot[0], &chan[0]);
    case SOTTO_WORK_CORRECT:
        status = sotto_unit_server_new(&r->server, &r->plan, ot[1], &chan[1], &rng, r->bound);
        return status == SOTTO_OK ? sotto_unit_server_correct(r->server, ot[1], &chan[1]) : status;
    case SOTTO_WORK_CHOOSE:
        return sotto_unit_client_choose(r->client, ot[0], &chan[0], r->words, r->choice);
    case SOTTO_WORK_READY:
        status = sotto_unit_server_ready(r->server, ot[1], &chan[1], r->choice);
        return status == SOTTO_OK && r->plan.bytes.table > 0 ? sotto_chan_recv(&chan[0], sotto_unit_client_tables(r->client), r->plan.bytes.table) : status;
    case SOTTO_WORK_OFFER:
        return sotto_unit_server_offer(r->server, r->offer, r->words);
    case SOTTO_WORK_REPLY:
        return sotto_unit_client_reply(r->client, r->reply, r->offer, r->words + r->plan.words);
    case SOTTO_WORK_FINISH:
        return sotto_unit_server_finish(r->server, r->words + r->plan.words, r->reply);
    case SOTTO_WORKS:
        break;
    }
    return SOTTO_OK;
}

/* Seconds of all UNITS. */
static int time_units(sotto_unit_cost *out, ot_pair *ot, const sotto_step_info *step, sotto_sign_provider provider)
{
    unit_run r = {.ot = ot, .bound = {INT64_C(6) << DROPPED}};
    uint64_t *memory = sotto_calloc(DISTURBED, sizeof *memory);
    double x[SOTTO_WORKS][RUNS + 1];
    int status = sotto_unit_plan_new(&r.plan, step, provider, ot->kind);
    r.words = sotto_calloc(2 * UNITS, sizeof *r.words);
    r.choice = sotto_calloc(r.plan.bytes.choice, 1);
    r.offer = sotto_calloc(r.plan.bytes.offer, 1);
    r.reply = sotto_calloc(r.plan.bytes.reply, 1);
    if (status == SOTTO_OK && (memory == NULL || r.words == NULL || r.choice == NULL || r.offer == NULL || r.reply == NULL)) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure units");
    }
    for (size_t run = 0; run <= RUNS && status == SOTTO_OK; run++) {
        for (size_t work = 0; work < SOTTO_WORKS && status == SOTTO_OK; work++) {
            disturb(memory);
            const double start = own_time();
            status = unit_work(&r, (sotto_work)work);
            x[work][run] = own_time() - start;
        }
        sotto_unit_client_free(r.client);
        sotto_unit_server_free(r.server);
        r.client = NULL;
        r.server = NULL;
    }
    for (size_t work = 0; work < SOTTO_WORKS && status == SOTTO_OK; work++) {
        out->of[work] = median(x[work] + 1, RUNS);
    }
    sotto_unit_plan_free(&r.plan);
    sotto_free(memory);
    sotto_free(r.words);
    sotto_free(r.choice);
    sotto_free(r.offer);
    sotto_free(r.reply);
    return status;
}

/* Of one unit: with `decisions` signs of u bits, or none. */
static int measure_unit(sotto_unit_cost *out, ot_pair *ot, sotto_sign_provider provider, unsigned decisions, unsigned u, unsigned l_next)
{
    const sotto_step_info step = {.op = SOTTO_STEP_UNIT, .shape = {1, 1, UNITS}, .words = UNITS, .units = UNITS, .truncation = {RING, DROPPED, l_next},
                                  .sign = decisions > 0, .clip = decisions == 2, .decisions = decisions * UNITS, .sign_window = {WIDTH, WIDTH - u}};
    const int status = time_units(out, ot, &step, provider);
    for (size_t i = 0; i < SOTTO_WORKS; i++) {
        out->of[i] /= UNITS;
    }
    return status;
}

/* A patch costs one unit and so much for each further pixel. */
static int measure_pixel(sotto_costs *c, ot_pair *ot, unsigned u)
{
    sotto_step_info step = {.op = SOTTO_STEP_UNIT, .shape = {1, 1, UNITS}, .words = UNITS, .units = UNITS, .truncation = {RING, DROPPED, RING}, .sign = 1,
                            .decisions = UNITS / PATCH, .sign_window = {WIDTH - PATCH_BITS, WIDTH - PATCH_BITS - u}};
    sotto_unit_cost t = {{0}};
    step.decision = sotto_calloc(UNITS, sizeof *step.decision);
    step.patch_bits = sotto_calloc(step.decisions, 1);
    int status = step.decision == NULL || step.patch_bits == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure patches") : SOTTO_OK;
    for (size_t i = 0; i < UNITS && status == SOTTO_OK; i++) {
        step.decision[i] = (uint32_t)(i / PATCH);
        step.patch_bits[i / PATCH] = PATCH_BITS;
    }
    if (status == SOTTO_OK) {
        status = time_units(&t, ot, &step, SOTTO_SIGN_LOOKUP);
    }
    for (size_t i = 0; i < SOTTO_WORKS; i++) {
        c->pixel.of[i] = positive((t.of[i] / (UNITS / PATCH) - c->unit[SOTTO_SIGN_LOOKUP][0][u].of[i]) / (PATCH - 1));
    }
    sotto_free(step.decision);
    sotto_free(step.patch_bits);
    return status;
}

/* Tables double with u and are measured one by one; a circuit has as many gates as u - 1, and two widths say it all. */
static int measure_units(sotto_costs *c, ot_pair *ot)
{
    enum { SHORT = 4, LONG = 12, TYPICAL = 6 };
    int status = SOTTO_OK;
    for (unsigned second = 0; second < 2; second++) {
        for (unsigned u = 2; u <= SOTTO_LOOKUP_U_MAX && status == SOTTO_OK; u++) {
            status = measure_unit(&c->unit[SOTTO_SIGN_LOOKUP][second][u], ot, SOTTO_SIGN_LOOKUP, second + 1, u, RING);
        }
        sotto_unit_cost at_short = {{0}}, at_long = {{0}};
        if (status == SOTTO_OK) {
            status = measure_unit(&at_short, ot, SOTTO_SIGN_CIRCUIT, second + 1, SHORT, RING);
        }
        if (status == SOTTO_OK) {
            status = measure_unit(&at_long, ot, SOTTO_SIGN_CIRCUIT, second + 1, LONG, RING);
        }
        for (unsigned u = 2; u <= SOTTO_COST_U_MAX; u++) {
            for (size_t i = 0; i < SOTTO_WORKS; i++) {
                const double slope = (at_long.of[i] - at_short.of[i]) / (LONG - SHORT);
                c->unit[SOTTO_SIGN_CIRCUIT][second][u].of[i] = positive(at_short.of[i] + slope * ((double)u - SHORT));
            }
        }
    }
    if (status == SOTTO_OK) {
        status = measure_pixel(c, ot, TYPICAL);
    }
    for (unsigned widens = 0; widens < 2 && status == SOTTO_OK; widens++) {
        status = measure_unit(&c->passed[widens], ot, SOTTO_SIGN_LOOKUP, 0, TYPICAL, widens ? RING : RING - DROPPED);
    }
    return status;
}

/* ---- polynomials ------------------------------------------------------------------------------------------------------------------------- */

enum { POLY_CHANNELS = 4, POLY_SIDE = 16, POLY_WORDS = POLY_CHANNELS * POLY_SIDE * POLY_SIDE, POLY_RING = 32, POLY_BITS = 12 };

typedef struct poly_run {
    ot_pair *ot;
    sotto_poly_plan plan;
    sotto_poly_client *client;
    sotto_poly_server *server;
    uint64_t *words; /* shares, then those of the results */
    int64_t *coefficients;
    uint8_t *choice, *offer;
} poly_run;

static int poly_work(poly_run *r, sotto_work work)
{
    sotto_ot *const *ot = r->ot->ot;
    sotto_chan *chan = r->ot->queues.chan;
    int status = SOTTO_OK;
    switch (work) {
    case SOTTO_WORK_ASK:
        return sotto_poly_client_new(&r->client, &r->plan, ot[0], &chan[0], r->words);
    case SOTTO_WORK_CORRECT:
        status = sotto_poly_server_new(&r->server, &r->plan, ot[1], &chan[1], r->coefficients);
        return status == SOTTO_OK ? sotto_poly_server_correct(r->server, ot[1], &chan[1]) : status;
    case SOTTO_WORK_CHOOSE:
        return sotto_poly_client_choose(r->client, ot[0], &chan[0], r->choice);
    case SOTTO_WORK_READY:
        return sotto_poly_server_ready(r->server, r->choice);
    case SOTTO_WORK_OFFER:
        return sotto_poly_server_offer(r->server, r->offer, r->words + POLY_WORDS, r->words);
    case SOTTO_WORK_REPLY:
        return sotto_poly_client_open(r->client, r->words + POLY_WORDS, r->offer);
    case SOTTO_WORK_FINISH:
    case SOTTO_WORKS:
        break;
    }
    return SOTTO_OK;
}

static int measure_poly(sotto_unit_cost *out, ot_pair *ot)
{
    uint8_t degree[POLY_CHANNELS] = {2, 2, 2, 2};
    const sotto_step_info step = {.op = SOTTO_STEP_POLY, .shape = {POLY_CHANNELS, POLY_SIDE, POLY_SIDE}, .words = POLY_WORDS, .l = POLY_RING, .degree = degree,
                                  .poly_bits = POLY_BITS};
    poly_run r = {.ot = ot};
    double x[SOTTO_WORKS][RUNS + 1];
    int status = sotto_poly_plan_new(&r.plan, &step, ot->kind);
    r.words = sotto_calloc(2 * POLY_WORDS, sizeof *r.words);
    r.coefficients = sotto_calloc(POLY_CHANNELS * SOTTO_POLY_TERMS, sizeof *r.coefficients);
    r.choice = sotto_calloc(r.plan.bytes.choice, 1);
    r.offer = sotto_calloc(r.plan.bytes.offer, 1);
    if (status == SOTTO_OK && (r.words == NULL || r.coefficients == NULL || r.choice == NULL || r.offer == NULL)) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure polynomials");
    }
    for (size_t run = 0; run <= RUNS && status == SOTTO_OK; run++) {
        for (size_t work = 0; work < SOTTO_WORKS && status == SOTTO_OK; work++) {
            const double start = own_time();
            status = poly_work(&r, (sotto_work)work);
            x[work][run] = own_time() - start;
        }
        sotto_poly_client_free(r.client);
        sotto_poly_server_free(r.server);
        r.client = NULL;
        r.server = NULL;
    }
    for (size_t work = 0; work < SOTTO_WORKS && status == SOTTO_OK; work++) {
        out->of[work] = median(x[work] + 1, RUNS) / (double)r.plan.section[0].client_ots;
    }
    sotto_poly_plan_free(&r.plan);
    sotto_free(r.words);
    sotto_free(r.coefficients);
    sotto_free(r.choice);
    sotto_free(r.offer);
    return status;
}

/* ---- in the clear ---------------------------------------------------------------------------------------------------------------------- */

enum { WORDS = 65536 };

typedef struct clear {
    sotto_linear_shape shape;
    int32_t *weights;
    uint64_t *x, *y;
    sotto_rng rng;
} clear;

static int call_apply(void *ctx)
{
    const clear *c = ctx;
    return sotto_linear_infer(c->y, &c->shape, RING, c->weights, c->x, NULL);
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
    const double start = own_time();
    for (size_t i = 0; i < CHUNKS && w->status == SOTTO_OK; i++) {
        w->status = move_chunk(&w->chan, 0);
    }
    w->received = own_time() - start;
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
    const double own = own_time();
    for (size_t i = 0; i < CHUNKS && status == SOTTO_OK; i++) {
        status = move_chunk(chan, 1);
    }
    status = status == SOTTO_OK ? sotto_chan_flush(chan) : status;
    c->sent = (own_time() - own) / CHUNK / CHUNKS;
    status = status == SOTTO_OK ? sotto_chan_recv(chan, &ping, 1) : status; /* all has arrived */
    c->byte = (seconds(CLOCK_MONOTONIC) - wall) / CHUNK / CHUNKS;
    for (size_t i = 0; i < PINGS && status == SOTTO_OK; i++) {
        wall = seconds(CLOCK_MONOTONIC);
        status = sotto_chan_send(chan, &ping, 1);
        status = status == SOTTO_OK ? sotto_chan_recv(chan, &ping, 1) : status;
        trip[i] = seconds(CLOCK_MONOTONIC) - wall;
    }
    c->round_trip = median(trip, PINGS);
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
    int status = SOTTO_OK;
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
        status = measure_ot(c, (sotto_ot_kind)kind);
        if (progress != NULL) {
            progress(ctx, ++done, total);
        }
    }
    if (status == SOTTO_OK) {
        ot_pair ot;
        status = ot_pair_new(&ot, SOTTO_COST_KIND);
        status = status == SOTTO_OK ? measure_units(c, &ot) : status;
        status = status == SOTTO_OK ? measure_poly(&c->poly, &ot) : status;
        ot_pair_free(&ot);
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
