/* Forward and backward passes over a batch: what training and batched evaluation share. Every op has a pair of functions in one table (tape.c).
 *
 * A batch is cut into as many shards as there are threads; a shard's images are worked on by one thread in order and its weight gradients are kept apart, then
 * summed in the order of the shards, so that results depend on the number of shards and not on timing.
 */
#ifndef SOTTO_NN_TRAIN_TAPE_H
#define SOTTO_NN_TRAIN_TAPE_H

#include "lib/pool.h"
#include "nn/model/model.h"

typedef struct sotto_tape sotto_tape;

/* Space for batches of up to `batch` images; backward: with gradients. pool is used and kept by reference. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_tape_new(sotto_tape **out, sotto_model *m, size_t batch, int backward, sotto_pool *pool);
void sotto_tape_free(sotto_tape *t);

/* count * input words floats, to be filled with normalised images. */
float *sotto_tape_input(sotto_tape *t);
/* training: batch norm uses the batch's statistics and updates the running ones. Returns count * outputs logits, valid until the next call. */
SOTTO_MUST_CHECK int sotto_tape_forward(sotto_tape *t, size_t count, int training, const float **logits);
/* From d loss / d logits (count * outputs) of the last training forward pass to the gradients of all tensors. */
SOTTO_MUST_CHECK int sotto_tape_backward(sotto_tape *t, size_t count, const float *logits_grad);
/* Gradient of a tensor after backward; NULL for the running statistics of a batch norm and for absent tensors. */
const float *sotto_tape_gradient(const sotto_tape *t, size_t node, unsigned which);

#endif
