/* Sign lookup: of many units at once, the server's secret u-bit number and the client's give a bit to the client, masked by the server's bit pi.
 *
 * With H = 2^(u-1), a = ma H + al and c = mc H + cl, the sign bit of a + c modulo 2^u is ma xor mc xor [al + cl >= H]. Entry x of the server's table is
 *     1 xor ma xor [al + x >= H] xor pi,     x = 0 .. H - 1,
 * and entry cl, xored with mc by the client, is [a + c >= 0 in two's complement] xor pi. The table travels under pads (Naor and Pinkas, "Computationally secure
 * oblivious transfer", J. Cryptology 2005, 1-of-H from log H OTs), made from OTs that ran on random choices: with G_j^b the hashed key of OT j for bit b, H bits long, and
 * r the number whose bits are the client's choices, pad z is the xor over j of bit z of G_j^{z_j}, z = 0 .. H - 1. The client can make pad r; any other has a G_j that it does
 * not know. Of the flips f = r xor cl, which the client sends, the server learns nothing, and it puts pad x xor f on entry x, so that entry cl is under pad r.
 * Both parties can therefore make their pads before the client's number is known, and keep H bits and one bit of them. x xor f runs through all pads once, so each
 * pad bit is used once.
 *
 * Several tables may be read at one index, by the same OTs: table k has words k w .. (k + 1) w - 1 of the hashed keys, of 64 bits
 * and w = ceil(H / 64), which no other table has. Entry r is then the only one that the client opens of either.
 *
 * OTs are numbered unit-major: bit j of unit i is first + i (u - 1) + j. u: 2 to 9. Packed arrays are those of lib/bytes.h, H bits a unit.
 */
#ifndef SOTTO_OT_LOOKUP_H
#define SOTTO_OT_LOOKUP_H

#include "ot/extension.h"

#define SOTTO_LOOKUP_U_MIN 2u
#define SOTTO_LOOKUP_U_MAX 9u
#define SOTTO_LOOKUP_TABLES 2u

/* Bytes of the tables of `count` units, packed: count * 2^(u-1) bits; SIZE_MAX when that overflows. */
size_t sotto_lookup_table_bytes(unsigned u, size_t count);

/* Server, prepare: all pads of table k (0 or 1), table_bytes, from q. SOTTO_ERR_ARG (u, k). */
SOTTO_MUST_CHECK int sotto_lookup_pads(uint8_t *pads, unsigned u, unsigned k, size_t count, const sotto_ot *ot, uint64_t first, const sotto_block *q);
/* Client, prepare: its pad of table k, words 0 or 1, from t and r (u - 1 bits each). SOTTO_ERR_ARG (u, k). */
SOTTO_MUST_CHECK int sotto_lookup_pad(uint64_t *pad, unsigned u, unsigned k, size_t count, const sotto_ot *ot, uint64_t first, const sotto_block *t,
                                      const uint64_t *r);
/* Server, prepare: the pads in the order of the entries, from the flips (u - 1 bits each; public). In place. */
void sotto_lookup_turn(uint8_t *pads, unsigned u, size_t count, const uint64_t *flips);
/* Server, infer: the padded tables, from a (u bits each) and pi (words 0 or 1). out may equal pads. */
void sotto_lookup_tables(uint8_t *out, unsigned u, size_t count, const uint8_t *pads, const uint64_t *a, const uint64_t *pi);
/* Client, infer: the bits. b overlaps nothing. Reads every entry of every table, whichever is its own. Bits that pad the last byte are not looked at;
 * wrong tables give wrong bits. */
void sotto_lookup_open(uint64_t *b, unsigned u, size_t count, const uint8_t *tables, const uint64_t *pad, const uint64_t *c);

#endif
