#include <string.h>

#include "garble/garbling_internal.h"
#include "lib/ct.h"
#include "lib/mem.h"

#define CHUNK ((size_t)1 << 20)       /* bytes of tables sent at once, */
#define CHUNKS_MIN 8u                 /* less of a small job, so that both sides are busy, */
#define CHUNK_MIN ((size_t)1 << 16)   /* but not less than this */
#define TAKEN_AT_ONCE ((size_t)1 << 18) /* by the evaluator: stays in its cache */

static const sotto_garble_kernel *kernel(void)
{
    static const sotto_garble_kernel *const kernels[] = {
#if defined(__x86_64__)
        &sotto_garble_kernel_vaes,
        &sotto_garble_kernel_ni,
#endif
        &sotto_garble_kernel_ref,
    };
    const sotto_tier tier = sotto_cpu_tier();
    size_t i = 0;
    while (kernels[i]->tier > tier)
        i++; /* the last one runs everywhere */
    return kernels[i];
}

/* ---- layout of tables -------------------------------------------------------------------------------------------------- */

/* Of an AND in `lanes` lanes. */
static size_t and_bytes(sotto_garble_scheme scheme, size_t lanes)
{
    return scheme == SOTTO_HALF_GATES ? 32 * lanes : 24 * lanes + (3 * lanes + 7) / 8;
}

/* Of several gates in `lanes` lanes; at most 2^25 gates and 512 bytes each. */
static size_t tables_bytes(sotto_garble_scheme scheme, uint32_t ands, uint32_t evals, size_t lanes)
{
    return ands * and_bytes(scheme, lanes) + 16 * evals * lanes;
}

static size_t segment_bytes(const sotto_garbling *g, const sotto_segment *s, size_t lanes)
{
    return tables_bytes(g->scheme, s->ands, s->evals, lanes);
}

/* Lanes [from, from + count) of a batch. */
typedef struct span {
    unsigned from, count;
} span;

static span first_span(const sotto_garble_job *job, size_t done)
{
    const unsigned from = (unsigned)((job->first + done) % SOTTO_LANES);
    const size_t left = job->instances - done, room = SOTTO_LANES - from;
    return (span){from, (unsigned)(left < room ? left : room)};
}

/* Of a first batch with `head` lanes and `rest` instances after it. */
static size_t batches_bytes(sotto_garble_scheme scheme, uint32_t ands, uint32_t evals, size_t head, size_t rest)
{
    const size_t lanes[3] = {head, SOTTO_LANES, rest % SOTTO_LANES}, batches[3] = {1, rest / SOTTO_LANES, 1};
    sotto_u128 bytes = 0;
    for (unsigned i = 0; i < 3; i++)
        bytes += (sotto_u128)batches[i] * tables_bytes(scheme, ands, evals, lanes[i]);
    return bytes > SIZE_MAX ? SIZE_MAX : (size_t)bytes;
}

size_t sotto_garble_bytes(const sotto_garble_job *job)
{
    const size_t head = first_span(job, 0).count;
    return batches_bytes(job->g->scheme, job->g->and_count, job->g->and_eval_count, head, job->instances - head);
}

size_t sotto_garble_gate_bytes(sotto_garble_scheme scheme, uint32_t ands, uint32_t evals, size_t instances)
{
    return batches_bytes(scheme, ands, evals, 0, instances);
}

/* Between the tables of a whole batch, `full`, and those of a span of its lanes. Both ways, so that there is one description of the layout. */
typedef struct repack {
    uint8_t *full, *part;
    span lanes;
    int packing;
} repack;

static void move_part(repack *r, size_t bytes)
{
    uint8_t *full = r->full + r->lanes.from * bytes;
    const size_t n = r->lanes.count * bytes;
    if (r->packing)
        memcpy(r->part, full, n);
    else
        memcpy(full, r->part, n);
    r->full += SOTTO_LANES * bytes;
    r->part += n;
}

static void move_bits(repack *r)
{
    const unsigned n = r->lanes.count, from = r->lanes.from;
    const size_t bytes = (3 * n + 7) / 8;
    uint64_t x = 0, lanes = ((uint64_t)1 << n) - 1;
    uint8_t full[6] = {0};
    memcpy(&x, r->packing ? r->full : r->part, r->packing ? sizeof full : bytes);
    if (r->packing) {
        x = (x >> from & lanes) | (x >> (16 + from) & lanes) << n | (x >> (32 + from) & lanes) << 2 * n;
        memcpy(r->part, &x, bytes);
    } else {
        x = (x & lanes) << from | (x >> n & lanes) << (16 + from) | (x >> 2 * n & lanes) << (32 + from);
        memcpy(r->full, &x, sizeof full);
    }
    r->full += sizeof full;
    r->part += bytes;
}

static void repack_segment(repack r, const sotto_garbling *g, const sotto_op *ops, size_t count)
{
    for (const sotto_op *op = ops; op < ops + count; op++) {
        if (op->kind == SOTTO_OP_AND_EVAL)
            move_part(&r, 16);
        if (op->kind != SOTTO_OP_AND)
            continue;
        move_part(&r, 16);
        if (g->scheme == SOTTO_HALF_GATES) {
            move_part(&r, 16);
        } else {
            move_part(&r, 8);
            move_bits(&r);
        }
    }
}

/* ---- where tables go and come from -------------------------------------------------------------------------------------- */

/* All tables in memory (chan NULL, at ends at the end), or a window on the stream. */
typedef struct window {
    uint8_t *data;
    size_t at, have, cap; /* writing: [0, at) is made; reading: [at, have) waits */
    size_t chunk;         /* writing: sent when there is as much */
    size_t left;          /* reading: bytes still to be received */
    sotto_chan *chan;
} window;

static int send_made(window *t)
{
    int rc = sotto_chan_send(t->chan, t->data, t->at);
    t->at = 0;
    if (!rc)
        rc = sotto_chan_flush(t->chan);
    return rc;
}

/* The window holds a chunk and a segment. */
static int make_room(window *t)
{
    return t->chan && t->at >= t->chunk ? send_made(t) : SOTTO_OK;
}

static int await_bytes(window *t, size_t bytes)
{
    if (!t->chan || t->have - t->at >= bytes)
        return SOTTO_OK;
    memmove(t->data, t->data + t->at, t->have - t->at);
    t->have -= t->at;
    t->at = 0;
    const size_t room = t->cap - t->have, n = room < t->left ? room : t->left;
    const int rc = sotto_chan_recv(t->chan, t->data + t->have, n);
    t->have += n;
    t->left -= n;
    return rc;
}

/* ---- batches ----------------------------------------------------------------------------------------------------------- */

typedef struct run {
    const sotto_garble_job *job;
    const sotto_garble_kernel *kernel;
    int garbling;
    sotto_lanes lanes;
    sotto_block *in;  /* inputs of a partial batch, [inputs][lanes] */
    uint8_t *scratch; /* tables of a segment of a partial batch */
    window tables;
} run;

static void set_keys(run *r, uint64_t batch)
{
    for (unsigned i = 0; i < SOTTO_LANE_KEYS; i++)
        r->lanes.key[i] = sotto_hash_key(&r->job->hash, (uint16_t)r->job->g->scheme, 0, SOTTO_LANE_KEYS * batch + i);
}

static void set_inputs(run *r, const sotto_block *in, size_t done, span lanes)
{
    const size_t stride = r->job->instances;
    r->lanes.in = lanes.count == SOTTO_LANES ? in + done : r->in;
    r->lanes.stride = lanes.count == SOTTO_LANES ? stride : SOTTO_LANES;
    for (size_t w = 0; lanes.count < SOTTO_LANES && w < r->job->g->inputs; w++)
        memcpy(r->in + w * SOTTO_LANES + lanes.from, in + w * stride + done, lanes.count * sizeof *in);
}

static int run_segment(run *r, const sotto_op *ops, const sotto_segment *s, span lanes)
{
    const sotto_garbling *g = r->job->g;
    const size_t count = (size_t)(g->ops + s->end - ops), bytes = segment_bytes(g, s, lanes.count);
    const int rc = r->garbling ? make_room(&r->tables) : await_bytes(&r->tables, bytes);
    if (rc)
        return rc;
    uint8_t *at = r->tables.data + r->tables.at;
    const int whole = lanes.count == SOTTO_LANES;
    const repack moved = {r->scratch, at, lanes, r->garbling};
    if (r->garbling) {
        r->kernel->garble[g->scheme](&r->lanes, ops, count, whole ? at : r->scratch);
        if (!whole)
            repack_segment(moved, g, ops, count);
    } else {
        if (!whole)
            repack_segment(moved, g, ops, count);
        r->kernel->evaluate[g->scheme](&r->lanes, ops, count, whole ? at : r->scratch);
    }
    r->tables.at += bytes;
    return SOTTO_OK;
}

static void take_outputs(const run *r, sotto_block *out, size_t done, span lanes)
{
    const sotto_garbling *g = r->job->g;
    for (uint32_t o = 0; o < g->output_count; o++) {
        const sotto_block *label = &r->lanes.slot[g->outputs[o].slot][lanes.from];
        const sotto_block flip = sotto_block_and(r->lanes.offset, 0 - (uint64_t)g->outputs[o].inverted);
        for (unsigned i = 0; i < lanes.count; i++)
            out[o * r->job->instances + done + i] = sotto_block_xor(label[i], flip);
    }
}

static int run_batches(run *r, const sotto_block *in, sotto_block *out)
{
    const sotto_garbling *g = r->job->g;
    int rc = SOTTO_OK;
    span lanes;
    for (size_t done = 0; !rc && done < r->job->instances; done += lanes.count) {
        lanes = first_span(r->job, done);
        set_keys(r, (r->job->first + done) / SOTTO_LANES);
        set_inputs(r, in, done, lanes);
        r->lanes.gate = 0;
        const sotto_op *ops = g->ops;
        for (uint32_t s = 0; !rc && s < g->segment_count; s++) {
            rc = run_segment(r, ops, &g->segments[s], lanes);
            ops = g->ops + g->segments[s].end;
        }
        if (!rc)
            take_outputs(r, out, done, lanes);
    }
    sotto_wipe_stack(); /* pairs of hashes and labels that differ by the offset */
    return rc;
}

/* ---- jobs --------------------------------------------------------------------------------------------------------------- */

static int check(const sotto_garble_job *job, const sotto_block *offset)
{
    if (job->hash.domain != SOTTO_DOMAIN_GARBLE || (offset && !(offset->w[0] & 1)))
        return sotto_fail(SOTTO_ERR_ARG, "garbling needs its own hash domain and an offset whose lowest bit is 1");
    if (job->instances > UINT64_MAX - job->first || sotto_garble_bytes(job) == SIZE_MAX)
        return sotto_fail(SOTTO_ERR_ARG, "too many instances of a circuit at once");
    return SOTTO_OK;
}

/* With chan the tables are streamed and `data` is not used. */
static int run_job(const sotto_garble_job *job, const sotto_block *offset, const sotto_block *in, uint8_t *data, sotto_chan *chan, sotto_block *out)
{
    int rc = check(job, offset);
    if (rc)
        return rc;
    const sotto_garbling *g = job->g;
    const size_t most = SOTTO_SEGMENT_ANDS * SOTTO_HALF_BYTES, bytes = sotto_garble_bytes(job), share = bytes / CHUNKS_MIN;
    const size_t chunk = share > CHUNK ? CHUNK : share < CHUNK_MIN ? CHUNK_MIN : share, room = (offset ? chunk : TAKEN_AT_ONCE) + most;
    run r = {.job = job, .kernel = kernel(), .garbling = offset != NULL, .in = NULL, .scratch = NULL};
    r.lanes.slot = sotto_calloc(g->slot_count, sizeof *r.lanes.slot);
    r.in = sotto_calloc(g->inputs, SOTTO_LANES * sizeof *r.in);
    r.scratch = sotto_calloc(most, 1);
    uint8_t *buffer = chan ? sotto_calloc(room, 1) : NULL;
    r.tables = (window){.data = chan ? buffer : data, .cap = room, .chunk = chunk, .left = bytes, .chan = chan};
    if (offset)
        r.lanes.offset = *offset;
    if (r.lanes.slot && r.in && r.scratch && (buffer || !chan))
        rc = run_batches(&r, in, out);
    else
        rc = sotto_fail(SOTTO_ERR_MEMORY, "out of memory for the labels of a circuit of %u gates", g->op_count);
    if (!rc && chan && offset)
        rc = send_made(&r.tables);
    if (rc)
        sotto_wipe(out, g->output_count * job->instances * sizeof *out);
    sotto_free_secret(r.lanes.slot, g->slot_count, sizeof *r.lanes.slot);
    sotto_free_secret(r.in, g->inputs, SOTTO_LANES * sizeof *r.in);
    sotto_free_secret(r.scratch, most, 1);
    sotto_free(buffer);
    sotto_wipe(&r, sizeof r);
    return rc;
}

int sotto_garble_tables(const sotto_garble_job *job, sotto_block offset, const sotto_block *in_zero, uint8_t *tables, sotto_block *out_zero)
{
    return run_job(job, &offset, in_zero, tables, NULL, out_zero);
}

int sotto_garble_evaluate(const sotto_garble_job *job, const sotto_block *in, const uint8_t *tables, sotto_block *out)
{
    return run_job(job, NULL, in, (uint8_t *)(uintptr_t)tables, NULL, out); /* read only */
}

int sotto_garble_send(const sotto_garble_job *job, sotto_block offset, const sotto_block *in_zero, sotto_chan *chan, sotto_block *out_zero)
{
    return run_job(job, &offset, in_zero, NULL, chan, out_zero);
}

int sotto_garble_recv(const sotto_garble_job *job, const sotto_block *in, sotto_chan *chan, sotto_block *out)
{
    return run_job(job, NULL, in, NULL, chan, out);
}
