/* The client's half of unit.h. */
#include "nn/secure/unit_internal.h"

enum client_shelf {
    C_PRODUCT_0, /* t + q_0, modulo 2^l_next; t alone until the client's share is known */
    C_PRODUCT_1, /* 2^(l-f) times this is q_1 - q_0, modulo 2^widen; the key of the truncation OT until then */
    C_ZERO,      /* C_0 */
    C_STEP,      /* 2^(l-f) times this is C_1 - C_0 */
    C_TAU,
    C_TOP,       /* of the sign */
    C_SHELVES
};

struct sotto_unit_client {
    sotto_unit_plan plan;
    uint8_t *choices; /* packed, by groups, until the share is known */
    shelf shelf[C_SHELVES];
    sotto_sign_client *signs;
};

/* The choices of a group begin at a byte, for groups have a multiple of 8 units. */
static uint8_t *group_choices(const sotto_unit_client *u, size_t group)
{
    return u->choices + group / 8 * unit_ots(&u->plan);
}

/* Everything that a tile's OTs are for, which is less than the OTs. */
static int client_keys(sotto_unit_client *u, const tile *t, const sotto_ot *ot, const sotto_block *key, const uint8_t *choices, workbench *b)
{
    const sotto_unit_plan *p = &u->plan;
    const size_t n = t->n;
    uint64_t *const word = b->w[0], *const bits = b->w[1];
    if (p->widen > 0) {
        sotto_ot_keys_recv(ot, t->first, n, 0, key, b->k0);
        sotto_product_recv(p->widen, 0, word, NULL, NULL, b->k0, n);
        put(&u->shelf[C_PRODUCT_1], t, word);
    }
    if (!p->sign) {
        return SOTTO_OK;
    }
    sotto_ot_keys_recv(ot, t->first + t->tau, n, 0, key + t->tau, b->k0);
    sotto_product_recv(p->truncation.l_next, 0, word, NULL, NULL, b->k0, n);
    put(&u->shelf[C_PRODUCT_0], t, word);
    read_bits(bits, choices, t->ots + t->tau, n, 1);
    put(&u->shelf[C_TAU], t, bits);
    read_bits(bits, choices, t->ots + t->sign, n, p->signs.u - 1);
    return sotto_sign_client_keys(u->signs, t->at, n, ot, t->first + t->sign, key + t->sign, bits);
}

int sotto_unit_client_new(sotto_unit_client **out, const sotto_unit_plan *p, sotto_ot *ot, sotto_chan *chan)
{
    const size_t group_most = least(group_units(p), p->count);
    sotto_unit_client *u = sotto_calloc(1, sizeof *u);
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
    const unsigned l = p->truncation.l_next, m = p->widen;
    *u = (sotto_unit_client){.plan = *p,
                             .shelf = {[C_PRODUCT_0] = {NULL, p->sign ? l : 0}, [C_PRODUCT_1] = {NULL, m}, [C_ZERO] = {NULL, l}, [C_STEP] = {NULL, m},
                                       [C_TAU] = {NULL, p->sign ? 1 : 0}, [C_TOP] = {NULL, p->sign ? p->signs.u : 0}}};
    status = shelves_new(u->shelf, C_SHELVES, p->count);
    u->choices = sotto_calloc((p->client_ots + 7) / 8, 1);
    if (status == SOTTO_OK && u->choices == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", p->count);
    }
    if (status == SOTTO_OK && p->sign) {
        status = sotto_sign_client_new(&u->signs, &p->signs);
    }
    for (size_t group = 0; group < p->count && p->client_ots > 0 && status == SOTTO_OK; group += group_most) {
        const size_t units = least(p->count - group, group_most);
        uint64_t first;
        status = sotto_ot_recv_random(ot, chan, group_choices(u, group), units * unit_ots(p), key, &first);
        for (size_t at = group; at < group + units && status == SOTTO_OK; at += TILE) {
            const tile t = tile_of(p, group, at, first);
            status = client_keys(u, &t, ot, key + t.ots, group_choices(u, group), b);
        }
    }
done:
    sotto_free_secret(key, group_most * unit_ots(p), sizeof *key);
    bench_free(b);
    if (status != SOTTO_OK) {
        sotto_unit_client_free(u);
        u = NULL;
    }
    *out = u;
    return status;
}

/* The body of CHOICE while it is written. */
typedef struct choice_parts {
    sotto_writer truncation_flips, sign_flips, low, high;
} choice_parts;

/* Shares p of rho cbar modulo 2^widen in place of the OT's keys, and the flips. */
static void client_truncate(const sotto_unit_plan *plan, const tile *t, const uint8_t *choices, sotto_reader *payload, const uint64_t *c,
                            uint64_t *p, choice_parts *out, workbench *b)
{
    const unsigned m = plan->widen;
    uint64_t *const sigma = b->w[8], *const flip = b->w[9], *const correction = b->w[10];
    read_bits(sigma, choices, t->ots, t->n, 1);
    sotto_truncate_choices(plan->truncation, flip, c, t->n);
    for (size_t i = 0; i < t->n; i++) {
        flip[i] ^= sigma[i];
    }
    if (m > 1) { /* the lowest bit of a correction is 0 and was not sent; with m = 1 that is all of it */
        sotto_read_packed(payload, correction, t->n, m - 1);
        for (size_t i = 0; i < t->n; i++) {
            correction[i] <<= 1;
        }
        sotto_product_correct(m, p, correction, sigma, t->n);
    }
    sotto_product_flip(m, p, flip, NULL, t->n);
    sotto_write_packed(&out->truncation_flips, flip, t->n, 1);
}

/* A tile from the client's shares c; key: its OTs where it sends. */
static void client_tile(sotto_unit_client *u, const tile *t, const sotto_ot *ot, const sotto_block *key, uint64_t key_first, const uint8_t *choices,
                        sotto_reader *payload, const uint64_t *c, choice_parts *out, workbench *b)
{
    const sotto_unit_plan *plan = &u->plan;
    const sotto_truncation trunc = plan->truncation;
    const unsigned m = plan->widen, l = trunc.l_next;
    const size_t n = t->n;
    uint64_t *const p = b->w[0], *const zero = b->w[1], *const step = b->w[2], *const tau = b->w[3], *const turned = b->w[4];
    uint64_t *const correction = b->w[5], *const share = b->w[6], *const product = b->w[7];
    if (m > 0) {
        get(&u->shelf[C_PRODUCT_1], t, p);
        client_truncate(plan, t, choices, payload, c, p, out, b);
    }
    sotto_truncate_client(trunc, zero, m > 0 ? step : NULL, c, m > 0 ? p : NULL, n);
    put(&u->shelf[C_ZERO], t, zero);
    put(&u->shelf[C_STEP], t, step);
    if (!plan->sign) {
        return;
    }
    uint64_t *const top = b->w[8], *const r = b->w[9], *const flips = b->w[10];
    sotto_sign_top_client(plan->window, top, c, n);
    put(&u->shelf[C_TOP], t, top);
    read_bits(r, choices, t->ots + t->sign, n, plan->signs.u - 1);
    sotto_sign_flips(&plan->signs, flips, r, top, n);
    sotto_write_packed(&out->sign_flips, flips, n, plan->signs.u - 1);

    sotto_ot_keys_send(ot, key_first, n, 0, key, b->k0, b->k1);
    get(&u->shelf[C_TAU], t, tau);
    sotto_select_turn(turned, tau, zero, n);
    sotto_product_send(l, 0, share, correction, turned, b->k0, b->k1, n);
    sotto_write_packed(&out->low, correction, n, l);
    get(&u->shelf[C_PRODUCT_0], t, product);
    for (size_t i = 0; i < n; i++) {
        product[i] += share[i];
    }
    put(&u->shelf[C_PRODUCT_0], t, product);
    if (m > 0) { /* under the second words of the same keys */
        sotto_select_turn(turned, tau, step, n);
        sotto_product_send(m, 1, share, correction, turned, b->k0, b->k1, n);
        sotto_write_packed(&out->high, correction, n, m);
        put(&u->shelf[C_PRODUCT_1], t, share);
    }
}

int sotto_unit_client_choose(sotto_unit_client *u, sotto_ot *ot, sotto_chan *chan, const uint64_t *c, uint8_t *choice)
{
    const sotto_unit_plan *p = &u->plan;
    const size_t n = p->count, payload = payload_bytes(p), group = least(group_units(p), n), keys = p->sign ? group : 0;
    uint8_t *body = sotto_calloc(payload, 1);
    sotto_block *key = sotto_calloc(keys, sizeof *key);
    workbench *b = NULL;
    int status = bench_new(&b);
    if (body == NULL || key == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", n);
    }
    if (status == SOTTO_OK && payload > 0) {
        status = sotto_chan_recv(chan, body, payload);
    }
    if (status != SOTTO_OK) {
        goto done;
    }
    sotto_reader r;
    sotto_reader_init(&r, body, payload);
    choice_parts parts = {.truncation_flips = room(&choice, n, p->widen > 0)};
    if (p->sign) {
        parts.sign_flips = room(&choice, p->signs.ots, 1);
        parts.low = room(&choice, n, p->truncation.l_next);
        parts.high = room(&choice, n, p->widen);
    }
    for (size_t begin = 0; begin < n && status == SOTTO_OK; begin += group) {
        const size_t units = least(n - begin, group);
        uint64_t first = 0;
        if (p->sign) {
            status = sotto_ot_send_random(ot, chan, units, key, &first);
        }
        for (size_t at = begin; at < begin + units && status == SOTTO_OK; at += TILE) {
            const tile t = tile_of(p, begin, at, 0);
            client_tile(u, &t, ot, key + (at - begin), first + (at - begin), group_choices(u, begin), &r, c + at, &parts, b);
        }
    }
    if (status == SOTTO_OK) {
        status = sotto_reader_finish(&r, "OT payload of a truncation");
    }
done:
    sotto_free(body);
    sotto_free_secret(key, keys, sizeof *key);
    bench_free(b);
    sotto_free_secret(u->choices, (p->client_ots + 7) / 8, 1);
    u->choices = NULL;
    return status;
}

uint8_t *sotto_unit_client_tables(sotto_unit_client *u)
{
    return u->plan.sign ? sotto_sign_client_tables(u->signs) : NULL;
}

/* Both messages of infer while the client works on them. */
typedef struct exchange {
    sotto_reader d, z;
    const uint8_t *signs;
    sotto_writer g, w;
} exchange;

static int reply_tile(const sotto_unit_client *u, const tile *t, exchange *x, const uint64_t *r_next, workbench *b, sotto_block *scratch)
{
    const sotto_unit_plan *p = &u->plan;
    const size_t n = t->n;
    uint64_t *const d = b->w[0], *const zero = b->w[1], *const step = b->w[2], *const c = b->w[3], *const z = b->w[4], *const w = b->w[5];
    get(&u->shelf[C_ZERO], t, zero);
    get(&u->shelf[C_STEP], t, step);
    if (p->widen > 0) {
        sotto_read_packed(&x->d, d, n, 1);
        sotto_truncate_pick(p->truncation, c, zero, step, d, n);
    }
    const uint64_t *own = p->widen > 0 ? c : zero;
    if (!p->sign) {
        for (size_t i = 0; i < n; i++) {
            w[i] = own[i] - r_next[i];
        }
        sotto_write_packed(&x->w, w, n, p->truncation.l_next);
        return SOTTO_OK;
    }
    uint64_t *const top = b->w[6], *const bits = b->w[7], *const tau = b->w[8], *const product = b->w[9], *const g = b->w[10];
    get(&u->shelf[C_TOP], t, top);
    get(&u->shelf[C_TAU], t, tau);
    const int status = sotto_sign_open(u->signs, t->at, n, bits, x->signs, top, scratch);
    get(&u->shelf[C_PRODUCT_0], t, zero == own ? product : zero);
    if (p->widen > 0) {
        get(&u->shelf[C_PRODUCT_1], t, step);
        sotto_truncate_pick(p->truncation, product, zero, step, d, n);
    }
    sotto_read_packed(&x->z, z, n, p->truncation.l_next);
    sotto_select_answer(p->truncation.l_next, g, w, bits, tau, z, own, product, r_next, n);
    sotto_write_packed(&x->g, g, n, 1);
    sotto_write_packed(&x->w, w, n, p->truncation.l_next);
    return status;
}

int sotto_unit_client_reply(sotto_unit_client *u, uint8_t *reply, const uint8_t *offer, const uint64_t *r_next)
{
    const sotto_unit_plan *p = &u->plan;
    const size_t n = p->count;
    const unsigned l = p->truncation.l_next;
    sotto_block *scratch = sotto_calloc(p->signs.scratch, sizeof *scratch);
    workbench *b = NULL;
    int status = bench_new(&b);
    if (scratch == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", n);
    }
    if (status != SOTTO_OK) {
        goto done;
    }
    sotto_reader r;
    sotto_reader_init(&r, offer, p->offer_bytes);
    uint8_t *to = reply;
    exchange x = {.d = part(&r, n, p->widen > 0)};
    if (p->sign) {
        x.z = part(&r, n, l);
        x.signs = sotto_read_span(&r, p->signs.message_bytes);
        x.g = room(&to, n, 1);
    }
    x.w = room(&to, n, l);
    status = sotto_reader_finish(&r, "offer of a unit layer");
    for (size_t at = 0; at < n && status == SOTTO_OK; at += TILE) {
        const tile t = tile_of(p, 0, at, 0);
        status = reply_tile(u, &t, &x, r_next + at, b, scratch);
    }
    if (status == SOTTO_OK) {
        status = sotto_reader_finish(&x.d, "offer of a unit layer");
    }
    if (status == SOTTO_OK && p->sign) {
        status = sotto_reader_finish(&x.z, "offer of a unit layer");
    }
    if (status != SOTTO_OK) {
        memset(reply, 0, p->reply_bytes);
    }
done:
    sotto_free_secret(scratch, p->signs.scratch, sizeof *scratch);
    bench_free(b);
    return status;
}

void sotto_unit_client_free(sotto_unit_client *u)
{
    if (u == NULL) {
        return;
    }
    sotto_sign_client_free(u->signs);
    sotto_free_secret(u->choices, (u->plan.client_ots + 7) / 8, 1);
    shelves_free(u->shelf, C_SHELVES, u->plan.count);
    sotto_free_secret(u, 1, sizeof *u);
}
