#include "lib/rng.h"

#include "tests/lib/deny.h"
#include "tests/support/support.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

static void system_bytes(void **state)
{
    const sotto_rng rng = sotto_rng_system();
    enum { LEN = 1 << 20 };
    uint64_t seen[256] = {0};
    uint8_t *bytes = malloc(LEN);

    (void)state;
    assert_non_null(bytes);
    assert_ok(sotto_rng_fill(&rng, bytes, LEN));
    for (size_t i = 0; i < LEN; i++)
        seen[bytes[i]]++;
    assert_true(test_chi_square(seen, 256, LEN) < test_chi_square_bound(256));
    free(bytes);
}

/* All of the bytes asked for and none beside them. 16 zero bytes come by chance once in 2^128. */
static void exact_lengths(void **state)
{
    const sotto_rng rng = sotto_rng_system();
    uint8_t a[640];
    const uint8_t zero[16] = {0};

    (void)state;
    for (size_t len = 0; len <= 600; len++) {
        memset(a, 0, sizeof a);
        assert_ok(sotto_rng_fill(&rng, a + 16, len));
        assert_memory_equal(zero, a, 16);
        assert_memory_equal(zero, a + 16 + len, 16);
        if (len >= 16)
            assert_memory_not_equal(zero, a + len, 16);
    }
}

static atomic_int stop_signals;

static void on_signal(int number)
{
    (void)number;
}

static void *send_signals(void *arg)
{
    while (!atomic_load(&stop_signals)) {
        (void)pthread_kill(*(pthread_t *)arg, SIGUSR1);
        (void)usleep(50);
    }
    return NULL;
}

/* A long request is cut short by signals; the pieces must add up. */
static void signals(void **state)
{
    const sotto_rng rng = sotto_rng_system();
    const uint8_t zero[16] = {0};
    const struct sigaction action = {.sa_handler = on_signal};
    enum { LEN = 1 << 24 };
    pthread_t self = pthread_self(), sender;
    uint8_t *bytes = calloc(1, LEN);

    (void)state;
    assert_non_null(bytes);
    assert_int_equal(0, sigaction(SIGUSR1, &action, NULL));
    atomic_store(&stop_signals, 0);
    assert_int_equal(0, pthread_create(&sender, NULL, send_signals, &self));
    assert_ok(sotto_rng_fill(&rng, bytes, LEN));
    atomic_store(&stop_signals, 1);
    assert_int_equal(0, pthread_join(sender, NULL));
    for (size_t i = 0; i < LEN; i += 4096)
        assert_memory_not_equal(zero, bytes + i, 16);
    free(bytes);
}

static int without_getrandom(void)
{
    const sotto_rng rng = sotto_rng_system();
    uint8_t a[64];

    memset(a, 0xa5, sizeof a);
    if (!deny_syscall(SYS_getrandom, ENOSYS))
        return CHILD_CANNOT_TEST;
    if (sotto_rng_fill(&rng, a, sizeof a) != SOTTO_ERR_RNG || !strstr(sotto_error_message(), "getrandom"))
        return 1;
    for (size_t i = 0; i < sizeof a; i++) {
        if (a[i] != 0)
            return 2;
    }
    return 0;
}

static void no_randomness_is_an_error(void **state)
{
    (void)state;
    const int result = run_in_child(without_getrandom);
    if (result == CHILD_CANNOT_TEST)
        skip();
    assert_int_equal(0, result);
}

static void errors_pass_through(void **state)
{
    (void)state;
    for (long k = 0; k < 4; k++) {
        test_faulty_rng f = {.inner = test_rng(test_seed(), 3), .k = k};
        const sotto_rng rng = test_faulty_rng_wrap(&f);
        uint64_t v;
        for (long call = 0; call < 6; call++) {
            v = 1;
            assert_status(call < k ? SOTTO_OK : SOTTO_ERR_RNG, sotto_rng_fill(&rng, &v, sizeof v));
            assert_int_equal(call >= k, v == 0);
        }
        assert_ok(sotto_rng_fill(&rng, NULL, 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(system_bytes),
        cmocka_unit_test(exact_lengths),
        cmocka_unit_test(signals),
        cmocka_unit_test(no_randomness_is_an_error),
        cmocka_unit_test(errors_pass_through),
    };
    return cmocka_run_group_tests_name("lib/rng", tests, NULL, NULL);
}
