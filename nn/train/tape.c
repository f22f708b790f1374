#include "nn/train/tape.h"

#include <cblas.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "lib/mem.h"

#define BATCHNORM_MOMENTUM 0.1f

typedef struct slot {
    float *value, *grad;               /* batch * words */
    uint32_t *winner;                  /* maxpool: index within the channel */
    float *mean, *inv;                 /* batch norm: statistics in use; inv = 1 / sqrt(variance + epsilon) */
    float *partial;                    /* batch norm: shards * 2 * channels sums */
    float *gradient[SOTTO_TENSORS_MAX];/* sum over the shards */
    float *shard[SOTTO_TENSORS_MAX];   /* shards * count */
} slot;

struct sotto_tape {
    sotto_model *m;
    size_t batch, shards;
    int backward, training;
    size_t count; /* images of the current batch */
    sotto_pool *pool;
    slot *slots;
    float **columns; /* per shard: im2col and its gradient */
    size_t columns_words;
};

/* ---- ops: images first .. last - 1 of the batch, by shard s ------------------------------------------------------- */

typedef struct job {
    sotto_tape *t;
    const sotto_node *n;
    slot *self, *in, *in2;
    sotto_shape x; /* of the first input */
    size_t first, last, s;
    size_t in_words, out_words;
} job;

/* Columns of one group: [per * kernel][out area]. */
static void im2col(const job *j, float *col, const float *x, uint32_t per)
{
    const sotto_node *n = j->n;
    for (uint32_t c = 0; c < per; c++) {
        for (uint32_t u = 0; u < n->kernel_h; u++) {
            for (uint32_t v = 0; v < n->kernel_w; v++) {
                for (uint32_t y = 0; y < n->shape.h; y++) {
                    const int64_t row = (int64_t)y * n->stride_h + u - n->pad_top;
                    for (uint32_t z = 0; z < n->shape.w; z++) {
                        const int64_t pos = (int64_t)z * n->stride_w + v - n->pad_left;
                        const int inside = row >= 0 && row < j->x.h && pos >= 0 && pos < j->x.w;
                        *col++ = inside ? x[((size_t)c * j->x.h + (size_t)row) * j->x.w + (size_t)pos] : 0.0f;
                    }
                }
            }
        }
    }
}

static void col2im(const job *j, float *x, const float *col, uint32_t per)
{
    const sotto_node *n = j->n;
    for (uint32_t c = 0; c < per; c++) {
        for (uint32_t u = 0; u < n->kernel_h; u++) {
            for (uint32_t v = 0; v < n->kernel_w; v++) {
                for (uint32_t y = 0; y < n->shape.h; y++) {
                    const int64_t row = (int64_t)y * n->stride_h + u - n->pad_top;
                    for (uint32_t z = 0; z < n->shape.w; z++, col++) {
                        const int64_t pos = (int64_t)z * n->stride_w + v - n->pad_left;
                        if (row >= 0 && row < j->x.h && pos >= 0 && pos < j->x.w) {
                            x[((size_t)c * j->x.h + (size_t)row) * j->x.w + (size_t)pos] += *col;
                        }
                    }
                }
            }
        }
    }
}

typedef struct conv_size {
    uint32_t per, filters; /* channels in and out of a group */
    int m, k, area;
} conv_size;

static conv_size conv_sizes(const job *j)
{
    const sotto_node *n = j->n;
    conv_size c = {.per = j->x.c / n->groups, .filters = n->out / n->groups};
    c.m = (int)c.filters;
    c.k = (int)(c.per * n->kernel_h * n->kernel_w);
    c.area = (int)(n->shape.h * n->shape.w);
    return c;
}

static void conv_forward(const job *j)
{
    const conv_size c = conv_sizes(j);
    float *col = j->t->columns[j->s];
    for (size_t i = j->first; i < j->last; i++) {
        float *out = j->self->value + i * j->out_words;
        for (uint32_t g = 0; g < j->n->groups; g++) {
            im2col(j, col, j->in->value + i * j->in_words + (size_t)g * c.per * j->x.h * j->x.w, c.per);
            float *y = out + (size_t)g * c.filters * (size_t)c.area;
            for (uint32_t f = 0; f < c.filters; f++) {
                for (int a = 0; a < c.area; a++) {
                    y[(size_t)f * (size_t)c.area + (size_t)a] = j->n->tensor[1][g * c.filters + f];
                }
            }
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, c.m, c.area, c.k, 1.0f,
                        j->n->tensor[0] + (size_t)g * c.filters * (size_t)c.k, c.k, col, c.area, 1.0f, y, c.area);
        }
    }
}

static void conv_backward(const job *j)
{
    const conv_size c = conv_sizes(j);
    float *col = j->t->columns[j->s];
    const size_t weights = (size_t)j->n->out * (size_t)c.k;
    float *dw = j->self->shard[0] + j->s * weights, *db = j->self->shard[1] + j->s * j->n->out;
    for (size_t i = j->first; i < j->last; i++) {
        for (uint32_t g = 0; g < j->n->groups; g++) {
            const size_t x_at = i * j->in_words + (size_t)g * c.per * j->x.h * j->x.w;
            const float *dy = j->self->grad + i * j->out_words + (size_t)g * c.filters * (size_t)c.area;
            const size_t w_at = (size_t)g * c.filters * (size_t)c.k;
            im2col(j, col, j->in->value + x_at, c.per);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, c.m, c.k, c.area, 1.0f, dy, c.area, col, c.area, 1.0f, dw + w_at, c.k);
            for (uint32_t f = 0; f < c.filters; f++) {
                float sum = 0.0f;
                for (int a = 0; a < c.area; a++) {
                    sum += dy[(size_t)f * (size_t)c.area + (size_t)a];
                }
                db[g * c.filters + f] += sum;
            }
            if (j->in->grad != NULL) {
                cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, c.k, c.area, c.m, 1.0f, j->n->tensor[0] + w_at, c.k, dy, c.area, 0.0f,
                            col, c.area);
                col2im(j, j->in->grad + x_at, col, c.per);
            }
        }
    }
}

static void dense_forward(const job *j)
{
    const int count = (int)(j->last - j->first), in = (int)j->in_words, out = (int)j->out_words;
    float *y = j->self->value + j->first * j->out_words;
    for (int i = 0; i < count; i++) {
        memcpy(y + (size_t)i * j->out_words, j->n->tensor[1], j->out_words * sizeof *y);
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, count, out, in, 1.0f, j->in->value + j->first * j->in_words, in,
                j->n->tensor[0], in, 1.0f, y, out);
}

static void dense_backward(const job *j)
{
    const int count = (int)(j->last - j->first), in = (int)j->in_words, out = (int)j->out_words;
    const float *dy = j->self->grad + j->first * j->out_words;
    float *db = j->self->shard[1] + j->s * j->out_words;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, out, in, count, 1.0f, dy, out, j->in->value + j->first * j->in_words, in, 1.0f,
                j->self->shard[0] + j->s * j->out_words * j->in_words, in);
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < out; k++) {
            db[k] += dy[(size_t)i * j->out_words + (size_t)k];
        }
    }
    if (j->in->grad != NULL) {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, count, in, out, 1.0f, dy, out, j->n->tensor[0], in, 1.0f,
                    j->in->grad + j->first * j->in_words, in);
    }
}

static void relu_forward(const job *j)
{
    for (size_t i = j->first * j->out_words; i < j->last * j->out_words; i++) {
        const float x = j->in->value[i];
        j->self->value[i] = x > 0.0f ? x : 0.0f;
    }
}

static void relu_backward(const job *j)
{
    for (size_t i = j->first * j->out_words; i < j->last * j->out_words; i++) {
        j->in->grad[i] += j->in->value[i] > 0.0f ? j->self->grad[i] : 0.0f;
    }
}

static void copy_forward(const job *j)
{
    memcpy(j->self->value + j->first * j->out_words, j->in->value + j->first * j->out_words,
           (j->last - j->first) * j->out_words * sizeof(float));
}

static void copy_backward(const job *j)
{
    for (size_t i = j->first * j->out_words; j->in->grad != NULL && i < j->last * j->out_words; i++) {
        j->in->grad[i] += j->self->grad[i];
    }
}

static void add_forward(const job *j)
{
    for (size_t i = j->first * j->out_words; i < j->last * j->out_words; i++) {
        j->self->value[i] = j->in->value[i] + j->in2->value[i];
    }
}

static void add_backward(const job *j)
{
    copy_backward(j);
    for (size_t i = j->first * j->out_words; j->in2->grad != NULL && i < j->last * j->out_words; i++) {
        j->in2->grad[i] += j->self->grad[i];
    }
}

/* Calls for each window: fn(job, output index within the batch, channel base of the input, window rows and columns). */
static void each_window(const job *j, void (*fn)(const job *j, size_t out, size_t base, int64_t y0, int64_t y1, int64_t z0, int64_t z1))
{
    const sotto_node *n = j->n;
    for (size_t i = j->first; i < j->last; i++) {
        size_t out = i * j->out_words;
        for (uint32_t c = 0; c < j->x.c; c++) {
            const size_t base = i * j->in_words + (size_t)c * j->x.h * j->x.w;
            for (uint32_t y = 0; y < n->shape.h; y++) {
                const int64_t top = (int64_t)y * n->stride_h - n->pad_top, bottom = top + n->kernel_h;
                for (uint32_t z = 0; z < n->shape.w; z++, out++) {
                    const int64_t left = (int64_t)z * n->stride_w - n->pad_left, right = left + n->kernel_w;
                    fn(j, out, base, top < 0 ? 0 : top, bottom > j->x.h ? j->x.h : bottom, left < 0 ? 0 : left,
                       right > j->x.w ? j->x.w : right);
                }
            }
        }
    }
}

static void max_window(const job *j, size_t out, size_t base, int64_t y0, int64_t y1, int64_t z0, int64_t z1)
{
    float most = -FLT_MAX;
    size_t winner = base;
    for (int64_t y = y0; y < y1; y++) {
        for (int64_t z = z0; z < z1; z++) {
            const size_t at = base + (size_t)y * j->x.w + (size_t)z;
            if (j->in->value[at] > most) {
                most = j->in->value[at];
                winner = at;
            }
        }
    }
    j->self->value[out] = most;
    j->self->winner[out] = (uint32_t)(winner - base);
}

static void max_forward(const job *j)
{
    each_window(j, max_window);
}

static void max_window_back(const job *j, size_t out, size_t base, int64_t y0, int64_t y1, int64_t z0, int64_t z1)
{
    (void)y0;
    (void)y1;
    (void)z0;
    (void)z1;
    j->in->grad[base + j->self->winner[out]] += j->self->grad[out];
}

static void max_backward(const job *j)
{
    each_window(j, max_window_back);
}

static float window_area(const job *j)
{
    return (float)j->n->kernel_h * (float)j->n->kernel_w;
}

static void average_window(const job *j, size_t out, size_t base, int64_t y0, int64_t y1, int64_t z0, int64_t z1)
{
    float sum = 0.0f;
    for (int64_t y = y0; y < y1; y++) {
        for (int64_t z = z0; z < z1; z++) {
            sum += j->in->value[base + (size_t)y * j->x.w + (size_t)z];
        }
    }
    j->self->value[out] = sum / window_area(j);
}

static void average_forward(const job *j)
{
    each_window(j, average_window);
}

static void average_window_back(const job *j, size_t out, size_t base, int64_t y0, int64_t y1, int64_t z0, int64_t z1)
{
    const float g = j->self->grad[out] / window_area(j);
    for (int64_t y = y0; y < y1; y++) {
        for (int64_t z = z0; z < z1; z++) {
            j->in->grad[base + (size_t)y * j->x.w + (size_t)z] += g;
        }
    }
}

static void average_backward(const job *j)
{
    each_window(j, average_window_back);
}

static void global_forward(const job *j)
{
    const size_t area = (size_t)j->x.h * j->x.w;
    for (size_t i = j->first * j->out_words; i < j->last * j->out_words; i++) {
        float sum = 0.0f;
        for (size_t a = 0; a < area; a++) {
            sum += j->in->value[i * area + a];
        }
        j->self->value[i] = sum / (float)area;
    }
}

static void global_backward(const job *j)
{
    const size_t area = (size_t)j->x.h * j->x.w;
    for (size_t i = j->first * j->out_words; i < j->last * j->out_words; i++) {
        for (size_t a = 0; a < area; a++) {
            j->in->grad[i * area + a] += j->self->grad[i] / (float)area;
        }
    }
}

/* Per channel of this shard: sums of p and p * q, for statistics (p = q = x) and their gradients (p = dy, q = x normalised). */
static void norm_partial(const job *j)
{
    const size_t area = (size_t)j->x.h * j->x.w;
    float *partial = j->self->partial + j->s * 2 * j->x.c;
    const int back = j->t->training == 2;
    for (uint32_t c = 0; c < j->x.c; c++) {
        double sum = 0.0, second = 0.0;
        for (size_t i = j->first; i < j->last; i++) {
            const size_t at = i * j->in_words + c * area;
            for (size_t a = at; a < at + area; a++) {
                const double x = j->in->value[a];
                const double p = back ? j->self->grad[a] : x;
                sum += p;
                second += p * (back ? (x - j->self->mean[c]) * j->self->inv[c] : x);
            }
        }
        partial[2 * c] = (float)sum;
        partial[2 * c + 1] = (float)second;
    }
}

static void norm_forward(const job *j)
{
    const size_t area = (size_t)j->x.h * j->x.w;
    for (size_t i = j->first; i < j->last; i++) {
        for (uint32_t c = 0; c < j->x.c; c++) {
            const float factor = j->n->tensor[0][c] * j->self->inv[c], mean = j->self->mean[c], beta = j->n->tensor[1][c];
            for (size_t a = i * j->in_words + c * area, end = a + area; a < end; a++) {
                j->self->value[a] = (j->in->value[a] - mean) * factor + beta;
            }
        }
    }
}

/* dx = gamma inv (dy - mean(dy) - xhat mean(dy xhat)), the means being gradient / count (Ioffe and Szegedy 2015). */
static void norm_backward(const job *j)
{
    const size_t area = (size_t)j->x.h * j->x.w;
    const float total = (float)j->t->count * (float)area;
    for (size_t i = j->first; j->in->grad != NULL && i < j->last; i++) {
        for (uint32_t c = 0; c < j->x.c; c++) {
            const float inv = j->self->inv[c], mean = j->self->mean[c], factor = j->n->tensor[0][c] * inv;
            const float dgamma = j->self->gradient[0][c] / total, dbeta = j->self->gradient[1][c] / total;
            for (size_t a = i * j->in_words + c * area, end = a + area; a < end; a++) {
                const float xhat = (j->in->value[a] - mean) * inv;
                j->in->grad[a] += factor * (j->self->grad[a] - dbeta - xhat * dgamma);
            }
        }
    }
}

static const struct op_functions {
    void (*forward)(const job *j), (*backward)(const job *j);
} functions[SOTTO_OP_COUNT] = {
    [SOTTO_OP_CONV] = {conv_forward, conv_backward},          [SOTTO_OP_DENSE] = {dense_forward, dense_backward},
    [SOTTO_OP_BATCHNORM] = {norm_forward, norm_backward},     [SOTTO_OP_RELU] = {relu_forward, relu_backward},
    [SOTTO_OP_IDENTITY] = {copy_forward, copy_backward},      [SOTTO_OP_MAXPOOL] = {max_forward, max_backward},
    [SOTTO_OP_AVGPOOL] = {average_forward, average_backward}, [SOTTO_OP_GLOBALAVG] = {global_forward, global_backward},
    [SOTTO_OP_ADD] = {add_forward, add_backward},             [SOTTO_OP_FLATTEN] = {copy_forward, copy_backward},
};

/* ---- running them ------------------------------------------------------------------------------------------------- */

typedef struct node_run {
    sotto_tape *t;
    size_t node;
    void (*fn)(const job *j);
} node_run;

static int run_shard(void *ctx, size_t s, unsigned thread)
{
    const node_run *r = ctx;
    sotto_tape *t = r->t;
    const sotto_node *n = &t->m->nodes[r->node];
    (void)thread;
    const job j = {.t = t,
                   .n = n,
                   .self = &t->slots[r->node],
                   .in = &t->slots[n->input[0]],
                   .in2 = &t->slots[n->input[1]],
                   .x = t->m->nodes[n->input[0]].shape,
                   .first = t->count * s / t->shards,
                   .last = t->count * (s + 1) / t->shards,
                   .s = s,
                   .in_words = sotto_shape_words(t->m->nodes[n->input[0]].shape),
                   .out_words = sotto_shape_words(n->shape)};
    if (j.first < j.last) {
        r->fn(&j);
    }
    return SOTTO_OK;
}

static int run_node(sotto_tape *t, size_t node, void (*fn)(const job *j))
{
    node_run r = {t, node, fn};
    return sotto_pool_run(t->pool, t->shards, run_shard, &r);
}

/* Statistics of the batch or the running ones. */
static int norm_statistics(sotto_tape *t, size_t node)
{
    const sotto_node *n = &t->m->nodes[node];
    slot *s = &t->slots[node];
    const sotto_shape x = n->shape;
    const double total = (double)t->count * x.h * x.w;
    if (t->training) {
        memset(s->partial, 0, t->shards * 2 * x.c * sizeof *s->partial);
        const int status = run_node(t, node, norm_partial);
        if (status != SOTTO_OK) {
            return status;
        }
    }
    for (uint32_t c = 0; c < x.c; c++) {
        double mean = n->tensor[2][c], variance = n->tensor[3][c];
        if (t->training) {
            double sum = 0.0, square = 0.0;
            for (size_t i = 0; i < t->shards; i++) {
                sum += s->partial[(i * x.c + c) * 2];
                square += s->partial[(i * x.c + c) * 2 + 1];
            }
            mean = sum / total;
            variance = fmax(square / total - mean * mean, 0.0);
            n->tensor[2][c] += BATCHNORM_MOMENTUM * ((float)mean - n->tensor[2][c]);
            n->tensor[3][c] += BATCHNORM_MOMENTUM * ((float)variance - n->tensor[3][c]);
        }
        s->mean[c] = (float)mean;
        s->inv[c] = (float)(1.0 / sqrt(variance + SOTTO_BATCHNORM_EPSILON));
    }
    return SOTTO_OK;
}

float *sotto_tape_input(sotto_tape *t)
{
    return t->slots[0].value;
}

int sotto_tape_forward(sotto_tape *t, size_t count, int training, const float **logits)
{
    int status = SOTTO_OK;
    t->count = count;
    t->training = training ? 1 : 0;
    for (size_t i = 1; i < t->m->node_count && status == SOTTO_OK; i++) {
        if (t->m->nodes[i].op == SOTTO_OP_BATCHNORM) {
            status = norm_statistics(t, i);
        }
        if (status == SOTTO_OK) {
            status = run_node(t, i, functions[t->m->nodes[i].op].forward);
        }
    }
    *logits = t->slots[t->m->node_count - 1].value;
    return status;
}

static void sum_shards(sotto_tape *t, size_t node)
{
    const sotto_node *n = &t->m->nodes[node];
    slot *s = &t->slots[node];
    for (unsigned w = 0; w < SOTTO_TENSORS_MAX; w++) {
        const size_t count = s->gradient[w] == NULL ? 0 : sotto_tensor_count(t->m, n, w);
        for (size_t i = 0; i < count; i++) {
            float sum = 0.0f;
            for (size_t k = 0; k < t->shards; k++) {
                sum += s->shard[w][k * count + i];
            }
            s->gradient[w][i] = sum;
        }
    }
}

/* The gradients of gamma and beta are needed before that of the input. */
static int norm_gradients(sotto_tape *t, size_t node)
{
    slot *s = &t->slots[node];
    const uint32_t channels = t->m->nodes[node].shape.c;
    t->training = 2; /* tells norm_partial which sums */
    memset(s->partial, 0, t->shards * 2 * channels * sizeof *s->partial);
    const int status = run_node(t, node, norm_partial);
    t->training = 1;
    for (uint32_t c = 0; c < channels; c++) {
        double beta = 0.0, gamma = 0.0;
        for (size_t i = 0; i < t->shards; i++) {
            beta += s->partial[(i * channels + c) * 2];
            gamma += s->partial[(i * channels + c) * 2 + 1];
        }
        s->gradient[0][c] = (float)gamma;
        s->gradient[1][c] = (float)beta;
    }
    return status;
}

int sotto_tape_backward(sotto_tape *t, size_t count, const float *logits_grad)
{
    const size_t last = t->m->node_count - 1;
    int status = SOTTO_OK;
    for (size_t i = 1; i <= last; i++) {
        const size_t words = sotto_shape_words(t->m->nodes[i].shape);
        memset(t->slots[i].grad, 0, count * words * sizeof(float));
        for (unsigned w = 0; w < SOTTO_TENSORS_MAX; w++) {
            if (t->slots[i].shard[w] != NULL) {
                memset(t->slots[i].shard[w], 0, t->shards * sotto_tensor_count(t->m, &t->m->nodes[i], w) * sizeof(float));
            }
        }
    }
    memcpy(t->slots[last].grad, logits_grad, count * sotto_shape_words(t->m->nodes[last].shape) * sizeof(float));
    for (size_t i = last; i > 0 && status == SOTTO_OK; i--) {
        const sotto_node *n = &t->m->nodes[i];
        if (n->op == SOTTO_OP_BATCHNORM) {
            status = norm_gradients(t, i);
        }
        /* Ops with weights look themselves whether the input wants a gradient; others have nothing else to do. */
        const int weights = t->slots[i].gradient[0] != NULL;
        if (status == SOTTO_OK && (weights || n->op == SOTTO_OP_ADD || t->slots[n->input[0]].grad != NULL)) {
            status = run_node(t, i, functions[n->op].backward);
        }
        if (status == SOTTO_OK && weights && n->op != SOTTO_OP_BATCHNORM) {
            sum_shards(t, i);
        }
    }
    return status;
}

const float *sotto_tape_gradient(const sotto_tape *t, size_t node, unsigned which)
{
    return t->slots[node].gradient[which];
}

/* ---- space ---------------------------------------------------------------------------------------------------------- */

static int slot_new(sotto_tape *t, size_t node)
{
    const sotto_node *n = &t->m->nodes[node];
    slot *s = &t->slots[node];
    const size_t words = t->batch * sotto_shape_words(n->shape);
    int bad = (s->value = sotto_calloc(words, sizeof(float))) == NULL;
    if (t->backward && node > 0) {
        bad |= (s->grad = sotto_calloc(words, sizeof(float))) == NULL;
    }
    if (n->op == SOTTO_OP_MAXPOOL) {
        bad |= (s->winner = sotto_calloc(words, sizeof *s->winner)) == NULL;
    }
    if (n->op == SOTTO_OP_BATCHNORM) {
        bad |= (s->mean = sotto_calloc(n->shape.c, sizeof(float))) == NULL;
        bad |= (s->inv = sotto_calloc(n->shape.c, sizeof(float))) == NULL;
        bad |= (s->partial = sotto_calloc(t->shards * 2 * n->shape.c, sizeof(float))) == NULL;
    }
    for (unsigned w = 0; t->backward && w < 2; w++) {
        const size_t count = sotto_tensor_count(t->m, n, w);
        if (count > 0) {
            bad |= (s->gradient[w] = sotto_calloc(count, sizeof(float))) == NULL;
            bad |= (s->shard[w] = sotto_calloc(t->shards * count, sizeof(float))) == NULL;
        }
    }
    if (n->op == SOTTO_OP_CONV) {
        const size_t per = t->m->nodes[n->input[0]].shape.c / n->groups;
        const size_t columns = per * n->kernel_h * n->kernel_w * n->shape.h * n->shape.w;
        t->columns_words = columns > t->columns_words ? columns : t->columns_words;
    }
    return bad ? sotto_fail(SOTTO_ERR_MEMORY, "no memory to train node %s with batches of %zu", n->name, t->batch) : SOTTO_OK;
}

int sotto_tape_new(sotto_tape **out, sotto_model *m, size_t batch, int backward, sotto_pool *pool)
{
    *out = NULL;
    sotto_tape *t = sotto_calloc(1, sizeof *t);
    if (t == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for training");
    }
    /* Shards run one per thread; threads inside OpenBLAS would only compete with them. */
    openblas_set_num_threads(1);
    t->m = m;
    t->batch = batch;
    t->backward = backward;
    t->pool = pool;
    t->shards = pool == NULL ? 1 : sotto_pool_threads(pool);
    t->slots = sotto_calloc(m->node_count, sizeof *t->slots);
    t->columns = sotto_calloc(t->shards, sizeof *t->columns);
    int status = t->slots == NULL || t->columns == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for training") : SOTTO_OK;
    for (size_t i = 0; i < m->node_count && status == SOTTO_OK; i++) {
        status = slot_new(t, i);
    }
    for (size_t i = 0; i < t->shards && status == SOTTO_OK; i++) {
        t->columns[i] = sotto_calloc(t->columns_words, sizeof(float));
        if (t->columns[i] == NULL) {
            status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for training");
        }
    }
    if (status != SOTTO_OK) {
        sotto_tape_free(t);
        return status;
    }
    *out = t;
    return SOTTO_OK;
}

void sotto_tape_free(sotto_tape *t)
{
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; t->slots != NULL && i < t->m->node_count; i++) {
        slot *s = &t->slots[i];
        sotto_free(s->value);
        sotto_free(s->grad);
        sotto_free(s->winner);
        sotto_free(s->mean);
        sotto_free(s->inv);
        sotto_free(s->partial);
        for (unsigned w = 0; w < SOTTO_TENSORS_MAX; w++) {
            sotto_free(s->gradient[w]);
            sotto_free(s->shard[w]);
        }
    }
    for (size_t i = 0; t->columns != NULL && i < t->shards; i++) {
        sotto_free(t->columns[i]);
    }
    sotto_free(t->slots);
    sotto_free(t->columns);
    sotto_free(t);
}
