/* What the ring tests share: 64-bit integers as GMP's, primes by size, random values with the extremes among them. */
#ifndef SOTTO_TESTS_RING_HELPERS_H
#define SOTTO_TESTS_RING_HELPERS_H

#include <gmp.h>

#include "lib/mem.h"
#include "ring/kernels.h"
#include "ring/prime.h"
#include "tests/support/support.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline void int_set(mpz_t z, uint64_t x)
{
    mpz_import(z, 1, 1, sizeof x, 0, 0, &x);
}

/* The low word of z >= 0. */
static inline uint64_t int_low(const mpz_t z)
{
    mpz_t low;
    uint64_t x = 0;
    mpz_init(low);
    mpz_fdiv_r_2exp(low, z, 64);
    mpz_export(&x, NULL, 1, sizeof x, 0, 0, low);
    mpz_clear(low);
    return x;
}

/* z uniform below bound > 0 (up to 2^-64). */
static inline void int_random(mpz_t z, const mpz_t bound, const sotto_rng *rng)
{
    size_t words = mpz_sizeinbase(bound, 2) / 64 + 2;
    mpz_t word;
    mpz_init(word);
    mpz_set_ui(z, 0);
    for (size_t i = 0; i < words; i++) {
        int_set(word, test_u64(rng));
        mpz_mul_2exp(z, z, 64);
        mpz_add(z, z, word);
    }
    mpz_mod(z, z, bound);
    mpz_clear(word);
}

/* The largest prime of `bits` bits that is 1 modulo 2n. */
static inline uint64_t prime_of(unsigned bits, uint32_t n)
{
    uint64_t q = 0;
    assert_ok(sotto_prime_generate(&q, 1, bits, n, NULL, 0));
    return q;
}

/* The smallest prime above 2^bits that is 1 modulo 2n; bits <= 60. */
static inline uint64_t prime_over(unsigned bits, uint32_t n)
{
    uint64_t q = ((uint64_t)1 << bits) + 1;
    while (q % (2 * (uint64_t)n) != 1 || !sotto_is_prime_var(q))
        q += q % (2 * (uint64_t)n) == 1 ? 2 * (uint64_t)n : 2;
    return q;
}

/* 1 if the kernels run on this CPU and serve (n, q). */
static inline int kernels_serve(const sotto_ntt_kernels *k, uint32_t n, uint64_t q)
{
    return k->tier <= sotto_cpu_tier() && n >= k->n_min && q >> k->bits_max == 0;
}

/* A transform that runs on the given kernels, whatever sotto_ntt_new would choose; sotto_ntt_free frees it. */
static inline sotto_ntt *transform_on(const sotto_ntt_kernels *k, uint32_t n, uint64_t q)
{
    sotto_ntt *t = NULL;
    assert_ok(sotto_ntt_new(&t, n, q));
    sotto_free(t->vector);
    t->vector = NULL;
    t->kernels = k;
    if (k->prepare != NULL)
        assert_ok(k->prepare(t));
    return t;
}

/* A value below bound, every fourth one within 2 of an end. */
static inline uint64_t edgy_below(const sotto_rng *rng, uint64_t bound)
{
    uint64_t x = test_below(rng, bound), edge = x % 3 < bound ? x % 3 : 0;
    switch (test_below(rng, 8)) {
    case 0:
        return edge;
    case 1:
        return bound - 1 - edge;
    default:
        return x;
    }
}

#endif
