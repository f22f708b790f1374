/* The AVX-512 tier for all primes below 2^61: eight lanes of 64-bit integers. */
#include "ring/kernels.h"

#if defined(__x86_64__)

#include "lib/mem.h"
#include "ring/ntt_avx512_internal.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* PAIRS pairs of vectors go through the last layers side by side, since one alone waits for its own results. */
enum { LANES = 8, LAST_LAYERS = 3, PAIRS = 4, N_MIN = 2 * PAIRS * LANES };

/* Constant factors in Shoup's form, sotto_shoup lane by lane. */
typedef struct factor {
    words8 w, quotient;
} factor;

/* t->vector: for each pair of vectors the roots of the last three layers, then the same of the inverse roots. */
static size_t table_words(uint32_t n)
{
    return (size_t)LAST_LAYERS * n;
}

static void fill_table(uint64_t *table, const sotto_shoup *root, uint32_t n)
{
    for (size_t pair = 0; pair < n / (2 * LANES); pair++)
        for (unsigned layer = 0; layer < LAST_LAYERS; layer++, table += 2 * LANES)
            for (size_t lane = 0; lane < LANES; lane++) {
                size_t block = ((size_t)(n / LANES) << layer) + (pair << (layer + 1)) + block_of_lane8[layer][lane];
                table[lane] = root[block].w;
                table[LANES + lane] = root[block].quotient;
            }
}

static int prepare(sotto_ntt *t)
{
    t->vector = sotto_calloc(2 * table_words(t->n), sizeof *t->vector);
    if (t->vector == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the tables of a transform of length %u", (unsigned)t->n);
    fill_table(t->vector, t->root, t->n);
    fill_table(t->vector + table_words(t->n), t->root_inverse, t->n);
    return SOTTO_OK;
}

/* ---- arithmetic ------------------------------------------------------------------------------------------------ */

ALWAYS_INLINE words8 load(const uint64_t *x)
{
    return (words8)_mm512_loadu_si512(x);
}

ALWAYS_INLINE void store(uint64_t *x, words8 y)
{
    _mm512_storeu_si512(x, (__m512i)y);
}

ALWAYS_INLINE words8 broadcast(uint64_t x)
{
    return (words8)_mm512_set1_epi64((long long)x);
}

ALWAYS_INLINE factor load_factor(const sotto_shoup *f)
{
    return (factor){broadcast(f->w), broadcast(f->quotient)};
}

ALWAYS_INLINE factor load_lanes(const uint64_t *f)
{
    return (factor){load(f), load(f + LANES)};
}

/* The product of the low 32 bits. */
ALWAYS_INLINE words8 mul32(words8 a, words8 b)
{
    return (words8)_mm512_mul_epu32((__m512i)a, (__m512i)b);
}

/* x - bound where x >= bound, else x: the smaller one of both as words, since x - bound + 2^64 is above x. */
ALWAYS_INLINE words8 once(words8 x, words8 bound)
{
    return (words8)_mm512_min_epu64((__m512i)x, (__m512i)(x - bound));
}

/* x y / 2^64 rounded down, or up to 2 less. With x = x1 2^32 + x0 and y alike, x y / 2^64 = x1 y1 + x1 y0 / 2^32 +
 * x0 y1 / 2^32 + x0 y0 / 2^64: each of the last three terms loses less than 1, so the result is above
 * x y / 2^64 - 3. */
ALWAYS_INLINE words8 mulhi_lazy(words8 x, words8 y)
{
    words8 x1 = x >> 32, y1 = y >> 32;
    return mul32(x1, y1) + (mul32(x1, y) >> 32) + (mul32(x, y1) >> 32);
}

/* x w mod q for any word x. Result: [0, 4q). Shoup's quotient of w has x quotient / 2^64 in (x w / q - 1, x w / q],
 * so what mulhi_lazy gives is in (x w / q - 4, x w / q]. */
ALWAYS_INLINE words8 times(words8 x, factor f, words8 q)
{
    return x * f.w - mulhi_lazy(x, f.quotient) * q;
}

/* [0, 8q) -> [0, q). */
ALWAYS_INLINE words8 reduce(words8 x, words8 q)
{
    return once(once(once(x, 4 * q), 2 * q), q);
}

/* ---- forward transform ----------------------------------------------------------------------------------------- */

/* Two layers on blocks of 4 gap. In and out: [0, 8q). */
ALWAYS_INLINE void forward4(uint64_t *x, size_t gap, const sotto_shoup *root, size_t block, words8 q)
{
    const factor f1 = load_factor(root + block);
    const factor f2 = load_factor(root + 2 * block), f3 = load_factor(root + 2 * block + 1);
    const words8 q4 = 4 * q;
    for (size_t j = 0; j < gap; j += LANES) {
        words8 y0 = once(load(x + j), q4), y1 = once(load(x + j + gap), q4); /* all [0, 4q) */
        words8 y2 = times(load(x + j + 2 * gap), f1, q), y3 = times(load(x + j + 3 * gap), f1, q);
        words8 u0 = once(y0 + y2, q4), u2 = once(y0 + q4 - y2, q4);
        words8 v1 = times(y1 + y3, f2, q), v3 = times(y1 + q4 - y3, f3, q);
        store(x + j, u0 + v1);                                               /* all [0, 8q) */
        store(x + j + gap, u0 + q4 - v1);
        store(x + j + 2 * gap, u2 + v3);
        store(x + j + 3 * gap, u2 + q4 - v3);
    }
}

/* The last layers on every pair of vectors. In: [0, 8q). Out: [0, q), or [0, 4q) if `lazy`. */
ALWAYS_INLINE void forward_last(uint64_t *x, uint32_t n, const uint64_t *root, words8 q, int lazy)
{
    const words8 q4 = 4 * q;
    for (size_t j = 0; j < n; j += 2 * LANES * PAIRS) {
        words8 a[PAIRS], b[PAIRS];
        for (size_t i = 0; i < PAIRS; i++) {
            a[i] = load(x + j + 2 * LANES * i);
            b[i] = load(x + j + 2 * LANES * i + LANES);
        }
        for (unsigned layer = 0; layer < LAST_LAYERS; layer++)
            for (size_t i = 0; i < PAIRS; i++) {
                split8(&a[i], &b[i], layer);
                words8 u = once(a[i], q4);                                                           /* [0, 4q) */
                words8 v = times(b[i], load_lanes(root + 2 * LANES * (LAST_LAYERS * i + layer)), q); /* [0, 4q) */
                a[i] = u + v;                                                                        /* [0, 8q) */
                b[i] = u + q4 - v;
            }
        for (size_t i = 0; i < PAIRS; i++) {
            unsplit8_all(&a[i], &b[i]);
            store(x + j + 2 * LANES * i, lazy ? once(a[i], q4) : reduce(a[i], q));
            store(x + j + 2 * LANES * i + LANES, lazy ? once(b[i], q4) : reduce(b[i], q));
        }
        root += 2 * LANES * LAST_LAYERS * PAIRS;
    }
}

/* Longa and Naehrig, algorithm 1. */
ALWAYS_INLINE void forward_layers(const sotto_ntt *t, uint64_t *x, int lazy)
{
    const words8 q = broadcast(t->m.q);
    size_t gap = t->n, blocks = 1;

    if ((__builtin_ctz(t->n) - LAST_LAYERS) & 1) { /* an odd number of layers in whole vectors: one alone first */
        const factor f = load_factor(t->root + 1);
        gap /= 2;
        for (size_t j = 0; j < gap; j += LANES) {
            words8 u = load(x + j), v = times(load(x + j + gap), f, q); /* [0, 4q) */
            store(x + j, u + v);                                        /* [0, 8q) */
            store(x + j + gap, u + 4 * q - v);
        }
        blocks = 2;
    }
    for (; gap > LANES; blocks *= 4) {
        gap /= 4;
        for (size_t i = 0; i < blocks; i++)
            forward4(x + 4 * gap * i, gap, t->root, blocks + i, q);
    }
    forward_last(x, t->n, t->vector, q, lazy);
}

static void forward(const sotto_ntt *t, uint64_t *x)
{
    forward_layers(t, x, 0);
}

static void forward_lazy(const sotto_ntt *t, uint64_t *x)
{
    forward_layers(t, x, 1);
}

/* ---- inverse transform ----------------------------------------------------------------------------------------- */

/* The first layers on every pair of vectors. In and out: [0, 4q). */
ALWAYS_INLINE void inverse_first(uint64_t *x, uint32_t n, const uint64_t *root, words8 q)
{
    const words8 q4 = 4 * q;
    for (size_t j = 0; j < n; j += 2 * LANES * PAIRS) {
        words8 a[PAIRS], b[PAIRS];
        for (size_t i = 0; i < PAIRS; i++) {
            a[i] = load(x + j + 2 * LANES * i);
            b[i] = load(x + j + 2 * LANES * i + LANES);
            split8_all(&a[i], &b[i]);
        }
        for (unsigned layer = LAST_LAYERS; layer-- > 0;)
            for (size_t i = 0; i < PAIRS; i++) {
                words8 sum = a[i] + b[i], difference = a[i] + q4 - b[i]; /* [0, 8q) */
                a[i] = once(sum, q4);                                    /* [0, 4q) */
                b[i] = times(difference, load_lanes(root + 2 * LANES * (LAST_LAYERS * i + layer)), q); /* [0, 4q) */
                unsplit8_layer(&a[i], &b[i], layer);
            }
        for (size_t i = 0; i < PAIRS; i++) {
            store(x + j + 2 * LANES * i, a[i]);
            store(x + j + 2 * LANES * i + LANES, b[i]);
        }
        root += 2 * LANES * LAST_LAYERS * PAIRS;
    }
}

/* Two layers on blocks of 4 gap. In and out: [0, 4q). */
ALWAYS_INLINE void inverse4(uint64_t *x, size_t gap, const sotto_shoup *root, size_t block, words8 q)
{
    const factor f1 = load_factor(root + block);
    const factor f2 = load_factor(root + 2 * block), f3 = load_factor(root + 2 * block + 1);
    const words8 q4 = 4 * q;
    for (size_t j = 0; j < gap; j += LANES) {
        words8 y0 = load(x + j), y1 = load(x + j + gap), y2 = load(x + j + 2 * gap), y3 = load(x + j + 3 * gap);
        words8 u0 = once(y0 + y1, q4), u2 = once(y2 + y3, q4); /* all [0, 4q) */
        words8 u1 = times(y0 + q4 - y1, f2, q), u3 = times(y2 + q4 - y3, f3, q);
        store(x + j, once(u0 + u2, q4));
        store(x + j + gap, once(u1 + u3, q4));
        store(x + j + 2 * gap, times(u0 + q4 - u2, f1, q));
        store(x + j + 3 * gap, times(u1 + q4 - u3, f1, q));
    }
}

/* x w mod q in [0, q). */
ALWAYS_INLINE words8 times_reduced(words8 x, factor f, words8 q)
{
    return once(once(times(x, f, q), 2 * q), q);
}

/* Longa and Naehrig, algorithm 2. The last pass multiplies by n^-1: the sums by n^-1, the differences by n^-1 w. */
static void inverse(const sotto_ntt *t, uint64_t *x)
{
    const words8 q = broadcast(t->m.q), q4 = 4 * q;
    const sotto_shoup *root = t->root_inverse;
    const factor f0 = load_factor(&t->n_inverse), f1 = load_factor(&t->n_inverse_root);
    size_t gap = LANES, blocks = t->n / LANES / 4;

    inverse_first(x, t->n, t->vector + table_words(t->n), q);
    for (; blocks > 1; gap *= 4, blocks /= 4)
        for (size_t i = 0; i < blocks; i++)
            inverse4(x + 4 * gap * i, gap, root, blocks + i, q);

    if (blocks == 1) {
        const factor f2 = load_factor(root + 2), f3 = load_factor(root + 3);
        for (size_t j = 0; j < gap; j += LANES) {
            words8 y0 = load(x + j), y1 = load(x + j + gap), y2 = load(x + j + 2 * gap), y3 = load(x + j + 3 * gap);
            words8 u0 = once(y0 + y1, q4), u2 = once(y2 + y3, q4); /* all [0, 4q) */
            words8 u1 = times(y0 + q4 - y1, f2, q), u3 = times(y2 + q4 - y3, f3, q);
            store(x + j, times_reduced(u0 + u2, f0, q));
            store(x + j + gap, times_reduced(u1 + u3, f0, q));
            store(x + j + 2 * gap, times_reduced(u0 + q4 - u2, f1, q));
            store(x + j + 3 * gap, times_reduced(u1 + q4 - u3, f1, q));
        }
    } else { /* an odd number of layers: one is left */
        for (size_t j = 0; j < gap; j += LANES) {
            words8 y0 = load(x + j), y1 = load(x + j + gap);
            store(x + j, times_reduced(y0 + y1, f0, q));
            store(x + j + gap, times_reduced(y0 + q4 - y1, f1, q));
        }
    }
}

/* ---- pointwise ------------------------------------------------------------------------------------------------- */

typedef struct barrett {
    words8 q, mu; /* mu = floor(2^(63+b) / q) < 2^64 for q of b bits */
    int shift;    /* 64 - b */
} barrett;

ALWAYS_INLINE barrett barrett_new(const sotto_modulus *m)
{
    uint64_t mu = (m->ratio[1] << (m->bits - 1)) | (m->ratio[0] >> (65 - m->bits));
    return (barrett){broadcast(m->q), broadcast(mu), (int)(64 - m->bits)};
}

/* x y + c mod q for x, y in [0, 4q), c in [0, q). Result: [0, q).
 *
 * x is reduced to [0, q), so that x 2^(64-b) and 2y are words. h is in (x y / 2^(b-1) - 3, x y / 2^(b-1)], below
 * 2^(b+3). With mu > 2^(63+b) / q - 1 the quotient mulhi_lazy(h, mu) is above h mu / 2^64 - 3 > h 2^(b-1) / q - 4 >
 * x y / q - 3 2^(b-1) / q - 4 >= x y / q - 7, and not above x y / q: what remains is in [0, 7q), with c in [0, 8q). */
ALWAYS_INLINE words8 product(words8 x, words8 y, words8 c, barrett r)
{
    x = once(once(x, 2 * r.q), r.q);
    words8 h = mulhi_lazy(x << r.shift, y << 1);
    return reduce(x * y + c - mulhi_lazy(h, r.mu) * r.q, r.q);
}

static void mul(const sotto_ntt *t, uint64_t *out, const uint64_t *a, const uint64_t *b)
{
    const barrett r = barrett_new(&t->m);
    for (size_t i = 0; i < t->n; i += LANES)
        store(out + i, product(load(a + i), load(b + i), broadcast(0), r));
}

static void mac(const sotto_ntt *t, uint64_t *acc, const uint64_t *a, const uint64_t *b)
{
    const barrett r = barrett_new(&t->m);
    for (size_t i = 0; i < t->n; i += LANES)
        store(acc + i, product(load(a + i), load(b + i), load(acc + i), r));
}

/* A sum of products of values below 2^61, low + 2^31 middle + 2^62 high. With x = x1 2^31 + x0, x0 < 2^31, x1 <
 * 2^30, and w alike, a term adds at most (2^31 - 1)^2 to low, 2 (2^31 - 1) (2^30 - 1) to middle and less than 2^60
 * to high. */
typedef struct sums {
    words8 low, middle, high;
} sums;

ALWAYS_INLINE void accumulate(sums *s, words8 x, words8 w0, words8 w1, words8 low31)
{
    words8 x0 = x & low31, x1 = x >> 31;
    s->low += mul32(x0, w0);
    s->middle += mul32(x0, w1);
    s->middle += mul32(x1, w0);
    s->high += mul32(x1, w1);
}

/* Carries between the words: low < 2^31, middle < 2^31 + 2^33 afterwards. Four more terms leave low below
 * 2^31 + 4 (2^31 - 1)^2 < 2^64 and middle below 2^31 + 2^33 + 8 (2^31 - 1) (2^30 - 1) < 2^64. */
#define DOT_CARRY 4

ALWAYS_INLINE void carry(sums *s, words8 low31)
{
    s->high += s->middle >> 31;
    s->middle = (s->middle & low31) + (s->low >> 31);
    s->low &= low31;
}

/* 12 terms and three carries leave high below 12 2^60 + 3 2^33, the last carry of fold included below 2^64. */
#define DOT_RUN 12

/* s + rest mod q for s after a carry, rest in [0, q). Result: [0, q). f1 and f62 are the factors 1 and 2^62. */
ALWAYS_INLINE words8 fold(sums s, words8 rest, factor f1, factor f62, words8 q, words8 low31)
{
    words8 high = s.high + (s.middle >> 31), low = ((s.middle & low31) << 31) + s.low; /* low < 2^62 */
    words8 r = once(times(high, f62, q), 2 * q) + once(times(low, f1, q), 2 * q);      /* [0, 4q) */
    return reduce(r + rest, q);                                                        /* from [0, 5q) */
}

/* A run of terms at a time, on DOT_TILE words of each array: the rests, in the outputs, stay in the first cache and
 * the memory serves few streams. */
#define DOT_TILE 512

static void dot_pair(const sotto_ntt *t, uint64_t *out0, uint64_t *out1, const uint64_t *const *x0,
                     const uint64_t *const *x1, const uint64_t *const *w, size_t terms)
{
    const words8 q = broadcast(t->m.q), low31 = broadcast(0x7fffffff), zero = broadcast(0);
    const sotto_shoup one = sotto_shoup_new(1, &t->m), scale = sotto_shoup_new((uint64_t)1 << 62, &t->m);
    const factor f1 = load_factor(&one), f62 = load_factor(&scale);
    const size_t tile = t->n < DOT_TILE ? t->n : DOT_TILE;

    for (size_t from = 0; from < t->n; from += tile) {
        size_t k = 0, end;
        do { /* once for no terms: it writes zeros */
            end = terms - k < DOT_RUN ? terms : k + DOT_RUN;
            for (size_t i = from; i < from + tile; i += LANES) {
                sums s0 = {zero, zero, zero}, s1 = s0;
                for (size_t j = k; j < end;) {
                    for (size_t stop = end - j < DOT_CARRY ? end : j + DOT_CARRY; j < stop; j++) {
                        words8 y = load(w[j] + i), w0 = y & low31, w1 = y >> 31;
                        accumulate(&s0, load(x0[j] + i), w0, w1, low31);
                        accumulate(&s1, load(x1[j] + i), w0, w1, low31);
                    }
                    carry(&s0, low31);
                    carry(&s1, low31);
                }
                store(out0 + i, fold(s0, k == 0 ? zero : load(out0 + i), f1, f62, q, low31));
                store(out1 + i, fold(s1, k == 0 ? zero : load(out1 + i), f1, f62, q, low31));
            }
            k = end;
        } while (k < terms);
    }
}

const sotto_ntt_kernels sotto_ntt_kernels_avx512 = {
    .name = "avx512", .tier = SOTTO_TIER_AVX512, .bits_max = SOTTO_MODULUS_BITS_MAX, .n_min = N_MIN,
    .prepare = prepare, .forward = forward, .forward_lazy = forward_lazy, .inverse = inverse,
    .mul = mul, .mac = mac, .dot_pair = dot_pair,
};

#endif
