/* Inside the ring module: the tables of a transform and the kernels that work on them.
 *
 * A tier is one sotto_ntt_kernels. All keep the ranges below and give the same residues mod q, so that one may take over
 * from another at any point. q < 2^61, hence 8q fits a word: every butterfly has three bits of slack to spend.
 */
#ifndef SOTTO_RING_KERNELS_H
#define SOTTO_RING_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/cpu.h"
#include "ring/modulus.h"
#include "ring/ntt.h"

typedef struct sotto_ntt_kernels {
    const char *name;
    sotto_tier tier;   /* the CPU that it needs */
    unsigned bits_max; /* serves primes q < 2^bits_max */
    uint32_t n_min;    /* and lengths n >= n_min */
    /* Makes the tier's own tables, t->vector, from t->root and the like, in one allocation by sotto_calloc; NULL where the
     * portable tables do. SOTTO_ERR_MEMORY. */
    int (*prepare)(sotto_ntt *t);
    void (*forward)(const sotto_ntt *t, uint64_t *x);      /* [0, 4q) -> [0, q) */
    void (*forward_lazy)(const sotto_ntt *t, uint64_t *x); /* [0, 4q) -> [0, 4q) */
    void (*inverse)(const sotto_ntt *t, uint64_t *x);      /* [0, 2q) -> [0, q) */
    void (*mul)(const sotto_ntt *t, uint64_t *out, const uint64_t *a, const uint64_t *b); /* a, b [0, 4q) -> [0, q) */
    void (*mac)(const sotto_ntt *t, uint64_t *acc, const uint64_t *a, const uint64_t *b); /* acc [0, q), a, b [0, 4q) */
    /* out_i = sum over the terms of x_i[k] w[k], all in [0, q); contract: sotto_ntt_dot_pair. */
    void (*dot_pair)(const sotto_ntt *t, uint64_t *out0, uint64_t *out1, const uint64_t *const *x0,
                     const uint64_t *const *x1, const uint64_t *const *w, size_t terms);
} sotto_ntt_kernels;

/* psi is the smallest primitive 2n-th root of unity, bitrev reverses log2(n) bits. */
struct sotto_ntt {
    sotto_modulus m;
    uint32_t n;
    const sotto_ntt_kernels *kernels;
    sotto_shoup *root;          /* root[i] = psi^bitrev(i), i < n */
    sotto_shoup *root_inverse;  /* psi^-bitrev(i) */
    sotto_shoup n_inverse;      /* n^-1 */
    sotto_shoup n_inverse_root; /* n^-1 root_inverse[1]: the last inverse layer scales as it goes */
    uint64_t *vector;           /* what kernels->prepare made, aligned to 64 bytes */
};

extern const sotto_ntt_kernels sotto_ntt_kernels_ref;
/* The vector tiers; to be called only on a CPU of their tier. */
#if defined(__x86_64__)
extern const sotto_ntt_kernels sotto_ntt_kernels_avx2;
extern const sotto_ntt_kernels sotto_ntt_kernels_avx512;
extern const sotto_ntt_kernels sotto_ntt_kernels_avx512_double;
extern const sotto_ntt_kernels sotto_ntt_kernels_ifma;
extern const sotto_ntt_kernels sotto_ntt_kernels_ifma46; /* the same for q < 2^46, with fewer reductions */
#endif
/* The tiers of this build, fastest first, portable last. */
extern const sotto_ntt_kernels *const sotto_ntt_tiers[];
extern const size_t sotto_ntt_tier_count;

#endif
