/* Oblivious transfer extension, semi-honest, both directions in one session, of three kinds that differ in bytes and
 * work:
 *
 *   IKNP        Ishai, Kilian, Nissim, Petrank, "Extending oblivious transfers efficiently", CRYPTO 2003: 16 bytes an
 *               OT.
 *   SoftSpoken  Roy, "SoftSpokenOT", CRYPTO 2022 (eprint 2022/192), k from 2 to 8: 16/k bytes an OT, 2^k / (2 k) of
 *               IKNP's work with its generators.
 *   Ferret      Yang, Weng, Lan, Zhang, Wang, CCS 2020 (eprint 2020/924): silent OT, 0.098 bytes an OT with random
 *               choices and a bit more with chosen ones; rests on the hardness of LPN as well (parameters and estimate:
 *               ot/README.md).
 *
 * All give correlated blocks: the receiver, with choice bits r_i, gets t_i, the sender q_i = t_i xor r_i D, D being
 * the sender's offset of the session. These are garbling labels as they stand (D is the free-XOR offset). Hashed they
 * are keys of random OT: k_0 = H(q), k_1 = H(q xor D), the receiver's k_r = H(t). OTs of a direction are numbered
 * from 0 and never numbered twice; one number serves one purpose.
 *
 * With IKNP and SoftSpoken, sending and receiving move bytes in one direction only, from the receiver of the OTs to
 * their sender, in batches of 128, and the receiver waits for nothing. With Ferret an answer comes back, and OTs are made
 * in trees of 2048, of which a call drops what it does not use. Called in one go, its two parties are in step: the
 * receiver's call waits for the sender's, and from time to time both make a stock of trees first. In halves nobody waits:
 * the stock for a known number of trees is made beforehand, in a few exchanges whose bytes follow from that number; then
 * the receiver asks, the sender makes its blocks and an answer, and the receiver takes its blocks from that, any time later
 * but in the order in which it asked, and all of them before it calls in step or makes the next stock.
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

/* Runs the base OTs of both directions (three messages; one each way more unless IKNP, and with Ferret 276,224 bytes each way). party: 0 the client, 1 the
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
/* Bytes on the wire of one call for `count` OTs, from their receiver to their sender; SIZE_MAX when that overflows. random: of the calls with random choices, which with
 * Ferret send less. Ferret called in step sends more now and then: 680 bytes before the first of each 5.2 million OTs. */
size_t sotto_ot_wire_bytes(sotto_ot_kind kind, size_t count, int random);
/* Bytes of the same call from the sender to the receiver: 0 but for Ferret, there 176 for 2048 OTs (in step 59,840 more, as above). */
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

/* ---- Ferret in halves ---- */

/* Trees of the calls to come, each call taking as many as hold its OTs: received by party 0, and by party 1. */
typedef struct sotto_ot_stock {
    size_t trees[2];
} sotto_ot_stock;

/* Making a stock: party 0 says, party 1 hears; party 1 says, party 0 hears; as many times as there are exchanges; and at the end, unless there are none, party 0 says once
 * more. Bytes that a party says in exchange 0, 1, ..., for party 0 also in the one after the last: 0 or more; where it is 0 the two calls do nothing. */
unsigned sotto_ot_stock_exchanges(const sotto_ot_stock *s);
size_t sotto_ot_stock_bytes(const sotto_ot_stock *s, int party, unsigned exchange);
/* Trees that are made for the stock alone, on top of its own, of both directions. */
size_t sotto_ot_stock_trees(const sotto_ot_stock *s);
/* What the last stock has left is dropped, but for a direction that wants none; a stock is made of whole rounds of 640 trees. Memory: 2.2 MB a round, given back as its
 * trees are used. SOTTO_ERR_MEMORY, the channel's errors; the session has ended then. No call flushes. */
SOTTO_MUST_CHECK int sotto_ot_stock_begin(sotto_ot *ot, const sotto_ot_stock *s);
SOTTO_MUST_CHECK int sotto_ot_stock_say(sotto_ot *ot, sotto_chan *chan);
SOTTO_MUST_CHECK int sotto_ot_stock_hear(sotto_ot *ot, sotto_chan *chan);

/* All of it, by both parties in step; flushes. With no trees, or another kind, nothing. */
SOTTO_MUST_CHECK int sotto_ot_stock_make(sotto_ot *ot, sotto_chan *chan, const sotto_ot_stock *s);

/* Receiver: sends the first half of a call, sotto_ot_wire_bytes; choices as in sotto_ot_recv, NULL: random. Ferret alone. SOTTO_ERR_ARG beyond the stock, else as
 * sotto_ot_recv. */
SOTTO_MUST_CHECK int sotto_ot_ask(sotto_ot *ot, sotto_chan *chan, const uint8_t *choices, size_t count);
/* Sender: sotto_ot_send or, with `random`, sotto_ot_send_random, which with Ferret leave what has to go to the receiver in answer, sotto_ot_answer_bytes. */
SOTTO_MUST_CHECK int sotto_ot_give(sotto_ot *ot, sotto_chan *chan, int random, size_t count, sotto_block *q, uint64_t *first, uint8_t *answer);
/* Receiver: the second half, of calls in order. choices: gets them, packed; may be NULL. SOTTO_ERR_ARG for more than was asked for. */
SOTTO_MUST_CHECK int sotto_ot_take(sotto_ot *ot, const uint8_t *answer, uint8_t *choices, size_t count, sotto_block *t, uint64_t *first);

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
