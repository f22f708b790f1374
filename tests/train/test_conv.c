/* Convolution kernels equal a plain loop in double precision, in every tier, form and tile size; that loop's gradients equal its differences. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/train/conv.h"
#include "tests/support/support.h"

typedef struct layer {
    uint32_t in_c, in_h, in_w, out, kernel_h, kernel_w, stride_h, stride_w, top, left, bottom, right, groups;
} layer;

static const layer layers[] = {
    {3, 32, 32, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1},   /* the layers of a ResNet-20 */
    {16, 32, 32, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1},
    {16, 32, 32, 32, 3, 3, 2, 2, 1, 1, 1, 1, 1},
    {16, 32, 32, 32, 1, 1, 2, 2, 0, 0, 0, 0, 1},  /* pixels that no tap meets */
    {32, 16, 16, 32, 3, 3, 1, 1, 1, 1, 1, 1, 1},
    {64, 8, 8, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1},
    {24, 7, 7, 40, 1, 1, 1, 1, 0, 0, 0, 0, 1},    /* read in place, rows joined */
    {24, 7, 9, 40, 2, 3, 1, 1, 0, 0, 0, 0, 1},    /* read in place, rows apart */
    {1, 5, 7, 1, 3, 2, 1, 1, 0, 2, 1, 0, 1},      /* one channel, even kernel, four paddings */
    {10, 6, 5, 10, 3, 3, 1, 1, 1, 1, 1, 1, 1},    /* part of a vector */
    {3, 17, 23, 33, 5, 3, 2, 3, 2, 1, 0, 3, 1},
    {4, 9, 9, 17, 4, 4, 3, 2, 0, 0, 0, 0, 1},     /* last rows and columns are not read */
    {2, 4, 4, 3, 2, 2, 5, 3, 0, 1, 0, 0, 1},      /* stride beyond the kernel */
    {2, 1, 1, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1},      /* one pixel */
    {2, 1, 2, 3, 7, 7, 4, 4, 3, 3, 3, 3, 1},      /* kernel beyond the image; a residue without a pixel */
    {1, 2, 2, 2, 1, 1, 1, 1, 4, 3, 2, 3, 1},      /* padding beyond the kernel */
    {2, 3, 70, 20, 1, 9, 1, 1, 0, 4, 0, 4, 1},
    {784, 1, 1, 10, 1, 1, 1, 1, 0, 0, 0, 0, 1},
    {16, 12, 12, 16, 3, 3, 1, 1, 1, 1, 1, 1, 16}, /* depthwise */
    {32, 9, 11, 32, 3, 3, 2, 2, 1, 1, 1, 1, 32},
    {37, 6, 6, 37, 3, 3, 1, 1, 1, 1, 1, 1, 37},
    {5, 8, 8, 5, 2, 2, 2, 2, 0, 0, 0, 0, 5},      /* depthwise, part of a vector, read at the image's end */
    {48, 5, 5, 48, 1, 1, 1, 1, 0, 0, 0, 0, 48},
    {12, 6, 7, 20, 3, 3, 1, 2, 1, 0, 1, 2, 4},    /* groups of 3 -> 5 */
    {64, 4, 4, 96, 1, 1, 1, 1, 0, 0, 0, 0, 2},
    {6, 5, 5, 12, 3, 3, 1, 1, 1, 1, 1, 1, 6},     /* one channel in, two out */
};
enum { LAYERS = sizeof layers / sizeof layers[0] };

static sotto_node node_of(const layer *l)
{
    sotto_node n = {.name = "conv", .op = SOTTO_OP_CONV, .out = l->out, .kernel_h = l->kernel_h, .kernel_w = l->kernel_w, .stride_h = l->stride_h,
                    .stride_w = l->stride_w, .pad_top = l->top, .pad_left = l->left, .pad_bottom = l->bottom, .pad_right = l->right,
                    .groups = l->groups};
    n.shape.c = l->out;
    n.shape.h = (l->in_h + l->top + l->bottom - l->kernel_h) / l->stride_h + 1;
    n.shape.w = (l->in_w + l->left + l->right - l->kernel_w) / l->stride_w + 1;
    return n;
}

static sotto_shape input_of(const layer *l)
{
    return (sotto_shape){l->in_c, l->in_h, l->in_w};
}

static size_t weights_of(const layer *l)
{
    return (size_t)l->out * (l->in_c / l->groups) * l->kernel_h * l->kernel_w;
}

/* ---- the plain loop: calls `visit` for each product of the convolution with the indices of y, x and w ---- */

typedef struct arrays {
    double *y, *x, *w;
} arrays;
typedef void visit_fn(arrays a, size_t y, size_t x, size_t w);

static void forward_term(arrays a, size_t y, size_t x, size_t w)
{
    a.y[y] += a.x[x] * a.w[w];
}

static void data_term(arrays a, size_t y, size_t x, size_t w)
{
    a.x[x] += a.y[y] * a.w[w];
}

static void weight_term(arrays a, size_t y, size_t x, size_t w)
{
    a.w[w] += a.y[y] * a.x[x];
}

static void convolve(const layer *l, arrays a, visit_fn *visit)
{
    const sotto_shape out = node_of(l).shape;
    const uint32_t from = l->in_c / l->groups, to = l->out / l->groups;
    for (uint32_t y = 0; y < out.h; y++) {
        for (uint32_t x = 0; x < out.w; x++) {
            for (uint32_t o = 0; o < l->out; o++) {
                for (uint32_t ky = 0; ky < l->kernel_h; ky++) {
                    for (uint32_t kx = 0; kx < l->kernel_w; kx++) {
                        const int64_t iy = (int64_t)y * l->stride_h + ky - l->top, ix = (int64_t)x * l->stride_w + kx - l->left;
                        if (iy < 0 || ix < 0 || iy >= l->in_h || ix >= l->in_w)
                            continue;
                        for (uint32_t i = 0; i < from; i++) {
                            visit(a, ((size_t)y * out.w + x) * out.c + o, ((size_t)iy * l->in_w + (size_t)ix) * l->in_c + o / to * from + i,
                                  (((size_t)o * from + i) * l->kernel_h + ky) * l->kernel_w + kx);
                        }
                    }
                }
            }
        }
    }
}

/* ---- arrays: results have a guard behind them; inputs and scratch end where they end, so that the address sanitizer sees more ---- */

enum { GUARD = 64 };
#define GUARD_VALUE 1234567.0f

static float *room(size_t count)
{
    float *x = sotto_calloc(count + GUARD, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count + GUARD; i++) {
        x[i] = GUARD_VALUE; /* so that what is to be overwritten shows */
    }
    return x;
}

static float *exact(size_t count)
{
    float *x = malloc(count * sizeof *x);
    assert_non_null(x);
    return x;
}

static double *doubles(size_t count)
{
    double *x = sotto_calloc(count, sizeof *x);
    assert_non_null(x);
    return x;
}

/* Integers in [-4, 4]: products and their sums are exact in float in any order, so that results must be equal. */
static void fill(float *x, double *copy, size_t count, const sotto_rng *rng)
{
    for (size_t i = 0; i < count; i++) {
        copy[i] = (double)test_below(rng, 9) - 4.0;
        x[i] = (float)copy[i];
    }
}

static void fail_layer(const layer *l, const char *what, sotto_tier tier)
{
    fail_msg("%s differs, tier %s: input %u x %u x %u, %u channels out, kernel %u x %u, stride %u x %u, padding %u,%u,%u,%u, groups %u", what,
             sotto_tier_name(tier), l->in_c, l->in_h, l->in_w, l->out, l->kernel_h, l->kernel_w, l->stride_h, l->stride_w, l->top, l->left, l->bottom,
             l->right, l->groups);
}

static void check_equal(const layer *l, const char *what, sotto_tier tier, const float *got, const double *want, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if ((double)got[i] != want[i])
            fail_layer(l, what, tier);
    }
    for (size_t i = count; i < count + GUARD; i++) {
        if (got[i] != GUARD_VALUE)
            fail_layer(l, "what is behind the end", tier);
    }
}

static void compare_layer(const layer *l, sotto_tier tier, const sotto_rng *rng)
{
    const sotto_node node = node_of(l);
    const size_t xs = sotto_shape_words(input_of(l)), ys = sotto_shape_words(node.shape), ws = weights_of(l);
    sotto_conv *c = NULL;
    assert_ok(sotto_conv_new(&c, &node, input_of(l), tier));
    const size_t packed_words = sotto_conv_gradient_words(c);

    float *x = exact(xs), *w = exact(ws), *dy = exact(ys), *bias = exact(l->out), *y = room(ys), *dx = room(xs), *dw = room(ws);
    float *scratch = exact(sotto_conv_scratch(c)), *packed = room(packed_words);
    double *x_want = doubles(xs), *w_want = doubles(ws), *y_want = doubles(ys), *dx_want = doubles(xs), *dy_want = doubles(ys);
    double *dw_want = doubles(ws), *bias_want = doubles(l->out);
    fill(x, x_want, xs, rng);
    fill(w, w_want, ws, rng);
    fill(dy, dy_want, ys, rng);
    fill(bias, bias_want, l->out, rng);
    sotto_conv_pack(c, w);

    convolve(l, (arrays){y_want, x_want, w_want}, forward_term);
    sotto_conv_forward(c, scratch, y, x, NULL);
    check_equal(l, "forward", tier, y, y_want, ys);
    for (size_t i = 0; i < ys; i++) {
        y_want[i] += bias_want[i % l->out];
    }
    sotto_conv_forward(c, scratch, y, x, bias);
    check_equal(l, "forward with bias", tier, y, y_want, ys);

    convolve(l, (arrays){dy_want, dx_want, w_want}, data_term);
    sotto_conv_backward_data(c, scratch, dx, dy);
    check_equal(l, "gradient of data", tier, dx, dx_want, xs);

    memset(packed, 0, packed_words * sizeof *packed);
    convolve(l, (arrays){dy_want, x_want, dw_want}, weight_term);
    sotto_conv_backward_weights(c, scratch, packed, x, dy);
    sotto_conv_unpack(c, dw, packed);
    check_equal(l, "gradient of weights", tier, dw, dw_want, ws);
    sotto_conv_backward_weights(c, scratch, packed, x, dy);
    sotto_conv_unpack(c, dw, packed);
    for (size_t i = 0; i < ws; i++) {
        dw_want[i] *= 2.0;
    }
    check_equal(l, "gradient of weights added twice", tier, dw, dw_want, ws);
    for (size_t i = 0; i < GUARD; i++) {
        assert_true(packed[packed_words + i] == GUARD_VALUE);
    }

    float *const inputs[] = {x, w, dy, bias, scratch}, *const rooms[] = {y, dx, dw, packed};
    double *const wants[] = {x_want, w_want, y_want, dx_want, dy_want, dw_want, bias_want};
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        free(inputs[i]);
    }
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
        sotto_free(rooms[i]);
    }
    for (size_t i = 0; i < sizeof wants / sizeof wants[0]; i++) {
        sotto_free(wants[i]);
    }
    sotto_conv_free(c);
}

static const sotto_tier tiers[] = {SOTTO_TIER_PORTABLE, SOTTO_TIER_AVX2, SOTTO_TIER_AVX512};

static void all_tiers(const layer *l, const sotto_rng *rng)
{
    for (size_t t = 0; t < sizeof tiers / sizeof tiers[0]; t++) {
        if (tiers[t] <= sotto_cpu_tier())
            compare_layer(l, tiers[t], rng);
    }
}

static void test_equals_plain_loop(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 0);
    for (size_t i = 0; i < LAYERS; i++) {
        all_tiers(&layers[i], &rng);
    }
}

/* Every tile size: images of one row of 1 to 40 pixels, and 1 to 40 channels. */
static void test_all_sizes(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 1);
    for (uint32_t n = 1; n <= 40; n++) {
        const layer sizes[] = {{2, 2, n, 19, 2, 1, 1, 1, 1, 0, 0, 0, 1}, {n, 3, 4, n, 2, 2, 1, 1, 0, 0, 0, 0, 1},
                               {n, 3, n + 1, n, 2, 2, 1, 1, 0, 0, 0, 0, n}};
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            all_tiers(&sizes[i], &rng);
        }
    }
}

static uint32_t below(const sotto_rng *rng, uint32_t bound)
{
    return (uint32_t)test_below(rng, bound);
}

static void test_random_layers(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 2);
    for (int round = 0; round < 300;) {
        const uint32_t groups = 1 + below(&rng, 3);
        const layer l = {.in_c = groups * (1 + below(&rng, 12)), .in_h = 1 + below(&rng, 12), .in_w = 1 + below(&rng, 12),
                         .out = groups * (1 + below(&rng, 12)), .kernel_h = 1 + below(&rng, 4), .kernel_w = 1 + below(&rng, 4),
                         .stride_h = 1 + below(&rng, 4), .stride_w = 1 + below(&rng, 4), .top = below(&rng, 4), .left = below(&rng, 4),
                         .bottom = below(&rng, 4), .right = below(&rng, 4), .groups = groups};
        if (l.kernel_h > l.in_h + l.top + l.bottom || l.kernel_w > l.in_w + l.left + l.right)
            continue;
        all_tiers(&l, &rng);
        round++;
    }
}

/* The loss is sum of dy * y, linear in each x and each w: its central differences are its derivatives, to rounding. */
static void test_plain_gradients(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 3);
    const layer l = {4, 5, 6, 6, 3, 2, 2, 1, 1, 0, 2, 1, 2};
    const size_t xs = sotto_shape_words(input_of(&l)), ys = sotto_shape_words(node_of(&l).shape), ws = weights_of(&l);
    float *unused = room(xs + ws + ys);
    double *in = doubles(xs + ws), *slope = doubles(xs + ws), *dy = doubles(ys), *y = doubles(ys);
    fill(unused, in, xs + ws, &rng);
    fill(unused, dy, ys, &rng);
    convolve(&l, (arrays){dy, slope, in + xs}, data_term);
    convolve(&l, (arrays){dy, in, slope + xs}, weight_term);
    for (size_t i = 0; i < xs + ws; i++) {
        double difference = 0.0;
        for (int sign = -1; sign <= 1; sign += 2) {
            in[i] += sign;
            memset(y, 0, ys * sizeof *y);
            convolve(&l, (arrays){y, in, in + xs}, forward_term);
            for (size_t k = 0; k < ys; k++) {
                difference += sign * dy[k] * y[k] / 2.0;
            }
            in[i] -= sign;
        }
        assert_true(fabs(difference - slope[i]) < 1e-9);
    }
    sotto_free(unused);
    sotto_free(in);
    sotto_free(slope);
    sotto_free(dy);
    sotto_free(y);
}

static void test_refusals(void **state)
{
    (void)state;
    const sotto_shape in = input_of(&layers[0]);
    sotto_conv *c = NULL;
    sotto_node node = node_of(&layers[0]);
    node.op = SOTTO_OP_DENSE;
    assert_status(SOTTO_ERR_ARG, sotto_conv_new(&c, &node, in, SOTTO_TIER_IFMA));
    node = node_of(&layers[0]);
    node.shape.w++;
    assert_status(SOTTO_ERR_ARG, sotto_conv_new(&c, &node, in, SOTTO_TIER_IFMA));
    node = node_of(&layers[0]);
    node.groups = 2;
    assert_status(SOTTO_ERR_ARG, sotto_conv_new(&c, &node, in, SOTTO_TIER_IFMA));
    node = node_of(&layers[0]);
    long k = 0;
    for (int status = SOTTO_ERR_MEMORY; status != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        status = sotto_conv_new(&c, &node, in, SOTTO_TIER_IFMA);
        sotto_calloc_fail_after(-1);
        assert_true(status == SOTTO_OK || (status == SOTTO_ERR_MEMORY && c == NULL));
    }
    assert_true(k > 3);
    sotto_conv_free(c);
    sotto_conv_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_plain_loop), cmocka_unit_test(test_all_sizes), cmocka_unit_test(test_random_layers),
        cmocka_unit_test(test_plain_gradients),   cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
