#include "bfv/encrypt.h"

#include "bfv/evaluate.h"
#include "tests/bfv/fixture.h"

static uint64_t seed;

static const uint64_t moduli[] = {
    2, 3, 4, 10, 257, 65537, 1 << 20, 1 << 26, 999999937, (uint64_t)1 << 33, ((uint64_t)1 << 41) - 1,
    ((uint64_t)1 << 60) - 93, ((uint64_t)1 << 60) - 2, ((uint64_t)1 << 60) - 1, (uint64_t)1 << 60,
};

static const struct {
    uint32_t n;
    size_t count;
    unsigned bits[4];
} sets[] = {
    {1024, 1, {27}},         {2048, 1, {54}},     {4096, 2, {46, 46}},
    {4096, 3, {36, 36, 36}}, {4096, 2, {54, 55}}, {8192, 4, {54, 54, 55, 55}},
};

/* Every t that leaves 2^15 for the noise, every kind of plaintext, both encryptions, both forms. */
static void test_round_trip(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 1);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        fixture f = fixture_new(sets[i].n, sets[i].bits, sets[i].count, 2, &rng);
        uint64_t *m = words_new(f.n);
        size_t tried = 0;
        for (size_t j = 0; j < sizeof moduli / sizeof *moduli; j++) {
            if (__builtin_log2((double)moduli[j]) + 15 > sotto_rns_log2(sotto_bfv_rns(f.p)))
                continue;
            fixture g = f; /* keys do not depend on t */
            g.t = moduli[j];
            assert_ok(sotto_bfv_params_with_t(&g.p, f.p, g.t));
            sotto_bfv_ct ct;
            sotto_block a_seed;
            assert_ok(sotto_bfv_ct_new(&ct, g.p));
            assert_decrypts(&g, &ct, m); /* zero without noise */
            for (int kind = 0; kind < MESSAGE_KINDS; kind++) {
                message_fill(m, &g, kind);
                assert_ok(sotto_bfv_encrypt_symmetric(&ct, &a_seed, g.p, &g.sk, m, &rng));
                assert_int_equal(ct.ntt, 1);
                assert_decrypts(&g, &ct, m);
                assert_ok(sotto_bfv_encrypt_public(&ct, g.p, &g.pk, m, &rng));
                assert_int_equal(ct.ntt, 1);
                assert_decrypts(&g, &ct, m);
                sotto_bfv_to_coeff(&ct, g.p);
                assert_decrypts(&g, &ct, m);
            }
            memset(m, 0, f.n * sizeof *m);
            sotto_bfv_ct_free(&ct);
            sotto_bfv_params_free(g.p);
            tried++;
        }
        assert_true(tried >= 5);
        free(m);
        fixture_free(&f);
    }
}

/* A ciphertext is an encryption and no encoding: same plaintext twice, another key. */
static void test_randomised(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 2);
    const unsigned bits[] = {46, 46};
    fixture f = fixture_new(4096, bits, 2, 1 << 20, &rng);
    size_t size = f.sk.words * sizeof(uint64_t);
    uint64_t *m = words_new(f.n), *got = words_new(f.n), *px = words_new(f.sk.words), *py = words_new(f.sk.words);
    sotto_bfv_ct x, y;
    sotto_block sx, sy;
    assert_ok(sotto_bfv_ct_new(&x, f.p));
    assert_ok(sotto_bfv_ct_new(&y, f.p));
    assert_ok(sotto_bfv_encrypt_symmetric(&x, &sx, f.p, &f.sk, m, &rng));
    assert_ok(sotto_bfv_encrypt_symmetric(&y, &sy, f.p, &f.sk, m, &rng));
    assert_memory_not_equal(&sx, &sy, sizeof sx);
    assert_memory_not_equal(x.c0, y.c0, size);
    assert_memory_not_equal(x.c1, y.c1, size);
    /* The errors differ as well, not only the `a` part. */
    assert_ok(sotto_bfv_phase(px, f.p, &f.sk, &x));
    assert_ok(sotto_bfv_phase(py, f.p, &f.sk, &y));
    assert_memory_not_equal(px, py, size);
    assert_ok(sotto_bfv_encrypt_public(&x, f.p, &f.pk, m, &rng));
    assert_ok(sotto_bfv_encrypt_public(&y, f.p, &f.pk, m, &rng));
    assert_memory_not_equal(x.c0, y.c0, size);
    assert_memory_not_equal(x.c1, y.c1, size);

    sotto_bfv_secret_key other;
    assert_ok(sotto_bfv_secret_key_new(&other, f.p, &rng));
    assert_ok(sotto_bfv_decrypt(got, f.p, &other, &x));
    size_t zeros = 0;
    for (uint32_t i = 0; i < f.n; i++)
        zeros += got[i] == 0;
    assert_true(zeros < 16);
    sotto_bfv_secret_key_free(&other);
    sotto_bfv_ct_free(&x);
    sotto_bfv_ct_free(&y);
    free(m);
    free(got);
    free(px);
    free(py);
    fixture_free(&f);
}

/* What the public encryption draws, seen through a key made for the purpose: with a = b = 2^20 the ciphertext of zero is
 * (2^20 u + e0, 2^20 u + e1). One u, ternary; two errors, small and not the same. */
static void test_public_coins(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 5);
    const unsigned bits[] = {46, 46};
    fixture f = fixture_new(4096, bits, 2, 1000, &rng);
    uint64_t *m = words_new(f.n);
    sotto_bfv_ct ct;
    assert_ok(sotto_bfv_ct_new(&ct, f.p));
    for (size_t i = 0; i < f.sk.words; i++) /* a constant has the same value in every slot */
        f.pk.a[i] = f.pk.b[i] = 1 << 20;
    assert_ok(sotto_bfv_encrypt_public(&ct, f.p, &f.pk, m, &rng));
    sotto_bfv_to_coeff(&ct, f.p);

    uint64_t count[3] = {0, 0, 0}, prime = sotto_rns_modulus(sotto_bfv_rns(f.p), 0)->q;
    double square[2] = {0, 0}, both = 0;
    for (uint32_t i = 0; i < f.n; i++) {
        int64_t c[2] = {sotto_mod_centre(ct.c0[i], prime), sotto_mod_centre(ct.c1[i], prime)}, e[2], u[2];
        for (int k = 0; k < 2; k++) {
            u[k] = (c[k] + ((int64_t)3 << 19)) / (1 << 20) - 1;
            e[k] = c[k] - u[k] * (1 << 20);
            assert_true(e[k] >= -19 && e[k] <= 19);
            square[k] += (double)(e[k] * e[k]) / f.n;
        }
        assert_true(u[0] == u[1] && u[0] >= -1 && u[0] <= 1);
        count[u[0] + 1]++;
        both += (double)(e[0] * e[1]) / f.n;
    }
    assert_true(test_chi_square(count, 3, f.n) < test_chi_square_bound(3));
    assert_true(square[0] > 8.4 && square[0] < 12.1 && square[1] > 8.4 && square[1] < 12.1); /* 10.24 +- 0.23 */
    assert_true(both > -1.3 && both < 1.3);                                                 /* 0 +- 0.16 */
    sotto_bfv_ct_free(&ct);
    free(m);
    fixture_free(&f);
}

static void test_refusals(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 3);
    const unsigned bits[] = {46, 46};
    fixture f = fixture_new(4096, bits, 2, 1000, &rng);
    uint64_t *m = words_new(f.n);
    sotto_bfv_ct ct;
    sotto_block a_seed;
    assert_ok(sotto_bfv_ct_new(&ct, f.p));
    const uint32_t places[] = {0, 17, f.n - 1};
    const uint64_t bad[] = {1000, 1001, (uint64_t)1 << 63, ~(uint64_t)0};
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 4; j++) {
            m[places[i]] = bad[j];
            assert_status(SOTTO_ERR_ARG, sotto_bfv_encrypt_symmetric(&ct, &a_seed, f.p, &f.sk, m, &rng));
            assert_status(SOTTO_ERR_ARG, sotto_bfv_encrypt_public(&ct, f.p, &f.pk, m, &rng));
            m[places[i]] = 0;
        }
    sotto_bfv_params *other = NULL;
    assert_ok(sotto_bfv_params_from_bits(&other, 4096, bits, 1, 1000));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_encrypt_symmetric(&ct, &a_seed, other, &f.sk, m, &rng));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_decrypt(m, other, &f.sk, &ct));
    sotto_bfv_params_free(other);
    sotto_bfv_ct_free(&ct);
    free(m);
    fixture_free(&f);
}

enum { SYMMETRIC, PUBLIC, DECRYPT, OPERATIONS };

static int run(int operation, sotto_bfv_ct *ct, const fixture *f, uint64_t *m, const sotto_rng *rng)
{
    sotto_block a_seed;
    switch (operation) {
    case SYMMETRIC:
        return sotto_bfv_encrypt_symmetric(ct, &a_seed, f->p, &f->sk, m, rng);
    case PUBLIC:
        return sotto_bfv_encrypt_public(ct, f->p, &f->pk, m, rng);
    default:
        return sotto_bfv_decrypt(m, f->p, &f->sk, ct);
    }
}

static void test_faults(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 4);
    const unsigned bits[] = {46, 46};
    fixture f = fixture_new(4096, bits, 2, 1 << 20, &rng);
    uint64_t *m = words_new(f.n);
    for (int operation = 0; operation < OPERATIONS; operation++) {
        for (int which = 0; which < 2; which++) {
            sotto_bfv_ct ct;
            assert_ok(sotto_bfv_ct_new(&ct, f.p));
            message_fill(m, &f, MESSAGE_RANDOM);
            int status = SOTTO_ERR_RNG;
            long k = 0;
            for (; k < FIXTURE_FAULTS_MAX && status != SOTTO_OK; k++) {
                test_faulty_rng faulty = {.inner = rng, .k = k};
                sotto_rng wrapped = test_faulty_rng_wrap(&faulty);
                if (which == 1)
                    sotto_calloc_fail_after(k);
                status = run(operation, &ct, &f, m, which == 0 ? &wrapped : &rng);
                sotto_calloc_fail_after(-1);
                if (status == SOTTO_OK)
                    break;
                assert_int_equal(status, which == 0 ? SOTTO_ERR_RNG : SOTTO_ERR_MEMORY);
                for (size_t i = 0; i < f.sk.words; i++)
                    assert_true(ct.c0[i] == 0 && ct.c1[i] == 0);
            }
            assert_int_equal(status, SOTTO_OK);
            assert_true(operation == DECRYPT ? k == which : k >= 2 - which);
            if (operation != DECRYPT)
                assert_decrypts(&f, &ct, m);
            sotto_bfv_ct_free(&ct);
        }
    }
    sotto_bfv_ct ct;
    for (long k = 0; k < 2; k++) {
        sotto_calloc_fail_after(k);
        assert_status(SOTTO_ERR_MEMORY, sotto_bfv_ct_new(&ct, f.p));
        sotto_calloc_fail_after(-1);
        assert_null(ct.c0);
        assert_null(ct.c1);
    }
    free(m);
    fixture_free(&f);
}

int main(void)
{
    seed = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_randomised),
        cmocka_unit_test(test_public_coins),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
