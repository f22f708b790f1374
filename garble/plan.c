/* From a circuit to the operations of garbling_internal.h. */
#include "garble/garbling_internal.h"
#include "lib/mem.h"

#define NONE UINT32_MAX
#define FOR_EVER (UINT32_MAX - 1) /* last use of an output */

typedef struct compiler {
    sotto_garbling *g;
    const sotto_circuit *c;
    uint32_t *root;     /* [wires] the wire of which this one is the value or the complement */
    uint8_t *inverted;  /* [wires] the complement */
    uint32_t *last;     /* [wires] last gate that reads this root, or NONE */
    uint32_t *slot;     /* [wires] of this root, or NONE */
    uint32_t *spare;    /* slots to be given out again, the latest first: it is the one still in cache */
    uint32_t spare_count;
} compiler;

static void find_uses(compiler *k)
{
    const uint32_t inputs = sotto_circuit_inputs(k->c), wires = sotto_circuit_wires(k->c);
    for (uint32_t w = 0; w < wires; w++) {
        k->root[w] = w;
        k->last[w] = k->slot[w] = NONE;
    }
    for (uint32_t g = 0; g < k->c->gate_count; g++) {
        const sotto_gate *gate = &k->c->gates[g];
        const uint32_t out = inputs + g, a = k->root[gate->a], b = k->root[gate->b];
        switch (gate->op) {
        case SOTTO_GATE_NOT:
            k->root[out] = a;
            k->inverted[out] = k->inverted[gate->a] ^ 1;
            break;
        case SOTTO_GATE_XOR:
            k->inverted[out] = k->inverted[gate->a] ^ k->inverted[gate->b];
            k->last[a] = k->last[b] = g;
            break;
        case SOTTO_GATE_AND:
        case SOTTO_GATE_AND_EVAL:
            k->last[a] = k->last[b] = g;
            break;
        }
    }
    for (uint32_t o = 0; o < k->c->output_count; o++)
        k->last[k->root[k->c->outputs[o]]] = FOR_EVER;
}

static uint32_t take_slot(compiler *k, uint32_t wire)
{
    k->slot[wire] = k->spare_count ? k->spare[--k->spare_count] : k->g->slot_count++;
    return k->slot[wire];
}

/* The slot of a root that is about to be read. */
static uint32_t read_slot(compiler *k, uint32_t wire)
{
    if (k->slot[wire] == NONE) { /* an input, for gates come in order */
        const uint32_t out = take_slot(k, wire);
        k->g->ops[k->g->op_count++] = (sotto_op){.kind = SOTTO_OP_LOAD, .out = out, .a = wire};
    }
    return k->slot[wire];
}

static void drop(compiler *k, uint32_t wire, uint32_t gate)
{
    if (k->last[wire] == gate && k->slot[wire] != NONE) {
        k->spare[k->spare_count++] = k->slot[wire];
        k->slot[wire] = NONE;
    }
}

static void end_segment(sotto_garbling *g, sotto_segment *s)
{
    s->end = g->op_count;
    g->segments[g->segment_count++] = *s;
    *s = (sotto_segment){0, 0, 0};
}

static void emit(compiler *k)
{
    static const sotto_op_kind kinds[] = {
        [SOTTO_GATE_XOR] = SOTTO_OP_XOR, [SOTTO_GATE_AND] = SOTTO_OP_AND, [SOTTO_GATE_AND_EVAL] = SOTTO_OP_AND_EVAL};
    sotto_garbling *g = k->g;
    const uint32_t inputs = g->inputs;
    sotto_segment segment = {0, 0, 0};
    for (uint32_t i = 0; i < k->c->gate_count; i++) {
        const sotto_gate *gate = &k->c->gates[i];
        if (gate->op == SOTTO_GATE_NOT)
            continue;
        const uint32_t a = k->root[gate->a], b = k->root[gate->b];
        sotto_op op = {.kind = (uint8_t)kinds[gate->op], .not_a = k->inverted[gate->a], .not_b = k->inverted[gate->b]};
        op.a = read_slot(k, a);
        op.b = read_slot(k, b);
        drop(k, a, i);
        drop(k, b, i);
        op.out = take_slot(k, inputs + i);
        drop(k, inputs + i, NONE);
        g->ops[g->op_count++] = op;
        segment.ands += op.kind == SOTTO_OP_AND;
        segment.evals += op.kind == SOTTO_OP_AND_EVAL;
        if (segment.ands + segment.evals == SOTTO_SEGMENT_ANDS)
            end_segment(g, &segment);
    }
    for (uint32_t o = 0; o < g->output_count; o++) {
        const uint32_t wire = k->c->outputs[o];
        g->outputs[o] = (sotto_place){read_slot(k, k->root[wire]), k->inverted[wire]};
    }
    end_segment(g, &segment);
}

int sotto_garbling_new(sotto_garbling **out, const sotto_circuit *c, sotto_garble_scheme scheme)
{
    *out = NULL;
    if ((unsigned)scheme >= SOTTO_GARBLE_SCHEMES)
        return sotto_fail(SOTTO_ERR_ARG, "unknown garbling scheme %d; half-gates and three-halves are there", (int)scheme);
    int rc = sotto_circuit_finish(c);
    if (rc)
        return rc;
    const size_t wires = sotto_circuit_wires(c), ands = (size_t)c->and_count + c->and_eval_count;
    sotto_garbling *g = sotto_calloc(1, sizeof *g);
    compiler k = {.g = g, .c = c};
    k.root = sotto_calloc(wires, sizeof *k.root);
    k.inverted = sotto_calloc(wires, 1);
    k.last = sotto_calloc(wires, sizeof *k.last);
    k.slot = sotto_calloc(wires, sizeof *k.slot);
    k.spare = sotto_calloc(wires, sizeof *k.spare);
    if (g) {
        *g = (sotto_garbling){.scheme = scheme, .inputs = sotto_circuit_inputs(c), .output_count = c->output_count, .and_count = c->and_count,
                              .and_eval_count = c->and_eval_count};
        g->ops = sotto_calloc(wires, sizeof *g->ops);
        g->segments = sotto_calloc(ands / SOTTO_SEGMENT_ANDS + 1, sizeof *g->segments);
        g->outputs = sotto_calloc(c->output_count, sizeof *g->outputs);
    }
    if (g && k.root && k.inverted && k.last && k.slot && k.spare && g->ops && g->segments && g->outputs) {
        find_uses(&k);
        emit(&k);
        *out = g;
    } else {
        sotto_garbling_free(g);
        rc = sotto_fail(SOTTO_ERR_MEMORY, "out of memory for a circuit of %u gates", c->gate_count);
    }
    sotto_free(k.root);
    sotto_free(k.inverted);
    sotto_free(k.last);
    sotto_free(k.slot);
    sotto_free(k.spare);
    return rc;
}

void sotto_garbling_free(sotto_garbling *g)
{
    if (!g)
        return;
    sotto_free(g->ops);
    sotto_free(g->segments);
    sotto_free(g->outputs);
    sotto_free(g);
}
