/* Post-training quantisation: chooses scales, widths and truncations of a deployed model from its weights and sample images. */
#ifndef SOTTO_NN_PLAIN_CALIBRATE_H
#define SOTTO_NN_PLAIN_CALIBRATE_H

#include "nn/model/model.h"

typedef struct sotto_calibration {
    unsigned weight_bits; /* of each weight, sign included: 8 */
    unsigned value_bits;  /* of what a unit puts out, sign not counted: 8 */
    unsigned input_bits;  /* sign included: 9 */
    unsigned sign_bits;   /* u of relu, one more of max: 8; never more than k */
    double margin;        /* k holds margin times the largest magnitude seen: 1.5 */
} sotto_calibration;

sotto_calibration sotto_calibration_default(void);

/* Sets the plan of every node but the HE parameters, which nn/secure/network.h chooses from the rings. images: count times input
 * shape, pixels 0 to 255, channel-major. An addition's operands get scales whose ratio is a power of two by enlarging weight scales.
 * progress(ctx, done, count), may be NULL. SOTTO_ERR_ARG (no weights, no images, option out of range), SOTTO_ERR_UNSUPPORTED (an
 * addition whose scales cannot be made to fit; no node has a plan then), SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_calibrate(sotto_model *m, const sotto_calibration *options, const uint8_t *images, size_t count,
                                     void (*progress)(void *ctx, size_t done, size_t count), void *ctx);

#endif
