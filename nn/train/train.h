/* Training of networks: minibatches, optimisers, learning rate schedules, augmentation, distillation, checkpoints. The passes over a network are tape.h's.
 *
 * This folder is not part of libsotto.a: it needs OpenBLAS and zlib, which an embedder of inference does not. The program links it.
 */
#ifndef SOTTO_NN_TRAIN_TRAIN_H
#define SOTTO_NN_TRAIN_TRAIN_H

#include "nn/train/augment.h"
#include "nn/train/dataset.h"
#include "nn/train/loss.h"
#include "nn/train/optimise.h"

typedef struct sotto_train_options {
    unsigned epochs;      /* 20 */
    unsigned batch;       /* 64 */
    sotto_schedule schedule;            /* cosine from 0.01, no warm-up */
    sotto_optimiser_options optimiser;  /* SGD, momentum 0.9, Nesterov, weight decay 5e-4, no clipping */
    sotto_augment_options augment;      /* shift 1, flip */
    sotto_loss_options loss;            /* no smoothing; temperature 4, distill 0.9 where there is a teacher */
    const sotto_model *teacher;         /* same input shape and outputs, with weights and a normalisation of its own; NULL: none */
    double ema;           /* moving average of all tensors, decay a step (after s steps at most (1 + s) / (10 + s)), which validation measures and training
                           * ends with; 0: off */
    size_t validate;      /* images held out from the set, chosen by the seed; their accuracy is measured after each epoch; 0 */
    int best;             /* end with the weights of the epoch with the best validation accuracy, the first of equals; needs validate */
    unsigned weight_bits; /* train a deployed network for weights of so many bits (rounding.h), 2 to 16; validation sees them too, the model ends
                           * with the weights behind them; 0: off */
    const char *checkpoint;      /* file to keep the state in; NULL: none */
    unsigned checkpoint_epochs;  /* written every so many epochs (0: not so), */
    double checkpoint_minutes;   /* and after so many minutes, also within an epoch (0: not so); always when stopped early and at the end */
    void (*warning)(void *ctx, int status); /* called with progress's ctx where a checkpoint cannot be written (message stored): the training goes on, the file holds the
                                  * checkpoint before, the next is tried when it is due. NULL: the training ends with that failure */
    const char *resume;          /* checkpoint to go on from; NULL: none */
    uint64_t seed;        /* of split, order and augmentation; the same seed, threads and machine give the same weights */
    unsigned threads;     /* 0: all */
} sotto_train_options;

typedef struct sotto_train_progress {
    unsigned epoch, epochs;      /* from 1 */
    size_t images, of_images;    /* done in this epoch */
    double rate;                 /* of the last step */
    double loss, accuracy;       /* running means over this epoch */
    double images_per_second;    /* in this epoch */
    double seconds, seconds_left;/* since the start, what came before a resume included; expected till the end */
    int epoch_done;
    double validation;           /* accuracy on the images held out, where epoch_done; below 0: none */
    unsigned best_epoch;         /* 0: none yet */
} sotto_train_progress;

sotto_train_options sotto_train_default(void);

/* Trains all weights of m, which has them (sotto_model_init_weights) and infers the data set's shape and classes, else SOTTO_ERR_MISMATCH.
 * Batch norm learns with batch statistics and keeps running ones. progress is called after every batch; nonzero stops early with the
 * weights as they are. SOTTO_ERR_ARG: an option (named, with its range), an empty data set, no weights; loss not finite: SOTTO_ERR_LIMIT saying to
 * lower the rate. A training that is resumed with the model, data and options that it began with ends with the same weights, bit for bit, as one that
 * was not interrupted; other ones are refused (checkpoint.h), except for epochs and minutes between checkpoints. After a failure m holds the
 * weights of the last step. */
SOTTO_MUST_CHECK int sotto_train(sotto_model *m, const sotto_dataset *data, const sotto_train_options *options,
                                 int (*progress)(void *ctx, const sotto_train_progress *p), void *ctx);

/* Share of the first `count` images (0 or more than there are: all) whose largest logit is the label: batched float inference by the same code as
 * training's forward pass. Errors as of sotto_train; *accuracy is set on success alone. */
SOTTO_MUST_CHECK int sotto_evaluate_float(double *accuracy, const sotto_model *m, const sotto_dataset *data, size_t count, unsigned threads);

#endif
