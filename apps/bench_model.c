/* Group model: a whole client against a server process, over loopback or an emulated network. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/bench_model.h"
#include "apps/commands.h"
#include "apps/quantise.h"
#include "lib/mem.h"
#include "lib/pool.h"
#include "nn/model/weights.h"
#include "ot/extension.h"

enum { FOLDER_MAX = 512 };
static const char *const phase_names[MODEL_PHASES] = {"setup", "prepare", "infer"};

/* ---- peak memory ------------------------------------------------------------------------------------------------------------- */

/* Forgets what the process needed before; where the kernel refuses, the peak counts from its start. */
static void peak_reset(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (f != NULL) {
        fputs("5", f);
        fclose(f);
    }
}

static double peak_bytes(void)
{
    char line[256];
    double kib = 0.0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) {
            kib = strtod(line + 6, NULL);
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return 1024.0 * kib;
}

/* ---- an architecture with random weights ------------------------------------------------------------------------------------------- */

static int random_model(sotto_model *m, const char *arch)
{
    char path[ARCH_PATH_MAX];
    const sotto_rng rng = sotto_rng_system();
    quantise_options options = quantise_default();
    uint16_t label = 0;
    sotto_dataset set = {.count = 1, .labels = &label, .classes = 1};
    options.images = 1;
    options.calibration.sign_bits = 8; /* random weights say nothing about what signs need, and figures are to be comparable: as many as most trained layers take or more */
    int status = arch_path(path, arch);
    if (status == SOTTO_OK) {
        status = sotto_model_load(m, path, NULL);
    }
    if (status == SOTTO_OK) {
        status = sotto_model_init_weights(m, &rng);
    }
    if (status == SOTTO_OK) {
        set.shape = m->nodes[0].shape;
        set.images = sotto_calloc(sotto_shape_words(set.shape), 1);
        status = set.images == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for an image") : sotto_rng_fill(&rng, set.images, sotto_shape_words(set.shape));
    }
    if (status == SOTTO_OK) {
        status = quantise_model(m, &set, &options);
    }
    sotto_free(set.images);
    return status;
}

int bench_memory_file(int *fd, char *path, size_t room)
{
    *fd = memfd_create("sotto-bench", MFD_CLOEXEC);
    if (*fd < 0) {
        return sotto_fail(SOTTO_ERR_IO, "no file in memory: %s", strerror(errno));
    }
    snprintf(path, room, "/proc/self/fd/%d", *fd);
    return SOTTO_OK;
}

static int copy_file(const char *to, const char *from)
{
    uint8_t *data = NULL;
    size_t len = 0;
    int status = sotto_file_read(from, SIZE_MAX, &data, &len);
    FILE *f = status == SOTTO_OK ? fopen(to, "w") : NULL;
    if (status == SOTTO_OK && (f == NULL || fwrite(data, 1, len, f) != len || fflush(f) != 0)) {
        status = sotto_fail(SOTTO_ERR_IO, "no room in memory for a network of %zu bytes: %s", len, strerror(errno));
    }
    if (f != NULL) {
        fclose(f);
    }
    sotto_free(data);
    return status;
}

/* A model is saved by renaming, which needs a folder. It is there for this function alone, which no signal ends that can wait. */
static int save_in_memory(sotto_model *m, const model_paths *paths)
{
    const char *base = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : P_tmpdir;
    char folder[FOLDER_MAX];
    model_paths disk;
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL); /* until the process ends, which is next */
    if (snprintf(folder, sizeof folder, "%s/sotto-bench-XXXXXX", base) >= FOLDER_MAX || mkdtemp(folder) == NULL) {
        return sotto_fail(SOTTO_ERR_IO, "no folder for a network under %.200s; set TMPDIR", base);
    }
    snprintf(disk.public_part, sizeof disk.public_part, "%s/model.sotto", folder);
    snprintf(disk.weights, sizeof disk.weights, "%s/model.weights", folder);
    int status = sotto_model_save(m, disk.public_part, disk.weights);
    if (status == SOTTO_OK) {
        status = copy_file(paths->public_part, disk.public_part);
    }
    if (status == SOTTO_OK) {
        status = copy_file(paths->weights, disk.weights);
    }
    unlink(disk.public_part);
    unlink(disk.weights);
    rmdir(folder);
    return status;
}

/* Plans `arch` and keeps it in two files in memory, of which paths are the names. In a process of its own, whose memory is no part of what is measured. */
static int random_saved(const char *arch, int fds[2], model_paths *paths)
{
    int status = bench_memory_file(&fds[0], paths->public_part, sizeof paths->public_part);
    if (status == SOTTO_OK) {
        status = bench_memory_file(&fds[1], paths->weights, sizeof paths->weights);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        sotto_model m = {0};
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        status = random_model(&m, arch);
        if (status == SOTTO_OK) {
            status = save_in_memory(&m, paths);
        }
        if (status != SOTTO_OK) {
            fprintf(stderr, "sotto bench, planning %s: %s\n", arch, sotto_error_message());
        }
        _exit(status == SOTTO_OK ? 0 : 1);
    }
    int left = 1;
    if (pid < 0 || waitpid(pid, &left, 0) != pid || left != 0) {
        return sotto_fail(SOTTO_ERR_PARAMS, "%s cannot be served with random weights; the reason stands above", arch);
    }
    return SOTTO_OK;
}

/* ---- both parties ------------------------------------------------------------------------------------------------------------------ */

static int serve_model(bench *b, bench_pair *pair, const model_paths *paths)
{
    sotto_model m = {0};
    sotto_serving serving = {0};
    sotto_pool *pool = NULL;
    const uint8_t ready = 1;
    int status = sotto_model_load(&m, paths->public_part, paths->weights);
    if (status == SOTTO_OK) {
        status = sotto_pool_new(&pool, b->threads);
    }
    if (status == SOTTO_OK) {
        status = sotto_serving_new(&serving, &m, pool);
    }
    sotto_model_free(&m);
    if (status == SOTTO_OK) {
        status = sotto_chan_send(&pair->chan, &ready, 1);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_flush(&pair->chan);
    }
    const sotto_session_env env = {.chan = &pair->chan, .rng = sotto_rng_system(), .pool = pool};
    while (status == SOTTO_OK && bench_step(pair)) {
        status = sotto_session_serve(&serving, &env, NULL);
    }
    sotto_serving_free(&serving);
    sotto_pool_free(pool);
    return status;
}

typedef struct client {
    sotto_network network;
    sotto_session_env env;
    sotto_session *session;
    int64_t *x, *logits;
} client;

/* One phase of one inference: its seconds, and what it moved is added up. */
static int timed_phase(bench *b, client *c, unsigned phase, double *seconds, sotto_chan_stats *moved)
{
    const sotto_chan_stats from = c->env.chan->stats;
    const double start = cli_seconds();
    const int status = phase == MODEL_SETUP     ? sotto_session_open(&c->session, &c->network, &c->env, SIGN_PROVIDER(b->sign), OT_KIND(b->ot))
                       : phase == MODEL_PREPARE ? sotto_session_prepare(c->session)
                                               : sotto_session_infer(c->session, c->logits, c->x);
    *seconds = cli_seconds() - start;
    moved->bytes_out += c->env.chan->stats.bytes_out - from.bytes_out;
    moved->bytes_in += c->env.chan->stats.bytes_in - from.bytes_in;
    moved->rounds += c->env.chan->stats.rounds - from.rounds;
    return status;
}

/* A session for each sample. The first one is a warm-up, unless fewer than five are wanted, which is for what takes minutes. */
static int run_client(bench *b, client *c, bench_pair *pair, model_figures *f)
{
    const unsigned warm_up = b->runs >= 5;
    int status = SOTTO_OK;
    for (unsigned run = 0; run < b->runs + warm_up && status == SOTTO_OK; run++) {
        sotto_chan_stats unused = {0};
        double seconds;
        if (!bench_step(pair)) {
            status = sotto_fail(SOTTO_ERR_CLOSED, "the second party is gone");
        }
        for (unsigned phase = 0; phase < MODEL_PHASES && status == SOTTO_OK; phase++) {
            status = timed_phase(b, c, phase, &seconds, run < warm_up ? &unused : &f->moved[phase]);
            if (run >= warm_up) {
                f->samples[phase][run - warm_up] = seconds;
            }
        }
        sotto_session_close(c->session);
        c->session = NULL;
    }
    for (unsigned phase = 0; phase < MODEL_PHASES; phase++) {
        const sotto_chan_stats *sum = &f->moved[phase];
        f->moved[phase] = (sotto_chan_stats){sum->bytes_out / b->runs, sum->bytes_in / b->runs, sum->rounds / b->runs};
    }
    return status;
}

static int client_new(client *c, bench *b, bench_pair *pair, const model_paths *paths)
{
    sotto_model m = {0};
    sotto_pool *pool = NULL;
    uint8_t ready;
    int status = sotto_model_load(&m, paths->public_part, NULL);
    if (status == SOTTO_OK) {
        status = sotto_network_new(&c->network, &m);
    }
    sotto_model_free(&m);
    if (status == SOTTO_OK) {
        status = sotto_pool_new(&pool, b->threads);
    }
    c->env = (sotto_session_env){.chan = &pair->chan, .rng = sotto_rng_system(), .pool = pool, .table_memory = (size_t)b->table_memory << 20};
    if (status == SOTTO_OK) {
        c->x = sotto_calloc(c->network.program.input_words, sizeof *c->x);
        c->logits = sotto_calloc(c->network.program.output_words, sizeof *c->logits);
        status = c->x == NULL || c->logits == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for an image") : SOTTO_OK;
    }
    return status == SOTTO_OK ? sotto_chan_recv(&pair->chan, &ready, 1) : status;
}

static void client_free(client *c)
{
    sotto_pool_free(c->env.pool);
    sotto_free(c->x);
    sotto_free(c->logits);
    sotto_network_free(&c->network);
}

static int both_parties(bench *b, const model_paths *paths, model_figures *f, double *server_peak)
{
    bench_pair pair;
    client c = {0};
    int status = bench_pair_start(&pair, &b->net);
    peak_reset();
    if (status == SOTTO_OK && pair.party == 1) {
        status = serve_model(b, &pair, paths);
        *server_peak = peak_bytes();
    } else if (status == SOTTO_OK) {
        status = client_new(&c, b, &pair, paths);
        if (status == SOTTO_OK) {
            status = run_client(b, &c, &pair, f);
        }
    }
    status = bench_pair_end(&pair, status); /* of the second party nothing is left here, and its peak is known */
    if (status == SOTTO_OK) {
        f->peak[0] = peak_bytes();
        f->peak[1] = *server_peak;
        snprintf(f->name, sizeof f->name, "%s", c.network.model.name);
        f->sign = SIGN_PROVIDER(b->sign);
        f->ot = OT_KIND(b->ot);
        sotto_network_session(&c.network.model, &f->sign, &f->ot);
    }
    client_free(&c);
    return status;
}

int bench_model_measure(bench *b, model_figures *f)
{
    model_paths paths;
    int fds[2] = {-1, -1};
    memset(f, 0, sizeof *f);
    double *server_peak = mmap(NULL, sizeof *server_peak, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int bad = server_peak == MAP_FAILED;
    for (unsigned phase = 0; phase < MODEL_PHASES; phase++) {
        f->samples[phase] = sotto_calloc(b->runs, sizeof *f->samples[phase]);
        bad |= f->samples[phase] == NULL;
    }
    int status = bad ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for %u samples", b->runs) : SOTTO_OK;
    if (status == SOTTO_OK) {
        status = b->arch == NULL ? model_paths_of(&paths, b->model) : random_saved(b->arch, fds, &paths);
    }
    if (status == SOTTO_OK) {
        status = both_parties(b, &paths, f, server_peak);
    }
    for (size_t i = 0; i < 2; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    if (server_peak != MAP_FAILED) {
        munmap(server_peak, sizeof *server_peak);
    }
    return status;
}

void model_figures_free(model_figures *f)
{
    for (unsigned phase = 0; phase < MODEL_PHASES; phase++) {
        sotto_free(f->samples[phase]);
        f->samples[phase] = NULL;
    }
}

static void report(bench *b, model_figures *f)
{
    static const char *const sides[] = {"memory.client", "memory.server"};
    const bench_param params[] = {{"model", f->name, 0},
                                  {"net", b->net.name, 0},
                                  {"units", sotto_sign_name(f->sign), 0},
                                  {"ot", sotto_ot_kind_name(f->ot), 0},
                                  {"weights", b->arch == NULL ? "trained" : "random", 0},
                                  {0}};
    for (unsigned phase = 0; phase < MODEL_PHASES; phase++) {
        if (bench_wants(b, phase_names[phase])) {
            bench_report(b, &(bench_row){.name = phase_names[phase], .unit = "s", .params = params}, f->samples[phase], &f->moved[phase]);
        }
    }
    for (size_t side = 0; side < 2; side++) {
        if (bench_wants(b, sides[side])) {
            bench_report_one(b, &(bench_row){.name = sides[side], .unit = "MB", .params = params}, f->peak[side] / 1e6);
        }
    }
}

int bench_model(bench *b)
{
    model_figures f;
    const int status = bench_model_measure(b, &f);
    if (status == SOTTO_OK) {
        report(b, &f);
    }
    model_figures_free(&f);
    return status;
}
