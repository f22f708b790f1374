#include "bfv/encrypt.h"

#include <string.h>

#include "bfv/internal.h"
#include "lib/mem.h"
#include "ring/poly.h"
#include "ring/sample.h"

int sotto_bfv_ct_new(sotto_bfv_ct *ct, const sotto_bfv_params *p)
{
    ct->c0 = sotto_poly_new(sotto_bfv_rns(p));
    ct->c1 = sotto_poly_new(sotto_bfv_rns(p));
    ct->ntt = 1;
    if (ct->c0 == NULL || ct->c1 == NULL) {
        sotto_bfv_ct_free(ct);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a ciphertext");
    }
    return SOTTO_OK;
}

void sotto_bfv_ct_free(sotto_bfv_ct *ct)
{
    sotto_free(ct->c0);
    sotto_free(ct->c1);
    memset(ct, 0, sizeof *ct);
}

int sotto_bfv_check_message(const sotto_bfv_params *p, const uint64_t *m, size_t count)
{
    uint64_t t = sotto_bfv_t(p), bad = 0;
    for (size_t i = 0; i < count; i++)
        bad |= m[i] | ~(m[i] - t); /* top bit: t < 2^63, so m < t just when m and ~(m - t) = t - 1 - m have theirs clear */
    bad >>= 63;
    /* A word out of range is an error of the caller's program, not a value of its data. */
    SOTTO_DECLASSIFY(&bad, sizeof bad);
    if (bad)
        return sotto_fail(SOTTO_ERR_ARG, "plaintext with a coefficient that is not below its modulus %llu",
                          (unsigned long long)t);
    return SOTTO_OK;
}

int sotto_bfv_encrypt_symmetric(sotto_bfv_ct *ct, sotto_block *seed, const sotto_bfv_params *p,
                                const sotto_bfv_secret_key *sk, const uint64_t *m, const sotto_rng *rng)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    uint32_t n = sotto_bfv_n(p);
    int status = sotto_bfv_check_key(p, sk);
    if (status == SOTTO_OK)
        status = sotto_bfv_check_message(p, m, n);
    if (status != SOTTO_OK)
        return status;

    sotto_block fresh;
    int64_t *e = sotto_calloc(n, sizeof *e);
    uint64_t *x = sotto_poly_new(rns);
    if (e == NULL || x == NULL)
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory to encrypt");
    if (status == SOTTO_OK)
        status = sotto_rng_fill(rng, &fresh, sizeof fresh);
    if (status == SOTTO_OK)
        status = sotto_sample_error(e, n, rng);
    if (status == SOTTO_OK) {
        SOTTO_DECLASSIFY(&fresh, sizeof fresh); /* travels in the clear */
        sotto_sample_uniform_seeded(rns, ct->c1, fresh);
        sotto_rns_scale_up(rns, ct->c0, n, m, n, sotto_bfv_t(p));
        sotto_poly_add_signed(rns, ct->c0, ct->c0, e);
        sotto_poly_forward(rns, ct->c0);
        sotto_poly_mul_ntt(rns, x, ct->c1, sk->s_ntt);
        sotto_poly_sub(rns, ct->c0, ct->c0, x);
        ct->ntt = 1;
        *seed = fresh;
    }
    sotto_free_secret(x, sotto_poly_words(rns), sizeof *x);
    sotto_free_secret(e, n, sizeof *e);
    return status;
}

/* The randomness of a public-key encryption: n coefficients each, in the caller's room. */
typedef struct coins {
    int64_t *u, *e0, *e1;
    uint64_t *u_ntt; /* k * n words */
} coins;

size_t sotto_bfv_coins_words(const sotto_bfv_params *p)
{
    return 3 * (size_t)sotto_bfv_n(p) + sotto_poly_words(sotto_bfv_rns(p));
}

static int coins_draw(coins *c, const sotto_bfv_params *p, const sotto_rng *rng, uint64_t *room)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    const uint32_t n = sotto_bfv_n(p);
    *c = (coins){(int64_t *)room, (int64_t *)room + n, (int64_t *)room + 2 * n, room + 3 * n};
    int status = sotto_sample_ternary(c->u, n, rng);
    if (status == SOTTO_OK)
        status = sotto_sample_error(c->e0, n, rng);
    if (status == SOTTO_OK)
        status = sotto_sample_error(c->e1, n, rng);
    if (status == SOTTO_OK) {
        sotto_poly_from_signed(rns, c->u_ntt, c->u);
        sotto_poly_forward(rns, c->u_ntt);
    }
    return status;
}

int sotto_bfv_rerandomise(sotto_bfv_ct *ct, const sotto_bfv_params *p, const sotto_bfv_public_key *pk,
                          const sotto_rng *rng, uint64_t *room)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    coins c;
    int status = sotto_bfv_check_ring(p, pk->ring, "public key");
    if (status == SOTTO_OK)
        status = coins_draw(&c, p, rng, room);
    if (status != SOTTO_OK)
        return status;
    sotto_poly_mac_ntt(rns, ct->c0, pk->b, c.u_ntt);
    sotto_poly_mac_ntt(rns, ct->c1, pk->a, c.u_ntt);
    sotto_poly_inverse(rns, ct->c0);
    sotto_poly_inverse(rns, ct->c1);
    ct->ntt = 0;
    sotto_poly_add_signed(rns, ct->c0, ct->c0, c.e0);
    sotto_poly_add_signed(rns, ct->c1, ct->c1, c.e1);
    return SOTTO_OK;
}

int sotto_bfv_encrypt_public(sotto_bfv_ct *ct, const sotto_bfv_params *p, const sotto_bfv_public_key *pk,
                             const uint64_t *m, const sotto_rng *rng)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    const uint32_t n = sotto_bfv_n(p);
    int status = sotto_bfv_check_ring(p, pk->ring, "public key");
    if (status == SOTTO_OK)
        status = sotto_bfv_check_message(p, m, n);
    if (status != SOTTO_OK)
        return status;
    coins c;
    uint64_t *room = sotto_calloc(sotto_bfv_coins_words(p), sizeof *room);
    status = room == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory to encrypt") : coins_draw(&c, p, rng, room);
    if (status == SOTTO_OK) {
        sotto_rns_scale_up(rns, ct->c0, n, m, n, sotto_bfv_t(p));
        sotto_poly_add_signed(rns, ct->c0, ct->c0, c.e0);
        sotto_poly_forward(rns, ct->c0);
        sotto_poly_mac_ntt(rns, ct->c0, pk->b, c.u_ntt);
        sotto_poly_from_signed(rns, ct->c1, c.e1);
        sotto_poly_forward(rns, ct->c1);
        sotto_poly_mac_ntt(rns, ct->c1, pk->a, c.u_ntt);
        ct->ntt = 1;
    }
    sotto_free_secret(room, sotto_bfv_coins_words(p), sizeof *room);
    return status;
}

int sotto_bfv_phase(uint64_t *phase, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk, const sotto_bfv_ct *ct)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    int status = sotto_bfv_check_key(p, sk);
    if (status != SOTTO_OK)
        return status;
    memcpy(phase, ct->c1, sk->words * sizeof *phase);
    if (!ct->ntt)
        sotto_poly_forward(rns, phase);
    sotto_poly_mul_ntt(rns, phase, phase, sk->s_ntt);
    if (ct->ntt)
        sotto_poly_add(rns, phase, phase, ct->c0);
    sotto_poly_inverse(rns, phase);
    if (!ct->ntt)
        sotto_poly_add(rns, phase, phase, ct->c0);
    return SOTTO_OK;
}

int sotto_bfv_decrypt(uint64_t *m, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk, const sotto_bfv_ct *ct)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    uint64_t *phase = sotto_poly_new(rns);
    if (phase == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory to decrypt");
    int status = sotto_bfv_phase(phase, p, sk, ct);
    if (status == SOTTO_OK)
        sotto_rns_scale_round(rns, m, phase, sotto_bfv_n(p), sotto_bfv_n(p), sotto_bfv_t(p));
    sotto_free_secret(phase, sotto_poly_words(rns), sizeof *phase);
    return status;
}
