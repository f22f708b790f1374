/* Measuring a whole network: a client here, a server in a process of its own. What the groups model and growth share. */
#ifndef SOTTO_APPS_BENCH_MODEL_H
#define SOTTO_APPS_BENCH_MODEL_H

#include "apps/bench.h"
#include "nn/model/model.h"
#include "nn/sotto.h"

enum { MODEL_SETUP, MODEL_PREPARE, MODEL_INFER, MODEL_PHASES };

typedef struct model_figures {
    char name[SOTTO_NAME_MAX];
    sotto_sign_provider sign; /* of the sessions */
    sotto_ot_kind ot;
    double *samples[MODEL_PHASES];        /* b->runs, seconds */
    sotto_chan_stats moved[MODEL_PHASES]; /* of one, as the client sees it */
    double peak[2];                       /* bytes of client and server; of this process where the kernel refuses to forget what it needed before */
} model_figures;

/* b->runs sessions of b->model, or of b->arch with random weights, with one image each, over b->net. For model_figures_free also after a failure. */
SOTTO_MUST_CHECK int bench_model_measure(bench *b, model_figures *f);
void model_figures_free(model_figures *f);
/* An empty file in memory, which is gone when the processes that have it open are, whatever ends them. path: its name in this process and those it forks; *fd: to be closed
 * when it is no longer needed, -1 on failure. */
SOTTO_MUST_CHECK int bench_memory_file(int *fd, char *path, size_t room);

#endif
