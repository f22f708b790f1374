/* Plots as SVG, drawn by gnuplot. */
#ifndef SOTTO_APPS_PLOT_H
#define SOTTO_APPS_PLOT_H

#include <stdio.h>

#include "lib/err.h"

/* To be called before the work whose result is to be drawn. SOTTO_ERR_UNSUPPORTED with the package to install where there is no gnuplot. */
SOTTO_MUST_CHECK int plot_check(const char *svg_path);
/* Runs gnuplot on what `script` writes, which sets the terminal (svg) and no output, and writes the drawing as a whole: a failure leaves the file as it was. Errors of
 * plot_check; SOTTO_ERR_IO. */
SOTTO_MUST_CHECK int plot_run(const char *svg_path, void (*script)(FILE *out, const void *ctx), const void *ctx);

#endif
