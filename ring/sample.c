#include "ring/sample.h"

#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"
#include "lib/prg.h"
#include "ring/sample_internal.h"

#define CHUNK 1024u /* words drawn at a time, 8 kB of stream: they are still in the L1 cache when they are converted */

/* The fastest tier that this CPU has. */
static const sotto_sample_kernels *kernels(void)
{
    static const sotto_sample_kernels *const tiers[] = {
#if defined(__x86_64__)
        &sotto_sample_kernels_avx512,
        &sotto_sample_kernels_avx2,
#endif
        &sotto_sample_kernels_ref,
    };
    const sotto_tier tier = sotto_cpu_tier();
    size_t i = 0;
    while (tiers[i]->tier > tier)
        i++; /* the last one runs everywhere */
    return tiers[i];
}

/* Candidates are the little-endian 64-bit words of the stream, cut to bits(q_i); the first limb takes as many as it needs,
 * the next goes on from there. Never more candidates are drawn than there are places, so they are drawn into the places
 * and the accepted ones move together. */
void sotto_sample_uniform_seeded(const sotto_rns *b, uint64_t *out, sotto_block seed)
{
    const sotto_sample_kernels *k = kernels();
    size_t n = sotto_rns_n(b);
    sotto_prg prg;
    sotto_prg_init(&prg, seed);
    for (size_t i = 0; i < sotto_rns_count(b); i++) {
        const sotto_modulus *m = sotto_rns_modulus(b, i);
        uint64_t *limb = out + i * n;
        for (size_t filled = 0; filled < n;) {
            size_t draw = n - filled < CHUNK ? n - filled : CHUNK;
            sotto_prg_fill(&prg, limb + filled, draw * sizeof *limb);
            filled += k->accept_var(limb + filled, draw, m->bits, m->q);
        }
    }
    sotto_prg_wipe(&prg);
}

/* n coefficients, each a function of one word of the stream of a fresh seed. */
static int sample_words(int64_t *out, uint32_t n, const sotto_rng *rng, void (*convert)(int64_t *x, size_t count))
{
    sotto_block seed;
    int status = sotto_rng_fill(rng, &seed, sizeof seed);
    if (status != SOTTO_OK) {
        memset(out, 0, n * sizeof *out);
        return status;
    }
    SOTTO_SECRET(&seed, sizeof seed);
    sotto_prg prg;
    sotto_prg_init(&prg, seed);
    for (size_t done = 0; done < n; done += CHUNK) {
        size_t draw = n - done < CHUNK ? n - done : CHUNK;
        sotto_prg_fill(&prg, out + done, draw * sizeof *out);
        convert(out + done, draw);
    }
    sotto_wipe(&seed, sizeof seed);
    sotto_prg_wipe(&prg);
    return SOTTO_OK;
}

int sotto_sample_ternary(int64_t *out, uint32_t n, const sotto_rng *rng)
{
    return sample_words(out, n, rng, kernels()->ternary);
}

int sotto_sample_error(int64_t *out, uint32_t n, const sotto_rng *rng)
{
    return sample_words(out, n, rng, kernels()->error);
}
