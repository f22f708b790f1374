/* Compiled circuits: the operations compute what the gates do, on few slots. */
#include "garble/gadgets.h"
#include "garble/garbling_internal.h"
#include "lib/mem.h"
#include "tests/garble/instances.h"

/* The operations on bits; NOTs of ANDs and outputs applied as the kernels do. */
static void run_ops(const sotto_garbling *g, uint8_t *out, const uint8_t *in)
{
    uint8_t *slot = malloc(g->slot_count + 1);
    assert_non_null(slot);
    memset(slot, 0xff, g->slot_count + 1); /* never read before it is written */
    uint32_t next = 0;
    for (uint32_t s = 0; s < g->segment_count; s++) {
        uint32_t ands = 0, evals = 0;
        for (; next < g->segments[s].end; next++) {
            const sotto_op *op = &g->ops[next];
            assert_true(op->out < g->slot_count);
            if (op->kind == SOTTO_OP_LOAD) {
                assert_true(op->a < g->inputs);
                slot[op->out] = in[op->a];
                continue;
            }
            assert_true(op->a < g->slot_count && slot[op->a] <= 1 && op->b < g->slot_count && slot[op->b] <= 1);
            ands += op->kind == SOTTO_OP_AND;
            evals += op->kind == SOTTO_OP_AND_EVAL;
            slot[op->out] = op->kind == SOTTO_OP_XOR ? slot[op->a] ^ slot[op->b] : (slot[op->a] ^ op->not_a) & (slot[op->b] ^ op->not_b);
        }
        assert_int_equal(ands, g->segments[s].ands);
        assert_int_equal(evals, g->segments[s].evals);
        assert_true(ands + evals <= SOTTO_SEGMENT_ANDS);
    }
    assert_int_equal(next, g->op_count);
    for (uint32_t o = 0; o < g->output_count; o++) {
        assert_true(g->outputs[o].slot < g->slot_count);
        out[o] = (uint8_t)(slot[g->outputs[o].slot] ^ g->outputs[o].inverted);
    }
    free(slot);
}

static void test_random_circuits(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 1);
    for (unsigned n = 0; n < 300; n++) {
        sotto_circuit c;
        sotto_garbling *g;
        random_circuit(&c, 1 + (unsigned)test_below(&rng, 6), (unsigned)test_below(&rng, 6), n, &rng);
        assert_ok(sotto_garbling_new(&g, &c, SOTTO_HALF_GATES));
        for (int i = 0; i < 10; i++) {
            uint8_t in[12], want[8], got[8];
            for (size_t w = 0; w < sizeof in; w++)
                in[w] = (uint8_t)(test_u64(&rng) & 1);
            assert_ok(sotto_circuit_run(&c, want, in));
            run_ops(g, got, in);
            assert_memory_equal(want, got, c.output_count);
        }
        sotto_garbling_free(g);
        sotto_circuit_free(&c);
    }
}

/* A long chain lives on a handful of slots, whatever its length. */
static void test_slots(void **state)
{
    (void)state;
    for (unsigned u = 3; u <= 65; u++) {
        sotto_circuit c;
        sotto_garbling *g;
        assert_ok(sotto_circuit_sign(&c, u));
        assert_ok(sotto_garbling_new(&g, &c, SOTTO_THREE_HALVES));
        assert_true(g->slot_count <= 4);
        assert_true(g->op_count <= c.gate_count + 2 * (u - 1));
        sotto_garbling_free(g);
        sotto_circuit_free(&c);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    sotto_circuit c;
    sotto_garbling *g;
    assert_ok(sotto_circuit_sign(&c, 6));
    assert_status(SOTTO_ERR_ARG, sotto_garbling_new(&g, &c, (sotto_garble_scheme)2));
    assert_null(g);
    for (long k = 0;; k++) {
        sotto_calloc_fail_after(k);
        const int rc = sotto_garbling_new(&g, &c, SOTTO_HALF_GATES);
        sotto_calloc_fail_after(-1);
        if (rc == SOTTO_OK) {
            assert_int_equal(k, 9);
            break;
        }
        assert_int_equal(rc, SOTTO_ERR_MEMORY);
        assert_null(g);
    }
    sotto_garbling_free(g);
    sotto_garbling_free(NULL);
    sotto_circuit_free(&c);
    sotto_circuit_init(&c, 1, 1);
    (void)sotto_gate_and(&c, 0, 5);
    assert_status(SOTTO_ERR_ARG, sotto_garbling_new(&g, &c, SOTTO_HALF_GATES));
    sotto_circuit_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_circuits),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("garble/plan", tests, NULL, NULL);
}
