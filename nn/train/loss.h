/* Losses on logits, with their gradients: cross entropy with smoothed labels, and distillation from a teacher. */
#ifndef SOTTO_NN_TRAIN_LOSS_H
#define SOTTO_NN_TRAIN_LOSS_H

#include <stddef.h>
#include <stdint.h>

typedef struct sotto_loss_options {
    double smoothing;   /* 0 to 1, below 1: share of the target that is spread over all classes */
    double temperature; /* T of distillation, above 0 */
    double distill;     /* W of distillation, 0 to 1 */
} sotto_loss_options;

/* For each of `count` images with `classes` logits z:
 *     (1 - W) H(q, softmax(z)) + W T^2 KL(softmax(teacher / T) || softmax(z / T)),   q = (1 - smoothing) [label] + smoothing / classes
 * (distillation of Hinton, Vinyals, Dean, arXiv 1503.02531: T^2 keeps the size of its gradient). teacher: as many logits, or NULL: W counts as 0.
 * gradient[i] = d mean loss / d z[i]. *loss and *right grow by the sum of the losses and by the number of images whose largest logit (the lowest where
 * several are) is the label. Labels are below `classes`. In double inside. */
void sotto_loss(float *gradient, double *loss, double *right, const float *z, const float *teacher, const uint16_t *labels, size_t count, size_t classes,
                const sotto_loss_options *o);

#endif
