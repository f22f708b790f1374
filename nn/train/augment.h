/* Random variants of training images: shifted, mirrored, a square left out. What comes in from outside, and the square, is the channel's mean. */
#ifndef SOTTO_NN_TRAIN_AUGMENT_H
#define SOTTO_NN_TRAIN_AUGMENT_H

#include "lib/prg.h"
#include "nn/model/model.h"

typedef struct sotto_augment_options {
    unsigned shift;  /* by up to so many pixels each way: the same as a random crop after padding by so many; 0 to 64 */
    int flip;        /* mirror left to right with probability 1/2 */
    unsigned cutout; /* side of a square around a random pixel, cut off at the edges (arXiv 1708.04552); 0: none; 0 to 1024 */
} sotto_augment_options;

/* Pixel (y, x) of the variant is pixel (y + dy, x' + dx) of the image, x' = w - 1 - x where mirrored. Rows cut_y .. and columns cut_x .. of the variant are cut out. */
typedef struct sotto_variant {
    int dy, dx, mirror, cut_y, cut_x;
} sotto_variant;

/* x below `bound` from a uniform word, uniform to bound / 2^32: the order of images and what is done to them need no better. */
static inline uint32_t sotto_word_below(uint32_t word, uint32_t bound)
{
    return (uint32_t)(((uint64_t)word * bound) >> 32);
}

/* Takes 20 bytes of the generator. */
sotto_variant sotto_augment_draw(const sotto_augment_options *o, sotto_shape shape, sotto_prg *prg);
/* The variant of a channel-major image, normalised as m's input wants it; out and pixels have sotto_shape_words floats and bytes of m's input. */
void sotto_augment(float *out, const sotto_model *m, const uint8_t *pixels, const sotto_augment_options *o, const sotto_variant *v);

#endif
