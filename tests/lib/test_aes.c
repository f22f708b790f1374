#include "lib/aes.h"

#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

#include "lib/aes_kernel.h"
#include "lib/cpu.h"

/* The kernels that this processor can run, the reference first. */
static size_t all_kernels(const sotto_aes_kernel *out[3])
{
    size_t n = 0;

    out[n++] = &sotto_aes_kernel_ref;
#if defined(__x86_64__)
    if (sotto_cpu_tier() >= sotto_aes_kernel_ni.tier)
        out[n++] = &sotto_aes_kernel_ni;
    if (sotto_cpu_tier() >= sotto_aes_kernel_vaes.tier)
        out[n++] = &sotto_aes_kernel_vaes;
#endif
    return n;
}

enum { MAX_BLOCKS = 100 };

static sotto_block from_hex(const char *hex)
{
    uint8_t bytes[16];
    sotto_block b;

    for (size_t i = 0; i < 16; i++) {
        const char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    memcpy(&b, bytes, sizeof b);
    return b;
}

static void assert_block(sotto_block want, sotto_block got)
{
    assert_memory_equal(&want, &got, sizeof want);
}

static void known_answers(void **state)
{
    static const struct {
        const char *key, *in, *out;
    } vector[] = {
        /* FIPS 197, appendix B */
        {"2b7e151628aed2a6abf7158809cf4f3c", "3243f6a8885a308d313198a2e0370734", "3925841d02dc09fbdc118597196a0b32"},
        /* FIPS 197, appendix C.1 */
        {"000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff", "69c4e0d86a7b0430d8cdb78070b4c55a"},
        /* NIST SP 800-38A, appendix F.1.1 */
        {"2b7e151628aed2a6abf7158809cf4f3c", "6bc1bee22e409f96e93d7e117393172a", "3ad77bb40d7a3660a89ecaf32466ef97"},
        {"2b7e151628aed2a6abf7158809cf4f3c", "ae2d8a571e03ac9c9eb76fac45af8e51", "f5d3d58503b9699de785895a96fdbaaf"},
        {"2b7e151628aed2a6abf7158809cf4f3c", "30c81c46a35ce411e5fbc1191a0a52ef", "43b1cd7f598ece23881b00e3ed030688"},
        {"2b7e151628aed2a6abf7158809cf4f3c", "f69f2445df4f9b17ad2b417be66c3710", "7b0c785e27e8ad3f8223207104725dd4"},
    };
    const sotto_aes_kernel *k[3];
    const size_t kernels = all_kernels(k);

    (void)state;
    for (size_t i = 0; i < kernels; i++) {
        for (size_t v = 0; v < sizeof vector / sizeof vector[0]; v++) {
            const sotto_block secret = from_hex(vector[v].key), in = from_hex(vector[v].in);
            sotto_aes_key key;
            sotto_block out;
            k[i]->expand(&key, secret);
            k[i]->encrypt(&key, &out, &in, 1);
            assert_block(from_hex(vector[v].out), out);
            k[i]->encrypt_rekeyed(&out, &in, 1, &secret, 1);
            assert_block(from_hex(vector[v].out), out);
        }
        /* SP 800-38A again, its blocks over and over in one call: in every lane of every kernel. */
        sotto_block in[MAX_BLOCKS], out[MAX_BLOCKS];
        sotto_aes_key sp;
        for (size_t j = 0; j < MAX_BLOCKS; j++)
            in[j] = from_hex(vector[2 + (j + j / 4) % 4].in);
        k[i]->expand(&sp, from_hex(vector[2].key));
        k[i]->encrypt(&sp, out, in, MAX_BLOCKS);
        for (size_t j = 0; j < MAX_BLOCKS; j++)
            assert_block(from_hex(vector[2 + (j + j / 4) % 4].out), out[j]);
        /* FIPS 197, appendix A.1: the last round key. */
        sotto_aes_key key;
        k[i]->expand(&key, from_hex(vector[0].key));
        assert_block(from_hex(vector[0].key), key.round[0]);
        assert_block(from_hex("d014f9a8c9ee2589e13f0cc8b6630ca6"), key.round[10]);
    }
}

static uint8_t times(uint8_t a, uint8_t b)
{
    unsigned r = 0;

    for (unsigned i = 0; i < 8; i++) {
        if (b >> i & 1)
            r ^= (unsigned)a << i;
    }
    for (unsigned i = 14; i >= 8; i--) {
        if (r >> i & 1)
            r ^= 0x11bu << (i - 8);
    }
    return (uint8_t)r;
}

/* FIPS 197, 5.1.1, by searching for the inverse and computing the affine map bit by bit. */
static uint8_t sbox(uint8_t x)
{
    unsigned inverse = 0, y = 0;

    for (unsigned i = 1; i < 256; i++) {
        if (times(x, (uint8_t)i) == 1)
            inverse = i;
    }
    for (unsigned i = 0; i < 8; i++) {
        const unsigned bit = inverse >> i ^ inverse >> (i + 4) % 8 ^ inverse >> (i + 5) % 8 ^ inverse >> (i + 6) % 8 ^
                             inverse >> (i + 7) % 8 ^ 0x63u >> i;
        y |= (bit & 1) << i;
    }
    return (uint8_t)y;
}

/* The first new word of a key schedule is w0 xor SubWord(RotWord(w3)) xor rcon: with w0 = 0, four S-boxes laid open. */
static void every_sbox_value(void **state)
{
    const sotto_aes_kernel *k[3];
    const size_t kernels = all_kernels(k);

    (void)state;
    for (unsigned x = 0; x < 256; x++) {
        const uint8_t y[4] = {sbox((uint8_t)x), sbox((uint8_t)(x ^ 0x55)), sbox((uint8_t)(x ^ 0xa6)),
                              sbox((uint8_t)(x ^ 0xff))};
        const uint8_t w3[4] = {(uint8_t)(x ^ 0xff), (uint8_t)x, (uint8_t)(x ^ 0x55), (uint8_t)(x ^ 0xa6)};
        uint8_t bytes[16] = {0};
        sotto_block secret;
        memcpy(bytes + 12, w3, 4);
        memcpy(&secret, bytes, sizeof secret);
        for (size_t i = 0; i < kernels; i++) {
            sotto_aes_key key;
            k[i]->expand(&key, secret);
            memcpy(bytes, &key.round[1], sizeof bytes);
            const uint8_t want[4] = {(uint8_t)(y[0] ^ 1), y[1], y[2], y[3]};
            assert_memory_equal(want, bytes, 4);
        }
    }
}

/* Every count, in place and not, against one block at a time by the reference, whose expanded keys serve both. */
static void kernels_agree(void **state)
{
    const sotto_rng rng = test_rng(test_seed(), 1);
    sotto_block in[MAX_BLOCKS], want[MAX_BLOCKS], out[MAX_BLOCKS + 1];
    const sotto_block guard = {{0x1234567812345678, 0x1234567812345678}};
    const sotto_aes_kernel *k[3];
    const size_t kernels = all_kernels(k);

    (void)state;
    for (size_t count = 0; count <= MAX_BLOCKS; count++) {
        sotto_block secret;
        sotto_aes_key key, other;
        assert_ok(sotto_rng_fill(&rng, &secret, sizeof secret));
        assert_ok(sotto_rng_fill(&rng, in, sizeof in));
        sotto_aes_kernel_ref.expand(&key, secret);
        for (size_t i = 0; i < count; i++)
            sotto_aes_kernel_ref.encrypt(&key, &want[i], &in[i], 1);
        for (size_t i = 0; i < kernels; i++) {
            k[i]->expand(&other, secret);
            assert_memory_equal(&key, &other, sizeof key);
            out[count] = guard;
            k[i]->encrypt(&key, out, in, count);
            assert_memory_equal(want, out, count * sizeof *out);
            assert_block(guard, out[count]);
            memcpy(out, in, count * sizeof *out);
            k[i]->encrypt(&key, out, out, count);
            assert_memory_equal(want, out, count * sizeof *out);
        }
    }
}

/* Every count and number of blocks per key; key array of exactly the length promised, for the address sanitizer. */
static void rekeyed(void **state)
{
    const sotto_rng rng = test_rng(test_seed(), 2);
    static const size_t wide[] = {17, 50, 99, 100, 1000, SIZE_MAX};
    sotto_block in[MAX_BLOCKS], want[MAX_BLOCKS], out[MAX_BLOCKS + 1];
    const sotto_block guard = {{0x1234567812345678, 0x1234567812345678}};
    const sotto_aes_kernel *k[3];
    const size_t kernels = all_kernels(k);

    (void)state;
    for (size_t p = 1; p <= 9 + sizeof wide / sizeof wide[0]; p++) {
        const size_t per = p <= 9 ? p : wide[p - 10];
        for (size_t count = 0; count <= MAX_BLOCKS; count++) {
            const size_t keys = count / per + (count % per != 0);
            sotto_block *secret = malloc((keys ? keys : 1) * sizeof *secret);
            assert_non_null(secret);
            assert_ok(sotto_rng_fill(&rng, secret, keys * sizeof *secret));
            assert_ok(sotto_rng_fill(&rng, in, sizeof in));
            for (size_t i = 0; i < count; i++) {
                sotto_aes_key key;
                sotto_aes_kernel_ref.expand(&key, secret[i / per]);
                sotto_aes_kernel_ref.encrypt(&key, &want[i], &in[i], 1);
            }
            for (size_t i = 0; i < kernels; i++) {
                out[count] = guard;
                k[i]->encrypt_rekeyed(out, in, count, secret, per);
                assert_memory_equal(want, out, count * sizeof *out);
                assert_block(guard, out[count]);
                memcpy(out, in, count * sizeof *out);
                k[i]->encrypt_rekeyed(out, out, count, secret, per);
                assert_memory_equal(want, out, count * sizeof *out);
            }
            free(secret);
        }
    }
}

/* Counter mode at every count and alignment, over carries into every byte of the counter, against single blocks. */
static void counter_mode(void **state)
{
    const sotto_rng rng = test_rng(test_seed(), 3);
    static const uint64_t first[] = {
        0, 1, 0xfd, 0xfffe, 0xfffffff0, 0xffffffffffe0, (uint64_t)1 << 63, UINT64_MAX - MAX_BLOCKS,
    };
    uint8_t got[16 * MAX_BLOCKS + 32], guard[16];
    sotto_block want[MAX_BLOCKS];
    const sotto_aes_kernel *k[3];
    const size_t kernels = all_kernels(k);

    (void)state;
    memset(guard, 0xa5, sizeof guard);
    for (size_t count = 0; count <= MAX_BLOCKS; count++) {
        const uint64_t start = first[count % (sizeof first / sizeof first[0])];
        sotto_block secret;
        sotto_aes_key key;
        assert_ok(sotto_rng_fill(&rng, &secret, sizeof secret));
        sotto_aes_kernel_ref.expand(&key, secret);
        for (size_t i = 0; i < count; i++) {
            const sotto_block in = {{start + i, 0}};
            sotto_aes_kernel_ref.encrypt(&key, &want[i], &in, 1);
        }
        for (size_t i = 0; i < kernels; i++) {
            for (size_t offset = 0; offset < 16; offset++) {
                memset(got, 0xa5, sizeof got);
                k[i]->counter(&key, got + offset, start, count);
                assert_memory_equal(guard, got, offset);
                assert_memory_equal(want, got + offset, 16 * count);
                assert_memory_equal(guard, got + offset + 16 * count, sizeof guard);
            }
        }
    }
}

/* The public functions under every tier. */
static void every_tier(void **state)
{
    const sotto_block secret = from_hex("000102030405060708090a0b0c0d0e0f");
    const sotto_block in = from_hex("00112233445566778899aabbccddeeff");
    const sotto_block want = from_hex("69c4e0d86a7b0430d8cdb78070b4c55a");

    (void)state;
    for (int tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_IFMA; tier++) {
        sotto_aes_key key;
        sotto_block out;
        sotto_cpu_force_tier((sotto_tier)tier);
        sotto_aes_expand(&key, secret);
        sotto_aes_encrypt(&key, &out, &in, 1);
        assert_block(want, out);
        sotto_aes_encrypt_rekeyed(&out, &in, 1, &secret, 1);
        assert_block(want, out);
        const uint64_t half = in.w[0];
        const sotto_block low = {{half, 0}};
        sotto_block block;
        sotto_aes_encrypt(&key, &block, &low, 1);
        sotto_aes_counter(&key, &out, half, 1);
        assert_block(block, out);
        const char *const name = sotto_cpu_tier() >= SOTTO_TIER_IFMA ? "vaes"
                                 : sotto_cpu_has_aesni()             ? "aes-ni"
                                                                     : "portable";
        assert_string_equal(name, sotto_aes_tier());
    }
    sotto_cpu_force_tier(SOTTO_TIER_IFMA);
}

static void block_words(void **state)
{
    const sotto_block a = {{0x0123456789abcdef, 0xfedcba9876543210}}, b = {{1, 2}}, zero = {{0, 0}};
    const sotto_block sum = {{0x0123456789abcdee, 0xfedcba9876543212}};

    (void)state;
    assert_block(sum, sotto_block_xor(a, b));
    assert_block(zero, sotto_block_xor(a, a));
    assert_block(a, sotto_block_and(a, UINT64_MAX));
    assert_block(zero, sotto_block_and(a, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers), cmocka_unit_test(every_sbox_value), cmocka_unit_test(kernels_agree),
        cmocka_unit_test(rekeyed),       cmocka_unit_test(counter_mode),     cmocka_unit_test(every_tier),
        cmocka_unit_test(block_words),
    };
    return cmocka_run_group_tests_name("lib/aes", tests, NULL, NULL);
}
