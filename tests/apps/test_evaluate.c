/* Accuracy in fixed point, plain and with shares of a client: identities between the two, repeatability, and what signs of few bits cost. */
#include "apps/evaluate.h"
#include "nn/plain/fixed.h"
#include "nn/train/train.h"
#include "tests/nn/fixture.h"

#define IMAGES 96u

typedef struct task {
    sotto_model m;
    sotto_dataset set;
} task;

/* Labels are what plain fixed point predicts, so that the accuracy with shares is the agreement. */
static void task_new(task *t, const char *text, unsigned sign_bits, const sotto_rng *rng)
{
    sotto_program p;
    sotto_program_weights w;
    sotto_fixed_run *run;
    int64_t logits[16];
    fixture_model(&t->m, text, sign_bits, rng);
    t->set = (sotto_dataset){.shape = t->m.nodes[0].shape, .count = IMAGES, .images = fixture_images(&t->m, IMAGES, rng),
                             .labels = sotto_calloc(IMAGES, sizeof *t->set.labels), .classes = 1};
    assert_non_null(t->set.labels);
    assert_ok(sotto_program_new(&p, &t->m));
    assert_ok(sotto_program_weights_new(&w, &p, &t->m));
    assert_ok(sotto_fixed_run_new(&run, &p, &w));
    int64_t *x = sotto_calloc(p.input_words, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < IMAGES; i++) {
        sotto_program_input(&p, &t->m, x, t->set.images + i * p.input_words);
        sotto_fixed_infer(run, logits, x, NULL, NULL);
        t->set.labels[i] = (uint16_t)sotto_argmax_int(logits, p.output_words);
    }
    sotto_free(x);
    sotto_fixed_run_free(run);
    sotto_program_weights_free(&w);
    sotto_program_free(&p);
}

static void task_free(task *t)
{
    sotto_model_free(&t->m);
    sotto_free(t->set.images);
    sotto_free(t->set.labels);
}

static void test_identities(void **state)
{
    (void)state;
    static const char *const texts[] = {fixture_plain, fixture_rich, fixture_mixed};
    const sotto_rng rng = test_rng(test_seed(), 0);
    for (size_t i = 0; i < 3; i++) {
        task t;
        fixed_result fixed;
        shares_result one, three, part;
        task_new(&t, texts[i], 8, &rng);
        assert_ok(evaluate_fixed(&fixed, &t.m, &t.set, 0, 2));
        assert_ok(evaluate_shares(&one, &t.m, &t.set, 0, 5, 1));
        assert_ok(evaluate_shares(&three, &t.m, &t.set, 2 * IMAGES, 5, 3));
        assert_ok(evaluate_shares(&part, &t.m, &t.set, 7, 5, 2));
        assert_true(fixed.accuracy == 1.0 && one.plain.accuracy == 1.0 && one.plain.wraps == fixed.wraps);
        assert_true(one.plain.images == IMAGES && three.plain.images == IMAGES && part.plain.images == 7);
        assert_true(one.accuracy == one.agreement);
        assert_true(one.agreement == three.agreement);
        assert_true(one.agreement > 0.6 && one.agreement <= 1.0);
        task_free(&t);
    }
}

/* Signs of two bits err on most values near zero; other shares err elsewhere. */
static void test_few_bits(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 1);
    task t;
    shares_result r[8];
    int differ = 0, err = 0;
    task_new(&t, fixture_plain, 2, &rng);
    for (size_t i = 0; i < 8; i++) {
        assert_ok(evaluate_shares(&r[i], &t.m, &t.set, 0, i, 2));
        err += r[i].agreement < 1.0; /* a network may happen to be sure of all images once */
        differ |= r[i].agreement != r[0].agreement;
    }
    assert_true(differ && err > 0);
    task_free(&t);
}

/* In pieces for the sake of progress: as in one. */
static void test_float(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 3);
    task t;
    task_new(&t, fixture_plain, 8, &rng);
    enum { COPIES = 45 };
    const size_t words = sotto_shape_words(t.set.shape);
    sotto_dataset many = {.shape = t.set.shape, .count = COPIES * IMAGES + 5, .images = fixture_images(&t.m, COPIES * IMAGES + 5, &rng), .classes = 5};
    many.labels = sotto_calloc(many.count, sizeof *many.labels);
    assert_non_null(many.labels);
    for (size_t i = 0; i < many.count; i++) {
        memcpy(many.images + i * words, t.set.images + i % IMAGES * words, words);
        many.labels[i] = (uint16_t)(i % 5);
    }
    const size_t counts[] = {0, 1, 2047, 2048, 2049, many.count};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        double whole = -1.0, pieces = -2.0;
        assert_ok(sotto_evaluate_float(&whole, &t.m, &many, counts[i], 2));
        assert_ok(evaluate_float(&pieces, &t.m, &many, counts[i], 2));
        assert_true(whole == pieces);
    }
    sotto_free(many.images);
    sotto_free(many.labels);
    task_free(&t);
}

static void test_refused(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 2);
    task t;
    shares_result r;
    task_new(&t, fixture_plain, 8, &rng);
    t.set.shape.h++;
    assert_status(SOTTO_ERR_MISMATCH, evaluate_shares(&r, &t.m, &t.set, 0, 1, 1));
    t.set.shape.h--;
    t.set.classes = 6;
    assert_status(SOTTO_ERR_MISMATCH, evaluate_shares(&r, &t.m, &t.set, 0, 1, 1));
    t.set.classes = 1;
    int status = SOTTO_ERR_MEMORY;
    for (long k = 0; status != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        status = evaluate_shares(&r, &t.m, &t.set, 1, 1, 1);
        sotto_calloc_fail_after(-1);
        assert_true(status == SOTTO_OK || status == SOTTO_ERR_MEMORY);
    }
    task_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identities),
        cmocka_unit_test(test_few_bits),
        cmocka_unit_test(test_float),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
