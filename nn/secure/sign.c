#include "nn/secure/sign.h"

#include <string.h>

#include "garble/gadgets.h"
#include "garble/halfgates.h"
#include "lib/bytes.h"
#include "lib/ct.h"
#include "lib/mem.h"
#include "ot/lookup.h"

#define CIRCUIT_U_MAX 50u

int sotto_sign_plan_new(sotto_sign_plan *p, sotto_sign_provider provider, unsigned u, size_t count)
{
    const unsigned most = provider == SOTTO_SIGN_LOOKUP ? SOTTO_LOOKUP_U_MAX : CIRCUIT_U_MAX;
    if (provider >= SOTTO_SIGN_PROVIDERS) {
        return sotto_fail(SOTTO_ERR_PARAMS, "unknown sign provider %d; lookup and circuit are there", (int)provider);
    }
    if (u < 2 || u > most) {
        return sotto_fail(SOTTO_ERR_PARAMS, "signs of u = %u bits: the %s takes 2 to %u; %s", u,
                          provider == SOTTO_SIGN_LOOKUP ? "lookup" : "circuit", most,
                          provider == SOTTO_SIGN_LOOKUP ? "choose the circuit, or plan a smaller u" : "plan a smaller u");
    }
    const size_t ots = count * (u - 1);
    const size_t blocks = provider == SOTTO_SIGN_CIRCUIT ? ots : 0; /* labels; an AND gate has two blocks of table */
    *p = (sotto_sign_plan){
        .provider = provider,
        .u = u,
        .count = count,
        .ots = ots,
        .flip_bytes = sotto_packed_bytes(ots, 1),
        .table_bytes = 2 * blocks * sizeof(sotto_block),
        .message_bytes = provider == SOTTO_SIGN_LOOKUP ? sotto_lookup_table_bytes(u, count)
                                                       : blocks * sizeof(sotto_block) + sotto_packed_bytes(count, 1),
    };
    return SOTTO_OK;
}

void sotto_sign_choose(const sotto_sign_plan *p, uint8_t *flips, const uint8_t *choices, size_t choices_first, const uint64_t *top)
{
    memset(flips, 0, p->flip_bytes);
    for (size_t i = 0, o = 0; i < p->count; i++) {
        for (unsigned j = 0; j < p->u - 1; j++, o++) {
            const unsigned bit = (unsigned)(top[i] >> j) & 1;
            sotto_bit_or(flips, o, bit ^ sotto_bit(choices, choices_first + o));
        }
    }
}

/* Circuits are numbered like the OTs that carry their inputs: instance i of a layer is first + i, and a layer takes at least as many OT numbers as it has
 * units, so that no number is garbled twice. The hash domains are apart. */

/* ---- client ---------------------------------------------------------------------------------------------------- */

struct sotto_sign_client {
    sotto_sign_plan plan;
    uint64_t *top;        /* count */
    uint64_t *pad;        /* lookup: count */
    sotto_hash hash;      /* circuit */
    uint64_t first;
    sotto_circuit circuit;
    sotto_block *label;   /* circuit: wire-major [2 (u - 1)][count]; the garbler's half is filled when opened */
    sotto_block *table;
};

/* Labels from unit-major to wire-major order. */
static void to_wires(const sotto_sign_plan *p, sotto_block *out, const sotto_block *in)
{
    for (size_t i = 0; i < p->count; i++) {
        for (size_t j = 0; j + 1 < p->u; j++) {
            out[j * p->count + i] = in[i * (p->u - 1) + j];
        }
    }
}

int sotto_sign_client_new(sotto_sign_client **out, const sotto_sign_plan *p, const sotto_ot *ot, uint64_t first, const sotto_block *t,
                          const uint64_t *top, const uint8_t *tables)
{
    *out = NULL;
    sotto_sign_client *s = sotto_calloc(1, sizeof *s);
    if (s == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu signs", p->count);
    }
    s->plan = *p;
    int status = SOTTO_OK;
    s->top = sotto_calloc(p->count, sizeof *s->top);
    if (s->top == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu signs", p->count);
        goto done;
    }
    memcpy(s->top, top, p->count * sizeof *top);
    if (p->provider == SOTTO_SIGN_LOOKUP) {
        s->pad = sotto_calloc(p->count, sizeof *s->pad);
        status = s->pad == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu signs", p->count)
                                : sotto_lookup_pad(s->pad, p->u, p->count, ot, first, t, top);
    } else {
        s->hash = sotto_ot_hash(ot, SOTTO_DOMAIN_GARBLE, 0);
        s->first = first;
        s->label = sotto_calloc(p->ots, 2 * sizeof *s->label);
        s->table = sotto_calloc(p->table_bytes, 1);
        if (s->label == NULL || s->table == NULL) {
            status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu signs", p->count);
            goto done;
        }
        to_wires(p, s->label + p->ots, t);
        memcpy(s->table, tables, p->table_bytes);
        status = sotto_circuit_sign(&s->circuit, p->u);
    }
done:
    if (status != SOTTO_OK) {
        sotto_sign_client_free(s);
        s = NULL;
    }
    *out = s;
    return status;
}

static int open_circuit(const sotto_sign_client *s, uint64_t *b, const uint8_t *message)
{
    const sotto_sign_plan *p = &s->plan;
    const size_t labels = p->ots * sizeof(sotto_block);
    sotto_block *result = sotto_calloc(p->count, sizeof *result);
    int status;
    if (result == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu signs", p->count);
    }
    memcpy(s->label, message, labels);
    sotto_reader r;
    sotto_reader_init(&r, message + labels, p->message_bytes - labels);
    sotto_read_packed(&r, b, p->count, 1);
    status = sotto_reader_finish(&r, "sign message");
    if (status == SOTTO_OK) {
        status = sotto_evaluate(&s->circuit, &s->hash, s->first, p->count, s->label, s->table, result);
    }
    for (size_t i = 0; status == SOTTO_OK && i < p->count; i++) {
        b[i] ^= 1 ^ sotto_permute_bit(result[i]) ^ ((s->top[i] >> (p->u - 1)) & 1);
    }
    sotto_free_secret(result, p->count, sizeof *result);
    return status;
}

int sotto_sign_open(const sotto_sign_client *s, uint64_t *b, const uint8_t *message)
{
    if (s->plan.provider == SOTTO_SIGN_CIRCUIT) {
        return open_circuit(s, b, message);
    }
    sotto_lookup_open(b, s->plan.u, s->plan.count, message, s->pad, s->top);
    return SOTTO_OK;
}

void sotto_sign_client_free(sotto_sign_client *s)
{
    if (s == NULL) {
        return;
    }
    sotto_free_secret(s->top, s->plan.count, sizeof *s->top);
    sotto_free_secret(s->pad, s->plan.count, sizeof *s->pad);
    sotto_free_secret(s->label, s->plan.ots, 2 * sizeof *s->label);
    sotto_free(s->table);
    sotto_circuit_free(&s->circuit);
    sotto_free_secret(s, 1, sizeof *s);
}

/* ---- server ---------------------------------------------------------------------------------------------------- */

struct sotto_sign_server {
    sotto_sign_plan plan;
    uint64_t *pi;       /* count; circuit: pi xor the permute bit of the output */
    uint8_t *pads;      /* lookup: message_bytes */
    sotto_block offset; /* circuit */
    sotto_block *zero;  /* circuit: the garbler's zero labels, wire-major [u - 1][count] */
};

static int garble(sotto_sign_server *s, const sotto_ot *ot, uint64_t first, const sotto_block *q, const uint8_t *flips, uint8_t *tables,
                  const sotto_rng *rng)
{
    const sotto_sign_plan *p = &s->plan;
    const sotto_hash hash = sotto_ot_hash(ot, SOTTO_DOMAIN_GARBLE, 1);
    sotto_circuit circuit = {0};
    sotto_block *in = sotto_calloc(p->ots, 2 * sizeof *in), *theirs = sotto_calloc(p->ots, sizeof *theirs);
    sotto_block *table = sotto_calloc(p->table_bytes, 1), *zero_out = sotto_calloc(p->count, sizeof *zero_out);
    s->zero = sotto_calloc(p->ots, sizeof *s->zero);
    int status = SOTTO_OK;
    if (in == NULL || theirs == NULL || table == NULL || zero_out == NULL || s->zero == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu signs", p->count);
        goto done;
    }
    s->offset = sotto_ot_offset(ot);
    status = sotto_rng_fill(rng, s->zero, p->ots * sizeof *s->zero);
    if (status == SOTTO_OK) {
        status = sotto_circuit_sign(&circuit, p->u);
    }
    if (status != SOTTO_OK) {
        goto done;
    }
    /* The client holds q xor (random bit) D; its bit is (random bit) xor flip. */
    for (size_t o = 0; o < p->ots; o++) {
        theirs[o] = sotto_block_xor(q[o], sotto_block_and(s->offset, sotto_ct_mask(sotto_bit(flips, o))));
    }
    memcpy(in, s->zero, p->ots * sizeof *in);
    to_wires(p, in + p->ots, theirs);
    status = sotto_garble(&circuit, &hash, s->offset, first, p->count, in, table, zero_out);
    if (status != SOTTO_OK) {
        goto done;
    }
    memcpy(tables, table, p->table_bytes);
    for (size_t i = 0; i < p->count; i++) {
        s->pi[i] ^= sotto_permute_bit(zero_out[i]);
    }
done:
    sotto_circuit_free(&circuit);
    sotto_free_secret(in, p->ots, 2 * sizeof *in);
    sotto_free_secret(theirs, p->ots, sizeof *theirs);
    sotto_free_secret(zero_out, p->count, sizeof *zero_out);
    sotto_free(table);
    return status;
}

int sotto_sign_server_new(sotto_sign_server **out, const sotto_sign_plan *p, const sotto_ot *ot, uint64_t first, const sotto_block *q,
                          const uint8_t *flips, const uint64_t *pi, uint8_t *tables, const sotto_rng *rng)
{
    *out = NULL;
    sotto_sign_server *s = sotto_calloc(1, sizeof *s);
    if (s == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu signs", p->count);
    }
    s->plan = *p;
    s->pi = sotto_calloc(p->count, sizeof *s->pi);
    s->pads = p->provider == SOTTO_SIGN_LOOKUP ? sotto_calloc(p->message_bytes, 1) : NULL;
    int status = SOTTO_OK;
    if (s->pi == NULL || (p->provider == SOTTO_SIGN_LOOKUP && s->pads == NULL)) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu signs", p->count);
        goto done;
    }
    memcpy(s->pi, pi, p->count * sizeof *pi);
    status = p->provider == SOTTO_SIGN_LOOKUP ? sotto_lookup_pads(s->pads, p->u, p->count, ot, first, q, flips)
                                              : garble(s, ot, first, q, flips, tables, rng);
done:
    if (status != SOTTO_OK) {
        sotto_sign_server_free(s);
        s = NULL;
    }
    *out = s;
    return status;
}

void sotto_sign_offer(const sotto_sign_server *s, uint8_t *message, const uint64_t *top)
{
    const sotto_sign_plan *p = &s->plan;
    if (p->provider == SOTTO_SIGN_LOOKUP) {
        sotto_lookup_tables(message, p->u, p->count, s->pads, top, s->pi);
        return;
    }
    const size_t labels = p->ots * sizeof(sotto_block);
    for (unsigned j = 0; j < p->u - 1; j++) {
        for (size_t i = 0; i < p->count; i++) {
            const size_t at = j * p->count + i;
            const sotto_block label =
                sotto_block_xor(s->zero[at], sotto_block_and(s->offset, sotto_ct_mask((top[i] >> j) & 1)));
            memcpy(message + at * sizeof label, &label, sizeof label);
        }
    }
    memset(message + labels, 0, p->message_bytes - labels);
    for (size_t i = 0; i < p->count; i++) {
        sotto_bit_or(message + labels, i, (unsigned)(((top[i] >> (p->u - 1)) ^ s->pi[i]) & 1));
    }
}

void sotto_sign_server_free(sotto_sign_server *s)
{
    if (s == NULL) {
        return;
    }
    sotto_free_secret(s->pi, s->plan.count, sizeof *s->pi);
    sotto_free_secret(s->pads, s->pads == NULL ? 0 : s->plan.message_bytes, 1);
    sotto_free_secret(s->zero, s->zero == NULL ? 0 : s->plan.ots, sizeof *s->zero);
    sotto_free_secret(s, 1, sizeof *s);
}
