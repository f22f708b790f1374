#include <malloc.h>
#include <signal.h>
#include <string.h>

#include "apps/commands.h"
#include "nn/secure/frame.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
    const char *group; /* a heading that begins here */
} commands[] = {
    {"demo", cmd_demo, "server and client on this machine, ten images: the one to start with", "see it"},
    {"serve", cmd_serve, "serve a network to clients over TCP", "use it"},
    {"infer", cmd_infer, "classify images with a server's network, privately", NULL},
    {"train", cmd_train, "train a network and make it one that can be served", "make a network"},
    {"import", cmd_import, "read a trained network from an ONNX file", NULL},
    {"quantise", cmd_quantise, "from a trained or imported network to one that can be served", NULL},
    {"plan", cmd_plan, "choose the parameters that are fastest on this machine and a network", NULL},
    {"export", cmd_export, "write a network as ONNX", NULL},
    {"eval", cmd_eval, "accuracy on a data set: float, fixed point, private", "measure it"},
    {"inspect", cmd_inspect, "table of layers: shapes, parameters with their security, bytes", NULL},
    {"bench", cmd_bench, "time, bytes and memory, of parts and of whole networks", NULL},
};
#define COMMANDS (sizeof commands / sizeof *commands)

static void usage(FILE *out)
{
    fprintf(out, "sotto: private neural-network inference. A client learns what a server's network says of its image; the server does not see the\n"
                 "image, and the client does not see the weights.\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        if (commands[i].group != NULL) {
            fprintf(out, "\n%s\n", commands[i].group);
        }
        fprintf(out, "  sotto %-9s %s\n", commands[i].name, commands[i].summary);
    }
    fprintf(out, "\nA network is two files: PREFIX.sotto, which is public and which clients need, and PREFIX.weights, which stays with the server. Where a\n"
                 "command takes PREFIX, PREFIX.sotto does as well. sotto COMMAND --help says more. Exit codes: 0 done, 1 failed, 2 called wrongly.\n");
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static int unknown(const char *name)
{
    fprintf(stderr, "sotto: unknown command '%s'", name);
    for (size_t i = 0; i < COMMANDS; i++) {
        if (cli_distance(name, commands[i].name) < 3) {
            fprintf(stderr, "; did you mean %s?", commands[i].name);
            break;
        }
    }
    fprintf(stderr, "\nsotto --help lists the commands\n");
    return CLI_USAGE;
}

/* A report that did not reach its file is a failure (full disk, closed pipe). */
static int finish(const char *name, int code)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "sotto %s: the output cannot be written; make room or check where it goes\n", name);
        return CLI_FAILED;
    }
    return code;
}

/* Every layer of a session takes buffers of a megabyte and gives them back. Left alone, malloc hands such memory to the kernel and fetches it anew, page by page, which takes up to
 * a quarter of the time of a linear layer. */
static void keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
}

int main(int argc, char **argv)
{
    static char help[] = "--help";
    const char *first = argc >= 2 ? argv[1] : "";
    const int asked = strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0 || strcmp(first, "help") == 0;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file beyond the user's limit: write() says so */
    keep_memory();
    if (asked && argc >= 3 && find(argv[2]) != NULL) { /* sotto help COMMAND */
        char *args[] = {argv[2], help, NULL};
        return finish(argv[2], find(argv[2])->run(2, args));
    }
    if (asked) {
        usage(stdout);
        return finish(first, CLI_OK);
    }
    if (strcmp(first, "--version") == 0) {
        printf("sotto " SOTTO_VERSION ", protocol %d\n", SOTTO_PROTOCOL_VERSION);
        return finish(first, CLI_OK);
    }
    if (argc < 2) {
        usage(stderr);
        return CLI_USAGE;
    }
    return find(first) == NULL ? unknown(first) : finish(first, find(first)->run(argc - 1, argv + 1));
}
