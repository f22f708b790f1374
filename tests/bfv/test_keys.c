#include "bfv/keys.h"

#include "ring/sample.h"
#include "tests/bfv/fixture.h"

static uint64_t seed;
static const unsigned bits_4096[] = {36, 36, 37};

static void test_secret_key(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 1);
    fixture f = fixture_new(4096, bits_4096, 3, 1024, &rng);
    const sotto_rns *rns = sotto_bfv_rns(f.p);
    long count[3] = {0, 0, 0};
    assert_int_equal(f.sk.n, 4096);
    assert_int_equal(f.sk.words, 3 * 4096);
    for (uint32_t i = 0; i < f.n; i++) {
        assert_in_range(f.sk.s[i] + 1, 0, 2);
        count[f.sk.s[i] + 1]++;
    }
    for (int v = 0; v < 3; v++) /* 1365.3 +- 30 each; 8 deviations */
        assert_in_range(count[v], 1125, 1606);

    uint64_t *x = words_new(f.sk.words), *y = words_new(f.sk.words);
    memcpy(x, f.sk.s_ntt, f.sk.words * sizeof *x);
    sotto_poly_inverse(rns, x);
    sotto_poly_from_signed(rns, y, f.sk.s);
    assert_memory_equal(x, y, f.sk.words * sizeof *x);
    free(x);
    free(y);
    sotto_bfv_secret_key_free(&f.sk);
    sotto_bfv_public_key_free(&f.pk);
    assert_null(f.sk.s);
    assert_null(f.pk.b);
    fixture_free(&f); /* a second release of zeroed keys */
}

/* b + a s is a small error, a the polynomial of the seed. */
static void test_public_key(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 2);
    fixture f = fixture_new(4096, bits_4096, 3, 1024, &rng);
    const sotto_rns *rns = sotto_bfv_rns(f.p);
    uint64_t *x = words_new(f.sk.words);
    sotto_sample_uniform_seeded(rns, x, f.pk.seed);
    assert_memory_equal(x, f.pk.a, f.sk.words * sizeof *x);
    memcpy(x, f.pk.b, f.sk.words * sizeof *x);
    sotto_poly_mac_ntt(rns, x, f.pk.a, f.sk.s_ntt);
    sotto_poly_inverse(rns, x);
    double square = 0;
    for (uint32_t i = 0; i < f.n; i++) {
        int64_t e = sotto_mod_centre(x[i], sotto_rns_modulus(rns, 0)->q);
        assert_true(e >= -SOTTO_ERROR_BOUND && e <= SOTTO_ERROR_BOUND);
        for (size_t limb = 1; limb < 3; limb++)
            assert_true(sotto_mod_centre(x[limb * f.n + i], sotto_rns_modulus(rns, limb)->q) == e);
        square += (double)(e * e);
    }
    /* 10.24 +- 10.24 sqrt(2/4096) = 0.23; 8 deviations */
    assert_true(square / f.n > 8.4 && square / f.n < 12.1);
    free(x);
    fixture_free(&f);
}

static void test_keys_differ(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 3);
    fixture f = fixture_new(4096, bits_4096, 3, 1024, &rng);
    sotto_bfv_secret_key sk;
    sotto_bfv_public_key pk;
    assert_ok(sotto_bfv_secret_key_new(&sk, f.p, &rng));
    assert_memory_not_equal(sk.s, f.sk.s, f.n * sizeof *sk.s);
    assert_ok(sotto_bfv_public_key_new(&pk, f.p, &f.sk, &rng));
    assert_memory_not_equal(&pk.seed, &f.pk.seed, sizeof pk.seed);
    assert_memory_not_equal(pk.b, f.pk.b, f.sk.words * sizeof *pk.b);
    sotto_bfv_secret_key_free(&sk);
    sotto_bfv_public_key_free(&pk);
    fixture_free(&f);
}

static void test_wrong_parameters(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 4);
    fixture f = fixture_new(4096, bits_4096, 3, 1024, &rng);
    sotto_bfv_params *other = NULL;
    sotto_bfv_public_key pk;
    sotto_bfv_secret_key sk;
    const unsigned bits_2048[] = {54};
    assert_ok(sotto_bfv_params_from_bits(&other, 2048, bits_2048, 1, 1024));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_secret_key_for(&sk, other, &f.sk));
    assert_null(sk.s);
    sotto_bfv_params_free(other);
    assert_ok(sotto_bfv_params_from_bits(&other, 4096, bits_4096, 2, 1024));
    for (long k = 0; k < 2; k++) {
        sotto_calloc_fail_after(k);
        assert_status(SOTTO_ERR_MEMORY, sotto_bfv_secret_key_for(&sk, other, &f.sk));
        sotto_calloc_fail_after(-1);
        assert_null(sk.s);
        assert_null(sk.s_ntt);
    }
    assert_status(SOTTO_ERR_ARG, sotto_bfv_public_key_new(&pk, other, &f.sk, &rng));
    assert_null(pk.b);
    sotto_bfv_params_free(other);
    fixture_free(&f);
}

static int make_keys(fixture *f, const sotto_rng *rng)
{
    int status = sotto_bfv_secret_key_new(&f->sk, f->p, rng);
    if (status != SOTTO_OK) {
        assert_null(f->sk.s);
        assert_null(f->sk.s_ntt);
        return status;
    }
    status = sotto_bfv_public_key_new(&f->pk, f->p, &f->sk, rng);
    if (status != SOTTO_OK) {
        assert_null(f->pk.b);
        assert_null(f->pk.a);
        sotto_bfv_secret_key_free(&f->sk);
    }
    return status;
}

static void test_faults(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++) {
        sotto_rng rng = test_rng(seed, 5);
        fixture f = {.n = 4096};
        assert_ok(sotto_bfv_params_from_bits(&f.p, 4096, bits_4096, 3, 1024));
        int status = SOTTO_ERR_RNG;
        long k = 0;
        for (; k < FIXTURE_FAULTS_MAX && status != SOTTO_OK; k++) {
            test_faulty_rng faulty = {.inner = rng, .k = k};
            sotto_rng wrapped = test_faulty_rng_wrap(&faulty);
            if (which == 1)
                sotto_calloc_fail_after(k);
            status = make_keys(&f, which == 0 ? &wrapped : &rng);
            sotto_calloc_fail_after(-1);
            if (status != SOTTO_OK)
                assert_int_equal(status, which == 0 ? SOTTO_ERR_RNG : SOTTO_ERR_MEMORY);
        }
        assert_int_equal(status, SOTTO_OK);
        assert_true(k > 3);
        fixture_free(&f);
    }
}

int main(void)
{
    seed = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secret_key),
        cmocka_unit_test(test_public_key),
        cmocka_unit_test(test_keys_differ),
        cmocka_unit_test(test_wrong_parameters),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
