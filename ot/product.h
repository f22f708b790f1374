/* Products of a bit and a number from oblivious transfer: correlated OT in Z_{2^width}.
 *
 * The OT's receiver has a choice bit s, its sender a number D; they get shares of s D modulo 2^width. From the keys k_0, k_1 of a random OT:
 *     correction = k_1 - k_0 - D (sender to receiver),   sender's share -k_0,   receiver's share k_s - s correction.
 * (Asharov, Lindell, Schneider, Zohner, "More efficient oblivious transfer", CCS 2013, section 5.4, additively.) A D that may be random needs no correction:
 * D := delta = k_1 - k_0, or a random bit D := delta mod 2, whose correction delta - D is even.
 *
 * Keys are words of the blocks that sotto_ot_keys_send and _recv give: `half` 0 or 1 says which, so that one block serves two products of
 * up to 64 bits each. width: 1 to 64. Arrays have count items. Everything is constant time in keys, bits and numbers.
 */
#ifndef SOTTO_OT_PRODUCT_H
#define SOTTO_OT_PRODUCT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/aes.h"

/* Sender: its shares and the corrections for the numbers d (modulo 2^width). correction may equal d. */
void sotto_product_send(unsigned width, unsigned half, uint64_t *share, uint64_t *correction, const uint64_t *d,
                        const sotto_block *k0, const sotto_block *k1, size_t count);
/* Sender: delta = k_1 - k_0 modulo 2^width, with its shares: a product with no correction. */
void sotto_product_send_random(unsigned width, unsigned half, uint64_t *share, uint64_t *delta, const sotto_block *k0,
                               const sotto_block *k1, size_t count);
/* Receiver: its shares. bits are words 0 or 1; correction NULL: none. share may equal correction. */
void sotto_product_recv(unsigned width, unsigned half, uint64_t *share, const uint64_t *correction, const uint64_t *bits,
                        const sotto_block *k, size_t count);
/* Receiver, from its shares without correction (NULL above) when the correction comes later. In place. */
void sotto_product_correct(unsigned width, uint64_t *share, const uint64_t *correction, const uint64_t *bits, size_t count);
/* Either party, after an OT that ran on a random bit: shares of D s become shares of D (s xor flip), x -> (1 - 2 flip) x, where the sender adds D flip;
 * d is NULL at the receiver. flip is public between the two. In place. */
void sotto_product_flip(unsigned width, uint64_t *share, const uint64_t *flip, const uint64_t *d, size_t count);

#endif
