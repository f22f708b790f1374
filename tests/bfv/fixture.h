/* What the tests of this module share: a parameter set with keys, and plain integer arithmetic modulo X^n + 1 and t. */
#ifndef SOTTO_TESTS_BFV_FIXTURE_H
#define SOTTO_TESTS_BFV_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "bfv/evaluate.h"
#include "lib/ct.h"
#include "lib/mem.h"
#include "lib/prg.h"
#include "ring/poly.h"
#include "tests/support/support.h"

/* GMP and the standard library are not under the allocation hook; everything of ours is. A loop over k with this
 * limit ends long before it; reaching it means that a call never succeeds. */
#define FIXTURE_FAULTS_MAX 200

typedef struct fixture {
    sotto_bfv_params *p;
    sotto_bfv_secret_key sk;
    sotto_bfv_public_key pk;
    uint32_t n;
    uint64_t t;
    const sotto_rng *rng;
} fixture;

__attribute__((unused)) static fixture fixture_new(uint32_t n, const unsigned *bits, size_t count, uint64_t t,
                                                   const sotto_rng *rng)
{
    fixture f = {.n = n, .t = t, .rng = rng};
    assert_ok(sotto_bfv_params_from_bits(&f.p, n, bits, count, t));
    assert_ok(sotto_bfv_secret_key_new(&f.sk, f.p, rng));
    assert_ok(sotto_bfv_public_key_new(&f.pk, f.p, &f.sk, rng));
    return f;
}

__attribute__((unused)) static void fixture_free(fixture *f)
{
    sotto_bfv_public_key_free(&f->pk);
    sotto_bfv_secret_key_free(&f->sk);
    sotto_bfv_params_free(f->p);
}

__attribute__((unused)) static uint64_t *words_new(size_t count)
{
    uint64_t *x = calloc(count, sizeof *x);
    assert_non_null(x);
    return x;
}

/* n coefficients below t: random, or one of the extremes by `kind`. */
enum { MESSAGE_RANDOM, MESSAGE_ZERO, MESSAGE_MAX, MESSAGE_ALTERNATING, MESSAGE_HALF, MESSAGE_KINDS };

__attribute__((unused)) static void message_fill(uint64_t *m, const fixture *f, int kind)
{
    for (uint32_t i = 0; i < f->n; i++) {
        const uint64_t value[MESSAGE_KINDS] = {test_below(f->rng, f->t), 0, f->t - 1, i % 2 ? f->t - 1 : 0, f->t / 2};
        m[i] = value[kind];
    }
}

/* A signed multiplicand with `terms` random coefficients (some may coincide) up to `magnitude`; norms come out. */
__attribute__((unused)) static void weights_fill(int64_t *w, const fixture *f, uint32_t terms, int64_t magnitude,
                                                 double *norm2, double *norm1)
{
    double square = 0, sum = 0;
    memset(w, 0, f->n * sizeof *w);
    for (uint32_t i = 0; i < terms; i++)
        w[terms == f->n ? i : test_below(f->rng, f->n)] =
            (int64_t)test_below(f->rng, 2 * (uint64_t)magnitude + 1) - magnitude;
    for (uint32_t i = 0; i < f->n; i++) {
        square += (double)w[i] * (double)w[i];
        sum += (double)(w[i] < 0 ? -w[i] : w[i]);
    }
    *norm2 = __builtin_sqrt(square);
    *norm1 = sum;
}

/* acc += m w modulo X^n + 1 and t, by the definition. */
__attribute__((unused)) static void plain_mac(uint64_t *acc, const uint64_t *m, const int64_t *w, uint32_t n, uint64_t t)
{
    for (uint32_t i = 0; i < n; i++) {
        if (w[i] == 0)
            continue;
        uint64_t magnitude = (uint64_t)(w[i] < 0 ? -w[i] : w[i]) % t;
        for (uint32_t j = 0; j < n; j++) {
            uint64_t product = (uint64_t)((sotto_u128)magnitude * m[j] % t);
            uint32_t to = (i + j) % n;
            int negative = (w[i] < 0) != (i + j >= n);
            acc[to] = (acc[to] + (negative ? t - product : product)) % t;
        }
    }
}

__attribute__((unused)) static void assert_decrypts(const fixture *f, const sotto_bfv_ct *ct, const uint64_t *want)
{
    uint64_t *got = words_new(f->n);
    assert_ok(sotto_bfv_decrypt(got, f->p, &f->sk, ct));
    for (uint32_t i = 0; i < f->n; i++)
        if (got[i] != want[i])
            fail_msg("n %u, t %llu: coefficient %u decrypts to %llu, expected %llu", (unsigned)f->n,
                     (unsigned long long)f->t, (unsigned)i, (unsigned long long)got[i], (unsigned long long)want[i]);
    free(got);
}

/* A deterministic generator that does not depend on the run's seed, for known answers. */
__attribute__((unused)) static sotto_rng fixed_rng(sotto_prg *prg, uint64_t seed)
{
    sotto_block block = {{seed, 0x6b6e6f776e}};
    sotto_prg_init(prg, block);
    return sotto_prg_rng(prg);
}

#endif
