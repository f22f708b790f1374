#include "apps/quantise.h"

#include <math.h>
#include <string.h>

#include "apps/commands.h"
#include "apps/evaluate.h"
#include "lib/rng.h"
#include "nn/model/deploy.h"
#include "nn/model/weights.h"
#include "nn/plain/signs.h"
#include "nn/secure/network.h"
#include "nn/secure/sign.h"
#include "nn/train/train.h"

quantise_options quantise_default(void)
{
    return (quantise_options){.calibration = sotto_calibration_default(), .images = 500};
}

static void on_calibration(void *ctx, size_t done, size_t total)
{
    (void)ctx;
    cli_progress("calibration, images", done, total);
}

/* Deploys m and runs the images that ranges are taken from. */
static int observe(sotto_model *m, sotto_observation *o, const sotto_dataset *set, const quantise_options *options)
{
    const size_t count = options->images < set->count ? options->images : set->count;
    int status = check_images(m, set);
    if (status == SOTTO_OK) {
        status = sotto_model_deploy(m);
    }
    if (status == SOTTO_OK) {
        status = sotto_observe(o, m, set->images, count, options->calibration.threads, on_calibration, NULL);
    }
    cli_progress_end();
    return status;
}

static void on_signs(void *ctx, size_t done, size_t count)
{
    (void)ctx;
    cli_progress("widths of signs, images", done, count);
}

/* Signs of more bits than a table decides go by circuit, unless clients ask for something else. */
static void plan_session(sotto_model *m)
{
    unsigned most = 0;
    for (size_t i = 0; i < m->node_count; i++) {
        most = m->nodes[i].plan.u > most ? m->nodes[i].plan.u : most;
    }
    sotto_sign_plan table;
    if (most > 0 && sotto_sign_plan_new(&table, SOTTO_SIGN_LOOKUP, most, 1, 1) != SOTTO_OK) {
        m->nodes[0].plan.sign = 1 + SOTTO_SIGN_CIRCUIT;
        fprintf(stderr, "signs of %u bits, more than a table decides: sessions take --sign circuit\n", most);
    }
}

static int finish(sotto_model *m, sotto_observation *o, const sotto_dataset *set, const quantise_options *options, sotto_calibration_report *report)
{
    const sotto_rng rng = sotto_rng_system();
    cli_stage("scales and widths");
    int status = sotto_plan(m, o, &options->calibration, report);
    if (status == SOTTO_OK) {
        status = sotto_plan_signs(m, &options->calibration, set->images, set->count, on_signs, NULL);
    }
    if (status == SOTTO_OK) {
        plan_session(m);
        status = sotto_network_choose_products(m);
    }
    if (status == SOTTO_OK) {
        cli_stage("HE parameters");
        status = sotto_network_choose_he(m);
    }
    cli_progress_end();
    return status == SOTTO_OK ? sotto_rng_fill(&rng, m->id, sizeof m->id) : status;
}

int quantise_model(sotto_model *m, const sotto_dataset *set, const quantise_options *o)
{
    sotto_observation seen = {0};
    int status = observe(m, &seen, set, o);
    if (status == SOTTO_OK) {
        status = finish(m, &seen, set, o, NULL);
    }
    sotto_observation_free(&seen);
    return status;
}

int quantise_check(const sotto_model *m, const sotto_dataset *set)
{
    const quantise_options one = {.calibration = sotto_calibration_default(), .images = 1};
    sotto_model copy;
    sotto_observation seen = {0};
    sotto_program program = {0};
    int status = sotto_model_copy(&copy, m);
    if (status == SOTTO_OK) {
        status = observe(&copy, &seen, set, &one);
    }
    if (status == SOTTO_OK) {
        status = sotto_plan(&copy, &seen, &one.calibration, NULL);
    }
    if (status == SOTTO_OK) {
        status = sotto_program_new(&program, &copy);
    }
    sotto_program_free(&program);
    sotto_observation_free(&seen);
    sotto_model_free(&copy);
    return status == SOTTO_ERR_PARAMS ? SOTTO_OK : status;
}

/* ---- the command ---------------------------------------------------------------------------------------------------------- */

static const char *data = "fashion", *other_data, *out;
static quantise_options options;
static unsigned images, method, test_count;
static int as_json, with_report, not_equalised, no_windows;

static const cli_option option_table[] = {
    {"data", CLI_STRING, &data, "SET", "fashion, mnist, cifar10, cifar100 or pictures, or SET:FOLDER with the folder they are in: training images set scales and widths, test images are\n"
                                       "                                for the report", 0, 0},
    {"calibrate-with", CLI_STRING, &other_data, "SET", "set scales and widths from the training images of another set of the same shape", 0, 0},
    {"out", CLI_STRING, &out, "PREFIX", "writes PREFIX.sotto (public, for clients) and PREFIX.weights (private); needed", 0, 0},
    {"calibrate", CLI_UINT, &images, "N", "training images that set scales and widths", 1, 1000000},
    {"weight-bits", CLI_UINT, &options.calibration.weight_bits, "N", "of each weight, with its sign", 2, 16},
    {"value-bits", CLI_UINT, &options.calibration.value_bits, "N", "of each activation, without a sign", 2, 16},
    {"input-bits", CLI_UINT, &options.calibration.input_bits, "N", "of each pixel, with its sign", 2, 16},
    {"sign-bits", CLI_UINT, &options.calibration.sign_bits, "N", "of a value that decide the sign of a ReLU: fewer send less, more agree better with exact signs; 0: as many as each layer\n"
                                "                                needs; what tables cannot decide (above 9, of a maximum one more) goes by circuit", 0, 49},
    {"sign-noise", CLI_REAL, &options.calibration.sign_noise, "X", "with --sign-bits 0: what wrong signs may add to the logits, in parts of what random rounding adds", 1e-6, 1e6},
    {"no-windows", CLI_FLAG, &no_windows, "", "one window of signs a layer, not one a channel: the public part says less about the weights, signs take a bit more", 0, 0},
    {"margin", CLI_REAL, &options.calibration.margin, "X", "room in each ring: X times the largest value seen in the calibration images", 0.01, 1024},
    {"method", CLI_CHOICE, &method, "max|percentile|mse", "which range value-bits cover; values beyond it take more bits, none saturates", 0, 0},
    {"share", CLI_REAL, &options.calibration.share, "S", "of --method percentile: share of a channel's values within the range", 1e-6, 1},
    {"no-equalise", CLI_FLAG, &not_equalised, "", "leave the weights as they are: no factors per channel", 0, 0},
    {"report", CLI_FLAG, &with_report, "", "also a table of fixed-point accuracy for weights of 4 to 10 and values of 6 to 12 bits; takes as long as 28 evaluations", 0, 0},
    {"count", CLI_UINT, &test_count, "N", "measure on the first N test images; 0: all", 0, 10000000},
    {"threads", CLI_UINT, &options.calibration.threads, "N", "0: one per CPU", 0, 1024},
    {"json", CLI_FLAG, &as_json, "", "report as JSON", 0, 0},
};

static const cli_command command = {"quantise", "PREFIX",
                                    "From the trained network PREFIX.sotto, PREFIX.weights to one that can be served: folds batch norms, chooses scales and widths\n"
                                    "from training images, chooses HE parameters, and saves both parts under another name.",
                                    option_table, sizeof option_table / sizeof *option_table, 1, 1};

static const unsigned weight_widths[] = {4, 6, 8, 10}, value_widths[] = {6, 7, 8, 9, 10, 11, 12};
#define WEIGHTS (sizeof weight_widths / sizeof *weight_widths)
#define VALUES  (sizeof value_widths / sizeof *value_widths)

typedef struct figures {
    double float_accuracy;
    shares_result chosen;
    sotto_calibration_report widths;
    size_t strayed, diverged; /* of the images of calibration */
    fixed_result grid[WEIGHTS][VALUES];
} figures;

/* m and seen: as observed, not equalised yet. */
static int try_widths(fixed_result *r, const sotto_model *m, const sotto_observation *seen, sotto_calibration calibration, const sotto_dataset *test)
{
    sotto_model copy;
    sotto_observation copy_seen = {0};
    int status = sotto_model_copy(&copy, m);
    if (status != SOTTO_OK) {
        return status;
    }
    status = sotto_observation_copy(&copy_seen, seen);
    if (status == SOTTO_OK) {
        status = sotto_plan(&copy, &copy_seen, &calibration, NULL);
    }
    if (status == SOTTO_OK) {
        status = evaluate_fixed(r, &copy, test, test_count, calibration.threads);
    }
    sotto_observation_free(&copy_seen);
    sotto_model_free(&copy);
    return status;
}

static int try_all(figures *f, const sotto_model *m, const sotto_observation *seen, const sotto_dataset *test)
{
    const double start = cli_seconds();
    int status = SOTTO_OK;
    for (size_t i = 0; i < WEIGHTS * VALUES && status == SOTTO_OK; i++) {
        sotto_calibration calibration = options.calibration;
        calibration.weight_bits = weight_widths[i / VALUES];
        calibration.value_bits = value_widths[i % VALUES];
        status = try_widths(&f->grid[i / VALUES][i % VALUES], m, seen, calibration, test);
        if (cli_seconds() - start > 10.0) {
            fprintf(stderr, "report: %zu of %zu widths, %.0f s\n", i + 1, WEIGHTS * VALUES, cli_seconds() - start);
        }
    }
    return status;
}

static void print_figures(const figures *f, const model_paths *paths)
{
    printf("weights of %u bits, values of %u: %.2f %% of %zu test images (float %.2f %%), %llu values left the planned range\n",
           options.calibration.weight_bits, options.calibration.value_bits, 100.0 * f->chosen.plain.accuracy, f->chosen.plain.images, 100.0 * f->float_accuracy,
           (unsigned long long)f->chosen.plain.wraps);
    printf("with a client's random shares, as in private runs: %.2f %%; %.2f %% predicted as without\n", 100.0 * f->chosen.accuracy, 100.0 * f->chosen.agreement);
    printf("of %zu values of an image, %zu cannot leave their planned ranges, whatever the image\n", f->widths.units, f->widths.never);
    if (f->strayed + f->diverged > 0) {
        printf("polynomials have no bound: %zu of the calibration images stray far beyond the others, and widths were made to hold them; %zu more no ring holds, and such images come out\n"
               "wrong. They enlarge what is rounded: the more --value-bits and --weight-bits, the more predictions agree with plain fixed point\n", f->strayed, f->diverged);
    }
    if (f->chosen.plain.accuracy < f->float_accuracy - 0.02) {
        printf("this is far below float: try more --value-bits or --weight-bits, a larger --margin, or more images (--calibrate)\n");
    }
    if (with_report) {
        printf("\naccuracy in %% (values that left the planned range, where there were any)\n%-14s", "weights values");
        for (size_t v = 0; v < VALUES; v++) {
            printf(" %11u", value_widths[v]);
        }
        printf("\n");
        for (size_t w = 0; w < WEIGHTS; w++) {
            printf("%7u       ", weight_widths[w]);
            for (size_t v = 0; v < VALUES; v++) {
                const fixed_result *r = &f->grid[w][v];
                char wraps[24] = "";
                if (r->wraps > 0) {
                    snprintf(wraps, sizeof wraps, " (%llu)", (unsigned long long)r->wraps);
                }
                printf(" %5.2f%-6s", 100.0 * r->accuracy, wraps);
            }
            printf("\n");
        }
        printf("\n");
    }
    printf("written: %s (public), %s (private)\n", paths->public_part, paths->weights);
}

static void json_figures(const figures *f, const model_paths *paths)
{
    json j;
    json_begin(&j, stdout);
    json_open(&j, NULL, '{');
    json_string(&j, "public", paths->public_part);
    json_string(&j, "weights", paths->weights);
    json_int(&j, "images", (long long)f->chosen.plain.images);
    json_real(&j, "float_accuracy", f->float_accuracy);
    json_real(&j, "fixed_accuracy", f->chosen.plain.accuracy);
    json_int(&j, "wraps", (long long)f->chosen.plain.wraps);
    json_real(&j, "shares_accuracy", f->chosen.accuracy);
    json_real(&j, "shares_agree_with_fixed", f->chosen.agreement);
    json_int(&j, "ranges", (long long)f->widths.units);
    json_int(&j, "ranges_never_left", (long long)f->widths.never);
    json_int(&j, "strayed", (long long)f->strayed);
    json_int(&j, "diverged", (long long)f->diverged);
    if (with_report) {
        json_open(&j, "report", '[');
        for (size_t i = 0; i < WEIGHTS * VALUES; i++) {
            const fixed_result *r = &f->grid[i / VALUES][i % VALUES];
            json_open(&j, NULL, '{');
            json_int(&j, "weight_bits", weight_widths[i / VALUES]);
            json_int(&j, "value_bits", value_widths[i % VALUES]);
            json_real(&j, "fixed_accuracy", r->accuracy);
            json_int(&j, "wraps", (long long)r->wraps);
            json_close(&j, '}');
        }
        json_close(&j, ']');
    }
    json_close(&j, '}');
}

/* Everything between loading and saving. */
static int work(sotto_model *m, figures *f, const sotto_dataset *train, const sotto_dataset *test)
{
    sotto_observation seen = {0};
    int status = check_images(m, test);
    if (status == SOTTO_OK) {
        status = observe(m, &seen, train, &options);
    }
    f->strayed = seen.strayed;
    f->diverged = seen.diverged;
    if (status == SOTTO_OK) {
        status = evaluate_float(&f->float_accuracy, m, test, test_count, options.calibration.threads);
    }
    if (status == SOTTO_OK && with_report) {
        status = try_all(f, m, &seen, test);
    }
    if (status == SOTTO_OK) {
        status = finish(m, &seen, train, &options, &f->widths);
    }
    if (status == SOTTO_OK) {
        status = evaluate_shares(&f->chosen, m, test, test_count, 1, options.calibration.threads);
    }
    sotto_observation_free(&seen);
    return status;
}

int cmd_quantise(int argc, char **argv)
{
    const char *args[1];
    int arg_count, code;
    options = quantise_default();
    images = (unsigned)options.images;
    if (!cli_parse(&command, argc, argv, args, &arg_count, &code)) {
        return code;
    }
    if (out == NULL) {
        return cli_misuse(&command, "give --out PREFIX: where the quantised network is written");
    }
    if (options.calibration.sign_bits == 1) {
        return cli_misuse(&command, "--sign-bits 1: a sign takes 2 bits at least; 0 chooses by layer");
    }
    options.images = images;
    options.calibration.method = (sotto_range_method)method;
    options.calibration.equalise = !not_equalised;
    options.calibration.windows = !no_windows;
    sotto_model m = {0};
    sotto_dataset train = {0}, test = {0};
    model_paths paths, from;
    figures f = {0};
    int status = model_paths_of(&from, args[0]);
    if (status == SOTTO_OK) {
        status = model_paths_of(&paths, out);
    }
    if (status == SOTTO_OK && strcmp(paths.public_part, from.public_part) == 0) {
        status = sotto_fail(SOTTO_ERR_ARG, "--out %s is the trained network itself, which would be lost; give another name", out);
    }
    if (status == SOTTO_OK) {
        status = sotto_model_load(&m, from.public_part, from.weights);
    }
    if (status == SOTTO_OK) {
        status = labels_from_set(&m, data);
    }
    if (status == SOTTO_OK) {
        status = dataset_open(&test, data, 0);
    }
    if (status == SOTTO_OK) {
        status = dataset_open(&train, other_data != NULL ? other_data : data, 1);
    }
    if (status == SOTTO_OK) {
        status = work(&m, &f, &train, &test);
    }
    if (status == SOTTO_OK) {
        status = sotto_model_save(&m, paths.public_part, paths.weights);
    }
    if (status == SOTTO_OK) {
        (as_json ? json_figures : print_figures)(&f, &paths);
    }
    sotto_model_free(&m);
    sotto_dataset_free(&train);
    sotto_dataset_free(&test);
    return status == SOTTO_OK ? CLI_OK : cli_fail(&command);
}
