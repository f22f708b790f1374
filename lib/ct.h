/* Constant-time helpers: no branch and no index depends on the arguments.
 *
 * A mask is 0 or all ones. Each helper passes its mask through an empty asm
 * statement (a value barrier), because compilers otherwise recognise the idiom
 * and turn it back into a branch.
 */
#ifndef SOTTO_LIB_CT_H
#define SOTTO_LIB_CT_H

#include <stddef.h>
#include <stdint.h>

__extension__ typedef unsigned __int128 sotto_u128;
__extension__ typedef __int128 sotto_i128;

/* Marks for `make check-ct`: built with -DSOTTO_CT under Valgrind they make memory undefined (secret) or defined again;
 * otherwise they are nothing. Each SOTTO_DECLASSIFY stands beside a comment that says why the value may be seen. */
#ifdef SOTTO_CT
#include <valgrind/memcheck.h>
#define SOTTO_SECRET(p, len) VALGRIND_MAKE_MEM_UNDEFINED((p), (len))
#define SOTTO_DECLASSIFY(p, len) VALGRIND_MAKE_MEM_DEFINED((p), (len))
#else
#define SOTTO_SECRET(p, len) ((void)(p), (void)(len))
#define SOTTO_DECLASSIFY(p, len) ((void)(p), (void)(len))
#endif

static inline uint64_t sotto_ct_barrier(uint64_t x)
{
    __asm__("" : "+r"(x));
    return x;
}

/* bit in {0,1} -> mask. */
static inline uint64_t sotto_ct_mask(uint64_t bit)
{
    return sotto_ct_barrier(0 - bit);
}

/* All ones where x != 0. */
static inline uint64_t sotto_ct_nonzero(uint64_t x)
{
    return sotto_ct_mask((x | (0 - x)) >> 63);
}

/* All ones where a == b. */
static inline uint64_t sotto_ct_eq(uint64_t a, uint64_t b)
{
    return ~sotto_ct_nonzero(a ^ b);
}

/* All ones where a < b, both over the whole range of 64 bits (Hacker's Delight 2-12: the borrow of a - b). */
static inline uint64_t sotto_ct_lt(uint64_t a, uint64_t b)
{
    return sotto_ct_mask(((~a & b) | ((~a | b) & (a - b))) >> 63);
}

/* mask ? a : b. */
static inline uint64_t sotto_ct_select(uint64_t mask, uint64_t a, uint64_t b)
{
    return b ^ (mask & (a ^ b));
}

/* x mod 2^bits, bits in [0, 64]; bits is public. */
static inline uint64_t sotto_low_bits(uint64_t x, unsigned bits)
{
    return bits >= 64 ? x : x & (((uint64_t)1 << bits) - 1);
}

/* Bit i of a packed bit array, least significant bit of byte 0 first; i is public. */
static inline unsigned sotto_bit(const uint8_t *bits, size_t i)
{
    return (unsigned)(bits[i >> 3] >> (i & 7)) & 1u;
}

/* Sets bit i of a zeroed packed bit array to `bit` in {0,1}; i is public, the bit may be secret. */
static inline void sotto_bit_or(uint8_t *bits, size_t i, unsigned bit)
{
    bits[i >> 3] = (uint8_t)(bits[i >> 3] | (bit << (i & 7)));
}

/* 1 when the two arrays are equal, else 0; time depends on len alone. */
int sotto_ct_equal(const void *a, const void *b, size_t len);

#endif
