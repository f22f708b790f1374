/* Inside nn/train: the register tiles under conv.h, one table per kind of processor. Steps are in floats, L is the table's `lanes`. */
#ifndef SOTTO_NN_TRAIN_CONV_KERNEL_H
#define SOTTO_NN_TRAIN_CONV_KERNEL_H

#include <stddef.h>

#include "lib/cpu.h"

/* The way of an output value through the source: rows x cols places, and at each a run of `run` neighbouring floats. */
typedef struct sotto_conv_walk {
    size_t rows, row_step, cols, col_step, run;
    size_t pixel_in, pixel_out; /* between neighbouring pixels of the tile, in the source and in the destination */
} sotto_conv_walk;

/* For each pixel p of the tile and lane l < valid, at most vectors * L:
 * y[p * pixel_out + l] = bias[l] + sum over (r, c, i) of w[((r * cols + c) * run + i) * vectors * L + l]
 *                                                        * x[p * pixel_in + r * row_step + c * col_step + i].
 * w and bias are read in whole vectors. */
typedef void sotto_conv_tile(const sotto_conv_walk *walk, float *y, const float *x, const float *w, const float *bias, size_t valid);

/* Two images that are walked together: rows x cols pixels. */
typedef struct sotto_conv_pair {
    size_t rows, cols;
    size_t x_row, x_pixel, dy_row, dy_pixel;
    size_t element; /* between neighbouring elements of the tile in x; 1 but for depthwise tiles */
} sotto_conv_pair;

/* For each element e of the tile and lane l < valid: dw[e * vectors * L + l] += sum over pixels (r, c) of x[r * x_row + c * x_pixel + e * element] *
 * dy[r * dy_row + c * dy_pixel + l]. dy is read in whole vectors. */
typedef void sotto_conv_grad(const sotto_conv_pair *pair, float *dw, const float *x, const float *dy, size_t valid);

/* Depthwise tiles take lane l of x where the others take one float for all lanes: x is read in whole vectors, and vectors is 1. */
enum { SOTTO_CONV_ONE, SOTTO_CONV_TWO, SOTTO_CONV_DEPTH, SOTTO_CONV_FORMS }; /* vectors == 1, vectors == 2, depthwise */
enum { SOTTO_CONV_TILE_MAX = 16 };

typedef struct sotto_conv_kernels {
    sotto_tier tier; /* the CPU that it needs */
    unsigned lanes;
    unsigned max[SOTTO_CONV_FORMS]; /* pixels or elements of the largest tile; tile[form][n - 1] has n */
    sotto_conv_tile *tile[SOTTO_CONV_FORMS][SOTTO_CONV_TILE_MAX];
    sotto_conv_grad *grad[SOTTO_CONV_FORMS][SOTTO_CONV_TILE_MAX];
} sotto_conv_kernels;

extern const sotto_conv_kernels sotto_conv_kernels_ref;
#if defined(__x86_64__)
extern const sotto_conv_kernels sotto_conv_kernels_avx2;
extern const sotto_conv_kernels sotto_conv_kernels_avx512;
#endif

#endif
