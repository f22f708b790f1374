/* BFV parameters: ring degree n, ciphertext modulus Q as a product of NTT primes, plaintext modulus t.
 *
 * Scheme: Brakerski (2012), Fan and Vercauteren (eprint 2012/144), in RNS. Secrets are ternary, errors have standard
 * deviation 3.2.
 */
#ifndef SOTTO_BFV_PARAMS_H
#define SOTTO_BFV_PARAMS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "ring/rns.h"

typedef struct sotto_bfv_params sotto_bfv_params;

/* Largest log2 of the product of all primes that a key or ciphertext uses, for 128-bit classical security with ternary
 * secrets: n 1024: 27, 2048: 54, 4096: 109, 8192: 218, 16384: 438, 32768: 881 (Homomorphic Encryption Standard,
 * Albrecht et al., 2018/2019, table 1). 0 for any other n. */
unsigned sotto_bfv_max_log_q(uint32_t n);
/* Security in bits by the same table: the largest of 256, 192, 128 whose row admits log_q at n; 0 when none does. */
unsigned sotto_bfv_security_bits(uint32_t n, unsigned log_q);

/* Parameters from explicit primes. SOTTO_ERR_PARAMS with the reason when n is not in the table, a prime is not 1 mod
 * 2n or repeats, log2 Q exceeds the table, or t is outside [2, 2^60] or not below Q / 2^10. Immutable; shareable
 * between threads. */
SOTTO_MUST_CHECK int sotto_bfv_params_new(sotto_bfv_params **out, uint32_t n, const uint64_t *primes, size_t prime_count,
                                          uint64_t t);
/* The same with the largest primes of the given bit lengths (ring/prime.h), so that a list such as {46, 46} names a
 * set. */
SOTTO_MUST_CHECK int sotto_bfv_params_from_bits(sotto_bfv_params **out, uint32_t n, const unsigned *prime_bits,
                                                size_t prime_count, uint64_t t);
/* Parameters for products of ciphertexts and for rotations as well (bfv/multiply.h, bfv/galois.h). Ciphertexts live
 * modulo Q as above, the keys of these operations modulo Q P: log2(Q P) is what the table must admit. `special` = P is a
 * prime like the others, different from them; it should be as long as the longest of them, for the noise of a key switch
 * is about max q_i / P (bfv/noise.h). */
SOTTO_MUST_CHECK int sotto_bfv_params_new_special(sotto_bfv_params **out, uint32_t n, const uint64_t *primes,
                                                  size_t prime_count, uint64_t special, uint64_t t);
SOTTO_MUST_CHECK int sotto_bfv_params_from_bits_special(sotto_bfv_params **out, uint32_t n, const unsigned *prime_bits,
                                                        size_t prime_count, unsigned special_bits, uint64_t t);
/* The same ring (tables are shared, counted by reference) with another plaintext modulus. */
SOTTO_MUST_CHECK int sotto_bfv_params_with_t(sotto_bfv_params **out, const sotto_bfv_params *p, uint64_t t);
void sotto_bfv_params_free(sotto_bfv_params *p);

uint32_t sotto_bfv_n(const sotto_bfv_params *p);
uint64_t sotto_bfv_t(const sotto_bfv_params *p);
const sotto_rns *sotto_bfv_rns(const sotto_bfv_params *p);
/* The basis of the special prime alone, NULL when there is none. */
const sotto_rns *sotto_bfv_special(const sotto_bfv_params *p);
/* Identifiers, 64 bits of BLAKE2b: of n, the primes in their order and the special prime, on which keys depend; and of these
 * and t, on which ciphertexts depend. Keys and wire formats carry them, so that what belongs to other parameters is refused. */
uint64_t sotto_bfv_ring_id(const sotto_bfv_params *p);
uint64_t sotto_bfv_set_id(const sotto_bfv_params *p);
/* 1 when keys made under `a` serve under `b`: the same ring_id (t may differ). */
int sotto_bfv_same_ring(const sotto_bfv_params *a, const sotto_bfv_params *b);

#endif
