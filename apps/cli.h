/* What the subcommands share: options declared as tables, JSON output, progress, and units for people. */
#ifndef SOTTO_APPS_CLI_H
#define SOTTO_APPS_CLI_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes. */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

typedef enum cli_kind { CLI_FLAG, CLI_UINT, CLI_REAL, CLI_STRING, CLI_CHOICE } cli_kind;

/* value points to int (flag), unsigned (uint, choice: index), double or const char *, and holds the default. */
typedef struct cli_option {
    const char *name;     /* without the dashes */
    cli_kind kind;
    void *value;
    const char *argument; /* name of the argument; choice: the names, separated by '|' */
    const char *help;     /* broken into lines where it is printed, as the summary of a command */
    double low, high;     /* uint, real: range */
} cli_option;

typedef struct cli_command {
    const char *name, *arguments, *summary;
    const cli_option *options;
    size_t option_count;
    int min_args, max_args; /* positional */
} cli_command;

/* Parses argv (argv[0] is the subcommand). 1: go on, args are the positional ones; 0: leave with *exit_code (help was printed, or a mistake explained). */
int cli_parse(const cli_command *c, int argc, char **argv, const char **args, int *arg_count, int *exit_code);
/* "sotto NAME: message" of the library's last failure to stderr; returns CLI_FAILED. */
int cli_fail(const cli_command *c);
/* The same for a mistake in how the command was called; returns CLI_USAGE. */
int cli_misuse(const cli_command *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Edit distance of two words of up to 63 characters, for a suggestion after a typing error. */
size_t cli_distance(const char *a, const char *b);

/* A line on stderr: on a terminal one that is overwritten, from the third second of a task on; elsewhere (a log file) one each minute. cli_progress_end clears it and ends
 * the task. */
void cli_progress(const char *what, size_t done, size_t total);
/* What begins now and says nothing until it is done; on a terminal alone. */
void cli_stage(const char *what);
void cli_progress_end(void);

double cli_seconds(void); /* monotonic */

/* ---- JSON, written as it goes: objects and arrays may nest to 16; keys are NULL inside arrays ---- */
typedef struct json {
    FILE *out;
    unsigned depth, count[16];
    int pretty; /* one member a line at the first two depths */
} json;

void json_begin(json *j, FILE *out);
void json_open(json *j, const char *key, char bracket); /* '{' or '[' */
void json_close(json *j, char bracket);                 /* '}' or ']'; the outermost also ends the line */
void json_string(json *j, const char *key, const char *value);
void json_int(json *j, const char *key, long long value);
void json_real(json *j, const char *key, double value);
void json_bool(json *j, const char *key, int value);

#endif
