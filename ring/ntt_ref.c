/* Portable kernels. Two layers are done per pass over the data (radix 4), which halves the loads and stores and, as the
 * ranges show, the reductions. */
#include "ring/kernels.h"

/* Two forward layers (Cooley-Tukey) on the block x[0..4 gap), w1 for the first, w2 and w3 for the second layer. In and
 * out: [0, 8q). */
static inline void forward4(uint64_t *x, size_t gap, sotto_shoup w1, sotto_shoup w2, sotto_shoup w3, uint64_t q)
{
    for (size_t j = 0; j < gap; j++) {
        uint64_t x0 = sotto_mod_once(x[j], 4 * q);                              /* [0, 4q) */
        uint64_t x1 = sotto_mod_once(x[j + gap], 4 * q);                        /* [0, 4q) */
        uint64_t y2 = sotto_shoup_mul_lazy(x[j + 2 * gap], w1, q);        /* [0, 2q) */
        uint64_t y3 = sotto_shoup_mul_lazy(x[j + 3 * gap], w1, q);        /* [0, 2q) */
        uint64_t u0 = x0 + y2, u2 = x0 + 2 * q - y2;                      /* [0, 6q) */
        uint64_t v1 = sotto_shoup_mul_lazy(x1 + y3, w2, q);               /* [0, 2q) */
        uint64_t v3 = sotto_shoup_mul_lazy(x1 + 2 * q - y3, w3, q);       /* [0, 2q) */
        x[j] = u0 + v1;                                                   /* all [0, 8q) */
        x[j + gap] = u0 + 2 * q - v1;
        x[j + 2 * gap] = u2 + v3;
        x[j + 3 * gap] = u2 + 2 * q - v3;
    }
}

/* All layers. In: [0, 4q), out: [0, 8q). Longa and Naehrig, algorithm 1; between passes values stay in [0, 8q). */
static void forward_layers(const sotto_ntt *t, uint64_t *x)
{
    uint64_t q = t->m.q;
    const sotto_shoup *root = t->root;
    size_t gap = t->n, blocks = 1;

    if (__builtin_ctz(t->n) & 1) { /* an odd number of layers: one alone first */
        gap /= 2;
        for (size_t j = 0; j < gap; j++) {
            uint64_t u = x[j];                                             /* [0, 4q) */
            uint64_t v = sotto_shoup_mul_lazy(x[j + gap], root[1], q);     /* [0, 2q) */
            x[j] = u + v;                                                  /* [0, 6q) */
            x[j + gap] = u + 2 * q - v;                                    /* [0, 6q) */
        }
        blocks = 2;
    }
    for (; gap > 4; blocks *= 4) {
        gap /= 4;
        for (size_t i = 0; i < blocks; i++)
            forward4(x + 4 * gap * i, gap, root[blocks + i], root[2 * (blocks + i)], root[2 * (blocks + i) + 1], q);
    }
    if (gap == 4) /* the last pass by itself, so that the compiler drops the inner loop */
        for (size_t i = 0; i < blocks; i++)
            forward4(x + 4 * i, 1, root[blocks + i], root[2 * (blocks + i)], root[2 * (blocks + i) + 1], q);
}

static void forward_lazy(const sotto_ntt *t, uint64_t *x)
{
    uint64_t q = t->m.q;
    forward_layers(t, x);
    for (uint32_t i = 0; i < t->n; i++)
        x[i] = sotto_mod_once(x[i], 4 * q);
}

static void forward(const sotto_ntt *t, uint64_t *x)
{
    uint64_t q = t->m.q;
    forward_layers(t, x);
    for (uint32_t i = 0; i < t->n; i++)
        x[i] = sotto_mod_once(sotto_mod_once(sotto_mod_once(x[i], 4 * q), 2 * q), q);
}

/* Two inverse layers (Gentleman-Sande) on the block x[0..4 gap), w2 and w3 for the first, w1 for the second layer.
 * In and out: [0, 2q). */
static inline void inverse4(uint64_t *x, size_t gap, sotto_shoup w1, sotto_shoup w2, sotto_shoup w3, uint64_t q)
{
    for (size_t j = 0; j < gap; j++) {
        uint64_t x0 = x[j], x1 = x[j + gap], x2 = x[j + 2 * gap], x3 = x[j + 3 * gap];
        uint64_t u0 = x0 + x1, u2 = x2 + x3;                               /* [0, 4q) */
        uint64_t u1 = sotto_shoup_mul_lazy(x0 + 2 * q - x1, w2, q);        /* [0, 2q) */
        uint64_t u3 = sotto_shoup_mul_lazy(x2 + 2 * q - x3, w3, q);        /* [0, 2q) */
        x[j] = sotto_mod_once(sotto_mod_once(u0 + u2, 4 * q), 2 * q);                  /* from [0, 8q) */
        x[j + gap] = sotto_mod_once(u1 + u3, 2 * q);                             /* from [0, 4q) */
        x[j + 2 * gap] = sotto_shoup_mul_lazy(u0 + 4 * q - u2, w1, q);
        x[j + 3 * gap] = sotto_shoup_mul_lazy(u1 + 2 * q - u3, w1, q);
    }
}

/* Longa and Naehrig, algorithm 2. The last pass multiplies by n^-1: the sums by n^-1, the differences by n^-1 w. */
static void inverse(const sotto_ntt *t, uint64_t *x)
{
    uint64_t q = t->m.q;
    const sotto_shoup *root = t->root_inverse;
    size_t gap = 1, blocks = t->n / 4;

    if (blocks > 1) { /* the first pass by itself, so that the compiler drops the inner loop */
        for (size_t i = 0; i < blocks; i++)
            inverse4(x + 4 * i, 1, root[blocks + i], root[2 * (blocks + i)], root[2 * (blocks + i) + 1], q);
        gap = 4;
        blocks /= 4;
    }
    for (; blocks > 1; gap *= 4, blocks /= 4)
        for (size_t i = 0; i < blocks; i++)
            inverse4(x + 4 * gap * i, gap, root[blocks + i], root[2 * (blocks + i)], root[2 * (blocks + i) + 1], q);

    if (blocks == 1) {
        for (size_t j = 0; j < gap; j++) {
            uint64_t x0 = x[j], x1 = x[j + gap], x2 = x[j + 2 * gap], x3 = x[j + 3 * gap];
            uint64_t u0 = x0 + x1, u2 = x2 + x3;                               /* [0, 4q) */
            uint64_t u1 = sotto_shoup_mul_lazy(x0 + 2 * q - x1, root[2], q);   /* [0, 2q) */
            uint64_t u3 = sotto_shoup_mul_lazy(x2 + 2 * q - x3, root[3], q);   /* [0, 2q) */
            x[j] = sotto_shoup_mul(u0 + u2, t->n_inverse, q);                  /* all [0, q) */
            x[j + gap] = sotto_shoup_mul(u1 + u3, t->n_inverse, q);
            x[j + 2 * gap] = sotto_shoup_mul(u0 + 4 * q - u2, t->n_inverse_root, q);
            x[j + 3 * gap] = sotto_shoup_mul(u1 + 2 * q - u3, t->n_inverse_root, q);
        }
    } else { /* an odd number of layers: one is left */
        for (size_t j = 0; j < gap; j++) {
            uint64_t x0 = x[j], x1 = x[j + gap];
            x[j] = sotto_shoup_mul(x0 + x1, t->n_inverse, q);                  /* [0, q) */
            x[j + gap] = sotto_shoup_mul(x0 + 2 * q - x1, t->n_inverse_root, q);
        }
    }
}

/* Barrett reduction of z < 4q^2 with a one-word reciprocal. With b = bits(q) <= 61, h = floor(z / 2^(b-1)) < 2^(b+3) <=
 * 2^64 and mu = floor(2^(63+b) / q) < 2^64: h mu / 2^64 > z/q - 2^(b-1)/q - h/2^64 > z/q - 2, so its floor is short of
 * floor(z/q) by at most 2 and the remainder is below 3q. (Both subtractions are needed: 2q is reached for b = 61.) */
typedef struct barrett {
    uint64_t q, mu;
    unsigned shift;
} barrett;

static barrett barrett_new(const sotto_modulus *m)
{
    barrett r = {m->q, (m->ratio[1] << (m->bits - 1)) | (m->ratio[0] >> (65 - m->bits)), m->bits - 1};
    return r;
}

static inline uint64_t barrett_reduce(sotto_u128 z, barrett r)
{
    uint64_t remainder = (uint64_t)z - sotto_mulhi64((uint64_t)(z >> r.shift), r.mu) * r.q; /* [0, 3q) */
    return sotto_mod_once(sotto_mod_once(remainder, 2 * r.q), r.q);
}

static void mul(const sotto_ntt *t, uint64_t *out, const uint64_t *a, const uint64_t *b)
{
    barrett r = barrett_new(&t->m);
    for (uint32_t i = 0; i < t->n; i++)
        out[i] = barrett_reduce((sotto_u128)sotto_mod_once(a[i], 2 * r.q) * sotto_mod_once(b[i], 2 * r.q), r);
}

static void mac(const sotto_ntt *t, uint64_t *acc, const uint64_t *a, const uint64_t *b)
{
    barrett r = barrett_new(&t->m);
    for (uint32_t i = 0; i < t->n; i++) /* (2q - 1)^2 + q - 1 < 4q^2 */
        acc[i] = barrett_reduce((sotto_u128)sotto_mod_once(a[i], 2 * r.q) * sotto_mod_once(b[i], 2 * r.q) + acc[i], r);
}

/* Sums of products below 2^122: 63 of them and a residue fit 128 bits. */
#define DOT_RUN 63

static void dot_pair(const sotto_ntt *t, uint64_t *out0, uint64_t *out1, const uint64_t *const *x0, const uint64_t *const *x1,
                     const uint64_t *const *w, size_t terms)
{
    for (uint32_t i = 0; i < t->n; i++) {
        sotto_u128 sum0 = 0, sum1 = 0;
        for (size_t k = 0, run = 0; k < terms; k++, run++) {
            if (run == DOT_RUN) {
                sum0 = sotto_mod_reduce128(sum0, &t->m);
                sum1 = sotto_mod_reduce128(sum1, &t->m);
                run = 0;
            }
            sum0 += (sotto_u128)x0[k][i] * w[k][i];
            sum1 += (sotto_u128)x1[k][i] * w[k][i];
        }
        out0[i] = sotto_mod_reduce128(sum0, &t->m);
        out1[i] = sotto_mod_reduce128(sum1, &t->m);
    }
}

const sotto_ntt_kernels sotto_ntt_kernels_ref = {
    .name = "portable", .tier = SOTTO_TIER_PORTABLE, .bits_max = SOTTO_MODULUS_BITS_MAX, .n_min = 2,
    .forward = forward, .forward_lazy = forward_lazy, .inverse = inverse, .mul = mul, .mac = mac, .dot_pair = dot_pair,
};
