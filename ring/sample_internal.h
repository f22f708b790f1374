/* Inside the ring module: the small distributions as functions of uniform 64-bit words, one word a sample, so that tests
 * can look at every step of the tables. Constant time. */
#ifndef SOTTO_RING_SAMPLE_INTERNAL_H
#define SOTTO_RING_SAMPLE_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

/* -1, 0, 1 for the lower, middle and upper third of the words. */
void sotto_ternary_from_words(int64_t *out, const uint64_t *words, size_t count);
/* The upper 63 bits choose the magnitude, growing with them; the lowest bit is the sign. */
void sotto_error_from_words(int64_t *out, const uint64_t *words, size_t count);

#endif
