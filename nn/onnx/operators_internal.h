/* Operators that stand in files of their own: arithmetic.c and shapes.c. Each reads the node at hand and defines its output. */
#ifndef SOTTO_NN_ONNX_OPERATORS_INTERNAL_H
#define SOTTO_NN_ONNX_OPERATORS_INTERNAL_H

#include "nn/onnx/read_internal.h"

/* The output of the node at hand: x as it is, or *n, appended; operators.c. */
SOTTO_MUST_CHECK int sotto_onnx_alias(reader *r, const value *x, unsigned rank);
SOTTO_MUST_CHECK int sotto_onnx_append(reader *r, sotto_node *n, unsigned rank);
/* min(max(x, 0), bound), `count` bounds (1 or one a channel), x being any value; operators.c. */
SOTTO_MUST_CHECK int sotto_onnx_clip(reader *r, const value *x, const float *bounds, size_t count);
/* Every stride-th pixel of x: *n is a pool with a kernel of 1 whose strides and channels are set; its shape is not; operators.c. */
SOTTO_MUST_CHECK int sotto_onnx_subsample(reader *r, const value *x, sotto_node *n);

/* arithmetic.c */
SOTTO_MUST_CHECK int sotto_onnx_op_add(reader *r);
SOTTO_MUST_CHECK int sotto_onnx_op_sub(reader *r);
SOTTO_MUST_CHECK int sotto_onnx_op_mul(reader *r);
SOTTO_MUST_CHECK int sotto_onnx_op_div(reader *r);
SOTTO_MUST_CHECK int sotto_onnx_op_pow(reader *r);
SOTTO_MUST_CHECK int sotto_onnx_op_min(reader *r);

/* shapes.c */
SOTTO_MUST_CHECK int sotto_onnx_op_concat(reader *r);
SOTTO_MUST_CHECK int sotto_onnx_op_pad(reader *r);
SOTTO_MUST_CHECK int sotto_onnx_op_slice(reader *r);
SOTTO_MUST_CHECK int sotto_onnx_op_flatten(reader *r);
SOTTO_MUST_CHECK int sotto_onnx_op_reshape(reader *r);
SOTTO_MUST_CHECK int sotto_onnx_op_squeeze(reader *r);
SOTTO_MUST_CHECK int sotto_onnx_op_unsqueeze(reader *r);
SOTTO_MUST_CHECK int sotto_onnx_op_identity(reader *r);
SOTTO_MUST_CHECK int sotto_onnx_op_dropout(reader *r);
SOTTO_MUST_CHECK int sotto_onnx_op_constant(reader *r);
SOTTO_MUST_CHECK int sotto_onnx_op_cast(reader *r);
SOTTO_MUST_CHECK int sotto_onnx_op_shape(reader *r);
SOTTO_MUST_CHECK int sotto_onnx_op_gather(reader *r);
SOTTO_MUST_CHECK int sotto_onnx_op_softmax(reader *r);

#endif
