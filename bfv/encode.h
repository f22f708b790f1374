/* Plaintexts. Coefficient encoding: coefficient i of the plaintext is integer i modulo t. (Batching: bfv/batch.h.) */
#ifndef SOTTO_BFV_ENCODE_H
#define SOTTO_BFV_ENCODE_H

#include "bfv/params.h"

/* m[i] = x[i] mod t in [0, t); |x[i]| < 2^62. SOTTO_ERR_ARG when count > n; the rest is zero. Constant time in x. */
SOTTO_MUST_CHECK int sotto_bfv_encode(uint64_t *m, const sotto_bfv_params *p, const int64_t *x, size_t count);
/* Representatives in [-t/2, t/2). */
void sotto_bfv_decode(int64_t *x, const sotto_bfv_params *p, const uint64_t *m, size_t count);

/* A multiplicand prepared for many products: signed coefficients, not scaled by Q/t, in NTT form (k * n words).
 * Secret when the weights are. */
typedef struct sotto_bfv_plain {
    uint64_t *ntt;
} sotto_bfv_plain;

/* x: n signed coefficients, |x| < 2^30. All-zero x is an ordinary value. */
SOTTO_MUST_CHECK int sotto_bfv_plain_new(sotto_bfv_plain *out, const sotto_bfv_params *p, const int64_t *x);
void sotto_bfv_plain_free(sotto_bfv_plain *x, const sotto_bfv_params *p);

#endif
