/* Kernel by vector AES: four blocks in a zmm register. The key schedules are computed round by round beside the blocks that they serve, so that
 * round keys never leave their register; 8 to 16 registers of blocks hide the latency of schedule and rounds. */
#include "garble/garbling_internal.h"

#if defined(__x86_64__)

#include <immintrin.h>

typedef __m512i vec;
typedef __mmask8 bits; /* two equal bits a block */

#define INLINE_OP __attribute__((always_inline)) static inline

INLINE_OP vec load(const void *p)
{
    return _mm512_loadu_si512(p);
}

INLINE_OP void store(void *p, vec x)
{
    _mm512_storeu_si512(p, x);
}

INLINE_OP vec load_lows(const uint8_t *p)
{
    const __m256i words = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm512_permutexvar_epi64(_mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0), _mm512_castsi256_si512(words));
}

INLINE_OP void store_lows(uint8_t *p, vec x)
{
    const vec words = _mm512_permutexvar_epi64(_mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0), x);
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_castsi512_si256(words));
}

INLINE_OP vec add(vec x, vec y)
{
    return _mm512_xor_si512(x, y);
}

INLINE_OP vec sigma(vec x)
{
    const vec swapped = _mm512_shuffle_epi32(x, _MM_PERM_BADC);
    return _mm512_mask_xor_epi64(swapped, 0xaa, swapped, x);
}

INLINE_OP vec phi(vec x)
{
    const vec swapped = _mm512_shuffle_epi32(x, _MM_PERM_CDAB);
    return _mm512_mask_xor_epi32(swapped, 0xaaaa, swapped, x);
}

INLINE_OP vec spread(sotto_block b)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)&b));
}

INLINE_OP vec tweaked(vec key, uint32_t sub)
{
    return _mm512_xor_si512(key, _mm512_maskz_set1_epi64(0xaa, (long long)sub));
}

INLINE_OP vec join(vec x, vec y)
{
    return _mm512_mask_blend_epi64(0xaa, x, y);
}

INLINE_OP vec lows(vec x)
{
    return _mm512_unpacklo_epi64(x, x);
}

INLINE_OP vec highs(vec x)
{
    return _mm512_unpackhi_epi64(x, x);
}

INLINE_OP bits lowest(vec x)
{
    return _mm512_test_epi64_mask(lows(x), _mm512_set1_epi64(1));
}

INLINE_OP bits middle(vec x)
{
    return _mm512_test_epi64_mask(highs(x), _mm512_set1_epi64(1));
}

INLINE_OP bits both(bits x, bits y)
{
    return (bits)(x & y);
}

INLINE_OP bits differ(bits x, bits y)
{
    return (bits)(x ^ y);
}

INLINE_OP vec add_if(vec x, bits c, vec y)
{
    return _mm512_mask_xor_epi64(x, c, x, y);
}

/* Bits 0, 2, 4, 6 to 0 .. 3 and back to pairs. */
INLINE_OP unsigned pack(bits c)
{
    return _pext_u32(c, 0x55);
}

INLINE_OP bits unpack(unsigned n)
{
    return (bits)(3 * _pdep_u32(n & 15, 0x55));
}

/* [FIPS 197, 5.2] for four keys; aesenclast on four copies of a rotated word substitutes and adds the round constant, as in lib/aes_ni.c. */
INLINE_OP vec next_round_key(vec k, unsigned round)
{
    static const uint8_t rcon[10] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36};
    const vec t = _mm512_aesenclast_epi128(_mm512_shuffle_epi8(k, _mm512_set1_epi32(0x0c0f0e0d)), _mm512_set1_epi32(rcon[round]));
    const vec pairs = _mm512_xor_si512(k, _mm512_bslli_epi128(k, 4));
    return _mm512_ternarylogic_epi64(pairs, _mm512_bslli_epi128(pairs, 8), t, 0x96); /* xor of three */
}

enum { MOST_KEYS = 3, MOST_BLOCKS = 16 };

INLINE_OP void hash(vec *x, const vec *key, const unsigned keys, const unsigned per)
{
    vec k[MOST_KEYS], y[MOST_BLOCKS];
    for (unsigned q = 0; q < keys; q++)
        k[q] = key[q];
    for (unsigned i = 0; i < keys * per; i++)
        y[i] = _mm512_xor_si512(x[i], k[i / per]);
    for (unsigned r = 0; r < 9; r++) {
        for (unsigned q = 0; q < keys; q++)
            k[q] = next_round_key(k[q], r);
        for (unsigned i = 0; i < keys * per; i++)
            y[i] = _mm512_aesenc_epi128(y[i], k[i / per]);
    }
    for (unsigned q = 0; q < keys; q++)
        k[q] = next_round_key(k[q], 9);
    for (unsigned i = 0; i < keys * per; i++) /* the last round adds its key at the end: x may come with it */
        x[i] = _mm512_aesenclast_epi128(y[i], _mm512_xor_si512(k[i / per], x[i]));
}

#include "garble/kernel_internal.h"

const sotto_garble_kernel sotto_garble_kernel_vaes = {
    "vaes", SOTTO_TIER_IFMA, {garble_half_gates, garble_three_halves}, {evaluate_half_gates, evaluate_three_halves},
};

#endif
