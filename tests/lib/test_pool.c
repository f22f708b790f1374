#include "lib/pool.h"

#include "tests/lib/deny.h"
#include "tests/support/support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "lib/mem.h"

enum { MAX_ITEMS = 2000, MAX_THREADS = 9 };

typedef struct tally {
    atomic_int done[MAX_ITEMS];
    atomic_int inside[MAX_THREADS]; /* calls under way with that thread number: never two */
    unsigned threads;
    atomic_int wrong;
} tally;

static int count_item(void *ctx, size_t i, unsigned thread)
{
    tally *t = ctx;

    if (thread >= t->threads) {
        atomic_fetch_add(&t->wrong, 1);
        return SOTTO_OK;
    }
    if (atomic_fetch_add(&t->inside[thread], 1) != 0)
        atomic_fetch_add(&t->wrong, 1);
    atomic_fetch_add(&t->done[i], 1);
    for (volatile int spin = 0; spin < 100; spin++) {
    }
    atomic_fetch_sub(&t->inside[thread], 1);
    return SOTTO_OK;
}

static void check_once_each(const tally *t, size_t count, int times)
{
    assert_int_equal(0, atomic_load(&t->wrong));
    for (size_t i = 0; i < MAX_ITEMS; i++)
        assert_int_equal(i < count ? times : 0, atomic_load(&t->done[i]));
}

static void every_item_once(void **state)
{
    static const size_t counts[] = {0, 1, 2, 3, 5, 64, MAX_ITEMS};

    (void)state;
    for (unsigned threads = 1; threads <= MAX_THREADS; threads++) {
        sotto_pool *pool = NULL;
        assert_ok(sotto_pool_new(&pool, threads));
        assert_int_equal(threads, sotto_pool_threads(pool));
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            for (int repeat = 0; repeat < 20; repeat++) {
                tally t = {.threads = threads};
                assert_ok(sotto_pool_run(pool, counts[c], count_item, &t));
                check_once_each(&t, counts[c], 1);
            }
        }
        sotto_pool_free(pool);
    }
    tally t = {.threads = 1};
    assert_ok(sotto_pool_run(NULL, MAX_ITEMS, count_item, &t));
    check_once_each(&t, MAX_ITEMS, 1);
    assert_int_equal(1, sotto_pool_threads(NULL));
    sotto_pool_free(NULL);
}

/* Items that wait for each other end only if that many threads really work at once. */
static int meet(void *ctx, size_t i, unsigned thread)
{
    (void)i;
    (void)thread;
    (void)pthread_barrier_wait(ctx);
    return SOTTO_OK;
}

static void works_in_parallel(void **state)
{
    sotto_pool *pool = NULL;
    pthread_barrier_t barrier;

    (void)state;
    assert_ok(sotto_pool_new(&pool, 5));
    assert_int_equal(0, pthread_barrier_init(&barrier, NULL, 5));
    for (int repeat = 0; repeat < 20; repeat++)
        assert_ok(sotto_pool_run(pool, 5, meet, &barrier));
    assert_int_equal(0, pthread_barrier_destroy(&barrier));
    sotto_pool_free(pool);
}

static int fail_at(void *ctx, size_t i, unsigned thread)
{
    const size_t at = *(const size_t *)ctx;

    (void)thread;
    if (i == at)
        return sotto_fail(SOTTO_ERR_PARAMS, "item %zu will not do", i);
    (void)sched_yield();
    return SOTTO_OK;
}

/* 2^40 items: the run would not end in a lifetime if it went on after the failure. */
static void first_failure(void **state)
{
    (void)state;
    for (unsigned threads = 0; threads <= MAX_THREADS; threads += 3) {
        sotto_pool *pool = NULL; /* 0: no pool */
        if (threads)
            assert_ok(sotto_pool_new(&pool, threads));
        for (size_t at = 0; at < 50; at += 7) {
            assert_int_equal(0, sotto_fail(0, "stale"));
            char want[64];
            (void)snprintf(want, sizeof want, "item %zu will not do", at);
            assert_status(SOTTO_ERR_PARAMS, sotto_pool_run(pool, (size_t)1 << 40, fail_at, &at));
            assert_string_equal(want, sotto_error_message());
            /* The pool is as good as new. */
            tally fine = {.threads = threads ? threads : 1};
            assert_ok(sotto_pool_run(pool, 100, count_item, &fine));
            check_once_each(&fine, 100, 1);
        }
        sotto_pool_free(pool);
    }
}

static int fail_always(void *ctx, size_t i, unsigned thread)
{
    (void)ctx;
    (void)thread;
    return sotto_fail(SOTTO_ERR_IO, "item %zu", i);
}

/* Many failures at once: one of them is reported, whole. */
static void one_of_many_failures(void **state)
{
    sotto_pool *pool = NULL;

    (void)state;
    assert_ok(sotto_pool_new(&pool, 8));
    for (int repeat = 0; repeat < 200; repeat++) {
        unsigned item = 99;
        char rest = 0;
        assert_status(SOTTO_ERR_IO, sotto_pool_run(pool, 1000, fail_always, NULL));
        assert_int_equal(1, sscanf(sotto_error_message(), "item %u%c", &item, &rest));
        assert_true(item < 8);
    }
    sotto_pool_free(pool);
}

typedef struct caller {
    sotto_pool *pool;
    tally *shared;
    int status;
} caller;

static void *call_often(void *arg)
{
    caller *c = arg;

    for (int i = 0; i < 50 && c->status == SOTTO_OK; i++)
        c->status = sotto_pool_run(c->pool, 60, count_item, c->shared);
    return NULL;
}

/* All callers use the same tally, so that two runs at once would show as a thread number in use twice. */
static void several_callers(void **state)
{
    enum { CALLERS = 4 };
    sotto_pool *pool = NULL;
    tally t = {.threads = 3};
    caller c[CALLERS];
    pthread_t thread[CALLERS];

    (void)state;
    assert_ok(sotto_pool_new(&pool, 3));
    for (int i = 0; i < CALLERS; i++) {
        c[i] = (caller){pool, &t, SOTTO_OK};
        assert_int_equal(0, pthread_create(&thread[i], NULL, call_often, &c[i]));
    }
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(0, pthread_join(thread[i], NULL));
        assert_ok(c[i].status);
    }
    check_once_each(&t, 60, 50 * CALLERS);
    sotto_pool_free(pool);
}

static void sizes_and_memory(void **state)
{
    sotto_pool *pool = NULL;

    (void)state;
    assert_ok(sotto_pool_new(&pool, 0));
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    assert_int_equal(online < 1024 ? online : 1024, sotto_pool_threads(pool));
    sotto_pool_free(pool);
    pool = NULL;
    assert_status(SOTTO_ERR_LIMIT, sotto_pool_new(&pool, 1025));
    assert_null(pool);
    for (long k = 0; k < 2; k++) {
        sotto_calloc_fail_after(k);
        assert_status(SOTTO_ERR_MEMORY, sotto_pool_new(&pool, 2));
        assert_null(pool);
    }
    sotto_calloc_fail_after(-1);
}

static int without_threads(void)
{
    sotto_pool *pool = NULL;

    if (!deny_syscall(SYS_clone, EAGAIN) || !deny_syscall(SYS_clone3, EAGAIN))
        return CHILD_CANNOT_TEST;
    if (sotto_pool_new(&pool, 4) != SOTTO_ERR_MEMORY || pool || !strstr(sotto_error_message(), "thread 2 of 4"))
        return 1;
    return sotto_pool_new(&pool, 1) == SOTTO_OK ? (sotto_pool_free(pool), 0) : 2;
}

static void no_more_threads(void **state)
{
    (void)state;
    const int result = run_in_child(without_threads);
    if (result == CHILD_CANNOT_TEST)
        skip();
    assert_int_equal(0, result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_once),      cmocka_unit_test(works_in_parallel), cmocka_unit_test(first_failure),
        cmocka_unit_test(one_of_many_failures), cmocka_unit_test(several_callers),   cmocka_unit_test(sizes_and_memory),
        cmocka_unit_test(no_more_threads),
    };
    return cmocka_run_group_tests_name("lib/pool", tests, NULL, NULL);
}
