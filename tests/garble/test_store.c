/* Tables through a file: what goes in comes out, once; its errors. */
#include "lib/mem.h"
#include "tests/garble/instances.h"

#include <stdio.h>
#include <unistd.h>

#include "garble/gadgets.h"

/* The evaluator keeps what the garbler sends and evaluates when it has its labels. */
static void test_kept_tables(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 1);
    sotto_circuit c;
    assert_ok(sotto_circuit_argmax(&c, 10, 20));
    for (int scheme = 0; scheme < SOTTO_GARBLE_SCHEMES; scheme++) {
        instances s;
        sotto_chan a, b, store;
        instances_new(&s, &c, (sotto_garble_scheme)scheme, 5, 130, &rng);
        test_chan_pair(&a, &b, 0);
        assert_ok(sotto_garble_store_new(&store, "/tmp"));
        assert_ok(sotto_garble_send(&s.job, s.offset, s.zero, &a, s.out_zero));
        sotto_chan_close(&a);
        assert_ok(sotto_garble_keep(&store, &b, s.bytes));
        sotto_chan_close(&b);
        assert_ok(sotto_garble_recv(&s.job, s.in, &store, s.out));
        instances_check(&s);
        assert_status(SOTTO_ERR_CLOSED, sotto_garble_recv(&s.job, s.in, &store, s.out));
        sotto_chan_close(&store);
        instances_free(&s);
    }
    sotto_circuit_free(&c);
}

/* In pieces of any size, read and written in turn. */
static void test_order(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 2);
    sotto_chan store;
    static uint8_t in[100000], out[sizeof in];
    size_t written = 0, taken = 0;
    assert_ok(sotto_rng_fill(&rng, in, sizeof in));
    assert_ok(sotto_garble_store_new(&store, "/tmp"));
    while (taken < sizeof in) {
        const size_t w = test_below(&rng, sizeof in / 10), r = test_below(&rng, sizeof in / 10);
        const size_t n = w < sizeof in - written ? w : sizeof in - written;
        assert_ok(sotto_chan_send(&store, in + written, n));
        written += n;
        if (r > written - taken) {
            uint8_t *past = malloc(r);
            assert_non_null(past);
            assert_status(SOTTO_ERR_CLOSED, sotto_chan_recv(&store, past, r));
            free(past);
            continue;
        }
        assert_ok(sotto_chan_recv(&store, out + taken, r));
        taken += r;
        if (written == sizeof in && taken < written) {
            assert_ok(sotto_chan_recv(&store, out + taken, written - taken));
            taken = written;
        }
    }
    assert_memory_equal(in, out, sizeof in);
    sotto_chan_close(&store);
}

static void test_refusals(void **state)
{
    (void)state;
    sotto_chan store, a, b;
    assert_status(SOTTO_ERR_IO, sotto_garble_store_new(&store, "/nonexistent/folder"));
    for (long k = 0; k < 2; k++) {
        sotto_calloc_fail_after(k);
        const int rc = sotto_garble_store_new(&store, "/tmp");
        sotto_calloc_fail_after(-1);
        assert_int_equal(rc, SOTTO_ERR_MEMORY);
    }
    assert_ok(sotto_garble_store_new(&store, "/tmp"));
    test_chan_pair(&a, &b, 0);
    sotto_calloc_fail_after(0);
    const int rc = sotto_garble_keep(&store, &b, 100);
    sotto_calloc_fail_after(-1);
    assert_int_equal(rc, SOTTO_ERR_MEMORY);
    assert_ok(sotto_chan_send(&a, "0123456789", 10));
    sotto_chan_close(&a);
    assert_status(SOTTO_ERR_CLOSED, sotto_garble_keep(&store, &b, 100));
    sotto_chan_close(&b);
    sotto_chan_close(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_tables),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("garble/store", tests, NULL, NULL);
}
