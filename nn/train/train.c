#include "nn/train/train.h"

#include <math.h>
#include <sodium.h>
#include <string.h>
#include <time.h>

#include "lib/mem.h"
#include "nn/model/text.h"
#include "nn/plain/float.h"
#include "nn/train/checkpoint.h"
#include "nn/train/rounding.h"

sotto_train_options sotto_train_default(void)
{
    return (sotto_train_options){.epochs = 20,
                                 .batch = 64,
                                 .schedule = {.kind = SOTTO_SCHEDULE_COSINE, .rate = 0.01, .factor = 0.1},
                                 .optimiser = {.kind = SOTTO_OPTIMISER_SGD, .momentum = 0.9, .nesterov = 1, .beta2 = 0.999, .weight_decay = 5e-4},
                                 .augment = {.shift = 1, .flip = 1},
                                 .loss = {.temperature = 4.0, .distill = 0.9},
                                 .checkpoint_epochs = 1,
                                 .seed = 1};
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- generators -------------------------------------------------------------------------------------------------- */

/* What is drawn follows from the seed and the place alone, so that a resumed training needs no generator's state and threads may draw for their images. */
enum { USE_SPLIT = 1, USE_ORDER, USE_AUGMENT };

static void stream(sotto_prg *prg, uint64_t seed, unsigned use, uint32_t epoch, uint32_t image)
{
    sotto_prg_init(prg, (sotto_block){{seed, (uint64_t)use << 56 | (uint64_t)epoch << 32 | image}}); /* epochs stay below 2^24 */
}

static void shuffle(uint32_t *order, size_t count, uint64_t seed, unsigned use, uint32_t epoch)
{
    sotto_prg prg;
    stream(&prg, seed, use, epoch, 0);
    for (size_t i = count; i-- > 1;) {
        uint32_t word;
        sotto_prg_fill(&prg, &word, sizeof word);
        const size_t j = sotto_word_below(word, (uint32_t)i + 1);
        const uint32_t swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

/* ---- all tensors of a model as one array --------------------------------------------------------------------------- */

static size_t values_of(const sotto_model *m)
{
    size_t sum = 0;
    for (size_t i = 0; i < m->node_count; i++) {
        for (unsigned w = 0; w < SOTTO_TENSORS_MAX; w++) {
            sum += sotto_tensor_count(m, &m->nodes[i], w);
        }
    }
    return sum;
}

static void each_tensor(const sotto_model *m, float *flat, float share, void (*fn)(float *flat, float *tensor, size_t count, float share))
{
    for (size_t i = 0; i < m->node_count; i++) {
        for (unsigned w = 0; w < SOTTO_TENSORS_MAX; w++) {
            const size_t count = sotto_tensor_count(m, &m->nodes[i], w);
            if (count > 0) {
                fn(flat, m->nodes[i].tensor[w], count, share);
                flat += count;
            }
        }
    }
}

static void take(float *flat, float *tensor, size_t count, float share)
{
    (void)share;
    memcpy(flat, tensor, count * sizeof *flat);
}

static void put(float *flat, float *tensor, size_t count, float share)
{
    (void)share;
    memcpy(tensor, flat, count * sizeof *flat);
}

static void mix(float *flat, float *tensor, size_t count, float share)
{
    for (size_t i = 0; i < count; i++) {
        flat[i] += share * (tensor[i] - flat[i]);
    }
}

/* ---- a training ---------------------------------------------------------------------------------------------------- */

#define HASH_BYTES 32

/* Where it stands; with weights, average, best and the optimiser's state all that the rest depends on. */
typedef struct position {
    uint32_t epoch, best_epoch; /* epochs done; of the best weights, from 1 */
    uint64_t done;              /* images of the epoch under way */
    double loss, right;         /* sums over them */
    double seconds;
    double best_accuracy;
} position;

typedef struct trainer {
    sotto_model *m, teacher; /* teacher: a copy of the struct, whose tensors are the caller's */
    const sotto_dataset *data;
    sotto_train_options o; /* threads: as many as there are */
    sotto_pool *pool;
    sotto_tape *tape, *teacher_tape;
    sotto_optimiser optimiser;
    size_t outputs, count;  /* count: images to train on; order[count] and on are held out */
    uint32_t *order;
    uint16_t *labels;       /* of a batch */
    float *gradient;        /* of the logits of a batch */
    size_t values;          /* floats of all tensors */
    float *weights;         /* to write a checkpoint, and the weights while rounded ones or their average are in the model */
    float *average, *best;  /* or NULL */
    position at;
    double rate;
    uint64_t validate;      /* for the checkpoint, as are: */
    uint8_t model_hash[HASH_BYTES], data_hash[HASH_BYTES], teacher_hash[HASH_BYTES];
} trainer;

static void hash_data(uint8_t hash[HASH_BYTES], const sotto_dataset *d)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, HASH_BYTES);
    crypto_generichash_update(&state, (const uint8_t *)&d->shape, sizeof d->shape);
    crypto_generichash_update(&state, (const uint8_t *)d->labels, d->count * sizeof *d->labels);
    crypto_generichash_update(&state, d->images, d->count * sotto_shape_words(d->shape));
    crypto_generichash_final(&state, hash, HASH_BYTES);
}

static void hash_tensors(uint8_t hash[HASH_BYTES], const sotto_model *m)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, HASH_BYTES);
    for (size_t i = 0; i < m->node_count; i++) {
        for (unsigned w = 0; w < SOTTO_TENSORS_MAX; w++) {
            crypto_generichash_update(&state, (const uint8_t *)m->nodes[i].tensor[w], sotto_tensor_count(m, &m->nodes[i], w) * sizeof(float));
        }
    }
    crypto_generichash_final(&state, hash, HASH_BYTES);
}

static int hash_all(trainer *t)
{
    char *text = NULL;
    size_t len;
    const int status = sotto_model_print(t->m, &text, &len);
    if (status == SOTTO_OK) {
        memcpy(t->model_hash, t->m->public_hash, HASH_BYTES);
        hash_data(t->data_hash, t->data);
        if (t->o.teacher != NULL) {
            hash_tensors(t->teacher_hash, t->o.teacher);
        }
    }
    sotto_free(text);
    return status;
}

#define FIXED(name, kind, data, count) {name, SOTTO_ITEM_##kind, 1, data, count}
#define STATE(name, kind, data, count) {name, SOTTO_ITEM_##kind, 0, data, count}

/* Saves or loads the state, with what must not have changed since. */
static int checkpoint(trainer *t, const char *path, int (*action)(const char *path, const sotto_checkpoint_item *items, size_t count))
{
    sotto_train_options *o = &t->o;
    const sotto_checkpoint_item items[] = {
        FIXED("architecture", BYTES, t->model_hash, HASH_BYTES),
        FIXED("data set", BYTES, t->data_hash, HASH_BYTES),
        FIXED("teacher", BYTES, t->teacher_hash, HASH_BYTES),
        FIXED("seed", U64, &o->seed, 1),
        FIXED("number of threads", U32, &o->threads, 1),
        FIXED("number of epochs", U32, &o->epochs, 1),
        FIXED("batch", U32, &o->batch, 1),
        FIXED("schedule", U32, &o->schedule.kind, 1),
        FIXED("rate", DOUBLE, &o->schedule.rate, 1),
        FIXED("warm-up", DOUBLE, &o->schedule.warmup, 1),
        FIXED("list of steps", U32, o->schedule.steps, SOTTO_SCHEDULE_STEPS),
        FIXED("factor", DOUBLE, &o->schedule.factor, 1),
        FIXED("optimiser", U32, &o->optimiser.kind, 1),
        FIXED("momentum", DOUBLE, &o->optimiser.momentum, 1),
        FIXED("choice of Nesterov", U32, &o->optimiser.nesterov, 1),
        FIXED("beta2", DOUBLE, &o->optimiser.beta2, 1),
        FIXED("weight decay", DOUBLE, &o->optimiser.weight_decay, 1),
        FIXED("clipping", DOUBLE, &o->optimiser.clip, 1),
        FIXED("shift", U32, &o->augment.shift, 1),
        FIXED("choice of mirroring", U32, &o->augment.flip, 1),
        FIXED("cutout", U32, &o->augment.cutout, 1),
        FIXED("smoothing", DOUBLE, &o->loss.smoothing, 1),
        FIXED("temperature", DOUBLE, &o->loss.temperature, 1),
        FIXED("share of distillation", DOUBLE, &o->loss.distill, 1),
        FIXED("moving average", DOUBLE, &o->ema, 1),
        FIXED("number of weight bits", U32, &o->weight_bits, 1),
        FIXED("number of images held out", U64, &t->validate, 1),
        FIXED("choice of the best epoch", U32, &o->best, 1),
        STATE("epochs done", U32, &t->at.epoch, 1),
        STATE("images done", U64, &t->at.done, 1),
        STATE("loss", DOUBLE, &t->at.loss, 1),
        STATE("right", DOUBLE, &t->at.right, 1),
        STATE("seconds", DOUBLE, &t->at.seconds, 1),
        STATE("best epoch", U32, &t->at.best_epoch, 1),
        STATE("best accuracy", DOUBLE, &t->at.best_accuracy, 1),
        STATE("steps", U64, &t->optimiser.steps, 1),
        STATE("weights", FLOAT, t->weights, t->values),
        STATE("first moments", FLOAT, t->optimiser.first, t->optimiser.count),
        STATE("second moments", FLOAT, t->optimiser.second, t->optimiser.second == NULL ? 0 : t->optimiser.count),
        STATE("average weights", FLOAT, t->average, t->average == NULL ? 0 : t->values),
        STATE("best weights", FLOAT, t->best, t->best == NULL ? 0 : t->values),
    };
    return action(path, items, sizeof items / sizeof *items);
}

static int save(trainer *t)
{
    each_tensor(t->m, t->weights, 0.0f, take);
    return checkpoint(t, t->o.checkpoint, sotto_checkpoint_save);
}

static int resume(trainer *t)
{
    const int status = checkpoint(t, t->o.resume, sotto_checkpoint_load);
    if (status == SOTTO_OK && (t->at.epoch >= t->o.epochs || t->at.done > t->count || (t->at.done < t->count && t->at.done % t->o.batch != 0))) {
        return sotto_fail(SOTTO_ERR_FORMAT, "%s: image %llu after %u epochs; expected a whole batch of a training of %zu images, %u epochs", t->o.resume,
                          (unsigned long long)t->at.done, (unsigned)t->at.epoch, t->count, t->o.epochs);
    }
    if (status == SOTTO_OK) {
        each_tensor(t->m, t->weights, 0.0f, put);
    }
    return status;
}

static int trainer_new(trainer *t)
{
    t->count = t->data->count - t->o.validate;
    t->validate = t->o.validate;
    t->outputs = sotto_shape_words(t->m->nodes[t->m->node_count - 1].shape);
    t->values = values_of(t->m);
    int status = sotto_pool_new(&t->pool, t->o.threads);
    if (status == SOTTO_OK) {
        t->o.threads = sotto_pool_threads(t->pool);
        status = sotto_tape_new(&t->tape, t->m, t->o.batch, 1, t->pool);
    }
    if (status == SOTTO_OK && t->o.teacher != NULL) {
        t->teacher = *t->o.teacher;
        status = sotto_tape_new(&t->teacher_tape, &t->teacher, t->o.batch, 0, t->pool);
    }
    if (status == SOTTO_OK) {
        status = sotto_optimiser_new(&t->optimiser, t->m, t->tape, &t->o.optimiser);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    t->order = sotto_calloc(t->data->count, sizeof *t->order);
    t->labels = sotto_calloc(t->o.batch, sizeof *t->labels);
    t->gradient = sotto_calloc(t->o.batch * t->outputs, sizeof *t->gradient);
    t->weights = sotto_calloc(t->values, sizeof *t->weights);
    t->average = t->o.ema > 0.0 ? sotto_calloc(t->values, sizeof *t->average) : NULL;
    t->best = t->o.best ? sotto_calloc(t->values, sizeof *t->best) : NULL;
    if (t->order == NULL || t->labels == NULL || t->gradient == NULL || t->weights == NULL || (t->o.ema > 0.0 && t->average == NULL) ||
        (t->o.best && t->best == NULL)) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for training");
    }
    if (t->average != NULL) {
        each_tensor(t->m, t->average, 0.0f, take);
    }
    return t->o.checkpoint != NULL || t->o.resume != NULL ? hash_all(t) : SOTTO_OK;
}

static void trainer_free(trainer *t)
{
    sotto_free_secret(t->weights, t->values, sizeof *t->weights);
    sotto_free_secret(t->average, t->values, sizeof *t->average);
    sotto_free_secret(t->best, t->values, sizeof *t->best);
    sotto_free(t->order);
    sotto_free(t->labels);
    sotto_free(t->gradient);
    sotto_optimiser_free(&t->optimiser);
    sotto_tape_free(t->teacher_tape);
    sotto_tape_free(t->tape);
    sotto_pool_free(t->pool);
}

/* ---- what is asked for --------------------------------------------------------------------------------------------- */

static int check_model(const char *which, const sotto_model *m, const sotto_dataset *data)
{
    const sotto_shape in = m->nodes[0].shape, d = data->shape;
    const size_t outputs = sotto_shape_words(m->nodes[m->node_count - 1].shape);
    if (data->count < 1 || data->count > UINT32_MAX) {
        return sotto_fail(SOTTO_ERR_ARG, "the data set has %zu images; expected 1 to 2^32 - 1", data->count);
    }
    if (in.c != d.c || in.h != d.h || in.w != d.w || data->classes > outputs) {
        return sotto_fail(SOTTO_ERR_MISMATCH, "the %s takes %ux%ux%u and has %zu outputs, the data are %ux%ux%u with %zu classes", which, (unsigned)in.c,
                          (unsigned)in.h, (unsigned)in.w, outputs, (unsigned)d.c, (unsigned)d.h, (unsigned)d.w, data->classes);
    }
    if (!sotto_model_has_weights(m)) {
        return sotto_fail(SOTTO_ERR_ARG, "the %s has no weights to start from", which);
    }
    return SOTTO_OK;
}

static int check_options(const sotto_train_options *o, size_t images)
{
    static const double below_one = 0.9999999;
    const struct limit {
        const char *name;
        double value, low, high;
    } limits[] = {
        {"epochs", o->epochs, 1, 10000},
        {"batch", o->batch, 1, 4096},
        {"rate", o->schedule.rate, 1e-12, 99.0},
        {"warm-up", o->schedule.warmup, 0, o->epochs * below_one},
        {"factor", o->schedule.factor, 1e-6, 1.0},
        {"momentum", o->optimiser.momentum, 0, below_one},
        {"beta2", o->optimiser.beta2, 0, below_one},
        {"weight decay", o->optimiser.weight_decay, 0, below_one},
        {"clipping", o->optimiser.clip, 0, 1e9},
        {"shift", o->augment.shift, 0, 64},
        {"cutout", o->augment.cutout, 0, 1024},
        {"smoothing", o->loss.smoothing, 0, below_one},
        {"temperature", o->loss.temperature, 1e-3, 1e3},
        {"distill", o->loss.distill, 0, 1},
        {"ema", o->ema, 0, below_one},
        {"weight bits", o->weight_bits == 0 ? 2 : o->weight_bits, 2, 16},
        {"images held out", (double)o->validate, o->best ? 1 : 0, (double)images - 1},
        {"minutes between checkpoints", o->checkpoint_minutes, 0, 1e6},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const struct limit *l = &limits[i];
        if (!(l->value >= l->low && l->value <= l->high)) {
            return sotto_fail(SOTTO_ERR_ARG, "training: %s %g; expected %g to %g", l->name, l->value, l->low, l->high);
        }
    }
    for (size_t i = 1; i < SOTTO_SCHEDULE_STEPS; i++) {
        if (o->schedule.steps[i] != 0 && o->schedule.steps[i] <= o->schedule.steps[i - 1]) {
            return sotto_fail(SOTTO_ERR_ARG, "training: a step of the rate at epoch %u after one at %u; expected rising epochs", o->schedule.steps[i],
                              o->schedule.steps[i - 1]);
        }
    }
    return SOTTO_OK;
}

static int check(const sotto_model *m, const sotto_dataset *data, const sotto_train_options *o)
{
    int status = check_model("model", m, data);
    if (status == SOTTO_OK) {
        status = check_options(o, data->count);
    }
    if (status == SOTTO_OK && o->teacher != NULL) {
        status = check_model("teacher", o->teacher, data);
        const size_t outputs = sotto_shape_words(m->nodes[m->node_count - 1].shape);
        const size_t of_teacher = sotto_shape_words(o->teacher->nodes[o->teacher->node_count - 1].shape);
        if (status == SOTTO_OK && outputs != of_teacher) {
            status = sotto_fail(SOTTO_ERR_MISMATCH, "the teacher has %zu outputs, the model %zu", of_teacher, outputs);
        }
    }
    return status;
}

/* ---- batches ------------------------------------------------------------------------------------------------------- */

typedef struct filling {
    const sotto_model *m;
    const sotto_dataset *data;
    const uint32_t *order; /* NULL: in the order of the set, from `first` */
    size_t first;
    float *x;
    const trainer *t;      /* NULL: images as they are */
} filling;

static int fill_image(void *ctx, size_t i, unsigned thread)
{
    (void)thread;
    const filling *f = ctx;
    const size_t words = sotto_shape_words(f->data->shape), which = f->order == NULL ? f->first + i : f->order[f->first + i];
    if (f->t == NULL) {
        sotto_normalise(f->m, f->x + i * words, f->data->images + which * words);
        return SOTTO_OK;
    }
    sotto_prg prg;
    stream(&prg, f->t->o.seed, USE_AUGMENT, f->t->at.epoch, (uint32_t)which);
    const sotto_variant v = sotto_augment_draw(&f->t->o.augment, f->data->shape, &prg);
    sotto_augment(f->x + i * words, f->m, f->data->images + which * words, &f->t->o.augment, &v);
    return SOTTO_OK;
}

/* The same variants of the images for model and teacher, each as it wants them normalised. */
static int forward(trainer *t, const sotto_model *m, sotto_tape *tape, int training, size_t count, const float **logits)
{
    filling f = {.m = m, .data = t->data, .order = t->order, .first = (size_t)t->at.done, .x = sotto_tape_input(tape), .t = t};
    const int status = sotto_pool_run(t->pool, count, fill_image, &f);
    return status == SOTTO_OK ? sotto_tape_forward(tape, count, training, logits) : status;
}

/* Forward and backward, the weights rounded meanwhile where that is asked for. */
static int gradients(trainer *t, size_t count)
{
    const float *logits, *teacher = NULL;
    if (t->o.weight_bits > 0) {
        sotto_round_weights(t->m, t->o.weight_bits, t->weights);
    }
    int status = forward(t, t->m, t->tape, 1, count, &logits);
    if (status == SOTTO_OK && t->teacher_tape != NULL) {
        status = forward(t, &t->teacher, t->teacher_tape, 0, count, &teacher);
    }
    for (size_t i = 0; i < count; i++) {
        t->labels[i] = t->data->labels[t->order[t->at.done + i]];
    }
    if (status == SOTTO_OK) {
        sotto_loss(t->gradient, &t->at.loss, &t->at.right, logits, teacher, t->labels, count, t->outputs, &t->o.loss);
        status = isfinite(t->at.loss) ? sotto_tape_backward(t->tape, count, t->gradient)
                                      : sotto_fail(SOTTO_ERR_LIMIT, "the loss is no finite number any more in epoch %u; lower the rate or clip gradients",
                                                   (unsigned)t->at.epoch + 1);
    }
    if (t->o.weight_bits > 0) {
        sotto_unround_weights(t->m, t->weights);
    }
    return status;
}

static int batch(trainer *t, size_t count)
{
    const int status = gradients(t, count);
    if (status == SOTTO_OK) {
        t->rate = sotto_schedule_rate(&t->o.schedule, t->o.epochs, (double)t->at.epoch + (double)t->at.done / (double)t->count,
                                      (double)count / (double)t->count);
        (void)sotto_optimiser_step(&t->optimiser, t->rate);
        t->at.done += count;
    }
    if (status == SOTTO_OK && t->average != NULL) {
        const double s = (double)t->optimiser.steps, start = (1.0 + s) / (10.0 + s);
        each_tensor(t->m, t->average, (float)(1.0 - fmin(t->o.ema, start)), mix);
    }
    return status;
}

/* Number of right answers for images order[first] to order[first + count - 1] (NULL: of the set itself), in batches of the tape's size. */
static int count_right(size_t *right, sotto_tape *tape, size_t batch_size, sotto_pool *pool, const filling *images, size_t count, size_t outputs)
{
    int status = SOTTO_OK;
    *right = 0;
    for (size_t done = 0; done < count && status == SOTTO_OK; done += batch_size) {
        const size_t n = count - done < batch_size ? count - done : batch_size;
        const float *logits;
        filling f = *images;
        f.first += done;
        f.x = sotto_tape_input(tape);
        status = sotto_pool_run(pool, n, fill_image, &f);
        if (status == SOTTO_OK) {
            status = sotto_tape_forward(tape, n, 0, &logits);
        }
        for (size_t i = 0; i < n && status == SOTTO_OK; i++) {
            const size_t which = f.order == NULL ? f.first + i : f.order[f.first + i];
            *right += sotto_argmax_float(logits + i * outputs, outputs) == f.data->labels[which];
        }
    }
    return status;
}

/* Accuracy on the images held out, of the average where there is one, as rounded where that is asked for; keeps the best. */
static int validate(trainer *t, double *accuracy)
{
    const filling images = {.m = t->m, .data = t->data, .order = t->order, .first = t->count};
    size_t right;
    each_tensor(t->m, t->weights, 0.0f, take);
    if (t->average != NULL) {
        each_tensor(t->m, t->average, 0.0f, put);
    }
    if (t->o.weight_bits > 0) {
        sotto_round_weights(t->m, t->o.weight_bits, NULL);
    }
    const int status = count_right(&right, t->tape, t->o.batch, t->pool, &images, t->o.validate, t->outputs);
    if (status == SOTTO_OK) {
        *accuracy = (double)right / (double)t->o.validate;
        if (t->at.best_epoch == 0 || *accuracy > t->at.best_accuracy) {
            t->at.best_epoch = t->at.epoch + 1;
            t->at.best_accuracy = *accuracy;
            if (t->best != NULL) {
                memcpy(t->best, t->average != NULL ? t->average : t->weights, t->values * sizeof *t->best);
            }
        }
    }
    each_tensor(t->m, t->weights, 0.0f, put);
    return status;
}

static void order_images(trainer *t)
{
    for (size_t i = 0; i < t->data->count; i++) {
        t->order[i] = (uint32_t)i;
    }
    if (t->o.validate > 0) {
        shuffle(t->order, t->data->count, t->o.seed, USE_SPLIT, 0);
    }
    shuffle(t->order, t->count, t->o.seed, USE_ORDER, t->at.epoch);
}

/* What began when. */
typedef struct clocks {
    double before;           /* seconds of earlier runs */
    double start, epoch_start, saved;
    size_t epoch_from;       /* images of the epoch that were done before */
} clocks;

static sotto_train_progress report(const trainer *t, const clocks *c, double now, double validation)
{
    const double done = (double)t->at.done, speed = (done - (double)c->epoch_from) / (now - c->epoch_start);
    const double left = (double)(t->o.epochs - t->at.epoch) * (double)t->count - done;
    return (sotto_train_progress){.epoch = t->at.epoch + 1, .epochs = t->o.epochs, .images = (size_t)t->at.done, .of_images = t->count, .rate = t->rate,
                                  .loss = t->at.loss / done, .accuracy = t->at.right / done, .images_per_second = speed, .seconds = t->at.seconds,
                                  .seconds_left = left / speed, .epoch_done = t->at.done == t->count, .validation = validation,
                                  .best_epoch = t->at.best_epoch};
}

static int is_due(const trainer *t, const clocks *c, double now)
{
    const int whole = t->at.done == t->count;
    return (t->o.checkpoint_epochs > 0 && whole && (t->at.epoch + 1) % t->o.checkpoint_epochs == 0) || (whole && t->at.epoch + 1 == t->o.epochs) ||
           (t->o.checkpoint_minutes > 0.0 && now - c->saved >= 60.0 * t->o.checkpoint_minutes);
}

/* A batch and what follows it; *stop: the caller's wish. */
static int advance(trainer *t, clocks *c, int (*progress)(void *ctx, const sotto_train_progress *p), void *ctx, int *stop)
{
    const size_t left = t->count - (size_t)t->at.done;
    double validation = -1.0;
    int status = batch(t, left < t->o.batch ? left : t->o.batch);
    const double now = seconds_now();
    t->at.seconds = c->before + now - c->start;
    if (status == SOTTO_OK && t->at.done == t->count && t->o.validate > 0) {
        status = validate(t, &validation);
    }
    if (status == SOTTO_OK && progress != NULL) {
        const sotto_train_progress p = report(t, c, now, validation);
        *stop = progress(ctx, &p);
    }
    if (status == SOTTO_OK && t->o.checkpoint != NULL && (*stop || is_due(t, c, now))) {
        status = save(t);
        c->saved = seconds_now();
        if (status != SOTTO_OK && t->o.warning != NULL) {
            t->o.warning(ctx, status);
            status = SOTTO_OK;
        }
    }
    return status;
}

int sotto_train(sotto_model *m, const sotto_dataset *data, const sotto_train_options *options,
                int (*progress)(void *ctx, const sotto_train_progress *p), void *ctx)
{
    trainer t = {.m = m, .data = data, .o = *options};
    int status = check(m, data, options), stop = 0;
    if (status == SOTTO_OK) {
        status = trainer_new(&t);
    }
    if (status == SOTTO_OK && options->resume != NULL) {
        status = resume(&t);
    }
    const double start = seconds_now();
    clocks c = {.before = t.at.seconds, .start = start, .saved = start};
    while (status == SOTTO_OK && !stop && t.at.epoch < options->epochs) {
        c.epoch_start = seconds_now();
        c.epoch_from = (size_t)t.at.done;
        order_images(&t);
        while (status == SOTTO_OK && !stop && t.at.done < t.count) {
            status = advance(&t, &c, progress, ctx, &stop);
        }
        t.at.epoch++;
        t.at.done = 0;
        t.at.loss = t.at.right = 0.0;
    }
    if (status == SOTTO_OK && t.at.best_epoch > 0 && t.best != NULL) {
        each_tensor(m, t.best, 0.0f, put);
    } else if (status == SOTTO_OK && t.average != NULL) {
        each_tensor(m, t.average, 0.0f, put);
    }
    trainer_free(&t);
    return status;
}

int sotto_evaluate_float(double *accuracy, const sotto_model *m, const sotto_dataset *data, size_t count, unsigned threads)
{
    enum { BATCH = 256 };
    sotto_pool *pool = NULL;
    sotto_tape *tape = NULL;
    size_t right = 0;
    count = count == 0 || count > data->count ? data->count : count;
    int status = check_model("model", m, data);
    if (status == SOTTO_OK) {
        status = sotto_pool_new(&pool, threads);
    }
    sotto_model view = *m; /* an evaluation pass changes no tensor */
    if (status == SOTTO_OK) {
        status = sotto_tape_new(&tape, &view, BATCH, 0, pool);
    }
    if (status == SOTTO_OK) {
        const filling images = {.m = m, .data = data};
        status = count_right(&right, tape, BATCH, pool, &images, count, sotto_shape_words(m->nodes[m->node_count - 1].shape));
    }
    sotto_tape_free(tape);
    sotto_pool_free(pool);
    if (status == SOTTO_OK) {
        *accuracy = (double)right / (double)count;
    }
    return status;
}
