/* The network that ships with the project, on real test images: accuracy, bit-exactness of private runs at every value, agreement with plain fixed point.
 * Skipped where the Debian package dataset-fashion-mnist or the model is absent. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"
#include "nn/model/weights.h"
#include "nn/plain/fixed.h"
#include "nn/secure/session.h"
#include "nn/train/train.h"
#include "tests/support/support.h"

#define MODEL "apps/demo/fashion"
#define EXACT_IMAGES 500

static sotto_model model;
static sotto_dataset set;
static sotto_serving serving;

static int load(void **state)
{
    (void)state;
    if (sotto_dataset_fashion(&set, NULL, 0) != SOTTO_OK) {
        print_message("skipped: %s\n", sotto_error_message());
        return 0;
    }
    assert_ok(sotto_model_load(&model, MODEL ".sotto", MODEL ".weights"));
    assert_ok(sotto_serving_new(&serving, &model, NULL));
    return 0;
}

static int unload(void **state)
{
    (void)state;
    sotto_serving_free(&serving);
    sotto_model_free(&model);
    sotto_dataset_free(&set);
    return 0;
}

static void need_data(void)
{
    if (set.count == 0) {
        skip();
    }
}

static void test_accuracy(void **state)
{
    (void)state;
    need_data();
    const sotto_program *p = &serving.network.program;
    double accuracy = 0.0, part = 0.0;
    assert_ok(sotto_evaluate_float(&accuracy, &model, &set, 0, 0));
    assert_int_equal(10000, set.count);
    assert_true(accuracy >= 0.91);
    /* fixed point on as many images as there is time for */
    const size_t count = getenv("SOTTO_TEST_LONG") != NULL ? set.count : 1000;
    sotto_fixed_run *run = NULL;
    int64_t *x = sotto_calloc(p->input_words, sizeof *x), logits[10];
    uint64_t wraps = 0;
    size_t right = 0;
    assert_non_null(x);
    assert_ok(sotto_evaluate_float(&part, &model, &set, count, 0));
    assert_ok(sotto_fixed_run_new(&run, p, &serving.weights));
    for (size_t i = 0; i < count; i++) {
        sotto_program_input(p, &model, x, set.images + i * p->input_words);
        sotto_fixed_infer(run, logits, x, NULL, &wraps);
        right += sotto_argmax_int(logits, 10) == set.labels[i];
    }
    const double fixed = (double)right / (double)count;
    print_message("float %.4f of 10000; of %zu: float %.4f, fixed %.4f, %llu values out of range\n", accuracy, count, part, fixed,
                  (unsigned long long)wraps);
    assert_true(fixed >= part - 0.003);
    sotto_fixed_run_free(run);
    sotto_free(x);
}

/* ---- private runs ---------------------------------------------------------------------------------------------------------- */

typedef struct party {
    uint64_t **share; /* per step, of each image in turn */
} party;

typedef struct pair {
    party client, server;
    sotto_fixed_run *exact, *plain;
    int64_t *x;
    size_t images, agree;
    uint64_t far;  /* units further from plain arithmetic on the same input than documented */
    uint64_t left; /* units whose input left the range of its sign, about which nothing is promised */
    sotto_sign_provider sign;
} pair;

static void party_new(party *p)
{
    const sotto_program *program = &serving.network.program;
    p->share = sotto_calloc(program->step_count, sizeof *p->share);
    assert_non_null(p->share);
    for (size_t i = 0; i < program->step_count; i++) {
        p->share[i] = sotto_calloc(program->steps[i].words, sizeof **p->share);
        assert_non_null(p->share[i]);
    }
}

static void party_free(party *p)
{
    for (size_t i = 0; i < serving.network.program.step_count; i++) {
        sotto_free(p->share[i]);
    }
    sotto_free(p->share);
}

static void keep(void *ctx, size_t step, const uint64_t *share, size_t words)
{
    memcpy(((party *)ctx)->share[step], share, words * sizeof *share);
}

static const uint64_t *client_share(void *ctx, size_t step)
{
    return ((pair *)ctx)->client.share[step];
}

static uint64_t joined(const pair *p, size_t step, size_t i)
{
    return sotto_low_bits(p->client.share[step][i] + p->server.share[step][i], serving.network.program.steps[step].l);
}

static int64_t centred(uint64_t x, unsigned l)
{
    return (int64_t)(x << (64 - l)) >> (64 - l);
}

/* Bit for bit at every value; and every ReLU within one unit of y / 2^f rounded, or, where |y| is below half a step of its sign, of 0, if y is in the range of its sign. */
static void compare(void *ctx, size_t step, const int64_t *value, size_t words)
{
    pair *p = ctx;
    const sotto_step_info *s = &serving.network.program.steps[step];
    for (size_t i = 0; i < words; i++) {
        if (joined(p, step, i) != sotto_low_bits((uint64_t)value[i], s->l)) {
            fail_msg("step %zu value %zu differs from the reference", step, i);
        }
        if (s->op == SOTTO_STEP_UNIT) {
            const int64_t y = centred(joined(p, s->in[0], i), s->truncation.l), half = INT64_C(1) << s->sign_window.j >> 1;
            int64_t low, high;
            sotto_sign_range(s->sign_window, s->lift == NULL ? 0 : s->lift[i], &low, &high);
            p->left += y < low || y > high;
            const int64_t relu = y > 0 ? (y + (1 << s->truncation.f >> 1)) >> s->truncation.f : 0;
            const int64_t away = llabs(value[i] - relu);
            const int near_zero = llabs(y) <= half;
            p->far += y >= low && y <= high && away > 1 && !(near_zero && llabs(value[i] * (INT64_C(1) << s->truncation.f)) <= half + (INT64_C(1) << s->truncation.f));
        }
    }
}

static int run_server(sotto_chan *chan, void *ctx)
{
    pair *p = ctx;
    const sotto_session_env env = {.chan = chan, .rng = sotto_rng_system(), .audit = {keep, &p->server}};
    return sotto_session_serve(&serving, &env, NULL);
}

static int run_client(sotto_chan *chan, void *ctx)
{
    pair *p = ctx;
    const sotto_program *program = &serving.network.program;
    const sotto_session_env env = {.chan = chan, .rng = sotto_rng_system(), .audit = {keep, &p->client}};
    const sotto_fixed_options hook = {.share = client_share, .seen = compare, .ctx = p};
    sotto_session *s = NULL;
    int64_t logits[10], exact[10], plain[10];
    int status = sotto_session_open(&s, &serving.network, &env, p->sign, SOTTO_OT_SOFTSPOKEN4);
    for (size_t i = 0; i < p->images && status == SOTTO_OK; i++) {
        sotto_program_input(program, &model, p->x, set.images + i * program->input_words);
        status = sotto_session_prepare(s);
        if (status == SOTTO_OK) {
            status = sotto_session_infer(s, logits, p->x);
        }
        if (status == SOTTO_OK) {
            /* The server has handed its last share over before the logits left it. */
            sotto_fixed_infer(p->exact, exact, p->x, &hook, NULL);
            sotto_fixed_infer(p->plain, plain, p->x, NULL, NULL);
            status = memcmp(exact, logits, sizeof exact) == 0 ? SOTTO_OK : SOTTO_ERR_MISMATCH;
            p->agree += sotto_argmax_int(logits, 10) == sotto_argmax_int(plain, 10);
        }
    }
    sotto_session_close(s);
    return status;
}

static void private_runs(sotto_sign_provider sign, size_t images)
{
    const sotto_program *program = &serving.network.program;
    pair p = {.sign = sign, .images = images};
    int status[2];
    party_new(&p.client);
    party_new(&p.server);
    p.x = sotto_calloc(program->input_words, sizeof *p.x);
    assert_non_null(p.x);
    assert_ok(sotto_fixed_run_new(&p.exact, program, &serving.weights));
    assert_ok(sotto_fixed_run_new(&p.plain, program, &serving.weights));
    test_two_party(run_server, &p, run_client, &p, status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    print_message("%zu private runs, bit-exact at every value; %zu predict as plain fixed point; %llu units beyond the documented error, %llu out of range\n", images,
                  p.agree, (unsigned long long)p.far, (unsigned long long)p.left);
    assert_int_equal(0, p.far);
    assert_true(p.left <= images / 10);
    assert_true(p.agree * 100 >= images * 99 || images < EXACT_IMAGES);
    sotto_fixed_run_free(p.exact);
    sotto_fixed_run_free(p.plain);
    sotto_free(p.x);
    party_free(&p.client);
    party_free(&p.server);
}

static void test_private_by_lookup(void **state)
{
    (void)state;
    need_data();
    private_runs(SOTTO_SIGN_LOOKUP, EXACT_IMAGES);
}

static void test_private_by_circuit(void **state)
{
    (void)state;
    need_data();
    private_runs(SOTTO_SIGN_CIRCUIT, 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accuracy),
        cmocka_unit_test(test_private_by_lookup),
        cmocka_unit_test(test_private_by_circuit),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
