#include "bfv/params.h"

#include <math.h>
#include <stdatomic.h>

#include "lib/mem.h"
#include "ring/prime.h"

/* Tables of one ring, shared by all parameter sets that differ in t alone. */
typedef struct shared_ring {
    sotto_rns *rns;
    atomic_uint references;
} shared_ring;

struct sotto_bfv_params {
    shared_ring *ring;
    uint64_t t;
};

/* Largest log2 Q for 128, 192 and 256 bits of classical security with ternary secrets: Homomorphic Encryption Standard,
 * table 1, rows "(-1, 1)". */
static const struct {
    uint32_t n;
    unsigned log_q[3];
} security_table[] = {
    {1024, {27, 19, 14}},     {2048, {54, 37, 29}},       {4096, {109, 75, 58}},
    {8192, {218, 152, 118}},  {16384, {438, 305, 237}},   {32768, {881, 611, 476}},
};

static const unsigned security_levels[3] = {128, 192, 256};

static const unsigned *table_row(uint32_t n)
{
    for (size_t i = 0; i < sizeof security_table / sizeof *security_table; i++)
        if (security_table[i].n == n)
            return security_table[i].log_q;
    return NULL;
}

unsigned sotto_bfv_max_log_q(uint32_t n)
{
    const unsigned *row = table_row(n);
    return row != NULL ? row[0] : 0;
}

unsigned sotto_bfv_security_bits(uint32_t n, unsigned log_q)
{
    const unsigned *row = table_row(n);
    unsigned bits = 0;
    for (size_t i = 0; row != NULL && i < 3; i++)
        if (log_q <= row[i])
            bits = security_levels[i];
    return bits;
}

static int check_degree(uint32_t n, size_t prime_count)
{
    if (table_row(n) == NULL)
        return sotto_fail(SOTTO_ERR_PARAMS, "ring degree %u: expected 1024, 2048, 4096, 8192, 16384 or 32768",
                          (unsigned)n);
    if (prime_count < 1 || prime_count > SOTTO_RNS_MAX)
        return sotto_fail(SOTTO_ERR_PARAMS, "%zu primes: expected 1 to %u", prime_count, SOTTO_RNS_MAX);
    return SOTTO_OK;
}

static int check_t(uint64_t t, const sotto_rns *rns)
{
    if (t < 2 || t > (uint64_t)1 << 60)
        return sotto_fail(SOTTO_ERR_PARAMS, "plaintext modulus %llu: expected 2 to 2^60", (unsigned long long)t);
    if (log2((double)t) + 10 >= sotto_rns_log2(rns))
        return sotto_fail(SOTTO_ERR_PARAMS,
                          "plaintext modulus of %.1f bits against a ciphertext modulus of %.1f bits: at least 10 bits "
                          "less are needed, take more primes or a smaller plaintext modulus",
                          log2((double)t), sotto_rns_log2(rns));
    return SOTTO_OK;
}

static void release_ring(shared_ring *ring)
{
    if (ring == NULL || atomic_fetch_sub(&ring->references, 1) != 1)
        return;
    sotto_rns_free(ring->rns);
    sotto_free(ring);
}

int sotto_bfv_params_new(sotto_bfv_params **out, uint32_t n, const uint64_t *primes, size_t prime_count, uint64_t t)
{
    *out = NULL;
    int status = check_degree(n, prime_count);
    if (status != SOTTO_OK)
        return status;

    sotto_bfv_params *p = sotto_calloc(1, sizeof *p);
    shared_ring *ring = sotto_calloc(1, sizeof *ring);
    if (p == NULL || ring == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a parameter set");
        goto fail;
    }
    atomic_init(&ring->references, 1);
    status = sotto_rns_new(&ring->rns, n, primes, prime_count);
    if (status != SOTTO_OK)
        goto fail;
    if (sotto_rns_bits(ring->rns) > sotto_bfv_max_log_q(n)) {
        status = sotto_fail(SOTTO_ERR_PARAMS,
                            "ciphertext modulus of %u bits at ring degree %u: 128-bit security admits %u bits, take "
                            "fewer or shorter primes or a larger degree",
                            sotto_rns_bits(ring->rns), (unsigned)n, sotto_bfv_max_log_q(n));
        goto fail;
    }
    status = check_t(t, ring->rns);
    if (status != SOTTO_OK)
        goto fail;
    p->ring = ring;
    p->t = t;
    *out = p;
    return SOTTO_OK;

fail:
    if (ring != NULL)
        sotto_rns_free(ring->rns);
    sotto_free(ring);
    sotto_free(p);
    return status;
}

int sotto_bfv_params_from_bits(sotto_bfv_params **out, uint32_t n, const unsigned *prime_bits, size_t prime_count,
                               uint64_t t)
{
    uint64_t primes[SOTTO_RNS_MAX];
    *out = NULL;
    int status = check_degree(n, prime_count);
    /* Each prime is the largest of its length that was not taken before. */
    for (size_t i = 0; status == SOTTO_OK && i < prime_count; i++)
        status = sotto_prime_generate(&primes[i], 1, prime_bits[i], n, primes, i);
    return status == SOTTO_OK ? sotto_bfv_params_new(out, n, primes, prime_count, t) : status;
}

int sotto_bfv_params_with_t(sotto_bfv_params **out, const sotto_bfv_params *p, uint64_t t)
{
    *out = NULL;
    int status = check_t(t, p->ring->rns);
    if (status != SOTTO_OK)
        return status;
    sotto_bfv_params *q = sotto_calloc(1, sizeof *q);
    if (q == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a parameter set");
    atomic_fetch_add(&p->ring->references, 1);
    q->ring = p->ring;
    q->t = t;
    *out = q;
    return SOTTO_OK;
}

void sotto_bfv_params_free(sotto_bfv_params *p)
{
    if (p == NULL)
        return;
    release_ring(p->ring);
    sotto_free(p);
}

uint32_t sotto_bfv_n(const sotto_bfv_params *p)
{
    return sotto_rns_n(p->ring->rns);
}

uint64_t sotto_bfv_t(const sotto_bfv_params *p)
{
    return p->t;
}

const sotto_rns *sotto_bfv_rns(const sotto_bfv_params *p)
{
    return p->ring->rns;
}

int sotto_bfv_same_ring(const sotto_bfv_params *a, const sotto_bfv_params *b)
{
    const sotto_rns *x = a->ring->rns, *y = b->ring->rns;
    int same = sotto_rns_n(x) == sotto_rns_n(y) && sotto_rns_count(x) == sotto_rns_count(y);
    for (size_t i = 0; same && i < sotto_rns_count(x); i++)
        same = sotto_rns_modulus(x, i)->q == sotto_rns_modulus(y, i)->q;
    return same;
}
