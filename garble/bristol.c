#include "garble/bristol.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/mem.h"

/* ---- reading ------------------------------------------------------------------------------------------------------ */

/* A place in the text; it never moves past the end of its line by itself. */
typedef struct cursor {
    const char *at, *end;
    size_t line; /* from 1 */
} cursor;

static int wrong(const cursor *p, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int wrong(const cursor *p, int status, const char *format, ...)
{
    char message[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return sotto_fail(status, "line %zu: %s", p->line, message);
}

static void skip_blanks(cursor *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\r'))
        p->at++;
}

static int line_ended(cursor *p)
{
    skip_blanks(p);
    return p->at == p->end || *p->at == '\n';
}

/* To the first word of the next line that has any, the current one included; 0 at the end of the text. */
static int find_line(cursor *p)
{
    while (line_ended(p)) {
        if (p->at == p->end)
            return 0;
        p->at++;
        p->line++;
    }
    return 1;
}

/* A decimal number up to `most`. */
static int number(cursor *p, const char *what, uint32_t most, uint32_t *out)
{
    uint64_t v = 0;
    skip_blanks(p);
    const char *start = p->at;
    for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++) {
        v = v * 10 + (uint64_t)(*p->at - '0');
        if (v > most)
            return wrong(p, SOTTO_ERR_LIMIT, "%s: more than %u", what, most);
    }
    if (p->at == start || !(p->at == p->end || *p->at == ' ' || *p->at == '\t' || *p->at == '\r' || *p->at == '\n'))
        return wrong(p, SOTTO_ERR_FORMAT, "%s: expected a number", what);
    *out = (uint32_t)v;
    return SOTTO_OK;
}

static int end_of_line(cursor *p, const char *what)
{
    return line_ended(p) ? SOTTO_OK : wrong(p, SOTTO_ERR_FORMAT, "more than %s on this line", what);
}

/* A line with a count of values and the bits of each; *total is their sum. */
static int read_values(cursor *p, const char *what, sotto_bristol_values *values, uint32_t *total)
{
    char field[64];
    *total = 0;
    if (!find_line(p))
        return wrong(p, SOTTO_ERR_FORMAT, "the file ends; expected the number of %s values and the bits of each", what);
    (void)snprintf(field, sizeof field, "number of %s values", what);
    int rc = number(p, field, SOTTO_BRISTOL_VALUES_MAX, &values->count);
    if (!rc && values->count == 0)
        rc = wrong(p, SOTTO_ERR_FORMAT, "no %s values; expected at least one", what);
    for (uint32_t i = 0; !rc && i < values->count; i++) {
        (void)snprintf(field, sizeof field, "bits of %s value %u", what, i + 1);
        rc = number(p, field, SOTTO_CIRCUIT_WIRES_MAX - *total, &values->bits[i]);
        if (!rc && values->bits[i] == 0)
            rc = wrong(p, SOTTO_ERR_FORMAT, "%s: expected at least 1", field);
        *total += rc ? 0 : values->bits[i];
    }
    return rc ? rc : end_of_line(p, "the bits of these values");
}

typedef struct reader {
    cursor at;
    sotto_circuit *c;
    uint32_t gates, wires, inputs, outputs; /* of the file */
    uint32_t gate;                          /* number of the line's gate, from 0 */
    uint32_t *wire;                         /* [wires - inputs]: wire of the circuit, or a constant, or NONE */
} reader;

#define NONE 0xfffffffdu

static int read_header(reader *r, sotto_bristol *shape)
{
    cursor *p = &r->at;
    if (!find_line(p))
        return wrong(p, SOTTO_ERR_FORMAT, "the file ends; expected the numbers of gates and wires");
    int rc = number(p, "number of gates", SOTTO_CIRCUIT_WIRES_MAX, &r->gates);
    if (!rc)
        rc = number(p, "number of wires", SOTTO_CIRCUIT_WIRES_MAX, &r->wires);
    if (!rc)
        rc = end_of_line(p, "the numbers of gates and wires");
    if (!rc)
        rc = read_values(p, "input", &shape->in, &r->inputs);
    if (!rc)
        rc = read_values(p, "output", &shape->out, &r->outputs);
    if (rc)
        return rc;
    if (r->wires < r->inputs || r->wires - r->inputs < r->outputs)
        return wrong(p, SOTTO_ERR_FORMAT, "%u wires; %u inputs and %u outputs of gates need more", r->wires, r->inputs, r->outputs);
    /* Every gate and every wire that a gate makes takes at least two bytes further on. */
    const size_t left = (size_t)(p->end - p->at);
    if (r->wires - r->inputs > left / 2 || r->gates > left / 2)
        return wrong(p, SOTTO_ERR_FORMAT, "%u gates and %u wires from gates do not fit into the %zu bytes that follow", r->gates,
                     r->wires - r->inputs, left);
    return SOTTO_OK;
}

/* The circuit's wire for one that the gate reads. */
static int read_wire(reader *r, cursor *p, uint32_t *out)
{
    uint32_t w;
    const int rc = number(p, "input wire", r->wires - 1, &w);
    if (rc)
        return rc;
    *out = w < r->inputs ? w : r->wire[w - r->inputs];
    if (*out == NONE)
        return wrong(p, SOTTO_ERR_FORMAT, "gate %u reads wire %u, which no earlier line makes", r->gate, w);
    return SOTTO_OK;
}

static int write_wire(reader *r, cursor *p, uint32_t value)
{
    uint32_t w;
    const int rc = number(p, "output wire", r->wires - 1, &w);
    if (rc)
        return rc;
    if (w < r->inputs)
        return wrong(p, SOTTO_ERR_FORMAT, "gate %u makes wire %u, which is an input", r->gate, w);
    if (r->wire[w - r->inputs] != NONE)
        return wrong(p, SOTTO_ERR_FORMAT, "gate %u makes wire %u, which an earlier gate makes", r->gate, w);
    r->wire[w - r->inputs] = value;
    return sotto_circuit_finish(r->c);
}

typedef enum gate_kind { XOR, AND, INV, EQ, EQW, MAND, KINDS } gate_kind;

static const struct {
    const char *name;
    uint32_t inputs; /* for each output */
} kinds[KINDS] = {[XOR] = {"XOR", 2}, [AND] = {"AND", 2}, [INV] = {"INV", 1}, [EQ] = {"EQ", 1}, [EQW] = {"EQW", 1}, [MAND] = {"MAND", 2}};

static int read_kind(reader *r, cursor *p, gate_kind *kind)
{
    skip_blanks(p);
    const char *start = p->at;
    while (p->at < p->end && *p->at >= 'A' && *p->at <= 'Z')
        p->at++;
    const size_t len = (size_t)(p->at - start);
    for (*kind = XOR; *kind < KINDS; (*kind)++)
        if (strlen(kinds[*kind].name) == len && memcmp(kinds[*kind].name, start, len) == 0)
            return end_of_line(p, "a gate");
    return wrong(p, SOTTO_ERR_FORMAT, "gate %u: expected XOR, AND, INV, EQ, EQW or MAND behind its wires", r->gate);
}

static int skip_numbers(cursor *p, uint32_t count)
{
    uint32_t any;
    int rc = SOTTO_OK;
    for (uint32_t i = 0; !rc && i < count; i++)
        rc = number(p, "wire", UINT32_MAX, &any);
    return rc;
}

/* One output from the factors at *a and *b. */
static int read_output(reader *r, gate_kind kind, cursor *a, cursor *b, cursor *out)
{
    uint32_t x = 0, y = 0;
    int rc = kind == EQ ? number(a, "constant of EQ", 1, &x) : read_wire(r, a, &x);
    if (!rc && kinds[kind].inputs == 2)
        rc = read_wire(r, b, &y);
    if (rc)
        return rc;
    switch (kind) {
    case XOR:
        x = sotto_gate_xor(r->c, x, y);
        break;
    case AND:
    case MAND:
        x = sotto_gate_and(r->c, x, y);
        break;
    case INV:
        x = sotto_gate_not(r->c, x);
        break;
    case EQ:
        x = SOTTO_WIRE_ZERO + x;
        break;
    case EQW:
    case KINDS:
        break;
    }
    return write_wire(r, out, x);
}

/* The gate's name stands last: one pass to it, then the wires from three places at once. */
static int read_gate(reader *r)
{
    cursor *p = &r->at;
    uint32_t inputs = 0, outputs = 0;
    gate_kind kind = XOR;
    if (!find_line(p))
        return wrong(p, SOTTO_ERR_FORMAT, "the file ends before gate %u of %u", r->gate, r->gates);
    int rc = number(p, "number of inputs of the gate", 2 * SOTTO_CIRCUIT_WIRES_MAX, &inputs);
    if (!rc)
        rc = number(p, "number of outputs of the gate", SOTTO_CIRCUIT_WIRES_MAX, &outputs);
    cursor a = *p;
    if (!rc)
        rc = skip_numbers(p, inputs);
    cursor out = *p;
    if (!rc)
        rc = skip_numbers(p, outputs);
    if (!rc)
        rc = read_kind(r, p, &kind);
    if (rc)
        return rc;
    if (outputs < 1 || (outputs > 1 && kind != MAND) || inputs != kinds[kind].inputs * outputs)
        return wrong(p, SOTTO_ERR_FORMAT, "gate %u: %s with %u inputs and %u outputs", r->gate, kinds[kind].name, inputs, outputs);
    cursor b = a;
    rc = skip_numbers(&b, kinds[kind].inputs == 2 ? outputs : 0);
    for (uint32_t i = 0; !rc && i < outputs; i++)
        rc = read_output(r, kind, &a, &b, &out);
    return rc;
}

static int read_gates(reader *r)
{
    int rc = SOTTO_OK;
    for (r->gate = 0; !rc && r->gate < r->gates; r->gate++)
        rc = read_gate(r);
    if (rc)
        return rc;
    if (find_line(&r->at))
        return wrong(&r->at, SOTTO_ERR_FORMAT, "more than %u gates", r->gates);
    for (uint32_t w = 0; w < r->wires - r->inputs; w++)
        if (r->wire[w] == NONE)
            return wrong(&r->at, SOTTO_ERR_FORMAT, "the file ends; no gate makes wire %u", r->inputs + w);
    for (uint32_t o = 0; o < r->outputs; o++)
        sotto_circuit_output(r->c, r->wire[r->wires - r->inputs - r->outputs + o]);
    return sotto_circuit_finish(r->c);
}

int sotto_bristol_parse(sotto_circuit *c, sotto_bristol *shape, const char *text, size_t len, uint32_t garbler_values)
{
    sotto_bristol here;
    if (!shape)
        shape = &here;
    memset(shape, 0, sizeof *shape);
    sotto_circuit_init(c, 0, 0);
    reader r = {.at = {text, text + len, 1}, .c = c};
    int rc = read_header(&r, shape);
    if (!rc && garbler_values > shape->in.count)
        rc = sotto_fail(SOTTO_ERR_MISMATCH, "the circuit has %u input values, not %u for the garbler alone", shape->in.count,
                        garbler_values);
    if (!rc) {
        uint32_t first = 0;
        for (uint32_t i = 0; i < garbler_values; i++)
            first += shape->in.bits[i];
        sotto_circuit_init(c, first, r.inputs - first);
        const uint32_t made = r.wires - r.inputs;
        r.wire = sotto_calloc(made, sizeof *r.wire);
        for (uint32_t i = 0; r.wire && i < made; i++)
            r.wire[i] = NONE;
        rc = r.wire ? read_gates(&r) : sotto_fail(SOTTO_ERR_MEMORY, "out of memory for %u wires of a circuit", made);
    }
    sotto_free(r.wire);
    if (rc) {
        sotto_circuit_free(c);
        memset(shape, 0, sizeof *shape);
    }
    return rc;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static int adds_up(const sotto_bristol_values *values, uint32_t bits)
{
    uint64_t sum = 0;
    if (values->count < 1 || values->count > SOTTO_BRISTOL_VALUES_MAX)
        return 0;
    for (uint32_t i = 0; i < values->count; i++) {
        if (values->bits[i] == 0)
            return 0;
        sum += values->bits[i];
    }
    return sum == bits;
}

static void append_value(sotto_bristol_values *values, uint32_t bits)
{
    if (bits > 0)
        values->bits[values->count++] = bits;
}

/* The file's numbers of the circuit's wires: inputs, gates that are no outputs, outputs. An output that cannot have
 * a number of its own, an input or one that is an output already, is copied by an EQW at the end. */
typedef struct numbering {
    uint32_t inputs, wires, copies;
    uint32_t *of_gate; /* [gate_count]; 0, an input's number, before it is set */
    uint8_t *copied;   /* [output_count] */
} numbering;

static uint32_t numbered(const numbering *n, uint32_t wire)
{
    return wire < n->inputs ? wire : n->of_gate[wire - n->inputs];
}

static void number_wires(numbering *n, const sotto_circuit *c)
{
    for (uint32_t o = 0; o < c->output_count; o++) {
        uint32_t *own = c->outputs[o] < n->inputs ? NULL : &n->of_gate[c->outputs[o] - n->inputs];
        n->copied[o] = own == NULL || *own != 0;
        n->copies += n->copied[o];
        if (!n->copied[o])
            *own = 1; /* taken */
    }
    n->wires = sotto_circuit_wires(c) + n->copies;
    for (uint32_t o = 0; o < c->output_count; o++)
        if (!n->copied[o])
            n->of_gate[c->outputs[o] - n->inputs] = n->wires - c->output_count + o;
    for (uint32_t g = 0, next = n->inputs; g < c->gate_count; g++)
        if (n->of_gate[g] == 0)
            n->of_gate[g] = next++;
}

typedef struct writer {
    char *text;
    size_t len, cap;
} writer;

static void put(writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(writer *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(w->text + w->len, w->cap - w->len, format, args);
    va_end(args);
    w->len += (size_t)n; /* the buffer is as large as the longest text */
}

static void put_values(writer *w, const sotto_bristol_values *values)
{
    put(w, "%u", values->count);
    for (uint32_t i = 0; i < values->count; i++)
        put(w, " %u", values->bits[i]);
    put(w, "\n");
}

static void put_circuit(writer *w, const sotto_circuit *c, const sotto_bristol *shape, const numbering *n)
{
    put(w, "%u %u\n", c->gate_count + n->copies, n->wires);
    put_values(w, &shape->in);
    put_values(w, &shape->out);
    put(w, "\n");
    for (uint32_t g = 0; g < c->gate_count; g++) {
        const sotto_gate *gate = &c->gates[g];
        const uint32_t a = numbered(n, gate->a), b = numbered(n, gate->b);
        if (gate->op == SOTTO_GATE_NOT)
            put(w, "1 1 %u %u INV\n", a, n->of_gate[g]);
        else
            put(w, "2 1 %u %u %u %s\n", a, b, n->of_gate[g], gate->op == SOTTO_GATE_XOR ? "XOR" : "AND");
    }
    for (uint32_t o = 0; o < c->output_count; o++)
        if (n->copied[o])
            put(w, "1 1 %u %u EQW\n", numbered(n, c->outputs[o]), n->wires - c->output_count + o);
}

/* Bytes of the longest line of a gate: "2 1 ", three wires of up to eight digits and a space each, "AND\n". */
#define LINE_MAX_BYTES (4 + 3 * 9 + 4)
#define HEADER_MAX_BYTES (32 + 2 * 12 * (size_t)(SOTTO_BRISTOL_VALUES_MAX + 1))

int sotto_bristol_print(const sotto_circuit *c, const sotto_bristol *shape, char **text, size_t *len)
{
    sotto_bristol own = {{0}, {0}};
    int rc = sotto_circuit_finish(c);
    *text = NULL;
    *len = 0;
    if (rc)
        return rc;
    append_value(&own.in, c->garbler_inputs);
    append_value(&own.in, c->evaluator_inputs);
    append_value(&own.out, c->output_count);
    if (!shape)
        shape = &own;
    if (!adds_up(&shape->in, sotto_circuit_inputs(c)) || !adds_up(&shape->out, c->output_count))
        return sotto_fail(SOTTO_ERR_ARG, "%u inputs, %u outputs: the bits of 1 to %u values on each side must add up to these",
                          sotto_circuit_inputs(c), c->output_count, SOTTO_BRISTOL_VALUES_MAX);
    writer w = {0};
    numbering n = {.inputs = sotto_circuit_inputs(c)};
    n.of_gate = sotto_calloc(c->gate_count, sizeof *n.of_gate);
    n.copied = sotto_calloc(c->output_count, 1);
    if (!n.of_gate || !n.copied) {
        rc = sotto_fail(SOTTO_ERR_MEMORY, "out of memory for the text of a circuit");
        goto end;
    }
    number_wires(&n, c);
    if (n.wires > SOTTO_CIRCUIT_WIRES_MAX) {
        rc = sotto_fail(SOTTO_ERR_LIMIT, "%u wires with the copies of outputs; a file has at most %u", n.wires,
                        SOTTO_CIRCUIT_WIRES_MAX);
        goto end;
    }
    w.cap = HEADER_MAX_BYTES + LINE_MAX_BYTES * ((size_t)c->gate_count + n.copies) + 1;
    w.text = sotto_calloc(w.cap, 1);
    if (!w.text) {
        rc = sotto_fail(SOTTO_ERR_MEMORY, "out of memory for the text of a circuit");
        goto end;
    }
    put_circuit(&w, c, shape, &n);
    *text = w.text;
    *len = w.len;
end:
    sotto_free(n.of_gate);
    sotto_free(n.copied);
    return rc;
}

/* ---- files -------------------------------------------------------------------------------------------------------- */

int sotto_bristol_load(sotto_circuit *c, sotto_bristol *shape, const char *path, uint32_t garbler_values)
{
    char *text = NULL;
    long size = -1;
    int rc = SOTTO_OK;
    sotto_circuit_init(c, 0, 0);
    if (shape)
        memset(shape, 0, sizeof *shape);
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET)) {
        rc = sotto_fail(SOTTO_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
        goto end;
    }
    if ((size_t)size > SOTTO_BRISTOL_FILE_MAX) {
        rc = sotto_fail(SOTTO_ERR_LIMIT, "%s: %ld bytes; a file of a circuit has at most %zu", path, size, SOTTO_BRISTOL_FILE_MAX);
        goto end;
    }
    text = sotto_calloc((size_t)size, 1);
    if (!text) {
        rc = sotto_fail(SOTTO_ERR_MEMORY, "%s: out of memory for %ld bytes", path, size);
        goto end;
    }
    if (fread(text, 1, (size_t)size, f) != (size_t)size) {
        rc = sotto_fail(SOTTO_ERR_IO, "%s: cannot be read", path);
        goto end;
    }
    rc = sotto_bristol_parse(c, shape, text, (size_t)size, garbler_values);
    if (rc)
        rc = sotto_fail_context(rc, "%s", path);
end:
    if (f)
        (void)fclose(f);
    sotto_free(text);
    return rc;
}

int sotto_bristol_save(const sotto_circuit *c, const sotto_bristol *shape, const char *path)
{
    char *text;
    size_t len;
    int rc = sotto_bristol_print(c, shape, &text, &len);
    if (rc)
        return rc;
    FILE *f = fopen(path, "wb");
    int written = f && fwrite(text, 1, len, f) == len;
    if (f && fclose(f))
        written = 0;
    if (!written)
        rc = sotto_fail(SOTTO_ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
    sotto_free(text);
    return rc;
}
