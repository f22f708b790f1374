#include "nn/train/loss.h"

#include <math.h>

#include "nn/plain/float.h"

/* log sum_k exp(z[k] / temperature); every term is at most 1 once the largest is taken out. */
static double log_sum(const float *z, size_t classes, double temperature)
{
    const double largest = (double)z[sotto_argmax_float(z, classes)];
    double sum = 0.0;
    for (size_t k = 0; k < classes; k++) {
        sum += exp(((double)z[k] - largest) / temperature);
    }
    return log(sum) + largest / temperature;
}

/* H(q, p) of one image; its gradient p - q times `scale` is written to g. */
static double cross_entropy(float *g, const float *z, size_t label, size_t classes, double smoothing, double scale)
{
    const double total = log_sum(z, classes, 1.0), spread = smoothing / (double)classes;
    double loss = 0.0;
    for (size_t k = 0; k < classes; k++) {
        const double q = spread + (k == label ? 1.0 - smoothing : 0.0), log_p = (double)z[k] - total;
        loss -= q * log_p;
        g[k] = (float)(scale * (exp(log_p) - q));
    }
    return loss;
}

/* T^2 KL(teacher || student) of one image; its gradient T (p - q) times `scale` is added to g. */
static double distillation(float *g, const float *z, const float *teacher, size_t classes, double t, double scale)
{
    const double total = log_sum(z, classes, t), teacher_total = log_sum(teacher, classes, t);
    double loss = 0.0;
    for (size_t k = 0; k < classes; k++) {
        const double log_p = (double)z[k] / t - total, log_q = (double)teacher[k] / t - teacher_total, q = exp(log_q);
        loss += q * (log_q - log_p);
        g[k] += (float)(scale * t * (exp(log_p) - q));
    }
    return t * t * loss;
}

void sotto_loss(float *gradient, double *loss, double *right, const float *z, const float *teacher, const uint16_t *labels, size_t count, size_t classes,
                const sotto_loss_options *o)
{
    const double w = teacher == NULL ? 0.0 : o->distill, each = 1.0 / (double)count;
    for (size_t i = 0; i < count; i++) {
        const size_t at = i * classes;
        *loss += (1.0 - w) * cross_entropy(gradient + at, z + at, labels[i], classes, o->smoothing, (1.0 - w) * each);
        if (w > 0.0) {
            *loss += w * distillation(gradient + at, z + at, teacher + at, classes, o->temperature, w * each);
        }
        *right += sotto_argmax_float(z + at, classes) == labels[i];
    }
}
