#include "garble/halfgates.h"

#include "lib/ct.h"
#include "lib/mem.h"

/* Instances worked on at once: their labels of one wire and the hashes of one gate stay in L1. */
#define LANES 64u

typedef struct lanes {
    const sotto_circuit *c;
    const sotto_hash *hash;
    sotto_block offset; /* garbling only */
    uint64_t first;     /* number of lane 0's instance */
    size_t count;       /* lanes in use */
    sotto_block *label; /* [wire][LANES] */
    sotto_block hashed[2 * LANES];
} lanes;

static sotto_block *wire(const lanes *l, uint32_t w)
{
    return l->label + (size_t)w * LANES;
}

static uint64_t permute_mask(sotto_block label)
{
    return sotto_ct_mask(label.w[0] & 1);
}

/* hashed[2i], hashed[2i + 1] = H(zero label), H(one label) of lane i for one half of AND gate number `gate`. */
static void hash_both(lanes *l, const sotto_block *zero, uint32_t half)
{
    for (size_t i = 0; i < l->count; i++) {
        l->hashed[2 * i] = zero[i];
        l->hashed[2 * i + 1] = sotto_block_xor(zero[i], l->offset);
    }
    sotto_hash_blocks(l->hash, 0, half, l->first, l->hashed, l->hashed, l->count, 2);
}

/* [ZRE15, Fig. 2, GbAnd]: generator half with tweak 2 gate, evaluator half with 2 gate + 1. */
static void garble_and(lanes *l, uint32_t gate, sotto_block *out, const sotto_block *a, const sotto_block *b, sotto_block *table)
{
    hash_both(l, a, 2 * gate);
    for (size_t i = 0; i < l->count; i++) {
        sotto_block h0 = l->hashed[2 * i], h1 = l->hashed[2 * i + 1];
        sotto_block t = sotto_block_xor(sotto_block_xor(h0, h1), sotto_block_and(l->offset, permute_mask(b[i])));
        table[2 * i] = t;
        out[i] = sotto_block_xor(h0, sotto_block_and(t, permute_mask(a[i])));
    }
    hash_both(l, b, 2 * gate + 1);
    for (size_t i = 0; i < l->count; i++) {
        sotto_block h0 = l->hashed[2 * i], both = sotto_block_xor(h0, l->hashed[2 * i + 1]);
        table[2 * i + 1] = sotto_block_xor(both, a[i]);
        /* pb (T_E xor A0) = pb (H(B0) xor H(B1)) */
        out[i] = sotto_block_xor(out[i], sotto_block_xor(h0, sotto_block_and(both, permute_mask(b[i]))));
    }
}

/* [ZRE15, Fig. 2, EvAnd]. */
static void evaluate_and(lanes *l, uint32_t gate, sotto_block *out, const sotto_block *a, const sotto_block *b,
                         const sotto_block *table)
{
    sotto_hash_blocks(l->hash, 0, 2 * gate, l->first, l->hashed, a, l->count, 1);
    sotto_hash_blocks(l->hash, 0, 2 * gate + 1, l->first, l->hashed + LANES, b, l->count, 1);
    for (size_t i = 0; i < l->count; i++) {
        sotto_block g = sotto_block_xor(l->hashed[i], sotto_block_and(table[2 * i], permute_mask(a[i])));
        sotto_block e = sotto_block_and(sotto_block_xor(table[2 * i + 1], a[i]), permute_mask(b[i]));
        out[i] = sotto_block_xor(g, sotto_block_xor(l->hashed[LANES + i], e));
    }
}

/* Runs the gates over the lanes' labels; garbling writes the tables, evaluation reads them. [AND gate][stride][2], lane 0 at `at`. */
static void run_gates(lanes *l, int garbling, sotto_block *write, const sotto_block *read, size_t stride, size_t at)
{
    uint32_t inputs = sotto_circuit_inputs(l->c), gate = 0;
    for (uint32_t g = 0; g < l->c->gate_count; g++) {
        const sotto_block *a = wire(l, l->c->gates[g].a), *b = wire(l, l->c->gates[g].b);
        sotto_block *out = wire(l, inputs + g);
        size_t table = 2 * (gate * stride + at);
        switch (l->c->gates[g].op) {
        case SOTTO_GATE_XOR:
            for (size_t i = 0; i < l->count; i++)
                out[i] = sotto_block_xor(a[i], b[i]);
            break;
        case SOTTO_GATE_NOT: /* the evaluator keeps its label, the garbler calls the other one zero */
            for (size_t i = 0; i < l->count; i++)
                out[i] = garbling ? sotto_block_xor(a[i], l->offset) : a[i];
            break;
        case SOTTO_GATE_AND:
            if (garbling)
                garble_and(l, gate, out, a, b, write + table);
            else
                evaluate_and(l, gate, out, a, b, read + table);
            gate++;
            break;
        }
    }
}

static int run(const sotto_circuit *c, const sotto_hash *hash, const sotto_block *offset, uint64_t first, size_t instances,
               const sotto_block *in, sotto_block *write, const sotto_block *read, sotto_block *out)
{
    if (sotto_garble_table_blocks(c, instances) == SIZE_MAX)
        return sotto_fail(SOTTO_ERR_ARG, "too many instances of a circuit at once");
    lanes *l = sotto_calloc(1, sizeof *l);
    size_t words = (size_t)sotto_circuit_wires(c) * LANES;
    sotto_block *label = sotto_calloc(words, sizeof *label);
    int rc = l && label ? SOTTO_OK : sotto_fail(SOTTO_ERR_MEMORY, "out of memory for %zu labels", words);
    for (size_t at = 0; !rc && at < instances; at += LANES) {
        *l = (lanes){.c = c, .hash = hash, .first = first + at, .label = label};
        if (offset)
            l->offset = *offset;
        l->count = instances - at < LANES ? instances - at : LANES;
        for (uint32_t w = 0; w < sotto_circuit_inputs(c); w++)
            for (size_t i = 0; i < l->count; i++)
                wire(l, w)[i] = in[w * instances + at + i];
        run_gates(l, offset != NULL, write, read, instances, at);
        for (uint32_t o = 0; o < c->output_count; o++)
            for (size_t i = 0; i < l->count; i++)
                out[o * instances + at + i] = wire(l, c->outputs[o])[i];
    }
    sotto_free_secret(label, words, sizeof *label);
    sotto_free_secret(l, 1, sizeof *l);
    return rc;
}

size_t sotto_garble_table_blocks(const sotto_circuit *c, size_t instances)
{
    size_t per = 2 * (size_t)c->and_count;
    return per && instances > SIZE_MAX / 2 / sizeof(sotto_block) / per ? SIZE_MAX : per * instances;
}

int sotto_garble(const sotto_circuit *c, const sotto_hash *hash, sotto_block offset, uint64_t first, size_t instances,
                 const sotto_block *in_zero, sotto_block *tables, sotto_block *out_zero)
{
    if (hash->domain != SOTTO_DOMAIN_GARBLE || !(offset.w[0] & 1))
        return sotto_fail(SOTTO_ERR_ARG, "garbling needs its own hash domain and an offset whose lowest bit is 1");
    return run(c, hash, &offset, first, instances, in_zero, tables, NULL, out_zero);
}

int sotto_evaluate(const sotto_circuit *c, const sotto_hash *hash, uint64_t first, size_t instances, const sotto_block *in,
                   const sotto_block *tables, sotto_block *out)
{
    if (hash->domain != SOTTO_DOMAIN_GARBLE)
        return sotto_fail(SOTTO_ERR_ARG, "garbling needs its own hash domain");
    return run(c, hash, NULL, first, instances, in, NULL, tables, out);
}
