/* Kernels on AVX-512 IFMA: eight lanes of 52-bit arithmetic, for primes below 2^50.
 *
 * Numbers modulo 2^52. vpmadd52 reads the low 52 bits of its factors and adds the low or the high 52 bits of the product
 * to a 64-bit lane. So a lane here stands for its value modulo 2^52: what sums and differences leave above bit 51 is
 * never seen by a product, and is cut off only where a value is compared or stored. "In [a, b)" below speaks of that
 * value, an integer in [0, 2^52) unless said otherwise.
 *
 * Product by a constant w in [0, q), with w' = floor(2^52 w / q) (Harvey's algorithm 2 in 52 bits). For 0 <= x < 2^52
 * and h = floor(x w' / 2^52): x w / q - h < x (w/q - w'/2^52) + 1 < x / 2^52 + 1 < 2, so x w - h q is in [0, 2q) and its
 * low 52 bits tell it, 2q being below 2^52: two low halves and one high half. Starting h from one takes off one q more
 * at no cost: then the product t is in [-q, q), and u + t and u - t are both in [a, b) for u in [a + q, b - q).
 *
 * Reduction: the same with w = 1, w' = mu = floor(2^52 / q): x - floor(x mu / 2^52) q is in [0, 2q) for x in [0, 2^52).
 *
 * There are two sets of transforms, made from one source. The lazy one serves q < 2^46, where [0, 64q) fits 52 bits; the
 * other q < 2^50, where [0, 4q) does. */
#include "ring/kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "lib/mem.h"

#define BITS_MAX 50
#define BITS_MAX_LAZY 46
#define N_MIN 128 /* a block of 64 and a layer before it */

#define INLINE static inline __attribute__((always_inline))

typedef __m512i vec; /* eight residues */

/* A constant in all lanes, or one in each, with its 52-bit quotient. */
typedef struct root {
    vec w, quotient;
} root;

/* ---- tables -------------------------------------------------------------------------------------------------------- */

/* t->vector: this, then a table of direction_words(n) for the forward and one for the inverse transform. Quotients are
 * those of 52 bits. */
typedef struct constants {
    uint64_t mu;                           /* floor(2^52 / q) */
    sotto_shoup two52;                     /* 2^52 mod q */
    sotto_shoup n_inverse, n_inverse_root; /* as in struct sotto_ntt */
    uint64_t padding;
} constants;

#define CONSTANT_WORDS (sizeof(constants) / 8)

_Static_assert(sizeof(constants) == 64, "the tables behind must be aligned to a vector");

/* One direction: the pairs (w, quotient) of root i for i < n/8, which are used in all lanes at once; then, for each
 * block of 64, the roots of the layers of distance 1, 2 and 4, in each for four pairs of vectors a, b: values, then
 * quotients. A layer of distance d has 4/d roots in a vector. Those of a and b take turns, in the order of the lanes
 * (see `lanes` below). */
#define BLOCK 64
#define PAIRS 4
#define BLOCK_WORDS (PAIRS * 2 * (8 + 4 + 2))

static size_t direction_words(size_t n)
{
    return n / 8 * 2 + n / BLOCK * BLOCK_WORDS;
}

static sotto_shoup narrow(sotto_shoup s)
{
    sotto_shoup r = {s.w, s.quotient >> 12}; /* floor(floor(2^64 w / q) / 2^12) = floor(2^52 w / q) */
    return r;
}

static void fill_direction(uint64_t *table, const sotto_shoup *roots, size_t n)
{
    for (size_t i = 0; i < n / 8; i++, table += 2) {
        sotto_shoup s = narrow(roots[i]);
        memcpy(table, &s, sizeof s);
    }
    static const size_t order[4] = {0, 2, 1, 3};
    for (size_t block = 0; block < n / BLOCK; block++)
        for (size_t width = 4; width >= 1; width /= 2) /* roots of this layer in a vector */
            for (size_t pair = 0; pair < PAIRS; pair++, table += 4 * width)
                for (size_t lane = 0; lane < 2 * width; lane++) {
                    size_t vector = n / 8 + 8 * block + 2 * pair + lane % 2, i = lane / 2;
                    sotto_shoup s = narrow(roots[width * vector + (width == 4 ? order[i] : i)]);
                    table[lane] = s.w;
                    table[2 * width + lane] = s.quotient;
                }
}

static int prepare(sotto_ntt *t)
{
    size_t direction = direction_words(t->n);
    t->vector = sotto_calloc(CONSTANT_WORDS + 2 * direction, sizeof *t->vector);
    if (t->vector == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the vector tables of a transform of length %u",
                          (unsigned)t->n);
    constants c = {
        .mu = t->m.ratio[1] >> 12, /* ratio[1] = floor(2^64 / q) */
        .two52 = narrow(sotto_shoup_new((uint64_t)1 << 52, &t->m)),
        .n_inverse = narrow(t->n_inverse),
        .n_inverse_root = narrow(t->n_inverse_root),
    };
    memcpy(t->vector, &c, sizeof c);
    fill_direction(t->vector + CONSTANT_WORDS, t->root, t->n);
    fill_direction(t->vector + CONSTANT_WORDS + direction, t->root_inverse, t->n);
    return SOTTO_OK;
}

static constants constants_of(const sotto_ntt *t)
{
    constants c;
    memcpy(&c, t->vector, sizeof c);
    return c;
}

/* ---- arithmetic ---------------------------------------------------------------------------------------------------- */

INLINE vec all(uint64_t x)
{
    return _mm512_set1_epi64((long long)x);
}

INLINE vec load(const uint64_t *x)
{
    return _mm512_loadu_si512(x);
}

INLINE void store(uint64_t *x, vec v)
{
    _mm512_storeu_si512(x, v);
}

INLINE vec add(vec x, vec y)
{
    return _mm512_add_epi64(x, y);
}

INLINE vec sub(vec x, vec y)
{
    return _mm512_sub_epi64(x, y);
}

/* sum + the low, or the high, half of x y. */
INLINE vec mul_low(vec sum, vec x, vec y)
{
    return _mm512_madd52lo_epu64(sum, x, y);
}

INLINE vec mul_high(vec sum, vec x, vec y)
{
    return _mm512_madd52hi_epu64(sum, x, y);
}

/* What the kernels keep in registers. */
typedef struct field {
    vec q, minus_q; /* q, 2^52 - q */
    vec mu;
    vec zero, one;
    vec lift;    /* forward, lazy: layers q */
    vec bias[2]; /* inverse: multiples of q that keep differences positive: 16q and 32q, or 2q */
} field;

INLINE field field_of(const sotto_ntt *t, int lazy)
{
    uint64_t q = t->m.q;
    field f = {
        .q = all(q),
        .minus_q = all(((uint64_t)1 << 52) - q),
        .mu = all(constants_of(t).mu),
        .zero = _mm512_setzero_si512(),
        .one = all(1),
        .lift = all((uint64_t)__builtin_ctz(t->n) * q),
        .bias = {all(lazy ? 16 * q : 2 * q), all(lazy ? 32 * q : 2 * q)},
    };
    return f;
}

INLINE root root_all(sotto_shoup s)
{
    root r = {all(s.w), all(s.quotient)};
    return r;
}

/* x w - carry q modulo q: [-carry q, (2 - carry) q), for x in [0, 2^52). */
INLINE vec mul_root(vec x, root r, vec carry, const field *f)
{
    return mul_low(mul_low(f->zero, x, r.w), mul_high(carry, x, r.quotient), f->minus_q);
}

/* x modulo q: [0, 2q), for x in [0, 2^52). */
INLINE vec reduce(vec x, const field *f)
{
    return mul_low(x, mul_high(f->zero, x, f->mu), f->minus_q);
}

/* From a lane to the value that it stands for. */
INLINE vec value(vec x)
{
    return _mm512_and_si512(x, all(((uint64_t)1 << 52) - 1));
}

/* x - m if x >= m, else x, for words x and m: x - m wraps around to above x exactly if x < m. */
INLINE vec once(vec x, vec m)
{
    return _mm512_min_epu64(x, sub(x, m));
}

/* ---- order of passes and lanes --------------------------------------------------------------------------------------
 *
 * Layers of distance 64 and more go over the whole polynomial in columns of two, four or eight vectors. Those of distance
 * 32 down to 1 are done block by block of 64 residues, in eight registers: distances 32, 16 and 8 between registers, then
 * 4, 2 and 1 within four pairs of registers. */

/* Layers of columns outside the passes of three. */
INLINE unsigned odd_layers(const sotto_ntt *t)
{
    return ((unsigned)__builtin_ctz(t->n) - 7) % 3 + 1;
}

/* The roots of `layers` layers of the block whose root in the first of them is number `at`: one, two, four. */
INLINE void load_roots(root *r, const uint64_t *table, size_t at, unsigned layers)
{
    for (unsigned layer = 0; layer < layers; layer++, at *= 2)
        for (size_t i = 0; i < (size_t)1 << layer; i++, r++) {
            r->w = all(table[2 * (at + i)]);
            r->quotient = all(table[2 * (at + i) + 1]);
        }
}

/* The roots of the layer of distance 1, 2 or 4 for one pair, from the table of a block. Fewer than eight are repeated. */
INLINE root pair_roots(const uint64_t *table, int distance, size_t pair)
{
    root r;
    if (distance == 1) {
        table += 16 * pair;
        r.w = load(table);
        r.quotient = load(table + 8);
    } else if (distance == 2) {
        table += 16 * PAIRS + 8 * pair;
        r.w = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)table));
        r.quotient = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)(table + 4)));
    } else {
        table += 24 * PAIRS + 4 * pair;
        r.w = _mm512_broadcast_i64x2(_mm_loadu_si128((const void *)table));
        r.quotient = _mm512_broadcast_i64x2(_mm_loadu_si128((const void *)(table + 2)));
    }
    return r;
}

INLINE void load_column(vec *v, const uint64_t *x, size_t gap, size_t count)
{
    for (size_t i = 0; i < count; i++)
        v[i] = load(x + i * gap);
}

INLINE void store_column(uint64_t *x, const vec *v, size_t gap, size_t count)
{
    for (size_t i = 0; i < count; i++)
        store(x + i * gap, v[i]);
}

/* Lanes of x (0 to 7) and y (8 to 15). */
#define CHOOSE(x, y, ...) _mm512_permutex2var_epi64(x, _mm512_setr_epi64(__VA_ARGS__), y)

/* The lanes of a pair a, b as the layer of each distance has them. From one line to the next: */
typedef enum lanes {
    LANES_PLAIN, /* a0 a1 a2 a3 a4 a5 a6 a7   b0 b1 b2 b3 b4 b5 b6 b7 */
    LANES_4,     /* a0 b0 a1 b1 a2 b2 a3 b3   a4 b4 a5 b5 a6 b6 a7 b7 */
    LANES_2,     /* a0 b0 a4 b4 a1 b1 a5 b5   a2 b2 a6 b6 a3 b3 a7 b7 */
    LANES_1      /* a0 b0 a4 b4 a2 b2 a6 b6   a1 b1 a5 b5 a3 b3 a7 b7 */
} lanes;

INLINE void lanes_down(vec x[2], lanes to)
{
    vec a = x[0], b = x[1];
    x[0] = to == LANES_4   ? CHOOSE(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
           : to == LANES_2 ? CHOOSE(a, b, 0, 1, 8, 9, 2, 3, 10, 11)
           : to == LANES_1 ? _mm512_shuffle_i64x2(a, b, 0x44)
                           : CHOOSE(a, b, 0, 8, 4, 12, 2, 10, 6, 14);
    x[1] = to == LANES_4   ? CHOOSE(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
           : to == LANES_2 ? CHOOSE(a, b, 4, 5, 12, 13, 6, 7, 14, 15)
           : to == LANES_1 ? _mm512_shuffle_i64x2(a, b, 0xee)
                           : CHOOSE(a, b, 1, 9, 5, 13, 3, 11, 7, 15);
}

INLINE void lanes_up(vec x[2], lanes to)
{
    vec a = x[0], b = x[1];
    x[0] = to == LANES_1   ? CHOOSE(a, b, 0, 8, 4, 12, 2, 10, 6, 14)
           : to == LANES_2 ? _mm512_shuffle_i64x2(a, b, 0x44)
           : to == LANES_4 ? _mm512_shuffle_i64x2(a, b, 0x88)
                           : CHOOSE(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
    x[1] = to == LANES_1   ? CHOOSE(a, b, 1, 9, 5, 13, 3, 11, 7, 15)
           : to == LANES_2 ? _mm512_shuffle_i64x2(a, b, 0xee)
           : to == LANES_4 ? _mm512_shuffle_i64x2(a, b, 0xdd)
                           : CHOOSE(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
}

/* ---- forward ------------------------------------------------------------------------------------------------------- */

/* What a butterfly does with u first. */
typedef enum step { STEP_CUT, STEP_LIFT, STEP_NONE } step;

/* Harvey's butterfly, (u, v) -> (u + w v, u - w v).
 *
 * STEP_CUT, for q < 2^50: all values are in [0, 2^52). q is added to u below 2^51 and taken from u above, which gives
 * values in [q, 2^51 + q) or [2^51 - q, 2^52 - q). Both lie in [q, 2^52 - q), since 2q < 2^51, and so u + t and u - t are
 * in [0, 2^52) again.
 *
 * STEP_LIFT and STEP_NONE, for q < 2^46: from [0, 4q), the first of L layers lifts u by Lq. Each takes away at most q or
 * adds less than q, so that layer l leaves values in [(L - l) q, (L + 4 + l) q): in [0, 34q), as L <= 15. */
INLINE void forward2(vec *u, vec *v, root r, step s, const field *f)
{
    vec a = *u, t = mul_root(*v, r, f->one, f); /* t in [-q, q) */
    if (s == STEP_CUT)
        a = _mm512_mask_sub_epi64(add(a, f->q), _mm512_test_epi64_mask(a, all((uint64_t)1 << 51)), a, f->q);
    else if (s == STEP_LIFT)
        a = add(a, f->lift);
    *u = add(a, t);
    *v = sub(a, t);
}

/* One, two or three layers between the vectors of a column. */
INLINE void forward_column(vec *v, const root *r, unsigned layers, step first, step later, const field *f)
{
    for (unsigned layer = 0; layer < layers; layer++) {
        size_t distance = (size_t)1 << (layers - 1 - layer);
        for (size_t i = 0; i < (size_t)1 << (layers - 1); i++) {
            size_t block = i / distance, at = i + block * distance;
            forward2(&v[at], &v[at + distance], r[((size_t)1 << layer) - 1 + block], layer == 0 ? first : later, f);
        }
    }
}

INLINE void forward_pass(uint64_t *x, size_t gap, const root *r, unsigned layers, step first, step later, const field *f)
{
    vec v[8];
    for (size_t j = 0; j < gap; j += 8) {
        load_column(v, x + j, gap, (size_t)1 << layers);
        forward_column(v, r, layers, first, later, f);
        store_column(x + j, v, gap, (size_t)1 << layers);
    }
}

INLINE void forward_pairs(vec v[8], const uint64_t *table, step s, const field *f)
{
    for (lanes to = LANES_4; to <= LANES_1; to++)
        for (size_t i = 0; i < PAIRS; i++) {
            lanes_down(v + 2 * i, to);
            forward2(&v[2 * i], &v[2 * i + 1], pair_roots(table, 8 >> to, i), s, f);
        }
}

INLINE void forward_any(const sotto_ntt *t, uint64_t *x, int lazy, int canonical)
{
    const field f = field_of(t, lazy);
    const uint64_t *table = t->vector + CONSTANT_WORDS, *pairs = table + t->n / 8 * 2;
    const step first = lazy ? STEP_LIFT : STEP_CUT, later = lazy ? STEP_NONE : STEP_CUT;
    size_t n = t->n, gap = n >> odd_layers(t);
    root r[7];
    vec v[8];

    load_roots(r, table, 1, 3);
    switch (odd_layers(t)) {
    case 1:
        forward_pass(x, gap, r, 1, first, later, &f);
        break;
    case 2:
        forward_pass(x, gap, r, 2, first, later, &f);
        break;
    default:
        forward_pass(x, gap, r, 3, first, later, &f);
    }
    for (gap /= 8; gap >= BLOCK; gap /= 8)
        for (size_t i = 0, blocks = n / (8 * gap); i < blocks; i++) {
            load_roots(r, table, blocks + i, 3);
            forward_pass(x + 8 * gap * i, gap, r, 3, later, later, &f);
        }
    for (size_t i = 0; i < n / BLOCK; i++) {
        load_column(v, x + BLOCK * i, 8, 8);
        load_roots(r, table, n / BLOCK + i, 3);
        forward_column(v, r, 3, later, later, &f);
        forward_pairs(v, pairs + BLOCK_WORDS * i, later, &f);
        for (size_t k = 0; k < 8; k++) {
            v[k] = value(reduce(v[k], &f)); /* [0, 2q) */
            if (canonical)
                v[k] = once(v[k], f.q);
        }
        for (size_t k = 0; k < 8; k += 2)
            lanes_down(v + k, LANES_PLAIN);
        store_column(x + BLOCK * i, v, 8, 8);
    }
}

static void forward(const sotto_ntt *t, uint64_t *x)
{
    forward_any(t, x, 0, 1);
}

static void forward_lazy(const sotto_ntt *t, uint64_t *x)
{
    forward_any(t, x, 0, 0);
}

static void forward46(const sotto_ntt *t, uint64_t *x)
{
    forward_any(t, x, 1, 1);
}

static void forward46_lazy(const sotto_ntt *t, uint64_t *x)
{
    forward_any(t, x, 1, 0);
}

/* ---- inverse ------------------------------------------------------------------------------------------------------- */

/* (u, v) -> (u + v, (u - v) w), the product in [0, 2q). bias is a multiple of q that v does not exceed, and u + bias fits
 * 52 bits. For q < 2^50 all values are in [0, 2q), bias is 2q, and each sum, in [0, 4q), is reduced at once. The lazy way,
 * for q < 2^46, sums grow up to 64q; each pass says how. */
INLINE void inverse2(vec *u, vec *v, root r, vec bias, int lazy, const field *f)
{
    vec a = *u, b = *v;
    *u = lazy ? add(a, b) : reduce(add(a, b), f);
    *v = mul_root(sub(add(a, bias), b), r, f->zero, f);
}

/* The last layer, with n^-1 in both roots; canonical. */
INLINE void inverse2_last(vec *u, vec *v, root sum, root difference, vec bias, const field *f)
{
    vec a = *u, b = *v;
    *u = once(value(mul_root(add(a, b), sum, f->zero, f)), f->q);
    *v = once(value(mul_root(sub(add(a, bias), b), difference, f->zero, f)), f->q);
}

/* Distances 1, 2 and 4. Lazy: from [0, 2q) sums are below 4q, 8q, then 16q. */
INLINE void inverse_pairs(vec v[8], const uint64_t *table, int lazy, const field *f)
{
    for (lanes from = LANES_1; from >= LANES_4; from--)
        for (size_t i = 0; i < PAIRS; i++) {
            lanes_up(v + 2 * i, from);
            inverse2(&v[2 * i], &v[2 * i + 1], pair_roots(table, 8 >> from, i), f->bias[0], lazy, f);
        }
    for (size_t i = 0; i < 8; i += 2)
        lanes_up(v + i, LANES_PLAIN);
}

/* One layer, number `layer` of those between the 2^layers vectors of a column. */
INLINE void inverse_layer(vec *v, const root *r, unsigned layers, unsigned layer, vec bias, int lazy, const field *f)
{
    size_t distance = (size_t)1 << (layers - 1 - layer);
    for (size_t i = 0; i < (size_t)1 << (layers - 1); i++) {
        size_t block = i / distance, at = i + block * distance;
        inverse2(&v[at], &v[at + distance], r[((size_t)1 << layer) - 1 + block], bias, lazy, f);
    }
}

/* Three layers. Lazy: from [0, 16q) sums are below 32q, then 64q; the sums of sums are reduced there. What goes into the
 * third layer is then below 4q, the bound for sums of two products, and what leaves it below 8q. */
INLINE void inverse_column(vec v[8], const root r[7], int lazy, const field *f)
{
    inverse_layer(v, r, 3, 2, f->bias[0], lazy, f);
    inverse_layer(v, r, 3, 1, f->bias[1], lazy, f);
    if (lazy) {
        v[0] = reduce(v[0], f);
        v[4] = reduce(v[4], f);
    }
    inverse_layer(v, r, 3, 0, f->bias[0], lazy, f);
}

/* The last pass, of one, two or three layers. Lazy: from [0, 8q) sums are below 16q, then 32q, before the last layer. */
INLINE void inverse_last(uint64_t *x, size_t gap, const root *r, unsigned layers, root sum, root difference, int lazy,
                         const field *f)
{
    vec v[8];
    size_t half = (size_t)1 << (layers - 1);
    for (size_t j = 0; j < gap; j += 8) {
        load_column(v, x + j, gap, 2 * half);
        for (unsigned layer = layers - 1; layer > 0; layer--)
            inverse_layer(v, r, layers, layer, f->bias[0], lazy, f);
        for (size_t i = 0; i < half; i++)
            inverse2_last(&v[i], &v[i + half], sum, difference, f->bias[1], f);
        store_column(x + j, v, gap, 2 * half);
    }
}

INLINE void inverse_any(const sotto_ntt *t, uint64_t *x, int lazy)
{
    const field f = field_of(t, lazy);
    const constants c = constants_of(t);
    const uint64_t *table = t->vector + CONSTANT_WORDS + direction_words(t->n), *pairs = table + t->n / 8 * 2;
    const root sum = root_all(c.n_inverse), difference = root_all(c.n_inverse_root);
    size_t n = t->n, gap = BLOCK;
    root r[7];
    vec v[8];

    for (size_t i = 0; i < n / BLOCK; i++) {
        load_column(v, x + BLOCK * i, 8, 8);
        inverse_pairs(v, pairs + BLOCK_WORDS * i, lazy, &f);
        load_roots(r, table, n / BLOCK + i, 3);
        inverse_column(v, r, lazy, &f);
        store_column(x + BLOCK * i, v, 8, 8);
    }
    for (; 8 * gap < n; gap *= 8)
        for (size_t i = 0, blocks = n / (8 * gap); i < blocks; i++) {
            load_roots(r, table, blocks + i, 3);
            for (uint64_t *y = x + 8 * gap * i, *end = y + gap; y < end; y += 8) {
                load_column(v, y, gap, 8);
                inverse_column(v, r, lazy, &f);
                store_column(y, v, gap, 8);
            }
        }
    load_roots(r, table, 1, 3);
    switch (odd_layers(t)) {
    case 1:
        inverse_last(x, gap, r, 1, sum, difference, lazy, &f);
        break;
    case 2:
        inverse_last(x, gap, r, 2, sum, difference, lazy, &f);
        break;
    default:
        inverse_last(x, gap, r, 3, sum, difference, lazy, &f);
    }
}

static void inverse(const sotto_ntt *t, uint64_t *x)
{
    inverse_any(t, x, 0);
}

static void inverse46(const sotto_ntt *t, uint64_t *x)
{
    inverse_any(t, x, 1);
}

/* ---- pointwise ----------------------------------------------------------------------------------------------------- */

/* high 2^52 + low mod q in [0, 4q): the sum of two products by a constant, 2^52 mod q and 1, with their quotients added
 * first. */
INLINE vec fold(vec high, vec low, root two52, const field *f)
{
    vec quotient = mul_high(mul_high(f->zero, low, f->mu), high, two52.quotient);
    return mul_low(mul_low(low, high, two52.w), quotient, f->minus_q);
}

static void mul(const sotto_ntt *t, uint64_t *out, const uint64_t *a, const uint64_t *b)
{
    const field f = field_of(t, 0);
    const root two52 = root_all(constants_of(t).two52);
    const vec q2 = add(f.q, f.q);
    for (size_t i = 0; i < t->n; i += 8) {
        vec x = load(a + i), y = load(b + i);
        vec r = value(fold(mul_high(f.zero, x, y), mul_low(f.zero, x, y), two52, &f)); /* [0, 4q) */
        store(out + i, once(once(r, q2), f.q));
    }
}

static void mac(const sotto_ntt *t, uint64_t *acc, const uint64_t *a, const uint64_t *b)
{
    const field f = field_of(t, 0);
    const root two52 = root_all(constants_of(t).two52);
    const vec q2 = add(f.q, f.q);
    for (size_t i = 0; i < t->n; i += 8) {
        vec x = load(a + i), y = load(b + i);
        vec r = value(fold(mul_high(f.zero, x, y), mul_low(f.zero, x, y), two52, &f)); /* [0, 4q) */
        r = add(once(r, q2), load(acc + i));                                               /* [0, 3q) */
        store(acc + i, once(once(r, q2), f.q));
    }
}

/* Low halves are below 2^52: 4095 of them and a residue stay below 2^64. High halves are below 2^48. */
#define DOT_RUN 4095
#define DOT_TILE 4 /* vectors of each polynomial at a time: 16 sums in registers */

/* sum of high 2^52 + low, lanes of 64 bits, high < 2^60, to [0, q). */
INLINE vec dot_reduce(vec high, vec low, root two52, const field *f)
{
    high = add(high, _mm512_srli_epi64(low, 52));
    vec r = value(fold(fold(_mm512_srli_epi64(high, 52), high, two52, f), low, two52, f)); /* [0, 4q) */
    return once(once(r, add(f->q, f->q)), f->q);
}

static void dot_pair(const sotto_ntt *t, uint64_t *out0, uint64_t *out1, const uint64_t *const *x0,
                     const uint64_t *const *x1, const uint64_t *const *w, size_t terms)
{
    const field f = field_of(t, 0);
    const root two52 = root_all(constants_of(t).two52);
    for (size_t i = 0; i < t->n; i += 8 * DOT_TILE) {
        vec low0[DOT_TILE], high0[DOT_TILE], low1[DOT_TILE], high1[DOT_TILE];
        for (size_t j = 0; j < DOT_TILE; j++)
            low0[j] = high0[j] = low1[j] = high1[j] = f.zero;
        for (size_t k = 0, run = 0; k < terms; k++, run++) {
            if (run == DOT_RUN) {
                for (size_t j = 0; j < DOT_TILE; j++) {
                    low0[j] = dot_reduce(high0[j], low0[j], two52, &f);
                    low1[j] = dot_reduce(high1[j], low1[j], two52, &f);
                    high0[j] = high1[j] = f.zero;
                }
                run = 0;
            }
            for (size_t j = 0; j < DOT_TILE; j++) {
                vec y = load(w[k] + i + 8 * j), a = load(x0[k] + i + 8 * j), b = load(x1[k] + i + 8 * j);
                low0[j] = mul_low(low0[j], a, y);
                high0[j] = mul_high(high0[j], a, y);
                low1[j] = mul_low(low1[j], b, y);
                high1[j] = mul_high(high1[j], b, y);
            }
        }
        for (size_t j = 0; j < DOT_TILE; j++) {
            store(out0 + i + 8 * j, dot_reduce(high0[j], low0[j], two52, &f));
            store(out1 + i + 8 * j, dot_reduce(high1[j], low1[j], two52, &f));
        }
    }
}

const sotto_ntt_kernels sotto_ntt_kernels_ifma = {
    .name = "ifma", .tier = SOTTO_TIER_IFMA, .bits_max = BITS_MAX, .n_min = N_MIN, .prepare = prepare,
    .forward = forward, .forward_lazy = forward_lazy, .inverse = inverse, .mul = mul, .mac = mac, .dot_pair = dot_pair,
};

const sotto_ntt_kernels sotto_ntt_kernels_ifma46 = {
    .name = "ifma46", .tier = SOTTO_TIER_IFMA, .bits_max = BITS_MAX_LAZY, .n_min = N_MIN, .prepare = prepare,
    .forward = forward46, .forward_lazy = forward46_lazy, .inverse = inverse46, .mul = mul, .mac = mac,
    .dot_pair = dot_pair,
};

#endif
