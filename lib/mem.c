#include "lib/mem.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGNMENT 64u

/* Arrays of this many bytes ask for huge pages: with pages of 4 KB, taking and zeroing a page costs more than all that is done with its words later. */
#define LARGE     ((size_t)4 << 20)
#define HUGE_PAGE ((size_t)2 << 20)

/* Calls that still succeed before the one that fails; negative: off. */
static atomic_long fail_after = -1;

void sotto_calloc_fail_after(long n)
{
    atomic_store(&fail_after, n);
}

/* 1 for exactly one of the threads that count the hook down. */
static int hook_fires(void)
{
    long left = atomic_load_explicit(&fail_after, memory_order_relaxed);

    while (left >= 0) {
        if (atomic_compare_exchange_weak(&fail_after, &left, left - 1))
            return left == 0;
    }
    return 0;
}

void *sotto_calloc(size_t count, size_t size)
{
    size_t bytes;

    if (hook_fires())
        return NULL;
    /* No object is larger than PTRDIFF_MAX: pointers into it must have a difference. */
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX - HUGE_PAGE)
        return NULL;
    /* aligned_alloc wants a multiple of the alignment; at least one line, so that an empty array has an address. */
    const size_t alignment = bytes >= LARGE ? HUGE_PAGE : ALIGNMENT;
    bytes = bytes == 0 ? alignment : (bytes + alignment - 1) / alignment * alignment;
    void *p = aligned_alloc(alignment, bytes);
    if (p && alignment == HUGE_PAGE)
        (void)madvise(p, bytes, MADV_HUGEPAGE); /* a hint: without it the array is as good */
    if (p)
        memset(p, 0, bytes);
    return p;
}

void sotto_free(void *p)
{
    free(p);
}

void sotto_free_secret(void *p, size_t count, size_t size)
{
    if (!p)
        return;
    sotto_wipe(p, count * size);
    free(p);
}

void sotto_wipe(void *p, size_t len)
{
    if (len)
        explicit_bzero(p, len);
}

__attribute__((noinline)) void sotto_wipe_stack(void)
{
    uint8_t left[8192];
    sotto_wipe(left, sizeof left);
}
