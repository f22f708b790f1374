#include "nn/secure/session.h"

#include <sodium.h>
#include <string.h>
#include <time.h>

#include "bfv/wire.h"
#include "lib/bytes.h"
#include "lib/ct.h"
#include "lib/mem.h"
#include "nn/secure/frame.h"
#include "nn/secure/material.h"
#include "ot/extension.h"

#define NONCE_BYTES 16
#define HELLO_BYTES (16 + 32 + 3 + NONCE_BYTES)
#define WELCOME_BYTES (NONCE_BYTES + 4)
/* Inferences of one session: one OT offset and one set of base OTs serve no more. */
#define ITEMS_MAX 1024

/* ---- common ----------------------------------------------------------------------------------------------------- */

typedef struct phase_start {
    sotto_chan_stats chan;
    struct timespec time;
} phase_start;

static phase_start phase_begin(const sotto_chan *chan)
{
    phase_start start = {chan->stats, {0, 0}};
    clock_gettime(CLOCK_MONOTONIC, &start.time);
    return start;
}

static void phase_end(sotto_phase_stats *phase, const phase_start *start, const sotto_chan *chan)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    phase->bytes_out += chan->stats.bytes_out - start->chan.bytes_out;
    phase->bytes_in += chan->stats.bytes_in - start->chan.bytes_in;
    phase->rounds += chan->stats.rounds - start->chan.rounds;
    phase->seconds += (double)(now.tv_sec - start->time.tv_sec) + 1e-9 * (double)(now.tv_nsec - start->time.tv_nsec);
    phase->count++;
}

/* Both nonces make it fresh for either side; it is no secret. */
static sotto_block session_salt(const sotto_network *n, const uint8_t client[NONCE_BYTES], const uint8_t server[NONCE_BYTES])
{
    static const uint8_t domain[] = "sotto session 1";
    crypto_generichash_state state;
    sotto_block salt;
    crypto_generichash_init(&state, NULL, 0, sizeof salt);
    crypto_generichash_update(&state, domain, sizeof domain);
    crypto_generichash_update(&state, n->model.id, sizeof n->model.id);
    crypto_generichash_update(&state, n->model.public_hash, sizeof n->model.public_hash);
    crypto_generichash_update(&state, client, NONCE_BYTES);
    crypto_generichash_update(&state, server, NONCE_BYTES);
    crypto_generichash_final(&state, (uint8_t *)&salt, sizeof salt);
    SOTTO_DECLASSIFY(&salt, sizeof salt); /* of what both nonces show, which travel */
    return salt;
}

static size_t keys_bytes(const sotto_network *n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n->key_count; i++) {
        bytes += sotto_bfv_public_key_bytes(n->keys[i]);
    }
    return bytes;
}

/* ---- server ----------------------------------------------------------------------------------------------------- */

int sotto_serving_new(sotto_serving *s, const sotto_model *m, sotto_pool *pool)
{
    memset(s, 0, sizeof *s);
    int status = sotto_network_new(&s->network, m);
    if (status == SOTTO_OK) {
        status = sotto_program_weights_new(&s->weights, &s->network.program, m);
    }
    if (status == SOTTO_OK) {
        s->packed = sotto_calloc(s->network.program.step_count, sizeof *s->packed);
        if (s->packed == NULL) {
            status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for the weights of the model");
        }
    }
    for (size_t i = 0; status == SOTTO_OK && i < s->network.program.step_count; i++) {
        const sotto_network_linear *linear = &s->network.linear[i];
        if (linear->params != NULL) {
            status = sotto_linear_weights_new(&s->packed[i], &linear->plan, linear->params, s->weights.weights[i], pool);
        }
    }
    if (status != SOTTO_OK) {
        sotto_serving_free(s);
    }
    return status;
}

void sotto_serving_free(sotto_serving *s)
{
    for (size_t i = 0; s->packed != NULL && i < s->network.program.step_count; i++) {
        sotto_linear_weights_free(s->packed[i], s->network.linear[i].params);
    }
    sotto_free(s->packed);
    sotto_program_weights_free(&s->weights);
    sotto_network_free(&s->network);
    memset(s, 0, sizeof *s);
}

/* A session at the server. Items first_item .. next_item - 1 are ready. */
typedef struct server_session {
    const sotto_serving *serving;
    const sotto_session_env *env;
    sotto_terms terms;
    sotto_ot *ot;
    sotto_bfv_public_key *pk;
    sotto_server_item items[ITEMS_MAX];
    uint64_t first_item, next_item;
    uint32_t waiting_max;
} server_session;

static int server_read_keys(server_session *s)
{
    const sotto_network *n = &s->serving->network;
    const size_t bytes = keys_bytes(n);
    uint8_t *body = sotto_calloc(bytes, 1);
    s->pk = sotto_calloc(n->key_count, sizeof *s->pk);
    int status = body == NULL || s->pk == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for public keys") : SOTTO_OK;
    if (status == SOTTO_OK) {
        status = sotto_frame_recv(s->env->chan, SOTTO_FRAME_KEYS, 0, body, bytes);
    }
    sotto_reader r;
    sotto_reader_init(&r, body, bytes);
    for (size_t i = 0; i < n->key_count && status == SOTTO_OK; i++) {
        status = sotto_bfv_public_key_read(&s->pk[i], n->keys[i], &r);
    }
    sotto_free(body);
    return status;
}

static int server_handshake(server_session *s)
{
    const sotto_network *n = &s->serving->network;
    uint8_t hello[HELLO_BYTES], welcome[WELCOME_BYTES], id[16], hash[32], client[NONCE_BYTES], server[NONCE_BYTES];
    int status = sotto_frame_recv(s->env->chan, SOTTO_FRAME_HELLO, 0, hello, sizeof hello);
    if (status != SOTTO_OK) {
        return status;
    }
    sotto_reader r;
    sotto_reader_init(&r, hello, sizeof hello);
    sotto_read_bytes(&r, id, sizeof id);
    sotto_read_bytes(&r, hash, sizeof hash);
    const unsigned sign = sotto_read_u8(&r), ot = sotto_read_u8(&r), label_only = sotto_read_u8(&r);
    sotto_read_bytes(&r, client, sizeof client);
    if (memcmp(id, n->model.id, sizeof id) != 0 || memcmp(hash, n->model.public_hash, sizeof hash) != 0) {
        return sotto_fail(SOTTO_ERR_MISMATCH, "the client asks for another model, or another plan of this one");
    }
    if (sign >= SOTTO_SIGN_PROVIDERS) {
        return sotto_fail(SOTTO_ERR_PROTOCOL, "the client asks for sign provider %u, which does not exist", sign);
    }
    if (label_only > 1) {
        return sotto_fail(SOTTO_ERR_PROTOCOL, "the client asks for result %u, which does not exist", label_only);
    }
    if (s->env->label_only && !label_only) {
        return sotto_fail(SOTTO_ERR_MISMATCH, "the client asks for logits, and this server gives labels alone");
    }
    status = sotto_terms_new(&s->terms, n, (sotto_sign_provider)sign, (sotto_ot_kind)ot);
    if (status == SOTTO_OK && label_only) {
        status = sotto_terms_label_only(&s->terms);
    }
    if (status == SOTTO_OK) {
        status = sotto_rng_fill(&s->env->rng, server, sizeof server);
    }
    if (status == SOTTO_OK) {
        sotto_writer w;
        sotto_writer_init(&w, welcome, sizeof welcome);
        sotto_write_bytes(&w, server, sizeof server);
        sotto_write_u32(&w, s->waiting_max);
        status = sotto_frame_send(s->env->chan, SOTTO_FRAME_WELCOME, 0, welcome, sizeof welcome);
    }
    if (status == SOTTO_OK) {
        status = server_read_keys(s);
    }
    if (status == SOTTO_OK) {
        status = sotto_ot_new(&s->ot, s->env->chan, &s->env->rng, session_salt(n, client, server), 1, s->terms.ot);
    }
    return status;
}

static int server_prepare(server_session *s, const sotto_frame *frame)
{
    uint8_t body[8];
    if (frame->length != sizeof body) {
        return sotto_fail(SOTTO_ERR_PROTOCOL, "frame 'prepare': %llu bytes where 8 were due", (unsigned long long)frame->length);
    }
    int status = sotto_chan_recv(s->env->chan, body, sizeof body);
    if (status != SOTTO_OK) {
        return status;
    }
    sotto_reader r;
    sotto_reader_init(&r, body, sizeof body);
    if (sotto_read_u64(&r) != s->next_item) {
        return sotto_fail(SOTTO_ERR_PROTOCOL, "the client prepares an item out of order");
    }
    if (s->next_item == ITEMS_MAX || s->next_item - s->first_item >= s->waiting_max) {
        return sotto_fail(SOTTO_ERR_LIMIT, "the client prepares more than %u items ahead, or more than %d in a session",
                          (unsigned)s->waiting_max, ITEMS_MAX);
    }
    status = sotto_server_item_prepare(&s->items[s->next_item], &s->terms, s->serving, s->env, s->pk, s->ot);
    if (status == SOTTO_OK) {
        s->next_item++;
        status = sotto_frame_send(s->env->chan, SOTTO_FRAME_READY, 0, body, sizeof body);
    }
    return status == SOTTO_OK ? sotto_chan_flush(s->env->chan) : status;
}

static int server_infer(server_session *s, const sotto_frame *frame)
{
    const size_t input = sotto_terms_input_bytes(&s->terms);
    if (frame->length != 8 + input) {
        return sotto_fail(SOTTO_ERR_PROTOCOL, "frame 'infer': %llu bytes where %zu were due", (unsigned long long)frame->length, 8 + input);
    }
    uint8_t *body = sotto_calloc(8 + input, 1);
    if (body == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a masked image");
    }
    int status = sotto_chan_recv(s->env->chan, body, 8 + input);
    if (status == SOTTO_OK) {
        sotto_reader r;
        sotto_reader_init(&r, body, 8);
        const uint64_t number = sotto_read_u64(&r);
        if (number != s->first_item || number >= s->next_item) {
            status = sotto_fail(SOTTO_ERR_USED, "the client wants an item that was used already, or never prepared");
        } else {
            /* Out of the store before anything is answered. */
            sotto_server_item item = s->items[number];
            memset(&s->items[number], 0, sizeof s->items[number]);
            s->first_item++;
            status = sotto_server_item_infer(&item, s->serving, s->env, body + 8);
            sotto_server_item_free(&item);
        }
    }
    sotto_free(body);
    return status;
}

int sotto_session_serve(const sotto_serving *serving, const sotto_session_env *env, sotto_stats *stats)
{
    sotto_stats own = {0};
    stats = stats == NULL ? &own : stats;
    server_session *s = sotto_calloc(1, sizeof *s);
    if (s == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a session");
    }
    s->serving = serving;
    s->env = env;
    s->waiting_max = env->items > 0 && env->items < ITEMS_MAX ? env->items : ITEMS_MAX;
    phase_start start = phase_begin(env->chan);
    int status = server_handshake(s);
    phase_end(&stats->setup, &start, env->chan);
    while (status == SOTTO_OK) {
        sotto_frame frame;
        if (env->idle != NULL) {
            env->idle(env->idle_ctx, 1);
        }
        status = sotto_frame_next(env->chan, &frame);
        if (env->idle != NULL) {
            env->idle(env->idle_ctx, 0);
        }
        if (status != SOTTO_OK || frame.type == SOTTO_FRAME_BYE) {
            break;
        }
        start = phase_begin(env->chan);
        if (frame.type == SOTTO_FRAME_PREPARE) {
            status = server_prepare(s, &frame);
            phase_end(&stats->prepare, &start, env->chan);
        } else if (frame.type == SOTTO_FRAME_INFER) {
            status = server_infer(s, &frame);
            phase_end(&stats->infer, &start, env->chan);
        } else {
            status = sotto_fail(SOTTO_ERR_PROTOCOL, "the client sent a frame out of order; expected prepare, infer or bye");
        }
    }
    if (status != SOTTO_OK && status != SOTTO_ERR_CLOSED && status != SOTTO_ERR_PEER) {
        sotto_frame_send_error(env->chan, status);
    }
    for (size_t i = 0; i < ITEMS_MAX; i++) {
        sotto_server_item_free(&s->items[i]);
    }
    for (size_t i = 0; s->pk != NULL && i < serving->network.key_count; i++) {
        sotto_bfv_public_key_free(&s->pk[i]);
    }
    sotto_free(s->pk);
    sotto_ot_free(s->ot);
    sotto_terms_free(&s->terms);
    sotto_free_secret(s, 1, sizeof *s);
    return status;
}

/* ---- client ----------------------------------------------------------------------------------------------------- */

struct sotto_session {
    const sotto_network *network;
    sotto_session_env env;
    sotto_terms terms;
    sotto_ot *ot;
    sotto_bfv_secret_key *sk;
    sotto_client_item items[ITEMS_MAX]; /* first_item .. next_item - 1 are ready */
    uint64_t first_item, next_item;
    uint32_t waiting_max; /* items that the server lets wait */
    sotto_stats stats;
    int status; /* the failure that ended the session */
};

static int client_send_keys(sotto_session *s)
{
    const sotto_network *n = s->network;
    const size_t bytes = keys_bytes(n);
    uint8_t *body = sotto_calloc(bytes, 1);
    s->sk = sotto_calloc(n->key_count, sizeof *s->sk);
    int status = body == NULL || s->sk == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for keys") : SOTTO_OK;
    sotto_writer w;
    sotto_writer_init(&w, body, bytes);
    for (size_t i = 0; i < n->key_count && status == SOTTO_OK; i++) {
        sotto_bfv_public_key pk = {0};
        status = sotto_bfv_secret_key_new(&s->sk[i], n->keys[i], &s->env.rng);
        if (status == SOTTO_OK) {
            status = sotto_bfv_public_key_new(&pk, n->keys[i], &s->sk[i], &s->env.rng);
        }
        if (status == SOTTO_OK) {
            sotto_bfv_public_key_write(&w, n->keys[i], &pk);
            status = w.status;
        }
        sotto_bfv_public_key_free(&pk);
    }
    if (status == SOTTO_OK) {
        status = sotto_frame_send(s->env.chan, SOTTO_FRAME_KEYS, 0, body, bytes);
    }
    sotto_free(body);
    return status;
}

static int client_handshake(sotto_session *s)
{
    const sotto_network *n = s->network;
    uint8_t hello[HELLO_BYTES], welcome[WELCOME_BYTES], client[NONCE_BYTES], server[NONCE_BYTES];
    int status = sotto_rng_fill(&s->env.rng, client, sizeof client);
    if (status != SOTTO_OK) {
        return status;
    }
    sotto_writer w;
    sotto_writer_init(&w, hello, sizeof hello);
    sotto_write_bytes(&w, n->model.id, sizeof n->model.id);
    sotto_write_bytes(&w, n->model.public_hash, sizeof n->model.public_hash);
    sotto_write_u8(&w, (uint8_t)s->terms.sign);
    sotto_write_u8(&w, (uint8_t)s->terms.ot);
    sotto_write_u8(&w, (uint8_t)s->terms.label_only);
    sotto_write_bytes(&w, client, sizeof client);
    status = sotto_frame_send(s->env.chan, SOTTO_FRAME_HELLO, 0, hello, sizeof hello);
    if (status == SOTTO_OK) {
        status = sotto_frame_recv(s->env.chan, SOTTO_FRAME_WELCOME, 0, welcome, sizeof welcome);
        if (status == SOTTO_ERR_TIMEOUT) {
            status = sotto_fail_context(status, "the server is there, but it may be busy with as many clients as it serves at once");
        }
    }
    if (status == SOTTO_OK) {
        sotto_reader r;
        sotto_reader_init(&r, welcome, sizeof welcome);
        sotto_read_bytes(&r, server, sizeof server);
        s->waiting_max = sotto_read_u32(&r);
        status = client_send_keys(s);
    }
    if (status == SOTTO_OK) {
        status = sotto_ot_new(&s->ot, s->env.chan, &s->env.rng, session_salt(n, client, server), 0, s->terms.ot);
    }
    return status;
}

/* A failure ends the session; the peer learns of it unless it caused it. */
static int client_over(sotto_session *s, int status)
{
    if (status != SOTTO_OK && s->status == SOTTO_OK) {
        s->status = status;
        if (status != SOTTO_ERR_CLOSED && status != SOTTO_ERR_PEER) {
            sotto_frame_send_error(s->env.chan, status);
        }
    }
    return status;
}

static int client_usable(const sotto_session *s)
{
    return s->status == SOTTO_OK ? SOTTO_OK
                                 : sotto_fail(s->status, "the session ended with an earlier failure (%s); connect again",
                                              sotto_status_name(s->status));
}

int sotto_session_open(sotto_session **out, const sotto_network *n, const sotto_session_env *env, sotto_sign_provider sign,
                       sotto_ot_kind ot)
{
    *out = NULL;
    sotto_session *s = sotto_calloc(1, sizeof *s);
    if (s == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a session");
    }
    s->network = n;
    s->env = *env;
    sotto_network_session(&n->model, &sign, &ot);
    int status = sotto_terms_new(&s->terms, n, sign, ot);
    if (status == SOTTO_OK && env->label_only) {
        status = sotto_terms_label_only(&s->terms);
    }
    if (status == SOTTO_OK) {
        const phase_start start = phase_begin(env->chan);
        status = client_over(s, client_handshake(s));
        phase_end(&s->stats.setup, &start, env->chan);
    }
    if (status != SOTTO_OK) {
        sotto_session_close(s);
        return status;
    }
    *out = s;
    return SOTTO_OK;
}

static int client_prepare(sotto_session *s)
{
    uint8_t body[8], echo[8];
    sotto_client_item *item = &s->items[s->next_item];
    sotto_writer w;
    sotto_writer_init(&w, body, sizeof body);
    sotto_write_u64(&w, s->next_item);
    int status = sotto_frame_send(s->env.chan, SOTTO_FRAME_PREPARE, 0, body, sizeof body);
    if (status == SOTTO_OK) {
        status = sotto_client_item_prepare(item, &s->terms, &s->env, s->sk, s->ot);
    }
    if (status == SOTTO_OK) {
        status = sotto_frame_recv(s->env.chan, SOTTO_FRAME_READY, 0, echo, sizeof echo);
    }
    if (status == SOTTO_OK && memcmp(body, echo, sizeof body) != 0) {
        status = sotto_fail(SOTTO_ERR_PROTOCOL, "the server is ready with another item than the one that was prepared");
    }
    if (status != SOTTO_OK) {
        sotto_client_item_free(item);
        return status;
    }
    s->next_item++;
    return SOTTO_OK;
}

int sotto_session_prepare(sotto_session *s)
{
    int status = client_usable(s);
    if (status != SOTTO_OK) {
        return status;
    }
    if (s->next_item == ITEMS_MAX) {
        return sotto_fail(SOTTO_ERR_LIMIT, "one session serves %d inferences; connect again", ITEMS_MAX);
    }
    if (s->next_item - s->first_item >= s->waiting_max) {
        return sotto_fail(SOTTO_ERR_LIMIT, "the server keeps %u prepared items for a client; use some first", (unsigned)s->waiting_max);
    }
    const phase_start start = phase_begin(s->env.chan);
    status = client_over(s, client_prepare(s));
    phase_end(&s->stats.prepare, &start, s->env.chan);
    return status;
}

size_t sotto_session_prepared(const sotto_session *s)
{
    return s->status == SOTTO_OK ? (size_t)(s->next_item - s->first_item) : 0;
}

static int client_infer(sotto_session *s, int label_only, int64_t *logits, size_t *label, const int64_t *x)
{
    int status = client_usable(s);
    if (status != SOTTO_OK) {
        return status;
    }
    if (label_only != s->terms.label_only) {
        return sotto_fail(SOTTO_ERR_ARG, "the session was opened for %s", s->terms.label_only ? "labels alone" : "logits");
    }
    if (s->first_item == s->next_item) {
        return sotto_fail(SOTTO_ERR_USED, "nothing is prepared; each prepared item serves one image");
    }
    /* Out of the store before the first byte is sent. */
    const uint64_t number = s->first_item++;
    sotto_client_item item = s->items[number];
    memset(&s->items[number], 0, sizeof s->items[number]);
    const phase_start start = phase_begin(s->env.chan);
    status = client_over(s, sotto_client_item_infer(&item, &s->env, number, logits, label, x));
    phase_end(&s->stats.infer, &start, s->env.chan);
    sotto_client_item_free(&item);
    return status;
}

int sotto_session_infer(sotto_session *s, int64_t *logits, const int64_t *x)
{
    return client_infer(s, 0, logits, NULL, x);
}

int sotto_session_label(sotto_session *s, size_t *label, const int64_t *x)
{
    return client_infer(s, 1, NULL, label, x);
}

void sotto_session_audit(sotto_session *s, sotto_audit audit)
{
    s->env.audit = audit;
}

sotto_stats sotto_session_stats(const sotto_session *s)
{
    return s->stats;
}

void sotto_session_close(sotto_session *s)
{
    if (s == NULL) {
        return;
    }
    if (s->status == SOTTO_OK && s->ot != NULL && sotto_frame_send(s->env.chan, SOTTO_FRAME_BYE, 0, NULL, 0) == SOTTO_OK) {
        const int flushed = sotto_chan_flush(s->env.chan);
        (void)flushed; /* a server that is gone needs no goodbye */
    }
    for (size_t i = 0; i < ITEMS_MAX; i++) {
        sotto_client_item_free(&s->items[i]);
    }
    for (size_t i = 0; s->sk != NULL && i < s->network->key_count; i++) {
        sotto_bfv_secret_key_free(&s->sk[i]);
    }
    sotto_free(s->sk);
    sotto_ot_free(s->ot);
    sotto_terms_free(&s->terms);
    sotto_free_secret(s, 1, sizeof *s);
}
