/* Sotto for those who embed it: serve a model, or classify an image with someone else's model, privately.
 *
 * Server: sotto_server_new, sotto_server_listen, sotto_server_run (until sotto_server_stop from a signal handler or another thread),
 * sotto_server_free. Client: sotto_client_connect, optionally sotto_client_prepare ahead of time, sotto_client_infer per image, sotto_client_close.
 *
 * Every function that can fail returns SOTTO_OK or a negative sotto_status; sotto_error_message() then has a sentence for a person (lib/err.h).
 * Both parties are taken to follow the protocol; the connection itself is not encrypted: tunnel it where others can listen.
 */
#ifndef SOTTO_NN_SOTTO_H
#define SOTTO_NN_SOTTO_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "ot/kind.h"

/* How signs are decided; the client chooses. Results do not depend on it. */
typedef enum sotto_sign_provider {
    SOTTO_SIGN_LOOKUP,   /* a table of 2^(u-1) bits under OT pads: fewest bytes, u to 9 */
    SOTTO_SIGN_CIRCUIT,  /* a garbled circuit, half-gates: any u */
    SOTTO_SIGN_CIRCUIT3, /* the same, three-halves: 3/4 of the tables, 1.7 times the work on them */
    SOTTO_SIGN_PROVIDERS
} sotto_sign_provider;

/* In options: as the model's public part says (sotto plan), else SOTTO_SIGN_LOOKUP and SOTTO_OT_SOFTSPOKEN4. */
#define SOTTO_SIGN_PLANNED SOTTO_SIGN_PROVIDERS
#define SOTTO_OT_PLANNED ((sotto_ot_kind)0)

/* "lookup", "circuit", "circuit3"; "unknown" for anything else. */
const char *sotto_sign_name(sotto_sign_provider provider);

typedef struct sotto_options {
    unsigned timeout_ms; /* longest wait for the peer to begin; then it has to move 16 kB a second (lib/tcp.h); 60000 */
    unsigned idle_ms;    /* server: longest silence of a client between its requests, material being prepared; 600000 */
    unsigned items;      /* server: prepared items that a client may leave waiting, 1 to 1024; 32 */
    unsigned threads;    /* of a client, or of each client's work in a server; 0: one per CPU */
    unsigned clients;    /* server: served at once, more have to wait; 8 */
    sotto_sign_provider sign; /* client; SOTTO_SIGN_PLANNED */
    /* Client: bytes of garbled tables that a prepared item may keep in memory; those beyond are in temporary files without a name in $TMPDIR, else
     * /var/tmp (lib/spill.h), which tell whoever reads the disk no more than the wire did. 0: no limit; 256 MiB. */
    size_t table_memory;
    /* Client: 1: sessions give the label alone, and the client learns nothing else of the logits; costs a garbled circuit an image. Server: 1: clients that ask for logits
     * are refused. 0. */
    int label_only;
    sotto_ot_kind ot;         /* client: SOTTO_OT_IKNP, SoftSpoken, of which a larger k sends less and computes more, or SOTTO_OT_FERRET, which sends least; SOTTO_OT_PLANNED */
    /* Client: called between the parts of a prepare with parts done and in all. Server: not used. May be NULL. */
    void (*progress)(void *ctx, size_t done, size_t total);
    /* Server: a line for a log, without secrets; called from several threads, one at a time. May be NULL. */
    void (*log)(void *ctx, const char *line);
    void *ctx;
} sotto_options;

sotto_options sotto_options_default(void);

/* What a phase cost one side; bytes as it sees them. */
typedef struct sotto_phase_stats {
    uint64_t bytes_out, bytes_in;
    uint64_t rounds;  /* times that it turned from sending to receiving */
    uint64_t count;   /* items prepared, or images */
    double seconds;
} sotto_phase_stats;

typedef struct sotto_stats {
    sotto_phase_stats setup, prepare, infer; /* handshake, keys and base OTs; all prepares; all inferences */
} sotto_stats;

/* ---- server ---- */
typedef struct sotto_server sotto_server;

/* Loads a model with its weights and transforms them for the linear layers. options NULL: defaults; they are copied. */
SOTTO_MUST_CHECK int sotto_server_new(sotto_server **out, const char *public_path, const char *weights_path,
                                      const sotto_options *options);
/* Port 0 lets the system choose. SOTTO_ERR_IO when the address is taken. */
SOTTO_MUST_CHECK int sotto_server_listen(sotto_server *s, const char *host, uint16_t port);
uint16_t sotto_server_port(const sotto_server *s);
/* Accepts clients, a thread for each, until sotto_server_stop; then waits for those being served. A client that misbehaves, stalls or leaves ends its own session only.
 * SOTTO_OK after a stop; SOTTO_ERR_ARG when not listening. */
SOTTO_MUST_CHECK int sotto_server_run(sotto_server *s);
/* Async-signal-safe. Sessions in progress are cut off. */
void sotto_server_stop(sotto_server *s);
/* After sotto_server_run has returned. Wipes the weights. NULL is fine. */
void sotto_server_free(sotto_server *s);

/* ---- client ---- */
typedef struct sotto_client sotto_client;

/* Connects and sets up a session with a server of the model whose public part is given. SOTTO_ERR_MISMATCH when it serves another one. */
SOTTO_MUST_CHECK int sotto_client_connect(sotto_client **out, const char *public_path, const char *host, uint16_t port,
                                          const sotto_options *options);
/* Makes material for `count` inferences; each is used once. Needs no image. SOTTO_ERR_LIMIT when the server keeps no more for this client: use some first.
 * After any other failure, as of any call below, the session is over: close it. */
SOTTO_MUST_CHECK int sotto_client_prepare(sotto_client *c, size_t count);
/* Inferences for which material is there. */
size_t sotto_client_prepared(const sotto_client *c);
/* Classifies one image: `len` bytes, channel-major, rows before columns, 0 to 255, as sotto_client_input says (else SOTTO_ERR_MISMATCH, and the session lives). Prepares first
 * when nothing is prepared. logits gets sotto_client_classes values, in the model's real units. */
SOTTO_MUST_CHECK int sotto_client_infer(sotto_client *c, const uint8_t *pixels, size_t len, double *logits);
/* The same for the label, the lowest index of the largest logit; also with label_only, where sotto_client_infer gives SOTTO_ERR_ARG. */
SOTTO_MUST_CHECK int sotto_client_label_of(sotto_client *c, const uint8_t *pixels, size_t len, size_t *label);
void sotto_client_input(const sotto_client *c, uint32_t *channels, uint32_t *height, uint32_t *width);
size_t sotto_client_classes(const sotto_client *c);
/* Name of class i, "" where the model names none. Lives as long as the client. */
const char *sotto_client_label(const sotto_client *c, size_t i);
sotto_stats sotto_client_stats(const sotto_client *c);
/* Says goodbye, wipes all secrets. NULL is fine. */
void sotto_client_close(sotto_client *c);

#endif
