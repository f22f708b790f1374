#include "ring/modulus.h"

#include "tests/ring/helpers.h"

static const uint64_t words[] = {0, 1, 2, 3, 0x7fffffff, 0xffffffff, 0x100000000, ((uint64_t)1 << 61) - 1, (uint64_t)1 << 63,
                                 ((uint64_t)1 << 63) - 1, UINT64_MAX - 1, UINT64_MAX};

/* Odd moduli of every size, the ends of each size among them. */
static size_t list_moduli(uint64_t *out, const sotto_rng *rng)
{
    size_t count = 0;
    for (unsigned bits = 2; bits <= 61; bits++) {
        uint64_t low = (uint64_t)1 << (bits - 1);
        out[count++] = low + 1;
        out[count++] = 2 * low - 1;
        out[count++] = low | test_below(rng, low) | 1;
    }
    return count;
}

static void init_refuses_what_is_out_of_range(void **state)
{
    (void)state;
    const uint64_t bad[] = {0, 1, 2, 4, 1000, (uint64_t)1 << 60, (uint64_t)1 << 61, ((uint64_t)1 << 61) + 1, UINT64_MAX};
    sotto_modulus m;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_status(SOTTO_ERR_PARAMS, sotto_modulus_init(&m, bad[i]));
}

static void ratio_agrees_with_gmp(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 1);
    uint64_t moduli[180];
    size_t count = list_moduli(moduli, &rng);
    mpz_t want, q;
    mpz_inits(want, q, NULL);
    for (size_t i = 0; i < count; i++) {
        sotto_modulus m;
        assert_ok(sotto_modulus_init(&m, moduli[i]));
        int_set(q, moduli[i]);
        assert_int_equal(m.bits, mpz_sizeinbase(q, 2));
        mpz_set_ui(want, 1);
        mpz_mul_2exp(want, want, 128);
        mpz_fdiv_q(want, want, q);
        assert_int_equal(m.ratio[0], int_low(want));
        mpz_fdiv_q_2exp(want, want, 64);
        assert_int_equal(m.ratio[1], int_low(want));
    }
    mpz_clears(want, q, NULL);
}

static void all_pairs_of_small_moduli(void **state)
{
    (void)state;
    for (uint64_t q = 3; q <= 35; q += 2) {
        sotto_modulus m;
        assert_ok(sotto_modulus_init(&m, q));
        for (uint64_t a = 0; a < q; a++) {
            assert_int_equal(sotto_mod_neg(a, q), (q - a) % q);
            int64_t centred = sotto_mod_centre(a, q);
            assert_true(2 * centred < (int64_t)q && 2 * centred > -(int64_t)q);
            assert_int_equal(sotto_mod_from_signed(centred, &m), a);
            sotto_shoup s = sotto_shoup_new(a, &m);
            assert_int_equal(s.w, a);
            assert_int_equal(s.quotient, (uint64_t)(((sotto_u128)a << 64) / q));
            for (uint64_t b = 0; b < q; b++) {
                assert_int_equal(sotto_mod_add(a, b, q), (a + b) % q);
                assert_int_equal(sotto_mod_sub(a, b, q), (a + q - b) % q);
                assert_int_equal(sotto_mod_mul(a, b, &m), a * b % q);
                assert_int_equal(sotto_shoup_mul(b, s, q), a * b % q);
            }
        }
        for (uint64_t x = 0; x < 4 * q * q; x++)
            assert_int_equal(sotto_mod_reduce(x, &m), x % q);
        if (sotto_is_prime_var(q))
            for (uint64_t a = 1; a < 3 * q; a++)
                if (a % q != 0)
                    assert_int_equal(sotto_mod_mul(a, sotto_mod_inv(a, &m), &m), 1);
    }
}

static void check_words(const sotto_modulus *m, uint64_t a, uint64_t b)
{
    uint64_t q = m->q;
    sotto_u128 wide = ((sotto_u128)a << 64) | b;
    assert_int_equal(sotto_mod_reduce(a, m), a % q);
    assert_int_equal(sotto_mod_reduce128(wide, m), (uint64_t)(wide % q));
    assert_int_equal(sotto_mod_mul(a, b, m), (uint64_t)((sotto_u128)a * b % q));
    uint64_t x = a % q, y = b % q;
    assert_int_equal(sotto_mod_add(x, y, q), (x + y) % q);
    assert_int_equal(sotto_mod_sub(x, y, q), (x + q - y) % q);
    assert_int_equal(sotto_mod_neg(x, q), (q - x) % q);
    sotto_shoup s = sotto_shoup_new(b, m);
    assert_int_equal(s.w, y);
    assert_int_equal(s.quotient, (uint64_t)(((sotto_u128)y << 64) / q));
    uint64_t lazy = sotto_shoup_mul_lazy(a, s, q);
    assert_true(lazy < 2 * q && lazy % q == (uint64_t)((sotto_u128)a * y % q));
    assert_int_equal(sotto_shoup_mul(a, s, q), (uint64_t)((sotto_u128)a * y % q));

    int64_t centred = sotto_mod_centre(x, q);
    assert_int_equal(centred, x > q / 2 ? -(int64_t)(q - x) : (int64_t)x);
    int64_t negative = -(int64_t)(a >> 1), positive = (int64_t)(a >> 1);
    assert_int_equal(sotto_mod_from_signed(positive, m), (a >> 1) % q);
    assert_int_equal(sotto_mod_from_signed(negative, m), (q - (a >> 1) % q) % q);
}

static void random_and_extreme_words(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 2);
    uint64_t moduli[180];
    size_t count = list_moduli(moduli, &rng);
    for (size_t i = 0; i < count; i++) {
        sotto_modulus m;
        assert_ok(sotto_modulus_init(&m, moduli[i]));
        uint64_t q = moduli[i];
        const uint64_t near[] = {q - 1, q, q + 1, 2 * q - 1, 2 * q, UINT64_MAX / q * q, UINT64_MAX / q * q - 1};
        for (size_t j = 0; j < ARRAY_LEN(words) + ARRAY_LEN(near); j++)
            for (size_t k = 0; k < ARRAY_LEN(words) + ARRAY_LEN(near); k++)
                check_words(&m, j < ARRAY_LEN(words) ? words[j] : near[j - ARRAY_LEN(words)],
                            k < ARRAY_LEN(words) ? words[k] : near[k - ARRAY_LEN(words)]);
        for (int j = 0; j < 300; j++)
            check_words(&m, test_u64(&rng), test_u64(&rng));
    }
}

static void once_keeps_its_widest_range(void **state)
{
    (void)state;
    const uint64_t c = (uint64_t)1 << 63; /* the largest c of the contract */
    assert_int_equal(sotto_mod_once(0, c), 0);
    assert_int_equal(sotto_mod_once(c - 1, c), c - 1);
    assert_int_equal(sotto_mod_once(c, c), 0);
    assert_int_equal(sotto_mod_once(UINT64_MAX, c), c - 1);
}

static void high_products_agree_with_gmp(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 3);
    mpz_t x, y, word;
    mpz_inits(x, y, word, NULL);
    for (int i = 0; i < 20000; i++) {
        uint64_t v[4];
        for (size_t j = 0; j < 4; j++)
            v[j] = test_below(&rng, 3) == 0 ? words[test_below(&rng, ARRAY_LEN(words))] : test_u64(&rng);
        mpz_import(x, 2, -1, 8, 0, 0, v);
        mpz_import(y, 2, -1, 8, 0, 0, v + 2);
        mpz_mul(x, x, y);
        mpz_fdiv_q_2exp(x, x, 128);
        sotto_u128 got = sotto_mulhi128(((sotto_u128)v[1] << 64) | v[0], v + 2);
        assert_int_equal((uint64_t)got, int_low(x));
        mpz_fdiv_q_2exp(x, x, 64);
        assert_int_equal((uint64_t)(got >> 64), int_low(x));
    }
    mpz_clears(x, y, word, NULL);
}

static void powers_agree_with_gmp(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 4);
    uint64_t moduli[180];
    size_t count = list_moduli(moduli, &rng);
    mpz_t a, e, q;
    mpz_inits(a, e, q, NULL);
    for (size_t i = 0; i < count; i++) {
        sotto_modulus m;
        assert_ok(sotto_modulus_init(&m, moduli[i]));
        int_set(q, moduli[i]);
        for (int j = 0; j < 20; j++) {
            uint64_t base = test_u64(&rng), exponent = j < 3 ? (uint64_t)j : test_u64(&rng);
            int_set(a, base);
            int_set(e, exponent);
            mpz_powm(a, a, e, q);
            assert_int_equal(sotto_mod_pow_var(base, exponent, &m), int_low(a));
        }
    }
    mpz_clears(a, e, q, NULL);
}

static void inverses(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 5);
    for (unsigned bits = 20; bits <= 61; bits++) {
        sotto_modulus m;
        assert_ok(sotto_modulus_init(&m, prime_of(bits, 1024)));
        for (int j = 0; j < 20; j++) {
            uint64_t a = 1 + edgy_below(&rng, m.q - 1);
            uint64_t inverse = sotto_mod_inv(a, &m);
            assert_true(inverse < m.q);
            assert_int_equal((uint64_t)((sotto_u128)a * inverse % m.q), 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_refuses_what_is_out_of_range),
        cmocka_unit_test(ratio_agrees_with_gmp),
        cmocka_unit_test(all_pairs_of_small_moduli),
        cmocka_unit_test(random_and_extreme_words),
        cmocka_unit_test(once_keeps_its_widest_range),
        cmocka_unit_test(high_products_agree_with_gmp),
        cmocka_unit_test(powers_agree_with_gmp),
        cmocka_unit_test(inverses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
