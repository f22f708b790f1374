#include "lib/bytes.h"

#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

#include "lib/cpu.h"
#include "lib/ct.h"

enum { MAX_COUNT = 200, MAX_BYTES = MAX_COUNT * 8 };

static void fields(void **state)
{
    static const uint8_t want[] = {0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04, 0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09,
                                   0x08, 'x',  'y'};
    uint8_t data[sizeof want + 4], two[2] = {0};
    sotto_writer w;
    sotto_reader r;

    (void)state;
    memset(data, 0xa5, sizeof data);
    sotto_writer_init(&w, data, sizeof want);
    sotto_write_u8(&w, 0x01);
    sotto_write_u16(&w, 0x0203);
    sotto_write_u32(&w, 0x04050607);
    sotto_write_u64(&w, 0x08090a0b0c0d0e0f);
    sotto_write_bytes(&w, "xy", 2);
    sotto_write_bytes(&w, NULL, 0);
    assert_ok(w.status);
    assert_int_equal(sizeof want, w.pos);
    assert_memory_equal(want, data, sizeof want);
    assert_int_equal(0xa5, data[sizeof want]);

    sotto_reader_init(&r, want, sizeof want);
    assert_int_equal(sizeof want, sotto_reader_left(&r));
    assert_int_equal(0x01, sotto_read_u8(&r));
    assert_int_equal(0x0203, sotto_read_u16(&r));
    assert_int_equal(0x04050607, sotto_read_u32(&r));
    assert_true(sotto_read_u64(&r) == 0x08090a0b0c0d0e0f);
    assert_int_equal(2, sotto_reader_left(&r));
    assert_status(SOTTO_ERR_FORMAT, sotto_reader_finish(&r, "header"));
    assert_non_null(strstr(sotto_error_message(), "header"));
    assert_non_null(strstr(sotto_error_message(), "2 bytes too many"));
    sotto_read_bytes(&r, two, 2);
    assert_memory_equal("xy", two, 2);
    sotto_read_bytes(&r, NULL, 0);
    assert_ok(sotto_reader_finish(&r, "header"));
}

static void spans(void **state)
{
    static const uint8_t data[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    sotto_reader r;

    (void)state;
    sotto_reader_init(&r, data, 8);
    assert_ptr_equal(data, sotto_read_span(&r, 3));
    assert_ptr_equal(data + 3, sotto_read_span(&r, 5));
    assert_non_null(sotto_read_span(&r, 0));
    assert_ok(sotto_reader_finish(&r, "spans"));
    assert_null(sotto_read_span(&r, 1));
    assert_status(SOTTO_ERR_FORMAT, sotto_reader_finish(&r, "spans"));

    sotto_reader_init(&r, data, 8);
    assert_null(sotto_read_span(&r, SIZE_MAX));
    assert_int_equal(SOTTO_ERR_FORMAT, r.status);

    sotto_reader_init(&r, NULL, 0);
    assert_non_null(sotto_read_span(&r, 0));
    assert_ok(sotto_reader_finish(&r, "nothing"));
}

/* After the first failure nothing is read or written any more, not even what would fit. */
static void sticky(void **state)
{
    static const uint8_t data[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    uint8_t out[12], copy[4] = {7, 7, 7, 7};
    uint64_t words[2] = {7, 7};
    sotto_reader r;
    sotto_writer w;

    (void)state;
    sotto_reader_init(&r, data, 3);
    assert_int_equal(0, sotto_read_u32(&r));
    assert_int_equal(SOTTO_ERR_FORMAT, r.status);
    assert_int_equal(0, sotto_reader_left(&r));
    assert_int_equal(0, sotto_read_u8(&r));
    assert_int_equal(0, sotto_read_u16(&r));
    assert_true(sotto_read_u64(&r) == 0);
    assert_null(sotto_read_span(&r, 0));
    sotto_read_bytes(&r, copy, 1);
    assert_int_equal(0, copy[0]);
    assert_int_equal(7, copy[1]);
    sotto_read_packed(&r, words, 1, 8);
    assert_true(words[0] == 0 && words[1] == 7);
    assert_status(SOTTO_ERR_FORMAT, sotto_reader_finish(&r, "three"));
    assert_non_null(strstr(sotto_error_message(), "three: truncated: 4 bytes expected at offset 0, 3 are left"));

    memset(out, 0xa5, sizeof out);
    sotto_writer_init(&w, out, 9);
    sotto_write_u16(&w, 0x0201);
    sotto_write_u64(&w, UINT64_MAX);
    assert_int_equal(SOTTO_ERR_LIMIT, w.status);
    sotto_write_u8(&w, 1);
    sotto_write_u32(&w, 1);
    sotto_write_bytes(&w, data, 1);
    sotto_write_packed(&w, words, 1, 1);
    assert_int_equal(2, w.pos);
    for (size_t i = 2; i < sizeof out; i++)
        assert_int_equal(0xa5, out[i]);

    sotto_writer_init(&w, NULL, 0);
    sotto_write_packed(&w, NULL, 0, 5);
    assert_int_equal(SOTTO_OK, w.status);
    sotto_write_u8(&w, 1);
    assert_int_equal(SOTTO_ERR_LIMIT, w.status);
}

static void packed_sizes(void **state)
{
    (void)state;
    for (unsigned width = 1; width <= 64; width++) {
        for (size_t count = 0; count <= 1000; count++)
            assert_int_equal((count * width + 7) / 8, sotto_packed_bytes(count, width));
        /* The largest count whose bytes can be counted, and the next. */
        const sotto_u128 most = (sotto_u128)SIZE_MAX * 8 / width;
        if (most >= SIZE_MAX) {
            assert_true(sotto_packed_bytes(SIZE_MAX, width) == (size_t)(((sotto_u128)SIZE_MAX * width + 7) / 8));
            continue;
        }
        assert_true(sotto_packed_bytes((size_t)most, width) == (size_t)((most * width + 7) / 8));
        assert_true(sotto_packed_bytes((size_t)most + 1, width) == SIZE_MAX);
    }
    assert_true(sotto_packed_bytes(1, 0) == SIZE_MAX);
    assert_true(sotto_packed_bytes(1, 65) == SIZE_MAX);
    assert_true(sotto_packed_bytes(0, UINT32_MAX) == SIZE_MAX);
}

/* Bit by bit, as the header says. */
static void pack_slowly(uint8_t *out, const uint64_t *in, size_t count, unsigned width)
{
    for (size_t i = 0; i < count * width; i++)
        out[i / 8] = (uint8_t)(out[i / 8] | (in[i / width] >> i % width & 1) << i % 8);
}

static void round_trip(void)
{
    const sotto_rng rng = test_rng(test_seed(), 1);
    uint64_t in[MAX_COUNT], out[MAX_COUNT + 1];
    uint8_t data[MAX_BYTES + 1], want[MAX_BYTES + 1];
    sotto_writer w;
    sotto_reader r;

    for (unsigned width = 1; width <= 64; width++) {
        for (size_t count = 0; count <= MAX_COUNT; count++) {
            const size_t bytes = sotto_packed_bytes(count, width);
            assert_ok(sotto_rng_fill(&rng, in, sizeof in)); /* bits above the width included */
            memset(want, 0, sizeof want);
            pack_slowly(want, in, count, width);
            want[bytes] = 0xa5;
            memset(data, 0xa5, sizeof data);
            sotto_writer_init(&w, data, bytes);
            sotto_write_packed(&w, in, count, width);
            assert_int_equal(SOTTO_OK, w.status);
            assert_int_equal(bytes, w.pos);
            assert_memory_equal(want, data, bytes + 1);

            out[count] = 0x5a5a;
            sotto_reader_init(&r, data, bytes);
            sotto_read_packed(&r, out, count, width);
            assert_ok(sotto_reader_finish(&r, "packed"));
            for (size_t i = 0; i < count; i++)
                assert_true(out[i] == sotto_low_bits(in[i], width));
            assert_true(out[count] == 0x5a5a);

            /* Without the checks, into arrays that end where the words do, and whatever the padding holds. */
            uint8_t *exact = malloc(bytes + 1);
            assert_non_null(exact);
            sotto_pack(exact, in, count, width);
            assert_memory_equal(want, exact, bytes);
            if (count * width % 8 != 0)
                exact[bytes - 1] = (uint8_t)(exact[bytes - 1] | 0xff << count * width % 8);
            memset(out, 0, sizeof out);
            sotto_unpack(out, exact, count, width);
            for (size_t i = 0; i < count; i++)
                assert_true(out[i] == sotto_low_bits(in[i], width));
            free(exact);
        }
    }
}

static void packed_round_trip(void **state)
{
    (void)state;
    for (int tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_IFMA; tier++) {
        sotto_cpu_force_tier((sotto_tier)tier);
        round_trip();
    }
}

static void assert_refused(const uint8_t *data, size_t len, size_t count, unsigned width)
{
    uint64_t out[MAX_COUNT + 1];
    sotto_reader r;

    memset(out, 0xff, sizeof out);
    sotto_reader_init(&r, data, len);
    sotto_read_packed(&r, out, count, width);
    assert_int_equal(SOTTO_ERR_FORMAT, r.status);
    for (size_t i = 0; i < count; i++)
        assert_true(out[i] == 0);
    assert_true(out[count] == UINT64_MAX);
}

static void packed_padding(void **state)
{
    uint8_t data[MAX_BYTES] = {0};

    (void)state;
    for (unsigned width = 1; width <= 64; width++) {
        for (size_t count = 1; count <= MAX_COUNT; count++) {
            for (size_t bit = count * width; bit % 8 != 0; bit++) {
                data[bit / 8] = (uint8_t)(1u << bit % 8);
                assert_refused(data, sotto_packed_bytes(count, width), count, width);
                data[bit / 8] = 0;
            }
        }
    }
}

static void packed_truncation(void **state)
{
    const uint8_t data[MAX_BYTES] = {0};

    (void)state;
    for (unsigned width = 1; width <= 64; width++) {
        for (size_t count = 1; count <= MAX_COUNT; count++) {
            const size_t bytes = sotto_packed_bytes(count, width);
            assert_refused(data, bytes - 1, count, width);
            for (size_t len = 0; count <= 12 && len < bytes; len++)
                assert_refused(data, len, count, width);
        }
    }
    /* Widths that no caller should ask for are refused like missing bytes. */
    assert_refused(data, sizeof data, 1, 0);
    assert_refused(data, sizeof data, 1, 65);
}

static void packed_writer_full(void **state)
{
    uint64_t in[MAX_COUNT];
    uint8_t data[MAX_BYTES];
    sotto_writer w;

    (void)state;
    memset(in, 0, sizeof in);
    for (unsigned width = 1; width <= 64; width++) {
        for (size_t count = 1; count <= MAX_COUNT; count += 7) {
            memset(data, 0xa5, sizeof data);
            sotto_writer_init(&w, data, sotto_packed_bytes(count, width) - 1);
            sotto_write_packed(&w, in, count, width);
            assert_int_equal(SOTTO_ERR_LIMIT, w.status);
            assert_int_equal(0, w.pos);
            for (size_t i = 0; i < sizeof data; i++)
                assert_int_equal(0xa5, data[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),           cmocka_unit_test(spans),          cmocka_unit_test(sticky),
        cmocka_unit_test(packed_sizes),     cmocka_unit_test(packed_round_trip), cmocka_unit_test(packed_padding),
        cmocka_unit_test(packed_truncation), cmocka_unit_test(packed_writer_full),
    };
    return cmocka_run_group_tests_name("lib/bytes", tests, NULL, NULL);
}
