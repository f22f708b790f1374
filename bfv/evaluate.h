/* Operations on ciphertexts. Both operands are in the same form unless a line says otherwise; SOTTO_ERR_ARG if not.
 * None branches on coefficients: a plain product by zero takes the same path as any other. */
#ifndef SOTTO_BFV_EVALUATE_H
#define SOTTO_BFV_EVALUATE_H

#include "bfv/encode.h"
#include "bfv/encrypt.h"

void sotto_bfv_to_ntt(sotto_bfv_ct *ct, const sotto_bfv_params *p);
void sotto_bfv_to_coeff(sotto_bfv_ct *ct, const sotto_bfv_params *p);

/* x += y, x -= y, x = -x. */
SOTTO_MUST_CHECK int sotto_bfv_add(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_ct *y);
SOTTO_MUST_CHECK int sotto_bfv_sub(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_ct *y);
void sotto_bfv_neg(sotto_bfv_ct *x, const sotto_bfv_params *p);
/* x += plaintext m (n words in [0, t), scaled by Q/t inside); x in coefficient or NTT form. */
SOTTO_MUST_CHECK int sotto_bfv_add_plain(sotto_bfv_ct *x, const sotto_bfv_params *p, const uint64_t *m);
SOTTO_MUST_CHECK int sotto_bfv_sub_plain(sotto_bfv_ct *x, const sotto_bfv_params *p, const uint64_t *m);
/* x *= w; x in NTT form. */
SOTTO_MUST_CHECK int sotto_bfv_mul_plain(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_plain *w);
/* acc += x * w, all in NTT form. */
SOTTO_MUST_CHECK int sotto_bfv_mac_plain(sotto_bfv_ct *acc, const sotto_bfv_params *p, const sotto_bfv_ct *x,
                                         const sotto_bfv_plain *w);
/* out = sum of x[k] * w[k] over k < terms, all in NTT form, out none of x: the inner loop of a linear layer, which reduces
 * once a sum and not once a term. SOTTO_ERR_ARG for another form, SOTTO_ERR_MEMORY; then out is untouched. */
SOTTO_MUST_CHECK int sotto_bfv_dot_plain(sotto_bfv_ct *out, const sotto_bfv_params *p, const sotto_bfv_ct *const *x,
                                         const sotto_bfv_plain *const *w, size_t terms);
/* Drops the last prime: `out` under `smaller` (the same n and t, the first k - 1 primes of p) encrypts the same
 * plaintext as x (coefficient form) under p. SOTTO_ERR_ARG when the sets do not fit. */
SOTTO_MUST_CHECK int sotto_bfv_mod_switch(sotto_bfv_ct *out, const sotto_bfv_params *smaller, const sotto_bfv_ct *x,
                                          const sotto_bfv_params *p);

#endif
