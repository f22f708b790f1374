/* A network as a graph in data: nodes in topological order, node 0 the input, the last node the output (logits).
 *
 * A model has a public part (architecture, input normalisation, class labels, plan), which a client is given, and a private part (weights). The
 * public part is one text file, which people also write by hand to describe an architecture (nn/model/text.h); the private part is a
 * binary file (nn/model/weights.h). Real values are float; tensors are channel-major (c, h, w), rows before columns.
 *
 * The plan says how the network runs on integers. A value is an integer times a scale; scales multiply through linear layers and a
 * unit (relu, identity) divides by 2^f. Ring widths follow from the k of the units and of the output (nn/plain/program.h).
 */
#ifndef SOTTO_NN_MODEL_MODEL_H
#define SOTTO_NN_MODEL_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/rng.h"

#define SOTTO_NAME_MAX 32     /* bytes of a name with its terminator; [A-Za-z0-9_.-] */
#define SOTTO_NODES_MAX 4096
#define SOTTO_DIM_MAX 65536   /* channels, height, width, kernel sides */
#define SOTTO_VALUES_MAX (1u << 26)  /* words of one activation */
#define SOTTO_WEIGHTS_MAX (1u << 28) /* floats of all tensors */
#define SOTTO_CLASSES_MAX 4096       /* labels */
#define SOTTO_INPUT_CHANNELS_MAX 16
#define SOTTO_TENSORS_MAX 4   /* of one node */
#define SOTTO_PRIMES_MAX 8

typedef enum sotto_op {
    SOTTO_OP_INPUT,
    SOTTO_OP_CONV,
    SOTTO_OP_DENSE,     /* reads its input flattened; shape out x 1 x 1 */
    SOTTO_OP_BATCHNORM, /* inference statistics; folded away before deployment */
    SOTTO_OP_RELU,
    SOTTO_OP_CLIP,      /* min(max(x, 0), bound), one bound per channel: ReLU6 */
    SOTTO_OP_IDENTITY,  /* changes scale and ring, not the value */
    SOTTO_OP_ACT,       /* a kind of unit per channel, and single pixels made linear: sotto_node.units, .mask */
    SOTTO_OP_MAXPOOL,   /* padding never wins */
    SOTTO_OP_AVGPOOL,   /* divides by kernel_h * kernel_w, padding counted as zeros */
    SOTTO_OP_GLOBALAVG,
    SOTTO_OP_ADD,
    SOTTO_OP_CONCAT,    /* channels of the first, then of the second */
    SOTTO_OP_PAD,       /* zeros around the image, channels of zeros before and after */
    SOTTO_OP_FLATTEN,
    SOTTO_OP_COUNT
} sotto_op;

/* What an act node does to a channel. x is its input, c its coefficients (secret). */
typedef enum sotto_unit_kind {
    SOTTO_UNIT_RELU,     /* max(x, 0), or by patches: all of a patch, or zeros, by the sign of the patch's sum (Block-ReLU) */
    SOTTO_UNIT_IDENTITY, /* x (SNL) */
    SOTTO_UNIT_ZERO,     /* 0 */
    SOTTO_UNIT_SQUARE,   /* c[0] + c[1] x + c[2] x^2 */
    SOTTO_UNIT_CUBIC,    /* c[0] + c[1] x + c[2] x^2 + c[3] x^3 */
    SOTTO_UNIT_KINDS
} sotto_unit_kind;

/* Patches tile a channel from its top left corner without overlap, cut off at the right and bottom. A sum of exactly 0 is not positive. */
typedef struct sotto_unit {
    uint8_t kind;              /* sotto_unit_kind */
    uint16_t block_h, block_w; /* relu: rows and columns of a patch, 1 to SOTTO_BLOCK_MAX; 1 x 1 is the plain ReLU. Others: 1 */
} sotto_unit;
#define SOTTO_BLOCK_MAX 256
#define SOTTO_POLY_TERMS 4 /* coefficients of a channel, lowest degree first; a square's last is 0 */

typedef struct sotto_shape {
    uint32_t c, h, w;
} sotto_shape;

/* A polynomial unit in integers: x = y / 2^f, z = sum of C_j x^j in units 2^-shift of x's, result = z / 2^(plan f - f + shift); channels of other kinds have z = 2^shift x. */
typedef struct sotto_poly_plan_fields {
    unsigned f;        /* 0 to 40 */
    unsigned shift;    /* 0 to 40, and 0 <= plan f - f + shift <= 40 */
    unsigned bits;     /* the coefficient of the highest power lies in [-2^(bits-1), 2^(bits-1)); 2 to 24; 0: no polynomials are planned */
    unsigned k;        /* z lies in [-2^(k-1), 2^(k-1)); 2 to 58 */
    unsigned exchange; /* 1: z is truncated in an exchange of its own, 0: locally, in a ring that is wider by the bits dropped */
} sotto_poly_plan_fields;

/* Which fields count: input: scale, bits, sign, ot; conv, dense: weight_scale, weight_bits, he_*, tile; units: f, k, u (not identity); maxpool: k (of the
 * difference of two of its values), u; act: poly; the output node, which is no unit: k. */
typedef struct sotto_node_plan {
    int present;
    double scale;            /* input: real value of one integer unit; positive */
    unsigned bits;           /* input: integers lie in [-2^(bits-1), 2^(bits-1)); 2 to 16 */
    unsigned sign, ot;       /* input: how sessions run whose client asks for nothing else: 1 + sotto_sign_provider, sotto_ot_kind; 0: not said */
    double weight_scale;     /* linear: weight = lrint(w / weight_scale) */
    unsigned weight_bits;    /* linear: weights lie in [-2^(weight_bits-1), 2^(weight_bits-1)]; 2 to 16 */
    uint32_t he_n;           /* linear: ring degree */
    unsigned he_prime_bits[SOTTO_PRIMES_MAX]; /* linear: bit lengths of the ciphertext primes */
    unsigned he_primes;
    uint32_t tile[4];        /* linear: planes, filters, rows and columns of a tile (nn/secure/linear.h); 0: what sotto_linear_plan_new chooses */
    unsigned f;              /* unit: low bits dropped, 0 to 40 */
    unsigned k;              /* unit: the value before it, output: the value, lies in [-2^(k-1), 2^(k-1)); 2 to 50 */
    unsigned u;              /* relu, clip, act, maxpool: bits that enter the sign, 2 to 50, at most k */
    sotto_poly_plan_fields poly; /* act with polynomials */
} sotto_node_plan;

typedef struct sotto_node {
    char name[SOTTO_NAME_MAX];
    sotto_op op;
    uint32_t input[2];       /* earlier nodes; as many as sotto_op_inputs says */
    uint32_t out;            /* conv, dense: output channels */
    uint32_t kernel_h, kernel_w, stride_h, stride_w;         /* conv, pools */
    uint32_t pad_top, pad_left, pad_bottom, pad_right;       /* conv, pools, pad */
    uint32_t pad_front, pad_back; /* pad: channels of zeros before and after */
    uint32_t groups;         /* conv; divides channels in and out */
    float epsilon;           /* batchnorm: added to the variance; 0 becomes SOTTO_BATCHNORM_EPSILON when shapes are inferred */
    sotto_unit *units;       /* act: one per channel; owned */
    uint8_t *mask;           /* act: bit i % 8 of byte i / 8 is 0 where value i is passed on unchanged instead; NULL: nowhere; owned. Only in channels
                              * of ReLU with patches of one pixel. */
    uint8_t *windows;        /* relu, clip, act, maxpool, part of the plan: per channel w, 2 to 50: what the sign of a single value is taken of lies in
                              * [-2^(w-1), 2^(w-1)); NULL: plan.k everywhere; owned */
    sotto_shape shape;       /* of the output; set by sotto_model_infer_shapes */
    sotto_node_plan plan;
    /* Weights, secret; NULL where the model was loaded without them. conv: out x (in_c / groups) x kernel_h x kernel_w, then bias
     * (out); dense: out x in, bias (out); batchnorm: gamma, beta, running mean, running variance (c each); clip: bounds (c), above 0;
     * act: coefficients (c x SOTTO_POLY_TERMS) where a channel is a polynomial. */
    float *tensor[SOTTO_TENSORS_MAX];
} sotto_node;

#define SOTTO_WINDOW_MAX 50u /* bits */
#define SOTTO_BATCHNORM_EPSILON 1e-5f

typedef struct sotto_model {
    char name[SOTTO_NAME_MAX];
    uint8_t id[16];          /* random, made when trained; all zero: an architecture without weights */
    uint8_t public_hash[32]; /* BLAKE2b-256 of the canonical text of the public part; set by load and save */
    float mean[SOTTO_INPUT_CHANNELS_MAX], std[SOTTO_INPUT_CHANNELS_MAX]; /* x = (pixel / 255 - mean) / std, per input channel */
    char (*labels)[SOTTO_NAME_MAX]; /* label_count names, may be none */
    size_t label_count;
    sotto_node *nodes;       /* node_count, room for node_cap */
    size_t node_count, node_cap;
} sotto_model;

/* "conv", "relu", ...; NULL outside the enum. */
const char *sotto_op_name(sotto_op op);
unsigned sotto_op_inputs(sotto_op op); /* 0, 1 or 2 */
int sotto_op_is_linear(sotto_op op);   /* conv, dense */
int sotto_op_is_unit(sotto_op op);     /* relu, clip, identity, act */
int sotto_op_has_window(sotto_op op);  /* conv, maxpool, avgpool */

/* An empty model (zeroed); never fails. */
void sotto_model_init(sotto_model *m);
/* Wipes weights and releases; a zeroed model is fine. */
void sotto_model_free(sotto_model *m);
/* Appends a copy of *node (tensors moved, not copied) and gives its index. SOTTO_ERR_MEMORY, SOTTO_ERR_LIMIT. */
SOTTO_MUST_CHECK int sotto_model_append(sotto_model *m, const sotto_node *node, uint32_t *index);
/* Checks every field of every node (names unique, inputs earlier, limits, labels printable, as many as outputs or none) and computes shapes. SOTTO_ERR_FORMAT or
 * SOTTO_ERR_LIMIT naming node and field. Whoever builds or changes a graph calls it before use. */
SOTTO_MUST_CHECK int sotto_model_infer_shapes(sotto_model *m);

/* Floats of tensor `which` of a node of m, 0 where the op has no such tensor. Shapes must be inferred. */
size_t sotto_tensor_count(const sotto_model *m, const sotto_node *node, unsigned which);
/* 1 when every tensor is there. */
int sotto_model_has_weights(const sotto_model *m);
/* Allocates all tensors and draws them: He initialisation (normal, variance 2 / fan-in) for conv and dense, zero biases, identity batch norm, bounds of 6,
 * polynomials close to ReLU on N(0, 1): 0.1995 + 0.5 x + 0.1995 x^2 (+ 0 x^3). Weights that are there are replaced. SOTTO_ERR_MEMORY, SOTTO_ERR_RNG; on failure the model has no weights. */
SOTTO_MUST_CHECK int sotto_model_init_weights(sotto_model *m, const sotto_rng *rng);
/* Index of the node of that name; SIZE_MAX when there is none. */
size_t sotto_model_find(const sotto_model *m, const char *name);

/* What a unit node does to a channel: relu, clip (SOTTO_UNIT_RELU), identity and act alike. */
sotto_unit sotto_node_unit(const sotto_node *node, uint32_t channel);
/* 1 where value i of an act node is not made linear by its mask. */
static inline int sotto_node_masked_in(const sotto_node *node, size_t i)
{
    return node->mask == NULL || (node->mask[i / 8] >> (i % 8) & 1);
}
/* Sign decisions of a node for one image: pixels or patches of ReLU (clip: twice as many); 0 for ops without. Maxpool is not counted here. */
size_t sotto_node_decisions(const sotto_node *node);
/* Gives an act node plain ReLU units for every channel where it has none yet; shapes inferred. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_node_units_alloc(sotto_node *node);

static inline size_t sotto_shape_words(sotto_shape s)
{
    return (size_t)s.c * s.h * s.w;
}

/* Multiply-accumulate operations of a linear node, 0 for others. */
uint64_t sotto_node_macs(const sotto_model *m, const sotto_node *node);

#endif
