/* Every gadget on all inputs of small widths, argmax also at random on full words; AND counts. */
#include <stdlib.h>

#include "garble/gadgets.h"
#include "lib/ct.h"
#include "tests/support/support.h"

static void put(uint8_t *bits, uint64_t x, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        bits[i] = (uint8_t)(x >> i & 1);
}

static uint64_t get(const uint8_t *bits, unsigned width)
{
    uint64_t x = 0;
    for (unsigned i = 0; i < width; i++)
        x |= (uint64_t)bits[i] << i;
    return x;
}

static int64_t centred(uint64_t x, unsigned width)
{
    return (int64_t)(x << (64 - width)) >> (64 - width);
}

/* sum, less, mux (selected by the lowest bit of x) and carry of two words. */
static void test_words_exhaustive(void **state)
{
    (void)state;
    for (unsigned w = 1; w <= 5; w++) {
        uint32_t x[8], y[8], sum[8], picked[8];
        sotto_circuit c;
        sotto_circuit_init(&c, w, w);
        for (unsigned i = 0; i < w; i++) {
            x[i] = i;
            y[i] = w + i;
        }
        uint32_t before = c.and_count;
        sotto_gadget_add(&c, sum, x, y, w);
        assert_int_equal(c.and_count - before, w - 1);
        before = c.and_count;
        uint32_t less = sotto_gadget_less(&c, x, y, w);
        assert_int_equal(c.and_count - before, w);
        before = c.and_count;
        sotto_gadget_mux(&c, picked, x[0], x, y, w);
        assert_int_equal(c.and_count - before, w);
        before = c.and_count;
        uint32_t carry = sotto_gadget_carry(&c, x, y, w);
        assert_int_equal(c.and_count - before, w);
        for (unsigned i = 0; i < w; i++)
            sotto_circuit_output(&c, sum[i]);
        for (unsigned i = 0; i < w; i++)
            sotto_circuit_output(&c, picked[i]);
        sotto_circuit_output(&c, less);
        sotto_circuit_output(&c, carry);
        assert_ok(sotto_circuit_finish(&c));
        for (uint64_t a = 0; a < (uint64_t)1 << w; a++)
            for (uint64_t b = 0; b < (uint64_t)1 << w; b++) {
                uint8_t in[10], out[12];
                put(in, a, w);
                put(in + w, b, w);
                assert_ok(sotto_circuit_run(&c, out, in));
                assert_int_equal(get(out, w), sotto_low_bits(a + b, w));
                assert_int_equal(get(out + w, w), a & 1 ? a : b);
                assert_int_equal(out[2 * w], centred(a, w) < centred(b, w));
                assert_int_equal(out[2 * w + 1], (a + b) >> w);
            }
        sotto_circuit_free(&c);
    }
}

/* The sign of a shared value: circuit's carry xor both top bits. */
static void test_sign_exhaustive(void **state)
{
    (void)state;
    for (unsigned u = 2; u <= 7; u++) {
        sotto_circuit c;
        assert_ok(sotto_circuit_sign(&c, u));
        assert_int_equal(c.and_count, u - 1);
        for (uint64_t a = 0; a < (uint64_t)1 << u; a++)
            for (uint64_t b = 0; b < (uint64_t)1 << u; b++) {
                uint8_t in[16], carry;
                put(in, a, u - 1);
                put(in + u - 1, b, u - 1);
                assert_ok(sotto_circuit_run(&c, &carry, in));
                assert_int_equal(carry ^ (a >> (u - 1)) ^ (b >> (u - 1)), sotto_low_bits(a + b, u) >> (u - 1));
            }
        sotto_circuit_free(&c);
    }
    sotto_circuit c;
    assert_status(SOTTO_ERR_ARG, sotto_circuit_sign(&c, 1));
    assert_status(SOTTO_ERR_ARG, sotto_circuit_sign(&c, 66));
}

static void check_argmax(const sotto_circuit *c, const uint64_t *value, uint32_t count, unsigned w, const sotto_rng *rng)
{
    uint8_t *in = calloc(2 * (size_t)count * w, 1), out[16];
    assert_non_null(in);
    uint32_t best = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t mask = test_u64(rng);
        put(in + i * w, mask, w);
        put(in + (count + i) * w, value[i] - mask, w);
        if (centred(value[i], w) > centred(value[best], w))
            best = i;
    }
    assert_ok(sotto_circuit_run(c, out, in));
    assert_int_equal(get(out, c->output_count), best);
    free(in);
}

static void test_argmax(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 1);
    static const uint32_t counts[] = {2, 3, 4, 5, 10, 17};
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
        for (unsigned w = 2; w <= 64; w += w < 4 ? 1 : 20) {
            uint32_t count = counts[n], ands = count * (w - 1) + (count - 1) * w + (count - 2) * w, bits = 0;
            for (; (uint32_t)1 << bits < count; bits++)
                ands += count - 1 - ((uint32_t)1 << bits);
            sotto_circuit c;
            assert_ok(sotto_circuit_argmax(&c, count, w));
            assert_int_equal(c.and_count, ands);
            assert_int_equal(c.output_count, bits);
            uint64_t value[17] = {0};
            if (w == 2 && count <= 5) /* all tuples, ties included */
                for (uint64_t all = 0; all < (uint64_t)1 << (2 * count); all++) {
                    for (uint32_t i = 0; i < count; i++)
                        value[i] = all >> (2 * i) & 3;
                    check_argmax(&c, value, count, w, &rng);
                }
            for (int i = 0; i < 200; i++) {
                for (uint32_t j = 0; j < count; j++)
                    value[j] = sotto_low_bits(test_u64(&rng), w);
                check_argmax(&c, value, count, w, &rng);
            }
            sotto_circuit_free(&c);
        }
    sotto_circuit c;
    assert_status(SOTTO_ERR_ARG, sotto_circuit_argmax(&c, 1, 8));
    assert_status(SOTTO_ERR_ARG, sotto_circuit_argmax(&c, 4, 65));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_exhaustive),
        cmocka_unit_test(test_sign_exhaustive),
        cmocka_unit_test(test_argmax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
