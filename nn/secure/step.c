#include "nn/secure/step.h"

#include "nn/secure/step_kernel.h"

#define RING_MAX 60u

int sotto_truncation_check(sotto_truncation t)
{
    if (t.l < 3 || t.l > RING_MAX || t.l_next < 1 || t.l_next > RING_MAX)
        return sotto_fail(SOTTO_ERR_PARAMS, "truncation from ring %u to ring %u: rings have 3 to %u bits", t.l, t.l_next,
                          RING_MAX);
    if (t.f + 2 > t.l)
        return sotto_fail(SOTTO_ERR_PARAMS, "truncation by %u bits: a ring of %u bits loses at most %u", t.f, t.l, t.l - 2);
    return SOTTO_OK;
}

static const sotto_step_kernels *kernels(void)
{
#if defined(__x86_64__)
    const sotto_tier tier = sotto_cpu_tier();
    if (tier >= SOTTO_TIER_AVX512)
        return &sotto_step_kernels_avx512;
    if (tier >= SOTTO_TIER_AVX2)
        return &sotto_step_kernels_avx2;
#endif
    return &sotto_step_kernels_ref;
}

void sotto_truncate_choices(sotto_truncation t, uint64_t *cbar, const uint64_t *c, size_t count)
{
    kernels()->truncate_choices(t, cbar, c, count);
}

void sotto_truncate_client(sotto_truncation t, uint64_t *c_next, uint64_t *step, const uint64_t *c, const uint64_t *p, size_t count)
{
    kernels()->truncate_client(t, c_next, step, c, p, count);
}

void sotto_truncate_server(sotto_truncation t, uint64_t *a_next, uint64_t *d, const uint64_t *a, const uint64_t *rho,
                           const uint64_t *p, size_t count)
{
    kernels()->truncate_server(t, a_next, d, a, rho, p, count);
}

void sotto_truncate_pick(sotto_truncation t, uint64_t *out, const uint64_t *zero, const uint64_t *step, const uint64_t *d, size_t count)
{
    kernels()->pick(t, out, zero, step, d, count);
}

uint64_t sotto_truncate_reference(sotto_truncation t, uint64_t y, uint64_t c)
{
    uint64_t moved = server_offset(t, y - c);
    uint64_t carry = sotto_truncation_widen(t) ? (top_clear(t.l, moved) & top_clear(t.l, c)) << (t.l - t.f) : 0;
    return sotto_low_bits((moved >> t.f) + (c >> t.f) - server_constant(t) + carry, t.l_next);
}

void sotto_sign_top_server(sotto_sign_window w, uint64_t *top, const uint64_t *a, size_t count)
{
    kernels()->top_server(w, top, a, count);
}

void sotto_sign_top_client(sotto_sign_window w, uint64_t *top, const uint64_t *c, size_t count)
{
    kernels()->top_client(w, top, c, count);
}

uint64_t sotto_sign_reference(sotto_sign_window w, uint64_t y, uint64_t c)
{
    uint64_t sum = window(w, y - c + half_step(w)) + window(w, c);
    return ~(sum >> (w.k - w.j - 1)) & 1;
}

void sotto_select_turn(uint64_t *out, const uint64_t *tau, const uint64_t *x, size_t count)
{
    kernels()->turn(out, tau, x, count);
}

void sotto_select_offer(unsigned l, uint64_t *z, const uint64_t *a_next, const uint64_t *pi, const uint64_t *zeta, size_t count)
{
    kernels()->offer(l, z, a_next, pi, zeta, count);
}

void sotto_select_answer(unsigned l, uint64_t *g, uint64_t *w, const uint64_t *b_client, const uint64_t *tau, const uint64_t *z,
                         const uint64_t *c, const uint64_t *product, const uint64_t *r_next, size_t count)
{
    kernels()->answer(l, g, w, b_client, tau, z, c, product, r_next, count);
}

void sotto_select_finish(unsigned l, uint64_t *e, const uint64_t *g, const uint64_t *w, const uint64_t *pi, const uint64_t *a_next,
                         const uint64_t *product, size_t count)
{
    kernels()->finish(l, e, g, w, pi, a_next, product, count);
}
