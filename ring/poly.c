#include "ring/poly.h"

#include "lib/mem.h"
#include "ring/rns_internal.h"

size_t sotto_poly_words(const sotto_rns *b)
{
    return sotto_rns_count(b) * sotto_rns_n(b);
}

uint64_t *sotto_poly_new(const sotto_rns *b)
{
    return sotto_calloc(sotto_poly_words(b), sizeof(uint64_t));
}

void sotto_poly_add(const sotto_rns *b, uint64_t *out, const uint64_t *x, const uint64_t *y)
{
    for (size_t i = 0; i < b->k; i++)
        b->kernels->add(&b->m[i], out + i * b->n, x + i * b->n, y + i * b->n, b->n);
}

void sotto_poly_sub(const sotto_rns *b, uint64_t *out, const uint64_t *x, const uint64_t *y)
{
    for (size_t i = 0; i < b->k; i++)
        b->kernels->sub(&b->m[i], out + i * b->n, x + i * b->n, y + i * b->n, b->n);
}

void sotto_poly_neg(const sotto_rns *b, uint64_t *out, const uint64_t *x)
{
    for (size_t i = 0; i < b->k; i++)
        b->kernels->neg(&b->m[i], out + i * b->n, x + i * b->n, b->n);
}

void sotto_poly_mul_ntt(const sotto_rns *b, uint64_t *out, const uint64_t *x, const uint64_t *y)
{
    size_t n = sotto_rns_n(b);
    for (size_t i = 0; i < sotto_rns_count(b); i++)
        sotto_ntt_mul(sotto_rns_ntt(b, i), out + i * n, x + i * n, y + i * n);
}

void sotto_poly_mac_ntt(const sotto_rns *b, uint64_t *acc, const uint64_t *x, const uint64_t *y)
{
    size_t n = sotto_rns_n(b);
    for (size_t i = 0; i < sotto_rns_count(b); i++)
        sotto_ntt_mac(sotto_rns_ntt(b, i), acc + i * n, x + i * n, y + i * n);
}

void sotto_poly_forward(const sotto_rns *b, uint64_t *x)
{
    size_t n = sotto_rns_n(b);
    for (size_t i = 0; i < sotto_rns_count(b); i++)
        sotto_ntt_forward(sotto_rns_ntt(b, i), x + i * n);
}

void sotto_poly_inverse(const sotto_rns *b, uint64_t *x)
{
    size_t n = sotto_rns_n(b);
    for (size_t i = 0; i < sotto_rns_count(b); i++)
        sotto_ntt_inverse(sotto_rns_ntt(b, i), x + i * n);
}

void sotto_poly_from_signed(const sotto_rns *b, uint64_t *out, const int64_t *coeff)
{
    for (size_t i = 0; i < b->k; i++)
        b->kernels->from_signed(&b->m[i], out + i * b->n, coeff, b->n);
}

void sotto_poly_add_signed(const sotto_rns *b, uint64_t *out, const uint64_t *x, const int64_t *coeff)
{
    for (size_t i = 0; i < b->k; i++)
        b->kernels->add_signed(&b->m[i], out + i * b->n, x + i * b->n, coeff, b->n);
}
