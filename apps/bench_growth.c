/* Group growth: what an inference costs as the network grows, in one respect at a time. Networks are written as text, with random weights. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/bench_model.h"
#include "apps/plot.h"

#define SIZES 6

typedef struct shape {
    unsigned side, channels, relus, depth; /* relus: channels of each layer that have one, the others are zeroed */
} shape;

typedef enum figure { PREPARE_S, INFER_S, PREPARE_BYTES, INFER_BYTES, CLIENT_PEAK, SERVER_PEAK, FIGURES } figure;

static const struct {
    const char *name, *unit; /* unit of a slope, behind a `per` of the sweep */
    double factor;           /* from the figure's own unit, s or bytes */
} figures[FIGURES] = {{"prepare", "us", 1e6},      {"infer", "us", 1e6},         {"prepare.bytes", "B", 1},
                      {"infer.bytes", "B", 1},     {"memory.client", "B", 1},    {"memory.server", "B", 1}};

static shape by_relus(unsigned size) { return (shape){32, 64, size, 2}; }
static shape by_side(unsigned size) { return (shape){size, 16, 16, 2}; }
static shape by_channels(unsigned size) { return (shape){16, size, size, 2}; }
static shape by_depth(unsigned size) { return (shape){16, 16, 16, size}; }
static double relus_of(const shape *s) { return (double)s->side * s->side * s->relus * s->depth; }
static double pixels_of(const shape *s) { return (double)s->side * s->side; }
static double channels_of(const shape *s) { return s->channels; }
static double depth_of(const shape *s) { return s->depth; }

static const struct sweep {
    const char *name, *of; /* what x counts */
    unsigned sizes[SIZES];
    shape (*shape_of)(unsigned size);
    double (*x)(const shape *s);
} sweeps[] = {{"relus", "ReLU", {8, 16, 24, 32, 48, 64}, by_relus, relus_of},
              {"side", "pixel", {8, 16, 24, 32, 48, 64}, by_side, pixels_of},
              {"channels", "channel", {8, 16, 24, 32, 48, 64}, by_channels, channels_of},
              {"depth", "layer", {1, 2, 4, 6, 8, 12}, by_depth, depth_of}};
#define SWEEPS (sizeof sweeps / sizeof *sweeps)

/* y = intercept + slope x by least squares; linear: the share of y's variance that it explains; power: slope of log y over log x, 1 where y is proportional to x. */
typedef struct fit {
    double intercept, slope, linear, power;
} fit;

typedef struct point {
    double x, y[FIGURES];
} point;

typedef struct growth {
    point points[SWEEPS][SIZES];
    fit fits[SWEEPS][FIGURES];
} growth;

/* ---- one network ------------------------------------------------------------------------------------------------------------- */

static int write_network(const char *path, const shape *s)
{
    FILE *f = fopen(path, "w");
    if (f == NULL) {
        return sotto_fail(SOTTO_ERR_IO, "%s cannot be written; make room in memory", path);
    }
    fprintf(f, "sotto-model 1\nname growth\ninput 3x%ux%u mean=0.5,0.5,0.5 std=0.25,0.25,0.25\n", s->side, s->side);
    for (unsigned i = 0; i < s->depth; i++) {
        char from[16] = "input";
        if (i > 0) {
            snprintf(from, sizeof from, "a%u", i - 1);
        }
        fprintf(f, "conv c%u %s out=%u kernel=3 pad=1\nact a%u c%u\n", i, from, s->channels, i, i);
    }
    fprintf(f, "globalavg p a%u\ndense d p out=10\n", s->depth - 1);
    for (unsigned i = 0; i < s->depth && s->relus < s->channels; i++) {
        fprintf(f, "units a%u 0 relu*%u,zero*%u\n", i, s->relus, s->channels - s->relus);
    }
    const int bad = ferror(f) != 0;
    return fclose(f) != 0 || bad ? sotto_fail(SOTTO_ERR_IO, "%s cannot be written; make room in memory", path) : SOTTO_OK;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, unsigned n)
{
    qsort(x, n, sizeof *x, compare);
    return x[n / 2];
}

static int measure(bench *b, const char *path, double y[FIGURES])
{
    model_figures f;
    bench mine = *b;
    mine.arch = path;
    const int status = bench_model_measure(&mine, &f);
    if (status == SOTTO_OK) {
        const sotto_chan_stats *p = &f.moved[MODEL_PREPARE], *i = &f.moved[MODEL_INFER];
        y[PREPARE_S] = median(f.samples[MODEL_PREPARE], b->runs);
        y[INFER_S] = median(f.samples[MODEL_INFER], b->runs);
        y[PREPARE_BYTES] = (double)(p->bytes_out + p->bytes_in);
        y[INFER_BYTES] = (double)(i->bytes_out + i->bytes_in);
        y[CLIENT_PEAK] = f.peak[0];
        y[SERVER_PEAK] = f.peak[1];
    }
    model_figures_free(&f);
    return status;
}

/* In a process of its own: its peak of memory must not begin with what earlier sizes left behind. */
static int measure_apart(bench *b, const char *path, double *shared)
{
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        const int status = measure(b, path, shared);
        if (status != SOTTO_OK) {
            fprintf(stderr, "sotto bench growth: %s\n", sotto_error_message());
        }
        _exit(status == SOTTO_OK ? 0 : 1);
    }
    int left = 1;
    if (pid < 0 || waitpid(pid, &left, 0) != pid || left != 0) {
        return sotto_fail(SOTTO_ERR_PEER, "a network of the sweep cannot be measured; the reason stands above");
    }
    return SOTTO_OK;
}

/* ---- lines ------------------------------------------------------------------------------------------------------------------- */

static fit fit_of(const point p[SIZES], figure which)
{
    double sx = 0, sy = 0, sxx = 0, sxy = 0, syy = 0, lx = 0, ly = 0, lxx = 0, lxy = 0;
    for (size_t i = 0; i < SIZES; i++) {
        const double x = p[i].x, y = p[i].y[which], u = log(x), v = log(y);
        sx += x, sy += y, sxx += x * x, sxy += x * y, syy += y * y;
        lx += u, ly += v, lxx += u * u, lxy += u * v;
    }
    const double n = SIZES, vx = sxx - sx * sx / n, vy = syy - sy * sy / n, c = sxy - sx * sy / n;
    const double slope = c / vx;
    return (fit){.slope = slope,
                 .intercept = (sy - slope * sx) / n,
                 .linear = vy > 0 ? c * c / (vx * vy) : 1.0,
                 .power = (lxy - lx * ly / n) / (lxx - lx * lx / n)};
}

static void report_point(bench *b, const struct sweep *w, const point *p)
{
    const bench_param params[] = {{"sweep", w->name, 0}, {w->of, NULL, p->x}, {"net", b->net.name, 0}, {0}};
    for (unsigned i = 0; i < FIGURES; i++) {
        const int seconds = i <= INFER_S;
        if (bench_wants(b, figures[i].name)) {
            bench_report_one(b, &(bench_row){.name = figures[i].name, .unit = seconds ? "s" : "MB", .params = params}, p->y[i] / (seconds ? 1.0 : 1e6));
        }
    }
}

static void report_fits(bench *b, const struct sweep *w, const fit f[FIGURES])
{
    for (unsigned i = 0; i < FIGURES; i++) {
        char name[32], unit[24];
        const bench_param params[] = {{"intercept", NULL, f[i].intercept * figures[i].factor}, {"r2", NULL, f[i].linear}, {"power", NULL, f[i].power}, {"net", b->net.name, 0}, {0}};
        snprintf(name, sizeof name, "slope.%s", figures[i].name);
        snprintf(unit, sizeof unit, "%s/%s", figures[i].unit, w->of);
        if (bench_wants(b, name) || bench_wants(b, figures[i].name)) {
            bench_report_one(b, &(bench_row){.name = name, .unit = unit, .params = params}, f[i].slope * figures[i].factor);
        }
    }
}

static void draw(FILE *out, const void *ctx)
{
    static const struct {
        const char *label;
        unsigned first, second; /* figures */
        double factor;
        const char *names[2];
    } rows[] = {{"ms", PREPARE_S, INFER_S, 1e3, {"prepare", "infer"}},
                {"MB moved", PREPARE_BYTES, INFER_BYTES, 1e-6, {"prepare", "infer"}},
                {"MB of memory", CLIENT_PEAK, SERVER_PEAK, 1e-6, {"client", "server"}}};
    const growth *g = ctx;
    for (size_t s = 0; s < SWEEPS; s++) {
        fprintf(out, "$s%zu << end_of_data\n", s);
        for (size_t i = 0; i < SIZES; i++) {
            fprintf(out, "%.9g", g->points[s][i].x);
            for (unsigned k = 0; k < FIGURES; k++) {
                fprintf(out, " %.9g", g->points[s][i].y[k]);
            }
            fputc('\n', out);
        }
        fputs("end_of_data\n", out);
    }
    fprintf(out, "set terminal svg size 1200,800 background rgb 'white'\nset grid\nset key top left\nset samples 2\nset yrange [0:]\nset xrange [0:]\nset format x '%%.0s%%c'\nset multiplot layout 3,%d\n", (int)SWEEPS);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        for (size_t s = 0; s < SWEEPS; s++) {
            const fit *f = g->fits[s];
            const unsigned which[2] = {rows[r].first, rows[r].second};
            fprintf(out, "set xlabel '%ss'\nset xtics %.9g\nset ylabel '%s'\nplot", sweeps[s].of, g->points[s][SIZES - 1].x / 4.0, rows[r].label);
            for (unsigned k = 0; k < 2; k++) {
                fprintf(out, "%s $s%zu using 1:($%u*%g) with points pt 7 ps 0.6 lc %u title '%s', %.9g + x * %.9g with lines lc %u notitle", k > 0 ? "," : "", s, which[k] + 2,
                        rows[r].factor, k + 1, rows[r].names[k], f[which[k]].intercept * rows[r].factor, f[which[k]].slope * rows[r].factor, k + 1);
            }
            fputc('\n', out);
        }
    }
    fputs("unset multiplot\n", out);
}

/* ---- all sweeps -------------------------------------------------------------------------------------------------------------- */

static int run_sweep(bench *b, size_t s, const char *path, double *shared, growth *g)
{
    const struct sweep *w = &sweeps[s];
    int status = SOTTO_OK;
    for (size_t i = 0; i < SIZES && status == SOTTO_OK; i++) {
        const shape network = w->shape_of(w->sizes[i]);
        point *p = &g->points[s][i];
        status = write_network(path, &network);
        if (status == SOTTO_OK) {
            status = measure_apart(b, path, shared);
        }
        if (status == SOTTO_OK) {
            p->x = w->x(&network);
            memcpy(p->y, shared, sizeof p->y);
            report_point(b, w, p);
        }
    }
    for (unsigned i = 0; i < FIGURES && status == SOTTO_OK; i++) {
        g->fits[s][i] = fit_of(g->points[s], (figure)i);
    }
    if (status == SOTTO_OK) {
        report_fits(b, w, g->fits[s]);
    }
    return status;
}

int bench_growth(bench *b)
{
    char path[64];
    growth g = {0};
    int fd, status = bench_memory_file(&fd, path, sizeof path);
    if (status != SOTTO_OK) {
        return status;
    }
    double *shared = mmap(NULL, FIGURES * sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    status = shared == MAP_FAILED ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for the figures") : SOTTO_OK;
    for (size_t s = 0; s < SWEEPS && status == SOTTO_OK; s++) {
        status = run_sweep(b, s, path, shared, &g);
    }
    close(fd);
    if (shared != MAP_FAILED) {
        munmap(shared, FIGURES * sizeof *shared);
    }
    if (status == SOTTO_OK && b->plot != NULL) {
        status = plot_run(b->plot, draw, &g);
    }
    return status;
}
