#include "nn/plain/signs.h"

#include <math.h>
#include <string.h>

#include "lib/bytes.h"
#include "lib/mem.h"
#include "lib/pool.h"
#include "lib/prg.h"
#include "nn/plain/fixed.h"

#define BITS_LEAST 5u
#define BITS_MOST 9u
#define BITS_TRIED 6u
#define IMAGES_MOST 32u
#define WORK 6e10 /* multiplications of all runs together, with two images at least */
#define HALVINGS 100

void sotto_program_draw_shares(const sotto_program *p, uint64_t *const *share, sotto_block seed)
{
    sotto_prg prg;
    sotto_prg_init(&prg, seed);
    for (size_t at = 0; at < p->step_count; at++) {
        const sotto_step_info *s = &p->steps[at];
        switch (s->op) {
        case SOTTO_STEP_ADD:
        case SOTTO_STEP_CONCAT:
        case SOTTO_STEP_PAD:
        case SOTTO_STEP_SUM:
        case SOTTO_STEP_GATHER:
            sotto_step_local(p, at, share);
            break;
        case SOTTO_STEP_INPUT:
        case SOTTO_STEP_LINEAR:
        case SOTTO_STEP_MAX:
        case SOTTO_STEP_UNIT:
        case SOTTO_STEP_POLY:
            sotto_prg_fill(&prg, share[at], s->words * sizeof *share[at]);
            break;
        }
        for (size_t i = 0; i < s->words; i++) {
            share[at][i] = sotto_low_bits(share[at][i], s->l);
        }
    }
}

/* ---- trials ------------------------------------------------------------------------------------------------------------ */

/* A program whose signs all have one precision. */
typedef struct variant {
    sotto_program p;
    sotto_fixed_run *run;
} variant;

typedef struct worker {
    variant exact, tried;
    uint64_t **share;
    const uint8_t *reads; /* per step: read by the node on trial; NULL: all are */
    int64_t *x, *logits[2];
    double rounding, *noise; /* per node: sums of squares over images and logits */
} worker;

typedef struct trial {
    sotto_model *m;
    sotto_program p;
    sotto_program_weights w;
    const uint8_t *images;
    size_t count;
    uint8_t **reads; /* per node with signs */
    worker *workers;
    void (*progress)(void *ctx, size_t done, size_t count);
    void *ctx;
} trial;

static const uint64_t *share_of(void *ctx, size_t step)
{
    const worker *w = ctx;
    return w->reads == NULL || w->reads[step] ? w->share[step] : NULL;
}

/* Logits with shares at what `reads` says. */
static void run_with(worker *w, const variant *v, const uint8_t *reads, int64_t *logits)
{
    const sotto_fixed_options options = {.share = share_of, .ctx = w, .fast = 1};
    w->reads = reads;
    sotto_fixed_infer(v->run, logits, w->x, &options, NULL);
}

static double distance(const worker *w, size_t outputs)
{
    double sum = 0.0;
    for (size_t i = 0; i < outputs; i++) {
        const double d = (double)(w->logits[0][i] - w->logits[1][i]);
        sum += d * d;
    }
    return sum;
}

static int one_image(void *ctx, size_t i, unsigned thread)
{
    const trial *t = ctx;
    worker *w = &t->workers[thread];
    const size_t outputs = t->p.output_words;
    sotto_program_input(&t->p, t->m, w->x, t->images + i * t->p.input_words);
    sotto_program_draw_shares(&t->p, w->share, (sotto_block){{i, 0}});
    sotto_fixed_infer(w->exact.run, w->logits[0], w->x, NULL, NULL);
    run_with(w, &w->exact, NULL, w->logits[1]);
    w->rounding += distance(w, outputs);
    for (size_t n = 0; n < t->m->node_count; n++) {
        if (t->reads[n] != NULL) { /* the same roundings in both */
            run_with(w, &w->exact, t->reads[n], w->logits[0]);
            run_with(w, &w->tried, t->reads[n], w->logits[1]);
            w->noise[n] += distance(w, outputs);
        }
    }
    if (thread == 0 && t->progress != NULL) {
        t->progress(t->ctx, i + 1, t->count);
    }
    return SOTTO_OK;
}

static int variant_new(variant *v, const trial *t, unsigned u)
{
    v->p = t->p;
    v->p.steps = sotto_calloc(t->p.step_count, sizeof *v->p.steps);
    if (v->p.steps == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory to try sign widths");
    }
    memcpy(v->p.steps, t->p.steps, t->p.step_count * sizeof *v->p.steps);
    for (size_t i = 0; i < t->p.step_count; i++) {
        sotto_sign_window *w = &v->p.steps[i].sign_window;
        w->j = w->k > u ? w->k - u : 0;
    }
    return sotto_fixed_run_new(&v->run, &v->p, &t->w);
}

static void variant_free(variant *v)
{
    sotto_fixed_run_free(v->run);
    sotto_free(v->p.steps);
}

static int worker_new(worker *w, const trial *t)
{
    int status = variant_new(&w->exact, t, UINT32_MAX);
    if (status == SOTTO_OK) {
        status = variant_new(&w->tried, t, BITS_TRIED);
    }
    w->share = sotto_calloc(t->p.step_count, sizeof *w->share);
    w->x = sotto_calloc(t->p.input_words, sizeof *w->x);
    w->logits[0] = sotto_calloc(t->p.output_words, sizeof *w->logits[0]);
    w->logits[1] = sotto_calloc(t->p.output_words, sizeof *w->logits[1]);
    w->noise = sotto_calloc(t->m->node_count, sizeof *w->noise);
    int bad = w->share == NULL || w->x == NULL || w->logits[0] == NULL || w->logits[1] == NULL || w->noise == NULL;
    for (size_t i = 0; !bad && i < t->p.step_count; i++) {
        w->share[i] = sotto_calloc(t->p.steps[i].words, sizeof **w->share);
        bad = w->share[i] == NULL;
    }
    return status == SOTTO_OK && bad ? sotto_fail(SOTTO_ERR_MEMORY, "no memory to try sign widths") : status;
}

static void worker_free(worker *w, const trial *t)
{
    for (size_t i = 0; w->share != NULL && i < t->p.step_count; i++) {
        sotto_free(w->share[i]);
    }
    sotto_free(w->share);
    sotto_free(w->x);
    sotto_free(w->logits[0]);
    sotto_free(w->logits[1]);
    sotto_free(w->noise);
    variant_free(&w->exact);
    variant_free(&w->tried);
}

/* ---- the choice -------------------------------------------------------------------------------------------------------- */

/* Bytes of tables in infer; those of OTs in prepare go with u and less. */
static double table_bytes(double decisions, unsigned u)
{
    return decisions * ldexp(1.0, (int)u - 1) / 8.0;
}

/* u of one node at a price of noise in bytes: noise falls and bytes rise by convex laws, so that the best for a price is best for its noise. */
static unsigned cheapest(double decisions, double noise_tried, double price, unsigned most)
{
    unsigned best = most;
    double least = INFINITY;
    for (unsigned u = most < BITS_LEAST ? most : BITS_LEAST; u <= most; u++) {
        const double cost = table_bytes(decisions, u) + price * noise_tried * pow(8.0, (double)BITS_TRIED - u);
        if (cost < least) {
            least = cost;
            best = u;
        }
    }
    return best;
}

static unsigned most_bits(const sotto_node *n)
{
    return n->plan.k < BITS_MOST ? n->plan.k : BITS_MOST;
}

static double choose(const trial *t, const double *noise, const double *decisions, double price)
{
    double sum = 0.0;
    for (size_t n = 0; n < t->m->node_count; n++) {
        if (t->reads[n] != NULL) {
            sotto_node *node = &t->m->nodes[n];
            node->plan.u = cheapest(decisions[n], noise[n], price, most_bits(node));
            sum += noise[n] * pow(8.0, (double)BITS_TRIED - node->plan.u);
        }
    }
    return sum;
}

/* The lowest price that holds the budget; where none does, all have the most bits. */
static void choose_all(const trial *t, const double *noise, const double *decisions, double budget)
{
    double low = 1e-30, high = 1e30;
    for (unsigned i = 0; i < HALVINGS; i++) {
        const double middle = sqrt(low * high);
        if (choose(t, noise, decisions, middle) <= budget) {
            high = middle;
        } else {
            low = middle;
        }
    }
    (void)choose(t, noise, decisions, high);
}

static int run_trial(trial *t, double sign_noise, unsigned threads)
{
    const size_t nodes = t->m->node_count;
    sotto_pool *pool = NULL;
    double *noise = sotto_calloc(nodes, sizeof *noise), *decisions = sotto_calloc(nodes, sizeof *decisions), rounding = 0.0;
    int status = noise == NULL || decisions == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory to try sign widths") : sotto_pool_new(&pool, threads);
    const unsigned n = status == SOTTO_OK ? sotto_pool_threads(pool) : 0;
    t->workers = status == SOTTO_OK ? sotto_calloc(n, sizeof *t->workers) : NULL;
    if (status == SOTTO_OK && t->workers == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory to try sign widths");
    }
    for (unsigned i = 0; i < n && status == SOTTO_OK; i++) {
        status = worker_new(&t->workers[i], t);
    }
    if (status == SOTTO_OK) {
        status = sotto_pool_run(pool, t->count, one_image, t);
    }
    for (unsigned i = 0; i < n && status == SOTTO_OK; i++) {
        rounding += t->workers[i].rounding;
        for (size_t k = 0; k < nodes; k++) {
            noise[k] += t->workers[i].noise[k];
        }
    }
    for (size_t i = 0; i < t->p.step_count && status == SOTTO_OK; i++) {
        decisions[t->p.steps[i].node] += t->p.steps[i].sign ? (double)t->p.steps[i].decisions : 0.0;
    }
    if (status == SOTTO_OK) {
        choose_all(t, noise, decisions, sign_noise * rounding);
    }
    for (unsigned i = 0; t->workers != NULL && i < n; i++) {
        worker_free(&t->workers[i], t);
    }
    sotto_free(t->workers);
    sotto_free(noise);
    sotto_free(decisions);
    sotto_pool_free(pool);
    return status;
}

/* Images that fit the work; sums over which threads draw differently are of squares of integers, exact in doubles, so that the choice does not depend on threads. */
static size_t images_for(const sotto_model *m, size_t count, size_t nodes)
{
    double macs = 1.0;
    for (size_t i = 0; i < m->node_count; i++) {
        macs += (double)sotto_node_macs(m, &m->nodes[i]);
    }
    const double fit = fmax(2.0, fmin(IMAGES_MOST, floor(WORK / (macs * (2.0 * (double)nodes + 2.0)))));
    return (double)count < fit ? count : (size_t)fit;
}

int sotto_plan_signs(sotto_model *m, const sotto_calibration *options, const uint8_t *images, size_t count,
                     void (*progress)(void *ctx, size_t done, size_t count), void *ctx)
{
    trial t = {.m = m, .images = images, .progress = progress, .ctx = ctx};
    size_t nodes = 0;
    int status = options->sign_bits == 0 ? sotto_program_new(&t.p, m) : SOTTO_ERR_PARAMS;
    if (status != SOTTO_OK) {
        return status == SOTTO_ERR_MEMORY ? status : SOTTO_OK;
    }
    status = sotto_program_weights_new(&t.w, &t.p, m);
    if (status != SOTTO_OK) {
        sotto_program_free(&t.p);
        return status == SOTTO_ERR_MEMORY ? status : SOTTO_OK;
    }
    t.reads = sotto_calloc(m->node_count, sizeof *t.reads);
    int bad = t.reads == NULL;
    for (size_t i = 0; !bad && i < t.p.step_count; i++) {
        const sotto_step_info *s = &t.p.steps[i];
        if (s->sign) {
            nodes += t.reads[s->node] == NULL;
            t.reads[s->node] = t.reads[s->node] != NULL ? t.reads[s->node] : sotto_calloc(t.p.step_count, 1);
            bad = t.reads[s->node] == NULL;
            if (!bad) {
                t.reads[s->node][s->in[0]] = 1;
            }
        }
    }
    if (bad) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory to try sign widths");
    } else if (nodes > 0) {
        t.count = images_for(m, count, nodes);
        status = run_trial(&t, options->sign_noise, options->threads);
    }
    for (size_t i = 0; t.reads != NULL && i < m->node_count; i++) {
        sotto_free(t.reads[i]);
    }
    sotto_free(t.reads);
    sotto_program_weights_free(&t.w);
    sotto_program_free(&t.p);
    return status;
}
