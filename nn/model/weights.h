/* Model files: the public text (nn/model/text.h) and the private weights.
 *
 * Weights file, little-endian: magic "SOTTOWTS", version u32, model id (16 bytes), public_hash (32), number of tensors u32; per tensor node index
 * u32, which u32, count u32, count floats; at the end BLAKE2b-256 of all before. Its exact size follows from the public part, so a reader checks the size
 * before it allocates.
 */
#ifndef SOTTO_NN_MODEL_WEIGHTS_H
#define SOTTO_NN_MODEL_WEIGHTS_H

#include "nn/model/model.h"

/* Loads the public part, whose lines may end in CR LF, and, unless weights_path is NULL, the weights. Messages name the file, the field and the remedy. SOTTO_ERR_IO (no such file),
 * _FORMAT, _VERSION, _CHECKSUM, _LIMIT, _MISMATCH (weights of another model), _MEMORY. On failure *m is zeroed. */
SOTTO_MUST_CHECK int sotto_model_load(sotto_model *m, const char *public_path, const char *weights_path);
/* Writes both files (weights_path NULL: the public one alone), each to a temporary file in its folder, both synced before the first is
 * renamed: a full disk leaves the old pair, a crash between the two renames a pair that load refuses (SOTTO_ERR_MISMATCH). Weights are readable
 * by their owner alone. SOTTO_ERR_ARG (no weights), SOTTO_ERR_IO, SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_model_save(sotto_model *m, const char *public_path, const char *weights_path);

/* Writes `len` bytes in that way; for other files of the project. */
SOTTO_MUST_CHECK int sotto_file_write(const char *path, const void *data, size_t len, unsigned mode);
/* Reads a whole regular file of at most `max` bytes; *data released with sotto_free. SOTTO_ERR_IO, SOTTO_ERR_LIMIT. */
SOTTO_MUST_CHECK int sotto_file_read(const char *path, size_t max, uint8_t **data, size_t *len);

#endif
