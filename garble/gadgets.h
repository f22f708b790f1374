/* Circuits of the protocol, and the gadgets they are made of. Words are arrays of wires, least significant bit first.
 * AND counts are exact and tested. */
#ifndef SOTTO_GARBLE_GADGETS_H
#define SOTTO_GARBLE_GADGETS_H

#include "garble/circuit.h"

#define SOTTO_WORD_MAX 64u

/* Carry out of x + y: `bits` AND. carry' = ((x ^ carry) & (y ^ carry)) ^ carry; the first is x & y. */
uint32_t sotto_gadget_carry(sotto_circuit *c, const uint32_t *x, const uint32_t *y, unsigned bits);
/* sum = x + y mod 2^bits: bits - 1 AND. */
void sotto_gadget_add(sotto_circuit *c, uint32_t *sum, const uint32_t *x, const uint32_t *y, unsigned bits);
/* 1 where x < y as two's complement numbers: `bits` AND. */
uint32_t sotto_gadget_less(sotto_circuit *c, const uint32_t *x, const uint32_t *y, unsigned bits);
/* out = select ? x : y: `bits` AND. out may equal x or y. */
void sotto_gadget_mux(sotto_circuit *c, uint32_t *out, uint32_t select, const uint32_t *x, const uint32_t *y, unsigned bits);

/* Carry of the low u - 1 bits of a sign decision over u bits, 2 <= u <= 65: u - 1 inputs from each side, one output, u - 1 AND. The top bits of
 * both shares are xored in outside the circuit. SOTTO_ERR_ARG, SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_circuit_sign(sotto_circuit *c, unsigned u);
/* Index of the largest of `count` values shared modulo 2^bits (two's complement), the lowest index where several are: count * bits inputs
 * from each side, value after value; ceil(log2 count) outputs, lowest bit first. count 2 to 65536, bits 2 to 64.
 * AND: count (bits - 1) + (count - 1) bits + (count - 2) bits + sum over 2^b < count of (count - 1 - 2^b). */
SOTTO_MUST_CHECK int sotto_circuit_argmax(sotto_circuit *c, uint32_t count, unsigned bits);

#endif
