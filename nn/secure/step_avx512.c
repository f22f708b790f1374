/* The loops of step.h, compiled for AVX-512. */
#include "nn/secure/step_kernel.h"

#if defined(__x86_64__)

#define STEP_KERNELS sotto_step_kernels_avx512
#define STEP_TIER    SOTTO_TIER_AVX512
#include "nn/secure/step_internal.h"

#endif
