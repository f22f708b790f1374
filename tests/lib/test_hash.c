#include "lib/hash.h"

#include "tests/support/support.h"

#include <string.h>

#include "lib/cpu.h"

enum { MAX_COUNT = 70, MAX_PER = 8 };

static sotto_hash example(const sotto_rng *rng)
{
    return (sotto_hash){.salt = {{test_u64(rng), test_u64(rng)}},
                        .domain = SOTTO_DOMAIN_TEST,
                        .direction = (uint8_t)test_below(rng, 2)};
}

/* The tweak written byte by byte in the order that lib/hash.h gives, lowest first. */
static sotto_block reference_key(const sotto_hash *h, uint16_t word, uint32_t sub, uint64_t counter)
{
    uint8_t tweak[16], salt[16];
    sotto_block key;

    for (unsigned i = 0; i < 8; i++)
        tweak[i] = (uint8_t)(counter >> 8 * i);
    for (unsigned i = 0; i < 4; i++)
        tweak[8 + i] = (uint8_t)(sub >> 8 * i);
    tweak[12] = (uint8_t)word;
    tweak[13] = (uint8_t)(word >> 8);
    tweak[14] = h->direction;
    tweak[15] = h->domain;
    memcpy(salt, &h->salt, sizeof salt);
    for (unsigned i = 0; i < 16; i++)
        tweak[i] ^= salt[i];
    memcpy(&key, tweak, sizeof key);
    return key;
}

static sotto_block reference_hash(const sotto_hash *h, uint16_t word, uint32_t sub, uint64_t counter, sotto_block x)
{
    sotto_aes_key key;
    sotto_block sigma = {{x.w[1], x.w[0] ^ x.w[1]}}, y;

    sotto_aes_expand(&key, reference_key(h, word, sub, counter));
    sotto_aes_encrypt(&key, &y, &sigma, 1);
    return sotto_block_xor(y, sigma);
}

/* With salt zero and all fields zero the key is zero, and sigma(x) is zero for x = 0: H(0) = AES_0(0), a value found in
 * many places, among them the hash key H of test case 1 of the GCM specification (McGrew and Viega 2005). */
static void known_answer(void **state)
{
    static const uint8_t want[16] = {0x66, 0xe9, 0x4b, 0xd4, 0xef, 0x8a, 0x2c, 0x3b,
                                     0x88, 0x4c, 0xfa, 0x59, 0xca, 0x34, 0x2b, 0x2e};
    const sotto_hash h = {.domain = 0};
    sotto_block x = {{0, 0}};

    (void)state;
    sotto_hash_blocks(&h, 0, 0, 0, &x, &x, 1, 1);
    assert_memory_equal(want, &x, sizeof x);
}

static void keys(void **state)
{
    const sotto_rng rng = test_rng(test_seed(), 1);

    (void)state;
    for (int i = 0; i < 1000; i++) {
        const sotto_hash h = {.salt = {{test_u64(&rng), test_u64(&rng)}},
                              .domain = (uint8_t)test_u64(&rng),
                              .direction = (uint8_t)test_u64(&rng)};
        const uint16_t word = (uint16_t)test_u64(&rng);
        const uint32_t sub = (uint32_t)test_u64(&rng);
        const uint64_t counter = test_u64(&rng);
        const sotto_block want = reference_key(&h, word, sub, counter), got = sotto_hash_key(&h, word, sub, counter);
        assert_memory_equal(&want, &got, sizeof want);
    }
}

/* Each bit of each field moves one bit of the key, and no two move the same: distinct tweaks have distinct keys. */
static void every_tweak_bit_counts(void **state)
{
    sotto_block seen = {{0, 0}};

    (void)state;
    for (unsigned bit = 0; bit < 128; bit++) {
        const uint64_t one = (uint64_t)1 << bit % 64;
        const uint64_t counter = bit < 64 ? one : 0, high = bit < 64 ? 0 : one;
        const sotto_hash h = {.domain = (uint8_t)(high >> 56), .direction = (uint8_t)(high >> 48)};
        const sotto_block key = sotto_hash_key(&h, (uint16_t)(high >> 32), (uint32_t)high, counter);
        assert_int_equal(1, __builtin_popcountll(key.w[0]) + __builtin_popcountll(key.w[1]));
        assert_true((seen.w[0] & key.w[0]) == 0 && (seen.w[1] & key.w[1]) == 0);
        seen = sotto_block_xor(seen, key);
    }
    assert_true(seen.w[0] == UINT64_MAX && seen.w[1] == UINT64_MAX);
}

static void check_blocks(const sotto_rng *rng, size_t count, unsigned per)
{
    const sotto_block guard = {{0x1234567812345678, 0x1234567812345678}};
    sotto_block x[MAX_COUNT * MAX_PER], out[MAX_COUNT * MAX_PER + 1];
    const sotto_hash h = example(rng);
    const uint16_t word = (uint16_t)test_u64(rng);
    const uint32_t sub = (uint32_t)test_u64(rng);
    const uint64_t counter = test_u64(rng);

    assert_ok(sotto_rng_fill(rng, x, sizeof x));
    out[count * per] = guard;
    sotto_hash_blocks(&h, word, sub, counter, out, x, count, per);
    assert_memory_equal(&guard, &out[count * per], sizeof guard);
    for (size_t i = 0; i < count * per; i++) {
        const sotto_block want = reference_hash(&h, word, sub, counter + i / per, x[i]);
        assert_memory_equal(&want, &out[i], sizeof want);
    }
    sotto_hash_blocks(&h, word, sub, counter, x, x, count, per);
    assert_memory_equal(out, x, count * per * sizeof *x);
}

static void every_count(void **state)
{
    const sotto_rng rng = test_rng(test_seed(), 2);

    (void)state;
    for (int tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_IFMA; tier++) {
        sotto_cpu_force_tier((sotto_tier)tier);
        for (unsigned per = 1; per <= MAX_PER; per++) {
            for (size_t count = 0; count <= MAX_COUNT; count += tier == SOTTO_TIER_PORTABLE ? 9 : 1)
                check_blocks(&rng, count, per);
        }
    }
    sotto_cpu_force_tier(SOTTO_TIER_IFMA);
}

/* Pairs are two hashes under one tweak; out0 may be x. */
static void pairs(void **state)
{
    enum { MAX = 100 };
    const sotto_rng rng = test_rng(test_seed(), 3);
    const sotto_block guard = {{0x1234567812345678, 0x1234567812345678}};
    sotto_block x[MAX], offset, out[2][MAX + 1];

    (void)state;
    for (int tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_IFMA; tier++) {
        sotto_cpu_force_tier((sotto_tier)tier);
        for (size_t count = 0; count <= MAX; count += tier == SOTTO_TIER_PORTABLE ? 25 : 1) {
            const sotto_hash h = example(&rng);
            const uint64_t counter = test_u64(&rng);
            assert_ok(sotto_rng_fill(&rng, x, sizeof x));
            assert_ok(sotto_rng_fill(&rng, &offset, sizeof offset));
            out[0][count] = out[1][count] = guard;
            sotto_hash_pairs(&h, 5, 6, counter, out[0], out[1], x, offset, count);
            for (size_t i = 0; i < count; i++) {
                const sotto_block want[2] = {reference_hash(&h, 5, 6, counter + i, x[i]),
                                             reference_hash(&h, 5, 6, counter + i, sotto_block_xor(x[i], offset))};
                assert_memory_equal(&want[0], &out[0][i], sizeof want[0]);
                assert_memory_equal(&want[1], &out[1][i], sizeof want[1]);
            }
            for (unsigned j = 0; j < 2; j++)
                assert_memory_equal(&guard, &out[j][count], sizeof guard);
            sotto_hash_pairs(&h, 5, 6, counter, x, out[1], x, offset, count);
            assert_memory_equal(out[0], x, count * sizeof *x);
        }
    }
    sotto_cpu_force_tier(SOTTO_TIER_IFMA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answer),
        cmocka_unit_test(keys),
        cmocka_unit_test(every_tweak_bit_counts),
        cmocka_unit_test(every_count),
        cmocka_unit_test(pairs),
    };
    return cmocka_run_group_tests_name("lib/hash", tests, NULL, NULL);
}
