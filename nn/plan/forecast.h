/* What one item of a network costs under given conditions, before anything runs: exact bytes, seconds of either side's work, and the time that passes at the client.
 *
 * The time is that of a small model of the flights (nn/README.md). Each side works through the steps in order, as nn/secure/item_client.c and item_server.c do; what is sent of a step
 * enters its line when it is made and the line is free, takes as long as its bytes and arrives half a round trip later; the two lines, one each way, are independent.
 * The client's requests wait for nothing but for room in the connection, so that its work, the server's and both lines overlap. When it has made them all it learns from
 * answers. Parties on one machine slow each other while both work, in prepare; in infer one of them waits for the other.
 */
#ifndef SOTTO_NN_PLAN_FORECAST_H
#define SOTTO_NN_PLAN_FORECAST_H

#include "nn/plan/cost.h"
#include "nn/secure/material.h"

typedef struct sotto_conditions {
    const sotto_costs *costs; /* of either side's machine */
    double bytes_per_second;  /* each way; 0: loopback as it was measured */
    double rtt;               /* seconds; not read for loopback */
    unsigned threads;         /* of either side, 1 or more: linear layers work on so many items at a time */
    int together;             /* both parties run on one machine */
} sotto_conditions;

typedef struct sotto_forecast_step {
    sotto_item_bytes bytes;  /* of its frames, headers included, as the client sees them */
    double client_prepare, server_prepare, client_infer, server_infer; /* seconds of work, sending and receiving included */
    double log_failure;      /* LINEAR: log2 of a bound on the probability that one of its outputs decrypts wrongly; else -INFINITY */
    unsigned security;       /* LINEAR: bits (bfv/params.h); else 0 */
} sotto_forecast_step;

typedef struct sotto_forecast {
    sotto_forecast_step *steps; /* of the program */
    size_t step_count;
    sotto_item_bytes bytes;     /* sotto_terms_bytes: the input, the logits and what frames an item as well */
    double prepare, infer;      /* seconds at the client, from its first byte to its last */
    double client, server;      /* seconds of work on an item, prepare and infer */
    double log_failure;         /* log2 of the sum over all steps */
    unsigned security;          /* least of all steps */
    uint64_t weights;           /* bytes of memory: transformed weights, of a server */
    uint64_t server_item, client_item; /* of a prepared item, about */
} sotto_forecast;

/* SOTTO_ERR_PARAMS with the node for a plan whose outputs may decrypt wrongly with a probability above 2^-40, or with less than 128 bits of security;
 * SOTTO_ERR_MEMORY. *f is zero on failure. */
SOTTO_MUST_CHECK int sotto_forecast_new(sotto_forecast *f, const sotto_terms *t, const sotto_conditions *o);
void sotto_forecast_free(sotto_forecast *f);

#endif
