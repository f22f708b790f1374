/* The fixed-point reference: runs a program on plain integers.
 *
 * Alone it rounds to nearest and decides signs exactly. Given the client's shares it computes what the two parties compute, bit for bit: the
 * rounding of a truncation and the sign within half a step are functions of the value and of that share (nn/secure/step.h).
 */
#ifndef SOTTO_NN_PLAIN_FIXED_H
#define SOTTO_NN_PLAIN_FIXED_H

#include "nn/plain/program.h"

typedef struct sotto_fixed_options {
    /* The client's share of the value of a step, `words` words modulo its ring; NULL: plain rounding and exact signs. */
    const uint64_t *(*share)(void *ctx, size_t step);
    /* Called after each step with its value, centred: words integers in [-2^(l-1), 2^(l-1)). May be NULL. */
    void (*seen)(void *ctx, size_t step, const int64_t *value, size_t words);
    void *ctx;
    /* Linear steps by the vector loops of sotto_linear_infer, reduced to their rings: the same logits ten times sooner, but wraps are not counted. Not for checks of the
     * protocol, which runs on those loops itself. */
    int fast;
} sotto_fixed_options;

typedef struct sotto_fixed_run sotto_fixed_run;
/* Space for one image at a time; keeps references to p and w. */
SOTTO_MUST_CHECK int sotto_fixed_run_new(sotto_fixed_run **out, const sotto_program *p, const sotto_program_weights *w);
void sotto_fixed_run_free(sotto_fixed_run *run);
/* x: input_words integers; logits: output_words, centred. options NULL: all defaults. Cannot fail.
 * *wraps (may be NULL) is increased by the values that left the range in which the protocol is right: k of the output; k of a unit or
 * a max stage, less half a step at both ends where a sign is taken and less what the carry of a truncation costs at the upper end.
 * Counted on integers that are not reduced yet, so that an output that came around its ring counts as well. */
void sotto_fixed_infer(sotto_fixed_run *run, int64_t *logits, const int64_t *x, const sotto_fixed_options *options, uint64_t *wraps);
size_t sotto_argmax_int(const int64_t *x, size_t count);

#endif
