/* Inside the ring module: the constants of a base conversion and the kernels that work with them. */
#ifndef SOTTO_RING_CONVERT_INTERNAL_H
#define SOTTO_RING_CONVERT_INTERNAL_H

#include "lib/cpu.h"
#include "ring/convert.h"

/* Fractions y/a are taken in units of 2^-47: with a of b bits and mu = floor(2^(47 + b) / a) < 2^48, f = floor(y mu /
 * 2^b) is short of 2^47 y/a by less than y/2^b + 1 < 2. A sum of k <= 16 stays below 2^51 and is short by less than 2k
 * units, so v is right or, where X is within k 2^-46 A of A/2, possibly one too small. Every tier computes this very f,
 * so that all give the same words. */
#define SOTTO_CONVERT_UNIT 47

typedef struct sotto_convert_source {
    sotto_modulus m;
    sotto_shoup factor; /* factor_in[i], unused for weights */
    uint64_t mu;
} sotto_convert_source;

typedef struct sotto_convert_target {
    sotto_modulus m;
    uint64_t term[SOTTO_RNS_MAX]; /* factor_out[j] A/a_i mod b_j */
    uint64_t minus;               /* -factor_out[j] A mod b_j */
} sotto_convert_target;

/* Contract: sotto_convert_run. All tiers give the same words. */
typedef struct sotto_convert_kernels {
    sotto_tier tier;   /* the CPU that it needs */
    unsigned bits_max; /* serves primes below 2^bits_max on both sides */
    size_t k_max;      /* and bases of at most so many primes on the first */
    void (*run)(const sotto_convert *c, uint64_t *out, size_t stride_out, const uint64_t *x, size_t stride_in,
                const uint64_t *addend, size_t count);
} sotto_convert_kernels;

struct sotto_convert {
    const sotto_convert_kernels *kernels;
    size_t k, l;
    int weights; /* the words are weights already: no factor_in */
    int narrow;  /* k products and an addend are below 2^(63 + bits - 1) of each target (convert_ref.c) */
    sotto_convert_source from[SOTTO_RNS_MAX];
    sotto_convert_target to[SOTTO_RNS_MAX];
};

/* What is added to words above half: out[j] = x[j] + (x[j] > half ? offset : 0) modulo 2^64, half < 2^63, x[j] < 2^63. */
typedef struct sotto_convert_offset {
    uint64_t half, offset;
} sotto_convert_offset;
void sotto_convert_lift_ref(uint64_t *out, const uint64_t *x, size_t count, const sotto_convert_offset *o);

extern const sotto_convert_kernels sotto_convert_kernels_ref;
#if defined(__x86_64__)
void sotto_convert_lift_ifma(uint64_t *out, const uint64_t *x, size_t count, const sotto_convert_offset *o);
extern const sotto_convert_kernels sotto_convert_kernels_ifma; /* to be called only on a CPU of its tier */
#endif

#endif
