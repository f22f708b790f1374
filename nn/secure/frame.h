/* Frames: every message of a session has a type, a version, a tag (the step it belongs to) and a length that the receiver knows in advance, so that it never
 * allocates by what a peer says.
 *
 * Header, 16 bytes little-endian: magic u16, version u8, type u8, tag u32, body length u64. In place of any expected frame a peer may send ERROR, whose body
 * is one status code.
 */
#ifndef SOTTO_NN_SECURE_FRAME_H
#define SOTTO_NN_SECURE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "lib/chan.h"

#define SOTTO_PROTOCOL_VERSION 2
#define SOTTO_FRAME_HEADER_BYTES 16

typedef enum sotto_frame_type {
    SOTTO_FRAME_ERROR = 1, /* u32: status code, negated */
    SOTTO_FRAME_HELLO,     /* client: model, provider, kind of OT, kind of result, nonce */
    SOTTO_FRAME_WELCOME,   /* server: nonce, number of items that may wait */
    SOTTO_FRAME_KEYS,      /* client: public keys; the base OTs follow */
    SOTTO_FRAME_PREPARE,   /* client: number of the item */
    SOTTO_FRAME_STOCK,     /* either, silent OT only; tag: exchange: what its OTs are made from */
    SOTTO_FRAME_REQUEST,   /* client, per linear step: encrypted masks */
    SOTTO_FRAME_MATRIX,    /* client, per unit step: OT extension, or what it asks of silent OT */
    SOTTO_FRAME_ANSWER,    /* server, per linear step */
    SOTTO_FRAME_CORRECTION,/* server, per unit step: payload of its OTs, sums of silent OT, then its own matrix */
    SOTTO_FRAME_CHOICE,    /* client, per unit step: flips of choices, payload and sums of its OTs */
    SOTTO_FRAME_TABLES,    /* server, per unit step, with the circuit provider */
    SOTTO_FRAME_READY,     /* server: the item is prepared */
    SOTTO_FRAME_INFER,     /* client: number of the item, masked image */
    SOTTO_FRAME_OFFER,     /* server, per unit step */
    SOTTO_FRAME_REPLY,     /* client, per unit step */
    SOTTO_FRAME_LOGITS,    /* server: its shares of the output */
    SOTTO_FRAME_BYE,       /* client */
    SOTTO_FRAME_TYPES
} sotto_frame_type;

typedef struct sotto_frame {
    sotto_frame_type type;
    uint32_t tag;
    uint64_t length;
} sotto_frame;

/* Sends a header; the caller sends `length` bytes of body next. */
SOTTO_MUST_CHECK int sotto_frame_begin(sotto_chan *chan, sotto_frame_type type, uint32_t tag, uint64_t length);
SOTTO_MUST_CHECK int sotto_frame_send(sotto_chan *chan, sotto_frame_type type, uint32_t tag, const void *body, size_t length);
/* Receives any header. SOTTO_ERR_PROTOCOL for what is none, SOTTO_ERR_VERSION for another version, SOTTO_ERR_PEER (message names the peer's status) for an
 * ERROR frame; the peer's SOTTO_ERR_MISMATCH, _VERSION, _USED and _LIMIT are returned as they are. */
SOTTO_MUST_CHECK int sotto_frame_next(sotto_chan *chan, sotto_frame *frame);
/* As sotto_frame_next, and SOTTO_ERR_PROTOCOL unless type, tag and length are these. */
SOTTO_MUST_CHECK int sotto_frame_expect(sotto_chan *chan, sotto_frame_type type, uint32_t tag, uint64_t length);
/* The same with the body. On failure body is zero. */
SOTTO_MUST_CHECK int sotto_frame_recv(sotto_chan *chan, sotto_frame_type type, uint32_t tag, void *body, size_t length);
/* Tells the peer of a failure, as far as the channel still carries it; its own outcome is ignored. Only codes that say nothing about
 * a secret travel: MISMATCH, VERSION, USED, LIMIT, PROTOCOL, TIMEOUT; any other becomes PEER. */
void sotto_frame_send_error(sotto_chan *chan, int status);

#endif
