/* Each optimiser against its rule written out in double, and the rates of all schedules. */
#include <math.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/model/text.h"
#include "nn/train/optimise.h"
#include "tests/support/support.h"

/* Weights that decay (conv, dense) beside ones that do not (biases, batch norm). */
static const char text[] = "sotto-model 1\n"
                           "input 1x4x4\n"
                           "conv c1 input out=3 kernel=3 pad=1\n"
                           "batchnorm b1 c1\n"
                           "relu r1 b1\n"
                           "dense f1 r1 out=2\n";

enum { VALUES_MAX = 256, BATCH = 4, STEPS = 6 };

static void each(const sotto_model *m, const sotto_tape *tape, double *w, double *g, uint8_t *decays)
{
    size_t at = 0;
    for (size_t i = 0; i < m->node_count; i++) {
        for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
            const float *gradient = sotto_tape_gradient(tape, i, t);
            for (size_t k = 0; gradient != NULL && k < sotto_tensor_count(m, &m->nodes[i], t); k++, at++) {
                w[at] = (double)m->nodes[i].tensor[t][k];
                g[at] = (double)gradient[k];
                decays[at] = t == 0 && m->nodes[i].op != SOTTO_OP_BATCHNORM;
            }
        }
    }
    assert_int_equal(3 * 9 + 3 + 2 * 3 + 2 * 48 + 2, at);
}

static void follow(const sotto_optimiser_options *o, uint64_t seed)
{
    const sotto_rng rng = test_rng(seed, 1);
    sotto_model m;
    sotto_tape *tape = NULL;
    sotto_optimiser opt;
    double w[VALUES_MAX], got[VALUES_MAX], g[VALUES_MAX], first[VALUES_MAX] = {0}, second[VALUES_MAX] = {0};
    uint8_t decays[VALUES_MAX];
    assert_ok(sotto_model_parse(&m, text, sizeof text - 1));
    assert_ok(sotto_model_init_weights(&m, &rng));
    assert_ok(sotto_tape_new(&tape, &m, BATCH, 1, NULL));
    assert_ok(sotto_optimiser_new(&opt, &m, tape, o));
    for (unsigned step = 1; step <= STEPS; step++) {
        const double rate = 0.1 / step;
        float out[2 * BATCH];
        const float *logits;
        double squares = 0.0;
        for (size_t i = 0; i < 16 * BATCH; i++) {
            sotto_tape_input(tape)[i] = (float)test_below(&rng, 1000) / 500.0f - 1.0f;
        }
        for (size_t i = 0; i < 2 * BATCH; i++) {
            out[i] = (float)test_below(&rng, 1000) / 500.0f - 1.0f;
        }
        assert_ok(sotto_tape_forward(tape, BATCH, 1, &logits));
        assert_ok(sotto_tape_backward(tape, BATCH, out));
        each(&m, tape, w, g, decays);
        const size_t count = opt.count;
        assert_int_equal(134, count);
        for (size_t i = 0; i < count; i++) {
            squares += g[i] * g[i];
        }
        const double norm = sotto_optimiser_step(&opt, rate), scale = o->clip > 0.0 && sqrt(squares) > o->clip ? o->clip / sqrt(squares) : 1.0;
        assert_true(o->clip > 0.0 ? fabs(norm - sqrt(squares)) < 1e-6 * norm : norm == 0.0);
        assert_int_equal(step, opt.steps);
        for (size_t i = 0; i < count; i++) {
            const double decay = decays[i] ? o->weight_decay : 0.0;
            if (o->kind == SOTTO_OPTIMISER_ADAM) {
                first[i] = o->momentum * first[i] + (1.0 - o->momentum) * scale * g[i];
                second[i] = o->beta2 * second[i] + (1.0 - o->beta2) * scale * scale * g[i] * g[i];
                const double m1 = first[i] / (1.0 - pow(o->momentum, step)), m2 = second[i] / (1.0 - pow(o->beta2, step));
                w[i] -= rate * (m1 / (sqrt(m2) + 1e-8) + decay * w[i]);
            } else {
                const double d = scale * g[i] + decay * w[i];
                first[i] = o->momentum * first[i] + d;
                w[i] -= rate * (o->nesterov ? d + o->momentum * first[i] : first[i]);
            }
        }
        each(&m, tape, got, g, decays);
        for (size_t i = 0; i < count; i++) {
            /* Float state, beta2 as a float included: 1e-4 of an Adam step of 0.1. */
            if (!(fabs(got[i] - w[i]) < 2e-5)) {
                fail_msg("step %u, value %zu: %.8f, expected %.8f", step, i, got[i], w[i]);
            }
        }
    }
    sotto_optimiser_free(&opt);
    sotto_tape_free(tape);
    sotto_model_free(&m);
}

static void test_rules(void **state)
{
    static const sotto_optimiser_options all[] = {
        {.kind = SOTTO_OPTIMISER_SGD},
        {.kind = SOTTO_OPTIMISER_SGD, .weight_decay = 0.05},
        {.kind = SOTTO_OPTIMISER_SGD, .momentum = 0.9},
        {.kind = SOTTO_OPTIMISER_SGD, .momentum = 0.9, .nesterov = 1, .weight_decay = 0.05},
        {.kind = SOTTO_OPTIMISER_SGD, .momentum = 0.9, .nesterov = 1, .weight_decay = 0.05, .clip = 0.5},
        {.kind = SOTTO_OPTIMISER_SGD, .momentum = 0.5, .clip = 1e6},
        {.kind = SOTTO_OPTIMISER_ADAM, .momentum = 0.9, .beta2 = 0.99},
        {.kind = SOTTO_OPTIMISER_ADAM, .momentum = 0.9, .beta2 = 0.99, .weight_decay = 0.05},
        {.kind = SOTTO_OPTIMISER_ADAM, .momentum = 0.5, .beta2 = 0.9, .weight_decay = 0.05, .clip = 0.25},
    };
    (void)state;
    const uint64_t seed = test_seed();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        follow(&all[i], seed + i);
    }
}

static void near(double want, double got)
{
    if (fabs(want - got) > 1e-12) {
        fail_msg("rate %.15f, expected %.15f", got, want);
    }
}

static void test_schedules(void **state)
{
    (void)state;
    sotto_schedule s = {.kind = SOTTO_SCHEDULE_COSINE, .rate = 0.4};
    near(0.4, sotto_schedule_rate(&s, 8, 0, 0.25));
    near(0.4 * 0.5, sotto_schedule_rate(&s, 8, 4, 0.25));
    near(0.4 * 0.5 * (1.0 - sqrt(0.5)), sotto_schedule_rate(&s, 8, 6, 0.25));
    near(0.0, sotto_schedule_rate(&s, 8, 8, 0.25));
    s.warmup = 2.0;
    near(0.4 * 0.125, sotto_schedule_rate(&s, 8, 0, 0.25)); /* the first of eight steps of the warm-up */
    near(0.4 * 0.5, sotto_schedule_rate(&s, 8, 0.75, 0.25));
    near(0.4, sotto_schedule_rate(&s, 8, 1.75, 0.25));
    near(0.4, sotto_schedule_rate(&s, 8, 2, 0.25));
    near(0.4 * 0.5, sotto_schedule_rate(&s, 8, 5, 0.25));
    s = (sotto_schedule){.kind = SOTTO_SCHEDULE_CONSTANT, .rate = 0.3};
    near(0.3, sotto_schedule_rate(&s, 8, 7.9, 0.25));
    s = (sotto_schedule){.kind = SOTTO_SCHEDULE_STEP, .rate = 0.1, .steps = {80, 120}, .factor = 0.1, .warmup = 1.0};
    near(0.1 * 0.5, sotto_schedule_rate(&s, 160, 0.25, 0.25));
    near(0.1, sotto_schedule_rate(&s, 160, 79.999, 0.25));
    near(0.01, sotto_schedule_rate(&s, 160, 80, 0.25));
    near(0.01, sotto_schedule_rate(&s, 160, 119.999, 0.25));
    near(0.001, sotto_schedule_rate(&s, 160, 120, 0.25));
    near(0.001, sotto_schedule_rate(&s, 160, 159.75, 0.25));
}

static void test_no_memory(void **state)
{
    static const sotto_optimiser_options adam = {.kind = SOTTO_OPTIMISER_ADAM, .momentum = 0.9, .beta2 = 0.99};
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 2);
    sotto_model m;
    sotto_tape *tape = NULL;
    sotto_optimiser opt;
    assert_ok(sotto_model_parse(&m, text, sizeof text - 1));
    assert_ok(sotto_model_init_weights(&m, &rng));
    assert_ok(sotto_tape_new(&tape, &m, BATCH, 1, NULL));
    for (long k = 0; k < 2; k++) {
        sotto_calloc_fail_after(k);
        assert_status(SOTTO_ERR_MEMORY, sotto_optimiser_new(&opt, &m, tape, &adam));
        sotto_calloc_fail_after(-1);
        assert_null(opt.first);
    }
    sotto_tape_free(tape);
    sotto_model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rules), cmocka_unit_test(test_schedules), cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
