/* A session between a client and a server over one channel: handshake, keys and base OTs once, then any order of prepare and infer.
 *
 * Both parties hold the same network (public). The server's half of a prepared item and the client's are numbered alike and used once: taking one removes it
 * on both sides before the first byte of its inference is sent. After any failure the session is over.
 */
#ifndef SOTTO_NN_SECURE_SESSION_H
#define SOTTO_NN_SECURE_SESSION_H

#include "lib/chan.h"
#include "lib/pool.h"
#include "lib/rng.h"
#include "nn/secure/network.h"
#include "nn/sotto.h"

/* A party's own shares of the values of an inference, handed over as it goes: words words modulo the step's ring. Its secret; meant for comparing a
 * run with the reference. The function must copy what it keeps. */
typedef struct sotto_audit {
    void (*share)(void *ctx, size_t step, const uint64_t *share, size_t words);
    void *ctx;
} sotto_audit;

/* What runs a session on either side. rng, pool and audit's ctx must be usable from the thread that runs it. */
typedef struct sotto_session_env {
    sotto_chan *chan;  /* not closed by the session */
    sotto_rng rng;
    sotto_pool *pool;  /* NULL: the caller's thread alone */
    sotto_audit audit; /* share NULL: none */
    void (*progress)(void *ctx, size_t done, size_t total); /* client, per prepare; may be NULL */
    void *progress_ctx;
    size_t table_memory; /* client: bytes of garbled tables that an item keeps in memory, the others are in files (lib/spill.h); 0: no limit */
    int label_only;    /* client: ask for labels and no logits; server: serve no client that asks for logits */
    unsigned items;    /* server: prepared items that may wait, 0: as many as a session makes */
    /* Server: called with 1 before it waits for the client's next request, with 0 when that has begun; may be NULL. */
    void (*idle)(void *ctx, int waiting);
    void *idle_ctx;
} sotto_session_env;

/* ---- server ---- */

/* A model ready to serve: integers and transformed weights. Shared between sessions. Secret. */
typedef struct sotto_serving {
    sotto_network network;
    sotto_program_weights weights;
    sotto_linear_weights **packed; /* per step, NULL where it is not linear */
} sotto_serving;

SOTTO_MUST_CHECK int sotto_serving_new(sotto_serving *s, const sotto_model *m, sotto_pool *pool);
void sotto_serving_free(sotto_serving *s);

/* Serves one client until it says goodbye (SOTTO_OK) or something fails; the client is told no more than that the server gave up, handshake apart. stats may be NULL. */
SOTTO_MUST_CHECK int sotto_session_serve(const sotto_serving *s, const sotto_session_env *env, sotto_stats *stats);

/* ---- client ---- */
typedef struct sotto_session sotto_session;

/* Handshake, key generation, base OTs; sign and ot may be SOTTO_SIGN_PLANNED, SOTTO_OT_PLANNED. Keeps references to n, env->chan and env->pool. SOTTO_ERR_MISMATCH, _VERSION, _PEER, ... */
SOTTO_MUST_CHECK int sotto_session_open(sotto_session **out, const sotto_network *n, const sotto_session_env *env,
                                        sotto_sign_provider sign, sotto_ot_kind ot);
/* Prepares one more item. SOTTO_ERR_LIMIT when the server lets no more wait, or the session has made 1024: the session lives. */
SOTTO_MUST_CHECK int sotto_session_prepare(sotto_session *s);
size_t sotto_session_prepared(const sotto_session *s);
/* Uses the oldest item, SOTTO_ERR_USED when there is none: x input_words integers, logits output_words, centred. SOTTO_ERR_ARG in a session for labels alone. */
SOTTO_MUST_CHECK int sotto_session_infer(sotto_session *s, int64_t *logits, const int64_t *x);
/* The same in a session for labels alone, SOTTO_ERR_ARG in another: the smallest index with the largest logit. */
SOTTO_MUST_CHECK int sotto_session_label(sotto_session *s, size_t *label, const int64_t *x);
void sotto_session_audit(sotto_session *s, sotto_audit audit);
sotto_stats sotto_session_stats(const sotto_session *s);
/* Says goodbye if nothing has failed; wipes and releases. Does not close the channel. NULL is fine. */
void sotto_session_close(sotto_session *s);

/* The session inside a client of sotto.h, for audit; lives as long as the client. */
sotto_session *sotto_client_session(sotto_client *c);

#endif
