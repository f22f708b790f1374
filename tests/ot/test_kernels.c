/* Every table of kernels against definitions written bit by bit. */
#include "ot/kernels.h"

#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"
#include "tests/support/support.h"

#define COLUMNS SOTTO_OT_COLUMNS
#define BYTES SOTTO_OT_COLUMN_BYTES

static size_t all_kernels(const sotto_ot_kernels *out[3])
{
    size_t n = 0;
    out[n++] = &sotto_ot_kernels_ref;
#if defined(__x86_64__)
    if (sotto_cpu_tier() >= sotto_ot_kernels_avx2.tier) {
        out[n++] = &sotto_ot_kernels_avx2;
    }
    if (sotto_cpu_tier() >= sotto_ot_kernels_gfni.tier) {
        out[n++] = &sotto_ot_kernels_gfni;
    }
#endif
    return n;
}

static void fill(const sotto_rng *rng, void *p, size_t len)
{
    assert_ok(sotto_rng_fill(rng, p, len));
}

/* Lengths of a column: every multiple of 16 that a batch can have. */
static void test_expand(void **state)
{
    (void)state;
    enum { KEYS = 7 };
    const sotto_rng rng = test_rng(test_seed(), 1);
    const sotto_ot_kernels *k[3];
    const size_t n = all_kernels(k);
    static uint8_t out[KEYS * BYTES + 16];
    sotto_block seed[KEYS];
    sotto_aes_key key[KEYS];
    fill(&rng, seed, sizeof seed);
    for (size_t j = 0; j < KEYS; j++) {
        sotto_aes_expand(&key[j], seed[j]);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t bytes = 16; bytes <= BYTES; bytes += 16) {
            const size_t count = 1 + bytes / 16 % KEYS;
            const uint64_t first = test_u64(&rng) >> 2;
            memset(out, 0xa5, sizeof out);
            k[i]->expand(out, key, count, first, bytes);
            for (size_t j = 0; j < count; j++) {
                for (size_t b = 0; b < bytes / 16; b++) {
                    sotto_block want = {{first + b, 0}};
                    sotto_aes_encrypt(&key[j], &want, &want, 1);
                    assert_memory_equal(&want, out + j * bytes + 16 * b, sizeof want);
                }
            }
            assert_int_equal(0xa5, out[count * bytes]);
        }
    }
}

static void test_sums(void **state)
{
    (void)state;
    enum { DEPTH = 8, LEAVES = 1 << DEPTH };
    const sotto_rng rng = test_rng(test_seed(), 2);
    const sotto_ot_kernels *k[3];
    const size_t n = all_kernels(k);
    static uint8_t leaf[LEAVES * BYTES], scratch[LEAVES * BYTES], v[DEPTH * BYTES], u[BYTES];
    static sotto_block seed[LEAVES];
    static sotto_aes_key key[LEAVES];
    fill(&rng, seed, sizeof seed);
    for (size_t x = 0; x < LEAVES; x++) {
        sotto_aes_expand(&key[x], seed[x]);
    }
    for (size_t i = 0; i < n; i++) {
        for (unsigned depth = 1; depth <= DEPTH; depth++) {
            for (unsigned lacking = 0; lacking < 2; lacking++) {
                for (int whole = 0; whole < 2; whole++) {
                    const size_t bytes = whole ? BYTES : 16 * (1 + (size_t)test_below(&rng, BYTES / 16)),
                                 leaves = (size_t)1 << depth;
                    const uint64_t first = test_u64(&rng) >> 2;
                    memset(leaf, 0, sizeof leaf);
                    sotto_ot_kernels_ref.expand(leaf + lacking * bytes, key, leaves - lacking, first, bytes);
                    k[i]->sums(v, whole ? u : scratch, scratch, key, depth, lacking, first, bytes);
                    if (!whole) {
                        memcpy(u, scratch, bytes);
                    }
                    for (size_t at = 0; at < bytes; at++) {
                        uint8_t want_u = 0, want_v[DEPTH] = {0};
                        for (size_t x = 0; x < leaves; x++) {
                            want_u ^= leaf[x * bytes + at];
                            for (unsigned b = 0; b < depth; b++) {
                                want_v[b] ^= x >> b & 1 ? leaf[x * bytes + at] : 0;
                            }
                        }
                        assert_int_equal(want_u, u[at]);
                        for (unsigned b = 0; b < depth; b++) {
                            assert_int_equal(want_v[b], v[b * bytes + at]);
                        }
                    }
                }
            }
        }
    }
}

static void test_add(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 3);
    const sotto_ot_kernels *k[3];
    const size_t n = all_kernels(k);
    uint8_t x[BYTES + 1], y[BYTES], z[BYTES + 1];
    for (size_t i = 0; i < n; i++) {
        for (size_t bytes = 16; bytes <= BYTES; bytes += 16) {
            for (uint64_t bit = 0; bit < 2; bit++) {
                fill(&rng, x, sizeof x);
                fill(&rng, y, sizeof y);
                memcpy(z, x, sizeof z);
                k[i]->add(x, y, 0 - bit, bytes);
                for (size_t at = 0; at < sizeof x; at++) {
                    assert_int_equal(at < bytes && bit ? z[at] ^ y[at] : z[at], x[at]);
                }
            }
        }
    }
}

static void test_transpose(void **state)
{
    (void)state;
    static const size_t sizes[] = {1,   2,   63,  64,  65,  127,  128,  129,  255,  256,  257,
                                   300, 511, 512, 513, 640, 1000, 1024, 1500, 1920, 2047, 2048};
    const sotto_rng rng = test_rng(test_seed(), 4);
    const sotto_ot_kernels *k[3];
    const size_t n = all_kernels(k);
    static uint8_t column[COLUMNS * BYTES];
    static sotto_block out[SOTTO_OT_CHUNK + 1];
    fill(&rng, column, sizeof column);
    for (size_t i = 0; i < n; i++) {
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            const size_t rows = sizes[s], bytes = (rows + 127) / 128 * 16;
            memset(out, 0xa5, sizeof out);
            k[i]->transpose(out, column, bytes, rows);
            for (size_t row = 0; row < rows; row++) {
                for (size_t j = 0; j < COLUMNS; j++) {
                    assert_int_equal(sotto_bit(column + j * bytes, row), out[row].w[j / 64] >> (j % 64) & 1);
                }
            }
            assert_true(out[rows].w[0] == 0xa5a5a5a5a5a5a5a5 && out[rows].w[1] == 0xa5a5a5a5a5a5a5a5);
        }
    }
}

static void test_grow(void **state)
{
    (void)state;
    enum { MAX = 300 };
    const sotto_rng rng = test_rng(test_seed(), 5);
    const sotto_ot_kernels *k[3];
    const size_t n = all_kernels(k);
    static sotto_block parent[MAX], child[2 * MAX + 1];
    const sotto_block guard = {{0x1234, 0x5678}};
    sotto_block seed;
    sotto_aes_key key;
    fill(&rng, parent, sizeof parent);
    fill(&rng, &seed, sizeof seed);
    sotto_aes_expand(&key, seed);
    for (size_t i = 0; i < n; i++) {
        for (size_t count = 1; count <= MAX; count += count < 70 ? 1 : 115) {
            child[2 * count] = guard;
            const sotto_block left = k[i]->grow(child, parent, count, &key);
            sotto_block want = {{0, 0}};
            for (size_t j = 0; j < count; j++) {
                const sotto_block x = parent[j], s = {{x.w[1], x.w[0] ^ x.w[1]}};
                sotto_block h;
                sotto_aes_encrypt(&key, &h, &s, 1);
                h = sotto_block_xor(h, s);
                assert_memory_equal(&h, &child[2 * j], sizeof h);
                want = sotto_block_xor(want, h);
                h = sotto_block_xor(h, x);
                assert_memory_equal(&h, &child[2 * j + 1], sizeof h);
            }
            assert_memory_equal(&want, &left, sizeof want);
            assert_memory_equal(&guard, &child[2 * count], sizeof guard);
        }
    }
}

static void test_patch(void **state)
{
    (void)state;
    enum { MAX = 67 };
    const sotto_rng rng = test_rng(test_seed(), 6);
    const sotto_ot_kernels *k[3];
    const size_t n = all_kernels(k);
    sotto_block x[MAX], want[MAX], value;
    fill(&rng, x, sizeof x);
    memcpy(want, x, sizeof x);
    for (size_t i = 0; i < n; i++) {
        for (size_t count = 2; count <= MAX; count = count < 9 ? count + 1 : 2 * count + 3) {
            for (size_t index = 0; index < count; index++) {
                fill(&rng, &value, sizeof value);
                want[index] = sotto_block_xor(want[index], value);
                k[i]->patch(x, count, index, value);
                assert_memory_equal(want, x, sizeof x);
            }
        }
    }
}

static void test_lpn(void **state)
{
    (void)state;
    enum { ROWS = 64, ENTRIES = 1 << 17 };
    const sotto_rng rng = test_rng(test_seed(), 7);
    const sotto_ot_kernels *k[3];
    const size_t n = all_kernels(k);
    sotto_block *x = sotto_calloc(ENTRIES, sizeof *x);
    static sotto_block leaf[ROWS], y[ROWS];
    static uint64_t words[ROWS * SOTTO_OT_LPN_WORDS];
    assert_non_null(x);
    fill(&rng, x, ENTRIES * sizeof *x);
    fill(&rng, leaf, sizeof leaf);
    fill(&rng, words, sizeof words);
    for (size_t i = 0; i < n; i++) {
        k[i]->lpn(y, leaf, ROWS, x, words);
        for (size_t r = 0; r < ROWS; r++) {
            const uint64_t *w = words + 4 * r;
            const uint64_t index[10] = {w[0] & 131071,       w[1] & 131071,       w[2] & 131071,
                                        w[3] & 131071,       w[0] >> 17 & 131071, w[1] >> 17 & 131071,
                                        w[2] >> 17 & 131071, w[3] >> 17 & 131071, w[0] >> 34 & 131071,
                                        w[1] >> 34 & 131071};
            sotto_block want = leaf[r];
            want.w[0] -= want.w[0] & 1;
            for (size_t j = 0; j < 10; j++) {
                want = sotto_block_xor(want, x[index[j]]);
            }
            assert_memory_equal(&want, &y[r], sizeof want);
        }
        memcpy(y, leaf, sizeof y);
        k[i]->lpn(y, y, ROWS, x, words); /* in place */
        static sotto_block again[ROWS];
        k[i]->lpn(again, leaf, ROWS, x, words);
        assert_memory_equal(again, y, sizeof y);
    }
    sotto_free(x);
}

static void test_choice(void **state)
{
    (void)state;
    const sotto_tier best = sotto_cpu_tier();
    for (int tier = SOTTO_TIER_PORTABLE; tier <= (int)best; tier++) {
        sotto_cpu_force_tier((sotto_tier)tier);
        assert_true(sotto_ot_kernels_choose()->tier <= (sotto_tier)tier);
        assert_int_equal(tier == SOTTO_TIER_PORTABLE, sotto_ot_kernels_choose() == &sotto_ot_kernels_ref);
    }
    sotto_cpu_force_tier(SOTTO_TIER_IFMA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expand),    cmocka_unit_test(test_sums),   cmocka_unit_test(test_add),
        cmocka_unit_test(test_transpose), cmocka_unit_test(test_grow),   cmocka_unit_test(test_patch),
        cmocka_unit_test(test_lpn),       cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests_name("ot/kernels", tests, NULL, NULL);
}
