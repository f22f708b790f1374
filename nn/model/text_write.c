#include <sodium.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/model/text_internal.h"

static void put_hex(text_out *o, const char *keyword, const uint8_t *bytes, size_t len)
{
    sotto_text_put(o, "%s ", keyword);
    for (size_t i = 0; i < len; i++) {
        sotto_text_put(o, "%02x", bytes[i]);
    }
    sotto_text_put(o, "\n");
}

static void put_fields(text_out *o, text_fields fields, const sotto_node *n)
{
    for (size_t i = 0; i < fields.count; i++) {
        const text_field *f = &fields.of[i];
        if ((f->ops & (1u << n->op)) && !sotto_text_spared(f, n)) {
            sotto_text_put(o, " %s=", f->name);
            f->kind->write(f, o, n);
        }
    }
    sotto_text_put(o, "\n");
}

static void put_node(text_out *o, const sotto_model *m, const sotto_node *n)
{
    sotto_text_put(o, "%s %s", sotto_op_name(n->op), n->name);
    for (unsigned k = 0; k < sotto_op_inputs(n->op); k++) {
        sotto_text_put(o, " %s", m->nodes[n->input[k]].name);
    }
    put_fields(o, sotto_text_node_fields, n);
}

/* Runs of equal channels, as many as fit a line, and the mask in pieces that do. */
static void put_units(text_out *o, const sotto_node *n)
{
    enum { RUNS = 24, BYTES = 400 };
    for (uint32_t c = 0, runs = 0; c < n->shape.c; runs++) {
        const sotto_unit u = n->units[c];
        uint32_t end = c;
        while (end < n->shape.c && n->units[end].kind == u.kind && n->units[end].block_h == u.block_h && n->units[end].block_w == u.block_w) {
            end++;
        }
        if (runs % RUNS == 0) {
            sotto_text_put(o, "%sunits %s %u ", runs > 0 ? "\n" : "", n->name, c);
        } else {
            sotto_text_put(o, ",");
        }
        sotto_text_put(o, "%s", sotto_text_unit_names[u.kind]);
        if (u.block_h > 1 || u.block_w > 1) {
            sotto_text_put(o, "%ux%u", u.block_h, u.block_w);
        }
        if (end - c > 1) {
            sotto_text_put(o, "*%u", end - c);
        }
        c = end;
    }
    sotto_text_put(o, "\n");
    const size_t words = sotto_shape_words(n->shape), bytes = (words + 7) / 8;
    for (size_t i = 0; n->mask != NULL && i < bytes; i++) {
        if (i % BYTES == 0) {
            sotto_text_put(o, "%smask %s %zu ", i > 0 ? "\n" : "", n->name, 8 * i);
        }
        /* Bits beyond the last value say nothing and are written as ones, so that the text is canonical. */
        const unsigned tail = i + 1 == bytes && words % 8 != 0 ? 0xffu << (words % 8) & 0xffu : 0;
        sotto_text_put(o, "%02x%s", n->mask[i] | tail, i + 1 == bytes ? "\n" : "");
    }
}

static void put_windows(text_out *o, const sotto_node *n)
{
    enum { RUNS = 48 };
    for (uint32_t c = 0, runs = 0; n->windows != NULL && c < n->shape.c; runs++) {
        uint32_t end = c;
        while (end < n->shape.c && n->windows[end] == n->windows[c]) {
            end++;
        }
        if (runs % RUNS == 0) {
            sotto_text_put(o, "%swindows %s %u ", runs > 0 ? "\n" : "", n->name, c);
        } else {
            sotto_text_put(o, ",");
        }
        sotto_text_put(o, "%u", n->windows[c]);
        if (end - c > 1) {
            sotto_text_put(o, "*%u", end - c);
        }
        c = end;
    }
    sotto_text_put(o, n->windows != NULL ? "\n" : "");
}

static void put_figures(text_out *o, const char *key, const float *x, uint32_t count)
{
    for (uint32_t c = 0; c < count; c++) {
        sotto_text_put(o, "%s%.9g", c == 0 ? key : ",", (double)x[c]);
    }
}

/* Bytes that units, masks and windows can take: a run has at most 20, a line's head at most 64. */
static size_t units_text_cap(const sotto_model *m)
{
    size_t cap = 0;
    for (size_t i = 0; i < m->node_count; i++) {
        const sotto_node *n = &m->nodes[i];
        cap += n->windows != NULL ? 128 + (size_t)n->shape.c * 16 : 0;
        if (n->op == SOTTO_OP_ACT) {
            cap += 128 + (size_t)n->shape.c * 32 + (n->mask != NULL ? sotto_shape_words(n->shape) : 0);
        }
    }
    return cap;
}

int sotto_model_print(sotto_model *m, char **text, size_t *len)
{
    static const uint8_t no_id[sizeof m->id];
    if (m->node_count == 0) {
        return sotto_fail(SOTTO_ERR_ARG, "an empty model has no text; it needs an input and a node");
    }
    text_out o = {.cap = 4096 + m->node_count * 2 * 512 + m->label_count * 64 + units_text_cap(m)};
    const sotto_shape in = m->nodes[0].shape;
    locale_t before;
    const locale_t c = sotto_text_numbers_begin(&before);
    o.data = sotto_calloc(o.cap, 1);
    if (c == (locale_t)0 || o.data == NULL) {
        sotto_text_numbers_end(c, before);
        sotto_free(o.data);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a text of %zu bytes", o.cap);
    }
    sotto_text_put(&o, "sotto-model %d\n", TEXT_VERSION);
    if (m->name[0] != '\0') {
        sotto_text_put(&o, "name %s\n", m->name);
    }
    const int has_id = memcmp(m->id, no_id, sizeof no_id) != 0;
    if (has_id) {
        put_hex(&o, "id", m->id, sizeof m->id);
    }
    sotto_text_put(&o, "input %ux%ux%u", in.c, in.h, in.w);
    put_figures(&o, " mean=", m->mean, in.c);
    put_figures(&o, " std=", m->std, in.c);
    sotto_text_put(&o, "\n");
    for (size_t i = 0; i < m->label_count; i++) {
        sotto_text_put(&o, "label %s\n", m->labels[i]);
    }
    for (size_t i = 1; i < m->node_count; i++) {
        put_node(&o, m, &m->nodes[i]);
    }
    for (size_t i = 0; i < m->node_count; i++) {
        if (m->nodes[i].op == SOTTO_OP_ACT) {
            put_units(&o, &m->nodes[i]);
        }
    }
    for (size_t i = 0; i < m->node_count; i++) {
        if (m->nodes[i].plan.present) {
            sotto_text_put(&o, "plan %s", m->nodes[i].name);
            put_fields(&o, sotto_text_plan_fields, &m->nodes[i]);
            put_windows(&o, &m->nodes[i]);
        }
    }
    crypto_generichash(m->public_hash, sizeof m->public_hash, (const uint8_t *)o.data, o.len, NULL, 0);
    if (has_id) {
        put_hex(&o, "checksum", m->public_hash, sizeof m->public_hash);
    }
    sotto_text_numbers_end(c, before);
    if (o.full) {
        sotto_free(o.data);
        return sotto_fail(SOTTO_ERR_LIMIT, "the model's text is longer than %zu bytes", o.cap);
    }
    *text = o.data;
    *len = o.len;
    return SOTTO_OK;
}
