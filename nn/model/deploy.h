/* From the graph that is trained to the graph that is deployed: the same function, in a form that the protocol can run. */
#ifndef SOTTO_NN_MODEL_DEPLOY_H
#define SOTTO_NN_MODEL_DEPLOY_H

#include "nn/model/model.h"

/* Rewrites *m in place, weights included when it has them (a model without weights is rewritten alike):
 *  - batch norm after a linear node that feeds nothing else is folded into it; any other becomes a convolution of 1 x 1 within each channel;
 *  - a maxpool whose input is a relu that feeds nothing else changes places with it (the maximum commutes with relu, which then runs on fewer values); so does one that reads
 *    a concatenation of such relus, which become one;
 *  - where a linear node reads a value that is no fresh mask (not the input, a unit, or one or more of these through flatten, pad, concat, globalavg or an
 *    average pool whose windows do not overlap), an identity node is put between, named <linear>.in, or <linear>.in2 and so on where that is taken.
 * A plan that is present is dropped where nodes change. Idempotent. SOTTO_ERR_MEMORY, SOTTO_ERR_LIMIT; on failure *m is unchanged. */
SOTTO_MUST_CHECK int sotto_model_deploy(sotto_model *m);
/* Deep copy, weights included. SOTTO_ERR_MEMORY; on failure *out is zeroed. */
SOTTO_MUST_CHECK int sotto_model_copy(sotto_model *out, const sotto_model *m);

#endif
