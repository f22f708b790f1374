/* The label from shares of the outputs: all values of three outputs of three bits, random ones, single use, what the client sees, faults. */
#include "nn/secure/label.h"

#include <stdlib.h>

#include "lib/prg.h"
#include "tests/ot/fixture.h"

#define COUNT_MAX 300

typedef struct label_ctx {
    sotto_label_plan plan;
    size_t rounds;
    uint64_t (*value)(size_t round, size_t i); /* signed, of k bits */
    uint64_t seed;
    size_t wrong;
    uint8_t *offers, *choices, *tables; /* what was received, round after round; NULL: not kept */
    long calloc_fails;
} label_ctx;

/* Both parties know both shares here, from a stream of their own. */
static void shares(const label_ctx *c, const sotto_rng *rng, size_t round, uint64_t *client, uint64_t *server)
{
    for (size_t i = 0; i < c->plan.count; i++) {
        client[i] = test_u64(rng);
        server[i] = c->value(round, i) - client[i];
    }
}

static size_t largest(const label_ctx *c, size_t round)
{
    size_t best = 0;
    for (size_t i = 1; i < c->plan.count; i++) {
        best = (int64_t)c->value(round, i) > (int64_t)c->value(round, best) ? i : best;
    }
    return best;
}

static int client(label_ctx *c, sotto_ot *ot, sotto_chan *chan, const uint64_t *own, size_t round)
{
    const sotto_unit_bytes *b = &c->plan.bytes;
    sotto_label_client *u = NULL;
    uint8_t *choice = calloc(b->choice + 1, 1), *offer = calloc(b->offer + 1, 1);
    size_t label = 99;
    int status = fixture_stock(ot, chan, b->correction, 0);
    const uint64_t before = chan->stats.bytes_out;
    status = status == SOTTO_OK ? sotto_label_client_new(&u, &c->plan, ot, chan) : status;
    status = status == SOTTO_OK && chan->stats.bytes_out - before != b->matrix ? SOTTO_ERR_ARG : status;
    if (status == SOTTO_OK && b->correction > 0) {
        uint8_t *sums = calloc(b->correction, 1);
        status = sotto_chan_recv(chan, sums, b->correction);
        status = status == SOTTO_OK ? sotto_label_client_take(u, ot, sums) : status;
        free(sums);
    }
    if (status == SOTTO_OK) {
        sotto_label_client_choose(u, own, choice);
    }
    status = status == SOTTO_OK ? sotto_chan_send(chan, choice, b->choice) : status;
    status = status == SOTTO_OK ? sotto_chan_recv(chan, sotto_label_client_tables(u), b->table) : status;
    status = status == SOTTO_OK ? sotto_chan_recv(chan, offer, b->offer) : status;
    if (status == SOTTO_OK && c->offers != NULL) {
        memcpy(c->tables + round * b->table, sotto_label_client_tables(u), b->table);
        memcpy(c->offers + round * b->offer, offer, b->offer);
    }
    if (status == SOTTO_OK) {
        status = sotto_label_client_open(u, &label, offer);
        c->wrong += label != largest(c, round);
    }
    sotto_label_client_free(u);
    free(choice);
    free(offer);
    return status;
}

static int server(label_ctx *c, sotto_ot *ot, sotto_chan *chan, const uint64_t *own, size_t round, const sotto_rng *rng)
{
    const sotto_unit_bytes *b = &c->plan.bytes;
    sotto_label_server *u = NULL;
    uint8_t *choice = calloc(b->choice + 1, 1), *offer = calloc(b->offer + 1, 1), *tables = calloc(b->table + 1, 1);
    int status = fixture_stock(ot, chan, b->correction, 0);
    status = status == SOTTO_OK ? sotto_label_server_new(&u, &c->plan, ot, chan, rng) : status;
    status = status == SOTTO_OK && b->correction > 0 ? sotto_chan_send(chan, sotto_label_server_sums(u), b->correction) : status;
    status = status == SOTTO_OK ? sotto_chan_recv(chan, choice, b->choice) : status;
    if (status == SOTTO_OK && c->choices != NULL) {
        memcpy(c->choices + round * b->choice, choice, b->choice);
    }
    status = status == SOTTO_OK ? sotto_label_server_ready(u, ot, tables, choice) : status;
    status = status == SOTTO_OK ? sotto_chan_send(chan, tables, b->table) : status;
    if (status == SOTTO_OK) {
        status = sotto_label_server_offer(u, offer, own);
        assert_true(status != SOTTO_OK || sotto_label_server_offer(u, offer, own) == SOTTO_ERR_USED);
    }
    status = status == SOTTO_OK ? sotto_chan_send(chan, offer, b->offer) : status;
    sotto_label_server_free(u);
    free(choice);
    free(offer);
    free(tables);
    return status;
}

static int act(ot_party *p, sotto_ot *ot, sotto_chan *chan)
{
    label_ctx *c = p->data;
    const sotto_rng rng = test_rng(p->seed, 20 + (uint64_t)p->party);
    sotto_prg stream;
    sotto_prg_init(&stream, (sotto_block){{p->seed, 1}});
    const sotto_rng dealt = sotto_prg_rng(&stream);
    uint64_t own[2][COUNT_MAX];
    int status = SOTTO_OK;
    if (p->party == 0 && c->calloc_fails > 0) {
        sotto_calloc_fail_after(c->calloc_fails - 1);
    }
    for (size_t round = 0; round < c->rounds && status == SOTTO_OK; round++) {
        shares(c, &dealt, round, own[0], own[1]);
        status = p->party == 0 ? client(c, ot, chan, own[0], round) : server(c, ot, chan, own[1], round, &rng);
    }
    return status;
}

static void run_on(label_ctx *c, sotto_chan *ends[2], int status[2])
{
    ot_party p[2] = {{.party = 0, .seed = c->seed, .kind = c->plan.ot, .act = act, .data = c},
                     {.party = 1, .seed = c->seed, .kind = c->plan.ot, .act = act, .data = c}};
    c->wrong = 0;
    if (ends == NULL) {
        test_two_party(ot_party_run, &p[0], ot_party_run, &p[1], status);
    } else {
        test_two_party_on(ends[0], ot_party_run, &p[0], ends[1], ot_party_run, &p[1], status);
    }
}

static void run(label_ctx *c)
{
    int status[2];
    run_on(c, NULL, status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    assert_int_equal(0, c->wrong);
}

static uint64_t three_of_three_bits(size_t round, size_t i)
{
    return (uint64_t)((int64_t)(round >> 3 * i & 7) - 4);
}

static void test_all_values(void **state)
{
    (void)state;
    for (int scheme = 0; scheme < SOTTO_GARBLE_SCHEMES; scheme++) {
        label_ctx c = {.rounds = 512, .value = three_of_three_bits, .seed = test_seed()};
        assert_ok(sotto_label_plan_new(&c.plan, 3, 3, SOTTO_OT_SOFTSPOKEN4, (sotto_garble_scheme)scheme));
        run(&c);
        sotto_label_plan_free(&c.plan);
    }
}

static uint64_t scattered(size_t round, size_t i)
{
    uint64_t x = (round * COUNT_MAX + i + 1) * 0x9e3779b97f4a7c15u;
    x ^= x >> 29;
    return (uint64_t)((int64_t)(x * 0xbf58476d1ce4e5b9u) >> 50); /* 14 bits, ties among them */
}

static void test_counts(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 2, 10, 17, 100, 300};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        label_ctx c = {.rounds = 6, .value = scattered, .seed = test_seed() + k};
        assert_ok(sotto_label_plan_new(&c.plan, counts[k], 14 + (unsigned)k, k < 3 ? SOTTO_OT_FERRET : SOTTO_OT_SOFTSPOKEN4, k % 2 == 0 ? SOTTO_THREE_HALVES : SOTTO_HALF_GATES));
        run(&c);
        sotto_label_plan_free(&c.plan);
    }
}

static uint64_t constant(size_t round, size_t i)
{
    (void)round;
    return i == 3 ? 5 : i == 4 ? (uint64_t)-100 : 0;
}

/* Of one set of values: flips, labels and tables look alike whatever they are. */
static void test_views_are_uniform(void **state)
{
    (void)state;
    enum { ROUNDS = 60 };
    label_ctx c = {.rounds = ROUNDS, .value = constant, .seed = test_seed()};
    assert_ok(sotto_label_plan_new(&c.plan, 8, 16, SOTTO_OT_SOFTSPOKEN4, SOTTO_HALF_GATES));
    const sotto_unit_bytes b = c.plan.bytes;
    c.offers = calloc(ROUNDS, b.offer);
    c.choices = calloc(ROUNDS, b.choice);
    c.tables = calloc(ROUNDS, b.table);
    run(&c);
    const struct {
        const uint8_t *bytes;
        size_t stride, used;
    } views[] = {{c.offers, b.offer, b.offer - 1}, {c.choices, b.choice, b.choice}, {c.tables, b.table, b.table}};
    for (size_t v = 0; v < 3; v++) {
        uint64_t cells[256] = {0};
        for (size_t round = 0; round < ROUNDS; round++) {
            for (size_t i = 0; i < views[v].used; i++) {
                cells[views[v].bytes[round * views[v].stride + i]]++;
            }
        }
        assert_true(test_chi_square(cells, 256, ROUNDS * views[v].used) < test_chi_square_bound(256));
    }
    uint64_t decode[8] = {0}; /* the three permute bits */
    for (size_t round = 0; round < ROUNDS; round++) {
        decode[c.offers[round * b.offer + b.offer - 1] & 7]++;
    }
    assert_true(test_chi_square(decode, 8, ROUNDS) < test_chi_square_bound(8));
    free(c.offers);
    free(c.choices);
    free(c.tables);
    sotto_label_plan_free(&c.plan);
}

static void test_faults(void **state)
{
    (void)state;
    enum { SET_UP = 16 };
    static const test_fault faults[] = {TEST_FAULT_CLOSE, TEST_FAULT_FLIP, TEST_FAULT_GARBAGE};
    for (unsigned kind = 0; kind < 6; kind++) {
        const int faulty = kind & 1;
        long ops = SET_UP + 1;
        for (long k = SET_UP - 1; k < ops; k++) { /* the first one counts */
            test_fault_plan plan = {.kind = k < SET_UP ? TEST_FAULT_NONE : faults[kind / 2], .k = k, .seed = test_seed()};
            sotto_chan inner[2], outer;
            int status[2];
            label_ctx c = {.rounds = 1, .value = scattered, .seed = 5};
            assert_ok(sotto_label_plan_new(&c.plan, 3, 15, SOTTO_OT_SOFTSPOKEN4, SOTTO_HALF_GATES));
            test_chan_pair(&inner[0], &inner[1], 500);
            test_chan_faulty(&outer, &inner[faulty], &plan);
            run_on(&c, (sotto_chan *[2]){faulty == 0 ? &outer : &inner[0], faulty == 1 ? &outer : &inner[1]}, status);
            if (k < SET_UP) {
                assert_ok(status[0]);
                assert_ok(status[1]);
                assert_true(plan.ops > SET_UP);
                ops = plan.ops;
            } else if (plan.kind == TEST_FAULT_CLOSE) {
                assert_true(status[0] != SOTTO_OK || status[1] != SOTTO_OK);
            }
            sotto_label_plan_free(&c.plan);
        }
    }
}

static void test_lack_of_memory(void **state)
{
    (void)state;
    int status[2] = {SOTTO_ERR_MEMORY, SOTTO_OK};
    label_ctx c = {.rounds = 1, .value = scattered, .seed = 5};
    int planned = SOTTO_ERR_MEMORY;
    for (long k = 0; planned != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        planned = sotto_label_plan_new(&c.plan, 3, 15, SOTTO_OT_SOFTSPOKEN4, SOTTO_HALF_GATES);
        sotto_calloc_fail_after(-1);
        assert_true(planned == SOTTO_OK ? k > 0 : planned == SOTTO_ERR_MEMORY && c.plan.garbling == NULL);
    }
    for (long k = 1; status[0] != SOTTO_OK || status[1] != SOTTO_OK; k++) {
        c.calloc_fails = k;
        run_on(&c, NULL, status);
        sotto_calloc_fail_after(-1);
        assert_true((status[0] == SOTTO_OK && status[1] == SOTTO_OK) || status[0] == SOTTO_ERR_MEMORY || status[1] == SOTTO_ERR_MEMORY);
        assert_true(status[0] != SOTTO_OK || k > 4);
    }
    sotto_label_plan_free(&c.plan);
}

static void test_refused(void **state)
{
    (void)state;
    sotto_label_plan p;
    assert_status(SOTTO_ERR_ARG, sotto_label_plan_new(&p, 0, 8, SOTTO_OT_IKNP, SOTTO_HALF_GATES));
    assert_status(SOTTO_ERR_ARG, sotto_label_plan_new(&p, 65537, 8, SOTTO_OT_IKNP, SOTTO_HALF_GATES));
    assert_status(SOTTO_ERR_ARG, sotto_label_plan_new(&p, 8, 65, SOTTO_OT_IKNP, SOTTO_HALF_GATES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_values), cmocka_unit_test(test_counts),         cmocka_unit_test(test_views_are_uniform),
        cmocka_unit_test(test_faults),     cmocka_unit_test(test_lack_of_memory), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
