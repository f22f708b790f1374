/* A forward pass over a batch in double precision, written plainly, with one weight moved: what gradients are compared with. */
#ifndef SOTTO_TESTS_TRAIN_EXACT_H
#define SOTTO_TESTS_TRAIN_EXACT_H

#include <math.h>
#include <string.h>

#include "lib/mem.h"
#include "tests/support/support.h"
#include "nn/model/model.h"

typedef struct exact {
    const sotto_model *m;
    size_t images;
    size_t node, item; /* the weight that is moved, by `delta` */
    unsigned which;
    double delta;
    double **value;    /* per node: images x words, channel after channel */
} exact;

static inline double exact_weight(const exact *e, size_t node, unsigned which, size_t item)
{
    const double w = (double)e->m->nodes[node].tensor[which][item];
    return node == e->node && which == e->which && item == e->item ? w + e->delta : w;
}

/* Value of channel c at (y, z) of an image, 0 outside. */
static inline double exact_at(const double *x, sotto_shape s, size_t c, int64_t y, int64_t z)
{
    return y < 0 || z < 0 || y >= s.h || z >= s.w ? 0.0 : x[(c * s.h + (size_t)y) * s.w + (size_t)z];
}

/* A value of a convolution or a pool. */
static inline double exact_window(const exact *e, size_t at, const double *x, sotto_shape s, size_t c, size_t y, size_t z)
{
    const sotto_node *n = &e->m->nodes[at];
    const size_t per = n->op == SOTTO_OP_CONV ? s.c / n->groups : 1;
    const size_t first = n->op == SOTTO_OP_CONV ? c / (n->out / n->groups) * per : c;
    double sum = n->op == SOTTO_OP_CONV ? exact_weight(e, at, 1, c) : 0.0, most = -INFINITY;
    for (size_t i = 0; i < per; i++) {
        for (size_t u = 0; u < n->kernel_h; u++) {
            for (size_t v = 0; v < n->kernel_w; v++) {
                const int64_t row = (int64_t)(y * n->stride_h + u) - n->pad_top, col = (int64_t)(z * n->stride_w + v) - n->pad_left;
                const double p = exact_at(x, s, first + i, row, col);
                const int inside = row >= 0 && col >= 0 && row < s.h && col < s.w;
                most = inside && p > most ? p : most;
                sum += n->op == SOTTO_OP_CONV ? p * exact_weight(e, at, 0, ((c * per + i) * n->kernel_h + u) * n->kernel_w + v)
                                              : p / ((double)n->kernel_h * n->kernel_w);
            }
        }
    }
    return n->op == SOTTO_OP_MAXPOOL ? most : sum;
}

static inline double exact_act(const exact *e, size_t at, const double *x, size_t c, size_t y, size_t z)
{
    const sotto_node *n = &e->m->nodes[at];
    const sotto_unit u = n->units[c];
    const size_t i = (c * n->shape.h + y) * n->shape.w + z, top = y / u.block_h * u.block_h, left = z / u.block_w * u.block_w;
    double sum = 0.0;
    if (u.kind == SOTTO_UNIT_IDENTITY || !sotto_node_masked_in(n, i)) {
        return x[i];
    }
    if (u.kind == SOTTO_UNIT_SQUARE || u.kind == SOTTO_UNIT_CUBIC) {
        for (size_t k = u.kind == SOTTO_UNIT_CUBIC ? 4 : 3; k-- > 0;) {
            sum = sum * x[i] + exact_weight(e, at, 0, c * SOTTO_POLY_TERMS + k);
        }
        return sum;
    }
    for (size_t v = top; v < top + u.block_h; v++) {
        for (size_t w = left; w < left + u.block_w; w++) {
            sum += exact_at(x, n->shape, c, (int64_t)v, (int64_t)w);
        }
    }
    return u.kind == SOTTO_UNIT_RELU && sum > 0.0 ? x[i] : 0.0;
}

static inline double exact_one(const exact *e, size_t at, const double *x, const double *x2, size_t c, size_t y, size_t z)
{
    const sotto_node *n = &e->m->nodes[at];
    const sotto_shape s = e->m->nodes[n->input[0]].shape;
    const size_t i = (c * n->shape.h + y) * n->shape.w + z, words = sotto_shape_words(s);
    double sum = 0.0;
    switch (n->op) {
    case SOTTO_OP_CONV:
    case SOTTO_OP_MAXPOOL:
    case SOTTO_OP_AVGPOOL:
        return exact_window(e, at, x, s, c, y, z);
    case SOTTO_OP_DENSE:
        sum = exact_weight(e, at, 1, c);
        for (size_t k = 0; k < words; k++) {
            sum += x[k] * exact_weight(e, at, 0, c * words + k);
        }
        return sum;
    case SOTTO_OP_GLOBALAVG:
        for (size_t k = 0; k < (size_t)s.h * s.w; k++) {
            sum += x[c * s.h * s.w + k] / ((double)s.h * s.w);
        }
        return sum;
    case SOTTO_OP_RELU:
        return fmax(x[i], 0.0);
    case SOTTO_OP_CLIP:
        return fmin(fmax(x[i], 0.0), exact_weight(e, at, 0, c));
    case SOTTO_OP_ACT:
        return exact_act(e, at, x, c, y, z);
    case SOTTO_OP_ADD:
        return x[i] + x2[i];
    case SOTTO_OP_CONCAT:
        return i < words ? x[i] : x2[i - words];
    case SOTTO_OP_PAD:
        return c < n->pad_front || c >= n->pad_front + s.c ? 0.0 : exact_at(x, s, c - n->pad_front, (int64_t)y - n->pad_top, (int64_t)z - n->pad_left);
    default:
        return x[i];
    }
}

/* Statistics of the batch. */
static inline void exact_norm(const exact *e, size_t at)
{
    const sotto_node *n = &e->m->nodes[at];
    const size_t area = (size_t)n->shape.h * n->shape.w, words = area * n->shape.c;
    const double total = (double)(e->images * area), *x = e->value[n->input[0]];
    for (size_t c = 0; c < n->shape.c; c++) {
        double mean = 0.0, variance = 0.0;
        for (size_t i = 0; i < e->images * area; i++) {
            mean += x[i / area * words + c * area + i % area] / total;
        }
        for (size_t i = 0; i < e->images * area; i++) {
            variance += pow(x[i / area * words + c * area + i % area] - mean, 2.0) / total;
        }
        const double factor = exact_weight(e, at, 0, c) / sqrt(variance + (double)n->epsilon);
        for (size_t i = 0; i < e->images * area; i++) {
            const size_t k = i / area * words + c * area + i % area;
            e->value[at][k] = (x[k] - mean) * factor + exact_weight(e, at, 1, c);
        }
    }
}

/* Fills the values of node `at` for all images. */
static inline void exact_node(const exact *e, size_t at)
{
    const sotto_node *n = &e->m->nodes[at];
    const size_t words = sotto_shape_words(n->shape);
    const size_t from = sotto_shape_words(e->m->nodes[n->input[0]].shape), second = sotto_shape_words(e->m->nodes[n->input[1]].shape);
    if (n->op == SOTTO_OP_BATCHNORM) {
        exact_norm(e, at);
        return;
    }
    for (size_t i = 0; i < e->images; i++) {
        double *out = e->value[at] + i * words;
        for (size_t c = 0; c < n->shape.c; c++) {
            for (size_t y = 0; y < n->shape.h; y++) {
                for (size_t z = 0; z < n->shape.w; z++) {
                    *out++ = exact_one(e, at, e->value[n->input[0]] + i * from, e->value[n->input[1]] + i * second, c, y, z);
                }
            }
        }
    }
}

static inline exact exact_new(const sotto_model *m, const float *input, size_t images)
{
    exact e = {.m = m, .images = images, .node = SIZE_MAX, .value = sotto_calloc(m->node_count, sizeof(double *))};
    const size_t words = sotto_shape_words(m->nodes[0].shape);
    assert_non_null(e.value);
    for (size_t i = 0; i < m->node_count; i++) {
        e.value[i] = sotto_calloc(images * sotto_shape_words(m->nodes[i].shape), sizeof(double));
        assert_non_null(e.value[i]);
    }
    for (size_t i = 0; i < images * words; i++) {
        e.value[0][i] = (double)input[i];
    }
    return e;
}

static inline void exact_free(exact *e)
{
    for (size_t i = 0; i < e->m->node_count; i++) {
        sotto_free(e->value[i]);
    }
    sotto_free(e->value);
}

/* Sum of the last node's values times `factor`, from node `first` on: those before it are as they were. */
static inline double exact_loss(const exact *e, const float *factor, size_t first)
{
    const size_t last = e->m->node_count - 1;
    double loss = 0.0;
    for (size_t i = first > 1 ? first : 1; i <= last; i++) {
        exact_node(e, i);
    }
    for (size_t i = 0; i < e->images * sotto_shape_words(e->m->nodes[last].shape); i++) {
        loss += e->value[last][i] * (double)factor[i];
    }
    return loss;
}

/* d loss / d weight by a central difference. The step is small so that hardly ever a kink (relu, maximum, patch) lies in it; the error of the difference
 * is some 1e-7 then. */
static inline double exact_slope(exact *e, const float *factor, size_t node, unsigned which, size_t item)
{
    const double step = 1e-7;
    e->node = node;
    e->which = which;
    e->item = item;
    e->delta = step;
    const double high = exact_loss(e, factor, node);
    e->delta = -step;
    const double low = exact_loss(e, factor, node);
    e->node = SIZE_MAX;
    return (high - low) / (2.0 * step);
}

#endif
