/* Inside nn/plain: the loops of narrow.c, one table per kind of processor; all compute the same. Images are channel-last: pixels in rows, each with its channels
 * padded by zeros to a multiple of SOTTO_NARROW_BLOCK. */
#ifndef SOTTO_NN_PLAIN_NARROW_KERNEL_H
#define SOTTO_NN_PLAIN_NARROW_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "lib/cpu.h"

#define SOTTO_NARROW_BLOCK 16u

/* A convolution over an image with its padding in place, modulo 2^32. */
typedef struct sotto_narrow_conv {
    uint32_t out_h, out_w, kernel_h, kernel_w, stride_h, stride_w;
    size_t row;      /* pixels of a row of x */
    size_t pixel;    /* words of a pixel of x: channels rounded up to a pair; depthwise: to a block */
    size_t lanes;    /* output channels, rounded up to a block */
    int16_t *weights; /* lanes / 16 times kernel_h x kernel_w x pixel / 2 times 16 pairs, one of each output channel; depthwise: kernel_h x kernel_w x lanes */
    int32_t *bias;   /* lanes */
} sotto_narrow_conv;

/* y / 2^f for y >= 0 or sign = 0, else 0. What lies outside [low, high] of its channel is counted. */
typedef struct sotto_narrow_unit {
    unsigned ring;    /* 32 less the bits of the ring that y is reduced to; 0 for wider ones */
    unsigned f;       /* at most 30 */
    int sign;
    size_t lanes;     /* channels, rounded up to a block */
    const int32_t *low, *high;           /* lanes each */
    const int32_t *low_clip, *high_clip; /* clip: the same for y less the bound */
} sotto_narrow_unit;

typedef struct sotto_narrow_kernels {
    sotto_tier tier;
    void (*conv)(const sotto_narrow_conv *c, int32_t *out, const int16_t *x);
    void (*depthwise)(const sotto_narrow_conv *c, int32_t *out, const int16_t *x);
    uint64_t (*unit)(const sotto_narrow_unit *u, int32_t *out, const int32_t *x, size_t pixels);
    /* bound: one for each of the channels. */
    uint64_t (*clip)(const sotto_narrow_unit *u, const int32_t *bound, int32_t *out, const int32_t *x, size_t pixels);
    /* out = y + (x >= y ? x - y : 0), differences reduced to the ring and counted as by unit. */
    uint64_t (*max)(const sotto_narrow_unit *u, int32_t *out, const int32_t *x, const int32_t *y, size_t pixels);
    void (*add)(int32_t *out, const int32_t *x, unsigned shift_x, const int32_t *y, unsigned shift_y, size_t count);
    /* out = (x >> shift) & mask. */
    void (*shorten)(int16_t *out, const int32_t *x, size_t count, unsigned shift, uint32_t mask);
    /* A bound of the magnitudes, at most twice the largest. */
    uint32_t (*magnitude)(const int32_t *x, size_t count);
} sotto_narrow_kernels;

extern const sotto_narrow_kernels sotto_narrow_kernels_ref;
#if defined(__x86_64__)
extern const sotto_narrow_kernels sotto_narrow_kernels_avx2;
extern const sotto_narrow_kernels sotto_narrow_kernels_avx512;
#endif

#endif
