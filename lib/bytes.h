/* Bounds-checked little-endian reading and writing of byte arrays.
 *
 * Both are sticky: after the first failure every call does nothing, readers
 * return zero, and `status` keeps the first error. A decoder reads all its
 * fields and checks the status once; it must check before it uses a count to
 * allocate or loop.
 */
#ifndef SOTTO_LIB_BYTES_H
#define SOTTO_LIB_BYTES_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

typedef struct sotto_reader {
    const uint8_t *data; /* not owned */
    size_t len, pos;
    int status; /* SOTTO_OK, or SOTTO_ERR_FORMAT after a read past the end */
} sotto_reader;

typedef struct sotto_writer {
    uint8_t *data; /* not owned */
    size_t cap, pos;
    int status; /* SOTTO_OK, or SOTTO_ERR_LIMIT after a write past the end */
} sotto_writer;

void sotto_reader_init(sotto_reader *r, const void *data, size_t len);
uint8_t sotto_read_u8(sotto_reader *r);
uint16_t sotto_read_u16(sotto_reader *r);
uint32_t sotto_read_u32(sotto_reader *r);
uint64_t sotto_read_u64(sotto_reader *r);
/* Copies `len` bytes; zeroes `out` when they are not there. */
void sotto_read_bytes(sotto_reader *r, void *out, size_t len);
/* Pointer to the next `len` bytes without copying, NULL (and a failed reader) when they are not there. */
const uint8_t *sotto_read_span(sotto_reader *r, size_t len);
/* `count` words of `width` bits (1 to 64) packed without gaps, first word in the lowest bits, padded with zero
 * bits to a whole byte. Nonzero padding is an error, so that each array has one encoding.
 * Reads sotto_packed_bytes(count, width) bytes. */
void sotto_read_packed(sotto_reader *r, uint64_t *out, size_t count, unsigned width);
size_t sotto_reader_left(const sotto_reader *r);
/* SOTTO_OK when nothing failed and all bytes were used; else the error, with a message naming `what`. */
SOTTO_MUST_CHECK int sotto_reader_finish(const sotto_reader *r, const char *what);

void sotto_writer_init(sotto_writer *w, void *data, size_t cap);
void sotto_write_u8(sotto_writer *w, uint8_t v);
void sotto_write_u16(sotto_writer *w, uint16_t v);
void sotto_write_u32(sotto_writer *w, uint32_t v);
void sotto_write_u64(sotto_writer *w, uint64_t v);
void sotto_write_bytes(sotto_writer *w, const void *data, size_t len);
/* Counterpart of sotto_read_packed; bits of a word above `width` are ignored. Time depends on count and width alone. */
void sotto_write_packed(sotto_writer *w, const uint64_t *in, size_t count, unsigned width);

/* The same words without the checks: sotto_packed_bytes(count, width) bytes are written, or read whatever the padding holds. For arrays that are one's own. Eight words
 * fill whole bytes, so that word i, a multiple of 8, begins at byte i / 8 * width. in and out do not overlap. Time as above. */
void sotto_pack(uint8_t *out, const uint64_t *in, size_t count, unsigned width);
void sotto_unpack(uint64_t *out, const uint8_t *in, size_t count, unsigned width);

/* ceil(count * width / 8); SIZE_MAX when that overflows. */
size_t sotto_packed_bytes(size_t count, unsigned width);

#endif
