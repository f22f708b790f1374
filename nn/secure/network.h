/* What both parties derive from the public part of a model: the program, and per linear step the HE parameters and the packing. Immutable, shared between
 * sessions and threads.
 */
#ifndef SOTTO_NN_SECURE_NETWORK_H
#define SOTTO_NN_SECURE_NETWORK_H

#include "nn/plain/program.h"
#include "nn/secure/linear.h"

typedef struct sotto_network_linear {
    sotto_bfv_params *params; /* t = 2^l; NULL for a step that is not linear */
    sotto_linear_plan plan;
    size_t key;               /* index of the key pair that it uses */
} sotto_network_linear;

typedef struct sotto_network {
    sotto_model model;        /* public part alone */
    sotto_program program;
    sotto_network_linear *linear; /* per step */
    const sotto_bfv_params **keys; /* one of each ring in use: a client has a key pair for each */
    size_t key_count;
} sotto_network;

/* Copies the public part of m. SOTTO_ERR_PARAMS naming node and reason for a plan that does not hold. */
SOTTO_MUST_CHECK int sotto_network_new(sotto_network *n, const sotto_model *m);
void sotto_network_free(sotto_network *n);

/* Sets the HE parameters in the plan of every linear node: of a table of sets with 128-bit security, the one whose packing costs the fewest bytes among
 * those that hold. The rest of the plan must be there. SOTTO_ERR_PARAMS when none holds for a node. */
SOTTO_MUST_CHECK int sotto_network_choose_he(sotto_model *m);

#endif
