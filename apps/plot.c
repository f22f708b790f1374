#include "apps/plot.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/mem.h"
#include "nn/model/weights.h"

#define FILE_MAX ((size_t)64 << 20)

int plot_check(const char *svg_path)
{
    return system("gnuplot --version >/dev/null 2>&1") == 0
               ? SOTTO_OK
               : sotto_fail(SOTTO_ERR_UNSUPPORTED, "%s: gnuplot draws the plot and is not installed; install the package gnuplot-nox, or leave out --plot", svg_path);
}

/* A drawing that was cut off has no end, though gnuplot says nothing. */
static int keep(int fd, const char *path, const char *svg_path)
{
    static const char end[] = "</svg>";
    uint8_t *svg = NULL;
    size_t len = 0;
    const off_t size = lseek(fd, 0, SEEK_END);
    int status = size > 0 ? sotto_file_read(path, FILE_MAX, &svg, &len) : sotto_fail(SOTTO_ERR_IO, "gnuplot did not draw the plot");
    if (status == SOTTO_OK && strstr((const char *)svg + (len > 16 ? len - 16 : 0), end) == NULL) {
        status = sotto_fail(SOTTO_ERR_IO, "gnuplot did not draw the whole plot; make room in memory");
    }
    if (status == SOTTO_OK) {
        status = sotto_file_write(svg_path, svg, len, 0644);
    } else {
        status = sotto_fail_context(status, "%s", svg_path);
    }
    sotto_free(svg);
    return status;
}

int plot_run(const char *svg_path, void (*script)(FILE *out, const void *ctx), const void *ctx)
{
    char path[64];
    int status = plot_check(svg_path);
    if (status != SOTTO_OK) {
        return status;
    }
    const int fd = memfd_create("plot", 0);
    if (fd < 0) {
        return sotto_fail(SOTTO_ERR_MEMORY, "%s: no memory for the plot", svg_path);
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd); /* the same in gnuplot, which inherits it */
    void (*before)(int) = signal(SIGPIPE, SIG_IGN); /* gnuplot may end before it has read all */
    FILE *gnuplot = popen("gnuplot 2>/dev/null", "w");
    int result = -1;
    if (gnuplot != NULL) {
        fprintf(gnuplot, "set output '%s'\n", path);
        script(gnuplot, ctx);
        result = pclose(gnuplot);
    }
    signal(SIGPIPE, before);
    status = result == 0 ? keep(fd, path, svg_path) : sotto_fail(SOTTO_ERR_IO, "%s: gnuplot did not draw the plot", svg_path);
    close(fd);
    return status;
}
