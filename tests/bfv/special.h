/* What the tests of products, key switching and rotations share: parameters with a special prime, their keys, batching, and
 * digests of transcripts. */
#ifndef SOTTO_TESTS_BFV_SPECIAL_H
#define SOTTO_TESTS_BFV_SPECIAL_H

#include <sodium.h>

#include "bfv/batch.h"
#include "bfv/galois.h"
#include "bfv/multiply.h"
#include "bfv/noise.h"
#include "tests/bfv/fixture.h"

/* The size that is meant: 174 bits of ciphertext and a special prime of 44, 218 in all. */
static const unsigned bits_8192[] = {43, 43, 44, 44};
#define SPECIAL_8192 44

/* fixture_new with a special prime; for the prime t = 1 mod 2n also *batch, where that is not NULL. */
__attribute__((unused)) static fixture special_new(uint32_t n, const unsigned *bits, size_t count, unsigned special,
                                                   uint64_t t, sotto_bfv_batch **batch, const sotto_rng *rng)
{
    fixture f = {.n = n, .t = t, .rng = rng};
    assert_ok(sotto_bfv_params_from_bits_special(&f.p, n, bits, count, special, t));
    assert_ok(sotto_bfv_secret_key_new(&f.sk, f.p, rng));
    assert_ok(sotto_bfv_public_key_new(&f.pk, f.p, &f.sk, rng));
    if (batch != NULL)
        assert_ok(sotto_bfv_batch_new(batch, f.p));
    return f;
}

__attribute__((unused)) static sotto_bfv_ct encrypted(const fixture *f, const uint64_t *m, int public)
{
    sotto_bfv_ct ct;
    sotto_block seed_of_a;
    assert_ok(sotto_bfv_ct_new(&ct, f->p));
    if (public)
        assert_ok(sotto_bfv_encrypt_public(&ct, f->p, &f->pk, m, f->rng));
    else
        assert_ok(sotto_bfv_encrypt_symmetric(&ct, &seed_of_a, f->p, &f->sk, m, f->rng));
    return ct;
}

__attribute__((unused)) static sotto_bfv_ct copy_of(const fixture *f, const sotto_bfv_ct *x)
{
    sotto_bfv_ct ct;
    assert_ok(sotto_bfv_ct_new(&ct, f->p));
    memcpy(ct.c0, x->c0, f->sk.words * sizeof *x->c0);
    memcpy(ct.c1, x->c1, f->sk.words * sizeof *x->c1);
    ct.ntt = x->ntt;
    return ct;
}

__attribute__((unused)) static int same_ct(const fixture *f, const sotto_bfv_ct *x, const sotto_bfv_ct *y)
{
    return x->ntt == y->ntt && memcmp(x->c0, y->c0, f->sk.words * sizeof *x->c0) == 0 &&
           memcmp(x->c1, y->c1, f->sk.words * sizeof *x->c1) == 0;
}

/* n signed slots below t/2 in magnitude, the extremes among them. */
__attribute__((unused)) static void slots_fill(int64_t *x, const fixture *f)
{
    for (uint32_t i = 0; i < f->n; i++) {
        const int64_t extreme[] = {0, 1, -1, (int64_t)(f->t / 2), -(int64_t)(f->t / 2)};
        uint64_t kind = test_below(f->rng, 16);
        x[i] = kind < 5 ? extreme[kind] : (int64_t)test_below(f->rng, f->t) - (int64_t)(f->t / 2);
    }
}

__attribute__((unused)) static int64_t *slots_new(const fixture *f)
{
    int64_t *x = calloc(f->n, sizeof *x);
    assert_non_null(x);
    slots_fill(x, f);
    return x;
}

__attribute__((unused)) static sotto_bfv_ct encrypted_slots(const fixture *f, const sotto_bfv_batch *b, const int64_t *x,
                                                            int public)
{
    uint64_t *m = words_new(f->n);
    assert_ok(sotto_bfv_batch_encode(m, b, x, f->n));
    sotto_bfv_ct ct = encrypted(f, m, public);
    free(m);
    return ct;
}

/* x modulo t about zero. */
__attribute__((unused)) static int64_t reduced(sotto_i128 x, uint64_t t)
{
    sotto_i128 r = x % (sotto_i128)t;
    r += r < 0 ? (sotto_i128)t : 0;
    return (int64_t)(r > (sotto_i128)(t / 2) ? r - (sotto_i128)t : r);
}

/* How many slots of ct are not those of x modulo t. */
__attribute__((unused)) static uint32_t wrong_slots(const fixture *f, const sotto_bfv_batch *b, const sotto_bfv_ct *ct,
                                                    const int64_t *x)
{
    uint64_t *m = words_new(f->n);
    int64_t *got = calloc(f->n, sizeof *got);
    uint32_t wrong = 0;
    assert_non_null(got);
    assert_ok(sotto_bfv_decrypt(m, f->p, &f->sk, ct));
    assert_ok(sotto_bfv_batch_decode(got, b, m, f->n));
    for (uint32_t i = 0; i < f->n; i++)
        wrong += got[i] != reduced(x[i], f->t);
    free(got);
    free(m);
    return wrong;
}

/* Every pair (b_i, a_i) of the key hides g_i from with an error of at most 19 in magnitude, the same modulo all primes. */
__attribute__((unused)) static void assert_switch_key(const fixture *f, const sotto_bfv_switch_key *key,
                                                      const uint64_t *from)
{
    const sotto_rns *rns = sotto_bfv_rns(f->p), *special = sotto_bfv_special(f->p);
    const size_t k = sotto_rns_count(rns), n = f->n;
    const uint64_t p = sotto_rns_modulus(special, 0)->q;
    uint64_t *x = words_new(n), *s = words_new(n);
    int64_t *e = calloc(n, sizeof *e);
    double square = 0;
    assert_non_null(e);
    assert_true(key->words == k * (k + 1) * n);
    sotto_poly_from_signed(special, s, f->sk.s);
    sotto_poly_forward(special, s);
    for (size_t i = 0; i < k; i++) {
        for (size_t j = k + 1; j-- > 0;) { /* the special prime first */
            const sotto_ntt *ntt = j < k ? sotto_rns_ntt(rns, j) : sotto_rns_ntt(special, 0);
            const sotto_modulus *m = sotto_ntt_modulus(ntt);
            const size_t at = (i * (k + 1) + j) * n;
            memcpy(x, key->b + at, n * sizeof *x);
            sotto_ntt_mac(ntt, x, key->a + at, j < k ? f->sk.s_ntt + j * n : s);
            for (size_t c = 0; c < n && j == i; c++)
                x[c] = sotto_mod_sub(x[c], from[j * n + c], m->q);
            sotto_ntt_inverse(ntt, x);
            for (size_t c = 0; c < n; c++) {
                uint64_t error = j < k ? sotto_mod_mul(x[c], sotto_mod_reduce(p, m), m) : x[c];
                int64_t v = sotto_mod_centre(error, m->q);
                if (j == k)
                    e[c] = v;
                assert_true(v >= -19 && v <= 19 && v == e[c]);
                square += j == k ? (double)(v * v) : 0;
            }
        }
    }
    /* 10.24 +- 10.24 sqrt(2 / (k n)); 8 deviations at k n = 4096 */
    assert_true(square / (double)(k * n) > 8.4 && square / (double)(k * n) < 12.1);
    free(x);
    free(s);
    free(e);
}

/* BLAKE2b-256 of words as they lie in memory, in hex. */
__attribute__((unused)) static void digest_words(char hex[65], const uint64_t *const *x, const size_t *words, size_t arrays)
{
    crypto_generichash_state h;
    unsigned char out[32];
    assert_int_equal(crypto_generichash_init(&h, NULL, 0, sizeof out), 0);
    for (size_t i = 0; i < arrays; i++)
        assert_int_equal(crypto_generichash_update(&h, (const unsigned char *)x[i], words[i] * sizeof(uint64_t)), 0);
    assert_int_equal(crypto_generichash_final(&h, out, sizeof out), 0);
    sodium_bin2hex(hex, 65, out, sizeof out);
}

#endif
