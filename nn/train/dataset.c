#include "nn/train/dataset.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "lib/mem.h"

#define COUNT_MAX 10000000u
#define PIXELS_MAX (1u << 20)
#define BYTES_MAX ((size_t)1 << 31)
#define FASHION_FOLDER "/usr/share/datasets/fashion-mnist"

static int open_file(gzFile *file, const char *path)
{
    errno = 0;
    *file = gzopen(path, "rb"); /* reads plain files as well */
    return *file != NULL ? SOTTO_OK : sotto_fail(SOTTO_ERR_IO, "%s: %s", path, errno != 0 ? strerror(errno) : "no memory");
}

/* Exactly `len` bytes. */
static int read_exact(gzFile file, const char *path, void *out, size_t len)
{
    uint8_t *p = out;
    while (len > 0) {
        const unsigned chunk = len < (1u << 20) ? (unsigned)len : 1u << 20;
        const int n = gzread(file, p, chunk);
        if (n <= 0) {
            return sotto_fail(SOTTO_ERR_FORMAT, "%s: ends early or is damaged; fetch it again", path);
        }
        p += n;
        len -= (size_t)n;
    }
    return SOTTO_OK;
}

/* A compressed file that is cut within its checksum reads as ended; gzerror alone tells. */
static int at_end(gzFile file, const char *path)
{
    uint8_t byte;
    int code;
    const int n = gzread(file, &byte, 1);
    gzerror(file, &code);
    if (n != 0 || (code != Z_OK && code != Z_STREAM_END)) {
        return sotto_fail(SOTTO_ERR_FORMAT, "%s: is longer than its header says, or damaged; fetch it again", path);
    }
    return SOTTO_OK;
}

static uint32_t big_endian(const uint8_t b[4])
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* The header of an IDX file: magic and `dims` sizes. */
static int idx_header(gzFile file, const char *path, uint32_t magic, unsigned dims, uint32_t size[3])
{
    uint8_t raw[16];
    int status = read_exact(file, path, raw, 4 + 4 * dims);
    if (status != SOTTO_OK) {
        return status;
    }
    if (big_endian(raw) != magic) {
        return sotto_fail(SOTTO_ERR_FORMAT, "%s: magic 0x%08x; expected 0x%08x: is it the right file?", path, (unsigned)big_endian(raw),
                          (unsigned)magic);
    }
    for (unsigned i = 0; i < dims; i++) {
        size[i] = big_endian(raw + 4 + 4 * i);
    }
    if (size[0] == 0 || size[0] > COUNT_MAX) {
        return sotto_fail(SOTTO_ERR_LIMIT, "%s: %u items; expected 1 to %u", path, (unsigned)size[0], COUNT_MAX);
    }
    return SOTTO_OK;
}

/* Checks what a header says against the limits and against what the file can hold at all: deflate packs at most 258 bytes
 * into two bits, 1032 to 1. */
static int check_size(const sotto_dataset *d, gzFile file, const char *path)
{
    const size_t words = sotto_shape_words(d->shape);
    struct stat st;
    if (words == 0 || words > PIXELS_MAX || d->count > BYTES_MAX / words) {
        return sotto_fail(SOTTO_ERR_LIMIT, "%s: images of %zu values, %zu of them; at most %u values and 2 GiB in all", path, words, d->count,
                          PIXELS_MAX);
    }
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && d->count * words > (uint64_t)st.st_size * (gzdirect(file) ? 1 : 1032)) {
        return sotto_fail(SOTTO_ERR_FORMAT, "%s: is shorter than its header says; fetch it again", path);
    }
    return SOTTO_OK;
}

static int alloc(sotto_dataset *d, const char *path)
{
    d->images = sotto_calloc(d->count, sotto_shape_words(d->shape));
    d->labels = sotto_calloc(d->count, sizeof *d->labels);
    return d->images == NULL || d->labels == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "%s: no memory for %zu images", path, d->count) : SOTTO_OK;
}

static void count_classes(sotto_dataset *d)
{
    for (size_t i = 0; i < d->count; i++) {
        d->classes = d->labels[i] >= d->classes ? (size_t)d->labels[i] + 1 : d->classes;
    }
}

static int idx_labels(sotto_dataset *d, const char *path)
{
    gzFile file;
    uint32_t size[3] = {0};
    uint8_t *raw = NULL;
    int status = open_file(&file, path);
    if (status != SOTTO_OK) {
        return status;
    }
    status = idx_header(file, path, 0x00000801, 1, size);
    if (status == SOTTO_OK && size[0] != d->count) {
        status = sotto_fail(SOTTO_ERR_MISMATCH, "%s: %u labels for %zu images; give the two files of one set", path, (unsigned)size[0], d->count);
    }
    if (status == SOTTO_OK) {
        raw = sotto_calloc(d->count, 1);
        status = raw == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "%s: no memory for labels", path) : read_exact(file, path, raw, d->count);
    }
    if (status == SOTTO_OK) {
        status = at_end(file, path);
    }
    for (size_t i = 0; i < d->count && status == SOTTO_OK; i++) {
        d->labels[i] = raw[i];
    }
    sotto_free(raw);
    gzclose(file);
    return status;
}

int sotto_dataset_idx(sotto_dataset *d, const char *images_path, const char *labels_path)
{
    gzFile file;
    uint32_t size[3] = {0};
    memset(d, 0, sizeof *d);
    int status = open_file(&file, images_path);
    if (status != SOTTO_OK) {
        return status;
    }
    status = idx_header(file, images_path, 0x00000803, 3, size);
    if (status == SOTTO_OK && (size[1] == 0 || size[1] > 1024 || size[2] == 0 || size[2] > 1024)) {
        status = sotto_fail(SOTTO_ERR_LIMIT, "%s: images of %u x %u; expected 1 to 1024 a side", images_path, (unsigned)size[1], (unsigned)size[2]);
    }
    if (status == SOTTO_OK) {
        d->shape = (sotto_shape){1, size[1], size[2]};
        d->count = size[0];
        status = check_size(d, file, images_path);
    }
    if (status == SOTTO_OK) {
        status = alloc(d, images_path);
    }
    if (status == SOTTO_OK) {
        status = read_exact(file, images_path, d->images, d->count * sotto_shape_words(d->shape));
    }
    if (status == SOTTO_OK) {
        status = at_end(file, images_path);
    }
    gzclose(file);
    if (status == SOTTO_OK) {
        status = idx_labels(d, labels_path);
    }
    if (status == SOTTO_OK) {
        count_classes(d);
    } else {
        sotto_dataset_free(d);
    }
    return status;
}

int sotto_dataset_fashion(sotto_dataset *d, const char *folder, int train)
{
    char path[2][1024];
    const char *kind[2] = {"images-idx3-ubyte", "labels-idx1-ubyte"};
    folder = folder == NULL ? FASHION_FOLDER : folder;
    for (unsigned i = 0; i < 2; i++) {
        snprintf(path[i], sizeof path[i], "%s/%s-%s.gz", folder, train ? "train" : "t10k", kind[i]);
        FILE *packed = fopen(path[i], "rb");
        if (packed == NULL) {
            path[i][strlen(path[i]) - 3] = '\0';
        } else {
            fclose(packed);
        }
    }
    return sotto_dataset_idx(d, path[0], path[1]);
}

#define CIFAR_BYTES (3 * 32 * 32)
#define CIFAR_LABELS_MAX 2

/* A record is its label bytes, then the image: red, green, blue, each rows before columns. */
typedef struct cifar_kind {
    size_t label_bytes, label_at;
    unsigned classes;
    const char *files[2][5]; /* test, train */
    size_t records[2];       /* of each file */
} cifar_kind;

static const cifar_kind cifar10 = {1, 0, 10,
                                   {{"test_batch.bin"},
                                    {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"}},
                                   {10000, 10000}};
/* A coarse label of 20 stands before the fine one. */
static const cifar_kind cifar100 = {2, 1, 100, {{"test.bin"}, {"train.bin"}}, {10000, 50000}};

/* One file, to the images and labels from number `at` on. */
static int cifar_file(sotto_dataset *d, const cifar_kind *kind, const char *path, size_t at, size_t records)
{
    uint8_t label[CIFAR_LABELS_MAX];
    gzFile file;
    int status = open_file(&file, path);
    if (status != SOTTO_OK) {
        return status;
    }
    for (size_t i = 0; i < records && status == SOTTO_OK; i++) {
        status = read_exact(file, path, label, kind->label_bytes);
        if (status == SOTTO_OK && label[kind->label_at] >= kind->classes) {
            status = sotto_fail(SOTTO_ERR_FORMAT, "%s: label %u of image %zu; expected 0 to %u: is it the right file?", path, label[kind->label_at], i,
                                kind->classes - 1);
        }
        if (status == SOTTO_OK) {
            d->labels[at + i] = label[kind->label_at];
            status = read_exact(file, path, d->images + (at + i) * CIFAR_BYTES, CIFAR_BYTES);
        }
    }
    if (status == SOTTO_OK) {
        status = at_end(file, path);
    }
    gzclose(file);
    return status;
}

static int cifar(sotto_dataset *d, const cifar_kind *kind, const char *folder, int train)
{
    const char *const *files = kind->files[train != 0];
    const size_t records = kind->records[train != 0];
    size_t count = 0;
    memset(d, 0, sizeof *d);
    while (count < 5 && files[count] != NULL) {
        count++;
    }
    d->shape = (sotto_shape){3, 32, 32};
    d->count = count * records;
    int status = alloc(d, folder);
    for (size_t i = 0; i < count && status == SOTTO_OK; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        status = cifar_file(d, kind, path, i * records, records);
    }
    if (status == SOTTO_OK) {
        count_classes(d);
    } else {
        sotto_dataset_free(d);
    }
    return status;
}

int sotto_dataset_cifar10(sotto_dataset *d, const char *folder, int train)
{
    return cifar(d, &cifar10, folder, train);
}

int sotto_dataset_cifar100(sotto_dataset *d, const char *folder, int train)
{
    return cifar(d, &cifar100, folder, train);
}

void sotto_dataset_free(sotto_dataset *d)
{
    sotto_free(d->images);
    sotto_free(d->labels);
    memset(d, 0, sizeof *d);
}

void sotto_dataset_statistics(const sotto_dataset *d, float mean[SOTTO_INPUT_CHANNELS_MAX], float std[SOTTO_INPUT_CHANNELS_MAX])
{
    const size_t area = (size_t)d->shape.h * d->shape.w, words = sotto_shape_words(d->shape);
    for (uint32_t c = 0; c < d->shape.c && c < SOTTO_INPUT_CHANNELS_MAX; c++) {
        double sum = 0.0, square = 0.0;
        for (size_t i = 0; i < d->count; i++) {
            const uint8_t *p = d->images + i * words + c * area;
            for (size_t j = 0; j < area; j++) {
                const double v = p[j] / 255.0;
                sum += v;
                square += v * v;
            }
        }
        const double n = (double)d->count * (double)area, m = sum / n;
        mean[c] = (float)m;
        std[c] = (float)sqrt(fmax(square / n - m * m, 1e-12));
    }
}
