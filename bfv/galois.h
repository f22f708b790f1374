/* Automorphisms X -> X^g of ciphertexts, g odd: rotations of the slots of batched plaintexts (bfv/batch.h), and sums.
 * Needs parameters with a special prime.
 *
 * Rows rotate to the left: after step s, slot i of each row holds what slot (i + s) mod n/2 held. g = 3^s mod 2n; the
 * swap of the rows is g = 2n - 1. Each g needs its own key. */
#ifndef SOTTO_BFV_GALOIS_H
#define SOTTO_BFV_GALOIS_H

#include "bfv/keyswitch.h"

/* g for a rotation of the rows by `step` to the left (any integer; negative: to the right), and for the swap of the
 * rows. */
uint32_t sotto_bfv_galois_row(const sotto_bfv_params *p, long step);
uint32_t sotto_bfv_galois_swap(const sotto_bfv_params *p);
/* The log2(n) elements that sotto_bfv_sum_slots uses; returns how many. `element` has room for 15. */
#define SOTTO_BFV_SUM_ELEMENTS_MAX 15
size_t sotto_bfv_galois_sum(uint32_t *element, const sotto_bfv_params *p);

/* Keys by element, ascending. Public. */
typedef struct sotto_bfv_galois_keys {
    size_t count;
    uint32_t n;
    uint32_t *element;         /* count */
    uint32_t *order;           /* count * n: slot i of the transform of f(X^g) is slot order[i] of that of f */
    sotto_bfv_switch_key *key; /* count; from s(X^g) to s */
} sotto_bfv_galois_keys;

/* Keys for `count` elements g, odd, 1 < g < 2n, in any order; repeated ones count once. SOTTO_ERR_ARG, SOTTO_ERR_MEMORY,
 * SOTTO_ERR_RNG; *keys is zeroed on failure. Draws as sotto_bfv_switch_key_new, by ascending element. Constant time in
 * sk. */
SOTTO_MUST_CHECK int sotto_bfv_galois_keys_new(sotto_bfv_galois_keys *keys, const sotto_bfv_params *p,
                                               const sotto_bfv_secret_key *sk, const uint32_t *element, size_t count,
                                               const sotto_rng *rng);
void sotto_bfv_galois_keys_free(sotto_bfv_galois_keys *keys);

/* x(X) becomes x(X^g), the plaintext m(X) m(X^g). x comes in either form and leaves in NTT form (g = 1 needs no key and
 * leaves x as it is). SOTTO_ERR_ARG when there is no key for g, SOTTO_ERR_MEMORY; x is untouched then. Constant time in
 * x. */
SOTTO_MUST_CHECK int sotto_bfv_apply_galois(sotto_bfv_ct *x, const sotto_bfv_params *p, uint32_t g,
                                            const sotto_bfv_galois_keys *keys);
SOTTO_MUST_CHECK int sotto_bfv_rotate_rows(sotto_bfv_ct *x, const sotto_bfv_params *p, long step,
                                           const sotto_bfv_galois_keys *keys);
SOTTO_MUST_CHECK int sotto_bfv_swap_rows(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_galois_keys *keys);
/* Every slot becomes the sum of all slots; of a plaintext that is not batched, n times its constant coefficient remains.
 * Needs the keys of sotto_bfv_galois_sum. On failure x is untouched. */
SOTTO_MUST_CHECK int sotto_bfv_sum_slots(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_galois_keys *keys);

/* out = the sum of `count` >= 1 ciphertexts of one form; out may be one of them. SOTTO_ERR_ARG for mixed forms or none. */
SOTTO_MUST_CHECK int sotto_bfv_sum(sotto_bfv_ct *out, const sotto_bfv_params *p, const sotto_bfv_ct *const *x,
                                   size_t count);

#endif
