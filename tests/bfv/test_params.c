#include "bfv/params.h"

#include <string.h>

#include "bfv/internal.h"
#include "lib/mem.h"
#include "ring/prime.h"
#include "tests/support/support.h"

/* Prime lengths that reach the limit of each row of the table exactly; one bit more on the first is too much. */
static const struct {
    uint32_t n;
    unsigned limit;
    size_t count;
    unsigned bits[16];
} rows[] = {
    {1024, 27, 1, {27}},
    {2048, 54, 2, {27, 27}},
    {4096, 109, 2, {54, 55}},
    {8192, 218, 4, {54, 54, 55, 55}},
    {16384, 438, 8, {54, 54, 55, 55, 55, 55, 55, 55}},
    {32768, 881, 16, {56, 55, 55, 55, 55, 55, 55, 55, 55, 55, 55, 55, 55, 55, 55, 55}},
};

static void test_security_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sotto_bfv_params *p = NULL;
        unsigned bits[16];
        memcpy(bits, rows[i].bits, sizeof bits);
        assert_int_equal(sotto_bfv_max_log_q(rows[i].n), rows[i].limit);
        assert_ok(sotto_bfv_params_from_bits(&p, rows[i].n, bits, rows[i].count, 16));
        assert_int_equal(sotto_rns_bits(sotto_bfv_rns(p)), rows[i].limit);
        assert_int_equal(sotto_bfv_n(p), rows[i].n);
        assert_int_equal(sotto_bfv_t(p), 16);
        sotto_bfv_params_free(p);
        bits[0]++;
        p = (sotto_bfv_params *)bits; /* anything but NULL */
        assert_status(SOTTO_ERR_PARAMS, sotto_bfv_params_from_bits(&p, rows[i].n, bits, rows[i].count, 16));
        assert_null(p);
    }
    assert_int_equal(sotto_bfv_max_log_q(512), 0);
    assert_int_equal(sotto_bfv_max_log_q(65536), 0);
}

static void test_security_bits(void **state)
{
    (void)state;
    const struct {
        uint32_t n;
        unsigned log_q, bits;
    } cases[] = {{4096, 110, 0},  {4096, 109, 128}, {4096, 76, 128}, {4096, 75, 192},   {4096, 59, 192},
                 {4096, 58, 256}, {1024, 14, 256},  {1024, 28, 0},   {32768, 881, 128}, {3000, 10, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(sotto_bfv_security_bits(cases[i].n, cases[i].log_q), cases[i].bits);
}

static void test_refusals(void **state)
{
    (void)state;
    sotto_bfv_params *p = NULL;
    uint64_t primes[2];
    assert_ok(sotto_prime_generate(primes, 2, 40, 4096, NULL, 0));

    const uint32_t degrees[] = {0, 1, 512, 3000, 4095, 65536};
    for (size_t i = 0; i < sizeof degrees / sizeof *degrees; i++)
        assert_status(SOTTO_ERR_PARAMS, sotto_bfv_params_new(&p, degrees[i], primes, 2, 16));
    assert_status(SOTTO_ERR_PARAMS, sotto_bfv_params_new(&p, 4096, primes, 0, 16));
    assert_status(SOTTO_ERR_PARAMS, sotto_bfv_params_new(&p, 4096, primes, 17, 16));

    const uint64_t bad_t[] = {0, 1, ((uint64_t)1 << 60) + 1, ~(uint64_t)0};
    for (size_t i = 0; i < sizeof bad_t / sizeof *bad_t; i++)
        assert_status(SOTTO_ERR_PARAMS, sotto_bfv_params_new(&p, 4096, primes, 2, bad_t[i]));
    /* 40 bits leave room for t below 2^30. */
    assert_status(SOTTO_ERR_PARAMS, sotto_bfv_params_new(&p, 4096, primes, 1, (uint64_t)1 << 30));
    assert_ok(sotto_bfv_params_new(&p, 4096, primes, 1, (uint64_t)1 << 29));
    sotto_bfv_params_free(p);

    uint64_t repeated[2] = {primes[0], primes[0]}, composite[2] = {primes[0], (uint64_t)8192 * 15 + 1},
             unfit[2] = {primes[0], 1000003};
    assert_status(SOTTO_ERR_PARAMS, sotto_bfv_params_new(&p, 4096, repeated, 2, 16));
    assert_status(SOTTO_ERR_PARAMS, sotto_bfv_params_new(&p, 4096, composite, 2, 16));
    assert_status(SOTTO_ERR_PARAMS, sotto_bfv_params_new(&p, 4096, unfit, 2, 16));
    assert_null(p);
}

static void test_equal_lengths_give_distinct_primes(void **state)
{
    (void)state;
    sotto_bfv_params *p = NULL;
    const unsigned bits[] = {36, 36, 36};
    uint64_t want[3];
    assert_ok(sotto_bfv_params_from_bits(&p, 4096, bits, 3, 16));
    assert_ok(sotto_prime_generate(want, 3, 36, 4096, NULL, 0));
    for (size_t i = 0; i < 3; i++)
        assert_true(sotto_rns_modulus(sotto_bfv_rns(p), i)->q == want[i]);
    sotto_bfv_params_free(p);
}

static void test_shared_ring(void **state)
{
    (void)state;
    sotto_bfv_params *p = NULL, *q = NULL, *r = NULL, *other = NULL;
    const unsigned bits[] = {46, 46}, shorter[] = {46, 45}, one[] = {46};
    assert_ok(sotto_bfv_params_from_bits(&p, 4096, bits, 2, 16));
    assert_ok(sotto_bfv_params_with_t(&q, p, 257));
    assert_ok(sotto_bfv_params_with_t(&r, q, 1000));
    assert_ptr_equal(sotto_bfv_rns(p), sotto_bfv_rns(r));
    assert_true(sotto_bfv_same_ring(p, r));
    assert_status(SOTTO_ERR_PARAMS, sotto_bfv_params_with_t(&other, p, 1));
    assert_null(other);
    sotto_bfv_params_free(p); /* the ring lives as long as any of its users */
    sotto_bfv_params_free(r);
    assert_int_equal(sotto_rns_n(sotto_bfv_rns(q)), 4096);
    assert_int_equal(sotto_bfv_t(q), 257);

    assert_ok(sotto_bfv_params_from_bits(&other, 4096, bits, 2, 999));
    assert_true(sotto_bfv_same_ring(other, q));
    sotto_bfv_params_free(other);
    assert_ok(sotto_bfv_params_from_bits(&other, 4096, shorter, 2, 257));
    assert_false(sotto_bfv_same_ring(other, q));
    sotto_bfv_params_free(other);
    assert_ok(sotto_bfv_params_from_bits(&other, 4096, one, 1, 257));
    assert_false(sotto_bfv_same_ring(other, q));
    sotto_bfv_params_free(other);
    sotto_bfv_params_free(q);
    sotto_bfv_params_free(NULL);
}

static void test_no_memory(void **state)
{
    (void)state;
    const unsigned bits[] = {36, 36};
    sotto_bfv_params *p = NULL, *q = NULL;
    int status = SOTTO_ERR_MEMORY;
    long k = 0;
    for (; k < 200 && status != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        status = sotto_bfv_params_from_bits(&p, 4096, bits, 2, 16);
        sotto_calloc_fail_after(-1);
        if (status != SOTTO_OK) {
            assert_int_equal(status, SOTTO_ERR_MEMORY);
            assert_null(p);
        }
    }
    assert_int_equal(status, SOTTO_OK);
    assert_true(k > 2);
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_bfv_params_with_t(&q, p, 17));
    sotto_calloc_fail_after(-1);
    assert_null(q);
    sotto_bfv_params_free(p);
}

/* The special prime counts in the table, is different from the others, and is part of what keys belong to. */
static void test_special(void **state)
{
    (void)state;
    sotto_bfv_params *p = NULL, *q = NULL, *other = NULL;
    const unsigned bits[] = {43, 43, 44, 44}, one[] = {27}, long_one[] = {61, 61, 52};
    assert_ok(sotto_bfv_params_from_bits_special(&p, 8192, bits, 4, 44, 65537)); /* 218 bits in all: the row's limit */
    assert_int_equal(sotto_rns_count(sotto_bfv_rns(p)), 4);
    assert_int_equal(sotto_rns_bits(sotto_bfv_rns(p)), 174);
    assert_int_equal(sotto_rns_count(sotto_bfv_special(p)), 1);
    assert_int_equal(sotto_rns_bits(sotto_bfv_special(p)), 44);
    for (size_t i = 0; i < 4; i++)
        assert_true(sotto_rns_modulus(sotto_bfv_rns(p), i)->q != sotto_rns_modulus(sotto_bfv_special(p), 0)->q);
    assert_status(SOTTO_ERR_PARAMS, sotto_bfv_params_from_bits_special(&other, 8192, bits, 4, 45, 65537));
    assert_null(other);
    assert_ok(sotto_bfv_params_from_bits_special(&other, 2048, one, 1, 27, 2));
    sotto_bfv_params_free(other);
    assert_status(SOTTO_ERR_PARAMS, sotto_bfv_params_from_bits_special(&other, 2048, one, 1, 28, 2));
    assert_status(SOTTO_ERR_PARAMS, sotto_bfv_params_from_bits_special(&other, 2048, one, 1, 0, 2));
    assert_ok(sotto_bfv_params_from_bits_special(&other, 8192, long_one, 3, 44, 2));
    sotto_bfv_params_free(other);

    uint64_t primes[4], special = sotto_rns_modulus(sotto_bfv_special(p), 0)->q;
    for (size_t i = 0; i < 4; i++)
        primes[i] = sotto_rns_modulus(sotto_bfv_rns(p), i)->q;
    assert_status(SOTTO_ERR_PARAMS, sotto_bfv_params_new_special(&other, 8192, primes, 4, primes[2], 2));
    assert_status(SOTTO_ERR_PARAMS, sotto_bfv_params_new_special(&other, 8192, primes, 4, 0, 2));
    assert_status(SOTTO_ERR_PARAMS, sotto_bfv_params_new_special(&other, 8192, primes, 4, special - 2, 2));
    assert_status(SOTTO_ERR_PARAMS, sotto_bfv_params_new_special(&other, 8192, primes, 4, special, 1));
    assert_null(other);
    assert_ok(sotto_bfv_params_new_special(&other, 8192, primes, 4, special, 2));
    assert_true(sotto_bfv_same_ring(p, other));
    sotto_bfv_params_free(other);
    assert_ok(sotto_bfv_params_new(&other, 8192, primes, 4, 65537));
    assert_null(sotto_bfv_special(other));
    assert_false(sotto_bfv_same_ring(p, other));
    assert_false(sotto_bfv_same_ring(other, p));
    sotto_bfv_params_free(other);
    assert_ok(sotto_bfv_params_new_special(&other, 8192, primes, 3, primes[3], 65537));
    assert_ok(sotto_bfv_params_new_special(&q, 8192, primes, 3, special, 65537));
    assert_false(sotto_bfv_same_ring(q, other));
    sotto_bfv_params_free(other);
    sotto_bfv_params_free(q);

    assert_ok(sotto_bfv_params_with_t(&q, p, 1000)); /* tables of its own for t, the rest is shared */
    assert_ptr_equal(sotto_bfv_special(p), sotto_bfv_special(q));
    assert_true(sotto_bfv_same_ring(p, q));
    sotto_bfv_params_free(p);
    assert_int_equal(sotto_rns_bits(sotto_bfv_special(q)), 44);
    sotto_bfv_params_free(q);
}

/* The second basis of products: as few primes as 50 bits allow, of 46 where that costs none; none of them in Q; the
 * widest set. */
static void test_auxiliary(void **state)
{
    (void)state;
    const struct {
        uint32_t n;
        size_t count, expected;
        unsigned bits[15], special, expected_bits;
    } sets[] = {
        {8192, 4, 4, {43, 43, 44, 44}, 44, 46},
        {8192, 3, 3, {50, 50, 50}, 60, 50},
        {4096, 2, 2, {46, 46}, 17, 46},
        {4096, 1, 1, {20}, 20, 46},
        {32768, 15, 16, {54, 54, 54, 54, 54, 54, 54, 54, 54, 54, 54, 54, 54, 54, 54}, 61, 58},
    };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        sotto_bfv_params *p = NULL;
        assert_ok(sotto_bfv_params_from_bits_special(&p, sets[i].n, sets[i].bits, sets[i].count, sets[i].special, 2));
        const sotto_rns *q = sotto_bfv_rns(p), *r = sotto_bfv_auxiliary(p);
        assert_true(sotto_rns_log2(r) >= sotto_rns_log2(q) - 1);
        assert_int_equal(sotto_rns_count(r), i + 1 < sizeof sets / sizeof *sets ? sets[i].expected : 14);
        for (size_t j = 0; j < sotto_rns_count(r); j++) {
            assert_int_equal(sotto_rns_modulus(r, j)->bits, sets[i].expected_bits);
            for (size_t k = 0; k < sets[i].count; k++)
                assert_true(sotto_rns_modulus(r, j)->q != sotto_rns_modulus(q, k)->q);
        }
        sotto_bfv_params_free(p);
    }
}

static void test_special_no_memory(void **state)
{
    (void)state;
    const unsigned bits[] = {36, 36};
    sotto_bfv_params *p = NULL, *q = NULL;
    int status = SOTTO_ERR_MEMORY;
    long k = 0;
    for (; k < 200 && status != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        status = sotto_bfv_params_from_bits_special(&p, 4096, bits, 2, 37, 16);
        sotto_calloc_fail_after(-1);
        if (status != SOTTO_OK) {
            assert_int_equal(status, SOTTO_ERR_MEMORY);
            assert_null(p);
        }
    }
    assert_int_equal(status, SOTTO_OK);
    assert_true(k > 10);
    for (k = 0; k < 6; k++) { /* the set and its five conversions */
        sotto_calloc_fail_after(k);
        assert_status(SOTTO_ERR_MEMORY, sotto_bfv_params_with_t(&q, p, 17));
        sotto_calloc_fail_after(-1);
        assert_null(q);
    }
    sotto_bfv_params_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_security_table),
        cmocka_unit_test(test_security_bits),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_equal_lengths_give_distinct_primes),
        cmocka_unit_test(test_shared_ring),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_special),
        cmocka_unit_test(test_auxiliary),
        cmocka_unit_test(test_special_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
