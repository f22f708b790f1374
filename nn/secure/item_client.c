/* The client's half of an item (material.h). */
#include "nn/secure/item_internal.h"

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

/* The sums of silent OT. */
static int client_label_learn(sotto_client_item *item, const sotto_session_env *env, sotto_ot *ot)
{
    const size_t bytes = item->terms->label.bytes.correction;
    int status = SOTTO_OK;
    uint8_t *sums = bytes_new(bytes, &status);
    if (status == SOTTO_OK && bytes > 0) {
        status = sotto_frame_recv(env->chan, SOTTO_FRAME_CORRECTION, label_tag(item->terms), sums, bytes);
        if (status == SOTTO_OK) {
            status = sotto_label_client_take(item->label, ot, sums);
        }
    }
    sotto_free(sums);
    return status;
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
    if (bytes == 0) {
        return SOTTO_OK;
    }
    const int status = sotto_frame_expect(env->chan, SOTTO_FRAME_TABLES, (uint32_t)at, bytes);
    return status == SOTTO_OK ? sotto_unit_client_take(item->unit[at], env->chan, &item->room) : status;
}

int sotto_client_item_prepare(sotto_client_item *item, const sotto_terms *terms, const sotto_session_env *env,
                              const sotto_bfv_secret_key *sk, sotto_ot *ot)
{
    const sotto_program *p = &terms->network->program;
    const size_t steps = p->step_count;
    *item = (sotto_client_item){.terms = terms, .share = sotto_calloc(steps, sizeof *item->share), .mask = sotto_calloc(steps, sizeof *item->mask),
                                .unit = sotto_calloc(steps, sizeof *item->unit), .poly = sotto_calloc(steps, sizeof *item->poly),
                                .room = env->table_memory > 0 ? env->table_memory : SIZE_MAX};
    uint8_t **choice = sotto_calloc(steps, sizeof *choice);
    int status = SOTTO_OK;
    if (item->share == NULL || item->mask == NULL || item->unit == NULL || item->poly == NULL || choice == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a prepared item of %zu steps", steps);
    } else {
        status = draw_masks(item, &env->rng);
    }
    if (status == SOTTO_OK) {
        status = stock(terms, env, ot, 0);
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
    if (terms->label_only && status == SOTTO_OK) {
        status = client_label_learn(item, env, ot);
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
    uint8_t *reply = bytes_new(bytes, &status), none = 0; /* a late unit has no choice to write */
    if (status == SOTTO_OK && is_late(&t->network->program, at)) { /* neither call sends or receives */
        status = sotto_unit_client_new(&item->unit[at], &t->units[at], NULL, NULL);
        if (status == SOTTO_OK) {
            status = sotto_unit_client_choose(item->unit[at], NULL, NULL, item->share[t->network->program.steps[at].in[0]], &none);
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
