/* What both parties derive from the public part of a model: the program, and per linear step the HE parameters and the packing. Immutable, shared between
 * sessions and threads.
 */
#ifndef SOTTO_NN_SECURE_NETWORK_H
#define SOTTO_NN_SECURE_NETWORK_H

#include "nn/plain/program.h"
#include "nn/secure/linear.h"
#include "nn/sotto.h"

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

/* HE parameters that are chosen from: ring degree and bit lengths of the primes, each set with 128-bit security. */
typedef struct sotto_he_set {
    uint32_t n;
    unsigned primes, bits[SOTTO_PRIMES_MAX];
} sotto_he_set;
const sotto_he_set *sotto_network_sets(size_t *count);

/* Sets the HE parameters in the plan of every linear node: of a table of sets with 128-bit security, the one whose packing costs least (sotto_linear_plan_cost)
 * among those that hold. The rest of the plan must be there. SOTTO_ERR_PARAMS when none holds for a node. */
SOTTO_MUST_CHECK int sotto_network_choose_he(sotto_model *m);

/* The same for one linear layer alone, whose outputs have l bits: sets he_n, he_primes and he_prime_bits of *plan. coefficients as for sotto_linear_plan_new. */
SOTTO_MUST_CHECK int sotto_network_choose_set(sotto_node_plan *plan, const sotto_linear_shape *shape, unsigned l, double coefficients);

/* Sets poly.exchange in the plan of every act node with polynomials to what costs the fewest bytes of units and products (OT by SoftSpoken, k = 4). The rest of the plan must
 * be there; before sotto_network_choose_he. SOTTO_ERR_PARAMS, SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_network_choose_products(sotto_model *m);

/* Replaces SOTTO_SIGN_PLANNED and SOTTO_OT_PLANNED by what the plan says of sessions, else by lookup and SoftSpoken with k = 4; anything else stays. */
void sotto_network_session(const sotto_model *m, sotto_sign_provider *sign, sotto_ot_kind *ot);

#endif
