/* The tiles of conv_kernel.h, compiled once for each kind of processor by the file that defines CONV_KERNELS, CONV_TIER, CONV_LANES and CONV_REGISTERS
 * (vector registers that the processor has). A tile is written once for any size; each size is a function of its own, in which the loops over the tile
 * are unrolled and its sums are registers. A sum takes part in one addition at a time, so that a tile wants as many sums as additions start within the
 * latency of one (8 on current x86), and all that fit into registers to make loads few. */
#include <string.h>

#include "nn/train/conv_kernel.h"

typedef float vec __attribute__((vector_size(4 * CONV_LANES), aligned(4), may_alias));

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS vec load(const float *p)
{
    return *(const vec *)p;
}

ALWAYS void store(float *p, vec v, size_t valid)
{
    if (valid >= CONV_LANES) {
        *(vec *)p = v;
    } else {
        memcpy(p, &v, valid * sizeof(float));
    }
}

ALWAYS vec spread(const float *p, int depth)
{
    if (depth)
        return load(p);
    return *p - (vec){0};
}

/* Lanes of vector v of those that are valid in all. */
ALWAYS size_t valid_in(size_t valid, size_t v)
{
    return valid > v * CONV_LANES ? valid - v * CONV_LANES : 0;
}

/* Loops over a tile, which must disappear: sums that are indexed by a variable are memory. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* Pixels are reached by one pointer for four of them and steps from it. The compiler is not to know how the pointers are related: it would make an
 * offset for each pixel instead; these do not fit into registers, and a tile of one vector has no load to spare. */
enum { STRIDE = 4, POINTERS = SOTTO_CONV_TILE_MAX / STRIDE };

ALWAYS void point(const float *at[POINTERS], size_t pixels, const float *x, size_t step)
{
    UNROLL for (size_t j = 0; j * STRIDE < pixels; j++) {
        at[j] = x + j * STRIDE * step;
        __asm__("" : "+r"(at[j]));
    }
}

ALWAYS void tile(size_t pixels, size_t vectors, int depth, const sotto_conv_walk *walk, float *y, const float *x, const float *w, const float *bias,
                 size_t valid)
{
    vec sum[SOTTO_CONV_TILE_MAX][2] = {0};
    const size_t step = walk->pixel_in;

    UNROLL for (size_t p = 0; p < pixels; p++) {
        UNROLL for (size_t v = 0; v < vectors; v++) {
            sum[p][v] = load(bias + v * CONV_LANES);
        }
    }
    for (size_t r = 0; r < walk->rows; r++) {
        for (size_t c = 0; c < walk->cols; c++) {
            const float *at[POINTERS];
            point(at, pixels, x + r * walk->row_step + c * walk->col_step, step);
            for (size_t i = 0; i < walk->run; i++, w += vectors * CONV_LANES) {
                vec weight[2];
                UNROLL for (size_t v = 0; v < vectors; v++) {
                    weight[v] = load(w + v * CONV_LANES);
                }
                UNROLL for (size_t p = 0; p < pixels; p++) {
                    const vec value = spread(at[p / STRIDE] + p % STRIDE * step, depth);
                    UNROLL for (size_t v = 0; v < vectors; v++) {
                        sum[p][v] += value * weight[v];
                    }
                }
                UNROLL for (size_t j = 0; j * STRIDE < pixels; j++) {
                    at[j]++;
                }
            }
        }
    }
    UNROLL for (size_t p = 0; p < pixels; p++) {
        UNROLL for (size_t v = 0; v < vectors; v++) {
            store(y + p * walk->pixel_out + v * CONV_LANES, sum[p][v], valid_in(valid, v));
        }
    }
}

ALWAYS void grad(size_t elements, size_t vectors, int depth, const sotto_conv_pair *pair, float *dw, const float *x, const float *dy, size_t valid)
{
    vec sum[SOTTO_CONV_TILE_MAX][2] = {0};
    const size_t element = depth ? pair->element : 1;

    UNROLL for (size_t e = 0; e < elements; e++) {
        UNROLL for (size_t v = 0; v < vectors; v++) {
            sum[e][v] = load(dw + (e * vectors + v) * CONV_LANES);
        }
    }
    for (size_t r = 0; r < pair->rows; r++) {
        const float *from = x + r * pair->x_row, *to = dy + r * pair->dy_row;
        for (size_t c = 0; c < pair->cols; c++, from += pair->x_pixel, to += pair->dy_pixel) {
            vec slope[2];
            UNROLL for (size_t v = 0; v < vectors; v++) {
                slope[v] = load(to + v * CONV_LANES);
            }
            UNROLL for (size_t e = 0; e < elements; e++) {
                const vec value = spread(from + e * element, depth);
                UNROLL for (size_t v = 0; v < vectors; v++) {
                    sum[e][v] += value * slope[v];
                }
            }
        }
    }
    UNROLL for (size_t e = 0; e < elements; e++) {
        UNROLL for (size_t v = 0; v < vectors; v++) {
            store(dw + (e * vectors + v) * CONV_LANES, sum[e][v], valid_in(valid, v));
        }
    }
}

/* Sums of a tile, the vectors that they are multiplied with and one more fit into the registers. */
#if CONV_REGISTERS >= 32
#define SIZES_ONE(F)   F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12) F(13) F(14) F(15) F(16)
#define SIZES_TWO(F)   F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12) F(13) F(14)
enum { MAX_ONE = 16, MAX_TWO = 14 };
#else
#define SIZES_ONE(F)   F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12)
#define SIZES_TWO(F)   F(1) F(2) F(3) F(4) F(5) F(6)
enum { MAX_ONE = 12, MAX_TWO = 6 };
#endif
#define SIZES_DEPTH(F) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8)
enum { MAX_DEPTH = 8 };

#define DEFINE(form, n, vectors, depth)                                                                                                \
    static void tile_##form##_##n(const sotto_conv_walk *walk, float *y, const float *x, const float *w, const float *bias, size_t valid) \
    {                                                                                                                                  \
        tile(n, vectors, depth, walk, y, x, w, bias, valid);                                                                           \
    }                                                                                                                                  \
    static void grad_##form##_##n(const sotto_conv_pair *pair, float *dw, const float *x, const float *dy, size_t valid)               \
    {                                                                                                                                  \
        grad(n, vectors, depth, pair, dw, x, dy, valid);                                                                               \
    }
#define DEFINE_ONE(n)   DEFINE(one, n, 1, 0)
#define DEFINE_TWO(n)   DEFINE(two, n, 2, 0)
#define DEFINE_DEPTH(n) DEFINE(depth, n, 1, 1)
SIZES_ONE(DEFINE_ONE)
SIZES_TWO(DEFINE_TWO)
SIZES_DEPTH(DEFINE_DEPTH)

#define TILE_ONE(n)   tile_one_##n,
#define TILE_TWO(n)   tile_two_##n,
#define TILE_DEPTH(n) tile_depth_##n,
#define GRAD_ONE(n)   grad_one_##n,
#define GRAD_TWO(n)   grad_two_##n,
#define GRAD_DEPTH(n) grad_depth_##n,

const sotto_conv_kernels CONV_KERNELS = {
    .tier = CONV_TIER,
    .lanes = CONV_LANES,
    .max = {MAX_ONE, MAX_TWO, MAX_DEPTH},
    .tile = {{SIZES_ONE(TILE_ONE)}, {SIZES_TWO(TILE_TWO)}, {SIZES_DEPTH(TILE_DEPTH)}},
    .grad = {{SIZES_ONE(GRAD_ONE)}, {SIZES_TWO(GRAD_TWO)}, {SIZES_DEPTH(GRAD_DEPTH)}},
};
