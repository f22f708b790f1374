/* Group train: a step of a ResNet-20 on images of 32x32, phase by phase, beside the matrix product of the machine's BLAS. */
#include <cblas.h>
#include <stdarg.h>
#include <string.h>

#include "apps/bench.h"
#include "lib/mem.h"
#include "lib/pool.h"
#include "nn/model/text.h"
#include "nn/train/loss.h"
#include "nn/train/optimise.h"

#define BATCH   128
#define CLASSES 10
#define GEMM    1024
#define GEMMS   4 /* matrix products of a sample */

/* Samples are taken in turn, so that all rows see the same machine. */
enum { STEP, FORWARD, BACKWARD, UPDATE, FLOPS, SGEMM, RATIO, ROWS };
static const struct {
    const char *name, *unit;
} rows[ROWS] = {{"step", "images/s"},      {"step.forward", "ms"}, {"step.backward", "ms"}, {"step.update", "ms"},
                {"step.flops", "GFLOP/s"}, {"sgemm", "GFLOP/s"},   {"step.flops/sgemm", "ratio"}};

typedef struct train_ctx {
    sotto_model m;
    sotto_pool *pool;
    sotto_tape *tape;
    sotto_optimiser optimiser;
    double flops; /* of a step: forward, gradients of values, gradients of weights, each two per multiply-accumulate */
    float gradient[BATCH * CLASSES];
    uint16_t labels[BATCH];
    float *matrices;
    double *samples[ROWS];
} train_ctx;

/* ---- the network ---------------------------------------------------------------------------------------------------------------- */

typedef struct text {
    char data[8192];
    size_t len;
} text;

__attribute__((format(printf, 2, 3))) static void print(text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(t->data + t->len, sizeof t->data - t->len, format, args);
    va_end(args);
    t->len += n > 0 ? (size_t)n : 0;
}

/* He et al., arXiv 1512.03385, section 4.2: three stages of three blocks of two convolutions; here with projections (option B). */
static void resnet20(text *t)
{
    char last[32] = "r";
    print(t, "sotto-model 1\nname resnet20\ninput 3x32x32\nconv c input out=16 kernel=3 pad=1\nbatchnorm n c\nrelu r n\n");
    for (int stage = 1; stage <= 3; stage++) {
        for (int b = 1; b <= 3; b++) {
            const int id = 10 * stage + b, out = 8 << stage, shrinks = stage > 1 && b == 1;
            print(t, "conv a%d %s out=%d kernel=3 stride=%d pad=1\nbatchnorm an%d a%d\nrelu ar%d an%d\n", id, last, out, shrinks + 1, id, id, id, id);
            print(t, "conv b%d ar%d out=%d kernel=3 pad=1\nbatchnorm bn%d b%d\n", id, id, out, id, id);
            if (shrinks) {
                print(t, "conv s%d %s out=%d kernel=1 stride=2\nbatchnorm sn%d s%d\n", id, last, out, id, id);
                snprintf(last, sizeof last, "sn%d", id);
            }
            print(t, "add d%d bn%d %s\nrelu r%d d%d\n", id, id, last, id, id);
            snprintf(last, sizeof last, "r%d", id);
        }
    }
    print(t, "globalavg g %s\ndense f g out=%d\n", last, CLASSES);
}

static void fill(float *x, size_t count)
{
    uint32_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) * 0x1p-23f - 1.0f;
    }
}

static int setup(train_ctx *c, const bench *b)
{
    const sotto_rng rng = sotto_rng_system();
    const sotto_optimiser_options o = {.kind = SOTTO_OPTIMISER_SGD, .momentum = 0.9, .nesterov = 1, .weight_decay = 1e-4};
    text t = {.len = 0};
    resnet20(&t);
    int status = sotto_model_parse(&c->m, t.data, t.len);
    if (status == SOTTO_OK) {
        status = sotto_model_init_weights(&c->m, &rng);
    }
    if (status == SOTTO_OK) {
        status = sotto_pool_new(&c->pool, b->threads);
    }
    if (status == SOTTO_OK) {
        status = sotto_tape_new(&c->tape, &c->m, BATCH, 1, c->pool);
    }
    if (status == SOTTO_OK) {
        status = sotto_optimiser_new(&c->optimiser, &c->m, c->tape, &o);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    fill(sotto_tape_input(c->tape), BATCH * sotto_shape_words(c->m.nodes[0].shape));
    for (size_t i = 0; i < BATCH; i++) {
        c->labels[i] = (uint16_t)(i % CLASSES);
    }
    for (size_t i = 0; i < c->m.node_count; i++) {
        c->flops += 6.0 * BATCH * (double)sotto_node_macs(&c->m, &c->m.nodes[i]);
    }
    c->matrices = sotto_calloc(3 * GEMM * GEMM, sizeof *c->matrices);
    int ok = c->matrices != NULL;
    for (size_t i = 0; i < ROWS; i++) {
        c->samples[i] = sotto_calloc(b->runs, sizeof *c->samples[i]);
        ok &= c->samples[i] != NULL;
    }
    if (ok) {
        fill(c->matrices, 2 * GEMM * GEMM);
    }
    return ok ? SOTTO_OK : sotto_fail(SOTTO_ERR_MEMORY, "no memory for matrices");
}

/* ---- samples ---------------------------------------------------------------------------------------------------------------------- */

static int sample_step(train_ctx *c, double *seconds)
{
    const sotto_loss_options plain = {.temperature = 1.0};
    const float *logits;
    double loss = 0.0, right = 0.0;
    const double begin = cli_seconds();
    int status = sotto_tape_forward(c->tape, BATCH, 1, &logits);
    const double forward = cli_seconds();
    if (status == SOTTO_OK) {
        sotto_loss(c->gradient, &loss, &right, logits, NULL, c->labels, BATCH, CLASSES, &plain);
        status = sotto_tape_backward(c->tape, BATCH, c->gradient);
    }
    const double backward = cli_seconds();
    if (status == SOTTO_OK) {
        (void)sotto_optimiser_step(&c->optimiser, 1e-3);
    }
    const double end = cli_seconds();
    seconds[STEP] = end - begin;
    seconds[FORWARD] = forward - begin;
    seconds[BACKWARD] = backward - forward;
    seconds[UPDATE] = end - backward;
    return status;
}

static double sample_sgemm(const train_ctx *c, unsigned threads)
{
    float *x = c->matrices;
    double start = 0.0;
    openblas_set_num_threads((int)threads); /* the tape's shards want one each */
    for (int i = -1; i < GEMMS; i++) {
        start = i == 0 ? cli_seconds() : start; /* the first starts the threads */
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, GEMM, GEMM, GEMM, 1.0f, x, GEMM, x + GEMM * GEMM, GEMM, 0.0f, x + 2 * GEMM * GEMM, GEMM);
    }
    const double seconds = (cli_seconds() - start) / GEMMS;
    openblas_set_num_threads(1);
    return seconds;
}

/* i < 0: a warm-up. */
static int sample(train_ctx *c, unsigned threads, int i)
{
    double seconds[ROWS];
    const int status = sample_step(c, seconds);
    seconds[SGEMM] = sample_sgemm(c, threads);
    if (status != SOTTO_OK || i < 0) {
        return status;
    }
    const double step = c->flops / seconds[STEP] * 1e-9, sgemm = 2.0 * GEMM * GEMM * GEMM / seconds[SGEMM] * 1e-9;
    c->samples[STEP][i] = BATCH / seconds[STEP];
    c->samples[FORWARD][i] = 1e3 * seconds[FORWARD];
    c->samples[BACKWARD][i] = 1e3 * seconds[BACKWARD];
    c->samples[UPDATE][i] = 1e3 * seconds[UPDATE];
    c->samples[FLOPS][i] = step;
    c->samples[SGEMM][i] = sgemm;
    c->samples[RATIO][i] = step / sgemm;
    return SOTTO_OK;
}

static void report(bench *b, train_ctx *c)
{
    const bench_param params[] = {{"model", c->m.name, 0}, {"batch", NULL, BATCH}, {"threads", NULL, b->threads}, {0}};
    const bench_param gemm_params[] = {{"size", NULL, GEMM}, {"threads", NULL, b->threads}, {0}};
    for (size_t i = 0; i < ROWS; i++) {
        if (bench_wants(b, rows[i].name)) {
            const bench_row row = {.name = rows[i].name, .unit = rows[i].unit, .params = i == SGEMM ? gemm_params : params};
            bench_report(b, &row, c->samples[i], NULL);
        }
    }
}

int bench_train(bench *b)
{
    train_ctx *c = sotto_calloc(1, sizeof *c);
    int wanted = 0;
    if (c == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for training");
    }
    for (size_t i = 0; i < ROWS; i++) {
        wanted |= bench_wants(b, rows[i].name);
    }
    int status = wanted ? setup(c, b) : SOTTO_OK;
    for (int i = -1; wanted && i < (int)b->runs && status == SOTTO_OK; i++) {
        status = sample(c, b->threads, i);
    }
    if (wanted && status == SOTTO_OK) {
        report(b, c);
    }
    for (size_t i = 0; i < ROWS; i++) {
        sotto_free(c->samples[i]);
    }
    sotto_optimiser_free(&c->optimiser);
    sotto_tape_free(c->tape);
    sotto_pool_free(c->pool);
    sotto_model_free(&c->m);
    sotto_free(c->matrices);
    sotto_free(c);
    return status;
}
