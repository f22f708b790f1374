/* The server's half of unit.h. */
#include "nn/secure/unit_internal.h"

enum server_shelf {
    S_P,         /* truncation: shares of rho cbar, of rho sigma until the flips are there */
    S_RHO,
    S_PAYLOAD,   /* corrections, until they are sent */
    S_PI,
    S_ZETA,      /* after the offer the truncated share in its place */
    S_PRODUCT_0, /* t + q_0; t alone until the client's numbers are there */
    S_PRODUCT_1, /* 2^(l-f) times this is q_1 - q_0 */
    S_Q_0,       /* keys for q_0, until then */
    S_D,         /* made by the offer */
    S_SHELVES
};

struct sotto_unit_server {
    sotto_unit_plan plan;
    shelf shelf[S_SHELVES];
    sotto_sign_server *signs;
    int offered; /* pads, masks and labels serve one message */
};

static int server_keys(sotto_unit_server *u, const tile *t, const sotto_ot *ot, const sotto_block *key, workbench *b)
{
    const sotto_unit_plan *p = &u->plan;
    const size_t n = t->n;
    uint64_t *const share = b->w[0], *const delta = b->w[1], *const rho = b->w[2];
    if (p->widen > 0) {
        sotto_ot_keys_send(ot, t->first, n, 0, key, b->k0, b->k1);
        sotto_product_send_random(p->widen, 0, share, delta, b->k0, b->k1, n);
        for (size_t i = 0; i < n; i++) {
            rho[i] = delta[i] & 1;
            delta[i] >>= 1; /* delta - rho without its low bit, which is zero */
        }
        put(&u->shelf[S_P], t, share);
        put(&u->shelf[S_RHO], t, rho);
        put(&u->shelf[S_PAYLOAD], t, delta);
    }
    if (!p->sign) {
        return SOTTO_OK;
    }
    sotto_ot_keys_send(ot, t->first + t->tau, n, 0, key + t->tau, b->k0, b->k1);
    sotto_product_send_random(p->truncation.l_next, 0, share, delta, b->k0, b->k1, n);
    put(&u->shelf[S_PRODUCT_0], t, share);
    put(&u->shelf[S_ZETA], t, delta);
    return sotto_sign_server_keys(u->signs, t->at, n, ot, t->first + t->sign, key + t->sign);
}

int sotto_unit_server_new(sotto_unit_server **out, const sotto_unit_plan *p, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng)
{
    const size_t group_most = least(group_units(p), p->count);
    sotto_unit_server *u = sotto_calloc(1, sizeof *u);
    sotto_block *key = sotto_calloc(group_most * unit_ots(p), sizeof *key);
    workbench *b = NULL;
    int status = bench_new(&b);
    *out = NULL;
    if (u == NULL || key == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", p->count);
    }
    if (status != SOTTO_OK) {
        goto done;
    }
    const unsigned l = p->truncation.l_next, m = p->widen, select = p->sign ? l : 0;
    *u = (sotto_unit_server){.plan = *p,
                             .shelf = {[S_P] = {NULL, m}, [S_RHO] = {NULL, m > 0}, [S_PAYLOAD] = {NULL, m > 1 ? m - 1 : 0}, [S_PI] = {NULL, p->sign ? 1 : 0},
                                       [S_ZETA] = {NULL, l}, [S_PRODUCT_0] = {NULL, select}, [S_PRODUCT_1] = {NULL, p->sign ? m : 0},
                                       [S_Q_0] = {NULL, select}, [S_D] = {NULL, m > 0}}};
    status = shelves_new(u->shelf, S_SHELVES, p->count);
    if (status == SOTTO_OK && p->sign) {
        status = sotto_sign_server_new(&u->signs, &p->signs, rng);
    }
    for (size_t group = 0; group < p->count && p->client_ots > 0 && status == SOTTO_OK; group += group_most) {
        const size_t units = least(p->count - group, group_most);
        uint64_t first;
        status = sotto_ot_send_random(ot, chan, units * unit_ots(p), key, &first);
        for (size_t at = group; at < group + units && status == SOTTO_OK; at += TILE) {
            const tile t = tile_of(p, group, at, first);
            status = server_keys(u, &t, ot, key + t.ots, b);
        }
    }
done:
    sotto_free_secret(key, group_most * unit_ots(p), sizeof *key);
    bench_free(b);
    if (status != SOTTO_OK) {
        sotto_unit_server_free(u);
        u = NULL;
    }
    *out = u;
    return status;
}

/* Releases a shelf that is not needed any more. */
static void drop(shelf *s, size_t count)
{
    sotto_free_secret(s->bytes, shelf_bytes(s, count), 1);
    *s = (shelf){NULL, 0};
}

int sotto_unit_server_correct(sotto_unit_server *u, sotto_ot *ot, sotto_chan *chan)
{
    const sotto_unit_plan *p = &u->plan;
    const size_t n = p->count, payload = payload_bytes(p), group_most = least(group_units(p), p->server_ots);
    sotto_block *key = sotto_calloc(group_most, sizeof *key);
    workbench *b = NULL;
    int status = bench_new(&b);
    if (key == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", n);
    }
    if (status == SOTTO_OK && payload > 0) {
        status = sotto_chan_send(chan, u->shelf[S_PAYLOAD].bytes, payload);
    }
    drop(&u->shelf[S_PAYLOAD], n);
    for (size_t group = 0; group < p->server_ots && status == SOTTO_OK; group += group_most) {
        const size_t units = least(n - group, group_most);
        uint64_t first;
        status = sotto_ot_recv_random(ot, chan, u->shelf[S_PI].bytes + group / 8, units, key, &first);
        for (size_t at = group; at < group + units && status == SOTTO_OK; at += TILE) {
            const tile t = {.at = at, .n = least(n - at, TILE)};
            sotto_ot_keys_recv(ot, first + (at - group), t.n, 0, key + (at - group), b->k0);
            sotto_product_recv(p->truncation.l_next, 0, b->w[0], NULL, NULL, b->k0, t.n);
            put(&u->shelf[S_Q_0], &t, b->w[0]);
            if (p->widen > 0) {
                sotto_product_recv(p->widen, 1, b->w[1], NULL, NULL, b->k0, t.n);
                put(&u->shelf[S_PRODUCT_1], &t, b->w[1]);
            }
        }
    }
    sotto_free_secret(key, group_most, sizeof *key);
    bench_free(b);
    return status;
}

/* The body of CHOICE while it is read. */
typedef struct choice_readers {
    sotto_reader truncation_flips, sign_flips, low, high;
} choice_readers;

static int ready_tile(sotto_unit_server *u, const tile *t, const sotto_ot *ot, choice_readers *in, uint8_t *tables, workbench *b,
                      sotto_block *scratch)
{
    const sotto_unit_plan *p = &u->plan;
    const size_t n = t->n;
    uint64_t *const flips = b->w[0], *const share = b->w[1], *const rho = b->w[2], *const pi = b->w[3], *const correction = b->w[4];
    uint64_t *const product = b->w[5];
    if (p->widen > 0) {
        sotto_read_packed(&in->truncation_flips, flips, n, 1);
        get(&u->shelf[S_P], t, share);
        get(&u->shelf[S_RHO], t, rho);
        sotto_product_flip(p->widen, share, flips, rho, n);
        put(&u->shelf[S_P], t, share);
    }
    if (!p->sign) {
        return SOTTO_OK;
    }
    get(&u->shelf[S_PI], t, pi);
    get(&u->shelf[S_Q_0], t, share);
    get(&u->shelf[S_PRODUCT_0], t, product);
    sotto_read_packed(&in->low, correction, n, p->truncation.l_next);
    sotto_product_correct(p->truncation.l_next, share, correction, pi, n);
    for (size_t i = 0; i < n; i++) {
        product[i] += share[i];
    }
    put(&u->shelf[S_PRODUCT_0], t, product);
    if (p->widen > 0) {
        get(&u->shelf[S_PRODUCT_1], t, share);
        sotto_read_packed(&in->high, correction, n, p->widen);
        sotto_product_correct(p->widen, share, correction, pi, n);
        put(&u->shelf[S_PRODUCT_1], t, share);
    }
    sotto_read_packed(&in->sign_flips, flips, n, p->signs.u - 1);
    return sotto_sign_server_ready(u->signs, t->at, n, ot, flips, tables, scratch);
}

int sotto_unit_server_ready(sotto_unit_server *u, const sotto_ot *ot, sotto_chan *chan, const uint8_t *choice)
{
    const sotto_unit_plan *p = &u->plan;
    const size_t n = p->count;
    sotto_block *scratch = sotto_calloc(p->signs.scratch, sizeof *scratch);
    uint8_t *tables = sotto_calloc(sotto_sign_table_bytes(&p->signs, least(n, TILE)), 1);
    workbench *b = NULL;
    int status = bench_new(&b);
    if (scratch == NULL || tables == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", n);
    }
    if (status != SOTTO_OK) {
        goto done;
    }
    sotto_reader r;
    sotto_reader_init(&r, choice, p->choice_bytes);
    choice_readers in = {.truncation_flips = part(&r, n, p->widen > 0)};
    if (p->sign) {
        in.sign_flips = part(&r, p->signs.ots, 1);
        in.low = part(&r, n, p->truncation.l_next);
        in.high = part(&r, n, p->widen);
    }
    status = sotto_reader_finish(&r, "choices of a unit layer");
    for (size_t at = 0; at < n && status == SOTTO_OK; at += TILE) {
        const tile t = {.at = at, .n = least(n - at, TILE)};
        status = ready_tile(u, &t, ot, &in, tables, b, scratch);
        if (status == SOTTO_OK && p->table_bytes > 0) {
            status = sotto_chan_send(chan, tables, sotto_sign_table_bytes(&p->signs, t.n));
        }
    }
    const sotto_reader *const all[] = {&in.truncation_flips, &in.sign_flips, &in.low, &in.high};
    for (size_t i = 0; i < (p->sign ? 4 : 1) && status == SOTTO_OK; i++) {
        status = sotto_reader_finish(all[i], "choices of a unit layer");
    }
    drop(&u->shelf[S_Q_0], n);
done:
    sotto_free(tables);
    sotto_free_secret(scratch, p->signs.scratch, sizeof *scratch);
    bench_free(b);
    return status;
}

int sotto_unit_server_offer(sotto_unit_server *u, uint8_t *offer, const uint64_t *a)
{
    const sotto_unit_plan *p = &u->plan;
    const size_t n = p->count;
    const unsigned l = p->truncation.l_next;
    workbench *b = NULL;
    if (u->offered) {
        return sotto_fail(SOTTO_ERR_USED, "an offer from units that have made theirs: prepared material is used once");
    }
    const int status = bench_new(&b);
    if (status != SOTTO_OK) {
        return status;
    }
    u->offered = 1;
    uint64_t *const rho = b->w[0], *const share = b->w[1], *const a_next = b->w[2], *const d = b->w[3], *const pi = b->w[4], *const zeta = b->w[5];
    uint64_t *const z = b->w[6], *const top = b->w[7];
    sotto_writer to_d = room(&offer, n, p->widen > 0), to_z = {0};
    if (p->sign) {
        to_z = room(&offer, n, l);
    }
    for (size_t at = 0; at < n; at += TILE) {
        const tile t = {.at = at, .n = least(n - at, TILE)};
        get(&u->shelf[S_RHO], &t, rho);
        get(&u->shelf[S_P], &t, share);
        sotto_truncate_server(p->truncation, a_next, d, a + at, p->widen > 0 ? rho : NULL, p->widen > 0 ? share : NULL, t.n);
        if (p->widen > 0) {
            sotto_write_packed(&to_d, d, t.n, 1);
            put(&u->shelf[S_D], &t, d);
        }
        if (p->sign) {
            get(&u->shelf[S_PI], &t, pi);
            get(&u->shelf[S_ZETA], &t, zeta);
            sotto_select_offer(l, z, a_next, pi, zeta, t.n);
            sotto_write_packed(&to_z, z, t.n, l);
            sotto_sign_top_server(p->window, top, a + at, t.n);
            sotto_sign_offer(u->signs, at, t.n, offer, top, pi);
        }
        put(&u->shelf[S_ZETA], &t, a_next);
    }
    bench_free(b);
    return SOTTO_OK;
}

static void finish_tile(const sotto_unit_server *u, const tile *t, uint64_t *e, sotto_reader *from_g, sotto_reader *from_w, workbench *b)
{
    const sotto_unit_plan *p = &u->plan;
    const size_t n = t->n;
    uint64_t *const g = b->w[0], *const w = b->w[1], *const pi = b->w[2], *const a_next = b->w[3], *const d = b->w[4], *const zero = b->w[5];
    uint64_t *const step = b->w[6], *const product = b->w[7];
    get(&u->shelf[S_ZETA], t, a_next);
    sotto_read_packed(from_w, w, n, p->truncation.l_next);
    if (!p->sign) {
        for (size_t i = 0; i < n; i++) {
            e[i] = sotto_low_bits(a_next[i] + w[i], p->truncation.l_next);
        }
        return;
    }
    sotto_read_packed(from_g, g, n, 1);
    get(&u->shelf[S_PI], t, pi);
    get(&u->shelf[S_PRODUCT_0], t, zero);
    if (p->widen > 0) {
        get(&u->shelf[S_PRODUCT_1], t, step);
        get(&u->shelf[S_D], t, d);
        sotto_truncate_pick(p->truncation, product, zero, step, d, n);
    }
    sotto_select_finish(p->truncation.l_next, e, g, w, pi, a_next, p->widen > 0 ? product : zero, n);
}

int sotto_unit_server_finish(sotto_unit_server *u, uint64_t *e, const uint8_t *reply)
{
    const sotto_unit_plan *p = &u->plan;
    const size_t n = p->count;
    workbench *b = NULL;
    int status = bench_new(&b);
    if (status != SOTTO_OK) {
        return status;
    }
    sotto_reader r, from_g, from_w;
    sotto_reader_init(&r, reply, p->reply_bytes);
    from_g = part(&r, n, p->sign ? 1 : 0);
    from_w = part(&r, n, p->truncation.l_next);
    status = sotto_reader_finish(&r, "reply of a unit layer");
    for (size_t at = 0; at < n && status == SOTTO_OK; at += TILE) {
        const tile t = {.at = at, .n = least(n - at, TILE)};
        finish_tile(u, &t, e + at, &from_g, &from_w, b);
    }
    if (status == SOTTO_OK) {
        status = sotto_reader_finish(&from_g, "reply of a unit layer");
    }
    if (status == SOTTO_OK) {
        status = sotto_reader_finish(&from_w, "reply of a unit layer");
    }
    if (status != SOTTO_OK) {
        memset(e, 0, n * sizeof *e);
    }
    bench_free(b);
    return status;
}

void sotto_unit_server_free(sotto_unit_server *u)
{
    if (u == NULL) {
        return;
    }
    sotto_sign_server_free(u->signs);
    shelves_free(u->shelf, S_SHELVES, u->plan.count);
    sotto_free_secret(u, 1, sizeof *u);
}
