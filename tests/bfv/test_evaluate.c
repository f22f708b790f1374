#include "bfv/evaluate.h"

#include "tests/bfv/fixture.h"

static uint64_t seed;

static const uint64_t moduli[] = {2, 3, 16, 257, 1000, 65537, 1 << 26, 999999937, (uint64_t)1 << 33};

typedef struct pair { /* two ciphertexts with their plaintexts, and room for an expected result */
    sotto_bfv_ct x, y;
    uint64_t *mx, *my, *want;
} pair;

static pair pair_new(const fixture *f, int kind)
{
    pair v;
    sotto_block a_seed;
    v.mx = words_new(f->n);
    v.my = words_new(f->n);
    v.want = words_new(f->n);
    message_fill(v.mx, f, kind);
    message_fill(v.my, f, MESSAGE_RANDOM);
    assert_ok(sotto_bfv_ct_new(&v.x, f->p));
    assert_ok(sotto_bfv_ct_new(&v.y, f->p));
    assert_ok(sotto_bfv_encrypt_symmetric(&v.x, &a_seed, f->p, &f->sk, v.mx, f->rng));
    assert_ok(sotto_bfv_encrypt_public(&v.y, f->p, &f->pk, v.my, f->rng));
    return v;
}

static void pair_free(pair *v)
{
    sotto_bfv_ct_free(&v->x);
    sotto_bfv_ct_free(&v->y);
    free(v->mx);
    free(v->my);
    free(v->want);
}

/* want[i] = sx mx[i] + sy my[i] mod t, signs -1, 0 or 1. */
static void combine(pair *v, const fixture *f, int sx, int sy)
{
    for (uint32_t i = 0; i < f->n; i++) {
        sotto_i128 sum = sx * (sotto_i128)v->mx[i] + sy * (sotto_i128)v->my[i] + 2 * (sotto_i128)f->t;
        v->want[i] = (uint64_t)(sum % (sotto_i128)f->t);
    }
}

static void check_linear(const fixture *f, int kind, int coefficient_form)
{
    pair v = pair_new(f, kind);
    if (coefficient_form) {
        sotto_bfv_to_coeff(&v.x, f->p);
        sotto_bfv_to_coeff(&v.y, f->p);
        sotto_bfv_to_coeff(&v.y, f->p); /* twice is once */
    }
    assert_ok(sotto_bfv_add(&v.x, f->p, &v.y));
    combine(&v, f, 1, 1);
    assert_decrypts(f, &v.x, v.want);
    assert_ok(sotto_bfv_sub(&v.x, f->p, &v.y));
    assert_decrypts(f, &v.x, v.mx);
    sotto_bfv_neg(&v.x, f->p);
    combine(&v, f, -1, 0);
    assert_decrypts(f, &v.x, v.want);
    assert_ok(sotto_bfv_add_plain(&v.x, f->p, v.my));
    combine(&v, f, -1, 1);
    assert_decrypts(f, &v.x, v.want);
    assert_ok(sotto_bfv_sub_plain(&v.x, f->p, v.my));
    sotto_bfv_neg(&v.x, f->p);
    assert_ok(sotto_bfv_sub_plain(&v.x, f->p, v.my));
    combine(&v, f, 1, -1);
    assert_decrypts(f, &v.x, v.want);
    assert_int_equal(v.x.ntt, !coefficient_form);

    assert_ok(sotto_bfv_add(&v.y, f->p, &v.y)); /* an operand with itself */
    memcpy(v.mx, v.my, f->n * sizeof *v.mx);
    combine(&v, f, 1, 1);
    assert_decrypts(f, &v.y, v.want);
    assert_ok(sotto_bfv_sub(&v.y, f->p, &v.y));
    memset(v.want, 0, f->n * sizeof *v.want);
    assert_decrypts(f, &v.y, v.want);
    pair_free(&v);
}

static void test_linear(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 1);
    const unsigned bits[] = {46, 46};
    for (size_t i = 0; i < sizeof moduli / sizeof *moduli; i++) {
        fixture f = fixture_new(4096, bits, 2, moduli[i], &rng);
        for (int kind = 0; kind < MESSAGE_KINDS; kind++)
            check_linear(&f, kind, kind % 2);
        fixture_free(&f);
    }
}

/* Two products summed, one of them in place; the noise stays far below Q/2t. */
static void check_products(const fixture *f, uint32_t terms, int64_t magnitude)
{
    pair v = pair_new(f, MESSAGE_RANDOM);
    int64_t *w = calloc(f->n, sizeof *w);
    double norm2, norm1;
    sotto_bfv_plain wx, wy;
    sotto_bfv_ct acc;
    assert_non_null(w);
    assert_ok(sotto_bfv_ct_new(&acc, f->p));
    weights_fill(w, f, terms, magnitude, &norm2, &norm1);
    assert_ok(sotto_bfv_plain_new(&wx, f->p, w));
    plain_mac(v.want, v.mx, w, f->n, f->t);
    assert_ok(sotto_bfv_mac_plain(&acc, f->p, &v.x, &wx));
    assert_decrypts(f, &acc, v.want);
    assert_ok(sotto_bfv_mul_plain(&v.x, f->p, &wx));
    assert_decrypts(f, &v.x, v.want);

    weights_fill(w, f, terms, magnitude, &norm2, &norm1);
    assert_ok(sotto_bfv_plain_new(&wy, f->p, w));
    plain_mac(v.want, v.my, w, f->n, f->t);
    assert_ok(sotto_bfv_mac_plain(&acc, f->p, &v.y, &wy));
    assert_decrypts(f, &acc, v.want);

    /* The same sum in one go, the first product being there already. */
    sotto_bfv_plain one;
    memset(w, 0, f->n * sizeof *w);
    w[0] = 1;
    assert_ok(sotto_bfv_plain_new(&one, f->p, w));
    const sotto_bfv_ct *const x[] = {&v.x, &v.y};
    const sotto_bfv_plain *const factor[] = {&one, &wy};
    assert_ok(sotto_bfv_dot_plain(&acc, f->p, x, factor, 2));
    assert_decrypts(f, &acc, v.want);
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_bfv_dot_plain(&acc, f->p, x, factor, 2));
    sotto_calloc_fail_after(-1);
    assert_decrypts(f, &acc, v.want);
    assert_ok(sotto_bfv_dot_plain(&acc, f->p, x, factor, 0));
    memset(v.want, 0, f->n * sizeof *v.want);
    assert_decrypts(f, &acc, v.want);
    sotto_bfv_to_coeff(&v.y, f->p);
    assert_status(SOTTO_ERR_ARG, sotto_bfv_dot_plain(&acc, f->p, x, factor, 2));

    sotto_bfv_plain_free(&one, f->p);
    sotto_bfv_plain_free(&wx, f->p);
    sotto_bfv_plain_free(&wy, f->p);
    sotto_bfv_plain_free(&wy, f->p);
    sotto_bfv_ct_free(&acc);
    free(w);
    pair_free(&v);
}

static void test_products(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 2);
    const unsigned bits[] = {46, 46}, bits_2048[] = {54};
    for (size_t i = 0; i < sizeof moduli / sizeof *moduli; i++) {
        fixture f = fixture_new(4096, bits, 2, moduli[i], &rng);
        check_products(&f, 64, 127);
        check_products(&f, 3, ((int64_t)1 << 30) - 1);
        fixture_free(&f);
    }
    fixture f = fixture_new(2048, bits_2048, 1, 1 << 16, &rng);
    check_products(&f, f.n, 127); /* every coefficient a weight */
    fixture_free(&f);
}

/* Monomials, where the expected result is a rotation with signs; and zero, which takes the same path. */
static void test_special_products(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 3);
    const unsigned bits[] = {46, 46};
    fixture f = fixture_new(4096, bits, 2, 1 << 20, &rng);
    int64_t *w = calloc(f.n, sizeof *w);
    assert_non_null(w);
    const uint32_t places[] = {0, 1, 2048, 4095};
    for (size_t i = 0; i < 4; i++)
        for (int64_t value = -1; value <= 1; value++) {
            pair v = pair_new(&f, MESSAGE_RANDOM);
            sotto_bfv_plain plain;
            w[places[i]] = value;
            assert_ok(sotto_bfv_plain_new(&plain, f.p, w));
            w[places[i]] = 0;
            for (uint32_t j = 0; j < f.n; j++) {
                uint32_t to = (places[i] + j) % f.n;
                int64_t sign = places[i] + j >= f.n ? -value : value;
                v.want[to] = sign == 0 ? 0 : sign > 0 ? v.mx[j] : (f.t - v.mx[j]) % f.t;
            }
            assert_ok(sotto_bfv_mul_plain(&v.x, f.p, &plain));
            assert_decrypts(&f, &v.x, v.want);
            sotto_bfv_plain_free(&plain, f.p);
            pair_free(&v);
        }
    free(w);
    fixture_free(&f);
}

/* Three primes, two, one, under the same secret. */
static void test_mod_switch(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 4);
    const unsigned bits[] = {40, 34, 35};
    const uint64_t small_moduli[] = {2, 3, 1000, 65536, 65537};
    for (size_t i = 0; i < sizeof small_moduli / sizeof *small_moduli; i++) {
        fixture level[3]; /* by number of primes left, less one */
        sotto_bfv_ct ct[3];
        level[2] = fixture_new(4096, bits, 3, small_moduli[i], &rng);
        pair v = pair_new(&level[2], MESSAGE_RANDOM);
        ct[2] = v.x;
        for (int k = 1; k >= 0; k--) {
            const fixture *above = &level[k + 1];
            level[k] = *above;
            memset(&level[k].pk, 0, sizeof level[k].pk);
            assert_ok(sotto_bfv_params_from_bits(&level[k].p, 4096, bits, (size_t)k + 1, small_moduli[i]));
            assert_ok(sotto_bfv_secret_key_for(&level[k].sk, level[k].p, &above->sk));
            assert_memory_equal(level[k].sk.s_ntt, above->sk.s_ntt, level[k].sk.words * sizeof *above->sk.s_ntt);
            assert_ok(sotto_bfv_ct_new(&ct[k], level[k].p));
            sotto_bfv_to_ntt(&ct[k + 1], above->p);
            assert_status(SOTTO_ERR_ARG, sotto_bfv_mod_switch(&ct[k], level[k].p, &ct[k + 1], above->p));
            sotto_bfv_to_coeff(&ct[k + 1], above->p);
            assert_ok(sotto_bfv_mod_switch(&ct[k], level[k].p, &ct[k + 1], above->p));
            assert_int_equal(ct[k].ntt, 0);
            assert_decrypts(&level[k], &ct[k], v.mx);
        }
        v.x = ct[2];
        pair_free(&v);
        sotto_bfv_ct_free(&ct[0]);
        sotto_bfv_ct_free(&ct[1]);
        for (int k = 0; k < 3; k++)
            fixture_free(&level[k]);
    }
}

static void test_mod_switch_refusals(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 5);
    const unsigned bits[] = {40, 34, 35}, other_bits[] = {40, 33}, first[] = {40};
    fixture f = fixture_new(4096, bits, 3, 1000, &rng);
    sotto_bfv_params *bad[3] = {NULL, NULL, NULL};
    assert_ok(sotto_bfv_params_from_bits(&bad[0], 4096, other_bits, 2, 1000)); /* another second prime */
    assert_ok(sotto_bfv_params_from_bits(&bad[1], 4096, first, 1, 1000));      /* two primes less */
    assert_ok(sotto_bfv_params_from_bits(&bad[2], 4096, bits, 2, 1001));       /* another t */
    sotto_bfv_ct x, out;
    assert_ok(sotto_bfv_ct_new(&x, f.p));
    assert_ok(sotto_bfv_ct_new(&out, f.p));
    sotto_bfv_to_coeff(&x, f.p);
    for (size_t i = 0; i < 3; i++) {
        assert_status(SOTTO_ERR_ARG, sotto_bfv_mod_switch(&out, bad[i], &x, f.p));
        sotto_bfv_params_free(bad[i]);
    }
    sotto_bfv_ct_free(&x);
    sotto_bfv_ct_free(&out);
    fixture_free(&f);
}

static void test_forms_and_faults(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 6);
    const unsigned bits[] = {46, 46};
    fixture f = fixture_new(4096, bits, 2, 1000, &rng);
    pair v = pair_new(&f, MESSAGE_RANDOM);
    int64_t *w = calloc(f.n, sizeof *w);
    sotto_bfv_plain plain;
    assert_non_null(w);
    assert_ok(sotto_bfv_plain_new(&plain, f.p, w));
    sotto_bfv_to_coeff(&v.x, f.p);
    assert_status(SOTTO_ERR_ARG, sotto_bfv_add(&v.x, f.p, &v.y));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_sub(&v.y, f.p, &v.x));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_mul_plain(&v.x, f.p, &plain));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_mac_plain(&v.x, f.p, &v.y, &plain));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_mac_plain(&v.y, f.p, &v.x, &plain));
    v.want[5] = f.t;
    assert_status(SOTTO_ERR_ARG, sotto_bfv_add_plain(&v.x, f.p, v.want));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_sub_plain(&v.x, f.p, v.want));
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_bfv_add_plain(&v.x, f.p, v.my));
    sotto_calloc_fail_after(-1);
    assert_decrypts(&f, &v.x, v.mx); /* and none of these touched a ciphertext */
    assert_decrypts(&f, &v.y, v.my);
    sotto_bfv_plain_free(&plain, f.p);
    free(w);
    pair_free(&v);
    fixture_free(&f);
}

int main(void)
{
    seed = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_special_products),
        cmocka_unit_test(test_mod_switch),
        cmocka_unit_test(test_mod_switch_refusals),
        cmocka_unit_test(test_forms_and_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
