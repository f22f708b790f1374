/* Sign lookups over real OTs: all pairs of inputs for small u, random ones to 9. */
#include "ot/lookup.h"
#include "tests/ot/fixture.h"

#define COUNT_MAX 4096

typedef struct lookup_ctx {
    unsigned u;
    size_t count;
    uint64_t a[COUNT_MAX], c[COUNT_MAX], pi[COUNT_MAX], b[COUNT_MAX];
    uint8_t choices[COUNT_MAX + 8];
    uint8_t tables[COUNT_MAX * 32];
} lookup_ctx;

static int act(ot_party *p, sotto_ot *ot, sotto_chan *chan)
{
    lookup_ctx *c = p->data;
    const size_t bits = c->u - 1, ots = c->count * bits, flip_bytes = (ots + 7) / 8, bytes = sotto_lookup_table_bytes(c->u, c->count);
    sotto_block *block = sotto_calloc(ots, sizeof *block);
    uint8_t *flips = sotto_calloc(flip_bytes, 1), *tables = sotto_calloc(bytes, 1);
    uint64_t first;
    assert_true(block != NULL && flips != NULL && tables != NULL);
    int status;
    if (p->party == 0) { /* client */
        status = sotto_ot_recv(ot, chan, c->choices, ots, block, &first);
        for (size_t o = 0; o < ots; o++) {
            sotto_bit_or(flips, o, sotto_bit(c->choices, o) ^ (unsigned)((c->c[o / bits] >> (o % bits)) & 1));
        }
        uint64_t *pad = sotto_calloc(c->count, sizeof *pad);
        assert_non_null(pad);
        if (status == SOTTO_OK) {
            status = sotto_chan_send(chan, flips, flip_bytes);
        }
        if (status == SOTTO_OK) {
            status = sotto_lookup_pad(pad, c->u, c->count, ot, first, block, c->c);
        }
        if (status == SOTTO_OK) {
            status = sotto_chan_recv(chan, tables, bytes);
        }
        if (status == SOTTO_OK) {
            memcpy(c->tables, tables, bytes);
            sotto_lookup_open(c->b, c->u, c->count, tables, pad, c->c);
        }
        sotto_free(pad);
    } else {
        status = sotto_ot_send(ot, chan, ots, block, &first);
        if (status == SOTTO_OK) {
            status = sotto_chan_recv(chan, flips, flip_bytes);
        }
        if (status == SOTTO_OK) {
            status = sotto_lookup_pads(tables, c->u, c->count, ot, first, block, flips);
        }
        if (status == SOTTO_OK) {
            sotto_lookup_tables(tables, c->u, c->count, tables, c->a, c->pi);
            status = sotto_chan_send(chan, tables, bytes);
        }
    }
    sotto_free(block);
    sotto_free(flips);
    sotto_free(tables);
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

static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(4, sotto_lookup_table_bytes(6, 1));
    assert_int_equal(16, sotto_lookup_table_bytes(8, 1));
    assert_int_equal(32 * 3, sotto_lookup_table_bytes(9, 3));
    assert_int_equal(1, sotto_lookup_table_bytes(2, 3));
    assert_int_equal(0, sotto_lookup_table_bytes(5, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_pairs),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_tables_are_uniform),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
