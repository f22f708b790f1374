/* Inside the ot module: the loops that an extension spends its time in, one table per kind of processor. All tables
 * compute the same, so that the two parties may use different ones.
 *
 * A column holds one bit of each of up to 2048 OTs: bit i is bit i mod 8 of byte i / 8. Its length in bytes is a
 * multiple of 16, and columns lie one after the other.
 */
#ifndef SOTTO_OT_KERNELS_H
#define SOTTO_OT_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/aes.h"
#include "lib/cpu.h"

#define SOTTO_OT_COLUMNS 128u
/* OTs that are worked on together: all their columns stay in the caches next to the core. */
#define SOTTO_OT_CHUNK 2048u
#define SOTTO_OT_COLUMN_BYTES (SOTTO_OT_CHUNK / 8u)
#define SOTTO_OT_LPN_WORDS 4u /* random words that say which ten entries make a row, below */

typedef struct sotto_ot_kernels {
    const char *name;
    sotto_tier tier; /* the CPU that it needs */
    /* Streams of `count` generators: column j is AES_{key j}(first), AES_{key j}(first + 1), ... */
    void (*expand)(uint8_t *column, const sotto_aes_key *key, size_t count, uint64_t first, size_t bytes);
    /* The same with leaves g_x, x < 2^depth, that are summed: *u the sum of all, column b of v the sum of those whose
     * number has bit b, b < depth. key has those of leaf 0 on, or with `lacking` 1, when leaf 0 counts as zero, of
     * leaf 1 on. scratch: 2^depth columns, the first of which may be u; 1 <= depth. */
    void (*sums)(uint8_t *v, uint8_t *u, uint8_t *scratch, const sotto_aes_key *key, unsigned depth, unsigned lacking,
                 uint64_t first, size_t bytes);
    /* x ^= y & mask, mask 0 or all ones. */
    void (*add)(uint8_t *x, const uint8_t *y, uint64_t mask, size_t bytes);
    /* Bit j of out[i] is bit i of column j, j < 128, i < rows <= 8 bytes. */
    void (*transpose)(sotto_block *out, const uint8_t *column, size_t bytes, size_t rows);
    /* child[2 j] = H(parent[j]), child[2 j + 1] = parent[j] xor child[2 j], j < count; returns the sum of the even
     * ones. H(x) = AES_key(sigma(x)) xor sigma(x) as in lib/hash.h. child and parent do not overlap. */
    sotto_block (*grow)(sotto_block *child, const sotto_block *parent, size_t count, const sotto_aes_key *key);
    /* x[index] ^= value; index < count is secret: all of x is read and written. */
    void (*patch)(sotto_block *x, size_t count, uint64_t index, sotto_block value);
    /* y[i] = leaf[i] without its lowest bit, xored with ten entries of x, which has 2^17. The ten for row i come from
     * words 4 i to 4 i + 3: the lowest 17 bits of each, the next 17 of each, and the next 17 of the first two. They
     * are public. y may equal leaf. */
    void (*lpn)(sotto_block *y, const sotto_block *leaf, size_t count, const sotto_block *x, const uint64_t *words);
} sotto_ot_kernels;

extern const sotto_ot_kernels sotto_ot_kernels_ref;
/* To be called only on a CPU of their tier. */
#if defined(__x86_64__)
extern const sotto_ot_kernels sotto_ot_kernels_avx2;
extern const sotto_ot_kernels sotto_ot_kernels_gfni;
#endif

/* The fastest of the tier in force. */
const sotto_ot_kernels *sotto_ot_kernels_choose(void);

/* Parts of the portable table that others use as well. */
void sotto_ot_expand_ref(uint8_t *column, const sotto_aes_key *key, size_t count, uint64_t first, size_t bytes);
void sotto_ot_sums_ref(uint8_t *v, uint8_t *u, uint8_t *scratch, const sotto_aes_key *key, unsigned depth,
                       unsigned lacking, uint64_t first, size_t bytes);
void sotto_ot_transpose_ref(sotto_block *out, const uint8_t *column, size_t bytes, size_t rows);
sotto_block sotto_ot_grow_ref(sotto_block *child, const sotto_block *parent, size_t count, const sotto_aes_key *key);

#endif
