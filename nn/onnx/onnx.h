/* Networks from and to ONNX files, opsets 7 to 17 read, 13 written. Part of the program, not of libsotto.a: it needs protobuf-c.
 *
 * Batch: whatever the file says; a model here takes one image. A value of the file is N x c x h x w or N x values. Reading recognises more than it
 * keeps: relu before clip, zero padding before a convolution, a dense layer's flatten are merged into the node after them; polynomials written out
 * as Mul, Add and Pow become one act node; an affine map of the input becomes mean and std, a bias added after a linear node that node's own, any
 * other affine map per channel a batch norm.
 */
#ifndef SOTTO_NN_ONNX_ONNX_H
#define SOTTO_NN_ONNX_ONNX_H

#include "nn/model/model.h"

#define SOTTO_ONNX_FILE_MAX ((size_t)1200 << 20)

typedef struct sotto_onnx_options {
    const char *input;                        /* name of the graph's input; NULL: the only one */
    void (*note)(void *ctx, const char *text); /* what a person should know of a file that is accepted, such as a softmax left out; may be NULL */
    void *ctx;
} sotto_onnx_options;

/* A float model with weights from the `len` bytes of a file; options may be NULL. Names are the file's where they can be (characters outside
 * [A-Za-z0-9_.-] become '.', 31 bytes, made unique). The id is zero, mean and std are those of the file's own normalisation of pixel / 255, or 0 and
 * 1. *m is released by the caller. Bytes are untrusted: memory is at most some 20 times their number and 100 MB. SOTTO_ERR_FORMAT, _VERSION (opset),
 * _LIMIT, _UNSUPPORTED (naming node, operator and attribute, and what is supported), _MEMORY. On failure *m is zeroed. */
SOTTO_MUST_CHECK int sotto_onnx_read(sotto_model *m, const uint8_t *data, size_t len, const sotto_onnx_options *options);

/* The opposite: a file whose input is pixel / 255 (normalisation becomes Sub and Div), batch size N. Names are kept. sotto_onnx_read of it gives a
 * model with the same results bit for bit; identity nodes, a flatten before a dense node and units that come to the same have then gone. *data is
 * released with sotto_free_secret. SOTTO_ERR_ARG (no weights), SOTTO_ERR_UNSUPPORTED (patches, masks, relu and polynomials in one act node),
 * SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_onnx_write(const sotto_model *m, uint8_t **data, size_t *len);

#endif
