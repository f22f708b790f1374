/* Circuit-private answers: what a server sends back so that the key's owner learns chosen coefficients of a result
 * and nothing about the weights that made it. For t = 2^l only. In this order:
 *
 *  1. re-randomise: add a fresh public-key encryption of zero. Without it the answer's `a` part is the known request
 *     times the weights, and the owner solves for them.
 *  2. one inverse transform; subtract the plaintext mask, scaled to round(Q mask / t).
 *  3. flood: add to each coefficient that leaves the sum of three independent uniform integers of width
 *     `flood_width`, centred.
 *  4. switch down: `a` to 2^(l + 9), `b` to 2^(l + 4), of `b` only the wanted coefficients.
 *
 * The flooding width keeps the statistical distance of ALL coefficients of one inference from a distribution that
 * does not depend on the weights at 2^-40 or less, and sqrt(k) 2^-40 over k inferences. It assumes what the protocol
 * does: the coefficients of the request that enter one result are independent and uniform modulo t (or zero), its
 * ciphertexts come from sotto_bfv_encrypt_symmetric, fresh for each inference, and the owner follows the protocol.
 * The derivation with its constants stands in flood.c.
 */
#ifndef SOTTO_BFV_ANSWER_H
#define SOTTO_BFV_ANSWER_H

#include "bfv/evaluate.h"
#include "lib/bytes.h"
#include "lib/ct.h"

#define SOTTO_ANSWER_A_EXTRA 9
#define SOTTO_ANSWER_B_EXTRA 4

typedef struct sotto_bfv_answer_plan {
    uint64_t set;           /* sotto_bfv_set_id of the parameters that it was made for */
    sotto_u128 flood_width; /* number of values of each of the three uniforms */
    double log_flood;       /* its log2 */
    double log_noise;       /* log2 of a bound on the noise before flooding; never exceeded */
    double margin;          /* 1/2 - (tail + 2^-5 + (3/2 flood_width + noise) / (Q/t)), positive: what is left of the
                             * room for a right decryption. tail = 2^-9 sqrt(n/9 ln(2^42 coefficients)), 2^-9 * 138 at
                             * n = 4096 and 2^18 coefficients: with probability 2^-40 or less one of them is wrong. */
} sotto_bfv_answer_plan;

/* Plans an answer: `norm2` bounds the Euclidean norm of all weights that enter one output coefficient (the whole
 * packed plaintexts, all that are accumulated), `norm1` the sum of their magnitudes, `coefficients` is the number of
 * output coefficients of a whole inference, over all its answers. SOTTO_ERR_PARAMS with the figures when t is no
 * power of two, l + 9 > 60, the first two primes have no room for the owner's product or the margin is not positive. */
SOTTO_MUST_CHECK int sotto_bfv_answer_plan_new(sotto_bfv_answer_plan *plan, const sotto_bfv_params *p, double norm2,
                                               double norm1, double coefficients);

/* Bytes of an answer with `wanted` coefficients: packed `a` (n words of l + 9 bits), then packed `b` (wanted words of
 * l + 4 bits). */
size_t sotto_bfv_answer_bytes(const sotto_bfv_params *p, size_t wanted);

/* acc (NTT form; consumed: its content is overwritten) holds W r. Writes the answer for W r - mask: index[i] < n are
 * the wanted coefficients (public, distinct), mask[i] in [0, t) is subtracted at index[i]. SOTTO_ERR_ARG when one of
 * these does not hold, SOTTO_ERR_LIMIT when the writer has no room; nothing is written on failure. Constant time in
 * the ciphertext and the mask. */
SOTTO_MUST_CHECK int sotto_bfv_answer_write(sotto_writer *w, const sotto_bfv_params *p, const sotto_bfv_public_key *pk,
                                            const sotto_bfv_answer_plan *plan, sotto_bfv_ct *acc, const uint32_t *index,
                                            const uint64_t *mask, size_t wanted, const sotto_rng *rng);

/* The owner's side: out[i] = (W r)[index[i]] - mask[i] mod t. SOTTO_ERR_FORMAT for a torn answer, SOTTO_ERR_PARAMS
 * for parameters that no plan accepts. Any other bytes decrypt to something: the owner checks nothing and tells
 * nobody. Constant time in sk and in what comes out. On failure out is untouched. */
SOTTO_MUST_CHECK int sotto_bfv_answer_read(uint64_t *out, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk,
                                           sotto_reader *r, const uint32_t *index, size_t wanted);

/* The same two in the caller's room of sotto_bfv_answer_room(p, wanted) words, for many answers: taking and zeroing memory for each would cost as much as its
 * transforms do. The room comes from sotto_calloc and is left with secrets: free
 * it as one. */
size_t sotto_bfv_answer_room(const sotto_bfv_params *p, size_t wanted);
SOTTO_MUST_CHECK int sotto_bfv_answer_write_in(sotto_writer *w, const sotto_bfv_params *p, const sotto_bfv_public_key *pk,
                                               const sotto_bfv_answer_plan *plan, sotto_bfv_ct *acc, const uint32_t *index,
                                               const uint64_t *mask, size_t wanted, const sotto_rng *rng, uint64_t *room);
SOTTO_MUST_CHECK int sotto_bfv_answer_read_in(uint64_t *out, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk,
                                              sotto_reader *r, const uint32_t *index, size_t wanted, uint64_t *room);

#endif
