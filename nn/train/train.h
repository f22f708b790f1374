/* Training of a small network: minibatch SGD with momentum on the cross entropy, convolutions by im2col and OpenBLAS.
 *
 * This folder is not part of libsotto.a: it needs OpenBLAS and zlib, which an embedder of inference does not. The program links it.
 */
#ifndef SOTTO_NN_TRAIN_TRAIN_H
#define SOTTO_NN_TRAIN_TRAIN_H

#include "nn/train/dataset.h"

typedef struct sotto_train_options {
    unsigned epochs;      /* 20 */
    unsigned batch;       /* 64 */
    double rate;          /* initial learning rate, 0.01; falls to zero along a cosine */
    double momentum;      /* 0.9, Nesterov */
    double weight_decay;  /* 5e-4, on weights alone */
    unsigned shift;       /* augmentation: random shift by up to so many pixels, zero (mean) padded; 1 */
    int flip;             /* augmentation: mirror left to right with probability 1/2; on */
    uint64_t seed;        /* of order and augmentation; the same seed, threads and machine give the same weights */
    unsigned threads;     /* of OpenBLAS and of the loops around it; 0: all */
} sotto_train_options;

typedef struct sotto_train_progress {
    unsigned epoch, epochs;      /* from 1 */
    size_t images, of_images;    /* done in this epoch */
    double loss, accuracy;       /* running means over this epoch */
    double images_per_second;
    double seconds;              /* since the start */
    int epoch_done;
} sotto_train_progress;

sotto_train_options sotto_train_default(void);

/* Trains all weights of m, which has them (sotto_model_init_weights) and infers the data set's shape and classes, else SOTTO_ERR_MISMATCH.
 * Batch norm learns with batch statistics and keeps running ones (momentum 0.1). progress is called after every batch; nonzero stops early with the
 * weights as they are. SOTTO_ERR_ARG: an option, an empty data set, no weights; loss not finite: SOTTO_ERR_LIMIT saying to lower the rate. */
SOTTO_MUST_CHECK int sotto_train(sotto_model *m, const sotto_dataset *data, const sotto_train_options *options,
                                 int (*progress)(void *ctx, const sotto_train_progress *p), void *ctx);

/* Share of the first `count` images (0 or more than there are: all) whose largest logit is the label: batched float inference by the same code as
 * training's forward pass. Errors as of sotto_train; *accuracy is set on success alone. */
SOTTO_MUST_CHECK int sotto_evaluate_float(double *accuracy, const sotto_model *m, const sotto_dataset *data, size_t count, unsigned threads);

#endif
