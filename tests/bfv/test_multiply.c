#include "bfv/multiply.h"

#include "lib/cpu.h"
#include "tests/bfv/special.h"

static uint64_t seed;
static const unsigned bits_4096[] = {36, 36};

/* Products against the definition, in coefficients, for any t. */
static void test_definition(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 1);
    const uint64_t moduli[] = {2, 3, 1000, 65537, 1 << 20};
    for (size_t i = 0; i < sizeof moduli / sizeof *moduli; i++) {
        fixture f = special_new(4096, bits_4096, 2, 37, moduli[i], NULL, &rng);
        sotto_bfv_switch_key relin;
        uint64_t *mx = words_new(f.n), *my = words_new(f.n), *want = words_new(f.n);
        int64_t *w = calloc(f.n, sizeof *w);
        assert_non_null(w);
        assert_ok(sotto_bfv_relin_key_new(&relin, f.p, &f.sk, &rng));
        message_fill(mx, &f, i % 2 ? MESSAGE_RANDOM : MESSAGE_MAX);
        message_fill(my, &f, MESSAGE_RANDOM);
        for (uint32_t j = 0; j < f.n; j++)
            w[j] = (int64_t)my[j];
        plain_mac(want, mx, w, f.n, f.t);
        sotto_bfv_ct x = encrypted(&f, mx, 0), y = encrypted(&f, my, 1);
        assert_ok(sotto_bfv_mul(&x, f.p, &y, &relin));
        assert_decrypts(&f, &x, want);
        sotto_bfv_ct_free(&x);
        sotto_bfv_ct_free(&y);
        sotto_bfv_switch_key_free(&relin);
        free(mx);
        free(my);
        free(want);
        free(w);
        fixture_free(&f);
    }
}

/* The operands' forms, aliasing and the square's own way change nothing, not one bit. */
static void test_forms(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 2);
    sotto_bfv_batch *b = NULL;
    fixture f = special_new(4096, bits_4096, 2, 37, 65537, &b, &rng);
    sotto_bfv_switch_key relin;
    int64_t *vx = slots_new(&f), *vy = slots_new(&f), *want = slots_new(&f);
    assert_ok(sotto_bfv_relin_key_new(&relin, f.p, &f.sk, &rng));
    sotto_bfv_ct x = encrypted_slots(&f, b, vx, 0), y = encrypted_slots(&f, b, vy, 1), first = copy_of(&f, &x);
    assert_ok(sotto_bfv_mul(&first, f.p, &y, &relin));
    for (uint32_t i = 0; i < f.n; i++)
        want[i] = reduced((sotto_i128)vx[i] * vy[i], f.t);
    assert_int_equal(wrong_slots(&f, b, &first, want), 0);
    for (int form = 1; form < 4; form++) {
        sotto_bfv_ct u = copy_of(&f, &x), v = copy_of(&f, &y);
        if (form & 1)
            sotto_bfv_to_coeff(&u, f.p);
        if (form & 2)
            sotto_bfv_to_coeff(&v, f.p);
        sotto_bfv_ct untouched = copy_of(&f, &v);
        assert_ok(sotto_bfv_mul(&u, f.p, &v, &relin));
        assert_true(same_ct(&f, &u, &first));
        assert_true(same_ct(&f, &v, &untouched));
        sotto_bfv_ct_free(&u);
        sotto_bfv_ct_free(&v);
        sotto_bfv_ct_free(&untouched);
    }
    for (uint32_t i = 0; i < f.n; i++)
        want[i] = reduced((sotto_i128)vx[i] * vx[i], f.t);
    for (int ntt = 0; ntt < 2; ntt++) {
        sotto_bfv_ct u = copy_of(&f, &x), v = copy_of(&f, &x), w = copy_of(&f, &x), z = copy_of(&f, &x), shared;
        if (!ntt) {
            sotto_bfv_to_coeff(&u, f.p);
            sotto_bfv_to_coeff(&v, f.p);
            sotto_bfv_to_coeff(&z, f.p);
        }
        assert_ok(sotto_bfv_mul(&u, f.p, &w, &relin)); /* two ciphertexts that are equal */
        assert_ok(sotto_bfv_square(&v, f.p, &relin));
        shared = z; /* two structs on the same words */
        assert_ok(sotto_bfv_mul(&z, f.p, &shared, &relin));
        assert_int_equal(wrong_slots(&f, b, &u, want), 0);
        assert_true(same_ct(&f, &u, &v));
        assert_true(same_ct(&f, &u, &z));
        sotto_bfv_ct_free(&u);
        sotto_bfv_ct_free(&v);
        sotto_bfv_ct_free(&w);
        sotto_bfv_ct_free(&z);
    }
    sotto_bfv_ct_free(&first);
    sotto_bfv_ct_free(&x);
    sotto_bfv_ct_free(&y);
    sotto_bfv_switch_key_free(&relin);
    sotto_bfv_batch_free(b);
    free(vx);
    free(vy);
    free(want);
    fixture_free(&f);
}

/* Zero plaintexts, ciphertexts without noise or key (c1 = 0), and both at once. */
static void test_degenerate(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 3);
    sotto_bfv_batch *b = NULL;
    fixture f = special_new(4096, bits_4096, 2, 37, 65537, &b, &rng);
    sotto_bfv_switch_key relin;
    int64_t *v = slots_new(&f), *zero = calloc(f.n, sizeof *zero), *square = slots_new(&f);
    uint64_t *m = words_new(f.n);
    assert_non_null(zero);
    assert_ok(sotto_bfv_relin_key_new(&relin, f.p, &f.sk, &rng));
    assert_ok(sotto_bfv_batch_encode(m, b, v, f.n));
    for (uint32_t i = 0; i < f.n; i++)
        square[i] = reduced((sotto_i128)v[i] * v[i], f.t);
    sotto_bfv_ct fresh = encrypted_slots(&f, b, v, 0), fresh_zero = encrypted_slots(&f, b, zero, 0), bare, bare_zero;
    assert_ok(sotto_bfv_ct_new(&bare, f.p));
    assert_ok(sotto_bfv_ct_new(&bare_zero, f.p));
    assert_ok(sotto_bfv_add_plain(&bare, f.p, m));
    const struct {
        const sotto_bfv_ct *x, *y;
        const int64_t *want;
    } cases[] = {
        {&fresh, &fresh_zero, zero}, {&fresh_zero, &fresh, zero}, {&fresh, &bare, square},   {&bare, &fresh, square},
        {&bare, &bare, square},      {&bare_zero, &fresh, zero},  {&fresh, &bare_zero, zero}, {&bare_zero, &bare_zero, zero},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sotto_bfv_ct x = copy_of(&f, cases[i].x);
        assert_ok(sotto_bfv_mul(&x, f.p, cases[i].y, &relin));
        assert_int_equal(wrong_slots(&f, b, &x, cases[i].want), 0);
        sotto_bfv_ct_free(&x);
    }
    sotto_bfv_ct_free(&fresh);
    sotto_bfv_ct_free(&fresh_zero);
    sotto_bfv_ct_free(&bare);
    sotto_bfv_ct_free(&bare_zero);
    sotto_bfv_switch_key_free(&relin);
    sotto_bfv_batch_free(b);
    free(v);
    free(zero);
    free(square);
    free(m);
    fixture_free(&f);
}

/* A polynomial of growing degree at random slots, as deep as the prediction admits: each result is right, and its noise
 * within the bound. Then on until decryption fails: it fails only where the prediction has said so, and the measured
 * budget shows it. */
static void run_depth(uint32_t n, const unsigned *bits, size_t count, unsigned special, uint64_t t, int least)
{
    sotto_rng rng = test_rng(seed, 4);
    sotto_bfv_batch *b = NULL;
    fixture f = special_new(n, bits, count, special, t, &b, &rng);
    sotto_bfv_switch_key relin;
    int64_t *vx = slots_new(&f), *vy = slots_new(&f);
    assert_ok(sotto_bfv_relin_key_new(&relin, f.p, &f.sk, &rng));
    sotto_bfv_ct x = encrypted_slots(&f, b, vx, 0), y = encrypted_slots(&f, b, vy, 1);
    sotto_bfv_noise nx = sotto_bfv_noise_symmetric(f.p), ny = sotto_bfv_noise_public(f.p);
    int depth = 0, promised = 0;
    uint32_t wrong = 0;
    for (; wrong == 0 && depth < 40; depth++) {
        switch (depth % 3) { /* x y, then x^2 + y, then (x + y) y */
        case 1:
            assert_ok(sotto_bfv_square(&x, f.p, &relin));
            assert_ok(sotto_bfv_add(&x, f.p, &y));
            nx = sotto_bfv_noise_add(sotto_bfv_noise_square(nx, f.p), ny);
            for (uint32_t i = 0; i < f.n; i++)
                vx[i] = reduced((sotto_i128)vx[i] * vx[i] + vy[i], f.t);
            break;
        case 2:
            assert_ok(sotto_bfv_add(&x, f.p, &y));
            nx = sotto_bfv_noise_add(nx, ny);
            for (uint32_t i = 0; i < f.n; i++)
                vx[i] = reduced((sotto_i128)vx[i] + vy[i], f.t);
            /* fall through */
        default:
            assert_ok(sotto_bfv_mul(&x, f.p, &y, &relin));
            nx = sotto_bfv_noise_mul(nx, ny, f.p);
            for (uint32_t i = 0; i < f.n; i++)
                vx[i] = reduced((sotto_i128)vx[i] * vy[i], f.t);
        }
        wrong = wrong_slots(&f, b, &x, vx);
        double measured, predicted = sotto_bfv_noise_predicted_budget(nx, f.p);
        assert_ok(sotto_bfv_noise_budget_var(&measured, f.p, &f.sk, &x));
        if (predicted > 0) {
            promised = depth + 1;
            assert_int_equal(wrong, 0);
            assert_true(measured >= predicted);
        }
        if (wrong != 0) { /* not silent */
            assert_true(predicted < 0);
            assert_true(measured < 0.5);
        }
    }
    assert_true(wrong > n / 2);
    assert_true(promised >= least);
    sotto_bfv_ct_free(&x);
    sotto_bfv_ct_free(&y);
    sotto_bfv_switch_key_free(&relin);
    sotto_bfv_batch_free(b);
    free(vx);
    free(vy);
    fixture_free(&f);
}

static void test_depth(void **state)
{
    (void)state;
    const unsigned wide[] = {50, 50, 50}, bits_16384[] = {55, 55, 55, 54, 55, 55, 54};
    run_depth(4096, bits_4096, 2, 37, 65537, 1);
    run_depth(8192, bits_8192, 4, SPECIAL_8192, 65537, 3);
    run_depth(8192, wide, 3, 61, 114689, 2);
    if (getenv("SOTTO_TEST_LONG") != NULL) {
        unsigned widest[15];
        for (size_t i = 0; i < 15; i++)
            widest[i] = 54;
        run_depth(16384, bits_16384, 7, 54, 65537, 8);
        run_depth(32768, widest, 15, 61, 786433, 15);
    }
}

/* Fixed coins give these words on every machine and tier. */
static void test_known_answer(void **state)
{
    (void)state;
    for (int tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_IFMA; tier++) {
        sotto_cpu_force_tier((sotto_tier)tier);
        sotto_prg prg;
        sotto_rng rng = fixed_rng(&prg, 8);
        fixture f = special_new(8192, bits_8192, 4, SPECIAL_8192, 65537, NULL, &rng);
        sotto_bfv_switch_key relin;
        char hex[65];
        assert_ok(sotto_bfv_relin_key_new(&relin, f.p, &f.sk, &rng));
        uint64_t *m = words_new(f.n);
        for (uint32_t i = 0; i < f.n; i++)
            m[i] = 7 * i % f.t;
        sotto_bfv_ct x = encrypted(&f, m, 0), y = encrypted(&f, m, 1);
        assert_ok(sotto_bfv_mul(&x, f.p, &y, &relin));
        assert_ok(sotto_bfv_square(&x, f.p, &relin));
        const uint64_t *const parts[] = {relin.b, relin.a, x.c0, x.c1};
        const size_t words[] = {relin.words, relin.words, f.sk.words, f.sk.words};
        digest_words(hex, parts, words, 4);
        assert_string_equal(hex, "b3abb94b78494df1fc825ef3abf810fc7c3d82838d70c0befd45a5e36829524c");
        sotto_bfv_ct_free(&x);
        sotto_bfv_ct_free(&y);
        free(m);
        sotto_bfv_switch_key_free(&relin);
        fixture_free(&f);
    }
    sotto_cpu_force_tier(SOTTO_TIER_IFMA);
}

static void test_key(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 5);
    fixture f = special_new(4096, bits_4096, 2, 37, 16, NULL, &rng);
    uint64_t *square = words_new(f.sk.words);
    sotto_poly_mul_ntt(sotto_bfv_rns(f.p), square, f.sk.s_ntt, f.sk.s_ntt);
    for (int which = 0; which < 2; which++) {
        int status = SOTTO_ERR_RNG;
        long k = 0;
        sotto_bfv_switch_key relin;
        for (; k < FIXTURE_FAULTS_MAX && status != SOTTO_OK; k++) {
            test_faulty_rng faulty = {.inner = rng, .k = k};
            sotto_rng wrapped = test_faulty_rng_wrap(&faulty);
            if (which == 1)
                sotto_calloc_fail_after(k);
            status = sotto_bfv_relin_key_new(&relin, f.p, &f.sk, which == 0 ? &wrapped : &rng);
            sotto_calloc_fail_after(-1);
            if (status != SOTTO_OK) {
                assert_int_equal(status, which == 0 ? SOTTO_ERR_RNG : SOTTO_ERR_MEMORY);
                assert_true(relin.b == NULL && relin.a == NULL);
            }
        }
        assert_int_equal(status, SOTTO_OK);
        assert_true(k > 3);
        assert_switch_key(&f, &relin, square);
        sotto_bfv_switch_key_free(&relin);
    }
    free(square);
    fixture_free(&f);
}

static void test_refusals(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 6);
    fixture f = special_new(4096, bits_4096, 2, 37, 16, NULL, &rng), ordinary = fixture_new(4096, bits_4096, 2, 16, &rng),
            shorter = special_new(4096, bits_4096, 1, 37, 16, NULL, &rng);
    sotto_bfv_switch_key relin, short_key, none;
    assert_status(SOTTO_ERR_ARG, sotto_bfv_relin_key_new(&none, ordinary.p, &ordinary.sk, &rng));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_relin_key_new(&none, f.p, &shorter.sk, &rng));
    assert_null(none.b);
    assert_ok(sotto_bfv_relin_key_new(&relin, f.p, &f.sk, &rng));
    assert_ok(sotto_bfv_relin_key_new(&short_key, shorter.p, &shorter.sk, &rng));
    uint64_t *m = words_new(f.n);
    sotto_bfv_ct x = encrypted(&f, m, 0), y = encrypted(&f, m, 0), before = copy_of(&f, &x);
    assert_status(SOTTO_ERR_ARG, sotto_bfv_mul(&x, f.p, &y, &short_key));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_mul(&x, f.p, &y, &none));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_mul(&x, ordinary.p, &y, &relin));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_square(&x, f.p, &none));
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_bfv_mul(&x, f.p, &y, &relin));
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_bfv_square(&x, f.p, &relin));
    sotto_calloc_fail_after(-1);
    assert_true(same_ct(&f, &x, &before));
    sotto_bfv_ct_free(&x);
    sotto_bfv_ct_free(&y);
    sotto_bfv_ct_free(&before);
    free(m);
    sotto_bfv_switch_key_free(&relin);
    sotto_bfv_switch_key_free(&short_key);
    fixture_free(&f);
    fixture_free(&ordinary);
    fixture_free(&shorter);
}

int main(void)
{
    seed = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition), cmocka_unit_test(test_forms),        cmocka_unit_test(test_degenerate),
        cmocka_unit_test(test_depth),      cmocka_unit_test(test_known_answer), cmocka_unit_test(test_key),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
