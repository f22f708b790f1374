/* The loops of tape_loops.h, compiled once for each kind of processor by the file that defines TAPE_LOOPS and TAPE_TIER: plain C that compilers turn into
 * vectors. */
#include "nn/train/tape_loops.h"

/* Runs of at most one period: value i of a run goes with item i of what is per channel. */
#define EACH_RUN(at, run) \
    for (size_t at = 0, run; at < words && ((run = words - at < period ? words - at : period), 1); at += run)

static void norm_run(float *restrict y, const float *restrict x, const float *restrict factor, const float *restrict offset, float least, size_t run)
{
    for (size_t i = 0; i < run; i++) {
        const float v = x[i] * factor[i] + offset[i];
        y[i] = v > least ? v : least;
    }
}

static void norm_skip_run(float *restrict y, const float *restrict x, const float *restrict skip, const float *restrict factor, const float *restrict offset,
                          float least, size_t run)
{
    for (size_t i = 0; i < run; i++) {
        const float v = x[i] * factor[i] + offset[i] + skip[i];
        y[i] = v > least ? v : least;
    }
}

static void norm(float *y, const float *x, const float *skip, const float *factor, const float *offset, int relu, size_t period, size_t words)
{
    const float least = relu ? 0.0f : -__builtin_inff();
    EACH_RUN (at, run) {
        if (skip == NULL) {
            norm_run(y + at, x + at, factor, offset, least, run);
        } else {
            norm_skip_run(y + at, x + at, skip + at, factor, offset, least, run);
        }
    }
}

static void moments_run(float *restrict sum, float *restrict square, const float *restrict x, const float *restrict shift, size_t run)
{
    for (size_t i = 0; i < run; i++) {
        const float d = x[i] - shift[i];
        sum[i] += d;
        square[i] += d * d;
    }
}

static void moments(float *sum, float *square, const float *x, const float *shift, size_t period, size_t words)
{
    EACH_RUN (at, run) {
        moments_run(sum, square, x + at, shift, run);
    }
}

static void norm_sums_run(float *restrict sum, float *restrict product, const float *restrict dy, const float *restrict x, const float *restrict mean, size_t run)
{
    for (size_t i = 0; i < run; i++) {
        sum[i] += dy[i];
        product[i] += dy[i] * (x[i] - mean[i]);
    }
}

static void norm_sums_relu_run(float *restrict sum, float *restrict product, float *restrict dy, const float *restrict y, const float *restrict x,
                               const float *restrict mean, size_t run)
{
    for (size_t i = 0; i < run; i++) {
        const float d = y[i] > 0.0f ? dy[i] : 0.0f;
        dy[i] = d;
        sum[i] += d;
        product[i] += d * (x[i] - mean[i]);
    }
}

static void norm_sums(float *sum, float *product, float *dy, const float *y, const float *x, const float *mean, size_t period, size_t words)
{
    EACH_RUN (at, run) {
        if (y == NULL) {
            norm_sums_run(sum, product, dy + at, x + at, mean, run);
        } else {
            norm_sums_relu_run(sum, product, dy + at, y + at, x + at, mean, run);
        }
    }
}

static void norm_back_run(float *restrict dx, const float *restrict dy, const float *restrict x, const float *restrict a, const float *restrict b,
                          const float *restrict mean, const float *restrict c, size_t run)
{
    for (size_t i = 0; i < run; i++) {
        dx[i] = dy[i] * a[i] + ((x[i] - mean[i]) * b[i] + c[i]);
    }
}

static void norm_back(float *dx, const float *dy, const float *x, const float *coefficients, size_t period, size_t words)
{
    EACH_RUN (at, run) {
        norm_back_run(dx + at, dy + at, x + at, coefficients, coefficients + period, coefficients + 2 * period, coefficients + 3 * period, run);
    }
}

static void sum_run(float *restrict sum, const float *restrict x, size_t run)
{
    for (size_t i = 0; i < run; i++) {
        sum[i] += x[i];
    }
}

static void sum(float *sums, const float *x, size_t period, size_t words)
{
    EACH_RUN (at, run) {
        sum_run(sums, x + at, run);
    }
}

static void clip_run(float *restrict y, const float *restrict x, const float *restrict bound, size_t run)
{
    for (size_t i = 0; i < run; i++) {
        const float v = x[i] > 0.0f ? x[i] : 0.0f;
        y[i] = v < bound[i] ? v : bound[i];
    }
}

static void clip(float *y, const float *x, const float *bound, size_t period, size_t words)
{
    EACH_RUN (at, run) {
        clip_run(y + at, x + at, bound, run);
    }
}

static void clip_back_run(float *restrict dx, const float *restrict dy, const float *restrict y, const float *restrict bound, size_t run)
{
    for (size_t i = 0; i < run; i++) {
        const int inside = (y[i] > 0.0f) & (y[i] < bound[i]);
        dx[i] = inside ? dy[i] : 0.0f;
    }
}

static void clip_back(float *dx, const float *dy, const float *y, const float *bound, size_t period, size_t words)
{
    EACH_RUN (at, run) {
        clip_back_run(dx + at, dy + at, y + at, bound, run);
    }
}

static void polynomial_run(float *restrict y, const float *restrict x, const float *restrict c, size_t period, size_t run)
{
    for (size_t i = 0; i < run; i++) {
        y[i] += c[i] + x[i] * (c[period + i] + x[i] * (c[2 * period + i] + x[i] * c[3 * period + i]));
    }
}

static void polynomial(float *y, const float *x, const float *coefficients, size_t period, size_t words)
{
    EACH_RUN (at, run) {
        polynomial_run(y + at, x + at, coefficients, period, run);
    }
}

static void polynomial_back_run(float *restrict dx, float *restrict sums, const float *restrict dy, const float *restrict x, const float *restrict c,
                                size_t period, size_t run)
{
    for (size_t i = 0; i < run; i++) {
        const float v = x[i], d = dy[i];
        dx[i] += d * (c[period + i] + v * (2.0f * c[2 * period + i] + v * (3.0f * c[3 * period + i])));
        sums[i] += d;
        sums[period + i] += d * v;
        sums[2 * period + i] += d * (v * v);
        sums[3 * period + i] += d * (v * v * v);
    }
}

static void polynomial_back(float *dx, float *sums, const float *dy, const float *x, const float *coefficients, size_t period, size_t words)
{
    EACH_RUN (at, run) {
        polynomial_back_run(dx + at, sums, dy + at, x + at, coefficients, period, run);
    }
}

static void relu(float *restrict y, const float *restrict x, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
    }
}

static void relu_back(float *restrict dx, const float *restrict dy, const float *restrict y, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        dx[i] = y[i] > 0.0f ? dy[i] : 0.0f;
    }
}

static void gate(float *restrict y, const float *restrict x, const float *restrict on, const float *restrict off, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        y[i] = x[i] * (x[i] > 0.0f ? on[i] : off[i]);
    }
}

static void gate_back(float *restrict dx, const float *restrict dy, const float *restrict x, const float *restrict on, const float *restrict off, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        dx[i] = dy[i] * (x[i] > 0.0f ? on[i] : off[i]);
    }
}

static void add(float *restrict y, const float *a, const float *b, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        y[i] = a[i] + b[i];
    }
}

static void accumulate(float *y, const float *x, float scale, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        y[i] += scale * x[i];
    }
}

static void maximum(float *restrict y, const float *restrict x, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        y[i] = x[i] > y[i] ? x[i] : y[i];
    }
}

static void claim(float *restrict dx, float *restrict left, const float *restrict x, const float *restrict y, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        const int hit = x[i] == y[i];
        dx[i] += hit ? left[i] : 0.0f;
        left[i] = hit ? 0.0f : left[i];
    }
}

const sotto_tape_loops TAPE_LOOPS = {
    .tier = TAPE_TIER,
    .norm = norm,
    .moments = moments,
    .norm_sums = norm_sums,
    .norm_back = norm_back,
    .sum = sum,
    .clip = clip,
    .clip_back = clip_back,
    .polynomial = polynomial,
    .polynomial_back = polynomial_back,
    .relu = relu,
    .relu_back = relu_back,
    .gate = gate,
    .gate_back = gate_back,
    .add = add,
    .accumulate = accumulate,
    .maximum = maximum,
    .claim = claim,
};
