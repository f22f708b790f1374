#include <signal.h>
#include <string.h>

#include "apps/commands.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"train", cmd_train, "train a network, quantise it, choose its HE parameters, save it"},
    {"quantise", cmd_quantise, "from a trained network to one that can be served: scales, widths, HE parameters"},
    {"import", cmd_import, "read a trained network from an ONNX file"},
    {"export", cmd_export, "write the network of a model as ONNX"},
    {"inspect", cmd_inspect, "table of layers: shapes, rings, HE parameters, predicted bytes"},
    {"plan", cmd_plan, "choose HE parameters, tiles, OTs and signs for a machine and a network"},
    {"eval", cmd_eval, "accuracy on a data set: float, fixed point, private"},
    {"serve", cmd_serve, "serve a model to clients over TCP"},
    {"infer", cmd_infer, "classify images with a server's model, privately"},
    {"demo", cmd_demo, "server and client on this machine, ten images"},
    {"bench", cmd_bench, "measure"},
};

static void usage(FILE *out)
{
    fprintf(out, "sotto: private neural-network inference\n\n");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        fprintf(out, "  sotto %-9s %s\n", commands[i].name, commands[i].summary);
    }
    fprintf(out, "\nsotto COMMAND --help says more. Exit codes: 0 done, 1 failed, 2 called wrongly.\n");
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)) {
        usage(stdout);
        return CLI_OK;
    }
    if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
        puts("sotto " SOTTO_VERSION);
        return CLI_OK;
    }
    for (size_t i = 0; argc >= 2 && i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            const int code = commands[i].run(argc - 1, argv + 1);
            /* A report that did not reach its file is a failure (full disk, closed pipe). */
            if (fflush(stdout) != 0 || ferror(stdout)) {
                fprintf(stderr, "sotto %s: the output cannot be written; make room or check where it goes\n", argv[1]);
                return CLI_FAILED;
            }
            return code;
        }
    }
    if (argc >= 2) {
        fprintf(stderr, "sotto: unknown command '%s'\n", argv[1]);
    }
    usage(stderr);
    return CLI_USAGE;
}
