#include "lib/mem.h"

#include "tests/support/support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static void aligned_and_zero(void **state)
{
    (void)state;
    for (size_t count = 0; count < 300; count++) {
        uint8_t *p = sotto_calloc(count, 3);
        assert_non_null(p);
        assert_int_equal(0, (uintptr_t)p % 64);
        for (size_t i = 0; i < 3 * count; i++)
            assert_int_equal(0, p[i]);
        /* So that the next array of this size would show it if it were not cleared. */
        memset(p, 0xa5, 3 * count);
        sotto_free(p);
    }
    sotto_free(NULL);
    sotto_free_secret(NULL, 5, 8);
    sotto_free_secret(sotto_calloc(5, 8), 5, 8);
    sotto_free_secret(sotto_calloc(0, 8), 0, 8);
}

static void overflow(void **state)
{
    static const size_t big[][2] = {
        {SIZE_MAX, 2}, {2, SIZE_MAX},  {SIZE_MAX / 2 + 1, 2}, {(size_t)1 << 32, (size_t)1 << 32},
        {SIZE_MAX, 1}, {1, SIZE_MAX - 62}, {SIZE_MAX / 8, 8}, {SIZE_MAX / 2, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof big / sizeof big[0]; i++)
        assert_null(sotto_calloc(big[i][0], big[i][1]));
}

static void wipe(void **state)
{
    uint8_t a[80];

    (void)state;
    for (size_t len = 0; len <= 64; len++) {
        memset(a, 0xff, sizeof a);
        sotto_wipe(a + 8, len);
        for (size_t i = 0; i < sizeof a; i++)
            assert_int_equal(i >= 8 && i < 8 + len ? 0 : 0xff, a[i]);
    }
    sotto_wipe(NULL, 0);
}

static void fails_once_at_the_call(void **state)
{
    (void)state;
    for (long n = 0; n < 20; n++) {
        sotto_calloc_fail_after(n);
        for (long call = 0; call < 40; call++) {
            void *p = sotto_calloc(1, 1);
            assert_int_equal(call == n, p == NULL);
            sotto_free(p);
        }
    }
    sotto_calloc_fail_after(3);
    sotto_calloc_fail_after(-1);
    for (int call = 0; call < 10; call++) {
        void *p = sotto_calloc(1, 1);
        assert_non_null(p);
        sotto_free(p);
    }
}

enum { THREADS = 4, CALLS = 5000 };

static atomic_int failures;

static void *allocate_much(void *arg)
{
    (void)arg;
    for (int i = 0; i < CALLS; i++) {
        void *p = sotto_calloc(1, 1);
        if (!p)
            atomic_fetch_add(&failures, 1);
        sotto_free(p);
    }
    return NULL;
}

static void fails_once_among_threads(void **state)
{
    pthread_t thread[THREADS];

    (void)state;
    for (int round = 0; round < 5; round++) {
        atomic_store(&failures, 0);
        sotto_calloc_fail_after(THREADS * CALLS / 2);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(0, pthread_create(&thread[i], NULL, allocate_much, NULL));
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(0, pthread_join(thread[i], NULL));
        assert_int_equal(1, atomic_load(&failures));
    }
    sotto_calloc_fail_after(-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligned_and_zero),       cmocka_unit_test(overflow),
        cmocka_unit_test(wipe),                   cmocka_unit_test(fails_once_at_the_call),
        cmocka_unit_test(fails_once_among_threads),
    };
    return cmocka_run_group_tests_name("lib/mem", tests, NULL, NULL);
}
