/* Linear layers under homomorphic encryption: the prepare phase of a convolution or fully connected layer.
 *
 * The client holds a uniform mask r, the server integer weights W and a fresh uniform s. After one request and one answer
 * the client has c = W r - s mod 2^l. In the infer phase the server, who is given e = x - r, adds W e + s in the clear
 * (sotto_linear_apply), so that both results are shares of W x.
 *
 * Packing: coefficient encoding after Huang, Lu, Hong, Ding (Cheetah, eprint 2022/207, section 3.1), without rotations. A convolution of stride s is one of stride 1
 * over phases: plane (c, a, b) has the padded pixels (i s + a, j s + b) of channel c, its kernel the weights at (u s + a, v s + b); phases that no weight
 * reads are left out (a 1 x 1 kernel reads one of s^2). A tile is a block of C planes over a patch that yields rows x cols outputs, times M output channels. Of a
 * patch P x Q pixels are stored, C M P Q <= n:
 *
 *     x[c PQ + i Q + j - S]                = plane c, patch pixel (i, j)
 *     w[O - m C PQ - c PQ - u Q - v]       = weight of filter m, plane c, kernel position (u, v)
 *     O = PQ (C M - 1) + Q (kh - 1) + kw - 1          kh, kw: the kernel of a phase
 *
 * and coefficient O - S - m C PQ + y Q + x of the product is output (y, x) of filter m.
 *
 * Shared padding. A patch that spans the image has zeros at both ends; where the last D rows and the first D of every plane are zero, they are the same D rows of the
 * polynomial, plane after plane (likewise the last and first E columns, row after row), so P and Q are what is left. Outputs read past a plane's own pixels, but only
 * zeros: what follows is the head of the next row, of the next plane, or nothing. The first S = D Q + E positions are zero and left out.
 *
 * Why it is right. With i = (m - m') C PQ + c' PQ + (y + u) Q + x + v, coefficient O - S - m C PQ + y Q + x gathers the products of weight (m', c', u, v) and position i of
 * the planes laid out as above, S included. For m' = m these are the wanted ones. For m' > m, i is beyond the last plane; for m' < m it is negative,
 * or among the first S positions, which are zero. Terms that wrap around X^n + 1 reach at most coefficient O - S + C PQ - 1 - n <= O - S - (M - 1) C PQ - 1,
 * below every wanted one. D < kh and E < kw keep wanted ones from falling below 0, D < rows and E < cols
 * (P >= kh, Q >= kw) keep O below n, and the last wanted one is PQ C M - 1.
 *
 * A fully connected layer is a 1 x 1 convolution of a 1 x 1 image. Blocks do not respect groups: weights outside a filter's group are zero, and a pair of blocks without a
 * common group is skipped, which depends on the shape alone.
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
    uint32_t channels, filters; /* planes and output channels of a tile */
    uint32_t rows, cols;        /* output pixels of a tile */
} sotto_linear_tile;

typedef struct sotto_linear_plan {
    sotto_linear_shape shape;
    sotto_linear_tile tile;
    uint32_t out_h, out_w;
    uint32_t phases_h, phases_w, planes;           /* of a channel; of all */
    uint32_t taps_h, taps_w;                       /* kernel of a phase */
    uint32_t patch_h, patch_w;                     /* P, Q */
    uint32_t skipped;                              /* S */
    uint32_t in_blocks, out_blocks, tiles_y, tiles_x;
    size_t in_words, out_words;                    /* in_c * in_h * in_w and out_c * out_h * out_w */
    size_t requests, answers;                      /* ciphertexts each way */
    size_t request_bytes, answer_bytes;            /* of all of them */
    sotto_bfv_answer_plan answer;
} sotto_linear_plan;

/* Chooses the tile that costs least among those whose answer plan holds: bytes at 500 Mbit/s plus the time of encryptions, products and answers, by fixed prices.
 * `coefficients`: output coefficients of all linear layers of an inference. SOTTO_ERR_ARG for an impossible shape, SOTTO_ERR_PARAMS with the reason when no tile
 * holds under p (t = 2^l). Everything is a function of public values, so both parties plan alike. */
SOTTO_MUST_CHECK int sotto_linear_plan_new(sotto_linear_plan *plan, const sotto_bfv_params *p, const sotto_linear_shape *shape,
                                           double coefficients);

/* What a plan costs by these prices, in nanoseconds. */
double sotto_linear_plan_cost(const sotto_linear_plan *plan, const sotto_bfv_params *p);
/* The same with a tile that is given. SOTTO_ERR_PARAMS also for one that is no part of the layer or does not fit the polynomial. */
SOTTO_MUST_CHECK int sotto_linear_plan_tile(sotto_linear_plan *plan, const sotto_bfv_params *p, const sotto_linear_shape *shape, double coefficients,
                                            sotto_linear_tile tile);

/* Who looks at all tiles. wants: whether a candidate, of which all but answer_bytes and answer is known, is worth planning its answer; take: it holds (answer_bytes is
 * still 0: sotto_linear_plan_tile). */
typedef struct sotto_linear_visitor {
    int (*wants)(void *ctx, const sotto_linear_plan *candidate, const sotto_bfv_params *p);
    void (*take)(void *ctx, const sotto_linear_plan *candidate, const sotto_bfv_params *p);
    void *ctx;
} sotto_linear_visitor;
/* Shows v the tiles that sotto_linear_plan_new chooses from. The errors of that when none holds. */
SOTTO_MUST_CHECK int sotto_linear_plan_each(const sotto_bfv_params *p, const sotto_linear_shape *shape, double coefficients, const sotto_linear_visitor *v);

/* The server's weights: out_c x (in_c / groups) x kernel_h x kernel_w, row-major. Transformed once per model where that takes at most 384 MB, else for every
 * answer, which then takes about twice as long. (1 x 1 kernels over tiles of one plane and one filter are constants and take next to nothing.) Secret. */
typedef struct sotto_linear_weights sotto_linear_weights;
/* Bytes that transformed weights take; 0 where they are made with every answer. */
size_t sotto_linear_kept_bytes(const sotto_linear_plan *plan, const sotto_bfv_params *p);
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
/* out = out + W x modulo 2^bits, reduced; as above, but fast: in words of 32 bits where bits <= 32. bits from 1 to 64. SOTTO_ERR_ARG, SOTTO_ERR_MEMORY (out may then be
 * partly changed). pool may be NULL. */
SOTTO_MUST_CHECK int sotto_linear_infer(uint64_t *out, const sotto_linear_shape *shape, unsigned bits, const int32_t *weights, const uint64_t *x, sotto_pool *pool);
/* Output height and width; SOTTO_ERR_ARG with the field for an impossible shape. */
SOTTO_MUST_CHECK int sotto_linear_out_size(const sotto_linear_shape *shape, uint32_t *out_h, uint32_t *out_w);

#endif
