/* Truncate, sign and select with an ideal OT dealt by the test: exhaustive on small rings, random on full ones, and the
 * views that must be uniform. */
#include <string.h>

#include "lib/cpu.h"
#include "lib/ct.h"
#include "nn/secure/step.h"
#include "tests/support/support.h"

static int64_t floor_shift(int64_t y, unsigned f)
{
    return y >> f; /* arithmetic on every supported compiler */
}

typedef struct coins {
    uint64_t rho, p, pi, tau, zeta, t, q[2], r_next;
} coins;

typedef struct views {
    uint64_t d, z, g, w; /* what travels */
} views;

/* One unit: truncation and selection by `b` (its server share is pi); returns the rebuilt value. */
static uint64_t run_unit(sotto_truncation t, uint64_t a, uint64_t c, uint64_t b, coins k, views *v, uint64_t *truncated)
{
    unsigned m = sotto_truncation_widen(t), l = t.l_next;
    const uint64_t one = 1;
    uint64_t cbar, c_d[2], step = 0, a_next, d, z, g, w, e;
    sotto_truncate_choices(t, &cbar, &c, 1);
    uint64_t p_server = sotto_low_bits(k.rho * cbar - k.p, m);
    sotto_truncate_client(t, &c_d[0], m ? &step : NULL, &c, m ? &k.p : NULL, 1);
    sotto_truncate_pick(t, &c_d[1], &c_d[0], &step, &one, 1);
    sotto_truncate_server(t, &a_next, &d, &a, m ? &k.rho : NULL, m ? &p_server : NULL, 1);
    *truncated = sotto_low_bits(a_next + c_d[d], l);

    uint64_t t_server = sotto_low_bits(k.tau * k.zeta - k.t, l), b_client = b ^ k.pi;
    /* The products' numbers are (1 - 2 tau) C_0 and (1 - 2 tau) step, as the parties have them. */
    uint64_t turned[2], server[2], product[2];
    sotto_select_turn(&turned[0], &k.tau, &c_d[0], 1);
    sotto_select_turn(&turned[1], &k.tau, &step, 1);
    for (int i = 0; i < 2; i++)
        server[i] = k.pi * turned[i] - k.q[i];
    server[0] += t_server;
    uint64_t client[2] = {k.t + k.q[0], k.q[1]};
    sotto_truncate_pick(t, &product[0], &server[0], &server[1], &d, 1);
    sotto_truncate_pick(t, &product[1], &client[0], &client[1], &d, 1);
    sotto_select_offer(l, &z, &a_next, &k.pi, &k.zeta, 1);
    sotto_select_answer(l, &g, &w, &b_client, &k.tau, &z, &c_d[d], &product[1], &k.r_next, 1);
    sotto_select_finish(l, &e, &g, &w, &k.pi, &a_next, &product[0], 1);
    *v = (views){d, z, g, w};
    return sotto_low_bits(e + k.r_next, l);
}

static coins random_coins(const sotto_rng *rng, sotto_truncation t)
{
    unsigned m = sotto_truncation_widen(t), l = t.l_next;
    coins k = {.rho = test_u64(rng) & 1, .pi = test_u64(rng) & 1, .tau = test_u64(rng) & 1};
    k.p = sotto_low_bits(test_u64(rng), m);
    k.zeta = sotto_low_bits(test_u64(rng), l);
    k.t = sotto_low_bits(test_u64(rng), l);
    k.q[0] = sotto_low_bits(test_u64(rng), l);
    k.q[1] = sotto_low_bits(test_u64(rng), l);
    k.r_next = sotto_low_bits(test_u64(rng), l);
    return k;
}

/* y / 2^f rounded to either side, equal to the reference, and b times it from the shares. */
static void check_unit(sotto_truncation t, int64_t y, uint64_t c, uint64_t b, coins k)
{
    uint64_t truncated, a = sotto_low_bits((uint64_t)y - c, t.l);
    views v;
    uint64_t x = run_unit(t, a, c, b, k, &v, &truncated);
    uint64_t low = sotto_low_bits((uint64_t)floor_shift(y, t.f), t.l_next);
    uint64_t high = sotto_low_bits((uint64_t)-floor_shift(-y, t.f), t.l_next);
    assert_true(truncated == low || truncated == high);
    assert_int_equal(truncated, sotto_truncate_reference(t, (uint64_t)y, c));
    assert_int_equal(x, b ? truncated : 0);
}

/* All values in range, all shares, all bits; the words of the OT at random. l_next below, at and above l - f and l. */
static void test_units_exhaustive(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 1);
    static const sotto_truncation rings[] = {{6, 2, 6}, {6, 2, 4}, {6, 2, 3}, {6, 2, 9}, {6, 0, 6}, {6, 4, 5}, {5, 1, 8}, {3, 1, 3}};
    for (size_t n = 0; n < sizeof rings / sizeof *rings; n++) {
        sotto_truncation t = rings[n];
        assert_ok(sotto_truncation_check(t));
        int64_t low = -((int64_t)1 << (t.l - 2)), high = ((int64_t)1 << (t.l - 2)) - ((int64_t)1 << t.f);
        for (int64_t y = low; y <= high; y++)
            for (uint64_t c = 0; c < (uint64_t)1 << t.l; c++)
                for (unsigned bits = 0; bits < 16; bits++) {
                    coins k = random_coins(&rng, t);
                    k.rho = bits & 1;
                    k.pi = bits >> 1 & 1;
                    k.tau = bits >> 2 & 1;
                    check_unit(t, y, c, bits >> 3, k);
                }
    }
}

static void test_units_random(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 2);
    static const sotto_truncation rings[] = {{24, 7, 24}, {20, 9, 28}, {30, 12, 18}, {22, 0, 22}, {24, 7, 17}, {60, 30, 60}, {60, 1, 60}};
    for (size_t n = 0; n < sizeof rings / sizeof *rings; n++) {
        sotto_truncation t = rings[n];
        assert_ok(sotto_truncation_check(t));
        int64_t low = -((int64_t)1 << (t.l - 2)), high = ((int64_t)1 << (t.l - 2)) - ((int64_t)1 << t.f);
        const int64_t edges[] = {low, low + 1, -1, 0, 1, high - 1, high};
        for (int i = 0; i < 20000; i++) {
            int64_t y = i < 700 ? edges[i % 7] : low + (int64_t)test_below(&rng, (uint64_t)(high - low) + 1);
            check_unit(t, y, sotto_low_bits(test_u64(&rng), t.l), test_u64(&rng) & 1, random_coins(&rng, t));
        }
        assert_int_equal(sotto_truncate_reference(t, 0, sotto_low_bits(test_u64(&rng), t.l)), 0);
    }
}

/* The sign equals the reference from the two windows, is right outside half a step, for all values and shares. */
static void test_sign_exhaustive(void **state)
{
    (void)state;
    static const struct {
        sotto_sign_window w;
        unsigned l;
    } cases[] = {{{6, 2}, 7}, {{7, 0}, 7}, {{5, 3}, 8}, {{4, 1}, 4}, {{3, 2}, 5}};
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        sotto_sign_window w = cases[n].w;
        int64_t half = w.j ? (int64_t)1 << (w.j - 1) : 0, top = (int64_t)1 << (w.k - 1);
        for (int64_t y = -top + half; y < top - half; y++)
            for (uint64_t c = 0; c < (uint64_t)1 << cases[n].l; c++) {
                uint64_t a = sotto_low_bits((uint64_t)y - c, cases[n].l), at, ct;
                sotto_sign_top_server(w, &at, &a, 1);
                sotto_sign_top_client(w, &ct, &c, 1);
                uint64_t b = 1 ^ (sotto_low_bits(at + ct, w.k - w.j) >> (w.k - w.j - 1));
                assert_int_equal(b, sotto_sign_reference(w, (uint64_t)y, c));
                if (y < -half)
                    assert_int_equal(b, 0);
                if (y >= half)
                    assert_int_equal(b, 1);
            }
    }
}

/* Shares shifted by any number of bits below k, all windows of up to 6 bits, all values and shares: right within the range that is promised but for less than half a step around
 * zero, nothing of it where the shift is j or more. Just outside the range some share makes it wrong; below, where there is half a step, one value later. */
static void test_lifts_exhaustive(void **state)
{
    (void)state;
    for (unsigned k = 2; k <= 6; k++)
        for (unsigned j = 0; j < k; j++)
            for (unsigned lift = 0; lift < k; lift++)
                for (unsigned l = k; l <= k + 1; l++) {
                    const sotto_sign_window w = {k, j};
                    const int64_t end = (int64_t)1 << (k - 1);
                    int64_t low, high;
                    const int later = lift < j;
                    int spoilt[2] = {0, 0};
                    sotto_sign_range(w, lift, &low, &high);
                    assert_true(low <= 0 && low >= -(end >> lift) && high >= -1 && high <= (end - 1) >> lift);
                    for (int64_t y = low - 1 - later; y <= high + 1; y++)
                        for (uint64_t c = 0; c < (uint64_t)1 << l; c++) {
                            const uint64_t a = sotto_low_bits((uint64_t)y - c, l) << lift, cl = c << lift, yl = (uint64_t)y << lift;
                            uint64_t at, ct;
                            sotto_sign_top_server(w, &at, &a, 1);
                            sotto_sign_top_client(w, &ct, &cl, 1);
                            const uint64_t b = 1 ^ (sotto_low_bits(at + ct, k - j) >> (k - j - 1));
                            assert_int_equal(b, sotto_sign_reference(w, yl, cl));
                            const int64_t far = 2 * (y < 0 ? -y : y) << lift; /* twice the value, in steps of the window */
                            const int close = lift < j && (y < 0 ? far <= (int64_t)1 << j : far < (int64_t)1 << j);
                            const int wrong = b != (y >= 0);
                            if (y >= low - later && y <= high)
                                assert_true(!wrong || close);
                            else
                                spoilt[y > high] |= wrong;
                        }
                    assert_true(spoilt[0] && spoilt[1]);
                }
}

/* What each side receives is uniform whatever the values are: d, Z at the client, w at the server (fixed y, c, b). */
static void test_views(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 3);
    sotto_truncation t = {6, 2, 6};
    enum { RUNS = 200000 };
    static const int64_t values[] = {-16, -1, 0, 5, 12};
    for (size_t n = 0; n < sizeof values / sizeof *values; n++)
        for (uint64_t b = 0; b < 2; b++) {
            uint64_t dz[128] = {0}, gw[128] = {0}, truncated;
            uint64_t c = 37; /* any: the views must not depend on it */
            for (int i = 0; i < RUNS; i++) {
                views v;
                (void)run_unit(t, sotto_low_bits((uint64_t)values[n] - c, t.l), c, b, random_coins(&rng, t), &v, &truncated);
                dz[v.d << 6 | v.z]++;
                gw[v.g << 6 | v.w]++;
            }
            assert_true(test_chi_square(dz, 128, RUNS) < test_chi_square_bound(128));
            assert_true(test_chi_square(gw, 128, RUNS) < test_chi_square_bound(128));
        }
}

/* Every tier computes what the portable one does, at lengths around those of vectors, and nothing beyond the arrays. */
static void test_tiers(void **state)
{
    (void)state;
    enum { MOST = 37, INPUTS = 9, OUTPUTS = 13 };
    const sotto_rng rng = test_rng(test_seed(), 4);
    static const sotto_truncation rings[] = {{24, 7, 24}, {20, 9, 28}, {30, 12, 18}, {3, 1, 3}, {60, 1, 60}, {60, 58, 2}};
    static uint64_t in[INPUTS][MOST], out[2][OUTPUTS][MOST + 1];
    for (size_t n = 0; n < sizeof rings / sizeof *rings; n++) {
        const sotto_truncation t = rings[n];
        const sotto_sign_window w = {t.l, t.l > 6 ? t.l - 6 : 0};
        const unsigned m = sotto_truncation_widen(t), l = t.l_next;
        for (size_t count = 0; count <= MOST; count++) {
            for (size_t i = 0; i < INPUTS * MOST; i++) /* the first four are bits */
                in[i / MOST][i % MOST] = i / MOST < 4 ? test_u64(&rng) & 1 : sotto_low_bits(test_u64(&rng), t.l);
            const uint64_t *a = in[4], *b = in[5], *c = in[6], *d = in[7], *e = in[8];
            for (int tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_IFMA; tier++) {
                uint64_t (*o)[MOST + 1] = out[tier > 0];
                memset(o, 0xa5, sizeof out[0]);
                sotto_cpu_force_tier((sotto_tier)tier);
                sotto_truncate_choices(t, o[0], a, count);
                sotto_truncate_client(t, o[1], m ? o[2] : NULL, a, m ? b : NULL, count);
                sotto_truncate_pick(t, o[3], a, b, in[0], count);
                sotto_truncate_server(t, o[4], o[5], a, m ? in[0] : NULL, m ? b : NULL, count);
                sotto_sign_top_server(w, o[6], a, count);
                sotto_sign_top_client(w, o[7], a, count);
                sotto_select_turn(o[8], in[0], a, count);
                sotto_select_offer(l, o[9], a, in[0], b, count);
                sotto_select_answer(l, o[10], o[11], in[0], in[1], a, b, c, d, count);
                sotto_select_finish(l, o[12], in[0], a, in[1], b, e, count);
                assert_memory_equal(out[0], o, sizeof out[0]);
            }
        }
    }
}

static void test_refusals(void **state)
{
    (void)state;
    assert_status(SOTTO_ERR_PARAMS, sotto_truncation_check((sotto_truncation){61, 2, 20}));
    assert_status(SOTTO_ERR_PARAMS, sotto_truncation_check((sotto_truncation){20, 2, 61}));
    assert_status(SOTTO_ERR_PARAMS, sotto_truncation_check((sotto_truncation){20, 19, 20}));
    assert_status(SOTTO_ERR_PARAMS, sotto_truncation_check((sotto_truncation){20, 20, 10}));
    assert_ok(sotto_truncation_check((sotto_truncation){20, 18, 20}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units_exhaustive), cmocka_unit_test(test_units_random), cmocka_unit_test(test_sign_exhaustive), cmocka_unit_test(test_lifts_exhaustive),
        cmocka_unit_test(test_views),            cmocka_unit_test(test_tiers),        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
