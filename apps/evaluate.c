#include "apps/evaluate.h"

#include <string.h>

#include "apps/cli.h"
#include "lib/mem.h"
#include "lib/pool.h"
#include "nn/plain/fixed.h"

typedef struct worker {
    sotto_fixed_run *run;
    int64_t *x, *logits;
    uint64_t wraps;
    size_t right;
} worker;

typedef struct job {
    const sotto_model *m;
    const sotto_dataset *set;
    sotto_program program;
    sotto_program_weights weights;
    worker *workers;
    size_t total, per_item;
} job;

int check_images(const sotto_model *m, const sotto_dataset *set)
{
    const sotto_shape a = m->nodes[0].shape, b = set->shape;
    if (a.c != b.c || a.h != b.h || a.w != b.w) {
        return sotto_fail(SOTTO_ERR_MISMATCH, "images of %ux%ux%u, but the model %s takes %ux%ux%u; give the data set that it is made for (--data)",
                          (unsigned)b.c, (unsigned)b.h, (unsigned)b.w, m->name, (unsigned)a.c, (unsigned)a.h, (unsigned)a.w);
    }
    const size_t outputs = sotto_shape_words(m->nodes[m->node_count - 1].shape);
    if (set->classes > outputs) {
        return sotto_fail(SOTTO_ERR_MISMATCH, "labels up to %zu, but the model %s has %zu outputs; give the data set that it is made for (--data)",
                          set->classes - 1, m->name, outputs);
    }
    return SOTTO_OK;
}

static int some_images(void *ctx, size_t item, unsigned thread)
{
    job *j = ctx;
    worker *w = &j->workers[thread];
    const size_t words = j->program.input_words, first = item * j->per_item;
    for (size_t i = first; i < first + j->per_item && i < j->total; i++) {
        sotto_program_input(&j->program, j->m, w->x, j->set->images + i * words);
        sotto_fixed_infer(w->run, w->logits, w->x, NULL, &w->wraps);
        w->right += sotto_argmax_int(w->logits, j->program.output_words) == j->set->labels[i];
    }
    if (thread == 0) {
        cli_progress("fixed point, images", first, j->total);
    }
    return SOTTO_OK;
}

static int run(fixed_result *r, job *j, unsigned threads)
{
    sotto_pool *pool = NULL;
    int status = sotto_pool_new(&pool, threads);
    if (status != SOTTO_OK) {
        return status;
    }
    const unsigned n = sotto_pool_threads(pool);
    j->workers = sotto_calloc(n, sizeof *j->workers);
    status = j->workers == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for fixed-point inference") : SOTTO_OK;
    for (unsigned i = 0; i < n && status == SOTTO_OK; i++) {
        worker *w = &j->workers[i];
        status = sotto_fixed_run_new(&w->run, &j->program, &j->weights);
        w->x = sotto_calloc(j->program.input_words, sizeof *w->x);
        w->logits = sotto_calloc(j->program.output_words, sizeof *w->logits);
        if (status == SOTTO_OK && (w->x == NULL || w->logits == NULL)) {
            status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for fixed-point inference");
        }
    }
    const double start = cli_seconds();
    if (status == SOTTO_OK) {
        status = sotto_pool_run(pool, (j->total + j->per_item - 1) / j->per_item, some_images, j);
        cli_progress_end();
    }
    size_t right = 0;
    *r = (fixed_result){.images = j->total, .seconds = cli_seconds() - start};
    for (unsigned i = 0; i < n && j->workers != NULL; i++) {
        right += j->workers[i].right;
        r->wraps += j->workers[i].wraps;
        sotto_fixed_run_free(j->workers[i].run);
        sotto_free(j->workers[i].x);
        sotto_free(j->workers[i].logits);
    }
    r->accuracy = j->total > 0 ? (double)right / (double)j->total : 0.0;
    sotto_free(j->workers);
    sotto_pool_free(pool);
    return status;
}

int evaluate_fixed(fixed_result *r, const sotto_model *m, const sotto_dataset *set, size_t count, unsigned threads)
{
    job j = {.m = m, .set = set, .total = count == 0 || count > set->count ? set->count : count, .per_item = 16};
    memset(r, 0, sizeof *r);
    int status = check_images(m, set);
    if (status == SOTTO_OK) {
        status = sotto_program_new(&j.program, m);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    status = sotto_program_weights_new(&j.weights, &j.program, m);
    if (status == SOTTO_OK) {
        status = run(r, &j, threads);
        sotto_program_weights_free(&j.weights);
    }
    sotto_program_free(&j.program);
    return status;
}
