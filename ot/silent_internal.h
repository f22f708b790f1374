/* Inside the ot module: silent OT of one party, both directions, over Ferret's trees (ferret_internal.h): calls in halves, from a stock, and calls in step. Blocks of
 * the sender are q, those of the receiver t = q xor r D. */
#ifndef SOTTO_OT_SILENT_INTERNAL_H
#define SOTTO_OT_SILENT_INTERNAL_H

#include "lib/hash.h"
#include "ot/extension.h"
#include "ot/softspoken_internal.h"

typedef struct sotto_silent sotto_silent; /* secret */

/* What a direction starts from; the OTs stay the caller's and are not needed afterwards. */
typedef struct sotto_silent_source {
    sotto_softspoken *ots;
    sotto_hash hash;  /* of the session and the direction */
    sotto_block seed; /* this party's, secret */
} sotto_silent_source;

/* source: of the direction in which this party receives, and of the one in which it sends. Each direction takes one message, party 0's first. */
SOTTO_MUST_CHECK int sotto_silent_new(sotto_silent **out, int party, const sotto_silent_source source[2], sotto_block offset, sotto_chan *chan);
/* Wipes; NULL is fine. */
void sotto_silent_free(sotto_silent *s);

size_t sotto_silent_ask_bytes(size_t count, int random);
size_t sotto_silent_answer_bytes(size_t count);

/* Contracts: those of sotto_ot_stock_begin and so on, but for the numbering and the wiping of blocks. choices NULL: random ones, the lowest bits of t. */
SOTTO_MUST_CHECK int sotto_silent_stock_begin(sotto_silent *s, const sotto_ot_stock *stock);
SOTTO_MUST_CHECK int sotto_silent_stock_say(sotto_silent *s, sotto_chan *chan);
SOTTO_MUST_CHECK int sotto_silent_stock_hear(sotto_silent *s, sotto_chan *chan);
SOTTO_MUST_CHECK int sotto_silent_ask(sotto_silent *s, sotto_chan *chan, const uint8_t *choices, size_t count);
SOTTO_MUST_CHECK int sotto_silent_give(sotto_silent *s, sotto_chan *chan, int random, size_t count, sotto_block *q, uint8_t *answer);
SOTTO_MUST_CHECK int sotto_silent_take(sotto_silent *s, const uint8_t *answer, size_t count, sotto_block *t);

/* In step; a direction whose stock is empty gets one. The sender flushes. */
SOTTO_MUST_CHECK int sotto_silent_send(sotto_silent *s, sotto_chan *chan, int random, size_t count, sotto_block *q);
SOTTO_MUST_CHECK int sotto_silent_recv(sotto_silent *s, sotto_chan *chan, const uint8_t *choices, size_t count, sotto_block *t);

#endif
