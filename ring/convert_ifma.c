/* AVX-512 IFMA base conversion: eight values at a time, products of 52-bit factors in a low and a high half. */
#include "ring/convert_internal.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define LANES 8u
#define BITS_MAX 50
#define K_MAX 15
#define MASK52 ((UINT64_C(1) << 52) - 1)

typedef __m512i vec;

static inline vec all(uint64_t x)
{
    return _mm512_set1_epi64((long long)x);
}

/* acc + the low or the high 52 bits of x y; factors are cut to 52 bits. */
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

/* floor(2^52 w / q). */
static uint64_t quotient52(uint64_t w, uint64_t q)
{
    return (uint64_t)(((sotto_u128)w << 52) / q);
}

typedef struct source {
    uint64_t q, minus_q, factor, quotient, mu, shift;
} source;

/* fold = 2^52 mod q with its quotient, one = floor(2^52 / q). */
typedef struct target {
    uint64_t q, minus_q, fold, quotient, one;
} target;

/* The words of one group of lanes; k is a constant where this is inlined. */
static inline __attribute__((always_inline)) void group(const sotto_convert *c, const source *s, const target *t, size_t k,
                                                        uint64_t *out, size_t stride_out, const uint64_t *x, size_t stride_in,
                                                        const uint64_t *addend, __mmask8 some)
{
    const vec zero = _mm512_setzero_si512(), mask52 = all(MASK52);
    vec y[K_MAX], v = all(UINT64_C(1) << (SOTTO_CONVERT_UNIT - 1)); /* one half */
    for (size_t i = 0; i < k; i++) {
        y[i] = _mm512_maskz_loadu_epi64(some, x + i * stride_in);
        if (!c->weights) {
            /* x factor mod q in [0, 2q): the estimated quotient is exact or one too small (Harvey 2014, algorithm 2). */
            const vec estimate = high(zero, y[i], all(s[i].quotient));
            const vec r = low(low(zero, y[i], all(s[i].factor)), estimate, all(s[i].minus_q));
            y[i] = once(_mm512_and_epi64(r, mask52), all(s[i].q));
        }
        v = high(v, _mm512_sllv_epi64(y[i], all(s[i].shift)), all(s[i].mu)); /* below 2^52 */
    }
    v = _mm512_srli_epi64(v, SOTTO_CONVERT_UNIT);
    for (size_t o = 0; o < c->l; o++) {
        const sotto_convert_target *constant = &c->to[o];
        const vec q = all(t[o].q);
        vec bottom = addend != NULL ? _mm512_maskz_loadu_epi64(some, addend + o * stride_out) : zero;
        vec top = high(zero, v, all(constant->minus));
        bottom = low(bottom, v, all(constant->minus));
        for (size_t i = 0; i < k; i++) {
            top = high(top, y[i], all(constant->term[i]));
            bottom = low(bottom, y[i], all(constant->term[i]));
        }
        /* z = top 2^52 + bottom with bottom < 17 2^52; after the carry top < 15 2^48 + 4 + 17 < 2^52, bottom < 2^52. Both
         * quotients, of top fold / q and of bottom / q, are exact or one too small, so the remainder is below 4q < 2^52 and
         * its low 52 bits are all of it. */
        top = _mm512_add_epi64(top, _mm512_srli_epi64(bottom, 52));
        bottom = _mm512_and_epi64(bottom, mask52);
        const vec estimate = high(high(zero, top, all(t[o].quotient)), bottom, all(t[o].one));
        const vec r = _mm512_and_epi64(low(low(bottom, top, all(t[o].fold)), estimate, all(t[o].minus_q)), mask52);
        _mm512_mask_storeu_epi64(out + o * stride_out, some, once(once(r, _mm512_slli_epi64(q, 1)), q));
    }
}

#define GROUPS(k)                                                                                                              \
    for (size_t j = 0; j < count; j += LANES) {                                                                                \
        const __mmask8 some = (__mmask8)(count - j >= LANES ? 0xffu : (1u << (count - j)) - 1);                                \
        group(c, s, t, k, out + j, stride_out, x + j, stride_in, addend != NULL ? addend + j : NULL, some);                    \
    }

static void run(const sotto_convert *c, uint64_t *out, size_t stride_out, const uint64_t *x, size_t stride_in,
                const uint64_t *addend, size_t count)
{
    source s[K_MAX];
    target t[SOTTO_RNS_MAX];
    for (size_t i = 0; i < c->k; i++) {
        const sotto_convert_source *from = &c->from[i];
        s[i] = (source){from->m.q, (UINT64_C(1) << 52) - from->m.q, from->factor.w, quotient52(from->factor.w, from->m.q),
                        from->mu, 52 - from->m.bits};
    }
    for (size_t o = 0; o < c->l; o++) {
        const uint64_t q = c->to[o].m.q, fold = (UINT64_C(1) << 52) % q;
        t[o] = (target){q, (UINT64_C(1) << 52) - q, fold, quotient52(fold, q), (UINT64_C(1) << 52) / q};
    }
    switch (c->k) { /* short bases: their weights stay in registers */
    case 1:
        GROUPS(1);
        break;
    case 2:
        GROUPS(2);
        break;
    case 3:
        GROUPS(3);
        break;
    case 4:
        GROUPS(4);
        break;
    default:
        GROUPS(c->k);
    }
}

void sotto_convert_lift_ifma(uint64_t *out, const uint64_t *x, size_t count, const sotto_convert_offset *o)
{
    const vec half = all(o->half), offset = all(o->offset);
    for (size_t j = 0; j < count; j += LANES) {
        const __mmask8 some = (__mmask8)(count - j >= LANES ? 0xffu : (1u << (count - j)) - 1);
        const vec v = _mm512_maskz_loadu_epi64(some, x + j);
        _mm512_mask_storeu_epi64(out + j, some, _mm512_mask_add_epi64(v, _mm512_cmpgt_epu64_mask(v, half), v, offset));
    }
}

const sotto_convert_kernels sotto_convert_kernels_ifma = {
    .tier = SOTTO_TIER_IFMA, .bits_max = BITS_MAX, .k_max = K_MAX, .run = run,
};

#endif
