/* The loops of apply_kernel.h for any processor. */
#define APPLY_KERNELS sotto_apply_kernels_ref
#define APPLY_TIER    SOTTO_TIER_PORTABLE
#define APPLY_BYTES   16
#define APPLY_VECTORS 2
#include "nn/secure/apply_internal.h"
