#include "apps/evaluate.h"

#include <math.h>
#include <string.h>

#include "apps/cli.h"
#include "lib/mem.h"
#include "lib/pool.h"
#include "nn/plain/fixed.h"
#include "nn/plain/signs.h"
#include "nn/train/train.h"

typedef struct worker {
    sotto_fixed_run *run;
    int64_t *x, *logits;
    uint64_t **share; /* per step, where shares are drawn */
    uint64_t wraps;
    size_t right, shares_right, agree;
} worker;

typedef struct job {
    const sotto_model *m;
    const sotto_dataset *set;
    const uint64_t *seed; /* of the shares; NULL: plain runs alone */
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

static const uint64_t *drawn(void *ctx, size_t step)
{
    return ((worker *)ctx)->share[step];
}

static void one_image(const job *j, worker *w, size_t i)
{
    const sotto_program *p = &j->program;
    const uint32_t label = j->set->labels[i];
    sotto_program_input(p, j->m, w->x, j->set->images + i * p->input_words);
    sotto_fixed_infer(w->run, w->logits, w->x, NULL, &w->wraps);
    const size_t plain = sotto_argmax_int(w->logits, p->output_words);
    w->right += plain == label;
    if (j->seed != NULL) {
        const sotto_fixed_options hook = {.share = drawn, .ctx = w, .fast = 1};
        sotto_program_draw_shares(p, w->share, (sotto_block){{*j->seed, i}});
        sotto_fixed_infer(w->run, w->logits, w->x, &hook, NULL);
        const size_t shared = sotto_argmax_int(w->logits, p->output_words);
        w->shares_right += shared == label;
        w->agree += shared == plain;
    }
}

static int some_images(void *ctx, size_t item, unsigned thread)
{
    job *j = ctx;
    const size_t first = item * j->per_item;
    for (size_t i = first; i < first + j->per_item && i < j->total; i++) {
        one_image(j, &j->workers[thread], i);
    }
    if (thread == 0) {
        cli_progress(j->seed != NULL ? "fixed point with shares, images" : "fixed point, images", first, j->total);
    }
    return SOTTO_OK;
}

static int worker_new(worker *w, const job *j)
{
    const sotto_program *p = &j->program;
    const int status = sotto_fixed_run_new(&w->run, p, &j->weights);
    if (status != SOTTO_OK) {
        return status;
    }
    w->x = sotto_calloc(p->input_words, sizeof *w->x);
    w->logits = sotto_calloc(p->output_words, sizeof *w->logits);
    int bad = w->x == NULL || w->logits == NULL;
    if (j->seed != NULL) {
        w->share = sotto_calloc(p->step_count, sizeof *w->share);
        bad |= w->share == NULL;
        for (size_t i = 0; !bad && i < p->step_count; i++) {
            w->share[i] = sotto_calloc(p->steps[i].words, sizeof **w->share);
            bad = w->share[i] == NULL;
        }
    }
    return bad ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for fixed-point inference") : SOTTO_OK;
}

static void worker_free(worker *w, const job *j)
{
    for (size_t i = 0; w->share != NULL && i < j->program.step_count; i++) {
        sotto_free(w->share[i]);
    }
    sotto_free(w->share);
    sotto_fixed_run_free(w->run);
    sotto_free(w->x);
    sotto_free(w->logits);
}

static int run(shares_result *r, job *j, unsigned threads)
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
        status = worker_new(&j->workers[i], j);
    }
    const double start = cli_seconds();
    if (status == SOTTO_OK) {
        status = sotto_pool_run(pool, (j->total + j->per_item - 1) / j->per_item, some_images, j);
        cli_progress_end();
    }
    size_t right = 0, shares_right = 0, agree = 0;
    *r = (shares_result){.plain = {.images = j->total, .seconds = cli_seconds() - start}};
    for (unsigned i = 0; i < n && j->workers != NULL; i++) {
        const worker *w = &j->workers[i];
        right += w->right;
        shares_right += w->shares_right;
        agree += w->agree;
        r->plain.wraps += w->wraps;
        worker_free(&j->workers[i], j);
    }
    const double images = j->total > 0 ? (double)j->total : 1.0;
    r->plain.accuracy = (double)right / images;
    r->accuracy = (double)shares_right / images;
    r->agreement = (double)agree / images;
    sotto_free(j->workers);
    sotto_pool_free(pool);
    return status;
}

static int evaluate(shares_result *r, const sotto_model *m, const sotto_dataset *set, size_t count, const uint64_t *seed, unsigned threads)
{
    job j = {.m = m, .set = set, .seed = seed, .total = count == 0 || count > set->count ? set->count : count, .per_item = 16};
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

int evaluate_fixed(fixed_result *r, const sotto_model *m, const sotto_dataset *set, size_t count, unsigned threads)
{
    shares_result both;
    const int status = evaluate(&both, m, set, count, NULL, threads);
    *r = both.plain;
    return status;
}

int evaluate_shares(shares_result *r, const sotto_model *m, const sotto_dataset *set, size_t count, uint64_t seed, unsigned threads)
{
    return evaluate(r, m, set, count, &seed, threads);
}

#define FLOAT_IMAGES ((size_t)2048) /* between two reports; each time memory is laid out anew */

int evaluate_float(double *accuracy, const sotto_model *m, const sotto_dataset *set, size_t count, unsigned threads)
{
    const size_t words = sotto_shape_words(set->shape), total = count == 0 || count > set->count ? set->count : count;
    double right = 0.0, share = 0.0;
    int status = SOTTO_OK;
    for (size_t i = 0; i < total && status == SOTTO_OK; i += FLOAT_IMAGES) {
        sotto_dataset some = *set;
        some.count = total - i < FLOAT_IMAGES ? total - i : FLOAT_IMAGES;
        some.images += i * words;
        some.labels += i;
        cli_progress("float, images", i, total);
        status = sotto_evaluate_float(&share, m, &some, 0, threads);
        right += rint(share * (double)some.count);
    }
    cli_progress_end();
    if (status == SOTTO_OK) {
        *accuracy = total > 0 ? right / (double)total : 0.0;
    }
    return status;
}
