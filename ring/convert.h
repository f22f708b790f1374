/* Base conversion: from residues modulo a basis A = a_0 ... a_{k-1} to residues modulo another basis B = b_0 ... b_{l-1}.
 * Halevi, Polyakov, Shoup, eprint 2018/117, section 2.2, with the quotient in fixed point.
 *
 * An integer X modulo A has weights y_i = [X (A/a_i)^-1] mod a_i: X = sum_i y_i A/a_i - v A. Choosing v as the sum of the
 * fractions y_i / a_i, rounded, gives the X about zero. All products of residues by constants that a caller needs before or
 * after are folded into the constants of the conversion. */
#ifndef SOTTO_RING_CONVERT_H
#define SOTTO_RING_CONVERT_H

#include "ring/rns.h"

typedef struct sotto_convert sotto_convert;

/* Prepares the conversion that takes words x_i in [0, a_i) to
 *
 *     factor_out[j] * X mod b_j,   X = sum_i y_i A/a_i modulo A, y_i = factor_in[i] x_i mod a_i,
 *
 * X about zero: -A/2 < X < A (1/2 + k 2^-46), where of two candidates either may come out. factor_in (k words, public)
 * are the inverses (A/a_i)^-1 (sotto_convert_weights), times what X is to be multiplied by; NULL when the words are weights
 * already. factor_out (l words, public): NULL for 1. A and B may share primes. SOTTO_ERR_ARG when the lengths n differ or a
 * factor is not below its prime; SOTTO_ERR_MEMORY. *out is NULL on failure. Immutable afterwards: share it between threads.
 * Does not keep the bases. */
SOTTO_MUST_CHECK int sotto_convert_new(sotto_convert **out, const sotto_rns *from, const sotto_rns *to,
                                       const uint64_t *factor_in, const uint64_t *factor_out);
void sotto_convert_free(sotto_convert *c);

/* Converts `count` values. x: limb-major, residue i of value j is x[i * stride_in + j], canonical. out likewise with
 * stride_out, l limbs, canonical. addend: NULL, or what is added to each result, canonical, in the layout of out, which
 * it may equal. out overlaps x nowhere. Constant time. */
void sotto_convert_run(const sotto_convert *c, uint64_t *out, size_t stride_out, const uint64_t *x, size_t stride_in,
                       const uint64_t *addend, size_t count);

/* w[i] = (A/a_i)^-1 mod a_i, k words. */
void sotto_convert_weights(const sotto_rns *b, uint64_t *w);
/* r[j] = A mod b_j, A the product of `of`: one word per prime of `modulo`. */
void sotto_convert_product(const sotto_rns *of, uint64_t *r, const sotto_rns *modulo);

/* The lift of one digit: out[j] = X mod q in [0, 4q) for the X in (-a/2, a/2) with X = x[j] mod a, x[j] in [0, a), both
 * moduli odd. Constant time; out may equal x. */
void sotto_convert_lift(uint64_t *out, const uint64_t *x, size_t count, const sotto_modulus *a, const sotto_modulus *q);

#endif
