/* Why an answer tells nothing about the weights, and how wide the flooding must be.
 *
 * The view. The owner gets c1 and the wanted coefficients of c0, both rounded; rounding is post-processing and left
 * out here. It knows s, so this is as much as c1 and the phase c0 + c1 s = round(Q y / t) + d + F modulo Q, with y =
 * W r - mask mod t, F the flooding, and the integer
 *
 *     d = W * (e + rho) + (-e_pk u + e0 + e1 s) + (two roundings of magnitude 1/2 at most),
 *
 * e the errors of its request, rho = round(Q r / t) - Q r / t, (u, e0, e1) the server's encryption of zero, e_pk the
 * key's error. Step 1: d + F is replaced by F, which costs the statistical distance computed below. After that u and
 * e1 occur in c1 = (sum W a) + a u + e1 alone. Step 2: c1 is replaced by a uniform polynomial, which is ring-LWE with
 * the public uniform a, the secret u and the error e1. What is left, a uniform polynomial and round(Q y / t) + F, is
 * made from y alone.
 *
 * One coefficient. F = U1 + U2 + U3, each U uniform on B integers. Let c be B^3 times its distribution and H^2(P, P')
 * = 1/2 sum (sqrt P - sqrt P')^2. H is a metric that a common shift does not change, so a shift by the integer d is
 * at most |d| shifts by one: H(F, F + d) <= |d| H(F, F + 1). The sum of (sqrt c - sqrt c')^2 over neighbours:
 *  - at both ends c runs through m (m + 1) / 2, m = 0..B. The step to m contributes m^2 / (sqrt(m (m - 1) / 2) +
 *    sqrt(m (m + 1) / 2))^2 = 1 / (1 + sqrt(1 - 1/m^2)) <= 1/2 + 1/(2 m^2), both ends together at most B + pi^2/6;
 *  - in the middle c = A - x^2, A = (3 B^2 + 1)/4, x the distance from the centre. The step around y = x + 1/2, |y| <
 *    B/2, contributes 4 y^2 / (sqrt c + sqrt c')^2 <= (1 + 1/B^2) y^2 / (3/4 B^2 - y^2). A sum of a convex function
 *    over unit steps is below its integral, so all of them are at most (1 + 1/B^2) B G, where G = integral over
 *    [-1/2, 1/2] of z^2 / (3/4 - z^2) = (sqrt(3)/2) ln(2 + sqrt 3) - 1 = 0.1405.
 * Together H^2(F, F + 1) <= (I / (8 B^2)) (1 + 2/B), I = 4 (1 + G) = 2 sqrt(3) ln(2 + sqrt 3) = 4.5621. This I is the
 * Fisher information of the quadratic B-spline, the sum of three real uniforms; tests/bfv/test_flood.c compares with
 * the exact sums. Why three: noise in [-a, a] protects the better the smaller a sqrt(I) is, and that is at least pi
 * (a squared cosine). Three uniforms reach 3/2 sqrt(4.5621) = 3.20; four, the cubic spline, 2 sqrt(3.1157) = 3.53;
 * two have no finite information.
 *
 * The sampler's U is floor(x B / 2^128) of a 128-bit x. Its probabilities are 1/B up to a factor 1 +- B 2^-128, those
 * of F up to the cube of that, a Hellinger distance below 1.1 B 2^-128. As a statistical distance over all
 * coefficients that might not be negligible, as an addition to H it is.
 *
 * All coefficients. Given d the coefficients of F are independent, so their H^2 add up at most; statistical distance
 * <= sqrt(2) H. Averaged over the coins of both sides (Jensen), D^2 the mean of a squared coefficient of d, N their
 * number:
 *
 *     distance <= sqrt(2 N) (D sqrt(I / 8) (1 + 1/B) / B + 2.2 B 2^-128).
 *
 * With h = 2^-40 / sqrt(2 N) take B = 1.01 D sqrt(I / 8) / h and refuse unless 2.2 B 2^-128 <= h / 128: at most 2^-40
 * in all. Layers that are planned with the same N share it; k inferences add up in H^2 as well and cost sqrt(k)
 * 2^-40, half a bit for each doubling (2^20 inferences under one model: 2^-30).
 *
 * D. r is uniform and Q odd, so Q r mod t is uniform: rho has variance below 1/12 and, from the tie at 1/2 alone,
 * mean +-1/(2t). Variances of independent terms add, and root mean squares of the rest obey the triangle inequality:
 *     D <= sqrt((sigma^2 + 1/12) ||w||_2^2 + sigma^2 (1 + 4n/3)) + ||w||_1 / (2t) + 1,     sqrt(sigma^2 + 1/12) = 3.213.
 * For N = 2^18 that is log2 B = log2 D + 49.11. As 3/2 B has to stay below 0.2 Q/t (next paragraph), log2 Q >= l +
 * 52.0 + log2 D: l + 65.3 for fan-in 576 with 8-bit weights at worst, l + 66.8 for 4608.
 *
 * Decryption. In units of Q/t the owner's b' 2^5 + a' s modulo 2^(l + 9) is y + (noise + F) t/Q + r_b / 2^4 + (r_a s)
 * / 2^9, with |r_b| <= 1/2 and r_a uniform in [-1/2, 1/2], because c1 is pseudo-random and does not depend on s. It
 * is right while the error is below 1/2. A coefficient of r_a s is a sum of n terms r s, s zero with probability 1/3:
 * E exp(x r s) <= 1/3 + 2/3 exp(x^2/24) <= exp(x^2/36 + x^4/5184). For z = sqrt(n L / 9) and x = 18 z / n that gives
 *     P(|r_a s| > z) <= 2 exp(-L + L^2 / (4n)) <= 4 exp(-L)     when n >= 1024 and L <= 53.
 * L = ln(2^42 N) makes it 2^-40 for all N together.
 */
#include "bfv/answer.h"

#include <math.h>
#include <string.h>

#include "bfv/internal.h"
#include "lib/mem.h"
#include "ring/sample.h"

#define LOG_DISTANCE 40.0       /* -log2 of the statistical distance per inference */
#define COEFFICIENTS_MAX 0x1p34 /* the bound on r_a s needs ln(2^42 N) <= 53 */
#define FLOOD_CHUNK 64          /* coefficients whose 3 * 16 random bytes are drawn at once */

int sotto_bfv_answer_plan_new(sotto_bfv_answer_plan *plan, const sotto_bfv_params *p, double norm2, double norm1,
                              double coefficients)
{
    memset(plan, 0, sizeof *plan);
    int status = sotto_bfv_answer_check(p);
    if (status != SOTTO_OK)
        return status;
    if (!(norm2 >= 0 && norm2 <= 0x1p60 && norm1 >= 0 && norm1 <= 0x1p60 && coefficients >= 1 &&
          coefficients <= COEFFICIENTS_MAX))
        return sotto_fail(SOTTO_ERR_PARAMS, "answer for weights of norms %g and %g and %g coefficients: expected norms "
                          "from 0 to 2^60 and 1 to 2^34 coefficients", norm2, norm1, coefficients);

    const double n = sotto_bfv_n(p), variance = SOTTO_ERROR_SIGMA * SOTTO_ERROR_SIGMA;
    const double t = (double)sotto_bfv_t(p), log_room = sotto_rns_log2(sotto_bfv_rns(p)) - log2(t);
    /* D, h, B and z of the comment above */
    double shift = sqrt((variance + 1.0 / 12) * norm2 * norm2 + variance * (1 + 4 * n / 3)) + norm1 / (2 * t) + 1;
    double h = exp2(-LOG_DISTANCE) / sqrt(2 * coefficients);
    double width = ceil(1.01 * shift * sqrt(SOTTO_FLOOD_FISHER / 8) / h);
    double noise = norm1 * (SOTTO_ERROR_BOUND + 0.5) + SOTTO_ERROR_BOUND * (2 * n + 1) + 1;
    double tail = sqrt(n / 9 * log(0x1p42 * coefficients)) / (1 << SOTTO_ANSWER_A_EXTRA);
    double margin = 0.5 - (tail + exp2(-SOTTO_ANSWER_B_EXTRA - 1) + (1.5 * width + noise) * exp2(-log_room));
    if (tail > 0.4)
        return sotto_fail(SOTTO_ERR_PARAMS, "no private answers at ring degree %u: cutting the `a` part to %d bits more than the plaintext takes "
                          "%.2f of 1/2; take a smaller degree", (unsigned)sotto_bfv_n(p), SOTTO_ANSWER_A_EXTRA, tail);
    if (!(margin > 0))
        return sotto_fail(SOTTO_ERR_PARAMS,
                          "no room for private answers: Q/t has %.1f bits, flooding takes %.1f of them (margin %.3f); "
                          "take longer primes, fewer plaintext bits or smaller weights",
                          log_room, log2(1.5 * width), margin);
    if (2.2 * width * 0x1p-128 > h / 128)
        return sotto_fail(SOTTO_ERR_PARAMS, "flooding of %.1f bits for 2^%.1f coefficients is beyond the sampler's "
                          "precision", log2(width), log2(coefficients));
    plan->set = sotto_bfv_set_id(p);
    plan->flood_width = (sotto_u128)width;
    plan->log_flood = log2(width);
    plan->log_noise = log2(noise);
    plan->margin = margin;
    return SOTTO_OK;
}

void sotto_bfv_flood(sotto_u128 *out, size_t count, sotto_u128 width, sotto_prg *prg)
{
    uint64_t random[FLOOD_CHUNK][3][2];
    const uint64_t factor[2] = {(uint64_t)width, (uint64_t)(width >> 64)};
    for (size_t done = 0; done < count;) {
        size_t some = count - done < FLOOD_CHUNK ? count - done : FLOOD_CHUNK;
        sotto_prg_fill(prg, random, some * sizeof random[0]);
        for (size_t i = 0; i < some; i++) {
            sotto_u128 sum = 0;
            for (size_t j = 0; j < 3; j++)
                sum += sotto_mulhi128((sotto_u128)random[i][j][1] << 64 | random[i][j][0], factor);
            out[done + i] = sum;
        }
        done += some;
    }
    sotto_wipe(random, sizeof random);
}
