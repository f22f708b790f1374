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
    size_t *most = ctx;
    assert_true(done > *most && done <= count);
    *most = done;
    assert_int_equal(count, 2);
}

static void test_on_paper(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\ninput 1x1x2\ndense f1 input out=2\nrelu r1 f1\nidentity i1 f1\nadd a1 r1 i1\n";
    static const uint8_t images[4] = {255, 0, 51, 255}; /* (1, 0) and (0.2, 1) */
    static const float weights[4] = {1.27f, 0.5f, -1.0f, -0.5f};
    const sotto_calibration options = {.weight_bits = 8, .value_bits = 8, .input_bits = 9, .sign_bits = 7, .sign_noise = 1.0, .margin = 1.5, .share = 1.0, .threads = 1};
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
    /* f1 gives (1.27, -1) and (0.754, -0.7): in units of 0.01 / 255 at most 32385, times 1.5 below 2^16. r1 and i1 keep 1.27, to be below 256. All of f1 to a1
     * have one fraction of log2: that of f1 costs the values 2^0.011 of their range, that of the values would cost the weights 2^0.989. */
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

/* Of the channels of one node. */
static seen *observe_channels(const sotto_model *m, size_t node, const uint8_t *images)
{
    const size_t words = sotto_shape_words(m->nodes[0].shape), area = (size_t)m->nodes[node].shape.h * m->nodes[node].shape.w;
    seen *s = sotto_calloc(m->nodes[node].shape.c, sizeof *s);
    sotto_float_run *run;
    float *x = sotto_calloc(words, sizeof *x);
    assert_true(s != NULL && x != NULL);
    assert_ok(sotto_float_run_new(&run, m));
    for (size_t i = 0; i < FIXTURE_IMAGES; i++) {
        sotto_normalise(m, x, images + i * words);
        assert_ok(sotto_float_infer(run, x));
        for (size_t j = 0; j < area * m->nodes[node].shape.c; j++) {
            s[j / area].low = fmin(s[j / area].low, (double)sotto_float_value(run, node)[j]);
            s[j / area].high = fmax(s[j / area].high, (double)sotto_float_value(run, node)[j]);
        }
    }
    sotto_float_run_free(run);
    sotto_free(x);
    return s;
}

static double most(seen s)
{
    return fmax(-s.low, s.high);
}

/* x is a number of steps of 2^f from `least` on, fewer than twice as many. */
static void assert_enlarged(double scale, double least)
{
    assert_true(scale >= least * (1.0 - 1e-9) && scale < 2.0 * least);
}

/* As asked for, one more of a maximum; or what tables decide. */
static void check_sign_bits(const sotto_node *n, const sotto_calibration *o)
{
    const sotto_node_plan *plan = &n->plan;
    const unsigned asked = o->sign_bits + (n->op == SOTTO_OP_MAXPOOL), least = plan->k < 5 ? plan->k : 5;
    if (n->op == SOTTO_OP_IDENTITY || o->sign_bits > 0) {
        assert_int_equal(plan->u, n->op == SOTTO_OP_IDENTITY ? 0 : plan->k < asked ? plan->k : asked);
    } else {
        assert_true(plan->u >= least && plan->u <= 9 && plan->u <= plan->k);
    }
}

/* A window holds margin times what was seen of its channel, half a step at its ends, and is no wider than that, the floor of a few steps of the result, or six bits below k. What no image
 * reaches may be left out, and then even less is there. */
static void check_channel_windows(const sotto_model *m, const sotto_calibration *o, const sotto_program *p, size_t at, const seen *channel)
{
    const sotto_node *n = &m->nodes[at];
    const double in = p->steps[p->step_of[n->input[0]]].scale;
    for (uint32_t c = 0; n->windows != NULL && c < n->shape.c; c++) {
        const unsigned w = n->windows[c], k = n->plan.k, floor = n->plan.f + 3 > k - (k < 8 ? k - 2 : 6) ? n->plan.f + 3 : k - (k < 8 ? k - 2 : 6);
        const double bound = n->op == SOTTO_OP_CLIP ? (double)n->tensor[0][c] : 0.0;
        const double reach = n->op == SOTTO_OP_MAXPOOL ? channel[c].high - channel[c].low : fmax(most(channel[c]), bound - channel[c].low);
        assert_true(w >= 2 && w <= k);
        assert_true(w <= floor || ldexp(1.0, (int)w - 2) <= fmax(o->margin * reach, 2.0 * bound) / in * (1.0 + 1e-6));
    }
}

/* m as it is after calibration: equalised, planned. */
static void check_fields(const sotto_model *m, const sotto_calibration *o, const uint8_t *images)
{
    sotto_program p;
    seen *s = sotto_calloc(m->node_count, sizeof *s);
    assert_non_null(s);
    assert_ok(sotto_program_new(&p, m)); /* the scales of additions fit, among much else */
    observe(m, s, images);
    for (size_t i = 0; i < m->node_count; i++) {
        if (m->nodes[i].windows != NULL) {
            const sotto_node *from = &m->nodes[m->nodes[i].input[0]];
            seen *channel = observe_channels(m, m->nodes[i].input[0], images), *undecided = observe_channels(m, from->input[0], images);
            for (uint32_t c = 0; from->op == SOTTO_OP_ACT && c < from->shape.c; c++) {
                channel[c] = from->units[c].block_h > 1 || from->units[c].block_w > 1 ? undecided[c] : channel[c];
            }
            check_channel_windows(m, o, &p, i, channel);
            sotto_free(channel);
            sotto_free(undecided);
        }
    }
    for (size_t i = 0; i < m->node_count; i++) {
        const sotto_node *n = &m->nodes[i];
        const sotto_node_plan *plan = &n->plan;
        const double in = p.steps[p.step_of[n->input[0]]].scale;
        const seen before = s[n->input[0]];
        if (n->op == SOTTO_OP_INPUT) {
            assert_int_equal(plan->bits, o->input_bits);
            assert_enlarged(plan->scale, most(s[i]) / (ldexp(1.0, (int)plan->bits - 1) - 1.0));
        } else if (sotto_op_is_linear(n->op)) {
            double w = 0.0;
            for (size_t j = 0; j < sotto_tensor_count(m, n, 0); j++) {
                w = fmax(w, fabs((double)n->tensor[0][j]));
            }
            assert_int_equal(plan->weight_bits, o->weight_bits);
            assert_enlarged(plan->weight_scale, w / (ldexp(1.0, (int)o->weight_bits - 1) - 1.0));
        } else if (sotto_op_is_unit(n->op)) {
            assert_true(plan->f == 0 || most(s[i]) <= ldexp(in, (int)plan->f) * (ldexp(1.0, (int)o->value_bits) - 1.0) * (1.0 + 1e-5));
            double bound = 0.0; /* a clip reads y - T, too, and T has to fit whatever the margin */
            for (uint32_t c = 0; n->op == SOTTO_OP_CLIP && c < n->shape.c; c++) {
                bound = fmax(bound, (double)n->tensor[0][c]);
            }
            assert_true(plan->k <= 2 || plan->k == plan->f + 2 || ldexp(1.0, (int)plan->k - 2) <= fmax(o->margin * fmax(most(before), bound - before.low), 2.0 * bound) / in);
            check_sign_bits(n, o);
        } else if (n->op == SOTTO_OP_MAXPOOL) {
            const seen from = m->nodes[n->input[0]].op == SOTTO_OP_ACT ? s[m->nodes[n->input[0]].input[0]] : before; /* patches: as they may be decided */
            assert_true(plan->k <= 2 || ldexp(1.0, (int)plan->k - 2) <= o->margin * (from.high - from.low) / in);
            check_sign_bits(n, o);
        }
        if (i + 1 == m->node_count) {
            assert_true(plan->k <= 2 || ldexp(1.0, (int)plan->k - 2) <= o->margin * most(s[i]) / p.steps[p.step_of[i]].scale);
        }
        assert_int_equal(plan->he_primes, 0);
    }
    sotto_free(s);
    sotto_program_free(&p);
}

/* With a margin, no image that was seen wraps. */
static void check_widths(const sotto_model *m, const uint8_t *images)
{
    sotto_program p;
    sotto_program_weights w;
    sotto_fixed_run *run;
    uint64_t wraps = 0;
    int64_t x[1024], logits[64];
    assert_ok(sotto_program_new(&p, m));
    assert_ok(sotto_program_weights_new(&w, &p, m));
    assert_ok(sotto_fixed_run_new(&run, &p, &w));
    assert_true(p.input_words <= 1024 && p.output_words <= 64);
    for (size_t i = 0; i < FIXTURE_IMAGES; i++) {
        sotto_program_input(&p, m, x, images + i * p.input_words);
        sotto_fixed_infer(run, logits, x, NULL, &wraps);
    }
    assert_int_equal(wraps, 0);
    sotto_fixed_run_free(run);
    sotto_program_weights_free(&w);
    sotto_program_free(&p);
}

static void check_plan(const char *text, const sotto_calibration *o, const sotto_rng *rng)
{
    sotto_model m;
    fixture_raw(&m, text, rng);
    assert_ok(sotto_model_deploy(&m));
    uint8_t *images = fixture_images(&m, FIXTURE_IMAGES, rng);
    assert_ok(sotto_calibrate(&m, o, images, FIXTURE_IMAGES, NULL, NULL));
    check_fields(&m, o, images);
    if (o->margin >= 1.5 && o->value_bits >= 8 && o->weight_bits >= 8 && o->input_bits >= 9) {
        check_widths(&m, images);
    }
    sotto_free(images);
    sotto_model_free(&m);
}

static void test_fields(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 1);
    sotto_calibration o = sotto_calibration_default();
    o.threads = 1;
    for (int trial = 0; trial < 20; trial++) {
        check_plan(fixture_plain, &o, &rng);
        check_plan(fixture_rich, &o, &rng);
        check_plan(fixture_mixed, &o, &rng);
        o = (sotto_calibration){.weight_bits = 4 + (unsigned)test_below(&rng, 8), .value_bits = 4 + (unsigned)test_below(&rng, 8),
                                .input_bits = 6 + (unsigned)test_below(&rng, 6), .sign_bits = test_below(&rng, 4) == 0 ? 0 : 2 + (unsigned)test_below(&rng, 20), .sign_noise = 1.0,
                                .margin = 0.5 + (double)test_below(&rng, 100) / 50.0, .share = 1.0, .equalise = trial & 1, .threads = 1};
    }
}

/* Residual blocks, one with a projection, one with a strided copy padded by channels, one that adds what a pool makes, all chained: every addition fits. */
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
                               "conv c4 s3 out=12 kernel=3 stride=2 pad=1\nrelu r4 c4\nconv d4 r4 out=12 kernel=3 pad=1\n"
                               "avgpool v4 s3 kernel=1 stride=2\npad p4 v4 pad=0,0,0,0 channels=2,2\nadd a4 d4 p4\nrelu s4 a4\n"
                               "conv c5 s4 out=12 kernel=3 pad=1\nconv d5 s4 out=12 kernel=1\navgpool v5 d5 kernel=3 stride=1 pad=1\nadd a5 c5 v5\nrelu s5 a5\n"
                               "globalavg g s5\ndense f g out=4\n";
    const sotto_rng rng = test_rng(test_seed(), 2);
    sotto_calibration o = sotto_calibration_default();
    o.threads = 1;
    for (o.equalise = 0; o.equalise < 2; o.equalise++) {
        check_plan(text, &o, &rng);
    }
}

/* Values that a concatenation joins get one scale: nothing is shifted, and the ring of what follows is no wider than it must be; but where weights happen to leave a branch fewer bits than
 * its unit would keep. */
static void test_concatenation(void **state)
{
    (void)state;
    unsigned shifted = 0;
    static const char text[] = "sotto-model 1\ninput 2x6x6\nconv c1 input out=4 kernel=1\nrelu r1 c1\nconv a1 r1 out=4 kernel=1\nrelu b1 a1\n"
                               "conv a2 r1 out=6 kernel=3 pad=1\nrelu b2 a2\nconcat k b1 b2\nconv c2 k out=3 kernel=1\nglobalavg g c2\n";
    const sotto_rng rng = test_rng(test_seed(), 5);
    for (int trial = 0; trial < 10; trial++) {
        sotto_calibration o = sotto_calibration_default();
        sotto_model m;
        sotto_program p;
        o.threads = 1;
        o.equalise = trial & 1;
        fixture_raw(&m, text, &rng);
        assert_ok(sotto_model_deploy(&m));
        uint8_t *images = fixture_images(&m, FIXTURE_IMAGES, &rng);
        assert_ok(sotto_calibrate(&m, &o, images, FIXTURE_IMAGES, NULL, NULL));
        assert_ok(sotto_program_new(&p, &m));
        const sotto_step_info *s = &p.steps[p.step_of[sotto_model_find(&m, "k")]];
        assert_int_equal(s->op, SOTTO_STEP_CONCAT);
        shifted += s->shift[0] + s->shift[1] > 0;
        sotto_program_free(&p);
        sotto_free(images);
        sotto_model_free(&m);
    }
    assert_true(shifted <= 3); /* of ten; one in a hundred is usual */
}

/* A clip of bound T in every channel: T becomes as many steps as value_bits allow. */
static void test_clip(void **state)
{
    (void)state;
    static const uint8_t images[4] = {255, 0, 51, 255};
    sotto_calibration o = sotto_calibration_default();
    sotto_model m;
    sotto_program p;
    sotto_program_weights w;
    o.threads = 1;
    o.value_bits = 8;
    parse(&m, "sotto-model 1\ninput 1x1x2\ndense f1 input out=2\nclip l1 f1\ndense f2 l1 out=1\n");
    m.nodes[1].tensor[0][0] = 1.0f;
    m.nodes[1].tensor[0][3] = -1.0f;
    m.nodes[2].tensor[0][0] = m.nodes[2].tensor[0][1] = 0.5f;
    m.nodes[3].tensor[0][0] = 1.0f;
    assert_ok(sotto_calibrate(&m, &o, images, 2, NULL, NULL));
    assert_ok(sotto_program_new(&p, &m));
    assert_ok(sotto_program_weights_new(&w, &p, &m));
    const int64_t steps = w.bound[2][0] >> p.steps[2].truncation.f;
    assert_true(steps > 127 && steps <= 255);
    assert_true(w.bound[2][0] < INT64_C(1) << (p.steps[2].k - 1));
    sotto_program_weights_free(&w);
    sotto_program_free(&p);
    sotto_model_free(&m);
}

/* Three channels: a loud one, one a 16th as loud, one that is nearly silent in the images but not in others; and three that are alike. Windows hold the margin times what was seen, but never less than a few
 * steps of the result; what cannot be reached is left out. */
static void test_windows(void **state)
{
    (void)state;
    static const uint8_t images[4] = {255, 1, 200, 0};
    static const float weights[6] = {1, 0, 0.0625f, 1, 0, 1}, alike[6] = {1, 0, 1, 0, 1, 0};
    for (unsigned ask = 0; ask < 2; ask++) {
        for (int same = 0; same < 2; same++) {
            sotto_calibration o = sotto_calibration_default();
            sotto_model m;
            sotto_program p;
            o.threads = 1;
            o.equalise = 0;
            o.sign_bits = ask == 0 ? 0 : 6;
            parse(&m, "sotto-model 1\ninput 2x1x1\nconv c1 input out=3 kernel=1\nrelu r1 c1\ndense f1 r1 out=1\n");
            memcpy(m.nodes[1].tensor[0], same ? alike : weights, sizeof weights);
            m.nodes[3].tensor[0][0] = 1.0f;
            assert_ok(sotto_calibrate(&m, &o, images, 2, NULL, NULL));
            assert_ok(sotto_program_new(&p, &m));
            const sotto_node *r1 = &m.nodes[2];
            if (same) {
                assert_null(r1->windows);
                assert_null(p.steps[2].lift);
            } else {
                const double in = p.steps[1].scale, seen_most[3] = {1.0, 0.0625 + 1.0 / 255, 1.0 / 255};
                assert_int_equal(r1->windows[0], r1->plan.k);
                for (unsigned c = 0; c < 3; c++) {
                    unsigned want = 2;
                    while (!(ldexp(1.0, (int)want - 1) > o.margin * seen_most[c] / in)) {
                        want++;
                    }
                    want = want < r1->plan.f + 3 ? r1->plan.f + 3 : want;
                    want = want < r1->plan.k - 6 ? r1->plan.k - 6 : want;
                    assert_int_equal(r1->windows[c], want);
                    assert_int_equal(p.steps[2].lift[c], r1->plan.k - want);
                }
                assert_true(r1->windows[1] < r1->plan.k && r1->windows[2] < r1->windows[1]);
                assert_int_equal(r1->windows[2], r1->plan.f + 3 > r1->plan.k - 6 ? r1->plan.f + 3 : r1->plan.k - 6);
            }
            sotto_program_free(&p);
            sotto_model_free(&m);
        }
    }
}

/* A relu of a flattened image has no windows: its channels are not those of its step. One of what a dense node makes has. */
static void test_windows_of_flattened(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\ninput 2x6x6\nconv c1 input out=4 kernel=3\nflatten x1 c1\nrelu r1 x1\nidentity i1 r1\nrelu r2 i1\ndense f1 r2 out=9\nrelu r3 f1\n"
                               "dense f2 r3 out=2\n";
    const sotto_rng rng = test_rng(test_seed(), 9);
    sotto_calibration o = sotto_calibration_default();
    sotto_model m;
    sotto_program p;
    o.threads = 1;
    o.equalise = 0;
    fixture_raw(&m, text, &rng);
    for (size_t i = 0; i < 18; i++) {
        m.nodes[sotto_model_find(&m, "c1")].tensor[0][i] *= 20.0f; /* a loud channel */
    }
    for (size_t i = 0; i < 64; i++) {
        m.nodes[sotto_model_find(&m, "f1")].tensor[0][i] *= 200.0f;
    }
    uint8_t *images = fixture_images(&m, FIXTURE_IMAGES, &rng);
    assert_ok(sotto_calibrate(&m, &o, images, FIXTURE_IMAGES, NULL, NULL));
    assert_ok(sotto_program_new(&p, &m));
    assert_null(m.nodes[sotto_model_find(&m, "r1")].windows);
    assert_null(m.nodes[sotto_model_find(&m, "r2")].windows);
    assert_non_null(m.nodes[sotto_model_find(&m, "r3")].windows);
    check_fields(&m, &o, images);
    sotto_program_free(&p);
    sotto_free(images);
    sotto_model_free(&m);
}

/* Polynomials: integers near the float values, for squares, cubics and what stands beside them. */
static void test_polynomials(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\ninput 2x6x6\nconv c1 input out=6 kernel=3\nact a1 c1\nconv c2 a1 out=4 kernel=2\nact a2 c2\ndense f1 a2 out=3\n"
                               "units a1 0 square*3,identity,zero,square\nunits a2 0 cubic*2,square*2\n";
    const uint64_t seed = test_seed();
    for (uint64_t trial = 0; trial < 6; trial++) {
        const sotto_rng rng = test_rng(seed, trial + 100);
        sotto_calibration o = sotto_calibration_default();
        sotto_model m;
        sotto_program p;
        sotto_program_weights w;
        sotto_fixed_run *run;
        sotto_float_run *reference;
        float image[72];
        int64_t x[72], logits[3];
        uint64_t wraps = 0;
        double most = 0.0, error = 0.0;
        o.threads = 1;
        o.weight_bits = o.value_bits = 10;
        o.equalise = trial & 1;
        fixture_raw(&m, text, &rng);
        assert_ok(sotto_model_deploy(&m));
        uint8_t *images = fixture_images(&m, FIXTURE_IMAGES, &rng);
        assert_ok(sotto_calibrate(&m, &o, images, FIXTURE_IMAGES, NULL, NULL));
        assert_ok(sotto_program_new(&p, &m));
        assert_ok(sotto_program_weights_new(&w, &p, &m));
        assert_ok(sotto_fixed_run_new(&run, &p, &w));
        assert_ok(sotto_float_run_new(&reference, &m));
        for (size_t i = 0; i < FIXTURE_IMAGES; i++) {
            sotto_normalise(&m, image, images + i * p.input_words);
            assert_ok(sotto_float_infer(reference, image));
            sotto_program_input(&p, &m, x, images + i * p.input_words);
            sotto_fixed_infer(run, logits, x, NULL, &wraps);
            for (size_t j = 0; j < 3; j++) {
                const double want = (double)sotto_float_value(reference, m.node_count - 1)[j];
                most = fmax(most, fabs(want));
                error = fmax(error, fabs(want - (double)logits[j] * p.steps[p.step_count - 1].scale));
            }
        }
        assert_int_equal(wraps, 0);
        if (error > 0.04 * most) {
            fail_msg("trial %u: logits up to %g are off by %g", (unsigned)trial, most, error);
        }
        sotto_float_run_free(reference);
        sotto_fixed_run_free(run);
        sotto_program_weights_free(&w);
        sotto_program_free(&p);
        sotto_free(images);
        sotto_model_free(&m);
    }
}

/* x, x^2 and x^4 with some weights between; images 0 to 11 with x up to 1, image 12 with 4, image 13 with 32, which diverges. */
#define STRAY     12
#define DIVERGING 13

static uint8_t *squares(sotto_model *m, const sotto_rng *rng)
{
    static const char text[] = "sotto-model 1\ninput 1x4x4 mean=0 std=0.03137255\nconv c1 input out=3 kernel=3\nact a1 c1\nconv c2 a1 out=4 kernel=2\nact a2 c2\n"
                               "dense f1 a2 out=3\nunits a1 0 square*3\nunits a2 0 square*4\n";
    fixture_raw(m, text, rng);
    for (size_t i = 0; i < m->node_count; i++) {
        for (size_t c = 0; m->nodes[i].op == SOTTO_OP_ACT && c < m->nodes[i].shape.c; c++) {
            float *t = m->nodes[i].tensor[0] + c * SOTTO_POLY_TERMS;
            t[0] = t[1] = t[3] = 0.0f;
        }
        for (size_t c = 0; sotto_op_is_linear(m->nodes[i].op) && c < m->nodes[i].out; c++) {
            m->nodes[i].tensor[1][c] = 0.0f;
        }
    }
    assert_ok(sotto_model_deploy(m));
    uint8_t *images = fixture_images(m, DIVERGING + 1, rng), pattern[16];
    memcpy(pattern, images, sizeof pattern);
    for (size_t i = 0; i <= DIVERGING; i++) {
        for (size_t k = 0; k < 16; k++) {
            const unsigned pixel = 4u + pattern[k] % 4u + images[16 * i + k] % 2u;
            images[16 * i + k] = (uint8_t)(i == STRAY ? 4 * pixel : i == DIVERGING ? 32 * pixel - 1 : pixel);
        }
    }
    return images;
}

/* Widths hold an image that strays, scales do not heed it; one that diverges changes nothing. */
static void test_strays(void **state)
{
    (void)state;
    for (uint64_t trial = 0; trial < 4; trial++) {
        const sotto_rng rng = test_rng(test_seed(), trial + 200);
        sotto_calibration o = sotto_calibration_default();
        sotto_model m, all;
        sotto_program p;
        sotto_program_weights w;
        sotto_fixed_run *run;
        sotto_float_run *reference;
        uint64_t wraps = 0;
        double most[2] = {0.0, 0.0}, error[2] = {0.0, 0.0}; /* of typical images, of the stray */
        float image[16];
        int64_t x[16], logits[3];
        o.threads = 1;
        o.weight_bits = o.value_bits = 10;
        o.equalise = trial & 1;
        uint8_t *images = squares(&m, &rng);
        assert_ok(sotto_model_copy(&all, &m));
        assert_ok(sotto_calibrate(&m, &o, images, STRAY + 1, NULL, NULL));
        assert_ok(sotto_calibrate(&all, &o, images, DIVERGING + 1, NULL, NULL));
        for (size_t i = 0; i < m.node_count; i++) {
            assert_memory_equal(&m.nodes[i].plan, &all.nodes[i].plan, sizeof m.nodes[i].plan);
        }
        assert_ok(sotto_program_new(&p, &m));
        assert_ok(sotto_program_weights_new(&w, &p, &m));
        assert_ok(sotto_fixed_run_new(&run, &p, &w));
        assert_ok(sotto_float_run_new(&reference, &m));
        for (size_t i = 0; i <= STRAY; i++) {
            sotto_normalise(&m, image, images + 16 * i);
            assert_ok(sotto_float_infer(reference, image));
            sotto_program_input(&p, &m, x, images + 16 * i);
            sotto_fixed_infer(run, logits, x, NULL, &wraps);
            const float *want = sotto_float_value(reference, m.node_count - 1);
            for (size_t j = 0; j < 3; j++) {
                most[i == STRAY] = fmax(most[i == STRAY], fabs((double)want[j]));
                error[i == STRAY] = fmax(error[i == STRAY], fabs((double)want[j] - (double)logits[j] * p.steps[p.step_count - 1].scale));
            }
        }
        for (size_t i = 0; i < 2; i++) {
            if (error[i] > 0.2 * most[i]) {
                fail_msg("trial %u: logits up to %g are off by %g", (unsigned)trial, most[i], error[i]);
            }
        }
        assert_int_equal(wraps, 0);
        sotto_float_run_free(reference);
        sotto_fixed_run_free(run);
        sotto_program_weights_free(&w);
        sotto_program_free(&p);
        sotto_model_free(&all);
        sotto_model_free(&m);
        sotto_free(images);
    }
}

/* Where a polynomial of the bits that are asked for fits no ring, x has fewer. */
static void test_widest_polynomials(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 210);
    sotto_calibration o = sotto_calibration_default();
    sotto_model m;
    sotto_program p;
    o.threads = 1;
    o.weight_bits = o.value_bits = o.input_bits = 16;
    uint8_t *images = squares(&m, &rng);
    assert_ok(sotto_calibrate(&m, &o, images, STRAY + 1, NULL, NULL));
    assert_ok(sotto_program_new(&p, &m));
    for (size_t i = 0; i < p.step_count; i++) {
        assert_true(p.steps[i].op != SOTTO_STEP_POLY || (p.steps[i].l > 40 && p.steps[i].l <= 59));
    }
    sotto_program_free(&p);
    sotto_free(images);
    sotto_model_free(&m);
}

/* Without equalisation the weights stay; a range that leaves out a tail makes finer steps, but where weights have the last word. */
static void test_options(void **state)
{
    (void)state;
    const sotto_range_method methods[] = {SOTTO_RANGE_MAX, SOTTO_RANGE_MSE, SOTTO_RANGE_PERCENTILE};
    unsigned finer = 0;
    for (uint64_t trial = 0; trial < 5; trial++) {
        const sotto_rng rng = test_rng(test_seed(), 300 + trial);
        sotto_calibration o = sotto_calibration_default();
        sotto_model m, copy;
        double scale[3];
        o.threads = 1;
        o.equalise = 0;
        o.share = 0.9;
        o.value_bits = 4;
        fixture_raw(&m, fixture_plain, &rng);
        assert_ok(sotto_model_deploy(&m));
        assert_ok(sotto_model_copy(&copy, &m));
        uint8_t *images = fixture_images(&m, FIXTURE_IMAGES, &rng);
        for (size_t i = 0; i < 3; i++) {
            sotto_program p;
            o.method = methods[i];
            assert_ok(sotto_calibrate(&m, &o, images, FIXTURE_IMAGES, NULL, NULL));
            assert_ok(sotto_program_new(&p, &m));
            scale[i] = p.steps[p.step_of[sotto_model_find(&m, "r2")]].scale;
            sotto_program_free(&p);
            for (size_t n = 0; n < m.node_count; n++) {
                if (m.nodes[n].tensor[0] != NULL) {
                    assert_memory_equal(m.nodes[n].tensor[0], copy.nodes[n].tensor[0], sotto_tensor_count(&m, &m.nodes[n], 0) * sizeof(float));
                }
            }
        }
        finer += scale[2] < scale[0];
        assert_true(scale[1] <= scale[0] * 1.5);
        assert_true(scale[2] <= scale[0] * 1.5);
        sotto_free(images);
        sotto_model_free(&copy);
        sotto_model_free(&m);
    }
    assert_true(finer >= 2);
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
    sotto_calibration o = sotto_calibration_default();
    sotto_model m;
    sotto_program p;
    o.value_bits = 8;
    o.sign_bits = 7;
    parse(&m, "sotto-model 1\ninput 1x1x2\nconv c1 input out=2 kernel=1\nidentity i1 c1\nmaxpool m1 i1 kernel=1x2\n");
    m.nodes[1].tensor[0][0] = 1.0f;
    m.nodes[1].tensor[0][1] = -1.0f;
    assert_ok(sotto_calibrate(&m, &o, images, 1, NULL, NULL));
    assert_int_equal(m.nodes[3].plan.k, 9); /* within a channel no image makes a difference above 254 */
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
    sotto_calibration good = sotto_calibration_default();
    good.threads = 1;
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
    good.share = 0.0;
    assert_status(SOTTO_ERR_ARG, sotto_calibrate(&m, &good, images, 1, NULL, NULL));
    good.share = 1.0;
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
    sotto_calibration o = sotto_calibration_default();
    const sotto_rng rng = test_rng(test_seed(), 4);
    sotto_model m;
    o.threads = 1;
    fixture_raw(&m, fixture_mixed, &rng);
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
    assert_true(k > 40);
    sotto_free(images);
    sotto_model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_paper), cmocka_unit_test(test_fields),       cmocka_unit_test(test_residual_chain), cmocka_unit_test(test_concatenation),
        cmocka_unit_test(test_clip),     cmocka_unit_test(test_polynomials),  cmocka_unit_test(test_options),        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_overflow), cmocka_unit_test(test_maximum_last), cmocka_unit_test(test_refused),        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_strays),   cmocka_unit_test(test_widest_polynomials),
        cmocka_unit_test(test_windows),  cmocka_unit_test(test_windows_of_flattened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
