/* The AVX2 tier of the samplers: four words at a time, the last ones by the portable tier. */
#include "ring/sample_internal.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "lib/ct.h"

enum { LANES = 4 };

static inline __m256i load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

static inline void store(void *p, __m256i x)
{
    _mm256_storeu_si256((__m256i *)p, x);
}

static inline __m256i all(uint64_t x)
{
    return _mm256_set1_epi64x((long long)x);
}

/* Halves of words to take so that those named by the bits of the row's number come first. */
#define W(i) 2 * (i), 2 * (i) + 1
static const int32_t to_front[1 << LANES][2 * LANES] = {
    {0},                      {W(0)},                   {W(1)},             {W(0), W(1)},
    {W(2)},                   {W(0), W(2)},             {W(1), W(2)},       {W(0), W(1), W(2)},
    {W(3)},                   {W(0), W(3)},             {W(1), W(3)},       {W(0), W(1), W(3)},
    {W(2), W(3)},             {W(0), W(2), W(3)},       {W(1), W(2), W(3)}, {W(0), W(1), W(2), W(3)},
};
#undef W

/* filled <= i, so that a store of four words ends no later than the words that were read. What is compared lies below
 * 2^63, as a signed comparison needs. */
static size_t accept_var(uint64_t *x, size_t count, unsigned bits, uint64_t q)
{
    const __m256i mask = all(sotto_low_bits(UINT64_MAX, bits)), bound = all(q);
    size_t filled = 0, i = 0;

    for (; count - i >= LANES; i += LANES) {
        const __m256i candidate = _mm256_and_si256(load(x + i), mask);
        const __m256i good = _mm256_cmpgt_epi64(bound, candidate);
        const unsigned row = (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(good));
        store(x + filled, _mm256_permutevar8x32_epi32(candidate, load(to_front[row])));
        filled += (unsigned)_mm_popcnt_u32(row);
    }
    for (; i < count; i++) {
        const uint64_t candidate = sotto_low_bits(x[i], bits);
        x[filled] = candidate;
        filled += candidate < q;
    }
    return filled;
}

/* floor(3 w / 2^64) - 1 changes where w passes a third and two thirds of 2^64 - 1; with the top bits inverted, the signed
 * comparison is the unsigned one. */
static void ternary(int64_t *x, size_t count)
{
    const uint64_t top = (uint64_t)1 << 63;
    const __m256i third = all((UINT64_MAX / 3) ^ top), two_thirds = all((UINT64_MAX / 3 * 2) ^ top);
    size_t i = 0;

    for (; count - i >= LANES; i += LANES) {
        const __m256i w = _mm256_xor_si256(load(x + i), all(top));
        const __m256i passed = _mm256_add_epi64(_mm256_cmpgt_epi64(w, third), _mm256_cmpgt_epi64(w, two_thirds));
        store(x + i, _mm256_sub_epi64(all(UINT64_MAX), passed));
    }
    sotto_sample_kernels_ref.ternary(x + i, count - i);
}

/* The 19 entries c_j of the cumulative table as three pivots and four groups of four: pivots c_4, c_9, c_14 tell g with
 * 5g <= |X| < 5g + 5, and then |X| is 5g plus the number of c_5g, ..., c_{5g+3} not above u. Seven comparisons instead of
 * 19; the four entries come from registers by a permutation, whose time does not depend on its index. u >= c is
 * u > c - 1, both below 2^63. Counts are kept negative, as comparisons give them, in both 32-bit halves of a word alike. */
static void error(int64_t *x, size_t count)
{
    const uint64_t *c = sotto_error_cumulative;
    const __m256i halves = all((uint64_t)1 << 32); /* 0, 1 */
    __m256i pivot[3], entry[4];
    size_t i = 0;

    for (size_t j = 0; j < 3; j++)
        pivot[j] = all(c[5 * j + 4] - 1);
    for (size_t j = 0; j < 4; j++)
        entry[j] = _mm256_setr_epi64x((long long)(c[j] - 1), (long long)(c[5 + j] - 1), (long long)(c[10 + j] - 1),
                                      (long long)(c[15 + j] - 1));
    for (; count - i >= LANES; i += LANES) {
        const __m256i w = load(x + i), u = _mm256_srli_epi64(w, 1);
        __m256i g = _mm256_cmpgt_epi64(u, pivot[0]);
        for (size_t j = 1; j < 3; j++)
            g = _mm256_add_epi32(g, _mm256_cmpgt_epi64(u, pivot[j]));
        const __m256i index = _mm256_sub_epi32(halves, _mm256_add_epi32(g, g)); /* 2g, 2g + 1 */
        __m256i m = _mm256_add_epi32(_mm256_slli_epi32(g, 2), g);
        for (size_t j = 0; j < 4; j++)
            m = _mm256_add_epi32(m, _mm256_cmpgt_epi64(u, _mm256_permutevar8x32_epi32(entry[j], index)));
        /* m = -|X|. */
        const __m256i magnitude = _mm256_and_si256(_mm256_sub_epi32(_mm256_setzero_si256(), m), all(UINT32_MAX));
        const __m256i negative = _mm256_sub_epi64(_mm256_setzero_si256(), _mm256_and_si256(w, all(1)));
        store(x + i, _mm256_sub_epi64(_mm256_xor_si256(magnitude, negative), negative));
    }
    sotto_sample_kernels_ref.error(x + i, count - i);
}

const sotto_sample_kernels sotto_sample_kernels_avx2 = {"avx2", SOTTO_TIER_AVX2, accept_var, ternary, error};

#endif
