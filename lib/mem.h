/* Allocation with overflow checks, and wiping of secrets. */
#ifndef SOTTO_LIB_MEM_H
#define SOTTO_LIB_MEM_H

#include <stddef.h>

/* Zero-filled array of `count` elements of `size` bytes, aligned to 64 bytes (a cache line, a zmm register).
 * NULL, without a stored message, when the product overflows or memory is out; count 0 gives a pointer that may be freed. */
void *sotto_calloc(size_t count, size_t size);

/* Releases what sotto_calloc returned; NULL is fine. Does not wipe. */
void sotto_free(void *p);

/* Wipes `count * size` bytes, then releases. For arrays that held secrets; NULL is fine. */
void sotto_free_secret(void *p, size_t count, size_t size);

/* Overwrites `len` bytes with zero in a way that the compiler may not drop. */
void sotto_wipe(void *p, size_t len);

/* Wipes the part of the stack that functions called before have left, some 8 kB: what vector kernels keep in registers, compilers spill there. */
void sotto_wipe_stack(void);

/* Test hook: when n >= 0, the (n+1)-th following sotto_calloc of this process fails once; negative switches
 * the hook off. Not a security boundary: it can only make calls fail. */
void sotto_calloc_fail_after(long n);

#endif
