/* A model as an ONNX graph of operator set 13. A value carries the name of the node that gives it; what stands beside (weights, steps of a
 * polynomial) is called node/what, which no node of a model can be called. Tensors of the message point into the model, so that weights are copied
 * once, into the bytes. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <nn/onnx/onnx.pb-c.h>

#include "lib/mem.h"
#include "nn/onnx/onnx.h"

enum { TYPE_FLOAT = 1, TYPE_INT64 = 7, ATTRIBUTE_FLOAT = 1, ATTRIBUTE_INT = 2, ATTRIBUTE_INTS = 7 };
enum { IR_VERSION = 7, OPSET = 13 };
enum { NAME_BYTES = 64, PARTS_MAX = 16 }; /* of a value's name; nodes and tensors that one node of the model takes, at most */

/* A piece of the message; all are released at once. */
typedef struct chunk {
    struct chunk *next;
    size_t bytes;
    _Alignas(64) uint8_t data[];
} chunk;

/* What stands for a node of the model. */
typedef struct written {
    char *name, *other; /* of its value, and of the same in the other rank, once that is there */
    unsigned rank;      /* with the batch: 4 or 2 */
} written;

typedef struct writer {
    const sotto_model *m;
    chunk *chunks;
    Onnx__GraphProto graph;
    written *done; /* per node of m */
    int status;    /* after a failure the functions below give NULL and do nothing */
} writer;

/* ---- pieces -------------------------------------------------------------------------------------------------------- */

static void *make(writer *w, size_t bytes)
{
    chunk *c = w->status == SOTTO_OK ? sotto_calloc(1, sizeof *c + bytes) : NULL;
    if (c == NULL) {
        w->status = w->status == SOTTO_OK ? sotto_fail(SOTTO_ERR_MEMORY, "no memory to write the network") : w->status;
        return NULL;
    }
    c->next = w->chunks;
    c->bytes = sizeof *c + bytes;
    w->chunks = c;
    return c->data;
}

static char *name_of(writer *w, const char *node, const char *part)
{
    char *out = make(w, NAME_BYTES);
    if (out != NULL) {
        snprintf(out, NAME_BYTES, "%s%s%s", node, part[0] != '\0' ? "/" : "", part);
    }
    return out;
}

/* A node named as its output. Inputs: names, of which "" is an absent one, up to a NULL, which a failure before has made as well. */
static Onnx__NodeProto *operation(writer *w, const char *type, char *name, ...)
{
    enum { INPUTS_MAX = 5, ATTRIBUTES_MAX = 6 };
    Onnx__NodeProto *n = make(w, sizeof *n);
    char **inputs = make(w, INPUTS_MAX * sizeof *inputs), **output = make(w, sizeof *output);
    Onnx__AttributeProto **attributes = make(w, ATTRIBUTES_MAX * sizeof *attributes);
    va_list args;
    if (attributes == NULL) {
        return NULL;
    }
    onnx__node_proto__init(n);
    n->op_type = (char *)(uintptr_t)type;
    n->name = name;
    n->input = inputs;
    n->output = output;
    n->output[n->n_output++] = name;
    n->attribute = attributes;
    va_start(args, name);
    for (char *in = va_arg(args, char *); in != NULL; in = va_arg(args, char *)) {
        n->input[n->n_input++] = in;
    }
    va_end(args);
    w->graph.node[w->graph.n_node++] = n;
    return n;
}

static Onnx__AttributeProto *attribute(writer *w, Onnx__NodeProto *n, const char *name, int type)
{
    Onnx__AttributeProto *a = make(w, sizeof *a);
    if (a != NULL) {
        onnx__attribute_proto__init(a);
        a->name = (char *)(uintptr_t)name;
        a->has_type = 1;
        a->type = type;
        n->attribute[n->n_attribute++] = a;
    }
    return a;
}

static void attribute_int(writer *w, Onnx__NodeProto *n, const char *name, int64_t v)
{
    Onnx__AttributeProto *a = attribute(w, n, name, ATTRIBUTE_INT);
    if (a != NULL) {
        a->has_i = 1;
        a->i = v;
    }
}

static void attribute_float(writer *w, Onnx__NodeProto *n, const char *name, float v)
{
    Onnx__AttributeProto *a = attribute(w, n, name, ATTRIBUTE_FLOAT);
    if (a != NULL) {
        a->has_f = 1;
        a->f = v;
    }
}

static int64_t *copy_ints(writer *w, const int64_t *v, size_t count)
{
    int64_t *out = make(w, count * sizeof *out);
    if (out != NULL && count > 0) {
        memcpy(out, v, count * sizeof *out);
    }
    return out;
}

static void attribute_ints(writer *w, Onnx__NodeProto *n, const char *name, const int64_t *v, size_t count)
{
    Onnx__AttributeProto *a = attribute(w, n, name, ATTRIBUTE_INTS);
    int64_t *ints = copy_ints(w, v, count);
    if (ints != NULL) {
        a->ints = ints;
        a->n_ints = count;
    }
}

static Onnx__TensorProto *tensor(writer *w, char *name, int type, const int64_t *dims, size_t rank)
{
    Onnx__TensorProto *t = make(w, sizeof *t);
    int64_t *copy = copy_ints(w, dims, rank);
    if (copy == NULL) {
        return NULL;
    }
    onnx__tensor_proto__init(t);
    t->name = name;
    t->has_data_type = 1;
    t->data_type = type;
    t->dims = copy;
    t->n_dims = rank;
    w->graph.initializer[w->graph.n_initializer++] = t;
    return t;
}

/* An initialiser whose data stay where they are; its name. */
static char *floats(writer *w, const char *node, const char *part, const float *data, const int64_t *dims, size_t rank)
{
    char *name = name_of(w, node, part);
    Onnx__TensorProto *t = tensor(w, name, TYPE_FLOAT, dims, rank);
    if (t == NULL) {
        return NULL;
    }
    t->float_data = (float *)(uintptr_t)data;
    t->n_float_data = 1;
    for (size_t i = 0; i < rank; i++) {
        t->n_float_data *= (size_t)dims[i];
    }
    return name;
}

static char *ints(writer *w, const char *node, const char *part, const int64_t *data, size_t count)
{
    const int64_t dims[1] = {(int64_t)count};
    char *name = name_of(w, node, part);
    Onnx__TensorProto *t = tensor(w, name, TYPE_INT64, dims, 1);
    int64_t *copy = copy_ints(w, data, count);
    if (copy == NULL) {
        return NULL;
    }
    t->int64_data = copy;
    t->n_int64_data = count;
    return name;
}

/* One float per channel, to be broadcast over a value of that rank; `data` is copied with the given step. */
static char *per_channel(writer *w, const char *node, const char *part, const float *data, size_t step, uint32_t channels, unsigned rank)
{
    const int64_t dims[3] = {channels, 1, 1};
    float *copy = make(w, channels * sizeof *copy);
    for (uint32_t c = 0; copy != NULL && c < channels; c++) {
        copy[c] = data[c * step];
    }
    return floats(w, node, part, copy, dims, rank - 1);
}

/* ---- nodes --------------------------------------------------------------------------------------------------------- */

/* The name of a node's value in that rank. */
static char *in_rank(writer *w, uint32_t node, unsigned rank)
{
    static const int64_t axes[2] = {2, 3};
    written *d = &w->done[node];
    const char *base = w->m->nodes[node].name;
    if (d->rank == rank) {
        return d->name;
    }
    if (d->other != NULL) {
        return d->other;
    }
    char *name = name_of(w, base, rank == 2 ? "flat" : "image");
    Onnx__NodeProto *n = rank == 2 ? operation(w, "Flatten", name, d->name, NULL) : operation(w, "Unsqueeze", name, d->name, ints(w, base, "axes", axes, 2), NULL);
    if (rank == 2 && n != NULL) {
        attribute_int(w, n, "axis", 1);
    }
    d->other = name;
    return name;
}

static void window_attributes(writer *w, Onnx__NodeProto *op, const sotto_node *n)
{
    const int64_t kernel[2] = {n->kernel_h, n->kernel_w}, strides[2] = {n->stride_h, n->stride_w};
    const int64_t pads[4] = {n->pad_top, n->pad_left, n->pad_bottom, n->pad_right};
    if (op != NULL) {
        attribute_ints(w, op, "kernel_shape", kernel, 2);
        attribute_ints(w, op, "strides", strides, 2);
        attribute_ints(w, op, "pads", pads, 4);
    }
}

static void write_conv(writer *w, const sotto_node *n, char *name, char *in)
{
    const int64_t dims[4] = {n->out, w->m->nodes[n->input[0]].shape.c / n->groups, n->kernel_h, n->kernel_w};
    char *weights = floats(w, n->name, "weight", n->tensor[0], dims, 4), *bias = floats(w, n->name, "bias", n->tensor[1], dims, 1);
    Onnx__NodeProto *op = operation(w, "Conv", name, in, weights, bias, NULL);
    window_attributes(w, op, n);
    if (op != NULL) {
        attribute_int(w, op, "group", n->groups);
    }
}

static void write_dense(writer *w, const sotto_node *n, char *name, char *in)
{
    const int64_t dims[2] = {n->out, (int64_t)sotto_shape_words(w->m->nodes[n->input[0]].shape)};
    char *weights = floats(w, n->name, "weight", n->tensor[0], dims, 2), *bias = floats(w, n->name, "bias", n->tensor[1], dims, 1);
    Onnx__NodeProto *op = operation(w, "Gemm", name, in, weights, bias, NULL);
    if (op != NULL) {
        attribute_int(w, op, "transB", 1);
    }
}

static void write_batchnorm(writer *w, const sotto_node *n, char *name, char *in)
{
    static const char *const parts[4] = {"scale", "bias", "mean", "variance"};
    const int64_t dims[1] = {n->shape.c};
    char *in_file[4];
    for (unsigned t = 0; t < 4; t++) {
        in_file[t] = floats(w, n->name, parts[t], n->tensor[t], dims, 1);
    }
    Onnx__NodeProto *op = operation(w, "BatchNormalization", name, in, in_file[0], in_file[1], in_file[2], in_file[3], NULL);
    if (op != NULL) {
        attribute_float(w, op, "epsilon", n->epsilon);
    }
}

/* Clip takes one bound; where channels differ it is a minimum. */
static void write_clip(writer *w, const sotto_node *n, char *name, char *in, unsigned rank)
{
    static const float zero = 0.0f;
    int uniform = 1;
    for (uint32_t c = 1; c < n->shape.c; c++) {
        uniform &= n->tensor[0][c] == n->tensor[0][0];
    }
    if (uniform) {
        char *low = floats(w, n->name, "min", &zero, NULL, 0), *high = floats(w, n->name, "max", n->tensor[0], NULL, 0);
        (void)operation(w, "Clip", name, in, low, high, NULL);
    } else {
        char *relu = name_of(w, n->name, "relu"), *bounds = per_channel(w, n->name, "max", n->tensor[0], 1, n->shape.c, rank);
        (void)operation(w, "Relu", relu, in, NULL);
        (void)operation(w, "Min", name, relu, bounds, NULL);
    }
}

/* x to 0 or to itself per channel: a slope of 0 or 1 below zero. */
static void write_mixed_relu(writer *w, const sotto_node *n, char *name, char *in, unsigned rank)
{
    float *slopes = make(w, n->shape.c * sizeof *slopes);
    for (uint32_t c = 0; slopes != NULL && c < n->shape.c; c++) {
        slopes[c] = n->units[c].kind == SOTTO_UNIT_IDENTITY ? 1.0f : 0.0f;
    }
    (void)operation(w, "PRelu", name, in, slopes != NULL ? per_channel(w, n->name, "slope", slopes, 1, n->shape.c, rank) : NULL, NULL);
}

static void write_polynomial(writer *w, const sotto_node *n, char *name, char *in, unsigned rank)
{
    static const char *const parts[SOTTO_POLY_TERMS] = {"c0", "c1", "c2", "c3"};
    char *c[SOTTO_POLY_TERMS];
    int cubic = 0;
    float *all = make(w, n->shape.c * SOTTO_POLY_TERMS * sizeof *all);
    for (uint32_t i = 0; all != NULL && i < n->shape.c; i++) {
        float *p = all + (size_t)i * SOTTO_POLY_TERMS;
        const uint8_t kind = n->units[i].kind;
        cubic |= kind == SOTTO_UNIT_CUBIC;
        if (kind == SOTTO_UNIT_SQUARE || kind == SOTTO_UNIT_CUBIC) {
            memcpy(p, n->tensor[0] + (size_t)i * SOTTO_POLY_TERMS, SOTTO_POLY_TERMS * sizeof *p);
        }
        p[1] = kind == SOTTO_UNIT_IDENTITY ? 1.0f : p[1];
    }
    for (unsigned i = 0; i < SOTTO_POLY_TERMS && all != NULL; i++) {
        c[i] = i < 3 || cubic ? per_channel(w, n->name, parts[i], all + i, SOTTO_POLY_TERMS, n->shape.c, rank) : NULL;
    }
    char *first = name_of(w, n->name, "first"), *affine = name_of(w, n->name, "affine"), *square = name_of(w, n->name, "square");
    char *second = name_of(w, n->name, "second"), *sum = cubic ? name_of(w, n->name, "sum") : name;
    if (w->status != SOTTO_OK) {
        return;
    }
    (void)operation(w, "Mul", first, in, c[1], NULL);
    (void)operation(w, "Add", affine, first, c[0], NULL);
    (void)operation(w, "Mul", square, in, in, NULL);
    (void)operation(w, "Mul", second, square, c[2], NULL);
    (void)operation(w, "Add", sum, affine, second, NULL);
    if (cubic) {
        char *cube = name_of(w, n->name, "cube"), *third = name_of(w, n->name, "third");
        (void)operation(w, "Mul", cube, square, in, NULL);
        (void)operation(w, "Mul", third, cube, c[3], NULL);
        (void)operation(w, "Add", name, sum, third, NULL);
    }
}

static int refuse(writer *w, const sotto_node *n, const char *what)
{
    return w->status = sotto_fail(SOTTO_ERR_UNSUPPORTED, "node %s: %s, for which ONNX has no operator; supported: relu and identity per channel, or identity, "
                                  "zero, square and cubic per channel", n->name, what);
}

static void write_act(writer *w, const sotto_node *n, char *name, char *in, unsigned rank)
{
    unsigned kinds = 0;
    int patches = 0;
    for (uint32_t c = 0; c < n->shape.c; c++) {
        kinds |= 1u << n->units[c].kind;
        patches |= n->units[c].block_h != 1 || n->units[c].block_w != 1;
    }
    const int relus = kinds >> SOTTO_UNIT_RELU & 1;
    if (patches || n->mask != NULL) {
        (void)refuse(w, n, patches ? "relu by patches" : "a mask of single pixels");
    } else if (relus && (kinds & ~(1u << SOTTO_UNIT_RELU | 1u << SOTTO_UNIT_IDENTITY)) != 0) {
        (void)refuse(w, n, "relu beside zero or polynomials");
    } else if (relus) {
        write_mixed_relu(w, n, name, in, rank);
    } else {
        write_polynomial(w, n, name, in, rank);
    }
}

static void write_pool(writer *w, const sotto_node *n, char *name, char *in)
{
    const int average = n->op == SOTTO_OP_AVGPOOL;
    Onnx__NodeProto *op = operation(w, average ? "AveragePool" : "MaxPool", name, in, NULL);
    window_attributes(w, op, n);
    if (op != NULL && average) {
        attribute_int(w, op, "count_include_pad", 1);
    }
}

static void write_pad(writer *w, const sotto_node *n, char *name, char *in)
{
    const int64_t pads[8] = {0, n->pad_front, n->pad_top, n->pad_left, 0, n->pad_back, n->pad_bottom, n->pad_right};
    (void)operation(w, "Pad", name, in, ints(w, n->name, "pads", pads, 8), NULL);
}

static void write_node(writer *w, uint32_t at)
{
    const sotto_node *n = &w->m->nodes[at];
    const int image = sotto_op_has_window(n->op) || n->op == SOTTO_OP_GLOBALAVG || n->op == SOTTO_OP_PAD;
    const int flat = n->op == SOTTO_OP_DENSE || n->op == SOTTO_OP_FLATTEN;
    const unsigned rank = image ? 4 : flat ? 2 : w->done[n->input[0]].rank;
    char *name = name_of(w, n->name, ""), *in = n->op == SOTTO_OP_FLATTEN ? w->done[n->input[0]].name : in_rank(w, n->input[0], rank);
    Onnx__NodeProto *op = NULL;
    if (w->status != SOTTO_OK) {
        return;
    }
    w->done[at] = (written){name, NULL, rank};
    switch (n->op) {
    case SOTTO_OP_CONV:
        write_conv(w, n, name, in);
        break;
    case SOTTO_OP_DENSE:
        write_dense(w, n, name, in);
        break;
    case SOTTO_OP_BATCHNORM:
        write_batchnorm(w, n, name, in);
        break;
    case SOTTO_OP_RELU:
        (void)operation(w, "Relu", name, in, NULL);
        break;
    case SOTTO_OP_CLIP:
        write_clip(w, n, name, in, rank);
        break;
    case SOTTO_OP_ACT:
        write_act(w, n, name, in, rank);
        break;
    case SOTTO_OP_MAXPOOL:
    case SOTTO_OP_AVGPOOL:
        write_pool(w, n, name, in);
        break;
    case SOTTO_OP_GLOBALAVG:
        (void)operation(w, "GlobalAveragePool", name, in, NULL);
        break;
    case SOTTO_OP_ADD:
        (void)operation(w, "Add", name, in, in_rank(w, n->input[1], rank), NULL);
        break;
    case SOTTO_OP_CONCAT:
        op = operation(w, "Concat", name, in, in_rank(w, n->input[1], rank), NULL);
        if (op != NULL) {
            attribute_int(w, op, "axis", 1);
        }
        break;
    case SOTTO_OP_PAD:
        write_pad(w, n, name, in);
        break;
    case SOTTO_OP_FLATTEN:
        op = operation(w, "Flatten", name, in, NULL);
        if (op != NULL) {
            attribute_int(w, op, "axis", 1);
        }
        break;
    case SOTTO_OP_IDENTITY:
        (void)operation(w, "Identity", name, in, NULL);
        break;
    case SOTTO_OP_INPUT:
    case SOTTO_OP_COUNT:
        break;
    }
}

/* ---- the file ------------------------------------------------------------------------------------------------------ */

/* N x c x h x w, or N x c. */
static Onnx__ValueInfoProto *value_info(writer *w, char *name, sotto_shape s, unsigned rank)
{
    const uint32_t sides[4] = {0, s.c, s.h, s.w};
    Onnx__ValueInfoProto *info = make(w, sizeof *info);
    Onnx__TypeProto *type = make(w, sizeof *type);
    Onnx__TypeProto__Tensor *t = make(w, sizeof *t);
    Onnx__TensorShapeProto *shape = make(w, sizeof *shape);
    Onnx__TensorShapeProto__Dimension *dims = make(w, 4 * sizeof *dims), **list = make(w, 4 * sizeof *list);
    if (list == NULL) {
        return NULL;
    }
    onnx__value_info_proto__init(info);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(t);
    onnx__tensor_shape_proto__init(shape);
    info->name = name;
    info->type = type;
    type->tensor_type = t;
    t->has_elem_type = 1;
    t->elem_type = TYPE_FLOAT;
    t->shape = shape;
    shape->dim = list;
    shape->n_dim = rank;
    for (unsigned i = 0; i < rank; i++) {
        onnx__tensor_shape_proto__dimension__init(&dims[i]);
        dims[i].has_dim_value = i > 0;
        dims[i].dim_value = sides[i];
        dims[i].dim_param = i == 0 ? name_of(w, "N", "") : NULL;
        list[i] = &dims[i];
    }
    return info;
}

/* The input is pixel / 255; what reads it reads the normalised values. */
static void write_input(writer *w)
{
    const sotto_model *m = w->m;
    const uint32_t channels = m->nodes[0].shape.c;
    char *name = name_of(w, m->nodes[0].name, "");
    int plain = 1;
    for (uint32_t c = 0; c < channels; c++) {
        plain &= m->mean[c] == 0.0f && m->std[c] == 1.0f;
    }
    w->graph.input[w->graph.n_input++] = value_info(w, name, m->nodes[0].shape, 4);
    w->done[0] = (written){name, NULL, 4};
    if (!plain) {
        char *centred = name_of(w, "input", "centred"), *normal = name_of(w, "input", "normalised");
        (void)operation(w, "Sub", centred, name, per_channel(w, "input", "mean", m->mean, 1, channels, 4), NULL);
        (void)operation(w, "Div", normal, centred, per_channel(w, "input", "std", m->std, 1, channels, 4), NULL);
        w->done[0].name = normal;
    }
}

static int fill_graph(writer *w)
{
    const size_t nodes = w->m->node_count;
    onnx__graph_proto__init(&w->graph);
    w->graph.name = name_of(w, w->m->name[0] != '\0' ? w->m->name : "sotto", "");
    w->done = make(w, nodes * sizeof *w->done);
    w->graph.node = make(w, nodes * PARTS_MAX * sizeof *w->graph.node);
    w->graph.initializer = make(w, nodes * PARTS_MAX * sizeof *w->graph.initializer);
    w->graph.input = make(w, sizeof *w->graph.input);
    w->graph.output = make(w, sizeof *w->graph.output);
    if (w->status == SOTTO_OK) {
        write_input(w);
    }
    for (uint32_t i = 1; i < nodes && w->status == SOTTO_OK; i++) {
        write_node(w, i);
    }
    if (w->status == SOTTO_OK) {
        const uint32_t last = (uint32_t)nodes - 1;
        const sotto_shape s = w->m->nodes[last].shape;
        const unsigned rank = s.h == 1 && s.w == 1 ? 2 : w->done[last].rank;
        w->graph.output[w->graph.n_output++] = value_info(w, in_rank(w, last, rank), s, rank);
    }
    return w->status;
}

static int pack(writer *w, uint8_t **data, size_t *len)
{
    char producer[] = "sotto";
    Onnx__ModelProto file = ONNX__MODEL_PROTO__INIT;
    Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT, *opsets[1] = {&opset};
    opset.has_version = 1;
    opset.version = OPSET;
    file.has_ir_version = 1;
    file.ir_version = IR_VERSION;
    file.producer_name = producer;
    file.n_opset_import = 1;
    file.opset_import = opsets;
    file.graph = &w->graph;
    const size_t bytes = onnx__model_proto__get_packed_size(&file);
    uint8_t *out = sotto_calloc(bytes, 1);
    if (out == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu bytes of a network", bytes);
    }
    *len = onnx__model_proto__pack(&file, out);
    *data = out;
    return SOTTO_OK;
}

int sotto_onnx_write(const sotto_model *m, uint8_t **data, size_t *len)
{
    writer w = {.m = m};
    *data = NULL;
    *len = 0;
    if (m->node_count < 2 || !sotto_model_has_weights(m)) {
        return sotto_fail(SOTTO_ERR_ARG, "a network without weights has nothing to write");
    }
    int status = fill_graph(&w);
    if (status == SOTTO_OK) {
        status = pack(&w, data, len);
    }
    for (chunk *c = w.chunks, *next; c != NULL; c = next) {
        next = c->next;
        sotto_free_secret(c, c->bytes, 1);
    }
    return status;
}
