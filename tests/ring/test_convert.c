#include "ring/convert.h"

#include <stdlib.h>
#include <string.h>

#include "lib/cpu.h"
#include "lib/mem.h"
#include "tests/ring/helpers.h"

enum { N = 16, COUNT = 203, STRIDE = 211 };

static uint64_t seed;

/* Pairs of bases by the sizes of their primes, just under and over the limits of the fast ways. */
static const struct {
    size_t k, l;
    unsigned from[SOTTO_RNS_MAX], to[SOTTO_RNS_MAX];
} shapes[] = {
    {1, 1, {20}, {61}},
    {1, 4, {44}, {43, 44, 43, 44}},
    {2, 3, {46, 46}, {50, 50, 50}},
    {3, 3, {36, 36, 37}, {50, 50, 30}},
    {4, 4, {43, 43, 44, 44}, {50, 50, 50, 50}},
    {4, 4, {50, 50, 50, 50}, {50, 50, 50, 50}},
    {4, 2, {51, 50, 50, 50}, {50, 50}},
    {5, 1, {58, 58, 58, 58, 58}, {61}},
    {4, 3, {59, 59, 59, 59}, {20, 40, 61}},
    {6, 7, {50, 49, 48, 30, 20, 50}, {50, 50, 50, 50, 50, 50, 11}},
    {15, 2, {50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50}, {50, 20}},
    {16, 3, {50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50}, {50, 50, 50}},
    {16, 16, {58, 58, 58, 58, 58, 58, 58, 58, 58, 58, 58, 58, 58, 58, 58, 58},
     {61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61}},
    {16, 16, {61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61},
     {61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61}},
};

typedef struct pair {
    sotto_rns *from, *to;
    size_t k, l;
    uint64_t q[SOTTO_RNS_MAX], p[SOTTO_RNS_MAX];
} pair;

static pair pair_new(size_t shape)
{
    pair b = {.k = shapes[shape].k, .l = shapes[shape].l};
    for (size_t i = 0; i < b.k; i++)
        assert_ok(sotto_prime_generate(&b.q[i], 1, shapes[shape].from[i], N, b.q, i));
    for (size_t i = 0; i < b.l; i++)
        assert_ok(sotto_prime_generate(&b.p[i], 1, shapes[shape].to[i], N, b.p, i));
    assert_ok(sotto_rns_new(&b.from, N, b.q, b.k));
    assert_ok(sotto_rns_new(&b.to, N, b.p, b.l));
    return b;
}

static void pair_free(pair *b)
{
    sotto_rns_free(b->from);
    sotto_rns_free(b->to);
}

/* Value number j modulo A: near 0, near A/2, near A, or random. */
static void value(mpz_t x, const mpz_t a, size_t j, const sotto_rng *rng)
{
    mpz_t small;
    mpz_init(small);
    mpz_fdiv_q_2exp(small, a, 20);
    mpz_add_ui(small, small, 1);
    int_random(small, small, rng);
    switch (j % 8) {
    case 0:
        mpz_set_ui(x, j / 8);
        break;
    case 1:
        mpz_sub_ui(x, a, 1 + j / 8);
        break;
    case 2:
        mpz_fdiv_q_2exp(x, a, 1);
        mpz_add(x, x, small);
        break;
    case 3:
        mpz_fdiv_q_2exp(x, a, 1);
        mpz_sub(x, x, small);
        break;
    default:
        int_random(x, a, rng);
    }
    mpz_mod(x, x, a);
    mpz_clear(small);
}

/* Against the definition: X = factor x about zero, times a factor modulo each b_j, plus an addend; two answers where X is
 * within k 2^-46 A of A/2. */
static void check(const pair *b, const uint64_t *multiple, const uint64_t *factor_out, const uint64_t *x,
                  const uint64_t *addend, const uint64_t *got)
{
    mpz_t a, half, big, near, other, y;
    uint64_t residue[SOTTO_RNS_MAX], at[SOTTO_RNS_MAX], at_other[SOTTO_RNS_MAX];
    mpz_inits(a, half, big, near, other, y, NULL);
    sotto_rns_product(b->from, a);
    mpz_fdiv_q_2exp(half, a, 1);
    mpz_mul_ui(near, a, b->k);
    mpz_fdiv_q_2exp(near, near, 46);
    for (size_t j = 0; j < COUNT; j++) {
        for (size_t i = 0; i < b->k; i++)
            residue[i] = (uint64_t)((sotto_u128)x[i * STRIDE + j] * multiple[i] % b->q[i]);
        sotto_rns_compose_var(b->from, big, residue);
        if (mpz_cmp(big, half) > 0)
            mpz_sub(big, big, a);
        mpz_add(other, big, a); /* the candidate above A/2 */
        mpz_sub(y, other, half);
        int two = mpz_cmp(y, near) <= 0;
        sotto_rns_decompose_var(b->to, at, big);
        sotto_rns_decompose_var(b->to, at_other, two ? other : big);
        int match = 1, match_other = 1;
        for (size_t o = 0; o < b->l; o++) {
            uint64_t f = factor_out == NULL ? 1 : factor_out[o], more = addend == NULL ? 0 : addend[o * STRIDE + j];
            match &= got[o * STRIDE + j] == (uint64_t)(((sotto_u128)at[o] * f + more) % b->p[o]);
            match_other &= got[o * STRIDE + j] == (uint64_t)(((sotto_u128)at_other[o] * f + more) % b->p[o]);
        }
        if (!match && !match_other)
            fail_msg("%zu primes to %zu: value %zu is wrong", b->k, b->l, j);
    }
    mpz_clears(a, half, big, near, other, y, NULL);
}

static void test_conversions(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 1);
    for (size_t s = 0; s < ARRAY_LEN(shapes); s++) {
        pair b = pair_new(s);
        const size_t words = SOTTO_RNS_MAX * STRIDE;
        uint64_t *x = calloc(words, sizeof *x), *addend = calloc(words, sizeof *addend), *got = calloc(words, sizeof *got),
                 *again = calloc(words, sizeof *again);
        uint64_t weights[SOTTO_RNS_MAX], factor_in[SOTTO_RNS_MAX], factor_out[SOTTO_RNS_MAX], multiple[SOTTO_RNS_MAX],
            residue[SOTTO_RNS_MAX];
        assert_true(x != NULL && addend != NULL && got != NULL && again != NULL);
        sotto_convert_weights(b.from, weights);
        mpz_t a, v;
        mpz_inits(a, v, NULL);
        sotto_rns_product(b.from, a);
        /* Without factors, with both, and with words that are weights already. */
        for (int kind = 0; kind < 3; kind++) {
            for (size_t i = 0; i < b.k; i++) {
                const sotto_modulus *m = sotto_rns_modulus(b.from, i);
                multiple[i] = kind == 1 ? edgy_below(&rng, b.q[i]) : 1;
                factor_in[i] = sotto_mod_mul(weights[i], multiple[i], m);
                if (kind == 2)
                    multiple[i] = sotto_mod_inv(weights[i], m);
            }
            for (size_t o = 0; o < b.l; o++)
                factor_out[o] = edgy_below(&rng, b.p[o]);
            for (size_t j = 0; j < COUNT; j++) {
                value(v, a, j, &rng);
                sotto_rns_decompose_var(b.from, residue, v);
                for (size_t i = 0; i < b.k && j % 8 == 5; i++)
                    residue[i] = b.q[i] - 1 - (j / 8) % 3; /* words, and so sums, at the top of their ranges */
                for (size_t i = 0; i < b.k; i++)
                    x[i * STRIDE + j] = kind == 2 && j % 8 != 5
                                            ? sotto_mod_mul(residue[i], weights[i], sotto_rns_modulus(b.from, i))
                                            : residue[i];
                for (size_t o = 0; o < b.l; o++)
                    addend[o * STRIDE + j] = edgy_below(&rng, b.p[o]);
            }
            const uint64_t *in = kind == 2 ? NULL : factor_in, *out = kind == 0 ? NULL : factor_out;
            for (int with_addend = 0; with_addend < 2; with_addend++)
                for (int tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_IFMA; tier++) {
                    sotto_convert *c = NULL;
                    uint64_t *result = tier == SOTTO_TIER_PORTABLE ? got : again;
                    sotto_cpu_force_tier((sotto_tier)tier);
                    assert_ok(sotto_convert_new(&c, b.from, b.to, in, out));
                    memset(result, 0xab, words * sizeof *result);
                    if (with_addend && tier != SOTTO_TIER_PORTABLE) /* in place of the addend */
                        memcpy(result, addend, words * sizeof *result);
                    sotto_convert_run(c, result, STRIDE, x, STRIDE,
                                      !with_addend ? NULL : tier == SOTTO_TIER_PORTABLE ? addend : result, COUNT);
                    if (tier == SOTTO_TIER_PORTABLE)
                        check(&b, multiple, out, x, with_addend ? addend : NULL, got);
                    for (size_t o = 0; o < b.l; o++)
                        assert_memory_equal(result + o * STRIDE, got + o * STRIDE, COUNT * sizeof *got);
                    if (!with_addend) /* nothing behind the last value */
                        assert_true(result[(b.l - 1) * STRIDE + COUNT] == 0xababababababababu);
                    sotto_convert_free(c);
                }
        }
        mpz_clears(a, v, NULL);
        free(x);
        free(addend);
        free(got);
        free(again);
        pair_free(&b);
    }
}

/* Every integer of a small basis. */
static void test_exhaustive(void **state)
{
    (void)state;
    const uint64_t q[2] = {97, 193}, p[2] = {97, 257};
    sotto_rns *from = NULL, *to = NULL;
    sotto_convert *c = NULL;
    uint64_t weights[2], x[2], out[2];
    assert_ok(sotto_rns_new(&from, N, q, 2));
    assert_ok(sotto_rns_new(&to, N, p, 2));
    sotto_convert_weights(from, weights);
    assert_ok(sotto_convert_new(&c, from, to, weights, NULL));
    for (int64_t v = -(97 * 193 - 1) / 2; v <= (97 * 193 - 1) / 2; v++) {
        for (size_t i = 0; i < 2; i++)
            x[i] = (uint64_t)(v + 97 * 193) % q[i];
        sotto_convert_run(c, out, 1, x, 1, NULL, 1);
        for (size_t o = 0; o < 2; o++)
            if (out[o] != (uint64_t)(v + 97 * 257) % p[o])
                fail_msg("%lld modulo %llu", (long long)v, (unsigned long long)p[o]);
    }
    sotto_convert_free(c);
    sotto_rns_free(from);
    sotto_rns_free(to);
}

static void test_lift(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 2);
    const unsigned bits[] = {11, 20, 43, 44, 46, 47, 50, 58, 61};
    for (size_t i = 0; i < ARRAY_LEN(bits); i++)
        for (size_t j = 0; j < ARRAY_LEN(bits); j++) {
            sotto_modulus a, q;
            uint64_t x[COUNT], out[COUNT];
            assert_ok(sotto_modulus_init(&a, prime_of(bits[i], N)));
            assert_ok(sotto_modulus_init(&q, prime_of(bits[j], N)));
            for (size_t v = 0; v < COUNT; v++)
                x[v] = v < 4 ? a.q / 2 + v - 1 : edgy_below(&rng, a.q);
            sotto_cpu_force_tier(SOTTO_TIER_PORTABLE);
            sotto_convert_lift(out, x, COUNT, &a, &q);
            sotto_cpu_force_tier(SOTTO_TIER_IFMA);
            for (size_t v = 0; v < COUNT; v++) {
                sotto_i128 want = sotto_mod_centre(x[v], a.q) % (sotto_i128)q.q;
                assert_true(out[v] < 4 * q.q);
                assert_true(out[v] % q.q == (uint64_t)(want < 0 ? want + (sotto_i128)q.q : want));
            }
            sotto_convert_lift(x, x, COUNT, &a, &q);
            assert_memory_equal(x, out, sizeof x);
        }
}

static void test_constants(void **state)
{
    (void)state;
    for (size_t s = 0; s < ARRAY_LEN(shapes); s++) {
        pair b = pair_new(s);
        mpz_t a, prime;
        uint64_t weights[SOTTO_RNS_MAX], product[SOTTO_RNS_MAX], want[SOTTO_RNS_MAX];
        mpz_inits(a, prime, NULL);
        sotto_rns_product(b.from, a);
        sotto_convert_product(b.from, product, b.to);
        sotto_rns_decompose_var(b.to, want, a);
        assert_memory_equal(product, want, b.l * sizeof *want);
        sotto_convert_weights(b.from, weights);
        for (size_t i = 0; i < b.k; i++) {
            int_set(prime, b.q[i]);
            mpz_divexact(prime, a, prime);
            sotto_rns_decompose_var(b.from, want, prime);
            assert_true(sotto_mod_mul(want[i], weights[i], sotto_rns_modulus(b.from, i)) == 1);
        }
        mpz_clears(a, prime, NULL);
        pair_free(&b);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    pair b = pair_new(3);
    sotto_rns *longer = NULL;
    sotto_convert *c = (sotto_convert *)&b; /* anything but NULL */
    uint64_t bad[SOTTO_RNS_MAX] = {0}, q = prime_of(40, 2 * N);
    assert_ok(sotto_rns_new(&longer, 2 * N, &q, 1));
    assert_status(SOTTO_ERR_ARG, sotto_convert_new(&c, b.from, longer, NULL, NULL));
    assert_null(c);
    bad[2] = b.q[2];
    assert_status(SOTTO_ERR_ARG, sotto_convert_new(&c, b.from, b.to, bad, NULL));
    bad[2] = b.p[2];
    assert_status(SOTTO_ERR_ARG, sotto_convert_new(&c, b.from, b.to, NULL, bad));
    assert_null(c);
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_convert_new(&c, b.from, b.to, NULL, NULL));
    sotto_calloc_fail_after(-1);
    assert_null(c);
    sotto_convert_free(NULL);
    sotto_rns_free(longer);
    pair_free(&b);
}

int main(void)
{
    seed = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversions), cmocka_unit_test(test_exhaustive), cmocka_unit_test(test_lift),
        cmocka_unit_test(test_constants),   cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
