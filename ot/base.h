/* Base oblivious transfer over ristretto255: 128 random 1-of-2 OTs, the seeds of an extension.
 *
 * Chou and Orlandi, "The simplest protocol for oblivious transfer" (eprint 2015/267), semi-honest, as random OT: the sender publishes A = a G, the receiver
 * B_i = b_i G + c_i A; the keys are H(a B_i) and H(a (B_i - A)), the receiver's H(b_i A). H binds salt, direction, index and both
 * points, so that a key belongs to one place of one session. Three messages run both directions at once.
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

/* Party 0 sends first, party 1 answers, party 0 ends; choices are the caller's, set in *seeds. salt is fresh for the session and known to both. SOTTO_ERR_FORMAT for a peer's
 * bytes that are no point or the neutral one, SOTTO_ERR_RNG, or the channel's error; *seeds is then wiped. */
SOTTO_MUST_CHECK int sotto_base_ot(sotto_base_seeds *seeds, sotto_chan *chan, const sotto_rng *rng, sotto_block salt, int party);

#endif
