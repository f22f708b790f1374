/* Circuits as data: truth tables, refusals, failure of memory at every call. */
#include "garble/circuit.h"
#include "lib/mem.h"
#include "tests/support/support.h"

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
    sotto_circuit_init(&c, SOTTO_CIRCUIT_WIRES_MAX, 1);
    assert_status(SOTTO_ERR_LIMIT, sotto_circuit_finish(&c));
    sotto_circuit_free(&c);
    sotto_circuit_init(&c, SOTTO_CIRCUIT_WIRES_MAX, 0);
    (void)sotto_gate_not(&c, 0);
    assert_status(SOTTO_ERR_LIMIT, sotto_circuit_finish(&c));
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
        cmocka_unit_test(test_truth_tables),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
