/* The portable tier of the samplers. */
#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"
#include "ring/modulus.h"
#include "ring/sample_internal.h"

/* cumulative[j] = round(2^63 (1 + 2 sum_{1<=i<=j} rho(i)) / (1 + 2 sum_{1<=i<=19} rho(i))) = 2^63 P(|X| <= j), with
 * rho(i) = exp(-i^2 / (2 * 3.2^2)); P(|X| <= 19) = 1 needs no entry. */
const uint64_t sotto_error_cumulative[SOTTO_ERROR_BOUND] = {
    0x0ff52b40a5917f1d, 0x2e5a25d4bf0e400e, 0x489ae26955b04bd6, 0x5d2bc20f621bf185, 0x6bc8694c3cc80ff5,
    0x7532d89ac6ba7dcf, 0x7ab396cb74436799, 0x7d9e4e916643eb08, 0x7f05495819eb2051, 0x7fa1ce9c0039a957,
    0x7fdfb3f212e8c4e9, 0x7ff5e6f9d2314fcc, 0x7ffd1f97bc4406a3, 0x7fff40fa0088d11e, 0x7fffd2e835e1c57e,
    0x7ffff6524386ff1e, 0x7ffffe1db4769da5, 0x7fffffac0a1dcb09, 0x7ffffff428673853,
};

/* Every candidate is written and the fill level says whether it stays: no branch to mispredict, where a prime far below a
 * power of two would reject every second one. filled <= i, so that nothing is overwritten before it is read. */
static size_t accept_var(uint64_t *x, size_t count, unsigned bits, uint64_t q)
{
    const uint64_t mask = sotto_low_bits(UINT64_MAX, bits);
    size_t filled = 0;
    for (size_t i = 0; i < count; i++) {
        const uint64_t candidate = x[i] & mask;
        x[filled] = candidate;
        filled += (candidate - q) >> 63; /* both below 2^63: the top bit is the borrow */
    }
    return filled;
}

/* floor(3 word / 2^64) - 1: 2^64 = 3 * 6148914691236517205 + 1 words fall into three cells, one cell has one more; the
 * statistical distance from uniform is below 2^-64. */
static void ternary(int64_t *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = (int64_t)sotto_mulhi64((uint64_t)x[i], 3) - 1;
}

enum { GROUP = 8, PAIRS = GROUP / 2 };

/* 63 bits u choose |X|, the number of entries not above them, and the last bit its sign, of no effect on 0. With c and u
 * below 2^63 the top bit of c - 1 - u = c + ~u is the borrow, u >= c. Pairs of words, because 128-bit registers are common;
 * several, because each entry has to be brought into both halves of a register. */
static inline void error_group(int64_t x[GROUP])
{
    typedef uint64_t pair __attribute__((vector_size(16)));
    pair not_u[PAIRS], magnitude[PAIRS] = {{0}};
    memcpy(not_u, x, sizeof not_u);
    for (size_t p = 0; p < PAIRS; p++)
        not_u[p] = ~(not_u[p] >> 1);
    for (size_t j = 0; j < SOTTO_ERROR_BOUND; j++)
        for (size_t p = 0; p < PAIRS; p++)
            magnitude[p] += (sotto_error_cumulative[j] + not_u[p]) >> 63;
    for (size_t l = 0; l < GROUP; l++) {
        const uint64_t negative = sotto_ct_mask((uint64_t)x[l] & 1);
        x[l] = (int64_t)((magnitude[l / 2][l % 2] ^ negative) - negative);
    }
}

static void error(int64_t *x, size_t count)
{
    size_t i = 0;
    for (; count - i >= GROUP; i += GROUP)
        error_group(x + i);
    if (i < count) {
        int64_t rest[GROUP] = {0};
        memcpy(rest, x + i, (count - i) * sizeof *x);
        error_group(rest);
        memcpy(x + i, rest, (count - i) * sizeof *x);
        sotto_wipe(rest, sizeof rest);
    }
}

const sotto_sample_kernels sotto_sample_kernels_ref = {"portable", SOTTO_TIER_PORTABLE, accept_var, ternary, error};
