/* Fixed-point inference: near float inference by a bound that follows from the scales, equal to two parties' arithmetic bit for bit, and wraps. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ct.h"
#include "nn/plain/fixed.h"
#include "nn/plain/float.h"
#include "tests/nn/fixture.h"

/* ---- networks ----------------------------------------------------------------------------------------------------- */

typedef struct writer {
    char text[4096];
    size_t len;
    unsigned names;
    uint32_t c, side; /* of the value that the next node reads */
} writer;

static void __attribute__((format(printf, 2, 3))) put(writer *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(w->text + w->len, sizeof w->text - w->len, format, args);
    va_end(args);
    assert_true(n > 0 && (size_t)n < sizeof w->text - w->len);
    w->len += (size_t)n;
}

/* Appends one block at random; every node n<i> reads the one before it. */
static void block(writer *w, const sotto_rng *rng)
{
    const unsigned from = w->names;
    if (w->side < 4 || test_below(rng, 4) == 0) { /* a residual edge around a convolution in two groups */
        put(w, "conv n%u n%u out=%u kernel=3 pad=1 groups=2\n", from + 1, from, w->c);
        put(w, "batchnorm n%u n%u\nadd n%u n%u n%u\nrelu n%u n%u\n", from + 2, from + 1, from + 3, from, from + 2, from + 4, from + 3);
        w->names += 4;
        return;
    }
    const uint32_t kernel = 2 + (uint32_t)test_below(rng, 2), stride = 1 + (uint32_t)test_below(rng, 2), pad = (uint32_t)test_below(rng, 2);
    const char *const pools[] = {"maxpool", "avgpool"};
    switch (test_below(rng, 3)) {
    case 0:
        w->c = 2 * (1 + (uint32_t)test_below(rng, 3));
        put(w, "conv n%u n%u out=%u kernel=%u stride=%u pad=%u groups=2\nrelu n%u n%u\n", from + 1, from, w->c, kernel, stride, pad, from + 2,
            from + 1);
        w->names += 2;
        break;
    default:
        put(w, "%s n%u n%u kernel=%u stride=%u pad=%u\n", pools[test_below(rng, 2)], from + 1, from, kernel, stride, pad);
        w->names++;
        break;
    }
    w->side = (w->side + 2 * pad - kernel) / stride + 1;
}

static void random_network(writer *w, const sotto_rng *rng)
{
    *w = (writer){.c = 4, .side = 5 + (uint32_t)test_below(rng, 5)};
    put(w, "sotto-model 1\ninput 2x%ux%u mean=0.4,0.6 std=0.3,0.2\nconv n0 input out=4 kernel=3 pad=1\nbatchnorm n1 n0\nrelu n2 n1\n", w->side,
        w->side);
    w->names = 2;
    for (uint64_t blocks = 1 + test_below(rng, 4); blocks > 0; blocks--) {
        block(w, rng);
    }
    put(w, "%s last n%u\ndense out last out=4\n", test_below(rng, 2) ? "globalavg" : "flatten", w->names);
}

typedef struct net {
    sotto_model m;
    sotto_program p;
    sotto_program_weights w;
    uint8_t *images; /* those it was calibrated on */
} net;

static void net_new(net *n, const char *text, double margin, const sotto_rng *rng)
{
    sotto_calibration options = sotto_calibration_default();
    options.margin = margin;
    memset(n, 0, sizeof *n);
    fixture_raw(&n->m, text, rng);
    assert_ok(sotto_model_deploy(&n->m));
    n->images = fixture_images(&n->m, FIXTURE_IMAGES, rng);
    assert_ok(sotto_calibrate(&n->m, &options, n->images, FIXTURE_IMAGES, NULL, NULL));
    assert_ok(sotto_program_new(&n->p, &n->m));
    assert_ok(sotto_program_weights_new(&n->w, &n->p, &n->m));
}

static void net_free(net *n)
{
    sotto_program_weights_free(&n->w);
    sotto_program_free(&n->p);
    sotto_model_free(&n->m);
    sotto_free(n->images);
}

/* ---- values of a run, and shares to run with ---------------------------------------------------------------------- */

typedef struct values {
    const sotto_program *p;
    uint64_t **share; /* per step, the client's; used by the hook when `on` */
    int64_t **seen;   /* per step */
    int on;
} values;

static void values_new(values *v, const sotto_program *p)
{
    *v = (values){p, sotto_calloc(p->step_count, sizeof *v->share), sotto_calloc(p->step_count, sizeof *v->seen), 0};
    assert_true(v->share != NULL && v->seen != NULL);
    for (size_t i = 0; i < p->step_count; i++) {
        v->share[i] = sotto_calloc(p->steps[i].words, sizeof **v->share);
        v->seen[i] = sotto_calloc(p->steps[i].words, sizeof **v->seen);
        assert_true(v->share[i] != NULL && v->seen[i] != NULL);
    }
}

static void values_free(values *v)
{
    for (size_t i = 0; i < v->p->step_count; i++) {
        sotto_free(v->share[i]);
        sotto_free(v->seen[i]);
    }
    sotto_free(v->share);
    sotto_free(v->seen);
}

static void values_random(values *v, const sotto_rng *rng)
{
    for (size_t i = 0; i < v->p->step_count; i++) {
        for (size_t j = 0; j < v->p->steps[i].words; j++) {
            v->share[i][j] = sotto_low_bits(test_u64(rng), v->p->steps[i].l);
        }
    }
}

static const uint64_t *hook_share(void *ctx, size_t step)
{
    return ((values *)ctx)->share[step];
}

static void hook_seen(void *ctx, size_t step, const int64_t *value, size_t words)
{
    const values *v = ctx;
    assert_int_equal(words, v->p->steps[step].words);
    for (size_t i = 0; i < words; i++) {
        const int64_t bound = INT64_C(1) << (v->p->steps[step].l - 1);
        assert_true(value[i] >= -bound && value[i] < bound);
    }
    memcpy(v->seen[step], value, words * sizeof *value);
}

static uint64_t infer(const net *n, values *v, int64_t *logits, const int64_t *x)
{
    const sotto_fixed_options options = {.share = v->on ? hook_share : NULL, .seen = hook_seen, .ctx = v};
    sotto_fixed_run *run;
    uint64_t wraps = 1000; /* increased, not set */
    assert_ok(sotto_fixed_run_new(&run, &n->p, &n->w));
    sotto_fixed_infer(run, logits, x, &options, &wraps);
    sotto_fixed_run_free(run);
    return wraps - 1000;
}

/* ---- near float --------------------------------------------------------------------------------------------------- */

/* Most that a step with input error `in` may be away from the float value, where `x` bounds what it reads in float. */
static double bound(const net *n, size_t at, const double *in, const double *x, int shares)
{
    const sotto_step_info *s = &n->p.steps[at];
    const double from = n->p.steps[s->in[0]].scale;
    /* A sign from shares is sure beyond a step of the window; within, a value, or a difference, of that size is dropped or kept. */
    const double step = shares && s->sign ? ldexp(from, (int)s->sign_window.j) : 0.0;
    switch (s->op) {
    case SOTTO_STEP_INPUT:
        return 0.5 * s->scale;
    case SOTTO_STEP_LINEAR: {
        /* |W x - w y| <= |W| |x - y| + |W - w| |y|, a weight being half a unit away. */
        const double unit = n->m.nodes[s->node].plan.weight_scale;
        const size_t per = n->w.weight_counts[at] / s->linear.out_c;
        double most = 0.0;
        for (uint32_t m = 0; m < s->linear.out_c; m++) {
            double sum = 0.0;
            for (size_t i = 0; i < per; i++) {
                sum += unit * abs(n->w.weights[at][m * per + i]);
            }
            most = fmax(most, sum);
        }
        return most * in[0] + (double)per * 0.5 * unit * x[0] + 0.5 * s->scale;
    }
    case SOTTO_STEP_ADD:
        return in[0] + in[1];
    case SOTTO_STEP_CONCAT:
        return fmax(in[0], in[1]);
    case SOTTO_STEP_PAD:
    case SOTTO_STEP_SUM:
    case SOTTO_STEP_GATHER:
        return in[0];
    case SOTTO_STEP_MAX:
        return in[0] + step;
    case SOTTO_STEP_UNIT:
        return in[0] + (shares ? 1.0 : 0.5) * s->scale + step;
    case SOTTO_STEP_POLY: /* none of these networks has one: tests/nn/test_poly.c */
        break;
    }
    return 0.0;
}

static void check_near(const net *n, const values *v, const sotto_float_run *run)
{
    double *error = sotto_calloc(n->p.step_count, sizeof *error), *most = sotto_calloc(n->p.step_count, sizeof *most);
    assert_true(error != NULL && most != NULL);
    for (size_t at = 0; at < n->p.step_count; at++) {
        const sotto_step_info *s = &n->p.steps[at];
        const double in[2] = {error[s->in[0]], error[s->in[1]]}, x[2] = {most[s->in[0]], most[s->in[1]]};
        error[at] = bound(n, at, in, x, v->on);
        most[at] = fmax(x[0], 0.0);
        if (n->p.step_of[s->node] != at) { /* gathers and stages of a maximum before the last are no node's value */
            continue;
        }
        const float *want = sotto_float_value(run, s->node);
        most[at] = 0.0;
        for (size_t i = 0; i < s->words; i++) {
            const double got = (double)v->seen[at][i] * s->scale;
            most[at] = fmax(most[at], fabs((double)want[i]));
            if (fabs(got - (double)want[i]) > error[at] * 1.001 + 1e-5) {
                fail_msg("node %s word %zu: %g in fixed point, %g in float, bound %g", n->m.nodes[s->node].name, i, got, (double)want[i],
                         error[at]);
            }
        }
    }
    sotto_free(error);
    sotto_free(most);
}

/* Each unit from shares is the value rounded down or up, or zero; which of them is sure outside a step of its channel's window. Without shares all is sure. */
static void check_units(const net *n, const values *v)
{
    for (size_t at = 0; at < n->p.step_count; at++) {
        const sotto_step_info *s = &n->p.steps[at];
        const sotto_truncation t = s->truncation;
        for (size_t i = 0; s->op == SOTTO_STEP_UNIT && i < s->words; i++) {
            const int64_t y = v->seen[s->in[0]][i], got = v->seen[at][i], low = y >> t.f, high = -(-y >> t.f);
            const unsigned lift = s->lift == NULL ? 0 : s->lift[i];
            const int64_t step = s->sign && lift < s->sign_window.j ? INT64_C(1) << (s->sign_window.j - lift) : 0;
            const int rounded = got == low || got == high;
            if (!v->on) {
                assert_int_equal(got, s->sign && y < 0 ? 0 : (int64_t)floor(ldexp((double)y, -(int)t.f) + 0.5));
                continue;
            }
            assert_true(s->sign ? (y >= step ? rounded : y < -step ? got == 0 : rounded || got == 0) : rounded);
        }
    }
}

static void near_float(const char *text, const sotto_rng *rng)
{
    net n;
    values v;
    sotto_float_run *run;
    net_new(&n, text, 2.0, rng);
    values_new(&v, &n.p);
    assert_ok(sotto_float_run_new(&run, &n.m));
    float *image = sotto_calloc(n.p.input_words, sizeof *image);
    int64_t *x = sotto_calloc(n.p.input_words, sizeof *x), logits[16];
    assert_true(image != NULL && x != NULL);
    for (size_t i = 0; i < 4; i++) {
        const uint8_t *pixels = n.images + i * n.p.input_words;
        sotto_normalise(&n.m, image, pixels);
        assert_ok(sotto_float_infer(run, image));
        sotto_program_input(&n.p, &n.m, x, pixels);
        for (v.on = 0; v.on < 2; v.on++) {
            values_random(&v, rng);
            assert_int_equal(infer(&n, &v, logits, x), 0);
            assert_memory_equal(logits, v.seen[n.p.step_count - 1], n.p.output_words * sizeof *logits);
            check_near(&n, &v, run);
            check_units(&n, &v);
        }
    }
    sotto_free(image);
    sotto_free(x);
    sotto_float_run_free(run);
    values_free(&v);
    net_free(&n);
}

static void test_near_float(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    const int trials = getenv("SOTTO_TEST_LONG") ? 5000 : 200;
    for (int trial = 0; trial < trials; trial++) {
        const sotto_rng rng = test_rng(seed, (uint64_t)trial);
        writer w;
        random_network(&w, &rng);
        near_float(w.text, &rng);
    }
    const sotto_rng rng = test_rng(seed, 1u << 20);
    near_float(fixture_plain, &rng);
    near_float(fixture_rich, &rng);
}

/* ---- two parties, from the functions of step.h alone ---------------------------------------------------------------- */


static uint64_t *masks(size_t count, unsigned l, const sotto_rng *rng)
{
    uint64_t *x = sotto_calloc(count, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count; i++) {
        x[i] = sotto_low_bits(test_u64(rng), l);
    }
    return x;
}

static void reduce(uint64_t *x, size_t count, unsigned l)
{
    for (size_t i = 0; i < count; i++) {
        x[i] = sotto_low_bits(x[i], l);
    }
}

/* Unit `at` on shares ac = {server's, client's} of y, a dealer in the place of OT; the result's shares into out. */
static void unit_on_shares(const sotto_step_info *s, size_t at, uint64_t out[2], const uint64_t ac[2], const sotto_rng *rng)
{
    const sotto_truncation t = s->truncation;
    const unsigned m = sotto_truncation_widen(t), l = t.l_next;
    const uint64_t a = sotto_low_bits(ac[0], t.l), c = sotto_low_bits(ac[1], t.l);
    const uint64_t rho = test_u64(rng) & 1, pi = test_u64(rng) & 1, tau = test_u64(rng) & 1, r_next = sotto_low_bits(test_u64(rng), l);
    const uint64_t one = 1;
    uint64_t cbar, c0, c1, step = 0, a_next, d, p[2] = {0, test_u64(rng)};
    sotto_truncate_choices(t, &cbar, &c, 1);
    p[1] = sotto_low_bits(p[1], m);
    p[0] = sotto_low_bits(rho * cbar - p[1], m);
    sotto_truncate_client(t, &c0, m ? &step : NULL, &c, m ? &p[1] : NULL, 1);
    sotto_truncate_pick(t, &c1, &c0, &step, &one, 1);
    sotto_truncate_server(t, &a_next, &d, &a, m ? &rho : NULL, m ? &p[0] : NULL, 1);
    if (!s->sign) {
        out[0] = sotto_low_bits(a_next + (d ? c1 : c0) - r_next, l);
        out[1] = r_next;
        return;
    }
    const unsigned lift = s->lift == NULL ? 0 : s->lift[at];
    const uint64_t lifted[2] = {a << lift, c << lift};
    uint64_t top[2];
    sotto_sign_top_server(s->sign_window, &top[0], &lifted[0], 1);
    sotto_sign_top_client(s->sign_window, &top[1], &lifted[1], 1);
    const unsigned u = s->sign_window.k - s->sign_window.j;
    const uint64_t b_client = (~((top[0] + top[1]) >> (u - 1)) & 1) ^ pi;

    const uint64_t zeta = sotto_low_bits(test_u64(rng), l), tc = sotto_low_bits(test_u64(rng), l), ts = sotto_low_bits(tau * zeta - tc, l);
    const uint64_t qc[2] = {sotto_low_bits(test_u64(rng), l), sotto_low_bits(test_u64(rng), l)};
    const uint64_t qs[2] = {sotto_low_bits(pi * (1 - 2 * tau) * c0 - qc[0], l), sotto_low_bits(pi * (1 - 2 * tau) * c1 - qc[1], l)};
    const uint64_t own = d ? c1 : c0, product[2] = {ts + qs[d], tc + qc[d]};
    uint64_t z, g, w;
    sotto_select_offer(l, &z, &a_next, &pi, &zeta, 1);
    sotto_select_answer(l, &g, &w, &b_client, &tau, &z, &own, &product[1], &r_next, 1);
    sotto_select_finish(l, &out[0], &g, &w, &pi, &a_next, &product[0], 1);
    out[1] = r_next;
}

/* Shares of every step's value; side 0 the server's, 1 the client's. */
static void two_parties(const net *n, uint64_t **const side[2], const int64_t *x, const sotto_rng *rng)
{
    for (size_t at = 0; at < n->p.step_count; at++) {
        const sotto_step_info *s = &n->p.steps[at];
        uint64_t *mask = masks(s->words, s->l, rng); /* of the input, of the server in a linear step */
        for (int k = 0; k < 2; k++) {
            uint64_t *out = side[k][at];
            const uint64_t *in = side[k][s->in[0]];
            const size_t area = (size_t)s->shape.h * s->shape.w;
            switch (s->op) {
            case SOTTO_STEP_INPUT:
                for (size_t i = 0; i < s->words; i++) {
                    out[i] = k == 0 ? (uint64_t)x[i] - mask[i] : mask[i];
                }
                break;
            case SOTTO_STEP_LINEAR:
                for (size_t i = 0; i < s->words; i++) {
                    out[i] = k == 0 ? (uint64_t)n->w.bias[at][i / area] + mask[i] : 0 - mask[i];
                }
                sotto_linear_apply(out, &s->linear, n->w.weights[at], in);
                break;
            case SOTTO_STEP_ADD:
            case SOTTO_STEP_CONCAT:
            case SOTTO_STEP_PAD:
            case SOTTO_STEP_SUM:
            case SOTTO_STEP_GATHER:
                sotto_step_local(&n->p, at, side[k]);
                break;
            case SOTTO_STEP_MAX:
                sotto_step_pairs(s, mask, out, in); /* out: the second of each pair */
                if (s->words > s->units) {
                    memcpy(out + s->units, in + 2 * s->units, area * s->shape.c * sizeof *out);
                }
                break;
            case SOTTO_STEP_UNIT:
            case SOTTO_STEP_POLY:
                break;
            }
        }
        if (s->op == SOTTO_STEP_UNIT || s->op == SOTTO_STEP_MAX) {
            const size_t pair = s->op == SOTTO_STEP_MAX ? sotto_shape_words(s->shape) : 0;
            for (size_t i = 0; i < s->units; i++) {
                const size_t left = pair > 0 ? i / pair * 2 * pair + i % pair : i;
                uint64_t y[2], r[2];
                for (int k = 0; k < 2; k++) {
                    const uint64_t *in = side[k][s->in[0]];
                    y[k] = pair > 0 ? in[left] - in[left + pair] : in[left];
                }
                unit_on_shares(s, i, r, y, rng);
                for (int k = 0; k < 2; k++) {
                    side[k][at][i] = pair > 0 ? side[k][at][i] + r[k] : r[k];
                }
            }
        }
        reduce(side[0][at], s->words, s->l);
        reduce(side[1][at], s->words, s->l);
        sotto_free(mask);
    }
}

static void check_two_parties(const char *text, const sotto_rng *rng)
{
    net n;
    values v, server;
    net_new(&n, text, 1.5, rng);
    sotto_program_weights_free(&n.w);
    sotto_program_free(&n.p);
    fixture_windows(&n.m, (unsigned)test_below(rng, 6), rng);
    assert_ok(sotto_program_new(&n.p, &n.m));
    assert_ok(sotto_program_weights_new(&n.w, &n.p, &n.m));
    values_new(&v, &n.p);
    values_new(&server, &n.p);
    int64_t *x = sotto_calloc(n.p.input_words, sizeof *x), logits[16];
    assert_non_null(x);
    v.on = 1;
    for (size_t image = 0; image < 3; image++) {
        uint64_t **const side[2] = {server.share, v.share};
        sotto_program_input(&n.p, &n.m, x, n.images + image * n.p.input_words);
        two_parties(&n, side, x, rng);
        (void)infer(&n, &v, logits, x);
        for (size_t at = 0; at < n.p.step_count; at++) {
            for (size_t i = 0; i < n.p.steps[at].words; i++) {
                const unsigned l = n.p.steps[at].l;
                assert_true(sotto_low_bits(v.share[at][i] + server.share[at][i], l) == sotto_low_bits((uint64_t)v.seen[at][i], l));
            }
        }
    }
    sotto_free(x);
    values_free(&server);
    values_free(&v);
    net_free(&n);
}

static void test_two_parties(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    for (uint64_t trial = 0; trial < 20; trial++) {
        const sotto_rng rng = test_rng(seed, trial);
        writer w;
        random_network(&w, &rng);
        check_two_parties(w.text, &rng);
    }
    const sotto_rng rng = test_rng(seed, 1u << 20);
    check_two_parties(fixture_plain, &rng);
    check_two_parties(fixture_rich, &rng);
}

/* ---- wraps -------------------------------------------------------------------------------------------------------- */

static const char one_unit[] = "sotto-model 1\n"
                               "input 1x1x1\n"
                               "%s r1 input\n"
                               "dense f1 r1 out=1\n"
                               "plan input scale=1 bits=12\n"
                               "plan r1 f=%u k=%u%s"
                               "plan f1 weight-scale=1 weight-bits=8 k=%u\n";

static void one_unit_net(net *n, const char *unit, unsigned f, unsigned k, const char *u, unsigned k_out)
{
    char text[512];
    const int len = snprintf(text, sizeof text, one_unit, unit, f, k, u, k_out);
    memset(n, 0, sizeof *n);
    assert_ok(sotto_model_parse(&n->m, text, (size_t)len));
    n->m.nodes[2].tensor[0] = sotto_calloc(1, sizeof(float));
    n->m.nodes[2].tensor[1] = sotto_calloc(1, sizeof(float));
    assert_true(n->m.nodes[2].tensor[0] != NULL && n->m.nodes[2].tensor[1] != NULL);
    n->m.nodes[2].tensor[0][0] = 1.0f;
    assert_ok(sotto_program_new(&n->p, &n->m));
    assert_ok(sotto_program_weights_new(&n->w, &n->p, &n->m));
}

/* All values and all shares of a unit: one that is not counted is right with every share, one that is counted lies outside k, or some share spoils it. */
static void test_unit_wraps(void **state)
{
    (void)state;
    static const struct {
        const char *unit, *u;
        unsigned f, k, window;
        unsigned lift;
    } cases[] = {{"relu", " u=3\n", 2, 6, 3, 0}, {"relu", " u=6\n", 3, 6, 6, 0}, {"relu", " u=2\n", 0, 5, 2, 0}, {"identity", "\n", 3, 6, 0, 0}, {"identity", "\n", 0, 6, 0, 0},
                 {"relu", " u=3\nwindows r1 0 5\n", 2, 6, 3, 1}, {"relu", " u=3\nwindows r1 0 3\n", 2, 6, 3, 3}, {"relu", " u=2\nwindows r1 0 2\n", 0, 6, 2, 4},
                 {"relu", " u=6\nwindows r1 0 4\n", 3, 6, 6, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        net n;
        values v;
        one_unit_net(&n, cases[i].unit, cases[i].f, cases[i].k, cases[i].u, 12);
        values_new(&v, &n.p);
        const unsigned j = cases[i].window > 0 ? cases[i].k - cases[i].window : 0;
        const int64_t edge = INT64_C(1) << (cases[i].k - 1 - cases[i].lift), step = cases[i].lift < j ? INT64_C(1) << (j - cases[i].lift) : 0;
        const unsigned f = cases[i].f, l = n.p.steps[1].truncation.l;
        assert_int_equal(l, cases[i].k + 1);
        for (int64_t y = -(INT64_C(3) << (l - 2)); y < INT64_C(3) << (l - 2); y++) {
            int64_t logit;
            v.on = 0;
            const uint64_t counted = infer(&n, &v, &logit, &y);
            int spoilt = 0;
            v.on = 1;
            for (uint64_t c = 0; c < (uint64_t)1 << l; c++) {
                v.share[0][0] = c;
                assert_int_equal(infer(&n, &v, &logit, &y), counted); /* depends on the value alone */
                const int rounded = logit == y >> f || logit == -(-y >> f);
                spoilt |= !(cases[i].window == 0 ? rounded : y >= step ? rounded : y < -step ? logit == 0 : rounded || logit == 0);
            }
            if (counted == 0) {
                assert_false(spoilt);
                assert_true(y >= -edge && y < edge);
            } else {
                assert_int_equal(counted, 1);
                assert_true(spoilt || y < -edge + step / 2 || y >= edge - step / 2);
            }
        }
        values_free(&v);
        net_free(&n);
    }
}

/* The output: also what came around the ring into its range. */
static void test_output_wraps(void **state)
{
    (void)state;
    net n;
    values v;
    one_unit_net(&n, "identity", 0, 12, "\n", 4);
    values_new(&v, &n.p);
    for (int64_t y = -100; y < 100; y++) {
        int64_t logit;
        assert_int_equal(infer(&n, &v, &logit, &y), y < -8 || y >= 8);
        assert_int_equal(logit, ((y & 15) ^ 8) - 8);
    }
    values_free(&v);
    net_free(&n);
}

/* A calibrated network has none on the images it knows, and many once k is cut. */
static void test_k_too_small(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 7);
    for (int cut = 0; cut < 2; cut++) {
        net n;
        net_new(&n, fixture_plain, 2.0, &rng);
        for (size_t i = 0; cut && i < n.m.node_count; i++) {
            sotto_node_plan *p = &n.m.nodes[i].plan;
            p->k = p->k > 4 ? p->k - 3 : p->k;
            p->u = p->u > p->k ? p->k : p->u;
            for (uint32_t c = 0; n.m.nodes[i].windows != NULL && c < n.m.nodes[i].shape.c; c++) {
                uint8_t *w = &n.m.nodes[i].windows[c];
                *w = *w > p->k ? (uint8_t)p->k : *w;
            }
        }
        sotto_program_weights_free(&n.w);
        sotto_program_free(&n.p);
        assert_ok(sotto_program_new(&n.p, &n.m));
        assert_ok(sotto_program_weights_new(&n.w, &n.p, &n.m));
        sotto_fixed_run *run;
        uint64_t wraps = 0;
        int64_t x[64], logits[5];
        assert_ok(sotto_fixed_run_new(&run, &n.p, &n.w));
        for (size_t i = 0; i < FIXTURE_IMAGES; i++) {
            sotto_program_input(&n.p, &n.m, x, n.images + i * 64);
            sotto_fixed_infer(run, logits, x, NULL, &wraps);
            sotto_fixed_infer(run, logits, x, NULL, NULL);
        }
        assert_true(cut ? wraps > FIXTURE_IMAGES : wraps == 0);
        sotto_fixed_run_free(run);
        net_free(&n);
    }
}

/* ---- the rest ----------------------------------------------------------------------------------------------------- */

static void test_argmax(void **state)
{
    (void)state;
    static const int64_t x[] = {-5, -3, -3, -9};
    assert_int_equal(sotto_argmax_int(x, 4), 1);
    assert_int_equal(sotto_argmax_int(x, 1), 0);
    assert_int_equal(sotto_argmax_int(x + 2, 2), 0);
}

/* The fast linear steps: the same values of every step, whether or not values leave their ranges, and when there is no memory for the fast loops. */
static void test_fast(void **state)
{
    (void)state;
    static const char *const texts[] = {fixture_plain, fixture_rich, fixture_mixed};
    const sotto_rng rng = test_rng(test_seed(), 9);
    for (size_t i = 0; i < 9; i++) {
        net n;
        values slow, fast;
        sotto_fixed_run *run;
        int64_t logits[2][16];
        net_new(&n, texts[i % 3], i < 6 ? 1.5 : 0.5, &rng);
        values_new(&slow, &n.p);
        values_new(&fast, &n.p);
        int64_t *x = sotto_calloc(n.p.input_words, sizeof *x);
        assert_non_null(x);
        sotto_program_input(&n.p, &n.m, x, n.images);
        values_random(&slow, &rng);
        for (size_t k = 0; k < n.p.step_count; k++) {
            memcpy(fast.share[k], slow.share[k], n.p.steps[k].words * sizeof **fast.share);
        }
        slow.on = 1;
        (void)infer(&n, &slow, logits[0], x);
        assert_ok(sotto_fixed_run_new(&run, &n.p, &n.w));
        sotto_calloc_fail_after(i >= 3 && i < 6 ? (long)test_below(&rng, 12) : -1);
        sotto_fixed_infer(run, logits[1], x, &(sotto_fixed_options){.share = hook_share, .seen = hook_seen, .ctx = &fast, .fast = 1}, NULL);
        sotto_calloc_fail_after(-1);
        for (size_t k = 0; k < n.p.step_count; k++) {
            assert_memory_equal(fast.seen[k], slow.seen[k], n.p.steps[k].words * sizeof **fast.seen);
        }
        assert_memory_equal(logits[0], logits[1], n.p.output_words * sizeof **logits);
        sotto_fixed_run_free(run);
        sotto_free(x);
        values_free(&slow);
        values_free(&fast);
        net_free(&n);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 8);
    net n;
    net_new(&n, fixture_plain, 1.5, &rng);
    long k = 0;
    for (int status = SOTTO_ERR_MEMORY; status != SOTTO_OK; k++) {
        sotto_fixed_run *run = (sotto_fixed_run *)&n;
        sotto_calloc_fail_after(k);
        status = sotto_fixed_run_new(&run, &n.p, &n.w);
        sotto_calloc_fail_after(-1);
        if (status != SOTTO_OK) {
            assert_int_equal(status, SOTTO_ERR_MEMORY);
            assert_null(run);
        }
        sotto_fixed_run_free(run);
    }
    assert_true(k > (long)n.p.step_count + 7 + 1); /* its own, and those of the 32-bit run (test_narrow) */
    net_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_near_float),   cmocka_unit_test(test_two_parties), cmocka_unit_test(test_unit_wraps),
        cmocka_unit_test(test_output_wraps), cmocka_unit_test(test_k_too_small), cmocka_unit_test(test_argmax),
        cmocka_unit_test(test_fast),         cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
