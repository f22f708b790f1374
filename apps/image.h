/* Pictures for a network: PGM and PPM (binary, 8 bits a sample), PNG and JPEG where the program was built with libpng and libjpeg, and raw bytes.
 *
 * One rule for all formats but raw:
 * 1. The picture is decoded to 8 bits a sample, grey or colour (red, green, blue), as the file has it.
 * 2. What is transparent is laid over white.
 * 3. A network of 3 channels gets grey three times; one of 1 channel gets colour as 0.299 red + 0.587 green + 0.114 blue. Others take raw bytes alone.
 * 4. The size must be that of the network, or is made so (IMAGE_FIT): the largest centred part of the network's proportions is scaled, each output value being the average of
 *    the area that it covers where the picture shrinks, and bilinear between pixel centres where it grows.
 * Colour profiles, and the orientation that a camera notes in a JPEG, are not looked at.
 */
#ifndef SOTTO_APPS_IMAGE_H
#define SOTTO_APPS_IMAGE_H

#include "nn/model/model.h"

typedef enum image_mode {
    IMAGE_EXACT, /* the size must match */
    IMAGE_FIT,   /* scaled and cropped */
    IMAGE_RAW    /* the file is c * h * w bytes, channel-major, rows before columns */
} image_mode;

/* What `shape` takes, channel-major bytes, *pixels released with sotto_free (NULL on failure). SOTTO_ERR_IO; SOTTO_ERR_FORMAT where the file is damaged or of no known kind;
 * SOTTO_ERR_MISMATCH where its size is another; SOTTO_ERR_LIMIT above IMAGE_PIXELS_MAX; SOTTO_ERR_UNSUPPORTED for a kind that this build leaves out. */
SOTTO_MUST_CHECK int image_read(const char *path, sotto_shape shape, image_mode mode, uint8_t **pixels);
/* Channels (1 or 3), rows and columns of a picture as its file has them. Errors as of image_read. */
SOTTO_MUST_CHECK int image_shape(const char *path, sotto_shape *shape);

#define IMAGE_PIXELS_MAX ((size_t)1 << 25)

#endif
