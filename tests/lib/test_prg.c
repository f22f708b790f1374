#include "lib/prg.h"

#include "tests/support/support.h"

#include <string.h>

#include "lib/cpu.h"

enum { LEN = 3000 };

static sotto_block counting_seed(void)
{
    const uint8_t bytes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    sotto_block seed;

    memcpy(&seed, bytes, sizeof seed);
    return seed;
}

/* Each block was made by: printf '\xNN\0\0...' (16 bytes) | openssl enc -aes-128-ecb -nopad
 * -K 000102030405060708090a0b0c0d0e0f, with NN = 00, 01, 02 (OpenSSL 3.0.19). The vectors of NIST SP 800-38A, F.5.1,
 * start from a counter that this generator, which counts from zero, never reaches. */
static void known_answer(void **state)
{
    static const uint8_t want[48] = {
        0xc6, 0xa1, 0x3b, 0x37, 0x87, 0x8f, 0x5b, 0x82, 0x6f, 0x4f, 0x81, 0x62, 0xa1, 0xc8, 0xd8, 0x79,
        0xe3, 0x7c, 0xd3, 0x63, 0xdd, 0x7c, 0x87, 0xa0, 0x9a, 0xff, 0x0e, 0x3e, 0x60, 0xe0, 0x9c, 0x82,
        0xfb, 0x8a, 0xe3, 0x1b, 0xa5, 0xdb, 0x9c, 0xad, 0x97, 0x36, 0x4d, 0x87, 0x22, 0xd4, 0x73, 0x26,
    };
    uint8_t got[48];

    (void)state;
    for (int tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_IFMA; tier++) {
        sotto_prg prg;
        sotto_cpu_force_tier((sotto_tier)tier);
        sotto_prg_init(&prg, counting_seed());
        sotto_prg_fill(&prg, got, sizeof got);
        assert_memory_equal(want, got, sizeof got);
    }
    sotto_cpu_force_tier(SOTTO_TIER_IFMA);
}

/* Byte i is byte i mod 16 of AES_seed(i div 16). */
static void reference(uint8_t *out, size_t len, sotto_block seed)
{
    sotto_aes_key key;

    sotto_aes_expand(&key, seed);
    for (size_t i = 0; i < len; i++) {
        sotto_block b = {{i / 16, 0}};
        sotto_aes_encrypt(&key, &b, &b, 1);
        out[i] = ((const uint8_t *)&b)[i % 16];
    }
}

static void check_cuts(const uint8_t *want, sotto_block seed, size_t first, size_t second, size_t step)
{
    uint8_t got[LEN];
    sotto_prg prg;
    size_t pos = 0;

    memset(got, 0, sizeof got);
    sotto_prg_init(&prg, seed);
    sotto_prg_fill(&prg, got, first);
    pos += first;
    sotto_prg_fill(&prg, got + pos, second);
    pos += second;
    while (pos < LEN) {
        const size_t n = LEN - pos < step ? LEN - pos : step;
        sotto_prg_fill(&prg, got + pos, n);
        pos += n;
    }
    assert_memory_equal(want, got, LEN);
}

static void any_cutting(void **state)
{
    const sotto_rng rng = test_rng(test_seed(), 1);
    const sotto_block seed = {{test_u64(&rng), test_u64(&rng)}};
    uint8_t want[LEN];

    (void)state;
    sotto_cpu_force_tier(SOTTO_TIER_PORTABLE);
    reference(want, LEN, seed);
    for (int tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_IFMA; tier++) {
        sotto_cpu_force_tier((sotto_tier)tier);
        if ((int)sotto_cpu_tier() < tier)
            break;
        /* Every pair of positions within a block, then both sides of the 512 bytes that the widest kernel makes at once. */
        for (size_t first = 0; first <= 34; first++) {
            for (size_t second = 0; second <= 34; second++)
                check_cuts(want, seed, first, second, 1100);
        }
        for (size_t first = 480; first <= 545; first++)
            check_cuts(want, seed, first, 1024, 7);
        for (int i = 0; i < 500; i++)
            check_cuts(want, seed, test_below(&rng, 1400), test_below(&rng, 1400), 1 + test_below(&rng, 300));
    }
    sotto_cpu_force_tier(SOTTO_TIER_IFMA);
}

/* Nothing outside the bytes asked for is written; empty requests change nothing. */
static void bounds(void **state)
{
    uint8_t a[700];
    sotto_prg prg;

    (void)state;
    for (int tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_IFMA; tier++) {
        sotto_cpu_force_tier((sotto_tier)tier);
        sotto_prg_init(&prg, counting_seed());
        for (size_t len = 0; len <= 660; len++) {
            memset(a, 0xa5, sizeof a);
            sotto_prg_fill(&prg, a + 16, len);
            sotto_prg_fill(&prg, NULL, 0);
            for (size_t i = 0; i < 16; i++) {
                assert_int_equal(0xa5, a[i]);
                assert_int_equal(0xa5, a[16 + len + i]);
            }
        }
    }
    sotto_cpu_force_tier(SOTTO_TIER_IFMA);
}

static void seeds_differ(void **state)
{
    uint8_t a[16], b[16];
    sotto_prg prg;

    (void)state;
    for (unsigned bit = 0; bit < 128; bit++) {
        sotto_block seed = counting_seed();
        sotto_prg_init(&prg, seed);
        sotto_prg_fill(&prg, a, sizeof a);
        seed.w[bit / 64] ^= (uint64_t)1 << bit % 64;
        sotto_prg_init(&prg, seed);
        sotto_prg_fill(&prg, b, sizeof b);
        assert_memory_not_equal(a, b, sizeof a);
    }
}

static void as_rng_and_wiped(void **state)
{
    uint8_t a[100], b[100];
    const sotto_prg zero = {.counter = 0};
    sotto_prg prg;

    (void)state;
    sotto_prg_init(&prg, counting_seed());
    const sotto_rng rng = sotto_prg_rng(&prg);
    assert_ok(sotto_rng_fill(&rng, a, 33));
    assert_ok(sotto_rng_fill(&rng, a + 33, 67));
    reference(b, sizeof b, counting_seed());
    assert_memory_equal(b, a, sizeof a);
    sotto_prg_wipe(&prg);
    assert_memory_equal(&zero, &prg, sizeof zero.key);
    assert_memory_equal(&zero.tail, &prg.tail, sizeof zero.tail);
}

/* The stream of the seed that the source gives next, one of its own for each call; zero bytes where it gives none. */
static void expanded(void **state)
{
    enum { STREAM = 7 };
    const uint64_t seed = test_seed();
    const uint8_t zero[1000] = {0};
    uint8_t got[1000], want[1000];

    (void)state;
    test_faulty_rng counted = {.inner = test_rng(seed, STREAM), .k = 5};
    const sotto_rng rng = test_faulty_rng_wrap(&counted), same = test_rng(seed, STREAM);
    for (size_t k = 0; k < 5; k++) {
        const size_t len = (const size_t[]){1, 16, 17, 999, 1000}[k];
        sotto_block first;
        memset(got, 0xa5, sizeof got);
        assert_ok(sotto_rng_fill(&same, &first, sizeof first));
        reference(want, len, first);
        assert_ok(sotto_prg_expand(&rng, got, len));
        assert_memory_equal(want, got, len);
        for (size_t i = len; i < sizeof got; i++)
            assert_int_equal(0xa5, got[i]);
        assert_ok(sotto_prg_expand(&rng, NULL, 0));
    }
    assert_int_equal(5, counted.calls);
    assert_status(SOTTO_ERR_RNG, sotto_prg_expand(&rng, got, sizeof got));
    assert_memory_equal(zero, got, sizeof got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answer), cmocka_unit_test(any_cutting),      cmocka_unit_test(bounds),
        cmocka_unit_test(seeds_differ), cmocka_unit_test(as_rng_and_wiped), cmocka_unit_test(expanded),
    };
    return cmocka_run_group_tests_name("lib/prg", tests, NULL, NULL);
}
