#include "lib/hash.h"

#include "lib/mem.h"

enum { KEYS = 32, MAX_PER = 8 }; /* tweaks per chunk, blocks per tweak */

sotto_block sotto_hash_key(const sotto_hash *h, uint16_t word, uint32_t sub, uint64_t counter)
{
    const uint64_t high = (uint64_t)h->domain << 56 | (uint64_t)h->direction << 48 | (uint64_t)word << 32 | sub;

    return sotto_block_xor(h->salt, (sotto_block){{counter, high}});
}

static inline sotto_block sigma(sotto_block x)
{
    return (sotto_block){{x.w[1], x.w[0] ^ x.w[1]}};
}

void sotto_hash_blocks(const sotto_hash *h, uint16_t word, uint32_t sub, uint64_t counter, sotto_block *out,
                       const sotto_block *x, size_t count, unsigned per)
{
    sotto_block key[KEYS], in[KEYS * MAX_PER], y[KEYS * MAX_PER];

    while (count > 0) {
        const size_t keys = count < KEYS ? count : KEYS, blocks = keys * per;
        for (size_t i = 0; i < keys; i++)
            key[i] = sotto_hash_key(h, word, sub, counter + i);
        for (size_t i = 0; i < blocks; i++)
            in[i] = sigma(x[i]);
        sotto_aes_encrypt_rekeyed(y, in, blocks, key, per);
        for (size_t i = 0; i < blocks; i++)
            out[i] = sotto_block_xor(y[i], in[i]);
        counter += keys;
        x += blocks;
        out += blocks;
        count -= keys;
    }
    /* Two blocks of one OT differ by the offset, two of one wire by the free-XOR offset: they must not stay on the stack. */
    sotto_wipe(in, sizeof in);
    sotto_wipe(y, sizeof y);
}
