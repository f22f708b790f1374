/* The three steps of a unit on additive shares, as local arithmetic: truncate, sign, select. No messages are sent
 * here; each function says what it takes from correlated OT (prepare) and what must travel (infer).
 *
 * A value y of Z_{2^l} is y = a + c mod 2^l, a at the server, c at the client. The client knows c when it prepares, the server knows a
 * only when the image is there. ReLU = truncate, sign, select; identity = truncate alone. Bits are words 0 or 1. Every function is constant
 * time in shares and bits; arrays have `count` items; an output overlaps no input.
 */
#ifndef SOTTO_NN_SECURE_STEP_H
#define SOTTO_NN_SECURE_STEP_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

/* ---- truncate: drop f low bits, move from ring 2^l to ring 2^l_next ------------------------------------------------
 *
 * If l_next <= l - f both shift their shares. Otherwise m = l_next - (l - f) bits are to be found that the shares do not have: the
 * carry of a + c out of l bits. With y' = y + 2^(l-2) in [0, 2^(l-1)) it is msb(a') OR msb(c) = 1 - abar cbar (bars negate): if neither
 * share has its top bit, a' + c < 2^l; if one has and there were no carry, y' >= 2^(l-1).
 * OT gives shares of rho cbar modulo 2^m for a random bit rho of the server, who sends d = abar xor rho.
 * Range of y: [-2^(l-2), 2^(l-2) - 2^f]. The result is y / 2^f, rounded up or down, and 0 for 0. */
typedef struct sotto_truncation {
    unsigned l, f, l_next; /* f < l - 1, l and l_next at most 60 */
} sotto_truncation;

/* SOTTO_ERR_PARAMS naming the field. */
SOTTO_MUST_CHECK int sotto_truncation_check(sotto_truncation t);
/* m; 0 when the truncation is local. */
static inline unsigned sotto_truncation_widen(sotto_truncation t)
{
    return t.l_next > t.l - t.f ? t.l_next - (t.l - t.f) : 0;
}
/* Client, prepare: its choice bits cbar for the OT. */
void sotto_truncate_choices(sotto_truncation t, uint64_t *cbar, const uint64_t *c, size_t count);
/* Client, prepare: from its shares p of rho cbar mod 2^m both results, C_0 for d = 0 in c_next and C_1 = C_0 + 2^(l-f) step for d = 1; step is modulo 2^m.
 * step and p are NULL when m = 0. */
void sotto_truncate_client(sotto_truncation t, uint64_t *c_next, uint64_t *step, const uint64_t *c, const uint64_t *p, size_t count);
/* out = zero + 2^(l-f) step d mod 2^l_next: C_d, or the client's or server's share of a multiple of it. */
void sotto_truncate_pick(sotto_truncation t, uint64_t *out, const uint64_t *zero, const uint64_t *step, const uint64_t *d, size_t count);
/* Server, infer: its result and the bits d to send (zero when m = 0), from its share a, rho and its share p (NULL both when m = 0). */
void sotto_truncate_server(sotto_truncation t, uint64_t *a_next, uint64_t *d, const uint64_t *a, const uint64_t *rho,
                           const uint64_t *p, size_t count);
/* What the parties' results add up to, in [0, 2^l_next): a function of y mod 2^l and the client's share alone. */
uint64_t sotto_truncate_reference(sotto_truncation t, uint64_t y, uint64_t c);

/* ---- sign ----------------------------------------------------------------------------------------------------------
 *
 * Only the top u = k - j bits of the shares modulo 2^k enter, the server having added half a step 2^(j-1). Right for y in
 * [-2^(k-1) + 2^(j-1), 2^(k-1) - 2^(j-1)), except that |y| < 2^(j-1) or so may go either way. */
typedef struct sotto_sign_window {
    unsigned k, j; /* 1 <= u = k - j, k <= l */
} sotto_sign_window;

/* The values for which the decision is right when both sides shift their shares left by `lift` bits first, lift < k: low <= y <= high. With lift >= j nothing is below a step; else one
 * value more below would do. */
static inline void sotto_sign_range(sotto_sign_window w, unsigned lift, int64_t *low, int64_t *high)
{
    const int64_t room = (INT64_C(1) << (w.k - 1)) - (w.j > lift ? INT64_C(1) << (w.j - 1) : 0); /* -room <= y 2^lift < room */
    *low = -(room >> lift);
    *high = (room - 1) >> lift;
}

/* The u bits that each side puts into the sign decision. */
void sotto_sign_top_server(sotto_sign_window w, uint64_t *top, const uint64_t *a, size_t count);
void sotto_sign_top_client(sotto_sign_window w, uint64_t *top, const uint64_t *c, size_t count);
/* The decision, 1 for y >= 0: a function of y mod 2^k and the client's share alone. */
uint64_t sotto_sign_reference(sotto_sign_window w, uint64_t y, uint64_t c);

/* ---- select: b x, x = A + C_d, for a bit b = bC xor pi ----------------------------------------------------------------
 *
 * prepare: pi random at the server, tau random at the client. t: shares of tau zeta (OT towards the client); zeta uniform at the server. q_d:
 * shares of pi (1 - 2 tau) C_d for d = 0, 1 (OT towards the server). All modulo 2^l. What is used is t + q_d, `product` below.
 * infer: server -> client: d, Z and its half of the sign decision; client -> server: g = bC xor tau and w.
 * zeta and the client's next mask r_next are uniform over the whole ring and used once; they alone protect q, which is no mask. */

/* Client, prepare: (1 - 2 tau) x modulo 2^64, the numbers of its products with pi. */
void sotto_select_turn(uint64_t *out, const uint64_t *tau, const uint64_t *x, size_t count);
/* Server: Z = (1 - 2 pi) A - zeta. */
void sotto_select_offer(unsigned l, uint64_t *z, const uint64_t *a_next, const uint64_t *pi, const uint64_t *zeta, size_t count);
/* Client: g and w = tau C_d + (1 - 2g)(tau Z + t + q_d) + g (1 - 2 tau) C_d - r_next. */
void sotto_select_answer(unsigned l, uint64_t *g, uint64_t *w, const uint64_t *b_client, const uint64_t *tau, const uint64_t *z,
                         const uint64_t *c, const uint64_t *product, const uint64_t *r_next, size_t count);
/* Server: e = b x - r_next = w + (g xor pi) A + (1 - 2g)(t + q_d). */
void sotto_select_finish(unsigned l, uint64_t *e, const uint64_t *g, const uint64_t *w, const uint64_t *pi, const uint64_t *a_next,
                         const uint64_t *product, size_t count);

#endif
