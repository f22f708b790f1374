/* Pseudo-random generator: AES-128 in counter mode. Output byte i depends on the seed and i alone, however the
 * calls are cut: byte i is byte i mod 16 of AES_seed(i div 16), the counter a little-endian 128-bit number from zero.
 * A seed is used by one generator only; at most 2^36 bytes are drawn from it. */
#ifndef SOTTO_LIB_PRG_H
#define SOTTO_LIB_PRG_H

#include "lib/aes.h"
#include "lib/rng.h"

typedef struct sotto_prg {
    sotto_aes_key key;
    uint64_t counter;      /* next block */
    sotto_block tail;      /* the last block, of which `left` bytes are unused */
    unsigned left;
} sotto_prg;

void sotto_prg_init(sotto_prg *prg, sotto_block seed);
/* Next `len` bytes of the stream. */
void sotto_prg_fill(sotto_prg *prg, void *out, size_t len);
/* The generator as an rng that never fails; valid while *prg is; for one thread at a time. */
sotto_rng sotto_prg_rng(sotto_prg *prg);
/* Wipes key and tail. */
void sotto_prg_wipe(sotto_prg *prg);
/* `len` secret bytes, up to 2^36, from a seed that rng gives for this call alone: for masks by the megabyte, of which the system's source makes few. No generator lives
 * on: what was drawn cannot be found again from what is in memory later, and a process that forks shares none. SOTTO_ERR_RNG, the bytes then zero. */
SOTTO_MUST_CHECK int sotto_prg_expand(const sotto_rng *rng, void *out, size_t len);

#endif
