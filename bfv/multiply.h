/* Products of ciphertexts. Needs parameters with a special prime.
 *
 * The product of phases is scaled by t/Q in the way of Kim, Polyakov, Zucca, eprint 2021/204 ("HPSPOVERQ"),
 * and the part that belongs to s^2 is switched to s at once (relinearisation). Exact but for roundings: no floating
 * point, the same words on every machine and tier. */
#ifndef SOTTO_BFV_MULTIPLY_H
#define SOTTO_BFV_MULTIPLY_H

#include "bfv/keyswitch.h"

/* The key from s^2 to s. Errors and timing: sotto_bfv_switch_key_new. */
SOTTO_MUST_CHECK int sotto_bfv_relin_key_new(sotto_bfv_switch_key *key, const sotto_bfv_params *p,
                                             const sotto_bfv_secret_key *sk, const sotto_rng *rng);

/* x *= y: the plaintext becomes the product in Z[X]/(X^n + 1) modulo t, slot by slot for batched ones. Operands in any
 * form, each in its own; x leaves in NTT form. y may be x. SOTTO_ERR_ARG, SOTTO_ERR_MEMORY; x is untouched then. Constant
 * time. */
SOTTO_MUST_CHECK int sotto_bfv_mul(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_ct *y,
                                   const sotto_bfv_switch_key *relin);
/* x *= x, with fewer transforms and the same result as sotto_bfv_mul(x, p, x, relin). */
SOTTO_MUST_CHECK int sotto_bfv_square(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_switch_key *relin);

#endif
