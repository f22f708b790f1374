/* Groups ot, garble and relu: two processes where there are two parties. */
#include <string.h>

#include "apps/bench.h"
#include "garble/gadgets.h"
#include "garble/garbling.h"
#include "garble/library.h"
#include "lib/ct.h"
#include "lib/mem.h"
#include "nn/secure/unit.h"

/* Both parties of a row: party 0 measures, party 1 does its part whenever it is told to. */
typedef struct party_ctx {
    bench_pair pair;
    sotto_rng rng;
    sotto_ot *ot;
    size_t count;
    int (*act)(struct party_ctx *c);
    /* ot */
    uint8_t *choices;
    sotto_block *blocks; /* 4 * count */
    /* garble */
    sotto_circuit circuit;
    /* relu */
    sotto_unit_plan plan;
    sotto_unit_client *client;
    sotto_unit_server *server;
    uint64_t *words; /* 2 * count */
    uint8_t *choice, *offer, *reply;
} party_ctx;

static const int64_t bench_bounds[] = {1 << 16}; /* of clips, one channel */
static const sotto_block bench_salt = {{0x6f74746f73, 1}};

static int act(void *ctx)
{
    party_ctx *c = ctx;
    if (!bench_step(&c->pair)) {
        return sotto_fail(SOTTO_ERR_PEER, "the second party is gone");
    }
    return c->act(c);
}

/* Party 1's half of everything until party 0 ends it. */
static int follow(party_ctx *c)
{
    int status = SOTTO_OK;
    while (status == SOTTO_OK && bench_step(&c->pair)) {
        status = c->act(c);
    }
    return status;
}

/* The receiver of bytes tells the other side that it is done, so that a call ends when both are. */
static int done(party_ctx *c, int waits)
{
    uint8_t byte = 0;
    if (waits) {
        return sotto_chan_recv(&c->pair.chan, &byte, 1);
    }
    const int status = sotto_chan_send(&c->pair.chan, &byte, 1);
    return status == SOTTO_OK ? sotto_chan_flush(&c->pair.chan) : status;
}

/* ---- ot ----------------------------------------------------------------------------------------------------------------- */

static int base_ot(party_ctx *c)
{
    sotto_ot *ot = NULL;
    int status = sotto_ot_new(&ot, &c->pair.chan, &c->rng, bench_salt, c->pair.party, SOTTO_OT_IKNP);
    sotto_ot_free(ot);
    return status == SOTTO_OK ? done(c, c->pair.party == 0) : status;
}

/* Party 0 receives. random: choices of the extension's own. */
static int extend(party_ctx *c, int random)
{
    sotto_chan *chan = &c->pair.chan;
    uint64_t first = 0;
    int status;
    if (c->pair.party == 0) {
        status = random ? sotto_ot_recv_random(c->ot, chan, c->choices, c->count, c->blocks, &first)
                        : sotto_ot_recv(c->ot, chan, c->choices, c->count, c->blocks, &first);
    } else {
        status = random ? sotto_ot_send_random(c->ot, chan, c->count, c->blocks, &first) : sotto_ot_send(c->ot, chan, c->count, c->blocks, &first);
    }
    return status == SOTTO_OK ? done(c, c->pair.party == 0) : status;
}

static int cot(party_ctx *c)
{
    return extend(c, 0);
}

static int random_cot(party_ctx *c)
{
    return extend(c, 1);
}

static int rot(party_ctx *c)
{
    uint64_t first = 0;
    const int status = c->pair.party == 0 ? sotto_ot_recv_keys(c->ot, &c->pair.chan, c->choices, c->count, c->blocks, &first)
                                          : sotto_ot_send_keys(c->ot, &c->pair.chan, c->count, c->blocks, c->blocks + c->count, &first);
    return status == SOTTO_OK ? done(c, c->pair.party == 0) : status;
}

static int chosen(party_ctx *c)
{
    const int status = c->pair.party == 0 ? sotto_ot_chosen_recv(c->ot, &c->pair.chan, c->choices, c->count, c->blocks)
                                          : sotto_ot_chosen_send(c->ot, &c->pair.chan, c->count, c->blocks, c->blocks + c->count);
    return status == SOTTO_OK ? done(c, c->pair.party == 0) : status;
}

/* Of correlated OT, choices are given but for ferret.cot, where they are random. */
static const struct ot_row {
    const char *name, *unit;
    sotto_ot_kind kind;
    int (*act)(party_ctx *c);
    size_t count;
} ot_rows[] = {{"base.128", "ms", SOTTO_OT_IKNP, base_ot, 0},
               {"iknp.cot", "M/s", SOTTO_OT_IKNP, cot, 1u << 22},
               {"iknp.rot", "M/s", SOTTO_OT_IKNP, rot, 1u << 22},
               {"iknp.ot", "M/s", SOTTO_OT_IKNP, chosen, 1u << 20},
               {"softspoken2.cot", "M/s", SOTTO_OT_SOFTSPOKEN2, cot, 1u << 22},
               {"softspoken4.cot", "M/s", SOTTO_OT_SOFTSPOKEN4, cot, 1u << 22},
               {"softspoken4.rot", "M/s", SOTTO_OT_SOFTSPOKEN4, rot, 1u << 22},
               {"softspoken8.cot", "M/s", SOTTO_OT_SOFTSPOKEN8, cot, 1u << 21},
               {"ferret.cot", "M/s", SOTTO_OT_FERRET, random_cot, 1u << 22},
               {"ferret.chosen", "M/s", SOTTO_OT_FERRET, cot, 1u << 22}};

int bench_ot(bench *b)
{
    int status = SOTTO_OK;
    for (size_t i = 0; i < sizeof ot_rows / sizeof *ot_rows && status == SOTTO_OK; i++) {
        const struct ot_row *r = &ot_rows[i];
        if (!bench_wants(b, r->name)) {
            continue;
        }
        party_ctx c = {.rng = sotto_rng_system(), .count = r->count, .act = r->act};
        status = bench_pair_start(&c.pair, NULL);
        c.choices = sotto_calloc(c.count / 8 + 1, 1);
        c.blocks = sotto_calloc(c.count, 4 * sizeof *c.blocks);
        if (status == SOTTO_OK && (c.choices == NULL || c.blocks == NULL)) {
            status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for oblivious transfers");
        }
        if (status == SOTTO_OK) {
            status = sotto_rng_fill(&c.rng, c.choices, c.count / 8 + 1);
        }
        if (status == SOTTO_OK && r->count > 0) {
            status = sotto_ot_new(&c.ot, &c.pair.chan, &c.rng, bench_salt, c.pair.party, r->kind);
        }
        if (status == SOTTO_OK && c.pair.party == 1) {
            status = follow(&c);
        } else if (status == SOTTO_OK) {
            const bench_param params[] = {{r->count > 0 ? "count" : NULL, NULL, (double)r->count}, {0}};
            status = bench_measure(b, &(bench_row){.name = r->name, .unit = r->unit, .items = r->count > 0 ? (double)r->count : 1.0, .call = act,
                                                   .ctx = &c, .params = params, .chan = &c.pair.chan});
        }
        status = bench_pair_end(&c.pair, status);
        sotto_ot_free(c.ot);
        sotto_free(c.choices);
        sotto_free(c.blocks);
    }
    return status;
}

/* ---- garble: ns per AND gate ------------------------------------------------------------------------------------------------- */

typedef struct garble_ctx {
    sotto_circuit circuit;
    sotto_garble_job job;
    sotto_block offset, *in, *out;
    uint8_t *tables;
    bench_pair pair;
} garble_ctx;

/* Tables as they are made for a peer, 1 MB at a time, and then dropped. */
static int drop_bytes(void *ctx, const void *data, size_t len)
{
    (void)ctx;
    (void)data;
    (void)len;
    return SOTTO_OK;
}

static int drop_flush(void *ctx)
{
    (void)ctx;
    return SOTTO_OK;
}

static int garble(void *ctx)
{
    static const sotto_chan_ops ops = {drop_bytes, NULL, drop_flush, NULL};
    garble_ctx *c = ctx;
    sotto_chan nowhere = {.ops = &ops};
    c->job.first += c->job.instances;
    return sotto_garble_send(&c->job, c->offset, c->in, &nowhere, c->out);
}

static int evaluate(void *ctx)
{
    garble_ctx *c = ctx;
    return sotto_garble_evaluate(&c->job, c->in, c->tables, c->out);
}

/* Party 1 garbles, party 0 evaluates what comes. */
static int loopback(void *ctx)
{
    garble_ctx *c = ctx;
    c->job.first += c->job.instances;
    if (c->pair.party == 1) {
        return sotto_garble_send(&c->job, c->offset, c->in, &c->pair.chan, c->out);
    }
    if (!bench_step(&c->pair)) {
        return sotto_fail(SOTTO_ERR_PEER, "the second party is gone");
    }
    return sotto_garble_recv(&c->job, c->in, &c->pair.chan, c->out);
}

static int garble_rows(bench *b, garble_ctx *c, sotto_garble_scheme scheme, const char *circuit)
{
    static const struct {
        const char *name;
        int (*call)(void *ctx);
    } rows[SOTTO_GARBLE_SCHEMES][3] = {
        {{"halfgates.garble", garble}, {"halfgates.evaluate", evaluate}, {"halfgates.loopback", loopback}},
        {{"threehalves.garble", garble}, {"threehalves.evaluate", evaluate}, {"threehalves.loopback", loopback}}};
    const double ands = (double)c->circuit.and_count + c->circuit.and_eval_count;
    const bench_param params[] = {{"circuit", circuit, 0}, {"ands", NULL, ands}, {"instances", NULL, (double)c->job.instances}, {0}};
    int status = SOTTO_OK;
    for (size_t i = 0; i < 3 && status == SOTTO_OK; i++) {
        const char *name = rows[scheme][i].name;
        const int two = i == 2;
        if (!bench_wants(b, name)) {
            continue;
        }
        if (two) {
            status = bench_pair_start(&c->pair, NULL);
        }
        if (status == SOTTO_OK && two && c->pair.party == 1) {
            while (status == SOTTO_OK && bench_step(&c->pair)) {
                status = loopback(c);
            }
        } else if (status == SOTTO_OK) {
            status = bench_measure(b, &(bench_row){.name = name, .unit = "ns", .items = ands * (double)c->job.instances,
                                                   .call = rows[scheme][i].call, .ctx = c, .params = params, .chan = two ? &c->pair.chan : NULL});
        }
        if (two) {
            status = bench_pair_end(&c->pair, status);
        }
    }
    return status;
}

static int build_sign6(sotto_circuit *c)
{
    return sotto_circuit_sign(c, 6);
}

static int build_sign20(sotto_circuit *c)
{
    return sotto_circuit_sign(c, 20);
}

static const struct garble_circuit {
    const char *name;
    int (*build)(sotto_circuit *c);
    size_t instances;
} garble_circuits[] = {{"aes128", sotto_circuit_aes128, 64}, {"sign6", build_sign6, 65536}, {"sign20", build_sign20, 16384}};

static int garble_circuit_rows(bench *b, const struct garble_circuit *k, sotto_garble_scheme scheme)
{
    const sotto_rng rng = sotto_rng_system();
    garble_ctx c = {.job = {.hash = {bench_salt, SOTTO_DOMAIN_GARBLE, 1}, .instances = k->instances}};
    sotto_garbling *g = NULL;
    int status = k->build(&c.circuit);
    if (status == SOTTO_OK) {
        status = sotto_garbling_new(&g, &c.circuit, scheme);
    }
    if (status == SOTTO_OK) {
        c.job.g = g;
        const size_t labels = (size_t)sotto_circuit_inputs(&c.circuit) * k->instances;
        c.in = sotto_calloc(labels, sizeof *c.in);
        c.tables = sotto_calloc(sotto_garble_bytes(&c.job), 1);
        c.out = sotto_calloc(c.circuit.output_count, k->instances * sizeof *c.out);
        if (c.in == NULL || c.tables == NULL || c.out == NULL) {
            status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu circuits", k->instances);
        }
        if (status == SOTTO_OK) {
            status = sotto_rng_fill(&rng, c.in, labels * sizeof *c.in);
        }
        if (status == SOTTO_OK) {
            status = sotto_rng_fill(&rng, &c.offset, sizeof c.offset);
        }
        c.offset.w[0] |= 1;
        if (status == SOTTO_OK) {
            status = sotto_garble_tables(&c.job, c.offset, c.in, c.tables, c.out);
        }
        if (status == SOTTO_OK) {
            status = garble_rows(b, &c, scheme, k->name);
        }
    }
    sotto_circuit_free(&c.circuit);
    sotto_garbling_free(g);
    sotto_free(c.in);
    sotto_free(c.tables);
    sotto_free(c.out);
    return status;
}

int bench_garble(bench *b)
{
    int status = SOTTO_OK;
    for (int scheme = 0; scheme < SOTTO_GARBLE_SCHEMES; scheme++) {
        for (size_t i = 0; i < sizeof garble_circuits / sizeof *garble_circuits && status == SOTTO_OK; i++) {
            status = garble_circuit_rows(b, &garble_circuits[i], (sotto_garble_scheme)scheme);
        }
    }
    return status;
}

/* ---- relu ---------------------------------------------------------------------------------------------------------------------- */

static int relu_prepare(party_ctx *c)
{
    sotto_chan *chan = &c->pair.chan;
    const size_t tree = sotto_ot_answer_bytes(SOTTO_OT_FERRET, 1);
    const sotto_ot_stock stock = {{c->plan.client_sums / tree, c->plan.server_sums / tree}};
    int status = sotto_ot_stock_make(c->ot, chan, &stock);
    if (c->pair.party == 0) {
        sotto_unit_client_free(c->client);
        c->client = NULL;
        if (status == SOTTO_OK) {
            status = sotto_unit_client_new(&c->client, &c->plan, c->ot, chan);
        }
        if (status == SOTTO_OK) {
            status = sotto_unit_client_choose(c->client, c->ot, chan, c->words, c->choice);
        }
        if (status == SOTTO_OK) {
            status = sotto_chan_send(chan, c->choice, c->plan.bytes.choice);
        }
        if (status == SOTTO_OK) {
            status = sotto_unit_client_take(c->client, chan, NULL);
        }
        return status == SOTTO_OK ? done(c, 1) : status;
    }
    sotto_unit_server_free(c->server);
    c->server = NULL;
    if (status == SOTTO_OK) {
        status = sotto_unit_server_new(&c->server, &c->plan, c->ot, chan, &c->rng, bench_bounds);
    }
    if (status == SOTTO_OK) {
        status = sotto_unit_server_correct(c->server, c->ot, chan);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_recv(chan, c->choice, c->plan.bytes.choice);
    }
    if (status == SOTTO_OK) {
        status = sotto_unit_server_ready(c->server, c->ot, chan, c->choice);
    }
    return status == SOTTO_OK ? done(c, 0) : status;
}

static int relu_infer(party_ctx *c)
{
    sotto_chan *chan = &c->pair.chan;
    int status;
    if (c->pair.party == 0) {
        status = sotto_chan_recv(chan, c->offer, c->plan.bytes.offer);
        if (status == SOTTO_OK) {
            status = sotto_unit_client_reply(c->client, c->reply, c->offer, c->words + c->count);
        }
        if (status == SOTTO_OK) {
            status = sotto_chan_send(chan, c->reply, c->plan.bytes.reply);
        }
        return status == SOTTO_OK ? done(c, 1) : status;
    }
    status = sotto_unit_server_offer(c->server, c->offer, c->words);
    if (status == SOTTO_OK) {
        status = sotto_chan_send(chan, c->offer, c->plan.bytes.offer);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_recv(chan, c->reply, c->plan.bytes.reply);
    }
    if (status == SOTTO_OK) {
        status = sotto_unit_server_finish(c->server, c->words + c->count, c->reply);
    }
    return status == SOTTO_OK ? done(c, 0) : status;
}

/* Material is used once, so that every inference is preceded by a preparation: party 1 does them in turn. */
static int relu_both(party_ctx *c)
{
    int status = relu_prepare(c);
    return status == SOTTO_OK && bench_step(&c->pair) ? relu_infer(c) : status;
}

static int act_prepare(void *ctx)
{
    party_ctx *c = ctx;
    c->act = relu_prepare;
    return act(c);
}

static int act_infer(void *ctx)
{
    party_ctx *c = ctx;
    c->act = relu_infer;
    return act(c);
}

/* Words of 24 bits; u bits decide the sign. */
enum { RELU_L = 24, RELU_F = 7, RELU_L_NEXT = 24, RELU_K = 23 };

typedef struct relu_case {
    sotto_ot_kind ot;
    sotto_sign_provider sign;
    unsigned u;
    size_t count;
    const char *kind; /* NULL: relu */
} relu_case;

static const char *const unit_kinds[] = {"clip", "patch4", "identity", "identity90"};

/* A layer of one kind: ReLU, clipped, decided by patches of four, passed on, or passed on but for one value in ten. */
static int unit_step(sotto_step_info *s, const relu_case *k)
{
    *s = (sotto_step_info){.op = SOTTO_STEP_UNIT, .units = k->count, .words = k->count, .decisions = k->count, .truncation = {RELU_L, RELU_F, RELU_L_NEXT},
                           .shape = {1, 1, (uint32_t)k->count}, .sign = 1, .sign_window = {RELU_K, RELU_K - k->u}};
    if (k->kind == NULL) {
        return SOTTO_OK;
    }
    s->clip = strcmp(k->kind, "clip") == 0;
    s->sign = strcmp(k->kind, "identity") != 0;
    if (s->clip || !s->sign) {
        return SOTTO_OK;
    }
    const int patch = strcmp(k->kind, "patch4") == 0;
    s->decision = sotto_calloc(k->count, sizeof *s->decision);
    s->patch_bits = sotto_calloc(k->count, 1);
    if (s->decision == NULL || s->patch_bits == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu units", k->count);
    }
    for (size_t i = 0; i < k->count; i++) {
        s->decision[i] = patch ? (uint32_t)(i / 4) : i % 10 == 0 ? (uint32_t)(i / 10) : SOTTO_DECISION_PASS;
    }
    s->decisions = patch ? (k->count + 3) / 4 : (k->count + 9) / 10;
    s->sign_window = patch ? (sotto_sign_window){RELU_K - 2, RELU_K - 2 - k->u} : s->sign_window;
    memset(s->patch_bits, patch ? 2 : 0, s->decisions);
    return SOTTO_OK;
}

/* Both rows of a case, over one session. */
static int relu_rows(bench *b, const relu_case *k)
{
    static const struct {
        const char *name;
        int (*call)(void *ctx), (*before)(void *ctx);
        int (*act)(party_ctx *c);
    } rows[] = {{"prepare", act_prepare, NULL, relu_prepare}, {"infer", act_infer, act_prepare, relu_both}};
    sotto_step_info step;
    const bench_param params[] = {{"unit", k->kind == NULL ? "relu" : k->kind, 0},
                                  {"u", NULL, k->u},
                                  {"l", NULL, RELU_L},
                                  {"lnext", NULL, RELU_L_NEXT},
                                  {"f", NULL, RELU_F},
                                  {"count", NULL, (double)k->count},
                                  {"ot", sotto_ot_kind_name(k->ot), 0},
                                  {"sign", sotto_sign_name(k->sign), 0},
                                  {0}};
    int status = unit_step(&step, k);
    for (size_t row = 0; row < sizeof rows / sizeof *rows && status == SOTTO_OK; row++) {
        if (!bench_wants(b, rows[row].name)) {
            continue;
        }
        party_ctx c = {.rng = sotto_rng_system(), .count = k->count, .act = rows[row].act};
        status = sotto_unit_plan_new(&c.plan, &step, k->sign, k->ot);
        if (status == SOTTO_OK) {
            status = bench_pair_start(&c.pair, NULL);
        }
        c.words = sotto_calloc(c.count, 2 * sizeof *c.words);
        c.choice = sotto_calloc(c.plan.bytes.choice, 1);
        c.offer = sotto_calloc(c.plan.bytes.offer, 1);
        c.reply = sotto_calloc(c.plan.bytes.reply, 1);
        if (status == SOTTO_OK && (c.words == NULL || c.choice == NULL || c.offer == NULL || c.reply == NULL)) {
            status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu units", c.count);
        }
        if (status == SOTTO_OK) {
            status = sotto_rng_fill(&c.rng, c.words, 2 * c.count * sizeof *c.words);
        }
        for (size_t i = 0; i < 2 * c.count && status == SOTTO_OK; i++) {
            c.words[i] = sotto_low_bits(c.words[i], i < c.count ? RELU_L : RELU_L_NEXT);
        }
        if (status == SOTTO_OK) {
            status = sotto_ot_new(&c.ot, &c.pair.chan, &c.rng, bench_salt, c.pair.party, k->ot);
        }
        if (status == SOTTO_OK && c.pair.party == 1) {
            status = follow(&c);
        } else if (status == SOTTO_OK) {
            status = bench_measure(b, &(bench_row){.name = rows[row].name, .unit = "M/s", .items = (double)c.count, .call = rows[row].call,
                                                   .before = rows[row].before, .ctx = &c, .params = params, .chan = &c.pair.chan});
        }
        status = bench_pair_end(&c.pair, status);
        sotto_unit_client_free(c.client);
        sotto_unit_server_free(c.server);
        sotto_unit_plan_free(&c.plan);
        sotto_ot_free(c.ot);
        sotto_free(c.words);
        sotto_free(c.choice);
        sotto_free(c.offer);
        sotto_free(c.reply);
    }
    sotto_free(step.decision);
    sotto_free(step.patch_bits);
    return status;
}

/* A million units at once with each kind of OT; then the widths, for whoever plans. */
int bench_relu(bench *b)
{
    enum { U = 6, U_LEAST = 4, U_MOST = 16, U_MOST_LOOKUP = 9, MANY = 1 << 20, SOME = 1 << 16 };
    static const sotto_ot_kind kinds[] = {SOTTO_OT_IKNP, SOTTO_OT_SOFTSPOKEN4, SOTTO_OT_FERRET};
    int status = SOTTO_OK;
    for (unsigned sign = 0; sign < SOTTO_SIGN_PROVIDERS; sign++) {
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds && status == SOTTO_OK; i++) {
            status = relu_rows(b, &(relu_case){kinds[i], (sotto_sign_provider)sign, U, MANY, NULL});
        }
        for (size_t i = 0; i < sizeof unit_kinds / sizeof *unit_kinds && status == SOTTO_OK; i++) {
            status = relu_rows(b, &(relu_case){SOTTO_OT_SOFTSPOKEN4, (sotto_sign_provider)sign, U, MANY, unit_kinds[i]});
        }
    }
    for (unsigned sign = 0; sign < SOTTO_SIGN_PROVIDERS; sign++) {
        const unsigned most = sign == SOTTO_SIGN_LOOKUP ? U_MOST_LOOKUP : U_MOST;
        for (unsigned u = U_LEAST; u <= most && status == SOTTO_OK; u++) {
            status = relu_rows(b, &(relu_case){SOTTO_OT_SOFTSPOKEN4, (sotto_sign_provider)sign, u, SOME, NULL});
        }
    }
    return status;
}
