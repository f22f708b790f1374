/* Linear layers in the clear: the server's part of the infer phase. */
#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"
#include "nn/secure/apply_kernel.h"
#include "nn/secure/linear.h"

#define NARROW_BITS 32u

void sotto_linear_apply(uint64_t *out, const sotto_linear_shape *s, const int32_t *weights, const uint64_t *x)
{
    uint32_t out_h, out_w;
    if (sotto_linear_out_size(s, &out_h, &out_w))
        return;
    uint32_t in_per = s->in_c / s->groups, out_per = s->out_c / s->groups;
    for (uint32_t m = 0; m < s->out_c; m++)
        for (uint32_t c = 0; c < in_per; c++) {
            const uint64_t *plane = x + (size_t)(m / out_per * in_per + c) * s->in_h * s->in_w;
            const int32_t *kernel = weights + ((size_t)m * in_per + c) * s->kernel_h * s->kernel_w;
            for (uint32_t i = 0; i < out_h; i++)
                for (uint32_t u = 0; u < s->kernel_h; u++) {
                    size_t row = (size_t)i * s->stride_h + u;
                    if (row < s->pad_top || row - s->pad_top >= s->in_h)
                        continue;
                    const uint64_t *line = plane + (row - s->pad_top) * s->in_w;
                    for (uint32_t j = 0; j < out_w; j++)
                        for (uint32_t v = 0; v < s->kernel_w; v++) {
                            size_t col = (size_t)j * s->stride_w + v;
                            if (col < s->pad_left || col - s->pad_left >= s->in_w)
                                continue;
                            out[((size_t)m * out_h + i) * out_w + j] +=
                                (uint64_t)(int64_t)kernel[u * s->kernel_w + v] * line[col - s->pad_left];
                        }
                }
        }
}

/* ---- the same in words of 32 bits where the ring is no wider, several filters at a time ---------------------------------------------- */

static const sotto_apply_kernels *kernels(void)
{
#if defined(__x86_64__)
    if (sotto_cpu_tier() >= SOTTO_TIER_AVX512)
        return &sotto_apply_kernels_avx512;
    if (sotto_cpu_tier() >= SOTTO_TIER_AVX2)
        return &sotto_apply_kernels_avx2;
#endif
    return &sotto_apply_kernels_ref;
}

/* The padded image by phases of the stride, plane after plane and row after row, so that output (y, x) reads what output (0, 0) reads, y * row + x words further on. */
typedef struct layout {
    uint32_t out_h, out_w, phases_h, phases_w;
    size_t row, plane;    /* words */
    size_t words, count;  /* of all planes and of what is read past their end; positions of an output, row by row of the planes */
    size_t terms;         /* of a filter */
} layout;

static int layout_new(layout *l, const sotto_linear_shape *s)
{
    const int status = sotto_linear_out_size(s, &l->out_h, &l->out_w);
    if (status != SOTTO_OK)
        return status;
    l->phases_h = s->stride_h < s->kernel_h ? s->stride_h : s->kernel_h;
    l->phases_w = s->stride_w < s->kernel_w ? s->stride_w : s->kernel_w;
    l->row = l->out_w + (s->kernel_w - 1) / s->stride_w;
    l->plane = l->row * (l->out_h + (s->kernel_h - 1) / s->stride_h);
    l->count = ((l->out_h - 1) * l->row + l->out_w + SOTTO_APPLY_LANES - 1) / SOTTO_APPLY_LANES * SOTTO_APPLY_LANES;
    l->words = (size_t)s->in_c * l->phases_h * l->phases_w * l->plane + SOTTO_APPLY_LANES; /* the last plane is read to its end, rounded up */
    l->terms = (size_t)(s->in_c / s->groups) * s->kernel_h * s->kernel_w;
    return SOTTO_OK;
}

/* Where the terms of a filter of the first group begin, in the order of its weights. */
static void term_offsets(size_t *offset, const layout *l, const sotto_linear_shape *s)
{
    for (uint32_t c = 0; c < s->in_c / s->groups; c++)
        for (uint32_t u = 0; u < s->kernel_h; u++)
            for (uint32_t v = 0; v < s->kernel_w; v++) {
                const size_t phase = ((size_t)c * l->phases_h + u % s->stride_h) * l->phases_w + v % s->stride_w;
                *offset++ = phase * l->plane + u / s->stride_h * l->row + v / s->stride_w;
            }
}

static void fill_planes(void *planes, int narrow, const layout *l, const sotto_linear_shape *s, const uint64_t *x)
{
    for (uint32_t c = 0; c < s->in_c; c++)
        for (size_t i = 0; i < s->in_h; i++)
            for (size_t j = 0; j < s->in_w; j++) {
                const size_t y = i + s->pad_top, z = j + s->pad_left, a = y % s->stride_h, b = z % s->stride_w;
                const size_t at_y = y / s->stride_h, at_x = z / s->stride_w;
                if (a >= l->phases_h || b >= l->phases_w || at_y * l->row >= l->plane || at_x >= l->row)
                    continue; /* no weight reads it */
                const size_t at = (((size_t)c * l->phases_h + a) * l->phases_w + b) * l->plane + at_y * l->row + at_x;
                const uint64_t value = x[((size_t)c * s->in_h + i) * s->in_w + j];
                if (narrow)
                    ((uint32_t *)planes)[at] = (uint32_t)value;
                else
                    ((uint64_t *)planes)[at] = value;
            }
}

typedef struct infer_task {
    const sotto_linear_shape *s;
    const layout *l;
    const size_t *offset;
    const int32_t *weights;
    const void *planes;
    uint64_t *out;
    unsigned bits;
    uint32_t per_group; /* jobs of a group */
} infer_task;

/* Some filters of one group. */
static int infer_some(void *ctx, size_t i, unsigned thread)
{
    (void)thread;
    const infer_task *t = ctx;
    const layout *l = t->l;
    const uint32_t out_per = t->s->out_c / t->s->groups, group = (uint32_t)(i / t->per_group);
    const uint32_t from = (uint32_t)(i % t->per_group) * SOTTO_APPLY_FILTERS, left = out_per - from, m0 = group * out_per + from;
    const int narrow = t->bits <= NARROW_BITS;
    const size_t base = (size_t)group * (t->s->in_c / t->s->groups) * l->phases_h * l->phases_w * l->plane;
    const sotto_apply_job job = {t->weights + m0 * l->terms, t->offset, l->terms, l->count, left < SOTTO_APPLY_FILTERS ? left : SOTTO_APPLY_FILTERS};
    uint64_t *sum = sotto_calloc(l->count, SOTTO_APPLY_FILTERS * sizeof *sum);
    if (sum == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a linear layer");
    if (narrow)
        kernels()->narrow(&job, (uint32_t *)sum, (const uint32_t *)t->planes + base);
    else
        kernels()->wide(&job, sum, (const uint64_t *)t->planes + base);
    for (uint32_t f = 0; f < job.filters; f++)
        for (uint32_t y = 0; y < l->out_h; y++) {
            uint64_t *out = t->out + ((size_t)(m0 + f) * l->out_h + y) * l->out_w;
            const size_t at = f * l->count + y * l->row;
            for (uint32_t x = 0; x < l->out_w; x++)
                out[x] = sotto_low_bits(out[x] + (narrow ? ((const uint32_t *)sum)[at + x] : sum[at + x]), t->bits);
        }
    sotto_free_secret(sum, l->count, SOTTO_APPLY_FILTERS * sizeof *sum);
    return SOTTO_OK;
}

int sotto_linear_infer(uint64_t *out, const sotto_linear_shape *s, unsigned bits, const int32_t *weights, const uint64_t *x, sotto_pool *pool)
{
    layout l;
    int status = layout_new(&l, s);
    if (status != SOTTO_OK)
        return status;
    const int narrow = bits <= NARROW_BITS;
    const size_t word = narrow ? sizeof(uint32_t) : sizeof(uint64_t);
    size_t *offset = sotto_calloc(l.terms, sizeof *offset);
    void *planes = sotto_calloc(l.words, word);
    if (offset == NULL || planes == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a linear layer");
    } else {
        const uint32_t per_group = (s->out_c / s->groups + SOTTO_APPLY_FILTERS - 1) / SOTTO_APPLY_FILTERS;
        infer_task task = {s, &l, offset, weights, planes, out, bits, per_group};
        term_offsets(offset, &l, s);
        fill_planes(planes, narrow, &l, s, x);
        status = sotto_pool_run(pool, (size_t)per_group * s->groups, infer_some, &task);
    }
    sotto_free_secret(planes, l.words, word);
    sotto_free(offset);
    return status;
}
