/* Checkpoints of a training: everything that its continuation depends on, in one file that is replaced as a whole.
 *
 * File, little-endian: magic "SOTTOCKP", version u32, number of items u32; per item its name (length u8, bytes), kind u8, count u64 and values; at the end BLAKE2b-256
 * of all before. What was fixed when the training began (options, model, data) are items too, compared when a checkpoint is read; the others are its state.
 */
#ifndef SOTTO_NN_TRAIN_CHECKPOINT_H
#define SOTTO_NN_TRAIN_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

typedef enum sotto_item_kind { SOTTO_ITEM_BYTES, SOTTO_ITEM_U32, SOTTO_ITEM_U64, SOTTO_ITEM_FLOAT, SOTTO_ITEM_DOUBLE, SOTTO_ITEM_KINDS } sotto_item_kind;

typedef struct sotto_checkpoint_item {
    const char *name;     /* for messages as well; below 64 bytes */
    sotto_item_kind kind;
    int fixed;            /* compared with the file's instead of being set from it */
    void *data;           /* count values of that kind, of the caller */
    size_t count;
} sotto_checkpoint_item;

/* Writes all items: to a temporary file beside `path`, synced and renamed, so that a crash or a full disk at any moment leaves the old checkpoint or the new one.
 * Readable by its owner alone, since it holds weights. SOTTO_ERR_IO, SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_checkpoint_save(const char *path, const sotto_checkpoint_item *items, size_t count);
/* Reads a checkpoint of exactly these items. Nothing is set unless the whole file is in order: SOTTO_ERR_IO; _FORMAT (no checkpoint), _CHECKSUM (torn or damaged),
 * _VERSION; _MISMATCH naming the first item that differs, with both values of a fixed number. */
SOTTO_MUST_CHECK int sotto_checkpoint_load(const char *path, const sotto_checkpoint_item *items, size_t count);

#endif
