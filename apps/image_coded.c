/* PNG and JPEG by their libraries; without SOTTO_PNG, SOTTO_JPEG a message in their place. */
#include <stdio.h>
#include <string.h>

#include "apps/image_internal.h"

#if defined(SOTTO_PNG) || defined(SOTTO_JPEG)
/* What the library of a format found wrong, in its words. */
static int broken(const char *path, const char *format, const char *why)
{
    return sotto_fail(SOTTO_ERR_FORMAT, "%s: no whole %s: the file is cut off, damaged or of another kind (%s); fetch or save it anew, or convert the image to PPM",
                      path, format, why);
}
#endif

#ifndef SOTTO_PNG

int decode_png(picture *p, const char *path, const uint8_t *data, size_t len)
{
    (void)p, (void)data, (void)len;
    return sotto_fail(SOTTO_ERR_UNSUPPORTED, "%s: this sotto reads no PNG; install libpng-dev and build with PNG=1, or convert the image to PPM", path);
}

#else
#include <png.h>

int decode_png(picture *p, const char *path, const uint8_t *data, size_t len)
{
    static const png_uint_32 formats[4] = {PNG_FORMAT_GRAY, PNG_FORMAT_GA, PNG_FORMAT_RGB, PNG_FORMAT_RGBA};
    png_image image = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_memory(&image, data, len)) {
        return broken(path, "PNG", image.message);
    }
    const uint32_t channels = (image.format & PNG_FORMAT_FLAG_COLOR ? 3u : 1u) + (image.format & PNG_FORMAT_FLAG_ALPHA ? 1u : 0u);
    int status = picture_alloc(p, path, image.width, image.height, channels);
    image.format = formats[channels - 1];
    if (status == SOTTO_OK && !png_image_finish_read(&image, NULL, p->data, 0, NULL)) {
        status = broken(path, "PNG", image.message);
    }
    png_image_free(&image);
    return status;
}

#endif

#ifndef SOTTO_JPEG

int decode_jpeg(picture *p, const char *path, const uint8_t *data, size_t len)
{
    (void)p, (void)data, (void)len;
    return sotto_fail(SOTTO_ERR_UNSUPPORTED, "%s: this sotto reads no JPEG; install libjpeg62-turbo-dev and build with JPEG=1, or convert the image to PPM",
                      path);
}

#else
#include <jpeglib.h>
#include <setjmp.h>

/* Every scan of a progressive file goes over the whole image again; encoders make about ten. */
#define SCANS_MAX 100

typedef struct reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf leave;
    char message[JMSG_LENGTH_MAX];
} reader;

static void on_error(j_common_ptr jpeg)
{
    reader *r = jpeg->client_data;
    r->errors.format_message(jpeg, r->message);
    longjmp(r->leave, 1);
}

/* Warnings are counted, the first is kept, none is printed. */
static void on_message(j_common_ptr jpeg)
{
    reader *r = jpeg->client_data;
    if (r->message[0] == '\0') {
        r->errors.format_message(jpeg, r->message);
    }
}

static void on_progress(j_common_ptr jpeg)
{
    reader *r = jpeg->client_data;
    if (r->jpeg.input_scan_number > SCANS_MAX) {
        (void)snprintf(r->message, sizeof r->message, "more than %d scans", SCANS_MAX);
        longjmp(r->leave, 1);
    }
}

/* What libjpeg can leave by longjmp; its locals are not looked at afterwards. */
static int read_rows(reader *r, picture *p, const char *path, const uint8_t *data, size_t len)
{
    jpeg_create_decompress(&r->jpeg);
    r->progress.progress_monitor = on_progress;
    r->jpeg.progress = &r->progress;
    jpeg_mem_src(&r->jpeg, data, len);
    (void)jpeg_read_header(&r->jpeg, TRUE);
    if (r->jpeg.num_components != 1 && r->jpeg.num_components != 3) {
        return sotto_fail(SOTTO_ERR_UNSUPPORTED, "%s: a JPEG of %d components; expected grey or colour: convert it", path, r->jpeg.num_components);
    }
    r->jpeg.out_color_space = r->jpeg.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    const int status = picture_alloc(p, path, r->jpeg.image_width, r->jpeg.image_height, (uint32_t)r->jpeg.num_components);
    if (status != SOTTO_OK) {
        return status;
    }
    (void)jpeg_start_decompress(&r->jpeg);
    while (r->jpeg.output_scanline < r->jpeg.output_height) {
        JSAMPROW row = p->data + (size_t)r->jpeg.output_scanline * p->width * p->channels;
        (void)jpeg_read_scanlines(&r->jpeg, &row, 1);
    }
    (void)jpeg_finish_decompress(&r->jpeg);
    return SOTTO_OK;
}

/* A file with warnings is refused: what is cut off or damaged would come out grey and be classified all the same. */
int decode_jpeg(picture *p, const char *path, const uint8_t *data, size_t len)
{
    reader r;
    int status;
    memset(&r, 0, sizeof r);
    r.jpeg.err = jpeg_std_error(&r.errors);
    r.jpeg.client_data = &r;
    r.errors.error_exit = on_error;
    r.errors.output_message = on_message;
    if (setjmp(r.leave) != 0) {
        status = broken(path, "JPEG", r.message);
    } else {
        status = read_rows(&r, p, path, data, len);
        if (status == SOTTO_OK && r.errors.num_warnings > 0) {
            status = broken(path, "JPEG", r.message);
        }
    }
    jpeg_destroy_decompress(&r.jpeg);
    return status;
}

#endif
