#include "nn/model/model.h"

#include <math.h>
#include <string.h>

#include "lib/mem.h"

static const struct op_info {
    const char *name;
    unsigned inputs;
    int linear, unit, window; /* window: has kernel, stride, pad */
} ops[SOTTO_OP_COUNT] = {
    [SOTTO_OP_INPUT] = {"input", 0, 0, 0, 0},       [SOTTO_OP_CONV] = {"conv", 1, 1, 0, 1},
    [SOTTO_OP_DENSE] = {"dense", 1, 1, 0, 0},       [SOTTO_OP_BATCHNORM] = {"batchnorm", 1, 0, 0, 0},
    [SOTTO_OP_RELU] = {"relu", 1, 0, 1, 0},         [SOTTO_OP_CLIP] = {"clip", 1, 0, 1, 0},
    [SOTTO_OP_IDENTITY] = {"identity", 1, 0, 1, 0}, [SOTTO_OP_ACT] = {"act", 1, 0, 1, 0},
    [SOTTO_OP_MAXPOOL] = {"maxpool", 1, 0, 0, 1},   [SOTTO_OP_AVGPOOL] = {"avgpool", 1, 0, 0, 1},
    [SOTTO_OP_GLOBALAVG] = {"globalavg", 1, 0, 0, 0}, [SOTTO_OP_ADD] = {"add", 2, 0, 0, 0},
    [SOTTO_OP_CONCAT] = {"concat", 2, 0, 0, 0},     [SOTTO_OP_PAD] = {"pad", 1, 0, 0, 0},
    [SOTTO_OP_FLATTEN] = {"flatten", 1, 0, 0, 0},
};

const char *sotto_op_name(sotto_op op)
{
    return (unsigned)op < SOTTO_OP_COUNT ? ops[op].name : NULL;
}

unsigned sotto_op_inputs(sotto_op op)
{
    return ops[op].inputs;
}

int sotto_op_is_linear(sotto_op op)
{
    return ops[op].linear;
}

int sotto_op_is_unit(sotto_op op)
{
    return ops[op].unit;
}

int sotto_op_has_window(sotto_op op)
{
    return ops[op].window;
}

void sotto_model_init(sotto_model *m)
{
    memset(m, 0, sizeof *m);
    for (size_t i = 0; i < SOTTO_INPUT_CHANNELS_MAX; i++) {
        m->std[i] = 1.0f;
    }
}

static void release_weights(sotto_model *m)
{
    for (size_t i = 0; i < m->node_count; i++) {
        for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
            sotto_free_secret(m->nodes[i].tensor[t], sotto_tensor_count(m, &m->nodes[i], t), sizeof(float));
            m->nodes[i].tensor[t] = NULL;
        }
    }
}

void sotto_model_free(sotto_model *m)
{
    release_weights(m);
    for (size_t i = 0; i < m->node_count; i++) {
        sotto_free(m->nodes[i].units);
        sotto_free(m->nodes[i].mask);
        sotto_free(m->nodes[i].windows);
    }
    sotto_free(m->nodes);
    sotto_free(m->labels);
    memset(m, 0, sizeof *m);
}

int sotto_model_append(sotto_model *m, const sotto_node *node, uint32_t *index)
{
    if (m->node_count >= SOTTO_NODES_MAX) {
        return sotto_fail(SOTTO_ERR_LIMIT, "more than %d nodes in a model", SOTTO_NODES_MAX);
    }
    if (m->node_count == m->node_cap) {
        const size_t cap = m->node_cap == 0 ? 16 : 2 * m->node_cap;
        sotto_node *nodes = sotto_calloc(cap, sizeof *nodes);
        if (nodes == NULL) {
            return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a model of %zu nodes", cap);
        }
        if (m->node_count > 0) {
            memcpy(nodes, m->nodes, m->node_count * sizeof *nodes);
        }
        sotto_free(m->nodes);
        m->nodes = nodes;
        m->node_cap = cap;
    }
    *index = (uint32_t)m->node_count;
    m->nodes[m->node_count++] = *node;
    return SOTTO_OK;
}

static int name_ok(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    const size_t len = strnlen(name, SOTTO_NAME_MAX);
    return len > 0 && len < SOTTO_NAME_MAX && strspn(name, allowed) == len;
}

static int label_ok(const char *label)
{
    const size_t len = strnlen(label, SOTTO_NAME_MAX);
    for (size_t i = 0; i < len; i++) {
        if (label[i] < 0x20 || label[i] > 0x7e) {
            return 0;
        }
    }
    return len > 0 && len < SOTTO_NAME_MAX;
}

static int bad(const sotto_node *node, const char *field, const char *expected)
{
    return sotto_fail(SOTTO_ERR_FORMAT, "node %.31s: %s; expected %s", node->name, field, expected);
}

/* Output length of a window over `in` pixels of one axis; 0 when it does not fit. */
static uint32_t window_out(uint32_t in, uint32_t kernel, uint32_t stride, uint32_t before, uint32_t after)
{
    const uint64_t padded = (uint64_t)in + before + after;
    return padded < kernel ? 0 : (uint32_t)((padded - kernel) / stride + 1);
}

static int window_shape(sotto_node *node, sotto_shape in)
{
    const uint32_t fields[8] = {node->kernel_h, node->kernel_w, node->stride_h, node->stride_w,
                                node->pad_top,  node->pad_left, node->pad_bottom, node->pad_right};
    for (size_t i = 0; i < 8; i++) {
        if ((i < 4 && fields[i] == 0) || fields[i] > SOTTO_DIM_MAX) {
            return bad(node, "kernel, stride or pad is out of range", "1 to 65536, pad from 0");
        }
    }
    /* A window that lies in the padding alone would be a value made from nothing. */
    if (node->pad_top >= node->kernel_h || node->pad_bottom >= node->kernel_h || node->pad_left >= node->kernel_w ||
        node->pad_right >= node->kernel_w) {
        return bad(node, "pad is not smaller than kernel", "pad < kernel on every side");
    }
    node->shape.h = window_out(in.h, node->kernel_h, node->stride_h, node->pad_top, node->pad_bottom);
    node->shape.w = window_out(in.w, node->kernel_w, node->stride_w, node->pad_left, node->pad_right);
    if (node->shape.h == 0 || node->shape.w == 0) {
        return bad(node, "kernel does not fit the padded input", "a smaller kernel or more padding");
    }
    return SOTTO_OK;
}

static int pad_shape(sotto_node *node, sotto_shape in)
{
    const uint32_t fields[6] = {node->pad_top, node->pad_left, node->pad_bottom, node->pad_right, node->pad_front, node->pad_back};
    for (size_t i = 0; i < 6; i++) {
        if (fields[i] > SOTTO_DIM_MAX) {
            return bad(node, "pad is out of range", "0 to 65536 on every side");
        }
    }
    node->shape = (sotto_shape){in.c + node->pad_front + node->pad_back, in.h + node->pad_top + node->pad_bottom,
                                in.w + node->pad_left + node->pad_right};
    return SOTTO_OK;
}

static int check_units(sotto_node *node)
{
    if (node->units == NULL) {
        const int status = sotto_node_units_alloc(node);
        if (status != SOTTO_OK) {
            return status;
        }
    }
    const size_t area = (size_t)node->shape.h * node->shape.w;
    for (uint32_t c = 0; c < node->shape.c; c++) {
        const sotto_unit u = node->units[c];
        const int plain = u.block_h == 1 && u.block_w == 1;
        if (u.kind >= SOTTO_UNIT_KINDS || u.block_h == 0 || u.block_w == 0 || u.block_h > SOTTO_BLOCK_MAX || u.block_w > SOTTO_BLOCK_MAX ||
            (u.kind != SOTTO_UNIT_RELU && !plain)) {
            return bad(node, "units of a channel are out of range", "relu with patches of 1 to 256 a side, identity, zero, square or cubic");
        }
        for (size_t i = 0; node->mask != NULL && (u.kind != SOTTO_UNIT_RELU || !plain) && i < area; i++) {
            if (!sotto_node_masked_in(node, c * area + i)) {
                return bad(node, "the mask has a 0 in a channel that is no plain relu", "masks in channels of relu with patches of one pixel");
            }
        }
    }
    return SOTTO_OK;
}

static int check_windows(const sotto_node *node)
{
    const int decides = node->op == SOTTO_OP_RELU || node->op == SOTTO_OP_CLIP || node->op == SOTTO_OP_ACT || node->op == SOTTO_OP_MAXPOOL;
    for (uint32_t c = 0; node->windows != NULL && c < node->shape.c; c++) {
        if (!decides || node->windows[c] < 2 || node->windows[c] > SOTTO_WINDOW_MAX) {
            return bad(node, "windows of channels", "relu, clip, act or maxpool, with 2 to 50 bits for each channel");
        }
    }
    return SOTTO_OK;
}

static int infer_shape(const sotto_model *m, sotto_node *node)
{
    const sotto_shape in = m->nodes[node->input[0]].shape;
    int status = SOTTO_OK;
    switch (node->op) {
    case SOTTO_OP_INPUT:
        return SOTTO_OK;
    case SOTTO_OP_CONV:
        node->shape.c = node->out;
        if (node->out == 0 || node->out > SOTTO_DIM_MAX) {
            return bad(node, "out is out of range", "1 to 65536 channels");
        }
        if (node->groups == 0 || in.c % node->groups != 0 || node->out % node->groups != 0) {
            return bad(node, "groups do not divide the channels", "a common divisor of input and output channels");
        }
        status = window_shape(node, in);
        break;
    case SOTTO_OP_DENSE:
        if (node->out == 0 || node->out > SOTTO_DIM_MAX) {
            return bad(node, "out is out of range", "1 to 65536 outputs");
        }
        node->shape = (sotto_shape){node->out, 1, 1};
        break;
    case SOTTO_OP_MAXPOOL:
    case SOTTO_OP_AVGPOOL:
        node->shape.c = in.c;
        status = window_shape(node, in);
        break;
    case SOTTO_OP_GLOBALAVG:
        node->shape = (sotto_shape){in.c, 1, 1};
        break;
    case SOTTO_OP_ADD: {
        const sotto_shape other = m->nodes[node->input[1]].shape;
        if (in.c != other.c || in.h != other.h || in.w != other.w) {
            return bad(node, "the inputs differ in shape", "two values of one shape");
        }
        node->shape = in;
        break;
    }
    case SOTTO_OP_CONCAT: {
        const sotto_shape other = m->nodes[node->input[1]].shape;
        if (in.h != other.h || in.w != other.w) {
            return bad(node, "the inputs differ in height or width", "two values of one height and width");
        }
        node->shape = (sotto_shape){in.c + other.c, in.h, in.w};
        break;
    }
    case SOTTO_OP_PAD:
        status = pad_shape(node, in);
        break;
    case SOTTO_OP_FLATTEN:
        node->shape = (sotto_shape){(uint32_t)sotto_shape_words(in), 1, 1};
        break;
    case SOTTO_OP_BATCHNORM:
        node->epsilon = node->epsilon == 0.0f ? SOTTO_BATCHNORM_EPSILON : node->epsilon;
        if (!isfinite(node->epsilon) || node->epsilon < 0.0f) {
            return bad(node, "epsilon is out of range", "a number above 0");
        }
        node->shape = in;
        break;
    case SOTTO_OP_ACT:
        node->shape = in;
        return check_units(node);
    case SOTTO_OP_RELU:
    case SOTTO_OP_CLIP:
    case SOTTO_OP_IDENTITY:
    case SOTTO_OP_COUNT:
        node->shape = in;
        break;
    }
    return status;
}

static int shape_ok(sotto_shape s)
{
    return s.c > 0 && s.h > 0 && s.w > 0 && s.c <= SOTTO_VALUES_MAX && s.h <= SOTTO_DIM_MAX && s.w <= SOTTO_DIM_MAX &&
           (uint64_t)s.c * s.h <= SOTTO_VALUES_MAX && (uint64_t)s.c * s.h * s.w <= SOTTO_VALUES_MAX;
}

int sotto_model_infer_shapes(sotto_model *m)
{
    uint64_t weights = 0;
    if (m->node_count < 2 || m->nodes[0].op != SOTTO_OP_INPUT || strcmp(m->nodes[0].name, "input") != 0) {
        return sotto_fail(SOTTO_ERR_FORMAT, "a model needs an input and at least one node after it");
    }
    if (m->name[0] != '\0' && !name_ok(m->name)) {
        return sotto_fail(SOTTO_ERR_FORMAT, "model name: expected 1 to 31 of A-Z a-z 0-9 _ . -");
    }
    if (!shape_ok(m->nodes[0].shape) || m->nodes[0].shape.c > SOTTO_INPUT_CHANNELS_MAX) {
        return sotto_fail(SOTTO_ERR_LIMIT, "input: shape out of range; at most %d channels and %u values", SOTTO_INPUT_CHANNELS_MAX,
                          SOTTO_VALUES_MAX);
    }
    for (uint32_t c = 0; c < m->nodes[0].shape.c; c++) {
        if (!isfinite(m->mean[c]) || !isfinite(m->std[c]) || m->std[c] <= 0.0f) {
            return sotto_fail(SOTTO_ERR_FORMAT, "input: mean or std of channel %u; expected finite numbers, std above 0", (unsigned)c);
        }
    }
    for (size_t i = 0; i < m->node_count; i++) {
        sotto_node *node = &m->nodes[i];
        if ((unsigned)node->op >= SOTTO_OP_COUNT || (i > 0 && node->op == SOTTO_OP_INPUT)) {
            return bad(node, "operation is unknown, or a second input", "one input, then other nodes");
        }
        if (!name_ok(node->name)) {
            return bad(node, "name", "1 to 31 of A-Z a-z 0-9 _ . -");
        }
        if (sotto_model_find(m, node->name) != i) {
            return bad(node, "name is taken by an earlier node", "a name of its own");
        }
        for (unsigned k = 0; k < ops[node->op].inputs; k++) {
            if (node->input[k] >= i) {
                return bad(node, "an input does not come before the node", "nodes in order of computation");
            }
        }
        int status = infer_shape(m, node);
        if (status != SOTTO_OK) {
            return status;
        }
        if (!shape_ok(node->shape)) {
            return sotto_fail(SOTTO_ERR_LIMIT, "node %s: more than %u values, or a side above %d", node->name, SOTTO_VALUES_MAX,
                              SOTTO_DIM_MAX);
        }
        status = check_windows(node);
        if (status != SOTTO_OK) {
            return status;
        }
        for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
            const size_t count = sotto_tensor_count(m, node, t);
            weights += count;
            if (count > SOTTO_WEIGHTS_MAX || weights > SOTTO_WEIGHTS_MAX) {
                return sotto_fail(SOTTO_ERR_LIMIT, "node %s: more than %u weights in all", node->name, SOTTO_WEIGHTS_MAX);
            }
        }
    }
    const size_t outputs = sotto_shape_words(m->nodes[m->node_count - 1].shape);
    if (m->label_count != 0 && m->label_count != outputs) {
        return sotto_fail(SOTTO_ERR_FORMAT, "label: %zu labels for %zu outputs; expected one per output, or none", m->label_count, outputs);
    }
    for (size_t i = 0; i < m->label_count; i++) {
        if (!label_ok(m->labels[i])) {
            return sotto_fail(SOTTO_ERR_FORMAT, "label %zu; expected 1 to %d bytes of printable ASCII", i, SOTTO_NAME_MAX - 1);
        }
    }
    return SOTTO_OK;
}

/* Shapes are at most 2^26 words and kernels 2^16 a side, so every product below fits 128 bits and is cut to SIZE_MAX. */
static size_t cut(long double x)
{
    return x > (long double)(SIZE_MAX / 2) ? SIZE_MAX : (size_t)x;
}

static int has_polynomial(const sotto_node *node)
{
    for (uint32_t c = 0; node->units != NULL && c < node->shape.c; c++) {
        if (node->units[c].kind == SOTTO_UNIT_SQUARE || node->units[c].kind == SOTTO_UNIT_CUBIC) {
            return 1;
        }
    }
    return 0;
}

size_t sotto_tensor_count(const sotto_model *m, const sotto_node *node, unsigned which)
{
    /* A graph that sotto_model_infer_shapes refused is still released, and that asks here. */
    if ((unsigned)node->op >= SOTTO_OP_COUNT || node->input[0] >= m->node_count) {
        return 0;
    }
    const sotto_shape in = m->nodes[node->input[0]].shape;
    switch (node->op) {
    case SOTTO_OP_CONV:
        if (node->groups == 0) {
            return 0;
        }
        return which == 0 ? cut((long double)node->out * (in.c / node->groups) * node->kernel_h * node->kernel_w)
                          : which == 1 ? node->out : 0;
    case SOTTO_OP_DENSE:
        return which == 0 ? cut((long double)node->out * (long double)sotto_shape_words(in)) : which == 1 ? node->out : 0;
    case SOTTO_OP_BATCHNORM:
        return in.c;
    case SOTTO_OP_CLIP:
        return which == 0 ? in.c : 0;
    case SOTTO_OP_ACT:
        return which == 0 && has_polynomial(node) ? (size_t)in.c * SOTTO_POLY_TERMS : 0;
    default:
        return 0;
    }
}

int sotto_model_has_weights(const sotto_model *m)
{
    for (size_t i = 0; i < m->node_count; i++) {
        for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
            if (m->nodes[i].tensor[t] == NULL && sotto_tensor_count(m, &m->nodes[i], t) > 0) {
                return 0;
            }
        }
    }
    return 1;
}

/* Box and Muller; training weights are no secret while they are random. */
static double normal(const uint64_t bits[2])
{
    const double u = ((double)(bits[0] >> 11) + 1.0) * 0x1p-53, v = (double)(bits[1] >> 11) * 0x1p-53;
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

static int draw(sotto_node *node, size_t count, const sotto_rng *rng)
{
    const double scale = sqrt(2.0 / ((double)count / node->out));
    for (size_t j = 0; j < count; j++) {
        uint64_t bits[2];
        const int status = sotto_rng_fill(rng, bits, sizeof bits);
        if (status != SOTTO_OK) {
            return status;
        }
        node->tensor[0][j] = (float)(scale * normal(bits));
    }
    return SOTTO_OK;
}

/* Values that training starts from and that are not drawn. */
static void preset(sotto_node *node, unsigned which, size_t count)
{
    /* Least squares to ReLU under N(0, 1), to four digits; the cubic term of that fit is zero by symmetry. */
    static const float relu_fit[SOTTO_POLY_TERMS] = {0.1995f, 0.5f, 0.1995f, 0.0f};
    for (size_t j = 0; j < count; j++) {
        float *v = &node->tensor[which][j];
        if (node->op == SOTTO_OP_BATCHNORM) {
            *v = which == 0 || which == 3 ? 1.0f : 0.0f;
        } else if (node->op == SOTTO_OP_CLIP) {
            *v = 6.0f;
        } else if (node->op == SOTTO_OP_ACT) {
            *v = relu_fit[j % SOTTO_POLY_TERMS];
        }
    }
}

int sotto_model_init_weights(sotto_model *m, const sotto_rng *rng)
{
    int status = SOTTO_OK;
    release_weights(m);
    for (size_t i = 0; i < m->node_count && status == SOTTO_OK; i++) {
        sotto_node *node = &m->nodes[i];
        for (unsigned t = 0; t < SOTTO_TENSORS_MAX && status == SOTTO_OK; t++) {
            const size_t count = sotto_tensor_count(m, node, t);
            if (count == 0) {
                continue;
            }
            node->tensor[t] = sotto_calloc(count, sizeof(float));
            if (node->tensor[t] == NULL) {
                status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for the weights of node %s", node->name);
            } else if (sotto_op_is_linear(node->op) && t == 0) {
                status = draw(node, count, rng);
            } else {
                preset(node, t, count);
            }
        }
    }
    if (status != SOTTO_OK) {
        release_weights(m);
    }
    return status;
}

sotto_unit sotto_node_unit(const sotto_node *node, uint32_t channel)
{
    if (node->op == SOTTO_OP_ACT) {
        return node->units[channel];
    }
    return (sotto_unit){(uint8_t)(node->op == SOTTO_OP_IDENTITY ? SOTTO_UNIT_IDENTITY : SOTTO_UNIT_RELU), 1, 1};
}

size_t sotto_node_decisions(const sotto_node *node)
{
    const size_t h = node->shape.h, w = node->shape.w;
    size_t count = 0;
    for (uint32_t c = 0; sotto_op_is_unit(node->op) && c < node->shape.c; c++) {
        const sotto_unit u = sotto_node_unit(node, c);
        count += u.kind != SOTTO_UNIT_RELU ? 0 : (h + u.block_h - 1) / u.block_h * ((w + u.block_w - 1) / u.block_w);
    }
    for (size_t i = 0; node->op == SOTTO_OP_ACT && node->mask != NULL && i < sotto_shape_words(node->shape); i++) {
        count -= !sotto_node_masked_in(node, i);
    }
    return node->op == SOTTO_OP_CLIP ? 2 * count : count;
}

int sotto_node_units_alloc(sotto_node *node)
{
    if (node->units != NULL) {
        return SOTTO_OK;
    }
    node->units = sotto_calloc(node->shape.c, sizeof *node->units);
    if (node->units == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the units of node %s", node->name);
    }
    for (uint32_t c = 0; c < node->shape.c; c++) {
        node->units[c] = (sotto_unit){SOTTO_UNIT_RELU, 1, 1};
    }
    return SOTTO_OK;
}

size_t sotto_model_find(const sotto_model *m, const char *name)
{
    for (size_t i = 0; i < m->node_count; i++) {
        if (strcmp(m->nodes[i].name, name) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

uint64_t sotto_node_macs(const sotto_model *m, const sotto_node *node)
{
    return sotto_op_is_linear(node->op) ? (uint64_t)sotto_tensor_count(m, node, 0) * node->shape.h * node->shape.w : 0;
}
