/* Calibration: known answers on a network small enough for paper, what defines each field on larger ones, refusals, degenerate weights. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn/plain/fixed.h"
#include "nn/plain/float.h"
#include "tests/nn/fixture.h"

static void parse(sotto_model *m, const char *text)
{
    assert_ok(sotto_model_parse(m, text, strlen(text)));
    for (size_t i = 0; i < m->node_count; i++) {
        for (unsigned t = 0; t < 2; t++) {
            const size_t count = sotto_tensor_count(m, &m->nodes[i], t);
            if (count > 0) {
                m->nodes[i].tensor[t] = sotto_calloc(count, sizeof(float));
                assert_non_null(m->nodes[i].tensor[t]);
            }
        }
    }
}

static void assert_near(double got, double want)
{
    if (fabs(got - want) > 1e-6 * fabs(want)) {
        fail_msg("%.17g instead of %.17g", got, want);
    }
}

/* ---- on paper ----------------------------------------------------------------------------------------------------- */

static void count_calls(void *ctx, size_t done, size_t count)
{
    size_t *calls = ctx;
    assert_int_equal(++*calls, done);
    assert_int_equal(count, 2);
}

static void test_on_paper(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\ninput 1x1x2\ndense f1 input out=2\nrelu r1 f1\nidentity i1 f1\nadd a1 r1 i1\n";
    static const uint8_t images[4] = {255, 0, 51, 255}; /* (1, 0) and (0.2, 1) */
    static const float weights[4] = {1.27f, 0.5f, -1.0f, -0.5f};
    const sotto_calibration options = {.weight_bits = 8, .value_bits = 8, .input_bits = 9, .sign_bits = 7, .margin = 1.5};
    sotto_model m;
    size_t calls = 0;
    parse(&m, text);
    memcpy(m.nodes[1].tensor[0], weights, sizeof weights);
    assert_ok(sotto_calibrate(&m, &options, images, 2, count_calls, &calls));
    assert_int_equal(calls, 2);
    const sotto_node_plan *input = &m.nodes[0].plan, *f1 = &m.nodes[1].plan, *r1 = &m.nodes[2].plan, *i1 = &m.nodes[3].plan;
    assert_int_equal(input->bits, 9);
    assert_near(input->scale, 1.0 / 255);
    assert_int_equal(f1->weight_bits, 8);
    assert_near(f1->weight_scale, 1.27 / 127);
    /* f1 gives (1.27, -1) and (0.754, -0.7): in units of 0.01 / 255 at most 32385, times 1.5 below 2^16. r1 and i1 keep 1.27, to be below 256. */
    assert_int_equal(r1->k, 17);
    assert_int_equal(i1->k, 17);
    assert_int_equal(r1->f, 7);
    assert_int_equal(i1->f, 7);
    assert_int_equal(r1->u, 7);
    /* The sum, at most 2.54 in units of 1.28 / 255. */
    assert_int_equal(m.nodes[4].plan.k, 11);
    sotto_model_free(&m);
}

/* ---- what defines each field -------------------------------------------------------------------------------------- */

typedef struct seen {
    double low, high;
} seen;

static void observe(const sotto_model *m, seen *s, const uint8_t *images)
{
    const size_t words = sotto_shape_words(m->nodes[0].shape);
    sotto_float_run *run;
    float *x = sotto_calloc(words, sizeof *x);
    assert_non_null(x);
    assert_ok(sotto_float_run_new(&run, m));
    for (size_t i = 0; i < FIXTURE_IMAGES; i++) {
        sotto_normalise(m, x, images + i * words);
        assert_ok(sotto_float_infer(run, x));
        for (size_t n = 0; n < m->node_count; n++) {
            for (size_t j = 0; j < sotto_shape_words(m->nodes[n].shape); j++) {
                s[n].low = fmin(s[n].low, (double)sotto_float_value(run, n)[j]);
                s[n].high = fmax(s[n].high, (double)sotto_float_value(run, n)[j]);
            }
        }
    }
    sotto_float_run_free(run);
    sotto_free(x);
}

static double most(seen s)
{
    return fmax(-s.low, s.high);
}

static void assert_least_bits(unsigned k, double x)
{
    assert_true(x < ldexp(1.0, (int)k - 1));
    assert_true(k == 2 || x >= ldexp(1.0, (int)k - 2));
}

static void check_plan(const char *text, const sotto_calibration *o, const sotto_rng *rng)
{
    sotto_model m;
    sotto_program p;
    fixture_raw(&m, text, rng);
    assert_ok(sotto_model_deploy(&m));
    uint8_t *images = fixture_images(&m, FIXTURE_IMAGES, rng);
    seen *s = sotto_calloc(m.node_count, sizeof *s);
    assert_non_null(s);
    assert_ok(sotto_calibrate(&m, o, images, FIXTURE_IMAGES, NULL, NULL));
    assert_ok(sotto_program_new(&p, &m)); /* the scales of additions fit, among much else */
    observe(&m, s, images);
    for (size_t i = 0; i < m.node_count; i++) {
        const sotto_node *n = &m.nodes[i];
        const sotto_node_plan *plan = &n->plan;
        const double in = p.steps[p.step_of[n->input[0]]].scale;
        const seen before = s[n->input[0]];
        if (n->op == SOTTO_OP_INPUT) {
            assert_int_equal(plan->bits, o->input_bits);
            assert_near(plan->scale * (ldexp(1.0, (int)plan->bits - 1) - 1.0), most(s[i]));
        } else if (sotto_op_is_linear(n->op)) {
            double w = 0.0;
            for (size_t j = 0; j < sotto_tensor_count(&m, n, 0); j++) {
                w = fmax(w, fabs((double)n->tensor[0][j]));
            }
            const double least = w / (ldexp(1.0, (int)o->weight_bits - 1) - 1.0);
            assert_int_equal(plan->weight_bits, o->weight_bits);
            assert_true(plan->weight_scale >= least * (1.0 - 1e-9) && plan->weight_scale < 2.0 * least); /* enlarged for an addition */
        } else if (sotto_op_is_unit(n->op)) {
            const double out = (n->op == SOTTO_OP_RELU ? before.high : most(before)) / in, top = ldexp(1.0, (int)o->value_bits) - 1.0;
            assert_true(out <= ldexp(top + 1.0, (int)plan->f) - 1.0);
            assert_true(plan->f == 0 || out > ldexp(top + 1.0, (int)plan->f - 1) - 1.0);
            assert_least_bits(plan->k, o->margin * most(before) / in);
            assert_int_equal(plan->u, n->op == SOTTO_OP_IDENTITY ? 0 : plan->k < o->sign_bits ? plan->k : o->sign_bits);
        } else if (n->op == SOTTO_OP_MAXPOOL) {
            assert_least_bits(plan->k, o->margin * (before.high - before.low) / in);
            assert_int_equal(plan->u, plan->k < o->sign_bits + 1 ? plan->k : o->sign_bits + 1);
        }
        if (i + 1 == m.node_count) {
            assert_least_bits(plan->k, o->margin * most(s[i]) / p.steps[p.step_of[i]].scale);
        }
        assert_int_equal(plan->he_primes, 0);
    }
    sotto_free(s);
    sotto_free(images);
    sotto_program_free(&p);
    sotto_model_free(&m);
}

static void test_fields(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 1);
    sotto_calibration o = sotto_calibration_default();
    for (int trial = 0; trial < 20; trial++) {
        check_plan(fixture_plain, &o, &rng);
        check_plan(fixture_rich, &o, &rng);
        o = (sotto_calibration){.weight_bits = 4 + (unsigned)test_below(&rng, 8), .value_bits = 4 + (unsigned)test_below(&rng, 8),
                                .input_bits = 6 + (unsigned)test_below(&rng, 6), .sign_bits = 2 + (unsigned)test_below(&rng, 20),
                                .margin = 0.5 + (double)test_below(&rng, 100) / 50.0};
    }
}

/* Three residual blocks, one with a projection, chained: every addition fits. */
static void test_residual_chain(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\n"
                               "input 2x6x6\n"
                               "conv c0 input out=4 kernel=3 pad=1\nrelu r0 c0\n"
                               "conv c1 r0 out=4 kernel=3 pad=1\nrelu r1 c1\nconv d1 r1 out=4 kernel=3 pad=1\nadd a1 d1 r0\nrelu s1 a1\n"
                               "conv c2 s1 out=8 kernel=3 stride=2 pad=1\nrelu r2 c2\nconv d2 r2 out=8 kernel=3 pad=1\n"
                               "conv e2 s1 out=8 kernel=1 stride=2\nadd a2 d2 e2\nrelu s2 a2\n"
                               "conv c3 s2 out=8 kernel=3 pad=1\nrelu r3 c3\nconv d3 r3 out=8 kernel=3 pad=1\nadd a3 s2 d3\nrelu s3 a3\n"
                               "globalavg g s3\ndense f g out=4\n";
    const sotto_rng rng = test_rng(test_seed(), 2);
    const sotto_calibration o = sotto_calibration_default();
    check_plan(text, &o, &rng);
}

/* ---- edges -------------------------------------------------------------------------------------------------------- */

/* A layer without a weight above zero, and images without a pixel: scales stay positive and the plan compiles. */
static void test_zeros(void **state)
{
    (void)state;
    static const uint8_t images[4] = {0};
    const sotto_calibration o = sotto_calibration_default();
    sotto_model m;
    sotto_program p;
    parse(&m, "sotto-model 1\ninput 1x2x2\nconv c1 input out=2 kernel=1\nrelu r1 c1\ndense f1 r1 out=2\n");
    assert_ok(sotto_calibrate(&m, &o, images, 1, NULL, NULL));
    assert_true(m.nodes[0].plan.scale == 1.0);
    assert_true(m.nodes[1].plan.weight_scale == 1.0);
    assert_int_equal(m.nodes[2].plan.f, 0);
    assert_int_equal(m.nodes[2].plan.k, 2);
    assert_int_equal(m.nodes[2].plan.u, 2);
    assert_ok(sotto_program_new(&p, &m));
    sotto_program_free(&p);
    sotto_model_free(&m);
}

/* An output that is a maximum: k holds its differences, which reach further than its values. */
static void test_maximum_last(void **state)
{
    (void)state;
    static const uint8_t images[2] = {255, 255};
    const sotto_calibration o = sotto_calibration_default();
    sotto_model m;
    sotto_program p;
    parse(&m, "sotto-model 1\ninput 1x1x2\nconv c1 input out=2 kernel=1\nidentity i1 c1\nmaxpool m1 i1 kernel=1x2\n");
    m.nodes[1].tensor[0][0] = 1.0f;
    m.nodes[1].tensor[0][1] = -1.0f;
    assert_ok(sotto_calibrate(&m, &o, images, 1, NULL, NULL));
    assert_int_equal(m.nodes[3].plan.k, 11); /* 1 is 127 * 255 / 2^7 = 253 units: the values ask for 10 bits, 1.5 * 253 < 2^9, the differences for 11 */
    assert_true(m.nodes[3].plan.u <= m.nodes[3].plan.k);
    assert_ok(sotto_program_new(&p, &m));
    sotto_program_free(&p);
    sotto_model_free(&m);
}

/* Activations beyond float: calibration ends, and the program names the node. */
static void test_overflow(void **state)
{
    (void)state;
    static const uint8_t image[1] = {255};
    const sotto_calibration o = sotto_calibration_default();
    sotto_model m;
    sotto_program p;
    parse(&m, "sotto-model 1\ninput 1x1x1\ndense f1 input out=1\nrelu r1 f1\ndense f2 r1 out=1\nrelu r2 f2\ndense f3 r2 out=1\n");
    for (size_t i = 1; i < 6; i += 2) {
        m.nodes[i].tensor[0][0] = 1e30f;
    }
    assert_ok(sotto_calibrate(&m, &o, image, 1, NULL, NULL));
    assert_status(SOTTO_ERR_PARAMS, sotto_program_new(&p, &m));
    assert_non_null(strstr(sotto_error_message(), "node r2: k is out of range"));
    sotto_model_free(&m);
}

/* ---- refusals ----------------------------------------------------------------------------------------------------- */

static void test_refused(void **state)
{
    (void)state;
    static const uint8_t images[36] = {1, 2, 3};
    const sotto_calibration good = sotto_calibration_default();
    const sotto_rng rng = test_rng(test_seed(), 3);
    static const struct {
        size_t offset;
        unsigned low, high;
    } fields[] = {{offsetof(sotto_calibration, weight_bits), 1, 17},
                  {offsetof(sotto_calibration, value_bits), 1, 17},
                  {offsetof(sotto_calibration, input_bits), 1, 17},
                  {offsetof(sotto_calibration, sign_bits), 1, 50}};
    static const double margins[] = {0.0, -1.0, 1e6, NAN, INFINITY};
    sotto_model m;
    /* A mean over nine, added to what it is the mean of: one layer makes both scales, and 9 is no power of two. */
    static const char text[] = "sotto-model 1\ninput 1x6x6\nconv c1 input out=2 kernel=3 pad=1\nrelu r1 c1\n"
                               "avgpool v1 r1 kernel=3 stride=1 pad=1\nadd a1 r1 v1\n";
    assert_ok(sotto_model_parse(&m, text, strlen(text)));
    assert_status(SOTTO_ERR_ARG, sotto_calibrate(&m, &good, images, 1, NULL, NULL));
    assert_ok(sotto_model_init_weights(&m, &rng));
    assert_status(SOTTO_ERR_ARG, sotto_calibrate(&m, &good, images, 0, NULL, NULL));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        sotto_calibration o = good;
        memcpy((char *)&o + fields[i].offset, &fields[i].low, sizeof(unsigned));
        assert_status(SOTTO_ERR_ARG, sotto_calibrate(&m, &o, images, 1, NULL, NULL));
        memcpy((char *)&o + fields[i].offset, &fields[i].high, sizeof(unsigned));
        assert_status(SOTTO_ERR_ARG, sotto_calibrate(&m, &o, images, 1, NULL, NULL));
    }
    for (size_t i = 0; i < sizeof margins / sizeof *margins; i++) {
        sotto_calibration o = good;
        o.margin = margins[i];
        assert_status(SOTTO_ERR_ARG, sotto_calibrate(&m, &o, images, 1, NULL, NULL));
    }
    assert_status(SOTTO_ERR_UNSUPPORTED, sotto_calibrate(&m, &good, images, 1, NULL, NULL));
    assert_non_null(strstr(sotto_error_message(), "node a1"));
    for (size_t i = 0; i < m.node_count; i++) {
        assert_int_equal(m.nodes[i].plan.present, 0);
    }
    sotto_model_free(&m);
}

static void test_no_memory(void **state)
{
    (void)state;
    const sotto_calibration o = sotto_calibration_default();
    const sotto_rng rng = test_rng(test_seed(), 4);
    sotto_model m;
    fixture_raw(&m, fixture_rich, &rng);
    assert_ok(sotto_model_deploy(&m));
    uint8_t *images = fixture_images(&m, 1, &rng);
    long k = 0;
    for (int status = SOTTO_ERR_MEMORY; status != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        status = sotto_calibrate(&m, &o, images, 1, NULL, NULL);
        sotto_calloc_fail_after(-1);
        if (status != SOTTO_OK) {
            assert_int_equal(status, SOTTO_ERR_MEMORY);
            assert_int_equal(m.nodes[0].plan.present, 0);
        }
    }
    assert_true(k > 6); /* three arrays, an image, a run and its values */
    sotto_free(images);
    sotto_model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_paper),     cmocka_unit_test(test_fields),   cmocka_unit_test(test_residual_chain), cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_maximum_last), cmocka_unit_test(test_overflow), cmocka_unit_test(test_refused),        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
