/* Polynomials over real OTs: all shares of a small ring, random layers of channels of all degrees, sizes as planned, what each side receives is uniform, faults. */
#include "nn/secure/poly.h"

#include <stdlib.h>

#include "tests/ot/fixture.h"

#define COUNT_MAX 20000
#define CHANNELS_MAX 64

typedef struct poly_ctx {
    sotto_step_info step;
    sotto_ot_kind ot; /* 0: IKNP */
    sotto_poly_plan plan;
    uint8_t degree[CHANNELS_MAX];
    int64_t terms[CHANNELS_MAX * SOTTO_POLY_TERMS];
    uint64_t e[COUNT_MAX], rho[COUNT_MAX], a[COUNT_MAX], c[COUNT_MAX];
    uint8_t *correction, *choice, *offer; /* what was received */
    size_t correction_seen;
    long calloc_fails; /* as in test_unit.c */
} poly_ctx;

/* Keeps what the client receives while it is being asked for. */
typedef struct tap {
    sotto_chan *inner;
    poly_ctx *ctx;
} tap;

static int tap_recv(void *ctx, void *data, size_t len)
{
    tap *t = ctx;
    const int status = sotto_chan_recv(t->inner, data, len);
    memcpy(t->ctx->correction + t->ctx->correction_seen, data, len);
    t->ctx->correction_seen += len;
    return status;
}

static int tap_send(void *ctx, const void *data, size_t len)
{
    return sotto_chan_send(((tap *)ctx)->inner, data, len);
}

static int tap_flush(void *ctx)
{
    return sotto_chan_flush(((tap *)ctx)->inner);
}

static int client(poly_ctx *u, sotto_ot *ot, sotto_chan *chan)
{
    const sotto_poly_plan *p = &u->plan;
    sotto_poly_client *poly = NULL;
    uint8_t *choice = calloc(p->bytes.choice + 1, 1), *offer = calloc(p->bytes.offer + 1, 1);
    tap heard = {chan, u};
    static const sotto_chan_ops ops = {.send = tap_send, .recv = tap_recv, .flush = tap_flush};
    sotto_chan tapped = {.ops = &ops, .ctx = &heard};
    int status = fixture_stock(ot, chan, p->client_sums, p->server_sums);
    const uint64_t before = chan->stats.bytes_out;
    status = status == SOTTO_OK ? sotto_poly_client_new(&poly, p, ot, chan, u->rho) : status;
    if (status == SOTTO_OK && chan->stats.bytes_out - before != p->bytes.matrix) {
        status = SOTTO_ERR_ARG;
    }
    status = status == SOTTO_OK ? sotto_chan_flush(chan) : status;
    status = status == SOTTO_OK ? sotto_poly_client_choose(poly, ot, &tapped, choice) : status;
    status = status == SOTTO_OK ? sotto_chan_send(chan, choice, p->bytes.choice) : status;
    status = status == SOTTO_OK ? sotto_chan_recv(chan, offer, p->bytes.offer) : status;
    if (status == SOTTO_OK) {
        memcpy(u->offer, offer, p->bytes.offer);
        status = sotto_poly_client_open(poly, u->c, offer);
    }
    sotto_poly_client_free(poly);
    free(choice);
    free(offer);
    return status;
}

static int server(poly_ctx *u, sotto_ot *ot, sotto_chan *chan)
{
    const sotto_poly_plan *p = &u->plan;
    sotto_poly_server *poly = NULL;
    uint8_t *offer = calloc(p->bytes.offer + 1, 1);
    int status = fixture_stock(ot, chan, p->client_sums, p->server_sums);
    status = status == SOTTO_OK ? sotto_poly_server_new(&poly, p, ot, chan, u->terms) : status;
    const uint64_t before = chan->stats.bytes_out;
    status = status == SOTTO_OK ? sotto_poly_server_correct(poly, ot, chan) : status;
    if (status == SOTTO_OK && chan->stats.bytes_out - before != p->bytes.correction) {
        status = SOTTO_ERR_ARG;
    }
    status = status == SOTTO_OK ? sotto_chan_recv(chan, u->choice, p->bytes.choice) : status;
    status = status == SOTTO_OK ? sotto_poly_server_ready(poly, ot, u->choice) : status;
    if (status == SOTTO_OK) {
        status = sotto_poly_server_offer(poly, offer, u->a, u->e);
        assert_true(status != SOTTO_OK || sotto_poly_server_offer(poly, offer, u->a, u->e) == SOTTO_ERR_USED);
    }
    status = status == SOTTO_OK ? sotto_chan_send(chan, offer, p->bytes.offer) : status;
    sotto_poly_server_free(poly);
    free(offer);
    return status;
}

static int act(ot_party *p, sotto_ot *ot, sotto_chan *chan)
{
    const poly_ctx *u = p->data;
    if (p->party == 0 && u->calloc_fails > 0) {
        sotto_calloc_fail_after(u->calloc_fails - 1);
    }
    return p->party == 0 ? client(p->data, ot, chan) : server(p->data, ot, chan);
}

static void run_on(poly_ctx *u, uint64_t seed, sotto_chan *ends[2], int status[2])
{
    u->ot = u->ot == 0 ? SOTTO_OT_IKNP : u->ot;
    u->step.op = SOTTO_STEP_POLY;
    u->step.degree = u->degree;
    assert_ok(sotto_poly_plan_new(&u->plan, &u->step, u->ot));
    u->correction = calloc(u->plan.bytes.correction + 1, 1);
    u->choice = calloc(u->plan.bytes.choice + 1, 1);
    u->offer = calloc(u->plan.bytes.offer + 1, 1);
    u->correction_seen = 0;
    ot_party p[2] = {{.party = 0, .seed = seed, .kind = u->ot, .act = act, .data = u}, {.party = 1, .seed = seed, .kind = u->ot, .act = act, .data = u}};
    if (ends == NULL) {
        test_two_party(ot_party_run, &p[0], ot_party_run, &p[1], status);
    } else {
        test_two_party_on(ends[0], ot_party_run, &p[0], ends[1], ot_party_run, &p[1], status);
    }
}

static void done(poly_ctx *u)
{
    free(u->correction);
    free(u->choice);
    free(u->offer);
    sotto_poly_plan_free(&u->plan);
}

static void check(const poly_ctx *u)
{
    const size_t area = (size_t)u->step.shape.h * u->step.shape.w;
    for (size_t i = 0; i < u->step.words; i++) {
        const size_t c = i / area;
        const uint64_t x = u->e[i] + u->rho[i];
        uint64_t want = u->degree[c] == 1 ? x << u->step.shift[0] : 0, power = 1;
        for (unsigned j = 0; u->degree[c] > 1 && j <= u->degree[c]; j++, power *= x) {
            want += (uint64_t)u->terms[c * SOTTO_POLY_TERMS + j] * power;
        }
        if (sotto_low_bits(u->a[i] + u->c[i] - want, u->step.l) != 0) {
            fail_msg("value %zu of degree %u: e %llu rho %llu gives %llu, not %llu", i, u->degree[c], (unsigned long long)u->e[i], (unsigned long long)u->rho[i],
                     (unsigned long long)sotto_low_bits(u->a[i] + u->c[i], u->step.l), (unsigned long long)sotto_low_bits(want, u->step.l));
        }
        assert_true(u->a[i] >> u->step.l == 0 && u->c[i] >> u->step.l == 0);
    }
}

static void run(poly_ctx *u, uint64_t seed)
{
    int status[2];
    run_on(u, seed, NULL, status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    check(u);
}

/* Coefficients of all channels at random, the highest of `bits` bits, both ends among them. */
static void draw(poly_ctx *u, const sotto_rng *rng)
{
    const int64_t end = INT64_C(1) << (u->step.poly_bits - 1);
    for (uint32_t c = 0; c < u->step.shape.c; c++) {
        for (unsigned j = 0; u->degree[c] > 1 && j <= u->degree[c]; j++) {
            int64_t term = (int64_t)test_u64(rng) >> (64 - u->step.l);
            if (j == u->degree[c]) {
                term = c % 5 == 0 ? -end : c % 5 == 1 ? end - 1 : (int64_t)test_below(rng, 2 * (uint64_t)end) - end;
            }
            u->terms[c * SOTTO_POLY_TERMS + j] = term;
        }
    }
}

/* All pairs of shares modulo 2^4, squares and cubes, coefficients of fewer bits than the ring and of more. */
static void test_all_shares(void **state)
{
    (void)state;
    static poly_ctx u;
    const sotto_rng rng = test_rng(test_seed(), 0);
    for (unsigned bits = 2; bits <= 6; bits++) {
        memset(&u, 0, sizeof u);
        u.ot = bits % 8 == 3 ? SOTTO_OT_FERRET : bits & 1 ? SOTTO_OT_SOFTSPOKEN4 : SOTTO_OT_IKNP;
        u.step = (sotto_step_info){.l = 4, .poly_bits = bits, .shape = {20, 16, 16}, .words = 20 * 256};
        for (uint32_t c = 0; c < 20; c++) {
            u.degree[c] = (uint8_t)(2 + c % 2);
        }
        draw(&u, &rng);
        for (size_t i = 0; i < u.step.words; i++) {
            u.e[i] = i & 15;
            u.rho[i] = i >> 4 & 15;
        }
        run(&u, test_seed() + bits);
        done(&u);
    }
}

static void test_mixed_channels(void **state)
{
    (void)state;
    static poly_ctx u;
    static const sotto_shape shapes[] = {{7, 5, 5}, {1, 1, 1}, {64, 1, 1}, {3, 40, 41}, {9, 23, 23}, {2, 1, 513}};
    const sotto_rng rng = test_rng(test_seed(), 1);
    for (unsigned round = 0; round < 12; round++) {
        memset(&u, 0, sizeof u);
        u.ot = round % 4 == 2 ? SOTTO_OT_FERRET : round & 1 ? SOTTO_OT_SOFTSPOKEN4 : SOTTO_OT_IKNP;
        u.step = (sotto_step_info){.l = 8 + (unsigned)test_below(&rng, 53), .poly_bits = 2 + (unsigned)test_below(&rng, 23), .shape = shapes[round % 6]};
        u.step.shift[0] = (unsigned)test_below(&rng, 9);
        u.step.words = sotto_shape_words(u.step.shape);
        for (uint32_t c = 0; c < u.step.shape.c; c++) {
            u.degree[c] = (uint8_t)(round < 6 ? test_below(&rng, 4) : 2 + round % 2);
        }
        draw(&u, &rng);
        for (size_t i = 0; i < u.step.words; i++) {
            u.e[i] = sotto_low_bits(test_u64(&rng), u.step.l);
            u.rho[i] = sotto_low_bits(test_u64(&rng), u.step.l);
        }
        run(&u, test_seed() + round);
        assert_int_equal(u.plan.bytes.correction, u.correction_seen);
        done(&u);
    }
}

static void uniform(const char *what, const uint8_t *bytes, size_t len)
{
    uint64_t cells[256] = {0};
    for (size_t i = 0; i < len; i++) {
        cells[bytes[i]]++;
    }
    const double chi = test_chi_square(cells, 256, len);
    if (!(chi < test_chi_square_bound(256))) {
        fail_msg("%s is not uniform: chi-square %g", what, chi);
    }
}

/* For one value and one client's share, and one polynomial, every byte that either side receives is uniform. */
static void test_views_are_uniform(void **state)
{
    (void)state;
    static poly_ctx u;
    for (unsigned kind = 0; kind < 8; kind++) {
        memset(&u, 0, sizeof u);
        u.step = (sotto_step_info){.l = 24, .poly_bits = 8, .shape = {2, 32, 64}, .words = 4096};
        for (uint32_t c = 0; c < 2; c++) {
            u.degree[c] = (uint8_t)(2 + (kind & 1));
            for (unsigned j = 0; j <= u.degree[c]; j++) {
                u.terms[c * SOTTO_POLY_TERMS + j] = kind & 4 ? -1 - (int64_t)j : 0;
            }
        }
        for (size_t i = 0; i < u.step.words; i++) {
            u.rho[i] = kind & 2 ? 0xa5a5a5 : 0;
            u.e[i] = sotto_low_bits(3 - u.rho[i], 24);
        }
        run(&u, test_seed() + kind);
        assert_int_equal(u.plan.bytes.correction, u.correction_seen);
        uniform("correction", u.correction, u.plan.bytes.correction);
        uniform("choice", u.choice, u.plan.bytes.choice);
        uniform("offer", u.offer, u.plan.bytes.offer);
        done(&u);
    }
}

static void small(poly_ctx *u, const sotto_rng *rng)
{
    memset(u, 0, sizeof *u);
    u->step = (sotto_step_info){.l = 12, .poly_bits = 5, .shape = {4, 2, 3}, .words = 24};
    for (uint8_t c = 0; c < 4; c++) {
        u->degree[c] = c;
    }
    draw(u, rng);
    for (size_t i = 0; i < u->step.words; i++) {
        u->e[i] = test_below(rng, 1 << 12);
        u->rho[i] = test_below(rng, 1 << 12);
    }
}

/* A peer that closes, or sends wrong bytes, at operation k: an error or a wrong result, no crash and no hang. */
static void test_faults(void **state)
{
    (void)state;
    enum { SET_UP = 16 };
    static const test_fault faults[] = {TEST_FAULT_CLOSE, TEST_FAULT_FLIP, TEST_FAULT_GARBAGE};
    static poly_ctx u;
    const sotto_rng rng = test_rng(test_seed(), 2);
    for (unsigned kind = 0; kind < 6; kind++) {
        const int faulty = kind & 1;
        long ops = SET_UP + 1;
        for (long k = SET_UP - 1; k < ops; k++) { /* the first one counts */
            test_fault_plan plan = {.kind = k < SET_UP ? TEST_FAULT_NONE : faults[kind / 2], .k = k, .seed = test_seed()};
            sotto_chan inner[2], outer;
            int status[2];
            small(&u, &rng);
            test_chan_pair(&inner[0], &inner[1], 500);
            test_chan_faulty(&outer, &inner[faulty], &plan);
            run_on(&u, 5, (sotto_chan *[2]){faulty == 0 ? &outer : &inner[0], faulty == 1 ? &outer : &inner[1]}, status);
            if (k < SET_UP) {
                assert_ok(status[0]);
                assert_ok(status[1]);
                check(&u);
                assert_true(plan.ops > SET_UP);
                ops = plan.ops;
            } else if (plan.kind == TEST_FAULT_CLOSE) {
                assert_true(status[0] != SOTTO_OK || status[1] != SOTTO_OK);
            }
            done(&u);
        }
    }
}

/* Every allocation of either party fails once. */
static void test_lack_of_memory(void **state)
{
    (void)state;
    static poly_ctx u;
    const sotto_rng rng = test_rng(test_seed(), 3);
    int failed = 1;
    for (long k = 1; failed; k++) {
        int status[2];
        small(&u, &rng);
        u.calloc_fails = k;
        run_on(&u, 5, NULL, status);
        sotto_calloc_fail_after(-1);
        failed = status[0] != SOTTO_OK || status[1] != SOTTO_OK;
        assert_true(!failed || status[0] == SOTTO_ERR_MEMORY || status[1] == SOTTO_ERR_MEMORY);
        assert_true(failed || k > 16);
        if (!failed) {
            check(&u);
        }
        done(&u);
    }
    small(&u, &rng);
    u.step.op = SOTTO_STEP_POLY;
    u.step.degree = u.degree;
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_poly_plan_new(&u.plan, &u.step, SOTTO_OT_IKNP));
    sotto_calloc_fail_after(-1);
    assert_null(u.plan.channel);
}

static void test_refused(void **state)
{
    (void)state;
    uint8_t degree[1] = {2};
    sotto_poly_plan p;
    const sotto_step_info wide = {.op = SOTTO_STEP_POLY, .l = 20, .poly_bits = 8, .shape = {1, 1024, 1024}, .words = 1 << 20, .degree = degree};
    assert_status(SOTTO_ERR_PARAMS, sotto_poly_plan_new(&p, &wide, SOTTO_OT_IKNP));
    sotto_step_info other = {.op = SOTTO_STEP_UNIT, .l = 20, .poly_bits = 8, .shape = {1, 4, 4}, .words = 16, .degree = degree};
    assert_status(SOTTO_ERR_ARG, sotto_poly_plan_new(&p, &other, SOTTO_OT_IKNP));
    other.op = SOTTO_STEP_POLY;
    other.poly_bits = 25;
    assert_status(SOTTO_ERR_ARG, sotto_poly_plan_new(&p, &other, SOTTO_OT_IKNP));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_shares), cmocka_unit_test(test_mixed_channels),  cmocka_unit_test(test_views_are_uniform),
        cmocka_unit_test(test_faults),     cmocka_unit_test(test_lack_of_memory), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
