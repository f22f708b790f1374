/* Key switching: from a part of a ciphertext that belongs to another secret s' to a ciphertext under s. One digit per
 * prime (Bajard, Eynard, Hasan, Zucca, eprint 2016/510) and one special prime P (Gentry, Halevi, Smart, eprint 2012/099).
 * Needs parameters with a special prime.
 *
 * The key has k pairs modulo Q P, b_i = -(a_i s + e_i) + P g_i s' with g_i = 1 modulo q_i and 0 modulo the other primes.
 * With d_i = d mod q_i about zero, d = sum g_i d_i modulo Q, and sum d_i (b_i + a_i s) = P d s' - sum d_i e_i: divided by
 * P and rounded, (b, a) = sum d_i (b_i, a_i) is an encryption of d s' under s with noise -sum d_i e_i / P and the
 * rounding. */
#ifndef SOTTO_BFV_KEYSWITCH_H
#define SOTTO_BFV_KEYSWITCH_H

#include "bfv/encrypt.h"

/* Public. k digits of k + 1 limbs of n words each, NTT form, the limb of the special prime last. Each pair is stored
 * multiplied by P^-1 modulo every q_j (and by 1 modulo P), which saves that product at each use; a is uniform with or
 * without it, and is expanded from the seed. */
typedef struct sotto_bfv_switch_key {
    uint64_t *b, *a;
    sotto_block seed;
    size_t words;  /* k (k + 1) n */
    uint64_t ring; /* sotto_bfv_ring_id */
} sotto_bfv_switch_key;

/* From the secret `from` to the secret `to`, both made for p. SOTTO_ERR_ARG, SOTTO_ERR_MEMORY, SOTTO_ERR_RNG; the key is
 * zeroed on failure. Draws the seed first, then the k errors. Constant time in both secrets. */
SOTTO_MUST_CHECK int sotto_bfv_switch_key_new(sotto_bfv_switch_key *key, const sotto_bfv_params *p,
                                              const sotto_bfv_secret_key *to, const sotto_bfv_secret_key *from,
                                              const sotto_rng *rng);
/* Zeroed structs are fine. */
void sotto_bfv_switch_key_free(sotto_bfv_switch_key *key);

/* x, encrypted under the key's `from`, becomes an encryption of the same plaintext under its `to`. x comes in either
 * form and leaves in NTT form. SOTTO_ERR_ARG for a key of another ring, SOTTO_ERR_MEMORY; x is untouched then.
 * Constant time. */
SOTTO_MUST_CHECK int sotto_bfv_switch(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_switch_key *key);

#endif
