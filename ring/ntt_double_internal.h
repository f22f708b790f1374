/* Kernels for primes q < 2^50 in double-precision floating point: what the AVX2 and the AVX-512 tier share. The file
 * that includes this one defines LANES, the types vec (doubles) and ivec (64-bit words), and what has no operator:
 * load, store, broadcast, from_words, to_residue, fused multiply-add, the exchanges of lanes for the last layers; and
 * PAIRS, how many pairs of vectors go through the last layers side by side, since one alone waits for its own results.
 *
 * Current cores start two fused multiply-adds per cycle, while a product of 64-bit words takes ten instructions and
 * more on vectors that have no such multiplication. Exact products from it after Dekker, 1971, modular ones after van
 * der Hoeven, Lecerf and Quintin, "Modular SIMD arithmetic in Mathemagix", 2016. Residues are signed here: x stands
 * for x mod q, with |x| a small multiple of q. All values are integers of at most 2^53 in magnitude, hence exact, but
 * for products, which are kept as a rounded one and its error.
 *
 * The rounding mode is the default one, to nearest. No operation meets a subnormal number, the one kind of operand
 * that its time could depend on. */
#ifndef SOTTO_RING_NTT_DOUBLE_INTERNAL_H
#define SOTTO_RING_NTT_DOUBLE_INTERNAL_H

#include <stddef.h>

#include "lib/mem.h"
#include "ring/kernels.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum { DOUBLE_BITS_MAX = 50, DOUBLE_N_MIN = 2 * PAIRS * LANES };

/* A constant factor: w in (-q/2, q/2) and w/q rounded to nearest, |ratio| <= 1/2, off by at most 2^-55. */
typedef struct factor {
    double w, ratio;
} factor;

typedef struct vec_factor {
    vec w, ratio;
} vec_factor;

/* t->vector: the constants, then for the roots and again for their inverses the root[i] of whole vectors, i < n /
 * LANES, and for each pair of vectors the roots of the LAST_LAYERS layers whose distance is below LANES, lane by
 * lane. */
enum { LAST_LAYERS = LANES == 8 ? 3 : 2, CONSTANTS = 8 };

typedef struct constants {
    double inverse;           /* 1/q, rounded to nearest */
    factor scale, scale_root; /* n^-1, and that times the first inverse root */
} constants;

static size_t whole_words(uint32_t n)
{
    return 2 * ((size_t)n / LANES);
}

static size_t table_words(uint32_t n)
{
    return whole_words(n) + (size_t)LAST_LAYERS * n;
}

ALWAYS_INLINE const constants *constants_of(const sotto_ntt *t)
{
    return (const constants *)(const void *)t->vector;
}

ALWAYS_INLINE const double *forward_table(const sotto_ntt *t)
{
    return (const double *)(const void *)t->vector + CONSTANTS;
}

ALWAYS_INLINE const double *inverse_table(const sotto_ntt *t)
{
    return forward_table(t) + table_words(t->n);
}

/* Roots are public. */
static factor factor_new(uint64_t w, uint64_t q)
{
    double centred = w > q / 2 ? -(double)(q - w) : (double)w;
    return (factor){centred, centred / (double)q};
}

static void fill_table(double *table, const sotto_shoup *root, uint32_t n, uint64_t q)
{
    factor *whole = (factor *)(void *)table;
    for (size_t i = 0; i < n / LANES; i++)
        whole[i] = factor_new(root[i].w, q);
    double *last = table + whole_words(n);
    for (size_t pair = 0; pair < n / (2 * LANES); pair++)
        for (unsigned layer = 0; layer < LAST_LAYERS; layer++, last += 2 * LANES)
            for (size_t lane = 0; lane < LANES; lane++) {
                size_t block = ((size_t)(n / LANES) << layer) + (pair << (layer + 1)) + block_of_lane(layer, lane);
                factor f = factor_new(root[block].w, q);
                last[lane] = f.w;
                last[LANES + lane] = f.ratio;
            }
}

static int prepare(sotto_ntt *t)
{
    t->vector = sotto_calloc(CONSTANTS + 2 * table_words(t->n), sizeof *t->vector);
    if (t->vector == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the tables of a transform of length %u", (unsigned)t->n);
    constants *c = (constants *)(void *)t->vector;
    double *table = (double *)(void *)t->vector + CONSTANTS;
    c->inverse = 1 / (double)t->m.q;
    c->scale = factor_new(t->n_inverse.w, t->m.q);
    c->scale_root = factor_new(t->n_inverse_root.w, t->m.q);
    fill_table(table, t->root, t->n, t->m.q);
    fill_table(table + table_words(t->n), t->root_inverse, t->n, t->m.q);
    return SOTTO_OK;
}

/* ---- arithmetic ------------------------------------------------------------------------------------------------ */

/* What every kernel keeps in registers. */
typedef struct field {
    vec q, inverse; /* q and 1/q */
} field;

ALWAYS_INLINE field field_new(const sotto_ntt *t)
{
    return (field){broadcast((double)t->m.q), broadcast(constants_of(t)->inverse)};
}

/* The integer nearest to x y, for |x y| <= 2^51: x y + 3 2^51 is in [2^52, 2^53], where doubles are the integers,
 * and is rounded once. */
ALWAYS_INLINE vec nearest(vec x, vec y)
{
    vec shift = broadcast(0x1.8p52);
    return fma_add(x, y, shift) - shift;
}

/* x w mod q, |x| <= 2^52, |w| < q/2. Result: |v| <= 5/8 q.
 *
 * high + low = x w exactly: the error of a rounded product is a double. With c = nearest(x ratio), |x ratio| <=
 * 2^51 and |c - x w / q| <= 1/2 + |x| 2^-55 <= 5/8, so v = x w - c q is an integer with |v| <= 5/8 q < 2^50. |low|
 * <= 2^47 as |x w| < 2^101, so high - c q = v - low is an integer below 2^51: the fused operation does not round
 * it, nor does the sum. */
ALWAYS_INLINE vec times(vec x, vec_factor f, field m)
{
    vec high = x * f.w;
    vec low = fma_sub(x, f.w, high);
    vec c = nearest(x, f.ratio);
    return fma_negadd(c, m.q, high) + low;
}

/* x mod q, |x| <= 2^53. Result: |r| <= 17/32 q. With 1/q off by 2^-53 of itself, x/q is off by at most 1/q <= 1/32,
 * for q > 2n >= 32; |x/q| <= 2^51. */
ALWAYS_INLINE vec reduce(vec x, field m)
{
    return fma_negadd(nearest(x, m.inverse), m.q, x);
}

/* The word x < 2^52 as x - offset, |offset| <= 2^52 an integer: put under the exponent of 2^52, x reads 2^52 + x. */
ALWAYS_INLINE vec from_word(ivec x, vec offset)
{
    return (vec)(x | (ivec)broadcast(0x1p52)) - (offset + broadcast(0x1p52));
}

/* x in [0, 2^52) as a word. */
ALWAYS_INLINE ivec to_word(vec x)
{
    return (ivec)(x + broadcast(0x1p52)) ^ (ivec)broadcast(0x1p52);
}

ALWAYS_INLINE vec load_word(const uint64_t *x, vec offset)
{
    return from_word((ivec)load(x), offset);
}

ALWAYS_INLINE vec_factor load_factor(const factor *f)
{
    return (vec_factor){broadcast(f->w), broadcast(f->ratio)};
}

ALWAYS_INLINE vec_factor load_lanes(const double *f)
{
    return (vec_factor){load(f), load(f + LANES)};
}

/* ---- forward transform ----------------------------------------------------------------------------------------- */

/* Bounds are in units of q: |x| <= bound q. What times() takes is limit = 2^52 / q > 4, what it gives PRODUCT, what
 * reduce() gives REDUCED. A butterfly adds a product to a value, so that a layer adds PRODUCT to the bound: values
 * are reduced once in a few passes, and never where 2 + 15 PRODUCT is within the limit. */
#define PRODUCT 0.625
#define REDUCED 0.53125

/* Two layers on blocks of 4 gap. In: bound <= limit; the words of [0, 4q) if `first`, a bound of 2 after the
 * offset. Out: bound + 2 PRODUCT, which the caller keeps within the limit; or REDUCED + 2 PRODUCT if `reduces`,
 * which reduces the values that the first layer does not multiply. */
ALWAYS_INLINE void forward4(double *x, size_t gap, const factor *root, size_t block, field m, int first, int reduces)
{
    const vec_factor f1 = load_factor(root + block);
    const vec_factor f2 = load_factor(root + 2 * block), f3 = load_factor(root + 2 * block + 1);
    const vec offset = m.q + m.q;
    for (size_t j = 0; j < gap; j += LANES) {
        vec y[4];
        for (size_t i = 0; i < 4; i++) {
            y[i] = load(x + j + i * gap);
            if (first)
                y[i] = from_word((ivec)y[i], offset);
        }
        if (reduces) {
            y[0] = reduce(y[0], m); /* REDUCED */
            y[1] = reduce(y[1], m);
        }
        vec v2 = times(y[2], f1, m), v3 = times(y[3], f1, m);           /* PRODUCT */
        vec u0 = y[0] + v2, u2 = y[0] - v2;                             /* bound or REDUCED, + PRODUCT */
        vec v1 = times(y[1] + v3, f2, m), w3 = times(y[1] - v3, f3, m); /* PRODUCT */
        store(x + j, u0 + v1);                                          /* bound or REDUCED, + 2 PRODUCT */
        store(x + j + gap, u0 - v1);
        store(x + j + 2 * gap, u2 + w3);
        store(x + j + 3 * gap, u2 - w3);
    }
}

ALWAYS_INLINE void forward4_all(double *x, size_t gap, size_t blocks, const factor *root, field m, int first,
                                int reduces)
{
    for (size_t i = 0; i < blocks; i++)
        forward4(x + 4 * gap * i, gap, root, blocks + i, m, first, reduces);
}

/* The last layers on every pair of vectors. In: bound + (LAST_LAYERS - 1) PRODUCT <= limit; or bound <= limit and
 * `reduces`. Out: words in [0, q), or in [0, 2q) if `lazy`. */
ALWAYS_INLINE void forward_last(double *x, uint32_t n, const double *root, field m, int reduces, int lazy)
{
    for (size_t j = 0; j < n; j += 2 * LANES * PAIRS) {
        vec a[PAIRS], b[PAIRS];
        for (size_t i = 0; i < PAIRS; i++) {
            a[i] = load(x + j + 2 * LANES * i);
            b[i] = load(x + j + 2 * LANES * i + LANES);
        }
        for (unsigned layer = 0; layer < LAST_LAYERS; layer++)
            for (size_t i = 0; i < PAIRS; i++) {
                split(&a[i], &b[i], layer);
                vec u = layer == 0 && reduces ? reduce(a[i], m) : a[i];
                vec v = times(b[i], load_lanes(root + 2 * LANES * (LAST_LAYERS * i + layer)), m); /* PRODUCT */
                a[i] = u + v;
                b[i] = u - v; /* at the end at most limit + PRODUCT: below 2^53 */
            }
        for (size_t i = 0; i < PAIRS; i++) {
            unsplit_all(&a[i], &b[i]);
            a[i] = reduce(a[i], m); /* REDUCED */
            b[i] = reduce(b[i], m);
            store(x + j + 2 * LANES * i, (vec)(lazy ? to_word(a[i] + m.q) : to_residue(a[i], m.q)));
            store(x + j + 2 * LANES * i + LANES, (vec)(lazy ? to_word(b[i] + m.q) : to_residue(b[i], m.q)));
        }
        root += 2 * LANES * LAST_LAYERS * PAIRS;
    }
}

/* Longa and Naehrig, algorithm 1. */
ALWAYS_INLINE void forward_layers(const sotto_ntt *t, uint64_t *words, int lazy)
{
    const field m = field_new(t);
    const double limit = 0x1p52 * constants_of(t)->inverse;
    double *x = (double *)(void *)words;
    const double *table = forward_table(t);
    const factor *root = (const factor *)(const void *)table;
    size_t gap = t->n, blocks = 1;
    double bound = 2; /* of what the next pass takes */

    if ((__builtin_ctz(t->n) - LAST_LAYERS) & 1) { /* an odd number of layers in whole vectors: one alone first */
        const vec_factor f = load_factor(root + 1);
        gap /= 2;
        blocks = 2;
        for (size_t j = 0; j < gap; j += LANES) {
            vec u = load_word(words + j, m.q + m.q);                    /* 2 */
            vec v = times(load_word(words + j + gap, m.q + m.q), f, m); /* PRODUCT */
            store(x + j, u + v);
            store(x + j + gap, u - v);
        }
        bound += PRODUCT;
    } else {
        gap /= 4;
        blocks = 4;
        forward4_all(x, gap, 1, root, m, 1, 0); /* 2 + 2 PRODUCT <= limit */
        bound += 2 * PRODUCT;
    }
    for (; gap > LANES; blocks *= 4) {
        gap /= 4;
        if (bound + 2 * PRODUCT <= limit) {
            forward4_all(x, gap, blocks, root, m, 0, 0);
            bound += 2 * PRODUCT;
        } else {
            forward4_all(x, gap, blocks, root, m, 0, 1);
            bound = REDUCED + 2 * PRODUCT;
        }
    }
    if (bound + (LAST_LAYERS - 1) * PRODUCT <= limit)
        forward_last(x, t->n, table + whole_words(t->n), m, 0, lazy);
    else
        forward_last(x, t->n, table + whole_words(t->n), m, 1, lazy);
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

/* The first layers on every pair of vectors. In: words in [0, 2q). Out: |x| <= PRODUCT. */
ALWAYS_INLINE void inverse_first(uint64_t *words, uint32_t n, const double *root, field m)
{
    double *x = (double *)(void *)words;
    for (size_t j = 0; j < n; j += 2 * LANES * PAIRS) {
        vec a[PAIRS], b[PAIRS];
        for (size_t i = 0; i < PAIRS; i++) {
            a[i] = load_word(words + j + 2 * LANES * i, m.q); /* 1 */
            b[i] = load_word(words + j + 2 * LANES * i + LANES, m.q);
            split_all(&a[i], &b[i]);
        }
        for (unsigned layer = LAST_LAYERS; layer-- > 0;)
            for (size_t i = 0; i < PAIRS; i++) {
                vec sum = a[i] + b[i], difference = a[i] - b[i];        /* 2, then 4, then 5/4 */
                a[i] = layer == LAST_LAYERS - 1 ? sum : reduce(sum, m); /* 2, then REDUCED */
                b[i] = times(difference, load_lanes(root + 2 * LANES * (LAST_LAYERS * i + layer)), m); /* PRODUCT */
                unsplit_layer(&a[i], &b[i], layer);
            }
        for (size_t i = 0; i < PAIRS; i++) {
            store(x + j + 2 * LANES * i, a[i]);
            store(x + j + 2 * LANES * i + LANES, b[i]);
        }
        root += 2 * LANES * LAST_LAYERS * PAIRS;
    }
}

/* Two layers on blocks of 4 gap. In and out: |x| <= PRODUCT. */
ALWAYS_INLINE void inverse4(double *x, size_t gap, const factor *root, size_t block, field m)
{
    const vec_factor f1 = load_factor(root + block);
    const vec_factor f2 = load_factor(root + 2 * block), f3 = load_factor(root + 2 * block + 1);
    for (size_t j = 0; j < gap; j += LANES) {
        vec y0 = load(x + j), y1 = load(x + j + gap), y2 = load(x + j + 2 * gap), y3 = load(x + j + 3 * gap);
        vec u0 = y0 + y1, u2 = y2 + y3;                             /* 5/4 */
        vec u1 = times(y0 - y1, f2, m), u3 = times(y2 - y3, f3, m); /* PRODUCT */
        store(x + j, reduce(u0 + u2, m));                           /* REDUCED */
        store(x + j + gap, reduce(u1 + u3, m));
        store(x + j + 2 * gap, times(u0 - u2, f1, m));              /* PRODUCT, from 5/2 */
        store(x + j + 3 * gap, times(u1 - u3, f1, m));
    }
}

/* Longa and Naehrig, algorithm 2. The last pass multiplies by n^-1: the sums by n^-1, the differences by n^-1 w. */
static void inverse(const sotto_ntt *t, uint64_t *words)
{
    const field m = field_new(t);
    double *x = (double *)(void *)words;
    const double *table = inverse_table(t);
    const factor *root = (const factor *)(const void *)table;
    const vec_factor f0 = load_factor(&constants_of(t)->scale), f1 = load_factor(&constants_of(t)->scale_root);
    size_t gap = LANES, blocks = t->n / LANES / 4;

    inverse_first(words, t->n, table + whole_words(t->n), m);
    for (; blocks > 1; gap *= 4, blocks /= 4)
        for (size_t i = 0; i < blocks; i++)
            inverse4(x + 4 * gap * i, gap, root, blocks + i, m);

    if (blocks == 1) {
        const vec_factor f2 = load_factor(root + 2), f3 = load_factor(root + 3);
        for (size_t j = 0; j < gap; j += LANES) {
            vec y0 = load(x + j), y1 = load(x + j + gap), y2 = load(x + j + 2 * gap), y3 = load(x + j + 3 * gap);
            vec u0 = y0 + y1, u2 = y2 + y3;                             /* 5/4 */
            vec u1 = times(y0 - y1, f2, m), u3 = times(y2 - y3, f3, m); /* PRODUCT */
            store(x + j, (vec)to_residue(times(u0 + u2, f0, m), m.q));
            store(x + j + gap, (vec)to_residue(times(u1 + u3, f0, m), m.q));
            store(x + j + 2 * gap, (vec)to_residue(times(u0 - u2, f1, m), m.q));
            store(x + j + 3 * gap, (vec)to_residue(times(u1 - u3, f1, m), m.q));
        }
    } else { /* an odd number of layers: one is left */
        for (size_t j = 0; j < gap; j += LANES) {
            vec y0 = load(x + j), y1 = load(x + j + gap);
            store(x + j, (vec)to_residue(times(y0 + y1, f0, m), m.q));
            store(x + j + gap, (vec)to_residue(times(y0 - y1, f1, m), m.q));
        }
    }
}

/* ---- pointwise ------------------------------------------------------------------------------------------------- */

/* a b mod q for words in [0, 4q). Result: |v| <= 7/8 q. Here |a| <= 17/32 q and |b| <= 2q, so |a b / q| <= 17/16 q
 * < 2^51, and the roundings of the product and of 1/q put the quotient off by at most 17/16 q 2^-52 (1 + 2^-53) <
 * 3/8; the rest is as in times(). */
ALWAYS_INLINE vec product(ivec a_word, ivec b_word, field m)
{
    vec a = reduce(from_word(a_word, m.q + m.q), m), b = from_word(b_word, m.q + m.q);
    vec high = a * b;
    vec low = fma_sub(a, b, high);
    return fma_negadd(nearest(high, m.inverse), m.q, high) + low;
}

static void mul(const sotto_ntt *t, uint64_t *out, const uint64_t *a, const uint64_t *b)
{
    const field m = field_new(t);
    for (size_t i = 0; i < t->n; i += LANES)
        store(out + i, (vec)to_residue(product((ivec)load(a + i), (ivec)load(b + i), m), m.q));
}

static void mac(const sotto_ntt *t, uint64_t *acc, const uint64_t *a, const uint64_t *b)
{
    const field m = field_new(t);
    for (size_t i = 0; i < t->n; i += LANES) {
        vec sum = product((ivec)load(a + i), (ivec)load(b + i), m) + from_words((ivec)load(acc + i)); /* 15/8 */
        store(acc + i, (vec)to_residue(reduce(sum, m), m.q));
    }
}

/* A sum of up to K = 2^k products of values in [0, q), q < 2^b, b + k <= 52, kept exactly as high - 2^E + low with
 * E = 2b + k. high stays in [2^E, 2^(E+1)), where doubles are the multiples of 2^(E-52): adding a product rounds it
 * to such a multiple and loses an integer of at most 2^(E-53), which low takes up; |low| <= 2^(E-53+k) <= 2^51, as
 * E + k = 2 (b + k) <= 104. */
typedef struct sums {
    vec high, low;
} sums;

ALWAYS_INLINE void accumulate(sums *s, vec x, vec w)
{
    vec high = fma_add(x, w, s->high);
    s->low += fma_sub(x, w, high - s->high); /* exact: the difference, what it leaves of the product, the sum */
    s->high = high;
}

/* s + rest mod q, |rest| <= REDUCED. Result: |r| <= REDUCED. S = high - 2^E is at most K (q - 1)^2 + K 2^(E-53), so
 * S/q < K q <= 2^52. c is the even number next to S times the rounded 1/q (with 3 2^52 added it is in [2^53, 2^54],
 * where doubles are the even numbers), within 1 + 1/2 of S/q. S - c q is an integer of at most 3/2 q < 2^51; with
 * low and rest, less than 2^53. */
ALWAYS_INLINE vec fold(sums s, vec start, vec rest, field m)
{
    vec shift = broadcast(0x1.8p53), sum = s.high - start;
    vec c = fma_add(sum, m.inverse, shift) - shift;
    return reduce(fma_negadd(c, m.q, sum) + s.low + rest, m);
}

/* A few terms at a time, on DOT_TILE words of each array: the rests stay in the first cache and the memory serves few
 * streams. Between runs of terms the outputs hold the rests, as doubles. */
#define DOT_TILE 512
#define DOT_RUN_BITS_MAX 3

static void dot_pair(const sotto_ntt *t, uint64_t *out0, uint64_t *out1, const uint64_t *const *x0,
                     const uint64_t *const *x1, const uint64_t *const *w, size_t terms)
{
    const field m = field_new(t);
    const vec zero = broadcast(0);
    const unsigned run_bits = 52 - t->m.bits < DOT_RUN_BITS_MAX ? 52 - t->m.bits : DOT_RUN_BITS_MAX;
    const vec start = broadcast((double)((uint64_t)1 << t->m.bits) * (double)((uint64_t)1 << (t->m.bits + run_bits)));
    const size_t run = (size_t)1 << run_bits, tile = t->n < DOT_TILE ? t->n : DOT_TILE;

    for (size_t from = 0; from < t->n; from += tile) {
        size_t k = 0, end;
        do { /* once for no terms: it writes zeros */
            end = terms - k < run ? terms : k + run;
            for (size_t i = from; i < from + tile; i += LANES) {
                sums s0 = {start, zero}, s1 = s0;
                for (size_t j = k; j < end; j++) {
                    vec y = from_words((ivec)load(w[j] + i));
                    accumulate(&s0, from_words((ivec)load(x0[j] + i)), y);
                    accumulate(&s1, from_words((ivec)load(x1[j] + i)), y);
                }
                vec rest0 = fold(s0, start, k == 0 ? zero : load(out0 + i), m);
                vec rest1 = fold(s1, start, k == 0 ? zero : load(out1 + i), m);
                store(out0 + i, end < terms ? rest0 : (vec)to_residue(rest0, m.q));
                store(out1 + i, end < terms ? rest1 : (vec)to_residue(rest1, m.q));
            }
            k = end;
        } while (k < terms);
    }
}

#endif
