/* The subcommands of sotto, and what several of them need. */
#ifndef SOTTO_APPS_COMMANDS_H
#define SOTTO_APPS_COMMANDS_H

#include "apps/cli.h"
#include "nn/plain/fixed.h"
#include "nn/secure/session.h"
#include "nn/train/dataset.h"

int cmd_train(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
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

/* "fashion", "fashion:DIR" or "cifar10:DIR". */
SOTTO_MUST_CHECK int dataset_open(sotto_dataset *d, const char *spec, int train);

/* A PGM, PPM or PNG image as channel-major bytes, *pixels released with sotto_free. SOTTO_ERR_MISMATCH unless it has that shape. */
SOTTO_MUST_CHECK int image_read(const char *path, sotto_shape shape, uint8_t **pixels);

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

/* Choices of an option --ot: the kinds of OT that a session can have, in the order of their values from SOTTO_OT_IKNP on. */
#define OT_CHOICES "iknp|softspoken2|softspoken3|softspoken4|softspoken5|softspoken6|softspoken7|softspoken8"
#define OT_HELP "\n                                "
#define OT_DEFAULT (SOTTO_OT_SOFTSPOKEN4 - SOTTO_OT_IKNP)
#define OT_KIND(choice) ((sotto_ot_kind)(SOTTO_OT_IKNP + (choice)))

#endif
