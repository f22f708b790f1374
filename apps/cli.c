#include "apps/cli.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/err.h"

/* ---- options -------------------------------------------------------------------------------------------------------- */

static void print_default(const cli_option *o, char *out, size_t cap)
{
    out[0] = '\0';
    if (o->kind == CLI_UINT) {
        snprintf(out, cap, " [%u]", *(const unsigned *)o->value);
    } else if (o->kind == CLI_REAL) {
        snprintf(out, cap, " [%g]", *(const double *)o->value);
    } else if (o->kind == CLI_STRING && *(const char *const *)o->value != NULL) {
        snprintf(out, cap, " [%s]", *(const char *const *)o->value);
    } else if (o->kind == CLI_CHOICE) {
        const char *p = o->argument;
        for (unsigned i = 0; i < *(const unsigned *)o->value; i++) {
            p = strchr(p, '|') + 1;
        }
        snprintf(out, cap, " [%.*s]", (int)strcspn(p, "|"), p);
    }
}

#define COLUMNS 110u
#define HELP_COLUMN 31u

/* Words of text in lines of COLUMNS that begin at column `left`; `at` is where the first of them stands. Ends the line. */
static void print_words(const char *text, size_t left, size_t at)
{
    int first = 1;
    for (const char *p = text + strspn(text, " \n"); *p != '\0'; first = 0) {
        const size_t len = strcspn(p, " \n");
        if (!first && at + 1 + len > COLUMNS) {
            printf("\n%*s", (int)left, "");
            at = left;
        } else if (!first) {
            putchar(' ');
            at++;
        }
        printf("%.*s", (int)len, p);
        at += len;
        p += len;
        p += strspn(p, " \n");
    }
    putchar('\n');
}

static void print_help(const cli_command *c)
{
    printf("sotto %s%s%s%s\n\n", c->name, c->option_count > 0 ? " [options]" : "", c->arguments[0] != '\0' ? " " : "", c->arguments);
    print_words(c->summary, 0, 0);
    for (size_t i = 0; i < c->option_count; i++) {
        const cli_option *o = &c->options[i];
        char preset[160], text[1024];
        const int width = printf("%s  --%s%s%s", i == 0 ? "\n" : "", o->name, o->kind == CLI_FLAG ? "" : " ", o->kind == CLI_FLAG ? "" : o->argument) - (i == 0);
        print_default(o, preset, sizeof preset);
        snprintf(text, sizeof text, "%s%s", o->help, preset);
        if (width < (int)HELP_COLUMN) {
            printf("%*s", (int)HELP_COLUMN - width, "");
        } else {
            printf("\n%*s", (int)HELP_COLUMN, "");
        }
        print_words(text, HELP_COLUMN, HELP_COLUMN);
    }
}

size_t cli_distance(const char *a, const char *b)
{
    size_t row[64];
    const size_t n = strlen(b) < 63 ? strlen(b) : 63;
    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            const size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = change < row[j] + 1 ? change : row[j] + 1;
            row[j] = row[j] < row[j - 1] + 1 ? row[j] : row[j - 1] + 1;
        }
    }
    return row[n];
}

static int unknown(const cli_command *c, const char *name)
{
    const char *best = NULL;
    size_t least = 3;
    for (size_t i = 0; i < c->option_count; i++) {
        const size_t d = cli_distance(name, c->options[i].name);
        if (d < least) {
            least = d;
            best = c->options[i].name;
        }
    }
    return best == NULL ? cli_misuse(c, "unknown option --%s", name) : cli_misuse(c, "unknown option --%s; did you mean --%s?", name, best);
}

static int set_choice(const cli_option *o, const char *value)
{
    unsigned index = 0;
    for (const char *p = o->argument;; index++) {
        const size_t len = strcspn(p, "|");
        if (strlen(value) == len && strncmp(p, value, len) == 0) {
            *(unsigned *)o->value = index;
            return 1;
        }
        if (p[len] == '\0') {
            return 0;
        }
        p += len + 1;
    }
}

static int set_value(const cli_command *c, const cli_option *o, const char *value)
{
    char *end;
    if (o->kind == CLI_STRING) {
        *(const char **)o->value = value;
        return CLI_OK;
    }
    if (o->kind == CLI_CHOICE) {
        return set_choice(o, value) ? CLI_OK : cli_misuse(c, "--%s %s; expected one of %s", o->name, value, o->argument);
    }
    errno = 0;
    const double v = strtod(value, &end);
    if (end == value || *end != '\0' || errno != 0 || !(v >= o->low) || !(v <= o->high) || (o->kind == CLI_UINT && v != floor(v))) {
        return cli_misuse(c, "--%s %s; expected %s from %g to %g", o->name, value, o->kind == CLI_UINT ? "a whole number" : "a number", o->low,
                          o->high);
    }
    if (o->kind == CLI_UINT) {
        *(unsigned *)o->value = (unsigned)v;
    } else {
        *(double *)o->value = v;
    }
    return CLI_OK;
}

/* One --name, --name value or --name=value at argv[*at]. */
static int option(const cli_command *c, int argc, char **argv, int *at)
{
    char name[64];
    const char *given = argv[*at] + 2, *equal = strchr(given, '=');
    const size_t len = equal == NULL ? strlen(given) : (size_t)(equal - given);
    snprintf(name, sizeof name, "%.*s", (int)(len < 63 ? len : 63), given);
    for (size_t i = 0; i < c->option_count; i++) {
        const cli_option *o = &c->options[i];
        if (strcmp(o->name, name) != 0) {
            continue;
        }
        if (o->kind == CLI_FLAG) {
            *(int *)o->value = 1;
            return equal == NULL ? CLI_OK : cli_misuse(c, "--%s takes no value", name);
        }
        if (equal == NULL && *at + 1 >= argc) {
            return cli_misuse(c, "--%s needs a value (%s)", name, o->argument);
        }
        return set_value(c, o, equal != NULL ? equal + 1 : argv[++*at]);
    }
    return unknown(c, name);
}

int cli_parse(const cli_command *c, int argc, char **argv, const char **args, int *arg_count, int *exit_code)
{
    *arg_count = 0;
    *exit_code = CLI_OK;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(c);
            return 0;
        }
    }
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0 && argv[i][2] != '\0') {
            *exit_code = option(c, argc, argv, &i);
            if (*exit_code != CLI_OK) {
                return 0;
            }
        } else if (argv[i][0] == '-' && argv[i][1] != '\0' && argv[i][1] != '-') {
            *exit_code = cli_misuse(c, "unknown option %s; options begin with two dashes, a file of such a name is ./%s", argv[i], argv[i]);
            return 0;
        } else if (*arg_count == c->max_args) {
            *exit_code = cli_misuse(c, "'%s' is one argument too many; expected: %s", argv[i], c->arguments);
            return 0;
        } else {
            args[(*arg_count)++] = argv[i];
        }
    }
    if (*arg_count < c->min_args) {
        *exit_code = cli_misuse(c, "missing argument; expected: %s", c->arguments);
        return 0;
    }
    return 1;
}

int cli_fail(const cli_command *c)
{
    cli_progress_end();
    fprintf(stderr, "sotto %s: %s\n", c->name, sotto_error_message());
    return CLI_FAILED;
}

int cli_misuse(const cli_command *c, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "sotto %s: ", c->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nsotto %s --help lists the options\n", c->name);
    return CLI_USAGE;
}

/* ---- progress --------------------------------------------------------------------------------------------------------- */

static double task_start = -1.0, last_shown;
static int shown;

double cli_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void cli_progress(const char *what, size_t done, size_t total)
{
    const double now = cli_seconds();
    if (task_start < 0.0) {
        task_start = now;
    }
    const int line = isatty(STDERR_FILENO);
    if (now - task_start < (line ? 2.0 : 60.0) || now - last_shown < (line ? 0.2 : 60.0)) {
        return;
    }
    last_shown = now;
    shown = line;
    fprintf(stderr, "%s%s: %zu of %zu, %.0f s", line ? "\r\033[K" : "", what, done, total, now - task_start);
    if (done > 0 && done < total) {
        fprintf(stderr, ", %.0f s left", (now - task_start) * (double)(total - done) / (double)done);
    }
    fputs(line ? "" : "\n", stderr);
}

void cli_stage(const char *what)
{
    cli_progress_end();
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\033[K%s ...", what);
        shown = 1;
    }
}

void cli_progress_end(void)
{
    if (shown) {
        fprintf(stderr, "\r\033[K");
    }
    shown = 0;
    task_start = -1.0;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------------- */

void json_begin(json *j, FILE *out)
{
    memset(j, 0, sizeof *j);
    j->out = out;
    j->pretty = 1;
}

static void quote(json *j, const char *s)
{
    fputc('"', j->out);
    for (; *s != '\0'; s++) {
        if (*s == '"' || *s == '\\') {
            fprintf(j->out, "\\%c", *s);
        } else if ((unsigned char)*s < 0x20) {
            fprintf(j->out, "\\u%04x", (unsigned)(unsigned char)*s);
        } else {
            fputc(*s, j->out);
        }
    }
    fputc('"', j->out);
}

static void member(json *j, const char *key)
{
    if (j->depth > 0 && j->count[j->depth]++ > 0) {
        fputs(j->pretty && j->depth <= 2 ? "," : ", ", j->out);
    }
    if (j->pretty && j->depth > 0 && j->depth <= 2) {
        fprintf(j->out, "\n%*s", (int)(2 * j->depth), "");
    }
    if (key != NULL) {
        quote(j, key);
        fputs(": ", j->out);
    }
}

void json_open(json *j, const char *key, char bracket)
{
    member(j, key);
    fputc(bracket, j->out);
    j->count[++j->depth] = 0;
}

void json_close(json *j, char bracket)
{
    if (j->pretty && j->depth <= 2 && j->count[j->depth] > 0) {
        fprintf(j->out, "\n%*s", (int)(2 * (j->depth - 1)), "");
    }
    fputc(bracket, j->out);
    if (--j->depth == 0) {
        fputc('\n', j->out);
    }
}

void json_string(json *j, const char *key, const char *value)
{
    member(j, key);
    quote(j, value);
}

void json_int(json *j, const char *key, long long value)
{
    member(j, key);
    fprintf(j->out, "%lld", value);
}

void json_real(json *j, const char *key, double value)
{
    member(j, key);
    if (isfinite(value)) {
        fprintf(j->out, "%.6g", value);
    } else {
        fputs("null", j->out);
    }
}

void json_bool(json *j, const char *key, int value)
{
    member(j, key);
    fputs(value ? "true" : "false", j->out);
}
