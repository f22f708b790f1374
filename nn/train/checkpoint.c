#include "nn/train/checkpoint.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "lib/bytes.h"
#include "lib/mem.h"
#include "nn/model/weights.h"

#define MAGIC "SOTTOCKP"
#define VERSION 1
#define HEADER_BYTES (8 + 4 + 4)
#define HASH_BYTES 32
/* Weights, their average, the best, and two moments, of the largest model. */
#define FILE_MAX (5 * sizeof(float) * SOTTO_WEIGHTS_MAX + (1u << 20))

static size_t width(sotto_item_kind kind)
{
    static const size_t bytes[SOTTO_ITEM_KINDS] = {1, 4, 8, 4, 8};
    return bytes[kind];
}

/* Between memory and little-endian bytes, which is the same reversal both ways and none on little-endian machines. */
static void copy_values(uint8_t *out, const uint8_t *in, size_t count, size_t bytes)
{
    static const uint16_t one = 1;
    if (count == 0) {
        return; /* an item that this training does not need may be NULL */
    }
    if (*(const uint8_t *)&one == 1) {
        memcpy(out, in, count * bytes);
        return;
    }
    for (size_t i = 0; i < count * bytes; i++) {
        out[i] = in[i - i % bytes + (bytes - 1 - i % bytes)];
    }
}

int sotto_checkpoint_save(const char *path, const sotto_checkpoint_item *items, size_t count)
{
    size_t len = HEADER_BYTES + HASH_BYTES;
    for (size_t i = 0; i < count; i++) {
        len += 1 + strlen(items[i].name) + 1 + 8 + items[i].count * width(items[i].kind);
    }
    uint8_t *bytes = sotto_calloc(len, 1);
    if (bytes == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a checkpoint of %zu bytes", len);
    }
    sotto_writer w;
    sotto_writer_init(&w, bytes, len);
    sotto_write_bytes(&w, MAGIC, 8);
    sotto_write_u32(&w, VERSION);
    sotto_write_u32(&w, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        sotto_write_u8(&w, (uint8_t)strlen(items[i].name));
        sotto_write_bytes(&w, items[i].name, strlen(items[i].name));
        sotto_write_u8(&w, (uint8_t)items[i].kind);
        sotto_write_u64(&w, items[i].count);
        copy_values(bytes + w.pos, items[i].data, items[i].count, width(items[i].kind));
        w.pos += items[i].count * width(items[i].kind);
    }
    crypto_generichash(bytes + w.pos, HASH_BYTES, bytes, w.pos, NULL, 0);
    const int status = sotto_file_write(path, bytes, len, 0600);
    sotto_free_secret(bytes, len, 1);
    return status;
}

/* A number for a person; 0 for items that are none. */
static int print_value(char out[32], const sotto_checkpoint_item *item, const uint8_t *stored)
{
    uint64_t raw[1] = {0};
    uint32_t u32;
    double real;
    copy_values((uint8_t *)raw, stored, 1, width(item->kind));
    memcpy(&u32, raw, sizeof u32);
    memcpy(&real, raw, sizeof real);
    switch (item->kind) {
    case SOTTO_ITEM_U32:
        return snprintf(out, 32, "%u", (unsigned)u32);
    case SOTTO_ITEM_U64:
        return snprintf(out, 32, "%llu", (unsigned long long)raw[0]);
    case SOTTO_ITEM_DOUBLE:
        return snprintf(out, 32, "%.10g", real);
    default:
        return 0;
    }
}

static int check_fixed(const sotto_checkpoint_item *item, const uint8_t *stored)
{
    const size_t len = item->count * width(item->kind);
    char then[32], now[32];
    for (size_t i = 0; i < len; i += width(item->kind)) {
        uint8_t own[8];
        copy_values(own, (const uint8_t *)item->data + i, 1, width(item->kind));
        if (memcmp(own, stored + i, width(item->kind)) == 0) {
            continue;
        }
        if (print_value(then, item, stored + i) > 0 && print_value(now, item, own) > 0) {
            return sotto_fail(SOTTO_ERR_MISMATCH, "the checkpoint was made with another %s: %s, now %s; resume with what the training began with, or start anew",
                              item->name, then, now);
        }
        return sotto_fail(SOTTO_ERR_MISMATCH, "the checkpoint was made with another %s; resume with what the training began with, or start anew", item->name);
    }
    return SOTTO_OK;
}

/* One pass over all items: compares, or (set) copies. */
static int read_items(const uint8_t *bytes, size_t len, const sotto_checkpoint_item *items, size_t count, int set)
{
    sotto_reader r;
    sotto_reader_init(&r, bytes + HEADER_BYTES, len - HEADER_BYTES - HASH_BYTES);
    for (size_t i = 0; i < count; i++) {
        const sotto_checkpoint_item *item = &items[i];
        const size_t name_len = sotto_read_u8(&r);
        const uint8_t *name = sotto_read_span(&r, name_len);
        const uint8_t kind = sotto_read_u8(&r);
        const uint64_t n = sotto_read_u64(&r);
        if (r.status != SOTTO_OK || name_len != strlen(item->name) || memcmp(name, item->name, name_len) != 0 || kind != item->kind) {
            return sotto_fail(SOTTO_ERR_MISMATCH, "the checkpoint has no item %s at its place: it is of another kind of training", item->name);
        }
        if (n != item->count) {
            return sotto_fail(SOTTO_ERR_MISMATCH, "%s: %llu values in the checkpoint, %zu are expected: it is of another model or data set", item->name,
                              (unsigned long long)n, item->count);
        }
        const uint8_t *stored = sotto_read_span(&r, item->count * width(item->kind));
        if (stored == NULL) {
            return sotto_fail(SOTTO_ERR_FORMAT, "%s: cut off", item->name);
        }
        const int status = item->fixed && !set ? check_fixed(item, stored) : SOTTO_OK;
        if (status != SOTTO_OK) {
            return status;
        }
        if (!item->fixed && set) {
            copy_values(item->data, stored, item->count, width(item->kind));
        }
    }
    return sotto_reader_finish(&r, "checkpoint");
}

static int check_file(const uint8_t *bytes, size_t len, size_t count)
{
    uint8_t hash[HASH_BYTES];
    sotto_reader r;
    sotto_reader_init(&r, bytes, len);
    const uint8_t *magic = sotto_read_span(&r, 8);
    const uint32_t version = sotto_read_u32(&r), items = sotto_read_u32(&r);
    if (magic == NULL || memcmp(magic, MAGIC, 8) != 0) {
        return sotto_fail(SOTTO_ERR_FORMAT, "no checkpoint (magic); expected a file written by `sotto train --checkpoint`");
    }
    if (r.status == SOTTO_OK && version != VERSION) {
        return sotto_fail(SOTTO_ERR_VERSION, "checkpoint format %u; this build reads %d", (unsigned)version, VERSION);
    }
    if (len < HEADER_BYTES + HASH_BYTES) {
        return sotto_fail(SOTTO_ERR_CHECKSUM, "only %zu bytes: the file is cut off", len);
    }
    crypto_generichash(hash, sizeof hash, bytes, len - HASH_BYTES, NULL, 0);
    if (memcmp(hash, bytes + len - HASH_BYTES, HASH_BYTES) != 0) {
        return sotto_fail(SOTTO_ERR_CHECKSUM, "checksum and content disagree; the file is cut off or damaged");
    }
    if (items != count) {
        return sotto_fail(SOTTO_ERR_MISMATCH, "%u items in the checkpoint, %zu are expected: it is of another kind of training", (unsigned)items, count);
    }
    return SOTTO_OK;
}

int sotto_checkpoint_load(const char *path, const sotto_checkpoint_item *items, size_t count)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    int status = sotto_file_read(path, FILE_MAX, &bytes, &len);
    if (status != SOTTO_OK) {
        return status;
    }
    status = check_file(bytes, len, count);
    for (int set = 0; set < 2 && status == SOTTO_OK; set++) {
        status = read_items(bytes, len, items, count, set);
    }
    sotto_free_secret(bytes, len, 1);
    return status == SOTTO_OK ? SOTTO_OK : sotto_fail_context(status, "%s", path);
}
