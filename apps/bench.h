/* The harness of sotto bench: a group is a function that sets things up and measures rows. */
#ifndef SOTTO_APPS_BENCH_H
#define SOTTO_APPS_BENCH_H

#include "apps/cli.h"
#include "apps/link.h"
#include "lib/chan.h"
#include "lib/rng.h"

typedef struct bench {
    json j;
    const char *only;   /* name of the one row that is wanted, or NULL */
    unsigned runs, threads;
    const char *tier;   /* the fastest that is allowed */
    const char *model;  /* PREFIX, for the group model */
    const char *arch;   /* the same: an architecture, served with random weights; or NULL */
    unsigned sign, ot;  /* the same: how a session works */
    unsigned table_memory; /* the same: of the client, in MiB */
    const char *conv, *fc; /* one shape, for the group layer; or NULL */
    unsigned bits;         /* of its ring */
    link_spec net;      /* between the processes of the groups layer and model */
    const char *plot;   /* SVG of the group growth; or NULL */
    int as_json, rows;
} bench;

/* A parameter of a row: text, or a number when text is NULL. The last one of a list has key NULL. */
typedef struct bench_param {
    const char *key, *text;
    double number;
} bench_param;

typedef struct bench_row {
    const char *name;
    const char *unit;          /* s, ms, us, ns: time per item; M/s, images/s, GFLOP/s: rate */
    double items;              /* done by one call (for GFLOP/s: operations) */
    int (*call)(void *ctx);    /* a sotto_status */
    int (*before)(void *ctx);  /* before each call, neither timed nor counted in bytes. May be NULL */
    void *ctx;
    const char *tier;          /* what the row runs on; NULL: the fastest that is allowed */
    const bench_param *params;
    const sotto_chan *chan;    /* two-party rows: counts bytes and rounds; else NULL */
} bench_row;

/* 1 when a row of this name is wanted. */
int bench_wants(const bench *b, const char *name);
/* A warm-up, then the median, 10th and 90th percentile over the runs. */
SOTTO_MUST_CHECK int bench_measure(bench *b, const bench_row *row);
/* A row of b->runs samples, in the row's unit, that were taken elsewhere; sorts them. moved: bytes and rounds of one call, or NULL. */
void bench_report(bench *b, const bench_row *row, double *samples, const sotto_chan_stats *moved);
/* The same of a figure that there is once. */
void bench_report_one(bench *b, const bench_row *row, double value);

/* Runs party 1 in a process of its own and party 0 here, joined by TCP over loopback or, unless net is NULL, over that emulated network. party 1's part must do
 * exactly as many calls: it is told each time by a byte from bench_step. */
typedef struct bench_pair {
    sotto_chan chan;
    int party;
    int child; /* process of party 1, in party 0 */
    link_process link;
} bench_pair;
SOTTO_MUST_CHECK int bench_pair_start(bench_pair *p, const link_spec *net);
/* Party 0: asks party 1 to go on; party 1: 1 when asked to go on, 0 at the end (then bench_pair_end leaves the process). */
int bench_step(bench_pair *p);
SOTTO_MUST_CHECK int bench_pair_end(bench_pair *p, int status);

int bench_ring(bench *b);
int bench_bfv(bench *b);
int bench_ot(bench *b);
int bench_garble(bench *b);
int bench_relu(bench *b);
int bench_layer(bench *b);
int bench_model(bench *b);
int bench_growth(bench *b);
int bench_train(bench *b);

#endif
