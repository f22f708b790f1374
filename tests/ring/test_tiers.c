/* Every kernel table that this CPU can run, against the portable one and against 128-bit arithmetic. */
#include "ring/kernels.h"

#include <stdlib.h>
#include <string.h>

#include "tests/ring/helpers.h"

/* Primes on both sides of every limit of a tier, and small ones. over: the smallest above 2^bits, else the largest
 * below. */
static const struct {
    unsigned bits;
    int over;
} primes[] = {{17, 0}, {20, 0}, {30, 0}, {36, 0}, {46, 0}, {46, 1}, {47, 0}, {47, 1}, {48, 1}, {49, 0},
              {49, 1}, {50, 0}, {50, 1}, {51, 0}, {51, 1}, {60, 0}, {60, 1}, {61, 0}};

/* 17 bits do not hold a prime that is 1 modulo 65536. */
static uint64_t prime_at(size_t i, uint32_t n)
{
    if (primes[i].bits < 20 && n > 8192)
        return prime_of(20, n);
    return primes[i].over ? prime_over(primes[i].bits, n) : prime_of(primes[i].bits, n);
}

/* What fills the input: random, and the top of the range in patterns that sums and differences of every layer meet. */
typedef enum fill {
    FILL_EDGY,
    FILL_TOP,
    FILL_TOP_AND_ZERO, /* in turn */
    FILL_HALVES,
    FILL_ENDS,         /* at random */
    FILL_MONOMIAL,
    FILL_ZERO,
    FILL_COUNT
} fill;

static void fill_words(uint64_t *x, uint32_t n, uint64_t bound, fill kind, const sotto_rng *rng)
{
    for (uint32_t j = 0; j < n; j++)
        x[j] = kind == FILL_EDGY           ? edgy_below(rng, bound)
               : kind == FILL_TOP          ? bound - 1
               : kind == FILL_TOP_AND_ZERO ? (bound - 1) * (j & 1)
               : kind == FILL_HALVES       ? (bound - 1) * (j < n / 2)
               : kind == FILL_ENDS         ? (bound - 1) * test_below(rng, 2)
                                           : 0;
    if (kind == FILL_MONOMIAL)
        x[test_below(rng, n)] = bound - 1;
}

static uint64_t *words_new(size_t count)
{
    uint64_t *x = sotto_calloc(count, sizeof *x);
    assert_non_null(x);
    return x;
}

static void transforms_agree_on(uint32_t n, uint64_t q, const sotto_rng *rng)
{
    uint64_t *in = words_new(n), *want = words_new(n), *x = words_new(n);
    sotto_ntt *t[16] = {NULL};
    assert_true(sotto_ntt_tier_count <= ARRAY_LEN(t));
    for (size_t k = 0; k < sotto_ntt_tier_count; k++)
        t[k] = kernels_serve(sotto_ntt_tiers[k], n, q) ? transform_on(sotto_ntt_tiers[k], n, q) : NULL;
    const sotto_ntt *portable = t[sotto_ntt_tier_count - 1];

    for (fill kind = 0; kind < FILL_COUNT; kind++) {
        fill_words(in, n, 4 * q, kind, rng);
        memcpy(want, in, n * sizeof *x);
        portable->kernels->forward(portable, want);
        for (size_t k = 0; k + 1 < sotto_ntt_tier_count; k++) {
            if (t[k] == NULL)
                continue;
            memcpy(x, in, n * sizeof *x);
            t[k]->kernels->forward(t[k], x);
            assert_memory_equal(x, want, n * sizeof *x);
            memcpy(x, in, n * sizeof *x);
            t[k]->kernels->forward_lazy(t[k], x);
            for (uint32_t j = 0; j < n; j++)
                assert_true(x[j] < 4 * q && x[j] % q == want[j]);
        }
        fill_words(in, n, 2 * q, kind, rng);
        memcpy(want, in, n * sizeof *x);
        portable->kernels->inverse(portable, want);
        for (size_t k = 0; k + 1 < sotto_ntt_tier_count; k++) {
            if (t[k] == NULL)
                continue;
            memcpy(x, in, n * sizeof *x);
            t[k]->kernels->inverse(t[k], x);
            assert_memory_equal(x, want, n * sizeof *x);
        }
    }
    for (size_t k = 0; k < sotto_ntt_tier_count; k++)
        sotto_ntt_free(t[k]);
    sotto_free(in);
    sotto_free(want);
    sotto_free(x);
}

static void transforms_agree(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 30);
    for (uint32_t n = 2; n <= SOTTO_NTT_N_MAX; n *= 2)
        for (size_t i = 0; i < ARRAY_LEN(primes); i++)
            transforms_agree_on(n, prime_at(i, n), &rng);
}

/* There with one tier and back with another, and the other way: the values in NTT form are at an end of their range
 * too. */
static void round_trips_between_tiers(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 31);
    const uint32_t n = 1024;
    uint64_t *x = words_new(n), *want = words_new(n);
    for (size_t i = 0; i < ARRAY_LEN(primes); i++) {
        uint64_t q = prime_at(i, n);
        for (size_t a = 0; a < sotto_ntt_tier_count; a++)
            for (size_t b = 0; b < sotto_ntt_tier_count; b++) {
                if (!kernels_serve(sotto_ntt_tiers[a], n, q) || !kernels_serve(sotto_ntt_tiers[b], n, q))
                    continue;
                sotto_ntt *forth = transform_on(sotto_ntt_tiers[a], n, q);
                sotto_ntt *back = transform_on(sotto_ntt_tiers[b], n, q);
                for (fill kind = 0; kind < FILL_COUNT; kind++) {
                    fill_words(want, n, q, kind, &rng);
                    memcpy(x, want, n * sizeof *x);
                    sotto_ntt_forward(forth, x);
                    sotto_ntt_inverse(back, x);
                    assert_memory_equal(x, want, n * sizeof *x);
                    sotto_ntt_inverse(forth, x);
                    sotto_ntt_forward_lazy(back, x);
                    for (uint32_t j = 0; j < n; j++)
                        assert_true(x[j] < 4 * q && x[j] % q == want[j]);
                }
                sotto_ntt_free(forth);
                sotto_ntt_free(back);
            }
    }
    sotto_free(x);
    sotto_free(want);
}

enum { SHORT = 64, TERMS_MAX = 1100 };

static void products_on(sotto_ntt *t, const sotto_rng *rng)
{
    const uint64_t q = t->m.q;
    uint64_t a[SHORT], b[SHORT], acc[SHORT], out[SHORT], product[SHORT], sum[SHORT], square[SHORT];
    for (unsigned round = 0; round < 60; round++) {
        fill_words(a, SHORT, round % 3 == 0 ? q : 4 * q, round % FILL_COUNT, rng);
        fill_words(b, SHORT, 4 * q, round / FILL_COUNT % FILL_COUNT, rng);
        fill_words(acc, SHORT, q, round % 2 ? FILL_TOP : FILL_EDGY, rng);
        for (size_t j = 0; j < SHORT; j++) {
            product[j] = (uint64_t)((sotto_u128)a[j] * b[j] % q);
            square[j] = (uint64_t)((sotto_u128)a[j] * a[j] % q);
            sum[j] = (acc[j] + product[j]) % q;
        }
        sotto_ntt_mac(t, acc, a, b);
        assert_memory_equal(acc, sum, sizeof acc);
        sotto_ntt_mul(t, out, a, b);
        assert_memory_equal(out, product, sizeof out);
        memcpy(out, b, sizeof out);
        sotto_ntt_mul(t, out, a, out);
        assert_memory_equal(out, product, sizeof out);
        memcpy(out, a, sizeof out);
        sotto_ntt_mul(t, out, out, b);
        assert_memory_equal(out, product, sizeof out);
        sotto_ntt_mul(t, a, a, a);
        assert_memory_equal(a, square, sizeof a);
    }
}

/* Runs f on every tier and prime of the list. */
static void on_every_tier(void (*f)(sotto_ntt *, const sotto_rng *), const sotto_rng *rng)
{
    for (size_t k = 0; k < sotto_ntt_tier_count; k++)
        for (size_t i = 0; i < ARRAY_LEN(primes); i++) {
            uint64_t q = prime_at(i, SHORT);
            if (!kernels_serve(sotto_ntt_tiers[k], SHORT, q))
                continue;
            sotto_ntt *t = transform_on(sotto_ntt_tiers[k], SHORT, q);
            f(t, rng);
            sotto_ntt_free(t);
        }
}

static void products_agree(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 32);
    on_every_tier(products_on, &rng);
}

/* Where a Barrett quotient errs most: products next to a multiple of q, on either side. */
static void products_next_to_a_multiple_on(sotto_ntt *t, const sotto_rng *rng)
{
    const uint64_t q = t->m.q;
    uint64_t a[SHORT], b[SHORT], out[SHORT], want[SHORT];
    for (unsigned round = 0; round < 40; round++) {
        for (size_t j = 0; j < SHORT; j++) {
            uint64_t x = 1 + test_below(rng, q - 1), small = test_below(rng, 5) + q - 2; /* -2..2 mod q */
            a[j] = x + test_below(rng, 4) * q;
            b[j] = (uint64_t)((sotto_u128)sotto_mod_inv(x, &t->m) * small % q) + test_below(rng, 4) * q;
            want[j] = small % q;
        }
        sotto_ntt_mul(t, out, a, b);
        assert_memory_equal(out, want, sizeof out);
    }
}

static void products_next_to_a_multiple(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 33);
    on_every_tier(products_next_to_a_multiple_on, &rng);
}

/* Where an AVX-512 quotient of 61 bits errs most: see test_ntt. */
static void products_with_the_worst_quotient(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 34);
    uint64_t q = ((uint64_t)1 << 61) - 747773056 + 1;
    while (q % (2 * SHORT) != 1 || !sotto_is_prime_var(q))
        q -= 2;
    for (size_t k = 0; k < sotto_ntt_tier_count; k++) {
        if (!kernels_serve(sotto_ntt_tiers[k], SHORT, q))
            continue;
        sotto_ntt *t = transform_on(sotto_ntt_tiers[k], SHORT, q);
        uint64_t a[SHORT], b[SHORT], out[SHORT], want[SHORT];
        for (unsigned round = 0; round < 300; round++) {
            for (size_t j = 0; j < SHORT; j++) {
                a[j] = ((4 * q) >> test_below(&rng, 3)) - 1 - test_below(&rng, (uint64_t)1 << 40);
                b[j] = ((4 * q) >> test_below(&rng, 3)) - 1 - test_below(&rng, (uint64_t)1 << 40);
                want[j] = (uint64_t)((sotto_u128)a[j] * b[j] % q);
            }
            sotto_ntt_mul(t, out, a, b);
            assert_memory_equal(out, want, sizeof out);
        }
        sotto_ntt_free(t);
    }
}

/* The same sums with the polynomials where they are, side by side, and each of one word for all slots. words: x0, x1 and w of term 0, of term 1, ... */
static void in_pieces_on(const sotto_ntt *t, const uint64_t *words, size_t terms, const uint64_t *want0, const uint64_t *want1)
{
    enum { G = SOTTO_NTT_GROUP, POLY = 3 * SHORT };
    uint64_t out0[SHORT], out1[SHORT], sum0[SHORT] = {0}, *side = words_new((terms + 1) * POLY), *constant = words_new((terms + 1) * G);
    const sotto_ntt_terms at[3] = {{words, POLY, G}, {words + SHORT, POLY, G}, {words + 2 * SHORT, POLY, G}};
    sotto_ntt_terms by[3];
    for (size_t a = 0; a < 3; a++) {
        by[a] = (sotto_ntt_terms){side + a * SHORT * terms, G, terms * G};
        for (size_t k = 0; k < terms; k++)
            for (size_t i = 0; i < SHORT; i++)
                side[a * SHORT * terms + (i / G * terms + k) * G + i % G] = words[k * POLY + a * SHORT + i];
    }
    for (size_t layout = 0; layout < 3; layout++) { /* the last: w side by side, x where it is */
        const sotto_ntt_terms *x = layout == 1 ? by : at;
        memset(out0, 0xff, sizeof out0);
        memset(out1, 0xff, sizeof out1);
        sotto_ntt_dot_pair_grouped(t, out0, out1, x[0], x[1], layout == 0 ? at[2] : by[2], terms);
        assert_memory_equal(out0, want0, sizeof out0);
        assert_memory_equal(out1, want1, sizeof out1);
    }
    for (size_t k = 0; k < terms; k++) {
        const uint64_t w = words[k * POLY + 2 * SHORT];
        for (size_t i = 0; i < G; i++)
            constant[k * G + i] = w;
        for (size_t i = 0; i < SHORT; i++)
            sum0[i] = (uint64_t)(((sotto_u128)words[k * POLY + i] * w + sum0[i]) % t->m.q);
    }
    sotto_ntt_dot_pair_grouped(t, out0, out1, by[0], by[1], (sotto_ntt_terms){constant, G, 0}, terms);
    assert_memory_equal(out0, sum0, sizeof out0);
    sotto_free(constant);
    sotto_free(side);
}

static void sums_of_products_on(sotto_ntt *t, const sotto_rng *rng)
{
    static const size_t counts[] = {0,  1,  2,  3,  4,  5,  7,  8,  9,  11,  12, 13,
                                    16, 17, 24, 25, 31, 33, 63, 64, 65, 127, 129, TERMS_MAX};
    const uint64_t q = t->m.q;
    uint64_t *words = words_new(3 * (size_t)TERMS_MAX * SHORT);
    static const uint64_t *x0[TERMS_MAX], *x1[TERMS_MAX], *w[TERMS_MAX];
    for (size_t k = 0; k < TERMS_MAX; k++) {
        x0[k] = words + 3 * k * SHORT;
        x1[k] = x0[k] + SHORT;
        w[k] = x1[k] + SHORT;
    }
    for (unsigned round = 0; round < 3; round++) { /* all at the top; top and zero; random with extremes */
        static const fill kinds[3] = {FILL_TOP, FILL_ENDS, FILL_EDGY};
        fill_words(words, 3 * TERMS_MAX * SHORT, q, kinds[round], rng);
        uint64_t want0[SHORT] = {0}, want1[SHORT] = {0}, out0[SHORT], out1[SHORT];
        size_t done = 0;
        for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
            for (; done < counts[c]; done++)
                for (size_t j = 0; j < SHORT; j++) {
                    want0[j] = (uint64_t)(((sotto_u128)x0[done][j] * w[done][j] + want0[j]) % q);
                    want1[j] = (uint64_t)(((sotto_u128)x1[done][j] * w[done][j] + want1[j]) % q);
                }
            memset(out0, 0xff, sizeof out0);
            memset(out1, 0xff, sizeof out1);
            sotto_ntt_dot_pair(t, out0, out1, x0, x1, w, counts[c]);
            assert_memory_equal(out0, want0, sizeof out0);
            assert_memory_equal(out1, want1, sizeof out1);
            in_pieces_on(t, words, counts[c], want0, want1);
        }
    }
    sotto_free(words);
}

static void sums_of_products_agree(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 35);
    on_every_tier(sums_of_products_on, &rng);
}

static void choice_follows_cpu_and_prime(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {2, 8, 16, 32, 1024};
    const sotto_tier own = sotto_cpu_tier();
    for (int cap = SOTTO_TIER_PORTABLE; cap <= SOTTO_TIER_IFMA; cap++)
        for (size_t l = 0; l < ARRAY_LEN(lengths); l++)
            for (size_t i = 0; i < ARRAY_LEN(primes); i++) {
                sotto_ntt *t = NULL;
                uint64_t q = prime_at(i, lengths[l]);
                sotto_cpu_force_tier((sotto_tier)cap);
                assert_ok(sotto_ntt_new(&t, lengths[l], q));
                assert_true((int)t->kernels->tier <= cap && t->kernels->tier <= own);
                assert_true(kernels_serve(t->kernels, lengths[l], q));
                for (size_t k = 0; sotto_ntt_tiers[k] != t->kernels; k++)
                    assert_false(kernels_serve(sotto_ntt_tiers[k], lengths[l], q));
                assert_string_equal(sotto_ntt_tier(t), t->kernels->name);
                sotto_ntt_free(t);
            }
    sotto_cpu_force_tier(SOTTO_TIER_IFMA);
}

/* The list is in order and its last entry serves everything. */
static void portable_comes_last(void **state)
{
    (void)state;
    assert_true(sotto_ntt_tier_count >= 1);
    for (size_t k = 0; k + 1 < sotto_ntt_tier_count; k++)
        assert_in_range(sotto_ntt_tiers[k]->tier, sotto_ntt_tiers[k + 1]->tier, SOTTO_TIER_IFMA);
    const sotto_ntt_kernels *last = sotto_ntt_tiers[sotto_ntt_tier_count - 1];
    assert_true(last == &sotto_ntt_kernels_ref && last->n_min == 2 && last->bits_max == SOTTO_MODULUS_BITS_MAX);
}

static void memory_fails_in_every_tier(void **state)
{
    (void)state;
    for (size_t k = 0; k < sotto_ntt_tier_count; k++) {
        const uint64_t q = prime_of(sotto_ntt_tiers[k]->bits_max, 1024);
        if (!kernels_serve(sotto_ntt_tiers[k], 1024, q) || sotto_ntt_tiers[k]->prepare == NULL)
            continue;
        sotto_ntt *t = transform_on(sotto_ntt_tiers[k], 1024, q);
        sotto_free(t->vector);
        t->vector = NULL;
        sotto_calloc_fail_after(0);
        assert_status(SOTTO_ERR_MEMORY, t->kernels->prepare(t));
        sotto_calloc_fail_after(-1);
        assert_null(t->vector);
        sotto_ntt_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(portable_comes_last),
        cmocka_unit_test(choice_follows_cpu_and_prime),
        cmocka_unit_test(transforms_agree),
        cmocka_unit_test(round_trips_between_tiers),
        cmocka_unit_test(products_agree),
        cmocka_unit_test(products_next_to_a_multiple),
        cmocka_unit_test(products_with_the_worst_quotient),
        cmocka_unit_test(sums_of_products_agree),
        cmocka_unit_test(memory_fails_in_every_tier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
