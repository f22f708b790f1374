/* The kernel that hash.c uses where the CPU has vector AES. Internal to lib and its tests. */
#ifndef SOTTO_LIB_HASH_KERNEL_H
#define SOTTO_LIB_HASH_KERNEL_H

#include "lib/hash.h"

#if defined(__x86_64__)
/* out0[i] = AES_{key i}(sigma(x[i])) xor sigma(x[i]) for i < count, key i = key xor (counter + i) in its low word;
 * unless out1 is NULL, out1[i] likewise of x[i] xor offset. out0 and out1 may equal x. To be called only on a CPU of
 * SOTTO_TIER_IFMA. */
void sotto_hash_vaes(sotto_block *out0, sotto_block *out1, const sotto_block *x, sotto_block offset, sotto_block key,
                     uint64_t counter, size_t count);
#endif

#endif
