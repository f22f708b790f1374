#include "nn/secure/label.h"

#include <string.h>

#include "garble/gadgets.h"
#include "lib/bytes.h"
#include "lib/ct.h"
#include "lib/mem.h"

/* ---- plan --------------------------------------------------------------------------------------------------------- */

/* Of one instance, numbered by the OT that carries its first input. */
static sotto_garble_job job_of(const sotto_label_plan *p, const sotto_ot *ot, int send, uint64_t first)
{
    return (sotto_garble_job){p->garbling, sotto_ot_hash(ot, SOTTO_DOMAIN_GARBLE, send), sotto_sign_instance(first), 1};
}

int sotto_label_plan_new(sotto_label_plan *p, size_t count, unsigned k, sotto_ot_kind ot, sotto_garble_scheme scheme)
{
    memset(p, 0, sizeof *p);
    if (count == 0 || count > 65536) {
        return sotto_fail(SOTTO_ERR_ARG, "the largest of %zu values: 1 to 65536 are possible", count);
    }
    p->count = count;
    p->ot = ot;
    p->k = k;
    if (count == 1) {
        return SOTTO_OK;
    }
    sotto_circuit circuit;
    int status = sotto_circuit_argmax(&circuit, (uint32_t)count, k);
    if (status == SOTTO_OK) {
        sotto_circuit_known_inputs(&circuit);
        p->label_bits = circuit.output_count;
        status = sotto_garbling_new(&p->garbling, &circuit, scheme);
    }
    sotto_circuit_free(&circuit);
    if (status != SOTTO_OK) {
        memset(p, 0, sizeof *p);
        return status;
    }
    p->client_ots = count * k;
    const sotto_garble_job one = {.g = p->garbling, .instances = 1};
    p->bytes = (sotto_unit_bytes){.matrix = sotto_ot_wire_bytes(ot, p->client_ots, 1),
                                  .correction = sotto_ot_answer_bytes(ot, p->client_ots),
                                  .choice = sotto_packed_bytes(p->client_ots, 1),
                                  .table = sotto_garble_bytes(&one),
                                  .offer = p->client_ots * sizeof(sotto_block) + sotto_packed_bytes(p->label_bits, 1)};
    return SOTTO_OK;
}

void sotto_label_plan_free(sotto_label_plan *p)
{
    sotto_garbling_free(p->garbling);
    memset(p, 0, sizeof *p);
}

static int no_memory(const sotto_label_plan *p)
{
    return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the label of %zu outputs", p->count);
}

/* Bits of the values, packed in the order of the wires: bit j of value i is wire i k + j, of either side. */
static void wire_bits(const sotto_label_plan *p, uint8_t *bits, const uint64_t *values)
{
    if (p->client_ots > 0) {
        sotto_pack(bits, values, p->count, p->k);
    }
}

/* ---- client ------------------------------------------------------------------------------------------------------- */

struct sotto_label_client {
    const sotto_label_plan *plan;
    uint8_t *choices; /* packed, until the shares are known */
    sotto_block *label;
    uint8_t *table;
    sotto_garble_job job;
};

int sotto_label_client_new(sotto_label_client **out, const sotto_label_plan *p, sotto_ot *ot, sotto_chan *chan)
{
    sotto_label_client *u = sotto_calloc(1, sizeof *u);
    *out = NULL;
    if (u == NULL) {
        return no_memory(p);
    }
    *u = (sotto_label_client){.plan = p, .choices = sotto_calloc(p->bytes.choice, 1), .label = sotto_calloc(p->client_ots, sizeof *u->label),
                              .table = sotto_calloc(p->bytes.table, 1)};
    int status = u->choices == NULL || u->label == NULL || u->table == NULL ? no_memory(p) : SOTTO_OK;
    if (status == SOTTO_OK && p->client_ots > 0 && p->ot == SOTTO_OT_FERRET) {
        status = sotto_ot_ask(ot, chan, NULL, p->client_ots);
    } else if (status == SOTTO_OK && p->client_ots > 0) {
        uint64_t first;
        status = sotto_ot_recv_random(ot, chan, u->choices, p->client_ots, u->label, &first);
        u->job = status == SOTTO_OK ? job_of(p, ot, 0, first) : u->job;
    }
    if (status != SOTTO_OK) {
        sotto_label_client_free(u);
        return status;
    }
    *out = u;
    return SOTTO_OK;
}

int sotto_label_client_take(sotto_label_client *u, sotto_ot *ot, const uint8_t *sums)
{
    uint64_t first;
    const int status = sotto_ot_take(ot, sums, u->choices, u->plan->client_ots, u->label, &first);
    u->job = status == SOTTO_OK ? job_of(u->plan, ot, 0, first) : u->job;
    return status;
}

void sotto_label_client_choose(sotto_label_client *u, const uint64_t *c, uint8_t *choice)
{
    const sotto_label_plan *p = u->plan;
    wire_bits(p, choice, c);
    for (size_t w = 0; w < p->client_ots; w++) {
        u->label[w] = sotto_label_known(u->label[w], sotto_bit(choice, w));
    }
    for (size_t i = 0; i < p->bytes.choice; i++) {
        choice[i] ^= u->choices[i];
    }
    sotto_free_secret(u->choices, p->bytes.choice, 1);
    u->choices = NULL;
}

uint8_t *sotto_label_client_tables(sotto_label_client *u)
{
    return u->table;
}

int sotto_label_client_open(sotto_label_client *u, size_t *label, const uint8_t *offer)
{
    const sotto_label_plan *p = u->plan;
    const size_t wires = 2 * p->client_ots + p->label_bits;
    *label = 0;
    if (p->count == 1) {
        return SOTTO_OK;
    }
    sotto_block *in = sotto_calloc(wires, sizeof *in);
    if (in == NULL) {
        return no_memory(p);
    }
    sotto_block *result = in + 2 * p->client_ots;
    uint64_t decode[17]; /* label_bits are 16 at most */
    sotto_reader r;
    sotto_reader_init(&r, offer, p->bytes.offer);
    sotto_read_bytes(&r, in, p->client_ots * sizeof *in);
    sotto_read_packed(&r, decode, p->label_bits, 1);
    memcpy(in + p->client_ots, u->label, p->client_ots * sizeof *in);
    int status = sotto_reader_finish(&r, "offer of a label");
    if (status == SOTTO_OK) {
        status = sotto_garble_evaluate(&u->job, in, u->table, result);
    }
    size_t found = 0;
    for (unsigned b = 0; b < p->label_bits && status == SOTTO_OK; b++) {
        found |= (size_t)(decode[b] ^ sotto_permute_bit(result[b])) << b;
    }
    SOTTO_DECLASSIFY(&found, sizeof found); /* the client's result */
    if (status == SOTTO_OK && found >= p->count) {
        status = sotto_fail(SOTTO_ERR_FORMAT, "the server's offer decodes to label %zu of %zu", found, p->count);
    } else if (status == SOTTO_OK) {
        *label = found;
    }
    sotto_free_secret(in, wires, sizeof *in);
    return status;
}

void sotto_label_client_free(sotto_label_client *u)
{
    if (u == NULL) {
        return;
    }
    sotto_free_secret(u->choices, u->choices == NULL ? 0 : u->plan->bytes.choice, 1);
    sotto_free_secret(u->label, u->plan->client_ots, sizeof *u->label);
    sotto_free(u->table);
    sotto_free_secret(u, 1, sizeof *u);
}

/* ---- server ------------------------------------------------------------------------------------------------------- */

struct sotto_label_server {
    const sotto_label_plan *plan;
    sotto_block *zero; /* zero labels: its own, then the client's: q until the flips are there */
    sotto_block offset;
    uint64_t first;
    uint8_t *bits; /* of its shares */
    uint8_t *sums; /* for the client, with silent OT */
    uint8_t permute[2]; /* of the outputs' zero labels, packed */
    int offered;
};

int sotto_label_server_new(sotto_label_server **out, const sotto_label_plan *p, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng)
{
    sotto_label_server *u = sotto_calloc(1, sizeof *u);
    *out = NULL;
    if (u == NULL) {
        return no_memory(p);
    }
    u->plan = p;
    u->zero = sotto_calloc(2 * p->client_ots, sizeof *u->zero);
    u->bits = sotto_calloc(p->bytes.choice, 1);
    u->sums = sotto_calloc(p->bytes.correction, 1);
    int status = u->zero == NULL || u->bits == NULL || u->sums == NULL ? no_memory(p) : SOTTO_OK;
    if (status == SOTTO_OK && p->client_ots > 0) {
        status = sotto_rng_fill(rng, u->zero, p->client_ots * sizeof *u->zero);
    }
    if (status == SOTTO_OK && p->client_ots > 0) {
        status = sotto_ot_give(ot, chan, 1, p->client_ots, u->zero + p->client_ots, &u->first, u->sums);
        u->offset = sotto_ot_offset(ot);
    }
    if (status != SOTTO_OK) {
        sotto_label_server_free(u);
        return status;
    }
    *out = u;
    return SOTTO_OK;
}

const uint8_t *sotto_label_server_sums(const sotto_label_server *u)
{
    return u->sums;
}

int sotto_label_server_ready(sotto_label_server *u, const sotto_ot *ot, uint8_t *tables, const uint8_t *choice)
{
    const sotto_label_plan *p = u->plan;
    if (p->count == 1) {
        return SOTTO_OK;
    }
    sotto_block *theirs = u->zero + p->client_ots, out[16];
    /* The client holds q xor (random bit) D; its bit is (random bit) xor flip. */
    for (size_t w = 0; w < p->client_ots; w++) {
        const sotto_block zero = sotto_block_xor(theirs[w], sotto_block_and(u->offset, sotto_ct_mask(sotto_bit(choice, w))));
        theirs[w] = sotto_label_known(zero, 0);
    }
    const sotto_garble_job job = job_of(p, ot, 1, u->first);
    const int status = sotto_garble_tables(&job, u->offset, u->zero, tables, out);
    for (unsigned b = 0; b < p->label_bits && status == SOTTO_OK; b++) {
        sotto_bit_or(u->permute, b, sotto_permute_bit(out[b]));
    }
    sotto_wipe(out, sizeof out);
    return status;
}

int sotto_label_server_offer(sotto_label_server *u, uint8_t *offer, const uint64_t *a)
{
    const sotto_label_plan *p = u->plan;
    if (u->offered) {
        return sotto_fail(SOTTO_ERR_USED, "an offer from a label that was offered: prepared material is used once");
    }
    u->offered = 1;
    wire_bits(p, u->bits, a);
    for (size_t w = 0; w < p->client_ots; w++) {
        const sotto_block label = sotto_block_xor(u->zero[w], sotto_block_and(u->offset, sotto_ct_mask(sotto_bit(u->bits, w))));
        memcpy(offer + w * sizeof label, &label, sizeof label);
    }
    memcpy(offer + p->client_ots * sizeof(sotto_block), u->permute, sotto_packed_bytes(p->label_bits, 1));
    return SOTTO_OK;
}

void sotto_label_server_free(sotto_label_server *u)
{
    if (u == NULL) {
        return;
    }
    sotto_free_secret(u->zero, 2 * u->plan->client_ots, sizeof *u->zero);
    sotto_free_secret(u->bits, u->plan->bytes.choice, 1);
    sotto_free(u->sums);
    sotto_free_secret(u, 1, sizeof *u);
}
