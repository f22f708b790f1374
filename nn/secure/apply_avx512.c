/* The loops of apply_kernel.h for AVX-512. */
#include "nn/secure/apply_kernel.h"

#if defined(__x86_64__)

#define APPLY_KERNELS sotto_apply_kernels_avx512
#define APPLY_TIER    SOTTO_TIER_AVX512
#define APPLY_BYTES   64
#define APPLY_VECTORS 4
#include "nn/secure/apply_internal.h"

#endif
