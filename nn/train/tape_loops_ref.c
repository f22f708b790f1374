/* The loops of tape_loops.h for any processor. */
#define TAPE_LOOPS sotto_tape_loops_ref
#define TAPE_TIER  SOTTO_TIER_PORTABLE
#include "nn/train/tape_loops_internal.h"
