/* Kernels for AVX-512 with VAES and GFNI. */
#include "ot/kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "lib/mem.h"

/* The first n bytes of a register, n <= 64 a multiple of 16, as a mask of its words. */
static inline __mmask8 first_bytes(size_t n)
{
    return (__mmask8)((1u << n / 8) - 1);
}

/* Up to a register's bytes at p of which `left` are there. */
static inline __m512i load_some(const uint8_t *p, size_t left)
{
    return left >= 64 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi64(first_bytes(left), p);
}

static inline void store_some(uint8_t *p, __m512i x, size_t left)
{
    if (left >= 64) {
        _mm512_storeu_si512(p, x);
    } else {
        _mm512_mask_storeu_epi64(p, first_bytes(left), x);
    }
}

static inline __m512i round_key(const sotto_aes_key *key, unsigned r)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)&key->round[r]));
}

/* ---- streams --------------------------------------------------------------------------------------------------- */

enum { REGS = SOTTO_OT_COLUMN_BYTES / 64 }; /* of a whole column */

/* n <= 2 whole columns side by side: eight registers in flight hide the latency of an AES instruction. */
static inline void streams(__m512i x[2][REGS], const sotto_aes_key *key, uint64_t first, unsigned n)
{
    for (unsigned i = 0; i < REGS; i++) {
        const long long at = (long long)(first + 4 * i);
        const __m512i counter = _mm512_set_epi64(0, at + 3, 0, at + 2, 0, at + 1, 0, at);
        for (unsigned j = 0; j < n; j++) {
            x[j][i] = _mm512_xor_si512(counter, round_key(&key[j], 0));
        }
    }
    for (unsigned r = 1; r < 10; r++) {
        for (unsigned j = 0; j < n; j++) {
            const __m512i k = round_key(&key[j], r);
            for (unsigned i = 0; i < REGS; i++) {
                x[j][i] = _mm512_aesenc_epi128(x[j][i], k);
            }
        }
    }
    for (unsigned j = 0; j < n; j++) {
        const __m512i k = round_key(&key[j], 10);
        for (unsigned i = 0; i < REGS; i++) {
            x[j][i] = _mm512_aesenclast_epi128(x[j][i], k);
        }
    }
}

static inline void store_column(uint8_t *column, const __m512i x[REGS])
{
    for (unsigned i = 0; i < REGS; i++) {
        _mm512_storeu_si512(column + 64 * i, x[i]);
    }
}

static void expand(uint8_t *column, const sotto_aes_key *key, size_t count, uint64_t first, size_t bytes)
{
    if (bytes != SOTTO_OT_COLUMN_BYTES) {
        sotto_ot_expand_ref(column, key, count, first, bytes);
        return;
    }
    __m512i x[2][REGS];
    size_t j = 0;
    for (; j + 2 <= count; j += 2) {
        streams(x, key + j, first, 2);
        store_column(column + j * bytes, x[0]);
        store_column(column + (j + 1) * bytes, x[1]);
    }
    if (j < count) {
        streams(x, key + j, first, 1);
        store_column(column + j * bytes, x[0]);
    }
}

/* ---- sums ------------------------------------------------------------------------------------------------------ */

static void add(uint8_t *x, const uint8_t *y, uint64_t mask, size_t bytes)
{
    const __m512i m = _mm512_set1_epi64((long long)mask);
    for (size_t at = 0; at < bytes; at += 64) {
        const __m512i a = load_some(x + at, bytes - at), b = load_some(y + at, bytes - at);
        store_some(x + at, _mm512_ternarylogic_epi64(a, b, m, 0x78) /* a ^ (b & m) */, bytes - at);
    }
}

/* Level by level as in kernels_ref.c, of 2^depth columns; depth may be 0. */
static void fold(uint8_t *v, uint8_t *u, uint8_t *leaf, unsigned depth)
{
    enum { BYTES = SOTTO_OT_COLUMN_BYTES };
    for (size_t at = 0; at < BYTES; at += 64) {
        uint8_t *l = leaf + at;
        for (unsigned b = 0; b < depth; b++) {
            __m512i sum = _mm512_setzero_si512();
            for (size_t i = 0; i < (size_t)1 << (depth - 1 - b); i++) {
                const __m512i even = _mm512_loadu_si512(l + 2 * i * BYTES);
                const __m512i odd = _mm512_loadu_si512(l + (2 * i + 1) * BYTES);
                sum = _mm512_xor_si512(sum, odd);
                _mm512_storeu_si512(l + i * BYTES, _mm512_xor_si512(even, odd));
            }
            _mm512_storeu_si512(v + b * BYTES + at, sum);
        }
        _mm512_storeu_si512(u + at, _mm512_loadu_si512(l));
    }
}

/* The first level is summed in registers. */
static void sums(uint8_t *v, uint8_t *u, uint8_t *scratch, const sotto_aes_key *key, unsigned depth, unsigned lacking,
                 uint64_t first, size_t bytes)
{
    if (bytes != SOTTO_OT_COLUMN_BYTES) {
        sotto_ot_sums_ref(v, u, scratch, key, depth, lacking, first, bytes);
        return;
    }
    __m512i x[2][REGS], odd[REGS];
    for (unsigned i = 0; i < REGS; i++) {
        odd[i] = _mm512_setzero_si512();
    }
    size_t pair = 0;
    if (lacking) {
        streams(x, key, first, 1);
        store_column(scratch, x[0]);
        memcpy(odd, x[0], sizeof odd);
        key++;
        pair++;
    }
    for (; pair < (size_t)1 << (depth - 1); pair++, key += 2) {
        streams(x, key, first, 2);
        for (unsigned i = 0; i < REGS; i++) {
            odd[i] = _mm512_xor_si512(odd[i], x[1][i]);
            x[0][i] = _mm512_xor_si512(x[0][i], x[1][i]);
        }
        store_column(scratch + pair * bytes, x[0]);
    }
    store_column(v, odd);
    fold(v + bytes, u, scratch, depth - 1);
}

/* ---- transposition --------------------------------------------------------------------------------------------- */

/* Words w of eight registers become register w: 8 x 8 words transposed. */
static inline void transpose_words(__m512i x[8])
{
    __m512i a[8], b[8];
    for (unsigned i = 0; i < 4; i++) { /* words of neighbours */
        a[2 * i] = _mm512_unpacklo_epi64(x[2 * i], x[2 * i + 1]);
        a[2 * i + 1] = _mm512_unpackhi_epi64(x[2 * i], x[2 * i + 1]);
    }
    /* a[2 i + p]: 128-bit lane l has word 2 l + p of columns 2 i, 2 i + 1. */
    for (unsigned p = 0; p < 2; p++) {
        for (unsigned h = 0; h < 2; h++) {
            b[4 * h + 2 * p] = _mm512_shuffle_i64x2(a[4 * h + p], a[4 * h + 2 + p], 0x88); /* lanes 0, 2 of both */
            b[4 * h + 2 * p + 1] =
                _mm512_shuffle_i64x2(a[4 * h + p], a[4 * h + 2 + p], 0xdd); /* lanes 1, 3 of both */
        }
        /* b[4 h + 2 p + q]: lanes are (lane q, columns 4 h, 4 h + 1), (lane q + 2, the same), (lane q, columns 4 h +
         * 2, + 3), (lane q + 2). */
        for (unsigned q = 0; q < 2; q++) {
            x[2 * q + p] = _mm512_shuffle_i64x2(b[2 * p + q], b[4 + 2 * p + q], 0x88);
            x[2 * (q + 2) + p] = _mm512_shuffle_i64x2(b[2 * p + q], b[4 + 2 * p + q], 0xdd);
        }
    }
}

/* Bits of eight columns and 64 rows, a word a column: bytes of the result are rows. The byte shuffle puts byte p of
 * the columns, the last first, into word p; the affine map with that word as its matrix sends the constant 2^i to bit
 * i of each column, column 0 lowest [GF2P8AFFINEQB: result bit j from matrix byte 7 - j]. */
static inline __m512i transpose_bits(__m512i x)
{
    const __m512i order =
        _mm512_set_epi64(0x070f171f272f373f, 0x060e161e262e363e, 0x050d151d252d353d, 0x040c141c242c343c,
                         0x030b131b232b333b, 0x020a121a222a323a, 0x0109111921293139, 0x0008101820283038);
    const __m512i unit = _mm512_set1_epi64((long long)0x8040201008040201u);
    return _mm512_gf2p8affine_epi64_epi8(unit, _mm512_permutexvar_epi8(order, x), 0);
}

/* 512 rows from 64 bytes of each column; the bytes from `left` on count as zero. */
static void transpose512(sotto_block out[512], const uint8_t *column, size_t bytes, size_t left)
{
    __m512i part[8][16]; /* part[w][g]: rows 64 w .. 64 w + 63, columns 8 g .. 8 g + 7, a byte a row */
    for (size_t g = 0; g < 16; g++) {
        __m512i x[8];
        for (size_t j = 0; j < 8; j++) {
            x[j] = load_some(column + (8 * g + j) * bytes, left);
        }
        transpose_words(x);
        for (size_t w = 0; w < 8; w++) {
            part[w][g] = transpose_bits(x[w]);
        }
    }
    for (size_t w = 0; w < 8; w++) {
        /* In each lane 16 x 16 bytes: a number (register, byte) of 4 + 4 bits is rotated by one bit in each step, so
         * after four its halves are swapped. */
        __m512i a[16], b[16];
        for (size_t i = 0; i < 8; i++) {
            a[2 * i] = _mm512_unpacklo_epi8(part[w][i], part[w][i + 8]);
            a[2 * i + 1] = _mm512_unpackhi_epi8(part[w][i], part[w][i + 8]);
        }
        for (size_t i = 0; i < 8; i++) {
            b[2 * i] = _mm512_unpacklo_epi8(a[i], a[i + 8]);
            b[2 * i + 1] = _mm512_unpackhi_epi8(a[i], a[i + 8]);
        }
        for (size_t i = 0; i < 8; i++) {
            a[2 * i] = _mm512_unpacklo_epi8(b[i], b[i + 8]);
            a[2 * i + 1] = _mm512_unpackhi_epi8(b[i], b[i + 8]);
        }
        for (size_t i = 0; i < 8; i++) {
            b[2 * i] = _mm512_unpacklo_epi8(a[i], a[i + 8]);
            b[2 * i + 1] = _mm512_unpackhi_epi8(a[i], a[i + 8]);
        }
        /* Lane l of b[i] is row 64 w + 16 l + i. */
        for (size_t i = 0; i < 16; i++) {
            sotto_block *o = out + 64 * w + i;
            _mm_storeu_si128((void *)o, _mm512_castsi512_si128(b[i]));
            _mm_storeu_si128((void *)(o + 16), _mm512_extracti32x4_epi32(b[i], 1));
            _mm_storeu_si128((void *)(o + 32), _mm512_extracti32x4_epi32(b[i], 2));
            _mm_storeu_si128((void *)(o + 48), _mm512_extracti32x4_epi32(b[i], 3));
        }
    }
}

static void transpose(sotto_block *out, const uint8_t *column, size_t bytes, size_t rows)
{
    size_t done = 0;
    for (; done + 512 <= rows; done += 512) {
        transpose512(out + done, column + done / 8, bytes, 64);
    }
    if (done < rows) {
        sotto_block last[512];
        transpose512(last, column + done / 8, bytes, bytes - done / 8);
        memcpy(out + done, last, (rows - done) * sizeof *out);
        sotto_wipe(last, sizeof last);
    }
}

/* ---- trees and sums of Ferret ---------------------------------------------------------------------------------- */

/* (L, R) -> (R, L xor R) in each block. */
static inline __m512i sigma(__m512i x)
{
    const __m512i high = _mm512_set_epi64(-1, 0, -1, 0, -1, 0, -1, 0);
    return _mm512_ternarylogic_epi64(_mm512_shuffle_epi32(x, _MM_PERM_BADC), x, high, 0x78);
}

static inline __m128i sum_of_blocks(__m512i x)
{
    const __m256i two = _mm256_xor_si256(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));
}

static sotto_block grow(sotto_block *child, const sotto_block *parent, size_t count, const sotto_aes_key *key)
{
    enum { WIDE = 8, GROUP = 4 * WIDE };
    const __m512i low = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0),
                  high = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    __m512i rk[11], total = _mm512_setzero_si512();
    sotto_block sum;
    for (unsigned r = 0; r < 11; r++) {
        rk[r] = round_key(key, r);
    }
    for (; count >= GROUP; count -= GROUP, parent += GROUP, child += 2 * GROUP) {
        __m512i in[WIDE], x[WIDE];
        for (unsigned i = 0; i < WIDE; i++) {
            in[i] = _mm512_loadu_si512(parent + 4 * i);
            x[i] = _mm512_xor_si512(sigma(in[i]), rk[0]);
        }
        for (unsigned r = 1; r < 10; r++) {
            for (unsigned i = 0; i < WIDE; i++) {
                x[i] = _mm512_aesenc_epi128(x[i], rk[r]);
            }
        }
        for (unsigned i = 0; i < WIDE; i++) {
            const __m512i left = _mm512_xor_si512(_mm512_aesenclast_epi128(x[i], rk[10]), sigma(in[i]));
            const __m512i right = _mm512_xor_si512(left, in[i]);
            total = _mm512_xor_si512(total, left);
            _mm512_storeu_si512(child + 8 * i, _mm512_permutex2var_epi64(left, low, right));
            _mm512_storeu_si512(child + 8 * i + 4, _mm512_permutex2var_epi64(left, high, right));
        }
    }
    _mm_storeu_si128((void *)&sum, sum_of_blocks(total));
    return count > 0 ? sotto_block_xor(sum, sotto_ot_grow_ref(child, parent, count, key)) : sum;
}

static void patch(sotto_block *x, size_t count, uint64_t index, sotto_block value)
{
    const __m512i v = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)&value));
    const __m512i want = _mm512_set1_epi64((long long)index), four = _mm512_set1_epi64(4);
    __m512i number = _mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0);
    size_t j = 0;
    for (; j + 4 <= count; j += 4) {
        const __m512i old = _mm512_loadu_si512(x + j);
        _mm512_storeu_si512(x + j, _mm512_mask_xor_epi64(old, _mm512_cmpeq_epi64_mask(number, want), old, v));
        number = _mm512_add_epi64(number, four);
    }
    if (j < count) {
        sotto_ot_kernels_ref.patch(x + j, count - j, index - j, value);
    }
}

/* The ten reads of a row are all in flight at once, and so are those of the rows after it: nothing here waits for
 * another. */
static void lpn(sotto_block *y, const sotto_block *leaf, size_t count, const sotto_block *x, const uint64_t *words)
{
    const __m128i keep = _mm_set_epi64x(-1, -2);
    for (size_t i = 0; i < count; i++, words += SOTTO_OT_LPN_WORDS) {
        __m128i entry[10];
        for (unsigned j = 0; j < 10; j++) {
            entry[j] = _mm_loadu_si128((const void *)&x[words[j % 4] >> (17 * (j / 4)) & 0x1ffff]);
        }
        const __m128i own = _mm_and_si128(_mm_loadu_si128((const void *)&leaf[i]), keep);
        __m128i sum = _mm_ternarylogic_epi64(own, entry[0], entry[1], 0x96);
        for (unsigned j = 2; j < 10; j += 2) {
            sum = _mm_ternarylogic_epi64(sum, entry[j], entry[j + 1], 0x96);
        }
        _mm_storeu_si128((void *)&y[i], sum);
    }
}

const sotto_ot_kernels sotto_ot_kernels_gfni = {
    "gfni", SOTTO_TIER_IFMA, expand, sums, add, transpose, grow, patch, lpn,
};

#endif
