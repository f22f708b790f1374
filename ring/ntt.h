/* Negacyclic number-theoretic transform: Z_q[X]/(X^n + 1) <-> Z_q^n for a prime q = 1 mod 2n.
 *
 * Coefficient form is in natural order. NTT form is in the bit-reversed order that
 * the forward transform leaves (value at psi^(2 bitrev(i) + 1) in slot i); pointwise operations
 * do not care and the inverse takes it back. Longa and Naehrig, "Speeding up the NTT for faster ideal
 * lattice-based cryptography", 2016, algorithms 1 and 2; lazy butterflies after Harvey, 2014.
 *
 * The work is done by a kernel table chosen once in sotto_ntt_new from lib/cpu; every tier keeps the ranges
 * stated here. Times depend on n and the tier alone.
 */
#ifndef SOTTO_RING_NTT_H
#define SOTTO_RING_NTT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "ring/modulus.h"

#define SOTTO_NTT_N_MIN 1024u
#define SOTTO_NTT_N_MAX 32768u

typedef struct sotto_ntt sotto_ntt;

/* Tables for (n, q), n a power of two: the library supports 1024 to 32768, smaller ones from 2 on serve tests.
 * SOTTO_ERR_PARAMS when n is none of these, q is no prime, q >= 2^61 or q != 1 mod 2n; SOTTO_ERR_MEMORY. *out is NULL on
 * failure. Immutable afterwards: share it between threads. */
SOTTO_MUST_CHECK int sotto_ntt_new(sotto_ntt **out, uint32_t n, uint64_t q);
void sotto_ntt_free(sotto_ntt *t);
const sotto_modulus *sotto_ntt_modulus(const sotto_ntt *t);
uint32_t sotto_ntt_n(const sotto_ntt *t);
/* Name of the kernels in use, e.g. "portable". */
const char *sotto_ntt_tier(const sotto_ntt *t);

/* In place, coefficient form -> NTT form. In: [0, 4q). Out: [0, q). */
void sotto_ntt_forward(const sotto_ntt *t, uint64_t *x);
/* In place, as above without the last reduction. In: [0, 4q). Out: [0, 4q). */
void sotto_ntt_forward_lazy(const sotto_ntt *t, uint64_t *x);
/* In place, NTT form -> coefficient form, scaled by 1/n. In: [0, 2q). Out: [0, q). */
void sotto_ntt_inverse(const sotto_ntt *t, uint64_t *x);

/* out[i] = a[i] * b[i] mod q. In: [0, 4q) (4q < 2^63). Out: [0, q). out may equal a or b. */
void sotto_ntt_mul(const sotto_ntt *t, uint64_t *out, const uint64_t *a, const uint64_t *b);
/* acc[i] = acc[i] + a[i] * b[i] mod q. acc in and out: [0, q); a, b: [0, 4q). acc may equal neither. */
void sotto_ntt_mac(const sotto_ntt *t, uint64_t *acc, const uint64_t *a, const uint64_t *b);
/* Two sums of products that share a factor, such as both parts of ciphertexts times weights: out0[i] = sum_k x0[k][i] w[k][i]
 * mod q, out1 likewise with x1, k < terms; zero for no terms. All in [0, q). Neither output equals any input. Products are
 * accumulated without reduction, tile by tile: a term costs three loads and no store. */
void sotto_ntt_dot_pair(const sotto_ntt *t, uint64_t *out0, uint64_t *out1, const uint64_t *const *x0,
                        const uint64_t *const *x1, const uint64_t *const *w, size_t terms);

/* The same sums over polynomials in pieces: word i of term k is at[k * term + i / G * group + i % G], G = SOTTO_NTT_GROUP. With term = G and group = terms * G all
 * terms lie side by side, and memory is read in one sweep; with group = G they are polynomials as everywhere else. n is a multiple of G. */
#define SOTTO_NTT_GROUP 32u
typedef struct sotto_ntt_terms {
    const uint64_t *at;
    size_t term, group;
} sotto_ntt_terms;
void sotto_ntt_dot_pair_grouped(const sotto_ntt *t, uint64_t *out0, uint64_t *out1, sotto_ntt_terms x0, sotto_ntt_terms x1, sotto_ntt_terms w, size_t terms);

#endif
