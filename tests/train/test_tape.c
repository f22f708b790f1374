/* Forward passes equal plain float inference; gradients of every op equal central differences. */
#include <math.h>

#include "nn/plain/float.h"
#include "nn/train/tape.h"
#include "tests/nn/fixture.h"

static const char all_ops[] = "sotto-model 1\n"
                              "input 2x6x5\n"
                              "conv c1 input out=4 kernel=3 pad=1\n"
                              "batchnorm b1 c1\n"
                              "relu r1 b1\n"
                              "conv c2 r1 out=4 kernel=2x3 stride=1 pad=1,1,0,1 groups=2\n"
                              "add a1 r1 c2\n"
                              "maxpool m1 a1 kernel=2 stride=1\n"
                              "identity i1 m1\n"
                              "avgpool v1 i1 kernel=2 stride=1 pad=1,0,0,1\n"
                              "conv c3 v1 out=3 kernel=1 stride=2\n"
                              "flatten x1 c3\n"
                              "dense f1 x1 out=6\n"
                              "relu r2 f1\n"
                              "dense f2 r2 out=4\n";

/* The same without the kinks of relu and maximum: differences from both sides hold everywhere, so the bound is tight. */
static const char smooth_ops[] = "sotto-model 1\n"
                                 "input 2x6x5\n"
                                 "conv c1 input out=4 kernel=3 pad=1\n"
                                 "batchnorm b1 c1\n"
                                 "identity r1 b1\n"
                                 "conv c2 r1 out=4 kernel=2x3 stride=1 pad=1,1,0,1 groups=2\n"
                                 "add a1 r1 c2\n"
                                 "avgpool v1 a1 kernel=2 stride=1 pad=1,0,0,1\n"
                                 "conv c3 v1 out=3 kernel=1 stride=2\n"
                                 "flatten x1 c3\n"
                                 "dense f1 x1 out=6\n"
                                 "dense f2 f1 out=4\n";

static const char global_ops[] = "sotto-model 1\n"
                                 "input 1x4x4\n"
                                 "conv c1 input out=3 kernel=3\n"
                                 "add a0 c1 c1\n"
                                 "globalavg g1 a0\n"
                                 "dense f1 g1 out=2\n";

static void fill(float *x, size_t count, const sotto_rng *rng)
{
    for (size_t i = 0; i < count; i++) {
        x[i] = (float)test_below(rng, 2001) / 1000.0f - 1.0f;
    }
}

#define IMAGES 5

/* loss = sum of logits times fixed factors, so d loss / d logits are the factors. */
static double loss_of(sotto_tape *t, const float *factor, size_t outputs)
{
    const float *logits;
    double loss = 0.0;
    assert_ok(sotto_tape_forward(t, IMAGES, 1, &logits));
    for (size_t i = 0; i < IMAGES * outputs; i++) {
        loss += (double)logits[i] * factor[i];
    }
    return loss;
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

/* smooth: by central differences. Otherwise a step may cross the kink of a relu or a maximum, whose probability falls with the step but not to nothing
 * over hundreds of weights and values; then the difference from the other side, which does not cross it, is right, and a wrong gradient is off on both. How many are off. */
static size_t gradients(const char *text, int smooth, uint64_t seed, sotto_pool *pool)
{
    const sotto_rng rng = test_rng(seed, 0);
    const double bound = smooth ? 3e-3 : 2e-2;
    size_t off = 0;
    sotto_model m;
    sotto_tape *t = NULL;
    fixture_raw(&m, text, &rng);
    const size_t outputs = sotto_shape_words(m.nodes[m.node_count - 1].shape), words = sotto_shape_words(m.nodes[0].shape);
    float factor[IMAGES * 8];
    assert_ok(sotto_tape_new(&t, &m, IMAGES, 1, pool));
    fill(sotto_tape_input(t), IMAGES * words, &rng);
    fill(factor, IMAGES * outputs, &rng);
    const double here = loss_of(t, factor, outputs);
    assert_ok(sotto_tape_backward(t, IMAGES, factor));
    for (size_t n = 0; n < m.node_count; n++) {
        for (unsigned w = 0; w < SOTTO_TENSORS_MAX; w++) {
            const float *g = sotto_tape_gradient(t, n, w);
            const size_t count = g == NULL ? 0 : sotto_tensor_count(&m, &m.nodes[n], w);
            for (size_t i = 0; i < count; i++) {
                float *x = &m.nodes[n].tensor[w][i];
                const float keep = *x;
                const double want = (double)g[i];
                double best = INFINITY;
                for (float step = 4e-3f; step > 2e-4f; step /= 4.0f) {
                    const float up = keep + step, down = keep - step;
                    *x = up;
                    const double high = loss_of(t, factor, outputs);
                    *x = down;
                    const double low = loss_of(t, factor, outputs);
                    *x = keep;
                    best = least(best, fabs((high - low) / ((double)up - (double)down) - want));
                    if (!smooth) {
                        best = least(best, fabs((high - here) / ((double)up - (double)keep) - want));
                        best = least(best, fabs((here - low) / ((double)keep - (double)down) - want));
                    }
                }
                if (!(best <= bound * (1.0 + fabs(want)))) {
                    print_error("node %s tensor %u item %zu: gradient %g is off by %g\n", m.nodes[n].name, w, i, want, best);
                    off++;
                }
            }
        }
    }
    sotto_tape_free(t);
    sotto_model_free(&m);
    return off;
}

/* Kinks on both sides of a weight are left, once in about a thousand draws; a wrong gradient shows in every one of three. */
static void kinked_gradients(uint64_t seed, sotto_pool *pool)
{
    uint64_t draw = 0;
    while (draw < 3 && gradients(all_ops, 0, seed + 1000 * draw, pool) > 0) {
        draw++;
    }
    assert_true(draw < 3);
}

static void test_gradients(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    sotto_pool *pool = NULL;
    assert_ok(sotto_pool_new(&pool, 3));
    assert_int_equal(0, gradients(smooth_ops, 1, seed, NULL));
    assert_int_equal(0, gradients(smooth_ops, 1, seed + 1, pool));
    assert_int_equal(0, gradients(global_ops, 1, seed + 2, pool));
    kinked_gradients(seed, NULL);
    kinked_gradients(seed + 1, pool);
    sotto_pool_free(pool);
}

/* A training pass takes the statistics of its batch and moves the running ones a tenth of the way there; an evaluation pass moves nothing. */
static void test_running_statistics(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    const sotto_rng rng = test_rng(seed, 50);
    sotto_pool *pool = NULL;
    sotto_model m;
    sotto_tape *t = NULL;
    const float *logits;
    enum { CHANNELS = 3, AREA = 8 };
    float old[2][CHANNELS];
    fixture_raw(&m, "sotto-model 1\ninput 3x4x2\nbatchnorm b1 input\n", &rng);
    assert_ok(sotto_pool_new(&pool, 2));
    assert_ok(sotto_tape_new(&t, &m, IMAGES, 1, pool));
    float *x = sotto_tape_input(t);
    float **tensor = m.nodes[1].tensor;
    fill(x, IMAGES * CHANNELS * AREA, &rng);
    for (int training = 0; training < 2; training++) {
        memcpy(old[0], tensor[2], sizeof old[0]);
        memcpy(old[1], tensor[3], sizeof old[1]);
        assert_ok(sotto_tape_forward(t, IMAGES, training, &logits));
        for (size_t c = 0; c < CHANNELS; c++) {
            const double n = IMAGES * AREA;
            double sum = 0.0, square = 0.0;
            for (size_t i = 0; i < IMAGES * AREA; i++) {
                const double v = (double)x[(i / AREA * CHANNELS + c) * AREA + i % AREA];
                sum += v;
                square += v * v;
            }
            const double batch[2] = {sum / n, square / n - sum / n * (sum / n)};
            for (size_t k = 0; k < 2; k++) {
                const double was = (double)old[k][c];
                assert_true(fabs((double)tensor[2 + k][c] - (training ? was + 0.1 * (batch[k] - was) : was)) < 1e-5);
            }
            const double mean = training ? batch[0] : (double)old[0][c], variance = training ? batch[1] : (double)old[1][c];
            for (size_t i = 0; i < IMAGES * AREA; i++) {
                const size_t at = (i / AREA * CHANNELS + c) * AREA + i % AREA;
                const double want = ((double)x[at] - mean) / sqrt(variance + SOTTO_BATCHNORM_EPSILON) * (double)tensor[0][c] + (double)tensor[1][c];
                assert_true(fabs(want - (double)logits[at]) < 1e-4 * (1.0 + fabs(want)));
            }
        }
    }
    sotto_tape_free(t);
    sotto_pool_free(pool);
    sotto_model_free(&m);
}

static void test_forward_is_float_inference(void **state)
{
    (void)state;
    const char *const texts[] = {all_ops, global_ops, fixture_plain, fixture_rich};
    for (size_t k = 0; k < 4; k++) {
        const sotto_rng rng = test_rng(test_seed(), k);
        sotto_model m;
        sotto_tape *t = NULL;
        sotto_float_run *run = NULL;
        const float *logits;
        fixture_raw(&m, texts[k], &rng);
        const size_t outputs = sotto_shape_words(m.nodes[m.node_count - 1].shape), words = sotto_shape_words(m.nodes[0].shape);
        assert_ok(sotto_tape_new(&t, &m, IMAGES, 0, NULL));
        assert_ok(sotto_float_run_new(&run, &m));
        fill(sotto_tape_input(t), IMAGES * words, &rng);
        assert_ok(sotto_tape_forward(t, IMAGES, 0, &logits));
        for (size_t i = 0; i < IMAGES; i++) {
            assert_ok(sotto_float_infer(run, sotto_tape_input(t) + i * words));
            const float *want = sotto_float_value(run, m.node_count - 1);
            for (size_t o = 0; o < outputs; o++) {
                assert_true(fabsf(want[o] - logits[i * outputs + o]) < 1e-3f * (1.0f + fabsf(want[o])));
            }
        }
        sotto_float_run_free(run);
        sotto_tape_free(t);
        sotto_model_free(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_running_statistics),
        cmocka_unit_test(test_forward_is_float_inference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
