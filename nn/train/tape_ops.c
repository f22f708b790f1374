#include <cblas.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/train/tape_internal.h"

#define BATCHNORM_MOMENTUM 0.1

/* ---- what is one per channel, repeated ---------------------------------------------------------------------------------------- */

static void repeat(float *out, size_t period, const float *per_channel, size_t channels)
{
    for (size_t i = 0; i < period; i++) {
        out[i] = per_channel[i % channels];
    }
}

/* out[channel * apart] += sums of the channel. */
static void fold(float *out, size_t apart, const float *sums, size_t period, size_t channels)
{
    for (size_t at = 0; at < period; at += channels) {
        for (size_t c = 0; c < channels; c++) {
            out[c * apart] += sums[at + c];
        }
    }
}

static float *shard_gradient(const job *j, unsigned which)
{
    return j->v->shard[which] + j->shard * j->v->shard_words[which];
}

/* ---- convolution, dense ------------------------------------------------------------------------------------------------------- */

static void conv_value(const job *j)
{
    sotto_conv_forward(j->v->conv, j->work, j->y, j->x[0], j->n->tensor[1]);
}

static void conv_gradients(const job *j)
{
    vertex *v = j->v;
    sotto_conv_backward_weights(v->conv, j->work, shard_gradient(j, 0), j->x[0], j->dy);
    if (v->bias) {
        memset(j->work, 0, v->period * sizeof *j->work);
        j->t->loops->sum(j->work, j->dy, v->period, v->words);
        fold(shard_gradient(j, 1), 1, j->work, v->period, v->shape.c);
    }
    if (j->dx[0] != NULL) {
        sotto_conv_backward_data(v->conv, j->work, j->dx[0], j->dy);
    }
}

static void dense_value(const job *j)
{
    const int count = (int)j->count, in = (int)sotto_shape_words(j->v->from), out = (int)j->v->words, stride = (int)j->v->stride;
    for (size_t i = 0; i < j->count; i++) {
        memcpy(j->y + i * j->v->stride, j->n->tensor[1], j->v->words * sizeof *j->y);
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, count, out, in, 1.0f, j->x[0], (int)j->strides[0], j->n->tensor[0], in, 1.0f, j->y, stride);
}

static void dense_gradients(const job *j)
{
    const int count = (int)j->count, in = (int)sotto_shape_words(j->v->from), out = (int)j->v->words, stride = (int)j->v->stride;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, out, in, count, 1.0f, j->dy, stride, j->x[0], (int)j->strides[0], 1.0f, shard_gradient(j, 0), in);
    for (size_t i = 0; i < j->count; i++) {
        j->t->loops->accumulate(shard_gradient(j, 1), j->dy + i * j->v->stride, 1.0f, j->v->words);
    }
    if (j->dx[0] != NULL) {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, count, in, out, 1.0f, j->dy, stride, j->n->tensor[0], in, 0.0f, j->dx[0],
                    (int)j->strides[1]);
    }
}

/* ---- batch norm --------------------------------------------------------------------------------------------------------------- */

static void norm_value(const job *j)
{
    const vertex *v = j->v;
    j->t->loops->norm(j->y, j->x[0], j->x[1], v->norm.factor, v->norm.offset, v->relu, v->period, v->words);
}

/* The two sums of an image in float, over images in double. */
static void norm_fold(const job *j)
{
    const size_t channels = j->v->shape.c, period = j->v->period;
    double *sums = j->v->norm.sums + j->shard * 2 * channels;
    for (size_t at = 0; at < 2 * period; at += channels) {
        double *to = at < period ? sums : sums + channels;
        for (size_t c = 0; c < channels; c++) {
            to[c] += (double)j->work[at + c];
        }
    }
}

void sotto_tape_moments(const job *j)
{
    const vertex *v = j->v;
    memset(j->work, 0, 2 * v->period * sizeof *j->work);
    j->t->loops->moments(j->work, j->work + v->period, j->x[0], v->norm.mean, v->period, v->words);
    norm_fold(j);
}

static void norm_gradients(const job *j)
{
    const vertex *v = j->v;
    memset(j->work, 0, 2 * v->period * sizeof *j->work);
    j->t->loops->norm_sums(j->work, j->work + v->period, j->dy, v->relu ? j->y : NULL, j->x[0], v->norm.mean, v->period, v->words);
    norm_fold(j);
}

void sotto_tape_norm_input(const job *j)
{
    const vertex *v = j->v;
    j->t->loops->norm_back(j->dx[0], j->dy, j->x[0], v->norm.back, v->period, v->words);
}

/* Sums over the shards of kind 0 or 1, for a channel. */
static double norm_sum(const sotto_tape *t, const vertex *v, unsigned kind, size_t channel)
{
    double sum = 0.0;
    for (size_t s = 0; s < t->shards; s++) {
        sum += v->norm.sums[(s * 2 + kind) * v->shape.c + channel];
    }
    return sum;
}

/* Sums are of distances from the running mean, which is closer to the batch's than zero is, so that the difference of squares keeps its digits. */
void sotto_tape_norm_statistics(const sotto_tape *t, vertex *v, int training, size_t images)
{
    sotto_node *n = &t->m->nodes[v->node];
    norm_state *s = &v->norm;
    const size_t channels = v->shape.c;
    const double total = (double)images * v->shape.h * v->shape.w;
    for (size_t c = 0; c < channels; c++) {
        double mean = (double)n->tensor[2][c], variance = (double)n->tensor[3][c];
        if (training) {
            const double shift = norm_sum(t, v, 0, c) / total;
            const double batch_mean = mean + shift, batch_variance = fmax(norm_sum(t, v, 1, c) / total - shift * shift, 0.0);
            n->tensor[2][c] = (float)(mean + BATCHNORM_MOMENTUM * (batch_mean - mean));
            n->tensor[3][c] = (float)(variance + BATCHNORM_MOMENTUM * (batch_variance - variance));
            mean = batch_mean;
            variance = batch_variance;
        }
        s->inv[c] = 1.0 / sqrt(variance + (double)n->epsilon);
        s->mean[c] = (float)mean;
        s->factor[c] = (float)((double)n->tensor[0][c] * s->inv[c]);
        s->offset[c] = (float)((double)n->tensor[1][c] - mean * (double)n->tensor[0][c] * s->inv[c]);
    }
    repeat(s->mean, v->period, s->mean, channels);
    repeat(s->factor, v->period, s->factor, channels);
    repeat(s->offset, v->period, s->offset, channels);
    memset(s->sums, 0, t->shards * 2 * channels * sizeof *s->sums);
}

/* With xn = (x - mean) inv and N values of a channel: dgamma = sum dy xn, dbeta = sum dy, dx = gamma inv (dy - dbeta / N - xn dgamma / N). */
void sotto_tape_norm_gradients(const sotto_tape *t, vertex *v, size_t images)
{
    const sotto_node *n = &t->m->nodes[v->node];
    const size_t channels = v->shape.c, period = v->period;
    const double total = (double)images * v->shape.h * v->shape.w;
    float *back = v->norm.back;
    for (size_t c = 0; c < channels; c++) {
        const double inv = v->norm.inv[c], beta = norm_sum(t, v, 0, c), gamma = norm_sum(t, v, 1, c) * inv;
        const double scale = (double)n->tensor[0][c] * inv;
        v->gradient[0][c] = (float)gamma;
        v->gradient[1][c] = (float)beta;
        back[c] = (float)scale;
        back[period + c] = (float)(-scale * inv * gamma / total);
        back[3 * period + c] = (float)(-scale * beta / total);
    }
    repeat(back, period, back, channels);
    repeat(back + period, period, back + period, channels);
    memcpy(back + 2 * period, v->norm.mean, period * sizeof *back);
    repeat(back + 3 * period, period, back + 3 * period, channels);
}

/* ---- units -------------------------------------------------------------------------------------------------------------------- */

static void relu_value(const job *j)
{
    j->t->loops->relu(j->y, j->x[0], j->v->words);
}

static void relu_gradients(const job *j)
{
    j->t->loops->relu_back(j->dx[0], j->dy, j->y, j->v->words);
}

static void clip_value(const job *j)
{
    j->t->loops->clip(j->y, j->x[0], j->v->act.coefficients, j->v->period, j->v->words);
}

static void clip_gradients(const job *j)
{
    j->t->loops->clip_back(j->dx[0], j->dy, j->y, j->v->act.coefficients, j->v->period, j->v->words);
}

/* out = from where the sum of the patch is above 0, else 0; the sums are those of x, `sums` has room for one a channel. */
static void patch(const job *j, const act_run *r, float *out, const float *from, size_t top, size_t left, float *sums)
{
    const sotto_shape s = j->v->shape;
    const size_t bottom = top + r->unit.block_h < s.h ? top + r->unit.block_h : s.h, right = left + r->unit.block_w < s.w ? left + r->unit.block_w : s.w;
    memset(sums, 0, (r->last - r->first) * sizeof *sums);
    for (size_t y = top; y < bottom; y++) {
        for (size_t z = left; z < right; z++) {
            j->t->loops->accumulate(sums, j->x[0] + (y * s.w + z) * s.c + r->first, 1.0f, r->last - r->first);
        }
    }
    for (size_t y = top; y < bottom; y++) {
        for (size_t z = left; z < right; z++) {
            const size_t at = (y * s.w + z) * s.c + r->first;
            j->t->loops->relu_back(out + at, from + at, sums, r->last - r->first);
        }
    }
}

static void patches(const job *j, float *out, const float *from)
{
    for (size_t i = 0; i < j->v->act.run_count; i++) {
        const act_run *r = &j->v->act.runs[i];
        for (size_t top = 0; top < j->v->shape.h; top += r->unit.block_h) {
            for (size_t left = 0; left < j->v->shape.w; left += r->unit.block_w) {
                patch(j, r, out, from, top, left, j->work);
            }
        }
    }
}

static void act_value(const job *j)
{
    const vertex *v = j->v;
    j->t->loops->gate(j->y, j->x[0], v->act.on, v->act.off, v->words);
    patches(j, j->y, j->x[0]);
    if (v->act.coefficients != NULL) {
        j->t->loops->polynomial(j->y, j->x[0], v->act.coefficients, v->period, v->words);
    }
}

static void act_gradients(const job *j)
{
    const vertex *v = j->v;
    const size_t period = v->period;
    float *dx = j->dx[0] != NULL ? j->dx[0] : j->work + SOTTO_POLY_TERMS * period;
    j->t->loops->gate_back(dx, j->dy, j->x[0], v->act.on, v->act.off, v->words);
    patches(j, dx, j->dy);
    if (v->act.coefficients != NULL) {
        float *sums = j->work, *out = shard_gradient(j, 0);
        memset(sums, 0, SOTTO_POLY_TERMS * period * sizeof *sums);
        j->t->loops->polynomial_back(dx, sums, j->dy, j->x[0], v->act.coefficients, period, v->words);
        for (size_t k = 0; k < SOTTO_POLY_TERMS; k++) {
            fold(out + k, SOTTO_POLY_TERMS, sums + k * period, period, v->shape.c);
        }
    }
}

/* ---- pools -------------------------------------------------------------------------------------------------------------------- */

/* Calls for each pixel of the output and each pixel of its window that lies in the image: at and from are offsets of their first channels. */
static void each_pixel(const job *j, size_t y, size_t z, void (*fn)(const job *j, size_t at, size_t from))
{
    const sotto_node *n = j->n;
    const sotto_shape s = j->v->from;
    const int64_t top = (int64_t)y * n->stride_h - n->pad_top, left = (int64_t)z * n->stride_w - n->pad_left;
    for (int64_t u = top < 0 ? 0 : top; u < top + n->kernel_h && u < s.h; u++) {
        for (int64_t v = left < 0 ? 0 : left; v < left + n->kernel_w && v < s.w; v++) {
            fn(j, (y * j->v->shape.w + z) * s.c, ((size_t)u * s.w + (size_t)v) * s.c);
        }
    }
}

static void each_window(const job *j, void (*begin)(const job *j, size_t at), void (*first)(const job *j, size_t at, size_t from),
                        void (*second)(const job *j, size_t at, size_t from))
{
    for (size_t y = 0; y < j->v->shape.h; y++) {
        for (size_t z = 0; z < j->v->shape.w; z++) {
            begin(j, (y * j->v->shape.w + z) * j->v->shape.c);
            each_pixel(j, y, z, first);
            if (second != NULL) {
                each_pixel(j, y, z, second);
            }
        }
    }
}

static void fill(float *x, float value, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        x[i] = value;
    }
}

static void max_begin(const job *j, size_t at)
{
    fill(j->y + at, -FLT_MAX, j->v->shape.c);
}

static void max_take(const job *j, size_t at, size_t from)
{
    j->t->loops->maximum(j->y + at, j->x[0] + from, j->v->shape.c);
}

static void max_value(const job *j)
{
    each_window(j, max_begin, max_take, NULL);
}

/* The maximum again, then the gradient to the first that equals it. work: maxima, and what is left of the gradient. */
static void max_back_begin(const job *j, size_t at)
{
    fill(j->work, -FLT_MAX, j->v->shape.c);
    memcpy(j->work + j->v->shape.c, j->dy + at, j->v->shape.c * sizeof *j->dy);
}

static void max_back_find(const job *j, size_t at, size_t from)
{
    (void)at;
    j->t->loops->maximum(j->work, j->x[0] + from, j->v->shape.c);
}

static void max_back_give(const job *j, size_t at, size_t from)
{
    (void)at;
    j->t->loops->claim(j->dx[0] + from, j->work + j->v->shape.c, j->x[0] + from, j->work, j->v->shape.c);
}

static void max_gradients(const job *j)
{
    memset(j->dx[0], 0, sotto_shape_words(j->v->from) * sizeof(float));
    each_window(j, max_back_begin, max_back_find, max_back_give);
}

static float window_share(const job *j)
{
    return 1.0f / ((float)j->n->kernel_h * (float)j->n->kernel_w);
}

static void average_begin(const job *j, size_t at)
{
    fill(j->y + at, 0.0f, j->v->shape.c);
}

static void average_take(const job *j, size_t at, size_t from)
{
    j->t->loops->accumulate(j->y + at, j->x[0] + from, window_share(j), j->v->shape.c);
}

static void average_value(const job *j)
{
    each_window(j, average_begin, average_take, NULL);
}

static void average_back_begin(const job *j, size_t at)
{
    (void)j;
    (void)at;
}

static void average_back_give(const job *j, size_t at, size_t from)
{
    j->t->loops->accumulate(j->dx[0] + from, j->dy + at, window_share(j), j->v->shape.c);
}

static void average_gradients(const job *j)
{
    memset(j->dx[0], 0, sotto_shape_words(j->v->from) * sizeof(float));
    each_window(j, average_back_begin, average_back_give, NULL);
}

static void global_value(const job *j)
{
    const size_t area = (size_t)j->v->from.h * j->v->from.w, channels = j->v->shape.c;
    fill(j->y, 0.0f, channels);
    for (size_t p = 0; p < area; p++) {
        j->t->loops->accumulate(j->y, j->x[0] + p * channels, 1.0f / (float)area, channels);
    }
}

static void global_gradients(const job *j)
{
    const size_t area = (size_t)j->v->from.h * j->v->from.w, channels = j->v->shape.c;
    fill(j->dx[0], 0.0f, area * channels);
    for (size_t p = 0; p < area; p++) {
        j->t->loops->accumulate(j->dx[0] + p * channels, j->dy, 1.0f / (float)area, channels);
    }
}

/* ---- moving values ------------------------------------------------------------------------------------------------------------ */

static void add_value(const job *j)
{
    j->t->loops->add(j->y, j->x[0], j->x[1], j->v->words);
}

static void copy_value(const job *j)
{
    memcpy(j->y, j->x[0], j->v->words * sizeof *j->y);
}

/* Between rows x columns and columns x rows. */
static void transpose(float *out, const float *in, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++) {
            out[c * rows + r] = in[r * columns + c];
        }
    }
}

/* From the caller's order, channel after channel. */
static void input_value(const job *j)
{
    transpose(j->y, j->x[0], j->v->shape.c, (size_t)j->v->shape.h * j->v->shape.w);
}

static void flatten_value(const job *j)
{
    transpose(j->y, j->x[0], (size_t)j->v->from.h * j->v->from.w, j->v->from.c);
}

static void flatten_gradients(const job *j)
{
    transpose(j->dx[0], j->dy, j->v->from.c, (size_t)j->v->from.h * j->v->from.w);
}

/* Copies of `channels` floats a pixel, between images of rows x columns pixels with steps of their own. */
typedef struct window {
    size_t step, row; /* floats from pixel to pixel, from row to row */
} window;

static void copy_window(float *out, window to, const float *in, window from, sotto_shape s)
{
    for (size_t y = 0; y < s.h; y++) {
        for (size_t z = 0; z < s.w; z++) {
            memcpy(out + y * to.row + z * to.step, in + y * from.row + z * from.step, s.c * sizeof *out);
        }
    }
}

static window window_of(sotto_shape s)
{
    return (window){s.c, (size_t)s.w * s.c};
}

static sotto_shape concat_second(const vertex *v)
{
    return (sotto_shape){v->shape.c - v->from.c, v->shape.h, v->shape.w};
}

static void concat_value(const job *j)
{
    const vertex *v = j->v;
    const sotto_shape second = concat_second(v);
    copy_window(j->y, window_of(v->shape), j->x[0], window_of(v->from), v->from);
    copy_window(j->y + v->from.c, window_of(v->shape), j->x[1], window_of(second), second);
}

static void concat_gradients(const job *j)
{
    const vertex *v = j->v;
    const sotto_shape second = concat_second(v);
    if (j->dx[0] != NULL) {
        copy_window(j->dx[0], window_of(v->from), j->dy, window_of(v->shape), v->from);
    }
    if (j->dx[1] != NULL) {
        copy_window(j->dx[1], window_of(second), j->dy + v->from.c, window_of(v->shape), second);
    }
}

static size_t pad_start(const job *j)
{
    return ((size_t)j->n->pad_top * j->v->shape.w + j->n->pad_left) * j->v->shape.c + j->n->pad_front;
}

static void pad_value(const job *j)
{
    memset(j->y, 0, j->v->words * sizeof *j->y);
    copy_window(j->y + pad_start(j), window_of(j->v->shape), j->x[0], window_of(j->v->from), j->v->from);
}

static void pad_gradients(const job *j)
{
    copy_window(j->dx[0], window_of(j->v->from), j->dy + pad_start(j), window_of(j->v->shape), j->v->from);
}

/* ---- the table ---------------------------------------------------------------------------------------------------------------- */

/* No gradients: those of the inputs are that of the value. */
static const struct op {
    void (*value)(const job *j), (*gradients)(const job *j);
} ops[SOTTO_OP_COUNT] = {
    [SOTTO_OP_INPUT] = {input_value, NULL},
    [SOTTO_OP_CONV] = {conv_value, conv_gradients},
    [SOTTO_OP_DENSE] = {dense_value, dense_gradients},
    [SOTTO_OP_BATCHNORM] = {norm_value, norm_gradients},
    [SOTTO_OP_RELU] = {relu_value, relu_gradients},
    [SOTTO_OP_CLIP] = {clip_value, clip_gradients},
    [SOTTO_OP_IDENTITY] = {copy_value, NULL},
    [SOTTO_OP_ACT] = {act_value, act_gradients},
    [SOTTO_OP_MAXPOOL] = {max_value, max_gradients},
    [SOTTO_OP_AVGPOOL] = {average_value, average_gradients},
    [SOTTO_OP_GLOBALAVG] = {global_value, global_gradients},
    [SOTTO_OP_ADD] = {add_value, NULL},
    [SOTTO_OP_CONCAT] = {concat_value, concat_gradients},
    [SOTTO_OP_PAD] = {pad_value, pad_gradients},
    [SOTTO_OP_FLATTEN] = {flatten_value, flatten_gradients},
};

void sotto_tape_value(const job *j)
{
    ops[j->v->op].value(j);
}

void sotto_tape_gradients(const job *j)
{
    if (ops[j->v->op].gradients != NULL) {
        ops[j->v->op].gradients(j);
    }
}
