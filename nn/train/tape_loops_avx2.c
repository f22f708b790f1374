/* The loops of tape_loops.h, compiled for AVX2. */
#include "nn/train/tape_loops.h"

#if defined(__x86_64__)

#define TAPE_LOOPS sotto_tape_loops_avx2
#define TAPE_TIER  SOTTO_TIER_AVX2
#include "nn/train/tape_loops_internal.h"

#endif
