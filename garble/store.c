/* Tables kept in a file until the evaluator's input is known. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "garble/garbling.h"
#include "lib/mem.h"
#include "lib/spill.h"

#define CHUNK ((size_t)1 << 20)

typedef struct store {
    int fd;
    off_t written, taken;
} store;

static int failed(const char *what)
{
    return sotto_fail(SOTTO_ERR_IO, "cannot %s the file of stored tables: %s; is there room in its folder?", what, strerror(errno));
}

static int store_send(void *ctx, const void *data, size_t len)
{
    store *s = ctx;
    for (const uint8_t *p = data; len > 0;) {
        const ssize_t n = pwrite(s->fd, p, len, s->written);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed("write");
        p += n;
        len -= (size_t)n;
        s->written += n;
    }
    return SOTTO_OK;
}

static int store_recv(void *ctx, void *data, size_t len)
{
    store *s = ctx;
    if (len > (uint64_t)(s->written - s->taken))
        return sotto_fail(SOTTO_ERR_CLOSED, "the store holds %lld bytes of tables, fewer than the %zu asked for",
                          (long long)(s->written - s->taken), len);
    for (uint8_t *p = data; len > 0;) {
        const ssize_t n = pread(s->fd, p, len, s->taken);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed("read");
        if (n == 0)
            return sotto_fail(SOTTO_ERR_IO, "the file of stored tables was cut short");
        p += n;
        len -= (size_t)n;
        s->taken += n;
    }
    return SOTTO_OK;
}

static int store_flush(void *ctx)
{
    (void)ctx;
    return SOTTO_OK;
}

static void store_close(void *ctx)
{
    store *s = ctx;
    (void)close(s->fd);
    sotto_free(s);
}

int sotto_garble_store_new(sotto_chan *out, const char *folder)
{
    static const sotto_chan_ops ops = {store_send, store_recv, store_flush, store_close};
    store *s = sotto_calloc(1, sizeof *s);
    if (!s)
        return sotto_fail(SOTTO_ERR_MEMORY, "out of memory for a store of tables");
    const int rc = sotto_spill_file(&s->fd, folder);
    if (rc)
        sotto_free(s);
    else
        *out = (sotto_chan){.ops = &ops, .ctx = s};
    return rc;
}

int sotto_garble_keep(sotto_chan *to, sotto_chan *from, size_t bytes)
{
    uint8_t *buffer = sotto_calloc(bytes < CHUNK ? bytes : CHUNK, 1);
    if (!buffer)
        return sotto_fail(SOTTO_ERR_MEMORY, "out of memory for tables on their way");
    int rc = SOTTO_OK;
    for (size_t n; !rc && bytes > 0; bytes -= n) {
        n = bytes < CHUNK ? bytes : CHUNK;
        rc = sotto_chan_recv(from, buffer, n);
        if (!rc)
            rc = sotto_chan_send(to, buffer, n);
    }
    sotto_free(buffer);
    return rc;
}
