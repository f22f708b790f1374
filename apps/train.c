#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/commands.h"
#include "apps/evaluate.h"
#include "apps/plot.h"
#include "apps/quantise.h"
#include "apps/train_log.h"
#include "lib/mem.h"
#include "lib/prg.h"
#include "lib/rng.h"
#include "nn/model/weights.h"
#include "nn/train/train.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static const char *arch, *data = "fashion", *out, *init, *save_float, *teacher_prefix, *steps, *log_path, *plot;
static sotto_train_options options;
static quantise_options quantisation;
static unsigned calibrate_images, seed = 1, held_out, schedule, optimiser;
static double rate;
static int as_json, no_flip, no_nesterov, qat;

static const cli_option option_table[] = {
    {"arch", CLI_STRING, &arch, "NAME|FILE", "architecture to train: a name such as lenet or resnet20 (a wrong one lists all), or a file: text, one line a layer, as nn/arch/*.arch", 0, 0},
    {"init", CLI_STRING, &init, "PREFIX", "instead: train the weights of a saved network further", 0, 0},
    {"data", CLI_STRING, &data, "SET", "training and test images: fashion, mnist, cifar10, cifar100 or pictures, or SET:FOLDER with the folder they are in", 0, 0},
    {"out", CLI_STRING, &out, "PREFIX", "writes PREFIX.sotto (public, for clients) and PREFIX.weights (private)", 0, 0},
    {"save-float", CLI_STRING, &save_float, "PREFIX", "also saves the network as trained, before batch norms are folded and it is quantised: for --init, --teacher, export", 0, 0},
    {"epochs", CLI_UINT, &options.epochs, "N", "passes over the data", 1, 10000},
    {"batch", CLI_UINT, &options.batch, "N", "images per step", 1, 4096},
    {"rate", CLI_REAL, &rate, "R", "largest learning rate; 0: 0.01, for adam 0.001", 0, 99},
    {"schedule", CLI_CHOICE, &schedule, "cosine|step|constant", "how the rate falls", 0, 0},
    {"steps", CLI_STRING, &steps, "E,E,...", "epochs after which --schedule step lowers the rate", 0, 0},
    {"factor", CLI_REAL, &options.schedule.factor, "F", "by which --schedule step multiplies the rate", 1e-6, 1},
    {"warmup", CLI_REAL, &options.schedule.warmup, "E", "epochs over which the rate rises from 0", 0, 9999},
    {"optimiser", CLI_CHOICE, &optimiser, "sgd|adam", "sgd: with momentum; adam: decoupled weight decay", 0, 0},
    {"momentum", CLI_REAL, &options.optimiser.momentum, "M", "of sgd; beta1 of adam", 0, 0.9999},
    {"no-nesterov", CLI_FLAG, &no_nesterov, "", "plain momentum", 0, 0},
    {"weight-decay", CLI_REAL, &options.optimiser.weight_decay, "D", "on the weights of conv and dense layers alone", 0, 0.9999},
    {"clip", CLI_REAL, &options.optimiser.clip, "N", "largest norm of the gradient; 0: any", 0, 1e9},
    {"shift", CLI_UINT, &options.augment.shift, "N", "augmentation: shift by up to N pixels (random crop of the padded image)", 0, 64},
    {"no-flip", CLI_FLAG, &no_flip, "", "augmentation: do not mirror; for digits and letters", 0, 0},
    {"cutout", CLI_UINT, &options.augment.cutout, "N", "augmentation: leave out a random square of N pixels a side", 0, 1024},
    {"smoothing", CLI_REAL, &options.loss.smoothing, "S", "of labels: share spread over all classes", 0, 0.9999},
    {"teacher", CLI_STRING, &teacher_prefix, "PREFIX", "distillation: a trained network with the same input and classes", 0, 0},
    {"temperature", CLI_REAL, &options.loss.temperature, "T", "of --teacher: softens both sides' predictions", 0.001, 1000},
    {"distill", CLI_REAL, &options.loss.distill, "W", "of --teacher: share of the loss that follows the teacher; 1 - W follows the labels", 0, 1},
    {"ema", CLI_REAL, &options.ema, "D", "end with a moving average of the weights, decay D a step, as 0.999; 0: off", 0, 0.999999},
    {"qat", CLI_FLAG, &qat, "", "quantisation-aware: passes see weights rounded to --weight-bits (activations are not rounded); needs --init with a network that is quantised already", 0, 0},
    {"validate", CLI_UINT, &held_out, "N", "hold out N training images, accuracy on them after each epoch", 0, 1e9},
    {"best", CLI_FLAG, &options.best, "", "end with the epoch that was best on the images held out", 0, 0},
    {"checkpoint", CLI_STRING, &options.checkpoint, "FILE", "keep the state of the training there, for --resume; not the network itself", 0, 0},
    {"checkpoint-epochs", CLI_UINT, &options.checkpoint_epochs, "N", "checkpoint after every N epochs; 0: not by epochs", 0, 10000},
    {"checkpoint-minutes", CLI_REAL, &options.checkpoint_minutes, "M", "checkpoint also every M minutes; 0: not by minutes", 0, 1e6},
    {"resume", CLI_STRING, &options.resume, "FILE", "go on from a checkpoint; give all options that the training began with", 0, 0},
    {"log", CLI_STRING, &log_path, "FILE", "CSV with a row for each epoch", 0, 0},
    {"plot", CLI_STRING, &plot, "FILE.svg", "draws accuracy, loss and rate at the end (gnuplot)", 0, 0},
    {"seed", CLI_UINT, &seed, "N", "of weights, order and augmentation: same seed, threads and machine, same network", 0, 4294967295.0},
    {"threads", CLI_UINT, &options.threads, "N", "0: one per CPU", 0, 1024},
    {"calibrate", CLI_UINT, &calibrate_images, "N", "training images that set scales and widths", 1, 1000000},
    {"weight-bits", CLI_UINT, &quantisation.calibration.weight_bits, "N", "of each weight, with its sign", 2, 16},
    {"value-bits", CLI_UINT, &quantisation.calibration.value_bits, "N", "of each activation, without a sign", 2, 16},
    {"sign-bits", CLI_UINT, &quantisation.calibration.sign_bits, "N", "of a value that decide the sign of a ReLU: fewer send less, more agree better with exact signs; 0: as many as each layer\n"
                                "                                needs; what tables cannot decide (above 9, of a maximum one more) goes by circuit", 0, 49},
    {"margin", CLI_REAL, &quantisation.calibration.margin, "X", "room in each ring: X times the largest value seen in the calibration images", 0.01, 1024},
    {"json", CLI_FLAG, &as_json, "", "report as JSON", 0, 0},
};

static const cli_command command = {"train", "", "Trains a network on a data set, folds and quantises it, chooses its encryption parameters and saves both parts. Needs --out, and either --arch or --init, as in\n"
                                    "`sotto train --arch resnet20 --data cifar10 --out my`.",
                                    option_table, sizeof option_table / sizeof *option_table, 0, 0};

/* ---- progress ------------------------------------------------------------------------------------------------------- */

typedef struct watch {
    train_log log;
    sotto_train_progress last;
    int log_failed, state_lost; /* state_lost: of a training that was interrupted */
} watch;

static int on_progress(void *ctx, const sotto_train_progress *p)
{
    watch *w = ctx;
    char what[128], validation[64] = "";
    w->last = *p;
    snprintf(what, sizeof what, "epoch %u of %u, loss %.4f, accuracy %.2f %%, %.0f images/s, %.0f min left, images", p->epoch, p->epochs, p->loss,
             100.0 * p->accuracy, p->images_per_second, p->seconds_left / 60.0);
    cli_progress(what, p->images, p->of_images);
    if (p->epoch_done) {
        cli_progress_end();
        if (p->validation >= 0.0) {
            snprintf(validation, sizeof validation, ", held out %.2f %%%s", 100.0 * p->validation, p->best_epoch == p->epoch ? " (best)" : "");
        }
        fprintf(stderr, "epoch %u of %u: loss %.4f, accuracy %.2f %%%s, rate %.4g, %.0f images/s, %.0f s, %.0f min left\n", p->epoch, p->epochs, p->loss,
                100.0 * p->accuracy, validation, p->rate, p->images_per_second, p->seconds, p->seconds_left / 60.0);
        const train_row row = {p->epoch, p->rate, p->loss, p->accuracy, p->validation, p->images_per_second, p->seconds};
        if (train_log_add(&w->log, &row) != SOTTO_OK && !w->log_failed) {
            fprintf(stderr, "sotto train: %s; training goes on\n", sotto_error_message());
            w->log_failed = 1;
        }
    }
    return interrupted;
}

static void on_warning(void *ctx, int status)
{
    (void)status;
    ((watch *)ctx)->state_lost = interrupted;
    cli_progress_end();
    fprintf(stderr, "sotto train: %s; training goes on, and the next checkpoint is tried when it is due\n", sotto_error_message());
}

/* ---- what to train -------------------------------------------------------------------------------------------------- */

/* Weights start from a generator of the seed, so that a training can be repeated. They are replaced by trained ones; nothing secret is drawn from it. */
static int start_weights(sotto_model *m)
{
    sotto_prg prg;
    sotto_prg_init(&prg, (sotto_block){{seed, 1}});
    const sotto_rng rng = sotto_prg_rng(&prg);
    return sotto_model_init_weights(m, &rng);
}

static void clear_plan(sotto_model *m)
{
    for (size_t i = 0; i < m->node_count; i++) {
        m->nodes[i].plan = (sotto_node_plan){0};
        sotto_free(m->nodes[i].windows);
        m->nodes[i].windows = NULL;
    }
}

static int load_pair(sotto_model *m, const char *prefix)
{
    model_paths paths;
    const int status = model_paths_of(&paths, prefix);
    return status == SOTTO_OK ? sotto_model_load(m, paths.public_part, paths.weights) : status;
}

static int load(sotto_model *m)
{
    char path[ARCH_PATH_MAX];
    int status;
    if (arch == NULL) {
        status = load_pair(m, init);
        clear_plan(m);
        return status;
    }
    status = arch_path(path, arch);
    if (status == SOTTO_OK) {
        status = sotto_model_load(m, path, NULL);
    }
    if (status == SOTTO_OK) {
        status = labels_from_set(m, data);
    }
    return status == SOTTO_OK ? start_weights(m) : status;
}

/* What would otherwise fail after hours of training, when something is saved. */
static int check_folder(const char *option, const char *path)
{
    if (path == NULL) {
        return SOTTO_OK;
    }
    const char *slash = strrchr(path, '/');
    char folder[sizeof((model_paths *)0)->public_part];
    snprintf(folder, sizeof folder, "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1, slash == NULL ? "." : path);
    if (access(folder, W_OK | X_OK) != 0) {
        return sotto_fail(SOTTO_ERR_IO, "%s: nothing can be saved there: %s; make the folder or choose another --%s", folder, strerror(errno), option);
    }
    return SOTTO_OK;
}

static int check_folders(void)
{
    const struct {
        const char *option, *path;
    } places[] = {{"out", out}, {"save-float", save_float}, {"checkpoint", options.checkpoint}, {"log", log_path}, {"plot", plot}};
    int status = SOTTO_OK;
    for (size_t i = 0; i < sizeof places / sizeof *places && status == SOTTO_OK; i++) {
        status = check_folder(places[i].option, places[i].path);
    }
    return status == SOTTO_OK && plot != NULL ? plot_check(plot) : status;
}

static int check_shape(const sotto_model *m, const sotto_dataset *set)
{
    const sotto_shape a = m->nodes[0].shape, b = set->shape;
    if (a.c != b.c || a.h != b.h || a.w != b.w) {
        return sotto_fail(SOTTO_ERR_MISMATCH, "--data %s: images of %ux%ux%u, but the model %s takes %ux%ux%u; give the data set that it is made for", data,
                          (unsigned)b.c, (unsigned)b.h, (unsigned)b.w, m->name, (unsigned)a.c, (unsigned)a.h, (unsigned)a.w);
    }
    return SOTTO_OK;
}

/* A network for --save-float alone, such as a teacher, need not be one that can be served. */
static int check_graph(const sotto_model *m, const sotto_dataset *set)
{
    const int status = quantise_check(m, set);
    if (status == SOTTO_OK || save_float == NULL) {
        return status == SOTTO_OK ? SOTTO_OK : sotto_fail_context(status, "%s cannot be quantised and served, so that it is not trained", arch != NULL ? arch : init);
    }
    fprintf(stderr, "sotto train: %s; it will be saved as trained, but cannot be quantised and served\n", sotto_error_message());
    return SOTTO_OK;
}

/* Folding a batch norm after training would take the weights off the grid that was trained for. */
static int check_deployed(const sotto_model *m)
{
    for (size_t i = 0; i < m->node_count; i++) {
        if (m->nodes[i].op == SOTTO_OP_BATCHNORM) {
            return sotto_fail(SOTTO_ERR_MISMATCH, "--qat: node %s of %s is a batch norm; train without --qat first, then give --init the quantised network",
                              m->nodes[i].name, m->name);
        }
    }
    return SOTTO_OK;
}

/* "80,120" */
static int parse_steps(const char *text)
{
    const char *p = text;
    for (size_t i = 0; i < SOTTO_SCHEDULE_STEPS; i++) {
        char *end;
        const unsigned long value = strtoul(p, &end, 10);
        if (end == p || *p < '0' || *p > '9' || value < 1 || value > 10000 || (*end != ',' && *end != '\0')) {
            break;
        }
        options.schedule.steps[i] = (unsigned)value;
        if (*end == '\0') {
            return 1;
        }
        p = end + 1;
    }
    return 0;
}

/* From the variables of the option table; CLI_OK or the exit code. */
static int settle_options(void)
{
    if (quantisation.calibration.sign_bits == 1) {
        return cli_misuse(&command, "--sign-bits 1: a sign takes 2 bits at least; 0 chooses by layer");
    }
    if (out == NULL || (arch == NULL) == (init == NULL)) {
        return cli_misuse(&command, "give --out PREFIX, and either --arch NAME or --init PREFIX; sotto quantise quantises anew");
    }
    if (steps != NULL && !parse_steps(steps)) {
        return cli_misuse(&command, "--steps %s; expected up to %d epochs, as 80,120", steps, SOTTO_SCHEDULE_STEPS);
    }
    if ((schedule == SOTTO_SCHEDULE_STEP) != (steps != NULL)) {
        return cli_misuse(&command, "--schedule step and --steps go together");
    }
    if (qat && init == NULL) {
        return cli_misuse(&command, "--qat trains a quantised network further: give it as --init PREFIX");
    }
    if (options.best && held_out == 0) {
        return cli_misuse(&command, "--best chooses by images that are held out: give --validate N as well");
    }
    options.schedule.kind = (sotto_schedule_kind)schedule;
    options.optimiser.kind = (sotto_optimiser_kind)optimiser;
    options.schedule.rate = rate > 0.0 ? rate : optimiser == SOTTO_OPTIMISER_ADAM ? 0.001 : 0.01;
    options.optimiser.nesterov = !no_nesterov;
    options.augment.flip = !no_flip;
    options.seed = seed;
    options.validate = held_out;
    options.warning = on_warning;
    quantisation.images = calibrate_images;
    if (qat) {
        options.weight_bits = quantisation.calibration.weight_bits;
        quantisation.calibration.equalise = 0; /* the weights are on the grid that was trained for */
    }
    return CLI_OK;
}

/* ---- the work ------------------------------------------------------------------------------------------------------- */

static int train(sotto_model *m, const sotto_dataset *set, watch *w)
{
    sotto_model teacher = {0};
    int status = train_log_open(&w->log, log_path, options.resume != NULL);
    if (status == SOTTO_OK && teacher_prefix != NULL) {
        status = load_pair(&teacher, teacher_prefix);
        options.teacher = &teacher;
    }
    if (status == SOTTO_OK) {
        signal(SIGINT, on_interrupt);
        signal(SIGTERM, on_interrupt);
        status = sotto_train(m, set, &options, on_progress, w);
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        cli_progress_end();
    }
    if (status == SOTTO_OK && interrupted) {
        fprintf(stderr, "stopped early; the network is quantised and saved as it is now%s\n",
                options.checkpoint == NULL || w->state_lost ? "" : ", --resume goes on from the checkpoint");
    }
    if (status == SOTTO_OK && plot != NULL && train_log_plot(&w->log, plot) != SOTTO_OK) {
        fprintf(stderr, "sotto train: %s\n", sotto_error_message()); /* the network is worth more than its plot */
    }
    sotto_model_free(&teacher);
    options.teacher = NULL;
    return status;
}

static int save_trained(sotto_model *m, const char *prefix)
{
    const sotto_rng rng = sotto_rng_system();
    model_paths paths;
    int status = model_paths_of(&paths, prefix);
    if (status == SOTTO_OK) {
        status = sotto_rng_fill(&rng, m->id, sizeof m->id);
    }
    return status == SOTTO_OK ? sotto_model_save(m, paths.public_part, paths.weights) : status;
}

/* A training is not lost because its network cannot be quantised. */
static int finish(sotto_model *m, const sotto_dataset *set, const model_paths *paths)
{
    int status = save_float == NULL ? SOTTO_OK : save_trained(m, save_float);
    if (status != SOTTO_OK) {
        return status;
    }
    status = quantise_model(m, set, &quantisation);
    if (status == SOTTO_OK) {
        return sotto_model_save(m, paths->public_part, paths->weights);
    }
    char why[512];
    snprintf(why, sizeof why, "%s", sotto_error_message());
    clear_plan(m);
    const int saved = save_trained(m, out);
    return saved == SOTTO_OK ? sotto_fail(status, "trained and saved as %s, but not quantised: %s", paths->public_part, why) : saved;
}

typedef struct figures {
    double train, test; /* float accuracy */
    fixed_result fixed; /* of the test images */
} figures;

/* With --qat the float figures are of the weights behind the rounded ones, which nobody serves. */
static void report(const sotto_model *m, const model_paths *paths, const sotto_train_progress *last, const figures *f)
{
    if (as_json) {
        json j;
        json_begin(&j, stdout);
        json_open(&j, NULL, '{');
        json_string(&j, "name", m->name);
        json_string(&j, "public", paths->public_part);
        json_string(&j, "weights", paths->weights);
        json_real(&j, "train_accuracy", f->train);
        json_real(&j, "test_accuracy", f->test);
        json_real(&j, "fixed_accuracy", f->fixed.accuracy);
        json_int(&j, "wraps", (long long)f->fixed.wraps);
        if (last->epoch > 0) {
            json_int(&j, "epochs", last->epoch);
            json_int(&j, "best_epoch", last->best_epoch);
            json_real(&j, "loss", last->loss);
            json_real(&j, "images_per_second", last->images_per_second);
            json_real(&j, "seconds", last->seconds);
        }
        json_close(&j, '}');
        return;
    }
    printf("%s: float accuracy %.2f %% of the training images, %.2f %% of the test images%s\n", m->name, 100.0 * f->train, 100.0 * f->test,
           qat ? " (of the weights before rounding; the next line is what --qat trained for)" : "");
    printf("as it will be served, in fixed point with weights of %u bits: %.2f %% of the test images; %llu values left the planned range\n",
           quantisation.calibration.weight_bits, 100.0 * f->fixed.accuracy, (unsigned long long)f->fixed.wraps);
    printf("written: %s (public: clients get it), %s (private)\n", paths->public_part, paths->weights);
}

int cmd_train(int argc, char **argv)
{
    const char *args[1];
    int arg_count, code;
    options = sotto_train_default();
    quantisation = quantise_default();
    calibrate_images = (unsigned)quantisation.images;
    if (!cli_parse(&command, argc, argv, args, &arg_count, &code)) {
        return code;
    }
    code = settle_options();
    if (code != CLI_OK) {
        return code;
    }
    sotto_model m = {0};
    sotto_dataset set = {0}, test = {0};
    model_paths paths;
    watch w = {0};
    figures f = {0};
    int status = model_paths_of(&paths, out);
    if (status == SOTTO_OK) {
        status = check_folders();
    }
    if (status == SOTTO_OK) {
        status = load(&m);
    }
    if (status == SOTTO_OK && qat) {
        status = check_deployed(&m);
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
    if (status == SOTTO_OK) {
        status = check_graph(&m, &set);
    }
    if (status == SOTTO_OK) {
        status = train(&m, &set, &w);
    }
    if (status == SOTTO_OK) { /* before anything that a second Ctrl-C would cut off; folding batch norms changes no prediction */
        status = finish(&m, &set, &paths);
    }
    if (status == SOTTO_OK) {
        status = evaluate_float(&f.train, &m, &set, 10000, options.threads);
    }
    if (status == SOTTO_OK) {
        status = evaluate_float(&f.test, &m, &test, 0, options.threads);
    }
    if (status == SOTTO_OK) {
        status = evaluate_fixed(&f.fixed, &m, &test, 0, options.threads);
    }
    if (status == SOTTO_OK) {
        report(&m, &paths, &w.last, &f);
    }
    train_log_free(&w.log);
    sotto_model_free(&m);
    sotto_dataset_free(&set);
    sotto_dataset_free(&test);
    return status == SOTTO_OK ? CLI_OK : cli_fail(&command);
}
