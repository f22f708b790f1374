#include "nn/secure/frame.h"
#include "tests/support/support.h"

#include <string.h>

static void pair(sotto_chan c[2])
{
    test_chan_pair(&c[0], &c[1], 500);
}

static void close_both(sotto_chan c[2])
{
    sotto_chan_close(&c[0]);
    sotto_chan_close(&c[1]);
}

static void test_round_trip(void **state)
{
    (void)state;
    sotto_chan c[2];
    uint8_t body[100], got[100];
    memset(body, 0x5a, sizeof body);
    pair(c);
    assert_ok(sotto_frame_send(&c[0], SOTTO_FRAME_OFFER, 7, body, sizeof body));
    assert_ok(sotto_frame_send(&c[0], SOTTO_FRAME_BYE, 0, NULL, 0));
    assert_ok(sotto_chan_flush(&c[0]));
    assert_ok(sotto_frame_recv(&c[1], SOTTO_FRAME_OFFER, 7, got, sizeof got));
    assert_memory_equal(body, got, sizeof got);
    sotto_frame frame;
    assert_ok(sotto_frame_next(&c[1], &frame));
    assert_int_equal(SOTTO_FRAME_BYE, frame.type);
    assert_int_equal(0, frame.length);
    assert_int_equal(100 + 2 * SOTTO_FRAME_HEADER_BYTES, c[0].stats.bytes_out);
    close_both(c);
}

/* The wire, byte by byte. */
static void test_known_header(void **state)
{
    (void)state;
    static const uint8_t want[16] = {0x53, 0x6f, 2, SOTTO_FRAME_REQUEST, 4, 3, 2, 1, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
    sotto_chan c[2];
    uint8_t got[16];
    pair(c);
    assert_ok(sotto_frame_begin(&c[0], SOTTO_FRAME_REQUEST, 0x01020304, 0x1122334455667788));
    assert_ok(sotto_chan_flush(&c[0]));
    assert_ok(sotto_chan_recv(&c[1], got, sizeof got));
    assert_memory_equal(want, got, sizeof want);
    close_both(c);
}

static void test_unexpected(void **state)
{
    (void)state;
    static const struct {
        sotto_frame_type type;
        uint32_t tag;
        size_t length;
        const char *message;
    } cases[] = {
        {SOTTO_FRAME_REPLY, 1, 8, "'offer' where 'reply'"},
        {SOTTO_FRAME_OFFER, 2, 8, "tag 1 where 2"},
        {SOTTO_FRAME_OFFER, 1, 9, "8 bytes where 9"},
    };
    for (size_t i = 0; i < 3; i++) {
        sotto_chan c[2];
        uint8_t body[9] = {1, 2, 3, 4, 5, 6, 7, 8};
        pair(c);
        assert_ok(sotto_frame_send(&c[0], SOTTO_FRAME_OFFER, 1, body, 8));
        assert_ok(sotto_chan_flush(&c[0]));
        assert_status(SOTTO_ERR_PROTOCOL, sotto_frame_recv(&c[1], cases[i].type, cases[i].tag, body, cases[i].length));
        assert_non_null(strstr(sotto_error_message(), cases[i].message));
        assert_int_equal(0, body[0]);
        close_both(c);
    }
}

static void test_errors_travel(void **state)
{
    (void)state;
    /* what the peer is told, and what stays at home: why a decryption or a read failed is nobody's business */
    static const int cases[][2] = {
        {SOTTO_ERR_MISMATCH, SOTTO_ERR_MISMATCH}, {SOTTO_ERR_VERSION, SOTTO_ERR_VERSION}, {SOTTO_ERR_USED, SOTTO_ERR_USED},
        {SOTTO_ERR_LIMIT, SOTTO_ERR_LIMIT},       {SOTTO_ERR_TIMEOUT, SOTTO_ERR_PEER},    {SOTTO_ERR_FORMAT, SOTTO_ERR_PEER},
        {SOTTO_ERR_MEMORY, SOTTO_ERR_PEER},       {SOTTO_ERR_RNG, SOTTO_ERR_PEER},        {SOTTO_ERR_CHECKSUM, SOTTO_ERR_PEER},
        {SOTTO_ERR_PROTOCOL, SOTTO_ERR_PEER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sotto_chan c[2];
        pair(c);
        sotto_frame_send_error(&c[0], cases[i][0]);
        assert_status(cases[i][1], sotto_frame_expect(&c[1], SOTTO_FRAME_READY, 0, 8));
        close_both(c);
    }
}

static void test_malformed(void **state)
{
    (void)state;
    static const struct {
        uint8_t header[16];
        int status;
    } cases[] = {
        {{0x53, 0x6f, SOTTO_PROTOCOL_VERSION - 1, 2}, SOTTO_ERR_VERSION}, {{0x53, 0x70, SOTTO_PROTOCOL_VERSION, 2}, SOTTO_ERR_PROTOCOL},
        {{0x53, 0x6f, SOTTO_PROTOCOL_VERSION, 0}, SOTTO_ERR_PROTOCOL}, {{0x53, 0x6f, SOTTO_PROTOCOL_VERSION, SOTTO_FRAME_TYPES}, SOTTO_ERR_PROTOCOL},
        {{0x53, 0x6f, SOTTO_PROTOCOL_VERSION, SOTTO_FRAME_ERROR, 0, 0, 0, 0, 5}, SOTTO_ERR_PROTOCOL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sotto_chan c[2];
        sotto_frame frame;
        pair(c);
        assert_ok(sotto_chan_send(&c[0], cases[i].header, 16));
        assert_ok(sotto_chan_flush(&c[0]));
        assert_status(cases[i].status, sotto_frame_next(&c[1], &frame));
        assert_true(cases[i].status != SOTTO_ERR_VERSION || strstr(sotto_error_message(), "same release of sotto on both sides") != NULL);
        close_both(c);
    }
    sotto_chan c[2];
    sotto_frame frame;
    pair(c);
    assert_status(SOTTO_ERR_TIMEOUT, sotto_frame_next(&c[1], &frame));
    sotto_chan_close(&c[0]);
    assert_status(SOTTO_ERR_CLOSED, sotto_frame_next(&c[1], &frame));
    close_both(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_known_header), cmocka_unit_test(test_unexpected),
        cmocka_unit_test(test_errors_travel), cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
