#include "lib/hash.h"

#include "lib/cpu.h"
#include "lib/hash_kernel.h"
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

#if defined(__x86_64__)
    if (per == 1 && sotto_cpu_tier() >= SOTTO_TIER_IFMA) {
        sotto_hash_vaes(out, NULL, x, (sotto_block){{0, 0}}, sotto_hash_key(h, word, sub, 0), counter, count);
        return;
    }
#endif
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
    /* Two blocks of one OT differ by the offset, two of one wire by the free-XOR offset: they must not stay on the
     * stack. */
    sotto_wipe(in, sizeof in);
    sotto_wipe(y, sizeof y);
}

void sotto_hash_pairs(const sotto_hash *h, uint16_t word, uint32_t sub, uint64_t counter, sotto_block *out0,
                      sotto_block *out1, const sotto_block *x, sotto_block offset, size_t count)
{
#if defined(__x86_64__)
    if (sotto_cpu_tier() >= SOTTO_TIER_IFMA) {
        sotto_hash_vaes(out0, out1, x, offset, sotto_hash_key(h, word, sub, 0), counter, count);
        sotto_wipe_stack(); /* the offset, spilled */
        return;
    }
#endif
    sotto_block pair[2 * KEYS];

    for (size_t done = 0; done < count; done += KEYS) {
        const size_t n = count - done < KEYS ? count - done : KEYS;
        for (size_t i = 0; i < n; i++) {
            pair[2 * i] = x[done + i];
            pair[2 * i + 1] = sotto_block_xor(x[done + i], offset);
        }
        sotto_hash_blocks(h, word, sub, counter + done, pair, pair, n, 2);
        for (size_t i = 0; i < n; i++) {
            out0[done + i] = pair[2 * i];
            out1[done + i] = pair[2 * i + 1];
        }
    }
    sotto_wipe(pair, sizeof pair);
}
