/* Image data sets for training and evaluation. */
#ifndef SOTTO_NN_TRAIN_DATASET_H
#define SOTTO_NN_TRAIN_DATASET_H

#include "nn/model/model.h"

typedef struct sotto_dataset {
    sotto_shape shape;
    size_t count;
    uint8_t *images;  /* count * c * h * w, channel-major */
    uint16_t *labels; /* count */
    size_t classes;   /* largest label + 1 */
} sotto_dataset;

/* Reads both files of an IDX data set (images: magic 0x00000803, labels 0x00000801), plain or gzip-compressed, as MNIST and Fashion-MNIST come.
 * SOTTO_ERR_IO, _FORMAT, _LIMIT, _MISMATCH naming file and field. */
SOTTO_MUST_CHECK int sotto_dataset_idx(sotto_dataset *d, const char *images_path, const char *labels_path);
/* The files train-images-idx3-ubyte(.gz), train-labels-..., t10k-... of a folder, as MNIST and Fashion-MNIST come; `train` 1 or 0. folder NULL: where Debian's
 * dataset-fashion-mnist puts them. */
SOTTO_MUST_CHECK int sotto_dataset_fashion(sotto_dataset *d, const char *folder, int train);
/* The binary batches of CIFAR-10 in a folder (data_batch_1.bin to 5, test_batch.bin). */
SOTTO_MUST_CHECK int sotto_dataset_cifar10(sotto_dataset *d, const char *folder, int train);
/* The binary version of CIFAR-100 (train.bin, test.bin): 100 fine labels; the coarse ones are not kept. Either half may be missing as long as it is not asked for. */
SOTTO_MUST_CHECK int sotto_dataset_cifar100(sotto_dataset *d, const char *folder, int train);
void sotto_dataset_free(sotto_dataset *d);
/* Mean and standard deviation per channel of pixel / 255. */
void sotto_dataset_statistics(const sotto_dataset *d, float mean[SOTTO_INPUT_CHANNELS_MAX], float std[SOTTO_INPUT_CHANNELS_MAX]);

#endif
