/* The loops of apply_kernel.h, compiled once for each kind of processor by the file that defines APPLY_KERNELS, APPLY_TIER, and APPLY_BYTES and APPLY_VECTORS: so many
 * vectors of so many bytes per filter hold sums in registers. */
#include "nn/secure/apply_kernel.h"

/* name: of words of a type, all positions; name_tile: V vectors of positions for F filters from `first` on. */
#define APPLY_LOOPS(name, word)                                                                                                            \
    typedef word name##_vec __attribute__((vector_size(APPLY_BYTES), aligned(sizeof(word)), may_alias));                                   \
    enum { name##_lanes = APPLY_BYTES / sizeof(word) };                                                                                    \
    static inline __attribute__((always_inline)) void name##_tile(const unsigned F, const unsigned V, const sotto_apply_job *j,            \
                                                                  unsigned first, word *out, const word *x)                                \
    {                                                                                                                                      \
        const int32_t *w = j->w + first * j->terms;                                                                                        \
        name##_vec sum[SOTTO_APPLY_FILTERS][APPLY_VECTORS] = {{{0}}};                                                                      \
        for (size_t t = 0; t < j->terms; t++) {                                                                                            \
            const word *p = x + j->offset[t];                                                                                              \
            for (unsigned f = 0; f < F; f++) {                                                                                             \
                const word k = (word)(int64_t)w[f * j->terms + t];                                                                         \
                for (unsigned v = 0; v < V; v++)                                                                                           \
                    sum[f][v] += k * *(const name##_vec *)(p + v * name##_lanes);                                                          \
            }                                                                                                                              \
        }                                                                                                                                  \
        for (unsigned f = 0; f < F; f++)                                                                                                   \
            for (unsigned v = 0; v < V; v++)                                                                                               \
                *(name##_vec *)(out + (first + f) * j->count + v * name##_lanes) = sum[f][v];                                              \
    }                                                                                                                                      \
    static void name(const sotto_apply_job *j, word *out, const word *x)                                                                   \
    {                                                                                                                                      \
        const size_t many = j->filters == SOTTO_APPLY_FILTERS ? j->count / (APPLY_VECTORS * name##_lanes) * (APPLY_VECTORS * name##_lanes) : 0; \
        size_t p = 0;                                                                                                                      \
        for (; p < many; p += APPLY_VECTORS * name##_lanes)                                                                                \
            name##_tile(SOTTO_APPLY_FILTERS, APPLY_VECTORS, j, 0, out + p, x + p);                                                         \
        for (; p < j->count; p += name##_lanes)                                                                                            \
            for (unsigned f = 0; f < j->filters; f++)                                                                                      \
                name##_tile(1, 1, j, f, out + p, x + p);                                                                                   \
    }

APPLY_LOOPS(narrow, uint32_t)
APPLY_LOOPS(wide, uint64_t)

const sotto_apply_kernels APPLY_KERNELS = {APPLY_TIER, narrow, wide};
