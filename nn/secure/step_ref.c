/* The loops of step.h for any processor. */
#define STEP_KERNELS sotto_step_kernels_ref
#define STEP_TIER    SOTTO_TIER_PORTABLE
#include "nn/secure/step_internal.h"
