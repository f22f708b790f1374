#include "bfv/encode.h"

#include "tests/bfv/fixture.h"

static uint64_t seed;

#define EXTREME (((int64_t)1 << 62) - 1)

static const uint64_t moduli[] = {
    2, 3, 4, 5, 7, 8, 255, 256, 257, 65536, 65537, ((uint64_t)1 << 60) - 93, ((uint64_t)1 << 60) - 2,
    ((uint64_t)1 << 60) - 1, (uint64_t)1 << 60,
};

static uint64_t reduce(int64_t x, uint64_t t)
{
    sotto_i128 r = (sotto_i128)x % (sotto_i128)t;
    return (uint64_t)(r < 0 ? r + (sotto_i128)t : r);
}

/* All small values, values around multiples of t, the extremes, random ones. */
static void test_encode_decode(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 1);
    const unsigned bits[] = {54, 54, 55, 55};
    sotto_bfv_params *ring = NULL;
    assert_ok(sotto_bfv_params_from_bits(&ring, 8192, bits, 4, 2));
    int64_t *x = calloc(8192, sizeof *x), *back = calloc(8192, sizeof *back);
    uint64_t *m = words_new(8192);
    assert_non_null(x);
    assert_non_null(back);
    for (size_t k = 0; k < sizeof moduli / sizeof *moduli; k++) {
        uint64_t t = moduli[k];
        int64_t st = (int64_t)t;
        sotto_bfv_params *p = NULL;
        assert_ok(sotto_bfv_params_with_t(&p, ring, t));
        size_t count = 0;
        for (int64_t v = -1000; v <= 1000; v++)
            x[count++] = v;
        for (int64_t v = -2; v <= 2; v++) {
            const int64_t near[] = {st + v, -st + v, st / 2 + v, -(st / 2) + v, EXTREME / st * st - (v < 0 ? -v : v)};
            for (size_t i = 0; i < 5; i++)
                x[count++] = near[i];
        }
        x[count++] = EXTREME;
        x[count++] = -EXTREME;
        while (count < 8000)
            x[count++] = (int64_t)(test_u64(&rng) >> 1) % EXTREME * (test_u64(&rng) & 1 ? 1 : -1);
        m[8191] = 99;
        assert_ok(sotto_bfv_encode(m, p, x, count));
        sotto_bfv_decode(back, p, m, count);
        for (size_t i = 0; i < count; i++) {
            uint64_t r = reduce(x[i], t);
            assert_true(m[i] == r);
            assert_true(2 * back[i] >= -st && 2 * back[i] < st && reduce(back[i], t) == r);
        }
        for (size_t i = count; i < 8192; i++)
            assert_true(m[i] == 0);
        sotto_bfv_params_free(p);
    }
    assert_ok(sotto_bfv_encode(m, ring, x, 8192));
    assert_status(SOTTO_ERR_ARG, sotto_bfv_encode(m, ring, x, 8193));
    assert_ok(sotto_bfv_encode(m, ring, x, 0));
    free(x);
    free(back);
    free(m);
    sotto_bfv_params_free(ring);
}

static void test_plain(void **state)
{
    (void)state;
    const unsigned bits[] = {46, 46};
    const int64_t limit = (int64_t)1 << 30;
    sotto_bfv_params *p = NULL;
    sotto_bfv_plain plain;
    assert_ok(sotto_bfv_params_from_bits(&p, 4096, bits, 2, 1000));
    int64_t *x = calloc(4096, sizeof *x);
    uint64_t *want = words_new(2 * 4096);
    assert_non_null(x);
    x[0] = limit - 1;
    x[1] = 1 - limit;
    x[4095] = -5;
    assert_ok(sotto_bfv_plain_new(&plain, p, x));
    sotto_poly_inverse(sotto_bfv_rns(p), plain.ntt);
    sotto_poly_from_signed(sotto_bfv_rns(p), want, x);
    assert_memory_equal(plain.ntt, want, 2 * 4096 * sizeof *want);
    sotto_bfv_plain_free(&plain, p);
    assert_null(plain.ntt);

    const int64_t bad[] = {limit, -limit, limit + 1, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        x[4095] = bad[i];
        assert_status(SOTTO_ERR_ARG, sotto_bfv_plain_new(&plain, p, x));
        assert_null(plain.ntt);
    }
    x[4095] = 0;
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_bfv_plain_new(&plain, p, x));
    sotto_calloc_fail_after(-1);
    assert_null(plain.ntt);
    sotto_bfv_plain_free(&plain, p);
    free(x);
    free(want);
    sotto_bfv_params_free(p);
}

int main(void)
{
    seed = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode_decode),
        cmocka_unit_test(test_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
