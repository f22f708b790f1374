#include "apps/bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/commands.h"
#include "apps/plot.h"
#include "lib/cpu.h"
#include "lib/mem.h"
#include "lib/tcp.h"

#define RUN_SECONDS 0.02 /* of a run, at least */
#define RUNS_MAX 1000
#define REPEAT_MAX (1u << 24)
#define PEER_MS 600000 /* longest that one party of a pair computes while the other one waits */

static const struct group {
    const char *name;
    int (*run)(bench *b);
} groups[] = {{"ring", bench_ring}, {"bfv", bench_bfv},     {"ot", bench_ot},       {"garble", bench_garble},
              {"relu", bench_relu}, {"layer", bench_layer}, {"model", bench_model}, {"growth", bench_growth}, {"train", bench_train}};

static const struct unit {
    const char *name;
    double factor;
    int rate;
} units[] = {{"s", 1.0, 0},   {"ms", 1e3, 0},       {"us", 1e6, 0},       {"ns", 1e9, 0},
             {"M/s", 1e-6, 1}, {"images/s", 1.0, 1}, {"GFLOP/s", 1e-9, 1}};

/* ---- measuring ---------------------------------------------------------------------------------------------------------- */

int bench_wants(const bench *b, const char *name)
{
    return b->only == NULL || strcmp(b->only, name) == 0;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One clock reading for all the calls, unless something untimed stands between them. */
static int timed(const bench_row *row, unsigned repeat, double *seconds, sotto_chan_stats *moved)
{
    const unsigned batch = row->before == NULL ? repeat : 1;
    int status = SOTTO_OK;
    *seconds = 0.0;
    for (unsigned done = 0; done < repeat && status == SOTTO_OK; done += batch) {
        if (row->before != NULL) {
            status = row->before(row->ctx);
        }
        const sotto_chan_stats from = row->chan == NULL ? (sotto_chan_stats){0} : row->chan->stats;
        const double start = cli_seconds();
        for (unsigned i = 0; i < batch && status == SOTTO_OK; i++) {
            status = row->call(row->ctx);
        }
        *seconds += cli_seconds() - start;
        if (row->chan != NULL) {
            moved->bytes_out += row->chan->stats.bytes_out - from.bytes_out;
            moved->bytes_in += row->chan->stats.bytes_in - from.bytes_in;
            moved->rounds += row->chan->stats.rounds - from.rounds;
        }
    }
    return status;
}

/* Calls that fill a run. The first call is cold and slow, so the number grows until a run of that many is long enough. */
static int calibrate(const bench_row *row, unsigned *repeat)
{
    sotto_chan_stats moved = {0};
    double seconds;
    int status;
    *repeat = 1;
    while ((status = timed(row, *repeat, &seconds, &moved)) == SOTTO_OK && seconds < RUN_SECONDS && *repeat < REPEAT_MAX) {
        const double wanted = 1.1 * RUN_SECONDS / (seconds > 1e-9 ? seconds : 1e-9); /* times as many, between 2 and 16 */
        *repeat *= wanted > 16.0 ? 16 : wanted < 2.0 ? 2 : (unsigned)wanted + 1;
    }
    return status;
}

void bench_report(bench *b, const bench_row *row, double *x, const sotto_chan_stats *bytes)
{
    qsort(x, b->runs, sizeof *x, compare);
    const double median = x[b->runs / 2], low = x[b->runs / 10], high = x[b->runs - 1 - b->runs / 10];
    b->rows++;
    if (b->as_json) {
        json_begin(&b->j, stdout);
        b->j.pretty = 0;
        json_open(&b->j, NULL, '{');
        json_string(&b->j, "name", row->name);
        json_string(&b->j, "unit", row->unit);
        json_real(&b->j, "median", median);
        json_real(&b->j, "p10", low);
        json_real(&b->j, "p90", high);
        json_int(&b->j, "runs", b->runs);
        json_string(&b->j, "tier", row->tier != NULL ? row->tier : b->tier);
        json_int(&b->j, "threads", b->threads);
        json_open(&b->j, "params", '{');
        for (const bench_param *p = row->params; p != NULL && p->key != NULL; p++) {
            if (p->text != NULL) {
                json_string(&b->j, p->key, p->text);
            } else {
                json_real(&b->j, p->key, p->number);
            }
        }
        json_close(&b->j, '}');
        if (bytes != NULL) {
            json_int(&b->j, "bytes_out", (long long)bytes->bytes_out);
            json_int(&b->j, "bytes_in", (long long)bytes->bytes_in);
            json_int(&b->j, "rounds", (long long)bytes->rounds);
        }
        json_close(&b->j, '}');
    } else {
        char params[200] = "";
        size_t at = 0;
        for (const bench_param *p = row->params; p != NULL && p->key != NULL && at < sizeof params - 1; p++) {
            const int n = p->text != NULL ? snprintf(params + at, sizeof params - at, " %s=%s", p->key, p->text)
                                          : snprintf(params + at, sizeof params - at, " %s=%g", p->key, p->number);
            at += n > 0 ? (size_t)n : 0;
        }
        printf("%-22s %12.4g %-9s p10 %-10.4g p90 %-10.4g", row->name, median, row->unit, low, high);
        if (bytes != NULL) {
            printf(" out %llu B in %llu B rounds %llu", (unsigned long long)bytes->bytes_out, (unsigned long long)bytes->bytes_in,
                   (unsigned long long)bytes->rounds);
        }
        printf("%s", params);
        if (row->tier != NULL) {
            printf(" tier=%s", row->tier);
        }
        printf("\n");
    }
    fflush(stdout);
}

void bench_report_one(bench *b, const bench_row *row, double value)
{
    const unsigned runs = b->runs;
    b->runs = 1;
    bench_report(b, row, &value, NULL);
    b->runs = runs;
}

int bench_measure(bench *b, const bench_row *row)
{
    double x[RUNS_MAX], seconds;
    unsigned repeat;
    sotto_chan_stats moved = {0};
    const struct unit *unit = units;
    while (strcmp(unit->name, row->unit) != 0) {
        unit++;
    }
    int status = calibrate(row, &repeat); /* the warm-up as well */
    for (unsigned i = 0; i < b->runs && status == SOTTO_OK; i++) {
        status = timed(row, repeat, &seconds, &moved);
        const double items = row->items * repeat;
        x[i] = unit->rate ? items / seconds * unit->factor : seconds / items * unit->factor;
    }
    if (status != SOTTO_OK) {
        return sotto_fail_context(status, "%s", row->name);
    }
    const uint64_t calls = (uint64_t)repeat * b->runs;
    const sotto_chan_stats bytes = {moved.bytes_out / calls, moved.bytes_in / calls, moved.rounds / calls};
    bench_report(b, row, x, row->chan == NULL ? NULL : &bytes);
    return SOTTO_OK;
}

/* ---- two processes ---------------------------------------------------------------------------------------------------------- */

int bench_pair_start(bench_pair *p, const link_spec *net)
{
    sotto_tcp_listener *listener = NULL;
    char peer[64];
    memset(p, 0, sizeof *p);
    int status = sotto_tcp_listen(&listener, "127.0.0.1", 0);
    if (status != SOTTO_OK) {
        return status;
    }
    const uint16_t port = sotto_tcp_port(listener);
    p->link.port = port;
    if (net != NULL) {
        status = link_start(&p->link, net, port);
    }
    if (status != SOTTO_OK) {
        sotto_tcp_listener_free(listener);
        return status;
    }
    fflush(NULL);
    p->child = fork();
    if (p->child < 0) {
        sotto_tcp_listener_free(listener);
        return sotto_fail(SOTTO_ERR_IO, "no process for the second party");
    }
    p->party = p->child == 0;
    if (p->party == 1) {
        status = sotto_tcp_connect(&p->chan, "127.0.0.1", p->link.port, PEER_MS);
    } else {
        status = sotto_tcp_accept(listener, &p->chan, PEER_MS, peer);
    }
    sotto_tcp_listener_free(listener);
    return status;
}

int bench_step(bench_pair *p)
{
    uint8_t go = 1;
    if (p->party == 0) {
        const int status = sotto_chan_send(&p->chan, &go, 1);
        return status == SOTTO_OK;
    }
    return sotto_chan_recv(&p->chan, &go, 1) == SOTTO_OK && go == 1;
}

int bench_pair_end(bench_pair *p, int status)
{
    if (p->party == 1) {
        if (status != SOTTO_OK) {
            fprintf(stderr, "sotto bench, second party: %s\n", sotto_error_message());
        }
        sotto_chan_close(&p->chan);
        _exit(status == SOTTO_OK ? 0 : 1);
    }
    const uint8_t stop = 0;
    if (p->chan.ops != NULL && sotto_chan_send(&p->chan, &stop, 1) == SOTTO_OK) {
        const int flushed = sotto_chan_flush(&p->chan);
        (void)flushed; /* a second party that is gone shows below */
    }
    sotto_chan_close(&p->chan); /* a second party that waits for more than the byte must not wait for the timeout */
    int left = 0;
    if (p->child > 0 && waitpid(p->child, &left, 0) == p->child && left != 0 && status == SOTTO_OK) {
        status = sotto_fail(SOTTO_ERR_PEER, "the second party failed; its message stands above");
    }
    link_stop(&p->link);
    return status;
}

/* ---- the subcommand ------------------------------------------------------------------------------------------------------- */

static bench settings = {.runs = 7, .threads = 1, .model = "apps/demo/fashion", .table_memory = TABLE_MEMORY_DEFAULT, .bits = 24};
static const char *tier, *net = "loopback";
static int random_weights;

static const cli_option option_table[] = {
    {"json", CLI_FLAG, &settings.as_json, "", "one JSON object a line", 0, 0},
    {"tier", CLI_STRING, &tier, "T", "at most this tier of CPU features: portable, avx2, avx512 or ifma", 0, 0},
    {"only", CLI_STRING, &settings.only, "NAME", "one row, by its name in the output", 0, 0},
    {"runs", CLI_UINT, &settings.runs, "N", "runs of each row; 5 and more give a median worth the name", 1, RUNS_MAX},
    {"threads", CLI_UINT, &settings.threads, "N", "of each process in the groups layer, model, growth and train", 1, 1024},
    {"net", CLI_STRING, &net, "NET", "loopback, lan (1 Gbit/s, 1.2 ms), wan (100 Mbit/s, 40 ms) or BANDWIDTH,RTT such as 200Mbit,10ms,"
                                    " emulated between the processes of layer, model and growth", 0, 0},
    {"model", CLI_STRING, &settings.model, "PREFIX", "for the group model: a network that can be served", 0, 0},
    {"arch", CLI_STRING, &settings.arch, "NAME", "for the group model: an architecture or its file instead, with --random-weights", 0, 0},
    {"random-weights", CLI_FLAG, &random_weights, "", "plan it on random weights and images; time and bytes do not depend on them", 0, 0},
    {"sign", CLI_CHOICE, &settings.sign, SIGN_CHOICES, "for the group model: how signs are decided", 0, 0},
    {"ot", CLI_CHOICE, &settings.ot, OT_CHOICES, "for the group model: the OT extension", 0, 0},
    {"table-memory", CLI_UINT, &settings.table_memory, "MB", "for the group model: " TABLE_MEMORY_HELP, 0, 1u << 20},
    {"conv", CLI_STRING, &settings.conv, "SHAPE", "for the group layer: HxW:IN:OUT:KERNEL[:STRIDE[:PAD[:GROUPS]]]", 0, 0},
    {"fc", CLI_STRING, &settings.fc, "SHAPE", "for the group layer: IN:OUT", 0, 0},
    {"plot", CLI_STRING, &settings.plot, "FILE.svg", "draws the group growth (gnuplot)", 0, 0},
    {"bits", CLI_UINT, &settings.bits, "L", "for the group layer: bits of the ring of that shape's outputs", 2, 51},
};

static const cli_command command = {"bench", "GROUP",
                                    "Measures one GROUP: ring (number-theoretic transforms), bfv (encryption), ot (oblivious transfer), garble (circuits), relu (many ReLUs), layer (a linear layer),\n"
                                    "model (a whole network), growth (cost over size), train (training), or all. Medians over the runs, after a warm-up. Two-party rows run both parties as processes of their own; bytes are those of one call as this side sees them, seconds those of the whole exchange.",
                                    option_table, sizeof option_table / sizeof *option_table, 1, 1};

int cmd_bench(int argc, char **argv)
{
    const char *args[1];
    int arg_count, code, known = 0, status = SOTTO_OK;
    char cpu[128];
    if (!cli_parse(&command, argc, argv, args, &arg_count, &code)) {
        return code;
    }
    if (tier != NULL) {
        const int cap = sotto_tier_parse(tier);
        if (cap < 0 || cap > (int)sotto_cpu_tier()) {
            return cli_misuse(&command, "--tier %s; this CPU has tiers up to %s", tier, sotto_tier_name(sotto_cpu_tier()));
        }
        sotto_cpu_force_tier((sotto_tier)cap);
    }
    if (link_parse(&settings.net, net) != SOTTO_OK) {
        return cli_misuse(&command, "--net: %s", sotto_error_message());
    }
    if ((settings.arch != NULL) != (random_weights != 0)) {
        return cli_misuse(&command, "--arch and --random-weights come together; a trained network is given by --model PREFIX");
    }
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        known |= strcmp(args[0], groups[i].name) == 0 || strcmp(args[0], "all") == 0;
    }
    if (!known) {
        return cli_misuse(&command, "unknown group '%s'; expected ring, bfv, ot, garble, relu, layer, model, growth, train or all", args[0]);
    }
    if (settings.plot != NULL && plot_check(settings.plot) != SOTTO_OK) {
        return cli_fail(&command);
    }
    settings.tier = sotto_tier_name(sotto_cpu_tier());
    sotto_cpu_brand(cpu, sizeof cpu);
    if (!settings.as_json) {
        printf("%s; tier %s; %u runs\n", cpu, settings.tier, settings.runs);
    }
    for (size_t i = 0; i < sizeof groups / sizeof *groups && status == SOTTO_OK; i++) {
        if (strcmp(args[0], groups[i].name) == 0 || strcmp(args[0], "all") == 0) {
            status = groups[i].run(&settings);
        }
    }
    if (status == SOTTO_OK && settings.rows == 0) {
        return cli_misuse(&command, "no row '%s' in group %s", settings.only, args[0]);
    }
    return status == SOTTO_OK ? CLI_OK : cli_fail(&command);
}
