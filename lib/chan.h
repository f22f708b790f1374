/* A reliable, ordered byte channel between two parties.
 *
 * send and recv move exactly `len` bytes or fail; end of file is
 * SOTTO_ERR_CLOSED, a stall past the channel's timeout SOTTO_ERR_TIMEOUT.
 * Sends may be buffered: the party that is about to wait for the peer flushes
 * first. sotto_chan_recv does that itself, so that a forgotten flush cannot hang
 * a protocol; only a last message before silence needs an explicit flush.
 */
#ifndef SOTTO_LIB_CHAN_H
#define SOTTO_LIB_CHAN_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

typedef struct sotto_chan_stats {
    uint64_t bytes_out, bytes_in;
    uint64_t rounds; /* times that the direction changed from sending to receiving */
} sotto_chan_stats;

typedef struct sotto_chan_ops {
    int (*send)(void *ctx, const void *data, size_t len);
    int (*recv)(void *ctx, void *data, size_t len);
    int (*flush)(void *ctx);
    void (*close)(void *ctx); /* releases ctx; flushes nothing */
} sotto_chan_ops;

typedef struct sotto_chan {
    const sotto_chan_ops *ops;
    void *ctx;
    sotto_chan_stats stats;
    int sending; /* last operation was a send; for the round counter */
} sotto_chan;

SOTTO_MUST_CHECK int sotto_chan_send(sotto_chan *c, const void *data, size_t len);
/* Flushes, then receives exactly `len` bytes; on failure the bytes are zeroed. */
SOTTO_MUST_CHECK int sotto_chan_recv(sotto_chan *c, void *data, size_t len);
SOTTO_MUST_CHECK int sotto_chan_flush(sotto_chan *c);
/* Closes and clears *c; a closed or zeroed channel is fine. */
void sotto_chan_close(sotto_chan *c);

#endif
