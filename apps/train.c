#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "apps/commands.h"
#include "lib/mem.h"
#include "lib/prg.h"
#include "lib/rng.h"
#include "nn/model/deploy.h"
#include "nn/model/weights.h"
#include "nn/plain/calibrate.h"
#include "nn/train/train.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static const char *arch, *data = "fashion", *out, *from;
static sotto_train_options options;
static sotto_calibration calibration;
static unsigned calibrate_images = 500, seed = 1;
static int as_json, no_flip;

static const cli_option option_table[] = {
    {"arch", CLI_STRING, &arch, "FILE", "architecture to train (text; see nn/model/text.h)", 0, 0},
    {"from", CLI_STRING, &from, "PREFIX", "do not train: quantise the weights of a saved model anew", 0, 0},
    {"data", CLI_STRING, &data, "SET", "fashion, fashion:FOLDER or cifar10:FOLDER", 0, 0},
    {"out", CLI_STRING, &out, "PREFIX", "writes PREFIX.sotto (public) and PREFIX.weights (private)", 0, 0},
    {"epochs", CLI_UINT, &options.epochs, "N", "passes over the data", 1, 10000},
    {"batch", CLI_UINT, &options.batch, "N", "images per step", 1, 4096},
    {"rate", CLI_REAL, &options.rate, "R", "learning rate at the start; falls along a cosine", 1e-9, 99},
    {"momentum", CLI_REAL, &options.momentum, "M", "Nesterov momentum", 0, 0.9999},
    {"weight-decay", CLI_REAL, &options.weight_decay, "D", "on weights, not on biases", 0, 0.9999},
    {"shift", CLI_UINT, &options.shift, "N", "augmentation: shift by up to N pixels", 0, 64},
    {"no-flip", CLI_FLAG, &no_flip, "", "augmentation: do not mirror", 0, 0},
    {"seed", CLI_UINT, &seed, "N", "of weights, order and augmentation: same seed, threads and machine, same network", 0, 4294967295.0},
    {"threads", CLI_UINT, &options.threads, "N", "0: one per CPU", 0, 1024},
    {"calibrate", CLI_UINT, &calibrate_images, "N", "training images that set scales and widths", 1, 1000000},
    {"weight-bits", CLI_UINT, &calibration.weight_bits, "N", "of each weight, with its sign", 2, 16},
    {"value-bits", CLI_UINT, &calibration.value_bits, "N", "of what a unit puts out", 2, 16},
    {"sign-bits", CLI_UINT, &calibration.sign_bits, "N", "that enter the sign of a ReLU; above 8 needs --sign circuit", 2, 49},
    {"margin", CLI_REAL, &calibration.margin, "X", "a width holds X times the largest value seen", 0.01, 1024},
    {"json", CLI_FLAG, &as_json, "", "report as JSON", 0, 0},
};

static const cli_command command = {"train", "", "Trains a network on a data set, folds and quantises it, chooses its HE parameters and saves both parts.",
                                    option_table, sizeof option_table / sizeof *option_table, 0, 0};

static int on_progress(void *ctx, const sotto_train_progress *p)
{
    (void)ctx;
    char what[96];
    snprintf(what, sizeof what, "epoch %u of %u, loss %.4f, images", p->epoch, p->epochs, p->loss);
    cli_progress(what, p->images, p->of_images);
    if (p->epoch_done) {
        cli_progress_end();
        fprintf(stderr, "epoch %u of %u: loss %.4f, accuracy %.2f %%, %.0f images/s, %.0f s\n", p->epoch, p->epochs, p->loss, 100.0 * p->accuracy,
                p->images_per_second, p->seconds);
    }
    return interrupted;
}

static void on_calibration(void *ctx, size_t done, size_t total)
{
    (void)ctx;
    cli_progress("calibration, images", done, total);
}

/* Weights start from a generator of the seed, so that a training can be repeated. They are replaced by trained ones; nothing secret is drawn from it. */
static int start_weights(sotto_model *m)
{
    sotto_prg prg;
    sotto_prg_init(&prg, (sotto_block){{seed, 1}});
    const sotto_rng rng = sotto_prg_rng(&prg);
    return sotto_model_init_weights(m, &rng);
}

static int load(sotto_model *m)
{
    model_paths paths;
    if (from == NULL) {
        const int status = sotto_model_load(m, arch, NULL);
        return status == SOTTO_OK ? start_weights(m) : status;
    }
    const int status = model_paths_of(&paths, from);
    return status == SOTTO_OK ? sotto_model_load(m, paths.public_part, paths.weights) : status;
}

/* What would otherwise fail after hours of training, when the result is saved. */
static int check_out(const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[sizeof((model_paths *)0)->public_part];
    snprintf(folder, sizeof folder, "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1, slash == NULL ? "." : path);
    if (access(folder, W_OK | X_OK) != 0) {
        return sotto_fail(SOTTO_ERR_IO, "%s: nothing can be saved there: %s; make the folder or choose another --out", folder, strerror(errno));
    }
    return SOTTO_OK;
}

/* Calibration reads images of the input's shape without looking at how large they are. */
static int check_shape(const sotto_model *m, const sotto_dataset *set)
{
    const sotto_shape a = m->nodes[0].shape, b = set->shape;
    if (a.c != b.c || a.h != b.h || a.w != b.w) {
        return sotto_fail(SOTTO_ERR_MISMATCH, "--data %s: images of %ux%ux%u, but the model %s takes %ux%ux%u; give the data set that it is made for", data,
                          (unsigned)b.c, (unsigned)b.h, (unsigned)b.w, m->name, (unsigned)a.c, (unsigned)a.h, (unsigned)a.w);
    }
    return SOTTO_OK;
}

/* The plan from calibration, and an id of its own: the plan is part of what client and server must agree on. */
static int quantise(sotto_model *m, const sotto_dataset *set)
{
    const size_t count = calibrate_images < set->count ? calibrate_images : set->count;
    const sotto_rng rng = sotto_rng_system();
    int status = sotto_model_deploy(m);
    if (status == SOTTO_OK) {
        status = sotto_calibrate(m, &calibration, set->images, count, on_calibration, NULL);
    }
    cli_progress_end();
    if (status == SOTTO_OK) {
        status = sotto_network_choose_he(m);
    }
    return status == SOTTO_OK ? sotto_rng_fill(&rng, m->id, sizeof m->id) : status;
}

static void report(const sotto_model *m, const model_paths *paths, double train_accuracy, double test_accuracy)
{
    if (as_json) {
        json j;
        json_begin(&j, stdout);
        json_open(&j, NULL, '{');
        json_string(&j, "name", m->name);
        json_string(&j, "public", paths->public_part);
        json_string(&j, "weights", paths->weights);
        json_real(&j, "train_accuracy", train_accuracy);
        json_real(&j, "test_accuracy", test_accuracy);
        json_close(&j, '}');
    } else {
        printf("%s: float accuracy %.2f %% of the training images, %.2f %% of the test images\nwritten: %s (public), %s (private)\n", m->name,
               100.0 * train_accuracy, 100.0 * test_accuracy, paths->public_part, paths->weights);
    }
}

int cmd_train(int argc, char **argv)
{
    const char *args[1];
    int arg_count, code;
    options = sotto_train_default();
    calibration = sotto_calibration_default();
    if (!cli_parse(&command, argc, argv, args, &arg_count, &code)) {
        return code;
    }
    if (out == NULL || (arch == NULL) == (from == NULL)) {
        return cli_misuse(&command, "give --out PREFIX, and either --arch FILE or --from PREFIX");
    }
    options.seed = seed;
    options.flip = !no_flip;
    sotto_model m = {0};
    sotto_dataset set = {0}, test = {0};
    model_paths paths;
    double accuracy[2] = {0.0, 0.0};
    int status = model_paths_of(&paths, out);
    if (status == SOTTO_OK) {
        status = check_out(paths.public_part);
    }
    if (status == SOTTO_OK) {
        status = load(&m);
    }
    if (status == SOTTO_OK) {
        status = dataset_open(&set, data, 1);
    }
    if (status == SOTTO_OK) {
        status = dataset_open(&test, data, 0);
    }
    if (status == SOTTO_OK) {
        status = check_shape(&m, &set);
    }
    if (status == SOTTO_OK) {
        status = check_shape(&m, &test);
    }
    if (status == SOTTO_OK && from == NULL) {
        signal(SIGINT, on_interrupt);
        status = sotto_train(&m, &set, &options, on_progress, NULL);
        signal(SIGINT, SIG_DFL);
        cli_progress_end();
        if (interrupted) {
            fprintf(stderr, "stopped early; the network is saved as it is\n");
        }
    }
    if (status == SOTTO_OK) {
        status = quantise(&m, &set);
    }
    if (status == SOTTO_OK) {
        status = sotto_evaluate_float(&accuracy[0], &m, &set, 10000, options.threads);
    }
    if (status == SOTTO_OK) {
        status = sotto_evaluate_float(&accuracy[1], &m, &test, 0, options.threads);
    }
    if (status == SOTTO_OK) {
        status = sotto_model_save(&m, paths.public_part, paths.weights);
    }
    if (status == SOTTO_OK) {
        report(&m, &paths, accuracy[0], accuracy[1]);
    }
    sotto_model_free(&m);
    sotto_dataset_free(&set);
    sotto_dataset_free(&test);
    return status == SOTTO_OK ? CLI_OK : cli_fail(&command);
}
