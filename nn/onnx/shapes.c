/* Operators that move values or compute shapes, and those that leave a value as it is. */
#include <string.h>

#include "lib/mem.h"
#include "nn/onnx/operators_internal.h"

static sotto_shape shape_of(const reader *r, const value *v)
{
    return r->m->nodes[v->node].shape;
}

/* All dimensions, the batch first: as ONNX counts axes. */
static void dims_of(const reader *r, const value *v, int64_t dims[4])
{
    const sotto_shape s = shape_of(r, v);
    dims[0] = r->batch;
    dims[1] = s.c;
    dims[2] = s.h;
    dims[3] = s.w;
}

/* Numbers that are an attribute in older operator sets and input `i` in newer ones. *given 0: neither is there. */
static int parameter(reader *r, const char *attribute, size_t i, int64_t *out, size_t max, size_t *count, int *given)
{
    value *v = NULL;
    *given = sotto_onnx_attribute(r, attribute) != NULL;
    *count = 0;
    if (*given) {
        return sotto_onnx_attribute_ints(r, attribute, out, max, count);
    }
    const int status = sotto_onnx_input(r, i, &v);
    if (status != SOTTO_OK || v == NULL) {
        return status;
    }
    *given = 1;
    return sotto_onnx_ints_of(r, v, out, max, count);
}

static int is_constant(const value *v)
{
    return v != NULL && v->kind != VALUE_ACTIVATION;
}

static int define_ints(reader *r, const int64_t *v, size_t count, int scalar)
{
    value out = {.kind = VALUE_INTS, .int_count = (unsigned)count, .scalar = scalar};
    if (count > ONNX_RANK_MAX) {
        return sotto_onnx_refuse(r, "more than %d whole numbers computed in the graph; fold constants when the network is exported", ONNX_RANK_MAX);
    }
    memcpy(out.ints, v, count * sizeof *v);
    return sotto_onnx_define(r, r->node->output[0], &out);
}

/* ---- what becomes a node ------------------------------------------------------------------------------------------- */

static int concat_ints(reader *r)
{
    int64_t all[ONNX_RANK_MAX];
    size_t n = 0;
    for (size_t i = 0; i < r->node->n_input; i++) {
        value *v;
        size_t count;
        int status = sotto_onnx_input(r, i, &v);
        if (status == SOTTO_OK) {
            status = sotto_onnx_ints_of(r, v, all + n, ONNX_RANK_MAX - n, &count);
        }
        if (status != SOTTO_OK) {
            return status;
        }
        n += count;
    }
    return define_ints(r, all, n, 0);
}

/* Two at a time; the last keeps the name. */
int sotto_onnx_op_concat(reader *r)
{
    value *v;
    int64_t axis = 1;
    int status = sotto_onnx_attribute_int(r, "axis", &axis);
    if (status == SOTTO_OK) {
        status = sotto_onnx_input(r, 0, &v);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    if (is_constant(v)) {
        return axis == 0 ? concat_ints(r) : sotto_onnx_refuse(r, "attribute axis is %lld; supported for constants: 0", (long long)axis);
    }
    status = sotto_onnx_activation(r, 0, &v);
    if (status != SOTTO_OK) {
        return status;
    }
    const unsigned rank = v->rank;
    uint32_t so_far = v->node;
    if (axis != 1 && axis != -(int64_t)rank) {
        return sotto_onnx_refuse(r, "attribute axis is %lld; supported: 1, the channels", (long long)axis);
    }
    for (size_t i = 1; i < r->node->n_input && status == SOTTO_OK; i++) {
        status = sotto_onnx_activation(r, i, &v);
        if (status != SOTTO_OK) {
            return status;
        }
        const sotto_shape a = r->m->nodes[so_far].shape, b = shape_of(r, v);
        if (a.h != b.h || a.w != b.w || v->rank != rank) {
            return sotto_onnx_broken(r, "input %zu is %u x %u, those before it %u x %u", i, (unsigned)b.h, (unsigned)b.w, (unsigned)a.h, (unsigned)a.w);
        }
        sotto_node n = {.op = SOTTO_OP_CONCAT, .input = {so_far, v->node}, .groups = 1, .shape = {a.c + b.c, a.h, a.w}};
        if (i + 1 < r->node->n_input) {
            memcpy(n.name, "concat", sizeof "concat");
        }
        status = sotto_onnx_add(r, &n, r->at, &so_far);
    }
    return status == SOTTO_OK ? sotto_onnx_output(r, so_far, rank) : status;
}

static int pad_value(reader *r)
{
    value *v = NULL;
    floats_view f;
    float x = 0.0f;
    int status = sotto_onnx_attribute_float(r, "value", &x);
    if (status == SOTTO_OK) {
        status = sotto_onnx_input(r, 2, &v);
    }
    if (status == SOTTO_OK && v != NULL) {
        status = sotto_onnx_floats_of(r, v, &f);
        x = status == SOTTO_OK && f.count == 1 ? sotto_onnx_float(&f, 0) : 1.0f;
    }
    return status == SOTTO_OK && x != 0.0f ? sotto_onnx_refuse(r, "pads with a value other than 0; supported: 0") : status;
}

int sotto_onnx_op_pad(reader *r)
{
    static const char *const modes[] = {"constant", NULL};
    value *x;
    int64_t pads[8] = {0};
    size_t count;
    int given;
    unsigned mode = 0;
    int status = sotto_onnx_activation(r, 0, &x);
    if (status == SOTTO_OK) {
        status = sotto_onnx_attribute_choice(r, "mode", modes, &mode);
    }
    if (status == SOTTO_OK) {
        status = parameter(r, "pads", 1, pads, 8, &count, &given);
    }
    if (status == SOTTO_OK) {
        status = pad_value(r);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    if (x->rank != 3 || count != 8) {
        return sotto_onnx_refuse(r, "%zu pads; supported: 8, for N x channels x height x width", count);
    }
    int64_t sum = 0;
    for (unsigned i = 0; i < 8; i++) {
        if (pads[i] < 0 || pads[i] > SOTTO_DIM_MAX || (i % 4 == 0 && pads[i] != 0)) {
            return sotto_onnx_refuse(r, "pads; supported: 0 to %d around channels, height and width, and none of the batch", SOTTO_DIM_MAX);
        }
        sum += pads[i];
    }
    if (sum == 0) {
        return sotto_onnx_alias(r, x, 3);
    }
    const sotto_shape s = shape_of(r, x);
    sotto_node n = {.op = SOTTO_OP_PAD, .input = {x->node}, .groups = 1};
    n.pad_front = (uint32_t)pads[1];
    n.pad_back = (uint32_t)pads[5];
    n.pad_top = (uint32_t)pads[2];
    n.pad_bottom = (uint32_t)pads[6];
    n.pad_left = (uint32_t)pads[3];
    n.pad_right = (uint32_t)pads[7];
    n.shape = (sotto_shape){s.c + n.pad_front + n.pad_back, s.h + n.pad_top + n.pad_bottom, s.w + n.pad_left + n.pad_right};
    return sotto_onnx_append(r, &n, 3);
}

/* Elements of [0, dim) that start, end and step select, when they begin at 0; 0 otherwise. */
static uint32_t selected(uint32_t dim, int64_t start, int64_t end, int64_t step)
{
    end = end < 0 ? end + dim : end > dim ? dim : end;
    start = start < 0 ? start + dim : start;
    return start == 0 && end > 0 && step > 0 ? (uint32_t)((end - 1) / step + 1) : 0;
}

/* All of an axis, or every stride-th row or column of it, as option A of residual networks has it: a pool of one pixel. */
int sotto_onnx_op_slice(reader *r)
{
    enum { STARTS, ENDS, AXES, STEPS, PARTS };
    static const char *const names[PARTS] = {"starts", "ends", "axes", "steps"};
    int64_t part[PARTS][4] = {[AXES] = {0, 1, 2, 3}, [STEPS] = {1, 1, 1, 1}};
    size_t count[PARTS];
    int uneven = 0;
    value *x;
    int status = sotto_onnx_activation(r, 0, &x);
    for (size_t i = 0; i < PARTS && status == SOTTO_OK; i++) {
        int given;
        status = parameter(r, names[i], i + 1, part[i], 4, &count[i], &given);
        uneven |= (given || i == ENDS) && count[i] != count[STARTS];
    }
    if (status != SOTTO_OK) {
        return status;
    }
    const size_t n = count[STARTS];
    const int64_t *starts = part[STARTS], *ends = part[ENDS], *axes = part[AXES], *steps = part[STEPS];
    if (n == 0 || uneven) {
        return sotto_onnx_broken(r, "%zu starts, %zu ends; expected as many of all", n, count[ENDS]);
    }
    const sotto_shape s = shape_of(r, x);
    const uint32_t dims[4] = {0, s.c, s.h, s.w};
    uint32_t strides[4] = {1, 1, 1, 1};
    unsigned seen = 0;
    for (size_t i = 0; i < n; i++) {
        const int64_t a = axes[i] < 0 && axes[i] >= -4 ? axes[i] + x->rank + 1 : axes[i];
        const int known = a >= 1 && a <= x->rank && !(seen >> a & 1) && steps[i] >= 1 && steps[i] <= SOTTO_DIM_MAX;
        const uint32_t got = known ? selected(dims[a], starts[i], ends[i], steps[i]) : 0;
        if (got == 0 || got != (dims[a] - 1) / (uint32_t)steps[i] + 1 || (a == 1 && steps[i] != 1 && s.c > 1)) {
            return sotto_onnx_refuse(r, "supported: every n-th row and column from the first on, to the end");
        }
        seen |= 1u << a;
        strides[a] = (uint32_t)steps[i];
    }
    if ((strides[2] == 1 && strides[3] == 1) || x->rank != 3) {
        return sotto_onnx_alias(r, x, x->rank);
    }
    sotto_node pool = {.op = SOTTO_OP_AVGPOOL, .input = {x->node}, .groups = 1, .kernel_h = 1, .kernel_w = 1, .stride_h = strides[2], .stride_w = strides[3],
                       .shape = s};
    return sotto_onnx_subsample(r, x, &pool);
}

/* ---- what keeps all values in their order -------------------------------------------------------------------------- */

static int flatten(reader *r, const value *x)
{
    const sotto_shape s = shape_of(r, x);
    if (s.h == 1 && s.w == 1) {
        return sotto_onnx_alias(r, x, 1);
    }
    if (sotto_shape_words(s) > SOTTO_VALUES_MAX) {
        return sotto_fail(SOTTO_ERR_LIMIT, "more than %u values", SOTTO_VALUES_MAX);
    }
    sotto_node n = {.op = SOTTO_OP_FLATTEN, .input = {x->node}, .groups = 1, .shape = {(uint32_t)sotto_shape_words(s), 1, 1}};
    return sotto_onnx_append(r, &n, 1);
}

/* x with the dimensions dims[1..] (dims[0] is the batch): as it is, flat, or with ones at the end. */
static int reshape(reader *r, const value *x, const int64_t *dims, size_t rank)
{
    const sotto_shape s = shape_of(r, x);
    const int64_t words = (int64_t)sotto_shape_words(s);
    if (rank == 2 && dims[1] == words) {
        return flatten(r, x);
    }
    if (rank == 4 && dims[1] == s.c && dims[2] == s.h && dims[3] == s.w) {
        return sotto_onnx_alias(r, x, 3);
    }
    if (rank == 3 && dims[1] == s.c && dims[2] == 1 && s.h == 1 && s.w == 1) {
        return sotto_onnx_alias(r, x, 2);
    }
    const sotto_node *n = &r->m->nodes[x->node];
    if (rank == 4 && n->op == SOTTO_OP_FLATTEN) {
        const sotto_shape b = r->m->nodes[n->input[0]].shape;
        if (dims[1] == b.c && dims[2] == b.h && dims[3] == b.w) {
            return sotto_onnx_output(r, n->input[0], 3);
        }
    }
    return sotto_onnx_refuse(r, "supported: shapes that flatten an image (N x %lld) or leave it as it is", (long long)words);
}

int sotto_onnx_op_flatten(reader *r)
{
    value *x;
    int64_t axis = 1;
    int status = sotto_onnx_activation(r, 0, &x);
    if (status == SOTTO_OK) {
        status = sotto_onnx_attribute_int(r, "axis", &axis);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    return axis == 1 || axis == -(int64_t)x->rank ? flatten(r, x)
                                                  : sotto_onnx_refuse(r, "attribute axis is %lld; supported: 1", (long long)axis);
}

/* The batch is 1, the file's, or what is left over (-1). */
int sotto_onnx_op_reshape(reader *r)
{
    value *x, *k;
    int64_t dims[ONNX_RANK_MAX], allow_zero = 0;
    size_t rank, open = SIZE_MAX;
    int status = sotto_onnx_activation(r, 0, &x);
    if (status == SOTTO_OK) {
        status = sotto_onnx_input(r, 1, &k);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_ints_of(r, k, dims, ONNX_RANK_MAX, &rank);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_attribute_int(r, "allowzero", &allow_zero);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    const int64_t words = (int64_t)sotto_shape_words(shape_of(r, x));
    int64_t now[4], product = 1;
    dims_of(r, x, now);
    for (size_t i = 0; i < rank; i++) {
        dims[i] = dims[i] == 0 && !allow_zero && i <= x->rank ? now[i] : dims[i];
        if ((dims[i] < 1 && dims[i] != -1) || dims[i] > SOTTO_VALUES_MAX || (dims[i] == -1 && open != SIZE_MAX)) {
            return sotto_onnx_refuse(r, "dimension %zu of the new shape is %lld; supported: positive numbers, 0 and one -1", i, (long long)dims[i]);
        }
        open = dims[i] == -1 ? i : open;
        product = i > 0 && dims[i] > 0 && product <= SOTTO_VALUES_MAX ? product * dims[i] : product;
    }
    if (rank < 2 || product > words || words % product != 0 || (dims[0] != -1 && dims[0] != r->batch && dims[0] != 1)) {
        return sotto_onnx_refuse(r, "the new shape does not keep the images of the batch apart; expected N x %lld", (long long)words);
    }
    if (open != SIZE_MAX && open > 0) {
        dims[open] = words / product;
    }
    return reshape(r, x, dims, rank);
}

/* Axes of a shape of `rank` dimensions as a mask; 0 when one is out of range or the batch. */
static unsigned axis_mask(const int64_t *axes, size_t n, unsigned rank)
{
    unsigned mask = 0;
    for (size_t i = 0; i < n; i++) {
        const int64_t a = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (a < 1 || a >= rank) {
            return 0;
        }
        mask |= 1u << a;
    }
    return mask;
}

/* What Squeeze and Unsqueeze read. Of a constant they make a number or a list of one; then *x is NULL and all is done. */
static int read_axes(reader *r, int scalar, value **x, int64_t axes[ONNX_RANK_MAX], size_t *n)
{
    int given;
    int status = sotto_onnx_input(r, 0, x);
    if (status == SOTTO_OK && is_constant(*x)) {
        status = sotto_onnx_ints_of(r, *x, axes, 1, n);
        *x = NULL;
        return status == SOTTO_OK ? define_ints(r, axes, *n, scalar) : status;
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_activation(r, 0, x);
    }
    return status == SOTTO_OK ? parameter(r, "axes", 1, axes, ONNX_RANK_MAX, n, &given) : status;
}

int sotto_onnx_op_squeeze(reader *r)
{
    value *x;
    int64_t axes[ONNX_RANK_MAX], now[4], dims[4];
    size_t n, rank = 1;
    const int status = read_axes(r, 1, &x, axes, &n);
    if (status != SOTTO_OK || x == NULL) {
        return status;
    }
    dims_of(r, x, now);
    const unsigned mask = axis_mask(axes, n, x->rank + 1);
    for (unsigned i = 1; i <= x->rank; i++) {
        if (mask >> i & 1 && now[i] != 1) {
            return sotto_onnx_broken(r, "axis %u has %lld elements; expected 1", i, (long long)now[i]);
        }
        if (!(mask >> i & 1)) {
            dims[rank++] = now[i];
        }
    }
    return mask != 0 ? reshape(r, x, dims, rank) : sotto_onnx_refuse(r, "supported: axes given, without the batch");
}

int sotto_onnx_op_unsqueeze(reader *r)
{
    value *x;
    int64_t axes[ONNX_RANK_MAX], now[4], dims[4];
    size_t n;
    const int status = read_axes(r, 0, &x, axes, &n);
    if (status != SOTTO_OK || x == NULL) {
        return status;
    }
    dims_of(r, x, now);
    const size_t rank = x->rank + 1 + n;
    const unsigned mask = rank <= 4 ? axis_mask(axes, n, (unsigned)rank) : 0;
    unsigned ones = 0;
    for (size_t i = 1, from = 1; i < rank && mask != 0; i++) {
        ones += mask >> i & 1;
        dims[i] = mask >> i & 1 || from > x->rank ? 1 : now[from++];
    }
    return mask != 0 && ones == n ? reshape(r, x, dims, rank) : sotto_onnx_refuse(r, "supported: ones behind the channels");
}

/* ---- what changes nothing ------------------------------------------------------------------------------------------ */

static int same(reader *r)
{
    value *x;
    int status = sotto_onnx_input(r, 0, &x);
    if (status == SOTTO_OK && is_constant(x)) {
        const value copy = *x;
        return sotto_onnx_define(r, r->node->output[0], &copy);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_activation(r, 0, &x);
    }
    return status == SOTTO_OK ? sotto_onnx_alias(r, x, x->rank) : status;
}

int sotto_onnx_op_identity(reader *r)
{
    return same(r);
}

int sotto_onnx_op_dropout(reader *r)
{
    value *training = NULL;
    const int status = sotto_onnx_input(r, 2, &training);
    if (status != SOTTO_OK) {
        return status;
    }
    if (training != NULL && (training->kind != VALUE_TENSOR || !training->tensor->has_raw_data || training->tensor->raw_data.len != 1 ||
                             training->tensor->raw_data.data[0] != 0)) {
        return sotto_onnx_refuse(r, "training_mode is given; supported: a constant false");
    }
    return same(r);
}

/* Of a constant, the type is what its reader takes it for. */
int sotto_onnx_op_cast(reader *r)
{
    int64_t to = 0;
    value *x;
    int status = sotto_onnx_attribute_int(r, "to", &to);
    if (status == SOTTO_OK) {
        status = sotto_onnx_input(r, 0, &x);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    const int number = is_constant(x) && (x->kind == VALUE_INTS || x->tensor->data_type != ONNX_FLOAT);
    if (x == NULL || (number ? to != ONNX_INT64 && to != ONNX_INT32 : to != ONNX_FLOAT)) {
        return sotto_onnx_refuse(r, "to type %lld; supported: whole numbers to whole numbers, floats to floats", (long long)to);
    }
    return same(r);
}

/* The logits say as much. */
int sotto_onnx_op_softmax(reader *r)
{
    value *x;
    int64_t axis = r->opset < 13 ? 1 : -1;
    int status = sotto_onnx_activation(r, 0, &x);
    if (status == SOTTO_OK) {
        status = sotto_onnx_attribute_int(r, "axis", &axis);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    const sotto_shape s = shape_of(r, x);
    if (s.h != 1 || s.w != 1 || (axis != 1 && axis != -(int64_t)x->rank)) {
        return sotto_onnx_refuse(r, "supported: over the classes (axis 1) of N x classes, at the end");
    }
    const value v = {.kind = VALUE_ACTIVATION, .node = x->node, .rank = x->rank, .softmax = 1};
    sotto_onnx_note(r, "the %s at the end is left out: the outputs are the logits", r->node->op_type);
    return sotto_onnx_define(r, r->node->output[0], &v);
}

/* ---- constants ----------------------------------------------------------------------------------------------------- */

int sotto_onnx_op_constant(reader *r)
{
    const Onnx__AttributeProto *t = sotto_onnx_attribute(r, "value");
    int64_t one, list[ONNX_RANK_MAX];
    size_t count;
    if (t != NULL && t->t != NULL) {
        const value v = {.kind = VALUE_TENSOR, .tensor = t->t};
        return sotto_onnx_define(r, r->node->output[0], &v);
    }
    if (sotto_onnx_attribute(r, "value_int") != NULL) {
        const int status = sotto_onnx_attribute_int(r, "value_int", &one);
        return status == SOTTO_OK ? define_ints(r, &one, 1, 1) : status;
    }
    const int status = sotto_onnx_attribute_ints(r, "value_ints", list, ONNX_RANK_MAX, &count);
    return status == SOTTO_OK ? define_ints(r, list, count, 0) : status;
}

/* The batch is the file's, or 1. */
int sotto_onnx_op_shape(reader *r)
{
    value *x;
    const int status = sotto_onnx_activation(r, 0, &x);
    if (status != SOTTO_OK) {
        return status;
    }
    int64_t dims[4];
    dims_of(r, x, dims);
    return define_ints(r, dims, x->rank + 1, 0);
}

/* One number of a list. */
int sotto_onnx_op_gather(reader *r)
{
    value *list, *at;
    int64_t v[ONNX_RANK_MAX], index[1], axis = 0;
    size_t n, count;
    int status = sotto_onnx_input(r, 0, &list);
    if (status == SOTTO_OK) {
        status = sotto_onnx_input(r, 1, &at);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_ints_of(r, list, v, ONNX_RANK_MAX, &n);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_ints_of(r, at, index, 1, &count);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_attribute_int(r, "axis", &axis);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    const int64_t i = count == 1 && index[0] < 0 ? index[0] + (int64_t)n : count == 1 ? index[0] : -1;
    if (axis != 0 || i < 0 || i >= (int64_t)n) {
        return sotto_onnx_refuse(r, "supported: one number of a list of whole numbers");
    }
    return define_ints(r, &v[i], 1, 1);
}
