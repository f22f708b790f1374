/* A decoded picture, and the decoders. */
#ifndef SOTTO_APPS_IMAGE_INTERNAL_H
#define SOTTO_APPS_IMAGE_INTERNAL_H

#include "apps/image.h"

/* Interleaved samples: channels 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha. */
typedef struct picture {
    uint32_t width, height, channels;
    uint8_t *data; /* width * height * channels */
} picture;

/* Checks the size against the limits and allocates. SOTTO_ERR_LIMIT, SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int picture_alloc(picture *p, const char *path, uint64_t width, uint64_t height, uint32_t channels);

/* Each decodes a file in memory; on failure p->data may be set and is the caller's to free. */
SOTTO_MUST_CHECK int decode_netpbm(picture *p, const char *path, const uint8_t *data, size_t len);
SOTTO_MUST_CHECK int decode_png(picture *p, const char *path, const uint8_t *data, size_t len);
SOTTO_MUST_CHECK int decode_jpeg(picture *p, const char *path, const uint8_t *data, size_t len);

#endif
