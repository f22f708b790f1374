/* What the files of this module share; not part of the interface. */
#ifndef SOTTO_BFV_INTERNAL_H
#define SOTTO_BFV_INTERNAL_H

#include "bfv/encrypt.h"
#include "lib/ct.h"
#include "lib/prg.h"

/* SOTTO_ERR_ARG unless all `count` words of m are below t. Constant time in m; only the verdict is visible. */
SOTTO_MUST_CHECK int sotto_bfv_check_message(const sotto_bfv_params *p, const uint64_t *m, size_t count);
/* SOTTO_ERR_ARG when sk was not made for this ring's size. */
SOTTO_MUST_CHECK int sotto_bfv_check_key(const sotto_bfv_params *p, const sotto_bfv_secret_key *sk);

/* Zeroed key for p; then, once s is there, the transform of s. */
SOTTO_MUST_CHECK int sotto_bfv_secret_key_alloc(sotto_bfv_secret_key *sk, const sotto_bfv_params *p);
void sotto_bfv_secret_key_finish(sotto_bfv_secret_key *sk, const sotto_bfv_params *p);

/* ct += (b u + e0, a u + e1) with fresh u, e0, e1: a public-key encryption of zero. ct comes in NTT form and leaves in
 * coefficient form, where the two errors are added without a transform of their own. On failure ct is untouched. */
SOTTO_MUST_CHECK int sotto_bfv_rerandomise(sotto_bfv_ct *ct, const sotto_bfv_params *p, const sotto_bfv_public_key *pk,
                                           const sotto_rng *rng);

/* SOTTO_ERR_PARAMS unless t = 2^l, 2 <= t, l + 9 <= 60, and the first two primes hold the owner's product. */
SOTTO_MUST_CHECK int sotto_bfv_answer_check(const sotto_bfv_params *p);

/* Fisher information of the sum of three real uniforms of width 1 (derived in flood.c): 2 sqrt(3) ln(2 + sqrt(3)). */
#define SOTTO_FLOOD_FISHER 4.562075977805677
/* out[i] = U1 + U2 + U3 with independent U uniform over [0, width): in [0, 3 (width - 1)], symmetric about its middle.
 * 1 <= width < 2^100. Each value of a U has probability 1/width up to 2^-128. Constant time. */
void sotto_bfv_flood(sotto_u128 *out, size_t count, sotto_u128 width, sotto_prg *prg);

#endif
