#include "tests/ot/fixture.h"

#define COUNT_MAX 5000

/* What the parties record of one batch in one direction. */
typedef struct batch {
    size_t count;
    uint8_t choices[COUNT_MAX / 8 + 8];
    sotto_block q[COUNT_MAX], t[COUNT_MAX], offset;
    sotto_block k0[COUNT_MAX], k1[COUNT_MAX], k[COUNT_MAX];
    uint64_t first_send, first_recv;
} batch;

typedef struct script {
    batch *batches;
    const int *sender; /* of each batch */
    size_t count;
} script;

static int act(ot_party *p, sotto_ot *ot, sotto_chan *chan)
{
    const script *s = p->data;
    int status = SOTTO_OK;
    for (size_t i = 0; i < s->count && status == SOTTO_OK; i++) {
        batch *b = &s->batches[i];
        if (s->sender[i] == p->party) {
            b->offset = sotto_ot_offset(ot);
            status = sotto_ot_send(ot, chan, b->count, b->q, &b->first_send);
            sotto_ot_keys_send(ot, b->first_send, b->count, 3, b->q, b->k0, b->k1);
        } else {
            const uint64_t before = chan->stats.bytes_out;
            status = sotto_ot_recv(ot, chan, b->choices, b->count, b->t, &b->first_recv);
            if (status == SOTTO_OK) {
                status = sotto_chan_flush(chan);
                assert_int_equal(sotto_ot_wire_bytes(b->count), chan->stats.bytes_out - before);
                sotto_ot_keys_recv(ot, b->first_recv, b->count, 3, b->t, b->k);
            }
        }
    }
    return status;
}

static int same(sotto_block a, sotto_block b)
{
    return a.w[0] == b.w[0] && a.w[1] == b.w[1];
}

static void test_batches(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 7, 64, 127, 128, 129, 0, 2047, 2048, 2049, 5000, 3};
    static const int sender[] = {0, 1, 1, 0, 1, 0, 1, 0, 1, 1, 0, 0};
    enum { N = sizeof sizes / sizeof *sizes };
    const uint64_t seed = test_seed();
    const sotto_rng rng = test_rng(seed, 9);
    batch *b = sotto_calloc(N, sizeof *b);
    assert_non_null(b);
    script s = {b, sender, N};
    for (size_t i = 0; i < N; i++) {
        b[i].count = sizes[i];
        assert_ok(sotto_rng_fill(&rng, b[i].choices, sizeof b[i].choices));
    }
    ot_party p[2] = {{.party = 0, .seed = seed, .act = act, .data = &s}, {.party = 1, .seed = seed, .act = act, .data = &s}};
    int status[2];
    test_two_party(ot_party_run, &p[0], ot_party_run, &p[1], status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    uint64_t next[2] = {0, 0};
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(1, b[i].offset.w[0] & 1);
        assert_int_equal(b[i].first_send, b[i].first_recv);
        assert_true(b[i].first_send >= next[sender[i]]); /* numbers never repeat */
        next[sender[i]] = b[i].first_send + b[i].count;
        for (size_t k = 0; k < b[i].count; k++) {
            const uint64_t mask = 0 - (uint64_t)sotto_bit(b[i].choices, k);
            assert_true(same(b[i].q[k], sotto_block_xor(b[i].t[k], sotto_block_and(b[i].offset, mask))));
            assert_true(same(b[i].k[k], mask ? b[i].k1[k] : b[i].k0[k]));
            assert_false(same(b[i].k[k], mask ? b[i].k0[k] : b[i].k1[k]));
        }
    }
    sotto_free(b);
}

/* The matrix that travels says nothing about the choices: as many ones as zeros in it, whatever they are. */
typedef struct sniff {
    const uint8_t *choices;
    uint64_t cells[256];
    uint64_t bytes;
} sniff;

static int sniff_act(ot_party *p, sotto_ot *ot, sotto_chan *chan)
{
    sniff *s = p->data;
    static sotto_block t[4096];
    uint64_t first;
    if (p->party == 0) {
        const int status = sotto_ot_recv(ot, chan, s->choices, 4096, t, &first);
        return status;
    }
    uint8_t *wire = sotto_calloc(sotto_ot_wire_bytes(4096), 1);
    assert_non_null(wire);
    const int status = sotto_chan_recv(chan, wire, sotto_ot_wire_bytes(4096));
    for (size_t i = 0; i < sotto_ot_wire_bytes(4096); i++) {
        s->cells[wire[i]]++;
        s->bytes++;
    }
    sotto_free(wire);
    return status;
}

static void test_matrix_is_uniform(void **state)
{
    (void)state;
    static const uint8_t fill[2] = {0x00, 0xff};
    for (size_t k = 0; k < 2; k++) {
        uint8_t choices[512];
        memset(choices, fill[k], sizeof choices);
        sniff s = {.choices = choices};
        ot_party p[2] = {{.party = 0, .seed = test_seed() + k, .act = sniff_act, .data = &s},
                         {.party = 1, .seed = test_seed() + k, .act = sniff_act, .data = &s}};
        int status[2];
        test_two_party(ot_party_run, &p[0], ot_party_run, &p[1], status);
        assert_ok(status[0]);
        assert_ok(status[1]);
        assert_true(test_chi_square(s.cells, 256, s.bytes) < test_chi_square_bound(256));
    }
}

/* ---- chosen OT ---- */

typedef struct chosen {
    size_t count;
    uint8_t choices[128];
    sotto_block m0[1000], m1[1000], out[1000];
} chosen;

static int chosen_act(ot_party *p, sotto_ot *ot, sotto_chan *chan)
{
    chosen *c = p->data;
    return p->party == 0 ? sotto_ot_chosen_recv(ot, chan, c->choices, c->count, c->out) : sotto_ot_chosen_send(ot, chan, c->count, c->m0, c->m1);
}

static void test_chosen(void **state)
{
    (void)state;
    static chosen c;
    const sotto_rng rng = test_rng(test_seed(), 3);
    c.count = 1000;
    assert_ok(sotto_rng_fill(&rng, c.choices, sizeof c.choices));
    assert_ok(sotto_rng_fill(&rng, c.m0, sizeof c.m0));
    assert_ok(sotto_rng_fill(&rng, c.m1, sizeof c.m1));
    ot_party p[2] = {{.party = 0, .seed = 1, .act = chosen_act, .data = &c}, {.party = 1, .seed = 1, .act = chosen_act, .data = &c}};
    int status[2];
    test_two_party(ot_party_run, &p[0], ot_party_run, &p[1], status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    for (size_t i = 0; i < c.count; i++) {
        assert_true(same(c.out[i], sotto_bit(c.choices, i) ? c.m1[i] : c.m0[i]));
    }
}

/* Known answer: transcripts of both parties for a session with base OTs, an extension and chosen OTs, made by this program. */
static void test_transcript_of_session(void **state)
{
    (void)state;
    static const char *const want[2] = {"400690f7415e8516ffea8d1605524f536baa7490504a7853e442b364ee3de5e9", "5a0489fbb33895eb0b2134294143ffbf2818caef866de69274e1b66af5df5f77"};
    static chosen c;
    memset(&c, 0x5a, sizeof c);
    c.count = 300;
    ot_party p[2] = {{.party = 0, .seed = 11, .act = chosen_act, .data = &c}, {.party = 1, .seed = 11, .act = chosen_act, .data = &c}};
    sotto_chan inner[2], outer[2];
    test_transcript t[2];
    char hex[65];
    int status[2];
    test_chan_pair(&inner[0], &inner[1], 0);
    test_chan_transcript(&outer[0], &inner[0], &t[0]);
    test_chan_transcript(&outer[1], &inner[1], &t[1]);
    test_two_party_on(&outer[0], ot_party_run, &p[0], &outer[1], ot_party_run, &p[1], status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    for (int i = 0; i < 2; i++) {
        test_transcript_hex(&t[i], hex);
        assert_string_equal(want[i], hex);
    }
}

/* A peer that closes or sends garbage at operation k, for every k: an error or a wrong result, no crash and no hang. */
static void test_faults(void **state)
{
    (void)state;
    static chosen c;
    c.count = 100;
    for (int faulty = 0; faulty < 2; faulty++) {
        for (test_fault kind = TEST_FAULT_CLOSE; kind <= TEST_FAULT_GARBAGE; kind++) {
            if (kind == TEST_FAULT_STALL) {
                continue; /* the channel's own timeout, tested there and with whole sessions */
            }
            ot_party p[2] = {{.party = 0, .seed = 5, .act = chosen_act, .data = &c}, {.party = 1, .seed = 5, .act = chosen_act, .data = &c}};
            long ops = 1;
            for (long k = -1; k < ops; k += k < 8 ? 1 : 17) {
                test_fault_plan plan = {.kind = k < 0 ? TEST_FAULT_NONE : kind, .k = k, .seed = 1};
                sotto_chan inner[2], outer;
                int status[2];
                test_chan_pair(&inner[0], &inner[1], 2000);
                test_chan_faulty(&outer, &inner[faulty], &plan);
                sotto_chan *ends[2] = {faulty == 0 ? &outer : &inner[0], faulty == 1 ? &outer : &inner[1]};
                test_two_party_on(ends[0], ot_party_run, &p[0], ends[1], ot_party_run, &p[1], status);
                if (k < 0) {
                    assert_ok(status[0]);
                    assert_ok(status[1]);
                    ops = plan.ops;
                } else if (kind == TEST_FAULT_CLOSE) {
                    assert_true(status[0] != SOTTO_OK || status[1] != SOTTO_OK);
                }
            }
        }
    }
}

/* Both halves of a session on a fresh channel; each call moves bytes one way, so one thread can play both. */
typedef struct halves {
    sotto_ot *ot[2];
    sotto_chan chan[2];
} halves;

static int keep_act(sotto_chan *chan, void *ctx)
{
    ot_party *p = ctx;
    const sotto_rng rng = test_rng(p->seed, (uint64_t)p->party);
    return sotto_ot_new((sotto_ot **)p->data, chan, &rng, fixture_salt, p->party);
}

static void halves_new(halves *h, uint64_t seed)
{
    ot_party p[2] = {{.party = 0, .seed = seed, .data = &h->ot[0]}, {.party = 1, .seed = seed, .data = &h->ot[1]}};
    int status[2];
    test_two_party(keep_act, &p[0], keep_act, &p[1], status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    test_chan_pair(&h->chan[0], &h->chan[1], 100);
}

static void halves_free(halves *h)
{
    for (int i = 0; i < 2; i++) {
        sotto_ot_free(h->ot[i]);
        sotto_chan_close(&h->chan[i]);
    }
}

/* Keys do not depend on how a batch is cut, differ from word to word and from direction to direction. */
static void test_keys(void **state)
{
    (void)state;
    enum { N = 300 };
    static sotto_block q[N], t[N], k0[N], k1[N], part0[N], part1[N], k[N], other[N];
    uint8_t choices[(N + 7) / 8];
    uint64_t first[2];
    halves h;
    halves_new(&h, test_seed());
    const sotto_rng rng = test_rng(test_seed(), 4);
    assert_ok(sotto_rng_fill(&rng, choices, sizeof choices));
    assert_ok(sotto_ot_recv(h.ot[0], &h.chan[0], choices, N, t, &first[0]));
    assert_ok(sotto_ot_send(h.ot[1], &h.chan[1], N, q, &first[1]));
    assert_int_equal(first[0], first[1]);
    sotto_ot_keys_send(h.ot[1], first[1], N, 0, q, k0, k1);
    for (size_t at = 0, n = 1; at < N; at += n, n = n * 3 < N - at ? n * 3 : N - at) {
        n = n < N - at ? n : N - at;
        sotto_ot_keys_send(h.ot[1], first[1] + at, n, 0, q + at, part0 + at, part1 + at);
        sotto_ot_keys_recv(h.ot[0], first[0] + at, n, 0, t + at, k + at);
    }
    assert_memory_equal(k0, part0, sizeof k0);
    assert_memory_equal(k1, part1, sizeof k1);
    sotto_ot_keys_send(h.ot[1], first[1], N, 1, q, part0, part1);
    sotto_ot_keys_recv(h.ot[1], first[1], N, 0, q, other); /* the same blocks in the other direction */
    for (size_t i = 0; i < N; i++) {
        assert_true(same(k[i], sotto_bit(choices, i) ? k1[i] : k0[i]));
        assert_false(same(k0[i], part0[i]));
        assert_false(same(k0[i], other[i]));
    }
    halves_free(&h);
}

/* A failed call leaves no blocks behind and its numbers are used up; too many are refused before anything moves. */
static void test_failed_batch(void **state)
{
    (void)state;
    sotto_block q[200], t[200], zero[200] = {{{0, 0}}};
    const uint8_t choices[25] = {0};
    uint64_t first;
    halves h;
    halves_new(&h, 3);
    memset(q, 0x77, sizeof q);
    assert_status(SOTTO_ERR_TIMEOUT, sotto_ot_send(h.ot[0], &h.chan[0], 200, q, &first)); /* nothing was sent */
    assert_memory_equal(zero, q, sizeof q);
    assert_ok(sotto_ot_recv(h.ot[1], &h.chan[1], choices, 200, t, &first));
    assert_ok(sotto_ot_send(h.ot[0], &h.chan[0], 200, q, &first));
    assert_int_equal(256, first);
    sotto_chan_close(&h.chan[0]);
    memset(t, 0x77, sizeof t);
    assert_status(SOTTO_ERR_CLOSED, sotto_ot_recv(h.ot[1], &h.chan[1], choices, 200, t, &first));
    assert_memory_equal(zero, t, sizeof t);
    const uint64_t before = h.chan[1].stats.bytes_out;
    assert_status(SOTTO_ERR_LIMIT, sotto_ot_recv(h.ot[1], &h.chan[1], choices, (size_t)1 << 39, t, &first));
    assert_status(SOTTO_ERR_LIMIT, sotto_ot_send(h.ot[1], &h.chan[1], SIZE_MAX, q, &first));
    assert_int_equal(before, h.chan[1].stats.bytes_out);
    halves_free(&h);
}

static void test_rng_failure(void **state)
{
    (void)state;
    static const long calls[] = {0, 1, 2, 3, 60, 128, 129}; /* the offset, the scalar, 128 of the receiver */
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const long k = calls[i];
        for (int victim = 0; victim < 2; victim++) {
            test_faulty_rng faulty = {.inner = test_rng(1, 1), .k = k};
            const sotto_rng rng = test_faulty_rng_wrap(&faulty);
            ot_party p[2] = {{.party = 0, .seed = 1}, {.party = 1, .seed = 1}};
            int status[2];
            p[victim].rng = &rng;
            test_two_party(ot_party_run, &p[0], ot_party_run, &p[1], status);
            assert_status(SOTTO_ERR_RNG, status[victim]);
            assert_int_not_equal(SOTTO_OK, status[1 - victim]);
        }
    }
}

static void test_memory_failure(void **state)
{
    (void)state;
    sotto_chan c[2];
    sotto_ot *ot = NULL;
    const sotto_rng rng = test_rng(1, 1);
    test_chan_pair(&c[0], &c[1], 100);
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_ot_new(&ot, &c[0], &rng, fixture_salt, 0));
    sotto_calloc_fail_after(-1);
    assert_null(ot);
    sotto_chan_close(&c[0]);
    sotto_chan_close(&c[1]);
    assert_int_equal(SIZE_MAX, sotto_ot_wire_bytes(SIZE_MAX / 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_matrix_is_uniform),
        cmocka_unit_test(test_chosen),
        cmocka_unit_test(test_transcript_of_session),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_failed_batch),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_rng_failure),
        cmocka_unit_test(test_memory_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
