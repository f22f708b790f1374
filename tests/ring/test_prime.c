#include "ring/prime.h"

#include <stdlib.h>

#include "ring/modulus.h"
#include "tests/ring/helpers.h"

static void agrees_with_a_sieve(void **state)
{
    (void)state;
    enum { LIMIT = 200000 };
    uint8_t *composite = calloc(LIMIT, 1);
    assert_non_null(composite);
    composite[0] = composite[1] = 1;
    for (size_t p = 2; p * p < LIMIT; p++)
        if (!composite[p])
            for (size_t i = p * p; i < LIMIT; i += p)
                composite[i] = 1;
    for (size_t i = 0; i < LIMIT; i++)
        assert_int_equal(sotto_is_prime_var(i), !composite[i]);
    free(composite);
}

static void known_primes_and_pseudoprimes(void **state)
{
    (void)state;
    /* Mersenne primes, and the largest primes below 2^61 and 2^64 (OEIS A014234 and A013603). */
    const uint64_t primes[] = {2147483647, 2305843009213693951, 18446744073709551557u};
    /* Smallest strong pseudoprimes to the first 4, 7 and 9 prime bases (OEIS A014233); a Carmichael number; a square. */
    const uint64_t composites[] = {3215031751, 341550071728321, 3825123056546413051, 561, (uint64_t)4294967291 * 4294967291,
                                   UINT64_MAX, (uint64_t)1 << 63};
    for (size_t i = 0; i < ARRAY_LEN(primes); i++)
        assert_int_equal(sotto_is_prime_var(primes[i]), 1);
    for (size_t i = 0; i < ARRAY_LEN(composites); i++)
        assert_int_equal(sotto_is_prime_var(composites[i]), 0);
}

static int listed(const uint64_t *list, size_t count, uint64_t x)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == x)
            return 1;
    return 0;
}

/* The list is right when it holds exactly the primes of the progression from its last entry up. */
static void check_list(const uint64_t *list, size_t count, unsigned bits, uint32_t n, const uint64_t *avoid, size_t avoided)
{
    uint64_t step = 2 * (uint64_t)n, top = (uint64_t)1 << bits;
    size_t next = 0;
    mpz_t z;
    mpz_init(z);
    for (uint64_t x = top - 1; next < count; x--) {
        assert_true(x > top / 2);
        if (x % step != 1 % step)
            continue;
        int_set(z, x);
        if (mpz_probab_prime_p(z, 30) && !listed(avoid, avoided, x))
            assert_int_equal(list[next++], x);
    }
    mpz_clear(z);
}

static void generates_the_largest_in_order(void **state)
{
    (void)state;
    const unsigned sizes[] = {30, 36, 46, 50, 60, 61};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (uint32_t n = 1024; n <= 32768; n *= 8) {
            uint64_t list[6], rest[3];
            assert_ok(sotto_prime_generate(list, 6, sizes[i], n, NULL, 0));
            check_list(list, 6, sizes[i], n, NULL, 0);
            const uint64_t avoid[] = {list[0], list[2], list[3], 17};
            assert_ok(sotto_prime_generate(rest, 3, sizes[i], n, avoid, ARRAY_LEN(avoid)));
            check_list(rest, 3, sizes[i], n, avoid, ARRAY_LEN(avoid));
            assert_int_equal(rest[0], list[1]);
            assert_int_equal(rest[1], list[4]);
            assert_int_equal(rest[2], list[5]);
        }
}

static void known_lists(void **state)
{
    (void)state;
    /* 36-bit primes of Microsoft SEAL's 128-bit default for n = 4096; 12289 is NewHope's prime. */
    uint64_t list[2];
    assert_ok(sotto_prime_generate(list, 2, 36, 4096, NULL, 0));
    assert_int_equal(list[0], 0xffffee001);
    assert_int_equal(list[1], 0xffffc4001);
    assert_ok(sotto_prime_generate(list, 1, 14, 1024, NULL, 0));
    assert_int_equal(list[0], 12289);
    assert_ok(sotto_prime_generate(list, 0, 14, 1024, NULL, 0));
}

static void small_cases_are_exhausted(void **state)
{
    (void)state;
    for (unsigned bits = 2; bits <= 12; bits++)
        for (uint32_t n = 1; n <= 4096; n *= 2) {
            size_t count = 0;
            for (uint64_t x = (uint64_t)1 << (bits - 1); x < (uint64_t)1 << bits; x++)
                count += (x - 1) % (2 * (uint64_t)n) == 0 && sotto_is_prime_var(x);
            uint64_t list[512] = {0};
            assert_true(count < ARRAY_LEN(list));
            assert_ok(sotto_prime_generate(list, count, bits, n, NULL, 0));
            check_list(list, count, bits, n, NULL, 0);
            list[count] = 99;
            assert_status(SOTTO_ERR_PARAMS, sotto_prime_generate(list, count + 1, bits, n, NULL, 0));
            for (size_t i = 0; i < count; i++)
                assert_int_equal(list[i], 0);
            assert_int_equal(list[count], 99);
        }
}

static void bad_parameters_are_refused(void **state)
{
    (void)state;
    uint64_t out[2] = {5, 5};
    assert_status(SOTTO_ERR_PARAMS, sotto_prime_generate(out, 1, 1, 1024, NULL, 0));
    assert_status(SOTTO_ERR_PARAMS, sotto_prime_generate(out, 1, 62, 1024, NULL, 0));
    assert_status(SOTTO_ERR_PARAMS, sotto_prime_generate(out, 1, 50, 0, NULL, 0));
    assert_status(SOTTO_ERR_PARAMS, sotto_prime_generate(out, 1, 50, 3000, NULL, 0));
    assert_status(SOTTO_ERR_PARAMS, sotto_prime_generate(out, 1, 20, (uint32_t)1 << 31, NULL, 0));
    assert_int_equal(out[0], 5);

    assert_status(SOTTO_ERR_PARAMS, sotto_primitive_root_var(out, 12289, 4096)); /* 12289 = 1 + 3 * 2^12 */
    assert_status(SOTTO_ERR_PARAMS, sotto_primitive_root_var(out, 12289, 3));
    assert_status(SOTTO_ERR_PARAMS, sotto_primitive_root_var(out, 12289, 0));
    assert_status(SOTTO_ERR_PARAMS, sotto_primitive_root_var(out, 2049, 1024)); /* 3 * 683 */
    assert_status(SOTTO_ERR_PARAMS, sotto_primitive_root_var(out, 16, 2));
    assert_int_equal(out[0], 5);
}

static void root_is_the_smallest(void **state)
{
    (void)state;
    uint64_t root = 0;
    assert_ok(sotto_primitive_root_var(&root, 12289, 1024));
    assert_int_equal(root, 7); /* NewHope's psi */
    assert_ok(sotto_primitive_root_var(&root, 3, 1));
    assert_int_equal(root, 2);

    for (uint64_t q = 3; q < 4000; q += 2) {
        if (!sotto_is_prime_var(q))
            continue;
        sotto_modulus m;
        assert_ok(sotto_modulus_init(&m, q));
        for (uint32_t n = 1; (q - 1) % (2 * n) == 0; n *= 2) {
            assert_ok(sotto_primitive_root_var(&root, q, n));
            uint64_t least = 1;
            while (sotto_mod_pow_var(least, n, &m) != q - 1)
                least++;
            assert_int_equal(root, least);
        }
    }
}

static void root_has_its_order(void **state)
{
    (void)state;
    const unsigned sizes[] = {30, 46, 61};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (uint32_t n = 1024; n <= 32768; n *= 2) {
            sotto_modulus m;
            uint64_t root = 0;
            assert_ok(sotto_modulus_init(&m, prime_of(sizes[i], n)));
            assert_ok(sotto_primitive_root_var(&root, m.q, n));
            assert_int_equal(sotto_mod_pow_var(root, n, &m), m.q - 1);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_sieve),
        cmocka_unit_test(known_primes_and_pseudoprimes),
        cmocka_unit_test(generates_the_largest_in_order),
        cmocka_unit_test(known_lists),
        cmocka_unit_test(small_cases_are_exhausted),
        cmocka_unit_test(bad_parameters_are_refused),
        cmocka_unit_test(root_is_the_smallest),
        cmocka_unit_test(root_has_its_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
