/* Published functions: known answers of the standards and of libsodium, gate counts, no gate without use. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "garble/garbling.h"
#include "garble/library.h"
#include "lib/aes.h"
#include "lib/mem.h"
#include "tests/garble/circuits.h"

/* Bytes as a number, the first most significant; wire 0 the lowest bit. */
static void put_bytes(uint8_t *bits, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        put_bits(bits + 8 * (len - 1 - i), bytes[i], 8);
}

static void get_bytes(uint8_t *bytes, const uint8_t *bits, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)get_bits(bits + 8 * (len - 1 - i), 8);
}

static void run_bytes(const sotto_circuit *c, uint8_t *out, const uint8_t *first, const uint8_t *second)
{
    uint8_t in[768], result[256];
    assert_true(sotto_circuit_inputs(c) <= sizeof in && c->output_count <= sizeof result);
    put_bytes(in, first, c->garbler_inputs / 8);
    put_bytes(in + c->garbler_inputs, second, c->evaluator_inputs / 8);
    assert_ok(sotto_circuit_run(c, result, in));
    get_bytes(out, result, c->output_count / 8);
}

static void unhex(uint8_t *bytes, size_t len, const char *hex)
{
    assert_int_equal(sodium_hex2bin(bytes, len, hex, strlen(hex), NULL, NULL, NULL), 0);
}

static void test_adder(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 1);
    sotto_circuit c;
    for (unsigned w = 1; w <= 64; w++) {
        assert_ok(sotto_circuit_adder(&c, w));
        assert_int_equal(c.and_count, w - 1);
        assert_ok(sotto_circuit_lint(&c));
        for (int i = 0; i < 50; i++) {
            const uint64_t x = i ? test_u64(&rng) : UINT64_MAX, y = i ? test_u64(&rng) : 1;
            uint8_t in[128], out[64];
            put_bits(in, x, w);
            put_bits(in + w, y, w);
            assert_ok(sotto_circuit_run(&c, out, in));
            assert_int_equal(get_bits(out, w), sotto_low_bits(x + y, w));
        }
        sotto_circuit_free(&c);
    }
    assert_status(SOTTO_ERR_ARG, sotto_circuit_adder(&c, 0));
    assert_status(SOTTO_ERR_ARG, sotto_circuit_adder(&c, 65));
}

/* [FIPS 197, appendix B and C.1], then random blocks against lib/aes.h, which takes the same standard by another
 * way. */
static void test_aes128(void **state)
{
    (void)state;
    static const char *const known[][3] = {
        {"2b7e151628aed2a6abf7158809cf4f3c", "3243f6a8885a308d313198a2e0370734", "3925841d02dc09fbdc118597196a0b32"},
        {"000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff", "69c4e0d86a7b0430d8cdb78070b4c55a"},
    };
    sotto_rng rng = test_rng(test_seed(), 2);
    sotto_circuit c;
    uint8_t key[16], block[16], want[16], got[16];
    assert_ok(sotto_circuit_aes128(&c));
    assert_int_equal(c.and_count, 6400);
    assert_int_equal(c.output_count, 128);
    assert_ok(sotto_circuit_lint(&c));
    for (size_t i = 0; i < 2; i++) {
        unhex(key, 16, known[i][0]);
        unhex(block, 16, known[i][1]);
        unhex(want, 16, known[i][2]);
        run_bytes(&c, got, key, block);
        assert_memory_equal(got, want, 16);
    }
    for (int i = 0; i < 50; i++) {
        sotto_aes_key schedule;
        sotto_block in, out;
        assert_ok(sotto_rng_fill(&rng, &in, sizeof in));
        memcpy(key, &in, 16);
        sotto_aes_expand(&schedule, in);
        assert_ok(sotto_rng_fill(&rng, &in, sizeof in));
        memcpy(block, &in, 16);
        sotto_aes_encrypt(&schedule, &out, &in, 1);
        memcpy(want, &out, 16);
        run_bytes(&c, got, key, block);
        assert_memory_equal(got, want, 16);
    }
    sotto_circuit_free(&c);
}

/* [FIPS 180-4, 5.3.3]. */
static const char sha256_start[] = "6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19";

/* Whole messages, padded [5.1.1]: known answers ("abc" and two blocks, from the examples that the standard points
 * to), and libsodium's. */
static void test_sha256(void **state)
{
    (void)state;
    static const char *const known[][2] = {
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    sotto_rng rng = test_rng(test_seed(), 3);
    sotto_circuit c;
    assert_ok(sotto_circuit_sha256(&c));
    assert_int_equal(c.and_count, 22573);
    assert_int_equal(c.output_count, 256);
    assert_ok(sotto_circuit_lint(&c));
    for (size_t i = 0; i < 30; i++) {
        uint8_t message[192] = {0}, hash[32], want[32];
        size_t len = i < 2 ? strlen(known[i][0]) : test_below(&rng, 120);
        if (i < 2) {
            memcpy(message, known[i][0], len);
            unhex(want, 32, known[i][1]);
        } else {
            assert_ok(sotto_rng_fill(&rng, message, len));
            crypto_hash_sha256(want, message, len);
        }
        const size_t blocks = (len + 8) / 64 + 1;
        message[len] = 0x80;
        message[64 * blocks - 2] = (uint8_t)(8 * len >> 8);
        message[64 * blocks - 1] = (uint8_t)(8 * len);
        unhex(hash, 32, sha256_start);
        for (size_t b = 0; b < blocks; b++)
            run_bytes(&c, hash, hash, message + 64 * b);
        assert_memory_equal(hash, want, 32);
    }
    sotto_circuit_free(&c);
}

/* Known answers through garbling with every scheme, the evaluator knowing its inputs; each several times in one job. */
static void garbled(const sotto_circuit *c, sotto_garble_scheme scheme, uint8_t *out, const uint8_t *first,
                    const uint8_t *second, const sotto_rng *rng)
{
    enum { INSTANCES = 3 };
    const size_t inputs = sotto_circuit_inputs(c), outputs = c->output_count;
    uint8_t bits[768], result[INSTANCES][256];
    sotto_garble_job job = {.hash = {.domain = SOTTO_DOMAIN_GARBLE, .direction = 1}, .first = 13, .instances = INSTANCES};
    sotto_garbling *g;
    sotto_block offset, *zero = calloc(inputs * INSTANCES, sizeof *zero), *label = calloc(inputs * INSTANCES, sizeof *label);
    sotto_block *out_zero = calloc(outputs * INSTANCES, sizeof *out_zero), *out_label = calloc(outputs * INSTANCES, sizeof *out_label);
    assert_true(zero && label && out_zero && out_label && inputs <= sizeof bits);
    assert_ok(sotto_garbling_new(&g, c, scheme));
    job.g = g;
    uint8_t *tables = calloc(sotto_garble_bytes(&job), 1);
    assert_non_null(tables);
    assert_ok(sotto_rng_fill(rng, &job.hash.salt, sizeof job.hash.salt));
    assert_ok(sotto_rng_fill(rng, &offset, sizeof offset));
    assert_ok(sotto_rng_fill(rng, zero, inputs * INSTANCES * sizeof *zero));
    offset.w[0] |= 1;
    put_bytes(bits, first, c->garbler_inputs / 8);
    put_bytes(bits + c->garbler_inputs, second, c->evaluator_inputs / 8);
    for (size_t i = 0; i < inputs * INSTANCES; i++) {
        const uint64_t bit = bits[i / INSTANCES];
        if (i / INSTANCES >= c->garbler_inputs)
            zero[i] = sotto_label_known(zero[i], 0);
        label[i] = bit ? sotto_block_xor(zero[i], offset) : zero[i];
    }
    assert_ok(sotto_garble_tables(&job, offset, zero, tables, out_zero));
    assert_ok(sotto_garble_evaluate(&job, label, tables, out_label));
    for (size_t i = 0; i < outputs * INSTANCES; i++)
        result[i % INSTANCES][i / INSTANCES] = (uint8_t)(sotto_permute_bit(out_zero[i]) ^ sotto_permute_bit(out_label[i]));
    for (size_t i = 1; i < INSTANCES; i++)
        assert_memory_equal(result[0], result[i], outputs);
    get_bytes(out, result[0], outputs / 8);
    sotto_garbling_free(g);
    free(tables);
    free(zero);
    free(label);
    free(out_zero);
    free(out_label);
}

static void test_garbled(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 4);
    sotto_circuit aes, sha;
    uint8_t first[32], second[64] = {'a', 'b', 'c', 0x80, [63] = 24}, want[32], got[32];
    assert_ok(sotto_circuit_aes128(&aes));
    assert_ok(sotto_circuit_sha256(&sha));
    sotto_circuit_known_inputs(&aes);
    sotto_circuit_known_inputs(&sha);
    for (unsigned scheme = 0; scheme < SOTTO_GARBLE_SCHEMES; scheme++) {
        unhex(first, 32, sha256_start);
        unhex(want, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        garbled(&sha, (sotto_garble_scheme)scheme, got, first, second, &rng);
        assert_memory_equal(got, want, 32);
        uint8_t block[16];
        unhex(first, 16, "000102030405060708090a0b0c0d0e0f");
        unhex(block, 16, "00112233445566778899aabbccddeeff");
        unhex(want, 16, "69c4e0d86a7b0430d8cdb78070b4c55a");
        garbled(&aes, (sotto_garble_scheme)scheme, got, first, block, &rng);
        assert_memory_equal(got, want, 16);
    }
    sotto_circuit_free(&aes);
    sotto_circuit_free(&sha);
}

static void test_memory(void **state)
{
    (void)state;
    static const sotto_circuit empty;
    static int (*const circuits[])(sotto_circuit *c) = {sotto_circuit_aes128, sotto_circuit_sha256};
    for (size_t i = 0; i < 2; i++) {
        int rc = SOTTO_ERR_MEMORY;
        for (long k = 0; rc; k++) {
            sotto_circuit c;
            assert_true(k < 60);
            sotto_calloc_fail_after(k);
            rc = circuits[i](&c);
            sotto_calloc_fail_after(-1);
            if (rc) {
                assert_int_equal(rc, SOTTO_ERR_MEMORY);
                assert_memory_equal(&c, &empty, sizeof c);
            }
            sotto_circuit_free(&c);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adder),
        cmocka_unit_test(test_aes128),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_garbled),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
