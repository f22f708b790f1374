#include "bfv/noise.h"

#include <math.h>

#include <gmp.h>

#include "tests/bfv/fixture.h"

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
    const sotto_bfv_noise x = {3, 5}, y = {3, 7}, nothing = {-INFINITY, -INFINITY};
    sotto_bfv_noise sum = sotto_bfv_noise_add(x, y);
    assert_true(fabs(sum.log_sigma - 3.5) < 1e-12);
    assert_true(fabs(exp2(sum.log_bound) - 160) < 1e-9);
    sum = sotto_bfv_noise_add(x, nothing);
    assert_true(sum.log_sigma == 3 && sum.log_bound == 5);
    sum = sotto_bfv_noise_add(nothing, nothing);
    assert_true(sum.log_sigma == -INFINITY);
    sum = sotto_bfv_noise_mul_plain(x, 8, 32);
    assert_true(sum.log_sigma == 6 && sum.log_bound == 10);
    sum = sotto_bfv_noise_mul_plain(x, 0, 0);
    assert_true(sum.log_bound == -INFINITY);
    assert_true(fabs(sotto_bfv_noise_predicted_budget(x, p) - (92 - 21 - 5)) < 0.01);
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
        cmocka_unit_test(test_budget_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
