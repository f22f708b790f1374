/* Small-field OT on made-up base OTs: all offsets of a piece, every k. */
#include "ot/softspoken_internal.h"

#include "lib/cpu.h"
#include "lib/prg.h"
#include "tests/ot/fixture.h"

/* Both halves, from base OTs drawn here; one thread plays both, for bytes move one way only. */
typedef struct halves {
    sotto_softspoken *send, *recv;
    sotto_chan chan[2];
    sotto_block offset;
} halves;

static void halves_new(halves *h, unsigned k, sotto_block offset, const sotto_rng *rng)
{
    sotto_block keys[SOTTO_BASE_OTS][2], own[SOTTO_BASE_OTS];
    uint8_t setup[4096];
    assert_true(sotto_softspoken_setup_bytes(k) <= sizeof setup);
    assert_ok(sotto_rng_fill(rng, keys, sizeof keys));
    for (size_t i = 0; i < SOTTO_BASE_OTS; i++) {
        own[i] = keys[i][offset.w[i / 64] >> (i % 64) & 1];
    }
    h->offset = offset;
    assert_ok(sotto_softspoken_new_receiver(&h->recv, k, keys, setup));
    assert_ok(sotto_softspoken_new_sender(&h->send, k, offset, own, setup));
    test_chan_pair(&h->chan[0], &h->chan[1], 100);
}

static void halves_free(halves *h)
{
    sotto_softspoken_free(h->send);
    sotto_softspoken_free(h->recv);
    sotto_chan_close(&h->chan[0]);
    sotto_chan_close(&h->chan[1]);
}

enum { MAX = 4096 };
static sotto_block q[MAX], t[MAX];
static uint8_t choices[MAX / 8];

static void check(halves *h, size_t count)
{
    assert_ok(sotto_softspoken_recv(h->recv, &h->chan[0], choices, count, t));
    assert_ok(sotto_chan_flush(&h->chan[0]));
    assert_ok(sotto_softspoken_send(h->send, &h->chan[1], count, q));
    for (size_t i = 0; i < count; i++) {
        const sotto_block want =
            sotto_block_xor(t[i], sotto_block_and(h->offset, 0 - (uint64_t)sotto_bit(choices, i)));
        assert_memory_equal(&want, &q[i], sizeof want);
    }
}

/* The first piece and, from the other end, the last one take every value. */
static void test_all_offsets(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 1);
    for (unsigned k = 1; k <= SOTTO_SOFTSPOKEN_K_MAX; k++) {
        for (uint64_t value = 0; value < (uint64_t)1 << k; value += k < 7 ? 1 : 13) {
            halves h;
            halves_new(&h, k, (sotto_block){{value | test_u64(&rng) << k, test_u64(&rng) >> 8 | value << 56}}, &rng);
            assert_ok(sotto_rng_fill(&rng, choices, sizeof choices));
            check(&h, 128);
            halves_free(&h);
        }
    }
}

/* Calls of any size one after the other, on every kernel; the two halves may have different ones. */
static void test_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 127, 129, 2048, 2049, 0, 4096, 77};
    const sotto_rng rng = test_rng(test_seed(), 2);
    const int best = (int)sotto_cpu_tier();
    for (unsigned k = 1; k <= SOTTO_SOFTSPOKEN_K_MAX; k++) {
        halves h;
        sotto_cpu_force_tier(k % 2 ? SOTTO_TIER_PORTABLE : SOTTO_TIER_AVX2);
        halves_new(&h, k, (sotto_block){{test_u64(&rng), test_u64(&rng)}}, &rng);
        sotto_cpu_force_tier((sotto_tier)best);
        halves fast = h;
        halves_new(&fast, k, h.offset, &rng);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            assert_ok(sotto_rng_fill(&rng, choices, sizeof choices));
            const uint64_t before = h.chan[0].stats.bytes_out;
            check(&h, sizes[i]);
            assert_int_equal(sotto_softspoken_wire_bytes(k, sizes[i]), h.chan[0].stats.bytes_out - before);
            check(&fast, sizes[i]);
        }
        halves_free(&h);
        halves_free(&fast);
    }
    sotto_cpu_force_tier(SOTTO_TIER_IFMA);
}

/* k = 1 is figure 1 of IKNP: column j of t is the stream of key 0, the matrix that and the stream of key 1 and the
 * choices. */
static void test_iknp(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 3);
    sotto_block keys[SOTTO_BASE_OTS][2];
    sotto_softspoken *recv = NULL;
    sotto_chan chan[2];
    uint8_t setup, wire[SOTTO_BASE_OTS][16];
    assert_int_equal(0, sotto_softspoken_setup_bytes(1));
    assert_ok(sotto_rng_fill(&rng, keys, sizeof keys));
    assert_ok(sotto_rng_fill(&rng, choices, sizeof choices));
    assert_ok(sotto_softspoken_new_receiver(&recv, 1, keys, &setup));
    test_chan_pair(&chan[0], &chan[1], 100);
    assert_ok(sotto_softspoken_recv(recv, &chan[0], choices, 128, t));
    assert_ok(sotto_chan_flush(&chan[0]));
    assert_ok(sotto_chan_recv(&chan[1], wire, sizeof wire));
    for (size_t j = 0; j < SOTTO_BASE_OTS; j++) {
        uint8_t stream[2][16];
        for (size_t b = 0; b < 2; b++) {
            sotto_prg prg;
            sotto_prg_init(&prg, keys[j][b]);
            sotto_prg_fill(&prg, stream[b], sizeof stream[b]);
        }
        for (size_t i = 0; i < 128; i++) {
            assert_int_equal(sotto_bit(stream[0], i), t[i].w[j / 64] >> (j % 64) & 1);
            assert_int_equal(sotto_bit(stream[0], i) ^ sotto_bit(stream[1], i) ^ sotto_bit(choices, i),
                             sotto_bit(wire[j], i));
        }
    }
    sotto_softspoken_free(recv);
    sotto_chan_close(&chan[0]);
    sotto_chan_close(&chan[1]);
}

static void test_memory_failure(void **state)
{
    (void)state;
    sotto_block keys[SOTTO_BASE_OTS][2] = {{{{0, 0}}}}, own[SOTTO_BASE_OTS] = {{{0, 0}}};
    uint8_t setup[4096] = {0};
    sotto_softspoken *s = (sotto_softspoken *)&setup;
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_softspoken_new_receiver(&s, 4, keys, setup));
    assert_null(s);
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_softspoken_new_sender(&s, 4, own[0], own, setup));
    assert_null(s);
    sotto_calloc_fail_after(-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_offsets),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_iknp),
        cmocka_unit_test(test_memory_failure),
    };
    return cmocka_run_group_tests_name("ot/softspoken", tests, NULL, NULL);
}
