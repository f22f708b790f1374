/* The loops over tables, compiled once for each kind of processor by the file that defines LOOKUP_KERNELS and LOOKUP_TIER. Tables of one word are the usual case and
 * are worked on in vector registers, which the compiler makes of the plain loops; masks come out of memory, as in nn/secure/step_internal.h.
 * Shifts by a secret count take the same time for every count on the CPUs that this runs on. */
#include "ot/lookup_kernel.h"

#include "lib/ct.h"

/* Exchanges the entries whose numbers differ in bit j alone, j < 6, within a word. */
static inline uint64_t exchange(uint64_t x, unsigned j)
{
    const unsigned s = 1u << j;
    const uint64_t set = sotto_lookup_index(j, 0);
    return (x & set) >> s | (x << s & set);
}

static void turn(unsigned u, uint64_t *restrict table, const uint64_t *restrict flips, size_t count)
{
    const unsigned words = sotto_lookup_words(u);
    for (unsigned j = 0; j < u - 1 && words == 1; j++) {
        for (size_t i = 0; i < count; i++) {
            table[i] ^= (table[i] ^ exchange(table[i], j)) & (0 - (flips[i] >> j & 1));
        }
    }
    for (size_t i = 0; i < count && words > 1; i++) {
        uint64_t *own = table + i * words;
        for (unsigned j = 0; j < u - 1; j++) {
            const uint64_t flip = 0 - (flips[i] >> j & 1);
            for (unsigned w = 0; w < words; w++) {
                const unsigned other = j < 6 ? w : w ^ 1u << (j - 6); /* from bit 6 on whole words change places */
                if (j < 6) {
                    own[w] ^= (own[w] ^ exchange(own[w], j)) & flip;
                } else if (w < other) {
                    const uint64_t x = (own[w] ^ own[other]) & flip;
                    own[w] ^= x;
                    own[other] ^= x;
                }
            }
        }
    }
}

/* Bits x of word w with x >= from, 0 <= from <= 256. */
static uint64_t from_mask(uint64_t from, unsigned w)
{
    const uint64_t start = 64 * (uint64_t)w;
    const uint64_t inside = ~UINT64_C(0) << ((from - start) & 63);
    const uint64_t at_or_below = ~sotto_ct_lt(start, from);      /* from <= start: all of the word */
    const uint64_t beyond = ~sotto_ct_lt(from, start + 64);      /* none of it */
    return sotto_ct_select(at_or_below, ~UINT64_C(0), inside & ~beyond);
}

static void build(unsigned u, uint64_t *restrict table, const uint64_t *restrict a, const uint64_t *restrict pi, size_t count)
{
    const unsigned bits = u - 1, words = sotto_lookup_words(u);
    const uint64_t entries = UINT64_C(1) << bits;
    if (words == 1) { /* entries x >= H - a_l, which is between 1 and 64 */
        for (size_t i = 0; i < count; i++) {
            const uint64_t carry = ~UINT64_C(0) << (entries - sotto_low_bits(a[i], bits) - 1) << 1;
            table[i] ^= carry ^ (0 - (1 ^ (a[i] >> bits & 1) ^ pi[i]));
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        for (unsigned w = 0; w < words; w++) {
            table[i * words + w] ^= from_mask(entries - sotto_low_bits(a[i], bits), w) ^ (0 - (1 ^ (a[i] >> bits & 1) ^ pi[i]));
        }
    }
}

static void open_tables(unsigned u, uint64_t *restrict b, const uint64_t *restrict table, const uint64_t *restrict pad,
                        const uint64_t *restrict c, size_t count)
{
    const unsigned bits = u - 1, words = sotto_lookup_words(u);
    if (words == 1) {
        for (size_t i = 0; i < count; i++) {
            b[i] = ((table[i] >> sotto_low_bits(c[i], bits) ^ c[i] >> bits) & 1) ^ pad[i];
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const uint64_t index = sotto_low_bits(c[i], bits);
        uint64_t bit = 0;
        for (unsigned w = 0; w < words; w++) {
            bit |= sotto_ct_eq(index >> 6, w) & (table[i * words + w] >> (index & 63));
        }
        b[i] = ((bit ^ c[i] >> bits) & 1) ^ pad[i];
    }
}

const sotto_lookup_kernels LOOKUP_KERNELS = {LOOKUP_TIER, turn, build, open_tables};
