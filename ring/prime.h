/* Primes q = 1 mod 2n, for which the negacyclic transform of length n exists. GMP does the primality test. */
#ifndef SOTTO_RING_PRIME_H
#define SOTTO_RING_PRIME_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

/* 1 if x is prime, else 0: GMP's Baillie-PSW test, to which no 64-bit number is a counterexample. Variable time; x is
 * public. */
int sotto_is_prime_var(uint64_t x);

/* The `count` largest primes below 2^bits with q = 1 mod 2n, in descending order, skipping those in `avoid` (avoid_count
 * entries, may be NULL). n a power of two, 2 <= bits <= 61. SOTTO_ERR_PARAMS if there are not so many with exactly `bits`
 * bits. */
SOTTO_MUST_CHECK int sotto_prime_generate(uint64_t *out, size_t count, unsigned bits, uint32_t n, const uint64_t *avoid,
                                          size_t avoid_count);

/* The smallest primitive 2n-th root of unity modulo the prime q = 1 mod 2n, so that tables are reproducible.
 * SOTTO_ERR_PARAMS if q does not fit n. */
SOTTO_MUST_CHECK int sotto_primitive_root_var(uint64_t *root, uint64_t q, uint32_t n);

#endif
