#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/commands.h"
#include "apps/link.h"
#include "lib/mem.h"
#include "nn/model/weights.h"

#define IMAGES_MAX 1000

#define FOLDER "apps/demo/"

static char prefix[512], default_folder[640];
static const char *folder, *net = "loopback";
static unsigned count = 10, sign, threads, ot;
static int as_json;

static const cli_option option_table[] = {
    {"images", CLI_STRING, &folder, "FOLDER", "pictures NN-label.pgm, .ppm, .png or .jpg, the label in lower case, other characters as -;"
                                    " default: images-NAME beside the network", 0, 0},
    {"net", CLI_STRING, &net, "NETWORK", "an emulated one: loopback, lan (1 Gbit/s, 1.2 ms), wan (100 Mbit/s, 40 ms), or such as 200Mbit,10ms", 0, 0},
    {"count", CLI_UINT, &count, "N", "images", 1, IMAGES_MAX},
    {"sign", CLI_CHOICE, &sign, SIGN_CHOICES, "how signs are decided", 0, 0},
    {"ot", CLI_CHOICE, &ot, OT_CHOICES, "the oblivious-transfer extension", 0, 0},
    {"threads", CLI_UINT, &threads, "N", "of each process; 0: one per CPU", 0, 1024},
    {"json", CLI_FLAG, &as_json, "", "report as JSON", 0, 0},
};

static const cli_command command = {"demo", "[NETWORK]",
                                    "Starts a server as a process of its own and classifies images with it. NETWORK is a name in " FOLDER " (default: fashion) or\n"
                                    "PREFIX of PREFIX.sotto and PREFIX.weights anywhere. The server gets both, the client the first. This process also has the weights,\n"
                                    "which a real client has not, to compare each private result with the reference for the same shares; exit code 1 when one\n"
                                    "differs.",
                                    option_table, sizeof option_table / sizeof *option_table, 0, 1};

/* A bare name is one of the shipped networks, where there is one, else of a network here; a path may end in .sotto. The images of DIR/NAME are in DIR/images-NAME. */
static void choose_network(const char *network)
{
    static const char suffix[] = ".sotto";
    const size_t len = strlen(network), cut = sizeof suffix - 1;
    const int stem = (int)(len > cut && strcmp(network + len - cut, suffix) == 0 ? len - cut : len);
    char shipped[sizeof prefix + sizeof suffix];
    snprintf(prefix, sizeof prefix, FOLDER "%.*s", stem, network);
    snprintf(shipped, sizeof shipped, "%s%s", prefix, suffix);
    if (strchr(network, '/') != NULL || access(shipped, F_OK) != 0) {
        snprintf(prefix, sizeof prefix, "%.*s", stem, network);
    }
    const char *slash = strrchr(prefix, '/'), *name = slash == NULL ? prefix : slash + 1;
    snprintf(default_folder, sizeof default_folder, "%.*simages-%s", (int)(name - prefix), prefix, name);
    folder = folder == NULL ? default_folder : folder;
}

/* ---- the server process ----------------------------------------------------------------------------------------------- */

typedef struct server_process {
    pid_t pid;
    FILE *out;
    unsigned port;
} server_process;

static int server_start(server_process *p)
{
    int fds[2];
    char threads_text[16];
    snprintf(threads_text, sizeof threads_text, "%u", threads);
    if (pipe(fds) != 0) {
        return sotto_fail(SOTTO_ERR_IO, "no pipe for the server process: %s", strerror(errno));
    }
    fflush(NULL);
    p->pid = fork();
    if (p->pid < 0) {
        return sotto_fail(SOTTO_ERR_IO, "no server process: %s", strerror(errno));
    }
    if (p->pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        close(fds[1]);
        execl("/proc/self/exe", "sotto", "serve", prefix, "--port", "0", "--quiet", "--threads", threads_text, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    p->out = fdopen(fds[0], "r");
    if (p->out == NULL || fscanf(p->out, "listening on 127.0.0.1 port %u", &p->port) != 1) {
        return sotto_fail(SOTTO_ERR_IO, "the server process did not start; its message stands above");
    }
    return SOTTO_OK;
}

/* Peak memory in bytes. */
static double server_stop(server_process *p)
{
    struct rusage usage = {0};
    if (p->out != NULL) {
        fclose(p->out);
    }
    if (p->pid > 0) {
        kill(p->pid, SIGTERM);
        while (wait4(p->pid, NULL, 0, &usage) < 0 && errno == EINTR) {
        }
    }
    return 1024.0 * (double)usage.ru_maxrss;
}

/* ---- images ------------------------------------------------------------------------------------------------------------- */

typedef struct image {
    char path[1280], slug[64];
    uint8_t *pixels;
    size_t label; /* SIZE_MAX: the file's name does not say */
} image;

static int by_path(const void *a, const void *b)
{
    return strcmp(((const image *)a)->path, ((const image *)b)->path);
}

static size_t label_from(const sotto_model *m, const char *slug)
{
    for (size_t i = 0; i < m->label_count; i++) {
        char other[SOTTO_NAME_MAX] = "";
        for (size_t k = 0; m->labels[i][k] != '\0'; k++) {
            const unsigned char c = (unsigned char)m->labels[i][k];
            other[k] = (char)(isalnum(c) ? tolower(c) : '-');
        }
        if (strcmp(other, slug) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

static int is_picture(const char *dot)
{
    static const char *const endings[] = {".pgm", ".ppm", ".png", ".jpg"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        if (strcmp(dot, endings[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

/* The first `count` files NN-label.pgm and so on in order of their names. */
static int images_read(image *images, size_t *found, const sotto_model *m)
{
    DIR *dir = opendir(folder);
    int status = SOTTO_OK;
    *found = 0;
    if (dir == NULL) {
        return sotto_fail(SOTTO_ERR_IO, "%s: %s; run from the top of the source tree, or give --images", folder, strerror(errno));
    }
    for (const struct dirent *e = readdir(dir); e != NULL && *found < IMAGES_MAX; e = readdir(dir)) {
        const char *dot = strrchr(e->d_name, '.'), *dash = strchr(e->d_name, '-');
        if (dot == NULL || dash == NULL || dash > dot || !is_picture(dot)) {
            continue;
        }
        image *i = &images[(*found)++];
        snprintf(i->path, sizeof i->path, "%s/%s", folder, e->d_name);
        snprintf(i->slug, sizeof i->slug, "%.*s", (int)(dot - dash - 1), dash + 1);
    }
    closedir(dir);
    qsort(images, *found, sizeof *images, by_path);
    *found = *found < count ? *found : count;
    if (*found == 0) {
        return sotto_fail(SOTTO_ERR_IO, "%s: no files NN-label.pgm, .ppm, .png or .jpg in it", folder);
    }
    for (size_t i = 0; i < *found && status == SOTTO_OK; i++) {
        images[i].label = label_from(m, images[i].slug);
        status = image_read(images[i].path, m->nodes[0].shape, IMAGE_EXACT, &images[i].pixels);
    }
    return status;
}

/* ---- the run ------------------------------------------------------------------------------------------------------------ */

static void print_image(json *j, const checker *c, const image *i, size_t prediction, size_t plain, int exact)
{
    char buffer[3][32];
    const char *truth = i->label == SIZE_MAX ? i->slug : label_of(&c->model, i->label, buffer[0]);
    const char *ours = label_of(&c->model, prediction, buffer[1]), *theirs = label_of(&c->model, plain, buffer[2]);
    if (as_json) {
        json_open(j, NULL, '{');
        json_string(j, "image", i->path);
        json_string(j, "label", truth);
        json_string(j, "private", ours);
        json_string(j, "plain", theirs);
        json_bool(j, "equals_reference", exact);
        json_close(j, '}');
    } else {
        const char *name = strrchr(i->path, '/');
        printf("%-22s %-12s %-12s %-12s %s\n", name == NULL ? i->path : name + 1, truth, ours, theirs, exact ? "yes" : "NO");
        fflush(stdout);
    }
}

static int classify(json *j, checker *c, sotto_client *client, const image *images, size_t found, size_t *different)
{
    int status = SOTTO_OK;
    const size_t outputs = c->program.output_words;
    double *logits = sotto_calloc(outputs, sizeof *logits);
    if (logits == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for logits");
    }
    for (size_t i = 0; i < found && status == SOTTO_OK; i++) {
        int exact = 0;
        status = sotto_client_infer(client, images[i].pixels, c->program.input_words, logits);
        if (status == SOTTO_OK) {
            size_t best = 0;
            for (size_t k = 1; k < outputs; k++) {
                best = logits[k] > logits[best] ? k : best;
            }
            checker_compare(c, images[i].pixels, logits, &exact);
            *different += !exact;
            print_image(j, c, &images[i], best, sotto_argmax_int(c->plain, outputs), exact);
        }
    }
    sotto_free(logits);
    return status;
}

static void print_costs(json *j, const sotto_stats *s, double server_peak)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    const double peak = 1024.0 * (double)usage.ru_maxrss;
    if (as_json) {
        json_phase(j, "setup", &s->setup);
        json_phase(j, "prepare", &s->prepare);
        json_phase(j, "infer", &s->infer);
        json_int(j, "client_peak_bytes", (long long)peak);
        json_int(j, "server_peak_bytes", (long long)server_peak);
        return;
    }
    printf("\nper image  seconds     MB out       MB in   rounds   (client's side; setup once)\n");
    print_phase("setup", &s->setup);
    print_phase("prepare", &s->prepare);
    print_phase("infer", &s->infer);
    printf("peak memory: client %.0f MB (with the reference), server %.0f MB\n", peak / 1e6, server_peak / 1e6);
}

int cmd_demo(int argc, char **argv)
{
    const char *args[1] = {"fashion"};
    int arg_count, code;
    if (!cli_parse(&command, argc, argv, args, &arg_count, &code)) {
        return code;
    }
    if (strlen(args[0]) > sizeof prefix - sizeof FOLDER) {
        return cli_misuse(&command, "%.40s...: the path is too long", args[0]);
    }
    choose_network(args[0]);
    static image images[IMAGES_MAX];
    size_t found = 0, different = 0;
    model_paths paths;
    checker c = {0};
    server_process server = {0};
    link_spec spec = {0};
    link_process link = {0};
    sotto_client *client = NULL;
    sotto_stats stats = {0};
    json j;
    sotto_options options = sotto_options_default();
    options.sign = SIGN_PROVIDER(sign);
    options.ot = OT_KIND(ot);
    options.threads = threads;
    int status = link_parse(&spec, net);
    if (status == SOTTO_OK) {
        status = model_paths_of(&paths, prefix);
    }
    if (status == SOTTO_OK) {
        status = checker_new(&c, &paths);
        if (status == SOTTO_ERR_IO && strchr(args[0], '/') == NULL) {
            status = sotto_fail_context(status, "there is no network %s in " FOLDER " nor here; run from the top of the source tree for a shipped one, or give PREFIX", args[0]);
        }
    }
    if (status == SOTTO_OK) {
        status = images_read(images, &found, &c.model);
    }
    if (status == SOTTO_OK) {
        status = server_start(&server);
    }
    if (status == SOTTO_OK) {
        status = link_start(&link, &spec, (uint16_t)server.port);
    }
    if (status == SOTTO_OK) {
        status = sotto_client_connect(&client, paths.public_part, "127.0.0.1", link.port, &options);
    }
    json_begin(&j, stdout);
    if (status == SOTTO_OK) {
        sotto_session_audit(sotto_client_session(client), (sotto_audit){checker_keep, &c});
        if (as_json) {
            json_open(&j, NULL, '{');
            json_open(&j, "images", '[');
        } else {
            printf("%-22s %-12s %-12s %-12s %s\n", "image", "true label", "private", "plaintext", "equals reference");
        }
        status = classify(&j, &c, client, images, found, &different);
        stats = sotto_client_stats(client);
    }
    sotto_client_close(client);
    link_stop(&link);
    const double server_peak = server_stop(&server);
    if (status == SOTTO_OK) {
        if (as_json) {
            json_close(&j, ']');
        }
        print_costs(&j, &stats, server_peak);
        if (as_json) {
            json_close(&j, '}');
        }
        if (different > 0) {
            status = sotto_fail(SOTTO_ERR_MISMATCH, "%zu of %zu private results differ from the reference for the same shares", different, found);
        }
    }
    for (size_t i = 0; i < found; i++) {
        sotto_free(images[i].pixels);
    }
    checker_free(&c);
    return status == SOTTO_OK ? CLI_OK : cli_fail(&command);
}
