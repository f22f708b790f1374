/* Products from made-up keys: exhaustive over tiny widths, random over all. */
#include "ot/product.h"
#include "tests/ot/fixture.h"

static uint64_t low(uint64_t x, unsigned width)
{
    return sotto_low_bits(x, width);
}

static void check_one(unsigned width, unsigned half, uint64_t k0, uint64_t k1, uint64_t d, uint64_t bit, uint64_t flip)
{
    sotto_block b0 = {{0xdead, 0xbeef}}, b1 = {{0x1234, 0x5678}};
    uint64_t sender, receiver, correction, delta;
    b0.w[half] = k0;
    b1.w[half] = k1;
    const sotto_block mine = bit ? b1 : b0;
    sotto_product_send(width, half, &sender, &correction, &d, &b0, &b1, 1);
    sotto_product_recv(width, half, &receiver, &correction, &bit, &mine, 1);
    assert_int_equal(low(bit * d, width), low(sender + receiver, width));
    assert_true(sender == low(sender, width) && receiver == low(receiver, width) && correction == low(correction, width));
    uint64_t later;
    sotto_product_recv(width, half, &later, NULL, &bit, &mine, 1);
    sotto_product_correct(width, &later, &correction, &bit, 1);
    assert_true(later == receiver);
    /* the flip rule */
    sotto_product_flip(width, &sender, &flip, &d, 1);
    sotto_product_flip(width, &receiver, &flip, NULL, 1);
    assert_int_equal(low((bit ^ flip) * d, width), low(sender + receiver, width));
    /* a random number needs no correction */
    sotto_product_send_random(width, half, &sender, &delta, &b0, &b1, 1);
    sotto_product_recv(width, half, &receiver, NULL, &bit, &mine, 1);
    assert_int_equal(low(bit * delta, width), low(sender + receiver, width));
    /* nor does its low bit need a whole one: the correction is even */
    uint64_t rho = delta & 1, even;
    sotto_product_send(width, half, &sender, &even, &rho, &b0, &b1, 1);
    assert_int_equal(0, even & 1);
    sotto_product_recv(width, half, &receiver, &even, &bit, &mine, 1);
    assert_int_equal(low(bit * rho, width), low(sender + receiver, width));
    /* in place: the correction over the number, the share over the correction */
    uint64_t inplace = d;
    sotto_product_send(width, half, &sender, &inplace, &inplace, &b0, &b1, 1);
    assert_true(inplace == correction);
    sotto_product_recv(width, half, &inplace, &inplace, &bit, &mine, 1);
    assert_int_equal(low(bit * d, width), low(sender + inplace, width));
}

static void test_exhaustive(void **state)
{
    (void)state;
    for (unsigned width = 1; width <= 3; width++) {
        const uint64_t size = UINT64_C(1) << width;
        for (uint64_t k0 = 0; k0 < size; k0++) {
            for (uint64_t k1 = 0; k1 < size; k1++) {
                for (uint64_t d = 0; d < size; d++) {
                    for (uint64_t bits = 0; bits < 4; bits++) {
                        check_one(width, bits & 1, k0, k1, d, bits & 1, bits >> 1);
                    }
                }
            }
        }
    }
}

static void test_random(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 0);
    for (int i = 0; i < 20000; i++) {
        const unsigned width = 1 + (unsigned)test_below(&rng, 64);
        check_one(width, (unsigned)test_below(&rng, 2), test_u64(&rng), test_u64(&rng), low(test_u64(&rng), width), test_below(&rng, 2),
                  test_below(&rng, 2));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exhaustive), cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
