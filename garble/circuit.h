/* Boolean circuits as data: built once per shape, then garbled for many instances. Wires are numbered: the garbler's
 * inputs, the evaluator's inputs, then the output of each gate in order; a gate reads only wires before its own.
 * Words and arithmetic stand in word.h, the circuits of the protocol in gadgets.h, published ones in library.h,
 * files in bristol.h. */
#ifndef SOTTO_GARBLE_CIRCUIT_H
#define SOTTO_GARBLE_CIRCUIT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

typedef enum sotto_gate_op {
    SOTTO_GATE_XOR, /* free */
    SOTTO_GATE_NOT, /* free; reads a alone */
    SOTTO_GATE_AND, /* two blocks of table */
    SOTTO_GATE_AND_EVAL /* b is an input that the evaluator knows: one block */
} sotto_gate_op;

typedef struct sotto_gate {
    sotto_gate_op op;
    uint32_t a, b; /* wires */
} sotto_gate;

#define SOTTO_CIRCUIT_WIRES_MAX (1u << 24)

/* Constants, wherever a builder asks for a wire. They are folded away while building: x ^ 0 is x, x & 0 is 0, and so
 * on, so no gate of a circuit reads one, and what a constant makes superfluous is not garbled. */
#define SOTTO_WIRE_ZERO 0xfffffffeu
#define SOTTO_WIRE_ONE 0xffffffffu

typedef struct sotto_circuit {
    uint32_t garbler_inputs, evaluator_inputs;
    uint32_t gate_count, gate_cap;
    uint32_t and_count, and_eval_count; /* SOTTO_GATE_AND, SOTTO_GATE_AND_EVAL */
    uint32_t output_count, output_cap;
    sotto_gate *gates;
    uint32_t *outputs; /* wires */
    int status;        /* of building: the first failure stays */
} sotto_circuit;

/* An empty circuit; never fails. Release with sotto_circuit_free. */
void sotto_circuit_init(sotto_circuit *c, uint32_t garbler_inputs, uint32_t evaluator_inputs);
/* Adds a gate and gives its output wire. After a failure (memory, a wire that does not exist yet, more than
 * SOTTO_CIRCUIT_WIRES_MAX wires) they do nothing and return 0; sotto_circuit_finish tells. Only constants are
 * folded: xor of a wire with itself is a gate. */
uint32_t sotto_gate_xor(sotto_circuit *c, uint32_t a, uint32_t b);
uint32_t sotto_gate_and(sotto_circuit *c, uint32_t a, uint32_t b);
uint32_t sotto_gate_not(sotto_circuit *c, uint32_t a);
/* a & b where b is one of the evaluator's inputs, and the evaluator has it in the clear. In garbling its labels are
 * of the form of sotto_label_known (garble/garbling.h), on both sides. */
uint32_t sotto_gate_and_eval(sotto_circuit *c, uint32_t a, uint32_t b);
/* From these three: free, and one AND each. */
uint32_t sotto_gate_xnor(sotto_circuit *c, uint32_t a, uint32_t b);
uint32_t sotto_gate_or(sotto_circuit *c, uint32_t a, uint32_t b);
uint32_t sotto_gate_nand(sotto_circuit *c, uint32_t a, uint32_t b);
uint32_t sotto_gate_nor(sotto_circuit *c, uint32_t a, uint32_t b);
/* select ? a : b; one AND. */
uint32_t sotto_gate_mux(sotto_circuit *c, uint32_t select, uint32_t a, uint32_t b);
/* At least two of three; one AND. */
uint32_t sotto_gate_majority(sotto_circuit *c, uint32_t x, uint32_t y, uint32_t z);
/* The next output. A constant costs a gate or two, free ones, and needs a circuit with an input. */
void sotto_circuit_output(sotto_circuit *c, uint32_t wire);
/* SOTTO_OK, or the first failure of building. */
SOTTO_MUST_CHECK int sotto_circuit_finish(const sotto_circuit *c);
/* For an evaluator that has its inputs in the clear: every AND that reads one of them directly becomes an AND_EVAL,
 * with the demand on labels that stands there. */
void sotto_circuit_known_inputs(sotto_circuit *c);
/* SOTTO_ERR_ARG, naming the first input or gate on which no output depends: a slip in a circuit written by hand, or
 * tables sent for nothing. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_circuit_lint(const sotto_circuit *c);
void sotto_circuit_free(sotto_circuit *c);

uint32_t sotto_circuit_inputs(const sotto_circuit *c);
uint32_t sotto_circuit_wires(const sotto_circuit *c);

/* In the clear, for tests and references: in[inputs], out[output_count] bytes 0 or 1. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_circuit_run(const sotto_circuit *c, uint8_t *out, const uint8_t *in);
/* The same for 64 instances at once: bit i of in[w] is input w of instance i, bit i of out[o] its output o.
 * SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_circuit_run64(const sotto_circuit *c, uint64_t *out, const uint64_t *in);

#endif
