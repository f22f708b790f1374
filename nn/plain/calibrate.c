#include "nn/plain/calibrate.h"

#include <math.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/plain/equalise.h"
#include "nn/plain/reach_internal.h"
#include "nn/plain/signs.h"

#define PHASES 32 /* fractions of log2 tried for a component */
#define SWEEPS 4
#define F_MAX 40
#define POLY_BITS 1   /* of x beyond those of a result */
#define POLY_K_MAX 58 /* of a result */
#define WINDOW_LIFT_MOST 6 /* of a channel's window, below k */
#define SIGN_BITS_LEAST 5
#define SIGN_BITS_MOST 9 /* that a table can decide */

sotto_calibration sotto_calibration_default(void)
{
    return (sotto_calibration){.weight_bits = 8, .value_bits = 10, .input_bits = 9, .sign_bits = 0, .sign_noise = 8.0, .windows = 1, .margin = 1.5, .method = SOTTO_RANGE_MAX,
                               .share = 0.9999, .equalise = 1, .threads = 0};
}

static int check_options(const sotto_calibration *o)
{
    if (o->weight_bits < 2 || o->weight_bits > 16 || o->value_bits < 2 || o->value_bits > 16 || o->input_bits < 2 || o->input_bits > 16 ||
        o->sign_bits == 1 || o->sign_bits > 49 || !(o->sign_noise > 0.0) || !(o->sign_noise <= 1e6) || !(o->margin >= 0.01) || !(o->margin <= 1024.0) || !(o->share > 0.0) || !(o->share <= 1.0) ||
        o->method > SOTTO_RANGE_MSE) {
        return sotto_fail(SOTTO_ERR_ARG, "calibration: weight, value and input bits 2 to 16, sign bits 0 or 2 to 49, sign noise above 0 and at most 1e6, margin 0.01 to 1024, a method's share above 0 "
                                         "and at most 1");
    }
    return SOTTO_OK;
}

/* ---- ranges ------------------------------------------------------------------------------------------------------------ */

typedef struct planner {
    sotto_model *m;
    const sotto_observation *o;
    const sotto_calibration *options;
    double *noise, *range; /* per node, of weights or values (nn/plain/equalise.h) */
    double *free_scale;    /* per node: log2 of the scale at which all just fits: input; weights of a linear node; values of a unit, -inf for none */
    double *scale;         /* per node: log2 of its scale */
    double *offset;        /* per node: log2 of its scale less that of its component's first node, where that is not whole */
    double *phase;         /* per component, at its first node: the fraction of log2 of its scales */
    uint32_t *component;   /* per node: the first node of its component */
} planner;

static void drop_windows(sotto_node *n)
{
    sotto_free(n->windows);
    n->windows = NULL;
}

static void drop_plan(sotto_node *n)
{
    memset(&n->plan, 0, sizeof n->plan);
    drop_windows(n);
}

static const sotto_channel_stats *channels(const planner *p, size_t node)
{
    return p->o->channel + p->o->first[node];
}

static double magnitude(const planner *p, size_t node)
{
    double most = 0.0;
    for (size_t c = 0; c < p->m->nodes[node].shape.c; c++) {
        most = fmax(most, fmax(-channels(p, node)[c].low, channels(p, node)[c].high));
    }
    return most;
}

/* The same without stray images (nn/plain/observe.h): what integers of few bits have to resolve. */
static double typical_magnitude(const planner *p, size_t node)
{
    double most = 0.0;
    for (size_t c = 0; c < p->m->nodes[node].shape.c; c++) {
        most = fmax(most, channels(p, node)[c].most);
    }
    return most;
}

/* What a node reads in a channel. A patch that rounding decides the other way shows pixels that images may not have shown, so its range is that before the decision. */
static const sotto_channel_stats *read_in(const planner *p, size_t node, size_t c)
{
    const uint32_t from = p->m->nodes[node].input[0];
    const sotto_node *in = &p->m->nodes[from];
    const int patch = in->op == SOTTO_OP_ACT && (in->units[c].block_h > 1 || in->units[c].block_w > 1);
    return channels(p, patch ? in->input[0] : from) + c;
}

/* The largest magnitude of what the signs of a channel are taken of: differences for a maximum, y - T as well for a clip. */
static double decided_in(const planner *p, size_t node, size_t c)
{
    const sotto_node *n = &p->m->nodes[node];
    const sotto_channel_stats *x = read_in(p, node, c);
    return n->op == SOTTO_OP_MAXPOOL ? x->high - x->low : fmax(fmax(-x->low, x->high), n->op == SOTTO_OP_CLIP ? n->tensor[0][c] - x->low : 0.0);
}

/* Of a node, which may read a flattened image. */
static double decided(const planner *p, size_t node)
{
    const sotto_node *n = &p->m->nodes[node];
    double most = n->op == SOTTO_OP_MAXPOOL ? 0.0 : magnitude(p, n->input[0]);
    for (size_t c = 0; (n->op == SOTTO_OP_CLIP || n->op == SOTTO_OP_MAXPOOL) && c < n->shape.c; c++) {
        most = fmax(most, decided_in(p, node, c));
    }
    return most;
}

/* Least k with -2^(k-1) <= -x and x < 2^(k-1); 64 where that is out of reach, which a program refuses. */
static unsigned bits_for(double x)
{
    unsigned k = 2;
    while (k < 64 && !(ldexp(1.0, (int)k - 1) > x)) {
        k++;
    }
    return k;
}

/* Of the largest bound of a clip, which has to fit whatever the margin. */
static unsigned bits_of_bound(const sotto_node *n, double in, double out)
{
    double most = 0.0;
    for (size_t c = 0; n->op == SOTTO_OP_CLIP && c < n->shape.c; c++) {
        most = fmax(most, n->tensor[0][c]);
    }
    return bits_for((most + out) / in);
}

static double weight_scale(const sotto_model *m, const sotto_node *n, unsigned bits)
{
    double most = 0.0;
    const size_t count = sotto_tensor_count(m, n, 0);
    for (size_t i = 0; i < count; i++) {
        most = fmax(most, fabs((double)n->tensor[0][i]));
    }
    return most > 0.0 ? most / (ldexp(1.0, (int)bits - 1) - 1.0) : 1.0;
}

/* ---- components -------------------------------------------------------------------------------------------------------- */

/* What a step adds to log2 of the scale that it reads, but for whole numbers. */
static double step_offset(const sotto_model *m, const sotto_node *n)
{
    const sotto_node *in = &m->nodes[n->input[0]];
    return n->op == SOTTO_OP_AVGPOOL     ? -log2((double)n->kernel_h * n->kernel_w)
           : n->op == SOTTO_OP_GLOBALAVG ? -log2((double)in->shape.h * in->shape.w)
                                         : 0.0;
}

static int whole(double x)
{
    return fabs(x - nearbyint(x)) < 1e-9;
}

/* Moves the component of b into that of a, where log2 scale(b) - log2 scale(a) = gap modulo 1. 0: they were one, and the gap is another. */
static int join(planner *p, size_t count, uint32_t a, uint32_t b, double gap)
{
    const uint32_t to = p->component[a], from = p->component[b];
    const double move = p->offset[a] + gap - p->offset[b];
    for (size_t i = 0; to != from && i < count; i++) {
        if (p->component[i] == from) {
            p->component[i] = to;
            p->offset[i] += move;
        }
    }
    return to != from || whole(move);
}

static int find_components(planner *p)
{
    for (size_t i = 0; i < p->m->node_count; i++) {
        const sotto_node *n = &p->m->nodes[i];
        p->component[i] = (uint32_t)i;
        for (unsigned k = 0; i > 0 && !sotto_op_is_linear(n->op) && k < sotto_op_inputs(n->op); k++) {
            if (!join(p, i + 1, n->input[k], (uint32_t)i, step_offset(p->m, n))) {
                return sotto_fail(SOTTO_ERR_UNSUPPORTED, "node %s: the scales of its inputs cannot be made to differ by a power of two; put a linear node into "
                                                         "one of the branches", n->name);
            }
        }
    }
    return SOTTO_OK;
}

/* ---- scales ------------------------------------------------------------------------------------------------------------ */

/* The least log2 of a scale from `least` on that the node's component allows. */
static double next_scale(const planner *p, size_t node, double least)
{
    const double fraction = p->phase[p->component[node]] + p->offset[node];
    return fraction + ceil(least - fraction - 1e-9);
}

static void set_free_scales(planner *p)
{
    for (size_t i = 0; i < p->m->node_count; i++) {
        const sotto_node *n = &p->m->nodes[i];
        const unsigned bits = i == 0 ? p->options->input_bits - 1 : p->options->value_bits;
        p->free_scale[i] = sotto_op_is_linear(n->op) ? log2(weight_scale(p->m, n, p->options->weight_bits))
                           : p->range[i] > 0.0       ? log2(p->range[i] / (ldexp(1.0, (int)bits) - 1.0))
                           : i == 0                  ? 0.0
                                                     : -INFINITY;
    }
}

/* What a node's scale would be, were it free of its component. */
static double natural_scale(const planner *p, size_t node)
{
    const double in = node == 0 ? -INFINITY : p->scale[p->m->nodes[node].input[0]];
    return sotto_op_is_linear(p->m->nodes[node].op) ? in + p->free_scale[node] : fmax(in, p->free_scale[node]);
}

#define EVERY SIZE_MAX

/* Scales of all nodes under the phases; the predicted noise, of one component or of all. */
static double set_scales(planner *p, size_t component)
{
    double noise = 0.0;
    for (size_t i = 0; i < p->m->node_count; i++) {
        const sotto_node *n = &p->m->nodes[i];
        if (i == 0 || sotto_op_is_linear(n->op) || sotto_op_is_unit(n->op)) {
            const double natural = natural_scale(p, i);
            p->scale[i] = next_scale(p, i, natural);
            noise += component == EVERY || p->component[i] == component ? p->noise[i] * exp2(2.0 * (p->scale[i] - natural)) : 0.0;
        } else if (sotto_op_inputs(n->op) == 2) {
            p->scale[i] = fmin(p->scale[n->input[0]], p->scale[n->input[1]]);
        } else {
            p->scale[i] = p->scale[n->input[0]] + step_offset(p->m, n);
        }
    }
    return noise;
}

static double fraction_of(double x)
{
    return x - floor(x);
}

/* The phase of component c: of a grid and its nodes' natural scales the one with the least noise of `component`. */
static void choose_phase(planner *p, size_t c, size_t component)
{
    const size_t count = p->m->node_count;
    double best = set_scales(p, component);
    for (size_t i = 0; i < count + PHASES; i++) {
        const double kept = p->phase[c];
        if (i < count && (p->component[i] != c || p->noise[i] == 0.0)) {
            continue;
        }
        p->phase[c] = i < count ? fraction_of(natural_scale(p, i) - p->offset[i]) : (double)(i - count) / PHASES;
        const double noise = set_scales(p, component);
        if (noise < best * (1.0 - 1e-12)) {
            best = noise;
        } else {
            p->phase[c] = kept;
            set_scales(p, component);
        }
    }
}

/* Each component first for itself, in order, since its linear nodes read values of earlier ones; then for what it does to the whole. */
static void choose_phases(planner *p)
{
    for (int sweep = 0; sweep < 1 + SWEEPS; sweep++) {
        for (size_t c = 0; c < p->m->node_count; c++) {
            if (p->component[c] == c) {
                choose_phase(p, c, sweep == 0 ? c : EVERY);
            }
        }
    }
    set_scales(p, EVERY);
}

/* ---- the plan ---------------------------------------------------------------------------------------------------------- */

static unsigned larger(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static int degree_of(const sotto_unit *u)
{
    return u->kind == SOTTO_UNIT_CUBIC ? 3 : u->kind == SOTTO_UNIT_SQUARE ? 2 : 1;
}

/* The largest coefficient of a highest power, in units of those of z / x^j at shift 0; x has steps of `step`. */
static double top_coefficient(const sotto_node *n, double step)
{
    double most = 0.0;
    for (uint32_t c = 0; c < n->shape.c; c++) {
        const int degree = degree_of(&n->units[c]);
        if (degree > 1) {
            most = fmax(most, fabs((double)n->tensor[0][c * SOTTO_POLY_TERMS + (size_t)degree]) * pow(step, degree - 1));
        }
    }
    return most;
}

static int node_degree(const sotto_node *n)
{
    int degree = 1;
    for (uint32_t c = 0; c < n->shape.c; c++) {
        const int d = degree_of(&n->units[c]);
        degree = d > degree ? d : degree;
    }
    return degree;
}

/* With x in steps of 2^f times those of what is read. most: the largest magnitude before and after. */
static sotto_poly_plan_fields polynomial_plan(const planner *p, const sotto_node *n, double most, unsigned f)
{
    sotto_poly_plan_fields q = {.f = f, .bits = p->options->weight_bits < 24 ? p->options->weight_bits : 24, .exchange = 1};
    const double step = exp2(p->scale[n->input[0]]) * ldexp(1.0, (int)f), top = top_coefficient(n, step);
    while (q.bits < 24 && top > ldexp(1.0, (int)q.bits - 1) - 1.0) {
        q.bits++;
    }
    const double room = top > 0.0 ? floor(log2((ldexp(1.0, (int)q.bits - 1) - 1.0) / top)) : 0.0;
    q.shift = (unsigned)fmax(0.0, fmin(room, F_MAX));
    const unsigned drop = n->plan.f + q.shift > f ? n->plan.f + q.shift - f : 0;
    q.shift -= drop > F_MAX ? drop - F_MAX : 0;
    q.k = bits_for(pow(fmax(p->options->margin, 1.0), node_degree(n)) * most / (step * ldexp(1.0, -(int)q.shift)));
    return q;
}

/* Integers of polynomials (nn/model/model.h): x with POLY_BITS more than a result keeps of what typical images show, or with fewer where no ring would hold the result;
 * coefficients of the highest powers with as many bits as weights; a truncation in an exchange of its own, in the narrower ring (nn/secure/network.h may choose the
 * other). The plan of the unit itself is there. */
static void plan_polynomials(const planner *p, size_t at)
{
    sotto_node *n = &p->m->nodes[at];
    if (node_degree(n) == 1) {
        return;
    }
    const double most = fmax(magnitude(p, n->input[0]), magnitude(p, at));
    const unsigned wide = bits_for(typical_magnitude(p, n->input[0]) / exp2(p->scale[n->input[0]])), keep = p->options->value_bits + POLY_BITS;
    sotto_poly_plan_fields q = polynomial_plan(p, n, most, wide > keep + 1 ? wide - 1 - keep : 0);
    while (q.k > POLY_K_MAX && q.f < F_MAX) {
        q = polynomial_plan(p, n, most, q.f + 1);
    }
    while (n->plan.f + q.shift < q.f) {
        q = polynomial_plan(p, n, most, q.f - 1);
    }
    n->plan.poly = q;
}

/* ---- signs ------------------------------------------------------------------------------------------------------------- */

/* u as asked for, or the least of all. A difference reaches twice as far as a value, so one bit more decides to the same precision. */
static unsigned first_sign_bits(const sotto_calibration *o, const sotto_node *n, unsigned k)
{
    const unsigned u = o->sign_bits == 0 ? SIGN_BITS_LEAST : o->sign_bits + (n->op == SOTTO_OP_MAXPOOL);
    return least(u, k);
}

/* Whether a channel of the node is one of its input: not where that is a flattened image. */
static int has_channels(const sotto_model *m, const sotto_node *n)
{
    const sotto_node *in = &m->nodes[n->input[0]];
    return in->op == SOTTO_OP_FLATTEN ? 0 : sotto_op_is_unit(in->op) ? has_channels(m, in) : 1;
}

/* The windows of channels, where they differ from k. What images showed of a channel that is nearly silent says nothing about the noise of rounding that it will have: room for a few steps of the
 * result stays. */
static int plan_windows(planner *p, size_t at)
{
    sotto_node *n = &p->m->nodes[at];
    const double in = exp2(p->scale[n->input[0]]);
    int differ = 0;
    if (!p->options->windows || n->plan.u == 0 || !has_channels(p->m, n)) {
        return SOTTO_OK;
    }
    n->windows = sotto_calloc(n->shape.c, 1);
    if (n->windows == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the windows of node %s", n->name);
    }
    for (size_t c = 0; c < n->shape.c; c++) {
        const double bound = n->op == SOTTO_OP_CLIP ? (n->tensor[0][c] + exp2(p->scale[at])) / in : 0.0;
        const unsigned w = bits_for(fmax(p->options->margin * decided_in(p, at, c) / in, bound));
        n->windows[c] = (uint8_t)least(n->plan.k, larger(w, larger(n->plan.f + 3, n->plan.k - least(n->plan.k - 2, WINDOW_LIFT_MOST))));
        differ |= n->windows[c] != n->plan.k;
    }
    if (!differ) {
        drop_windows(n);
    }
    return SOTTO_OK;
}

/* What tables decide, until trials say what a layer needs. */
static void raise_sign_bits(planner *p)
{
    for (size_t i = 0; i < p->m->node_count && p->options->sign_bits == 0; i++) {
        sotto_node_plan *plan = &p->m->nodes[i].plan;
        plan->u = plan->u > 0 ? least(SIGN_BITS_MOST, plan->k) : 0;
    }
}

/* ---- the whole plan ---------------------------------------------------------------------------------------------------- */

static void plan_node(planner *p, size_t at)
{
    sotto_node *n = &p->m->nodes[at];
    sotto_node_plan *plan = &n->plan;
    const sotto_calibration *o = p->options;
    const double in = exp2(p->scale[n->input[0]]);
    memset(plan, 0, sizeof *plan);
    if (n->op == SOTTO_OP_INPUT) {
        *plan = (sotto_node_plan){.present = 1, .bits = o->input_bits, .scale = exp2(p->scale[at])};
    } else if (sotto_op_is_linear(n->op)) {
        *plan = (sotto_node_plan){.present = 1, .weight_bits = o->weight_bits, .weight_scale = exp2(p->scale[at] - p->scale[n->input[0]])};
    } else if (sotto_op_is_unit(n->op)) {
        const double f = nearbyint(p->scale[at] - p->scale[n->input[0]]);
        *plan = (sotto_node_plan){.present = 1, .f = (unsigned)fmin(f, F_MAX), .k = bits_for(o->margin * decided(p, at) / in)};
        plan->k = n->op == SOTTO_OP_CLIP ? larger(plan->k, bits_of_bound(n, in, exp2(p->scale[at]))) : plan->k;
        plan->k = larger(plan->k, plan->f + 2); /* a ring of k + 1 bits loses at most k - 1 */
        plan->u = n->op == SOTTO_OP_IDENTITY ? 0 : first_sign_bits(o, n, plan->k);
        if (n->op == SOTTO_OP_ACT) {
            plan_polynomials(p, at);
        }
    } else if (n->op == SOTTO_OP_MAXPOOL) {
        *plan = (sotto_node_plan){.present = 1, .k = bits_for(o->margin * decided(p, at) / in)};
        plan->u = first_sign_bits(o, n, plan->k);
    }
}

static int plan_all(planner *p)
{
    const size_t last = p->m->node_count - 1;
    for (size_t i = 0; i <= last; i++) {
        plan_node(p, i);
        const int status = plan_windows(p, i);
        if (status != SOTTO_OK) {
            return status;
        }
    }
    sotto_node_plan *plan = &p->m->nodes[last].plan;
    const unsigned k = bits_for(p->options->margin * magnitude(p, last) / exp2(p->scale[last]));
    plan->present = 1;
    plan->k = k > plan->k ? k : plan->k; /* a maxpool has one already, of its differences */
    return SOTTO_OK;
}

static int planner_new(planner *p, sotto_model *m, const sotto_observation *o, const sotto_calibration *options)
{
    const size_t n = m->node_count;
    *p = (planner){.m = m, .o = o, .options = options};
    double **const arrays[] = {&p->noise, &p->range, &p->free_scale, &p->scale, &p->offset, &p->phase};
    p->component = sotto_calloc(n, sizeof *p->component);
    int bad = p->component == NULL;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        *arrays[i] = sotto_calloc(n, sizeof **arrays[i]);
        bad |= *arrays[i] == NULL;
    }
    return bad ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for a calibration of %zu nodes", n) : SOTTO_OK;
}

static void planner_free(planner *p)
{
    sotto_free(p->noise);
    sotto_free(p->range);
    sotto_free(p->free_scale);
    sotto_free(p->scale);
    sotto_free(p->offset);
    sotto_free(p->phase);
    sotto_free(p->component);
}

int sotto_plan(sotto_model *m, sotto_observation *o, const sotto_calibration *options, sotto_calibration_report *report)
{
    planner p = {0};
    sotto_calibration_report unread;
    const sotto_equalise_options equalise = {options->weight_bits, options->value_bits, options->input_bits, options->method, options->share};
    int status = check_options(options);
    if (status == SOTTO_OK && !sotto_model_has_weights(m)) {
        status = sotto_fail(SOTTO_ERR_ARG, "calibration needs the model's weights");
    }
    if (status != SOTTO_OK) {
        return status;
    }
    for (size_t i = 0; i < m->node_count; i++) {
        drop_plan(&m->nodes[i]);
    }
    status = planner_new(&p, m, o, options);
    if (status == SOTTO_OK) {
        status = find_components(&p);
    }
    if (status == SOTTO_OK && options->equalise) {
        status = sotto_equalise(m, o, &equalise);
    }
    if (status == SOTTO_OK) {
        status = sotto_quantisation_noise(m, o, &equalise, p.noise, p.range);
    }
    if (status == SOTTO_OK) {
        set_free_scales(&p);
        choose_phases(&p);
        status = plan_all(&p);
    }
    if (status == SOTTO_OK) {
        status = sotto_reach_tighten(m, report == NULL ? &unread : report);
    }
    if (status == SOTTO_OK) {
        raise_sign_bits(&p);
    }
    for (size_t i = 0; i < m->node_count && status != SOTTO_OK; i++) {
        drop_plan(&m->nodes[i]);
    }
    planner_free(&p);
    return status;
}

int sotto_calibrate(sotto_model *m, const sotto_calibration *options, const uint8_t *images, size_t count,
                    void (*progress)(void *ctx, size_t done, size_t count), void *ctx)
{
    sotto_observation o;
    int status = check_options(options);
    if (status == SOTTO_OK) {
        status = sotto_observe(&o, m, images, count, options->threads, progress, ctx);
    }
    if (status == SOTTO_OK) {
        status = sotto_plan(m, &o, options, NULL);
        sotto_observation_free(&o);
    }
    if (status == SOTTO_OK) {
        status = sotto_plan_signs(m, options, images, count, progress, ctx);
        for (size_t i = 0; i < m->node_count && status != SOTTO_OK; i++) {
            drop_plan(&m->nodes[i]);
        }
    }
    return status;
}
