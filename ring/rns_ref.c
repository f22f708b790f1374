/* Portable kernels over vectors of residues. */
#include "lib/ct.h"
#include "ring/rns_internal.h"

static void add(const sotto_modulus *m, uint64_t *out, const uint64_t *x, const uint64_t *y, size_t count)
{
    for (size_t j = 0; j < count; j++)
        out[j] = sotto_mod_add(x[j], y[j], m->q);
}

static void sub(const sotto_modulus *m, uint64_t *out, const uint64_t *x, const uint64_t *y, size_t count)
{
    for (size_t j = 0; j < count; j++)
        out[j] = sotto_mod_sub(x[j], y[j], m->q);
}

static void neg(const sotto_modulus *m, uint64_t *out, const uint64_t *x, size_t count)
{
    for (size_t j = 0; j < count; j++)
        out[j] = sotto_mod_neg(x[j], m->q);
}

static void from_signed(const sotto_modulus *m, uint64_t *out, const int64_t *coeff, size_t count)
{
    for (size_t j = 0; j < count; j++)
        out[j] = sotto_mod_from_signed(coeff[j], m);
}

static void add_signed(const sotto_modulus *m, uint64_t *out, const uint64_t *x, const int64_t *coeff, size_t count)
{
    for (size_t j = 0; j < count; j++)
        out[j] = sotto_mod_add(x[j], sotto_mod_from_signed(coeff[j], m), m->q);
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

static void scale_round_pow2(const sotto_rns *b, uint64_t *out, const uint64_t *residues, size_t stride, size_t count,
                                unsigned bits)
{
    uint64_t half = (uint64_t)1 << (63 - bits);
    for (size_t j = 0; j < count; j++) {
        uint64_t top = (uint64_t)(fraction(b, residues + j, stride) >> 64);
        out[j] = (top + half) >> (64 - bits); /* rounding up to 2^bits wraps to 0 */
    }
}

static void scale_round(const sotto_rns *b, uint64_t *out, const uint64_t *residues, size_t stride, size_t count,
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

/* The quotient floor((B m + floor(t/2)) / t) is Barrett's: z = B m + floor(t/2) < 2^120 and r = floor((2^128 - 1) / t) >
 * (2^128 - 1)/t - 1 give z r / 2^128 > z/t - z (1/t + 1) / 2^128 > z/t - 1, so the estimate is exact or one too small. */
static void scale_up(const sotto_rns *b, uint64_t *residues, size_t stride, const uint64_t *m, size_t count, uint64_t t)
{
    const sotto_rns_scaling s = sotto_rns_scaling_new(b, t);
    sotto_u128 ratio = ~(sotto_u128)0 / t;
    const uint64_t reciprocal[2] = {(uint64_t)ratio, (uint64_t)(ratio >> 64)};

    for (size_t j = 0; j < count; j++) {
        uint64_t message = m[j];
        sotto_u128 z = (sotto_u128)s.b * message + t / 2;
        uint64_t c = (uint64_t)sotto_mulhi128(z, reciprocal); /* at most z/t <= t */
        c += 1 & ~sotto_ct_lt((uint64_t)z - c * t, t);        /* z - c t in [0, 2t) */
        for (size_t i = 0; i < b->k; i++) {
            const sotto_modulus *q = &b->m[i];
            residues[i * stride + j] =
                sotto_mod_add(sotto_shoup_mul(message, s.a[i], q->q), sotto_mod_reduce(c, q), q->q);
        }
    }
}

/* With q = q_{k-1} odd and h = (q - 1)/2: round(x/q) = floor((x + h) / q) = (x + h - r) / q, r = (x + h) mod q, and the
 * division is exact, so it is a product by q^-1 modulo the other primes. */
static void drop_last(const sotto_rns *b, uint64_t *out, const uint64_t *residues, size_t stride, size_t count)
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

const sotto_rns_kernels sotto_rns_kernels_ref = {
    .tier = SOTTO_TIER_PORTABLE, .bits_max = SOTTO_MODULUS_BITS_MAX, .n_min = 1,
    .add = add, .sub = sub, .neg = neg, .from_signed = from_signed, .add_signed = add_signed,
    .scale_round_pow2 = scale_round_pow2, .scale_round = scale_round, .scale_up = scale_up, .drop_last = drop_last,
};
