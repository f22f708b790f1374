/* What the files of this module share; not part of the interface. */
#ifndef SOTTO_BFV_INTERNAL_H
#define SOTTO_BFV_INTERNAL_H

#include "bfv/encrypt.h"
#include "bfv/galois.h"
#include "lib/ct.h"
#include "lib/prg.h"
#include "ring/convert.h"

/* SOTTO_ERR_ARG unless all `count` words of m are below t. Constant time in m; only the verdict is visible. */
SOTTO_MUST_CHECK int sotto_bfv_check_message(const sotto_bfv_params *p, const uint64_t *m, size_t count);
/* SOTTO_ERR_ARG when the key that `name` names was made for another ring; the same for a secret key. */
SOTTO_MUST_CHECK int sotto_bfv_check_ring(const sotto_bfv_params *p, uint64_t ring, const char *name);
SOTTO_MUST_CHECK int sotto_bfv_check_key(const sotto_bfv_params *p, const sotto_bfv_secret_key *sk);

/* Zeroed key for p; then, once s is there, the transform of s. */
SOTTO_MUST_CHECK int sotto_bfv_secret_key_alloc(sotto_bfv_secret_key *sk, const sotto_bfv_params *p);
void sotto_bfv_secret_key_finish(sotto_bfv_secret_key *sk, const sotto_bfv_params *p);

/* ct += (b u + e0, a u + e1) with fresh u, e0, e1: a public-key encryption of zero. ct comes in NTT form and leaves in
 * coefficient form, where the two errors are added without a transform of their own. On failure ct is untouched. room:
 * sotto_bfv_coins_words(p) words, left with secrets. */
SOTTO_MUST_CHECK int sotto_bfv_rerandomise(sotto_bfv_ct *ct, const sotto_bfv_params *p, const sotto_bfv_public_key *pk,
                                           const sotto_rng *rng, uint64_t *room);
size_t sotto_bfv_coins_words(const sotto_bfv_params *p);

/* ---- products and key switching: only where the parameters have a special prime P --------------------------------------- */

/* Conversions between the ciphertexts' basis Q, the special prime P and the auxiliary basis R (params.c); multiply.c
 * explains the first four. */
typedef struct sotto_bfv_conversions {
    sotto_convert *lift;   /* x mod Q -> t x mod R */
    sotto_convert *scale;  /* y mod Q -> the weights of y' = round(R y / Q) mod R */
    sotto_convert *back;   /* the weights of y' mod R -> (t/R) y' mod Q */
    sotto_convert *down;   /* the weights of w mod R -> -w/R mod Q, for an addend */
    sotto_convert *divide; /* x mod P -> -x/P mod Q, for an addend */
} sotto_bfv_conversions;

/* For p, whose bases are there already. SOTTO_ERR_MEMORY; released by the caller on failure too. */
SOTTO_MUST_CHECK int sotto_bfv_conversions_new(sotto_bfv_conversions *c, const sotto_bfv_params *p);
void sotto_bfv_conversions_free(sotto_bfv_conversions *c);
const sotto_bfv_conversions *sotto_bfv_conversions_of(const sotto_bfv_params *p);
/* R. */
const sotto_rns *sotto_bfv_auxiliary(const sotto_bfv_params *p);
/* SOTTO_ERR_ARG when p has no special prime. */
SOTTO_MUST_CHECK int sotto_bfv_check_special(const sotto_bfv_params *p);

/* Key from the secret with transform `from` (k * n words) to sk; contract: sotto_bfv_switch_key_new. */
SOTTO_MUST_CHECK int sotto_bfv_switch_key_make(sotto_bfv_switch_key *key, const sotto_bfv_params *p,
                                               const sotto_bfv_secret_key *sk, const uint64_t *from, const sotto_rng *rng);
/* Zeroed key for p; then, once b and the seed are there, the expansion of a. */
SOTTO_MUST_CHECK int sotto_bfv_switch_key_alloc(sotto_bfv_switch_key *key, const sotto_bfv_params *p);
void sotto_bfv_switch_key_finish(sotto_bfv_switch_key *key, const sotto_bfv_params *p);
/* SOTTO_ERR_ARG when p has no special prime or the key was made for another ring. */
SOTTO_MUST_CHECK int sotto_bfv_check_switch_key(const sotto_bfv_params *p, const sotto_bfv_switch_key *key);
typedef enum sotto_bfv_switch_mode {
    SOTTO_BFV_ADD_BOTH,
    SOTTO_BFV_REPLACE_C1 /* c1 is not read: it was d */
} sotto_bfv_switch_mode;
/* x += round(sum_i d_i (b_i, a_i) / P): adds d s' under s. d: coefficient form; d_ntt: its transform or NULL. x in either
 * form, leaves in NTT form; d and d_ntt are not parts of it. `room`: sotto_bfv_add_switched_words(p) words. */
void sotto_bfv_add_switched(sotto_bfv_ct *x, const sotto_bfv_params *p, sotto_bfv_switch_mode mode, const uint64_t *d,
                            const uint64_t *d_ntt, const sotto_bfv_switch_key *key, uint64_t *room);
size_t sotto_bfv_add_switched_words(const sotto_bfv_params *p);
/* Permutation of the transform under X -> X^g: out[i] = x[order[i]] is the transform of f(X^g) when x is that of f. */
void sotto_bfv_galois_order(uint32_t *order, uint32_t n, uint32_t g);
/* Zeroed keys for `count` elements of p. */
SOTTO_MUST_CHECK int sotto_bfv_galois_keys_alloc(sotto_bfv_galois_keys *keys, const sotto_bfv_params *p, size_t count);

/* SOTTO_ERR_PARAMS unless t = 2^l, 2 <= t, l + 9 <= 60, and the first two primes hold the owner's product. */
SOTTO_MUST_CHECK int sotto_bfv_answer_check(const sotto_bfv_params *p);

/* Fisher information of the sum of three real uniforms of width 1 (derived in flood.c): 2 sqrt(3) ln(2 + sqrt(3)). */
#define SOTTO_FLOOD_FISHER 4.562075977805677
/* out[i] = U1 + U2 + U3 with independent U uniform over [0, width): in [0, 3 (width - 1)], symmetric about its middle.
 * 1 <= width < 2^100. Each value of a U has probability 1/width up to 2^-128. Constant time. */
void sotto_bfv_flood(sotto_u128 *out, size_t count, sotto_u128 width, sotto_prg *prg);

#endif
