#include "ring/poly.h"

#include <string.h>

#include "lib/mem.h"
#include "tests/ring/helpers.h"

enum { N = 1024, K = 3 };

/* One basis for the portable kernels and one that the fastest tier serves. */
static unsigned bases[][K] = {{61, 30, 50}, {50, 22, 46}};

static sotto_rns *basis(void **state)
{
    const unsigned *bits = *state;
    uint64_t primes[K];
    sotto_rns *b = NULL;
    for (size_t i = 0; i < K; i++)
        assert_ok(sotto_prime_generate(&primes[i], 1, bits[i], N, NULL, 0));
    assert_ok(sotto_rns_new(&b, N, primes, K));
    return b;
}

static void random_poly(const sotto_rns *b, uint64_t *x, const sotto_rng *rng)
{
    for (size_t j = 0; j < K * N; j++)
        x[j] = edgy_below(rng, sotto_rns_modulus(b, j / N)->q);
}

typedef void binary(const sotto_rns *, uint64_t *, const uint64_t *, const uint64_t *);

static uint64_t plain_add(uint64_t x, uint64_t y, uint64_t q)
{
    return (x + y) % q;
}

static uint64_t plain_sub(uint64_t x, uint64_t y, uint64_t q)
{
    return (x + (q - y)) % q;
}

static uint64_t plain_mul(uint64_t x, uint64_t y, uint64_t q)
{
    return (uint64_t)((sotto_u128)x * y % q);
}

/* Each pointwise operation against the integers, with every way of aliasing. */
static void pointwise_operations(void **state)
{
    static const struct {
        binary *op;
        uint64_t (*plain)(uint64_t, uint64_t, uint64_t);
    } cases[] = {{sotto_poly_add, plain_add}, {sotto_poly_sub, plain_sub}, {sotto_poly_mul_ntt, plain_mul}};
    sotto_rng rng = test_rng(test_seed(), 30);
    sotto_rns *b = basis(state);
    uint64_t x[K * N], y[K * N], out[K * N], want[K * N], same[K * N];
    for (size_t c = 0; c < ARRAY_LEN(cases); c++)
        for (int round = 0; round < 50; round++) {
            random_poly(b, x, &rng);
            random_poly(b, y, &rng);
            for (size_t j = 0; j < K * N; j++) {
                uint64_t q = sotto_rns_modulus(b, j / N)->q;
                want[j] = cases[c].plain(x[j], y[j], q);
                same[j] = cases[c].plain(x[j], x[j], q);
            }
            cases[c].op(b, out, x, y);
            assert_memory_equal(out, want, sizeof out);
            memcpy(out, x, sizeof out);
            cases[c].op(b, out, out, y);
            assert_memory_equal(out, want, sizeof out);
            memcpy(out, y, sizeof out);
            cases[c].op(b, out, x, out);
            assert_memory_equal(out, want, sizeof out);
            cases[c].op(b, x, x, x);
            assert_memory_equal(x, same, sizeof x);
        }
    sotto_rns_free(b);
}

static void negation_and_accumulation(void **state)
{
    sotto_rng rng = test_rng(test_seed(), 31);
    sotto_rns *b = basis(state);
    uint64_t x[K * N], y[K * N], acc[K * N], want[K * N], out[K * N];
    for (int round = 0; round < 50; round++) {
        random_poly(b, x, &rng);
        random_poly(b, y, &rng);
        random_poly(b, acc, &rng);
        for (size_t j = 0; j < K * N; j++) {
            uint64_t q = sotto_rns_modulus(b, j / N)->q;
            want[j] = (acc[j] + plain_mul(x[j], y[j], q)) % q;
        }
        sotto_poly_mac_ntt(b, acc, x, y);
        assert_memory_equal(acc, want, sizeof acc);

        for (size_t j = 0; j < K * N; j++)
            want[j] = x[j] == 0 ? 0 : sotto_rns_modulus(b, j / N)->q - x[j];
        sotto_poly_neg(b, out, x);
        assert_memory_equal(out, want, sizeof out);
        sotto_poly_neg(b, x, x);
        assert_memory_equal(x, want, sizeof x);
    }
    sotto_rns_free(b);
}

/* Signed polynomials through residues, transform, product and CRT, against the product over the integers. */
static void products_of_signed_polynomials(void **state)
{
    sotto_rng rng = test_rng(test_seed(), 32);
    sotto_rns *b = basis(state);
    uint64_t x[K * N], y[K * N];
    int64_t cx[N], cy[N];
    mpz_t q, want, got;
    mpz_inits(q, want, got, NULL);
    sotto_rns_product(b, q);
    for (int round = 0; round < 2; round++) {
        for (size_t j = 0; j < N; j++) {
            cx[j] = (int64_t)test_below(&rng, (uint64_t)1 << 62) - ((int64_t)1 << 61);
            cy[j] = (int64_t)test_below(&rng, (uint64_t)1 << 62) - ((int64_t)1 << 61);
        }
        sotto_poly_from_signed(b, x, cx);
        sotto_poly_from_signed(b, y, cy);
        sotto_poly_forward(b, x);
        sotto_poly_forward(b, y);
        sotto_poly_mul_ntt(b, x, x, y);
        sotto_poly_inverse(b, x);
        for (size_t j = 0; j < N; j += 31) {
            mpz_set_ui(want, 0);
            for (size_t i = 0; i < N; i++) {
                mpz_set_si(got, cx[i]);
                mpz_mul_si(got, got, cy[(j + N - i) % N]);
                if (i <= j)
                    mpz_add(want, want, got);
                else
                    mpz_sub(want, want, got);
            }
            mpz_fdiv_r(want, want, q);
            uint64_t residues[K];
            for (size_t i = 0; i < K; i++)
                residues[i] = x[i * N + j];
            sotto_rns_compose_var(b, got, residues);
            assert_int_equal(mpz_cmp(want, got), 0);
        }
    }
    mpz_clears(q, want, got, NULL);
    sotto_rns_free(b);
}

static void signed_extremes(void **state)
{
    sotto_rns *b = basis(state);
    int64_t c[N] = {0, 1, -1, 19, -19, ((int64_t)1 << 62) - 1, -((int64_t)1 << 62) + 1};
    uint64_t x[K * N];
    for (size_t i = 0; i < K; i++) {
        c[7 + 2 * i] = (int64_t)sotto_rns_modulus(b, i)->q;
        c[8 + 2 * i] = -(int64_t)sotto_rns_modulus(b, i)->q;
    }
    sotto_poly_from_signed(b, x, c);
    for (size_t j = 0; j < K * N; j++) {
        int64_t q = (int64_t)sotto_rns_modulus(b, j / N)->q;
        assert_int_equal(x[j], (c[j % N] % q + q) % q);
    }
    sotto_poly_add_signed(b, x, x, c);
    for (size_t j = 0; j < K * N; j++) {
        int64_t q = (int64_t)sotto_rns_modulus(b, j / N)->q;
        assert_int_equal(x[j], 2 * ((c[j % N] % q + q) % q) % q);
    }
    sotto_rns_free(b);
}

static void memory(void **state)
{
    sotto_rns *b = basis(state);
    assert_int_equal(sotto_poly_words(b), K * N);
    uint64_t *x = sotto_poly_new(b);
    assert_non_null(x);
    for (size_t j = 0; j < K * N; j++)
        assert_int_equal(x[j], 0);
    sotto_free(x);
    sotto_calloc_fail_after(0);
    x = sotto_poly_new(b);
    sotto_calloc_fail_after(-1);
    assert_null(x);
    sotto_rns_free(b);
}

int main(void)
{
    static const struct {
        const char *name;
        CMUnitTestFunction function;
    } cases[] = {{"pointwise_operations", pointwise_operations},
                 {"negation_and_accumulation", negation_and_accumulation},
                 {"products_of_signed_polynomials", products_of_signed_polynomials},
                 {"signed_extremes", signed_extremes},
                 {"memory", memory}};
    struct CMUnitTest tests[ARRAY_LEN(bases) * ARRAY_LEN(cases)];
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        tests[i] = (struct CMUnitTest){.name = cases[i / ARRAY_LEN(bases)].name, .test_func = cases[i / ARRAY_LEN(bases)].function,
                                       .initial_state = bases[i % ARRAY_LEN(bases)]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
