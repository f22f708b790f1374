/* The loops of narrow_kernel.h, compiled once for each kind of processor by the file that defines NARROW_KERNELS, NARROW_TIER and, for products of pairs:
 * VEC, a vector of LANES 32-bit integers (LANES divides 16); LOAD and STORE; PAIR, one pair in all lanes; DOT, acc + the sum of the products of each pair; TILE,
 * output pixels whose sums stay in registers. The compiler makes vectors of the other loops. */
#include <string.h>

#include "nn/plain/narrow_kernel.h"

#define VECS (SOTTO_NARROW_BLOCK / LANES)

/* P pixels of one block of output channels. A row of a window is contiguous in x, its pairs go along. */
static inline __attribute__((always_inline)) void tile(const unsigned P, const sotto_narrow_conv *c, int32_t *out, const int16_t *x, const int16_t *w,
                                                       const int32_t *bias)
{
    const size_t step = c->stride_w * c->pixel, width = c->kernel_w * c->pixel;
    VEC acc[TILE][VECS];
    for (unsigned p = 0; p < P; p++) {
        for (unsigned v = 0; v < VECS; v++) {
            acc[p][v] = LOAD(bias + v * LANES);
        }
    }
    for (uint32_t i = 0; i < c->kernel_h; i++) {
        const int16_t *line = x + i * c->row * c->pixel;
        for (size_t q = 0; q < width; q += 2, w += 2 * SOTTO_NARROW_BLOCK) {
            VEC weight[VECS];
            for (unsigned v = 0; v < VECS; v++) {
                weight[v] = LOAD(w + 2 * v * LANES);
            }
            for (unsigned p = 0; p < P; p++) {
                const VEC both = PAIR(line + p * step + q);
                for (unsigned v = 0; v < VECS; v++) {
                    acc[p][v] = DOT(acc[p][v], both, weight[v]);
                }
            }
        }
    }
    for (unsigned p = 0; p < P; p++) {
        for (unsigned v = 0; v < VECS; v++) {
            STORE(out + p * c->lanes + v * LANES, acc[p][v]);
        }
    }
}

static void conv(const sotto_narrow_conv *c, int32_t *out, const int16_t *x)
{
    const size_t block = (size_t)c->kernel_h * c->kernel_w * c->pixel * SOTTO_NARROW_BLOCK;
    for (size_t b = 0; b < c->lanes / SOTTO_NARROW_BLOCK; b++) {
        const int16_t *w = c->weights + b * block;
        const int32_t *bias = c->bias + b * SOTTO_NARROW_BLOCK;
        for (uint32_t y = 0; y < c->out_h; y++) {
            const int16_t *line = x + (size_t)y * c->stride_h * c->row * c->pixel;
            int32_t *to = out + (size_t)y * c->out_w * c->lanes + b * SOTTO_NARROW_BLOCK;
            uint32_t z = 0;
            for (; z + TILE <= c->out_w; z += TILE) {
                tile(TILE, c, to + z * c->lanes, line + (size_t)z * c->stride_w * c->pixel, w, bias);
            }
            for (; z < c->out_w; z++) {
                tile(1, c, to + z * c->lanes, line + (size_t)z * c->stride_w * c->pixel, w, bias);
            }
        }
    }
}

static void depthwise(const sotto_narrow_conv *c, int32_t *out, const int16_t *x)
{
    for (uint32_t y = 0; y < c->out_h; y++) {
        for (uint32_t z = 0; z < c->out_w; z++, out += c->lanes) {
            const int16_t *from = x + ((size_t)y * c->stride_h * c->row + (size_t)z * c->stride_w) * c->pixel, *w = c->weights;
            memcpy(out, c->bias, c->lanes * sizeof *out);
            for (uint32_t i = 0; i < c->kernel_h; i++) {
                for (uint32_t j = 0; j < c->kernel_w; j++, w += c->lanes) {
                    const int16_t *px = from + (i * c->row + j) * c->pixel;
                    for (size_t l = 0; l < c->lanes; l++) {
                        out[l] = (int32_t)((uint32_t)out[l] + (uint32_t)((int32_t)px[l] * w[l]));
                    }
                }
            }
        }
    }
}

static inline int32_t reduce(int32_t y, unsigned ring)
{
    return (int32_t)((uint32_t)y << ring) >> ring;
}

static uint64_t unit(const sotto_narrow_unit *u, int32_t *out, const int32_t *x, size_t pixels)
{
    const unsigned ring = u->ring, f = u->f;
    const int32_t half = f > 0 ? 1 << (f - 1) : 0, least = u->sign ? 0 : INT32_MIN;
    uint32_t outside = 0;
    for (size_t p = 0; p < pixels; p++, x += u->lanes, out += u->lanes) {
        for (size_t i = 0; i < u->lanes; i++) {
            const int32_t y = reduce(x[i], ring);
            outside += (x[i] < u->low[i]) | (x[i] > u->high[i]);
            out[i] = ((y > least ? y : least) + half) >> f; /* without a sign |y| < 2^30 is no INT32_MIN */
        }
    }
    return outside;
}

static uint64_t clip(const sotto_narrow_unit *u, const int32_t *bound, int32_t *out, const int32_t *x, size_t pixels)
{
    const unsigned ring = u->ring, f = u->f;
    const int32_t half = f > 0 ? 1 << (f - 1) : 0;
    uint32_t outside = 0;
    for (size_t p = 0; p < pixels; p++, x += u->lanes, out += u->lanes) {
        for (size_t i = 0; i < u->lanes; i++) {
            const int32_t y = reduce(x[i], ring), over = x[i] - bound[i], b = -(y >= 0), b2 = -(reduce(over, ring) >= 0);
            outside += (x[i] < u->low[i]) | (x[i] > u->high[i]) | (over < u->low_clip[i]) | (over > u->high_clip[i]);
            out[i] = (((y + half) >> f) & (b ^ b2)) + ((bound[i] >> f) & b2);
        }
    }
    return outside;
}

static uint64_t max(const sotto_narrow_unit *u, int32_t *out, const int32_t *x, const int32_t *y, size_t pixels)
{
    const unsigned ring = u->ring;
    uint32_t outside = 0;
    for (size_t p = 0; p < pixels; p++, x += u->lanes, y += u->lanes, out += u->lanes) {
        for (size_t i = 0; i < u->lanes; i++) {
            const int32_t over = x[i] - y[i], gain = reduce(over, ring);
            outside += (over < u->low[i]) | (over > u->high[i]);
            out[i] = y[i] + (gain > 0 ? gain : 0);
        }
    }
    return outside;
}

static void add(int32_t *out, const int32_t *x, unsigned shift_x, const int32_t *y, unsigned shift_y, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = (int32_t)(((uint32_t)x[i] << shift_x) + ((uint32_t)y[i] << shift_y));
    }
}

static void shorten(int16_t *out, const int32_t *x, size_t count, unsigned shift, uint32_t mask)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = (int16_t)((uint32_t)(x[i] >> shift) & mask);
    }
}

static uint32_t magnitude(const int32_t *x, size_t count)
{
    uint32_t most = 0;
    for (size_t i = 0; i < count; i++) {
        most |= (uint32_t)(x[i] ^ (x[i] >> 31));
    }
    return most + 1; /* of -2^n as well */
}

const sotto_narrow_kernels NARROW_KERNELS = {NARROW_TIER, conv, depthwise, unit, clip, max, add, shorten, magnitude};
