/* AES-128 encryption (FIPS 197), with vector AES or AES-NI where the CPU has them and otherwise bit-sliced: no table
 * lookup, so time does not depend on key or data on any path. */
#ifndef SOTTO_LIB_AES_H
#define SOTTO_LIB_AES_H

#include <stddef.h>
#include <stdint.h>

/* 128 bits: an AES block, an OT key, a wire label. Kept as two words so that xor is two instructions everywhere;
 * byte i of the block is byte i of the struct in memory (little-endian words on every supported CPU). */
typedef struct sotto_block {
    uint64_t w[2];
} sotto_block;

static inline sotto_block sotto_block_xor(sotto_block a, sotto_block b)
{
    sotto_block r = {{a.w[0] ^ b.w[0], a.w[1] ^ b.w[1]}};
    return r;
}

/* x & mask on both words; mask is 0 or all ones (lib/ct.h). */
static inline sotto_block sotto_block_and(sotto_block x, uint64_t mask)
{
    sotto_block r = {{x.w[0] & mask, x.w[1] & mask}};
    return r;
}

typedef struct sotto_aes_key {
    sotto_block round[11]; /* round keys in encryption order; secret when the key is */
} sotto_aes_key;

void sotto_aes_expand(sotto_aes_key *key, sotto_block k);
/* out[i] = AES_key(in[i]) for i < count; out may equal in. */
void sotto_aes_encrypt(const sotto_aes_key *key, sotto_block *out, const sotto_block *in, size_t count);
/* out[i] = AES_{k[i / per]}(in[i]) for i < count: a fresh key schedule every `per` >= 1 blocks. k has ceil(count / per)
 * keys and does not overlap out; out may equal in. Timing depends on count, per and the CPU tier alone, as above. */
void sotto_aes_encrypt_rekeyed(sotto_block *out, const sotto_block *in, size_t count, const sotto_block *k, size_t per);
/* Counter mode: block i of out is AES_key(first + i) for i < count, the counter a little-endian 128-bit number that stays
 * below 2^64. out has 16 count bytes and any alignment. */
void sotto_aes_counter(const sotto_aes_key *key, void *out, uint64_t first, size_t count);

/* Name of the kernel in use under the tier in force: "portable", "aes-ni" or "vaes". */
const char *sotto_aes_tier(void);

#endif
