/* Portable base conversion. */
#include "ring/convert_internal.h"

#define TILE 64u /* values at a time: their weights stay in the first cache */

/* z mod q for z < 2^(b + 63), b = bits(q), with a reciprocal of one word. h = floor(z / 2^(b-1)) < 2^64 and mu =
 * floor(2^(63+b) / q) < 2^64: h mu / 2^64 > z/q - 2^(b-1)/q - h/2^64 > z/q - 2, so its floor is short of floor(z/q) by at
 * most 2 and the remainder is below 3q < 2^63. */
static inline uint64_t reduce_narrow(sotto_u128 z, const sotto_modulus *m)
{
    uint64_t mu = (m->ratio[1] << (m->bits - 1)) | (m->ratio[0] >> (65 - m->bits));
    uint64_t r = (uint64_t)z - sotto_mulhi64((uint64_t)(z >> (m->bits - 1)), mu) * m->q;
    return sotto_mod_once(sotto_mod_once(r, 2 * m->q), m->q);
}

/* sum_i y_i term_i + v minus (+ addend). With y_i < 2^58 and k <= 16: below 16 2^58 2^b + 16 2^b + 2^b < 2^(b + 63),
 * which is what reduce_narrow takes; longer primes: below 16 (2^61 - 1)^2 + 17 2^61 < 2^128. `k` and `narrow` are
 * constants where this is inlined. */
static inline void sums(uint64_t *out, const uint64_t *y, const uint64_t *v, const sotto_convert_target *t, size_t k, int narrow,
                        const uint64_t *addend, size_t count)
{
    for (size_t j = 0; j < count; j++) {
        sotto_u128 z = (sotto_u128)v[j] * t->minus;
        if (addend != NULL)
            z += addend[j];
        for (size_t i = 0; i < k; i++)
            z += (sotto_u128)y[i * TILE + j] * t->term[i];
        out[j] = narrow ? reduce_narrow(z, &t->m) : sotto_mod_reduce128(z, &t->m);
    }
}

static void run(const sotto_convert *c, uint64_t *out, size_t stride_out, const uint64_t *x, size_t stride_in,
                const uint64_t *addend, size_t count)
{
    uint64_t y[SOTTO_RNS_MAX * TILE], v[TILE];
    for (size_t start = 0; start < count; start += TILE) {
        const size_t some = count - start < TILE ? count - start : TILE;
        for (size_t j = 0; j < some; j++)
            v[j] = (uint64_t)1 << (SOTTO_CONVERT_UNIT - 1); /* one half */
        for (size_t i = 0; i < c->k; i++) {
            const sotto_convert_source *s = &c->from[i];
            const uint64_t *word = x + i * stride_in + start;
            uint64_t *weight = y + i * TILE;
            for (size_t j = 0; j < some; j++) {
                weight[j] = c->weights ? word[j] : sotto_shoup_mul(word[j], s->factor, s->m.q);
                v[j] += sotto_mulhi64(weight[j] << (64 - s->m.bits), s->mu);
            }
        }
        for (size_t j = 0; j < some; j++)
            v[j] >>= SOTTO_CONVERT_UNIT; /* [0, k] */
        for (size_t o = 0; o < c->l; o++) {
            const size_t at = o * stride_out + start;
            const uint64_t *more = addend != NULL ? addend + at : NULL;
            const sotto_convert_target *t = &c->to[o];
            switch (c->narrow ? c->k : 0) { /* loops of known length where it pays */
            case 0:
                sums(out + at, y, v, t, c->k, 0, more, some);
                break;
            case 1:
                sums(out + at, y, v, t, 1, 1, more, some);
                break;
            case 3:
                sums(out + at, y, v, t, 3, 1, more, some);
                break;
            case 4:
                sums(out + at, y, v, t, 4, 1, more, some);
                break;
            default:
                sums(out + at, y, v, t, c->k, 1, more, some);
            }
        }
    }
}

void sotto_convert_lift_ref(uint64_t *out, const uint64_t *x, size_t count, const sotto_convert_offset *o)
{
    for (size_t j = 0; j < count; j++)
        out[j] = x[j] + (o->offset & (0 - ((o->half - x[j]) >> 63)));
}

const sotto_convert_kernels sotto_convert_kernels_ref = {
    .tier = SOTTO_TIER_PORTABLE, .bits_max = SOTTO_MODULUS_BITS_MAX, .k_max = SOTTO_RNS_MAX, .run = run,
};
