#include "bfv/keyswitch.h"

#include <string.h>

#include "bfv/internal.h"
#include "lib/mem.h"
#include "ring/poly.h"
#include "ring/sample.h"

/* k (k + 1) n */
static size_t key_words(const sotto_bfv_params *p)
{
    size_t k = sotto_rns_count(sotto_bfv_rns(p));
    return k * (k + 1) * sotto_bfv_n(p);
}

int sotto_bfv_check_switch_key(const sotto_bfv_params *p, const sotto_bfv_switch_key *key)
{
    int status = sotto_bfv_check_special(p);
    return status == SOTTO_OK ? sotto_bfv_check_ring(p, key->ring, "key for key switching") : status;
}

int sotto_bfv_switch_key_alloc(sotto_bfv_switch_key *key, const sotto_bfv_params *p)
{
    memset(key, 0, sizeof *key);
    key->words = key_words(p);
    key->ring = sotto_bfv_ring_id(p);
    key->b = sotto_calloc(key->words, sizeof *key->b);
    key->a = sotto_calloc(key->words, sizeof *key->a);
    if (key->b == NULL || key->a == NULL) {
        sotto_bfv_switch_key_free(key);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a key for key switching");
    }
    return SOTTO_OK;
}

/* Digit i takes blocks 2i (modulo Q) and 2i + 1 (modulo P) of the stream of the key's seed as its seeds. */
void sotto_bfv_switch_key_finish(sotto_bfv_switch_key *key, const sotto_bfv_params *p)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    const size_t k = sotto_rns_count(rns), n = sotto_bfv_n(p);
    sotto_block seeds[2 * SOTTO_RNS_MAX];
    sotto_prg prg;
    sotto_prg_init(&prg, key->seed);
    sotto_prg_fill(&prg, seeds, 2 * k * sizeof *seeds);
    sotto_prg_wipe(&prg);
    for (size_t i = 0; i < k; i++) {
        uint64_t *digit = key->a + i * (k + 1) * n;
        sotto_sample_uniform_seeded(rns, digit, seeds[2 * i]);
        sotto_sample_uniform_seeded(sotto_bfv_special(p), digit + k * n, seeds[2 * i + 1]);
    }
}

/* x (in coefficient or NTT form) times P^-1 modulo each prime of Q. */
static void divide_by_special(const sotto_bfv_params *p, uint64_t *x)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    const size_t n = sotto_bfv_n(p);
    for (size_t j = 0; j < sotto_rns_count(rns); j++) {
        const sotto_modulus *m = sotto_rns_modulus(rns, j);
        const uint64_t special = sotto_mod_reduce(sotto_rns_modulus(sotto_bfv_special(p), 0)->q, m);
        const sotto_shoup inverse = sotto_shoup_new(sotto_mod_inv(special, m), m);
        for (size_t i = j * n; i < (j + 1) * n; i++)
            x[i] = sotto_shoup_mul(x[i], inverse, m->q);
    }
}

/* The b part of digit i from its a part and the error e; s_special is s modulo P, room k + 1 limbs. */
static void make_digit(sotto_bfv_switch_key *key, size_t i, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk,
                       const uint64_t *s_special, const uint64_t *from, const int64_t *e, uint64_t *room)
{
    const sotto_rns *rns = sotto_bfv_rns(p), *special = sotto_bfv_special(p);
    const size_t k = sotto_rns_count(rns), n = sotto_bfv_n(p);
    const uint64_t *a = key->a + i * (k + 1) * n;
    uint64_t *b = key->b + i * (k + 1) * n;
    sotto_poly_from_signed(rns, room, e);
    divide_by_special(p, room);
    sotto_poly_forward(rns, room);
    sotto_poly_mac_ntt(rns, room, a, sk->s_ntt);
    sotto_poly_neg(rns, b, room); /* -(a s + e / P) */
    const uint64_t q = sotto_rns_modulus(rns, i)->q;
    for (size_t j = i * n; j < (i + 1) * n; j++) /* g_i s' */
        b[j] = sotto_mod_add(b[j], from[j], q);

    sotto_poly_from_signed(special, room, e);
    sotto_poly_forward(special, room);
    sotto_poly_mac_ntt(special, room, a + k * n, s_special);
    sotto_poly_neg(special, b + k * n, room); /* -(a s + e); P g_i s' is 0 here */
}

int sotto_bfv_switch_key_make(sotto_bfv_switch_key *key, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk,
                              const uint64_t *from, const sotto_rng *rng)
{
    memset(key, 0, sizeof *key);
    int status = sotto_bfv_check_special(p);
    if (status == SOTTO_OK)
        status = sotto_bfv_check_key(p, sk);
    if (status != SOTTO_OK)
        return status;

    const sotto_rns *rns = sotto_bfv_rns(p), *special = sotto_bfv_special(p);
    const size_t k = sotto_rns_count(rns), n = sotto_bfv_n(p);
    int64_t *e = sotto_calloc(k * n, sizeof *e);
    uint64_t *room = sotto_calloc((k + 2) * n, sizeof *room);
    if (e == NULL || room == NULL)
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a key for key switching");
    if (status == SOTTO_OK)
        status = sotto_bfv_switch_key_alloc(key, p);
    if (status == SOTTO_OK)
        status = sotto_rng_fill(rng, &key->seed, sizeof key->seed);
    for (size_t i = 0; status == SOTTO_OK && i < k; i++)
        status = sotto_sample_error(e + i * n, (uint32_t)n, rng);
    if (status == SOTTO_OK) {
        SOTTO_DECLASSIFY(&key->seed, sizeof key->seed); /* travels in the clear */
        uint64_t *s_special = room + (k + 1) * n;
        sotto_bfv_switch_key_finish(key, p);
        sotto_poly_from_signed(special, s_special, sk->s);
        sotto_poly_forward(special, s_special);
        for (size_t i = 0; i < k; i++)
            make_digit(key, i, p, sk, s_special, from, e + i * n, room);
    } else {
        sotto_bfv_switch_key_free(key);
    }
    sotto_free_secret(room, (k + 2) * n, sizeof *room);
    sotto_free_secret(e, k * n, sizeof *e);
    return status;
}

int sotto_bfv_switch_key_new(sotto_bfv_switch_key *key, const sotto_bfv_params *p, const sotto_bfv_secret_key *to,
                             const sotto_bfv_secret_key *from, const sotto_rng *rng)
{
    memset(key, 0, sizeof *key);
    int status = sotto_bfv_check_key(p, from);
    return status == SOTTO_OK ? sotto_bfv_switch_key_make(key, p, to, from->s_ntt, rng) : status;
}

void sotto_bfv_switch_key_free(sotto_bfv_switch_key *key)
{
    sotto_free(key->b);
    sotto_free(key->a);
    memset(key, 0, sizeof *key);
}

/* Sums of k + 1 limbs for both parts; k limbs for digits, then for a rounding. */
size_t sotto_bfv_add_switched_words(const sotto_bfv_params *p)
{
    return (3 * sotto_rns_count(sotto_bfv_rns(p)) + 2) * sotto_bfv_n(p);
}

/* Both sums of products modulo one prime, the one of limb j (k: the special prime). */
static void sums(uint64_t *out0, uint64_t *out1, const sotto_bfv_params *p, size_t j, const uint64_t *d,
                 const uint64_t *d_ntt, const sotto_bfv_switch_key *key, uint64_t *digits)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    const size_t k = sotto_rns_count(rns), n = sotto_bfv_n(p);
    const sotto_ntt *ntt = j < k ? sotto_rns_ntt(rns, j) : sotto_rns_ntt(sotto_bfv_special(p), 0);
    const uint64_t *digit[SOTTO_RNS_MAX], *b[SOTTO_RNS_MAX], *a[SOTTO_RNS_MAX];
    for (size_t i = 0; i < k; i++) {
        b[i] = key->b + (i * (k + 1) + j) * n;
        a[i] = key->a + (i * (k + 1) + j) * n;
        if (i == j && d_ntt != NULL) { /* modulo its own prime a digit is d itself */
            digit[i] = d_ntt + j * n;
            continue;
        }
        uint64_t *lifted = digits + i * n;
        sotto_convert_lift(lifted, d + i * n, n, sotto_rns_modulus(rns, i), sotto_ntt_modulus(ntt));
        sotto_ntt_forward(ntt, lifted);
        digit[i] = lifted;
    }
    sotto_ntt_dot_pair(ntt, out0, out1, b, a, digit, k);
}

/* Since b and a hold 1/P modulo Q already, the sums s0, s1 modulo Q are S/P for the integer S = sum d_i b_i, and
 * round(S/P) = S/P - r/P with r = S mod P about zero, known from the sum modulo P. */
void sotto_bfv_add_switched(sotto_bfv_ct *x, const sotto_bfv_params *p, sotto_bfv_switch_mode mode, const uint64_t *d,
                            const uint64_t *d_ntt, const sotto_bfv_switch_key *key, uint64_t *room)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    const size_t k = sotto_rns_count(rns), n = sotto_bfv_n(p);
    uint64_t *sum[2] = {room, room + (k + 1) * n}, *rest = room + 2 * (k + 1) * n;
    uint64_t *const part[2] = {x->c0, x->c1};
    for (size_t j = 0; j <= k; j++)
        sums(sum[0] + j * n, sum[1] + j * n, p, j, d, d_ntt, key, rest);
    for (size_t c = 0; c < 2; c++) {
        const int adds = c == 0 || mode == SOTTO_BFV_ADD_BOTH;
        sotto_ntt_inverse(sotto_rns_ntt(sotto_bfv_special(p), 0), sum[c] + k * n);
        const uint64_t *addend = adds && !x->ntt ? part[c] : NULL;
        sotto_convert_run(sotto_bfv_conversions_of(p)->divide, rest, n, sum[c] + k * n, n, addend, n);
        sotto_poly_forward(rns, rest);
        if (adds && x->ntt)
            sotto_poly_add(rns, rest, rest, part[c]);
        sotto_poly_add(rns, part[c], rest, sum[c]);
    }
    x->ntt = 1;
}

int sotto_bfv_switch(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_switch_key *key)
{
    int status = sotto_bfv_check_switch_key(p, key);
    if (status != SOTTO_OK)
        return status;
    const sotto_rns *rns = sotto_bfv_rns(p);
    const size_t words = sotto_poly_words(rns), room_words = sotto_bfv_add_switched_words(p);
    uint64_t *room = sotto_calloc(room_words + 2 * words, sizeof *room);
    if (room == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory to switch keys");
    uint64_t *d = room + room_words, *d_ntt = d + words;
    memcpy(d, x->c1, words * sizeof *d);
    if (x->ntt) {
        memcpy(d_ntt, x->c1, words * sizeof *d);
        sotto_poly_inverse(rns, d);
    }
    sotto_bfv_add_switched(x, p, SOTTO_BFV_REPLACE_C1, d, x->ntt ? d_ntt : NULL, key, room);
    sotto_free(room);
    return SOTTO_OK;
}
