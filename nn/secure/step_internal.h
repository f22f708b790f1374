/* The loops of step.h, compiled once for each kind of processor by the file that defines STEP_KERNELS and STEP_TIER: the compiler makes vectors of them.
 *
 * Bits are words 0 or 1 and masks 0 - bit. No value barrier is needed, which would keep a loop from becoming vectors: a bit always comes, in full or by exclusive or,
 * out of memory, so that the compiler does not know that there are two cases only, and has nothing to make a branch of. `make check-ct` looks at what it made. */
#include "nn/secure/step_kernel.h"

/* (1 - 2 bit) x modulo 2^64. */
static inline uint64_t negate_if(uint64_t bit, uint64_t x)
{
    return (x ^ (0 - bit)) + bit;
}

static inline uint64_t times_bit(uint64_t bit, uint64_t x)
{
    return (0 - bit) & x;
}

static void truncate_choices(sotto_truncation t, uint64_t *restrict cbar, const uint64_t *c, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cbar[i] = top_clear(t.l, c[i]);
    }
}

static void truncate_client(sotto_truncation t, uint64_t *restrict c_next, uint64_t *restrict step, const uint64_t *c, const uint64_t *p,
                            size_t count)
{
    const unsigned m = sotto_truncation_widen(t), kept = t.l - t.f;
    if (m == 0) {
        for (size_t i = 0; i < count; i++) {
            c_next[i] = sotto_low_bits(c[i] >> t.f, t.l_next);
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        c_next[i] = sotto_low_bits((c[i] >> t.f) + (p[i] << kept), t.l_next);
        step[i] = sotto_low_bits(top_clear(t.l, c[i]) - 2 * p[i], m);
    }
}

static void truncate_server(sotto_truncation t, uint64_t *restrict a_next, uint64_t *restrict d, const uint64_t *a, const uint64_t *rho,
                            const uint64_t *p, size_t count)
{
    const unsigned kept = t.l - t.f;
    const uint64_t constant = server_constant(t);
    if (sotto_truncation_widen(t) == 0) {
        for (size_t i = 0; i < count; i++) {
            d[i] = 0;
            a_next[i] = sotto_low_bits(server_offset(t, a[i]) >> t.f, t.l_next);
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const uint64_t moved = server_offset(t, a[i]), bit = top_clear(t.l, moved) ^ rho[i];
        d[i] = bit;
        a_next[i] = sotto_low_bits((moved >> t.f) - constant + (negate_if(bit, p[i]) << kept), t.l_next);
    }
}

static void pick(sotto_truncation t, uint64_t *restrict out, const uint64_t *zero, const uint64_t *step, const uint64_t *d, size_t count)
{
    const unsigned kept = t.l - t.f;
    for (size_t i = 0; i < count; i++) {
        out[i] = sotto_low_bits(zero[i] + (times_bit(d[i], step[i]) << kept), t.l_next);
    }
}

static void top_server(sotto_sign_window w, uint64_t *restrict top, const uint64_t *a, size_t count)
{
    const uint64_t half = half_step(w);
    for (size_t i = 0; i < count; i++) {
        top[i] = window(w, a[i] + half);
    }
}

static void top_client(sotto_sign_window w, uint64_t *restrict top, const uint64_t *c, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        top[i] = window(w, c[i]);
    }
}

static void turn(uint64_t *restrict out, const uint64_t *tau, const uint64_t *x, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = negate_if(tau[i], x[i]);
    }
}

static void offer(unsigned l, uint64_t *restrict z, const uint64_t *a_next, const uint64_t *pi, const uint64_t *zeta, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        z[i] = sotto_low_bits(negate_if(pi[i], a_next[i]) - zeta[i], l);
    }
}

static void answer(unsigned l, uint64_t *restrict g, uint64_t *restrict w, const uint64_t *b_client, const uint64_t *tau, const uint64_t *z,
                   const uint64_t *c, const uint64_t *product, const uint64_t *r_next, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint64_t bit = b_client[i] ^ tau[i];
        const uint64_t shared = times_bit(tau[i], z[i]) + product[i];
        const uint64_t own = times_bit(tau[i], c[i]) + times_bit(bit, negate_if(tau[i], c[i]));
        w[i] = sotto_low_bits(own + negate_if(bit, shared) - r_next[i], l);
        g[i] = bit;
    }
}

static void finish(unsigned l, uint64_t *restrict e, const uint64_t *g, const uint64_t *w, const uint64_t *pi, const uint64_t *a_next,
                   const uint64_t *product, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        e[i] = sotto_low_bits(w[i] + times_bit(g[i] ^ pi[i], a_next[i]) + negate_if(g[i], product[i]), l);
    }
}

const sotto_step_kernels STEP_KERNELS = {STEP_TIER, truncate_choices, truncate_client, truncate_server, pick,  top_server,
                                         top_client, turn,            offer,           answer,          finish};
