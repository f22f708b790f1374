/* The loops of narrow_kernel.h for AVX2. */
#include <stdint.h>
#include <string.h>

#include "nn/plain/narrow_kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>

static inline __m256i pair(const int16_t *x)
{
    int32_t both;
    memcpy(&both, x, sizeof both);
    return _mm256_set1_epi32(both);
}

#define NARROW_KERNELS  sotto_narrow_kernels_avx2
#define NARROW_TIER     SOTTO_TIER_AVX2
#define VEC             __m256i
#define LANES           8u
#define TILE            4u
#define LOAD(p)         _mm256_loadu_si256((const void *)(p))
#define STORE(p, x)     _mm256_storeu_si256((void *)(p), x)
#define PAIR(p)         pair(p)
#define DOT(acc, x, w)  _mm256_add_epi32(acc, _mm256_madd_epi16(x, w))
#include "nn/plain/narrow_loops_internal.h"

#endif
