/* Inside nn/secure: what both parties' halves of a unit layer stand on: tiles, packed storage, parts of messages. All of it knows one section (unit.h). */
#ifndef SOTTO_NN_SECURE_UNIT_INTERNAL_H
#define SOTTO_NN_SECURE_UNIT_INTERNAL_H

#include <string.h>

#include "lib/bytes.h"
#include "lib/ct.h"
#include "lib/mem.h"
#include "nn/secure/unit.h"
#include "ot/product.h"

/* Units are worked on in tiles, so that keys and words of a tile stay in the caches next to the core and their memory is used again. What has to live from one
 * call to the next is stored packed to the bit. */
#define TILE SOTTO_SIGN_TILE

/* Whether the client's keys are there only after CORRECTION, and the server's after CHOICE. */
static inline int silent(const sotto_unit_section *p)
{
    return p->ot == SOTTO_OT_FERRET;
}

static inline size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* OTs of a unit towards the client. */
static inline size_t unit_ots(const sotto_unit_section *p)
{
    return (p->widen > 0 ? p->pixels : 0) + (p->decisions > 0 ? p->decisions + p->signs.u - 1 : 0);
}

/* The OTs of the tile at `at` are `first` and following: n truncations for each pixel, n for tau, n for tau2 with clip, n (u - 1) for signs. All tiles but the last fill
 * their trees of silent OT. */
typedef struct tile {
    size_t at, n;           /* units */
    size_t tau, tau2, sign; /* OTs before these, in the tile */
    uint64_t first;
} tile;

static inline tile tile_of(const sotto_unit_section *p, size_t at, uint64_t first)
{
    const size_t n = least(p->count - at, TILE), tau = p->widen > 0 ? p->pixels * n : 0, tau2 = tau + n;
    return (tile){at, n, tau, tau2, p->decisions == 2 ? tau2 + n : tau2, first};
}

/* Bytes of the parts of CORRECTION that come first: payloads of the truncation OTs and of those of tau2. */
static inline size_t truncation_payload(const sotto_unit_section *p)
{
    return p->widen > 1 ? p->pixels * sotto_packed_bytes(p->count, p->widen - 1) : 0;
}

static inline size_t bound_payload(const sotto_unit_section *p)
{
    return p->decisions == 2 ? sotto_packed_bytes(p->count, p->truncation.l_next) : 0;
}

/* Words of a pixel of a tile: in place where the section has them in order, else gathered into `room`. */
static inline const uint64_t *gather(const sotto_unit_section *p, const tile *t, size_t pixel, const uint64_t *layer, uint64_t *room)
{
    if (p->value == NULL) {
        return layer + t->at;
    }
    const uint32_t *place = p->value + pixel * p->count + t->at;
    for (size_t i = 0; i < t->n; i++) {
        room[i] = layer[place[i]];
    }
    return room;
}

/* The way back, for a section that has places. */
static inline void scatter(const sotto_unit_section *p, const tile *t, size_t pixel, uint64_t *layer, const uint64_t *words)
{
    const uint32_t *place = p->value + pixel * p->count + t->at;
    for (size_t i = 0; i < t->n; i++) {
        layer[place[i]] = words[i];
    }
}

/* ---- stored words -------------------------------------------------------------------------------------------------------- */

/* `planes` words of `width` bits for each of `count` units; none when width is 0. By tiles, and in each by planes, as messages are. */
typedef struct shelf {
    uint8_t *bytes;
    size_t planes, count;
    unsigned width;
} shelf;

/* A plane of a tile; its words are whole bytes but for the section's last ones. */
static inline uint8_t *place(const shelf *s, const tile *t, size_t plane)
{
    return s->bytes + t->at / 8 * s->width * s->planes + plane * sotto_packed_bytes(t->n, s->width);
}

static inline void put(const shelf *s, const tile *t, size_t plane, const uint64_t *words)
{
    if (s->width > 0) {
        sotto_pack(place(s, t, plane), words, t->n, s->width);
    }
}

static inline void get(const shelf *s, const tile *t, size_t plane, uint64_t *words)
{
    if (s->width > 0) {
        sotto_unpack(words, place(s, t, plane), t->n, s->width);
    }
}

static inline size_t shelf_bytes(const shelf *s)
{
    return s->width > 0 ? s->planes * sotto_packed_bytes(s->count, s->width) : 0;
}

/* Widths of the shelves of a section, of which the first `by_pixel` hold a word for each pixel and the others one for each unit; and their memory. */
static inline int shelves_new(shelf *s, const unsigned *width, size_t shelves, size_t by_pixel, const sotto_unit_section *p)
{
    for (size_t i = 0; i < shelves; i++) {
        s[i] = (shelf){NULL, i < by_pixel ? p->pixels : 1, p->count, width[i]};
        s[i].bytes = sotto_calloc(shelf_bytes(&s[i]), 1);
        if (s[i].bytes == NULL) {
            return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", p->count);
        }
    }
    return SOTTO_OK;
}

/* Releases a shelf that is not needed any more. */
static inline void shelf_drop(shelf *s)
{
    sotto_free_secret(s->bytes, shelf_bytes(s), 1);
    *s = (shelf){0};
}

/* A part of a message: laid out like a shelf, but with the checks of sotto_reader, whose status counts in the end. */
static inline sotto_reader part(sotto_reader *r, size_t planes, size_t count, unsigned width)
{
    sotto_reader out;
    const size_t bytes = width > 0 ? planes * sotto_packed_bytes(count, width) : 0;
    const uint8_t *data = sotto_read_span(r, bytes);
    sotto_reader_init(&out, data, data == NULL ? 0 : bytes);
    return out;
}

static inline sotto_writer room(uint8_t **to, size_t planes, size_t count, unsigned width)
{
    sotto_writer out;
    const size_t bytes = width > 0 ? planes * sotto_packed_bytes(count, width) : 0;
    sotto_writer_init(&out, *to, bytes);
    *to += bytes;
    return out;
}

/* What a tile's signs are taken of, shifted into the window of the section: `sum` itself where nothing is to be shifted, else in `room`. */
static inline const uint64_t *lifted(const sotto_unit_section *p, const tile *t, const uint64_t *sum, uint64_t *room)
{
    for (size_t i = 0; p->lift != NULL && i < t->n; i++) {
        room[i] = sum[i] << p->lift[t->at + i];
    }
    return p->lift != NULL ? room : sum;
}

/* n words of `width` bits from bit `first` on. */
static inline void read_bits(uint64_t *words, const uint8_t *bits, size_t first, size_t n, unsigned width)
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
    uint64_t w[16][TILE];
} workbench;

static inline int bench_new(workbench **out)
{
    *out = sotto_calloc(1, sizeof **out);
    return *out != NULL ? SOTTO_OK : sotto_fail(SOTTO_ERR_MEMORY, "no memory for a tile of units");
}

static inline void bench_free(workbench *b)
{
    sotto_free_secret(b, 1, sizeof *b);
}

#endif
