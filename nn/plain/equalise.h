/* Per-channel scales without per-channel scales: every channel of every value is multiplied by a positive factor that the neighbouring weights take back, chosen so
 * that one scale a layer serves all its weights and one all its values.
 *
 * ReLU, clip (its bounds are per channel), identity, pools, additions, concatenation and padding commute with a factor of a channel; polynomials take it into their
 * coefficients. The function of the network stays the same, its plan keeps one number a layer, and nothing about channels becomes public. The idea is that of
 * cross-layer equalisation (Nagel et al., Data-free quantization, ICCV 2019, section 4.1); the choice of factors is not:
 *
 * Channels tied by additions share a factor, g of class s (union-find over channels of nodes). The noise of rounding is a sum of terms, one for each layer,
 * relative to the power of what the layer computes:
 *     values:  max_c (R_c / g_c)^2  sum_c g_c^2 A_c / 4^value_bits                       R: range of a channel, A: its weight
 *     weights: max_oc (|w_oc| g_c / g_o)^2  (sum_o A_o g_o^2)(sum_c E_c / g_c^2) / 4^weight_bits   E: mean square of what is read
 * Each is a posynomial, so their sum is convex in log g (a geometric program): descent finds the one minimum. The weight of a channel within its layer is what
 * noise in it does to the logits, found backwards through squared weights; every layer counts alike, since noise that enters early is correlated by
 * the time it reaches the logits, which squares do not see.
 */
#ifndef SOTTO_NN_PLAIN_EQUALISE_H
#define SOTTO_NN_PLAIN_EQUALISE_H

#include "nn/plain/observe.h"

typedef struct sotto_equalise_options {
    unsigned weight_bits, value_bits, input_bits;
    sotto_range_method method; /* of the ranges R; max stands for the percentile 0.99 where a channel is a polynomial */
    double share;
} sotto_equalise_options;

/* m: deployed, with weights; o: observed on it. Rewrites the weights of m and what o says of the channels. Input and output keep their factors at 1.
 * SOTTO_ERR_UNSUPPORTED for a batch norm, SOTTO_ERR_MEMORY; on failure nothing is changed. */
SOTTO_MUST_CHECK int sotto_equalise(sotto_model *m, sotto_observation *o, const sotto_equalise_options *options);

/* The terms above as the network stands: noise[node] of a linear node that of its weights, of the input and of a unit that of its values (units that a concatenation joins share
 * one range, and each has an equal part), 0 for others. range[node]: of input and units, the largest R of it and those it is joined with. */
SOTTO_MUST_CHECK int sotto_quantisation_noise(const sotto_model *m, const sotto_observation *o, const sotto_equalise_options *options, double *noise,
                                              double *range);

#endif
