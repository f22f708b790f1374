/* Inside the ot module: what lookup.h does with tables in memory, one set of loops per kind of processor. All compute the same.
 *
 * A table is `words` words of 64 entries, the only one partly used when u < 7; words = 1 for u up to 7. Tables lie one after the other.
 */
#ifndef SOTTO_OT_LOOKUP_KERNEL_H
#define SOTTO_OT_LOOKUP_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "lib/cpu.h"

static inline unsigned sotto_lookup_words(unsigned u)
{
    return u > 7 ? 1u << (u - 7) : 1;
}

/* Bits x of word w whose index has bit i set. */
static inline uint64_t sotto_lookup_index(unsigned i, unsigned w)
{
    static const uint64_t low[6] = {0xaaaaaaaaaaaaaaaa, 0xcccccccccccccccc, 0xf0f0f0f0f0f0f0f0,
                                    0xff00ff00ff00ff00, 0xffff0000ffff0000, 0xffffffff00000000};
    return i < 6 ? low[i] : 0 - (uint64_t)((w >> (i - 6)) & 1);
}

typedef struct sotto_lookup_kernels {
    sotto_tier tier; /* the CPU that it needs */
    /* Entry x goes to x xor flip; in place. */
    void (*turn)(unsigned u, uint64_t *table, const uint64_t *flips, size_t count);
    /* table ^= the server's bits for a and pi. */
    void (*build)(unsigned u, uint64_t *table, const uint64_t *a, const uint64_t *pi, size_t count);
    /* b = entry c_l xor pad xor the top bit of c. */
    void (*open)(unsigned u, uint64_t *b, const uint64_t *table, const uint64_t *pad, const uint64_t *c, size_t count);
} sotto_lookup_kernels;

extern const sotto_lookup_kernels sotto_lookup_kernels_ref;
#if defined(__x86_64__)
extern const sotto_lookup_kernels sotto_lookup_kernels_avx2;
extern const sotto_lookup_kernels sotto_lookup_kernels_avx512;
#endif

#endif
