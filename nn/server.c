#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/mem.h"
#include "lib/tcp.h"
#include "nn/model/weights.h"
#include "nn/secure/material.h"

#define ACCEPT_FAILURES_MAX 300 /* in a row, 200 ms apart */

/* A place for one client; its thread is joined before the place is used again. */
typedef struct seat {
    sotto_server *server;
    sotto_chan chan;
    char peer[64];
    pthread_t thread;
    int taken, done; /* a thread was started; it has ended */
} seat;

struct sotto_server {
    sotto_serving serving;
    sotto_options options;
    uint64_t input_limit;  /* of a client's channel */
    sotto_tcp_listener *listener;
    seat *seats;           /* options.clients */
    pthread_mutex_t lock;  /* seats' done, served, and the log callback */
    pthread_cond_t freed;
    volatile sig_atomic_t stopping;
};

int sotto_server_new(sotto_server **out, const char *public_path, const char *weights_path, const sotto_options *options)
{
    *out = NULL;
    sotto_model model = {0};
    sotto_pool *pool = NULL;
    sotto_server *s = sotto_calloc(1, sizeof *s);
    if (s == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a server");
    }
    s->options = options == NULL ? sotto_options_default() : *options;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->freed, NULL);
    int status = s->options.clients < 1 || s->options.clients > 4096 || s->options.items < 1 || s->options.items > 1024
                     ? sotto_fail(SOTTO_ERR_ARG, "clients = %u, items = %u; expected 1 to 4096 and 1 to 1024", s->options.clients, s->options.items)
                     : SOTTO_OK;
    if (status == SOTTO_OK) {
        s->seats = sotto_calloc(s->options.clients, sizeof *s->seats);
        status = s->seats == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for %u clients", s->options.clients) : SOTTO_OK;
    }
    if (status == SOTTO_OK) {
        status = sotto_model_load(&model, public_path, weights_path);
    }
    if (status == SOTTO_OK) {
        status = sotto_pool_new(&pool, s->options.threads);
    }
    if (status == SOTTO_OK) {
        status = sotto_serving_new(&s->serving, &model, pool);
        status = status == SOTTO_OK ? SOTTO_OK : sotto_fail_context(status, "%s", public_path);
    }
    if (status == SOTTO_OK) {
        status = sotto_network_item_bytes(&s->serving.network, &s->input_limit);
        s->input_limit += SOTTO_INPUT_SLACK;
    }
    sotto_model_free(&model);
    sotto_pool_free(pool);
    if (status != SOTTO_OK) {
        sotto_server_free(s);
        return status;
    }
    *out = s;
    return SOTTO_OK;
}

int sotto_server_listen(sotto_server *s, const char *host, uint16_t port)
{
    if (s->listener != NULL) {
        return sotto_fail(SOTTO_ERR_ARG, "the server listens already");
    }
    return sotto_tcp_listen(&s->listener, host, port);
}

uint16_t sotto_server_port(const sotto_server *s)
{
    return s->listener == NULL ? 0 : sotto_tcp_port(s->listener);
}

static void log_session(sotto_server *s, const char *peer, int status, const sotto_stats *stats)
{
    char line[768];
    if (s->options.log == NULL) {
        return;
    }
    snprintf(line, sizeof line, "%s: %llu prepared in %.2f s, %llu images in %.2f s, %.1f MB out, %.1f MB in; %s%s%s", peer,
             (unsigned long long)stats->prepare.count, stats->prepare.seconds, (unsigned long long)stats->infer.count, stats->infer.seconds,
             (double)(stats->setup.bytes_out + stats->prepare.bytes_out + stats->infer.bytes_out) / 1e6,
             (double)(stats->setup.bytes_in + stats->prepare.bytes_in + stats->infer.bytes_in) / 1e6,
             status == SOTTO_OK ? "goodbye" : "ended: ", status == SOTTO_OK ? "" : sotto_status_name(status),
             status == SOTTO_OK ? "" : sotto_error_message()[0] != '\0' ? ", " : "");
    const size_t len = strlen(line);
    if (status != SOTTO_OK) {
        snprintf(line + len, sizeof line - len, "%s", sotto_error_message());
    }
    pthread_mutex_lock(&s->lock);
    s->options.log(s->options.ctx, line);
    pthread_mutex_unlock(&s->lock);
}

/* Between requests a client may be silent for longer: its prepared material waits for an image. */
static void on_idle(void *ctx, int waiting)
{
    seat *own = ctx;
    const sotto_options *o = &own->server->options;
    sotto_tcp_set(&own->chan, waiting ? o->idle_ms : o->timeout_ms, own->server->input_limit);
}

static void *serve(void *arg)
{
    seat *own = arg;
    sotto_server *s = own->server;
    sotto_stats stats = {0};
    sotto_pool *pool = NULL;
    int status = sotto_pool_new(&pool, s->options.threads);
    if (status == SOTTO_OK) {
        const sotto_session_env env = {.chan = &own->chan, .rng = sotto_rng_system(), .pool = pool, .label_only = s->options.label_only, .items = s->options.items,
                                       .idle = on_idle, .idle_ctx = own};
        on_idle(own, 0);
        status = sotto_session_serve(&s->serving, &env, &stats);
    }
    log_session(s, own->peer, status, &stats);
    sotto_pool_free(pool);
    pthread_mutex_lock(&s->lock);
    sotto_chan_close(&own->chan);
    own->done = 1;
    pthread_cond_signal(&s->freed);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Waits until a seat is free; its old thread is joined. NULL once the server is stopping, which a signal handler cannot signal: so it looks now and then. */
static seat *free_seat(sotto_server *s)
{
    seat *found = NULL;
    pthread_mutex_lock(&s->lock);
    while (found == NULL && !s->stopping) {
        for (unsigned i = 0; i < s->options.clients && found == NULL; i++) {
            if (!s->seats[i].taken || s->seats[i].done) {
                found = &s->seats[i];
            }
        }
        if (found == NULL) {
            struct timespec until;
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_sec++;
            pthread_cond_timedwait(&s->freed, &s->lock, &until);
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (found == NULL) {
        return NULL;
    }
    if (found->taken) {
        pthread_join(found->thread, NULL);
    }
    memset(found, 0, sizeof *found);
    found->server = s;
    return found;
}

int sotto_server_run(sotto_server *s)
{
    int status = s->listener == NULL ? sotto_fail(SOTTO_ERR_ARG, "the server does not listen yet") : SOTTO_OK;
    unsigned failures = 0;
    while (status == SOTTO_OK) {
        seat *next = free_seat(s);
        if (next == NULL) {
            break;
        }
        status = sotto_tcp_accept(s->listener, &next->chan, s->options.timeout_ms, next->peer);
        if (status != SOTTO_OK && status != SOTTO_ERR_CLOSED && failures++ < ACCEPT_FAILURES_MAX) {
            /* Short of descriptors or memory: that passes when clients leave, and those being served must not suffer. */
            const sotto_stats none = {0};
            log_session(s, "new client", status, &none);
            nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
            status = SOTTO_OK;
            continue;
        }
        if (status != SOTTO_OK) {
            break;
        }
        failures = 0;
        next->taken = 1;
        if (pthread_create(&next->thread, NULL, serve, next) != 0) {
            next->taken = 0;
            sotto_chan_close(&next->chan);
            const sotto_stats none = {0};
            log_session(s, next->peer, sotto_fail(SOTTO_ERR_MEMORY, "no thread for this client"), &none);
        }
    }
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->options.clients; i++) {
        if (s->seats[i].taken && !s->seats[i].done) {
            sotto_tcp_shutdown(&s->seats[i].chan);
        }
    }
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->options.clients; i++) {
        if (s->seats[i].taken) {
            pthread_join(s->seats[i].thread, NULL);
            s->seats[i].taken = 0;
        }
    }
    return status == SOTTO_ERR_CLOSED ? SOTTO_OK : status;
}

void sotto_server_stop(sotto_server *s)
{
    s->stopping = 1;
    if (s->listener != NULL) {
        sotto_tcp_interrupt(s->listener);
    }
}

void sotto_server_free(sotto_server *s)
{
    if (s == NULL) {
        return;
    }
    sotto_tcp_listener_free(s->listener);
    sotto_serving_free(&s->serving);
    sotto_free(s->seats);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->freed);
    sotto_free(s);
}
