#include "apps/image.h"

#include <math.h>
#include <string.h>

#include "apps/image_internal.h"
#include "lib/mem.h"
#include "nn/model/weights.h"

#define FILE_MAX ((size_t)64 << 20)

int picture_alloc(picture *p, const char *path, uint64_t width, uint64_t height, uint32_t channels)
{
    if (width == 0 || height == 0 || width > SOTTO_DIM_MAX || height > SOTTO_DIM_MAX || width * height > IMAGE_PIXELS_MAX) {
        return sotto_fail(SOTTO_ERR_LIMIT, "%s: %llu x %llu pixels; expected 1 to %d a side and at most %zu in all", path, (unsigned long long)width,
                          (unsigned long long)height, SOTTO_DIM_MAX, IMAGE_PIXELS_MAX);
    }
    p->width = (uint32_t)width;
    p->height = (uint32_t)height;
    p->channels = channels;
    p->data = sotto_calloc((size_t)(width * height), channels);
    return p->data != NULL ? SOTTO_OK : sotto_fail(SOTTO_ERR_MEMORY, "%s: no memory for %llu x %llu pixels", path, (unsigned long long)width,
                                                   (unsigned long long)height);
}

/* ---- PGM and PPM ------------------------------------------------------------------------------------------------------- */

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

int decode_netpbm(picture *p, const char *path, const uint8_t *data, size_t len)
{
    const uint32_t channels = data[1] == '5' ? 1 : 3;
    size_t pos = 2;
    const uint32_t width = netpbm_number(data, len, &pos), height = netpbm_number(data, len, &pos), most = netpbm_number(data, len, &pos);
    pos++; /* one white space after the header */
    if (width == 0 || height == 0 || most != 255 || pos > len || len - pos != (size_t)width * height * channels) {
        return sotto_fail(SOTTO_ERR_FORMAT, "%s: no whole 8-bit PGM or PPM (width %u, height %u, maximum %u, %zu bytes)", path, (unsigned)width,
                          (unsigned)height, (unsigned)most, len);
    }
    const int status = picture_alloc(p, path, width, height, channels);
    if (status == SOTTO_OK) {
        memcpy(p->data, data + pos, len - pos);
    }
    return status;
}

/* ---- to the channels of the network ------------------------------------------------------------------------------------ */

/* Colour or grey of one pixel over white, and from one to the other. */
static void convert_pixel(const uint8_t *in, uint32_t from, uint8_t out[3], uint32_t to)
{
    const uint32_t colours = from <= 2 ? 1 : 3, alpha = from == colours ? 255 : in[colours];
    uint32_t v[3];
    for (uint32_t c = 0; c < 3; c++) {
        v[c] = (in[colours == 1 ? 0 : c] * alpha + 255 * (255 - alpha) + 127) / 255;
    }
    if (to == 1 && colours == 3) {
        v[0] = (299 * v[0] + 587 * v[1] + 114 * v[2] + 500) / 1000;
    }
    for (uint32_t c = 0; c < to; c++) {
        out[c] = (uint8_t)v[c];
    }
}

/* Channel-major bytes of the size that the picture has. SOTTO_ERR_MEMORY. */
static int to_planes(const picture *p, const char *path, uint32_t channels, uint8_t **planes)
{
    const size_t area = (size_t)p->width * p->height;
    *planes = sotto_calloc(area, channels);
    if (*planes == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "%s: no memory for %zu pixels", path, area);
    }
    for (size_t i = 0; i < area; i++) {
        uint8_t pixel[3];
        convert_pixel(p->data + i * p->channels, p->channels, pixel, channels);
        for (uint32_t c = 0; c < channels; c++) {
            (*planes)[c * area + i] = pixel[c];
        }
    }
    return SOTTO_OK;
}

/* ---- to its size ------------------------------------------------------------------------------------------------------- */

/* One side: output i is the sum of taps source pixels from first[i] on with weights that sum to 1. */
typedef struct axis {
    uint32_t taps, *first;
    double *weight;
} axis;

/* `out` pixels, each of `ratio` source pixels, centred on the `size` that there are. */
static int axis_new(axis *a, uint32_t size, uint32_t out, double ratio)
{
    const double start = ((double)size - ratio * out) / 2.0;
    const double span = ratio > 1.0 ? ceil(ratio) + 1.0 : 2.0;
    a->taps = span < size ? (uint32_t)span : size;
    a->first = sotto_calloc(out, sizeof *a->first);
    a->weight = sotto_calloc((size_t)out * a->taps, sizeof *a->weight);
    if (a->first == NULL || a->weight == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory to scale an image");
    }
    for (uint32_t i = 0; i < out; i++) {
        const double left = start + i * ratio, centre = fmin(fmax(left + ratio / 2.0 - 0.5, 0.0), size - 1.0);
        const double from = fmax(floor(ratio > 1.0 ? left : centre), 0.0);
        double *w = a->weight + (size_t)i * a->taps, sum = 0.0;
        a->first[i] = from < size - a->taps ? (uint32_t)from : size - a->taps;
        for (uint32_t k = 0; k < a->taps; k++) {
            const double x = (double)a->first[i] + k;
            w[k] = fmax(ratio > 1.0 ? fmin(left + ratio, x + 1.0) - fmax(left, x) : 1.0 - fabs(centre - x), 0.0);
            sum += w[k];
        }
        for (uint32_t k = 0; k < a->taps; k++) {
            w[k] /= sum;
        }
    }
    return SOTTO_OK;
}

static void axis_free(axis *a)
{
    sotto_free(a->first);
    sotto_free(a->weight);
}

/* Where a picture shrinks, every source pixel is in about one window: this costs no more than first rows, then columns. */
static void resample(uint8_t *out, sotto_shape shape, const uint8_t *in, uint32_t width, const axis *across, const axis *down)
{
    for (uint32_t y = 0; y < shape.h; y++) {
        for (uint32_t x = 0; x < shape.w; x++) {
            const double *wy = down->weight + (size_t)y * down->taps, *wx = across->weight + (size_t)x * across->taps;
            double sum = 0.5;
            for (uint32_t j = 0; j < down->taps; j++) {
                const uint8_t *row = in + (size_t)(down->first[y] + j) * width + across->first[x];
                double part = 0.0;
                for (uint32_t k = 0; k < across->taps; k++) {
                    part += wx[k] * row[k];
                }
                sum += wy[j] * part;
            }
            out[(size_t)y * shape.w + x] = (uint8_t)(sum < 255.0 ? sum : 255.0);
        }
    }
}

static int fit(const char *path, const uint8_t *planes, uint32_t width, uint32_t height, sotto_shape shape, uint8_t **pixels)
{
    const double ratio = fmin((double)width / shape.w, (double)height / shape.h);
    axis across = {0}, down = {0};
    int status = axis_new(&across, width, shape.w, ratio);
    if (status == SOTTO_OK) {
        status = axis_new(&down, height, shape.h, ratio);
    }
    if (status == SOTTO_OK) {
        *pixels = sotto_calloc(sotto_shape_words(shape), 1);
        status = *pixels == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "%s: no memory for an image", path) : SOTTO_OK;
    }
    for (uint32_t c = 0; c < shape.c && status == SOTTO_OK; c++) {
        resample(*pixels + (size_t)c * shape.h * shape.w, shape, planes + (size_t)c * height * width, width, &across, &down);
    }
    axis_free(&across);
    axis_free(&down);
    return status;
}

static int to_shape(const picture *p, const char *path, sotto_shape shape, image_mode mode, uint8_t **pixels)
{
    const int same = p->width == shape.w && p->height == shape.h;
    uint8_t *planes = NULL;
    if (shape.c != 1 && shape.c != 3) {
        return sotto_fail(SOTTO_ERR_MISMATCH, "%s: the model takes %u channels, which no picture has; give raw bytes and --raw", path, (unsigned)shape.c);
    }
    if (!same && mode != IMAGE_FIT) {
        return sotto_fail(SOTTO_ERR_MISMATCH, "%s: %u x %u pixels; the model takes %u x %u: scale the image, or give --fit to have it scaled and cropped", path,
                          (unsigned)p->width, (unsigned)p->height, (unsigned)shape.w, (unsigned)shape.h);
    }
    int status = to_planes(p, path, shape.c, &planes);
    if (status == SOTTO_OK && same) {
        *pixels = planes;
        return SOTTO_OK;
    }
    if (status == SOTTO_OK) {
        status = fit(path, planes, p->width, p->height, shape, pixels);
    }
    sotto_free_secret(planes, (size_t)p->width * p->height, shape.c);
    return status;
}

/* ---- files ------------------------------------------------------------------------------------------------------------- */

static int read_raw(const char *path, sotto_shape shape, uint8_t **pixels)
{
    const size_t words = sotto_shape_words(shape);
    size_t len = 0;
    int status = sotto_file_read(path, SIZE_MAX, pixels, &len);
    if (status == SOTTO_OK && len != words) {
        sotto_free_secret(*pixels, len, 1);
        *pixels = NULL;
        status = sotto_fail(SOTTO_ERR_MISMATCH, "%s: %zu bytes; the model takes %zu raw ones: %u channels of %u rows of %u", path, len, words,
                            (unsigned)shape.c, (unsigned)shape.h, (unsigned)shape.w);
    }
    return status;
}

static int decode(picture *p, const char *path, const uint8_t *data, size_t len)
{
    if (len > 3 && data[0] == 'P' && (data[1] == '5' || data[1] == '6')) {
        return decode_netpbm(p, path, data, len);
    }
    if (len > 8 && memcmp(data, "\x89PNG", 4) == 0) {
        return decode_png(p, path, data, len);
    }
    if (len > 3 && memcmp(data, "\xff\xd8\xff", 3) == 0) {
        return decode_jpeg(p, path, data, len);
    }
    return sotto_fail(SOTTO_ERR_FORMAT, "%s: neither PGM, PPM (binary, 8 bits), PNG nor JPEG; raw bytes need --raw", path);
}

int image_shape(const char *path, sotto_shape *shape)
{
    uint8_t *data = NULL;
    size_t len = 0;
    picture p = {0};
    int status = sotto_file_read(path, FILE_MAX, &data, &len);
    if (status == SOTTO_OK) {
        status = decode(&p, path, data, len);
    }
    if (status == SOTTO_OK) {
        *shape = (sotto_shape){p.channels <= 2 ? 1 : 3, p.height, p.width}; /* transparency is no channel of its own */
    }
    sotto_free_secret(data, len, 1);
    sotto_free_secret(p.data, (size_t)p.width * p.height, p.channels);
    return status;
}

int image_read(const char *path, sotto_shape shape, image_mode mode, uint8_t **pixels)
{
    uint8_t *data = NULL;
    size_t len = 0;
    picture p = {0};
    *pixels = NULL;
    if (mode == IMAGE_RAW) {
        return read_raw(path, shape, pixels);
    }
    int status = sotto_file_read(path, FILE_MAX, &data, &len);
    if (status != SOTTO_OK) {
        return status;
    }
    status = decode(&p, path, data, len);
    if (status == SOTTO_OK) {
        status = to_shape(&p, path, shape, mode, pixels);
    }
    sotto_free_secret(data, len, 1);
    sotto_free_secret(p.data, (size_t)p.width * p.height, p.channels);
    return status;
}
