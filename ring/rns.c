#include "ring/rns.h"

#include <math.h>

#include "lib/mem.h"

struct sotto_rns {
    uint32_t n;
    size_t k;
    sotto_ntt *ntt[SOTTO_RNS_MAX];
    sotto_modulus m[SOTTO_RNS_MAX];
    sotto_shoup hat_inverse[SOTTO_RNS_MAX];  /* (Q/q_i)^-1 mod q_i */
    sotto_shoup last_inverse[SOTTO_RNS_MAX]; /* q_{k-1}^-1 mod q_i, i < k - 1 */
    uint64_t reciprocal[SOTTO_RNS_MAX];      /* low word of floor(2^192 / q_i); the upper two are m[i].ratio */
    uint64_t words[SOTTO_RNS_MAX];           /* Q < 2^976, low word first */
    mpz_t product;
    mpz_t hat[SOTTO_RNS_MAX]; /* Q/q_i */
};

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

/* x/Q in units of 2^-128, short by less than 2k of them: x/Q - k 2^-127 < F / 2^128 <= x/Q, modulo 1.
 *
 * x/Q = sum_i y_i / q_i mod 1 with y_i = [x (Q/q_i)^-1]_{q_i}. Let R = floor(2^192 / q_i) = (r2, r1, r0) in words, so that
 * 0 <= 2^192 / q_i - R < 1. Then y R / 2^64 is short of y 2^128 / q_i by less than y / 2^64 < 1/8, and dropping its
 * fraction, that of y r0 / 2^64 (the other two terms are integers), by less than 1 more. The integer part, above 2^128,
 * falls off in the modular sum. */
static sotto_u128 fraction(const sotto_rns *b, const uint64_t *x, size_t stride)
{
    sotto_u128 sum = 0;
    for (size_t i = 0; i < b->k; i++) {
        const sotto_modulus *m = &b->m[i];
        uint64_t y = sotto_shoup_mul(x[i * stride], b->hat_inverse[i], m->q);
        sum += ((sotto_u128)(y * m->ratio[1]) << 64) + (sotto_u128)y * m->ratio[0] + sotto_mulhi64(y, b->reciprocal[i]);
    }
    return sum;
}

void sotto_rns_scale_round_pow2(const sotto_rns *b, uint64_t *out, const uint64_t *residues, size_t stride, size_t count,
                                unsigned bits)
{
    uint64_t half = (uint64_t)1 << (63 - bits);
    for (size_t j = 0; j < count; j++) {
        uint64_t top = (uint64_t)(fraction(b, residues + j, stride) >> 64);
        out[j] = (top + half) >> (64 - bits); /* rounding up to 2^bits wraps to 0 */
    }
}

void sotto_rns_scale_round(const sotto_rns *b, uint64_t *out, const uint64_t *residues, size_t stride, size_t count,
                           uint64_t t)
{
    const uint64_t half = (uint64_t)1 << 63;
    for (size_t j = 0; j < count; j++) {
        sotto_u128 f = fraction(b, residues + j, stride);
        sotto_u128 scaled = (f >> 64) * t + sotto_mulhi64((uint64_t)f, t); /* floor(F t / 2^64) < 2^124 */
        uint64_t rounded = (uint64_t)((scaled + half) >> 64);              /* [0, t] */
        out[j] = rounded & ~sotto_ct_eq(rounded, t);
    }
}

/* With Q = A t + B, 0 <= B < t: round(Q m / t) = A m + floor((B m + floor(t/2)) / t), for any t, also one that shares a
 * factor with Q. The last quotient is Barrett's: z = B m + floor(t/2) < 2^120 and r = floor((2^128 - 1) / t) >
 * (2^128 - 1)/t - 1 give z r / 2^128 > z/t - z (1/t + 1) / 2^128 > z/t - 1, so the estimate is exact or one too small. */
void sotto_rns_scale_up(const sotto_rns *b, uint64_t *residues, size_t stride, const uint64_t *m, size_t count, uint64_t t)
{
    /* Long division of Q by t, and A mod q_i by Horner's rule on the digits of A. All of this is public. */
    uint64_t remainder = 0, quotient[SOTTO_RNS_MAX] = {0};
    for (size_t w = SOTTO_RNS_MAX; w-- > 0;) {
        sotto_u128 digit = ((sotto_u128)remainder << 64) | b->words[w];
        remainder = (uint64_t)(digit % t);
        for (size_t i = 0; i < b->k; i++)
            quotient[i] = sotto_mod_reduce128(((sotto_u128)quotient[i] << 64) + (uint64_t)(digit / t), &b->m[i]);
    }
    sotto_shoup factor[SOTTO_RNS_MAX];
    for (size_t i = 0; i < b->k; i++)
        factor[i] = sotto_shoup_new(quotient[i], &b->m[i]);
    sotto_u128 ratio = ~(sotto_u128)0 / t;
    const uint64_t reciprocal[2] = {(uint64_t)ratio, (uint64_t)(ratio >> 64)};

    for (size_t j = 0; j < count; j++) {
        uint64_t message = m[j];
        sotto_u128 z = (sotto_u128)remainder * message + t / 2;
        uint64_t c = (uint64_t)sotto_mulhi128(z, reciprocal); /* at most z/t <= t */
        c += 1 & ~sotto_ct_lt((uint64_t)z - c * t, t);        /* z - c t in [0, 2t) */
        for (size_t i = 0; i < b->k; i++) {
            const sotto_modulus *q = &b->m[i];
            residues[i * stride + j] =
                sotto_mod_add(sotto_shoup_mul(message, factor[i], q->q), sotto_mod_reduce(c, q), q->q);
        }
    }
}

/* With q = q_{k-1} odd and h = (q - 1)/2: round(x/q) = floor((x + h) / q) = (x + h - r) / q, r = (x + h) mod q, and the
 * division is exact, so it is a product by q^-1 modulo the other primes. */
void sotto_rns_drop_last(const sotto_rns *b, uint64_t *out, const uint64_t *residues, size_t stride, size_t count)
{
    const uint64_t *last = residues + (b->k - 1) * stride;
    uint64_t q = b->m[b->k - 1].q, h = q / 2;
    for (size_t i = 0; i + 1 < b->k; i++) {
        const sotto_modulus *m = &b->m[i];
        uint64_t h_i = sotto_mod_reduce(h, m);
        for (size_t j = 0; j < count; j++) {
            uint64_t r = sotto_mod_reduce(sotto_mod_once(last[j] + h, q), m);
            uint64_t difference = residues[i * stride + j] + h_i + m->q - r; /* (0, 3q_i), below 2^63 */
            out[i * stride + j] = sotto_shoup_mul(difference, b->last_inverse[i], m->q);
        }
    }
}
