#include <sodium.h>

#include "ot/base.h"
#include "tests/ot/fixture.h"

typedef struct base_ctx {
    int party;
    sotto_rng rng;
    sotto_block salt;
    sotto_base_seeds seeds;
    sotto_chan *outer; /* where bytes go, NULL: the channel given */
} base_ctx;

static int run(sotto_chan *chan, void *ctx)
{
    base_ctx *c = ctx;
    return sotto_base_ot(&c->seeds, chan, &c->rng, c->salt, c->party);
}

static void setup(base_ctx c[2], uint64_t seed)
{
    for (int i = 0; i < 2; i++) {
        c[i] = (base_ctx){.party = i, .rng = test_rng(seed, (uint64_t)i), .salt = fixture_salt};
        assert_ok(sotto_rng_fill(&c[i].rng, c[i].seeds.choices, sizeof c[i].seeds.choices));
    }
}

static int same(sotto_block a, sotto_block b)
{
    return a.w[0] == b.w[0] && a.w[1] == b.w[1];
}

static void test_both_directions(void **state)
{
    (void)state;
    base_ctx c[2];
    int status[2];
    setup(c, test_seed());
    test_two_party(run, &c[0], run, &c[1], status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    for (int sender = 0; sender < 2; sender++) {
        const sotto_base_seeds *s = &c[sender].seeds, *r = &c[1 - sender].seeds;
        for (size_t i = 0; i < SOTTO_BASE_OTS; i++) {
            const unsigned bit = sotto_bit(r->choices, i);
            assert_true(same(r->received[i], s->sent[i][bit]));
            assert_false(same(r->received[i], s->sent[i][1 - bit]));
            for (size_t k = 0; k < i; k++) { /* a key belongs to one place */
                assert_false(same(s->sent[i][0], s->sent[k][0]));
                assert_false(same(s->sent[i][0], s->sent[k][1]));
            }
        }
    }
    /* the two directions share nothing */
    assert_false(same(c[0].seeds.sent[0][0], c[1].seeds.sent[0][0]));
}

/* Another salt on one side: no key agrees. */
static void test_salt_binds(void **state)
{
    (void)state;
    base_ctx c[2];
    int status[2];
    setup(c, test_seed());
    c[1].salt.w[0] ^= 1;
    test_two_party(run, &c[0], run, &c[1], status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    for (size_t i = 0; i < SOTTO_BASE_OTS; i++) {
        assert_false(same(c[1].seeds.received[i], c[0].seeds.sent[i][0]));
        assert_false(same(c[1].seeds.received[i], c[0].seeds.sent[i][1]));
    }
}

/* Known answer: the transcript of seeded parties, made by this program; a change on the wire shows here. Version 2:
 * the second direction comes from an extension step. */
static void test_transcript_of_seeds(void **state)
{
    (void)state;
    static const char *const want[2] = {"63b76ae145faf1d3b13d9f43d3bf7db1246f91337d985f943569b50cf3256cac",
                                        "50ed702f417d3397b1b8f60355f89b5ccfa3334fcc5cbba518ca378d17d3004a"};
    base_ctx c[2];
    sotto_chan inner[2], outer[2];
    test_transcript t[2];
    char hex[65];
    int status[2];
    setup(c, 7);
    test_chan_pair(&inner[0], &inner[1], 0);
    test_chan_transcript(&outer[0], &inner[0], &t[0]);
    test_chan_transcript(&outer[1], &inner[1], &t[1]);
    test_two_party_on(&outer[0], run, &c[0], &outer[1], run, &c[1], status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    for (int i = 0; i < 2; i++) {
        test_transcript_hex(&t[i], hex);
        assert_string_equal(want[i], hex);
    }
}

/* A peer that sends `bytes` of what it likes instead of points. */
typedef struct forger {
    const uint8_t *point;
} forger;

static int forge(sotto_chan *chan, void *ctx)
{
    const forger *f = ctx;
    int status = SOTTO_OK;
    for (size_t i = 0; i <= SOTTO_BASE_OTS && status == SOTTO_OK; i++) {
        status = sotto_chan_send(chan, f->point, SOTTO_POINT_BYTES);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_flush(chan);
    }
    uint8_t byte;
    while (status == SOTTO_OK) { /* stays until the other side has gone, whose sends must not fail */
        status = sotto_chan_recv(chan, &byte, 1);
    }
    return SOTTO_OK;
}

static void test_bad_points(void **state)
{
    (void)state;
    uint8_t neutral[SOTTO_POINT_BYTES] = {0}, invalid[SOTTO_POINT_BYTES];
    memset(invalid, 0xff, sizeof invalid);
    const uint8_t *const points[2] = {neutral, invalid};
    for (int victim = 0; victim < 2; victim++) {
        for (size_t k = 0; k < 2; k++) {
            base_ctx c[2];
            forger f = {points[k]};
            int status[2];
            setup(c, test_seed());
            test_two_party(run, &c[victim], forge, &f, status);
            assert_int_equal(SOTTO_ERR_FORMAT, status[0]);
            const sotto_base_seeds zero = {0};
            assert_memory_equal(&zero, &c[victim].seeds, sizeof zero); /* wiped */
        }
    }
}

/* Party 0 draws one scalar, party 1 one for each OT. */
static void test_rng_failure(void **state)
{
    (void)state;
    static const struct {
        int victim;
        long k;
    } cases[] = {{0, 0}, {1, 0}, {1, 1}, {1, 7}, {1, 8}, {1, 127}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int victim = cases[i].victim;
        base_ctx c[2];
        int status[2];
        setup(c, test_seed());
        test_faulty_rng faulty = {.inner = c[victim].rng, .k = cases[i].k};
        c[victim].rng = test_faulty_rng_wrap(&faulty);
        test_two_party(run, &c[0], run, &c[1], status);
        assert_int_equal(SOTTO_ERR_RNG, status[victim]);
        assert_int_not_equal(SOTTO_OK, status[1 - victim]);
        const sotto_base_seeds zero = {0};
        assert_memory_equal(&zero, &c[victim].seeds, sizeof zero); /* wiped */
    }
}

/* A second party written from the formulas of base.h alone: party 1, with scalars of its own. */
typedef struct stranger {
    uint8_t choices[SOTTO_BASE_OTS / 8];
    sotto_block received[SOTTO_BASE_OTS], sent[SOTTO_BASE_OTS][2];
} stranger;

static void formula_keys(sotto_block keys[2], uint8_t index, const uint8_t *a, const uint8_t *b,
                         const uint8_t *shared)
{
    uint8_t text[16 + 16 + 1 + 3 * SOTTO_POINT_BYTES] = "sotto base ot 2", *at = text + 16;
    memcpy(at, &fixture_salt, 16);
    at[16] = index;
    memcpy(at + 17, a, SOTTO_POINT_BYTES);
    memcpy(at + 17 + 32, b, SOTTO_POINT_BYTES);
    memcpy(at + 17 + 64, shared, SOTTO_POINT_BYTES);
    (void)crypto_generichash((uint8_t *)keys, 2 * sizeof *keys, text, sizeof text, NULL, 0);
}

static int be_stranger(sotto_chan *chan, void *ctx)
{
    stranger *s = ctx;
    uint8_t a[32], b[SOTTO_BASE_OTS][32], p[32];
    sotto_block keys[2], column[SOTTO_BASE_OTS], matrix[SOTTO_BASE_OTS], offset;
    int bad = 0;
    int status = sotto_chan_recv(chan, a, sizeof a);
    for (unsigned i = 0; i < SOTTO_BASE_OTS && status == SOTTO_OK; i++) {
        const uint8_t r[32] = {(uint8_t)(i + 1), 7};
        sotto_aes_key aes;
        bad |= crypto_scalarmult_ristretto255_base(b[i], r);
        if (sotto_bit(s->choices, i)) {
            bad |= crypto_core_ristretto255_add(b[i], b[i], a);
        }
        bad |= crypto_scalarmult_ristretto255(p, r, a);
        formula_keys(keys, (uint8_t)i, a, b[i], p);
        s->received[i] = keys[0];
        sotto_aes_expand(&aes, keys[1]);
        column[i] = (sotto_block){{0, 0}};
        sotto_aes_encrypt(&aes, &column[i], &column[i], 1);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_send(chan, b, sizeof b);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_recv(chan, matrix, sizeof matrix);
    }
    memcpy(&offset, s->choices, sizeof offset);
    const sotto_hash hash = {fixture_salt, SOTTO_DOMAIN_BASE, 1};
    for (unsigned i = 0; i < SOTTO_BASE_OTS && status == SOTTO_OK; i++) {
        sotto_block row = {{0, 0}};
        for (unsigned j = 0; j < SOTTO_BASE_OTS; j++) {
            const sotto_block c = sotto_bit(s->choices, j) ? sotto_block_xor(column[j], matrix[j]) : column[j];
            row.w[j / 64] |= (c.w[i / 64] >> (i % 64) & 1) << (j % 64);
        }
        s->sent[i][0] = row;
        s->sent[i][1] = sotto_block_xor(row, offset);
        sotto_hash_blocks(&hash, 0, 0, i, s->sent[i], s->sent[i], 1, 2);
    }
    return bad ? SOTTO_ERR_FORMAT : status;
}

static void test_against_formulas(void **state)
{
    (void)state;
    base_ctx c[2];
    stranger s;
    int status[2];
    setup(c, test_seed());
    memcpy(s.choices, c[1].seeds.choices, sizeof s.choices);
    test_two_party(run, &c[0], be_stranger, &s, status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    for (size_t i = 0; i < SOTTO_BASE_OTS; i++) {
        assert_true(same(s.received[i], c[0].seeds.sent[i][sotto_bit(s.choices, i)]));
        assert_true(same(c[0].seeds.received[i], s.sent[i][sotto_bit(c[0].seeds.choices, i)]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_directions),     cmocka_unit_test(test_salt_binds),
        cmocka_unit_test(test_transcript_of_seeds), cmocka_unit_test(test_against_formulas),
        cmocka_unit_test(test_bad_points),          cmocka_unit_test(test_rng_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
