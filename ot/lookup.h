/* Sign lookup: of many units at once, the server's secret u-bit number and the client's give a bit to the client, masked by the server's bit pi.
 *
 * With H = 2^(u-1), a = ma H + al and c = mc H + cl, the sign bit of a + c modulo 2^u is ma xor mc xor [al + cl >= H]. Entry x of the server's table is
 *     1 xor ma xor [al + x >= H] xor pi,     x = 0 .. H - 1,
 * and entry cl, xored with mc by the client, is [a + c >= 0 in two's complement] xor pi. The table travels under pads (Naor and Pinkas, "Computationally secure
 * oblivious transfer", J. Cryptology 2005, 1-of-H from log H OTs): with G_i^b the hashed key of OT i for bit b, H bits long, pad x is the xor over i of bit x of
 * G_i^{x_i}. The client knows G_i for its own bits alone; any other entry's pad has a G_i that it does not know. Each OT number is
 * used in one table, so each pad bit is used once.
 *
 * OTs are numbered unit-major: bit j of unit i is first + i (u - 1) + j. They ran on random bits; flip = random bit xor bit of cl. u: 2 to 9.
 */
#ifndef SOTTO_OT_LOOKUP_H
#define SOTTO_OT_LOOKUP_H

#include "ot/extension.h"

#define SOTTO_LOOKUP_U_MIN 2u
#define SOTTO_LOOKUP_U_MAX 9u

/* Bytes of the tables of `count` units, packed: count * 2^(u-1) bits; SIZE_MAX when that overflows. */
size_t sotto_lookup_table_bytes(unsigned u, size_t count);

/* Server, prepare: pads of all entries, table_bytes, from q and the flips (packed, one per OT in the order of the OTs).
 * SOTTO_ERR_ARG (u), SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_lookup_pads(uint8_t *pads, unsigned u, size_t count, const sotto_ot *ot, uint64_t first,
                                       const sotto_block *q, const uint8_t *flips);
/* Server, infer: the padded tables, from a (u bits each) and pi (words 0 or 1). out may equal pads. */
void sotto_lookup_tables(uint8_t *out, unsigned u, size_t count, const uint8_t *pads, const uint64_t *a, const uint64_t *pi);
/* Client, prepare: the pad of its own entry, words 0 or 1, from t and c (u bits each). SOTTO_ERR_ARG (u),
 * SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_lookup_pad(uint64_t *pad, unsigned u, size_t count, const sotto_ot *ot, uint64_t first, const sotto_block *t,
                                      const uint64_t *c);
/* Client, infer: the bits. b may equal pad. Reads every entry of every table, whichever is its own. Tables
 * whose padding is not zero count as zero: the bits are then wrong, as they are with any table that the server made wrong. */
void sotto_lookup_open(uint64_t *b, unsigned u, size_t count, const uint8_t *tables, const uint64_t *pad, const uint64_t *c);

#endif
