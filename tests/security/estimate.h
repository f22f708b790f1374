/* How hard the lattice problems behind a parameter set are, by published formulae, so that an auditor sees the margin of each set. Nothing here is linked into the
 * library, which goes by the table of the Homomorphic Encryption Standard alone (bfv/params.h).
 *
 * Learning with errors: m samples (a, <a, s> + e) modulo q, n unknowns; secret and error coefficients have deviations sigma_s and sigma_e. Rings are taken as if
 * they had no structure: no attack that uses it is known for these. Two attacks, both by BKZ with block size beta:
 *
 *  primal  The vector (e, sigma_e/sigma_s s, 1) is uniquely short in a lattice of dimension d = m + n + 1 and volume q^m (sigma_e/sigma_s)^n (Bai and
 *          Galbraith, "Lattice decoding attacks on binary LWE", 2014: the smaller secret is scaled up). BKZ finds it once its projection to the last beta
 *          vectors is below the last Gram-Schmidt norm of the geometric series assumption,
 *              sigma_e sqrt(beta) <= delta^(2 beta - d - 1) Vol^(1/d)
 *          [Alkim, Ducas, Poeppelmann, Schwabe, "Post-quantum key exchange - a new hope", 2016, section 6.3; borne out by experiment: Albrecht, Goepfert,
 *          Virdia, Wunderer, "Revisiting the expected cost of solving uSVP and applications to LWE", 2017].
 *  dual    A vector (x, y) with x A = y mod q and length l = delta^(d-1) Vol^(1/d), d = m + n, Vol = (q sigma_s/sigma_e)^n with y scaled by sigma_s/sigma_e
 *          (Albrecht, "On dual lattice attacks against small-secret LWE", 2017), tells samples from uniform with advantage
 *          epsilon = 4 exp(-2 pi^2 tau^2), tau = l sigma_e / q; 1/epsilon^2 vectors are needed, a sieve gives 2^(0.2075 beta) at a time
 *          [New Hope, section 6.4; the attack: Albrecht, Player, Scott, "On the concrete hardness of learning with errors", 2015, section 5.3].
 *
 *  delta = ((pi beta)^(1/beta) beta / (2 pi e))^(1/(2 (beta - 1)))   [Chen, 2013].
 *  m is chosen best for the attacker, up to 2n: a server sees many ciphertexts under one key.
 *
 * Cost of BKZ-beta, in bits, three ways:
 *  classical  0.292 beta   "core-SVP" [New Hope, section 6]: one call of the best known sieve (Becker, Ducas, Gama, Laarhoven, 2016) in dimension beta, with its
 *                          subexponential factors and memory at no cost. Every term that it leaves out is in the attacker's favour: a lower bound, not a
 *                          prediction.
 *  quantum    0.265 beta   the same with Grover's search inside the sieve (Laarhoven, 2015), at no cost.
 *  standard   0.292 beta + 16.4 + log2(8 d): as the Homomorphic Encryption Standard (2018) counted for its tables: the constant measured for that sieve, 8 tours of d
 *                          calls. This is the count in which its sets have 128 bits.
 */
#ifndef SOTTO_TESTS_SECURITY_ESTIMATE_H
#define SOTTO_TESTS_SECURITY_ESTIMATE_H

#include <stddef.h>
#include <stdint.h>

typedef enum attack { PRIMAL, DUAL, ATTACKS } attack;
typedef enum cost { CLASSICAL, QUANTUM, STANDARD, COSTS } cost;

typedef struct lwe {
    double n, log2_q, sigma_s, sigma_e;
    double m_max; /* samples */
} lwe;

typedef struct estimate {
    double bits;
    unsigned beta, d; /* block size and dimension of the lattice */
    double m;         /* samples used */
} estimate;

/* The cheapest attack of that kind under that count. */
estimate estimate_attack(const lwe *p, attack a, cost c);
/* LWE behind BFV: ternary secret, sigma 3.2, up to 2n samples. */
lwe estimate_bfv(uint32_t n, double log2_q);

/* Sets in use: those that a plan chooses from (nn/secure/network.c) and those of the benchmarks and tests. */
typedef struct named_set {
    uint32_t n;
    unsigned primes, bits[8];
    const char *where;
} named_set;
extern const named_set estimate_sets[];
extern const size_t estimate_set_count;
/* log2 of the product of the primes, as sotto_bfv_params_from_bits takes them. */
double estimate_log2_q(const named_set *s);

#endif
