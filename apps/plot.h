/* Plots as SVG, drawn by gnuplot. */
#ifndef SOTTO_APPS_PLOT_H
#define SOTTO_APPS_PLOT_H

#include <stdio.h>

#include "lib/err.h"

/* Runs gnuplot on what `script` writes; the file it draws is the script's business, svg_path is for messages. SOTTO_ERR_UNSUPPORTED with the package to install;
 * SOTTO_ERR_IO. */
SOTTO_MUST_CHECK int plot_run(const char *svg_path, void (*script)(FILE *out, const void *ctx), const void *ctx);
/* Text in gnuplot's quotes. */
void plot_quote(FILE *out, const char *text);

#endif
