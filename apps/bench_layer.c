/* Group layer: linear layers under encryption, the HE part of prepare. */
#include <stdlib.h>
#include <string.h>

#include "apps/bench.h"
#include "lib/ct.h"
#include "lib/mem.h"
#include "lib/pool.h"
#include "nn/secure/network.h"

#define COEFFICIENTS 0x1p20 /* outputs of all layers of an inference, over which the flooding is spread */

typedef struct layer_ctx {
    const sotto_network_linear *linear;
    sotto_linear_weights *weights;
    sotto_bfv_secret_key sk;
    sotto_bfv_public_key pk;
    sotto_rng rng;
    sotto_pool *pool;
    uint64_t *r, *s, *c;
    uint8_t *request, *answer;
    sotto_chan *chan;    /* rows over a network */
    bench_pair *pair;
} layer_ctx;

/* ---- the two sides ---------------------------------------------------------------------------------------------------------- */

static int call_request(void *ctx)
{
    layer_ctx *c = ctx;
    return sotto_linear_request(c->request, &c->linear->plan, c->linear->params, &c->sk, c->r, &c->rng, c->pool);
}

static int call_answer(void *ctx)
{
    layer_ctx *c = ctx;
    return sotto_linear_answer(c->answer, &c->linear->plan, c->linear->params, &c->pk, c->weights, c->request, c->s, &c->rng, c->pool);
}

static int call_open(void *ctx)
{
    layer_ctx *c = ctx;
    return sotto_linear_open(c->c, &c->linear->plan, c->linear->params, &c->sk, c->answer, c->pool);
}

static int call_both(void *ctx)
{
    int status = call_request(ctx);
    if (status == SOTTO_OK) {
        status = call_answer(ctx);
    }
    return status == SOTTO_OK ? call_open(ctx) : status;
}

/* Over a network, party 0 the client. */
static int call_client(void *ctx)
{
    layer_ctx *c = ctx;
    int status = bench_step(c->pair) ? call_request(c) : SOTTO_ERR_CLOSED;
    if (status == SOTTO_OK) {
        status = sotto_chan_send(c->chan, c->request, c->linear->plan.request_bytes);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_recv(c->chan, c->answer, c->linear->plan.answer_bytes);
    }
    return status == SOTTO_OK ? call_open(c) : status;
}

static int serve_layer(layer_ctx *c)
{
    int status = SOTTO_OK;
    while (status == SOTTO_OK && bench_step(c->pair)) {
        status = sotto_chan_recv(c->chan, c->request, c->linear->plan.request_bytes);
        if (status == SOTTO_OK) {
            status = call_answer(c);
        }
        if (status == SOTTO_OK) {
            status = sotto_chan_send(c->chan, c->answer, c->linear->plan.answer_bytes);
        }
    }
    return status;
}

/* ---- shapes ------------------------------------------------------------------------------------------------------------------ */

typedef struct layer_shape {
    const char *name;
    unsigned l;
    sotto_linear_shape shape;
} layer_shape;

/* Layers of ResNets for CIFAR, of the shipped network, of ResNet-50 and of SqueezeNet 1.1. */
#define CONV(l, c, side, m, kernel, stride, pad) {"conv", l, {c, side, side, m, kernel, kernel, stride, stride, pad, pad, pad, pad, 1, 8}}
#define FC(l, in, out) {"fc", l, {in, 1, 1, out, 1, 1, 1, 1, 0, 0, 0, 0, 1, 8}}
static const layer_shape layer_shapes[] = {
    CONV(20, 16, 32, 16, 3, 1, 1),  CONV(22, 32, 16, 32, 3, 1, 1),   CONV(24, 64, 8, 64, 3, 1, 1),     CONV(22, 16, 32, 32, 3, 2, 1),  CONV(24, 16, 14, 32, 5, 1, 2),
    CONV(24, 64, 56, 64, 3, 1, 1),  CONV(24, 3, 224, 64, 7, 2, 3),   CONV(24, 64, 56, 256, 1, 1, 0),   CONV(24, 256, 56, 512, 1, 2, 0), CONV(24, 512, 7, 512, 3, 1, 1),
    CONV(24, 3, 224, 64, 3, 2, 0),  FC(24, 512, 10),                 FC(24, 2048, 1000),
};

/* Shape as --conv and --fc take it. */
static void shape_text(const layer_shape *l, char *out, size_t cap)
{
    const sotto_linear_shape *s = &l->shape;
    if (strcmp(l->name, "fc") == 0) {
        snprintf(out, cap, "%u:%u", (unsigned)s->in_c, (unsigned)s->out_c);
    } else {
        snprintf(out, cap, "%ux%u:%u:%u:%u:%u:%u", (unsigned)s->in_h, (unsigned)s->in_w, (unsigned)s->in_c, (unsigned)s->out_c, (unsigned)s->kernel_h,
                 (unsigned)s->stride_h, (unsigned)s->pad_top);
    }
}

/* HxW:IN:OUT:KERNEL[:STRIDE[:PAD[:GROUPS]]], the padding half the kernel unless given. */
static int parse_conv(layer_shape *l, const char *text, unsigned bits)
{
    unsigned h, w, in, out, kernel, stride = 1, pad, groups = 1;
    int used[4] = {0};
    int fields = sscanf(text, "%5ux%5u:%5u:%5u:%5u%n:%5u%n:%5u%n:%5u%n", &h, &w, &in, &out, &kernel, &used[0], &stride, &used[1], &pad, &used[2], &groups, &used[3]);
    const int last = fields >= 5 ? used[fields - 5] : 0;
    if (fields < 5 || last == 0 || text[last] != '\0') {
        return sotto_fail(SOTTO_ERR_ARG, "--conv %.40s: expected HxW:IN:OUT:KERNEL[:STRIDE[:PAD[:GROUPS]]], such as 32x32:16:16:3", text);
    }
    pad = fields >= 7 ? pad : kernel / 2;
    *l = (layer_shape){"conv", bits, {in, h, w, out, kernel, kernel, stride, stride, pad, pad, pad, pad, groups, 8}};
    return SOTTO_OK;
}

static int parse_fc(layer_shape *l, const char *text, unsigned bits)
{
    unsigned in, out;
    int used = 0;
    if (sscanf(text, "%5u:%5u%n", &in, &out, &used) != 2 || text[used] != '\0') {
        return sotto_fail(SOTTO_ERR_ARG, "--fc %.40s: expected IN:OUT, such as 512:10", text);
    }
    *l = (layer_shape)FC(bits, in, out);
    return SOTTO_OK;
}

/* ---- rows -------------------------------------------------------------------------------------------------------------------- */

static int layer_new(layer_ctx *c, const sotto_network_linear *linear, unsigned threads)
{
    const sotto_linear_plan *plan = &linear->plan;
    const sotto_linear_shape *s = &plan->shape;
    const size_t count = (size_t)s->out_c * (s->in_c / s->groups) * s->kernel_h * s->kernel_w;
    const uint64_t t = sotto_bfv_t(linear->params);
    int32_t *w = sotto_calloc(count, sizeof *w);
    *c = (layer_ctx){.linear = linear, .rng = sotto_rng_system()};
    int status = w == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for weights") : SOTTO_OK;
    for (size_t i = 0; i < count && status == SOTTO_OK; i++) {
        w[i] = (int32_t)(i * 2654435761u % 255) - 127;
    }
    if (status == SOTTO_OK) {
        status = sotto_pool_new(&c->pool, threads);
    }
    if (status == SOTTO_OK) {
        status = sotto_linear_weights_new(&c->weights, plan, linear->params, w, c->pool);
    }
    if (status == SOTTO_OK) {
        status = sotto_bfv_secret_key_new(&c->sk, linear->params, &c->rng);
    }
    if (status == SOTTO_OK) {
        status = sotto_bfv_public_key_new(&c->pk, linear->params, &c->sk, &c->rng);
    }
    if (status == SOTTO_OK) {
        c->r = sotto_calloc(plan->in_words, sizeof *c->r);
        c->s = sotto_calloc(plan->out_words, sizeof *c->s);
        c->c = sotto_calloc(plan->out_words, sizeof *c->c);
        c->request = sotto_calloc(plan->request_bytes, 1);
        c->answer = sotto_calloc(plan->answer_bytes, 1);
        if (c->r == NULL || c->s == NULL || c->c == NULL || c->request == NULL || c->answer == NULL) {
            status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer");
        }
    }
    if (status == SOTTO_OK) {
        status = sotto_rng_fill(&c->rng, c->r, plan->in_words * sizeof *c->r);
    }
    for (size_t i = 0; status == SOTTO_OK && i < plan->in_words; i++) {
        c->r[i] &= t - 1;
    }
    sotto_free(w);
    return status;
}

static void layer_free(layer_ctx *c)
{
    sotto_linear_weights_free(c->weights, c->linear->params);
    sotto_bfv_secret_key_free(&c->sk);
    sotto_bfv_public_key_free(&c->pk);
    sotto_pool_free(c->pool);
    sotto_free(c->r);
    sotto_free(c->s);
    sotto_free(c->c);
    sotto_free(c->request);
    sotto_free(c->answer);
}

/* On one machine: both sides one after the other, and each of the three steps alone. */
static int rows_alone(bench *b, layer_ctx *c, const char *name, const bench_param *params)
{
    static const struct {
        const char *suffix;
        int (*call)(void *ctx);
    } rows[] = {{"", call_both}, {".request", call_request}, {".answer", call_answer}, {".open", call_open}};
    int status = call_both(c); /* a request and an answer for the rows that need them */
    for (size_t i = 0; i < sizeof rows / sizeof *rows && status == SOTTO_OK; i++) {
        char full[16];
        snprintf(full, sizeof full, "%s%s", name, rows[i].suffix);
        if (bench_wants(b, full)) {
            status = bench_measure(b, &(bench_row){.name = full, .unit = "ms", .items = 1, .call = rows[i].call, .ctx = c, .params = params});
        }
    }
    return status;
}

/* Over an emulated network: from the client's first to its last step. The keys of both processes are those made before they part. */
static int row_network(bench *b, layer_ctx *c, const char *name, const bench_param *params)
{
    bench_pair pair;
    sotto_pool_free(c->pool); /* its threads would stay with the first process */
    c->pool = NULL;
    int status = bench_pair_start(&pair, &b->net);
    c->pair = &pair;
    c->chan = &pair.chan;
    if (status == SOTTO_OK) {
        status = sotto_pool_new(&c->pool, b->threads);
    }
    if (status == SOTTO_OK && pair.party == 1) {
        status = serve_layer(c);
    } else if (status == SOTTO_OK) {
        status = bench_measure(b, &(bench_row){.name = name, .unit = "ms", .items = 1, .call = call_client, .ctx = c, .params = params, .chan = c->chan});
    }
    return bench_pair_end(&pair, status);
}

static int layer_rows(bench *b, const layer_shape *l)
{
    sotto_network_linear linear = {0};
    sotto_node_plan he = {0};
    layer_ctx c = {0};
    char text[64], tile[48];
    int status = sotto_network_choose_set(&he, &l->shape, l->l, COEFFICIENTS);
    if (status == SOTTO_OK) {
        status = sotto_bfv_params_from_bits(&linear.params, he.he_n, he.he_prime_bits, he.he_primes, UINT64_C(1) << l->l);
    }
    if (status == SOTTO_OK) {
        status = sotto_linear_plan_new(&linear.plan, linear.params, &l->shape, COEFFICIENTS);
    }
    c.linear = &linear;
    if (status == SOTTO_OK) {
        status = layer_new(&c, &linear, b->threads);
    }
    if (status == SOTTO_OK) {
        const sotto_linear_plan *p = &linear.plan;
        shape_text(l, text, sizeof text);
        snprintf(tile, sizeof tile, "%ux%ux%ux%u", (unsigned)p->tile.channels, (unsigned)p->tile.filters, (unsigned)p->tile.rows, (unsigned)p->tile.cols);
        const bench_param params[] = {{"shape", text, 0},
                                      {"l", NULL, l->l},
                                      {"net", b->net.name, 0},
                                      {"request", NULL, (double)p->request_bytes},
                                      {"answer", NULL, (double)p->answer_bytes},
                                      {"requests", NULL, (double)p->requests},
                                      {"answers", NULL, (double)p->answers},
                                      {"tile", tile, 0},
                                      {0}};
        status = b->net.bits_per_second == 0.0 ? rows_alone(b, &c, l->name, params) : row_network(b, &c, l->name, params);
    }
    layer_free(&c);
    sotto_bfv_params_free(linear.params);
    return status;
}

int bench_layer(bench *b)
{
    layer_shape asked;
    int status = SOTTO_OK;
    if (b->conv != NULL || b->fc != NULL) {
        status = b->conv != NULL ? parse_conv(&asked, b->conv, b->bits) : parse_fc(&asked, b->fc, b->bits);
        return status == SOTTO_OK ? layer_rows(b, &asked) : status;
    }
    for (size_t i = 0; i < sizeof layer_shapes / sizeof *layer_shapes && status == SOTTO_OK; i++) {
        status = layer_rows(b, &layer_shapes[i]);
    }
    return status;
}
