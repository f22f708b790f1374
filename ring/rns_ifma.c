/* AVX-512 IFMA kernels over vectors of residues: eight lanes, products of 52-bit factors in a low and a high half.
 *
 * Primes have 2^10 < q < 2^50, so that 4q fits a factor. L(x y) and H(x y) are the low and high 52 bits of a product of two
 * factors below 2^52. */
#include "ring/rns_internal.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define LANES 8u
#define MASK52 ((UINT64_C(1) << 52) - 1)

typedef __m512i vec;

static inline vec all(uint64_t x)
{
    return _mm512_set1_epi64((long long)x);
}

/* acc + L(x y), acc + H(x y); factors are cut to 52 bits. */
static inline vec low(vec acc, vec x, vec y)
{
    return _mm512_madd52lo_epu64(acc, x, y);
}

static inline vec high(vec acc, vec x, vec y)
{
    return _mm512_madd52hi_epu64(acc, x, y);
}

/* x - q where that is not negative, else x: for x < 2q, q < 2^63. The difference wraps to above 2^63 otherwise. */
static inline vec once(vec x, vec q)
{
    return _mm512_min_epu64(x, _mm512_sub_epi64(x, q));
}

/* A constant factor w in [0, q) with floor(2^52 w / q). */
typedef struct factor {
    vec w, quotient;
} factor;

static inline factor factor_new(uint64_t w, uint64_t q)
{
    const factor f = {all(w), all((uint64_t)(((sotto_u128)w << 52) / q))};
    return f;
}

/* x w mod q in [0, 2q) for x < 2^52: H(x quotient) is floor(x w / q) or one less (Harvey 2014, algorithm 2, with words of 52
 * bits), so the remainder is below 2q < 2^52 and its low 52 bits are all of it. minus_q = 2^52 - q. */
static inline vec mul_lazy(vec x, factor f, vec minus_q, vec mask52)
{
    const vec estimate = high(_mm512_setzero_si512(), x, f.quotient);
    return _mm512_and_epi64(low(low(_mm512_setzero_si512(), x, f.w), estimate, minus_q), mask52);
}

/* Lanes j .. j + 7 of `count`, the ones that exist. */
static inline __mmask8 lanes(size_t j, size_t count)
{
    return (__mmask8)(count - j >= LANES ? 0xffu : (1u << (count - j)) - 1);
}

static inline vec load(__mmask8 k, const void *p)
{
    return _mm512_maskz_loadu_epi64(k, p);
}

static inline void store(void *p, __mmask8 k, vec x)
{
    _mm512_mask_storeu_epi64(p, k, x);
}

/* ---- sums --------------------------------------------------------------------------------------------------------------- */

static void add(const sotto_modulus *m, uint64_t *out, const uint64_t *x, const uint64_t *y, size_t count)
{
    const vec q = all(m->q);
    for (size_t j = 0; j < count; j += LANES) {
        const __mmask8 k = lanes(j, count);
        store(out + j, k, once(_mm512_add_epi64(load(k, x + j), load(k, y + j)), q)); /* from [0, 2q) */
    }
}

/* x - y or, where that wraps, x - y + q: the smaller of the two as unsigned words. */
static void sub(const sotto_modulus *m, uint64_t *out, const uint64_t *x, const uint64_t *y, size_t count)
{
    const vec q = all(m->q);
    for (size_t j = 0; j < count; j += LANES) {
        const __mmask8 k = lanes(j, count);
        const vec d = _mm512_sub_epi64(load(k, x + j), load(k, y + j));
        store(out + j, k, _mm512_min_epu64(d, _mm512_add_epi64(d, q)));
    }
}

static void neg(const sotto_modulus *m, uint64_t *out, const uint64_t *x, size_t count)
{
    const vec q = all(m->q);
    for (size_t j = 0; j < count; j += LANES) {
        const __mmask8 k = lanes(j, count);
        store(out + j, k, once(_mm512_sub_epi64(q, load(k, x + j)), q)); /* from [1, q] */
    }
}

/* |c| < 2^62. With mu = floor(2^62 / q) < 2^52 and h = floor(|c| / 2^10) < 2^52: h mu / 2^52 is short of |c| / q by less than
 * mu / 2^52 + h / 2^52 < 2, its floor by less than 3, so the remainder is below 3q < 2^52 and its low 52 bits are all of it. */
static inline vec residue(vec c, vec q, vec minus_q, vec mu, vec mask52)
{
    const vec magnitude = _mm512_abs_epi64(c);
    const vec estimate = high(_mm512_setzero_si512(), _mm512_srli_epi64(magnitude, 10), mu);
    const vec r = _mm512_and_epi64(low(magnitude, estimate, minus_q), mask52); /* [0, 3q) */
    const vec reduced = once(once(r, _mm512_slli_epi64(q, 1)), q);
    const vec negated = once(_mm512_sub_epi64(q, reduced), q);
    return _mm512_mask_mov_epi64(reduced, _mm512_movepi64_mask(c), negated);
}

static void from_signed(const sotto_modulus *m, uint64_t *out, const int64_t *coeff, size_t count)
{
    const vec q = all(m->q), minus_q = all((UINT64_C(1) << 52) - m->q), mu = all((UINT64_C(1) << 62) / m->q), mask52 = all(MASK52);
    for (size_t j = 0; j < count; j += LANES) {
        const __mmask8 k = lanes(j, count);
        store(out + j, k, residue(load(k, coeff + j), q, minus_q, mu, mask52));
    }
}

static void add_signed(const sotto_modulus *m, uint64_t *out, const uint64_t *x, const int64_t *coeff, size_t count)
{
    const vec q = all(m->q), minus_q = all((UINT64_C(1) << 52) - m->q), mu = all((UINT64_C(1) << 62) / m->q), mask52 = all(MASK52);
    for (size_t j = 0; j < count; j += LANES) {
        const __mmask8 k = lanes(j, count);
        const vec r = residue(load(k, coeff + j), q, minus_q, mu, mask52);
        store(out + j, k, once(_mm512_add_epi64(load(k, x + j), r), q));
    }
}

/* ---- roundings ---------------------------------------------------------------------------------------------------------- */

/* What a prime contributes to x/Q: 1/q to 208 bits, digits of 52 bits, the highest first. */
typedef struct share {
    vec q, minus_q, digit[4];
    factor hat_inverse;
} share;

static void shares_new(share s[SOTTO_RNS_MAX], const sotto_rns *b)
{
    for (size_t i = 0; i < b->k; i++) {
        const uint64_t q = b->m[i].q;
        s[i].q = all(q);
        s[i].minus_q = all((UINT64_C(1) << 52) - q);
        s[i].hat_inverse = factor_new(b->hat_inverse[i].w, q);
        uint64_t remainder = 1;
        for (size_t d = 0; d < 4; d++) {
            const sotto_u128 z = (sotto_u128)remainder << 52;
            s[i].digit[d] = all((uint64_t)(z / q));
            remainder = (uint64_t)(z % q);
        }
    }
}

/* x/Q modulo 1 in units of 2^-156 as three digits of 52 bits, f[0] the highest; short by less than 2k of them.
 *
 * x/Q = sum_i y_i / q_i mod 1 with y_i = [x (Q/q_i)^-1]_{q_i}. Let R = floor(2^208 / q_i) in digits r3 r2 r1 r0. Then y R /
 * 2^52 is short of y 2^156 / q_i by less than y / 2^52 < 1/4, and dropping its fraction, that of y r0 / 2^52, by less than 1
 * more. What reaches 2^156 falls off. Each digit is a sum of 2k <= 32 halves below 2^52, hence below 2^57. */
static inline void fraction(vec f[3], const share *s, size_t primes, const uint64_t *x, size_t stride, __mmask8 k, vec mask52)
{
    const vec zero = _mm512_setzero_si512();
    vec top = zero, middle = zero, bottom = zero;
    for (size_t i = 0; i < primes; i++) {
        const vec y = once(mul_lazy(load(k, x + i * stride), s[i].hat_inverse, s[i].minus_q, mask52), s[i].q);
        top = low(high(top, y, s[i].digit[1]), y, s[i].digit[0]);
        middle = low(high(middle, y, s[i].digit[2]), y, s[i].digit[1]);
        bottom = low(high(bottom, y, s[i].digit[3]), y, s[i].digit[2]);
    }
    middle = _mm512_add_epi64(middle, _mm512_srli_epi64(bottom, 52));
    top = _mm512_add_epi64(top, _mm512_srli_epi64(middle, 52));
    f[0] = _mm512_and_epi64(top, mask52);
    f[1] = _mm512_and_epi64(middle, mask52);
    f[2] = _mm512_and_epi64(bottom, mask52);
}

static void scale_round_pow2(const sotto_rns *b, uint64_t *out, const uint64_t *residues, size_t stride, size_t count, unsigned bits)
{
    share s[SOTTO_RNS_MAX];
    shares_new(s, b);
    const vec mask52 = all(MASK52), result = all((UINT64_C(1) << bits) - 1);
    /* The result ends within the first digit or within the second. */
    const unsigned deep = bits >= 52, cut = (deep ? 104 : 52) - bits; /* 1 .. 52 */
    const vec half = all(UINT64_C(1) << (cut - 1));
    const __m128i right = _mm_cvtsi32_si128((int)cut), left = _mm_cvtsi32_si128((int)(52 - cut));
    for (size_t j = 0; j < count; j += LANES) {
        const __mmask8 k = lanes(j, count);
        vec f[3];
        fraction(f, s, b->k, residues + j, stride, k, mask52);
        vec r = _mm512_srl_epi64(_mm512_add_epi64(f[deep], half), right);
        if (deep)
            r = _mm512_add_epi64(r, _mm512_sll_epi64(f[0], left));
        store(out + j, k, _mm512_and_epi64(r, result)); /* rounding up to 2^bits wraps to 0 */
    }
}

static void scale_round(const sotto_rns *b, uint64_t *out, const uint64_t *residues, size_t stride, size_t count, uint64_t t)
{
    if (t > MASK52) { /* no factor of 52 bits */
        sotto_rns_kernels_ref.scale_round(b, out, residues, stride, count, t);
        return;
    }
    share s[SOTTO_RNS_MAX];
    shares_new(s, b);
    const vec mask52 = all(MASK52), zero = _mm512_setzero_si512(), factor_t = all(t), half = all(UINT64_C(1) << 51);
    for (size_t j = 0; j < count; j += LANES) {
        const __mmask8 k = lanes(j, count);
        vec f[3];
        fraction(f, s, b->k, residues + j, stride, k, mask52);
        /* F t in units of 1, 2^-52 and 2^-104; the last half digit is dropped: short by less than 2^-104. */
        vec below = low(high(zero, f[2], factor_t), f[1], factor_t);
        vec fraction_t = low(high(_mm512_srli_epi64(below, 52), f[1], factor_t), f[0], factor_t);
        vec r = high(_mm512_srli_epi64(_mm512_add_epi64(fraction_t, half), 52), f[0], factor_t);
        store(out + j, k, once(r, factor_t)); /* from [0, t] */
    }
}

/* Residues of A m + c with c = floor(z / t), z = B m + h, h = floor(t/2), for t < 2^51.
 *
 * With beta = floor(2^104 B / t) < 2^104 in digits b1 b0 and eta = floor(2^52 h / t): c' = floor((m beta / 2^52 + eta) / 2^52),
 * of which the half digit L(m b0) is dropped, is short of z/t by less than 2^-52 (m / 2^52 + 1 + 1) < 3 2^-52 before the
 * floor, so it is c or c - 1, and z - c' t is in [0, 2t), below 2^52: its low 52 bits are all of it. */
static void scale_up(const sotto_rns *b, uint64_t *residues, size_t stride, const uint64_t *m, size_t count, uint64_t t)
{
    if (t >> 51 != 0) {
        sotto_rns_kernels_ref.scale_up(b, residues, stride, m, count, t);
        return;
    }
    const sotto_rns_scaling s = sotto_rns_scaling_new(b, t);
    const uint64_t h = t / 2, beta1 = (uint64_t)(((sotto_u128)s.b << 52) / t), rest = (uint64_t)(((sotto_u128)s.b << 52) % t);
    const vec b1 = all(beta1), b0 = all((uint64_t)(((sotto_u128)rest << 52) / t)), eta = all((uint64_t)(((sotto_u128)h << 52) / t));
    const vec mask52 = all(MASK52), zero = _mm512_setzero_si512(), half = all(h), modulus = all(t), one = all(1);
    const vec minus_t = all((UINT64_C(1) << 52) - t), remainder = all(s.b);
    vec q[SOTTO_RNS_MAX], minus_q[SOTTO_RNS_MAX], mu[SOTTO_RNS_MAX];
    factor a[SOTTO_RNS_MAX];
    for (size_t i = 0; i < b->k; i++) {
        q[i] = all(b->m[i].q);
        minus_q[i] = all((UINT64_C(1) << 52) - b->m[i].q);
        mu[i] = all((UINT64_C(1) << 52) / b->m[i].q);
        a[i] = factor_new(s.a[i].w, b->m[i].q);
    }
    for (size_t j = 0; j < count; j += LANES) {
        const __mmask8 k = lanes(j, count);
        const vec x = load(k, m + j);
        const vec part = low(high(eta, x, b0), x, b1);                            /* below 2^54 */
        vec c = high(_mm512_srli_epi64(part, 52), x, b1);
        const vec left = _mm512_and_epi64(low(low(half, x, remainder), c, minus_t), mask52); /* z - c' t */
        c = _mm512_mask_add_epi64(c, _mm512_cmpge_epu64_mask(left, modulus), c, one);        /* at most t */
        for (size_t i = 0; i < b->k; i++) {
            /* c mod q_i in [0, 2q_i): Barrett with floor(2^52 / q_i), one quotient too small at most. */
            const vec estimate = high(zero, c, mu[i]);
            const vec r = _mm512_and_epi64(low(c, estimate, minus_q[i]), mask52);
            const vec sum = _mm512_add_epi64(mul_lazy(x, a[i], minus_q[i], mask52), r); /* [0, 4q_i) */
            store(residues + i * stride + j, k, once(once(sum, _mm512_slli_epi64(q[i], 1)), q[i]));
        }
    }
}

/* As the portable kernel; r mod q_i stays in [0, 2q_i), which the sum allows for. */
static void drop_last(const sotto_rns *b, uint64_t *out, const uint64_t *residues, size_t stride, size_t count)
{
    const uint64_t *last = residues + (b->k - 1) * stride, q_last = b->m[b->k - 1].q, h = q_last / 2;
    const vec mask52 = all(MASK52), zero = _mm512_setzero_si512(), divisor = all(q_last), half = all(h);
    for (size_t i = 0; i + 1 < b->k; i++) {
        const uint64_t q = b->m[i].q;
        const vec modulus = all(q), minus_q = all((UINT64_C(1) << 52) - q), mu = all((UINT64_C(1) << 52) / q);
        const vec offset = all(sotto_mod_reduce(h, &b->m[i]) + 2 * q);
        const factor inverse = factor_new(b->last_inverse[i].w, q);
        for (size_t j = 0; j < count; j += LANES) {
            const __mmask8 k = lanes(j, count);
            const vec r = once(_mm512_add_epi64(load(k, last + j), half), divisor);
            const vec reduced = _mm512_and_epi64(low(r, high(zero, r, mu), minus_q), mask52); /* [0, 2q) */
            const vec x = load(k, residues + i * stride + j);
            const vec difference = _mm512_sub_epi64(_mm512_add_epi64(x, offset), reduced); /* (0, 4q), below 2^52 */
            store(out + i * stride + j, k, once(mul_lazy(difference, inverse, minus_q, mask52), modulus));
        }
    }
}

const sotto_rns_kernels sotto_rns_kernels_ifma = {
    .tier = SOTTO_TIER_IFMA, .bits_max = 50, .n_min = 1024, /* q = 1 mod 2n is above 2^10 */
    .add = add, .sub = sub, .neg = neg, .from_signed = from_signed, .add_signed = add_signed,
    .scale_round_pow2 = scale_round_pow2, .scale_round = scale_round, .scale_up = scale_up, .drop_last = drop_last,
};

#endif
