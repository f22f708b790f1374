/* A circuit as the kernels run it, and the table of kernels. Internal to garble and its tests.
 *
 * Labels live in slots of one batch each; a slot is given to another wire after the last use of its own, so that the slots of a usual circuit stay in L1 or L2. An input is
 * loaded before its first use. NOT is no operation: the garbler's zero label is the other one, which the operations that read it know. */
#ifndef SOTTO_GARBLE_GARBLING_INTERNAL_H
#define SOTTO_GARBLE_GARBLING_INTERNAL_H

#include "garble/garbling.h"
#include "lib/cpu.h"

#define SOTTO_LANES 16u /* instances of a batch */
#define SOTTO_LANE_KEYS 4u /* lane i has key i mod 4 */

typedef enum sotto_op_kind { SOTTO_OP_LOAD, SOTTO_OP_XOR, SOTTO_OP_AND, SOTTO_OP_AND_EVAL } sotto_op_kind;

typedef struct sotto_op {
    uint32_t out, a, b;   /* slots; a of a load: input wire. out may be a or b */
    uint8_t kind;
    uint8_t not_a, not_b; /* of ANDs: the slot holds the complement */
} sotto_op;

/* Operations up to `end` from where the last segment ended: the tables of a segment fit a buffer. */
typedef struct sotto_segment {
    uint32_t end, ands, evals;
} sotto_segment;

#define SOTTO_SEGMENT_ANDS 64u

typedef struct sotto_place {
    uint32_t slot, inverted;
} sotto_place;

struct sotto_garbling {
    sotto_garble_scheme scheme;
    uint32_t inputs, op_count, segment_count, slot_count, output_count;
    uint32_t and_count, and_eval_count;
    sotto_op *ops;
    sotto_segment *segments;
    sotto_place *outputs;
};

/* State of one batch. */
typedef struct sotto_lanes {
    sotto_block (*slot)[SOTTO_LANES];
    const sotto_block *in; /* label of input w in lane i: in[w * stride + i] */
    size_t stride;
    sotto_block key[SOTTO_LANE_KEYS]; /* with sub = 0 */
    sotto_block offset;    /* garbling only */
    uint32_t gate;         /* number of the next AND of either kind */
} sotto_lanes;

/* Tables of one gate of a whole batch: half-gates [2][lane] blocks; three-halves [lane] blocks, [lane] words, three sets of 16 bits; AND_EVAL [lane] blocks. */
#define SOTTO_EVAL_BYTES (SOTTO_LANES * 16u)
#define SOTTO_HALF_BYTES (2 * SOTTO_LANES * 16u)
#define SOTTO_THREE_BYTES (SOTTO_LANES * 24u + 6u)

/* Kernels run operations over a batch, writing or reading its tables. All give the same bytes. */
typedef struct sotto_garble_kernel {
    const char *name;
    sotto_tier tier; /* the CPU that it needs */
    void (*garble[SOTTO_GARBLE_SCHEMES])(sotto_lanes *l, const sotto_op *ops, size_t count, uint8_t *tables);
    void (*evaluate[SOTTO_GARBLE_SCHEMES])(sotto_lanes *l, const sotto_op *ops, size_t count, const uint8_t *tables);
} sotto_garble_kernel;

extern const sotto_garble_kernel sotto_garble_kernel_ref;
#if defined(__x86_64__)
extern const sotto_garble_kernel sotto_garble_kernel_ni;
extern const sotto_garble_kernel sotto_garble_kernel_vaes;
#endif

#endif
