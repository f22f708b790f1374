#include "lib/chan.h"

#include <string.h>

static int closed(void)
{
    return sotto_fail(SOTTO_ERR_CLOSED, "the channel is closed on this side");
}

int sotto_chan_send(sotto_chan *c, const void *data, size_t len)
{
    if (!c->ops)
        return closed();
    if (!len)
        return SOTTO_OK;
    const int status = c->ops->send(c->ctx, data, len);
    if (status == SOTTO_OK) {
        c->stats.bytes_out += len;
        c->sending = 1;
    }
    return status;
}

int sotto_chan_recv(sotto_chan *c, void *data, size_t len)
{
    int status = sotto_chan_flush(c);

    if (!len)
        return status;
    if (status == SOTTO_OK)
        status = c->ops->recv(c->ctx, data, len);
    if (status != SOTTO_OK) {
        memset(data, 0, len);
        return status;
    }
    c->stats.bytes_in += len;
    c->stats.rounds += c->sending != 0;
    c->sending = 0;
    return SOTTO_OK;
}

int sotto_chan_flush(sotto_chan *c)
{
    return c->ops ? c->ops->flush(c->ctx) : closed();
}

void sotto_chan_close(sotto_chan *c)
{
    if (c->ops)
        c->ops->close(c->ctx);
    *c = (sotto_chan){.ops = NULL};
}
