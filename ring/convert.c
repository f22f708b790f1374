#include "ring/convert.h"

#include "lib/mem.h"
#include "ring/convert_internal.h"

/* The product of the primes of b but number `skip`, modulo m. */
static uint64_t product_without(const sotto_rns *b, size_t skip, const sotto_modulus *m)
{
    uint64_t product = 1;
    for (size_t i = 0; i < sotto_rns_count(b); i++)
        if (i != skip)
            product = sotto_mod_mul(product, sotto_rns_modulus(b, i)->q, m);
    return product;
}

void sotto_convert_weights(const sotto_rns *b, uint64_t *w)
{
    for (size_t i = 0; i < sotto_rns_count(b); i++) {
        const sotto_modulus *m = sotto_rns_modulus(b, i);
        w[i] = sotto_mod_inv(product_without(b, i, m), m);
    }
}

void sotto_convert_product(const sotto_rns *of, uint64_t *r, const sotto_rns *modulo)
{
    for (size_t j = 0; j < sotto_rns_count(modulo); j++)
        r[j] = product_without(of, SOTTO_RNS_MAX, sotto_rns_modulus(modulo, j));
}

/* The fastest tier that this CPU has and that serves all primes. */
static const sotto_convert_kernels *choose_kernels(unsigned bits, size_t k)
{
    static const sotto_convert_kernels *const tiers[] = {
#if defined(__x86_64__)
        &sotto_convert_kernels_ifma,
#endif
        &sotto_convert_kernels_ref,
    };
    size_t i = 0;
    while (tiers[i]->tier > sotto_cpu_tier() || bits > tiers[i]->bits_max || k > tiers[i]->k_max)
        i++; /* the last one serves all */
    return tiers[i];
}

int sotto_convert_new(sotto_convert **out, const sotto_rns *from, const sotto_rns *to, const uint64_t *factor_in,
                      const uint64_t *factor_out)
{
    *out = NULL;
    if (sotto_rns_n(from) != sotto_rns_n(to))
        return sotto_fail(SOTTO_ERR_ARG, "conversion between bases of lengths %u and %u", (unsigned)sotto_rns_n(from),
                          (unsigned)sotto_rns_n(to));
    sotto_convert *c = sotto_calloc(1, sizeof *c);
    if (c == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a base conversion");
    unsigned bits_from = 0, bits_to = 0;
    int good = 1;
    c->k = sotto_rns_count(from);
    c->l = sotto_rns_count(to);
    c->weights = factor_in == NULL;
    for (size_t i = 0; i < c->k; i++) {
        sotto_convert_source *s = &c->from[i];
        s->m = *sotto_rns_modulus(from, i);
        good &= c->weights || factor_in[i] < s->m.q;
        s->factor = sotto_shoup_new(c->weights ? 1 : factor_in[i], &s->m);
        s->mu = (uint64_t)(((sotto_u128)1 << (SOTTO_CONVERT_UNIT + s->m.bits)) / s->m.q);
        bits_from = s->m.bits > bits_from ? s->m.bits : bits_from;
    }
    for (size_t j = 0; j < c->l; j++) {
        sotto_convert_target *t = &c->to[j];
        t->m = *sotto_rns_modulus(to, j);
        uint64_t factor = factor_out == NULL ? 1 : factor_out[j];
        good &= factor < t->m.q;
        for (size_t i = 0; i < c->k; i++)
            t->term[i] = sotto_mod_mul(factor, product_without(from, i, &t->m), &t->m);
        t->minus = sotto_mod_neg(sotto_mod_mul(factor, product_without(from, SOTTO_RNS_MAX, &t->m), &t->m), t->m.q);
        bits_to = t->m.bits > bits_to ? t->m.bits : bits_to;
    }
    if (!good) {
        sotto_free(c);
        return sotto_fail(SOTTO_ERR_ARG, "base conversion with a factor that is not below its prime");
    }
    c->kernels = choose_kernels(bits_from > bits_to ? bits_from : bits_to, c->k);
    c->narrow = bits_from <= 58;
    *out = c;
    return SOTTO_OK;
}

void sotto_convert_free(sotto_convert *c)
{
    sotto_free(c);
}

void sotto_convert_run(const sotto_convert *c, uint64_t *out, size_t stride_out, const uint64_t *x, size_t stride_in,
                       const uint64_t *addend, size_t count)
{
    c->kernels->run(c, out, stride_out, x, stride_in, addend, count);
}

/* Negative X are represented by X + 4q where a < 8q, so that no reduction is needed: X >= -a/2 > -4q, and X <= a/2 < 4q.
 * Otherwise x, or x plus what makes a multiple of q of a, below 2^62, is reduced. */
void sotto_convert_lift(uint64_t *out, const uint64_t *x, size_t count, const sotto_modulus *a, const sotto_modulus *q)
{
    const int reduces = a->q / 8 >= q->q;
    const sotto_convert_offset o = {a->q / 2, reduces ? q->q - sotto_mod_reduce(a->q, q) : 4 * q->q - a->q};
#if defined(__x86_64__)
    if (sotto_cpu_tier() >= SOTTO_TIER_IFMA)
        sotto_convert_lift_ifma(out, x, count, &o);
    else
#endif
        sotto_convert_lift_ref(out, x, count, &o);
    for (size_t j = 0; j < count && reduces; j++)
        out[j] = sotto_mod_reduce(out[j], q);
}
