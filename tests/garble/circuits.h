/* What the tests of circuits share: words as bits, and all inputs of a small circuit, 64 at a time. */
#ifndef SOTTO_TESTS_GARBLE_CIRCUITS_H
#define SOTTO_TESTS_GARBLE_CIRCUITS_H

#include <stdlib.h>

#include "garble/circuit.h"
#include "lib/ct.h"
#include "tests/support/support.h"

static inline void put_bits(uint8_t *bits, uint64_t x, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        bits[i] = (uint8_t)(x >> i & 1);
}

static inline uint64_t get_bits(const uint8_t *bits, unsigned width)
{
    uint64_t x = 0;
    for (unsigned i = 0; i < width; i++)
        x |= (uint64_t)bits[i] << i;
    return x;
}

/* Two's complement. */
static inline int64_t centred(uint64_t x, unsigned width)
{
    return (int64_t)(x << (64 - width)) >> (64 - width);
}

/* `width` bits of *x, which moves on. */
static inline uint64_t take(uint64_t *x, unsigned width)
{
    const uint64_t low = sotto_low_bits(*x, width);
    *x = width < 64 ? *x >> width : 0;
    return low;
}

/* Runs the circuit on all its inputs; want(inputs, ctx) gives the outputs, both as numbers whose bit i is wire i. */
static inline void check_all_inputs(const sotto_circuit *c, uint64_t (*want)(uint64_t in, const void *ctx), const void *ctx)
{
    static const uint64_t pattern[6] = {0xaaaaaaaaaaaaaaaa, 0xcccccccccccccccc, 0xf0f0f0f0f0f0f0f0,
                                        0xff00ff00ff00ff00, 0xffff0000ffff0000, 0xffffffff00000000};
    const unsigned inputs = sotto_circuit_inputs(c);
    uint64_t in[24], out[64];
    assert_ok(sotto_circuit_finish(c));
    assert_true(inputs <= 24 && c->output_count <= 64);
    for (uint64_t base = 0; base < (uint64_t)1 << inputs; base += 64) {
        for (unsigned i = 0; i < inputs; i++)
            in[i] = i < 6 ? pattern[i] : 0 - (base >> i & 1);
        assert_ok(sotto_circuit_run64(c, out, in));
        for (uint64_t lane = 0; lane < 64 && base + lane < (uint64_t)1 << inputs; lane++) {
            uint64_t got = 0;
            for (unsigned o = 0; o < c->output_count; o++)
                got |= (out[o] >> lane & 1) << o;
            assert_int_equal(got, want(base + lane, ctx));
        }
    }
}

#endif
