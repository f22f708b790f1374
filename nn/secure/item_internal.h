/* Inside nn/secure: what the terms of a session and both parties' halves of an item (material.h) stand on. */
#ifndef SOTTO_NN_SECURE_ITEM_INTERNAL_H
#define SOTTO_NN_SECURE_ITEM_INTERNAL_H

#include <string.h>

#include "lib/bytes.h"
#include "lib/ct.h"
#include "lib/mem.h"
#include "lib/prg.h"
#include "nn/secure/frame.h"
#include "nn/secure/material.h"

static inline int is_unit(const sotto_step_info *s)
{
    return s->op == SOTTO_STEP_UNIT || s->op == SOTTO_STEP_MAX;
}

/* A unit on the result of polynomials, of which the client learns its share in infer only: it truncates locally and has nothing to prepare. */
static inline int is_late(const sotto_program *p, size_t at)
{
    return p->steps[at].op == SOTTO_STEP_UNIT && p->steps[p->steps[at].in[0]].op == SOTTO_STEP_POLY;
}

/* Sizes of the bodies of a step's MATRIX, CORRECTION, CHOICE, TABLES, OFFER and REPLY; NULL for one that has none. */
static inline const sotto_unit_bytes *exchange_bytes(const sotto_terms *t, size_t at)
{
    const sotto_step_info *s = &t->network->program.steps[at];
    return is_unit(s) ? &t->units[at].bytes : s->op == SOTTO_STEP_POLY ? &t->polys[at].bytes : NULL;
}

/* The same if it is prepared. */
static inline const sotto_unit_bytes *prepared_bytes(const sotto_terms *t, size_t at)
{
    return is_late(&t->network->program, at) ? NULL : exchange_bytes(t, at);
}

static inline const sotto_step_info *last_step(const sotto_terms *t)
{
    return &t->network->program.steps[t->network->program.step_count - 1];
}

static inline size_t logits_bytes(const sotto_terms *t)
{
    return sotto_packed_bytes(last_step(t)->words, last_step(t)->l);
}

static inline int random_words(uint64_t *out, size_t count, unsigned l, const sotto_rng *rng)
{
    const int status = sotto_prg_expand(rng, out, count * sizeof *out);
    for (size_t i = 0; i < count; i++) {
        out[i] = sotto_low_bits(out[i], l);
    }
    return status;
}

static inline uint64_t *words_new(size_t count, int *status)
{
    uint64_t *words = sotto_calloc(count, sizeof *words);
    if (words == NULL) {
        *status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu values", count);
    }
    return words;
}

static inline uint8_t *bytes_new(size_t count, int *status)
{
    uint8_t *bytes = sotto_calloc(count, 1);
    if (bytes == NULL) {
        *status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a message of %zu bytes", count);
    }
    return bytes;
}

static inline void reduce(uint64_t *x, size_t count, unsigned l)
{
    for (size_t i = 0; i < count; i++) {
        x[i] = sotto_low_bits(x[i], l);
    }
}

/* The steps that each party does alone, alike on both shares. */
static inline void local_step(const sotto_program *p, size_t at, uint64_t *const *value)
{
    const sotto_step_info *s = &p->steps[at];
    sotto_step_local(p, at, value);
    reduce(value[at], s->words, s->l);
}

/* MAX: its value from the second operands y, what is added to them, and the odd array passed on. */
static inline void max_value(const sotto_program *p, size_t at, uint64_t *const *value, const uint64_t *y, const uint64_t *added)
{
    const sotto_step_info *s = &p->steps[at];
    const size_t area = sotto_shape_words(s->shape), read = p->steps[s->in[0]].words;
    for (size_t i = 0; i < s->units; i++) {
        value[at][i] = y[i] + added[i];
    }
    if (s->words > s->units) {
        memcpy(value[at] + s->units, value[s->in[0]] + read - area, area * sizeof **value);
    }
    reduce(value[at], s->words, s->l);
}

/* Frames of an item's stock: client and server in turn, the client once more at the end; one whose body is empty is left out. */
static inline int stock_say(const sotto_terms *t, const sotto_session_env *env, sotto_ot *ot, int party, unsigned exchange)
{
    const size_t bytes = sotto_ot_stock_bytes(&t->stock, party, exchange);
    int status = bytes == 0 ? SOTTO_OK : sotto_frame_begin(env->chan, SOTTO_FRAME_STOCK, exchange, bytes);
    if (status == SOTTO_OK) {
        status = sotto_ot_stock_say(ot, env->chan);
    }
    return status == SOTTO_OK ? sotto_chan_flush(env->chan) : status;
}

static inline int stock_hear(const sotto_terms *t, const sotto_session_env *env, sotto_ot *ot, int party, unsigned exchange)
{
    const size_t bytes = sotto_ot_stock_bytes(&t->stock, 1 - party, exchange);
    const int status = bytes == 0 ? SOTTO_OK : sotto_frame_expect(env->chan, SOTTO_FRAME_STOCK, exchange, bytes);
    return status == SOTTO_OK ? sotto_ot_stock_hear(ot, env->chan) : status;
}

/* Makes the trees of silent OT that an item takes. */
static inline int stock(const sotto_terms *t, const sotto_session_env *env, sotto_ot *ot, int party)
{
    const unsigned exchanges = sotto_ot_stock_exchanges(&t->stock);
    int status = exchanges == 0 ? SOTTO_OK : sotto_ot_stock_begin(ot, &t->stock);
    for (unsigned turn = 0; exchanges > 0 && turn <= 2 * exchanges && status == SOTTO_OK; turn++) {
        status = (int)(turn % 2) == party ? stock_say(t, env, ot, party, turn / 2) : stock_hear(t, env, ot, party, turn / 2);
    }
    return status == SOTTO_OK ? SOTTO_OK : sotto_fail_context(status, "making the stock of silent OT");
}

static inline uint32_t label_tag(const sotto_terms *t)
{
    return (uint32_t)t->network->program.step_count;
}

static inline void free_words(uint64_t **words, const sotto_program *p)
{
    for (size_t i = 0; words != NULL && i < p->step_count; i++) {
        sotto_free_secret(words[i], p->steps[i].words, sizeof **words);
    }
    sotto_free(words);
}

static inline int fail_at(const sotto_terms *t, size_t step, int status)
{
    return sotto_fail_context(status, "node %s", t->network->model.nodes[t->network->program.steps[step].node].name);
}

#endif
