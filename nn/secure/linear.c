#include "nn/secure/linear_internal.h"

#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"
#include "ring/poly.h"

#define KEPT_MAX ((size_t)384 << 20) /* bytes of transformed weights that a layer keeps */
#define MADE 8u                      /* polynomials that are transformed at a time where none are kept */

/* Polynomials of weights are in NTT form, those of one output block in groups (ring/ntt.h), one limb after the other. */
struct sotto_linear_weights {
    int32_t *raw;    /* where they are not kept: as they came */
    size_t raw_count;
    struct kept_block {
        uint64_t *poly; /* k * n words for each input block that it needs */
        size_t words;
    } *kept;            /* per output block */
    uint32_t blocks;
};

static size_t poly_words(const sotto_bfv_params *p)
{
    return sotto_poly_words(sotto_bfv_rns(p));
}

/* Words of each limb that are kept of a polynomial of weights. One that has its only coefficient at 0 is the same word in all slots: of these one group serves for all. */
static int is_constant(const sotto_linear_plan *p)
{
    return p->tile.channels * p->tile.filters * p->taps_h * p->taps_w == 1;
}

static size_t kept_n(const sotto_linear_plan *plan, const sotto_bfv_params *p)
{
    return is_constant(plan) ? SOTTO_NTT_GROUP : sotto_bfv_n(p);
}

/* Puts the first `words` words of each limb of src among `terms` polynomials that lie side by side, as number k. */
static void to_groups(uint64_t *dst, const sotto_bfv_params *p, const uint64_t *src, size_t words, size_t k, size_t terms)
{
    const size_t n = sotto_bfv_n(p), limbs = sotto_rns_count(sotto_bfv_rns(p));
    dst += k * SOTTO_NTT_GROUP;
    for (size_t limb = 0; limb < limbs; limb++, src += n)
        for (size_t i = 0; i < words; i += SOTTO_NTT_GROUP, dst += terms * SOTTO_NTT_GROUP)
            memcpy(dst, src + i, SOTTO_NTT_GROUP * sizeof *dst);
}

/* ---- weights ----------------------------------------------------------------------------------------------------- */

/* The weights that meet in a pair of blocks, transformed. */
static void weights_poly(uint64_t *poly, const sotto_linear_plan *p, const sotto_bfv_params *bfv, const int32_t *weights, uint32_t out_block, uint32_t in_block)
{
    const sotto_linear_shape *s = &p->shape;
    const sotto_rns *rns = sotto_bfv_rns(bfv);
    const size_t n = sotto_bfv_n(bfv), limbs = sotto_rns_count(rns);
    const uint32_t in_per = s->in_c / s->groups, out_per = s->out_c / s->groups, area = p->patch_h * p->patch_w;
    const uint32_t m0 = out_block * p->tile.filters, p0 = in_block * p->tile.channels;
    memset(poly, 0, limbs * n * sizeof *poly);
    for (uint32_t m = 0; m < p->tile.filters && m0 + m < s->out_c; m++) {
        const uint32_t origin = sotto_linear_coefficient(p, m, 0, 0) + p->skipped;
        for (uint32_t c = 0; c < p->tile.channels && p0 + c < p->planes; c++) {
            const sotto_linear_plane plane = sotto_linear_plane_of(p, p0 + c);
            if (plane.channel / in_per != (m0 + m) / out_per)
                continue;
            const int32_t *kernel = weights + ((size_t)(m0 + m) * in_per + plane.channel % in_per) * s->kernel_h * s->kernel_w;
            for (uint32_t u = plane.a, y = 0; u < s->kernel_h; u += s->stride_h, y++)
                for (uint32_t v = plane.b, x = 0; v < s->kernel_w; v += s->stride_w, x++)
                    for (size_t i = 0; i < limbs; i++)
                        poly[i * n + origin - c * area - y * p->patch_w - x] =
                            sotto_mod_from_signed(kernel[u * s->kernel_w + v], sotto_rns_modulus(rns, i));
        }
    }
    sotto_poly_forward(rns, poly);
}

typedef struct weights_task {
    const sotto_linear_plan *plan;
    const sotto_bfv_params *p;
    const int32_t *weights;
    sotto_linear_weights *out;
} weights_task;

static int weights_block(void *ctx, size_t out_block, unsigned thread)
{
    (void)thread;
    const weights_task *t = ctx;
    uint32_t count, first = sotto_linear_first_block(t->plan, (uint32_t)out_block, &count);
    const size_t words = kept_n(t->plan, t->p), all = count * words * sotto_rns_count(sotto_bfv_rns(t->p));
    uint64_t *kept = sotto_calloc(all, sizeof *kept), *poly = sotto_poly_new(sotto_bfv_rns(t->p));
    const int rc = kept && poly ? SOTTO_OK : sotto_fail(SOTTO_ERR_MEMORY, "out of memory for the weights of a linear layer");
    for (uint32_t k = 0; k < count && !rc; k++) {
        weights_poly(poly, t->plan, t->p, t->weights, (uint32_t)out_block, first + k);
        to_groups(kept, t->p, poly, words, k, count);
    }
    sotto_free_secret(poly, poly_words(t->p), sizeof *poly);
    t->out->kept[out_block] = (struct kept_block){kept, all}; /* on failure, too: freed with the rest */
    return rc;
}

size_t sotto_linear_kept_bytes(const sotto_linear_plan *plan, const sotto_bfv_params *p)
{
    size_t polys = 0;
    for (uint32_t i = 0; i < plan->out_blocks; i++) {
        uint32_t count;
        (void)sotto_linear_first_block(plan, i, &count);
        polys += count;
    }
    const size_t each = kept_n(plan, p) * sotto_rns_count(sotto_bfv_rns(p)) * sizeof(uint64_t);
    return polys <= KEPT_MAX / each ? polys * each : 0;
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
    int rc = SOTTO_OK;
    if (sotto_linear_kept_bytes(plan, p) > 0) {
        w->blocks = plan->out_blocks;
        w->kept = sotto_calloc(w->blocks, sizeof *w->kept);
        weights_task task = {plan, p, weights, w};
        rc = w->kept ? sotto_pool_run(pool, w->blocks, weights_block, &task)
                     : sotto_fail(SOTTO_ERR_MEMORY, "out of memory for the weights of a linear layer");
    } else {
        w->raw = sotto_calloc(count, sizeof *w->raw);
        w->raw_count = count;
        if (w->raw)
            memcpy(w->raw, weights, count * sizeof *w->raw);
        else
            rc = sotto_fail(SOTTO_ERR_MEMORY, "out of memory for the weights of a linear layer");
    }
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
    for (uint32_t i = 0; w->kept && i < w->blocks; i++)
        sotto_free_secret(w->kept[i].poly, w->kept[i].words, sizeof *w->kept[i].poly);
    sotto_free(w->kept);
    (void)p;
    sotto_free_secret(w->raw, w->raw_count, sizeof *w->raw);
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

/* A block of planes of a tile as a polynomial. Padding stays zero: it is public. */
static void request_pixels(uint64_t *m, const sotto_linear_plan *p, const uint64_t *r, uint32_t p0, size_t tile)
{
    const sotto_linear_shape *s = &p->shape;
    const size_t top = tile / p->tiles_x * p->tile.rows, left = tile % p->tiles_x * p->tile.cols;
    for (uint32_t c = 0; c < p->tile.channels && p0 + c < p->planes; c++) {
        const sotto_linear_plane plane = sotto_linear_plane_of(p, p0 + c);
        for (uint32_t y = 0; y < p->patch_h; y++) {
            const size_t row = (top + y) * s->stride_h + plane.a; /* in the padded image */
            if (row < s->pad_top || row - s->pad_top >= s->in_h)
                continue;
            const uint64_t *line = r + ((size_t)plane.channel * s->in_h + row - s->pad_top) * s->in_w;
            uint64_t *to = m + ((size_t)c * p->patch_h + y) * p->patch_w; /* less those that are skipped, all of which are padding */
            for (uint32_t x = 0; x < p->patch_w; x++) {
                const size_t col = (left + x) * s->stride_w + plane.b;
                if (col >= s->pad_left && col - s->pad_left < s->in_w)
                    to[(ptrdiff_t)x - (ptrdiff_t)p->skipped] = line[col - s->pad_left];
            }
        }
    }
}

/* Request i is plane block i % in_blocks of spatial tile i / in_blocks. */
static int request_one(void *ctx, size_t i, unsigned thread)
{
    (void)thread;
    const request_task *t = ctx;
    const sotto_linear_plan *p = t->plan;
    const uint32_t n = sotto_bfv_n(t->p);
    sotto_bfv_ct ct = {0};
    sotto_block seed;
    uint64_t *m = sotto_calloc(n, sizeof *m);
    int rc = m ? SOTTO_OK : sotto_fail(SOTTO_ERR_MEMORY, "out of memory for a request");
    if (rc)
        goto done;
    request_pixels(m, p, t->r, (uint32_t)(i % p->in_blocks) * p->tile.channels, i / p->in_blocks);
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
    uint64_t *x0, *x1; /* the request's ciphertexts, those of one spatial tile in groups */
    const uint64_t *s;
    const sotto_rng *rng;
    uint8_t *out;
    const sotto_bfv_secret_key *sk; /* the client's side */
    const uint8_t *answer;
    uint64_t *c;
    size_t *offset; /* of each answer in out or answer */
    uint64_t *room; /* for every thread, room_words */
    size_t room_words;
} answer_task;

/* What a thread works in, one part after the other; memory for each answer anew would cost as much as its transforms. */
typedef struct answer_room {
    uint64_t *inside;     /* of bfv/answer.h */
    uint64_t *c0, *c1;    /* sums; server only, as made */
    uint64_t *value;      /* one word for each output of an answer, as index and place */
    uint64_t *made;       /* MADE polynomials of weights and a part of a sum, where none are kept */
    size_t *place;
    uint32_t *index;
} answer_room;

/* Its parts within `at`, which may be NULL; returns words in all. */
static size_t answer_room_lay(answer_room *r, const answer_task *t, uint64_t *at)
{
    const size_t n = sotto_bfv_n(t->p), poly = t->answer ? 0 : poly_words(t->p);
    const size_t made = t->answer || t->weights->kept ? 0 : MADE * poly + 2 * n;
    const size_t words[] = {sotto_bfv_answer_room(t->p, n), poly, poly, n, made, n, n / 2};
    size_t start[7], sum = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; sum += words[i++])
        start[i] = sum;
    if (at)
        *r = (answer_room){at, at + start[1], at + start[2], at + start[3], at + start[4], (size_t *)(at + start[5]), (uint32_t *)(at + start[6])};
    return sum;
}

/* Rooms and offsets. SOTTO_ERR_MEMORY; answer_task_free in any case. */
static int answer_task_new(answer_task *t, sotto_pool *pool)
{
    const unsigned threads = sotto_pool_threads(pool);
    t->room_words = answer_room_lay(NULL, t, NULL);
    t->room = sotto_calloc(threads, t->room_words * sizeof *t->room);
    t->offset = sotto_calloc(t->plan->answers, sizeof *t->offset);
    if (!t->room || !t->offset)
        return sotto_fail(SOTTO_ERR_MEMORY, "out of memory for an answer");
    sotto_linear_answer_offsets(t->plan, t->p, t->offset);
    return SOTTO_OK;
}

/* What is left in a room are results before they were flooded and cut, which tell the weights, and the client's plaintexts. */
static void answer_task_free(answer_task *t, sotto_pool *pool)
{
    sotto_free_secret(t->room, sotto_pool_threads(pool) * t->room_words, sizeof *t->room);
    sotto_free(t->offset);
}

static int request_load(void *ctx, size_t i, unsigned thread)
{
    (void)thread;
    const answer_task *t = ctx;
    const size_t bytes = sotto_bfv_seeded_bytes(t->p), blocks = t->plan->in_blocks, at = i / blocks * blocks * poly_words(t->p);
    sotto_bfv_ct ct = {0};
    sotto_reader r;
    sotto_reader_init(&r, t->request + i * bytes, bytes);
    int rc = sotto_bfv_seeded_read(&ct, t->p, &r);
    if (!rc)
        rc = sotto_reader_finish(&r, "request of a linear layer");
    if (!rc) {
        to_groups(t->x0 + at, t->p, ct.c0, sotto_bfv_n(t->p), i % blocks, blocks);
        to_groups(t->x1 + at, t->p, ct.c1, sotto_bfv_n(t->p), i % blocks, blocks);
    }
    sotto_bfv_ct_free(&ct);
    return rc;
}

/* Polynomials of one limb side by side, `count` of them; limb i is at + i n count. */
static sotto_ntt_terms side_by_side(const uint64_t *at, size_t limb, size_t n, size_t count)
{
    return (sotto_ntt_terms){at + limb * n * count, SOTTO_NTT_GROUP, count * SOTTO_NTT_GROUP};
}

/* W r of an answer to r->c0 and c1, in NTT form. */
static void accumulate(const answer_room *r, const answer_task *t, sotto_linear_box b)
{
    const sotto_linear_plan *p = t->plan;
    const sotto_rns *rns = sotto_bfv_rns(t->p);
    const size_t n = sotto_bfv_n(t->p), limbs = sotto_rns_count(rns), words = n * limbs, blocks = p->in_blocks;
    uint32_t count, first = sotto_linear_first_block(p, b.block, &count);
    const size_t at = ((size_t)b.ty * p->tiles_x + b.tx) * blocks * words + first * SOTTO_NTT_GROUP;
    for (size_t i = 0; t->weights->kept && i < limbs; i++) {
        sotto_ntt_terms w = side_by_side(t->weights->kept[b.block].poly, i, kept_n(p, t->p), count);
        w.group = is_constant(p) ? 0 : w.group;
        sotto_ntt_dot_pair_grouped(sotto_rns_ntt(rns, i), r->c0 + i * n, r->c1 + i * n, side_by_side(t->x0 + at, i, n, blocks),
                                   side_by_side(t->x1 + at, i, n, blocks), w, count);
    }
    if (t->weights->kept)
        return;
    uint64_t *part = r->made + MADE * words;
    for (uint32_t k = 0; k < count; k += MADE) {
        const uint32_t some = sotto_linear_min(MADE, count - k);
        const size_t from = at + k * SOTTO_NTT_GROUP;
        for (uint32_t j = 0; j < some; j++)
            weights_poly(r->made + j * words, p, t->p, t->weights->raw, b.block, first + k + j);
        for (size_t i = 0; i < limbs; i++) {
            const sotto_ntt *ntt = sotto_rns_ntt(rns, i);
            const uint64_t q = sotto_ntt_modulus(ntt)->q;
            const sotto_ntt_terms w = {r->made + i * n, words, SOTTO_NTT_GROUP};
            uint64_t *c0 = r->c0 + i * n, *c1 = r->c1 + i * n;
            sotto_ntt_dot_pair_grouped(ntt, k > 0 ? part : c0, k > 0 ? part + n : c1, side_by_side(t->x0 + from, i, n, blocks),
                                       side_by_side(t->x1 + from, i, n, blocks), w, some);
            for (size_t j = 0; k > 0 && j < n; j++) {
                c0[j] = sotto_mod_add(c0[j], part[j], q);
                c1[j] = sotto_mod_add(c1[j], part[n + j], q);
            }
        }
    }
}

/* Coefficients of an answer's outputs, and where these stand in the layer's output, in the same order. */
static void answer_places(const sotto_linear_plan *p, sotto_linear_box b, uint32_t *index, size_t *place)
{
    size_t k = 0;
    for (uint32_t m = 0; m < b.filters; m++)
        for (uint32_t y = 0; y < b.rows; y++) {
            const uint32_t at = sotto_linear_coefficient(p, m, y, 0);
            const size_t to = ((size_t)(b.m0 + m) * p->out_h + b.y0 + y) * p->out_w + b.x0;
            for (uint32_t x = 0; x < b.cols; x++, k++) {
                index[k] = at + x;
                place[k] = to + x;
            }
        }
}

/* One answer, on either side: the server's (t->out) or the client's (t->answer). */
static int answer_one(void *ctx, size_t i, unsigned thread)
{
    const answer_task *t = ctx;
    const sotto_linear_plan *p = t->plan;
    const sotto_linear_box b = sotto_linear_box_of(p, i);
    const size_t count = sotto_linear_box_words(b), bytes = sotto_bfv_answer_bytes(t->p, count);
    answer_room room;
    (void)answer_room_lay(&room, t, t->room + thread * t->room_words);
    answer_places(p, b, room.index, room.place);
    if (t->answer) {
        sotto_reader r;
        sotto_reader_init(&r, t->answer + t->offset[i], bytes);
        const int rc = sotto_bfv_answer_read_in(room.value, t->p, t->sk, &r, room.index, count, room.inside);
        for (size_t k = 0; k < count && !rc; k++)
            t->c[room.place[k]] = room.value[k];
        return rc;
    }
    accumulate(&room, t, b);
    for (size_t k = 0; k < count; k++)
        room.value[k] = t->s[room.place[k]];
    sotto_bfv_ct acc = {room.c0, room.c1, 1};
    sotto_writer w;
    sotto_writer_init(&w, t->out + t->offset[i], bytes);
    return sotto_bfv_answer_write_in(&w, t->p, t->pk, &p->answer, &acc, room.index, room.value, count, t->rng, room.inside);
}

int sotto_linear_answer(uint8_t *out, const sotto_linear_plan *plan, const sotto_bfv_params *p,
                        const sotto_bfv_public_key *pk, const sotto_linear_weights *weights, const uint8_t *request,
                        const uint64_t *s, const sotto_rng *rng, sotto_pool *pool)
{
    answer_task task = {.plan = plan, .p = p, .pk = pk, .weights = weights, .request = request, .s = s, .rng = rng, .out = out};
    int rc = answer_task_new(&task, pool);
    task.x0 = sotto_calloc(plan->requests, poly_words(p) * sizeof *task.x0);
    task.x1 = sotto_calloc(plan->requests, poly_words(p) * sizeof *task.x1);
    if (!rc && (!task.x0 || !task.x1))
        rc = sotto_fail(SOTTO_ERR_MEMORY, "out of memory for a request");
    if (!rc)
        rc = sotto_pool_run(pool, plan->requests, request_load, &task);
    if (!rc)
        rc = sotto_pool_run(pool, plan->answers, answer_one, &task);
    if (rc)
        memset(out, 0, plan->answer_bytes);
    sotto_free(task.x0);
    sotto_free(task.x1);
    answer_task_free(&task, pool);
    return rc;
}

int sotto_linear_open(uint64_t *c, const sotto_linear_plan *plan, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk,
                      const uint8_t *answer, sotto_pool *pool)
{
    answer_task task = {.plan = plan, .p = p, .sk = sk, .answer = answer, .c = c};
    int rc = answer_task_new(&task, pool);
    if (!rc)
        rc = sotto_pool_run(pool, plan->answers, answer_one, &task);
    if (rc)
        sotto_wipe(c, plan->out_words * sizeof *c);
    answer_task_free(&task, pool);
    return rc;
}
