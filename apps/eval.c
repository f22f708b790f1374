#include <pthread.h>
#include <string.h>

#include "apps/commands.h"
#include "apps/evaluate.h"
#include "lib/mem.h"
#include "nn/model/weights.h"
#include "nn/train/train.h"

/* The same shares every time, so that a figure can be repeated. */
#define SHARES_SEED 1

static const char *data = "fashion";
static unsigned count, private_count, threads, sign, ot, table_memory = TABLE_MEMORY_DEFAULT;
static int only_float, only_fixed, with_shares, as_json;

static const cli_option option_table[] = {
    {"data", CLI_STRING, &data, "SET", "test images of fashion, mnist, cifar10, cifar100 or pictures, or SET:FOLDER", 0, 0},
    {"count", CLI_UINT, &count, "N", "first N images; 0: all", 0, 10000000},
    {"float", CLI_FLAG, &only_float, "", "float accuracy alone, as trained", 0, 0},
    {"fixed", CLI_FLAG, &only_fixed, "", "fixed-point accuracy alone, as it is served but with exact signs", 0, 0},
    {"shares", CLI_FLAG, &with_shares, "", "fixed point also with random shares of a client, on which roundings and close signs depend: what private runs will give, much sooner", 0, 0},
    {"private", CLI_UINT, &private_count, "N", "instead: run the first N images through the protocol, over loopback, and compare each"
                                    " with the reference given the client's shares", 0, 10000000},
    {"sign", CLI_CHOICE, &sign, SIGN_CHOICES, "how private runs decide signs", 0, 0},
    {"ot", CLI_CHOICE, &ot, OT_CHOICES, "the OT extension of private runs", 0, 0},
    {"table-memory", CLI_UINT, &table_memory, "MB", TABLE_MEMORY_HELP, 0, 1u << 20},
    {"threads", CLI_UINT, &threads, "N", "0: one per CPU", 0, 1024},
    {"json", CLI_FLAG, &as_json, "", "report as JSON", 0, 0},
};

static const cli_command command = {"eval", "PREFIX",
                                    "Accuracy of the model PREFIX.sotto, PREFIX.weights on test images: in float and, where it has been quantised, in fixed point.",
                                    option_table, sizeof option_table / sizeof *option_table, 1, 1};

typedef struct results {
    size_t images;
    double float_accuracy; /* a share */
    shares_result fixed;
    size_t privates, private_right, private_exact, private_agrees;
    sotto_stats stats;
} results;

/* ---- private ------------------------------------------------------------------------------------------------------------ */

static void *serve(void *arg)
{
    const int status = sotto_server_run(arg);
    (void)status; /* the client sees what goes wrong */
    return NULL;
}

static size_t argmax(const double *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        best = x[i] > x[best] ? i : best;
    }
    return best;
}

static int run_private(results *r, const model_paths *paths, const sotto_dataset *set)
{
    checker c = {0};
    sotto_server *server = NULL;
    sotto_client *client = NULL;
    pthread_t thread;
    int status = checker_new(&c, paths);
    if (status != SOTTO_OK) {
        return status;
    }
    sotto_options options = sotto_options_default();
    options.threads = threads;
    options.sign = SIGN_PROVIDER(sign);
    options.ot = OT_KIND(ot);
    options.table_memory = (size_t)table_memory << 20;
    const size_t words = c.program.input_words, outputs = c.program.output_words;
    double *logits = sotto_calloc(outputs, sizeof *logits);
    int started = 0;
    status = logits == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for logits")
                            : sotto_server_new(&server, paths->public_part, paths->weights, &options);
    if (status == SOTTO_OK) {
        status = sotto_server_listen(server, "127.0.0.1", 0);
    }
    if (status == SOTTO_OK) {
        started = pthread_create(&thread, NULL, serve, server) == 0;
        status = started ? sotto_client_connect(&client, paths->public_part, "127.0.0.1", sotto_server_port(server), &options)
                         : sotto_fail(SOTTO_ERR_MEMORY, "no thread for the server");
    }
    if (status == SOTTO_OK) {
        sotto_session_audit(sotto_client_session(client), (sotto_audit){checker_keep, &c});
    }
    for (size_t i = 0; i < r->privates && status == SOTTO_OK; i++) {
        int exact = 0;
        const uint8_t *pixels = set->images + i * words;
        status = sotto_client_infer(client, pixels, words, logits);
        if (status == SOTTO_OK) {
            checker_compare(&c, pixels, logits, &exact);
            const size_t prediction = argmax(logits, outputs);
            r->private_exact += (size_t)exact;
            r->private_right += prediction == set->labels[i];
            r->private_agrees += prediction == sotto_argmax_int(c.plain, outputs);
            cli_progress("private, images", i + 1, r->privates);
        }
    }
    cli_progress_end();
    if (client != NULL) {
        r->stats = sotto_client_stats(client);
    }
    sotto_client_close(client);
    if (started) {
        sotto_server_stop(server);
        pthread_join(thread, NULL);
    }
    sotto_server_free(server);
    sotto_free(logits);
    checker_free(&c);
    return status;
}

/* ---- report ------------------------------------------------------------------------------------------------------------- */

static void report(const results *r, int with_float, int with_fixed)
{
    json j;
    if (as_json) {
        json_begin(&j, stdout);
        json_open(&j, NULL, '{');
        if (with_float || with_fixed) {
            json_int(&j, "images", (long long)r->images);
        }
        if (with_float) {
            json_real(&j, "float_accuracy", r->float_accuracy);
        }
        if (with_fixed) {
            json_real(&j, "fixed_accuracy", r->fixed.plain.accuracy);
            json_int(&j, "wraps", (long long)r->fixed.plain.wraps);
        }
        if (with_shares) {
            json_real(&j, "shares_accuracy", r->fixed.accuracy);
            json_real(&j, "shares_agree_with_fixed", r->fixed.agreement);
        }
        if (r->privates > 0) {
            json_int(&j, "private_images", (long long)r->privates);
            json_int(&j, "private_right", (long long)r->private_right);
            json_int(&j, "private_equals_reference", (long long)r->private_exact);
            json_int(&j, "private_agrees_with_fixed", (long long)r->private_agrees);
            json_phase(&j, "setup", &r->stats.setup);
            json_phase(&j, "prepare", &r->stats.prepare);
            json_phase(&j, "infer", &r->stats.infer);
        }
        json_close(&j, '}');
        return;
    }
    if (with_float) {
        printf("float:   %.2f %% of %zu images\n", 100.0 * r->float_accuracy, r->images);
    }
    if (with_fixed) {
        printf("fixed:   %.2f %% of %zu images; %llu values left the planned range\n", 100.0 * r->fixed.plain.accuracy, r->images,
               (unsigned long long)r->fixed.plain.wraps);
    }
    if (with_shares) {
        printf("shares:  %.2f %% of %zu images; %.2f %% predict as plain fixed point\n", 100.0 * r->fixed.accuracy, r->images, 100.0 * r->fixed.agreement);
    }
    if (r->privates > 0) {
        printf("private: %.2f %% of %zu images; %zu equal the reference given the client's shares in every logit; %zu predict as plain fixed point\n",
               100.0 * (double)r->private_right / (double)r->privates, r->privates, r->private_exact, r->private_agrees);
        printf("\nper image  seconds     MB out       MB in   rounds\n");
        print_phase("setup", &r->stats.setup);
        print_phase("prepare", &r->stats.prepare);
        print_phase("infer", &r->stats.infer);
    }
}

int cmd_eval(int argc, char **argv)
{
    const char *args[1];
    int arg_count, code;
    if (!cli_parse(&command, argc, argv, args, &arg_count, &code)) {
        return code;
    }
    model_paths paths;
    sotto_model m = {0};
    sotto_dataset set = {0};
    results r = {0};
    int status = model_paths_of(&paths, args[0]);
    if (status == SOTTO_OK) {
        status = sotto_model_load(&m, paths.public_part, paths.weights);
    }
    if (status == SOTTO_OK) {
        status = dataset_open(&set, data, 0);
    }
    if (status == SOTTO_OK) {
        status = check_images(&m, &set);
    }
    /* A network as it was trained or imported has float accuracy alone. */
    const int planned = status == SOTTO_OK && m.nodes[0].plan.present;
    const int all = !only_float && !only_fixed && !with_shares && private_count == 0, with_float = all || only_float;
    const int with_fixed = (all && planned) || only_fixed || with_shares;
    if (status == SOTTO_OK && !planned && (only_fixed || with_shares || private_count > 0)) {
        status = sotto_fail(SOTTO_ERR_ARG, "%s has no plan, so that it runs in float alone; make one: sotto quantise %s --data %s --out OTHER", args[0], args[0], data);
    }
    r.images = count == 0 || count > set.count ? set.count : count;
    r.privates = private_count > set.count ? set.count : private_count;
    if (status == SOTTO_OK && with_float) {
        status = evaluate_float(&r.float_accuracy, &m, &set, r.images, threads);
    }
    if (status == SOTTO_OK && with_fixed) {
        status = with_shares ? evaluate_shares(&r.fixed, &m, &set, r.images, SHARES_SEED, threads)
                             : evaluate_fixed(&r.fixed.plain, &m, &set, r.images, threads);
    }
    if (status == SOTTO_OK && r.privates > 0) {
        status = run_private(&r, &paths, &set);
    }
    if (status == SOTTO_OK) {
        report(&r, with_float, with_fixed);
        if (r.private_exact < r.privates) {
            status = sotto_fail(SOTTO_ERR_MISMATCH, "%zu private runs differ from the reference for the same shares", r.privates - r.private_exact);
        }
    }
    sotto_model_free(&m);
    sotto_dataset_free(&set);
    return status == SOTTO_OK ? CLI_OK : cli_fail(&command);
}
