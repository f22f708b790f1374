/* Inside nn/secure: what both parties' halves of a unit layer stand on: tiles, packed storage, parts of messages. */
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

/* Units whose OTs are made in one call. Silent OT goes back and forth in a call: there many at once. Multiples of TILE. */
#define GROUP_SILENT (32 * TILE)

static inline size_t group_units(const sotto_unit_plan *p)
{
    return p->ot == SOTTO_OT_FERRET ? GROUP_SILENT : TILE;
}

static inline size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* OTs of a unit towards the client. */
static inline size_t unit_ots(const sotto_unit_plan *p)
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

static inline tile tile_of(const sotto_unit_plan *p, size_t group, size_t at, uint64_t group_first)
{
    const size_t n = least(p->count - at, TILE), ots = (at - group) * unit_ots(p), tau = p->widen > 0 ? n : 0;
    return (tile){at, n, ots, tau, tau + n, group_first + ots};
}

/* Bytes of the payload of the truncation OTs, the first part of CORRECTION. */
static inline size_t payload_bytes(const sotto_unit_plan *p)
{
    return p->widen > 1 ? sotto_packed_bytes(p->count, p->widen - 1) : 0;
}

/* ---- stored words -------------------------------------------------------------------------------------------------------- */

/* `count` words of `width` bits; none when width is 0. */
typedef struct shelf {
    uint8_t *bytes;
    unsigned width;
} shelf;

/* A tile's place; its words are whole bytes but for the layer's last ones. */
static inline uint8_t *place(const shelf *s, const tile *t)
{
    return s->bytes + t->at / 8 * s->width;
}

static inline void put(const shelf *s, const tile *t, const uint64_t *words)
{
    if (s->width > 0) {
        sotto_pack(place(s, t), words, t->n, s->width);
    }
}

static inline void get(const shelf *s, const tile *t, uint64_t *words)
{
    if (s->width > 0) {
        sotto_unpack(words, place(s, t), t->n, s->width);
    }
}

static inline size_t shelf_bytes(const shelf *s, size_t count)
{
    return s->width > 0 ? sotto_packed_bytes(count, s->width) : 0;
}

/* Memory for the shelves, whose widths are set. */
static inline int shelves_new(shelf *s, size_t shelves, size_t count)
{
    for (size_t i = 0; i < shelves; i++) {
        s[i].bytes = sotto_calloc(shelf_bytes(&s[i], count), 1);
        if (s[i].bytes == NULL) {
            return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", count);
        }
    }
    return SOTTO_OK;
}

static inline void shelves_free(shelf *s, size_t shelves, size_t count)
{
    for (size_t i = 0; i < shelves; i++) {
        sotto_free_secret(s[i].bytes, shelf_bytes(&s[i], count), 1);
    }
}

/* A part of a message, or of the packed choices: like shelves, but with the checks of sotto_reader, whose status counts in the end. */
static inline sotto_reader part(sotto_reader *r, size_t count, unsigned width)
{
    sotto_reader out;
    const size_t bytes = width > 0 ? sotto_packed_bytes(count, width) : 0;
    const uint8_t *data = sotto_read_span(r, bytes);
    sotto_reader_init(&out, data, data == NULL ? 0 : bytes);
    return out;
}

static inline sotto_writer room(uint8_t **to, size_t count, unsigned width)
{
    sotto_writer out;
    const size_t bytes = width > 0 ? sotto_packed_bytes(count, width) : 0;
    sotto_writer_init(&out, *to, bytes);
    *to += bytes;
    return out;
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
    uint64_t w[12][TILE];
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
