/* Inside nn/train: the loops over values of the tape, one table per kind of processor. Values of an image stand one after another, channels of a pixel next to
 * each other; what there is one of per channel comes repeated to `period` floats, a multiple of the channels, and applies to value i as item i % period.
 * Pointers of a call do not overlap unless it is said. Sums are added to, not overwritten. */
#ifndef SOTTO_NN_TRAIN_TAPE_LOOPS_H
#define SOTTO_NN_TRAIN_TAPE_LOOPS_H

#include <stddef.h>

#include "lib/cpu.h"

typedef struct sotto_tape_loops {
    sotto_tier tier; /* the CPU that it needs */

    /* Batch norm and what follows it. y = factor x + offset (+ skip, unless NULL), then max(., 0) if relu. */
    void (*norm)(float *y, const float *x, const float *skip, const float *factor, const float *offset, int relu, size_t period, size_t words);
    /* sum += x - shift, square += (x - shift)^2. */
    void (*moments)(float *sum, float *square, const float *x, const float *shift, size_t period, size_t words);
    /* dy = 0 where y <= 0 (y NULL: nowhere), in place; sum += dy, product += dy (x - mean). */
    void (*norm_sums)(float *sum, float *product, float *dy, const float *y, const float *x, const float *mean, size_t period, size_t words);
    /* dx = a dy + b (x - mean) + c; coefficients: a, b, mean, c, period floats each. */
    void (*norm_back)(float *dx, const float *dy, const float *x, const float *coefficients, size_t period, size_t words);
    /* sum += x. */
    void (*sum)(float *sum, const float *x, size_t period, size_t words);

    /* min(max(x, 0), bound), and dx = dy where 0 < y < bound, else 0. bound: period floats. */
    void (*clip)(float *y, const float *x, const float *bound, size_t period, size_t words);
    void (*clip_back)(float *dx, const float *dy, const float *y, const float *bound, size_t period, size_t words);
    /* y += c0 + c1 x + c2 x^2 + c3 x^3; coefficients: c0 to c3, period floats each. */
    void (*polynomial)(float *y, const float *x, const float *coefficients, size_t period, size_t words);
    /* dx += dy (c1 + 2 c2 x + 3 c3 x^2); sums: += dy x^k for k = 0 to 3, period floats each. */
    void (*polynomial_back)(float *dx, float *sums, const float *dy, const float *x, const float *coefficients, size_t period, size_t words);

    /* The same for each value. y = max(x, 0); dx = dy where y > 0, else 0. */
    void (*relu)(float *y, const float *x, size_t words);
    void (*relu_back)(float *dx, const float *dy, const float *y, size_t words);
    /* y = x on[i] where x > 0, x off[i] elsewhere; dx = dy on[i] or dy off[i] likewise. */
    void (*gate)(float *y, const float *x, const float *on, const float *off, size_t words);
    void (*gate_back)(float *dx, const float *dy, const float *x, const float *on, const float *off, size_t words);
    /* y = a + b. */
    void (*add)(float *y, const float *a, const float *b, size_t words);
    /* y += scale x; x may be y. */
    void (*accumulate)(float *y, const float *x, float scale, size_t words);
    /* y = max(y, x). */
    void (*maximum)(float *y, const float *x, size_t words);
    /* Where x = y: dx += left, left = 0. */
    void (*claim)(float *dx, float *left, const float *x, const float *y, size_t words);
} sotto_tape_loops;

extern const sotto_tape_loops sotto_tape_loops_ref;
#if defined(__x86_64__)
extern const sotto_tape_loops sotto_tape_loops_avx2;
extern const sotto_tape_loops sotto_tape_loops_avx512;
#endif

#endif
