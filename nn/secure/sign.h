/* Sign decisions of many units at once, b = 1 for y >= 0, behind one interface for two providers: the client gets b xor pi, pi being the server's
 * random bit. Both put u bits of their share in (nn/secure/step.h); the low u - 1 of the client's are OT choices, both top bits are xored in outside.
 *
 * Order of work, c the client, s the server; `ots` random-choice OTs towards the client come first (indices first, first + 1, ..., unit-major:
 * OT of unit i and bit j has index first + i (u - 1) + j):
 *     c: sotto_sign_choose    flips = choices xor low bits      -> s
 *     s: sotto_sign_offer_new prepared state, tables (circuit)  -> c
 *     c: sotto_sign_open_new  prepared state
 *  infer:
 *     s: sotto_sign_offer     message                           -> c
 *     c: sotto_sign_open      b xor pi
 * Bits are words 0 or 1. Prepared state is used once.
 *
 * lookup: Naor-Pinkas table of 2^(u-1) bits per unit (ot/lookup.h). circuit: half-gates on the carry circuit (garble/gadgets.h); the OT correlation is the free-XOR
 * offset, so that the client's label is its OT key and its zero label is the server's q xor flip * offset. The output's permute bit p is known to the server,
 * which sends msb(a) xor pi xor p.
 */
#ifndef SOTTO_NN_SECURE_SIGN_H
#define SOTTO_NN_SECURE_SIGN_H

#include "nn/sotto.h"
#include "ot/extension.h"

typedef struct sotto_sign_plan {
    sotto_sign_provider provider;
    unsigned u;
    size_t count;         /* units */
    size_t ots;           /* count * (u - 1) */
    size_t flip_bytes;    /* client to server, prepare */
    size_t table_bytes;   /* server to client, prepare; 0 for lookup */
    size_t message_bytes; /* server to client, infer */
} sotto_sign_plan;

/* SOTTO_ERR_PARAMS when the provider cannot do u (lookup: 2 to 9; circuit: 2 to 50). */
SOTTO_MUST_CHECK int sotto_sign_plan_new(sotto_sign_plan *p, sotto_sign_provider provider, unsigned u, size_t count);

/* ---- client ---- */
typedef struct sotto_sign_client sotto_sign_client;
/* flips: flip_bytes, from the choices (packed bits, the first at bit choices_first of the array) and the top bits of the client's share. */
void sotto_sign_choose(const sotto_sign_plan *p, uint8_t *flips, const uint8_t *choices, size_t choices_first, const uint64_t *top);
/* t: the client's OT outputs; tables NULL for lookup. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_sign_client_new(sotto_sign_client **out, const sotto_sign_plan *p, const sotto_ot *ot, uint64_t first,
                                           const sotto_block *t, const uint64_t *top, const uint8_t *tables);
SOTTO_MUST_CHECK int sotto_sign_open(const sotto_sign_client *s, uint64_t *b, const uint8_t *message);
void sotto_sign_client_free(sotto_sign_client *s);

/* ---- server ---- */
typedef struct sotto_sign_server sotto_sign_server;
/* q: the server's OT outputs; flips from the client; tables (table_bytes) to be sent, NULL for lookup. SOTTO_ERR_RNG, SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_sign_server_new(sotto_sign_server **out, const sotto_sign_plan *p, const sotto_ot *ot, uint64_t first,
                                           const sotto_block *q, const uint8_t *flips, const uint64_t *pi, uint8_t *tables,
                                           const sotto_rng *rng);
/* message: message_bytes, from the top bits of the server's share. */
void sotto_sign_offer(const sotto_sign_server *s, uint8_t *message, const uint64_t *top);
void sotto_sign_server_free(sotto_sign_server *s);

#endif
