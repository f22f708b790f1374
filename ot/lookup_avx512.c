/* The loops over tables, compiled for AVX-512. */
#include "ot/lookup_kernel.h"

#if defined(__x86_64__)

#define LOOKUP_KERNELS sotto_lookup_kernels_avx512
#define LOOKUP_TIER    SOTTO_TIER_AVX512
#include "ot/lookup_internal.h"

#endif
