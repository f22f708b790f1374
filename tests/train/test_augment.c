/* Every variant of small images against its definition, pixel by pixel; and that what is drawn is uniform. */
#include <math.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/model/text.h"
#include "nn/plain/float.h"
#include "nn/train/augment.h"
#include "tests/support/support.h"

enum { C = 2, H = 3, W = 4, WORDS = C * H * W };

static const char text[] = "sotto-model 1\n"
                           "input 2x3x4 mean=0.25,0.5 std=0.5,0.25\n"
                           "dense f1 input out=3\n";

/* All shifts to beyond the image's size, mirrored or not, all squares that touch it or just do not. */
static void test_all_variants(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 1);
    sotto_model m;
    uint8_t pixels[WORDS];
    float plain[WORDS], x[WORDS + 1];
    assert_ok(sotto_model_parse(&m, text, sizeof text - 1));
    assert_ok(sotto_rng_fill(&rng, pixels, sizeof pixels));
    sotto_normalise(&m, plain, pixels);
    for (unsigned cutout = 0; cutout <= 5; cutout++) {
        for (int place = 0; place < 2 * 6 * 11 * 11; place++) {
            const sotto_augment_options o = {.shift = 5, .flip = 1, .cutout = cutout};
            const sotto_variant v = {.mirror = place % 2, .dx = place / 12 % 11 - 5, .dy = place / 132 - 5, .cut_y = place / 2 % 6 - 2, .cut_x = place % 7 - 3};
            x[WORDS] = 42.0f;
            sotto_augment(x, &m, pixels, &o, &v);
            for (int i = 0; i < WORDS; i++) {
                const int c = i / (H * W), y = i / W % H, z = i % W;
                const int row = y + v.dy, col = (v.mirror ? W - 1 - z : z) + v.dx;
                const int cut = y >= v.cut_y && y < v.cut_y + (int)cutout && z >= v.cut_x && z < v.cut_x + (int)cutout;
                const int inside = row >= 0 && row < H && col >= 0 && col < W && !cut;
                const float want = inside ? plain[(c * H + row) * W + col] : 0.0f;
                assert_true(inside ? fabsf(x[i] - want) < 1e-6f : x[i] == 0.0f);
            }
            assert_true(x[WORDS] == 42.0f);
        }
    }
    sotto_model_free(&m);
}

static void test_draws(void **state)
{
    enum { DRAWS = 40000 };
    (void)state;
    const uint64_t seed = test_seed();
    sotto_prg prg;
    uint64_t dy[5] = {0}, dx[5] = {0}, mirror[2] = {0}, cut[H * W] = {0};
    const sotto_shape shape = {C, H, W};
    const sotto_augment_options all = {.shift = 2, .flip = 1, .cutout = 2}, none = {0};
    sotto_prg_init(&prg, (sotto_block){{seed, 9}});
    for (unsigned i = 0; i < DRAWS; i++) {
        const sotto_variant v = sotto_augment_draw(&all, shape, &prg);
        const int y = v.cut_y + 1, x = v.cut_x + 1; /* the square is around the pixel */
        assert_true(v.dy >= -2 && v.dy <= 2 && v.dx >= -2 && v.dx <= 2 && y >= 0 && y < H && x >= 0 && x < W);
        dy[v.dy + 2]++;
        dx[v.dx + 2]++;
        mirror[v.mirror]++;
        cut[y * W + x]++;
        const sotto_variant still = sotto_augment_draw(&none, shape, &prg);
        assert_true(still.dy == 0 && still.dx == 0 && !still.mirror);
    }
    assert_true(test_chi_square(dy, 5, DRAWS) < test_chi_square_bound(5));
    assert_true(test_chi_square(dx, 5, DRAWS) < test_chi_square_bound(5));
    assert_true(test_chi_square(mirror, 2, DRAWS) < test_chi_square_bound(2));
    assert_true(test_chi_square(cut, H * W, DRAWS) < test_chi_square_bound(H * W));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_variants), cmocka_unit_test(test_draws)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
