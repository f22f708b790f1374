/* The operator tests of the ONNX project, as Debian's libonnx-testdata installs them: every model of them is read; where it is accepted its outputs
 * must be the expected ones. Skipped where the package is not installed. SOTTO_TEST_VERBOSE=1 lists what is refused, and why. */
#include "tests/support/support.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nn/onnx/onnx.pb-c.h>

#include "lib/mem.h"
#include "nn/model/weights.h"
#include "nn/onnx/onnx.h"
#include "nn/plain/float.h"

#define ROOT "/usr/share/libonnx-testdata/data"

/* What must be accepted, so that a refusal does not go unseen. */
static const char *const wanted[] = {
    "node/test_averagepool_2d_default", "node/test_averagepool_2d_pads_count_include_pad",
    "node/test_averagepool_2d_precomputed_pads_count_include_pad", "node/test_averagepool_2d_precomputed_strides", "node/test_averagepool_2d_strides",
    "node/test_basic_conv_with_padding", "node/test_basic_conv_without_padding", "node/test_batchnorm_epsilon", "node/test_batchnorm_example",
    "node/test_clip_default_min", "node/test_conv_with_autopad_same", "node/test_conv_with_strides_and_asymmetric_padding",
    "node/test_conv_with_strides_no_padding", "node/test_conv_with_strides_padding", "node/test_flatten_axis1", "node/test_flatten_default_axis",
    "node/test_flatten_negative_axis3", "node/test_gemm_alpha", "node/test_gemm_beta", "node/test_gemm_default_no_bias",
    "node/test_gemm_default_scalar_bias", "node/test_gemm_default_single_elem_vector_bias", "node/test_gemm_default_vector_bias",
    "node/test_gemm_default_zero_bias", "node/test_gemm_transposeB", "node/test_globalaveragepool", "node/test_globalaveragepool_precomputed",
    "node/test_logsoftmax_example_1", "node/test_logsoftmax_large_number", "node/test_matmul_2d", "node/test_maxpool_2d_ceil",
    "node/test_maxpool_2d_default", "node/test_maxpool_2d_pads", "node/test_maxpool_2d_precomputed_pads",
    "node/test_maxpool_2d_precomputed_same_upper", "node/test_maxpool_2d_precomputed_strides", "node/test_maxpool_2d_same_lower",
    "node/test_maxpool_2d_same_upper", "node/test_maxpool_2d_strides", "node/test_relu", "node/test_softmax_example",
    "node/test_softmax_large_number", "pytorch-converted/test_AvgPool2d", "pytorch-converted/test_AvgPool2d_stride", "pytorch-converted/test_Conv2d",
    "pytorch-converted/test_Conv2d_depthwise", "pytorch-converted/test_Conv2d_depthwise_padded", "pytorch-converted/test_Conv2d_depthwise_strided",
    "pytorch-converted/test_Conv2d_depthwise_with_multiplier", "pytorch-converted/test_Conv2d_groups", "pytorch-converted/test_Conv2d_groups_thnn",
    "pytorch-converted/test_Conv2d_no_bias", "pytorch-converted/test_Conv2d_padding", "pytorch-converted/test_Conv2d_strided",
    "pytorch-converted/test_LogSoftmax", "pytorch-converted/test_MaxPool2d", "pytorch-converted/test_ReLU", "pytorch-converted/test_Softmax",
    "pytorch-converted/test_ZeroPad2d", "pytorch-converted/test_log_softmax_lastdim", "pytorch-converted/test_softmax_lastdim",
    "pytorch-operator/test_operator_conv", "pytorch-operator/test_operator_flatten", "simple/test_single_relu_model", NULL,
};

typedef struct tally {
    size_t right, dropped, refused, models;
} tally;

static char note_text[256];

static void keep_note(void *ctx, const char *text)
{
    (void)ctx;
    snprintf(note_text, sizeof note_text, "%s", text);
}

static Onnx__TensorProto *tensor_file(const char *folder, const char *name)
{
    char path[512];
    uint8_t *data;
    size_t len;
    snprintf(path, sizeof path, ROOT "/%s/test_data_set_0/%s.pb", folder, name);
    if (sotto_file_read(path, (size_t)64 << 20, &data, &len) != SOTTO_OK) {
        return NULL;
    }
    Onnx__TensorProto *t = onnx__tensor_proto__unpack(NULL, len, data);
    sotto_free(data);
    return t;
}

/* The elements of a float tensor, NULL for others. */
static float *elements(const Onnx__TensorProto *t, size_t *count)
{
    *count = 1;
    for (size_t i = 0; i < t->n_dims; i++) {
        *count *= (size_t)t->dims[i];
    }
    float *out = sotto_calloc(*count, sizeof *out);
    const int fits = t->data_type == 1 && (t->has_raw_data ? t->raw_data.len == 4 * *count : t->n_float_data == *count);
    if (fits && *count > 0) {
        memcpy(out, t->has_raw_data ? (const void *)t->raw_data.data : t->float_data, 4 * *count);
    }
    if (!fits) {
        sotto_free(out);
    }
    return fits ? out : NULL;
}

/* Files of operator sets 1 and 6, whose operators, as far as they are used there, did not change until 7; and images without a batch, where no
 * attribute counts dimensions. */
static void make_readable(Onnx__ModelProto *file)
{
    static const char *const by_element[] = {"Relu", "Clip", "Identity", "Dropout", "Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Min"};
    Onnx__GraphProto *g = file->graph;
    for (size_t i = 0; i < file->n_opset_import; i++) {
        Onnx__OperatorSetIdProto *o = file->opset_import[i];
        o->version = o->version == 6 || o->version == 1 ? 7 : o->version;
    }
    size_t plain = 0;
    for (size_t i = 0; i < sizeof by_element / sizeof *by_element && g->n_node == 1; i++) {
        plain |= strcmp(g->node[0]->op_type, by_element[i]) == 0;
    }
    const int tensors = plain && g->n_input > 0 && g->n_output > 0 && g->input[0]->type->tensor_type != NULL && g->output[0]->type->tensor_type != NULL;
    for (unsigned end = 0; tensors && end < 2; end++) {
        Onnx__TensorShapeProto *shape = (end == 0 ? g->input : g->output)[0]->type->tensor_type->shape;
        if (shape != NULL && shape->n_dim == 3) {
            Onnx__TensorShapeProto__Dimension *one = malloc(sizeof *one), **dims = realloc(shape->dim, 4 * sizeof *dims);
            onnx__tensor_shape_proto__dimension__init(one);
            memmove(dims + 1, dims, 3 * sizeof *dims);
            dims[0] = one;
            shape->dim = dims;
            shape->n_dim = 4;
        }
    }
}

/* The model, with all inputs but the first, which these tests give as data, as initialisers. */
static int read_model(sotto_model *m, const char *folder)
{
    char path[512], name[32];
    uint8_t *data, *packed;
    size_t len;
    Onnx__TensorProto *extra[8];
    size_t extras = 0;
    snprintf(path, sizeof path, ROOT "/%s/model.onnx", folder);
    assert_ok(sotto_file_read(path, (size_t)64 << 20, &data, &len));
    Onnx__ModelProto *file = onnx__model_proto__unpack(NULL, len, data);
    sotto_free(data);
    assert_non_null(file);
    make_readable(file);
    Onnx__GraphProto *g = file->graph;
    Onnx__TensorProto **before = g->initializer, **all = calloc(g->n_initializer + 8, sizeof *all);
    const size_t count = g->n_initializer;
    if (count > 0) {
        memcpy(all, before, count * sizeof *all);
    }
    for (size_t i = 1; i < g->n_input && i <= 8; i++) {
        snprintf(name, sizeof name, "input_%zu", i);
        Onnx__TensorProto *t = tensor_file(folder, name);
        if (t != NULL) {
            free(t->name);
            t->name = strdup(g->input[i]->name);
            extra[extras++] = t;
            all[g->n_initializer++] = t;
        }
    }
    g->initializer = all;
    packed = sotto_calloc(onnx__model_proto__get_packed_size(file) + 1, 1);
    len = onnx__model_proto__pack(file, packed);
    const sotto_onnx_options options = {.note = keep_note};
    note_text[0] = '\0';
    const int status = sotto_onnx_read(m, packed, len, &options);
    sotto_free(packed);
    g->initializer = before;
    g->n_initializer = count;
    free(all);
    for (size_t i = 0; i < extras; i++) {
        onnx__tensor_proto__free_unpacked(extra[i], NULL);
    }
    onnx__model_proto__free_unpacked(file, NULL);
    return status;
}

/* Image by image: the files hold batches. */
static void check_values(const char *folder, const sotto_model *m, int dropped)
{
    Onnx__TensorProto *in = tensor_file(folder, "input_0"), *out = tensor_file(folder, "output_0");
    assert_true(in != NULL && out != NULL);
    size_t in_count, out_count;
    float *x = elements(in, &in_count), *want = elements(out, &out_count);
    assert_true(x != NULL && want != NULL);
    const size_t words = sotto_shape_words(m->nodes[0].shape), outputs = sotto_shape_words(m->nodes[m->node_count - 1].shape);
    assert_int_equal(in_count % words, 0);
    assert_int_equal(in_count / words * outputs, out_count);
    sotto_float_run *run;
    assert_ok(sotto_float_run_new(&run, m));
    for (size_t i = 0; i < in_count / words; i++) {
        for (size_t k = 0; k < words; k++) { /* the file's own normalisation, if it has one, is the model's */
            const size_t c = k / ((size_t)m->nodes[0].shape.h * m->nodes[0].shape.w);
            x[i * words + k] = (x[i * words + k] - m->mean[c]) / m->std[c];
        }
        assert_ok(sotto_float_infer(run, x + i * words));
        const float *got = sotto_float_value(run, m->node_count - 1);
        if (dropped) { /* logits in the place of probabilities */
            assert_int_equal(sotto_argmax_float(got, outputs), sotto_argmax_float(want + i * outputs, outputs));
            continue;
        }
        for (size_t k = 0; k < outputs; k++) {
            const double w = want[i * outputs + k];
            if (!(fabs((double)got[k] - w) <= 1e-5 + 1e-4 * fabs(w))) {
                fail_msg("%s: output %zu of image %zu is %.9g; expected %.9g", folder, k, i, (double)got[k], w);
            }
        }
    }
    sotto_float_run_free(run);
    sotto_free(x);
    sotto_free(want);
    onnx__tensor_proto__free_unpacked(in, NULL);
    onnx__tensor_proto__free_unpacked(out, NULL);
}

/* 1: accepted and right. */
static int check(const char *folder, tally *t)
{
    sotto_model m;
    const int status = read_model(&m, folder), verbose = getenv("SOTTO_TEST_VERBOSE") != NULL;
    t->models++;
    if (status != SOTTO_OK) {
        t->refused++;
        if (verbose) {
            print_message("refused %s: %s\n", folder, sotto_error_message());
        }
        return 0;
    }
    const int dropped = note_text[0] != '\0';
    check_values(folder, &m, dropped);
    t->dropped += (size_t)dropped;
    t->right += !dropped;
    if (verbose) {
        print_message("%s %s\n", dropped ? "logits " : "right  ", folder);
    }
    sotto_model_free(&m);
    return 1;
}

static void test_all(void **state)
{
    static const char *const groups[] = {"node", "pytorch-converted", "pytorch-operator", "simple"};
    tally t = {0};
    (void)state;
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        char path[512];
        snprintf(path, sizeof path, ROOT "/%s", groups[g]);
        DIR *d = opendir(path);
        if (d == NULL) {
            skip();
        }
        for (struct dirent *e; (e = readdir(d)) != NULL;) {
            snprintf(path, sizeof path, "%s/%s", groups[g], e->d_name);
            if (e->d_name[0] != '.') {
                (void)check(path, &t);
            }
        }
        (void)closedir(d);
    }
    print_message("%zu models: %zu right, %zu right but for a softmax, %zu refused\n", t.models, t.right, t.dropped, t.refused);
}

static void test_wanted(void **state)
{
    tally t = {0};
    DIR *d = opendir(ROOT);
    (void)state;
    if (d == NULL) {
        skip();
    }
    (void)closedir(d);
    for (size_t i = 0; wanted[i] != NULL; i++) {
        if (!check(wanted[i], &t)) {
            fail_msg("%s is refused: %s", wanted[i], sotto_error_message());
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
