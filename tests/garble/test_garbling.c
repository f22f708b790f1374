/* Garbled against plain evaluation in both schemes: single gates over all inputs and permute bits, random circuits on every tier, tables against their
 * definition, what the evaluator sees, what a wrong label or table does, streams and faults. */
#include <sodium.h>
#include <stdio.h>

#include "garble/gadgets.h"
#include "garble/garbling_internal.h"
#include "garble/library.h"
#include "lib/mem.h"
#include "tests/garble/instances.h"

#define EACH_SCHEME(s) for (sotto_garble_scheme s = SOTTO_HALF_GATES; s < SOTTO_GARBLE_SCHEMES; s++)

static const sotto_tier tiers[] = {SOTTO_TIER_PORTABLE, SOTTO_TIER_AVX2, SOTTO_TIER_IFMA};
enum { TIERS = sizeof tiers / sizeof *tiers };

static int all_tiers(void **state)
{
    (void)state;
    sotto_cpu_force_tier(SOTTO_TIER_IFMA);
    return 0;
}

/* AND with every choice of complemented operands, and AND_EVAL: the label is the right one for all inputs and permute bits, in all lanes. */
static void test_gate_exhaustive(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 1);
    for (int tier = 0; tier < TIERS; tier++)
        EACH_SCHEME(scheme)
            for (unsigned kind = 0; kind < 6; kind++) {
                const int known = kind >= 4;
                sotto_circuit c;
                sotto_cpu_force_tier(tiers[tier]);
                sotto_circuit_init(&c, 1, 1);
                const uint32_t a = kind & 1 ? sotto_gate_not(&c, 0) : 0, b = kind & 2 ? sotto_gate_not(&c, 1) : 1;
                sotto_circuit_output(&c, known ? sotto_gate_and_eval(&c, a, 1) : sotto_gate_and(&c, a, b));
                instances s;
                instances_new(&s, &c, scheme, 16 * test_below(&rng, 100), 16, &rng);
                for (unsigned turn = 0; turn < 16; turn++) { /* 16 lanes have the 16 cases, in turn */
                    for (unsigned i = 0; i < 16; i++) {
                        const unsigned bits = (i + turn) % 16;
                        for (unsigned w = 0; w < 2; w++) {
                            const unsigned permute = known && w ? 0 : bits >> w & 1, value = bits >> (2 + w) & 1;
                            s.zero[w * 16 + i] = sotto_label_known(random_block(&rng), permute);
                            s.in[w * 16 + i] = pick(s.zero[w * 16 + i], s.offset, value);
                            s.bits[i * 2 + w] = (uint8_t)value;
                        }
                    }
                    instances_garble(&s);
                    instances_evaluate(&s);
                }
                instances_free(&s);
                sotto_circuit_free(&c);
            }
}

static void test_random_circuits(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 2);
    static const size_t counts[] = {0, 1, 2, 15, 16, 17, 33, 100};
    EACH_SCHEME(scheme)
        for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
            for (unsigned i = 0; i < 8; i++) {
                sotto_circuit c;
                instances s;
                random_circuit(&c, 1 + (unsigned)test_below(&rng, 5), (unsigned)test_below(&rng, 5), 20 * i, &rng);
                instances_new(&s, &c, scheme, test_u64(&rng) >> 1, counts[n], &rng);
                instances_garble(&s);
                instances_evaluate(&s);
                instances_free(&s);
                sotto_circuit_free(&c);
            }
}

/* Every tier gives the bytes and labels of the portable one. */
static void test_tiers_agree(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 3);
    EACH_SCHEME(scheme)
        for (unsigned n = 0; n < 20; n++) {
            sotto_circuit c;
            instances s;
            random_circuit(&c, 2, 2, 10 + 5 * n, &rng);
            instances_new(&s, &c, scheme, test_below(&rng, 50), 1 + test_below(&rng, 60), &rng);
            const size_t labels = c.output_count * s.job.instances * sizeof(sotto_block);
            uint8_t *tables = malloc(s.bytes + 1), *out_zero = malloc(labels), *out = malloc(labels);
            assert_true(tables && out_zero && out);
            for (int tier = 0; tier < TIERS; tier++) {
                sotto_cpu_force_tier(tiers[tier]);
                instances_garble(&s);
                instances_evaluate(&s);
                if (tier == 0) {
                    memcpy(tables, s.tables, s.bytes);
                    memcpy(out_zero, s.out_zero, labels);
                    memcpy(out, s.out, labels);
                }
                assert_memory_equal(tables, s.tables, s.bytes);
                assert_memory_equal(out_zero, s.out_zero, labels);
                assert_memory_equal(out, s.out, labels);
                memset(s.tables, 0, s.bytes);
            }
            free(tables);
            free(out_zero);
            free(out);
            instances_free(&s);
            sotto_circuit_free(&c);
        }
}

/* More than a segment, with a published answer [FIPS 197, C.1]: the key is the garbler's, the block the evaluator's; 18 instances from number 9. */
static void test_aes128(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 4);
    static const char *const known[3] = {"000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff", "69c4e0d86a7b0430d8cdb78070b4c55a"};
    enum { COUNT = 18 };
    uint8_t bytes[3][16], bits[3][128];
    for (unsigned k = 0; k < 3; k++) {
        assert_int_equal(sodium_hex2bin(bytes[k], 16, known[k], 32, NULL, NULL, NULL), 0);
        for (unsigned i = 0; i < 128; i++)
            bits[k][i] = bytes[k][15 - i / 8] >> (i % 8) & 1;
    }
    sotto_circuit c;
    assert_ok(sotto_circuit_aes128(&c));
    EACH_SCHEME(scheme) {
        instances s;
        instances_new(&s, &c, scheme, 9, COUNT, &rng);
        const size_t per = scheme == SOTTO_HALF_GATES ? 32 * COUNT : 24 * COUNT + 3 + 5; /* 7 lanes and 11 */
        assert_int_equal(s.bytes, 6400 * per);
        for (unsigned w = 0; w < 256; w++)
            for (unsigned i = 0; i < COUNT; i++) {
                s.bits[i * 256 + w] = bits[w / 128][w % 128];
                s.in[w * COUNT + i] = pick(s.zero[w * COUNT + i], s.offset, bits[w / 128][w % 128]);
            }
        instances_garble(&s);
        instances_evaluate(&s);
        for (unsigned o = 0; o < 128; o++)
            assert_int_equal(sotto_permute_bit(s.out[o * COUNT + 17]) ^ sotto_permute_bit(s.out_zero[o * COUNT + 17]), bits[2][o]);
        instances_free(&s);
    }
    sotto_circuit_free(&c);
}

/* ---- tables against their definition ------------------------------------------------------------------------------------------ */

static sotto_block cipher(sotto_hash h, sotto_garble_scheme scheme, uint32_t sub, uint64_t instance, sotto_block y)
{
    sotto_aes_key key;
    sotto_block out;
    y.w[0] ^= instance % 16 / 4;
    sotto_aes_expand(&key, sotto_hash_key(&h, (uint16_t)scheme, sub, 4 * (instance / 16) + instance % 4));
    sotto_aes_encrypt(&key, &out, &y, 1);
    return sotto_block_xor(out, y);
}

static sotto_block sigma(sotto_block x)
{
    return (sotto_block){{x.w[1], x.w[0] ^ x.w[1]}};
}

static sotto_block phi(sotto_block x)
{
    for (unsigned i = 0; i < 2; i++) {
        const uint64_t l = x.w[i] & 0xffffffff, r = x.w[i] >> 32;
        x.w[i] = r | (l ^ r) << 32;
    }
    return x;
}

/* Two ANDs side by side, instances 5 .. 25, so a batch of 11 lanes and one of 10: the second gate of every instance, label by label. */
enum { FIRST = 5, SPAN = 21, GATE = 1 };

static void two_gates(sotto_circuit *c)
{
    sotto_circuit_init(c, 2, 2);
    (void)sotto_gate_and(c, 0, 2);
    sotto_circuit_output(c, sotto_gate_and(c, 1, 3));
    assert_ok(sotto_circuit_finish(c));
}

static const uint8_t *gate_of(const instances *s, size_t and_bytes, size_t i, size_t *lane, size_t *lanes)
{
    *lanes = i < 11 ? 11 : 10;
    *lane = i < 11 ? i : i - 11;
    return s->tables + (i < 11 ? 0 : 2 * and_bytes * 11) + GATE * and_bytes * *lanes;
}

/* [ZRE15, Fig. 2] with the hash of lib/hash.h. */
static void test_half_gates_tables(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 5);
    sotto_circuit c;
    instances s;
    two_gates(&c);
    instances_new(&s, &c, SOTTO_HALF_GATES, FIRST, SPAN, &rng);
    instances_garble(&s);
    for (size_t i = 0; i < SPAN; i++) {
        const sotto_block a = s.zero[SPAN + i], b = s.zero[3 * SPAN + i];
        sotto_block h[4], want[2], got[2];
        for (unsigned k = 0; k < 4; k++)
            h[k] = cipher(s.job.hash, SOTTO_HALF_GATES, 2 * GATE + k / 2, FIRST + i, sigma(pick(k < 2 ? a : b, s.offset, k & 1)));
        want[0] = pick(sotto_block_xor(h[0], h[1]), s.offset, sotto_permute_bit(b));
        want[1] = sotto_block_xor(sotto_block_xor(h[2], h[3]), a);
        size_t lane, lanes;
        const uint8_t *table = gate_of(&s, 32, i, &lane, &lanes);
        memcpy(&got[0], table + 16 * lane, 16);
        memcpy(&got[1], table + 16 * (lanes + lane), 16);
        assert_memory_equal(want, got, sizeof got);
        const sotto_block generator = sotto_permute_bit(a) ? h[1] : h[0], evaluator = sotto_permute_bit(b) ? h[3] : h[2];
        const sotto_block out = pick(sotto_block_xor(generator, evaluator), s.offset, sotto_permute_bit(a) & sotto_permute_bit(b));
        assert_true(same(s.out_zero[i], out));
    }
    instances_free(&s);
    sotto_circuit_free(&c);
}

/* What an evaluator computes of a three-halves gate: its label from (i, j, A, B), the table and three hashes; rho[2] and z[3] are the bits that it sees. */
static sotto_block three_halves(const instances *s, size_t i, sotto_block a, sotto_block b, unsigned rho[2], unsigned z[3])
{
    size_t lane, lanes;
    const size_t first_bits = i < 11 ? 5 : 4; /* bytes of a gate's bits in either batch */
    const uint8_t *table = s->tables + (i < 11 ? 0 : 2 * (24 * 11 + 5));
    lanes = i < 11 ? 11 : 10;
    lane = i < 11 ? i : i - 11;
    table += GATE * (24 * lanes + first_bits);
    sotto_block g01, h[3];
    uint64_t g2, control = 0;
    memcpy(&g01, table + 16 * lane, 16);
    memcpy(&g2, table + 16 * lanes + 8 * lane, 8);
    memcpy(&control, table + 24 * lanes, first_bits);
    assert_int_equal(control >> 3 * lanes, 0);
    for (unsigned k = 0; k < 3; k++)
        z[k] = (unsigned)(control >> (k * lanes + lane)) & 1;
    const sotto_block in[3] = {a, b, sotto_block_xor(a, b)};
    for (unsigned k = 0; k < 3; k++)
        h[k] = cipher(s->job.hash, SOTTO_THREE_HALVES, 3 * GATE + k, FIRST + i, phi(in[k]));
    const unsigned ci = sotto_permute_bit(a), cj = sotto_permute_bit(b), ck = ci ^ cj;
    rho[0] = (unsigned)((h[0].w[1] ^ h[2].w[1]) & 1) ^ (ci & z[0]) ^ (ck & z[2]);
    rho[1] = (unsigned)((h[1].w[0] ^ h[2].w[1]) & 1) ^ (cj & z[1]) ^ (ck & z[2]);
    sotto_block c = {{h[0].w[0] ^ h[2].w[0] ^ (ck ? g2 : 0) ^ (ci ? g01.w[0] ^ b.w[0] : 0),
                      h[1].w[1] ^ h[2].w[0] ^ (ck ? g2 : 0) ^ (cj ? g01.w[1] ^ a.w[1] : 0)}};
    const sotto_block m = sotto_block_xor(sigma(sigma(a)), b);
    c = pick(c, m, rho[0]);
    return pick(c, sigma(m), rho[1]);
}

/* The equations of kernel_internal.h, all four inputs of every gate. */
static void test_three_halves_tables(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 6);
    sotto_circuit c;
    two_gates(&c);
    for (int run = 0; run < 20; run++) {
        instances s;
        instances_new(&s, &c, SOTTO_THREE_HALVES, FIRST, SPAN, &rng);
        for (size_t i = 0; i < 4 * SPAN; i++) /* all permute bits, also the evaluator's */
            s.zero[i] = random_block(&rng);
        instances_garble(&s);
        for (size_t i = 0; i < SPAN; i++)
            for (unsigned v = 0; v < 4; v++) {
                unsigned rho[2], z[3];
                const sotto_block a = pick(s.zero[SPAN + i], s.offset, v & 1), b = pick(s.zero[3 * SPAN + i], s.offset, v >> 1);
                assert_true(same(three_halves(&s, i, a, b, rho, z), pick(s.out_zero[i], s.offset, v == 3)));
            }
        instances_free(&s);
    }
    sotto_circuit_free(&c);
}

/* ---- what the evaluator sees -------------------------------------------------------------------------------------------------- */

/* Control bits and what they decode to are uniform for every choice of permute bits and colours, so they tell neither. */
static void test_control_bits_uniform(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 7);
    sotto_circuit c;
    two_gates(&c);
    static uint64_t seen[16][32], total[16];
    for (int run = 0; run < 1000; run++) {
        instances s;
        instances_new(&s, &c, SOTTO_THREE_HALVES, FIRST, SPAN, &rng);
        for (size_t i = 0; i < 4 * SPAN; i++)
            s.zero[i] = random_block(&rng);
        instances_garble(&s);
        for (size_t i = 0; i < SPAN; i++)
            for (unsigned v = 0; v < 4; v++) {
                unsigned rho[2], z[3];
                const sotto_block a = pick(s.zero[SPAN + i], s.offset, v & 1), b = pick(s.zero[3 * SPAN + i], s.offset, v >> 1);
                const unsigned at = sotto_permute_bit(s.zero[SPAN + i]) | sotto_permute_bit(s.zero[3 * SPAN + i]) << 1 | sotto_permute_bit(a) << 2 |
                                    sotto_permute_bit(b) << 3;
                (void)three_halves(&s, i, a, b, rho, z);
                seen[at][z[0] | z[1] << 1 | z[2] << 2 | rho[0] << 3 | rho[1] << 4]++;
                total[at]++;
            }
        instances_free(&s);
    }
    for (unsigned at = 0; at < 16; at++)
        assert_true(test_chi_square(seen[at], 32, total[at]) < test_chi_square_bound(32));
    sotto_circuit_free(&c);
}

/* Table bytes over many runs with the same inputs and permute bits; and labels of outputs. */
static void test_tables_uniform(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 8);
    sotto_circuit c;
    random_circuit(&c, 3, 3, 40, &rng);
    EACH_SCHEME(scheme) {
        uint64_t seen[256] = {0}, total = 0, by_bit[2][8] = {{0}}, bits = 0;
        for (int run = 0; run < 150; run++) {
            instances s;
            instances_new(&s, &c, scheme, 0, 64, &rng); /* whole batches: every bit of the tables carries something */
            for (size_t i = 0; i < s.inputs * 64; i++)
                s.zero[i] = sotto_label_known(s.zero[i], 0);
            instances_garble(&s);
            for (size_t i = 0; i < s.bytes; i++, total++)
                seen[s.tables[i]]++;
            for (size_t i = 0; i < s.bytes; i += 97, bits++)
                for (unsigned b = 0; b < 8; b++)
                    by_bit[s.tables[i] >> b & 1][b]++;
            instances_free(&s);
        }
        assert_true(test_chi_square(seen, 256, total) < test_chi_square_bound(256));
        for (unsigned b = 0; b < 8; b++) {
            const uint64_t two[2] = {by_bit[0][b], by_bit[1][b]};
            assert_true(test_chi_square(two, 2, bits) < test_chi_square_bound(2));
        }
    }
    sotto_circuit_free(&c);
}

/* A wire that is constant has one label in all instances: an AND of it must have other tables in each. With equal hashes two of them would differ by the offset. */
static void test_equal_labels(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 20);
    sotto_circuit c;
    sotto_circuit_init(&c, 2, 1);
    const uint32_t one = sotto_gate_xor(&c, 0, 1), other = sotto_gate_xor(&c, 1, 0);
    sotto_circuit_output(&c, sotto_gate_and(&c, sotto_gate_xor(&c, sotto_gate_xor(&c, one, 2), sotto_gate_xor(&c, other, 2)), 2));
    assert_ok(sotto_circuit_finish(&c));
    assert_int_equal(c.and_count, 1); /* the builder does not see that it is constant */
    for (int run = 0; run < 2 * SOTTO_GARBLE_SCHEMES; run++) {
        instances s;
        instances_new(&s, &c, (sotto_garble_scheme)(run / 2), 0, 64, &rng);
        for (size_t i = 0; run % 2 != 0 && i < s.inputs * 64; i++) /* the same when all instances share their labels */
            s.zero[i] = s.zero[i / 64 * 64];
        instances_garble(&s);
        for (size_t i = 0; i < s.bytes / 16; i++)
            for (size_t k = 0; k < i; k++) {
                sotto_block x, y;
                memcpy(&x, s.tables + 16 * i, 16);
                memcpy(&y, s.tables + 16 * k, 16);
                assert_false(same(x, y));
                assert_false(same(sotto_block_xor(x, y), s.offset));
            }
        instances_free(&s);
    }
    sotto_circuit_free(&c);
}

/* Neither input nor permute bits show: bytes of one place of the table are uniform, whichever they are. A gate has 256 cells for each of 16 cases. */
static void test_tables_independent(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 9);
    sotto_circuit c;
    two_gates(&c);
    EACH_SCHEME(scheme) {
        static uint64_t seen[4][16], total[4];
        memset(seen, 0, sizeof seen);
        memset(total, 0, sizeof total);
        for (int run = 0; run < 400; run++) {
            instances s;
            instances_new(&s, &c, scheme, 0, 16, &rng);
            for (size_t i = 0; i < 64; i++)
                s.zero[i] = random_block(&rng);
            instances_garble(&s);
            const uint8_t *gate = s.tables + s.bytes / 2;
            for (size_t i = 0; i < 16; i++) {
                const unsigned at = sotto_permute_bit(s.zero[16 + i]) | sotto_permute_bit(s.zero[48 + i]) << 1;
                /* The lowest two bits of both halves: those that carry permute bits. */
                const unsigned second = scheme == SOTTO_HALF_GATES ? gate[256 + 16 * i] : gate[256 + 8 * i];
                seen[at][(gate[16 * i] & 3) | (second & 3) << 2]++;
                total[at]++;
            }
            instances_free(&s);
        }
        for (unsigned at = 0; at < 4; at++)
            assert_true(test_chi_square(seen[at], 16, total[at]) < test_chi_square_bound(16));
    }
    sotto_circuit_free(&c);
}

/* ---- wrong bytes --------------------------------------------------------------------------------------------------------------- */

/* A flipped table bit, a wrong label, tables of another instance or number: a wrong label at the most, in the instance concerned alone. */
static void test_tampering(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 10);
    sotto_circuit c;
    enum { COUNT = 16 };
    sotto_circuit_init(&c, 1, 1);
    sotto_circuit_output(&c, sotto_gate_and(&c, 0, 1));
    EACH_SCHEME(scheme) {
        size_t wrong = 0, flips = 0;
        for (int run = 0; run < 40; run++) {
            instances s;
            instances_new(&s, &c, scheme, 32, COUNT, &rng);
            for (size_t i = 0; i < 2 * COUNT; i++)
                s.in[i] = pick(s.zero[i] = random_block(&rng), s.offset, s.bits[(i % COUNT) * 2 + i / COUNT]);
            instances_garble(&s);
            instances_evaluate(&s);
            sotto_block good[COUNT];
            memcpy(good, s.out, sizeof good);
            for (size_t byte = 0; byte < s.bytes; byte++, flips++) {
                const uint8_t bit = (uint8_t)(1u << test_below(&rng, 8));
                s.tables[byte] ^= bit;
                assert_ok(sotto_garble_evaluate(&s.job, s.in, s.tables, s.out));
                s.tables[byte] ^= bit;
                size_t differ = 0;
                for (size_t i = 0; i < COUNT; i++)
                    differ += !same(good[i], s.out[i]);
                assert_true(differ <= 1);
                wrong += differ;
            }
            const size_t one = test_below(&rng, 2 * COUNT);
            s.in[one].w[test_below(&rng, 2)] ^= (uint64_t)1 << test_below(&rng, 64);
            assert_ok(sotto_garble_evaluate(&s.job, s.in, s.tables, s.out));
            for (size_t i = 0; i < COUNT; i++)
                assert_int_equal(same(good[i], s.out[i]), i != one % COUNT);
            s.in[one] = pick(s.zero[one], s.offset, s.bits[(one % COUNT) * 2 + one / COUNT]);
            s.job.first += 16; /* other keys */
            assert_ok(sotto_garble_evaluate(&s.job, s.in, s.tables, s.out));
            for (size_t i = 0; i < COUNT; i++)
                assert_false(same(good[i], s.out[i]));
            instances_free(&s);
        }
        assert_true(wrong > flips / 3 && wrong < flips * 2 / 3); /* each part is read for half of the colours */
    }
    sotto_circuit_free(&c);
}

/* Instances with each other's labels, and random bytes for tables. */
static void test_swapped(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 11);
    sotto_circuit c;
    random_circuit(&c, 3, 3, 60, &rng);
    EACH_SCHEME(scheme) {
        instances s;
        instances_new(&s, &c, scheme, 3, 40, &rng);
        for (uint32_t o = 0; o < c.output_count; o++) /* an AND of it, last */
            assert_true(c.outputs[o] < sotto_circuit_wires(&c));
        instances_garble(&s);
        for (size_t w = 0; w < s.inputs; w++) {
            const sotto_block x = s.in[w * 40 + 7];
            s.in[w * 40 + 7] = s.in[w * 40 + 30];
            s.in[w * 40 + 30] = x;
        }
        assert_ok(sotto_garble_evaluate(&s.job, s.in, s.tables, s.out));
        assert_ok(sotto_rng_fill(&rng, s.tables, s.bytes));
        assert_ok(sotto_garble_evaluate(&s.job, s.in, s.tables, s.out));
        instances_free(&s);
    }
    sotto_circuit_free(&c);
    /* One AND, so that the exchange must show. */
    two_gates(&c);
    EACH_SCHEME(scheme) {
        instances s;
        instances_new(&s, &c, scheme, 0, 16, &rng);
        instances_garble(&s);
        for (size_t w = 0; w < 4; w++) {
            const sotto_block x = s.in[w * 16 + 2];
            s.in[w * 16 + 2] = s.in[w * 16 + 6]; /* of the same key */
            s.in[w * 16 + 6] = x;
        }
        assert_ok(sotto_garble_evaluate(&s.job, s.in, s.tables, s.out));
        for (size_t i = 0; i < 16; i++) {
            const int right = same(s.out[i], s.out_zero[i]) || same(s.out[i], sotto_block_xor(s.out_zero[i], s.offset));
            if (i != 2 && i != 6)
                assert_true(right);
        }
        instances_free(&s);
    }
    sotto_circuit_free(&c);
}

/* ---- cuts and streams ------------------------------------------------------------------------------------------------------------ */

/* Instances do not depend on how calls are cut: any piece has the output labels of the whole, and at batches its bytes. */
static void test_cuts(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 12);
    sotto_circuit c;
    random_circuit(&c, 3, 3, 50, &rng);
    EACH_SCHEME(scheme) {
        enum { COUNT = 90 };
        instances whole, piece;
        instances_new(&whole, &c, scheme, 10, COUNT, &rng);
        instances_garble(&whole);
        instances_evaluate(&whole);
        for (size_t from = 0, n; from < COUNT; from += n) {
            const size_t to_batch = 16 - (10 + from) % 16;
            n = test_below(&rng, 2) ? to_batch : 1 + test_below(&rng, 30);
            n = n < COUNT - from ? n : COUNT - from;
            instances_new(&piece, &c, scheme, 10 + from, n, &rng);
            piece.job.hash = whole.job.hash;
            piece.offset = whole.offset;
            for (size_t w = 0; w < whole.inputs; w++) {
                memcpy(piece.zero + w * n, whole.zero + w * COUNT + from, n * sizeof(sotto_block));
                memcpy(piece.in + w * n, whole.in + w * COUNT + from, n * sizeof(sotto_block));
            }
            memcpy(piece.bits, whole.bits + from * whole.inputs, n * whole.inputs);
            instances_garble(&piece);
            instances_evaluate(&piece);
            for (uint32_t o = 0; o < c.output_count; o++)
                assert_memory_equal(piece.out + o * n, whole.out + o * COUNT + from, n * sizeof(sotto_block));
            sotto_garble_job before = whole.job;
            before.instances = from;
            if ((10 + from) % 16 == 0 && (10 + from + n) % 16 == 0)
                assert_memory_equal(piece.tables, whole.tables + sotto_garble_bytes(&before), piece.bytes);
            instances_free(&piece);
        }
        instances_free(&whole);
    }
    sotto_circuit_free(&c);
}

/* BLAKE2b of tables and output labels: the bytes on the wire, of both schemes. A change here is a change of the protocol. */
static void test_known_answers(void **state)
{
    (void)state;
    static const char *const want[SOTTO_GARBLE_SCHEMES] = {"a2d9752d5860c76fca5dde147d10a557", "9660aabe89dea3a6404c79184279dd89"};
    EACH_SCHEME(scheme) {
        sotto_rng rng = test_rng(1, 2);
        sotto_circuit c;
        instances s;
        uint8_t digest[16];
        char hex[33];
        crypto_generichash_state h;
        sotto_circuit_init(&c, 2, 2);
        const uint32_t x = sotto_gate_and(&c, 0, 2), y = sotto_gate_and_eval(&c, sotto_gate_not(&c, 1), 3);
        sotto_circuit_output(&c, sotto_gate_not(&c, sotto_gate_and(&c, sotto_gate_xor(&c, x, y), sotto_gate_not(&c, x))));
        instances_new(&s, &c, scheme, 13, 40, &rng);
        instances_garble(&s);
        crypto_generichash_init(&h, NULL, 0, sizeof digest);
        crypto_generichash_update(&h, s.tables, s.bytes);
        crypto_generichash_update(&h, (const uint8_t *)s.out_zero, 40 * sizeof(sotto_block));
        crypto_generichash_final(&h, digest, sizeof digest);
        sodium_bin2hex(hex, sizeof hex, digest, sizeof digest);
        assert_string_equal(hex, want[scheme]);
        instances_free(&s);
        sotto_circuit_free(&c);
    }
}

static int send_side(sotto_chan *chan, void *ctx)
{
    instances *s = ctx;
    return sotto_garble_send(&s->job, s->offset, s->zero, chan, s->out_zero);
}

static int recv_side(sotto_chan *chan, void *ctx)
{
    instances *s = ctx;
    return sotto_garble_recv(&s->job, s->in, chan, s->out);
}

/* Counts the largest piece that is sent. */
typedef struct meter {
    sotto_chan *inner;
    size_t largest;
} meter;

static int meter_send(void *ctx, const void *data, size_t len)
{
    meter *m = ctx;
    m->largest = len > m->largest ? len : m->largest;
    return sotto_chan_send(m->inner, data, len);
}

static int meter_flush(void *ctx)
{
    return sotto_chan_flush(((meter *)ctx)->inner);
}

/* Several chunks, ends inside batches: the stream has the bytes of memory, in pieces of little more than 1 MB, and evaluates to the same. */
static void test_streams(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 13);
    static const sotto_chan_ops meter_ops = {meter_send, NULL, meter_flush, NULL};
    sotto_circuit c;
    assert_ok(sotto_circuit_argmax(&c, 10, 20));
    EACH_SCHEME(scheme)
        for (size_t count = 0; count < 300; count += 149) {
            instances s;
            sotto_chan a, b;
            instances_new(&s, &c, scheme, 21, count, &rng);
            uint8_t *sent = malloc(s.bytes + 1);
            assert_non_null(sent);
            instances_garble(&s);
            test_chan_pair(&a, &b, 0);
            meter m = {&a, 0};
            sotto_chan metered = {.ops = &meter_ops, .ctx = &m};
            assert_ok(sotto_garble_send(&s.job, s.offset, s.zero, &metered, s.out_zero));
            assert_int_equal(a.stats.bytes_out, s.bytes);
            assert_true(m.largest <= ((size_t)1 << 20) + SOTTO_SEGMENT_ANDS * SOTTO_HALF_BYTES);
            assert_ok(sotto_chan_recv(&b, sent, s.bytes));
            assert_memory_equal(sent, s.tables, s.bytes);
            assert_ok(sotto_chan_send(&a, sent, s.bytes));
            assert_ok(sotto_garble_recv(&s.job, s.in, &b, s.out));
            assert_int_equal(b.stats.bytes_in, 2 * s.bytes);
            instances_check(&s);
            sotto_chan_close(&a);
            sotto_chan_close(&b);
            free(sent);
            instances_free(&s);
        }
    sotto_circuit_free(&c);
}

static int all_zero(const void *p, size_t len)
{
    const uint8_t *b = p;
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= b[i];
    return any == 0;
}

/* The channel fails at every operation, of either side: an error, and outputs are zero; garbage gives wrong labels and no more. */
static void test_faults(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 14);
    sotto_circuit c;
    assert_ok(sotto_circuit_argmax(&c, 10, 20));
    instances s;
    instances_new(&s, &c, SOTTO_HALF_GATES, 0, 160, &rng); /* 3 MB */
    const size_t labels = c.output_count * 160 * sizeof(sotto_block);
    for (int side = 0; side < 2; side++)
        for (long k = 0; k < 20; k++) {
            sotto_chan a, b, faulty;
            int status[2];
            test_fault_plan plan = {.kind = TEST_FAULT_CLOSE, .k = k};
            memset(s.out_zero, 1, labels);
            memset(s.out, 1, labels);
            test_chan_pair(&a, &b, 1000);
            test_chan_faulty(&faulty, side == 0 ? &a : &b, &plan);
            test_two_party_on(side == 0 ? &faulty : &a, send_side, &s, side == 0 ? &b : &faulty, recv_side, &s, status);
            if (plan.ops <= k) {
                assert_true(k > 2);
                assert_int_equal(status[0] | status[1], SOTTO_OK);
                instances_check(&s);
                break;
            }
            assert_int_not_equal(status[1], SOTTO_OK);
            assert_true(all_zero(s.out, labels));
            if (status[0] != SOTTO_OK)
                assert_true(all_zero(s.out_zero, labels));
        }
    sotto_chan a, b, faulty;
    int status[2];
    test_fault_plan plan = {.kind = TEST_FAULT_GARBAGE, .k = 1, .seed = test_seed()};
    test_chan_pair(&a, &b, 1000);
    test_chan_faulty(&faulty, &a, &plan);
    test_two_party_on(&faulty, send_side, &s, &b, recv_side, &s, status);
    assert_int_equal(status[0] | status[1], SOTTO_OK);
    assert_false(same(s.out[159], s.out_zero[159]) || same(s.out[159], sotto_block_xor(s.out_zero[159], s.offset)));
    instances_free(&s);
    sotto_circuit_free(&c);
}

static void test_memory(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 15);
    sotto_circuit c;
    sotto_chan a, b;
    assert_ok(sotto_circuit_sign(&c, 6));
    instances s;
    instances_new(&s, &c, SOTTO_THREE_HALVES, 0, 20, &rng);
    instances_garble(&s);
    test_chan_pair(&a, &b, 0);
    for (int way = 0; way < 4; way++)
        for (long k = 0;; k++) {
            sotto_calloc_fail_after(k);
            const int rc = way == 0   ? sotto_garble_tables(&s.job, s.offset, s.zero, s.tables, s.out_zero)
                           : way == 1 ? sotto_garble_evaluate(&s.job, s.in, s.tables, s.out)
                           : way == 2 ? sotto_garble_send(&s.job, s.offset, s.zero, &a, s.out_zero)
                                      : sotto_garble_recv(&s.job, s.in, &b, s.out);
            sotto_calloc_fail_after(-1);
            if (rc == SOTTO_OK) {
                assert_int_equal(k, way < 2 ? 3 : 4);
                break;
            }
            assert_int_equal(rc, SOTTO_ERR_MEMORY);
        }
    instances_check(&s);
    sotto_chan_close(&a);
    sotto_chan_close(&b);
    instances_free(&s);
    sotto_circuit_free(&c);
}

static void test_refusals(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 16);
    sotto_circuit c;
    assert_ok(sotto_circuit_sign(&c, 4));
    instances s;
    instances_new(&s, &c, SOTTO_HALF_GATES, 0, 1, &rng);
    sotto_block even = s.offset;
    even.w[0] ^= 1;
    assert_status(SOTTO_ERR_ARG, sotto_garble_tables(&s.job, even, s.zero, s.tables, s.out_zero));
    s.job.hash.domain = SOTTO_DOMAIN_OT;
    assert_status(SOTTO_ERR_ARG, sotto_garble_tables(&s.job, s.offset, s.zero, s.tables, s.out_zero));
    assert_status(SOTTO_ERR_ARG, sotto_garble_evaluate(&s.job, s.in, s.tables, s.out));
    s.job.hash.domain = SOTTO_DOMAIN_GARBLE;
    s.job.first = UINT64_MAX;
    assert_status(SOTTO_ERR_ARG, sotto_garble_tables(&s.job, s.offset, s.zero, s.tables, s.out_zero));
    s.job.first = 0;
    for (unsigned shift = 40; shift < 64; shift++) {
        s.job.instances = (size_t)1 << shift;
        assert_int_equal(sotto_garble_bytes(&s.job), shift < 58 ? 96 * s.job.instances : SIZE_MAX);
    }
    assert_status(SOTTO_ERR_ARG, sotto_garble_tables(&s.job, s.offset, s.zero, s.tables, s.out_zero));
    instances_free(&s);
    sotto_circuit_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_gate_exhaustive, all_tiers),
        cmocka_unit_test(test_random_circuits),
        cmocka_unit_test_teardown(test_tiers_agree, all_tiers),
        cmocka_unit_test(test_aes128),
        cmocka_unit_test(test_half_gates_tables),
        cmocka_unit_test(test_three_halves_tables),
        cmocka_unit_test(test_control_bits_uniform),
        cmocka_unit_test(test_tables_uniform),
        cmocka_unit_test(test_equal_labels),
        cmocka_unit_test(test_tables_independent),
        cmocka_unit_test(test_tampering),
        cmocka_unit_test(test_swapped),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("garble/garbling", tests, NULL, NULL);
}
