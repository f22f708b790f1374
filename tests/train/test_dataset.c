/* IDX files plain and compressed, whole, torn and lying about their sizes; CIFAR batches; the real Fashion-MNIST where Debian's package is installed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "lib/mem.h"
#include "nn/train/dataset.h"
#include "tests/support/support.h"

#define IMAGE_FILE "images"
#define LABEL_FILE "labels"

static char folder[] = "/tmp/sotto-dataset-XXXXXX";
static char image_path[64], label_path[64];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(image_path, sizeof image_path, "%s/%s", folder, IMAGE_FILE);
    snprintf(label_path, sizeof label_path, "%s/%s", folder, LABEL_FILE);
    return 0;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {IMAGE_FILE,
                                        LABEL_FILE,
                                        "test_batch.bin",
                                        "test.bin",
                                        "train-images-idx3-ubyte.gz",
                                        "train-labels-idx1-ubyte.gz",
                                        "t10k-images-idx3-ubyte",
                                        "t10k-labels-idx1-ubyte"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

static void write_plain(const char *path, const void *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(len, fwrite(bytes, 1, len, f));
    assert_int_equal(0, fclose(f));
}

static void write_gz(const char *path, const void *bytes, size_t len)
{
    gzFile f = gzopen(path, "wb1");
    assert_non_null(f);
    assert_int_equal(len, gzwrite(f, bytes, (unsigned)len));
    assert_int_equal(Z_OK, gzclose(f));
}

static size_t read_plain(const char *path, uint8_t *out, size_t room)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    const size_t len = fread(out, 1, room, f);
    assert_true(len < room);
    fclose(f);
    return len;
}

/* Three images of two rows and four columns, pixel p of image i being 10 i + p; labels 4, 0, 2. */
static const uint8_t tiny_images[40] = {0,  0,  8,  3,  0,  0,  0,  3,  0,  0,  0,  2,  0,  0,  0,  4,  0,  1,  2,  3,
                                        4,  5,  6,  7,  10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22, 23, 24, 25, 26, 27};
static const uint8_t tiny_labels[11] = {0, 0, 8, 1, 0, 0, 0, 3, 4, 0, 2};

static void check_tiny(const sotto_dataset *d)
{
    static const uint16_t labels[3] = {4, 0, 2};
    assert_int_equal(3, d->count);
    assert_int_equal(5, d->classes);
    assert_int_equal(1, d->shape.c);
    assert_int_equal(2, d->shape.h);
    assert_int_equal(4, d->shape.w);
    assert_memory_equal(tiny_images + 16, d->images, 24);
    assert_memory_equal(labels, d->labels, sizeof labels);
}

/* Reading fails with `want` and leaves nothing behind. */
static void refused(int want)
{
    sotto_dataset d;
    assert_status(want, sotto_dataset_idx(&d, image_path, label_path));
    assert_true(strstr(sotto_error_message(), folder) != NULL);
    assert_null(d.images);
    assert_null(d.labels);
    assert_int_equal(0, d.count);
}

static void test_idx(void **state)
{
    (void)state;
    for (unsigned packed = 0; packed < 4; packed++) {
        sotto_dataset d;
        (packed & 1 ? write_gz : write_plain)(image_path, tiny_images, sizeof tiny_images);
        (packed & 2 ? write_gz : write_plain)(label_path, tiny_labels, sizeof tiny_labels);
        assert_ok(sotto_dataset_idx(&d, image_path, label_path));
        check_tiny(&d);
        sotto_dataset_free(&d);
        assert_null(d.images);
        sotto_dataset_free(&d);
    }
}

/* Every proper prefix of a file is refused, and so is the file with a byte more. */
static void torn(const char *path, const uint8_t *bytes, size_t len)
{
    uint8_t longer[256] = {0};
    assert_true(len < sizeof longer);
    for (size_t cut = 0; cut < len; cut++) {
        write_plain(path, bytes, cut);
        refused(SOTTO_ERR_FORMAT);
    }
    memcpy(longer, bytes, len);
    longer[len] = 7;
    write_plain(path, longer, len + 1);
}

static void test_idx_torn(void **state)
{
    (void)state;
    write_plain(label_path, tiny_labels, sizeof tiny_labels);
    torn(image_path, tiny_images, sizeof tiny_images);
    refused(SOTTO_ERR_FORMAT);
    write_plain(image_path, tiny_images, sizeof tiny_images);
    torn(label_path, tiny_labels, sizeof tiny_labels);
    refused(SOTTO_ERR_FORMAT);
}

static void test_gz_torn(void **state)
{
    uint8_t packed[256];
    sotto_dataset d;
    (void)state;
    write_plain(label_path, tiny_labels, sizeof tiny_labels);
    write_gz(image_path, tiny_images, sizeof tiny_images);
    const size_t len = read_plain(image_path, packed, sizeof packed);
    torn(image_path, packed, len);
    /* Past the ten bytes of the gzip header, whose time and system nobody checks, a flipped bit is noticed, unless it pads the last byte of the data and
     * changes nothing; in the checksum and the length, the last eight bytes, always. */
    for (size_t i = 8 * 10; i < 8 * len; i++) {
        packed[i / 8] ^= (uint8_t)(1u << i % 8);
        write_plain(image_path, packed, len);
        const int status = sotto_dataset_idx(&d, image_path, label_path);
        if (status == SOTTO_OK) {
            assert_true(i < 8 * (len - 8));
            check_tiny(&d);
        }
        sotto_dataset_free(&d);
        packed[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    /* A whole compressed file of a longer content. */
    uint8_t longer[40 + 1] = {0};
    memcpy(longer, tiny_images, sizeof tiny_images);
    write_gz(image_path, longer, sizeof longer);
    refused(SOTTO_ERR_FORMAT);
}

static void test_idx_headers(void **state)
{
    static const struct header {
        int labels; /* file */
        size_t at;  /* of four big-endian bytes */
        uint32_t value;
        int want;
    } headers[] = {
        {0, 0, 0x00000801, SOTTO_ERR_FORMAT},  {0, 0, 0x00000d03, SOTTO_ERR_FORMAT},  {1, 0, 0x00000803, SOTTO_ERR_FORMAT},
        {0, 4, 0, SOTTO_ERR_LIMIT},            {0, 4, 10000001, SOTTO_ERR_LIMIT},     {0, 4, 0xffffffff, SOTTO_ERR_LIMIT},
        {0, 8, 0, SOTTO_ERR_LIMIT},            {0, 8, 1025, SOTTO_ERR_LIMIT},         {0, 12, 0, SOTTO_ERR_LIMIT},
        {0, 12, 0xffffffff, SOTTO_ERR_LIMIT},  {0, 4, 2, SOTTO_ERR_FORMAT},           {0, 4, 4, SOTTO_ERR_FORMAT},
        {0, 8, 3, SOTTO_ERR_FORMAT},           {1, 4, 2, SOTTO_ERR_MISMATCH},         {1, 4, 4, SOTTO_ERR_MISMATCH},
        {1, 4, 0, SOTTO_ERR_LIMIT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        uint8_t images[sizeof tiny_images], labels[sizeof tiny_labels];
        const struct header *h = &headers[i];
        memcpy(images, tiny_images, sizeof images);
        memcpy(labels, tiny_labels, sizeof labels);
        for (size_t b = 0; b < 4; b++) {
            (h->labels ? labels : images)[h->at + b] = (uint8_t)(h->value >> (24 - 8 * b));
        }
        write_plain(image_path, images, sizeof images);
        write_plain(label_path, labels, sizeof labels);
        refused(h->want);
    }
}

/* A header may claim gigabytes that the file cannot hold: refused before they are allocated, so the failing allocation is never reached. */
static void test_idx_claims(void **state)
{
    static const uint8_t big[2][16] = {{0, 0, 8, 3, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0},       /* 1024 of 1024 x 1024 */
                                       {0, 0, 8, 3, 0, 0, 8, 0, 0, 0, 4, 0, 0, 0, 4, 0}};      /* 2 GiB */
    static const uint8_t more[16] = {0, 0, 8, 3, 0, 0, 8, 1, 0, 0, 4, 0, 0, 0, 4, 0};
    (void)state;
    write_plain(label_path, tiny_labels, sizeof tiny_labels);
    for (size_t i = 0; i < 2; i++) {
        for (int packed = 0; packed < 2; packed++) {
            (packed ? write_gz : write_plain)(image_path, big[i], sizeof big[i]);
            sotto_calloc_fail_after(0);
            refused(SOTTO_ERR_FORMAT);
            sotto_calloc_fail_after(-1);
        }
    }
    write_plain(image_path, more, sizeof more);
    refused(SOTTO_ERR_LIMIT);
}

static void test_no_file(void **state)
{
    sotto_dataset d;
    (void)state;
    write_plain(image_path, tiny_images, sizeof tiny_images);
    assert_status(SOTTO_ERR_IO, sotto_dataset_idx(&d, "/nonexistent/images", label_path));
    assert_status(SOTTO_ERR_IO, sotto_dataset_idx(&d, image_path, "/nonexistent/labels"));
    assert_true(strstr(sotto_error_message(), "/nonexistent/labels") != NULL);
    assert_null(d.images);
    assert_status(SOTTO_ERR_IO, sotto_dataset_fashion(&d, "/nonexistent", 1));
    assert_status(SOTTO_ERR_IO, sotto_dataset_cifar10(&d, "/nonexistent", 1));
    assert_status(SOTTO_ERR_IO, sotto_dataset_cifar100(&d, "/nonexistent", 0));
    assert_null(d.images);
    assert_null(d.labels);
}

static void test_no_memory(void **state)
{
    sotto_dataset d;
    int status = SOTTO_ERR_MEMORY;
    long k = 0;
    (void)state;
    write_plain(image_path, tiny_images, sizeof tiny_images);
    write_plain(label_path, tiny_labels, sizeof tiny_labels);
    for (; status != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        status = sotto_dataset_idx(&d, image_path, label_path);
        sotto_calloc_fail_after(-1);
        assert_true(status == SOTTO_OK || (status == SOTTO_ERR_MEMORY && d.images == NULL && d.labels == NULL));
    }
    assert_true(k > 3);
    check_tiny(&d);
    sotto_dataset_free(&d);
}

/* Names and the choice between a compressed and a plain file. */
static void test_fashion_names(void **state)
{
    char path[128];
    (void)state;
    snprintf(path, sizeof path, "%s/train-images-idx3-ubyte.gz", folder);
    write_gz(path, tiny_images, sizeof tiny_images);
    snprintf(path, sizeof path, "%s/train-labels-idx1-ubyte.gz", folder);
    write_gz(path, tiny_labels, sizeof tiny_labels);
    snprintf(path, sizeof path, "%s/t10k-images-idx3-ubyte", folder);
    write_plain(path, tiny_images, sizeof tiny_images);
    snprintf(path, sizeof path, "%s/t10k-labels-idx1-ubyte", folder);
    write_plain(path, tiny_labels, sizeof tiny_labels);
    for (int train = 0; train < 2; train++) {
        sotto_dataset d;
        assert_ok(sotto_dataset_fashion(&d, folder, train));
        check_tiny(&d);
        sotto_dataset_free(&d);
    }
}

/* Counts, first labels and moments as published with the set: 60,000 and 10,000 images, 6,000 and 1,000 of each class, mean 0.2860, deviation 0.3530. */
static void test_fashion(void **state)
{
    static const uint16_t first[2][4] = {{9, 2, 1, 1}, {9, 0, 0, 3}};
    (void)state;
    if (access("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz", R_OK) != 0) {
        skip();
    }
    for (int train = 0; train < 2; train++) {
        sotto_dataset d;
        size_t of_class[10] = {0};
        float mean[SOTTO_INPUT_CHANNELS_MAX], std[SOTTO_INPUT_CHANNELS_MAX];
        assert_ok(sotto_dataset_fashion(&d, NULL, train));
        assert_int_equal(train ? 60000 : 10000, d.count);
        assert_int_equal(10, d.classes);
        assert_int_equal(28, d.shape.h);
        assert_int_equal(28, d.shape.w);
        assert_memory_equal(first[train], d.labels, sizeof first[train]);
        for (size_t i = 0; i < d.count; i++) {
            of_class[d.labels[i]]++;
        }
        for (size_t c = 0; c < 10; c++) {
            assert_int_equal(d.count / 10, of_class[c]);
        }
        sotto_dataset_statistics(&d, mean, std);
        assert_true(fabsf(mean[0] - 0.2860f) < (train ? 1e-4f : 2e-3f));
        assert_true(fabsf(std[0] - 0.3530f) < (train ? 1e-4f : 2e-3f));
        sotto_dataset_free(&d);
    }
}

#define RECORD 3073
#define RECORDS 10000

static void test_cifar10(void **state)
{
    char path[64];
    sotto_dataset d;
    (void)state;
    snprintf(path, sizeof path, "%s/test_batch.bin", folder);
    uint8_t *raw = sotto_calloc(RECORDS, RECORD);
    assert_non_null(raw);
    for (size_t i = 0; i < RECORDS; i++) {
        raw[i * RECORD] = (uint8_t)(i * 7 % 10);
        memset(raw + i * RECORD + 1, (int)(i % 251), 3072);
        raw[i * RECORD + 1] = (uint8_t)(i >> 8); /* the corners of red and blue tell order and place */
        raw[i * RECORD + 3072] = (uint8_t)i;
    }
    write_gz(path, raw, (size_t)RECORDS * RECORD);
    assert_ok(sotto_dataset_cifar10(&d, folder, 0));
    assert_int_equal(RECORDS, d.count);
    assert_int_equal(10, d.classes);
    assert_true(d.shape.c == 3 && d.shape.h == 32 && d.shape.w == 32);
    for (size_t i = 0; i < RECORDS; i++) {
        assert_int_equal(i * 7 % 10, d.labels[i]);
        assert_memory_equal(raw + i * RECORD + 1, d.images + i * 3072, 3072);
    }
    sotto_dataset_free(&d);
    assert_status(SOTTO_ERR_IO, sotto_dataset_cifar10(&d, folder, 1));
    assert_null(d.images);
    write_gz(path, raw, (size_t)RECORDS * RECORD - 1);
    assert_status(SOTTO_ERR_FORMAT, sotto_dataset_cifar10(&d, folder, 0));
    raw[(RECORDS - 1) * RECORD] = 10;
    write_gz(path, raw, (size_t)RECORDS * RECORD);
    assert_status(SOTTO_ERR_FORMAT, sotto_dataset_cifar10(&d, folder, 0));
    assert_true(strstr(sotto_error_message(), "label 10") != NULL);
    assert_null(d.images);
    for (long k = 0; k < 2; k++) {
        sotto_calloc_fail_after(k);
        assert_status(SOTTO_ERR_MEMORY, sotto_dataset_cifar10(&d, folder, 0));
        sotto_calloc_fail_after(-1);
        assert_null(d.images);
        assert_null(d.labels);
    }
    sotto_free(raw);
}

/* Coarse label, fine label, image: the fine one is kept, whatever the coarse one says. */
static void test_cifar100(void **state)
{
    enum { FINE = 3074 };
    char path[64];
    sotto_dataset d;
    (void)state;
    snprintf(path, sizeof path, "%s/test.bin", folder);
    uint8_t *raw = sotto_calloc(RECORDS, FINE);
    assert_non_null(raw);
    for (size_t i = 0; i < RECORDS; i++) {
        raw[i * FINE] = (uint8_t)(i % 256);
        raw[i * FINE + 1] = (uint8_t)(i * 7 % 100);
        memset(raw + i * FINE + 2, (int)(i % 251), 3072);
        raw[i * FINE + 2] = (uint8_t)(i >> 8);
        raw[i * FINE + 3073] = (uint8_t)i;
    }
    write_gz(path, raw, (size_t)RECORDS * FINE);
    assert_ok(sotto_dataset_cifar100(&d, folder, 0));
    assert_int_equal(RECORDS, d.count);
    assert_int_equal(100, d.classes);
    assert_true(d.shape.c == 3 && d.shape.h == 32 && d.shape.w == 32);
    for (size_t i = 0; i < RECORDS; i++) {
        assert_int_equal(i * 7 % 100, d.labels[i]);
        assert_memory_equal(raw + i * FINE + 2, d.images + i * 3072, 3072);
    }
    sotto_dataset_free(&d);
    /* The training half is not there; that of the test was read all the same. */
    assert_status(SOTTO_ERR_IO, sotto_dataset_cifar100(&d, folder, 1));
    assert_true(strstr(sotto_error_message(), "train.bin") != NULL);
    assert_null(d.images);
    raw[FINE + 1] = 100;
    write_gz(path, raw, (size_t)RECORDS * FINE);
    assert_status(SOTTO_ERR_FORMAT, sotto_dataset_cifar100(&d, folder, 0));
    assert_true(strstr(sotto_error_message(), "label 100 of image 1;") != NULL);
    raw[FINE + 1] = 99;
    for (int more = -1; more <= 1; more += 2) {
        write_gz(path, raw, (size_t)RECORDS * FINE - 1);
        if (more > 0) {
            gzFile file = gzopen(path, "ab1");
            assert_non_null(file);
            assert_int_equal(2, gzwrite(file, raw, 2));
            assert_int_equal(Z_OK, gzclose(file));
        }
        assert_status(SOTTO_ERR_FORMAT, sotto_dataset_cifar100(&d, folder, 0));
        assert_null(d.images);
    }
    sotto_free(raw);
}

/* The real sets in $SOTTO_DATA, each half that is there: balanced classes, the channel means that everybody normalises with. */
static void real_cifar(const char *name, int (*read)(sotto_dataset *, const char *, int), size_t classes, const float means[3])
{
    const char *data = getenv("SOTTO_DATA");
    char path[1024];
    unsigned halves = 0;
    if (data == NULL) {
        skip();
    }
    snprintf(path, sizeof path, "%s/%s", data, name);
    for (int train = 0; train < 2; train++) {
        sotto_dataset d;
        size_t of_class[100] = {0};
        float mean[SOTTO_INPUT_CHANNELS_MAX], std[SOTTO_INPUT_CHANNELS_MAX];
        const int status = read(&d, path, train);
        if (status == SOTTO_ERR_IO) {
            continue;
        }
        assert_ok(status);
        halves++;
        assert_int_equal(train ? 50000 : 10000, d.count);
        assert_int_equal(classes, d.classes);
        for (size_t i = 0; i < d.count; i++) {
            of_class[d.labels[i]]++;
        }
        for (size_t c = 0; c < classes; c++) {
            assert_int_equal(d.count / classes, of_class[c]);
        }
        sotto_dataset_statistics(&d, mean, std);
        for (size_t c = 0; c < 3; c++) {
            assert_true(fabsf(mean[c] - means[c]) < (train ? 1e-4f : 5e-3f));
        }
        sotto_dataset_free(&d);
    }
    if (halves == 0) {
        skip();
    }
}

static void test_cifar10_real(void **state)
{
    static const float means[3] = {0.4914f, 0.4822f, 0.4465f};
    (void)state;
    real_cifar("cifar-10-batches-bin", sotto_dataset_cifar10, 10, means);
}

static void test_cifar100_real(void **state)
{
    static const float means[3] = {0.5071f, 0.4865f, 0.4409f};
    (void)state;
    real_cifar("cifar-100-binary", sotto_dataset_cifar100, 100, means);
}

static void test_statistics(void **state)
{
    /* Two images of two channels and two pixels: 0 255 0 255 has mean and deviation 1/2, a constant has deviation next to nothing, never zero. */
    uint8_t images[8] = {0, 255, 51, 51, 0, 255, 51, 51};
    uint16_t labels[2] = {0, 0};
    const sotto_dataset d = {.shape = {2, 1, 2}, .count = 2, .images = images, .labels = labels, .classes = 1};
    float mean[SOTTO_INPUT_CHANNELS_MAX], std[SOTTO_INPUT_CHANNELS_MAX];
    (void)state;
    sotto_dataset_statistics(&d, mean, std);
    assert_true(fabsf(mean[0] - 0.5f) < 1e-6f && fabsf(std[0] - 0.5f) < 1e-6f);
    assert_true(fabsf(mean[1] - 0.2f) < 1e-6f && std[1] > 0.0f && std[1] < 1e-4f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idx),           cmocka_unit_test(test_idx_torn), cmocka_unit_test(test_gz_torn), cmocka_unit_test(test_idx_headers),
        cmocka_unit_test(test_idx_claims),    cmocka_unit_test(test_no_file),  cmocka_unit_test(test_no_memory), cmocka_unit_test(test_fashion_names),
        cmocka_unit_test(test_fashion),       cmocka_unit_test(test_cifar10),  cmocka_unit_test(test_cifar10_real),
        cmocka_unit_test(test_cifar100),      cmocka_unit_test(test_cifar100_real),
        cmocka_unit_test(test_statistics),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
