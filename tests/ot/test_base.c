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

/* Known answer: the transcript of seeded parties, made by this program; a change on the wire shows here. */
static void test_transcript_of_seeds(void **state)
{
    (void)state;
    static const char *const want[2] = {"84b5acd91e5bc3f52d7887844f34c3e99f1f790ba1eeafbf98f4584049fabefd", "e17521c819c41c3350855cf50114b5e79e9e68ddbc1f4c648aed7daf926963a4"};
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

static void test_rng_failure(void **state)
{
    (void)state;
    for (long k = 0; k < 6; k++) {
        base_ctx c[2];
        int status[2];
        setup(c, test_seed());
        test_faulty_rng faulty = {.inner = c[0].rng, .k = k};
        c[0].rng = test_faulty_rng_wrap(&faulty);
        test_two_party(run, &c[0], run, &c[1], status);
        assert_int_equal(SOTTO_ERR_RNG, status[0]);
        assert_int_not_equal(SOTTO_OK, status[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_directions), cmocka_unit_test(test_salt_binds), cmocka_unit_test(test_transcript_of_seeds),
        cmocka_unit_test(test_bad_points),      cmocka_unit_test(test_rng_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
