/* The loops of apply_kernel.h for AVX2. */
#include "nn/secure/apply_kernel.h"

#if defined(__x86_64__)

#define APPLY_KERNELS sotto_apply_kernels_avx2
#define APPLY_TIER    SOTTO_TIER_AVX2
#define APPLY_BYTES   32
#define APPLY_VECTORS 2
#include "nn/secure/apply_internal.h"

#endif
