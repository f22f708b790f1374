/* Fixed-point accuracy on a data set, plain and with shares of a client, images in parallel. */
#ifndef SOTTO_APPS_EVALUATE_H
#define SOTTO_APPS_EVALUATE_H

#include <stdint.h>

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

/* sotto_evaluate_float with progress on stderr. */
SOTTO_MUST_CHECK int evaluate_float(double *accuracy, const sotto_model *m, const sotto_dataset *set, size_t count, unsigned threads);

typedef struct shares_result {
    fixed_result plain;          /* the same images without shares; its seconds are those of both */
    double accuracy, agreement;  /* shares of the images: predicted right, and predicted as without shares */
} shares_result;

/* What private runs will give, without the protocol: each image runs through the reference twice, plain and with shares of the client that are drawn at random, on which
 * the roundings and the signs within half a step depend (nn/plain/fixed.h). Shares of image i are a function of seed and i, whatever the number of threads; nothing secret is
 * drawn. Else as evaluate_fixed. */
SOTTO_MUST_CHECK int evaluate_shares(shares_result *r, const sotto_model *m, const sotto_dataset *set, size_t count, uint64_t seed, unsigned threads);

/* SOTTO_ERR_MISMATCH unless the images have the shape of the model's input. */
SOTTO_MUST_CHECK int check_images(const sotto_model *m, const sotto_dataset *set);

#endif
