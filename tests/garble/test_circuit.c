/* Circuits as data: truth tables, constants, refusals, 64 instances against one, failure of memory at every call. */
#include "lib/mem.h"
#include "tests/garble/circuits.h"

static void test_truth_tables(void **state)
{
    (void)state;
    sotto_circuit c;
    sotto_circuit_init(&c, 1, 1);
    sotto_circuit_output(&c, sotto_gate_xor(&c, 0, 1));
    sotto_circuit_output(&c, sotto_gate_and(&c, 0, 1));
    sotto_circuit_output(&c, sotto_gate_not(&c, 0));
    sotto_circuit_output(&c, 1);
    assert_ok(sotto_circuit_finish(&c));
    assert_int_equal(c.and_count, 1);
    assert_int_equal(sotto_circuit_wires(&c), 5);
    for (uint8_t x = 0; x < 4; x++) {
        uint8_t in[2] = {x & 1, x >> 1}, out[4];
        assert_ok(sotto_circuit_run(&c, out, in));
        assert_int_equal(out[0], in[0] ^ in[1]);
        assert_int_equal(out[1], in[0] & in[1]);
        assert_int_equal(out[2], !in[0]);
        assert_int_equal(out[3], in[1]);
    }
    sotto_circuit_free(&c);
}

/* Every gate of the builder on wires and constants in all places: the function, at most one AND, none as soon as a
 * constant decides or passes the other on, and no gate that reads a constant. */
typedef struct gate_case {
    uint32_t (*two)(sotto_circuit *c, uint32_t a, uint32_t b);
    uint32_t (*three)(sotto_circuit *c, uint32_t a, uint32_t b, uint32_t d);
    unsigned table; /* bit a + 2 b + 4 d */
    unsigned ands;
    uint32_t wire[3];
} gate_case;

static uint64_t gate_want(uint64_t in, const void *ctx)
{
    const gate_case *g = ctx;
    unsigned at = 0;
    for (unsigned i = 0; i < 3; i++)
        at |= (unsigned)(g->wire[i] >= SOTTO_WIRE_ZERO ? g->wire[i] & 1 : in >> g->wire[i] & 1) << i;
    return g->table >> at & 1;
}

static void test_gates(void **state)
{
    (void)state;
    static const gate_case gates[] = {
        {.two = sotto_gate_xor, .table = 0x66},           {.two = sotto_gate_and, .table = 0x88, .ands = 1},
        {.two = sotto_gate_xnor, .table = 0x99},          {.two = sotto_gate_or, .table = 0xee, .ands = 1},
        {.two = sotto_gate_nand, .table = 0x77, .ands = 1}, {.two = sotto_gate_nor, .table = 0x11, .ands = 1},
        {.three = sotto_gate_mux, .table = 0xd8, .ands = 1}, /* a selects: b at 3 and 7, d at 4 and 6 */
        {.three = sotto_gate_majority, .table = 0xe8, .ands = 1},
    };
    for (size_t n = 0; n < sizeof gates / sizeof *gates; n++)
        for (unsigned mix = 0; mix < 27; mix++) {
            gate_case g = gates[n];
            const unsigned kind[3] = {mix % 3, mix / 3 % 3, g.three ? mix / 9 : 1};
            unsigned constants = 0;
            for (unsigned i = 0; i < 3; i++) {
                g.wire[i] = kind[i] == 0 ? i : SOTTO_WIRE_ZERO + kind[i] - 1;
                constants += kind[i] > 0 && (g.three || i < 2);
            }
            sotto_circuit c;
            sotto_circuit_init(&c, 2, 1);
            const uint32_t out = g.two ? g.two(&c, g.wire[0], g.wire[1]) : g.three(&c, g.wire[0], g.wire[1], g.wire[2]);
            for (uint32_t i = 0; i < c.gate_count; i++)
                assert_true(c.gates[i].a < 3 + i && c.gates[i].b < 3 + i);
            assert_true(c.and_count <= g.ands);
            if (constants == 0)
                assert_int_equal(c.and_count, g.ands);
            if (constants == (g.three ? 3 : 2))
                assert_int_equal(c.gate_count, 0);
            if (g.two && constants == 1)
                assert_int_equal(c.and_count, 0);
            sotto_circuit_output(&c, out);
            check_all_inputs(&c, gate_want, &g);
            sotto_circuit_free(&c);
        }
}

/* A gate can only read what stands before it; the first failure stays. */
static void test_refusals(void **state)
{
    (void)state;
    sotto_circuit c;
    sotto_circuit_init(&c, 1, 1);
    assert_int_equal(sotto_gate_and(&c, 0, 2), 0);
    assert_int_equal(sotto_gate_xor(&c, 0, 1), 0);
    assert_int_equal(c.gate_count, 0);
    assert_status(SOTTO_ERR_ARG, sotto_circuit_finish(&c));
    sotto_circuit_free(&c);
    sotto_circuit_init(&c, 1, 1);
    assert_int_equal(sotto_gate_mux(&c, SOTTO_WIRE_ONE, 2, 0), 0);
    assert_status(SOTTO_ERR_ARG, sotto_circuit_finish(&c));
    sotto_circuit_free(&c);
    sotto_circuit_init(&c, 0, 0);
    sotto_circuit_output(&c, SOTTO_WIRE_ONE);
    assert_status(SOTTO_ERR_ARG, sotto_circuit_finish(&c));
    sotto_circuit_free(&c);
    sotto_circuit_init(&c, SOTTO_CIRCUIT_WIRES_MAX, 1);
    assert_status(SOTTO_ERR_LIMIT, sotto_circuit_finish(&c));
    sotto_circuit_free(&c);
    sotto_circuit_init(&c, SOTTO_CIRCUIT_WIRES_MAX, 0);
    (void)sotto_gate_not(&c, 0);
    assert_status(SOTTO_ERR_LIMIT, sotto_circuit_finish(&c));
    sotto_circuit_free(&c);
}

/* An input and a gate that nothing needs, directly and through others. */
static void test_lint(void **state)
{
    (void)state;
    sotto_circuit c;
    sotto_circuit_init(&c, 2, 1);
    const uint32_t both = sotto_gate_and(&c, 0, 1);
    sotto_circuit_output(&c, sotto_gate_xor(&c, both, 0));
    assert_status(SOTTO_ERR_ARG, sotto_circuit_lint(&c));
    assert_string_equal(sotto_error_message(), "no output depends on input 2");
    const uint32_t spare = sotto_gate_and(&c, both, 2);
    (void)sotto_gate_not(&c, spare);
    assert_status(SOTTO_ERR_ARG, sotto_circuit_lint(&c));
    sotto_circuit_output(&c, 2);
    assert_status(SOTTO_ERR_ARG, sotto_circuit_lint(&c));
    assert_string_equal(sotto_error_message(), "no output depends on gate 2, whose output is wire 5");
    sotto_circuit_output(&c, spare);
    assert_status(SOTTO_ERR_ARG, sotto_circuit_lint(&c));
    sotto_circuit_output(&c, 6);
    assert_ok(sotto_circuit_lint(&c));
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_circuit_lint(&c));
    sotto_calloc_fail_after(-1);
    sotto_circuit_free(&c);
}

/* A random circuit: 64 instances at once are the 64 instances one by one. */
static void test_run64(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 1);
    sotto_circuit c;
    sotto_circuit_init(&c, 9, 11);
    for (unsigned i = 0; i < 300; i++) {
        const uint32_t a = (uint32_t)test_below(&rng, sotto_circuit_wires(&c)), b = (uint32_t)test_below(&rng, sotto_circuit_wires(&c));
        const uint64_t op = test_below(&rng, 3);
        sotto_circuit_output(&c, op == 0 ? sotto_gate_xor(&c, a, b) : op == 1 ? sotto_gate_and(&c, a, b) : sotto_gate_not(&c, a));
    }
    assert_ok(sotto_circuit_finish(&c));
    uint64_t in[20], out[300];
    for (unsigned w = 0; w < 20; w++)
        in[w] = test_u64(&rng);
    assert_ok(sotto_circuit_run64(&c, out, in));
    for (unsigned i = 0; i < 64; i++) {
        uint8_t one_in[20], one_out[300];
        for (unsigned w = 0; w < 20; w++)
            one_in[w] = (uint8_t)(in[w] >> i & 1);
        assert_ok(sotto_circuit_run(&c, one_out, one_in));
        for (unsigned o = 0; o < 300; o++)
            assert_int_equal(one_out[o], out[o] >> i & 1);
    }
    uint8_t bytes_in[20] = {0}, bytes_out[300];
    for (int wide = 0; wide < 2; wide++) {
        sotto_calloc_fail_after(0);
        const int rc = wide ? sotto_circuit_run64(&c, out, in) : sotto_circuit_run(&c, bytes_out, bytes_in);
        sotto_calloc_fail_after(-1);
        assert_int_equal(rc, SOTTO_ERR_MEMORY);
    }
    sotto_circuit_free(&c);
}

/* ANDs of the evaluator's inputs, on either side, become half the price; the function stays. */
static uint64_t want_known(uint64_t in, const void *ctx)
{
    (void)ctx;
    const uint64_t g0 = in & 1, g1 = in >> 1 & 1, e0 = in >> 2 & 1, e1 = in >> 3 & 1;
    return (g0 & e0) | (e1 & g1) << 1 | (e0 & e1) << 2 | (g0 & g1) << 3 | (g0 & (e0 ^ e1)) << 4 | (g1 & e0) << 5;
}

static void test_known_inputs(void **state)
{
    (void)state;
    sotto_circuit c;
    sotto_circuit_init(&c, 2, 2);
    sotto_circuit_output(&c, sotto_gate_and(&c, 0, 2));
    sotto_circuit_output(&c, sotto_gate_and(&c, 3, 1));
    sotto_circuit_output(&c, sotto_gate_and(&c, 2, 3));
    sotto_circuit_output(&c, sotto_gate_and(&c, 0, 1));
    sotto_circuit_output(&c, sotto_gate_and(&c, 0, sotto_gate_xor(&c, 2, 3)));
    sotto_circuit_output(&c, sotto_gate_and_eval(&c, 1, 2));
    for (int twice = 0; twice < 2; twice++) {
        sotto_circuit_known_inputs(&c);
        assert_int_equal(c.and_count, 2);
        assert_int_equal(c.and_eval_count, 4);
        for (uint32_t g = 0; g < c.gate_count; g++)
            assert_true(c.gates[g].op != SOTTO_GATE_AND_EVAL || c.gates[g].b == 2 || c.gates[g].b == 3);
        check_all_inputs(&c, want_known, NULL);
    }
    assert_int_equal(sotto_gate_and_eval(&c, 0, 1), 0);
    assert_status(SOTTO_ERR_ARG, sotto_circuit_finish(&c));
    sotto_circuit_free(&c);
}

static void test_memory(void **state)
{
    (void)state;
    int rc = SOTTO_ERR_MEMORY;
    for (long k = 0; rc; k++) {
        assert_true(k < 50);
        sotto_circuit c;
        sotto_circuit_init(&c, 2, 0);
        sotto_calloc_fail_after(k);
        for (int i = 0; i < 100; i++)
            sotto_circuit_output(&c, sotto_gate_and(&c, 0, 1));
        sotto_calloc_fail_after(-1);
        rc = sotto_circuit_finish(&c);
        if (rc)
            assert_int_equal(rc, SOTTO_ERR_MEMORY);
        else
            assert_int_equal(c.output_count, 100);
        sotto_circuit_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truth_tables), cmocka_unit_test(test_gates), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_lint),         cmocka_unit_test(test_run64), cmocka_unit_test(test_known_inputs),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
