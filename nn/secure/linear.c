#include "nn/secure/linear.h"

#include <math.h>
#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"
#include "ring/poly.h"

#define SIDE_MAX 65536u

struct sotto_linear_weights {
    sotto_bfv_plain *tile; /* [out_blocks][in_blocks]; an unused pair stays zeroed */
    size_t count;
};

static uint32_t ceil_div(uint32_t a, uint32_t b)
{
    return (a + b - 1) / b;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
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

/* A pair of blocks matters when some filter of the one lies in a group of some channel of the other. */
static int blocks_meet(const sotto_linear_plan *p, uint32_t out_block, uint32_t in_block)
{
    const sotto_linear_shape *s = &p->shape;
    uint32_t in_per = s->in_c / s->groups, out_per = s->out_c / s->groups;
    uint32_t first = out_block * p->tile.filters, last = min_u32(first + p->tile.filters, s->out_c) - 1;
    uint32_t c0 = in_block * p->tile.channels, c1 = min_u32(c0 + p->tile.channels, s->in_c) - 1;
    return first / out_per <= c1 / in_per && c0 / in_per <= last / out_per;
}

/* Fills in all that follows from shape and tile; the tile fits n by construction. */
static void plan_derive(sotto_linear_plan *p, const sotto_bfv_params *bfv)
{
    const sotto_linear_shape *s = &p->shape;
    p->patch_h = (p->tile.rows - 1) * s->stride_h + s->kernel_h;
    p->patch_w = (p->tile.cols - 1) * s->stride_w + s->kernel_w;
    p->in_blocks = ceil_div(s->in_c, p->tile.channels);
    p->out_blocks = ceil_div(s->out_c, p->tile.filters);
    p->tiles_y = ceil_div(p->out_h, p->tile.rows);
    p->tiles_x = ceil_div(p->out_w, p->tile.cols);
    size_t tiles = (size_t)p->tiles_y * p->tiles_x;
    p->requests = tiles * p->in_blocks;
    p->answers = tiles * p->out_blocks;
    p->request_bytes = p->requests * sotto_bfv_seeded_bytes(bfv);
}

/* Where an answer's outputs lie: filters [m0, m0 + filters) x rows [y0, y0 + rows) x cols [x0, x0 + cols). */
typedef struct answer_box {
    uint32_t m0, filters, y0, rows, x0, cols;
    uint32_t ty, tx, block;
} answer_box;

static answer_box box_of(const sotto_linear_plan *p, size_t answer)
{
    answer_box b;
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

static size_t box_words(answer_box b)
{
    return (size_t)b.filters * b.rows * b.cols;
}

/* Byte offset of each answer among all, and behind them the sum; offset may be NULL, where the sum alone is wanted. */
static size_t answer_offsets(const sotto_linear_plan *p, const sotto_bfv_params *bfv, size_t *offset)
{
    size_t sum = 0;
    for (size_t i = 0; i < p->answers; i++) {
        if (offset)
            offset[i] = sum;
        sum += sotto_bfv_answer_bytes(bfv, box_words(box_of(p, i)));
    }
    return sum;
}

/* Coefficient of output (m, y, x), all relative to the tile. */
static uint32_t coefficient(const sotto_linear_plan *p, uint32_t m, uint32_t y, uint32_t x)
{
    uint32_t area = p->patch_h * p->patch_w;
    uint32_t origin = area * (p->tile.channels * p->tile.filters - 1) + p->patch_w * (p->shape.kernel_h - 1) +
                      p->shape.kernel_w - 1;
    return origin - m * p->tile.channels * area + y * p->shape.stride_h * p->patch_w + x * p->shape.stride_w;
}

static int answer_plan(sotto_linear_plan *p, const sotto_bfv_params *bfv, double coefficients)
{
    const sotto_linear_shape *s = &p->shape;
    /* Noise sits on every coefficient, so all filters of the packed plaintext count, not only the one that is wanted. */
    double terms = (double)p->tile.filters * (s->in_c / s->groups) * s->kernel_h * s->kernel_w;
    double top = ldexp(1, (int)s->weight_bits - 1);
    return sotto_bfv_answer_plan_new(&p->answer, bfv, top * sqrt(terms), top * terms, coefficients);
}

int sotto_linear_plan_new(sotto_linear_plan *plan, const sotto_bfv_params *bfv, const sotto_linear_shape *shape,
                          double coefficients)
{
    sotto_linear_plan p = {.shape = *shape}, best = {.shape = *shape};
    int rc = sotto_linear_out_size(shape, &p.out_h, &p.out_w);
    if (rc)
        return rc;
    if (shape->in_c > SIZE_MAX / sizeof(uint64_t) / shape->in_h / shape->in_w ||
        shape->out_c > SIZE_MAX / sizeof(uint64_t) / p.out_h / p.out_w)
        return sotto_fail(SOTTO_ERR_ARG, "linear layer: the tensors are too large for this machine");
    p.in_words = (size_t)shape->in_c * shape->in_h * shape->in_w;
    p.out_words = (size_t)shape->out_c * p.out_h * p.out_w;
    uint64_t n = sotto_bfv_n(bfv);
    double best_bytes = 0, best_products = 0;
    int found = 0, reason = SOTTO_OK;
    /* Every even split of rows, columns and channels; the filters then take what room is left, evenly. */
    for (uint32_t rows = p.out_h; rows; rows = rows > 1 ? ceil_div(p.out_h, ceil_div(p.out_h, rows - 1)) : 0) {
        for (uint32_t cols = p.out_w; cols; cols = cols > 1 ? ceil_div(p.out_w, ceil_div(p.out_w, cols - 1)) : 0) {
            uint64_t area = ((uint64_t)(rows - 1) * shape->stride_h + shape->kernel_h) *
                            ((uint64_t)(cols - 1) * shape->stride_w + shape->kernel_w);
            if (area > n)
                continue;
            for (uint32_t parts = 1; parts <= shape->in_c; parts++) {
                uint32_t channels = ceil_div(shape->in_c, parts);
                if (ceil_div(shape->in_c, channels) != parts || channels * area > n)
                    continue;
                uint32_t most = min_u32(shape->out_c, (uint32_t)(n / (channels * area)));
                p.tile = (sotto_linear_tile){channels, ceil_div(shape->out_c, ceil_div(shape->out_c, most)), rows, cols};
                plan_derive(&p, bfv);
                /* The `b` words of all answers together are the same for every tile, up to padding of their ends. */
                double bytes = (double)p.request_bytes + (double)p.answers * (double)sotto_bfv_answer_bytes(bfv, 0);
                double products = (double)p.answers * p.in_blocks;
                if (found && (bytes > best_bytes || (bytes >= best_bytes && products >= best_products)))
                    continue;
                int status = answer_plan(&p, bfv, coefficients);
                if (status) {
                    reason = status;
                    continue;
                }
                best = p;
                best_bytes = bytes;
                best_products = products;
                found = 1;
            }
        }
    }
    if (!found)
        return reason ? sotto_fail_context(reason, "linear layer")
                      : sotto_fail(SOTTO_ERR_PARAMS, "linear layer: a kernel of %u x %u does not fit a polynomial of %u "
                                                     "coefficients; choose a larger n",
                                   shape->kernel_h, shape->kernel_w, (unsigned)n);
    best.answer_bytes = answer_offsets(&best, bfv, NULL);
    *plan = best;
    return SOTTO_OK;
}

/* ---- weights ----------------------------------------------------------------------------------------------------- */

typedef struct weights_task {
    const sotto_linear_plan *plan;
    const sotto_bfv_params *p;
    const int32_t *weights;
    sotto_linear_weights *out;
} weights_task;

static int weights_block(void *ctx, size_t i, unsigned thread)
{
    (void)thread;
    const weights_task *t = ctx;
    const sotto_linear_plan *p = t->plan;
    const sotto_linear_shape *s = &p->shape;
    uint32_t out_block = (uint32_t)(i / p->in_blocks), in_block = (uint32_t)(i % p->in_blocks);
    if (!blocks_meet(p, out_block, in_block))
        return SOTTO_OK;
    uint32_t n = sotto_bfv_n(t->p);
    int64_t *w = sotto_calloc(n, sizeof *w);
    if (!w)
        return sotto_fail(SOTTO_ERR_MEMORY, "out of memory for the weights of a linear layer");
    uint32_t in_per = s->in_c / s->groups, out_per = s->out_c / s->groups, area = p->patch_h * p->patch_w;
    uint32_t m0 = out_block * p->tile.filters, c0 = in_block * p->tile.channels;
    for (uint32_t m = 0; m < p->tile.filters && m0 + m < s->out_c; m++) {
        for (uint32_t c = 0; c < p->tile.channels && c0 + c < s->in_c; c++) {
            if ((c0 + c) / in_per != (m0 + m) / out_per)
                continue;
            const int32_t *kernel =
                t->weights + ((size_t)(m0 + m) * in_per + (c0 + c) % in_per) * s->kernel_h * s->kernel_w;
            uint32_t at = coefficient(p, m, 0, 0) - c * area;
            for (uint32_t u = 0; u < s->kernel_h; u++)
                for (uint32_t v = 0; v < s->kernel_w; v++)
                    w[at - u * p->patch_w - v] = kernel[u * s->kernel_w + v];
        }
    }
    int rc = sotto_bfv_plain_new(&t->out->tile[i], t->p, w);
    sotto_free_secret(w, n, sizeof *w);
    return rc;
}

int sotto_linear_weights_new(sotto_linear_weights **out, const sotto_linear_plan *plan, const sotto_bfv_params *p,
                             const int32_t *weights, sotto_pool *pool)
{
    const sotto_linear_shape *s = &plan->shape;
    size_t count = (size_t)s->out_c * (s->in_c / s->groups) * s->kernel_h * s->kernel_w;
    uint64_t bound = (uint64_t)1 << (s->weight_bits - 1), wrong = 0;
    for (size_t i = 0; i < count; i++) /* |w| <= bound <=> w + bound in [0, 2 bound] */
        wrong |= sotto_ct_lt(2 * bound, (uint64_t)weights[i] + bound);
    /* Whether the weights keep to their own declared width tells nothing beyond that width. */
    SOTTO_DECLASSIFY(&wrong, sizeof wrong);
    if (wrong)
        return sotto_fail(SOTTO_ERR_ARG, "linear layer: a weight exceeds %u bits; quantise with a larger scale",
                          s->weight_bits);
    sotto_linear_weights *w = sotto_calloc(1, sizeof *w);
    if (!w)
        return sotto_fail(SOTTO_ERR_MEMORY, "out of memory for the weights of a linear layer");
    w->count = (size_t)plan->out_blocks * plan->in_blocks;
    w->tile = sotto_calloc(w->count, sizeof *w->tile);
    weights_task task = {plan, p, weights, w};
    int rc = w->tile ? sotto_pool_run(pool, w->count, weights_block, &task)
                     : sotto_fail(SOTTO_ERR_MEMORY, "out of memory for the weights of a linear layer");
    if (rc) {
        sotto_linear_weights_free(w, p);
        return rc;
    }
    *out = w;
    return SOTTO_OK;
}

void sotto_linear_weights_free(sotto_linear_weights *w, const sotto_bfv_params *p)
{
    if (!w)
        return;
    for (size_t i = 0; w->tile && i < w->count; i++)
        sotto_bfv_plain_free(&w->tile[i], p);
    sotto_free(w->tile);
    sotto_free(w);
}

/* ---- request ----------------------------------------------------------------------------------------------------- */

typedef struct request_task {
    const sotto_linear_plan *plan;
    const sotto_bfv_params *p;
    const sotto_bfv_secret_key *sk;
    const uint64_t *r;
    const sotto_rng *rng;
    uint8_t *out;
} request_task;

/* Request i is channel block i % in_blocks of spatial tile i / in_blocks. Padding stays zero: it is public. */
static int request_one(void *ctx, size_t i, unsigned thread)
{
    (void)thread;
    const request_task *t = ctx;
    const sotto_linear_plan *p = t->plan;
    const sotto_linear_shape *s = &p->shape;
    uint32_t n = sotto_bfv_n(t->p), c0 = (uint32_t)(i % p->in_blocks) * p->tile.channels;
    size_t tile = i / p->in_blocks;
    size_t top = tile / p->tiles_x * p->tile.rows * s->stride_h, left = tile % p->tiles_x * p->tile.cols * s->stride_w;
    sotto_bfv_ct ct = {0};
    sotto_block seed;
    uint64_t *m = sotto_calloc(n, sizeof *m);
    int rc = m ? SOTTO_OK : sotto_fail(SOTTO_ERR_MEMORY, "out of memory for a request");
    if (rc)
        goto done;
    for (uint32_t c = 0; c < p->tile.channels && c0 + c < s->in_c; c++)
        for (uint32_t y = 0; y < p->patch_h; y++)
            for (uint32_t x = 0; x < p->patch_w; x++) {
                size_t row = top + y, col = left + x; /* in the padded image */
                if (row < s->pad_top || row - s->pad_top >= s->in_h || col < s->pad_left || col - s->pad_left >= s->in_w)
                    continue;
                m[(c * p->patch_h + y) * p->patch_w + x] =
                    t->r[((size_t)(c0 + c) * s->in_h + row - s->pad_top) * s->in_w + col - s->pad_left];
            }
    if ((rc = sotto_bfv_ct_new(&ct, t->p)) || (rc = sotto_bfv_encrypt_symmetric(&ct, &seed, t->p, t->sk, m, t->rng)))
        goto done;
    size_t bytes = sotto_bfv_seeded_bytes(t->p);
    sotto_writer w;
    sotto_writer_init(&w, t->out + i * bytes, bytes);
    sotto_bfv_seeded_write(&w, t->p, &ct, seed);
    rc = w.status;
done:
    sotto_bfv_ct_free(&ct);
    sotto_free_secret(m, n, sizeof *m);
    return rc;
}

int sotto_linear_request(uint8_t *out, const sotto_linear_plan *plan, const sotto_bfv_params *p,
                         const sotto_bfv_secret_key *sk, const uint64_t *r, const sotto_rng *rng, sotto_pool *pool)
{
    request_task task = {plan, p, sk, r, rng, out};
    int rc = sotto_pool_run(pool, plan->requests, request_one, &task);
    if (rc)
        memset(out, 0, plan->request_bytes);
    return rc;
}

/* ---- answer ------------------------------------------------------------------------------------------------------ */

typedef struct answer_task {
    const sotto_linear_plan *plan;
    const sotto_bfv_params *p;
    const sotto_bfv_public_key *pk;
    const sotto_linear_weights *weights;
    const uint8_t *request;
    sotto_bfv_ct *ct; /* the request's ciphertexts */
    const uint64_t *s;
    const sotto_rng *rng;
    uint8_t *out;
    const sotto_bfv_secret_key *sk; /* the client's side */
    const uint8_t *answer;
    uint64_t *c;
    size_t *offset; /* of each answer in out or answer */
} answer_task;

static int request_load(void *ctx, size_t i, unsigned thread)
{
    (void)thread;
    const answer_task *t = ctx;
    size_t bytes = sotto_bfv_seeded_bytes(t->p);
    sotto_reader r;
    sotto_reader_init(&r, t->request + i * bytes, bytes);
    int rc = sotto_bfv_seeded_read(&t->ct[i], t->p, &r);
    return rc ? rc : sotto_reader_finish(&r, "request of a linear layer");
}

/* Coefficients of an answer's outputs, and where these stand in the layer's output, in the same order. */
static void answer_places(const sotto_linear_plan *p, answer_box b, uint32_t *index, size_t *place)
{
    size_t k = 0;
    for (uint32_t m = 0; m < b.filters; m++)
        for (uint32_t y = 0; y < b.rows; y++)
            for (uint32_t x = 0; x < b.cols; x++, k++) {
                index[k] = coefficient(p, m, y, x);
                place[k] = ((size_t)(b.m0 + m) * p->out_h + b.y0 + y) * p->out_w + b.x0 + x;
            }
}

/* One answer, on either side: the server's (t->out) or the client's (t->answer). */
static int answer_one(void *ctx, size_t i, unsigned thread)
{
    (void)thread;
    const answer_task *t = ctx;
    const sotto_linear_plan *p = t->plan;
    answer_box b = box_of(p, i);
    size_t count = box_words(b), offset = t->offset[i], bytes = sotto_bfv_answer_bytes(t->p, count);
    sotto_bfv_ct acc = {0};
    uint32_t *index = sotto_calloc(count, sizeof *index);
    size_t *place = sotto_calloc(count, sizeof *place);
    uint64_t *value = sotto_calloc(count, sizeof *value);
    const sotto_bfv_ct **x = sotto_calloc(p->in_blocks, sizeof *x);
    const sotto_bfv_plain **weight = sotto_calloc(p->in_blocks, sizeof *weight);
    int rc = SOTTO_OK;
    if (!index || !place || !value || !x || !weight) {
        rc = sotto_fail(SOTTO_ERR_MEMORY, "out of memory for an answer");
        goto done;
    }
    answer_places(p, b, index, place);
    if (t->answer) {
        sotto_reader r;
        sotto_reader_init(&r, t->answer + offset, bytes);
        if ((rc = sotto_bfv_answer_read(value, t->p, t->sk, &r, index, count)))
            goto done;
        for (size_t k = 0; k < count; k++)
            t->c[place[k]] = value[k];
        goto done;
    }
    if ((rc = sotto_bfv_ct_new(&acc, t->p)))
        goto done;
    size_t first = ((size_t)b.ty * p->tiles_x + b.tx) * p->in_blocks, terms = 0;
    for (uint32_t c = 0; c < p->in_blocks; c++) {
        if (!blocks_meet(p, b.block, c))
            continue;
        x[terms] = &t->ct[first + c];
        weight[terms++] = &t->weights->tile[(size_t)b.block * p->in_blocks + c];
    }
    if ((rc = sotto_bfv_dot_plain(&acc, t->p, x, weight, terms)))
        goto done;
    for (size_t k = 0; k < count; k++)
        value[k] = t->s[place[k]];
    sotto_writer w;
    sotto_writer_init(&w, t->out + offset, bytes);
    rc = sotto_bfv_answer_write(&w, t->p, t->pk, &p->answer, &acc, index, value, count, t->rng);
done:
    /* What is left in it is the result before it was flooded and cut, which tells the weights. */
    if (acc.c0)
        sotto_wipe(acc.c0, sotto_poly_words(sotto_bfv_rns(t->p)) * sizeof *acc.c0);
    if (acc.c1)
        sotto_wipe(acc.c1, sotto_poly_words(sotto_bfv_rns(t->p)) * sizeof *acc.c1);
    sotto_bfv_ct_free(&acc);
    sotto_free_secret(value, count, sizeof *value);
    sotto_free(weight);
    sotto_free(x);
    sotto_free(place);
    sotto_free(index);
    return rc;
}

int sotto_linear_answer(uint8_t *out, const sotto_linear_plan *plan, const sotto_bfv_params *p,
                        const sotto_bfv_public_key *pk, const sotto_linear_weights *weights, const uint8_t *request,
                        const uint64_t *s, const sotto_rng *rng, sotto_pool *pool)
{
    answer_task task = {.plan = plan, .p = p, .pk = pk, .weights = weights, .request = request, .s = s, .rng = rng, .out = out};
    task.ct = sotto_calloc(plan->requests, sizeof *task.ct);
    task.offset = sotto_calloc(plan->answers, sizeof *task.offset);
    if (!task.ct || !task.offset) {
        sotto_free(task.ct);
        sotto_free(task.offset);
        return sotto_fail(SOTTO_ERR_MEMORY, "out of memory for a request");
    }
    answer_offsets(plan, p, task.offset);
    int rc = sotto_pool_run(pool, plan->requests, request_load, &task);
    if (!rc)
        rc = sotto_pool_run(pool, plan->answers, answer_one, &task);
    if (rc)
        memset(out, 0, plan->answer_bytes);
    for (size_t i = 0; i < plan->requests; i++)
        sotto_bfv_ct_free(&task.ct[i]);
    sotto_free(task.ct);
    sotto_free(task.offset);
    return rc;
}

int sotto_linear_open(uint64_t *c, const sotto_linear_plan *plan, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk,
                      const uint8_t *answer, sotto_pool *pool)
{
    answer_task task = {.plan = plan, .p = p, .sk = sk, .answer = answer, .c = c};
    task.offset = sotto_calloc(plan->answers, sizeof *task.offset);
    if (!task.offset)
        return sotto_fail(SOTTO_ERR_MEMORY, "out of memory for an answer");
    answer_offsets(plan, p, task.offset);
    int rc = sotto_pool_run(pool, plan->answers, answer_one, &task);
    if (rc)
        sotto_wipe(c, plan->out_words * sizeof *c);
    sotto_free(task.offset);
    return rc;
}

/* ---- in the clear ------------------------------------------------------------------------------------------------ */

void sotto_linear_apply(uint64_t *out, const sotto_linear_shape *s, const int32_t *weights, const uint64_t *x)
{
    uint32_t out_h, out_w;
    if (sotto_linear_out_size(s, &out_h, &out_w))
        return;
    uint32_t in_per = s->in_c / s->groups, out_per = s->out_c / s->groups;
    for (uint32_t m = 0; m < s->out_c; m++)
        for (uint32_t c = 0; c < in_per; c++) {
            const uint64_t *plane = x + (size_t)(m / out_per * in_per + c) * s->in_h * s->in_w;
            const int32_t *kernel = weights + ((size_t)m * in_per + c) * s->kernel_h * s->kernel_w;
            for (uint32_t i = 0; i < out_h; i++)
                for (uint32_t u = 0; u < s->kernel_h; u++) {
                    size_t row = (size_t)i * s->stride_h + u;
                    if (row < s->pad_top || row - s->pad_top >= s->in_h)
                        continue;
                    const uint64_t *line = plane + (row - s->pad_top) * s->in_w;
                    for (uint32_t j = 0; j < out_w; j++)
                        for (uint32_t v = 0; v < s->kernel_w; v++) {
                            size_t col = (size_t)j * s->stride_w + v;
                            if (col < s->pad_left || col - s->pad_left >= s->in_w)
                                continue;
                            out[((size_t)m * out_h + i) * out_w + j] +=
                                (uint64_t)(int64_t)kernel[u * s->kernel_w + v] * line[col - s->pad_left];
                        }
                }
        }
}
