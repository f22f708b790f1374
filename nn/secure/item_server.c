/* The server's half of an item (material.h). */
#include "nn/secure/item_internal.h"

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

static int server_choice(sotto_server_item *item, size_t at, const sotto_session_env *env, sotto_ot *ot)
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
        status = item->poly[at] != NULL ? sotto_poly_server_ready(item->poly[at], ot, choice) : sotto_unit_server_ready(item->unit[at], ot, env->chan, choice);
    }
    sotto_free(choice);
    return status;
}

static int server_label(sotto_server_item *item, const sotto_session_env *env, sotto_ot *ot)
{
    const sotto_terms *t = item->terms;
    int status = sotto_frame_expect(env->chan, SOTTO_FRAME_MATRIX, label_tag(t), t->label.bytes.matrix);
    if (status == SOTTO_OK) {
        status = sotto_label_server_new(&item->label, &t->label, ot, env->chan, &env->rng);
    }
    if (status == SOTTO_OK && t->label.bytes.correction > 0) {
        status = sotto_frame_send(env->chan, SOTTO_FRAME_CORRECTION, label_tag(t), sotto_label_server_sums(item->label), t->label.bytes.correction);
    }
    return status;
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
    if (status == SOTTO_OK) {
        status = stock(terms, env, ot, 1);
    }
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
