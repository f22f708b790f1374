/* The portable kernels, and the choice among all. */
#include "ot/kernels.h"

#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"

/* Columns are bytes; the compiler makes one load of this. */
static inline uint64_t load(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline void store(uint8_t *p, uint64_t x)
{
    memcpy(p, &x, sizeof x);
}

void sotto_ot_expand_ref(uint8_t *column, const sotto_aes_key *key, size_t count, uint64_t first, size_t bytes)
{
    for (size_t j = 0; j < count; j++) {
        sotto_aes_counter(&key[j], column + j * bytes, first, bytes / sizeof(sotto_block));
    }
}

static void add(uint8_t *x, const uint8_t *y, uint64_t mask, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 8) {
        store(x + at, load(x + at) ^ (load(y + at) & mask));
    }
}

/* Level by level: with pairs summed, bit b of the number of a leaf becomes the lowest bit of the number of its sum
 * after b steps. */
static void fold(uint8_t *v, uint8_t *u, uint8_t *leaf, unsigned depth, size_t bytes)
{
    memset(v, 0, depth * bytes);
    for (unsigned b = 0; b < depth; b++) {
        for (size_t i = 0; i < (size_t)1 << (depth - 1 - b); i++) {
            uint8_t *sum = leaf + i * bytes;
            const uint8_t *even = leaf + 2 * i * bytes, *odd = even + bytes;
            for (size_t at = 0; at < bytes; at += 8) {
                const uint64_t x = load(odd + at);
                store(v + b * bytes + at, load(v + b * bytes + at) ^ x);
                store(sum + at, load(even + at) ^ x);
            }
        }
    }
    memmove(u, leaf, bytes);
}

void sotto_ot_sums_ref(uint8_t *v, uint8_t *u, uint8_t *scratch, const sotto_aes_key *key, unsigned depth,
                       unsigned lacking, uint64_t first, size_t bytes)
{
    memset(scratch, 0, lacking * bytes);
    sotto_ot_expand_ref(scratch + lacking * bytes, key, ((size_t)1 << depth) - lacking, first, bytes);
    fold(v, u, scratch, depth, bytes);
}

/* Transposes 64 x 64 bits in place: row i, bit j <-> row j, bit i (Hacker's Delight 7-3, halves of 32, 16, ... 1). */
static void transpose64(uint64_t m[64])
{
    static const uint64_t masks[6] = {0x00000000ffffffff, 0x0000ffff0000ffff, 0x00ff00ff00ff00ff,
                                      0x0f0f0f0f0f0f0f0f, 0x3333333333333333, 0x5555555555555555};
    for (unsigned step = 0; step < 6; step++) {
        const unsigned half = 32u >> step;
        const uint64_t mask = masks[step];
        for (unsigned i = 0; i < 64; i = (i + half + 1) & ~half) {
            const uint64_t swap = ((m[i] >> half) ^ m[i + half]) & mask;
            m[i] ^= swap << half;
            m[i + half] ^= swap;
        }
    }
}

void sotto_ot_transpose_ref(sotto_block *out, const uint8_t *column, size_t bytes, size_t rows)
{
    uint64_t m[2][64];
    for (size_t w = 0; 64 * w < rows; w++) {
        for (size_t j = 0; j < SOTTO_OT_COLUMNS; j++) {
            m[j / 64][j % 64] = load(column + j * bytes + 8 * w);
        }
        transpose64(m[0]);
        transpose64(m[1]);
        for (size_t i = 0; i < 64 && 64 * w + i < rows; i++) {
            out[64 * w + i] = (sotto_block){{m[0][i], m[1][i]}};
        }
    }
    sotto_wipe(m, sizeof m);
}

#define BATCH 64

sotto_block sotto_ot_grow_ref(sotto_block *child, const sotto_block *parent, size_t count, const sotto_aes_key *key)
{
    sotto_block in[BATCH], out[BATCH], sum = {{0, 0}};
    for (size_t done = 0; done < count; done += BATCH) {
        const size_t n = count - done < BATCH ? count - done : BATCH;
        const sotto_block *x = parent + done;
        sotto_block *y = child + 2 * done;
        for (size_t j = 0; j < n; j++) {
            in[j] = (sotto_block){{x[j].w[1], x[j].w[0] ^ x[j].w[1]}};
        }
        sotto_aes_encrypt(key, out, in, n);
        for (size_t j = 0; j < n; j++) {
            y[2 * j] = sotto_block_xor(out[j], in[j]);
            y[2 * j + 1] = sotto_block_xor(x[j], y[2 * j]);
            sum = sotto_block_xor(sum, y[2 * j]);
        }
    }
    sotto_wipe(in, sizeof in);
    sotto_wipe(out, sizeof out);
    return sum;
}

static void patch(sotto_block *x, size_t count, uint64_t index, sotto_block value)
{
    for (size_t j = 0; j < count; j++) {
        x[j] = sotto_block_xor(x[j], sotto_block_and(value, sotto_ct_eq(j, index)));
    }
}

static void lpn(sotto_block *y, const sotto_block *leaf, size_t count, const sotto_block *x, const uint64_t *words)
{
    for (size_t i = 0; i < count; i++, words += SOTTO_OT_LPN_WORDS) {
        sotto_block sum = {{leaf[i].w[0] & ~(uint64_t)1, leaf[i].w[1]}};
        for (unsigned j = 0; j < 10; j++) {
            sum = sotto_block_xor(sum, x[words[j % 4] >> (17 * (j / 4)) & 0x1ffff]);
        }
        y[i] = sum;
    }
}

const sotto_ot_kernels sotto_ot_kernels_ref = {
    "portable", SOTTO_TIER_PORTABLE, sotto_ot_expand_ref, sotto_ot_sums_ref, add, sotto_ot_transpose_ref,
    sotto_ot_grow_ref, patch, lpn,
};

const sotto_ot_kernels *sotto_ot_kernels_choose(void)
{
    static const sotto_ot_kernels *const kernels[] = {
#if defined(__x86_64__)
        &sotto_ot_kernels_gfni,
        &sotto_ot_kernels_avx2,
#endif
        &sotto_ot_kernels_ref,
    };
    size_t i = 0;
    while (kernels[i]->tier > sotto_cpu_tier()) {
        i++; /* the last one runs everywhere */
    }
    return kernels[i];
}
