/* A training that is interrupted, at any batch or by a kill at any moment, and resumed ends as if it had not been; what does not belong together is refused. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/train/fixture.h"

static char folder[] = "/tmp/sotto-train-XXXXXX", checkpoint_path[64];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(checkpoint_path, sizeof checkpoint_path, "%s/state", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(checkpoint_path);
    return rmdir(folder);
}

static int stop_later(void *ctx, const sotto_train_progress *p)
{
    (void)p;
    return --*(int *)ctx == 0;
}

/* Stopped after batch k and resumed, for every k: as if nothing had happened. */
static void test_resume(void **state)
{
    enum { COUNT = 58 };
    (void)state;
    const uint64_t seed = test_seed();
    sotto_model teacher;
    sotto_dataset d;
    make_model(&teacher, conv_text, seed + 9);
    bar_data(&d, COUNT, seed);
    for (int all = 0; all < 2; all++) {
        const int batches = 3 * (all ? 3 : 4);
        sotto_train_options o = with_state(all, &teacher, seed);
        sotto_model whole, m;
        make_model(&whole, norm_text, seed);
        assert_ok(sotto_train(&whole, &d, &o, NULL, NULL));
        for (int k = 1; k <= batches; k++) {
            int left = k;
            o.checkpoint = checkpoint_path;
            o.resume = NULL;
            make_model(&m, norm_text, seed);
            assert_ok(sotto_train(&m, &d, &o, stop_later, &left));
            sotto_model_free(&m);
            make_model(&m, norm_text, seed + 1); /* what it starts from is in the checkpoint */
            o.checkpoint = NULL;
            o.resume = checkpoint_path;
            assert_ok(sotto_train(&m, &d, &o, NULL, NULL));
            assert_true(same_weights(&whole, &m));
            sotto_model_free(&m);
        }
        sotto_model_free(&whole);
    }
    sotto_dataset_free(&d);
    sotto_model_free(&teacher);
}

/* Killed at any moment, over and over, until it gets to the end. A checkpoint after every batch, so that many kills meet one being written. */
static void test_kill(void **state)
{
    enum { COUNT = 58 };
    (void)state;
    const uint64_t seed = test_seed();
    const sotto_rng rng = test_rng(seed, 500);
    sotto_model teacher, whole, m;
    sotto_dataset d;
    int finished = 0, killed = 0;
    make_model(&teacher, conv_text, seed + 9);
    make_model(&whole, norm_text, seed);
    make_model(&m, norm_text, seed);
    bar_data(&d, COUNT, seed);
    sotto_train_options o = with_state(1, &teacher, seed);
    o.epochs = 10;
    assert_ok(sotto_train(&whole, &d, &o, NULL, NULL));
    o.checkpoint = checkpoint_path;
    o.checkpoint_minutes = 1e-9;
    unlink(checkpoint_path);
    while (!finished) {
        const useconds_t wait = (useconds_t)test_below(&rng, 6000) + 50 * (useconds_t)(killed * killed); /* longer and longer, for slow machines */
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            o.resume = access(checkpoint_path, F_OK) == 0 ? checkpoint_path : NULL;
            _exit(sotto_train(&m, &d, &o, NULL, NULL) == SOTTO_OK ? 0 : 1);
        }
        int result;
        usleep(wait);
        kill(child, SIGKILL);
        assert_int_equal(child, waitpid(child, &result, 0));
        finished = WIFEXITED(result);
        assert_true(!finished || WEXITSTATUS(result) == 0);
        killed += !finished;
        char stray[96];
        snprintf(stray, sizeof stray, "%s.new.%ld", checkpoint_path, (long)child);
        unlink(stray);
    }
    o.checkpoint = NULL;
    o.resume = checkpoint_path;
    assert_ok(sotto_train(&m, &d, &o, NULL, NULL)); /* of a training that had ended: its result */
    assert_true(same_weights(&whole, &m));
    print_message("killed %d times\n", killed);
    sotto_model_free(&m);
    sotto_model_free(&whole);
    sotto_model_free(&teacher);
    sotto_dataset_free(&d);
}

static void refuse_resume(sotto_model *m, const sotto_dataset *d, const sotto_train_options *o, const char *what)
{
    assert_status(SOTTO_ERR_MISMATCH, sotto_train(m, d, o, NULL, NULL));
    if (strstr(sotto_error_message(), what) == NULL) {
        fail_msg("\"%s\" does not name \"%s\"", sotto_error_message(), what);
    }
}

static void test_resume_of_something_else(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    sotto_model m, other, teacher;
    sotto_dataset d, fresh;
    int left = 2;
    make_model(&m, norm_text, seed);
    make_model(&other, conv_text, seed);
    make_model(&teacher, conv_text, seed);
    bar_data(&d, 58, seed);
    bar_data(&fresh, 58, seed + 1);
    sotto_train_options first = with_state(1, &teacher, seed);
    first.checkpoint = checkpoint_path;
    assert_ok(sotto_train(&m, &d, &first, stop_later, &left));
    first.checkpoint = NULL;
    first.resume = checkpoint_path;
    sotto_train_options o = first;
    refuse_resume(&other, &d, &o, "architecture");
    refuse_resume(&m, &fresh, &o, "data set");
    const float weight = teacher.nodes[1].tensor[0][0];
    teacher.nodes[1].tensor[0][0] += 1.0f;
    refuse_resume(&m, &d, &o, "teacher");
    teacher.nodes[1].tensor[0][0] = weight;
#define OTHER(field, value, what) o = first; o.field = value; refuse_resume(&m, &d, &o, what)
    OTHER(seed, seed + 1, "seed");
    OTHER(threads, 1, "number of threads: 2, now 1");
    OTHER(epochs, 4, "number of epochs: 3, now 4");
    OTHER(batch, 8, "batch: 16, now 8");
    OTHER(schedule.kind, SOTTO_SCHEDULE_CONSTANT, "schedule");
    OTHER(schedule.rate, 0.5, "rate: 0.01, now 0.5");
    OTHER(schedule.warmup, 1.0, "warm-up: 1.5, now 1");
    OTHER(schedule.steps[0], 3, "list of steps: 0, now 3");
    OTHER(schedule.factor, 0.5, "factor");
    OTHER(optimiser.kind, SOTTO_OPTIMISER_SGD, "optimiser");
    OTHER(optimiser.momentum, 0.5, "momentum: 0.9, now 0.5");
    OTHER(optimiser.nesterov, 0, "Nesterov");
    OTHER(optimiser.beta2, 0.5, "beta2");
    OTHER(optimiser.weight_decay, 0.0, "weight decay");
    OTHER(optimiser.clip, 2.0, "clipping: 1, now 2");
    OTHER(augment.shift, 0, "shift: 1, now 0");
    OTHER(augment.flip, 0, "mirroring");
    OTHER(augment.cutout, 2, "cutout: 3, now 2");
    OTHER(loss.smoothing, 0.0, "smoothing");
    OTHER(loss.temperature, 2.0, "temperature: 4, now 2");
    OTHER(loss.distill, 0.5, "distillation");
    OTHER(teacher, NULL, "teacher");
    OTHER(ema, 0.0, "moving average");
    OTHER(weight_bits, 0, "weight bits: 5, now 0");
    OTHER(validate, 11, "held out: 10, now 11");
    OTHER(best, 0, "best epoch");
#undef OTHER
    o = first;
    assert_ok(sotto_train(&m, &d, &o, NULL, NULL));
    sotto_dataset_free(&fresh);
    sotto_dataset_free(&d);
    sotto_model_free(&teacher);
    sotto_model_free(&other);
    sotto_model_free(&m);
}

/* A place for checkpoints that appears while the training goes on. */
typedef struct place {
    char folder[96], state[128];
    unsigned warnings;
} place;

static void on_warning(void *ctx, int status)
{
    place *p = ctx;
    assert_int_equal(status, SOTTO_ERR_IO);
    assert_non_null(strstr(sotto_error_message(), p->state));
    if (++p->warnings == 2) {
        assert_int_equal(mkdir(p->folder, 0700), 0);
    }
}

static void test_no_room(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    sotto_model whole, m;
    sotto_dataset d;
    place p = {.warnings = 0};
    snprintf(p.folder, sizeof p.folder, "%s/later", folder);
    snprintf(p.state, sizeof p.state, "%s/state", p.folder);
    make_model(&whole, norm_text, seed);
    make_model(&m, norm_text, seed);
    bar_data(&d, 58, seed);
    sotto_train_options o = with_state(0, NULL, seed);
    o.epochs = 4;
    assert_ok(sotto_train(&whole, &d, &o, NULL, NULL));
    o.checkpoint = p.state;
    assert_status(SOTTO_ERR_IO, sotto_train(&m, &d, &o, NULL, NULL)); /* nobody to warn */
    sotto_model_free(&m);
    make_model(&m, norm_text, seed);
    o.warning = on_warning;
    assert_ok(sotto_train(&m, &d, &o, NULL, &p));
    assert_int_equal(p.warnings, 2);
    assert_true(same_weights(&whole, &m));
    sotto_model_free(&m);
    make_model(&m, norm_text, seed + 1);
    o.checkpoint = NULL;
    o.resume = p.state;
    assert_ok(sotto_train(&m, &d, &o, NULL, NULL)); /* written whole at the end */
    assert_true(same_weights(&whole, &m));
    unlink(p.state);
    rmdir(p.folder);
    sotto_model_free(&m);
    sotto_model_free(&whole);
    sotto_dataset_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_resume_of_something_else),
        cmocka_unit_test(test_no_room),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
