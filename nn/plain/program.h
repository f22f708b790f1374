/* A deployed and planned model compiled to a list of integer steps. The fixed-point reference runs it on values, the two parties run it on shares; so
 * there is one place that knows what the network computes.
 *
 * Step i makes value i. Integers stand for real values by `scale`. The ring of a value, 2^l, is the smallest that serves all that
 * read it: a unit asks for k + 1 bits of the value it reads (nn/secure/step.h), a max stage and the output for k, a linear step for its own ring, an
 * addition, concatenation or sum for its own less the shift; a unit that decides by patches of up to 2^b pixels for k + b as well; one backward pass finds them. Sums, shifts,
 * paddings and gathers are local on shares. A layer with polynomials is three steps: UNIT into the ring of the result, POLY, UNIT; with an exchange for the last truncation one more
 * UNIT before it, which masks anew. A maximum pool is GATHER and a tree of MAX, or this twice, along rows and along columns, where windows overlap so that it takes fewer
 * comparisons.
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
    SOTTO_STEP_CONCAT, /* x << shift[0], then the channels of y << shift[1] */
    SOTTO_STEP_PAD,    /* zeros around the image, channels of zeros before and after */
    SOTTO_STEP_SUM,    /* sum over each pool window, padding zero; the divisor is in the scale */
    SOTTO_STEP_GATHER, /* each window of a pass of a maximum pool spread over `ways` arrays; a position in the padding repeats the nearest one inside */
    SOTTO_STEP_MAX,    /* pairs of arrays (2i, 2i + 1) become y + relu(x - y); an odd last array is passed on */
    SOTTO_STEP_UNIT,   /* y / 2^f, kept or dropped by sign decisions: see sotto_step_info.decision, .clip */
    SOTTO_STEP_POLY    /* a polynomial of each channel, sotto_program_weights.poly: see sotto_step_info.degree */
} sotto_step_op;

/* In sotto_step_info.decision: a value that no decision governs. */
#define SOTTO_DECISION_PASS UINT32_MAX       /* passed on: identity */
#define SOTTO_DECISION_ZERO (UINT32_MAX - 1) /* always 0 */

typedef struct sotto_window {
    uint32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
} sotto_window;

typedef struct sotto_step_info {
    sotto_step_op op;
    uint32_t node;      /* of the model */
    uint32_t in[2];     /* steps read: 0, 1 (all others) or 2 (ADD, CONCAT) */
    sotto_shape shape;  /* of the output; GATHER, MAX: of one array */
    uint32_t ways;      /* arrays in the output, one after another; 1 but for GATHER and MAX */
    size_t words;       /* ways * shape words */
    unsigned l;         /* ring of the output */
    double scale;       /* real value of one integer unit */
    sotto_linear_shape linear;        /* LINEAR; a dense node is 1 x 1 over in_c = words of its input */
    unsigned shift[2];                /* ADD, CONCAT */
    sotto_window window;              /* SUM, GATHER */
    uint32_t pad_top, pad_left, pad_front; /* PAD: rows, columns and channels of zeros before what is read */
    size_t units;                     /* UNIT, MAX: number of truncations: values, or pairs of them */
    sotto_truncation truncation;      /* UNIT, MAX: of what is read (MAX: of the differences, f = 0, l unchanged) */
    int sign;                         /* UNIT, MAX: there are decisions */
    size_t decisions;                 /* UNIT, MAX: sign decisions; clip has two for each value */
    sotto_sign_window sign_window;    /* where sign: of a single value */
    /* UNIT: NULL when all values are alike: sign = 1: unit i has decision i; sign = 0: all are passed on. Otherwise, for each value, the decision that
     * keeps or drops it, or SOTTO_DECISION_PASS or _ZERO. A decision is the sign of the sum of its values (patches: row-major within a
     * channel, channels in order). Owned by the program. */
    uint32_t *decision;
    uint8_t *patch_bits; /* where decision: of each decision, b = ceil(log2(values summed)): its window is {k + b, j + b} */
    uint8_t *lift;       /* where sign: of each decision (clip: of each pair), bits by which both parties shift their shares left before they decide, so that channels of smaller values
                          * are decided as finely as others, in the same window; NULL: 0 everywhere. Owned by the program. */
    /* UNIT: out = (b xor b2) (y / 2^f) + b2 (T >> f) with b = [y >= 0], b2 = [y - T >= 0] in the same window, T the channel's bound
     * (sotto_program_weights.bound). decision is NULL then, and sign = 1. */
    int clip;
    /* POLY, for each channel: 0: zero; 1: x << shift[0]; 2, 3: degree, with coefficients of the server's, the highest of poly_bits bits. Owned by the program. The client's share is
     * known in infer only; so what reads it is a UNIT that passes everything on and whose truncation is local. */
    uint8_t *degree;
    unsigned poly_bits;
    unsigned k;         /* bound that the plan promises of what a UNIT reads (clip: and of y - T), of a MAX difference, of the output; else 0 */
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
    int64_t **bound;   /* UNIT with clip: per channel T, a multiple of 2^f from 2^f on, in units of what the step reads; below 2^(k-1) */
    int64_t **poly;    /* POLY: SOTTO_POLY_TERMS coefficients of each channel, lowest power first, 0 above its degree; zero where the degree is below 2 */
    size_t step_count;
    size_t *weight_counts, *bias_counts, *bound_counts, *poly_counts;
} sotto_program_weights;

/* From the float weights of m and its plan: w = clamp(lrint(w / weight_scale)), bias = llrint(bias / scale), T = 2^f lrint(bound / scale), scale being that of the
 * clip's output, C_j = llrint(c_j (scale read)^j / scale). SOTTO_ERR_PARAMS when a bias does not fit its ring, a bound its k or a coefficient its bits. */
SOTTO_MUST_CHECK int sotto_program_weights_new(sotto_program_weights *w, const sotto_program *p, const sotto_model *m);
void sotto_program_weights_free(sotto_program_weights *w);

/* x[i] = clamp(lrint(v / scale)) of the normalised image, in [-2^(bits-1), 2^(bits-1)), input_words words. Pixels channel-major, 0 to 255. */
void sotto_program_input(const sotto_program *p, const sotto_model *m, int64_t *x, const uint8_t *pixels);

/* ---- the local steps, on values or on either party's shares (words modulo 2^64; the caller reduces) ---- */
/* value[at] of a step that is none of INPUT, LINEAR, MAX, UNIT, POLY, from value[in]. */
void sotto_step_local(const sotto_program *p, size_t at, uint64_t *const *value);
void sotto_step_add(const sotto_step_info *s, uint64_t *out, const uint64_t *x, const uint64_t *y);
/* first: words of x. */
void sotto_step_concat(const sotto_step_info *s, size_t first, uint64_t *out, const uint64_t *x, const uint64_t *y);
void sotto_step_pad(const sotto_step_info *s, sotto_shape in, uint64_t *out, const uint64_t *x);
void sotto_step_sum(const sotto_step_info *s, sotto_shape in, uint64_t *out, const uint64_t *x);
void sotto_step_gather(const sotto_step_info *s, sotto_shape in, uint64_t *out, const uint64_t *x);
/* MAX: diff[units] = x - y of each pair, y[units] the second of each pair. */
void sotto_step_pairs(const sotto_step_info *s, uint64_t *diff, uint64_t *y, const uint64_t *x);

#endif
