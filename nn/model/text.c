#include "nn/model/text.h"

#include <locale.h>
#include <math.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"

#define LINE_MAX_BYTES 1024
#define HASH_BYTES 32
#define TEXT_VERSION 1

/* Figures have a point in a file, whatever the locale of the program around; 0 when memory is out. */
static locale_t numbers_begin(locale_t *before)
{
    const locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    *before = c == (locale_t)0 ? c : uselocale(c);
    return c;
}

static void numbers_end(locale_t c, locale_t before)
{
    if (c != (locale_t)0) {
        uselocale(before);
        freelocale(c);
    }
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

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

/* An unsigned number in [low, high] that fills the string up to one of `stops`; *rest is what follows. */
static int number(const char *s, uint32_t low, uint32_t high, const char **rest, uint32_t *out)
{
    uint64_t v = 0;
    const char *p = s;
    for (; *p >= '0' && *p <= '9'; p++) {
        v = v * 10 + (uint64_t)(*p - '0');
        if (v > high) {
            return 0;
        }
    }
    *rest = p;
    *out = (uint32_t)v;
    return p != s && v >= low;
}

/* N or NxN. */
static int pair(const char *s, uint32_t low, uint32_t high, uint32_t *a, uint32_t *b)
{
    const char *rest;
    if (!number(s, low, high, &rest, a)) {
        return 0;
    }
    *b = *a;
    if (*rest == 'x' && !number(rest + 1, low, high, &rest, b)) {
        return 0;
    }
    return *rest == '\0';
}

static int real(const char *s, char stop, const char **rest, double *out)
{
    char *end;
    if ((*s < '0' || *s > '9') && *s != '-' && *s != '.') {
        return 0;
    }
    *out = strtod(s, &end);
    *rest = end;
    return end != s && isfinite(*out) && (*end == '\0' || *end == stop);
}

static int key_out(sotto_node *n, const char *v)
{
    const char *rest;
    return number(v, 1, SOTTO_DIM_MAX, &rest, &n->out) && *rest == '\0';
}

static int key_kernel(sotto_node *n, const char *v)
{
    return pair(v, 1, SOTTO_DIM_MAX, &n->kernel_h, &n->kernel_w);
}

static int key_stride(sotto_node *n, const char *v)
{
    return pair(v, 1, SOTTO_DIM_MAX, &n->stride_h, &n->stride_w);
}

static int key_pad(sotto_node *n, const char *v)
{
    uint32_t *sides[4] = {&n->pad_top, &n->pad_left, &n->pad_bottom, &n->pad_right};
    if (strchr(v, ',') == NULL) {
        const int ok = pair(v, 0, SOTTO_DIM_MAX, sides[0], sides[1]);
        *sides[2] = *sides[0];
        *sides[3] = *sides[1];
        return ok;
    }
    for (unsigned i = 0; i < 4; i++) {
        if (!number(v, 0, SOTTO_DIM_MAX, &v, sides[i]) || *v != (i < 3 ? ',' : '\0')) {
            return 0;
        }
        v++;
    }
    return 1;
}

static int key_groups(sotto_node *n, const char *v)
{
    const char *rest;
    return number(v, 1, SOTTO_DIM_MAX, &rest, &n->groups) && *rest == '\0';
}

static int key_channels(sotto_node *n, const char *v)
{
    const char *rest;
    return number(v, 0, SOTTO_DIM_MAX, &rest, &n->pad_front) && *rest == ',' && number(rest + 1, 0, SOTTO_DIM_MAX, &rest, &n->pad_back) &&
           *rest == '\0';
}

static int key_epsilon(sotto_node *n, const char *v)
{
    const char *rest;
    double x;
    if (!real(v, '\0', &rest, &x) || !((float)x > 0.0f) || !isfinite((float)x)) {
        return 0;
    }
    n->epsilon = (float)x;
    return 1;
}

static int small(const char *v, unsigned low, unsigned high, unsigned *out)
{
    const char *rest;
    uint32_t x;
    if (!number(v, low, high, &rest, &x) || *rest != '\0') {
        return 0;
    }
    *out = x;
    return 1;
}

static int positive(const char *v, double *out)
{
    const char *rest;
    return real(v, '\0', &rest, out) && *out > 0.0;
}

static int key_scale(sotto_node *n, const char *v)
{
    return positive(v, &n->plan.scale);
}

static int key_bits(sotto_node *n, const char *v)
{
    return small(v, 2, 16, &n->plan.bits);
}

static int key_weight_scale(sotto_node *n, const char *v)
{
    return positive(v, &n->plan.weight_scale);
}

static int key_weight_bits(sotto_node *n, const char *v)
{
    return small(v, 2, 16, &n->plan.weight_bits);
}

static int key_he(sotto_node *n, const char *v)
{
    uint32_t x;
    if (!number(v, 1024, 32768, &v, &n->plan.he_n) || *v != ':') {
        return 0;
    }
    n->plan.he_primes = 0;
    do {
        if (n->plan.he_primes == SOTTO_PRIMES_MAX || !number(v + 1, 12, 61, &v, &x)) {
            return 0;
        }
        n->plan.he_prime_bits[n->plan.he_primes++] = x;
    } while (*v == ',');
    return *v == '\0';
}

static int key_tile(sotto_node *n, const char *v)
{
    for (size_t i = 0; i < 4; i++) {
        if (!number(v, 1, UINT32_MAX, &v, &n->plan.tile[i]) || *v != (i < 3 ? 'x' : '\0')) {
            return 0;
        }
        v++;
    }
    return 1;
}

static int key_f(sotto_node *n, const char *v)
{
    return small(v, 0, 40, &n->plan.f);
}

static int key_k(sotto_node *n, const char *v)
{
    return small(v, 2, 50, &n->plan.k);
}

static int key_u(sotto_node *n, const char *v)
{
    return small(v, 2, 50, &n->plan.u);
}

static int key_poly(sotto_node *n, const char *v)
{
    sotto_poly_plan_fields *p = &n->plan.poly;
    unsigned *const out[5] = {&p->f, &p->shift, &p->bits, &p->k, &p->exchange};
    static const unsigned low[5] = {0, 0, 2, 2, 0}, high[5] = {40, 40, 24, 58, 1};
    for (size_t i = 0; i < 5; i++) {
        uint32_t x;
        if (!number(v, low[i], high[i], &v, &x) || *v != (i < 4 ? ',' : '\0')) {
            return 0;
        }
        *out[i] = x;
        v++;
    }
    return 1;
}

/* Keys of node lines and of plan lines, with the ops that take them (bits of sotto_op) and must have them. */
typedef struct key_info {
    const char *name, *expected;
    int (*set)(sotto_node *n, const char *value);
    unsigned ops, required;
} key_info;

#define OP(op) (1u << SOTTO_OP_##op)
#define WINDOWS (OP(CONV) | OP(MAXPOOL) | OP(AVGPOOL))
#define LINEAR (OP(CONV) | OP(DENSE))
#define SIGNS (OP(RELU) | OP(CLIP) | OP(ACT))
#define UNITS (SIGNS | OP(IDENTITY))

static const key_info node_keys[] = {
    {"out", "1 to 65536", key_out, LINEAR, LINEAR},
    {"kernel", "N or HxW", key_kernel, WINDOWS, WINDOWS},
    {"stride", "N or HxW", key_stride, WINDOWS, 0},
    {"pad", "N, HxW or top,left,bottom,right", key_pad, WINDOWS | OP(PAD), 0},
    {"channels", "before,after", key_channels, OP(PAD), 0},
    {"groups", "1 to 65536", key_groups, OP(CONV), 0},
    {"epsilon", "a number above 0", key_epsilon, OP(BATCHNORM), 0},
};

static const key_info plan_keys[] = {
    {"scale", "a number above 0", key_scale, OP(INPUT), OP(INPUT)},
    {"bits", "2 to 16", key_bits, OP(INPUT), OP(INPUT)},
    {"weight-scale", "a number above 0", key_weight_scale, LINEAR, LINEAR},
    {"weight-bits", "2 to 16", key_weight_bits, LINEAR, LINEAR},
    {"he", "N:BITS,BITS,... such as 4096:46,46", key_he, LINEAR, 0},
    {"tile", "PLANESxFILTERSxROWSxCOLUMNS", key_tile, LINEAR, 0},
    {"f", "0 to 40", key_f, UNITS, UNITS},
    {"k", "2 to 50", key_k, ~OP(INPUT), UNITS | OP(MAXPOOL)},
    {"u", "2 to 50", key_u, SIGNS | OP(MAXPOOL), SIGNS | OP(MAXPOOL)},
    {"poly", "F,SHIFT,BITS,K,EXCHANGE such as 7,14,9,24,1", key_poly, OP(ACT), 0},
};

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char *const unit_names[SOTTO_UNIT_KINDS] = {"relu", "identity", "zero", "square", "cubic"};

static void list_keys(const key_info *keys, size_t count, sotto_op op, char *out, size_t cap)
{
    size_t pos = 0;
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        if (keys[i].ops & (1u << op)) {
            const int n = snprintf(out + pos, cap - pos, "%s%s=", pos > 0 ? ", " : "", keys[i].name);
            pos += n > 0 && (size_t)n < cap - pos ? (size_t)n : 0;
        }
    }
}

/* Words first, first + 1, ... are key=value. */
static int read_keys(const line *at, const key_info *keys, size_t count, sotto_node *node, size_t first)
{
    unsigned seen = 0;
    for (size_t w = first; w < at->count; w++) {
        char *value = strchr(at->words[w], '=');
        if (value == NULL) {
            return wrong(at, "'%.40s' is not key=value", at->words[w]);
        }
        *value++ = '\0';
        size_t i = 0;
        while (i < count && (strcmp(keys[i].name, at->words[w]) != 0 || !(keys[i].ops & (1u << node->op)))) {
            i++;
        }
        if (i == count) {
            char allowed[200];
            list_keys(keys, count, node->op, allowed, sizeof allowed);
            return wrong(at, "%s has no key '%.40s'; allowed: %s", sotto_op_name(node->op), at->words[w],
                         allowed[0] != '\0' ? allowed : "none");
        }
        if (seen & (1u << i)) {
            return wrong(at, "key %s= is given twice", keys[i].name);
        }
        seen |= 1u << i;
        if (!keys[i].set(node, value)) {
            return wrong(at, "%s=%.40s; expected %s", keys[i].name, value, keys[i].expected);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if ((keys[i].required & (1u << node->op)) && !(seen & (1u << i))) {
            return wrong(at, "%s needs %s=; expected %s", sotto_op_name(node->op), keys[i].name, keys[i].expected);
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
        if (!real(s, ',', &s, &v) || (*s == ',') != (c + 1 < channels)) {
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
    if (at->count < 2 || !number(at->words[1], 1, SOTTO_INPUT_CHANNELS_MAX, &rest, &s->c) || *rest != 'x' ||
        !number(rest + 1, 1, SOTTO_DIM_MAX, &rest, &s->h) || *rest != 'x' || !number(rest + 1, 1, SOTTO_DIM_MAX, &rest, &s->w) ||
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

/* Shapes were inferred for a units or mask line; that needs the whole graph. */
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
        return wrong(at, "'%s' after a units or mask line; expected all nodes before them", at->words[0]);
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
    status = read_keys(at, node_keys, COUNT(node_keys), &node, 2 + inputs);
    if (status != SOTTO_OK) {
        return status;
    }
    if (sotto_op_has_window(op) && node.stride_h == 0) {
        node.stride_h = op == SOTTO_OP_CONV ? 1 : node.kernel_h;
        node.stride_w = op == SOTTO_OP_CONV ? 1 : node.kernel_w;
    }
    return sotto_model_append(m, &node, &index);
}

/* The act node that a units or mask line is about, and where on it the line begins. What the nodes of a file are is known by then. */
static int find_act(sotto_model *m, const line *at, sotto_node **node, uint32_t *first)
{
    const size_t i = at->count == 4 ? sotto_model_find(m, at->words[1]) : SIZE_MAX;
    const char *rest;
    if (i == SIZE_MAX || m->nodes[i].op != SOTTO_OP_ACT) {
        return wrong(at, "expected '%s NAME FIRST ...' for an act node that an earlier line defines", at->words[0]);
    }
    if (!number(at->words[2], 0, SOTTO_VALUES_MAX, &rest, first) || *rest != '\0') {
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
    while (kind < SOTTO_UNIT_KINDS && (len = strlen(unit_names[kind]), strncmp(s, unit_names[kind], len) != 0)) {
        kind++;
    }
    if (kind == SOTTO_UNIT_KINDS) {
        return 0;
    }
    s += len;
    if (kind == SOTTO_UNIT_RELU && *s >= '0' && *s <= '9' &&
        (!number(s, 1, SOTTO_BLOCK_MAX, &s, &h) || *s++ != 'x' || !number(s, 1, SOTTO_BLOCK_MAX, &s, &w))) {
        return 0;
    }
    *unit = (sotto_unit){(uint8_t)kind, (uint16_t)h, (uint16_t)w};
    *count = 1;
    *rest = s;
    return *s != '*' || number(s + 1, 1, SOTTO_DIM_MAX, rest, count);
}

static int read_units(sotto_model *m, const line *at)
{
    sotto_node *node;
    uint32_t channel;
    const int status = find_act(m, at, &node, &channel);
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
    const int status = find_act(m, at, &node, &value);
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
    return read_keys(at, plan_keys, COUNT(plan_keys), &m->nodes[i], 2);
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
    return wrong(at, "'%.40s'; expected name, id, input, label, units, mask, plan, conv, dense, batchnorm, relu, clip, identity, act, maxpool, avgpool, "
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

static int parse(sotto_model *m, const char *text, size_t len)
{
    line at = {0};
    char copy[LINE_MAX_BYTES];
    int has_id = 0, has_checksum = 0;
    size_t pos = 0;
    if (len > SOTTO_TEXT_MAX) {
        return sotto_fail(SOTTO_ERR_LIMIT, "the public part has %zu bytes; at most %u are read", len, SOTTO_TEXT_MAX);
    }
    while (pos < len) {
        const size_t start = pos;
        const char *end = memchr(text + pos, '\n', len - pos);
        at.number++;
        if (end == NULL) {
            return wrong(&at, "the last line does not end; the file is cut off");
        }
        const size_t size = (size_t)(end - text) - pos;
        pos += size + 1;
        if (has_checksum) {
            return wrong(&at, "text after the checksum");
        }
        if (size >= LINE_MAX_BYTES) {
            return wrong(&at, "longer than %d bytes", LINE_MAX_BYTES - 1);
        }
        memset(at.text, 0, sizeof at.text);
        memcpy(at.text, text + start, size);
        for (size_t i = 0; i < size; i++) {
            if ((unsigned char)at.text[i] < 0x20 || (unsigned char)at.text[i] > 0x7e) {
                return wrong(&at, "a byte that is no printable ASCII, at column %zu", i + 1);
            }
        }
        const char *rest;
        int status = split(&at, copy, &rest);
        if (status != SOTTO_OK) {
            return status;
        }
        if (at.number == 1) {
            uint32_t version = 0;
            const char *stop = "?";
            if (at.count != 2 || strcmp(at.words[0], "sotto-model") != 0 || !number(at.words[1], 0, UINT32_MAX, &stop, &version) ||
                *stop != '\0') {
                return wrong(&at, "expected 'sotto-model %d'; this is no model", TEXT_VERSION);
            }
            if (version != TEXT_VERSION) {
                return sotto_fail(SOTTO_ERR_VERSION, "line 1: model format %u; this build reads %d", (unsigned)version, TEXT_VERSION);
            }
            continue;
        }
        if (at.count == 0 || at.words[0][0] == '#') {
            continue;
        }
        if (strcmp(at.words[0], "checksum") == 0) {
            uint8_t hash[HASH_BYTES], stored[HASH_BYTES];
            if (at.count != 2 || !read_hex(at.words[1], stored, sizeof stored)) {
                return wrong(&at, "checksum; expected 64 hex digits in lower case");
            }
            crypto_generichash(hash, sizeof hash, (const uint8_t *)text, start, NULL, 0);
            if (memcmp(hash, stored, sizeof hash) != 0) {
                return sotto_fail(SOTTO_ERR_CHECKSUM, "line %u: checksum and content disagree; the file is damaged or was edited: "
                                                      "fetch it again", at.number);
            }
            has_checksum = 1;
            continue;
        }
        status = read_line(m, &at, rest, &has_id);
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
    const locale_t c = numbers_begin(&before);
    sotto_model_init(m);
    int status = c == (locale_t)0 ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for a locale") : parse(m, text, len);
    numbers_end(c, before);
    if (status == SOTTO_OK) {
        status = sotto_model_print(m, &canonical, &canonical_len); /* for public_hash */
    }
    sotto_free(canonical);
    if (status != SOTTO_OK) {
        sotto_model_free(m);
    }
    return status;
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

typedef struct text_out {
    char *data;
    size_t len, cap;
    int full;
} text_out;

static void put(text_out *o, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(text_out *o, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(o->data + o->len, o->cap - o->len, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= o->cap - o->len) {
        o->full = 1;
    } else {
        o->len += (size_t)n;
    }
}

static void put_hex(text_out *o, const char *keyword, const uint8_t *bytes, size_t len)
{
    put(o, "%s ", keyword);
    for (size_t i = 0; i < len; i++) {
        put(o, "%02x", bytes[i]);
    }
    put(o, "\n");
}

static void put_node(text_out *o, const sotto_model *m, const sotto_node *n)
{
    put(o, "%s %s", sotto_op_name(n->op), n->name);
    for (unsigned k = 0; k < sotto_op_inputs(n->op); k++) {
        put(o, " %s", m->nodes[n->input[k]].name);
    }
    if (sotto_op_is_linear(n->op)) {
        put(o, " out=%u", n->out);
    }
    if (sotto_op_has_window(n->op)) {
        put(o, " kernel=%ux%u stride=%ux%u pad=%u,%u,%u,%u", n->kernel_h, n->kernel_w, n->stride_h, n->stride_w, n->pad_top, n->pad_left,
            n->pad_bottom, n->pad_right);
    }
    if (n->op == SOTTO_OP_PAD) {
        put(o, " pad=%u,%u,%u,%u channels=%u,%u", n->pad_top, n->pad_left, n->pad_bottom, n->pad_right, n->pad_front, n->pad_back);
    }
    if (n->op == SOTTO_OP_CONV) {
        put(o, " groups=%u", n->groups);
    }
    if (n->op == SOTTO_OP_BATCHNORM) {
        put(o, " epsilon=%.9g", (double)n->epsilon);
    }
    put(o, "\n");
}

/* Runs of equal channels, as many as fit a line, and the mask in pieces that do. */
static void put_units(text_out *o, const sotto_node *n)
{
    enum { RUNS = 24, BYTES = 400 };
    for (uint32_t c = 0, runs = 0; c < n->shape.c; runs++) {
        const sotto_unit u = n->units[c];
        uint32_t end = c;
        while (end < n->shape.c && n->units[end].kind == u.kind && n->units[end].block_h == u.block_h && n->units[end].block_w == u.block_w) {
            end++;
        }
        if (runs % RUNS == 0) {
            put(o, "%sunits %s %u ", runs > 0 ? "\n" : "", n->name, c);
        } else {
            put(o, ",");
        }
        put(o, "%s", unit_names[u.kind]);
        if (u.block_h > 1 || u.block_w > 1) {
            put(o, "%ux%u", u.block_h, u.block_w);
        }
        if (end - c > 1) {
            put(o, "*%u", end - c);
        }
        c = end;
    }
    put(o, "\n");
    const size_t words = sotto_shape_words(n->shape), bytes = (words + 7) / 8;
    for (size_t i = 0; n->mask != NULL && i < bytes; i++) {
        if (i % BYTES == 0) {
            put(o, "%smask %s %zu ", i > 0 ? "\n" : "", n->name, 8 * i);
        }
        /* Bits beyond the last value say nothing and are written as ones, so that the text is canonical. */
        const unsigned tail = i + 1 == bytes && words % 8 != 0 ? 0xffu << (words % 8) & 0xffu : 0;
        put(o, "%02x%s", n->mask[i] | tail, i + 1 == bytes ? "\n" : "");
    }
}

static void put_plan(text_out *o, const sotto_node *n)
{
    const sotto_node_plan *p = &n->plan;
    put(o, "plan %s", n->name);
    if (n->op == SOTTO_OP_INPUT) {
        put(o, " scale=%.17g bits=%u", p->scale, p->bits);
    }
    if (sotto_op_is_linear(n->op)) {
        put(o, " weight-scale=%.17g weight-bits=%u", p->weight_scale, p->weight_bits);
        if (p->he_primes > 0) {
            put(o, " he=%u", p->he_n);
        }
        for (unsigned i = 0; i < p->he_primes; i++) {
            put(o, "%c%u", i == 0 ? ':' : ',', p->he_prime_bits[i]);
        }
        if (p->tile[0] > 0) {
            put(o, " tile=%ux%ux%ux%u", p->tile[0], p->tile[1], p->tile[2], p->tile[3]);
        }
    }
    if (sotto_op_is_unit(n->op)) {
        put(o, " f=%u", p->f);
    }
    if (p->k > 0) {
        put(o, " k=%u", p->k);
    }
    if ((1u << n->op) & (SIGNS | OP(MAXPOOL))) {
        put(o, " u=%u", p->u);
    }
    if (n->op == SOTTO_OP_ACT && p->poly.bits > 0) {
        put(o, " poly=%u,%u,%u,%u,%u", p->poly.f, p->poly.shift, p->poly.bits, p->poly.k, p->poly.exchange);
    }
    put(o, "\n");
}

static void put_figures(text_out *o, const char *key, const float *x, uint32_t count)
{
    for (uint32_t c = 0; c < count; c++) {
        put(o, "%s%.9g", c == 0 ? key : ",", (double)x[c]);
    }
}

/* Bytes that units and masks can take: a run has at most 20, a line's head at most 64. */
static size_t units_text_cap(const sotto_model *m)
{
    size_t cap = 0;
    for (size_t i = 0; i < m->node_count; i++) {
        const sotto_node *n = &m->nodes[i];
        if (n->op == SOTTO_OP_ACT) {
            cap += 128 + (size_t)n->shape.c * 32 + (n->mask != NULL ? sotto_shape_words(n->shape) : 0);
        }
    }
    return cap;
}

int sotto_model_print(sotto_model *m, char **text, size_t *len)
{
    static const uint8_t no_id[sizeof m->id];
    if (m->node_count == 0) {
        return sotto_fail(SOTTO_ERR_ARG, "an empty model has no text; it needs an input and a node");
    }
    text_out o = {.cap = 4096 + m->node_count * 2 * 512 + m->label_count * 64 + units_text_cap(m)};
    const sotto_shape in = m->nodes[0].shape;
    locale_t before;
    const locale_t c = numbers_begin(&before);
    o.data = sotto_calloc(o.cap, 1);
    if (c == (locale_t)0 || o.data == NULL) {
        numbers_end(c, before);
        sotto_free(o.data);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a text of %zu bytes", o.cap);
    }
    put(&o, "sotto-model %d\n", TEXT_VERSION);
    if (m->name[0] != '\0') {
        put(&o, "name %s\n", m->name);
    }
    const int has_id = memcmp(m->id, no_id, sizeof no_id) != 0;
    if (has_id) {
        put_hex(&o, "id", m->id, sizeof m->id);
    }
    put(&o, "input %ux%ux%u", in.c, in.h, in.w);
    put_figures(&o, " mean=", m->mean, in.c);
    put_figures(&o, " std=", m->std, in.c);
    put(&o, "\n");
    for (size_t i = 0; i < m->label_count; i++) {
        put(&o, "label %s\n", m->labels[i]);
    }
    for (size_t i = 1; i < m->node_count; i++) {
        put_node(&o, m, &m->nodes[i]);
    }
    for (size_t i = 0; i < m->node_count; i++) {
        if (m->nodes[i].op == SOTTO_OP_ACT) {
            put_units(&o, &m->nodes[i]);
        }
    }
    for (size_t i = 0; i < m->node_count; i++) {
        if (m->nodes[i].plan.present) {
            put_plan(&o, &m->nodes[i]);
        }
    }
    crypto_generichash(m->public_hash, sizeof m->public_hash, (const uint8_t *)o.data, o.len, NULL, 0);
    if (has_id) {
        put_hex(&o, "checksum", m->public_hash, sizeof m->public_hash);
    }
    numbers_end(c, before);
    if (o.full) {
        sotto_free(o.data);
        return sotto_fail(SOTTO_ERR_LIMIT, "the model's text is longer than %zu bytes", o.cap);
    }
    *text = o.data;
    *len = o.len;
    return SOTTO_OK;
}
