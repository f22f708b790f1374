#include "lib/bytes.h"

#include <string.h>

#include "lib/bytes_kernel.h"
#include "lib/cpu.h"
#include "lib/ct.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are copied to and from little-endian bytes");

/* ---- reading ---- */

void sotto_reader_init(sotto_reader *r, const void *data, size_t len)
{
    static const uint8_t nothing[1];

    /* An empty array may be NULL, to which not even zero may be added. */
    *r = (sotto_reader){.data = len ? data : nothing, .len = len, .status = SOTTO_OK};
}

size_t sotto_reader_left(const sotto_reader *r)
{
    return r->status == SOTTO_OK ? r->len - r->pos : 0;
}

const uint8_t *sotto_read_span(sotto_reader *r, size_t len)
{
    if (r->status != SOTTO_OK)
        return NULL;
    if (len > r->len - r->pos) {
        r->status = sotto_fail(SOTTO_ERR_FORMAT, "truncated: %zu bytes expected at offset %zu, %zu are left", len,
                               r->pos, r->len - r->pos);
        return NULL;
    }
    const uint8_t *p = r->data + r->pos;
    r->pos += len;
    return p;
}

static inline uint64_t load_le(const uint8_t *p, size_t len)
{
    uint64_t v = 0;

    memcpy(&v, p, len);
    return v;
}

static uint64_t read_le(sotto_reader *r, unsigned len)
{
    const uint8_t *p = sotto_read_span(r, len);

    return p ? load_le(p, len) : 0;
}

uint8_t sotto_read_u8(sotto_reader *r)
{
    return (uint8_t)read_le(r, 1);
}

uint16_t sotto_read_u16(sotto_reader *r)
{
    return (uint16_t)read_le(r, 2);
}

uint32_t sotto_read_u32(sotto_reader *r)
{
    return (uint32_t)read_le(r, 4);
}

uint64_t sotto_read_u64(sotto_reader *r)
{
    return read_le(r, 8);
}

void sotto_read_bytes(sotto_reader *r, void *out, size_t len)
{
    const uint8_t *p = sotto_read_span(r, len);

    if (!len)
        return;
    if (p)
        memcpy(out, p, len);
    else
        memset(out, 0, len);
}

void sotto_read_packed(sotto_reader *r, uint64_t *out, size_t count, unsigned width)
{
    const size_t bytes = sotto_packed_bytes(count, width);
    const uint8_t *p = sotto_read_span(r, bytes);

    if (!count)
        return;
    if (!p) {
        memset(out, 0, count * sizeof *out);
        return;
    }
    sotto_unpack(out, p, count, width);
    /* Only in the last byte is there padding. That it is zero or not is public: it is no part of any word. */
    const unsigned used = (unsigned)(count % 8) * width % 8;
    uint64_t padding = used ? (uint64_t)p[bytes - 1] >> used : 0;
    SOTTO_DECLASSIFY(&padding, sizeof padding);
    if (padding != 0) {
        memset(out, 0, count * sizeof *out);
        r->status = sotto_fail(SOTTO_ERR_FORMAT, "the padding before offset %zu, after %zu words of %u bits, is not zero",
                               r->pos, count, width);
    }
}

int sotto_reader_finish(const sotto_reader *r, const char *what)
{
    if (r->status != SOTTO_OK)
        return sotto_fail_context(r->status, "%s", what);
    if (r->pos != r->len)
        return sotto_fail(SOTTO_ERR_FORMAT, "%s: %zu bytes too many after the last field, at offset %zu", what,
                          r->len - r->pos, r->pos);
    return SOTTO_OK;
}

/* ---- writing ---- */

void sotto_writer_init(sotto_writer *w, void *data, size_t cap)
{
    static uint8_t nothing[1];

    *w = (sotto_writer){.data = cap ? data : nothing, .cap = cap, .status = SOTTO_OK};
}

/* The next `len` bytes to be written, NULL and a failed writer when they do not fit. */
static uint8_t *reserve(sotto_writer *w, size_t len)
{
    if (w->status != SOTTO_OK)
        return NULL;
    if (len > w->cap - w->pos) {
        w->status = sotto_fail(SOTTO_ERR_LIMIT, "buffer full: %zu bytes to write at offset %zu of %zu", len, w->pos,
                               w->cap);
        return NULL;
    }
    uint8_t *p = w->data + w->pos;
    w->pos += len;
    return p;
}

static inline void store_le(uint8_t *p, uint64_t v, size_t len)
{
    memcpy(p, &v, len);
}

static void write_le(sotto_writer *w, uint64_t v, unsigned len)
{
    uint8_t *p = reserve(w, len);

    if (p)
        store_le(p, v, len);
}

void sotto_write_u8(sotto_writer *w, uint8_t v)
{
    write_le(w, v, 1);
}

void sotto_write_u16(sotto_writer *w, uint16_t v)
{
    write_le(w, v, 2);
}

void sotto_write_u32(sotto_writer *w, uint32_t v)
{
    write_le(w, v, 4);
}

void sotto_write_u64(sotto_writer *w, uint64_t v)
{
    write_le(w, v, 8);
}

void sotto_write_bytes(sotto_writer *w, const void *data, size_t len)
{
    uint8_t *p = reserve(w, len);

    if (p && len)
        memcpy(p, data, len);
}

void sotto_write_packed(sotto_writer *w, const uint64_t *in, size_t count, unsigned width)
{
    uint8_t *p = reserve(w, sotto_packed_bytes(count, width));

    if (p)
        sotto_pack(p, in, count, width);
}

/* ---- packing ---- */

static void pack_ref(uint8_t *p, const uint64_t *in, size_t count, unsigned width)
{
    uint64_t acc = 0; /* the next `have` bits, not yet written; have < 64 and zeros above them */
    unsigned have = 0;

    for (size_t i = 0; i < count; i++) {
        const uint64_t word = sotto_low_bits(in[i], width);
        acc |= word << have;
        if (have + width < 64) {
            have += width;
            continue;
        }
        store_le(p, acc, 8);
        p += 8;
        acc = word >> 1 >> (63 - have); /* in two steps, as have may be 0 */
        have = have + width - 64;
    }
    store_le(p, acc, (have + 7) / 8);
}

/* A word lies in the eight bytes from its first one on, and up to seven bits of it in the ninth. */
static void unpack_ref(uint64_t *out, const uint8_t *p, size_t count, unsigned width)
{
    const size_t bytes = sotto_packed_bytes(count, width);
    size_t i = 0, bit = 0;

    for (; i < count && bit / 8 + 9 <= bytes; i++, bit += width) {
        const unsigned shift = bit % 8;
        const uint64_t low = load_le(p + bit / 8, 8) >> shift, high = (uint64_t)p[bit / 8 + 8] << 1 << (63 - shift);
        out[i] = sotto_low_bits(low | high, width);
    }
    for (; i < count; i++, bit += width) {
        const size_t left = bytes - bit / 8;
        const unsigned shift = bit % 8;
        const uint64_t low = load_le(p + bit / 8, left < 8 ? left : 8) >> shift, high = left > 8 ? (uint64_t)p[bit / 8 + 8] << 1 << (63 - shift) : 0;
        out[i] = sotto_low_bits(low | high, width);
    }
}

void sotto_pack(uint8_t *out, const uint64_t *in, size_t count, unsigned width)
{
    size_t done = 0;

#if defined(__x86_64__)
    if (sotto_cpu_tier() >= SOTTO_TIER_IFMA)
        done = sotto_pack_vbmi(out, in, count, width);
#endif
    if (done < count)
        pack_ref(out + done / 8 * width, in + done, count - done, width);
}

void sotto_unpack(uint64_t *out, const uint8_t *in, size_t count, unsigned width)
{
    size_t done = 0;

#if defined(__x86_64__)
    if (sotto_cpu_tier() >= SOTTO_TIER_IFMA)
        done = sotto_unpack_vbmi(out, in, count, width);
#endif
    if (done < count)
        unpack_ref(out + done, in + done / 8 * width, count - done, width);
}

size_t sotto_packed_bytes(size_t count, unsigned width)
{
    size_t whole, bytes;

    if (width < 1 || width > 64)
        return SIZE_MAX;
    /* Eight words fill `width` bytes exactly, so that only the sum, not the number of bits, can overflow. */
    const size_t rest = ((count % 8) * width + 7) / 8;
    if (__builtin_mul_overflow(count / 8, (size_t)width, &whole) || __builtin_add_overflow(whole, rest, &bytes))
        return SIZE_MAX;
    return bytes;
}
