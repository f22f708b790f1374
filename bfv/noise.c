#include "bfv/noise.h"

#include <math.h>

#include <gmp.h>

#include "bfv/internal.h"
#include "lib/mem.h"
#include "ring/poly.h"
#include "ring/sample.h"

/* Bounds that are not absolute are TAIL standard deviations of a sum of independent sub-Gaussian terms: exceeded with
 * probability 2 exp(-11^2 / 2) < 2^-86, which leaves 2^22 for the unions that products and sums take. */
#define TAIL 11.0

/* The same for the value f(zeta) of a polynomial with independent coefficients of variance V (Gaussian, uniform or
 * ternary: sub-Gaussian with that variance). In any direction of the complex plane it is sub-Gaussian with variance n V /
 * 2, as the squared cosines of the angles of zeta^i sum to n/2. A value longer than r reaches r cos(pi/16) in one of 16
 * directions, so |f(zeta)| > 8.7 sqrt(n V) has probability at most 16 exp(-8.7^2 cos^2(pi/16)) < 2^-101, 2^-86 for all
 * zeta at once. */
#define CANONICAL_TAIL 8.7

/* What a variance, a bound on the coefficients and one on the values at the zeta make. Coefficients are means of such
 * values, so that the second bound is one on coefficients too. */
static sotto_bfv_noise from(double variance, double bound, double canonical, unsigned degree)
{
    sotto_bfv_noise x = {log2(variance) / 2, log2(fmin(bound, canonical)), log2(canonical), degree};
    return x;
}

static const double error_variance = SOTTO_ERROR_SIGMA * SOTTO_ERROR_SIGMA;

/* Bounds on |f(zeta)| for errors, for s and for uniform coefficients in [-1/2, 1/2]. */
static double canonical_error(double n)
{
    return CANONICAL_TAIL * SOTTO_ERROR_SIGMA * sqrt(n);
}

static double canonical_secret(double n)
{
    return CANONICAL_TAIL * sqrt(2 * n / 3);
}

static double canonical_uniform(double n)
{
    return CANONICAL_TAIL * sqrt(n / 12);
}

/* e + rounding. The rounding of Q m / t depends on m and may be any polynomial with coefficients in [-1/2, 1/2]. */
sotto_bfv_noise sotto_bfv_noise_symmetric(const sotto_bfv_params *p)
{
    double n = sotto_bfv_n(p);
    return from(error_variance + 1.0 / 12, SOTTO_ERROR_BOUND + 0.5, canonical_error(n) + n / 2, 0);
}

/* -e u + e0 + e1 s + rounding, u and s uniform ternary with 2n/3 coefficients different from zero on average. */
sotto_bfv_noise sotto_bfv_noise_public(const sotto_bfv_params *p)
{
    double n = sotto_bfv_n(p), variance = error_variance * (1 + 4 * n / 3) + 1.0 / 12;
    return from(variance, fmin(SOTTO_ERROR_BOUND * (2 * n + 1) + 0.5, TAIL * sqrt(variance)),
                canonical_error(n) * (1 + 2 * canonical_secret(n)) + n / 2, 1);
}

/* log2(2^a + 2^b). */
static double log_add(double a, double b)
{
    double larger = fmax(a, b), smaller = fmin(a, b);
    return isinf(larger) || isinf(smaller) ? larger : larger + log2(1 + exp2(smaller - larger));
}

sotto_bfv_noise sotto_bfv_noise_add(sotto_bfv_noise x, sotto_bfv_noise y)
{
    sotto_bfv_noise sum = {log_add(2 * x.log_sigma, 2 * y.log_sigma) / 2, log_add(x.log_bound, y.log_bound),
                           log_add(x.log_canonical, y.log_canonical), x.degree > y.degree ? x.degree : y.degree};
    return sum;
}

/* |w(zeta)| is at most the sum of the magnitudes of w. */
sotto_bfv_noise sotto_bfv_noise_mul_plain(sotto_bfv_noise x, double norm2, double norm1)
{
    sotto_bfv_noise product = {x.log_sigma + log2(norm2), x.log_bound + log2(norm1), x.log_canonical + log2(norm1),
                               x.degree};
    return product;
}

sotto_bfv_noise sotto_bfv_noise_add_plain(sotto_bfv_noise x, const sotto_bfv_params *p)
{
    double n = sotto_bfv_n(p);
    return sotto_bfv_noise_add(x, from(1.0 / 12, 0.5, n / 2, 0));
}

sotto_bfv_noise sotto_bfv_noise_mul_message(sotto_bfv_noise x, const sotto_bfv_params *p)
{
    double n = sotto_bfv_n(p), t = (double)sotto_bfv_t(p);
    return sotto_bfv_noise_mul_plain(x, t * sqrt(n / 12), n * t / 2);
}

/* r0 + r1 s with r0, r1 the roundings of two parts, uniform in [-1/2, 1/2]. */
static sotto_bfv_noise rounding(const sotto_bfv_params *p)
{
    double n = sotto_bfv_n(p);
    return from((1 + 2 * n / 3) / 12, fmin((n + 1) / 2, 0.5 + TAIL * sqrt(n / 18)),
                canonical_uniform(n) * (1 + canonical_secret(n)), 1);
}

/* v divided by 2^log_q. */
static sotto_bfv_noise divided(sotto_bfv_noise x, double log_q)
{
    sotto_bfv_noise y = {x.log_sigma - log_q, x.log_bound - log_q, x.log_canonical - log_q, x.degree};
    return y;
}

/* v / q + r0 + r1 s. */
sotto_bfv_noise sotto_bfv_noise_mod_switch(sotto_bfv_noise x, const sotto_bfv_params *p)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    double log_q = log2((double)sotto_rns_modulus(rns, sotto_rns_count(rns) - 1)->q);
    return sotto_bfv_noise_add(divided(x, log_q), rounding(p));
}

/* -sum_i d_i e_i / P + r0 + r1 s, the digits d_i uniform in [-q_i/2, q_i/2]. The bound holds for any digits of that
 * size. */
sotto_bfv_noise sotto_bfv_noise_switch(sotto_bfv_noise x, const sotto_bfv_params *p)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    if (sotto_bfv_special(p) == NULL) /* no such operation */
        return from(INFINITY, INFINITY, INFINITY, 0);
    double n = sotto_bfv_n(p), special = (double)sotto_rns_modulus(sotto_bfv_special(p), 0)->q, sum = 0, sum_square = 0;
    for (size_t i = 0; i < sotto_rns_count(rns); i++) {
        double ratio = (double)sotto_rns_modulus(rns, i)->q / special;
        sum += ratio;
        sum_square += ratio * ratio;
    }
    sotto_bfv_noise errors = from(sum_square * n * error_variance / 12, TAIL * SOTTO_ERROR_SIGMA * sqrt(sum_square * n / 4),
                                  sum * canonical_uniform(n) * canonical_error(n), 0);
    return sotto_bfv_noise_add(x, sotto_bfv_noise_add(errors, rounding(p)));
}

/* The steps of multiply.c give v = t (v_x W_y + W_x u - v_x u / Q) + r0 + r1 s + r2 s^2 with u = v_y + (Q/R) (rho0 + rho1
 * s) and W = y'(s)/R, x(s)/Q, sums of two parts uniform in [-1/2, 1/2], the second times s.
 *
 * Variances. With f of degree d in s, f = g s^d for a random g of variance V: at a random zeta |s|^2 is close to
 * exponentially distributed with mean 2n/3, whose d-th moment is d! (2n/3)^d. One more factor s multiplies the variance
 * by (d + 1) 2n/3, not by 2n/3. Hence that of v_x W_y, per coefficient: n V (1/12 + (d + 1) n/18). With x = y both terms
 * are equal, and their sum has twice the variance. */
static sotto_bfv_noise product(sotto_bfv_noise x, sotto_bfv_noise y, const sotto_bfv_params *p, double correlation)
{
    const double n = sotto_bfv_n(p), log_t = log2((double)sotto_bfv_t(p)), log_q = sotto_rns_log2(sotto_bfv_rns(p));
    if (sotto_bfv_special(p) == NULL) /* no such operation */
        return from(INFINITY, INFINITY, INFINITY, 0);
    const double s = canonical_secret(n), uniform = canonical_uniform(n);
    const sotto_bfv_noise w = rounding(p); /* the two W are distributed like it */
    const sotto_bfv_noise u = sotto_bfv_noise_add(y, divided(rounding(p), sotto_rns_log2(sotto_bfv_auxiliary(p)) - log_q));
    const double variance_x = 2 * x.log_sigma + log2(n * (1.0 / 12 + (x.degree + 1) * n / 18));
    const double variance_u = 2 * u.log_sigma + log2(n * (1.0 / 12 + (u.degree + 1) * n / 18));

    sotto_bfv_noise v;
    v.degree = (x.degree > y.degree ? x.degree : y.degree) + 1;
    v.log_sigma = log_t + (log_add(variance_x, variance_u) + log2(correlation)) / 2;
    v.log_canonical = log_t + log_add(log_add(x.log_canonical, u.log_canonical) + w.log_canonical,
                                      x.log_canonical + u.log_canonical - log_q);
    v.log_bound = fmin(v.log_canonical, log_t + log2(n) + log_add(log_add(x.log_bound, u.log_bound) + w.log_bound,
                                                                   x.log_bound + u.log_bound - log_q));
    /* r2 is independent of s, and |s^2|_2 <= max |s(zeta)| |s|_2 <= s sqrt(n). */
    const sotto_bfv_noise quadratic = from(2 * (2 * n / 3) * (2 * n / 3) / 12, TAIL * s * sqrt(n / 12), uniform * s * s, 2);
    return sotto_bfv_noise_switch(sotto_bfv_noise_add(v, sotto_bfv_noise_add(rounding(p), quadratic)), p);
}

sotto_bfv_noise sotto_bfv_noise_mul(sotto_bfv_noise x, sotto_bfv_noise y, const sotto_bfv_params *p)
{
    return product(x, y, p, 1);
}

sotto_bfv_noise sotto_bfv_noise_square(sotto_bfv_noise x, const sotto_bfv_params *p)
{
    return product(x, x, p, 2);
}

/* log2(n) times x + x(X^g). Of the noise that x brings, n times the constant coefficient remains: as a mean over all coefficients
 * its variance grows by n, which the sums give as well, but it stands in one of them. */
sotto_bfv_noise sotto_bfv_noise_sum_slots(sotto_bfv_noise x, const sotto_bfv_params *p)
{
    for (uint32_t terms = 1; terms < sotto_bfv_n(p); terms *= 2)
        x = sotto_bfv_noise_add(x, sotto_bfv_noise_switch(x, p));
    return x;
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
