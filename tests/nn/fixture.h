/* Small networks for the tests of nn: made from a text, weights and images drawn from a seed, deployed, calibrated. */
#ifndef SOTTO_TESTS_NN_FIXTURE_H
#define SOTTO_TESTS_NN_FIXTURE_H

#include <math.h>
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

/* The rest: clip, units of several kinds, patches and masks, depthwise and grouped convolutions, concatenation, padding, option-A shortcuts. */
static const char fixture_mixed[] = "sotto-model 1\n"
                                    "name mixed\n"
                                    "input 3x9x7 mean=0.4,0.5,0.6 std=0.3,0.2,0.25\n"
                                    "conv c1 input out=8 kernel=3 pad=1\n"
                                    "clip l1 c1\n"
                                    "conv d1 l1 out=8 kernel=3 pad=1 groups=8\n"
                                    "act a1 d1\n"
                                    "conv c2 a1 out=6 kernel=3 stride=2 pad=1 groups=2\n"
                                    "batchnorm b2 c2\n"
                                    "relu r2 b2\n"
                                    "conv c3 a1 out=5 kernel=1 stride=2\n"
                                    "clip l3 c3\n"
                                    "concat k1 r2 l3\n"
                                    "conv c4 k1 out=18 kernel=3 stride=2 pad=1\n"
                                    "avgpool v1 k1 kernel=1 stride=2\n"
                                    "pad p1 v1 pad=0,0,0,0 channels=3,4\n"
                                    "add s1 c4 p1\n"
                                    "act a2 s1\n"
                                    "maxpool m1 a2 kernel=2 stride=1 pad=1\n"
                                    "conv c5 m1 out=4 kernel=2\n"
                                    "relu r5 c5\n"
                                    "pad p2 r5 pad=1,0,0,2\n"
                                    "dense f1 p2 out=5\n"
                                    "units a1 0 relu*2,relu2x3*2,identity,zero,relu*2\n"
                                    "units a2 0 relu3x3*9,identity*9\n"
                                    "mask a1 0 82b70eee7f1a5039bef07ec2347f06\n"
                                    "mask a1 384 6ed08f5dc7512447e3404300026b6e\n";

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
    for (size_t i = 0; i < m->node_count; i++) {
        for (uint32_t c = 0; m->nodes[i].op == SOTTO_OP_CLIP && c < m->nodes[i].shape.c; c++) {
            m->nodes[i].tensor[0][c] = 0.2f + (float)test_below(rng, 1000) / 500.0f;
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

/* Least bits of a window that holds the bound of a clip's channel, as sotto_program_weights_new rounds it; 2 for other nodes, and where the plan does not compile. */
static inline unsigned fixture_window_least(const sotto_model *m, size_t node, uint32_t c)
{
    const sotto_node *n = &m->nodes[node];
    sotto_program p;
    unsigned bits = 2;
    if (n->op == SOTTO_OP_CLIP && sotto_program_new(&p, m) == SOTTO_OK) {
        const sotto_step_info *s = &p.steps[p.step_of[node]];
        const double bound = fmax(nearbyint(n->tensor[0][c] / s->scale), 1.0) * ldexp(1.0, (int)s->truncation.f);
        while (bits < n->plan.k && !(bound < ldexp(1.0, (int)bits - 1))) {
            bits++;
        }
        sotto_program_free(&p);
    }
    return bits;
}

/* Gives every channel of every node with signs a window of its own, up to `most` bits below k, too narrow for some values. */
static inline void fixture_windows(sotto_model *m, unsigned most, const sotto_rng *rng)
{
    char *text = NULL;
    size_t len;
    sotto_model bare;
    assert_ok(sotto_model_copy(&bare, m));
    for (size_t i = 0; i < m->node_count; i++) {
        sotto_node *n = &m->nodes[i];
        if (n->plan.u > 0) {
            sotto_free(n->windows);
            n->windows = sotto_calloc(n->shape.c, 1);
            assert_non_null(n->windows);
            for (uint32_t c = 0; c < n->shape.c; c++) {
                const unsigned room = n->plan.k - fixture_window_least(&bare, i, c);
                n->windows[c] = (uint8_t)(n->plan.k - test_below(rng, (room < most ? room : most) + 1));
            }
        }
    }
    sotto_model_free(&bare);
    assert_ok(sotto_model_print(m, &text, &len));
    sotto_free(text);
}

/* Gives the channels of a calibrated act node these kinds, the relu among them in patches of two, and polynomials with coefficients up to 1. */
static inline void fixture_polynomials(sotto_model *m, const char *name, const uint8_t *kinds, unsigned exchange, const sotto_rng *rng)
{
    sotto_node *n = &m->nodes[sotto_model_find(m, name)];
    char *text = NULL;
    size_t len;
    for (uint32_t c = 0; c < n->shape.c; c++) {
        n->units[c] = (sotto_unit){kinds[c], (uint16_t)(kinds[c] == SOTTO_UNIT_RELU ? 2 : 1), 1};
    }
    sotto_free(n->mask);
    n->mask = NULL;
    assert_ok(sotto_model_infer_shapes(m));
    n->tensor[0] = sotto_calloc((size_t)n->shape.c * SOTTO_POLY_TERMS, sizeof(float));
    assert_non_null(n->tensor[0]);
    for (size_t i = 0; i < (size_t)n->shape.c * SOTTO_POLY_TERMS; i++) {
        n->tensor[0][i] = i % 4 == 3 && kinds[i / 4] == SOTTO_UNIT_SQUARE ? 0.0f : ((float)test_below(rng, 2000) - 1000.0f) / 1000.0f;
    }
    n->plan.poly = (sotto_poly_plan_fields){.f = n->plan.f, .shift = 12, .bits = 14, .k = 30, .exchange = exchange};
    assert_ok(sotto_network_choose_he(m));
    assert_ok(sotto_model_print(m, &text, &len));
    sotto_free(text);
}

#endif
