/* Inside nn/plain: what values a program can reach at most, whatever the image; to lower widths of a plan to that. */
#ifndef SOTTO_NN_PLAIN_REACH_INTERNAL_H
#define SOTTO_NN_PLAIN_REACH_INTERNAL_H

#include "nn/plain/calibrate.h"

/* m: planned, with weights. Interval arithmetic on the integer weights, from pixels between 0 and 255; a unit whose k does not hold what it may read is taken to read
 * no more than k promises. Lowers k and windows to what is reached where that is less, and u where k falls below it. A plan that does not compile is left as it is: who compiles it
 * gets the reason. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_reach_tighten(sotto_model *m, sotto_calibration_report *report);

#endif
