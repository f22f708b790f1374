#include "nn/secure/unit.h"

#include <string.h>

#include "lib/bytes.h"
#include "lib/ct.h"
#include "lib/mem.h"
#include "ot/product.h"

/* Units are worked on in tiles, so that keys and words of a tile stay in the caches next to the core and their memory is used again. What has to live from one
 * call to the next is stored packed to the bit. */
#define TILE SOTTO_SIGN_TILE

/* Units whose OTs are made in one call. Silent OT goes back and forth in a call: there many at once. Multiples of TILE. */
#define GROUP_SILENT (32 * TILE)

static size_t group_units(const sotto_unit_plan *p)
{
    return p->ot == SOTTO_OT_FERRET ? GROUP_SILENT : TILE;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* OTs of a unit towards the client. */
static size_t unit_ots(const sotto_unit_plan *p)
{
    return (size_t)(p->widen > 0) + (p->sign ? p->signs.u : 0);
}

/* The OTs of the tile at `at` are `first` and following, in blocks of their group: n truncations, n for tau, n (u - 1) for signs. */
typedef struct tile {
    size_t at, n;    /* units */
    size_t ots;      /* before it in the group */
    size_t tau, sign; /* OTs before these, in the tile */
    uint64_t first;
} tile;

static tile tile_of(const sotto_unit_plan *p, size_t group, size_t at, uint64_t group_first)
{
    const size_t n = least(p->count - at, TILE), ots = (at - group) * unit_ots(p), tau = p->widen > 0 ? n : 0;
    return (tile){at, n, ots, tau, tau + n, group_first + ots};
}

/* Bytes of the payload of the truncation OTs, the first part of CORRECTION. */
static size_t payload_bytes(const sotto_unit_plan *p)
{
    return p->widen > 1 ? sotto_packed_bytes(p->count, p->widen - 1) : 0;
}

int sotto_unit_plan_new(sotto_unit_plan *p, const sotto_step_info *step, sotto_sign_provider provider, sotto_ot_kind ot)
{
    memset(p, 0, sizeof *p);
    if (step->op != SOTTO_STEP_UNIT && step->op != SOTTO_STEP_MAX) {
        return sotto_fail(SOTTO_ERR_ARG, "a step that is neither a unit nor a maximum has no unit plan");
    }
    int status = sotto_truncation_check(step->truncation);
    if (status != SOTTO_OK) {
        return status;
    }
    const size_t n = p->count = step->units;
    const unsigned l_next = step->truncation.l_next;
    p->truncation = step->truncation;
    p->ot = ot;
    p->widen = sotto_truncation_widen(step->truncation);
    p->sign = step->sign;
    p->correction_bytes = payload_bytes(p);
    p->choice_bytes = p->widen > 0 ? sotto_packed_bytes(n, 1) : 0;
    p->reply_bytes = sotto_packed_bytes(n, l_next);
    if (p->sign) {
        p->window = step->sign_window;
        status = sotto_sign_plan_new(&p->signs, provider, p->window.k - p->window.j, n);
        if (status != SOTTO_OK) {
            return status;
        }
        p->server_ots = n;
        p->choice_bytes += p->signs.flip_bytes + sotto_packed_bytes(n, l_next) +
                           (p->widen > 0 ? sotto_packed_bytes(n, p->widen) : 0);
        p->table_bytes = p->signs.table_bytes;
        p->offer_bytes = sotto_packed_bytes(n, l_next) + p->signs.message_bytes;
        p->reply_bytes += sotto_packed_bytes(n, 1);
    }
    p->offer_bytes += p->widen > 0 ? sotto_packed_bytes(n, 1) : 0;
    p->client_ots = n * unit_ots(p);
    p->matrix_bytes = sotto_ot_wire_bytes(ot, p->client_ots);
    p->correction_bytes += sotto_ot_wire_bytes(ot, p->server_ots);
    return SOTTO_OK;
}

/* ---- stored words -------------------------------------------------------------------------------------------------------- */

/* `count` words of `width` bits; none when width is 0. */
typedef struct shelf {
    uint8_t *bytes;
    unsigned width;
} shelf;

/* A tile's place; its words are whole bytes but for the layer's last ones. */
static uint8_t *place(const shelf *s, const tile *t)
{
    return s->bytes + t->at / 8 * s->width;
}

static void put(const shelf *s, const tile *t, const uint64_t *words)
{
    if (s->width > 0) {
        sotto_pack(place(s, t), words, t->n, s->width);
    }
}

static void get(const shelf *s, const tile *t, uint64_t *words)
{
    if (s->width > 0) {
        sotto_unpack(words, place(s, t), t->n, s->width);
    }
}

static size_t shelf_bytes(const shelf *s, size_t count)
{
    return s->width > 0 ? sotto_packed_bytes(count, s->width) : 0;
}

/* Memory for the shelves, whose widths are set. */
static int shelves_new(shelf *s, size_t shelves, size_t count)
{
    for (size_t i = 0; i < shelves; i++) {
        s[i].bytes = sotto_calloc(shelf_bytes(&s[i], count), 1);
        if (s[i].bytes == NULL) {
            return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", count);
        }
    }
    return SOTTO_OK;
}

static void shelves_free(shelf *s, size_t shelves, size_t count)
{
    for (size_t i = 0; i < shelves; i++) {
        sotto_free_secret(s[i].bytes, shelf_bytes(&s[i], count), 1);
    }
}

/* A part of a message, or of the packed choices: like shelves, but with the checks of sotto_reader, whose status counts in the end. */
static sotto_reader part(sotto_reader *r, size_t count, unsigned width)
{
    sotto_reader out;
    const size_t bytes = width > 0 ? sotto_packed_bytes(count, width) : 0;
    const uint8_t *data = sotto_read_span(r, bytes);
    sotto_reader_init(&out, data, data == NULL ? 0 : bytes);
    return out;
}

static sotto_writer room(uint8_t **to, size_t count, unsigned width)
{
    sotto_writer out;
    const size_t bytes = width > 0 ? sotto_packed_bytes(count, width) : 0;
    sotto_writer_init(&out, *to, bytes);
    *to += bytes;
    return out;
}

/* n words of `width` bits from bit `first` on. */
static void read_bits(uint64_t *words, const uint8_t *bits, size_t first, size_t n, unsigned width)
{
    if (first % 8 == 0) {
        sotto_unpack(words, bits + first / 8, n, width);
        return;
    }
    for (size_t i = 0; i < n; i++) { /* the last tile of a layer */
        words[i] = 0;
        for (unsigned j = 0; j < width; j++, first++) {
            words[i] |= (uint64_t)sotto_bit(bits, first) << j;
        }
    }
}

/* Memory of a call to work in; wiped. */
typedef struct workbench {
    sotto_block k0[TILE], k1[TILE];
    uint64_t w[12][TILE];
} workbench;

static int bench_new(workbench **out)
{
    *out = sotto_calloc(1, sizeof **out);
    return *out != NULL ? SOTTO_OK : sotto_fail(SOTTO_ERR_MEMORY, "no memory for a tile of units");
}

static void bench_free(workbench *b)
{
    sotto_free_secret(b, 1, sizeof *b);
}

/* ---- client ---------------------------------------------------------------------------------------------------- */

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

/* ---- server ---------------------------------------------------------------------------------------------------- */

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

int sotto_unit_server_ready(sotto_unit_server *u, const sotto_ot *ot, const uint8_t *choice, uint8_t *tables)
{
    const sotto_unit_plan *p = &u->plan;
    const size_t n = p->count;
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
    }
    const sotto_reader *const all[] = {&in.truncation_flips, &in.sign_flips, &in.low, &in.high};
    for (size_t i = 0; i < (p->sign ? 4 : 1) && status == SOTTO_OK; i++) {
        status = sotto_reader_finish(all[i], "choices of a unit layer");
    }
    drop(&u->shelf[S_Q_0], n);
done:
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
    const int status = bench_new(&b);
    if (status != SOTTO_OK) {
        return status;
    }
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
