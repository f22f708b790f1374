/* What one inference uses up: a party's half of a prepared item, and how it is prepared and used. The session (session.h) numbers items and keeps the
 * conversation; here is what travels for one of them.
 *
 * Every value of the program is shared, a at the server and c at the client. prepare fixes c for all of them: INPUT and UNIT values get a fresh uniform mask,
 * LINEAR values c = W r - s, sums and gathers follow, and MAX adds a fresh mask to the share of its second operand. infer computes a. Of POLY alone c comes about in infer.
 */
#ifndef SOTTO_NN_SECURE_MATERIAL_H
#define SOTTO_NN_SECURE_MATERIAL_H

#include "nn/secure/label.h"
#include "nn/secure/poly.h"
#include "nn/secure/session.h"
#include "nn/secure/unit.h"

/* Room in a channel's input for what is not part of an item. */
#define SOTTO_INPUT_SLACK (UINT64_C(1) << 20)

/* What both sides of a session agree on beyond the network. */
typedef struct sotto_terms {
    const sotto_network *network;
    sotto_sign_provider sign;
    sotto_ot_kind ot;
    sotto_unit_plan *units; /* per step; zero where it is no UNIT or MAX */
    sotto_poly_plan *polys; /* zero where it is no POLY */
    int label_only;         /* the client gets no logits */
    sotto_label_plan label; /* where label_only */
    sotto_ot_stock stock;   /* silent OT: trees of an item, received by the client and by the server; else 0 and 0 */
} sotto_terms;

/* SOTTO_ERR_PARAMS when the provider cannot decide a step's signs. */
SOTTO_MUST_CHECK int sotto_terms_new(sotto_terms *t, const sotto_network *n, sotto_sign_provider sign, sotto_ot_kind ot);
/* Changes terms to those of the label alone. SOTTO_ERR_ARG when there are too many outputs, SOTTO_ERR_MEMORY; *t is zero on failure. */
SOTTO_MUST_CHECK int sotto_terms_label_only(sotto_terms *t);
void sotto_terms_free(sotto_terms *t);

/* Bytes of frames of one item, headers included, as the client sees them; for sotto inspect and for checks. */
typedef struct sotto_item_bytes {
    uint64_t prepare_out, prepare_in, infer_out, infer_in;
} sotto_item_bytes;
sotto_item_bytes sotto_terms_bytes(const sotto_terms *t);
/* The part of one step of the program. */
sotto_item_bytes sotto_terms_step_bytes(const sotto_terms *t, size_t at);
/* Silent OT: frames each way before the flights, each a round trip, and their part of the bytes above; 0 with other kinds. Trees of 2048 OTs that are made for them, by
 * both sides. */
typedef struct sotto_stock_cost {
    unsigned exchanges;
    uint64_t out, in; /* bytes that the client sends and receives */
    size_t trees;
} sotto_stock_cost;
sotto_stock_cost sotto_terms_stock(const sotto_terms *t);
/* The most that either side sends for one item with any provider and kind of OT that the network allows: what a channel may have to take in while it sends. */
SOTTO_MUST_CHECK int sotto_network_item_bytes(const sotto_network *n, uint64_t *most);

/* ---- client ---- */
typedef struct sotto_client_item {
    const sotto_terms *terms;
    uint64_t **share;          /* per step, words modulo its ring */
    uint64_t **mask;           /* per step: what the client subtracts in a REPLY; UNIT: share itself, MAX: of its units */
    sotto_unit_client **unit;  /* per step */
    sotto_poly_client **poly;
    sotto_label_client *label;
    size_t room;               /* bytes of tables that may still be kept in memory */
} sotto_client_item;

/* All three flights, from the first REQUEST on. sk: one per key of the network. *item is zero on failure. */
SOTTO_MUST_CHECK int sotto_client_item_prepare(sotto_client_item *item, const sotto_terms *terms, const sotto_session_env *env,
                                               const sotto_bfv_secret_key *sk, sotto_ot *ot);
/* Sends INFER with `number` in front, ends with the logits (centred) or, where the terms are label_only, with *label; the other is not touched. The item is to be freed
 * afterwards, whatever came of it. */
SOTTO_MUST_CHECK int sotto_client_item_infer(sotto_client_item *item, const sotto_session_env *env, uint64_t number, int64_t *logits, size_t *label,
                                             const int64_t *x);
void sotto_client_item_free(sotto_client_item *item);

/* ---- server ---- */
typedef struct sotto_server_item {
    const sotto_terms *terms;
    uint64_t **mask;           /* per LINEAR step: s, out_words */
    sotto_unit_server **unit;
    sotto_poly_server **poly;
    sotto_label_server *label;
} sotto_server_item;

/* pk: one per key. *item is zero on failure. */
SOTTO_MUST_CHECK int sotto_server_item_prepare(sotto_server_item *item, const sotto_terms *terms, const sotto_serving *serving,
                                               const sotto_session_env *env, const sotto_bfv_public_key *pk, sotto_ot *ot);
/* input: the masked image, packed in the ring of the input, as INFER carries it after the number. */
SOTTO_MUST_CHECK int sotto_server_item_infer(sotto_server_item *item, const sotto_serving *serving, const sotto_session_env *env,
                                             const uint8_t *input);
size_t sotto_terms_input_bytes(const sotto_terms *t);
void sotto_server_item_free(sotto_server_item *item);

#endif
