#include "ot/product.h"

#include "lib/ct.h"

/* Plain loops, which the compiler makes vectors of: bits come out of memory, so that it does not know them to be 0 or 1 and has nothing to branch on. */

void sotto_product_send(unsigned width, unsigned half, uint64_t *share, uint64_t *correction, const uint64_t *d,
                        const sotto_block *k0, const sotto_block *k1, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        correction[i] = sotto_low_bits(k1[i].w[half] - k0[i].w[half] - d[i], width);
        share[i] = sotto_low_bits(0 - k0[i].w[half], width);
    }
}

void sotto_product_send_random(unsigned width, unsigned half, uint64_t *share, uint64_t *delta, const sotto_block *k0,
                               const sotto_block *k1, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        delta[i] = sotto_low_bits(k1[i].w[half] - k0[i].w[half], width);
        share[i] = sotto_low_bits(0 - k0[i].w[half], width);
    }
}

void sotto_product_recv(unsigned width, unsigned half, uint64_t *share, const uint64_t *correction, const uint64_t *bits,
                        const sotto_block *k, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint64_t taken = correction == NULL ? 0 : (0 - bits[i]) & correction[i];
        share[i] = sotto_low_bits(k[i].w[half] - taken, width);
    }
}

void sotto_product_correct(unsigned width, uint64_t *share, const uint64_t *correction, const uint64_t *bits, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        share[i] = sotto_low_bits(share[i] - ((0 - bits[i]) & correction[i]), width);
    }
}

void sotto_product_flip(unsigned width, uint64_t *share, const uint64_t *flip, const uint64_t *d, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint64_t mask = 0 - flip[i];
        const uint64_t own = d == NULL ? 0 : mask & d[i];
        share[i] = sotto_low_bits((share[i] ^ mask) - mask + own, width);
    }
}
