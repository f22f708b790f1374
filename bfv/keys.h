/* Key generation. Keys depend on the ring alone, not on t. */
#ifndef SOTTO_BFV_KEYS_H
#define SOTTO_BFV_KEYS_H

#include "bfv/params.h"
#include "lib/aes.h"
#include "lib/rng.h"

/* s, uniform ternary. Secret. */
typedef struct sotto_bfv_secret_key {
    uint64_t *s_ntt;  /* k * n words, NTT form */
    int64_t *s;       /* n coefficients in {-1, 0, 1} */
    size_t words;     /* k * n */
    uint32_t n;
    uint64_t ring;    /* sotto_bfv_ring_id */
} sotto_bfv_secret_key;

/* (b, a) with b = -(a s + e); a is expanded from the seed. Public. */
typedef struct sotto_bfv_public_key {
    uint64_t *b, *a; /* k * n words each, NTT form */
    sotto_block seed;
    uint64_t ring;   /* sotto_bfv_ring_id */
} sotto_bfv_public_key;

SOTTO_MUST_CHECK int sotto_bfv_secret_key_new(sotto_bfv_secret_key *sk, const sotto_bfv_params *p, const sotto_rng *rng);
/* The same secret under other primes of the same n: what decrypts after sotto_bfv_mod_switch. SOTTO_ERR_ARG for
 * another n. */
SOTTO_MUST_CHECK int sotto_bfv_secret_key_for(sotto_bfv_secret_key *out, const sotto_bfv_params *p,
                                              const sotto_bfv_secret_key *sk);
SOTTO_MUST_CHECK int sotto_bfv_public_key_new(sotto_bfv_public_key *pk, const sotto_bfv_params *p,
                                              const sotto_bfv_secret_key *sk, const sotto_rng *rng);
/* Release, the secret key after wiping it; zeroed structs are fine. */
void sotto_bfv_secret_key_free(sotto_bfv_secret_key *sk);
void sotto_bfv_public_key_free(sotto_bfv_public_key *pk);

#endif
