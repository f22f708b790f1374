#include "garble/word.h"

static const sotto_word nothing = {0};

static int valid(unsigned bits)
{
    return bits >= 1 && bits <= SOTTO_WORD_MAX;
}

/* Is there an operation on words of these widths? If not, the circuit has failed. */
static int fits(sotto_circuit *c, unsigned x, unsigned y)
{
    if (!c->status && (!valid(x) || x != y))
        c->status = sotto_fail(SOTTO_ERR_ARG, "gate %u: words of %u and %u bits; both need the same width, 1 to %u", c->gate_count, x, y,
                               SOTTO_WORD_MAX);
    return !c->status;
}

/* ---- no gates ---------------------------------------------------------------------------------------------------- */

sotto_word sotto_word_wires(uint32_t first, unsigned bits)
{
    sotto_word x = nothing;
    for (x.bits = 0; valid(bits) && x.bits < bits; x.bits++)
        x.wire[x.bits] = first + x.bits;
    return x;
}

sotto_word sotto_word_constant(uint64_t value, unsigned bits)
{
    sotto_word x = nothing;
    for (x.bits = 0; valid(bits) && x.bits < bits; x.bits++)
        x.wire[x.bits] = value >> x.bits & 1 ? SOTTO_WIRE_ONE : SOTTO_WIRE_ZERO;
    return x;
}

static sotto_word slice(sotto_word x, unsigned first, unsigned bits, uint32_t fill)
{
    sotto_word out = nothing;
    if (!valid(bits) || !valid(x.bits))
        return out;
    out.bits = bits;
    for (unsigned i = 0; i < bits; i++)
        out.wire[i] = first < x.bits && i < x.bits - first ? x.wire[first + i] : fill;
    return out;
}

sotto_word sotto_word_slice(sotto_word x, unsigned first, unsigned bits)
{
    return slice(x, first, bits, SOTTO_WIRE_ZERO);
}

sotto_word sotto_word_slice_signed(sotto_word x, unsigned first, unsigned bits)
{
    return slice(x, first, bits, valid(x.bits) ? x.wire[x.bits - 1] : SOTTO_WIRE_ZERO);
}

sotto_word sotto_word_shift_left(sotto_word x, unsigned n)
{
    sotto_word out = x;
    for (unsigned i = 0; valid(x.bits) && i < x.bits; i++)
        out.wire[i] = i < n ? SOTTO_WIRE_ZERO : x.wire[i - n];
    return out;
}

sotto_word sotto_word_rotate_right(sotto_word x, unsigned n)
{
    sotto_word out = x;
    for (unsigned i = 0; valid(x.bits) && i < x.bits; i++)
        out.wire[i] = x.wire[(i + n % x.bits) % x.bits];
    return out;
}

void sotto_word_output(sotto_circuit *c, sotto_word x)
{
    if (!fits(c, x.bits, x.bits))
        return;
    for (unsigned i = 0; i < x.bits; i++)
        sotto_circuit_output(c, x.wire[i]);
}

/* ---- bit by bit --------------------------------------------------------------------------------------------------- */

static sotto_word bitwise(sotto_circuit *c, uint32_t (*gate)(sotto_circuit *c, uint32_t a, uint32_t b), sotto_word x, sotto_word y)
{
    if (!fits(c, x.bits, y.bits))
        return nothing;
    for (unsigned i = 0; i < x.bits; i++)
        x.wire[i] = gate(c, x.wire[i], y.wire[i]);
    return x;
}

sotto_word sotto_word_not(sotto_circuit *c, sotto_word x)
{
    return bitwise(c, sotto_gate_xor, x, sotto_word_constant(UINT64_MAX, x.bits));
}

sotto_word sotto_word_xor(sotto_circuit *c, sotto_word x, sotto_word y)
{
    return bitwise(c, sotto_gate_xor, x, y);
}

sotto_word sotto_word_and(sotto_circuit *c, sotto_word x, sotto_word y)
{
    return bitwise(c, sotto_gate_and, x, y);
}

sotto_word sotto_word_gate(sotto_circuit *c, uint32_t bit, sotto_word x)
{
    if (!fits(c, x.bits, x.bits))
        return nothing;
    for (unsigned i = 0; i < x.bits; i++)
        x.wire[i] = sotto_gate_and(c, bit, x.wire[i]);
    return x;
}

sotto_word sotto_word_mux(sotto_circuit *c, uint32_t select, sotto_word x, sotto_word y)
{
    if (!fits(c, x.bits, y.bits))
        return nothing;
    for (unsigned i = 0; i < x.bits; i++)
        x.wire[i] = sotto_gate_mux(c, select, x.wire[i], y.wire[i]);
    return x;
}

/* ---- arithmetic --------------------------------------------------------------------------------------------------- */

/* The carry into place i + 1 is the majority of both bits and the carry at place i (sotto_gate_majority, sharing y ^
 * carry with the sum); that out of the top is not built. */
sotto_word sotto_word_add(sotto_circuit *c, sotto_word x, sotto_word y)
{
    if (!fits(c, x.bits, y.bits))
        return nothing;
    sotto_word sum = x;
    uint32_t carry = SOTTO_WIRE_ZERO;
    for (unsigned i = 0; i < x.bits; i++) {
        const uint32_t rest = sotto_gate_xor(c, y.wire[i], carry);
        sum.wire[i] = sotto_gate_xor(c, x.wire[i], rest);
        if (i + 1 < x.bits)
            carry = sotto_gate_xor(c, sotto_gate_and(c, sotto_gate_xor(c, x.wire[i], carry), rest), carry);
    }
    return sum;
}

/* ~x = -x - 1, so ~(~x + y) = x - y. */
sotto_word sotto_word_sub(sotto_circuit *c, sotto_word x, sotto_word y)
{
    return sotto_word_not(c, sotto_word_add(c, sotto_word_not(c, x), y));
}

uint32_t sotto_word_carry(sotto_circuit *c, sotto_word x, sotto_word y)
{
    if (!fits(c, x.bits, y.bits))
        return 0;
    uint32_t carry = SOTTO_WIRE_ZERO;
    for (unsigned i = 0; i < x.bits; i++)
        carry = sotto_gate_majority(c, x.wire[i], y.wire[i], carry);
    return carry;
}

/* Adds (or subtracts) y * 2^place to *sum: only the places from there on change. */
static void accumulate(sotto_circuit *c, sotto_word *sum, unsigned place, sotto_word y,
                       sotto_word (*step)(sotto_circuit *c, sotto_word x, sotto_word y))
{
    const unsigned bits = sum->bits - place;
    const sotto_word high = step(c, sotto_word_slice(*sum, place, bits), sotto_word_slice(y, 0, bits));
    for (unsigned i = 0; i < high.bits; i++)
        sum->wire[place + i] = high.wire[i];
}

sotto_word sotto_word_multiply(sotto_circuit *c, sotto_word x, sotto_word y)
{
    if (!fits(c, x.bits, y.bits))
        return nothing;
    sotto_word product = sotto_word_constant(0, x.bits);
    for (unsigned i = 0; i < x.bits; i++)
        accumulate(c, &product, i, sotto_word_gate(c, y.wire[i], sotto_word_slice(x, 0, x.bits - i)), sotto_word_add);
    return product;
}

/* Non-adjacent form, lowest digit first: where what is left is odd, the digit that makes it a multiple of 4. */
sotto_word sotto_word_scale(sotto_circuit *c, sotto_word x, uint64_t factor)
{
    if (!fits(c, x.bits, x.bits))
        return nothing;
    sotto_word product = sotto_word_constant(0, x.bits);
    for (unsigned i = 0; i < x.bits; i++, factor >>= 1) {
        if (!(factor & 1))
            continue;
        const int minus = (factor & 3) == 3 && i + 1 < x.bits; /* at the top place both digits are the same */
        accumulate(c, &product, i, x, minus ? sotto_word_sub : sotto_word_add);
        if (minus)
            factor++; /* even again, and its carry goes on; past 2^64 it is 0 */
    }
    return product;
}

/* ---- comparison ---------------------------------------------------------------------------------------------------- */

uint32_t sotto_word_equal(sotto_circuit *c, sotto_word x, sotto_word y)
{
    uint32_t equal = SOTTO_WIRE_ONE;
    if (!fits(c, x.bits, y.bits))
        return 0;
    for (unsigned i = 0; i < x.bits; i++)
        equal = sotto_gate_and(c, equal, sotto_gate_xnor(c, x.wire[i], y.wire[i]));
    return equal;
}

/* x < y where ~x + y = 2^bits - 1 - x + y carries. */
uint32_t sotto_word_below(sotto_circuit *c, sotto_word x, sotto_word y)
{
    return sotto_word_carry(c, sotto_word_not(c, x), y);
}

/* The top bit has negative weight: there the operands change places. */
uint32_t sotto_word_less(sotto_circuit *c, sotto_word x, sotto_word y)
{
    if (!fits(c, x.bits, y.bits))
        return 0;
    const unsigned top = x.bits - 1;
    const uint32_t swap = x.wire[top];
    x.wire[top] = y.wire[top];
    y.wire[top] = swap;
    return sotto_word_below(c, x, y);
}
