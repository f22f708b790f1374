#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <stddef.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "apps/bench.h"
#include "apps/commands.h"
#include "lib/mem.h"
#include "nn/model/text.h"
#include "nn/model/weights.h"
#include "nn/plain/calibrate.h"
#include "nn/plan/planner.h"

#define ANY 0u /* among the choices of --sign and --ot */
#define RUNS_MAX 99

static const char *net = "loopback", *out, *costs_path;
static unsigned threads = 1, goal = SOTTO_GOAL_SUM, sign = ANY, ot = ANY, sign_bits, runs = 3;
static int label_only, measure, check, as_json;

static const cli_option option_table[] = {
    {"net", CLI_STRING, &net, "NET", "loopback, lan (1 Gbit/s, 1.2 ms), wan (100 Mbit/s, 40 ms) or BANDWIDTH,RTT such as 200Mbit,10ms", 0, 0},
    {"threads", CLI_UINT, &threads, "N", "of either side", 1, 1024},
    {"goal", CLI_CHOICE, &goal, "prepare|infer|sum", "what is to take the least time", 0, 0},
    {"sign", CLI_CHOICE, &sign, "any|" SIGN_NAMES, "how signs are decided", 0, 0},
    {"ot", CLI_CHOICE, &ot, "any|" OT_NAMES, "the OT extension", 0, 0},
    {"sign-bits", CLI_UINT, &sign_bits, "N", "that enter a sign, one more of a maximum, instead of what was calibrated: measure the accuracy again", 2, 49},
    {"label-only", CLI_FLAG, &label_only, "", "sessions that give the label and no logits", 0, 0},
    {"out", CLI_STRING, &out, "PREFIX", "writes the model with this plan", 0, 0},
    {"costs", CLI_STRING, &costs_path, "FILE", "where this machine's costs are kept, instead of $XDG_CACHE_HOME/sotto/costs", 0, 0},
    {"measure", CLI_FLAG, &measure, "", "measure the machine even if there are costs", 0, 0},
    {"check", CLI_FLAG, &check, "", "run a session of both parties on this machine, and print measured beside predicted", 0, 0},
    {"runs", CLI_UINT, &runs, "N", "of --check; medians", 1, RUNS_MAX},
    {"json", CLI_FLAG, &as_json, "", "report as JSON", 0, 0},
};

static const cli_command command = {"plan", "PREFIX",
                                    "Chooses HE parameters and tiles of each linear layer, OT extension and sign provider, so that prepare, infer or their sum take the\n"
                                    "least time on this machine and a network; prints what each layer sends and computes. Refuses a plan that does not hold. Costs of\n"
                                    "the machine are measured once, by runs of a few seconds, and kept.",
                                    option_table, sizeof option_table / sizeof *option_table, 1, 1};

/* ---- the machine ----------------------------------------------------------------------------------------------------------- */

/* The cache file; its folders are made. */
static int costs_file(char path[1024])
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int len = costs_path != NULL                 ? snprintf(path, 1024, "%s", costs_path)
              : cache != NULL && *cache != '\0' ? snprintf(path, 1024, "%s/sotto/costs", cache)
              : home != NULL && *home != '\0'   ? snprintf(path, 1024, "%s/.cache/sotto/costs", home)
                                                : -1;
    if (len < 0 || len >= 1024) {
        return sotto_fail(SOTTO_ERR_ARG, "no place for the costs of this machine; name one with --costs FILE");
    }
    for (char *p = path + 1; costs_path == NULL && (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        const int made = mkdir(path, 0755) == 0 || errno == EEXIST;
        const int code = errno;
        *p = '/';
        if (!made) {
            return sotto_fail(SOTTO_ERR_IO, "%s: its folder cannot be made (%s); name another file with --costs", path, strerror(code));
        }
    }
    return SOTTO_OK;
}

static void on_measure(void *ctx, size_t done, size_t total)
{
    (void)ctx;
    cli_progress("measuring this machine", done, total);
}

/* SOTTO_ERR_ARG for a file that is there and holds something else, which measuring would replace. */
static int check_costs_file(const char *path)
{
    static const char word[] = "sotto-costs";
    char head[sizeof word - 1];
    FILE *f = fopen(path, "rb");
    const size_t len = f != NULL ? fread(head, 1, sizeof head, f) : 0;
    if (f != NULL) {
        fclose(f);
    }
    return len == 0 || (len == sizeof head && memcmp(head, word, len) == 0)
               ? SOTTO_OK
               : sotto_fail(SOTTO_ERR_ARG, "%s: this holds no costs, and would be lost; choose another file with --costs", path);
}

static int get_costs(sotto_costs *c)
{
    char path[1024];
    int status = costs_file(path);
    if (status != SOTTO_OK) {
        return status;
    }
    status = check_costs_file(path);
    if (status != SOTTO_OK) {
        return status;
    }
    status = measure ? SOTTO_ERR_IO : sotto_costs_load(c, path);
    if (status == SOTTO_OK) {
        fprintf(stderr, "costs of this machine from %s; --measure takes them anew\n", path);
        return SOTTO_OK;
    }
    if (!measure && access(path, F_OK) == 0) {
        fprintf(stderr, "%s\n", sotto_error_message());
    }
    fprintf(stderr, "measuring this machine once, a few seconds; kept in %s\n", path);
    status = sotto_costs_measure(c, on_measure, NULL);
    cli_progress_end();
    return status == SOTTO_OK ? sotto_costs_save(c, path) : status;
}

/* ---- a plan and its forecast ------------------------------------------------------------------------------------------------- */

typedef struct plan {
    sotto_network network;
    sotto_terms terms;
    sotto_forecast forecast;
} plan;

static int plan_new(plan *p, const sotto_model *m, sotto_sign_provider provider, sotto_ot_kind kind, const sotto_conditions *conditions)
{
    memset(p, 0, sizeof *p);
    int status = sotto_network_new(&p->network, m);
    if (status == SOTTO_OK) {
        status = sotto_terms_new(&p->terms, &p->network, provider, kind);
    }
    if (status == SOTTO_OK && label_only) {
        status = sotto_terms_label_only(&p->terms);
    }
    return status == SOTTO_OK ? sotto_forecast_new(&p->forecast, &p->terms, conditions) : status;
}

static void plan_free(plan *p)
{
    sotto_forecast_free(&p->forecast);
    if (p->terms.network != NULL) {
        sotto_terms_free(&p->terms);
    }
    sotto_network_free(&p->network);
}

static void set_sign_bits(sotto_model *m)
{
    for (size_t i = 0; i < m->node_count && sign_bits > 0; i++) {
        sotto_node_plan *p = &m->nodes[i].plan;
        if (p->u > 0) {
            const unsigned u = sign_bits + (m->nodes[i].op == SOTTO_OP_MAXPOOL);
            p->u = u < p->k ? u : p->k;
        }
    }
}

/* ---- a session that is timed --------------------------------------------------------------------------------------------------- */

/* Of one item: seconds that passed, and processor time of either side. */
typedef struct sample {
    double prepare, infer, client, server;
} sample;

typedef struct measured {
    sample median;
    sotto_item_bytes bytes;
} measured;

static double processor_time(pid_t pid)
{
    clockid_t clock;
    struct timespec t = {0, 0};
    if (clock_getcpuclockid(pid, &clock) == 0) {
        clock_gettime(clock, &t);
    }
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int serve(bench_pair *pair, const sotto_model *m)
{
    sotto_serving serving;
    sotto_pool *pool = NULL;
    const uint8_t ready = 1;
    int status = sotto_pool_new(&pool, threads);
    if (status == SOTTO_OK) {
        status = sotto_serving_new(&serving, m, pool);
    }
    if (status == SOTTO_OK) {
        const sotto_session_env env = {.chan = &pair->chan, .rng = sotto_rng_system(), .pool = pool, .label_only = label_only};
        status = sotto_chan_send(&pair->chan, &ready, 1);
        if (status == SOTTO_OK && bench_step(pair)) {
            status = sotto_session_serve(&serving, &env, NULL);
        }
        sotto_serving_free(&serving);
    }
    sotto_pool_free(pool);
    return status;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int take_sample(sample *s, const bench_pair *pair, sotto_session *session, int64_t *logits, const int64_t *x)
{
    const double client = processor_time(0), server = processor_time(pair->child), start = cli_seconds();
    int status = sotto_session_prepare(session);
    const double middle = cli_seconds();
    size_t label;
    status = status != SOTTO_OK ? status : label_only ? sotto_session_label(session, &label, x) : sotto_session_infer(session, logits, x);
    *s = (sample){middle - start, cli_seconds() - middle, processor_time(0) - client, processor_time(pair->child) - server};
    return status;
}

static double median_at(const sample *s, size_t offset)
{
    double x[RUNS_MAX];
    for (unsigned i = 0; i < runs; i++) {
        memcpy(&x[i], (const char *)&s[i] + offset, sizeof *x);
    }
    qsort(x, runs, sizeof *x, compare);
    return x[runs / 2];
}

/* One session; an item to warm up, then the median of `runs`. */
static int run_client(bench_pair *pair, const plan *p, measured *r)
{
    const sotto_program *program = &p->network.program;
    sample samples[RUNS_MAX + 1];
    sotto_session *session = NULL;
    sotto_pool *pool = NULL;
    uint8_t ready;
    int64_t *x = sotto_calloc(program->input_words, sizeof *x), *logits = sotto_calloc(program->output_words, sizeof *logits);
    int status = x == NULL || logits == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for an image") : sotto_pool_new(&pool, threads);
    const sotto_session_env env = {.chan = &pair->chan, .rng = sotto_rng_system(), .pool = pool, .label_only = label_only};
    if (status == SOTTO_OK) {
        status = sotto_chan_recv(&pair->chan, &ready, 1);
    }
    if (status == SOTTO_OK && !bench_step(pair)) {
        status = sotto_fail(SOTTO_ERR_CLOSED, "the second party is gone");
    }
    if (status == SOTTO_OK) {
        status = sotto_session_open(&session, &p->network, &env, p->terms.sign, p->terms.ot);
    }
    for (unsigned i = 0; i <= runs && status == SOTTO_OK; i++) {
        status = take_sample(&samples[i], pair, session, logits, x);
    }
    if (status == SOTTO_OK) {
        const sotto_stats s = sotto_session_stats(session);
        r->median = (sample){median_at(samples + 1, offsetof(sample, prepare)), median_at(samples + 1, offsetof(sample, infer)),
                             median_at(samples + 1, offsetof(sample, client)), median_at(samples + 1, offsetof(sample, server))};
        r->bytes = (sotto_item_bytes){s.prepare.bytes_out / s.prepare.count, s.prepare.bytes_in / s.prepare.count, s.infer.bytes_out / s.infer.count,
                                      s.infer.bytes_in / s.infer.count};
    }
    sotto_session_close(session);
    sotto_pool_free(pool);
    sotto_free(x);
    sotto_free(logits);
    return status;
}

/* One half of the processors for each party, if a half is enough: the kernel likes to wake the reader of a local connection on the writer's processor, and would run both on
 * one. Failure does no harm but that. */
static void keep_apart(int party)
{
    cpu_set_t all, half;
    int seen = 0;
    if (sched_getaffinity(0, sizeof all, &all) != 0 || CPU_COUNT(&all) < 2 * (int)threads) {
        return;
    }
    CPU_ZERO(&half);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &all) && (seen++ < CPU_COUNT(&all) / 2) == (party == 0)) {
            CPU_SET(cpu, &half);
        }
    }
    (void)sched_setaffinity(0, sizeof half, &half);
}

static int run_check(measured *r, const plan *p, const sotto_model *m, const link_spec *spec)
{
    bench_pair pair;
    int status = bench_pair_start(&pair, spec);
    if (status == SOTTO_OK) {
        keep_apart(pair.party);
        status = pair.party == 1 ? serve(&pair, m) : run_client(&pair, p, r);
    }
    status = bench_pair_end(&pair, status);
    const sotto_item_bytes *want = &p->forecast.bytes;
    if (status == SOTTO_OK && memcmp(want, &r->bytes, sizeof *want) != 0) {
        status = sotto_fail(SOTTO_ERR_PROTOCOL, "a session moved other bytes than predicted: prepare %llu and %llu, infer %llu and %llu", (unsigned long long)r->bytes.prepare_out,
                            (unsigned long long)r->bytes.prepare_in, (unsigned long long)r->bytes.infer_out, (unsigned long long)r->bytes.infer_in);
    }
    return status;
}

/* ---- report -------------------------------------------------------------------------------------------------------------------- */

static const char *step_name(const sotto_network *n, size_t at)
{
    const sotto_step_info *s = &n->program.steps[at];
    return s->op == SOTTO_STEP_GATHER ? "gather" : s->op == SOTTO_STEP_MAX ? "max" : s->op == SOTTO_STEP_POLY ? "poly" : sotto_op_name(n->model.nodes[s->node].op);
}

static void set_text(const sotto_node_plan *p, char out_text[48])
{
    size_t at = (size_t)snprintf(out_text, 48, "%u", (unsigned)p->he_n);
    for (unsigned i = 0; i < p->he_primes && at < 48; i++) {
        at += (size_t)snprintf(out_text + at, 48 - at, "%c%u", i == 0 ? ':' : ',', p->he_prime_bits[i]);
    }
}

static void tile_text(sotto_linear_tile t, char out_text[48])
{
    snprintf(out_text, 48, "%ux%ux%ux%u", (unsigned)t.channels, (unsigned)t.filters, (unsigned)t.rows, (unsigned)t.cols);
}

/* A step that neither sends nor computes much has no line. */
static int worth_a_line(const sotto_network *n, size_t at)
{
    const sotto_step_op op = n->program.steps[at].op;
    return op == SOTTO_STEP_LINEAR || op == SOTTO_STEP_UNIT || op == SOTTO_STEP_MAX || op == SOTTO_STEP_POLY;
}

static void print_steps(const plan *p)
{
    const sotto_network *n = &p->network;
    printf("%-12s %-8s %4s %-16s %-16s %9s %11s %11s %10s %10s %9s %9s %9s %9s %7s\n", "layer", "op", "ring", "HE set", "tile", "cts", "prep. out", "prep. in",
           "infer out", "infer in", "client ms", "server ms", "client ms", "server ms", "wrong");
    printf("%-12s %-8s %4s %-16s %-16s %9s %11s %11s %10s %10s %19s %19s %7s\n", "", "", "", "", "planes, filters, h, w", "out, in", "bytes", "bytes", "bytes", "bytes", "prepare",
           "infer", "2^");
    for (size_t i = 0; i < n->program.step_count; i++) {
        const sotto_step_info *s = &n->program.steps[i];
        const sotto_forecast_step *f = &p->forecast.steps[i];
        char set[48] = "", tile[48] = "", cts[32] = "", wrong[16] = "";
        if (!worth_a_line(n, i)) {
            continue;
        }
        if (s->op == SOTTO_STEP_LINEAR) {
            set_text(&n->model.nodes[s->node].plan, set);
            tile_text(n->linear[i].plan.tile, tile);
            snprintf(cts, sizeof cts, "%zu, %zu", n->linear[i].plan.requests, n->linear[i].plan.answers);
            snprintf(wrong, sizeof wrong, "%.0f", f->log_failure);
        }
        printf("%-12.12s %-8.8s %4u %-16s %-16s %9s %11llu %11llu %10llu %10llu %9.2f %9.2f %9.2f %9.2f %7s\n", n->model.nodes[s->node].name, step_name(n, i), s->l, set, tile,
               cts, (unsigned long long)f->bytes.prepare_out, (unsigned long long)f->bytes.prepare_in, (unsigned long long)f->bytes.infer_out,
               (unsigned long long)f->bytes.infer_in, 1e3 * f->client_prepare, 1e3 * f->server_prepare, 1e3 * f->client_infer, 1e3 * f->server_infer, wrong);
    }
}

static void print_time(const char *name, const sotto_forecast *f)
{
    printf("%-14s prepare %9.1f ms, %9.3f MB out, %9.3f MB in; infer %9.1f ms, %7.3f MB out, %7.3f MB in\n", name, 1e3 * f->prepare, (double)f->bytes.prepare_out / 1e6,
           (double)f->bytes.prepare_in / 1e6, 1e3 * f->infer, (double)f->bytes.infer_out / 1e6, (double)f->bytes.infer_in / 1e6);
}

static void print_report(const plan *now, const plan *p, const sotto_choice *choice, const link_spec *spec, const sotto_calibration_report *widths, const measured *r)
{
    const sotto_forecast *f = &p->forecast;
    print_steps(p);
    printf("\nover %s, %u thread%s a side, signs by %s, OTs by %s:\n", spec->name, threads, threads == 1 ? "" : "s", sotto_sign_name(choice->sign),
           sotto_ot_kind_name(choice->ot));
    if (now->forecast.steps != NULL) {
        print_time("as it is now", &now->forecast);
    }
    print_time("planned", f);
    if (r != NULL) {
        const sample *m = &r->median;
        printf("%-14s prepare %9.1f ms; infer %9.1f ms; predicted %+.0f %%, %+.0f %%; bytes as predicted\n", "measured", 1e3 * m->prepare, 1e3 * m->infer,
               100.0 * (f->prepare / m->prepare - 1.0), 100.0 * (f->infer / m->infer - 1.0));
        if (spec->bits_per_second == 0.0) { /* an emulated network hands over small pieces, which take more */
            printf("%-14s processor time of an item: client %.1f ms, server %.1f ms; predicted %.1f (%+.0f %%), %.1f (%+.0f %%)\n", "", 1e3 * m->client, 1e3 * m->server,
                   1e3 * f->client, 100.0 * (f->client / m->client - 1.0), 1e3 * f->server, 100.0 * (f->server / m->server - 1.0));
        }
    }
    printf("memory, about: transformed weights %.1f MB at the server; a prepared item %.2f MB at the server, %.2f MB at the client\n", (double)f->weights / 1e6,
           (double)f->server_item / 1e6, (double)f->client_item / 1e6);
    printf("security at least %u bits; an output of any linear layer decrypts wrongly with probability 2^%.0f or less\n", f->security, f->log_failure);
    if (widths->units > 0) {
        printf("%zu of an image's %zu values that a width k bounds cannot leave it, whatever the image; the others by calibration, which is no proof\n", widths->never,
               widths->units);
    } else {
        printf("that values stay within their widths k is by calibration, not proven; with the weights there it would be said of how many it is\n");
    }
    if (choice->slack > 0.0) {
        printf("no other choice is better by more than %.2f ms\n", 1e3 * choice->slack);
    }
    if (out != NULL) {
        printf("kept in %s: sessions run like this where a client asks for nothing else\n", out);
    } else {
        printf("--out PREFIX keeps it: sessions then run like this where a client asks for nothing else\n");
    }
}

static void json_bytes(json *j, const sotto_item_bytes *b)
{
    json_int(j, "prepare_bytes_out", (long long)b->prepare_out);
    json_int(j, "prepare_bytes_in", (long long)b->prepare_in);
    json_int(j, "infer_bytes_out", (long long)b->infer_out);
    json_int(j, "infer_bytes_in", (long long)b->infer_in);
}

static void json_step(json *j, const plan *p, size_t at)
{
    const sotto_network *n = &p->network;
    const sotto_step_info *s = &n->program.steps[at];
    const sotto_forecast_step *f = &p->forecast.steps[at];
    char text[48];
    json_open(j, NULL, '{');
    json_string(j, "name", n->model.nodes[s->node].name);
    json_string(j, "op", step_name(n, at));
    json_int(j, "ring", s->l);
    if (s->op == SOTTO_STEP_LINEAR) {
        set_text(&n->model.nodes[s->node].plan, text);
        json_string(j, "he", text);
        tile_text(n->linear[at].plan.tile, text);
        json_string(j, "tile", text);
        json_int(j, "requests", (long long)n->linear[at].plan.requests);
        json_int(j, "answers", (long long)n->linear[at].plan.answers);
        json_int(j, "security_bits", f->security);
        json_real(j, "log2_failure", f->log_failure);
    }
    json_bytes(j, &f->bytes);
    json_real(j, "client_prepare", f->client_prepare);
    json_real(j, "server_prepare", f->server_prepare);
    json_real(j, "client_infer", f->client_infer);
    json_real(j, "server_infer", f->server_infer);
    json_close(j, '}');
}

static void json_report(const plan *now, const plan *p, const sotto_choice *choice, const link_spec *spec, const sotto_calibration_report *widths, const measured *r)
{
    const sotto_forecast *f = &p->forecast;
    json j;
    json_begin(&j, stdout);
    json_open(&j, NULL, '{');
    json_string(&j, "name", p->network.model.name);
    json_string(&j, "net", spec->name);
    json_int(&j, "threads", threads);
    json_string(&j, "sign", sotto_sign_name(choice->sign));
    json_string(&j, "ot", sotto_ot_kind_name(choice->ot));
    json_real(&j, "prepare", f->prepare);
    json_real(&j, "infer", f->infer);
    json_real(&j, "slack", choice->slack);
    if (now->forecast.steps != NULL) {
        json_real(&j, "prepare_now", now->forecast.prepare);
        json_real(&j, "infer_now", now->forecast.infer);
    }
    if (r != NULL) {
        json_real(&j, "prepare_measured", r->median.prepare);
        json_real(&j, "infer_measured", r->median.infer);
        json_real(&j, "client_work_measured", r->median.client);
        json_real(&j, "server_work_measured", r->median.server);
    }
    json_bytes(&j, &f->bytes);
    json_int(&j, "security_bits", f->security);
    json_real(&j, "log2_failure", f->log_failure);
    if (widths->units > 0) {
        json_int(&j, "ranges", (long long)widths->units);
        json_int(&j, "ranges_never_left", (long long)widths->never);
    }
    json_int(&j, "weights_bytes", (long long)f->weights);
    json_int(&j, "server_item_bytes", (long long)f->server_item);
    json_int(&j, "client_item_bytes", (long long)f->client_item);
    json_open(&j, "layers", '[');
    for (size_t i = 0; i < p->network.program.step_count; i++) {
        if (worth_a_line(&p->network, i)) {
            json_step(&j, p, i);
        }
    }
    json_close(&j, ']');
    json_close(&j, '}');
}

/* ---- the command ---------------------------------------------------------------------------------------------------------------- */

/* With its weights where they are there, or needed. */
static int load(sotto_model *m, const char *prefix)
{
    model_paths paths;
    int status = model_paths_of(&paths, prefix);
    if (status == SOTTO_OK) {
        const int needed = out != NULL || check;
        status = sotto_model_load(m, paths.public_part, needed || access(paths.weights, R_OK) == 0 ? paths.weights : NULL);
    }
    return status;
}

/* Keeps the plan; the text, and with it what the parties compare, becomes another one. */
static int save(sotto_model *m)
{
    model_paths paths;
    int status = model_paths_of(&paths, out);
    return status == SOTTO_OK ? sotto_model_save(m, paths.public_part, paths.weights) : status;
}

/* The hash that parties compare, of the plan as it is now: saving does not change it any more. */
static int renew_hash(sotto_model *m)
{
    char *text = NULL;
    size_t len;
    const int status = sotto_model_print(m, &text, &len);
    sotto_free(text);
    return status;
}

static int run(sotto_model *m, const link_spec *spec)
{
    sotto_costs costs;
    sotto_choice choice;
    plan now = {0}, planned = {0};
    sotto_calibration_report widths = {0};
    measured r;
    int status = get_costs(&costs);
    if (status != SOTTO_OK) {
        return status;
    }
    const sotto_wish wish = {
        .conditions = {&costs, spec->bits_per_second / 8.0, spec->rtt, threads, spec->bits_per_second == 0.0 || check},
        .goal = (sotto_goal)goal,
        .label_only = label_only,
        .any_sign = sign == ANY,
        .any_ot = ot == ANY,
        .sign = (sotto_sign_provider)(sign - (sign != ANY)),
        .ot = OT_KIND(ot),
    };
    sotto_sign_provider sign_now = SOTTO_SIGN_PLANNED;
    sotto_ot_kind ot_now = SOTTO_OT_PLANNED;
    sotto_network_session(m, &sign_now, &ot_now);
    if (plan_new(&now, m, sign_now, ot_now, &wish.conditions) != SOTTO_OK) {
        plan_free(&now); /* nothing to compare with: no HE parameters yet, or other signs */
        memset(&now, 0, sizeof now);
    }
    set_sign_bits(m);
    status = sotto_planner_choose(m, &choice, &wish);
    if (status == SOTTO_OK) {
        status = renew_hash(m);
    }
    if (status == SOTTO_OK) {
        status = plan_new(&planned, m, choice.sign, choice.ot, &wish.conditions);
    }
    if (status == SOTTO_OK && sotto_model_has_weights(m)) {
        status = sotto_plan_report(m, &widths);
    }
    if (status == SOTTO_OK && out != NULL) {
        status = save(m);
    }
    if (status == SOTTO_OK && check) {
        status = run_check(&r, &planned, m, spec);
    }
    if (status == SOTTO_OK) {
        (as_json ? json_report : print_report)(&now, &planned, &choice, spec, &widths, check ? &r : NULL);
    }
    plan_free(&now);
    plan_free(&planned);
    return status;
}

int cmd_plan(int argc, char **argv)
{
    const char *args[1];
    int arg_count, code;
    link_spec spec;
    sotto_model m = {0};
    if (!cli_parse(&command, argc, argv, args, &arg_count, &code)) {
        return code;
    }
    if (link_parse(&spec, net) != SOTTO_OK) {
        return cli_misuse(&command, "--net: %s", sotto_error_message());
    }
    int status = load(&m, args[0]);
    if (status == SOTTO_OK) {
        status = run(&m, &spec);
    }
    sotto_model_free(&m);
    return status == SOTTO_OK ? CLI_OK : cli_fail(&command);
}
