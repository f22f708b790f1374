/* The 32-bit reference against the 64-bit one: every value and the count of wraps, on each tier; programs and images that do not fit. */
#include <stdio.h>

#include "lib/cpu.h"
#include "nn/plain/fixed.h"
#include "nn/plain/narrow_internal.h"
#include "tests/nn/fixture.h"

typedef struct wide {
    const sotto_program *p;
    const sotto_narrow *narrow;
    size_t compared;
} wide;

static int64_t centred(int64_t x, unsigned l)
{
    return (int64_t)((uint64_t)x << (64 - l)) >> (64 - l);
}

static void compare(void *ctx, size_t step, const int64_t *value, size_t words)
{
    wide *w = ctx;
    int64_t *got = sotto_calloc(words, sizeof *got);
    assert_non_null(got);
    sotto_narrow_value(w->narrow, step, got);
    for (size_t i = 0; i < words; i++) {
        assert_true(centred(got[i], w->p->steps[step].l) == value[i]);
    }
    w->compared += words;
    sotto_free(got);
}

static uint64_t wrapped; /* so far */

/* Cuts widths so that some values wrap. */
static void cut(sotto_model *m, unsigned bits)
{
    for (size_t i = 0; i < m->node_count; i++) {
        sotto_node_plan *p = &m->nodes[i].plan;
        if (p->k > bits + 2 && p->k - bits > p->f + 1) {
            p->k -= bits;
            p->u = p->u > p->k ? p->k : p->u;
        }
    }
}

static void check(const char *text, unsigned value_bits, unsigned bits, unsigned windows, const sotto_rng *rng)
{
    sotto_calibration options = sotto_calibration_default();
    sotto_model m;
    sotto_program p;
    sotto_program_weights w;
    sotto_narrow *narrow;
    sotto_fixed_run *run;
    options.value_bits = value_bits;
    options.weight_bits = value_bits < 8 ? value_bits : 8;
    options.sign_bits = 6;
    options.threads = 1;
    fixture_raw(&m, text, rng);
    assert_ok(sotto_model_deploy(&m));
    uint8_t *images = fixture_images(&m, 4, rng);
    assert_ok(sotto_calibrate(&m, &options, images, 4, NULL, NULL));
    cut(&m, bits);
    fixture_windows(&m, windows, rng);
    if (bits > 0 && sotto_program_new(&p, &m) != SOTTO_OK) {
        sotto_model_free(&m);
        sotto_free(images);
        return;
    }
    if (bits == 0) {
        assert_ok(sotto_program_new(&p, &m));
    }
    if (sotto_program_weights_new(&w, &p, &m) != SOTTO_OK) { /* a bound beyond its k */
        assert_true(bits > 0);
        sotto_program_free(&p);
        sotto_model_free(&m);
        sotto_free(images);
        return;
    }
    assert_ok(sotto_narrow_new(&narrow, &p, &w));
    assert_non_null(narrow);
    assert_ok(sotto_fixed_run_new(&run, &p, &w));
    int64_t *x = sotto_calloc(p.input_words, sizeof *x), logits[2][16];
    assert_non_null(x);
    for (size_t i = 0; i < 4; i++) {
        wide v = {&p, narrow, 0};
        const sotto_fixed_options hook = {.seen = compare, .ctx = &v};
        uint64_t wraps[2] = {7, 7};
        sotto_program_input(&p, &m, x, images + i * p.input_words);
        assert_int_equal(sotto_narrow_infer(narrow, logits[0], x, &wraps[0]), 1);
        sotto_fixed_infer(run, logits[1], x, &hook, &wraps[1]);
        assert_memory_equal(logits[0], logits[1], p.output_words * sizeof **logits);
        assert_int_equal(wraps[0], wraps[1]);
        assert_true(v.compared > p.input_words);
        wrapped += wraps[0] - 7;
    }
    sotto_free(x);
    sotto_free(images);
    sotto_fixed_run_free(run);
    sotto_narrow_free(narrow);
    sotto_program_weights_free(&w);
    sotto_program_free(&p);
    sotto_model_free(&m);
}

static void test_same_values(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    size_t narrowed = 0;
    static const char polynomials[] = "sotto-model 1\nname poly\ninput 2x6x6\nconv c1 input out=6 kernel=3\nact a1 c1\nconv c2 a1 out=4 kernel=2\nact a2 c2\n"
                                      "dense f1 a2 out=3\nunits a1 0 square*3,identity,zero,square\nunits a2 0 square*4\n";
    const char *const texts[] = {fixture_plain, fixture_rich, fixture_mixed, polynomials};
    for (sotto_tier tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_AVX512; tier++) {
        sotto_cpu_force_tier(tier);
        for (unsigned trial = 0; trial < 12; trial++) {
            for (size_t t = 0; t < 4; t++) {
                const sotto_rng rng = test_rng(seed, trial * 4 + t);
                const uint64_t before = wrapped;
                check(texts[t], t == 3 ? 6 : trial % 3 == 2 ? 15 : 8, t == 3 ? 0 : trial % 4, trial % 5, &rng); /* 15: sums of pools and additions pass 16 bits */
                narrowed += t < 3 && trial % 20 == 4 && wrapped > before; /* where k would do, windows are left */
            }
        }
    }
    assert_true(narrowed > 0);
    sotto_cpu_force_tier(SOTTO_TIER_IFMA);
}

/* ---- what does not fit ---------------------------------------------------------------------------------------------- */

static const char small[] = "sotto-model 1\n"
                            "input 1x1x2\n"
                            "dense f1 input out=2\n"
                            "relu r1 f1\n"
                            "dense f2 r1 out=2\n"
                            "plan input scale=1 bits=16\n"
                            "plan f1 weight-scale=1 weight-bits=16\n"
                            "plan r1 f=%u k=%u u=2\n"
                            "plan f2 weight-scale=1 weight-bits=16 k=50\n";

typedef struct net {
    sotto_model m;
    sotto_program p;
    sotto_program_weights w;
} net;

static void net_new(net *n, unsigned f, unsigned k, const float w1[4], const float w2[4])
{
    char text[512];
    const int len = snprintf(text, sizeof text, small, f, k);
    const float *const weights[2] = {w1, w2};
    assert_ok(sotto_model_parse(&n->m, text, (size_t)len));
    for (size_t i = 0; i < 2; i++) {
        sotto_node *f1 = &n->m.nodes[1 + 2 * i];
        f1->tensor[0] = sotto_calloc(4, sizeof(float));
        f1->tensor[1] = sotto_calloc(2, sizeof(float));
        assert_true(f1->tensor[0] != NULL && f1->tensor[1] != NULL);
        memcpy(f1->tensor[0], weights[i], 4 * sizeof(float));
    }
    assert_ok(sotto_program_new(&n->p, &n->m));
    assert_ok(sotto_program_weights_new(&n->w, &n->p, &n->m));
}

static void net_free(net *n)
{
    sotto_program_weights_free(&n->w);
    sotto_program_free(&n->p);
    sotto_model_free(&n->m);
}

static void test_never_fits(void **state)
{
    (void)state;
    const float one[4] = {1, 0, 0, 1}, edge[4] = {1, 32768, 0, 1}, under[4] = {1, 32767, -32767, 1};
    net n;
    sotto_narrow *narrow;
    net_new(&n, 1, 40, one, edge);
    assert_ok(sotto_narrow_new(&narrow, &n.p, &n.w));
    assert_null(narrow);
    net_free(&n);
    net_new(&n, 31, 40, one, one);
    assert_ok(sotto_narrow_new(&narrow, &n.p, &n.w));
    assert_null(narrow);
    net_free(&n);
    net_new(&n, 1, 40, one, under);
    assert_ok(sotto_narrow_new(&narrow, &n.p, &n.w));
    assert_non_null(narrow);
    sotto_narrow_free(narrow);
    net_free(&n);
}

/* Around the largest values of 15, 16 and 30 bits: where it answers it is right, and it answers where there is room. */
static void test_edges(void **state)
{
    (void)state;
    const float w1[4] = {1, 0, 0, 2}, w2[4] = {3, -1, 2, 5};
    static const int64_t edges[] = {0, 1, 16383, 16384, 32766, 32767, 32768, 65535, 1 << 24, (1 << 26) + 12345, (INT64_C(1) << 30) - 1, INT64_C(1) << 30, INT64_C(1) << 31, INT64_C(1) << 40};
    net n;
    sotto_narrow *narrow;
    sotto_fixed_run *run;
    net_new(&n, 0, 48, w1, w2);
    assert_ok(sotto_narrow_new(&narrow, &n.p, &n.w));
    assert_non_null(narrow);
    assert_ok(sotto_fixed_run_new(&run, &n.p, &n.w));
    for (size_t i = 0; i < 4 * (sizeof edges / sizeof *edges); i++) {
        const int64_t e = edges[i / 4], x[2] = {i & 1 ? -e : e, i & 2 ? e : 0};
        int64_t logits[3][2];
        uint64_t wraps[3] = {0};
        wide v = {&n.p, narrow, 0};
        const sotto_fixed_options options = {.seen = compare, .ctx = &v}, blind = {.seen = NULL};
        const int fits = sotto_narrow_infer(narrow, logits[0], x, &wraps[0]);
        sotto_fixed_infer(run, logits[1], x, fits ? &options : NULL, &wraps[1]);
        sotto_fixed_infer(run, logits[2], x, &blind, &wraps[2]);
        assert_memory_equal(logits[1], logits[2], sizeof *logits);
        assert_int_equal(wraps[1], wraps[2]);
        if (fits) {
            assert_memory_equal(logits[0], logits[1], sizeof *logits);
            assert_int_equal(wraps[0], wraps[1]);
        } else {
            assert_int_equal(wraps[0], 0);
        }
        assert_true(fits ? e < INT64_C(1) << 30 : e > 65535);
    }
    sotto_fixed_run_free(run);
    sotto_narrow_free(narrow);
    net_free(&n);
}

static void test_no_memory(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 99);
    net n = {0};
    fixture_model(&n.m, fixture_mixed, 6, &rng);
    assert_ok(sotto_program_new(&n.p, &n.m));
    assert_ok(sotto_program_weights_new(&n.w, &n.p, &n.m));
    long k = 0;
    for (int status = SOTTO_ERR_MEMORY; status != SOTTO_OK; k++) {
        sotto_narrow *narrow;
        sotto_calloc_fail_after(k);
        status = sotto_narrow_new(&narrow, &n.p, &n.w);
        sotto_calloc_fail_after(-1);
        if (status != SOTTO_OK) {
            assert_int_equal(status, SOTTO_ERR_MEMORY);
            assert_null(narrow);
        } else {
            sotto_narrow_free(narrow);
        }
    }
    assert_true(k > (long)n.p.step_count);
    net_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_values),
        cmocka_unit_test(test_never_fits),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
