/* Sampling of polynomials. Each call draws a seed from `rng` (or takes one) and expands it by AES-CTR (lib/prg.h). Time
 * depends on the parameters and, for the rejection sampler, on how many candidates were rejected, which is independent of
 * the accepted values. */
#ifndef SOTTO_RING_SAMPLE_H
#define SOTTO_RING_SAMPLE_H

#include <stdint.h>

#include "lib/aes.h"
#include "lib/err.h"
#include "lib/rng.h"
#include "ring/rns.h"

/* Uniform modulo Q in the layout of ring/poly.h, limb by limb, coefficient by coefficient: the next 64-bit little-endian
 * word of the stream, cut to bits(q_i) bits, is taken if it is below q_i. The same seed gives the same polynomial on every
 * machine and tier: this is the public `a` part that travels as a seed. Whether it is meant in coefficient or NTT form is
 * the caller's convention. */
void sotto_sample_uniform_seeded(const sotto_rns *b, uint64_t *out, sotto_block seed);

/* The small distributions give n signed coefficients, one integer for all limbs, which sotto_poly_from_signed spreads.
 * Constant time. On SOTTO_ERR_RNG the coefficients are zero. */

/* Uniform over {-1, 0, 1}, up to 2^-64 in statistical distance per coefficient. SOTTO_ERR_RNG. */
SOTTO_MUST_CHECK int sotto_sample_ternary(int64_t *out, uint32_t n, const sotto_rng *rng);
/* Discrete Gaussian of standard deviation 3.2, cut at +-19 (6 sigma), by a cumulative table of 63-bit precision, searched
 * by the same comparisons for every sample. The expression that recomputes it is in sample_ref.c. SOTTO_ERR_RNG. */
SOTTO_MUST_CHECK int sotto_sample_error(int64_t *out, uint32_t n, const sotto_rng *rng);

#define SOTTO_ERROR_SIGMA 3.2
#define SOTTO_ERROR_BOUND 19

#endif
