/* Rounded weights by their definition. What they are for is in test_train.c. */
#include <math.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/model/text.h"
#include "nn/train/rounding.h"
#include "tests/support/support.h"

static const char text[] = "sotto-model 1\n"
                           "input 4x5x5\n"
                           "conv c1 input out=6 kernel=3 pad=1 groups=2\n"
                           "batchnorm b1 c1\n"
                           "relu r1 b1\n"
                           "dense f1 r1 out=3\n";

/* Largest distance half a step, every weight a multiple, the largest of a layer kept; all else untouched; and all back afterwards. */
static void test_grid(void **state)
{
    enum { CONV = 6 * 2 * 9, DENSE = 3 * 150 };
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 1);
    sotto_model m;
    float kept[CONV + DENSE], before[CONV + DENSE];
    assert_ok(sotto_model_parse(&m, text, sizeof text - 1));
    assert_ok(sotto_model_init_weights(&m, &rng));
    for (unsigned bits = 2; bits <= 17; bits++) { /* the last time with a layer of zeros, which stays one */
        const double levels = pow(2.0, (bits < 17 ? bits : 8) - 1) - 1.0;
        if (bits == 17) {
            memset(m.nodes[1].tensor[0], 0, CONV * sizeof(float));
        }
        memcpy(before, m.nodes[1].tensor[0], CONV * sizeof(float));
        memcpy(before + CONV, m.nodes[4].tensor[0], DENSE * sizeof(float));
        sotto_round_weights(&m, bits < 17 ? bits : 8, kept);
        assert_memory_equal(before, kept, sizeof before);
        for (size_t layer = 0; layer < 2; layer++) {
            const size_t count = layer == 0 ? CONV : DENSE;
            const float *was = layer == 0 ? before : before + CONV, *is = m.nodes[layer == 0 ? 1 : 4].tensor[0];
            double largest = 0.0;
            for (size_t i = 0; i < count; i++) {
                largest = fmax(largest, fabs((double)was[i]));
            }
            for (size_t i = 0; i < count; i++) {
                const double step = largest / levels, at = largest > 0.0 ? (double)is[i] / step : 0.0;
                assert_true(fabs(at - rint(at)) < 1e-2 && fabs(at) < levels + 0.5); /* floats know a step of 2^-15 to 1 % */
                assert_true(fabs((double)is[i] - (double)was[i]) <= 0.5 * step * 1.01);
                assert_true(largest > 0.0 || is[i] == 0.0f);
            }
        }
        for (size_t i = 0; i < 6; i++) {
            assert_true(m.nodes[1].tensor[1][i] == 0.0f && m.nodes[2].tensor[0][i] == 1.0f);
        }
        sotto_unround_weights(&m, kept);
        assert_memory_equal(before, m.nodes[1].tensor[0], CONV * sizeof(float));
        assert_memory_equal(before + CONV, m.nodes[4].tensor[0], DENSE * sizeof(float));
    }
    sotto_model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_grid)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
