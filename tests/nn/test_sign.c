/* Sign decisions over real OTs by each provider: all pairs of shares of small u, one decision and two; widths up to the largest; bytes of tables; no instance number twice. */
#include "nn/secure/sign.h"

#include <stdlib.h>

#include "lib/bytes.h"
#include "tests/ot/fixture.h"

#define COUNT_MAX 9000

typedef struct sign_ctx {
    sotto_sign_plan plan;
    size_t skipped; /* OTs before the first, so that numbers begin anywhere */
    uint64_t client[COUNT_MAX], server[2][COUNT_MAX], pi[2][COUNT_MAX], got[2][COUNT_MAX];
} sign_ctx;

/* Tile by tile, as a layer is: all keys, then flips and tables of all tiles, then messages. Buffers of the test are malloc's. */
static int client(sign_ctx *c, sotto_ot *ot, sotto_chan *chan)
{
    const sotto_sign_plan *p = &c->plan;
    const unsigned bits = p->u - 1;
    const size_t ots = p->count * bits + c->skipped;
    sotto_sign_client *s = NULL;
    sotto_block *t = malloc(ots * sizeof *t), *scratch = malloc((p->scratch + 1) * sizeof *scratch);
    uint8_t *choices = malloc(ots / 8 + 1), *flips = calloc(p->flip_bytes, 1), *tables = malloc(p->table_bytes + 1), *message = malloc(p->message_bytes);
    uint64_t *r = calloc(p->count, sizeof *r), *turned = calloc(p->count, sizeof *turned), first;
    int status = sotto_ot_recv_random(ot, chan, choices, ots, t, &first);
    status = status == SOTTO_OK ? sotto_sign_client_new(&s, p) : status;
    for (size_t i = 0; i < p->count * bits; i++) {
        r[i / bits] |= (uint64_t)sotto_bit(choices, c->skipped + i) << i % bits;
    }
    for (size_t at = 0; at < p->count && status == SOTTO_OK; at += SOTTO_SIGN_TILE) {
        const size_t n = p->count - at < SOTTO_SIGN_TILE ? p->count - at : SOTTO_SIGN_TILE, before = c->skipped + at * bits;
        status = sotto_sign_client_keys(s, at, n, ot, first + before, t + before, r + at);
        sotto_sign_flips(p, turned + at, r + at, c->client + at, n);
    }
    sotto_pack(flips, turned, p->count, bits);
    status = status == SOTTO_OK ? sotto_chan_send(chan, flips, p->flip_bytes) : status;
    status = status == SOTTO_OK ? sotto_chan_recv(chan, tables, p->table_bytes) : status;
    status = status == SOTTO_OK ? sotto_chan_recv(chan, message, p->message_bytes) : status;
    for (size_t at = 0; at < p->count && status == SOTTO_OK; at += SOTTO_SIGN_TILE) {
        const size_t n = p->count - at < SOTTO_SIGN_TILE ? p->count - at : SOTTO_SIGN_TILE;
        uint64_t *const out[2] = {c->got[0] + at, c->got[1] + at};
        status = sotto_sign_open(s, at, n, out, message, tables, c->client + at, scratch);
    }
    sotto_sign_client_free(s);
    free(t);
    free(scratch);
    free(choices);
    free(flips);
    free(tables);
    free(message);
    free(r);
    free(turned);
    return status;
}

static int server(sign_ctx *c, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng)
{
    const sotto_sign_plan *p = &c->plan;
    const unsigned bits = p->u - 1;
    const size_t ots = p->count * bits + c->skipped;
    sotto_sign_server *s = NULL;
    sotto_block *q = malloc(ots * sizeof *q), *scratch = malloc((p->scratch + 1) * sizeof *scratch);
    uint8_t *flips = malloc(p->flip_bytes), *tables = malloc(p->table_bytes + 1), *message = malloc(p->message_bytes);
    uint64_t *turned = calloc(p->count, sizeof *turned), first;
    int status = sotto_ot_send_random(ot, chan, ots, q, &first);
    status = status == SOTTO_OK ? sotto_sign_server_new(&s, p, rng) : status;
    for (size_t at = 0; at < p->count && status == SOTTO_OK; at += SOTTO_SIGN_TILE) {
        const size_t n = p->count - at < SOTTO_SIGN_TILE ? p->count - at : SOTTO_SIGN_TILE, before = c->skipped + at * bits;
        status = sotto_sign_server_keys(s, at, n, ot, first + before, q + before);
    }
    status = status == SOTTO_OK ? sotto_chan_recv(chan, flips, p->flip_bytes) : status;
    sotto_unpack(turned, flips, p->count, bits);
    uint8_t *to = tables;
    for (size_t at = 0; at < p->count && status == SOTTO_OK; at += SOTTO_SIGN_TILE) {
        const size_t n = p->count - at < SOTTO_SIGN_TILE ? p->count - at : SOTTO_SIGN_TILE;
        status = sotto_sign_server_ready(s, at, n, ot, turned + at, to, scratch);
        to += sotto_sign_table_bytes(p, n);
    }
    assert_true(status != SOTTO_OK || to == tables + p->table_bytes);
    status = status == SOTTO_OK ? sotto_chan_send(chan, tables, p->table_bytes) : status;
    for (size_t at = 0; at < p->count && status == SOTTO_OK; at += SOTTO_SIGN_TILE) {
        const size_t n = p->count - at < SOTTO_SIGN_TILE ? p->count - at : SOTTO_SIGN_TILE;
        const uint64_t *const top[2] = {c->server[0] + at, c->server[1] + at}, *const pi[2] = {c->pi[0] + at, c->pi[1] + at};
        sotto_sign_offer(s, at, n, message, top, pi);
    }
    status = status == SOTTO_OK ? sotto_chan_send(chan, message, p->message_bytes) : status;
    sotto_sign_server_free(s);
    free(q);
    free(scratch);
    free(flips);
    free(tables);
    free(message);
    free(turned);
    return status;
}

static int act(ot_party *p, sotto_ot *ot, sotto_chan *chan)
{
    const sotto_rng rng = test_rng(p->seed, 10 + (uint64_t)p->party);
    return p->party == 0 ? client(p->data, ot, chan) : server(p->data, ot, chan, &rng);
}

/* b xor pi for y = the sum of both shares modulo 2^u, whose top bit is that of a negative number. */
static void run(sign_ctx *c, uint64_t seed)
{
    int status[2];
    ot_party p[2] = {{.party = 0, .seed = seed, .act = act, .data = c}, {.party = 1, .seed = seed, .act = act, .data = c}};
    const sotto_rng rng = test_rng(seed, 3);
    for (unsigned k = 0; k < 2; k++) {
        for (size_t i = 0; i < c->plan.count; i++) {
            c->pi[k][i] = test_below(&rng, 2);
        }
    }
    test_two_party(ot_party_run, &p[0], ot_party_run, &p[1], status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    for (unsigned k = 0; k < c->plan.outputs; k++) {
        for (size_t i = 0; i < c->plan.count; i++) {
            const uint64_t negative = (c->client[i] + c->server[k][i]) >> (c->plan.u - 1) & 1;
            assert_int_equal(1 ^ negative ^ c->pi[k][i], c->got[k][i]);
        }
    }
}

static void test_all_shares(void **state)
{
    (void)state;
    static sign_ctx c;
    for (int provider = 0; provider < SOTTO_SIGN_PROVIDERS; provider++) {
        for (unsigned u = 2; u <= 6; u++) {
            for (unsigned outputs = 1; outputs <= 2; outputs++) {
                const size_t side = (size_t)1 << u;
                assert_ok(sotto_sign_plan_new(&c.plan, (sotto_sign_provider)provider, u, outputs, side * side));
                c.skipped = 37 * u + outputs;
                for (size_t i = 0; i < side * side; i++) {
                    c.client[i] = i / side;
                    c.server[0][i] = i % side;
                    c.server[1][i] = (i * 5 + i / side) % side; /* all pairs again, in another order */
                }
                run(&c, test_seed() + 10 * u + (unsigned)provider);
            }
        }
    }
}

static void test_widths(void **state)
{
    (void)state;
    static sign_ctx c;
    static const unsigned widths[] = {7, 9, 10, 16, 33, 50};
    const sotto_rng rng = test_rng(test_seed(), 4);
    for (int provider = 0; provider < SOTTO_SIGN_PROVIDERS; provider++) {
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
            const unsigned u = widths[w], outputs = 1 + (unsigned)test_below(&rng, 2);
            const size_t count = 1 + test_below(&rng, w == 1 ? COUNT_MAX : 300);
            if (provider == SOTTO_SIGN_LOOKUP && u > 9) {
                assert_status(SOTTO_ERR_PARAMS, sotto_sign_plan_new(&c.plan, SOTTO_SIGN_LOOKUP, u, outputs, count));
                continue;
            }
            assert_ok(sotto_sign_plan_new(&c.plan, (sotto_sign_provider)provider, u, outputs, count));
            c.skipped = test_below(&rng, 100);
            for (size_t i = 0; i < count; i++) {
                c.client[i] = test_below(&rng, UINT64_C(1) << u);
                for (unsigned k = 0; k < 2; k++) { /* some carries run the whole way */
                    const uint64_t random = test_below(&rng, UINT64_C(1) << u);
                    c.server[k][i] = i % 3 == 0 ? ((UINT64_C(1) << u) - c.client[i] - (random & 1)) & ((UINT64_C(1) << u) - 1) : random;
                }
            }
            run(&c, test_seed() + w);
        }
    }
    assert_status(SOTTO_ERR_PARAMS, sotto_sign_plan_new(&c.plan, SOTTO_SIGN_CIRCUIT3, 51, 1, 1));
    assert_status(SOTTO_ERR_PARAMS, sotto_sign_plan_new(&c.plan, SOTTO_SIGN_CIRCUIT3, 1, 1, 1));
    assert_status(SOTTO_ERR_PARAMS, sotto_sign_plan_new(&c.plan, SOTTO_SIGN_PROVIDERS, 6, 1, 1));
    assert_status(SOTTO_ERR_ARG, sotto_sign_plan_new(&c.plan, SOTTO_SIGN_CIRCUIT3, 6, 3, 1));
    assert_status(SOTTO_ERR_PARAMS, sotto_sign_plan_new(&c.plan, SOTTO_SIGN_CIRCUIT3, 6, 1, SIZE_MAX / 100));
}

/* One block for the first AND; for each other one two, or a block, a word and three bits, which 16 units fill to bytes. */
static void test_table_bytes(void **state)
{
    (void)state;
    sotto_sign_plan p;
    for (unsigned u = 2; u <= 50; u++) {
        for (unsigned outputs = 1; outputs <= 2; outputs++) {
            for (size_t count = 1; count < 40; count++) {
                const size_t whole = count / 16, rest = count % 16;
                assert_ok(sotto_sign_plan_new(&p, SOTTO_SIGN_CIRCUIT, u, outputs, count));
                assert_int_equal(outputs * count * (16 + 32 * (u - 2)), p.table_bytes);
                assert_ok(sotto_sign_plan_new(&p, SOTTO_SIGN_CIRCUIT3, u, outputs, count));
                assert_int_equal(outputs * (16 * count + (u - 2) * (24 * count + 6 * whole + (3 * rest + 7) / 8)), p.table_bytes);
            }
        }
    }
}

/* Calls that take as many OTs as units, or more, have ranges of instances that do not meet, and begin with a batch. */
static void test_numbers(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 5);
    uint64_t ot = 0, end = 0;
    for (int i = 0; i < 10000; i++) {
        const uint64_t units = 1 + test_below(&rng, i % 2 == 0 ? 3 : SOTTO_SIGN_TILE);
        assert_true(sotto_sign_instance(ot) >= end && sotto_sign_instance(ot) % 16 == 0);
        end = sotto_sign_instance(ot) + units;
        ot += units + test_below(&rng, 3);
    }
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal("lookup", sotto_sign_name(SOTTO_SIGN_LOOKUP));
    assert_string_equal("circuit", sotto_sign_name(SOTTO_SIGN_CIRCUIT));
    assert_string_equal("circuit3", sotto_sign_name(SOTTO_SIGN_CIRCUIT3));
    assert_string_equal("unknown", sotto_sign_name(SOTTO_SIGN_PROVIDERS));
    assert_int_equal(SOTTO_HALF_GATES, sotto_sign_scheme(SOTTO_SIGN_CIRCUIT));
    assert_int_equal(SOTTO_THREE_HALVES, sotto_sign_scheme(SOTTO_SIGN_CIRCUIT3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_shares), cmocka_unit_test(test_widths),  cmocka_unit_test(test_table_bytes),
        cmocka_unit_test(test_numbers),    cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
