#include "nn/plain/equalise.h"

#include <math.h>
#include <string.h>

#include "lib/mem.h"

#define ROUNDS 250
#define LOG_MAX 20.0 /* factors stay within e^-20 and e^20 */
#define NO_WEIGHT (-80.0f)
#define NEGLIGIBLE (-30.0) /* of exponents */
#define POLY_SHARE 0.99    /* of the values of a polynomial, within what is called its range */

typedef struct problem {
    const sotto_model *m;
    const sotto_observation *o;
    double weight_power, value_power; /* 4^-bits / 12 */
    uint32_t *parent;    /* of a channel, in the union-find of tied channels */
    uint8_t *fixed;      /* by root: factor 1 */
    uint32_t *group;     /* per node: of units whose values share a scale, the first */
    double *range;       /* per channel of a unit: R */
    double *gain;        /* per channel: A */
    float **most;        /* linear: out x in_c / groups, the largest magnitude of the weights between two channels */
    double *u, *slope, *momentum, *square; /* per channel, at its root: log g; descent */
    double *factor, *share_in, *share_out; /* per channel of one layer, for a while (largest_weight) */
} problem;

/* ---- the graph, channel by channel ---------------------------------------------------------------------------------- */

static uint32_t root(uint32_t *parent, uint32_t i)
{
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

static void tie(problem *p, size_t a, size_t b)
{
    const uint32_t x = root(p->parent, (uint32_t)a), y = root(p->parent, (uint32_t)b);
    p->parent[x > y ? x : y] = x > y ? y : x;
}

static size_t area_of(const sotto_node *n)
{
    return (size_t)n->shape.h * n->shape.w;
}

/* The input channel that output channel c of a node takes over, of which of its inputs; 0 where it is all zeros. Not for linear nodes. */
static int came_from(const sotto_model *m, const sotto_node *n, size_t c, uint32_t *node, size_t *channel)
{
    const sotto_node *in = &m->nodes[n->input[0]];
    *node = n->input[0];
    *channel = c;
    if (n->op == SOTTO_OP_FLATTEN) {
        *channel = c / area_of(in);
    } else if (n->op == SOTTO_OP_CONCAT && c >= in->shape.c) {
        *node = n->input[1];
        *channel = c - in->shape.c;
    } else if (n->op == SOTTO_OP_PAD) {
        *channel = c - n->pad_front;
        return c >= n->pad_front && *channel < in->shape.c;
    }
    return 1;
}

/* The unit whose channel reaches (node, c) through steps that only move or average values; 0: there is none. */
static int source(const sotto_model *m, uint32_t *node, size_t *c)
{
    for (;;) {
        const sotto_node *n = &m->nodes[*node];
        if (sotto_op_is_unit(n->op)) {
            return 1;
        }
        if (n->op == SOTTO_OP_INPUT || n->op == SOTTO_OP_ADD || sotto_op_is_linear(n->op) || !came_from(m, n, *c, node, c)) {
            return 0;
        }
    }
}

static void tie_channels(problem *p)
{
    const sotto_model *m = p->m;
    const size_t *first = p->o->first;
    for (size_t i = 1; i < m->node_count; i++) {
        const sotto_node *n = &m->nodes[i];
        for (size_t c = 0; !sotto_op_is_linear(n->op) && c < n->shape.c; c++) {
            uint32_t from;
            size_t channel;
            if (came_from(m, n, c, &from, &channel)) {
                tie(p, first[i] + c, first[from] + channel);
            }
            if (n->op == SOTTO_OP_ADD) {
                tie(p, first[i] + c, first[n->input[1]] + c);
            }
        }
    }
    for (size_t c = 0; c < m->nodes[0].shape.c; c++) {
        p->fixed[root(p->parent, (uint32_t)c)] = 1;
    }
    for (size_t c = 0; c < m->nodes[m->node_count - 1].shape.c; c++) {
        p->fixed[root(p->parent, (uint32_t)(first[m->node_count - 1] + c))] = 1;
    }
}

static void join_units(problem *p)
{
    const sotto_model *m = p->m;
    for (size_t i = 1; i < m->node_count; i++) {
        uint32_t joined = UINT32_MAX;
        for (size_t c = 0; m->nodes[i].op == SOTTO_OP_CONCAT && c < m->nodes[i].shape.c; c++) {
            uint32_t node = (uint32_t)i;
            size_t channel = c;
            if (source(m, &node, &channel)) {
                const uint32_t a = root(p->group, node), b = joined == UINT32_MAX ? a : root(p->group, joined);
                p->group[a > b ? a : b] = a > b ? b : a;
                joined = node;
            }
        }
    }
}

/* ---- the terms ------------------------------------------------------------------------------------------------------- */

static double log_factor(const problem *p, size_t node, size_t c)
{
    return p->u[p->parent[p->o->first[node] + c]];
}

static void add_slope(const problem *p, size_t node, size_t c, double x)
{
    p->slope[p->parent[p->o->first[node] + c]] += x;
}

static size_t taps_of(const sotto_node *n, const sotto_node *in)
{
    return n->op == SOTTO_OP_CONV ? (size_t)n->kernel_h * n->kernel_w : area_of(in);
}

/* (out, c of the filter's group) of a linear node: channels read by each filter, of which the first is first_in. */
static size_t fan(const sotto_node *n, const sotto_node *in)
{
    return n->op == SOTTO_OP_CONV ? in->shape.c / n->groups : in->shape.c;
}

static size_t first_in(const sotto_node *n, size_t out, size_t per)
{
    return n->op == SOTTO_OP_CONV ? out / (n->out / n->groups) * per : 0;
}

/* The largest (|w_oc| g_c / g_o)^2 of all (o, c), as its logarithm and in the norm of exponent `sharp`: log (sum of sharp-th powers)^(1 / sharp). Of that sum p->share_in and
 * p->share_out get the parts of the channels that are read and made. -inf where all weights are 0. */
static double largest_weight(const problem *p, size_t at, double sharp)
{
    const sotto_node *n = &p->m->nodes[at], *in = &p->m->nodes[n->input[0]];
    const size_t per = fan(n, in);
    double most = NO_WEIGHT, sum = 0.0;
    for (size_t c = 0; c < in->shape.c; c++) {
        p->factor[c] = log_factor(p, n->input[0], c);
        p->share_in[c] = 0.0;
    }
    for (size_t o = 0; o < n->out; o++) { /* log_factor is within LOG_MAX: a weight of 0 stays below NO_WEIGHT */
        const float *w = p->most[at] + o * per;
        const double *factor = p->factor + first_in(n, o, per), below = log_factor(p, at, o);
        for (size_t c = 0; c < per; c++) {
            const double z = (double)w[c] + factor[c] - below;
            most = z > most ? z : most;
        }
    }
    if (most <= NO_WEIGHT) {
        return -INFINITY;
    }
    const double floor = most + NEGLIGIBLE / (2.0 * sharp);
    for (size_t o = 0; o < n->out; o++) {
        const size_t first = first_in(n, o, per);
        const float *w = p->most[at] + o * per;
        const double *factor = p->factor + first, below = log_factor(p, at, o);
        double own = 0.0;
        for (size_t c = 0; c < per; c++) {
            const double z = (double)w[c] + factor[c] - below;
            if (z > floor) {
                const double x = exp(2.0 * sharp * (z - most));
                own += x;
                p->share_in[first + c] += x;
            }
        }
        p->share_out[o] = own;
        sum += own;
    }
    for (size_t c = 0; c < in->shape.c; c++) {
        p->share_in[c] /= sum;
    }
    for (size_t o = 0; o < n->out; o++) {
        p->share_out[o] /= sum;
    }
    return 2.0 * most + log(sum) / sharp;
}

/* The term of a linear node's weights; with slopes when sharp is finite. */
static double weight_term(const problem *p, size_t at, double sharp, int slopes)
{
    const sotto_node *n = &p->m->nodes[at], *in = &p->m->nodes[n->input[0]];
    const sotto_channel_stats *x = p->o->channel + p->o->first[n->input[0]];
    const double *gain = p->gain + p->o->first[at];
    const size_t per = fan(n, in), groups = n->op == SOTTO_OP_CONV ? n->groups : 1, filters = n->out / groups;
    const double taps = (double)taps_of(n, in);
    const double largest = largest_weight(p, at, sharp);
    double noise = 0.0;
    if (!(largest > -INFINITY)) {
        return 0.0;
    }
    for (int pass = 0; pass < 1 + slopes; pass++) {
        const double scale = pass == 0 ? 0.0 : exp(largest) * p->weight_power;
        for (size_t g = 0; g < groups; g++) {
            double out = 0.0, read = 0.0;
            for (size_t o = g * filters; o < (g + 1) * filters; o++) {
                out += gain[o] * exp(2.0 * log_factor(p, at, o));
            }
            for (size_t c = g * per; c < (g + 1) * per; c++) {
                read += taps * x[c].square * exp(-2.0 * log_factor(p, n->input[0], c));
            }
            noise += pass == 0 ? out * read : 0.0;
            for (size_t o = g * filters; pass == 1 && o < (g + 1) * filters; o++) {
                add_slope(p, at, o, 2.0 * scale * read * gain[o] * exp(2.0 * log_factor(p, at, o)));
            }
            for (size_t c = g * per; pass == 1 && c < (g + 1) * per; c++) {
                add_slope(p, n->input[0], c, -2.0 * scale * out * taps * x[c].square * exp(-2.0 * log_factor(p, n->input[0], c)));
            }
        }
    }
    const double term = exp(largest) * noise * p->weight_power;
    for (size_t o = 0; slopes && o < n->out; o++) {
        add_slope(p, at, o, -2.0 * term * p->share_out[o]);
    }
    for (size_t c = 0; slopes && c < in->shape.c; c++) {
        add_slope(p, n->input[0], c, 2.0 * term * p->share_in[c]);
    }
    return term;
}

/* The term of the values of a group of units. */
static double value_term(const problem *p, uint32_t group, double sharp, int slopes)
{
    double most = -INFINITY, sum = 0.0, gain = 0.0;
    for (int pass = 0; pass < 2 + slopes; pass++) {
        const double term = pass < 2 ? 0.0 : exp(most + log(sum) / sharp) * gain * p->value_power;
        for (size_t i = group; i < p->m->node_count; i++) {
            for (size_t c = 0; p->group[i] == group && sotto_op_is_unit(p->m->nodes[i].op) && c < p->m->nodes[i].shape.c; c++) {
                const size_t at = p->o->first[i] + c;
                const double u = p->u[p->parent[at]], z = p->range[at] > 0.0 ? 2.0 * (log(p->range[at]) - u) : -INFINITY;
                if (pass == 0) {
                    most = z > most ? z : most;
                } else if (pass == 1) {
                    sum += z > -INFINITY ? exp(sharp * (z - most)) : 0.0;
                    gain += p->gain[at] * exp(2.0 * u);
                } else if (gain > 0.0) {
                    const double part = z > -INFINITY ? exp(sharp * (z - most)) / sum : 0.0;
                    add_slope(p, i, c, 2.0 * term * (p->gain[at] * exp(2.0 * u) / gain - part));
                }
            }
        }
        if (!(most > -INFINITY)) {
            return 0.0;
        }
    }
    return exp(most + log(sum) / sharp) * gain * p->value_power;
}

/* ---- setting up ------------------------------------------------------------------------------------------------------- */

/* Through a linear step backwards: noise of power 1 in a channel that it reads adds the squares of that channel's weights. */
static void gain_of_linear(problem *p, size_t at)
{
    const sotto_node *n = &p->m->nodes[at], *in = &p->m->nodes[n->input[0]];
    const size_t per = fan(n, in), taps = taps_of(n, in);
    const float *w = n->tensor[0];
    for (size_t o = 0; o < n->out; o++) {
        for (size_t c = 0; c < per; c++) {
            double most = 0.0, square = 0.0;
            for (size_t t = 0; t < taps; t++, w++) {
                most = fmax(most, fabs((double)*w));
                square += (double)*w * (double)*w;
            }
            p->most[at][o * per + c] = most > 0.0 ? (float)log(most) : 2.0f * NO_WEIGHT;
            p->gain[p->o->first[n->input[0]] + first_in(n, o, per) + c] += p->gain[p->o->first[at] + o] * square;
        }
    }
}

/* The share of a unit's values in which noise of what it reads is seen: not 0, and not cut off. */
static double passes(const problem *p, size_t at, size_t c)
{
    const sotto_node *n = &p->m->nodes[at];
    const sotto_unit_kind kind = (sotto_unit_kind)sotto_node_unit(n, (uint32_t)c).kind;
    return kind == SOTTO_UNIT_ZERO ? 0.0 : kind != SOTTO_UNIT_RELU ? 1.0 : sotto_observe_share(p->o, at, c, n->op == SOTTO_OP_CLIP ? n->tensor[0][c] : INFINITY);
}

/* Through any other step. */
static void gain_of_step(problem *p, size_t at)
{
    const sotto_model *m = p->m;
    const sotto_node *n = &m->nodes[at];
    const double area = n->op == SOTTO_OP_GLOBALAVG ? (double)area_of(&m->nodes[n->input[0]]) : n->op == SOTTO_OP_AVGPOOL ? (double)n->kernel_h * n->kernel_w
                        : n->op == SOTTO_OP_FLATTEN ? (double)area_of(&m->nodes[n->input[0]]) : 1.0;
    for (size_t c = 0; c < n->shape.c; c++) {
        uint32_t from;
        size_t channel;
        double *gain = &p->gain[p->o->first[at] + c];
        if (came_from(m, n, c, &from, &channel)) {
            p->gain[p->o->first[from] + channel] += *gain / area * (sotto_op_is_unit(n->op) ? passes(p, at, c) : 1.0);
        }
        if (n->op == SOTTO_OP_ADD) {
            p->gain[p->o->first[n->input[1]] + c] += *gain;
        }
        /* What is exactly 0 is not rounded. */
        *gain *= sotto_op_is_unit(n->op) && sotto_node_unit(n, (uint32_t)c).kind == SOTTO_UNIT_RELU ? sotto_observe_share(p->o, at, c, INFINITY) : 1.0;
    }
}

/* Relative to the power of what the layer computes, by the same weights. */
static void even_out(problem *p, size_t at)
{
    const size_t first = p->o->first[at], count = p->m->nodes[at].shape.c;
    double power = 0.0;
    for (size_t c = first; c < first + count; c++) {
        power += p->gain[c] * p->o->channel[c].square;
    }
    for (size_t c = first; c < first + count; c++) {
        p->gain[c] /= power > 0.0 ? power : 1.0;
    }
}

/* Of the input or a unit. The values of a polynomial have a long tail, which the largest would leave to most of the bits. */
static double range_of(const problem *p, size_t at, size_t c, const sotto_equalise_options *options)
{
    const unsigned kind = at == 0 ? SOTTO_UNIT_RELU : sotto_node_unit(&p->m->nodes[at], (uint32_t)c).kind;
    const int tail = options->method == SOTTO_RANGE_MAX && (kind == SOTTO_UNIT_SQUARE || kind == SOTTO_UNIT_CUBIC);
    return sotto_observe_range(p->o, at, c, tail ? SOTTO_RANGE_PERCENTILE : options->method, tail ? POLY_SHARE : options->share, options->value_bits);
}

/* What noise in each channel does to the logits, backwards; then the weights of channels within their layers. */
static void measure(problem *p, const sotto_equalise_options *options)
{
    const sotto_model *m = p->m;
    const size_t last = m->node_count - 1;
    for (size_t i = 0; i < m->node_count; i++) {
        for (size_t c = 0; c < m->nodes[i].shape.c; c++) {
            p->range[p->o->first[i] + c] = i == 0 || sotto_op_is_unit(m->nodes[i].op) ? range_of(p, i, c, options) : 0.0;
        }
    }
    for (size_t c = 0; c < m->nodes[last].shape.c; c++) {
        p->gain[p->o->first[last] + c] = 1.0;
    }
    for (size_t i = last; i > 0; i--) {
        (sotto_op_is_linear(m->nodes[i].op) ? gain_of_linear : gain_of_step)(p, i);
    }
    for (size_t i = 0; i < m->node_count; i++) {
        even_out(p, i);
    }
}

static void problem_free(problem *p)
{
    for (size_t i = 0; p->most != NULL && i < p->m->node_count; i++) {
        sotto_free(p->most[i]);
    }
    void *const all[] = {p->parent, p->fixed, p->group, p->range, p->gain, p->most, p->u, p->slope, p->momentum, p->square, p->factor, p->share_in, p->share_out};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        sotto_free(all[i]);
    }
}

static int problem_new(problem *p, const sotto_model *m, const sotto_observation *o, const sotto_equalise_options *options)
{
    const size_t n = o->channel_count;
    *p = (problem){.m = m, .o = o, .weight_power = ldexp(1.0, -2 * (int)options->weight_bits + 2) / 12.0,
                   .value_power = ldexp(1.0, -2 * (int)options->value_bits) / 12.0};
    p->parent = sotto_calloc(n, sizeof *p->parent);
    p->fixed = sotto_calloc(n, sizeof *p->fixed);
    p->group = sotto_calloc(m->node_count, sizeof *p->group);
    p->most = sotto_calloc(m->node_count, sizeof *p->most);
    int bad = p->parent == NULL || p->fixed == NULL || p->group == NULL || p->most == NULL;
    double **const arrays[] = {&p->range, &p->gain, &p->u, &p->slope, &p->momentum, &p->square, &p->factor, &p->share_in, &p->share_out};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        *arrays[i] = sotto_calloc(n, sizeof **arrays[i]);
        bad |= *arrays[i] == NULL;
    }
    for (size_t i = 0; !bad && i < m->node_count; i++) {
        const sotto_node *node = &m->nodes[i];
        p->group[i] = (uint32_t)i;
        if (sotto_op_is_linear(node->op)) {
            p->most[i] = sotto_calloc(node->out * fan(node, &m->nodes[node->input[0]]), sizeof **p->most);
            bad = p->most[i] == NULL;
        }
    }
    if (bad) {
        problem_free(p);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory to equalise %zu channels", n);
    }
    for (size_t i = 0; i < n; i++) {
        p->parent[i] = (uint32_t)i;
    }
    tie_channels(p);
    join_units(p);
    for (size_t i = 0; i < n; i++) {
        p->parent[i] = root(p->parent, (uint32_t)i);
    }
    for (size_t i = 0; i < m->node_count; i++) {
        p->group[i] = root(p->group, (uint32_t)i);
    }
    measure(p, options);
    return SOTTO_OK;
}

/* ---- descent ---------------------------------------------------------------------------------------------------------- */

/* Steps of Adam (Kingma and Ba, ICLR 2015) on the logarithm of the sum; the maxima sharpen as it goes. */
static void descend(problem *p)
{
    const size_t n = p->o->channel_count;
    for (int round = 0; round < ROUNDS; round++) {
        const double done = (double)round / ROUNDS, sharp = 2.0 * exp2(5.0 * done), rate = 0.1 * pow(0.02, done);
        double all = 0.0;
        memset(p->slope, 0, n * sizeof *p->slope);
        for (size_t i = 1; i < p->m->node_count; i++) {
            if (sotto_op_is_linear(p->m->nodes[i].op)) {
                all += weight_term(p, i, sharp, 1);
            } else if (sotto_op_is_unit(p->m->nodes[i].op) && p->group[i] == i) {
                all += value_term(p, (uint32_t)i, sharp, 1);
            }
        }
        for (size_t i = 0; all > 0.0 && i < n; i++) {
            const double g = p->slope[i] / all;
            p->momentum[i] = 0.9 * p->momentum[i] + 0.1 * g;
            p->square[i] = 0.99 * p->square[i] + 0.01 * g * g;
            if (!p->fixed[i] && p->parent[i] == i && p->square[i] > 0.0) {
                const double m = p->momentum[i] / (1.0 - pow(0.9, round + 1)), v = p->square[i] / (1.0 - pow(0.99, round + 1));
                p->u[i] = fmax(-LOG_MAX, fmin(LOG_MAX, p->u[i] - rate * m / (sqrt(v) + 1e-12)));
            }
        }
    }
}

static void scale_linear(const problem *p, sotto_node *n, size_t at)
{
    const sotto_node *in = &p->m->nodes[n->input[0]];
    const size_t per = fan(n, in), taps = taps_of(n, in);
    float *w = n->tensor[0];
    for (size_t o = 0; o < n->out; o++) {
        const double uo = log_factor(p, at, o);
        for (size_t c = 0; c < per; c++) {
            const double factor = exp(log_factor(p, n->input[0], first_in(n, o, per) + c) - uo);
            for (size_t t = 0; t < taps; t++, w++) {
                *w = (float)(*w * factor);
            }
        }
        n->tensor[1][o] = (float)(n->tensor[1][o] * exp(-uo));
    }
}

static void apply(const problem *p, sotto_model *m, sotto_observation *o)
{
    for (size_t i = 1; i < m->node_count; i++) {
        sotto_node *n = &m->nodes[i];
        if (sotto_op_is_linear(n->op)) {
            scale_linear(p, n, i);
        }
        for (size_t c = 0; c < n->shape.c; c++) {
            const double u = log_factor(p, i, c);
            if (n->op == SOTTO_OP_CLIP) {
                n->tensor[0][c] = (float)(n->tensor[0][c] * exp(-u));
            }
            for (unsigned k = 0; n->op == SOTTO_OP_ACT && n->tensor[0] != NULL && k < SOTTO_POLY_TERMS; k++) {
                float *term = &n->tensor[0][c * SOTTO_POLY_TERMS + k];
                *term = (float)(*term * exp(((double)k - 1.0) * u)); /* y / g = sum_k c_k g^(k - 1) (x / g)^k */
            }
        }
    }
    for (size_t i = 0; i < o->channel_count; i++) {
        sotto_channel_stats *s = &o->channel[i];
        const double g = exp(-p->u[p->parent[i]]);
        *s = (sotto_channel_stats){s->low * g, s->high * g, s->most * g, s->square * g * g, s->mean * g, s->bin_unit * g};
    }
}

static int check(const sotto_model *m, const sotto_observation *o)
{
    for (size_t i = 0; i < m->node_count; i++) {
        if (m->nodes[i].op == SOTTO_OP_BATCHNORM) {
            return sotto_fail(SOTTO_ERR_UNSUPPORTED, "node %s: a batch norm; deploy the model first", m->nodes[i].name);
        }
    }
    if (o->node_count != m->node_count || !sotto_model_has_weights(m)) {
        return sotto_fail(SOTTO_ERR_ARG, "equalisation needs the model's weights, and what was observed on that model");
    }
    return SOTTO_OK;
}

int sotto_equalise(sotto_model *m, sotto_observation *o, const sotto_equalise_options *options)
{
    problem p;
    int status = check(m, o);
    if (status == SOTTO_OK) {
        status = problem_new(&p, m, o, options);
    }
    if (status == SOTTO_OK) {
        descend(&p);
        apply(&p, m, o);
        problem_free(&p);
    }
    return status;
}

int sotto_quantisation_noise(const sotto_model *m, const sotto_observation *o, const sotto_equalise_options *options, double *noise, double *range)
{
    problem p;
    int status = check(m, o);
    if (status == SOTTO_OK) {
        status = problem_new(&p, m, o, options);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    for (size_t i = 0; i < m->node_count; i++) {
        noise[i] = range[i] = 0.0;
        if (i == 0) {
            double gain = 0.0;
            for (size_t c = 0; c < m->nodes[0].shape.c; c++) {
                range[0] = fmax(range[0], p.range[c]);
                gain += p.gain[c];
            }
            noise[0] = range[0] * range[0] * gain * ldexp(1.0, -2 * (int)options->input_bits + 2) / 12.0;
        } else if (sotto_op_is_linear(m->nodes[i].op)) {
            noise[i] = weight_term(&p, i, 1e3, 0);
        } else if (sotto_op_is_unit(m->nodes[i].op)) {
            const uint32_t group = p.group[i];
            double members = 0.0;
            for (size_t j = group; j < m->node_count; j++) {
                const int member = p.group[j] == group && sotto_op_is_unit(m->nodes[j].op);
                members += member;
                for (size_t c = 0; member && c < m->nodes[j].shape.c; c++) {
                    range[i] = fmax(range[i], p.range[o->first[j] + c]);
                }
            }
            noise[i] = value_term(&p, group, 1e3, 0) / members;
        }
    }
    problem_free(&p);
    return SOTTO_OK;
}
