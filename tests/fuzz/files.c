/* Decoders of files: models, data sets, images. */
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#ifdef SOTTO_JPEG
#include <jpeglib.h>
#endif

#include "apps/commands.h"
#include "lib/mem.h"
#include "lib/prg.h"
#include "nn/model/weights.h"
#include "tests/fuzz/targets.h"
#include "tests/nn/fixture.h"

enum { HASH_BYTES = 32 };

/* ---- the public part ----------------------------------------------------------------------------------------------- */

static char *planned; /* fixture_plain, trained as far as the fixture does, with its plan, windows of channels, id and checksum */
static size_t planned_len;
static sotto_model model; /* the same with its weights */

static void start_model(void)
{
    sotto_prg prg;
    if (planned != NULL) {
        return;
    }
    sotto_prg_init(&prg, (sotto_block){{0x6d6f64656c, 0}});
    const sotto_rng rng = sotto_prg_rng(&prg);
    fixture_model(&model, fixture_plain, 5, &rng);
    fixture_windows(&model, 3, &rng);
    require(sotto_model_print(&model, &planned, &planned_len) == SOTTO_OK);
}

/* A copy whose checksum line, if it ends in one, fits: random edits of a sealed text would otherwise all end there. */
static char *sealed(const uint8_t *data, size_t len, size_t *sealed_len)
{
    static const char keyword[] = "\nchecksum ";
    char *text = sotto_calloc(len + 1 + 2 * HASH_BYTES + sizeof keyword, 1);
    uint8_t hash[HASH_BYTES];
    require(text != NULL);
    memcpy(text, data, len);
    for (size_t i = len; i-- > 0;) {
        if (len - i >= sizeof keyword - 1 && memcmp(data + i, keyword, sizeof keyword - 1) == 0) {
            len = i + 1;
            crypto_generichash(hash, sizeof hash, data, len, NULL, 0);
            len += (size_t)sprintf(text + len, "checksum ");
            sodium_bin2hex(text + len, 2 * HASH_BYTES + 1, hash, sizeof hash);
            len += 2 * HASH_BYTES;
            text[len++] = '\n';
            break;
        }
    }
    *sealed_len = len;
    return text;
}

/* What is accepted prints to a text that is read back to the same text. */
static void require_canonical(sotto_model *m)
{
    char *first = NULL, *second = NULL;
    size_t first_len, second_len;
    sotto_model again;
    require(sotto_model_print(m, &first, &first_len) == SOTTO_OK);
    require(sotto_model_parse(&again, first, first_len) == SOTTO_OK);
    require(sotto_model_print(&again, &second, &second_len) == SOTTO_OK);
    require(first_len == second_len && memcmp(first, second, first_len) == 0);
    require(memcmp(m->public_hash, again.public_hash, sizeof m->public_hash) == 0);
    sotto_model_free(&again);
    sotto_free(first);
    sotto_free(second);
}

static int parse(sotto_model *m, const uint8_t *data, size_t len)
{
    static const sotto_model zero;
    size_t text_len;
    char *text = sealed(data, len, &text_len);
    const int status = sotto_model_parse(m, text, text_len);
    sotto_free(text);
    require(status == SOTTO_OK || memcmp(m, &zero, sizeof zero) == 0);
    return status == SOTTO_OK;
}

static int run_text(const uint8_t *data, size_t len)
{
    sotto_model m;
    if (!parse(&m, data, len)) {
        return 0;
    }
    require_canonical(&m);
    sotto_model_free(&m);
    return 1;
}

static size_t seed_text(unsigned i, uint8_t *out)
{
    const char *const texts[] = {fixture_plain, fixture_rich, planned};
    if (i >= sizeof texts / sizeof *texts) {
        return 0;
    }
    const size_t len = i == 2 ? planned_len : strlen(texts[i]);
    memcpy(out, texts[i], len);
    return len;
}

const fuzz_target fuzz_text = {"text", start_model, run_text, seed_text, 0};

/* What a client derives from a public part that a server handed it: refused or a network; never a crash. Models of ordinary size cost
 * ordinary time, so only small ones are compiled. */
static int run_network(const uint8_t *data, size_t len)
{
    static const sotto_network zero;
    sotto_model m;
    sotto_network n;
    size_t words = 0;
    if (!parse(&m, data, len)) {
        return 0;
    }
    for (size_t i = 0; i < m.node_count && words <= 1u << 16; i++) {
        words += sotto_shape_words(m.nodes[i].shape);
        for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
            words += sotto_tensor_count(&m, &m.nodes[i], t);
        }
        words += m.nodes[i].plan.he_n * m.nodes[i].plan.he_primes / 4;
    }
    int ok = 0;
    if (words <= 1u << 16) {
        ok = sotto_network_new(&n, &m) == SOTTO_OK;
        require(ok || memcmp(&n, &zero, sizeof zero) == 0);
        if (ok) {
            sotto_network_free(&n);
        }
    }
    sotto_model_free(&m);
    return ok;
}

static size_t seed_network(unsigned i, uint8_t *out)
{
    return i == 0 ? seed_text(2, out) : 0;
}

const fuzz_target fuzz_network = {"network", start_model, run_network, seed_network, 0};

/* ---- the weights --------------------------------------------------------------------------------------------------- */

static uint8_t *weights;
static size_t weights_len;

static void start_weights(void)
{
    char folder[] = "/tmp/sotto-fuzz-XXXXXX", public_path[64], weights_path[64];
    if (weights != NULL) {
        return;
    }
    start_model();
    require(mkdtemp(folder) != NULL);
    (void)snprintf(public_path, sizeof public_path, "%s/m.sotto", folder);
    (void)snprintf(weights_path, sizeof weights_path, "%s/m.weights", folder);
    require(sotto_model_save(&model, public_path, weights_path) == SOTTO_OK);
    require(sotto_file_read(weights_path, FUZZ_SEED_MAX, &weights, &weights_len) == SOTTO_OK);
    require(unlink(public_path) == 0 && unlink(weights_path) == 0 && rmdir(folder) == 0);
}

/* Under the fixture's public part: the input as it is, and with the checksum that fits. Tensors that are accepted are the file's bytes. */
static int run_weights(const uint8_t *data, size_t len)
{
    fuzz_file public_part = fuzz_file_new((const uint8_t *)planned, planned_len);
    uint8_t *copy = sotto_calloc(len + 1, 1);
    int ok = 0;
    require(copy != NULL);
    memcpy(copy, data, len);
    for (int fit = 0; fit < 2; fit++) {
        sotto_model m;
        if (fit && len >= HASH_BYTES) {
            crypto_generichash(copy + len - HASH_BYTES, HASH_BYTES, copy, len - HASH_BYTES, NULL, 0);
        }
        fuzz_file file = fuzz_file_new(copy, len);
        ok = sotto_model_load(&m, public_part.path, file.path) == SOTTO_OK;
        fuzz_file_free(&file);
        if (!ok) {
            continue;
        }
        size_t pos = 8 + 4 + 16 + 32 + 4;
        for (size_t i = 0; i < m.node_count; i++) {
            for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
                const size_t count = sotto_tensor_count(&m, &m.nodes[i], t);
                pos += count > 0 ? 12 : 0;
                require(count == 0 || memcmp(m.nodes[i].tensor[t], copy + pos, 4 * count) == 0);
                pos += 4 * count;
                for (size_t j = 0; j < count; j++) {
                    require(isfinite(m.nodes[i].tensor[t][j]));
                }
            }
        }
        require(pos + HASH_BYTES == len);
        sotto_model_free(&m);
    }
    sotto_free(copy);
    fuzz_file_free(&public_part);
    return ok;
}

static size_t seed_weights(unsigned i, uint8_t *out)
{
    memcpy(out, weights, weights_len);
    return i == 0 ? weights_len : 0;
}

const fuzz_target fuzz_weights = {"weights", start_weights, run_weights, seed_weights, 1};

/* ---- data sets ----------------------------------------------------------------------------------------------------- */

static void require_dataset(sotto_dataset *d)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < d->count * sotto_shape_words(d->shape); i++) {
        sum += d->images[i];
    }
    for (size_t i = 0; i < d->count; i++) {
        require(d->labels[i] < d->classes);
    }
    require(sum <= 255 * (uint64_t)d->count * sotto_shape_words(d->shape));
    sotto_dataset_free(d);
}

/* Two bytes: how long the file of images is; the rest is that of labels. */
static int run_idx(const uint8_t *data, size_t len)
{
    sotto_dataset d;
    const size_t split = len < 2 ? 0 : (size_t)data[0] << 8 | data[1];
    if (len < 2 || split > len - 2) {
        return 0;
    }
    fuzz_file images = fuzz_file_new(data + 2, split), labels = fuzz_file_new(data + 2 + split, len - 2 - split);
    const int ok = sotto_dataset_idx(&d, images.path, labels.path) == SOTTO_OK;
    if (ok) {
        require_dataset(&d);
    } else {
        require(d.images == NULL && d.labels == NULL);
    }
    fuzz_file_free(&images);
    fuzz_file_free(&labels);
    return ok;
}

/* gzip of `len` bytes, at most FUZZ_SEED_MAX. */
static size_t packed(uint8_t *out, const uint8_t *data, size_t len)
{
    z_stream z;
    memset(&z, 0, sizeof z);
    require(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = (uint8_t *)(uintptr_t)data;
    z.avail_in = (uInt)len;
    z.next_out = out;
    z.avail_out = FUZZ_SEED_MAX - 2;
    require(deflate(&z, Z_FINISH) == Z_STREAM_END);
    const size_t size = z.total_out;
    deflateEnd(&z);
    return size;
}

static size_t seed_idx(unsigned i, uint8_t *out)
{
    static const uint8_t images[16 + 3 * 6] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3},
                         labels[8 + 3] = {0, 0, 8, 1, 0, 0, 0, 3, 0, 7, 1};
    size_t first = sizeof images, second = sizeof labels;
    if (i == 0) {
        memcpy(out + 2, images, first);
        memcpy(out + 2 + first, labels, second);
    } else if (i == 1) {
        first = packed(out + 2, images, sizeof images);
        uint8_t *rest = sotto_calloc(FUZZ_SEED_MAX, 1);
        require(rest != NULL);
        second = packed(rest, labels, sizeof labels);
        memcpy(out + 2 + first, rest, second);
        sotto_free(rest);
    } else {
        return 0;
    }
    out[0] = (uint8_t)(first >> 8);
    out[1] = (uint8_t)first;
    return 2 + first + second;
}

const fuzz_target fuzz_idx = {"idx", NULL, run_idx, seed_idx, 0};

/* A whole batch has 30 MB: it comes compressed, or the input is refused as too short. */
static char cifar_folder[] = "/tmp/sotto-fuzz-XXXXXX";

static const struct cifar_kind {
    const char *file;
    size_t record;
    int (*read)(sotto_dataset *d, const char *folder, int train);
} cifar10 = {"test_batch.bin", 3073, sotto_dataset_cifar10}, cifar100 = {"test.bin", 3074, sotto_dataset_cifar100};

static void cifar_path(const struct cifar_kind *kind, char path[64])
{
    (void)snprintf(path, 64, "%s/%s", cifar_folder, kind->file);
}

static void leave_cifar(void)
{
    char path[64];
    cifar_path(&cifar10, path);
    (void)unlink(path);
    cifar_path(&cifar100, path);
    (void)unlink(path);
    (void)rmdir(cifar_folder);
}

static void start_cifar(void)
{
    static int made; /* both targets share it */
    if (!made) {
        require(mkdtemp(cifar_folder) != NULL);
        require(atexit(leave_cifar) == 0);
        made = 1;
    }
}

static int run_cifar(const struct cifar_kind *kind, const uint8_t *data, size_t len)
{
    char path[64];
    sotto_dataset d;
    fuzz_file file = fuzz_file_new(data, len);
    cifar_path(kind, path);
    (void)unlink(path);
    require(symlink(file.path, path) == 0);
    const int ok = kind->read(&d, cifar_folder, 0) == SOTTO_OK;
    if (ok) {
        require_dataset(&d);
    } else {
        require(d.images == NULL && d.labels == NULL);
    }
    fuzz_file_free(&file);
    return ok;
}

static size_t seed_cifar(const struct cifar_kind *kind, unsigned i, uint8_t *out)
{
    const size_t bytes = 10000 * kind->record;
    if (i > 0) {
        return 0;
    }
    uint8_t *batch = sotto_calloc(bytes, 1);
    require(batch != NULL);
    const size_t len = packed(out, batch, bytes);
    sotto_free(batch);
    return len;
}

static int run_cifar10(const uint8_t *data, size_t len)
{
    return run_cifar(&cifar10, data, len);
}

static size_t seed_cifar10(unsigned i, uint8_t *out)
{
    return seed_cifar(&cifar10, i, out);
}

static int run_cifar100(const uint8_t *data, size_t len)
{
    return run_cifar(&cifar100, data, len);
}

static size_t seed_cifar100(unsigned i, uint8_t *out)
{
    return seed_cifar(&cifar100, i, out);
}

const fuzz_target fuzz_cifar = {"cifar", start_cifar, run_cifar10, seed_cifar10, 0};
const fuzz_target fuzz_cifar100 = {"cifar100", start_cifar, run_cifar100, seed_cifar100, 0};

/* ---- images -------------------------------------------------------------------------------------------------------- */

/* Pictures of 5 x 4 pixels as they are, and any that are scaled to that, in grey or colour; what is accepted has as many bytes as asked for. */
static int run_image(const uint8_t *data, size_t len)
{
    int accepted = 0;
    fuzz_file file = fuzz_file_new(data, len);
    for (unsigned i = 0; i < 6; i++) {
        const sotto_shape shape = {i % 2 == 0 ? 1 : 3, 4, 5};
        uint8_t *pixels = (uint8_t *)&file;
        const int ok = image_read(file.path, shape, (image_mode)(i / 2), &pixels) == SOTTO_OK;
        require(ok == (pixels != NULL));
        unsigned sum = 0;
        for (size_t k = 0; ok && k < sotto_shape_words(shape); k++) {
            sum += pixels[k];
        }
        require(sum <= 255 * sotto_shape_words(shape));
        sotto_free(pixels);
        accepted |= ok;
    }
    fuzz_file_free(&file);
    return accepted;
}

static size_t seed_netpbm(unsigned i, uint8_t *out)
{
    static const char *const headers[] = {"P5\n5 4\n255\n", "P6\n# colour\n5 4 255\n", "P5 5 4 255 "};
    const size_t header = strlen(headers[i]), body = i == 1 ? 60 : 20;
    memcpy(out, headers[i], header);
    memset(out + header, 77, body);
    return header + body;
}

#ifdef SOTTO_PNG
/* Zeros of one grey, colour, grey with alpha or colour with alpha, each row with filter byte 0, as zlib's output in one IDAT chunk. */
static size_t seed_png(unsigned i, uint8_t *out)
{
    static const uint8_t types[] = {0, 2, 4, 6}, samples[] = {1, 3, 2, 4};
    uint8_t rows[4 * (1 + 5 * 4)] = {0}, ihdr[13] = {0, 0, 0, 5, 0, 0, 0, 4, 8, types[i], 0, 0, 0}, idat[128];
    uLongf idat_len = sizeof idat;
    require(compress(idat, &idat_len, rows, 4 * (1 + 5 * (uLong)samples[i])) == Z_OK);
    const struct {
        const char *type;
        const uint8_t *data;
        size_t len;
    } chunks[] = {{"IHDR", ihdr, sizeof ihdr}, {"IDAT", idat, idat_len}, {"IEND", idat, 0}};
    size_t pos = 8;
    memcpy(out, "\x89PNG\r\n\x1a\n", 8);
    for (size_t c = 0; c < 3; c++) {
        const uint32_t size = (uint32_t)chunks[c].len;
        uint8_t *p = out + pos;
        memcpy(p + 4, chunks[c].type, 4);
        memcpy(p + 8, chunks[c].data, size);
        const uint32_t crc = (uint32_t)crc32(0, p + 4, 4 + size);
        for (unsigned b = 0; b < 4; b++) {
            p[b] = (uint8_t)(size >> (24 - 8 * b));
            p[8 + size + b] = (uint8_t)(crc >> (24 - 8 * b));
        }
        pos += 12 + size;
    }
    return pos;
}
#endif

#ifdef SOTTO_JPEG
/* Grey or colour, baseline or progressive. */
static size_t seed_jpeg(unsigned i, uint8_t *out)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    uint8_t line[15] = {0, 255, 40, 80, 9}, *made = NULL;
    unsigned long len = 0;
    JSAMPROW row = line;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &made, &len);
    jpeg.image_width = 5;
    jpeg.image_height = 4;
    jpeg.input_components = i % 2 == 0 ? 1 : 3;
    jpeg.in_color_space = i % 2 == 0 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&jpeg);
    if (i / 2 == 1) {
        jpeg_simple_progression(&jpeg);
    }
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < jpeg.image_height) {
        (void)jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    require(len <= FUZZ_SEED_MAX);
    memcpy(out, made, len);
    free(made);
    return len;
}
#endif

static size_t seed_image(unsigned i, uint8_t *out)
{
    static const struct format {
        unsigned count;
        size_t (*seed)(unsigned i, uint8_t *out);
    } formats[] = {
        {3, seed_netpbm},
#ifdef SOTTO_PNG
        {4, seed_png},
#endif
#ifdef SOTTO_JPEG
        {4, seed_jpeg},
#endif
    };
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        if (i < formats[f].count) {
            return formats[f].seed(i, out);
        }
        i -= formats[f].count;
    }
    return 0;
}

const fuzz_target fuzz_image = {"image", NULL, run_image, seed_image, 0};
