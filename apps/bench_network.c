/* Groups layer, model and train. */
#include <cblas.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/bench.h"
#include "apps/commands.h"
#include "lib/ct.h"
#include "lib/mem.h"
#include "lib/pool.h"
#include "nn/model/weights.h"
#include "nn/train/tape.h"
#include "ot/extension.h"

/* ---- layer: the HE part of prepare, both sides one after the other --------------------------------------------------------------- */

typedef struct layer_ctx {
    sotto_bfv_params *params;
    sotto_linear_plan plan;
    sotto_linear_weights *weights;
    sotto_bfv_secret_key sk;
    sotto_bfv_public_key pk;
    sotto_rng rng;
    sotto_pool *pool;
    uint64_t *r, *s, *c;
    uint8_t *request, *answer;
} layer_ctx;

static int layer_call(void *ctx)
{
    layer_ctx *c = ctx;
    int status = sotto_linear_request(c->request, &c->plan, c->params, &c->sk, c->r, &c->rng, c->pool);
    if (status == SOTTO_OK) {
        status = sotto_linear_answer(c->answer, &c->plan, c->params, &c->pk, c->weights, c->request, c->s, &c->rng, c->pool);
    }
    return status == SOTTO_OK ? sotto_linear_open(c->c, &c->plan, c->params, &c->sk, c->answer, c->pool) : status;
}

static const struct layer_shape {
    const char *name, *text;
    unsigned l;
    sotto_linear_shape shape;
} layer_shapes[] = {
    {"conv", "16x32x32 3x3 16", 20, {16, 32, 32, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 8}},
    {"conv", "64x8x8 3x3 64", 24, {64, 8, 8, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 8}},
    {"conv", "16x14x14 5x5 32", 24, {16, 14, 14, 32, 5, 5, 1, 1, 2, 2, 2, 2, 1, 8}},
    {"fc", "512 10", 24, {512, 1, 1, 10, 1, 1, 1, 1, 0, 0, 0, 0, 1, 8}},
};

static int layer_row(bench *b, const struct layer_shape *l)
{
    static const unsigned bits[] = {46, 46};
    const size_t fan = (size_t)l->shape.in_c * l->shape.kernel_h * l->shape.kernel_w;
    layer_ctx c = {.rng = sotto_rng_system()};
    int32_t *w = sotto_calloc(fan * l->shape.out_c, sizeof *w);
    int status = w == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for weights") : SOTTO_OK;
    for (size_t i = 0; i < fan * l->shape.out_c && status == SOTTO_OK; i++) {
        w[i] = (int32_t)(i * 2654435761u % 255) - 127;
    }
    if (status == SOTTO_OK) {
        status = sotto_pool_new(&c.pool, b->threads);
    }
    if (status == SOTTO_OK) {
        status = sotto_bfv_params_from_bits(&c.params, 4096, bits, 2, UINT64_C(1) << l->l);
    }
    if (status == SOTTO_OK) {
        status = sotto_linear_plan_new(&c.plan, c.params, &l->shape, 262144.0);
    }
    if (status == SOTTO_OK) {
        status = sotto_linear_weights_new(&c.weights, &c.plan, c.params, w, c.pool);
    }
    if (status == SOTTO_OK) {
        status = sotto_bfv_secret_key_new(&c.sk, c.params, &c.rng);
    }
    if (status == SOTTO_OK) {
        status = sotto_bfv_public_key_new(&c.pk, c.params, &c.sk, &c.rng);
    }
    if (status == SOTTO_OK) {
        c.r = sotto_calloc(c.plan.in_words, sizeof *c.r);
        c.s = sotto_calloc(c.plan.out_words, sizeof *c.s);
        c.c = sotto_calloc(c.plan.out_words, sizeof *c.c);
        c.request = sotto_calloc(c.plan.request_bytes, 1);
        c.answer = sotto_calloc(c.plan.answer_bytes, 1);
        if (c.r == NULL || c.s == NULL || c.c == NULL || c.request == NULL || c.answer == NULL) {
            status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer");
        }
    }
    if (status == SOTTO_OK) {
        status = sotto_rng_fill(&c.rng, c.r, c.plan.in_words * sizeof *c.r);
    }
    for (size_t i = 0; status == SOTTO_OK && i < c.plan.in_words; i++) {
        c.r[i] = sotto_low_bits(c.r[i], l->l);
    }
    if (status == SOTTO_OK) {
        const bench_param params[] = {{"shape", l->text, 0}, {"l", NULL, l->l}, {"request", NULL, (double)c.plan.request_bytes},
                                      {"answer", NULL, (double)c.plan.answer_bytes}, {0}};
        status = bench_measure(b, &(bench_row){.name = l->name, .unit = "ms", .items = 1, .call = layer_call, .ctx = &c, .params = params});
    }
    sotto_linear_weights_free(c.weights, c.params);
    sotto_bfv_secret_key_free(&c.sk);
    sotto_bfv_public_key_free(&c.pk);
    sotto_bfv_params_free(c.params);
    sotto_pool_free(c.pool);
    sotto_free(c.r);
    sotto_free(c.s);
    sotto_free(c.c);
    sotto_free(c.request);
    sotto_free(c.answer);
    sotto_free(w);
    return status;
}

int bench_layer(bench *b)
{
    int status = SOTTO_OK;
    for (size_t i = 0; i < sizeof layer_shapes / sizeof *layer_shapes && status == SOTTO_OK; i++) {
        status = bench_wants(b, layer_shapes[i].name) ? layer_row(b, &layer_shapes[i]) : SOTTO_OK;
    }
    return status;
}

/* ---- model: a whole client against a server process ------------------------------------------------------------------------------- */

typedef struct model_ctx {
    bench_pair pair;
    sotto_session *session;
    sotto_session_env env;
    int64_t *x, *logits;
} model_ctx;

static int model_prepare(void *ctx)
{
    return sotto_session_prepare(((model_ctx *)ctx)->session);
}

static int model_infer(void *ctx)
{
    model_ctx *c = ctx;
    return sotto_session_infer(c->session, c->logits, c->x);
}

static int model_rows(bench *b, model_ctx *c, const sotto_network *n, sotto_sign_provider sign, sotto_ot_kind ot)
{
    static const char *const sign_names[] = {"lookup", "circuit"};
    const bench_param params[] = {{"model", n->model.name, 0}, {"net", "loopback", 0}, {"units", sign_names[sign], 0}, {"ot", sotto_ot_kind_name(ot), 0}, {0}};
    c->x = sotto_calloc(n->program.input_words, sizeof *c->x);
    c->logits = sotto_calloc(n->program.output_words, sizeof *c->logits);
    int status = c->x == NULL || c->logits == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for an image")
                                                   : sotto_session_open(&c->session, n, &c->env, sign, ot);
    if (status == SOTTO_OK && bench_wants(b, "prepare")) {
        status = bench_measure(b, &(bench_row){.name = "prepare", .unit = "s", .items = 1, .call = model_prepare, .ctx = c, .params = params,
                                               .chan = &c->pair.chan});
    }
    if (status == SOTTO_OK && bench_wants(b, "infer")) {
        status = bench_measure(b, &(bench_row){.name = "infer", .unit = "s", .items = 1, .before = model_prepare, .call = model_infer, .ctx = c,
                                               .params = params, .chan = &c->pair.chan});
    }
    sotto_session_close(c->session);
    sotto_free(c->x);
    sotto_free(c->logits);
    return status;
}

static int model_run(bench *b, const sotto_model *m, sotto_sign_provider sign, sotto_ot_kind ot)
{
    sotto_serving serving = {0};
    model_ctx c = {0};
    sotto_pool *pool = NULL;
    int status = bench_pair_start(&c.pair);
    if (status == SOTTO_OK) {
        status = sotto_pool_new(&pool, b->threads);
    }
    if (status == SOTTO_OK) {
        status = sotto_serving_new(&serving, m, pool);
    }
    c.env = (sotto_session_env){.chan = &c.pair.chan, .rng = sotto_rng_system(), .pool = pool};
    if (status == SOTTO_OK) {
        status = c.pair.party == 1 ? sotto_session_serve(&serving, &c.env, NULL) : model_rows(b, &c, &serving.network, sign, ot);
    }
    status = bench_pair_end(&c.pair, status);
    sotto_serving_free(&serving);
    sotto_pool_free(pool);
    return status;
}

int bench_model(bench *b)
{
    model_paths paths;
    sotto_model m = {0};
    int status = model_paths_of(&paths, b->model);
    if (status == SOTTO_OK) {
        status = sotto_model_load(&m, paths.public_part, paths.weights);
    }
    for (unsigned sign = 0; sign < SOTTO_SIGN_PROVIDERS && status == SOTTO_OK; sign++) {
        status = model_run(b, &m, (sotto_sign_provider)sign, SOTTO_OT_IKNP);
        if (status == SOTTO_OK) {
            status = model_run(b, &m, (sotto_sign_provider)sign, SOTTO_OT_SOFTSPOKEN4);
        }
    }
    sotto_model_free(&m);
    return status;
}

/* ---- train -------------------------------------------------------------------------------------------------------------------------- */

#define BATCH 64
#define GEMM 512

typedef struct train_ctx {
    sotto_tape *tape;
    float *gradient;
} train_ctx;

static int train_step(void *ctx)
{
    train_ctx *c = ctx;
    const float *logits;
    const int status = sotto_tape_forward(c->tape, BATCH, 1, &logits);
    return status == SOTTO_OK ? sotto_tape_backward(c->tape, BATCH, c->gradient) : status;
}

static int gemm(void *ctx)
{
    float *x = ctx;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, GEMM, GEMM, GEMM, 1.0f, x, GEMM, x + GEMM * GEMM, GEMM, 0.0f, x + 2 * GEMM * GEMM,
                GEMM);
    return SOTTO_OK;
}

int bench_train(bench *b)
{
    model_paths paths;
    sotto_model m = {0};
    train_ctx c = {0};
    sotto_pool *pool = NULL;
    float *x = sotto_calloc(3 * GEMM * GEMM, sizeof *x);
    int status = x == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for matrices") : model_paths_of(&paths, b->model);
    if (status == SOTTO_OK) {
        status = sotto_model_load(&m, paths.public_part, paths.weights);
    }
    if (status == SOTTO_OK) {
        status = sotto_pool_new(&pool, b->threads);
    }
    if (status == SOTTO_OK) {
        status = sotto_tape_new(&c.tape, &m, BATCH, 1, pool);
    }
    if (status == SOTTO_OK) {
        c.gradient = sotto_calloc(BATCH * sotto_shape_words(m.nodes[m.node_count - 1].shape), sizeof *c.gradient);
        status = c.gradient == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for gradients") : SOTTO_OK;
    }
    const bench_param params[] = {{"model", m.name, 0}, {"batch", NULL, BATCH}, {0}}, gemm_params[] = {{"size", NULL, GEMM}, {0}};
    if (status == SOTTO_OK && bench_wants(b, "step")) {
        status = bench_measure(b, &(bench_row){.name = "step", .unit = "images/s", .items = BATCH, .call = train_step, .ctx = &c, .params = params});
    }
    if (status == SOTTO_OK && bench_wants(b, "sgemm")) {
        for (size_t i = 0; i < 2 * GEMM * GEMM; i++) {
            x[i] = (float)(i % 17) - 8.0f;
        }
        openblas_set_num_threads((int)b->threads); /* the tape has set one */
        status = bench_measure(b, &(bench_row){.name = "sgemm", .unit = "GFLOP/s", .items = 2.0 * GEMM * GEMM * GEMM, .call = gemm, .ctx = x,
                                               .params = gemm_params});
    }
    sotto_free(c.gradient);
    sotto_tape_free(c.tape);
    sotto_pool_free(pool);
    sotto_model_free(&m);
    sotto_free(x);
    return status;
}
