/* Compiling a plan: rings and scales worked out by hand, every refusal with its message, weights, input, the local steps by their definition. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/model/text.h"
#include "nn/plain/fixed.h"
#include "tests/support/support.h"

/* Scales are powers of two, so that every product below is exact. */
static const char network[] = "sotto-model 1\n"
                              "input 2x4x4\n"
                              "conv c1 input out=4 kernel=3 pad=1\n"
                              "relu r1 c1\n"
                              "conv c2 r1 out=4 kernel=3 pad=1 groups=2\n"
                              "add a1 r1 c2\n"
                              "relu r2 a1\n"
                              "maxpool m1 r2 kernel=2\n"
                              "identity i1 m1\n"
                              "globalavg g1 i1\n"
                              "flatten x1 g1\n"
                              "dense f1 x1 out=3\n"
                              "plan input scale=0.5 bits=9\n"
                              "plan c1 weight-scale=0.25 weight-bits=8\n"
                              "plan r1 f=4 k=16 u=6\n"
                              "plan c2 weight-scale=0.125 weight-bits=7\n"
                              "plan r2 f=5 k=18 u=7\n"
                              "plan m1 k=12 u=8\n"
                              "plan i1 f=1 k=14\n"
                              "plan f1 weight-scale=0.5 weight-bits=8 k=20\n";

/* The network with one piece of its text replaced. */
static void parse(sotto_model *m, const char *from, const char *to)
{
    char text[4096];
    const char *at = strstr(network, from);
    assert_non_null(at);
    const int len = snprintf(text, sizeof text, "%.*s%s%s", (int)(at - network), network, to, at + strlen(from));
    assert_true(len > 0 && (size_t)len < sizeof text);
    assert_ok(sotto_model_parse(m, text, (size_t)len));
}

static void tensors(sotto_node *n, size_t weights, size_t biases)
{
    n->tensor[0] = sotto_calloc(weights, sizeof(float));
    n->tensor[1] = sotto_calloc(biases, sizeof(float));
    assert_non_null(n->tensor[0]);
    assert_non_null(n->tensor[1]);
}

/* ---- rings and scales --------------------------------------------------------------------------------------------- */

static void check_steps(const sotto_program *p)
{
    /* Backwards: f1 holds k = 20; r1 serves c2 (19) and, shifted by 3, a1 (16); i1 asks 15 of the maximum, whose own k is 12. */
    static const struct {
        sotto_step_op op;
        uint32_t in[2];
        double scale;
        unsigned l, ways;
        size_t words, units;
        sotto_truncation truncation;
        sotto_sign_window window;
        unsigned k;
    } want[] = {
        {SOTTO_STEP_INPUT, {0, 0}, 0.5, 17, 1, 32, 0, {0, 0, 0}, {0, 0}, 0},
        {SOTTO_STEP_LINEAR, {0, 0}, 0.125, 17, 1, 64, 0, {0, 0, 0}, {0, 0}, 0},
        {SOTTO_STEP_UNIT, {1, 0}, 2.0, 19, 1, 64, 64, {17, 4, 19}, {16, 10}, 16},
        {SOTTO_STEP_LINEAR, {2, 0}, 0.25, 19, 1, 64, 0, {0, 0, 0}, {0, 0}, 0},
        {SOTTO_STEP_ADD, {2, 3}, 0.25, 19, 1, 64, 0, {0, 0, 0}, {0, 0}, 0},
        {SOTTO_STEP_UNIT, {4, 0}, 8.0, 15, 1, 64, 64, {19, 5, 15}, {18, 11}, 18},
        {SOTTO_STEP_GATHER, {5, 0}, 8.0, 15, 4, 64, 0, {0, 0, 0}, {0, 0}, 0},
        {SOTTO_STEP_MAX, {6, 0}, 8.0, 15, 2, 32, 32, {15, 0, 15}, {12, 4}, 12},
        {SOTTO_STEP_MAX, {7, 0}, 8.0, 15, 1, 16, 16, {15, 0, 15}, {12, 4}, 12},
        {SOTTO_STEP_UNIT, {8, 0}, 16.0, 20, 1, 16, 16, {15, 1, 20}, {0, 0}, 14},
        {SOTTO_STEP_SUM, {9, 0}, 4.0, 20, 1, 4, 0, {0, 0, 0}, {0, 0}, 0},
        {SOTTO_STEP_LINEAR, {10, 0}, 2.0, 20, 1, 3, 0, {0, 0, 0}, {0, 0}, 20},
    };
    assert_int_equal(p->step_count, sizeof want / sizeof *want);
    for (size_t i = 0; i < p->step_count; i++) {
        const sotto_step_info *s = &p->steps[i];
        assert_int_equal(s->op, want[i].op);
        assert_int_equal(s->in[0], want[i].in[0]);
        assert_int_equal(s->in[1], want[i].in[1]);
        assert_true(s->scale == want[i].scale);
        assert_int_equal(s->l, want[i].l);
        assert_int_equal(s->ways, want[i].ways);
        assert_int_equal(s->words, want[i].words);
        assert_int_equal(s->units, want[i].units);
        assert_int_equal(s->truncation.l, want[i].truncation.l);
        assert_int_equal(s->truncation.f, want[i].truncation.f);
        assert_int_equal(s->truncation.l_next, want[i].truncation.l_next);
        assert_int_equal(s->sign_window.k, want[i].window.k);
        assert_int_equal(s->sign_window.j, want[i].window.j);
        assert_int_equal(s->sign, want[i].window.k > 0);
        assert_int_equal(s->k, want[i].k);
    }
    static const uint32_t step_of[] = {0, 1, 2, 3, 4, 5, 8, 9, 10, 10, 11}; /* the flatten node is its input */
    assert_int_equal(p->node_count, sizeof step_of / sizeof *step_of);
    assert_memory_equal(p->step_of, step_of, sizeof step_of);
    assert_int_equal(p->steps[4].shift[0], 3);
    assert_int_equal(p->steps[4].shift[1], 0);
    assert_int_equal(p->steps[3].linear.groups, 2);
    assert_int_equal(p->steps[3].linear.weight_bits, 7);
    assert_int_equal(p->steps[11].linear.in_c, 4);
    assert_int_equal(p->steps[11].linear.in_h, 1);
    assert_int_equal(p->input_words, 32);
    assert_int_equal(p->output_words, 3);
    assert_int_equal(p->relus, 64 + 64 + 32 + 16);
    assert_true(p->coefficients == 64.0 + 64.0 + 3.0);
}

/* The plan alone decides: a client without weights and a server with them compile the same program. */
static void test_steps(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 1);
    sotto_model m;
    sotto_program p;
    parse(&m, "", "");
    for (int weights = 0; weights < 2; weights++) {
        assert_ok(sotto_program_new(&p, &m));
        check_steps(&p);
        sotto_program_free(&p);
        assert_null(p.steps);
        assert_ok(sotto_model_init_weights(&m, &rng));
    }
    sotto_model_free(&m);
}

/* A maximum whose differences need more bits than its reader: the wider ring reaches back to what it reads. */
static void test_ring_of_maximum(void **state)
{
    (void)state;
    sotto_model m;
    sotto_program p;
    parse(&m, "plan m1 k=12 u=8", "plan m1 k=30 u=8");
    assert_ok(sotto_program_new(&p, &m));
    for (size_t i = 5; i <= 8; i++) {
        assert_int_equal(p.steps[i].l, 30);
    }
    assert_int_equal(p.steps[9].truncation.l, 30);
    assert_int_equal(p.steps[8].sign_window.j, 22);
    sotto_program_free(&p);
    sotto_model_free(&m);
}

/* What an addition shifts left needs the fewer bits: r1, of scale 2, beside c2, of scale 2^-4. */
static void test_ring_of_addition(void **state)
{
    (void)state;
    static const unsigned want[] = {19, 12, 14, 19, 19}; /* r1 keeps 19 - 5; c1 serves k = 11 alone */
    sotto_model m;
    sotto_program p;
    parse(&m, "conv c2 r1", "conv c2 input");
    m.nodes[2].plan.k = 11;
    assert_ok(sotto_program_new(&p, &m));
    assert_int_equal(p.steps[4].shift[0], 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(p.steps[i].l, want[i]);
    }
    sotto_program_free(&p);
    /* A shift beyond the ring leaves two bits: 2^-24 beside 2. */
    m.nodes[3].plan.weight_scale = 0x1p-23;
    assert_ok(sotto_program_new(&p, &m));
    assert_int_equal(p.steps[4].shift[0], 25);
    assert_int_equal(p.steps[2].l, 2);
    sotto_program_free(&p);
    sotto_model_free(&m);
}

/* Nine positions of a 3 x 3 window without neighbours: 9, 5, 3, 2, 1 arrays. */
static void test_odd_tree(void **state)
{
    (void)state;
    static const uint32_t ways[] = {9, 5, 3, 2, 1}, pairs[] = {0, 4, 2, 1, 1};
    sotto_model m;
    sotto_program p;
    parse(&m, "kernel=2", "kernel=3");
    assert_ok(sotto_program_new(&p, &m));
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(p.steps[6 + i].ways, ways[i]);
        assert_int_equal(p.steps[6 + i].units, pairs[i] * 4);
    }
    assert_int_equal(p.step_of[6], 10);
    assert_int_equal(p.steps[11].op, SOTTO_STEP_UNIT);
    sotto_program_free(&p);
    sotto_model_free(&m);
}

/* ---- maxima ------------------------------------------------------------------------------------------------------- */

static void parse_pool(sotto_model *m, const char *input, const char *pool)
{
    char text[256];
    const int len = snprintf(text, sizeof text, "sotto-model 1\ninput %s\nmaxpool m input %s\nplan input scale=1 bits=9\nplan m k=12 u=12\n", input, pool);
    assert_true(len > 0 && (size_t)len < sizeof text);
    assert_ok(sotto_model_parse(m, text, (size_t)len));
}

/* Comparisons and exchanges worked out by hand, and the shape of what the first pass leaves. */
static void test_passes(void **state)
{
    (void)state;
    static const struct {
        const char *input, *pool;
        size_t steps, decisions;
        uint32_t h, w, ways; /* of the first GATHER */
    } cases[] = {
        {"1x7x7", "kernel=3 stride=2", 7, 7 * 3 * 2 + 9 * 2, 7, 3, 3},           /* instead of 9 * 8, in 4 exchanges as well */
        {"1x8x8", "kernel=3 stride=2", 7, 7 * 3 * 2 + 9 * 2, 7, 3, 3},           /* no window reaches the last row */
        {"1x8x8", "kernel=3 stride=2 pad=1", 7, 8 * 4 * 2 + 16 * 2, 8, 4, 3},    /* padding is compared along a row, not as rows */
        {"1x8x8", "kernel=5 stride=1 pad=2", 9, 64 * 4 + 64 * 4, 8, 8, 5},       /* 6 exchanges instead of 5 */
        {"2x4x4", "kernel=2 stride=1 pad=1", 5, 2 * (4 * 5 + 25), 4, 5, 2},
        {"1x8x8", "kernel=2", 4, 16 * 3, 4, 4, 4},                               /* nothing is shared */
        {"1x9x9", "kernel=2 stride=3", 4, 9 * 3, 3, 3, 4},
        {"1x3x3", "kernel=3 stride=1", 6, 8, 1, 1, 9},                           /* one window */
        {"1x5x9", "kernel=1x3 stride=1x2", 4, 5 * 4 * 2, 5, 4, 3},
        {"1x9x5", "kernel=3x1 stride=2x1", 4, 5 * 4 * 2, 4, 5, 3},
        {"1x9x9", "kernel=1 stride=2", 2, 0, 5, 5, 1},
        {"1x8x9", "kernel=2x3 stride=2", 6, 4 * 9 + 16 * 2, 4, 9, 2},            /* down the columns first: 9 of them for 4 windows of 3; the other way 8 * 4 * 2 + 16 */
        {"1x9x8", "kernel=3x2 stride=2", 6, 4 * 9 + 16 * 2, 9, 4, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sotto_model m;
        sotto_program p;
        parse_pool(&m, cases[i].input, cases[i].pool);
        assert_ok(sotto_program_new(&p, &m));
        assert_int_equal(p.step_count, cases[i].steps);
        assert_int_equal(p.relus, cases[i].decisions);
        assert_int_equal(p.steps[1].shape.h, cases[i].h);
        assert_int_equal(p.steps[1].shape.w, cases[i].w);
        assert_int_equal(p.steps[1].ways, cases[i].ways);
        assert_int_equal(p.step_of[1], p.step_count - 1);
        assert_int_equal(p.output_words, sotto_shape_words(m.nodes[1].shape));
        sotto_program_free(&p);
        sotto_model_free(&m);
    }
}

static int64_t window_maximum(const sotto_node *n, sotto_shape in, const int64_t *x, uint32_t row, uint32_t col)
{
    int64_t most = INT64_MIN;
    for (int64_t i = (int64_t)row * n->stride_h - n->pad_top, down = i + n->kernel_h; i < down; i++) {
        for (int64_t j = (int64_t)col * n->stride_w - n->pad_left, right = j + n->kernel_w; j < right; j++) {
            const int inside = i >= 0 && i < in.h && j >= 0 && j < in.w;
            most = inside && x[i * in.w + j] > most ? x[i * in.w + j] : most;
        }
    }
    return most;
}

static void seen_nothing(void *ctx, size_t step, const int64_t *value, size_t words)
{
    (void)ctx;
    (void)step;
    (void)value;
    (void)words;
}

/* Kernels of 1 to 5 a side, strides, sides and paddings at random: the program's maximum is that of a plain loop, in 32 bits and in 64, with no more comparisons than a window's
 * values less one, and every value and difference within k. */
static void test_random_pools(void **state)
{
    (void)state;
    enum { MOST = 3 * 9 * 9, OUT = 3 * 14 * 14, TRIALS = 600 };
    const sotto_rng rng = test_rng(test_seed(), 4);
    const sotto_fixed_options watched = {.seen = seen_nothing};
    unsigned split = 0;
    for (unsigned trial = 0; trial < TRIALS; trial++) {
        const uint32_t kh = 1 + (uint32_t)test_below(&rng, 5), kw = 1 + (uint32_t)test_below(&rng, 5);
        char input[32], pool[96];
        int64_t x[MOST], got[OUT];
        uint64_t wraps = 0;
        sotto_model m;
        sotto_program p;
        sotto_program_weights w;
        sotto_fixed_run *run;
        snprintf(input, sizeof input, "%ux%ux%u", 1 + (unsigned)test_below(&rng, 3), 5 + (unsigned)test_below(&rng, 5), 5 + (unsigned)test_below(&rng, 5));
        snprintf(pool, sizeof pool, "kernel=%ux%u stride=%ux%u pad=%u,%u,%u,%u", kh, kw, 1 + (unsigned)test_below(&rng, 4), 1 + (unsigned)test_below(&rng, 4),
                 (unsigned)test_below(&rng, kh), (unsigned)test_below(&rng, kw), (unsigned)test_below(&rng, kh), (unsigned)test_below(&rng, kw));
        parse_pool(&m, input, pool);
        assert_ok(sotto_program_new(&p, &m));
        assert_ok(sotto_program_weights_new(&w, &p, &m));
        assert_ok(sotto_fixed_run_new(&run, &p, &w));
        const sotto_shape in = m.nodes[0].shape, out = m.nodes[1].shape;
        assert_true(p.input_words <= MOST && p.output_words <= OUT);
        assert_true(p.relus <= p.output_words * (kh * kw - 1));
        split += p.relus < p.output_words * (kh * kw - 1);
        for (size_t i = 0; i < p.input_words; i++) {
            x[i] = (int64_t)test_below(&rng, 512) - 256;
        }
        for (int wide = 0; wide < 2; wide++) {
            sotto_fixed_infer(run, got, x, wide ? &watched : NULL, &wraps);
            for (size_t i = 0; i < p.output_words; i++) {
                const size_t area = (size_t)out.h * out.w;
                assert_int_equal(got[i], window_maximum(&m.nodes[1], in, x + i / area * in.h * in.w, (uint32_t)(i % area / out.w), (uint32_t)(i % out.w)));
            }
        }
        assert_int_equal(wraps, 0);
        sotto_fixed_run_free(run);
        sotto_program_weights_free(&w);
        sotto_program_free(&p);
        sotto_model_free(&m);
    }
    assert_in_range(split, TRIALS / 4, TRIALS);
}

/* ---- windows of channels ------------------------------------------------------------------------------------------ */

static void check_lifts(const sotto_step_info *s, unsigned k, const uint8_t *window, size_t channels)
{
    const size_t area = (size_t)s->shape.h * s->shape.w;
    assert_non_null(s->lift);
    for (size_t i = 0; i < s->units; i++) {
        assert_int_equal(s->lift[i], k - window[i / area % channels]);
    }
}

/* Each decision is lifted by what its channel's window lacks to k, in every stage of a maximum, and rings stay as they are. */
static void test_lifts(void **state)
{
    (void)state;
    static const uint8_t r1[] = {16, 12, 2, 9}, m1[] = {12, 11, 12, 5};
    sotto_model m;
    sotto_program p;
    parse(&m, "plan i1", "windows r1 0 16,12,2,9\nwindows m1 0 12,11,12,5\nplan i1");
    assert_ok(sotto_program_new(&p, &m));
    check_steps(&p);
    check_lifts(&p.steps[2], 16, r1, 4);
    for (size_t i = 0, stages = 0; i < p.step_count; i++) {
        if (p.steps[i].op == SOTTO_STEP_MAX) {
            check_lifts(&p.steps[i], 12, m1, 4);
            stages++;
        } else {
            assert_true(p.steps[i].lift == NULL || i == 2);
        }
        assert_true(i + 1 < p.step_count || stages == 2);
    }
    sotto_program_free(&p);
    sotto_model_free(&m);
}

/* Both passes of a pool; patches, masks, what passes and what is zero; the pairs of a clip. */
static void test_lifts_of_kinds(void **state)
{
    (void)state;
    static const char pool[] = "sotto-model 1\ninput 2x9x9\nmaxpool m input kernel=3 stride=2\nplan input scale=1 bits=9\nplan m k=12 u=6\nwindows m 0 12,4\n";
    static const char act[] = "sotto-model 1\ninput 5x2x3\nact a input\nclip l a\ndense f l out=1\nunits a 0 relu2x2,identity,zero,relu,relu1x2\nmask a 16 f7\n" /* value 19, the second of channel 3 */
                              "plan input scale=1 bits=9\nplan a f=0 k=9 u=4\nwindows a 0 5,6,7,8,9\nplan l f=0 k=9 u=4\nwindows l 0 2,9*3,3\nplan f weight-scale=1 weight-bits=8 k=20\n";
    static const uint8_t windows[] = {12, 4}, bounds[] = {2, 9, 9, 9, 3}, lifts[] = {4, 4, 1, 1, 1, 1, 1, 0, 0, 0, 0};
    sotto_model m;
    sotto_program p;
    size_t stages = 0;
    assert_ok(sotto_model_parse(&m, pool, sizeof pool - 1));
    assert_ok(sotto_program_new(&p, &m));
    for (size_t i = 0; i < p.step_count; i++) {
        if (p.steps[i].op == SOTTO_STEP_MAX) {
            check_lifts(&p.steps[i], 12, windows, 2);
            stages++;
        }
    }
    assert_int_equal(stages, 4); /* three by three, twice */
    sotto_program_free(&p);
    sotto_model_free(&m);
    assert_ok(sotto_model_parse(&m, act, sizeof act - 1));
    assert_ok(sotto_program_new(&p, &m));
    assert_int_equal(p.steps[1].decisions, sizeof lifts);
    assert_memory_equal(p.steps[1].lift, lifts, sizeof lifts);
    check_lifts(&p.steps[2], 9, bounds, 5);
    sotto_program_free(&p);
    long k = 0;
    for (int status = SOTTO_ERR_MEMORY; status != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        status = sotto_program_new(&p, &m);
        sotto_calloc_fail_after(-1);
        assert_true(status == SOTTO_OK || (status == SOTTO_ERR_MEMORY && p.steps == NULL));
    }
    assert_true(k > 4 + 4); /* a map and patches, and two arrays of lifts */
    sotto_program_free(&p);
    sotto_model_free(&m);
}

/* Windows of what is no channel of its step. */
static void test_flattened_windows(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\ninput 2x2x2\nflatten x input\nrelu r x\ndense f r out=1\nplan input scale=1 bits=9\nplan r f=0 k=9 u=4\nwindows r 0 9*8\n"
                               "plan f weight-scale=1 weight-bits=8 k=20\n";
    sotto_model m;
    sotto_program p;
    assert_ok(sotto_model_parse(&m, text, sizeof text - 1));
    assert_status(SOTTO_ERR_PARAMS, sotto_program_new(&p, &m));
    assert_non_null(strstr(sotto_error_message(), "node r: windows of channels of a flattened image"));
    assert_null(p.steps);
    sotto_model_free(&m);
}

/* ---- refusals ----------------------------------------------------------------------------------------------------- */

static void assert_refused(const sotto_model *m, int status, const char *node, const char *message)
{
    sotto_program p;
    char name[64];
    snprintf(name, sizeof name, "node %s:", node);
    assert_status(status, sotto_program_new(&p, m));
    if (strstr(sotto_error_message(), name) == NULL || strstr(sotto_error_message(), message) == NULL) {
        fail_msg("expected a message on %s with '%s', got: %s", node, message, sotto_error_message());
    }
    assert_null(p.steps);
    assert_null(p.step_of);
}

static void test_refused_texts(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        int status;
        const char *node, *message;
    } cases[] = {
        {"plan input scale=0.5 bits=9\n", "", SOTTO_ERR_PARAMS, "input", "no scale"},
        {"plan c1 weight-scale=0.25 weight-bits=8\n", "", SOTTO_ERR_PARAMS, "c1", "no weight-scale"},
        {"plan r1 f=4 k=16 u=6\n", "", SOTTO_ERR_PARAMS, "r1", "no line"},
        {"plan m1 k=12 u=8\n", "", SOTTO_ERR_PARAMS, "m1", "no line"},
        {"plan i1 f=1 k=14\n", "", SOTTO_ERR_PARAMS, "i1", "no line"},
        {"plan f1 weight-scale=0.5 weight-bits=8 k=20\n", "plan f1 weight-scale=0.5 weight-bits=8\n", SOTTO_ERR_PARAMS, "f1", "no k"},
        {"k=16 u=6", "k=16 u=17", SOTTO_ERR_PARAMS, "r1", "u is out of range"},
        {"k=12 u=8", "k=12 u=13", SOTTO_ERR_PARAMS, "m1", "u is out of range"},
        {"f=4 k=16", "f=16 k=16", SOTTO_ERR_PARAMS, "r1", "truncation by 16 bits"},
        {"k=16 u=6\n", "k=16 u=6\nwindows r1 0 16*3,17\n", SOTTO_ERR_PARAMS, "r1", "window is out of range"},
        {"k=12 u=8\n", "k=12 u=8\nwindows m1 0 13*4\n", SOTTO_ERR_PARAMS, "m1", "window is out of range"},
        {"weight-scale=0.125", "weight-scale=0.13", SOTTO_ERR_PARAMS, "a1", "power of two"},
        {"weight-scale=0.125", "weight-scale=0.12500125", SOTTO_ERR_PARAMS, "a1", "power of two"},
        {"weight-scale=0.125", "weight-scale=9.0949470177292824e-13", SOTTO_ERR_PARAMS, "a1", "up to 2^30"}, /* 2^-40 */
        {"dense f1 x1", "dense f1 m1", SOTTO_ERR_PARAMS, "f1", "no fresh mask"},
        {"conv c2 r1", "conv c2 c1", SOTTO_ERR_PARAMS, "c2", "no fresh mask"},
        {"globalavg g1 i1", "avgpool g1 i1 kernel=2 stride=1", SOTTO_ERR_PARAMS, "f1", "no fresh mask"},
        {"globalavg g1 i1", "globalavg g1 m1", SOTTO_ERR_PARAMS, "f1", "no fresh mask"},
        {"relu r1 c1", "batchnorm b1 c1\nrelu r1 b1", SOTTO_ERR_UNSUPPORTED, "b1", "deploy"},
        {"globalavg g1 i1", "flatten x0 i1\nglobalavg g1 x0", SOTTO_ERR_UNSUPPORTED, "g1", "flatten"},
        {"globalavg g1 i1", "flatten x0 i1\navgpool g1 x0 kernel=1", SOTTO_ERR_UNSUPPORTED, "g1", "flatten"},
        {"maxpool m1 r2 kernel=2", "flatten x0 r2\nmaxpool m1 x0 kernel=1", SOTTO_ERR_UNSUPPORTED, "m1", "flatten"},
        {"dense f1 x1", "dense f0 x1 out=2\nplan f0 weight-scale=1 weight-bits=8\ndense f1 x1", SOTTO_ERR_PARAMS, "f0", "nothing reads it"},
        {"dense f1 x1 out=3\n", "dense f1 x1 out=3\nrelu r9 f1\nplan r9 f=1 k=9 u=3\n", SOTTO_ERR_PARAMS, "r9", "the output is a unit"},
        {"dense f1 x1 out=3\n", "dense f1 x1 out=3\nflatten x9 x1\nplan x9 k=9\n", SOTTO_ERR_PARAMS, "x9", "not what the last node computes"},
        {"input 2x4x4\n", "input 2x300x300\n", SOTTO_ERR_PARAMS, "m1", "too many values"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sotto_model m;
        if (i + 1 < sizeof cases / sizeof *cases) {
            parse(&m, cases[i].from, cases[i].to);
        } else { /* 301 x 301 windows of 300 x 300 */
            parse(&m, cases[i].from, cases[i].to);
            sotto_node *pool = &m.nodes[6];
            pool->kernel_h = pool->kernel_w = 300;
            pool->stride_h = pool->stride_w = 1;
            pool->pad_top = pool->pad_left = pool->pad_bottom = pool->pad_right = 150;
            assert_ok(sotto_model_infer_shapes(&m));
        }
        assert_refused(&m, cases[i].status, cases[i].node, cases[i].message);
        sotto_model_free(&m);
    }
}

/* Fields that a text cannot hold but a caller can. */
static void test_refused_fields(void **state)
{
    (void)state;
    static const struct {
        size_t node, offset;
        unsigned value;
        const char *message;
    } whole[] = {
        {0, offsetof(sotto_node_plan, bits), 1, "bits 2 to 16"},         {0, offsetof(sotto_node_plan, bits), 17, "bits 2 to 16"},
        {1, offsetof(sotto_node_plan, weight_bits), 1, "weight-bits 2"}, {1, offsetof(sotto_node_plan, weight_bits), 17, "weight-bits 2"},
        {2, offsetof(sotto_node_plan, k), 1, "k is out"},                {2, offsetof(sotto_node_plan, k), 51, "k is out"},
        {2, offsetof(sotto_node_plan, u), 1, "u is out"},                {2, offsetof(sotto_node_plan, f), 41, "f is out"},
        {6, offsetof(sotto_node_plan, k), 51, "k is out"},               {7, offsetof(sotto_node_plan, k), 0, "k is out"},
        {10, offsetof(sotto_node_plan, k), 51, "no k"},                  {10, offsetof(sotto_node_plan, k), 1, "no k"},
    };
    static const double bad[] = {0.0, -1.0, NAN, INFINITY};
    sotto_model m;
    parse(&m, "", "");
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        const sotto_node_plan kept = m.nodes[whole[i].node].plan;
        memcpy((char *)&m.nodes[whole[i].node].plan + whole[i].offset, &whole[i].value, sizeof whole[i].value);
        assert_refused(&m, SOTTO_ERR_PARAMS, m.nodes[whole[i].node].name, whole[i].message);
        m.nodes[whole[i].node].plan = kept;
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const sotto_node_plan input = m.nodes[0].plan, linear = m.nodes[1].plan;
        m.nodes[0].plan.scale = bad[i];
        assert_refused(&m, SOTTO_ERR_PARAMS, "input", "no scale");
        m.nodes[0].plan = input;
        m.nodes[1].plan.weight_scale = bad[i];
        assert_refused(&m, SOTTO_ERR_PARAMS, "c1", "no weight-scale");
        m.nodes[1].plan = linear;
    }
    sotto_program p;
    assert_ok(sotto_program_new(&p, &m)); /* all is back in its place */
    sotto_program_free(&p);
    sotto_model_free(&m);
}

/* ---- weights and input -------------------------------------------------------------------------------------------- */

static const char small[] = "sotto-model 1\n"
                            "input 1x1x4 mean=0.5 std=0.25\n"
                            "dense f1 input out=2\n"
                            "plan input scale=0.015625 bits=7\n"
                            "plan f1 weight-scale=0.5 weight-bits=3 k=9\n";

static void test_weights(void **state)
{
    (void)state;
    static const float real[8] = {0.0f, 0.24f, 0.26f, -0.76f, 2.0f, 2.6f, -2.0f, -100.0f};
    static const int32_t whole[8] = {0, 0, 1, -2, 4, 4, -4, -4}; /* both ends of weight_bits = 3 are 4 */
    sotto_model m;
    sotto_program p;
    sotto_program_weights w;
    assert_ok(sotto_model_parse(&m, small, strlen(small)));
    assert_ok(sotto_program_new(&p, &m));
    assert_status(SOTTO_ERR_ARG, sotto_program_weights_new(&w, &p, &m));
    assert_null(w.weights);
    tensors(&m.nodes[1], 8, 2);
    memcpy(m.nodes[1].tensor[0], real, sizeof real);
    m.nodes[1].tensor[1][0] = -1.0f; /* in units of 2^-7 */
    m.nodes[1].tensor[1][1] = 0.0060f;
    assert_ok(sotto_program_weights_new(&w, &p, &m));
    assert_int_equal(w.step_count, 2);
    assert_null(w.weights[0]);
    assert_null(w.bias[0]);
    assert_int_equal(w.weight_counts[1], 8);
    assert_int_equal(w.bias_counts[1], 2);
    assert_memory_equal(w.weights[1], whole, sizeof whole);
    assert_int_equal(w.bias[1][0], -128);
    assert_int_equal(w.bias[1][1], 1);
    sotto_program_weights_free(&w);
    assert_null(w.weights);

    static const float misfits[] = {2.0f, -2.1f, NAN, INFINITY}; /* the ring of 9 bits ends at 2 */
    for (size_t i = 0; i < sizeof misfits / sizeof *misfits; i++) {
        m.nodes[1].tensor[1][0] = misfits[i];
        assert_status(SOTTO_ERR_PARAMS, sotto_program_weights_new(&w, &p, &m));
        assert_non_null(strstr(sotto_error_message(), "node f1: a bias"));
        assert_null(w.weights);
    }
    sotto_program_free(&p);
    sotto_model_free(&m);
}

static void test_input(void **state)
{
    (void)state;
    static const uint8_t pixels[4] = {0, 255, 128, 129};
    static const int64_t want[4] = {-64, 63, 1, 2}; /* -128 and 128 cut to 7 bits; 0.502 and 1.506 rounded */
    sotto_model m;
    sotto_program p;
    int64_t x[4];
    assert_ok(sotto_model_parse(&m, small, strlen(small)));
    assert_ok(sotto_program_new(&p, &m));
    sotto_program_input(&p, &m, x, pixels);
    assert_memory_equal(x, want, sizeof want);
    sotto_program_free(&p);
    sotto_model_free(&m);
}

/* ---- local steps -------------------------------------------------------------------------------------------------- */

static void test_known_windows(void **state)
{
    (void)state;
    static const uint64_t x[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    sotto_step_info s = {.shape = {1, 2, 2}, .ways = 4, .window = {2, 2, 2, 2, 1, 1}};
    const sotto_shape in = {1, 3, 3};
    uint64_t out[16], diff[8], y[8];
    s.words = 4;
    sotto_step_sum(&s, in, out, x); /* rows (pad, 1) and (2, 3) */
    static const uint64_t sums[4] = {1, 5, 11, 28};
    assert_memory_equal(out, sums, sizeof sums);
    s.words = 16;
    sotto_step_gather(&s, in, out, x);
    static const uint64_t spread[16] = {1, 2, 4, 5, 1, 3, 4, 6, 1, 2, 7, 8, 1, 3, 7, 9};
    assert_memory_equal(out, spread, sizeof spread);
    s.units = 8;
    sotto_step_pairs(&s, diff, y, spread);
    for (size_t i = 0; i < 8; i++) {
        const size_t left = i / 4 * 8 + i % 4;
        assert_true(diff[i] == spread[left] - spread[left + 4]);
        assert_true(y[i] == spread[left + 4]);
    }
    const sotto_step_info add = {.words = 9, .shift = {3, 0}};
    uint64_t z[9];
    memcpy(z, x, sizeof z);
    sotto_step_add(&add, z, z, x); /* in place */
    for (size_t i = 0; i < 9; i++) {
        assert_true(z[i] == 9 * x[i]);
    }
}

/* What is done to shares is done to their sum, modulo 2^64; the maximum over what a gather spreads is that of the window. */
static void test_local_steps(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 2);
    enum { MOST = 2 * 7 * 7, SPREAD = 2 * 9 * 9 * 9 }; /* 7 rows, padded by 2 at either end, are 9 windows of 3 */
    static uint64_t a[MOST], c[MOST], x[MOST], out[3][SPREAD], y[3][SPREAD];
    for (int trial = 0; trial < 300; trial++) {
        const sotto_shape in = {1 + (uint32_t)test_below(&rng, 2), 1 + (uint32_t)test_below(&rng, 7), 1 + (uint32_t)test_below(&rng, 7)};
        sotto_window w = {1 + (uint32_t)test_below(&rng, 3), 1 + (uint32_t)test_below(&rng, 3), 1 + (uint32_t)test_below(&rng, 3),
                          1 + (uint32_t)test_below(&rng, 3), 0, 0};
        w.kernel_h = w.kernel_h > in.h ? in.h : w.kernel_h;
        w.kernel_w = w.kernel_w > in.w ? in.w : w.kernel_w;
        w.pad_top = (uint32_t)test_below(&rng, w.kernel_h);
        w.pad_left = (uint32_t)test_below(&rng, w.kernel_w);
        const uint32_t pad_bottom = (uint32_t)test_below(&rng, w.kernel_h), pad_right = (uint32_t)test_below(&rng, w.kernel_w);
        sotto_step_info s = {.window = w, .ways = w.kernel_h * w.kernel_w};
        s.shape = (sotto_shape){in.c, (in.h + w.pad_top + pad_bottom - w.kernel_h) / w.stride_h + 1,
                                (in.w + w.pad_left + pad_right - w.kernel_w) / w.stride_w + 1};
        const size_t area = sotto_shape_words(s.shape), words = sotto_shape_words(in);
        assert_true(area * s.ways <= SPREAD && words <= MOST);
        for (size_t i = 0; i < words; i++) {
            x[i] = (uint64_t)((int64_t)test_below(&rng, 2001) - 1000);
            c[i] = test_u64(&rng);
            a[i] = x[i] - c[i];
        }
        const uint64_t *const of[3] = {x, a, c};
        s.words = area;
        for (int k = 0; k < 3; k++) {
            sotto_step_sum(&s, in, out[k], of[k]);
        }
        for (size_t i = 0; i < area; i++) {
            assert_true(out[0][i] == out[1][i] + out[2][i]);
        }
        s.words = area * s.ways;
        s.units = s.ways / 2 * area;
        for (int k = 0; k < 3; k++) {
            sotto_step_gather(&s, in, y[k], of[k]);
        }
        for (size_t i = 0; i < area; i++) {
            const uint32_t ch = (uint32_t)(i / (s.shape.h * s.shape.w)), row = (uint32_t)(i / s.shape.w % s.shape.h);
            const uint32_t col = (uint32_t)(i % s.shape.w);
            int64_t most = INT64_MIN, spread = INT64_MIN, sum = 0;
            for (int64_t r = 0; r < in.h; r++) {
                for (int64_t q = 0; q < in.w; q++) {
                    const int64_t u = r - (int64_t)row * w.stride_h + w.pad_top, v = q - (int64_t)col * w.stride_w + w.pad_left;
                    if (u >= 0 && u < w.kernel_h && v >= 0 && v < w.kernel_w) {
                        const int64_t value = (int64_t)x[(ch * in.h + (size_t)r) * in.w + (size_t)q];
                        sum += value;
                        most = value > most ? value : most;
                    }
                }
            }
            for (size_t k = 0; k < s.ways; k++) {
                const int64_t value = (int64_t)y[0][k * area + i];
                spread = value > spread ? value : spread;
                assert_true(y[0][k * area + i] == y[1][k * area + i] + y[2][k * area + i]);
            }
            assert_true(spread == most);
            assert_true((int64_t)out[0][i] == sum);
        }
    }
}

/* ---- memory ------------------------------------------------------------------------------------------------------- */

static void test_no_memory(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 3);
    sotto_model m;
    sotto_program p;
    sotto_program_weights w;
    parse(&m, "", "");
    assert_ok(sotto_model_init_weights(&m, &rng));
    long k = 0;
    for (int status = SOTTO_ERR_MEMORY; status != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        status = sotto_program_new(&p, &m);
        sotto_calloc_fail_after(-1);
        if (status != SOTTO_OK) {
            assert_int_equal(status, SOTTO_ERR_MEMORY);
            assert_null(p.steps);
        }
    }
    assert_int_equal(k, 4 + 1);
    k = 0;
    for (int status = SOTTO_ERR_MEMORY; status != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        status = sotto_program_weights_new(&w, &p, &m);
        sotto_calloc_fail_after(-1);
        if (status != SOTTO_OK) {
            assert_int_equal(status, SOTTO_ERR_MEMORY);
            assert_null(w.weights);
        }
    }
    assert_int_equal(k, 8 + 3 * 2 + 1);
    sotto_program_weights_free(&w);
    sotto_program_free(&p);
    sotto_model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),          cmocka_unit_test(test_ring_of_maximum), cmocka_unit_test(test_odd_tree),
        cmocka_unit_test(test_ring_of_addition),
        cmocka_unit_test(test_lifts), cmocka_unit_test(test_lifts_of_kinds), cmocka_unit_test(test_flattened_windows),
        cmocka_unit_test(test_refused_texts),  cmocka_unit_test(test_refused_fields),  cmocka_unit_test(test_weights),
        cmocka_unit_test(test_input),          cmocka_unit_test(test_known_windows),   cmocka_unit_test(test_local_steps),
        cmocka_unit_test(test_no_memory),       cmocka_unit_test(test_passes),          cmocka_unit_test(test_random_pools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
