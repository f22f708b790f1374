/* Inside nn/secure: the loops of a linear layer in the clear, one table per kind of processor. All compute the same. */
#ifndef SOTTO_NN_SECURE_APPLY_KERNEL_H
#define SOTTO_NN_SECURE_APPLY_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "lib/cpu.h"

#define SOTTO_APPLY_FILTERS 4u /* worked on together */
#define SOTTO_APPLY_LANES   16u /* positions come in multiples of it */

/* out[f * count + p] = sum over t < terms of w[f * terms + t] x[offset[t] + p], modulo the word, for f < filters (at most SOTTO_APPLY_FILTERS) and p < count. */
typedef struct sotto_apply_job {
    const int32_t *w;
    const size_t *offset;
    size_t terms, count;
    unsigned filters;
} sotto_apply_job;

typedef struct sotto_apply_kernels {
    sotto_tier tier; /* the CPU that it needs */
    void (*narrow)(const sotto_apply_job *j, uint32_t *out, const uint32_t *x);
    void (*wide)(const sotto_apply_job *j, uint64_t *out, const uint64_t *x);
} sotto_apply_kernels;

extern const sotto_apply_kernels sotto_apply_kernels_ref;
#if defined(__x86_64__)
extern const sotto_apply_kernels sotto_apply_kernels_avx2;
extern const sotto_apply_kernels sotto_apply_kernels_avx512;
#endif

#endif
