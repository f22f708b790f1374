/* Inside the ring module: what a basis precomputes, and the kernels over whole vectors of residues.
 *
 * A tier is one sotto_rns_kernels; portable is the reference, and every tier gives the same words, except where a rounding is
 * documented as inexact next to a step (ring/rns.h): there either neighbour may come out. */
#ifndef SOTTO_RING_RNS_INTERNAL_H
#define SOTTO_RING_RNS_INTERNAL_H

#include "lib/cpu.h"
#include "ring/rns.h"

/* Contracts: the functions of the same names in ring/rns.h and ring/poly.h, those over one limb for one modulus. */
typedef struct sotto_rns_kernels {
    sotto_tier tier;   /* the CPU that it needs */
    unsigned bits_max; /* serves bases of primes q < 2^bits_max */
    uint32_t n_min;    /* and lengths n >= n_min */
    void (*add)(const sotto_modulus *m, uint64_t *out, const uint64_t *x, const uint64_t *y, size_t count);
    void (*sub)(const sotto_modulus *m, uint64_t *out, const uint64_t *x, const uint64_t *y, size_t count);
    void (*neg)(const sotto_modulus *m, uint64_t *out, const uint64_t *x, size_t count);
    void (*from_signed)(const sotto_modulus *m, uint64_t *out, const int64_t *coeff, size_t count);
    void (*add_signed)(const sotto_modulus *m, uint64_t *out, const uint64_t *x, const int64_t *coeff, size_t count);
    void (*scale_round_pow2)(const sotto_rns *b, uint64_t *out, const uint64_t *residues, size_t stride, size_t count, unsigned bits);
    void (*scale_round)(const sotto_rns *b, uint64_t *out, const uint64_t *residues, size_t stride, size_t count, uint64_t t);
    void (*scale_up)(const sotto_rns *b, uint64_t *residues, size_t stride, const uint64_t *m, size_t count, uint64_t t);
    void (*drop_last)(const sotto_rns *b, uint64_t *out, const uint64_t *residues, size_t stride, size_t count);
} sotto_rns_kernels;

struct sotto_rns {
    uint32_t n;
    size_t k;
    const sotto_rns_kernels *kernels;
    sotto_ntt *ntt[SOTTO_RNS_MAX];
    sotto_modulus m[SOTTO_RNS_MAX];
    sotto_shoup hat_inverse[SOTTO_RNS_MAX];  /* (Q/q_i)^-1 mod q_i */
    sotto_shoup last_inverse[SOTTO_RNS_MAX]; /* q_{k-1}^-1 mod q_i, i < k - 1 */
    uint64_t reciprocal[SOTTO_RNS_MAX];      /* low word of floor(2^192 / q_i); the upper two are m[i].ratio */
    uint64_t words[SOTTO_RNS_MAX];           /* Q < 2^976, low word first */
    mpz_t product;
    mpz_t hat[SOTTO_RNS_MAX]; /* Q/q_i */
};

/* Q = A t + B with 0 <= B < t, A by its residues: round(Q m / t) = A m + floor((B m + floor(t/2)) / t) for any m and t, also
 * for a t that shares a factor with Q. */
typedef struct sotto_rns_scaling {
    sotto_shoup a[SOTTO_RNS_MAX];
    uint64_t b;
} sotto_rns_scaling;
sotto_rns_scaling sotto_rns_scaling_new(const sotto_rns *b, uint64_t t);

extern const sotto_rns_kernels sotto_rns_kernels_ref;
#if defined(__x86_64__)
extern const sotto_rns_kernels sotto_rns_kernels_ifma; /* to be called only on a CPU of its tier */
#endif

#endif
