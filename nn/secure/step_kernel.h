/* Inside nn/secure: the loops of step.h, one table per kind of processor. All compute the same; contracts as in step.h. */
#ifndef SOTTO_NN_SECURE_STEP_KERNEL_H
#define SOTTO_NN_SECURE_STEP_KERNEL_H

#include "lib/cpu.h"
#include "lib/ct.h"
#include "nn/secure/step.h"

/* ---- parts of the formulas ---- */

static inline uint64_t top_clear(unsigned l, uint64_t x)
{
    return ~(x >> (l - 1)) & 1;
}

/* The server's share with the offsets that make y' positive and the rounding unbiased: without 2^f - 1 both
 * shares would round down, and zero would often become -1. */
static inline uint64_t server_offset(sotto_truncation t, uint64_t a)
{
    const uint64_t shift = sotto_truncation_widen(t) ? (uint64_t)1 << (t.l - 2) : 0;
    return sotto_low_bits(a + shift + ((uint64_t)1 << t.f) - 1, t.l);
}

/* The public constant that the server takes off again: the carry when abar cbar = 0, and the shift of y'. */
static inline uint64_t server_constant(sotto_truncation t)
{
    return sotto_truncation_widen(t) ? ((uint64_t)1 << (t.l - t.f)) + ((uint64_t)1 << (t.l - 2 - t.f)) : 0;
}

static inline uint64_t window(sotto_sign_window w, uint64_t x)
{
    return sotto_low_bits(x, w.k) >> w.j;
}

static inline uint64_t half_step(sotto_sign_window w)
{
    return w.j ? (uint64_t)1 << (w.j - 1) : 0;
}

/* ---- loops ---- */

typedef struct sotto_step_kernels {
    sotto_tier tier; /* the CPU that it needs */
    void (*truncate_choices)(sotto_truncation t, uint64_t *cbar, const uint64_t *c, size_t count);
    void (*truncate_client)(sotto_truncation t, uint64_t *c_next, uint64_t *step, const uint64_t *c, const uint64_t *p, size_t count);
    void (*truncate_server)(sotto_truncation t, uint64_t *a_next, uint64_t *d, const uint64_t *a, const uint64_t *rho, const uint64_t *p,
                            size_t count);
    void (*pick)(sotto_truncation t, uint64_t *out, const uint64_t *zero, const uint64_t *step, const uint64_t *d, size_t count);
    void (*top_server)(sotto_sign_window w, uint64_t *top, const uint64_t *a, size_t count);
    void (*top_client)(sotto_sign_window w, uint64_t *top, const uint64_t *c, size_t count);
    void (*turn)(uint64_t *out, const uint64_t *tau, const uint64_t *x, size_t count);
    void (*offer)(unsigned l, uint64_t *z, const uint64_t *a_next, const uint64_t *pi, const uint64_t *zeta, size_t count);
    void (*answer)(unsigned l, uint64_t *g, uint64_t *w, const uint64_t *b_client, const uint64_t *tau, const uint64_t *z, const uint64_t *c,
                   const uint64_t *product, const uint64_t *r_next, size_t count);
    void (*finish)(unsigned l, uint64_t *e, const uint64_t *g, const uint64_t *w, const uint64_t *pi, const uint64_t *a_next,
                   const uint64_t *product, size_t count);
} sotto_step_kernels;

extern const sotto_step_kernels sotto_step_kernels_ref;
#if defined(__x86_64__)
extern const sotto_step_kernels sotto_step_kernels_avx2;
extern const sotto_step_kernels sotto_step_kernels_avx512;
#endif

#endif
