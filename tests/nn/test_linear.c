/* Linear layers under encryption against plain integer arithmetic: strides, paddings, groups, split tiles, edges. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cpu.h"
#include "lib/ct.h"
#include "lib/mem.h"
#include "nn/secure/linear_internal.h"
#include "tests/support/support.h"

static const unsigned two_primes[] = {46, 46}, three_primes[] = {36, 36, 36};

typedef struct keys {
    sotto_bfv_params *p;
    sotto_bfv_secret_key sk;
    sotto_bfv_public_key pk;
    sotto_rng rng;
} keys;

static keys keys_new(unsigned l, const unsigned *bits, size_t count)
{
    keys k = {.rng = test_rng(test_seed(), l)};
    assert_ok(sotto_bfv_params_from_bits(&k.p, 4096, bits, count, (uint64_t)1 << l));
    assert_ok(sotto_bfv_secret_key_new(&k.sk, k.p, &k.rng));
    assert_ok(sotto_bfv_public_key_new(&k.pk, k.p, &k.sk, &k.rng));
    return k;
}

static void keys_free(keys *k)
{
    sotto_bfv_public_key_free(&k->pk);
    sotto_bfv_secret_key_free(&k->sk);
    sotto_bfv_params_free(k->p);
}

static uint64_t *random_words(const keys *k, size_t count)
{
    uint64_t *x = calloc(count, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count; i++)
        x[i] = test_below(&k->rng, sotto_bfv_t(k->p));
    return x;
}

static int32_t *random_weights(const keys *k, const sotto_linear_shape *s)
{
    size_t count = (size_t)s->out_c * (s->in_c / s->groups) * s->kernel_h * s->kernel_w;
    int32_t *w = calloc(count, sizeof *w), top = 1 << (s->weight_bits - 1);
    assert_non_null(w);
    for (size_t i = 0; i < count; i++)
        w[i] = (int32_t)test_below(&k->rng, 2 * (uint64_t)top + 1) - top;
    return w;
}

/* A convolution by its definition, output by output, in signed arithmetic: independent of sotto_linear_apply. */
static uint64_t by_definition(const sotto_linear_shape *s, const int32_t *w, const uint64_t *x, uint32_t m, uint32_t y,
                              uint32_t z)
{
    uint64_t sum = 0;
    uint32_t in_per = s->in_c / s->groups, group = m / (s->out_c / s->groups);
    for (uint32_t c = 0; c < in_per; c++)
        for (uint32_t u = 0; u < s->kernel_h; u++)
            for (uint32_t v = 0; v < s->kernel_w; v++) {
                long row = (long)(y * s->stride_h + u) - (long)s->pad_top, col = (long)(z * s->stride_w + v) - (long)s->pad_left;
                if (row < 0 || col < 0 || row >= (long)s->in_h || col >= (long)s->in_w)
                    continue;
                int64_t weight = w[((m * in_per + c) * s->kernel_h + u) * s->kernel_w + v];
                sum += (uint64_t)weight * x[((group * in_per + c) * s->in_h + (uint32_t)row) * s->in_w + (uint32_t)col];
            }
    return sum;
}

/* Both ways in the clear against the definition, in rings of either width, on every tier. */
static void check_clear(keys *k, const sotto_linear_shape *s, sotto_pool *pool)
{
    static const unsigned rings[] = {7, 32, 33, 64};
    const sotto_tier best = sotto_cpu_tier();
    uint32_t h, w;
    assert_ok(sotto_linear_out_size(s, &h, &w));
    const size_t in = (size_t)s->in_c * s->in_h * s->in_w, out = (size_t)s->out_c * h * w;
    int32_t *weights = random_weights(k, s);
    uint64_t *x = calloc(in, sizeof *x), *start = calloc(out, sizeof *start), *slow = calloc(out, sizeof *slow), *fast = calloc(out, sizeof *fast);
    assert_true(x && start && slow && fast);
    for (size_t i = 0; i < in; i++)
        x[i] = test_u64(&k->rng);
    for (size_t i = 0; i < out; i++)
        start[i] = test_u64(&k->rng);
    memcpy(slow, start, out * sizeof *slow);
    sotto_linear_apply(slow, s, weights, x);
    for (uint32_t m = 0; m < s->out_c; m++)
        for (uint32_t i = 0; i < h * w; i++)
            assert_int_equal(slow[m * h * w + i], start[m * h * w + i] + by_definition(s, weights, x, m, i / w, i % w));
    for (sotto_tier tier = SOTTO_TIER_PORTABLE; tier <= best; tier++)
        for (size_t r = 0; r < sizeof rings / sizeof *rings; r++) {
            sotto_cpu_force_tier(tier);
            memcpy(fast, start, out * sizeof *fast);
            assert_ok(sotto_linear_infer(fast, s, rings[r], weights, x, pool));
            for (size_t i = 0; i < out; i++)
                assert_int_equal(fast[i], sotto_low_bits(slow[i], rings[r]));
        }
    sotto_cpu_force_tier(best);
    free(fast);
    free(slow);
    free(start);
    free(x);
    free(weights);
}

/* Shares made by both phases add up to W x. */
static void check_shape(keys *k, const sotto_linear_shape *s, sotto_pool *pool)
{
    sotto_linear_plan plan;
    assert_ok(sotto_linear_plan_new(&plan, k->p, s, 1 << 18));
    uint64_t mask = sotto_bfv_t(k->p) - 1;
    int32_t *w = random_weights(k, s);
    uint64_t *x = random_words(k, plan.in_words), *r = random_words(k, plan.in_words), *share = random_words(k, plan.out_words);
    uint64_t *c = calloc(plan.out_words, sizeof *c);
    uint8_t *request = malloc(plan.request_bytes), *answer = malloc(plan.answer_bytes);
    assert_true(c && request && answer);
    sotto_linear_weights *weights;
    assert_ok(sotto_linear_weights_new(&weights, &plan, k->p, w, pool));
    assert_ok(sotto_linear_request(request, &plan, k->p, &k->sk, r, &k->rng, pool));
    assert_ok(sotto_linear_answer(answer, &plan, k->p, &k->pk, weights, request, share, &k->rng, pool));
    assert_ok(sotto_linear_open(c, &plan, k->p, &k->sk, answer, pool));

    uint64_t *e = calloc(plan.in_words, sizeof *e);
    assert_non_null(e);
    for (size_t i = 0; i < plan.in_words; i++)
        e[i] = (x[i] - r[i]) & mask;
    sotto_linear_apply(share, s, w, e);
    for (uint32_t m = 0; m < s->out_c; m++)
        for (uint32_t y = 0; y < plan.out_h; y++)
            for (uint32_t z = 0; z < plan.out_w; z++) {
                size_t i = ((size_t)m * plan.out_h + y) * plan.out_w + z;
                assert_int_equal((share[i] + c[i]) & mask, by_definition(s, w, x, m, y, z) & mask);
            }
    sotto_linear_weights_free(weights, k->p);
    free(e);
    free(request);
    free(answer);
    free(c);
    free(share);
    free(r);
    free(x);
    free(w);
}

static void test_shapes(void **state)
{
    (void)state;
    static const sotto_linear_shape shapes[] = {
        /* in c h w | out kernel stride | pad t l b r | groups bits */
        {1, 28, 28, 16, 5, 5, 1, 1, 2, 2, 2, 2, 1, 8},
        {16, 14, 14, 32, 5, 5, 1, 1, 2, 2, 2, 2, 1, 8},
        {3, 9, 7, 5, 3, 2, 2, 1, 1, 0, 0, 1, 1, 8},
        {8, 8, 8, 8, 3, 3, 1, 1, 1, 1, 1, 1, 8, 8},  /* depthwise */
        {6, 6, 6, 9, 3, 3, 1, 1, 0, 0, 0, 0, 3, 8},  /* groups that blocks may cut */
        {4, 10, 10, 4, 1, 1, 2, 2, 0, 0, 0, 0, 1, 8},
        {1568, 1, 1, 10, 1, 1, 1, 1, 0, 0, 0, 0, 1, 8}, /* fully connected */
        {5000, 1, 1, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1, 8},  /* more inputs than coefficients */
        {2, 90, 70, 2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 8},   /* an image larger than a polynomial */
        {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1},
        {2, 4, 4, 2, 4, 4, 3, 3, 2, 2, 1, 1, 1, 4},
        {3, 31, 29, 10, 7, 7, 2, 2, 3, 3, 3, 3, 1, 8},   /* the first layer of a large network */
        {12, 9, 9, 20, 1, 1, 2, 2, 0, 0, 0, 0, 1, 8},   /* a stride that leaves pixels out */
        {5, 1, 1, 6, 3, 3, 1, 1, 1, 1, 1, 1, 1, 8},     /* padding larger than the image */
        {3, 2, 3, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 8},     /* and than the kernel */
        {64, 7, 7, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 8},   /* shared padding: a patch of 8 x 8 */
        {2, 6, 6, 3, 3, 3, 2, 2, 2, 2, 2, 2, 1, 8},     /* shared, in all phases of a stride */
    };
    sotto_pool *pool;
    assert_ok(sotto_pool_new(&pool, 2));
    keys k = keys_new(22, two_primes, 2);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check_shape(&k, &shapes[i], i % 2 ? pool : NULL);
        check_clear(&k, &shapes[i], i % 2 ? pool : NULL);
    }
    check_shape(&k, &(sotto_linear_shape){80, 28, 28, 400, 1, 1, 1, 1, 0, 0, 0, 0, 1, 8}, pool); /* more weights than are kept */
    check_shape(&k, &(sotto_linear_shape){70, 56, 56, 5, 1, 1, 1, 1, 0, 0, 0, 0, 1, 8}, pool);   /* polynomials that are constants */
    keys_free(&k);
    keys wide = keys_new(38, three_primes, 3);
    check_shape(&wide, &shapes[2], NULL);
    keys_free(&wide);
    sotto_pool_free(pool);
}

static void test_random_shapes(void **state)
{
    (void)state;
    keys k = keys_new(20, two_primes, 2);
    for (int i = 0; i < (getenv("SOTTO_TEST_LONG") ? 400 : 12); i++) {
        uint32_t groups = 1 + (uint32_t)test_below(&k.rng, 3);
        sotto_linear_shape s = {.in_c = groups * (1 + (uint32_t)test_below(&k.rng, 9)),
                                .in_h = 1 + (uint32_t)test_below(&k.rng, 20),
                                .in_w = 1 + (uint32_t)test_below(&k.rng, 20),
                                .out_c = groups * (1 + (uint32_t)test_below(&k.rng, 9)),
                                .stride_h = 1 + (uint32_t)test_below(&k.rng, 3),
                                .stride_w = 1 + (uint32_t)test_below(&k.rng, 3),
                                .pad_top = (uint32_t)test_below(&k.rng, 3),
                                .pad_left = (uint32_t)test_below(&k.rng, 3),
                                .pad_bottom = (uint32_t)test_below(&k.rng, 3),
                                .pad_right = (uint32_t)test_below(&k.rng, 3),
                                .groups = groups,
                                .weight_bits = 1 + (uint32_t)test_below(&k.rng, 8)};
        s.kernel_h = 1 + (uint32_t)test_below(&k.rng, s.in_h > 5 ? 5 : s.in_h);
        s.kernel_w = 1 + (uint32_t)test_below(&k.rng, s.in_w > 5 ? 5 : s.in_w);
        check_shape(&k, &s, NULL);
        check_clear(&k, &s, NULL);
    }
    keys_free(&k);
}

/* What is shared, left out and skipped. */
static void test_plans(void **state)
{
    (void)state;
    keys k = keys_new(22, two_primes, 2);
    sotto_linear_plan plan;
    assert_ok(sotto_linear_plan_new(&plan, k.p, &(sotto_linear_shape){64, 7, 7, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 8}, 1 << 18));
    assert_true(plan.tile.rows == 7 && plan.tile.cols == 7); /* 64 slots a plane and not 81, of which the first nine are padding */
    assert_true(plan.patch_h == 8 && plan.patch_w == 8 && plan.skipped == 9);
    assert_true(plan.tile.channels * plan.tile.filters == 64);
    assert_ok(sotto_linear_plan_new(&plan, k.p, &(sotto_linear_shape){256, 56, 56, 512, 1, 1, 2, 2, 0, 0, 0, 0, 1, 8}, 1 << 18));
    assert_true(plan.planes == 256 && plan.taps_h == 1 && plan.patch_h == plan.tile.rows); /* three pixels of four are never sent */
    assert_ok(sotto_linear_plan_new(&plan, k.p, &(sotto_linear_shape){3, 224, 224, 64, 7, 7, 2, 2, 3, 3, 3, 3, 1, 8}, 1 << 18));
    assert_true(plan.planes == 12 && plan.taps_h == 4 && plan.taps_w == 4 && plan.answers <= 4 * 64);
    for (int i = 0; i < 200; i++) { /* the input blocks of an output block, pair by pair */
        const uint32_t groups = 1 + (uint32_t)test_below(&k.rng, 4), in = 1 + (uint32_t)test_below(&k.rng, 6), out = 1 + (uint32_t)test_below(&k.rng, 6);
        sotto_linear_plan p = {.shape = {.in_c = groups * in, .out_c = groups * out, .groups = groups}, .phases_h = 1 + (uint32_t)test_below(&k.rng, 2), .phases_w = 1};
        p.planes = p.shape.in_c * p.phases_h;
        p.tile.channels = 1 + (uint32_t)test_below(&k.rng, p.planes);
        p.tile.filters = 1 + (uint32_t)test_below(&k.rng, p.shape.out_c);
        for (uint32_t b = 0; b * p.tile.filters < p.shape.out_c; b++) {
            uint32_t count, first = sotto_linear_first_block(&p, b, &count);
            for (uint32_t c = 0; c * p.tile.channels < p.planes; c++) {
                int meet = 0;
                for (uint32_t m = b * p.tile.filters; m < (b + 1) * p.tile.filters && m < p.shape.out_c; m++)
                    for (uint32_t v = c * p.tile.channels; v < (c + 1) * p.tile.channels && v < p.planes; v++)
                        meet |= sotto_linear_plane_of(&p, v).channel / in == m / out;
                assert_int_equal(meet, c >= first && c < first + count);
            }
        }
    }
    keys_free(&k);
}

static void test_refusals(void **state)
{
    (void)state;
    keys k = keys_new(22, two_primes, 2);
    sotto_linear_plan plan;
    const sotto_linear_shape good = {4, 8, 8, 4, 3, 3, 1, 1, 1, 1, 1, 1, 1, 8};
    sotto_linear_shape s = good;
    s.groups = 3;
    assert_status(SOTTO_ERR_ARG, sotto_linear_plan_new(&plan, k.p, &s, 1024));
    s = good;
    s.kernel_h = 11;
    assert_status(SOTTO_ERR_ARG, sotto_linear_plan_new(&plan, k.p, &s, 1024));
    s = good;
    s.stride_w = 0;
    assert_status(SOTTO_ERR_ARG, sotto_linear_plan_new(&plan, k.p, &s, 1024));
    s = (sotto_linear_shape){1, 80, 80, 1, 70, 70, 1, 1, 0, 0, 0, 0, 1, 8};
    assert_status(SOTTO_ERR_PARAMS, sotto_linear_plan_new(&plan, k.p, &s, 1024));
    s = good;
    int32_t w[144] = {[77] = 129};
    sotto_linear_weights *weights = NULL;
    assert_ok(sotto_linear_plan_new(&plan, k.p, &s, 1024));
    assert_status(SOTTO_ERR_ARG, sotto_linear_weights_new(&weights, &plan, k.p, w, NULL));
    w[77] = -129;
    assert_status(SOTTO_ERR_ARG, sotto_linear_weights_new(&weights, &plan, k.p, w, NULL));
    assert_null(weights);
    keys_free(&k);
    /* A ring too wide for the primes leaves no room for the flood: refused, not silently wrong. */
    keys wide = keys_new(34, two_primes, 2);
    assert_status(SOTTO_ERR_PARAMS, sotto_linear_plan_new(&plan, wide.p, &good, 1 << 18));
    keys_free(&wide);
}

/* The same mask, weights and share twice: nothing of what travels repeats, and a malformed request is refused. */
static void test_fresh_and_malformed(void **state)
{
    (void)state;
    keys k = keys_new(22, two_primes, 2);
    const sotto_linear_shape s = {2, 6, 6, 2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 8};
    sotto_linear_plan plan;
    assert_ok(sotto_linear_plan_new(&plan, k.p, &s, 1 << 18));
    int32_t *w = random_weights(&k, &s);
    uint64_t *r = random_words(&k, plan.in_words), *share = random_words(&k, plan.out_words);
    sotto_linear_weights *weights;
    assert_ok(sotto_linear_weights_new(&weights, &plan, k.p, w, NULL));
    uint8_t *bytes[4];
    for (int i = 0; i < 2; i++) {
        bytes[i] = malloc(plan.request_bytes);
        bytes[2 + i] = malloc(plan.answer_bytes);
        assert_true(bytes[i] && bytes[2 + i]);
        assert_ok(sotto_linear_request(bytes[i], &plan, k.p, &k.sk, r, &k.rng, NULL));
        assert_ok(sotto_linear_answer(bytes[2 + i], &plan, k.p, &k.pk, weights, bytes[0], share, &k.rng, NULL));
    }
    size_t same_request = 0, same_answer = 0;
    for (size_t i = 0; i < plan.request_bytes; i++)
        same_request += bytes[0][i] == bytes[1][i];
    for (size_t i = 0; i < plan.answer_bytes; i++)
        same_answer += bytes[2][i] == bytes[3][i];
    /* Independent bytes agree once in 256: well below once in 128 over tens of thousands of bytes. */
    assert_true(same_request < plan.request_bytes / 128);
    assert_true(same_answer < plan.answer_bytes / 128);

    memset(bytes[0] + plan.request_bytes / 2, 0xff, 64); /* residues above their primes */
    assert_status(SOTTO_ERR_FORMAT, sotto_linear_answer(bytes[2], &plan, k.p, &k.pk, weights, bytes[0], share, &k.rng, NULL));
    for (size_t i = 0; i < plan.answer_bytes; i++)
        assert_int_equal(bytes[2][i], 0);
    for (int i = 0; i < 4; i++)
        free(bytes[i]);
    sotto_linear_weights_free(weights, k.p);
    free(share);
    free(r);
    free(w);
    keys_free(&k);
}

/* Memory and randomness fail at call k, for every k: an error, no leak, no output. */
static void test_faults(void **state)
{
    (void)state;
    keys k = keys_new(22, two_primes, 2);
    const sotto_linear_shape s = {2, 5, 5, 2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 8};
    sotto_linear_plan plan;
    assert_ok(sotto_linear_plan_new(&plan, k.p, &s, 1 << 18));
    int32_t *w = random_weights(&k, &s);
    uint64_t *r = random_words(&k, plan.in_words), *share = random_words(&k, plan.out_words);
    uint64_t *c = calloc(plan.out_words, sizeof *c);
    uint8_t *request = malloc(plan.request_bytes), *answer = malloc(plan.answer_bytes);
    assert_true(c && request && answer);
    for (int faulty_rng = 0; faulty_rng < 2; faulty_rng++) {
        int rc = SOTTO_ERR_ARG;
        for (long at = 0; rc; at++) {
            assert_true(at < 1000);
            test_faulty_rng f = {.inner = k.rng, .k = faulty_rng ? at : 1000000};
            sotto_rng rng = test_faulty_rng_wrap(&f);
            sotto_linear_weights *weights = NULL;
            sotto_calloc_fail_after(faulty_rng ? -1 : at);
            rc = sotto_linear_weights_new(&weights, &plan, k.p, w, NULL);
            if (!rc)
                rc = sotto_linear_request(request, &plan, k.p, &k.sk, r, &rng, NULL);
            if (!rc)
                rc = sotto_linear_answer(answer, &plan, k.p, &k.pk, weights, request, share, &rng, NULL);
            if (!rc)
                rc = sotto_linear_open(c, &plan, k.p, &k.sk, answer, NULL);
            sotto_calloc_fail_after(-1);
            sotto_linear_weights_free(weights, k.p);
            if (rc)
                assert_int_equal(rc, faulty_rng ? SOTTO_ERR_RNG : SOTTO_ERR_MEMORY);
        }
    }
    free(answer);
    free(request);
    free(c);
    free(share);
    free(r);
    free(w);
    keys_free(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_plans),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_fresh_and_malformed),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
