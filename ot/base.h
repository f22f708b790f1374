/* Base oblivious transfer: 128 random 1-of-2 OTs in each direction, the seeds of two extensions.
 *
 * From party 0 to party 1 by public-key operations over ristretto255: Chou and Orlandi, "The simplest protocol for
 * oblivious transfer" (eprint 2015/267), semi-honest, as random OT. The sender publishes A = a G, the receiver B_i =
 * b_i G + c_i A; the keys are H(a B_i) and H(a (B_i - A)), the receiver's H(b_i A). H gives two blocks, a seed and a
 * step key, and binds salt, index and both points, so that a key belongs to one place of one session.
 *
 * From party 1 to party 0 by one step of OT extension (IKNP) on the step keys k_0, k_1: with T the 128 x 128 bits
 * whose column j is AES_{k_0 j}(0), party 0 sends column j of T xor AES_{k_1 j}(0) xor its choices; its seed i is the
 * hash of row i of T (lib/hash.h, domain SOTTO_DOMAIN_BASE, number i), party 1 has row i or row i xor its own
 * choices, and hashes both. So a session costs 128 scalar multiplications a side and not 256.
 */
#ifndef SOTTO_OT_BASE_H
#define SOTTO_OT_BASE_H

#include "lib/aes.h"
#include "lib/chan.h"
#include "lib/rng.h"

#define SOTTO_BASE_OTS 128
#define SOTTO_POINT_BYTES 32

/* Seeds of one party after a run of both directions. Secret. */
typedef struct sotto_base_seeds {
    sotto_block sent[SOTTO_BASE_OTS][2];   /* as sender: both keys of each */
    uint8_t choices[SOTTO_BASE_OTS / 8];   /* as receiver: its bits, packed */
    sotto_block received[SOTTO_BASE_OTS];  /* as receiver: the key of each choice */
} sotto_base_seeds;

/* Three messages: A, the points B_i, the step's matrix; the last is flushed. choices are the caller's, set in *seeds.
 * salt is fresh for the session and known to both. SOTTO_ERR_FORMAT for a peer's bytes that are no point or the
 * neutral one, SOTTO_ERR_RNG, or the channel's error; *seeds is then wiped. */
SOTTO_MUST_CHECK int sotto_base_ot(sotto_base_seeds *seeds, sotto_chan *chan, const sotto_rng *rng, sotto_block salt,
                                   int party);

#endif
