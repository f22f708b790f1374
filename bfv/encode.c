#include "bfv/encode.h"

#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"
#include "ring/poly.h"

#define PLAIN_BITS 30

int sotto_bfv_encode(uint64_t *m, const sotto_bfv_params *p, const int64_t *x, size_t count)
{
    uint32_t n = sotto_bfv_n(p);
    uint64_t t = sotto_bfv_t(p);
    if (count > n)
        return sotto_fail(SOTTO_ERR_ARG, "%zu values for a plaintext of %u coefficients", count, (unsigned)n);
    /* Barrett for any t, even ones included: 2^64/t - 1 <= ratio <= 2^64/t and |x| < 2^62, so the quotient estimate is
     * floor(|x|/t) or one less and the remainder is below 2t. */
    uint64_t ratio = ~(uint64_t)0 / t;
    for (size_t i = 0; i < count; i++) {
        uint64_t negative = sotto_ct_mask((uint64_t)x[i] >> 63);
        uint64_t magnitude = ((uint64_t)x[i] ^ negative) - negative;
        uint64_t r = sotto_mod_once(magnitude - sotto_mulhi64(magnitude, ratio) * t, t);
        m[i] = sotto_ct_select(negative, sotto_mod_neg(r, t), r);
    }
    memset(m + count, 0, (n - count) * sizeof *m);
    return SOTTO_OK;
}

void sotto_bfv_decode(int64_t *x, const sotto_bfv_params *p, const uint64_t *m, size_t count)
{
    uint64_t t = sotto_bfv_t(p);
    for (size_t i = 0; i < count; i++)
        x[i] = (int64_t)(m[i] - (t & ~sotto_ct_lt(2 * m[i], t)));
}

int sotto_bfv_plain_new(sotto_bfv_plain *out, const sotto_bfv_params *p, const int64_t *x)
{
    const uint64_t limit = (uint64_t)1 << PLAIN_BITS;
    uint32_t n = sotto_bfv_n(p);
    uint64_t good = ~(uint64_t)0;
    out->ntt = NULL;
    for (uint32_t i = 0; i < n; i++) /* -2^30 < x < 2^30 */
        good &= sotto_ct_lt((uint64_t)x[i] + limit - 1, 2 * limit - 1);
    /* Out of range is an error of the caller's program, which checks its weights when it loads them. */
    SOTTO_DECLASSIFY(&good, sizeof good);
    if (good == 0)
        return sotto_fail(SOTTO_ERR_ARG, "multiplicand with a coefficient of 2^%d or more in magnitude", PLAIN_BITS);
    out->ntt = sotto_poly_new(sotto_bfv_rns(p));
    if (out->ntt == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a multiplicand");
    sotto_poly_from_signed(sotto_bfv_rns(p), out->ntt, x);
    sotto_poly_forward(sotto_bfv_rns(p), out->ntt);
    return SOTTO_OK;
}

void sotto_bfv_plain_free(sotto_bfv_plain *x, const sotto_bfv_params *p)
{
    sotto_free_secret(x->ntt, sotto_poly_words(sotto_bfv_rns(p)), sizeof *x->ntt);
    x->ntt = NULL;
}
