#include "nn/secure/frame.h"

#include <string.h>

#include "lib/bytes.h"

#define MAGIC 0x6f53 /* "So" */
/* What a person can do about a message that should not be there: two builds may differ in it though neither says so. */
#define SAME_RELEASE "; use the same release of sotto on both sides"

static const char *const type_names[SOTTO_FRAME_TYPES] = {
    [SOTTO_FRAME_ERROR] = "error",     [SOTTO_FRAME_HELLO] = "hello",     [SOTTO_FRAME_WELCOME] = "welcome",
    [SOTTO_FRAME_KEYS] = "keys",       [SOTTO_FRAME_PREPARE] = "prepare", [SOTTO_FRAME_REQUEST] = "request", [SOTTO_FRAME_STOCK] = "stock",
    [SOTTO_FRAME_MATRIX] = "matrix",   [SOTTO_FRAME_ANSWER] = "answer",   [SOTTO_FRAME_CORRECTION] = "correction",
    [SOTTO_FRAME_CHOICE] = "choice",   [SOTTO_FRAME_TABLES] = "tables",   [SOTTO_FRAME_READY] = "ready",
    [SOTTO_FRAME_INFER] = "infer",     [SOTTO_FRAME_OFFER] = "offer",     [SOTTO_FRAME_REPLY] = "reply",
    [SOTTO_FRAME_LOGITS] = "logits",   [SOTTO_FRAME_BYE] = "bye",
};

int sotto_frame_begin(sotto_chan *chan, sotto_frame_type type, uint32_t tag, uint64_t length)
{
    uint8_t header[SOTTO_FRAME_HEADER_BYTES];
    sotto_writer w;
    sotto_writer_init(&w, header, sizeof header);
    sotto_write_u16(&w, MAGIC);
    sotto_write_u8(&w, SOTTO_PROTOCOL_VERSION);
    sotto_write_u8(&w, (uint8_t)type);
    sotto_write_u32(&w, tag);
    sotto_write_u64(&w, length);
    return sotto_chan_send(chan, header, sizeof header);
}

int sotto_frame_send(sotto_chan *chan, sotto_frame_type type, uint32_t tag, const void *body, size_t length)
{
    const int status = sotto_frame_begin(chan, type, tag, length);
    return status != SOTTO_OK || length == 0 ? status : sotto_chan_send(chan, body, length);
}

static int travels(int status)
{
    return status == SOTTO_ERR_MISMATCH || status == SOTTO_ERR_VERSION || status == SOTTO_ERR_USED || status == SOTTO_ERR_LIMIT ||
           status == SOTTO_ERR_PROTOCOL || status == SOTTO_ERR_TIMEOUT;
}

static int peer_error(sotto_chan *chan)
{
    uint8_t body[4];
    int status = sotto_chan_recv(chan, body, sizeof body);
    if (status != SOTTO_OK) {
        return status;
    }
    sotto_reader r;
    sotto_reader_init(&r, body, sizeof body);
    const uint32_t code = sotto_read_u32(&r);
    const int theirs = code < 256 ? -(int)code : SOTTO_ERR_PEER;
    switch (theirs) {
    case SOTTO_ERR_MISMATCH:
        return sotto_fail(theirs, "the peer serves another model or another plan of it, or gives labels alone; use the public part that it hands out, or ask for the label");
    case SOTTO_ERR_VERSION:
        return sotto_fail(theirs, "the peer speaks another protocol version than %d" SAME_RELEASE,
                          SOTTO_PROTOCOL_VERSION);
    case SOTTO_ERR_PROTOCOL:
        return sotto_fail(SOTTO_ERR_PEER, "the peer did not expect what this side sent" SAME_RELEASE);
    case SOTTO_ERR_USED:
        return sotto_fail(theirs, "the peer has no such prepared item: it was used, or never made; prepare again");
    case SOTTO_ERR_LIMIT:
        return sotto_fail(theirs, "the peer refused: a limit of the session is reached; connect again");
    default:
        return sotto_fail(SOTTO_ERR_PEER, "the peer gave up (%s); connect again", sotto_status_name(theirs));
    }
}

int sotto_frame_next(sotto_chan *chan, sotto_frame *frame)
{
    uint8_t header[SOTTO_FRAME_HEADER_BYTES];
    memset(frame, 0, sizeof *frame);
    int status = sotto_chan_recv(chan, header, sizeof header);
    if (status != SOTTO_OK) {
        return status;
    }
    sotto_reader r;
    sotto_reader_init(&r, header, sizeof header);
    const unsigned magic = sotto_read_u16(&r), version = sotto_read_u8(&r), type = sotto_read_u8(&r);
    const uint32_t tag = sotto_read_u32(&r);
    const uint64_t length = sotto_read_u64(&r);
    if (magic != MAGIC) {
        return sotto_fail(SOTTO_ERR_PROTOCOL, "the peer sent something that is no frame (magic 0x%04x, expected 0x%04x); is it a sotto peer?",
                          magic, MAGIC);
    }
    if (version != SOTTO_PROTOCOL_VERSION) {
        return sotto_fail(SOTTO_ERR_VERSION, "the peer speaks protocol version %u, this build %d" SAME_RELEASE,
                          version, SOTTO_PROTOCOL_VERSION);
    }
    if (type == 0 || type >= SOTTO_FRAME_TYPES) {
        return sotto_fail(SOTTO_ERR_PROTOCOL, "the peer sent a frame of unknown type %u" SAME_RELEASE, type);
    }
    if (type == SOTTO_FRAME_ERROR) {
        return length == 4 ? peer_error(chan) : sotto_fail(SOTTO_ERR_PROTOCOL, "the peer sent a malformed error frame");
    }
    frame->type = (sotto_frame_type)type;
    frame->tag = tag;
    frame->length = length;
    return SOTTO_OK;
}

int sotto_frame_expect(sotto_chan *chan, sotto_frame_type type, uint32_t tag, uint64_t length)
{
    sotto_frame frame;
    const int status = sotto_frame_next(chan, &frame);
    if (status != SOTTO_OK) {
        return sotto_fail_context(status, "waiting for frame '%s'", type_names[type]);
    }
    if (frame.type != type) {
        return sotto_fail(SOTTO_ERR_PROTOCOL, "the peer sent a frame '%s' where '%s' was due" SAME_RELEASE, type_names[frame.type], type_names[type]);
    }
    if (frame.tag != tag) {
        return sotto_fail(SOTTO_ERR_PROTOCOL, "frame '%s': tag %u where %u was due" SAME_RELEASE, type_names[type], (unsigned)frame.tag, (unsigned)tag);
    }
    if (frame.length != length) {
        return sotto_fail(SOTTO_ERR_PROTOCOL, "frame '%s': %llu bytes where %llu were due" SAME_RELEASE, type_names[type],
                          (unsigned long long)frame.length, (unsigned long long)length);
    }
    return SOTTO_OK;
}

int sotto_frame_recv(sotto_chan *chan, sotto_frame_type type, uint32_t tag, void *body, size_t length)
{
    const int status = sotto_frame_expect(chan, type, tag, length);
    if (status != SOTTO_OK) {
        memset(body, 0, length);
        return status;
    }
    return length == 0 ? SOTTO_OK : sotto_chan_recv(chan, body, length);
}

void sotto_frame_send_error(sotto_chan *chan, int status)
{
    uint8_t body[4];
    sotto_writer w;
    sotto_writer_init(&w, body, sizeof body);
    sotto_write_u32(&w, (uint32_t)-(travels(status) ? status : SOTTO_ERR_PEER));
    if (sotto_frame_send(chan, SOTTO_FRAME_ERROR, 0, body, sizeof body) == SOTTO_OK) {
        const int flushed = sotto_chan_flush(chan);
        (void)flushed;
    }
}
