#include "ring/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "tests/ring/helpers.h"

#if defined(__x86_64__)

static const sotto_ntt_kernels *const tables[] = {&sotto_ntt_kernels_ifma46, &sotto_ntt_kernels_ifma};

static uint64_t *words_new(size_t count)
{
    uint64_t *x = sotto_calloc(count, sizeof *x);
    assert_non_null(x);
    return x;
}

/* A transform with the portable kernels, and the same with others. */
static sotto_ntt *portable(uint32_t n, uint64_t q)
{
    sotto_ntt *t = NULL;
    sotto_cpu_force_tier(SOTTO_TIER_PORTABLE);
    assert_ok(sotto_ntt_new(&t, n, q));
    sotto_cpu_force_tier(SOTTO_TIER_IFMA);
    return t;
}

static sotto_ntt with_kernels(const sotto_ntt *t, const sotto_ntt_kernels *kernels)
{
    sotto_ntt other = *t;
    other.kernels = kernels;
    other.vector = NULL;
    assert_ok(kernels->prepare(&other));
    return other;
}

/* The smallest prime above 2^bits that is 1 modulo 2n. */
static uint64_t prime_above(unsigned bits, uint32_t n)
{
    uint64_t q = ((uint64_t)1 << bits) + 1;
    while (!sotto_is_prime_var(q))
        q += 2 * n;
    return q;
}

/* Primes on both sides of both thresholds and small ones: where a lazy range is just not exceeded, and where much of it
 * lies idle. */
#define PRIMES 7

static void primes_for(uint64_t out[PRIMES], uint32_t n)
{
    uint64_t primes[PRIMES] = {prime_of(50, n),  prime_above(49, n), prime_above(46, n), prime_of(46, n),
                               prime_of(36, n), prime_of(30, n),    prime_of(20, n)};
    memcpy(out, primes, sizeof primes);
}

/* All at the top of [0, bound), all zero, both in turns with different periods, random with the ends among them. */
#define FILLS 8

static void fill(uint64_t *x, uint32_t n, uint64_t bound, unsigned kind, const sotto_rng *rng)
{
    for (uint32_t i = 0; i < n; i++)
        x[i] = kind == 0   ? bound - 1
               : kind == 1 ? 0
               : kind < 6  ? (i >> (2 * (kind - 2)) & 1) * (bound - 1)
                           : edgy_below(rng, bound);
}

static void skip_below_tier(void)
{
    if (sotto_cpu_tier() < SOTTO_TIER_IFMA) {
        fprintf(stderr, "skipped: this CPU has no AVX-512 IFMA\n");
        skip();
    }
}

/* Calls run for every n, prime and table that serves them. */
typedef void check(const sotto_ntt *reference, const sotto_ntt *t, const sotto_rng *rng);

static void for_all(check *run, uint64_t stream)
{
    skip_below_tier();
    sotto_rng rng = test_rng(test_seed(), stream);
    for (uint32_t n = sotto_ntt_kernels_ifma.n_min; n <= SOTTO_NTT_N_MAX; n *= 2) {
        uint64_t primes[PRIMES];
        primes_for(primes, n);
        for (size_t i = 0; i < PRIMES; i++) {
            sotto_ntt *reference = portable(n, primes[i]);
            for (size_t k = 0; k < ARRAY_LEN(tables); k++) {
                if (primes[i] >> tables[k]->bits_max != 0)
                    continue;
                sotto_ntt t = with_kernels(reference, tables[k]);
                run(reference, &t, &rng);
                sotto_free(t.vector);
            }
            sotto_ntt_free(reference);
        }
    }
}

static void check_forward(const sotto_ntt *reference, const sotto_ntt *t, const sotto_rng *rng)
{
    uint64_t q = t->m.q, *x = words_new(t->n), *want = words_new(t->n);
    for (unsigned kind = 0; kind < FILLS; kind++) {
        fill(want, t->n, 4 * q, kind, rng);
        memcpy(x, want, t->n * sizeof *x);
        reference->kernels->forward(reference, want);
        uint64_t *lazy = words_new(t->n);
        memcpy(lazy, x, t->n * sizeof *x);
        t->kernels->forward(t, x);
        assert_memory_equal(x, want, t->n * sizeof *x);
        t->kernels->forward_lazy(t, lazy);
        for (uint32_t i = 0; i < t->n; i++) {
            assert_true(lazy[i] < 4 * q);
            assert_true(lazy[i] % q == want[i]);
        }
        sotto_free(lazy);
    }
    sotto_free(x);
    sotto_free(want);
}

static void forward_agrees(void **state)
{
    (void)state;
    for_all(check_forward, 20);
}

static void check_inverse(const sotto_ntt *reference, const sotto_ntt *t, const sotto_rng *rng)
{
    uint64_t q = t->m.q, *x = words_new(t->n), *want = words_new(t->n);
    for (unsigned kind = 0; kind < FILLS; kind++) {
        fill(want, t->n, 2 * q, kind, rng);
        memcpy(x, want, t->n * sizeof *x);
        reference->kernels->inverse(reference, want);
        t->kernels->inverse(t, x);
        assert_memory_equal(x, want, t->n * sizeof *x);
    }
    sotto_free(x);
    sotto_free(want);
}

static void inverse_agrees(void **state)
{
    (void)state;
    for_all(check_inverse, 21);
}

/* Transforms of spectra whose values all sit at one end: butterflies on their way there have the largest and smallest
 * sums. */
static void check_inverse_of_forward(const sotto_ntt *reference, const sotto_ntt *t, const sotto_rng *rng)
{
    uint64_t q = t->m.q, *x = words_new(t->n), *original = words_new(t->n);
    for (unsigned kind = 0; kind < FILLS; kind++) {
        fill(original, t->n, q, kind, rng);
        memcpy(x, original, t->n * sizeof *x);
        reference->kernels->inverse(reference, x);
        t->kernels->forward(t, x);
        assert_memory_equal(x, original, t->n * sizeof *x);
        reference->kernels->forward(reference, x);
        t->kernels->inverse(t, x);
        assert_memory_equal(x, original, t->n * sizeof *x);
    }
    sotto_free(x);
    sotto_free(original);
}

static void extreme_results(void **state)
{
    (void)state;
    for_all(check_inverse_of_forward, 22);
}

static uint64_t mul_add(uint64_t a, uint64_t b, uint64_t c, uint64_t q)
{
    return (uint64_t)(((sotto_u128)a * b + c) % q);
}

static void check_pointwise(const sotto_ntt *reference, const sotto_ntt *t, const sotto_rng *rng)
{
    (void)reference;
    uint64_t q = t->m.q, *a = words_new(t->n), *b = words_new(t->n), *acc = words_new(t->n), *out = words_new(t->n);
    size_t bytes = t->n * sizeof *a;
    for (unsigned kind = 0; kind < FILLS; kind++) {
        fill(a, t->n, 4 * q, kind, rng);
        fill(b, t->n, 4 * q, kind % 3 == 0 ? 0 : 7, rng);
        fill(acc, t->n, q, kind % 2 == 0 ? 0 : 7, rng);
        memcpy(out, acc, bytes);
        t->kernels->mac(t, out, a, b);
        for (uint32_t i = 0; i < t->n; i++)
            assert_true(out[i] == mul_add(a[i], b[i], acc[i], q));
        t->kernels->mul(t, out, a, b);
        for (uint32_t i = 0; i < t->n; i++)
            assert_true(out[i] == mul_add(a[i], b[i], 0, q));
        memcpy(acc, a, bytes);
        t->kernels->mul(t, acc, acc, b);
        assert_memory_equal(acc, out, bytes);
        memcpy(acc, b, bytes);
        t->kernels->mul(t, acc, a, acc);
        assert_memory_equal(acc, out, bytes);
        memcpy(acc, a, bytes);
        t->kernels->mul(t, acc, acc, acc);
        for (uint32_t i = 0; i < t->n; i++)
            assert_true(acc[i] == mul_add(a[i], a[i], 0, q));
    }
    sotto_free(a);
    sotto_free(b);
    sotto_free(acc);
    sotto_free(out);
}

static void pointwise_by_definition(void **state)
{
    (void)state;
    for_all(check_pointwise, 23);
}

/* x, w < q with the low half of x w all ones, so that sums of low halves grow as fast as they can: w odd, x = -1/w mod
 * 2^52. */
static void longest_low_half(uint64_t *x, uint64_t *w, uint64_t q, const sotto_rng *rng)
{
    const uint64_t ones = ((uint64_t)1 << 52) - 1;
    do {
        *w = test_below(rng, q / 2) * 2 + 1;
        uint64_t inverse = *w; /* correct to 3 bits; each step doubles them (Newton) */
        for (int i = 0; i < 5; i++)
            inverse *= 2 - *w * inverse;
        *x = -inverse & ones;
    } while (*x >= q || *w >= q);
    assert_true(((*x * *w) & ones) == ones);
}

/* The terms take turns with a few polynomials. Of each kind the first has one value everywhere: the top, or what makes
 * low halves longest. Counts lie around the runs of 4095. */
#define POLYS 5

static void check_dot_pair(const sotto_ntt *reference, const sotto_ntt *t, const sotto_rng *rng)
{
    (void)reference;
    static const size_t counts[] = {0, 1, 2, 3, 17, 4095, 4096, 4097, 4098, 8190, 8192, 12345};
    uint64_t q = t->m.q, *polys[3][POLYS], *out0 = words_new(t->n), *out1 = words_new(t->n);
    size_t most = t->n == sotto_ntt_kernels_ifma.n_min ? ARRAY_LEN(counts) : 5;
    const uint64_t **terms[3];
    for (size_t kind = 0; kind < 3; kind++) {
        terms[kind] = malloc(counts[most - 1] * sizeof *terms[kind]);
        assert_non_null(terms[kind]);
        for (size_t i = 0; i < POLYS; i++) {
            polys[kind][i] = words_new(t->n);
            fill(polys[kind][i], t->n, q, 7, rng);
        }
    }
    for (size_t c = 0; c < most; c++)
        for (size_t variety = 1; variety <= POLYS; variety += POLYS - 1) {
            uint64_t x = q - 1, w = q - 1;
            if (c % 2 == 0 && q >> 46 != 0)
                longest_low_half(&x, &w, q, rng);
            for (uint32_t i = 0; i < t->n; i++) {
                polys[0][0][i] = polys[1][0][i] = x;
                polys[2][0][i] = w;
            }
            for (size_t kind = 0; kind < 3; kind++)
                for (size_t k = 0; k < counts[c]; k++)
                    terms[kind][k] = polys[kind][(k / (kind + 1)) % variety];
            memset(out0, 0xff, t->n * sizeof *out0);
            memset(out1, 0xff, t->n * sizeof *out1);
            t->kernels->dot_pair(t, out0, out1, terms[0], terms[1], terms[2], counts[c]);
            for (uint32_t i = 0; i < t->n; i++) {
                uint64_t want0 = 0, want1 = 0;
                for (size_t k = 0; k < counts[c]; k++) {
                    want0 = mul_add(terms[0][k][i], terms[2][k][i], want0, q);
                    want1 = mul_add(terms[1][k][i], terms[2][k][i], want1, q);
                }
                assert_true(out0[i] == want0 && out1[i] == want1);
            }
        }
    for (size_t kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < POLYS; i++)
            sotto_free(polys[kind][i]);
        free(terms[kind]);
    }
    sotto_free(out0);
    sotto_free(out1);
}

static void dot_pair_by_definition(void **state)
{
    (void)state;
    for_all(check_dot_pair, 24);
}

static const sotto_ntt_kernels *chosen(uint32_t n, uint64_t q)
{
    sotto_ntt *t = NULL;
    assert_ok(sotto_ntt_new(&t, n, q));
    const sotto_ntt_kernels *kernels = t->kernels;
    sotto_ntt_free(t);
    return kernels;
}

static void thresholds_of_the_choice(void **state)
{
    (void)state;
    skip_below_tier();
    for (uint32_t n = sotto_ntt_kernels_ifma.n_min; n <= SOTTO_NTT_N_MAX; n *= 16) {
        assert_ptr_equal(chosen(n, prime_of(46, n)), &sotto_ntt_kernels_ifma46);
        assert_ptr_equal(chosen(n, prime_above(46, n)), &sotto_ntt_kernels_ifma);
        assert_ptr_equal(chosen(n, prime_of(50, n)), &sotto_ntt_kernels_ifma);
        assert_ptr_not_equal(chosen(n, prime_above(50, n)), &sotto_ntt_kernels_ifma);
    }
    uint32_t small = sotto_ntt_kernels_ifma.n_min / 2;
    assert_ptr_not_equal(chosen(small, prime_of(46, small)), &sotto_ntt_kernels_ifma46);
    assert_ptr_not_equal(chosen(small, prime_of(50, small)), &sotto_ntt_kernels_ifma);
}

static void memory_runs_out(void **state)
{
    (void)state;
    skip_below_tier();
    sotto_ntt *t = portable(1024, prime_of(50, 1024));
    for (size_t k = 0; k < ARRAY_LEN(tables); k++) {
        sotto_ntt other = *t;
        sotto_calloc_fail_after(0);
        int status = tables[k]->prepare(&other);
        sotto_calloc_fail_after(-1);
        assert_status(SOTTO_ERR_MEMORY, status);
        assert_null(other.vector);
    }
    sotto_ntt_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_agrees),           cmocka_unit_test(inverse_agrees),
        cmocka_unit_test(extreme_results),          cmocka_unit_test(pointwise_by_definition),
        cmocka_unit_test(dot_pair_by_definition),   cmocka_unit_test(thresholds_of_the_choice),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    fprintf(stderr, "no kernels of this tier outside x86-64\n");
    return 0;
}

#endif
