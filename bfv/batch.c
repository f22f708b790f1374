#include "bfv/batch.h"

#include <string.h>

#include "bfv/evaluate.h"
#include "bfv/internal.h"
#include "lib/mem.h"
#include "ring/poly.h"
#include "ring/prime.h"

struct sotto_bfv_batch {
    sotto_ntt *ntt; /* modulo t */
    uint32_t *place; /* slot i is place[i] of the transform */
};

int sotto_bfv_batch_modulus(uint64_t *t, uint32_t n, unsigned bits)
{
    return sotto_prime_generate(t, 1, bits, n, NULL, 0);
}

/* Place j of the transform has the value at psi^(2 bitrev(j) + 1). */
static void fill_places(uint32_t *place, uint32_t n)
{
    const unsigned bits = (unsigned)__builtin_ctz(n);
    uint32_t power = 1; /* 3^i mod 2n */
    for (uint32_t i = 0; i < n / 2; i++) {
        const uint32_t index[2] = {power >> 1, (2 * n - power) >> 1};
        for (size_t row = 0; row < 2; row++) {
            uint32_t reversed = 0;
            for (unsigned b = 0; b < bits; b++)
                reversed |= (index[row] >> b & 1) << (bits - 1 - b);
            place[row * (n / 2) + i] = reversed;
        }
        power = 3 * power & (2 * n - 1);
    }
}

int sotto_bfv_batch_new(sotto_bfv_batch **out, const sotto_bfv_params *p)
{
    *out = NULL;
    const uint32_t n = sotto_bfv_n(p);
    sotto_bfv_batch *b = sotto_calloc(1, sizeof *b);
    uint32_t *place = sotto_calloc(n, sizeof *place);
    int status = SOTTO_OK;
    if (b == NULL || place == NULL)
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for the tables of batching");
    if (status == SOTTO_OK) {
        status = sotto_ntt_new(&b->ntt, n, sotto_bfv_t(p));
        if (status == SOTTO_ERR_PARAMS)
            status = sotto_fail_context(status, "batching, plaintext modulus");
    }
    if (status != SOTTO_OK) {
        sotto_free(place);
        sotto_free(b);
        return status;
    }
    b->place = place;
    fill_places(place, n);
    *out = b;
    return SOTTO_OK;
}

void sotto_bfv_batch_free(sotto_bfv_batch *b)
{
    if (b == NULL)
        return;
    sotto_ntt_free(b->ntt);
    sotto_free(b->place);
    sotto_free(b);
}

int sotto_bfv_batch_encode(uint64_t *m, const sotto_bfv_batch *b, const int64_t *x, size_t count)
{
    const sotto_modulus *t = sotto_ntt_modulus(b->ntt);
    const uint32_t n = sotto_ntt_n(b->ntt);
    if (count > n)
        return sotto_fail(SOTTO_ERR_ARG, "%zu values for a plaintext of %u slots", count, (unsigned)n);
    memset(m, 0, n * sizeof *m);
    for (size_t i = 0; i < count; i++)
        m[b->place[i]] = sotto_mod_from_signed(x[i], t);
    sotto_ntt_inverse(b->ntt, m);
    return SOTTO_OK;
}

int sotto_bfv_batch_decode(int64_t *x, const sotto_bfv_batch *b, const uint64_t *m, size_t count)
{
    const sotto_modulus *t = sotto_ntt_modulus(b->ntt);
    const uint32_t n = sotto_ntt_n(b->ntt);
    if (count > n)
        return sotto_fail(SOTTO_ERR_ARG, "%zu values wanted of a plaintext of %u slots", count, (unsigned)n);
    uint64_t *value = sotto_calloc(n, sizeof *value);
    if (value == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory to decode a plaintext");
    memcpy(value, m, n * sizeof *value);
    sotto_ntt_forward(b->ntt, value);
    for (size_t i = 0; i < count; i++)
        x[i] = sotto_mod_centre(value[b->place[i]], t->q);
    sotto_free_secret(value, n, sizeof *value);
    return SOTTO_OK;
}

/* ---- operations with plaintexts ----------------------------------------------------------------------------------------- */

int sotto_bfv_plain_from(sotto_bfv_plain *out, const sotto_bfv_params *p, const uint64_t *m)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    const uint32_t n = sotto_bfv_n(p);
    out->ntt = NULL;
    int status = sotto_bfv_check_message(p, m, n);
    if (status != SOTTO_OK)
        return status;
    int64_t *centred = sotto_calloc(n, sizeof *centred);
    uint64_t *ntt = sotto_poly_new(rns);
    if (centred == NULL || ntt == NULL) {
        sotto_free(centred);
        sotto_free(ntt);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a multiplicand");
    }
    sotto_bfv_decode(centred, p, m, n);
    sotto_poly_from_signed(rns, ntt, centred);
    sotto_poly_forward(rns, ntt);
    sotto_free_secret(centred, n, sizeof *centred);
    out->ntt = ntt;
    return SOTTO_OK;
}

int sotto_bfv_mul_message(sotto_bfv_ct *x, const sotto_bfv_params *p, const uint64_t *m)
{
    sotto_bfv_plain plain;
    int status = sotto_bfv_plain_from(&plain, p, m);
    if (status != SOTTO_OK)
        return status;
    const int ntt = x->ntt;
    sotto_bfv_to_ntt(x, p);
    status = sotto_bfv_mul_plain(x, p, &plain);
    if (!ntt)
        sotto_bfv_to_coeff(x, p);
    sotto_bfv_plain_free(&plain, p);
    return status;
}

int sotto_bfv_addend_new(sotto_bfv_addend *out, const sotto_bfv_params *p, const uint64_t *m)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    const uint32_t n = sotto_bfv_n(p);
    memset(out, 0, sizeof *out);
    int status = sotto_bfv_check_message(p, m, n);
    if (status != SOTTO_OK)
        return status;
    out->ntt = sotto_poly_new(rns);
    out->coeff = sotto_poly_new(rns);
    if (out->ntt == NULL || out->coeff == NULL) {
        sotto_bfv_addend_free(out, p);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a scaled plaintext");
    }
    sotto_rns_scale_up(rns, out->coeff, n, m, n, sotto_bfv_t(p));
    memcpy(out->ntt, out->coeff, sotto_poly_words(rns) * sizeof *out->ntt);
    sotto_poly_forward(rns, out->ntt);
    return SOTTO_OK;
}

void sotto_bfv_addend_free(sotto_bfv_addend *m, const sotto_bfv_params *p)
{
    const size_t words = sotto_poly_words(sotto_bfv_rns(p));
    sotto_free_secret(m->ntt, words, sizeof *m->ntt);
    sotto_free_secret(m->coeff, words, sizeof *m->coeff);
    memset(m, 0, sizeof *m);
}

void sotto_bfv_add_addend(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_addend *m)
{
    sotto_poly_add(sotto_bfv_rns(p), x->c0, x->c0, x->ntt ? m->ntt : m->coeff);
}

void sotto_bfv_sub_addend(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_addend *m)
{
    sotto_poly_sub(sotto_bfv_rns(p), x->c0, x->c0, x->ntt ? m->ntt : m->coeff);
}
