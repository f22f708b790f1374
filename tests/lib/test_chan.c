#include "lib/chan.h"

#include "tests/support/support.h"

#include <string.h>

/* A channel that writes down the order of calls ('s', 'r', 'f', 'c') and fails at one of them. */
typedef struct script {
    char log[32];
    size_t calls;
    long fail_at; /* -1: never */
    uint8_t next; /* recv gives next, next + 1, ... */
} script;

static int note(script *s, char what)
{
    const size_t call = s->calls++;

    assert_true(call + 1 < sizeof s->log);
    s->log[call] = what;
    return (long)call == s->fail_at ? sotto_fail(SOTTO_ERR_TIMEOUT, "as the script says") : SOTTO_OK;
}

static int script_send(void *ctx, const void *data, size_t len)
{
    (void)data;
    (void)len;
    return note(ctx, 's');
}

static int script_recv(void *ctx, void *data, size_t len)
{
    script *s = ctx;

    for (size_t i = 0; i < len; i++)
        ((uint8_t *)data)[i] = s->next++;
    return note(s, 'r');
}

static int script_flush(void *ctx)
{
    return note(ctx, 'f');
}

static void script_close(void *ctx)
{
    (void)note(ctx, 'c');
}

static sotto_chan script_chan(script *s)
{
    static const sotto_chan_ops ops = {script_send, script_recv, script_flush, script_close};

    return (sotto_chan){.ops = &ops, .ctx = s};
}

static void receives_flush_first(void **state)
{
    script s = {.fail_at = -1, .next = 1};
    sotto_chan c = script_chan(&s);
    uint8_t got[3] = {0};
    const uint8_t want[3] = {1, 2, 3};

    (void)state;
    assert_ok(sotto_chan_send(&c, "ab", 2));
    assert_ok(sotto_chan_recv(&c, got, 3));
    assert_memory_equal(want, got, 3);
    assert_ok(sotto_chan_send(&c, "c", 1));
    assert_ok(sotto_chan_flush(&c));
    sotto_chan_close(&c);
    assert_string_equal("sfrsfc", s.log);
}

static void counts(void **state)
{
    script s = {.fail_at = -1};
    sotto_chan c = script_chan(&s);
    uint8_t buffer[100] = {0};

    (void)state;
    assert_ok(sotto_chan_recv(&c, buffer, 7)); /* nothing sent before it: no round */
    assert_true(c.stats.rounds == 0 && c.stats.bytes_in == 7 && c.stats.bytes_out == 0);
    assert_ok(sotto_chan_send(&c, buffer, 10));
    assert_ok(sotto_chan_send(&c, buffer, 20));
    assert_true(c.stats.rounds == 0);
    assert_ok(sotto_chan_recv(&c, buffer, 1));
    assert_ok(sotto_chan_recv(&c, buffer, 2));
    assert_true(c.stats.rounds == 1);
    assert_ok(sotto_chan_send(&c, buffer, 100));
    assert_ok(sotto_chan_flush(&c));
    assert_ok(sotto_chan_recv(&c, buffer, 0)); /* no byte moves: the direction stays */
    assert_true(c.stats.rounds == 1);
    assert_ok(sotto_chan_recv(&c, buffer, 3));
    assert_ok(sotto_chan_send(&c, NULL, 0));
    assert_ok(sotto_chan_recv(&c, buffer, 3));
    assert_true(c.stats.rounds == 2 && c.stats.bytes_out == 130 && c.stats.bytes_in == 16);
    sotto_chan_close(&c);
}

static void failures(void **state)
{
    (void)state;
    for (long k = 0; k < 6; k++) {
        script s = {.fail_at = k, .next = 1};
        sotto_chan c = script_chan(&s);
        uint8_t got[4];
        const uint8_t zero[4] = {0};
        /* Calls 0 and 1: sends; 2: flush; 3: receive; 4: flush; 5: close, which cannot fail. */
        assert_status(k == 0 ? SOTTO_ERR_TIMEOUT : SOTTO_OK, sotto_chan_send(&c, "abcd", 4));
        assert_status(k == 1 ? SOTTO_ERR_TIMEOUT : SOTTO_OK, sotto_chan_send(&c, "abc", 3));
        assert_true(c.stats.bytes_out == (k == 0 ? 3 : k == 1 ? 4 : 7));
        memset(got, 9, sizeof got);
        if (k == 2) {
            assert_status(SOTTO_ERR_TIMEOUT, sotto_chan_recv(&c, got, 4));
            assert_memory_equal(zero, got, 4);
            assert_true(c.stats.bytes_in == 0 && c.stats.rounds == 0);
            assert_string_equal("ssf", s.log); /* nothing is received after a failed flush */
        } else {
            assert_status(k == 3 ? SOTTO_ERR_TIMEOUT : SOTTO_OK, sotto_chan_recv(&c, got, 4));
            assert_int_equal(k == 3, memcmp(zero, got, 4) == 0);
            assert_true(c.stats.bytes_in == (k == 3 ? 0 : 4) && c.stats.rounds == (k != 3));
            assert_status(k == 4 ? SOTTO_ERR_TIMEOUT : SOTTO_OK, sotto_chan_flush(&c));
        }
        sotto_chan_close(&c);
        assert_null(c.ops);
    }
}

static void closed(void **state)
{
    script s = {.fail_at = -1};
    sotto_chan c = script_chan(&s), zero = {.ops = NULL};
    uint8_t got[4] = {1, 1, 1, 1};
    const uint8_t none[4] = {0};

    (void)state;
    sotto_chan_close(&c);
    sotto_chan_close(&c);
    assert_string_equal("c", s.log);
    assert_memory_equal(&zero, &c, sizeof c);
    assert_status(SOTTO_ERR_CLOSED, sotto_chan_send(&c, "a", 1));
    assert_status(SOTTO_ERR_CLOSED, sotto_chan_send(&c, "a", 0));
    assert_status(SOTTO_ERR_CLOSED, sotto_chan_flush(&c));
    assert_status(SOTTO_ERR_CLOSED, sotto_chan_recv(&c, got, 4));
    assert_memory_equal(none, got, 4);
    assert_status(SOTTO_ERR_CLOSED, sotto_chan_recv(&c, NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(receives_flush_first),
        cmocka_unit_test(counts),
        cmocka_unit_test(failures),
        cmocka_unit_test(closed),
    };
    return cmocka_run_group_tests_name("lib/chan", tests, NULL, NULL);
}
