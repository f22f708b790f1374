/* The tests' own tools: what they promise is what the tests of all modules lean on. */
#include "tests/support/support.h"

#include <string.h>

#include "lib/prg.h"

static void seeded_rng(void **state)
{
    const sotto_rng a = test_rng(5, 1), b = test_rng(5, 1), c = test_rng(5, 2), d = test_rng(6, 1);

    (void)state;
    for (int i = 0; i < 100; i++) {
        const uint64_t v = test_u64(&a);
        assert_true(v == test_u64(&b));
        assert_true(v != test_u64(&c));
        assert_true(v != test_u64(&d));
    }
    uint64_t seen[10] = {0};
    for (int i = 0; i < 100000; i++) {
        const uint64_t v = test_below(&a, 10);
        assert_true(v < 10);
        seen[v]++;
    }
    assert_true(test_chi_square(seen, 10, 100000) < test_chi_square_bound(10));
}

/* Against upper quantiles of chi^2 computed with mpmath as the root of log Q(f/2, x/2) = log Q_normal(6).
 * Wilson-Hilferty lies above them, by less the more cells there are: 2.8, 0.09 and 0.002 percent here. */
static void chi_square(void **state)
{
    static const struct {
        size_t cells;
        double quantile;
    } known[] = {{16, 73.6625813921078}, {256, 414.613087632349}, {4096, 4661.53377253061}};

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const double ratio = test_chi_square_bound(known[i].cells) / known[i].quantile;
        assert_true(ratio >= 1 && ratio < 1.03);
    }
    const uint64_t even[4] = {25, 25, 25, 25}, skew[4] = {100, 0, 0, 0};
    assert_true(test_chi_square(even, 4, 100) == 0);
    assert_true(test_chi_square(skew, 4, 100) == 300);
}

static void pair(void **state)
{
    sotto_chan a, b;
    char got[8] = "";

    (void)state;
    test_chan_pair(&a, &b, 50);
    assert_ok(sotto_chan_send(&a, "hello ", 6));
    assert_ok(sotto_chan_send(&a, "w", 2));
    assert_ok(sotto_chan_send(&b, "back", 5));
    assert_ok(sotto_chan_recv(&b, got, 8));
    assert_string_equal("hello w", got);
    assert_ok(sotto_chan_recv(&a, got, 5));
    assert_string_equal("back", got);
    assert_status(SOTTO_ERR_TIMEOUT, sotto_chan_recv(&a, got, 1));
    /* What was sent before the close arrives; then the end. */
    assert_ok(sotto_chan_send(&a, "xyz", 3));
    sotto_chan_close(&a);
    assert_ok(sotto_chan_recv(&b, got, 3));
    assert_status(SOTTO_ERR_CLOSED, sotto_chan_recv(&b, got, 1));
    assert_status(SOTTO_ERR_CLOSED, sotto_chan_send(&b, "q", 1));
    sotto_chan_close(&b);
}

/* Party 0 sends five messages of eight bytes and receives one after each. */
static int five_pings(sotto_chan *c, void *ctx)
{
    int status = SOTTO_OK;

    (void)ctx;
    for (uint8_t i = 0; i < 5 && status == SOTTO_OK; i++) {
        uint8_t message[8] = {i, i, i, i, i, i, i, i};
        status = sotto_chan_send(c, message, 8);
        if (status == SOTTO_OK)
            status = sotto_chan_recv(c, message, 8);
    }
    return status;
}

/* Party 1 answers each message with itself and stores them; ctx: 40 bytes. */
static int five_echoes(sotto_chan *c, void *ctx)
{
    uint8_t *seen = ctx;
    int status = SOTTO_OK;

    for (size_t i = 0; i < 5 && status == SOTTO_OK; i++) {
        status = sotto_chan_recv(c, seen + 8 * i, 8);
        if (status == SOTTO_OK)
            status = sotto_chan_send(c, seen + 8 * i, 8);
    }
    return status;
}

static void run_with(test_fault_plan *plan, uint8_t seen[40], int status[2])
{
    sotto_chan a, b, faulty;

    memset(seen, 0xee, 40);
    /* Only a stall is meant to time out; elsewhere a loaded machine must not. */
    test_chan_pair(&a, &b, plan->kind == TEST_FAULT_STALL ? 50 : 0);
    test_chan_faulty(&faulty, &a, plan);
    assert_null(a.ops);
    test_two_party_on(&faulty, five_pings, NULL, &b, five_echoes, seen, status);
    assert_null(b.ops);
}

static long bits_off(const uint8_t seen[40], size_t first, size_t last)
{
    long n = 0;

    for (size_t i = first; i < last; i++)
        n += __builtin_popcount((unsigned)seen[i] ^ (unsigned)(i / 8));
    return n;
}

static void faults(void **state)
{
    uint8_t seen[40];
    int status[2];
    test_fault_plan dry = {.kind = TEST_FAULT_NONE};

    (void)state;
    run_with(&dry, seen, status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    assert_int_equal(10, dry.ops);
    assert_int_equal(0, bits_off(seen, 0, 40));
    for (long k = 0; k < dry.ops; k++) {
        const size_t reached = 8 * ((size_t)k / 2); /* operations 2 i and 2 i + 1 send and receive message i */
        test_fault_plan plan = {.kind = TEST_FAULT_CLOSE, .k = k};
        run_with(&plan, seen, status);
        assert_int_equal(SOTTO_ERR_CLOSED, status[0]);
        if (k < 9) /* after the last message nobody but the closing party notices */
            assert_int_equal(SOTTO_ERR_CLOSED, status[1]);

        plan = (test_fault_plan){.kind = TEST_FAULT_STALL, .k = k};
        run_with(&plan, seen, status);
        if (k < 9) {
            assert_true(status[0] == SOTTO_ERR_TIMEOUT || status[0] == SOTTO_ERR_CLOSED);
            assert_true(status[1] == SOTTO_ERR_TIMEOUT || status[1] == SOTTO_ERR_CLOSED);
        }

        plan = (test_fault_plan){.kind = TEST_FAULT_FLIP, .k = k, .seed = test_seed()};
        run_with(&plan, seen, status);
        assert_ok(status[0]);
        assert_int_equal(k % 2 == 0, bits_off(seen, 0, 40));
        if (k % 2 == 0)
            assert_int_equal(1, bits_off(seen, reached, reached + 8));

        plan = (test_fault_plan){.kind = TEST_FAULT_GARBAGE, .k = k, .seed = test_seed()};
        run_with(&plan, seen, status);
        assert_ok(status[0]);
        assert_int_equal(0, bits_off(seen, 0, 8 * (((size_t)k + 1) / 2)));
        for (size_t i = 8 * (((size_t)k + 1) / 2); i < 40; i += 8)
            assert_true(bits_off(seen, i, i + 8) > 5); /* 64 random bits: fewer is a chance of 2^-40 */
    }
}

static void transcript(void **state)
{
    /* BLAKE2b-256 of "abc": b2sum -l 256 (GNU coreutils). */
    static const char want[] = "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319";
    char hex[65];

    (void)state;
    for (size_t cut = 0; cut <= 3; cut++) {
        sotto_chan a, b, t;
        test_transcript record;
        char got[4] = "";
        test_chan_pair(&a, &b, 50);
        test_chan_transcript(&t, &a, &record);
        assert_ok(sotto_chan_send(&t, "abc", cut));
        assert_ok(sotto_chan_send(&b, "other way", 9));
        assert_ok(sotto_chan_send(&t, &"abc"[cut], 3 - cut));
        assert_ok(sotto_chan_recv(&b, got, 3));
        assert_string_equal("abc", got);
        sotto_chan_close(&t);
        sotto_chan_close(&b);
        test_transcript_hex(&record, hex);
        assert_string_equal(want, hex);
    }
}

static int fails(sotto_chan *c, void *ctx)
{
    (void)c;
    (void)ctx;
    return sotto_fail(SOTTO_ERR_PARAMS, "party said no");
}

static int waits(sotto_chan *c, void *ctx)
{
    uint8_t byte;

    (void)ctx;
    return sotto_chan_recv(c, &byte, 1);
}

static void a_failing_party_ends_the_other(void **state)
{
    int status[2];

    (void)state;
    test_two_party(fails, NULL, waits, NULL, status);
    assert_int_equal(SOTTO_ERR_PARAMS, status[0]);
    assert_int_equal(SOTTO_ERR_CLOSED, status[1]);
    assert_non_null(strstr(sotto_error_message(), "party said no"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeded_rng), cmocka_unit_test(chi_square), cmocka_unit_test(pair),
        cmocka_unit_test(faults),     cmocka_unit_test(transcript), cmocka_unit_test(a_failing_party_ends_the_other),
    };
    return cmocka_run_group_tests_name("tests/support", tests, NULL, NULL);
}
