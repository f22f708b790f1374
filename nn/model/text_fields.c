#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/model/text_internal.h"
#include "nn/sotto.h"
#include "ot/extension.h"

locale_t sotto_text_numbers_begin(locale_t *before)
{
    const locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    *before = c == (locale_t)0 ? c : uselocale(c);
    return c;
}

void sotto_text_numbers_end(locale_t c, locale_t before)
{
    if (c != (locale_t)0) {
        uselocale(before);
        freelocale(c);
    }
}

int sotto_text_number(const char *s, uint32_t low, uint32_t high, const char **rest, uint32_t *out)
{
    uint64_t v = 0;
    const char *p = s;
    for (; *p >= '0' && *p <= '9'; p++) {
        v = v * 10 + (uint64_t)(*p - '0');
        if (v > high) {
            return 0;
        }
    }
    *rest = p;
    *out = (uint32_t)v;
    return p != s && v >= low;
}

int sotto_text_real(const char *s, char stop, const char **rest, double *out)
{
    char *end;
    if ((*s < '0' || *s > '9') && *s != '-' && *s != '.') {
        return 0;
    }
    *out = strtod(s, &end);
    *rest = end;
    return end != s && isfinite(*out) && (*end == '\0' || *end == stop);
}

void sotto_text_put(text_out *o, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(o->data + o->len, o->cap - o->len, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= o->cap - o->len) {
        o->full = 1;
    } else {
        o->len += (size_t)n;
    }
}

/* ---- kinds of fields ------------------------------------------------------------------------------------------------ */

static size_t numbers_of(const text_field *f)
{
    size_t count = 0;
    while (count < sizeof f->number / sizeof *f->number && f->number[count].high > 0) {
        count++;
    }
    return count;
}

static uint32_t number_at(const text_field *f, const sotto_node *n, size_t i)
{
    uint32_t x;
    memcpy(&x, (const char *)n + f->number[i].at, sizeof x);
    return x;
}

int sotto_text_spared(const text_field *f, const sotto_node *n)
{
    int zero = f->spare;
    for (size_t i = 0; zero && i < numbers_of(f); i++) {
        zero = number_at(f, n, i) == 0;
    }
    return zero;
}

static int read_numbers(const text_field *f, sotto_node *n, const char *value)
{
    const size_t count = numbers_of(f);
    for (size_t i = 0; i < count; i++, value++) {
        uint32_t x;
        if (!sotto_text_number(value, f->number[i].low, f->number[i].high, &value, &x) || *value != (i + 1 < count ? f->separator : '\0')) {
            return 0;
        }
        memcpy((char *)n + f->number[i].at, &x, sizeof x);
    }
    return 1;
}

static void write_numbers(const text_field *f, text_out *o, const sotto_node *n)
{
    for (size_t i = 0; i < numbers_of(f); i++) {
        if (i > 0) {
            sotto_text_put(o, "%c", f->separator);
        }
        sotto_text_put(o, "%u", (unsigned)number_at(f, n, i));
    }
}

/* Sides of an image: N or HxW as well, for as many as there are. */
static int read_sides(const text_field *f, sotto_node *n, const char *value)
{
    const uint32_t low = f->number[0].low, high = f->number[0].high;
    uint32_t x[2];
    if (strchr(value, ',') != NULL) {
        return read_numbers(f, n, value);
    }
    if (!sotto_text_number(value, low, high, &value, &x[0])) {
        return 0;
    }
    x[1] = x[0];
    if (*value == 'x' && !sotto_text_number(value + 1, low, high, &value, &x[1])) {
        return 0;
    }
    for (size_t i = 0; i < numbers_of(f); i++) {
        memcpy((char *)n + f->number[i].at, &x[i % 2], sizeof *x);
    }
    return *value == '\0';
}

static int read_scale(const text_field *f, sotto_node *n, const char *value)
{
    double x;
    if (!sotto_text_real(value, '\0', &value, &x) || !(x > 0.0)) {
        return 0;
    }
    memcpy((char *)n + f->number[0].at, &x, sizeof x);
    return 1;
}

static void write_scale(const text_field *f, text_out *o, const sotto_node *n)
{
    double x;
    memcpy(&x, (const char *)n + f->number[0].at, sizeof x);
    sotto_text_put(o, "%.17g", x);
}

static int read_epsilon(const text_field *f, sotto_node *n, const char *value)
{
    double x;
    (void)f;
    if (!sotto_text_real(value, '\0', &value, &x) || !((float)x > 0.0f) || !isfinite((float)x)) {
        return 0;
    }
    n->epsilon = (float)x;
    return 1;
}

static void write_epsilon(const text_field *f, text_out *o, const sotto_node *n)
{
    (void)f;
    sotto_text_put(o, "%.9g", (double)n->epsilon);
}

/* Degree, then the bits of each prime; the table's number is how many there are. */
static int read_he(const text_field *f, sotto_node *n, const char *value)
{
    uint32_t x;
    (void)f;
    if (!sotto_text_number(value, 1024, 32768, &value, &n->plan.he_n) || *value != ':') {
        return 0;
    }
    n->plan.he_primes = 0;
    do {
        if (n->plan.he_primes == SOTTO_PRIMES_MAX || !sotto_text_number(value + 1, 12, 61, &value, &x)) {
            return 0;
        }
        n->plan.he_prime_bits[n->plan.he_primes++] = x;
    } while (*value == ',');
    return *value == '\0';
}

static void write_he(const text_field *f, text_out *o, const sotto_node *n)
{
    (void)f;
    sotto_text_put(o, "%u", (unsigned)n->plan.he_n);
    for (unsigned i = 0; i < n->plan.he_primes; i++) {
        sotto_text_put(o, "%c%u", i == 0 ? ':' : ',', n->plan.he_prime_bits[i]);
    }
}

/* One of the names of low, low + 1, ..., high. */
static int read_name(const text_field *f, sotto_node *n, const char *value, const char *(*name)(uint32_t x))
{
    uint32_t x = f->number[0].low;
    while (x <= f->number[0].high && strcmp(name(x), value) != 0) {
        x++;
    }
    memcpy((char *)n + f->number[0].at, &x, sizeof x);
    return x <= f->number[0].high && strcmp(value, name(0)) != 0; /* 0 has the name of what there is not */
}

static const char *sign_name(uint32_t x)
{
    return sotto_sign_name(x == 0 ? SOTTO_SIGN_PROVIDERS : (sotto_sign_provider)(x - 1));
}

static int read_sign(const text_field *f, sotto_node *n, const char *value)
{
    return read_name(f, n, value, sign_name);
}

static void write_sign(const text_field *f, text_out *o, const sotto_node *n)
{
    sotto_text_put(o, "%s", sign_name(number_at(f, n, 0)));
}

static const char *ot_name(uint32_t x)
{
    return sotto_ot_kind_name((sotto_ot_kind)x);
}

static int read_ot(const text_field *f, sotto_node *n, const char *value)
{
    return read_name(f, n, value, ot_name);
}

static void write_ot(const text_field *f, text_out *o, const sotto_node *n)
{
    sotto_text_put(o, "%s", ot_name(number_at(f, n, 0)));
}

static const text_kind numbers = {read_numbers, write_numbers}, sides = {read_sides, write_numbers}, scale = {read_scale, write_scale},
                       epsilon = {read_epsilon, write_epsilon}, he = {read_he, write_he},
                       sign = {read_sign, write_sign}, ot = {read_ot, write_ot};

/* ---- the fields ------------------------------------------------------------------------------------------------------- */

#define OP(op) (1u << SOTTO_OP_##op)
#define WINDOWS (OP(CONV) | OP(MAXPOOL) | OP(AVGPOOL))
#define LINEAR (OP(CONV) | OP(DENSE))
#define SIGNS (OP(RELU) | OP(CLIP) | OP(ACT))
#define UNITS (SIGNS | OP(IDENTITY))
#define COUNT(a) (sizeof(a) / sizeof *(a))
#define IN(field, low, high) {offsetof(sotto_node, field), low, high}
#define SIDE(field, low) IN(field, low, SOTTO_DIM_MAX)

static const text_field node_fields[] = {
    {"out", "1 to 65536", LINEAR, LINEAR, 0, &numbers, 0, {SIDE(out, 1)}},
    {"kernel", "N or HxW", WINDOWS, WINDOWS, 0, &sides, 'x', {SIDE(kernel_h, 1), SIDE(kernel_w, 1)}},
    {"stride", "N or HxW", WINDOWS, 0, 0, &sides, 'x', {SIDE(stride_h, 1), SIDE(stride_w, 1)}},
    {"pad", "N, HxW or top,left,bottom,right", WINDOWS | OP(PAD), 0, 0, &sides, ',', {SIDE(pad_top, 0), SIDE(pad_left, 0), SIDE(pad_bottom, 0), SIDE(pad_right, 0)}},
    {"channels", "before,after", OP(PAD), 0, 0, &numbers, ',', {SIDE(pad_front, 0), SIDE(pad_back, 0)}},
    {"groups", "1 to 65536", OP(CONV), 0, 0, &numbers, 0, {SIDE(groups, 1)}},
    {"epsilon", "a number above 0", OP(BATCHNORM), 0, 0, &epsilon, 0, {{0}}},
};

static const text_field plan_fields[] = {
    {"scale", "a number above 0", OP(INPUT), OP(INPUT), 0, &scale, 0, {IN(plan.scale, 0, 0)}},
    {"bits", "2 to 16", OP(INPUT), OP(INPUT), 0, &numbers, 0, {IN(plan.bits, 2, 16)}},
    {"sign", "lookup, circuit or circuit3", OP(INPUT), 0, 1, &sign, 0, {IN(plan.sign, 1, SOTTO_SIGN_PROVIDERS)}},
    {"ot", "iknp, softspoken2 to softspoken8 or ferret", OP(INPUT), 0, 1, &ot, 0, {IN(plan.ot, SOTTO_OT_IKNP, SOTTO_OT_FERRET)}},
    {"weight-scale", "a number above 0", LINEAR, LINEAR, 0, &scale, 0, {IN(plan.weight_scale, 0, 0)}},
    {"weight-bits", "2 to 16", LINEAR, LINEAR, 0, &numbers, 0, {IN(plan.weight_bits, 2, 16)}},
    {"he", "N:BITS,BITS,... such as 4096:46,46", LINEAR, 0, 1, &he, ',', {IN(plan.he_primes, 1, SOTTO_PRIMES_MAX)}},
    {"tile", "PLANESxFILTERSxROWSxCOLUMNS", LINEAR, 0, 1, &numbers, 'x',
     {IN(plan.tile[0], 1, UINT32_MAX), IN(plan.tile[1], 1, UINT32_MAX), IN(plan.tile[2], 1, UINT32_MAX), IN(plan.tile[3], 1, UINT32_MAX)}},
    {"f", "0 to 40", UNITS, UNITS, 0, &numbers, 0, {IN(plan.f, 0, 40)}},
    {"k", "2 to 50", ~OP(INPUT), UNITS | OP(MAXPOOL), 1, &numbers, 0, {IN(plan.k, 2, 50)}},
    {"u", "2 to 50", SIGNS | OP(MAXPOOL), SIGNS | OP(MAXPOOL), 0, &numbers, 0, {IN(plan.u, 2, 50)}},
    {"poly", "F,SHIFT,BITS,K,EXCHANGE such as 7,14,9,24,1", OP(ACT), 0, 1, &numbers, ',',
     {IN(plan.poly.f, 0, 40), IN(plan.poly.shift, 0, 40), IN(plan.poly.bits, 2, 24), IN(plan.poly.k, 2, 58), IN(plan.poly.exchange, 0, 1)}},
};

const text_fields sotto_text_node_fields = {node_fields, COUNT(node_fields)}, sotto_text_plan_fields = {plan_fields, COUNT(plan_fields)};

const char *const sotto_text_unit_names[SOTTO_UNIT_KINDS] = {"relu", "identity", "zero", "square", "cubic"};
