/* The loops over tables for any processor. */
#define LOOKUP_KERNELS sotto_lookup_kernels_ref
#define LOOKUP_TIER    SOTTO_TIER_PORTABLE
#include "ot/lookup_internal.h"
