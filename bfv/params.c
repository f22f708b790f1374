#include "bfv/params.h"

#include <math.h>
#include <sodium.h>
#include <stdatomic.h>
#include <string.h>

#include "bfv/internal.h"
#include "lib/mem.h"
#include "ring/prime.h"

/* Tables of one ring, shared by all parameter sets that differ in t alone. */
typedef struct shared_ring {
    sotto_rns *rns;
    sotto_rns *special, *auxiliary; /* P and R, or NULL */
    uint64_t id;
    atomic_uint references;
} shared_ring;

struct sotto_bfv_params {
    shared_ring *ring;
    uint64_t t, id;
    sotto_bfv_conversions conversions;
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
    sotto_rns_free(ring->special);
    sotto_rns_free(ring->auxiliary);
    sotto_free(ring);
}

/* The basis R of products: about Q/2 or more, of primes that are not in Q. As few as primes of 50 bits give, and of 46 bits,
 * which are faster, where as many of these suffice. */
static int make_auxiliary(shared_ring *ring)
{
    const double log_r = sotto_rns_log2(ring->rns) - 1;
    unsigned bits = 50;
    if (log_r > bits * SOTTO_RNS_MAX)
        bits = 58; /* 16 * 58 > 881 */
    else if (ceil(log_r / 46) <= ceil(log_r / bits))
        bits = 46;
    const size_t count = (size_t)ceil(log_r / bits);
    const size_t taken = sotto_rns_count(ring->rns);
    const uint32_t n = sotto_rns_n(ring->rns);
    uint64_t primes[SOTTO_RNS_MAX], avoid[SOTTO_RNS_MAX];
    for (size_t i = 0; i < taken; i++)
        avoid[i] = sotto_rns_modulus(ring->rns, i)->q;
    int status = sotto_prime_generate(primes, count, bits, n, avoid, taken);
    return status == SOTTO_OK ? sotto_rns_new(&ring->auxiliary, n, primes, count) : status;
}

/* Bits of the product of all primes that keys use. */
static unsigned key_bits(const shared_ring *ring)
{
    mpz_t all, special;
    mpz_inits(all, special, NULL);
    sotto_rns_product(ring->rns, all);
    if (ring->special != NULL) {
        sotto_rns_product(ring->special, special);
        mpz_mul(all, all, special);
    }
    unsigned bits = (unsigned)mpz_sizeinbase(all, 2); /* odd, so it is no power of two */
    mpz_clears(all, special, NULL);
    return bits;
}

static uint64_t identify(const uint64_t *words, size_t count)
{
    uint64_t id;
    uint8_t hash[32];
    crypto_generichash(hash, sizeof hash, (const uint8_t *)words, count * sizeof *words, NULL, 0);
    memcpy(&id, hash, sizeof id);
    return id;
}

/* special = 0: none. */
static int make_ring(shared_ring *ring, uint32_t n, const uint64_t *primes, size_t prime_count, uint64_t special)
{
    int status = sotto_rns_new(&ring->rns, n, primes, prime_count);
    if (status == SOTTO_OK && special != 0) {
        for (size_t i = 0; i < prime_count; i++)
            if (primes[i] == special)
                return sotto_fail(SOTTO_ERR_PARAMS, "the special prime %llu is among the primes of ciphertexts",
                                  (unsigned long long)special);
        status = sotto_rns_new(&ring->special, n, &special, 1);
    }
    if (status != SOTTO_OK)
        return status;
    uint64_t words[2 + SOTTO_RNS_MAX] = {n, special};
    memcpy(words + 2, primes, prime_count * sizeof *primes);
    ring->id = identify(words, 2 + prime_count);
    const unsigned bits = key_bits(ring);
    if (bits > sotto_bfv_max_log_q(n))
        return sotto_fail(SOTTO_ERR_PARAMS,
                          "%s of %u bits at ring degree %u: 128-bit security admits %u bits, take fewer or shorter primes or a "
                          "larger degree",
                          special != 0 ? "ciphertext modulus times special prime" : "ciphertext modulus", bits, (unsigned)n,
                          sotto_bfv_max_log_q(n));
    return special != 0 ? make_auxiliary(ring) : SOTTO_OK;
}

/* A set on a ring, to which it adds a reference. */
static int make_params(sotto_bfv_params **out, shared_ring *ring, uint64_t t)
{
    int status = check_t(t, ring->rns);
    if (status != SOTTO_OK)
        return status;
    sotto_bfv_params *p = sotto_calloc(1, sizeof *p);
    if (p == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a parameter set");
    atomic_fetch_add(&ring->references, 1);
    p->ring = ring;
    p->t = t;
    p->id = identify((const uint64_t[]){ring->id, t}, 2);
    if (ring->special != NULL)
        status = sotto_bfv_conversions_new(&p->conversions, p);
    if (status != SOTTO_OK) {
        sotto_bfv_params_free(p);
        return status;
    }
    *out = p;
    return SOTTO_OK;
}

static int params_new(sotto_bfv_params **out, uint32_t n, const uint64_t *primes, size_t prime_count, uint64_t special,
                      uint64_t t)
{
    *out = NULL;
    int status = check_degree(n, prime_count);
    if (status != SOTTO_OK)
        return status;
    shared_ring *ring = sotto_calloc(1, sizeof *ring);
    if (ring == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a parameter set");
    atomic_init(&ring->references, 1);
    status = make_ring(ring, n, primes, prime_count, special);
    if (status == SOTTO_OK)
        status = make_params(out, ring, t);
    release_ring(ring);
    return status;
}

/* special_bits = 0: no special prime. */
static int params_from_bits(sotto_bfv_params **out, uint32_t n, const unsigned *prime_bits, size_t prime_count,
                            unsigned special_bits, uint64_t t)
{
    uint64_t primes[SOTTO_RNS_MAX], special = 0;
    *out = NULL;
    int status = check_degree(n, prime_count);
    /* Each prime is the largest of its length that was not taken before. */
    for (size_t i = 0; status == SOTTO_OK && i < prime_count; i++)
        status = sotto_prime_generate(&primes[i], 1, prime_bits[i], n, primes, i);
    if (status == SOTTO_OK && special_bits != 0)
        status = sotto_prime_generate(&special, 1, special_bits, n, primes, prime_count);
    return status == SOTTO_OK ? params_new(out, n, primes, prime_count, special, t) : status;
}

int sotto_bfv_params_new(sotto_bfv_params **out, uint32_t n, const uint64_t *primes, size_t prime_count, uint64_t t)
{
    return params_new(out, n, primes, prime_count, 0, t);
}

int sotto_bfv_params_from_bits(sotto_bfv_params **out, uint32_t n, const unsigned *prime_bits, size_t prime_count,
                               uint64_t t)
{
    return params_from_bits(out, n, prime_bits, prime_count, 0, t);
}

static int no_special(sotto_bfv_params **out)
{
    *out = NULL;
    return sotto_fail(SOTTO_ERR_PARAMS, "special prime 0: expected a prime that is 1 modulo 2n");
}

int sotto_bfv_params_new_special(sotto_bfv_params **out, uint32_t n, const uint64_t *primes, size_t prime_count,
                                 uint64_t special, uint64_t t)
{
    return special != 0 ? params_new(out, n, primes, prime_count, special, t) : no_special(out);
}

int sotto_bfv_params_from_bits_special(sotto_bfv_params **out, uint32_t n, const unsigned *prime_bits, size_t prime_count,
                                       unsigned special_bits, uint64_t t)
{
    return special_bits != 0 ? params_from_bits(out, n, prime_bits, prime_count, special_bits, t) : no_special(out);
}

int sotto_bfv_params_with_t(sotto_bfv_params **out, const sotto_bfv_params *p, uint64_t t)
{
    *out = NULL;
    return make_params(out, p->ring, t);
}

void sotto_bfv_params_free(sotto_bfv_params *p)
{
    if (p == NULL)
        return;
    sotto_bfv_conversions_free(&p->conversions);
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

const sotto_rns *sotto_bfv_special(const sotto_bfv_params *p)
{
    return p->ring->special;
}

const sotto_rns *sotto_bfv_auxiliary(const sotto_bfv_params *p)
{
    return p->ring->auxiliary;
}

const sotto_bfv_conversions *sotto_bfv_conversions_of(const sotto_bfv_params *p)
{
    return &p->conversions;
}

int sotto_bfv_check_special(const sotto_bfv_params *p)
{
    if (p->ring->special == NULL)
        return sotto_fail(SOTTO_ERR_ARG, "products and rotations need parameters with a special prime "
                          "(sotto_bfv_params_new_special)");
    return SOTTO_OK;
}

uint64_t sotto_bfv_ring_id(const sotto_bfv_params *p)
{
    return p->ring->id;
}

uint64_t sotto_bfv_set_id(const sotto_bfv_params *p)
{
    return p->id;
}

int sotto_bfv_same_ring(const sotto_bfv_params *a, const sotto_bfv_params *b)
{
    return a->ring->id == b->ring->id;
}
