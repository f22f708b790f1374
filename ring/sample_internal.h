/* Inside the ring module: sampling as functions of uniform 64-bit words, one word a candidate or a sample, so that tests
 * can look at every step of the tables.
 *
 * A tier is one sotto_sample_kernels. All give the same results; they work in place, on the words that the generator has
 * left in the output, and take any count.
 */
#ifndef SOTTO_RING_SAMPLE_INTERNAL_H
#define SOTTO_RING_SAMPLE_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "lib/cpu.h"
#include "ring/sample.h"

typedef struct sotto_sample_kernels {
    const char *name;
    sotto_tier tier; /* the CPU that it needs */
    /* Cuts the words to `bits` bits, 1 <= bits <= 61, and moves those below q, 2^(bits-1) < q < 2^bits, to the front in
     * their order; the words after them are arbitrary. Returns how many there are. Words and result are public. */
    size_t (*accept_var)(uint64_t *x, size_t count, unsigned bits, uint64_t q);
    /* -1, 0, 1 for the lower, middle and upper third of the words. Constant time. */
    void (*ternary)(int64_t *x, size_t count);
    /* The upper 63 bits choose the magnitude, growing with them; the lowest bit is the sign. Constant time. */
    void (*error)(int64_t *x, size_t count);
} sotto_sample_kernels;

/* 2^63 P(|X| <= j) of the error distribution, rounded; an error is above j in magnitude when its 63 bits are not below. */
extern const uint64_t sotto_error_cumulative[SOTTO_ERROR_BOUND];

extern const sotto_sample_kernels sotto_sample_kernels_ref;
/* The vector tiers; to be called only on a CPU of their tier. */
#if defined(__x86_64__)
extern const sotto_sample_kernels sotto_sample_kernels_avx2;
extern const sotto_sample_kernels sotto_sample_kernels_avx512;
#endif

#endif
