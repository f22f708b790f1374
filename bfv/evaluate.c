#include "bfv/evaluate.h"

#include "bfv/internal.h"
#include "lib/mem.h"
#include "ring/poly.h"

static int check_same_form(const sotto_bfv_ct *x, const sotto_bfv_ct *y)
{
    if (!x->ntt != !y->ntt)
        return sotto_fail(SOTTO_ERR_ARG, "one ciphertext in NTT form and one in coefficient form: convert one of them");
    return SOTTO_OK;
}

static int check_ntt(const sotto_bfv_ct *x)
{
    if (!x->ntt)
        return sotto_fail(SOTTO_ERR_ARG, "ciphertext in coefficient form where NTT form is needed: convert it first");
    return SOTTO_OK;
}

void sotto_bfv_to_ntt(sotto_bfv_ct *ct, const sotto_bfv_params *p)
{
    if (ct->ntt)
        return;
    sotto_poly_forward(sotto_bfv_rns(p), ct->c0);
    sotto_poly_forward(sotto_bfv_rns(p), ct->c1);
    ct->ntt = 1;
}

void sotto_bfv_to_coeff(sotto_bfv_ct *ct, const sotto_bfv_params *p)
{
    if (!ct->ntt)
        return;
    sotto_poly_inverse(sotto_bfv_rns(p), ct->c0);
    sotto_poly_inverse(sotto_bfv_rns(p), ct->c1);
    ct->ntt = 0;
}

int sotto_bfv_add(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_ct *y)
{
    int status = check_same_form(x, y);
    if (status != SOTTO_OK)
        return status;
    sotto_poly_add(sotto_bfv_rns(p), x->c0, x->c0, y->c0);
    sotto_poly_add(sotto_bfv_rns(p), x->c1, x->c1, y->c1);
    return SOTTO_OK;
}

int sotto_bfv_sub(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_ct *y)
{
    int status = check_same_form(x, y);
    if (status != SOTTO_OK)
        return status;
    sotto_poly_sub(sotto_bfv_rns(p), x->c0, x->c0, y->c0);
    sotto_poly_sub(sotto_bfv_rns(p), x->c1, x->c1, y->c1);
    return SOTTO_OK;
}

void sotto_bfv_neg(sotto_bfv_ct *x, const sotto_bfv_params *p)
{
    sotto_poly_neg(sotto_bfv_rns(p), x->c0, x->c0);
    sotto_poly_neg(sotto_bfv_rns(p), x->c1, x->c1);
}

typedef void poly_op(const sotto_rns *, uint64_t *, const uint64_t *, const uint64_t *);

/* c0 = c0 op round(Q m / t), in the form that x is in. */
static int combine_plain(sotto_bfv_ct *x, const sotto_bfv_params *p, const uint64_t *m, poly_op *op)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    uint32_t n = sotto_bfv_n(p);
    int status = sotto_bfv_check_message(p, m, n);
    if (status != SOTTO_OK)
        return status;
    uint64_t *scaled = sotto_poly_new(rns);
    if (scaled == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a scaled plaintext");
    sotto_rns_scale_up(rns, scaled, n, m, n, sotto_bfv_t(p));
    if (x->ntt)
        sotto_poly_forward(rns, scaled);
    op(rns, x->c0, x->c0, scaled);
    sotto_free_secret(scaled, sotto_poly_words(rns), sizeof *scaled);
    return SOTTO_OK;
}

int sotto_bfv_add_plain(sotto_bfv_ct *x, const sotto_bfv_params *p, const uint64_t *m)
{
    return combine_plain(x, p, m, sotto_poly_add);
}

int sotto_bfv_sub_plain(sotto_bfv_ct *x, const sotto_bfv_params *p, const uint64_t *m)
{
    return combine_plain(x, p, m, sotto_poly_sub);
}

int sotto_bfv_mul_plain(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_plain *w)
{
    int status = check_ntt(x);
    if (status != SOTTO_OK)
        return status;
    sotto_poly_mul_ntt(sotto_bfv_rns(p), x->c0, x->c0, w->ntt);
    sotto_poly_mul_ntt(sotto_bfv_rns(p), x->c1, x->c1, w->ntt);
    return SOTTO_OK;
}

int sotto_bfv_mac_plain(sotto_bfv_ct *acc, const sotto_bfv_params *p, const sotto_bfv_ct *x, const sotto_bfv_plain *w)
{
    int status = check_ntt(acc);
    if (status == SOTTO_OK)
        status = check_ntt(x);
    if (status != SOTTO_OK)
        return status;
    sotto_poly_mac_ntt(sotto_bfv_rns(p), acc->c0, x->c0, w->ntt);
    sotto_poly_mac_ntt(sotto_bfv_rns(p), acc->c1, x->c1, w->ntt);
    return SOTTO_OK;
}

int sotto_bfv_dot_plain(sotto_bfv_ct *out, const sotto_bfv_params *p, const sotto_bfv_ct *const *x,
                        const sotto_bfv_plain *const *w, size_t terms)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    const size_t n = sotto_bfv_n(p);
    for (size_t k = 0; k < terms; k++) {
        int status = check_ntt(x[k]);
        if (status != SOTTO_OK)
            return status;
    }
    const uint64_t **limb = sotto_calloc(3 * terms, sizeof *limb);
    if (limb == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a sum of %zu products", terms);
    const uint64_t **x0 = limb, **x1 = limb + terms, **factor = limb + 2 * terms;
    for (size_t i = 0; i < sotto_rns_count(rns); i++) {
        for (size_t k = 0; k < terms; k++) {
            x0[k] = x[k]->c0 + i * n;
            x1[k] = x[k]->c1 + i * n;
            factor[k] = w[k]->ntt + i * n;
        }
        sotto_ntt_dot_pair(sotto_rns_ntt(rns, i), out->c0 + i * n, out->c1 + i * n, x0, x1, factor, terms);
    }
    out->ntt = 1;
    sotto_free(limb);
    return SOTTO_OK;
}

/* 1 when `smaller` has the n, t and all primes of p but the last. */
static int is_next_below(const sotto_bfv_params *smaller, const sotto_bfv_params *p)
{
    const sotto_rns *a = sotto_bfv_rns(smaller), *b = sotto_bfv_rns(p);
    int fits = sotto_bfv_n(smaller) == sotto_bfv_n(p) && sotto_bfv_t(smaller) == sotto_bfv_t(p) &&
               sotto_rns_count(a) + 1 == sotto_rns_count(b);
    for (size_t i = 0; fits && i < sotto_rns_count(a); i++)
        fits = sotto_rns_modulus(a, i)->q == sotto_rns_modulus(b, i)->q;
    return fits;
}

int sotto_bfv_mod_switch(sotto_bfv_ct *out, const sotto_bfv_params *smaller, const sotto_bfv_ct *x,
                         const sotto_bfv_params *p)
{
    if (!is_next_below(smaller, p))
        return sotto_fail(SOTTO_ERR_ARG, "modulus switch to parameters that are not these without the last prime");
    if (x->ntt)
        return sotto_fail(SOTTO_ERR_ARG, "modulus switch of a ciphertext in NTT form: convert it to coefficients first");
    uint32_t n = sotto_bfv_n(p);
    sotto_rns_drop_last(sotto_bfv_rns(p), out->c0, x->c0, n, n);
    sotto_rns_drop_last(sotto_bfv_rns(p), out->c1, x->c1, n, n);
    out->ntt = 0;
    return SOTTO_OK;
}
