/* Polynomial units with secret coefficients: z = C_0 + C_1 x + ... + C_d x^d modulo 2^l for every value of a POLY step, d = 2 or 3 by channels. In the same layer channels
 * of degree 1, z = 2^shift x, and of degree 0, z = 0, are local.
 *
 * x = e + rho, rho at the client since prepare (a fresh mask), e at the server in infer. Sorted by powers of rho,
 *     P(e + rho) = P(e) + sum over j < d of rho^j c_j(e) + C_d rho^d,      c_j(e) = sum over i >= j of C_i binomial(i, j) e^(i-j).
 * infer: the server sends m_j = c_j(e) - V_j for 0 < j < d, V_j uniform and used once. The client has sum rho^j m_j, the server P(e), and both have, since
 * prepare, shares of sum rho^j V_j + C_d rho^d. So the coefficients stay at the server (but for the number of bits of the highest), and so does e.
 *
 * prepare, products of a number and a word by correlated OT for each bit (Gilboa, "Two party RSA key generation", CRYPTO 1999, section 4; ot/product.h), bit i modulo
 * 2^(l-i), as the rest of its product is beyond the ring:
 *     rho^j V_j   l OTs a value towards the client, its choices the bits of rho^j. V_j := the difference of the two keys of bit 0, which needs no correction; the others
 *                 take l (l - 1) / 2 bits together.
 *     C_d rho^d   `bits` OTs a channel towards the server, its choices the bits of C_d in two's complement; each value of the channel takes its own word of their hashed keys
 *                 and bits l - bits (bits - 1) / 2 bits of correction.
 * MATRIX, CORRECTION, CHOICE and OFFER as in nn/secure/unit.h; there is no REPLY: the client's share comes about in infer, and what reads it is a UNIT step that truncates
 * locally and masks the result anew.
 *
 * What is sent: choices of OTs, hidden by the extension; corrections, each under a key that its receiver lacks; m_j under V_j, of which the client has no more than its
 * shares of the products.
 */
#ifndef SOTTO_NN_SECURE_POLY_H
#define SOTTO_NN_SECURE_POLY_H

#include "nn/plain/program.h"
#include "nn/secure/unit.h"

#define SOTTO_POLY_BITS_MAX 24u

/* Channels of one degree above 1. */
typedef struct sotto_poly_section {
    unsigned degree;
    size_t channels;
    size_t count;            /* values: channels * area */
    const uint32_t *channel; /* of the layer, ascending */
    size_t client_ots, server_ots;
    size_t payload;          /* bytes of corrections in CORRECTION */
    size_t client_sums, server_sums; /* bytes of the answers to each, with silent OT; they follow the corrections of CORRECTION and of CHOICE */
    sotto_unit_bytes bytes;  /* table and reply are 0 */
} sotto_poly_section;

typedef struct sotto_poly_plan {
    sotto_poly_section section[2];
    size_t sections;
    uint32_t *channel;       /* what the sections point into */
    const uint8_t *degree;   /* of each channel; the program's */
    size_t words, area;
    unsigned l, bits, shift;
    sotto_ot_kind ot;
    size_t client_sums, server_sums;
    sotto_unit_bytes bytes;
} sotto_poly_plan;

/* For a POLY step. SOTTO_ERR_PARAMS for channels of more than 2^17 values, SOTTO_ERR_MEMORY; *p is zero on failure. */
SOTTO_MUST_CHECK int sotto_poly_plan_new(sotto_poly_plan *p, const sotto_step_info *step, sotto_ot_kind ot);
void sotto_poly_plan_free(sotto_poly_plan *p);

/* As in nn/secure/unit.h: secret, calls in the order given, the plan outlives them. */
typedef struct sotto_poly_client sotto_poly_client;
typedef struct sotto_poly_server sotto_poly_server;

/* rho: the client's shares of what is read, plan words modulo 2^l, known beforehand; they outlive the state. */
SOTTO_MUST_CHECK int sotto_poly_client_new(sotto_poly_client **out, const sotto_poly_plan *p, sotto_ot *ot, sotto_chan *chan, const uint64_t *rho);
SOTTO_MUST_CHECK int sotto_poly_client_choose(sotto_poly_client *u, sotto_ot *ot, sotto_chan *chan, uint8_t *choice);
/* c: its shares of the result. SOTTO_ERR_FORMAT, SOTTO_ERR_MEMORY; c is zero then. */
SOTTO_MUST_CHECK int sotto_poly_client_open(sotto_poly_client *u, uint64_t *c, const uint8_t *offer);
void sotto_poly_client_free(sotto_poly_client *u);

/* coefficients: SOTTO_POLY_TERMS of each channel, the highest of a channel in [-2^(bits-1), 2^(bits-1)); they outlive the state. */
SOTTO_MUST_CHECK int sotto_poly_server_new(sotto_poly_server **out, const sotto_poly_plan *p, sotto_ot *ot, sotto_chan *chan, const int64_t *coefficients);
SOTTO_MUST_CHECK int sotto_poly_server_correct(sotto_poly_server *u, sotto_ot *ot, sotto_chan *chan);
SOTTO_MUST_CHECK int sotto_poly_server_ready(sotto_poly_server *u, sotto_ot *ot, const uint8_t *choice);
/* e: its shares of what is read, a: of the result; plan words modulo 2^l. SOTTO_ERR_USED for a second offer, SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_poly_server_offer(sotto_poly_server *u, uint8_t *offer, uint64_t *a, const uint64_t *e);
void sotto_poly_server_free(sotto_poly_server *u);

#endif
