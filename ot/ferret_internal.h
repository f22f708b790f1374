/* Inside the ot module: silent OT, Ferret (Yang, Weng, Lan, Zhang, Wang, CCS 2020, eprint 2020/924), semi-honest, one
 * direction, random choices.
 *
 * A round starts from k correlated OTs with random choices, (u, w) at the receiver and v at the sender with w = v xor
 * u D. A public k x n matrix A over GF(2) and a sparse vector e of the receiver make n new ones: choices x = u A xor
 * e, blocks z = w A xor (the receiver's part of e D), y = v A xor (the sender's). By the learning parity with noise
 * assumption (LPN) x looks random to the sender. The noise is regular: e has a single one in each of t pieces of 2^h
 * places, and a tree gives the two parties shares of e D for a piece: the sender all leaves, the receiver all but the
 * one at its place, and there the leaf xor D.
 *
 * Trees: the correlated GGM trees of Guo, Yang, Wang, Zhang, Xie, Liu, Zhao, "Half-Tree" (EUROCRYPT 2023, eprint
 * 2022/1431): children H(x) and x xor H(x), so that the leaves of a tree sum to the two nodes of its first level, s
 * and s xor D, that is to D. The receiver finds its leaf xor D as the sum of the others; one block a level travels,
 * sealed by a correlated OT of the round before, and one hash a leaf is all the work. H is re-keyed for each tree
 * (SOTTO_DOMAIN_TREE).
 *
 * A tree is two halves: the receiver asks for it with two bytes, the bits of its place masked by choices of the round's
 * start; the sender makes its blocks and answers with the sealed sums; the receiver then has its own. Many trees may be
 * asked for before an answer comes, so that OTs fit into flights of messages made for other things. What cannot be asked
 * for at once is what a round starts from, for that comes out of another round. Hence the stock: of the starts that are
 * there some are given up, the trees of each making nine new ones, level by level, until there are as many as are wanted and
 * one more, for the next stock. A level is one exchange; N rounds take log_9 (N + 1). Each start, and each of its trees,
 * serves once. The first start is of SoftSpoken OTs. The lowest bit of the blocks carries the choice: 0 in y, x in z; D
 * has 1 there.
 *
 * Parameters: t = 640 pieces of 2^11, n = t 2^11 = 1,310,720, k = 2^17, each column of A ten entries (a local linear code, as in Ferret). Columns of even
 * weight leave the all-ones vector in the kernel of A: one bit of k is lost. Chosen by estimates of ours against the attacks known to us, each in operations on
 * bits with memory for free; sparse systems are solved as Wiedemann does, 3 row weight (unknowns)^2:
 *   Guessing k places without noise and solving (Prange): they are free of noise with probability (1 - k/n)^t = 2^-97.3; times 3 * 11 * k^2 = 2^39.0: 2^136.
 *   Algebraic (Briaud and Oygarden, EUROCRYPT 2023, eprint 2023/176), degree 2: guess m places without noise in each piece, probability (1 - m/2^11)^t; the
 *   products of any two places of a piece are zero: t (2^11 - m)^2 / 2 quadratic equations of at most 11^2 terms each, as the code is local, enough when they
 *   reach the (k - m t)^2 / 2 monomials. m = 129: 2^60.1 guesses, 2^30.1 monomials, 2^68.7 each: 2^129.
 * Less noise is more here: with more pieces n grows, and a guess of places is cheaper. EMP-OT's set b11 of 2026, (n, k, t) = (2396160, 2^17, 1170), which counts a
 * dense code, comes out at 2^116 by these formulas, and b11 of the paper's program, (10180608, 124000, 4971), at 2^74.
 */
#ifndef SOTTO_OT_FERRET_INTERNAL_H
#define SOTTO_OT_FERRET_INTERNAL_H

#include "lib/chan.h"
#include "lib/hash.h"
#include "ot/softspoken_internal.h"

#define SOTTO_FERRET_DEPTH 11u                                /* h */
#define SOTTO_FERRET_LEAVES ((size_t)1 << SOTTO_FERRET_DEPTH) /* OTs of a tree */
#define SOTTO_FERRET_TREES 640u                               /* t */
#define SOTTO_FERRET_CODE ((size_t)1 << 17)                   /* k */
/* OTs that a round starts from, the trees that make them, and the starts that a round can make. */
#define SOTTO_FERRET_START (SOTTO_FERRET_CODE + SOTTO_FERRET_TREES * SOTTO_FERRET_DEPTH)
#define SOTTO_FERRET_START_TREES ((SOTTO_FERRET_START + SOTTO_FERRET_LEAVES - 1) / SOTTO_FERRET_LEAVES)
#define SOTTO_FERRET_FAN (SOTTO_FERRET_TREES / SOTTO_FERRET_START_TREES)

#define SOTTO_FERRET_FLIP_BYTES 2u                                        /* of a tree, receiver to sender */
#define SOTTO_FERRET_SUM_BYTES (SOTTO_FERRET_DEPTH * sizeof(sotto_block)) /* of a tree, sender to receiver */

typedef struct sotto_ferret sotto_ferret; /* secret; one party's half of one direction */

/* The session's salt and this direction are in hash; seed is secret and this party's own. The first start: a message from the receiver to the sender. It does not flush.
 * SOTTO_ERR_MEMORY and the channel's errors; *out is NULL then. */
SOTTO_MUST_CHECK int sotto_ferret_new_sender(sotto_ferret **out, sotto_softspoken *source, sotto_chan *chan, sotto_hash hash, sotto_block offset, sotto_block seed);
SOTTO_MUST_CHECK int sotto_ferret_new_receiver(sotto_ferret **out, sotto_softspoken *source, sotto_chan *chan, sotto_hash hash, sotto_block seed);
/* Wipes; NULL is fine. */
void sotto_ferret_free(sotto_ferret *f);

/* ---- stock ---- */

/* A level of a stock: starts given up, starts made of them; 0 and 0 after the last. */
typedef struct sotto_ferret_level {
    size_t spent, made;
} sotto_ferret_level;
sotto_ferret_level sotto_ferret_level_of(size_t rounds, unsigned level);

/* Drops what is left of the last stock; levels follow: ask, give, take. With 0 rounds nothing is done. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_ferret_stock(sotto_ferret *f, size_t rounds);
/* Starts of the next level (0: the stock is complete), and of one that was asked for and not yet taken. */
size_t sotto_ferret_due(const sotto_ferret *f);
size_t sotto_ferret_pending(const sotto_ferret *f);
/* Receiver: flips of a level, START_TREES trees a start. */
void sotto_ferret_stock_ask(sotto_ferret *f, uint8_t *flips);
/* Sender; receiver. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_ferret_stock_give(sotto_ferret *f, const uint8_t *flips, uint8_t *sums);
SOTTO_MUST_CHECK int sotto_ferret_stock_take(sotto_ferret *f, const uint8_t *sums);

/* ---- trees of the stock, in order ---- */

/* Trees that may still be asked for, or given. */
size_t sotto_ferret_left(const sotto_ferret *f);
/* Receiver: one tree, its flips; choices not NULL: gets those of its OTs, packed, which are known already. */
void sotto_ferret_ask(sotto_ferret *f, uint8_t flips[SOTTO_FERRET_FLIP_BYTES], uint8_t *choices);
/* Trees asked for and not yet taken. */
size_t sotto_ferret_asked(const sotto_ferret *f);
/* The first `count` OTs, up to LEAVES, of the next tree. y has 0 in the lowest bits, z the choices. */
void sotto_ferret_give(sotto_ferret *f, const uint8_t flips[SOTTO_FERRET_FLIP_BYTES], uint8_t *sums, size_t count, sotto_block *y);
void sotto_ferret_take(sotto_ferret *f, const uint8_t *sums, size_t count, sotto_block *z);

#endif
