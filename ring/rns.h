/* Residue number system: integers modulo Q = q_0 q_1 ... q_{k-1}, distinct NTT primes, k <= 16. */
#ifndef SOTTO_RING_RNS_H
#define SOTTO_RING_RNS_H

#include <stddef.h>
#include <stdint.h>

#include <gmp.h>

#include "lib/err.h"
#include "ring/ntt.h"

#define SOTTO_RNS_MAX 16u

typedef struct sotto_rns sotto_rns;

/* A basis of k primes for length n. SOTTO_ERR_PARAMS for equal or unfit primes, SOTTO_ERR_MEMORY. Immutable, shareable
 * between threads. */
SOTTO_MUST_CHECK int sotto_rns_new(sotto_rns **out, uint32_t n, const uint64_t *primes, size_t k);
void sotto_rns_free(sotto_rns *b);
uint32_t sotto_rns_n(const sotto_rns *b);
size_t sotto_rns_count(const sotto_rns *b);
const sotto_ntt *sotto_rns_ntt(const sotto_rns *b, size_t i);
const sotto_modulus *sotto_rns_modulus(const sotto_rns *b, size_t i);
/* log2(Q), rounded up to whole bits: the figure for the security table. */
unsigned sotto_rns_bits(const sotto_rns *b);
/* log2(Q) as a real number. */
double sotto_rns_log2(const sotto_rns *b);

/* Q as a GMP integer; `out` is initialised by the caller. */
void sotto_rns_product(const sotto_rns *b, mpz_t out);
/* x mod q_i for all i; x may be negative. Variable time (GMP): tests and set-up only. */
void sotto_rns_decompose_var(const sotto_rns *b, uint64_t *residues, const mpz_t x);
/* The x in [0, Q) with these residues. Variable time (GMP): tests, noise measurement and set-up only. */
void sotto_rns_compose_var(const sotto_rns *b, mpz_t x, const uint64_t *residues);

/* round(x * 2^bits / Q) mod 2^bits for each of `count` values x given by residues, 1 <= bits <= 63: the scale-and-round
 * of decryption to a power of two and of the switch to a power-of-two modulus. `residues` is limb-major with `stride`
 * words between limbs: residue i of value j is residues[i * stride + j], canonical. Constant time.
 *
 * With x = sum_i y_i (Q/q_i) mod Q, y_i = [x (Q/q_i)^-1]_{q_i}, the result is round(sum_i y_i 2^bits / q_i) mod 2^bits
 * (Halevi, Polyakov, Shoup, eprint 2018/117, section 2.3), with 1/q_i in fixed point. There are no ties, Q being odd.
 * The result is exact unless x/Q lies less than k 2^-127 above a step, where it may be the value below that step; while
 * k Q < 2^(126 - bits) no x does. */
void sotto_rns_scale_round_pow2(const sotto_rns *b, uint64_t *out, const uint64_t *residues, size_t stride, size_t count,
                                unsigned bits);

/* round(x * t / Q) mod t for any modulus 2 <= t <= 2^60, exact in the same sense. Constant time in x. */
void sotto_rns_scale_round(const sotto_rns *b, uint64_t *out, const uint64_t *residues, size_t stride, size_t count,
                           uint64_t t);

/* Residues of round(Q * m / t), halves up, for m in [0, t), 2 <= t <= 2^60: the scaling of a BFV message. Exact. Constant
 * time in m; layout as above; m may equal residues. */
void sotto_rns_scale_up(const sotto_rns *b, uint64_t *residues, size_t stride, const uint64_t *m, size_t count,
                        uint64_t t);

/* Drops the last prime: the first k - 1 limbs of out become the residues of round(x / q_{k-1}), x in coefficient form;
 * limb k - 1 is not written. Layout as above, k >= 2. Exact. Constant time. out may equal residues. */
void sotto_rns_drop_last(const sotto_rns *b, uint64_t *out, const uint64_t *residues, size_t stride, size_t count);

#endif
