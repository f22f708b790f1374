#include <signal.h>
#include <string.h>
#include <time.h>

#include "apps/commands.h"

static const char *host = "127.0.0.1";
static unsigned port = 7700, timeout_s = 60, idle_s = 600, items = 32, threads, clients = 8;
static int quiet, label_only;
static sotto_server *running; /* for the signal handler */

static const cli_option option_table[] = {
    {"host", CLI_STRING, &host, "ADDRESS", "address to listen on; :: for all of this machine", 0, 0},
    {"port", CLI_UINT, &port, "N", "TCP port; 0: the system chooses, and the first line of output says which", 0, 65535},
    {"timeout", CLI_UINT, &timeout_s, "SECONDS", "a client that is silent for longer within a request is dropped", 1, 86400},
    {"idle", CLI_UINT, &idle_s, "SECONDS", "the same between requests; prepared material waits so long", 1, 86400},
    {"items", CLI_UINT, &items, "N", "prepared inferences that a client may leave waiting; each takes memory", 1, 1024},
    {"threads", CLI_UINT, &threads, "N", "for each client's work; 0: one per CPU", 0, 1024},
    {"clients", CLI_UINT, &clients, "N", "served at once; more have to wait", 1, 4096},
    {"label-only", CLI_FLAG, &label_only, "", "refuse clients that ask for logits; infer --label asks for the class alone", 0, 0},
    {"quiet", CLI_FLAG, &quiet, "", "no line per client on stderr", 0, 0},
};

static const cli_command command = {"serve", "PREFIX",
                                    "Serves the model PREFIX.sotto with the weights PREFIX.weights until Ctrl-C (SIGINT) or SIGTERM. Clients need PREFIX.sotto and the same release. The connection is not encrypted:\n"
                                    "tunnel it where others can listen.",
                                    option_table, sizeof option_table / sizeof *option_table, 1, 1};

static void on_signal(int signal_number)
{
    (void)signal_number;
    sotto_server_stop(running);
}

static void on_log(void *ctx, const char *line)
{
    char stamp[32];
    const time_t now = time(NULL);
    struct tm tm;
    (void)ctx;
    localtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &tm);
    fprintf(stderr, "%s %s\n", stamp, line);
}

int cmd_serve(int argc, char **argv)
{
    const char *args[1];
    int arg_count, code;
    if (!cli_parse(&command, argc, argv, args, &arg_count, &code)) {
        return code;
    }
    model_paths paths;
    sotto_server *s = NULL;
    sotto_options options = sotto_options_default();
    options.timeout_ms = timeout_s * 1000;
    options.idle_ms = idle_s * 1000;
    options.items = items;
    options.threads = threads;
    options.clients = clients;
    options.label_only = label_only;
    options.log = quiet ? NULL : on_log;
    int status = model_paths_of(&paths, args[0]);
    if (status == SOTTO_OK) {
        status = sotto_server_new(&s, paths.public_part, paths.weights, &options);
    }
    if (status == SOTTO_OK) {
        status = sotto_server_listen(s, host, (uint16_t)port);
    }
    if (status == SOTTO_OK) {
        const struct sigaction action = {.sa_handler = on_signal};
        running = s;
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        printf("listening on %s port %u\n", host, (unsigned)sotto_server_port(s));
        fflush(stdout);
        status = sotto_server_run(s);
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
    }
    sotto_server_free(s);
    return status == SOTTO_OK ? CLI_OK : cli_fail(&command);
}
