/* Float inference, each op against its definition. A convolution by its definition and small pools by hand are in test_deploy. */
#include <math.h>
#include <stdio.h>

#include "nn/plain/float.h"
#include "tests/nn/fixture.h"

static void draw(float *x, size_t count, const sotto_rng *rng)
{
    for (size_t i = 0; i < count; i++) {
        x[i] = (float)test_below(rng, 4001) / 1000.0f - 2.0f;
    }
}

static void parse_and_run(sotto_model *m, sotto_float_run **run, const char *text, const float *x, const sotto_rng *rng)
{
    fixture_raw(m, text, rng);
    assert_ok(sotto_float_run_new(run, m));
    assert_ok(sotto_float_infer(*run, x));
}

static void release(sotto_model *m, sotto_float_run *run)
{
    sotto_float_run_free(run);
    sotto_model_free(m);
}

static const float *value(const sotto_model *m, const sotto_float_run *run, const char *name)
{
    const size_t at = sotto_model_find(m, name);
    assert_true(at != SIZE_MAX);
    return sotto_float_value(run, at);
}

/* Random windows against the definition on an image that really is padded: zeros for the average, minus infinity for the maximum. */
static void test_pools_by_definition(void **state)
{
    (void)state;
    enum { C = 2, H = 6, W = 5, MARGIN = 4, PH = H + 2 * MARGIN, PW = W + 2 * MARGIN };
    const sotto_rng rng = test_rng(test_seed(), 0);
    for (int round = 0; round < 100; round++) {
        char text[512];
        float x[C * H * W];
        static float low[C][PH][PW], zero[C][PH][PW];
        const unsigned kh = 1 + (unsigned)test_below(&rng, 4), kw = 1 + (unsigned)test_below(&rng, 4),
                       sh = 1 + (unsigned)test_below(&rng, 4), sw = 1 + (unsigned)test_below(&rng, 4),
                       pt = (unsigned)test_below(&rng, kh), pl = (unsigned)test_below(&rng, kw), pb = (unsigned)test_below(&rng, kh),
                       pr = (unsigned)test_below(&rng, kw);
        snprintf(text, sizeof text,
                 "sotto-model 1\ninput %dx%dx%d\nmaxpool m input kernel=%ux%u stride=%ux%u pad=%u,%u,%u,%u\n"
                 "avgpool a input kernel=%ux%u stride=%ux%u pad=%u,%u,%u,%u\n",
                 C, H, W, kh, kw, sh, sw, pt, pl, pb, pr, kh, kw, sh, sw, pt, pl, pb, pr);
        draw(x, C * H * W, &rng);
        for (int c = 0; c < C; c++) {
            for (int i = 0; i < PH; i++) {
                for (int j = 0; j < PW; j++) {
                    const int inside = i >= MARGIN && i < MARGIN + H && j >= MARGIN && j < MARGIN + W;
                    zero[c][i][j] = inside ? x[(c * H + i - MARGIN) * W + j - MARGIN] : 0.0f;
                    low[c][i][j] = inside ? zero[c][i][j] : -INFINITY;
                }
            }
        }
        sotto_model m;
        sotto_float_run *run;
        parse_and_run(&m, &run, text, x, &rng);
        const sotto_shape s = m.nodes[1].shape;
        assert_int_equal((H + pt + pb - kh) / sh + 1, s.h);
        assert_int_equal((W + pl + pr - kw) / sw + 1, s.w);
        for (unsigned at = 0; at < C * s.h * s.w; at++) {
            const unsigned c = at / (s.h * s.w), top = MARGIN - pt + at / s.w % s.h * sh, left = MARGIN - pl + at % s.w * sw;
            float most = -INFINITY;
            double sum = 0.0;
            for (unsigned i = 0; i < kh * kw; i++) {
                most = fmaxf(most, low[c][top + i / kw][left + i % kw]);
                sum += (double)zero[c][top + i / kw][left + i % kw];
            }
            assert_true(value(&m, run, "m")[at] == most);
            assert_true(fabs((double)value(&m, run, "a")[at] - sum / (kh * kw)) < 1e-6);
        }
        release(&m, run);
    }
}

/* Every value of this network is a binary fraction, so that all figures are exact (the variances leave room for epsilon). */
static void test_ops_by_hand(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\n"
                               "input 2x1x2\n"
                               "relu r input\n"
                               "identity i r\n"
                               "add s i input\n"
                               "batchnorm b s\n"
                               "flatten f s\n"
                               "globalavg g s\n"
                               "dense d f out=2\n"
                               "add t d g\n";
    const float x[4] = {1.0f, -2.0f, 0.5f, -0.0f};
    static float norm[4][2] = {{2.0f, -1.0f}, {0.25f, 8.0f}, {0.5f, -3.0f}, {4.0f, 0.25f}};
    static float weights[8] = {1, 2, 4, 8, -1, 0.5f, 0, 16}, bias[2] = {0.125f, -1.0f};
    const float relu[4] = {1, 0, 0.5f, 0}, sum[4] = {2, -2, 1, 0}, mean[2] = {0, 0.5f}, dense[2] = {2.125f, -4.0f};
    const sotto_rng rng = test_rng(1, 0);
    sotto_model m;
    sotto_float_run *run;
    fixture_raw(&m, text, &rng);
    for (unsigned t = 0; t < 4; t++) {
        memcpy(m.nodes[sotto_model_find(&m, "b")].tensor[t], norm[t], sizeof norm[t]);
    }
    memcpy(m.nodes[sotto_model_find(&m, "d")].tensor[0], weights, sizeof weights);
    memcpy(m.nodes[sotto_model_find(&m, "d")].tensor[1], bias, sizeof bias);
    assert_ok(sotto_float_run_new(&run, &m));
    for (int twice = 0; twice < 2; twice++) { /* nothing is left over from the last image */
        const float other[4] = {9, 9, 9, 9};
        assert_ok(sotto_float_infer(run, other));
        assert_ok(sotto_float_infer(run, x));
        for (size_t i = 0; i < 4; i++) {
            assert_true(value(&m, run, "input")[i] == x[i]);
            assert_true(value(&m, run, "r")[i] == relu[i]);
            assert_true(value(&m, run, "i")[i] == relu[i]);
            assert_true(value(&m, run, "s")[i] == sum[i]);
            assert_true(value(&m, run, "f")[i] == sum[i]);
            const double v = i < 2 ? 4.0 : 0.25;
            const double normed = ((double)sum[i] - (double)norm[2][i / 2]) / sqrt(v + 1e-5) * (double)norm[0][i / 2] + (double)norm[1][i / 2];
            assert_true(fabs((double)value(&m, run, "b")[i] - normed) < 1e-5);
        }
        for (size_t i = 0; i < 2; i++) {
            assert_true(value(&m, run, "g")[i] == mean[i]);
            assert_true(value(&m, run, "d")[i] == dense[i]);
            assert_true(value(&m, run, "t")[i] == dense[i] + mean[i]);
        }
    }
    release(&m, run);
}

/* A grouped convolution is the convolution of all channels whose weights are zero outside the group. */
/* Units of each kind, clip, concat and pad on numbers small enough to check by eye. */
static void test_units_by_hand(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\ninput 5x2x3\nact t input\nclip l input\nconcat k t l\npad p input pad=0,1,1,0 channels=1,0\n"
                               "units t 0 relu,relu2x2,identity,zero,cubic\nmask t 0 fd\n";
    float x[30] = {-1, -2, 3, 4, -5, 6, 1, -4, -9, 2, 2, 8};
    for (int i = 12; i < 30; i++) {
        x[i] = (float)(i - 20) / 2.0f;
    }
    const sotto_rng rng = test_rng(test_seed(), 0);
    sotto_model m;
    sotto_float_run *run;
    fixture_raw(&m, text, &rng);
    static const float c[4] = {1.0f, -2.0f, 0.5f, 0.25f};
    memcpy(m.nodes[1].tensor[0] + 16, c, sizeof c);
    for (int i = 0; i < 5; i++) {
        m.nodes[2].tensor[0][i] = (float)i + 0.5f;
    }
    assert_ok(sotto_float_run_new(&run, &m));
    assert_ok(sotto_float_infer(run, x));
    const float *t = value(&m, run, "t"), *k = value(&m, run, "k"), *p = value(&m, run, "p");
    /* Value 1 is masked. Patches of channel 1: {1, -4, 2, 2} sums to 1, {-9, 8} to -1. */
    static const float want[12] = {0, -2, 3, 4, 0, 6, 1, -4, 0, 2, 2, 0};
    for (int i = 0; i < 30; i++) {
        const float y = x[i], poly = 1.0f - 2.0f * y + 0.5f * y * y + 0.25f * y * y * y, bound = (float)(i / 6) + 0.5f;
        assert_true(t[i] == (i < 12 ? want[i] : i < 18 ? y : i < 24 ? 0.0f : t[i]));
        assert_true(i < 24 || fabsf(t[i] - poly) < 1e-5f);
        assert_true(k[i] == t[i] && k[30 + i] == fminf(fmaxf(y, 0.0f), bound));
    }
    for (int ch = 0; ch < 6; ch++) {
        for (int y = 0; y < 3; y++) {
            for (int z = 0; z < 4; z++) {
                const float inside = ch > 0 && y < 2 && z > 0 ? x[((ch - 1) * 2 + y) * 3 + z - 1] : 0.0f;
                assert_true(p[(ch * 3 + y) * 4 + z] == inside);
            }
        }
    }
    release(&m, run);
}

static void test_groups(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 1);
    static const char shape[] = "sotto-model 1\ninput 6x5x4\nconv c input out=9 kernel=3x2 stride=2x1 pad=1,0,1,1 groups=%u\n";
    sotto_model grouped, whole;
    sotto_float_run *a, *b;
    char text[256];
    float x[6 * 5 * 4];
    draw(x, sizeof x / sizeof *x, &rng);
    snprintf(text, sizeof text, shape, 3u);
    parse_and_run(&grouped, &a, text, x, &rng);
    snprintf(text, sizeof text, shape, 1u);
    fixture_raw(&whole, text, &rng);
    for (size_t o = 0; o < 9; o++) {
        for (size_t c = 0; c < 6; c++) {
            for (size_t k = 0; k < 6; k++) {
                const int same = o / 3 == c / 2;
                whole.nodes[1].tensor[0][(o * 6 + c) * 6 + k] = same ? grouped.nodes[1].tensor[0][(o * 2 + c % 2) * 6 + k] : 0.0f;
            }
        }
        whole.nodes[1].tensor[1][o] = grouped.nodes[1].tensor[1][o];
    }
    assert_ok(sotto_float_run_new(&b, &whole));
    assert_ok(sotto_float_infer(b, x));
    const size_t words = sotto_shape_words(grouped.nodes[1].shape);
    assert_int_equal(9 * 3 * 4, words);
    for (size_t i = 0; i < words; i++) {
        assert_true(sotto_float_value(a, 1)[i] == sotto_float_value(b, 1)[i]);
    }
    release(&grouped, a);
    release(&whole, b);
}

/* 2^24 + 1 is no float: a float accumulator would lose every one of the small terms. */
static void test_double_accumulators(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(1, 0);
    enum { WORDS = 257 };
    sotto_model m;
    sotto_float_run *run;
    float x[WORDS];
    fixture_raw(&m, "sotto-model 1\ninput 1x1x257\ndense d input out=1\nconv c input out=1 kernel=1x257\nglobalavg g input\n", &rng);
    for (size_t i = 0; i < WORDS; i++) {
        m.nodes[1].tensor[0][i] = m.nodes[2].tensor[0][i] = 1.0f;
        x[i] = i == 0 ? 16777216.0f : 1.0f;
    }
    m.nodes[1].tensor[1][0] = m.nodes[2].tensor[1][0] = -16777216.0f;
    assert_ok(sotto_float_run_new(&run, &m));
    assert_ok(sotto_float_infer(run, x));
    assert_true(sotto_float_value(run, 1)[0] == 256.0f);
    assert_true(sotto_float_value(run, 2)[0] == 256.0f);
    assert_true(sotto_float_value(run, 3)[0] == (float)(16777472.0 / 257.0));
    release(&m, run);
}

static void test_normalise(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\ninput 2x2x3 mean=0.5,0.25 std=0.5,2\nrelu r input\n";
    sotto_model m;
    uint8_t pixels[12];
    float x[12];
    assert_ok(sotto_model_parse(&m, text, sizeof text - 1));
    for (unsigned p = 0; p < 256; p++) {
        for (unsigned i = 0; i < 12; i++) {
            pixels[i] = (uint8_t)(p + i);
        }
        sotto_normalise(&m, x, pixels);
        for (unsigned i = 0; i < 12; i++) {
            const double want = i < 6 ? (pixels[i] / 255.0 - 0.5) / 0.5 : (pixels[i] / 255.0 - 0.25) / 2.0;
            assert_true(fabs((double)x[i] - want) < 1e-6);
        }
    }
    sotto_model_free(&m);
}

static void test_argmax(void **state)
{
    (void)state;
    const float ties[5] = {-3, 7, 1, 7, 7}, falling[3] = {-1, -2, -3}, rising[3] = {-3, -2, -1};
    assert_int_equal(1, sotto_argmax_float(ties, 5));
    assert_int_equal(0, sotto_argmax_float(falling, 3));
    assert_int_equal(2, sotto_argmax_float(rising, 3));
    assert_int_equal(0, sotto_argmax_float(rising, 1));
}

static void test_without_weights(void **state)
{
    (void)state;
    sotto_model m;
    sotto_float_run *run;
    const float x[64] = {0};
    assert_ok(sotto_model_parse(&m, fixture_plain, sizeof fixture_plain - 1));
    assert_ok(sotto_float_run_new(&run, &m));
    assert_status(SOTTO_ERR_ARG, sotto_float_infer(run, x));
    assert_non_null(strstr(sotto_error_message(), "weights"));
    release(&m, run);
    sotto_float_run_free(NULL);
}

static void test_memory_failure(void **state)
{
    (void)state;
    sotto_model m;
    assert_ok(sotto_model_parse(&m, fixture_rich, sizeof fixture_rich - 1));
    size_t own = 3; /* the run, its table and a row; then a value for each node that has one of its own */
    for (size_t i = 0; i < m.node_count; i++) {
        own += m.nodes[i].op != SOTTO_OP_FLATTEN && m.nodes[i].op != SOTTO_OP_IDENTITY;
    }
    for (size_t k = 0; k <= own; k++) {
        sotto_float_run *run = NULL;
        sotto_calloc_fail_after((long)k);
        const int status = sotto_float_run_new(&run, &m);
        sotto_calloc_fail_after(-1);
        assert_int_equal(k < own ? SOTTO_ERR_MEMORY : SOTTO_OK, status);
        assert_true((run == NULL) == (k < own));
        sotto_float_run_free(run);
    }
    sotto_model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pools_by_definition), cmocka_unit_test(test_ops_by_hand), cmocka_unit_test(test_units_by_hand),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_double_accumulators), cmocka_unit_test(test_normalise),   cmocka_unit_test(test_argmax),
        cmocka_unit_test(test_without_weights),     cmocka_unit_test(test_memory_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
