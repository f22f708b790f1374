/* How many bits each layer's signs need, by trial: runs of the fixed-point reference with random shares of a client, on which close signs and roundings depend. */
#ifndef SOTTO_NN_PLAIN_SIGNS_H
#define SOTTO_NN_PLAIN_SIGNS_H

#include "lib/aes.h"
#include "nn/plain/calibrate.h"
#include "nn/plain/program.h"

/* Shares of all values as the protocol has them: uniform where a step masks anew or is linear, and what local steps make of those. share[i]: words of step i, modulo its ring. A function
 * of the seed. */
void sotto_program_draw_shares(const sotto_program *p, uint64_t *const *share, sotto_block seed);

/* Sets u of every node with signs, from 5 to 9 (tables decide no more) and at most k, k and windows being final: the cheapest u by bytes with which wrong signs add no more than
 * options->sign_noise times the power that random rounding adds to the logits. Measured node by node at u = 6; a bit more divides the noise by 8, since values within half a step h of zero are h
 * in share, wrong by h, squared. images: as of sotto_observe; the first few are used, fewer of large networks. Nothing happens where options->sign_bits is not 0. A plan that does not
 * compile is left as it is. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_plan_signs(sotto_model *m, const sotto_calibration *options, const uint8_t *images, size_t count,
                                      void (*progress)(void *ctx, size_t done, size_t count), void *ctx);

#endif
