#include "garble/gadgets.h"

#define COUNT_MAX 65536u

static int refused(sotto_circuit *c, const char *what, unsigned bits, unsigned low, unsigned high)
{
    sotto_circuit_init(c, 0, 0);
    if (bits >= low && bits <= high)
        return 0;
    c->status = sotto_fail(SOTTO_ERR_ARG, "%s of %u bits: choose from %u to %u", what, bits, low, high);
    return 1;
}

static int done(sotto_circuit *c)
{
    const int rc = sotto_circuit_finish(c);
    if (rc)
        sotto_circuit_free(c);
    return rc;
}

/* Value i, the sum of both sides' shares. */
static sotto_word shared_value(sotto_circuit *c, uint32_t i, unsigned bits)
{
    return sotto_word_add(c, sotto_word_wires(i * bits, bits), sotto_word_wires(c->garbler_inputs + i * bits, bits));
}

/* Shares x again: the evaluator's new share is its last input. */
static void share(sotto_circuit *c, sotto_word x)
{
    sotto_word_output(c, sotto_word_sub(c, x, sotto_word_wires(sotto_circuit_inputs(c) - x.bits, x.bits)));
}

int sotto_circuit_sign(sotto_circuit *c, unsigned u)
{
    if (refused(c, "a sign", u, 2, SOTTO_WORD_MAX + 1))
        return done(c);
    sotto_circuit_init(c, u - 1, u - 1);
    sotto_circuit_output(c, sotto_word_carry(c, sotto_word_wires(0, u - 1), sotto_word_wires(u - 1, u - 1)));
    return done(c);
}

int sotto_circuit_relu(sotto_circuit *c, unsigned bits)
{
    if (refused(c, "a ReLU", bits, 2, SOTTO_WORD_MAX))
        return done(c);
    sotto_circuit_init(c, bits, 2 * bits);
    const sotto_word y = shared_value(c, 0, bits);
    const sotto_word low = sotto_word_gate(c, sotto_gate_not(c, y.wire[bits - 1]), sotto_word_slice(y, 0, bits - 1));
    share(c, sotto_word_slice(low, 0, bits));
    return done(c);
}

/* "Clipped" and "inside" never hold at once, so that their terms may be xored; bits above those of `high` are 0 in
 * both. */
int sotto_circuit_clip(sotto_circuit *c, unsigned bits, uint64_t high)
{
    if (refused(c, "a clipped ReLU", bits, 3, SOTTO_WORD_MAX))
        return done(c);
    if (high < 1 || high >= ((uint64_t)1 << (bits - 1)) - 1)
        return sotto_fail(SOTTO_ERR_ARG, "a ReLU of %u bits clipped at %llu: choose from 1 to 2^%u - 2, or the plain ReLU", bits,
                          (unsigned long long)high, bits - 1);
    sotto_circuit_init(c, bits, 2 * bits);
    const sotto_word y = shared_value(c, 0, bits), low = sotto_word_slice(y, 0, bits - 1);
    const uint32_t positive = sotto_gate_not(c, y.wire[bits - 1]);
    const uint32_t over = sotto_word_below(c, sotto_word_constant(high, bits - 1), low);
    const uint32_t clipped = sotto_gate_and(c, over, positive), inside = sotto_gate_xor(c, clipped, positive);
    sotto_word out = sotto_word_constant(0, bits);
    for (unsigned i = 0; high >> i; i++) {
        out.wire[i] = sotto_gate_and(c, inside, low.wire[i]);
        if (high >> i & 1)
            out.wire[i] = sotto_gate_xor(c, out.wire[i], clipped);
    }
    share(c, out);
    return done(c);
}

static int refused_list(sotto_circuit *c, const char *what, uint32_t count, uint32_t least, unsigned bits)
{
    if (refused(c, what, bits, 2, SOTTO_WORD_MAX))
        return 1;
    if (count < least || count > COUNT_MAX)
        c->status = sotto_fail(SOTTO_ERR_ARG, "%s of %u values: choose from %u to %u", what, count, least, COUNT_MAX);
    return c->status;
}

int sotto_circuit_max(sotto_circuit *c, uint32_t count, unsigned bits)
{
    if (refused_list(c, "the largest", count, 1, bits))
        return done(c);
    sotto_circuit_init(c, count * bits, (count + 1) * bits);
    sotto_word best = shared_value(c, 0, bits);
    for (uint32_t i = 1; i < count; i++) {
        const sotto_word value = shared_value(c, i, bits);
        best = sotto_word_mux(c, sotto_word_less(c, best, value), value, best);
    }
    share(c, best);
    return done(c);
}

/* Bit b of the index stays the constant 0 up to item 2^b, the first that has it; there it becomes `better` without
 * an AND. */
int sotto_circuit_argmax(sotto_circuit *c, uint32_t count, unsigned bits)
{
    if (refused_list(c, "argmax", count, 2, bits))
        return done(c);
    sotto_circuit_init(c, count * bits, count * bits);
    unsigned index_bits = 0;
    while ((uint32_t)1 << index_bits < count)
        index_bits++;
    sotto_word best = shared_value(c, 0, bits), index = sotto_word_constant(0, index_bits);
    for (uint32_t i = 1; i < count; i++) {
        const sotto_word value = shared_value(c, i, bits);
        const uint32_t better = sotto_word_less(c, best, value);
        if (i + 1 < count)
            best = sotto_word_mux(c, better, value, best);
        index = sotto_word_mux(c, better, sotto_word_constant(i, index_bits), index);
    }
    sotto_word_output(c, index);
    return done(c);
}
