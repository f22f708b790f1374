/* The same for what lies between linear layers: OTs, units, polynomials. Both parties in one thread, over a channel in memory. */
#include <pthread.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/plan/cost_internal.h"
#include "nn/secure/label.h"
#include "nn/secure/poly.h"
#include "nn/secure/unit.h"
#include "ot/lookup.h"

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
int sotto_costs_measure_ot(sotto_costs *c, sotto_ot_kind kind)
{
    ot_pair p;
    double sent[SOTTO_COST_RUNS + 1], received[SOTTO_COST_RUNS + 1];
    uint64_t first;
    uint8_t *choices = sotto_calloc(OTS / 8, 1);
    sotto_block *key = sotto_calloc(OTS, sizeof *key);
    int status = ot_pair_new(&p, kind);
    if (status == SOTTO_OK && (choices == NULL || key == NULL)) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure OTs");
    }
    for (size_t run = 0; run <= SOTTO_COST_RUNS && status == SOTTO_OK; run++) {
        double start = sotto_cost_own_time();
        status = sotto_ot_recv_random(p.ot[0], &p.queues.chan[0], choices, OTS, key, &first);
        received[run] = sotto_cost_own_time() - start;
        start = sotto_cost_own_time();
        status = status == SOTTO_OK ? sotto_ot_send_random(p.ot[1], &p.queues.chan[1], OTS, key, &first) : status;
        sent[run] = sotto_cost_own_time() - start;
    }
    if (status == SOTTO_OK) {
        c->ot_send[sotto_cost_ot(kind)] = sotto_cost_median(sent + 1, SOTTO_COST_RUNS) / OTS;
        c->ot_recv[sotto_cost_ot(kind)] = sotto_cost_median(received + 1, SOTTO_COST_RUNS) / OTS;
    }
    ot_pair_free(&p);
    sotto_free(choices);
    sotto_free(key);
    return status;
}

/* Both parties make their stock; seconds of either. */
static int time_stock(double seconds[2], ot_pair *p, const sotto_ot_stock *stock)
{
    int status = SOTTO_OK;
    const unsigned turns = 2 * sotto_ot_stock_exchanges(stock) + 1;
    seconds[0] = seconds[1] = 0.0;
    for (unsigned turn = 0; turn < turns && status == SOTTO_OK; turn++) {
        for (unsigned i = 0; i < 2 && status == SOTTO_OK; i++) {
            const unsigned party = i == 0 ? turn % 2 : 1 - turn % 2; /* who says comes first */
            sotto_chan *chan = &p->queues.chan[party];
            const double start = sotto_cost_own_time();
            status = turn == 0 ? sotto_ot_stock_begin(p->ot[party], stock) : SOTTO_OK;
            if (status == SOTTO_OK) {
                status = i == 0 ? sotto_ot_stock_say(p->ot[party], chan) : sotto_ot_stock_hear(p->ot[party], chan);
            }
            seconds[party] += sotto_cost_own_time() - start;
        }
    }
    return status;
}

/* The same as sotto_costs_measure_ot for the calls in halves, and the stock that they draw on. */
int sotto_costs_measure_ferret(sotto_costs *c)
{
    ot_pair p;
    double sent[SOTTO_COST_RUNS + 1], received[SOTTO_COST_RUNS + 1], made[2];
    uint64_t first;
    const size_t bytes = sotto_ot_answer_bytes(SOTTO_OT_FERRET, OTS), trees = (SOTTO_COST_RUNS + 1) * bytes / sotto_ot_answer_bytes(SOTTO_OT_FERRET, 1);
    const sotto_ot_stock stock = {{trees, trees}};
    uint8_t *answer = sotto_calloc(bytes, 1), *choices = sotto_calloc(OTS / 8, 1);
    sotto_block *key = sotto_calloc(OTS, sizeof *key);
    int status = ot_pair_new(&p, SOTTO_OT_FERRET);
    if (status == SOTTO_OK && (answer == NULL || choices == NULL || key == NULL)) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure OTs");
    }
    if (status == SOTTO_OK) {
        status = time_stock(made, &p, &stock);
    }
    for (size_t run = 0; run <= SOTTO_COST_RUNS && status == SOTTO_OK; run++) {
        const double begin = sotto_cost_own_time();
        status = sotto_ot_ask(p.ot[0], &p.queues.chan[0], NULL, OTS);
        const double asked = sotto_cost_own_time();
        status = status == SOTTO_OK ? sotto_ot_give(p.ot[1], &p.queues.chan[1], 1, OTS, key, &first, answer) : status;
        const double given = sotto_cost_own_time();
        status = status == SOTTO_OK ? sotto_ot_take(p.ot[0], answer, choices, OTS, key, &first) : status;
        received[run] = asked - begin + sotto_cost_own_time() - given;
        sent[run] = given - asked;
    }
    if (status == SOTTO_OK) {
        c->ot_send[sotto_cost_ot(SOTTO_OT_FERRET)] = sotto_cost_median(sent + 1, SOTTO_COST_RUNS) / OTS;
        c->ot_recv[sotto_cost_ot(SOTTO_OT_FERRET)] = sotto_cost_median(received + 1, SOTTO_COST_RUNS) / OTS;
        c->tree[0] = made[0] / (double)sotto_ot_stock_trees(&stock);
        c->tree[1] = made[1] / (double)sotto_ot_stock_trees(&stock);
    }
    ot_pair_free(&p);
    sotto_free(answer);
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
        return status == SOTTO_OK ? sotto_unit_client_take(r->client, &chan[0], NULL) : status;
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
    uint64_t *memory = sotto_calloc(SOTTO_COST_DISTURBED, sizeof *memory);
    double x[SOTTO_WORKS][SOTTO_COST_RUNS + 1];
    int status = sotto_unit_plan_new(&r.plan, step, provider, ot->kind);
    r.words = sotto_calloc(2 * UNITS, sizeof *r.words);
    r.choice = sotto_calloc(r.plan.bytes.choice, 1);
    r.offer = sotto_calloc(r.plan.bytes.offer, 1);
    r.reply = sotto_calloc(r.plan.bytes.reply, 1);
    if (status == SOTTO_OK && (memory == NULL || r.words == NULL || r.choice == NULL || r.offer == NULL || r.reply == NULL)) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure units");
    }
    for (size_t run = 0; run <= SOTTO_COST_RUNS && status == SOTTO_OK; run++) {
        for (size_t work = 0; work < SOTTO_WORKS && status == SOTTO_OK; work++) {
            sotto_cost_disturb(memory);
            const double start = sotto_cost_own_time();
            status = unit_work(&r, (sotto_work)work);
            x[work][run] = sotto_cost_own_time() - start;
        }
        sotto_unit_client_free(r.client);
        sotto_unit_server_free(r.server);
        r.client = NULL;
        r.server = NULL;
    }
    for (size_t work = 0; work < SOTTO_WORKS && status == SOTTO_OK; work++) {
        out->of[work] = sotto_cost_median(x[work] + 1, SOTTO_COST_RUNS);
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
        c->pixel.of[i] = sotto_cost_positive((t.of[i] / (UNITS / PATCH) - c->unit[SOTTO_SIGN_LOOKUP][0][u].of[i]) / (PATCH - 1));
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
        for (int circuit = SOTTO_SIGN_CIRCUIT; circuit <= SOTTO_SIGN_CIRCUIT3; circuit++) {
            sotto_unit_cost at_short = {{0}}, at_long = {{0}};
            if (status == SOTTO_OK) {
                status = measure_unit(&at_short, ot, (sotto_sign_provider)circuit, second + 1, SHORT, RING);
            }
            if (status == SOTTO_OK) {
                status = measure_unit(&at_long, ot, (sotto_sign_provider)circuit, second + 1, LONG, RING);
            }
            for (unsigned u = 2; u <= SOTTO_COST_U_MAX; u++) {
                for (size_t i = 0; i < SOTTO_WORKS; i++) {
                    const double slope = (at_long.of[i] - at_short.of[i]) / (LONG - SHORT);
                    c->unit[circuit][second][u].of[i] = sotto_cost_positive(at_short.of[i] + slope * ((double)u - SHORT));
                }
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
        return sotto_poly_server_ready(r->server, ot[1], r->choice);
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
    double x[SOTTO_WORKS][SOTTO_COST_RUNS + 1];
    int status = sotto_poly_plan_new(&r.plan, &step, ot->kind);
    r.words = sotto_calloc(2 * POLY_WORDS, sizeof *r.words);
    r.coefficients = sotto_calloc(POLY_CHANNELS * SOTTO_POLY_TERMS, sizeof *r.coefficients);
    r.choice = sotto_calloc(r.plan.bytes.choice, 1);
    r.offer = sotto_calloc(r.plan.bytes.offer, 1);
    if (status == SOTTO_OK && (r.words == NULL || r.coefficients == NULL || r.choice == NULL || r.offer == NULL)) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure polynomials");
    }
    for (size_t run = 0; run <= SOTTO_COST_RUNS && status == SOTTO_OK; run++) {
        for (size_t work = 0; work < SOTTO_WORKS && status == SOTTO_OK; work++) {
            const double start = sotto_cost_own_time();
            status = poly_work(&r, (sotto_work)work);
            x[work][run] = sotto_cost_own_time() - start;
        }
        sotto_poly_client_free(r.client);
        sotto_poly_server_free(r.server);
        r.client = NULL;
        r.server = NULL;
    }
    for (size_t work = 0; work < SOTTO_WORKS && status == SOTTO_OK; work++) {
        out->of[work] = sotto_cost_median(x[work] + 1, SOTTO_COST_RUNS) / (double)r.plan.section[0].client_ots;
    }
    sotto_poly_plan_free(&r.plan);
    sotto_free(r.words);
    sotto_free(r.coefficients);
    sotto_free(r.choice);
    sotto_free(r.offer);
    return status;
}

/* ---- the label alone --------------------------------------------------------------------------------------------------------------------- */

enum { LABEL_COUNT = 256, LABEL_BITS = 20 };

typedef struct label_run {
    ot_pair *ot;
    sotto_label_plan plan;
    sotto_label_client *client;
    sotto_label_server *server;
    uint64_t *words;
    uint8_t *choice, *offer;
} label_run;

static int label_work(label_run *r, sotto_work work)
{
    const sotto_rng rng = sotto_rng_system();
    sotto_ot *const *ot = r->ot->ot;
    sotto_chan *chan = r->ot->queues.chan;
    size_t label;
    switch (work) {
    case SOTTO_WORK_ASK:
        return sotto_label_client_new(&r->client, &r->plan, ot[0], &chan[0]);
    case SOTTO_WORK_CORRECT:
        return sotto_label_server_new(&r->server, &r->plan, ot[1], &chan[1], &rng);
    case SOTTO_WORK_CHOOSE:
        sotto_label_client_choose(r->client, r->words, r->choice);
        return SOTTO_OK;
    case SOTTO_WORK_READY:
        return sotto_label_server_ready(r->server, ot[1], sotto_label_client_tables(r->client), r->choice);
    case SOTTO_WORK_OFFER:
        return sotto_label_server_offer(r->server, r->offer, r->words);
    case SOTTO_WORK_REPLY:
        return sotto_label_client_open(r->client, &label, r->offer);
    case SOTTO_WORK_FINISH:
    case SOTTO_WORKS:
        break;
    }
    return SOTTO_OK;
}

static int measure_label(sotto_unit_cost *out, ot_pair *ot, sotto_garble_scheme scheme)
{
    label_run r = {.ot = ot};
    double x[SOTTO_WORKS][SOTTO_COST_RUNS + 1];
    int status = sotto_label_plan_new(&r.plan, LABEL_COUNT, LABEL_BITS, ot->kind, scheme);
    r.words = sotto_calloc(LABEL_COUNT, sizeof *r.words);
    r.choice = sotto_calloc(r.plan.bytes.choice, 1);
    r.offer = sotto_calloc(r.plan.bytes.offer, 1);
    if (status == SOTTO_OK && (r.words == NULL || r.choice == NULL || r.offer == NULL)) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure a label");
    }
    for (size_t run = 0; run <= SOTTO_COST_RUNS && status == SOTTO_OK; run++) {
        for (size_t work = 0; work < SOTTO_WORKS && status == SOTTO_OK; work++) {
            const double start = sotto_cost_own_time();
            status = label_work(&r, (sotto_work)work);
            x[work][run] = sotto_cost_own_time() - start;
        }
        sotto_label_client_free(r.client);
        sotto_label_server_free(r.server);
        r.client = NULL;
        r.server = NULL;
    }
    for (size_t work = 0; work < SOTTO_WORKS && status == SOTTO_OK; work++) {
        out->of[work] = sotto_cost_median(x[work] + 1, SOTTO_COST_RUNS) / (double)r.plan.client_ots;
    }
    sotto_label_plan_free(&r.plan);
    sotto_free(r.words);
    sotto_free(r.choice);
    sotto_free(r.offer);
    return status;
}

int sotto_costs_measure_units(sotto_costs *c)
{
    ot_pair ot;
    int status = ot_pair_new(&ot, SOTTO_COST_KIND);
    if (status == SOTTO_OK) {
        status = measure_units(c, &ot);
    }
    for (int scheme = SOTTO_HALF_GATES; scheme <= SOTTO_THREE_HALVES && status == SOTTO_OK; scheme++) {
        status = measure_label(&c->label[scheme == SOTTO_THREE_HALVES], &ot, (sotto_garble_scheme)scheme);
    }
    if (status == SOTTO_OK) {
        status = measure_poly(&c->poly, &ot);
    }
    ot_pair_free(&ot);
    return status;
}
