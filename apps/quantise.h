/* From a trained network to one that can be served: deployment, calibration on training images, HE parameters. What `sotto quantise` and the end of
 * `sotto train` share. */
#ifndef SOTTO_APPS_QUANTISE_H
#define SOTTO_APPS_QUANTISE_H

#include "nn/plain/calibrate.h"
#include "nn/train/dataset.h"

typedef struct quantise_options {
    sotto_calibration calibration;
    size_t images; /* of the set, its first; 500 */
} quantise_options;

quantise_options quantise_default(void);
/* m: trained weights, deployed or not; set: its training images. Rewrites m in place: deployed, with a plan and HE parameters for every node, and an id of its own,
 * since the plan is part of what client and server must agree on. Progress on stderr. Errors as of sotto_model_deploy, sotto_calibrate and
 * sotto_network_choose_he; SOTTO_ERR_MISMATCH for images of another shape. After a failure m may be deployed but has no usable plan. */
SOTTO_MUST_CHECK int quantise_model(sotto_model *m, const sotto_dataset *set, const quantise_options *o);
/* Whether a network of that graph can be quantised, before it is trained: SOTTO_ERR_UNSUPPORTED naming the node where it cannot, and other errors of quantise_model but
 * SOTTO_ERR_PARAMS, which follows from weights. m has weights, trained or not, and stays as it is. */
SOTTO_MUST_CHECK int quantise_check(const sotto_model *m, const sotto_dataset *set);

#endif
