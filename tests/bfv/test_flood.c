#include "bfv/answer.h"

#include <math.h>

#include "bfv/internal.h"
#include "tests/bfv/fixture.h"

static uint64_t seed;

#define OUTPUTS 0x1p18 /* of one inference */

static void test_plan(void **state)
{
    (void)state;
    const struct {
        uint32_t n;
        unsigned bits[3];
        size_t count;
        unsigned l;
        double fan_in;
        int fits;
    } cases[] = {
        {4096, {46, 46}, 2, 26, 576, 1},
        {4096, {46, 46}, 2, 27, 576, 0},
        {4096, {50, 50}, 2, 33, 576, 1},
        {4096, {50, 50}, 2, 34, 576, 1},
        {4096, {50, 50}, 2, 35, 576, 0},
        {4096, {36, 36, 36}, 3, 41, 576, 1},
        {4096, {36, 36, 36}, 3, 42, 576, 1},
        {4096, {36, 36, 36}, 3, 43, 576, 0},
        {4096, {46, 46}, 2, 25, 4608, 1},
        {4096, {46, 46}, 2, 26, 4608, 0},
        {4096, {50, 50}, 2, 33, 4608, 1},
        {2048, {27, 27}, 2, 1, 0, 0},
        {4096, {46, 46}, 2, 1, 0, 1},
        {4096, {54, 55}, 2, 42, 576, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sotto_bfv_params *p = NULL;
        sotto_bfv_answer_plan plan;
        double norm2 = 128 * sqrt(cases[i].fan_in), norm1 = 128 * cases[i].fan_in, n = cases[i].n;
        assert_ok(sotto_bfv_params_from_bits(&p, cases[i].n, cases[i].bits, cases[i].count, (uint64_t)1 << cases[i].l));
        int status = sotto_bfv_answer_plan_new(&plan, p, norm2, norm1, OUTPUTS);
        if (status != (cases[i].fits ? SOTTO_OK : SOTTO_ERR_PARAMS))
            fail_msg("case %zu: status %d, %s", i, status, sotto_error_message());
        if (status != SOTTO_OK) {
            assert_true(plan.flood_width == 0 && plan.margin == 0);
        } else {
            /* The figure of the design: log2 B = 49.11 + log2 sqrt((3.213 ||w||)^2 + noise of the fresh encryption). */
            double shift = sqrt(10.323 * norm2 * norm2 + 10.24 * (1 + 4 * n / 3));
            assert_true(fabs(plan.log_flood - (49.11 + log2(shift))) < 0.02);
            assert_true(fabs(log2((double)plan.flood_width) - plan.log_flood) < 1e-9);
            double room = exp2(sotto_rns_log2(sotto_bfv_rns(p)) - cases[i].l);
            assert_true(fabs(plan.margin - (0.5 - 137.6 / 512 - 0.03125 - 1.5 * exp2(plan.log_flood) / room)) < 1e-3);
            assert_true(plan.margin > 0);
            assert_true(exp2(plan.log_noise) >= norm1 * 19.5);
        }
        sotto_bfv_params_free(p);
    }
}

static void refuse_plan(uint32_t n, const unsigned *bits, size_t count, uint64_t t, double norm2, double norm1,
                        double outputs)
{
    sotto_bfv_params *p = NULL;
    sotto_bfv_answer_plan plan;
    assert_ok(sotto_bfv_params_from_bits(&p, n, bits, count, t));
    assert_status(SOTTO_ERR_PARAMS, sotto_bfv_answer_plan_new(&plan, p, norm2, norm1, outputs));
    sotto_bfv_params_free(p);
}

static void test_plan_refusals(void **state)
{
    (void)state;
    const unsigned good[] = {46, 46}, wide[] = {54, 54, 55, 55}, narrow[] = {22, 22, 22, 22, 20}, single[] = {54};
    refuse_plan(4096, good, 2, 1000, 10, 10, 10);
    refuse_plan(8192, wide, 4, (uint64_t)1 << 52, 10, 10, 10);
    refuse_plan(4096, narrow, 5, 1 << 24, 10, 10, 10); /* 44 bits cannot hold the owner's product */
    refuse_plan(4096, single, 1, 1 << 20, 10, 10, OUTPUTS);
    refuse_plan(4096, good, 2, 16, -1, 10, 10);
    refuse_plan(4096, good, 2, 16, (double)NAN, 10, 10);
    refuse_plan(4096, good, 2, 16, 10, (double)INFINITY, 10);
    refuse_plan(4096, good, 2, 16, 10, 10, 0.5);
    refuse_plan(4096, good, 2, 16, 10, 10, 0x1p35);
    refuse_plan(8192, wide, 4, 16, 0x1p50, 0x1p51, OUTPUTS); /* room enough, but not in the sampler's 128 bits */
}

/* B^3 times the distribution of the sum of three uniforms on B integers: 3 B - 2 counts. */
static double *three_uniforms(size_t b, size_t *len)
{
    double *x = calloc(3 * b, sizeof *x), *y = calloc(3 * b, sizeof *y);
    assert_non_null(x);
    assert_non_null(y);
    for (size_t i = 0; i < b; i++)
        x[i] = 1;
    for (int fold = 1; fold < 3; fold++) {
        double window = 0;
        for (size_t i = 0; i < 3 * b; i++) {
            window += x[i] - (i >= b ? x[i - b] : 0);
            y[i] = window;
        }
        memcpy(x, y, 3 * b * sizeof *x);
    }
    free(y);
    *len = 3 * b - 2;
    return x;
}

/* The inequality that flood.c proves, from exact sums; and that its constant is no larger than it must be. */
static void test_hellinger_bound(void **state)
{
    (void)state;
    const size_t widths[] = {1, 2, 3, 4, 5, 8, 31, 256, 1000, 20000};
    for (size_t k = 0; k < sizeof widths / sizeof *widths; k++) {
        size_t b = widths[k], len;
        double *c = three_uniforms(b, &len), sum = 0, before = 0, cube = pow((double)b, 3);
        for (size_t i = 0; i <= len; i++) {
            double now = i < len ? c[i] / cube : 0, step = sqrt(now) - sqrt(before);
            sum += step * step;
            before = now;
        }
        double bound = SOTTO_FLOOD_FISHER / (8 * (double)b * (double)b);
        assert_true(sum / 2 <= bound * (1 + 2 / (double)b));
        assert_true(sum / 2 >= bound);
        free(c);
    }
    assert_true(fabs(SOTTO_FLOOD_FISHER - 2 * sqrt(3) * log(2 + sqrt(3))) < 1e-12);
}

/* Statistical distance of F and F + d, exactly, against sqrt(2) d sqrt(I/8) (1 + 1/B) / B. */
static void test_distance_bound(void **state)
{
    (void)state;
    const size_t b = 2000;
    size_t len;
    double *c = three_uniforms(b, &len), cube = pow((double)b, 3);
    for (size_t d = 1; d <= 200; d += 7) {
        double distance = 0;
        for (size_t i = 0; i < len + d; i++)
            distance += fabs((i < len ? c[i] : 0) - (i >= d ? c[i - d] : 0)) / (2 * cube);
        double bound = sqrt(2 * SOTTO_FLOOD_FISHER / 8) * (double)d * (1 + 1 / (double)b) / (double)b;
        assert_true(distance <= bound);
        assert_true(distance >= bound / 3);
    }
    free(c);
}

static sotto_prg prg_from(const sotto_rng *rng)
{
    sotto_prg prg;
    sotto_block block;
    assert_ok(sotto_rng_fill(rng, &block, sizeof block));
    sotto_prg_init(&prg, block);
    return prg;
}

/* Small widths against the exact distribution. */
static void test_flood_small(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 1);
    sotto_prg prg = prg_from(&rng);
    enum { COUNT = 100000 };
    sotto_u128 *x = calloc(COUNT, sizeof *x);
    assert_non_null(x);
    for (size_t b = 1; b <= 9; b++) {
        size_t len;
        double *c = three_uniforms(b, &len), statistic = 0;
        uint64_t seen[32] = {0};
        sotto_bfv_flood(x, COUNT, b, &prg);
        for (size_t i = 0; i < COUNT; i++) {
            assert_true(x[i] <= 3 * (b - 1));
            seen[(size_t)x[i]]++;
        }
        for (size_t i = 0; i < len; i++) {
            double want = COUNT * c[i] / pow((double)b, 3), off = (double)seen[i] - want;
            statistic += off * off / want;
        }
        assert_true(b == 1 ? statistic < 1e-12 : statistic < test_chi_square_bound(len));
        free(c);
    }
    free(x);
}

/* Wide ones: range, low bits, moments. mean 3 (B-1)/2, variance (B^2 - 1)/4, fourth moment 2.6 variance^2. */
static void test_flood_wide(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 2);
    sotto_prg prg = prg_from(&rng);
    enum { COUNT = 200000, CELLS = 64 };
    const sotto_u128 widths[] = {((sotto_u128)1 << 40) + 12345, (sotto_u128)1 << 62, ((sotto_u128)1 << 64) - 1,
                                 ((sotto_u128)5 << 64) + 987654321987654321};
    sotto_u128 *x = calloc(COUNT, sizeof *x);
    assert_non_null(x);
    for (size_t k = 0; k < sizeof widths / sizeof *widths; k++) {
        sotto_u128 b = widths[k];
        uint64_t low[CELLS] = {0}, middle[CELLS] = {0};
        double first = 0, second = 0, fourth = 0;
        sotto_bfv_flood(x, COUNT, b, &prg);
        for (size_t i = 0; i < COUNT; i++) {
            assert_true(x[i] <= 3 * (b - 1));
            low[(size_t)(x[i] % CELLS)]++;
            middle[(size_t)((x[i] >> 30) % CELLS)]++;
            double z = ((double)x[i] - 1.5 * (double)(b - 1)) / ((double)b / 2); /* variance 1 */
            first += z / COUNT;
            second += z * z / COUNT;
            fourth += z * z * z * z / COUNT;
        }
        assert_true(test_chi_square(low, CELLS, COUNT) < test_chi_square_bound(CELLS));
        if (b >> 50 != 0) /* below, bits 30 to 35 are not yet flat */
            assert_true(test_chi_square(middle, CELLS, COUNT) < test_chi_square_bound(CELLS));
        assert_true(fabs(first) < 7 / sqrt(COUNT));
        assert_true(fabs(second - 1) < 7 * sqrt(1.6 / COUNT));
        assert_true(fabs(fourth - 2.6) < 7 * sqrt(15.0 / COUNT));
    }
    free(x);
}

int main(void)
{
    seed = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_plan_refusals),
        cmocka_unit_test(test_hellinger_bound),
        cmocka_unit_test(test_distance_bound),
        cmocka_unit_test(test_flood_small),
        cmocka_unit_test(test_flood_wide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
