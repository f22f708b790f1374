#include "garble/circuit.h"

#include <string.h>

#include "lib/mem.h"

void sotto_circuit_init(sotto_circuit *c, uint32_t garbler_inputs, uint32_t evaluator_inputs)
{
    memset(c, 0, sizeof *c);
    c->garbler_inputs = garbler_inputs;
    c->evaluator_inputs = evaluator_inputs;
    if (garbler_inputs > SOTTO_CIRCUIT_WIRES_MAX || evaluator_inputs > SOTTO_CIRCUIT_WIRES_MAX - garbler_inputs)
        c->status = sotto_fail(SOTTO_ERR_LIMIT, "a circuit has at most %u wires", SOTTO_CIRCUIT_WIRES_MAX);
}

uint32_t sotto_circuit_inputs(const sotto_circuit *c)
{
    return c->garbler_inputs + c->evaluator_inputs;
}

uint32_t sotto_circuit_wires(const sotto_circuit *c)
{
    return sotto_circuit_inputs(c) + c->gate_count;
}

/* Room for one more element of `size` bytes; doubles. */
static void *grow(sotto_circuit *c, void *array, uint32_t count, uint32_t *cap, size_t size)
{
    if (count < *cap)
        return array;
    uint32_t more = *cap ? 2 * *cap : 16;
    void *bigger = sotto_calloc(more, size);
    if (!bigger) {
        c->status = sotto_fail(SOTTO_ERR_MEMORY, "out of memory for a circuit of %u gates", c->gate_count);
        return array;
    }
    if (count)
        memcpy(bigger, array, count * size);
    sotto_free(array);
    *cap = more;
    return bigger;
}

static int is_constant(uint32_t wire)
{
    return wire >= SOTTO_WIRE_ZERO;
}

static int is_evaluators(const sotto_circuit *c, uint32_t wire)
{
    return wire >= c->garbler_inputs && wire < sotto_circuit_inputs(c);
}

/* May a gate or an output read it? */
static int readable(sotto_circuit *c, uint32_t wire)
{
    if (!c->status && !is_constant(wire) && wire >= sotto_circuit_wires(c))
        c->status = sotto_fail(SOTTO_ERR_ARG, "gate %u reads wire %u, which does not exist yet", c->gate_count, wire);
    return !c->status;
}

static uint32_t add_gate(sotto_circuit *c, sotto_gate_op op, uint32_t a, uint32_t b)
{
    if (sotto_circuit_wires(c) >= SOTTO_CIRCUIT_WIRES_MAX) {
        c->status = sotto_fail(SOTTO_ERR_LIMIT, "a circuit has at most %u wires", SOTTO_CIRCUIT_WIRES_MAX);
        return 0;
    }
    c->gates = grow(c, c->gates, c->gate_count, &c->gate_cap, sizeof *c->gates);
    if (c->status)
        return 0;
    c->gates[c->gate_count] = (sotto_gate){op, a, b};
    c->and_count += op == SOTTO_GATE_AND;
    c->and_eval_count += op == SOTTO_GATE_AND_EVAL;
    c->gate_count++;
    return sotto_circuit_wires(c) - 1;
}

uint32_t sotto_gate_not(sotto_circuit *c, uint32_t a)
{
    if (!readable(c, a))
        return 0;
    return is_constant(a) ? a ^ 1 : add_gate(c, SOTTO_GATE_NOT, a, a);
}

uint32_t sotto_gate_xor(sotto_circuit *c, uint32_t a, uint32_t b)
{
    if (!readable(c, a) || !readable(c, b))
        return 0;
    if (is_constant(a))
        return a == SOTTO_WIRE_ONE ? sotto_gate_not(c, b) : b;
    if (is_constant(b))
        return b == SOTTO_WIRE_ONE ? sotto_gate_not(c, a) : a;
    return add_gate(c, SOTTO_GATE_XOR, a, b);
}

uint32_t sotto_gate_and(sotto_circuit *c, uint32_t a, uint32_t b)
{
    if (!readable(c, a) || !readable(c, b))
        return 0;
    if (is_constant(a))
        return a == SOTTO_WIRE_ONE ? b : SOTTO_WIRE_ZERO;
    if (is_constant(b))
        return b == SOTTO_WIRE_ONE ? a : SOTTO_WIRE_ZERO;
    return add_gate(c, SOTTO_GATE_AND, a, b);
}

uint32_t sotto_gate_and_eval(sotto_circuit *c, uint32_t a, uint32_t b)
{
    if (!readable(c, a))
        return 0;
    if (!is_evaluators(c, b)) {
        c->status = sotto_fail(SOTTO_ERR_ARG, "gate %u takes wire %u for an input of the evaluator", c->gate_count, b);
        return 0;
    }
    if (is_constant(a))
        return a == SOTTO_WIRE_ONE ? b : SOTTO_WIRE_ZERO;
    return add_gate(c, SOTTO_GATE_AND_EVAL, a, b);
}

uint32_t sotto_gate_xnor(sotto_circuit *c, uint32_t a, uint32_t b)
{
    return sotto_gate_not(c, sotto_gate_xor(c, a, b));
}

uint32_t sotto_gate_nand(sotto_circuit *c, uint32_t a, uint32_t b)
{
    return sotto_gate_not(c, sotto_gate_and(c, a, b));
}

uint32_t sotto_gate_nor(sotto_circuit *c, uint32_t a, uint32_t b)
{
    return sotto_gate_not(c, sotto_gate_or(c, a, b));
}

uint32_t sotto_gate_or(sotto_circuit *c, uint32_t a, uint32_t b)
{
    return sotto_gate_mux(c, a, SOTTO_WIRE_ONE, b);
}

uint32_t sotto_gate_mux(sotto_circuit *c, uint32_t select, uint32_t a, uint32_t b)
{
    if (is_constant(select)) /* else b ^ b would stay when select is 1 */
        return readable(c, a) && readable(c, b) ? (select == SOTTO_WIRE_ONE ? a : b) : 0;
    return sotto_gate_xor(c, sotto_gate_and(c, select, sotto_gate_xor(c, a, b)), b);
}

/* Where x = z, z; else y. With x or y constant and z = 0 the fold leaves no AND. */
uint32_t sotto_gate_majority(sotto_circuit *c, uint32_t x, uint32_t y, uint32_t z)
{
    const uint32_t xz = sotto_gate_xor(c, x, z), yz = sotto_gate_xor(c, y, z);
    return sotto_gate_xor(c, sotto_gate_and(c, xz, yz), z);
}

void sotto_circuit_output(sotto_circuit *c, uint32_t wire)
{
    if (!readable(c, wire))
        return;
    if (c->output_count >= SOTTO_CIRCUIT_WIRES_MAX) {
        c->status = sotto_fail(SOTTO_ERR_LIMIT, "a circuit has at most %u outputs", SOTTO_CIRCUIT_WIRES_MAX);
        return;
    }
    if (is_constant(wire)) {
        const uint32_t one = wire == SOTTO_WIRE_ONE;
        if (sotto_circuit_inputs(c) == 0)
            c->status = sotto_fail(SOTTO_ERR_ARG, "a constant output needs a circuit with an input");
        wire = sotto_gate_xor(c, 0, 0);
        if (one)
            wire = sotto_gate_not(c, wire);
        if (c->status)
            return;
    }
    c->outputs = grow(c, c->outputs, c->output_count, &c->output_cap, sizeof *c->outputs);
    if (!c->status)
        c->outputs[c->output_count++] = wire;
}

int sotto_circuit_finish(const sotto_circuit *c)
{
    return c->status;
}

void sotto_circuit_free(sotto_circuit *c)
{
    sotto_free(c->gates);
    sotto_free(c->outputs);
    memset(c, 0, sizeof *c);
}

void sotto_circuit_known_inputs(sotto_circuit *c)
{
    for (uint32_t g = 0; g < c->gate_count; g++) {
        const uint32_t a = c->gates[g].a, b = c->gates[g].b;
        if (c->gates[g].op != SOTTO_GATE_AND || !(is_evaluators(c, a) || is_evaluators(c, b)))
            continue;
        const int swap = !is_evaluators(c, b);
        c->gates[g] = (sotto_gate){SOTTO_GATE_AND_EVAL, swap ? b : a, swap ? a : b};
        c->and_count--;
        c->and_eval_count++;
    }
}

int sotto_circuit_lint(const sotto_circuit *c)
{
    const uint32_t inputs = sotto_circuit_inputs(c), wires = sotto_circuit_wires(c);
    uint8_t *needed = sotto_calloc(wires, 1);
    int rc = SOTTO_OK;
    if (!needed)
        return sotto_fail(SOTTO_ERR_MEMORY, "out of memory for the wires of a circuit");
    for (uint32_t o = 0; o < c->output_count; o++)
        needed[c->outputs[o]] = 1;
    for (uint32_t g = c->gate_count; g-- > 0;)
        if (needed[inputs + g])
            needed[c->gates[g].a] = needed[c->gates[g].b] = 1;
    for (uint32_t w = 0; !rc && w < wires; w++)
        if (!needed[w])
            rc = w < inputs ? sotto_fail(SOTTO_ERR_ARG, "no output depends on input %u", w)
                            : sotto_fail(SOTTO_ERR_ARG, "no output depends on gate %u, whose output is wire %u", w - inputs, w);
    sotto_free(needed);
    return rc;
}

/* The gates in order; value[inputs] given, [wires] in all. */
static void run_gates(const sotto_circuit *c, uint64_t *value)
{
    uint64_t *out = value + sotto_circuit_inputs(c);
    for (uint32_t g = 0; g < c->gate_count; g++) {
        const uint64_t a = value[c->gates[g].a], b = value[c->gates[g].b];
        switch (c->gates[g].op) {
        case SOTTO_GATE_XOR:
            out[g] = a ^ b;
            break;
        case SOTTO_GATE_NOT:
            out[g] = ~a;
            break;
        case SOTTO_GATE_AND:
        case SOTTO_GATE_AND_EVAL:
            out[g] = a & b;
            break;
        }
    }
}

int sotto_circuit_run64(const sotto_circuit *c, uint64_t *out, const uint64_t *in)
{
    const size_t wires = sotto_circuit_wires(c), inputs = sotto_circuit_inputs(c);
    uint64_t *value = sotto_calloc(wires, sizeof *value);
    if (!value)
        return sotto_fail(SOTTO_ERR_MEMORY, "out of memory for the wires of a circuit");
    if (inputs)
        memcpy(value, in, inputs * sizeof *in);
    run_gates(c, value);
    for (uint32_t o = 0; o < c->output_count; o++)
        out[o] = value[c->outputs[o]];
    sotto_free_secret(value, wires, sizeof *value);
    return SOTTO_OK;
}

int sotto_circuit_run(const sotto_circuit *c, uint8_t *out, const uint8_t *in)
{
    const size_t wires = sotto_circuit_wires(c);
    uint64_t *value = sotto_calloc(wires, sizeof *value);
    if (!value)
        return sotto_fail(SOTTO_ERR_MEMORY, "out of memory for the wires of a circuit");
    for (uint32_t i = 0; i < sotto_circuit_inputs(c); i++)
        value[i] = in[i];
    run_gates(c, value);
    for (uint32_t o = 0; o < c->output_count; o++)
        out[o] = (uint8_t)(value[c->outputs[o]] & 1);
    sotto_free_secret(value, wires, sizeof *value);
    return SOTTO_OK;
}
