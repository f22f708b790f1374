#include "garble/gadgets.h"

#include <string.h>

/* Majority of x, y and carry in one AND; `first` is the step without a carry. */
static uint32_t carry_step(sotto_circuit *c, uint32_t x, uint32_t y, uint32_t carry, int first)
{
    if (first)
        return sotto_gate_and(c, x, y);
    return sotto_gate_xor(c, sotto_gate_and(c, sotto_gate_xor(c, x, carry), sotto_gate_xor(c, y, carry)), carry);
}

uint32_t sotto_gadget_carry(sotto_circuit *c, const uint32_t *x, const uint32_t *y, unsigned bits)
{
    uint32_t carry = 0;
    for (unsigned i = 0; i < bits; i++)
        carry = carry_step(c, x[i], y[i], carry, i == 0);
    return carry;
}

void sotto_gadget_add(sotto_circuit *c, uint32_t *sum, const uint32_t *x, const uint32_t *y, unsigned bits)
{
    uint32_t carry = 0;
    for (unsigned i = 0; i < bits; i++) {
        uint32_t bit = sotto_gate_xor(c, x[i], y[i]), next = 0;
        if (i + 1 < bits)
            next = carry_step(c, x[i], y[i], carry, i == 0);
        sum[i] = i ? sotto_gate_xor(c, bit, carry) : bit;
        carry = next;
    }
}

/* The borrow of x - y is the carry of ~x + y; at the top bit, of negative weight, the operands change places. */
uint32_t sotto_gadget_less(sotto_circuit *c, const uint32_t *x, const uint32_t *y, unsigned bits)
{
    uint32_t borrow = 0;
    for (unsigned i = 0; i < bits; i++) {
        int top = i + 1 == bits;
        borrow = carry_step(c, sotto_gate_not(c, top ? y[i] : x[i]), top ? x[i] : y[i], borrow, i == 0);
    }
    return borrow;
}

void sotto_gadget_mux(sotto_circuit *c, uint32_t *out, uint32_t select, const uint32_t *x, const uint32_t *y, unsigned bits)
{
    for (unsigned i = 0; i < bits; i++)
        out[i] = sotto_gate_xor(c, sotto_gate_and(c, select, sotto_gate_xor(c, x[i], y[i])), y[i]);
}

int sotto_circuit_sign(sotto_circuit *c, unsigned u)
{
    if (u < 2 || u > SOTTO_WORD_MAX + 1)
        return sotto_fail(SOTTO_ERR_ARG, "a sign over %u bits: choose from 2 to %u", u, SOTTO_WORD_MAX + 1);
    uint32_t x[SOTTO_WORD_MAX], y[SOTTO_WORD_MAX];
    for (unsigned i = 0; i + 1 < u; i++) {
        x[i] = i;
        y[i] = u - 1 + i;
    }
    sotto_circuit_init(c, u - 1, u - 1);
    sotto_circuit_output(c, sotto_gadget_carry(c, x, y, u - 1));
    return sotto_circuit_finish(c);
}

/* The value at place `i`, from both sides' inputs. */
static void shared_value(sotto_circuit *c, uint32_t *value, uint32_t i, unsigned bits)
{
    uint32_t x[SOTTO_WORD_MAX], y[SOTTO_WORD_MAX];
    for (unsigned b = 0; b < bits; b++) {
        x[b] = i * bits + b;
        y[b] = c->garbler_inputs + i * bits + b;
    }
    sotto_gadget_add(c, value, x, y, bits);
}

int sotto_circuit_argmax(sotto_circuit *c, uint32_t count, unsigned bits)
{
    if (count < 2 || count > 65536 || bits < 2 || bits > SOTTO_WORD_MAX)
        return sotto_fail(SOTTO_ERR_ARG, "argmax of %u values of %u bits: choose 2 to 65536 values of 2 to %u bits", count,
                          bits, SOTTO_WORD_MAX);
    sotto_circuit_init(c, count * bits, count * bits);
    uint32_t best[SOTTO_WORD_MAX], value[SOTTO_WORD_MAX], index[16] = {0};
    shared_value(c, best, 0, bits);
    for (uint32_t i = 1; i < count; i++) {
        shared_value(c, value, i, bits);
        uint32_t better = sotto_gadget_less(c, best, value, bits);
        if (i + 1 < count)
            sotto_gadget_mux(c, best, better, value, best, bits);
        /* Bit b of the index is still the constant 0 before item 2^b, the first that has it. */
        for (unsigned b = 0; (uint32_t)1 << b <= i; b++) {
            uint32_t has = i >> b & 1;
            if (i == (uint32_t)1 << b) {
                index[b] = better;
                continue;
            }
            uint32_t dropped = sotto_gate_xor(c, index[b], sotto_gate_and(c, index[b], better));
            index[b] = has ? sotto_gate_xor(c, dropped, better) : dropped;
        }
    }
    for (unsigned b = 0; (uint32_t)1 << b < count; b++)
        sotto_circuit_output(c, index[b]);
    return sotto_circuit_finish(c);
}
