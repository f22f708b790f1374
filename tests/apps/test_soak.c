/* Many inferences in a row by one server process: every answer equals the reference for the client's shares, and the server holds no more memory, descriptors and
 * threads after the last than after the first few. SOTTO_TEST_LONG: as many in a row as one session makes, and 400 sessions. */
#include <dirent.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "apps/commands.h"
#include "lib/mem.h"
#include "tests/support/support.h"

#define MODEL  "apps/demo/fashion"
#define EARLY  20u          /* images after which everything has been allocated that an image needs */
#define PAGES  32           /* by which a process may grow after that: lists of the allocator */
#if defined __SANITIZE_ADDRESS__
#define KEEPS_FREED 1       /* memory that was freed stays with the process, in order to find those who use it */
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define KEEPS_FREED 1
#endif
#endif
#ifndef KEEPS_FREED
#define KEEPS_FREED 0
#endif

typedef struct usage {
    long pages, threads, files;
} usage;

static usage usage_of(pid_t pid)
{
    char path[64], line[256];
    usage u = {0};
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0) {
            u.pages = strtol(line + 6, NULL, 10) * 1024 / sysconf(_SC_PAGESIZE);
        } else if (strncmp(line, "Threads:", 8) == 0) {
            u.threads = strtol(line + 8, NULL, 10);
        }
    }
    fclose(f);
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        u.files++;
    }
    closedir(dir);
    return u;
}

/* ---- the server's process ------------------------------------------------------------------------------------------------- */

typedef struct process {
    pid_t pid;
    uint16_t port;
} process;

static sotto_server *running;

static void on_signal(int number)
{
    (void)number;
    sotto_server_stop(running);
}

static int serve(const model_paths *paths, int to_parent)
{
    sotto_options options = sotto_options_default();
    options.threads = 1;
    int status = sotto_server_new(&running, paths->public_part, paths->weights, &options);
    if (status == SOTTO_OK) {
        status = sotto_server_listen(running, "127.0.0.1", 0);
    }
    if (status == SOTTO_OK) {
        const struct sigaction action = {.sa_handler = on_signal};
        const uint16_t port = sotto_server_port(running);
        sigaction(SIGTERM, &action, NULL);
        status = write(to_parent, &port, sizeof port) == sizeof port ? SOTTO_OK : SOTTO_ERR_IO;
        close(to_parent);
    }
    if (status == SOTTO_OK) {
        status = sotto_server_run(running);
    }
    sotto_server_free(running);
    return status;
}

static process process_new(const model_paths *paths)
{
    process p = {0};
    int ends[2];
    assert_int_equal(0, pipe(ends));
    fflush(NULL);
    p.pid = fork();
    assert_true(p.pid >= 0);
    if (p.pid == 0) {
        close(ends[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves no server behind */
        mallopt(M_ARENA_MAX, 1);          /* one heap, whichever thread allocates: else each keeps holes of its own */
        _exit(serve(paths, ends[1]) == SOTTO_OK ? 0 : 1);
    }
    close(ends[1]);
    assert_int_equal(sizeof p.port, read(ends[0], &p.port, sizeof p.port));
    close(ends[0]);
    return p;
}

static void process_end(const process *p)
{
    int left = -1;
    assert_int_equal(0, kill(p->pid, SIGTERM));
    assert_int_equal(p->pid, waitpid(p->pid, &left, 0));
    assert_int_equal(0, left);
}

/* ---- clients ------------------------------------------------------------------------------------------------------------------ */

typedef struct soak {
    checker check;
    model_paths paths;
    process server;
    sotto_rng rng;
    uint8_t *pixels;
    double *logits;
    size_t done;
    usage early[2]; /* of server and client, after EARLY images */
} soak;

/* What the server frees after its last word to a client may take a moment: the least of a few looks. */
static usage settled(pid_t pid)
{
    const struct timespec pause = {0, 20 * 1000 * 1000};
    usage least = usage_of(pid);
    for (int i = 0; i < 10; i++) {
        nanosleep(&pause, NULL);
        const usage u = usage_of(pid);
        least.pages = u.pages < least.pages ? u.pages : least.pages;
        least.threads = u.threads < least.threads ? u.threads : least.threads;
        least.files = u.files < least.files ? u.files : least.files;
    }
    return least;
}

static sotto_client *connect_client(soak *s)
{
    sotto_client *c = NULL;
    sotto_options options = sotto_options_default();
    options.threads = 1;
    assert_ok(sotto_client_connect(&c, s->paths.public_part, "127.0.0.1", s->server.port, &options));
    sotto_session_audit(sotto_client_session(c), (sotto_audit){checker_keep, &s->check});
    return c;
}

static void infer(soak *s, sotto_client *c, size_t count)
{
    const size_t words = s->check.program.input_words;
    for (size_t i = 0; i < count; i++, s->done++) {
        int exact = 0;
        assert_ok(sotto_rng_fill(&s->rng, s->pixels, words));
        assert_ok(sotto_client_infer(c, s->pixels, words, s->logits));
        checker_compare(&s->check, s->pixels, s->logits, &exact);
        if (!exact) {
            fail_msg("image %zu: the logits are not those of the reference for the client's shares", s->done);
        }
    }
}

static void look(soak *s, int late)
{
    static const char *const names[2] = {"server", "client"};
    const pid_t pids[2] = {s->server.pid, getpid()};
    for (size_t side = 0; side < 2; side++) {
        const usage u = settled(pids[side]), *e = &s->early[side];
        if (!late) {
            s->early[side] = u;
            continue;
        }
        print_message("%s: %ld pages, %ld threads, %ld files after %u images; %ld, %ld, %ld after %zu\n", names[side], e->pages, e->threads, e->files, EARLY, u.pages,
                      u.threads, u.files, s->done);
        assert_int_equal(e->threads, u.threads);
        assert_int_equal(e->files, u.files);
        assert_true(KEEPS_FREED || u.pages <= e->pages + PAGES);
    }
}

static size_t total(size_t usual, size_t with_time)
{
    return getenv("SOTTO_TEST_LONG") != NULL ? with_time : usual;
}

static void soak_new(soak *s)
{
    memset(s, 0, sizeof *s);
    s->rng = test_rng(test_seed(), 1);
    assert_ok(model_paths_of(&s->paths, MODEL));
    s->server = process_new(&s->paths);
    assert_ok(checker_new(&s->check, &s->paths));
    s->pixels = sotto_calloc(s->check.program.input_words, 1);
    s->logits = sotto_calloc(s->check.program.output_words, sizeof *s->logits);
    assert_true(s->pixels != NULL && s->logits != NULL);
}

static void soak_free(soak *s)
{
    process_end(&s->server);
    checker_free(&s->check);
    sotto_free(s->pixels);
    sotto_free(s->logits);
}

static void test_in_a_row(void **state)
{
    soak s;
    (void)state;
    soak_new(&s);
    sotto_client *c = connect_client(&s);
    infer(&s, c, EARLY);
    look(&s, 0);
    infer(&s, c, total(200, 1024) - EARLY);
    look(&s, 1);
    sotto_client_close(c);
    soak_free(&s);
}

/* A client for every fifth image: what a session leaves behind shows. */
static void test_sessions(void **state)
{
    soak s;
    (void)state;
    const size_t images = total(100, 2000);
    soak_new(&s);
    while (s.done < images) {
        sotto_client *c = connect_client(&s);
        infer(&s, c, 5);
        sotto_client_close(c);
        if (s.done == EARLY) {
            look(&s, 0);
        }
    }
    look(&s, 1);
    soak_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_a_row),
        cmocka_unit_test(test_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
