/* Noise: v = c0 + c1 s - Q m / t (centred modulo Q). Decryption is right while |v| < Q / (2t).
 *
 * Predictions give a standard deviation per coefficient (average case, independent coefficients) and a bound that
 * holds except with probability 2^-64 per coefficient (sub-Gaussian tail) or always. All in log2. They take the parts of
 * ciphertexts and the errors of keys for what an outsider cannot tell them from, independent uniform and Gaussian
 * polynomials; a transparent ciphertext (c1 = 0) is outside of that.
 */
#ifndef SOTTO_BFV_NOISE_H
#define SOTTO_BFV_NOISE_H

#include "bfv/encrypt.h"

typedef struct sotto_bfv_noise {
    double log_sigma; /* log2 of the standard deviation of a coefficient */
    double log_bound; /* log2 of a bound on every coefficient (failure below 2^-64 each) */
    double log_canonical; /* log2 of a bound on |v(zeta)| for all complex roots zeta of X^n + 1; products multiply it */
    unsigned degree;      /* of v in s: the highest power of the secret that it holds */
} sotto_bfv_noise;

/* Fresh ciphertexts; the rounding of Q m / t (uniform in [-1/2, 1/2]) is included. */
sotto_bfv_noise sotto_bfv_noise_symmetric(const sotto_bfv_params *p);
sotto_bfv_noise sotto_bfv_noise_public(const sotto_bfv_params *p);
/* Sum of two independent ciphertexts (the bounds: of any two). */
sotto_bfv_noise sotto_bfv_noise_add(sotto_bfv_noise x, sotto_bfv_noise y);
/* Product by a plaintext whose coefficients have Euclidean norm `norm2` and sum of magnitudes `norm1`. The deviation is that of
 * messages and plaintexts that do not conspire: of a constant message times all ones it may be some bits more. */
sotto_bfv_noise sotto_bfv_noise_mul_plain(sotto_bfv_noise x, double norm2, double norm1);
/* Sum with, product by a plaintext of n words in [0, t) (bfv/batch.h), on average a uniform one with mean 0: where t is
 * even and tiny, coefficients about zero have mean -1/2, and the deviation may be some bits more. */
sotto_bfv_noise sotto_bfv_noise_add_plain(sotto_bfv_noise x, const sotto_bfv_params *p);
sotto_bfv_noise sotto_bfv_noise_mul_message(sotto_bfv_noise x, const sotto_bfv_params *p);
/* After sotto_bfv_mul(x, p, y, .) of independent ciphertexts (the bounds: of any two), and sotto_bfv_square. */
sotto_bfv_noise sotto_bfv_noise_mul(sotto_bfv_noise x, sotto_bfv_noise y, const sotto_bfv_params *p);
sotto_bfv_noise sotto_bfv_noise_square(sotto_bfv_noise x, const sotto_bfv_params *p);
/* After one key switch: a rotation, a swap, sotto_bfv_switch. A product holds its own already. */
sotto_bfv_noise sotto_bfv_noise_switch(sotto_bfv_noise x, const sotto_bfv_params *p);
/* After sotto_bfv_sum_slots. log_sigma is a root mean square over the coefficients here: what x brings gathers in coefficient 0, whose
 * deviation is up to sqrt(n) as large. The bounds hold for every one. */
sotto_bfv_noise sotto_bfv_noise_sum_slots(sotto_bfv_noise x, const sotto_bfv_params *p);
/* After dropping the last prime of p. */
sotto_bfv_noise sotto_bfv_noise_mod_switch(sotto_bfv_noise x, const sotto_bfv_params *p);
/* Bits left: log2(Q / 2t) - log_bound. Negative: decryption may fail. */
double sotto_bfv_noise_predicted_budget(sotto_bfv_noise x, const sotto_bfv_params *p);

/* Measured budget: log2(Q / 2t) - log2 max |v| for this ciphertext; never below 0, near 0 when
 * decryption is no longer right. Needs the secret key and tells about the noise, which is
 * secret: for tests and benches; no session calls it. Variable time. */
SOTTO_MUST_CHECK int sotto_bfv_noise_budget_var(double *bits, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk,
                                                const sotto_bfv_ct *ct);

#endif
