/* Shapes and tiles of linear layers: where things lie in the polynomials (linear.h), and which tile is taken. */
#include <math.h>

#include "nn/secure/linear_internal.h"

#define SIDE_MAX 65536u
#define BYTES_MAX ((size_t)1 << 31) /* of the requests of a layer whose tile is given: the plan may come from somebody else */

/* Prices in nanoseconds of one core of 2.7 GHz with AVX-512, at n = 4096 and two primes; of a byte at 500 Mbit/s. They choose among tiles, so that ratios matter and
 * not much else. */
#define BYTE_COST 16u
#define REQUEST_COST 45000u  /* encrypted, packed, unpacked */
#define ANSWER_COST 100000u  /* rerandomised, flooded, switched down, packed, opened */
#define PRODUCT_COST 6000u   /* accumulated */
#define FAST_BITS 50u        /* of primes that a 52-bit multiplier serves; longer ones take SLOW times as long */
#define SLOW 4u

static uint32_t ceil_div(uint32_t a, uint32_t b)
{
    return (a + b - 1) / b;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return sotto_linear_min(a, b);
}

int sotto_linear_out_size(const sotto_linear_shape *s, uint32_t *out_h, uint32_t *out_w)
{
    const struct {
        const char *name;
        uint32_t value, low, high;
    } field[] = {
        {"in_c", s->in_c, 1, SIDE_MAX},         {"in_h", s->in_h, 1, SIDE_MAX},
        {"in_w", s->in_w, 1, SIDE_MAX},         {"out_c", s->out_c, 1, SIDE_MAX},
        {"kernel_h", s->kernel_h, 1, SIDE_MAX}, {"kernel_w", s->kernel_w, 1, SIDE_MAX},
        {"stride_h", s->stride_h, 1, SIDE_MAX}, {"stride_w", s->stride_w, 1, SIDE_MAX},
        {"pad_top", s->pad_top, 0, SIDE_MAX},   {"pad_left", s->pad_left, 0, SIDE_MAX},
        {"pad_bottom", s->pad_bottom, 0, SIDE_MAX}, {"pad_right", s->pad_right, 0, SIDE_MAX},
        {"groups", s->groups, 1, SIDE_MAX},     {"weight_bits", s->weight_bits, 1, 16},
    };
    for (size_t i = 0; i < sizeof field / sizeof *field; i++)
        if (field[i].value < field[i].low || field[i].value > field[i].high)
            return sotto_fail(SOTTO_ERR_ARG, "linear layer: %s is %u; it must be from %u to %u", field[i].name,
                              field[i].value, field[i].low, field[i].high);
    if (s->in_c % s->groups || s->out_c % s->groups)
        return sotto_fail(SOTTO_ERR_ARG, "linear layer: %u groups do not divide %u and %u channels", s->groups, s->in_c,
                          s->out_c);
    uint32_t h = s->in_h + s->pad_top + s->pad_bottom, w = s->in_w + s->pad_left + s->pad_right;
    if (s->kernel_h > h || s->kernel_w > w)
        return sotto_fail(SOTTO_ERR_ARG, "linear layer: a kernel of %u x %u exceeds the padded input of %u x %u",
                          s->kernel_h, s->kernel_w, h, w);
    *out_h = (h - s->kernel_h) / s->stride_h + 1;
    *out_w = (w - s->kernel_w) / s->stride_w + 1;
    return SOTTO_OK;
}

uint32_t sotto_linear_first_block(const sotto_linear_plan *p, uint32_t out_block, uint32_t *count)
{
    const sotto_linear_shape *s = &p->shape;
    const uint32_t per_group = p->planes / s->groups, out_per = s->out_c / s->groups, first = out_block * p->tile.filters;
    const uint32_t last = min_u32(first + p->tile.filters, s->out_c) - 1;
    const uint32_t from = first / out_per * per_group / p->tile.channels;
    *count = ((last / out_per + 1) * per_group - 1) / p->tile.channels - from + 1;
    return from;
}

/* Rows (or columns) that are zero at both ends of every phase of a patch of `full` pixels, the whole padded side. */
static uint32_t shared_ends(uint32_t pad, uint32_t side, uint32_t stride, uint32_t phases, uint32_t full)
{
    uint32_t least = full;
    for (uint32_t a = 0; a < phases; a++) {
        uint32_t head = 0, tail = 0;
        while (head < full && head * stride + a < pad)
            head++;
        while (tail < full && (full - 1 - tail) * stride + a >= pad + side)
            tail++;
        least = min_u32(least, min_u32(head, tail));
    }
    return least;
}

/* What follows from the rows and columns of a tile. */
static void derive_patch(sotto_linear_plan *p)
{
    const sotto_linear_shape *s = &p->shape;
    const uint32_t full_h = p->tile.rows - 1 + p->taps_h, full_w = p->tile.cols - 1 + p->taps_w;
    uint32_t d = 0, e = 0;
    p->tiles_y = ceil_div(p->out_h, p->tile.rows);
    p->tiles_x = ceil_div(p->out_w, p->tile.cols);
    if (p->tiles_y == 1)
        d = min_u32(shared_ends(s->pad_top, s->in_h, s->stride_h, p->phases_h, full_h), min_u32(p->taps_h, p->tile.rows) - 1);
    if (p->tiles_x == 1)
        e = min_u32(shared_ends(s->pad_left, s->in_w, s->stride_w, p->phases_w, full_w), min_u32(p->taps_w, p->tile.cols) - 1);
    p->patch_h = full_h - d;
    p->patch_w = full_w - e;
    p->skipped = d * p->patch_w + e;
}

/* What follows from its planes and filters, the bytes of answers excepted. */
static void derive_blocks(sotto_linear_plan *p, const sotto_bfv_params *bfv)
{
    const size_t tiles = (size_t)p->tiles_y * p->tiles_x;
    p->in_blocks = ceil_div(p->planes, p->tile.channels);
    p->out_blocks = ceil_div(p->shape.out_c, p->tile.filters);
    p->requests = tiles * p->in_blocks;
    p->answers = tiles * p->out_blocks;
    p->request_bytes = p->requests * sotto_bfv_seeded_bytes(bfv);
}

sotto_linear_box sotto_linear_box_of(const sotto_linear_plan *p, size_t answer)
{
    sotto_linear_box b;
    b.block = (uint32_t)(answer % p->out_blocks);
    size_t tile = answer / p->out_blocks;
    b.ty = (uint32_t)(tile / p->tiles_x);
    b.tx = (uint32_t)(tile % p->tiles_x);
    b.m0 = b.block * p->tile.filters;
    b.y0 = b.ty * p->tile.rows;
    b.x0 = b.tx * p->tile.cols;
    b.filters = min_u32(p->tile.filters, p->shape.out_c - b.m0);
    b.rows = min_u32(p->tile.rows, p->out_h - b.y0);
    b.cols = min_u32(p->tile.cols, p->out_w - b.x0);
    return b;
}

size_t sotto_linear_answer_offsets(const sotto_linear_plan *p, const sotto_bfv_params *bfv, size_t *offset)
{
    size_t sum = 0;
    for (size_t i = 0; i < p->answers; i++) {
        if (offset)
            offset[i] = sum;
        sum += sotto_bfv_answer_bytes(bfv, sotto_linear_box_words(sotto_linear_box_of(p, i)));
    }
    return sum;
}

uint32_t sotto_linear_coefficient(const sotto_linear_plan *p, uint32_t m, uint32_t y, uint32_t x)
{
    uint32_t area = p->patch_h * p->patch_w;
    uint32_t origin = area * (p->tile.channels * p->tile.filters - 1) + p->patch_w * (p->taps_h - 1) + p->taps_w - 1 - p->skipped;
    return origin - m * p->tile.channels * area + y * p->patch_w + x;
}

static int answer_plan(sotto_linear_plan *p, const sotto_bfv_params *bfv, double coefficients)
{
    const sotto_linear_shape *s = &p->shape;
    /* Noise sits on every coefficient, so all filters of the packed plaintext count, not only the one that is wanted. */
    double terms = (double)p->tile.filters * (s->in_c / s->groups) * s->kernel_h * s->kernel_w;
    double top = ldexp(1, (int)s->weight_bits - 1);
    return sotto_bfv_answer_plan_new(&p->answer, bfv, top * sqrt(terms), top * terms, coefficients);
}

/* A sum of integers below 2^53, so that it is exact. */
double sotto_linear_plan_cost(const sotto_linear_plan *p, const sotto_bfv_params *bfv)
{
    uint32_t blocks;
    (void)sotto_linear_first_block(p, 0, &blocks);
    /* The `b` words of all answers together are the same for every tile, up to padding of their ends. */
    const double bytes = (double)p->request_bytes + (double)p->answers * (double)sotto_bfv_answer_bytes(bfv, 0);
    const sotto_rns *rns = sotto_bfv_rns(bfv);
    double words = 0; /* in units of the prices */
    for (size_t i = 0; i < sotto_rns_count(rns); i++)
        words += (sotto_rns_modulus(rns, i)->bits > FAST_BITS ? SLOW : 1) * (double)sotto_bfv_n(bfv) / 8192;
    return BYTE_COST * bytes +
           words * (REQUEST_COST * (double)p->requests + ANSWER_COST * (double)p->answers + PRODUCT_COST * (double)p->answers * blocks);
}

/* The next smaller size of which an even split of `total` into parts consists; 0 after 1. */
static uint32_t smaller_part(uint32_t total, uint32_t part)
{
    return part > 1 ? ceil_div(total, ceil_div(total, part - 1)) : 0;
}

/* What follows from the shape alone. */
static int derive_shape(sotto_linear_plan *p, const sotto_linear_shape *shape)
{
    *p = (sotto_linear_plan){.shape = *shape};
    int rc = sotto_linear_out_size(shape, &p->out_h, &p->out_w);
    if (rc)
        return rc;
    if (shape->in_c > SIZE_MAX / sizeof(uint64_t) / shape->in_h / shape->in_w ||
        shape->out_c > SIZE_MAX / sizeof(uint64_t) / p->out_h / p->out_w)
        return sotto_fail(SOTTO_ERR_ARG, "linear layer: the tensors are too large for this machine");
    p->in_words = (size_t)shape->in_c * shape->in_h * shape->in_w;
    p->out_words = (size_t)shape->out_c * p->out_h * p->out_w;
    p->phases_h = min_u32(shape->stride_h, shape->kernel_h);
    p->phases_w = min_u32(shape->stride_w, shape->kernel_w);
    p->taps_h = ceil_div(shape->kernel_h, shape->stride_h);
    p->taps_w = ceil_div(shape->kernel_w, shape->stride_w);
    if ((uint64_t)p->phases_h * p->phases_w > UINT32_MAX / shape->in_c)
        return sotto_fail(SOTTO_ERR_ARG, "linear layer: strides of %u x %u split %u channels into too many", shape->stride_h, shape->stride_w, shape->in_c);
    p->planes = shape->in_c * p->phases_h * p->phases_w;
    return SOTTO_OK;
}

int sotto_linear_plan_each(const sotto_bfv_params *bfv, const sotto_linear_shape *shape, double coefficients, const sotto_linear_visitor *v)
{
    sotto_linear_plan p;
    int rc = derive_shape(&p, shape), found = 0, reason = SOTTO_OK;
    if (rc)
        return rc;
    const uint64_t n = sotto_bfv_n(bfv);
    /* Every even split of rows, columns and planes; the filters then take what room is left, evenly. */
    for (uint32_t rows = p.out_h; rows; rows = smaller_part(p.out_h, rows)) {
        for (uint32_t cols = p.out_w; cols; cols = smaller_part(p.out_w, cols)) {
            p.tile = (sotto_linear_tile){1, 1, rows, cols};
            derive_patch(&p);
            const uint64_t area = (uint64_t)p.patch_h * p.patch_w;
            if (area > n)
                continue;
            for (uint32_t channels = p.planes; channels; channels = smaller_part(p.planes, channels)) {
                if (channels * area > n)
                    continue;
                uint32_t most = min_u32(shape->out_c, (uint32_t)(n / (channels * area)));
                p.tile = (sotto_linear_tile){channels, ceil_div(shape->out_c, ceil_div(shape->out_c, most)), rows, cols};
                derive_blocks(&p, bfv);
                if (!v->wants(v->ctx, &p, bfv))
                    continue;
                int status = answer_plan(&p, bfv, coefficients);
                if (status) {
                    reason = status;
                    continue;
                }
                v->take(v->ctx, &p, bfv);
                found = 1;
            }
        }
    }
    if (!found)
        return reason ? sotto_fail_context(reason, "linear layer")
                      : sotto_fail(SOTTO_ERR_PARAMS, "linear layer: a kernel of %u x %u does not fit a polynomial of %u "
                                                     "coefficients; choose a larger n",
                                   shape->kernel_h, shape->kernel_w, (unsigned)n);
    return SOTTO_OK;
}

typedef struct cheapest {
    sotto_linear_plan plan;
    double cost;
} cheapest;

static int cheaper(void *ctx, const sotto_linear_plan *p, const sotto_bfv_params *bfv)
{
    return sotto_linear_plan_cost(p, bfv) < ((cheapest *)ctx)->cost;
}

static void take_cheaper(void *ctx, const sotto_linear_plan *p, const sotto_bfv_params *bfv)
{
    *(cheapest *)ctx = (cheapest){*p, sotto_linear_plan_cost(p, bfv)};
}

int sotto_linear_plan_new(sotto_linear_plan *plan, const sotto_bfv_params *bfv, const sotto_linear_shape *shape,
                          double coefficients)
{
    cheapest best = {.cost = INFINITY};
    const sotto_linear_visitor v = {cheaper, take_cheaper, &best};
    int rc = sotto_linear_plan_each(bfv, shape, coefficients, &v);
    if (rc)
        return rc;
    best.plan.answer_bytes = sotto_linear_answer_offsets(&best.plan, bfv, NULL);
    *plan = best.plan;
    return SOTTO_OK;
}

int sotto_linear_plan_tile(sotto_linear_plan *plan, const sotto_bfv_params *bfv, const sotto_linear_shape *shape, double coefficients,
                           sotto_linear_tile tile)
{
    sotto_linear_plan p;
    const uint64_t n = sotto_bfv_n(bfv);
    int rc = derive_shape(&p, shape);
    if (rc)
        return rc;
    if (tile.channels < 1 || tile.channels > p.planes || tile.filters < 1 || tile.filters > shape->out_c || tile.rows < 1 || tile.rows > p.out_h ||
        tile.cols < 1 || tile.cols > p.out_w)
        return sotto_fail(SOTTO_ERR_PARAMS, "linear layer: a tile of %u x %u x %u x %u; the layer has %u planes, %u filters and %u x %u outputs", tile.channels,
                          tile.filters, tile.rows, tile.cols, p.planes, shape->out_c, p.out_h, p.out_w);
    p.tile = tile;
    derive_patch(&p);
    const uint64_t area = (uint64_t)p.patch_h * p.patch_w;
    if (area > n || tile.channels > n / area || tile.filters > n / area / tile.channels)
        return sotto_fail(SOTTO_ERR_PARAMS, "linear layer: a tile of %u x %u x %u x %u takes patches of %u x %u, more than a polynomial of %u coefficients holds",
                          tile.channels, tile.filters, tile.rows, tile.cols, p.patch_h, p.patch_w, (unsigned)n);
    derive_blocks(&p, bfv);
    if (p.requests > BYTES_MAX / sotto_bfv_seeded_bytes(bfv))
        return sotto_fail(SOTTO_ERR_PARAMS, "linear layer: a tile of %u x %u x %u x %u splits the layer into %zu requests, too many; choose a larger one",
                          tile.channels, tile.filters, tile.rows, tile.cols, p.requests);
    rc = answer_plan(&p, bfv, coefficients);
    if (rc)
        return sotto_fail_context(rc, "linear layer");
    p.answer_bytes = sotto_linear_answer_offsets(&p, bfv, NULL);
    *plan = p;
    return SOTTO_OK;
}
