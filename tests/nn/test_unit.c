/* Units over real OTs with both providers: results against the reference for all shares of a small ring, sizes as planned, what each side
 * receives is uniform; tiles, kinds of OT, a transcript as known answer on every tier, faults. */
#include <stdio.h>

#include "nn/secure/unit.h"

#include <stdlib.h>

#include "lib/cpu.h"
#include "lib/ct.h"
#include "tests/ot/fixture.h"

#define COUNT_MAX 70000
#define VIEW_COUNT 4096

typedef struct unit_ctx {
    sotto_step_info step;
    sotto_sign_provider sign;
    sotto_ot_kind ot; /* 0: IKNP */
    sotto_unit_plan plan;
    uint64_t a[COUNT_MAX], c[COUNT_MAX], r[COUNT_MAX], e[COUNT_MAX];
    /* what was received: choice by the server, then the offer by the client and the reply by the server */
    uint8_t *choice, *offer, *reply;
    long calloc_fails; /* the allocation that fails, counted over both parties from the end of the OT set-up on, plus 1; 0: none */
} unit_ctx;

/* Buffers here are not from sotto_calloc, which a test makes fail. */
static int client(unit_ctx *u, sotto_ot *ot, sotto_chan *chan)
{
    sotto_unit_client *unit = NULL;
    const sotto_unit_plan *p = &u->plan;
    uint8_t *choice = calloc(p->choice_bytes + 1, 1);
    uint8_t *offer = calloc(p->offer_bytes + 1, 1), *reply = calloc(p->reply_bytes + 1, 1);
    const uint64_t before = chan->stats.bytes_out;
    int status = sotto_unit_client_new(&unit, p, ot, chan);
    if (status == SOTTO_OK) {
        status = u->ot == SOTTO_OT_FERRET || chan->stats.bytes_out - before == p->matrix_bytes ? sotto_unit_client_choose(unit, ot, chan, u->c, choice) : SOTTO_ERR_ARG;
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_send(chan, choice, p->choice_bytes);
    }
    if (status == SOTTO_OK && p->table_bytes > 0) {
        status = sotto_chan_recv(chan, sotto_unit_client_tables(unit), p->table_bytes);
    }
    if (status == SOTTO_OK && p->offer_bytes > 0) {
        status = sotto_chan_recv(chan, offer, p->offer_bytes);
        memcpy(u->offer, offer, p->offer_bytes);
    }
    if (status == SOTTO_OK) {
        status = sotto_unit_client_reply(unit, reply, offer, u->r);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_send(chan, reply, p->reply_bytes);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_flush(chan);
    }
    sotto_unit_client_free(unit);
    free(choice);
    free(offer);
    free(reply);
    return status;
}

static int server(unit_ctx *u, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng)
{
    sotto_unit_server *unit = NULL;
    const sotto_unit_plan *p = &u->plan;
    uint8_t *offer = calloc(p->offer_bytes + 1, 1);
    int status = sotto_unit_server_new(&unit, p, ot, chan, rng);
    const uint64_t before = chan->stats.bytes_out;
    if (status == SOTTO_OK) {
        status = sotto_unit_server_correct(unit, ot, chan);
    }
    if (status == SOTTO_OK) {
        status = u->ot == SOTTO_OT_FERRET || chan->stats.bytes_out - before == p->correction_bytes ? sotto_chan_recv(chan, u->choice, p->choice_bytes) : SOTTO_ERR_ARG;
    }
    if (status == SOTTO_OK) {
        const uint64_t sent = chan->stats.bytes_out;
        status = sotto_unit_server_ready(unit, ot, chan, u->choice);
        status = status == SOTTO_OK && chan->stats.bytes_out - sent != p->table_bytes ? SOTTO_ERR_ARG : status;
    }
    if (status == SOTTO_OK) {
        status = sotto_unit_server_offer(unit, offer, u->a);
        if (status == SOTTO_OK) {
            assert_status(SOTTO_ERR_USED, sotto_unit_server_offer(unit, offer, u->a));
        }
    }
    if (status == SOTTO_OK && p->offer_bytes > 0) {
        status = sotto_chan_send(chan, offer, p->offer_bytes);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_recv(chan, u->reply, p->reply_bytes);
    }
    if (status == SOTTO_OK) {
        status = sotto_unit_server_finish(unit, u->e, u->reply);
    }
    sotto_unit_server_free(unit);
    free(offer);
    return status;
}

static int act(ot_party *p, sotto_ot *ot, sotto_chan *chan)
{
    const sotto_rng rng = test_rng(p->seed, 10 + (uint64_t)p->party);
    const unit_ctx *u = p->data;
    if (p->party == 0 && u->calloc_fails > 0) {
        sotto_calloc_fail_after(u->calloc_fails - 1);
    }
    return p->party == 0 ? client(p->data, ot, chan) : server(p->data, ot, chan, &rng);
}

/* Over channels of the caller; NULL: a fresh pair. */
static void run_on(unit_ctx *u, uint64_t seed, sotto_chan *ends[2], int status[2])
{
    if (u->ot == 0) {
        u->ot = SOTTO_OT_IKNP;
    }
    assert_ok(sotto_unit_plan_new(&u->plan, &u->step, u->sign, u->ot));
    u->choice = sotto_calloc(u->plan.choice_bytes, 1);
    u->offer = sotto_calloc(u->plan.offer_bytes, 1);
    u->reply = sotto_calloc(u->plan.reply_bytes, 1);
    assert_true(u->choice != NULL && u->offer != NULL && u->reply != NULL);
    ot_party p[2] = {{.party = 0, .seed = seed, .kind = u->ot, .act = act, .data = u}, {.party = 1, .seed = seed, .kind = u->ot, .act = act, .data = u}};
    if (ends == NULL) {
        test_two_party(ot_party_run, &p[0], ot_party_run, &p[1], status);
    } else {
        test_two_party_on(ends[0], ot_party_run, &p[0], ends[1], ot_party_run, &p[1], status);
    }
}

static void run(unit_ctx *u, uint64_t seed)
{
    int status[2];
    run_on(u, seed, NULL, status);
    assert_ok(status[0]);
    assert_ok(status[1]);
}

static void done(unit_ctx *u)
{
    sotto_free(u->choice);
    sotto_free(u->offer);
    sotto_free(u->reply);
}

static void check(const unit_ctx *u)
{
    const sotto_truncation t = u->step.truncation;
    for (size_t i = 0; i < u->step.units; i++) {
        const uint64_t y = sotto_low_bits(u->a[i] + u->c[i], t.l);
        uint64_t want = sotto_truncate_reference(t, y, u->c[i]);
        if (u->step.sign) {
            want *= sotto_sign_reference(u->step.sign_window, y, u->c[i]);
        }
        const uint64_t got = sotto_low_bits(u->e[i] + u->r[i], t.l_next);
        if (got != want) {
            fail_msg("unit %zu: y %llu c %llu gives %llu, reference %llu", i, (unsigned long long)y, (unsigned long long)u->c[i],
                     (unsigned long long)got, (unsigned long long)want);
        }
    }
}

/* All values within range, all shares, of a ring of 6 bits; every relation of the rings; relu and identity. */
static void test_all_shares(void **state)
{
    (void)state;
    static unit_ctx u;
    static const unsigned l_next[] = {2, 4, 5, 6, 9};
    const sotto_rng rng = test_rng(test_seed(), 0);
    for (size_t k = 0; k < sizeof l_next / sizeof *l_next; k++) {
        for (unsigned kind = 0; kind < 3; kind++) { /* identity, relu by lookup, relu by circuit */
            memset(&u, 0, sizeof u);
            u.sign = kind == 2 ? SOTTO_SIGN_CIRCUIT : SOTTO_SIGN_LOOKUP;
            u.step = (sotto_step_info){.op = SOTTO_STEP_UNIT, .truncation = {6, 2, l_next[k]}, .sign = kind > 0, .sign_window = {5, 2}};
            for (int64_t y = -16; y <= 12; y++) { /* -2^(l-2) .. 2^(l-2) - 2^f */
                for (uint64_t c = 0; c < 64; c++) {
                    const size_t i = u.step.units++;
                    u.c[i] = c;
                    u.a[i] = sotto_low_bits((uint64_t)y - c, 6);
                    u.r[i] = test_below(&rng, UINT64_C(1) << l_next[k]);
                }
            }
            run(&u, test_seed() + 10 * k + kind);
            check(&u);
            done(&u);
        }
    }
}

static void test_random_rings(void **state)
{
    (void)state;
    static unit_ctx u;
    const sotto_rng rng = test_rng(test_seed(), 1);
    for (int round = 0; round < 24; round++) {
        memset(&u, 0, sizeof u);
        const unsigned l = 6 + (unsigned)test_below(&rng, 30), f = (unsigned)test_below(&rng, l - 2), l_next = 2 + (unsigned)test_below(&rng, 40);
        const unsigned k = 4 + (unsigned)test_below(&rng, l - 4), most = k < 9 ? k : 9, bits = 2 + (unsigned)test_below(&rng, most - 1);
        u.sign = (sotto_sign_provider)(round & 1);
        u.step = (sotto_step_info){.op = SOTTO_STEP_UNIT, .units = 1 + test_below(&rng, 300), .truncation = {l, f, l_next},
                                   .sign = round % 3 != 0, .sign_window = {k, k - bits}};
        for (size_t i = 0; i < u.step.units; i++) {
            /* the range of both steps */
            const uint64_t span = (UINT64_C(1) << (l - 2)) - (UINT64_C(1) << f) + 1;
            uint64_t y = test_below(&rng, span);
            y = test_below(&rng, 2) ? 0 - y : y;
            u.c[i] = sotto_low_bits(test_u64(&rng), l);
            u.a[i] = sotto_low_bits(y - u.c[i], l);
            u.r[i] = sotto_low_bits(test_u64(&rng), l_next);
        }
        run(&u, test_seed() + (uint64_t)round);
        check(&u);
        done(&u);
    }
}

/* For a fixed value and a fixed client share, every byte that either side receives is uniform. Counts are multiples of 8 so that no array has padding. */
static void test_views_are_uniform(void **state)
{
    (void)state;
    static unit_ctx u;
    for (unsigned kind = 0; kind < 8; kind++) {
        const sotto_rng rng = test_rng(test_seed(), kind);
        memset(&u, 0, sizeof u);
        const uint64_t y = kind & 2 ? 0x3ff00 : 0x00123; /* negative and positive, modulo 2^18 */
        u.sign = (sotto_sign_provider)(kind & 1);
        u.step = (sotto_step_info){.op = SOTTO_STEP_UNIT, .units = VIEW_COUNT, .truncation = {18, 6, 16}, .sign = 1, .sign_window = {17, 11}};
        for (size_t i = 0; i < VIEW_COUNT; i++) {
            u.c[i] = kind & 4 ? 0x15a5a : 0;
            u.a[i] = sotto_low_bits(y - u.c[i], 18);
            u.r[i] = test_below(&rng, 1 << 16); /* the client's next mask */
        }
        run(&u, test_seed() + kind);
        check(&u);
        const struct {
            const char *name;
            const uint8_t *bytes;
            size_t len;
        } views[] = {{"choice", u.choice, u.plan.choice_bytes}, {"offer", u.offer, u.plan.offer_bytes}, {"reply", u.reply, u.plan.reply_bytes}};
        for (size_t v = 0; v < 3; v++) {
            uint64_t cells[256] = {0};
            for (size_t i = 0; i < views[v].len; i++) {
                cells[views[v].bytes[i]]++;
            }
            const double chi = test_chi_square(cells, 256, views[v].len);
            if (!(chi < test_chi_square_bound(256))) {
                fail_msg("%s (kind %u) is not uniform: chi-square %g", views[v].name, kind, chi);
            }
        }
        done(&u);
    }
}

/* Random values and shares of the rings of the program's own layers. */
static void fill(unit_ctx *u, size_t count, unsigned bits, const sotto_rng *rng)
{
    u->step = (sotto_step_info){.op = SOTTO_STEP_UNIT, .units = count, .truncation = {24, 7, 24}, .sign = 1, .sign_window = {23, 23 - bits}};
    for (size_t i = 0; i < count; i++) {
        const uint64_t y = test_below(rng, (UINT64_C(1) << 22) - 128);
        u->c[i] = test_below(rng, 1 << 24);
        u->a[i] = sotto_low_bits((i % 2 ? 0 - y : y) - u->c[i], 24);
        u->r[i] = test_below(rng, 1 << 24);
    }
}

/* Counts around tiles, and one beyond a group of silent OTs, with every kind of OT. */
static void test_tiles(void **state)
{
    (void)state;
    static unit_ctx u;
    static const struct {
        sotto_ot_kind ot;
        size_t count;
        unsigned bits;
        sotto_sign_provider sign;
    } cases[] = {{SOTTO_OT_IKNP, 2047, 6, SOTTO_SIGN_LOOKUP},       {SOTTO_OT_IKNP, 2048, 2, SOTTO_SIGN_LOOKUP},
                 {SOTTO_OT_SOFTSPOKEN4, 2049, 9, SOTTO_SIGN_LOOKUP}, {SOTTO_OT_SOFTSPOKEN4, 4103, 6, SOTTO_SIGN_CIRCUIT},
                 {SOTTO_OT_FERRET, 4103, 16, SOTTO_SIGN_CIRCUIT},    {SOTTO_OT_FERRET, 65536 + 2051, 6, SOTTO_SIGN_LOOKUP},
                 {SOTTO_OT_IKNP, 6151, 3, SOTTO_SIGN_CIRCUIT},       {SOTTO_OT_SOFTSPOKEN8, 1, 7, SOTTO_SIGN_LOOKUP}};
    const sotto_rng rng = test_rng(test_seed(), 20);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        for (int sign = 0; sign < 2; sign++) {
            memset(&u, 0, sizeof u);
            u.sign = cases[k].sign;
            u.ot = cases[k].ot;
            fill(&u, cases[k].count, cases[k].bits, &rng);
            u.step.sign = sign;
            run(&u, test_seed() + k);
            check(&u);
            done(&u);
        }
    }
}

/* Known answer: what both parties send, made by this program; the same on every tier, so that parties with different processors understand each other. */
static void test_transcript_of_units(void **state)
{
    (void)state;
    static const char *const known[SOTTO_SIGN_PROVIDERS][2] = {
        {"1cc8d655345b26105f1bbfdbee40f8fbf2ba54c8c054f3b997104958893a0773", "0b687391c0bcce52748a291b5a1a80ac8cdf16ddb718e6ce9c3287f753f69737"},
        {"1cc8d655345b26105f1bbfdbee40f8fbf2ba54c8c054f3b997104958893a0773", "11649cf5159fd7cd3eb115b6bf16dda419b606faccec6ffa77b40c43fc3b99d8"}};
    static unit_ctx u;
    for (int sign = 0; sign < SOTTO_SIGN_PROVIDERS; sign++) {
        for (int tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_IFMA; tier++) {
            const sotto_rng rng = test_rng(7, 21);
            memset(&u, 0, sizeof u);
            u.sign = (sotto_sign_provider)sign;
            fill(&u, 2100, 6, &rng);
            sotto_cpu_force_tier((sotto_tier)tier);
            sotto_chan inner[2], outer[2];
            test_transcript t[2];
            char hex[65];
            int status[2];
            test_chan_pair(&inner[0], &inner[1], 0);
            test_chan_transcript(&outer[0], &inner[0], &t[0]);
            test_chan_transcript(&outer[1], &inner[1], &t[1]);
            run_on(&u, 7, (sotto_chan *[2]){&outer[0], &outer[1]}, status);
            assert_ok(status[0]);
            assert_ok(status[1]);
            check(&u);
            for (int i = 0; i < 2; i++) {
                test_transcript_hex(&t[i], hex);
                assert_string_equal(hex, known[sign][i]);
            }
            done(&u);
        }
    }
}

/* A peer that closes, or sends wrong bytes, at operation k: an error or a wrong result, no crash and no hang. The OT set-up before has tests of its own. */
static void test_faults(void **state)
{
    (void)state;
    enum { SET_UP = 16 };
    static const test_fault faults[] = {TEST_FAULT_CLOSE, TEST_FAULT_FLIP, TEST_FAULT_GARBAGE};
    static unit_ctx u;
    const sotto_rng rng = test_rng(test_seed(), 22);
    for (unsigned kind = 0; kind < 12; kind++) {
        const int faulty = kind & 1;
        const test_fault fault = faults[kind / 4];
        long ops = SET_UP + 1;
        for (long k = SET_UP - 1; k < ops; k++) { /* the first one counts */
            test_fault_plan plan = {.kind = k < SET_UP ? TEST_FAULT_NONE : fault, .k = k, .seed = test_seed()};
            sotto_chan inner[2], outer;
            int status[2];
            memset(&u, 0, sizeof u);
            u.sign = kind & 2 ? SOTTO_SIGN_CIRCUIT : SOTTO_SIGN_LOOKUP;
            fill(&u, 21, 6, &rng);
            test_chan_pair(&inner[0], &inner[1], 2000);
            test_chan_faulty(&outer, &inner[faulty], &plan);
            run_on(&u, 5, (sotto_chan *[2]){faulty == 0 ? &outer : &inner[0], faulty == 1 ? &outer : &inner[1]}, status);
            if (k < SET_UP) {
                assert_ok(status[0]);
                assert_ok(status[1]);
                assert_true(plan.ops > SET_UP);
                ops = plan.ops;
            } else if (fault == TEST_FAULT_CLOSE) {
                assert_true(status[0] != SOTTO_OK || status[1] != SOTTO_OK);
            }
            done(&u);
        }
    }
}

/* Every allocation of either party fails once: the party says so, the other one sees a closed channel. */
static void test_lack_of_memory(void **state)
{
    (void)state;
    static unit_ctx u;
    const sotto_rng rng = test_rng(test_seed(), 23);
    for (int sign = 0; sign < SOTTO_SIGN_PROVIDERS; sign++) {
        int failed = 1;
        for (long k = 1; failed; k++) {
            int status[2];
            memset(&u, 0, sizeof u);
            u.sign = (sotto_sign_provider)sign;
            fill(&u, 10, 6, &rng);
            u.calloc_fails = k;
            run_on(&u, 5, NULL, status);
            sotto_calloc_fail_after(-1);
            failed = status[0] != SOTTO_OK || status[1] != SOTTO_OK;
            assert_true(!failed || status[0] == SOTTO_ERR_MEMORY || status[1] == SOTTO_ERR_MEMORY);
            assert_true(failed || k > 16); /* the client alone makes as many */
            if (!failed) {
                check(&u);
            }
            done(&u);
        }
    }
}

static void test_refused(void **state)
{
    (void)state;
    sotto_unit_plan p;
    const sotto_step_info wide = {.op = SOTTO_STEP_UNIT, .units = 4, .truncation = {20, 4, 16}, .sign = 1, .sign_window = {19, 9}};
    assert_status(SOTTO_ERR_PARAMS, sotto_unit_plan_new(&p, &wide, SOTTO_SIGN_LOOKUP, SOTTO_OT_IKNP));
    assert_non_null(strstr(sotto_error_message(), "choose the circuit"));
    assert_ok(sotto_unit_plan_new(&p, &wide, SOTTO_SIGN_CIRCUIT, SOTTO_OT_IKNP));
    assert_status(SOTTO_ERR_PARAMS, sotto_unit_plan_new(&p, &wide, SOTTO_SIGN_PROVIDERS, SOTTO_OT_IKNP));
    const sotto_step_info linear = {.op = SOTTO_STEP_LINEAR};
    assert_status(SOTTO_ERR_ARG, sotto_unit_plan_new(&p, &linear, SOTTO_SIGN_LOOKUP, SOTTO_OT_IKNP));
    const sotto_step_info deep = {.op = SOTTO_STEP_UNIT, .units = 4, .truncation = {20, 19, 16}};
    assert_status(SOTTO_ERR_PARAMS, sotto_unit_plan_new(&p, &deep, SOTTO_SIGN_LOOKUP, SOTTO_OT_IKNP));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_shares),
        cmocka_unit_test(test_random_rings),
        cmocka_unit_test(test_views_are_uniform),
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_transcript_of_units),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_lack_of_memory),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
