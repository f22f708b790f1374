/* The portable tier: a block of lanes as an array. */
#include <stdint.h>

typedef struct sixteen {
    int32_t v[16];
} sixteen;

static inline sixteen load(const void *x)
{
    sixteen out;
    __builtin_memcpy(&out, x, sizeof out);
    return out;
}

static inline sixteen pair(const int16_t *x)
{
    sixteen out;
    for (int i = 0; i < 16; i++) {
        __builtin_memcpy(&out.v[i], x, sizeof out.v[i]);
    }
    return out;
}

static inline sixteen dot(sixteen acc, sixteen x, sixteen w)
{
    int16_t a[32], b[32];
    __builtin_memcpy(a, &x, sizeof a);
    __builtin_memcpy(b, &w, sizeof b);
    for (int i = 0; i < 16; i++) {
        acc.v[i] = (int32_t)((uint32_t)acc.v[i] + (uint32_t)((int32_t)a[2 * i] * b[2 * i]) + (uint32_t)((int32_t)a[2 * i + 1] * b[2 * i + 1]));
    }
    return acc;
}

#define NARROW_KERNELS  sotto_narrow_kernels_ref
#define NARROW_TIER     SOTTO_TIER_PORTABLE
#define VEC             sixteen
#define LANES           16u
#define TILE            2u
#define LOAD(p)         load(p)
#define STORE(p, x)     __builtin_memcpy(p, &(x), sizeof(sixteen))
#define PAIR(p)         pair(p)
#define DOT(acc, x, w)  dot(acc, x, w)
#include "nn/plain/narrow_loops_internal.h"
