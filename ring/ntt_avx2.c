/* The AVX2 tier: four lanes of double precision, primes below 2^50. Larger primes stay with the portable kernels. */
#include "ring/kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define LANES 4
#define PAIRS 2

typedef __m256d vec;
typedef unsigned long long ivec __attribute__((vector_size(32)));

static inline vec load(const void *x)
{
    return _mm256_loadu_pd(x);
}

static inline void store(void *x, vec y)
{
    _mm256_storeu_pd(x, y);
}

static inline vec broadcast(double x)
{
    return _mm256_set1_pd(x);
}

/* a b + c, a b - c, c - a b, each rounded once. */
static inline vec fma_add(vec a, vec b, vec c)
{
    return _mm256_fmadd_pd(a, b, c);
}

static inline vec fma_sub(vec a, vec b, vec c)
{
    return _mm256_fmsub_pd(a, b, c);
}

static inline vec fma_negadd(vec a, vec b, vec c)
{
    return _mm256_fnmadd_pd(a, b, c);
}

/* Words below 2^52 as doubles: put under the exponent of 2^52, x reads 2^52 + x. */
static inline vec from_words(ivec x)
{
    return (vec)(x | (ivec)broadcast(0x1p52)) - broadcast(0x1p52);
}

/* r mod q in [0, q) as a word, for |r| < q. */
static inline ivec to_residue(vec r, vec q)
{
    vec negative = _mm256_cmp_pd(r, _mm256_setzero_pd(), _CMP_LT_OQ);
    return (ivec)(r + _mm256_and_pd(negative, q) + broadcast(0x1p52)) ^ (ivec)broadcast(0x1p52);
}

/* Two vectors a, b in the order of memory are two blocks of the layer of distance 2. The split of a layer brings
 * its partners to equal lanes: (a0 a1 b0 b1), (a2 a3 b2 b3) for layer 0, then (a0 a2 b0 b2), (a1 a3 b1 b3). Each
 * undoes itself. */
static inline void split(vec *a, vec *b, unsigned layer)
{
    const vec x = *a, y = *b;
    *a = layer == 0 ? _mm256_permute2f128_pd(x, y, 0x20) : _mm256_unpacklo_pd(x, y);
    *b = layer == 0 ? _mm256_permute2f128_pd(x, y, 0x31) : _mm256_unpackhi_pd(x, y);
}

static inline void unsplit_layer(vec *a, vec *b, unsigned layer)
{
    split(a, b, layer);
}

static inline void split_all(vec *a, vec *b)
{
    split(a, b, 0);
    split(a, b, 1);
}

static inline void unsplit_all(vec *a, vec *b)
{
    split(a, b, 1);
    split(a, b, 0);
}

/* The block, of the 2^(layer + 1) in the two vectors, that a lane works on. */
static size_t block_of_lane(unsigned layer, size_t lane)
{
    return layer == 0 ? lane / 2 : lane;
}

#include "ring/ntt_double_internal.h"

const sotto_ntt_kernels sotto_ntt_kernels_avx2 = {
    .name = "avx2", .tier = SOTTO_TIER_AVX2, .bits_max = DOUBLE_BITS_MAX, .n_min = DOUBLE_N_MIN, .prepare = prepare,
    .forward = forward, .forward_lazy = forward_lazy, .inverse = inverse, .mul = mul, .mac = mac, .dot_pair = dot_pair,
};

#endif
