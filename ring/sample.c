#include "ring/sample.h"

#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"
#include "lib/prg.h"
#include "ring/sample_internal.h"

#define CHUNK 512u /* words drawn at a time, 4 kB of stream */

/* Candidates are the little-endian 64-bit words of the stream, cut to bits(q_i); the first limb takes as many as it needs,
 * the next goes on from there. The buffer takes every candidate, and the fill level says whether it stays: no branch to
 * mispredict, where a prime far below a power of two would reject every second one. */
void sotto_sample_uniform_seeded(const sotto_rns *b, uint64_t *out, sotto_block seed)
{
    size_t n = sotto_rns_n(b);
    uint64_t words[CHUNK];
    sotto_prg prg;
    sotto_prg_init(&prg, seed);
    for (size_t i = 0; i < sotto_rns_count(b); i++) {
        const sotto_modulus m = *sotto_rns_modulus(b, i);
        uint64_t *limb = out + i * n;
        for (size_t filled = 0; filled < n;) {
            size_t draw = n - filled < CHUNK ? n - filled : CHUNK; /* never more candidates than places */
            sotto_prg_fill(&prg, words, draw * sizeof words[0]);
            for (size_t j = 0; j < draw; j++) {
                uint64_t candidate = sotto_low_bits(words[j], m.bits);
                limb[filled] = candidate;
                filled += candidate < m.q;
            }
        }
    }
    sotto_wipe(words, sizeof words);
    sotto_prg_wipe(&prg);
}

/* floor(3 word / 2^64) - 1: 2^64 = 3 * 6148914691236517205 + 1 words fall into three cells, one cell has one more; the
 * statistical distance from uniform is below 2^-64. */
void sotto_ternary_from_words(int64_t *out, const uint64_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (int64_t)sotto_mulhi64(words[i], 3) - 1;
}

/* cumulative[j] = round(2^63 (1 + 2 sum_{1<=i<=j} rho(i)) / (1 + 2 sum_{1<=i<=19} rho(i))) = 2^63 P(|X| <= j), with
 * rho(i) = exp(-i^2 / (2 * 3.2^2)); P(|X| <= 19) = 1 needs no entry. */
static const uint64_t cumulative[SOTTO_ERROR_BOUND] = {
    0x0ff52b40a5917f1d, 0x2e5a25d4bf0e400e, 0x489ae26955b04bd6, 0x5d2bc20f621bf185, 0x6bc8694c3cc80ff5,
    0x7532d89ac6ba7dcf, 0x7ab396cb74436799, 0x7d9e4e916643eb08, 0x7f05495819eb2051, 0x7fa1ce9c0039a957,
    0x7fdfb3f212e8c4e9, 0x7ff5e6f9d2314fcc, 0x7ffd1f97bc4406a3, 0x7fff40fa0088d11e, 0x7fffd2e835e1c57e,
    0x7ffff6524386ff1e, 0x7ffffe1db4769da5, 0x7fffffac0a1dcb09, 0x7ffffff428673853,
};

/* 63 bits choose |X|, the number of entries not above them, and the last bit its sign, of no effect on 0. */
void sotto_error_from_words(int64_t *out, const uint64_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t u = words[i] >> 1, magnitude = 0;
        for (size_t j = 0; j < SOTTO_ERROR_BOUND; j++)
            magnitude += (cumulative[j] - 1 - u) >> 63; /* both below 2^63: the top bit is the borrow, u >= cumulative[j] */
        uint64_t negative = sotto_ct_mask(words[i] & 1);
        out[i] = (int64_t)((magnitude ^ negative) - negative);
    }
}

/* n coefficients, each a function of one word of the stream of a fresh seed. */
static int sample_words(int64_t *out, uint32_t n, const sotto_rng *rng,
                        void (*convert)(int64_t *out, const uint64_t *words, size_t count))
{
    sotto_block seed;
    int status = sotto_rng_fill(rng, &seed, sizeof seed);
    if (status != SOTTO_OK) {
        memset(out, 0, n * sizeof *out);
        return status;
    }
    SOTTO_SECRET(&seed, sizeof seed);
    uint64_t words[CHUNK];
    sotto_prg prg;
    sotto_prg_init(&prg, seed);
    for (uint32_t done = 0; done < n; done += CHUNK) {
        uint32_t draw = n - done < CHUNK ? n - done : CHUNK;
        sotto_prg_fill(&prg, words, draw * sizeof words[0]);
        convert(out + done, words, draw);
    }
    sotto_wipe(words, sizeof words);
    sotto_wipe(&seed, sizeof seed);
    sotto_prg_wipe(&prg);
    return SOTTO_OK;
}

int sotto_sample_ternary(int64_t *out, uint32_t n, const sotto_rng *rng)
{
    return sample_words(out, n, rng, sotto_ternary_from_words);
}

int sotto_sample_error(int64_t *out, uint32_t n, const sotto_rng *rng)
{
    return sample_words(out, n, rng, sotto_error_from_words);
}
