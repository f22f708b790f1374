/* Re-keyed hashing with consecutive tweaks: sixteen key schedules side by side, each round key used as soon as it is
 * there, so that none is stored. Per round and four keys the schedule takes three instructions of the shuffle port
 * and one of the AES port, and each block one more of the latter; the schedules of sixteen keys are in flight
 * together because those of one wait for each other. */
#include "lib/hash_kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "lib/aes_kernel.h"
#include "lib/mem.h"

enum { WIDTH = 4, REGS = 4, GROUP = WIDTH * REGS };

static const uint8_t rcon[10] = SOTTO_AES_RCON;

/* As in aes_vaes.c. */
static inline __m512i next_round_key(__m512i k, unsigned round)
{
    const __m512i rotate = _mm512_set1_epi32(0x0c0f0e0d);
    const __m512i t = _mm512_aesenclast_epi128(_mm512_shuffle_epi8(k, rotate), _mm512_set1_epi32(rcon[round]));
    const __m512i pairs = _mm512_xor_si512(k, _mm512_bslli_epi128(k, 4));

    return _mm512_ternarylogic_epi64(pairs, _mm512_bslli_epi128(pairs, 8), t, 0x96);
}

/* (L, R) -> (R, L xor R) in each block. */
static inline __m512i sigma(__m512i x)
{
    const __m512i high = _mm512_set_epi64(-1, 0, -1, 0, -1, 0, -1, 0);

    return _mm512_ternarylogic_epi64(_mm512_shuffle_epi32(x, _MM_PERM_BADC), x, high, 0x78);
}

/* One group; `two` says whether out1 is wanted and is a constant where this is inlined. */
static inline void hash_group(sotto_block *out0, sotto_block *out1, const sotto_block *x, __m512i offset, __m512i key,
                              uint64_t counter, int two)
{
    __m512i k[REGS], in[2][REGS], s[2][REGS];
    const unsigned n = two ? 2 : 1;

    for (unsigned i = 0; i < REGS; i++) {
        const long long c = (long long)(counter + WIDTH * i);
        k[i] = _mm512_xor_si512(
            key, _mm512_add_epi64(_mm512_maskz_set1_epi64(0x55, c), _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0)));
        in[0][i] = sigma(_mm512_loadu_si512(x + WIDTH * i));
        in[1][i] = _mm512_xor_si512(in[0][i], offset);
        for (unsigned j = 0; j < n; j++)
            s[j][i] = _mm512_xor_si512(in[j][i], k[i]);
    }
    for (unsigned r = 0; r < 9; r++) {
        for (unsigned i = 0; i < REGS; i++) {
            k[i] = next_round_key(k[i], r);
            for (unsigned j = 0; j < n; j++)
                s[j][i] = _mm512_aesenc_epi128(s[j][i], k[i]);
        }
    }
    for (unsigned i = 0; i < REGS; i++) {
        k[i] = next_round_key(k[i], 9);
        for (unsigned j = 0; j < n; j++)
            s[j][i] = _mm512_xor_si512(_mm512_aesenclast_epi128(s[j][i], k[i]), in[j][i]);
        _mm512_storeu_si512(out0 + WIDTH * i, s[0][i]);
        if (two)
            _mm512_storeu_si512(out1 + WIDTH * i, s[1][i]);
    }
}

static inline void hash_all(sotto_block *out0, sotto_block *out1, const sotto_block *x, sotto_block offset,
                            sotto_block key, uint64_t counter, size_t count, int two)
{
    /* sigma is linear, so that the second block of a pair is the first xor sigma(offset). */
    const __m512i d = sigma(_mm512_broadcast_i32x4(_mm_loadu_si128((const void *)&offset)));
    const __m512i base = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)&key));
    sotto_block last[3][GROUP];
    size_t i = 0;

    for (; i + GROUP <= count; i += GROUP)
        hash_group(out0 + i, two ? out1 + i : NULL, x + i, d, base, counter + i, two);
    if (i == count)
        return;
    memset(last[0], 0, sizeof last[0]);
    memcpy(last[0], x + i, (count - i) * sizeof *x);
    hash_group(last[1], last[2], last[0], d, base, counter + i, two);
    memcpy(out0 + i, last[1], (count - i) * sizeof *x);
    if (two)
        memcpy(out1 + i, last[2], (count - i) * sizeof *x);
    sotto_wipe(last, sizeof last);
}

void sotto_hash_vaes(sotto_block *out0, sotto_block *out1, const sotto_block *x, sotto_block offset, sotto_block key,
                     uint64_t counter, size_t count)
{
    if (out1 != NULL)
        hash_all(out0, out1, x, offset, key, counter, count, 1);
    else
        hash_all(out0, NULL, x, offset, key, counter, count, 0);
}

#endif
