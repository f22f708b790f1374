/* Groups ot, garble and relu: two processes where there are two parties. */
#include <string.h>

#include "apps/bench.h"
#include "garble/gadgets.h"
#include "garble/halfgates.h"
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
    uint8_t *choice, *tables, *offer, *reply;
} party_ctx;

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
    int status = sotto_ot_new(&ot, &c->pair.chan, &c->rng, bench_salt, c->pair.party);
    sotto_ot_free(ot);
    return status == SOTTO_OK ? done(c, c->pair.party == 0) : status;
}

/* Party 0 receives. keys: hashed as well. */
static int extend(party_ctx *c, int keys)
{
    uint64_t first = 0;
    int status;
    if (c->pair.party == 0) {
        status = sotto_ot_recv(c->ot, &c->pair.chan, c->choices, c->count, c->blocks, &first);
        if (status == SOTTO_OK && keys) {
            sotto_ot_keys_recv(c->ot, first, c->count, 0, c->blocks, c->blocks + c->count);
        }
    } else {
        status = sotto_ot_send(c->ot, &c->pair.chan, c->count, c->blocks, &first);
        if (status == SOTTO_OK && keys) {
            sotto_ot_keys_send(c->ot, first, c->count, 0, c->blocks, c->blocks + c->count, c->blocks + 2 * c->count);
        }
    }
    return status == SOTTO_OK ? done(c, c->pair.party == 0) : status;
}

static int cot(party_ctx *c)
{
    return extend(c, 0);
}

static int rot(party_ctx *c)
{
    return extend(c, 1);
}

static int chosen(party_ctx *c)
{
    const int status = c->pair.party == 0 ? sotto_ot_chosen_recv(c->ot, &c->pair.chan, c->choices, c->count, c->blocks)
                                          : sotto_ot_chosen_send(c->ot, &c->pair.chan, c->count, c->blocks, c->blocks + c->count);
    return status == SOTTO_OK ? done(c, c->pair.party == 0) : status;
}

static const struct ot_row {
    const char *name, *unit;
    int (*act)(party_ctx *c);
    size_t count;
} ot_rows[] = {{"base.128", "ms", base_ot, 0}, {"iknp.cot", "M/s", cot, 1u << 18}, {"iknp.rot", "M/s", rot, 1u << 18},
               {"iknp.ot", "M/s", chosen, 1u << 18}};

int bench_ot(bench *b)
{
    int status = SOTTO_OK;
    for (size_t i = 0; i < sizeof ot_rows / sizeof *ot_rows && status == SOTTO_OK; i++) {
        const struct ot_row *r = &ot_rows[i];
        if (!bench_wants(b, r->name)) {
            continue;
        }
        party_ctx c = {.rng = sotto_rng_system(), .count = r->count, .act = r->act};
        status = bench_pair_start(&c.pair);
        c.choices = sotto_calloc(c.count / 8 + 1, 1);
        c.blocks = sotto_calloc(c.count, 4 * sizeof *c.blocks);
        if (status == SOTTO_OK && (c.choices == NULL || c.blocks == NULL)) {
            status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for oblivious transfers");
        }
        if (status == SOTTO_OK) {
            status = sotto_rng_fill(&c.rng, c.choices, c.count / 8 + 1);
        }
        if (status == SOTTO_OK && r->count > 0) {
            status = sotto_ot_new(&c.ot, &c.pair.chan, &c.rng, bench_salt, c.pair.party);
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

#define INSTANCES 4096

typedef struct garble_ctx {
    sotto_circuit circuit;
    sotto_hash hash;
    sotto_block offset, *in, *tables, *out;
    uint64_t first;
    bench_pair pair;
} garble_ctx;

static int garble(void *ctx)
{
    garble_ctx *c = ctx;
    c->first += INSTANCES;
    return sotto_garble(&c->circuit, &c->hash, c->offset, c->first, INSTANCES, c->in, c->tables, c->out);
}

static int evaluate(void *ctx)
{
    garble_ctx *c = ctx;
    return sotto_evaluate(&c->circuit, &c->hash, c->first, INSTANCES, c->in, c->tables, c->out);
}

static size_t table_bytes(const garble_ctx *c)
{
    return sotto_garble_table_blocks(&c->circuit, INSTANCES) * sizeof(sotto_block);
}

/* Party 1 garbles and sends tables, party 0 receives and evaluates. */
static int loopback(void *ctx)
{
    garble_ctx *c = ctx;
    if (c->pair.party == 1) {
        int status = garble(c);
        if (status == SOTTO_OK) {
            status = sotto_chan_send(&c->pair.chan, c->tables, table_bytes(c));
        }
        return status == SOTTO_OK ? sotto_chan_flush(&c->pair.chan) : status;
    }
    if (!bench_step(&c->pair)) {
        return sotto_fail(SOTTO_ERR_PEER, "the second party is gone");
    }
    const int status = sotto_chan_recv(&c->pair.chan, c->tables, table_bytes(c));
    return status == SOTTO_OK ? evaluate(c) : status;
}

static int garble_rows(bench *b, garble_ctx *c, const char *name)
{
    static const struct {
        const char *name;
        int (*call)(void *ctx);
    } rows[] = {{"halfgates.garble", garble}, {"halfgates.evaluate", evaluate}, {"halfgates.loopback", loopback}};
    const bench_param params[] = {{"circuit", name, 0}, {"ands", NULL, c->circuit.and_count}, {"instances", NULL, INSTANCES}, {0}};
    int status = SOTTO_OK;
    for (size_t i = 0; i < 3 && status == SOTTO_OK; i++) {
        const int two = i == 2;
        if (!bench_wants(b, rows[i].name)) {
            continue;
        }
        if (two) {
            status = bench_pair_start(&c->pair);
        }
        if (status == SOTTO_OK && two && c->pair.party == 1) {
            while (status == SOTTO_OK && bench_step(&c->pair)) {
                status = loopback(c);
            }
        } else if (status == SOTTO_OK) {
            status = bench_measure(b, &(bench_row){.name = rows[i].name, .unit = "ns", .items = (double)c->circuit.and_count * INSTANCES,
                                                   .call = rows[i].call, .ctx = c, .params = params, .chan = two ? &c->pair.chan : NULL});
        }
        if (two) {
            status = bench_pair_end(&c->pair, status);
        }
    }
    return status;
}

int bench_garble(bench *b)
{
    static const char *const names[] = {"sign6", "sign20"};
    static const unsigned u[] = {6, 20};
    const sotto_rng rng = sotto_rng_system();
    int status = SOTTO_OK;
    for (size_t i = 0; i < 2 && status == SOTTO_OK; i++) {
        garble_ctx c = {.hash = {bench_salt, SOTTO_DOMAIN_GARBLE, 1}};
        status = sotto_circuit_sign(&c.circuit, u[i]);
        const size_t labels = (size_t)sotto_circuit_inputs(&c.circuit) * INSTANCES;
        c.in = sotto_calloc(labels, sizeof *c.in);
        c.tables = sotto_calloc(sotto_garble_table_blocks(&c.circuit, INSTANCES), sizeof *c.tables);
        c.out = sotto_calloc(INSTANCES, sizeof *c.out);
        if (status == SOTTO_OK && (c.in == NULL || c.tables == NULL || c.out == NULL)) {
            status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for %d circuits", INSTANCES);
        }
        if (status == SOTTO_OK) {
            status = sotto_rng_fill(&rng, c.in, labels * sizeof *c.in);
        }
        if (status == SOTTO_OK) {
            status = sotto_rng_fill(&rng, &c.offset, sizeof c.offset);
        }
        c.offset.w[0] |= 1;
        if (status == SOTTO_OK) {
            status = garble_rows(b, &c, names[i]);
        }
        sotto_circuit_free(&c.circuit);
        sotto_free(c.in);
        sotto_free(c.tables);
        sotto_free(c.out);
    }
    return status;
}

/* ---- relu ---------------------------------------------------------------------------------------------------------------------- */

static int relu_prepare(party_ctx *c)
{
    sotto_chan *chan = &c->pair.chan;
    int status;
    if (c->pair.party == 0) {
        sotto_unit_client_free(c->client);
        status = sotto_unit_client_new(&c->client, &c->plan, c->ot, chan, &c->rng);
        if (status == SOTTO_OK) {
            status = sotto_unit_client_choose(c->client, c->ot, chan, c->words, c->choice);
        }
        if (status == SOTTO_OK) {
            status = sotto_chan_send(chan, c->choice, c->plan.choice_bytes);
        }
        if (status == SOTTO_OK && c->plan.table_bytes > 0) {
            status = sotto_chan_recv(chan, c->tables, c->plan.table_bytes);
        }
        if (status == SOTTO_OK) {
            status = sotto_unit_client_ready(c->client, c->ot, c->plan.table_bytes > 0 ? c->tables : NULL);
        }
        return status == SOTTO_OK ? done(c, 1) : status;
    }
    sotto_unit_server_free(c->server);
    status = sotto_unit_server_new(&c->server, &c->plan, c->ot, chan);
    if (status == SOTTO_OK) {
        status = sotto_unit_server_correct(c->server, c->ot, chan, &c->rng);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_recv(chan, c->choice, c->plan.choice_bytes);
    }
    if (status == SOTTO_OK) {
        status = sotto_unit_server_ready(c->server, c->ot, c->choice, c->plan.table_bytes > 0 ? c->tables : NULL, &c->rng);
    }
    if (status == SOTTO_OK && c->plan.table_bytes > 0) {
        status = sotto_chan_send(chan, c->tables, c->plan.table_bytes);
    }
    return status == SOTTO_OK ? done(c, 0) : status;
}

static int relu_infer(party_ctx *c)
{
    sotto_chan *chan = &c->pair.chan;
    int status;
    if (c->pair.party == 0) {
        status = sotto_chan_recv(chan, c->offer, c->plan.offer_bytes);
        if (status == SOTTO_OK) {
            status = sotto_unit_client_reply(c->client, c->reply, c->offer, c->words + c->count);
        }
        if (status == SOTTO_OK) {
            status = sotto_chan_send(chan, c->reply, c->plan.reply_bytes);
        }
        return status == SOTTO_OK ? done(c, 1) : status;
    }
    sotto_unit_server_offer(c->server, c->offer, c->words);
    status = sotto_chan_send(chan, c->offer, c->plan.offer_bytes);
    if (status == SOTTO_OK) {
        status = sotto_chan_recv(chan, c->reply, c->plan.reply_bytes);
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

static int relu_row(bench *b, sotto_sign_provider sign, int infer)
{
    enum { L = 20, F = 8, L_NEXT = 17, U = 6, K = 19, COUNT = 1 << 14 };
    static const char *const sign_names[] = {"lookup", "circuit"};
    const sotto_step_info step = {.op = SOTTO_STEP_UNIT, .units = COUNT, .truncation = {L, F, L_NEXT}, .sign = 1, .sign_window = {K, K - U}};
    party_ctx c = {.rng = sotto_rng_system(), .count = COUNT, .act = infer ? relu_both : relu_prepare};
    int status = sotto_unit_plan_new(&c.plan, &step, sign);
    if (status == SOTTO_OK) {
        status = bench_pair_start(&c.pair);
    }
    c.words = sotto_calloc(COUNT, 2 * sizeof *c.words);
    c.choice = sotto_calloc(c.plan.choice_bytes, 1);
    c.tables = sotto_calloc(c.plan.table_bytes, 1);
    c.offer = sotto_calloc(c.plan.offer_bytes, 1);
    c.reply = sotto_calloc(c.plan.reply_bytes, 1);
    if (status == SOTTO_OK && (c.words == NULL || c.choice == NULL || c.tables == NULL || c.offer == NULL || c.reply == NULL)) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for %d units", COUNT);
    }
    if (status == SOTTO_OK) {
        status = sotto_rng_fill(&c.rng, c.words, 2 * COUNT * sizeof *c.words);
    }
    for (size_t i = 0; i < 2 * COUNT && status == SOTTO_OK; i++) {
        c.words[i] = sotto_low_bits(c.words[i], i < COUNT ? L : L_NEXT);
    }
    if (status == SOTTO_OK) {
        status = sotto_ot_new(&c.ot, &c.pair.chan, &c.rng, bench_salt, c.pair.party);
    }
    if (status == SOTTO_OK && c.pair.party == 1) {
        status = follow(&c);
    } else if (status == SOTTO_OK) {
        const bench_param params[] = {{"u", NULL, U},         {"l", NULL, L},      {"lnext", NULL, L_NEXT},          {"f", NULL, F},
                                      {"count", NULL, COUNT}, {"ot", "iknp", 0},   {"sign", sign_names[sign], 0}, {0}};
        status = bench_measure(b, &(bench_row){.name = infer ? "infer" : "prepare", .unit = "M/s", .items = COUNT,
                                               .call = infer ? act_infer : act_prepare, .before = infer ? act_prepare : NULL, .ctx = &c,
                                               .params = params, .chan = &c.pair.chan});
    }
    status = bench_pair_end(&c.pair, status);
    sotto_unit_client_free(c.client);
    sotto_unit_server_free(c.server);
    sotto_ot_free(c.ot);
    sotto_free(c.words);
    sotto_free(c.choice);
    sotto_free(c.tables);
    sotto_free(c.offer);
    sotto_free(c.reply);
    return status;
}

int bench_relu(bench *b)
{
    int status = SOTTO_OK;
    for (unsigned sign = 0; sign < SOTTO_SIGN_PROVIDERS && status == SOTTO_OK; sign++) {
        for (int infer = 0; infer < 2 && status == SOTTO_OK; infer++) {
            status = bench_wants(b, infer ? "infer" : "prepare") ? relu_row(b, (sotto_sign_provider)sign, infer) : SOTTO_OK;
        }
    }
    return status;
}
