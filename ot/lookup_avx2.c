/* The loops over tables, compiled for AVX2. */
#include "ot/lookup_kernel.h"

#if defined(__x86_64__)

#define LOOKUP_KERNELS sotto_lookup_kernels_avx2
#define LOOKUP_TIER    SOTTO_TIER_AVX2
#include "ot/lookup_internal.h"

#endif
