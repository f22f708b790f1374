/* What the options of training do: what all of them learn, distillation, weights of few bits, validation, the moving average. */
#include <math.h>

#include "nn/train/rounding.h"
#include "tests/train/fixture.h"

static double trained_accuracy(const sotto_train_options *o, const sotto_dataset *d, const sotto_dataset *fresh, const char *text, uint64_t seed)
{
    sotto_model m;
    double accuracy = 0.0;
    make_model(&m, text, seed);
    assert_ok(sotto_train(&m, d, o, NULL, NULL));
    assert_ok(sotto_evaluate_float(&accuracy, &m, fresh, 0, 2));
    sotto_model_free(&m);
    return accuracy;
}

/* Every way of training gets there. */
static void test_all_options_learn(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    sotto_dataset d, fresh;
    sotto_model teacher;
    sotto_train_options all[6];
    bar_data(&d, 1500, seed);
    bar_data(&fresh, 500, seed + 1);
    make_model(&teacher, norm_text, seed);
    const sotto_train_options first = plain_options(8, 32, 0.05, 2);
    assert_ok(sotto_train(&teacher, &d, &first, NULL, NULL));
    for (size_t i = 0; i < 6; i++) {
        all[i] = first;
    }
    all[0].optimiser.nesterov = 0;
    all[0].schedule = (sotto_schedule){.kind = SOTTO_SCHEDULE_STEP, .rate = 0.05, .steps = {5, 7}, .factor = 0.1, .warmup = 1.0};
    all[1].optimiser = (sotto_optimiser_options){.kind = SOTTO_OPTIMISER_ADAM, .momentum = 0.9, .beta2 = 0.999, .weight_decay = 1e-2};
    all[1].schedule.rate = 0.005;
    all[2].ema = 0.99;
    all[2].loss.smoothing = 0.1;
    all[3].optimiser.clip = 1.0;
    all[3].validate = 200;
    all[3].best = 1;
    all[4].teacher = &teacher;
    all[5].augment.cutout = 2;
    for (size_t i = 0; i < 6; i++) {
        const double accuracy = trained_accuracy(&all[i], &d, &fresh, norm_text, seed + i);
        if (accuracy <= 0.97) {
            fail_msg("options %zu: accuracy on fresh images %.3f", i, accuracy);
        }
    }
    sotto_model_free(&teacher);
    sotto_dataset_free(&fresh);
    sotto_dataset_free(&d);
}

/* With distillation alone and labels that say nothing, what is learned is the teacher's. */
static void test_distillation_learns_from_the_teacher(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    sotto_dataset d, fresh;
    sotto_model teacher;
    bar_data(&d, 1500, seed);
    bar_data(&fresh, 500, seed + 1);
    make_model(&teacher, norm_text, seed);
    sotto_train_options o = plain_options(8, 32, 0.05, 2);
    assert_ok(sotto_train(&teacher, &d, &o, NULL, NULL));
    for (size_t i = 0; i < d.count; i++) {
        d.labels[i] = 0;
    }
    o.teacher = &teacher;
    o.loss.distill = 1.0;
    o.loss.temperature = 2.0;
    assert_true(trained_accuracy(&o, &d, &fresh, norm_text, seed + 2) > 0.97);
    sotto_model_free(&teacher);
    sotto_dataset_free(&fresh);
    sotto_dataset_free(&d);
}

/* A network trained with three bits in view keeps its accuracy when it is rounded to three bits; the weights behind them are not on that grid. */
static void test_trained_for_few_bits(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    sotto_dataset d, fresh;
    sotto_model m, rounded;
    double accuracy = 0.0;
    bar_data(&d, 1500, seed);
    bar_data(&fresh, 500, seed + 1);
    make_model(&m, norm_text, seed);
    make_model(&rounded, norm_text, seed);
    sotto_train_options o = plain_options(8, 32, 0.05, 2);
    o.weight_bits = 3;
    assert_ok(sotto_train(&m, &d, &o, NULL, NULL));
    assert_ok(sotto_train(&rounded, &d, &o, NULL, NULL));
    assert_true(same_weights(&m, &rounded));
    sotto_round_weights(&rounded, 3, NULL);
    assert_false(same_weights(&m, &rounded));
    assert_ok(sotto_evaluate_float(&accuracy, &rounded, &fresh, 0, 2));
    if (accuracy <= 0.9) {
        fail_msg("accuracy of rounded weights %.3f", accuracy);
    }
    sotto_model_free(&rounded);
    sotto_model_free(&m);
    sotto_dataset_free(&fresh);
    sotto_dataset_free(&d);
}

typedef struct validation_watch {
    double best;
    unsigned best_epoch;
} validation_watch;

static int on_validation(void *ctx, const sotto_train_progress *p)
{
    validation_watch *w = ctx;
    assert_int_equal(p->epoch_done, p->validation >= 0.0);
    if (p->epoch_done && (w->best_epoch == 0 || p->validation > w->best)) {
        w->best = p->validation;
        w->best_epoch = p->epoch;
    }
    assert_int_equal(w->best_epoch, p->best_epoch);
    return 0;
}

/* Ends with the weights of the best epoch: those of a training that is over then, since the rate is constant. Labels are noise, so that accuracy jumps about. */
static void test_best_epoch(void **state)
{
    enum { COUNT = 80, HELD = 30 };
    (void)state;
    const uint64_t seed = test_seed();
    sotto_dataset d;
    noise_data(&d, (sotto_shape){1, 8, 8}, COUNT, 4, seed);
    for (uint64_t i = 0; i < 6; i++) {
        sotto_train_options o = plain_options(6, 20, 0.02, 1);
        sotto_model m, n;
        validation_watch w = {0};
        o.schedule.kind = SOTTO_SCHEDULE_CONSTANT;
        o.validate = HELD;
        o.best = 1;
        o.ema = i % 2 ? 0.9 : 0.0;
        make_model(&m, norm_text, seed + i);
        make_model(&n, norm_text, seed + i);
        assert_ok(sotto_train(&m, &d, &o, on_validation, &w));
        o.best = 0;
        o.epochs = w.best_epoch;
        assert_ok(sotto_train(&n, &d, &o, NULL, NULL));
        assert_true(same_weights(&m, &n));
        sotto_model_free(&n);
        sotto_model_free(&m);
    }
    sotto_dataset_free(&d);
}

/* Changing labels one by one: exactly those of the images held out change nothing. */
static void test_held_out(void **state)
{
    enum { COUNT = 24, HELD = 9 };
    (void)state;
    const uint64_t seed = test_seed();
    sotto_train_options o = plain_options(1, 8, 0.05, 1);
    sotto_dataset d;
    sotto_model m, base;
    size_t without = 0;
    o.validate = HELD;
    bar_data(&d, COUNT, seed);
    make_model(&base, conv_text, seed);
    assert_ok(sotto_train(&base, &d, &o, NULL, NULL));
    for (size_t i = 0; i < COUNT; i++) {
        const uint16_t label = d.labels[i];
        d.labels[i] = (uint16_t)((label + 1) % 4);
        make_model(&m, conv_text, seed);
        assert_ok(sotto_train(&m, &d, &o, NULL, NULL));
        without += (size_t)same_weights(&m, &base);
        d.labels[i] = label;
        sotto_model_free(&m);
    }
    assert_int_equal(HELD, without);
    sotto_model_free(&base);
    sotto_dataset_free(&d);
}

/* The average after three steps of one weight's path, by hand. */
static void test_moving_average(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    sotto_train_options o = plain_options(1, 64, 0.1, 1);
    sotto_dataset d;
    sotto_model m;
    double path[4], average;
    o.schedule.kind = SOTTO_SCHEDULE_CONSTANT;
    noise_data(&d, (sotto_shape){2, 3, 4}, 20, 3, seed);
    for (unsigned epochs = 0; epochs <= 3; epochs++) { /* one batch each, a constant rate: longer paths begin with the shorter ones */
        make_model(&m, linear_text, seed);
        o.epochs = epochs;
        if (epochs > 0) {
            assert_ok(sotto_train(&m, &d, &o, NULL, NULL));
        }
        path[epochs] = (double)m.nodes[1].tensor[0][5];
        sotto_model_free(&m);
    }
    average = path[0];
    for (unsigned s = 1; s <= 3; s++) {
        const double decay = fmin(0.25, (1.0 + s) / (10.0 + s)); /* 2/11, then 0.25 */
        average = decay * average + (1.0 - decay) * path[s];
    }
    o.ema = 0.25;
    make_model(&m, linear_text, seed);
    assert_ok(sotto_train(&m, &d, &o, NULL, NULL));
    assert_true(fabs(average - (double)m.nodes[1].tensor[0][5]) < 1e-6);
    assert_true(fabs(average - path[3]) > 1e-5);
    sotto_model_free(&m);
    sotto_dataset_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_options_learn),
        cmocka_unit_test(test_distillation_learns_from_the_teacher),
        cmocka_unit_test(test_trained_for_few_bits),
        cmocka_unit_test(test_best_epoch),
        cmocka_unit_test(test_held_out),
        cmocka_unit_test(test_moving_average),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
