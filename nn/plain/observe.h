/* What the values of a network look like on sample images, channel by channel: what quantisation is chosen from. */
#ifndef SOTTO_NN_PLAIN_OBSERVE_H
#define SOTTO_NN_PLAIN_OBSERVE_H

#include "nn/model/model.h"

/* Real units. Values that are always zero: all 0. */
typedef struct sotto_channel_stats {
    double low, high; /* at most 0, at least 0: the extremes with zero among them */
    double most;      /* the largest magnitude, without stray images, as all that follows; of the input with them */
    double square;    /* mean square */
    double mean;
    double bin_unit;  /* what 1 in the bins stands for: 1, less where equalisation has rescaled the channel */
} sotto_channel_stats;

/* Polynomials have no bound: an image beyond what a network of them was trained for grows from layer to layer, since the later layers square what the first ones
 * squared, and its logits say nothing any more. So where there are polynomials, an image strays whose largest magnitude at some node but the input is more than
 * SOTTO_OBSERVE_STRAY times that of the median image; it counts for the extremes alone, which become widths. Beyond SOTTO_OBSERVE_DIVERGE times it diverges,
 * and counts for nothing: no ring would hold it. Where no image would be left, none is told from the others. */
#define SOTTO_OBSERVE_STRAY   8.0
#define SOTTO_OBSERVE_DIVERGE 131072.0

/* Magnitudes are counted in bins of an eighth of an octave, from 2^-24 on; bin b holds those below 2^-24 (1 + (b % 8 + 1) / 8) 2^(b / 8). */
#define SOTTO_OBSERVE_BINS 384

typedef struct sotto_observation {
    size_t node_count, channel_count;
    size_t *first;                /* per node: where its channels begin in `channel` */
    sotto_channel_stats *channel;
    size_t *histogram_of;         /* per node: where its bins begin in `bins`; SIZE_MAX where none are kept: all but input and units */
    uint64_t *bins;               /* SOTTO_OBSERVE_BINS a channel */
    size_t bin_count;
    size_t strayed, diverged;     /* images */
} sotto_observation;

/* Runs `count` images (pixels 0 to 255, channel-major, count times input shape) in float. threads: as of sotto_pool_new; the result does not depend on their number.
 * progress(ctx, done, count) comes from the calling thread, may be NULL. SOTTO_ERR_ARG (no weights, no images), SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_observe(sotto_observation *o, const sotto_model *m, const uint8_t *images, size_t count, unsigned threads,
                                   void (*progress)(void *ctx, size_t done, size_t count), void *ctx);
SOTTO_MUST_CHECK int sotto_observation_copy(sotto_observation *out, const sotto_observation *o);
void sotto_observation_free(sotto_observation *o);

typedef enum sotto_range_method {
    SOTTO_RANGE_MAX,        /* the largest magnitude */
    SOTTO_RANGE_PERCENTILE, /* the magnitude that a share of the values does not exceed */
    SOTTO_RANGE_MSE         /* where a quantiser that saturates there errs least in the mean square */
} sotto_range_method;

/* The range of a channel of the input or a unit. share: for percentile, 0.9999 for instance; bits: for mse, of the quantiser. The last two are no finer than the bins. */
double sotto_observe_range(const sotto_observation *o, size_t node, size_t channel, sotto_range_method method, double share, unsigned bits);

/* The share of the values of a unit's channel that are not 0 and below `bound`; 1 where no bins are kept. No finer than the bins. */
double sotto_observe_share(const sotto_observation *o, size_t node, size_t channel, double bound);

#endif
