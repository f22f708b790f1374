/* Optimisers and learning rates. */
#ifndef SOTTO_NN_TRAIN_OPTIMISE_H
#define SOTTO_NN_TRAIN_OPTIMISE_H

#include "nn/train/tape.h"

typedef enum sotto_optimiser_kind { SOTTO_OPTIMISER_SGD, SOTTO_OPTIMISER_ADAM } sotto_optimiser_kind;

typedef struct sotto_optimiser_options {
    sotto_optimiser_kind kind;
    double momentum;     /* SGD's mu, Adam's beta1; 0 to 1, below 1 */
    int nesterov;        /* SGD */
    double beta2;        /* Adam: 0.999 */
    double weight_decay; /* of conv and dense weights alone, not of biases, batch norm and coefficients. SGD: added to the gradient (L2); Adam: decoupled
                          * (AdamW, arXiv 1711.05101) */
    double clip;         /* largest 2-norm of all gradients together, to which larger ones are scaled; 0: none */
} sotto_optimiser_options;

/* The state of an optimiser over the trained tensors of a model, which it and the tape keep by reference. */
typedef struct sotto_optimiser {
    sotto_model *m;
    const sotto_tape *tape;
    sotto_optimiser_options o;
    size_t count;           /* floats that are trained */
    float *first, *second;  /* count each, in the order of nodes and tensors: velocity, or Adam's moments; second: NULL for SGD */
    uint64_t steps;         /* done */
} sotto_optimiser;

/* tape: one with gradients. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_optimiser_new(sotto_optimiser *out, sotto_model *m, const sotto_tape *tape, const sotto_optimiser_options *o);
void sotto_optimiser_free(sotto_optimiser *o);
/* One step with the gradients of the tape's last backward pass. SGD: d = g + decay w, v = mu v + d, w -= rate v, or rate (d + mu v) with Nesterov's momentum
 * (arXiv 1212.0901, section 3.5). Adam (arXiv 1412.6980, algorithm 1): w -= rate (m' / (sqrt(v') + 1e-8) + decay w), m' and v' bias-corrected.
 * Returns the norm of the gradients before clipping, 0 when none is asked for. */
double sotto_optimiser_step(sotto_optimiser *o, double rate);

typedef enum sotto_schedule_kind { SOTTO_SCHEDULE_COSINE, SOTTO_SCHEDULE_STEP, SOTTO_SCHEDULE_CONSTANT } sotto_schedule_kind;

#define SOTTO_SCHEDULE_STEPS 8

typedef struct sotto_schedule {
    sotto_schedule_kind kind;
    double rate;                          /* the largest */
    double warmup;                        /* epochs over which it rises from 0 */
    unsigned steps[SOTTO_SCHEDULE_STEPS]; /* step: from the beginning of epoch steps[i] (epochs done before it) the rate is `factor` times smaller; rising, ends at 0 */
    double factor;
} sotto_schedule;

/* Rate after `at` epochs of `epochs`, for a step of `length` epochs: a cosine from rate at the end of the warm-up to 0 at the end, or stairs. In the warm-up the
 * rate is what it would be, times (at + length) / warmup. */
double sotto_schedule_rate(const sotto_schedule *s, double epochs, double at, double length);

#endif
