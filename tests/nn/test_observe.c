/* What sample images show: against a pass of its own over all values, threads, ranges on distributions whose answer is known. */
#include <math.h>

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
    long k = 0;
    for (int status = SOTTO_ERR_MEMORY; status != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        status = sotto_observe(&o, &m, image, 1, 1, NULL, NULL);
        sotto_calloc_fail_after(-1);
        if (status != SOTTO_OK) {
            assert_int_equal(status, SOTTO_ERR_MEMORY);
            assert_null(o.channel);
        }
    }
    assert_true(k > 6);
    sotto_observation_free(&o);
    sotto_model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_values), cmocka_unit_test(test_ranges), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
