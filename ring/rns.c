#include "ring/rns.h"

#include <math.h>

#include "lib/mem.h"
#include "ring/rns_internal.h"

static void mpz_from_u64(mpz_t out, uint64_t x)
{
    mpz_import(out, 1, 1, sizeof x, 0, 0, &x);
}

/* x mod q in [0, q) for x of either sign. */
static uint64_t mpz_residue_var(const mpz_t x, uint64_t q)
{
    mpz_t r;
    mpz_init(r);
    mpz_from_u64(r, q);
    mpz_fdiv_r(r, x, r);
    uint64_t residue = 0;
    mpz_export(&residue, NULL, -1, sizeof residue, 0, 0, r);
    mpz_clear(r);
    return residue;
}

static void precompute(sotto_rns *b)
{
    mpz_t q;
    mpz_init(q);
    mpz_set_ui(b->product, 1);
    for (size_t i = 0; i < b->k; i++) {
        mpz_from_u64(q, b->m[i].q);
        mpz_mul(b->product, b->product, q);
    }
    mpz_export(b->words, NULL, -1, sizeof b->words[0], 0, 0, b->product);

    uint64_t last = b->m[b->k - 1].q;
    for (size_t i = 0; i < b->k; i++) {
        const sotto_modulus *m = &b->m[i];
        mpz_from_u64(q, m->q);
        mpz_divexact(b->hat[i], b->product, q);
        b->hat_inverse[i] = sotto_shoup_new(sotto_mod_inv(mpz_residue_var(b->hat[i], m->q), m), m);
        if (i + 1 < b->k)
            b->last_inverse[i] = sotto_shoup_new(sotto_mod_inv(last, m), m);
        /* 2^192 / q = ratio 2^64 + r 2^64 / q with r = 2^128 mod q, whose low word says it all. */
        uint64_t r = 0 - m->ratio[0] * m->q;
        b->reciprocal[i] = (uint64_t)(((sotto_u128)r << 64) / m->q);
    }
    mpz_clear(q);
}

/* The fastest tier that this CPU has and that serves all primes. */
static const sotto_rns_kernels *choose_kernels(const sotto_rns *b)
{
    static const sotto_rns_kernels *const tiers[] = {
#if defined(__x86_64__)
        &sotto_rns_kernels_ifma,
#endif
        &sotto_rns_kernels_ref,
    };
    unsigned bits = 0;
    for (size_t i = 0; i < b->k; i++)
        bits = b->m[i].bits > bits ? b->m[i].bits : bits;
    size_t i = 0;
    while (tiers[i]->tier > sotto_cpu_tier() || b->n < tiers[i]->n_min || bits > tiers[i]->bits_max)
        i++; /* the last one serves all */
    return tiers[i];
}

int sotto_rns_new(sotto_rns **out, uint32_t n, const uint64_t *primes, size_t k)
{
    *out = NULL;
    if (k == 0 || k > SOTTO_RNS_MAX)
        return sotto_fail(SOTTO_ERR_PARAMS, "RNS basis of %zu primes: expected 1 to %u", k, SOTTO_RNS_MAX);
    for (size_t i = 1; i < k; i++)
        for (size_t j = 0; j < i; j++)
            if (primes[i] == primes[j])
                return sotto_fail(SOTTO_ERR_PARAMS, "RNS basis: primes %zu and %zu are both %llu, expected distinct ones",
                                  j, i, (unsigned long long)primes[i]);

    sotto_rns *b = sotto_calloc(1, sizeof *b);
    if (b == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for an RNS basis of %zu primes", k);
    mpz_init(b->product);
    for (size_t i = 0; i < SOTTO_RNS_MAX; i++)
        mpz_init(b->hat[i]);
    b->n = n;
    b->k = k;
    for (size_t i = 0; i < k; i++) {
        int status = sotto_ntt_new(&b->ntt[i], n, primes[i]);
        if (status != SOTTO_OK) {
            sotto_rns_free(b);
            return sotto_fail_context(status, "RNS basis, prime %zu of %zu", i + 1, k);
        }
        b->m[i] = *sotto_ntt_modulus(b->ntt[i]);
    }
    precompute(b);
    b->kernels = choose_kernels(b);
    *out = b;
    return SOTTO_OK;
}

void sotto_rns_free(sotto_rns *b)
{
    if (b == NULL)
        return;
    for (size_t i = 0; i < SOTTO_RNS_MAX; i++) {
        sotto_ntt_free(b->ntt[i]);
        mpz_clear(b->hat[i]);
    }
    mpz_clear(b->product);
    sotto_free(b);
}

uint32_t sotto_rns_n(const sotto_rns *b)
{
    return b->n;
}

size_t sotto_rns_count(const sotto_rns *b)
{
    return b->k;
}

const sotto_ntt *sotto_rns_ntt(const sotto_rns *b, size_t i)
{
    return b->ntt[i];
}

const sotto_modulus *sotto_rns_modulus(const sotto_rns *b, size_t i)
{
    return &b->m[i];
}

unsigned sotto_rns_bits(const sotto_rns *b)
{
    return (unsigned)mpz_sizeinbase(b->product, 2); /* Q is odd, so it is no power of two */
}

double sotto_rns_log2(const sotto_rns *b)
{
    long exponent = 0;
    double mantissa = mpz_get_d_2exp(&exponent, b->product);
    return log2(mantissa) + (double)exponent;
}

void sotto_rns_product(const sotto_rns *b, mpz_t out)
{
    mpz_set(out, b->product);
}

void sotto_rns_decompose_var(const sotto_rns *b, uint64_t *residues, const mpz_t x)
{
    for (size_t i = 0; i < b->k; i++)
        residues[i] = mpz_residue_var(x, b->m[i].q);
}

void sotto_rns_compose_var(const sotto_rns *b, mpz_t x, const uint64_t *residues)
{
    mpz_t y;
    mpz_init(y);
    mpz_set_ui(x, 0);
    for (size_t i = 0; i < b->k; i++) {
        mpz_from_u64(y, sotto_shoup_mul(residues[i], b->hat_inverse[i], b->m[i].q));
        mpz_addmul(x, y, b->hat[i]);
    }
    mpz_mod(x, x, b->product);
    mpz_clear(y);
}

/* Long division of Q by t, and A mod q_i by Horner's rule on the digits of A. All of this is public. */
sotto_rns_scaling sotto_rns_scaling_new(const sotto_rns *b, uint64_t t)
{
    sotto_rns_scaling s = {.b = 0};
    uint64_t quotient[SOTTO_RNS_MAX] = {0};
    for (size_t w = b->k; w-- > 0;) { /* Q < 2^(61 k) */
        sotto_u128 digit = ((sotto_u128)s.b << 64) | b->words[w];
        s.b = (uint64_t)(digit % t);
        for (size_t i = 0; i < b->k; i++)
            quotient[i] = sotto_mod_reduce128(((sotto_u128)quotient[i] << 64) + (uint64_t)(digit / t), &b->m[i]);
    }
    for (size_t i = 0; i < b->k; i++)
        s.a[i] = sotto_shoup_new(quotient[i], &b->m[i]);
    return s;
}

void sotto_rns_scale_round_pow2(const sotto_rns *b, uint64_t *out, const uint64_t *residues, size_t stride, size_t count,
                                unsigned bits)
{
    b->kernels->scale_round_pow2(b, out, residues, stride, count, bits);
}

void sotto_rns_scale_round(const sotto_rns *b, uint64_t *out, const uint64_t *residues, size_t stride, size_t count,
                           uint64_t t)
{
    b->kernels->scale_round(b, out, residues, stride, count, t);
}

void sotto_rns_scale_up(const sotto_rns *b, uint64_t *residues, size_t stride, const uint64_t *m, size_t count, uint64_t t)
{
    b->kernels->scale_up(b, residues, stride, m, count, t);
}

void sotto_rns_drop_last(const sotto_rns *b, uint64_t *out, const uint64_t *residues, size_t stride, size_t count)
{
    b->kernels->drop_last(b, out, residues, stride, count);
}
