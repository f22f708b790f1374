/* Thread pool: data-parallel loops over independent items. */
#ifndef SOTTO_LIB_POOL_H
#define SOTTO_LIB_POOL_H

#include <stddef.h>

#include "lib/err.h"

typedef struct sotto_pool sotto_pool;

/* A pool that works on `threads` threads, the caller's included: 1 starts none. 0: one per online CPU. */
SOTTO_MUST_CHECK int sotto_pool_new(sotto_pool **out, unsigned threads);
void sotto_pool_free(sotto_pool *pool);
unsigned sotto_pool_threads(const sotto_pool *pool);

/* Calls fn(ctx, i, thread) once for each i in [0, count), thread in [0, threads); returns when all are done. The first
 * failure stops items not yet begun and is returned, its message carried to the calling thread. pool NULL runs on the
 * caller. Calls from several threads on one pool are served one after another. fn must not call sotto_pool_run on the same pool. */
SOTTO_MUST_CHECK int sotto_pool_run(sotto_pool *pool, size_t count, int (*fn)(void *ctx, size_t i, unsigned thread),
                                    void *ctx);

#endif
