#include <string.h>

#include "lib/mem.h"
#include "lib/tcp.h"
#include "nn/model/weights.h"
#include "nn/plain/fixed.h"
#include "nn/secure/material.h"

struct sotto_client {
    sotto_network network;
    sotto_chan chan;
    sotto_pool *pool;
    sotto_session *session;
    int64_t *x, *logits;
    int label_only;
};

sotto_options sotto_options_default(void)
{
    return (sotto_options){.timeout_ms = 60000, .idle_ms = 600000, .items = 32, .clients = 8, .sign = SOTTO_SIGN_PLANNED, .table_memory = (size_t)256 << 20,
                           .ot = SOTTO_OT_PLANNED};
}

int sotto_client_connect(sotto_client **out, const char *public_path, const char *host, uint16_t port, const sotto_options *options)
{
    *out = NULL;
    const sotto_options chosen = options == NULL ? sotto_options_default() : *options;
    sotto_model model = {0};
    uint64_t most = 0;
    sotto_client *c = sotto_calloc(1, sizeof *c);
    int status = c == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for a client") : SOTTO_OK;
    if (status == SOTTO_OK) {
        status = sotto_model_load(&model, public_path, NULL);
    }
    if (status == SOTTO_OK) {
        status = sotto_network_new(&c->network, &model);
        status = status == SOTTO_OK ? SOTTO_OK : sotto_fail_context(status, "%s", public_path);
    }
    if (status == SOTTO_OK) {
        c->x = sotto_calloc(c->network.program.input_words, sizeof *c->x);
        c->logits = sotto_calloc(c->network.program.output_words, sizeof *c->logits);
        if (c->x == NULL || c->logits == NULL) {
            status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for an image");
        }
    }
    if (status == SOTTO_OK) {
        status = sotto_pool_new(&c->pool, chosen.threads);
    }
    if (status == SOTTO_OK) {
        status = sotto_network_item_bytes(&c->network, &most);
    }
    if (status == SOTTO_OK) {
        status = sotto_tcp_connect(&c->chan, host, port, chosen.timeout_ms);
    }
    if (status == SOTTO_OK) {
        sotto_tcp_set(&c->chan, chosen.timeout_ms, most + SOTTO_INPUT_SLACK);
        c->label_only = chosen.label_only;
        const sotto_session_env env = {.chan = &c->chan, .rng = sotto_rng_system(), .pool = c->pool, .label_only = chosen.label_only,
                                       .table_memory = chosen.table_memory,
                                       .progress = chosen.progress, .progress_ctx = chosen.ctx};
        status = sotto_session_open(&c->session, &c->network, &env, chosen.sign, chosen.ot);
    }
    sotto_model_free(&model);
    if (status != SOTTO_OK) {
        sotto_client_close(c);
        return status;
    }
    *out = c;
    return SOTTO_OK;
}

int sotto_client_prepare(sotto_client *c, size_t count)
{
    int status = SOTTO_OK;
    while (count-- > 0 && status == SOTTO_OK) {
        status = sotto_session_prepare(c->session);
    }
    return status;
}

size_t sotto_client_prepared(const sotto_client *c)
{
    return sotto_session_prepared(c->session);
}

/* c->x from the pixels, and an item that is prepared. */
static int get_ready(sotto_client *c, const uint8_t *pixels, size_t len)
{
    const sotto_program *p = &c->network.program;
    const sotto_shape in = p->steps[0].shape;
    if (len != p->input_words) {
        return sotto_fail(SOTTO_ERR_MISMATCH, "the image has %zu bytes; the model takes %zu: %u x %u pixels, %u channel%s", len, p->input_words,
                          (unsigned)in.h, (unsigned)in.w, (unsigned)in.c, in.c == 1 ? "" : "s");
    }
    const int status = sotto_session_prepared(c->session) > 0 ? SOTTO_OK : sotto_session_prepare(c->session);
    if (status == SOTTO_OK) {
        sotto_program_input(p, &c->network.model, c->x, pixels);
    }
    return status;
}

int sotto_client_infer(sotto_client *c, const uint8_t *pixels, size_t len, double *logits)
{
    const sotto_program *p = &c->network.program;
    int status = c->label_only ? sotto_fail(SOTTO_ERR_ARG, "this client asked for labels alone") : get_ready(c, pixels, len);
    if (status == SOTTO_OK) {
        status = sotto_session_infer(c->session, c->logits, c->x);
    }
    for (size_t i = 0; i < p->output_words && status == SOTTO_OK; i++) {
        logits[i] = (double)c->logits[i] * p->steps[p->step_count - 1].scale;
    }
    sotto_wipe(c->x, p->input_words * sizeof *c->x);
    sotto_wipe(c->logits, p->output_words * sizeof *c->logits);
    return status;
}

int sotto_client_label_of(sotto_client *c, const uint8_t *pixels, size_t len, size_t *label)
{
    const sotto_program *p = &c->network.program;
    int status = get_ready(c, pixels, len);
    if (status == SOTTO_OK && c->label_only) {
        status = sotto_session_label(c->session, label, c->x);
    } else if (status == SOTTO_OK) {
        status = sotto_session_infer(c->session, c->logits, c->x);
        *label = status == SOTTO_OK ? sotto_argmax_int(c->logits, p->output_words) : 0;
    }
    sotto_wipe(c->x, p->input_words * sizeof *c->x);
    sotto_wipe(c->logits, p->output_words * sizeof *c->logits);
    return status;
}

void sotto_client_input(const sotto_client *c, uint32_t *channels, uint32_t *height, uint32_t *width)
{
    const sotto_shape s = c->network.program.steps[0].shape;
    *channels = s.c;
    *height = s.h;
    *width = s.w;
}

size_t sotto_client_classes(const sotto_client *c)
{
    return c->network.program.output_words;
}

const char *sotto_client_label(const sotto_client *c, size_t i)
{
    return i < c->network.model.label_count ? c->network.model.labels[i] : "";
}

sotto_stats sotto_client_stats(const sotto_client *c)
{
    return sotto_session_stats(c->session);
}

sotto_session *sotto_client_session(sotto_client *c)
{
    return c->session;
}

void sotto_client_close(sotto_client *c)
{
    if (c == NULL) {
        return;
    }
    sotto_session_close(c->session);
    sotto_chan_close(&c->chan);
    sotto_pool_free(c->pool);
    sotto_free_secret(c->x, c->network.program.input_words, sizeof *c->x);
    sotto_free_secret(c->logits, c->network.program.output_words, sizeof *c->logits);
    sotto_network_free(&c->network);
    sotto_free(c);
}
