#include "nn/secure/poly.h"

#include <string.h>

#include "lib/bytes.h"
#include "lib/ct.h"
#include "lib/mem.h"
#include "ot/product.h"

/* Values worked on at once: their OTs, up to 60 each, are half a megabyte at most. */
#define TILE ((size_t)512)
/* A channel's OTs have one block of keys for every two of its values, 2^16 blocks at most. */
#define AREA_MAX ((size_t)1 << 17)

/* ---- plan --------------------------------------------------------------------------------------------------------- */

static size_t tile_size(const sotto_poly_section *s, size_t at)
{
    return s->count - at < TILE ? s->count - at : TILE;
}

/* Bytes of the corrections for n values: of the bits `first` and following, bit i with l - i bits. */
static size_t correction_bytes(unsigned l, unsigned first, unsigned bits, size_t n)
{
    size_t sum = 0;
    for (unsigned i = first; i < bits && i < l; i++) {
        sum += sotto_packed_bytes(n, l - i);
    }
    return sum;
}

/* Bits of C_d that reach the ring. */
static unsigned top_bits(const sotto_poly_plan *p)
{
    return p->bits < p->l ? p->bits : p->l;
}

static size_t product_bytes(const sotto_poly_plan *p, size_t n)
{
    return correction_bytes(p->l, 1, p->l, n);
}

static size_t top_bytes(const sotto_poly_plan *p, size_t n)
{
    return correction_bytes(p->l, 0, top_bits(p), n);
}

static void section_sizes(const sotto_poly_plan *p, sotto_poly_section *s)
{
    const size_t powers = s->degree - 1;
    sotto_unit_bytes *b = &s->bytes;
    s->client_ots = s->count * powers * p->l;
    s->server_ots = s->channels * top_bits(p);
    for (size_t at = 0; at < s->count; at += TILE) {
        const size_t n = tile_size(s, at);
        b->matrix += powers * sotto_ot_wire_bytes(p->ot, n * p->l, 0);
        s->client_sums += powers * sotto_ot_answer_bytes(p->ot, n * p->l);
        s->payload += powers * product_bytes(p, n);
        b->choice += top_bytes(p, n);
        b->offer += powers * sotto_packed_bytes(n, p->l);
    }
    s->server_sums = sotto_ot_answer_bytes(p->ot, s->server_ots);
    b->correction = s->payload + s->client_sums + sotto_ot_wire_bytes(p->ot, s->server_ots, 0);
    b->choice += s->server_sums;
}

int sotto_poly_plan_new(sotto_poly_plan *p, const sotto_step_info *step, sotto_ot_kind ot)
{
    memset(p, 0, sizeof *p);
    if (step->op != SOTTO_STEP_POLY || step->l < 2 || step->l > 60 || step->poly_bits < 2 || step->poly_bits > SOTTO_POLY_BITS_MAX) {
        return sotto_fail(SOTTO_ERR_ARG, "a step that is no polynomial, or one without ring or bits, has no plan of a polynomial");
    }
    *p = (sotto_poly_plan){.degree = step->degree, .words = step->words, .area = (size_t)step->shape.h * step->shape.w, .l = step->l,
                           .bits = step->poly_bits, .shift = step->shift[0], .ot = ot};
    if (p->area > AREA_MAX) {
        memset(p, 0, sizeof *p);
        return sotto_fail(SOTTO_ERR_PARAMS, "polynomials on channels of %zu values: at most %zu are possible", (size_t)step->shape.h * step->shape.w, AREA_MAX);
    }
    p->channel = sotto_calloc(step->shape.c, sizeof *p->channel);
    if (p->channel == NULL) {
        memset(p, 0, sizeof *p);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the plan of %zu polynomials", step->words);
    }
    size_t used = 0;
    for (unsigned degree = 2; degree <= 3; degree++) {
        sotto_poly_section s = {.degree = degree, .channel = p->channel + used};
        for (uint32_t c = 0; c < step->shape.c; c++) {
            if (p->degree[c] == degree) {
                p->channel[used++] = c;
                s.channels++;
            }
        }
        s.count = s.channels * p->area;
        if (s.channels > 0) {
            section_sizes(p, &s);
            p->bytes.matrix += s.bytes.matrix;
            p->bytes.correction += s.bytes.correction;
            p->bytes.choice += s.bytes.choice;
            p->bytes.offer += s.bytes.offer;
            p->client_sums += s.client_sums;
            p->server_sums += s.server_sums;
            p->section[p->sections++] = s;
        }
    }
    return SOTTO_OK;
}

void sotto_poly_plan_free(sotto_poly_plan *p)
{
    sotto_free(p->channel);
    memset(p, 0, sizeof *p);
}

/* ---- common ------------------------------------------------------------------------------------------------------- */

/* Values at .. at + n of a section in runs, each within a channel. */
typedef struct run {
    size_t channel; /* of the section */
    size_t from, n; /* values of the channel */
    size_t place;   /* of the first in the layer */
} run;

static run run_at(const sotto_poly_plan *p, const sotto_poly_section *s, size_t at, size_t end)
{
    const size_t channel = at / p->area, from = at - channel * p->area, left = p->area - from;
    return (run){channel, from, end - at < left ? end - at : left, s->channel[channel] * p->area + from};
}

static void gather(const sotto_poly_plan *p, const sotto_poly_section *s, size_t at, size_t n, const uint64_t *layer, uint64_t *out)
{
    for (size_t i = 0; i < n;) {
        const run r = run_at(p, s, at + i, at + n);
        memcpy(out + i, layer + r.place, r.n * sizeof *out);
        i += r.n;
    }
}

/* The way back, reduced. */
static void scatter(const sotto_poly_plan *p, const sotto_poly_section *s, size_t at, size_t n, uint64_t *layer, const uint64_t *in)
{
    for (size_t i = 0; i < n;) {
        const run r = run_at(p, s, at + i, at + n);
        for (size_t k = 0; k < r.n; k++) {
            layer[r.place + k] = sotto_low_bits(in[i++], p->l);
        }
    }
}

/* x^j. */
static void raise_to(uint64_t *power, const uint64_t *x, unsigned j, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t product = x[i];
        for (unsigned k = 1; k < j; k++) {
            product *= x[i];
        }
        power[i] = product;
    }
}

/* sum += +-2^i share, minus for the highest bit of two's complement. */
static void add_bit(uint64_t *sum, const uint64_t *share, unsigned i, int negative, size_t n)
{
    const uint64_t weight = negative ? 0 - (UINT64_C(1) << i) : UINT64_C(1) << i;
    for (size_t k = 0; k < n; k++) {
        sum[k] += weight * share[k];
    }
}

typedef struct desk { /* wiped */
    sotto_block k0[TILE], k1[TILE];
    uint64_t x[TILE], power[TILE], sum[TILE], share[TILE], word[TILE], bit[TILE];
    uint64_t top[SOTTO_POLY_BITS_MAX][TILE]; /* corrections for each bit of C_d */
} desk;

static int desk_new(desk **out)
{
    *out = sotto_calloc(1, sizeof **out);
    return *out != NULL ? SOTTO_OK : sotto_fail(SOTTO_ERR_MEMORY, "no memory for a tile of polynomials");
}

static void desk_free(desk *d)
{
    sotto_free_secret(d, 1, sizeof *d);
}

/* Channels 0 and 1 of degree, on a share. */
static void local_channels(const sotto_poly_plan *p, uint64_t *out, const uint64_t *in)
{
    for (size_t c = 0; c * p->area < p->words; c++) {
        for (size_t i = c * p->area; p->degree[c] < 2 && i < (c + 1) * p->area; i++) {
            out[i] = p->degree[c] == 1 ? sotto_low_bits(in[i] << p->shift, p->l) : 0;
        }
    }
}

static int silent(const sotto_poly_plan *p)
{
    return p->ot == SOTTO_OT_FERRET;
}

static int no_memory(const sotto_poly_plan *p)
{
    return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu polynomials", p->words);
}

/* ---- client ------------------------------------------------------------------------------------------------------- */

struct sotto_poly_client {
    const sotto_poly_plan *plan;
    const uint64_t *rho;
    uint64_t *sum; /* shares of sum rho^j V_j + C_d rho^d, section after section */
    size_t values;
};

static size_t plan_values(const sotto_poly_plan *p)
{
    size_t values = 0;
    for (size_t k = 0; k < p->sections; k++) {
        values += p->section[k].count;
    }
    return values;
}

/* The choices of one power of a tile: bit i of value v is number i n + v. */
static void power_choices(const sotto_poly_plan *p, size_t n, const uint64_t *power, uint8_t *choices)
{
    memset(choices, 0, (n * p->l + 7) / 8);
    for (unsigned i = 0; i < p->l; i++) {
        for (size_t v = 0; v < n; v++) {
            sotto_bit_or(choices, i * n + v, (unsigned)(power[v] >> i & 1));
        }
    }
}

/* What the keys of these OTs are to the client: with their matrix, or where they are silent with the server's sums. */
static int client_power(const sotto_poly_plan *p, size_t n, sotto_ot *ot, sotto_chan *chan, const uint8_t *sums, const uint8_t *choices, uint64_t *sum,
                        sotto_block *key, desk *d)
{
    uint64_t first;
    const int status = silent(p) ? sotto_ot_take(ot, sums, NULL, n * p->l, key, &first) : sotto_ot_recv(ot, chan, choices, n * p->l, key, &first);
    for (unsigned i = 0; i < p->l && status == SOTTO_OK; i++) {
        sotto_ot_keys_recv(ot, first + i * n, n, 0, key + i * n, d->k0);
        sotto_product_recv(p->l - i, 0, d->share, NULL, NULL, d->k0, n);
        add_bit(sum, d->share, i, 0, n);
    }
    return status;
}

int sotto_poly_client_new(sotto_poly_client **out, const sotto_poly_plan *p, sotto_ot *ot, sotto_chan *chan, const uint64_t *rho)
{
    const size_t ots = TILE * p->l;
    sotto_poly_client *u = sotto_calloc(1, sizeof *u);
    sotto_block *key = sotto_calloc(ots, sizeof *key);
    uint8_t *choices = sotto_calloc((ots + 7) / 8, 1);
    desk *d = NULL;
    int status = desk_new(&d);
    if (u != NULL) {
        *u = (sotto_poly_client){p, rho, sotto_calloc(plan_values(p), sizeof *u->sum), plan_values(p)};
    }
    if (u == NULL || u->sum == NULL || key == NULL || choices == NULL) {
        status = no_memory(p);
    }
    size_t done = 0;
    for (size_t k = 0; k < p->sections && status == SOTTO_OK; k++) {
        const sotto_poly_section *s = &p->section[k];
        for (size_t at = 0; at < s->count && status == SOTTO_OK; at += TILE) {
            const size_t n = tile_size(s, at);
            gather(p, s, at, n, rho, d->x);
            for (unsigned j = 1; j < s->degree && status == SOTTO_OK; j++) {
                raise_to(d->power, d->x, j, n);
                power_choices(p, n, d->power, choices);
                status = silent(p) ? sotto_ot_ask(ot, chan, choices, n * p->l) : client_power(p, n, ot, chan, NULL, choices, u->sum + done + at, key, d);
            }
        }
        done += s->count;
    }
    sotto_free_secret(key, ots, sizeof *key);
    sotto_free_secret(choices, (ots + 7) / 8, 1);
    desk_free(d);
    if (status != SOTTO_OK) {
        sotto_poly_client_free(u);
        u = NULL;
    }
    *out = u;
    return status;
}

/* What the server's corrections for the OTs of a tile change. */
static void client_correct(const sotto_poly_plan *p, unsigned degree, size_t n, sotto_reader *payload, uint64_t *sum, desk *d)
{
    for (unsigned j = 1; j < degree; j++) {
        raise_to(d->power, d->x, j, n);
        for (unsigned i = 1; i < p->l; i++) {
            sotto_read_packed(payload, d->word, n, p->l - i);
            for (size_t v = 0; v < n; v++) {
                d->share[v] = 0;
                d->bit[v] = d->power[v] >> i & 1;
            }
            sotto_product_correct(p->l - i, d->share, d->word, d->bit, n);
            add_bit(sum, d->share, i, 0, n);
        }
    }
}

/* The client's part in C_d rho^d, and its corrections. key: OTs of the section, by channels; first: number of its first. */
static void client_top(const sotto_poly_plan *p, const sotto_poly_section *s, size_t at, size_t n, const sotto_ot *ot, const sotto_block *key, uint64_t first,
                       sotto_writer *choice, uint64_t *sum, desk *d)
{
    const unsigned bits = top_bits(p);
    uint64_t number[SOTTO_POLY_BITS_MAX], share[SOTTO_POLY_BITS_MAX], correction[SOTTO_POLY_BITS_MAX];
    raise_to(d->power, d->x, s->degree, n);
    for (size_t v = 0; v < n;) {
        const run r = run_at(p, s, at + v, at + n);
        const size_t ots = r.channel * bits;
        for (size_t k = r.from; k < r.from + r.n; k++, v++) {
            if (k == r.from || k % 2 == 0) {
                sotto_ot_keys_send(ot, first + ots, bits, (uint16_t)(k / 2), key + ots, d->k0, d->k1);
            }
            for (unsigned i = 0; i < bits; i++) {
                number[i] = d->power[v];
            }
            sotto_product_send(p->l, k % 2, share, correction, number, d->k0, d->k1, bits);
            for (unsigned i = 0; i < bits; i++) {
                d->top[i][v] = correction[i];
                add_bit(&sum[v], &share[i], i, i + 1 == p->bits, 1);
            }
        }
    }
    for (unsigned i = 0; i < bits; i++) {
        sotto_write_packed(choice, d->top[i], n, p->l - i);
    }
    sotto_wipe(number, sizeof number);
    sotto_wipe(share, sizeof share);
}

static int client_section(sotto_poly_client *u, const sotto_poly_section *s, sotto_ot *ot, sotto_chan *chan, uint64_t *sum, sotto_writer *choice, desk *d)
{
    const sotto_poly_plan *p = u->plan;
    const size_t own = silent(p) ? TILE * p->l : 0;
    uint8_t *body = sotto_calloc(s->payload + s->client_sums, 1), *answer = sotto_calloc(s->server_sums, 1);
    sotto_block *key = sotto_calloc(s->server_ots + own, sizeof *key);
    uint64_t first;
    int status = body == NULL || answer == NULL || key == NULL ? no_memory(p) : sotto_chan_recv(chan, body, s->payload + s->client_sums);
    if (status == SOTTO_OK) {
        status = sotto_ot_give(ot, chan, 0, s->server_ots, key, &first, answer);
    }
    sotto_reader r;
    sotto_reader_init(&r, body, s->payload);
    const uint8_t *sums = body != NULL ? body + s->payload : NULL;
    for (size_t at = 0; at < s->count && status == SOTTO_OK; at += TILE) {
        const size_t n = tile_size(s, at);
        gather(p, s, at, n, u->rho, d->x);
        for (unsigned j = 1; own > 0 && j < s->degree && status == SOTTO_OK; j++) {
            status = client_power(p, n, ot, chan, sums, NULL, sum + at, key + s->server_ots, d);
            sums += sotto_ot_answer_bytes(p->ot, n * p->l);
        }
        if (status == SOTTO_OK) {
            client_correct(p, s->degree, n, &r, sum + at, d);
            client_top(p, s, at, n, ot, key, first, choice, sum + at, d);
        }
    }
    sotto_write_bytes(choice, answer, s->server_sums);
    if (status == SOTTO_OK) {
        status = sotto_reader_finish(&r, "OT payload of a polynomial");
    }
    sotto_free(body);
    sotto_free(answer);
    sotto_free_secret(key, s->server_ots + own, sizeof *key);
    return status;
}

int sotto_poly_client_choose(sotto_poly_client *u, sotto_ot *ot, sotto_chan *chan, uint8_t *choice)
{
    const sotto_poly_plan *p = u->plan;
    sotto_writer w;
    desk *d = NULL;
    int status = desk_new(&d);
    sotto_writer_init(&w, choice, p->bytes.choice);
    uint64_t *sum = u->sum;
    for (size_t k = 0; k < p->sections && status == SOTTO_OK; k++) {
        status = client_section(u, &p->section[k], ot, chan, sum, &w, d);
        sum += p->section[k].count;
    }
    desk_free(d);
    return status;
}

int sotto_poly_client_open(sotto_poly_client *u, uint64_t *c, const uint8_t *offer)
{
    const sotto_poly_plan *p = u->plan;
    sotto_reader r;
    desk *d = NULL;
    int status = desk_new(&d);
    sotto_reader_init(&r, offer, p->bytes.offer);
    local_channels(p, c, u->rho);
    const uint64_t *sum = u->sum;
    for (size_t k = 0; k < p->sections && status == SOTTO_OK; k++) {
        const sotto_poly_section *s = &p->section[k];
        for (size_t at = 0; at < s->count; at += TILE) {
            const size_t n = tile_size(s, at);
            gather(p, s, at, n, u->rho, d->x);
            memcpy(d->sum, sum + at, n * sizeof *sum);
            for (unsigned j = 1; j < s->degree; j++) {
                sotto_read_packed(&r, d->word, n, p->l);
                raise_to(d->power, d->x, j, n);
                for (size_t v = 0; v < n; v++) {
                    d->sum[v] += d->power[v] * d->word[v];
                }
            }
            scatter(p, s, at, n, c, d->sum);
        }
        sum += s->count;
    }
    if (status == SOTTO_OK) {
        status = sotto_reader_finish(&r, "offer of a layer of polynomials");
    }
    if (status != SOTTO_OK) {
        memset(c, 0, p->words * sizeof *c);
    }
    desk_free(d);
    return status;
}

void sotto_poly_client_free(sotto_poly_client *u)
{
    if (u == NULL) {
        return;
    }
    sotto_free_secret(u->sum, u->values, sizeof *u->sum);
    sotto_free_secret(u, 1, sizeof *u);
}

/* ---- server ------------------------------------------------------------------------------------------------------- */

struct sotto_poly_server {
    const sotto_poly_plan *plan;
    const int64_t *coefficients;
    uint64_t *sum;    /* as at the client */
    uint64_t *mask;   /* V_j: sections one after the other, of each [power][value] */
    uint8_t *payload; /* until it is sent: of each section the corrections, then the sums of silent OT */
    size_t values, masks, payload_bytes;
    int offered; /* each V_j masks one message */
};

static const int64_t *terms_of(const sotto_poly_server *u, const sotto_poly_section *s, size_t channel)
{
    return u->coefficients + (size_t)s->channel[channel] * SOTTO_POLY_TERMS;
}

static int server_power(const sotto_poly_plan *p, size_t n, sotto_ot *ot, sotto_chan *chan, uint64_t *mask, uint64_t *sum, sotto_writer *payload, uint8_t *answer,
                        sotto_block *key, desk *d)
{
    uint64_t first;
    const int status = sotto_ot_give(ot, chan, 0, n * p->l, key, &first, answer);
    for (unsigned i = 0; i < p->l && status == SOTTO_OK; i++) {
        sotto_ot_keys_send(ot, first + i * n, n, 0, key + i * n, d->k0, d->k1);
        if (i == 0) {
            sotto_product_send_random(p->l, 0, d->share, mask, d->k0, d->k1, n);
        } else {
            sotto_product_send(p->l - i, 0, d->share, d->word, mask, d->k0, d->k1, n);
            sotto_write_packed(payload, d->word, n, p->l - i);
        }
        add_bit(sum, d->share, i, 0, n);
    }
    return status;
}

static int server_begin(sotto_poly_server *u, const sotto_poly_plan *p, const int64_t *coefficients)
{
    *u = (sotto_poly_server){.plan = p, .coefficients = coefficients, .values = plan_values(p)};
    for (size_t k = 0; k < p->sections; k++) {
        const sotto_poly_section *s = &p->section[k];
        u->masks += s->count * (s->degree - 1);
        u->payload_bytes += s->payload + s->client_sums;
    }
    u->sum = sotto_calloc(u->values, sizeof *u->sum);
    u->mask = sotto_calloc(u->masks, sizeof *u->mask);
    u->payload = sotto_calloc(u->payload_bytes, 1);
    return u->sum == NULL || u->mask == NULL || u->payload == NULL ? no_memory(p) : SOTTO_OK;
}

int sotto_poly_server_new(sotto_poly_server **out, const sotto_poly_plan *p, sotto_ot *ot, sotto_chan *chan, const int64_t *coefficients)
{
    const size_t ots = TILE * p->l;
    sotto_poly_server *u = sotto_calloc(1, sizeof *u);
    sotto_block *key = sotto_calloc(ots, sizeof *key);
    desk *d = NULL;
    int status = desk_new(&d);
    if (u == NULL || key == NULL) {
        status = no_memory(p);
    }
    if (status == SOTTO_OK) {
        status = server_begin(u, p, coefficients);
    }
    if (status == SOTTO_OK) {
        uint8_t *payload = u->payload;
        uint64_t *sum = u->sum, *mask = u->mask;
        for (size_t k = 0; k < p->sections && status == SOTTO_OK; k++) {
            const sotto_poly_section *s = &p->section[k];
            uint8_t *answer = payload + s->payload;
            sotto_writer w;
            sotto_writer_init(&w, payload, s->payload);
            for (size_t at = 0; at < s->count && status == SOTTO_OK; at += TILE) {
                const size_t n = tile_size(s, at);
                for (unsigned j = 1; j < s->degree && status == SOTTO_OK; j++) {
                    status = server_power(p, n, ot, chan, mask + (j - 1) * s->count + at, sum + at, &w, answer, key, d);
                    answer += sotto_ot_answer_bytes(p->ot, n * p->l);
                }
            }
            payload += s->payload + s->client_sums;
            sum += s->count;
            mask += s->count * (s->degree - 1);
        }
    }
    sotto_free_secret(key, ots, sizeof *key);
    desk_free(d);
    if (status != SOTTO_OK) {
        sotto_poly_server_free(u);
        u = NULL;
    }
    *out = u;
    return status;
}

/* The bits of C_d of a section's channels, packed. */
static uint8_t *section_choices(const sotto_poly_server *u, const sotto_poly_section *s)
{
    const unsigned bits = top_bits(u->plan);
    uint8_t *choices = sotto_calloc((s->server_ots + 7) / 8, 1);
    for (size_t c = 0; c < s->channels && choices != NULL; c++) {
        const uint64_t top = (uint64_t)terms_of(u, s, c)[s->degree];
        for (unsigned i = 0; i < bits; i++) {
            sotto_bit_or(choices, c * bits + i, (unsigned)(top >> i & 1));
        }
    }
    return choices;
}

/* The OTs of a section with these choices, by their matrix or the client's sums, and what their keys are to every value of the channel. */
static int server_top(const sotto_poly_server *u, const sotto_poly_section *s, sotto_ot *ot, sotto_chan *chan, const uint8_t *choices, const uint8_t *sums, uint64_t *sum,
                      desk *d)
{
    const sotto_poly_plan *p = u->plan;
    const unsigned bits = top_bits(p);
    uint64_t first, share[SOTTO_POLY_BITS_MAX];
    sotto_block *key = sotto_calloc(s->server_ots, sizeof *key);
    int status = key == NULL ? no_memory(p)
                 : silent(p) ? sotto_ot_take(ot, sums, NULL, s->server_ots, key, &first)
                             : sotto_ot_recv(ot, chan, choices, s->server_ots, key, &first);
    for (size_t c = 0; c < s->channels && status == SOTTO_OK; c++) {
        for (size_t v = 0; v < p->area; v++) {
            if (v % 2 == 0) {
                sotto_ot_keys_recv(ot, first + c * bits, bits, (uint16_t)(v / 2), key + c * bits, d->k0);
            }
            sotto_product_recv(p->l, v % 2, share, NULL, NULL, d->k0, bits);
            for (unsigned i = 0; i < bits; i++) {
                add_bit(&sum[c * p->area + v], &share[i], i, i + 1 == p->bits, 1);
            }
        }
    }
    sotto_wipe(share, sizeof share);
    sotto_free_secret(key, s->server_ots, sizeof *key);
    return status;
}

static int section_correct(const sotto_poly_server *u, const sotto_poly_section *s, sotto_ot *ot, sotto_chan *chan, const uint8_t *payload, uint64_t *sum, desk *d)
{
    uint8_t *choices = section_choices(u, s);
    int status = choices == NULL ? no_memory(u->plan) : sotto_chan_send(chan, payload, s->payload + s->client_sums);
    if (status == SOTTO_OK) {
        status = silent(u->plan) ? sotto_ot_ask(ot, chan, choices, s->server_ots) : server_top(u, s, ot, chan, choices, NULL, sum, d);
    }
    sotto_free_secret(choices, (s->server_ots + 7) / 8, 1);
    return status;
}

int sotto_poly_server_correct(sotto_poly_server *u, sotto_ot *ot, sotto_chan *chan)
{
    const sotto_poly_plan *p = u->plan;
    const uint8_t *payload = u->payload;
    desk *d = NULL;
    int status = desk_new(&d);
    uint64_t *sum = u->sum;
    for (size_t k = 0; k < p->sections && status == SOTTO_OK; k++) {
        const sotto_poly_section *s = &p->section[k];
        status = section_correct(u, s, ot, chan, payload, sum, d);
        payload += s->payload + s->client_sums;
        sum += s->count;
    }
    sotto_free_secret(u->payload, u->payload_bytes, 1);
    u->payload = NULL;
    desk_free(d);
    return status;
}

/* Bit i of C_d of each value of a tile. */
static void top_choices(const sotto_poly_server *u, const sotto_poly_section *s, size_t at, size_t n, unsigned i, uint64_t *bit)
{
    for (size_t v = 0; v < n;) {
        const run r = run_at(u->plan, s, at + v, at + n);
        const uint64_t choice = (uint64_t)terms_of(u, s, r.channel)[s->degree] >> i & 1;
        for (size_t end = v + r.n; v < end; v++) {
            bit[v] = choice;
        }
    }
}

int sotto_poly_server_ready(sotto_poly_server *u, sotto_ot *ot, const uint8_t *choice)
{
    const sotto_poly_plan *p = u->plan;
    sotto_reader r;
    desk *d = NULL;
    int status = desk_new(&d);
    sotto_reader_init(&r, choice, p->bytes.choice);
    uint64_t *sum = u->sum;
    for (size_t k = 0; k < p->sections && status == SOTTO_OK; k++) {
        const sotto_poly_section *s = &p->section[k];
        for (size_t at = 0; at < s->count; at += TILE) {
            const size_t n = tile_size(s, at);
            for (unsigned i = 0; i < top_bits(p); i++) {
                sotto_read_packed(&r, d->word, n, p->l - i);
                top_choices(u, s, at, n, i, d->bit);
                memset(d->share, 0, n * sizeof *d->share);
                sotto_product_correct(p->l - i, d->share, d->word, d->bit, n);
                add_bit(sum + at, d->share, i, i + 1 == p->bits, n);
            }
        }
        const uint8_t *sums = sotto_read_span(&r, s->server_sums);
        if (s->server_sums > 0) {
            status = sums != NULL ? server_top(u, s, ot, NULL, NULL, sums, sum, d) : r.status;
        }
        sum += s->count;
    }
    if (status == SOTTO_OK) {
        status = sotto_reader_finish(&r, "choices of a layer of polynomials");
    }
    desk_free(d);
    return status;
}

/* out = c_j(x) by Horner's rule. */
static void derive(const sotto_poly_server *u, const sotto_poly_section *s, size_t at, size_t n, unsigned j, uint64_t *out, const uint64_t *x)
{
    static const uint64_t binomial[SOTTO_POLY_TERMS][SOTTO_POLY_TERMS] = {{1}, {1, 1}, {1, 2, 1}, {1, 3, 3, 1}};
    for (size_t v = 0; v < n;) {
        const run r = run_at(u->plan, s, at + v, at + n);
        const int64_t *term = terms_of(u, s, r.channel);
        for (size_t end = v + r.n; v < end; v++) {
            uint64_t sum = 0;
            for (unsigned i = s->degree + 1; i-- > j;) {
                sum = sum * x[v] + (uint64_t)term[i] * binomial[i][j];
            }
            out[v] = sum;
        }
    }
}

int sotto_poly_server_offer(sotto_poly_server *u, uint8_t *offer, uint64_t *a, const uint64_t *e)
{
    const sotto_poly_plan *p = u->plan;
    sotto_writer w;
    desk *d = NULL;
    if (u->offered) {
        return sotto_fail(SOTTO_ERR_USED, "an offer from polynomials that have made theirs: prepared material is used once");
    }
    const int status = desk_new(&d);
    if (status != SOTTO_OK) {
        return status;
    }
    u->offered = 1;
    sotto_writer_init(&w, offer, p->bytes.offer);
    local_channels(p, a, e);
    const uint64_t *sum = u->sum, *mask = u->mask;
    for (size_t k = 0; k < p->sections; k++) {
        const sotto_poly_section *s = &p->section[k];
        for (size_t at = 0; at < s->count; at += TILE) {
            const size_t n = tile_size(s, at);
            gather(p, s, at, n, e, d->x);
            for (unsigned j = 1; j < s->degree; j++) {
                derive(u, s, at, n, j, d->word, d->x);
                for (size_t v = 0; v < n; v++) {
                    d->word[v] -= mask[(j - 1) * s->count + at + v];
                }
                sotto_write_packed(&w, d->word, n, p->l);
            }
            derive(u, s, at, n, 0, d->word, d->x);
            for (size_t v = 0; v < n; v++) {
                d->word[v] += sum[at + v];
            }
            scatter(p, s, at, n, a, d->word);
        }
        sum += s->count;
        mask += s->count * (s->degree - 1);
    }
    desk_free(d);
    return SOTTO_OK;
}

void sotto_poly_server_free(sotto_poly_server *u)
{
    if (u == NULL) {
        return;
    }
    sotto_free_secret(u->sum, u->values, sizeof *u->sum);
    sotto_free_secret(u->mask, u->masks, sizeof *u->mask);
    sotto_free_secret(u->payload, u->payload_bytes, 1);
    sotto_free_secret(u, 1, sizeof *u);
}
