#include "nn/train/optimise.h"

#include <math.h>

#include "lib/mem.h"

#define ADAM_EPSILON 1e-8

/* Factors of one step for all floats of a tensor. */
typedef struct factors {
    float rate, decay, scale; /* scale: of the gradient, by clipping */
    float mu, beta2, first, second; /* first, second: Adam's corrections 1 / (1 - beta^t) */
} factors;

static void sgd(const factors *f, int nesterov, float *w, const float *g, float *v, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const float d = f->scale * g[i] + f->decay * w[i], velocity = f->mu * v[i] + d;
        v[i] = velocity;
        w[i] -= f->rate * (nesterov ? d + f->mu * velocity : velocity);
    }
}

static void adam(const factors *f, float *w, const float *g, float *m, float *v, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const float d = f->scale * g[i];
        m[i] = f->mu * m[i] + (1.0f - f->mu) * d;
        v[i] = f->beta2 * v[i] + (1.0f - f->beta2) * d * d;
        w[i] -= f->rate * (f->first * m[i] / (sqrtf(f->second * v[i]) + (float)ADAM_EPSILON) + f->decay * w[i]);
    }
}

/* Calls for each trained tensor with its place in the flat arrays. */
static void each(const sotto_optimiser *o, void (*fn)(void *ctx, sotto_node *n, unsigned which, const float *g, size_t at, size_t count), void *ctx)
{
    size_t at = 0;
    for (size_t i = 0; i < o->m->node_count; i++) {
        for (unsigned w = 0; w < SOTTO_TENSORS_MAX; w++) {
            const float *g = sotto_tape_gradient(o->tape, i, w);
            if (g != NULL) {
                const size_t count = sotto_tensor_count(o->m, &o->m->nodes[i], w);
                fn(ctx, &o->m->nodes[i], w, g, at, count);
                at += count;
            }
        }
    }
}

static void add_count(void *ctx, sotto_node *n, unsigned which, const float *g, size_t at, size_t count)
{
    (void)n;
    (void)which;
    (void)g;
    (void)at;
    *(size_t *)ctx += count;
}

static void add_squares(void *ctx, sotto_node *n, unsigned which, const float *g, size_t at, size_t count)
{
    (void)n;
    (void)which;
    (void)at;
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)g[i] * (double)g[i];
    }
    *(double *)ctx += sum;
}

typedef struct step {
    const sotto_optimiser *o;
    factors f;
} step;

static void step_tensor(void *ctx, sotto_node *n, unsigned which, const float *g, size_t at, size_t count)
{
    const step *s = ctx;
    factors f = s->f;
    f.decay = which == 0 && sotto_op_is_linear(n->op) ? f.decay : 0.0f;
    if (s->o->o.kind == SOTTO_OPTIMISER_ADAM) {
        adam(&f, n->tensor[which], g, s->o->first + at, s->o->second + at, count);
    } else {
        sgd(&f, s->o->o.nesterov, n->tensor[which], g, s->o->first + at, count);
    }
}

int sotto_optimiser_new(sotto_optimiser *out, sotto_model *m, const sotto_tape *tape, const sotto_optimiser_options *o)
{
    *out = (sotto_optimiser){.m = m, .tape = tape, .o = *o};
    each(out, add_count, &out->count);
    out->first = sotto_calloc(out->count, sizeof *out->first);
    if (o->kind == SOTTO_OPTIMISER_ADAM) {
        out->second = sotto_calloc(out->count, sizeof *out->second);
    }
    if (out->first == NULL || (o->kind == SOTTO_OPTIMISER_ADAM && out->second == NULL)) {
        sotto_optimiser_free(out);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the state of the optimiser");
    }
    return SOTTO_OK;
}

void sotto_optimiser_free(sotto_optimiser *o)
{
    sotto_free(o->first);
    sotto_free(o->second);
    *o = (sotto_optimiser){0};
}

double sotto_optimiser_step(sotto_optimiser *o, double rate)
{
    const sotto_optimiser_options *p = &o->o;
    double squares = 0.0;
    step s = {.o = o, .f = {.rate = (float)rate, .decay = (float)p->weight_decay, .scale = 1.0f, .mu = (float)p->momentum, .beta2 = (float)p->beta2}};
    o->steps++;
    if (p->clip > 0.0) {
        each(o, add_squares, &squares);
        s.f.scale = squares > p->clip * p->clip ? (float)(p->clip / sqrt(squares)) : 1.0f;
    }
    if (p->kind == SOTTO_OPTIMISER_ADAM) {
        s.f.first = (float)(1.0 / (1.0 - pow(p->momentum, (double)o->steps)));
        s.f.second = (float)(1.0 / (1.0 - pow(p->beta2, (double)o->steps)));
    }
    each(o, step_tensor, &s);
    return sqrt(squares);
}

double sotto_schedule_rate(const sotto_schedule *s, double epochs, double at, double length)
{
    double rate = s->rate;
    if (s->kind == SOTTO_SCHEDULE_COSINE && at > s->warmup) {
        rate *= 0.5 * (1.0 + cos(3.141592653589793 * (at - s->warmup) / (epochs - s->warmup)));
    }
    for (size_t i = 0; s->kind == SOTTO_SCHEDULE_STEP && i < SOTTO_SCHEDULE_STEPS && s->steps[i] > 0 && at >= s->steps[i]; i++) {
        rate *= s->factor;
    }
    return at + length < s->warmup ? rate * (at + length) / s->warmup : rate;
}
