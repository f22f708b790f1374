/* Small networks and data sets to train on, which several tests share. */
#ifndef SOTTO_TESTS_TRAIN_FIXTURE_H
#define SOTTO_TESTS_TRAIN_FIXTURE_H

#include <string.h>

#include "lib/mem.h"
#include "nn/model/text.h"
#include "nn/train/train.h"
#include "tests/support/support.h"

static const char linear_text[] = "sotto-model 1\n"
                                  "input 2x3x4 mean=0.25,0.5 std=0.5,0.25\n"
                                  "dense f1 input out=3\n";

static const char conv_text[] = "sotto-model 1\n"
                                "input 1x8x8 mean=0.3 std=0.3\n"
                                "conv c1 input out=6 kernel=3 pad=1\n"
                                "relu r1 c1\n"
                                "maxpool p1 r1 kernel=2\n"
                                "dense f1 p1 out=4\n";

static const char norm_text[] = "sotto-model 1\n"
                                "input 1x8x8 mean=0.3 std=0.3\n"
                                "conv c1 input out=6 kernel=3 pad=1\n"
                                "batchnorm b1 c1\n"
                                "relu r1 b1\n"
                                "conv c2 r1 out=6 kernel=3 pad=1 groups=2\n"
                                "batchnorm b2 c2\n"
                                "add a2 r1 b2\n"
                                "relu r2 a2\n"
                                "avgpool v2 r2 kernel=2\n"
                                "dense f1 v2 out=4\n";

static inline void make_model(sotto_model *m, const char *text, uint64_t seed)
{
    const sotto_rng rng = test_rng(seed, 100);
    assert_ok(sotto_model_parse(m, text, strlen(text)));
    assert_ok(sotto_model_init_weights(m, &rng));
}

static inline void make_data(sotto_dataset *d, sotto_shape shape, size_t count, size_t classes)
{
    *d = (sotto_dataset){.shape = shape, .count = count, .classes = classes};
    d->images = sotto_calloc(count, sotto_shape_words(shape));
    d->labels = sotto_calloc(count, sizeof *d->labels);
    assert_non_null(d->images);
    assert_non_null(d->labels);
}

static inline void noise_data(sotto_dataset *d, sotto_shape shape, size_t count, size_t classes, uint64_t seed)
{
    const sotto_rng rng = test_rng(seed, 200);
    make_data(d, shape, count, classes);
    assert_ok(sotto_rng_fill(&rng, d->images, count * sotto_shape_words(shape)));
    for (size_t i = 0; i < count; i++) {
        d->labels[i] = (uint16_t)test_below(&rng, classes);
    }
}

/* Bars at a random place under noise: upright, lying, rising, falling. */
static inline void bar_data(sotto_dataset *d, size_t count, uint64_t seed)
{
    const sotto_rng rng = test_rng(seed, 300);
    make_data(d, (sotto_shape){1, 8, 8}, count, 4);
    for (size_t i = 0; i < count; i++) {
        uint8_t *x = d->images + 64 * i;
        const int class = (int)test_below(&rng, 4), y = 2 + (int)test_below(&rng, 4), z = 2 + (int)test_below(&rng, 4);
        for (size_t p = 0; p < 64; p++) {
            x[p] = (uint8_t)test_below(&rng, 80);
        }
        for (int step = -2; step <= 2; step++) {
            const int row = y + (class == 1 ? 0 : step), col = z + (class == 0 ? 0 : class == 3 ? -step : step);
            x[8 * row + col] = (uint8_t)(200 + test_below(&rng, 56));
        }
        d->labels[i] = (uint16_t)class;
    }
}

static inline sotto_train_options plain_options(unsigned epochs, unsigned batch, double rate, unsigned threads)
{
    sotto_train_options o = sotto_train_default();
    o.epochs = epochs;
    o.batch = batch;
    o.schedule.rate = rate;
    o.threads = threads;
    o.augment.shift = 0;
    o.augment.flip = 0;
    return o;
}

/* 1 when all tensors are equal bit by bit. */
static inline int same_weights(const sotto_model *a, const sotto_model *b)
{
    int same = 1;
    for (size_t n = 0; n < a->node_count; n++) {
        for (unsigned w = 0; w < SOTTO_TENSORS_MAX; w++) {
            const size_t count = sotto_tensor_count(a, &a->nodes[n], w);
            same &= count == 0 || memcmp(a->nodes[n].tensor[w], b->nodes[n].tensor[w], count * sizeof(float)) == 0;
        }
    }
    return same;
}

/* 0: the default with momentum; 1: everything that has a state. Batches of 16, 58 or 48 images. */
static inline sotto_train_options with_state(int all, const sotto_model *teacher, uint64_t seed)
{
    sotto_train_options o = sotto_train_default();
    o.epochs = 3;
    o.batch = 16;
    o.threads = 2;
    o.seed = seed;
    if (all) {
        o.optimiser.kind = SOTTO_OPTIMISER_ADAM;
        o.optimiser.clip = 1.0;
        o.schedule.warmup = 1.5;
        o.augment.cutout = 3;
        o.loss.smoothing = 0.1;
        o.teacher = teacher;
        o.ema = 0.9;
        o.weight_bits = 5;
        o.validate = 10;
        o.best = 1;
    }
    return o;
}

#endif
