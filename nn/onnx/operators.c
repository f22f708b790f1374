/* What each operator of ONNX becomes. One table; a handler reads the node at hand and defines its output. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/onnx/operators_internal.h"

/* ---- steps that several take ----------------------------------------------------------------------------------------- */

static const sotto_node *node_of(const reader *r, const value *v)
{
    return &r->m->nodes[v->node];
}

/* Input 0 as c x h x w. */
static int image(reader *r, value **v)
{
    const int status = sotto_onnx_activation(r, 0, v);
    return status == SOTTO_OK && (*v)->rank != 3 ? sotto_onnx_refuse(r, "its input is flat; expected N x channels x height x width") : status;
}

int sotto_onnx_alias(reader *r, const value *x, unsigned rank)
{
    return sotto_onnx_output(r, x->node, rank);
}

int sotto_onnx_append(reader *r, sotto_node *n, unsigned rank)
{
    uint32_t index;
    const int status = sotto_onnx_add(r, n, r->at, &index);
    return status == SOTTO_OK ? sotto_onnx_output(r, index, rank) : status;
}

/* A node that keeps the shape of what it reads. */
static sotto_node after(const reader *r, sotto_op op, const value *v)
{
    return (sotto_node){.op = op, .input = {v->node}, .groups = 1, .shape = node_of(r, v)->shape};
}

/* Attribute `name` must be absent or `want`. */
static int only(reader *r, const char *name, int64_t want)
{
    int64_t v = want;
    const int status = sotto_onnx_attribute_int(r, name, &v);
    return status == SOTTO_OK && v != want ? sotto_onnx_refuse(r, "attribute %s is %lld; supported: %lld", name, (long long)v, (long long)want) : status;
}

/* ---- windows ------------------------------------------------------------------------------------------------------- */

enum { PAD_EXPLICIT, PAD_VALID, PAD_SAME_UPPER, PAD_SAME_LOWER };

/* Two whole numbers of an attribute that may be absent. */
static int pair(const reader *r, const char *name, int64_t low, int64_t high, uint32_t *a, uint32_t *b)
{
    int64_t v[2] = {*a, *b};
    size_t n;
    const int status = sotto_onnx_attribute_ints(r, name, v, 2, &n);
    if (status != SOTTO_OK) {
        return status;
    }
    if (n == 0) {
        return SOTTO_OK;
    }
    if (n != 2 || v[0] < low || v[0] > high || v[1] < low || v[1] > high) {
        return sotto_onnx_refuse(r, "attribute %s; supported: two numbers, each from %lld to %lld", name, (long long)low, (long long)high);
    }
    *a = (uint32_t)v[0];
    *b = (uint32_t)v[1];
    return SOTTO_OK;
}

/* One axis: pads that auto_pad asks for, then the output's length. ceil: windows that begin inside may end outside. */
typedef struct axis {
    uint32_t in, kernel, stride, before, after, out;
} axis;

static int settle_axis(const reader *r, axis *a, unsigned mode, int ceil, int is_max)
{
    if (mode == PAD_SAME_UPPER || mode == PAD_SAME_LOWER) {
        const uint32_t out = (a->in + a->stride - 1) / a->stride; /* both at most 2^16 */
        const uint64_t need = (uint64_t)(out - 1) * a->stride + a->kernel;
        const uint32_t total = need > a->in ? (uint32_t)(need - a->in) : 0;
        a->before = mode == PAD_SAME_UPPER ? total / 2 : total - total / 2;
        a->after = total - a->before;
    }
    const uint32_t padded = a->in + a->before + a->after;
    if (padded < a->kernel) {
        return sotto_onnx_broken(r, "the kernel of %u does not fit %u padded pixels", (unsigned)a->kernel, (unsigned)padded);
    }
    const uint32_t rest = (padded - a->kernel) % a->stride;
    a->out = (padded - a->kernel) / a->stride + 1;
    if (ceil && rest != 0) {
        const uint32_t more = a->stride - rest;
        /* The last window begins at out * stride; one that begins in the padding is none. */
        if (a->out * a->stride >= a->in + a->before) {
            return SOTTO_OK;
        }
        if (!is_max) {
            return sotto_onnx_refuse(r, "attribute ceil_mode is 1 where it matters; supported: only for MaxPool");
        }
        a->after += more;
        a->out++;
    }
    return SOTTO_OK;
}

/* Kernel (preset from the weights or 0), strides, pads and shape of n->shape.c channels over `in`. */
static int window(reader *r, sotto_shape in, sotto_node *n, int is_max)
{
    static const char *const modes[] = {"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", NULL};
    uint32_t kernel[2] = {n->kernel_h, n->kernel_w}, dilation[2] = {1, 1};
    int64_t pads[4] = {0, 0, 0, 0}, ceil = 0;
    size_t pad_count;
    unsigned mode = PAD_EXPLICIT;
    n->stride_h = n->stride_w = 1;
    int status = pair(r, "kernel_shape", 1, SOTTO_DIM_MAX, &kernel[0], &kernel[1]);
    if (status == SOTTO_OK && (kernel[0] == 0 || (n->kernel_h != 0 && (kernel[0] != n->kernel_h || kernel[1] != n->kernel_w)))) {
        status = sotto_onnx_broken(r, "attribute kernel_shape is missing, or is not the weights' shape");
    }
    if (status == SOTTO_OK) {
        status = pair(r, "strides", 1, SOTTO_DIM_MAX, &n->stride_h, &n->stride_w);
    }
    if (status == SOTTO_OK) {
        status = pair(r, "dilations", 1, 1, &dilation[0], &dilation[1]);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_attribute_choice(r, "auto_pad", modes, &mode);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_attribute_ints(r, "pads", pads, 4, &pad_count);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_attribute_int(r, "ceil_mode", &ceil);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    for (unsigned i = 0; i < 4; i++) {
        if ((pad_count != 0 && pad_count != 4) || pads[i] < 0 || (pads[i] > 0 && pads[i] >= kernel[i % 2])) {
            return sotto_onnx_refuse(r, "attribute pads; supported: four numbers from 0 to below the kernel's side");
        }
        pads[i] = mode == PAD_VALID ? 0 : pads[i];
    }
    axis h = {in.h, kernel[0], n->stride_h, (uint32_t)pads[0], (uint32_t)pads[2], 0};
    axis w = {in.w, kernel[1], n->stride_w, (uint32_t)pads[1], (uint32_t)pads[3], 0};
    status = settle_axis(r, &h, mode, ceil != 0, is_max);
    if (status == SOTTO_OK) {
        status = settle_axis(r, &w, mode, ceil != 0, is_max);
    }
    n->kernel_h = kernel[0];
    n->kernel_w = kernel[1];
    n->pad_top = h.before;
    n->pad_bottom = h.after;
    n->pad_left = w.before;
    n->pad_right = w.after;
    n->shape.h = h.out;
    n->shape.w = w.out;
    return status;
}

static int has_pads(const sotto_node *n)
{
    return (n->pad_top | n->pad_left | n->pad_bottom | n->pad_right) != 0;
}

/* Zeros around the image that a pad node puts there can be the window's own. */
static void absorb_pad(const reader *r, sotto_node *n)
{
    const sotto_node *p = &r->m->nodes[n->input[0]];
    if (p->op == SOTTO_OP_PAD && p->pad_front == 0 && p->pad_back == 0 && n->pad_top + p->pad_top < n->kernel_h &&
        n->pad_bottom + p->pad_bottom < n->kernel_h && n->pad_left + p->pad_left < n->kernel_w && n->pad_right + p->pad_right < n->kernel_w) {
        n->input[0] = p->input[0];
        n->pad_top += p->pad_top;
        n->pad_bottom += p->pad_bottom;
        n->pad_left += p->pad_left;
        n->pad_right += p->pad_right;
    }
}

/* ---- linear -------------------------------------------------------------------------------------------------------- */

static void release(sotto_node *n)
{
    for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
        sotto_free(n->tensor[t]);
    }
}

static void copy_floats(float *out, const floats_view *in)
{
    for (size_t i = 0; i < in->count; i++) {
        out[i] = sotto_onnx_float(in, i);
    }
}

/* Bias and weights of a linear node, zero. */
static int linear_tensors(reader *r, sotto_node *n, size_t weights)
{
    const int status = sotto_onnx_floats(r, &n->tensor[0], weights);
    return status == SOTTO_OK ? sotto_onnx_floats(r, &n->tensor[1], n->out) : status;
}

static int op_conv(reader *r)
{
    value *x, *w, *b;
    floats_view weights, bias = {0};
    int64_t groups = 1;
    int status = image(r, &x);
    if (status == SOTTO_OK) {
        status = sotto_onnx_input(r, 1, &w);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_input(r, 2, &b);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_floats_of(r, w, &weights);
    }
    if (status == SOTTO_OK && b != NULL) {
        status = sotto_onnx_floats_of(r, b, &bias);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_attribute_int(r, "group", &groups);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    const sotto_shape in = node_of(r, x)->shape;
    if (weights.rank != 4 || weights.count == 0 || weights.dims[0] > SOTTO_DIM_MAX || weights.dims[2] > SOTTO_DIM_MAX || weights.dims[3] > SOTTO_DIM_MAX) {
        return sotto_onnx_refuse(r, "its weights; expected filters x channels x height x width, each side from 1 to %d", SOTTO_DIM_MAX);
    }
    if (groups < 1 || groups > in.c || in.c % groups != 0 || weights.dims[0] % (size_t)groups != 0 || weights.dims[1] != in.c / (size_t)groups) {
        return sotto_onnx_broken(r, "weights of %zu filters x %zu channels in %lld groups do not fit %u input channels", weights.dims[0], weights.dims[1],
                                 (long long)groups, (unsigned)in.c);
    }
    if (b != NULL && bias.count != weights.dims[0]) {
        return sotto_onnx_broken(r, "a bias of %zu numbers for %zu filters", bias.count, weights.dims[0]);
    }
    sotto_node n = {.op = SOTTO_OP_CONV, .input = {x->node}, .out = (uint32_t)weights.dims[0], .groups = (uint32_t)groups};
    n.kernel_h = (uint32_t)weights.dims[2];
    n.kernel_w = (uint32_t)weights.dims[3];
    n.shape.c = n.out;
    status = window(r, in, &n, 0);
    if (status == SOTTO_OK) {
        status = linear_tensors(r, &n, weights.count);
    }
    if (status != SOTTO_OK) {
        release(&n);
        return status;
    }
    absorb_pad(r, &n);
    copy_floats(n.tensor[0], &weights);
    copy_floats(n.tensor[1], &bias);
    return sotto_onnx_append(r, &n, 3);
}

/* y = alpha x B + beta bias, B being in x out, or out x in when `transposed`. A dense node flattens by itself. */
static int add_dense(reader *r, const value *x, const floats_view *b, int transposed, double alpha, const floats_view *bias, double beta)
{
    const size_t in = sotto_shape_words(node_of(r, x)->shape);
    if (x->rank != 1 || b->rank != 2 || b->count == 0 || b->dims[transposed ? 1 : 0] != in) {
        return sotto_onnx_refuse(r, "expected a flat value of N x F and a constant of F x M (F is %zu)", in);
    }
    const size_t out = b->dims[transposed ? 0 : 1];
    if (out > SOTTO_DIM_MAX) {
        return sotto_fail(SOTTO_ERR_LIMIT, "a matrix of %zu outputs; at most %d are supported", out, SOTTO_DIM_MAX);
    }
    const size_t rows = bias == NULL || bias->rank < 2 ? 1 : bias->dims[0], cols = bias == NULL || bias->rank == 0 ? 1 : bias->dims[bias->rank - 1];
    if (bias != NULL && (bias->rank > 2 || rows != 1 || (cols != 1 && cols != out))) {
        return sotto_onnx_refuse(r, "its bias C; supported: one number, or one for each of the %zu outputs", out);
    }
    sotto_node n = {.op = SOTTO_OP_DENSE, .input = {x->node}, .out = (uint32_t)out, .groups = 1, .shape = {(uint32_t)out, 1, 1}};
    int status = linear_tensors(r, &n, b->count);
    if (status != SOTTO_OK) {
        release(&n);
        return status;
    }
    if (node_of(r, x)->op == SOTTO_OP_FLATTEN) {
        n.input[0] = node_of(r, x)->input[0];
    }
    for (size_t o = 0; o < out; o++) {
        for (size_t i = 0; i < in; i++) {
            const float v = (float)(alpha * sotto_onnx_float(b, transposed ? o * in + i : i * out + o));
            status = isfinite(v) ? status : sotto_onnx_broken(r, "alpha makes a weight too large for a float");
            n.tensor[0][o * in + i] = v;
        }
        n.tensor[1][o] = bias == NULL ? 0.0f : (float)(beta * sotto_onnx_float(bias, cols == 1 ? 0 : o));
        status = isfinite(n.tensor[1][o]) ? status : sotto_onnx_broken(r, "beta makes a bias too large for a float");
    }
    if (status != SOTTO_OK) {
        release(&n);
        return status;
    }
    return sotto_onnx_append(r, &n, 1);
}

static int op_gemm(reader *r)
{
    value *x, *b, *c;
    floats_view weights, bias;
    int64_t transposed = 0;
    float alpha = 1.0f, beta = 1.0f;
    int status = sotto_onnx_activation(r, 0, &x);
    if (status == SOTTO_OK) {
        status = sotto_onnx_input(r, 1, &b);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_input(r, 2, &c);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_floats_of(r, b, &weights);
    }
    if (status == SOTTO_OK && c != NULL) {
        status = sotto_onnx_floats_of(r, c, &bias);
    }
    if (status == SOTTO_OK) {
        status = only(r, "transA", 0);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_attribute_int(r, "transB", &transposed);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_attribute_float(r, "alpha", &alpha);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_attribute_float(r, "beta", &beta);
    }
    return status == SOTTO_OK ? add_dense(r, x, &weights, transposed != 0, alpha, c == NULL ? NULL : &bias, beta) : status;
}

static int op_matmul(reader *r)
{
    value *x, *b;
    floats_view weights;
    int status = sotto_onnx_activation(r, 0, &x);
    if (status == SOTTO_OK) {
        status = sotto_onnx_input(r, 1, &b);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_floats_of(r, b, &weights);
    }
    return status == SOTTO_OK ? add_dense(r, x, &weights, 0, 1.0, NULL, 0.0) : status;
}

static int op_batchnorm(reader *r)
{
    value *x, *v;
    floats_view in[4];
    float epsilon = SOTTO_BATCHNORM_EPSILON;
    int status = sotto_onnx_activation(r, 0, &x);
    const uint32_t channels = status == SOTTO_OK ? node_of(r, x)->shape.c : 0;
    for (unsigned t = 0; t < 4 && status == SOTTO_OK; t++) {
        status = sotto_onnx_input(r, t + 1, &v);
        if (status == SOTTO_OK) {
            status = sotto_onnx_floats_of(r, v, &in[t]);
        }
        if (status == SOTTO_OK && in[t].count != channels) {
            status = sotto_onnx_broken(r, "input %u has %zu numbers for %u channels", t + 1, in[t].count, (unsigned)channels);
        }
    }
    if (status == SOTTO_OK) {
        status = only(r, "training_mode", 0);
    }
    if (status == SOTTO_OK) {
        status = only(r, "spatial", 1);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_attribute_float(r, "epsilon", &epsilon);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    sotto_node n = after(r, SOTTO_OP_BATCHNORM, x);
    n.epsilon = epsilon == 0.0f ? FLT_MIN : epsilon; /* a model's 0 stands for the default */
    for (uint32_t c = 0; c < channels; c++) {
        if (epsilon < 0.0f || sotto_onnx_float(&in[3], c) < 0.0f) {
            return sotto_onnx_broken(r, "epsilon, or the variance of channel %u, is below 0", (unsigned)c);
        }
    }
    for (unsigned t = 0; t < 4 && status == SOTTO_OK; t++) {
        status = sotto_onnx_floats(r, &n.tensor[t], channels);
        if (status == SOTTO_OK) {
            copy_floats(n.tensor[t], &in[t]);
        }
    }
    if (status != SOTTO_OK) {
        release(&n);
        return status;
    }
    return sotto_onnx_append(r, &n, x->rank);
}

/* ---- units --------------------------------------------------------------------------------------------------------- */

static int op_relu(reader *r)
{
    value *x;
    const int status = sotto_onnx_activation(r, 0, &x);
    if (status != SOTTO_OK) {
        return status;
    }
    if (node_of(r, x)->op == SOTTO_OP_RELU || node_of(r, x)->op == SOTTO_OP_CLIP) {
        return sotto_onnx_alias(r, x, x->rank);
    }
    sotto_node n = after(r, SOTTO_OP_RELU, x);
    return sotto_onnx_append(r, &n, x->rank);
}

int sotto_onnx_clip(reader *r, const value *x, const float *bounds, size_t count)
{
    sotto_node n = after(r, SOTTO_OP_CLIP, x);
    if (node_of(r, x)->op == SOTTO_OP_RELU) {
        n.input[0] = node_of(r, x)->input[0];
    }
    const int status = sotto_onnx_floats(r, &n.tensor[0], n.shape.c);
    if (status != SOTTO_OK) {
        return status;
    }
    for (uint32_t c = 0; c < n.shape.c; c++) {
        n.tensor[0][c] = bounds[count == 1 ? 0 : c];
    }
    return sotto_onnx_append(r, &n, x->rank);
}

/* min and max: attributes before opset 11, inputs since. */
static int clip_bound(reader *r, size_t input, const char *attribute, float *out)
{
    value *v = NULL;
    floats_view f;
    int status = sotto_onnx_attribute_float(r, attribute, out);
    if (status == SOTTO_OK) {
        status = sotto_onnx_input(r, input, &v);
    }
    if (status == SOTTO_OK && v != NULL) {
        status = sotto_onnx_floats_of(r, v, &f);
        if (status == SOTTO_OK && f.count != 1) {
            status = sotto_onnx_broken(r, "%s has %zu numbers; expected one", attribute, f.count);
        }
        *out = status == SOTTO_OK ? sotto_onnx_float(&f, 0) : *out;
    }
    return status;
}

static int op_clip(reader *r)
{
    value *x;
    float low = -FLT_MAX, high = FLT_MAX;
    int status = sotto_onnx_activation(r, 0, &x);
    if (status == SOTTO_OK) {
        status = clip_bound(r, 1, "min", &low);
    }
    if (status == SOTTO_OK) {
        status = clip_bound(r, 2, "max", &high);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    const int positive = node_of(r, x)->op == SOTTO_OP_RELU;
    if (low != 0.0f && (!positive || low > 0.0f)) {
        return sotto_onnx_refuse(r, "min is %g; supported: 0", (double)low);
    }
    if (!(high > 0.0f)) {
        return sotto_onnx_refuse(r, "max is %g; supported: a number above 0", (double)high);
    }
    return high == FLT_MAX ? op_relu(r) : sotto_onnx_clip(r, x, &high, 1);
}

/* A slope of 0 is relu, of 1 the value itself. */
static int op_prelu(reader *r)
{
    value *x, *v;
    floats_view slopes;
    int status = sotto_onnx_activation(r, 0, &x);
    if (status == SOTTO_OK) {
        status = sotto_onnx_input(r, 1, &v);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_floats_of(r, v, &slopes);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    sotto_node n = after(r, SOTTO_OP_ACT, x);
    if (slopes.count != n.shape.c) {
        return sotto_onnx_refuse(r, "%zu slopes; supported: one for each of the %u channels", slopes.count, (unsigned)n.shape.c);
    }
    status = sotto_node_units_alloc(&n);
    for (uint32_t c = 0; status == SOTTO_OK && c < n.shape.c; c++) {
        const float slope = sotto_onnx_float(&slopes, c);
        n.units[c].kind = slope == 0.0f ? SOTTO_UNIT_RELU : SOTTO_UNIT_IDENTITY;
        if (slope != 0.0f && slope != 1.0f) {
            status = sotto_onnx_refuse(r, "a slope of %g; supported: 0 and 1", (double)slope);
        }
    }
    if (status != SOTTO_OK) {
        sotto_free(n.units);
        return status;
    }
    return sotto_onnx_append(r, &n, x->rank);
}

/* ---- pools --------------------------------------------------------------------------------------------------------- */

static int is_subsampling(const sotto_node *n)
{
    return n->op == SOTTO_OP_AVGPOOL && n->kernel_h == 1 && n->kernel_w == 1;
}

/* Every stride-th pixel: an average over one. One after another is one. */
int sotto_onnx_subsample(reader *r, const value *x, sotto_node *n)
{
    const sotto_node *before = node_of(r, x);
    n->op = SOTTO_OP_AVGPOOL;
    n->shape = (sotto_shape){before->shape.c, (before->shape.h - 1) / n->stride_h + 1, (before->shape.w - 1) / n->stride_w + 1};
    if (n->stride_h == 1 && n->stride_w == 1) {
        return sotto_onnx_alias(r, x, 3);
    }
    if (is_subsampling(before) && (uint64_t)before->stride_h * n->stride_h <= SOTTO_DIM_MAX && (uint64_t)before->stride_w * n->stride_w <= SOTTO_DIM_MAX) {
        n->input[0] = before->input[0];
        n->stride_h *= before->stride_h;
        n->stride_w *= before->stride_w;
    }
    return sotto_onnx_append(r, n, 3);
}

static int pool(reader *r, sotto_op op)
{
    value *x;
    int64_t include = 0;
    int status = image(r, &x);
    if (status != SOTTO_OK) {
        return status;
    }
    sotto_node n = {.op = op, .input = {x->node}, .groups = 1, .shape = {node_of(r, x)->shape.c, 0, 0}};
    status = window(r, node_of(r, x)->shape, &n, op == SOTTO_OP_MAXPOOL);
    if (status == SOTTO_OK) {
        status = sotto_onnx_attribute_int(r, "count_include_pad", &include);
    }
    if (status == SOTTO_OK) {
        status = only(r, "storage_order", 0);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    if (n.kernel_h == 1 && n.kernel_w == 1) {
        return sotto_onnx_subsample(r, x, &n);
    }
    if (op == SOTTO_OP_AVGPOOL) {
        if (!include && has_pads(&n)) {
            return sotto_onnx_refuse(r, "attribute count_include_pad is 0 where there is padding; supported: 1");
        }
        absorb_pad(r, &n);
    }
    return sotto_onnx_append(r, &n, 3);
}

static int op_maxpool(reader *r)
{
    return pool(r, SOTTO_OP_MAXPOOL);
}

static int op_avgpool(reader *r)
{
    return pool(r, SOTTO_OP_AVGPOOL);
}

static int global_average(reader *r, const value *x, unsigned rank)
{
    sotto_node n = after(r, SOTTO_OP_GLOBALAVG, x);
    n.shape.h = n.shape.w = 1;
    return sotto_onnx_append(r, &n, rank);
}

static int op_globalavg(reader *r)
{
    value *x;
    const int status = image(r, &x);
    return status == SOTTO_OK ? global_average(r, x, 3) : status;
}

static int op_reducemean(reader *r)
{
    value *x;
    int64_t axes[ONNX_RANK_MAX], keep = 1;
    size_t n;
    int status = image(r, &x);
    if (status == SOTTO_OK) {
        status = sotto_onnx_attribute_ints(r, "axes", axes, ONNX_RANK_MAX, &n);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_attribute_int(r, "keepdims", &keep);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    unsigned seen = 0;
    for (size_t i = 0; i < n; i++) {
        const int64_t a = axes[i] < 0 ? axes[i] + 4 : axes[i];
        seen |= a >= 0 && a < 4 ? 1u << a : 1u;
    }
    return seen == (1u << 2 | 1u << 3) ? global_average(r, x, keep ? 3 : 1)
                                       : sotto_onnx_refuse(r, "attribute axes; supported: height and width together (2, 3)");
}

/* ---- the table ----------------------------------------------------------------------------------------------------- */

static const struct operator_info {
    const char *name;
    int (*run)(reader *r);
    const char *attributes; /* that may be there, each followed by a space */
    unsigned inputs_max;
} operators[] = {
    {"Conv", op_conv, "auto_pad dilations group kernel_shape pads strides ", 3},
    {"Gemm", op_gemm, "alpha beta transA transB ", 3},
    {"MatMul", op_matmul, "", 2},
    {"BatchNormalization", op_batchnorm, "epsilon momentum spatial training_mode ", 5},
    {"Relu", op_relu, "", 1},
    {"Clip", op_clip, "min max ", 3},
    {"PRelu", op_prelu, "", 2},
    {"MaxPool", op_maxpool, "auto_pad ceil_mode dilations kernel_shape pads storage_order strides ", 1},
    {"AveragePool", op_avgpool, "auto_pad ceil_mode count_include_pad kernel_shape pads strides ", 1},
    {"GlobalAveragePool", op_globalavg, "", 1},
    {"ReduceMean", op_reducemean, "axes keepdims ", 1},
    {"Add", sotto_onnx_op_add, "", 2},
    {"Sub", sotto_onnx_op_sub, "", 2},
    {"Mul", sotto_onnx_op_mul, "", 2},
    {"Div", sotto_onnx_op_div, "", 2},
    {"Pow", sotto_onnx_op_pow, "", 2},
    {"Min", sotto_onnx_op_min, "", 2},
    {"Concat", sotto_onnx_op_concat, "axis ", UINT32_MAX},
    {"Pad", sotto_onnx_op_pad, "mode pads value ", 3},
    {"Slice", sotto_onnx_op_slice, "axes ends starts ", 5},
    {"Flatten", sotto_onnx_op_flatten, "axis ", 1},
    {"Reshape", sotto_onnx_op_reshape, "allowzero ", 2},
    {"Squeeze", sotto_onnx_op_squeeze, "axes ", 2},
    {"Unsqueeze", sotto_onnx_op_unsqueeze, "axes ", 2},
    {"Identity", sotto_onnx_op_identity, "", 1},
    {"Dropout", sotto_onnx_op_dropout, "ratio seed ", 3},
    {"Constant", sotto_onnx_op_constant, "value value_int value_ints ", 0},
    {"Cast", sotto_onnx_op_cast, "to ", 1},
    {"Shape", sotto_onnx_op_shape, "", 1},
    {"Gather", sotto_onnx_op_gather, "axis ", 2},
    {"Softmax", sotto_onnx_op_softmax, "axis ", 1},
    {"LogSoftmax", sotto_onnx_op_softmax, "axis ", 1},
};

static int unknown(const reader *r)
{
    char names[360] = "";
    size_t pos = 0;
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        const int n = snprintf(names + pos, sizeof names - pos, "%s%s", i == 0 ? "" : " ", operators[i].name);
        pos += n > 0 && (size_t)n < sizeof names - pos ? (size_t)n : 0;
    }
    return sotto_onnx_refuse(r, "supported: %s", names);
}

/* "name " is a word of `list`. */
static int listed(const char *list, const char *name)
{
    const size_t len = strlen(name);
    for (const char *p = list; *p != '\0'; p += strcspn(p, " ") + 1) {
        if (strcspn(p, " ") == len && strncmp(p, name, len) == 0) {
            return 1;
        }
    }
    return 0;
}

int sotto_onnx_operator(reader *r)
{
    const Onnx__NodeProto *n = r->node;
    char shown[ONNX_NAME_SHOWN];
    size_t at = 0;
    const int standard = n->domain == NULL || n->domain[0] == '\0' || strcmp(n->domain, "ai.onnx") == 0;
    while (at < sizeof operators / sizeof *operators && (n->op_type == NULL || strcmp(operators[at].name, n->op_type) != 0)) {
        at++;
    }
    if (!standard || at == sizeof operators / sizeof *operators) {
        return unknown(r);
    }
    if (n->n_output == 0) {
        return sotto_onnx_broken(r, "has no output");
    }
    if (n->n_input > operators[at].inputs_max) {
        return sotto_onnx_refuse(r, "%zu inputs; supported: at most %u", n->n_input, operators[at].inputs_max);
    }
    for (size_t i = 0; i < n->n_attribute; i++) {
        const char *name = n->attribute[i]->name;
        if (name == NULL || !listed(operators[at].attributes, name)) {
            return sotto_onnx_refuse(r, "attribute %s is not supported; supported: %s", sotto_onnx_shown(name, shown),
                                     operators[at].attributes[0] != '\0' ? operators[at].attributes : "none");
        }
    }
    return operators[at].run(r);
}
