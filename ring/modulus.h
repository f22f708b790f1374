/* Arithmetic modulo one odd prime q < 2^61, in constant time.
 *
 * Values are canonical, in [0, q), unless a name ends in _lazy. Products of two unknowns use Barrett reduction of the
 * 128-bit product; products by a constant use Shoup's precomputed quotient.
 */
#ifndef SOTTO_RING_MODULUS_H
#define SOTTO_RING_MODULUS_H

#include <stdint.h>

#include "lib/ct.h"
#include "lib/err.h"

#define SOTTO_MODULUS_BITS_MAX 61

typedef struct sotto_modulus {
    uint64_t q;
    uint64_t ratio[2]; /* floor(2^128 / q), low word first */
    unsigned bits;     /* bit length of q */
} sotto_modulus;

/* A constant w in [0, q) with floor(w 2^64 / q), so that x*w mod q costs two multiplications. */
typedef struct sotto_shoup {
    uint64_t w, quotient;
} sotto_shoup;

/* q odd, 3 <= q < 2^61, else SOTTO_ERR_PARAMS. Primality is not tested here (ring/prime.h). */
SOTTO_MUST_CHECK int sotto_modulus_init(sotto_modulus *m, uint64_t q);

/* x - q if x >= q, else x, for x < 2q and q <= 2^63: x mod q. The top bit of x - q (mod 2^64) tells: it is clear for
 * x - q in [0, q), and set for 2^64 - (q - x), as q - x <= 2^63. */
static inline uint64_t sotto_mod_once(uint64_t x, uint64_t q)
{
    uint64_t d = x - q;
    return d + (q & sotto_ct_mask(d >> 63));
}

/* a + b, a - b, -a modulo q; operands canonical. */
static inline uint64_t sotto_mod_add(uint64_t a, uint64_t b, uint64_t q)
{
    return sotto_mod_once(a + b, q); /* a + b < 2q < 2^62 */
}

static inline uint64_t sotto_mod_sub(uint64_t a, uint64_t b, uint64_t q)
{
    return sotto_mod_once(a + q - b, q);
}

static inline uint64_t sotto_mod_neg(uint64_t a, uint64_t q)
{
    return sotto_mod_once(q - a, q);
}

/* floor(a b / 2^64). */
static inline uint64_t sotto_mulhi64(uint64_t a, uint64_t b)
{
    return (uint64_t)(((sotto_u128)a * b) >> 64);
}

/* floor(x y / 2^128) for x of two words and y given by its words, low first. */
static inline sotto_u128 sotto_mulhi128(sotto_u128 x, const uint64_t y[2])
{
    uint64_t x0 = (uint64_t)x, x1 = (uint64_t)(x >> 64);
    sotto_u128 p01 = (sotto_u128)x0 * y[1];
    /* Each cross product is at most (2^64 - 1)^2, which leaves room for two more words. */
    sotto_u128 middle = (sotto_u128)x1 * y[0] + sotto_mulhi64(x0, y[0]) + (uint64_t)p01;
    return (sotto_u128)x1 * y[1] + (uint64_t)(p01 >> 64) + (uint64_t)(middle >> 64);
}

/* x mod q for any 64-bit x. Barrett: with r = ratio[1] = floor(2^64 / q), x r / 2^64 > x/q - 1, so the quotient is
 * floor(x/q) or one less and the remainder is below 2q. */
static inline uint64_t sotto_mod_reduce(uint64_t x, const sotto_modulus *m)
{
    return sotto_mod_once(x - sotto_mulhi64(x, m->ratio[1]) * m->q, m->q);
}

/* x mod q for any 128-bit x; the same argument with r = floor(2^128 / q). */
static inline uint64_t sotto_mod_reduce128(sotto_u128 x, const sotto_modulus *m)
{
    uint64_t quotient = (uint64_t)sotto_mulhi128(x, m->ratio); /* its low word is enough: the remainder has one word */
    return sotto_mod_once((uint64_t)x - quotient * m->q, m->q);
}

/* a b mod q for any 64-bit words a, b. */
static inline uint64_t sotto_mod_mul(uint64_t a, uint64_t b, const sotto_modulus *m)
{
    return sotto_mod_reduce128((sotto_u128)a * b, m);
}

/* x mod q in [0, q) for a signed x, |x| < 2^63. */
static inline uint64_t sotto_mod_from_signed(int64_t x, const sotto_modulus *m)
{
    uint64_t negative = sotto_ct_mask((uint64_t)x >> 63);
    uint64_t magnitude = ((uint64_t)x ^ negative) - negative;
    uint64_t r = sotto_mod_reduce(magnitude, m);
    return sotto_ct_select(negative, sotto_mod_neg(r, m->q), r);
}

/* Representative of a canonical x in (-q/2, q/2). */
static inline int64_t sotto_mod_centre(uint64_t x, uint64_t q)
{
    return (int64_t)(x - (q & sotto_ct_lt(q >> 1, x)));
}

/* w mod q with its quotient; w any word. */
sotto_shoup sotto_shoup_new(uint64_t w, const sotto_modulus *m);
/* x * w mod q in [0, 2q), for any 64-bit x: the estimated quotient is exact or one too small
 * (Harvey, "Faster arithmetic for number-theoretic transforms", 2014, algorithm 2). */
static inline uint64_t sotto_shoup_mul_lazy(uint64_t x, sotto_shoup s, uint64_t q)
{
    return x * s.w - sotto_mulhi64(x, s.quotient) * q;
}

static inline uint64_t sotto_shoup_mul(uint64_t x, sotto_shoup s, uint64_t q)
{
    return sotto_mod_once(sotto_shoup_mul_lazy(x, s, q), q);
}

/* a^e mod q; variable time in e. */
uint64_t sotto_mod_pow_var(uint64_t a, uint64_t e, const sotto_modulus *m);
/* a^-1 mod q for prime q and a != 0 mod q, as a^(q-2) (Fermat); time depends on q alone. */
uint64_t sotto_mod_inv(uint64_t a, const sotto_modulus *m);

#endif
