#include "lib/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "lib/mem.h"

#define MAX_THREADS 1024u

/* One call of sotto_pool_run; lives on its caller's stack. */
typedef struct job {
    int (*fn)(void *ctx, size_t i, unsigned thread);
    void *ctx;
    size_t count;
    atomic_size_t next; /* first item not yet taken; may run past count by one for each thread */
    int status;         /* of the first failure; this and the message are guarded by the pool's lock */
    char message[512];
} job;

typedef struct worker {
    sotto_pool *pool;
    pthread_t handle;
    unsigned index; /* 1 to threads - 1; 0 is the caller */
} worker;

struct sotto_pool {
    unsigned threads;
    worker *workers;
    unsigned started;      /* workers that exist: fewer than threads - 1 only when sotto_pool_new fails */
    pthread_mutex_t serve; /* held for a whole run: callers take turns */
    pthread_mutex_t lock;  /* guards what follows */
    pthread_cond_t wake, done;
    job *job;
    uint64_t generation; /* number of jobs posted */
    unsigned busy;       /* workers that have not finished the job */
    int stop;
};

static void record_failure(pthread_mutex_t *lock, job *j, int status)
{
    const char *message = sotto_error_message();

    (void)pthread_mutex_lock(lock);
    if (j->status == SOTTO_OK) {
        j->status = status;
        memcpy(j->message, message, strlen(message) + 1);
    }
    (void)pthread_mutex_unlock(lock);
}

static void work(sotto_pool *pool, job *j, unsigned thread)
{
    size_t i;

    while ((i = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed)) < j->count) {
        const int status = j->fn(j->ctx, i, thread);
        if (status != SOTTO_OK) {
            record_failure(&pool->lock, j, status);
            atomic_store_explicit(&j->next, j->count, memory_order_relaxed);
        }
    }
}

static void *worker_main(void *arg)
{
    const worker *w = arg;
    sotto_pool *pool = w->pool;
    uint64_t seen = 0;

    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->stop && pool->generation == seen)
            (void)pthread_cond_wait(&pool->wake, &pool->lock);
        if (pool->stop)
            break;
        seen = pool->generation;
        job *j = pool->job;
        (void)pthread_mutex_unlock(&pool->lock);
        work(pool, j, w->index);
        (void)pthread_mutex_lock(&pool->lock);
        if (--pool->busy == 0)
            (void)pthread_cond_signal(&pool->done);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Signals are left to the program's own threads, whose calls they are meant to interrupt. */
static int start_workers(sotto_pool *pool)
{
    sigset_t all, old;
    int code = 0;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    while (code == 0 && pool->started < pool->threads - 1) {
        worker *w = &pool->workers[pool->started];
        *w = (worker){.pool = pool, .index = pool->started + 1};
        code = pthread_create(&w->handle, NULL, worker_main, w);
        pool->started += code == 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (code != 0)
        return sotto_fail(SOTTO_ERR_MEMORY, "cannot start thread %u of %u: %s; use fewer threads", pool->started + 2,
                          pool->threads, strerror(code));
    return SOTTO_OK;
}

int sotto_pool_new(sotto_pool **out, unsigned threads)
{
    if (threads == 0) {
        const long online = sysconf(_SC_NPROCESSORS_ONLN);
        threads = online < 1 ? 1 : online > (long)MAX_THREADS ? MAX_THREADS : (unsigned)online;
    }
    if (threads > MAX_THREADS)
        return sotto_fail(SOTTO_ERR_LIMIT, "%u threads asked for; at most %u are allowed", threads, MAX_THREADS);

    sotto_pool *pool = sotto_calloc(1, sizeof *pool);
    worker *workers = sotto_calloc(threads, sizeof *workers);
    if (!pool || !workers) {
        sotto_free(pool);
        sotto_free(workers);
        return sotto_fail(SOTTO_ERR_MEMORY, "out of memory for a pool of %u threads", threads);
    }
    pool->threads = threads;
    pool->workers = workers;
    (void)pthread_mutex_init(&pool->serve, NULL);
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->wake, NULL);
    (void)pthread_cond_init(&pool->done, NULL);
    const int status = start_workers(pool);
    if (status != SOTTO_OK) {
        sotto_pool_free(pool);
        return status;
    }
    *out = pool;
    return SOTTO_OK;
}

void sotto_pool_free(sotto_pool *pool)
{
    if (!pool)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    pool->stop = 1;
    (void)pthread_cond_broadcast(&pool->wake);
    (void)pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->started; i++)
        (void)pthread_join(pool->workers[i].handle, NULL);
    (void)pthread_cond_destroy(&pool->done);
    (void)pthread_cond_destroy(&pool->wake);
    (void)pthread_mutex_destroy(&pool->lock);
    (void)pthread_mutex_destroy(&pool->serve);
    sotto_free(pool->workers);
    sotto_free(pool);
}

unsigned sotto_pool_threads(const sotto_pool *pool)
{
    return pool ? pool->threads : 1;
}

int sotto_pool_run(sotto_pool *pool, size_t count, int (*fn)(void *ctx, size_t i, unsigned thread), void *ctx)
{
    if (!pool) {
        int status = SOTTO_OK;
        for (size_t i = 0; i < count && status == SOTTO_OK; i++)
            status = fn(ctx, i, 0);
        return status;
    }

    job j = {.fn = fn, .ctx = ctx, .count = count, .status = SOTTO_OK};
    (void)pthread_mutex_lock(&pool->serve);
    if (count > 1 && pool->started > 0) {
        (void)pthread_mutex_lock(&pool->lock);
        pool->job = &j;
        pool->generation++;
        pool->busy = pool->started;
        (void)pthread_cond_broadcast(&pool->wake);
        (void)pthread_mutex_unlock(&pool->lock);
    }
    work(pool, &j, 0);
    /* Also when all items are taken: `j` must outlive every worker that looks at it. */
    (void)pthread_mutex_lock(&pool->lock);
    while (pool->busy > 0)
        (void)pthread_cond_wait(&pool->done, &pool->lock);
    (void)pthread_mutex_unlock(&pool->lock);
    (void)pthread_mutex_unlock(&pool->serve);
    return j.status == SOTTO_OK ? SOTTO_OK : sotto_fail(j.status, "%s", j.message);
}
