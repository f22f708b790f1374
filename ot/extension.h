/* Oblivious transfer extension, semi-honest, both directions in one session, of three kinds that differ in bytes and
 * work:
 *
 *   IKNP        Ishai, Kilian, Nissim, Petrank, "Extending oblivious transfers efficiently", CRYPTO 2003: 16 bytes an
 *               OT.
 *   SoftSpoken  Roy, "SoftSpokenOT", CRYPTO 2022 (eprint 2022/192), k from 2 to 8: 16/k bytes an OT, 2^k / (2 k) of
 *               IKNP's work with its generators.
 *   Ferret      Yang, Weng, Lan, Zhang, Wang, CCS 2020 (eprint 2020/924): silent OT, 0.096 bytes an OT with random
 *               choices and a bit more with chosen ones; rests on the hardness of LPN as well (parameters and estimate:
 *               ot/README.md).
 *
 * All give correlated blocks: the receiver, with choice bits r_i, gets t_i, the sender q_i = t_i xor r_i D, D being
 * the sender's offset of the session. These are garbling labels as they stand (D is the free-XOR offset). Hashed they
 * are keys of random OT: k_0 = H(q), k_1 = H(q xor D), the receiver's k_r = H(t). OTs of a direction are numbered
 * from 0 and never numbered twice; one number serves one purpose.
 *
 * With IKNP and SoftSpoken, sending and receiving move bytes in one direction only, from the receiver of the OTs to
 * their sender, in batches of 128, and the receiver waits for nothing. With Ferret the two call in step: the
 * receiver's call waits for the sender's, and OTs are made 2048 at a time, of which a call drops what it does not use.
 */
#ifndef SOTTO_OT_EXTENSION_H
#define SOTTO_OT_EXTENSION_H

#include "lib/aes.h"
#include "lib/chan.h"
#include "lib/hash.h"
#include "lib/rng.h"
#include "ot/kind.h"

typedef struct sotto_ot sotto_ot; /* secret; one party's half of a session */

/* "iknp", "softspoken2" .. "softspoken8", "ferret"; "unknown" for anything else. */
const char *sotto_ot_kind_name(sotto_ot_kind kind);

/* Runs the base OTs of both directions (three messages; one each way more unless IKNP). party: 0 the client, 1 the
 * server. kind: the same at both. salt: fresh for the session, known to both. Errors of sotto_base_ot,
 * SOTTO_ERR_MEMORY, SOTTO_ERR_ARG for a kind that is none. */
SOTTO_MUST_CHECK int sotto_ot_new(sotto_ot **out, sotto_chan *chan, const sotto_rng *rng, sotto_block salt, int party,
                                  sotto_ot_kind kind);
/* Wipes; NULL is fine. */
void sotto_ot_free(sotto_ot *ot);

/* The offset with which this party sends; its lowest bit is 1. Secret. */
sotto_block sotto_ot_offset(const sotto_ot *ot);
/* The hash of an OT's keys, in the direction that this party sends (send = 1) or receives, for garbling with another
 * domain. */
sotto_hash sotto_ot_hash(const sotto_ot *ot, sotto_hash_domain domain, int send);
/* Bytes on the wire of one call for `count` OTs, from their receiver to their sender; SIZE_MAX when that overflows.
 * Exact for IKNP and SoftSpoken. For Ferret with chosen choices, and without what is sent now and then for later
 * calls: the first call of a direction sends 276,224 bytes more, and each round of 1.17 million OTs that follows 136. */
size_t sotto_ot_wire_bytes(sotto_ot_kind kind, size_t count);
/* Bytes of the same call from the sender to the receiver: 0 but for Ferret, there 176 for 2048 OTs, and 11,968 more
 * once a round. */
size_t sotto_ot_answer_bytes(sotto_ot_kind kind, size_t count);

/* Sender: reads the peer's matrix. q: count blocks; *first: number of the first. SOTTO_ERR_LIMIT beyond 2^39 OTs in
 * one direction, SOTTO_ERR_MEMORY (Ferret) or the channel's error: the blocks are then zero and the session has
 * ended, for the two parties' generators no longer agree. */
SOTTO_MUST_CHECK int sotto_ot_send(sotto_ot *ot, sotto_chan *chan, size_t count, sotto_block *q, uint64_t *first);
/* Receiver: choices: count packed bits, secret; bits after the last are ignored. Errors as above. Does not flush what
 * it sends last. */
SOTTO_MUST_CHECK int sotto_ot_recv(sotto_ot *ot, sotto_chan *chan, const uint8_t *choices, size_t count, sotto_block *t,
                                   uint64_t *first);
/* The same with random choices, which the receiver gets, packed, the bits after the last zero; for Ferret the cheaper
 * call. Both parties use this pair or both the other. */
SOTTO_MUST_CHECK int sotto_ot_send_random(sotto_ot *ot, sotto_chan *chan, size_t count, sotto_block *q,
                                          uint64_t *first);
SOTTO_MUST_CHECK int sotto_ot_recv_random(sotto_ot *ot, sotto_chan *chan, uint8_t *choices, size_t count,
                                          sotto_block *t, uint64_t *first);

/* Keys of random OT: block `word` (0, 1, ...) of the key of OTs first, first + 1, ...; a pad is used once. k0, k1, k:
 * count blocks each, not overlapping q or t. */
void sotto_ot_keys_send(const sotto_ot *ot, uint64_t first, size_t count, uint16_t word, const sotto_block *q,
                        sotto_block *k0, sotto_block *k1);
void sotto_ot_keys_recv(const sotto_ot *ot, uint64_t first, size_t count, uint16_t word, const sotto_block *t,
                        sotto_block *k);

/* Random OT in one go: sotto_ot_send and _recv, then word 0 of the keys, made while the correlated blocks are in the
 * caches; these are not given out. */
SOTTO_MUST_CHECK int sotto_ot_send_keys(sotto_ot *ot, sotto_chan *chan, size_t count, sotto_block *k0,
                                        sotto_block *k1, uint64_t *first);
SOTTO_MUST_CHECK int sotto_ot_recv_keys(sotto_ot *ot, sotto_chan *chan, const uint8_t *choices, size_t count,
                                        sotto_block *k, uint64_t *first);

/* Chosen OT of blocks: the receiver's matrix, then the sender's 32 bytes per OT. out[i] = m[choice_i][i]; zero on
 * failure. out overlaps nothing. */
SOTTO_MUST_CHECK int sotto_ot_chosen_send(sotto_ot *ot, sotto_chan *chan, size_t count, const sotto_block *m0,
                                          const sotto_block *m1);
SOTTO_MUST_CHECK int sotto_ot_chosen_recv(sotto_ot *ot, sotto_chan *chan, const uint8_t *choices, size_t count,
                                          sotto_block *out);

#endif
