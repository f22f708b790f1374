#include "ring/sample.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/prg.h"
#include "ring/poly.h"
#include "ring/sample_internal.h"
#include "tests/ring/helpers.h"

static sotto_rns *basis(uint32_t n, const unsigned *bits, size_t k)
{
    uint64_t primes[SOTTO_RNS_MAX] = {0};
    for (size_t i = 0; i < k; i++)
        assert_ok(sotto_prime_generate(&primes[i], 1, bits[i], n, primes, i));
    sotto_rns *b = NULL;
    assert_ok(sotto_rns_new(&b, n, primes, k));
    return b;
}

/* The tiers that this processor can run, the reference first. */
static size_t all_kernels(const sotto_sample_kernels *out[3])
{
    size_t count = 0;
    out[count++] = &sotto_sample_kernels_ref;
#if defined(__x86_64__)
    if (sotto_cpu_tier() >= sotto_sample_kernels_avx2.tier)
        out[count++] = &sotto_sample_kernels_avx2;
    if (sotto_cpu_tier() >= sotto_sample_kernels_avx512.tier)
        out[count++] = &sotto_sample_kernels_avx512;
#endif
    return count;
}

static sotto_block random_seed(const sotto_rng *rng)
{
    return (sotto_block){{test_u64(rng), test_u64(rng)}};
}

/* BLAKE2b-256 of the residues of three polynomials as little-endian words, recomputed by the Python program below:
 *   from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
 *   import hashlib
 *   for n, primes, seed in cases:
 *       aes = Cipher(algorithms.AES(seed), modes.ECB()).encryptor()
 *       def words():
 *           i = 0
 *           while True:
 *               block = aes.update(i.to_bytes(16, "little")); i += 1
 *               yield int.from_bytes(block[:8], "little"); yield int.from_bytes(block[8:], "little")
 *       w = words(); out = b""
 *       for q in primes:
 *           limb = []
 *           while len(limb) < n:
 *               c = next(w) % 2**q.bit_length()
 *               if c < q: limb.append(c)
 *           out += b"".join(c.to_bytes(8, "little") for c in limb)
 *       print(hashlib.blake2b(out, digest_size=32).hexdigest())
 */
static void uniform_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t n;
        uint64_t primes[3];
        size_t k;
        uint8_t seed[16];
        const char *hex;
    } cases[] = {
        {1024, {12289, 0xffffee001, 0xffffc4001}, 3, {0},
         "11d88eb66889b33f592492f9e2dc84e07a0c99c8bdfbae29545dd3e9052a38bc"},
        {4096, {0xffffee001, 0xffffc4001}, 2, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
         "e8b44cd8392643dedbfbd1f87420fa5c1e31d9252ec716241a20e4acc358e659"},
        {2, {17, 5, 13}, 3, {255, 254, 253},
         "0eccb14795a096a3ceab85d6cf376694abc06775aa0e1029c704bfe39fae1832"},
    };
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        sotto_rns *b = NULL;
        assert_ok(sotto_rns_new(&b, cases[c].n, cases[c].primes, cases[c].k));
        uint64_t *x = sotto_poly_new(b);
        assert_non_null(x);
        sotto_block seed;
        memcpy(&seed, cases[c].seed, sizeof seed);
        for (int tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_IFMA; tier++) {
            sotto_cpu_force_tier((sotto_tier)tier);
            memset(x, 0x33, sotto_poly_words(b) * sizeof *x);
            sotto_sample_uniform_seeded(b, x, seed);
            uint8_t hash[32];
            char hex[65];
            crypto_generichash(hash, sizeof hash, (const uint8_t *)x, sotto_poly_words(b) * sizeof *x, NULL, 0);
            sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
            assert_string_equal(hex, cases[c].hex);
        }
        sotto_cpu_force_tier(SOTTO_TIER_IFMA);
        sotto_free(x);
        sotto_rns_free(b);
    }
}

/* The definition, one word at a time, for primes that reject up to half of the candidates, under every tier. */
static void uniform_by_definition(void **state)
{
    (void)state;
    enum { N = 2048 };
    sotto_rng rng = test_rng(test_seed(), 40);
    const uint64_t primes[] = {12289, 40961, 65537, 86017};
    sotto_rns *b = NULL;
    assert_ok(sotto_rns_new(&b, N, primes, 4));
    uint64_t *x = sotto_poly_new(b);
    assert_non_null(x);
    for (int round = 0; round < 12; round++) {
        sotto_block seed = random_seed(&rng);
        sotto_cpu_force_tier((sotto_tier)(round % 4));
        sotto_sample_uniform_seeded(b, x, seed);
        sotto_prg prg;
        sotto_prg_init(&prg, seed);
        for (size_t j = 0; j < 4 * N;) {
            uint64_t q = primes[j / N], mask = 1, word;
            while (mask < q)
                mask = 2 * mask + 1;
            sotto_prg_fill(&prg, &word, sizeof word);
            if ((word & mask) < q)
                assert_int_equal(x[j++], word & mask);
        }
    }
    sotto_cpu_force_tier(SOTTO_TIER_IFMA);
    sotto_free(x);
    sotto_rns_free(b);
}

/* accept_var on `count` words in the middle of a larger array, against its definition; the words around stay. */
static void check_accept(const sotto_sample_kernels *k, const uint64_t *words, size_t count, unsigned bits, uint64_t q)
{
    enum { GUARD = 8 };
    const uint64_t guard = 0x123456789abcdef0;
    uint64_t *x = calloc(count + 2 * GUARD, sizeof *x), *want = calloc(count + 1, sizeof *want);
    assert_non_null(x);
    assert_non_null(want);
    for (size_t i = 0; i < GUARD; i++)
        x[i] = x[GUARD + count + i] = guard;
    memcpy(x + GUARD, words, count * sizeof *x);
    size_t accepted = 0;
    for (size_t i = 0; i < count; i++) {
        const uint64_t candidate = words[i] & (((uint64_t)1 << bits) - 1);
        if (candidate < q)
            want[accepted++] = candidate;
    }
    assert_int_equal(k->accept_var(x + GUARD, count, bits, q), accepted);
    assert_memory_equal(x + GUARD, want, accepted * sizeof *x);
    for (size_t i = 0; i < GUARD; i++)
        assert_true(x[i] == guard && x[GUARD + count + i] == guard);
    free(x);
    free(want);
}

/* Every count; all, none, the first, the last and every pattern of eight candidates rejected; candidates next to q. */
static void accept_at_its_edges(void **state)
{
    (void)state;
    enum { MAX = 67 };
    sotto_rng rng = test_rng(test_seed(), 46);
    const sotto_sample_kernels *k[3];
    const size_t tiers = all_kernels(k);
    static const struct {
        unsigned bits;
        uint64_t q;
    } moduli[] = {{2, 3}, {3, 5}, {16, 65521}, {50, ((uint64_t)1 << 49) + 1}, {50, ((uint64_t)1 << 50) - 27},
                  {61, ((uint64_t)1 << 60) + 1}, {61, ((uint64_t)1 << 61) - 1}};
    for (size_t m = 0; m < ARRAY_LEN(moduli); m++) {
        const unsigned bits = moduli[m].bits;
        const uint64_t q = moduli[m].q, noise = UINT64_MAX << bits; /* the bits that are cut off */
        for (size_t count = 0; count <= MAX; count++) {
            uint64_t good[MAX + 1], bad[MAX + 1], mixed[MAX + 1];
            for (size_t i = 0; i < count; i++) {
                const uint64_t high = test_u64(&rng) & noise;
                good[i] = high | (test_below(&rng, 2) ? q - 1 : test_below(&rng, q));
                bad[i] = high | (test_below(&rng, 2) ? q : ~noise);
                mixed[i] = test_below(&rng, 2) ? good[i] : bad[i];
            }
            for (size_t t = 0; t < tiers; t++) {
                check_accept(k[t], good, count, bits, q);
                check_accept(k[t], bad, count, bits, q);
                check_accept(k[t], mixed, count, bits, q);
                if (count > 0) { /* all but the last, the last alone */
                    uint64_t kept = good[count - 1];
                    good[count - 1] = bad[count - 1];
                    check_accept(k[t], good, count, bits, q);
                    good[count - 1] = kept;
                    kept = bad[count - 1];
                    bad[count - 1] = good[count - 1];
                    check_accept(k[t], bad, count, bits, q);
                    bad[count - 1] = kept;
                }
            }
        }
        for (unsigned pattern = 0; pattern < 256; pattern++) {
            uint64_t words[13];
            for (size_t i = 0; i < ARRAY_LEN(words); i++)
                words[i] = (test_u64(&rng) & noise) | (pattern >> i % 8 & 1 ? q - 1 - i % 2 : q);
            for (size_t t = 0; t < tiers; t++)
                check_accept(k[t], words, ARRAY_LEN(words), bits, q);
        }
    }
}

static void assert_flat(const uint64_t *observed, size_t cells, uint64_t count)
{
    assert_true(test_chi_square(observed, cells, count) < test_chi_square_bound(cells));
}

static void uniform_is_flat(void **state)
{
    (void)state;
    enum { N = 4096, ROUNDS = 64, CELLS = 256 };
    const unsigned bits[] = {61, 30, 46};
    sotto_rng rng = test_rng(test_seed(), 41);
    sotto_rns *b = basis(N, bits, 3);
    uint64_t *x = sotto_poly_new(b);
    assert_non_null(x);
    uint64_t low[3][CELLS] = {{0}}, high[3][CELLS] = {{0}}, joint[CELLS] = {0}, next[CELLS] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        sotto_sample_uniform_seeded(b, x, random_seed(&rng));
        for (size_t i = 0; i < 3; i++)
            for (size_t j = 0; j < N; j++) {
                uint64_t v = x[i * N + j], q = sotto_rns_modulus(b, i)->q;
                assert_true(v < q);
                low[i][v % CELLS]++;
                high[i][(size_t)((sotto_u128)v * CELLS / q)]++;
            }
        for (size_t j = 0; j < N; j++) {
            joint[(x[j] & 15) * 16 + (x[N + j] & 15)]++;               /* two limbs of one coefficient */
            next[(x[j] & 15) * 16 + (x[(j + 1) % N] & 15)]++;          /* two coefficients of one limb */
        }
    }
    for (size_t i = 0; i < 3; i++) {
        assert_flat(low[i], CELLS, ROUNDS * N);
        assert_flat(high[i], CELLS, ROUNDS * N);
    }
    assert_flat(joint, CELLS, ROUNDS * N);
    assert_flat(next, CELLS, ROUNDS * N);
    sotto_free(x);
    sotto_rns_free(b);
}

static void uniform_depends_on_its_seed_alone(void **state)
{
    (void)state;
    const unsigned bits[] = {46, 46};
    sotto_rns *b = basis(1024, bits, 2);
    size_t size = sotto_poly_words(b) * sizeof(uint64_t);
    uint64_t *x = sotto_poly_new(b), *y = sotto_poly_new(b);
    assert_non_null(x);
    assert_non_null(y);
    memset(y, 0xff, size);
    sotto_sample_uniform_seeded(b, x, (sotto_block){{1, 2}});
    sotto_sample_uniform_seeded(b, y, (sotto_block){{1, 2}});
    assert_memory_equal(x, y, size);
    sotto_sample_uniform_seeded(b, y, (sotto_block){{1, 3}});
    size_t equal = 0;
    for (size_t j = 0; j < sotto_poly_words(b); j++)
        equal += x[j] == y[j];
    assert_true(equal < 4);
    sotto_free(x);
    sotto_free(y);
    sotto_rns_free(b);
}

static void ternary_cells_are_thirds(void **state)
{
    (void)state;
    const uint64_t third = UINT64_MAX / 3; /* 2^64 = 3 third + 1 */
    const uint64_t words[] = {
        0, third - 1, third, third + 1, 2 * third - 1, 2 * third, 2 * third + 1, 2 * third + 2, UINT64_MAX,
    };
    const int64_t want[] = {-1, -1, -1, 0, 0, 0, 1, 1, 1};
    const sotto_sample_kernels *k[3];
    const size_t tiers = all_kernels(k);
    for (size_t t = 0; t < tiers; t++) {
        int64_t out[ARRAY_LEN(words)];
        memcpy(out, words, sizeof out);
        k[t]->ternary(out, ARRAY_LEN(words));
        assert_memory_equal(out, want, sizeof want);
    }
}

static void ternary_is_flat(void **state)
{
    (void)state;
    enum { N = 32768, ROUNDS = 24 };
    sotto_rng rng = test_rng(test_seed(), 42);
    int64_t *out = calloc(N, sizeof *out);
    assert_non_null(out);
    uint64_t cells[3] = {0}, pairs[9] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        assert_ok(sotto_sample_ternary(out, N, &rng));
        for (size_t j = 0; j < N; j++) {
            assert_true(out[j] >= -1 && out[j] <= 1);
            cells[out[j] + 1]++;
            pairs[3 * (out[j] + 1) + out[(j + 1) % N] + 1]++;
        }
    }
    assert_flat(cells, 3, ROUNDS * N);
    assert_flat(pairs, 9, ROUNDS * N);
    free(out);
}

/* P(X = j) for |j| <= SOTTO_ERROR_BOUND, by its definition. */
static long double probability(int j)
{
    const long double variance = 256.0L / 25; /* (16/5)^2: 3.2 as a double is off in its 53rd bit */
    long double total = 0;
    for (int i = -SOTTO_ERROR_BOUND; i <= SOTTO_ERROR_BOUND; i++)
        total += expl(-(long double)(i * i) / (2 * variance));
    return expl(-(long double)(j * j) / (2 * variance)) / total;
}

static int64_t error_of(uint64_t word)
{
    int64_t out = (int64_t)word;
    sotto_sample_kernels_ref.error(&out, 1);
    return out;
}

/* The steps of the sampler's function, found by bisection, are the cumulative table. */
static void error_table_recomputed(void **state)
{
    (void)state;
    assert_true(SOTTO_ERROR_SIGMA == 3.2);
    long double cumulative = probability(0);
    for (int j = 0; j < SOTTO_ERROR_BOUND; j++) {
        uint64_t below = 0, above = ((uint64_t)1 << 63) - 1; /* |X| <= j at `below`, > j at `above` */
        assert_true(error_of(2 * below) <= j && error_of(2 * above) > j);
        while (above - below > 1) {
            uint64_t middle = below + (above - below) / 2;
            if (error_of(2 * middle) > j)
                above = middle;
            else
                below = middle;
        }
        assert_int_equal(error_of(2 * above), j + 1);
        assert_int_equal(error_of(2 * above + 1), -(j + 1));
        assert_int_equal(error_of(2 * below), j);
        assert_int_equal(error_of(2 * below + 1), -j);
        /* A long double has 64 bits, and some dozens of roundings of half a unit have gone into the sum. */
        assert_true(fabsl((long double)above - ldexpl(cumulative, 63)) < 64);
        cumulative += 2 * probability(j + 1);
    }
    assert_int_equal(error_of(UINT64_MAX), -SOTTO_ERROR_BOUND);
    assert_int_equal(error_of(UINT64_MAX - 1), SOTTO_ERROR_BOUND);
}

/* Words within two of every step of either table, both signs, and random ones, moved through the lanes by every count:
 * each tier as the portable one gives them one at a time. */
static void small_tiers_agree(void **state)
{
    (void)state;
    enum { MAX = 300, GUARD = 8 };
    sotto_rng rng = test_rng(test_seed(), 47);
    const sotto_sample_kernels *k[3];
    const size_t tiers = all_kernels(k);
    uint64_t words[MAX];
    size_t special = 0;
    for (size_t j = 0; j < SOTTO_ERROR_BOUND; j++)
        for (uint64_t d = 0; d < 8; d++)
            words[special++] = 2 * sotto_error_cumulative[j] - 4 + d;
    for (uint64_t d = 0; d < 4; d++) {
        words[special++] = UINT64_MAX / 3 - 1 + d;
        words[special++] = UINT64_MAX / 3 * 2 - 1 + d;
        words[special++] = d;
        words[special++] = UINT64_MAX - d;
        words[special++] = UINT64_MAX / 2 - 1 + d;
    }
    assert_true(special < MAX);
    for (size_t i = special; i < MAX; i++)
        words[i] = test_u64(&rng);

    int64_t want[2][MAX], out[MAX + 2 * GUARD];
    for (size_t i = 0; i < MAX; i++) {
        want[0][i] = want[1][i] = (int64_t)words[i];
        sotto_sample_kernels_ref.ternary(&want[0][i], 1);
        sotto_sample_kernels_ref.error(&want[1][i], 1);
        assert_true(want[0][i] * want[0][i] <= 1 && want[1][i] * want[1][i] <= SOTTO_ERROR_BOUND * SOTTO_ERROR_BOUND);
    }
    for (size_t t = 0; t < tiers; t++)
        for (size_t count = 0; count <= MAX; count++)
            for (size_t which = 0; which < 2; which++) {
                const size_t from = MAX - count;
                memset(out, 0x77, sizeof out);
                memcpy(out + GUARD, words + from, count * sizeof *out);
                (which ? k[t]->error : k[t]->ternary)(out + GUARD, count);
                assert_memory_equal(out + GUARD, want[which] + from, count * sizeof *out);
                for (size_t i = 0; i < GUARD; i++)
                    assert_true(out[i] == 0x7777777777777777 && out[GUARD + count + i] == 0x7777777777777777);
            }
}

/* The whole samplers: the same polynomials under every tier, at lengths on both sides of the words drawn at a time. */
static void every_tier_samples_alike(void **state)
{
    (void)state;
    enum { N = 2100 };
    static const uint32_t lengths[] = {0, 1, 2, 7, 8, 9, 1023, 1024, 1025, 2048, N};
    static int (*const samplers[])(int64_t *, uint32_t, const sotto_rng *) = {sotto_sample_ternary, sotto_sample_error};
    const uint64_t seed = test_seed();
    for (size_t s = 0; s < ARRAY_LEN(samplers); s++)
        for (size_t l = 0; l < ARRAY_LEN(lengths); l++) {
            int64_t want[N + 1], out[N + 1];
            for (int tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_IFMA; tier++) {
                sotto_rng rng = test_rng(seed, 48);
                memset(out, 0x33, sizeof out);
                sotto_cpu_force_tier((sotto_tier)tier);
                assert_ok(samplers[s](out, lengths[l], &rng));
                if (tier == SOTTO_TIER_PORTABLE)
                    memcpy(want, out, sizeof want);
                assert_memory_equal(out, want, sizeof want);
            }
            sotto_cpu_force_tier(SOTTO_TIER_IFMA);
        }
}

static void error_has_its_distribution(void **state)
{
    (void)state;
    enum { N = 32768, ROUNDS = 64, SPAN = 2 * SOTTO_ERROR_BOUND + 1 };
    sotto_rng rng = test_rng(test_seed(), 43);
    int64_t *out = calloc(N, sizeof *out);
    assert_non_null(out);
    uint64_t cells[SPAN] = {0};
    double sum = 0, squares = 0, fourth = 0, neighbours = 0;
    for (int round = 0; round < ROUNDS; round++) {
        assert_ok(sotto_sample_error(out, N, &rng));
        for (size_t j = 0; j < N; j++) {
            assert_true(out[j] >= -SOTTO_ERROR_BOUND && out[j] <= SOTTO_ERROR_BOUND);
            cells[out[j] + SOTTO_ERROR_BOUND]++;
            double v = (double)out[j];
            sum += v;
            squares += v * v;
            fourth += v * v * v * v;
            neighbours += v * (double)out[(j + 1) % N];
        }
    }
    /* Each within seven standard deviations of its mean (below 1e-11). Var X^2 = 2 sigma^4, Var X^4 = 96 sigma^8. */
    const double count = (double)ROUNDS * N, variance = SOTTO_ERROR_SIGMA * SOTTO_ERROR_SIGMA;
    assert_true(fabs(sum / count) < 7 * sqrt(variance / count));
    assert_true(fabs(squares / count - variance) < 7 * variance * sqrt(2 / count));
    assert_true(fabs(fourth / count - 3 * variance * variance) < 7 * variance * variance * sqrt(96 / count));
    assert_true(fabs(neighbours / count) < 7 * variance / sqrt(count));

    /* Chi-square over the cells; those with fewer than 10 expected are put together into one at each end. */
    double chi = 0, expected = 0;
    uint64_t observed = 0;
    size_t used = 0;
    for (int j = 0; j < SPAN; j++) {
        double p = (double)probability(j - SOTTO_ERROR_BOUND) * count;
        expected += p;
        observed += cells[j];
        double left = 0;
        for (int i = j + 1; i < SPAN; i++)
            left += (double)probability(i - SOTTO_ERROR_BOUND) * count;
        if (expected >= 10 && (left >= 10 || j == SPAN - 1)) {
            chi += ((double)observed - expected) * ((double)observed - expected) / expected;
            expected = 0;
            observed = 0;
            used++;
        }
    }
    assert_true(used > 25);
    assert_true(chi < test_chi_square_bound(used));
    free(out);
}

static void small_samples_are_fresh_and_follow_the_rng(void **state)
{
    (void)state;
    enum { N = 1000 }; /* no multiple of the sampler's buffer */
    static int (*const samplers[])(int64_t *, uint32_t, const sotto_rng *) = {sotto_sample_ternary, sotto_sample_error};
    uint64_t seed = test_seed();
    for (size_t s = 0; s < ARRAY_LEN(samplers); s++) {
        sotto_rng rng = test_rng(seed, 44), again = test_rng(seed, 44);
        int64_t x[N + 1], y[N + 1], z[N + 1];
        x[N] = y[N] = z[N] = 1234;
        assert_ok(samplers[s](x, N, &rng));
        assert_ok(samplers[s](y, N, &again));
        assert_ok(samplers[s](z, N, &rng));
        assert_memory_equal(x, y, sizeof x);
        assert_memory_not_equal(x, z, N * sizeof *x);
        assert_true(x[N] == 1234 && z[N] == 1234);
    }
}

static void failing_rng(void **state)
{
    (void)state;
    enum { N = 2048 };
    static int (*const samplers[])(int64_t *, uint32_t, const sotto_rng *) = {sotto_sample_ternary, sotto_sample_error};
    static const int64_t zero[N] = {0};
    for (size_t s = 0; s < ARRAY_LEN(samplers); s++) {
        int64_t out[N];
        int status = SOTTO_ERR_RNG;
        long k = 0;
        for (; status != SOTTO_OK; k++) {
            test_faulty_rng faulty = {.inner = test_rng(1, 45), .k = k};
            sotto_rng rng = test_faulty_rng_wrap(&faulty);
            memset(out, 0x33, sizeof out);
            status = samplers[s](out, N, &rng);
            if (status != SOTTO_OK) {
                assert_int_equal(status, SOTTO_ERR_RNG);
                assert_memory_equal(out, zero, sizeof out);
            }
        }
        assert_true(k > 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uniform_known_answers),
        cmocka_unit_test(uniform_by_definition),
        cmocka_unit_test(accept_at_its_edges),
        cmocka_unit_test(uniform_is_flat),
        cmocka_unit_test(uniform_depends_on_its_seed_alone),
        cmocka_unit_test(ternary_cells_are_thirds),
        cmocka_unit_test(ternary_is_flat),
        cmocka_unit_test(error_table_recomputed),
        cmocka_unit_test(small_tiers_agree),
        cmocka_unit_test(every_tier_samples_alike),
        cmocka_unit_test(error_has_its_distribution),
        cmocka_unit_test(small_samples_are_fresh_and_follow_the_rng),
        cmocka_unit_test(failing_rng),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
