/* The AVX-512 tier of the samplers: eight words at a time, the last ones under a mask. */
#include "ring/sample_internal.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "lib/ct.h"

enum { LANES = 8 };

/* The first n lanes, n <= 8. */
static inline __mmask8 first_lanes(size_t n)
{
    return (__mmask8)((1u << n) - 1);
}

/* A comparison's result behind a value barrier, as in lib/ct.h; clang, which would rather count with whole registers, then
 * adds under the mask. */
static inline __mmask8 barrier(__mmask8 k)
{
    __asm__("" : "+Yk"(k));
    return k;
}

/* Words w of which those in `live` are there: the accepted ones go to `to`, from where all eight words may be written if
 * `whole`. Compressing in a register and storing all of it is much faster than compressing into memory (AMD Zen 4). */
static inline size_t accept_some(uint64_t *to, __m512i w, __mmask8 live, __m512i mask, __m512i q, int whole)
{
    const __m512i candidate = _mm512_and_si512(w, mask);
    const __mmask8 good = _mm512_mask_cmplt_epu64_mask(live, candidate, q);
    const __m512i front = _mm512_maskz_compress_epi64(good, candidate);
    const size_t n = (size_t)_mm_popcnt_u32(good);

    if (whole)
        _mm512_storeu_si512(to, front);
    else
        _mm512_mask_storeu_epi64(to, first_lanes(n), front);
    return n;
}

/* filled <= i, so that a store of eight words ends no later than the words that were read. */
static size_t accept_var(uint64_t *x, size_t count, unsigned bits, uint64_t q)
{
    const __m512i mask = _mm512_set1_epi64((long long)sotto_low_bits(UINT64_MAX, bits));
    const __m512i bound = _mm512_set1_epi64((long long)q);
    size_t filled = 0, i = 0;

    for (; count - i >= LANES; i += LANES)
        filled += accept_some(x + filled, _mm512_loadu_si512(x + i), first_lanes(LANES), mask, bound, 1);
    if (i == count)
        return filled;
    const __mmask8 live = first_lanes(count - i);
    return filled + accept_some(x + filled, _mm512_maskz_loadu_epi64(live, x + i), live, mask, bound, 0);
}

/* floor(3 w / 2^64) - 1 changes where w passes a third and two thirds of 2^64 - 1. */
static inline __m512i ternary_of(__m512i w)
{
    const __m512i third = _mm512_set1_epi64((long long)(UINT64_MAX / 3));
    const __m512i two_thirds = _mm512_set1_epi64((long long)(UINT64_MAX / 3 * 2));
    const __m512i one = _mm512_set1_epi64(1);
    __m512i r = _mm512_set1_epi64(-1);

    r = _mm512_mask_add_epi64(r, barrier(_mm512_cmpgt_epu64_mask(w, third)), r, one);
    return _mm512_mask_add_epi64(r, barrier(_mm512_cmpgt_epu64_mask(w, two_thirds)), r, one);
}

static void ternary(int64_t *x, size_t count)
{
    size_t i = 0;

    for (; count - i >= LANES; i += LANES)
        _mm512_storeu_si512(x + i, ternary_of(_mm512_loadu_si512(x + i)));
    if (i < count) {
        const __mmask8 live = first_lanes(count - i);
        _mm512_mask_storeu_epi64(x + i, live, ternary_of(_mm512_maskz_loadu_epi64(live, x + i)));
    }
}

/* The 19 entries c_j of the cumulative table as three pivots and four groups of four: pivots c_4, c_9, c_14 tell g with
 * 5g <= |X| < 5g + 5, and then |X| is 5g plus the number of c_5g, ..., c_{5g+3} not above u. Seven comparisons instead of
 * 19; the four entries come from registers by a permutation, whose time does not depend on its index. The index is 5g, of
 * which it takes three bits: 0, 5, 2, 7. With w = 2u + sign, u >= c if and only if w >= 2c. */
typedef struct steps {
    __m512i pivot[3], entry[4];
} steps;

static inline steps load_steps(void)
{
    const uint64_t *c = sotto_error_cumulative;
    steps s;

    for (size_t j = 0; j < 3; j++)
        s.pivot[j] = _mm512_set1_epi64((long long)(2 * c[5 * j + 4]));
    for (size_t j = 0; j < 4; j++) {
        const long long group[4] = {(long long)(2 * c[j]), (long long)(2 * c[5 + j]), (long long)(2 * c[10 + j]),
                                    (long long)(2 * c[15 + j])};
        s.entry[j] = _mm512_setr_epi64(group[0], 0, group[2], 0, 0, group[1], 0, group[3]);
    }
    return s;
}

static inline __m512i error_of(__m512i w, const steps *s)
{
    const __m512i zero = _mm512_setzero_si512(), one = _mm512_set1_epi64(1), five = _mm512_set1_epi64(5);
    __m512i magnitude = zero;

    for (size_t j = 0; j < 3; j++)
        magnitude = _mm512_mask_add_epi64(magnitude, barrier(_mm512_cmpge_epu64_mask(w, s->pivot[j])), magnitude, five);
    const __m512i group = magnitude;
    for (size_t j = 0; j < 4; j++) {
        const __m512i c = _mm512_permutexvar_epi64(group, s->entry[j]);
        magnitude = _mm512_mask_add_epi64(magnitude, barrier(_mm512_cmpge_epu64_mask(w, c)), magnitude, one);
    }
    return _mm512_mask_sub_epi64(magnitude, barrier(_mm512_test_epi64_mask(w, one)), zero, magnitude);
}

static void error(int64_t *x, size_t count)
{
    const steps s = load_steps();
    size_t i = 0;

    for (; count - i >= LANES; i += LANES)
        _mm512_storeu_si512(x + i, error_of(_mm512_loadu_si512(x + i), &s));
    if (i < count) {
        const __mmask8 live = first_lanes(count - i);
        _mm512_mask_storeu_epi64(x + i, live, error_of(_mm512_maskz_loadu_epi64(live, x + i), &s));
    }
}

const sotto_sample_kernels sotto_sample_kernels_avx512 = {"avx512", SOTTO_TIER_AVX512, accept_var, ternary, error};

#endif
