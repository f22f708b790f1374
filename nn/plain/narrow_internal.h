/* Inside nn/plain: the fixed-point reference without shares in 32-bit words, channels blocked for vector kernels. The same integers as fixed.c makes in 64 bits, some fifty
 * times faster. Whether an image's values fit is seen as they are made; one that does not fit is left to fixed.c. */
#ifndef SOTTO_NN_PLAIN_NARROW_INTERNAL_H
#define SOTTO_NN_PLAIN_NARROW_INTERNAL_H

#include "nn/plain/program.h"

typedef struct sotto_narrow sotto_narrow;

/* *out is NULL, without an error, where the program can never be run so: a weight of 2^15, a truncation by more than 30
 * bits, an addition or unit with factors per channel on a flattened image. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_narrow_new(sotto_narrow **out, const sotto_program *p, const sotto_program_weights *w);
void sotto_narrow_free(sotto_narrow *n);
/* As sotto_fixed_infer without options. 0: a value did not fit; nothing is written then. */
int sotto_narrow_infer(sotto_narrow *n, int64_t *logits, const int64_t *x, uint64_t *wraps);
/* The value of a step after an inference that fitted, not reduced: words integers. */
void sotto_narrow_value(const sotto_narrow *n, size_t step, int64_t *value);

#endif
