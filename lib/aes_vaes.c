/* AES-128 by vector AES: a zmm register holds four blocks or four key schedules, and one instruction does a round on all.
 * An instruction takes 3 to 4 cycles and a new one can start in every cycle, so eight registers are kept in flight. */
#include "lib/aes_kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "lib/mem.h"

enum { WIDTH = 4, REGS = 8 }; /* blocks in a register, registers of blocks in flight */

/* Functions whose loops disappear where they are called. */
#define INLINE __attribute__((always_inline)) static inline

static const uint8_t rcon[10] = SOTTO_AES_RCON;

/* The first n blocks of a register, n <= 4, as a mask of its 64-bit words. */
static inline __mmask8 first_blocks(size_t n)
{
    return (__mmask8)((1u << 2 * n) - 1);
}

/* Loads and stores of n blocks, 1 <= n <= 4. */
static inline __m512i load_some(const sotto_block *b, size_t n)
{
    return _mm512_maskz_loadu_epi64(first_blocks(n), b);
}

static inline void store_some(void *b, __m512i x, size_t n)
{
    _mm512_mask_storeu_epi64(b, first_blocks(n), x);
}

/* Four times the step of aes_ni.c's function of the same name. */
static inline __m512i next_round_key(__m512i k, unsigned round)
{
    const __m512i rotate = _mm512_set1_epi32(0x0c0f0e0d);
    const __m512i t = _mm512_aesenclast_epi128(_mm512_shuffle_epi8(k, rotate), _mm512_set1_epi32(rcon[round]));
    const __m512i pairs = _mm512_xor_si512(k, _mm512_bslli_epi128(k, 4));

    return _mm512_ternarylogic_epi64(pairs, _mm512_bslli_epi128(pairs, 8), t, 0x96); /* xor of three */
}

/* ---- one key ---- */

static inline void load_key(__m512i rk[11], const sotto_aes_key *key)
{
    for (unsigned r = 0; r < 11; r++)
        rk[r] = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)&key->round[r]));
}

/* The rounds on `regs` registers side by side. */
INLINE void rounds(__m512i *x, unsigned regs, const __m512i rk[11])
{
    for (unsigned j = 0; j < regs; j++)
        x[j] = _mm512_xor_si512(x[j], rk[0]);
    for (unsigned r = 1; r < 10; r++) {
        for (unsigned j = 0; j < regs; j++)
            x[j] = _mm512_aesenc_epi128(x[j], rk[r]);
    }
    for (unsigned j = 0; j < regs; j++)
        x[j] = _mm512_aesenclast_epi128(x[j], rk[10]);
}

static void encrypt(const sotto_aes_key *key, sotto_block *out, const sotto_block *in, size_t count)
{
    __m512i rk[11], x[REGS];

    load_key(rk, key);
    for (; count >= REGS * WIDTH; count -= REGS * WIDTH, in += REGS * WIDTH, out += REGS * WIDTH) {
        for (unsigned j = 0; j < REGS; j++)
            x[j] = _mm512_loadu_si512(in + j * WIDTH);
        rounds(x, REGS, rk);
        for (unsigned j = 0; j < REGS; j++)
            _mm512_storeu_si512(out + j * WIDTH, x[j]);
    }
    for (size_t n; count > 0; count -= n, in += n, out += n) {
        n = count < WIDTH ? count : WIDTH;
        x[0] = load_some(in, n);
        rounds(x, 1, rk);
        store_some(out, x[0], n);
    }
}

static void counter(const sotto_aes_key *key, void *out, uint64_t first, size_t count)
{
    const __m512i step = _mm512_set_epi64(0, WIDTH, 0, WIDTH, 0, WIDTH, 0, WIDTH);
    const __m512i place = _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0);
    __m512i next = _mm512_add_epi64(_mm512_maskz_set1_epi64(0x55, (long long)first), place);
    __m512i rk[11], x[REGS];
    uint8_t *p = out;

    load_key(rk, key);
    for (; count >= REGS * WIDTH; count -= REGS * WIDTH) {
        for (unsigned j = 0; j < REGS; j++) {
            x[j] = next;
            next = _mm512_add_epi64(next, step);
        }
        rounds(x, REGS, rk);
        for (unsigned j = 0; j < REGS; j++, p += sizeof x[j])
            _mm512_storeu_si512(p, x[j]);
    }
    for (size_t n; count > 0; count -= n, p += n * sizeof(sotto_block)) {
        n = count < WIDTH ? count : WIDTH;
        x[0] = next;
        next = _mm512_add_epi64(next, step);
        rounds(x, 1, rk);
        store_some(p, x[0], n);
    }
}

static void expand(sotto_aes_key *key, sotto_block k)
{
    __m512i rk = load_some(&k, 1);

    store_some(&key->round[0], rk, 1);
    for (unsigned r = 0; r < 10; r++) {
        rk = next_round_key(rk, r);
        store_some(&key->round[r + 1], rk, 1);
    }
}

/* ---- many keys ---- */

static inline __m128i load_block(const sotto_block *b)
{
    return _mm_loadu_si128((const __m128i *)(const void *)b);
}

static inline void store_block(sotto_block *b, __m128i x)
{
    _mm_storeu_si128((__m128i *)(void *)b, x);
}

/* Blocks b[0], b[per], b[2 per], b[3 per], and back. */
static inline __m512i gather(const sotto_block *b, size_t per)
{
    if (per == 1)
        return _mm512_loadu_si512(b);
    const __m512i x = _mm512_inserti64x2(_mm512_castsi128_si512(load_block(b)), load_block(b + per), 1);
    return _mm512_inserti64x2(_mm512_inserti64x2(x, load_block(b + 2 * per), 2), load_block(b + 3 * per), 3);
}

static inline void scatter(sotto_block *b, size_t per, __m512i x)
{
    if (per == 1) {
        _mm512_storeu_si512(b, x);
        return;
    }
    store_block(b, _mm512_castsi512_si128(x));
    store_block(b + per, _mm512_extracti64x2_epi64(x, 1));
    store_block(b + 2 * per, _mm512_extracti64x2_epi64(x, 2));
    store_block(b + 3 * per, _mm512_extracti64x2_epi64(x, 3));
}

/* 4 regs keys with `per` blocks each, `at_once` of these side by side while the key schedules pass by, which are never
 * stored: a schedule is as much work as three blocks, of other instructions that run beside them. */
INLINE void encrypt_group(sotto_block *out, const sotto_block *in, const sotto_block *k, size_t per, unsigned regs,
                          unsigned at_once)
{
    for (size_t j = 0; j < per; j += at_once) {
        __m512i rk[REGS], x[REGS];
        for (unsigned l = 0; l < regs; l++) {
            rk[l] = _mm512_loadu_si512(k + l * WIDTH);
            for (unsigned i = 0; i < at_once; i++)
                x[l * at_once + i] = _mm512_xor_si512(gather(in + l * WIDTH * per + j + i, per), rk[l]);
        }
        for (unsigned r = 0; r < 9; r++) {
            for (unsigned l = 0; l < regs; l++)
                rk[l] = next_round_key(rk[l], r);
            for (unsigned l = 0; l < regs * at_once; l++)
                x[l] = _mm512_aesenc_epi128(x[l], rk[l / at_once]);
        }
        for (unsigned l = 0; l < regs; l++) {
            rk[l] = next_round_key(rk[l], 9);
            for (unsigned i = 0; i < at_once; i++)
                scatter(out + l * WIDTH * per + j + i, per, _mm512_aesenclast_epi128(x[l * at_once + i], rk[l]));
        }
    }
}

/* As many of `keys` keys as make whole registers, first 4 regs at a time and then four; returns how many. */
INLINE size_t encrypt_keys(sotto_block *out, const sotto_block *in, const sotto_block *k, size_t keys, size_t per,
                           unsigned regs, unsigned at_once)
{
    size_t i = 0;

    for (; keys - i >= WIDTH * regs; i += WIDTH * regs)
        encrypt_group(out + i * per, in + i * per, k + i, per, regs, at_once);
    for (; keys - i >= WIDTH; i += WIDTH)
        encrypt_group(out + i * per, in + i * per, k + i, per, 1, at_once);
    return i;
}

static void encrypt_rekeyed(sotto_block *out, const sotto_block *in, size_t count, const sotto_block *k, size_t per)
{
    const size_t keys = count / per; /* those with all their blocks */
    size_t done = 0;
    sotto_aes_key key;

    /* What is constant here the compiler unrolls: at most eight registers of blocks and four of keys in flight. */
    if (per == 1)
        done = encrypt_keys(out, in, k, keys, 1, 4, 1);
    else if (per == 2)
        done = encrypt_keys(out, in, k, keys, 2, 4, 2);
    else if (per == 4)
        done = encrypt_keys(out, in, k, keys, 4, 2, 4);
    else if (per == 8)
        done = encrypt_keys(out, in, k, keys, 8, 1, 8);
    else if (per < 8)
        done = encrypt_keys(out, in, k, keys, per, 4, 1);
    if (done * per == count)
        return;
    for (size_t i = done * per, n; i < count; i += n) {
        n = count - i < per ? count - i : per;
        expand(&key, k[done++]);
        encrypt(&key, out + i, in + i, n);
    }
    sotto_wipe(&key, sizeof key);
}

const sotto_aes_kernel sotto_aes_kernel_vaes = {
    "vaes", SOTTO_TIER_IFMA, expand, encrypt, encrypt_rekeyed, counter,
};

#endif
