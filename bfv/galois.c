#include "bfv/galois.h"

#include <string.h>

#include "bfv/evaluate.h"
#include "bfv/internal.h"
#include "lib/mem.h"
#include "ring/poly.h"

uint32_t sotto_bfv_galois_row(const sotto_bfv_params *p, long step)
{
    const uint32_t n = sotto_bfv_n(p), order = n / 2; /* of 3 modulo 2n */
    long reduced = step % (long)order;
    uint32_t left = (uint32_t)(reduced < 0 ? reduced + (long)order : reduced), g = 1, power = 3;
    for (; left != 0; left >>= 1) {
        if (left & 1)
            g = g * power & (2 * n - 1);
        power = power * power & (2 * n - 1);
    }
    return g;
}

uint32_t sotto_bfv_galois_swap(const sotto_bfv_params *p)
{
    return 2 * sotto_bfv_n(p) - 1;
}

size_t sotto_bfv_galois_sum(uint32_t *element, const sotto_bfv_params *p)
{
    size_t count = 0;
    for (uint32_t step = 1; step < sotto_bfv_n(p) / 2; step *= 2)
        element[count++] = sotto_bfv_galois_row(p, (long)step);
    element[count++] = sotto_bfv_galois_swap(p);
    return count;
}

static uint32_t reverse_bits(uint32_t x, unsigned bits)
{
    uint32_t r = 0;
    for (unsigned i = 0; i < bits; i++)
        r |= (x >> i & 1) << (bits - 1 - i);
    return r;
}

/* Slot i has the value at psi^e, e = 2 bitrev(i) + 1; f(X^g) has there the value of f at psi^(g e). */
void sotto_bfv_galois_order(uint32_t *order, uint32_t n, uint32_t g)
{
    const unsigned bits = (unsigned)__builtin_ctz(n);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t e = 2 * reverse_bits(i, bits) + 1;
        order[i] = reverse_bits((g * e & (2 * n - 1)) >> 1, bits);
    }
}

/* out = x(X^g), transforms. */
static void permute(const sotto_rns *rns, uint64_t *out, const uint64_t *x, const uint32_t *order)
{
    const size_t n = sotto_rns_n(rns), words = sotto_poly_words(rns);
    for (size_t limb = 0; limb < words; limb += n)
        for (size_t i = 0; i < n; i++)
            out[limb + i] = x[limb + order[i]];
}

/* out = x(X^g), coefficients: X^i becomes X^(g i), and X^n = -1. */
static void substitute(const sotto_rns *rns, uint64_t *out, const uint64_t *x, uint32_t g)
{
    const uint32_t n = sotto_rns_n(rns);
    for (size_t k = 0; k < sotto_rns_count(rns); k++) {
        const uint64_t q = sotto_rns_modulus(rns, k)->q;
        for (uint32_t i = 0, to = 0; i < n; i++, to = (to + g) & (2 * n - 1)) {
            uint64_t c = x[k * n + i];
            out[k * n + (to & (n - 1))] = (to & n) != 0 ? sotto_mod_neg(c, q) : c; /* places are public */
        }
    }
}

/* Copies the elements in ascending order without repetitions; returns how many are left. */
static size_t sort_elements(uint32_t *out, const uint32_t *element, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = kept;
        while (at > 0 && out[at - 1] > element[i])
            at--;
        if (at > 0 && out[at - 1] == element[i])
            continue;
        memmove(out + at + 1, out + at, (kept - at) * sizeof *out);
        out[at] = element[i];
        kept++;
    }
    return kept;
}

int sotto_bfv_galois_keys_alloc(sotto_bfv_galois_keys *keys, const sotto_bfv_params *p, size_t count)
{
    memset(keys, 0, sizeof *keys);
    keys->n = sotto_bfv_n(p);
    keys->element = sotto_calloc(count, sizeof *keys->element);
    keys->order = sotto_calloc(count, keys->n * sizeof *keys->order);
    keys->key = sotto_calloc(count, sizeof *keys->key);
    if (keys->element == NULL || keys->order == NULL || keys->key == NULL) {
        sotto_bfv_galois_keys_free(keys);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu Galois keys", count);
    }
    return SOTTO_OK;
}

int sotto_bfv_galois_keys_new(sotto_bfv_galois_keys *keys, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk,
                              const uint32_t *element, size_t count, const sotto_rng *rng)
{
    memset(keys, 0, sizeof *keys);
    const sotto_rns *rns = sotto_bfv_rns(p);
    const uint32_t n = sotto_bfv_n(p);
    int status = sotto_bfv_check_key(p, sk);
    if (status == SOTTO_OK)
        status = sotto_bfv_check_special(p);
    for (size_t i = 0; status == SOTTO_OK && i < count; i++)
        if (element[i] % 2 == 0 || element[i] <= 1 || element[i] >= 2 * n)
            status = sotto_fail(SOTTO_ERR_ARG, "Galois element %u: expected an odd number from 3 to %u", (unsigned)element[i],
                                (unsigned)(2 * n - 1));
    if (status != SOTTO_OK)
        return status;
    status = sotto_bfv_galois_keys_alloc(keys, p, count);
    if (status != SOTTO_OK)
        return status;

    uint64_t *from = sotto_poly_new(rns); /* s(X^g) */
    if (from == NULL)
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a Galois key");
    const size_t kept = sort_elements(keys->element, element, count);
    for (size_t i = 0; status == SOTTO_OK && i < kept; i++) {
        uint32_t *order = keys->order + i * n;
        sotto_bfv_galois_order(order, n, keys->element[i]);
        permute(rns, from, sk->s_ntt, order);
        status = sotto_bfv_switch_key_make(&keys->key[i], p, sk, from, rng);
        keys->count = i + 1;
    }
    sotto_free_secret(from, sk->words, sizeof *from);
    if (status != SOTTO_OK)
        sotto_bfv_galois_keys_free(keys);
    return status;
}

void sotto_bfv_galois_keys_free(sotto_bfv_galois_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        sotto_bfv_switch_key_free(&keys->key[i]);
    sotto_free(keys->element);
    sotto_free(keys->order);
    sotto_free(keys->key);
    memset(keys, 0, sizeof *keys);
}

/* The place of the key for g, SIZE_MAX when there is none; g is public. */
static size_t find_key(const sotto_bfv_galois_keys *keys, uint32_t g)
{
    for (size_t i = 0; i < keys->count; i++)
        if (keys->element[i] == g)
            return i;
    return SIZE_MAX;
}

static int check_galois(size_t *at, const sotto_bfv_params *p, uint32_t g, const sotto_bfv_galois_keys *keys)
{
    *at = find_key(keys, g);
    if (*at == SIZE_MAX)
        return sotto_fail(SOTTO_ERR_ARG, "no Galois key for the element %u among %zu", (unsigned)g, keys->count);
    return sotto_bfv_check_switch_key(p, &keys->key[*at]);
}

/* Words of room for galois. */
static size_t galois_words(const sotto_bfv_params *p)
{
    return 2 * sotto_poly_words(sotto_bfv_rns(p)) + sotto_bfv_add_switched_words(p);
}

/* (x0, x1) with phase x0 + x1 s: x0(X^g) + x1(X^g) s(X^g), of which the second part is switched to s. */
static void galois(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_galois_keys *keys, size_t at, uint64_t *room)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    const size_t words = sotto_poly_words(rns);
    uint64_t *d = room, *d_ntt = room + words, *rest = room + 2 * words;
    if (x->ntt) {
        const uint32_t *order = keys->order + at * keys->n;
        permute(rns, d, x->c0, order);
        memcpy(x->c0, d, words * sizeof *d);
        permute(rns, d_ntt, x->c1, order);
        memcpy(d, d_ntt, words * sizeof *d);
        sotto_poly_inverse(rns, d);
    } else {
        substitute(rns, d, x->c0, keys->element[at]);
        memcpy(x->c0, d, words * sizeof *d);
        substitute(rns, d, x->c1, keys->element[at]);
    }
    sotto_bfv_add_switched(x, p, SOTTO_BFV_REPLACE_C1, d, x->ntt ? d_ntt : NULL, &keys->key[at], rest);
}

int sotto_bfv_apply_galois(sotto_bfv_ct *x, const sotto_bfv_params *p, uint32_t g, const sotto_bfv_galois_keys *keys)
{
    size_t at;
    if (g == 1)
        return SOTTO_OK;
    int status = check_galois(&at, p, g, keys);
    if (status != SOTTO_OK)
        return status;
    uint64_t *room = sotto_calloc(galois_words(p), sizeof *room);
    if (room == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory to rotate a ciphertext");
    galois(x, p, keys, at, room);
    sotto_free(room);
    return SOTTO_OK;
}

int sotto_bfv_rotate_rows(sotto_bfv_ct *x, const sotto_bfv_params *p, long step, const sotto_bfv_galois_keys *keys)
{
    int status = sotto_bfv_apply_galois(x, p, sotto_bfv_galois_row(p, step), keys);
    return status == SOTTO_OK ? status : sotto_fail_context(status, "rotation of the rows by %ld", step);
}

int sotto_bfv_swap_rows(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_galois_keys *keys)
{
    int status = sotto_bfv_apply_galois(x, p, sotto_bfv_galois_swap(p), keys);
    return status == SOTTO_OK ? status : sotto_fail_context(status, "swap of the rows");
}

int sotto_bfv_sum_slots(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_galois_keys *keys)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    const size_t words = sotto_poly_words(rns);
    uint32_t element[SOTTO_BFV_SUM_ELEMENTS_MAX];
    size_t at[SOTTO_BFV_SUM_ELEMENTS_MAX], count = sotto_bfv_galois_sum(element, p);
    int status = SOTTO_OK;
    for (size_t i = 0; status == SOTTO_OK && i < count; i++)
        status = check_galois(&at[i], p, element[i], keys);
    if (status != SOTTO_OK)
        return sotto_fail_context(status, "sum of the slots");
    uint64_t *room = sotto_calloc(galois_words(p) + 2 * words, sizeof *room);
    if (room == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory to sum the slots of a ciphertext");
    sotto_bfv_ct turned = {.c0 = room, .c1 = room + words};
    sotto_bfv_to_ntt(x, p);
    for (size_t i = 0; i < count; i++) {
        memcpy(turned.c0, x->c0, words * sizeof *turned.c0);
        memcpy(turned.c1, x->c1, words * sizeof *turned.c1);
        turned.ntt = 1;
        galois(&turned, p, keys, at[i], room + 2 * words);
        sotto_poly_add(rns, x->c0, x->c0, turned.c0);
        sotto_poly_add(rns, x->c1, x->c1, turned.c1);
    }
    sotto_free(room);
    return SOTTO_OK;
}

/* Tiles stay in the first cache, so that a term costs one load. */
#define SUM_TILE 1024u

static void sum_part(const sotto_rns *rns, uint64_t *out, const sotto_bfv_ct *const *x, size_t count, int part)
{
    const size_t n = sotto_rns_n(rns), words = sotto_poly_words(rns);
    uint64_t acc[SUM_TILE];
    for (size_t start = 0; start < words; start += SUM_TILE) { /* n >= 1024: a tile lies in one limb */
        const sotto_modulus *m = sotto_rns_modulus(rns, start / n);
        memset(acc, 0, sizeof acc);
        for (size_t i = 0; i < count; i++) {
            const uint64_t *term = (part == 0 ? x[i]->c0 : x[i]->c1) + start;
            for (size_t j = 0; j < SUM_TILE; j++)
                acc[j] += term[j];
            if (i % 7 == 6 || i + 1 == count) /* 8 residues below 2^61 fit a word */
                for (size_t j = 0; j < SUM_TILE; j++)
                    acc[j] = sotto_mod_reduce(acc[j], m);
        }
        memcpy(out + start, acc, sizeof acc);
    }
}

int sotto_bfv_sum(sotto_bfv_ct *out, const sotto_bfv_params *p, const sotto_bfv_ct *const *x, size_t count)
{
    if (count == 0)
        return sotto_fail(SOTTO_ERR_ARG, "sum of no ciphertexts");
    const int ntt = x[0]->ntt != 0;
    for (size_t i = 1; i < count; i++)
        if ((x[i]->ntt != 0) != ntt)
            return sotto_fail(SOTTO_ERR_ARG, "ciphertexts %zu and 0 of a sum are in different forms: convert one of them", i);
    sum_part(sotto_bfv_rns(p), out->c0, x, count, 0);
    sum_part(sotto_bfv_rns(p), out->c1, x, count, 1);
    out->ntt = ntt;
    return SOTTO_OK;
}
