/* Equalisation: the function stays, ranges and weights become alike, ties are kept, the noise that it minimises falls and is a minimum. */
#include <math.h>
#include <stdio.h>

#include "nn/plain/equalise.h"
#include "nn/plain/float.h"
#include "tests/nn/fixture.h"

static const sotto_equalise_options options = {.weight_bits = 8, .value_bits = 8, .input_bits = 9, .method = SOTTO_RANGE_MAX, .share = 1.0};

static void prepare(sotto_model *m, sotto_observation *o, uint8_t **images, const char *text, const sotto_rng *rng)
{
    fixture_raw(m, text, rng);
    assert_ok(sotto_model_deploy(m));
    *images = fixture_images(m, FIXTURE_IMAGES, rng);
    assert_ok(sotto_observe(o, m, *images, FIXTURE_IMAGES, 1, NULL, NULL));
}

/* Multiplies the channels of a relu by factors far apart and takes them back behind it. */
static void spoil(sotto_model *m, const char *before, const char *after, const sotto_rng *rng)
{
    sotto_node *a = &m->nodes[sotto_model_find(m, before)], *b = &m->nodes[sotto_model_find(m, after)];
    const sotto_node *in = &m->nodes[b->input[0]];
    const size_t per = sotto_tensor_count(m, a, 0) / a->out, taps = sotto_tensor_count(m, b, 0) / b->out / in->shape.c;
    for (uint32_t c = 0; c < a->out; c++) {
        const float factor = (float)exp2(3.0 * (double)((c + test_below(rng, 2)) % 3) - 3.0);
        for (size_t i = 0; i < per; i++) {
            a->tensor[0][c * per + i] *= factor;
        }
        a->tensor[1][c] *= factor;
        for (uint32_t o = 0; o < b->out; o++) {
            for (size_t t = 0; t < taps; t++) {
                b->tensor[0][(o * in->shape.c + c) * taps + t] /= factor;
            }
        }
    }
}

static double all_noise(const sotto_model *m, const sotto_observation *o)
{
    double noise[64], range[64], sum = 0.0;
    assert_true(m->node_count <= 64);
    assert_ok(sotto_quantisation_noise(m, o, &options, noise, range));
    for (size_t i = 0; i < m->node_count; i++) {
        assert_true(noise[i] >= 0.0 && isfinite(noise[i]));
        sum += noise[i];
    }
    return sum;
}

static void compare_outputs(const sotto_model *a, const sotto_model *b, const uint8_t *images)
{
    const size_t words = sotto_shape_words(a->nodes[0].shape), last = a->node_count - 1;
    float *x = sotto_calloc(words, sizeof *x);
    sotto_float_run *run[2];
    assert_non_null(x);
    assert_ok(sotto_float_run_new(&run[0], a));
    assert_ok(sotto_float_run_new(&run[1], b));
    for (size_t i = 0; i < FIXTURE_IMAGES; i++) {
        double most = 0.0;
        sotto_normalise(a, x, images + i * words);
        assert_ok(sotto_float_infer(run[0], x));
        assert_ok(sotto_float_infer(run[1], x));
        for (size_t j = 0; j < sotto_shape_words(a->nodes[last].shape); j++) {
            most = fmax(most, fabs((double)sotto_float_value(run[0], last)[j]));
        }
        for (size_t j = 0; j < sotto_shape_words(a->nodes[last].shape); j++) {
            assert_true(fabs((double)sotto_float_value(run[0], last)[j] - (double)sotto_float_value(run[1], last)[j]) <= 2e-5 * most + 1e-6);
        }
    }
    sotto_float_run_free(run[0]);
    sotto_float_run_free(run[1]);
    sotto_free(x);
}

/* What is known of the rescaled network is what would be observed on it. */
static void compare_observations(const sotto_model *m, const sotto_observation *o, const uint8_t *images)
{
    sotto_observation fresh;
    assert_ok(sotto_observe(&fresh, m, images, FIXTURE_IMAGES, 1, NULL, NULL));
    for (size_t i = 0; i < o->channel_count; i++) {
        const sotto_channel_stats *a = &o->channel[i], *b = &fresh.channel[i];
        const double size = fmax(b->high, -b->low) * 1e-3 + 1e-5;
        assert_true(fabs(a->low - b->low) <= size && fabs(a->high - b->high) <= size && fabs(sqrt(a->square) - sqrt(b->square)) <= size);
    }
    sotto_observation_free(&fresh);
}

static void test_same_function(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    const char *const texts[] = {fixture_plain, fixture_rich, fixture_mixed};
    for (size_t trial = 0; trial < 12; trial++) {
        const sotto_rng rng = test_rng(seed, trial);
        sotto_model m, before;
        sotto_observation o;
        uint8_t *images;
        prepare(&m, &o, &images, texts[trial % 3], &rng);
        assert_ok(sotto_model_copy(&before, &m));
        const double was = all_noise(&m, &o);
        assert_ok(sotto_equalise(&m, &o, &options));
        assert_true(all_noise(&m, &o) < was);
        compare_outputs(&before, &m, images);
        compare_observations(&m, &o, images);
        sotto_observation_free(&o);
        sotto_model_free(&before);
        sotto_model_free(&m);
        sotto_free(images);
    }
}

/* Polynomials take a factor into their coefficients. */
static void test_polynomials(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\ninput 2x5x5\nconv c1 input out=6 kernel=3\nact a1 c1\nconv c2 a1 out=4 kernel=2\nact a2 c2\ndense f1 a2 out=3\n"
                               "units a1 0 square*3,cubic*2,relu\nunits a2 0 cubic,square*3\n";
    const sotto_rng rng = test_rng(test_seed(), 50);
    sotto_model m, before;
    sotto_observation o;
    uint8_t *images;
    prepare(&m, &o, &images, text, &rng);
    assert_ok(sotto_model_copy(&before, &m));
    assert_ok(sotto_equalise(&m, &o, &options));
    compare_outputs(&before, &m, images);
    assert_true(m.nodes[2].tensor[0][2] != before.nodes[2].tensor[0][2]);
    sotto_observation_free(&o);
    sotto_model_free(&before);
    sotto_model_free(&m);
    sotto_free(images);
}

/* A network whose channels were set apart comes back to the noise of one whose were not: the minimum does not depend on where descent begins. */
static void test_one_minimum(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\ninput 2x6x6\nconv c1 input out=6 kernel=3 pad=1\nrelu r1 c1\nconv c2 r1 out=5 kernel=3\nrelu r2 c2\ndense f1 r2 out=3\n";
    const sotto_rng rng = test_rng(test_seed(), 60);
    double noise[2][2];
    sotto_model m, copy;
    sotto_observation o;
    uint8_t *images;
    prepare(&m, &o, &images, text, &rng);
    assert_ok(sotto_model_copy(&copy, &m));
    noise[0][0] = all_noise(&m, &o);
    assert_ok(sotto_equalise(&m, &o, &options));
    noise[0][1] = all_noise(&m, &o);
    sotto_observation_free(&o);
    spoil(&copy, "c1", "c2", &rng);
    assert_ok(sotto_observe(&o, &copy, images, FIXTURE_IMAGES, 1, NULL, NULL));
    noise[1][0] = all_noise(&copy, &o);
    assert_ok(sotto_equalise(&copy, &o, &options));
    noise[1][1] = all_noise(&copy, &o);
    assert_true(noise[0][0] > noise[0][1] && noise[1][0] > 1.5 * noise[1][1]);
    assert_true(fabs(noise[0][1] - noise[1][1]) < 0.1 * noise[0][1]);
    sotto_observation_free(&o);
    sotto_model_free(&m);
    sotto_model_free(&copy);
    sotto_free(images);
}

/* No factor by itself can be moved to less noise: the slopes of the descent are those of what it minimises. */
static void test_is_minimum(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\ninput 2x6x6\nconv c1 input out=4 kernel=3 pad=1\nrelu r1 c1\nconv c2 r1 out=4 kernel=3 pad=1\nadd a1 r1 c2\n"
                               "relu r2 a1\ndense f1 r2 out=3\n";
    const sotto_rng rng = test_rng(test_seed(), 70);
    sotto_model m;
    sotto_observation o;
    uint8_t *images;
    prepare(&m, &o, &images, text, &rng);
    assert_ok(sotto_equalise(&m, &o, &options));
    const double least = all_noise(&m, &o);
    for (uint32_t c = 0; c < 4; c++) {
        for (int up = 0; up < 2; up++) {
            const double g = up ? 1.3 : 1.0 / 1.3;
            sotto_model moved;
            sotto_observation seen;
            assert_ok(sotto_model_copy(&moved, &m));
            for (size_t i = 1; i < moved.node_count; i++) { /* channel c of c1, r1, c2, a1 and r2 are one class */
                sotto_node *n = &moved.nodes[i];
                const size_t count = sotto_tensor_count(&moved, n, 0), per = sotto_op_is_linear(n->op) ? count / n->out : 1;
                for (size_t j = 0; sotto_op_is_linear(n->op) && j < count; j++) {
                    const size_t in = n->op == SOTTO_OP_DENSE ? j % per / 36 : j % per / 9;
                    n->tensor[0][j] = (float)(n->tensor[0][j] * (i > 1 && in == c ? g : 1.0) / (n->op == SOTTO_OP_CONV && j / per == c ? g : 1.0));
                }
                if (n->op == SOTTO_OP_CONV) {
                    n->tensor[1][c] = (float)(n->tensor[1][c] / g);
                }
            }
            compare_outputs(&m, &moved, images);
            assert_ok(sotto_observe(&seen, &moved, images, FIXTURE_IMAGES, 1, NULL, NULL));
            assert_true(all_noise(&moved, &seen) > least * 0.995);
            sotto_observation_free(&seen);
            sotto_model_free(&moved);
        }
    }
    sotto_observation_free(&o);
    sotto_model_free(&m);
    sotto_free(images);
}

/* Filters and images of zeros, and a channel without weights. */
static void test_degenerate(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 80);
    for (int all = 0; all < 2; all++) {
        sotto_model m;
        sotto_observation o;
        uint8_t *images;
        fixture_raw(&m, fixture_plain, &rng);
        assert_ok(sotto_model_deploy(&m));
        memset(m.nodes[1].tensor[0], 0, (all ? 4u : 1u) * 9 * sizeof(float));
        m.nodes[1].tensor[1][0] = 0.0f;
        images = fixture_images(&m, FIXTURE_IMAGES, &rng);
        memset(images, 0, all ? FIXTURE_IMAGES * 64u : 0u);
        assert_ok(sotto_observe(&o, &m, images, FIXTURE_IMAGES, 1, NULL, NULL));
        assert_ok(sotto_equalise(&m, &o, &options));
        for (size_t i = 0; i < sotto_tensor_count(&m, &m.nodes[1], 0); i++) {
            assert_true(isfinite((double)m.nodes[1].tensor[0][i]));
        }
        (void)all_noise(&m, &o);
        sotto_observation_free(&o);
        sotto_model_free(&m);
        sotto_free(images);
    }
}

static void test_refused(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 90);
    sotto_model m;
    sotto_observation o;
    fixture_raw(&m, fixture_rich, &rng);
    uint8_t *images = fixture_images(&m, 2, &rng);
    assert_ok(sotto_observe(&o, &m, images, 2, 1, NULL, NULL));
    assert_status(SOTTO_ERR_UNSUPPORTED, sotto_equalise(&m, &o, &options));
    assert_non_null(strstr(sotto_error_message(), "b1"));
    sotto_observation_free(&o);
    assert_ok(sotto_model_deploy(&m));
    assert_ok(sotto_observe(&o, &m, images, 2, 1, NULL, NULL));
    const float first = m.nodes[1].tensor[0][0];
    long k = 0;
    for (int status = SOTTO_ERR_MEMORY; status != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        status = sotto_equalise(&m, &o, &options);
        sotto_calloc_fail_after(-1);
        assert_true(status == SOTTO_OK || (status == SOTTO_ERR_MEMORY && m.nodes[1].tensor[0][0] == first));
    }
    assert_true(k > 11);
    sotto_observation_free(&o);
    sotto_model_free(&m);
    sotto_free(images);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_function), cmocka_unit_test(test_polynomials), cmocka_unit_test(test_one_minimum), cmocka_unit_test(test_is_minimum),
        cmocka_unit_test(test_degenerate),    cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
