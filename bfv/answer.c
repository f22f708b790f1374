#include "bfv/answer.h"

#include <string.h>

#include "bfv/internal.h"
#include "lib/mem.h"
#include "ring/poly.h"

/* l for t = 2^l, 0 when t is no power of two. */
static unsigned log_t(const sotto_bfv_params *p)
{
    uint64_t t = sotto_bfv_t(p);
    return (t & (t - 1)) == 0 ? (unsigned)__builtin_ctzll(t) : 0;
}

/* How many primes of the basis hold the owner's integer product a s, |a s| <= n 2^(l + 8): 1 or 2, 0 when two do not. */
static size_t product_primes(const sotto_bfv_params *p)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    sotto_u128 range = (sotto_u128)sotto_bfv_n(p) << (log_t(p) + SOTTO_ANSWER_A_EXTRA), product = 1;
    for (size_t k = 1; k <= 2 && k <= sotto_rns_count(rns); k++) {
        product *= sotto_rns_modulus(rns, k - 1)->q;
        if (product > range)
            return k;
    }
    return 0;
}

int sotto_bfv_answer_check(const sotto_bfv_params *p)
{
    unsigned l = log_t(p);
    if (l == 0 || l + SOTTO_ANSWER_A_EXTRA > 60)
        return sotto_fail(SOTTO_ERR_PARAMS, "answers need a plaintext modulus 2^l with l from 1 to %d, not %llu",
                          60 - SOTTO_ANSWER_A_EXTRA, (unsigned long long)sotto_bfv_t(p));
    if (product_primes(p) == 0)
        return sotto_fail(SOTTO_ERR_PARAMS, "the first two primes are too short for answers of %u bits: take longer ones",
                          l);
    return SOTTO_OK;
}

size_t sotto_bfv_answer_bytes(const sotto_bfv_params *p, size_t wanted)
{
    return sotto_packed_bytes(sotto_bfv_n(p), log_t(p) + SOTTO_ANSWER_A_EXTRA) +
           sotto_packed_bytes(wanted, log_t(p) + SOTTO_ANSWER_B_EXTRA);
}

/* All of index below n and no two equal: a coefficient sent twice would be flooded twice, and the average tells more. seen: n bytes. */
static int check_index(const sotto_bfv_params *p, const uint32_t *index, size_t wanted, uint8_t *seen)
{
    uint32_t n = sotto_bfv_n(p);
    memset(seen, 0, n);
    size_t i = 0;
    while (i < wanted && index[i] < n && !seen[index[i]])
        seen[index[i++]] = 1;
    if (i < wanted)
        return sotto_fail(SOTTO_ERR_ARG, "wanted coefficient %zu is %lu: expected distinct ones below %lu", i,
                          (unsigned long)index[i], (unsigned long)n);
    return SOTTO_OK;
}

/* Writing: the coins and, once these are used up, what is switched down in their place; the flood; the wanted coefficients. Reading: a and its product, b, two transforms. */
size_t sotto_bfv_answer_room(const sotto_bfv_params *p, size_t wanted)
{
    return sotto_bfv_coins_words(p) + (sotto_rns_count(sotto_bfv_rns(p)) + 2) * wanted;
}

/* x[limb][i] = c0[limb][index[i]] - x[limb][i] + F_i, F_i centred: sum[i] less its middle. */
static void mask_and_flood(uint64_t *x, const sotto_bfv_params *p, const uint64_t *c0, const uint32_t *index,
                           const sotto_u128 *sum, sotto_u128 width, size_t wanted)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    size_t n = sotto_bfv_n(p);
    for (size_t limb = 0; limb < sotto_rns_count(rns); limb++, x += wanted, c0 += n) {
        const sotto_modulus *m = sotto_rns_modulus(rns, limb);
        uint64_t middle = sotto_mod_reduce128(3 * (width - 1) / 2, m);
        for (size_t i = 0; i < wanted; i++) {
            uint64_t flood = sotto_mod_sub(sotto_mod_reduce128(sum[i], m), middle, m->q);
            x[i] = sotto_mod_add(sotto_mod_sub(c0[index[i]], x[i], m->q), flood, m->q);
        }
    }
}

int sotto_bfv_answer_write_in(sotto_writer *w, const sotto_bfv_params *p, const sotto_bfv_public_key *pk,
                              const sotto_bfv_answer_plan *plan, sotto_bfv_ct *acc, const uint32_t *index,
                              const uint64_t *mask, size_t wanted, const sotto_rng *rng, uint64_t *room)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    const size_t n = sotto_bfv_n(p);
    const unsigned l = log_t(p);
    int status = w->status;
    if (status == SOTTO_OK)
        status = sotto_bfv_answer_check(p);
    if (status == SOTTO_OK && (plan->flood_width == 0 || plan->set != sotto_bfv_set_id(p)))
        status = sotto_fail(SOTTO_ERR_ARG, "answer without a plan for these parameters");
    if (status == SOTTO_OK && !acc->ntt)
        status = sotto_fail(SOTTO_ERR_ARG, "answer from a ciphertext in coefficient form: NTT form is needed");
    if (status == SOTTO_OK)
        status = check_index(p, index, wanted, (uint8_t *)room);
    if (status == SOTTO_OK)
        status = sotto_bfv_check_message(p, mask, wanted);
    if (status == SOTTO_OK && w->cap - w->pos < sotto_bfv_answer_bytes(p, wanted))
        status = sotto_fail(SOTTO_ERR_LIMIT, "answer of %zu bytes, %zu left to write to",
                            sotto_bfv_answer_bytes(p, wanted), w->cap - w->pos);
    if (status != SOTTO_OK)
        return status;

    /* The room is aligned, as all memory of sotto_calloc, and n is even: so are words of 128 bits behind the coins. */
    uint64_t *switched = room, *x = room + sotto_bfv_coins_words(p);
    sotto_u128 *sum = (sotto_u128 *)(void *)x;
    sotto_block seed = {{0, 0}};
    x += 2 * wanted;
    status = sotto_bfv_rerandomise(acc, p, pk, rng, room);
    if (status == SOTTO_OK)
        status = sotto_rng_fill(rng, &seed, sizeof seed);
    if (status == SOTTO_OK) {
        sotto_prg prg;
        sotto_prg_init(&prg, seed);
        sotto_bfv_flood(sum, wanted, plan->flood_width, &prg);
        sotto_prg_wipe(&prg);
        sotto_rns_scale_up(rns, x, wanted, mask, wanted, sotto_bfv_t(p));
        mask_and_flood(x, p, acc->c0, index, sum, plan->flood_width, wanted);
        sotto_rns_scale_round_pow2(rns, switched, acc->c1, n, n, l + SOTTO_ANSWER_A_EXTRA);
        sotto_write_packed(w, switched, n, l + SOTTO_ANSWER_A_EXTRA);
        sotto_rns_scale_round_pow2(rns, switched, x, wanted, wanted, l + SOTTO_ANSWER_B_EXTRA);
        sotto_write_packed(w, switched, wanted, l + SOTTO_ANSWER_B_EXTRA);
    }
    sotto_wipe(&seed, sizeof seed);
    return status;
}

int sotto_bfv_answer_write(sotto_writer *w, const sotto_bfv_params *p, const sotto_bfv_public_key *pk,
                           const sotto_bfv_answer_plan *plan, sotto_bfv_ct *acc, const uint32_t *index,
                           const uint64_t *mask, size_t wanted, const sotto_rng *rng)
{
    const size_t words = sotto_bfv_answer_room(p, wanted);
    uint64_t *room = sotto_calloc(words, sizeof *room);
    const int status = room == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for an answer")
                                    : sotto_bfv_answer_write_in(w, p, pk, plan, acc, index, mask, wanted, rng, room);
    sotto_free_secret(room, words, sizeof *room);
    return status;
}

/* The integer with residues x0 and x1 that is smallest in magnitude, modulo 2^64 (Garner). */
static uint64_t lift_two(uint64_t x0, uint64_t x1, const sotto_modulus *m0, const sotto_modulus *m1,
                         sotto_shoup q0_inverse)
{
    sotto_u128 q = (sotto_u128)m0->q * m1->q, half = q >> 1;
    uint64_t difference = sotto_mod_sub(x1, sotto_mod_reduce(x0, m1), m1->q);
    sotto_u128 x = x0 + (sotto_u128)m0->q * sotto_shoup_mul(difference, q0_inverse, m1->q); /* [0, q), q < 2^122 */
    uint64_t above = sotto_ct_mask((uint64_t)((half - x) >> 127));
    return (uint64_t)x - ((uint64_t)q & above);
}

/* product = a s over the integers, modulo 2^64, for a in [0, 2^bits) taken centred. `work` has 2n words. */
static void multiply_by_secret(uint64_t *product, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk,
                               const uint64_t *a, unsigned bits, uint64_t *work)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    const size_t n = sotto_bfv_n(p), primes = product_primes(p);
    for (size_t k = 0; k < primes; k++) {
        const sotto_ntt *ntt = sotto_rns_ntt(rns, k);
        uint64_t *x = work + k * n;
        for (size_t i = 0; i < n; i++) {
            int64_t centred = (int64_t)a[i] - (int64_t)((a[i] >> (bits - 1)) << bits);
            x[i] = sotto_mod_from_signed(centred, sotto_ntt_modulus(ntt));
        }
        sotto_ntt_forward(ntt, x);
        sotto_ntt_mul(ntt, x, x, sk->s_ntt + k * n);
        sotto_ntt_inverse(ntt, x);
    }
    const sotto_modulus *m0 = sotto_rns_modulus(rns, 0);
    if (primes == 1) {
        for (size_t i = 0; i < n; i++)
            product[i] = (uint64_t)sotto_mod_centre(work[i], m0->q);
        return;
    }
    const sotto_modulus *m1 = sotto_rns_modulus(rns, 1);
    sotto_shoup q0_inverse = sotto_shoup_new(sotto_mod_inv(sotto_mod_reduce(m0->q, m1), m1), m1);
    for (size_t i = 0; i < n; i++)
        product[i] = lift_two(work[i], work[n + i], m0, m1, q0_inverse);
}

int sotto_bfv_answer_read_in(uint64_t *out, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk, sotto_reader *r,
                             const uint32_t *index, size_t wanted, uint64_t *room)
{
    const size_t n = sotto_bfv_n(p);
    const unsigned l = log_t(p), a_bits = l + SOTTO_ANSWER_A_EXTRA, b_bits = l + SOTTO_ANSWER_B_EXTRA;
    int status = r->status;
    if (status == SOTTO_OK)
        status = sotto_bfv_answer_check(p);
    if (status == SOTTO_OK)
        status = sotto_bfv_check_key(p, sk);
    if (status == SOTTO_OK)
        status = check_index(p, index, wanted, (uint8_t *)room);
    if (status != SOTTO_OK)
        return status;
    if (sotto_reader_left(r) < sotto_bfv_answer_bytes(p, wanted)) {
        r->status = SOTTO_ERR_FORMAT;
        return sotto_fail(SOTTO_ERR_FORMAT, "answer: %zu bytes left, expected %zu", sotto_reader_left(r),
                          sotto_bfv_answer_bytes(p, wanted));
    }

    uint64_t *a = room, *b = room + n;
    sotto_read_packed(r, a, n, a_bits);
    sotto_read_packed(r, b, wanted, b_bits);
    status = r->status;
    if (status == SOTTO_OK) {
        multiply_by_secret(a, p, sk, a, a_bits, room + 2 * n);
        /* round(phase / 2^9) mod 2^l with phase = b 2^5 + a s mod 2^(l + 9). */
        for (size_t i = 0; i < wanted; i++) {
            uint64_t phase = (b[i] << (SOTTO_ANSWER_A_EXTRA - SOTTO_ANSWER_B_EXTRA)) + a[index[i]];
            out[i] = sotto_low_bits(phase + (1u << (SOTTO_ANSWER_A_EXTRA - 1)), a_bits) >> SOTTO_ANSWER_A_EXTRA;
        }
    } else {
        status = sotto_fail(SOTTO_ERR_FORMAT, "answer: padding bits that are not zero");
    }
    return status;
}

int sotto_bfv_answer_read(uint64_t *out, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk, sotto_reader *r,
                          const uint32_t *index, size_t wanted)
{
    const size_t words = sotto_bfv_answer_room(p, wanted);
    uint64_t *room = sotto_calloc(words, sizeof *room);
    const int status = room == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for an answer")
                                    : sotto_bfv_answer_read_in(out, p, sk, r, index, wanted, room);
    sotto_free_secret(room, words, sizeof *room);
    return status;
}
