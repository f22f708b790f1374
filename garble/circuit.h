/* Boolean circuits as data: built once per shape, then garbled for many instances. Wires are numbered: the garbler's inputs, the
 * evaluator's inputs, then the output of each gate in order; a gate reads only wires before its own. */
#ifndef SOTTO_GARBLE_CIRCUIT_H
#define SOTTO_GARBLE_CIRCUIT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

typedef enum sotto_gate_op {
    SOTTO_GATE_XOR, /* free */
    SOTTO_GATE_NOT, /* free; reads a alone */
    SOTTO_GATE_AND  /* two blocks of table */
} sotto_gate_op;

typedef struct sotto_gate {
    sotto_gate_op op;
    uint32_t a, b; /* wires */
} sotto_gate;

#define SOTTO_CIRCUIT_WIRES_MAX (1u << 24)

typedef struct sotto_circuit {
    uint32_t garbler_inputs, evaluator_inputs;
    uint32_t gate_count, gate_cap, and_count;
    uint32_t output_count, output_cap;
    sotto_gate *gates;
    uint32_t *outputs; /* wires */
    int status;        /* of building: the first failure stays */
} sotto_circuit;

/* An empty circuit; never fails. Release with sotto_circuit_free. */
void sotto_circuit_init(sotto_circuit *c, uint32_t garbler_inputs, uint32_t evaluator_inputs);
/* Adds a gate and gives its output wire. After a failure (memory, a wire that does not exist yet, more than SOTTO_CIRCUIT_WIRES_MAX wires) they do
 * nothing and return 0; sotto_circuit_finish tells. */
uint32_t sotto_gate_xor(sotto_circuit *c, uint32_t a, uint32_t b);
uint32_t sotto_gate_and(sotto_circuit *c, uint32_t a, uint32_t b);
uint32_t sotto_gate_not(sotto_circuit *c, uint32_t a);
void sotto_circuit_output(sotto_circuit *c, uint32_t wire);
/* SOTTO_OK, or the first failure of building. */
SOTTO_MUST_CHECK int sotto_circuit_finish(const sotto_circuit *c);
void sotto_circuit_free(sotto_circuit *c);

uint32_t sotto_circuit_inputs(const sotto_circuit *c);
uint32_t sotto_circuit_wires(const sotto_circuit *c);

/* In the clear, for tests and references: in[inputs], out[output_count] bytes 0 or 1. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_circuit_run(const sotto_circuit *c, uint8_t *out, const uint8_t *in);

#endif
