/* What is clear only when the graph is whole: who reads what. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/onnx/read_internal.h"

/* Nodes that the output needs, and how many of them read each. */
static void count_readers(const sotto_model *m, uint32_t output, uint32_t *readers)
{
    memset(readers, 0, m->node_count * sizeof *readers);
    readers[output] = 1;
    for (size_t i = output + 1; i-- > 1;) {
        for (unsigned k = 0; readers[i] > 0 && k < sotto_op_inputs(m->nodes[i].op); k++) {
            readers[m->nodes[i].input[k]]++;
        }
    }
}

/* gamma x + beta of the input, gamma above 0: x = (pixel / 255 - mean) / std becomes one with other constants. Absurd ones stay a node. */
static int into_input(sotto_model *m, const double *poly)
{
    static const double most = 1e12;
    const uint32_t channels = m->nodes[0].shape.c;
    for (uint32_t c = 0; c < channels; c++) {
        const double beta = poly[(size_t)c * SOTTO_POLY_TERMS], gamma = poly[(size_t)c * SOTTO_POLY_TERMS + 1];
        if (!(gamma > 1.0 / most) || gamma > most || fabs(beta) > most) {
            return 0;
        }
    }
    for (uint32_t c = 0; c < channels; c++) {
        const double beta = poly[(size_t)c * SOTTO_POLY_TERMS], gamma = poly[(size_t)c * SOTTO_POLY_TERMS + 1], std = m->std[c];
        m->mean[c] = (float)(m->mean[c] - beta * std / gamma);
        m->std[c] = (float)(std / gamma);
    }
    return 1;
}

/* x + beta after a linear node: its bias. */
static int into_bias(sotto_node *linear, const sotto_node *n)
{
    for (uint32_t c = 0; c < n->shape.c; c++) {
        if (n->tensor[0][c] != 1.0f || !isfinite(linear->tensor[1][c] + n->tensor[1][c])) {
            return 0;
        }
    }
    for (uint32_t c = 0; c < n->shape.c; c++) {
        linear->tensor[1][c] += n->tensor[1][c];
    }
    return 1;
}

/* Nodes that go away pass their input on; *output follows. */
static void fold(reader *r, uint32_t *readers, uint32_t *output)
{
    sotto_model *m = r->m;
    for (uint32_t i = 1; i < m->node_count; i++) {
        sotto_node *n = &m->nodes[i];
        const uint32_t from = n->input[0];
        if (readers[i] == 0 || r->affine[i] == NULL || readers[from] != 1) {
            continue;
        }
        if (m->nodes[from].op == SOTTO_OP_INPUT ? !into_input(m, r->affine[i]) : !sotto_op_is_linear(m->nodes[from].op) || !into_bias(&m->nodes[from], n)) {
            continue;
        }
        for (size_t j = i + 1; j < m->node_count; j++) {
            for (unsigned k = 0; k < sotto_op_inputs(m->nodes[j].op); k++) {
                m->nodes[j].input[k] = m->nodes[j].input[k] == i ? from : m->nodes[j].input[k];
            }
        }
        readers[from] = readers[i];
        readers[i] = 0;
        *output = *output == i ? from : *output;
    }
}

static void release(sotto_node *n)
{
    for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
        sotto_free(n->tensor[t]);
    }
    sotto_free(n->units);
}

/* A node comes after those that it reads in either order, so that sorting by the file's, stable, keeps that. */
typedef struct position {
    size_t order;
    uint32_t node;
} position;

static int by_order(const void *a, const void *b)
{
    const position *p = a, *q = b;
    return p->order != q->order ? (p->order < q->order ? -1 : 1) : p->node < q->node ? -1 : p->node > q->node;
}

/* Nodes with readers, and the input, in their final order. */
static void arrange(reader *r, const uint32_t *readers, position *kept, uint32_t *place, sotto_node *nodes)
{
    sotto_model *m = r->m;
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->node_count; i++) {
        if (i == 0 || readers[i] > 0) {
            kept[count++] = (position){r->order[i], i};
        } else {
            release(&m->nodes[i]);
        }
    }
    qsort(kept, count, sizeof *kept, by_order);
    for (uint32_t i = 0; i < count; i++) {
        place[kept[i].node] = i;
    }
    for (uint32_t i = 0; i < count; i++) {
        nodes[i] = m->nodes[kept[i].node];
        for (unsigned k = 0; k < sotto_op_inputs(nodes[i].op); k++) {
            nodes[i].input[k] = place[nodes[i].input[k]];
        }
    }
    memcpy(m->nodes, nodes, count * sizeof *nodes);
    m->node_count = count;
}

int sotto_onnx_simplify(reader *r, uint32_t output)
{
    const size_t n = r->m->node_count;
    uint32_t *readers = sotto_calloc(n, sizeof *readers), *place = sotto_calloc(n, sizeof *place);
    position *kept = sotto_calloc(n, sizeof *kept);
    sotto_node *nodes = sotto_calloc(n, sizeof *nodes);
    const int there = readers != NULL && place != NULL && kept != NULL && nodes != NULL;
    if (there) {
        count_readers(r->m, output, readers);
        fold(r, readers, &output);
        arrange(r, readers, kept, place, nodes);
    }
    sotto_free(readers);
    sotto_free(place);
    sotto_free(kept);
    sotto_free(nodes);
    return there ? SOTTO_OK : sotto_fail(SOTTO_ERR_MEMORY, "no memory for the graph");
}
