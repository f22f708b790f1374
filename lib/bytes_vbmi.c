/* Packed words in 512-bit registers: one byte permutation brings the bytes of eight words to their places, one variable shift the bits. */
#include "lib/bytes_kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>

enum { LANES = 8, REGISTER = 64, WIDTH_MAX = 57 /* with a shift of up to 7 bits a word still lies in eight bytes */ };

/* Word i of a group begins `bit` = i width bits into it. */
static __m512i shifts(unsigned width)
{
    const __m512i lane = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
    return _mm512_and_si512(_mm512_mullo_epi64(lane, _mm512_set1_epi64(width)), _mm512_set1_epi64(7));
}

size_t sotto_unpack_vbmi(uint64_t *out, const uint8_t *in, size_t count, unsigned width)
{
    const __m512i mask = _mm512_set1_epi64((long long)((UINT64_C(1) << width % 64) - 1)), shift = shifts(width);
    uint8_t from[REGISTER];
    size_t done = 0, left = count / LANES * width;

    if (width == 1) {
        for (; done + LANES <= count; done += LANES)
            _mm512_storeu_si512(out + done, _mm512_maskz_set1_epi64(in[done / LANES], 1));
        return done;
    }
    if (width > WIDTH_MAX)
        return 0;
    for (unsigned i = 0; i < REGISTER; i++)
        from[i] = (uint8_t)((i / 8 * width / 8 + i % 8) % REGISTER); /* beyond the group only for bits that the mask drops */
    const __m512i places = _mm512_loadu_si512(from);
    for (; done + LANES <= count && left >= REGISTER; done += LANES, left -= width, in += width) {
        const __m512i bytes = _mm512_permutexvar_epi8(places, _mm512_loadu_si512(in));
        _mm512_storeu_si512(out + done, _mm512_and_si512(_mm512_srlv_epi64(bytes, shift), mask));
    }
    for (; done + LANES <= count; done += LANES, left -= width, in += width) {
        const __m512i last = _mm512_maskz_loadu_epi8((__mmask64)((UINT64_C(1) << width) - 1), in);
        const __m512i bytes = _mm512_permutexvar_epi8(places, last);
        _mm512_storeu_si512(out + done, _mm512_and_si512(_mm512_srlv_epi64(bytes, shift), mask));
    }
    return done;
}

/* Widths below 8: the eight words fit in 56 bits. */
static size_t pack_narrow(uint8_t *out, const uint64_t *in, size_t count, unsigned width)
{
    const __m512i lane = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0), mask = _mm512_set1_epi64((1 << width) - 1);
    const __m512i shift = _mm512_mullo_epi64(lane, _mm512_set1_epi64(width));
    size_t done = 0, left = count / LANES * width;

    for (; done + LANES <= count; done += LANES, left -= width, out += width) {
        const __m512i x = _mm512_sllv_epi64(_mm512_and_si512(_mm512_loadu_si512(in + done), mask), shift);
        const uint64_t group = (uint64_t)_mm512_reduce_or_epi64(x);
        if (left >= sizeof group) /* what is written too much is written again by the groups after it */
            __builtin_memcpy(out, &group, sizeof group);
        else
            __builtin_memcpy(out, &group, width);
    }
    return done;
}

size_t sotto_pack_vbmi(uint8_t *out, const uint64_t *in, size_t count, unsigned width)
{
    const __m512i mask = _mm512_set1_epi64((long long)((UINT64_C(1) << width % 64) - 1)), shift = shifts(width);
    uint8_t from[2][REGISTER] = {{0}};
    uint64_t there[2] = {0, 0};
    size_t done = 0, left = count / LANES * width;

    if (width == 1) {
        for (; done + LANES <= count; done += LANES)
            out[done / LANES] = _mm512_test_epi64_mask(_mm512_loadu_si512(in + done), _mm512_set1_epi64(1));
        return done;
    }
    if (width < 8)
        return pack_narrow(out, in, count, width);
    if (width > WIDTH_MAX)
        return 0;
    /* Words of 8 bits or more share bytes with their neighbours alone: even and odd words each have every byte to themselves. */
    for (unsigned i = 0; i < LANES; i++) {
        const unsigned first = i * width / 8, end = ((i + 1) * width + 7) / 8;
        for (unsigned b = first; b < end; b++) {
            from[i % 2][b] = (uint8_t)(8 * i + b - first);
            there[i % 2] |= UINT64_C(1) << b;
        }
    }
    const __m512i even = _mm512_loadu_si512(from[0]), odd = _mm512_loadu_si512(from[1]);
    for (; done + LANES <= count; done += LANES, left -= width, out += width) {
        const __m512i x = _mm512_sllv_epi64(_mm512_and_si512(_mm512_loadu_si512(in + done), mask), shift);
        const __m512i bytes = _mm512_or_si512(_mm512_maskz_permutexvar_epi8(there[0], even, x), _mm512_maskz_permutexvar_epi8(there[1], odd, x));
        if (left >= REGISTER)
            _mm512_storeu_si512(out, bytes);
        else
            _mm512_mask_storeu_epi8(out, (__mmask64)((UINT64_C(1) << width) - 1), bytes);
    }
    return done;
}

#endif
