#include "nn/secure/material.h"

#include <string.h>

#include "lib/bytes.h"
#include "lib/ct.h"
#include "lib/mem.h"
#include "nn/secure/frame.h"

/* ---- terms ------------------------------------------------------------------------------------------------------ */

static int is_unit(const sotto_step_info *s)
{
    return s->op == SOTTO_STEP_UNIT || s->op == SOTTO_STEP_MAX;
}

/* A unit on the result of polynomials, of which the client learns its share in infer only: it truncates locally and has nothing to prepare. */
static int is_late(const sotto_program *p, size_t at)
{
    return p->steps[at].op == SOTTO_STEP_UNIT && p->steps[p->steps[at].in[0]].op == SOTTO_STEP_POLY;
}

/* Sizes of the bodies of a step's MATRIX, CORRECTION, CHOICE, TABLES, OFFER and REPLY; NULL for one that has none. */
static const sotto_unit_bytes *exchange_bytes(const sotto_terms *t, size_t at)
{
    const sotto_step_info *s = &t->network->program.steps[at];
    return is_unit(s) ? &t->units[at].bytes : s->op == SOTTO_STEP_POLY ? &t->polys[at].bytes : NULL;
}

/* The same if it is prepared. */
static const sotto_unit_bytes *prepared_bytes(const sotto_terms *t, size_t at)
{
    return is_late(&t->network->program, at) ? NULL : exchange_bytes(t, at);
}

int sotto_terms_new(sotto_terms *t, const sotto_network *n, sotto_sign_provider sign, sotto_ot_kind ot)
{
    int status = SOTTO_OK;
    memset(t, 0, sizeof *t);
    /* The messages of a session have lengths that are known before, which Ferret's exchanges have not. */
    if (ot < SOTTO_OT_IKNP || ot > SOTTO_OT_SOFTSPOKEN8) {
        return sotto_fail(SOTTO_ERR_PARAMS, "OT extension %d: sessions run on IKNP or SoftSpoken with k from 2 to 8 (start from sotto_options_default())",
                          (int)ot);
    }
    *t = (sotto_terms){.network = n, .sign = sign, .ot = ot, .units = sotto_calloc(n->program.step_count, sizeof *t->units),
                       .polys = sotto_calloc(n->program.step_count, sizeof *t->polys)};
    if (t->units == NULL || t->polys == NULL) {
        sotto_terms_free(t);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a session");
    }
    for (size_t i = 0; i < n->program.step_count && status == SOTTO_OK; i++) {
        const sotto_step_info *s = &n->program.steps[i];
        if (is_unit(s)) {
            status = sotto_unit_plan_new(&t->units[i], s, sign, ot);
        } else if (s->op == SOTTO_STEP_POLY) {
            status = sotto_poly_plan_new(&t->polys[i], s, ot);
        }
        if (status != SOTTO_OK) {
            status = sotto_fail_context(status, "node %s", n->model.nodes[s->node].name);
        }
    }
    if (status != SOTTO_OK) {
        sotto_terms_free(t);
    }
    return status;
}

int sotto_terms_label_only(sotto_terms *t)
{
    const sotto_step_info *last = &t->network->program.steps[t->network->program.step_count - 1];
    const int status = sotto_label_plan_new(&t->label, last->words, last->k, t->ot);
    if (status != SOTTO_OK) {
        sotto_terms_free(t);
        return status;
    }
    t->label_only = 1;
    return SOTTO_OK;
}

void sotto_terms_free(sotto_terms *t)
{
    sotto_label_plan_free(&t->label);
    for (size_t i = 0; t->units != NULL && i < t->network->program.step_count; i++) {
        sotto_unit_plan_free(&t->units[i]);
    }
    for (size_t i = 0; t->polys != NULL && i < t->network->program.step_count; i++) {
        sotto_poly_plan_free(&t->polys[i]);
    }
    sotto_free(t->units);
    sotto_free(t->polys);
    memset(t, 0, sizeof *t);
}

static const sotto_step_info *last_step(const sotto_terms *t)
{
    return &t->network->program.steps[t->network->program.step_count - 1];
}

static size_t logits_bytes(const sotto_terms *t)
{
    return sotto_packed_bytes(last_step(t)->words, last_step(t)->l);
}

size_t sotto_terms_input_bytes(const sotto_terms *t)
{
    return sotto_packed_bytes(t->network->program.input_words, t->network->program.steps[0].l);
}

static uint64_t framed(uint64_t bytes)
{
    return SOTTO_FRAME_HEADER_BYTES + bytes;
}

sotto_item_bytes sotto_terms_step_bytes(const sotto_terms *t, size_t at)
{
    const sotto_step_info *s = &t->network->program.steps[at];
    sotto_item_bytes b = {0};
    if (s->op == SOTTO_STEP_LINEAR) {
        b.prepare_out = framed(t->network->linear[at].plan.request_bytes);
        b.prepare_in = framed(t->network->linear[at].plan.answer_bytes);
        return b;
    }
    const sotto_unit_bytes *prepare = prepared_bytes(t, at), *infer = exchange_bytes(t, at);
    if (prepare != NULL) {
        b.prepare_out = framed(prepare->matrix) + framed(prepare->choice);
        b.prepare_in = framed(prepare->correction) + (prepare->table > 0 ? framed(prepare->table) : 0);
    }
    if (infer != NULL) {
        b.infer_in = infer->offer > 0 ? framed(infer->offer) : 0;
        b.infer_out = is_unit(s) ? framed(infer->reply) : 0;
    }
    return b;
}

sotto_item_bytes sotto_terms_bytes(const sotto_terms *t)
{
    sotto_item_bytes b = {
        .prepare_out = framed(8),                         /* PREPARE */
        .prepare_in = framed(8),                          /* READY */
        .infer_out = framed(8 + sotto_terms_input_bytes(t)),
        .infer_in = framed(t->label_only ? t->label.bytes.offer : logits_bytes(t)),
    };
    if (t->label_only) {
        b.prepare_out += framed(t->label.bytes.matrix) + framed(t->label.bytes.choice);
        b.prepare_in += framed(t->label.bytes.table);
    }
    for (size_t i = 0; i < t->network->program.step_count; i++) {
        const sotto_item_bytes step = sotto_terms_step_bytes(t, i);
        b.prepare_out += step.prepare_out;
        b.prepare_in += step.prepare_in;
        b.infer_out += step.infer_out;
        b.infer_in += step.infer_in;
    }
    return b;
}

/* The terms of the item that sends most by a provider, of all kinds of OT that of IKNP. */
static int widest_terms(sotto_terms *t, const sotto_network *n, unsigned sign, int label_only)
{
    const int status = sotto_terms_new(t, n, (sotto_sign_provider)sign, SOTTO_OT_IKNP);
    return status == SOTTO_OK && label_only ? sotto_terms_label_only(t) : status;
}

int sotto_network_item_bytes(const sotto_network *n, uint64_t *most)
{
    *most = 0;
    for (unsigned i = 0; i < 2 * SOTTO_SIGN_PROVIDERS; i++) {
        sotto_terms t;
        const int status = widest_terms(&t, n, i / 2, i % 2 == 1);
        if (status == SOTTO_ERR_MEMORY) {
            return status;
        }
        if (status == SOTTO_OK) { /* else the provider cannot do these signs, or there are too many outputs for a label: no session has it */
            const sotto_item_bytes b = sotto_terms_bytes(&t);
            const uint64_t way[4] = {b.prepare_out, b.prepare_in, b.infer_out, b.infer_in};
            for (size_t k = 0; k < 4; k++) {
                *most = way[k] > *most ? way[k] : *most;
            }
            sotto_terms_free(&t);
        }
    }
    return SOTTO_OK;
}

/* ---- common ----------------------------------------------------------------------------------------------------- */

static int random_words(uint64_t *out, size_t count, unsigned l, const sotto_rng *rng)
{
    const int status = sotto_rng_fill(rng, out, count * sizeof *out);
    for (size_t i = 0; i < count; i++) {
        out[i] = sotto_low_bits(out[i], l);
    }
    return status;
}

static uint64_t *words_new(size_t count, int *status)
{
    uint64_t *words = sotto_calloc(count, sizeof *words);
    if (words == NULL) {
        *status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu values", count);
    }
    return words;
}

static uint8_t *bytes_new(size_t count, int *status)
{
    uint8_t *bytes = sotto_calloc(count, 1);
    if (bytes == NULL) {
        *status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a message of %zu bytes", count);
    }
    return bytes;
}

static void reduce(uint64_t *x, size_t count, unsigned l)
{
    for (size_t i = 0; i < count; i++) {
        x[i] = sotto_low_bits(x[i], l);
    }
}

/* The steps that each party does alone, alike on both shares. */
static void local_step(const sotto_program *p, size_t at, uint64_t *const *value)
{
    const sotto_step_info *s = &p->steps[at];
    sotto_step_local(p, at, value);
    reduce(value[at], s->words, s->l);
}

/* MAX: its value from the second operands y, what is added to them, and the odd array passed on. */
static void max_value(const sotto_program *p, size_t at, uint64_t *const *value, const uint64_t *y, const uint64_t *added)
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

static uint32_t label_tag(const sotto_terms *t)
{
    return (uint32_t)t->network->program.step_count;
}

static void free_words(uint64_t **words, const sotto_program *p)
{
    for (size_t i = 0; words != NULL && i < p->step_count; i++) {
        sotto_free_secret(words[i], p->steps[i].words, sizeof **words);
    }
    sotto_free(words);
}

static int fail_at(const sotto_terms *t, size_t step, int status)
{
    return sotto_fail_context(status, "node %s", t->network->model.nodes[t->network->program.steps[step].node].name);
}

/* ---- client ----------------------------------------------------------------------------------------------------- */

/* Fresh masks of INPUT, UNIT and MAX, and the sums that linear steps read. */
static int draw_masks(sotto_client_item *item, const sotto_rng *rng)
{
    const sotto_program *p = &item->terms->network->program;
    int status = SOTTO_OK;
    for (size_t i = 0; i < p->step_count && status == SOTTO_OK; i++) {
        const sotto_step_info *s = &p->steps[i];
        item->share[i] = words_new(s->words, &status);
        if (status != SOTTO_OK) {
            break;
        }
        if (s->op == SOTTO_STEP_INPUT || s->op == SOTTO_STEP_UNIT) {
            status = random_words(item->share[i], s->words, s->l, rng);
            for (size_t k = 0; s->decision != NULL && k < s->words; k++) { /* always zero, as both know */
                item->share[i][k] = s->decision[k] == SOTTO_DECISION_ZERO ? 0 : item->share[i][k];
            }
        } else if (s->op == SOTTO_STEP_MAX) {
            item->mask[i] = words_new(s->words, &status);
            status = status == SOTTO_OK ? random_words(item->mask[i], s->units, s->l, rng) : status;
        } else if (s->op == SOTTO_STEP_SUM || s->op == SOTTO_STEP_CONCAT || s->op == SOTTO_STEP_PAD) {
            local_step(p, i, item->share); /* meaningless as yet unless it sums masks; computed again in its turn */
        }
    }
    return status;
}

/* Flight 1, the part of one step. */
static int client_ask(sotto_client_item *item, size_t at, const sotto_session_env *env, const sotto_bfv_secret_key *sk, sotto_ot *ot)
{
    const sotto_terms *t = item->terms;
    const sotto_step_info *s = &t->network->program.steps[at];
    const uint32_t tag = (uint32_t)at;
    int status = SOTTO_OK;
    if (s->op == SOTTO_STEP_LINEAR) {
        const sotto_network_linear *linear = &t->network->linear[at];
        const size_t words = linear->plan.in_words, bytes = linear->plan.request_bytes;
        uint64_t *r = words_new(words, &status);
        uint8_t *request = bytes_new(bytes, &status);
        if (status == SOTTO_OK) {
            memcpy(r, item->share[s->in[0]], words * sizeof *r);
            reduce(r, words, s->l);
            status = sotto_linear_request(request, &linear->plan, linear->params, &sk[linear->key], r, &env->rng, env->pool);
        }
        if (status == SOTTO_OK) {
            status = sotto_frame_send(env->chan, SOTTO_FRAME_REQUEST, tag, request, bytes);
        }
        sotto_free_secret(r, words, sizeof *r);
        sotto_free(request);
    } else if (prepared_bytes(t, at) != NULL) {
        status = sotto_frame_begin(env->chan, SOTTO_FRAME_MATRIX, tag, prepared_bytes(t, at)->matrix);
        if (status == SOTTO_OK) {
            status = is_unit(s) ? sotto_unit_client_new(&item->unit[at], &t->units[at], ot, env->chan)
                                : sotto_poly_client_new(&item->poly[at], &t->polys[at], ot, env->chan, item->share[s->in[0]]);
        }
    }
    return status;
}

/* MAX: its differences decide, and its value's share follows. */
static int client_choose_max(sotto_client_item *item, size_t at, const sotto_session_env *env, sotto_ot *ot, uint8_t *choice)
{
    const sotto_program *p = &item->terms->network->program;
    const sotto_step_info *s = &p->steps[at];
    int status = SOTTO_OK;
    uint64_t *diff = words_new(s->units, &status), *y = words_new(s->units, &status);
    if (status == SOTTO_OK) {
        sotto_step_pairs(s, diff, y, item->share[s->in[0]]);
        reduce(diff, s->units, s->l);
        max_value(p, at, item->share, y, item->mask[at]);
        status = sotto_unit_client_choose(item->unit[at], ot, env->chan, diff, choice);
    }
    sotto_free_secret(diff, s->units, sizeof *diff);
    sotto_free_secret(y, s->units, sizeof *y);
    return status;
}

/* The label's part of the flights, as a step after the last. */
static int client_label_ask(sotto_client_item *item, const sotto_session_env *env, sotto_ot *ot)
{
    const sotto_terms *t = item->terms;
    const int status = sotto_frame_begin(env->chan, SOTTO_FRAME_MATRIX, label_tag(t), t->label.bytes.matrix);
    return status == SOTTO_OK ? sotto_label_client_new(&item->label, &t->label, ot, env->chan) : status;
}

static int client_label_choose(sotto_client_item *item, const sotto_session_env *env)
{
    const sotto_terms *t = item->terms;
    int status = SOTTO_OK;
    uint8_t *choice = bytes_new(t->label.bytes.choice, &status);
    if (status == SOTTO_OK) {
        sotto_label_client_choose(item->label, item->share[t->network->program.step_count - 1], choice);
        status = sotto_frame_send(env->chan, SOTTO_FRAME_CHOICE, label_tag(t), choice, t->label.bytes.choice);
    }
    sotto_free(choice);
    return status;
}

/* Flight 2, the part of one step: what it says about the client's share; *choice gets the body of CHOICE for a unit. */
static int client_learn(sotto_client_item *item, size_t at, const sotto_session_env *env, const sotto_bfv_secret_key *sk, sotto_ot *ot,
                        uint8_t **choice)
{
    const sotto_terms *t = item->terms;
    const sotto_program *p = &t->network->program;
    const sotto_step_info *s = &p->steps[at];
    const uint32_t tag = (uint32_t)at;
    int status = SOTTO_OK;
    if (s->op == SOTTO_STEP_LINEAR) {
        const sotto_network_linear *linear = &t->network->linear[at];
        uint8_t *answer = bytes_new(linear->plan.answer_bytes, &status);
        if (status == SOTTO_OK) {
            status = sotto_frame_recv(env->chan, SOTTO_FRAME_ANSWER, tag, answer, linear->plan.answer_bytes);
        }
        if (status == SOTTO_OK) {
            status = sotto_linear_open(item->share[at], &linear->plan, linear->params, &sk[linear->key], answer, env->pool);
        }
        sotto_free(answer);
    } else if (prepared_bytes(t, at) != NULL) {
        *choice = bytes_new(prepared_bytes(t, at)->choice, &status);
        if (status == SOTTO_OK) {
            status = sotto_frame_expect(env->chan, SOTTO_FRAME_CORRECTION, tag, prepared_bytes(t, at)->correction);
        }
        if (status == SOTTO_OK) {
            status = s->op == SOTTO_STEP_POLY ? sotto_poly_client_choose(item->poly[at], ot, env->chan, *choice)
                     : s->op == SOTTO_STEP_MAX
                         ? client_choose_max(item, at, env, ot, *choice)
                         : sotto_unit_client_choose(item->unit[at], ot, env->chan, item->share[s->in[0]], *choice);
        }
    } else if (!is_unit(s) && s->op != SOTTO_STEP_INPUT) {
        local_step(p, at, item->share);
    }
    return status;
}

/* After flight 3: tables, if any. */
static int client_finish(sotto_client_item *item, size_t at, const sotto_session_env *env)
{
    const size_t bytes = prepared_bytes(item->terms, at)->table;
    return bytes == 0 ? SOTTO_OK
                      : sotto_frame_recv(env->chan, SOTTO_FRAME_TABLES, (uint32_t)at, sotto_unit_client_tables(item->unit[at]), bytes);
}

int sotto_client_item_prepare(sotto_client_item *item, const sotto_terms *terms, const sotto_session_env *env,
                              const sotto_bfv_secret_key *sk, sotto_ot *ot)
{
    const sotto_program *p = &terms->network->program;
    const size_t steps = p->step_count;
    *item = (sotto_client_item){.terms = terms, .share = sotto_calloc(steps, sizeof *item->share), .mask = sotto_calloc(steps, sizeof *item->mask),
                                .unit = sotto_calloc(steps, sizeof *item->unit), .poly = sotto_calloc(steps, sizeof *item->poly)};
    uint8_t **choice = sotto_calloc(steps, sizeof *choice);
    int status = SOTTO_OK;
    if (item->share == NULL || item->mask == NULL || item->unit == NULL || item->poly == NULL || choice == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a prepared item of %zu steps", steps);
    } else {
        status = draw_masks(item, &env->rng);
    }
    for (size_t i = 0; i < steps && status == SOTTO_OK; i++) {
        status = client_ask(item, i, env, sk, ot);
        if (status == SOTTO_OK) { /* the server works on it while the next step is made */
            status = sotto_chan_flush(env->chan);
        }
        status = status == SOTTO_OK ? SOTTO_OK : fail_at(terms, i, status);
    }
    if (terms->label_only && status == SOTTO_OK) {
        status = client_label_ask(item, env, ot);
    }
    for (size_t i = 0; i < steps && status == SOTTO_OK; i++) {
        status = client_learn(item, i, env, sk, ot, &choice[i]);
        status = status == SOTTO_OK ? SOTTO_OK : fail_at(terms, i, status);
        if (env->progress != NULL) {
            env->progress(env->progress_ctx, i + 1, steps);
        }
    }
    for (size_t i = 0; i < steps && status == SOTTO_OK; i++) {
        if (prepared_bytes(terms, i) != NULL) {
            status = sotto_frame_send(env->chan, SOTTO_FRAME_CHOICE, (uint32_t)i, choice[i], prepared_bytes(terms, i)->choice);
        }
    }
    if (terms->label_only && status == SOTTO_OK) {
        status = client_label_choose(item, env);
    }
    for (size_t i = 0; i < steps && status == SOTTO_OK; i++) {
        if (prepared_bytes(terms, i) != NULL) {
            status = client_finish(item, i, env);
            status = status == SOTTO_OK ? SOTTO_OK : fail_at(terms, i, status);
        }
    }
    if (terms->label_only && status == SOTTO_OK) {
        status = sotto_frame_recv(env->chan, SOTTO_FRAME_TABLES, label_tag(terms), sotto_label_client_tables(item->label), terms->label.bytes.table);
    }
    for (size_t i = 0; choice != NULL && i < steps; i++) {
        sotto_free(choice[i]);
    }
    sotto_free(choice);
    if (status != SOTTO_OK) {
        sotto_client_item_free(item);
    }
    return status;
}

static int client_unit(sotto_client_item *item, size_t at, const sotto_session_env *env, const uint8_t *offer)
{
    const sotto_terms *t = item->terms;
    const size_t bytes = t->units[at].bytes.reply;
    const uint64_t *mask = item->mask[at] != NULL ? item->mask[at] : item->share[at];
    int status = SOTTO_OK;
    uint8_t *reply = bytes_new(bytes, &status);
    if (status == SOTTO_OK && is_late(&t->network->program, at)) { /* neither call sends or receives */
        status = sotto_unit_client_new(&item->unit[at], &t->units[at], NULL, NULL);
        if (status == SOTTO_OK) {
            status = sotto_unit_client_choose(item->unit[at], NULL, NULL, item->share[t->network->program.steps[at].in[0]], NULL);
        }
    }
    if (status == SOTTO_OK) {
        status = sotto_unit_client_reply(item->unit[at], reply, offer, mask);
    }
    if (status == SOTTO_OK) {
        status = sotto_frame_send(env->chan, SOTTO_FRAME_REPLY, (uint32_t)at, reply, bytes);
    }
    sotto_free(reply);
    return status;
}

static int client_exchange(sotto_client_item *item, size_t at, const sotto_session_env *env)
{
    const size_t bytes = exchange_bytes(item->terms, at)->offer;
    int status = SOTTO_OK;
    uint8_t *offer = bytes_new(bytes, &status);
    if (status == SOTTO_OK && bytes > 0) {
        status = sotto_frame_recv(env->chan, SOTTO_FRAME_OFFER, (uint32_t)at, offer, bytes);
    }
    if (status == SOTTO_OK) {
        status = item->terms->network->program.steps[at].op == SOTTO_STEP_POLY ? sotto_poly_client_open(item->poly[at], item->share[at], offer)
                                                                               : client_unit(item, at, env, offer);
    }
    sotto_free(offer);
    return status;
}

/* The last message. */
static int client_result(sotto_client_item *item, const sotto_session_env *env, int64_t *logits, size_t *label)
{
    const sotto_terms *t = item->terms;
    const sotto_step_info *last = last_step(t);
    const size_t bytes = t->label_only ? t->label.bytes.offer : logits_bytes(t);
    int status = SOTTO_OK;
    uint8_t *answer = bytes_new(bytes, &status);
    uint64_t *a = words_new(last->words, &status);
    if (status == SOTTO_OK) {
        status = t->label_only ? sotto_frame_recv(env->chan, SOTTO_FRAME_OFFER, label_tag(t), answer, bytes)
                               : sotto_frame_recv(env->chan, SOTTO_FRAME_LOGITS, 0, answer, bytes);
    }
    if (status == SOTTO_OK && t->label_only) {
        status = sotto_label_client_open(item->label, label, answer);
    } else if (status == SOTTO_OK) {
        sotto_reader r;
        sotto_reader_init(&r, answer, bytes);
        sotto_read_packed(&r, a, last->words, last->l);
        status = sotto_reader_finish(&r, "logits");
        for (size_t i = 0; i < last->words && status == SOTTO_OK; i++) {
            const uint64_t y = a[i] + item->share[t->network->program.step_count - 1][i];
            logits[i] = (int64_t)(y << (64 - last->l)) >> (64 - last->l);
        }
    }
    sotto_free_secret(answer, bytes, 1);
    sotto_free_secret(a, last->words, sizeof *a);
    return status;
}

int sotto_client_item_infer(sotto_client_item *item, const sotto_session_env *env, uint64_t number, int64_t *logits, size_t *label, const int64_t *x)
{
    const sotto_terms *t = item->terms;
    const sotto_program *p = &t->network->program;
    const size_t input_bytes = sotto_terms_input_bytes(t);
    int status = SOTTO_OK;
    uint8_t *message = bytes_new(8 + input_bytes, &status);
    uint64_t *e = words_new(p->input_words, &status);
    if (status != SOTTO_OK) {
        goto done;
    }
    for (size_t i = 0; i < p->input_words; i++) {
        e[i] = (uint64_t)x[i] - item->share[0][i];
    }
    sotto_writer w;
    sotto_writer_init(&w, message, 8 + input_bytes);
    sotto_write_u64(&w, number);
    sotto_write_packed(&w, e, p->input_words, p->steps[0].l);
    status = sotto_frame_send(env->chan, SOTTO_FRAME_INFER, 0, message, 8 + input_bytes);
    for (size_t i = 0; i < p->step_count && status == SOTTO_OK; i++) {
        if (exchange_bytes(t, i) != NULL) {
            status = client_exchange(item, i, env);
            status = status == SOTTO_OK ? SOTTO_OK : fail_at(t, i, status);
        }
        if (env->audit.share != NULL && status == SOTTO_OK) {
            env->audit.share(env->audit.ctx, i, item->share[i], p->steps[i].words);
        }
    }
    if (status == SOTTO_OK) {
        status = client_result(item, env, logits, label);
    }
done:
    sotto_free(message);
    sotto_free_secret(e, p->input_words, sizeof *e);
    return status;
}

void sotto_client_item_free(sotto_client_item *item)
{
    if (item->terms == NULL) {
        return;
    }
    const sotto_program *p = &item->terms->network->program;
    for (size_t i = 0; item->unit != NULL && i < p->step_count; i++) {
        sotto_unit_client_free(item->unit[i]);
    }
    for (size_t i = 0; item->poly != NULL && i < p->step_count; i++) {
        sotto_poly_client_free(item->poly[i]);
    }
    sotto_label_client_free(item->label);
    sotto_free(item->unit);
    sotto_free(item->poly);
    free_words(item->share, p);
    free_words(item->mask, p);
    memset(item, 0, sizeof *item);
}

/* ---- server ----------------------------------------------------------------------------------------------------- */

static int server_linear(sotto_server_item *item, size_t at, const sotto_serving *serving, const sotto_session_env *env,
                         const sotto_bfv_public_key *pk)
{
    const sotto_network_linear *linear = &serving->network.linear[at];
    const sotto_linear_plan *plan = &linear->plan;
    const uint32_t tag = (uint32_t)at;
    int status = SOTTO_OK;
    uint8_t *request = bytes_new(plan->request_bytes, &status), *answer = bytes_new(plan->answer_bytes, &status);
    item->mask[at] = words_new(plan->out_words, &status);
    if (status == SOTTO_OK) {
        status = random_words(item->mask[at], plan->out_words, serving->network.program.steps[at].l, &env->rng);
    }
    if (status == SOTTO_OK) {
        status = sotto_frame_recv(env->chan, SOTTO_FRAME_REQUEST, tag, request, plan->request_bytes);
    }
    if (status == SOTTO_OK) {
        status = sotto_linear_answer(answer, plan, linear->params, &pk[linear->key], serving->packed[at], request, item->mask[at],
                                     &env->rng, env->pool);
    }
    if (status == SOTTO_OK) {
        status = sotto_frame_send(env->chan, SOTTO_FRAME_ANSWER, tag, answer, plan->answer_bytes);
    }
    sotto_free(request);
    sotto_free(answer);
    return status;
}

static int server_unit(sotto_server_item *item, size_t at, const sotto_serving *serving, const sotto_session_env *env, sotto_ot *ot)
{
    const sotto_terms *t = item->terms;
    const int poly = t->network->program.steps[at].op == SOTTO_STEP_POLY;
    const sotto_unit_bytes *bytes = prepared_bytes(t, at);
    const uint32_t tag = (uint32_t)at;
    int status = sotto_frame_expect(env->chan, SOTTO_FRAME_MATRIX, tag, bytes->matrix);
    if (status == SOTTO_OK) {
        status = poly ? sotto_poly_server_new(&item->poly[at], &t->polys[at], ot, env->chan, serving->weights.poly[at])
                      : sotto_unit_server_new(&item->unit[at], &t->units[at], ot, env->chan, &env->rng, serving->weights.bound[at]);
    }
    if (status == SOTTO_OK) {
        status = sotto_frame_begin(env->chan, SOTTO_FRAME_CORRECTION, tag, bytes->correction);
    }
    if (status == SOTTO_OK) {
        status = poly ? sotto_poly_server_correct(item->poly[at], ot, env->chan) : sotto_unit_server_correct(item->unit[at], ot, env->chan);
    }
    return status;
}

static int server_choice(sotto_server_item *item, size_t at, const sotto_session_env *env, const sotto_ot *ot)
{
    const sotto_unit_bytes *bytes = prepared_bytes(item->terms, at);
    const uint32_t tag = (uint32_t)at;
    int status = SOTTO_OK;
    uint8_t *choice = bytes_new(bytes->choice, &status);
    if (status == SOTTO_OK) {
        status = sotto_frame_recv(env->chan, SOTTO_FRAME_CHOICE, tag, choice, bytes->choice);
    }
    if (status == SOTTO_OK && bytes->table > 0) {
        status = sotto_frame_begin(env->chan, SOTTO_FRAME_TABLES, tag, bytes->table);
    }
    if (status == SOTTO_OK) {
        status = item->poly[at] != NULL ? sotto_poly_server_ready(item->poly[at], choice) : sotto_unit_server_ready(item->unit[at], ot, env->chan, choice);
    }
    sotto_free(choice);
    return status;
}

static int server_label(sotto_server_item *item, const sotto_session_env *env, sotto_ot *ot)
{
    const sotto_terms *t = item->terms;
    const int status = sotto_frame_expect(env->chan, SOTTO_FRAME_MATRIX, label_tag(t), t->label.bytes.matrix);
    return status == SOTTO_OK ? sotto_label_server_new(&item->label, &t->label, ot, env->chan, &env->rng) : status;
}

static int server_label_choice(sotto_server_item *item, const sotto_session_env *env, const sotto_ot *ot)
{
    const sotto_terms *t = item->terms;
    const sotto_unit_bytes *bytes = &t->label.bytes;
    int status = SOTTO_OK;
    uint8_t *choice = bytes_new(bytes->choice, &status), *tables = bytes_new(bytes->table, &status);
    if (status == SOTTO_OK) {
        status = sotto_frame_recv(env->chan, SOTTO_FRAME_CHOICE, label_tag(t), choice, bytes->choice);
    }
    if (status == SOTTO_OK) {
        status = sotto_label_server_ready(item->label, ot, tables, choice);
    }
    if (status == SOTTO_OK) {
        status = sotto_frame_send(env->chan, SOTTO_FRAME_TABLES, label_tag(t), tables, bytes->table);
    }
    sotto_free(choice);
    sotto_free(tables);
    return status;
}

int sotto_server_item_prepare(sotto_server_item *item, const sotto_terms *terms, const sotto_serving *serving,
                              const sotto_session_env *env, const sotto_bfv_public_key *pk, sotto_ot *ot)
{
    const sotto_program *p = &terms->network->program;
    *item = (sotto_server_item){.terms = terms, .mask = sotto_calloc(p->step_count, sizeof *item->mask), .unit = sotto_calloc(p->step_count, sizeof *item->unit),
                                .poly = sotto_calloc(p->step_count, sizeof *item->poly)};
    int status = item->mask == NULL || item->unit == NULL || item->poly == NULL
                     ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for a prepared item of %zu steps", p->step_count)
                     : SOTTO_OK;
    for (size_t i = 0; i < p->step_count && status == SOTTO_OK; i++) {
        if (p->steps[i].op == SOTTO_STEP_LINEAR) {
            status = server_linear(item, i, serving, env, pk);
        } else if (prepared_bytes(terms, i) != NULL) {
            status = server_unit(item, i, serving, env, ot);
        }
        status = status == SOTTO_OK ? SOTTO_OK : fail_at(terms, i, status);
    }
    if (terms->label_only && status == SOTTO_OK) {
        status = server_label(item, env, ot);
    }
    for (size_t i = 0; i < p->step_count && status == SOTTO_OK; i++) {
        if (prepared_bytes(terms, i) != NULL) {
            status = server_choice(item, i, env, ot);
            status = status == SOTTO_OK ? SOTTO_OK : fail_at(terms, i, status);
        }
    }
    if (terms->label_only && status == SOTTO_OK) {
        status = server_label_choice(item, env, ot);
    }
    if (status != SOTTO_OK) {
        sotto_server_item_free(item);
    }
    return status;
}

/* OFFER and REPLY; a: shares of what is read, e: of the result. */
static int server_exchange(sotto_server_item *item, size_t at, const sotto_session_env *env, uint64_t *e, const uint64_t *a)
{
    const sotto_unit_plan *plan = &item->terms->units[at];
    int status = SOTTO_OK;
    uint8_t *offer = bytes_new(plan->bytes.offer, &status), *reply = bytes_new(plan->bytes.reply, &status);
    if (status == SOTTO_OK && is_late(&item->terms->network->program, at)) { /* nothing to send or receive, no signs to draw for, no bounds */
        status = sotto_unit_server_new(&item->unit[at], plan, NULL, NULL, &env->rng, NULL);
    }
    if (status == SOTTO_OK) {
        status = sotto_unit_server_offer(item->unit[at], offer, a);
        if (status == SOTTO_OK && plan->bytes.offer > 0) {
            status = sotto_frame_send(env->chan, SOTTO_FRAME_OFFER, (uint32_t)at, offer, plan->bytes.offer);
        }
    }
    if (status == SOTTO_OK) {
        status = sotto_frame_recv(env->chan, SOTTO_FRAME_REPLY, (uint32_t)at, reply, plan->bytes.reply);
    }
    if (status == SOTTO_OK) {
        status = sotto_unit_server_finish(item->unit[at], e, reply);
    }
    sotto_free(offer);
    sotto_free(reply);
    return status;
}

static int server_poly(sotto_server_item *item, size_t at, const sotto_session_env *env, uint64_t *a, const uint64_t *e)
{
    const size_t bytes = item->terms->polys[at].bytes.offer;
    int status = SOTTO_OK;
    uint8_t *offer = bytes_new(bytes, &status);
    if (status == SOTTO_OK) {
        status = sotto_poly_server_offer(item->poly[at], offer, a, e);
    }
    if (status == SOTTO_OK && bytes > 0) {
        status = sotto_frame_send(env->chan, SOTTO_FRAME_OFFER, (uint32_t)at, offer, bytes);
    }
    sotto_free(offer);
    return status;
}

static int server_max(sotto_server_item *item, size_t at, const sotto_session_env *env, uint64_t *const *value)
{
    const sotto_program *p = &item->terms->network->program;
    const sotto_step_info *s = &p->steps[at];
    int status = SOTTO_OK;
    uint64_t *diff = words_new(s->units, &status), *y = words_new(s->units, &status), *e = words_new(s->units, &status);
    if (status == SOTTO_OK) {
        sotto_step_pairs(s, diff, y, value[s->in[0]]);
        reduce(diff, s->units, s->l);
        status = server_exchange(item, at, env, e, diff);
    }
    if (status == SOTTO_OK) {
        max_value(p, at, value, y, e);
    }
    sotto_free_secret(diff, s->units, sizeof *diff);
    sotto_free_secret(y, s->units, sizeof *y);
    sotto_free_secret(e, s->units, sizeof *e);
    return status;
}

/* a = W e + s + bias. */
static int server_apply(const sotto_server_item *item, size_t at, const sotto_serving *serving, const sotto_session_env *env, uint64_t *const *value)
{
    const sotto_step_info *s = &serving->network.program.steps[at];
    const size_t area = (size_t)s->shape.h * s->shape.w;
    for (size_t i = 0; i < s->words; i++) {
        value[at][i] = item->mask[at][i] + (uint64_t)serving->weights.bias[at][i / area];
    }
    return sotto_linear_infer(value[at], &s->linear, s->l, serving->weights.weights[at], value[s->in[0]], env->pool);
}

int sotto_server_item_infer(sotto_server_item *item, const sotto_serving *serving, const sotto_session_env *env, const uint8_t *input)
{
    const sotto_terms *t = item->terms;
    const sotto_program *p = &t->network->program;
    const sotto_step_info *last = last_step(t);
    const size_t output_bytes = t->label_only ? t->label.bytes.offer : logits_bytes(t);
    int status = SOTTO_OK;
    uint64_t **value = sotto_calloc(p->step_count, sizeof *value);
    uint8_t *answer = bytes_new(output_bytes, &status);
    if (value == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for an inference");
    }
    for (size_t i = 0; i < p->step_count && status == SOTTO_OK; i++) {
        const sotto_step_info *s = &p->steps[i];
        value[i] = words_new(s->words, &status);
        if (status != SOTTO_OK) {
            break;
        }
        switch (s->op) {
        case SOTTO_STEP_INPUT: {
            sotto_reader r;
            sotto_reader_init(&r, input, sotto_terms_input_bytes(t));
            sotto_read_packed(&r, value[i], s->words, s->l);
            status = sotto_reader_finish(&r, "masked image");
            break;
        }
        case SOTTO_STEP_LINEAR:
            status = server_apply(item, i, serving, env, value);
            break;
        case SOTTO_STEP_UNIT:
            status = server_exchange(item, i, env, value[i], value[s->in[0]]);
            break;
        case SOTTO_STEP_POLY:
            status = server_poly(item, i, env, value[i], value[s->in[0]]);
            break;
        case SOTTO_STEP_MAX:
            status = server_max(item, i, env, value);
            break;
        case SOTTO_STEP_ADD:
        case SOTTO_STEP_CONCAT:
        case SOTTO_STEP_PAD:
        case SOTTO_STEP_SUM:
        case SOTTO_STEP_GATHER:
            local_step(p, i, value);
            break;
        }
        if (status != SOTTO_OK) {
            status = fail_at(t, i, status);
        } else if (env->audit.share != NULL) {
            env->audit.share(env->audit.ctx, i, value[i], s->words);
        }
    }
    if (status == SOTTO_OK && t->label_only) {
        status = sotto_label_server_offer(item->label, answer, value[p->step_count - 1]);
        if (status == SOTTO_OK) {
            status = sotto_frame_send(env->chan, SOTTO_FRAME_OFFER, label_tag(t), answer, output_bytes);
        }
    } else if (status == SOTTO_OK) {
        sotto_writer w;
        sotto_writer_init(&w, answer, output_bytes);
        sotto_write_packed(&w, value[p->step_count - 1], last->words, last->l);
        status = sotto_frame_send(env->chan, SOTTO_FRAME_LOGITS, 0, answer, output_bytes);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_flush(env->chan);
    }
    free_words(value, p);
    sotto_free_secret(answer, output_bytes, 1);
    return status;
}

void sotto_server_item_free(sotto_server_item *item)
{
    if (item->terms == NULL) {
        return;
    }
    const sotto_program *p = &item->terms->network->program;
    for (size_t i = 0; item->unit != NULL && i < p->step_count; i++) {
        sotto_unit_server_free(item->unit[i]);
    }
    for (size_t i = 0; item->poly != NULL && i < p->step_count; i++) {
        sotto_poly_server_free(item->poly[i]);
    }
    sotto_label_server_free(item->label);
    sotto_free(item->unit);
    sotto_free(item->poly);
    free_words(item->mask, p);
    memset(item, 0, sizeof *item);
}
