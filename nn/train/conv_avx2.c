/* The tiles of conv_kernel.h for AVX2 with FMA. */
#include "nn/train/conv_kernel.h"

#if defined(__x86_64__)

#define CONV_KERNELS   sotto_conv_kernels_avx2
#define CONV_TIER      SOTTO_TIER_AVX2
#define CONV_LANES     8
#define CONV_REGISTERS 16
#include "nn/train/conv_internal.h"

#endif
