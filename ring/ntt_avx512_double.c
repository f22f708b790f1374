/* The AVX-512 tier below 2^50: eight lanes of double precision, for CPUs without AVX-512 IFMA. */
#include "ring/kernels.h"

#if defined(__x86_64__)

#include "ring/ntt_avx512_internal.h"

#define LANES 8
#define PAIRS 4

typedef __m512d vec;
typedef words8 ivec;

static inline vec load(const void *x)
{
    return _mm512_loadu_pd(x);
}

static inline void store(void *x, vec y)
{
    _mm512_storeu_pd(x, y);
}

static inline vec broadcast(double x)
{
    return _mm512_set1_pd(x);
}

/* a b + c, a b - c, c - a b, each rounded once. */
static inline vec fma_add(vec a, vec b, vec c)
{
    return _mm512_fmadd_pd(a, b, c);
}

static inline vec fma_sub(vec a, vec b, vec c)
{
    return _mm512_fmsub_pd(a, b, c);
}

static inline vec fma_negadd(vec a, vec b, vec c)
{
    return _mm512_fnmadd_pd(a, b, c);
}

/* Words below 2^53 as doubles. */
static inline vec from_words(ivec x)
{
    return _mm512_cvtepu64_pd((__m512i)x);
}

/* r mod q in [0, q) as a word, for |r| < q: as words, the smaller of r and r + q. */
static inline ivec to_residue(vec r, vec q)
{
    return (ivec)_mm512_min_epu64(_mm512_cvtpd_epi64(r), _mm512_cvtpd_epi64(r + q));
}

static inline void split(vec *a, vec *b, unsigned layer)
{
    ivec x = (ivec)*a, y = (ivec)*b;
    split8(&x, &y, layer);
    *a = (vec)x;
    *b = (vec)y;
}

static inline void unsplit_layer(vec *a, vec *b, unsigned layer)
{
    ivec x = (ivec)*a, y = (ivec)*b;
    unsplit8_layer(&x, &y, layer);
    *a = (vec)x;
    *b = (vec)y;
}

static inline void split_all(vec *a, vec *b)
{
    ivec x = (ivec)*a, y = (ivec)*b;
    split8_all(&x, &y);
    *a = (vec)x;
    *b = (vec)y;
}

static inline void unsplit_all(vec *a, vec *b)
{
    ivec x = (ivec)*a, y = (ivec)*b;
    unsplit8_all(&x, &y);
    *a = (vec)x;
    *b = (vec)y;
}

static size_t block_of_lane(unsigned layer, size_t lane)
{
    return block_of_lane8[layer][lane];
}

#include "ring/ntt_double_internal.h"

const sotto_ntt_kernels sotto_ntt_kernels_avx512_double = {
    .name = "avx512-double", .tier = SOTTO_TIER_AVX512, .bits_max = DOUBLE_BITS_MAX, .n_min = DOUBLE_N_MIN,
    .prepare = prepare, .forward = forward, .forward_lazy = forward_lazy, .inverse = inverse,
    .mul = mul, .mac = mac, .dot_pair = dot_pair,
};

#endif
