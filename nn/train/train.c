#include "nn/train/train.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "lib/mem.h"
#include "lib/prg.h"
#include "nn/plain/float.h"
#include "nn/train/tape.h"

sotto_train_options sotto_train_default(void)
{
    return (sotto_train_options){.epochs = 20, .batch = 64, .rate = 0.01, .momentum = 0.9, .weight_decay = 5e-4, .shift = 1, .flip = 1, .seed = 1};
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Uniform below `bound`, to 2^-32; the order of images is no secret and needs no better. */
static uint32_t below(sotto_prg *prg, uint32_t bound)
{
    uint32_t x;
    sotto_prg_fill(prg, &x, sizeof x);
    return (uint32_t)(((uint64_t)x * bound) >> 32);
}

typedef struct trainer {
    sotto_model *m;
    const sotto_dataset *data;
    const sotto_train_options *o;
    sotto_tape *tape;
    sotto_pool *pool;
    sotto_prg prg;
    uint32_t *order;
    float *gradient;       /* of the logits of a batch */
    float *(*velocity)[SOTTO_TENSORS_MAX];
    sotto_train_progress progress;
    double loss, right;    /* sums over the epoch */
} trainer;

/* One normalised image, shifted by (dy, dx) and mirrored; what comes in from outside is the mean, zero. */
static void augment(const trainer *t, float *out, const uint8_t *pixels, int dy, int dx, int mirror)
{
    const sotto_shape s = t->data->shape;
    for (uint32_t c = 0; c < s.c; c++) {
        const float scale = 1.0f / (255.0f * t->m->std[c]), offset = t->m->mean[c] / t->m->std[c];
        for (int y = 0; y < (int)s.h; y++) {
            for (int x = 0; x < (int)s.w; x++) {
                const int row = y + dy, col = (mirror ? (int)s.w - 1 - x : x) + dx;
                const int inside = row >= 0 && row < (int)s.h && col >= 0 && col < (int)s.w;
                *out++ = inside ? (float)pixels[((size_t)c * s.h + (size_t)row) * s.w + (size_t)col] * scale - offset : 0.0f;
            }
        }
    }
}

static void fill_batch(trainer *t, size_t first, size_t count)
{
    const size_t words = sotto_shape_words(t->data->shape);
    const uint32_t span = 2 * t->o->shift + 1;
    float *x = sotto_tape_input(t->tape);
    for (size_t i = 0; i < count; i++) {
        const int dy = (int)below(&t->prg, span) - (int)t->o->shift, dx = (int)below(&t->prg, span) - (int)t->o->shift;
        const int mirror = t->o->flip && below(&t->prg, 2) == 1;
        augment(t, x + i * words, t->data->images + t->order[first + i] * words, dy, dx, mirror);
    }
}

/* Cross entropy of softmax: loss and d loss / d logits, averaged over the batch. */
static void cross_entropy(trainer *t, const float *logits, size_t first, size_t count, size_t outputs)
{
    for (size_t i = 0; i < count; i++) {
        const float *z = logits + i * outputs;
        float *g = t->gradient + i * outputs;
        const size_t label = t->data->labels[t->order[first + i]], best = sotto_argmax_float(z, outputs);
        double sum = 0.0;
        for (size_t k = 0; k < outputs; k++) {
            sum += exp((double)z[k] - z[best]);
        }
        for (size_t k = 0; k < outputs; k++) {
            g[k] = (float)((exp((double)z[k] - z[best]) / sum - (k == label)) / (double)count);
        }
        t->loss += log(sum) - ((double)z[label] - z[best]);
        t->right += best == label;
    }
}

/* Nesterov momentum: v = mu v + g, w -= rate (g + mu v). */
static void update(trainer *t, double rate)
{
    for (size_t i = 0; i < t->m->node_count; i++) {
        sotto_node *n = &t->m->nodes[i];
        for (unsigned w = 0; w < SOTTO_TENSORS_MAX; w++) {
            const float *g = sotto_tape_gradient(t->tape, i, w);
            const size_t count = g == NULL ? 0 : sotto_tensor_count(t->m, n, w);
            const float decay = w == 0 && n->op != SOTTO_OP_BATCHNORM ? (float)t->o->weight_decay : 0.0f;
            const float mu = (float)t->o->momentum, lr = (float)rate;
            for (size_t k = 0; k < count; k++) {
                const float d = g[k] + decay * n->tensor[w][k];
                float *v = &t->velocity[i][w][k];
                *v = mu * *v + d;
                n->tensor[w][k] -= lr * (d + mu * *v);
            }
        }
    }
}

static void shuffle(trainer *t)
{
    for (size_t i = t->data->count - 1; i > 0; i--) {
        const size_t j = below(&t->prg, (uint32_t)i + 1);
        const uint32_t swap = t->order[i];
        t->order[i] = t->order[j];
        t->order[j] = swap;
    }
}

static int trainer_new(trainer *t)
{
    const size_t outputs = sotto_shape_words(t->m->nodes[t->m->node_count - 1].shape);
    int status = sotto_pool_new(&t->pool, t->o->threads);
    if (status == SOTTO_OK) {
        status = sotto_tape_new(&t->tape, t->m, t->o->batch, 1, t->pool);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    sotto_prg_init(&t->prg, (sotto_block){{t->o->seed, 0x7472616976}}); /* apart from other uses of the seed */
    t->order = sotto_calloc(t->data->count, sizeof *t->order);
    t->gradient = sotto_calloc(t->o->batch * outputs, sizeof *t->gradient);
    t->velocity = sotto_calloc(t->m->node_count, sizeof *t->velocity);
    int bad = t->order == NULL || t->gradient == NULL || t->velocity == NULL;
    for (size_t i = 0; !bad && i < t->m->node_count; i++) {
        for (unsigned w = 0; w < SOTTO_TENSORS_MAX && !bad; w++) {
            if (sotto_tape_gradient(t->tape, i, w) != NULL) {
                t->velocity[i][w] = sotto_calloc(sotto_tensor_count(t->m, &t->m->nodes[i], w), sizeof(float));
                bad = t->velocity[i][w] == NULL;
            }
        }
    }
    for (size_t i = 0; !bad && i < t->data->count; i++) {
        t->order[i] = (uint32_t)i;
    }
    return bad ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for training") : SOTTO_OK;
}

static void trainer_free(trainer *t)
{
    for (size_t i = 0; t->velocity != NULL && i < t->m->node_count; i++) {
        for (unsigned w = 0; w < SOTTO_TENSORS_MAX; w++) {
            sotto_free(t->velocity[i][w]);
        }
    }
    sotto_free(t->velocity);
    sotto_free(t->order);
    sotto_free(t->gradient);
    sotto_tape_free(t->tape);
    sotto_pool_free(t->pool);
}

static int check(const sotto_model *m, const sotto_dataset *data, const sotto_train_options *o)
{
    const sotto_shape in = m->nodes[0].shape, d = data->shape;
    const size_t outputs = sotto_shape_words(m->nodes[m->node_count - 1].shape);
    if (data->count < 1 || data->count > UINT32_MAX) {
        return sotto_fail(SOTTO_ERR_ARG, "the data set has %zu images; expected 1 to 2^32 - 1", data->count);
    }
    if (in.c != d.c || in.h != d.h || in.w != d.w || data->classes > outputs) {
        return sotto_fail(SOTTO_ERR_MISMATCH, "the model takes %ux%ux%u and has %zu outputs, the data are %ux%ux%u with %zu classes", in.c, in.h,
                          in.w, outputs, d.c, d.h, d.w, data->classes);
    }
    if (!sotto_model_has_weights(m)) {
        return sotto_fail(SOTTO_ERR_ARG, "the model has no weights to start from");
    }
    if (o->epochs < 1 || o->epochs > 10000 || o->batch < 1 || o->batch > 4096 || !(o->rate > 0.0) || !(o->rate < 100.0) ||
        !(o->momentum >= 0.0) || !(o->momentum < 1.0) || !(o->weight_decay >= 0.0) || !(o->weight_decay < 1.0) || o->shift > 64) {
        return sotto_fail(SOTTO_ERR_ARG, "training: epochs 1 to 10000, batch 1 to 4096, rate above 0, momentum 0 to 1, weight decay 0 to 1, "
                                         "shift 0 to 64");
    }
    return SOTTO_OK;
}

static int batch(trainer *t, unsigned epoch, size_t first, size_t count, double rate)
{
    const size_t outputs = sotto_shape_words(t->m->nodes[t->m->node_count - 1].shape);
    const float *logits;
    fill_batch(t, first, count);
    int status = sotto_tape_forward(t->tape, count, 1, &logits);
    if (status == SOTTO_OK) {
        cross_entropy(t, logits, first, count, outputs);
        if (!isfinite(t->loss)) {
            return sotto_fail(SOTTO_ERR_LIMIT, "the loss is no finite number any more in epoch %u; lower the rate", epoch);
        }
        status = sotto_tape_backward(t->tape, count, t->gradient);
    }
    if (status == SOTTO_OK) {
        update(t, rate);
    }
    return status;
}

int sotto_train(sotto_model *m, const sotto_dataset *data, const sotto_train_options *options,
                int (*progress)(void *ctx, const sotto_train_progress *p), void *ctx)
{
    trainer t = {.m = m, .data = data, .o = options};
    int status = check(m, data, options);
    if (status == SOTTO_OK) {
        status = trainer_new(&t);
    }
    const double start = seconds_now();
    const size_t n = data->count;
    int stop = 0;
    for (unsigned epoch = 0; epoch < options->epochs && status == SOTTO_OK && !stop; epoch++) {
        const double epoch_start = seconds_now();
        t.loss = t.right = 0.0;
        shuffle(&t);
        for (size_t done = 0; done < n && status == SOTTO_OK && !stop;) {
            const size_t count = n - done < options->batch ? n - done : options->batch;
            const double at = ((double)epoch + (double)done / (double)n) / options->epochs;
            status = batch(&t, epoch + 1, done, count, 0.5 * options->rate * (1.0 + cos(3.141592653589793 * at)));
            done += count;
            if (status == SOTTO_OK && progress != NULL) {
                const double now = seconds_now();
                t.progress = (sotto_train_progress){.epoch = epoch + 1, .epochs = options->epochs, .images = done, .of_images = n,
                                                    .loss = t.loss / (double)done, .accuracy = t.right / (double)done,
                                                    .images_per_second = (double)done / (now - epoch_start), .seconds = now - start,
                                                    .epoch_done = done == n};
                stop = progress(ctx, &t.progress);
            }
        }
    }
    trainer_free(&t);
    return status;
}

int sotto_evaluate_float(double *accuracy, const sotto_model *m, const sotto_dataset *data, size_t count, unsigned threads)
{
    enum { BATCH = 256 };
    sotto_pool *pool = NULL;
    sotto_tape *tape = NULL;
    const size_t words = sotto_shape_words(data->shape), outputs = sotto_shape_words(m->nodes[m->node_count - 1].shape);
    const sotto_train_options unused = sotto_train_default();
    size_t right = 0;
    count = count == 0 || count > data->count ? data->count : count;
    int status = check(m, data, &unused);
    if (status == SOTTO_OK) {
        status = sotto_pool_new(&pool, threads);
    }
    sotto_model view = *m; /* an evaluation pass changes no tensor */
    if (status == SOTTO_OK) {
        status = sotto_tape_new(&tape, &view, BATCH, 0, pool);
    }
    for (size_t done = 0; done < count && status == SOTTO_OK; done += BATCH) {
        const size_t n = count - done < BATCH ? count - done : BATCH;
        const float *logits;
        for (size_t i = 0; i < n; i++) {
            sotto_normalise(m, sotto_tape_input(tape) + i * words, data->images + (done + i) * words);
        }
        status = sotto_tape_forward(tape, n, 0, &logits);
        for (size_t i = 0; i < n && status == SOTTO_OK; i++) {
            right += sotto_argmax_float(logits + i * outputs, outputs) == data->labels[done + i];
        }
    }
    sotto_tape_free(tape);
    sotto_pool_free(pool);
    if (status == SOTTO_OK) {
        *accuracy = (double)right / (double)count;
    }
    return status;
}
