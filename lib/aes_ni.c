/* AES-128 by the AES-NI instructions. An instruction takes 3 to 4 cycles but a new one can start in every cycle or
 * two, so eight independent blocks (or key schedules) are kept in flight. */
#include "lib/aes_kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "lib/mem.h"

enum { LANES = 8 };

/* Functions whose loops disappear where they are called. */
#define INLINE __attribute__((always_inline)) static inline

static const uint8_t rcon[10] = SOTTO_AES_RCON;

static inline __m128i load(const sotto_block *b)
{
    return _mm_loadu_si128((const __m128i *)(const void *)b);
}

static inline void store(void *b, __m128i x)
{
    _mm_storeu_si128((__m128i *)b, x);
}

/* Round key `round` + 1 from the one before. AESENCLAST is AddRoundKey(ShiftRows(SubBytes(x))); on four equal columns
 * ShiftRows changes nothing, so that on four copies of RotWord(w3) it gives four copies of
 * SubWord(RotWord(w3)) xor rcon. It is several times faster than AESKEYGENASSIST and needs no immediate. */
static inline __m128i next_round_key(__m128i k, unsigned round)
{
    const __m128i rotate = _mm_set1_epi32(0x0c0f0e0d);
    const __m128i t = _mm_aesenclast_si128(_mm_shuffle_epi8(k, rotate), _mm_set1_epi32(rcon[round]));

    /* Word i of the new key is t xor w0 xor ... xor wi: a prefix sum. */
    k = _mm_xor_si128(k, _mm_slli_si128(k, 4));
    k = _mm_xor_si128(k, _mm_slli_si128(k, 8));
    return _mm_xor_si128(k, t);
}

static void expand(sotto_aes_key *key, sotto_block k)
{
    __m128i rk = load(&k);

    store(&key->round[0], rk);
    for (unsigned r = 0; r < 10; r++) {
        rk = next_round_key(rk, r);
        store(&key->round[r + 1], rk);
    }
}

/* ---- one key ---- */

static inline void load_key(__m128i rk[11], const sotto_aes_key *key)
{
    for (unsigned r = 0; r < 11; r++)
        rk[r] = load(&key->round[r]);
}

/* The rounds on `lanes` blocks side by side. */
INLINE void rounds(__m128i *x, unsigned lanes, const __m128i rk[11])
{
    for (unsigned j = 0; j < lanes; j++)
        x[j] = _mm_xor_si128(x[j], rk[0]);
    for (unsigned r = 1; r < 10; r++) {
        for (unsigned j = 0; j < lanes; j++)
            x[j] = _mm_aesenc_si128(x[j], rk[r]);
    }
    for (unsigned j = 0; j < lanes; j++)
        x[j] = _mm_aesenclast_si128(x[j], rk[10]);
}

static void encrypt(const sotto_aes_key *key, sotto_block *out, const sotto_block *in, size_t count)
{
    __m128i rk[11], x[LANES];
    size_t i = 0;

    load_key(rk, key);
    for (; count - i >= LANES; i += LANES) {
        for (unsigned j = 0; j < LANES; j++)
            x[j] = load(&in[i + j]);
        rounds(x, LANES, rk);
        for (unsigned j = 0; j < LANES; j++)
            store(&out[i + j], x[j]);
    }
    for (; i < count; i++) {
        x[0] = load(&in[i]);
        rounds(x, 1, rk);
        store(&out[i], x[0]);
    }
}

static void counter(const sotto_aes_key *key, void *out, uint64_t first, size_t count)
{
    __m128i rk[11], x[LANES];
    uint8_t *p = out;

    load_key(rk, key);
    for (; count >= LANES; count -= LANES, first += LANES) {
        for (unsigned j = 0; j < LANES; j++)
            x[j] = _mm_cvtsi64_si128((long long)(first + j));
        rounds(x, LANES, rk);
        for (unsigned j = 0; j < LANES; j++, p += sizeof x[j])
            store(p, x[j]);
    }
    for (; count > 0; count--, first++, p += sizeof x[0]) {
        x[0] = _mm_cvtsi64_si128((long long)first);
        rounds(x, 1, rk);
        store(p, x[0]);
    }
}

/* ---- many keys ---- */

/* `keys` keys with `per` blocks each, `at_once` of these side by side while the key schedules pass by, which are never
 * stored: a schedule is as much work as three to four blocks, of other instructions that run beside them. */
INLINE void encrypt_group(sotto_block *out, const sotto_block *in, const sotto_block *k, size_t per, unsigned keys,
                          unsigned at_once)
{
    for (size_t j = 0; j < per; j += at_once) {
        __m128i rk[LANES], x[LANES];
        for (unsigned l = 0; l < keys; l++) {
            rk[l] = load(&k[l]);
            for (unsigned i = 0; i < at_once; i++)
                x[l * at_once + i] = _mm_xor_si128(load(&in[l * per + j + i]), rk[l]);
        }
        for (unsigned r = 0; r < 9; r++) {
            for (unsigned l = 0; l < keys; l++)
                rk[l] = next_round_key(rk[l], r);
            for (unsigned l = 0; l < keys * at_once; l++)
                x[l] = _mm_aesenc_si128(x[l], rk[l / at_once]);
        }
        for (unsigned l = 0; l < keys; l++) {
            rk[l] = next_round_key(rk[l], 9);
            for (unsigned i = 0; i < at_once; i++)
                store(&out[l * per + j + i], _mm_aesenclast_si128(x[l * at_once + i], rk[l]));
        }
    }
}

/* As many of `keys` keys as make whole groups of `group`; returns how many. */
INLINE size_t encrypt_keys(sotto_block *out, const sotto_block *in, const sotto_block *k, size_t keys, size_t per,
                           unsigned group, unsigned at_once)
{
    size_t i = 0;

    for (; keys - i >= group; i += group)
        encrypt_group(out + i * per, in + i * per, k + i, per, group, at_once);
    return i;
}

static void encrypt_rekeyed(sotto_block *out, const sotto_block *in, size_t count, const sotto_block *k, size_t per)
{
    const size_t keys = count / per; /* those with all their blocks */
    size_t done = 0;
    sotto_aes_key key;

    /* What is constant here the compiler unrolls: at most eight blocks and four keys in flight, twelve of the registers. */
    if (per == 1)
        done = encrypt_keys(out, in, k, keys, 1, 4, 1);
    else if (per == 2)
        done = encrypt_keys(out, in, k, keys, 2, 4, 2);
    else if (per == 4)
        done = encrypt_keys(out, in, k, keys, 4, 2, 4);
    else if (per == 8)
        done = encrypt_keys(out, in, k, keys, 8, 1, 8);
    if (done * per == count)
        return;
    for (size_t i = done * per, n; i < count; i += n) {
        n = count - i < per ? count - i : per;
        expand(&key, k[done++]);
        encrypt(&key, out + i, in + i, n);
    }
    sotto_wipe(&key, sizeof key);
}

const sotto_aes_kernel sotto_aes_kernel_ni = {
    "aes-ni", SOTTO_TIER_AVX2, expand, encrypt, encrypt_rekeyed, counter,
};

#endif
