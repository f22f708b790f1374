#include "bfv/keys.h"

#include <string.h>

#include "bfv/internal.h"
#include "lib/mem.h"
#include "ring/poly.h"
#include "ring/sample.h"

int sotto_bfv_check_ring(const sotto_bfv_params *p, uint64_t ring, const char *name)
{
    if (ring != sotto_bfv_ring_id(p))
        return sotto_fail(SOTTO_ERR_ARG, "%s of another ring: it was made for another degree or other primes", name);
    return SOTTO_OK;
}

int sotto_bfv_check_key(const sotto_bfv_params *p, const sotto_bfv_secret_key *sk)
{
    return sotto_bfv_check_ring(p, sk->ring, "secret key");
}

int sotto_bfv_secret_key_alloc(sotto_bfv_secret_key *sk, const sotto_bfv_params *p)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    sk->n = sotto_bfv_n(p);
    sk->words = sotto_poly_words(rns);
    sk->ring = sotto_bfv_ring_id(p);
    sk->s = sotto_calloc(sk->n, sizeof *sk->s);
    sk->s_ntt = sotto_poly_new(rns);
    if (sk->s == NULL || sk->s_ntt == NULL) {
        sotto_bfv_secret_key_free(sk);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a secret key");
    }
    return SOTTO_OK;
}

void sotto_bfv_secret_key_finish(sotto_bfv_secret_key *sk, const sotto_bfv_params *p)
{
    sotto_poly_from_signed(sotto_bfv_rns(p), sk->s_ntt, sk->s);
    sotto_poly_forward(sotto_bfv_rns(p), sk->s_ntt);
}

int sotto_bfv_secret_key_new(sotto_bfv_secret_key *sk, const sotto_bfv_params *p, const sotto_rng *rng)
{
    int status = sotto_bfv_secret_key_alloc(sk, p);
    if (status != SOTTO_OK)
        return status;
    status = sotto_sample_ternary(sk->s, sk->n, rng);
    if (status != SOTTO_OK) {
        sotto_bfv_secret_key_free(sk);
        return status;
    }
    sotto_bfv_secret_key_finish(sk, p);
    return SOTTO_OK;
}

int sotto_bfv_secret_key_for(sotto_bfv_secret_key *out, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk)
{
    memset(out, 0, sizeof *out);
    if (sk->n != sotto_bfv_n(p))
        return sotto_fail(SOTTO_ERR_ARG, "secret key of degree %u for parameters of degree %u", (unsigned)sk->n,
                          (unsigned)sotto_bfv_n(p));
    int status = sotto_bfv_secret_key_alloc(out, p);
    if (status != SOTTO_OK)
        return status;
    memcpy(out->s, sk->s, sk->n * sizeof *sk->s);
    sotto_bfv_secret_key_finish(out, p);
    return SOTTO_OK;
}

int sotto_bfv_public_key_new(sotto_bfv_public_key *pk, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk,
                             const sotto_rng *rng)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    memset(pk, 0, sizeof *pk);
    int status = sotto_bfv_check_key(p, sk);
    if (status != SOTTO_OK)
        return status;

    int64_t *e = sotto_calloc(sk->n, sizeof *e);
    uint64_t *x = sotto_poly_new(rns);
    pk->ring = sotto_bfv_ring_id(p);
    pk->b = sotto_poly_new(rns);
    pk->a = sotto_poly_new(rns);
    if (e == NULL || x == NULL || pk->b == NULL || pk->a == NULL)
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a public key");
    if (status == SOTTO_OK)
        status = sotto_rng_fill(rng, &pk->seed, sizeof pk->seed);
    if (status == SOTTO_OK)
        status = sotto_sample_error(e, sk->n, rng);
    if (status == SOTTO_OK) {
        SOTTO_DECLASSIFY(&pk->seed, sizeof pk->seed); /* travels in the clear */
        sotto_sample_uniform_seeded(rns, pk->a, pk->seed);
        sotto_poly_from_signed(rns, x, e);
        sotto_poly_forward(rns, x);
        sotto_poly_mac_ntt(rns, x, pk->a, sk->s_ntt); /* a s + e */
        sotto_poly_neg(rns, pk->b, x);
    } else {
        sotto_bfv_public_key_free(pk);
    }
    sotto_free_secret(x, sk->words, sizeof *x);
    sotto_free_secret(e, sk->n, sizeof *e);
    return status;
}

void sotto_bfv_secret_key_free(sotto_bfv_secret_key *sk)
{
    sotto_free_secret(sk->s_ntt, sk->words, sizeof *sk->s_ntt);
    sotto_free_secret(sk->s, sk->n, sizeof *sk->s);
    memset(sk, 0, sizeof *sk);
}

void sotto_bfv_public_key_free(sotto_bfv_public_key *pk)
{
    sotto_free(pk->b);
    sotto_free(pk->a);
    memset(pk, 0, sizeof *pk);
}
