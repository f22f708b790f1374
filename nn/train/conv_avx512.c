/* The tiles of conv_kernel.h for AVX-512. */
#include "nn/train/conv_kernel.h"

#if defined(__x86_64__)

#define CONV_KERNELS   sotto_conv_kernels_avx512
#define CONV_TIER      SOTTO_TIER_AVX512
#define CONV_LANES     16
#define CONV_REGISTERS 32
#include "nn/train/conv_internal.h"

#endif
