#include "nn/secure/item_internal.h"

/* Of calls whose answers have so many bytes. */
static void take_trees(sotto_terms *t, size_t client_sums, size_t server_sums)
{
    const size_t tree = sotto_ot_answer_bytes(SOTTO_OT_FERRET, 1);
    t->stock.trees[0] += client_sums / tree;
    t->stock.trees[1] += server_sums / tree;
}

int sotto_terms_new(sotto_terms *t, const sotto_network *n, sotto_sign_provider sign, sotto_ot_kind ot)
{
    int status = SOTTO_OK;
    memset(t, 0, sizeof *t);
    if (sign >= SOTTO_SIGN_PROVIDERS) {
        return sotto_fail(SOTTO_ERR_PARAMS, "sign provider %d: sessions decide by lookup, circuit or circuit3 (start from sotto_options_default())", (int)sign);
    }
    if ((ot < SOTTO_OT_IKNP || ot > SOTTO_OT_SOFTSPOKEN8) && ot != SOTTO_OT_FERRET) {
        return sotto_fail(SOTTO_ERR_PARAMS, "OT extension %d: sessions run on IKNP, SoftSpoken with k from 2 to 8, or Ferret (start from sotto_options_default())",
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
            take_trees(t, t->units[i].client_sums, t->units[i].server_sums);
        } else if (s->op == SOTTO_STEP_POLY) {
            status = sotto_poly_plan_new(&t->polys[i], s, ot);
            take_trees(t, t->polys[i].client_sums, t->polys[i].server_sums);
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
    const int status = sotto_label_plan_new(&t->label, last->words, last->k, t->ot, sotto_sign_scheme(t->sign));
    if (status != SOTTO_OK) {
        sotto_terms_free(t);
        return status;
    }
    take_trees(t, t->label.bytes.correction, 0);
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

sotto_stock_cost sotto_terms_stock(const sotto_terms *t)
{
    sotto_stock_cost c = {.exchanges = sotto_ot_stock_exchanges(&t->stock), .trees = sotto_ot_stock_trees(&t->stock)};
    for (unsigned i = 0; c.exchanges > 0 && i <= c.exchanges; i++) {
        const size_t out = sotto_ot_stock_bytes(&t->stock, 0, i), in = i < c.exchanges ? sotto_ot_stock_bytes(&t->stock, 1, i) : 0;
        c.out += out > 0 ? framed(out) : 0;
        c.in += in > 0 ? framed(in) : 0;
    }
    return c;
}

sotto_item_bytes sotto_terms_bytes(const sotto_terms *t)
{
    const sotto_stock_cost stock = sotto_terms_stock(t);
    sotto_item_bytes b = {
        .prepare_out = framed(8) + stock.out,             /* PREPARE */
        .prepare_in = framed(8) + stock.in,               /* READY */
        .infer_out = framed(8 + sotto_terms_input_bytes(t)),
        .infer_in = framed(t->label_only ? t->label.bytes.offer : logits_bytes(t)),
    };
    if (t->label_only) {
        b.prepare_out += framed(t->label.bytes.matrix) + framed(t->label.bytes.choice);
        b.prepare_in += framed(t->label.bytes.table) + (t->label.bytes.correction > 0 ? framed(t->label.bytes.correction) : 0);
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

/* Variants of terms among which are those that send most: of all kinds of OT IKNP has the longest matrices, Ferret the stock. */
#define VARIANTS (4 * SOTTO_SIGN_PROVIDERS)

static int variant(sotto_terms *t, const sotto_network *n, unsigned i)
{
    const int label_only = i % 2 == 1;
    const int status = sotto_terms_new(t, n, (sotto_sign_provider)(i / 4), i % 4 < 2 ? SOTTO_OT_IKNP : SOTTO_OT_FERRET);
    return status == SOTTO_OK && label_only ? sotto_terms_label_only(t) : status;
}

int sotto_network_item_bytes(const sotto_network *n, uint64_t *most)
{
    *most = 0;
    for (unsigned i = 0; i < VARIANTS; i++) {
        sotto_terms t;
        const int status = variant(&t, n, i);
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
