#include "nn/plain/calibrate.h"

#include <math.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/plain/float.h"

typedef struct range {
    double low, high; /* smallest and largest value seen */
} range;

sotto_calibration sotto_calibration_default(void)
{
    return (sotto_calibration){.weight_bits = 8, .value_bits = 8, .input_bits = 9, .sign_bits = 8, .margin = 1.5};
}

static int check_options(const sotto_calibration *o, size_t count)
{
    if (o->weight_bits < 2 || o->weight_bits > 16 || o->value_bits < 2 || o->value_bits > 16 || o->input_bits < 2 || o->input_bits > 16 ||
        o->sign_bits < 2 || o->sign_bits > 49 || !(o->margin >= 0.01) || !(o->margin <= 1024.0) || count == 0) {
        return sotto_fail(SOTTO_ERR_ARG, "calibration: weight, value and input bits 2 to 16, sign bits 2 to 49, margin 0.01 to 1024, at "
                                         "least one image");
    }
    return SOTTO_OK;
}

static int observe(const sotto_model *m, range *seen, const uint8_t *images, size_t count,
                   void (*progress)(void *ctx, size_t done, size_t count), void *ctx)
{
    const size_t words = sotto_shape_words(m->nodes[0].shape);
    sotto_float_run *run = NULL;
    float *x = sotto_calloc(words, sizeof *x);
    int status = x == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for an image") : sotto_float_run_new(&run, m);
    for (size_t i = 0; i < count && status == SOTTO_OK; i++) {
        sotto_normalise(m, x, images + i * words);
        status = sotto_float_infer(run, x);
        for (size_t n = 0; n < m->node_count && status == SOTTO_OK; n++) {
            const float *v = sotto_float_value(run, n);
            const size_t size = sotto_shape_words(m->nodes[n].shape);
            for (size_t j = 0; j < size; j++) {
                seen[n].low = v[j] < seen[n].low ? v[j] : seen[n].low;
                seen[n].high = v[j] > seen[n].high ? v[j] : seen[n].high;
            }
        }
        if (progress != NULL) {
            progress(ctx, i + 1, count);
        }
    }
    sotto_float_run_free(run);
    sotto_free(x);
    return status;
}

static double magnitude(range r)
{
    return fmax(-r.low, r.high);
}

/* Least k with -2^(k-1) <= -x and x < 2^(k-1); 64 where that is out of reach, which a program refuses. */
static unsigned bits_for(double x)
{
    unsigned k = 2;
    while (k < 64 && ldexp(1.0, (int)k - 1) <= x) {
        k++;
    }
    return k;
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

/* The plan of one node and the scale of its value, those of earlier nodes being there; `enlarge` multiplies the weight scale. */
static void plan_node(sotto_model *m, size_t at, double *scale, const range *seen, const sotto_calibration *o, double enlarge)
{
    sotto_node *n = &m->nodes[at];
    sotto_node_plan *p = &n->plan;
    const double in = scale[n->input[0]];
    const range before = seen[n->input[0]];
    memset(p, 0, sizeof *p);
    scale[at] = in;
    if (n->op == SOTTO_OP_INPUT) {
        const double most = magnitude(seen[at]);
        *p = (sotto_node_plan){.present = 1, .bits = o->input_bits};
        scale[at] = p->scale = most > 0.0 ? most / (ldexp(1.0, (int)o->input_bits - 1) - 1.0) : 1.0;
    } else if (sotto_op_is_linear(n->op)) {
        *p = (sotto_node_plan){.present = 1, .weight_bits = o->weight_bits};
        p->weight_scale = weight_scale(m, n, o->weight_bits) * enlarge;
        scale[at] = in * p->weight_scale;
    } else if (sotto_op_is_unit(n->op)) {
        const double most = (n->op == SOTTO_OP_RELU ? fmax(before.high, 0.0) : magnitude(before)) / in;
        *p = (sotto_node_plan){.present = 1, .k = bits_for(o->margin * magnitude(before) / in)};
        while (p->f < 40 && most > ldexp(1.0, (int)(o->value_bits + p->f)) - 1.0) {
            p->f++;
        }
        p->u = n->op == SOTTO_OP_RELU ? (o->sign_bits < p->k ? o->sign_bits : p->k) : 0;
        scale[at] = ldexp(in, (int)p->f);
    } else if (n->op == SOTTO_OP_MAXPOOL) {
        /* A difference reaches twice as far as a value, so one bit more decides to the same precision. */
        *p = (sotto_node_plan){.present = 1, .k = bits_for(o->margin * (before.high - before.low) / in)};
        p->u = o->sign_bits + 1 < p->k ? o->sign_bits + 1 : p->k;
    } else if (n->op == SOTTO_OP_AVGPOOL) {
        scale[at] = in / ((double)n->kernel_h * n->kernel_w);
    } else if (n->op == SOTTO_OP_GLOBALAVG) {
        const sotto_shape s = m->nodes[n->input[0]].shape;
        scale[at] = in / ((double)s.h * s.w);
    } else if (n->op == SOTTO_OP_ADD) {
        scale[at] = fmin(in, scale[n->input[1]]);
    }
}

/* The linear node that alone determines the scale of a value; 0 when there is none. */
static size_t source(const sotto_model *m, size_t node)
{
    while (node != 0 && !sotto_op_is_linear(m->nodes[node].op)) {
        if (m->nodes[node].op == SOTTO_OP_ADD) {
            return 0;
        }
        node = m->nodes[node].input[0];
    }
    return node;
}

/* Enlarges a weight scale so that the operands of an addition fit; the later of the two linear nodes, since fewer values hang on it. 1: changed. */
static int fit(const sotto_model *m, size_t add, const double *scale, double *enlarge)
{
    const uint32_t *in = m->nodes[add].input;
    const double shift = log2(scale[in[0]] / scale[in[1]]);
    if (fabs(shift - nearbyint(shift)) < 1e-9) {
        return 0;
    }
    const size_t from[2] = {source(m, in[0]), source(m, in[1])};
    const unsigned side = from[1] > from[0];
    if (from[side] == 0 || from[0] == from[1]) {
        return -1;
    }
    const double gap = side == 1 ? -shift : shift; /* of the side that moves over the other */
    enlarge[from[side]] *= exp2(ceil(gap) - gap);
    return 1;
}

static int plan_all(sotto_model *m, const range *seen, const sotto_calibration *o, double *scale, double *enlarge)
{
    /* Every change concerns a later node than the additions that fit already in the usual graphs; others run into the bound. */
    for (size_t rounds = 0; rounds <= m->node_count; rounds++) {
        int changed = 0;
        for (size_t i = 0; i < m->node_count && !changed; i++) {
            plan_node(m, i, scale, seen, o, enlarge[i]);
            if (m->nodes[i].op == SOTTO_OP_ADD) {
                changed = fit(m, i, scale, enlarge);
                if (changed < 0) {
                    return sotto_fail(SOTTO_ERR_UNSUPPORTED, "node %s: the scales of its inputs cannot be made to differ by a power of two; put a "
                                                             "linear node into one of the branches", m->nodes[i].name);
                }
            }
        }
        if (!changed) {
            const size_t last = m->node_count - 1;
            sotto_node_plan *p = &m->nodes[last].plan;
            const unsigned k = bits_for(o->margin * magnitude(seen[last]) / scale[last]);
            p->present = 1;
            p->k = k > p->k ? k : p->k; /* a maxpool has one already, of its differences */
            return SOTTO_OK;
        }
    }
    return sotto_fail(SOTTO_ERR_UNSUPPORTED, "the scales of the additions cannot all be made to fit; put a linear node into each branch");
}

int sotto_calibrate(sotto_model *m, const sotto_calibration *options, const uint8_t *images, size_t count,
                    void (*progress)(void *ctx, size_t done, size_t count), void *ctx)
{
    int status = check_options(options, count);
    if (status != SOTTO_OK) {
        return status;
    }
    range *seen = sotto_calloc(m->node_count, sizeof *seen);
    double *scale = sotto_calloc(m->node_count, sizeof *scale), *enlarge = sotto_calloc(m->node_count, sizeof *enlarge);
    if (seen == NULL || scale == NULL || enlarge == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a calibration of %zu nodes", m->node_count);
        goto done;
    }
    for (size_t i = 0; i < m->node_count; i++) {
        enlarge[i] = 1.0;
    }
    status = observe(m, seen, images, count, progress, ctx);
    if (status == SOTTO_OK) {
        status = plan_all(m, seen, options, scale, enlarge);
        for (size_t i = 0; i < m->node_count && status != SOTTO_OK; i++) {
            memset(&m->nodes[i].plan, 0, sizeof m->nodes[i].plan);
        }
    }
done:
    sotto_free(seen);
    sotto_free(scale);
    sotto_free(enlarge);
    return status;
}
