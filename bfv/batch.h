/* Batching: n integers modulo a prime t = 1 mod 2n in one plaintext, with sums and products slot by slot (Smart,
 * Vercauteren, eprint 2011/133).
 *
 * The slots are a matrix of 2 rows and n/2 columns, row by row: slot i of row 0 is the plaintext's value at psi^(3^i), of
 * row 1 at psi^(-3^i), psi the smallest primitive 2n-th root of unity modulo t. bfv/galois.h rotates the rows and swaps
 * them. */
#ifndef SOTTO_BFV_BATCH_H
#define SOTTO_BFV_BATCH_H

#include "bfv/encode.h"
#include "bfv/encrypt.h"

typedef struct sotto_bfv_batch sotto_bfv_batch;

/* Tables for the n and t of p. SOTTO_ERR_PARAMS when t is no prime that is 1 modulo 2n; SOTTO_ERR_MEMORY. *out is NULL on
 * failure. Immutable: share it between threads. Does not keep p. */
SOTTO_MUST_CHECK int sotto_bfv_batch_new(sotto_bfv_batch **out, const sotto_bfv_params *p);
void sotto_bfv_batch_free(sotto_bfv_batch *b);
/* The largest prime below 2^bits that is 1 modulo 2n: a t for batching. SOTTO_ERR_PARAMS when there is none. */
SOTTO_MUST_CHECK int sotto_bfv_batch_modulus(uint64_t *t, uint32_t n, unsigned bits);

/* m: the plaintext (n words in [0, t), for bfv/encrypt.h) whose slot i holds x[i] modulo t, |x[i]| < 2^62; slots from
 * `count` on hold 0. SOTTO_ERR_ARG when count > n. Constant time in x. */
SOTTO_MUST_CHECK int sotto_bfv_batch_encode(uint64_t *m, const sotto_bfv_batch *b, const int64_t *x, size_t count);
/* The first `count` <= n slots of m, representatives in (-t/2, t/2). SOTTO_ERR_ARG for a longer count, SOTTO_ERR_MEMORY;
 * x is untouched then. Constant time in m, of which all words are below t. */
SOTTO_MUST_CHECK int sotto_bfv_batch_decode(int64_t *x, const sotto_bfv_batch *b, const uint64_t *m, size_t count);

/* ---- operations with plaintexts, batched or not: any n words m in [0, t), as factors taken about zero ------------------- */

/* A multiplicand for sotto_bfv_mul_plain and _mac_plain; release with sotto_bfv_plain_free. SOTTO_ERR_ARG,
 * SOTTO_ERR_MEMORY; out->ntt is NULL then. Zero is an ordinary value. Constant time in m. */
SOTTO_MUST_CHECK int sotto_bfv_plain_from(sotto_bfv_plain *out, const sotto_bfv_params *p, const uint64_t *m);
/* x *= m, once; x in either form keeps it. SOTTO_ERR_ARG, SOTTO_ERR_MEMORY; x is untouched then. Constant time in m. */
SOTTO_MUST_CHECK int sotto_bfv_mul_message(sotto_bfv_ct *x, const sotto_bfv_params *p, const uint64_t *m);

/* A plaintext prepared to be added many times: round(Q m / t) in both forms. Secret when m is. */
typedef struct sotto_bfv_addend {
    uint64_t *ntt, *coeff; /* k * n words each */
} sotto_bfv_addend;
SOTTO_MUST_CHECK int sotto_bfv_addend_new(sotto_bfv_addend *out, const sotto_bfv_params *p, const uint64_t *m);
void sotto_bfv_addend_free(sotto_bfv_addend *m, const sotto_bfv_params *p);
/* x += m, x -= m; x in either form keeps it. */
void sotto_bfv_add_addend(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_addend *m);
void sotto_bfv_sub_addend(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_addend *m);

#endif
