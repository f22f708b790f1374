#include "ring/rns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "tests/ring/helpers.h"

/* Bases by the sizes of their primes, ascending and descending, up to the largest possible one. */
static const struct {
    size_t k;
    unsigned bits[SOTTO_RNS_MAX];
} shapes[] = {
    {1, {30}},
    {1, {61}},
    {2, {46, 46}},
    {2, {50, 50}},
    {2, {61, 30}},
    {2, {30, 61}},
    {3, {36, 36, 36}},
    {2, {22, 50}},
    {4, {50, 50, 49, 50}},
    {3, {60, 20, 46}},
    {5, {30, 30, 30, 30, 30}},
    {8, {55, 54, 53, 52, 51, 50, 49, 48}},
    {16, {50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50}},
    {16, {61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61}},
};

static sotto_rns *basis(size_t shape, uint32_t n)
{
    uint64_t primes[SOTTO_RNS_MAX] = {0};
    for (size_t i = 0; i < shapes[shape].k; i++)
        assert_ok(sotto_prime_generate(&primes[i], 1, shapes[shape].bits[i], n, primes, i));
    sotto_rns *b = NULL;
    assert_ok(sotto_rns_new(&b, n, primes, shapes[shape].k));
    return b;
}

/* The vector tiers serve lengths from 1024 on, the portable one all. */
static const uint32_t lengths[] = {16, 1024};

enum { N = 19, LOTS = 600 };

/* Runs `check` on every basis. */
static void on_every_basis(void (*check)(const sotto_rns *b, const mpz_t q, const sotto_rng *rng), uint64_t stream)
{
    sotto_rng rng = test_rng(test_seed(), stream);
    for (size_t i = 0; i < ARRAY_LEN(lengths) * ARRAY_LEN(shapes); i++) {
        sotto_rns *b = basis(i % ARRAY_LEN(shapes), lengths[i / ARRAY_LEN(shapes)]);
        mpz_t q;
        mpz_init(q);
        sotto_rns_product(b, q);
        check(b, q, &rng);
        mpz_clear(q);
        sotto_rns_free(b);
    }
}

/* round(num / den) for den > 0, halves up. */
static void divide_rounded(mpz_t out, const mpz_t num, const mpz_t den)
{
    mpz_t twice;
    mpz_init(twice);
    mpz_mul_2exp(twice, den, 1);
    mpz_mul_2exp(out, num, 1);
    mpz_add(out, out, den);
    mpz_fdiv_q(out, out, twice);
    mpz_clear(twice);
}

/* Residues of count values, limb-major with the given stride. */
static void scatter(const sotto_rns *b, uint64_t *residues, size_t stride, size_t j, const mpz_t x)
{
    uint64_t r[SOTTO_RNS_MAX];
    sotto_rns_decompose_var(b, r, x);
    for (size_t i = 0; i < sotto_rns_count(b); i++)
        residues[i * stride + j] = r[i];
}

static void check_accessors(const sotto_rns *b, const mpz_t q, const sotto_rng *rng)
{
    (void)rng;
    mpz_t product, factor;
    mpz_inits(product, factor, NULL);
    mpz_set_ui(product, 1);
    double log_sum = 0;
    for (size_t i = 0; i < sotto_rns_count(b); i++) {
        int_set(factor, sotto_rns_modulus(b, i)->q);
        mpz_mul(product, product, factor);
        log_sum += log2((double)sotto_rns_modulus(b, i)->q);
        assert_int_equal(sotto_ntt_modulus(sotto_rns_ntt(b, i))->q, sotto_rns_modulus(b, i)->q);
    }
    assert_int_equal(mpz_cmp(product, q), 0);
    assert_int_equal(sotto_rns_bits(b), mpz_sizeinbase(q, 2));
    assert_true(fabs(sotto_rns_log2(b) - log_sum) < 1e-9);
    assert_int_equal(sotto_rns_n(b), sotto_ntt_n(sotto_rns_ntt(b, 0)));
    mpz_clears(product, factor, NULL);
}

static void accessors(void **state)
{
    (void)state;
    on_every_basis(check_accessors, 20);
}

static void check_crt(const sotto_rns *b, const mpz_t q, const sotto_rng *rng)
{
    uint64_t r[SOTTO_RNS_MAX];
    mpz_t x, y, m;
    mpz_inits(x, y, m, NULL);
    for (long j = 0; j < LOTS; j++) {
        if (j < 10)
            mpz_set_si(x, j - 5);
        else if (j < 20)
            mpz_sub_ui(x, q, (unsigned long)(j - 10));
        else
            int_random(x, q, rng);
        if (j % 3 == 2)
            mpz_neg(x, x);
        sotto_rns_decompose_var(b, r, x);
        for (size_t i = 0; i < sotto_rns_count(b); i++) {
            int_set(m, sotto_rns_modulus(b, i)->q);
            mpz_fdiv_r(y, x, m);
            assert_int_equal(r[i], int_low(y));
        }
        sotto_rns_compose_var(b, y, r);
        mpz_fdiv_r(x, x, q);
        assert_int_equal(mpz_cmp(x, y), 0);
    }
    mpz_clears(x, y, m, NULL);
}

static void compose_and_decompose(void **state)
{
    (void)state;
    on_every_basis(check_crt, 21);
}

static void all_residues_of_a_small_basis(void **state)
{
    (void)state;
    const uint64_t primes[] = {17, 97, 193}; /* 1 mod 16 */
    sotto_rns *b = NULL;
    assert_ok(sotto_rns_new(&b, 8, primes, 3));
    const uint64_t product = 17 * 97 * 193;
    uint64_t *r = calloc(3 * product, sizeof *r), *out = calloc(2 * product, sizeof *out);
    assert_non_null(r);
    assert_non_null(out);
    for (uint64_t x = 0; x < product; x++)
        for (size_t i = 0; i < 3; i++)
            r[i * product + x] = x % primes[i];
    for (unsigned bits = 1; bits <= 24; bits++) {
        sotto_rns_scale_round_pow2(b, out, r, product, product, bits);
        for (uint64_t x = 0; x < product; x++)
            assert_int_equal(out[x], (2 * (x << bits) + product) / (2 * product) % ((uint64_t)1 << bits));
    }
    for (uint64_t t = 2; t <= 400; t += 1 + t / 16) {
        sotto_rns_scale_round(b, out, r, product, product, t);
        for (uint64_t x = 0; x < product; x++)
            assert_int_equal(out[x], (2 * x * t + product) / (2 * product) % t);
    }
    sotto_rns_drop_last(b, out, r, product, product);
    for (uint64_t x = 0; x < product; x++) {
        uint64_t want = (2 * x + 193) / (2 * 193);
        assert_int_equal(out[x], want % 17);
        assert_int_equal(out[product + x], want % 97);
    }
    free(r);
    free(out);
    sotto_rns_free(b);
}

/* x = the integer next to the tie (2j + 1) Q / (2 t), on a random side, moved away by Q 2^-e where that is more. */
static void near_tie(mpz_t x, const mpz_t q, const mpz_t t, long e, const sotto_rng *rng)
{
    mpz_t j, twice;
    mpz_inits(j, twice, NULL);
    int_random(j, t, rng);
    mpz_mul_2exp(j, j, 1);
    mpz_add_ui(j, j, 1);
    mpz_mul(x, j, q);
    mpz_mul_2exp(twice, t, 1);
    mpz_fdiv_q(x, x, twice);
    mpz_set(j, q);
    mpz_fdiv_q_2exp(j, j, (mp_bitcnt_t)e);
    if (test_below(rng, 2) == 0) {
        mpz_sub(x, x, j);
    } else {
        mpz_add(x, x, j);
        mpz_add_ui(x, x, 1);
    }
    mpz_fdiv_r(x, x, q);
    mpz_clears(j, twice, NULL);
}

/* Values whose scaling by t is checked: the ends, values next to ties as near as the contract allows, random ones. */
static void scaling_value(mpz_t x, size_t j, const sotto_rns *b, const mpz_t q, const mpz_t t, const sotto_rng *rng)
{
    unsigned k = (unsigned)sotto_rns_count(b), log_k = 0;
    while ((1u << log_k) < k)
        log_k++;
    if (j < 4)
        mpz_set_ui(x, (unsigned long)j);
    else if (j < 8)
        mpz_sub_ui(x, q, (unsigned long)(j - 3));
    else if (j % 3 == 0)
        near_tie(x, q, t, 127 - (long)log_k, rng);
    else
        int_random(x, q, rng);
}

static void check_scale_pow2(const sotto_rns *b, const mpz_t q, const sotto_rng *rng)
{
    enum { COUNT = 60, STRIDE = 64 };
    uint64_t r[SOTTO_RNS_MAX * STRIDE] = {0}, want[COUNT], out[COUNT + 1];
    mpz_t x, t;
    mpz_inits(x, t, NULL);
    for (unsigned bits = 1; bits <= 63; bits++) {
        mpz_set_ui(t, 1);
        mpz_mul_2exp(t, t, bits);
        for (size_t j = 0; j < COUNT; j++) {
            scaling_value(x, j, b, q, t, rng);
            scatter(b, r, STRIDE, j, x);
            mpz_mul(x, x, t);
            divide_rounded(x, x, q);
            mpz_fdiv_r(x, x, t);
            want[j] = int_low(x);
        }
        out[COUNT] = 77;
        sotto_rns_scale_round_pow2(b, out, r, STRIDE, COUNT, bits);
        assert_memory_equal(out, want, sizeof want);
        assert_int_equal(out[COUNT], 77);
    }
    mpz_clears(x, t, NULL);
}

static void scale_round_to_powers_of_two(void **state)
{
    (void)state;
    on_every_basis(check_scale_pow2, 22);
}

/* Plaintext moduli: ends of the range, powers of two, primes, multiples of a basis prime and of its square. */
static size_t list_moduli(uint64_t *t, const sotto_rns *b, const sotto_rng *rng)
{
    const uint64_t top = (uint64_t)1 << 60;
    size_t count = 0;
    const uint64_t fixed[] = {2, 3, 4, 5, 255, 256, 65537, (uint64_t)1 << 32, top - 1, top};
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        t[count++] = fixed[i];
    for (unsigned bits = 6; bits < 60; bits += 6)
        t[count++] = ((uint64_t)1 << bits) + test_below(rng, (uint64_t)1 << bits);
    for (size_t i = 0; i < sotto_rns_count(b) && i < 3; i++) {
        uint64_t q = sotto_rns_modulus(b, i)->q;
        const sotto_u128 multiples[] = {q, (sotto_u128)2 * q, (sotto_u128)q * q};
        for (size_t j = 0; j < ARRAY_LEN(multiples); j++)
            if (multiples[j] <= top)
                t[count++] = (uint64_t)multiples[j];
    }
    return count;
}

static void check_scale(const sotto_rns *b, const mpz_t q, const sotto_rng *rng)
{
    enum { COUNT = 90, STRIDE = 91 };
    uint64_t moduli[32], r[SOTTO_RNS_MAX * STRIDE] = {0}, want[COUNT], out[COUNT + 1];
    size_t count = list_moduli(moduli, b, rng);
    mpz_t x, t;
    mpz_inits(x, t, NULL);
    for (size_t i = 0; i < count; i++) {
        int_set(t, moduli[i]);
        for (size_t j = 0; j < COUNT; j++) {
            scaling_value(x, j, b, q, t, rng);
            scatter(b, r, STRIDE, j, x);
            mpz_mul(x, x, t);
            divide_rounded(x, x, q);
            mpz_fdiv_r(x, x, t);
            want[j] = int_low(x);
        }
        out[COUNT] = 77;
        sotto_rns_scale_round(b, out, r, STRIDE, COUNT, moduli[i]);
        assert_memory_equal(out, want, sizeof want);
        assert_int_equal(out[COUNT], 77);
    }
    mpz_clears(x, t, NULL);
}

static void scale_round_to_any_modulus(void **state)
{
    (void)state;
    on_every_basis(check_scale, 23);
}

static void check_scale_up(const sotto_rns *b, const mpz_t q, const sotto_rng *rng)
{
    enum { COUNT = 40, STRIDE = 43 };
    uint64_t moduli[32], m[COUNT], r[SOTTO_RNS_MAX * STRIDE], back[COUNT];
    size_t count = list_moduli(moduli, b, rng), k = sotto_rns_count(b);
    mpz_t x, t, range;
    mpz_inits(x, t, range, NULL);
    for (size_t i = 0; i < count; i++) {
        const uint64_t ends[] = {0, 1, moduli[i] - 1, moduli[i] / 2, (moduli[i] + 1) / 2};
        for (size_t j = 0; j < COUNT; j++)
            m[j] = j < ARRAY_LEN(ends) ? ends[j] : test_below(rng, moduli[i]);
        memset(r, 0xee, sizeof r);
        sotto_rns_scale_up(b, r, STRIDE, m, COUNT, moduli[i]);
        int_set(t, moduli[i]);
        for (size_t j = 0; j < COUNT; j++) {
            uint64_t residues[SOTTO_RNS_MAX];
            int_set(x, m[j]);
            mpz_mul(x, x, q);
            divide_rounded(x, x, t);
            sotto_rns_decompose_var(b, residues, x);
            for (size_t limb = 0; limb < k; limb++)
                assert_int_equal(r[limb * STRIDE + j], residues[limb]);
        }
        for (size_t limb = 0; limb < k; limb++)
            for (size_t j = COUNT; j < STRIDE; j++)
                assert_true(r[limb * STRIDE + j] == 0xeeeeeeeeeeeeeeee);

        /* Scaling back undoes it, also under an error of almost Q / 2t. */
        mpz_fdiv_q(range, q, t);
        if (mpz_cmp_ui(range, 64) < 0)
            continue;
        sotto_rns_scale_round(b, back, r, STRIDE, COUNT, moduli[i]);
        assert_memory_equal(back, m, sizeof m);
        mpz_sub_ui(range, range, 8);
        mpz_fdiv_q_2exp(range, range, 1);
        for (size_t j = 0; j < COUNT; j++) {
            uint64_t residues[SOTTO_RNS_MAX];
            for (size_t limb = 0; limb < k; limb++)
                residues[limb] = r[limb * STRIDE + j];
            sotto_rns_compose_var(b, x, residues);
            if (j & 1)
                mpz_add(x, x, range);
            else
                mpz_sub(x, x, range);
            scatter(b, r, STRIDE, j, x);
        }
        /* The tie is at least 3/Q away, more than the k 2^-127 of the contract while Q < 2^120 (k <= 3 there). */
        if (mpz_sizeinbase(q, 2) < 120) {
            sotto_rns_scale_round(b, back, r, STRIDE, COUNT, moduli[i]);
            assert_memory_equal(back, m, sizeof m);
        }
    }
    mpz_clears(x, t, range, NULL);
}

static void scale_up_is_exact(void **state)
{
    (void)state;
    on_every_basis(check_scale_up, 24);
}

static void scale_up_in_place(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 25);
    uint64_t m[N], r[3 * N], in_place[3 * N];
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        sotto_rns *b = basis(6, lengths[i]);
        for (size_t count = N - 3; count <= N; count++) { /* whole vectors and not */
            for (size_t j = 0; j < count; j++)
                in_place[j] = m[j] = test_below(&rng, 12345);
            sotto_rns_scale_up(b, r, count, m, count, 12345);
            sotto_rns_scale_up(b, in_place, count, in_place, count, 12345);
            assert_memory_equal(in_place, r, 3 * count * sizeof *r);
        }
        sotto_rns_free(b);
    }
}

static void check_drop(const sotto_rns *b, const mpz_t q, const sotto_rng *rng)
{
    enum { COUNT = LOTS, STRIDE = LOTS + 2 };
    size_t k = sotto_rns_count(b);
    if (k < 2)
        return;
    static uint64_t r[SOTTO_RNS_MAX * STRIDE], out[SOTTO_RNS_MAX * STRIDE], want[SOTTO_RNS_MAX * STRIDE];
    memset(want, 0x55, sizeof want);
    memset(out, 0x55, sizeof out);
    memset(r, 0x55, sizeof r);
    mpz_t x, last, qi;
    mpz_inits(x, last, qi, NULL);
    int_set(last, sotto_rns_modulus(b, k - 1)->q);
    for (size_t j = 0; j < COUNT; j++) {
        if (j < 4)
            mpz_set_ui(x, (unsigned long)j);
        else if (j < 8)
            mpz_sub_ui(x, q, (unsigned long)(j - 3));
        else
            int_random(x, q, rng);
        if (j % 3 == 2) { /* last/2 modulo the last prime, or one more: on either side of the step */
            mpz_fdiv_q(x, x, last);
            mpz_mul_ui(x, x, 2);
            mpz_add_ui(x, x, 1);
            mpz_mul(x, x, last);
            mpz_fdiv_q_2exp(x, x, 1);
            mpz_add_ui(x, x, j & 1);
            mpz_fdiv_r(x, x, q);
        }
        scatter(b, r, STRIDE, j, x);
        divide_rounded(x, x, last);
        for (size_t i = 0; i + 1 < k; i++) {
            int_set(qi, sotto_rns_modulus(b, i)->q);
            mpz_fdiv_r(qi, x, qi);
            want[i * STRIDE + j] = int_low(qi);
        }
    }
    sotto_rns_drop_last(b, out, r, STRIDE, COUNT);
    assert_memory_equal(out, want, sizeof want); /* nothing between the limbs and no last limb was written */
    sotto_rns_drop_last(b, r, r, STRIDE, COUNT);
    assert_memory_equal(r, want, (k - 1) * STRIDE * sizeof *r);
    mpz_clears(x, last, qi, NULL);
}

static void drop_last_prime(void **state)
{
    (void)state;
    on_every_basis(check_drop, 26);
}

static void bad_bases_are_refused(void **state)
{
    (void)state;
    uint64_t primes[SOTTO_RNS_MAX + 1];
    assert_ok(sotto_prime_generate(primes, SOTTO_RNS_MAX + 1, 50, 1024, NULL, 0));
    const uint64_t same[] = {primes[0], primes[1], primes[0]}, composite[] = {primes[0], 2049},
                   unfit[] = {primes[0], 1000003}, wide[] = {((uint64_t)1 << 61) | 1};
    sotto_rns *b = NULL;
    assert_status(SOTTO_ERR_PARAMS, sotto_rns_new(&b, 1024, primes, 0));
    assert_status(SOTTO_ERR_PARAMS, sotto_rns_new(&b, 1024, primes, SOTTO_RNS_MAX + 1));
    assert_status(SOTTO_ERR_PARAMS, sotto_rns_new(&b, 1024, same, 3));
    assert_status(SOTTO_ERR_PARAMS, sotto_rns_new(&b, 1024, composite, 2));
    assert_status(SOTTO_ERR_PARAMS, sotto_rns_new(&b, 1024, unfit, 2));
    assert_status(SOTTO_ERR_PARAMS, sotto_rns_new(&b, 2, wide, 1));
    assert_status(SOTTO_ERR_PARAMS, sotto_rns_new(&b, 1000, primes, 2));
    assert_null(b);
    sotto_rns_free(NULL);
}

static void out_of_memory(void **state)
{
    (void)state;
    uint64_t primes[3];
    assert_ok(sotto_prime_generate(primes, 3, 50, 1024, NULL, 0));
    sotto_rns *b = NULL;
    int status = SOTTO_ERR_MEMORY;
    long k = 0;
    for (; status != SOTTO_OK; k++) {
        sotto_calloc_fail_after(k);
        status = sotto_rns_new(&b, 1024, primes, 3);
        if (status != SOTTO_OK) {
            assert_int_equal(status, SOTTO_ERR_MEMORY);
            assert_null(b);
        }
    }
    sotto_calloc_fail_after(-1);
    assert_true(k > 3);
    sotto_rns_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accessors),
        cmocka_unit_test(compose_and_decompose),
        cmocka_unit_test(all_residues_of_a_small_basis),
        cmocka_unit_test(scale_round_to_powers_of_two),
        cmocka_unit_test(scale_round_to_any_modulus),
        cmocka_unit_test(scale_up_is_exact),
        cmocka_unit_test(scale_up_in_place),
        cmocka_unit_test(drop_last_prime),
        cmocka_unit_test(bad_bases_are_refused),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
