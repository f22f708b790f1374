/* Small networks for the tests of nn: made from a text, weights and images drawn from a seed, deployed, calibrated. */
#ifndef SOTTO_TESTS_NN_FIXTURE_H
#define SOTTO_TESTS_NN_FIXTURE_H

#include <string.h>

#include "lib/mem.h"
#include "nn/model/deploy.h"
#include "nn/model/text.h"
#include "nn/plain/calibrate.h"
#include "nn/secure/network.h"
#include "tests/support/support.h"

#define FIXTURE_IMAGES 24

static const char fixture_plain[] = "sotto-model 1\n"
                                    "name plain\n"
                                    "input 1x8x8 mean=0.5 std=0.25\n"
                                    "conv c1 input out=4 kernel=3 pad=1\n"
                                    "relu r1 c1\n"
                                    "maxpool p1 r1 kernel=2\n"
                                    "dense f1 p1 out=10\n"
                                    "relu r2 f1\n"
                                    "dense f2 r2 out=5\n";

/* Every op: groups, strides, a residual edge, odd pools, identity units, average pools, flatten. */
static const char fixture_rich[] = "sotto-model 1\n"
                                   "name rich\n"
                                   "input 2x9x9 mean=0.4,0.6 std=0.3,0.2\n"
                                   "conv c1 input out=4 kernel=3 pad=1\n"
                                   "batchnorm b1 c1\n"
                                   "relu r1 b1\n"
                                   "conv c2 r1 out=4 kernel=3 pad=1 groups=2\n"
                                   "batchnorm b2 c2\n"
                                   "relu r2 b2\n"
                                   "conv c3 r2 out=4 kernel=1x3 pad=0,1,0,1\n"
                                   "add a1 r1 c3\n"
                                   "relu r3 a1\n"
                                   "maxpool m1 r3 kernel=3 stride=2 pad=1\n"
                                   "conv c4 m1 out=6 kernel=2 stride=2 pad=0,0,1,1\n"
                                   "conv c5 c4 out=6 kernel=1\n"
                                   "relu r5 c5\n"
                                   "avgpool v1 r5 kernel=2 stride=1\n"
                                   "identity i1 v1\n"
                                   "globalavg g1 i1\n"
                                   "flatten x1 g1\n"
                                   "dense f1 x1 out=3\n";

/* Weights drawn, batch norms given statistics, not deployed yet. */
static inline void fixture_raw(sotto_model *m, const char *text, const sotto_rng *rng)
{
    assert_ok(sotto_model_parse(m, text, strlen(text)));
    assert_ok(sotto_model_init_weights(m, rng));
    for (size_t i = 0; i < m->node_count; i++) {
        for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
            const size_t count = sotto_tensor_count(m, &m->nodes[i], t);
            for (size_t j = 0; j < count && (t > 0 || m->nodes[i].op == SOTTO_OP_BATCHNORM); j++) {
                const float unit = (float)test_below(rng, 1000) / 1000.0f;
                const int positive = m->nodes[i].op == SOTTO_OP_BATCHNORM && (t == 0 || t == 3);
                m->nodes[i].tensor[t][j] = positive ? 0.5f + unit : 0.3f * (unit - 0.5f);
            }
        }
    }
    assert_ok(sotto_rng_fill(rng, m->id, sizeof m->id));
}

static inline uint8_t *fixture_images(const sotto_model *m, size_t count, const sotto_rng *rng)
{
    const size_t bytes = count * sotto_shape_words(m->nodes[0].shape);
    uint8_t *images = sotto_calloc(bytes, 1);
    assert_non_null(images);
    assert_ok(sotto_rng_fill(rng, images, bytes));
    return images;
}

static inline void fixture_model(sotto_model *m, const char *text, unsigned sign_bits, const sotto_rng *rng)
{
    sotto_calibration options = sotto_calibration_default();
    char *printed = NULL;
    size_t len;
    options.sign_bits = sign_bits;
    fixture_raw(m, text, rng);
    assert_ok(sotto_model_deploy(m));
    uint8_t *images = fixture_images(m, FIXTURE_IMAGES, rng);
    assert_ok(sotto_calibrate(m, &options, images, FIXTURE_IMAGES, NULL, NULL));
    assert_ok(sotto_network_choose_he(m));
    assert_ok(sotto_model_print(m, &printed, &len));
    sotto_free(printed);
    sotto_free(images);
}

#endif
