/* The calls without objects: the bytes of garble/garbling.h, the protocol's circuits against plain evaluation, what a wrong label or table does. */
#include <stdlib.h>
#include <string.h>

#include "garble/gadgets.h"
#include "garble/halfgates.h"
#include "lib/ct.h"
#include "lib/mem.h"
#include "tests/garble/instances.h"

/* One AND gate: the output label is the right one for all inputs and all permute bits. */
static void test_gate_exhaustive(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 1);
    sotto_circuit c;
    sotto_circuit_init(&c, 1, 1);
    sotto_circuit_output(&c, sotto_gate_and(&c, 0, 1));
    assert_ok(sotto_circuit_finish(&c));
    for (unsigned bits = 0; bits < 16; bits++)
        for (int i = 0; i < 20; i++) {
            sotto_hash h = salted(&rng);
            sotto_block offset = random_offset(&rng), zero[2], in[2], table[2], out_zero, out;
            for (unsigned w = 0; w < 2; w++) {
                zero[w] = random_block(&rng);
                zero[w].w[0] = (zero[w].w[0] & ~(uint64_t)1) | (bits >> w & 1);
                in[w] = pick(zero[w], offset, bits >> (2 + w) & 1);
            }
            uint64_t first = test_u64(&rng);
            assert_ok(sotto_garble(&c, &h, offset, first, 1, zero, table, &out_zero));
            assert_ok(sotto_evaluate(&c, &h, first, 1, in, table, &out));
            assert_true(same(out, pick(out_zero, offset, (bits >> 2 & 1) & (bits >> 3))));
        }
    sotto_circuit_free(&c);
}

static void check_circuit(const sotto_circuit *c, size_t count, const sotto_rng *rng)
{
    instances s;
    instances_new(&s, c, SOTTO_HALF_GATES, 1000, count, rng);
    sotto_block *tables = calloc(sotto_garble_table_blocks(c, count) + 1, sizeof *tables);
    assert_non_null(tables);
    assert_ok(sotto_garble(c, &s.job.hash, s.offset, 1000, count, s.zero, tables, s.out_zero));
    assert_ok(sotto_evaluate(c, &s.job.hash, 1000, count, s.in, tables, s.out));
    instances_check(&s);
    free(tables);
    instances_free(&s);
}

static void test_circuits(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 2);
    static const size_t counts[] = {0, 1, 2, 63, 64, 65, 200};
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
        sotto_circuit c;
        assert_ok(sotto_circuit_sign(&c, 6));
        check_circuit(&c, counts[n], &rng);
        sotto_circuit_free(&c);
        assert_ok(sotto_circuit_argmax(&c, 10, 20));
        check_circuit(&c, counts[n], &rng);
        sotto_circuit_free(&c);
    }
}

/* The same bytes as garble/garbling.h gives. */
static void test_same_as_garbling(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 3);
    sotto_circuit c;
    sotto_garbling *g;
    assert_ok(sotto_circuit_sign(&c, 4));
    assert_ok(sotto_garbling_new(&g, &c, SOTTO_HALF_GATES));
    sotto_hash h = salted(&rng);
    sotto_block offset = random_offset(&rng), zero[6 * 8], table[2][6 * 8], out[2][8];
    for (size_t i = 0; i < 6 * 8; i++)
        zero[i] = random_block(&rng);
    const sotto_garble_job job = {g, h, 75, 8};
    assert_int_equal(sotto_garble_table_blocks(&c, 8) * sizeof(sotto_block), sotto_garble_bytes(&job));
    assert_ok(sotto_garble(&c, &h, offset, 75, 8, zero, table[0], out[0]));
    assert_ok(sotto_garble_tables(&job, offset, zero, (uint8_t *)table[1], out[1]));
    assert_memory_equal(table[0], table[1], sizeof table[0]);
    assert_memory_equal(out[0], out[1], sizeof out[0]);
    sotto_garbling_free(g);
    sotto_circuit_free(&c);
}

/* A flipped table bit or label bit changes some output label and crashes nothing; each half of the table matters to some input. */
static void test_tampering(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 4);
    sotto_circuit c;
    assert_ok(sotto_circuit_sign(&c, 3));
    size_t hit[4] = {0};
    for (int run = 0; run < 200; run++) {
        sotto_hash h = salted(&rng);
        sotto_block offset = random_offset(&rng), zero[4], in[4], table[4], out_zero, out, bad;
        for (int w = 0; w < 4; w++) {
            zero[w] = random_block(&rng);
            in[w] = pick(zero[w], offset, (unsigned)test_u64(&rng) & 1);
        }
        assert_ok(sotto_garble(&c, &h, offset, 0, 1, zero, table, &out_zero));
        assert_ok(sotto_evaluate(&c, &h, 0, 1, in, table, &out));
        for (int t = 0; t < 4; t++) {
            table[t].w[1] ^= 1;
            assert_ok(sotto_evaluate(&c, &h, 0, 1, in, table, &bad));
            hit[t] += !same(out, bad);
            table[t].w[1] ^= 1;
        }
        in[run % 4].w[0] ^= 2;
        assert_ok(sotto_evaluate(&c, &h, 0, 1, in, table, &bad));
        assert_false(same(out, bad));
    }
    for (int t = 0; t < 4; t++) /* read when a permute bit is 1: half of the runs */
        assert_true(hit[t] > 50 && hit[t] < 200);
    sotto_circuit_free(&c);
}

static void test_refusals(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 6);
    sotto_circuit c;
    assert_ok(sotto_circuit_sign(&c, 2));
    sotto_hash h = salted(&rng);
    sotto_block zero[2] = {random_block(&rng), random_block(&rng)}, table[2], out, offset = random_offset(&rng);
    offset.w[0] ^= 1;
    assert_status(SOTTO_ERR_ARG, sotto_garble(&c, &h, offset, 0, 1, zero, table, &out));
    offset.w[0] ^= 1;
    h.domain = SOTTO_DOMAIN_OT;
    assert_status(SOTTO_ERR_ARG, sotto_garble(&c, &h, offset, 0, 1, zero, table, &out));
    assert_status(SOTTO_ERR_ARG, sotto_evaluate(&c, &h, 0, 1, zero, table, &out));
    h.domain = SOTTO_DOMAIN_GARBLE;
    assert_int_equal(sotto_garble_table_blocks(&c, SIZE_MAX / 2), SIZE_MAX);
    for (long k = 0;; k++) {
        sotto_calloc_fail_after(k);
        int rc = sotto_garble(&c, &h, offset, 0, 1, zero, table, &out);
        sotto_calloc_fail_after(-1);
        if (rc == SOTTO_OK) {
            assert_true(k > 8);
            break;
        }
        assert_int_equal(rc, SOTTO_ERR_MEMORY);
    }
    sotto_circuit_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate_exhaustive), cmocka_unit_test(test_circuits),       cmocka_unit_test(test_same_as_garbling),
        cmocka_unit_test(test_tampering),        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
