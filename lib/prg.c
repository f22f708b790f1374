#include "lib/prg.h"

#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"

void sotto_prg_init(sotto_prg *prg, sotto_block seed)
{
    *prg = (sotto_prg){.counter = 0, .left = 0};
    sotto_aes_expand(&prg->key, seed);
}

/* Block i of the stream is AES_seed(i), i as a little-endian 128-bit number. */
static void next_blocks(sotto_prg *prg, void *out, size_t count)
{
    sotto_aes_counter(&prg->key, out, prg->counter, count);
    prg->counter += count;
}

/* Up to `len` unused bytes of the tail; returns how many. */
static size_t drain_tail(sotto_prg *prg, uint8_t *out, size_t len)
{
    const size_t n = len < prg->left ? len : prg->left;

    memcpy(out, (const uint8_t *)&prg->tail + sizeof prg->tail - prg->left, n);
    prg->left -= (unsigned)n;
    return n;
}

void sotto_prg_fill(sotto_prg *prg, void *out, size_t len)
{
    uint8_t *p = out;

    if (!len)
        return;
    const size_t head = drain_tail(prg, p, len);
    p += head;
    len -= head;
    const size_t blocks = len / sizeof prg->tail;
    next_blocks(prg, p, blocks);
    p += blocks * sizeof prg->tail;
    len %= sizeof prg->tail;
    if (len) {
        next_blocks(prg, &prg->tail, 1);
        prg->left = sizeof prg->tail;
        (void)drain_tail(prg, p, len);
    }
}

static int rng_fill(void *ctx, void *out, size_t len)
{
    sotto_prg_fill(ctx, out, len);
    return SOTTO_OK;
}

sotto_rng sotto_prg_rng(sotto_prg *prg)
{
    return (sotto_rng){rng_fill, prg};
}

void sotto_prg_wipe(sotto_prg *prg)
{
    sotto_wipe(prg, sizeof *prg);
}

int sotto_prg_expand(const sotto_rng *rng, void *out, size_t len)
{
    sotto_block seed;
    sotto_prg prg;

    if (len == 0)
        return SOTTO_OK;
    const int status = sotto_rng_fill(rng, &seed, sizeof seed);
    if (status != SOTTO_OK) {
        sotto_wipe(out, len);
        return status;
    }
    SOTTO_SECRET(&seed, sizeof seed);
    sotto_prg_init(&prg, seed);
    sotto_prg_fill(&prg, out, len);
    sotto_prg_wipe(&prg);
    sotto_wipe(&seed, sizeof seed);
    return SOTTO_OK;
}
