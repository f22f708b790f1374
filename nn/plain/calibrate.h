/* Post-training quantisation: chooses scales, widths and truncations of a deployed model from its weights and sample images. */
#ifndef SOTTO_NN_PLAIN_CALIBRATE_H
#define SOTTO_NN_PLAIN_CALIBRATE_H

#include "nn/plain/observe.h"

typedef struct sotto_calibration {
    unsigned weight_bits; /* of each weight, sign included: 8 */
    unsigned value_bits;  /* of what a unit puts out, sign not counted: 10 */
    unsigned input_bits;  /* sign included: 9 */
    unsigned sign_bits;   /* u of units with signs, one more of max, never more than k; 0: by layer (nn/plain/signs.h): 0 */
    double sign_noise;    /* where sign_bits is 0: what wrong signs may add to the logits, in parts of what random rounding adds: 8 */
    int windows;          /* a window of signs for each channel, which its public part then shows: 1 */
    double margin;        /* k and windows hold margin times the largest magnitude seen: 1.5 */
    sotto_range_method method; /* of the range that value_bits cover: max, with polynomials the percentile 0.99 in its place. Nothing saturates: what lies beyond has more bits, and k
                                * holds it */
    double share;         /* of method percentile: 0.9999 */
    int equalise;         /* per-channel factors first (nn/plain/equalise.h): 1 */
    unsigned threads;     /* as of sotto_pool_new: 0, all */
} sotto_calibration;

sotto_calibration sotto_calibration_default(void);

/* What the plan promises, in numbers. */
typedef struct sotto_calibration_report {
    size_t units, never;  /* unit, max and output values of an image that k bounds; those among them that cannot leave k, whatever the image */
} sotto_calibration_report;

/* Sets the plan of every node but the HE parameters, which nn/secure/network.h chooses from the rings, and equalises the weights: the function of m stays the same to
 * the rounding of floats. o: observed on m (nn/plain/observe.h); rescaled as the weights are.
 *
 * Scales: those of values that additions and concatenations join may differ by powers of two alone, as a unit divides by 2^f. So the nodes between linear nodes form
 * components whose scales have one fraction of log2 in common. It is free, since the weight scale of each linear node that leads into the component can be enlarged;
 * the fractions are those with the least predicted noise, of weights that lose part of a bit and values that do.
 * Signs: each channel has a window of its own (sotto_node.windows) that holds margin times what was seen of it, so that quiet channels are decided as finely as loud ones. Where sign_bits is 0, u is the
 * most that a table decides; sotto_plan_signs lowers it.
 * Widths: k is the least that holds margin times what was seen, or what any image of pixels from 0 to 255 can reach where that is no more.
 * report may be NULL. SOTTO_ERR_ARG (no weights, option out of range), SOTTO_ERR_UNSUPPORTED (an addition whose scales cannot be made to fit; no
 * node has a plan then), SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_plan(sotto_model *m, sotto_observation *o, const sotto_calibration *options, sotto_calibration_report *report);

/* sotto_observe, sotto_plan and sotto_plan_signs. images: count times input shape, pixels 0 to 255, channel-major. progress: of what is observed, then of trials of signs, each with a count of
 * its own. Errors of all three; when memory fails no node has a plan. */
SOTTO_MUST_CHECK int sotto_calibrate(sotto_model *m, const sotto_calibration *options, const uint8_t *images, size_t count,
                                     void (*progress)(void *ctx, size_t done, size_t count), void *ctx);

/* The report on a plan that is there, of a model with weights; m stays as it is. SOTTO_ERR_ARG (no weights), SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_plan_report(const sotto_model *m, sotto_calibration_report *report);

#endif
