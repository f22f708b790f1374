/* Convolutions of one image for training: forward, gradient of the data, gradient of the weights, by direct kernels.
 *
 * Images are channels-last: pixel (y, x) of an image of w columns holds its c channels next to each other, at ((y * w) + x) * c. Everything is float32.
 * A tile of neighbouring pixels by one or two vectors of output channels stays in registers over all taps and input channels, so that memory is not
 * touched between a sum's terms. The gradient of the data is the same computation over the output's gradient with weights turned around, once for each
 * residue of the position modulo the stride; that of the weights keeps a tile of weights in registers over rows of the image.
 *
 * A call works on one image in one thread, with scratch of the caller's; any number of threads may use one sotto_conv at a time, but for
 * sotto_conv_pack. Pointers of a call must not overlap. Nothing needs to be aligned; images and gradients at multiples of 64 bytes are fastest.
 * Results depend on the tier (order and fusing of additions) and on nothing else: a call repeats to the bit.
 */
#ifndef SOTTO_NN_TRAIN_CONV_H
#define SOTTO_NN_TRAIN_CONV_H

#include <stddef.h>

#include "lib/cpu.h"
#include "nn/model/model.h"

typedef struct sotto_conv sotto_conv; /* plan of one layer: shapes, kernels, packed weights */

/* Plan for a conv node whose shapes are inferred, over inputs of shape `in`. Kernels are those of the smaller of `tier` and sotto_cpu_tier().
 * Weights are zero until packed. SOTTO_ERR_ARG (no conv node, or shapes that do not belong together), SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_conv_new(sotto_conv **out, const sotto_node *node, sotto_shape in, sotto_tier tier);
void sotto_conv_free(sotto_conv *c);

/* Floats of scratch for any one call below; its content does not matter. */
size_t sotto_conv_scratch(const sotto_conv *c);
/* Floats of a packed gradient of the weights. */
size_t sotto_conv_gradient_words(const sotto_conv *c);

/* Takes the weights, in the order of the model (out x in/groups x kernel_h x kernel_w): once after each change of them. No other call on c may run
 * meanwhile. */
void sotto_conv_pack(sotto_conv *c, const float *weights);

/* y (out_h x out_w x out_c) = weights * x (in_h x in_w x in_c) + bias (out_c; NULL: none); y is overwritten. */
void sotto_conv_forward(const sotto_conv *c, float *scratch, float *y, const float *x, const float *bias);
/* dx (in_h x in_w x in_c) from dy (out_h x out_w x out_c); dx is overwritten. */
void sotto_conv_backward_data(const sotto_conv *c, float *scratch, float *dx, const float *dy);
/* Adds the image's gradient to dw_packed. The order inside is the tier's own; packed gradients of one plan, or of plans of the same node and tier, may
 * be added word by word. */
void sotto_conv_backward_weights(const sotto_conv *c, float *scratch, float *dw_packed, const float *x, const float *dy);
/* dw in the order of the model, overwritten. */
void sotto_conv_unpack(const sotto_conv *c, float *dw, const float *dw_packed);

#endif
