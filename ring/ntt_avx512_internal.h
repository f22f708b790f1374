/* The last three layers on vectors of eight words, where partners share a vector: what both AVX-512 kernels use. */
#ifndef SOTTO_RING_NTT_AVX512_INTERNAL_H
#define SOTTO_RING_NTT_AVX512_INTERNAL_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

typedef unsigned long long words8 __attribute__((vector_size(64)));

/* Two vectors a, b in the order of memory are two blocks of the layer of distance 4, in units of two words (a01 a23
 * a45 a67), (b01 b23 b45 b67). The split of a layer brings its partners to equal lanes, from what the layer before
 * left:
 *     0: (a01 a23 b01 b23), (a45 a67 b45 b67)
 *     1: (a01 b01 a45 b45), (a23 b23 a67 b67)
 *     2: (a0 a2 b0 b2 a4 a6 b4 b6), (a1 a3 b1 b3 a5 a7 b5 b7) */
static inline void split8(words8 *a, words8 *b, unsigned layer)
{
    const __m512i x = (__m512i)*a, y = (__m512i)*b;
    if (layer == 0) {
        *a = (words8)_mm512_shuffle_i64x2(x, y, 0x44);
        *b = (words8)_mm512_shuffle_i64x2(x, y, 0xee);
    } else if (layer == 1) {
        *a = (words8)_mm512_shuffle_i64x2(x, y, 0x88);
        *b = (words8)_mm512_shuffle_i64x2(x, y, 0xdd);
    } else {
        *a = (words8)_mm512_unpacklo_epi64(x, y);
        *b = (words8)_mm512_unpackhi_epi64(x, y);
    }
}

/* The block, of the 2^(layer + 1) in the two vectors, that a lane works on after these splits. */
static const uint8_t block_of_lane8[3][8] = {
    {0, 0, 0, 0, 1, 1, 1, 1}, {0, 0, 2, 2, 1, 1, 3, 3}, {0, 1, 4, 5, 2, 3, 6, 7}};

static inline void permute8(words8 *a, words8 *b, __m512i low, __m512i high)
{
    const __m512i x = (__m512i)*a, y = (__m512i)*b;
    *a = (words8)_mm512_permutex2var_epi64(x, low, y);
    *b = (words8)_mm512_permutex2var_epi64(x, high, y);
}

/* Undoes the split of one layer; those of layers 0 and 2 undo themselves. */
static inline void unsplit8_layer(words8 *a, words8 *b, unsigned layer)
{
    if (layer == 1)
        permute8(a, b, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15));
    else
        split8(a, b, layer);
}

/* Between the order of memory and that of layer 1; it undoes itself. */
static inline void exchange8(words8 *a, words8 *b)
{
    permute8(a, b, _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15));
}

/* From the order of memory to that of the last layer. */
static inline void split8_all(words8 *a, words8 *b)
{
    exchange8(a, b);
    split8(a, b, 2);
}

/* And back. */
static inline void unsplit8_all(words8 *a, words8 *b)
{
    split8(a, b, 2);
    exchange8(a, b);
}

#endif
