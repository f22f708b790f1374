/* Units over oblivious transfer: the truncations, signs and selections of one UNIT or MAX step of a program for all its values at once.
 *
 * A layer is a list of sections, each of units that are alike: `count` decisions with `pixels` values each. The kinds are these, in terms of nn/secure/step.h:
 *     passed on   truncate; the client answers C_d - r_next                                 identity; `count` values, no decision
 *     kept by 1   truncate every pixel, one sign of their sum, select every pixel           relu, block-relu, a pair of a maximum
 *     kept by 2   the same with b xor b2 for b, then b2 (T >> f) added                      clip
 * Values that are always zero belong to no section: both shares are 0, nothing is sent for them. Sections share the frames of their layer, their bodies one after
 * the other; so a layer of several kinds is one exchange, and each kind costs what it costs alone.
 *
 * prepare, per step (types of messages in nn/secure/frame.h):
 *     client: MATRIX      extension of its OTs, on random choices
 *     server: CORRECTION  payload of the truncation OTs (and of clip's), then its own extension matrix on the random bits pi
 *     client: CHOICE      flips of the choices that must follow its share, payload of its OTs
 *     server: TABLES      circuit provider only
 * infer: server OFFER (d, Z, sign message), client REPLY (g, w).
 * With silent OT (Ferret) the same frames carry its halves (ot/extension.h), from a stock of trees that has been made: MATRIX what the client asks for, CORRECTION the
 * sums for that after the payload, then what the server asks for, CHOICE the sums for that at its end. So a party that receives has its keys one flight later, the client
 * before it chooses, the server before its tables.
 *
 * The client's OTs, in order for each tile of n decisions (SOTTO_SIGN_TILE): n for the truncations of each pixel (if the ring widens), n for tau (if there is a decision), n for
 * tau2 (clip), n (u - 1) for signs. tau, tau2 and pi ARE the random choices, which the OT session draws. Truncation OTs run on random sigma; the client sends
 * f = cbar xor sigma, and shares of rho sigma become shares of rho cbar = rho (sigma xor f) by x -> (1 - 2f) x on both sides, the server adding rho f.
 * Correlations are taken from keys as far as possible (difference delta = k1 - k0 of an OT's keys): rho = delta mod 2, so that the correction
 * delta - rho is even and one bit shorter; zeta = delta, without any. A patch has one tau and one pi: pixel i takes words of block i of the hashed keys of its two OTs.
 *
 * Clip: with b and b2 = [y >= T] masked by pi xor pi2 and pi2, b xor b2 is masked by pi, so that the selection is that of a relu. The client sends g2 = b2 xor pi2 xor tau2, and
 *     b2 (T >> f) = pi2 (T >> f) + (b2 xor pi2) D,   D = (1 - 2 pi2)(T >> f),
 * where shares of tau2 D come from the OT and become shares of (tau2 xor g2) D by x -> (1 - 2 g2) x. pi2 is the lowest bit of a word of that OT's delta that serves nothing
 * else; tau2, which is not tau, keeps b2 xor pi2 from the server.
 */
#ifndef SOTTO_NN_SECURE_UNIT_H
#define SOTTO_NN_SECURE_UNIT_H

#include "nn/plain/program.h"
#include "nn/secure/sign.h"

typedef struct sotto_unit_bytes {
    size_t matrix, correction, choice, table; /* bodies of prepare */
    size_t offer, reply;                      /* bodies of infer; offer may be 0 */
} sotto_unit_bytes;

typedef struct sotto_unit_section {
    size_t count;          /* decisions; values where there are none */
    size_t pixels;         /* values of each */
    const uint32_t *value; /* [pixels][count] places in the layer; NULL: the places themselves, pixels = 1 */
    unsigned decisions;    /* signs of each: 0, 1 or 2 */
    sotto_ot_kind ot;
    sotto_truncation truncation;
    unsigned widen;        /* m: bits that the truncation finds by OT; 0: none */
    size_t area;           /* decisions = 2: unit i has bound i / area */
    sotto_sign_window window;
    const uint8_t *lift;   /* of each decision (sotto_step_info.lift); NULL: 0 */
    sotto_sign_plan signs;
    size_t client_ots, server_ots; /* received by each */
    size_t client_sums, server_sums; /* bytes of the answers to each, with silent OT */
    sotto_unit_bytes bytes;
} sotto_unit_section;

typedef struct sotto_unit_plan {
    sotto_unit_section *sections;
    size_t section_count;
    uint32_t *value;         /* what the sections point into */
    uint8_t *lift;           /* and their lifts */
    size_t words;            /* of the layer */
    size_t client_ots, server_ots;
    size_t client_sums, server_sums;
    sotto_unit_bytes bytes;
} sotto_unit_plan;

/* For a UNIT or MAX step. ot: the session's kind of extension. SOTTO_ERR_PARAMS when
 * the provider cannot decide its signs, SOTTO_ERR_MEMORY; *p is zero on failure. */
SOTTO_MUST_CHECK int sotto_unit_plan_new(sotto_unit_plan *p, const sotto_step_info *step, sotto_sign_provider provider, sotto_ot_kind ot);
void sotto_unit_plan_free(sotto_unit_plan *p);

/* Each side's state of one step of one item; secret. The plan outlives it. Calls in the order given; after a failure only _free. */
typedef struct sotto_unit_client sotto_unit_client;
typedef struct sotto_unit_server sotto_unit_server;

/* Client: sends the body of MATRIX. */
SOTTO_MUST_CHECK int sotto_unit_client_new(sotto_unit_client **out, const sotto_unit_plan *p, sotto_ot *ot, sotto_chan *chan);
/* Client: receives the body of CORRECTION. c: its shares of what is read, plan words modulo 2^truncation.l; choice: bytes.choice to send. */
SOTTO_MUST_CHECK int sotto_unit_client_choose(sotto_unit_client *u, sotto_ot *ot, sotto_chan *chan, const uint64_t *c, uint8_t *choice);
/* Client: receives the body of TABLES, if any, and keeps it until the reply: in memory while *room has as many bytes, of which it takes them away, else in a file (lib/spill.h). room NULL: in
 * memory. SOTTO_ERR_MEMORY, SOTTO_ERR_IO or the channel's error. */
SOTTO_MUST_CHECK int sotto_unit_client_take(sotto_unit_client *u, sotto_chan *chan, size_t *room);
/* Client, infer: r_next: plan words modulo 2^l_next, its shares of the result; 0 for values that are always zero. */
SOTTO_MUST_CHECK int sotto_unit_client_reply(sotto_unit_client *u, uint8_t *reply, const uint8_t *offer, const uint64_t *r_next);
void sotto_unit_client_free(sotto_unit_client *u);

/* Server: receives the body of MATRIX. bound: T of each channel, where there are clips (sotto_program_weights.bound); it outlives the state. rng: one block a section, for
 * garbling. */
SOTTO_MUST_CHECK int sotto_unit_server_new(sotto_unit_server **out, const sotto_unit_plan *p, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng,
                                           const int64_t *bound);
/* Server: sends the body of CORRECTION. */
SOTTO_MUST_CHECK int sotto_unit_server_correct(sotto_unit_server *u, sotto_ot *ot, sotto_chan *chan);
/* Server: from the body of CHOICE; sends the body of TABLES, if any, as it is made. */
SOTTO_MUST_CHECK int sotto_unit_server_ready(sotto_unit_server *u, sotto_ot *ot, sotto_chan *chan, const uint8_t *choice);
/* Server, infer: a: its shares of what is read, plan words (reduced inside). SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_unit_server_offer(sotto_unit_server *u, uint8_t *offer, const uint64_t *a);
/* Server, infer: e: its shares of the result modulo 2^l_next. SOTTO_ERR_FORMAT for a malformed reply. */
SOTTO_MUST_CHECK int sotto_unit_server_finish(sotto_unit_server *u, uint64_t *e, const uint8_t *reply);
void sotto_unit_server_free(sotto_unit_server *u);

#endif
