#include "apps/plot.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

/* Within gnuplot's single quotes a quote is doubled. */
void plot_quote(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text != '\0'; text++) {
        fprintf(out, *text == '\'' ? "''" : "%c", *text);
    }
    fputc('\'', out);
}

int plot_run(const char *svg_path, void (*script)(FILE *out, const void *ctx), const void *ctx)
{
    void (*before)(int) = signal(SIGPIPE, SIG_IGN); /* gnuplot may not be there to read */
    FILE *gnuplot = popen("gnuplot 2>/dev/null", "w");
    int result = -1;
    if (gnuplot != NULL) {
        script(gnuplot, ctx);
        result = pclose(gnuplot);
    }
    signal(SIGPIPE, before);
    if (result != -1 && WIFEXITED(result) && WEXITSTATUS(result) == 127) {
        return sotto_fail(SOTTO_ERR_UNSUPPORTED, "%s: gnuplot draws the plot and is not installed; install the package gnuplot-nox", svg_path);
    }
    return result == 0 ? SOTTO_OK : sotto_fail(SOTTO_ERR_IO, "%s: gnuplot did not draw the plot", svg_path);
}
