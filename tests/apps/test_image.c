/* Pictures of every format against the rule that apps/image.h states, scaling against a sum over all pixels, files that are torn, too large or of no kind. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/image.h"
#include "lib/mem.h"
#include "nn/model/weights.h"
#include "tests/support/support.h"

#ifdef SOTTO_PNG
#include <png.h>
#endif
#ifdef SOTTO_JPEG
#include <jpeglib.h>
#endif

static char path[] = "/tmp/sotto-image-XXXXXX";

static int make_file(void **state)
{
    (void)state;
    const int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void put(const void *data, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(len, fwrite(data, 1, len, f));
    assert_int_equal(0, fclose(f));
}

/* PGM or PPM by the number of channels. */
static void put_netpbm(const uint8_t *data, uint32_t width, uint32_t height, uint32_t channels)
{
    FILE *f = fopen(path, "wb");
    const size_t len = (size_t)width * height * channels;
    assert_non_null(f);
    assert_true(fprintf(f, "P%c %u %u 255\n", channels == 1 ? '5' : '6', width, height) > 0);
    assert_int_equal(len, fwrite(data, 1, len, f));
    assert_int_equal(0, fclose(f));
}

static void check(uint32_t c, uint32_t h, uint32_t w, image_mode mode, const uint8_t *want)
{
    const sotto_shape shape = {c, h, w};
    uint8_t *pixels = NULL;
    assert_ok(image_read(path, shape, mode, &pixels));
    assert_memory_equal(want, pixels, sotto_shape_words(shape));
    sotto_free(pixels);
}

static void refused(int want, const char *words, uint32_t c, uint32_t h, uint32_t w, image_mode mode)
{
    uint8_t *pixels = (uint8_t *)path;
    assert_status(want, image_read(path, (sotto_shape){c, h, w}, mode, &pixels));
    assert_null(pixels);
    if (strstr(sotto_error_message(), words) == NULL || strstr(sotto_error_message(), path) == NULL) {
        fail_msg("'%s' says nothing of '%s' in %s", sotto_error_message(), words, path);
    }
}

static void test_netpbm(void **state)
{
    static const uint8_t grey[6] = {0, 1, 2, 100, 200, 255}, spread[18] = {0, 1, 2, 100, 200, 255, 0, 1, 2, 100, 200, 255, 0, 1, 2, 100, 200, 255};
    static const uint8_t colour[18] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 10, 20, 30};
    static const uint8_t planes[18] = {255, 0, 0, 255, 0, 10, 0, 255, 0, 255, 0, 20, 0, 0, 255, 255, 0, 30};
    static const uint8_t luma[6] = {76, 150, 29, 255, 0, 18}; /* 76.245, 149.685, 29.07; 18.15 */
    (void)state;
    put_netpbm(grey, 3, 2, 1);
    check(1, 2, 3, IMAGE_EXACT, grey);
    check(3, 2, 3, IMAGE_EXACT, spread);
    refused(SOTTO_ERR_MISMATCH, "--fit", 1, 3, 2, IMAGE_EXACT);
    refused(SOTTO_ERR_MISMATCH, "--raw", 2, 2, 3, IMAGE_EXACT);
    put_netpbm(colour, 3, 2, 3);
    check(3, 2, 3, IMAGE_EXACT, planes);
    check(1, 2, 3, IMAGE_EXACT, luma);
    static const char commented[] = "P5 # grey\n# of two\n2\t1 255\nab";
    put(commented, sizeof commented - 1);
    check(1, 1, 2, IMAGE_EXACT, (const uint8_t *)"ab");
    static const char *const broken[] = {"P5 2 1 255\na", "P5 2 1 255\nabc", "P5 2 1 65535\nabcd", "P5 0 1 255\n", "P5 2 1", "P5 99999999999 1 255\n", "P6 2 1 255\nab"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        put(broken[i], strlen(broken[i]));
        refused(SOTTO_ERR_FORMAT, "no whole", 1, 1, 2, IMAGE_FIT);
    }
}

static void test_raw(void **state)
{
    static const uint8_t bytes[12] = {'P', '5', ' ', 3, 4, 5, 6, 7, 8, 9, 10, 11};
    (void)state;
    put(bytes, 12);
    check(2, 2, 3, IMAGE_RAW, bytes);
    check(12, 1, 1, IMAGE_RAW, bytes);
    refused(SOTTO_ERR_MISMATCH, "12 bytes", 1, 2, 3, IMAGE_RAW);
    refused(SOTTO_ERR_MISMATCH, "13 raw", 13, 1, 1, IMAGE_RAW);
    refused(SOTTO_ERR_FORMAT, "no whole", 1, 2, 3, IMAGE_EXACT);
    put("GIF89a of old", 13);
    refused(SOTTO_ERR_FORMAT, "neither", 1, 2, 3, IMAGE_EXACT);
    put("", 0);
    refused(SOTTO_ERR_FORMAT, "neither", 1, 2, 3, IMAGE_EXACT);
    refused(SOTTO_ERR_MISMATCH, "0 bytes", 1, 2, 3, IMAGE_RAW);
    uint8_t *pixels;
    assert_status(SOTTO_ERR_IO, image_read("/nonexistent/picture", (sotto_shape){1, 2, 3}, IMAGE_EXACT, &pixels));
    assert_status(SOTTO_ERR_IO, image_read("/nonexistent/picture", (sotto_shape){1, 2, 3}, IMAGE_RAW, &pixels));
}

/* ---- scaling ----------------------------------------------------------------------------------------------------------- */

static double overlap(double a, double b, double x)
{
    const double low = a > x ? a : x, high = b < x + 1.0 ? b : x + 1.0;
    return high > low ? high - low : 0.0;
}

/* The height of a triangle of half width 1 over the pixel that lies nearest where the ends of the row are held. */
static double tent(double centre, double x, uint32_t size)
{
    const double held = centre < 0.0 ? 0.0 : centre > size - 1.0 ? size - 1.0 : centre, d = fabs(held - x);
    return d < 1.0 ? 1.0 - d : 0.0;
}

/* Output (i, j) as a sum over every pixel of a grey picture, by the definition. */
static double scaled(const uint8_t *in, uint32_t width, uint32_t height, uint32_t w, uint32_t h, uint32_t j, uint32_t i)
{
    const double rx = (double)width / w, ry = (double)height / h, r = rx < ry ? rx : ry;
    const double left = (width - r * w) / 2.0 + i * r, top = (height - r * h) / 2.0 + j * r;
    double sum = 0.0, weights = 0.0;
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) {
            const double part = r > 1.0 ? overlap(left, left + r, x) * overlap(top, top + r, y)
                                        : tent(left + r / 2.0 - 0.5, x, width) * tent(top + r / 2.0 - 0.5, y, height);
            sum += part * in[y * width + x];
            weights += part;
        }
    }
    return sum / weights;
}

static void test_fit(void **state)
{
    static const uint8_t four[16] = {0, 4, 10, 10, 8, 12, 10, 11, 255, 255, 1, 2, 255, 254, 3, 4}, halves[4] = {6, 10, 255, 3};
    static const uint8_t wide[12] = {9, 9, 1, 2, 9, 9, 9, 9, 3, 4, 9, 9}, middle[4] = {1, 2, 3, 4};
    static const uint8_t two[2] = {0, 100}, grown[16] = {0, 25, 75, 100, 0, 25, 75, 100, 0, 25, 75, 100, 0, 25, 75, 100}, both[4] = {0, 100, 0, 100};
    (void)state;
    put_netpbm(four, 4, 4, 1);
    check(1, 2, 2, IMAGE_FIT, halves);
    check(1, 4, 4, IMAGE_FIT, four);
    put_netpbm(wide, 6, 2, 1);
    check(1, 2, 2, IMAGE_FIT, middle);
    put_netpbm(both, 2, 2, 1);
    check(1, 4, 4, IMAGE_FIT, grown);
    put_netpbm(two, 1, 2, 1);
    check(1, 1, 1, IMAGE_FIT, (const uint8_t[]){50});
    const sotto_rng rng = test_rng(test_seed(), 0);
    for (unsigned trial = 0; trial < 300; trial++) {
        const uint32_t width = 1 + (uint32_t)test_below(&rng, 24), height = 1 + (uint32_t)test_below(&rng, 24), w = 1 + (uint32_t)test_below(&rng, 12),
                       h = 1 + (uint32_t)test_below(&rng, 12), channels = trial % 2 == 0 ? 1 : 3;
        uint8_t in[24 * 24 * 3], plane[24 * 24], *pixels;
        for (size_t i = 0; i < (size_t)width * height * channels; i++) {
            in[i] = (uint8_t)test_below(&rng, 256);
        }
        put_netpbm(in, width, height, channels);
        assert_ok(image_read(path, (sotto_shape){channels, h, w}, IMAGE_FIT, &pixels));
        for (uint32_t c = 0; c < channels; c++) {
            for (size_t i = 0; i < (size_t)width * height; i++) {
                plane[i] = in[i * channels + c];
            }
            for (uint32_t i = 0; i < h * w; i++) {
                const double want = scaled(plane, width, height, w, h, i / w, i % w);
                if (fabs(pixels[c * h * w + i] - want) > 0.5 + 1e-6) {
                    fail_msg("%u x %u to %u x %u: pixel %u is %u, not %f", width, height, w, h, i, pixels[c * h * w + i], want);
                }
            }
        }
        sotto_free(pixels);
    }
}

/* ---- PNG and JPEG ------------------------------------------------------------------------------------------------------ */

#if defined SOTTO_PNG || defined SOTTO_JPEG
/* Every beginning of the file is refused, and so is each failure of an allocation; nothing is left behind. */
static void torn(sotto_shape shape)
{
    uint8_t *whole, *pixels = NULL;
    size_t len;
    assert_ok(sotto_file_read(path, 1u << 20, &whole, &len));
    for (size_t cut = 0; cut < len; cut++) {
        put(whole, cut);
        const int status = image_read(path, shape, IMAGE_EXACT, &pixels);
        /* The last bytes of a PNG are an empty chunk, those of a JPEG a mark: without them a whole picture is there. */
        assert_true(status == SOTTO_ERR_FORMAT || (status == SOTTO_OK && len - cut <= 12));
        assert_true((status == SOTTO_OK) == (pixels != NULL));
        /* From where the kind shows on: which file, and what to do. */
        assert_true(status == SOTTO_OK || cut < 16 || (strstr(sotto_error_message(), path) != NULL && strstr(sotto_error_message(), "fetch or save it anew") != NULL));
        sotto_free(pixels);
    }
    put(whole, len);
    int status = SOTTO_ERR_MEMORY;
    long k = 0;
    for (; status != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        status = image_read(path, (sotto_shape){shape.c, 2, 2}, IMAGE_FIT, &pixels);
        sotto_calloc_fail_after(-1);
        assert_true(status == SOTTO_OK ? pixels != NULL : status == SOTTO_ERR_MEMORY && pixels == NULL);
    }
    assert_true(k > 3);
    sotto_free(pixels);
    sotto_free(whole);
}
#endif

static void test_png(void **state)
{
    (void)state;
#ifdef SOTTO_PNG
    static const png_uint_32 formats[4] = {PNG_FORMAT_GRAY, PNG_FORMAT_GA, PNG_FORMAT_RGB, PNG_FORMAT_RGBA};
    /* Two rows of two pixels. Over white: alpha 255 changes nothing, 0 gives 255, 51 a fifth of the value and four fifths of 255. */
    static const uint8_t data[4][16] = {{0, 50, 100, 255},
                                        {0, 255, 50, 0, 100, 51, 7, 255},
                                        {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
                                        {1, 2, 3, 255, 4, 5, 6, 0, 0, 100, 200, 51, 9, 9, 9, 255}};
    static const uint8_t grey[2][4] = {{0, 50, 100, 255}, {0, 255, 224, 7}};
    static const uint8_t colour[2][12] = {{1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12}, {1, 255, 204, 9, 2, 255, 224, 9, 3, 255, 244, 9}};
    for (unsigned i = 0; i < 4; i++) {
        png_image image = {.version = PNG_IMAGE_VERSION, .width = 2, .height = 2, .format = formats[i]};
        assert_true(png_image_write_to_file(&image, path, 0, data[i], 0, NULL));
        if (i < 2) {
            uint8_t thrice[12];
            for (unsigned c = 0; c < 3; c++) {
                memcpy(thrice + 4 * c, grey[i], 4);
            }
            check(1, 2, 2, IMAGE_EXACT, grey[i]);
            check(3, 2, 2, IMAGE_EXACT, thrice);
        } else {
            check(3, 2, 2, IMAGE_EXACT, colour[i - 2]);
        }
        torn((sotto_shape){i < 2 ? 1 : 3, 2, 2});
    }
    /* A header that promises 60,000 x 60,000 pixels is believed by nobody. */
    uint8_t *whole;
    size_t len;
    assert_ok(sotto_file_read(path, 1u << 20, &whole, &len));
    for (unsigned i = 0; i < 8; i += 4) {
        memcpy(whole + 16 + i, "\0\0\xea\x60", 4);
    }
    uint32_t crc = 0xffffffff; /* of the type and the body of the first chunk */
    for (size_t i = 12; i < 29; i++) {
        crc ^= whole[i];
        for (unsigned b = 0; b < 8; b++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
    }
    for (unsigned b = 0; b < 4; b++) {
        whole[29 + b] = (uint8_t)(~crc >> (24 - 8 * b));
    }
    put(whole, len);
    refused(SOTTO_ERR_LIMIT, "60000 x 60000", 3, 2, 2, IMAGE_FIT);
    sotto_free(whole);
#else
    put("\x89PNG\r\n\x1a\n.", 9);
    refused(SOTTO_ERR_UNSUPPORTED, "libpng-dev", 1, 2, 2, IMAGE_EXACT);
#endif
}

#ifdef SOTTO_JPEG
/* All pixels of one colour, which JPEG keeps to within a step or two. */
static void put_jpeg(uint32_t width, uint32_t height, int channels, const uint8_t *colour, int progressive)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    FILE *f = fopen(path, "wb");
    uint8_t line[64 * 3];
    JSAMPROW row = line;
    assert_non_null(f);
    assert_true(width <= 64);
    for (size_t i = 0; i < width * (size_t)channels; i++) {
        line[i] = colour[i % (size_t)channels];
    }
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, f);
    jpeg.image_width = width;
    jpeg.image_height = height;
    jpeg.input_components = channels;
    jpeg.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 100, TRUE);
    if (progressive) {
        jpeg_simple_progression(&jpeg);
    }
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < jpeg.image_height) {
        (void)jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    assert_int_equal(0, fclose(f));
}
#endif

static void test_jpeg(void **state)
{
    (void)state;
#ifdef SOTTO_JPEG
    static const uint8_t colour[4] = {200, 100, 50, 0};
    for (int channels = 1; channels <= 3; channels += 2) {
        for (int progressive = 0; progressive < 2; progressive++) {
            const sotto_shape shape = {3, 11, 17};
            uint8_t *pixels;
            put_jpeg(17, 11, channels, colour, progressive);
            assert_ok(image_read(path, shape, IMAGE_EXACT, &pixels));
            for (size_t i = 0; i < sotto_shape_words(shape); i++) {
                assert_true(abs(pixels[i] - colour[channels == 1 ? 0 : i / (11 * 17)]) <= 2);
            }
            sotto_free(pixels);
            torn(shape);
        }
    }
    put_jpeg(4, 4, 4, colour, 0);
    refused(SOTTO_ERR_UNSUPPORTED, "components", 3, 4, 4, IMAGE_EXACT);
#else
    put("\xff\xd8\xff.", 4);
    refused(SOTTO_ERR_UNSUPPORTED, "libjpeg", 1, 2, 2, IMAGE_EXACT);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_netpbm), cmocka_unit_test(test_raw), cmocka_unit_test(test_fit), cmocka_unit_test(test_png), cmocka_unit_test(test_jpeg),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
