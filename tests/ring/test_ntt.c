#include "ring/ntt.h"

#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "tests/ring/helpers.h"

static const unsigned sizes[] = {30, 36, 46, 50, 60, 61};

static sotto_ntt *transform(uint32_t n, uint64_t q)
{
    sotto_ntt *t = NULL;
    assert_ok(sotto_ntt_new(&t, n, q));
    assert_int_equal(sotto_ntt_n(t), n);
    assert_int_equal(sotto_ntt_modulus(t)->q, q);
    return t;
}

static uint64_t *words_new(size_t count)
{
    uint64_t *x = malloc(count * sizeof *x);
    assert_non_null(x);
    return x;
}

static uint32_t reverse_bits(uint32_t i, uint32_t n)
{
    uint32_t r = 0;
    for (uint32_t bit = 1; bit < n; bit *= 2, i >>= 1)
        r = 2 * r + (i & 1);
    return r;
}

/* By definition: out[i] = x(psi^(2 bitrev(i) + 1)). */
static void naive_forward(uint64_t *out, const uint64_t *x, uint32_t n, const sotto_modulus *m)
{
    uint64_t psi = 0;
    assert_ok(sotto_primitive_root_var(&psi, m->q, n));
    for (uint32_t i = 0; i < n; i++) {
        uint64_t point = sotto_mod_pow_var(psi, 2 * reverse_bits(i, n) + 1, m), sum = 0;
        for (uint32_t j = n; j-- > 0;)
            sum = (uint64_t)(((sotto_u128)sum * point + x[j]) % m->q);
        out[i] = sum;
    }
}

static void naive_product(uint64_t *out, const uint64_t *x, const uint64_t *y, uint32_t n, uint64_t q)
{
    memset(out, 0, n * sizeof *out);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < n; j++) {
            uint64_t term = (uint64_t)((sotto_u128)x[i] * y[j] % q);
            uint32_t k = (i + j) % n;
            out[k] = (out[k] + (i + j < n ? term : q - term)) % q;
        }
}

/* x y mod (X^n + 1, q) by one product of integers (Kronecker substitution at 2^192 > n q^2). */
static void gmp_product(uint64_t *out, const uint64_t *x, const uint64_t *y, uint32_t n, uint64_t q)
{
    uint64_t *slots = calloc(6 * (size_t)n, sizeof *slots);
    assert_non_null(slots);
    mpz_t a, b;
    mpz_inits(a, b, NULL);
    for (uint32_t i = 0; i < n; i++)
        slots[3 * i] = x[i];
    mpz_import(a, 3 * (size_t)n, -1, 8, 0, 0, slots);
    for (uint32_t i = 0; i < n; i++)
        slots[3 * i] = y[i];
    mpz_import(b, 3 * (size_t)n, -1, 8, 0, 0, slots);
    mpz_mul(a, a, b);
    memset(slots, 0, 6 * (size_t)n * sizeof *slots);
    mpz_export(slots, NULL, -1, 8, 0, 0, a);
    uint64_t folded[2];
    for (uint32_t i = 0; i < n; i++) {
        for (size_t half = 0; half < 2; half++) {
            const uint64_t *slot = slots + 3 * (i + half * n);
            sotto_u128 r = ((sotto_u128)(slot[2] % q) << 64) | slot[1];
            folded[half] = (uint64_t)((((r % q) << 64) | slot[0]) % q);
        }
        out[i] = (folded[0] + q - folded[1]) % q;
    }
    mpz_clears(a, b, NULL);
    free(slots);
}

static void tiny_transforms_by_definition(void **state)
{
    (void)state;
    /* All inputs of length 2 mod 17, all unit vectors and their multiples of lengths 4 and 8 (the transform is linear). */
    uint64_t x[8], want[8];
    for (uint32_t n = 2; n <= 8; n *= 2) {
        sotto_ntt *t = transform(n, 17);
        for (uint64_t a = 0; a < 17; a++)
            for (uint64_t b = 0; b < 17; b++)
                for (uint32_t at = 0; at < n; at++) {
                    memset(x, 0, sizeof x);
                    x[0] = a;
                    x[at] = b;
                    naive_forward(want, x, n, sotto_ntt_modulus(t));
                    uint64_t original[8];
                    memcpy(original, x, sizeof x);
                    sotto_ntt_forward(t, x);
                    assert_memory_equal(x, want, n * sizeof *x);
                    sotto_ntt_inverse(t, x);
                    assert_memory_equal(x, original, n * sizeof *x);
                }
        sotto_ntt_free(t);
    }
}

static void all_products_of_length_two(void **state)
{
    (void)state;
    sotto_ntt *t = transform(2, 17);
    for (uint32_t i = 0; i < 17 * 17 * 17 * 17; i++) {
        uint64_t x[2] = {i % 17, i / 17 % 17}, y[2] = {i / 289 % 17, i / 4913}, want[2];
        naive_product(want, x, y, 2, 17);
        sotto_ntt_forward(t, x);
        sotto_ntt_forward(t, y);
        sotto_ntt_mul(t, x, x, y);
        sotto_ntt_inverse(t, x);
        assert_memory_equal(x, want, sizeof x);
    }
    sotto_ntt_free(t);
}

static void values_and_order_by_definition(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 10);
    for (uint32_t n = 2; n <= 1024; n *= 2)
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            if (n > 128 && i % 5 != 0)
                continue;
            sotto_ntt *t = transform(n, prime_of(sizes[i], n));
            uint64_t q = sotto_ntt_modulus(t)->q, x[1024], want[1024];
            for (uint32_t j = 0; j < n; j++)
                x[j] = edgy_below(&rng, q);
            naive_forward(want, x, n, sotto_ntt_modulus(t));
            sotto_ntt_forward(t, x);
            assert_memory_equal(x, want, n * sizeof *x);
            sotto_ntt_free(t);
        }
}

/* What fills a polynomial in the product test. */
typedef enum fill { FILL_RANDOM, FILL_LARGEST, FILL_ALTERNATING, FILL_MONOMIAL, FILL_EDGY, FILL_COUNT } fill;

static void fill_poly(uint64_t *x, uint32_t n, uint64_t q, fill kind, const sotto_rng *rng)
{
    for (uint32_t j = 0; j < n; j++)
        x[j] = kind == FILL_RANDOM        ? test_below(rng, q)
               : kind == FILL_LARGEST     ? q - 1
               : kind == FILL_ALTERNATING ? (q - 1) * (j & 1)
               : kind == FILL_EDGY        ? edgy_below(rng, q)
                                          : 0;
    if (kind == FILL_MONOMIAL)
        x[n - 1] = q - 1;
}

static void products_agree_with_gmp(void **state)
{
    (void)state;
    static const fill pairs[][2] = {{FILL_RANDOM, FILL_RANDOM},     {FILL_LARGEST, FILL_LARGEST}, {FILL_EDGY, FILL_RANDOM},
                                    {FILL_MONOMIAL, FILL_RANDOM},   {FILL_ALTERNATING, FILL_EDGY}};
    sotto_rng rng = test_rng(test_seed(), 11);
    for (uint32_t n = SOTTO_NTT_N_MIN; n <= SOTTO_NTT_N_MAX; n *= 2) {
        uint64_t *x = words_new(n), *y = words_new(n), *want = words_new(n);
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            sotto_ntt *t = transform(n, prime_of(sizes[i], n));
            uint64_t q = sotto_ntt_modulus(t)->q;
            for (size_t k = 0; k < (n > 8192 ? 2 : ARRAY_LEN(pairs)); k++) {
                fill_poly(x, n, q, pairs[k][0], &rng);
                fill_poly(y, n, q, pairs[k][1], &rng);
                gmp_product(want, x, y, n, q);
                sotto_ntt_forward_lazy(t, x);
                sotto_ntt_forward_lazy(t, y);
                sotto_ntt_mul(t, x, x, y);
                sotto_ntt_inverse(t, x);
                assert_memory_equal(x, want, n * sizeof *x);
            }
            sotto_ntt_free(t);
        }
        free(x);
        free(y);
        free(want);
    }
}

static void ranges_are_kept(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 12);
    for (uint32_t n = 2; n <= 4096; n *= 2) {
        uint64_t *x = words_new(n), *lifted = words_new(n), *lazy = words_new(n);
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            sotto_ntt *t = transform(n, prime_of(sizes[i], n));
            uint64_t q = sotto_ntt_modulus(t)->q;
            for (int extreme = 0; extreme < 2; extreme++) {
                for (uint32_t j = 0; j < n; j++) {
                    x[j] = extreme ? q - 1 : edgy_below(&rng, q);
                    lifted[j] = x[j] + (extreme ? 3 : test_below(&rng, 4)) * q;
                }
                memcpy(lazy, lifted, n * sizeof *x);
                sotto_ntt_forward(t, x);
                sotto_ntt_forward(t, lifted);
                sotto_ntt_forward_lazy(t, lazy);
                for (uint32_t j = 0; j < n; j++) {
                    assert_true(x[j] < q && lifted[j] == x[j]);
                    assert_true(lazy[j] < 4 * q && lazy[j] % q == x[j]);
                }
                for (uint32_t j = 0; j < n; j++) {
                    x[j] = extreme ? q - 1 : edgy_below(&rng, q);
                    lifted[j] = x[j] + (extreme ? 1 : test_below(&rng, 2)) * q;
                }
                memcpy(lazy, x, n * sizeof *x);
                sotto_ntt_inverse(t, x);
                sotto_ntt_inverse(t, lifted);
                for (uint32_t j = 0; j < n; j++)
                    assert_true(x[j] < q && lifted[j] == x[j]);
                sotto_ntt_forward(t, x);
                assert_memory_equal(x, lazy, n * sizeof *x);
            }
            sotto_ntt_free(t);
        }
        free(x);
        free(lifted);
        free(lazy);
    }
}

static void round_trip_at_every_size(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 13);
    for (uint32_t n = 2; n <= SOTTO_NTT_N_MAX; n *= 2) {
        uint64_t *x = words_new(n), *want = words_new(n);
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            sotto_ntt *t = transform(n, prime_of(sizes[i], n));
            fill_poly(want, n, sotto_ntt_modulus(t)->q, FILL_EDGY, &rng);
            memcpy(x, want, n * sizeof *x);
            sotto_ntt_forward(t, x);
            sotto_ntt_inverse(t, x);
            assert_memory_equal(x, want, n * sizeof *x);
            sotto_ntt_free(t);
        }
        free(x);
        free(want);
    }
}

enum { SHORT = 64 };

/* Products under q of values below 4q that draw(rng, 4q) gives. */
static void check_pointwise(uint64_t q, uint64_t (*draw)(const sotto_rng *, uint64_t), const sotto_rng *rng)
{
    sotto_ntt *t = transform(SHORT, q);
    for (int round = 0; round < 200; round++) {
        uint64_t a[SHORT], b[SHORT], acc[SHORT], out[SHORT], product[SHORT], sum[SHORT], square[SHORT];
        for (size_t j = 0; j < SHORT; j++) {
            a[j] = draw(rng, 4 * q);
            b[j] = draw(rng, 4 * q);
            acc[j] = edgy_below(rng, q);
            product[j] = (uint64_t)((sotto_u128)a[j] * b[j] % q);
            square[j] = (uint64_t)((sotto_u128)a[j] * a[j] % q);
            sum[j] = (acc[j] + product[j]) % q;
        }
        sotto_ntt_mul(t, out, a, b);
        assert_memory_equal(out, product, sizeof out);
        sotto_ntt_mac(t, acc, a, b);
        assert_memory_equal(acc, sum, sizeof acc);
        memcpy(out, b, sizeof out);
        sotto_ntt_mul(t, out, a, out);
        assert_memory_equal(out, product, sizeof out);
        memcpy(out, a, sizeof out);
        sotto_ntt_mul(t, out, out, b);
        assert_memory_equal(out, product, sizeof out);
        sotto_ntt_mul(t, a, a, a);
        assert_memory_equal(a, square, sizeof a);
    }
    sotto_ntt_free(t);
}

static void pointwise_products(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 14);
    for (unsigned bits = 8; bits <= 61; bits++) {
        uint64_t q = 0;
        if (sotto_prime_generate(&q, 1, bits, SHORT, NULL, 0) == SOTTO_OK)
            check_pointwise(q, edgy_below, &rng);
    }
}

/* Below bound = 4q or below 2q, near the end: the largest products left after a first reduction. */
static uint64_t near_the_end(const sotto_rng *rng, uint64_t bound)
{
    return (bound >> test_below(rng, 2)) - 1 - test_below(rng, (uint64_t)1 << 40);
}

/* Where a one-word Barrett quotient of a product errs most: frac(2^124 / q) is near 1 for q = 2^61 - d with d^2 a little
 * below 2^59, and a product near 4q^2 weighs it fully. */
static void pointwise_products_with_the_worst_quotient(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 15);
    uint64_t q = ((uint64_t)1 << 61) - 747773056 + 1;
    while (q % (2 * SHORT) != 1 || !sotto_is_prime_var(q))
        q -= 2;
    check_pointwise(q, near_the_end, &rng);
}

static void bad_parameters_are_refused(void **state)
{
    (void)state;
    const struct {
        uint32_t n;
        uint64_t q;
    } bad[] = {{0, 12289},    {1, 12289},     {3, 12289},
               {65536, 786433},    /* a prime that is 1 mod 2^17, but the length is too large */
               {4096, 12289},      /* 12289 is 1 mod 2^12 only */
               {1024, 2049},       /* composite */
               {1024, 2 * 12289},  {1024, 0},
               {1024, 1},          {2, (((uint64_t)1 << 61) | 1)},
               {1024, UINT64_MAX}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int mark = 0;
        sotto_ntt *t = (sotto_ntt *)(void *)&mark;
        assert_status(SOTTO_ERR_PARAMS, sotto_ntt_new(&t, bad[i].n, bad[i].q));
        assert_null(t);
    }
}

static void out_of_memory(void **state)
{
    (void)state;
    sotto_ntt *t = NULL;
    int status = SOTTO_ERR_MEMORY;
    long k = 0;
    for (; status != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        status = sotto_ntt_new(&t, 1024, 12289);
        if (status != SOTTO_OK) {
            assert_int_equal(status, SOTTO_ERR_MEMORY);
            assert_null(t);
        }
    }
    sotto_calloc_fail_after(-1);
    assert_true(k > 1);
    sotto_ntt_free(t);
    sotto_ntt_free(NULL);
}

static void tier_has_a_name(void **state)
{
    (void)state;
    sotto_ntt *t = transform(1024, 12289);
    assert_true(strlen(sotto_ntt_tier(t)) > 0);
    sotto_ntt_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_transforms_by_definition),
        cmocka_unit_test(all_products_of_length_two),
        cmocka_unit_test(values_and_order_by_definition),
        cmocka_unit_test(products_agree_with_gmp),
        cmocka_unit_test(ranges_are_kept),
        cmocka_unit_test(round_trip_at_every_size),
        cmocka_unit_test(pointwise_products),
        cmocka_unit_test(pointwise_products_with_the_worst_quotient),
        cmocka_unit_test(bad_parameters_are_refused),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(tier_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
