#include "tests/security/estimate.h"

#include <math.h>

#include "ring/prime.h"

const named_set estimate_sets[] = {
    {4096, 2, {43, 43}, "plans"},
    {4096, 2, {44, 44}, "plans"},
    {4096, 2, {46, 46}, "plans"},
    {4096, 2, {48, 48}, "plans"},
    {4096, 2, {50, 50}, "plans"},
    {4096, 2, {54, 54}, "plans"},
    {4096, 3, {36, 36, 36}, "plans"},
    {8192, 3, {50, 50, 50}, "plans"},
    {8192, 4, {50, 50, 50, 50}, "plans"},
    {4096, 3, {36, 36, 37}, "benchmarks"},
    {8192, 5, {43, 43, 44, 44, 44}, "benchmarks"},
};
const size_t estimate_set_count = sizeof estimate_sets / sizeof *estimate_sets;

#define PI 3.14159265358979323846

/* ln delta. */
static double log_delta(double beta)
{
    return (log(PI * beta) / beta + log(beta / (2 * PI * exp(1.0)))) / (2 * (beta - 1));
}

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static double bkz_bits(double beta, double d, cost c)
{
    return c == CLASSICAL ? 0.292 * beta : c == QUANTUM ? 0.265 * beta : 0.292 * beta + 16.4 + log2(8 * d);
}

/* Is beta enough? ln of the right side of the condition over ln of the left is -d ln delta - ((n + 1) ln q - n ln scale) / d plus terms without d, largest
 * where both are equal. */
static int primal_succeeds(const lwe *p, double beta, double *d)
{
    const double log_q = p->log2_q * log(2.0), slope = log_delta(beta), log_scale = log(p->sigma_e / p->sigma_s);
    *d = floor(clamp(sqrt(((p->n + 1) * log_q - p->n * log_scale) / slope), p->n + 2, p->n + 1 + p->m_max));
    const double m = *d - p->n - 1, log_volume = m * log_q + p->n * log_scale;
    return log(p->sigma_e * sqrt(beta)) <= (2 * beta - *d - 1) * slope + log_volume / *d;
}

/* log2 of how often a sieve is called: ln l = (d - 1) ln delta + n ln(q sigma_s/sigma_e) / d is smallest where both are equal. */
static double dual_repeats(const lwe *p, double beta, double *d)
{
    const double log_q = p->log2_q * log(2.0), slope = log_delta(beta), log_volume = p->n * (log_q + log(p->sigma_s / p->sigma_e));
    *d = floor(clamp(sqrt(log_volume / slope), p->n + 1, p->n + p->m_max));
    const double tau = exp((*d - 1) * slope + log_volume / *d - log_q) * p->sigma_e;
    const double log2_epsilon = fmin(0, 2 - 2 * PI * PI * tau * tau / log(2.0));
    return fmax(0, -2 * log2_epsilon - 0.2075 * beta);
}

estimate estimate_attack(const lwe *p, attack a, cost c)
{
    estimate best = {.bits = INFINITY};
    for (unsigned beta = 50; 0.265 * beta < best.bits && beta < 20000; beta++) {
        double d = 0, repeats = 0;
        if (a == PRIMAL && !primal_succeeds(p, beta, &d)) {
            continue;
        }
        if (a == DUAL) {
            repeats = dual_repeats(p, beta, &d);
        }
        const double bits = bkz_bits(beta, d, c) + repeats;
        if (bits < best.bits) {
            best = (estimate){bits, beta, (unsigned)d, d - p->n - (a == PRIMAL ? 1 : 0)};
        }
    }
    return best;
}

lwe estimate_bfv(uint32_t n, double log2_q)
{
    return (lwe){n, log2_q, sqrt(2.0 / 3.0), 3.2, 2.0 * n};
}

double estimate_log2_q(const named_set *s)
{
    uint64_t primes[8];
    double sum = 0;
    for (unsigned i = 0; i < s->primes; i++) {
        if (sotto_prime_generate(&primes[i], 1, s->bits[i], s->n, primes, i) != 0) {
            return NAN;
        }
        sum += log2((double)primes[i]);
    }
    return sum;
}
