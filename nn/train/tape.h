/* Forward and backward passes over a batch: what training and batched evaluation share.
 *
 * When a tape is made, the model becomes a list of steps (tape_plan.c). A batch norm is one step with the addition and the relu behind it; steps that need
 * nothing but values of the same image run one after another for that image, while they are in cache; a pass over all images ends only where a batch norm
 * needs statistics of the batch or a dense layer multiplies the whole batch (OpenBLAS). Images are channels-last inside, so that vectors run over
 * channels; convolutions are those of conv.h.
 *
 * Memory: a value is kept for the whole batch only where another such pass reads it or where the backward pass needs it and it is no cheap function of
 * what is kept; gradients take memory that is free by then. All of it is bounded by batch x (kept values + live gradients): 1.1 MB an image for ResNet-20
 * on 32x32 (5.4 MB would be all values and their gradients), 0.26 MB without gradients; and per thread the values of an image within a pass.
 *
 * A batch is cut into as many shards as there are threads; a shard's images are worked on by one thread in order and its weight gradients are kept apart, then
 * summed in the order of the shards. Results depend on the number of shards and the tier of the CPU, not on timing. Sums of a batch norm are float within an
 * image, double over images.
 */
#ifndef SOTTO_NN_TRAIN_TAPE_H
#define SOTTO_NN_TRAIN_TAPE_H

#include "lib/pool.h"
#include "nn/model/model.h"

typedef struct sotto_tape sotto_tape;

/* Space for batches of up to `batch` images; backward: with gradients. The model, with its shapes inferred, is used by reference: weights, bounds and
 * coefficients as they are at each forward pass, units and masks as they are now. pool is used and kept by reference; NULL: one thread. Sets OpenBLAS to
 * one thread a call. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_tape_new(sotto_tape **out, sotto_model *m, size_t batch, int backward, sotto_pool *pool);
void sotto_tape_free(sotto_tape *t);

/* count * input words floats, to be filled with normalised images (channel after channel). They must stay as they are until the backward pass is over. */
float *sotto_tape_input(sotto_tape *t);
/* training: batch norm uses the batch's statistics (the variance divided by N, in the running one too) and moves the running ones a tenth of the way
 * there; nothing else of the model is changed. Returns count * outputs logits, channel after channel, valid until the next call. count: 1 to the batch of
 * the tape. */
SOTTO_MUST_CHECK int sotto_tape_forward(sotto_tape *t, size_t count, int training, const float **logits);
/* From d loss / d logits (count * outputs) to the gradients of all tensors: once after each training forward pass, of the same count, whose values it uses
 * up. Of a maximum's equal inputs the first gets the gradient; relu, clip and patches have slope 0 at their kinks; bounds of clip are not trained. */
SOTTO_MUST_CHECK int sotto_tape_backward(sotto_tape *t, size_t count, const float *logits_grad);
/* Gradient of a tensor after backward, in the order of the model. NULL for what is not trained (running statistics, bounds) and for absent tensors; zeros
 * for coefficients that do not count, for biases before a batch norm, which takes them away, and for what does not lead to the output. */
const float *sotto_tape_gradient(const sotto_tape *t, size_t node, unsigned which);

#endif
