/* The label alone: which of the shared outputs is the largest, from a garbled circuit (garble/gadgets.h) whose result the client alone can decode, and in infer only.
 *
 * The client's inputs are its shares, known in prepare; so its labels are the keys of OTs on random choices, flipped later, whose correlation is the free-XOR offset, and the
 * lowest AND of every sum costs half (as in nn/secure/sign.h). The server's are its own.
 * prepare: client MATRIX (its OTs), with silent OT server CORRECTION (the sums), client CHOICE (flips), server TABLES.
 * infer: server OFFER: the labels of its shares and the permute bits of the outputs' zero labels.
 * The permute bits are what turns output labels into a label, and are sent with the last message: before that the client could decode nothing. The server gets nothing.
 *
 * What is sent: flips masked by random choices; tables and one label a wire, from which the garbling hides the server's inputs; permute bits, of the outputs alone. The client
 * sees its inputs, the garbling and the result, which it may have.
 */
#ifndef SOTTO_NN_SECURE_LABEL_H
#define SOTTO_NN_SECURE_LABEL_H

#include "garble/garbling.h"
#include "nn/secure/unit.h"

typedef struct sotto_label_plan {
    sotto_garbling *garbling;
    size_t count;          /* values; 1: the label is 0 and nothing is sent */
    unsigned k;            /* bits of each that enter: they lie in [-2^(k-1), 2^(k-1)) */
    unsigned label_bits;
    size_t client_ots;
    sotto_ot_kind ot;
    sotto_unit_bytes bytes; /* reply is 0; correction, the sums for the client, too unless OT is silent */
} sotto_label_plan;

/* count up to 65536, k from 2 to 64; scheme: sotto_sign_scheme of the session's provider. SOTTO_ERR_ARG, SOTTO_ERR_LIMIT (more gates than a circuit has),
 * SOTTO_ERR_MEMORY; *p is zero on failure. */
SOTTO_MUST_CHECK int sotto_label_plan_new(sotto_label_plan *p, size_t count, unsigned k, sotto_ot_kind ot, sotto_garble_scheme scheme);
void sotto_label_plan_free(sotto_label_plan *p);

/* As in nn/secure/unit.h: secret, calls in the order given, the plan outlives them. */
typedef struct sotto_label_client sotto_label_client;
typedef struct sotto_label_server sotto_label_server;

/* Sends the body of MATRIX. */
SOTTO_MUST_CHECK int sotto_label_client_new(sotto_label_client **out, const sotto_label_plan *p, sotto_ot *ot, sotto_chan *chan);
/* With silent OT, before it chooses: from the body of CORRECTION. */
SOTTO_MUST_CHECK int sotto_label_client_take(sotto_label_client *u, sotto_ot *ot, const uint8_t *sums);
/* c: its shares of the values (their k lowest bits count); choice: bytes.choice to send. */
void sotto_label_client_choose(sotto_label_client *u, const uint64_t *c, uint8_t *choice);
/* Where the bytes.table of TABLES are to be put. */
uint8_t *sotto_label_client_tables(sotto_label_client *u);
/* The smallest index with the largest value. SOTTO_ERR_FORMAT for a malformed offer, or one that gives an index that is none; SOTTO_ERR_MEMORY. *label is 0 then. */
SOTTO_MUST_CHECK int sotto_label_client_open(sotto_label_client *u, size_t *label, const uint8_t *offer);
void sotto_label_client_free(sotto_label_client *u);

/* Receives the body of MATRIX; draws its labels from rng. */
SOTTO_MUST_CHECK int sotto_label_server_new(sotto_label_server **out, const sotto_label_plan *p, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng);
/* The body of CORRECTION. */
const uint8_t *sotto_label_server_sums(const sotto_label_server *u);
/* From the body of CHOICE; tables: gets bytes.table to send. */
SOTTO_MUST_CHECK int sotto_label_server_ready(sotto_label_server *u, const sotto_ot *ot, uint8_t *tables, const uint8_t *choice);
/* a: its shares of the values. SOTTO_ERR_USED for a second offer: two labels of a wire are the offset. */
SOTTO_MUST_CHECK int sotto_label_server_offer(sotto_label_server *u, uint8_t *offer, const uint64_t *a);
void sotto_label_server_free(sotto_label_server *u);

#endif
