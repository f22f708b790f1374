#include "bfv/noise.h"

#include <math.h>

#include <gmp.h>

#include "tests/bfv/special.h"

static uint64_t seed;

/* Largest magnitude and root mean square of the noise of ct, which holds the plaintext m, straight from the definition
 * v = c0 + c1 s - Q m / t. */
static void measure(double *log_max, double *log_rms, const fixture *f, const sotto_bfv_ct *ct, const uint64_t *m)
{
    const sotto_rns *rns = sotto_bfv_rns(f->p);
    uint64_t *phase = words_new(f->sk.words), residues[SOTTO_RNS_MAX];
    double largest = 0, square = 0;
    mpz_t q, tq, x, y;
    mpz_inits(q, tq, x, y, NULL);
    assert_ok(sotto_bfv_phase(phase, f->p, &f->sk, ct));
    sotto_rns_product(rns, q);
    mpz_mul_ui(tq, q, f->t);
    for (uint32_t i = 0; i < f->n; i++) {
        for (size_t k = 0; k < sotto_rns_count(rns); k++)
            residues[k] = phase[k * f->n + i];
        sotto_rns_compose_var(rns, x, residues);
        mpz_mul_ui(x, x, f->t); /* t v = t phase - Q m modulo t Q */
        mpz_mul_ui(y, q, m[i]);
        mpz_sub(x, x, y);
        mpz_mod(x, x, tq);
        mpz_sub(y, tq, x);
        double v = (mpz_cmp(x, y) < 0 ? mpz_get_d(x) : -mpz_get_d(y)) / (double)f->t;
        largest = fmax(largest, fabs(v));
        square += v * v;
    }
    *log_max = log2(largest);
    *log_rms = log2(square / f->n) / 2;
    mpz_clears(q, tq, x, y, NULL);
    free(phase);
}

/* Counts of what was checked, so that a test that checked nothing fails. */
static int trials;

static void check(const char *what, const fixture *f, const sotto_bfv_ct *ct, const uint64_t *m,
                  sotto_bfv_noise predicted)
{
    double log_max, log_rms, budget;
    measure(&log_max, &log_rms, f, ct, m);
    if (log_max > predicted.log_bound || fabs(log_rms - predicted.log_sigma) > 3)
        fail_msg("%s: noise max 2^%.2f (bound 2^%.2f), rms 2^%.2f (predicted 2^%.2f)", what, log_max, predicted.log_bound,
                 log_rms, predicted.log_sigma);
    assert_ok(sotto_bfv_noise_budget_var(&budget, f->p, &f->sk, ct));
    double limit = sotto_rns_log2(sotto_bfv_rns(f->p)) - 1 - log2((double)f->t);
    if (fabs(budget - (limit - log_max)) >= 1e-6)
        fail_msg("%s: measured budget %.9f, expected %.9f", what, budget, limit - log_max);
    assert_true(budget >= sotto_bfv_noise_predicted_budget(predicted, f->p));
    trials++;
}

/* Every operation once, on a chain of random ciphertexts. */
static void one_round(const fixture *f, const fixture *below)
{
    sotto_bfv_ct x, y, z;
    sotto_block a_seed;
    uint64_t *mx = words_new(f->n), *my = words_new(f->n), *mz = words_new(f->n);
    int64_t *w = calloc(f->n, sizeof *w);
    double norm2, norm1;
    sotto_bfv_plain plain;
    assert_non_null(w);
    assert_ok(sotto_bfv_ct_new(&x, f->p));
    assert_ok(sotto_bfv_ct_new(&y, f->p));
    assert_ok(sotto_bfv_ct_new(&z, below->p));
    message_fill(mx, f, MESSAGE_RANDOM);
    message_fill(my, f, MESSAGE_RANDOM);
    weights_fill(w, f, 16, 100, &norm2, &norm1);
    assert_ok(sotto_bfv_plain_new(&plain, f->p, w));

    sotto_bfv_noise nx = sotto_bfv_noise_symmetric(f->p), ny = sotto_bfv_noise_public(f->p);
    assert_ok(sotto_bfv_encrypt_symmetric(&x, &a_seed, f->p, &f->sk, mx, f->rng));
    check("symmetric", f, &x, mx, nx);
    assert_ok(sotto_bfv_encrypt_public(&y, f->p, &f->pk, my, f->rng));
    check("public", f, &y, my, ny);

    assert_ok(sotto_bfv_mul_plain(&x, f->p, &plain));
    nx = sotto_bfv_noise_mul_plain(nx, norm2, norm1);
    plain_mac(mz, mx, w, f->n, f->t);
    check("product", f, &x, mz, nx);

    assert_ok(sotto_bfv_add(&x, f->p, &y));
    nx = sotto_bfv_noise_add(nx, ny);
    for (uint32_t i = 0; i < f->n; i++)
        mz[i] = (mz[i] + my[i]) % f->t;
    check("sum", f, &x, mz, nx);

    sotto_bfv_to_coeff(&x, f->p);
    assert_ok(sotto_bfv_mod_switch(&z, below->p, &x, f->p));
    check("switch", below, &z, mz, sotto_bfv_noise_mod_switch(nx, f->p));

    sotto_bfv_plain_free(&plain, f->p);
    sotto_bfv_ct_free(&x);
    sotto_bfv_ct_free(&y);
    sotto_bfv_ct_free(&z);
    free(w);
    free(mx);
    free(my);
    free(mz);
}

static void test_predictions(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 1);
    const unsigned bits[] = {30, 24};
    const int rounds = getenv("SOTTO_TEST_LONG") != NULL ? 1000 : 250;
    const uint64_t moduli[] = {4, 37};
    for (size_t i = 0; i < 2; i++) {
        fixture f = fixture_new(2048, bits, 2, moduli[i], &rng), below = f;
        assert_ok(sotto_bfv_params_from_bits(&below.p, 2048, bits, 1, moduli[i]));
        assert_ok(sotto_bfv_secret_key_for(&below.sk, below.p, &f.sk));
        memset(&below.pk, 0, sizeof below.pk);
        for (int round = 0; round < rounds; round++)
            one_round(&f, &below);
        fixture_free(&below);
        fixture_free(&f);
    }
    assert_int_equal(trials, 2 * 5 * rounds); /* 2,500 ciphertexts or 10,000 */
}

/* The same at the size that is used, few times: three primes, a wide t. */
static void test_wide(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 2);
    const unsigned bits[] = {36, 36, 36};
    fixture f = fixture_new(4096, bits, 3, (uint64_t)1 << 33, &rng), below = f;
    assert_ok(sotto_bfv_params_from_bits(&below.p, 4096, bits, 2, f.t));
    assert_ok(sotto_bfv_secret_key_for(&below.sk, below.p, &f.sk));
    memset(&below.pk, 0, sizeof below.pk);
    one_round(&f, &below);
    fixture_free(&below);
    fixture_free(&f);
}

static void test_algebra(void **state)
{
    (void)state;
    const unsigned bits[] = {46, 46};
    sotto_bfv_params *p = NULL;
    assert_ok(sotto_bfv_params_from_bits(&p, 4096, bits, 2, 1 << 20));
    const sotto_bfv_noise x = {3, 5, 9, 1}, y = {3, 7, 9, 2}, nothing = {-INFINITY, -INFINITY, -INFINITY, 0};
    sotto_bfv_noise sum = sotto_bfv_noise_add(x, y);
    assert_true(fabs(sum.log_sigma - 3.5) < 1e-12);
    assert_true(fabs(exp2(sum.log_bound) - 160) < 1e-9);
    assert_true(fabs(sum.log_canonical - 10) < 1e-12 && sum.degree == 2);
    sum = sotto_bfv_noise_add(x, nothing);
    assert_true(sum.log_sigma == 3 && sum.log_bound == 5);
    sum = sotto_bfv_noise_add(nothing, nothing);
    assert_true(sum.log_sigma == -INFINITY);
    sum = sotto_bfv_noise_mul_plain(x, 8, 32);
    assert_true(sum.log_sigma == 6 && sum.log_bound == 10 && sum.log_canonical == 14 && sum.degree == 1);
    sum = sotto_bfv_noise_mul_plain(x, 0, 0);
    assert_true(sum.log_bound == -INFINITY);
    assert_true(fabs(sotto_bfv_noise_predicted_budget(x, p) - (92 - 21 - 5)) < 0.01);
    sotto_bfv_params_free(p);
}

/* ---- products, key switches, plaintexts, slots: v = [t phase]_Q / t, for noise that is far from Q / 2t ------------------ */

/* Coefficients, and the values at a few complex roots of X^n + 1, of the noise of ct against the prediction. */
static void check_noise(const char *what, const fixture *f, const sotto_bfv_ct *ct, sotto_bfv_noise predicted)
{
    const sotto_rns *rns = sotto_bfv_rns(f->p);
    uint64_t *phase = words_new(f->sk.words), residues[SOTTO_RNS_MAX];
    double *v = calloc(f->n, sizeof *v), largest = 0, square = 0;
    assert_non_null(v);
    mpz_t q, half, x;
    mpz_inits(q, half, x, NULL);
    sotto_rns_product(rns, q);
    mpz_fdiv_q_2exp(half, q, 1);
    assert_ok(sotto_bfv_phase(phase, f->p, &f->sk, ct));
    for (uint32_t i = 0; i < f->n; i++) {
        for (size_t k = 0; k < sotto_rns_count(rns); k++)
            residues[k] = phase[k * f->n + i];
        sotto_rns_compose_var(rns, x, residues);
        mpz_mul_ui(x, x, f->t);
        mpz_mod(x, x, q);
        if (mpz_cmp(x, half) > 0)
            mpz_sub(x, x, q);
        v[i] = mpz_get_d(x) / (double)f->t;
        largest = fmax(largest, fabs(v[i]));
        square += v[i] * v[i];
    }
    double log_max = log2(largest), log_rms = log2(square / f->n) / 2, log_value = -INFINITY;
    for (int z = 0; z < 2; z++) {
        const double angle = 3.14159265358979323846 * (double)(2 * test_below(f->rng, f->n) + 1) / f->n;
        double re = 0, im = 0;
        for (uint32_t i = 0; i < f->n; i++) {
            re += v[i] * cos(angle * i);
            im += v[i] * sin(angle * i);
        }
        log_value = fmax(log_value, log2(hypot(re, im)));
    }
    if (log_max > predicted.log_bound || fabs(log_rms - predicted.log_sigma) > 3 || log_value > predicted.log_canonical)
        fail_msg("%s: noise max 2^%.2f (bound 2^%.2f), rms 2^%.2f (predicted 2^%.2f), canonical 2^%.2f (bound 2^%.2f)", what, log_max,
                 predicted.log_bound, log_rms, predicted.log_sigma, log_value, predicted.log_canonical);
    mpz_clears(q, half, x, NULL);
    free(phase);
    free(v);
    trials++;
}

typedef struct key_set {
    sotto_bfv_switch_key relin;
    sotto_bfv_galois_keys galois;
} key_set;

static key_set key_set_new(const fixture *f)
{
    key_set keys;
    uint32_t element[SOTTO_BFV_SUM_ELEMENTS_MAX];
    size_t count = sotto_bfv_galois_sum(element, f->p);
    assert_ok(sotto_bfv_relin_key_new(&keys.relin, f->p, &f->sk, f->rng));
    assert_ok(sotto_bfv_galois_keys_new(&keys.galois, f->p, &f->sk, element, count, f->rng));
    return keys;
}

static void key_set_free(key_set *keys)
{
    sotto_bfv_switch_key_free(&keys->relin);
    sotto_bfv_galois_keys_free(&keys->galois);
}

enum { SPECIAL_CHECKS = 8 };

static void special_round(const fixture *f, const fixture *below, const key_set *keys, sotto_bfv_ct *z)
{
    uint64_t *m = words_new(f->n);
    message_fill(m, f, MESSAGE_RANDOM);
    sotto_bfv_ct x = encrypted(f, m, 0), y = encrypted(f, m, 1), sum = copy_of(f, &x);
    sotto_bfv_noise nx = sotto_bfv_noise_symmetric(f->p), ny = sotto_bfv_noise_public(f->p);
    check_noise("fresh", f, &x, nx);
    assert_ok(sotto_bfv_sum_slots(&sum, f->p, &keys->galois));
    check_noise("sum of the slots", f, &sum, sotto_bfv_noise_sum_slots(nx, f->p));
    assert_ok(sotto_bfv_rotate_rows(&x, f->p, 1, &keys->galois));
    nx = sotto_bfv_noise_switch(nx, f->p);
    check_noise("rotation", f, &x, nx);
    assert_ok(sotto_bfv_mul(&x, f->p, &y, &keys->relin));
    nx = sotto_bfv_noise_mul(nx, ny, f->p);
    check_noise("product", f, &x, nx);
    assert_ok(sotto_bfv_add_plain(&y, f->p, m));
    ny = sotto_bfv_noise_add_plain(ny, f->p);
    assert_ok(sotto_bfv_square(&y, f->p, &keys->relin));
    ny = sotto_bfv_noise_square(ny, f->p);
    check_noise("square", f, &y, ny);
    sotto_bfv_to_coeff(&y, f->p);
    assert_ok(sotto_bfv_mod_switch(z, below->p, &y, f->p));
    check_noise("modulus switch", below, z, sotto_bfv_noise_mod_switch(ny, f->p));
    sotto_bfv_to_ntt(&y, f->p);
    assert_ok(sotto_bfv_add(&x, f->p, &y));
    nx = sotto_bfv_noise_add(nx, ny);
    check_noise("sum", f, &x, nx);
    assert_ok(sotto_bfv_mul_message(&x, f->p, m));
    nx = sotto_bfv_noise_mul_message(nx, f->p);
    check_noise("product by a plaintext", f, &x, nx);
    sotto_bfv_ct_free(&x);
    sotto_bfv_ct_free(&y);
    sotto_bfv_ct_free(&sum);
    free(m);
}

/* {18, 18} and a special prime that is long enough; then one that is too short, so that the errors of keys weigh; new
 * keys now and then. */
static void test_special_predictions(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 4);
    const unsigned bits[] = {18, 18}, special[] = {18, 14};
    const uint64_t moduli[] = {3, 5};
    const int rounds = getenv("SOTTO_TEST_LONG") != NULL ? 5000 : 100;
    trials = 0;
    for (size_t i = 0; i < 2; i++)
        for (int round = 0; round < rounds;) {
            fixture f = special_new(2048, bits, 2, special[i], moduli[i], NULL, &rng), below = f;
            sotto_bfv_ct z;
            key_set keys = key_set_new(&f);
            assert_ok(sotto_bfv_params_from_bits(&below.p, 2048, bits, 1, moduli[i]));
            assert_ok(sotto_bfv_secret_key_for(&below.sk, below.p, &f.sk));
            memset(&below.pk, 0, sizeof below.pk);
            assert_ok(sotto_bfv_ct_new(&z, below.p));
            for (int end = round + 50; round < end; round++)
                special_round(&f, &below, &keys, &z);
            sotto_bfv_ct_free(&z);
            key_set_free(&keys);
            fixture_free(&below);
            fixture_free(&f);
        }
    assert_int_equal(trials, 2 * rounds * SPECIAL_CHECKS); /* 200 of each or 10,000 */
}

/* Chains of products as deep as they go: the average stays predicted, for the powers of the secret are counted. Uneven
 * primes; an R that is hardly longer than Q. */
static void test_depth(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 5);
    const struct {
        uint32_t n;
        size_t count;
        unsigned bits[4], special;
        uint64_t t;
        int depth;
    } sets[] = {
        {8192, 4, {43, 43, 44, 44}, 44, 65537, 5},
        {8192, 3, {50, 50, 50}, 60, 257, 5},
        {8192, 3, {30, 58, 40}, 45, 2, 5},
        {4096, 1, {54}, 55, 17, 1},
    };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        fixture f = special_new(sets[i].n, sets[i].bits, sets[i].count, sets[i].special, sets[i].t, NULL, &rng);
        key_set keys = {.galois = {.count = 0}};
        assert_ok(sotto_bfv_relin_key_new(&keys.relin, f.p, &f.sk, &rng));
        uint64_t *m = words_new(f.n);
        message_fill(m, &f, MESSAGE_RANDOM);
        sotto_bfv_ct x = encrypted(&f, m, 0), square = encrypted(&f, m, 1);
        const sotto_bfv_noise fresh = sotto_bfv_noise_symmetric(f.p);
        sotto_bfv_noise nx = fresh, ns = sotto_bfv_noise_public(f.p);
        for (int d = 0; d < sets[i].depth; d++) {
            sotto_bfv_ct y = encrypted(&f, m, 0);
            assert_ok(sotto_bfv_mul(&x, f.p, &y, &keys.relin));
            nx = sotto_bfv_noise_mul(nx, fresh, f.p);
            check_noise("chain of products", &f, &x, nx);
            sotto_bfv_ct_free(&y);
            assert_ok(sotto_bfv_square(&square, f.p, &keys.relin));
            ns = sotto_bfv_noise_square(ns, f.p);
            if (d + 1 < sets[i].depth) /* from a public key: some bits more */
                check_noise("chain of squares", &f, &square, ns);
        }
        sotto_bfv_ct_free(&x);
        sotto_bfv_ct_free(&square);
        key_set_free(&keys);
        free(m);
        fixture_free(&f);
    }
}

static void test_without_special(void **state)
{
    (void)state;
    const unsigned bits[] = {46, 46};
    sotto_bfv_params *p = NULL;
    assert_ok(sotto_bfv_params_from_bits(&p, 4096, bits, 2, 16));
    const sotto_bfv_noise x = sotto_bfv_noise_symmetric(p);
    assert_true(sotto_bfv_noise_predicted_budget(sotto_bfv_noise_mul(x, x, p), p) == -INFINITY);
    assert_true(sotto_bfv_noise_predicted_budget(sotto_bfv_noise_switch(x, p), p) == -INFINITY);
    const sotto_bfv_noise endless = sotto_bfv_noise_mul(x, x, p); /* sums of such stay infinite and are no NaN */
    assert_true(sotto_bfv_noise_predicted_budget(sotto_bfv_noise_add(endless, endless), p) == -INFINITY);
    assert_true(sotto_bfv_noise_predicted_budget(sotto_bfv_noise_sum_slots(x, p), p) == -INFINITY);
    sotto_bfv_params_free(p);
}

static void test_budget_edges(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 3);
    const unsigned bits[] = {46, 46};
    fixture f = fixture_new(4096, bits, 2, 1 << 20, &rng);
    sotto_bfv_ct ct;
    double budget;
    assert_ok(sotto_bfv_ct_new(&ct, f.p));
    assert_ok(sotto_bfv_noise_budget_var(&budget, f.p, &f.sk, &ct));
    assert_true(fabs(budget - 91) < 0.01); /* no noise at all */
    for (size_t k = 0; k < 2; k++)
        for (uint32_t i = 0; i < f.n; i++)
            ct.c0[k * f.n + i] = test_below(&rng, sotto_rns_modulus(sotto_bfv_rns(f.p), k)->q);
    assert_ok(sotto_bfv_noise_budget_var(&budget, f.p, &f.sk, &ct));
    assert_true(budget >= 0 && budget < 0.1); /* nothing but noise */
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_bfv_noise_budget_var(&budget, f.p, &f.sk, &ct));
    sotto_calloc_fail_after(-1);
    sotto_bfv_ct_free(&ct);
    fixture_free(&f);
}

int main(void)
{
    seed = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_predictions),
        cmocka_unit_test(test_wide),
        cmocka_unit_test(test_algebra),
        cmocka_unit_test(test_special_predictions),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_without_special),
        cmocka_unit_test(test_budget_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
