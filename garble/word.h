/* Words of wires and arithmetic on them, for writing circuits. A word is a value: bits of it may be constants
 * (circuit.h), inputs and outputs of gates in any mixture, and whatever a constant makes superfluous is not built. All
 * arithmetic is modulo 2^bits.
 *
 * Stated AND counts are those of words without constants. Both words of an operation have the same width, 1 to
 * SOTTO_WORD_MAX bits; another width is a mistake that sotto_circuit_finish reports, like all others (circuit.h).
 */
#ifndef SOTTO_GARBLE_WORD_H
#define SOTTO_GARBLE_WORD_H

#include "garble/circuit.h"

#define SOTTO_WORD_MAX 64u

typedef struct sotto_word {
    unsigned bits;
    uint32_t wire[SOTTO_WORD_MAX]; /* least significant bit first */
} sotto_word;

/* ---- no gates ---- */

/* Consecutive wires, such as inputs. A width outside 1 to SOTTO_WORD_MAX gives a word of 0 bits, which every
 * operation refuses; so below. */
sotto_word sotto_word_wires(uint32_t first, unsigned bits);
sotto_word sotto_word_constant(uint64_t value, unsigned bits);
/* Bits first, first + 1, ... of x, with zeros (or copies of the top bit) past its end: shift right, low part,
 * extension to a larger width. */
sotto_word sotto_word_slice(sotto_word x, unsigned first, unsigned bits);
sotto_word sotto_word_slice_signed(sotto_word x, unsigned first, unsigned bits);
/* x * 2^n. */
sotto_word sotto_word_shift_left(sotto_word x, unsigned n);
sotto_word sotto_word_rotate_right(sotto_word x, unsigned n);
void sotto_word_output(sotto_circuit *c, sotto_word x);

/* ---- bit by bit: free, free; `bits` AND each ---- */

sotto_word sotto_word_not(sotto_circuit *c, sotto_word x);
sotto_word sotto_word_xor(sotto_circuit *c, sotto_word x, sotto_word y);
sotto_word sotto_word_and(sotto_circuit *c, sotto_word x, sotto_word y);
/* x where bit is 1, else 0. */
sotto_word sotto_word_gate(sotto_circuit *c, uint32_t bit, sotto_word x);
/* select ? x : y. */
sotto_word sotto_word_mux(sotto_circuit *c, uint32_t select, sotto_word x, sotto_word y);

/* ---- arithmetic ---- */

/* x + y, x - y: bits - 1 AND; with one operand a constant whose lowest 1 is bit t, bits - 2 - t for the sum (0 where
 * negative). */
sotto_word sotto_word_add(sotto_circuit *c, sotto_word x, sotto_word y);
sotto_word sotto_word_sub(sotto_circuit *c, sotto_word x, sotto_word y);
/* Carry out of x + y: `bits` AND. */
uint32_t sotto_word_carry(sotto_circuit *c, sotto_word x, sotto_word y);
/* x * y: bits^2 - bits + 1 AND. */
sotto_word sotto_word_multiply(sotto_circuit *c, sotto_word x, sotto_word y);
/* x * factor. Of the digits -1, 0, 1 of factor's non-adjacent form modulo 2^bits the lowest other than 0, at place
 * p, is free if it is 1 and costs bits - p - 2 (0 where negative) if it is -1; each further one at place p costs
 * bits - p - 1 AND. */
sotto_word sotto_word_scale(sotto_circuit *c, sotto_word x, uint64_t factor);

/* ---- comparison: one bit ---- */

/* x = y: bits - 1 AND. */
uint32_t sotto_word_equal(sotto_circuit *c, sotto_word x, sotto_word y);
/* x < y, of unsigned and of two's complement numbers: `bits` AND; against a constant y whose lowest 1 is bit t,
 * unsigned: bits - 1 - t. */
uint32_t sotto_word_below(sotto_circuit *c, sotto_word x, sotto_word y);
uint32_t sotto_word_less(sotto_circuit *c, sotto_word x, sotto_word y);

#endif
