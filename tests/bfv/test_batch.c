#include "bfv/batch.h"

#include "ring/prime.h"
#include "tests/bfv/special.h"

static uint64_t seed;
static const unsigned bits_4096[] = {50, 50};

static uint64_t batch_modulus(uint32_t n, unsigned bits)
{
    uint64_t t = 0;
    assert_ok(sotto_bfv_batch_modulus(&t, n, bits));
    assert_true(t % (2 * (uint64_t)n) == 1 && sotto_is_prime_var(t) && t >> bits == 0);
    return t;
}

static void test_modulus(void **state)
{
    (void)state;
    uint64_t t = 0;
    assert_true(batch_modulus(4096, 17) == 114689);
    assert_true(batch_modulus(8192, 17) == 114689);
    assert_true(batch_modulus(1024, 50) > UINT64_C(1) << 49);
    assert_status(SOTTO_ERR_PARAMS, sotto_bfv_batch_modulus(&t, 4096, 13));
}

/* Decoding takes back what was encoded, for any count and any size of value. */
static void test_round_trip(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 1);
    const unsigned sizes[] = {16, 17, 30, 49, 60};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        fixture f = {.n = 4096, .t = batch_modulus(4096, sizes[s]), .rng = &rng};
        sotto_bfv_batch *b = NULL;
        assert_ok(sotto_bfv_params_from_bits(&f.p, f.n, bits_4096, 2, f.t));
        assert_ok(sotto_bfv_batch_new(&b, f.p));
        int64_t *x = slots_new(&f), *y = slots_new(&f);
        uint64_t *m = words_new(f.n);
        const size_t counts[] = {4096, 0, 1, 2047, 4095};
        for (size_t c = 0; c < 5; c++) {
            assert_ok(sotto_bfv_batch_encode(m, b, x, counts[c]));
            assert_ok(sotto_bfv_batch_decode(y, b, m, f.n));
            assert_memory_equal(x, y, counts[c] * sizeof *x);
            for (size_t i = counts[c]; i < f.n; i++)
                assert_true(y[i] == 0);
            for (uint32_t i = 0; i < f.n; i++)
                assert_true(m[i] < f.t);
        }
        const int64_t far[] = {((int64_t)1 << 62) - 1, -((int64_t)1 << 62) + 1, (int64_t)f.t, -(int64_t)f.t};
        assert_ok(sotto_bfv_batch_encode(m, b, far, 4));
        assert_ok(sotto_bfv_batch_decode(y, b, m, 4));
        for (size_t i = 0; i < 4; i++)
            assert_true(y[i] == reduced(far[i], f.t));
        assert_status(SOTTO_ERR_ARG, sotto_bfv_batch_encode(m, b, x, f.n + 1));
        assert_status(SOTTO_ERR_ARG, sotto_bfv_batch_decode(y, b, m, f.n + 1));
        sotto_calloc_fail_after(0);
        assert_status(SOTTO_ERR_MEMORY, sotto_bfv_batch_decode(y, b, m, 4));
        sotto_calloc_fail_after(-1);
        sotto_bfv_batch_free(b);
        sotto_bfv_params_free(f.p);
        free(x);
        free(y);
        free(m);
    }
}

/* Slots by the definition: the plaintext's value at psi^(3^i) and psi^(-3^i). */
static void test_slots(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 2);
    fixture f = {.n = 4096, .t = batch_modulus(4096, 20), .rng = &rng};
    sotto_bfv_batch *b = NULL;
    uint64_t psi;
    sotto_modulus t;
    assert_ok(sotto_bfv_params_from_bits(&f.p, f.n, bits_4096, 2, f.t));
    assert_ok(sotto_bfv_batch_new(&b, f.p));
    assert_ok(sotto_primitive_root_var(&psi, f.t, f.n));
    assert_ok(sotto_modulus_init(&t, f.t));
    uint64_t *m = words_new(f.n);
    int64_t *x = slots_new(&f);
    message_fill(m, &f, MESSAGE_RANDOM);
    assert_ok(sotto_bfv_batch_decode(x, b, m, f.n));
    const uint32_t places[] = {0, 1, 2, 100, 2047, 2048, 2049, 4095};
    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
        uint64_t exponent = 1;
        for (uint32_t i = 0; i < places[p] % 2048; i++)
            exponent = exponent * 3 % 8192;
        if (places[p] >= 2048)
            exponent = 8192 - exponent;
        uint64_t root = sotto_mod_pow_var(psi, exponent, &t), value = 0;
        for (uint32_t i = f.n; i-- > 0;)
            value = sotto_mod_add(sotto_mod_mul(value, root, &t), m[i], f.t);
        assert_true(x[places[p]] == sotto_mod_centre(value, f.t));
    }
    sotto_bfv_batch_free(b);
    sotto_bfv_params_free(f.p);
    free(m);
    free(x);
}

/* Sums and products with plaintexts in both forms, slot by slot. */
static void test_plain_operations(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 3);
    const unsigned bits[] = {36, 36, 37};
    const unsigned sizes[] = {17, 36};
    for (size_t s = 0; s < 2; s++) {
        fixture f = fixture_new(4096, bits, 3, batch_modulus(4096, sizes[s]), &rng);
        sotto_bfv_batch *b = NULL;
        assert_ok(sotto_bfv_batch_new(&b, f.p));
        int64_t *x = slots_new(&f), *y = slots_new(&f), *want = slots_new(&f);
        uint64_t *m = words_new(f.n);
        assert_ok(sotto_bfv_batch_encode(m, b, y, f.n));
        sotto_bfv_addend addend;
        sotto_bfv_plain plain;
        assert_ok(sotto_bfv_addend_new(&addend, f.p, m));
        assert_ok(sotto_bfv_plain_from(&plain, f.p, m));
        for (int ntt = 0; ntt < 2; ntt++) {
            sotto_bfv_ct ct = encrypted_slots(&f, b, x, 0), same;
            if (!ntt)
                sotto_bfv_to_coeff(&ct, f.p);
            same = copy_of(&f, &ct);
            sotto_bfv_add_addend(&ct, f.p, &addend);
            assert_ok(sotto_bfv_add_plain(&same, f.p, m));
            assert_true(same_ct(&f, &ct, &same)); /* the prepared way is the same sum */
            for (uint32_t i = 0; i < f.n; i++)
                want[i] = reduced((sotto_i128)x[i] + y[i], f.t);
            assert_int_equal(wrong_slots(&f, b, &ct, want), 0);
            sotto_bfv_sub_addend(&ct, f.p, &addend);
            assert_int_equal(wrong_slots(&f, b, &ct, x), 0);
            assert_ok(sotto_bfv_mul_message(&ct, f.p, m));
            assert_int_equal(ct.ntt, ntt);
            for (uint32_t i = 0; i < f.n; i++)
                want[i] = reduced((sotto_i128)x[i] * y[i], f.t);
            assert_int_equal(wrong_slots(&f, b, &ct, want), 0);
            sotto_bfv_ct_free(&ct);
            sotto_bfv_ct_free(&same);
        }
        sotto_bfv_ct ct = encrypted_slots(&f, b, x, 1); /* and through the prepared multiplicand */
        assert_ok(sotto_bfv_mul_plain(&ct, f.p, &plain));
        assert_int_equal(wrong_slots(&f, b, &ct, want), 0);
        memset(m, 0, f.n * sizeof *m); /* zero is an ordinary value */
        memset(want, 0, f.n * sizeof *want);
        assert_ok(sotto_bfv_mul_message(&ct, f.p, m));
        assert_int_equal(wrong_slots(&f, b, &ct, want), 0);
        sotto_bfv_ct_free(&ct);
        sotto_bfv_plain_free(&plain, f.p);
        sotto_bfv_addend_free(&addend, f.p);
        sotto_bfv_addend_free(&addend, f.p);
        sotto_bfv_batch_free(b);
        free(x);
        free(y);
        free(want);
        free(m);
        fixture_free(&f);
    }
}

/* Any t serves the products by plaintexts, taken about zero: the definition, in coefficients. */
static void test_messages(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 4);
    const unsigned bits[] = {27, 27};
    const uint64_t moduli[] = {2, 16, 257};
    for (size_t s = 0; s < 3; s++) {
        fixture f = fixture_new(2048, bits, 2, moduli[s], &rng);
        uint64_t *x = words_new(f.n), *m = words_new(f.n), *want = words_new(f.n);
        int64_t *w = calloc(f.n, sizeof *w);
        assert_non_null(w);
        message_fill(x, &f, MESSAGE_RANDOM);
        message_fill(m, &f, s == 0 ? MESSAGE_MAX : MESSAGE_RANDOM);
        for (uint32_t i = 0; i < f.n; i++)
            w[i] = (int64_t)m[i];
        plain_mac(want, x, w, f.n, f.t);
        sotto_bfv_ct ct = encrypted(&f, x, 0);
        assert_ok(sotto_bfv_mul_message(&ct, f.p, m));
        assert_decrypts(&f, &ct, want);
        sotto_bfv_ct_free(&ct);
        free(x);
        free(m);
        free(want);
        free(w);
        fixture_free(&f);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 5);
    const uint64_t moduli[] = {65536, 65539, 8193, 2, 4097};
    sotto_bfv_batch *b = NULL;
    for (size_t i = 0; i < sizeof moduli / sizeof *moduli; i++) {
        sotto_bfv_params *p = NULL;
        assert_ok(sotto_bfv_params_from_bits(&p, 4096, bits_4096, 2, moduli[i]));
        b = (sotto_bfv_batch *)&p; /* anything but NULL */
        assert_status(SOTTO_ERR_PARAMS, sotto_bfv_batch_new(&b, p));
        assert_null(b);
        sotto_bfv_params_free(p);
    }
    fixture f = fixture_new(4096, bits_4096, 2, 65537, &rng);
    uint64_t *m = words_new(f.n);
    sotto_bfv_plain plain;
    sotto_bfv_addend addend;
    sotto_bfv_ct ct = encrypted(&f, m, 0), before = copy_of(&f, &ct);
    m[4095] = 65537;
    assert_status(SOTTO_ERR_ARG, sotto_bfv_plain_from(&plain, f.p, m));
    assert_null(plain.ntt);
    assert_status(SOTTO_ERR_ARG, sotto_bfv_addend_new(&addend, f.p, m));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_mul_message(&ct, f.p, m));
    m[4095] = 0;
    for (long k = 0; k < 2; k++) {
        sotto_calloc_fail_after(k);
        assert_status(SOTTO_ERR_MEMORY, sotto_bfv_plain_from(&plain, f.p, m));
        assert_null(plain.ntt);
        sotto_calloc_fail_after(k);
        assert_status(SOTTO_ERR_MEMORY, sotto_bfv_addend_new(&addend, f.p, m));
        assert_true(addend.ntt == NULL && addend.coeff == NULL);
        sotto_calloc_fail_after(k);
        assert_status(SOTTO_ERR_MEMORY, sotto_bfv_mul_message(&ct, f.p, m));
    }
    sotto_calloc_fail_after(-1);
    assert_true(same_ct(&f, &ct, &before));
    int status = SOTTO_ERR_MEMORY;
    long k = 0;
    for (; k < FIXTURE_FAULTS_MAX && status != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        status = sotto_bfv_batch_new(&b, f.p);
        sotto_calloc_fail_after(-1);
        assert_true(status == SOTTO_OK || (status == SOTTO_ERR_MEMORY && b == NULL));
    }
    assert_true(status == SOTTO_OK && k > 4);
    sotto_bfv_batch_free(b);
    sotto_bfv_batch_free(NULL);
    sotto_bfv_ct_free(&ct);
    sotto_bfv_ct_free(&before);
    free(m);
    fixture_free(&f);
}

int main(void)
{
    seed = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modulus),          cmocka_unit_test(test_round_trip), cmocka_unit_test(test_slots),
        cmocka_unit_test(test_plain_operations), cmocka_unit_test(test_messages),   cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
