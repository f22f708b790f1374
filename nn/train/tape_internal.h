/* Inside nn/train: the tape's plan. tape_plan.c makes it of a model, tape_ops.c computes one step of it for one image, tape.c runs it over batches.
 *
 * The model becomes a graph of vertices: a batch norm together with the addition and the ReLU behind it is one vertex, and a flatten is put where the
 * order of channels matters. Vertices have levels: those of one level need nothing of each other but what belongs to the same image, so that a
 * thread takes an image through the whole level while its values are in cache. A level begins where a batch norm needs statistics of the batch or a dense
 * layer multiplies the whole batch; even levels go image by image, odd ones are for dense layers and go step by step. */
#ifndef SOTTO_NN_TRAIN_TAPE_INTERNAL_H
#define SOTTO_NN_TRAIN_TAPE_INTERNAL_H

#include "nn/train/conv.h"
#include "nn/train/tape.h"
#include "nn/train/tape_loops.h"

/* Where an image's floats are: in the batch's memory (image i at offset * batch + i * stride), or in its thread's scratch (at offset). */
typedef enum place_kind { PLACE_NONE, PLACE_BATCH, PLACE_SCRATCH } place_kind;
typedef struct place {
    place_kind kind;
    size_t offset, stride; /* floats */
} place;

/* How an op's share of the gradient of one of its inputs gets there. */
typedef enum share {
    SHARE_NONE,   /* not wanted */
    SHARE_ALIAS,  /* it is the gradient of the output, in the same memory */
    SHARE_FIRST,  /* the first one: overwrites */
    SHARE_MORE    /* is added, computed in .temp unless it is the gradient of the output */
} share;

#define NO_VERTEX UINT32_MAX

/* Statistics of a batch norm. Arrays of one float per channel are repeated to period floats. */
typedef struct norm_state {
    float *factor, *offset, *mean; /* y = factor x + offset; mean: of the batch, or (as a shift while sums are formed) the running one */
    float *back;                   /* coefficients of norm_back */
    double *inv;                   /* per channel: 1 / sqrt(variance + epsilon) */
    double *sums;                  /* per shard 2 x channels */
} norm_state;

typedef struct act_run {
    uint32_t first, last; /* channels with patches of one size */
    sotto_unit unit;
} act_run;

/* Units of an act node: gates for single pixels, coefficients, and runs of channels with larger patches. */
typedef struct act_state {
    float *on, *off;     /* words */
    float *coefficients; /* 4 x period; NULL where no channel is a polynomial */
    act_run *runs;
    size_t run_count;
} act_state;

typedef struct vertex {
    sotto_op op;          /* SOTTO_OP_BATCHNORM: perhaps with what follows */
    uint32_t node;        /* of the model; of a batch norm's chain the batch norm; NO_VERTEX: an inserted flatten */
    uint32_t in[2];       /* NO_VERTEX where there is none */
    int relu;             /* batch norm: the chain ends in a relu */
    sotto_shape shape, from; /* of the output, of the first input */
    size_t words, stride, period; /* stride: words to a whole cache line */
    uint32_t level;
    int wants;            /* has weights or a source that has; with a gradient that reaches it */
    place value[2], grad; /* value: forward, backward */
    place temp[2];
    share share[2];
    int bias;             /* conv: the gradient of the bias is not known to be zero */
    sotto_conv *conv;
    norm_state norm;
    act_state act;
    float *gradient[2];   /* sum over the shards, in the order of the model */
    float *shard[2];      /* shards x shard_words */
    size_t shard_words[2];
} vertex;

typedef enum step_kind {
    STEP_VALUE,  /* the value of a vertex: in the forward pass, or again in the backward pass */
    STEP_MOMENTS,/* sums for the statistics of a batch norm, over its input */
    STEP_GRADIENT, /* from the gradient of the value to those of the weights and inputs; of a batch norm: sums, mask and second input */
    STEP_NORM    /* the gradient of a batch norm's input, once the sums of the batch are known */
} step_kind;

typedef struct step {
    step_kind kind;
    uint32_t vertex;
} step;

typedef struct level {
    size_t first[2], last[2]; /* steps: forward, backward */
} level;

/* What a thread has for itself. */
typedef struct lane {
    float *scratch; /* values and gradients that live within a level */
    float *work;    /* of convolutions; or sums of one image */
} lane;

struct sotto_tape {
    sotto_model *m;
    size_t batch, shards;
    int backward;
    sotto_pool *pool;
    const sotto_tape_loops *loops;

    vertex *vertices;
    size_t vertex_count;
    uint32_t *vertex_of; /* per node of the model */
    level *levels;
    size_t level_count;
    step *steps;
    size_t step_count;

    float *input;  /* batch x words of the input, as the caller fills it */
    float *logits; /* batch x words of the output, in the order of the model */
    float *memory; /* PLACE_BATCH */
    size_t memory_words, scratch_words, work_words;
    lane *lanes;   /* per shard */
};

/* One step for one image, or for the images of a shard at once (dense). */
typedef struct job {
    const sotto_tape *t;
    vertex *v;
    const sotto_node *n;  /* NULL: an inserted flatten */
    size_t shard, count;  /* images; more than one for dense alone */
    const float *x[2];    /* values of the inputs */
    float *y;             /* value */
    float *dy, *dx[2];    /* gradients; dx NULL: nothing to be written. Overwritten, never added to */
    size_t strides[2];    /* dense: floats between images of x[0] and dx[0], 1: of dx[0] alone */
    float *work;
} job;

/* ---- tape_plan.c */
SOTTO_MUST_CHECK int sotto_tape_plan(sotto_tape *t);
/* 1 where the op hands the gradient of its value on to input k as it is. */
int sotto_tape_passes(const vertex *v, unsigned k);

/* ---- tape_ops.c */
/* Plans and memory of a vertex's own. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_tape_vertex_new(sotto_tape *t, vertex *v);
void sotto_tape_vertex_free(vertex *v);
/* Takes over the weights: before a pass. */
void sotto_tape_vertex_prepare(const sotto_tape *t, vertex *v);
void sotto_tape_value(const job *j);
void sotto_tape_moments(const job *j);
void sotto_tape_gradients(const job *j);
void sotto_tape_norm_input(const job *j);
/* Between levels: from the sums of the shards to what the passes over the images need. training: statistics of `images` images, and the running ones move. */
void sotto_tape_norm_statistics(const sotto_tape *t, vertex *v, int training, size_t images);
void sotto_tape_norm_gradients(const sotto_tape *t, vertex *v, size_t images);
/* gradient = sum over the shards. */
void sotto_tape_sum_shards(const sotto_tape *t, vertex *v);

#endif
