/* Circuits as files in "Bristol Fashion" (Archer, Abril, Lu, Maene, Mertens, Sijacic, Smart):
 *
 *     2 6                 gates, wires
 *     2 2 2               number of input values, the bits of each
 *     1 1                 number of output values, the bits of each
 *
 *     2 1 0 2 4 AND       inputs, outputs, input wires, output wires, gate
 *     2 1 4 1 5 XOR
 *
 * The first wires are the inputs in order, the last ones the outputs; every other wire is the output of one gate, which
 * reads inputs and outputs of earlier lines. Gates are XOR, AND, INV (one input), EQ (its "input" is a constant, 0 or
 * 1), EQW (a copy) and MAND (n ANDs: 2n inputs, all first factors before all second ones, n outputs). Empty lines mean
 * nothing. The older "Bristol Format" has a header of two lines and is refused.
 *
 * EQ and EQW become no gates but constants and names of other wires: a circuit may have fewer gates than its file, and
 * never more AND.
 */
#ifndef SOTTO_GARBLE_BRISTOL_H
#define SOTTO_GARBLE_BRISTOL_H

#include "garble/circuit.h"

#define SOTTO_BRISTOL_VALUES_MAX 256u

typedef struct sotto_bristol_values {
    uint32_t count;
    uint32_t bits[SOTTO_BRISTOL_VALUES_MAX]; /* of each value, from 1 */
} sotto_bristol_values;

typedef struct sotto_bristol {
    sotto_bristol_values in, out;
} sotto_bristol;

/* Reads `len` bytes of text, not ending in a zero: the first garbler_values input values become the garbler's
 * inputs, the others the evaluator's. *shape may be NULL. What is allocated is less than 20 times len.
 * SOTTO_ERR_FORMAT with the line, the field and what was expected; SOTTO_ERR_LIMIT (wires, values);
 * SOTTO_ERR_MISMATCH (fewer than garbler_values values); SOTTO_ERR_MEMORY. On failure *c is empty and *shape zero. */
SOTTO_MUST_CHECK int sotto_bristol_parse(sotto_circuit *c, sotto_bristol *shape, const char *text, size_t len, uint32_t garbler_values);
/* Text of a finished circuit, *text (with a zero behind its end) released by the caller with sotto_free. shape NULL:
 * a value for the inputs of each side that has any, one for all outputs. Reading gives the same circuit, gate for
 * gate, but for SOTTO_GATE_AND_EVAL, which comes back as AND. SOTTO_ERR_ARG (bits that do not add up, no inputs or
 * outputs), SOTTO_ERR_LIMIT (an output that is an input, or twice an output, needs one more wire), SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_bristol_print(const sotto_circuit *c, const sotto_bristol *shape, char **text, size_t *len);

/* The same from and to a file; messages begin with its path. Also SOTTO_ERR_IO, and SOTTO_ERR_LIMIT above
 * SOTTO_BRISTOL_FILE_MAX bytes. */
#define SOTTO_BRISTOL_FILE_MAX ((size_t)1 << 30)
SOTTO_MUST_CHECK int sotto_bristol_load(sotto_circuit *c, sotto_bristol *shape, const char *path, uint32_t garbler_values);
SOTTO_MUST_CHECK int sotto_bristol_save(const sotto_circuit *c, const sotto_bristol *shape, const char *path);

#endif
