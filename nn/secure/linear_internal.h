/* Inside the linear layers: where things lie. */
#ifndef SOTTO_NN_SECURE_LINEAR_INTERNAL_H
#define SOTTO_NN_SECURE_LINEAR_INTERNAL_H

#include "nn/secure/linear.h"

/* Where an answer's outputs lie: filters [m0, m0 + filters) x rows [y0, y0 + rows) x cols [x0, x0 + cols). */
typedef struct sotto_linear_box {
    uint32_t m0, filters, y0, rows, x0, cols;
    uint32_t ty, tx, block;
} sotto_linear_box;

/* A plane is one phase of a channel: its padded pixels (row, col) with row = a mod stride_h, col = b mod stride_w. */
typedef struct sotto_linear_plane {
    uint32_t channel, a, b;
} sotto_linear_plane;

static inline sotto_linear_plane sotto_linear_plane_of(const sotto_linear_plan *p, uint32_t plane)
{
    const uint32_t phase = plane % (p->phases_h * p->phases_w);
    return (sotto_linear_plane){plane / (p->phases_h * p->phases_w), phase / p->phases_w, phase % p->phases_w};
}

static inline uint32_t sotto_linear_min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

sotto_linear_box sotto_linear_box_of(const sotto_linear_plan *p, size_t answer);

static inline size_t sotto_linear_box_words(sotto_linear_box b)
{
    return (size_t)b.filters * b.rows * b.cols;
}

/* Coefficient of output (m, y, x), all relative to the tile. */
uint32_t sotto_linear_coefficient(const sotto_linear_plan *p, uint32_t m, uint32_t y, uint32_t x);
/* The input blocks that an output block needs: *count of them from the returned one on. */
uint32_t sotto_linear_first_block(const sotto_linear_plan *p, uint32_t out_block, uint32_t *count);
/* Byte offset of each answer among all, and behind them the sum; offset may be NULL, where the sum alone is wanted. */
size_t sotto_linear_answer_offsets(const sotto_linear_plan *p, const sotto_bfv_params *bfv, size_t *offset);

#endif
