#include "lib/ct.h"

#include "tests/support/support.h"

#include <string.h>

static const uint64_t edge[] = {
    0, 1, 2, 3, 0x7f, 0x80, 0xff, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7ffffffffffffffe, 0x7fffffffffffffff,
    0x8000000000000000, 0x8000000000000001, 0xfffffffffffffffe, 0xffffffffffffffff,
};
enum { EDGES = sizeof edge / sizeof edge[0] };

static void check_pair(uint64_t a, uint64_t b)
{
    assert_true(sotto_ct_eq(a, b) == (a == b ? UINT64_MAX : 0));
    assert_true(sotto_ct_lt(a, b) == (a < b ? UINT64_MAX : 0));
    assert_true(sotto_ct_nonzero(a) == (a ? UINT64_MAX : 0));
    assert_true(sotto_ct_barrier(a) == a);
    assert_true(sotto_ct_select(UINT64_MAX, a, b) == a);
    assert_true(sotto_ct_select(0, a, b) == b);
}

static void comparisons(void **state)
{
    const sotto_rng rng = test_rng(test_seed(), 1);

    (void)state;
    assert_true(sotto_ct_mask(0) == 0);
    assert_true(sotto_ct_mask(1) == UINT64_MAX);
    for (size_t i = 0; i < EDGES; i++) {
        for (size_t j = 0; j < EDGES; j++)
            check_pair(edge[i], edge[j]);
    }
    for (uint64_t a = 0; a < 256; a++) {
        for (uint64_t b = 0; b < 256; b++)
            check_pair(a - 128, b - 128);
    }
    for (int i = 0; i < 10000; i++) {
        /* Shifts, so that all magnitudes meet. */
        const uint64_t a = test_u64(&rng) >> test_below(&rng, 64), b = test_u64(&rng) >> test_below(&rng, 64);
        check_pair(a, b);
        check_pair(a, a + 1);
    }
}

static void low_bits(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits <= 64; bits++) {
        for (size_t i = 0; i < EDGES; i++) {
            uint64_t want = 0;
            for (unsigned k = 0; k < bits; k++)
                want |= edge[i] & (uint64_t)1 << k;
            assert_true(sotto_low_bits(edge[i], bits) == want);
        }
    }
}

static void bit_arrays(void **state)
{
    const sotto_rng rng = test_rng(test_seed(), 2);
    uint8_t bits[9] = {0};
    unsigned want[72];

    (void)state;
    for (size_t i = 0; i < 72; i++) {
        want[i] = (unsigned)test_below(&rng, 2);
        sotto_bit_or(bits, i, want[i]);
    }
    for (size_t i = 0; i < 72; i++) {
        assert_int_equal(want[i], sotto_bit(bits, i));
        assert_int_equal(want[i], (unsigned)bits[i / 8] / (1u << i % 8) % 2);
    }
}

/* Every position, every bit of a difference. */
static void equal(void **state)
{
    uint8_t a[40], b[40];

    (void)state;
    for (size_t len = 0; len <= sizeof a; len++) {
        memset(a, 0x5a, sizeof a);
        memset(b, 0x5a, sizeof b);
        assert_int_equal(1, sotto_ct_equal(a, b, len));
        for (size_t i = 0; i < sizeof a; i++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                b[i] = (uint8_t)(0x5a ^ 1u << bit);
                assert_int_equal(i >= len, sotto_ct_equal(a, b, len));
            }
            b[i] = 0x5a;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparisons),
        cmocka_unit_test(low_bits),
        cmocka_unit_test(bit_arrays),
        cmocka_unit_test(equal),
    };
    return cmocka_run_group_tests_name("lib/ct", tests, NULL, NULL);
}
