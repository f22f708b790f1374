#include "nn/plain/reach_internal.h"

#include <math.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/model/deploy.h"
#include "nn/plain/program.h"

/* Integers in doubles: exact to 2^53, beyond which k has long run out. */
typedef struct interval {
    double low, high;
} interval;

typedef struct reach {
    sotto_model *m;
    const sotto_program *p;
    const sotto_program_weights *w;
    interval **value; /* per step and channel */
    sotto_calibration_report *report;
} reach;

static interval join(interval a, interval b)
{
    return (interval){fmin(a.low, b.low), fmax(a.high, b.high)};
}

static void input(const reach *r)
{
    const sotto_step_info *s = &r->p->steps[0];
    const double bound = ldexp(1.0, (int)r->m->nodes[0].plan.bits - 1);
    for (uint32_t c = 0; c < s->shape.c; c++) {
        const double black = nearbyint(-(double)r->m->mean[c] / r->m->std[c] / s->scale);
        const double white = nearbyint((1.0 - (double)r->m->mean[c]) / r->m->std[c] / s->scale);
        r->value[0][c] = (interval){fmax(black, -bound), fmin(white, bound - 1.0)};
    }
}

/* What channel c of a step reads; a flattened image has a channel for each pixel there. */
static interval from_channel(const reach *r, const sotto_step_info *s, unsigned k, uint32_t c)
{
    const sotto_shape from = r->p->steps[s->in[k]].shape;
    return r->value[s->in[k]][s->shape.c == from.c ? c : c / (from.h * from.w)];
}

static void linear(const reach *r, size_t at)
{
    const sotto_step_info *s = &r->p->steps[at], *from = &r->p->steps[s->in[0]];
    const sotto_linear_shape *d = &s->linear;
    const size_t per = d->in_c / d->groups, taps = (size_t)d->kernel_h * d->kernel_w, filters = d->out_c / d->groups;
    const size_t area = d->in_c == from->shape.c ? 1 : (size_t)from->shape.h * from->shape.w; /* a dense step over an image */
    const int padded = d->pad_top + d->pad_left + d->pad_bottom + d->pad_right > 0;
    const int32_t *w = r->w->weights[at];
    for (size_t o = 0; o < d->out_c; o++) {
        interval sum = {(double)r->w->bias[at][o], (double)r->w->bias[at][o]};
        for (size_t c = 0; c < per; c++) {
            const interval x = r->value[s->in[0]][(o / filters * per + c) / area];
            for (size_t t = 0; t < taps; t++, w++) {
                const double a = *w * x.low, b = *w * x.high;
                sum.low += fmin(padded ? 0.0 : INFINITY, fmin(a, b));
                sum.high += fmax(padded ? 0.0 : -INFINITY, fmax(a, b));
            }
        }
        r->value[at][o] = sum;
    }
}

/* The smallest k with room for x, half a step at both ends where signs of u bits are taken (else u = 0) and the carry of a truncation. */
static unsigned bits_for(interval x, unsigned u, unsigned f)
{
    for (unsigned k = 2; k < 50; k++) {
        const double end = ldexp(1.0, (int)k - 1), half = u > 0 && k > u ? ldexp(1.0, (int)(k - u) - 1) : 0.0, carry = ldexp(1.0, (int)f) - 1.0;
        if (k > f + 1 && x.low >= half - end && x.high < end - fmax(half, carry)) {
            return k;
        }
    }
    return 64;
}

/* Lowers k of a unit, max or output to `need`; returns whether it holds whatever the image. */
static int tighten(const reach *r, size_t node, unsigned need)
{
    sotto_node *n = &r->m->nodes[node];
    const int never = need <= n->plan.k;
    if (need < n->plan.k) {
        n->plan.k = need;
        n->plan.u = n->plan.u < need ? n->plan.u : need;
        for (uint32_t c = 0; n->windows != NULL && c < n->shape.c; c++) {
            n->windows[c] = (uint8_t)(n->windows[c] < need ? n->windows[c] : need);
        }
    }
    return never;
}

/* The same for the window of a channel. */
static int tighten_window(const reach *r, size_t node, uint32_t c, interval x)
{
    sotto_node *n = &r->m->nodes[node];
    if (n->windows == NULL) {
        return 1;
    }
    const unsigned need = bits_for(x, n->plan.u, 0);
    const int never = need <= n->windows[c];
    n->windows[c] = (uint8_t)(never ? need : n->windows[c]);
    return never;
}

static interval clamp(interval x, unsigned k)
{
    const double end = ldexp(1.0, (int)k - 1);
    return (interval){fmax(-end, fmin(end - 1.0, x.low)), fmin(end - 1.0, fmax(-end, x.high))};
}

static void unit(const reach *r, size_t at)
{
    const sotto_step_info *s = &r->p->steps[at];
    const sotto_node *n = &r->m->nodes[s->node];
    interval all = {0.0, 0.0};
    uint32_t held = 0; /* channels that cannot leave their windows */
    for (uint32_t c = 0; c < s->shape.c; c++) {
        interval x = from_channel(r, s, 0, c);
        if (s->clip) {
            const double most = (double)r->w->bound[at][c]; /* has to fit itself */
            x = join(x, (interval){x.low - most, fmax(x.high - most, most)});
        }
        all = join(all, x);
        held += !s->sign || tighten_window(r, s->node, c, x);
    }
    const int own = s->k == n->plan.k && r->p->steps[s->in[0]].node != s->node; /* not what follows a polynomial */
    const int never = own ? tighten(r, s->node, bits_for(all, s->sign ? n->plan.u : 0, s->truncation.f)) : bits_for(all, 0, s->truncation.f) <= s->k;
    r->report->units += s->units;
    r->report->never += never ? s->units / s->shape.c * held : 0;
    for (uint32_t c = 0; c < s->shape.c; c++) {
        const interval y = clamp(from_channel(r, s, 0, c), own ? n->plan.k : s->k);
        const sotto_unit kind = sotto_node_unit(n, c);
        const int passes = (kind.kind != SOTTO_UNIT_RELU && kind.kind != SOTTO_UNIT_ZERO) || kind.block_h > 1 || kind.block_w > 1 || n->mask != NULL;
        interval *out = &r->value[at][c];
        /* A result may be rounded up by one; a sign within half a step may be wrong. */
        *out = (interval){floor(ldexp(y.low, -(int)s->truncation.f)), ceil(ldexp(y.high, -(int)s->truncation.f))};
        if (!passes) {
            const double half = s->sign_window.j > 0 ? ldexp(1.0, (int)s->sign_window.j - (int)s->truncation.f) : 0.0; /* of the widest window */
            out->low = kind.kind == SOTTO_UNIT_ZERO ? 0.0 : fmax(out->low, -ceil(half));
            out->high = kind.kind == SOTTO_UNIT_ZERO ? 0.0 : fmax(out->high, 0.0);
        }
        if (s->clip) {
            const double most = ldexp((double)r->w->bound[at][c], -(int)s->truncation.f);
            out->high = fmin(out->high, most + ceil(ldexp(1.0, (int)s->sign_window.j - (int)s->truncation.f)));
        }
        *out = join(*out, (interval){fmin(out->low, 0.0), fmax(out->high, 0.0)});
    }
}

static void max(const reach *r, size_t at)
{
    const sotto_step_info *s = &r->p->steps[at];
    const unsigned u = r->m->nodes[s->node].plan.u;
    const int last = at == r->p->step_of[s->node]; /* all stages read the same range and share one k */
    interval all = {0.0, 0.0};
    uint32_t held = 0;
    for (uint32_t c = 0; c < s->shape.c; c++) {
        const interval x = r->value[s->in[0]][c], difference = {x.low - x.high, x.high - x.low};
        all = join(all, difference);
        r->value[at][c] = x;
        held += r->m->nodes[s->node].windows == NULL || (last ? tighten_window(r, s->node, c, difference) : bits_for(difference, u, 0) <= r->m->nodes[s->node].windows[c]);
    }
    r->report->units += s->units;
    r->report->never += bits_for(all, u, 0) <= r->m->nodes[s->node].plan.k ? s->units / s->shape.c * held : 0;
    if (at + 1 == r->p->step_count) { /* then k is that of the output as well */
        for (uint32_t c = 0; c < s->shape.c; c++) {
            all = join(all, r->value[at][c]);
        }
    }
    if (last) {
        (void)tighten(r, s->node, bits_for(all, u, 0));
    }
}

static interval shifted(interval x, unsigned shift)
{
    return (interval){ldexp(x.low, (int)shift), ldexp(x.high, (int)shift)};
}

static void pair(const reach *r, size_t at)
{
    const sotto_step_info *s = &r->p->steps[at];
    const uint32_t first = r->p->steps[s->in[0]].shape.c;
    for (uint32_t c = 0; c < s->shape.c; c++) {
        if (s->op == SOTTO_STEP_CONCAT) {
            r->value[at][c] = c < first ? shifted(r->value[s->in[0]][c], s->shift[0]) : shifted(r->value[s->in[1]][c - first], s->shift[1]);
        } else {
            const interval a = shifted(from_channel(r, s, 0, c), s->shift[0]), b = shifted(from_channel(r, s, 1, c), s->shift[1]);
            r->value[at][c] = (interval){a.low + b.low, a.high + b.high};
        }
    }
}

static void window(const reach *r, size_t at)
{
    const sotto_step_info *s = &r->p->steps[at], *from = &r->p->steps[s->in[0]];
    const double area = s->op == SOTTO_STEP_SUM ? (double)s->window.kernel_h * s->window.kernel_w : 1.0;
    for (uint32_t c = 0; c < s->shape.c; c++) {
        if (s->op == SOTTO_STEP_PAD) {
            const int inside = c >= s->pad_front && c - s->pad_front < from->shape.c;
            r->value[at][c] = inside ? join(r->value[s->in[0]][c - s->pad_front], (interval){0.0, 0.0}) : (interval){0.0, 0.0};
        } else {
            const interval x = r->value[s->in[0]][c];
            r->value[at][c] = s->op == SOTTO_STEP_SUM ? (interval){fmin(x.low, 0.0) * area, fmax(x.high, 0.0) * area} : x;
        }
    }
}

/* Term by term: wider than it must be, and never narrower. */
static void poly(const reach *r, size_t at)
{
    const sotto_step_info *s = &r->p->steps[at];
    for (uint32_t c = 0; c < s->shape.c; c++) {
        const interval x = from_channel(r, s, 0, c);
        const double most = fmax(fabs(x.low), fabs(x.high));
        const int64_t *term = &r->w->poly[at][c * SOTTO_POLY_TERMS];
        interval sum = {(double)term[0], (double)term[0]};
        double power = 1.0;
        for (unsigned j = 1; s->degree[c] > 1 && j <= s->degree[c]; j++) {
            power *= most;
            const double part = fabs((double)term[j]) * power;
            sum = (interval){sum.low - part, sum.high + part};
        }
        const double shift = ldexp(1.0, (int)s->shift[0]);
        r->value[at][c] = s->degree[c] > 1 ? sum : s->degree[c] == 1 ? (interval){x.low * shift, x.high * shift} : (interval){0.0, 0.0};
    }
}

static void step(const reach *r, size_t at)
{
    switch (r->p->steps[at].op) {
    case SOTTO_STEP_INPUT:
        input(r);
        break;
    case SOTTO_STEP_LINEAR:
        linear(r, at);
        break;
    case SOTTO_STEP_ADD:
    case SOTTO_STEP_CONCAT:
        pair(r, at);
        break;
    case SOTTO_STEP_PAD:
    case SOTTO_STEP_SUM:
    case SOTTO_STEP_GATHER:
        window(r, at);
        break;
    case SOTTO_STEP_MAX:
        max(r, at);
        break;
    case SOTTO_STEP_UNIT:
        unit(r, at);
        break;
    case SOTTO_STEP_POLY:
        poly(r, at);
        break;
    }
}

static void output(const reach *r)
{
    const size_t last = r->p->step_count - 1;
    const sotto_step_info *s = &r->p->steps[last];
    interval all = {0.0, 0.0};
    for (uint32_t c = 0; c < s->shape.c; c++) {
        all = join(all, r->value[last][c]);
    }
    const int maximum = s->op == SOTTO_STEP_MAX; /* its k bounds differences as well */
    r->report->units += s->words;
    r->report->never += !maximum && tighten(r, s->node, bits_for(all, 0, 0)) ? s->words : 0;
}

int sotto_reach_tighten(sotto_model *m, sotto_calibration_report *report)
{
    sotto_program p;
    sotto_program_weights w = {0};
    reach r = {m, &p, &w, NULL, report};
    *report = (sotto_calibration_report){0};
    int status = sotto_program_new(&p, m);
    if (status != SOTTO_OK) {
        return status == SOTTO_ERR_MEMORY ? status : SOTTO_OK;
    }
    status = sotto_program_weights_new(&w, &p, m);
    if (status != SOTTO_OK) {
        status = status == SOTTO_ERR_MEMORY ? status : SOTTO_OK;
        goto done;
    }
    r.value = sotto_calloc(p.step_count, sizeof *r.value);
    int bad = r.value == NULL;
    for (size_t i = 0; !bad && i < p.step_count; i++) {
        r.value[i] = sotto_calloc(p.steps[i].shape.c, sizeof **r.value);
        bad = r.value[i] == NULL;
    }
    if (bad) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for the ranges of %zu steps", p.step_count);
        goto done;
    }
    for (size_t i = 0; i < p.step_count; i++) {
        step(&r, i);
    }
    output(&r);
done:
    for (size_t i = 0; r.value != NULL && i < p.step_count; i++) {
        sotto_free(r.value[i]);
    }
    sotto_free(r.value);
    sotto_program_weights_free(&w);
    sotto_program_free(&p);
    return status;
}

int sotto_plan_report(const sotto_model *m, sotto_calibration_report *report)
{
    sotto_model copy;
    *report = (sotto_calibration_report){0};
    if (!sotto_model_has_weights(m)) {
        return sotto_fail(SOTTO_ERR_ARG, "what values can reach depends on the weights, which are not there");
    }
    int status = sotto_model_copy(&copy, m);
    if (status == SOTTO_OK) {
        status = sotto_reach_tighten(&copy, report);
        sotto_model_free(&copy);
    }
    return status;
}
