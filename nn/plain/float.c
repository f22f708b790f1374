#include "nn/plain/float.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "lib/mem.h"

struct sotto_float_run {
    const sotto_model *m;
    float **value; /* per node; flatten shares its input's */
    double *sum;   /* a row of a convolution */
    size_t width;
};

static int shares_value(sotto_op op)
{
    return op == SOTTO_OP_FLATTEN || op == SOTTO_OP_IDENTITY;
}

int sotto_float_run_new(sotto_float_run **out, const sotto_model *m)
{
    *out = NULL;
    sotto_float_run *run = sotto_calloc(1, sizeof *run);
    if (run == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for float inference");
    }
    run->m = m;
    run->value = sotto_calloc(m->node_count, sizeof *run->value);
    for (size_t i = 0; run->value != NULL && i < m->node_count; i++) {
        const sotto_node *n = &m->nodes[i];
        run->value[i] = shares_value(n->op) ? run->value[n->input[0]] : sotto_calloc(sotto_shape_words(n->shape), sizeof(float));
        if (run->value[i] == NULL) {
            sotto_float_run_free(run);
            return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the activations of node %s", n->name);
        }
    }
    for (size_t i = 0; i < m->node_count; i++) {
        run->width = m->nodes[i].shape.w > run->width ? m->nodes[i].shape.w : run->width;
    }
    run->sum = sotto_calloc(run->width, sizeof *run->sum);
    if (run->value == NULL || run->sum == NULL) {
        sotto_float_run_free(run);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for float inference");
    }
    *out = run;
    return SOTTO_OK;
}

void sotto_float_run_free(sotto_float_run *run)
{
    if (run == NULL) {
        return;
    }
    for (size_t i = 0; run->value != NULL && i < run->m->node_count; i++) {
        if (!shares_value(run->m->nodes[i].op)) {
            sotto_free_secret(run->value[i], sotto_shape_words(run->m->nodes[i].shape), sizeof(float));
        }
    }
    sotto_free(run->value);
    sotto_free_secret(run->sum, run->width, sizeof *run->sum);
    sotto_free(run);
}

/* First input row or column of output y, and the part of the kernel that lies inside. */
typedef struct span {
    int64_t start;
    uint32_t from, to;
} span;

static span clip(uint32_t y, uint32_t stride, uint32_t pad, uint32_t kernel, uint32_t size)
{
    span s = {(int64_t)y * stride - pad, 0, kernel};
    if (s.start < 0) {
        s.from = (uint32_t)-s.start;
    }
    if (s.start + kernel > size) {
        s.to = (uint32_t)((int64_t)size - s.start);
    }
    return s;
}

/* sum[z] += w x[z stride + shift] for every z whose column lies inside. */
static void add_row(double *sum, uint32_t count, float w, const float *x, uint32_t size, uint32_t stride, int64_t shift)
{
    const int64_t first = shift < 0 ? (-shift + stride - 1) / stride : 0, end = size <= shift ? 0 : (size - shift + stride - 1) / stride;
    const int64_t last = end < count ? end : count;
    if (stride == 1) {
        for (int64_t z = first; z < last; z++) {
            sum[z] += (double)w * (double)x[z + shift];
        }
    } else {
        for (int64_t z = first; z < last; z++) {
            sum[z] += (double)w * (double)x[z * stride + shift];
        }
    }
}

/* A row of one output channel at a time, so that the innermost loop has a vector of them. */
static void conv(const sotto_node *n, sotto_shape in, float *out, const float *x, double *sum)
{
    const uint32_t per = in.c / n->groups, filters = n->out / n->groups;
    for (uint32_t m = 0; m < n->out; m++) {
        const float *xg = x + (size_t)(m / filters) * per * in.h * in.w, *wm = n->tensor[0] + (size_t)m * per * n->kernel_h * n->kernel_w;
        for (uint32_t y = 0; y < n->shape.h; y++, out += n->shape.w) {
            const span v = clip(y, n->stride_h, n->pad_top, n->kernel_h, in.h);
            for (uint32_t z = 0; z < n->shape.w; z++) {
                sum[z] = n->tensor[1][m];
            }
            for (uint32_t c = 0; c < per; c++) {
                for (uint32_t i = v.from; i < v.to; i++) {
                    const float *row = xg + ((size_t)c * in.h + (size_t)(v.start + i)) * in.w;
                    for (uint32_t j = 0; j < n->kernel_w; j++) {
                        add_row(sum, n->shape.w, wm[((size_t)c * n->kernel_h + i) * n->kernel_w + j], row, in.w, n->stride_w, (int64_t)j - n->pad_left);
                    }
                }
            }
            for (uint32_t z = 0; z < n->shape.w; z++) {
                out[z] = (float)sum[z];
            }
        }
    }
}

static void dense(const sotto_node *n, size_t words, float *out, const float *x)
{
    for (uint32_t m = 0; m < n->out; m++) {
        double sum = n->tensor[1][m];
        for (size_t i = 0; i < words; i++) {
            sum += (double)n->tensor[0][m * words + i] * x[i];
        }
        out[m] = (float)sum;
    }
}

static void pool(const sotto_node *n, sotto_shape in, float *out, const float *x)
{
    const double area = (double)n->kernel_h * n->kernel_w;
    for (uint32_t c = 0; c < in.c; c++) {
        for (uint32_t y = 0; y < n->shape.h; y++) {
            const span v = clip(y, n->stride_h, n->pad_top, n->kernel_h, in.h);
            for (uint32_t z = 0; z < n->shape.w; z++) {
                const span h = clip(z, n->stride_w, n->pad_left, n->kernel_w, in.w);
                double sum = 0.0;
                float most = -FLT_MAX;
                for (uint32_t i = v.from; i < v.to; i++) {
                    const float *row = x + ((size_t)c * in.h + (size_t)(v.start + i)) * in.w;
                    for (uint32_t j = h.from; j < h.to; j++) {
                        const float p = row[h.start + j];
                        sum += p;
                        most = p > most ? p : most;
                    }
                }
                *out++ = n->op == SOTTO_OP_MAXPOOL ? most : (float)(sum / area);
            }
        }
    }
}

static void channelwise(const sotto_node *n, float *out, const float *x)
{
    const size_t area = (size_t)n->shape.h * n->shape.w;
    for (uint32_t c = 0; c < n->shape.c; c++) {
        const double factor = n->tensor[0][c] / sqrt((double)n->tensor[3][c] + (double)n->epsilon);
        for (size_t i = 0; i < area; i++) {
            out[c * area + i] = (float)((x[c * area + i] - (double)n->tensor[2][c]) * factor + n->tensor[1][c]);
        }
    }
}

static float polynomial(const float *c, float x)
{
    return c[0] + x * (c[1] + x * (c[2] + x * c[3]));
}

/* All of a patch, or zeros, by the sign of its sum. */
static void patches(sotto_unit u, sotto_shape s, float *out, const float *x)
{
    for (uint32_t top = 0; top < s.h; top += u.block_h) {
        for (uint32_t left = 0; left < s.w; left += u.block_w) {
            const uint32_t bottom = top + u.block_h < s.h ? top + u.block_h : s.h, right = left + u.block_w < s.w ? left + u.block_w : s.w;
            double sum = 0.0;
            for (uint32_t y = top; y < bottom; y++) {
                for (uint32_t z = left; z < right; z++) {
                    sum += x[(size_t)y * s.w + z];
                }
            }
            for (uint32_t y = top; y < bottom; y++) {
                for (uint32_t z = left; z < right; z++) {
                    out[(size_t)y * s.w + z] = sum > 0.0 ? x[(size_t)y * s.w + z] : 0.0f;
                }
            }
        }
    }
}

static void act(const sotto_node *n, float *out, const float *x)
{
    const size_t area = (size_t)n->shape.h * n->shape.w;
    for (uint32_t c = 0; c < n->shape.c; c++) {
        const sotto_unit u = n->units[c];
        const size_t at = c * area;
        if (u.kind == SOTTO_UNIT_RELU) {
            patches(u, n->shape, out + at, x + at);
        }
        for (size_t i = at; i < at + area; i++) {
            if (u.kind == SOTTO_UNIT_IDENTITY || !sotto_node_masked_in(n, i)) {
                out[i] = x[i];
            } else if (u.kind == SOTTO_UNIT_ZERO) {
                out[i] = 0.0f;
            } else if (u.kind != SOTTO_UNIT_RELU) {
                out[i] = polynomial(n->tensor[0] + (size_t)c * SOTTO_POLY_TERMS, x[i]);
            }
        }
    }
}

static void pad(const sotto_node *n, sotto_shape in, float *out, const float *x)
{
    memset(out, 0, sotto_shape_words(n->shape) * sizeof *out);
    for (uint32_t c = 0; c < in.c; c++) {
        for (uint32_t y = 0; y < in.h; y++) {
            memcpy(out + (((size_t)c + n->pad_front) * n->shape.h + y + n->pad_top) * n->shape.w + n->pad_left, x + ((size_t)c * in.h + y) * in.w,
                   in.w * sizeof *out);
        }
    }
}

static void node_run(const sotto_float_run *run, size_t at)
{
    const sotto_model *m = run->m;
    const sotto_node *n = &m->nodes[at];
    const sotto_shape in = m->nodes[n->input[0]].shape;
    const float *x = run->value[n->input[0]];
    float *out = run->value[at];
    const size_t words = sotto_shape_words(n->shape), area = (size_t)in.h * in.w;
    switch (n->op) {
    case SOTTO_OP_CONV:
        conv(n, in, out, x, run->sum);
        break;
    case SOTTO_OP_DENSE:
        dense(n, sotto_shape_words(in), out, x);
        break;
    case SOTTO_OP_BATCHNORM:
        channelwise(n, out, x);
        break;
    case SOTTO_OP_RELU:
        for (size_t i = 0; i < words; i++) {
            out[i] = x[i] > 0.0f ? x[i] : 0.0f;
        }
        break;
    case SOTTO_OP_CLIP:
        for (size_t i = 0; i < words; i++) {
            const float bound = n->tensor[0][i / area];
            out[i] = x[i] > bound ? bound : x[i] > 0.0f ? x[i] : 0.0f;
        }
        break;
    case SOTTO_OP_ACT:
        act(n, out, x);
        break;
    case SOTTO_OP_CONCAT: {
        const size_t first = sotto_shape_words(in);
        memcpy(out, x, first * sizeof *out);
        memcpy(out + first, run->value[n->input[1]], (words - first) * sizeof *out);
        break;
    }
    case SOTTO_OP_PAD:
        pad(n, in, out, x);
        break;
    case SOTTO_OP_MAXPOOL:
    case SOTTO_OP_AVGPOOL:
        pool(n, in, out, x);
        break;
    case SOTTO_OP_GLOBALAVG:
        for (uint32_t c = 0; c < in.c; c++) {
            double sum = 0.0;
            for (size_t i = 0; i < area; i++) {
                sum += x[c * area + i];
            }
            out[c] = (float)(sum / (double)area);
        }
        break;
    case SOTTO_OP_ADD:
        for (size_t i = 0; i < words; i++) {
            out[i] = x[i] + run->value[n->input[1]][i];
        }
        break;
    case SOTTO_OP_INPUT:
    case SOTTO_OP_IDENTITY:
    case SOTTO_OP_FLATTEN:
    case SOTTO_OP_COUNT:
        break;
    }
}

int sotto_float_infer(sotto_float_run *run, const float *image)
{
    if (!sotto_model_has_weights(run->m)) {
        return sotto_fail(SOTTO_ERR_ARG, "the model was loaded without its weights");
    }
    memcpy(run->value[0], image, sotto_shape_words(run->m->nodes[0].shape) * sizeof *image);
    for (size_t i = 1; i < run->m->node_count; i++) {
        node_run(run, i);
    }
    return SOTTO_OK;
}

const float *sotto_float_value(const sotto_float_run *run, size_t node)
{
    return run->value[node];
}

void sotto_normalise(const sotto_model *m, float *out, const uint8_t *pixels)
{
    const sotto_shape s = m->nodes[0].shape;
    const size_t area = (size_t)s.h * s.w;
    for (uint32_t c = 0; c < s.c; c++) {
        for (size_t i = 0; i < area; i++) {
            out[c * area + i] = ((float)pixels[c * area + i] / 255.0f - m->mean[c]) / m->std[c];
        }
    }
}

size_t sotto_argmax_float(const float *x, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++) {
        best = x[i] > x[best] ? i : best;
    }
    return best;
}
