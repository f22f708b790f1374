/* Words: all pairs of small widths, random pairs of full ones, all constants of small widths; AND counts. */
#include "garble/word.h"
#include "tests/garble/circuits.h"

typedef struct shape {
    unsigned bits;
    uint64_t constant;
} shape;

typedef struct counter {
    sotto_circuit *c;
    uint32_t before;
} counter;

/* AND gates since the last call. */
static uint32_t ands(counter *n)
{
    const uint32_t since = n->c->and_count - n->before;
    n->before = n->c->and_count;
    return since;
}

/* The operations of two words, in the order of want_pair. */
static void pair_circuit(sotto_circuit *c, unsigned w)
{
    sotto_circuit_init(c, w, w);
    counter n = {c, 0};
    const sotto_word x = sotto_word_wires(0, w), y = sotto_word_wires(w, w);
    sotto_word_output(c, sotto_word_add(c, x, y));
    assert_int_equal(ands(&n), w - 1);
    sotto_word_output(c, sotto_word_sub(c, x, y));
    assert_int_equal(ands(&n), w - 1);
    sotto_word_output(c, sotto_word_multiply(c, x, y));
    assert_int_equal(ands(&n), w * w - w + 1);
    sotto_word_output(c, sotto_word_mux(c, x.wire[0], x, y));
    assert_int_equal(ands(&n), w);
    sotto_word_output(c, sotto_word_gate(c, y.wire[w - 1], x));
    assert_int_equal(ands(&n), w);
    sotto_word_output(c, sotto_word_and(c, x, y));
    assert_int_equal(ands(&n), w);
    sotto_word_output(c, sotto_word_xor(c, sotto_word_not(c, x), y));
    assert_int_equal(ands(&n), 0);
    sotto_circuit_output(c, sotto_word_carry(c, x, y));
    assert_int_equal(ands(&n), w);
    sotto_circuit_output(c, sotto_word_equal(c, x, y));
    assert_int_equal(ands(&n), w - 1);
    sotto_circuit_output(c, sotto_word_below(c, x, y));
    assert_int_equal(ands(&n), w);
    sotto_circuit_output(c, sotto_word_less(c, x, y));
    assert_int_equal(ands(&n), w);
    assert_ok(sotto_circuit_lint(c));
}

static void want_pair_words(uint64_t words[7], unsigned bits[4], uint64_t x, uint64_t y, unsigned w)
{
    const uint64_t all[7] = {x + y, x - y, x * y, x & 1 ? x : y, y >> (w - 1) ? x : 0, x & y, ~x ^ y};
    for (unsigned i = 0; i < 7; i++)
        words[i] = sotto_low_bits(all[i], w);
    bits[0] = w < 64 ? (unsigned)((x + y) >> w) : x + y < x;
    bits[1] = x == y;
    bits[2] = x < y;
    bits[3] = centred(x, w) < centred(y, w);
}

static uint64_t want_pair(uint64_t in, const void *ctx)
{
    const unsigned w = ((const shape *)ctx)->bits;
    uint64_t words[7], out = 0;
    unsigned bits[4];
    const uint64_t x = take(&in, w);
    want_pair_words(words, bits, x, in, w);
    for (unsigned i = 0; i < 7; i++)
        out |= words[i] << (i * w);
    for (unsigned i = 0; i < 4; i++)
        out |= (uint64_t)bits[i] << (7 * w + i);
    return out;
}

static void test_pairs(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 1);
    for (unsigned w = 1; w <= 64; w += w < 12 ? 1 : 13) {
        const shape s = {.bits = w};
        sotto_circuit c;
        pair_circuit(&c, w);
        if (w <= 8)
            check_all_inputs(&c, want_pair, &s);
        for (int i = 0; i < 300; i++) {
            const uint64_t x = sotto_low_bits(test_u64(&rng), w);
            const uint64_t y = i % 2 ? sotto_low_bits(test_u64(&rng), w) : sotto_low_bits(x + test_below(&rng, 3) - 1, w);
            uint8_t in[128], out[7 * 64 + 4];
            uint64_t words[7];
            unsigned bits[4];
            put_bits(in, x, w);
            put_bits(in + w, y, w);
            assert_ok(sotto_circuit_run(&c, out, in));
            want_pair_words(words, bits, x, y, w);
            for (unsigned o = 0; o < 7; o++)
                assert_int_equal(get_bits(out + o * w, w), words[o]);
            for (unsigned o = 0; o < 4; o++)
                assert_int_equal(out[7 * w + o], bits[o]);
        }
        sotto_circuit_free(&c);
    }
}

static unsigned at_least_zero(int x)
{
    return x < 0 ? 0 : (unsigned)x;
}

/* Of the header's formula, from the digits themselves. */
static unsigned scale_ands(uint64_t factor, unsigned w)
{
    unsigned count = 0, nonzero = 0;
    for (unsigned p = 0; p < w; p++, factor >>= 1)
        if (factor & 1) {
            const int minus = (factor & 3) == 3 && p + 1 < w;
            if (nonzero++)
                count += w - p - 1;
            else if (minus)
                count += at_least_zero((int)w - (int)p - 2);
            factor += (uint64_t)minus;
        }
    return count;
}

static uint64_t want_constant(uint64_t x, const void *ctx)
{
    const shape *s = ctx;
    const unsigned w = s->bits;
    const uint64_t k = s->constant;
    return sotto_low_bits(x * k, w) | sotto_low_bits(x + k, w) << w | sotto_low_bits(k - x, w) << 2 * w | (uint64_t)(x < k) << 3 * w;
}

/* Every constant of widths up to 7: multiplication, sum, difference, comparison. */
static void test_constants(void **state)
{
    (void)state;
    for (unsigned w = 1; w <= 7; w++)
        for (uint64_t k = 0; k < (uint64_t)1 << w; k++) {
            const shape s = {.bits = w, .constant = k};
            int t = 0;
            while (t < (int)w && !(k >> t & 1))
                t++;
            sotto_circuit c;
            sotto_circuit_init(&c, w, 0);
            counter n = {&c, 0};
            const sotto_word x = sotto_word_wires(0, w), constant = sotto_word_constant(k, w);
            sotto_word_output(&c, sotto_word_scale(&c, x, k));
            assert_int_equal(ands(&n), scale_ands(k, w));
            sotto_word_output(&c, sotto_word_add(&c, x, constant));
            assert_int_equal(ands(&n), at_least_zero((int)w - 2 - t));
            sotto_word_output(&c, sotto_word_sub(&c, constant, x));
            (void)ands(&n);
            sotto_circuit_output(&c, sotto_word_below(&c, x, constant));
            assert_int_equal(ands(&n), at_least_zero((int)w - 1 - t));
            check_all_inputs(&c, want_constant, &s);
            sotto_circuit_free(&c);
        }
}

static void test_scale_random(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 2);
    for (int run = 0; run < 200; run++) {
        const unsigned w = 1 + (unsigned)test_below(&rng, 64);
        const uint64_t k = run < 3 ? UINT64_MAX - (uint64_t)run : test_u64(&rng), x = test_u64(&rng);
        uint8_t in[64], out[64];
        sotto_circuit c;
        sotto_circuit_init(&c, w, 0);
        sotto_word_output(&c, sotto_word_scale(&c, sotto_word_wires(0, w), k));
        assert_ok(sotto_circuit_finish(&c));
        assert_int_equal(c.and_count, scale_ands(k, w));
        put_bits(in, x, w);
        assert_ok(sotto_circuit_run(&c, out, in));
        assert_int_equal(get_bits(out, w), sotto_low_bits(x * k, w));
        sotto_circuit_free(&c);
    }
}

/* Shifts, rotations and extensions build nothing; checked on words of constants. */
static uint64_t value_of(sotto_word x)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < x.bits; i++)
        v |= (uint64_t)(x.wire[i] & 1) << i;
    return v;
}

static void test_moves(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(test_seed(), 3);
    for (unsigned w = 1; w <= 64; w++)
        for (unsigned n = 0; n <= 66; n++) {
            const uint64_t v = sotto_low_bits(test_u64(&rng), w), sign = (uint64_t)centred(v, w);
            const sotto_word x = sotto_word_constant(v, w);
            assert_int_equal(value_of(x), v);
            assert_int_equal(value_of(sotto_word_shift_left(x, n)), n < w ? sotto_low_bits(v << n, w) : 0);
            const unsigned turn = n % w;
            assert_int_equal(value_of(sotto_word_rotate_right(x, n)), sotto_low_bits(turn ? v >> turn | v << (w - turn) : v, w));
            for (unsigned to = 1; to <= 64; to += 9) {
                assert_int_equal(value_of(sotto_word_slice(x, n, to)), sotto_low_bits(n < 64 ? v >> n : 0, to));
                const uint64_t shifted = n < 64 ? (uint64_t)((int64_t)sign >> n) : 0 - (sign >> 63);
                assert_int_equal(value_of(sotto_word_slice_signed(x, n, to)), sotto_low_bits(shifted, to));
            }
        }
}

/* The circuit shown in garble/README.md, narrower. */
static uint64_t want_distance(uint64_t in, const void *ctx)
{
    (void)ctx;
    const int64_t x = centred(in & 63, 6), y = centred(in >> 6, 6);
    return (uint64_t)(centred((uint64_t)(x - y) & 63, 6) < 0 ? y - x : x - y) & 63;
}

static void test_example(void **state)
{
    (void)state;
    sotto_circuit c;
    sotto_circuit_init(&c, 6, 6);
    const sotto_word d = sotto_word_sub(&c, sotto_word_wires(0, 6), sotto_word_wires(6, 6)), sign = sotto_word_slice_signed(d, 5, 6);
    sotto_word_output(&c, sotto_word_sub(&c, sotto_word_xor(&c, d, sign), sign));
    assert_int_equal(c.and_count, 10);
    assert_ok(sotto_circuit_lint(&c));
    check_all_inputs(&c, want_distance, NULL);
    sotto_circuit_free(&c);
}

/* Widths that do not fit are a mistake that finish tells. */
static void test_refusals(void **state)
{
    (void)state;
    const sotto_word good = sotto_word_wires(0, 4), narrow = sotto_word_wires(0, 3);
    const sotto_word bad[] = {sotto_word_wires(0, 0), sotto_word_wires(0, 65), sotto_word_constant(1, 65),
                              sotto_word_slice(good, 0, 65), sotto_word_slice_signed(good, 0, 0), {.bits = 65}, {.bits = UINT32_MAX}};
    for (size_t b = 0; b <= sizeof bad / sizeof *bad; b++)
        for (unsigned op = 0; op < 14; op++) {
            const int alone = b == sizeof bad / sizeof *bad; /* a good word of another width */
            const sotto_word y = alone ? narrow : bad[b], x = op % 2 || alone ? good : y;
            if (alone && op >= 10)
                continue; /* one word only */
            sotto_circuit c;
            sotto_circuit_init(&c, 4, 0);
            switch (op) {
            case 0: (void)sotto_word_add(&c, x, y); break;
            case 1: (void)sotto_word_sub(&c, x, y); break;
            case 2: (void)sotto_word_multiply(&c, x, y); break;
            case 3: (void)sotto_word_mux(&c, 0, x, y); break;
            case 4: (void)sotto_word_and(&c, x, y); break;
            case 5: (void)sotto_word_xor(&c, x, y); break;
            case 6: (void)sotto_word_carry(&c, x, y); break;
            case 7: (void)sotto_word_equal(&c, x, y); break;
            case 8: (void)sotto_word_below(&c, x, y); break;
            case 9: (void)sotto_word_less(&c, x, y); break;
            case 10: (void)sotto_word_gate(&c, 0, y); break;
            case 11: (void)sotto_word_not(&c, y); break;
            case 12: (void)sotto_word_scale(&c, sotto_word_shift_left(y, 1), 3); break;
            case 13: sotto_word_output(&c, sotto_word_rotate_right(y, 1)); break;
            }
            assert_status(SOTTO_ERR_ARG, sotto_circuit_finish(&c));
            sotto_circuit_free(&c);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs), cmocka_unit_test(test_constants), cmocka_unit_test(test_scale_random),
        cmocka_unit_test(test_moves), cmocka_unit_test(test_example),   cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
