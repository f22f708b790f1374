#include "lib/ct.h"

int sotto_ct_equal(const void *a, const void *b, size_t len)
{
    const uint8_t *x = a, *y = b;
    uint64_t diff = 0;

    for (size_t i = 0; i < len; i++)
        diff = sotto_ct_barrier(diff | (uint64_t)(x[i] ^ y[i]));
    return (int)(sotto_ct_eq(diff, 0) & 1);
}
