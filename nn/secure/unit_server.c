/* The server's half of unit.h. */
#include "nn/secure/unit_internal.h"

enum server_shelf {
    S_P,         /* truncation: shares of rho cbar, of rho sigma until the flips are there */
    S_RHO,
    S_PAYLOAD,   /* corrections, until they are sent */
    S_ZETA,      /* after the offer the truncated share in its place */
    S_PRODUCT_0, /* t + q_0; t alone until the client's numbers are there */
    S_PRODUCT_1, /* 2^(l-f) times this is q_1 - q_0 */
    S_Q_0,       /* keys for q_0, until then */
    S_D,         /* made by the offer */
    S_BY_PIXEL,
    S_PI = S_BY_PIXEL,
    S_PI2,       /* clip, like what follows */
    S_BOUND,     /* of tau2 D */
    S_BOUND_PAYLOAD,
    S_SHELVES
};

typedef struct server_section {
    const sotto_unit_section *plan;
    const int64_t *bound;
    shelf shelf[S_SHELVES];
    uint8_t *sums; /* silent OT: for the client, until they are sent */
    sotto_sign_server *signs;
} server_section;

struct sotto_unit_server {
    const sotto_unit_plan *plan;
    int offered; /* pads, masks and labels serve one message */
    server_section section[]; /* plan->section_count */
};

/* T of a tile's units, shifted down by f bits of it. */
static void bounds(const server_section *u, const tile *t, unsigned f, uint64_t *out)
{
    size_t channel = t->at / u->plan->area, left = (channel + 1) * u->plan->area - t->at;
    for (size_t i = 0; i < t->n; i++, left--) {
        if (left == 0) {
            channel++;
            left = u->plan->area;
        }
        out[i] = (uint64_t)u->bound[channel] >> f;
    }
}

/* ---- MATRIX ------------------------------------------------------------------------------------------------------- */

static int server_keys(server_section *u, const tile *t, const sotto_ot *ot, const sotto_block *key, workbench *b)
{
    const sotto_unit_section *p = u->plan;
    const size_t n = t->n;
    const unsigned l = p->truncation.l_next;
    uint64_t *const share = b->w[0], *const delta = b->w[1], *const rho = b->w[2];
    for (size_t pixel = 0; p->widen > 0 && pixel < p->pixels; pixel++) {
        sotto_ot_keys_send(ot, t->first + pixel * n, n, 0, key + pixel * n, b->k0, b->k1);
        sotto_product_send_random(p->widen, 0, share, delta, b->k0, b->k1, n);
        for (size_t i = 0; i < n; i++) {
            rho[i] = delta[i] & 1;
            delta[i] >>= 1; /* delta - rho without its low bit, which is zero */
        }
        put(&u->shelf[S_P], t, pixel, share);
        put(&u->shelf[S_RHO], t, pixel, rho);
        put(&u->shelf[S_PAYLOAD], t, pixel, delta);
    }
    if (p->decisions == 0) {
        return SOTTO_OK;
    }
    for (size_t pixel = 0; pixel < p->pixels; pixel++) {
        sotto_ot_keys_send(ot, t->first + t->tau, n, (uint16_t)pixel, key + t->tau, b->k0, b->k1);
        sotto_product_send_random(l, 0, share, delta, b->k0, b->k1, n);
        put(&u->shelf[S_PRODUCT_0], t, pixel, share);
        put(&u->shelf[S_ZETA], t, pixel, delta);
    }
    if (p->decisions == 2) {
        uint64_t *const pi2 = b->w[2], *const bound = b->w[3], *const turned = b->w[4], *const correction = b->w[5];
        sotto_ot_keys_send(ot, t->first + t->tau2, n, 0, key + t->tau2, b->k0, b->k1);
        sotto_product_send_random(1, 1, share, pi2, b->k0, b->k1, n);
        bounds(u, t, p->truncation.f, bound);
        sotto_select_turn(turned, pi2, bound, n);
        sotto_product_send(l, 0, share, correction, turned, b->k0, b->k1, n);
        put(&u->shelf[S_PI2], t, 0, pi2);
        put(&u->shelf[S_BOUND], t, 0, share);
        put(&u->shelf[S_BOUND_PAYLOAD], t, 0, correction);
    }
    return sotto_sign_server_keys(u->signs, t->at, n, ot, t->first + t->sign, key + t->sign);
}

static int server_section_new(server_section *u, const sotto_unit_section *p, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng, const int64_t *bound,
                              workbench *b)
{
    const size_t keys = least(TILE, p->count) * unit_ots(p);
    const unsigned l = p->truncation.l_next, m = p->widen, decides = p->decisions > 0, clips = p->decisions == 2;
    const unsigned select = decides ? l : 0, clip = clips ? l : 0;
    const unsigned width[S_SHELVES] = {[S_P] = m, [S_RHO] = m > 0, [S_PAYLOAD] = m > 1 ? m - 1 : 0, [S_ZETA] = l, [S_PRODUCT_0] = select,
                                       [S_PRODUCT_1] = decides ? m : 0, [S_Q_0] = select, [S_D] = m > 0, [S_PI] = decides, [S_PI2] = clips,
                                       [S_BOUND] = clip, [S_BOUND_PAYLOAD] = clip};
    u->plan = p;
    u->bound = bound;
    u->sums = sotto_calloc(p->client_sums, 1);
    sotto_block *key = sotto_calloc(keys, sizeof *key);
    int status = shelves_new(u->shelf, width, S_SHELVES, S_BY_PIXEL, p);
    if (status == SOTTO_OK && (key == NULL || u->sums == NULL)) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", p->count);
    }
    if (status == SOTTO_OK && decides) {
        status = sotto_sign_server_new(&u->signs, &p->signs, rng);
    }
    for (size_t at = 0; at < p->count && p->client_ots > 0 && status == SOTTO_OK; at += TILE) {
        tile t = tile_of(p, at, 0);
        status = sotto_ot_give(ot, chan, 1, t.n * unit_ots(p), key, &t.first, u->sums + sotto_ot_answer_bytes(p->ot, at * unit_ots(p)));
        if (status == SOTTO_OK) {
            status = server_keys(u, &t, ot, key, b);
        }
    }
    sotto_free_secret(key, keys, sizeof *key);
    return status;
}

int sotto_unit_server_new(sotto_unit_server **out, const sotto_unit_plan *p, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng, const int64_t *bound)
{
    sotto_unit_server *u = sotto_calloc(1, sizeof *u + p->section_count * sizeof *u->section);
    workbench *b = NULL;
    int status = bench_new(&b);
    if (u == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", p->words);
    } else {
        u->plan = p;
    }
    for (size_t i = 0; i < p->section_count && status == SOTTO_OK; i++) {
        status = server_section_new(&u->section[i], &p->sections[i], ot, chan, rng, bound, b);
    }
    bench_free(b);
    if (status != SOTTO_OK) {
        sotto_unit_server_free(u);
        u = NULL;
    }
    *out = u;
    return status;
}

/* ---- CORRECTION --------------------------------------------------------------------------------------------------- */

/* The OTs of the tile at `at`, whose choices are pi, from their matrix or the client's sums, and their keys. */
static int server_ots(server_section *u, size_t at, sotto_ot *ot, sotto_chan *chan, const uint8_t *sums, sotto_block *key, workbench *b)
{
    const sotto_unit_section *p = u->plan;
    const tile t = {.at = at, .n = least(p->count - at, TILE)};
    uint8_t *pi = u->shelf[S_PI].bytes + at / 8;
    uint64_t first;
    const int status = silent(p) ? sotto_ot_take(ot, sums, pi, t.n, key, &first) : sotto_ot_recv_random(ot, chan, pi, t.n, key, &first);
    for (size_t pixel = 0; pixel < p->pixels && status == SOTTO_OK; pixel++) {
        sotto_ot_keys_recv(ot, first, t.n, (uint16_t)pixel, key, b->k0);
        sotto_product_recv(p->truncation.l_next, 0, b->w[0], NULL, NULL, b->k0, t.n);
        put(&u->shelf[S_Q_0], &t, pixel, b->w[0]);
        if (p->widen > 0) {
            sotto_product_recv(p->widen, 1, b->w[1], NULL, NULL, b->k0, t.n);
            put(&u->shelf[S_PRODUCT_1], &t, pixel, b->w[1]);
        }
    }
    return status;
}

static int section_correct(server_section *u, sotto_ot *ot, sotto_chan *chan, workbench *b)
{
    const sotto_unit_section *p = u->plan;
    const size_t n = p->count, keys = least(TILE, p->server_ots);
    sotto_block *key = sotto_calloc(keys, sizeof *key);
    int status = key == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", n) : SOTTO_OK;
    for (size_t k = S_PAYLOAD; k <= S_BOUND_PAYLOAD; k += S_BOUND_PAYLOAD - S_PAYLOAD) {
        if (status == SOTTO_OK && shelf_bytes(&u->shelf[k]) > 0) {
            status = sotto_chan_send(chan, u->shelf[k].bytes, shelf_bytes(&u->shelf[k]));
        }
        shelf_drop(&u->shelf[k]);
    }
    if (status == SOTTO_OK && p->client_sums > 0) {
        status = sotto_chan_send(chan, u->sums, p->client_sums);
    }
    sotto_free(u->sums);
    u->sums = NULL;
    for (size_t at = 0; at < p->server_ots && status == SOTTO_OK; at += TILE) {
        status = silent(p) ? sotto_ot_ask(ot, chan, NULL, least(n - at, TILE)) : server_ots(u, at, ot, chan, NULL, key, b);
    }
    sotto_free_secret(key, keys, sizeof *key);
    return status;
}

int sotto_unit_server_correct(sotto_unit_server *u, sotto_ot *ot, sotto_chan *chan)
{
    workbench *b = NULL;
    int status = bench_new(&b);
    for (size_t i = 0; i < u->plan->section_count && status == SOTTO_OK; i++) {
        status = section_correct(&u->section[i], ot, chan, b);
    }
    bench_free(b);
    return status;
}

/* ---- CHOICE, TABLES ----------------------------------------------------------------------------------------------- */

/* The body of CHOICE while it is read. */
typedef struct choice_readers {
    sotto_reader truncation_flips, sign_flips, low, high;
} choice_readers;

static int ready_tile(server_section *u, const tile *t, const sotto_ot *ot, choice_readers *in, uint8_t *tables, workbench *b, sotto_block *scratch)
{
    const sotto_unit_section *p = u->plan;
    const size_t n = t->n;
    uint64_t *const flips = b->w[0], *const share = b->w[1], *const rho = b->w[2], *const pi = b->w[3], *const correction = b->w[4];
    uint64_t *const product = b->w[5];
    get(&u->shelf[S_PI], t, 0, pi);
    for (size_t pixel = 0; pixel < p->pixels; pixel++) {
        if (p->widen > 0) {
            sotto_read_packed(&in->truncation_flips, flips, n, 1);
            get(&u->shelf[S_P], t, pixel, share);
            get(&u->shelf[S_RHO], t, pixel, rho);
            sotto_product_flip(p->widen, share, flips, rho, n);
            put(&u->shelf[S_P], t, pixel, share);
        }
        if (p->decisions == 0) {
            continue;
        }
        get(&u->shelf[S_Q_0], t, pixel, share);
        get(&u->shelf[S_PRODUCT_0], t, pixel, product);
        sotto_read_packed(&in->low, correction, n, p->truncation.l_next);
        sotto_product_correct(p->truncation.l_next, share, correction, pi, n);
        for (size_t i = 0; i < n; i++) {
            product[i] += share[i];
        }
        put(&u->shelf[S_PRODUCT_0], t, pixel, product);
        if (p->widen > 0) {
            get(&u->shelf[S_PRODUCT_1], t, pixel, share);
            sotto_read_packed(&in->high, correction, n, p->widen);
            sotto_product_correct(p->widen, share, correction, pi, n);
            put(&u->shelf[S_PRODUCT_1], t, pixel, share);
        }
    }
    if (p->decisions == 0) {
        return SOTTO_OK;
    }
    sotto_read_packed(&in->sign_flips, flips, n, p->signs.u - 1);
    return sotto_sign_server_ready(u->signs, t->at, n, ot, flips, tables, scratch);
}

static int section_ready(server_section *u, sotto_ot *ot, sotto_chan *chan, const uint8_t *choice, workbench *b)
{
    const sotto_unit_section *p = u->plan;
    const size_t n = p->count;
    const int decides = p->decisions > 0;
    const size_t keys = p->server_sums > 0 ? least(n, TILE) : 0;
    sotto_block *scratch = sotto_calloc(p->signs.scratch, sizeof *scratch), *key = sotto_calloc(keys, sizeof *key);
    uint8_t *tables = sotto_calloc(decides ? sotto_sign_table_bytes(&p->signs, least(n, TILE)) : 0, 1);
    int status = scratch == NULL || key == NULL || tables == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", n) : SOTTO_OK;
    if (status != SOTTO_OK) {
        goto done;
    }
    sotto_reader r;
    sotto_reader_init(&r, choice, p->bytes.choice);
    choice_readers in = {.truncation_flips = part(&r, p->pixels, n, p->widen > 0)};
    if (decides) {
        in.sign_flips = part(&r, 1, p->signs.ots, 1);
        in.low = part(&r, p->pixels, n, p->truncation.l_next);
        in.high = part(&r, p->pixels, n, p->widen);
    }
    const uint8_t *sums = sotto_read_span(&r, p->server_sums);
    status = sotto_reader_finish(&r, "choices of a unit layer");
    for (size_t at = 0; at < n && status == SOTTO_OK; at += TILE) {
        const tile t = {.at = at, .n = least(n - at, TILE)};
        if (keys > 0) {
            status = server_ots(u, at, ot, chan, sums + sotto_ot_answer_bytes(p->ot, at), key, b);
        }
        if (status == SOTTO_OK) {
            status = ready_tile(u, &t, ot, &in, tables, b, scratch);
        }
        if (status == SOTTO_OK && p->bytes.table > 0) {
            status = sotto_chan_send(chan, tables, sotto_sign_table_bytes(&p->signs, t.n));
        }
    }
    const sotto_reader *const all[] = {&in.truncation_flips, &in.sign_flips, &in.low, &in.high};
    for (size_t i = 0; i < (decides ? 4 : 1) && status == SOTTO_OK; i++) {
        status = sotto_reader_finish(all[i], "choices of a unit layer");
    }
    shelf_drop(&u->shelf[S_Q_0]);
done:
    sotto_free(tables);
    sotto_free_secret(scratch, p->signs.scratch, sizeof *scratch);
    sotto_free_secret(key, keys, sizeof *key);
    return status;
}

int sotto_unit_server_ready(sotto_unit_server *u, sotto_ot *ot, sotto_chan *chan, const uint8_t *choice)
{
    workbench *b = NULL;
    int status = bench_new(&b);
    for (size_t i = 0; i < u->plan->section_count && status == SOTTO_OK; i++) {
        status = section_ready(&u->section[i], ot, chan, choice, b);
        choice += u->plan->sections[i].bytes.choice;
    }
    bench_free(b);
    return status;
}

/* ---- OFFER -------------------------------------------------------------------------------------------------------- */

/* Both messages of infer while the server works on them. */
typedef struct server_exchange {
    sotto_writer d, z;
    uint8_t *signs;
    sotto_reader g, g2, w;
} server_exchange;

/* sum: of the shares of each unit's pixels. */
static void offer_signs(server_section *u, const tile *t, uint8_t *message, const uint64_t *sum, const uint64_t *pi, workbench *b)
{
    const sotto_unit_section *p = u->plan;
    const size_t n = t->n;
    uint64_t *const top = b->w[8], *const top2 = b->w[9], *const pi1 = b->w[10], *const pi2 = b->w[11], *const less = b->w[12];
    const uint64_t *tops[2] = {top, top2}, *masks[2] = {pi, pi2};
    sotto_sign_top_server(p->window, top, lifted(p, t, sum, b->w[14]), n);
    if (p->decisions == 2) {
        bounds(u, t, 0, less);
        get(&u->shelf[S_PI2], t, 0, pi2);
        for (size_t i = 0; i < n; i++) {
            less[i] = sum[i] - less[i];
            pi1[i] = pi[i] ^ pi2[i];
        }
        sotto_sign_top_server(p->window, top2, lifted(p, t, less, b->w[14]), n);
        masks[0] = pi1;
    }
    sotto_sign_offer(u->signs, t->at, n, message, tops, masks);
}

static void offer_tile(server_section *u, const tile *t, server_exchange *x, const uint64_t *a, workbench *b)
{
    const sotto_unit_section *p = u->plan;
    const size_t n = t->n;
    const unsigned l = p->truncation.l_next;
    uint64_t *const rho = b->w[0], *const share = b->w[1], *const a_next = b->w[2], *const d = b->w[3], *const pi = b->w[4], *const zeta = b->w[5];
    uint64_t *const z = b->w[6], *const sum = b->w[7];
    const uint64_t *own = NULL;
    get(&u->shelf[S_PI], t, 0, pi);
    memset(sum, 0, n * sizeof *sum);
    for (size_t pixel = 0; pixel < p->pixels; pixel++) {
        own = gather(p, t, pixel, a, b->w[13]);
        get(&u->shelf[S_RHO], t, pixel, rho);
        get(&u->shelf[S_P], t, pixel, share);
        sotto_truncate_server(p->truncation, a_next, d, own, p->widen > 0 ? rho : NULL, p->widen > 0 ? share : NULL, n);
        if (p->widen > 0) {
            sotto_write_packed(&x->d, d, n, 1);
            put(&u->shelf[S_D], t, pixel, d);
        }
        if (p->decisions > 0) {
            get(&u->shelf[S_ZETA], t, pixel, zeta);
            sotto_select_offer(l, z, a_next, pi, zeta, n);
            sotto_write_packed(&x->z, z, n, l);
        }
        put(&u->shelf[S_ZETA], t, pixel, a_next);
        for (size_t i = 0; p->pixels > 1 && i < n; i++) {
            sum[i] += own[i];
        }
    }
    if (p->decisions > 0) {
        offer_signs(u, t, x->signs, p->pixels > 1 ? sum : own, pi, b);
    }
}

int sotto_unit_server_offer(sotto_unit_server *u, uint8_t *offer, const uint64_t *a)
{
    workbench *b = NULL;
    if (u->offered) {
        return sotto_fail(SOTTO_ERR_USED, "an offer from units that have made theirs: prepared material is used once");
    }
    const int status = bench_new(&b);
    if (status != SOTTO_OK) {
        return status;
    }
    u->offered = 1;
    for (size_t i = 0; i < u->plan->section_count; i++) {
        const sotto_unit_section *p = &u->plan->sections[i];
        server_exchange x = {.d = room(&offer, p->pixels, p->count, p->widen > 0)};
        if (p->decisions > 0) {
            x.z = room(&offer, p->pixels, p->count, p->truncation.l_next);
        }
        x.signs = offer;
        offer += p->signs.message_bytes;
        for (size_t at = 0; at < p->count; at += TILE) {
            const tile t = {.at = at, .n = least(p->count - at, TILE)};
            offer_tile(&u->section[i], &t, &x, a, b);
        }
    }
    bench_free(b);
    return SOTTO_OK;
}

/* ---- REPLY -------------------------------------------------------------------------------------------------------- */

/* The server's share of b2 (T >> f). */
static void finish_bound(const server_section *u, const tile *t, uint64_t *added, server_exchange *x, workbench *b)
{
    const sotto_unit_section *p = u->plan;
    const size_t n = t->n;
    uint64_t *const g2 = b->w[9], *const pi2 = b->w[10], *const bound = b->w[11], *const turned = b->w[12];
    sotto_read_packed(&x->g2, g2, n, 1);
    get(&u->shelf[S_PI2], t, 0, pi2);
    get(&u->shelf[S_BOUND], t, 0, added);
    bounds(u, t, p->truncation.f, bound);
    sotto_select_turn(turned, pi2, bound, n);
    sotto_product_flip(p->truncation.l_next, added, g2, turned, n);
    for (size_t i = 0; i < n; i++) {
        added[i] += (0 - pi2[i]) & bound[i];
    }
}

static void finish_tile(const server_section *u, const tile *t, uint64_t *layer, server_exchange *x, workbench *b)
{
    const sotto_unit_section *p = u->plan;
    const unsigned l = p->truncation.l_next;
    const size_t n = t->n;
    uint64_t *const g = b->w[0], *const w = b->w[1], *const pi = b->w[2], *const a_next = b->w[3], *const d = b->w[4], *const zero = b->w[5];
    uint64_t *const step = b->w[6], *const product = b->w[7], *const added = b->w[8];
    uint64_t *const e = p->value == NULL ? layer + t->at : b->w[13];
    if (p->decisions > 0) {
        sotto_read_packed(&x->g, g, n, 1);
        get(&u->shelf[S_PI], t, 0, pi);
    }
    if (p->decisions == 2) {
        finish_bound(u, t, added, x, b);
    }
    for (size_t pixel = 0; pixel < p->pixels; pixel++) {
        get(&u->shelf[S_ZETA], t, pixel, a_next);
        sotto_read_packed(&x->w, w, n, l);
        if (p->decisions > 0) {
            get(&u->shelf[S_PRODUCT_0], t, pixel, zero);
            if (p->widen > 0) {
                get(&u->shelf[S_PRODUCT_1], t, pixel, step);
                get(&u->shelf[S_D], t, pixel, d);
                sotto_truncate_pick(p->truncation, product, zero, step, d, n);
            }
            sotto_select_finish(l, e, g, w, pi, a_next, p->widen > 0 ? product : zero, n);
        }
        for (size_t i = 0; p->decisions != 1 && i < n; i++) {
            e[i] = sotto_low_bits(p->decisions == 0 ? a_next[i] + w[i] : e[i] + added[i], l);
        }
        if (p->value != NULL) {
            scatter(p, t, pixel, layer, e);
        }
    }
}

static int section_finish(const server_section *u, uint64_t *e, const uint8_t *reply, workbench *b)
{
    const sotto_unit_section *p = u->plan;
    const size_t n = p->count;
    sotto_reader r;
    sotto_reader_init(&r, reply, p->bytes.reply);
    server_exchange x = {.g = part(&r, 1, n, p->decisions > 0), .g2 = part(&r, 1, n, p->decisions == 2)};
    x.w = part(&r, p->pixels, n, p->truncation.l_next);
    int status = sotto_reader_finish(&r, "reply of a unit layer");
    for (size_t at = 0; at < n && status == SOTTO_OK; at += TILE) {
        const tile t = {.at = at, .n = least(n - at, TILE)};
        finish_tile(u, &t, e, &x, b);
    }
    const sotto_reader *const all[] = {&x.g, &x.g2, &x.w};
    for (size_t i = 0; i < 3 && status == SOTTO_OK; i++) {
        status = sotto_reader_finish(all[i], "reply of a unit layer");
    }
    return status;
}

int sotto_unit_server_finish(sotto_unit_server *u, uint64_t *e, const uint8_t *reply)
{
    const sotto_unit_plan *p = u->plan;
    workbench *b = NULL;
    int status = bench_new(&b);
    if (status == SOTTO_OK && p->value != NULL) {
        memset(e, 0, p->words * sizeof *e); /* values that are always zero are in no section */
    }
    for (size_t i = 0; i < p->section_count && status == SOTTO_OK; i++) {
        status = section_finish(&u->section[i], e, reply, b);
        reply += p->sections[i].bytes.reply;
    }
    if (status != SOTTO_OK) {
        memset(e, 0, p->words * sizeof *e);
    }
    bench_free(b);
    return status;
}

void sotto_unit_server_free(sotto_unit_server *u)
{
    if (u == NULL) {
        return;
    }
    for (size_t i = 0; i < u->plan->section_count; i++) {
        server_section *s = &u->section[i];
        sotto_sign_server_free(s->signs);
        sotto_free(s->sums);
        for (size_t k = 0; k < S_SHELVES; k++) {
            shelf_drop(&s->shelf[k]);
        }
    }
    sotto_free_secret(u, 1, sizeof *u + u->plan->section_count * sizeof *u->section);
}
