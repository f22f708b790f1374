/* The decoder of circuits. */
#include <string.h>

#include "garble/bristol.h"
#include "garble/gadgets.h"
#include "garble/library.h"
#include "lib/mem.h"
#include "tests/fuzz/targets.h"

/* What is accepted runs, reads nothing that is not there, and is written to a text that reads as the same circuit
 * and is written the same again. */
static int run_bristol(const uint8_t *data, size_t len)
{
    static const sotto_circuit empty;
    static const sotto_bristol no_shape;
    sotto_circuit c, back;
    sotto_bristol shape, shape_back;
    char *text, *again;
    size_t text_len, again_len;
    const int status = sotto_bristol_parse(&c, &shape, (const char *)data, len, 1);
    if (status != SOTTO_OK) {
        require(status == SOTTO_ERR_FORMAT || status == SOTTO_ERR_LIMIT);
        require(memcmp(&c, &empty, sizeof c) == 0 && memcmp(&shape, &no_shape, sizeof shape) == 0);
        return 0;
    }
    const uint32_t inputs = sotto_circuit_inputs(&c);
    require(c.garbler_inputs == shape.in.bits[0]);
    for (uint32_t g = 0; g < c.gate_count; g++) {
        require(c.gates[g].a < inputs + g && c.gates[g].b < inputs + g);
    }
    if (sotto_circuit_wires(&c) > 1u << 20) { /* a few bytes can name millions of inputs */
        sotto_circuit_free(&c);
        return 1;
    }
    uint64_t *in = sotto_calloc(inputs, sizeof *in), *out = sotto_calloc(c.output_count, sizeof *out);
    require(in != NULL && out != NULL);
    require(sotto_circuit_run64(&c, out, in) == SOTTO_OK);
    require(sotto_bristol_print(&c, &shape, &text, &text_len) == SOTTO_OK);
    require(sotto_bristol_parse(&back, &shape_back, text, text_len, 1) == SOTTO_OK);
    require(memcmp(&shape, &shape_back, sizeof shape) == 0);
    require(back.gate_count == c.gate_count && back.and_count == c.and_count && back.output_count == c.output_count);
    require(sotto_bristol_print(&back, &shape_back, &again, &again_len) == SOTTO_OK);
    require(text_len == again_len && memcmp(text, again, text_len) == 0);
    sotto_free(in);
    sotto_free(out);
    sotto_free(text);
    sotto_free(again);
    sotto_circuit_free(&c);
    sotto_circuit_free(&back);
    return 1;
}

static size_t seed_bristol(unsigned i, uint8_t *out)
{
    static const char every_gate[] = "6 10\n2 1 2\n2 1 2\n\n4 2 0 1 1 2 3 4 MAND\n1 1 1 5 EQ\n1 1 2 6 EQW\n2 1 5 3 7 XOR\n2 1 6 4 8 AND\n1 1 8 9 INV\n";
    sotto_circuit c;
    char *text;
    size_t len;
    if (i == 0) {
        memcpy(out, every_gate, sizeof every_gate - 1);
        return sizeof every_gate - 1;
    }
    if (i > 3) {
        return 0;
    }
    require((i == 1   ? sotto_circuit_adder(&c, 64)
             : i == 2 ? sotto_circuit_argmax(&c, 4, 5)
                      : sotto_circuit_relu(&c, 8)) == SOTTO_OK);
    require(sotto_bristol_print(&c, NULL, &text, &len) == SOTTO_OK && len <= FUZZ_SEED_MAX);
    memcpy(out, text, len);
    sotto_free(text);
    sotto_circuit_free(&c);
    return len;
}

const fuzz_target fuzz_bristol = {"bristol", NULL, run_bristol, seed_bristol, 0};
