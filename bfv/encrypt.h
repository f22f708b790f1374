/* Encryption and decryption of plaintexts: n coefficients in [0, t), natural order (bfv/encode.h). */
#ifndef SOTTO_BFV_ENCRYPT_H
#define SOTTO_BFV_ENCRYPT_H

#include "bfv/keys.h"

/* c0 + c1 s = round(Q m / t) + noise. Each part k * n words; `ntt` says in which form both are. */
typedef struct sotto_bfv_ct {
    uint64_t *c0, *c1;
    int ntt;
} sotto_bfv_ct;

/* Zeroed ciphertext (an encryption of zero without noise: a start for sums, nothing to send). */
SOTTO_MUST_CHECK int sotto_bfv_ct_new(sotto_bfv_ct *ct, const sotto_bfv_params *p);
void sotto_bfv_ct_free(sotto_bfv_ct *ct);

/* Symmetric encryption; c1 = a is expanded from a fresh *seed (bfv/wire.h sends the seed in its place). ct was made
 * by sotto_bfv_ct_new and comes out in NTT form. m: n words in [0, t), else SOTTO_ERR_ARG (checked in constant time
 * over all). */
SOTTO_MUST_CHECK int sotto_bfv_encrypt_symmetric(sotto_bfv_ct *ct, sotto_block *seed, const sotto_bfv_params *p,
                                                 const sotto_bfv_secret_key *sk, const uint64_t *m, const sotto_rng *rng);
/* Public-key encryption: (b u + e0 + round(Q m / t), a u + e1). Comes out in NTT form. SOTTO_ERR_ARG for a key of another ring or
 * an m out of range. */
SOTTO_MUST_CHECK int sotto_bfv_encrypt_public(sotto_bfv_ct *ct, const sotto_bfv_params *p, const sotto_bfv_public_key *pk,
                                              const uint64_t *m, const sotto_rng *rng);
/* m: n words in [0, t). Exact as long as the noise budget is positive (bfv/noise.h); the caller never tells a peer
 * whether it was. */
SOTTO_MUST_CHECK int sotto_bfv_decrypt(uint64_t *m, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk,
                                       const sotto_bfv_ct *ct);
/* c0 + c1 s modulo Q in coefficient form: k * n words; for noise measurement and tests. */
SOTTO_MUST_CHECK int sotto_bfv_phase(uint64_t *phase, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk,
                                     const sotto_bfv_ct *ct);

#endif
