/* Kernels for AVX2: the portable algorithms on four words at a time. The streams and hashes are those of lib/aes. */
#include "ot/kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "lib/mem.h"

static inline __m256i load(const void *p)
{
    return _mm256_loadu_si256(p);
}

static inline __m128i load_block(const sotto_block *p)
{
    return _mm_loadu_si128((const void *)p);
}

static inline void store_block(sotto_block *p, __m128i x)
{
    _mm_storeu_si128((void *)p, x);
}

static void add(uint8_t *x, const uint8_t *y, uint64_t mask, size_t bytes)
{
    const __m256i m = _mm256_set1_epi64x((long long)mask);
    size_t at = 0;
    for (; at + 32 <= bytes; at += 32) {
        _mm256_storeu_si256((void *)(x + at), _mm256_xor_si256(load(x + at), _mm256_and_si256(load(y + at), m)));
    }
    if (at < bytes) {
        sotto_ot_kernels_ref.add(x + at, y + at, mask, bytes - at);
    }
}

/* One step of transpose64 in kernels_ref.c on four matrices side by side; half and mask are constants where it is
 * inlined. */
static inline void exchange(__m256i m[64], unsigned half, long long mask)
{
    const __m256i low = _mm256_set1_epi64x(mask);
    for (unsigned i = 0; i < 64; i = (i + half + 1) & ~half) {
        const __m256i a = m[i], b = m[i + half];
        const __m256i swap = _mm256_and_si256(_mm256_xor_si256(_mm256_srli_epi64(a, (int)half), b), low);
        m[i] = _mm256_xor_si256(a, _mm256_slli_epi64(swap, (int)half));
        m[i + half] = _mm256_xor_si256(b, swap);
    }
}

static void transpose64(__m256i m[64])
{
    exchange(m, 32, 0x00000000ffffffff);
    exchange(m, 16, 0x0000ffff0000ffff);
    exchange(m, 8, 0x00ff00ff00ff00ff);
    exchange(m, 4, 0x0f0f0f0f0f0f0f0f);
    exchange(m, 2, 0x3333333333333333);
    exchange(m, 1, 0x5555555555555555);
}

static void transpose(sotto_block *out, const uint8_t *column, size_t bytes, size_t rows)
{
    __m256i m[2][64];
    size_t done = 0;
    for (; done + 256 <= rows; done += 256) {
        for (size_t j = 0; j < SOTTO_OT_COLUMNS; j++) {
            m[j / 64][j % 64] = load(column + j * bytes + done / 8);
        }
        transpose64(m[0]);
        transpose64(m[1]);
        /* Word l of m[h][i] is half h of row done + 64 l + i. */
        for (size_t i = 0; i < 64; i++) {
            const __m256i even = _mm256_unpacklo_epi64(m[0][i], m[1][i]),
                          odd = _mm256_unpackhi_epi64(m[0][i], m[1][i]);
            sotto_block *o = out + done + i;
            store_block(o, _mm256_castsi256_si128(even));
            store_block(o + 64, _mm256_castsi256_si128(odd));
            store_block(o + 128, _mm256_extracti128_si256(even, 1));
            store_block(o + 192, _mm256_extracti128_si256(odd, 1));
        }
    }
    sotto_wipe(m, sizeof m);
    if (done < rows) {
        sotto_ot_transpose_ref(out + done, column + done / 8, bytes, rows - done);
    }
}

static void patch(sotto_block *x, size_t count, uint64_t index, sotto_block value)
{
    const __m128i v = load_block(&value), one = _mm_set1_epi64x(1), want = _mm_set1_epi64x((long long)index);
    __m128i number = _mm_setzero_si128();
    for (size_t j = 0; j < count; j++) {
        const __m128i hit = _mm_cmpeq_epi64(number, want);
        store_block(&x[j], _mm_xor_si128(load_block(&x[j]), _mm_and_si128(v, hit)));
        number = _mm_add_epi64(number, one);
    }
}

static void lpn(sotto_block *y, const sotto_block *leaf, size_t count, const sotto_block *x, const uint64_t *words)
{
    const __m128i keep = _mm_set_epi64x(-1, -2);
    for (size_t i = 0; i < count; i++, words += SOTTO_OT_LPN_WORDS) {
        __m128i sum[2] = {_mm_and_si128(load_block(&leaf[i]), keep), _mm_setzero_si128()};
        for (unsigned j = 0; j < 10; j++) {
            sum[j % 2] = _mm_xor_si128(sum[j % 2], load_block(&x[words[j % 4] >> (17 * (j / 4)) & 0x1ffff]));
        }
        store_block(&y[i], _mm_xor_si128(sum[0], sum[1]));
    }
}

const sotto_ot_kernels sotto_ot_kernels_avx2 = {
    "avx2", SOTTO_TIER_AVX2, sotto_ot_expand_ref, sotto_ot_sums_ref, add, transpose, sotto_ot_grow_ref, patch, lpn,
};

#endif
