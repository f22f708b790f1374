/* The tiles of conv_kernel.h for any processor: four lanes, which a compiler makes do without vectors too. */
#include "nn/train/conv_kernel.h"

#define CONV_KERNELS   sotto_conv_kernels_ref
#define CONV_TIER      SOTTO_TIER_PORTABLE
#define CONV_LANES     4
#define CONV_REGISTERS 16
#include "nn/train/conv_internal.h"
