/* Oblivious transfer extension (Ishai, Kilian, Nissim, Petrank, "Extending oblivious transfers efficiently", CRYPTO 2003), semi-honest, both directions in one
 * session.
 *
 * An extension gives correlated blocks: the receiver, with choice bits r_i, gets t_i, the sender q_i = t_i xor r_i D, D being the sender's offset of the session.
 * These are garbling labels as they stand (D is the free-XOR offset). Hashed they are keys of random OT: k_0 = H(q), k_1 = H(q xor D), the receiver's
 * k_r = H(t). OTs of a direction are numbered from 0 and never numbered twice; one number serves one purpose.
 *
 * Sending and receiving move bytes in one direction only, from the receiver of the OTs to their sender, sotto_ot_wire_bytes(count) of them: 16 per OT,
 * in batches of 128.
 */
#ifndef SOTTO_OT_EXTENSION_H
#define SOTTO_OT_EXTENSION_H

#include "lib/aes.h"
#include "lib/chan.h"
#include "lib/hash.h"
#include "lib/rng.h"

typedef struct sotto_ot sotto_ot; /* secret; one party's half of a session */

/* Runs the base OTs of both directions (three messages). party: 0 the client, 1 the server. salt: fresh for the session, known to both. Errors of
 * sotto_base_ot, SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_ot_new(sotto_ot **out, sotto_chan *chan, const sotto_rng *rng, sotto_block salt, int party);
/* Wipes; NULL is fine. */
void sotto_ot_free(sotto_ot *ot);

/* The offset with which this party sends; its lowest bit is 1. Secret. */
sotto_block sotto_ot_offset(const sotto_ot *ot);
/* The hash of an OT's keys, in the direction that this party sends (send = 1) or receives, for garbling with another domain. */
sotto_hash sotto_ot_hash(const sotto_ot *ot, sotto_hash_domain domain, int send);
/* Bytes on the wire of `count` OTs; SIZE_MAX when that overflows. */
size_t sotto_ot_wire_bytes(size_t count);

/* Sender: reads the peer's matrix. q: count blocks; *first: number of the first. SOTTO_ERR_LIMIT beyond 2^39 OTs in one direction, or the channel's error:
 * the blocks are then zero and the session has ended, for the two parties' generators no longer agree. */
SOTTO_MUST_CHECK int sotto_ot_send(sotto_ot *ot, sotto_chan *chan, size_t count, sotto_block *q, uint64_t *first);
/* Receiver: choices: count packed bits, secret; bits after the last are ignored. Errors as above. Waits for nothing and does not flush. */
SOTTO_MUST_CHECK int sotto_ot_recv(sotto_ot *ot, sotto_chan *chan, const uint8_t *choices, size_t count, sotto_block *t,
                                   uint64_t *first);

/* Keys of random OT: block `word` (0, 1, ...) of the key of OTs first, first + 1, ...; a pad is used once. k0, k1, k: count blocks each, not overlapping q or t. */
void sotto_ot_keys_send(const sotto_ot *ot, uint64_t first, size_t count, uint16_t word, const sotto_block *q, sotto_block *k0,
                        sotto_block *k1);
void sotto_ot_keys_recv(const sotto_ot *ot, uint64_t first, size_t count, uint16_t word, const sotto_block *t, sotto_block *k);

/* Chosen OT of blocks: two messages, the receiver's matrix and the sender's 32 bytes per OT. out[i] = m[choice_i][i]. */
SOTTO_MUST_CHECK int sotto_ot_chosen_send(sotto_ot *ot, sotto_chan *chan, size_t count, const sotto_block *m0, const sotto_block *m1);
SOTTO_MUST_CHECK int sotto_ot_chosen_recv(sotto_ot *ot, sotto_chan *chan, const uint8_t *choices, size_t count, sotto_block *out);

#endif
