/* Silent OT in halves: calls of both directions in flights of messages, stocks of one and two levels, rounds that end within a call, items one after another, sizes as named,
 * misuse, faults, lack of memory. */
#include "ot/ferret_internal.h"

#include <stdlib.h>

#include "tests/ot/fixture.h"

#define TREE ((size_t)SOTTO_FERRET_LEAVES)

typedef struct call {
    int receiver; /* party */
    size_t count;
    int random;
} call;

/* One item: a stock, then all calls: party 0 asks, party 1 gives and asks, party 0 takes and gives, party 1 takes. */
typedef struct item {
    const call *calls;
    size_t count;
    size_t spare[2]; /* trees of the stock that no call uses */
} item;

/* What came of a call. */
typedef struct outcome {
    sotto_block *q, *t;
    uint8_t *choices;
    uint64_t first[2]; /* at the sender, at the receiver */
} outcome;

typedef struct script {
    const item *items;
    size_t count;
    outcome *out; /* of all calls, item after item */
    sotto_block offset[2];
    sotto_ot_kind kind;
} script;

static sotto_ot_stock stock_of(const item *it)
{
    sotto_ot_stock s = {{it->spare[0], it->spare[1]}};
    for (size_t i = 0; i < it->count; i++) {
        s.trees[it->calls[i].receiver] += (it->calls[i].count + TREE - 1) / TREE;
    }
    return s;
}

/* The same as sotto_ot_stock_make, each message as long as it should be. */
static int make_stock(sotto_ot *ot, sotto_chan *chan, int party, const sotto_ot_stock *s)
{
    const unsigned exchanges = sotto_ot_stock_exchanges(s);
    int status = sotto_ot_stock_begin(ot, s);
    for (unsigned turn = 0; exchanges > 0 && turn <= 2 * exchanges && status == SOTTO_OK; turn++) {
        const int says = (int)(turn % 2) == party;
        const uint64_t before = says ? chan->stats.bytes_out : chan->stats.bytes_in;
        status = says ? sotto_ot_stock_say(ot, chan) : sotto_ot_stock_hear(ot, chan);
        if (status == SOTTO_OK) {
            assert_int_equal(sotto_ot_stock_bytes(s, says ? party : 1 - party, turn / 2), (says ? chan->stats.bytes_out : chan->stats.bytes_in) - before);
        }
    }
    return status;
}

static int ask(const call *c, outcome *o, sotto_ot *ot, sotto_chan *chan)
{
    const uint64_t before = chan->stats.bytes_out;
    const int status = sotto_ot_ask(ot, chan, c->random ? NULL : o->choices, c->count);
    if (status == SOTTO_OK) {
        assert_int_equal(sotto_ot_wire_bytes(SOTTO_OT_FERRET, c->count, c->random), chan->stats.bytes_out - before);
    }
    return status;
}

/* Reads what was asked for; the answer is sent when all is read, as in a session. */
static int give(const call *c, outcome *o, sotto_ot *ot, sotto_chan *chan, uint8_t *answer)
{
    return sotto_ot_give(ot, chan, c->random, c->count, o->q, &o->first[0], answer);
}

static int take(const call *c, outcome *o, sotto_ot *ot, sotto_chan *chan)
{
    const size_t bytes = sotto_ot_answer_bytes(SOTTO_OT_FERRET, c->count);
    uint8_t *answer = calloc(bytes + 1, 1);
    int status = sotto_chan_recv(chan, answer, bytes);
    if (status == SOTTO_OK) {
        status = sotto_ot_take(ot, answer, c->random ? o->choices : NULL, c->count, o->t, &o->first[1]);
    }
    free(answer);
    return status;
}

static int asks(const item *it, outcome *out, int party, sotto_ot *ot, sotto_chan *chan)
{
    int status = SOTTO_OK;
    for (size_t i = 0; i < it->count && status == SOTTO_OK; i++) {
        status = it->calls[i].receiver == party ? ask(&it->calls[i], &out[i], ot, chan) : SOTTO_OK;
    }
    return status;
}

static int gives(const item *it, outcome *out, int party, sotto_ot *ot, sotto_chan *chan)
{
    uint8_t *answer[16] = {NULL};
    int status = SOTTO_OK;
    assert_true(it->count <= 16);
    for (size_t i = 0; i < it->count && status == SOTTO_OK; i++) {
        if (it->calls[i].receiver != party) {
            answer[i] = calloc(sotto_ot_answer_bytes(SOTTO_OT_FERRET, it->calls[i].count) + 1, 1);
            status = give(&it->calls[i], &out[i], ot, chan, answer[i]);
        }
    }
    for (size_t i = 0; i < it->count; i++) {
        if (answer[i] != NULL && status == SOTTO_OK) {
            status = sotto_chan_send(chan, answer[i], sotto_ot_answer_bytes(SOTTO_OT_FERRET, it->calls[i].count));
        }
        free(answer[i]);
    }
    return status;
}

static int takes(const item *it, outcome *out, int party, sotto_ot *ot, sotto_chan *chan)
{
    int status = SOTTO_OK;
    for (size_t i = 0; i < it->count && status == SOTTO_OK; i++) {
        status = it->calls[i].receiver == party ? take(&it->calls[i], &out[i], ot, chan) : SOTTO_OK;
    }
    return status;
}

static int play(ot_party *p, sotto_ot *ot, sotto_chan *chan)
{
    script *s = p->data;
    outcome *out = s->out;
    int status = SOTTO_OK;
    s->offset[p->party] = sotto_ot_offset(ot);
    for (size_t i = 0; i < s->count && status == SOTTO_OK; out += s->items[i++].count) {
        const item *it = &s->items[i];
        const sotto_ot_stock stock = stock_of(it);
        status = make_stock(ot, chan, p->party, &stock);
        for (int step = 0; step < 3 && status == SOTTO_OK; step++) {
            int (*const steps[2][3])(const item *, outcome *, int, sotto_ot *, sotto_chan *) = {{asks, takes, gives}, {gives, asks, takes}};
            status = steps[p->party][step](it, out, p->party, ot, chan);
        }
        status = status == SOTTO_OK ? sotto_chan_flush(chan) : status;
    }
    return status;
}

static void outcomes_new(script *s, const sotto_rng *rng)
{
    size_t calls = 0;
    for (size_t i = 0; i < s->count; i++) {
        calls += s->items[i].count;
    }
    outcome *o = s->out = calloc(calls, sizeof *o);
    for (size_t i = 0; i < s->count; i++) {
        for (size_t k = 0; k < s->items[i].count; k++, o++) {
            const size_t n = s->items[i].calls[k].count;
            *o = (outcome){.q = calloc(n, sizeof *o->q), .t = calloc(n, sizeof *o->t), .choices = calloc(n / 8 + 1, 1)};
            assert_true(o->q != NULL && o->t != NULL && o->choices != NULL);
            assert_ok(sotto_rng_fill(rng, o->choices, n / 8 + 1));
        }
    }
}

static void outcomes_free(script *s)
{
    outcome *o = s->out;
    for (size_t i = 0; i < s->count; i++) {
        for (size_t k = 0; k < s->items[i].count; k++, o++) {
            free(o->q);
            free(o->t);
            free(o->choices);
        }
    }
    free(s->out);
}

static void check(const script *s)
{
    const outcome *o = s->out;
    uint64_t next[2] = {0, 0}, ones = 0, all = 0;
    for (size_t i = 0; i < s->count; i++) {
        for (size_t k = 0; k < s->items[i].count; k++, o++) {
            const call *c = &s->items[i].calls[k];
            size_t wrong = 0;
            assert_int_equal(o->first[0], o->first[1]);
            assert_true(o->first[0] >= next[c->receiver]); /* no number twice */
            next[c->receiver] = o->first[0] + c->count;
            for (size_t j = 0; j < c->count; j++) {
                const uint64_t mask = 0 - (uint64_t)sotto_bit(o->choices, j);
                const sotto_block want = sotto_block_xor(o->q[j], sotto_block_and(s->offset[1 - c->receiver], mask));
                wrong += want.w[0] != o->t[j].w[0] || want.w[1] != o->t[j].w[1] || (o->q[j].w[0] == 0 && o->q[j].w[1] == 0);
                ones += c->random && mask != 0;
            }
            all += c->random ? c->count : 0;
            assert_int_equal(0, wrong);
        }
    }
    const double off = (double)ones - (double)all / 2;
    assert_true(off * off < 25.0 * (double)all / 4);
}

static void run(script *s, sotto_chan *ends[2], int status[2])
{
    ot_party p[2] = {{.party = 0, .seed = test_seed(), .kind = s->kind, .act = play, .data = s}, {.party = 1, .seed = test_seed(), .kind = s->kind, .act = play, .data = s}};
    if (ends == NULL) {
        test_two_party(ot_party_run, &p[0], ot_party_run, &p[1], status);
    } else {
        test_two_party_on(ends[0], ot_party_run, &p[0], ends[1], ot_party_run, &p[1], status);
    }
}

static const call both_ways[] = {{0, 1, 1}, {1, 2048, 1}, {0, 2049, 0}, {0, 5000, 1}, {1, 77, 0}, {0, 4096, 0}, {1, 6000, 1}, {0, 130, 1}};
static const call one_way[] = {{1, 3000, 0}, {1, 1, 1}};
/* Past the end of the first round and of the second: within a call, and exactly at the end of one. */
static const call rounds[] = {{0, 600 * 2048, 1}, {1, 8, 1}, {0, 100 * 2048 - 5, 0}, {0, 580 * 2048, 1}, {0, 9, 1}};
enum { BOTH = sizeof both_ways / sizeof *both_ways, ONE = sizeof one_way / sizeof *one_way, ROUNDS = sizeof rounds / sizeof *rounds };

static void test_items(void **state)
{
    (void)state;
    static const item items[] = {
        {both_ways, BOTH, {0, 0}},
        {both_ways, BOTH, {8 * 640, 0}}, /* two levels towards party 0, one towards the other */
        {one_way, ONE, {0, 0}},          /* what is left towards party 0 stays */
        {rounds, ROUNDS, {0, 9 * 640}},
        {both_ways, BOTH, {0, 0}},
    };
    const sotto_rng rng = test_rng(test_seed(), 9);
    script s = {.items = items, .count = sizeof items / sizeof *items, .kind = SOTTO_OT_FERRET};
    int status[2];
    outcomes_new(&s, &rng);
    run(&s, NULL, status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    check(&s);
    outcomes_free(&s);
}

/* Exchanges as levels, nothing for nothing, and all messages of a stock together as long as its trees. */
static void test_stocks(void **state)
{
    (void)state;
    static const struct {
        size_t trees[2];
        unsigned exchanges;
    } cases[] = {{{0, 0}, 0}, {{1, 0}, 1}, {{0, 1}, 1}, {{8 * 640, 640}, 1}, {{8 * 640 + 1, 1}, 2}, {{1, 80 * 640}, 2}, {{0, 80 * 640 + 1}, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sotto_ot_stock s = {{cases[i].trees[0], cases[i].trees[1]}};
        size_t bytes = 0;
        assert_int_equal(cases[i].exchanges, sotto_ot_stock_exchanges(&s));
        for (unsigned e = 0; e <= cases[i].exchanges + 1; e++) {
            bytes += sotto_ot_stock_bytes(&s, 0, e) + sotto_ot_stock_bytes(&s, 1, e);
            assert_true(e >= cases[i].exchanges || sotto_ot_stock_bytes(&s, 1, e) > 0);
        }
        assert_int_equal(sotto_ot_stock_trees(&s) * (SOTTO_FERRET_FLIP_BYTES + SOTTO_FERRET_SUM_BYTES), bytes);
    }
}

/* Calls that the stock was not made for, takes of what was not asked for, kinds that have no halves; afterwards nothing succeeds. */
static int misuse(ot_party *p, sotto_ot *ot, sotto_chan *chan)
{
    const sotto_ot_stock stock = {{1, 1}};
    const size_t beyond = 640 * TREE + 1; /* a stock is made of whole rounds */
    static uint8_t answers[2][1024];
    sotto_block *own = p->data;
    uint8_t *answer = answers[p->party];
    uint64_t first;
    if (p->kind == SOTTO_OT_IKNP) {
        assert_status(SOTTO_ERR_ARG, sotto_ot_stock_begin(ot, &stock));
        assert_status(SOTTO_ERR_ARG, sotto_ot_stock_say(ot, chan));
        assert_status(SOTTO_ERR_ARG, sotto_ot_stock_hear(ot, chan));
        assert_status(SOTTO_ERR_ARG, sotto_ot_ask(ot, chan, NULL, 1));
        assert_status(SOTTO_ERR_ARG, sotto_ot_take(ot, answer, NULL, 1, own, &first));
        return sotto_ot_stock_make(ot, chan, &stock); /* nothing to make */
    }
    const int status = sotto_ot_stock_make(ot, chan, &stock);
    if (status != SOTTO_OK) {
        return status;
    }
    memset(own, 0x5a, beyond * sizeof *own);
    if (p->party == 0 && p->seed < 3) {
        return sotto_ot_give(ot, chan, 1, 1, own, &first, answer);
    }
    if (p->party == 0) {
        assert_status(SOTTO_ERR_ARG, sotto_ot_take(ot, answer, NULL, 1, own, &first));
        assert_int_equal(0, own[0].w[0] | own[0].w[1]);
    } else if (p->seed == 1) {
        assert_ok(sotto_ot_ask(ot, chan, NULL, 1)); /* never taken */
        assert_status(SOTTO_ERR_ARG, sotto_ot_stock_begin(ot, &stock));
    } else if (p->seed == 2) {
        assert_ok(sotto_ot_ask(ot, chan, NULL, 1));
        assert_status(SOTTO_ERR_ARG, sotto_ot_recv(ot, chan, answer, 8, own, &first));
    } else {
        assert_status(SOTTO_ERR_ARG, sotto_ot_give(ot, chan, 1, beyond, own, &first, answer));
        assert_int_equal(0, own[beyond - 1].w[0] | own[beyond - 1].w[1]);
    }
    assert_status(SOTTO_ERR_PROTOCOL, sotto_ot_ask(ot, chan, NULL, 1));
    assert_status(SOTTO_ERR_PROTOCOL, sotto_ot_stock_say(ot, chan));
    assert_status(SOTTO_ERR_PROTOCOL, sotto_ot_stock_begin(ot, &stock));
    assert_status(SOTTO_ERR_PROTOCOL, sotto_ot_recv(ot, chan, answer, 8, own, &first));
    return SOTTO_OK;
}

static void test_misuse(void **state)
{
    (void)state;
    static const sotto_ot_kind kinds[] = {SOTTO_OT_IKNP, SOTTO_OT_FERRET, SOTTO_OT_FERRET, SOTTO_OT_FERRET};
    sotto_block *blocks[2] = {calloc(641 * TREE, sizeof **blocks), calloc(641 * TREE, sizeof **blocks)};
    assert_true(blocks[0] != NULL && blocks[1] != NULL);
    for (size_t i = 0; i < 4; i++) {
        ot_party p[2] = {{.party = 0, .seed = i, .kind = kinds[i], .act = misuse, .data = blocks[0]},
                         {.party = 1, .seed = i, .kind = kinds[i], .act = misuse, .data = blocks[1]}};
        int status[2];
        test_two_party(ot_party_run, &p[0], ot_party_run, &p[1], status);
        assert_ok(status[0]);
        assert_ok(status[1]);
    }
    free(blocks[0]);
    free(blocks[1]);
}

/* Set-up, stock and calls, the channel failing at every operation after the base OTs. */
static void test_faults(void **state)
{
    (void)state;
    static const item items[] = {{both_ways, BOTH, {0, 0}}};
    const sotto_rng rng = test_rng(test_seed(), 9);
    script s = {.items = items, .count = 1, .kind = SOTTO_OT_FERRET};
    outcomes_new(&s, &rng);
    for (int faulty = 0; faulty < 2; faulty++) {
        long ops = 1;
        for (long k = -1; k < ops; k = k < 0 ? 16 : k + 1) {
            test_fault_plan plan = {.kind = k < 0 ? TEST_FAULT_NONE : k % 2 ? TEST_FAULT_CLOSE : TEST_FAULT_GARBAGE, .k = k, .seed = 1};
            sotto_chan inner[2], outer;
            int status[2];
            test_chan_pair(&inner[0], &inner[1], 2000);
            test_chan_faulty(&outer, &inner[faulty], &plan);
            run(&s, (sotto_chan *[2]){faulty == 0 ? &outer : &inner[0], faulty == 1 ? &outer : &inner[1]}, status);
            if (k < 0) {
                assert_ok(status[0]);
                assert_ok(status[1]);
                ops = plan.ops;
            } else if (plan.kind == TEST_FAULT_CLOSE) {
                assert_true(status[0] != SOTTO_OK || status[1] != SOTTO_OK);
            }
        }
    }
    outcomes_free(&s);
}

/* Allocation n of the process fails, for every n, until none does. */
static void test_lack_of_memory(void **state)
{
    (void)state;
    static const item items[] = {{both_ways, BOTH, {0, 0}}, {one_way, ONE, {0, 0}}};
    const sotto_rng rng = test_rng(test_seed(), 9);
    script s = {.items = items, .count = 2, .kind = SOTTO_OT_FERRET};
    int status[2] = {SOTTO_ERR_MEMORY, SOTTO_ERR_MEMORY};
    outcomes_new(&s, &rng);
    for (long n = 0; status[0] != SOTTO_OK || status[1] != SOTTO_OK; n++) {
        sotto_chan inner[2];
        test_chan_pair(&inner[0], &inner[1], 2000);
        sotto_calloc_fail_after(n);
        run(&s, (sotto_chan *[2]){&inner[0], &inner[1]}, status);
        sotto_calloc_fail_after(-1);
        assert_true((status[0] == SOTTO_OK && status[1] == SOTTO_OK) || status[0] == SOTTO_ERR_MEMORY || status[1] == SOTTO_ERR_MEMORY);
        assert_true(n < 200);
    }
    check(&s);
    outcomes_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items),  cmocka_unit_test(test_stocks), cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_faults), cmocka_unit_test(test_lack_of_memory),
    };
    return cmocka_run_group_tests_name("ot/silent", tests, NULL, NULL);
}
