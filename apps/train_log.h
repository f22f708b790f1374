/* The history of a training: CSV and a plot of it. */
#ifndef SOTTO_APPS_TRAIN_LOG_H
#define SOTTO_APPS_TRAIN_LOG_H

#include <stddef.h>

#include "lib/err.h"

typedef struct train_row {
    unsigned epoch;
    double rate, loss, accuracy, validation, images_per_second, seconds; /* validation below 0: none was measured */
} train_row;

typedef struct train_log {
    const char *path; /* of the CSV; NULL: kept in memory alone */
    train_row *rows;
    size_t count, cap;
} train_log;

/* The rows of an earlier run when `resume` and the file is there. SOTTO_ERR_FORMAT naming the line. */
SOTTO_MUST_CHECK int train_log_open(train_log *log, const char *path, int resume);
/* Adds the row of an epoch in the place of that epoch's and later ones of an earlier run, and writes the file anew as a whole. */
SOTTO_MUST_CHECK int train_log_add(train_log *log, const train_row *row);
/* Loss, accuracies and rate over the epochs as SVG, by gnuplot. SOTTO_ERR_UNSUPPORTED with the package to install. */
SOTTO_MUST_CHECK int train_log_plot(const train_log *log, const char *svg_path);
void train_log_free(train_log *log);

#endif
