/* The graph: what an op is, what is refused, the shapes and sizes that follow, weights drawn and released. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/model/model.h"
#include "tests/support/support.h"

static sotto_node node(const char *name, sotto_op op, uint32_t a, uint32_t b)
{
    sotto_node n = {.op = op, .input = {a, b}, .out = 1, .kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1, .groups = 1};
    snprintf(n.name, sizeof n.name, "%s", name);
    return n;
}

static sotto_node *add(sotto_model *m, sotto_node n)
{
    uint32_t index;
    assert_ok(sotto_model_append(m, &n, &index));
    assert_int_equal(m->node_count - 1, index);
    return &m->nodes[index];
}

static void start(sotto_model *m, uint32_t c, uint32_t h, uint32_t w)
{
    sotto_model_init(m);
    add(m, node("input", SOTTO_OP_INPUT, 0, 0))->shape = (sotto_shape){c, h, w};
}

static void test_ops(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned inputs;
        int linear, unit, window;
    } want[SOTTO_OP_COUNT] = {
        {"input", 0, 0, 0, 0},   {"conv", 1, 1, 0, 1},    {"dense", 1, 1, 0, 0},   {"batchnorm", 1, 0, 0, 0},
        {"relu", 1, 0, 1, 0},    {"clip", 1, 0, 1, 0},    {"identity", 1, 0, 1, 0}, {"act", 1, 0, 1, 0},
        {"maxpool", 1, 0, 0, 1}, {"avgpool", 1, 0, 0, 1}, {"globalavg", 1, 0, 0, 0}, {"add", 2, 0, 0, 0},
        {"concat", 2, 0, 0, 0},  {"pad", 1, 0, 0, 0},     {"flatten", 1, 0, 0, 0},
    };
    for (unsigned i = 0; i < SOTTO_OP_COUNT; i++) {
        const sotto_op op = (sotto_op)i;
        assert_string_equal(want[i].name, sotto_op_name(op));
        assert_int_equal(want[i].inputs, sotto_op_inputs(op));
        assert_int_equal(want[i].linear, sotto_op_is_linear(op));
        assert_int_equal(want[i].unit, sotto_op_is_unit(op));
        assert_int_equal(want[i].window, sotto_op_has_window(op));
    }
    assert_null(sotto_op_name(SOTTO_OP_COUNT));
    assert_null(sotto_op_name((sotto_op)1000));
}

/* Each op's shape, tensor sizes and operations, worked out by hand from an input of 6 x 9 x 10. */
static void test_shapes_and_sizes(void **state)
{
    (void)state;
    sotto_model m;
    start(&m, 6, 9, 10);
    sotto_node n = node("c", SOTTO_OP_CONV, 0, 0);
    n.out = 4, n.kernel_h = 3, n.kernel_w = 2, n.stride_h = 2, n.stride_w = 3, n.pad_top = 1, n.pad_left = 1, n.pad_bottom = 2;
    n.groups = 2;
    add(&m, n);
    add(&m, node("b", SOTTO_OP_BATCHNORM, 1, 0));
    add(&m, node("r", SOTTO_OP_RELU, 2, 0));
    add(&m, node("i", SOTTO_OP_IDENTITY, 3, 0));
    add(&m, node("s", SOTTO_OP_ADD, 3, 4));
    n = node("p", SOTTO_OP_MAXPOOL, 5, 0);
    n.kernel_h = 2, n.kernel_w = 2, n.stride_h = 2, n.stride_w = 1;
    add(&m, n);
    n.op = SOTTO_OP_AVGPOOL;
    n.pad_bottom = 1;
    snprintf(n.name, sizeof n.name, "a");
    add(&m, n);
    add(&m, node("g", SOTTO_OP_GLOBALAVG, 5, 0));
    add(&m, node("f", SOTTO_OP_FLATTEN, 7, 0));
    n = node("d", SOTTO_OP_DENSE, 7, 0);
    n.out = 7;
    add(&m, n);
    add(&m, node("k", SOTTO_OP_CONCAT, 5, 3));
    n = node("z", SOTTO_OP_PAD, 11, 0);
    n.pad_top = 1, n.pad_left = 2, n.pad_bottom = 3, n.pad_right = 4, n.pad_front = 5, n.pad_back = 6;
    add(&m, n);
    add(&m, node("l", SOTTO_OP_CLIP, 12, 0));
    add(&m, node("t", SOTTO_OP_ACT, 13, 0));
    assert_ok(sotto_model_infer_shapes(&m));
    m.nodes[14].units[3].kind = SOTTO_UNIT_SQUARE;
    static const struct {
        sotto_shape shape;
        size_t tensor[SOTTO_TENSORS_MAX];
        uint64_t macs;
    } want[] = {
        {{6, 9, 10}, {0}, 0},
        {{4, 5, 4}, {4 * 3 * 3 * 2, 4, 0, 0}, 4 * 3 * 3 * 2 * 5 * 4}, /* (9 + 3 - 3) / 2 + 1 = 5, (10 + 1 - 2) / 3 + 1 = 4 */
        {{4, 5, 4}, {4, 4, 4, 4}, 0},
        {{4, 5, 4}, {0}, 0},
        {{4, 5, 4}, {0}, 0},
        {{4, 5, 4}, {0}, 0},
        {{4, 2, 3}, {0}, 0}, /* (5 - 2) / 2 + 1, (4 - 2) + 1 */
        {{4, 3, 3}, {0}, 0}, /* (6 - 2) / 2 + 1 */
        {{4, 1, 1}, {0}, 0},
        {{36, 1, 1}, {0}, 0},
        {{7, 1, 1}, {7 * 36, 7, 0, 0}, 7 * 36},
        {{8, 5, 4}, {0}, 0},
        {{19, 9, 10}, {0}, 0},
        {{19, 9, 10}, {19, 0, 0, 0}, 0},
        {{19, 9, 10}, {4 * 19, 0, 0, 0}, 0},
    };
    assert_int_equal(sizeof want / sizeof *want, m.node_count);
    for (size_t i = 0; i < m.node_count; i++) {
        const sotto_shape s = m.nodes[i].shape, w = want[i].shape;
        if (s.c != w.c || s.h != w.h || s.w != w.w) {
            fail_msg("node %s: %u x %u x %u, not %u x %u x %u", m.nodes[i].name, s.c, s.h, s.w, w.c, w.h, w.w);
        }
        for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
            assert_int_equal(want[i].tensor[t], sotto_tensor_count(&m, &m.nodes[i], t));
        }
        assert_int_equal(want[i].macs, sotto_node_macs(&m, &m.nodes[i]));
        assert_int_equal(i, sotto_model_find(&m, m.nodes[i].name));
    }
    assert_true(sotto_model_find(&m, "nobody") == SIZE_MAX);
    assert_false(sotto_model_has_weights(&m));
    sotto_model_free(&m);
}

/* Decisions by kind, patch and mask, counted by hand; what is no act node has plain units. */
static void test_units(void **state)
{
    (void)state;
    sotto_model m;
    start(&m, 4, 5, 7);
    add(&m, node("r", SOTTO_OP_RELU, 0, 0));
    add(&m, node("l", SOTTO_OP_CLIP, 1, 0));
    add(&m, node("i", SOTTO_OP_IDENTITY, 2, 0));
    add(&m, node("t", SOTTO_OP_ACT, 3, 0));
    assert_ok(sotto_model_infer_shapes(&m));
    sotto_node *t = &m.nodes[4];
    assert_int_equal(4 * 35, sotto_node_decisions(&m.nodes[1]));
    assert_int_equal(2 * 4 * 35, sotto_node_decisions(&m.nodes[2]));
    assert_int_equal(0, sotto_node_decisions(&m.nodes[3]));
    assert_int_equal(4 * 35, sotto_node_decisions(t));
    assert_int_equal(SOTTO_UNIT_RELU, sotto_node_unit(&m.nodes[2], 3).kind);
    assert_int_equal(SOTTO_UNIT_IDENTITY, sotto_node_unit(&m.nodes[3], 0).kind);
    t->units[1] = (sotto_unit){SOTTO_UNIT_RELU, 2, 3}; /* 3 x 3 patches */
    t->units[2] = (sotto_unit){SOTTO_UNIT_CUBIC, 1, 1};
    t->units[3] = (sotto_unit){SOTTO_UNIT_ZERO, 1, 1};
    assert_int_equal(35 + 9, sotto_node_decisions(t));
    assert_int_equal(2, sotto_node_unit(t, 1).block_h);
    t->mask = sotto_calloc((4 * 35 + 7) / 8, 1);
    memset(t->mask, 0xff, (4 * 35 + 7) / 8);
    t->mask[4] = 0xfb; /* value 34, the last of channel 0 */
    assert_ok(sotto_model_infer_shapes(&m));
    assert_int_equal(34 + 9, sotto_node_decisions(t));
    assert_false(sotto_node_masked_in(t, 34));
    assert_true(sotto_node_masked_in(t, 33));
    t->mask[4] = 0xf7; /* value 35 is of a channel of patches */
    assert_status(SOTTO_ERR_FORMAT, sotto_model_infer_shapes(&m));
    t->mask[4] = 0xff;
    t->units[3].block_w = 2;
    assert_status(SOTTO_ERR_FORMAT, sotto_model_infer_shapes(&m));
    t->units[3] = (sotto_unit){SOTTO_UNIT_KINDS, 1, 1};
    assert_status(SOTTO_ERR_FORMAT, sotto_model_infer_shapes(&m));
    t->units[3] = (sotto_unit){SOTTO_UNIT_RELU, 0, 1};
    assert_status(SOTTO_ERR_FORMAT, sotto_model_infer_shapes(&m));
    t->units[3] = (sotto_unit){SOTTO_UNIT_RELU, SOTTO_BLOCK_MAX + 1, 1};
    assert_status(SOTTO_ERR_FORMAT, sotto_model_infer_shapes(&m));
    sotto_model_free(&m);
}

/* A 4 x 8 x 8 input, a convolution, a relu and a dense node, each spoiled in one place. */
static void spoil_none(sotto_model *m) { (void)m; }
static void spoil_op(sotto_model *m) { m->nodes[2].op = (sotto_op)77; }
static void spoil_second_input(sotto_model *m) { m->nodes[2].op = SOTTO_OP_INPUT; }
static void spoil_name(sotto_model *m) { m->nodes[2].name[0] = '/'; }
static void spoil_no_name(sotto_model *m) { m->nodes[2].name[0] = '\0'; }
static void spoil_open_name(sotto_model *m) { memset(m->nodes[2].name, 'x', SOTTO_NAME_MAX); }
static void spoil_same_name(sotto_model *m) { strcpy(m->nodes[2].name, "c"); }
static void spoil_input_name(sotto_model *m) { strcpy(m->nodes[0].name, "image"); }
static void spoil_model_name(sotto_model *m) { strcpy(m->name, "two words"); }
static void spoil_order(sotto_model *m) { m->nodes[2].input[0] = 2; }
static void spoil_far_input(sotto_model *m) { m->nodes[2].input[0] = UINT32_MAX; }
static void spoil_out(sotto_model *m) { m->nodes[1].out = 0; }
static void spoil_dense_out(sotto_model *m) { m->nodes[3].out = SOTTO_DIM_MAX + 1; }
static void spoil_kernel(sotto_model *m) { m->nodes[1].kernel_w = 0; }
static void spoil_big_kernel(sotto_model *m) { m->nodes[1].kernel_h = 9; }
static void spoil_huge_kernel(sotto_model *m) { m->nodes[1].kernel_h = UINT32_MAX; }
static void spoil_stride(sotto_model *m) { m->nodes[1].stride_h = 0; }
static void spoil_huge_pad(sotto_model *m) { m->nodes[1].pad_left = UINT32_MAX; }
static void spoil_pad(sotto_model *m) { m->nodes[1].pad_bottom = m->nodes[1].kernel_h; }
static void spoil_groups(sotto_model *m) { m->nodes[1].groups = 0; }
static void spoil_groups_in(sotto_model *m) { m->nodes[1].groups = 3; }
static void spoil_groups_out(sotto_model *m) { m->nodes[1].groups = 4; }
static void spoil_channels(sotto_model *m) { m->nodes[0].shape.c = SOTTO_INPUT_CHANNELS_MAX + 1; }
static void spoil_no_rows(sotto_model *m) { m->nodes[0].shape.h = 0; }
static void spoil_large(sotto_model *m) { m->nodes[0].shape.h = m->nodes[0].shape.w = 65536; }
static void spoil_weights(sotto_model *m) { m->nodes[3].out = 65536, m->nodes[0].shape.w = 4096; }
static void spoil_mean(sotto_model *m) { m->mean[3] = NAN; }
static void spoil_std(sotto_model *m) { m->std[1] = 0.0f; }
static void spoil_no_node(sotto_model *m) { m->node_count = 1; }
static void spoil_label_count(sotto_model *m) { m->label_count = 1; }
static void spoil_label(sotto_model *m) { m->labels[1][0] = '\n'; }
static void spoil_no_label(sotto_model *m) { m->labels[0][0] = '\0'; }
static void spoil_open_label(sotto_model *m) { memset(m->labels[0], 'x', SOTTO_NAME_MAX); }

static void give_windows(sotto_node *n, uint8_t last)
{
    n->windows = sotto_calloc(6, 1);
    assert_non_null(n->windows);
    memset(n->windows, 50, 5);
    n->windows[5] = last;
}
static void spoil_no_windows(sotto_model *m) { give_windows(&m->nodes[2], 2); } /* nothing spoilt */
static void spoil_window(sotto_model *m) { give_windows(&m->nodes[2], 1); }
static void spoil_large_window(sotto_model *m) { give_windows(&m->nodes[2], 51); }
static void spoil_windows_of_linear(sotto_model *m) { give_windows(&m->nodes[1], 9); }

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        void (*spoil)(sotto_model *m);
        int status;
        const char *message; /* a part of it */
    } cases[] = {
        {spoil_none, SOTTO_OK, ""},
        {spoil_op, SOTTO_ERR_FORMAT, "node r: operation is unknown"},
        {spoil_second_input, SOTTO_ERR_FORMAT, "node r: operation is unknown, or a second input"},
        {spoil_name, SOTTO_ERR_FORMAT, "name"},
        {spoil_no_name, SOTTO_ERR_FORMAT, "name"},
        {spoil_open_name, SOTTO_ERR_FORMAT, "name"},
        {spoil_same_name, SOTTO_ERR_FORMAT, "taken"},
        {spoil_input_name, SOTTO_ERR_FORMAT, "needs an input"},
        {spoil_model_name, SOTTO_ERR_FORMAT, "model name"},
        {spoil_order, SOTTO_ERR_FORMAT, "node r: an input does not come before"},
        {spoil_far_input, SOTTO_ERR_FORMAT, "node r: an input does not come before"},
        {spoil_out, SOTTO_ERR_FORMAT, "node c: out"},
        {spoil_dense_out, SOTTO_ERR_FORMAT, "node d: out"},
        {spoil_kernel, SOTTO_ERR_FORMAT, "node c: kernel"},
        {spoil_big_kernel, SOTTO_ERR_FORMAT, "node c: kernel does not fit"},
        {spoil_huge_kernel, SOTTO_ERR_FORMAT, "node c: kernel"},
        {spoil_stride, SOTTO_ERR_FORMAT, "node c: kernel, stride"},
        {spoil_huge_pad, SOTTO_ERR_FORMAT, "node c: kernel, stride or pad"},
        {spoil_pad, SOTTO_ERR_FORMAT, "node c: pad is not smaller"},
        {spoil_groups, SOTTO_ERR_FORMAT, "node c: groups"},
        {spoil_groups_in, SOTTO_ERR_FORMAT, "node c: groups"},
        {spoil_groups_out, SOTTO_ERR_FORMAT, "node c: groups"},
        {spoil_channels, SOTTO_ERR_LIMIT, "input: shape"},
        {spoil_no_rows, SOTTO_ERR_LIMIT, "input: shape"},
        {spoil_large, SOTTO_ERR_LIMIT, "input: shape"},
        {spoil_weights, SOTTO_ERR_LIMIT, "node d: more than"},
        {spoil_mean, SOTTO_ERR_FORMAT, "channel 3"},
        {spoil_std, SOTTO_ERR_FORMAT, "channel 1"},
        {spoil_no_node, SOTTO_ERR_FORMAT, "at least one node"},
        {spoil_label_count, SOTTO_ERR_FORMAT, "1 labels for 2 outputs"},
        {spoil_label, SOTTO_ERR_FORMAT, "label 1"},
        {spoil_no_label, SOTTO_ERR_FORMAT, "label 0"},
        {spoil_open_label, SOTTO_ERR_FORMAT, "label 0"},
        {spoil_no_windows, SOTTO_OK, ""},
        {spoil_window, SOTTO_ERR_FORMAT, "node r: windows"},
        {spoil_large_window, SOTTO_ERR_FORMAT, "node r: windows"},
        {spoil_windows_of_linear, SOTTO_ERR_FORMAT, "node c: windows"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sotto_model m;
        start(&m, 4, 8, 8);
        sotto_node n = node("c", SOTTO_OP_CONV, 0, 0);
        n.out = 6, n.kernel_h = 3, n.kernel_w = 3, n.groups = 2;
        add(&m, n);
        add(&m, node("r", SOTTO_OP_RELU, 1, 0));
        n = node("d", SOTTO_OP_DENSE, 2, 0);
        n.out = 2;
        add(&m, n);
        m.labels = sotto_calloc(2, sizeof *m.labels);
        assert_non_null(m.labels);
        m.label_count = 2;
        strcpy(m.labels[0], "first class");
        strcpy(m.labels[1], "~");
        cases[i].spoil(&m);
        const int got = sotto_model_infer_shapes(&m);
        if (got != cases[i].status || (got != SOTTO_OK && strstr(sotto_error_message(), cases[i].message) == NULL)) {
            fail_msg("case %zu: %s, '%s'; expected '%s'", i, sotto_status_name(got), sotto_error_message(), cases[i].message);
        }
        sotto_model_free(&m); /* a refused graph too is released whole */
        sotto_model_free(&m);
    }
}

/* The largest product of all limits is a refusal, not a small number that came round. */
static void test_sizes_do_not_wrap(void **state)
{
    (void)state;
    sotto_model m;
    start(&m, 16, 2048, 2048);
    sotto_node n = node("c", SOTTO_OP_CONV, 0, 0);
    n.out = 65536, n.kernel_h = 65536, n.kernel_w = 65536;
    n.pad_top = n.pad_bottom = n.pad_left = n.pad_right = 65535;
    n.stride_h = n.stride_w = 65536;
    add(&m, n);
    assert_status(SOTTO_ERR_LIMIT, sotto_model_infer_shapes(&m));
    assert_true(sotto_tensor_count(&m, &m.nodes[1], 0) >= (size_t)1 << 52);
    /* 65536 * 65536 is 0 in 32 bits */
    m.nodes[1].op = SOTTO_OP_FLATTEN;
    add(&m, node("d", SOTTO_OP_DENSE, 1, 0))->out = 65536;
    assert_status(SOTTO_ERR_LIMIT, sotto_model_infer_shapes(&m));
    assert_true(sotto_tensor_count(&m, &m.nodes[2], 0) == (size_t)65536 << 26);
    sotto_model_free(&m);
}

static void test_append(void **state)
{
    (void)state;
    sotto_model m;
    uint32_t index = 7;
    start(&m, 1, 1, 1);
    for (uint32_t i = 1; i < SOTTO_NODES_MAX; i++) {
        char name[SOTTO_NAME_MAX];
        snprintf(name, sizeof name, "n%u", i);
        add(&m, node(name, SOTTO_OP_RELU, i - 1, 0));
    }
    const sotto_node n = node("more", SOTTO_OP_RELU, 0, 0);
    assert_status(SOTTO_ERR_LIMIT, sotto_model_append(&m, &n, &index));
    assert_int_equal(7, index);
    assert_ok(sotto_model_infer_shapes(&m));
    assert_string_equal("n4095", m.nodes[4095].name);
    sotto_model_free(&m);
    assert_int_equal(0, m.node_count);

    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_model_append(&m, &n, &index));
    sotto_calloc_fail_after(-1);
    assert_int_equal(0, m.node_count);
    sotto_model_free(&m);
}

static void trainable(sotto_model *m)
{
    start(m, 3, 6, 6);
    sotto_node n = node("c", SOTTO_OP_CONV, 0, 0);
    n.out = 64, n.kernel_h = 5, n.kernel_w = 5;
    add(m, n);
    add(m, node("b", SOTTO_OP_BATCHNORM, 1, 0));
    n = node("d", SOTTO_OP_DENSE, 2, 0);
    n.out = 20;
    add(m, n);
    assert_ok(sotto_model_infer_shapes(m));
}

/* Mean 0 and variance 2 / fan-in within five standard errors of sample mean and sample variance. */
static void test_drawn_weights(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 0);
    sotto_model m;
    trainable(&m);
    for (int twice = 0; twice < 2; twice++) { /* the second draw replaces the first */
        assert_ok(sotto_model_init_weights(&m, &rng));
        assert_true(sotto_model_has_weights(&m));
        for (size_t i = 1; i < m.node_count; i += 2) {
            const sotto_node *n = &m.nodes[i];
            const size_t count = sotto_tensor_count(&m, n, 0);
            const double fan_in = (double)count / n->out, variance = 2.0 / fan_in;
            double sum = 0.0, square = 0.0;
            for (size_t j = 0; j < count; j++) {
                sum += n->tensor[0][j];
                square += (double)n->tensor[0][j] * n->tensor[0][j];
            }
            assert_true(fabs(sum / (double)count) < 5.0 * sqrt(variance / (double)count));
            assert_true(fabs(square / (double)count / variance - 1.0) < 5.0 * sqrt(2.0 / (double)count));
            for (uint32_t j = 0; j < n->out; j++) {
                assert_true(n->tensor[1][j] == 0.0f);
            }
        }
        for (unsigned t = 0; t < 4; t++) {
            for (size_t j = 0; j < 64; j++) {
                assert_true(m.nodes[2].tensor[t][j] == (t == 0 || t == 3 ? 1.0f : 0.0f));
            }
        }
    }
    float *gone = m.nodes[3].tensor[1];
    m.nodes[3].tensor[1] = NULL;
    assert_false(sotto_model_has_weights(&m));
    m.nodes[3].tensor[1] = gone;
    sotto_model_free(&m);
}

static void assert_bare(const sotto_model *m)
{
    for (size_t i = 0; i < m->node_count; i++) {
        for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
            assert_null(m->nodes[i].tensor[t]);
        }
    }
}

/* From a model that has weights: a draw that fails leaves none, not a mixture. */
static void test_failing_draw(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(1, 0);
    sotto_model m;
    trainable(&m);
    assert_ok(sotto_model_init_weights(&m, &rng));
    test_faulty_rng count = {rng, -1, 0};
    sotto_rng faulty = test_faulty_rng_wrap(&count);
    count.k = 1L << 40;
    assert_ok(sotto_model_init_weights(&m, &faulty));
    assert_true(count.calls > 100);
    for (long k = 0; k < count.calls; k++) {
        test_faulty_rng f = {rng, k, 0};
        faulty = test_faulty_rng_wrap(&f);
        assert_status(SOTTO_ERR_RNG, sotto_model_init_weights(&m, &faulty));
        assert_bare(&m);
    }
    int failed = 1;
    long k = 0;
    for (; failed; k++) {
        sotto_calloc_fail_after(k);
        const int status = sotto_model_init_weights(&m, &rng);
        sotto_calloc_fail_after(-1);
        failed = status != SOTTO_OK;
        if (failed) {
            assert_int_equal(SOTTO_ERR_MEMORY, status);
            assert_bare(&m);
        }
    }
    assert_int_equal(9, k); /* eight tensors, then success */
    sotto_model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ops),    cmocka_unit_test(test_shapes_and_sizes),
        cmocka_unit_test(test_units), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_append), cmocka_unit_test(test_sizes_do_not_wrap), cmocka_unit_test(test_drawn_weights),
        cmocka_unit_test(test_failing_draw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
