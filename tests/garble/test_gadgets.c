/* The protocol's circuits: all shares of small widths, random ones of full widths, AND counts, no gate without use. */
#include "garble/gadgets.h"
#include "garble/garbling.h"
#include "lib/mem.h"
#include "tests/garble/circuits.h"

typedef struct shape {
    unsigned bits;
    uint32_t count;
    uint64_t high;
} shape;

/* The sign of a shared value: the circuit's carry xor both top bits. */
static uint64_t want_sign(uint64_t in, const void *ctx)
{
    const unsigned low = ((const shape *)ctx)->bits - 1;
    const uint64_t a = take(&in, low), b = take(&in, low);
    return (a + b) >> low;
}

static void test_sign(void **state)
{
    (void)state;
    for (unsigned u = 2; u <= 9; u++) {
        const shape s = {.bits = u};
        sotto_circuit c;
        assert_ok(sotto_circuit_sign(&c, u));
        assert_int_equal(c.and_count, u - 1);
        assert_ok(sotto_circuit_lint(&c));
        check_all_inputs(&c, want_sign, &s);
        sotto_circuit_known_inputs(&c);
        assert_int_equal(c.and_eval_count, 1);
        check_all_inputs(&c, want_sign, &s);
        sotto_circuit_free(&c);
    }
    sotto_circuit c;
    assert_ok(sotto_circuit_sign(&c, 65));
    sotto_circuit_free(&c);
    assert_status(SOTTO_ERR_ARG, sotto_circuit_sign(&c, 1));
    assert_status(SOTTO_ERR_ARG, sotto_circuit_sign(&c, 66));
}

/* All circuits with one value in and one out: a | c, r; `high` 0 stands for no bound. */
static uint64_t clipped(const shape *s, uint64_t a, uint64_t b, uint64_t r)
{
    const int64_t y = centred(sotto_low_bits(a + b, s->bits), s->bits);
    const uint64_t positive = y < 0 ? 0 : (uint64_t)y;
    return sotto_low_bits((s->high && positive > s->high ? s->high : positive) - r, s->bits);
}

static uint64_t want_clip(uint64_t in, const void *ctx)
{
    const shape *s = ctx;
    const uint64_t a = take(&in, s->bits), b = take(&in, s->bits);
    return clipped(s, a, b, in);
}

static void check_clip_random(const sotto_circuit *c, const shape *s, const sotto_rng *rng)
{
    for (int i = 0; i < 200; i++) {
        uint8_t in[3 * 64], out[64];
        const uint64_t near = s->high + test_below(rng, 5) - 2, any = test_u64(rng) >> test_below(rng, 64);
        const uint64_t b = test_u64(rng), r = test_u64(rng), a = (i % 3 == 0 ? near : i % 3 == 1 ? any : 0 - any) - b;
        put_bits(in, a, s->bits);
        put_bits(in + s->bits, b, s->bits);
        put_bits(in + 2 * s->bits, r, s->bits);
        assert_ok(sotto_circuit_run(c, out, in));
        assert_int_equal(get_bits(out, s->bits), clipped(s, a, b, r));
    }
}

static void test_relu(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 1);
    for (unsigned k = 2; k <= 64; k++) {
        const shape s = {.bits = k};
        sotto_circuit c;
        assert_ok(sotto_circuit_relu(&c, k));
        assert_int_equal(c.and_count, 3 * k - 3);
        assert_int_equal(c.output_count, k);
        assert_ok(sotto_circuit_lint(&c));
        if (k <= 6)
            check_all_inputs(&c, want_clip, &s);
        check_clip_random(&c, &s, &rng);
        sotto_circuit_known_inputs(&c);
        assert_int_equal(c.and_eval_count, 2);
        sotto_circuit_free(&c);
    }
    sotto_circuit c;
    assert_status(SOTTO_ERR_ARG, sotto_circuit_relu(&c, 1));
    assert_status(SOTTO_ERR_ARG, sotto_circuit_relu(&c, 65));
}

static void check_clip(unsigned k, uint64_t high, const sotto_rng *rng)
{
    const shape s = {.bits = k, .high = high};
    unsigned width = 0, ones = 0;
    while (high >> width)
        width++;
    while ((high + 1) >> ones & 1 ? 0 : 1)
        ones++;
    sotto_circuit c;
    assert_ok(sotto_circuit_clip(&c, k, high));
    assert_int_equal(c.and_count, 3 * k - 3 + width - ones);
    assert_ok(sotto_circuit_lint(&c));
    if (k <= 5)
        check_all_inputs(&c, want_clip, &s);
    check_clip_random(&c, &s, rng);
    sotto_circuit_known_inputs(&c);
    assert_int_equal(c.and_eval_count, 2);
    sotto_circuit_free(&c);
}

static void test_clip(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 2);
    for (unsigned k = 3; k <= 5; k++)
        for (uint64_t high = 1; high < ((uint64_t)1 << (k - 1)) - 1; high++)
            check_clip(k, high, &rng);
    for (unsigned k = 6; k <= 64; k++)
        for (int i = 0; i < 5; i++)
            check_clip(k, 1 + test_below(&rng, ((uint64_t)1 << (k - 1)) - 2), &rng);
    sotto_circuit c;
    assert_status(SOTTO_ERR_ARG, sotto_circuit_clip(&c, 2, 1));
    assert_status(SOTTO_ERR_ARG, sotto_circuit_clip(&c, 8, 0));
    assert_status(SOTTO_ERR_ARG, sotto_circuit_clip(&c, 8, 127));
    assert_status(SOTTO_ERR_ARG, sotto_circuit_clip(&c, 65, 3));
}

/* Largest value and its lowest index of `count` shared ones. */
static uint32_t largest(const uint64_t *value, uint32_t count, unsigned bits)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; i++)
        if (centred(value[i], bits) > centred(value[best], bits))
            best = i;
    return best;
}

static uint64_t want_max(uint64_t in, const void *ctx)
{
    const shape *s = ctx;
    uint64_t value[8];
    for (uint32_t i = 0; i < s->count; i++)
        value[i] = take(&in, s->bits);
    for (uint32_t i = 0; i < s->count; i++)
        value[i] = sotto_low_bits(value[i] + take(&in, s->bits), s->bits);
    return sotto_low_bits(value[largest(value, s->count, s->bits)] - in, s->bits);
}

static uint64_t want_argmax(uint64_t in, const void *ctx)
{
    const shape *s = ctx;
    uint64_t value[8];
    for (uint32_t i = 0; i < s->count; i++)
        value[i] = take(&in, s->bits);
    for (uint32_t i = 0; i < s->count; i++)
        value[i] = sotto_low_bits(value[i] + take(&in, s->bits), s->bits);
    return largest(value, s->count, s->bits);
}

/* Random values, every third list with ties; `mask` tells the circuit of the largest value from that of its index. */
static void check_list_random(const sotto_circuit *c, uint32_t count, unsigned w, int mask, const sotto_rng *rng)
{
    uint8_t *in = calloc((2 * (size_t)count + 1) * w, 1), out[64];
    uint64_t value[17], r = test_u64(rng);
    assert_non_null(in);
    for (int run = 0; run < 100; run++) {
        for (uint32_t i = 0; i < count; i++) {
            const uint64_t share = test_u64(rng);
            value[i] = run % 3 ? sotto_low_bits(test_u64(rng), w) : test_below(rng, 3);
            put_bits(in + i * w, share, w);
            put_bits(in + (count + i) * w, value[i] - share, w);
        }
        if (mask)
            put_bits(in + 2 * count * w, r, w);
        assert_ok(sotto_circuit_run(c, out, in));
        const uint32_t best = largest(value, count, w);
        assert_int_equal(get_bits(out, c->output_count), mask ? sotto_low_bits(value[best] - r, w) : best);
    }
    free(in);
}

static void test_max(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 3);
    static const uint32_t counts[] = {1, 2, 3, 4, 5, 9, 17};
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
        for (unsigned w = 2; w <= 64; w += w < 4 ? 1 : 20) {
            const shape s = {.bits = w, .count = counts[n]};
            sotto_circuit c;
            assert_ok(sotto_circuit_max(&c, s.count, w));
            assert_int_equal(c.and_count, s.count * (w - 1) + (s.count - 1) * 2 * w + w - 1);
            assert_int_equal(c.output_count, w);
            assert_ok(sotto_circuit_lint(&c));
            if (sotto_circuit_inputs(&c) <= 18)
                check_all_inputs(&c, want_max, &s);
            check_list_random(&c, s.count, w, 1, &rng);
            sotto_circuit_known_inputs(&c);
            assert_int_equal(c.and_eval_count, s.count + 1);
            sotto_circuit_free(&c);
        }
    sotto_circuit c;
    assert_status(SOTTO_ERR_ARG, sotto_circuit_max(&c, 0, 8));
    assert_status(SOTTO_ERR_ARG, sotto_circuit_max(&c, 65537, 8));
    assert_status(SOTTO_ERR_ARG, sotto_circuit_max(&c, 4, 1));
}

static void test_argmax(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 4);
    static const uint32_t counts[] = {2, 3, 4, 5, 10, 17};
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
        for (unsigned w = 2; w <= 64; w += w < 4 ? 1 : 20) {
            const shape s = {.bits = w, .count = counts[n]};
            uint32_t ands = s.count * (w - 1) + (s.count - 1) * w + (s.count - 2) * w, bits = 0;
            for (; (uint32_t)1 << bits < s.count; bits++)
                ands += s.count - 1 - ((uint32_t)1 << bits);
            sotto_circuit c;
            assert_ok(sotto_circuit_argmax(&c, s.count, w));
            assert_int_equal(c.and_count, ands);
            assert_int_equal(c.output_count, bits);
            assert_ok(sotto_circuit_lint(&c));
            if (sotto_circuit_inputs(&c) <= 20)
                check_all_inputs(&c, want_argmax, &s);
            check_list_random(&c, s.count, w, 0, &rng);
            sotto_circuit_known_inputs(&c);
            assert_int_equal(c.and_eval_count, s.count);
            sotto_circuit_free(&c);
        }
    sotto_circuit c;
    assert_status(SOTTO_ERR_ARG, sotto_circuit_argmax(&c, 1, 8));
    assert_status(SOTTO_ERR_ARG, sotto_circuit_argmax(&c, 4, 65));
    assert_status(SOTTO_ERR_LIMIT, sotto_circuit_argmax(&c, 65536, 64));
}

/* Garbled, every input as an instance of one job, with random labels; up to 6 inputs also with all permute bits of
 * the inputs. What comes out is what comes out in the clear. */
static void check_garbled(const sotto_circuit *c, sotto_garble_scheme scheme, const sotto_rng *rng)
{
    const unsigned inputs = sotto_circuit_inputs(c), known = c->and_eval_count > 0;
    const size_t n = (size_t)1 << (inputs <= 6 ? 2 * inputs : inputs);
    sotto_garble_job job = {.hash = {.domain = SOTTO_DOMAIN_GARBLE}, .first = test_below(rng, 100), .instances = n};
    sotto_garbling *g;
    assert_ok(sotto_garbling_new(&g, c, scheme));
    job.g = g;
    sotto_block offset, *zero = calloc(inputs * n, sizeof *zero), *label = calloc(inputs * n, sizeof *label);
    sotto_block *out_zero = calloc(c->output_count * n, sizeof *zero), *out = calloc(c->output_count * n, sizeof *out);
    uint8_t *tables = calloc(sotto_garble_bytes(&job), 1);
    assert_true(zero && label && out_zero && out && tables);
    assert_ok(sotto_rng_fill(rng, &job.hash.salt, sizeof job.hash.salt));
    assert_ok(sotto_rng_fill(rng, &offset, sizeof offset));
    assert_ok(sotto_rng_fill(rng, zero, inputs * n * sizeof *zero));
    offset.w[0] |= 1;
    for (unsigned w = 0; w < inputs; w++)
        for (size_t i = 0; i < n; i++) {
            sotto_block *z = &zero[w * n + i];
            if (known && w >= c->garbler_inputs)
                *z = sotto_label_known(*z, 0);
            else if (inputs <= 6)
                *z = sotto_label_known(*z, (unsigned)(i >> (inputs + w)) & 1);
            label[w * n + i] = sotto_block_xor(*z, sotto_block_and(offset, sotto_ct_mask(i >> w & 1)));
        }
    assert_ok(sotto_garble_tables(&job, offset, zero, tables, out_zero));
    assert_ok(sotto_garble_evaluate(&job, label, tables, out));
    for (size_t i = 0; i < n; i++) {
        uint8_t in[16], want[16];
        put_bits(in, i, inputs);
        assert_ok(sotto_circuit_run(c, want, in));
        for (uint32_t o = 0; o < c->output_count; o++) {
            const sotto_block expected = sotto_block_xor(out_zero[o * n + i], sotto_block_and(offset, sotto_ct_mask(want[o])));
            assert_memory_equal(&out[o * n + i], &expected, sizeof expected);
        }
    }
    sotto_garbling_free(g);
    free(tables);
    free(zero);
    free(label);
    free(out_zero);
    free(out);
}

static int small_circuit(sotto_circuit *c, unsigned which)
{
    switch (which) {
    case 0: return sotto_circuit_sign(c, 2);
    case 1: return sotto_circuit_sign(c, 4);
    case 2: return sotto_circuit_relu(c, 2);
    case 3: return sotto_circuit_relu(c, 4);
    case 4: return sotto_circuit_clip(c, 3, 2);
    case 5: return sotto_circuit_clip(c, 4, 4);
    case 6: return sotto_circuit_max(c, 1, 2);
    case 7: return sotto_circuit_max(c, 2, 2);
    case 8: return sotto_circuit_argmax(c, 2, 2);
    default: return sotto_circuit_argmax(c, 3, 2);
    }
}

static void test_garbled(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 5);
    for (unsigned which = 0; which < 10; which++)
        for (unsigned known = 0; known < 2; known++)
            for (unsigned scheme = 0; scheme < SOTTO_GARBLE_SCHEMES; scheme++) {
                sotto_circuit c;
                assert_ok(small_circuit(&c, which));
                if (known)
                    sotto_circuit_known_inputs(&c);
                check_garbled(&c, (sotto_garble_scheme)scheme, &rng);
                sotto_circuit_free(&c);
            }
}

/* Whatever allocation fails, the circuit is empty. */
static void test_memory(void **state)
{
    (void)state;
    static const sotto_circuit empty;
    for (unsigned which = 0; which < 5; which++) {
        int rc = SOTTO_ERR_MEMORY;
        for (long k = 0; rc; k++) {
            sotto_circuit c;
            assert_true(k < 50);
            sotto_calloc_fail_after(k);
            rc = which == 0   ? sotto_circuit_sign(&c, 20)
                 : which == 1 ? sotto_circuit_relu(&c, 20)
                 : which == 2 ? sotto_circuit_clip(&c, 20, 77)
                 : which == 3 ? sotto_circuit_max(&c, 4, 20)
                              : sotto_circuit_argmax(&c, 4, 20);
            sotto_calloc_fail_after(-1);
            if (rc) {
                assert_int_equal(rc, SOTTO_ERR_MEMORY);
                assert_memory_equal(&c, &empty, sizeof c);
            }
            sotto_circuit_free(&c);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign), cmocka_unit_test(test_relu),   cmocka_unit_test(test_clip),
        cmocka_unit_test(test_max),  cmocka_unit_test(test_argmax), cmocka_unit_test(test_garbled),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
