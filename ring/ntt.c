#include "ring/ntt.h"

#include "lib/mem.h"
#include "ring/kernels.h"
#include "ring/prime.h"

/* table[i] = base^bitrev(i), i < n. For i < f, a power of two, bitrev(f + i) = n/(2f) + bitrev(i): each step doubles the
 * part that is filled. */
static void fill_roots(sotto_shoup *table, uint32_t n, uint64_t base, const sotto_modulus *m)
{
    table[0] = sotto_shoup_new(1, m);
    for (uint32_t filled = 1; filled < n; filled *= 2) {
        sotto_shoup step = sotto_shoup_new(sotto_mod_pow_var(base, n / (2 * filled), m), m);
        for (uint32_t i = 0; i < filled; i++)
            table[filled + i] = sotto_shoup_new(sotto_shoup_mul(table[i].w, step, m->q), m);
    }
}

const sotto_ntt_kernels *const sotto_ntt_tiers[] = {
#if defined(__x86_64__)
    &sotto_ntt_kernels_ifma46, &sotto_ntt_kernels_ifma,
    &sotto_ntt_kernels_avx512_double,
    &sotto_ntt_kernels_avx512,
    &sotto_ntt_kernels_avx2,
#endif
    &sotto_ntt_kernels_ref,
};

const size_t sotto_ntt_tier_count = sizeof sotto_ntt_tiers / sizeof sotto_ntt_tiers[0];

/* The fastest tier that this CPU has and that serves n and q. */
static const sotto_ntt_kernels *choose_kernels(uint32_t n, uint64_t q)
{
    const sotto_ntt_kernels *const *tier = sotto_ntt_tiers;
    while ((*tier)->tier > sotto_cpu_tier() || n < (*tier)->n_min || q >> (*tier)->bits_max != 0)
        tier++; /* the last one serves all */
    return *tier;
}

int sotto_ntt_new(sotto_ntt **out, uint32_t n, uint64_t q)
{
    *out = NULL;
    if (n < 2 || n > SOTTO_NTT_N_MAX || (n & (n - 1)) != 0)
        return sotto_fail(SOTTO_ERR_PARAMS, "transform length %u: expected a power of two up to %u", (unsigned)n,
                          SOTTO_NTT_N_MAX);
    uint64_t psi = 0;
    int status = sotto_primitive_root_var(&psi, q, n);
    if (status != SOTTO_OK)
        return status;

    sotto_ntt *t = sotto_calloc(1, sizeof *t);
    sotto_shoup *root = sotto_calloc(n, sizeof *root);
    sotto_shoup *root_inverse = sotto_calloc(n, sizeof *root_inverse);
    if (t == NULL || root == NULL || root_inverse == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for the tables of a transform of length %u", (unsigned)n);
        goto fail;
    }
    status = sotto_modulus_init(&t->m, q);
    if (status != SOTTO_OK)
        goto fail;
    t->n = n;
    t->kernels = choose_kernels(n, q);
    t->root = root;
    t->root_inverse = root_inverse;
    fill_roots(root, n, psi, &t->m);
    fill_roots(root_inverse, n, sotto_mod_inv(psi, &t->m), &t->m);
    t->n_inverse = sotto_shoup_new(sotto_mod_inv(n, &t->m), &t->m);
    t->n_inverse_root = sotto_shoup_new(sotto_shoup_mul(root_inverse[1].w, t->n_inverse, q), &t->m);
    if (t->kernels->prepare != NULL)
        status = t->kernels->prepare(t);
    if (status != SOTTO_OK)
        goto fail;
    *out = t;
    return SOTTO_OK;

fail:
    sotto_free(root);
    sotto_free(root_inverse);
    sotto_free(t);
    return status;
}

void sotto_ntt_free(sotto_ntt *t)
{
    if (t == NULL)
        return;
    sotto_free(t->root);
    sotto_free(t->root_inverse);
    sotto_free(t->vector);
    sotto_free(t);
}

const sotto_modulus *sotto_ntt_modulus(const sotto_ntt *t)
{
    return &t->m;
}

uint32_t sotto_ntt_n(const sotto_ntt *t)
{
    return t->n;
}

const char *sotto_ntt_tier(const sotto_ntt *t)
{
    return t->kernels->name;
}

void sotto_ntt_forward(const sotto_ntt *t, uint64_t *x)
{
    t->kernels->forward(t, x);
}

void sotto_ntt_forward_lazy(const sotto_ntt *t, uint64_t *x)
{
    t->kernels->forward_lazy(t, x);
}

void sotto_ntt_inverse(const sotto_ntt *t, uint64_t *x)
{
    t->kernels->inverse(t, x);
}

void sotto_ntt_mul(const sotto_ntt *t, uint64_t *out, const uint64_t *a, const uint64_t *b)
{
    t->kernels->mul(t, out, a, b);
}

void sotto_ntt_mac(const sotto_ntt *t, uint64_t *acc, const uint64_t *a, const uint64_t *b)
{
    t->kernels->mac(t, acc, a, b);
}

void sotto_ntt_dot_pair(const sotto_ntt *t, uint64_t *out0, uint64_t *out1, const uint64_t *const *x0,
                        const uint64_t *const *x1, const uint64_t *const *w, size_t terms)
{
    t->kernels->dot_pair(t, out0, out1, x0, x1, w, terms);
}

/* Terms whose addresses are kept at a time. */
#define RUN 64u

void sotto_ntt_dot_pair_grouped(const sotto_ntt *t, uint64_t *out0, uint64_t *out1, sotto_ntt_terms x0, sotto_ntt_terms x1, sotto_ntt_terms w, size_t terms)
{
    const uint64_t *a[RUN], *b[RUN], *y[RUN];
    uint64_t rest0[SOTTO_NTT_GROUP], rest1[SOTTO_NTT_GROUP];
    sotto_ntt group = *t; /* slots do not depend on each other, so a sum over fewer of them is one of a shorter length */
    group.n = SOTTO_NTT_GROUP;
    for (size_t from = 0; from < t->n; from += SOTTO_NTT_GROUP, x0.at += x0.group, x1.at += x1.group, w.at += w.group) {
        size_t k = 0;
        do { /* once for no terms: it writes zeros */
            const size_t run = terms - k < RUN ? terms - k : RUN;
            for (size_t j = 0; j < run; j++) {
                a[j] = x0.at + (k + j) * x0.term;
                b[j] = x1.at + (k + j) * x1.term;
                y[j] = w.at + (k + j) * w.term;
            }
            t->kernels->dot_pair(&group, k == 0 ? out0 + from : rest0, k == 0 ? out1 + from : rest1, a, b, y, run);
            for (size_t i = 0; k > 0 && i < SOTTO_NTT_GROUP; i++) {
                out0[from + i] = sotto_mod_add(out0[from + i], rest0[i], t->m.q);
                out1[from + i] = sotto_mod_add(out1[from + i], rest1[i], t->m.q);
            }
            k += run;
        } while (k < terms);
    }
    sotto_wipe(rest0, sizeof rest0); /* sums over weights */
    sotto_wipe(rest1, sizeof rest1);
}
