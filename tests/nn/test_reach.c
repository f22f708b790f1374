/* Widths that no image can leave: interval arithmetic against runs on the worst images, and against the plan. */
#include <math.h>
#include <stdio.h>

#include "lib/ct.h"
#include "nn/plain/fixed.h"
#include "nn/plain/reach_internal.h"
#include "tests/nn/fixture.h"

/* A plan with room to spare, from far too large a margin. */
static void wide_plan(sotto_model *m, const char *text, const sotto_rng *rng)
{
    sotto_calibration options = sotto_calibration_default();
    options.margin = 200.0;
    options.threads = 1;
    fixture_raw(m, text, rng);
    assert_ok(sotto_model_deploy(m));
    uint8_t *images = fixture_images(m, 8, rng);
    assert_ok(sotto_calibrate(m, &options, images, 8, NULL, NULL));
    sotto_free(images);
}

typedef struct shares {
    const sotto_program *p;
    uint64_t *share;
    const sotto_rng *rng;
} shares;

static const uint64_t *random_share(void *ctx, size_t step)
{
    const shares *s = ctx;
    for (size_t i = 0; i < s->p->steps[step].words; i++) {
        s->share[i] = sotto_low_bits(test_u64(s->rng), s->p->steps[step].l);
    }
    return s->share;
}

/* Where all ranges are promised to hold, nothing wraps: not for black, white and random images, nor for any shares. */
static void test_never_wraps(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    const char *const texts[] = {fixture_plain, fixture_rich, fixture_mixed};
    size_t held = 0;
    for (size_t trial = 0; trial < 24; trial++) {
        const sotto_rng rng = test_rng(seed, trial);
        sotto_model m;
        sotto_program p;
        sotto_program_weights w;
        sotto_fixed_run *run;
        sotto_calibration_report report;
        wide_plan(&m, texts[trial % 3], &rng);
        assert_ok(sotto_reach_tighten(&m, &report)); /* once more: nothing changes, and the count comes */
        assert_true(report.never <= report.units && report.units > 0);
        held += report.never == report.units;
        assert_ok(sotto_program_new(&p, &m));
        assert_ok(sotto_program_weights_new(&w, &p, &m));
        assert_ok(sotto_fixed_run_new(&run, &p, &w));
        uint8_t *images = fixture_images(&m, 6, &rng);
        int64_t *x = sotto_calloc(p.input_words, sizeof *x), logits[16];
        size_t most = 0;
        for (size_t i = 0; i < p.step_count; i++) {
            most = p.steps[i].words > most ? p.steps[i].words : most;
        }
        shares s = {&p, sotto_calloc(most, sizeof *s.share), &rng};
        assert_true(x != NULL && s.share != NULL);
        memset(images, 0, p.input_words);
        memset(images + p.input_words, 255, p.input_words);
        for (size_t i = 0; i < 6 * p.input_words; i++) {
            images[i] = i >= 4 * p.input_words ? images[i] & 128 ? 255 : 0 : images[i]; /* black and white at random */
        }
        for (size_t i = 0; i < 12 && report.never == report.units; i++) {
            const sotto_fixed_options hook = {.share = random_share, .ctx = &s};
            uint64_t wraps = 0;
            sotto_program_input(&p, &m, x, images + i % 6 * p.input_words);
            sotto_fixed_infer(run, logits, x, i < 6 ? NULL : &hook, &wraps);
            assert_int_equal(wraps, 0);
        }
        sotto_free(s.share);
        sotto_free(x);
        sotto_free(images);
        sotto_fixed_run_free(run);
        sotto_program_weights_free(&w);
        sotto_program_free(&p);
        sotto_model_free(&m);
    }
    assert_true(held >= 6);
}

/* One layer, by hand: the bound is the least that the worst image needs. */
static void test_least(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\ninput 1x1x2\ndense f1 input out=1\n"
                               "plan input scale=0.00392156862745098 bits=9\n"
                               "plan f1 weight-scale=1 weight-bits=8 k=40\n";
    static const struct {
        float weight[2], bias;
        unsigned k;
    } cases[] = {
        {{1, 1}, 0, 10},     {{1, 0}, 0, 9}, {{1, 0}, 1.0f / 255, 10}, {{-1, 0}, 0, 9}, {{-1, 0}, -1.0f / 255, 9}, {{-1, 0}, -2.0f / 255, 10}, {{2, -3}, 0, 11},
        {{100, 27}, 0, 16}, {{0, 0}, 0, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sotto_model m;
        sotto_calibration_report report;
        assert_ok(sotto_model_parse(&m, text, sizeof text - 1));
        m.nodes[1].tensor[0] = sotto_calloc(2, sizeof(float));
        m.nodes[1].tensor[1] = sotto_calloc(1, sizeof(float));
        assert_true(m.nodes[1].tensor[0] != NULL && m.nodes[1].tensor[1] != NULL);
        memcpy(m.nodes[1].tensor[0], cases[i].weight, sizeof cases[i].weight);
        m.nodes[1].tensor[1][0] = cases[i].bias;
        assert_ok(sotto_reach_tighten(&m, &report));
        assert_int_equal(m.nodes[1].plan.k, cases[i].k);
        assert_int_equal(report.units, 1);
        assert_int_equal(report.never, 1);
        m.nodes[1].plan.k = cases[i].k > 2 ? cases[i].k - 1 : 2; /* a plan that promises less keeps it */
        assert_ok(sotto_reach_tighten(&m, &report));
        assert_int_equal(m.nodes[1].plan.k, cases[i].k > 2 ? cases[i].k - 1 : 2);
        assert_int_equal(report.never, cases[i].k == 2);
        sotto_model_free(&m);
    }
}

/* A layer of five channels, by hand: each window becomes the least that the worst image needs, half a step of 5 bits at its ends, and no less: one bit less is left by some image. One
 * that promises less stays as it is, and is not counted. */
static void test_least_windows(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\ninput 1x1x2\ndense f1 input out=5\nrelu r1 f1\ndense f2 r1 out=1\n"
                               "plan input scale=0.00392156862745098 bits=9\n"
                               "plan f1 weight-scale=1 weight-bits=8\n"
                               "plan r1 f=0 k=20 u=5\n"
                               "windows r1 0 20*4,7\n"
                               "plan f2 weight-scale=1 weight-bits=8 k=30\n";
    static const float weights[10] = {1, 0, 4, 0, -1, -1, 0, 0, 1, 0};
    static const uint8_t least[5] = {10, 12, 11, 2, 7}; /* 255 < 256 but not 256 - 8; 1020 but not 1024 - 32; -510 but not -512 + 16; 0; 255 still */
    sotto_model m;
    sotto_calibration_report report;
    assert_ok(sotto_model_parse(&m, text, sizeof text - 1));
    for (size_t i = 1; i < 4; i += 2) {
        for (unsigned t = 0; t < 2; t++) {
            m.nodes[i].tensor[t] = sotto_calloc(sotto_tensor_count(&m, &m.nodes[i], t), sizeof(float));
            assert_non_null(m.nodes[i].tensor[t]);
        }
    }
    memcpy(m.nodes[1].tensor[0], weights, sizeof weights);
    for (unsigned again = 0; again < 2; again++) {
        assert_ok(sotto_reach_tighten(&m, &report));
        assert_memory_equal(m.nodes[2].windows, least, sizeof least);
        assert_int_equal(m.nodes[2].plan.k, 12);
        assert_int_equal(m.nodes[2].plan.u, 5);
        assert_int_equal(report.units, 6);
        assert_int_equal(report.never, 5);
    }
    for (unsigned c = 0; c < 5; c++) {
        for (unsigned less = 0; less < 2 && m.nodes[2].windows[c] > 2; less++) {
            sotto_program p;
            sotto_program_weights w;
            sotto_fixed_run *run;
            const int64_t x[2] = {255, 255};
            int64_t logit;
            uint64_t wraps = 0;
            m.nodes[2].windows[4] = 10;
            m.nodes[2].windows[c] = (uint8_t)(least[c] - less);
            assert_ok(sotto_program_new(&p, &m));
            assert_ok(sotto_program_weights_new(&w, &p, &m));
            assert_ok(sotto_fixed_run_new(&run, &p, &w));
            sotto_fixed_infer(run, &logit, x, NULL, &wraps);
            assert_int_equal(wraps, less == 1 || c == 4);
            sotto_fixed_run_free(run);
            sotto_program_weights_free(&w);
            sotto_program_free(&p);
            m.nodes[2].windows[c] = least[c];
        }
    }
    sotto_model_free(&m);
}

static void test_no_memory(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 100);
    sotto_model m;
    sotto_calibration_report report;
    wide_plan(&m, fixture_mixed, &rng);
    long k = 0;
    for (int status = SOTTO_ERR_MEMORY; status != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        status = sotto_reach_tighten(&m, &report);
        sotto_calloc_fail_after(-1);
        assert_true(status == SOTTO_OK || status == SOTTO_ERR_MEMORY);
    }
    assert_true(k > 10);
    sotto_model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_never_wraps), cmocka_unit_test(test_least), cmocka_unit_test(test_least_windows), cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
