#include <errno.h>
#include <png.h>
#include <string.h>

#include "apps/commands.h"
#include "lib/mem.h"
#include "nn/model/weights.h"

#define FILE_MAX ((size_t)64 << 20)

/* Interleaved bytes to channel-major. */
static int planes(const char *path, const uint8_t *data, uint32_t width, uint32_t height, uint32_t channels, sotto_shape shape,
                  uint8_t **pixels)
{
    if (width != shape.w || height != shape.h || channels != shape.c) {
        return sotto_fail(SOTTO_ERR_MISMATCH, "%s: %u x %u pixels with %u channel%s; the model takes %u x %u with %u: scale or convert the image",
                          path, (unsigned)width, (unsigned)height, (unsigned)channels, channels == 1 ? "" : "s", (unsigned)shape.w,
                          (unsigned)shape.h, (unsigned)shape.c);
    }
    const size_t area = (size_t)width * height;
    *pixels = sotto_calloc(area, channels);
    if (*pixels == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "%s: no memory for an image", path);
    }
    for (size_t i = 0; i < area; i++) {
        for (uint32_t c = 0; c < channels; c++) {
            (*pixels)[c * area + i] = data[i * channels + c];
        }
    }
    return SOTTO_OK;
}

/* A number of a netpbm header, after white space and comments. */
static uint32_t netpbm_number(const uint8_t *data, size_t len, size_t *pos)
{
    uint32_t v = 0;
    while (*pos < len && (data[*pos] == '#' || data[*pos] == ' ' || (data[*pos] >= '\t' && data[*pos] <= '\r'))) {
        if (data[*pos] == '#') {
            while (*pos < len && data[*pos] != '\n') {
                ++*pos;
            }
        } else {
            ++*pos;
        }
    }
    for (; *pos < len && data[*pos] >= '0' && data[*pos] <= '9' && v < 100000; ++*pos) {
        v = 10 * v + (uint32_t)(data[*pos] - '0');
    }
    return v;
}

static int netpbm(const char *path, const uint8_t *data, size_t len, sotto_shape shape, uint8_t **pixels)
{
    const uint32_t channels = data[1] == '5' ? 1 : 3;
    size_t pos = 2;
    const uint32_t width = netpbm_number(data, len, &pos), height = netpbm_number(data, len, &pos), most = netpbm_number(data, len, &pos);
    pos++; /* one white space after the header */
    if (width == 0 || height == 0 || most != 255 || pos > len || len - pos != (size_t)width * height * channels) {
        return sotto_fail(SOTTO_ERR_FORMAT, "%s: no whole 8-bit PGM or PPM (width %u, height %u, maximum %u, %zu bytes)", path, (unsigned)width,
                          (unsigned)height, (unsigned)most, len);
    }
    return planes(path, data + pos, width, height, channels, shape, pixels);
}

static int png(const char *path, const uint8_t *data, size_t len, sotto_shape shape, uint8_t **pixels)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    int status;
    uint8_t *raw = NULL;
    if (!png_image_begin_read_from_memory(&image, data, len)) {
        return sotto_fail(SOTTO_ERR_FORMAT, "%s: %s", path, image.message);
    }
    image.format = shape.c == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
    if (image.width > SOTTO_DIM_MAX || image.height > SOTTO_DIM_MAX || PNG_IMAGE_SIZE(image) > FILE_MAX) {
        status = sotto_fail(SOTTO_ERR_LIMIT, "%s: %u x %u pixels are too many", path, (unsigned)image.width, (unsigned)image.height);
    } else if ((raw = sotto_calloc(PNG_IMAGE_SIZE(image), 1)) == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "%s: no memory for an image", path);
    } else if (!png_image_finish_read(&image, NULL, raw, 0, NULL)) {
        status = sotto_fail(SOTTO_ERR_FORMAT, "%s: %s", path, image.message);
    } else {
        status = planes(path, raw, image.width, image.height, shape.c == 1 ? 1 : 3, shape, pixels);
    }
    sotto_free(raw);
    png_image_free(&image);
    return status;
}

int image_read(const char *path, sotto_shape shape, uint8_t **pixels)
{
    uint8_t *data = NULL;
    size_t len = 0;
    *pixels = NULL;
    int status = sotto_file_read(path, FILE_MAX, &data, &len);
    if (status != SOTTO_OK) {
        return status;
    }
    if (len > 3 && data[0] == 'P' && (data[1] == '5' || data[1] == '6')) {
        status = netpbm(path, data, len, shape, pixels);
    } else if (len > 8 && memcmp(data, "\x89PNG", 4) == 0) {
        status = png(path, data, len, shape, pixels);
    } else {
        status = sotto_fail(SOTTO_ERR_FORMAT, "%s: neither PGM, PPM (binary, 8 bits) nor PNG", path);
    }
    sotto_free(data);
    return status;
}
