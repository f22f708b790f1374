#include "ring/prime.h"

#include <gmp.h>

#include "ring/modulus.h"

static int is_power_of_two(uint32_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

int sotto_is_prime_var(uint64_t x)
{
    mpz_t z;
    mpz_init(z);
    mpz_import(z, 1, 1, sizeof x, 0, 0, &x);
    int prime = mpz_probab_prime_p(z, 25) != 0;
    mpz_clear(z);
    return prime;
}

static int contains(const uint64_t *list, size_t count, uint64_t x)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == x)
            return 1;
    return 0;
}

int sotto_prime_generate(uint64_t *out, size_t count, unsigned bits, uint32_t n, const uint64_t *avoid,
                         size_t avoid_count)
{
    if (bits < 2 || bits > SOTTO_MODULUS_BITS_MAX)
        return sotto_fail(SOTTO_ERR_PARAMS, "primes of %u bits: expected 2 to %d", bits, SOTTO_MODULUS_BITS_MAX);
    if (!is_power_of_two(n))
        return sotto_fail(SOTTO_ERR_PARAMS, "ring degree %u: expected a power of two", (unsigned)n);

    uint64_t step = 2 * (uint64_t)n, lowest = (uint64_t)1 << (bits - 1);
    size_t found = 0;
    /* 2^bits is 0 modulo 2n when 2n divides it; when it does not, 2n > 2^bits and no candidate is left. */
    for (uint64_t q = ((uint64_t)1 << bits) + 1 - step; found < count && step <= 2 * lowest && q > lowest; q -= step)
        if (!contains(avoid, avoid_count, q) && sotto_is_prime_var(q))
            out[found++] = q;
    if (found == count)
        return SOTTO_OK;
    for (size_t i = 0; i < found; i++)
        out[i] = 0;
    return sotto_fail(SOTTO_ERR_PARAMS,
                      "only %zu free primes of %u bits are 1 modulo %llu, %zu wanted: choose more bits or fewer primes",
                      found, bits, (unsigned long long)step, count);
}

int sotto_primitive_root_var(uint64_t *root, uint64_t q, uint32_t n)
{
    sotto_modulus m;
    int status = sotto_modulus_init(&m, q);
    if (status != SOTTO_OK)
        return status;
    if (!is_power_of_two(n) || (q - 1) % (2 * (uint64_t)n) != 0 || !sotto_is_prime_var(q))
        return sotto_fail(SOTTO_ERR_PARAMS,
                          "modulus %llu: expected a prime that is 1 modulo 2n, with n = %u a power of two",
                          (unsigned long long)q, (unsigned)n);

    /* g^((q-1)/2n) has an order dividing 2n, and exactly 2n (a power of two) when its n-th power is -1. That holds for
     * every quadratic non-residue g, half of all g. */
    uint64_t psi = 0;
    for (uint64_t g = 2; psi == 0; g++) {
        uint64_t candidate = sotto_mod_pow_var(g, (q - 1) / (2 * (uint64_t)n), &m);
        if (sotto_mod_pow_var(candidate, n, &m) == q - 1)
            psi = candidate;
    }
    /* The primitive 2n-th roots are the odd powers of any one of them. */
    uint64_t square = sotto_mod_mul(psi, psi, &m), power = psi, least = psi;
    for (uint32_t i = 1; i < n; i++) {
        power = sotto_mod_mul(power, square, &m);
        if (power < least)
            least = power;
    }
    *root = least;
    return SOTTO_OK;
}
