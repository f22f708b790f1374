/* The subcommands of sotto, and what several of them need. */
#ifndef SOTTO_APPS_COMMANDS_H
#define SOTTO_APPS_COMMANDS_H

#include "apps/cli.h"
#include "apps/image.h"
#include "nn/plain/fixed.h"
#include "nn/secure/session.h"
#include "nn/train/dataset.h"

int cmd_train(int argc, char **argv);
int cmd_quantise(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_infer(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_bench(int argc, char **argv);

/* PREFIX or PREFIX.sotto -> PREFIX.sotto and PREFIX.weights. SOTTO_ERR_ARG when too long. */
typedef struct model_paths {
    char public_part[1024], weights[1024];
} model_paths;
SOTTO_MUST_CHECK int model_paths_of(model_paths *p, const char *prefix);

/* `spec` is NAME or NAME:FOLDER with fashion, mnist, cifar10, cifar100 or pictures. Without FOLDER: fashion as Debian's package installs it, the others in
 * $SOTTO_DATA/mnist, cifar-10-batches-bin, cifar-100-binary, pictures. A folder of pictures: those whose names begin with a digit, which is the number of their class, in the
 * order of their names and all of one size; from its folders train and test, where it has them, else the same for both halves. What is missing gives SOTTO_ERR_IO with where to get it. A set may have one half alone. */
SOTTO_MUST_CHECK int dataset_open(sotto_dataset *d, const char *spec, int train);
/* Gives a model without labels the names of the classes of that set (a FOLDER is not looked at), where it has as many outputs; else leaves it as it is. */
SOTTO_MUST_CHECK int labels_from_set(sotto_model *m, const char *spec);
/* Where an architecture is: `name` itself when it is a file or has a slash, else NAME.arch in the installed share/sotto/arch or the source tree's nn/arch.
 * SOTTO_ERR_IO with the names that there are. */
#define ARCH_PATH_MAX 2048
SOTTO_MUST_CHECK int arch_path(char path[ARCH_PATH_MAX], const char *name);

/* ---- comparing a client's run with the reference, in a process that has the weights as well ---- */
typedef struct checker {
    sotto_model model;
    sotto_program program;
    sotto_program_weights weights;
    sotto_fixed_run *run;
    uint64_t **share; /* per step: what the client's session handed over */
    int64_t *x, *plain, *expected;
} checker;

SOTTO_MUST_CHECK int checker_new(checker *c, const model_paths *paths);
void checker_free(checker *c);
/* To be given to sotto_session_audit, with the checker as ctx. */
void checker_keep(void *ctx, size_t step, const uint64_t *share, size_t words);
/* After an inference: c->plain the fixed-point logits, c->expected those of the reference given the client's shares; *exact: `logits` (real units) equal them. */
void checker_compare(checker *c, const uint8_t *pixels, const double *logits, int *exact);

const char *label_of(const sotto_model *m, size_t i, char buffer[32]);
void print_phase(const char *name, const sotto_phase_stats *p);
void json_phase(json *j, const char *key, const sotto_phase_stats *p);

/* Choices of an option --sign: what the plan says, then those of sotto_sign_provider in their order. */
#define SIGN_NAMES "lookup|circuit|circuit3"
#define SIGN_CHOICES "plan|" SIGN_NAMES
#define SIGN_PROVIDER(choice) ((choice) == 0 ? SOTTO_SIGN_PLANNED : (sotto_sign_provider)((choice) - 1))
/* An option --table-memory, in MiB: sotto_options.table_memory. */
#define TABLE_MEMORY_HELP "of garbled tables that a prepared inference keeps in memory; the others wait in files in $TMPDIR; 0: no limit"
#define TABLE_MEMORY_DEFAULT 256
/* The same of an option --ot: the kinds of OT that a session can have, in the order of their values from SOTTO_OT_IKNP on. */
#define OT_NAMES "iknp|softspoken2|softspoken3|softspoken4|softspoken5|softspoken6|softspoken7|softspoken8|ferret"
#define OT_CHOICES "plan|" OT_NAMES
#define OT_KIND(choice) ((choice) == 0 ? SOTTO_OT_PLANNED : (choice) > SOTTO_OT_SOFTSPOKEN8 ? SOTTO_OT_FERRET : (sotto_ot_kind)(choice)) /* IKNP is 1 */

#endif
