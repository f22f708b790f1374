/* Fixed-point accuracy on a data set, images in parallel. */
#ifndef SOTTO_APPS_EVALUATE_H
#define SOTTO_APPS_EVALUATE_H

#include "nn/train/dataset.h"

typedef struct fixed_result {
    size_t images;
    double accuracy;  /* share of the images */
    uint64_t wraps;   /* values that left the planned range, in all */
    double seconds;
} fixed_result;

/* m: planned, with weights; its first `count` images (0 or more than there are: all). threads as of sotto_pool_new. Progress on stderr. SOTTO_ERR_MISMATCH where the
 * images have another shape, errors of sotto_program_new and sotto_program_weights_new. */
SOTTO_MUST_CHECK int evaluate_fixed(fixed_result *r, const sotto_model *m, const sotto_dataset *set, size_t count, unsigned threads);

/* SOTTO_ERR_MISMATCH unless the images have the shape of the model's input. */
SOTTO_MUST_CHECK int check_images(const sotto_model *m, const sotto_dataset *set);

#endif
