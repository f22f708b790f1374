/* Units over oblivious transfer: the truncation, sign and selection of one UNIT or MAX step of a program for all its values at once.
 *
 * prepare, per step (types of messages in nn/secure/frame.h):
 *     client: MATRIX      extension of its OTs, on random choices
 *     server: CORRECTION  payload of the truncation OTs, then its own extension matrix on the random bits pi
 *     client: CHOICE      flips of the choices that must follow its share, payload of its OTs
 *     server: TABLES      circuit provider only
 * infer: server OFFER (d, Z, sign message), client REPLY (g, w). The algebra stands in nn/secure/step.h.
 *
 * The client's OTs, in order for each tile of n units (SOTTO_SIGN_TILE): n for truncations (if the ring widens), n for tau (if sign), n (u - 1) for signs. tau and pi ARE the random
 * choices, which the OT session draws. Truncation OTs run on random sigma; the client sends f = cbar xor sigma, and shares of rho sigma become shares of
 * rho cbar = rho (sigma xor f) by x -> (1 - 2f) x on both sides, the server adding rho f.
 * Correlations are taken from keys as far as possible (difference delta = k1 - k0 of an OT's keys): rho = delta mod 2, so that the correction
 * delta - rho is even and one bit shorter; zeta = delta, without any.
 */
#ifndef SOTTO_NN_SECURE_UNIT_H
#define SOTTO_NN_SECURE_UNIT_H

#include "nn/plain/program.h"
#include "nn/secure/sign.h"

typedef struct sotto_unit_plan {
    size_t count;
    sotto_ot_kind ot;
    sotto_truncation truncation;
    unsigned widen; /* m: bits that the truncation finds by OT; 0: none */
    int sign;
    sotto_sign_window window;
    sotto_sign_plan signs;
    size_t client_ots, server_ots; /* received by each */
    size_t matrix_bytes, correction_bytes, choice_bytes, table_bytes; /* bodies of prepare */
    size_t offer_bytes, reply_bytes;                                  /* bodies of infer; offer_bytes may be 0 */
} sotto_unit_plan;

/* For a UNIT or MAX step. ot: the session's kind of extension; with silent OT matrix_bytes and correction_bytes are no exact lengths (ot/extension.h). SOTTO_ERR_PARAMS when
 * the provider cannot decide its signs. */
SOTTO_MUST_CHECK int sotto_unit_plan_new(sotto_unit_plan *p, const sotto_step_info *step, sotto_sign_provider provider, sotto_ot_kind ot);

/* Each side's state of one step of one item; secret. Calls in the order given; after a failure only _free. */
typedef struct sotto_unit_client sotto_unit_client;
typedef struct sotto_unit_server sotto_unit_server;

/* Client: sends the body of MATRIX. */
SOTTO_MUST_CHECK int sotto_unit_client_new(sotto_unit_client **out, const sotto_unit_plan *p, sotto_ot *ot, sotto_chan *chan);
/* Client: receives the body of CORRECTION. c: its shares of what is read, count words modulo 2^truncation.l; choice: choice_bytes to send. */
SOTTO_MUST_CHECK int sotto_unit_client_choose(sotto_unit_client *u, sotto_ot *ot, sotto_chan *chan, const uint64_t *c, uint8_t *choice);
/* Client: where the table_bytes of TABLES are to be put; NULL when there are none. */
uint8_t *sotto_unit_client_tables(sotto_unit_client *u);
/* Client, infer: r_next: count words modulo 2^l_next, its shares of the result. */
SOTTO_MUST_CHECK int sotto_unit_client_reply(sotto_unit_client *u, uint8_t *reply, const uint8_t *offer, const uint64_t *r_next);
void sotto_unit_client_free(sotto_unit_client *u);

/* Server: receives the body of MATRIX. rng: one block, for garbling. */
SOTTO_MUST_CHECK int sotto_unit_server_new(sotto_unit_server **out, const sotto_unit_plan *p, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng);
/* Server: sends the body of CORRECTION. */
SOTTO_MUST_CHECK int sotto_unit_server_correct(sotto_unit_server *u, sotto_ot *ot, sotto_chan *chan);
/* Server: from the body of CHOICE; sends the body of TABLES, if any, as it is made. */
SOTTO_MUST_CHECK int sotto_unit_server_ready(sotto_unit_server *u, const sotto_ot *ot, sotto_chan *chan, const uint8_t *choice);
/* Server, infer: a: its shares of what is read, count words (reduced inside). SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_unit_server_offer(sotto_unit_server *u, uint8_t *offer, const uint64_t *a);
/* Server, infer: e: its shares of the result modulo 2^l_next. SOTTO_ERR_FORMAT for a malformed reply. */
SOTTO_MUST_CHECK int sotto_unit_server_finish(sotto_unit_server *u, uint64_t *e, const uint8_t *reply);
void sotto_unit_server_free(sotto_unit_server *u);

#endif
