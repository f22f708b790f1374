/* Polynomials of Z_Q[X]/(X^n + 1) in RNS, as plain arrays of k * n words, limb-major: coefficient j modulo q_i is
 * x[i * n + j]. The caller owns the memory and knows the form (coefficient or NTT). Canonical residues in and out; out
 * may equal any input unless said otherwise. Constant time. */
#ifndef SOTTO_RING_POLY_H
#define SOTTO_RING_POLY_H

#include <stdint.h>

#include "lib/err.h"
#include "ring/rns.h"

/* k * n words, zeroed; NULL when out of memory. Release with sotto_free or, for a secret,
 * sotto_free_secret(p, sotto_poly_words(b), 8). */
uint64_t *sotto_poly_new(const sotto_rns *b);
size_t sotto_poly_words(const sotto_rns *b);

void sotto_poly_add(const sotto_rns *b, uint64_t *out, const uint64_t *x, const uint64_t *y);
void sotto_poly_sub(const sotto_rns *b, uint64_t *out, const uint64_t *x, const uint64_t *y);
void sotto_poly_neg(const sotto_rns *b, uint64_t *out, const uint64_t *x);
/* Pointwise product of two polynomials in NTT form. */
void sotto_poly_mul_ntt(const sotto_rns *b, uint64_t *out, const uint64_t *x, const uint64_t *y);
/* acc += x * y, all in NTT form; acc equals neither x nor y. */
void sotto_poly_mac_ntt(const sotto_rns *b, uint64_t *acc, const uint64_t *x, const uint64_t *y);
void sotto_poly_forward(const sotto_rns *b, uint64_t *x);
void sotto_poly_inverse(const sotto_rns *b, uint64_t *x);
/* Residues of n signed coefficients, |c| < 2^62, in coefficient form. */
void sotto_poly_from_signed(const sotto_rns *b, uint64_t *out, const int64_t *coeff);
/* out = x + such coefficients. */
void sotto_poly_add_signed(const sotto_rns *b, uint64_t *out, const uint64_t *x, const int64_t *coeff);

#endif
