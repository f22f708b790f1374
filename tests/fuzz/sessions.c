/* Frames, and whole sessions: each side fed with what the other might send. */
#include <stdlib.h>
#include <string.h>

#include "lib/bytes.h"
#include "lib/prg.h"
#include "nn/secure/frame.h"
#include "nn/secure/session.h"
#include "tests/fuzz/targets.h"
#include "tests/nn/fixture.h"

/* ---- a channel that plays back bytes and drops what is sent ---------------------------------------------------------- */

typedef struct player {
    const uint8_t *data;
    size_t len, pos;
    uint64_t sent;
} player;

static int play_send(void *ctx, const void *data, size_t len)
{
    player *p = ctx;
    /* So that a sanitizer sees every byte that would leave. */
    for (size_t i = 0; i < len; i++) {
        p->sent += ((const uint8_t *)data)[i];
    }
    return SOTTO_OK;
}

static int play_recv(void *ctx, void *data, size_t len)
{
    player *p = ctx;
    if (len > p->len - p->pos) {
        p->pos = p->len;
        return sotto_fail(SOTTO_ERR_CLOSED, "the recording ends");
    }
    memcpy(data, p->data + p->pos, len);
    p->pos += len;
    return SOTTO_OK;
}

static int play_flush(void *ctx)
{
    (void)ctx;
    return SOTTO_OK;
}

static void play_close(void *ctx)
{
    (void)ctx;
}

static sotto_chan play(player *p)
{
    static const sotto_chan_ops ops = {play_send, play_recv, play_flush, play_close};
    return (sotto_chan){.ops = &ops, .ctx = p};
}

/* ---- frames ---------------------------------------------------------------------------------------------------------- */

/* Headers one after another, bodies skipped: each that is accepted is written again to the same bytes. */
static int run_frame(const uint8_t *data, size_t len)
{
    player p = {data, len, 0, 0};
    sotto_chan chan = play(&p);
    int accepted = 0;
    for (;;) {
        const size_t start = p.pos;
        sotto_frame frame;
        if (sotto_frame_next(&chan, &frame) != SOTTO_OK) {
            return accepted;
        }
        uint8_t header[SOTTO_FRAME_HEADER_BYTES];
        sotto_writer w;
        sotto_writer_init(&w, header, sizeof header);
        sotto_write_u16(&w, 0x6f53);
        sotto_write_u8(&w, SOTTO_PROTOCOL_VERSION);
        sotto_write_u8(&w, (uint8_t)frame.type);
        sotto_write_u32(&w, frame.tag);
        sotto_write_u64(&w, frame.length);
        require(memcmp(header, data + start, sizeof header) == 0);
        require(frame.type != SOTTO_FRAME_ERROR && frame.type > 0 && frame.type < SOTTO_FRAME_TYPES);
        accepted = 1;
        /* The same header where it is expected, and where another length is. */
        uint8_t body[64];
        const size_t size = frame.length < sizeof body ? (size_t)frame.length : sizeof body;
        memset(body, 0xa5, sizeof body);
        p.pos = start;
        const int status = sotto_frame_recv(&chan, frame.type, frame.tag, body, size);
        require(frame.length <= sizeof body || status == SOTTO_ERR_PROTOCOL);
        for (size_t i = 0; i < size; i++) {
            require(status == SOTTO_OK ? body[i] == data[start + sizeof header + i] : body[i] == 0);
        }
        if (status != SOTTO_OK) {
            return accepted;
        }
    }
}

static size_t seed_frame(unsigned i, uint8_t *out)
{
    if (i + 1 >= SOTTO_FRAME_TYPES) {
        return 0;
    }
    static const uint8_t header[] = {0x53, 0x6f, SOTTO_PROTOCOL_VERSION, 0, 7, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4};
    for (unsigned j = 0; j < 2; j++) {
        memcpy(out + j * sizeof header, header, sizeof header);
        out[j * sizeof header + 3] = (uint8_t)(i + 1);
    }
    out[3] = SOTTO_FRAME_HELLO; /* something that is accepted goes before an ERROR frame */
    return 2 * sizeof header;
}

const fuzz_target fuzz_frame = {"frame", NULL, run_frame, seed_frame, 0};

/* ---- sessions -------------------------------------------------------------------------------------------------------- */

/* A session of a small network is recorded with fixed coins: one item prepared and used, then goodbye. Fuzzing one side replays it
 * with the same coins, so that the recorded bytes of the other carry it to the end; the input is a list of edits to them. Messages
 * are the units in which the other side sent: a header, a body, a piece of one. Input:
 *
 *     byte 0            sign provider; by circuit for the label alone
 *     then records      message u8 (255: cut the recording before message `offset` mod their number), offset u16, count u8 (0 to 15;
 *                       from 16 on: count - 15 random bytes), and `count` bytes that replace those at the offset
 */
enum { MESSAGES_MAX = 255, SERVER = 0, CLIENT = 1 };

static const char tiny[] = "sotto-model 1\n"
                           "input 1x2x2\n"
                           "conv c1 input out=4 kernel=1\n"
                           "act a1 c1\n"
                           "maxpool p1 a1 kernel=2\n"
                           "dense f1 p1 out=2\n"
                           "clip l1 f1\n"
                           "dense f2 l1 out=2\n";
static const uint8_t tiny_kinds[] = {SOTTO_UNIT_RELU, SOTTO_UNIT_SQUARE, SOTTO_UNIT_ZERO, SOTTO_UNIT_IDENTITY};

typedef struct recording {
    uint8_t *data;
    size_t len, start[MESSAGES_MAX + 1], messages; /* message i is data[start[i] .. start[i + 1]) */
} recording;

static sotto_model model;
static sotto_serving serving;
static recording recordings[SOTTO_SIGN_PROVIDERS][2]; /* of what that side sent */

typedef struct party {
    int side;
    sotto_sign_provider sign;
    sotto_chan *chan;
} party;

static int run_party(const party *own)
{
    sotto_prg coins;
    sotto_prg_init(&coins, (sotto_block){{0x7365737369, (uint64_t)own->side}});
    const sotto_session_env env = {.chan = own->chan, .rng = sotto_prg_rng(&coins), .items = 2, .label_only = own->side == CLIENT && own->sign != SOTTO_SIGN_LOOKUP};
    if (own->side == SERVER) {
        return sotto_session_serve(&serving, &env, NULL);
    }
    const int64_t x[4] = {1, -2, 3, 4};
    int64_t logits[2];
    size_t label;
    sotto_session *s = NULL;
    int status = sotto_session_open(&s, &serving.network, &env, own->sign, own->sign == SOTTO_SIGN_CIRCUIT3 ? SOTTO_OT_FERRET : SOTTO_OT_SOFTSPOKEN4);
    status = status == SOTTO_OK ? sotto_session_prepare(s) : status;
    if (status == SOTTO_OK) {
        status = env.label_only ? sotto_session_label(s, &label, x) : sotto_session_infer(s, logits, x);
    }
    sotto_session_close(s);
    return status;
}

typedef struct recorder {
    sotto_chan *inner;
    recording *to;
} recorder;

static int record_send(void *ctx, const void *data, size_t len)
{
    recorder *r = ctx;
    recording *to = r->to;
    to->data = realloc(to->data, to->len + len);
    require(to->data != NULL);
    memcpy(to->data + to->len, data, len);
    to->len += len;
    to->messages += to->messages < MESSAGES_MAX; /* the last one takes whatever follows it */
    to->start[to->messages] = to->len;
    return sotto_chan_send(r->inner, data, len);
}

static int record_recv(void *ctx, void *data, size_t len)
{
    return sotto_chan_recv(((recorder *)ctx)->inner, data, len);
}

static int record_flush(void *ctx)
{
    return sotto_chan_flush(((recorder *)ctx)->inner);
}

static int record_party(sotto_chan *inner, void *ctx)
{
    static const sotto_chan_ops ops = {record_send, record_recv, record_flush, play_close};
    party *own = ctx;
    recorder r = {inner, &recordings[own->sign][own->side]};
    sotto_chan chan = {.ops = &ops, .ctx = &r};
    own->chan = &chan;
    return run_party(own);
}

static void start_sessions(void)
{
    sotto_prg prg;
    if (recordings[0][0].data != NULL) {
        return;
    }
    sotto_prg_init(&prg, (sotto_block){{0x74696e79, 0}});
    const sotto_rng rng = sotto_prg_rng(&prg);
    fixture_model(&model, tiny, 4, &rng);
    fixture_polynomials(&model, "a1", tiny_kinds, 1, &rng);
    require(sotto_serving_new(&serving, &model, NULL) == SOTTO_OK);
    for (unsigned sign = 0; sign < SOTTO_SIGN_PROVIDERS; sign++) {
        party server = {SERVER, (sotto_sign_provider)sign, NULL}, client = {CLIENT, (sotto_sign_provider)sign, NULL};
        int status[2];
        test_two_party(record_party, &server, record_party, &client, status);
        require(status[0] == SOTTO_OK && status[1] == SOTTO_OK);
    }
}

static void edit(uint8_t *bytes, size_t *len, const recording *of, const uint8_t *data, size_t size)
{
    sotto_reader r;
    sotto_reader_init(&r, data, size);
    for (;;) {
        const unsigned message = sotto_read_u8(&r), offset = sotto_read_u16(&r), count = sotto_read_u8(&r);
        if (r.status != SOTTO_OK) {
            return;
        }
        if (message == MESSAGES_MAX) {
            const size_t at = of->start[offset % of->messages];
            *len = at < *len ? at : *len;
            continue;
        }
        const size_t first = of->start[message % of->messages], end = of->start[message % of->messages + 1];
        size_t at = first + (end > first ? offset % (end - first) : 0);
        uint64_t noise = 0x9e3779b97f4a7c15u * (1 + offset + ((uint64_t)message << 16));
        for (unsigned i = 0; i < (count < 16 ? count : count - 15u); i++, at++) {
            noise ^= noise >> 29;
            noise *= 0xbf58476d1ce4e5b9u;
            const uint8_t byte = count < 16 ? sotto_read_u8(&r) : (uint8_t)(noise >> 56);
            if (at < *len) {
                bytes[at] = byte;
            }
        }
    }
}

static int run_session(int side, const uint8_t *data, size_t len)
{
    if (len == 0) {
        return 0;
    }
    const sotto_sign_provider sign = (sotto_sign_provider)(data[0] % SOTTO_SIGN_PROVIDERS);
    const recording *of = &recordings[sign][!side];
    player p = {.len = of->len};
    uint8_t *bytes = malloc(of->len);
    require(bytes != NULL);
    memcpy(bytes, of->data, of->len);
    edit(bytes, &p.len, of, data + 1, len - 1);
    p.data = bytes;
    sotto_chan chan = play(&p);
    const party own = {side, sign, &chan};
    const int status = run_party(&own);
    /* The client's last word is its goodbye, so a recording that is whole is used up by either side. */
    require(status != SOTTO_OK || p.pos == p.len || side == SERVER);
    free(bytes);
    return status == SOTTO_OK;
}

static int run_server(const uint8_t *data, size_t len)
{
    return run_session(SERVER, data, len);
}

static int run_client(const uint8_t *data, size_t len)
{
    return run_session(CLIENT, data, len);
}

/* The recording as it is. */
static size_t seed_session(unsigned i, uint8_t *out)
{
    if (i >= SOTTO_SIGN_PROVIDERS) {
        return 0;
    }
    out[0] = (uint8_t)i;
    return 1;
}

const fuzz_target fuzz_server = {"server", start_sessions, run_server, seed_session, 0};
const fuzz_target fuzz_client = {"client", start_sessions, run_client, seed_session, 0};
