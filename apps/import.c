#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/commands.h"
#include "lib/mem.h"
#include "lib/rng.h"
#include "nn/model/weights.h"
#include "nn/onnx/onnx.h"

#define LABELS_FILE_MAX ((size_t)1 << 20)

static const char *out, *input_name, *mean_text, *std_text, *labels_path, *name;
static int as_json;

static const cli_option option_table[] = {
    {"out", CLI_STRING, &out, "PREFIX", "writes PREFIX.sotto (public) and PREFIX.weights (private); needed", 0, 0},
    {"input-name", CLI_STRING, &input_name, "NAME", "which input of the graph is the image, where there are several", 0, 0},
    {"mean", CLI_STRING, &mean_text, "A,B,C", "how images were normalised for its training, (pixel / 255 - mean) / std: one figure, or one per channel; 0 when left out", 0, 0},
    {"std", CLI_STRING, &std_text, "A,B,C", "see --mean; 1 when left out. The file's own normalisation, where it has one, comes on top", 0, 0},
    {"labels", CLI_STRING, &labels_path, "FILE|SET", "names of the classes: one a line, or those of fashion, mnist, cifar10 or cifar100", 0, 0},
    {"name", CLI_STRING, &name, "NAME", "the model's name; that of PREFIX when left out", 0, 0},
    {"json", CLI_FLAG, &as_json, "", "report as JSON", 0, 0},
};

static const cli_command command = {"import", "MODEL.onnx",
                                    "Reads a trained network from an ONNX file (opset 7 to 17) into a float model. `sotto quantise` makes it one that can be served,\n"
                                    "`sotto eval --float` measures it as it is.",
                                    option_table, sizeof option_table / sizeof *option_table, 1, 1};

#define NOTES_MAX 16

typedef struct notes {
    char text[NOTES_MAX][384];
    size_t count;
} notes;

static void keep_note(void *ctx, const char *text)
{
    notes *n = ctx;
    if (n->count < NOTES_MAX) {
        snprintf(n->text[n->count++], sizeof n->text[0], "%s", text);
    }
}

/* One figure for all channels, or one each. */
static int figures(const char *option, const char *text, float *values, uint32_t channels)
{
    uint32_t n = 0;
    for (const char *p = text; p != NULL; n++) {
        char *end;
        const double v = strtod(p, &end);
        if (end == p || (*end != ',' && *end != '\0') || n == channels) {
            return sotto_fail(SOTTO_ERR_ARG, "--%s %s; expected one number, or %u with commas between", option, text, (unsigned)channels);
        }
        values[n] = (float)v;
        p = *end == ',' ? end + 1 : NULL;
    }
    for (uint32_t c = 1; n == 1 && c < channels; c++) {
        values[c] = values[0];
    }
    return n == 0 || n == 1 || n == channels ? SOTTO_OK
                                             : sotto_fail(SOTTO_ERR_ARG, "--%s %s; the network has %u channels", option, text, (unsigned)channels);
}

static int same_everywhere(const float *values, uint32_t channels, float value)
{
    uint32_t c = 0;
    while (c < channels && fabsf(values[c] - value) < 1e-6f) {
        c++;
    }
    return c == channels;
}

/* The file may normalise by itself, after what the user says of its input. */
static int normalisation(sotto_model *m, notes *n)
{
    float mean[SOTTO_INPUT_CHANNELS_MAX] = {0}, std[SOTTO_INPUT_CHANNELS_MAX];
    const uint32_t channels = m->nodes[0].shape.c;
    for (uint32_t c = 0; c < channels; c++) {
        std[c] = 1.0f;
    }
    int status = figures("mean", mean_text, mean, channels);
    if (status == SOTTO_OK) {
        status = figures("std", std_text, std, channels);
    }
    for (uint32_t c = 0; c < channels && status == SOTTO_OK; c++) {
        m->mean[c] = (float)(mean[c] + (double)std[c] * m->mean[c]);
        m->std[c] = (float)((double)std[c] * m->std[c]);
    }
    if (same_everywhere(m->mean, channels, 0.0f) && same_everywhere(m->std, channels, 1.0f) && mean_text == NULL && std_text == NULL) {
        keep_note(n, "nothing says how images are normalised, so the network is taken to read pixel / 255; if it was trained otherwise its accuracy will be poor: give --mean and "
                     "--std, or --std 0.00392157 for one that reads pixels from 0 to 255");
    }
    return status;
}

/* The name of what is written, in the characters that a name may have. */
static int name_model(sotto_model *m)
{
    const char *slash = strrchr(out, '/'), *from = name != NULL ? name : slash == NULL ? out : slash + 1;
    memset(m->name, 0, sizeof m->name);
    snprintf(m->name, sizeof m->name, "%s", from);
    if (name != NULL) {
        return strlen(name) < sizeof m->name ? SOTTO_OK : sotto_fail(SOTTO_ERR_ARG, "--name %.60s; expected at most %d characters", name, SOTTO_NAME_MAX - 1);
    }
    const size_t len = strlen(m->name), cut = strlen(".sotto");
    if (len > cut && strcmp(m->name + len - cut, ".sotto") == 0) {
        memset(m->name + len - cut, 0, cut);
    }
    for (char *p = m->name; *p != '\0'; p++) {
        *p = isalnum((unsigned char)*p) || strchr("_.-", *p) != NULL ? *p : '.';
    }
    return SOTTO_OK;
}

static int labels_of_set(sotto_model *m)
{
    const int status = labels_from_set(m, labels_path);
    if (status != SOTTO_OK) {
        return sotto_fail(status, "--labels %s: there is no such file, nor a data set of that name; expected a file with one name a line, or fashion, mnist, cifar10, cifar100",
                          labels_path);
    }
    return m->label_count > 0 ? SOTTO_OK : sotto_fail(SOTTO_ERR_MISMATCH, "--labels %s: the network has %zu outputs, the set another number of classes", labels_path,
                                                      sotto_shape_words(m->nodes[m->node_count - 1].shape));
}

/* Lines up to the end; a label that is too long for a model is cut. */
static int read_labels(sotto_model *m, notes *n)
{
    uint8_t *data = NULL;
    size_t len = 0, count = 0, cut = 0;
    if (labels_path == NULL) {
        keep_note(n, "the classes have numbers alone; --labels names them, and sotto quantise names those of a data set that it knows");
        return SOTTO_OK;
    }
    if (access(labels_path, F_OK) != 0) {
        return labels_of_set(m);
    }
    const int status = sotto_file_read(labels_path, LABELS_FILE_MAX, &data, &len);
    if (status != SOTTO_OK) {
        return status;
    }
    for (size_t i = 0; i < len; i++) {
        count += data[i] == '\n' || i + 1 == len;
    }
    m->labels = count <= SOTTO_CLASSES_MAX ? sotto_calloc(count, sizeof *m->labels) : NULL;
    if (m->labels == NULL) {
        sotto_free(data);
        return sotto_fail(SOTTO_ERR_LIMIT, "%s: %zu labels; at most %d are supported", labels_path, count, SOTTO_CLASSES_MAX);
    }
    for (char *p = (char *)data; m->label_count < count; m->label_count++) {
        const size_t line = strcspn(p, "\r\n"), kept = line < SOTTO_NAME_MAX - 1 ? line : SOTTO_NAME_MAX - 1;
        memcpy(m->labels[m->label_count], p, kept);
        cut += kept < line;
        p += line + (p[line] == '\r') + (p[line] == '\r' ? p[line + 1] == '\n' : p[line] == '\n');
    }
    sotto_free(data);
    if (cut > 0) {
        char text[96];
        snprintf(text, sizeof text, "%zu labels are longer than %d characters and were cut", cut, SOTTO_NAME_MAX - 1);
        keep_note(n, text);
    }
    return SOTTO_OK;
}

static int read_model(sotto_model *m, const char *path, notes *n)
{
    const sotto_onnx_options options = {.input = input_name, .note = keep_note, .ctx = n};
    const sotto_rng rng = sotto_rng_system();
    uint8_t *data = NULL;
    size_t len = 0;
    int status = sotto_file_read(path, SOTTO_ONNX_FILE_MAX, &data, &len);
    if (status != SOTTO_OK) {
        return status;
    }
    status = sotto_onnx_read(m, data, len, &options);
    sotto_free_secret(data, len, 1);
    if (status != SOTTO_OK) {
        return sotto_fail_context(status, "%s", path);
    }
    status = normalisation(m, n);
    if (status == SOTTO_OK) {
        status = name_model(m);
    }
    if (status == SOTTO_OK) {
        status = read_labels(m, n);
    }
    if (status == SOTTO_OK) {
        status = sotto_model_infer_shapes(m);
    }
    return status == SOTTO_OK ? sotto_rng_fill(&rng, m->id, sizeof m->id) : status;
}

/* "0.485, 0.456, 0.406", or one figure where all are alike. */
static void print_each(const float *values, uint32_t channels)
{
    const uint32_t n = same_everywhere(values, channels, values[0]) ? 1 : channels;
    for (uint32_t c = 0; c < n; c++) {
        printf("%s%.4g", c > 0 ? ", " : "", (double)values[c]);
    }
}

static void json_each(json *j, const char *key, const float *values, uint32_t channels)
{
    json_open(j, key, '[');
    for (uint32_t c = 0; c < channels; c++) {
        json_real(j, NULL, (double)values[c]);
    }
    json_close(j, ']');
}

static size_t weights_of(const sotto_model *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->node_count; i++) {
        for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
            n += sotto_tensor_count(m, &m->nodes[i], t);
        }
    }
    return n;
}

static void report(const sotto_model *m, const notes *n, const model_paths *paths)
{
    const sotto_shape in = m->nodes[0].shape;
    uint64_t macs = 0, decisions = 0;
    for (size_t i = 0; i < m->node_count; i++) {
        macs += sotto_node_macs(m, &m->nodes[i]);
        decisions += sotto_node_decisions(&m->nodes[i]);
    }
    const size_t outputs = sotto_shape_words(m->nodes[m->node_count - 1].shape);
    if (as_json) {
        json j;
        json_begin(&j, stdout);
        json_open(&j, NULL, '{');
        json_string(&j, "name", m->name);
        json_int(&j, "nodes", (long long)m->node_count);
        json_int(&j, "weights", (long long)weights_of(m));
        json_int(&j, "macs", (long long)macs);
        json_int(&j, "decisions", (long long)decisions);
        json_int(&j, "outputs", (long long)outputs);
        json_each(&j, "mean", m->mean, in.c);
        json_each(&j, "std", m->std, in.c);
        json_open(&j, "notes", '[');
        for (size_t i = 0; i < n->count; i++) {
            json_string(&j, NULL, n->text[i]);
        }
        json_close(&j, ']');
        json_close(&j, '}');
        return;
    }
    printf("%s: input %ux%ux%u, %zu outputs, %zu nodes, %zu weights, %llu multiplications and %llu sign decisions of units an image\n",
           m->name, (unsigned)in.c, (unsigned)in.h, (unsigned)in.w, outputs, m->node_count, weights_of(m), (unsigned long long)macs, (unsigned long long)decisions);
    printf("images: each channel becomes (pixel / 255 - mean) / std with mean ");
    print_each(m->mean, in.c);
    printf(" and std ");
    print_each(m->std, in.c);
    printf("\n");
    for (size_t i = 0; i < n->count; i++) {
        printf("note: %s\n", n->text[i]);
    }
    printf("written: %s, %s; next: sotto quantise %s --data SET --out OTHER\n", paths->public_part, paths->weights, out);
}

int cmd_import(int argc, char **argv)
{
    const char *args[1];
    int arg_count, code;
    if (!cli_parse(&command, argc, argv, args, &arg_count, &code)) {
        return code;
    }
    if (out == NULL) {
        return cli_misuse(&command, "--out PREFIX is missing");
    }
    model_paths paths;
    notes n = {.count = 0};
    sotto_model m = {0};
    int status = model_paths_of(&paths, out);
    if (status == SOTTO_OK) {
        status = read_model(&m, args[0], &n);
    }
    if (status == SOTTO_OK) {
        status = sotto_model_save(&m, paths.public_part, paths.weights);
    }
    if (status == SOTTO_OK) {
        report(&m, &n, &paths);
    }
    sotto_model_free(&m);
    return status == SOTTO_OK ? CLI_OK : cli_fail(&command);
}
