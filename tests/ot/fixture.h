/* Both halves of an OT session, run in two threads. */
#ifndef SOTTO_TESTS_OT_FIXTURE_H
#define SOTTO_TESTS_OT_FIXTURE_H

#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"
#include "ot/extension.h"
#include "tests/support/support.h"

static const sotto_block fixture_salt = {{0x1122334455667788, 0x99aabbccddeeff00}};

typedef struct ot_party {
    int party;
    uint64_t seed;
    const sotto_rng *rng; /* NULL: from the seed */
    sotto_ot_kind kind;   /* 0: IKNP */
    /* What to do once the session stands; may be NULL. */
    int (*act)(struct ot_party *p, sotto_ot *ot, sotto_chan *chan);
    void *data;
} ot_party;

/* Both parties' stock of silent OT for calls whose answers have so many bytes, to party 0 and to party 1. */
static inline int fixture_stock(sotto_ot *ot, sotto_chan *chan, size_t to_0, size_t to_1)
{
    const size_t tree = sotto_ot_answer_bytes(SOTTO_OT_FERRET, 1);
    return sotto_ot_stock_make(ot, chan, &(sotto_ot_stock){{to_0 / tree, to_1 / tree}});
}

static inline int ot_party_run(sotto_chan *chan, void *ctx)
{
    ot_party *p = ctx;
    sotto_ot *ot = NULL;
    const sotto_rng rng = p->rng != NULL ? *p->rng : test_rng(p->seed, (uint64_t)p->party);
    int status = sotto_ot_new(&ot, chan, &rng, fixture_salt, p->party, p->kind == 0 ? SOTTO_OT_IKNP : p->kind);
    if (status == SOTTO_OK && p->act != NULL) {
        status = p->act(p, ot, chan);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_flush(chan);
    }
    sotto_ot_free(ot);
    return status;
}

#endif
