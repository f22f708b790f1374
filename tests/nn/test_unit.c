/* Units over real OTs with both providers: results against the reference for all shares of a small ring, sizes as planned, and what each side
 * receives is uniform. */
#include <stdio.h>

#include "nn/secure/unit.h"
#include "lib/ct.h"
#include "tests/ot/fixture.h"

#define COUNT_MAX 4096

typedef struct unit_ctx {
    sotto_step_info step;
    sotto_sign_provider sign;
    sotto_unit_plan plan;
    uint64_t a[COUNT_MAX], c[COUNT_MAX], r[COUNT_MAX], e[COUNT_MAX];
    /* what was received: choice by the server, then the offer by the client and the reply by the server */
    uint8_t *choice, *tables, *offer, *reply;
    int rounds;
} unit_ctx;

static int client(unit_ctx *u, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng)
{
    sotto_unit_client *unit = NULL;
    const sotto_unit_plan *p = &u->plan;
    uint8_t *choice = sotto_calloc(p->choice_bytes, 1), *tables = sotto_calloc(p->table_bytes, 1);
    uint8_t *offer = sotto_calloc(p->offer_bytes, 1), *reply = sotto_calloc(p->reply_bytes, 1);
    const uint64_t before = chan->stats.bytes_out;
    int status = sotto_unit_client_new(&unit, p, ot, chan, rng);
    if (status == SOTTO_OK) {
        status = chan->stats.bytes_out - before == p->matrix_bytes ? sotto_unit_client_choose(unit, ot, chan, u->c, choice) : SOTTO_ERR_ARG;
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_send(chan, choice, p->choice_bytes);
    }
    if (status == SOTTO_OK && p->table_bytes > 0) {
        status = sotto_chan_recv(chan, tables, p->table_bytes);
    }
    if (status == SOTTO_OK) {
        status = sotto_unit_client_ready(unit, ot, p->table_bytes > 0 ? tables : NULL);
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
    sotto_free(choice);
    sotto_free(tables);
    sotto_free(offer);
    sotto_free(reply);
    return status;
}

static int server(unit_ctx *u, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng)
{
    sotto_unit_server *unit = NULL;
    const sotto_unit_plan *p = &u->plan;
    uint8_t *tables = sotto_calloc(p->table_bytes, 1), *offer = sotto_calloc(p->offer_bytes, 1);
    int status = sotto_unit_server_new(&unit, p, ot, chan);
    const uint64_t before = chan->stats.bytes_out;
    if (status == SOTTO_OK) {
        status = sotto_unit_server_correct(unit, ot, chan, rng);
    }
    if (status == SOTTO_OK) {
        status = chan->stats.bytes_out - before == p->correction_bytes ? sotto_chan_recv(chan, u->choice, p->choice_bytes) : SOTTO_ERR_ARG;
    }
    if (status == SOTTO_OK) {
        status = sotto_unit_server_ready(unit, ot, u->choice, p->table_bytes > 0 ? tables : NULL, rng);
    }
    if (status == SOTTO_OK && p->table_bytes > 0) {
        status = sotto_chan_send(chan, tables, p->table_bytes);
    }
    if (status == SOTTO_OK) {
        sotto_unit_server_offer(unit, offer, u->a);
        status = p->offer_bytes > 0 ? sotto_chan_send(chan, offer, p->offer_bytes) : SOTTO_OK;
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_recv(chan, u->reply, p->reply_bytes);
    }
    if (status == SOTTO_OK) {
        status = sotto_unit_server_finish(unit, u->e, u->reply);
    }
    sotto_unit_server_free(unit);
    sotto_free(tables);
    sotto_free(offer);
    return status;
}

static int act(ot_party *p, sotto_ot *ot, sotto_chan *chan)
{
    const sotto_rng rng = test_rng(p->seed, 10 + (uint64_t)p->party);
    return p->party == 0 ? client(p->data, ot, chan, &rng) : server(p->data, ot, chan, &rng);
}

static void run(unit_ctx *u, uint64_t seed)
{
    assert_ok(sotto_unit_plan_new(&u->plan, &u->step, u->sign));
    u->choice = sotto_calloc(u->plan.choice_bytes, 1);
    u->offer = sotto_calloc(u->plan.offer_bytes, 1);
    u->reply = sotto_calloc(u->plan.reply_bytes, 1);
    assert_true(u->choice != NULL && u->offer != NULL && u->reply != NULL);
    ot_party p[2] = {{.party = 0, .seed = seed, .act = act, .data = u}, {.party = 1, .seed = seed, .act = act, .data = u}};
    int status[2];
    test_two_party(ot_party_run, &p[0], ot_party_run, &p[1], status);
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
        u.step = (sotto_step_info){.op = SOTTO_STEP_UNIT, .units = COUNT_MAX, .truncation = {18, 6, 16}, .sign = 1, .sign_window = {17, 11}};
        for (size_t i = 0; i < COUNT_MAX; i++) {
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

static void test_refused(void **state)
{
    (void)state;
    sotto_unit_plan p;
    const sotto_step_info wide = {.op = SOTTO_STEP_UNIT, .units = 4, .truncation = {20, 4, 16}, .sign = 1, .sign_window = {19, 9}};
    assert_status(SOTTO_ERR_PARAMS, sotto_unit_plan_new(&p, &wide, SOTTO_SIGN_LOOKUP));
    assert_non_null(strstr(sotto_error_message(), "choose the circuit"));
    assert_ok(sotto_unit_plan_new(&p, &wide, SOTTO_SIGN_CIRCUIT));
    assert_status(SOTTO_ERR_PARAMS, sotto_unit_plan_new(&p, &wide, SOTTO_SIGN_PROVIDERS));
    const sotto_step_info linear = {.op = SOTTO_STEP_LINEAR};
    assert_status(SOTTO_ERR_ARG, sotto_unit_plan_new(&p, &linear, SOTTO_SIGN_LOOKUP));
    const sotto_step_info deep = {.op = SOTTO_STEP_UNIT, .units = 4, .truncation = {20, 19, 16}};
    assert_status(SOTTO_ERR_PARAMS, sotto_unit_plan_new(&p, &deep, SOTTO_SIGN_LOOKUP));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_shares),
        cmocka_unit_test(test_random_rings),
        cmocka_unit_test(test_views_are_uniform),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
