#include "nn/train/conv.h"

#include <string.h>

#include "lib/mem.h"
#include "nn/train/conv_kernel.h"

/* A correlation with dense taps: dest pixel (j, i) is a sum over tap_h x tap_w neighbouring places of the padded source. */
typedef struct phase {
    size_t h, w;         /* dest pixels */
    size_t tap_h, tap_w;
    size_t in_y, in_x;   /* the first tap of the first pixel in the padded source */
    size_t out_y, out_x; /* the first pixel in dest */
    size_t weights;      /* offset of its packed weights */
} phase;

/* From source to dest. Forward there is one phase. The gradient of the data has one for each pair of residues of the kernel's rows and columns modulo
 * the stride: those taps are a dense correlation of the output's gradient, and make the pixels of one residue. */
typedef struct direction {
    sotto_shape source, dest;
    size_t from, to;              /* channels of a group in source and dest; depthwise: 1 and all */
    size_t top, left, rows, cols; /* of the padded source, which may also cut the image off */
    int in_place;                 /* nothing to pad: the source is read where it is */
    int gaps;                     /* dest has pixels of no phase */
    size_t in_step_y, in_step_x, out_step_y, out_step_x; /* between neighbouring pixels of a phase, in source and dest */
    phase *phases;
    size_t phase_rows, phase_cols;
    float *weights;
    size_t weight_words;
} direction;

struct sotto_conv {
    const sotto_conv_kernels *kernels;
    size_t groups; /* 1 where depthwise */
    int depth;     /* one channel in and out of each group: channels are lanes */
    size_t kernel_h, kernel_w;
    direction forward, backward;
    phase one;     /* of forward */
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static const sotto_conv_kernels *choose(sotto_tier tier)
{
#if defined(__x86_64__)
    const sotto_tier cpu = sotto_cpu_tier(), best = tier < cpu ? tier : cpu;
    if (best >= SOTTO_TIER_AVX512)
        return &sotto_conv_kernels_avx512;
    if (best >= SOTTO_TIER_AVX2)
        return &sotto_conv_kernels_avx2;
#else
    (void)tier;
#endif
    return &sotto_conv_kernels_ref;
}

/* ---- packed weights ----
 * Groups; in each, blocks of two vectors of dest channels (the last may be one, depthwise all are); in each, taps x source channels x lanes. */

typedef struct block {
    size_t first, lanes; /* dest channels of the group */
    unsigned form;
} block;

static block block_at(const sotto_conv *c, const direction *d, size_t first)
{
    const size_t lanes = c->kernels->lanes;
    if (c->depth)
        return (block){first, lanes, SOTTO_CONV_DEPTH};
    if (d->to - first > lanes)
        return (block){first, 2 * lanes, SOTTO_CONV_TWO};
    return (block){first, lanes, SOTTO_CONV_ONE};
}

static size_t whole_vectors(const sotto_conv *c, size_t channels)
{
    const size_t lanes = c->kernels->lanes;
    return (channels + lanes - 1) / lanes * lanes;
}

static size_t packed_words(const sotto_conv *c, const direction *d, size_t taps)
{
    return c->groups * whole_vectors(c, d->to) * taps * d->from;
}

static size_t packed_block(const sotto_conv *c, const direction *d, size_t taps, size_t group, block b)
{
    return (group * whole_vectors(c, d->to) + b.first) * taps * d->from;
}

/* Between the packed order and the order of the model. */
typedef enum sense { PACK, UNPACK } sense;

static void copy(float *out, size_t out_step, const float *in, size_t in_step, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i * out_step] = in[i * in_step];
    }
}

/* Tap `tap` of phase p, which is number k in a channel's kernel. step_to and step_from are those of d's channels in the order of the model. */
static void reorder_tap(const sotto_conv *c, sense way, const direction *d, const phase *p, size_t tap, size_t k, size_t step_to, size_t step_from,
                        float *out, const float *in)
{
    const size_t taps = p->tap_h * p->tap_w, group_step = c->forward.to * c->forward.from * c->kernel_h * c->kernel_w;
    for (size_t g = 0; g < c->groups; g++) {
        block b;
        for (size_t first = 0; first < d->to; first += b.lanes) {
            b = block_at(c, d, first);
            const size_t count = smaller(b.lanes, d->to - first);
            for (size_t from = 0; from < d->from; from++) {
                const size_t packed = p->weights + packed_block(c, d, taps, g, b) + (tap * d->from + from) * b.lanes;
                const size_t plain = g * group_step + first * step_to + from * step_from + k;
                if (way == PACK) {
                    copy(out + packed, 1, in + plain, step_to, count);
                } else {
                    copy(out + plain, step_to, in + packed, 1, count);
                }
            }
        }
    }
}

static void reorder_forward(const sotto_conv *c, sense way, float *out, const float *in)
{
    const size_t taps = c->kernel_h * c->kernel_w;
    for (size_t k = 0; k < taps; k++) {
        reorder_tap(c, way, &c->forward, &c->one, k, k, c->forward.from * taps, taps, out, in);
    }
}

/* The kernel turned around: its row y is tap number y / stride from the end of its phase. */
static void pack_backward(const sotto_conv *c, float *packed, const float *weights)
{
    const direction *d = &c->backward;
    const size_t taps = c->kernel_h * c->kernel_w;
    for (size_t k = 0; k < taps; k++) {
        const size_t y = k / c->kernel_w, x = k % c->kernel_w;
        const phase *p = &d->phases[y % d->out_step_y * d->phase_cols + x % d->out_step_x];
        const size_t tap = (p->tap_h - 1 - y / d->out_step_y) * p->tap_w + p->tap_w - 1 - x / d->out_step_x;
        reorder_tap(c, PACK, d, p, tap, k, taps, c->forward.from * taps, packed, weights);
    }
}

void sotto_conv_pack(sotto_conv *c, const float *weights)
{
    reorder_forward(c, PACK, c->forward.weights, weights);
    pack_backward(c, c->backward.weights, weights);
}

void sotto_conv_unpack(const sotto_conv *c, float *dw, const float *dw_packed)
{
    reorder_forward(c, UNPACK, dw, dw_packed);
}

/* ---- planning ---- */

/* Whole vectors are read at a pixel's last channels only where channels are lanes. */
static void plan_source(const sotto_conv *c, direction *d)
{
    d->in_place = d->top == 0 && d->left == 0 && d->rows <= d->source.h && d->cols <= d->source.w && !(c->depth && d->to % c->kernels->lanes != 0);
}

static void plan_forward(sotto_conv *c, const sotto_node *node)
{
    direction *d = &c->forward;
    c->one = (phase){.h = d->dest.h, .w = d->dest.w, .tap_h = c->kernel_h, .tap_w = c->kernel_w};
    d->phases = &c->one;
    d->phase_rows = d->phase_cols = 1;
    d->in_step_y = node->stride_h;
    d->in_step_x = node->stride_w;
    d->out_step_y = d->out_step_x = 1;
    d->top = node->pad_top;
    d->left = node->pad_left;
    d->rows = (d->dest.h - 1) * d->in_step_y + c->kernel_h;
    d->cols = (d->dest.w - 1) * d->in_step_x + c->kernel_w;
    d->weight_words = packed_words(c, d, c->kernel_h * c->kernel_w);
    plan_source(c, d);
}

/* One axis of the phase of kernel rows k = residue + stride t. Row `out` + stride j of dest meets row j + shift - t of the source, where shift is
 * (out + pad - residue) / stride, a whole number. */
typedef struct axis {
    size_t taps, out, count;
    ptrdiff_t first; /* source row of the last kernel row, which is the first tap, for j = 0 */
} axis;

static axis axis_of(size_t residue, size_t stride, size_t pad, size_t kernel, size_t length)
{
    axis a;
    a.taps = (kernel - 1 - residue) / stride + 1;
    a.out = (residue + stride - pad % stride) % stride;
    a.count = a.out < length ? (length - 1 - a.out) / stride + 1 : 0;
    a.first = (ptrdiff_t)((a.out + pad - residue) / stride) - (ptrdiff_t)(a.taps - 1);
    return a;
}

/* Rows before the source's first that any phase reads, and the length of the source with these, up to the last row read. */
static void axis_extent(size_t stride, size_t pad, size_t kernel, size_t length, size_t *before, size_t *total)
{
    ptrdiff_t first = 0, end = 1;
    for (size_t r = 0; r < smaller(stride, kernel); r++) {
        const axis a = axis_of(r, stride, pad, kernel, length);
        if (a.count == 0)
            continue;
        const ptrdiff_t stop = a.first + (ptrdiff_t)(a.count - 1 + a.taps);
        first = a.first < first ? a.first : first;
        end = stop > end ? stop : end;
    }
    *before = (size_t)-first;
    *total = (size_t)(end - first);
}

static int plan_backward(sotto_conv *c, const sotto_node *node)
{
    direction *d = &c->backward;
    d->in_step_y = d->in_step_x = 1;
    d->out_step_y = node->stride_h;
    d->out_step_x = node->stride_w;
    d->phase_rows = smaller(d->out_step_y, c->kernel_h);
    d->phase_cols = smaller(d->out_step_x, c->kernel_w);
    d->gaps = d->out_step_y > c->kernel_h || d->out_step_x > c->kernel_w;
    axis_extent(d->out_step_y, node->pad_top, c->kernel_h, d->dest.h, &d->top, &d->rows);
    axis_extent(d->out_step_x, node->pad_left, c->kernel_w, d->dest.w, &d->left, &d->cols);
    d->phases = sotto_calloc(d->phase_rows * d->phase_cols, sizeof *d->phases);
    if (!d->phases)
        return SOTTO_ERR_MEMORY;
    for (size_t i = 0; i < d->phase_rows * d->phase_cols; i++) {
        const axis y = axis_of(i / d->phase_cols, d->out_step_y, node->pad_top, c->kernel_h, d->dest.h);
        const axis x = axis_of(i % d->phase_cols, d->out_step_x, node->pad_left, c->kernel_w, d->dest.w);
        d->phases[i] = (phase){.h = y.count, .w = x.count, .tap_h = y.taps, .tap_w = x.taps, .out_y = y.out, .out_x = x.out};
        d->phases[i].weights = d->weight_words;
        d->phases[i].in_y = (size_t)(y.first + (ptrdiff_t)d->top);
        d->phases[i].in_x = (size_t)(x.first + (ptrdiff_t)d->left);
        d->weight_words += packed_words(c, d, y.taps * x.taps);
    }
    plan_source(c, d);
    return SOTTO_OK;
}

static int check(const sotto_node *node, sotto_shape in)
{
    if (node->op != SOTTO_OP_CONV)
        return sotto_fail(SOTTO_ERR_ARG, "node %s: a convolution plan needs a conv node, this is %s", node->name, sotto_op_name(node->op));
    const uint64_t h = (uint64_t)in.h + node->pad_top + node->pad_bottom, w = (uint64_t)in.w + node->pad_left + node->pad_right;
    const int fits = node->groups && node->stride_h && node->stride_w && node->kernel_h && node->kernel_w && in.c && in.h && in.w && node->out &&
                     in.c % node->groups == 0 && node->out % node->groups == 0 && node->kernel_h <= h && node->kernel_w <= w &&
                     node->shape.c == node->out && node->shape.h == (h - node->kernel_h) / node->stride_h + 1 &&
                     node->shape.w == (w - node->kernel_w) / node->stride_w + 1;
    if (!fits)
        return sotto_fail(SOTTO_ERR_ARG, "node %s: input of %u x %u x %u and output of %u x %u x %u do not fit its convolution; infer shapes first",
                          node->name, in.c, in.h, in.w, node->shape.c, node->shape.h, node->shape.w);
    return SOTTO_OK;
}

int sotto_conv_new(sotto_conv **out, const sotto_node *node, sotto_shape in, sotto_tier tier)
{
    int status = check(node, in);
    if (status != SOTTO_OK)
        return status;
    sotto_conv *c = sotto_calloc(1, sizeof *c);
    if (!c)
        goto fail;
    c->kernels = choose(tier);
    c->kernel_h = node->kernel_h;
    c->kernel_w = node->kernel_w;
    c->depth = node->groups > 1 && node->groups == in.c && node->groups == node->out;
    c->groups = c->depth ? 1 : node->groups;
    const size_t from = c->depth ? 1 : in.c / c->groups, to = node->out / c->groups;
    c->forward = (direction){.source = in, .dest = node->shape, .from = from, .to = to};
    c->backward = (direction){.source = node->shape, .dest = in, .from = c->depth ? 1 : to, .to = c->depth ? to : from};
    plan_forward(c, node);
    if (plan_backward(c, node) != SOTTO_OK)
        goto fail;
    c->forward.weights = sotto_calloc(c->forward.weight_words, sizeof(float));
    c->backward.weights = sotto_calloc(c->backward.weight_words, sizeof(float));
    if (!c->forward.weights || !c->backward.weights)
        goto fail;
    *out = c;
    return SOTTO_OK;
fail:
    sotto_conv_free(c);
    return sotto_fail(SOTTO_ERR_MEMORY, "node %s: out of memory for the weights of its convolution", node->name);
}

void sotto_conv_free(sotto_conv *c)
{
    if (!c)
        return;
    sotto_free(c->backward.phases);
    sotto_free_secret(c->forward.weights, c->forward.weight_words, sizeof(float));
    sotto_free_secret(c->backward.weights, c->backward.weight_words, sizeof(float));
    sotto_free(c);
}

size_t sotto_conv_gradient_words(const sotto_conv *c)
{
    return c->forward.weight_words;
}

/* ---- scratch: bias in whole vectors, padded source, for the gradient of weights the output's gradient with a vector behind it ---- */

static size_t bias_words(const sotto_conv *c, const direction *d)
{
    return d->dest.c + 2 * c->kernels->lanes;
}

static size_t padded_words(const sotto_conv *c, const direction *d)
{
    return d->in_place ? 0 : d->rows * d->cols * d->source.c + c->kernels->lanes;
}

/* Whole vectors are read at a pixel's last channels. */
static size_t slope_words(const sotto_conv *c)
{
    return c->forward.to % c->kernels->lanes == 0 ? 0 : sotto_shape_words(c->forward.dest) + 2 * c->kernels->lanes;
}

size_t sotto_conv_scratch(const sotto_conv *c)
{
    const size_t forward = bias_words(c, &c->forward) + padded_words(c, &c->forward);
    const size_t data = bias_words(c, &c->backward) + padded_words(c, &c->backward);
    const size_t weights = padded_words(c, &c->forward) + slope_words(c);
    return larger(forward, larger(data, weights));
}

static void set_zero(float *x, size_t count)
{
    memset(x, 0, count * sizeof *x);
}

static const float *pad(const sotto_conv *c, const direction *d, float *scratch, const float *image)
{
    if (d->in_place)
        return image;
    const size_t channels = d->source.c, pitch = d->cols * channels, left = smaller(d->left, d->cols), width = smaller(d->source.w, d->cols - left);
    float *row = scratch;
    for (size_t y = 0; y < d->rows; y++, row += pitch) {
        if (y < d->top || y >= d->top + d->source.h) {
            set_zero(row, pitch);
            continue;
        }
        set_zero(row, left * channels);
        memcpy(row + left * channels, image + (y - d->top) * d->source.w * channels, width * channels * sizeof *row);
        set_zero(row + (left + width) * channels, (d->cols - left - width) * channels);
    }
    set_zero(row, c->kernels->lanes);
    return scratch;
}

/* ---- a pass over an image ---- */

/* Cuts `count` into as few parts of at most `most` as will do, of sizes that differ by one at most. */
static size_t part(size_t count, size_t most)
{
    const size_t parts = (count + most - 1) / most;
    return (count + parts - 1) / parts;
}

static void tile_pixels(const sotto_conv *c, unsigned form, const sotto_conv_walk *walk, size_t pixels, float *y, const float *x, const float *w,
                        const float *bias, size_t valid)
{
    for (size_t size = 0; pixels > 0; pixels -= size, y += size * walk->pixel_out, x += size * walk->pixel_in) {
        size = part(pixels, c->kernels->max[form]);
        c->kernels->tile[form][size - 1](walk, y, x, w, bias, valid);
    }
}

static void run_phase(const sotto_conv *c, const direction *d, const phase *p, float *dest, const float *source, const float *bias)
{
    const size_t in = d->source.c, out = d->dest.c, pitch = d->in_place ? d->source.w : d->cols, taps = p->tap_h * p->tap_w;
    /* Neighbouring taps of a row are one run where a pixel's channels are all of one group. */
    const int join = c->groups == 1 && !c->depth;
    const sotto_conv_walk walk = {.rows = p->tap_h, .row_step = pitch * in, .cols = join ? 1 : p->tap_w, .col_step = in,
                                  .run = d->from * (join ? p->tap_w : 1), .pixel_in = d->in_step_x * in, .pixel_out = d->out_step_x * out};
    const size_t in_row = d->in_step_y * pitch * in, out_row = d->out_step_y * d->dest.w * out;
    const int straight = in_row == p->w * walk.pixel_in && out_row == p->w * walk.pixel_out; /* rows follow each other as pixels do */
    const size_t rows = straight ? 1 : p->h, pixels = straight ? p->h * p->w : p->w;
    const float *const x0 = source + (p->in_y * pitch + p->in_x) * in;
    float *const y0 = dest + (p->out_y * d->dest.w + p->out_x) * out;

    if (p->h == 0 || p->w == 0)
        return;
    for (size_t g = 0; g < c->groups; g++) {
        block b;
        for (size_t first = 0; first < d->to; first += b.lanes) {
            b = block_at(c, d, first);
            const size_t to = g * d->to + first, from = c->depth ? first : g * d->from;
            const float *w = d->weights + p->weights + packed_block(c, d, taps, g, b);
            for (size_t r = 0; r < rows; r++) {
                tile_pixels(c, b.form, &walk, pixels, y0 + r * out_row + to, x0 + r * in_row + from, w, bias + to, d->to - first);
            }
        }
    }
}

static void run(const sotto_conv *c, const direction *d, float *scratch, float *dest, const float *source, const float *bias)
{
    float *bias_room = scratch;
    if (bias)
        memcpy(bias_room, bias, d->dest.c * sizeof *bias);
    set_zero(bias_room + (bias ? d->dest.c : 0), bias_words(c, d) - (bias ? d->dest.c : 0));
    if (d->gaps)
        set_zero(dest, sotto_shape_words(d->dest));
    source = pad(c, d, scratch + bias_words(c, d), source);
    for (size_t i = 0; i < d->phase_rows * d->phase_cols; i++) {
        run_phase(c, d, &d->phases[i], dest, source, bias_room);
    }
}

void sotto_conv_forward(const sotto_conv *c, float *scratch, float *y, const float *x, const float *bias)
{
    run(c, &c->forward, scratch, y, x, bias);
}

void sotto_conv_backward_data(const sotto_conv *c, float *scratch, float *dx, const float *dy)
{
    run(c, &c->backward, scratch, dx, dy, NULL);
}

/* Rows of the image at a time, so that all tiles find them in the first-level cache. */
enum { GRAD_CACHE_FLOATS = 8192 };

static void grad_elements(const sotto_conv *c, block b, const sotto_conv_pair *pair, size_t elements, float *dw, const float *x, const float *dy,
                          size_t valid)
{
    for (size_t size = 0; elements > 0; elements -= size, dw += size * b.lanes, x += size * pair->element) {
        size = part(elements, c->kernels->max[b.form]);
        c->kernels->grad[b.form][size - 1](pair, dw, x, dy, valid);
    }
}

static void grad_rows(const sotto_conv *c, const sotto_conv_pair *pair, size_t pitch, float *dw_packed, const float *x, const float *dy)
{
    const direction *d = &c->forward;
    const size_t in = d->source.c, taps = c->kernel_h * c->kernel_w;
    /* Neighbouring taps of a row are one run where a pixel's channels are all of one group. */
    const size_t cols = c->groups == 1 ? 1 : c->kernel_w, elements = c->kernel_w / cols * d->from;
    for (size_t g = 0; g < c->groups; g++) {
        block b;
        for (size_t first = 0; first < d->to; first += b.lanes) {
            b = block_at(c, d, first);
            const float *from = x + (c->depth ? first : g * d->from), *slope = dy + g * d->to + first;
            float *dw = dw_packed + packed_block(c, d, taps, g, b);
            for (size_t i = 0; i < c->kernel_h * cols; i++) {
                grad_elements(c, b, pair, elements, dw + i * elements * b.lanes, from + (i / cols * pitch + i % cols) * in, slope, d->to - first);
            }
        }
    }
}

void sotto_conv_backward_weights(const sotto_conv *c, float *scratch, float *dw_packed, const float *x, const float *dy)
{
    const direction *d = &c->forward;
    const size_t in = d->source.c, out = d->dest.c, pitch = d->in_place ? d->source.w : d->cols;
    sotto_conv_pair pair = {.cols = d->dest.w, .x_row = d->in_step_y * pitch * in, .x_pixel = d->in_step_x * in,
                                  .dy_row = d->dest.w * out, .dy_pixel = out, .element = c->depth ? in : 1};
    x = pad(c, d, scratch, x);
    if (slope_words(c) > 0) {
        float *copy = scratch + padded_words(c, d);
        memcpy(copy, dy, sotto_shape_words(d->dest) * sizeof *dy);
        set_zero(copy + sotto_shape_words(d->dest), slope_words(c) - sotto_shape_words(d->dest));
        dy = copy;
    }
    size_t rows = 0;
    for (size_t r = 0; r < d->dest.h; r += rows) {
        rows = part(d->dest.h - r, 1 + GRAD_CACHE_FLOATS / (pair.x_row + pair.dy_row));
        pair.rows = rows;
        grad_rows(c, &pair, pitch, dw_packed, x + r * pair.x_row, dy + r * pair.dy_row);
    }
}
