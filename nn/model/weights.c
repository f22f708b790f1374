#include "nn/model/weights.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/mem.h"
#include "nn/model/text.h"

#define MAGIC "SOTTOWTS"
#define WEIGHTS_VERSION 1
#define HEADER_BYTES (8 + 4 + 16 + 32 + 4)
#define TENSOR_HEADER_BYTES 12
#define HASH_BYTES 32

/* ---- whole files ----------------------------------------------------------------------------------------------- */

/* Non-blocking, so that a pipe in the place of a file cannot hold the caller up. */
static int open_file(const char *path, int *fd, uint64_t *size)
{
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0 || fstat(*fd, &st) != 0) {
        return sotto_fail(SOTTO_ERR_IO, "%s: %s; check the path", path, strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return sotto_fail(SOTTO_ERR_IO, "%s: not a regular file", path);
    }
    *size = (uint64_t)st.st_size;
    return SOTTO_OK;
}

static int read_exactly(const char *path, int fd, uint8_t *out, size_t len)
{
    while (len > 0) {
        const ssize_t n = read(fd, out, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return sotto_fail(SOTTO_ERR_IO, "%s: %s", path, n == 0 ? "became shorter while it was read" : strerror(errno));
        }
        out += n;
        len -= (size_t)n;
    }
    return SOTTO_OK;
}

int sotto_file_read(const char *path, size_t max, uint8_t **data, size_t *len)
{
    uint8_t *bytes = NULL;
    uint64_t size = 0;
    int fd;
    int status = open_file(path, &fd, &size);
    if (status == SOTTO_OK && size > max) {
        status = sotto_fail(SOTTO_ERR_LIMIT, "%s: %llu bytes; at most %zu are expected here: is it the right file?", path,
                            (unsigned long long)size, max);
    }
    if (status == SOTTO_OK) {
        bytes = sotto_calloc((size_t)size + 1, 1); /* text ends in a zero */
        status = bytes == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "%s: no memory for %llu bytes", path, (unsigned long long)size)
                               : read_exactly(path, fd, bytes, (size_t)size);
    }
    if (status == SOTTO_OK) {
        *data = bytes;
        *len = (size_t)size;
    } else {
        sotto_free_secret(bytes, (size_t)size, 1);
    }
    if (fd >= 0) {
        close(fd);
    }
    return status;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        const ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return -1;
        }
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* The folder entry is what a rename changes, so it is synced too. */
static int sync_folder(const char *path)
{
    char folder[4096] = ".";
    const char *slash = strrchr(path, '/');
    if (slash != NULL) {
        snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    }
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    const int bad = fsync(fd);
    close(fd);
    return bad;
}

/* A whole, synced file beside the one that it is to replace. */
typedef struct staged_file {
    const char *path; /* NULL: nothing is there */
    char temporary[4096];
} staged_file;

static void discard(staged_file *s)
{
    if (s->path != NULL) {
        unlink(s->temporary);
        s->path = NULL;
    }
}

static int write_failed(const char *path, int error)
{
    const int full = error == ENOSPC || error == EFBIG || error == EDQUOT;
    return sotto_fail(SOTTO_ERR_IO, "%s: cannot be written: %s; what was there is unchanged%s", path, strerror(error),
                      full ? ": there is not enough free space, make room and try again" : "");
}

static int stage(staged_file *s, const char *path, const void *data, size_t len, unsigned mode)
{
    s->path = NULL;
    const int n = snprintf(s->temporary, sizeof s->temporary, "%s.new.%ld", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof s->temporary) {
        return sotto_fail(SOTTO_ERR_IO, "%.200s...: the path is too long", path);
    }
    /* A file of this name was left by a process of the same number that was killed while it wrote. */
    unlink(s->temporary);
    const int fd = open(s->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
    if (fd < 0) {
        return sotto_fail(SOTTO_ERR_IO, "%s: cannot be created: %s; check the folder", s->temporary, strerror(errno));
    }
    s->path = path;
    int bad = write_all(fd, data, len) != 0 || fsync(fd) != 0;
    int error = errno;
    if (close(fd) != 0 && !bad) {
        bad = 1;
        error = errno;
    }
    if (bad) {
        discard(s);
        return write_failed(path, error);
    }
    return SOTTO_OK;
}

static int commit(staged_file *s)
{
    const char *path = s->path;
    if (rename(s->temporary, path) != 0) {
        const int error = errno;
        discard(s);
        return write_failed(path, error);
    }
    s->path = NULL;
    if (sync_folder(path) != 0) {
        return sotto_fail(SOTTO_ERR_IO, "%s: written, but its folder cannot be synced: %s", path, strerror(errno));
    }
    return SOTTO_OK;
}

int sotto_file_write(const char *path, const void *data, size_t len, unsigned mode)
{
    staged_file s;
    const int status = stage(&s, path, data, len, mode);
    return status == SOTTO_OK ? commit(&s) : status;
}

/* ---- weights --------------------------------------------------------------------------------------------------- */

/* Calls for each tensor of the architecture; stops at the first failure. */
static int each_tensor(sotto_model *m, int (*fn)(void *ctx, sotto_model *m, size_t node, unsigned which, size_t count), void *ctx)
{
    int status = SOTTO_OK;
    for (size_t i = 0; status == SOTTO_OK && i < m->node_count; i++) {
        for (unsigned t = 0; status == SOTTO_OK && t < SOTTO_TENSORS_MAX; t++) {
            const size_t count = sotto_tensor_count(m, &m->nodes[i], t);
            if (count > 0) {
                status = fn(ctx, m, i, t, count);
            }
        }
    }
    return status;
}

typedef struct file_size {
    size_t bytes;
    uint32_t tensors;
} file_size;

static int add_size(void *ctx, sotto_model *m, size_t node, unsigned which, size_t count)
{
    (void)m;
    (void)node;
    (void)which;
    file_size *s = ctx;
    s->bytes += TENSOR_HEADER_BYTES + 4 * count;
    s->tensors++;
    return SOTTO_OK;
}

static file_size size_of(sotto_model *m)
{
    file_size s = {HEADER_BYTES + HASH_BYTES, 0};
    const int status = each_tensor(m, add_size, &s);
    (void)status; /* add_size does not fail */
    return s;
}

static int write_tensor(void *ctx, sotto_model *m, size_t node, unsigned which, size_t count)
{
    sotto_writer *w = ctx;
    sotto_write_u32(w, (uint32_t)node);
    sotto_write_u32(w, which);
    sotto_write_u32(w, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &m->nodes[node].tensor[which][i], sizeof bits);
        sotto_write_u32(w, bits);
    }
    return SOTTO_OK;
}

static int read_tensor(void *ctx, sotto_model *m, size_t node, unsigned which, size_t count)
{
    sotto_reader *r = ctx;
    sotto_node *n = &m->nodes[node];
    const uint32_t got_node = sotto_read_u32(r), got_which = sotto_read_u32(r), got_count = sotto_read_u32(r);
    if (r->status != SOTTO_OK || got_node != node || got_which != which || got_count != count) {
        return sotto_fail(SOTTO_ERR_FORMAT, "tensor %u of node %s: header (%u, %u, %u); expected (%zu, %u, %zu)", which, n->name,
                          (unsigned)got_node, (unsigned)got_which, (unsigned)got_count, node, which, count);
    }
    n->tensor[which] = sotto_calloc(count, sizeof(float));
    if (n->tensor[which] == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the weights of node %s", n->name);
    }
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = sotto_read_u32(r);
        memcpy(&n->tensor[which][i], &bits, sizeof bits);
        if ((bits & 0x7f800000u) == 0x7f800000u) {
            return sotto_fail(SOTTO_ERR_FORMAT, "node %s: weight %zu of tensor %u is no finite number; train again", n->name, i, which);
        }
        if (n->op == SOTTO_OP_BATCHNORM && which == 3 && n->tensor[which][i] < 0.0f) {
            return sotto_fail(SOTTO_ERR_FORMAT, "node %s: the variance of channel %zu is below 0; train again", n->name, i);
        }
    }
    return SOTTO_OK;
}

/* What can be refused before anything is allocated; header: zeros after the end of a file that is shorter. */
static int check_header(const sotto_model *m, const uint8_t header[HEADER_BYTES], uint64_t size, file_size want)
{
    uint8_t magic[8], id[16], hash[HASH_BYTES];
    sotto_reader r;
    sotto_reader_init(&r, header, HEADER_BYTES);
    sotto_read_bytes(&r, magic, sizeof magic);
    const uint32_t version = sotto_read_u32(&r);
    sotto_read_bytes(&r, id, sizeof id);
    sotto_read_bytes(&r, hash, sizeof hash);
    const uint32_t tensors = sotto_read_u32(&r);
    if (memcmp(magic, MAGIC, sizeof magic) != 0) {
        return sotto_fail(SOTTO_ERR_FORMAT, "no weights of this program (magic); expected a file written by `sotto train`");
    }
    if (size >= HEADER_BYTES && version != WEIGHTS_VERSION) {
        return sotto_fail(SOTTO_ERR_VERSION, "weights format %u; this build reads %d", (unsigned)version, WEIGHTS_VERSION);
    }
    if (size >= HEADER_BYTES && memcmp(id, m->id, sizeof id) != 0) {
        return sotto_fail(SOTTO_ERR_MISMATCH, "these weights belong to another model (id); give the two files of one training");
    }
    if (size >= HEADER_BYTES && memcmp(hash, m->public_hash, sizeof hash) != 0) {
        return sotto_fail(SOTTO_ERR_MISMATCH, "these weights were saved with another architecture or plan (public hash); give the two "
                                              "files of one training");
    }
    if (size != want.bytes || tensors != want.tensors) {
        return sotto_fail(SOTTO_ERR_FORMAT, "%llu bytes and %u tensors; the architecture asks for %zu and %u: the file is cut off or "
                                            "damaged", (unsigned long long)size, (unsigned)tensors, want.bytes, (unsigned)want.tensors);
    }
    return SOTTO_OK;
}

static int read_weights(sotto_model *m, const uint8_t *data, size_t len)
{
    uint8_t hash[HASH_BYTES];
    sotto_reader r;
    crypto_generichash(hash, sizeof hash, data, len - HASH_BYTES, NULL, 0);
    if (memcmp(hash, data + len - HASH_BYTES, HASH_BYTES) != 0) {
        return sotto_fail(SOTTO_ERR_CHECKSUM, "checksum and content disagree; the file is damaged: copy it again");
    }
    sotto_reader_init(&r, data + HEADER_BYTES, len - HEADER_BYTES - HASH_BYTES);
    return each_tensor(m, read_tensor, &r);
}

static int load_weights(sotto_model *m, const char *path)
{
    uint8_t header[HEADER_BYTES] = {0};
    uint8_t *data = NULL;
    const file_size want = size_of(m);
    uint64_t size = 0;
    int fd;
    int status = open_file(path, &fd, &size);
    if (status == SOTTO_OK) {
        status = read_exactly(path, fd, header, size < HEADER_BYTES ? (size_t)size : HEADER_BYTES);
    }
    if (status != SOTTO_OK) {
        goto done;
    }
    status = check_header(m, header, size, want);
    if (status == SOTTO_OK) {
        data = sotto_calloc(want.bytes, 1);
        if (data == NULL) {
            status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu bytes of weights", want.bytes);
        }
    }
    if (status != SOTTO_OK) {
        status = sotto_fail_context(status, "%s", path);
        goto done;
    }
    memcpy(data, header, HEADER_BYTES);
    status = read_exactly(path, fd, data + HEADER_BYTES, want.bytes - HEADER_BYTES);
    if (status == SOTTO_OK) {
        status = read_weights(m, data, want.bytes);
        if (status != SOTTO_OK) {
            status = sotto_fail_context(status, "%s", path);
        }
    }
done:
    sotto_free_secret(data, want.bytes, 1);
    if (fd >= 0) {
        close(fd);
    }
    return status;
}

/* Lines may end as some editors and version control on other systems leave them; the checksum is of the lines. */
static size_t without_returns(uint8_t *text, size_t len)
{
    size_t kept = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '\r' || i + 1 == len || text[i + 1] != '\n') {
            text[kept++] = text[i];
        }
    }
    return kept;
}

int sotto_model_load(sotto_model *m, const char *public_path, const char *weights_path)
{
    uint8_t *data = NULL;
    size_t len = 0;
    memset(m, 0, sizeof *m);
    int status = sotto_file_read(public_path, SOTTO_TEXT_MAX, &data, &len);
    if (status != SOTTO_OK) {
        return status;
    }
    status = sotto_model_parse(m, (const char *)data, without_returns(data, len));
    sotto_free(data);
    if (status != SOTTO_OK) {
        return sotto_fail_context(status, "%s", public_path);
    }
    if (weights_path != NULL) {
        status = load_weights(m, weights_path);
        if (status != SOTTO_OK) {
            sotto_model_free(m);
        }
    }
    return status;
}

static int stage_weights(staged_file *s, sotto_model *m, const char *path)
{
    const file_size size = size_of(m);
    sotto_writer w;
    if (!sotto_model_has_weights(m)) {
        return sotto_fail(SOTTO_ERR_ARG, "the model has no weights to save");
    }
    uint8_t *data = sotto_calloc(size.bytes, 1);
    if (data == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu bytes of weights", size.bytes);
    }
    sotto_writer_init(&w, data, size.bytes);
    sotto_write_bytes(&w, MAGIC, 8);
    sotto_write_u32(&w, WEIGHTS_VERSION);
    sotto_write_bytes(&w, m->id, sizeof m->id);
    sotto_write_bytes(&w, m->public_hash, sizeof m->public_hash);
    sotto_write_u32(&w, size.tensors);
    int status = each_tensor(m, write_tensor, &w);
    if (status == SOTTO_OK) {
        crypto_generichash(data + w.pos, HASH_BYTES, data, w.pos, NULL, 0);
        status = stage(s, path, data, size.bytes, 0600);
    }
    sotto_free_secret(data, size.bytes, 1);
    return status;
}

/* Both are whole on the disk before the first takes its place, so that a disk that fills up changes neither. */
int sotto_model_save(sotto_model *m, const char *public_path, const char *weights_path)
{
    staged_file public_part = {.path = NULL}, weights = {.path = NULL};
    char *text = NULL;
    size_t len = 0;
    int status = sotto_model_print(m, &text, &len);
    if (status == SOTTO_OK && weights_path != NULL) {
        status = stage_weights(&weights, m, weights_path);
    }
    if (status == SOTTO_OK) {
        status = stage(&public_part, public_path, text, len, 0644);
    }
    if (status == SOTTO_OK && weights_path != NULL) {
        status = commit(&weights);
    }
    if (status == SOTTO_OK) {
        status = commit(&public_part);
    }
    discard(&weights);
    discard(&public_part);
    sotto_free(text);
    return status;
}
