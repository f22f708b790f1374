/* One step by hand, augmentation read back from the weights, problems that are learned, and everything that can go wrong. */
#include <math.h>

#include "nn/plain/float.h"
#include "tests/train/fixture.h"

/* Two epochs of one full batch on a linear model, against Nesterov's rule written out in double. */
static void test_two_steps(void **state)
{
    enum { COUNT = 7, WORDS = 24, OUT = 3 };
    (void)state;
    const uint64_t seed = test_seed();
    sotto_model m;
    sotto_dataset d;
    double w[OUT][WORDS + 1], v[OUT][WORDS + 1] = {{0.0}}; /* the bias last */
    make_model(&m, linear_text, seed);
    noise_data(&d, (sotto_shape){2, 3, 4}, COUNT, OUT, seed);
    for (size_t k = 0; k < OUT; k++) {
        for (size_t i = 0; i < WORDS; i++) {
            w[k][i] = (double)m.nodes[1].tensor[0][k * WORDS + i];
        }
        w[k][WORDS] = (double)m.nodes[1].tensor[1][k];
    }
    sotto_train_options o = plain_options(2, 64, 0.3, 2);
    o.optimiser.momentum = 0.8;
    o.optimiser.weight_decay = 0.05;
    for (unsigned step = 0; step < 2; step++) {
        double g[OUT][WORDS + 1] = {{0.0}};
        const double rate = step == 0 ? 0.3 : 0.15; /* half a cosine: 1 and 1/2 */
        for (size_t n = 0; n < COUNT; n++) {
            float x[WORDS];
            double e[OUT], sum = 0.0;
            sotto_normalise(&m, x, d.images + n * WORDS);
            for (size_t k = 0; k < OUT; k++) {
                double z = w[k][WORDS];
                for (size_t i = 0; i < WORDS; i++) {
                    z += w[k][i] * (double)x[i];
                }
                e[k] = exp(z);
                sum += e[k];
            }
            for (size_t k = 0; k < OUT; k++) {
                const double dz = (e[k] / sum - (k == d.labels[n])) / COUNT;
                for (size_t i = 0; i < WORDS; i++) {
                    g[k][i] += dz * (double)x[i];
                }
                g[k][WORDS] += dz;
            }
        }
        for (size_t k = 0; k < OUT; k++) {
            for (size_t i = 0; i <= WORDS; i++) {
                const double decayed = g[k][i] + (i < WORDS ? 0.05 * w[k][i] : 0.0);
                v[k][i] = 0.8 * v[k][i] + decayed;
                w[k][i] -= rate * (decayed + 0.8 * v[k][i]);
            }
        }
    }
    assert_ok(sotto_train(&m, &d, &o, NULL, NULL));
    for (size_t k = 0; k < OUT; k++) {
        for (size_t i = 0; i < WORDS; i++) {
            assert_true(fabs(w[k][i] - (double)m.nodes[1].tensor[0][k * WORDS + i]) < 1e-5);
        }
        assert_true(fabs(w[k][WORDS] - (double)m.nodes[1].tensor[1][k]) < 1e-5);
    }
    sotto_dataset_free(&d);
    sotto_model_free(&m);
}

#define AUGMENT_WORDS 24

/* What the network saw of the only image: from zero weights one step gives rate (y - p) x, with p = 1/3. */
static void seen_image(const sotto_dataset *d, const sotto_train_options *o, float x[AUGMENT_WORDS])
{
    sotto_model m;
    make_model(&m, linear_text, 1);
    memset(m.nodes[1].tensor[0], 0, 3 * AUGMENT_WORDS * sizeof(float));
    assert_ok(sotto_train(&m, d, o, NULL, NULL));
    for (size_t i = 0; i < AUGMENT_WORDS; i++) {
        x[i] = m.nodes[1].tensor[0][AUGMENT_WORDS * d->labels[0] + i] / (float)(o->schedule.rate * 2.0 / 3.0);
    }
    sotto_model_free(&m);
}

/* Which shift (dy, dx) in [-1, 1]^2 and which mirroring of the normalised image x is: an index below 18, or 18. */
static unsigned which_variant(const float *image, const float *x)
{
    for (unsigned variant = 0; variant < 18; variant++) {
        const int dy = (int)(variant / 2 % 3) - 1, dx = (int)(variant / 6) - 1;
        int same = 1;
        for (int c = 0; c < 2; c++) {
            for (int y = 0; y < 3; y++) {
                for (int z = 0; z < 4; z++) {
                    const int row = y + dy, col = (variant & 1 ? 3 - z : z) + dx;
                    const float want = row >= 0 && row < 3 && col >= 0 && col < 4 ? image[12 * c + 4 * row + col] : 0.0f;
                    same &= fabsf(want - x[12 * c + 4 * y + z]) < 1e-3f;
                }
            }
        }
        if (same) {
            return variant;
        }
    }
    return 18;
}

/* Every image that is trained on is a shifted or mirrored one, all eighteen occur alike, and without the options none but the image itself. */
static void test_augmentation(void **state)
{
    enum { SEEDS = 1800, STILL = 8 }; /* variant 8: no shift, not mirrored */
    (void)state;
    const uint64_t seed = test_seed();
    sotto_model m;
    sotto_dataset d;
    float image[AUGMENT_WORDS], x[AUGMENT_WORDS];
    uint64_t seen[18] = {0};
    noise_data(&d, (sotto_shape){2, 3, 4}, 1, 3, seed);
    make_model(&m, linear_text, seed);
    sotto_normalise(&m, image, d.images);
    sotto_model_free(&m);
    sotto_train_options o = plain_options(1, 1, 0.5, 1);
    o.optimiser.momentum = 0.0;
    o.optimiser.weight_decay = 0.0;
    for (unsigned options = 0; options < 4; options++) {
        for (uint64_t i = 0; i < (options == 3 ? SEEDS : 40); i++) {
            o.seed = seed + i;
            o.augment.shift = options & 1;
            o.augment.flip = options >> 1 & 1;
            seen_image(&d, &o, x);
            const unsigned variant = which_variant(image, x);
            assert_true(variant < 18);
            assert_true(o.augment.shift || variant / 2 == STILL / 2);
            assert_true(o.augment.flip || variant % 2 == 0);
            seen[variant] += options == 3;
        }
    }
    assert_true(test_chi_square(seen, 18, SEEDS) < test_chi_square_bound(18));
    sotto_dataset_free(&d);
}

static void learned(const char *text, unsigned threads)
{
    const uint64_t seed = test_seed();
    sotto_model m;
    sotto_dataset d, fresh;
    double accuracy = 0.0;
    make_model(&m, text, seed);
    bar_data(&d, 1500, seed);
    bar_data(&fresh, 1000, seed + 1);
    sotto_train_options o = plain_options(8, 32, 0.05, threads);
    assert_ok(sotto_train(&m, &d, &o, NULL, NULL));
    assert_ok(sotto_evaluate_float(&accuracy, &m, &fresh, 0, threads));
    if (accuracy <= 0.95) {
        fail_msg("accuracy on fresh images %.3f", accuracy);
    }
    sotto_dataset_free(&d);
    sotto_dataset_free(&fresh);
    sotto_model_free(&m);
}

static void test_learns(void **state)
{
    (void)state;
    learned(conv_text, 1);
    learned(norm_text, 3);
}

static void test_same_seed_same_weights(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    sotto_dataset d;
    bar_data(&d, 150, seed); /* the last batch is a short one */
    for (unsigned threads = 1; threads <= 3; threads += 2) {
        sotto_train_options o = sotto_train_default();
        sotto_model m[3];
        o.epochs = 2;
        o.batch = 32;
        o.threads = threads;
        for (size_t i = 0; i < 3; i++) {
            make_model(&m[i], norm_text, seed);
            o.seed = seed + i / 2;
            assert_ok(sotto_train(&m[i], &d, &o, NULL, NULL));
        }
        assert_true(same_weights(&m[0], &m[1]));
        assert_false(same_weights(&m[0], &m[2]));
        for (size_t i = 0; i < 3; i++) {
            sotto_model_free(&m[i]);
        }
    }
    sotto_dataset_free(&d);
}

typedef struct watch {
    const sotto_train_options *o;
    size_t count, calls, stop_at;
} watch;

static int on_progress(void *ctx, const sotto_train_progress *p)
{
    watch *w = ctx;
    const size_t per_epoch = (w->count + w->o->batch - 1) / w->o->batch, of_epoch = w->calls % per_epoch + 1;
    const size_t images = of_epoch == per_epoch ? w->count : of_epoch * w->o->batch;
    assert_int_equal(w->calls / per_epoch + 1, p->epoch);
    assert_int_equal(w->o->epochs, p->epochs);
    assert_int_equal(images, p->images);
    assert_int_equal(w->count, p->of_images);
    assert_int_equal(of_epoch == per_epoch, p->epoch_done);
    assert_true(isfinite(p->loss) && p->loss > 0.0 && p->accuracy >= 0.0 && p->accuracy <= 1.0 && p->images_per_second > 0.0 && p->seconds >= 0.0);
    return ++w->calls == w->stop_at;
}

/* Called after every batch; stopped at any of them, training ends well with the weights as they are. */
static void test_progress(void **state)
{
    enum { COUNT = 50, CALLS = 2 * 4 };
    (void)state;
    const uint64_t seed = test_seed();
    const sotto_train_options o = plain_options(2, 16, 0.05, 1);
    sotto_dataset d;
    sotto_model before, m;
    bar_data(&d, COUNT, seed);
    make_model(&before, conv_text, seed);
    for (size_t stop_at = 0; stop_at <= CALLS; stop_at++) {
        watch w = {.o = &o, .count = COUNT, .stop_at = stop_at};
        make_model(&m, conv_text, seed);
        assert_ok(sotto_train(&m, &d, &o, on_progress, &w));
        assert_int_equal(stop_at == 0 ? CALLS : stop_at, w.calls);
        assert_false(same_weights(&before, &m));
        sotto_model_free(&before);
        before = m;
        if (stop_at == 0) {
            sotto_model_free(&before);
            make_model(&before, conv_text, seed);
        }
    }
    sotto_model_free(&before);
    sotto_dataset_free(&d);
}

typedef struct order_watch {
    double loss[2][64]; /* of every image of both epochs in the order of training */
} order_watch;

static int on_image(void *ctx, const sotto_train_progress *p)
{
    order_watch *w = ctx;
    w->loss[p->epoch - 1][p->images - 1] = p->loss * (double)p->images; /* sums, made differences below */
    return 0;
}

/* With weights that hardly move, an image is known by its loss: every epoch goes through each image once, in an order of its own. */
static void test_order(void **state)
{
    enum { COUNT = 64 };
    (void)state;
    const uint64_t seed = test_seed();
    sotto_train_options o = plain_options(2, 1, 1e-9, 1);
    sotto_model m;
    sotto_dataset d;
    double own[COUNT];
    size_t order[2][COUNT];
    order_watch w;
    make_model(&m, linear_text, seed);
    noise_data(&d, (sotto_shape){2, 3, 4}, COUNT, 3, seed);
    for (size_t i = 0; i < COUNT; i++) {
        float x[AUGMENT_WORDS];
        double z[3], sum = 0.0;
        sotto_normalise(&m, x, d.images + i * AUGMENT_WORDS);
        for (size_t k = 0; k < 3; k++) {
            z[k] = 0.0;
            for (size_t j = 0; j < AUGMENT_WORDS; j++) {
                z[k] += (double)x[j] * (double)m.nodes[1].tensor[0][k * AUGMENT_WORDS + j];
            }
            sum += exp(z[k]);
        }
        own[i] = log(sum) - z[d.labels[i]];
    }
    assert_ok(sotto_train(&m, &d, &o, on_image, &w));
    for (size_t epoch = 0; epoch < 2; epoch++) {
        int used[COUNT] = {0};
        for (size_t i = 0; i < COUNT; i++) {
            const double loss = w.loss[epoch][i] - (i == 0 ? 0.0 : w.loss[epoch][i - 1]);
            size_t best = COUNT;
            for (size_t k = 0; k < COUNT; k++) {
                if (!used[k] && (best == COUNT || fabs(own[k] - loss) < fabs(own[best] - loss))) {
                    best = k;
                }
            }
            assert_true(fabs(own[best] - loss) < 1e-4);
            used[best] = 1;
            order[epoch][i] = best;
        }
    }
    size_t same = 0, still = 0;
    for (size_t i = 0; i < COUNT; i++) {
        same += order[0][i] == order[1][i];
        still += order[0][i] == i;
    }
    assert_true(same < 16 && still < 16); /* of random orders one image in all stays on average; sixteen: below 1e-13 */
    sotto_dataset_free(&d);
    sotto_model_free(&m);
}

static void test_evaluation_is_float_inference(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    static const size_t counts[] = {1, 255, 256, 257, 0, 300, 1000};
    sotto_model m;
    sotto_dataset d;
    sotto_float_run *run = NULL;
    size_t right[301] = {0};
    float x[64];
    make_model(&m, norm_text, seed);
    bar_data(&d, 300, seed);
    assert_ok(sotto_float_run_new(&run, &m));
    for (size_t i = 0; i < d.count; i++) {
        sotto_normalise(&m, x, d.images + 64 * i);
        assert_ok(sotto_float_infer(run, x));
        right[i + 1] = right[i] + (sotto_argmax_float(sotto_float_value(run, m.node_count - 1), 4) == d.labels[i]);
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (unsigned threads = 1; threads <= 3; threads += 2) {
            const size_t count = counts[i] == 0 || counts[i] > d.count ? d.count : counts[i];
            double accuracy = -1.0;
            assert_ok(sotto_evaluate_float(&accuracy, &m, &d, counts[i], threads));
            /* One image may be on the edge between two classes and fall either way by rounding. */
            assert_true(fabs(accuracy * (double)count - (double)right[count]) < 1.5);
        }
    }
    sotto_float_run_free(run);
    sotto_dataset_free(&d);
    sotto_model_free(&m);
}

/* One option out of range at a time; the message names it. */
static void test_refused_options(void **state)
{
    static const struct bad {
        const char *name;
        size_t offset;
        enum { U32, REAL, SIZE, FLAG } kind;
        double value;
    } bad[] = {
#define FIELD(name, field, kind, value) {name, offsetof(sotto_train_options, field), kind, value}
        FIELD("epochs", epochs, U32, 0),
        FIELD("epochs", epochs, U32, 10001),
        FIELD("batch", batch, U32, 0),
        FIELD("batch", batch, U32, 4097),
        FIELD("rate", schedule.rate, REAL, 0.0),
        FIELD("rate", schedule.rate, REAL, -1.0),
        FIELD("rate", schedule.rate, REAL, NAN),
        FIELD("rate", schedule.rate, REAL, INFINITY),
        FIELD("warm-up", schedule.warmup, REAL, 20.0),
        FIELD("factor", schedule.factor, REAL, 0.0),
        FIELD("momentum", optimiser.momentum, REAL, 1.0),
        FIELD("momentum", optimiser.momentum, REAL, -0.1),
        FIELD("momentum", optimiser.momentum, REAL, NAN),
        FIELD("beta2", optimiser.beta2, REAL, 1.0),
        FIELD("weight decay", optimiser.weight_decay, REAL, 1.0),
        FIELD("weight decay", optimiser.weight_decay, REAL, -0.1),
        FIELD("weight decay", optimiser.weight_decay, REAL, NAN),
        FIELD("clipping", optimiser.clip, REAL, -1.0),
        FIELD("shift", augment.shift, U32, 65),
        FIELD("cutout", augment.cutout, U32, 1025),
        FIELD("smoothing", loss.smoothing, REAL, 1.0),
        FIELD("temperature", loss.temperature, REAL, 0.0),
        FIELD("distill", loss.distill, REAL, 1.5),
        FIELD("ema", ema, REAL, 1.0),
        FIELD("images held out", validate, SIZE, 20),
        FIELD("images held out", best, FLAG, 1),
        FIELD("weight bits", weight_bits, U32, 1),
        FIELD("weight bits", weight_bits, U32, 17),
        FIELD("minutes", checkpoint_minutes, REAL, -1.0),
        FIELD("rising", schedule.steps[1], U32, 7),
#undef FIELD
    };
    (void)state;
    const uint64_t seed = test_seed();
    sotto_model m, untouched;
    sotto_dataset d;
    make_model(&m, conv_text, seed);
    make_model(&untouched, conv_text, seed);
    bar_data(&d, 20, seed);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sotto_train_options o = sotto_train_default();
        const unsigned u32 = (unsigned)(bad[i].kind == REAL ? 0.0 : bad[i].value);
        const int flag = (int)u32;
        const size_t size = u32;
        const void *value[] = {&u32, &bad[i].value, &size, &flag};
        const size_t width[] = {sizeof u32, sizeof(double), sizeof size, sizeof flag};
        o.schedule.steps[0] = 7;
        memcpy((char *)&o + bad[i].offset, value[bad[i].kind], width[bad[i].kind]);
        assert_status(SOTTO_ERR_ARG, sotto_train(&m, &d, &o, NULL, NULL));
        if (strstr(sotto_error_message(), bad[i].name) == NULL) {
            fail_msg("\"%s\" does not name %s", sotto_error_message(), bad[i].name);
        }
    }
    assert_true(same_weights(&m, &untouched));
    sotto_model_free(&untouched);
    sotto_model_free(&m);
    sotto_dataset_free(&d);
}

static void test_refused(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    sotto_model m, untouched, bare, other;
    sotto_dataset d;
    double accuracy = 7.0;
    make_model(&m, conv_text, seed);
    make_model(&untouched, conv_text, seed);
    make_model(&other, linear_text, seed);
    bar_data(&d, 20, seed);
    sotto_train_options o = plain_options(1, 8, 0.01, 1);
    sotto_dataset odd = d;
    odd.shape = (sotto_shape){1, 4, 16};
    assert_status(SOTTO_ERR_MISMATCH, sotto_train(&m, &odd, &o, NULL, NULL));
    assert_status(SOTTO_ERR_MISMATCH, sotto_evaluate_float(&accuracy, &m, &odd, 0, 1));
    odd = d;
    odd.classes = 5;
    assert_status(SOTTO_ERR_MISMATCH, sotto_train(&m, &odd, &o, NULL, NULL));
    odd = d;
    odd.count = 0;
    assert_status(SOTTO_ERR_ARG, sotto_train(&m, &odd, &o, NULL, NULL));
    assert_status(SOTTO_ERR_ARG, sotto_evaluate_float(&accuracy, &m, &odd, 0, 1));
    assert_ok(sotto_model_parse(&bare, conv_text, strlen(conv_text)));
    assert_status(SOTTO_ERR_ARG, sotto_train(&bare, &d, &o, NULL, NULL));
    assert_status(SOTTO_ERR_ARG, sotto_evaluate_float(&accuracy, &bare, &d, 0, 1));
    o.teacher = &bare;
    assert_status(SOTTO_ERR_ARG, sotto_train(&m, &d, &o, NULL, NULL));
    assert_non_null(strstr(sotto_error_message(), "teacher"));
    o.teacher = &other;
    assert_status(SOTTO_ERR_MISMATCH, sotto_train(&m, &d, &o, NULL, NULL));
    assert_non_null(strstr(sotto_error_message(), "teacher"));
    assert_true(same_weights(&m, &untouched));
    assert_true(accuracy == 7.0);
    sotto_model_free(&other);
    sotto_model_free(&bare);
    sotto_model_free(&untouched);
    sotto_model_free(&m);
    sotto_dataset_free(&d);
}

static void test_not_finite(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    const sotto_train_options o = plain_options(1, 8, 0.01, 1);
    sotto_model m;
    sotto_dataset d;
    make_model(&m, conv_text, seed);
    bar_data(&d, 64, seed);
    m.nodes[1].tensor[0][0] = INFINITY;
    assert_status(SOTTO_ERR_LIMIT, sotto_train(&m, &d, &o, NULL, NULL));
    assert_non_null(strstr(sotto_error_message(), "lower the rate"));
    sotto_model_free(&m);
    sotto_dataset_free(&d);
}

/* Allocation k fails, for every k: nothing is leaked (sanitizers), nothing is changed. */
static void test_no_memory(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    sotto_model m, untouched, teacher;
    sotto_dataset d;
    double accuracy = 7.0;
    make_model(&m, norm_text, seed);
    make_model(&untouched, norm_text, seed);
    make_model(&teacher, conv_text, seed);
    bar_data(&d, 58, seed);
    sotto_train_options o = with_state(1, &teacher, seed);
    o.epochs = 1;
    o.schedule.warmup = 0.0;
    for (int train = 0; train < 2; train++) {
        int status = SOTTO_ERR_MEMORY;
        long k = 0;
        for (; status != SOTTO_OK; k++) {
            assert_true(same_weights(&m, &untouched));
            assert_true(accuracy == 7.0);
            sotto_calloc_fail_after(k);
            status = train ? sotto_train(&m, &d, &o, NULL, NULL) : sotto_evaluate_float(&accuracy, &m, &d, 0, 2);
            sotto_calloc_fail_after(-1);
            assert_true(status == SOTTO_OK || status == SOTTO_ERR_MEMORY);
        }
        assert_true(k > 10);
        assert_true(train || (accuracy >= 0.0 && accuracy <= 1.0));
        accuracy = 7.0;
    }
    assert_false(same_weights(&m, &untouched));
    sotto_model_free(&teacher);
    sotto_model_free(&untouched);
    sotto_model_free(&m);
    sotto_dataset_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_steps),
        cmocka_unit_test(test_augmentation),
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_same_seed_same_weights),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_evaluation_is_float_inference),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refused_options),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
