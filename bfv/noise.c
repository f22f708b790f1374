#include "bfv/noise.h"

#include <math.h>

#include <gmp.h>

#include "lib/mem.h"
#include "ring/poly.h"
#include "ring/sample.h"

/* Bounds that are not absolute are TAIL standard deviations of a sum of independent sub-Gaussian terms: exceeded with
 * probability 2 exp(-11^2 / 2) < 2^-86, which leaves 2^22 for the unions that products and sums take. */
#define TAIL 11.0

static const double error_variance = SOTTO_ERROR_SIGMA * SOTTO_ERROR_SIGMA;

static sotto_bfv_noise from(double variance, double bound)
{
    sotto_bfv_noise x = {log2(variance) / 2, log2(bound)};
    return x;
}

/* e + rounding. */
sotto_bfv_noise sotto_bfv_noise_symmetric(const sotto_bfv_params *p)
{
    (void)p;
    return from(error_variance + 1.0 / 12, SOTTO_ERROR_BOUND + 0.5);
}

/* -e u + e0 + e1 s + rounding, u and s uniform ternary with 2n/3 coefficients different from zero on average. */
sotto_bfv_noise sotto_bfv_noise_public(const sotto_bfv_params *p)
{
    double n = sotto_bfv_n(p), variance = error_variance * (1 + 4 * n / 3) + 1.0 / 12;
    return from(variance, fmin(SOTTO_ERROR_BOUND * (2 * n + 1) + 0.5, TAIL * sqrt(variance)));
}

/* log2(2^a + 2^b). */
static double log_add(double a, double b)
{
    double larger = fmax(a, b), smaller = fmin(a, b);
    return smaller == -INFINITY ? larger : larger + log2(1 + exp2(smaller - larger));
}

sotto_bfv_noise sotto_bfv_noise_add(sotto_bfv_noise x, sotto_bfv_noise y)
{
    sotto_bfv_noise sum = {log_add(2 * x.log_sigma, 2 * y.log_sigma) / 2, log_add(x.log_bound, y.log_bound)};
    return sum;
}

sotto_bfv_noise sotto_bfv_noise_mul_plain(sotto_bfv_noise x, double norm2, double norm1)
{
    sotto_bfv_noise product = {x.log_sigma + log2(norm2), x.log_bound + log2(norm1)};
    return product;
}

/* v / q + r0 + r1 s with r0, r1 the roundings, uniform in [-1/2, 1/2]. */
sotto_bfv_noise sotto_bfv_noise_mod_switch(sotto_bfv_noise x, const sotto_bfv_params *p)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    double n = sotto_bfv_n(p), log_q = log2((double)sotto_rns_modulus(rns, sotto_rns_count(rns) - 1)->q);
    sotto_bfv_noise divided = {x.log_sigma - log_q, x.log_bound - log_q};
    double variance = (1 + 2 * n / 3) / 12;
    return sotto_bfv_noise_add(divided, from(variance, fmin((n + 1) / 2, 0.5 + TAIL * sqrt(n / 18))));
}

static double log_limit(const sotto_bfv_params *p)
{
    return sotto_rns_log2(sotto_bfv_rns(p)) - 1 - log2((double)sotto_bfv_t(p));
}

double sotto_bfv_noise_predicted_budget(sotto_bfv_noise x, const sotto_bfv_params *p)
{
    return log_limit(p) - x.log_bound;
}

static double log2_of(const mpz_t x)
{
    signed long exponent;
    double mantissa = mpz_get_d_2exp(&exponent, x);
    return log2(mantissa) + (double)exponent;
}

int sotto_bfv_noise_budget_var(double *bits, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk,
                               const sotto_bfv_ct *ct)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    uint32_t n = sotto_bfv_n(p);
    uint64_t t = sotto_bfv_t(p), residues[SOTTO_RNS_MAX];
    uint64_t *phase = sotto_poly_new(rns);
    if (phase == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory to measure noise");
    int status = sotto_bfv_phase(phase, p, sk, ct);
    if (status == SOTTO_OK) {
        /* With phase = Q m / t + v the centred t * phase mod Q is t v. */
        mpz_t q, half, x, largest, factor;
        mpz_inits(q, half, x, largest, factor, NULL);
        sotto_rns_product(rns, q);
        mpz_fdiv_q_2exp(half, q, 1);
        mpz_import(factor, 1, 1, sizeof t, 0, 0, &t);
        for (uint32_t i = 0; i < n; i++) {
            for (size_t j = 0; j < sotto_rns_count(rns); j++)
                residues[j] = phase[j * n + i];
            sotto_rns_compose_var(rns, x, residues);
            mpz_mul(x, x, factor);
            mpz_mod(x, x, q);
            if (mpz_cmp(x, half) > 0)
                mpz_sub(x, x, q);
            if (mpz_cmpabs(x, largest) > 0)
                mpz_abs(largest, x);
        }
        /* No noise at all counts as t v = 1. */
        *bits = sotto_rns_log2(rns) - 1 - (mpz_sgn(largest) != 0 ? log2_of(largest) : 0);
        mpz_clears(q, half, x, largest, factor, NULL);
    }
    sotto_free_secret(phase, sotto_poly_words(rns), sizeof *phase);
    return status;
}
