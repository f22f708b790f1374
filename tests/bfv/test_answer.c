#include "bfv/answer.h"

#include <math.h>

#include <sodium.h>

#include "bfv/internal.h"
#include "bfv/wire.h"
#include "tests/bfv/fixture.h"

static uint64_t seed;

/* Fan-in 576 with 8-bit weights at worst; 2^18 outputs. */
#define WORST_NORM2 (128.0 * 24)
#define WORST_NORM1 (128.0 * 576)
#define OUTPUTS 0x1p18

typedef struct product { /* W r for two tiles, and what is expected of it */
    sotto_bfv_ct request[2], acc;
    sotto_bfv_plain w[2];
    uint64_t *want; /* W r mod t */
} product;

static product product_new(const fixture *f)
{
    product x;
    uint64_t *r = words_new(f->n);
    int64_t *w = calloc(f->n, sizeof *w);
    double norm2, norm1;
    sotto_block a_seed;
    assert_non_null(w);
    x.want = words_new(f->n);
    assert_ok(sotto_bfv_ct_new(&x.acc, f->p));
    for (int i = 0; i < 2; i++) {
        message_fill(r, f, MESSAGE_RANDOM);
        weights_fill(w, f, 8, 127, &norm2, &norm1);
        plain_mac(x.want, r, w, f->n, f->t);
        assert_ok(sotto_bfv_ct_new(&x.request[i], f->p));
        assert_ok(sotto_bfv_encrypt_symmetric(&x.request[i], &a_seed, f->p, &f->sk, r, f->rng));
        assert_ok(sotto_bfv_plain_new(&x.w[i], f->p, w));
        assert_ok(sotto_bfv_mac_plain(&x.acc, f->p, &x.request[i], &x.w[i]));
    }
    free(w);
    free(r);
    return x;
}

/* The accumulator again, after an answer has consumed it. */
static void product_again(product *x, const fixture *f)
{
    memset(x->acc.c0, 0, f->sk.words * sizeof *x->acc.c0);
    memset(x->acc.c1, 0, f->sk.words * sizeof *x->acc.c1);
    x->acc.ntt = 1;
    for (int i = 0; i < 2; i++)
        assert_ok(sotto_bfv_mac_plain(&x->acc, f->p, &x->request[i], &x->w[i]));
}

static void product_free(product *x, const fixture *f)
{
    for (int i = 0; i < 2; i++) {
        sotto_bfv_ct_free(&x->request[i]);
        sotto_bfv_plain_free(&x->w[i], f->p);
    }
    sotto_bfv_ct_free(&x->acc);
    free(x->want);
}

/* Which coefficients leave, their masks, and the bytes. */
typedef struct exchange {
    sotto_bfv_answer_plan plan;
    uint32_t *index;
    uint64_t *mask, *out;
    uint8_t *data;
    size_t wanted, len;
} exchange;

/* The first `wanted` of a random order, or of the natural one. */
static exchange exchange_new(const fixture *f, size_t wanted, int shuffled)
{
    exchange e = {.wanted = wanted, .len = sotto_bfv_answer_bytes(f->p, wanted)};
    e.index = calloc(f->n, sizeof *e.index);
    e.mask = words_new(wanted + 1);
    e.out = words_new(wanted + 1);
    e.data = malloc(e.len);
    assert_non_null(e.index);
    assert_non_null(e.data);
    for (uint32_t i = 0; i < f->n; i++) {
        uint32_t j = shuffled ? (uint32_t)test_below(f->rng, i + 1) : i;
        e.index[i] = e.index[j];
        e.index[j] = i;
    }
    for (size_t i = 0; i < wanted; i++)
        e.mask[i] = test_below(f->rng, f->t);
    assert_ok(sotto_bfv_answer_plan_new(&e.plan, f->p, WORST_NORM2, WORST_NORM1, OUTPUTS));
    return e;
}

static void exchange_free(exchange *e)
{
    free(e->index);
    free(e->mask);
    free(e->out);
    free(e->data);
}

static int answer(exchange *e, const fixture *f, product *x, const sotto_rng *rng)
{
    sotto_writer w;
    sotto_writer_init(&w, e->data, e->len);
    int status = sotto_bfv_answer_write(&w, f->p, &f->pk, &e->plan, &x->acc, e->index, e->mask, e->wanted, rng);
    assert_int_equal(w.pos, status == SOTTO_OK ? e->len : 0);
    return status;
}

static int open_answer(exchange *e, const fixture *f, size_t len)
{
    sotto_reader r;
    sotto_reader_init(&r, e->data, len);
    return sotto_bfv_answer_read(e->out, f->p, &f->sk, &r, e->index, e->wanted);
}

static void assert_right(const exchange *e, const fixture *f, const product *x)
{
    for (size_t i = 0; i < e->wanted; i++) {
        uint64_t want = (x->want[e->index[i]] + f->t - e->mask[i]) % f->t;
        if (e->out[i] != want)
            fail_msg("t %llu: coefficient %lu of the answer is %llu, expected %llu", (unsigned long long)f->t,
                     (unsigned long)e->index[i], (unsigned long long)e->out[i], (unsigned long long)want);
    }
}

/* The widest flooding that leaves a margin: what a plan for larger weights would take. */
static void widen(exchange *e, const fixture *f)
{
    double room = exp2(sotto_rns_log2(sotto_bfv_rns(f->p)) - log2((double)f->t));
    e->plan.flood_width += (sotto_u128)((e->plan.margin - 1e-4) * room / 1.5);
}

static const struct {
    unsigned bits[3];
    size_t count;
    unsigned l;
} sets[] = {{{46, 46}, 2, 26}, {{50, 50}, 2, 33}, {{36, 36, 36}, 3, 41}, {{54, 55}, 2, 20}, {{46, 46}, 2, 1}};

#define SETS (sizeof sets / sizeof *sets)

/* More than 10^6 coefficients at the narrowest margin. */
static void test_correct(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 3);
    const int rounds = getenv("SOTTO_TEST_LONG") != NULL ? 600 : 52;
    for (size_t s = 0; s < SETS; s++) {
        fixture f = fixture_new(4096, sets[s].bits, sets[s].count, (uint64_t)1 << sets[s].l, &rng);
        exchange e = exchange_new(&f, f.n, 1);
        widen(&e, &f);
        for (int round = 0; round < rounds; round++) {
            product x = product_new(&f);
            assert_ok(answer(&e, &f, &x, &rng));
            assert_ok(open_answer(&e, &f, e.len));
            assert_right(&e, &f, &x);
            product_free(&x, &f);
        }
        exchange_free(&e);
        fixture_free(&f);
    }
}

static void test_selections(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 4);
    fixture f = fixture_new(4096, sets[0].bits, 2, 1 << 26, &rng);
    product x = product_new(&f);
    const size_t wanted[] = {0, 1, 2, 7, 1000, 4095};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        exchange e = exchange_new(&f, wanted[i], i % 2 == 0);
        assert_int_equal(e.len, (4096 * 35 + 7) / 8 + (wanted[i] * 30 + 7) / 8);
        product_again(&x, &f);
        assert_ok(answer(&e, &f, &x, &rng));
        assert_ok(open_answer(&e, &f, e.len));
        assert_right(&e, &f, &x);
        exchange_free(&e);
    }
    product_free(&x, &f);
    fixture_free(&f);
}

/* Packed words of an answer: n of `a`, then the wanted ones of `b`. */
static uint64_t *unpack(const exchange *e, const fixture *f)
{
    unsigned l = (unsigned)__builtin_ctzll(f->t);
    uint64_t *words = words_new(f->n + e->wanted);
    sotto_reader r;
    sotto_reader_init(&r, e->data, e->len);
    sotto_read_packed(&r, words, f->n, l + 9);
    sotto_read_packed(&r, words + f->n, e->wanted, l + 4);
    assert_ok(sotto_reader_finish(&r, "answer"));
    return words;
}

/* Differences of two arrays of `bits`-bit words look uniform: their highest four bits. */
static void assert_unrelated(const uint64_t *x, const uint64_t *y, size_t count, unsigned bits)
{
    uint64_t cells[16] = {0};
    for (size_t i = 0; i < count; i++)
        cells[sotto_low_bits(x[i] - y[i], bits) >> (bits - 4)]++;
    assert_true(test_chi_square(cells, 16, count) < test_chi_square_bound(16));
}

/* The same request under the same weights and masks, twice; and neither `a` is the request's times the weights. */
static void test_rerandomised(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 5);
    fixture f = fixture_new(4096, sets[0].bits, 2, 1 << 26, &rng);
    const sotto_rns *rns = sotto_bfv_rns(f.p);
    product x = product_new(&f);
    exchange e = exchange_new(&f, f.n, 0);
    uint64_t *bare = words_new(f.n), *sum = words_new(f.sk.words), *words[2];
    for (int i = 0; i < 2; i++) { /* what the owner can compute if it guesses the weights */
        uint64_t *request_a = x.request[i].c1;
        sotto_poly_mac_ntt(rns, sum, request_a, x.w[i].ntt);
    }
    sotto_poly_inverse(rns, sum);
    sotto_rns_scale_round_pow2(rns, bare, sum, f.n, f.n, 35);
    for (int i = 0; i < 2; i++) {
        product_again(&x, &f);
        assert_ok(answer(&e, &f, &x, &rng));
        words[i] = unpack(&e, &f);
        assert_unrelated(words[i], bare, f.n, 35);
    }
    assert_unrelated(words[0], words[1], f.n, 35);
    assert_unrelated(words[0] + f.n, words[1] + f.n, f.n, 30);
    for (int i = 0; i < 2; i++)
        free(words[i]);
    free(bare);
    free(sum);
    exchange_free(&e);
    product_free(&x, &f);
    fixture_free(&f);
}

/* a s at coefficient j over the integers modulo 2^64, by the definition; a centred from `bits` bits. */
static uint64_t product_at(const uint64_t *a, unsigned bits, const int64_t *s, uint32_t n, uint32_t j)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t centred = a[i] - ((a[i] >> (bits - 1)) << bits);
        sum += centred * (uint64_t)(i <= j ? s[j - i] : -s[n + j - i]);
    }
    return sum;
}

/* The error that the owner sees, in units of 2^-9 of a plaintext step: its variance is that of the flooding, (B/2)^2
 * scaled by 2^9 t/Q, of the rounding of a, n/18, and of b, 2^10/12. A missing or narrower flooding shows here. */
static void test_flood_reaches_the_answer(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 6);
    fixture f = fixture_new(4096, sets[0].bits, 2, 1 << 26, &rng);
    product x = product_new(&f);
    exchange e = exchange_new(&f, f.n, 1);
    double square = 0, scale = exp2(9 + 26 - sotto_rns_log2(sotto_bfv_rns(f.p)));
    double want = pow(exp2(e.plan.log_flood) / 2 * scale, 2) + 4096.0 / 18 + 1024.0 / 12;
    assert_ok(answer(&e, &f, &x, &rng));
    uint64_t *words = unpack(&e, &f);
    for (size_t i = 0; i < e.wanted; i++) {
        uint32_t j = e.index[i];
        uint64_t phase = (words[f.n + i] << 5) + product_at(words, 35, f.sk.s, f.n, j);
        uint64_t error = sotto_low_bits(phase - ((x.want[j] - e.mask[i]) << 9), 35);
        double v = (double)error - (error >> 34 ? 0x1p35 : 0);
        assert_true(fabs(v) < 256);
        square += v * v / (double)e.wanted;
    }
    assert_true(fabs(square / want - 1) < 8 * sqrt(2.0 / 4096));
    free(words);
    exchange_free(&e);
    product_free(&x, &f);
    fixture_free(&f);
}

/* With the same coins: a coefficient that is not wanted changes no byte of the answer, one that is wanted does. */
static void test_only_wanted_leaves(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 7);
    fixture f = fixture_new(4096, sets[0].bits, 2, 1 << 26, &rng);
    product x = product_new(&f);
    exchange e = exchange_new(&f, 10, 1);
    uint8_t *first = malloc(e.len);
    assert_non_null(first);
    for (size_t i = 0; i < 40; i++) { /* 0: unchanged; then change at index[i - 1], of which the first ten are wanted */
        sotto_prg prg;
        sotto_rng coins = fixed_rng(&prg, 1);
        product_again(&x, &f);
        if (i > 0) {
            sotto_bfv_to_coeff(&x.acc, f.p);
            for (size_t limb = 0; limb < 2; limb++) {
                uint64_t *c = &x.acc.c0[limb * f.n + e.index[i - 1]], q = sotto_rns_modulus(sotto_bfv_rns(f.p), limb)->q;
                *c = (*c + test_below(&rng, q)) % q;
            }
            sotto_bfv_to_ntt(&x.acc, f.p);
        }
        assert_ok(answer(&e, &f, &x, &coins));
        if (i == 0)
            memcpy(first, e.data, e.len);
        else if (i <= e.wanted)
            assert_memory_not_equal(first, e.data, e.len);
        else
            assert_memory_equal(first, e.data, e.len);
    }
    free(first);
    exchange_free(&e);
    product_free(&x, &f);
    fixture_free(&f);
}

/* The owner's arithmetic on any bytes, the extremes of `a` and of the secret included, against the definition: with
 * one prime and with two. */
static void test_owner_is_exact(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 8);
    const struct {
        unsigned bits[5];
        size_t count;
        unsigned l;
    } cases[] = {
        {{46, 46}, 2, 26},     {{54, 55}, 2, 32}, {{54, 55}, 2, 33},
        {{36, 36, 36}, 3, 45}, {{46, 46}, 2, 24}, {{22, 22, 22, 22, 20}, 5, 22}, /* the last has not a bit to spare */
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        unsigned l = cases[c].l;
        fixture f = fixture_new(4096, cases[c].bits, cases[c].count, (uint64_t)1 << l, &rng);
        uint32_t index[8] = {0, 1, 4095, 4094, 2048, 77, 1234, 3000};
        uint64_t *a = words_new(f.n), b[8], out[8];
        size_t len = sotto_bfv_answer_bytes(f.p, 8);
        uint8_t *data = malloc(len);
        assert_non_null(data);
        for (int kind = 0; kind < 6; kind++) {
            if (kind == 3) { /* a secret of ones only makes the product as large as it can be */
                for (uint32_t i = 0; i < f.n; i++)
                    f.sk.s[i] = 1;
                sotto_bfv_secret_key_finish(&f.sk, f.p);
            }
            for (uint32_t i = 0; i < f.n; i++) {
                const uint64_t value[3] = {test_u64(&rng), (uint64_t)1 << (l + 8), ((uint64_t)1 << (l + 8)) - 1};
                a[i] = sotto_low_bits(value[kind % 3], l + 9);
            }
            for (size_t i = 0; i < 8; i++)
                b[i] = sotto_low_bits(test_u64(&rng), l + 4);
            sotto_writer w;
            sotto_writer_init(&w, data, len);
            sotto_write_packed(&w, a, f.n, l + 9);
            sotto_write_packed(&w, b, 8, l + 4);
            sotto_reader r;
            sotto_reader_init(&r, data, len);
            assert_ok(sotto_bfv_answer_read(out, f.p, &f.sk, &r, index, 8));
            assert_ok(sotto_reader_finish(&r, "answer"));
            for (size_t i = 0; i < 8; i++) {
                uint64_t phase = (b[i] << 5) + product_at(a, l + 9, f.sk.s, f.n, index[i]);
                assert_true(out[i] == sotto_low_bits(phase + 256, l + 9) >> 9);
            }
        }
        free(data);
        free(a);
        fixture_free(&f);
    }
}

static void test_torn(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 9);
    fixture f = fixture_new(4096, sets[0].bits, 2, 1 << 26, &rng);
    product x = product_new(&f);
    exchange e = exchange_new(&f, 3, 1); /* 90 bits of b: six of padding */
    assert_ok(answer(&e, &f, &x, &rng));
    for (size_t cut = 0; cut < e.len; cut += cut + 40 < e.len ? 37 : 1) {
        e.out[0] = 42;
        sotto_calloc_fail_after(1); /* refused with no more than the room, whose size is not the peer's */
        assert_status(SOTTO_ERR_FORMAT, open_answer(&e, &f, cut));
        sotto_calloc_fail_after(-1);
        assert_int_equal(e.out[0], 42);
    }
    e.data[e.len - 1] |= 0x80;
    assert_status(SOTTO_ERR_FORMAT, open_answer(&e, &f, e.len));
    e.data[e.len - 1] &= 0x7f;
    assert_ok(open_answer(&e, &f, e.len));
    assert_right(&e, &f, &x);
    for (int i = 0; i < 50; i++) { /* any other bytes decrypt to something */
        size_t bit = test_below(&rng, 8 * e.len - 6);
        e.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_ok(open_answer(&e, &f, e.len));
        for (size_t j = 0; j < 3; j++)
            assert_true(e.out[j] < f.t);
    }
    exchange_free(&e);
    product_free(&x, &f);
    fixture_free(&f);
}

static void test_arguments(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 10);
    fixture f = fixture_new(4096, sets[0].bits, 2, 1 << 26, &rng);
    product x = product_new(&f);
    exchange e = exchange_new(&f, 5, 1);
    uint32_t kept = e.index[4];

    e.index[4] = e.index[1]; /* twice the same */
    assert_status(SOTTO_ERR_ARG, answer(&e, &f, &x, &rng));
    assert_status(SOTTO_ERR_ARG, open_answer(&e, &f, e.len));
    e.index[4] = 4096;
    assert_status(SOTTO_ERR_ARG, answer(&e, &f, &x, &rng));
    assert_status(SOTTO_ERR_ARG, open_answer(&e, &f, e.len));
    e.index[4] = kept;
    e.mask[2] = f.t;
    assert_status(SOTTO_ERR_ARG, answer(&e, &f, &x, &rng));
    e.mask[2] = f.t - 1;
    sotto_bfv_to_coeff(&x.acc, f.p);
    assert_status(SOTTO_ERR_ARG, answer(&e, &f, &x, &rng));
    sotto_bfv_to_ntt(&x.acc, f.p);
    e.len--;
    assert_status(SOTTO_ERR_LIMIT, answer(&e, &f, &x, &rng));
    e.len++;
    sotto_bfv_answer_plan plan = e.plan, none = {.margin = 1};
    e.plan = none;
    assert_status(SOTTO_ERR_ARG, answer(&e, &f, &x, &rng));
    e.plan = plan;
    assert_ok(answer(&e, &f, &x, &rng));
    assert_ok(open_answer(&e, &f, e.len));
    assert_right(&e, &f, &x);

    const fixture good = f;
    assert_ok(sotto_bfv_params_with_t(&f.p, good.p, 1000)); /* no power of two */
    product_again(&x, &f);
    assert_status(SOTTO_ERR_PARAMS, answer(&e, &f, &x, &rng));
    assert_status(SOTTO_ERR_PARAMS, open_answer(&e, &f, e.len));
    sotto_bfv_params_free(f.p);
    assert_ok(sotto_bfv_params_from_bits(&f.p, 4096, sets[1].bits, 1, 1 << 20)); /* the key is of two primes */
    assert_status(SOTTO_ERR_ARG, open_answer(&e, &f, e.len));
    sotto_bfv_params_free(f.p);
    f = good;
    exchange_free(&e);
    product_free(&x, &f);
    fixture_free(&f);
}

static void test_faults(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 11);
    fixture f = fixture_new(4096, sets[0].bits, 2, 1 << 26, &rng);
    product x = product_new(&f);
    exchange e = exchange_new(&f, 100, 1);
    for (int which = 0; which < 2; which++) {
        int status = SOTTO_ERR_RNG;
        long k = 0;
        for (; k < FIXTURE_FAULTS_MAX && status != SOTTO_OK; k++) {
            test_faulty_rng faulty = {.inner = rng, .k = k};
            sotto_rng wrapped = test_faulty_rng_wrap(&faulty);
            product_again(&x, &f);
            if (which == 1)
                sotto_calloc_fail_after(k);
            status = answer(&e, &f, &x, which == 0 ? &wrapped : &rng);
            sotto_calloc_fail_after(-1);
            if (status != SOTTO_OK)
                assert_int_equal(status, which == 0 ? SOTTO_ERR_RNG : SOTTO_ERR_MEMORY);
        }
        assert_int_equal(status, SOTTO_OK);
        assert_true(k > (which == 0 ? 4 : 1));
        assert_ok(open_answer(&e, &f, e.len));
        assert_right(&e, &f, &x);
    }
    int status = SOTTO_ERR_MEMORY;
    long k = 0;
    for (; k < FIXTURE_FAULTS_MAX && status != SOTTO_OK; k++) {
        e.out[0] = 42;
        sotto_calloc_fail_after(k);
        status = open_answer(&e, &f, e.len);
        sotto_calloc_fail_after(-1);
        if (status != SOTTO_OK) {
            assert_int_equal(status, SOTTO_ERR_MEMORY);
            assert_int_equal(e.out[0], 42);
        }
    }
    assert_int_equal(status, SOTTO_OK);
    assert_true(k > 1);
    exchange_free(&e);
    product_free(&x, &f);
    fixture_free(&f);
}

/* All that the two sides send each other, from fixed coins: a change of format or of sampling shows as one line. */
static void test_known_transcript(void **state)
{
    (void)state;
    sotto_prg prg;
    sotto_rng rng = fixed_rng(&prg, 2);
    fixture f = fixture_new(4096, sets[0].bits, 2, 1 << 26, &rng), other = f;
    sotto_rng run = test_rng(seed, 12);
    other.rng = &run;
    exchange e = exchange_new(&other, 100, 0);
    uint64_t *m = words_new(f.n);
    sotto_bfv_ct ct;
    sotto_block a_seed;
    for (uint32_t i = 0; i < f.n; i++)
        m[i] = i * i % f.t;
    for (size_t i = 0; i < e.wanted; i++)
        e.mask[i] = i * 12345 % f.t;
    assert_ok(sotto_bfv_ct_new(&ct, f.p));
    assert_ok(sotto_bfv_encrypt_symmetric(&ct, &a_seed, f.p, &f.sk, m, &rng));

    size_t len = sotto_bfv_public_key_bytes(f.p) + sotto_bfv_seeded_bytes(f.p) + sotto_bfv_ct_bytes(f.p) + e.len;
    uint8_t *data = malloc(len), digest[32];
    char hex[65];
    sotto_writer w;
    assert_non_null(data);
    sotto_writer_init(&w, data, len);
    sotto_bfv_public_key_write(&w, f.p, &f.pk);
    sotto_bfv_seeded_write(&w, f.p, &ct, a_seed);
    assert_ok(sotto_bfv_encrypt_public(&ct, f.p, &f.pk, m, &rng));
    sotto_bfv_ct_write(&w, f.p, &ct);
    assert_ok(sotto_bfv_answer_write(&w, f.p, &f.pk, &e.plan, &ct, e.index, e.mask, e.wanted, &rng));
    assert_int_equal(w.pos, len);
    crypto_generichash(digest, sizeof digest, data, len, NULL, 0);
    sodium_bin2hex(hex, sizeof hex, digest, sizeof digest);
    assert_string_equal(hex, "3cec8750c4458cae65a0071f60a32cea086f082d4a24b62809eb57f78f8239f3");
    free(data);
    free(m);
    sotto_bfv_ct_free(&ct);
    exchange_free(&e);
    fixture_free(&f);
}

int main(void)
{
    seed = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_correct),
        cmocka_unit_test(test_selections),
        cmocka_unit_test(test_rerandomised),
        cmocka_unit_test(test_flood_reaches_the_answer),
        cmocka_unit_test(test_only_wanted_leaves),
        cmocka_unit_test(test_owner_is_exact),
        cmocka_unit_test(test_torn),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_known_transcript),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
