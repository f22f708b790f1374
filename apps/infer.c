#include <string.h>

#include "apps/commands.h"
#include "lib/mem.h"
#include "nn/model/weights.h"

#define IMAGES_MAX 1024
#define TOP_MAX 100

static const char *host = "127.0.0.1";
static unsigned port = 7700, timeout_s = 60, threads, prepare = 1, top_count = 3, sign, ot, table_memory = TABLE_MEMORY_DEFAULT;
static int as_json, fit, raw, label_only;

static const cli_option option_table[] = {
    {"host", CLI_STRING, &host, "ADDRESS", "of the server", 0, 0},
    {"port", CLI_UINT, &port, "N", "of the server", 1, 65535},
    {"timeout", CLI_UINT, &timeout_s, "SECONDS", "longest wait for the server to make progress", 1, 86400},
    {"threads", CLI_UINT, &threads, "N", "0: one per CPU", 0, 1024},
    {"prepare", CLI_UINT, &prepare, "N", "inferences to prepare before the first image is used, as far as there are images and the server keeps them", 1, 1024},
    {"top", CLI_UINT, &top_count, "N", "classes to name for each image, most likely first", 1, TOP_MAX},
    {"label", CLI_FLAG, &label_only, "", "learn the most likely class alone: no logit leaves the protocol", 0, 0},
    {"fit", CLI_FLAG, &fit, "", "scale images that have not the size of the network and cut them to its proportions, around the centre", 0, 0},
    {"raw", CLI_FLAG, &raw, "", "images are files of raw bytes: channel after channel, rows from the top, nothing else", 0, 0},
    {"sign", CLI_CHOICE, &sign, SIGN_CHOICES, "how signs are decided. plan: as the model's plan says; lookup: fewest bytes; circuit: any width; circuit3: any width, fewer bytes and more work than circuit", 0, 0},
    {"ot", CLI_CHOICE, &ot, OT_CHOICES, "the oblivious-transfer extension. plan: as the model's plan says; softspoken: the higher the number, the fewer bytes and the more work", 0, 0},
    {"table-memory", CLI_UINT, &table_memory, "MB", TABLE_MEMORY_HELP, 0, 1u << 20},
    {"json", CLI_FLAG, &as_json, "", "report as JSON", 0, 0},
};

static const cli_command command = {"infer", "PREFIX IMAGE...",
                                    "Classifies images (PGM, PPM, PNG or JPEG) with a server's model; the server does not see them. PREFIX.sotto is the public\n"
                                    "part of the model, which the server's owner hands out. Grey becomes colour where the network takes colour, and the other way round; what is transparent\n"
                                    "lies over white.",
                                    option_table, sizeof option_table / sizeof *option_table, 2, IMAGES_MAX + 1};

static void on_progress(void *ctx, size_t done, size_t total)
{
    (void)ctx;
    cli_progress("preparing, layers", done, total);
}

/* Indices of the largest logits, largest first; as many as --top asks for and there are. */
static size_t best(const double *logits, size_t classes, size_t top[TOP_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < classes; i++) {
        size_t at = count < top_count ? count++ : top_count;
        for (; at > 0 && logits[i] > logits[top[at - 1]]; at--) {
            if (at < top_count) {
                top[at] = top[at - 1];
            }
        }
        if (at < top_count) {
            top[at] = i;
        }
    }
    return count;
}

static void class_name(const sotto_client *c, size_t i, char out[48])
{
    const char *label = sotto_client_label(c, i);
    if (label[0] != '\0') {
        snprintf(out, 48, "%s", label);
    } else {
        snprintf(out, 48, "class %zu", i);
    }
}

/* With --label: all that there is to say. */
static void report_label(json *j, const sotto_client *c, const char *path, size_t label)
{
    char name[48];
    class_name(c, label, name);
    if (!as_json) {
        printf("%s: %s\n", path, name);
        return;
    }
    json_open(j, NULL, '{');
    json_string(j, "image", path);
    json_int(j, "class", (long long)label);
    json_string(j, "label", name);
    json_close(j, '}');
}

static void report(json *j, const sotto_client *c, const char *path, const double *logits)
{
    size_t top[TOP_MAX];
    char name[48];
    const size_t count = best(logits, sotto_client_classes(c), top);
    if (!as_json) {
        printf("%s:", path);
        for (size_t i = 0; i < count; i++) {
            class_name(c, top[i], name);
            printf("%s %s (%.2f)", i > 0 ? "," : "", name, logits[top[i]]);
        }
        printf("\n");
        return;
    }
    json_open(j, NULL, '{');
    json_string(j, "image", path);
    json_int(j, "class", (long long)top[0]);
    class_name(c, top[0], name);
    json_string(j, "label", name);
    json_open(j, "top", '[');
    for (size_t i = 0; i < count; i++) {
        json_open(j, NULL, '{');
        class_name(c, top[i], name);
        json_string(j, "label", name);
        json_int(j, "class", (long long)top[i]);
        json_real(j, "logit", logits[top[i]]);
        json_close(j, '}');
    }
    json_close(j, ']');
    json_open(j, "logits", '[');
    for (size_t i = 0; i < sotto_client_classes(c); i++) {
        json_real(j, NULL, logits[i]);
    }
    json_close(j, ']');
    json_close(j, '}');
}

static void report_costs(json *j, const sotto_client *c)
{
    const sotto_stats s = sotto_client_stats(c);
    if (as_json) {
        json_phase(j, "setup", &s.setup);
        json_phase(j, "prepare", &s.prepare);
        json_phase(j, "infer", &s.infer);
        return;
    }
    printf("\nper image  seconds     MB out       MB in   rounds\n");
    print_phase("setup", &s.setup);
    print_phase("prepare", &s.prepare);
    print_phase("infer", &s.infer);
}

static int classify(json *j, sotto_client *c, const char *path, const uint8_t *pixels, size_t words, double *logits)
{
    size_t label;
    const int status = label_only ? sotto_client_label_of(c, pixels, words, &label) : sotto_client_infer(c, pixels, words, logits);
    cli_progress_end();
    if (status == SOTTO_OK && label_only) {
        report_label(j, c, path, label);
    } else if (status == SOTTO_OK) {
        report(j, c, path, logits);
    }
    return status;
}

/* All images are read before there is a connection: a mistake in the last one shows at once and costs the server nothing. */
static int read_all(const char *model_path, const char *const *paths, size_t count, uint8_t **pixels, size_t *words)
{
    sotto_model m = {0};
    int status = sotto_model_load(&m, model_path, NULL);
    for (size_t i = 0; i < count && status == SOTTO_OK; i++) {
        *words = sotto_shape_words(m.nodes[0].shape);
        status = image_read(paths[i], m.nodes[0].shape, raw ? IMAGE_RAW : fit ? IMAGE_FIT : IMAGE_EXACT, &pixels[i]);
    }
    sotto_model_free(&m);
    return status;
}

int cmd_infer(int argc, char **argv)
{
    static const char *args[IMAGES_MAX + 1];
    static uint8_t *pixels[IMAGES_MAX];
    int arg_count, code;
    if (!cli_parse(&command, argc, argv, args, &arg_count, &code)) {
        return code;
    }
    if (fit && raw) {
        return cli_misuse(&command, "--fit scales pictures, --raw takes bytes as they are: give one of them");
    }
    const size_t count = (size_t)arg_count - 1;
    sotto_client *c = NULL;
    double *logits = NULL;
    json j;
    sotto_options options = sotto_options_default();
    options.timeout_ms = timeout_s * 1000;
    options.threads = threads;
    options.sign = SIGN_PROVIDER(sign);
    options.ot = OT_KIND(ot);
    options.table_memory = (size_t)table_memory << 20;
    options.label_only = label_only;
    options.progress = on_progress;
    size_t words = 0;
    model_paths paths;
    int status = model_paths_of(&paths, args[0]);
    if (status == SOTTO_OK) {
        status = read_all(paths.public_part, args + 1, count, pixels, &words);
    }
    if (status == SOTTO_OK) {
        status = sotto_client_connect(&c, paths.public_part, host, (uint16_t)port, &options);
    }
    if (status == SOTTO_OK) {
        logits = sotto_calloc(sotto_client_classes(c), sizeof *logits);
        status = logits == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for logits") : SOTTO_OK;
    }
    if (status == SOTTO_OK) {
        status = sotto_client_prepare(c, prepare < count ? prepare : count);
        if (status == SOTTO_ERR_LIMIT) { /* the server keeps no more than these; the others follow image by image */
            status = SOTTO_OK;
        }
        cli_progress_end();
    }
    json_begin(&j, stdout);
    const int opened = status == SOTTO_OK && as_json;
    if (opened) {
        json_open(&j, NULL, '{');
        json_open(&j, "images", '[');
    }
    for (size_t i = 0; i < count && status == SOTTO_OK; i++) {
        status = classify(&j, c, args[1 + i], pixels[i], words, logits);
    }
    if (opened) {
        json_close(&j, ']');
    }
    if (status == SOTTO_OK) {
        report_costs(&j, c);
    } else if (opened) { /* what was classified before counts, and the object is whole */
        json_string(&j, "error", sotto_error_message());
    }
    if (opened) {
        json_close(&j, '}');
    }
    for (size_t i = 0; i < count; i++) {
        sotto_free_secret(pixels[i], words, 1);
    }
    sotto_free(logits);
    sotto_client_close(c);
    return status == SOTTO_OK ? CLI_OK : cli_fail(&command);
}
