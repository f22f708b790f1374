/* Linear layers under homomorphic encryption: the prepare phase of a convolution or fully connected layer.
 *
 * The client holds a uniform mask r, the server integer weights W and a fresh uniform s. After one request and one answer
 * the client has c = W r - s mod 2^l. In the infer phase the server, who is given e = x - r, adds W e + s in the clear
 * (sotto_linear_apply), so that both results are shares of W x.
 *
 * Packing: coefficient encoding after Huang, Lu, Hong, Ding (Cheetah, eprint 2022/207, section 3.1), without rotations. A tile is a
 * block of `channels` input channels over a patch of P x Q padded pixels that yields rows x cols outputs, times `filters`
 * output channels, with channels * filters * P * Q <= n:
 *
 *     x[c PQ + i Q + j]                    = input channel c, patch pixel (i, j)
 *     w[O - m C PQ - c PQ - u Q - v]       = weight of filter m, channel c, kernel position (u, v)
 *     O = PQ (C M - 1) + Q (kh - 1) + kw - 1
 *
 * and coefficient O - m C PQ + y stride Q + x stride of the product is output (y, x) of filter m. Terms that wrap around X^n + 1 reach
 * at most coefficient O - (M - 1) C PQ - 1, below every wanted one. A fully connected layer is a 1 x 1 convolution of a 1 x 1 image.
 * Channel blocks do not respect groups: weights outside a filter's group are zero, and a pair of blocks without a common group is skipped,
 * which depends on the shape alone.
 */
#ifndef SOTTO_NN_SECURE_LINEAR_H
#define SOTTO_NN_SECURE_LINEAR_H

#include <stdint.h>

#include "bfv/answer.h"
#include "bfv/wire.h"
#include "lib/pool.h"

typedef struct sotto_linear_shape {
    uint32_t in_c, in_h, in_w;
    uint32_t out_c, kernel_h, kernel_w, stride_h, stride_w;
    uint32_t pad_top, pad_left, pad_bottom, pad_right;
    uint32_t groups; /* divides in_c and out_c */
    uint32_t weight_bits; /* weights lie in [-2^(weight_bits-1), 2^(weight_bits-1)], 1 to 16 */
} sotto_linear_shape;

typedef struct sotto_linear_tile {
    uint32_t channels, filters; /* input channels and output channels of a tile */
    uint32_t rows, cols;        /* output pixels of a tile */
} sotto_linear_tile;

typedef struct sotto_linear_plan {
    sotto_linear_shape shape;
    sotto_linear_tile tile;
    uint32_t out_h, out_w;
    uint32_t patch_h, patch_w;                     /* input pixels of a tile */
    uint32_t in_blocks, out_blocks, tiles_y, tiles_x;
    size_t in_words, out_words;                    /* in_c * in_h * in_w and out_c * out_h * out_w */
    size_t requests, answers;                      /* ciphertexts each way */
    size_t request_bytes, answer_bytes;            /* of all of them */
    sotto_bfv_answer_plan answer;
} sotto_linear_plan;

/* Chooses the tile that costs the fewest bytes (then the fewest products) among those whose answer plan holds. `coefficients`: output
 * coefficients of all linear layers of an inference. SOTTO_ERR_ARG for an impossible shape, SOTTO_ERR_PARAMS with the reason when no tile
 * holds under p (t = 2^l). Everything is a function of public values, so both parties plan alike. */
SOTTO_MUST_CHECK int sotto_linear_plan_new(sotto_linear_plan *plan, const sotto_bfv_params *p, const sotto_linear_shape *shape,
                                           double coefficients);

/* The server's weights, transformed once per model: out_c x (in_c / groups) x kernel_h x kernel_w, row-major. Secret. */
typedef struct sotto_linear_weights sotto_linear_weights;
/* SOTTO_ERR_ARG when a weight exceeds weight_bits. pool may be NULL. */
SOTTO_MUST_CHECK int sotto_linear_weights_new(sotto_linear_weights **out, const sotto_linear_plan *plan, const sotto_bfv_params *p,
                                              const int32_t *weights, sotto_pool *pool);
void sotto_linear_weights_free(sotto_linear_weights *w, const sotto_bfv_params *p);

/* Client: encrypts r (in_words words in [0, 2^l), channel-major) into plan->request_bytes bytes. */
SOTTO_MUST_CHECK int sotto_linear_request(uint8_t *out, const sotto_linear_plan *plan, const sotto_bfv_params *p,
                                          const sotto_bfv_secret_key *sk, const uint64_t *r, const sotto_rng *rng,
                                          sotto_pool *pool);
/* Server: from request_bytes of request and s (out_words words in [0, 2^l)) the answer, answer_bytes. SOTTO_ERR_FORMAT for a
 * malformed request. */
SOTTO_MUST_CHECK int sotto_linear_answer(uint8_t *out, const sotto_linear_plan *plan, const sotto_bfv_params *p,
                                         const sotto_bfv_public_key *pk, const sotto_linear_weights *weights,
                                         const uint8_t *request, const uint64_t *s, const sotto_rng *rng, sotto_pool *pool);
/* Client: c = W r - s mod 2^l, out_words words, from answer_bytes of answer. */
SOTTO_MUST_CHECK int sotto_linear_open(uint64_t *c, const sotto_linear_plan *plan, const sotto_bfv_params *p,
                                       const sotto_bfv_secret_key *sk, const uint8_t *answer, sotto_pool *pool);

/* out += W x modulo 2^64 (and so modulo every smaller ring): in_words words in, out_words out. Constant time in both. */
void sotto_linear_apply(uint64_t *out, const sotto_linear_shape *shape, const int32_t *weights, const uint64_t *x);
/* Output height and width; SOTTO_ERR_ARG with the field for an impossible shape. */
SOTTO_MUST_CHECK int sotto_linear_out_size(const sotto_linear_shape *shape, uint32_t *out_h, uint32_t *out_w);

#endif
