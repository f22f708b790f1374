/* The client's half of unit.h. */
#include "lib/spill.h"
#include "nn/secure/unit_internal.h"

#define TAKEN_AT_ONCE ((size_t)4 << 20) /* bytes of tables */

enum client_shelf {
    C_PRODUCT_0, /* t + q_0, modulo 2^l_next; t alone until the client's share is known */
    C_PRODUCT_1, /* 2^(l-f) times this is q_1 - q_0, modulo 2^widen; the key of the truncation OT until then */
    C_ZERO,      /* C_0 */
    C_STEP,      /* 2^(l-f) times this is C_1 - C_0 */
    C_BY_PIXEL,
    C_TAU = C_BY_PIXEL,
    C_TOP,       /* of the sign */
    C_TAU2,      /* clip */
    C_BOUND,     /* clip: of tau2 D */
    C_SHELVES
};

typedef struct client_section {
    const sotto_unit_section *plan;
    uint8_t *choices; /* packed, by tiles, until the share is known */
    shelf shelf[C_SHELVES];
    sotto_sign_client *signs;
} client_section;

struct sotto_unit_client {
    const sotto_unit_plan *plan;
    sotto_spill tables;
    client_section section[]; /* plan->section_count */
};

/* ---- MATRIX ------------------------------------------------------------------------------------------------------- */

/* The choices of a tile begin at a byte, for tiles have a multiple of 8 units. */
static uint8_t *tile_choices(const client_section *u, size_t at)
{
    return u->choices + at / 8 * unit_ots(u->plan);
}

/* Everything that a tile's OTs are for, which is less than the OTs. */
static int client_keys(client_section *u, const tile *t, const sotto_ot *ot, const sotto_block *key, const uint8_t *choices, workbench *b)
{
    const sotto_unit_section *p = u->plan;
    const size_t n = t->n;
    uint64_t *const word = b->w[0], *const bits = b->w[1];
    for (size_t i = 0; p->widen > 0 && i < p->pixels; i++) {
        sotto_ot_keys_recv(ot, t->first + i * n, n, 0, key + i * n, b->k0);
        sotto_product_recv(p->widen, 0, word, NULL, NULL, b->k0, n);
        put(&u->shelf[C_PRODUCT_1], t, i, word);
    }
    if (p->decisions == 0) {
        return SOTTO_OK;
    }
    for (size_t i = 0; i < p->pixels; i++) {
        sotto_ot_keys_recv(ot, t->first + t->tau, n, (uint16_t)i, key + t->tau, b->k0);
        sotto_product_recv(p->truncation.l_next, 0, word, NULL, NULL, b->k0, n);
        put(&u->shelf[C_PRODUCT_0], t, i, word);
    }
    read_bits(bits, choices, t->tau, n, 1);
    put(&u->shelf[C_TAU], t, 0, bits);
    if (p->decisions == 2) {
        sotto_ot_keys_recv(ot, t->first + t->tau2, n, 0, key + t->tau2, b->k0);
        sotto_product_recv(p->truncation.l_next, 0, word, NULL, NULL, b->k0, n);
        put(&u->shelf[C_BOUND], t, 0, word);
        read_bits(bits, choices, t->tau2, n, 1);
        put(&u->shelf[C_TAU2], t, 0, bits);
    }
    read_bits(bits, choices, t->sign, n, p->signs.u - 1);
    return sotto_sign_client_keys(u->signs, t->at, n, ot, t->first + t->sign, key + t->sign, bits);
}

/* The OTs of the tile at `at`, from its matrix or, if they are silent, from the server's sums, and their keys. */
static int client_ots(client_section *u, size_t at, sotto_ot *ot, sotto_chan *chan, const uint8_t *sums, sotto_block *key, workbench *b)
{
    const sotto_unit_section *p = u->plan;
    const size_t count = least(p->count - at, TILE) * unit_ots(p);
    uint8_t *choices = tile_choices(u, at);
    uint64_t first;
    int status = silent(p) ? sotto_ot_take(ot, sums, choices, count, key, &first) : sotto_ot_recv_random(ot, chan, choices, count, key, &first);
    if (status == SOTTO_OK) {
        const tile t = tile_of(p, at, first);
        status = client_keys(u, &t, ot, key, choices, b);
    }
    return status;
}

static int client_section_new(client_section *u, const sotto_unit_section *p, sotto_ot *ot, sotto_chan *chan, workbench *b)
{
    const size_t keys = least(TILE, p->count) * unit_ots(p);
    const unsigned l = p->truncation.l_next, m = p->widen, decides = p->decisions > 0, clips = p->decisions == 2;
    const unsigned width[C_SHELVES] = {[C_PRODUCT_0] = decides ? l : 0, [C_PRODUCT_1] = m, [C_ZERO] = l, [C_STEP] = m, [C_TAU] = decides,
                                       [C_TOP] = p->signs.u, [C_TAU2] = clips, [C_BOUND] = clips ? l : 0};
    u->plan = p;
    sotto_block *key = sotto_calloc(keys, sizeof *key);
    int status = shelves_new(u->shelf, width, C_SHELVES, C_BY_PIXEL, p);
    u->choices = sotto_calloc((p->client_ots + 7) / 8, 1);
    if (status == SOTTO_OK && (key == NULL || u->choices == NULL)) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", p->count);
    }
    if (status == SOTTO_OK && decides) {
        status = sotto_sign_client_new(&u->signs, &p->signs);
    }
    for (size_t at = 0; at < p->count && p->client_ots > 0 && status == SOTTO_OK; at += TILE) {
        status = silent(p) ? sotto_ot_ask(ot, chan, NULL, least(p->count - at, TILE) * unit_ots(p)) : client_ots(u, at, ot, chan, NULL, key, b);
    }
    sotto_free_secret(key, keys, sizeof *key);
    return status;
}

int sotto_unit_client_new(sotto_unit_client **out, const sotto_unit_plan *p, sotto_ot *ot, sotto_chan *chan)
{
    sotto_unit_client *u = sotto_calloc(1, sizeof *u + p->section_count * sizeof *u->section);
    workbench *b = NULL;
    int status = bench_new(&b);
    if (u == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", p->words);
    } else {
        u->plan = p;
    }
    for (size_t i = 0; i < p->section_count && status == SOTTO_OK; i++) {
        status = client_section_new(&u->section[i], &p->sections[i], ot, chan, b);
    }
    bench_free(b);
    if (status != SOTTO_OK) {
        sotto_unit_client_free(u);
        u = NULL;
    }
    *out = u;
    return status;
}

/* ---- CORRECTION, CHOICE ------------------------------------------------------------------------------------------- */

/* What has come of CORRECTION, and the body of CHOICE while it is written. */
typedef struct choosing {
    sotto_reader truncations, bounds;
    sotto_writer truncation_flips, sign_flips, low, high;
} choosing;

/* Shares p of rho cbar modulo 2^widen in place of the OT's keys, and the flips. */
static void client_truncate(const sotto_unit_section *plan, const tile *t, size_t pixel, const uint8_t *choices, const uint64_t *c, uint64_t *p,
                            choosing *x, workbench *b)
{
    const unsigned m = plan->widen;
    uint64_t *const sigma = b->w[8], *const flip = b->w[9], *const correction = b->w[10];
    read_bits(sigma, choices, pixel * t->n, t->n, 1);
    sotto_truncate_choices(plan->truncation, flip, c, t->n);
    for (size_t i = 0; i < t->n; i++) {
        flip[i] ^= sigma[i];
    }
    if (m > 1) { /* the lowest bit of a correction is 0 and was not sent; with m = 1 that is all of it */
        sotto_read_packed(&x->truncations, correction, t->n, m - 1);
        for (size_t i = 0; i < t->n; i++) {
            correction[i] <<= 1;
        }
        sotto_product_correct(m, p, correction, sigma, t->n);
    }
    sotto_product_flip(m, p, flip, NULL, t->n);
    sotto_write_packed(&x->truncation_flips, flip, t->n, 1);
}

/* A pixel that a decision governs, from its truncation: the client's part in its products with pi, added to those with tau. */
static void client_select(client_section *u, const tile *t, size_t pixel, const sotto_ot *ot, const sotto_block *key, uint64_t key_first,
                          const uint64_t *zero, const uint64_t *step, const uint64_t *tau, choosing *x, workbench *b)
{
    const unsigned m = u->plan->widen, l = u->plan->truncation.l_next;
    const size_t n = t->n;
    uint64_t *const turned = b->w[4], *const correction = b->w[5], *const share = b->w[6], *const product = b->w[7];
    sotto_ot_keys_send(ot, key_first, n, (uint16_t)pixel, key, b->k0, b->k1);
    sotto_select_turn(turned, tau, zero, n);
    sotto_product_send(l, 0, share, correction, turned, b->k0, b->k1, n);
    sotto_write_packed(&x->low, correction, n, l);
    get(&u->shelf[C_PRODUCT_0], t, pixel, product);
    for (size_t i = 0; i < n; i++) {
        product[i] += share[i];
    }
    put(&u->shelf[C_PRODUCT_0], t, pixel, product);
    if (m > 0) { /* under the second words of the same keys */
        sotto_select_turn(turned, tau, step, n);
        sotto_product_send(m, 1, share, correction, turned, b->k0, b->k1, n);
        sotto_write_packed(&x->high, correction, n, m);
        put(&u->shelf[C_PRODUCT_1], t, pixel, share);
    }
}

static void client_sign(client_section *u, const tile *t, const uint8_t *choices, const uint64_t *sum, choosing *x, workbench *b)
{
    const sotto_unit_section *p = u->plan;
    const size_t n = t->n;
    uint64_t *const top = b->w[0], *const r = b->w[1], *const flips = b->w[2], *const tau2 = b->w[4], *const share = b->w[5];
    sotto_sign_top_client(p->window, top, lifted(p, t, sum, b->w[13]), n);
    put(&u->shelf[C_TOP], t, 0, top);
    read_bits(r, choices, t->sign, n, p->signs.u - 1);
    sotto_sign_flips(&p->signs, flips, r, top, n);
    sotto_write_packed(&x->sign_flips, flips, n, p->signs.u - 1);
    if (p->decisions == 2) {
        uint64_t *const correction = b->w[6];
        get(&u->shelf[C_TAU2], t, 0, tau2);
        get(&u->shelf[C_BOUND], t, 0, share);
        sotto_read_packed(&x->bounds, correction, n, p->truncation.l_next);
        sotto_product_correct(p->truncation.l_next, share, correction, tau2, n);
        put(&u->shelf[C_BOUND], t, 0, share);
    }
}

/* A tile from the client's shares c; key: its OTs where it sends. */
static void client_tile(client_section *u, const tile *t, const sotto_ot *ot, const sotto_block *key, uint64_t key_first, const uint8_t *choices,
                        const uint64_t *c, choosing *x, workbench *b)
{
    const sotto_unit_section *plan = u->plan;
    const unsigned m = plan->widen;
    uint64_t *const p = b->w[0], *const zero = b->w[1], *const step = b->w[2], *const tau = b->w[3], *const sum = b->w[12];
    const uint64_t *own = NULL;
    get(&u->shelf[C_TAU], t, 0, tau);
    memset(sum, 0, t->n * sizeof *sum);
    for (size_t pixel = 0; pixel < plan->pixels; pixel++) {
        own = gather(plan, t, pixel, c, b->w[11]);
        if (m > 0) {
            get(&u->shelf[C_PRODUCT_1], t, pixel, p);
            client_truncate(plan, t, pixel, choices, own, p, x, b);
        }
        sotto_truncate_client(plan->truncation, zero, m > 0 ? step : NULL, own, m > 0 ? p : NULL, t->n);
        put(&u->shelf[C_ZERO], t, pixel, zero);
        put(&u->shelf[C_STEP], t, pixel, step);
        if (plan->decisions > 0) {
            client_select(u, t, pixel, ot, key, key_first, zero, step, tau, x, b);
        }
        for (size_t i = 0; plan->pixels > 1 && i < t->n; i++) {
            sum[i] += own[i];
        }
    }
    if (plan->decisions > 0) {
        client_sign(u, t, choices, plan->pixels > 1 ? sum : own, x, b);
    }
}

static int section_choose(client_section *u, sotto_ot *ot, sotto_chan *chan, const uint64_t *c, uint8_t *choice, workbench *b)
{
    const sotto_unit_section *p = u->plan;
    const size_t n = p->count, truncations = truncation_payload(p), payload = truncations + bound_payload(p), most = least(TILE, n);
    const size_t keys = p->decisions > 0 ? most : 0, own = p->client_sums > 0 ? most * unit_ots(p) : 0;
    uint8_t *body = sotto_calloc(payload + p->client_sums, 1);
    sotto_block *key = sotto_calloc(keys + own, sizeof *key);
    int status = body == NULL || key == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", n) : SOTTO_OK;
    if (status == SOTTO_OK && payload + p->client_sums > 0) {
        status = sotto_chan_recv(chan, body, payload + p->client_sums);
    }
    if (status != SOTTO_OK) {
        goto done;
    }
    choosing x = {.truncation_flips = room(&choice, p->pixels, n, p->widen > 0)};
    sotto_reader_init(&x.truncations, body, truncations);
    sotto_reader_init(&x.bounds, body + truncations, payload - truncations);
    if (p->decisions > 0) {
        x.sign_flips = room(&choice, 1, p->signs.ots, 1);
        x.low = room(&choice, p->pixels, n, p->truncation.l_next);
        x.high = room(&choice, p->pixels, n, p->widen);
    }
    for (size_t at = 0; at < n && status == SOTTO_OK; at += TILE) {
        const tile t = tile_of(p, at, 0);
        uint64_t first = 0;
        if (own > 0) {
            status = client_ots(u, at, ot, chan, body + payload + sotto_ot_answer_bytes(p->ot, at * unit_ots(p)), key + keys, b);
        }
        if (p->decisions > 0 && status == SOTTO_OK) {
            status = sotto_ot_give(ot, chan, 1, t.n, key, &first, choice + sotto_ot_answer_bytes(p->ot, at));
        }
        if (status == SOTTO_OK) {
            client_tile(u, &t, ot, key, first, tile_choices(u, at), c, &x, b);
        }
    }
    if (status == SOTTO_OK) {
        status = sotto_reader_finish(&x.truncations, "OT payload of a truncation");
    }
    if (status == SOTTO_OK) {
        status = sotto_reader_finish(&x.bounds, "OT payload of a bound");
    }
done:
    sotto_free(body);
    sotto_free_secret(key, keys + own, sizeof *key);
    sotto_free_secret(u->choices, (p->client_ots + 7) / 8, 1);
    u->choices = NULL;
    return status;
}

int sotto_unit_client_choose(sotto_unit_client *u, sotto_ot *ot, sotto_chan *chan, const uint64_t *c, uint8_t *choice)
{
    workbench *b = NULL;
    int status = bench_new(&b);
    for (size_t i = 0; i < u->plan->section_count && status == SOTTO_OK; i++) {
        status = section_choose(&u->section[i], ot, chan, c, choice, b);
        choice += u->plan->sections[i].bytes.choice;
    }
    bench_free(b);
    return status;
}

/* ---- TABLES ------------------------------------------------------------------------------------------------------- */

int sotto_unit_client_take(sotto_unit_client *u, sotto_chan *chan, size_t *room)
{
    const size_t bytes = u->plan->bytes.table;
    size_t no_limit = SIZE_MAX;
    int status = bytes == 0 ? SOTTO_OK : sotto_spill_new(&u->tables, bytes, room == NULL ? &no_limit : room);
    for (size_t at = 0; at < bytes && status == SOTTO_OK; at += TAKEN_AT_ONCE) {
        status = sotto_chan_recv(chan, u->tables.data + at, least(bytes - at, TAKEN_AT_ONCE));
        sotto_spill_rest(&u->tables);
    }
    return status;
}

/* ---- OFFER, REPLY ------------------------------------------------------------------------------------------------- */

/* Both messages of infer while the client works on them. */
typedef struct exchange {
    sotto_reader d, z;
    const uint8_t *signs, *tables;
    sotto_writer g, g2, w;
} exchange;

/* The bits that select, and for clip g2 and the client's share of b2 (T >> f) less what the server has of it. */
static int client_decide(const client_section *u, const tile *t, exchange *x, uint64_t *bits, uint64_t *added, workbench *b, sotto_block *scratch)
{
    const sotto_unit_section *p = u->plan;
    const size_t n = t->n;
    uint64_t *const top = b->w[12], *const bits2 = b->w[13], *const tau2 = b->w[14];
    uint64_t *const out[2] = {bits, bits2};
    get(&u->shelf[C_TOP], t, 0, top);
    const int status = sotto_sign_open(u->signs, t->at, n, out, x->signs, x->tables, top, scratch);
    if (p->decisions == 2) {
        get(&u->shelf[C_TAU2], t, 0, tau2);
        get(&u->shelf[C_BOUND], t, 0, added);
        for (size_t i = 0; i < n; i++) {
            bits[i] ^= bits2[i];
            bits2[i] ^= tau2[i];
        }
        sotto_write_packed(&x->g2, bits2, n, 1);
        sotto_product_flip(p->truncation.l_next, added, bits2, NULL, n);
    }
    return status;
}

static int reply_tile(const client_section *u, const tile *t, exchange *x, const uint64_t *layer_next, workbench *b, sotto_block *scratch)
{
    const sotto_unit_section *p = u->plan;
    const unsigned l = p->truncation.l_next;
    const size_t n = t->n;
    uint64_t *const d = b->w[0], *const zero = b->w[1], *const step = b->w[2], *const c = b->w[3], *const z = b->w[4], *const w = b->w[5];
    uint64_t *const bits = b->w[6], *const added = b->w[7], *const tau = b->w[8], *const product = b->w[9], *const g = b->w[10];
    int status = SOTTO_OK;
    if (p->decisions > 0) {
        get(&u->shelf[C_TAU], t, 0, tau);
        status = client_decide(u, t, x, bits, added, b, scratch);
    }
    for (size_t pixel = 0; pixel < p->pixels; pixel++) {
        const uint64_t *r_next = gather(p, t, pixel, layer_next, b->w[11]);
        get(&u->shelf[C_ZERO], t, pixel, zero);
        get(&u->shelf[C_STEP], t, pixel, step);
        if (p->widen > 0) {
            sotto_read_packed(&x->d, d, n, 1);
            sotto_truncate_pick(p->truncation, c, zero, step, d, n);
        }
        const uint64_t *own = p->widen > 0 ? c : zero;
        if (p->decisions == 0) {
            for (size_t i = 0; i < n; i++) {
                w[i] = own[i] - r_next[i];
            }
            sotto_write_packed(&x->w, w, n, l);
            continue;
        }
        get(&u->shelf[C_PRODUCT_0], t, pixel, zero == own ? product : zero);
        if (p->widen > 0) {
            get(&u->shelf[C_PRODUCT_1], t, pixel, step);
            sotto_truncate_pick(p->truncation, product, zero, step, d, n);
        }
        sotto_read_packed(&x->z, z, n, l);
        sotto_select_answer(l, g, w, bits, tau, z, own, product, r_next, n);
        for (size_t i = 0; p->decisions == 2 && i < n; i++) {
            w[i] += added[i];
        }
        sotto_write_packed(&x->w, w, n, l);
    }
    if (p->decisions > 0) {
        sotto_write_packed(&x->g, g, n, 1);
    }
    return status;
}

static int section_reply(const client_section *u, uint8_t *reply, const uint8_t *offer, const uint8_t *tables, const uint64_t *r_next, workbench *b)
{
    const sotto_unit_section *p = u->plan;
    const size_t n = p->count;
    const unsigned l = p->truncation.l_next;
    sotto_block *scratch = sotto_calloc(p->signs.scratch, sizeof *scratch);
    if (scratch == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", n);
    }
    sotto_reader r;
    sotto_reader_init(&r, offer, p->bytes.offer);
    exchange x = {.d = part(&r, p->pixels, n, p->widen > 0), .tables = tables};
    if (p->decisions > 0) {
        x.z = part(&r, p->pixels, n, l);
        x.signs = sotto_read_span(&r, p->signs.message_bytes);
        x.g = room(&reply, 1, n, 1);
        x.g2 = room(&reply, 1, n, p->decisions == 2);
    }
    x.w = room(&reply, p->pixels, n, l);
    int status = sotto_reader_finish(&r, "offer of a unit layer");
    for (size_t at = 0; at < n && status == SOTTO_OK; at += TILE) {
        const tile t = {.at = at, .n = least(n - at, TILE)};
        status = reply_tile(u, &t, &x, r_next, b, scratch);
    }
    if (status == SOTTO_OK) {
        status = sotto_reader_finish(&x.d, "offer of a unit layer");
    }
    if (status == SOTTO_OK && p->decisions > 0) {
        status = sotto_reader_finish(&x.z, "offer of a unit layer");
    }
    sotto_free_secret(scratch, p->signs.scratch, sizeof *scratch);
    return status;
}

int sotto_unit_client_reply(sotto_unit_client *u, uint8_t *reply, const uint8_t *offer, const uint64_t *r_next)
{
    uint8_t *to = reply;
    const uint8_t *tables = u->tables.data;
    workbench *b = NULL;
    int status = bench_new(&b);
    for (size_t i = 0; i < u->plan->section_count && status == SOTTO_OK; i++) {
        status = section_reply(&u->section[i], to, offer, tables, r_next, b);
        tables = tables == NULL ? NULL : tables + u->plan->sections[i].bytes.table;
        to += u->plan->sections[i].bytes.reply;
        offer += u->plan->sections[i].bytes.offer;
    }
    if (status != SOTTO_OK) {
        memset(reply, 0, u->plan->bytes.reply);
    }
    sotto_spill_free(&u->tables);
    bench_free(b);
    return status;
}

void sotto_unit_client_free(sotto_unit_client *u)
{
    if (u == NULL) {
        return;
    }
    for (size_t i = 0; i < u->plan->section_count; i++) {
        client_section *s = &u->section[i];
        sotto_sign_client_free(s->signs);
        sotto_free_secret(s->choices, s->choices == NULL ? 0 : (s->plan->client_ots + 7) / 8, 1);
        for (size_t k = 0; k < C_SHELVES; k++) {
            shelf_drop(&s->shelf[k]);
        }
    }
    sotto_spill_free(&u->tables);
    sotto_free_secret(u, 1, sizeof *u + u->plan->section_count * sizeof *u->section);
}
