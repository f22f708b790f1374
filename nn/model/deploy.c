#include "nn/model/deploy.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/mem.h"

static int copy_units(sotto_node *out, const sotto_node *n)
{
    const size_t mask = (sotto_shape_words(n->shape) + 7) / 8;
    out->units = n->units == NULL ? NULL : sotto_calloc(n->shape.c, sizeof *n->units);
    out->mask = n->mask == NULL ? NULL : sotto_calloc(mask, 1);
    out->windows = n->windows == NULL ? NULL : sotto_calloc(n->shape.c, 1);
    if ((n->units != NULL && out->units == NULL) || (n->mask != NULL && out->mask == NULL) || (n->windows != NULL && out->windows == NULL)) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a copy of the units of node %s", n->name);
    }
    if (n->units != NULL) {
        memcpy(out->units, n->units, n->shape.c * sizeof *n->units);
    }
    if (n->mask != NULL) {
        memcpy(out->mask, n->mask, mask);
    }
    if (n->windows != NULL) {
        memcpy(out->windows, n->windows, n->shape.c);
    }
    return SOTTO_OK;
}

int sotto_model_copy(sotto_model *out, const sotto_model *m)
{
    int status = SOTTO_OK;
    sotto_model copy = *m;
    copy.nodes = sotto_calloc(m->node_cap, sizeof *copy.nodes);
    copy.labels = m->labels == NULL ? NULL : sotto_calloc(m->label_count, sizeof *copy.labels);
    memset(out, 0, sizeof *out);
    if (copy.nodes == NULL || (m->labels != NULL && copy.labels == NULL)) {
        sotto_free(copy.nodes);
        sotto_free(copy.labels);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a copy of the model");
    }
    if (m->node_count > 0) {
        memcpy(copy.nodes, m->nodes, m->node_count * sizeof *copy.nodes);
    }
    if (m->labels != NULL) {
        memcpy(copy.labels, m->labels, m->label_count * sizeof *copy.labels);
    }
    for (size_t i = 0; i < m->node_count; i++) {
        memset(copy.nodes[i].tensor, 0, sizeof copy.nodes[i].tensor);
        copy.nodes[i].units = NULL;
        copy.nodes[i].mask = NULL;
        copy.nodes[i].windows = NULL;
    }
    for (size_t i = 0; i < m->node_count && status == SOTTO_OK; i++) {
        status = copy_units(&copy.nodes[i], &m->nodes[i]);
    }
    for (size_t i = 0; i < m->node_count && status == SOTTO_OK; i++) {
        for (unsigned t = 0; t < SOTTO_TENSORS_MAX && status == SOTTO_OK; t++) {
            const size_t count = sotto_tensor_count(m, &m->nodes[i], t);
            if (m->nodes[i].tensor[t] == NULL) {
                continue;
            }
            copy.nodes[i].tensor[t] = sotto_calloc(count, sizeof(float));
            if (copy.nodes[i].tensor[t] == NULL) {
                status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a copy of the weights");
            } else {
                memcpy(copy.nodes[i].tensor[t], m->nodes[i].tensor[t], count * sizeof(float));
            }
        }
    }
    if (status != SOTTO_OK) {
        sotto_model_free(&copy);
        return status;
    }
    *out = copy;
    return SOTTO_OK;
}

static size_t readers(const sotto_model *m, size_t node)
{
    size_t count = 0;
    for (size_t i = 0; i < m->node_count; i++) {
        for (unsigned k = 0; k < sotto_op_inputs(m->nodes[i].op); k++) {
            count += m->nodes[i].input[k] == node;
        }
    }
    return count;
}

/* Takes node `at`, which reads one value, out of the graph; its readers read what it read. */
static void remove_node(sotto_model *m, size_t at)
{
    const uint32_t source = m->nodes[at].input[0];
    for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
        sotto_free_secret(m->nodes[at].tensor[t], sotto_tensor_count(m, &m->nodes[at], t), sizeof(float));
    }
    sotto_free(m->nodes[at].units);
    sotto_free(m->nodes[at].mask);
    sotto_free(m->nodes[at].windows);
    for (size_t i = 0; i < m->node_count; i++) {
        for (unsigned k = 0; k < 2; k++) {
            uint32_t *in = &m->nodes[i].input[k];
            *in = *in == at ? source : *in > at ? *in - 1 : *in;
        }
    }
    memmove(&m->nodes[at], &m->nodes[at + 1], (m->node_count - at - 1) * sizeof *m->nodes);
    m->node_count--;
}

/* Puts a copy of *node before position `at`, reading what `at` reads first; `at`, now one further on, reads it. */
static int insert_before(sotto_model *m, size_t at, const sotto_node *node)
{
    uint32_t index;
    int status = sotto_model_append(m, node, &index);
    if (status != SOTTO_OK) {
        return status;
    }
    sotto_node added = *node;
    added.input[0] = m->nodes[at].input[0];
    memmove(&m->nodes[at + 1], &m->nodes[at], (m->node_count - 1 - at) * sizeof *m->nodes);
    m->nodes[at] = added;
    for (size_t i = at + 1; i < m->node_count; i++) {
        for (unsigned k = 0; k < 2; k++) {
            m->nodes[i].input[k] += m->nodes[i].input[k] >= at;
        }
    }
    m->nodes[at + 1].input[0] = (uint32_t)at;
    return SOTTO_OK;
}

static double factor_of(const sotto_node *bn, uint32_t c)
{
    return bn->tensor[0][c] / sqrt((double)bn->tensor[3][c] + (double)bn->epsilon);
}

/* A batch norm that no linear node takes in becomes one of its own: a 1 x 1 convolution of each channel. */
static void stand_alone(sotto_model *m, size_t at)
{
    sotto_node *n = &m->nodes[at];
    for (uint32_t c = 0; n->tensor[0] != NULL && c < n->shape.c; c++) {
        const double factor = factor_of(n, c);
        n->tensor[1][c] = (float)((double)n->tensor[1][c] - n->tensor[2][c] * factor);
        n->tensor[0][c] = (float)factor;
    }
    for (unsigned t = 2; t < SOTTO_TENSORS_MAX; t++) {
        sotto_free_secret(n->tensor[t], n->shape.c, sizeof(float));
        n->tensor[t] = NULL;
    }
    n->op = SOTTO_OP_CONV;
    n->out = n->groups = n->shape.c;
    n->kernel_h = n->kernel_w = n->stride_h = n->stride_w = 1;
    memset(&n->plan, 0, sizeof n->plan);
}

/* w' = w g / sqrt(v + eps), b' = (b - mean) g / sqrt(v + eps) + beta, per output channel. 0: that node is not its own, or not linear. */
static int fold(sotto_model *m, size_t at)
{
    const sotto_node *bn = &m->nodes[at];
    sotto_node *linear = &m->nodes[bn->input[0]];
    if (!sotto_op_is_linear(linear->op) || readers(m, bn->input[0]) != 1) {
        return 0;
    }
    if (bn->tensor[0] != NULL && linear->tensor[0] != NULL) {
        const size_t per = sotto_tensor_count(m, linear, 0) / linear->out;
        for (uint32_t c = 0; c < linear->out; c++) {
            const double factor = factor_of(bn, c);
            for (size_t i = 0; i < per; i++) {
                float *w = &linear->tensor[0][c * per + i];
                *w = (float)(*w * factor);
            }
            linear->tensor[1][c] = (float)(((double)linear->tensor[1][c] - bn->tensor[2][c]) * factor + bn->tensor[1][c]);
        }
    }
    memset(&linear->plan, 0, sizeof linear->plan);
    remove_node(m, at);
    return 1;
}

/* relu, maxpool -> maxpool, relu: their names go along. */
static void swap_with_relu(sotto_model *m, size_t pool)
{
    const uint32_t relu = m->nodes[pool].input[0];
    sotto_node first = m->nodes[relu], second = m->nodes[pool];
    second.input[0] = first.input[0];
    first.input[0] = relu;
    memset(&first.plan, 0, sizeof first.plan);
    memset(&second.plan, 0, sizeof second.plan);
    sotto_free(first.windows);
    sotto_free(second.windows);
    first.windows = second.windows = NULL;
    m->nodes[relu] = second;
    m->nodes[pool] = first;
}

/* relus, concat, maxpool -> concat, relu, maxpool, where the pool alone reads the concatenation, of however many, and nothing else reads the relus; the last one's name goes
 * along. *pool is where the pool is then. */
static int merge_relus(sotto_model *m, size_t *pool)
{
    uint8_t part[SOTTO_NODES_MAX] = {0};
    sotto_node merged = {.op = SOTTO_OP_RELU, .groups = 1};
    part[m->nodes[*pool].input[0]] = m->nodes[m->nodes[*pool].input[0]].op == SOTTO_OP_CONCAT;
    for (size_t i = *pool; i-- > 0;) {
        const sotto_node *n = &m->nodes[i];
        if (part[i] && ((n->op != SOTTO_OP_CONCAT && n->op != SOTTO_OP_RELU) || readers(m, i) != 1)) {
            return SOTTO_OK;
        }
        for (unsigned k = 0; part[i] && n->op == SOTTO_OP_CONCAT && k < 2; k++) {
            part[n->input[k]] = 1;
        }
    }
    for (size_t i = *pool; i-- > 0;) {
        if (part[i] && m->nodes[i].op == SOTTO_OP_RELU) {
            if (merged.name[0] == '\0') {
                memcpy(merged.name, m->nodes[i].name, sizeof merged.name);
            }
            remove_node(m, i);
            (*pool)--;
        }
    }
    return merged.name[0] == '\0' ? SOTTO_OK : insert_before(m, (*pool)++, &merged);
}

/* A value whose client share is a uniform mask that no other word of it repeats: followed back to the values that draw a mask, each of which may enter once. */
static int fresh(const sotto_model *m, size_t node)
{
    uint8_t ways[SOTTO_NODES_MAX] = {0}; /* in which node i enters, at most 2 */
    ways[node] = 1;
    for (size_t i = node + 1; i-- > 0;) {
        const sotto_node *n = &m->nodes[i];
        const int overlaps = n->op == SOTTO_OP_AVGPOOL && (n->stride_h < n->kernel_h || n->stride_w < n->kernel_w);
        if (ways[i] == 0) {
            continue;
        }
        switch (n->op) {
        case SOTTO_OP_INPUT:
        case SOTTO_OP_RELU:
        case SOTTO_OP_CLIP:
        case SOTTO_OP_ACT:
        case SOTTO_OP_IDENTITY:
            if (ways[i] > 1) {
                return 0;
            }
            break;
        case SOTTO_OP_CONCAT:
        case SOTTO_OP_PAD: /* its zeros are known to both */
        case SOTTO_OP_FLATTEN:
        case SOTTO_OP_GLOBALAVG:
        case SOTTO_OP_AVGPOOL:
            for (unsigned k = 0; k < sotto_op_inputs(n->op) && !overlaps; k++) {
                uint8_t *way = &ways[n->input[k]];
                *way = *way + ways[i] > 1 ? 2 : 1;
            }
            if (overlaps) {
                return 0;
            }
            break;
        default:
            return 0;
        }
    }
    return 1;
}

static int insert_identity(sotto_model *m, size_t linear)
{
    sotto_node node = {.op = SOTTO_OP_IDENTITY, .groups = 1};
    int n = snprintf(node.name, sizeof node.name, "%.28s.in", m->nodes[linear].name);
    for (unsigned i = 2; n >= 0 && sotto_model_find(m, node.name) != SIZE_MAX; i++) { /* one of them is free: there are at most 4096 nodes */
        n = snprintf(node.name, sizeof node.name, "%.22s.in%u", m->nodes[linear].name, i);
    }
    return insert_before(m, linear, &node);
}

static int rewrite(sotto_model *m)
{
    int status = SOTTO_OK;
    for (size_t i = 1; i < m->node_count && status == SOTTO_OK; i++) {
        if (m->nodes[i].op == SOTTO_OP_BATCHNORM && fold(m, i)) {
            i--;
        } else if (m->nodes[i].op == SOTTO_OP_BATCHNORM) {
            stand_alone(m, i);
        }
    }
    for (size_t i = 1; i < m->node_count && status == SOTTO_OK; i++) {
        if (m->nodes[i].op == SOTTO_OP_MAXPOOL) {
            status = merge_relus(m, &i);
            const uint32_t in = m->nodes[i].input[0];
            if (status == SOTTO_OK && m->nodes[in].op == SOTTO_OP_RELU && readers(m, in) == 1) {
                swap_with_relu(m, i);
            }
        }
    }
    for (size_t i = 1; i < m->node_count && status == SOTTO_OK; i++) {
        if (sotto_op_is_linear(m->nodes[i].op) && !fresh(m, m->nodes[i].input[0])) {
            status = insert_identity(m, i++);
        }
    }
    return status == SOTTO_OK ? sotto_model_infer_shapes(m) : status;
}

int sotto_model_deploy(sotto_model *m)
{
    sotto_model work;
    int status = sotto_model_copy(&work, m);
    if (status != SOTTO_OK) {
        return status;
    }
    status = rewrite(&work);
    if (status != SOTTO_OK) {
        sotto_model_free(&work);
        return status;
    }
    sotto_model_free(m);
    *m = work;
    return SOTTO_OK;
}
