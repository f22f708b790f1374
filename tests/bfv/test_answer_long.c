/* Private answers over many coefficients: how often a decryption is wrong, against the prediction, and whether what leaves depends on the weights. About 10^6
 * coefficients a part, with SOTTO_TEST_LONG 10^8 where failures are counted (two minutes). */
#include <math.h>

#include "bfv/answer.h"
#include "tests/bfv/fixture.h"

enum { N = 4096, LIMBS = 2 };

static uint64_t seed;

static size_t answers(size_t few, size_t many)
{
    return getenv("SOTTO_TEST_LONG") != NULL ? many : few;
}

/* A request, weights, and all that one answer needs; every coefficient leaves. */
typedef struct setting {
    fixture f;
    sotto_bfv_answer_plan plan;
    sotto_bfv_ct request, acc;
    sotto_bfv_plain w;
    uint64_t *r, *want; /* W r mod t */
    uint64_t *mask, *out;
    uint32_t *index;
    uint8_t *data;
    size_t len;
} setting;

static setting setting_new(const unsigned *bits, size_t count, unsigned l, const sotto_rng *rng)
{
    setting s = {.f = fixture_new(N, bits, count, (uint64_t)1 << l, rng)};
    s.r = words_new(N);
    s.want = words_new(N);
    s.mask = words_new(N);
    s.out = words_new(N);
    s.index = calloc(N, sizeof *s.index);
    s.len = sotto_bfv_answer_bytes(s.f.p, N);
    s.data = malloc(s.len);
    assert_true(s.index != NULL && s.data != NULL);
    for (uint32_t i = 0; i < N; i++)
        s.index[i] = i;
    assert_ok(sotto_bfv_ct_new(&s.request, s.f.p));
    assert_ok(sotto_bfv_ct_new(&s.acc, s.f.p));
    return s;
}

static void setting_free(setting *s)
{
    sotto_bfv_plain_free(&s->w, s->f.p);
    sotto_bfv_ct_free(&s->request);
    sotto_bfv_ct_free(&s->acc);
    free(s->r);
    free(s->want);
    free(s->mask);
    free(s->out);
    free(s->index);
    free(s->data);
    fixture_free(&s->f);
}

static void setting_weights(setting *s, const int64_t *w)
{
    sotto_bfv_plain_free(&s->w, s->f.p);
    assert_ok(sotto_bfv_plain_new(&s->w, s->f.p, w));
}

/* A fresh request with random content. */
static void setting_request(setting *s, const int64_t *w)
{
    sotto_block a_seed;
    message_fill(s->r, &s->f, MESSAGE_RANDOM);
    memset(s->want, 0, N * sizeof *s->want);
    plain_mac(s->want, s->r, w, N, s->f.t);
    assert_ok(sotto_bfv_encrypt_symmetric(&s->request, &a_seed, s->f.p, &s->f.sk, s->r, s->f.rng));
}

static void setting_product(setting *s)
{
    memset(s->acc.c0, 0, s->f.sk.words * sizeof *s->acc.c0);
    memset(s->acc.c1, 0, s->f.sk.words * sizeof *s->acc.c1);
    s->acc.ntt = 1;
    assert_ok(sotto_bfv_mac_plain(&s->acc, s->f.p, &s->request, &s->w));
}

static void setting_answer(setting *s)
{
    sotto_writer w;
    for (size_t i = 0; i < N; i++)
        s->mask[i] = test_u64(s->f.rng) & (s->f.t - 1);
    setting_product(s);
    sotto_writer_init(&w, s->data, s->len);
    assert_ok(sotto_bfv_answer_write(&w, s->f.p, &s->f.pk, &s->plan, &s->acc, s->index, s->mask, N, s->f.rng));
}

/* ---- failures -------------------------------------------------------------------------------------------------------- */

/* `width`: the flooding's in units of Q/t. */
static void setting_width(setting *s, double width)
{
    s->plan.flood_width = (sotto_u128)(width * exp2(sotto_rns_log2(sotto_bfv_rns(s->f.p)) - log2((double)s->f.t)));
}

/* P(|w (U1 + U2 + U3) + R + G| > 1/2): the U uniform on [-1/2, 1/2], R the rounding of b, uniform on +-2^-5, G the rounding of a times s, normal with
 * variance 1/12 for each coefficient of s that is not zero, in units of 2^-9. By the midpoint rule over sum and rounding. */
static double predicted_failures(const setting *s, double w)
{
    enum { STEPS = 3000, ROUNDS = 40 };
    double p = 0, weight = 0;
    for (size_t i = 0; i < N; i++)
        weight += s->f.sk.s[i] != 0;
    const double sigma = sqrt(weight / 12) / 512;
    for (int i = 0; i < STEPS; i++) {
        const double x = 3.0 * (i + 0.5) / STEPS - 1.5, y = fabs(x);
        const double density = y < 0.5 ? 0.75 - x * x : 0.5 * (1.5 - y) * (1.5 - y);
        for (int j = 0; j < ROUNDS; j++) {
            const double centre = w * x + (2 * (j + 0.5) / ROUNDS - 1) / 32;
            const double outside = 0.5 * (erfc((0.5 - centre) / (sigma * sqrt(2))) + erfc((0.5 + centre) / (sigma * sqrt(2))));
            p += density * outside * 3.0 / STEPS / ROUNDS;
        }
    }
    return p;
}

static uint64_t count_failures(setting *s, size_t rounds, const int64_t *w)
{
    uint64_t wrong = 0;
    for (size_t round = 0; round < rounds; round++) {
        sotto_reader r;
        if (round % 64 == 0)
            setting_request(s, w);
        setting_answer(s);
        sotto_reader_init(&r, s->data, s->len);
        assert_ok(sotto_bfv_answer_read(s->out, s->f.p, &s->f.sk, &r, s->index, N));
        for (size_t i = 0; i < N; i++)
            wrong += s->out[i] != ((s->want[i] - s->mask[i]) & (s->f.t - 1));
    }
    return wrong;
}

/* At the narrowest room that a plan admits (margin 0) none of all coefficients is wrong: 2^-40 for 2^18 of them is promised. Beyond it failures come as
 * often as predicted, which is what makes the first count mean something. */
static void test_failures(void **state)
{
    (void)state;
    static const struct {
        unsigned bits[3];
        size_t count;
        unsigned l;
    } sets[] = {{{46, 46}, 2, 26}, {{50, 50}, 2, 33}, {{36, 36, 36}, 3, 41}};
    enum { SETS = sizeof sets / sizeof *sets };
    const size_t rounds = answers(84, 8140); /* times N times SETS: 10^6, 10^8 */
    sotto_rng rng = test_rng(seed, 1);
    int64_t *w = calloc(N, sizeof *w);
    double norm2, norm1;
    assert_non_null(w);
    for (size_t k = 0; k < SETS; k++) {
        setting s = setting_new(sets[k].bits, sets[k].count, sets[k].l, &rng);
        weights_fill(w, &s.f, 8, 127, &norm2, &norm1);
        setting_weights(&s, w);
        assert_ok(sotto_bfv_answer_plan_new(&s.plan, s.f.p, norm2, norm1, 0x1p18));
        /* margin = 1/2 - (tail + 2^-5 + 3/2 width + noise); the noise is below 2^-20 of Q/t here */
        const double tail = sqrt(N / 9.0 * log(0x1p60)) / 512, narrowest = (0.5 - tail - exp2(-5) - 1e-5) / 1.5;
        setting_width(&s, narrowest);
        assert_int_equal(count_failures(&s, rounds, w), 0);
        print_message("l %u: no failure in %.3g coefficients at the narrowest width, predicted %.2g each\n", sets[k].l,
                      (double)rounds * N, predicted_failures(&s, narrowest));
        for (double wide = 0.36; wide < 0.6; wide += 0.09) {
            const size_t fewer = rounds < 400 ? rounds : 400;
            const double p = predicted_failures(&s, wide), total = (double)fewer * N;
            setting_width(&s, wide);
            const double wrong = (double)count_failures(&s, fewer, w);
            print_message("     width %.2f: %.0f failures, predicted %.1f\n", wide, wrong, p * total);
            assert_true(fabs(wrong - p * total) < 6 * sqrt(p * total) + 0.005 * p * total + 3);
        }
        setting_free(&s);
    }
    free(w);
}

/* ---- what leaves ----------------------------------------------------------------------------------------------------- */

enum { CELLS = 32 };

/* Of many answers under one set of weights: how often each value of the lowest and highest five bits of a's and b's words came, the owner's error in
 * 32 classes, its sums of powers, and its products with the noise that the owner knows. */
typedef struct view {
    uint64_t low_a[CELLS], top_a[CELLS], low_b[CELLS], top_b[CELLS], error[CELLS];
    double power[5], noise_square, noise_error, count;
} view;

/* The noise W (e + rho) of the product, which the owner could compute for any weights that it guesses. */
static void known_noise(setting *s, double *noise)
{
    const sotto_rns *rns = sotto_bfv_rns(s->f.p);
    const uint64_t q = sotto_rns_modulus(rns, 0)->q;
    uint64_t *phase = sotto_poly_new(rns), *scaled = sotto_poly_new(rns);
    assert_true(phase != NULL && scaled != NULL);
    setting_product(s);
    assert_ok(sotto_bfv_phase(phase, s->f.p, &s->f.sk, &s->acc));
    sotto_rns_scale_up(rns, scaled, N, s->want, N, s->f.t);
    for (size_t i = 0; i < N; i++) /* far below q_0 in magnitude */
        noise[i] = (double)sotto_mod_centre(sotto_mod_sub(phase[i], scaled[i], q), q);
    sotto_free(phase);
    sotto_free(scaled);
}

/* Error of every coefficient of the answer, in units of 2^-9 of a plaintext step; exact integers. */
static void errors_of(setting *s, const uint64_t *words, double *error)
{
    const sotto_rns *rns = sotto_bfv_rns(s->f.p);
    const sotto_ntt *ntt = sotto_rns_ntt(rns, 0);
    const sotto_modulus *m = sotto_rns_modulus(rns, 0);
    const unsigned bits = (unsigned)__builtin_ctzll(s->f.t) + SOTTO_ANSWER_A_EXTRA;
    uint64_t *x = words_new(N);
    /* |a s| <= n 2^(bits - 1) fits the first prime in these settings */
    assert_true(12 + bits < m->bits);
    for (size_t i = 0; i < N; i++)
        x[i] = sotto_mod_from_signed((int64_t)(words[i] - ((words[i] >> (bits - 1)) << bits)), m);
    sotto_ntt_forward(ntt, x);
    sotto_ntt_mul(ntt, x, x, s->f.sk.s_ntt);
    sotto_ntt_inverse(ntt, x);
    for (size_t i = 0; i < N; i++) {
        const uint64_t phase = (words[N + i] << (SOTTO_ANSWER_A_EXTRA - SOTTO_ANSWER_B_EXTRA)) + (uint64_t)sotto_mod_centre(x[i], m->q);
        const uint64_t e = sotto_low_bits(phase - ((s->want[i] - s->mask[i]) << SOTTO_ANSWER_A_EXTRA), bits);
        error[i] = (double)e - (e >> (bits - 1) ? exp2(bits) : 0);
    }
    free(x);
}

static void look(view *v, setting *s, size_t rounds, const int64_t *w)
{
    const unsigned l = (unsigned)__builtin_ctzll(s->f.t), a_bits = l + SOTTO_ANSWER_A_EXTRA, b_bits = l + SOTTO_ANSWER_B_EXTRA;
    uint64_t *words = words_new(2 * N);
    double *noise = calloc(N, sizeof *noise), *error = calloc(N, sizeof *error);
    assert_true(noise != NULL && error != NULL);
    memset(v, 0, sizeof *v);
    for (size_t round = 0; round < rounds; round++) {
        sotto_reader r;
        if (round % 16 == 0) {
            setting_request(s, w);
            known_noise(s, noise);
        }
        setting_answer(s);
        sotto_reader_init(&r, s->data, s->len);
        sotto_read_packed(&r, words, N, a_bits);
        sotto_read_packed(&r, words + N, N, b_bits);
        assert_ok(sotto_reader_finish(&r, "answer"));
        errors_of(s, words, error);
        for (size_t i = 0; i < N; i++) {
            const double e = error[i];
            v->low_a[words[i] % CELLS]++;
            v->top_a[words[i] >> (a_bits - 5)]++;
            v->low_b[words[N + i] % CELLS]++;
            v->top_b[words[N + i] >> (b_bits - 5)]++;
            assert_true(e >= -256 && e < 256);
            v->error[(size_t)(e + 256) / 16]++;
            for (int k = 1; k < 5; k++)
                v->power[k] += pow(e / 64, k);
            v->noise_square += noise[i] * noise[i];
            v->noise_error += noise[i] * e;
            v->count++;
        }
    }
    free(words);
    free(noise);
    free(error);
}

/* Chi-square of two histograms with equal totals; classes too rare to be normal are joined to the next. */
static void assert_same(const uint64_t *x, const uint64_t *y)
{
    double sum = 0, a = 0, b = 0;
    size_t used = 0;
    for (size_t i = 0; i < CELLS; i++) {
        a += (double)x[i];
        b += (double)y[i];
        if (a + b >= 100) {
            sum += (a - b) * (a - b) / (a + b);
            used++;
            a = b = 0;
        }
    }
    assert_true(used > 8);
    assert_true(sum < test_chi_square_bound(used));
}

static double correlation(const view *v)
{
    const double e2 = v->power[2] * 64 * 64;
    return v->noise_square > 0 ? v->noise_error / sqrt(v->noise_square * e2) : 0;
}

/* No weights at all against the largest that the plan admits, with everything else alike: uniform words, the same distribution of the owner's error and
 * no correlation of the error with the noise that large weights make. */
static void test_independent_of_weights(void **state)
{
    (void)state;
    static const unsigned bits[] = {46, 46};
    enum { FAN_IN = 576, WEIGHT = 128 };
    const size_t rounds = answers(122, 2440);
    sotto_rng rng = test_rng(seed, 2);
    int64_t *w = calloc(N, sizeof *w);
    view v[2];
    assert_non_null(w);
    setting s = setting_new(bits, LIMBS, 20, &rng); /* one key: the error's variance grows with the weight of s */
    for (int heavy = 0; heavy < 2; heavy++) {
        for (size_t i = 0; i < FAN_IN; i++) /* random signs: noise without a pattern of its own */
            w[N / FAN_IN * i] = heavy ? (test_u64(&rng) & 1 ? WEIGHT : -WEIGHT) : 0;
        setting_weights(&s, w);
        assert_ok(sotto_bfv_answer_plan_new(&s.plan, s.f.p, WEIGHT * 24.0, WEIGHT * 576.0, 0x1p18));
        /* as wide as is admitted, so that the flooding is a large part of the error and not all of it is rounding */
        setting_width(&s, 0.12);
        look(&v[heavy], &s, rounds, w);
    }
    setting_free(&s);
    for (int heavy = 0; heavy < 2; heavy++) {
        const uint64_t *const uniform[] = {v[heavy].low_a, v[heavy].top_a, v[heavy].low_b, v[heavy].top_b};
        for (size_t k = 0; k < 4; k++)
            assert_true(test_chi_square(uniform[k], CELLS, (uint64_t)v[heavy].count) < test_chi_square_bound(CELLS));
        assert_true(fabs(correlation(&v[heavy])) < 6 / sqrt(v[heavy].count));
    }
    assert_true(v[1].noise_square > 1e6 * v[1].count); /* the heavy weights do make noise */
    assert_same(v[0].low_a, v[1].low_a);
    assert_same(v[0].top_a, v[1].top_a);
    assert_same(v[0].low_b, v[1].low_b);
    assert_same(v[0].top_b, v[1].top_b);
    assert_same(v[0].error, v[1].error);
    for (int k = 1; k < 4; k++) { /* means of e^k / 64^k: variance from the next even power, |e| < 256 for the rest */
        const double count = v[0].count, mean0 = v[0].power[k] / count, mean1 = v[1].power[k] / count;
        const double spread = k < 3 ? v[0].power[2 * k] / count : 16 * v[0].power[4] / count;
        print_message("moment %d of the error: %.5f and %.5f, spread of the difference %.5f\n", k, mean0, mean1, sqrt(2 * spread / count));
        assert_true(fabs(mean0 - mean1) < 6 * sqrt(2 * spread / count));
    }
    free(w);
}

/* The same eyes see the noise where nothing floods it, in a setting with so little room that rounding does not hide it. */
static void test_the_eyes_see(void **state)
{
    (void)state;
    static const unsigned bits[] = {50};
    sotto_rng rng = test_rng(seed, 3);
    int64_t *w = calloc(N, sizeof *w);
    view v;
    assert_non_null(w);
    setting s = setting_new(bits, 1, 27, &rng);
    for (size_t i = 0; i < N; i += 7)
        w[i] = test_u64(&rng) & 1 ? 1024 : -1024;
    setting_weights(&s, w);
    s.plan = (sotto_bfv_answer_plan){.set = sotto_bfv_set_id(s.f.p), .flood_width = 1, .margin = 1};
    look(&v, &s, 40, w);
    print_message("correlation of error and known noise without flooding: %.4f\n", correlation(&v));
    assert_true(fabs(correlation(&v)) > 12 / sqrt(v.count));
    setting_free(&s);
    free(w);
}

int main(void)
{
    seed = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_independent_of_weights),
        cmocka_unit_test(test_the_eyes_see),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
