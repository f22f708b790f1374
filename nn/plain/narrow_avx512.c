/* The loops of narrow_kernel.h for AVX-512 (BW). */
#include <stdint.h>
#include <string.h>

#include "nn/plain/narrow_kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>

static inline __m512i pair(const int16_t *x)
{
    int32_t both;
    memcpy(&both, x, sizeof both);
    return _mm512_set1_epi32(both);
}

#define NARROW_KERNELS  sotto_narrow_kernels_avx512
#define NARROW_TIER     SOTTO_TIER_AVX512
#define VEC             __m512i
#define LANES           16u
#define TILE            8u
#define LOAD(p)         _mm512_loadu_si512(p)
#define STORE(p, x)     _mm512_storeu_si512(p, x)
#define PAIR(p)         pair(p)
#define DOT(acc, x, w)  _mm512_add_epi32(acc, _mm512_madd_epi16(x, w))
#include "nn/plain/narrow_loops_internal.h"

#endif
