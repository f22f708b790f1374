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

static int wire_exists(sotto_circuit *c, uint32_t wire)
{
    if (wire < sotto_circuit_wires(c))
        return 1;
    c->status = sotto_fail(SOTTO_ERR_ARG, "gate %u reads wire %u, which does not exist yet", c->gate_count, wire);
    return 0;
}

static uint32_t add_gate(sotto_circuit *c, sotto_gate_op op, uint32_t a, uint32_t b)
{
    if (c->status || !wire_exists(c, a) || !wire_exists(c, b))
        return 0;
    if (sotto_circuit_wires(c) >= SOTTO_CIRCUIT_WIRES_MAX) {
        c->status = sotto_fail(SOTTO_ERR_LIMIT, "a circuit has at most %u wires", SOTTO_CIRCUIT_WIRES_MAX);
        return 0;
    }
    c->gates = grow(c, c->gates, c->gate_count, &c->gate_cap, sizeof *c->gates);
    if (c->status)
        return 0;
    c->gates[c->gate_count] = (sotto_gate){op, a, b};
    c->and_count += op == SOTTO_GATE_AND;
    c->gate_count++;
    return sotto_circuit_wires(c) - 1;
}

uint32_t sotto_gate_xor(sotto_circuit *c, uint32_t a, uint32_t b)
{
    return add_gate(c, SOTTO_GATE_XOR, a, b);
}

uint32_t sotto_gate_and(sotto_circuit *c, uint32_t a, uint32_t b)
{
    return add_gate(c, SOTTO_GATE_AND, a, b);
}

uint32_t sotto_gate_not(sotto_circuit *c, uint32_t a)
{
    return add_gate(c, SOTTO_GATE_NOT, a, a);
}

void sotto_circuit_output(sotto_circuit *c, uint32_t wire)
{
    if (c->status || !wire_exists(c, wire))
        return;
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

int sotto_circuit_run(const sotto_circuit *c, uint8_t *out, const uint8_t *in)
{
    size_t wires = sotto_circuit_wires(c), inputs = sotto_circuit_inputs(c);
    uint8_t *value = sotto_calloc(wires, 1);
    if (!value)
        return sotto_fail(SOTTO_ERR_MEMORY, "out of memory for the wires of a circuit");
    if (inputs)
        memcpy(value, in, inputs);
    for (uint32_t i = 0; i < c->gate_count; i++) {
        uint8_t a = value[c->gates[i].a], b = value[c->gates[i].b];
        const uint8_t result[] = {[SOTTO_GATE_XOR] = a ^ b, [SOTTO_GATE_NOT] = a ^ 1, [SOTTO_GATE_AND] = a & b};
        value[inputs + i] = result[c->gates[i].op];
    }
    for (uint32_t i = 0; i < c->output_count; i++)
        out[i] = value[c->outputs[i]];
    sotto_free_secret(value, wires, 1);
    return SOTTO_OK;
}
