/* Add, Sub, Mul, Div and Pow on polynomials of a node's output: a + b x + c x^2 + d x^3 with coefficients per channel. Nothing is appended here
 * until two values of different nodes meet; a polynomial becomes a node when another operator reads it (sotto_onnx_settle). */
#include <math.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/onnx/operators_internal.h"

/* One operand: an activation, or a constant with one figure per channel of the other. */
typedef struct operand {
    value *v;
    int constant;
    double *figures; /* constant: per channel; owned */
} operand;

static uint32_t channels_of(const reader *r, const value *v)
{
    return r->m->nodes[v->node].shape.c;
}

/* Element c of *figures is what the constant k is on channel c of x: numpy's broadcasting, with nothing that differs within a channel. */
static int broadcast(reader *r, const value *k, const value *x, double **figures)
{
    const uint32_t channels = channels_of(r, x);
    const unsigned spatial = x->rank - 1; /* dimensions behind the channels */
    floats_view f;
    const int status = sotto_onnx_floats_of(r, k, &f);
    if (status != SOTTO_OK) {
        return status;
    }
    int fits = f.count > 0 && f.rank <= x->rank + 1;
    for (unsigned i = 0; i < f.rank && fits; i++) {
        const int is_channel = i + 1 + spatial == f.rank;
        fits = f.dims[i] == 1 || (is_channel && f.dims[i] == channels);
    }
    if (!fits) {
        return sotto_onnx_refuse(r, "a constant of %zu numbers; supported: one number, or one for each of the %u channels", f.count, (unsigned)channels);
    }
    *figures = sotto_calloc(channels, sizeof **figures);
    if (*figures == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for %u figures", (unsigned)channels);
    }
    for (uint32_t c = 0; c < channels; c++) {
        (*figures)[c] = sotto_onnx_float(&f, f.count == 1 ? 0 : c);
    }
    return SOTTO_OK;
}

static void release(operand o[2])
{
    sotto_free(o[0].figures);
    sotto_free(o[1].figures);
}

/* Both operands; at least one is an activation, two are of one shape. */
static int operands(reader *r, operand o[2])
{
    memset(o, 0, 2 * sizeof *o);
    for (unsigned i = 0; i < 2; i++) {
        const int status = sotto_onnx_input(r, i, &o[i].v);
        if (status != SOTTO_OK) {
            return status;
        }
        if (o[i].v == NULL) {
            return sotto_onnx_broken(r, "input %u is missing", i);
        }
        o[i].constant = o[i].v->kind != VALUE_ACTIVATION;
    }
    if (o[0].constant && o[1].constant) {
        return sotto_onnx_refuse(r, "both inputs are constants; fold constants when the network is exported");
    }
    if (!o[0].constant && !o[1].constant) {
        const sotto_shape a = r->m->nodes[o[0].v->node].shape, b = r->m->nodes[o[1].v->node].shape;
        return a.c == b.c && a.h == b.h && a.w == b.w && o[0].v->rank == o[1].v->rank
                   ? SOTTO_OK
                   : sotto_onnx_refuse(r, "values of %u x %u x %u and %u x %u x %u; expected one shape", (unsigned)a.c, (unsigned)a.h, (unsigned)a.w,
                                       (unsigned)b.c, (unsigned)b.h, (unsigned)b.w);
    }
    const unsigned k = o[0].constant ? 0 : 1;
    return broadcast(r, o[k].v, o[1 - k].v, &o[k].figures);
}

/* Coefficients of an operand on a channel. */
static void coefficients(const operand *o, uint32_t c, double out[SOTTO_POLY_TERMS])
{
    memset(out, 0, SOTTO_POLY_TERMS * sizeof *out);
    if (o->constant) {
        out[0] = o->figures[c];
    } else if (o->v->poly == NULL) {
        out[1] = 1.0;
    } else {
        memcpy(out, o->v->poly + (size_t)c * SOTTO_POLY_TERMS, SOTTO_POLY_TERMS * sizeof *out);
    }
}

/* 0 when the product's degree is above 3. */
static int multiply(double out[SOTTO_POLY_TERMS], const double a[SOTTO_POLY_TERMS], const double b[SOTTO_POLY_TERMS])
{
    memset(out, 0, SOTTO_POLY_TERMS * sizeof *out);
    for (unsigned i = 0; i < SOTTO_POLY_TERMS; i++) {
        for (unsigned j = 0; j < SOTTO_POLY_TERMS; j++) {
            if (a[i] == 0.0 || b[j] == 0.0) {
                continue;
            }
            if (i + j >= SOTTO_POLY_TERMS) {
                return 0;
            }
            out[i + j] += a[i] * b[j];
        }
    }
    return 1;
}

static int add_two(double out[SOTTO_POLY_TERMS], const double a[SOTTO_POLY_TERMS], const double b[SOTTO_POLY_TERMS])
{
    for (unsigned i = 0; i < SOTTO_POLY_TERMS; i++) {
        out[i] = a[i] + b[i];
    }
    return 1;
}

static int subtract(double out[SOTTO_POLY_TERMS], const double a[SOTTO_POLY_TERMS], const double b[SOTTO_POLY_TERMS])
{
    for (unsigned i = 0; i < SOTTO_POLY_TERMS; i++) {
        out[i] = a[i] - b[i];
    }
    return 1;
}

/* By a constant alone. */
static int divide(double out[SOTTO_POLY_TERMS], const double a[SOTTO_POLY_TERMS], const double b[SOTTO_POLY_TERMS])
{
    for (unsigned i = 0; i < SOTTO_POLY_TERMS; i++) {
        out[i] = a[i] / b[0];
    }
    return b[0] != 0.0 && b[1] == 0.0 && b[2] == 0.0 && b[3] == 0.0;
}

typedef int (*combine_fn)(double out[SOTTO_POLY_TERMS], const double a[SOTTO_POLY_TERMS], const double b[SOTTO_POLY_TERMS]);

/* Both operands are polynomials of one node's output, or one is a constant. */
static int combine(reader *r, const operand o[2], combine_fn fn, const char *allowed)
{
    const value *x = o[o[0].constant ? 1 : 0].v;
    value v = {.kind = VALUE_ACTIVATION, .node = x->node, .rank = x->rank};
    const uint32_t channels = channels_of(r, x);
    int status = sotto_onnx_poly(r, &v.poly, channels);
    for (uint32_t c = 0; c < channels && status == SOTTO_OK; c++) {
        double a[SOTTO_POLY_TERMS], b[SOTTO_POLY_TERMS], *out = v.poly + (size_t)c * SOTTO_POLY_TERMS;
        coefficients(&o[0], c, a);
        coefficients(&o[1], c, b);
        if (!fn(out, a, b)) {
            status = sotto_onnx_refuse(r, "%s", allowed);
        }
        for (unsigned i = 0; i < SOTTO_POLY_TERMS && status == SOTTO_OK; i++) {
            status = isfinite((float)out[i]) ? SOTTO_OK : sotto_onnx_broken(r, "a coefficient is too large for a float");
        }
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_define(r, r->node->output[0], &v);
    }
    if (status != SOTTO_OK) {
        sotto_free(v.poly);
    }
    return status;
}

/* The sum of outputs of two nodes. */
static int add_nodes(reader *r, const operand o[2])
{
    int status = sotto_onnx_settle(r, o[0].v);
    if (status == SOTTO_OK) {
        status = sotto_onnx_settle(r, o[1].v);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    sotto_node n = {.op = SOTTO_OP_ADD, .input = {o[0].v->node, o[1].v->node}, .groups = 1, .shape = r->m->nodes[o[0].v->node].shape};
    return sotto_onnx_append(r, &n, o[0].v->rank);
}

static int arithmetic(reader *r, combine_fn fn, const char *allowed)
{
    operand o[2];
    int status = operands(r, o);
    if (status == SOTTO_OK && !o[0].constant && !o[1].constant && o[0].v->node != o[1].v->node) {
        status = fn == add_two ? add_nodes(r, o) : sotto_onnx_refuse(r, "%s", allowed);
    } else if (status == SOTTO_OK) {
        status = combine(r, o, fn, allowed);
    }
    release(o);
    return status;
}

int sotto_onnx_op_add(reader *r)
{
    return arithmetic(r, add_two, "supported: a sum of two values, or of a value and a constant");
}

int sotto_onnx_op_sub(reader *r)
{
    return arithmetic(r, subtract, "supported: the difference of polynomials of one value");
}

int sotto_onnx_op_mul(reader *r)
{
    return arithmetic(r, multiply, "supported: products with constants, and squares and cubes of one value");
}

int sotto_onnx_op_div(reader *r)
{
    return arithmetic(r, divide, "supported: division by a constant other than 0");
}

int sotto_onnx_op_pow(reader *r)
{
    value *x, *k;
    floats_view f;
    int status = sotto_onnx_input(r, 0, &x);
    if (status == SOTTO_OK) {
        status = sotto_onnx_input(r, 1, &k);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_floats_of(r, k, &f);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    const float exponent = f.count == 1 ? sotto_onnx_float(&f, 0) : 0.0f;
    if (x == NULL || x->kind != VALUE_ACTIVATION || (exponent != 2.0f && exponent != 3.0f)) {
        return sotto_onnx_refuse(r, "supported: a value to the power of 2 or 3");
    }
    operand o[2] = {{.v = x}, {.v = x}};
    if (exponent == 2.0f) {
        return combine(r, o, multiply, "supported: polynomials up to degree 3");
    }
    if (x->poly != NULL) {
        status = sotto_onnx_settle(r, x);
        if (status != SOTTO_OK) {
            return status;
        }
    }
    value v = {.kind = VALUE_ACTIVATION, .node = x->node, .rank = x->rank};
    status = sotto_onnx_poly(r, &v.poly, channels_of(r, x));
    for (uint32_t c = 0; status == SOTTO_OK && c < channels_of(r, x); c++) {
        v.poly[(size_t)c * SOTTO_POLY_TERMS + 3] = 1.0;
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_define(r, r->node->output[0], &v);
    }
    if (status != SOTTO_OK) {
        sotto_free(v.poly);
    }
    return status;
}

/* With constants above 0, of what is not below 0: a clip whose bounds may differ between channels. */
int sotto_onnx_op_min(reader *r)
{
    operand o[2];
    float *bounds = NULL;
    int status = operands(r, o);
    const unsigned k = o[0].constant ? 0 : 1;
    value *x = o[1 - k].v;
    if (status == SOTTO_OK && !o[k].constant) {
        status = sotto_onnx_refuse(r, "supported: the minimum of a relu and constants above 0");
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_settle(r, x);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_floats(r, &bounds, channels_of(r, x));
    }
    for (uint32_t c = 0; status == SOTTO_OK && c < channels_of(r, x); c++) {
        bounds[c] = (float)o[k].figures[c];
        if (r->m->nodes[x->node].op != SOTTO_OP_RELU || !(bounds[c] > 0.0f)) {
            status = sotto_onnx_refuse(r, "supported: the minimum of a relu and constants above 0");
        }
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_clip(r, x, bounds, channels_of(r, x));
    }
    sotto_free(bounds);
    release(o);
    return status;
}
