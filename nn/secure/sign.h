/* Sign decisions of many units at once, b = 1 for y >= 0, behind one interface for three providers: the client gets b xor pi, pi being the server's
 * random bit. Both put u bits of their share in (nn/secure/step.h); the low u - 1 of the client's are OT choices, both top bits are xored in outside.
 * A unit may decide on two values that share the client's number, y and y - T for a T of the server's: under the same OTs, with a table, or a carry of the circuit, each
 * and a bit pi each.
 *
 * Units are worked on in tiles, [at, at + n): at a multiple of SOTTO_SIGN_TILE, n that many or what is left. Order of work for each, c the client, s the server;
 * OTs towards the client on random choices come first (first, first + 1, ..., unit-major: OT of unit at + i and bit j has number first + i (u - 1) + j):
 *     c: sotto_sign_client_keys   s: sotto_sign_server_keys
 *     c: sotto_sign_flips         flips = random choices xor low bits  -> s
 *     s: sotto_sign_server_ready  prepared state, tables (circuit)     -> c
 *  infer:
 *     s: sotto_sign_offer         message                              -> c
 *     c: sotto_sign_open          b xor pi
 * Bits are words 0 or 1; arrays of words, flips among them (u - 1 bits each), are the tile's, messages the layer's. Prepared state is used once.
 *
 * lookup: Naor-Pinkas table of 2^(u-1) bits per decision (ot/lookup.h). circuit, circuit3: half-gates, three-halves on the carry circuit (garble/word.h); the OT correlation is
 * the free-XOR offset, so that the client's label is its OT key and its zero label is the server's q xor flip * offset, both with the lowest bit replaced: the client knows its
 * bits, so that one block does for the first AND in either scheme. The output's permute bit p is known to the server, which sends msb(a) xor pi xor p. A decision's tables take
 *
 *     circuit 16 + 32 (u - 2) bytes, circuit3 16 + 24.375 (u - 2)        (16 units at a time; 25 for 24.375 where a unit is alone)
 */
#ifndef SOTTO_NN_SECURE_SIGN_H
#define SOTTO_NN_SECURE_SIGN_H

#include "garble/garbling.h"
#include "nn/sotto.h"
#include "ot/extension.h"

typedef struct sotto_sign_plan {
    sotto_sign_provider provider;
    unsigned u;
    unsigned outputs;     /* decisions of a unit, 1 or 2 */
    size_t count;         /* units */
    size_t ots;           /* count * (u - 1) */
    size_t flip_bytes;    /* client to server, prepare */
    size_t table_bytes;   /* server to client, prepare; 0 for lookup */
    size_t message_bytes; /* server to client, infer */
    size_t scratch;       /* blocks of memory that some calls want to work in; wiped by their owner */
} sotto_sign_plan;

#define SOTTO_SIGN_TILE ((size_t)2048)

/* How sessions with this provider garble, the circuit of the label included. */
sotto_garble_scheme sotto_sign_scheme(sotto_sign_provider provider);
/* Number of the first of several instances whose inputs come by OTs from number `ot` on, at least one OT each: sixteen numbers an OT, so that no number is garbled twice and
 * batches are whole. */
static inline uint64_t sotto_sign_instance(uint64_t ot)
{
    return 16 * ot; /* < 2^43: there are 2^39 OTs (ot/extension.h) */
}

/* SOTTO_ERR_PARAMS when the provider cannot do u (lookup: 2 to 9; circuits: 2 to 50). */
SOTTO_MUST_CHECK int sotto_sign_plan_new(sotto_sign_plan *p, sotto_sign_provider provider, unsigned u, unsigned outputs, size_t count);

/* Of the tables of n units; 0 for lookup. */
size_t sotto_sign_table_bytes(const sotto_sign_plan *p, size_t n);
/* From the random choices r of a tile's OTs (u - 1 bits a unit) and the top bits of the client's share (u bits). */
void sotto_sign_flips(const sotto_sign_plan *p, uint64_t *flips, const uint64_t *r, const uint64_t *top, size_t n);

/* ---- client ---- */
typedef struct sotto_sign_client sotto_sign_client;
/* SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_sign_client_new(sotto_sign_client **out, const sotto_sign_plan *p);
/* t: a tile's OT outputs. */
SOTTO_MUST_CHECK int sotto_sign_client_keys(sotto_sign_client *s, size_t at, size_t n, const sotto_ot *ot, uint64_t first, const sotto_block *t,
                                            const uint64_t *r);
/* b[k]: bits of decision k. tables: the layer's table_bytes; not read with lookup. SOTTO_ERR_MEMORY, SOTTO_ERR_FORMAT. */
SOTTO_MUST_CHECK int sotto_sign_open(const sotto_sign_client *s, size_t at, size_t n, uint64_t *const *b, const uint8_t *message, const uint8_t *tables,
                                     const uint64_t *top, sotto_block *scratch);
void sotto_sign_client_free(sotto_sign_client *s);

/* ---- server ---- */
typedef struct sotto_sign_server sotto_sign_server;
/* SOTTO_ERR_RNG, SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_sign_server_new(sotto_sign_server **out, const sotto_sign_plan *p, const sotto_rng *rng);
/* q: a tile's OT outputs. */
SOTTO_MUST_CHECK int sotto_sign_server_keys(sotto_sign_server *s, size_t at, size_t n, const sotto_ot *ot, uint64_t first, const sotto_block *q);
/* tables: gets the tile's, sotto_sign_table_bytes; NULL for lookup. Tiles in order: with the last the OT outputs are wiped. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_sign_server_ready(sotto_sign_server *s, size_t at, size_t n, const sotto_ot *ot, const uint64_t *flips, uint8_t *tables,
                                             sotto_block *scratch);
/* message: message_bytes, of which this writes the tile's, from the top bits of the server's share (top[k] for decision k) and pi[k]. Tiles in order. */
void sotto_sign_offer(sotto_sign_server *s, size_t at, size_t n, uint8_t *message, const uint64_t *const *top, const uint64_t *const *pi);
void sotto_sign_server_free(sotto_sign_server *s);

#endif
