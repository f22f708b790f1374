/* Files of circuits: samples of every gate, refusals with line and field, round trips, mutated texts, failure of
 * memory and of files. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "garble/bristol.h"
#include "garble/gadgets.h"
#include "garble/library.h"
#include "lib/mem.h"
#include "tests/garble/circuits.h"

static const sotto_circuit empty;
static const sotto_bristol no_shape;

/* A full adder of one bit with all kinds of gates, blank lines, tabs, carriage returns, wires in no order, no last
 * newline. */
static const char rich[] = "12 18\n"
                           "3 1 1 1\n"
                           "2 1 3\r\n"
                           "\n"
                           "4 2 0 0 1 2 4 3 MAND\n" /* 4 = x0 x1, 3 = x0 x2 */
                           "2 1\t1 2 5 AND\n"
                           "2 1 3 4 6 XOR\n"
                           "\r\n"
                           "2 1 6 5 17 XOR\n" /* majority */
                           "1 1 0 7 EQ\n"
                           "1 1 1 8 EQ\n"
                           "1 1 2 9 EQW\n"
                           "2 1 0 1 10 XOR\n"
                           "2 1 10 9 14 XOR\n" /* sum */
                           "2 1 14 8 15 XOR\n" /* not sum, through the constant 1 */
                           "1 1 14 11 INV\n"
                           "6 3 11 7 0 8 0 1 12 13 16 MAND"; /* 16 = x0 x1 once more; nothing reads 12 and 13 */

static uint64_t want_rich(uint64_t in, const void *ctx)
{
    (void)ctx;
    const uint64_t a = in & 1, b = in >> 1 & 1, d = in >> 2 & 1, sum = a ^ b ^ d;
    return sum | (sum ^ 1) << 1 | (a & b) << 2 | (a + b + d) >> 1 << 3;
}

static void test_gates(void **state)
{
    (void)state;
    sotto_circuit c;
    sotto_bristol shape;
    assert_ok(sotto_bristol_parse(&c, &shape, rich, strlen(rich), 2));
    assert_int_equal(c.garbler_inputs, 2);
    assert_int_equal(c.evaluator_inputs, 1);
    assert_int_equal(shape.in.count, 3);
    assert_int_equal(shape.out.count, 2);
    assert_int_equal(shape.out.bits[0], 1);
    assert_int_equal(shape.out.bits[1], 3);
    assert_int_equal(c.and_count, 4); /* 11 & 1 and 7 & 0 are none */
    check_all_inputs(&c, want_rich, NULL);
    sotto_circuit_free(&c);
    for (uint32_t first = 0; first <= 3; first++) {
        assert_ok(sotto_bristol_parse(&c, NULL, rich, strlen(rich), first));
        assert_int_equal(c.garbler_inputs, first);
        sotto_circuit_free(&c);
    }
    assert_status(SOTTO_ERR_MISMATCH, sotto_bristol_parse(&c, &shape, rich, strlen(rich), 4));
    assert_memory_equal(&c, &empty, sizeof c);
    assert_memory_equal(&shape, &no_shape, sizeof shape);
}

/* Each with the beginning of what a person is told. */
static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
        int status;
    } cases[] = {
        {"", "line 1: the file ends; expected the numbers of gates and wires", SOTTO_ERR_FORMAT},
        {"\n\n", "line 3: the file ends", SOTTO_ERR_FORMAT},
        {"x 3\n", "line 1: number of gates: expected a number", SOTTO_ERR_FORMAT},
        {"-1 3\n", "line 1: number of gates: expected a number", SOTTO_ERR_FORMAT},
        {"1\n", "line 1: number of wires: expected a number", SOTTO_ERR_FORMAT},
        {"1 3x\n", "line 1: number of wires: expected a number", SOTTO_ERR_FORMAT},
        {"1 3 1\n", "line 1: more than the numbers of gates and wires on this line", SOTTO_ERR_FORMAT},
        {"1 16777217\n", "line 1: number of wires: more than 16777216", SOTTO_ERR_LIMIT},
        {"99999999999999999999999999 3\n", "line 1: number of gates: more than 16777216", SOTTO_ERR_LIMIT},
        {"1 3\n", "line 2: the file ends; expected the number of input values", SOTTO_ERR_FORMAT},
        {"1 3\n0\n", "line 2: no input values", SOTTO_ERR_FORMAT},
        {"1 3\n257 1\n", "line 2: number of input values: more than 256", SOTTO_ERR_LIMIT},
        {"1 3\n2 1\n", "line 2: bits of input value 2: expected a number", SOTTO_ERR_FORMAT},
        {"1 3\n2 1 0\n", "line 2: bits of input value 2: expected at least 1", SOTTO_ERR_FORMAT},
        {"1 3\n2 16777215 2\n", "line 2: bits of input value 2: more than 1", SOTTO_ERR_LIMIT},
        {"1 3\n2 1 1 1\n", "line 2: more than the bits of these values on this line", SOTTO_ERR_FORMAT},
        {"1 3\n2 1 1\n\n0\n", "line 4: no output values", SOTTO_ERR_FORMAT},
        {"1 3\n1 2\n1 2\n", "line 3: 3 wires; 2 inputs and 2 outputs of gates need more", SOTTO_ERR_FORMAT},
        {"1 1\n1 2\n1 1\n", "line 3: 1 wires; 2 inputs", SOTTO_ERR_FORMAT},
        {"1 16777216\n1 2\n1 1\n2 1 0 1 2 AND\n", "line 3: 1 gates and 16777214 wires from gates do not fit", SOTTO_ERR_FORMAT},
        {"9999999 3\n1 2\n1 1\n2 1 0 1 2 AND\n", "line 3: 9999999 gates", SOTTO_ERR_FORMAT},
        {"2 3\n1 2\n1 1\n2 1 0 1 2 AND\n", "line 5: the file ends before gate 1 of 2", SOTTO_ERR_FORMAT},
        {"1 3\n1 2\n1 1\n2 1 0 1 2 AND\n\n1 1 0 2 INV\n", "line 6: more than 1 gates", SOTTO_ERR_FORMAT},
        {"1 4\n1 2\n1 1\n2 1 0 1 2 AND\n", "line 5: the file ends; no gate makes wire 3", SOTTO_ERR_FORMAT},
        {"1 3\n1 2\n1 1\n2 1 0 1 2 OR\n", "line 4: gate 0: expected XOR, AND, INV, EQ, EQW or MAND", SOTTO_ERR_FORMAT},
        {"1 3\n1 2\n1 1\n2 1 0 1 2 ANDX\n", "line 4: gate 0: expected XOR", SOTTO_ERR_FORMAT},
        {"1 3\n1 2\n1 1\n2 1 0 1 2\n", "line 4: gate 0: expected XOR", SOTTO_ERR_FORMAT},
        {"1 3\n1 2\n1 1\n2 1 0 1 2 AND 3\n", "line 4: more than a gate on this line", SOTTO_ERR_FORMAT},
        {"1 3\n1 2\n1 1\n2 1 0 1\nAND\n", "line 4: wire: expected a number", SOTTO_ERR_FORMAT},
        {"1 3\n1 2\n1 1\n1 1 0 2 AND\n", "line 4: gate 0: AND with 1 inputs and 1 outputs", SOTTO_ERR_FORMAT},
        {"1 3\n1 2\n1 1\n2 0 0 1 AND\n", "line 4: gate 0: AND with 2 inputs and 0 outputs", SOTTO_ERR_FORMAT},
        {"1 4\n1 2\n1 1\n4 2 0 1 0 1 2 3 AND\n", "line 4: gate 0: AND with 4 inputs and 2 outputs", SOTTO_ERR_FORMAT},
        {"1 4\n1 2\n1 1\n3 2 0 1 0 2 3 MAND\n", "line 4: gate 0: MAND with 3 inputs and 2 outputs", SOTTO_ERR_FORMAT},
        {"1 3\n1 2\n1 1\n0 0 MAND xxxx\n", "line 4: more than a gate", SOTTO_ERR_FORMAT},
        {"1 3\n1 2\n1 1\n0 0 MAND    \n", "line 4: gate 0: MAND with 0 inputs and 0 outputs", SOTTO_ERR_FORMAT},
        {"1 3\n1 2\n1 1\n2 1 0 3 2 AND\n", "line 4: input wire: more than 2", SOTTO_ERR_LIMIT},
        {"1 3\n1 2\n1 1\n2 1 0 1 3 AND\n", "line 4: output wire: more than 2", SOTTO_ERR_LIMIT},
        {"1 3\n1 2\n1 1\n2 1 0 1 1 AND\n", "line 4: gate 0 makes wire 1, which is an input", SOTTO_ERR_FORMAT},
        {"1 3\n1 2\n1 1\n2 1 0 2 2 AND\n", "line 4: gate 0 reads wire 2, which no earlier line makes", SOTTO_ERR_FORMAT},
        {"2 4\n1 2\n1 1\n2 1 0 1 2 AND\n1 1 0 2 INV\n", "line 5: gate 1 makes wire 2, which an earlier gate makes", SOTTO_ERR_FORMAT},
        {"1 4\n1 2\n1 1\n4 2 0 2 1 1 2 3 MAND\n", NULL, SOTTO_OK},
        {"1 3\n1 2\n1 1\n1 1 2 2 EQ\n", "line 4: constant of EQ: more than 1", SOTTO_ERR_LIMIT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sotto_circuit c;
        sotto_bristol shape;
        const int rc = sotto_bristol_parse(&c, &shape, cases[i].text, strlen(cases[i].text), 0);
        if (rc != cases[i].status || (rc && strncmp(sotto_error_message(), cases[i].message, strlen(cases[i].message)) != 0))
            fail_msg("case %zu: %s: %s, not %s", i, sotto_status_name(rc), sotto_error_message(), cases[i].message);
        if (rc) {
            assert_memory_equal(&c, &empty, sizeof c);
            assert_memory_equal(&shape, &no_shape, sizeof shape);
        }
        sotto_circuit_free(&c);
    }
}

static void assert_same(const sotto_circuit *a, const sotto_circuit *b)
{
    assert_int_equal(a->garbler_inputs, b->garbler_inputs);
    assert_int_equal(a->evaluator_inputs, b->evaluator_inputs);
    assert_int_equal(a->gate_count, b->gate_count);
    assert_int_equal(a->output_count, b->output_count);
    for (uint32_t g = 0; g < a->gate_count; g++) {
        assert_int_equal(a->gates[g].op == SOTTO_GATE_AND_EVAL ? SOTTO_GATE_AND : a->gates[g].op, b->gates[g].op);
        assert_int_equal(a->gates[g].a, b->gates[g].a);
        assert_int_equal(a->gates[g].b, b->gates[g].b);
    }
    for (uint32_t o = 0; o < a->output_count; o++)
        assert_int_equal(a->outputs[o], b->outputs[o]);
}

/* What is written reads as the same circuit and is written the same again. */
static void check_round_trip(sotto_circuit *c)
{
    sotto_circuit back;
    sotto_bristol shape;
    char *text, *again;
    size_t len, again_len;
    assert_ok(sotto_bristol_print(c, NULL, &text, &len));
    assert_int_equal(strlen(text), len);
    assert_ok(sotto_bristol_parse(&back, &shape, text, len, c->garbler_inputs > 0));
    assert_int_equal(shape.in.count, (c->garbler_inputs > 0) + (c->evaluator_inputs > 0));
    assert_same(c, &back);
    assert_ok(sotto_bristol_print(&back, &shape, &again, &again_len));
    assert_int_equal(len, again_len);
    assert_memory_equal(text, again, len);
    sotto_free(text);
    sotto_free(again);
    sotto_circuit_free(&back);
    sotto_circuit_free(c);
}

static void test_round_trips(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 1);
    sotto_circuit c;
    assert_ok(sotto_circuit_adder(&c, 64));
    check_round_trip(&c);
    assert_ok(sotto_circuit_aes128(&c));
    check_round_trip(&c);
    assert_ok(sotto_circuit_sha256(&c));
    check_round_trip(&c);
    assert_ok(sotto_circuit_sign(&c, 6));
    check_round_trip(&c);
    assert_ok(sotto_circuit_argmax(&c, 10, 20));
    check_round_trip(&c);
    /* Random circuits, with outputs that are inputs, constants and one another. */
    for (int run = 0; run < 300; run++) {
        sotto_circuit_init(&c, (uint32_t)test_below(&rng, 3), 1 + (uint32_t)test_below(&rng, 3));
        for (uint64_t gates = test_below(&rng, 30); gates > 0; gates--) {
            const uint32_t a = (uint32_t)test_below(&rng, sotto_circuit_wires(&c)), b = (uint32_t)test_below(&rng, sotto_circuit_wires(&c));
            const uint64_t op = test_below(&rng, 4);
            (void)(op == 0   ? sotto_gate_xor(&c, a, b)
                   : op == 1 ? sotto_gate_and(&c, a, b)
                   : op == 2 ? sotto_gate_not(&c, a)
                             : sotto_gate_and_eval(&c, a, c.garbler_inputs));
        }
        for (uint64_t outputs = 1 + test_below(&rng, 10); outputs > 0; outputs--) {
            const uint32_t w = (uint32_t)test_below(&rng, sotto_circuit_wires(&c) + 2);
            sotto_circuit_output(&c, w < sotto_circuit_wires(&c) ? w : SOTTO_WIRE_ZERO + (w & 1));
        }
        assert_ok(sotto_circuit_finish(&c));
        check_round_trip(&c);
    }
}

/* A text known by heart: what is written stays what it is. */
static void test_known_text(void **state)
{
    (void)state;
    static const char want[] = "5 9\n2 2 2\n1 4\n\n"
                               "2 1 0 2 5 AND\n2 1 5 1 4 XOR\n1 1 4 7 INV\n"
                               "1 1 5 6 EQW\n1 1 3 8 EQW\n";
    sotto_circuit c;
    char *text;
    size_t len;
    sotto_circuit_init(&c, 2, 2);
    const uint32_t both = sotto_gate_and(&c, 0, 2), odd = sotto_gate_xor(&c, both, 1);
    sotto_circuit_output(&c, both);
    sotto_circuit_output(&c, both);
    sotto_circuit_output(&c, sotto_gate_not(&c, odd));
    sotto_circuit_output(&c, 3);
    assert_ok(sotto_bristol_print(&c, NULL, &text, &len));
    assert_string_equal(text, want);
    sotto_free(text);
    sotto_bristol shape = {.in = {3, {1, 2, 1}}, .out = {2, {1, 3}}};
    assert_ok(sotto_bristol_print(&c, &shape, &text, &len));
    assert_memory_equal(text, "5 9\n3 1 2 1\n2 1 3\n\n2", 20);
    sotto_free(text);
    shape.in = (sotto_bristol_values){4, {1, 2, 1, 0}};
    assert_status(SOTTO_ERR_ARG, sotto_bristol_print(&c, &shape, &text, &len));
    shape.in = (sotto_bristol_values){3, {2, 2, 1}};
    assert_status(SOTTO_ERR_ARG, sotto_bristol_print(&c, &shape, &text, &len));
    assert_null(text);
    shape.in.bits[0] = 1;
    shape.out.count = 0;
    assert_status(SOTTO_ERR_ARG, sotto_bristol_print(&c, &shape, &text, &len));
    shape.out.count = 257;
    assert_status(SOTTO_ERR_ARG, sotto_bristol_print(&c, &shape, &text, &len));
    sotto_circuit_free(&c);
    sotto_circuit_init(&c, 0, 0);
    assert_status(SOTTO_ERR_ARG, sotto_bristol_print(&c, NULL, &text, &len));
    (void)sotto_gate_not(&c, 5);
    assert_status(SOTTO_ERR_ARG, sotto_bristol_print(&c, NULL, &text, &len));
    sotto_circuit_free(&c);
}

/* Texts with words replaced, cut, doubled and swapped: refused with a message, or a circuit that runs. */
static void test_mutated(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 2);
    static const char *const words[] = {"0", "1", "2", "4294967296", "16777216", "AND", "MAND", "EQ", "EQW", "\n", "-", "", "3 ", "INV", "XOR"};
    sotto_circuit c;
    char *text;
    size_t len, accepted = 0;
    assert_ok(sotto_circuit_argmax(&c, 3, 3));
    assert_ok(sotto_bristol_print(&c, NULL, &text, &len));
    sotto_circuit_free(&c);
    for (int run = 0; run < 20000; run++) {
        char *copy = malloc(len + 64);
        size_t n = len;
        assert_non_null(copy);
        memcpy(copy, text, len);
        for (uint64_t edits = 1 + test_below(&rng, 3); edits > 0 && n > 0; edits--) {
            const size_t at = test_below(&rng, n);
            size_t end = at;
            while (end < n && copy[end] != ' ' && copy[end] != '\n')
                end++;
            const char *word = words[test_below(&rng, sizeof words / sizeof *words)];
            if (n - (end - at) + strlen(word) > len + 64)
                break;
            memmove(copy + at + strlen(word), copy + end, n - end);
            memcpy(copy + at, word, strlen(word));
            n = n - (end - at) + strlen(word);
        }
        char *exact = malloc(n + 1); /* a sanitizer sees a read behind the end */
        assert_non_null(exact);
        memcpy(exact, copy, n);
        free(copy);
        copy = realloc(exact, n ? n : 1);
        assert_non_null(copy);
        const int rc = sotto_bristol_parse(&c, NULL, copy, n, 0);
        if (rc) {
            assert_true(rc == SOTTO_ERR_FORMAT || rc == SOTTO_ERR_LIMIT);
            assert_memory_equal(sotto_error_message(), "line ", 5);
            assert_memory_equal(&c, &empty, sizeof c);
        } else {
            uint64_t *in = calloc(sotto_circuit_inputs(&c), sizeof *in), *out = calloc(c.output_count, sizeof *out);
            assert_true(in && out);
            assert_ok(sotto_circuit_run64(&c, out, in));
            free(in);
            free(out);
            accepted++;
        }
        sotto_circuit_free(&c);
        free(copy);
    }
    assert_true(accepted > 20 && accepted < 15000);
    sotto_free(text);
}

static void test_memory(void **state)
{
    (void)state;
    sotto_circuit c, back;
    sotto_bristol shape;
    char *text;
    size_t len;
    assert_ok(sotto_circuit_adder(&c, 20));
    int rc = SOTTO_ERR_MEMORY;
    for (long k = 0; rc; k++) {
        assert_true(k < 10);
        sotto_calloc_fail_after(k);
        rc = sotto_bristol_print(&c, NULL, &text, &len);
        sotto_calloc_fail_after(-1);
        assert_true(rc == SOTTO_OK || (rc == SOTTO_ERR_MEMORY && text == NULL && len == 0));
    }
    rc = SOTTO_ERR_MEMORY;
    for (long k = 0; rc; k++) {
        assert_true(k < 30);
        sotto_calloc_fail_after(k);
        rc = sotto_bristol_parse(&back, &shape, text, len, 1);
        sotto_calloc_fail_after(-1);
        if (rc) {
            assert_int_equal(rc, SOTTO_ERR_MEMORY);
            assert_memory_equal(&back, &empty, sizeof back);
            assert_memory_equal(&shape, &no_shape, sizeof shape);
        }
    }
    sotto_circuit_free(&back);
    sotto_free(text);
    sotto_circuit_free(&c);
}

static void test_files(void **state)
{
    (void)state;
    sotto_circuit c, back;
    char folder[] = "/tmp/sotto-bristol-XXXXXX", path[64], full[] = "/dev/full";
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/adder.txt", folder);
    assert_ok(sotto_circuit_adder(&c, 8));
    assert_status(SOTTO_ERR_IO, sotto_bristol_load(&back, NULL, path, 1));
    assert_memory_equal(&back, &empty, sizeof back);
    assert_memory_equal(sotto_error_message(), path, strlen(path));
    assert_ok(sotto_bristol_save(&c, NULL, path));
    assert_ok(sotto_bristol_load(&back, NULL, path, 1));
    assert_same(&c, &back);
    sotto_circuit_free(&back);
    int rc = SOTTO_ERR_MEMORY;
    for (long k = 0; rc; k++) {
        sotto_calloc_fail_after(k);
        rc = sotto_bristol_load(&back, NULL, path, 1);
        sotto_calloc_fail_after(-1);
        assert_true(rc == SOTTO_OK || rc == SOTTO_ERR_MEMORY);
    }
    sotto_circuit_free(&back);
    FILE *f = fopen(path, "ab");
    assert_non_null(f);
    assert_true(fputs("more\n", f) >= 0 && fclose(f) == 0);
    assert_status(SOTTO_ERR_FORMAT, sotto_bristol_load(&back, NULL, path, 1));
    assert_memory_equal(sotto_error_message(), path, strlen(path));
    assert_status(SOTTO_ERR_IO, sotto_bristol_save(&c, NULL, folder));
    if (access(full, W_OK) == 0)
        assert_status(SOTTO_ERR_IO, sotto_bristol_save(&c, NULL, full));
    assert_true(sotto_bristol_load(&back, NULL, folder, 1) < 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    sotto_circuit_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gates),      cmocka_unit_test(test_refusals), cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_known_text), cmocka_unit_test(test_mutated),  cmocka_unit_test(test_memory),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
