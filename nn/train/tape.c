#include "nn/train/tape.h"

#include <cblas.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/train/tape_internal.h"

/* ---- one step ------------------------------------------------------------------------------------------------------------------------ */

/* A level's steps over the images of each shard. */
typedef struct level_run {
    sotto_tape *t;
    const level *l;
    int direction; /* 0 forward, 1 backward */
    int odd, training;
    size_t count;  /* images of the batch */
} level_run;

static float *address(const sotto_tape *t, const place *p, size_t shard, size_t image)
{
    switch (p->kind) {
    case PLACE_BATCH:
        return t->memory + p->offset * t->batch + image * p->stride;
    case PLACE_SCRATCH:
        return t->lanes[shard].scratch + p->offset;
    default:
        return NULL;
    }
}

/* The gradient of input k, or what it is made of, for `count` images from `image` on. */
static void deliver(const job *j, unsigned k, size_t image)
{
    const sotto_tape *t = j->t;
    const vertex *v = j->v;
    if (v->share[k] != SHARE_FIRST && v->share[k] != SHARE_MORE) {
        return;
    }
    const vertex *in = &t->vertices[v->in[k]];
    const int passes = sotto_tape_passes(v, k);
    for (size_t i = image; i < image + j->count && (passes || v->share[k] == SHARE_MORE); i++) {
        const float *from = address(t, passes ? &v->grad : &v->temp[k], j->shard, i);
        float *to = address(t, &in->grad, j->shard, i);
        if (v->share[k] == SHARE_FIRST) {
            memcpy(to, from, in->words * sizeof *to);
        } else {
            t->loops->accumulate(to, from, 1.0f, in->words);
        }
    }
}

static void run_step(const level_run *r, const step *s, size_t shard, size_t image, size_t count)
{
    sotto_tape *t = r->t;
    vertex *v = &t->vertices[s->vertex];
    job j = {.t = t, .v = v, .n = v->node == NO_VERTEX ? NULL : &t->m->nodes[v->node], .shard = shard, .count = count, .work = t->lanes[shard].work};
    j.y = address(t, &v->value[r->direction], shard, image);
    if (v->op == SOTTO_OP_INPUT) {
        j.x[0] = t->input + image * v->words;
    }
    for (unsigned k = 0; k < 2 && v->in[k] != NO_VERTEX; k++) {
        const vertex *in = &t->vertices[v->in[k]];
        j.x[k] = address(t, &in->value[r->direction], shard, image);
        if (r->direction == 1 && (v->share[k] == SHARE_FIRST || v->share[k] == SHARE_MORE) && !sotto_tape_passes(v, k)) {
            j.dx[k] = address(t, v->share[k] == SHARE_FIRST ? &in->grad : &v->temp[k], shard, image);
        }
    }
    if (v->op == SOTTO_OP_DENSE) {
        j.strides[0] = t->vertices[v->in[0]].value[r->direction].stride;
        j.strides[1] = t->vertices[v->in[0]].stride;
    }
    if (r->direction == 1) {
        j.dy = address(t, &v->grad, shard, image);
    }
    switch (s->kind) {
    case STEP_VALUE:
        sotto_tape_value(&j);
        break;
    case STEP_MOMENTS:
        if (r->training) {
            sotto_tape_moments(&j);
        }
        break;
    case STEP_GRADIENT:
        sotto_tape_gradients(&j);
        if (v->op != SOTTO_OP_BATCHNORM) {
            deliver(&j, 0, image);
        }
        deliver(&j, 1, image);
        break;
    case STEP_NORM:
        sotto_tape_norm_input(&j);
        deliver(&j, 0, image);
        break;
    }
}

static int run_shard(void *ctx, size_t shard, unsigned thread)
{
    const level_run *r = ctx;
    const size_t first = r->count * shard / r->t->shards, last = r->count * (shard + 1) / r->t->shards;
    const size_t begin = r->l->first[r->direction], end = r->l->last[r->direction];
    (void)thread;
    for (size_t image = first; image < last && !r->odd; image++) {
        for (size_t i = begin; i < end; i++) {
            run_step(r, &r->t->steps[i], shard, image, 1);
        }
    }
    for (size_t i = begin; i < end && r->odd && first < last; i++) {
        const step *s = &r->t->steps[i];
        const int whole = r->t->vertices[s->vertex].op == SOTTO_OP_DENSE;
        for (size_t image = first; image < last; image += whole ? last - first : 1) {
            run_step(r, s, shard, image, whole ? last - first : 1);
        }
    }
    return SOTTO_OK;
}

static int run_level(sotto_tape *t, size_t l, int direction, int training, size_t count)
{
    level_run r = {t, &t->levels[l], direction, l % 2 == 1, training, count};
    return r.l->first[direction] == r.l->last[direction] ? SOTTO_OK : sotto_pool_run(t->pool, t->shards, run_shard, &r);
}

/* ---- passes -------------------------------------------------------------------------------------------------------------------------- */

static int prepare(void *ctx, size_t i, unsigned thread)
{
    sotto_tape *t = ctx;
    (void)thread;
    sotto_tape_vertex_prepare(t, &t->vertices[i]);
    return SOTTO_OK;
}

/* Of shard i of all gradients. */
static int clear_shard(void *ctx, size_t shard, unsigned thread)
{
    const sotto_tape *t = ctx;
    (void)thread;
    for (size_t i = 0; i < t->vertex_count; i++) {
        for (unsigned w = 0; w < 2; w++) {
            const vertex *v = &t->vertices[i];
            if (v->shard[w] != NULL) {
                memset(v->shard[w] + shard * v->shard_words[w], 0, v->shard_words[w] * sizeof(float));
            }
        }
    }
    return SOTTO_OK;
}

static int sum_shards(void *ctx, size_t i, unsigned thread)
{
    sotto_tape *t = ctx;
    (void)thread;
    sotto_tape_sum_shards(t, &t->vertices[i]);
    return SOTTO_OK;
}

float *sotto_tape_input(sotto_tape *t)
{
    return t->input;
}

int sotto_tape_forward(sotto_tape *t, size_t count, int training, const float **logits)
{
    const vertex *out = &t->vertices[t->vertex_count - 1];
    int status = sotto_pool_run(t->pool, t->vertex_count, prepare, t);
    for (size_t l = 0; l < t->level_count && status == SOTTO_OK; l++) {
        for (size_t i = 0; i < t->vertex_count; i++) {
            vertex *v = &t->vertices[i];
            if (v->op == SOTTO_OP_BATCHNORM && v->level == l) {
                sotto_tape_norm_statistics(t, v, training, count);
            }
        }
        status = run_level(t, l, 0, training, count);
    }
    for (size_t i = 0; i < count && status == SOTTO_OK; i++) {
        memcpy(t->logits + i * out->words, address(t, &out->value[0], 0, i), out->words * sizeof *t->logits);
    }
    *logits = t->logits;
    return status;
}

int sotto_tape_backward(sotto_tape *t, size_t count, const float *logits_grad)
{
    const vertex *out = &t->vertices[t->vertex_count - 1];
    int status = sotto_pool_run(t->pool, t->shards, clear_shard, t);
    for (size_t i = 0; i < count; i++) {
        memcpy(address(t, &out->grad, 0, i), logits_grad + i * out->words, out->words * sizeof *logits_grad);
    }
    for (size_t l = t->level_count; l-- > 0 && status == SOTTO_OK;) {
        status = run_level(t, l, 1, 1, count);
        for (size_t i = 0; i < t->vertex_count && status == SOTTO_OK; i++) {
            vertex *v = &t->vertices[i];
            if (v->op == SOTTO_OP_BATCHNORM && v->level == l && v->wants) {
                sotto_tape_norm_gradients(t, v, count);
            }
        }
    }
    return status == SOTTO_OK ? sotto_pool_run(t->pool, t->vertex_count, sum_shards, t) : status;
}

const float *sotto_tape_gradient(const sotto_tape *t, size_t node, unsigned which)
{
    const uint32_t v = t->vertex_of[node];
    return v == NO_VERTEX || t->vertices[v].node != node || which > 1 ? NULL : t->vertices[v].gradient[which];
}

/* ---- space --------------------------------------------------------------------------------------------------------------------------- */

static const sotto_tape_loops *choose_loops(void)
{
#if defined(__x86_64__)
    const sotto_tier tier = sotto_cpu_tier();
    if (tier >= SOTTO_TIER_AVX512) {
        return &sotto_tape_loops_avx512;
    }
    if (tier >= SOTTO_TIER_AVX2) {
        return &sotto_tape_loops_avx2;
    }
#endif
    return &sotto_tape_loops_ref;
}

static int memory_new(sotto_tape *t)
{
    const size_t words = sotto_shape_words(t->m->nodes[0].shape), outputs = sotto_shape_words(t->m->nodes[t->m->node_count - 1].shape);
    t->input = sotto_calloc(t->batch * words, sizeof *t->input);
    t->logits = sotto_calloc(t->batch * outputs, sizeof *t->logits);
    t->memory = sotto_calloc(t->batch * t->memory_words, sizeof *t->memory);
    t->lanes = sotto_calloc(t->shards, sizeof *t->lanes);
    int ok = t->input != NULL && t->logits != NULL && t->memory != NULL && t->lanes != NULL;
    for (size_t i = 0; i < t->shards && ok; i++) {
        t->lanes[i].scratch = sotto_calloc(t->scratch_words, sizeof(float));
        t->lanes[i].work = sotto_calloc(t->work_words, sizeof(float));
        ok = t->lanes[i].scratch != NULL && t->lanes[i].work != NULL;
    }
    return ok ? SOTTO_OK : sotto_fail(SOTTO_ERR_MEMORY, "no memory for batches of %zu images (%zu bytes each); use smaller ones", t->batch,
                                      t->memory_words * sizeof(float));
}

int sotto_tape_new(sotto_tape **out, sotto_model *m, size_t batch, int backward, sotto_pool *pool)
{
    *out = NULL;
    sotto_tape *t = sotto_calloc(1, sizeof *t);
    if (t == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for training");
    }
    /* Shards run one per thread; threads inside OpenBLAS would only compete with them. */
    openblas_set_num_threads(1);
    t->m = m;
    t->batch = batch;
    t->backward = backward;
    t->pool = pool;
    t->shards = pool == NULL ? 1 : sotto_pool_threads(pool);
    t->loops = choose_loops();
    int status = sotto_tape_plan(t);
    for (size_t i = 0; i < t->vertex_count && status == SOTTO_OK; i++) {
        status = sotto_tape_vertex_new(t, &t->vertices[i]);
    }
    if (status == SOTTO_OK) {
        status = memory_new(t);
    }
    if (status != SOTTO_OK) {
        sotto_tape_free(t);
        return status;
    }
    *out = t;
    return SOTTO_OK;
}

void sotto_tape_free(sotto_tape *t)
{
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < t->vertex_count; i++) {
        sotto_tape_vertex_free(&t->vertices[i]);
    }
    for (size_t i = 0; t->lanes != NULL && i < t->shards; i++) {
        sotto_free(t->lanes[i].scratch);
        sotto_free(t->lanes[i].work);
    }
    sotto_free(t->lanes);
    sotto_free(t->vertices);
    sotto_free(t->vertex_of);
    sotto_free(t->levels);
    sotto_free(t->steps);
    sotto_free(t->input);
    sotto_free(t->logits);
    sotto_free(t->memory);
    sotto_free(t);
}
