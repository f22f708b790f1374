/* Inside the ot module: correlated OT from vector OLE over the field of 2^k elements (Roy, "SoftSpokenOT", CRYPTO
 * 2022, eprint 2022/192, without the consistency check), semi-honest, one direction. k = 1 is IKNP.
 *
 * The sender's offset D of 128 bits is cut into pieces of k bits, the last shorter if need be. For a piece with value
 * d, both parties have the leaves of a tree of depth k: 2^k seeds, of which the OTs' receiver knows all and their
 * sender all but one, chosen by d. Each leaf x is expanded to a bit g_x per OT. Let u = sum of all g_x and v = sum of
 * x g_x, k bits, x written in bits. The receiver has both; it takes v as these k bits of t and sends u xor r. With y
 * = x xor d the sender has sum of y g_x = v xor d u, for the leaf with y = 0 that it lacks does not count; it adds d
 * (u xor r) and has v xor d r.
 *
 * The trees (Goldreich, Goldwasser, Micali, punctured at one leaf): each level uses the base OT of one bit of the piece.
 * The nodes of the first level are its two keys; from the second level on the receiver sends the sum of the nodes that
 * are left children and that of the right ones under the two keys, and the sender, that lacks one node of a level,
 * finds the other child of that node from the sum that it can open.
 */
#ifndef SOTTO_OT_SOFTSPOKEN_INTERNAL_H
#define SOTTO_OT_SOFTSPOKEN_INTERNAL_H

#include "lib/aes.h"
#include "lib/chan.h"
#include "ot/base.h"

#define SOTTO_SOFTSPOKEN_K_MAX 8u

typedef struct sotto_softspoken sotto_softspoken; /* secret; one party's half of one direction */

/* Bytes of the message with the sums of the trees, once per direction, from the receiver to the sender; 0 for k = 1. */
size_t sotto_softspoken_setup_bytes(unsigned k);
/* Bytes of the matrix of `count` OTs, padded to 128; SIZE_MAX when that overflows. */
size_t sotto_softspoken_wire_bytes(unsigned k, size_t count);

/* The receiver, from both keys of each base OT, writes the set-up message; the sender, whose choices were the bits of
 * offset, reads it. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_softspoken_new_receiver(sotto_softspoken **out, unsigned k,
                                                   sotto_block keys[SOTTO_BASE_OTS][2], uint8_t *setup);
SOTTO_MUST_CHECK int sotto_softspoken_new_sender(sotto_softspoken **out, unsigned k, sotto_block offset,
                                                 const sotto_block keys[SOTTO_BASE_OTS], const uint8_t *setup);
/* Wipes; NULL is fine. */
void sotto_softspoken_free(sotto_softspoken *s);

/* Contracts: sotto_ot_send and _recv. On failure the blocks are zero. At most 2^39 OTs in all, which the caller
 * keeps. */
SOTTO_MUST_CHECK int sotto_softspoken_send(sotto_softspoken *s, sotto_chan *chan, size_t count, sotto_block *q);
SOTTO_MUST_CHECK int sotto_softspoken_recv(sotto_softspoken *s, sotto_chan *chan, const uint8_t *choices,
                                           size_t count, sotto_block *t);

#endif
