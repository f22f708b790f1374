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
#define FILE_MAX ((size_t)SOTTO_WEIGHTS_MAX * 4 + ((size_t)1 << 20))

/* ---- whole files ----------------------------------------------------------------------------------------------- */

int sotto_file_read(const char *path, size_t max, uint8_t **data, size_t *len)
{
    struct stat st;
    int status = SOTTO_OK;
    uint8_t *bytes = NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        status = sotto_fail(SOTTO_ERR_IO, "%s: %s; check the path", path, strerror(errno));
        goto done;
    }
    if (!S_ISREG(st.st_mode)) {
        status = sotto_fail(SOTTO_ERR_IO, "%s: not a regular file", path);
        goto done;
    }
    if ((uint64_t)st.st_size > max) {
        status = sotto_fail(SOTTO_ERR_LIMIT, "%s: %lld bytes; at most %zu are expected here: is it the right file?", path,
                            (long long)st.st_size, max);
        goto done;
    }
    const size_t size = (size_t)st.st_size;
    bytes = sotto_calloc(size + 1, 1);
    if (bytes == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "%s: no memory for %zu bytes", path, size);
        goto done;
    }
    for (size_t got = 0; got < size;) {
        const ssize_t n = read(fd, bytes + got, size - got);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            status = sotto_fail(SOTTO_ERR_IO, "%s: %s", path, n == 0 ? "became shorter while it was read" : strerror(errno));
            goto done;
        }
        got += (size_t)n;
    }
    *data = bytes;
    *len = size;
    bytes = NULL;
done:
    sotto_free(bytes);
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

int sotto_file_write(const char *path, const void *data, size_t len, unsigned mode)
{
    char temporary[4096];
    const int n = snprintf(temporary, sizeof temporary, "%s.new.%ld", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temporary) {
        return sotto_fail(SOTTO_ERR_IO, "%.200s...: the path is too long", path);
    }
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
    if (fd < 0) {
        return sotto_fail(SOTTO_ERR_IO, "%s: cannot be created: %s; check the folder", temporary, strerror(errno));
    }
    int bad = write_all(fd, data, len) != 0 || fsync(fd) != 0;
    int error = errno;
    if (close(fd) != 0 && !bad) {
        bad = 1;
        error = errno;
    }
    if (!bad && rename(temporary, path) != 0) {
        bad = 1;
        error = errno;
    }
    if (bad) {
        unlink(temporary);
        return sotto_fail(SOTTO_ERR_IO, "%s: cannot be written: %s; what was there is unchanged%s", path, strerror(error),
                          error == ENOSPC || error == EFBIG || error == EDQUOT ? ": make room and try again" : "");
    }
    if (sync_folder(path) != 0) {
        return sotto_fail(SOTTO_ERR_IO, "%s: written, but its folder cannot be synced: %s", path, strerror(errno));
    }
    return SOTTO_OK;
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
    }
    return SOTTO_OK;
}

static int read_weights(sotto_model *m, const uint8_t *data, size_t len)
{
    uint8_t magic[8], id[16], hash[HASH_BYTES], stored[HASH_BYTES];
    sotto_reader r;
    const file_size want = size_of(m);
    sotto_reader_init(&r, data, len);
    sotto_read_bytes(&r, magic, sizeof magic);
    const uint32_t version = sotto_read_u32(&r);
    sotto_read_bytes(&r, id, sizeof id);
    sotto_read_bytes(&r, hash, sizeof hash);
    const uint32_t tensors = sotto_read_u32(&r);
    if (r.status != SOTTO_OK || memcmp(magic, MAGIC, sizeof magic) != 0) {
        return sotto_fail(SOTTO_ERR_FORMAT, "no weights of this program (magic); expected a file written by `sotto train`");
    }
    if (version != WEIGHTS_VERSION) {
        return sotto_fail(SOTTO_ERR_VERSION, "weights format %u; this build reads %d", (unsigned)version, WEIGHTS_VERSION);
    }
    if (memcmp(id, m->id, sizeof id) != 0) {
        return sotto_fail(SOTTO_ERR_MISMATCH, "these weights belong to another model (id); give the two files of one training");
    }
    if (memcmp(hash, m->public_hash, sizeof hash) != 0) {
        return sotto_fail(SOTTO_ERR_MISMATCH, "these weights were saved with another architecture or plan (public hash); give the two "
                                              "files of one training");
    }
    if (tensors != want.tensors || len != want.bytes) {
        return sotto_fail(SOTTO_ERR_FORMAT, "%zu bytes and %u tensors; the architecture asks for %zu and %u: the file is cut off or damaged",
                          len, (unsigned)tensors, want.bytes, (unsigned)want.tensors);
    }
    crypto_generichash(stored, sizeof stored, data, len - HASH_BYTES, NULL, 0);
    if (memcmp(stored, data + len - HASH_BYTES, HASH_BYTES) != 0) {
        return sotto_fail(SOTTO_ERR_CHECKSUM, "checksum and content disagree; the file is damaged: copy it again");
    }
    return each_tensor(m, read_tensor, &r);
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
    status = sotto_model_parse(m, (const char *)data, len);
    sotto_free(data);
    if (status != SOTTO_OK) {
        return sotto_fail_context(status, "%s", public_path);
    }
    if (weights_path == NULL) {
        return SOTTO_OK;
    }
    data = NULL;
    len = 0;
    status = sotto_file_read(weights_path, FILE_MAX, &data, &len);
    if (status == SOTTO_OK) {
        status = read_weights(m, data, len);
        if (status != SOTTO_OK) {
            status = sotto_fail_context(status, "%s", weights_path);
        }
    }
    sotto_free_secret(data, len, 1);
    if (status != SOTTO_OK) {
        sotto_model_free(m);
    }
    return status;
}

int sotto_model_save(sotto_model *m, const char *public_path, const char *weights_path)
{
    char *text = NULL;
    size_t len = 0;
    int status = sotto_model_print(m, &text, &len);
    if (status == SOTTO_OK && weights_path != NULL) {
        const file_size size = size_of(m);
        uint8_t *data = sotto_calloc(size.bytes, 1);
        if (!sotto_model_has_weights(m)) {
            status = sotto_fail(SOTTO_ERR_ARG, "the model has no weights to save");
        } else if (data == NULL) {
            status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu bytes of weights", size.bytes);
        } else {
            sotto_writer w;
            sotto_writer_init(&w, data, size.bytes);
            sotto_write_bytes(&w, MAGIC, 8);
            sotto_write_u32(&w, WEIGHTS_VERSION);
            sotto_write_bytes(&w, m->id, sizeof m->id);
            sotto_write_bytes(&w, m->public_hash, sizeof m->public_hash);
            sotto_write_u32(&w, size.tensors);
            status = each_tensor(m, write_tensor, &w);
            crypto_generichash(data + w.pos, HASH_BYTES, data, w.pos, NULL, 0);
            if (status == SOTTO_OK) {
                status = sotto_file_write(weights_path, data, size.bytes, 0600);
            }
        }
        sotto_free_secret(data, size.bytes, 1);
    }
    if (status == SOTTO_OK) {
        status = sotto_file_write(public_path, text, len, 0644);
    }
    sotto_free(text);
    return status;
}
