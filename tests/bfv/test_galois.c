#include "bfv/galois.h"

#include "bfv/internal.h"
#include "lib/cpu.h"
#include "ring/prime.h"
#include "tests/bfv/special.h"

static uint64_t seed;
static const unsigned bits_4096[] = {36, 36};

/* want: the rows of v rotated to the left by step, swapped when `swap`. */
static void turned(int64_t *want, const int64_t *v, uint32_t n, long step, int swap)
{
    const long half = (long)n / 2;
    for (long row = 0; row < 2; row++)
        for (long i = 0; i < half; i++)
            want[row * half + i] = v[(row ^ (swap ? 1 : 0)) * half + ((i + step) % half + half) % half];
}

static sotto_bfv_galois_keys keys_for(const fixture *f, const long *steps, size_t count, int swap)
{
    uint32_t element[32];
    sotto_bfv_galois_keys keys;
    assert_true(count < 32);
    for (size_t i = 0; i < count; i++)
        element[i] = sotto_bfv_galois_row(f->p, steps[i]);
    element[count] = sotto_bfv_galois_swap(f->p);
    assert_ok(sotto_bfv_galois_keys_new(&keys, f->p, &f->sk, element, count + (swap ? 1 : 0), f->rng));
    return keys;
}

static void test_elements(void **state)
{
    (void)state;
    sotto_bfv_params *p = NULL;
    assert_ok(sotto_bfv_params_from_bits(&p, 4096, bits_4096, 2, 16));
    assert_int_equal(sotto_bfv_galois_row(p, 0), 1);
    assert_int_equal(sotto_bfv_galois_row(p, 1), 3);
    assert_int_equal(sotto_bfv_galois_row(p, 2), 9);
    assert_int_equal(sotto_bfv_galois_row(p, 2048), 1);
    assert_int_equal(sotto_bfv_galois_row(p, -2048), 1);
    assert_int_equal(sotto_bfv_galois_row(p, 2049), 3);
    assert_int_equal(sotto_bfv_galois_row(p, -1) * 3 % 8192, 1);
    assert_int_equal(sotto_bfv_galois_swap(p), 8191);
    uint32_t element[SOTTO_BFV_SUM_ELEMENTS_MAX], power = 3;
    assert_int_equal(sotto_bfv_galois_sum(element, p), 12);
    for (size_t i = 0; i < 11; i++, power = power * power % 8192)
        assert_int_equal(element[i], power);
    assert_int_equal(element[11], 8191);
    sotto_bfv_params_free(p);
    assert_ok(sotto_bfv_params_from_bits(&p, 32768, bits_4096, 2, 16));
    assert_int_equal(sotto_bfv_galois_sum(element, p), SOTTO_BFV_SUM_ELEMENTS_MAX);
    sotto_bfv_params_free(p);
}

/* The permutation of transforms is the substitution in coefficients. */
static void test_order(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 1);
    const uint32_t degrees[] = {4, 8, 64, 1024, 4096};
    for (size_t d = 0; d < 5; d++) {
        uint32_t n = degrees[d], order[4096];
        uint64_t q, x[4096], y[4096];
        sotto_ntt *ntt = NULL;
        assert_ok(sotto_prime_generate(&q, 1, 40, n, NULL, 0));
        assert_ok(sotto_ntt_new(&ntt, n, q));
        for (int round = 0; round < 8; round++) {
            uint32_t g = round == 0 ? 2 * n - 1 : 2 * (uint32_t)test_below(&rng, n) + 1;
            for (uint32_t i = 0; i < n; i++)
                x[i] = test_below(&rng, q);
            for (uint32_t i = 0; i < n; i++) {
                uint32_t to = (uint32_t)((uint64_t)g * i % (2 * n));
                y[to % n] = to < n ? x[i] : (q - x[i]) % q;
            }
            sotto_ntt_forward(ntt, x);
            sotto_ntt_forward(ntt, y);
            sotto_bfv_galois_order(order, n, g);
            for (uint32_t i = 0; i < n; i++)
                assert_true(y[i] == x[order[i]]);
        }
        sotto_ntt_free(ntt);
    }
}

/* Rotations and swaps do what they say; the two forms give the same words; they compose and invert. */
static void run_rotations(uint32_t n, const unsigned *bits, size_t count, unsigned special)
{
    sotto_rng rng = test_rng(seed, 2);
    sotto_bfv_batch *b = NULL;
    fixture f = special_new(n, bits, count, special, 65537, &b, &rng);
    const long half = (long)n / 2, steps[] = {1, -1, 5, -5, 6, half / 2, half - 1, 3 * half + 7};
    const size_t number = sizeof steps / sizeof *steps;
    sotto_bfv_galois_keys keys = keys_for(&f, steps, number, 1);
    int64_t *v = slots_new(&f), *want = slots_new(&f);
    sotto_bfv_ct x = encrypted_slots(&f, b, v, 0);
    for (size_t i = 0; i <= number; i++) {
        sotto_bfv_ct u = copy_of(&f, &x), w = copy_of(&f, &x);
        sotto_bfv_to_coeff(&w, f.p);
        if (i < number) {
            turned(want, v, n, steps[i], 0);
            assert_ok(sotto_bfv_rotate_rows(&u, f.p, steps[i], &keys));
            assert_ok(sotto_bfv_rotate_rows(&w, f.p, steps[i], &keys));
        } else {
            turned(want, v, n, 0, 1);
            assert_ok(sotto_bfv_swap_rows(&u, f.p, &keys));
            assert_ok(sotto_bfv_swap_rows(&w, f.p, &keys));
        }
        assert_int_equal(u.ntt, 1);
        assert_int_equal(wrong_slots(&f, b, &u, want), 0);
        assert_true(same_ct(&f, &u, &w));
        sotto_bfv_ct_free(&u);
        sotto_bfv_ct_free(&w);
    }
    sotto_bfv_ct same = copy_of(&f, &x);
    assert_ok(sotto_bfv_rotate_rows(&x, f.p, 0, &keys)); /* no step, no change */
    assert_true(same_ct(&f, &x, &same));
    sotto_bfv_ct_free(&same);
    assert_ok(sotto_bfv_rotate_rows(&x, f.p, 5, &keys)); /* 5 + 1 = 6 */
    assert_ok(sotto_bfv_rotate_rows(&x, f.p, 1, &keys));
    turned(want, v, n, 6, 0);
    assert_int_equal(wrong_slots(&f, b, &x, want), 0);
    assert_ok(sotto_bfv_swap_rows(&x, f.p, &keys)); /* commutes with rotations */
    assert_ok(sotto_bfv_rotate_rows(&x, f.p, -5, &keys));
    turned(want, v, n, 1, 1);
    assert_int_equal(wrong_slots(&f, b, &x, want), 0);
    assert_ok(sotto_bfv_rotate_rows(&x, f.p, -1, &keys));
    assert_ok(sotto_bfv_swap_rows(&x, f.p, &keys));
    assert_int_equal(wrong_slots(&f, b, &x, v), 0);
    sotto_bfv_ct_free(&x);
    sotto_bfv_galois_keys_free(&keys);
    sotto_bfv_batch_free(b);
    free(v);
    free(want);
    fixture_free(&f);
}

static void test_rotations(void **state)
{
    (void)state;
    const unsigned one[] = {44}, uneven[] = {30, 45};
    run_rotations(4096, bits_4096, 2, 37);
    run_rotations(4096, one, 1, 44);
    run_rotations(4096, uneven, 2, 34); /* digits longer than other primes and than the special one */
    run_rotations(8192, bits_8192, 4, SPECIAL_8192);
}

/* m(X) becomes m(X^g) for any t and g, a transparent ciphertext included. */
static void test_automorphisms(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 3);
    fixture f = special_new(4096, bits_4096, 2, 37, 1000, NULL, &rng);
    const uint32_t element[] = {3, 5, 4097, 8191, 4095, 7, 3, 8191};
    sotto_bfv_galois_keys keys;
    uint64_t *m = words_new(f.n), *want = words_new(f.n);
    assert_ok(sotto_bfv_galois_keys_new(&keys, f.p, &f.sk, element, 8, &rng));
    assert_int_equal(keys.count, 6); /* repeated ones count once; ascending */
    for (size_t i = 1; i < keys.count; i++)
        assert_true(keys.element[i - 1] < keys.element[i]);
    message_fill(m, &f, MESSAGE_RANDOM);
    for (size_t i = 0; i < 6; i++) {
        const uint32_t g = element[i];
        for (uint32_t j = 0; j < f.n; j++) {
            uint32_t to = (uint32_t)((uint64_t)g * j % (2 * f.n));
            want[to % f.n] = to < f.n ? m[j] : (f.t - m[j]) % f.t;
        }
        sotto_bfv_ct x = encrypted(&f, m, 1), bare;
        assert_ok(sotto_bfv_ct_new(&bare, f.p));
        assert_ok(sotto_bfv_add_plain(&bare, f.p, m));
        assert_ok(sotto_bfv_apply_galois(&x, f.p, g, &keys));
        assert_ok(sotto_bfv_apply_galois(&bare, f.p, g, &keys));
        assert_decrypts(&f, &x, want);
        assert_decrypts(&f, &bare, want);
        sotto_bfv_ct_free(&x);
        sotto_bfv_ct_free(&bare);
    }
    /* Every key hides s(X^g). */
    uint64_t *from = words_new(f.sk.words);
    for (size_t i = 0; i < keys.count; i++) {
        for (size_t k = 0; k < 2; k++)
            for (uint32_t j = 0; j < f.n; j++)
                from[k * f.n + j] = f.sk.s_ntt[k * f.n + keys.order[i * f.n + j]];
        assert_switch_key(&f, &keys.key[i], from);
    }
    free(from);
    sotto_bfv_galois_keys_free(&keys);
    free(m);
    free(want);
    fixture_free(&f);
}

static void test_sum_slots(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 4);
    const unsigned three[] = {36, 36, 36};
    sotto_bfv_batch *b = NULL;
    fixture f = special_new(8192, three, 3, 40, 65537, &b, &rng);
    uint32_t element[SOTTO_BFV_SUM_ELEMENTS_MAX];
    size_t count = sotto_bfv_galois_sum(element, f.p);
    sotto_bfv_galois_keys keys;
    assert_ok(sotto_bfv_galois_keys_new(&keys, f.p, &f.sk, element, count, &rng));
    int64_t *v = slots_new(&f), *want = slots_new(&f);
    sotto_i128 sum = 0;
    for (uint32_t i = 0; i < f.n; i++)
        sum += v[i];
    for (uint32_t i = 0; i < f.n; i++)
        want[i] = reduced(sum, f.t);
    for (int ntt = 0; ntt < 2; ntt++) {
        sotto_bfv_ct x = encrypted_slots(&f, b, v, 0);
        if (!ntt)
            sotto_bfv_to_coeff(&x, f.p);
        assert_ok(sotto_bfv_sum_slots(&x, f.p, &keys));
        assert_int_equal(wrong_slots(&f, b, &x, want), 0);
        double measured, predicted;
        assert_ok(sotto_bfv_noise_budget_var(&measured, f.p, &f.sk, &x));
        predicted = sotto_bfv_noise_predicted_budget(sotto_bfv_noise_sum_slots(sotto_bfv_noise_symmetric(f.p), f.p), f.p);
        assert_true(predicted > 0 && measured >= predicted);
        sotto_bfv_ct_free(&x);
    }
    sotto_bfv_ct x = encrypted_slots(&f, b, v, 0), before = copy_of(&f, &x);
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_bfv_sum_slots(&x, f.p, &keys));
    sotto_calloc_fail_after(-1);
    keys.element[4] += 2; /* as if one were missing */
    assert_status(SOTTO_ERR_ARG, sotto_bfv_sum_slots(&x, f.p, &keys));
    assert_true(same_ct(&f, &x, &before));
    sotto_bfv_ct_free(&x);
    sotto_bfv_ct_free(&before);
    sotto_bfv_galois_keys_free(&keys);
    sotto_bfv_batch_free(b);
    free(v);
    free(want);
    fixture_free(&f);
}

/* Against additions one by one, in both forms and in place; primes so long that sums without reduction are at their limit. */
static void test_sum(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 5);
    const unsigned bits[] = {54, 55};
    fixture f = fixture_new(4096, bits, 2, 1000, &rng);
    enum { MOST = 30 };
    sotto_bfv_ct x[MOST], got;
    const sotto_bfv_ct *term[MOST];
    uint64_t *m = words_new(f.n);
    assert_ok(sotto_bfv_ct_new(&got, f.p));
    for (size_t i = 0; i < MOST; i++) {
        message_fill(m, &f, MESSAGE_RANDOM);
        x[i] = encrypted(&f, m, 0);
        for (size_t k = 0; k < 2; k++)
            for (uint32_t j = 0; j < 100; j++) /* the largest residues */
                x[i].c0[k * f.n + j] = sotto_rns_modulus(sotto_bfv_rns(f.p), k)->q - 1;
        term[i] = &x[i];
    }
    for (size_t count = 1; count <= MOST; count++) {
        sotto_bfv_ct want = copy_of(&f, &x[0]);
        for (size_t i = 1; i < count; i++)
            assert_ok(sotto_bfv_add(&want, f.p, &x[i]));
        assert_ok(sotto_bfv_sum(&got, f.p, term, count));
        assert_true(same_ct(&f, &got, &want));
        if (count == MOST) {
            assert_ok(sotto_bfv_sum(&x[3], f.p, term, count));
            assert_true(same_ct(&f, &x[3], &want));
        }
        sotto_bfv_ct_free(&want);
    }
    assert_status(SOTTO_ERR_ARG, sotto_bfv_sum(&got, f.p, term, 0));
    sotto_bfv_to_coeff(&x[7], f.p);
    assert_status(SOTTO_ERR_ARG, sotto_bfv_sum(&got, f.p, term, MOST));
    assert_ok(sotto_bfv_sum(&got, f.p, term + 7, 1));
    assert_true(same_ct(&f, &got, &x[7]));
    for (size_t i = 0; i < MOST; i++)
        sotto_bfv_ct_free(&x[i]);
    sotto_bfv_ct_free(&got);
    free(m);
    fixture_free(&f);
}

/* Fixed coins give these words on every machine and tier. */
static void test_known_answer(void **state)
{
    (void)state;
    for (int tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_IFMA; tier++) {
        sotto_cpu_force_tier((sotto_tier)tier);
        sotto_prg prg;
        sotto_rng rng = fixed_rng(&prg, 9);
        fixture f = special_new(4096, bits_4096, 2, 37, 65537, NULL, &rng);
        const long steps[] = {1, -3};
        char hex[65];
        sotto_bfv_galois_keys keys = keys_for(&f, steps, 2, 1);
        uint64_t *m = words_new(f.n);
        for (uint32_t i = 0; i < f.n; i++)
            m[i] = 11 * i % f.t;
        sotto_bfv_ct x = encrypted(&f, m, 0);
        assert_ok(sotto_bfv_rotate_rows(&x, f.p, -3, &keys));
        assert_ok(sotto_bfv_swap_rows(&x, f.p, &keys));
        const uint64_t *const parts[] = {keys.key[0].b, keys.key[1].b, keys.key[2].a, x.c0, x.c1};
        const size_t words[] = {keys.key[0].words, keys.key[1].words, keys.key[2].words, f.sk.words, f.sk.words};
        digest_words(hex, parts, words, 5);
        assert_string_equal(hex, "30986d2146e747fe24e636e5d941369159dd4d60c8c9f7a54564cc76c3025afe");
        sotto_bfv_ct_free(&x);
        free(m);
        sotto_bfv_galois_keys_free(&keys);
        fixture_free(&f);
    }
    sotto_cpu_force_tier(SOTTO_TIER_IFMA);
}

static void test_refusals(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 6);
    fixture f = special_new(4096, bits_4096, 2, 37, 65537, NULL, &rng), ordinary = fixture_new(4096, bits_4096, 2, 16, &rng),
            shorter = special_new(4096, bits_4096, 1, 37, 16, NULL, &rng);
    sotto_bfv_galois_keys keys, none;
    const uint32_t bad[] = {0, 1, 2, 8192, 8193, 4};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const uint32_t element[] = {3, bad[i]};
        assert_status(SOTTO_ERR_ARG, sotto_bfv_galois_keys_new(&none, f.p, &f.sk, element, 2, &rng));
        assert_true(none.count == 0 && none.key == NULL && none.element == NULL && none.order == NULL);
    }
    const uint32_t three = 3;
    assert_status(SOTTO_ERR_ARG, sotto_bfv_galois_keys_new(&none, ordinary.p, &ordinary.sk, &three, 1, &rng));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_galois_keys_new(&none, f.p, &shorter.sk, &three, 1, &rng));
    assert_ok(sotto_bfv_galois_keys_new(&none, f.p, &f.sk, NULL, 0, &rng)); /* an empty set */
    assert_ok(sotto_bfv_galois_keys_new(&keys, f.p, &f.sk, &three, 1, &rng));
    uint64_t *m = words_new(f.n);
    sotto_bfv_ct x = encrypted(&f, m, 0), before = copy_of(&f, &x);
    assert_status(SOTTO_ERR_ARG, sotto_bfv_rotate_rows(&x, f.p, 2, &keys));
    assert_non_null(strstr(sotto_error_message(), "rotation of the rows by 2"));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_rotate_rows(&x, f.p, 1, &none));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_swap_rows(&x, f.p, &keys));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_apply_galois(&x, f.p, 5, &keys));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_apply_galois(&x, shorter.p, 3, &keys));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_apply_galois(&x, ordinary.p, 3, &keys));
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_bfv_rotate_rows(&x, f.p, 1, &keys));
    sotto_calloc_fail_after(-1);
    assert_true(same_ct(&f, &x, &before));
    sotto_bfv_ct_free(&x);
    sotto_bfv_ct_free(&before);
    free(m);
    sotto_bfv_galois_keys_free(&none);
    sotto_bfv_galois_keys_free(&keys);
    sotto_bfv_galois_keys_free(&keys);
    fixture_free(&f);
    fixture_free(&ordinary);
    fixture_free(&shorter);
}

static void test_faults(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 7);
    fixture f = special_new(4096, bits_4096, 2, 37, 16, NULL, &rng);
    const uint32_t element[] = {3, 9, 8191};
    for (int which = 0; which < 2; which++) {
        int status = SOTTO_ERR_RNG;
        long k = 0;
        sotto_bfv_galois_keys keys;
        for (; k < FIXTURE_FAULTS_MAX && status != SOTTO_OK; k++) {
            test_faulty_rng faulty = {.inner = rng, .k = k};
            sotto_rng wrapped = test_faulty_rng_wrap(&faulty);
            if (which == 1)
                sotto_calloc_fail_after(k);
            status = sotto_bfv_galois_keys_new(&keys, f.p, &f.sk, element, 3, which == 0 ? &wrapped : &rng);
            sotto_calloc_fail_after(-1);
            if (status != SOTTO_OK) {
                assert_int_equal(status, which == 0 ? SOTTO_ERR_RNG : SOTTO_ERR_MEMORY);
                assert_true(keys.count == 0 && keys.key == NULL && keys.element == NULL && keys.order == NULL);
            }
        }
        assert_int_equal(status, SOTTO_OK);
        assert_true(k == (which == 0 ? 10 : 17));
        sotto_bfv_galois_keys_free(&keys);
    }
    fixture_free(&f);
}

/* Keys whose arrays have the very size that another ring's have: k (k + 1) n is the same for both. */
static void test_keys_of_another_ring(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 40);
    const unsigned large[] = {43, 43}, small[] = {20, 20, 20};
    fixture f = special_new(8192, large, 2, 44, 1000, NULL, &rng), g = special_new(4096, small, 3, 21, 1000, NULL, &rng);
    sotto_bfv_galois_keys keys;
    sotto_bfv_switch_key relin;
    const uint32_t left[] = {sotto_bfv_galois_row(f.p, 1)};
    uint64_t *m = words_new(g.n);
    sotto_bfv_ct x = encrypted(&g, m, 0);
    assert_ok(sotto_bfv_galois_keys_new(&keys, f.p, &f.sk, left, 1, &rng));
    assert_ok(sotto_bfv_relin_key_new(&relin, f.p, &f.sk, &rng));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_apply_galois(&x, g.p, left[0], &keys));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_mul(&x, g.p, &x, &relin));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_decrypt(m, f.p, &g.sk, &x));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_encrypt_public(&x, g.p, &f.pk, m, &rng));
    sotto_bfv_switch_key_free(&relin);
    sotto_bfv_galois_keys_free(&keys);
    sotto_bfv_ct_free(&x);
    free(m);
    fixture_free(&f);
    fixture_free(&g);
}

int main(void)
{
    seed = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_of_another_ring),
        cmocka_unit_test(test_elements),      cmocka_unit_test(test_order),        cmocka_unit_test(test_rotations),
        cmocka_unit_test(test_automorphisms), cmocka_unit_test(test_sum_slots),    cmocka_unit_test(test_sum),
        cmocka_unit_test(test_known_answer),  cmocka_unit_test(test_refusals),     cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
