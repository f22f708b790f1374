/* Sign lookups over real OTs: all pairs of inputs for small u, random ones to 9. */
#include "lib/bytes.h"
#include "lib/cpu.h"
#include "ot/lookup.h"
#include "tests/ot/fixture.h"

#define COUNT_MAX 4096

typedef struct lookup_ctx {
    unsigned u, table; /* width, and which of the tables that one index opens */
    size_t count;
    uint64_t a[COUNT_MAX], c[COUNT_MAX], pi[COUNT_MAX], b[COUNT_MAX];
    uint8_t choices[COUNT_MAX + 8];
    uint8_t tables[COUNT_MAX * 32];
    /* Pads recomputed from the keys, and what the client would find with its own keys at another entry. */
    int check_pads;
    uint64_t elsewhere, agreed;
} lookup_ctx;

#define KEY_BLOCKS 4 /* two tables of 256 bits */

/* Bit x of the hashed keys of OT o that are for this table: whole words, all of which are given. */
static unsigned key_bit(const lookup_ctx *c, sotto_block words[KEY_BLOCKS][COUNT_MAX], size_t o, size_t x)
{
    const size_t word = c->table * ((((size_t)1 << (c->u - 1)) + 63) / 64) + x / 64;
    return (unsigned)(words[word / 2][o].w[word % 2] >> (x % 64)) & 1;
}

static sotto_block ref0[KEY_BLOCKS][COUNT_MAX], ref1[KEY_BLOCKS][COUNT_MAX], ref_own[KEY_BLOCKS][COUNT_MAX];

/* Server: the pads against their definition, entry by entry. 1 when they agree. */
static int pads_are_right(const lookup_ctx *c, const sotto_ot *ot, uint64_t first, const sotto_block *q, const uint8_t *pads)
{
    const size_t bits = c->u - 1, entries = (size_t)1 << bits;
    int right = 1;
    for (uint16_t w = 0; w < KEY_BLOCKS; w++) {
        sotto_ot_keys_send(ot, first, c->count * bits, w, q, ref0[w], ref1[w]);
    }
    for (size_t i = 0; i < c->count; i++) {
        for (size_t x = 0; x < entries; x++) {
            unsigned bit = 0;
            for (size_t j = 0; j < bits; j++) {
                const size_t o = i * bits + j;
                bit ^= key_bit(c, (x >> j) & 1 ? ref1 : ref0, o, x);
            }
            right &= bit == sotto_bit(pads, i * entries + x);
        }
    }
    return right;
}

/* Client: opens every entry that is not its own with the keys it has, and counts how often it finds the server's table. flips: u - 1 bits a unit. */
static void snoop(lookup_ctx *c, const sotto_ot *ot, uint64_t first, const sotto_block *t, const uint64_t *flips, const uint8_t *tables)
{
    const size_t bits = c->u - 1, entries = (size_t)1 << bits;
    for (uint16_t w = 0; w < KEY_BLOCKS; w++) {
        sotto_ot_keys_recv(ot, first, c->count * bits, w, t, ref_own[w]);
    }
    for (size_t i = 0; i < c->count; i++) {
        for (size_t x = 0; x < entries; x++) {
            unsigned bit = sotto_bit(tables, i * entries + x);
            for (size_t j = 0; j < bits; j++) {
                bit ^= key_bit(c, ref_own, i * bits + j, x ^ flips[i]);
            }
            const uint64_t carry = sotto_low_bits(c->a[i], (unsigned)bits) + x >= entries;
            if (x != sotto_low_bits(c->c[i], (unsigned)bits)) {
                c->elsewhere++;
                c->agreed += bit == (1 ^ (c->a[i] >> bits) ^ carry ^ c->pi[i]);
            }
        }
    }
}

static int act(ot_party *p, sotto_ot *ot, sotto_chan *chan)
{
    lookup_ctx *c = p->data;
    const size_t bits = c->u - 1, ots = c->count * bits, flip_bytes = (ots + 7) / 8, bytes = sotto_lookup_table_bytes(c->u, c->count);
    sotto_block *block = sotto_calloc(ots, sizeof *block);
    uint8_t *packed = sotto_calloc(flip_bytes, 1), *tables = sotto_calloc(bytes, 1);
    uint64_t *r = sotto_calloc(c->count, sizeof *r), *flips = sotto_calloc(c->count, sizeof *flips), *pad = sotto_calloc(c->count, sizeof *pad);
    uint64_t first;
    assert_true(block != NULL && packed != NULL && tables != NULL && r != NULL && flips != NULL && pad != NULL);
    int status;
    if (p->party == 0) { /* client */
        status = sotto_ot_recv(ot, chan, c->choices, ots, block, &first);
        sotto_unpack(r, c->choices, c->count, (unsigned)bits);
        for (size_t i = 0; i < c->count; i++) {
            flips[i] = sotto_low_bits(r[i] ^ c->c[i], (unsigned)bits);
        }
        sotto_pack(packed, flips, c->count, (unsigned)bits);
        if (status == SOTTO_OK) {
            status = sotto_lookup_pad(pad, c->u, c->table, c->count, ot, first, block, r);
        }
        if (status == SOTTO_OK) {
            status = sotto_chan_send(chan, packed, flip_bytes);
        }
        if (status == SOTTO_OK) {
            status = sotto_chan_recv(chan, tables, bytes);
        }
        if (status == SOTTO_OK) {
            memcpy(c->tables, tables, bytes);
            if (c->check_pads) {
                snoop(c, ot, first, block, flips, tables);
            }
            sotto_lookup_open(c->b, c->u, c->count, tables, pad, c->c);
        }
    } else {
        status = sotto_ot_send(ot, chan, ots, block, &first);
        if (status == SOTTO_OK) {
            status = sotto_lookup_pads(tables, c->u, c->table, c->count, ot, first, block);
        }
        if (status == SOTTO_OK && c->check_pads && !pads_are_right(c, ot, first, block, tables)) {
            status = sotto_fail(SOTTO_ERR_MISMATCH, "pads differ from their definition at u = %u", c->u);
        }
        if (status == SOTTO_OK) {
            status = sotto_chan_recv(chan, packed, flip_bytes);
        }
        if (status == SOTTO_OK) {
            sotto_unpack(flips, packed, c->count, (unsigned)bits);
            sotto_lookup_turn(tables, c->u, c->count, flips);
            sotto_lookup_tables(tables, c->u, c->count, tables, c->a, c->pi);
            status = sotto_chan_send(chan, tables, bytes);
        }
    }
    sotto_free(block);
    sotto_free(packed);
    sotto_free(tables);
    sotto_free(r);
    sotto_free(flips);
    sotto_free(pad);
    return status;
}

static void run(lookup_ctx *c, uint64_t seed)
{
    const sotto_rng rng = test_rng(seed, 5);
    assert_ok(sotto_rng_fill(&rng, c->choices, sizeof c->choices));
    ot_party p[2] = {{.party = 0, .seed = seed, .act = act, .data = c}, {.party = 1, .seed = seed, .act = act, .data = c}};
    int status[2];
    test_two_party(ot_party_run, &p[0], ot_party_run, &p[1], status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    for (size_t i = 0; i < c->count; i++) {
        const uint64_t sum = sotto_low_bits(c->a[i] + c->c[i], c->u);
        assert_int_equal(1 ^ (sum >> (c->u - 1)), c->b[i] ^ c->pi[i]);
    }
}

static void test_all_pairs(void **state)
{
    (void)state;
    static lookup_ctx c;
    for (unsigned u = 2; u <= 5; u++) {
        const size_t size = (size_t)1 << u;
        c.u = u;
        c.count = 2 * size * size;
        for (size_t i = 0; i < c.count; i++) {
            c.a[i] = i % size;
            c.c[i] = i / size % size;
            c.pi[i] = i / size / size;
        }
        run(&c, test_seed() + u);
    }
}

static void test_random(void **state)
{
    (void)state;
    static lookup_ctx c;
    const sotto_rng rng = test_rng(test_seed(), 0);
    for (unsigned u = 2; u <= 9; u++) {
        c.u = u;
        c.count = 1 + test_below(&rng, 600);
        for (size_t i = 0; i < c.count; i++) {
            c.a[i] = test_below(&rng, UINT64_C(1) << u);
            c.c[i] = test_below(&rng, UINT64_C(1) << u);
            c.pi[i] = test_below(&rng, 2);
        }
        run(&c, test_seed() + u);
    }
}

/* What travels is uniform whatever the server's number is: bytes of all tables of one a. */
static void test_tables_are_uniform(void **state)
{
    (void)state;
    static lookup_ctx c;
    for (uint64_t a = 0; a < 64; a += 21) {
        uint64_t cells[256] = {0};
        c.u = 6;
        c.count = 4096;
        for (size_t i = 0; i < c.count; i++) {
            c.a[i] = a;
            c.c[i] = 17;
            c.pi[i] = 0;
        }
        run(&c, test_seed() + a);
        const size_t bytes = sotto_lookup_table_bytes(c.u, c.count);
        for (size_t i = 0; i < bytes; i++) {
            cells[c.tables[i]]++;
        }
        assert_true(test_chi_square(cells, 256, bytes) < test_chi_square_bound(256));
    }
}

/* Pads are what lookup.h says, for batches around 16 units; with its own keys the client finds other entries as often as a coin would. */
static void test_pads(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 15, 16, 17, 33, 100};
    static lookup_ctx c;
    const sotto_rng rng = test_rng(test_seed(), 8);
    c.check_pads = 1;
    for (unsigned run_of = 0; run_of < 16; run_of++) { /* every width, both tables */
        c.u = 2 + run_of / 2;
        c.table = run_of % 2;
        c.elsewhere = c.agreed = 0;
        for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
            c.count = counts[k];
            for (size_t i = 0; i < c.count; i++) {
                c.a[i] = test_below(&rng, UINT64_C(1) << c.u);
                c.c[i] = test_below(&rng, UINT64_C(1) << c.u);
                c.pi[i] = test_below(&rng, 2);
            }
            run(&c, test_seed() + 16 * k + run_of);
        }
        const uint64_t cells[2] = {c.agreed, c.elsewhere - c.agreed};
        assert_true(test_chi_square(cells, 2, c.elsewhere) < test_chi_square_bound(2));
    }
}

/* Wrong widths are refused; any bytes as tables, at any width, give bits. Without OTs: no unit is looked at. */
static void test_refusals(void **state)
{
    (void)state;
    uint64_t pad[3] = {0}, b[3] = {9, 9, 9};
    const uint64_t c[3] = {511, 0, 300};
    uint8_t pads[96] = {0};
    for (unsigned u = 0; u < 12; u++) {
        const int want = u < 2 || u > 9 ? SOTTO_ERR_ARG : SOTTO_OK;
        assert_status(want, sotto_lookup_pads(pads, u, 1, 0, NULL, 0, NULL));
        assert_status(want, sotto_lookup_pad(pad, u, 1, 0, NULL, 0, NULL, NULL));
    }
    assert_status(SOTTO_ERR_ARG, sotto_lookup_pads(pads, 6, 2, 0, NULL, 0, NULL));
    assert_status(SOTTO_ERR_ARG, sotto_lookup_pad(pad, 6, 2, 0, NULL, 0, NULL, NULL));
    memset(pads, 0xff, sizeof pads);
    for (unsigned u = 2; u <= 9; u++) {
        memset(b, 9, sizeof b);
        sotto_lookup_open(b, u, 3, pads, pad, c);
        assert_true(b[0] <= 1 && b[1] <= 1 && b[2] <= 1);
    }
}

/* Every tier computes what the portable one does, for counts around its batches and vectors. */
static void test_tiers(void **state)
{
    (void)state;
    enum { MOST = 530 };
    static const size_t counts[] = {0, 1, 7, 8, 9, 31, 255, 256, 257, MOST};
    static uint64_t a[MOST], c[MOST], pi[MOST], flips[MOST], b[2][MOST];
    static uint8_t pads[32 * MOST], turned[2][32 * MOST], tables[2][32 * MOST];
    const sotto_rng rng = test_rng(test_seed(), 9);
    for (unsigned u = 2; u <= 9; u++) {
        for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
            const size_t n = counts[k], bytes = sotto_lookup_table_bytes(u, n);
            assert_ok(sotto_rng_fill(&rng, pads, sizeof pads));
            for (size_t i = 0; i < MOST; i++) {
                a[i] = test_below(&rng, UINT64_C(1) << u);
                c[i] = test_below(&rng, UINT64_C(1) << u);
                pi[i] = test_below(&rng, 2);
                flips[i] = test_below(&rng, UINT64_C(1) << (u - 1));
            }
            for (int tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_IFMA; tier++) {
                const int at = tier > 0;
                sotto_cpu_force_tier((sotto_tier)tier);
                memcpy(turned[at], pads, sizeof pads);
                sotto_lookup_turn(turned[at], u, n, flips);
                memset(tables[at], 0x5a, sizeof tables[at]);
                sotto_lookup_tables(tables[at], u, n, pads, a, pi);
                memset(b[at], 0x5a, sizeof b[at]);
                sotto_lookup_open(b[at], u, n, tables[at], pi, c);
                assert_memory_equal(turned[0], turned[at], sizeof turned[0]);
                assert_memory_equal(tables[0], tables[at], sizeof tables[0]);
                assert_memory_equal(b[0], b[at], sizeof b[0]);
            }
            /* by definition: pad x xor f comes to place x */
            for (size_t i = 0; i < n; i++) {
                for (size_t x = 0; x < (size_t)1 << (u - 1); x++) {
                    assert_int_equal(sotto_bit(pads, (i << (u - 1)) + (x ^ flips[i])), sotto_bit(turned[0], (i << (u - 1)) + x));
                }
            }
            assert_memory_equal(pads + bytes, turned[0] + bytes, sizeof pads - bytes);
        }
    }
}

static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(4, sotto_lookup_table_bytes(6, 1));
    assert_int_equal(16, sotto_lookup_table_bytes(8, 1));
    assert_int_equal(32 * 3, sotto_lookup_table_bytes(9, 3));
    assert_int_equal(1, sotto_lookup_table_bytes(2, 3));
    assert_int_equal(0, sotto_lookup_table_bytes(5, 0));
    assert_true(SIZE_MAX == sotto_lookup_table_bytes(9, SIZE_MAX / 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_pairs),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_tables_are_uniform),
        cmocka_unit_test(test_pads),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_tiers),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
