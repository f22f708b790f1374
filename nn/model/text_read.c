#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/model/text_internal.h"

#define LINE_MAX_BYTES 1024
#define COUNT(a) (sizeof(a) / sizeof *(a))

typedef struct line {
    unsigned number;
    char text[LINE_MAX_BYTES];
    char *words[32];
    size_t count;
} line;

static int wrong(const line *at, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int wrong(const line *at, const char *format, ...)
{
    char message[384];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return sotto_fail(SOTTO_ERR_FORMAT, "line %u: %s", at->number, message);
}

static void list_keys(text_fields keys, sotto_op op, char *out, size_t cap)
{
    size_t pos = 0;
    out[0] = '\0';
    for (size_t i = 0; i < keys.count; i++) {
        if (keys.of[i].ops & (1u << op)) {
            const int n = snprintf(out + pos, cap - pos, "%s%s=", pos > 0 ? ", " : "", keys.of[i].name);
            pos += n > 0 && (size_t)n < cap - pos ? (size_t)n : 0;
        }
    }
}

/* Words first, first + 1, ... are key=value. */
static int read_keys(const line *at, text_fields keys, sotto_node *node, size_t first)
{
    unsigned seen = 0;
    for (size_t w = first; w < at->count; w++) {
        char *value = strchr(at->words[w], '=');
        if (value == NULL) {
            return wrong(at, "'%.40s' is not key=value", at->words[w]);
        }
        *value++ = '\0';
        size_t i = 0;
        while (i < keys.count && (strcmp(keys.of[i].name, at->words[w]) != 0 || !(keys.of[i].ops & (1u << node->op)))) {
            i++;
        }
        if (i == keys.count) {
            char allowed[200];
            list_keys(keys, node->op, allowed, sizeof allowed);
            return wrong(at, "%s has no key '%.40s'; allowed: %s", sotto_op_name(node->op), at->words[w],
                         allowed[0] != '\0' ? allowed : "none");
        }
        if (seen & (1u << i)) {
            return wrong(at, "key %s= is given twice", keys.of[i].name);
        }
        seen |= 1u << i;
        if (!keys.of[i].kind->read(&keys.of[i], node, value)) {
            return wrong(at, "%s=%.40s; expected %s", keys.of[i].name, value, keys.of[i].expected);
        }
    }
    for (size_t i = 0; i < keys.count; i++) {
        if ((keys.of[i].required & (1u << node->op)) && !(seen & (1u << i))) {
            return wrong(at, "%s needs %s=; expected %s", sotto_op_name(node->op), keys.of[i].name, keys.of[i].expected);
        }
    }
    return SOTTO_OK;
}

static int copy_name(const line *at, char out[SOTTO_NAME_MAX], const char *name)
{
    if (strlen(name) >= SOTTO_NAME_MAX) {
        return wrong(at, "name '%.40s' is longer than %d characters", name, SOTTO_NAME_MAX - 1);
    }
    memset(out, 0, SOTTO_NAME_MAX);
    memcpy(out, name, strlen(name));
    return SOTTO_OK;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_hex(const char *s, uint8_t *out, size_t len)
{
    if (strlen(s) != 2 * len) {
        return 0;
    }
    for (size_t i = 0; i < 2 * len; i++) {
        const int v = hex_digit(s[i]);
        if (v < 0) {
            return 0;
        }
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | v);
    }
    return 1;
}

/* Comma-separated figures, one per channel. */
static int channel_figures(const char *s, float *out, uint32_t channels)
{
    for (uint32_t c = 0; c < channels; c++) {
        double v;
        if (!sotto_text_real(s, ',', &s, &v) || (*s == ',') != (c + 1 < channels)) {
            return 0;
        }
        out[c] = (float)v;
        s++;
    }
    return 1;
}

static int read_input(sotto_model *m, const line *at)
{
    sotto_node node = {.name = "input", .op = SOTTO_OP_INPUT};
    uint32_t index;
    const char *rest;
    if (m->node_count > 0) {
        return wrong(at, "a second input");
    }
    sotto_shape *s = &node.shape;
    if (at->count < 2 || !sotto_text_number(at->words[1], 1, SOTTO_INPUT_CHANNELS_MAX, &rest, &s->c) || *rest != 'x' ||
        !sotto_text_number(rest + 1, 1, SOTTO_DIM_MAX, &rest, &s->h) || *rest != 'x' || !sotto_text_number(rest + 1, 1, SOTTO_DIM_MAX, &rest, &s->w) ||
        *rest != '\0') {
        return wrong(at, "input; expected CxHxW with 1 to %d channels", SOTTO_INPUT_CHANNELS_MAX);
    }
    int seen[2] = {0, 0};
    for (size_t w = 2; w < at->count; w++) {
        const char *word = at->words[w];
        const int is_std = strncmp(word, "std=", 4) == 0;
        if ((!is_std && strncmp(word, "mean=", 5) != 0) ||
            !channel_figures(strchr(word, '=') + 1, is_std ? m->std : m->mean, s->c)) {
            return wrong(at, "'%.40s'; input takes mean= and std=, one figure per channel", word);
        }
        if (seen[is_std]++) {
            return wrong(at, "key %s= is given twice", is_std ? "std" : "mean");
        }
    }
    return sotto_model_append(m, &node, &index);
}

/* Shapes were inferred for a units, mask or windows line; that needs the whole graph. */
static int nodes_closed(const sotto_model *m)
{
    return m->node_count > 1 && m->nodes[m->node_count - 1].shape.c != 0;
}

static int read_node(sotto_model *m, const line *at, sotto_op op)
{
    sotto_node node = {.op = op, .groups = 1};
    uint32_t index;
    const unsigned inputs = sotto_op_inputs(op);
    if (nodes_closed(m)) {
        return wrong(at, "'%s' after a units, mask or windows line; expected all nodes before them", at->words[0]);
    }
    if (m->node_count == 0) {
        return wrong(at, "'%s' before the input line", at->words[0]);
    }
    if (at->count < 2 + inputs) {
        return wrong(at, "%s needs a name and %u input%s", at->words[0], inputs, inputs == 1 ? "" : "s");
    }
    int status = copy_name(at, node.name, at->words[1]);
    if (status != SOTTO_OK) {
        return status;
    }
    if (sotto_model_find(m, node.name) != SIZE_MAX) {
        return wrong(at, "name %s is taken by an earlier node", node.name);
    }
    for (unsigned k = 0; k < inputs; k++) {
        const size_t from = sotto_model_find(m, at->words[2 + k]);
        if (from == SIZE_MAX) {
            return wrong(at, "node %s reads '%.40s', which no earlier line defines", node.name, at->words[2 + k]);
        }
        node.input[k] = (uint32_t)from;
    }
    status = read_keys(at, sotto_text_node_fields, &node, 2 + inputs);
    if (status != SOTTO_OK) {
        return status;
    }
    if (sotto_op_has_window(op) && node.stride_h == 0) {
        node.stride_h = op == SOTTO_OP_CONV ? 1 : node.kernel_h;
        node.stride_w = op == SOTTO_OP_CONV ? 1 : node.kernel_w;
    }
    return sotto_model_append(m, &node, &index);
}

#define OP_BIT(op) (1u << (op))

/* The node, of one of `ops`, that a units, mask or windows line is about, and where on it the line begins. What the nodes of a file are is known by then. */
static int find_node(sotto_model *m, const line *at, unsigned ops, sotto_node **node, uint32_t *first)
{
    const size_t i = at->count == 4 ? sotto_model_find(m, at->words[1]) : SIZE_MAX;
    const char *rest;
    if (i == SIZE_MAX || !(OP_BIT(m->nodes[i].op) & ops)) {
        return wrong(at, "expected '%s NAME FIRST ...' for a node of a fitting kind that an earlier line defines", at->words[0]);
    }
    if (!sotto_text_number(at->words[2], 0, SOTTO_VALUES_MAX, &rest, first) || *rest != '\0') {
        return wrong(at, "%s %s: expected the index of the first channel or value, not '%.40s'", at->words[0], at->words[1], at->words[2]);
    }
    *node = &m->nodes[i];
    return nodes_closed(m) ? SOTTO_OK : sotto_model_infer_shapes(m);
}

/* KIND or KIND*COUNT; relu may have a patch: relu2x3. */
static int unit_run(const char *s, const char **rest, sotto_unit *unit, uint32_t *count)
{
    uint32_t h = 1, w = 1;
    unsigned kind = 0;
    size_t len = 0;
    while (kind < SOTTO_UNIT_KINDS && (len = strlen(sotto_text_unit_names[kind]), strncmp(s, sotto_text_unit_names[kind], len) != 0)) {
        kind++;
    }
    if (kind == SOTTO_UNIT_KINDS) {
        return 0;
    }
    s += len;
    if (kind == SOTTO_UNIT_RELU && *s >= '0' && *s <= '9' &&
        (!sotto_text_number(s, 1, SOTTO_BLOCK_MAX, &s, &h) || *s++ != 'x' || !sotto_text_number(s, 1, SOTTO_BLOCK_MAX, &s, &w))) {
        return 0;
    }
    *unit = (sotto_unit){(uint8_t)kind, (uint16_t)h, (uint16_t)w};
    *count = 1;
    *rest = s;
    return *s != '*' || sotto_text_number(s + 1, 1, SOTTO_DIM_MAX, rest, count);
}

static int read_units(sotto_model *m, const line *at)
{
    sotto_node *node;
    uint32_t channel;
    const int status = find_node(m, at, OP_BIT(SOTTO_OP_ACT), &node, &channel);
    if (status != SOTTO_OK) {
        return status;
    }
    const char *s = at->words[3];
    for (;;) {
        sotto_unit unit;
        uint32_t count;
        if (!unit_run(s, &s, &unit, &count) || (*s != ',' && *s != '\0')) {
            return wrong(at, "units of %s at '%.40s'; expected relu, reluHxW, identity, zero, square or cubic, each with *COUNT or not, separated by commas",
                         node->name, s);
        }
        if (channel > node->shape.c || count > node->shape.c - channel) {
            return wrong(at, "units of %s reach beyond its %u channels", node->name, (unsigned)node->shape.c);
        }
        while (count-- > 0) {
            node->units[channel++] = unit;
        }
        if (*s++ == '\0') {
            return SOTTO_OK;
        }
    }
}

static int read_mask(sotto_model *m, const line *at)
{
    sotto_node *node;
    uint32_t value;
    const int status = find_node(m, at, OP_BIT(SOTTO_OP_ACT), &node, &value);
    if (status != SOTTO_OK) {
        return status;
    }
    const size_t words = sotto_shape_words(node->shape), bytes = (words + 7) / 8;
    if (node->mask == NULL) {
        node->mask = sotto_calloc(bytes, 1);
        if (node->mask == NULL) {
            return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the mask of node %s", node->name);
        }
        memset(node->mask, 0xff, bytes);
    }
    const char *digits = at->words[3];
    const size_t len = strlen(digits);
    if (value % 8 != 0 || len % 2 != 0 || value / 8 > bytes || len / 2 > bytes - value / 8) {
        return wrong(at, "mask of %s; expected a first value that is a multiple of 8, two hex digits per 8 values, at most %zu values", node->name, words);
    }
    for (size_t i = 0; i < len; i += 2) {
        const int high = hex_digit(digits[i]), low = hex_digit(digits[i + 1]);
        if (high < 0 || low < 0) {
            return wrong(at, "mask of %s; expected hex digits in lower case", node->name);
        }
        node->mask[value / 8 + i / 2] = (uint8_t)(high << 4 | low);
    }
    return SOTTO_OK;
}

static int read_windows(sotto_model *m, const line *at)
{
    sotto_node *node;
    uint32_t channel;
    const int status = find_node(m, at, OP_BIT(SOTTO_OP_RELU) | OP_BIT(SOTTO_OP_CLIP) | OP_BIT(SOTTO_OP_ACT) | OP_BIT(SOTTO_OP_MAXPOOL), &node, &channel);
    if (status != SOTTO_OK) {
        return status;
    }
    if (!node->plan.present) {
        return wrong(at, "windows of %s before its plan; expected the plan line first", node->name);
    }
    if (node->windows == NULL) {
        node->windows = sotto_calloc(node->shape.c, 1);
        if (node->windows == NULL) {
            return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the windows of node %s", node->name);
        }
    }
    for (const char *s = at->words[3];; s++) {
        const char *run = s;
        uint32_t bits, count = 1;
        if (!sotto_text_number(s, 2, SOTTO_WINDOW_MAX, &s, &bits) || (*s == '*' && !sotto_text_number(s + 1, 1, SOTTO_DIM_MAX, &s, &count)) || (*s != ',' && *s != '\0')) {
            return wrong(at, "windows of %s at '%.40s'; expected 2 to %u bits, each with *COUNT or not, separated by commas", node->name, run, SOTTO_WINDOW_MAX);
        }
        if (channel > node->shape.c || count > node->shape.c - channel) {
            return wrong(at, "windows of %s reach beyond its %u channels", node->name, (unsigned)node->shape.c);
        }
        memset(node->windows + channel, (int)bits, count);
        channel += count;
        if (*s == '\0') {
            return SOTTO_OK;
        }
    }
}

static int read_plan(sotto_model *m, const line *at)
{
    const size_t i = at->count < 2 ? SIZE_MAX : sotto_model_find(m, at->words[1]);
    if (i == SIZE_MAX) {
        return wrong(at, "plan for '%.40s', which no earlier line defines", at->count < 2 ? "" : at->words[1]);
    }
    if (m->nodes[i].plan.present) {
        return wrong(at, "a second plan for %s", m->nodes[i].name);
    }
    m->nodes[i].plan.present = 1;
    return read_keys(at, sotto_text_plan_fields, &m->nodes[i], 2);
}

static int read_label(sotto_model *m, const line *at, const char *rest)
{
    const size_t len = strlen(rest);
    if (len == 0 || len >= SOTTO_NAME_MAX || m->label_count == SOTTO_CLASSES_MAX) {
        return wrong(at, "label; expected 1 to %d characters, at most %d labels", SOTTO_NAME_MAX - 1, SOTTO_CLASSES_MAX);
    }
    if (m->labels == NULL) {
        m->labels = sotto_calloc(SOTTO_CLASSES_MAX, sizeof *m->labels);
        if (m->labels == NULL) {
            return sotto_fail(SOTTO_ERR_MEMORY, "no memory for labels");
        }
    }
    memcpy(m->labels[m->label_count++], rest, len);
    return SOTTO_OK;
}

static sotto_op find_op(const char *name)
{
    unsigned op = SOTTO_OP_INPUT + 1;
    while (op < SOTTO_OP_COUNT && strcmp(sotto_op_name((sotto_op)op), name) != 0) {
        op++;
    }
    return (sotto_op)op;
}

static int read_line(sotto_model *m, line *at, const char *rest, int *has_id)
{
    const char *keyword = at->words[0];
    const sotto_op op = find_op(keyword);
    if (op != SOTTO_OP_COUNT) {
        return read_node(m, at, op);
    }
    if (strcmp(keyword, "plan") == 0) {
        return read_plan(m, at);
    }
    if (strcmp(keyword, "units") == 0) {
        return read_units(m, at);
    }
    if (strcmp(keyword, "mask") == 0) {
        return read_mask(m, at);
    }
    if (strcmp(keyword, "windows") == 0) {
        return read_windows(m, at);
    }
    if (strcmp(keyword, "input") == 0) {
        return read_input(m, at);
    }
    if (strcmp(keyword, "label") == 0) {
        return read_label(m, at, rest);
    }
    if (strcmp(keyword, "name") == 0) {
        return at->count == 2 && m->name[0] == '\0' ? copy_name(at, m->name, at->words[1])
                                                    : wrong(at, "name; expected one line with one name of A-Z a-z 0-9 _ . -");
    }
    if (strcmp(keyword, "id") == 0) {
        const int ok = at->count == 2 && !*has_id && read_hex(at->words[1], m->id, sizeof m->id);
        *has_id = 1;
        return ok ? SOTTO_OK : wrong(at, "id; expected one line with 32 hex digits in lower case");
    }
    return wrong(at, "'%.40s'; expected name, id, input, label, units, mask, windows, plan, conv, dense, batchnorm, relu, clip, identity, act, maxpool, avgpool, "
                     "globalavg, add, concat, pad, flatten or checksum", keyword);
}

/* Cuts the line into words; text after the keyword stays whole in *rest for labels. */
static int split(line *at, char *copy, const char **rest)
{
    at->count = 0;
    memcpy(copy, at->text, LINE_MAX_BYTES);
    char *p = copy, *space = strchr(at->text + strspn(at->text, " "), ' ');
    *rest = space == NULL ? "" : space + 1;
    for (char *word = strtok_r(copy, " ", &p); word != NULL; word = strtok_r(NULL, " ", &p)) {
        if (at->count == COUNT(at->words)) {
            return wrong(at, "more than %zu words", COUNT(at->words));
        }
        at->words[at->count++] = word;
    }
    return SOTTO_OK;
}

static int read_version(const line *at)
{
    uint32_t version = 0;
    const char *stop = "?";
    if (at->count != 2 || strcmp(at->words[0], "sotto-model") != 0 || !sotto_text_number(at->words[1], 0, UINT32_MAX, &stop, &version) || *stop != '\0') {
        return wrong(at, "expected 'sotto-model %d'; this is no model", TEXT_VERSION);
    }
    return version == TEXT_VERSION
               ? SOTTO_OK
               : sotto_fail(SOTTO_ERR_VERSION, "line 1: model format %u; this build reads %d", (unsigned)version, TEXT_VERSION);
}

/* Of the `len` bytes before this line. */
static int read_checksum(const line *at, const char *text, size_t len)
{
    uint8_t hash[HASH_BYTES], stored[HASH_BYTES];
    if (at->count != 2 || !read_hex(at->words[1], stored, sizeof stored)) {
        return wrong(at, "checksum; expected 64 hex digits in lower case");
    }
    crypto_generichash(hash, sizeof hash, (const uint8_t *)text, len, NULL, 0);
    return memcmp(hash, stored, sizeof hash) == 0
               ? SOTTO_OK
               : sotto_fail(SOTTO_ERR_CHECKSUM, "line %u: checksum and content disagree; the file is damaged or was edited: fetch it again", at->number);
}

/* The `size` bytes of a line. */
static int take_line(line *at, const char *bytes, size_t size)
{
    if (size >= LINE_MAX_BYTES) {
        return wrong(at, "longer than %d bytes", LINE_MAX_BYTES - 1);
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)bytes[i] < 0x20 || (unsigned char)bytes[i] > 0x7e) {
            return wrong(at, "a byte that is no printable ASCII, at column %zu", i + 1);
        }
    }
    memset(at->text, 0, sizeof at->text);
    memcpy(at->text, bytes, size);
    return SOTTO_OK;
}

static int parse(sotto_model *m, const char *text, size_t len)
{
    line at = {0};
    char copy[LINE_MAX_BYTES];
    int has_id = 0, has_checksum = 0;
    if (len > SOTTO_TEXT_MAX) {
        return sotto_fail(SOTTO_ERR_LIMIT, "the public part has %zu bytes; at most %u are read", len, SOTTO_TEXT_MAX);
    }
    for (size_t start = 0, next = 0; start < len; start = next) {
        const char *end = memchr(text + start, '\n', len - start), *rest;
        at.number++;
        if (end == NULL) {
            return wrong(&at, "the last line does not end; the file is cut off");
        }
        if (has_checksum) {
            return wrong(&at, "text after the checksum");
        }
        next = (size_t)(end - text) + 1;
        int status = take_line(&at, text + start, next - start - 1);
        if (status == SOTTO_OK) {
            status = split(&at, copy, &rest);
        }
        if (status == SOTTO_OK && at.number == 1) {
            status = read_version(&at);
        } else if (status == SOTTO_OK && at.count > 0 && strcmp(at.words[0], "checksum") == 0) {
            has_checksum = 1;
            status = read_checksum(&at, text, start);
        } else if (status == SOTTO_OK && at.count > 0 && at.words[0][0] != '#') {
            status = read_line(m, &at, rest, &has_id);
        }
        if (status != SOTTO_OK) {
            return status;
        }
    }
    if (at.number == 0) {
        return sotto_fail(SOTTO_ERR_FORMAT, "the file is empty; expected a model");
    }
    if (has_id && !has_checksum) {
        return sotto_fail(SOTTO_ERR_FORMAT, "a model with an id needs a checksum line at its end; the file is cut off: fetch it again");
    }
    return sotto_model_infer_shapes(m);
}

int sotto_model_parse(sotto_model *m, const char *text, size_t len)
{
    char *canonical = NULL;
    size_t canonical_len;
    locale_t before;
    const locale_t c = sotto_text_numbers_begin(&before);
    sotto_model_init(m);
    int status = c == (locale_t)0 ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for a locale") : parse(m, text, len);
    sotto_text_numbers_end(c, before);
    if (status == SOTTO_OK) {
        status = sotto_model_print(m, &canonical, &canonical_len); /* for public_hash */
    }
    sotto_free(canonical);
    if (status != SOTTO_OK) {
        sotto_model_free(m);
    }
    return status;
}
