#include "bfv/keyswitch.h"

#include "bfv/internal.h"
#include "lib/cpu.h"
#include "tests/bfv/special.h"

static uint64_t seed;
static const unsigned bits_4096[] = {36, 36};

static const struct {
    uint32_t n;
    size_t count;
    unsigned bits[4], special;
} sets[] = {{2048, 1, {27}, 27}, {2048, 2, {18, 17}, 18}, {4096, 2, {36, 36}, 37}, {4096, 3, {24, 40, 20}, 22}};

/* The parts of a key against their definition. */
static void test_structure(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 1);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        fixture f = special_new(sets[i].n, sets[i].bits, sets[i].count, sets[i].special, 16, NULL, &rng), other = f;
        sotto_bfv_switch_key key, expanded;
        assert_ok(sotto_bfv_secret_key_new(&other.sk, f.p, &rng));
        assert_ok(sotto_bfv_switch_key_new(&key, f.p, &f.sk, &other.sk, &rng));
        assert_switch_key(&f, &key, other.sk.s_ntt);
        assert_ok(sotto_bfv_switch_key_alloc(&expanded, f.p));
        expanded.seed = key.seed;
        sotto_bfv_switch_key_finish(&expanded, f.p);
        assert_memory_equal(expanded.a, key.a, key.words * sizeof *key.a);
        /* Digits, and both parts of one, have unrelated a. */
        for (size_t d = 1; d < sets[i].count; d++)
            assert_memory_not_equal(key.a, key.a + d * (sets[i].count + 1) * f.n, f.n * sizeof *key.a);
        assert_memory_not_equal(key.a, key.a + sets[i].count * f.n, f.n * sizeof *key.a);
        sotto_bfv_switch_key_free(&expanded);
        sotto_bfv_switch_key_free(&key);
        assert_null(key.b);
        sotto_bfv_switch_key_free(&key);
        sotto_bfv_secret_key_free(&other.sk);
        fixture_free(&f);
    }
}

/* A ciphertext under one key, in either form, decrypts under another; and the two forms give the same words. */
static void test_switch(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 2);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        fixture f = special_new(sets[i].n, sets[i].bits, sets[i].count, sets[i].special, 16, NULL, &rng), other = f;
        sotto_bfv_switch_key key;
        assert_ok(sotto_bfv_secret_key_new(&other.sk, f.p, &rng));
        assert_ok(sotto_bfv_switch_key_new(&key, f.p, &other.sk, &f.sk, &rng));
        uint64_t *m = words_new(f.n);
        message_fill(m, &f, MESSAGE_RANDOM);
        sotto_bfv_ct x = encrypted(&f, m, 0), y = copy_of(&f, &x);
        sotto_bfv_to_coeff(&y, f.p);
        assert_ok(sotto_bfv_switch(&x, f.p, &key));
        assert_ok(sotto_bfv_switch(&y, f.p, &key));
        assert_int_equal(x.ntt, 1);
        assert_true(same_ct(&f, &x, &y));
        assert_decrypts(&other, &x, m);
        double budget;
        assert_ok(sotto_bfv_noise_budget_var(&budget, f.p, &other.sk, &x));
        sotto_bfv_noise predicted = sotto_bfv_noise_switch(sotto_bfv_noise_symmetric(f.p), f.p);
        assert_true(budget >= sotto_bfv_noise_predicted_budget(predicted, f.p));
        sotto_bfv_ct_free(&x);
        sotto_bfv_ct_free(&y);
        free(m);
        sotto_bfv_switch_key_free(&key);
        sotto_bfv_secret_key_free(&other.sk);
        fixture_free(&f);
    }
}

/* Fixed coins give these words on every machine and tier. */
static void test_known_answer(void **state)
{
    (void)state;
    for (int tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_IFMA; tier++) {
        sotto_cpu_force_tier((sotto_tier)tier);
        sotto_prg prg;
        sotto_rng rng = fixed_rng(&prg, 7);
        fixture f = special_new(4096, bits_4096, 2, 37, 257, NULL, &rng), other = f;
        sotto_bfv_switch_key key;
        char hex[65];
        assert_ok(sotto_bfv_secret_key_new(&other.sk, f.p, &rng));
        assert_ok(sotto_bfv_switch_key_new(&key, f.p, &other.sk, &f.sk, &rng));
        uint64_t *m = words_new(f.n);
        for (uint32_t i = 0; i < f.n; i++)
            m[i] = i % f.t;
        sotto_bfv_ct x = encrypted(&f, m, 0);
        assert_ok(sotto_bfv_switch(&x, f.p, &key));
        const uint64_t *const parts[] = {key.b, key.a, x.c0, x.c1};
        const size_t words[] = {key.words, key.words, f.sk.words, f.sk.words};
        digest_words(hex, parts, words, 4);
        assert_string_equal(hex, "be147bb3587100dda1bd18450e5fd378c4d8ed66dd98d9f1b37338d682fe1e9d");
        sotto_bfv_ct_free(&x);
        free(m);
        sotto_bfv_switch_key_free(&key);
        sotto_bfv_secret_key_free(&other.sk);
        fixture_free(&f);
    }
    sotto_cpu_force_tier(SOTTO_TIER_IFMA);
}

static void test_refusals(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 3);
    fixture f = special_new(4096, bits_4096, 2, 37, 16, NULL, &rng), ordinary = fixture_new(4096, bits_4096, 2, 16, &rng),
            shorter = special_new(4096, bits_4096, 1, 37, 16, NULL, &rng);
    sotto_bfv_switch_key key, short_key, none;
    assert_status(SOTTO_ERR_ARG, sotto_bfv_switch_key_new(&none, ordinary.p, &ordinary.sk, &ordinary.sk, &rng));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_switch_key_new(&none, f.p, &f.sk, &shorter.sk, &rng));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_switch_key_new(&none, f.p, &shorter.sk, &f.sk, &rng));
    assert_null(none.b);
    assert_ok(sotto_bfv_switch_key_new(&key, f.p, &f.sk, &f.sk, &rng));
    assert_ok(sotto_bfv_switch_key_new(&short_key, shorter.p, &shorter.sk, &shorter.sk, &rng));
    uint64_t *m = words_new(f.n);
    sotto_bfv_ct x = encrypted(&f, m, 0), before = copy_of(&f, &x);
    assert_status(SOTTO_ERR_ARG, sotto_bfv_switch(&x, f.p, &short_key));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_switch(&x, f.p, &none));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_switch(&x, ordinary.p, &key));
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_bfv_switch(&x, f.p, &key));
    sotto_calloc_fail_after(-1);
    assert_true(same_ct(&f, &x, &before));
    sotto_bfv_ct_free(&x);
    sotto_bfv_ct_free(&before);
    free(m);
    sotto_bfv_switch_key_free(&key);
    sotto_bfv_switch_key_free(&short_key);
    fixture_free(&f);
    fixture_free(&ordinary);
    fixture_free(&shorter);
}

static void test_faults(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 4);
    fixture f = special_new(4096, bits_4096, 2, 37, 16, NULL, &rng);
    for (int which = 0; which < 2; which++) {
        int status = SOTTO_ERR_RNG;
        long k = 0;
        sotto_bfv_switch_key key;
        for (; k < FIXTURE_FAULTS_MAX && status != SOTTO_OK; k++) {
            test_faulty_rng faulty = {.inner = rng, .k = k};
            sotto_rng wrapped = test_faulty_rng_wrap(&faulty);
            if (which == 1)
                sotto_calloc_fail_after(k);
            status = sotto_bfv_switch_key_new(&key, f.p, &f.sk, &f.sk, which == 0 ? &wrapped : &rng);
            sotto_calloc_fail_after(-1);
            if (status != SOTTO_OK) {
                assert_int_equal(status, which == 0 ? SOTTO_ERR_RNG : SOTTO_ERR_MEMORY);
                assert_true(key.b == NULL && key.a == NULL);
            }
        }
        assert_int_equal(status, SOTTO_OK);
        assert_true(k == (which == 0 ? 4 : 5)); /* seed and two errors; errors, room and both halves of the key */
        sotto_bfv_switch_key_free(&key);
    }
    fixture_free(&f);
}

int main(void)
{
    seed = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure), cmocka_unit_test(test_switch), cmocka_unit_test(test_known_answer),
        cmocka_unit_test(test_refusals),  cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
