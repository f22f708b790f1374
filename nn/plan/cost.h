/* What the parts of the protocol cost on this machine: measured once in some seconds by short runs of the functions that sessions use, and kept in a file.
 *
 * All costs are seconds of one core for one item: processor time, but for what crosses the network. Everything is measured in several rounds, and a cost is the median of
 * its rounds, so that what else the machine does for a while does not fall on one cost alone. They are fitted: what runs of different sizes differ by is put down to what
 * differs between them.
 */
#ifndef SOTTO_NN_PLAN_COST_H
#define SOTTO_NN_PLAN_COST_H

#include "nn/secure/network.h"
#include "nn/sotto.h"

#define SOTTO_COST_SETS_MAX 16
#define SOTTO_COST_U_MAX 16

/* Linear layers under one HE set. */
typedef enum sotto_he_work {
    SOTTO_HE_REQUEST, /* client, per ciphertext: encrypted and packed */
    SOTTO_HE_LOAD,    /* server, per ciphertext: unpacked */
    SOTTO_HE_PRODUCT, /* server, per product of a ciphertext and weights, fetched from memory, accumulated */
    SOTTO_HE_MADE,    /* server, per product on top where weights are not kept: their transform */
    SOTTO_HE_ANSWER,  /* server, per answer: rerandomised, its `a` part switched down and packed */
    SOTTO_HE_FLOOD,   /* server, per wanted coefficient: flooded, switched down, packed */
    SOTTO_HE_OPEN,    /* client, per answer */
    SOTTO_HE_WANTED,  /* client, per wanted coefficient */
    SOTTO_HE_WORKS
} sotto_he_work;

typedef struct sotto_he_cost {
    sotto_he_set set;
    double of[SOTTO_HE_WORKS];
} sotto_he_cost;

/* Units: the calls of nn/secure/unit.h in the order of work, OTs of kind SOTTO_COST_KIND included. */
typedef enum sotto_work {
    SOTTO_WORK_ASK,     /* client */
    SOTTO_WORK_CORRECT, /* server: from MATRIX to CORRECTION */
    SOTTO_WORK_CHOOSE,  /* client */
    SOTTO_WORK_READY,   /* server */
    SOTTO_WORK_OFFER,   /* infer: server */
    SOTTO_WORK_REPLY,   /* client */
    SOTTO_WORK_FINISH,  /* server */
    SOTTO_WORKS
} sotto_work;
#define SOTTO_COST_KIND SOTTO_OT_SOFTSPOKEN4

typedef struct sotto_unit_cost {
    double of[SOTTO_WORKS];
} sotto_unit_cost;

/* The server's products in the clear, per multiply-accumulate. */
typedef enum sotto_apply_kind {
    SOTTO_APPLY_DENSE, /* a single output pixel */
    SOTTO_APPLY_POINT, /* kernels of 1 x 1 */
    SOTTO_APPLY_WINDOW,
    SOTTO_APPLY_KINDS
} sotto_apply_kind;

/* Places of kinds of OT: 1 to 8 their own value, 9 Ferret. */
#define SOTTO_COST_OTS 10

static inline unsigned sotto_cost_ot(sotto_ot_kind kind)
{
    return kind == SOTTO_OT_FERRET ? SOTTO_COST_OTS - 1 : (unsigned)kind;
}

typedef struct sotto_costs {
    char machine[128]; /* CPU and tier of kernels */
    sotto_he_cost he[SOTTO_COST_SETS_MAX];
    size_t he_count;
    double ot_send[SOTTO_COST_OTS], ot_recv[SOTTO_COST_OTS]; /* per OT, by sotto_cost_ot of the kind */
    double tree[2]; /* client, server: per tree that is made for a stock of silent OT (nn/secure/material.h) */
    /* With one decision or two, by u from 2 on; lookup as far as it goes. Ring of 24 bits, truncation by OT. */
    sotto_unit_cost unit[SOTTO_SIGN_PROVIDERS][2][SOTTO_COST_U_MAX + 1];
    sotto_unit_cost pixel;     /* per pixel of a patch after the first */
    sotto_unit_cost passed[2]; /* without a decision: local truncation, one by OT */
    sotto_unit_cost poly;      /* of polynomials, per OT towards the client */
    sotto_unit_cost label[2];  /* of the label alone, per OT: half-gates, three-halves. REPLY: the client's evaluation */
    double apply[SOTTO_APPLY_KINDS];
    double word;               /* per word of a value: its memory, a sum, wiping it */
    double draw;               /* per random word */
    double sent, received;     /* per byte that a side sends, receives */
    double message;            /* to send a short message, or to receive one */
    double byte;               /* per byte that crosses loopback: seconds of the clock, like the next one */
    double round_trip;         /* of a short message over loopback and back, either side having slept before */
    double window;             /* bytes that a connection takes whose other end does not read; 0: as many as are sent */
    double company;            /* by how much work takes longer while the other party works on this machine, 1 or more: shared caches, memory, halves of a core */
} sotto_costs;

/* CPU and tier as sotto_costs.machine has them. */
void sotto_costs_machine(char out[128]);
/* Measures, with all sets of sotto_network_sets. progress(ctx, done, total) may be NULL. SOTTO_ERR_MEMORY, _IO, _RNG. */
SOTTO_MUST_CHECK int sotto_costs_measure(sotto_costs *c, void (*progress)(void *ctx, size_t done, size_t total), void *ctx);

/* A text file: a line a cost, in picoseconds. */
SOTTO_MUST_CHECK int sotto_costs_save(sotto_costs *c, const char *path);
/* SOTTO_ERR_IO when there is no such file, SOTTO_ERR_FORMAT with the line, SOTTO_ERR_MISMATCH for costs of another machine or tier, SOTTO_ERR_VERSION for those of another
 * version of the program or other HE sets: then measure again. On failure *c is zero. */
SOTTO_MUST_CHECK int sotto_costs_load(sotto_costs *c, const char *path);

#endif
