/* Training that knows of the rounding to come: forward and backward passes see weights of few bits, the optimiser moves the ones behind them (straight-through
 * estimator, arXiv 1308.3432, section 3; for weights arXiv 1712.05877, section 3). */
#ifndef SOTTO_NN_TRAIN_ROUNDING_H
#define SOTTO_NN_TRAIN_ROUNDING_H

#include "nn/model/model.h"

/* Rounds the weights of every conv and dense node to multiples of s = (largest of the layer) / (2^(bits-1) - 1), bits from 2 to 16: the grid of a network that is
 * deployed and equalised (nn/plain/equalise.h). Folding a batch norm or equalising afterwards would give another grid. Biases stay. kept, unless NULL, takes the weights
 * as they were: as many floats as these tensors hold. */
void sotto_round_weights(sotto_model *m, unsigned bits, float *kept);
/* Puts back what sotto_round_weights kept. */
void sotto_unround_weights(sotto_model *m, const float *kept);

#endif
