/* AES-128 by the AES-NI instructions. An instruction takes 3 to 4 cycles but a new one can start in every cycle or
 * two, so eight independent blocks (or key schedules) are kept in flight. */
#include "lib/aes_kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "lib/mem.h"

enum { LANES = 8 };

static const uint8_t rcon[10] = SOTTO_AES_RCON;

static inline __m128i load(const sotto_block *b)
{
    return _mm_loadu_si128((const __m128i *)(const void *)b);
}

static inline void store(sotto_block *b, __m128i x)
{
    _mm_storeu_si128((__m128i *)(void *)b, x);
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

static void encrypt(const sotto_aes_key *key, sotto_block *out, const sotto_block *in, size_t count)
{
    __m128i rk[11], x[LANES];
    size_t i = 0;

    for (unsigned r = 0; r < 11; r++)
        rk[r] = load(&key->round[r]);
    for (; count - i >= LANES; i += LANES) {
        for (unsigned j = 0; j < LANES; j++)
            x[j] = _mm_xor_si128(load(&in[i + j]), rk[0]);
        for (unsigned r = 1; r < 10; r++) {
            for (unsigned j = 0; j < LANES; j++)
                x[j] = _mm_aesenc_si128(x[j], rk[r]);
        }
        for (unsigned j = 0; j < LANES; j++)
            store(&out[i + j], _mm_aesenclast_si128(x[j], rk[10]));
    }
    for (; i < count; i++) {
        __m128i y = _mm_xor_si128(load(&in[i]), rk[0]);
        for (unsigned r = 1; r < 10; r++)
            y = _mm_aesenc_si128(y, rk[r]);
        store(&out[i], _mm_aesenclast_si128(y, rk[10]));
    }
}

/* Eight keys, `per` blocks each: the schedules side by side, then the j-th block of all keys side by side. */
static void encrypt_group(__m128i rk[11][LANES], sotto_block *out, const sotto_block *in, const sotto_block *k,
                          size_t per)
{
    for (unsigned l = 0; l < LANES; l++)
        rk[0][l] = load(&k[l]);
    for (unsigned r = 0; r < 10; r++) {
        for (unsigned l = 0; l < LANES; l++)
            rk[r + 1][l] = next_round_key(rk[r][l], r);
    }
    for (size_t j = 0; j < per; j++) {
        __m128i x[LANES];
        for (unsigned l = 0; l < LANES; l++)
            x[l] = _mm_xor_si128(load(&in[l * per + j]), rk[0][l]);
        for (unsigned r = 1; r < 10; r++) {
            for (unsigned l = 0; l < LANES; l++)
                x[l] = _mm_aesenc_si128(x[l], rk[r][l]);
        }
        for (unsigned l = 0; l < LANES; l++)
            store(&out[l * per + j], _mm_aesenclast_si128(x[l], rk[10][l]));
    }
}

static void encrypt_rekeyed(sotto_block *out, const sotto_block *in, size_t count, const sotto_block *k, size_t per)
{
    __m128i rk[11][LANES];
    sotto_aes_key key;
    size_t i = 0;

    /* per <= count / 8 first, so that LANES * per cannot overflow. */
    if (per <= count / LANES) {
        for (; count - i >= LANES * per; i += LANES * per, k += LANES)
            encrypt_group(rk, out + i, in + i, k, per);
        sotto_wipe(rk, sizeof rk);
    }
    if (i == count)
        return;
    for (; i < count; k++) {
        const size_t n = count - i < per ? count - i : per;
        expand(&key, *k);
        encrypt(&key, out + i, in + i, n);
        i += n;
    }
    sotto_wipe(&key, sizeof key);
}

const sotto_aes_kernel sotto_aes_kernel_ni = {expand, encrypt, encrypt_rekeyed};

#endif
