#include "ring/modulus.h"

int sotto_modulus_init(sotto_modulus *m, uint64_t q)
{
    if (q < 3 || q >> SOTTO_MODULUS_BITS_MAX != 0 || (q & 1) == 0)
        return sotto_fail(SOTTO_ERR_PARAMS, "modulus %llu: expected an odd number from 3 to 2^%d - 1",
                          (unsigned long long)q, SOTTO_MODULUS_BITS_MAX);
    /* q is odd, so floor((2^128 - 1) / q) = floor(2^128 / q). */
    sotto_u128 ratio = ~(sotto_u128)0 / q;
    m->q = q;
    m->ratio[0] = (uint64_t)ratio;
    m->ratio[1] = (uint64_t)(ratio >> 64);
    m->bits = 64 - (unsigned)__builtin_clzll(q);
    return SOTTO_OK;
}

/* The quotient of w 2^64 = quotient * q + remainder: Barrett's estimate of it is exact or one too small, and the
 * remainder tells which. */
sotto_shoup sotto_shoup_new(uint64_t w, const sotto_modulus *m)
{
    sotto_shoup s;
    s.w = sotto_mod_reduce(w, m);
    s.quotient = (uint64_t)sotto_mulhi128((sotto_u128)s.w << 64, m->ratio);
    uint64_t remainder = 0 - s.quotient * m->q; /* in [0, 2q) */
    s.quotient += 1 & ~sotto_ct_lt(remainder, m->q);
    return s;
}

uint64_t sotto_mod_pow_var(uint64_t a, uint64_t e, const sotto_modulus *m)
{
    uint64_t power = 1, square = sotto_mod_reduce(a, m);
    for (; e != 0; e >>= 1) {
        if (e & 1)
            power = sotto_mod_mul(power, square, m);
        square = sotto_mod_mul(square, square, m);
    }
    return power;
}

uint64_t sotto_mod_inv(uint64_t a, const sotto_modulus *m)
{
    return sotto_mod_pow_var(a, m->q - 2, m);
}
