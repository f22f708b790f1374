/* The steps of a program that need no message. */
#include <string.h>

#include "nn/plain/program.h"

void sotto_step_add(const sotto_step_info *s, uint64_t *out, const uint64_t *x, const uint64_t *y)
{
    for (size_t i = 0; i < s->words; i++) {
        out[i] = (x[i] << s->shift[0]) + (y[i] << s->shift[1]);
    }
}

void sotto_step_concat(const sotto_step_info *s, size_t first, uint64_t *out, const uint64_t *x, const uint64_t *y)
{
    for (size_t i = 0; i < s->words; i++) {
        out[i] = i < first ? x[i] << s->shift[0] : y[i - first] << s->shift[1];
    }
}

void sotto_step_pad(const sotto_step_info *s, sotto_shape in, uint64_t *out, const uint64_t *x)
{
    memset(out, 0, s->words * sizeof *out);
    for (uint32_t c = 0; c < in.c; c++) {
        for (uint32_t y = 0; y < in.h; y++) {
            const size_t row = ((size_t)c + s->pad_front) * s->shape.h + s->pad_top + y;
            memcpy(out + row * s->shape.w + s->pad_left, x + ((size_t)c * in.h + y) * in.w, in.w * sizeof *out);
        }
    }
}

void sotto_step_sum(const sotto_step_info *s, sotto_shape in, uint64_t *out, const uint64_t *x)
{
    const sotto_window *w = &s->window;
    for (uint32_t c = 0; c < s->shape.c; c++) {
        for (uint32_t y = 0; y < s->shape.h; y++) {
            for (uint32_t z = 0; z < s->shape.w; z++) {
                uint64_t sum = 0;
                for (uint32_t i = 0; i < w->kernel_h; i++) {
                    const int64_t row = (int64_t)y * w->stride_h + i - w->pad_top;
                    for (uint32_t j = 0; j < w->kernel_w; j++) {
                        const int64_t col = (int64_t)z * w->stride_w + j - w->pad_left;
                        if (row >= 0 && row < in.h && col >= 0 && col < in.w) {
                            sum += x[((size_t)c * in.h + (size_t)row) * in.w + (size_t)col];
                        }
                    }
                }
                *out++ = sum;
            }
        }
    }
}

static size_t nearest(int64_t at, uint32_t size)
{
    return at < 0 ? 0 : at >= size ? size - 1 : (size_t)at;
}

void sotto_step_gather(const sotto_step_info *s, sotto_shape in, uint64_t *out, const uint64_t *x)
{
    const sotto_window *w = &s->window;
    for (uint32_t i = 0; i < w->kernel_h; i++) {
        for (uint32_t j = 0; j < w->kernel_w; j++) {
            for (uint32_t c = 0; c < s->shape.c; c++) {
                for (uint32_t y = 0; y < s->shape.h; y++) {
                    const size_t row = nearest((int64_t)y * w->stride_h + i - w->pad_top, in.h);
                    for (uint32_t z = 0; z < s->shape.w; z++) {
                        const size_t col = nearest((int64_t)z * w->stride_w + j - w->pad_left, in.w);
                        *out++ = x[((size_t)c * in.h + row) * in.w + col];
                    }
                }
            }
        }
    }
}

void sotto_step_pairs(const sotto_step_info *s, uint64_t *diff, uint64_t *y, const uint64_t *x)
{
    const size_t area = sotto_shape_words(s->shape);
    for (size_t i = 0; i < s->units; i++) {
        const uint64_t *left = x + i / area * 2 * area + i % area;
        diff[i] = left[0] - left[area];
        y[i] = left[area];
    }
}

void sotto_step_local(const sotto_program *p, size_t at, uint64_t *const *value)
{
    const sotto_step_info *s = &p->steps[at], *from = &p->steps[s->in[0]];
    const uint64_t *in = value[s->in[0]];
    switch (s->op) {
    case SOTTO_STEP_ADD:
        sotto_step_add(s, value[at], in, value[s->in[1]]);
        break;
    case SOTTO_STEP_CONCAT:
        sotto_step_concat(s, from->words, value[at], in, value[s->in[1]]);
        break;
    case SOTTO_STEP_PAD:
        sotto_step_pad(s, from->shape, value[at], in);
        break;
    case SOTTO_STEP_SUM:
        sotto_step_sum(s, from->shape, value[at], in);
        break;
    case SOTTO_STEP_GATHER:
        sotto_step_gather(s, from->shape, value[at], in);
        break;
    case SOTTO_STEP_INPUT:
    case SOTTO_STEP_LINEAR:
    case SOTTO_STEP_MAX:
    case SOTTO_STEP_UNIT:
    case SOTTO_STEP_POLY:
        break;
    }
}
