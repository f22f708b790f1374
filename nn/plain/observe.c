#include "nn/plain/observe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/pool.h"
#include "nn/plain/float.h"

#define BINS_LOW 103 /* exponent of 2^-24 in a float */
#define SHARDS 16    /* of the images; each has sums of its own, which are added in order: the result depends on no thread */

typedef enum kind { TYPICAL, STRAY, DIVERGING } kind;

typedef struct worker {
    uint64_t *bins;
    sotto_float_run *run;
    float *image;
} worker;

typedef struct job {
    const sotto_model *m;
    const uint8_t *images;
    size_t count;
    sotto_observation *o;
    float *peak;       /* with polynomials: of each image and node, the largest magnitude; infinite where one is no number */
    uint8_t *kind;     /* of each image; NULL until they are known, and where all are typical */
    size_t typical;    /* images */
    worker *workers;
    sotto_channel_stats *shards; /* SHARDS times the channels of o; sums in place of means */
    void (*progress)(void *ctx, size_t done, size_t count);
    void *ctx;
} job;

static double bin_end(size_t bin)
{
    return ldexp(1.0 + (double)(bin % 8 + 1) / 8.0, (int)(bin / 8) - 24);
}

static double percentile(const uint64_t *bins, double share)
{
    uint64_t all = 0, below = 0;
    for (size_t b = 0; b < SOTTO_OBSERVE_BINS; b++) {
        all += bins[b];
    }
    for (size_t b = 0; b < SOTTO_OBSERVE_BINS; b++) {
        below += bins[b];
        if ((double)below >= share * (double)all) {
            return bin_end(b);
        }
    }
    return bin_end(SOTTO_OBSERVE_BINS - 1);
}

/* Saturation costs (x - t)^2 for each x above t, rounding t^2 / (12 4^bits) for each of the others. */
static double least_square(const uint64_t *bins, unsigned bits)
{
    double best = INFINITY, range = 0.0;
    for (size_t t = 0; t < SOTTO_OBSERVE_BINS; t++) {
        const double end = bin_end(t), step = ldexp(end, -(int)bits);
        double error = 0.0;
        for (size_t b = 0; b < SOTTO_OBSERVE_BINS; b++) {
            const double over = b > t ? bin_end(b) - end : 0.0;
            error += (double)bins[b] * (b > t ? over * over : step * step / 12.0);
        }
        if (error < best) {
            best = error;
            range = end;
        }
    }
    return range;
}

double sotto_observe_share(const sotto_observation *o, size_t node, size_t channel, double bound)
{
    const uint64_t *bins = o->bins + o->histogram_of[node] + channel * SOTTO_OBSERVE_BINS;
    const double unit = o->channel[o->first[node] + channel].bin_unit;
    uint64_t all = 0, within = 0;
    for (size_t b = 0; o->histogram_of[node] != SIZE_MAX && b < SOTTO_OBSERVE_BINS; b++) {
        all += bins[b];
        within += b > 0 && unit * bin_end(b) <= bound ? bins[b] : 0;
    }
    return all > 0 ? (double)within / (double)all : 1.0;
}

double sotto_observe_range(const sotto_observation *o, size_t node, size_t channel, sotto_range_method method, double share, unsigned bits)
{
    const sotto_channel_stats *s = &o->channel[o->first[node] + channel];
    if (method == SOTTO_RANGE_MAX || o->histogram_of[node] == SIZE_MAX || s->most == 0.0) {
        return s->most;
    }
    const uint64_t *bins = o->bins + o->histogram_of[node] + channel * SOTTO_OBSERVE_BINS;
    return fmin(s->most, s->bin_unit * (method == SOTTO_RANGE_PERCENTILE ? percentile(bins, share) : least_square(bins, bits)));
}

/* Exponent and three bits of the fraction of a float are the number of its bin. */
static size_t bin_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t at = (bits & 0x7fffffffu) >> 20, low = BINS_LOW << 3;
    return at < low ? 0 : at - low < SOTTO_OBSERVE_BINS ? at - low : SOTTO_OBSERVE_BINS - 1;
}

static int observation_new(sotto_observation *o, const sotto_model *m)
{
    memset(o, 0, sizeof *o);
    o->node_count = m->node_count;
    o->first = sotto_calloc(m->node_count, sizeof *o->first);
    o->histogram_of = sotto_calloc(m->node_count, sizeof *o->histogram_of);
    for (size_t i = 0; o->first != NULL && o->histogram_of != NULL && i < m->node_count; i++) {
        const int kept = i == 0 || sotto_op_is_unit(m->nodes[i].op);
        o->first[i] = o->channel_count;
        o->histogram_of[i] = kept ? o->bin_count : SIZE_MAX;
        o->channel_count += m->nodes[i].shape.c;
        o->bin_count += kept ? (size_t)m->nodes[i].shape.c * SOTTO_OBSERVE_BINS : 0;
    }
    o->channel = sotto_calloc(o->channel_count, sizeof *o->channel);
    o->bins = sotto_calloc(o->bin_count, sizeof *o->bins);
    if (o->channel == NULL || o->bins == NULL || o->first == NULL || o->histogram_of == NULL) {
        sotto_observation_free(o);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for what %zu nodes show", m->node_count);
    }
    return SOTTO_OK;
}

void sotto_observation_free(sotto_observation *o)
{
    sotto_free(o->first);
    sotto_free(o->histogram_of);
    sotto_free(o->channel);
    sotto_free(o->bins);
    memset(o, 0, sizeof *o);
}

int sotto_observation_copy(sotto_observation *out, const sotto_observation *o)
{
    *out = *o;
    out->first = sotto_calloc(o->node_count, sizeof *o->first);
    out->histogram_of = sotto_calloc(o->node_count, sizeof *o->histogram_of);
    out->channel = sotto_calloc(o->channel_count, sizeof *o->channel);
    out->bins = sotto_calloc(o->bin_count, sizeof *o->bins);
    if (out->first == NULL || out->histogram_of == NULL || out->channel == NULL || out->bins == NULL) {
        sotto_observation_free(out);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for what %zu nodes show", o->node_count);
    }
    memcpy(out->first, o->first, o->node_count * sizeof *o->first);
    memcpy(out->histogram_of, o->histogram_of, o->node_count * sizeof *o->histogram_of);
    memcpy(out->channel, o->channel, o->channel_count * sizeof *o->channel);
    memcpy(out->bins, o->bins, o->bin_count * sizeof *o->bins);
    return SOTTO_OK;
}

static void look(sotto_channel_stats *s, uint64_t *bins, const float *x, size_t count, int typical)
{
    float low = 0.0f, high = 0.0f;
    double square = 0.0, sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        square += (double)x[i] * (double)x[i];
        sum += (double)x[i];
    }
    s->low = low < s->low ? low : s->low;
    s->high = high > s->high ? high : s->high;
    if (!typical) {
        return;
    }
    s->most = fmax(s->most, fmax(-low, high));
    s->square += square / (double)count;
    s->mean += sum / (double)count;
    for (size_t i = 0; bins != NULL && i < count; i++) {
        bins[bin_of(x[i])]++;
    }
}

static void look_at_all(const job *j, const worker *w, sotto_channel_stats *stats, int typical)
{
    for (size_t n = 0; n < j->m->node_count; n++) {
        const sotto_shape s = j->m->nodes[n].shape;
        const size_t area = (size_t)s.h * s.w, bins = j->o->histogram_of[n];
        const float *x = sotto_float_value(w->run, n);
        for (size_t c = 0; c < s.c; c++) {
            look(&stats[j->o->first[n] + c], bins == SIZE_MAX ? NULL : w->bins + bins + c * SOTTO_OBSERVE_BINS, x + c * area, area, typical);
        }
    }
}

static void find_peaks(const sotto_model *m, const worker *w, float *peak)
{
    for (size_t n = 0; n < m->node_count; n++) {
        const float *x = sotto_float_value(w->run, n);
        for (size_t i = 0; i < sotto_shape_words(m->nodes[n].shape); i++) {
            peak[n] = isfinite(x[i]) ? fmaxf(peak[n], fabsf(x[i])) : INFINITY;
            if (!isfinite(x[i])) {
                break;
            }
        }
    }
}

static int shard(void *ctx, size_t index, unsigned thread)
{
    job *j = ctx;
    const worker *w = &j->workers[thread];
    const size_t words = sotto_shape_words(j->m->nodes[0].shape);
    for (size_t i = index * j->count / SHARDS; i < (index + 1) * j->count / SHARDS; i++) {
        const kind of_image = j->kind == NULL ? TYPICAL : (kind)j->kind[i];
        if (of_image == DIVERGING) {
            continue;
        }
        sotto_normalise(j->m, w->image, j->images + i * words);
        const int status = sotto_float_infer(w->run, w->image);
        if (status != SOTTO_OK) {
            return status;
        }
        look_at_all(j, w, j->shards + index * j->o->channel_count, of_image == TYPICAL);
        if (j->peak != NULL && j->kind == NULL) {
            find_peaks(j->m, w, j->peak + i * j->m->node_count);
        }
        if (thread == 0 && j->progress != NULL) {
            j->progress(j->ctx, i + 1, j->count);
        }
    }
    return SOTTO_OK;
}

static void merge(job *j, unsigned workers)
{
    sotto_observation *o = j->o;
    for (size_t i = 0; i < SHARDS * o->channel_count; i++) {
        sotto_channel_stats *a = &o->channel[i % o->channel_count];
        const sotto_channel_stats *b = &j->shards[i];
        a->low = fmin(a->low, b->low);
        a->high = fmax(a->high, b->high);
        /* What is beyond the range of the input is cut off: it holds the strays as well. */
        a->most = i % o->channel_count < j->m->nodes[0].shape.c ? fmax(-a->low, a->high) : fmax(a->most, b->most);
        a->square += b->square / (double)j->typical;
        a->mean += b->mean / (double)j->typical;
        a->bin_unit = 1.0;
    }
    for (unsigned k = 0; k < workers; k++) {
        for (size_t i = 0; i < o->bin_count; i++) {
            o->bins[i] += j->workers[k].bins[i];
        }
    }
}

static int has_polynomials(const sotto_model *m)
{
    for (size_t i = 0; i < m->node_count; i++) {
        for (uint32_t c = 0; m->nodes[i].op == SOTTO_OP_ACT && c < m->nodes[i].shape.c; c++) {
            const unsigned unit = sotto_node_unit(&m->nodes[i], c).kind;
            if (unit == SOTTO_UNIT_SQUARE || unit == SOTTO_UNIT_CUBIC) {
                return 1;
            }
        }
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* By the peaks. kinds, sorted: of each image, scratch. */
static void tell_kinds(job *j, uint8_t *kinds, float *sorted)
{
    const size_t nodes = j->m->node_count;
    for (size_t n = 1; n < nodes; n++) {
        for (size_t i = 0; i < j->count; i++) {
            sorted[i] = j->peak[i * nodes + n];
        }
        qsort(sorted, j->count, sizeof *sorted, compare);
        const double median = (double)sorted[j->count / 2];
        for (size_t i = 0; i < j->count && median > 0.0; i++) {
            const double x = (double)j->peak[i * nodes + n];
            const kind seen = x > SOTTO_OBSERVE_DIVERGE * median ? DIVERGING : x > SOTTO_OBSERVE_STRAY * median ? STRAY : TYPICAL;
            kinds[i] = seen > (kind)kinds[i] ? (uint8_t)seen : kinds[i];
        }
    }
    for (size_t i = 0; i < j->count; i++) {
        j->o->strayed += kinds[i] == STRAY;
        j->o->diverged += kinds[i] == DIVERGING;
    }
    if (j->o->strayed + j->o->diverged == j->count) { /* no image is typical at all nodes: then none is told from the others */
        j->o->strayed = j->o->diverged = 0;
    }
    j->typical -= j->o->strayed + j->o->diverged;
}

/* Looks at all images, and once more without the strays where there are any. */
static int run_shards(job *j, sotto_pool *pool, unsigned workers)
{
    int status = sotto_pool_run(pool, SHARDS, shard, j);
    if (status != SOTTO_OK || j->peak == NULL) {
        return status;
    }
    uint8_t *kinds = sotto_calloc(j->count, 1);
    float *sorted = sotto_calloc(j->count, sizeof *sorted);
    if (kinds == NULL || sorted == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a calibration");
    } else {
        tell_kinds(j, kinds, sorted);
    }
    if (status == SOTTO_OK && j->typical < j->count) {
        memset(j->shards, 0, SHARDS * j->o->channel_count * sizeof *j->shards);
        for (unsigned i = 0; i < workers; i++) {
            memset(j->workers[i].bins, 0, j->o->bin_count * sizeof *j->workers[i].bins);
        }
        j->kind = kinds;
        j->progress = NULL;
        status = sotto_pool_run(pool, SHARDS, shard, j);
    }
    sotto_free(sorted);
    sotto_free(kinds);
    return status;
}

static int worker_new(worker *w, const job *j)
{
    w->bins = sotto_calloc(j->o->bin_count, sizeof *w->bins);
    w->image = sotto_calloc(sotto_shape_words(j->m->nodes[0].shape), sizeof *w->image);
    return w->bins == NULL || w->image == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for a calibration") : sotto_float_run_new(&w->run, j->m);
}

int sotto_observe(sotto_observation *o, const sotto_model *m, const uint8_t *images, size_t count, unsigned threads,
                  void (*progress)(void *ctx, size_t done, size_t count), void *ctx)
{
    memset(o, 0, sizeof *o);
    if (!sotto_model_has_weights(m) || count == 0) {
        return sotto_fail(SOTTO_ERR_ARG, "calibration needs a model with its weights, and at least one image");
    }
    sotto_pool *pool = NULL;
    int status = sotto_pool_new(&pool, threads);
    if (status == SOTTO_OK) {
        status = observation_new(o, m);
    }
    if (status != SOTTO_OK) {
        sotto_pool_free(pool);
        return status;
    }
    const unsigned n = sotto_pool_threads(pool);
    const int watch = has_polynomials(m);
    job j = {.m = m, .images = images, .count = count, .typical = count, .o = o, .progress = progress, .ctx = ctx};
    j.peak = watch ? sotto_calloc(count * m->node_count, sizeof *j.peak) : NULL;
    j.workers = sotto_calloc(n, sizeof *j.workers);
    j.shards = sotto_calloc(SHARDS * o->channel_count, sizeof *j.shards);
    status = j.workers == NULL || j.shards == NULL || (watch && j.peak == NULL) ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for a calibration") : SOTTO_OK;
    for (unsigned i = 0; i < n && status == SOTTO_OK; i++) {
        status = worker_new(&j.workers[i], &j);
    }
    if (status == SOTTO_OK) {
        status = run_shards(&j, pool, n);
    }
    if (status == SOTTO_OK) {
        merge(&j, n);
    } else {
        sotto_observation_free(o);
    }
    for (unsigned i = 0; i < n && j.workers != NULL; i++) {
        sotto_float_run_free(j.workers[i].run);
        sotto_free(j.workers[i].image);
        sotto_free(j.workers[i].bins);
    }
    sotto_free(j.workers);
    sotto_free(j.shards);
    sotto_free(j.peak);
    sotto_pool_free(pool);
    return status;
}
