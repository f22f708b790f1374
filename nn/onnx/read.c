#include "nn/onnx/onnx.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/onnx/read_internal.h"

#define GRAPH_NODES_MAX (4 * SOTTO_NODES_MAX) /* constants are nodes, too */
#define TENSORS_MAX 65536

/* An affine node's variance and epsilon: their sum is exactly 1. */
#define AFFINE_EPSILON 0x1p-20f

/* ---- messages ------------------------------------------------------------------------------------------------------ */

const char *sotto_onnx_shown(const char *name, char out[ONNX_NAME_SHOWN])
{
    size_t n = 0;
    for (; name != NULL && name[n] != '\0' && n < ONNX_NAME_SHOWN - 1; n++) {
        out[n] = name[n] >= 0x20 && name[n] < 0x7f ? name[n] : '?';
    }
    if (n == 0) {
        out[n++] = '-';
    }
    out[n] = '\0';
    return out;
}

static const char *graph_name(const Onnx__NodeProto *n)
{
    return n->name != NULL && n->name[0] != '\0' ? n->name : n->n_output > 0 ? n->output[0] : NULL;
}

static int complain(const reader *r, int code, const char *format, va_list args)
{
    char message[384], node[ONNX_NAME_SHOWN], op[ONNX_NAME_SHOWN];
    vsnprintf(message, sizeof message, format, args);
    if (r->node == NULL) {
        return sotto_fail(code, "%s", message);
    }
    return sotto_fail(code, "node %s (%s): %s", sotto_onnx_shown(graph_name(r->node), node), sotto_onnx_shown(r->node->op_type, op), message);
}

int sotto_onnx_refuse(const reader *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int status = complain(r, SOTTO_ERR_UNSUPPORTED, format, args);
    va_end(args);
    return status;
}

int sotto_onnx_broken(const reader *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int status = complain(r, SOTTO_ERR_FORMAT, format, args);
    va_end(args);
    return status;
}

void sotto_onnx_note(const reader *r, const char *format, ...)
{
    char text[256];
    va_list args;
    if (r->options != NULL && r->options->note != NULL) {
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        r->options->note(r->options->ctx, text);
    }
}

/* ---- the file ------------------------------------------------------------------------------------------------------ */

/* What decoding may allocate in all, released or not: submessages of two bytes become structs of a hundred, and repeated ones are merged by copying. */
typedef struct allowance {
    size_t left;
} allowance;

static void *allowed_alloc(void *ctx, size_t size)
{
    allowance *a = ctx;
    const size_t overhead = 64; /* sotto_calloc aligns */
    if (size > a->left || overhead > a->left - size) {
        return NULL;
    }
    a->left -= size + overhead;
    return sotto_calloc(1, size);
}

static void allowed_free(void *ctx, void *p)
{
    (void)ctx;
    sotto_free(p);
}

/* ---- values by name ------------------------------------------------------------------------------------------------ */

static size_t slot_of(const reader *r, const char *name)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (const char *p = name; *p != '\0'; p++) {
        h = (h ^ (unsigned char)*p) * 0x100000001b3u;
    }
    size_t slot = (size_t)(h ^ h >> 32) & (r->slot_count - 1);
    while (r->slots[slot] != 0 && strcmp(r->values[r->slots[slot] - 1].name, name) != 0) {
        slot = (slot + 1) & (r->slot_count - 1);
    }
    return slot;
}

value *sotto_onnx_find(const reader *r, const char *name)
{
    const uint32_t at = r->slots[slot_of(r, name)];
    return at == 0 ? NULL : &r->values[at - 1];
}

int sotto_onnx_define(reader *r, const char *name, const value *v)
{
    char shown[ONNX_NAME_SHOWN];
    if (name == NULL || name[0] == '\0') {
        return sotto_onnx_broken(r, "a value without a name");
    }
    const size_t slot = slot_of(r, name);
    if (r->slots[slot] != 0 || r->value_count == r->value_cap) {
        return sotto_onnx_broken(r, "the name %s is given to two values", sotto_onnx_shown(name, shown));
    }
    value *out = &r->values[r->value_count++];
    *out = *v;
    out->name = name;
    out->at = r->at;
    r->slots[slot] = (uint32_t)r->value_count;
    return SOTTO_OK;
}

int sotto_onnx_input(reader *r, size_t i, value **v)
{
    char shown[ONNX_NAME_SHOWN];
    *v = NULL;
    if (i >= r->node->n_input || r->node->input[i][0] == '\0') {
        return SOTTO_OK;
    }
    *v = sotto_onnx_find(r, r->node->input[i]);
    if (*v == NULL) {
        return sotto_onnx_broken(r, "reads %s, which no earlier node and no initialiser gives", sotto_onnx_shown(r->node->input[i], shown));
    }
    return (*v)->softmax ? sotto_onnx_refuse(r, "reads the output of a softmax; supported: a softmax at the very end") : SOTTO_OK;
}

int sotto_onnx_activation(reader *r, size_t i, value **v)
{
    const int status = sotto_onnx_input(r, i, v);
    if (status != SOTTO_OK) {
        return status;
    }
    if (*v == NULL) {
        return sotto_onnx_broken(r, "input %zu is missing", i);
    }
    if ((*v)->kind != VALUE_ACTIVATION) {
        return sotto_onnx_refuse(r, "input %zu is a constant; expected a value that depends on the image", i);
    }
    return sotto_onnx_settle(r, *v);
}

int sotto_onnx_output(reader *r, uint32_t node, unsigned rank)
{
    const value v = {.kind = VALUE_ACTIVATION, .node = node, .rank = rank};
    return sotto_onnx_define(r, r->node->output[0], &v);
}

/* ---- nodes of the model -------------------------------------------------------------------------------------------- */

static int spend(reader *r, size_t floats)
{
    if (floats > r->floats_left) {
        return sotto_fail(SOTTO_ERR_LIMIT, "the weights take more than %u numbers, or far more than the file holds", SOTTO_WEIGHTS_MAX);
    }
    r->floats_left -= floats;
    return SOTTO_OK;
}

int sotto_onnx_floats(reader *r, float **out, size_t count)
{
    const int status = spend(r, count);
    if (status != SOTTO_OK) {
        return status;
    }
    *out = sotto_calloc(count, sizeof **out);
    return *out == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu weights", count) : SOTTO_OK;
}

int sotto_onnx_poly(reader *r, double **out, uint32_t channels)
{
    const size_t count = (size_t)channels * SOTTO_POLY_TERMS;
    const int status = spend(r, 2 * count);
    if (status != SOTTO_OK) {
        return status;
    }
    *out = sotto_calloc(count, sizeof **out);
    return *out == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu coefficients", count) : SOTTO_OK;
}

/* A name that no node of m has, from one of the file. */
static void name_node(const reader *r, char out[SOTTO_NAME_MAX], const char *name, sotto_op op)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    char base[SOTTO_NAME_MAX] = "";
    size_t n = 0;
    name = name == NULL ? "" : name + strspn(name, "/");
    for (; name[n] != '\0' && n < SOTTO_NAME_MAX - 1; n++) {
        base[n] = strchr(plain, name[n]) != NULL ? name[n] : '.';
    }
    if (n == 0) {
        snprintf(base, sizeof base, "%s", sotto_op_name(op));
    }
    memset(out, 0, SOTTO_NAME_MAX);
    snprintf(out, SOTTO_NAME_MAX, "%s", base);
    /* Small numbers first; a file that gives one name to thousands of nodes is not to cost a search for each of them. */
    for (unsigned k = 2; sotto_model_find(r->m, out) != SIZE_MAX; k += k < 8 ? 1 : (unsigned)r->m->node_count) {
        snprintf(out, SOTTO_NAME_MAX, "%.22s-%u", base, k);
    }
}

static void release_node(sotto_node *n)
{
    for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
        sotto_free(n->tensor[t]);
    }
    sotto_free(n->units);
}

int sotto_onnx_add(reader *r, sotto_node *n, size_t at, uint32_t *index)
{
    const char *name = n->name[0] != '\0' ? n->name : at > 0 ? graph_name(r->graph->node[at - 1]) : NULL;
    const uint64_t plane = (uint64_t)n->shape.c * n->shape.h;
    char unique[SOTTO_NAME_MAX];
    int status = SOTTO_OK;
    if (plane == 0 || plane > SOTTO_VALUES_MAX || n->shape.w == 0 || n->shape.w > SOTTO_VALUES_MAX / plane || n->shape.h > SOTTO_DIM_MAX ||
        n->shape.w > SOTTO_DIM_MAX) {
        status = sotto_fail(SOTTO_ERR_LIMIT, "node %s: more than %u values, or a side above %d", sotto_op_name(n->op), SOTTO_VALUES_MAX, SOTTO_DIM_MAX);
    }
    if (status == SOTTO_OK) {
        name_node(r, unique, name, n->op);
        memcpy(n->name, unique, sizeof unique);
        status = sotto_model_append(r->m, n, index);
    }
    if (status != SOTTO_OK) {
        release_node(n);
        return status;
    }
    r->order[*index] = at;
    return SOTTO_OK;
}

/* ---- polynomials become nodes -------------------------------------------------------------------------------------- */

static unsigned degree_of(const double *c)
{
    unsigned d = SOTTO_POLY_TERMS - 1;
    while (d > 0 && c[d] == 0.0) {
        d--;
    }
    return d;
}

/* As floats, which is what a model holds; the doubles serve the normalisation alone, so that constants come back as they were. */
static void rounded(double out[SOTTO_POLY_TERMS], const double *c)
{
    for (unsigned i = 0; i < SOTTO_POLY_TERMS; i++) {
        out[i] = (float)c[i];
    }
}

static int is_identity(const double *c)
{
    return c[0] == 0.0 && c[1] == 1.0 && degree_of(c) == 1;
}

/* gamma x + beta as a batch norm. */
static int fill_affine(reader *r, sotto_node *n, const double *poly)
{
    n->op = SOTTO_OP_BATCHNORM;
    n->epsilon = AFFINE_EPSILON;
    for (unsigned t = 0; t < 4; t++) {
        const int status = sotto_onnx_floats(r, &n->tensor[t], n->shape.c);
        if (status != SOTTO_OK) {
            return status;
        }
    }
    for (uint32_t c = 0; c < n->shape.c; c++) {
        n->tensor[0][c] = (float)poly[c * SOTTO_POLY_TERMS + 1];
        n->tensor[1][c] = (float)poly[c * SOTTO_POLY_TERMS];
        n->tensor[3][c] = 1.0f - AFFINE_EPSILON;
    }
    return SOTTO_OK;
}

static int fill_act(reader *r, sotto_node *n, const double *poly)
{
    n->op = SOTTO_OP_ACT;
    int status = sotto_onnx_floats(r, &n->tensor[0], (size_t)n->shape.c * SOTTO_POLY_TERMS);
    if (status == SOTTO_OK) {
        status = sotto_node_units_alloc(n);
    }
    for (uint32_t c = 0; status == SOTTO_OK && c < n->shape.c; c++) {
        double p[SOTTO_POLY_TERMS];
        rounded(p, poly + (size_t)c * SOTTO_POLY_TERMS);
        const int zero = degree_of(p) == 0 && p[0] == 0.0;
        n->units[c].kind = (uint8_t)(zero ? SOTTO_UNIT_ZERO : is_identity(p) ? SOTTO_UNIT_IDENTITY : degree_of(p) < 3 ? SOTTO_UNIT_SQUARE : SOTTO_UNIT_CUBIC);
        for (unsigned i = 0; i < SOTTO_POLY_TERMS && !zero && !is_identity(p); i++) {
            n->tensor[0][c * SOTTO_POLY_TERMS + i] = (float)p[i];
        }
    }
    return status;
}

int sotto_onnx_settle(reader *r, value *v)
{
    unsigned degree = 0;
    int identity = 1;
    if (v->poly == NULL) {
        return SOTTO_OK;
    }
    sotto_node n = {.input = {v->node}, .groups = 1, .shape = r->m->nodes[v->node].shape};
    for (uint32_t c = 0; c < n.shape.c; c++) {
        double p[SOTTO_POLY_TERMS];
        rounded(p, v->poly + (size_t)c * SOTTO_POLY_TERMS);
        degree = degree_of(p) > degree ? degree_of(p) : degree;
        identity &= is_identity(p);
    }
    if (!identity) {
        uint32_t index;
        int status = degree <= 1 ? fill_affine(r, &n, v->poly) : fill_act(r, &n, v->poly);
        if (status != SOTTO_OK) {
            release_node(&n);
            return status;
        }
        status = sotto_onnx_add(r, &n, v->at, &index);
        if (status != SOTTO_OK) {
            return status;
        }
        v->node = index;
        if (degree <= 1) {
            r->affine[index] = v->poly;
            v->poly = NULL;
        }
    }
    sotto_free(v->poly);
    v->poly = NULL;
    return SOTTO_OK;
}

/* ---- the graph ----------------------------------------------------------------------------------------------------- */

static int check_opset(reader *r, const Onnx__ModelProto *file)
{
    for (size_t i = 0; i < file->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *o = file->opset_import[i];
        if (o->domain == NULL || o->domain[0] == '\0' || strcmp(o->domain, "ai.onnx") == 0) {
            r->opset = o->version;
        }
    }
    return r->opset >= 7 && r->opset <= 17
               ? SOTTO_OK
               : sotto_fail(SOTTO_ERR_VERSION, "operator set %lld; this build reads 7 to 17: export the network for one of these", (long long)r->opset);
}

static int add_initialisers(reader *r)
{
    for (size_t i = 0; i < r->graph->n_initializer; i++) {
        const value v = {.kind = VALUE_TENSOR, .tensor = r->graph->initializer[i]};
        const int status = sotto_onnx_define(r, v.tensor->name, &v);
        if (status != SOTTO_OK) {
            return status;
        }
    }
    return SOTTO_OK;
}

/* The input that depends on the image: old files list the initialisers among the inputs. */
static int find_input(const reader *r, const Onnx__ValueInfoProto **out)
{
    char shown[ONNX_NAME_SHOWN];
    const char *wanted = r->options != NULL ? r->options->input : NULL;
    size_t found = 0;
    for (size_t i = 0; i < r->graph->n_input; i++) {
        const Onnx__ValueInfoProto *in = r->graph->input[i];
        if (in->name != NULL && in->name[0] != '\0' && sotto_onnx_find(r, in->name) == NULL && (wanted == NULL || strcmp(wanted, in->name) == 0)) {
            *out = in;
            found++;
        }
    }
    if (found == 1) {
        return SOTTO_OK;
    }
    return wanted != NULL ? sotto_fail(SOTTO_ERR_MISMATCH, "the graph has no input named %s", sotto_onnx_shown(wanted, shown))
                          : sotto_fail(SOTTO_ERR_UNSUPPORTED, "the graph has %zu inputs; expected one, or the name of the image's", found);
}

static const Onnx__TensorShapeProto *declared_shape(const Onnx__ValueInfoProto *info)
{
    return info->type != NULL && info->type->tensor_type != NULL ? info->type->tensor_type->shape : NULL;
}

/* An input N x values is an image of one row, flattened. */
static int add_input(reader *r)
{
    const Onnx__ValueInfoProto *in = NULL;
    uint32_t dims[3] = {1, 1, 1}, index;
    char shown[ONNX_NAME_SHOWN];
    int status = find_input(r, &in);
    if (status != SOTTO_OK) {
        return status;
    }
    sotto_onnx_shown(in->name, shown);
    const Onnx__TensorShapeProto *shape = declared_shape(in);
    if (shape == NULL || (shape->n_dim != 4 && shape->n_dim != 2) || in->type->tensor_type->elem_type != ONNX_FLOAT) {
        return sotto_fail(SOTTO_ERR_UNSUPPORTED, "input %s; expected floats of shape N x channels x height x width, or N x values", shown);
    }
    for (size_t i = 1; i < shape->n_dim; i++) {
        const int64_t d = shape->dim[i]->has_dim_value ? shape->dim[i]->dim_value : 0;
        if (d < 1 || d > SOTTO_DIM_MAX) {
            return sotto_fail(SOTTO_ERR_UNSUPPORTED, "input %s: dimension %zu is not a number from 1 to %d; export the network for images of a fixed size",
                              shown, i, SOTTO_DIM_MAX);
        }
        dims[shape->n_dim == 2 ? 2 : i - 1] = (uint32_t)d;
    }
    r->batch = shape->dim[0]->has_dim_value && shape->dim[0]->dim_value > 0 ? shape->dim[0]->dim_value : 1;
    sotto_node n = {.name = "input", .op = SOTTO_OP_INPUT, .shape = {dims[0], dims[1], dims[2]}};
    value v = {.kind = VALUE_ACTIVATION, .rank = 3};
    if (n.shape.c > SOTTO_INPUT_CHANNELS_MAX) {
        return sotto_fail(SOTTO_ERR_LIMIT, "input %s: %u channels; at most %d are supported", shown, (unsigned)n.shape.c, SOTTO_INPUT_CHANNELS_MAX);
    }
    status = sotto_model_append(r->m, &n, &index);
    if (status == SOTTO_OK && shape->n_dim == 2) {
        sotto_node flat = {.op = SOTTO_OP_FLATTEN, .groups = 1, .shape = {dims[2], 1, 1}};
        v.rank = 1;
        status = sotto_onnx_add(r, &flat, 0, &v.node);
    }
    return status == SOTTO_OK ? sotto_onnx_define(r, in->name, &v) : status;
}

/* What the file says of a value's shape, the batch left out, against what was inferred. */
static int check_declared(const reader *r, const Onnx__ValueInfoProto *info)
{
    char shown[ONNX_NAME_SHOWN];
    const value *v = info->name != NULL ? sotto_onnx_find(r, info->name) : NULL;
    const Onnx__TensorShapeProto *shape = declared_shape(info);
    if (v == NULL || v->kind != VALUE_ACTIVATION || shape == NULL) {
        return SOTTO_OK;
    }
    const sotto_shape s = r->m->nodes[v->node].shape;
    const uint32_t dims[3] = {s.c, s.h, s.w};
    int same = shape->n_dim == v->rank + 1;
    for (size_t i = 1; i < shape->n_dim && same; i++) {
        same = !shape->dim[i]->has_dim_value || shape->dim[i]->dim_value <= 0 || shape->dim[i]->dim_value == dims[i - 1];
    }
    return same ? SOTTO_OK
                : sotto_fail(SOTTO_ERR_FORMAT, "value %s: the file gives it a shape of %zu dimensions that is not N x %u x %u x %u, which follows from the nodes",
                             sotto_onnx_shown(info->name, shown), shape->n_dim, (unsigned)s.c, (unsigned)s.h, (unsigned)s.w);
}

static int check_all_declared(const reader *r)
{
    int status = SOTTO_OK;
    for (size_t i = 0; i < r->graph->n_value_info && status == SOTTO_OK; i++) {
        status = check_declared(r, r->graph->value_info[i]);
    }
    for (size_t i = 0; i < r->graph->n_output && status == SOTTO_OK; i++) {
        status = check_declared(r, r->graph->output[i]);
    }
    return status;
}

static int read_output(reader *r, uint32_t *node)
{
    char shown[ONNX_NAME_SHOWN];
    if (r->graph->n_output != 1 || r->graph->output[0]->name == NULL) {
        return sotto_fail(SOTTO_ERR_UNSUPPORTED, "the graph has %zu outputs; expected one, the logits", r->graph->n_output);
    }
    value *v = sotto_onnx_find(r, r->graph->output[0]->name);
    if (v == NULL || v->kind != VALUE_ACTIVATION) {
        return sotto_fail(SOTTO_ERR_FORMAT, "output %s is given by no node, or does not depend on the input",
                          sotto_onnx_shown(r->graph->output[0]->name, shown));
    }
    const int status = sotto_onnx_settle(r, v);
    *node = v->node;
    return status;
}

static int read_graph(reader *r)
{
    uint32_t output = 0;
    int status = add_initialisers(r);
    if (status == SOTTO_OK) {
        status = add_input(r);
    }
    for (size_t i = 0; i < r->graph->n_node && status == SOTTO_OK; i++) {
        r->node = r->graph->node[i];
        r->at = i + 1;
        status = sotto_onnx_operator(r);
    }
    r->node = NULL;
    if (status == SOTTO_OK) {
        status = check_all_declared(r);
    }
    if (status == SOTTO_OK) {
        status = read_output(r, &output);
    }
    return status == SOTTO_OK ? sotto_onnx_simplify(r, output) : status;
}

/* Tables for all names that the graph can give. */
static int prepare(reader *r)
{
    const Onnx__GraphProto *g = r->graph;
    size_t names = g->n_initializer + g->n_input;
    if (g->n_node > GRAPH_NODES_MAX || g->n_initializer > TENSORS_MAX || g->n_input > TENSORS_MAX) {
        return sotto_fail(SOTTO_ERR_LIMIT, "%zu nodes, %zu initialisers; at most %d and %d are read", g->n_node, g->n_initializer, GRAPH_NODES_MAX, TENSORS_MAX);
    }
    for (size_t i = 0; i < g->n_node; i++) {
        names += g->node[i]->n_output;
    }
    r->value_cap = names;
    for (r->slot_count = 16; r->slot_count < 2 * names; r->slot_count *= 2) {
    }
    r->values = sotto_calloc(names, sizeof *r->values);
    r->slots = sotto_calloc(r->slot_count, sizeof *r->slots);
    r->affine = sotto_calloc(SOTTO_NODES_MAX, sizeof *r->affine);
    r->order = sotto_calloc(SOTTO_NODES_MAX, sizeof *r->order);
    return r->values == NULL || r->slots == NULL || r->affine == NULL || r->order == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for the graph") : SOTTO_OK;
}

/* The graph's name, where it can be a model's. */
static void take_name(reader *r)
{
    if (r->graph->name != NULL && r->graph->name[0] != '\0') {
        sotto_node n;
        name_node(r, n.name, r->graph->name, SOTTO_OP_INPUT);
        memcpy(r->m->name, n.name, SOTTO_NAME_MAX);
    }
}

int sotto_onnx_read(sotto_model *m, const uint8_t *data, size_t len, const sotto_onnx_options *options)
{
    allowance a = {4 * len + ((size_t)64 << 20)};
    ProtobufCAllocator allocator = {allowed_alloc, allowed_free, &a};
    reader r = {.m = m, .options = options};
    sotto_model_init(m);
    if (len > SOTTO_ONNX_FILE_MAX) {
        memset(m, 0, sizeof *m);
        return sotto_fail(SOTTO_ERR_LIMIT, "%zu bytes; at most %zu are read", len, SOTTO_ONNX_FILE_MAX);
    }
    Onnx__ModelProto *file = onnx__model_proto__unpack(&allocator, len, data);
    int status = SOTTO_OK;
    if (file == NULL || file->graph == NULL) {
        status = sotto_fail(SOTTO_ERR_FORMAT, "no ONNX model: the bytes do not decode, have no graph, or would take far more memory than the file");
    }
    if (status == SOTTO_OK) {
        r.graph = file->graph;
        /* Sixteen times the file, for shared initialisers, and some for constants of one number that are one per channel here. */
        r.floats_left = 4 * len + ((size_t)1 << 20) < SOTTO_WEIGHTS_MAX ? 4 * len + ((size_t)1 << 20) : SOTTO_WEIGHTS_MAX;
        status = check_opset(&r, file);
    }
    if (status == SOTTO_OK) {
        status = prepare(&r);
    }
    if (status == SOTTO_OK) {
        status = read_graph(&r);
    }
    if (status == SOTTO_OK) {
        take_name(&r);
        status = sotto_model_infer_shapes(m);
    }
    for (size_t i = 0; i < r.value_count; i++) {
        sotto_free(r.values[i].poly);
    }
    sotto_free(r.values);
    sotto_free(r.slots);
    for (size_t i = 0; r.affine != NULL && i < SOTTO_NODES_MAX; i++) {
        sotto_free(r.affine[i]);
    }
    sotto_free(r.affine);
    sotto_free(r.order);
    if (file != NULL) {
        onnx__model_proto__free_unpacked(file, &allocator);
    }
    if (status != SOTTO_OK) {
        sotto_model_free(m);
    }
    return status;
}
