/* Measured costs as a file. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/cpu.h"
#include "lib/mem.h"
#include "nn/model/weights.h"
#include "nn/plan/cost_internal.h"

#define HEADER "sotto-costs 2"
#define FILE_MAX 65536u
#define PICO 1e12
#define VALUE_MAX 1e18

void sotto_costs_machine(char out[128])
{
    char cpu[96];
    sotto_cpu_brand(cpu, sizeof cpu);
    snprintf(out, 128, "%s, %s", cpu, sotto_tier_name(sotto_cpu_tier()));
}

/* ---- lines ------------------------------------------------------------------------------------------------------------------- */

typedef struct row {
    char name[64];
    double *value;
    size_t count;
    double unit; /* a value of 1 is this number in the file */
} row;

static void name_row(row *r, double *value, size_t count, const char *format, ...) __attribute__((format(printf, 4, 5)));

static void name_row(row *r, double *value, size_t count, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->name, sizeof r->name, format, args);
    va_end(args);
    r->value = value;
    r->count = count;
    r->unit = PICO;
}

static void name_set(char *out, size_t cap, const sotto_he_set *set)
{
    size_t at = (size_t)snprintf(out, cap, "he.%u", (unsigned)set->n);
    for (unsigned i = 0; i < set->primes && at < cap; i++) {
        at += (size_t)snprintf(out + at, cap - at, "%c%u", i == 0 ? ':' : ',', set->bits[i]);
    }
}

/* Line i of the file; 0 past the last one. */
static int row_at(row *r, sotto_costs *c, size_t i)
{
    if (i < c->he_count) {
        name_row(r, c->he[i].of, SOTTO_HE_WORKS, "he");
        name_set(r->name, sizeof r->name, &c->he[i].set);
        return 1;
    }
    i -= c->he_count;
    const size_t widths = SOTTO_COST_U_MAX - 1, units = SOTTO_SIGN_PROVIDERS * 2 * widths;
    if (i < units) {
        const size_t provider = i / widths / 2, second = i / widths % 2, u = i % widths + 2;
        name_row(r, c->unit[provider][second][u].of, SOTTO_WORKS, "unit.%s.%zu.%zu", sotto_sign_name((sotto_sign_provider)provider), second + 1, u);
        return 1;
    }
    const row rest[] = {
        {"pixel", c->pixel.of, SOTTO_WORKS, PICO},
        {"passed.local", c->passed[0].of, SOTTO_WORKS, PICO},
        {"passed.ot", c->passed[1].of, SOTTO_WORKS, PICO},
        {"poly", c->poly.of, SOTTO_WORKS, PICO},
        {"label", c->label[0].of, SOTTO_WORKS, PICO},
        {"label3", c->label[1].of, SOTTO_WORKS, PICO},
        {"ot.send", c->ot_send + SOTTO_OT_IKNP, SOTTO_COST_OTS - 1, PICO},
        {"ot.receive", c->ot_recv + SOTTO_OT_IKNP, SOTTO_COST_OTS - 1, PICO},
        {"tree", c->tree, 2, PICO},
        {"apply", c->apply, SOTTO_APPLY_KINDS, PICO},
        {"word", &c->word, 1, PICO},
        {"draw", &c->draw, 1, PICO},
        {"sent", &c->sent, 1, PICO},
        {"received", &c->received, 1, PICO},
        {"message", &c->message, 1, PICO},
        {"byte", &c->byte, 1, PICO},
        {"round-trip", &c->round_trip, 1, PICO},
        {"window", &c->window, 1, 1.0},
        {"company", &c->company, 1, 1e6},
    };
    if (i - units >= sizeof rest / sizeof *rest) {
        return 0;
    }
    *r = rest[i - units];
    return 1;
}

void sotto_costs_median(sotto_costs *rounds, size_t count)
{
    double x[SOTTO_COST_ROUNDS];
    row first, other;
    for (size_t i = 0; row_at(&first, rounds, i); i++) {
        for (size_t k = 0; k < first.count; k++) {
            for (size_t r = 0; r < count; r++) {
                (void)row_at(&other, &rounds[r], i);
                x[r] = other.value[k];
            }
            first.value[k] = sotto_cost_median(x, count);
        }
    }
}

static void take_sets(sotto_costs *c)
{
    const sotto_he_set *sets = sotto_network_sets(&c->he_count);
    c->he_count = c->he_count < SOTTO_COST_SETS_MAX ? c->he_count : SOTTO_COST_SETS_MAX;
    for (size_t i = 0; i < c->he_count; i++) {
        c->he[i].set = sets[i];
    }
}

int sotto_costs_save(sotto_costs *c, const char *path)
{
    size_t at = 0;
    row r;
    char *text = sotto_calloc(FILE_MAX, 1);
    if (text == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a file of costs");
    }
    at += (size_t)snprintf(text, FILE_MAX, "%s\nmachine %s\n", HEADER, c->machine);
    for (size_t i = 0; row_at(&r, c, i) && at < FILE_MAX; i++) {
        at += (size_t)snprintf(text + at, FILE_MAX - at, "%s", r.name);
        for (size_t k = 0; k < r.count && at < FILE_MAX; k++) {
            at += (size_t)snprintf(text + at, FILE_MAX - at, " %llu", (unsigned long long)(r.value[k] * r.unit + 0.5));
        }
        at += at < FILE_MAX ? (size_t)snprintf(text + at, FILE_MAX - at, "\n") : 0;
    }
    const int status = at < FILE_MAX ? sotto_file_write(path, text, at, 0644) : sotto_fail(SOTTO_ERR_LIMIT, "the costs take more than %u bytes", FILE_MAX);
    sotto_free(text);
    return status;
}

/* One line of the file at **at, which moves on: its name has to be r->name, its values are read. 0: it is none. */
static int read_row(const row *r, const char **at)
{
    const size_t len = strlen(r->name);
    const char *p = *at;
    if (strncmp(p, r->name, len) != 0) {
        return 0;
    }
    p += len;
    for (size_t k = 0; k < r->count; k++) {
        double v = 0.0;
        if (p[0] != ' ' || p[1] < '0' || p[1] > '9') {
            return 0;
        }
        for (p++; *p >= '0' && *p <= '9'; p++) {
            v = v * 10.0 + (*p - '0');
        }
        if (v > VALUE_MAX) {
            return 0;
        }
        r->value[k] = v / r->unit;
    }
    *at = p + 1;
    return *p == '\n';
}

static int parse(sotto_costs *c, const char *text)
{
    row r;
    char own[128];
    size_t i = 0;
    const size_t head = strlen(HEADER);
    if (strncmp(text, HEADER, head) != 0 || text[head] != '\n') {
        return sotto_fail(SOTTO_ERR_VERSION, "these are no costs of this version (the first line is not '%s'); measure again", HEADER);
    }
    text += head + 1;
    const size_t len = strcspn(text, "\n");
    if (strncmp(text, "machine ", 8) != 0 || len - 8 >= sizeof c->machine || text[len] != '\n') {
        return sotto_fail(SOTTO_ERR_FORMAT, "line 2: expected the machine that was measured");
    }
    memcpy(c->machine, text + 8, len - 8);
    sotto_costs_machine(own);
    if (strcmp(c->machine, own) != 0) {
        return sotto_fail(SOTTO_ERR_MISMATCH, "costs of another machine ('%.60s', this is '%.60s'); measure again", c->machine, own);
    }
    text += len + 1;
    take_sets(c);
    for (; row_at(&r, c, i); i++) {
        if (!read_row(&r, &text)) {
            return i < c->he_count ? sotto_fail(SOTTO_ERR_VERSION, "line %zu: expected costs of %s; the sets have changed: measure again", i + 3, r.name)
                                   : sotto_fail(SOTTO_ERR_FORMAT, "line %zu: expected %s with %zu whole numbers; measure again", i + 3, r.name, r.count);
        }
    }
    return *text == '\0' ? SOTTO_OK : sotto_fail(SOTTO_ERR_FORMAT, "line %zu: text after the last cost; measure again", i + 3);
}

int sotto_costs_load(sotto_costs *c, const char *path)
{
    uint8_t *data = NULL; /* ends in a zero */
    size_t len;
    memset(c, 0, sizeof *c);
    int status = sotto_file_read(path, FILE_MAX, &data, &len);
    if (status == SOTTO_OK) {
        status = parse(c, (const char *)data);
        status = status == SOTTO_OK ? SOTTO_OK : sotto_fail_context(status, "%s", path);
        sotto_free(data);
    }
    if (status != SOTTO_OK) {
        memset(c, 0, sizeof *c);
    }
    return status;
}
