#include "nn/secure/step.h"

#include "lib/ct.h"

#define RING_MAX 60u

/* (1 - 2 bit) x modulo 2^64. */
static uint64_t negate_if(uint64_t bit, uint64_t x)
{
    return (x ^ sotto_ct_mask(bit)) + bit;
}

static uint64_t times_bit(uint64_t bit, uint64_t x)
{
    return sotto_ct_mask(bit) & x;
}

static uint64_t choose(uint64_t bit, uint64_t zero, uint64_t one)
{
    return sotto_ct_select(sotto_ct_mask(bit), one, zero);
}

int sotto_truncation_check(sotto_truncation t)
{
    if (t.l < 3 || t.l > RING_MAX || t.l_next < 1 || t.l_next > RING_MAX)
        return sotto_fail(SOTTO_ERR_PARAMS, "truncation from ring %u to ring %u: rings have 3 to %u bits", t.l, t.l_next,
                          RING_MAX);
    if (t.f + 2 > t.l)
        return sotto_fail(SOTTO_ERR_PARAMS, "truncation by %u bits: a ring of %u bits loses at most %u", t.f, t.l, t.l - 2);
    return SOTTO_OK;
}

unsigned sotto_truncation_widen(sotto_truncation t)
{
    return t.l_next > t.l - t.f ? t.l_next - (t.l - t.f) : 0;
}

static uint64_t top_clear(unsigned l, uint64_t x)
{
    return ~(x >> (l - 1)) & 1;
}

/* The server's share with the offsets that make y' positive and the rounding unbiased: without 2^f - 1 both
 * shares would round down, and zero would often become -1. */
static uint64_t server_offset(sotto_truncation t, uint64_t a)
{
    uint64_t shift = sotto_truncation_widen(t) ? (uint64_t)1 << (t.l - 2) : 0;
    return sotto_low_bits(a + shift + ((uint64_t)1 << t.f) - 1, t.l);
}

/* The public constant that the server takes off again: the carry when abar cbar = 0, and the shift of y'. */
static uint64_t server_constant(sotto_truncation t)
{
    return sotto_truncation_widen(t) ? ((uint64_t)1 << (t.l - t.f)) + ((uint64_t)1 << (t.l - 2 - t.f)) : 0;
}

void sotto_truncate_choices(sotto_truncation t, uint64_t *cbar, const uint64_t *c, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cbar[i] = top_clear(t.l, c[i]);
}

void sotto_truncate_client(sotto_truncation t, uint64_t *const c_next[2], const uint64_t *c, const uint64_t *p, size_t count)
{
    unsigned m = sotto_truncation_widen(t);
    for (size_t i = 0; i < count; i++) {
        uint64_t base = c[i] >> t.f, cbar = top_clear(t.l, c[i]), share = m ? p[i] : 0, carry = m ? cbar - share : 0;
        c_next[0][i] = sotto_low_bits(base + (share << (t.l - t.f)), t.l_next);
        c_next[1][i] = sotto_low_bits(base + (carry << (t.l - t.f)), t.l_next);
    }
}

void sotto_truncate_server(sotto_truncation t, uint64_t *a_next, uint64_t *d, const uint64_t *a, const uint64_t *rho,
                           const uint64_t *p, size_t count)
{
    unsigned m = sotto_truncation_widen(t);
    for (size_t i = 0; i < count; i++) {
        uint64_t moved = server_offset(t, a[i]);
        d[i] = m ? top_clear(t.l, moved) ^ rho[i] : 0;
        uint64_t carry = m ? negate_if(d[i], p[i]) << (t.l - t.f) : 0;
        a_next[i] = sotto_low_bits((moved >> t.f) - server_constant(t) + carry, t.l_next);
    }
}

uint64_t sotto_truncate_reference(sotto_truncation t, uint64_t y, uint64_t c)
{
    uint64_t moved = server_offset(t, y - c);
    uint64_t carry = sotto_truncation_widen(t) ? (top_clear(t.l, moved) & top_clear(t.l, c)) << (t.l - t.f) : 0;
    return sotto_low_bits((moved >> t.f) + (c >> t.f) - server_constant(t) + carry, t.l_next);
}

static uint64_t window(sotto_sign_window w, uint64_t x)
{
    return sotto_low_bits(x, w.k) >> w.j;
}

static uint64_t half_step(sotto_sign_window w)
{
    return w.j ? (uint64_t)1 << (w.j - 1) : 0;
}

void sotto_sign_top_server(sotto_sign_window w, uint64_t *top, const uint64_t *a, size_t count)
{
    for (size_t i = 0; i < count; i++)
        top[i] = window(w, a[i] + half_step(w));
}

void sotto_sign_top_client(sotto_sign_window w, uint64_t *top, const uint64_t *c, size_t count)
{
    for (size_t i = 0; i < count; i++)
        top[i] = window(w, c[i]);
}

uint64_t sotto_sign_reference(sotto_sign_window w, uint64_t y, uint64_t c)
{
    uint64_t sum = window(w, y - c + half_step(w)) + window(w, c);
    return ~(sum >> (w.k - w.j - 1)) & 1;
}

void sotto_select_offer(unsigned l, uint64_t *z, const uint64_t *a_next, const uint64_t *pi, const uint64_t *zeta, size_t count)
{
    for (size_t i = 0; i < count; i++)
        z[i] = sotto_low_bits(negate_if(pi[i], a_next[i]) - zeta[i], l);
}

void sotto_select_answer(unsigned l, uint64_t *g, uint64_t *w, const uint64_t *b_client, const uint64_t *tau, const uint64_t *d,
                         const uint64_t *z, const uint64_t *const c_next[2], const uint64_t *t, const uint64_t *const q[2],
                         const uint64_t *r_next, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t gi = b_client[i] ^ tau[i], c = choose(d[i], c_next[0][i], c_next[1][i]);
        uint64_t product = times_bit(tau[i], z[i]) + t[i] + choose(d[i], q[0][i], q[1][i]);
        uint64_t own = times_bit(tau[i], c) + times_bit(gi, negate_if(tau[i], c));
        w[i] = sotto_low_bits(own + negate_if(gi, product) - r_next[i], l);
        g[i] = gi;
    }
}

void sotto_select_finish(unsigned l, uint64_t *e, const uint64_t *g, const uint64_t *w, const uint64_t *pi, const uint64_t *d,
                         const uint64_t *a_next, const uint64_t *t, const uint64_t *const q[2], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t product = t[i] + choose(d[i], q[0][i], q[1][i]);
        e[i] = sotto_low_bits(w[i] + times_bit(g[i] ^ pi[i], a_next[i]) + negate_if(g[i], product), l);
    }
}
