/* Kernel by AES-NI: four blocks in four xmm registers, their key schedules one after the other. */
#include "garble/garbling_internal.h"

#if defined(__x86_64__)

#include <immintrin.h>

typedef struct vec {
    __m128i b[4];
} vec;

typedef vec bits; /* masks */

#define INLINE_OP __attribute__((always_inline)) static inline

INLINE_OP vec load(const void *p)
{
    vec x;
    for (unsigned i = 0; i < 4; i++)
        x.b[i] = _mm_loadu_si128((const __m128i *)p + i);
    return x;
}

INLINE_OP void store(void *p, vec x)
{
    for (unsigned i = 0; i < 4; i++)
        _mm_storeu_si128((__m128i *)p + i, x.b[i]);
}

INLINE_OP vec load_lows(const uint8_t *p)
{
    vec x;
    for (unsigned i = 0; i < 4; i++) {
        x.b[i] = _mm_loadl_epi64((const __m128i *)(const void *)(p + 8 * i));
        x.b[i] = _mm_unpacklo_epi64(x.b[i], x.b[i]);
    }
    return x;
}

INLINE_OP void store_lows(uint8_t *p, vec x)
{
    for (unsigned i = 0; i < 4; i++)
        _mm_storel_epi64((__m128i *)(void *)(p + 8 * i), x.b[i]);
}

INLINE_OP vec add(vec x, vec y)
{
    for (unsigned i = 0; i < 4; i++)
        x.b[i] = _mm_xor_si128(x.b[i], y.b[i]);
    return x;
}

INLINE_OP vec sigma(vec x)
{
    for (unsigned i = 0; i < 4; i++) /* (R, L) + (0, R): the high word of x is R */
        x.b[i] = _mm_xor_si128(_mm_shuffle_epi32(x.b[i], 0x4e), _mm_blend_epi16(_mm_setzero_si128(), x.b[i], 0xf0));
    return x;
}

INLINE_OP vec phi(vec x)
{
    for (unsigned i = 0; i < 4; i++)
        x.b[i] = _mm_xor_si128(_mm_shuffle_epi32(x.b[i], 0xb1), _mm_blend_epi16(_mm_setzero_si128(), x.b[i], 0xcc));
    return x;
}

INLINE_OP vec spread(sotto_block b)
{
    const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)&b);
    return (vec){{x, x, x, x}};
}

INLINE_OP vec tweaked(vec key, uint32_t sub)
{
    const __m128i t = _mm_set_epi64x((long long)sub, 0);
    return add(key, (vec){{t, t, t, t}});
}

INLINE_OP vec join(vec x, vec y)
{
    for (unsigned i = 0; i < 4; i++)
        x.b[i] = _mm_blend_epi16(x.b[i], y.b[i], 0xf0);
    return x;
}

INLINE_OP vec lows(vec x)
{
    for (unsigned i = 0; i < 4; i++)
        x.b[i] = _mm_unpacklo_epi64(x.b[i], x.b[i]);
    return x;
}

INLINE_OP vec highs(vec x)
{
    for (unsigned i = 0; i < 4; i++)
        x.b[i] = _mm_unpackhi_epi64(x.b[i], x.b[i]);
    return x;
}

/* Bit 0 of the block to the sign of every 32 bits, and from there everywhere. */
INLINE_OP bits lowest(vec x)
{
    for (unsigned i = 0; i < 4; i++)
        x.b[i] = _mm_srai_epi32(_mm_slli_epi32(_mm_shuffle_epi32(x.b[i], 0), 31), 31);
    return x;
}

INLINE_OP bits middle(vec x)
{
    for (unsigned i = 0; i < 4; i++)
        x.b[i] = _mm_srai_epi32(_mm_slli_epi32(_mm_shuffle_epi32(x.b[i], 0xaa), 31), 31);
    return x;
}

INLINE_OP bits both(bits x, bits y)
{
    for (unsigned i = 0; i < 4; i++)
        x.b[i] = _mm_and_si128(x.b[i], y.b[i]);
    return x;
}

INLINE_OP bits differ(bits x, bits y)
{
    return add(x, y);
}

INLINE_OP vec add_if(vec x, bits c, vec y)
{
    return add(x, both(c, y));
}

INLINE_OP unsigned pack(bits c)
{
    unsigned n = 0;
    for (unsigned i = 0; i < 4; i++)
        n |= (unsigned)(_mm_movemask_epi8(c.b[i]) & 1) << i;
    return n;
}

INLINE_OP bits unpack(unsigned n)
{
    bits c;
    for (unsigned i = 0; i < 4; i++)
        c.b[i] = _mm_set1_epi32(-(int)(n >> i & 1));
    return c;
}

/* As in lib/aes_ni.c. */
INLINE_OP __m128i next_round_key(__m128i k, unsigned round)
{
    static const uint8_t rcon[10] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36};
    const __m128i t = _mm_aesenclast_si128(_mm_shuffle_epi8(k, _mm_set1_epi32(0x0c0f0e0d)), _mm_set1_epi32(rcon[round]));
    k = _mm_xor_si128(k, _mm_slli_si128(k, 4));
    k = _mm_xor_si128(k, _mm_slli_si128(k, 8));
    return _mm_xor_si128(k, t);
}

enum { MOST_BLOCKS = 8 };

/* Key by key, `per` blocks at a time: the next key's work does not wait for this one's, and the processor overlaps them. */
INLINE_OP void hash(vec *x, const vec *key, const unsigned keys, const unsigned per)
{
    for (unsigned q = 0; q < keys; q++)
        for (unsigned i = 0; i < 4; i++) {
            __m128i k = key[q].b[i], y[MOST_BLOCKS];
            for (unsigned j = 0; j < per; j++)
                y[j] = _mm_xor_si128(x[q * per + j].b[i], k);
            for (unsigned r = 0; r < 9; r++) {
                k = next_round_key(k, r);
                for (unsigned j = 0; j < per; j++)
                    y[j] = _mm_aesenc_si128(y[j], k);
            }
            k = next_round_key(k, 9);
            for (unsigned j = 0; j < per; j++)
                x[q * per + j].b[i] = _mm_aesenclast_si128(y[j], _mm_xor_si128(k, x[q * per + j].b[i]));
        }
}

#include "garble/kernel_internal.h"

const sotto_garble_kernel sotto_garble_kernel_ni = {
    "aes-ni", SOTTO_TIER_AVX2, {garble_half_gates, garble_three_halves}, {evaluate_half_gates, evaluate_three_halves},
};

#endif
