#include "nn/secure/sign.h"

#include <string.h>

#include "garble/garbling.h"
#include "garble/word.h"
#include "lib/bytes.h"
#include "lib/ct.h"
#include "lib/mem.h"
#include "lib/prg.h"
#include "ot/lookup.h"

#define CIRCUIT_U_MAX 50u
#define OUTPUTS_MAX   2u

static const struct {
    const char *name;
    unsigned u_max;
    sotto_garble_scheme scheme; /* of circuits, that of the label where signs are none */
} providers[SOTTO_SIGN_PROVIDERS] = {
    [SOTTO_SIGN_LOOKUP] = {"lookup", SOTTO_LOOKUP_U_MAX, SOTTO_HALF_GATES},
    [SOTTO_SIGN_CIRCUIT] = {"circuit", CIRCUIT_U_MAX, SOTTO_HALF_GATES},
    [SOTTO_SIGN_CIRCUIT3] = {"circuit3", CIRCUIT_U_MAX, SOTTO_THREE_HALVES},
};

const char *sotto_sign_name(sotto_sign_provider provider)
{
    return provider < SOTTO_SIGN_PROVIDERS ? providers[provider].name : "unknown";
}

sotto_garble_scheme sotto_sign_scheme(sotto_sign_provider provider)
{
    return providers[provider].scheme;
}

int sotto_sign_plan_new(sotto_sign_plan *p, sotto_sign_provider provider, unsigned u, unsigned outputs, size_t count)
{
    if (provider >= SOTTO_SIGN_PROVIDERS) {
        return sotto_fail(SOTTO_ERR_PARAMS, "unknown sign provider %d; lookup, circuit and circuit3 are there", (int)provider);
    }
    if (u < 2 || u > providers[provider].u_max) {
        return sotto_fail(SOTTO_ERR_PARAMS, "signs of u = %u bits: the %s takes 2 to %u; %s", u, providers[provider].name, providers[provider].u_max,
                          provider == SOTTO_SIGN_LOOKUP ? "choose the circuit, or plan a smaller u" : "plan a smaller u");
    }
    if (outputs < 1 || outputs > OUTPUTS_MAX) {
        return sotto_fail(SOTTO_ERR_ARG, "%u decisions of a unit: 1 or 2 are there", outputs);
    }
    if (count > SIZE_MAX / sizeof(sotto_block) / 4 / OUTPUTS_MAX / u) {
        return sotto_fail(SOTTO_ERR_PARAMS, "%zu signs are more than fit in memory", count);
    }
    const size_t ots = count * (u - 1);
    *p = (sotto_sign_plan){
        .provider = provider,
        .u = u,
        .outputs = outputs,
        .count = count,
        .ots = ots,
        .flip_bytes = sotto_packed_bytes(ots, 1),
        .message_bytes = outputs * (provider == SOTTO_SIGN_LOOKUP ? sotto_lookup_table_bytes(u, count)
                                                                  : ots * sizeof(sotto_block) + sotto_packed_bytes(count, 1)),
        /* both parties' labels and the outputs, of a tile */
        .scratch = provider == SOTTO_SIGN_LOOKUP ? 0 : (count < SOTTO_SIGN_TILE ? count : SOTTO_SIGN_TILE) * ((outputs + 1) * (u - 1) + outputs),
    };
    p->table_bytes = sotto_sign_table_bytes(p, count);
    return SOTTO_OK;
}

/* The client knows one input of the first AND of a decision. */
size_t sotto_sign_table_bytes(const sotto_sign_plan *p, size_t n)
{
    return p->provider == SOTTO_SIGN_LOOKUP ? 0 : sotto_garble_gate_bytes(sotto_sign_scheme(p->provider), p->outputs * (p->u - 2), p->outputs, n);
}

void sotto_sign_flips(const sotto_sign_plan *p, uint64_t *flips, const uint64_t *r, const uint64_t *top, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        flips[i] = sotto_low_bits(r[i] ^ top[i], p->u - 1);
    }
}

static size_t tiles(const sotto_sign_plan *p)
{
    return (p->count + SOTTO_SIGN_TILE - 1) / SOTTO_SIGN_TILE;
}

/* Places of decision k from unit `at` on: in arrays of a bit a decision; in a lookup's message; of the bits in a circuit's message that decode it. */
static size_t bits_at(const sotto_sign_plan *p, unsigned k, size_t at)
{
    return k * sotto_packed_bytes(p->count, 1) + at / 8;
}

static size_t tables_at(const sotto_sign_plan *p, unsigned k, size_t at)
{
    return k * sotto_lookup_table_bytes(p->u, p->count) + sotto_lookup_table_bytes(p->u, at);
}

static size_t decoding_at(const sotto_sign_plan *p, unsigned k, size_t at)
{
    return p->outputs * p->ots * sizeof(sotto_block) + bits_at(p, k, at);
}

/* The carry circuit made ready for garbling: a carry for each of the server's numbers. The client knows its own inputs: the permute bits of its labels are its bits,
 * on both sides (sotto_label_known). */
static int sign_garbling(sotto_garbling **out, const sotto_sign_plan *p)
{
    const unsigned bits = p->u - 1;
    sotto_circuit circuit;
    *out = NULL;
    sotto_circuit_init(&circuit, p->outputs * bits, bits);
    for (unsigned k = 0; k < p->outputs; k++) {
        sotto_circuit_output(&circuit, sotto_word_carry(&circuit, sotto_word_wires(k * bits, bits), sotto_word_wires(p->outputs * bits, bits)));
    }
    int status = sotto_circuit_finish(&circuit);
    if (status == SOTTO_OK) {
        sotto_circuit_known_inputs(&circuit);
        status = sotto_garbling_new(out, &circuit, sotto_sign_scheme(p->provider));
    }
    sotto_circuit_free(&circuit);
    return status;
}

static sotto_garble_job job_of(const sotto_garbling *g, const sotto_ot *ot, int send, uint64_t first, size_t n)
{
    return (sotto_garble_job){g, sotto_ot_hash(ot, SOTTO_DOMAIN_GARBLE, send), sotto_sign_instance(first), n};
}

/* ---- client ---------------------------------------------------------------------------------------------------- */

struct sotto_sign_client {
    sotto_sign_plan plan;
    uint8_t *pads;         /* lookup: count packed bits of each table */
    sotto_garbling *garbling; /* circuit, like all that follows */
    sotto_garble_job *job; /* of each tile */
    sotto_block *label;    /* by tiles, of each wire-major: OT outputs, whose permute bits are still to be set */
};

int sotto_sign_client_new(sotto_sign_client **out, const sotto_sign_plan *p)
{
    *out = NULL;
    sotto_sign_client *s = sotto_calloc(1, sizeof *s);
    if (s == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu signs", p->count);
    }
    s->plan = *p;
    int status = SOTTO_OK;
    if (p->provider == SOTTO_SIGN_LOOKUP) {
        s->pads = sotto_calloc(p->outputs, sotto_packed_bytes(p->count, 1));
    } else {
        s->job = sotto_calloc(tiles(p), sizeof *s->job);
        s->label = sotto_calloc(p->ots, sizeof *s->label);
    }
    if (p->provider == SOTTO_SIGN_LOOKUP ? s->pads == NULL : s->job == NULL || s->label == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu signs", p->count);
    } else if (p->provider != SOTTO_SIGN_LOOKUP) {
        status = sign_garbling(&s->garbling, p);
    }
    if (status != SOTTO_OK) {
        sotto_sign_client_free(s);
        s = NULL;
    }
    *out = s;
    return status;
}

int sotto_sign_client_keys(sotto_sign_client *s, size_t at, size_t n, const sotto_ot *ot, uint64_t first, const sotto_block *t, const uint64_t *r)
{
    const sotto_sign_plan *p = &s->plan;
    if (p->provider == SOTTO_SIGN_LOOKUP) {
        uint64_t pad[SOTTO_SIGN_TILE];
        int status = SOTTO_OK;
        for (unsigned k = 0; k < p->outputs && status == SOTTO_OK; k++) {
            status = sotto_lookup_pad(pad, p->u, k, n, ot, first, t, r);
            if (status == SOTTO_OK) {
                sotto_pack(s->pads + bits_at(p, k, at), pad, n, 1);
            }
        }
        sotto_wipe(pad, sizeof pad);
        return status;
    }
    s->job[at / SOTTO_SIGN_TILE] = job_of(s->garbling, ot, 0, first, n);
    sotto_block *label = s->label + at * (p->u - 1);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j + 1 < p->u; j++) {
            label[j * n + i] = t[i * (p->u - 1) + j];
        }
    }
    return SOTTO_OK;
}

static int open_circuit(const sotto_sign_client *s, size_t at, size_t n, uint64_t *const *b, const uint8_t *message, const uint8_t *tables,
                        const uint64_t *top, sotto_block *scratch)
{
    const sotto_sign_plan *p = &s->plan;
    const size_t bits = p->u - 1, theirs = p->outputs * bits;
    sotto_block *own = scratch + theirs * n, *result = own + bits * n;
    const sotto_block *label = s->label + at * bits;
    for (size_t j = 0; j < theirs; j++) {
        memcpy(scratch + j * n, message + (j * p->count + at) * sizeof *scratch, n * sizeof *scratch);
    }
    for (size_t j = 0; j < bits; j++) {
        for (size_t i = 0; i < n; i++) {
            own[j * n + i] = sotto_label_known(label[j * n + i], (unsigned)(top[i] >> j) & 1);
        }
    }
    int status = sotto_garble_evaluate(&s->job[at / SOTTO_SIGN_TILE], scratch, tables + sotto_sign_table_bytes(p, at), result);
    for (unsigned k = 0; k < p->outputs && status == SOTTO_OK; k++) {
        sotto_reader r;
        sotto_reader_init(&r, message + decoding_at(p, k, at), sotto_packed_bytes(n, 1));
        sotto_read_packed(&r, b[k], n, 1);
        status = sotto_reader_finish(&r, "sign message");
        for (size_t i = 0; status == SOTTO_OK && i < n; i++) {
            b[k][i] ^= 1 ^ sotto_permute_bit(result[k * n + i]) ^ ((top[i] >> (p->u - 1)) & 1);
        }
    }
    return status;
}

int sotto_sign_open(const sotto_sign_client *s, size_t at, size_t n, uint64_t *const *b, const uint8_t *message, const uint8_t *tables,
                    const uint64_t *top, sotto_block *scratch)
{
    const sotto_sign_plan *p = &s->plan;
    if (p->provider != SOTTO_SIGN_LOOKUP) {
        return open_circuit(s, at, n, b, message, tables, top, scratch);
    }
    uint64_t pad[SOTTO_SIGN_TILE];
    for (unsigned k = 0; k < p->outputs; k++) {
        sotto_unpack(pad, s->pads + bits_at(p, k, at), n, 1);
        sotto_lookup_open(b[k], p->u, n, message + tables_at(p, k, at), pad, top);
    }
    sotto_wipe(pad, sizeof pad);
    return SOTTO_OK;
}

void sotto_sign_client_free(sotto_sign_client *s)
{
    if (s == NULL) {
        return;
    }
    sotto_free_secret(s->pads, s->plan.outputs, sotto_packed_bytes(s->plan.count, 1));
    sotto_free_secret(s->label, s->plan.ots, sizeof *s->label);
    sotto_free(s->job);
    sotto_garbling_free(s->garbling);
    sotto_free_secret(s, 1, sizeof *s);
}

/* ---- server ---------------------------------------------------------------------------------------------------- */

struct sotto_sign_server {
    sotto_sign_plan plan;
    uint8_t *pads;            /* lookup: message_bytes */
    sotto_garbling *garbling; /* circuit, like all that follows */
    uint64_t *first;          /* number of each tile's first instance */
    sotto_block *q;           /* OT outputs, until all tiles are garbled */
    uint8_t *permute;         /* permute bits, count packed bits of each output */
    sotto_block offset;
    sotto_block seed;         /* the garbler's zero labels, by tiles and of each wire-major [outputs (u - 1)][n], are its PRG's output: */
    sotto_prg zero;           /* drawn twice, when garbling and when offering, so that 16 bytes are kept and not as many a wire */
};

int sotto_sign_server_new(sotto_sign_server **out, const sotto_sign_plan *p, const sotto_rng *rng)
{
    *out = NULL;
    sotto_sign_server *s = sotto_calloc(1, sizeof *s);
    if (s == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu signs", p->count);
    }
    s->plan = *p;
    int status = SOTTO_OK;
    if (p->provider == SOTTO_SIGN_LOOKUP) {
        s->pads = sotto_calloc(p->message_bytes, 1);
    } else {
        s->first = sotto_calloc(tiles(p), sizeof *s->first);
        s->q = sotto_calloc(p->ots, sizeof *s->q);
        s->permute = sotto_calloc(p->outputs, sotto_packed_bytes(p->count, 1));
    }
    if (p->provider == SOTTO_SIGN_LOOKUP ? s->pads == NULL : s->first == NULL || s->q == NULL || s->permute == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu signs", p->count);
    } else if (p->provider != SOTTO_SIGN_LOOKUP) {
        status = sotto_rng_fill(rng, &s->seed, sizeof s->seed);
        if (status == SOTTO_OK) {
            status = sign_garbling(&s->garbling, p);
        }
    }
    if (status != SOTTO_OK) {
        sotto_sign_server_free(s);
        s = NULL;
    }
    *out = s;
    return status;
}

int sotto_sign_server_keys(sotto_sign_server *s, size_t at, size_t n, const sotto_ot *ot, uint64_t first, const sotto_block *q)
{
    const sotto_sign_plan *p = &s->plan;
    if (p->provider == SOTTO_SIGN_LOOKUP) {
        int status = SOTTO_OK;
        for (unsigned k = 0; k < p->outputs && status == SOTTO_OK; k++) {
            status = sotto_lookup_pads(s->pads + tables_at(p, k, at), p->u, k, n, ot, first, q);
        }
        return status;
    }
    s->first[at / SOTTO_SIGN_TILE] = first;
    memcpy(s->q + at * (p->u - 1), q, n * (p->u - 1) * sizeof *q);
    return SOTTO_OK;
}

/* The next `count` of them, or the first ones. */
static void zero_labels(sotto_sign_server *s, int from_start, void *out, size_t count)
{
    if (from_start) {
        sotto_prg_init(&s->zero, s->seed);
    }
    sotto_prg_fill(&s->zero, out, count * sizeof(sotto_block));
}

static int garble(sotto_sign_server *s, size_t at, size_t n, const sotto_ot *ot, const uint64_t *flips, uint8_t *tables, sotto_block *scratch)
{
    const sotto_sign_plan *p = &s->plan;
    const size_t wires = p->u - 1, own = p->outputs * wires;
    sotto_block *theirs = scratch + own * n, *zero_out = theirs + wires * n;
    const sotto_block *q = s->q + at * wires;
    s->offset = sotto_ot_offset(ot);
    zero_labels(s, at == 0, scratch, own * n);
    /* The client holds q xor (random bit) D; its bit is (random bit) xor flip. */
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < wires; j++) {
            const sotto_block zero = sotto_block_xor(q[i * wires + j], sotto_block_and(s->offset, sotto_ct_mask(flips[i] >> j & 1)));
            theirs[j * n + i] = sotto_label_known(zero, 0);
        }
    }
    const sotto_garble_job job = job_of(s->garbling, ot, 1, s->first[at / SOTTO_SIGN_TILE], n);
    const int status = sotto_garble_tables(&job, s->offset, scratch, tables, zero_out);
    for (unsigned k = 0; k < p->outputs && status == SOTTO_OK; k++) {
        for (size_t i = 0; i < n; i++) {
            sotto_bit_or(s->permute + bits_at(p, k, at), i, sotto_permute_bit(zero_out[k * n + i]));
        }
    }
    if (at + n == p->count) {
        sotto_free_secret(s->q, p->ots, sizeof *s->q);
        s->q = NULL;
    }
    return status;
}

int sotto_sign_server_ready(sotto_sign_server *s, size_t at, size_t n, const sotto_ot *ot, const uint64_t *flips, uint8_t *tables,
                            sotto_block *scratch)
{
    if (s->plan.provider != SOTTO_SIGN_LOOKUP) {
        return garble(s, at, n, ot, flips, tables, scratch);
    }
    for (unsigned k = 0; k < s->plan.outputs; k++) {
        sotto_lookup_turn(s->pads + tables_at(&s->plan, k, at), s->plan.u, n, flips);
    }
    return SOTTO_OK;
}

static void offer_circuit(sotto_sign_server *s, size_t at, size_t n, uint8_t *message, const uint64_t *const *top, const uint64_t *const *pi)
{
    const sotto_sign_plan *p = &s->plan;
    const unsigned wires = p->u - 1;
    for (unsigned k = 0; k < p->outputs; k++) {
        uint8_t *bits = message + decoding_at(p, k, at);
        for (unsigned j = 0; j < wires; j++) {
            uint8_t *wire = message + ((k * wires + j) * p->count + at) * sizeof(sotto_block);
            zero_labels(s, at == 0 && k == 0 && j == 0, wire, n);
            for (size_t i = 0; i < n; i++) {
                sotto_block label;
                memcpy(&label, wire + i * sizeof label, sizeof label);
                label = sotto_block_xor(label, sotto_block_and(s->offset, sotto_ct_mask((top[k][i] >> j) & 1)));
                memcpy(wire + i * sizeof label, &label, sizeof label);
            }
        }
        memset(bits, 0, sotto_packed_bytes(n, 1));
        for (size_t i = 0; i < n; i++) {
            sotto_bit_or(bits, i, (unsigned)((top[k][i] >> wires ^ pi[k][i] ^ sotto_bit(s->permute + bits_at(p, k, at), i)) & 1));
        }
    }
}

void sotto_sign_offer(sotto_sign_server *s, size_t at, size_t n, uint8_t *message, const uint64_t *const *top, const uint64_t *const *pi)
{
    const sotto_sign_plan *p = &s->plan;
    if (p->provider != SOTTO_SIGN_LOOKUP) {
        offer_circuit(s, at, n, message, top, pi);
        return;
    }
    for (unsigned k = 0; k < p->outputs; k++) {
        const size_t from = tables_at(p, k, at);
        sotto_lookup_tables(message + from, p->u, n, s->pads + from, top[k], pi[k]);
    }
}

void sotto_sign_server_free(sotto_sign_server *s)
{
    if (s == NULL) {
        return;
    }
    sotto_free_secret(s->pads, s->pads == NULL ? 0 : s->plan.message_bytes, 1);
    sotto_free_secret(s->q, s->plan.ots, sizeof *s->q);
    sotto_free_secret(s->permute, s->plan.outputs, sotto_packed_bytes(s->plan.count, 1));
    sotto_free(s->first);
    sotto_garbling_free(s->garbling);
    sotto_free_secret(s, 1, sizeof *s);
}
