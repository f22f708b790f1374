/* Forward passes equal plain float inference; gradients of every op equal the slopes of a pass in double precision; what is fused, cut into shards or
 * compiled for another processor equals what is not. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/cpu.h"
#include "nn/plain/float.h"
#include "nn/train/tape.h"
#include "tests/nn/fixture.h"
#include "tests/train/exact.h"

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

/* What all_ops lacks: units of every kind, masked pixels, patches, bounds, concat, pad, depthwise, a batch norm after a dense layer, shortcuts through
 * batch norms. */
static const char more_ops[] = "sotto-model 1\n"
                               "input 2x7x6\n"
                               "conv c1 input out=7 kernel=3 pad=1\n"
                               "act a1 c1\n"
                               "conv c2 a1 out=7 kernel=3 stride=2 pad=1 groups=7\n"
                               "batchnorm n2 c2 epsilon=0.01\n"
                               "conv c3 a1 out=7 kernel=1 stride=2\n"
                               "batchnorm n3 c3\n"
                               "add s3 n2 n3\n"
                               "relu r3 s3\n"
                               "conv c4 r3 out=7 kernel=3 pad=1\n"
                               "batchnorm n4 c4\n"
                               "add s4 r3 n4\n"
                               "clip l4 s4\n"
                               "concat k4 l4 c2\n"
                               "pad p4 k4 pad=1,0,0,2 channels=1,2\n"
                               "maxpool m4 p4 kernel=3 stride=2 pad=1\n"
                               "act a4 m4\n"
                               "dense f1 a4 out=6\n"
                               "batchnorm n5 f1\n"
                               "relu r5 n5\n"
                               "dense f2 r5 out=3\n"
                               "units a1 0 relu,square,relu2x3,relu2x3,identity,zero,cubic\n"
                               "units a4 0 relu*9,relu2x2*8\n";

/* No batch norm: all in one level but the dense layers. */
static const char plain_ops[] = "sotto-model 1\n"
                                "input 3x6x6\n"
                                "conv c1 input out=5 kernel=3 pad=1\n"
                                "relu r1 c1\n"
                                "conv c2 r1 out=5 kernel=3 pad=1\n"
                                "add s2 c2 c1\n"
                                "identity i2 s2\n"
                                "add s3 i2 s2\n"
                                "relu r3 s3\n"
                                "avgpool v3 r3 kernel=2\n"
                                "globalavg g3 v3\n"
                                "dense f1 g3 out=4\n"
                                "dense f2 v3 out=4\n"
                                "add s4 f1 f2\n";

static const char global_ops[] = "sotto-model 1\n"
                                 "input 1x4x4\n"
                                 "conv c1 input out=3 kernel=3\n"
                                 "add a0 c1 c1\n"
                                 "globalavg g1 a0\n"
                                 "dense f1 g1 out=2\n";

/* The last node an image; a branch that leads nowhere. */
static const char image_ops[] = "sotto-model 1\n"
                                "input 2x4x3\n"
                                "conv c1 input out=3 kernel=3 pad=1\n"
                                "conv dead c1 out=2 kernel=1\n"
                                "batchnorm deadn dead\n"
                                "batchnorm n1 c1\n"
                                "add s1 c1 n1\n";

static void fill(float *x, size_t count, const sotto_rng *rng)
{
    for (size_t i = 0; i < count; i++) {
        x[i] = (float)test_below(rng, 2001) / 1000.0f - 1.0f;
    }
}

#define IMAGES 5

/* A tape over a model with random weights, input and gradient of the logits; one step is done. */
typedef struct trial {
    sotto_model m;
    sotto_tape *t;
    sotto_pool *pool;
    float *factor;
    const float *logits;
    size_t images, outputs;
} trial;

/* *x stays where it is: the tape points to its model. */
static void trial_new(trial *x, const char *text, uint64_t seed, size_t images, unsigned threads)
{
    const sotto_rng rng = test_rng(seed, 7);
    *x = (trial){.images = images};
    fixture_raw(&x->m, text, &rng);
    x->outputs = sotto_shape_words(x->m.nodes[x->m.node_count - 1].shape);
    x->factor = sotto_calloc(images * x->outputs, sizeof *x->factor);
    assert_non_null(x->factor);
    assert_ok(sotto_pool_new(&x->pool, threads));
    assert_ok(sotto_tape_new(&x->t, &x->m, images + 2, 1, x->pool));
    fill(sotto_tape_input(x->t), images * sotto_shape_words(x->m.nodes[0].shape), &rng);
    fill(x->factor, images * x->outputs, &rng);
    assert_ok(sotto_tape_forward(x->t, images, 1, &x->logits));
    assert_ok(sotto_tape_backward(x->t, images, x->factor));
}

static void trial_free(trial *x)
{
    sotto_tape_free(x->t);
    sotto_pool_free(x->pool);
    sotto_free(x->factor);
    sotto_model_free(&x->m);
}

/* Gradients that differ from the slopes of the double-precision pass by more than float arithmetic explains. every: only each so many weights, from a
 * random one on. */
static size_t wrong_gradients(const char *text, uint64_t seed, unsigned threads, size_t every)
{
    const double bound = 1e-3;
    size_t off = 0, index = (size_t)seed;
    trial x;
    trial_new(&x, text, seed, IMAGES, threads);
    exact e = exact_new(&x.m, sotto_tape_input(x.t), IMAGES);
    for (size_t n = 0; n < x.m.node_count; n++) {
        for (unsigned w = 0; w < SOTTO_TENSORS_MAX; w++) {
            const float *g = sotto_tape_gradient(x.t, n, w);
            const size_t count = g == NULL ? 0 : sotto_tensor_count(&x.m, &x.m.nodes[n], w);
            for (size_t i = 0; i < count; i++) {
                if (index++ % every != 0) {
                    continue;
                }
                exact_loss(&e, x.factor, 1);
                const double want = exact_slope(&e, x.factor, n, w, i);
                if (!(fabs((double)g[i] - want) <= bound * (1.0 + fabs(want)))) {
                    print_error("node %s tensor %u item %zu: gradient %g, expected %g\n", x.m.nodes[n].name, w, i, (double)g[i], want);
                    off++;
                }
            }
        }
    }
    exact_free(&e);
    trial_free(&x);
    return off;
}

/* Rounding turns a decision at a kink once in some hundred draws, or a kink lies within the step: that does not come again, a wrong gradient does. */
static void right_gradients(const char *text, uint64_t seed, unsigned threads, size_t every)
{
    uint64_t again = 0;
    while (again < 3 && wrong_gradients(text, seed + 1000 * again, threads, every) > 0) {
        again++;
    }
    assert_true(again < 3);
}

static void test_gradients(void **state)
{
    (void)state;
    static const char *const texts[] = {all_ops, more_ops, plain_ops, global_ops, image_ops};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        right_gradients(texts[k], test_seed(), 1, 1);
        right_gradients(texts[k], test_seed() + 1, 3, 1);
    }
}

/* What is trained: not running statistics, not bounds, not what leads nowhere. */
static void test_what_has_a_gradient(void **state)
{
    (void)state;
    trial x;
    trial_new(&x, more_ops, test_seed(), IMAGES, 1);
    const sotto_model *m = &x.m;
    assert_null(sotto_tape_gradient(x.t, sotto_model_find(m, "l4"), 0));
    assert_null(sotto_tape_gradient(x.t, sotto_model_find(m, "a4"), 0));
    assert_null(sotto_tape_gradient(x.t, sotto_model_find(m, "s3"), 0));
    assert_null(sotto_tape_gradient(x.t, sotto_model_find(m, "r3"), 0));
    assert_null(sotto_tape_gradient(x.t, sotto_model_find(m, "n2"), 2));
    assert_null(sotto_tape_gradient(x.t, sotto_model_find(m, "n2"), 3));
    assert_non_null(sotto_tape_gradient(x.t, sotto_model_find(m, "n2"), 1));
    const float *g = sotto_tape_gradient(x.t, sotto_model_find(m, "a1"), 0);
    for (size_t c = 0; c < 7; c++) {
        const size_t terms = c == 1 ? 3 : c == 6 ? 4 : 0;
        for (size_t k = 0; k < SOTTO_POLY_TERMS; k++) {
            assert_int_equal(k < terms, g[c * SOTTO_POLY_TERMS + k] != 0.0f);
        }
    }
    trial_free(&x);
    trial_new(&x, image_ops, test_seed(), IMAGES, 1);
    assert_true(sotto_tape_gradient(x.t, sotto_model_find(&x.m, "dead"), 0)[0] == 0.0f);
    assert_true(sotto_tape_gradient(x.t, sotto_model_find(&x.m, "deadn"), 1)[0] == 0.0f);
    trial_free(&x);
}

/* Graphs drawn at random, of nodes that read any of those before them: what shares memory with what comes out differently each time. */
static void random_graph(char *text, size_t cap, const sotto_rng *rng)
{
    static const char *const lines[] = {"conv n%d n%d out=3 kernel=3 pad=1\n", "conv n%d n%d out=3 kernel=1\n", "batchnorm n%d n%d\n",
                                        "batchnorm n%d n%d\n",                "relu n%d n%d\n",                 "clip n%d n%d\n",
                                        "identity n%d n%d\n",                 "maxpool n%d n%d kernel=3 stride=1 pad=1\n"};
    const int nodes = 4 + (int)test_below(rng, 12);
    size_t at = (size_t)snprintf(text, cap, "sotto-model 1\ninput 3x4x4\nconv n0 input out=3 kernel=3 pad=1\n");
    for (int i = 1; i < nodes; i++) {
        const int x = test_below(rng, 2) == 0 ? i - 1 : (int)test_below(rng, (uint64_t)i), y = (int)test_below(rng, (uint64_t)i);
        if (test_below(rng, 3) == 0) {
            at += (size_t)snprintf(text + at, cap - at, "add n%d n%d n%d\n", i, x, y);
        } else {
            const char *line = lines[test_below(rng, sizeof lines / sizeof *lines)];
            at += (size_t)snprintf(text + at, cap - at, line, i, x);
        }
    }
    snprintf(text + at, cap - at, "dense f n%d out=2\n", nodes - 1);
}

static void test_random_graphs(void **state)
{
    (void)state;
    const int rounds = getenv("SOTTO_TEST_LONG") != NULL ? 2000 : 60;
    const sotto_rng rng = test_rng(test_seed(), 60);
    char text[2048];
    for (int i = 0; i < rounds; i++) {
        random_graph(text, sizeof text, &rng);
        uint64_t again = 0;
        while (again < 3 && wrong_gradients(text, test_seed() + (uint64_t)i + 5000 * again, 1 + (unsigned)i % 3, 7) > 0) {
            again++;
        }
        if (again == 3) {
            print_error("%s", text);
        }
        assert_true(again < 3);
    }
}

/* ---- the same computed in another way ------------------------------------------------------------------------------------------------ */

/* Logits and gradients of nodes of the same name agree: to the bit when bound is 0. */
static void assert_same(const trial *a, const trial *b, double bound)
{
    for (size_t i = 0; i < a->images * a->outputs; i++) {
        assert_true(fabs((double)a->logits[i] - (double)b->logits[i]) <= bound * (1.0 + fabs((double)a->logits[i])));
    }
    for (size_t n = 0; n < a->m.node_count; n++) {
        const sotto_node *x = &a->m.nodes[n], *y = &b->m.nodes[sotto_model_find(&b->m, x->name)];
        for (unsigned w = 0; w < SOTTO_TENSORS_MAX; w++) {
            const float *g = sotto_tape_gradient(a->t, n, w), *h = sotto_tape_gradient(b->t, sotto_model_find(&b->m, x->name), w);
            const size_t count = sotto_tensor_count(&a->m, x, w);
            for (size_t i = 0; i < count; i++) {
                assert_true(fabs((double)x->tensor[w][i] - (double)y->tensor[w][i]) <= bound);
                assert_true((g == NULL) == (h == NULL));
                if (g != NULL && !(fabs((double)g[i] - (double)h[i]) <= bound * (1.0 + fabs((double)g[i])))) {
                    fail_msg("node %s tensor %u item %zu: gradients %g and %g", x->name, w, i, (double)g[i], (double)h[i]);
                }
            }
        }
    }
}

/* A batch norm is one with the addition and the relu behind it, but not with an identity. */
static void test_fused_is_unfused(void **state)
{
    (void)state;
#define BEFORE "sotto-model 1\ninput 3x6x6\nconv c1 input out=5 kernel=3 pad=1\nconv c2 c1 out=5 kernel=3 pad=1\n"
#define AFTER  "conv c3 last out=4 kernel=3\ndense f c3 out=3\n"
    static const char *const pairs[][2] = {
        {BEFORE "batchnorm b c2\nrelu last b\n" AFTER, BEFORE "batchnorm b c2\nidentity i b\nrelu last i\n" AFTER},
        {BEFORE "batchnorm b c2\nadd last b c1\n" AFTER, BEFORE "batchnorm b c2\nidentity i b\nadd last i c1\n" AFTER},
        {BEFORE "batchnorm b c2\nadd s c1 b\nrelu last s\n" AFTER, BEFORE "batchnorm b c2\nidentity i b\nadd s c1 i\nidentity j s\nrelu last j\n" AFTER},
        {BEFORE "batchnorm b c2\nbatchnorm d c1\nadd s b d\nrelu last s\n" AFTER,
         BEFORE "batchnorm b c2\nidentity i b\nbatchnorm d c1\nidentity j d\nadd s i j\nidentity k s\nrelu last k\n" AFTER},
    };
#undef BEFORE
#undef AFTER
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        trial a, b;
        trial_new(&a, pairs[k][0], test_seed() + k, IMAGES, 2);
        trial_new(&b, pairs[k][1], test_seed() + k, IMAGES, 2);
        assert_same(&a, &b, 1e-4);
        trial_free(&a);
        trial_free(&b);
    }
}

static void test_threads(void **state)
{
    (void)state;
    static const char *const texts[] = {all_ops, more_ops, plain_ops};
    for (size_t k = 0; k < 3; k++) {
        const uint64_t seed = test_seed() + k;
        trial one;
        trial_new(&one, texts[k], seed, 11, 1);
        for (unsigned threads = 1; threads <= 16; threads *= 2) {
            trial a, b;
            trial_new(&a, texts[k], seed, 11, threads);
            trial_new(&b, texts[k], seed, 11, threads);
            assert_same(&a, &b, 0.0);
            assert_same(&one, &a, 2e-4);
            trial_free(&a);
            trial_free(&b);
        }
        trial_free(&one);
    }
}

static void test_tiers(void **state)
{
    (void)state;
    static const char *const texts[] = {all_ops, more_ops, plain_ops};
    for (size_t k = 0; k < 3; k++) {
        trial best;
        trial_new(&best, texts[k], test_seed(), IMAGES, 1);
        for (int tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_AVX512; tier++) {
            sotto_cpu_force_tier((sotto_tier)tier);
            trial x;
            trial_new(&x, texts[k], test_seed(), IMAGES, 1);
            assert_same(&best, &x, 2e-4);
            trial_free(&x);
            sotto_cpu_force_tier(SOTTO_TIER_IFMA);
        }
        trial_free(&best);
    }
}

/* Steps that follow each other, of different sizes, with evaluations in between, are not mixed up. */
static void test_passes_in_a_row(void **state)
{
    (void)state;
    trial a, b;
    trial_new(&a, more_ops, test_seed(), IMAGES, 2);
    trial_new(&b, more_ops, test_seed(), IMAGES, 2);
    float first[3];
    assert_ok(sotto_tape_forward(a.t, 1, 0, &a.logits));
    memcpy(first, a.logits, sizeof first);
    assert_ok(sotto_tape_forward(a.t, IMAGES + 2, 0, &a.logits));
    assert_memory_equal(first, a.logits, sizeof first);
    assert_ok(sotto_tape_forward(a.t, IMAGES, 1, &a.logits));
    assert_ok(sotto_tape_backward(a.t, IMAGES, a.factor));
    assert_ok(sotto_tape_forward(b.t, IMAGES, 1, &b.logits));
    assert_ok(sotto_tape_backward(b.t, IMAGES, b.factor));
    assert_same(&a, &b, 0.0);
    trial_free(&a);
    trial_free(&b);
}

static void test_no_memory(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 70);
    sotto_model m;
    sotto_tape *t = NULL;
    int status = SOTTO_ERR_MEMORY;
    fixture_raw(&m, more_ops, &rng);
    for (long k = 0; status != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        status = sotto_tape_new(&t, &m, IMAGES, 1, NULL);
        sotto_calloc_fail_after(-1);
        assert_true(status == SOTTO_OK || (status == SOTTO_ERR_MEMORY && t == NULL));
    }
    sotto_tape_free(t);
    sotto_model_free(&m);
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
    const char *const texts[] = {all_ops, more_ops, plain_ops, global_ops, image_ops, fixture_plain, fixture_rich, fixture_mixed};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
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
        cmocka_unit_test(test_what_has_a_gradient),
        cmocka_unit_test(test_random_graphs),
        cmocka_unit_test(test_fused_is_unfused),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_tiers),
        cmocka_unit_test(test_passes_in_a_row),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_running_statistics),
        cmocka_unit_test(test_forward_is_float_inference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
