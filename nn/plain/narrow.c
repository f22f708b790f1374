#include "nn/plain/narrow_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/plain/narrow_kernel.h"

#define FITS (INT64_C(1) << 30) /* magnitudes below: a half may be added and two may be subtracted in 32 bits */

typedef struct layer {
    sotto_narrow_conv conv; /* LINEAR */
    int depthwise;
    int64_t gain, bias;     /* LINEAR: largest sum of a filter's magnitudes, largest bias */
    double norm;            /* LINEAR: largest 2-norm of a filter */
    size_t weight_count;
    const int64_t *poly;    /* POLY: coefficients, the program's */
    int32_t *bound;         /* clip: per channel, zero-padded */
    int32_t *range[4];      /* UNIT, MAX: per channel, zero-padded: the ranges of sotto_narrow_unit in their order */
    int64_t most_bound;
} layer;

struct sotto_narrow {
    const sotto_program *p;
    const sotto_narrow_kernels *kernels;
    layer *layers;
    int32_t **value;
    int64_t *most;     /* per step: no value is larger in magnitude */
    int16_t *image;    /* what a linear step reads, with its padding */
    size_t image_words;
    int32_t *sums;     /* of patches */
    size_t sum_count;
    int32_t *rest, *zeros; /* of a linear step over larger values; no bias */
    size_t rest_count, lane_count;
};

static const sotto_narrow_kernels *choose(void)
{
#if defined(__x86_64__)
    const sotto_tier tier = sotto_cpu_tier();
    if (tier >= SOTTO_TIER_AVX512) {
        return &sotto_narrow_kernels_avx512;
    }
    if (tier >= SOTTO_TIER_AVX2) {
        return &sotto_narrow_kernels_avx2;
    }
#endif
    return &sotto_narrow_kernels_ref;
}

static size_t padded(size_t channels)
{
    return (channels + SOTTO_NARROW_BLOCK - 1) / SOTTO_NARROW_BLOCK * SOTTO_NARROW_BLOCK;
}

static size_t area_of(const sotto_step_info *s)
{
    return (size_t)s->shape.h * s->shape.w;
}

static size_t stored(const sotto_step_info *s)
{
    return s->ways * area_of(s) * padded(s->shape.c);
}

/* ---- making ------------------------------------------------------------------------------------------------------------ */

static int same_shape(sotto_shape a, sotto_shape b)
{
    return a.c == b.c && a.h == b.h && a.w == b.w;
}

static int runs(const sotto_program *p, const sotto_program_weights *w)
{
    for (size_t at = 0; at < p->step_count; at++) {
        const sotto_step_info *s = &p->steps[at];
        const int alike = s->op == SOTTO_STEP_ADD ? 2 : s->op == SOTTO_STEP_UNIT || s->op == SOTTO_STEP_POLY ? 1 : 0;
        for (int k = 0; k < alike; k++) {
            if (!same_shape(s->shape, p->steps[s->in[k]].shape)) { /* a flattened image, whose words stand otherwise here */
                return 0;
            }
        }
        for (size_t i = 0; i < w->weight_counts[at]; i++) {
            if (w->weights[at][i] >= 1 << 15 || w->weights[at][i] <= -(1 << 15)) {
                return 0;
            }
        }
        if (s->truncation.f > 30) {
            return 0;
        }
    }
    return 1;
}

/* Word of a pixel of the image that input channel c is read from, and for a dense step, whose pixel is the whole image, that value c is read from. */
static size_t position(const sotto_step_info *s, const sotto_step_info *from, size_t c)
{
    if (s->linear.in_c == from->shape.c) {
        return c;
    }
    const size_t area = area_of(from);
    return c % area * padded(from->shape.c) + c / area;
}

static void pack(layer *l, const sotto_step_info *s, const sotto_step_info *from, const int32_t *w, const int64_t *bias)
{
    const sotto_linear_shape *d = &s->linear;
    const size_t per = d->in_c / d->groups, taps = (size_t)d->kernel_h * d->kernel_w, filters = d->out_c / d->groups;
    for (size_t m = 0; m < d->out_c; m++) {
        int64_t sum = 0;
        double square = 0.0;
        for (size_t c = 0; c < per; c++) {
            for (size_t t = 0; t < taps; t++) {
                const int32_t x = *w++;
                const size_t at = position(s, from, m / filters * per + c), block = m / SOTTO_NARROW_BLOCK, lane = m % SOTTO_NARROW_BLOCK;
                const size_t to = l->depthwise ? t * l->conv.lanes + m
                                               : (((block * taps + t) * (l->conv.pixel / 2) + at / 2) * SOTTO_NARROW_BLOCK + lane) * 2 + at % 2;
                l->conv.weights[to] = (int16_t)x;
                sum += abs(x);
                square += (double)x * x;
            }
        }
        l->gain = sum > l->gain ? sum : l->gain;
        l->norm = fmax(l->norm, sqrt(square));
        l->bias = llabs(bias[m]) > l->bias ? llabs(bias[m]) : l->bias;
        l->conv.bias[m] = l->bias < FITS ? (int32_t)bias[m] : 0;
    }
}

static int linear_new(sotto_narrow *n, size_t at, const sotto_program_weights *w)
{
    const sotto_step_info *s = &n->p->steps[at], *from = &n->p->steps[s->in[0]];
    const sotto_linear_shape *d = &s->linear;
    layer *l = &n->layers[at];
    const int flat = d->in_c != from->shape.c; /* a dense step over an image */
    l->depthwise = d->groups > 1 && d->groups == d->in_c && d->groups == d->out_c;
    l->conv = (sotto_narrow_conv){.out_h = s->shape.h, .out_w = s->shape.w, .kernel_h = d->kernel_h, .kernel_w = d->kernel_w,
                                  .stride_h = d->stride_h, .stride_w = d->stride_w, .row = (size_t)d->in_w + d->pad_left + d->pad_right,
                                  .pixel = flat           ? stored(from)
                                           : l->depthwise ? padded(d->in_c)
                                                          : (d->in_c + (size_t)1) / 2 * 2,
                                  .lanes = padded(d->out_c)};
    const size_t words = l->conv.row * ((size_t)d->in_h + d->pad_top + d->pad_bottom) * l->conv.pixel;
    n->image_words = words > n->image_words ? words : n->image_words;
    n->rest_count = stored(s) > n->rest_count ? stored(s) : n->rest_count;
    n->lane_count = l->conv.lanes > n->lane_count ? l->conv.lanes : n->lane_count;
    l->weight_count = (size_t)d->kernel_h * d->kernel_w * (l->depthwise ? 1 : l->conv.pixel) * l->conv.lanes;
    l->conv.weights = sotto_calloc(l->weight_count, sizeof *l->conv.weights);
    l->conv.bias = sotto_calloc(l->conv.lanes, sizeof *l->conv.bias);
    if (l->conv.weights == NULL || l->conv.bias == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the weights of a linear step");
    }
    pack(l, s, from, w->weights[at], w->bias[at]);
    return SOTTO_OK;
}

static int32_t narrowed(int64_t x)
{
    return x < INT32_MIN ? INT32_MIN : x > INT32_MAX ? INT32_MAX : (int32_t)x;
}

/* As outside_truncation and outside_sign of fixed.c say it; an end beyond 32 bits is never passed. In a mixed layer of the truncation alone: signs are another matter there. */
static int ranges_new(layer *l, const sotto_step_info *s)
{
    const size_t lanes = padded(s->shape.c), area = area_of(s);
    const int64_t end = INT64_C(1) << (s->k - 1);
    const int64_t carry = sotto_truncation_widen(s->truncation) > 0 && s->truncation.l == s->k + 1 ? (INT64_C(1) << s->truncation.f) - 1 : 0;
    for (unsigned i = 0; i < 4; i++) {
        l->range[i] = sotto_calloc(lanes, sizeof *l->range[i]);
        if (l->range[i] == NULL) {
            return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the ranges of a step");
        }
    }
    for (size_t c = 0; c < s->shape.c; c++) {
        int64_t low = -end, high = end - 1;
        if (s->sign && s->decision == NULL) {
            sotto_sign_range(s->sign_window, s->lift == NULL ? 0 : s->lift[c * area], &low, &high);
        }
        l->range[0][c] = l->range[2][c] = narrowed(low);
        l->range[1][c] = narrowed(high < end - 1 - carry ? high : end - 1 - carry);
        l->range[3][c] = narrowed(high);
    }
    return SOTTO_OK;
}

static int step_new(sotto_narrow *n, size_t at, const sotto_program_weights *w)
{
    const sotto_step_info *s = &n->p->steps[at];
    layer *l = &n->layers[at];
    n->value[at] = sotto_calloc(stored(s), sizeof **n->value);
    if (n->value[at] == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the values of a step");
    }
    if (s->op == SOTTO_STEP_LINEAR) {
        return linear_new(n, at, w);
    }
    if (s->clip) {
        l->bound = sotto_calloc(padded(s->shape.c), sizeof *l->bound);
        if (l->bound == NULL) {
            return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the bounds of a step");
        }
        for (size_t i = 0; i < s->shape.c; i++) {
            l->most_bound = w->bound[at][i] > l->most_bound ? w->bound[at][i] : l->most_bound;
            l->bound[i] = l->most_bound < FITS ? (int32_t)w->bound[at][i] : 0;
        }
    }
    if (s->op == SOTTO_STEP_UNIT || s->op == SOTTO_STEP_MAX) {
        const int status = ranges_new(l, s);
        if (status != SOTTO_OK) {
            return status;
        }
    }
    l->poly = w->poly[at];
    n->sum_count = s->decision != NULL && s->decisions > n->sum_count ? s->decisions : n->sum_count;
    return SOTTO_OK;
}

int sotto_narrow_new(sotto_narrow **out, const sotto_program *p, const sotto_program_weights *w)
{
    *out = NULL;
    if (!runs(p, w)) {
        return SOTTO_OK;
    }
    sotto_narrow *n = sotto_calloc(1, sizeof *n);
    if (n == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for fixed-point inference");
    }
    n->p = p;
    n->kernels = choose();
    n->layers = sotto_calloc(p->step_count, sizeof *n->layers);
    n->value = sotto_calloc(p->step_count, sizeof *n->value);
    n->most = sotto_calloc(p->step_count, sizeof *n->most);
    int bad = n->layers == NULL || n->value == NULL || n->most == NULL, status = SOTTO_OK;
    for (size_t i = 0; i < p->step_count && !bad && status == SOTTO_OK; i++) {
        status = step_new(n, i, w);
    }
    if (!bad && status == SOTTO_OK) {
        n->image = sotto_calloc(n->image_words + 2, sizeof *n->image);
        n->sums = sotto_calloc(n->sum_count + 1, sizeof *n->sums);
        n->rest = sotto_calloc(n->rest_count + 1, sizeof *n->rest);
        n->zeros = sotto_calloc(n->lane_count + 1, sizeof *n->zeros);
        bad = n->image == NULL || n->sums == NULL || n->rest == NULL || n->zeros == NULL;
    }
    if (bad || status != SOTTO_OK) {
        sotto_narrow_free(n);
        return status != SOTTO_OK ? status : sotto_fail(SOTTO_ERR_MEMORY, "no memory for fixed-point inference");
    }
    *out = n;
    return SOTTO_OK;
}

void sotto_narrow_free(sotto_narrow *n)
{
    if (n == NULL) {
        return;
    }
    for (size_t i = 0; i < n->p->step_count; i++) {
        if (n->layers != NULL) {
            sotto_free_secret(n->layers[i].conv.weights, n->layers[i].weight_count, sizeof(int16_t));
            sotto_free_secret(n->layers[i].conv.bias, n->layers[i].conv.lanes, sizeof(int32_t));
            sotto_free_secret(n->layers[i].bound, padded(n->p->steps[i].shape.c), sizeof(int32_t));
            for (unsigned k = 0; k < 4; k++) {
                sotto_free(n->layers[i].range[k]);
            }
        }
        if (n->value != NULL) {
            sotto_free_secret(n->value[i], stored(&n->p->steps[i]), sizeof **n->value);
        }
    }
    sotto_free(n->layers);
    sotto_free(n->value);
    sotto_free(n->most);
    sotto_free_secret(n->image, n->image_words + 2, sizeof *n->image);
    sotto_free_secret(n->sums, n->sum_count + 1, sizeof *n->sums);
    sotto_free_secret(n->rest, n->rest_count + 1, sizeof *n->rest);
    sotto_free(n->zeros);
    sotto_free(n);
}

/* ---- running ----------------------------------------------------------------------------------------------------------- */

static int input(sotto_narrow *n, const int64_t *x)
{
    const sotto_step_info *s = &n->p->steps[0];
    const size_t area = area_of(s), lanes = padded(s->shape.c);
    for (size_t i = 0; i < s->words; i++) {
        if (x[i] >= FITS || x[i] <= -FITS) {
            return 0;
        }
        n->most[0] = llabs(x[i]) > n->most[0] || i == 0 ? llabs(x[i]) : n->most[0];
        n->value[0][i % area * lanes + i / area] = (int32_t)x[i];
    }
    return 1;
}

/* A bound of a value's magnitude below `limit`; 0: there is none. Bounds add up along sums, so that the values themselves may be far below. */
static int bounded(sotto_narrow *n, size_t at, int64_t limit)
{
    if (n->most[at] >= limit) {
        n->most[at] = n->kernels->magnitude(n->value[at], stored(&n->p->steps[at]));
    }
    return n->most[at] < limit;
}

/* (x >> shift) & mask of what a linear step reads, with its padding. */
static void place(sotto_narrow *n, size_t at, unsigned shift, uint32_t mask)
{
    const sotto_step_info *s = &n->p->steps[at], *from = &n->p->steps[s->in[0]];
    const sotto_linear_shape *d = &s->linear;
    const sotto_narrow_conv *c = &n->layers[at].conv;
    const int32_t *x = n->value[s->in[0]];
    const size_t lanes = padded(from->shape.c);
    if (d->in_c != from->shape.c) {
        n->kernels->shorten(n->image, x, stored(from), shift, mask);
        return;
    }
    memset(n->image, 0, c->row * ((size_t)d->in_h + d->pad_top + d->pad_bottom) * c->pixel * sizeof *n->image);
    for (size_t y = 0; y < d->in_h; y++, x += d->in_w * lanes) {
        int16_t *line = n->image + ((y + d->pad_top) * c->row + d->pad_left) * c->pixel;
        if (c->pixel == lanes) {
            n->kernels->shorten(line, x, d->in_w * lanes, shift, mask);
        }
        for (size_t z = 0; c->pixel != lanes && z < d->in_w; z++) {
            n->kernels->shorten(line + z * c->pixel, x + z * lanes, c->pixel, shift, mask);
        }
    }
}

/* A bound of what a linear step puts out, below FITS; 0: there is none. The sum of a filter's magnitudes times the largest value, or, where that is not enough, the
 * inequality of Cauchy and Schwarz over the whole image, in doubles whose rounding the last term covers. */
static int64_t output_bound(sotto_narrow *n, size_t at)
{
    const layer *l = &n->layers[at];
    const uint32_t in = n->p->steps[at].in[0];
    if (l->bias >= FITS / 2 || !bounded(n, in, FITS)) {
        return 0;
    }
    if (l->gain <= (FITS - 1 - l->bias) / (n->most[in] + 1)) {
        return l->gain * n->most[in] + l->bias + 1;
    }
    double square = 0.0;
    for (size_t i = 0; i < stored(&n->p->steps[in]); i++) {
        square += (double)n->value[in][i] * n->value[in][i];
    }
    const double most = l->norm * sqrt(square) * (1.0 + 1e-6) + (double)l->bias + 2.0;
    return most < (double)FITS ? (int64_t)most : 0;
}

/* Products are of 16 bits. Larger values are taken apart, x = 2^15 high + low: sums are modulo 2^32, so that only their sum has to fit. */
static int linear(sotto_narrow *n, size_t at)
{
    const layer *l = &n->layers[at];
    const sotto_step_info *s = &n->p->steps[at];
    void (*const run)(const sotto_narrow_conv *, int32_t *, const int16_t *) = l->depthwise ? n->kernels->depthwise : n->kernels->conv;
    n->most[at] = output_bound(n, at);
    if (n->most[at] == 0) {
        return 0;
    }
    const int64_t most = n->most[s->in[0]];
    if (most < 1 << 15) {
        place(n, at, 0, 0xffff);
        run(&l->conv, n->value[at], n->image);
        return 1;
    }
    place(n, at, 0, 0x7fff);
    run(&l->conv, n->value[at], n->image);
    place(n, at, 15, 0xffff);
    sotto_narrow_conv rest = l->conv;
    rest.bias = n->zeros;
    run(&rest, n->rest, n->image);
    n->kernels->add(n->value[at], n->value[at], 0, n->rest, 15, stored(s));
    return 1;
}

static sotto_narrow_unit unit_of(const layer *l, const sotto_step_info *s)
{
    return (sotto_narrow_unit){.ring = s->truncation.l < 32 ? 32 - s->truncation.l : 0, .f = s->truncation.f, .sign = s->sign, .lanes = padded(s->shape.c),
                               .low = l->range[0], .high = l->range[1], .low_clip = l->range[2], .high_clip = l->range[3]};
}

static int32_t reduced(int32_t x, unsigned ring)
{
    return (int32_t)((uint32_t)x << ring) >> ring;
}

/* Values of several kinds; in the order of the program's words, so that patches find their pixels. */
static uint64_t mixed(sotto_narrow *n, const sotto_step_info *s, const sotto_narrow_unit *u, int32_t *out, const int32_t *x)
{
    const size_t area = area_of(s), lanes = padded(s->shape.c);
    uint64_t wraps = 0;
    memset(n->sums, 0, s->decisions * sizeof *n->sums);
    for (size_t i = 0; i < s->words; i++) {
        if (s->decision[i] < SOTTO_DECISION_ZERO) {
            n->sums[s->decision[i]] += x[i % area * lanes + i / area];
        }
    }
    for (size_t d = 0; d < s->decisions; d++) {
        int64_t low, high;
        sotto_sign_range((sotto_sign_window){s->sign_window.k + s->patch_bits[d], s->sign_window.j + s->patch_bits[d]}, s->lift == NULL ? 0 : s->lift[d], &low, &high);
        wraps += n->sums[d] < low || n->sums[d] > high;
        n->sums[d] = reduced(n->sums[d], u->ring) >= 0;
    }
    for (size_t i = 0; i < s->words; i++) {
        const uint32_t d = s->decision[i];
        const size_t to = i % area * lanes + i / area;
        const int32_t half = u->f > 0 ? 1 << (u->f - 1) : 0;
        const int kept = d == SOTTO_DECISION_PASS || (d != SOTTO_DECISION_ZERO && n->sums[d]);
        out[to] = kept ? (reduced(x[to], u->ring) + half) >> u->f : 0;
        wraps += d != SOTTO_DECISION_ZERO && (x[to] < u->low[i / area] || x[to] > u->high[i / area]);
    }
    return wraps;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int unit(sotto_narrow *n, size_t at, uint64_t *wraps)
{
    const sotto_step_info *s = &n->p->steps[at];
    const layer *l = &n->layers[at];
    const sotto_narrow_unit u = unit_of(l, s);
    const int32_t *x = n->value[s->in[0]];
    unsigned patch = 0;
    for (size_t d = 0; s->decision != NULL && d < s->decisions; d++) {
        patch = s->patch_bits[d] > patch ? s->patch_bits[d] : patch;
    }
    if (l->most_bound >= FITS || !bounded(n, s->in[0], (FITS - l->most_bound) >> patch)) {
        return 0;
    }
    n->most[at] = (least(n->most[s->in[0]] + l->most_bound, INT64_C(1) << (s->truncation.l - 1)) >> s->truncation.f) + 1;
    *wraps += s->clip               ? n->kernels->clip(&u, l->bound, n->value[at], x, area_of(s))
              : s->decision == NULL ? n->kernels->unit(&u, n->value[at], x, area_of(s))
                                    : mixed(n, s, &u, n->value[at], x);
    return 1;
}

static int maximum(sotto_narrow *n, size_t at, uint64_t *wraps)
{
    const sotto_step_info *s = &n->p->steps[at], *from = &n->p->steps[s->in[0]];
    const sotto_narrow_unit u = unit_of(&n->layers[at], s);
    const size_t array = area_of(s) * padded(s->shape.c), pairs = from->ways / 2;
    const int32_t *x = n->value[s->in[0]];
    if (!bounded(n, s->in[0], FITS / 3)) {
        return 0;
    }
    n->most[at] = 3 * n->most[s->in[0]];
    for (size_t i = 0; i < pairs; i++) {
        *wraps += n->kernels->max(&u, n->value[at] + i * array, x + 2 * i * array, x + (2 * i + 1) * array, area_of(s));
    }
    if (s->ways > pairs) {
        memcpy(n->value[at] + pairs * array, x + 2 * pairs * array, array * sizeof *x);
    }
    return 1;
}

static int pair(sotto_narrow *n, size_t at)
{
    const sotto_step_info *s = &n->p->steps[at];
    const int32_t *x[2] = {n->value[s->in[0]], n->value[s->in[1]]};
    int64_t most[2];
    for (unsigned k = 0; k < 2; k++) {
        if (!bounded(n, s->in[k], (FITS / 2) >> s->shift[k])) {
            return 0;
        }
        most[k] = n->most[s->in[k]] << s->shift[k];
    }
    if (s->op == SOTTO_STEP_ADD) {
        n->most[at] = most[0] + most[1];
        n->kernels->add(n->value[at], x[0], s->shift[0], x[1], s->shift[1], stored(s));
        return 1;
    }
    n->most[at] = most[0] > most[1] ? most[0] : most[1];
    for (size_t p = 0, first = 0; p < area_of(s); p++, first = 0) {
        int32_t *out = n->value[at] + p * padded(s->shape.c);
        for (unsigned k = 0; k < 2; k++) {
            const size_t c = n->p->steps[s->in[k]].shape.c;
            const int32_t *in = x[k] + p * padded(c);
            for (size_t i = 0; i < c; i++) {
                out[first + i] = (int32_t)((uint32_t)in[i] << s->shift[k]);
            }
            first += c;
        }
    }
    return 1;
}

static int window_step(sotto_narrow *n, size_t at)
{
    const sotto_step_info *s = &n->p->steps[at], *from = &n->p->steps[s->in[0]];
    const sotto_window *w = &s->window;
    const size_t lanes = padded(s->shape.c), kernel = (size_t)w->kernel_h * w->kernel_w;
    const int sum = s->op == SOTTO_STEP_SUM;
    if (kernel >= (size_t)FITS || !bounded(n, s->in[0], FITS / (sum ? (int64_t)kernel : 1))) {
        return 0;
    }
    n->most[at] = n->most[s->in[0]] * (sum ? (int64_t)kernel : 1);
    if (sum) {
        memset(n->value[at], 0, stored(s) * sizeof **n->value);
    }
    for (size_t k = 0; k < kernel; k++) {
        int32_t *out = n->value[at] + (sum ? 0 : k * area_of(s) * lanes);
        for (uint32_t i = 0; i < area_of(s); i++, out += lanes) {
            int64_t row = (int64_t)(i / s->shape.w) * w->stride_h + (int64_t)(k / w->kernel_w) - w->pad_top;
            int64_t col = (int64_t)(i % s->shape.w) * w->stride_w + (int64_t)(k % w->kernel_w) - w->pad_left;
            const int inside = row >= 0 && row < from->shape.h && col >= 0 && col < from->shape.w;
            row = row < 0 ? 0 : least(row, from->shape.h - INT64_C(1));
            col = col < 0 ? 0 : least(col, from->shape.w - INT64_C(1));
            const int32_t *in = n->value[s->in[0]] + ((size_t)row * from->shape.w + (size_t)col) * lanes;
            if (!sum) {
                memcpy(out, in, lanes * sizeof *out);
            } else if (inside) {
                n->kernels->add(out, out, 0, in, 0, lanes);
            }
        }
    }
    return 1;
}

static int pad(sotto_narrow *n, size_t at)
{
    const sotto_step_info *s = &n->p->steps[at], *from = &n->p->steps[s->in[0]];
    const size_t lanes = padded(s->shape.c);
    n->most[at] = n->most[s->in[0]];
    memset(n->value[at], 0, stored(s) * sizeof **n->value);
    for (size_t i = 0; i < area_of(from); i++) {
        const size_t to = (i / from->shape.w + s->pad_top) * s->shape.w + i % from->shape.w + s->pad_left;
        memcpy(n->value[at] + to * lanes + s->pad_front, n->value[s->in[0]] + i * padded(from->shape.c), from->shape.c * sizeof **n->value);
    }
    return 1;
}

/* By Horner, in 64 bits, where no product of two magnitudes below 2^30 leaves its place. */
static int poly(sotto_narrow *n, size_t at)
{
    const sotto_step_info *s = &n->p->steps[at];
    const size_t lanes = padded(s->shape.c);
    const int32_t *x = n->value[s->in[0]];
    if (s->shift[0] > 30 || !bounded(n, s->in[0], FITS)) {
        return 0;
    }
    n->most[at] = 0;
    for (size_t i = 0; i < area_of(s) * s->shape.c; i++) {
        const size_t c = i % s->shape.c, to = i / s->shape.c * lanes + c;
        const int64_t *term = n->layers[at].poly + c * SOTTO_POLY_TERMS;
        int64_t sum = s->degree[c] == 1 ? (int64_t)x[to] * (INT64_C(1) << s->shift[0]) : 0;
        for (unsigned j = s->degree[c] + 1u; s->degree[c] > 1 && j-- > 0;) {
            if (llabs(sum) >= FITS || llabs(term[j]) >= INT64_C(1) << 61) {
                return 0;
            }
            sum = sum * x[to] + term[j];
        }
        if (llabs(sum) >= FITS) {
            return 0;
        }
        n->most[at] = llabs(sum) > n->most[at] ? llabs(sum) : n->most[at];
        n->value[at][to] = (int32_t)sum;
    }
    return 1;
}

static int step(sotto_narrow *n, size_t at, const int64_t *x, uint64_t *wraps)
{
    switch (n->p->steps[at].op) {
    case SOTTO_STEP_INPUT:
        return input(n, x);
    case SOTTO_STEP_LINEAR:
        return linear(n, at);
    case SOTTO_STEP_ADD:
    case SOTTO_STEP_CONCAT:
        return pair(n, at);
    case SOTTO_STEP_PAD:
        return pad(n, at);
    case SOTTO_STEP_SUM:
    case SOTTO_STEP_GATHER:
        return window_step(n, at);
    case SOTTO_STEP_MAX:
        return maximum(n, at, wraps);
    case SOTTO_STEP_UNIT:
        return unit(n, at, wraps);
    case SOTTO_STEP_POLY:
        return poly(n, at);
    }
    return 0;
}

void sotto_narrow_value(const sotto_narrow *n, size_t at, int64_t *value)
{
    const sotto_step_info *s = &n->p->steps[at];
    const size_t area = area_of(s), lanes = padded(s->shape.c), array = (size_t)s->shape.c * area;
    for (size_t i = 0; i < s->words; i++) {
        value[i] = n->value[at][i / array * area * lanes + i % area * lanes + i % array / area];
    }
}

int sotto_narrow_infer(sotto_narrow *n, int64_t *logits, const int64_t *x, uint64_t *wraps)
{
    const size_t last = n->p->step_count - 1;
    const sotto_step_info *s = &n->p->steps[last];
    const int64_t end = INT64_C(1) << (s->k - 1);
    uint64_t wrapped = 0;
    for (size_t at = 0; at < n->p->step_count; at++) {
        if (!step(n, at, x, &wrapped)) {
            return 0;
        }
    }
    sotto_narrow_value(n, last, logits);
    for (size_t i = 0; i < s->words; i++) {
        wrapped += logits[i] < -end || logits[i] >= end;
        logits[i] = (int64_t)((uint64_t)logits[i] << (64 - s->l)) >> (64 - s->l);
    }
    if (wraps != NULL) {
        *wraps += wrapped;
    }
    return 1;
}
