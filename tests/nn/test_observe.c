/* What sample images show: against a pass of its own over all values, threads, ranges on distributions whose answer is known. */
#include <math.h>
#include <stdio.h>

#include "nn/plain/float.h"
#include "nn/plain/observe.h"
#include "tests/nn/fixture.h"

static void count_images(void *ctx, size_t done, size_t count)
{
    size_t *most = ctx;
    assert_true(done <= count && done > *most);
    *most = done;
}

static void check(const sotto_model *m, const sotto_observation *o, const uint8_t *images, size_t count)
{
    const size_t words = sotto_shape_words(m->nodes[0].shape);
    float *x = sotto_calloc(words, sizeof *x);
    sotto_channel_stats *want = sotto_calloc(o->channel_count, sizeof *want);
    uint64_t seen = 0, bins = 0;
    sotto_float_run *run;
    assert_true(x != NULL && want != NULL);
    assert_ok(sotto_float_run_new(&run, m));
    for (size_t i = 0; i < count; i++) {
        sotto_normalise(m, x, images + i * words);
        assert_ok(sotto_float_infer(run, x));
        for (size_t n = 0; n < m->node_count; n++) {
            const sotto_shape s = m->nodes[n].shape;
            const size_t area = (size_t)s.h * s.w;
            for (size_t j = 0; j < area * s.c; j++) {
                const double v = (double)sotto_float_value(run, n)[j];
                sotto_channel_stats *w = &want[o->first[n] + j / area];
                w->low = fmin(w->low, v);
                w->high = fmax(w->high, v);
                w->square += v * v / (double)(area * count);
                w->mean += v / (double)(area * count);
            }
            seen += o->histogram_of[n] == SIZE_MAX ? 0 : area * s.c;
        }
    }
    for (size_t i = 0; i < o->channel_count; i++) {
        const sotto_channel_stats *got = &o->channel[i];
        assert_true(got->low == want[i].low && got->high == want[i].high && got->bin_unit == 1.0);
        assert_true(fabs(got->square - want[i].square) <= 1e-9 * want[i].square + 1e-12);
        assert_true(fabs(got->mean - want[i].mean) <= 1e-9 * sqrt(want[i].square) + 1e-12);
    }
    for (size_t i = 0; i < o->bin_count; i++) {
        bins += o->bins[i];
    }
    assert_true(bins == seen && seen > 0);
    sotto_float_run_free(run);
    sotto_free(want);
    sotto_free(x);
}

static void test_all_values(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 1);
    const char *const texts[] = {fixture_rich, fixture_mixed};
    for (size_t t = 0; t < 2; t++) {
        sotto_model m;
        sotto_observation o, copy, alone = {0};
        fixture_raw(&m, texts[t], &rng);
        assert_ok(sotto_model_deploy(&m));
        uint8_t *images = fixture_images(&m, 11, &rng);
        for (unsigned threads = 1; threads <= 3; threads++) {
            size_t done = 0;
            assert_ok(sotto_observe(&o, &m, images, 11, threads, count_images, &done));
            assert_true(threads > 1 || done == 11);
            check(&m, &o, images, 11);
            if (threads > 1) { /* to the last bit */
                assert_memory_equal(o.channel, alone.channel, o.channel_count * sizeof *o.channel);
                assert_memory_equal(o.bins, alone.bins, o.bin_count * sizeof *o.bins);
            }
            assert_ok(sotto_observation_copy(&copy, &o));
            assert_memory_equal(copy.channel, o.channel, o.channel_count * sizeof *o.channel);
            assert_memory_equal(copy.bins, o.bins, o.bin_count * sizeof *o.bins);
            sotto_observation_free(&copy);
            if (threads == 1) {
                alone = o;
            } else {
                sotto_observation_free(&o);
            }
        }
        sotto_observation_free(&alone);
        sotto_free(images);
        sotto_model_free(&m);
    }
}

/* A network that puts out its input, and pixels with a known distribution: pixel / 255 is the value. */
static void ramp(sotto_model *m, sotto_observation *o, const uint8_t *images, size_t count)
{
    static const char text[] = "sotto-model 1\ninput 1x1x256\nidentity i1 input\nconv c1 i1 out=1 kernel=1\n";
    assert_ok(sotto_model_parse(m, text, sizeof text - 1));
    const sotto_rng rng = test_rng(test_seed(), 2);
    assert_ok(sotto_model_init_weights(m, &rng));
    assert_ok(sotto_observe(o, m, images, count, 1, NULL, NULL));
}

static void test_ranges(void **state)
{
    (void)state;
    uint8_t images[256];
    sotto_model m;
    sotto_observation o;
    for (size_t i = 0; i < 256; i++) {
        images[i] = (uint8_t)i; /* uniform on [0, 1] */
    }
    ramp(&m, &o, images, 1);
    assert_true(sotto_observe_range(&o, 1, 0, SOTTO_RANGE_MAX, 0.5, 8) == 1.0);
    for (unsigned tenths = 2; tenths <= 10; tenths++) { /* to the width of a bin, an eighth of an octave, upwards */
        const double got = sotto_observe_range(&o, 1, 0, SOTTO_RANGE_PERCENTILE, tenths / 10.0, 8);
        assert_true(got >= tenths / 10.0 - 0.01 && got <= fmin(tenths / 10.0 * 1.14 + 0.01, 1.0));
    }
    assert_true(sotto_observe_range(&o, 1, 0, SOTTO_RANGE_MSE, 0.5, 8) == 1.0); /* no tail to cut */
    assert_true(sotto_observe_range(&o, 2, 0, SOTTO_RANGE_MSE, 0.5, 8) > 0.0);  /* no bins: the maximum */
    sotto_observation_free(&o);
    sotto_model_free(&m);
    for (size_t i = 0; i < 256; i++) {
        images[i] = i == 0 ? 255 : (uint8_t)(16 + i % 2); /* a single value far off */
    }
    ramp(&m, &o, images, 1);
    assert_true(sotto_observe_range(&o, 1, 0, SOTTO_RANGE_MSE, 0.5, 16) == 1.0);
    assert_true(sotto_observe_range(&o, 1, 0, SOTTO_RANGE_PERCENTILE, 0.99, 8) < 0.08);
    const double coarse = sotto_observe_range(&o, 1, 0, SOTTO_RANGE_MSE, 0.5, 2);
    assert_true(coarse < 1.0 && coarse > 0.0);
    sotto_observation_free(&o);
    sotto_model_free(&m);
}

/* x = pixel / 10, then x^2, then `gain` x^4: of nine images at 1, one at 3 and one at 25.5. */
static void squares(sotto_model *m, const char *unit, float gain)
{
    char text[256];
    const int len = snprintf(text, sizeof text, "sotto-model 1\ninput 1x1x2 mean=0 std=%.9g\nact a1 input\nconv c1 a1 out=1 kernel=1\nact a2 c1\nconv c2 a2 out=1 kernel=1\n"
                             "units a1 0 %s\nunits a2 0 %s\n", 10.0 / 255.0, unit, unit);
    const sotto_rng rng = test_rng(test_seed(), 4);
    assert_ok(sotto_model_parse(m, text, (size_t)len));
    assert_ok(sotto_model_init_weights(m, &rng));
    for (size_t i = 1; i < m->node_count; i++) {
        float *t = m->nodes[i].tensor[0];
        if (m->nodes[i].op == SOTTO_OP_CONV) {
            t[0] = 1.0f;
        } else if (t != NULL) {
            t[0] = t[1] = t[3] = 0.0f;
            t[2] = i == 3 ? gain : 1.0f;
        }
    }
}

#define STRAYS 11

static void stray_images(uint8_t images[2 * STRAYS])
{
    for (size_t i = 0; i < STRAYS; i++) {
        images[2 * i] = images[2 * i + 1] = i == 4 ? 30 : i == 7 ? 255 : 10;
    }
}

static void test_strays(void **state)
{
    (void)state;
    uint8_t images[2 * STRAYS];
    stray_images(images);
    for (unsigned trial = 0; trial < 4; trial++) {
        const float gain = trial < 2 ? 1.0f : 1e34f; /* then the last image overflows a float */
        sotto_model m;
        sotto_observation o;
        squares(&m, "square", gain);
        assert_ok(sotto_observe(&o, &m, images, STRAYS, 1 + trial % 2, NULL, NULL));
        assert_int_equal(o.strayed, 1);
        assert_int_equal(o.diverged, 1);
        for (size_t i = 0; i < m.node_count; i++) {
            const sotto_channel_stats *s = &o.channel[o.first[i]];
            const double unit = i < 3 ? 1.0 : (double)gain, of_stray = i == 0 ? 3.0 : i < 3 ? 9.0 : 81.0;
            assert_true(s->low == 0.0 && fabs(s->high - of_stray * unit) < 1e-5 * s->high);
            assert_true(fabs(s->most - (i == 0 ? of_stray : unit)) < 1e-5 * s->most && fabs(s->mean - unit) < 1e-5 * unit && fabs(s->square - unit * unit) < 1e-5 * unit * unit);
            uint64_t seen = 0;
            for (size_t b = 0; o.histogram_of[i] != SIZE_MAX && b < SOTTO_OBSERVE_BINS; b++) {
                seen += o.bins[o.histogram_of[i] + b];
            }
            assert_int_equal(seen, o.histogram_of[i] == SIZE_MAX ? 0 : 2 * (STRAYS - 2));
        }
        assert_true(sotto_observe_range(&o, 1, 0, SOTTO_RANGE_MAX, 0.5, 8) < 1.0001);
        sotto_observation_free(&o);
        sotto_model_free(&m);
    }
}

/* What has a bound is looked at as it is. */
static void test_no_strays(void **state)
{
    (void)state;
    uint8_t images[2 * STRAYS];
    sotto_model m;
    sotto_observation o;
    stray_images(images);
    squares(&m, "relu", 1.0f);
    assert_ok(sotto_observe(&o, &m, images, STRAYS, 1, NULL, NULL));
    assert_int_equal(o.strayed + o.diverged, 0);
    assert_true(o.channel[0].most > 25.4 && o.channel[0].high > 25.4);
    sotto_observation_free(&o);
    sotto_model_free(&m);
}

static void no_memory(const sotto_model *m, const uint8_t *images, size_t count)
{
    sotto_observation o;
    long k = 0;
    for (int status = SOTTO_ERR_MEMORY; status != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        status = sotto_observe(&o, m, images, count, 1, NULL, NULL);
        sotto_calloc_fail_after(-1);
        if (status != SOTTO_OK) {
            assert_int_equal(status, SOTTO_ERR_MEMORY);
            assert_null(o.channel);
        }
    }
    assert_true(k > 6);
    sotto_observation_free(&o);
}

static void test_refused(void **state)
{
    (void)state;
    static const uint8_t image[64];
    sotto_model m;
    sotto_observation o;
    assert_ok(sotto_model_parse(&m, fixture_plain, sizeof fixture_plain - 1));
    assert_status(SOTTO_ERR_ARG, sotto_observe(&o, &m, image, 1, 1, NULL, NULL));
    const sotto_rng rng = test_rng(test_seed(), 3);
    assert_ok(sotto_model_init_weights(&m, &rng));
    assert_status(SOTTO_ERR_ARG, sotto_observe(&o, &m, image, 0, 1, NULL, NULL));
    no_memory(&m, image, 1);
    sotto_model_free(&m);
    uint8_t images[2 * STRAYS];
    stray_images(images);
    squares(&m, "square", 1.0f);
    no_memory(&m, images, STRAYS);
    sotto_model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_values), cmocka_unit_test(test_ranges), cmocka_unit_test(test_strays), cmocka_unit_test(test_no_strays),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
