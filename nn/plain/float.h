/* Float inference: the reference for training and for quantisation. Double accumulators, one image at a time. */
#ifndef SOTTO_NN_PLAIN_FLOAT_H
#define SOTTO_NN_PLAIN_FLOAT_H

#include "nn/model/model.h"

/* Space for the activations of one image; one per thread. Keeps a reference to m, whose graph must not change and which is freed later. */
typedef struct sotto_float_run sotto_float_run;
SOTTO_MUST_CHECK int sotto_float_run_new(sotto_float_run **out, const sotto_model *m);
void sotto_float_run_free(sotto_float_run *run);

/* image: input shape, normalised (sotto_normalise). SOTTO_ERR_ARG without weights. Afterwards sotto_float_value gives each node's output. */
SOTTO_MUST_CHECK int sotto_float_infer(sotto_float_run *run, const float *image);
/* Output of a node of the last inference, shape words; the last node's are the logits. Valid until the next inference. */
const float *sotto_float_value(const sotto_float_run *run, size_t node);

/* out[i] = (pixels[i] / 255 - mean) / std for the input's channel-major pixels. */
void sotto_normalise(const sotto_model *m, float *out, const uint8_t *pixels);
/* Index of the largest, the lowest where several are. */
size_t sotto_argmax_float(const float *x, size_t count);

#endif
