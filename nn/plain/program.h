/* A deployed and planned model compiled to a list of integer steps. The fixed-point reference runs it on values, the two parties run it on shares; so
 * there is one place that knows what the network computes.
 *
 * Step i makes value i. Integers stand for real values by `scale`. The ring of a value, 2^l, is the smallest that serves all that
 * read it: a unit asks for k + 1 bits of the value it reads (nn/secure/step.h), a max stage and the output for k, a linear step for its own ring, an
 * addition or sum for its own less the shift; one backward pass finds them. Sums, shifts and gathers are local on shares.
 */
#ifndef SOTTO_NN_PLAIN_PROGRAM_H
#define SOTTO_NN_PLAIN_PROGRAM_H

#include "nn/model/model.h"
#include "nn/secure/linear.h"
#include "nn/secure/step.h"

typedef enum sotto_step_op {
    SOTTO_STEP_INPUT,
    SOTTO_STEP_LINEAR, /* W x + bias */
    SOTTO_STEP_ADD,    /* (x << shift[0]) + (y << shift[1]) */
    SOTTO_STEP_SUM,    /* sum over each pool window, padding zero; the divisor is in the scale */
    SOTTO_STEP_GATHER, /* each pool window spread over `ways` arrays; a position in the padding repeats the nearest one inside */
    SOTTO_STEP_MAX,    /* pairs of arrays (2i, 2i + 1) become y + relu(x - y); an odd last array is passed on */
    SOTTO_STEP_UNIT    /* relu (sign = 1) or identity of y / 2^f */
} sotto_step_op;

typedef struct sotto_window {
    uint32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
} sotto_window;

typedef struct sotto_step_info {
    sotto_step_op op;
    uint32_t node;      /* of the model */
    uint32_t in[2];     /* steps read: 0, 1 (all others) or 2 (ADD) */
    sotto_shape shape;  /* of the output; GATHER, MAX: of one array */
    uint32_t ways;      /* arrays in the output, one after another; 1 but for GATHER and MAX */
    size_t words;       /* ways * shape words */
    unsigned l;         /* ring of the output */
    double scale;       /* real value of one integer unit */
    sotto_linear_shape linear;        /* LINEAR; a dense node is 1 x 1 over in_c = words of its input */
    unsigned shift[2];                /* ADD */
    sotto_window window;              /* SUM, GATHER */
    size_t units;                     /* UNIT, MAX: number of decisions or truncations */
    sotto_truncation truncation;      /* UNIT, MAX: of what is read (MAX: of the differences, f = 0, l unchanged) */
    int sign;                         /* UNIT: relu; MAX: 1 */
    sotto_sign_window sign_window;    /* where sign */
    unsigned k;         /* bound that the plan promises of what a UNIT reads, of a MAX difference, of the output; else 0 */
} sotto_step_info;

typedef struct sotto_program {
    sotto_step_info *steps;
    size_t step_count;   /* the last step is the output */
    uint32_t *step_of;   /* per node of the model, the step that holds its value */
    size_t node_count;
    size_t input_words, output_words;
    size_t relus;        /* decisions, MAX stages included */
    double coefficients; /* outputs of all linear steps: what the answers' statistical distance is spread over */
} sotto_program;

/* Compiles. SOTTO_ERR_PARAMS naming node and field for a plan that is absent, out of range or does not fit (scales of an addition whose ratio is no
 * power of two, a ring above 60 bits, a linear step that reads no fresh mask: see nn/model/deploy.h), SOTTO_ERR_UNSUPPORTED for an op that deployment
 * should have removed, or a pool over a flattened image. A function of the public part alone. */
SOTTO_MUST_CHECK int sotto_program_new(sotto_program *p, const sotto_model *m);
void sotto_program_free(sotto_program *p);

/* Integer weights, per step; NULL where a step has none. Secret. */
typedef struct sotto_program_weights {
    int32_t **weights; /* LINEAR: out_c x in_c / groups x kernel_h x kernel_w, within weight_bits (clamped) */
    int64_t **bias;    /* LINEAR: out_c, in units of the step's scale */
    size_t step_count;
    size_t *weight_counts, *bias_counts;
} sotto_program_weights;

/* From the float weights of m and its plan: w = clamp(lrint(w / weight_scale)), bias = llrint(bias / scale). SOTTO_ERR_PARAMS when a bias does not fit its ring. */
SOTTO_MUST_CHECK int sotto_program_weights_new(sotto_program_weights *w, const sotto_program *p, const sotto_model *m);
void sotto_program_weights_free(sotto_program_weights *w);

/* x[i] = clamp(lrint(v / scale)) of the normalised image, in [-2^(bits-1), 2^(bits-1)), input_words words. Pixels channel-major, 0 to 255. */
void sotto_program_input(const sotto_program *p, const sotto_model *m, int64_t *x, const uint8_t *pixels);

/* ---- the local steps, on values or on either party's shares (words modulo 2^64; the caller reduces) ---- */
void sotto_step_add(const sotto_step_info *s, uint64_t *out, const uint64_t *x, const uint64_t *y);
void sotto_step_sum(const sotto_step_info *s, sotto_shape in, uint64_t *out, const uint64_t *x);
void sotto_step_gather(const sotto_step_info *s, sotto_shape in, uint64_t *out, const uint64_t *x);
/* MAX: diff[units] = x - y of each pair, y[units] the second of each pair. */
void sotto_step_pairs(const sotto_step_info *s, uint64_t *diff, uint64_t *y, const uint64_t *x);

#endif
