/* Source of random bytes, handed to everything that samples. The one source of the library is the operating
 * system's; the seeded one for tests is in tests/support, so that no flag or environment variable can make a
 * shipped program predictable. */
#ifndef SOTTO_LIB_RNG_H
#define SOTTO_LIB_RNG_H

#include <stddef.h>

#include "lib/err.h"

typedef struct sotto_rng {
    /* Fills `len` bytes; SOTTO_OK or SOTTO_ERR_RNG, in which case the bytes are zero and must not be used.
     * Must be safe to call from several threads at once. */
    int (*fill)(void *ctx, void *out, size_t len);
    void *ctx;
} sotto_rng;

/* getrandom(2), blocking until the kernel's pool is ready; needs no freeing. */
sotto_rng sotto_rng_system(void);

SOTTO_MUST_CHECK int sotto_rng_fill(const sotto_rng *rng, void *out, size_t len);

#endif
