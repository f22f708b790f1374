#include "lib/cpu.h"
#include "tests/ot/fixture.h"

#define COUNT_MAX 5000

static const sotto_ot_kind kinds[] = {SOTTO_OT_IKNP,        SOTTO_OT_SOFTSPOKEN2, SOTTO_OT_SOFTSPOKEN3,
                                      SOTTO_OT_SOFTSPOKEN4, SOTTO_OT_SOFTSPOKEN5, SOTTO_OT_SOFTSPOKEN6,
                                      SOTTO_OT_SOFTSPOKEN7, SOTTO_OT_SOFTSPOKEN8, SOTTO_OT_FERRET};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Runs both halves of a session of this kind. */
static void session(sotto_ot_kind kind, uint64_t seed, int (*act)(ot_party *p, sotto_ot *ot, sotto_chan *chan),
                    void *data)
{
    ot_party p[2] = {{.party = 0, .seed = seed, .kind = kind, .act = act, .data = data},
                     {.party = 1, .seed = seed, .kind = kind, .act = act, .data = data}};
    int status[2];
    test_two_party(ot_party_run, &p[0], ot_party_run, &p[1], status);
    assert_ok(status[0]);
    assert_ok(status[1]);
}

/* What the parties record of one batch in one direction. */
typedef struct batch {
    size_t count;
    uint8_t choices[COUNT_MAX / 8 + 8];
    sotto_block q[COUNT_MAX], t[COUNT_MAX], offset;
    sotto_block k0[COUNT_MAX], k1[COUNT_MAX], k[COUNT_MAX];
    uint64_t first_send, first_recv;
    int random; /* choices are the receiver's own */
} batch;

typedef struct script {
    batch *batches;
    const int *sender; /* of each batch */
    size_t count;
    sotto_ot_kind kind;
} script;

static int act(ot_party *p, sotto_ot *ot, sotto_chan *chan)
{
    const script *s = p->data;
    int status = SOTTO_OK, first[2] = {1, 1};
    for (size_t i = 0; i < s->count && status == SOTTO_OK; i++) {
        batch *b = &s->batches[i];
        const uint64_t before = chan->stats.bytes_out;
        /* Before the first call of a direction with Ferret a stock is made. */
        const int stocks = s->kind == SOTTO_OT_FERRET && b->count > 0 && first[s->sender[i]];
        if (b->count > 0) {
            first[s->sender[i]] = 0;
        }
        if (s->sender[i] == p->party) {
            b->offset = sotto_ot_offset(ot);
            status = b->random ? sotto_ot_send_random(ot, chan, b->count, b->q, &b->first_send)
                               : sotto_ot_send(ot, chan, b->count, b->q, &b->first_send);
            sotto_ot_keys_send(ot, b->first_send, b->count, 3, b->q, b->k0, b->k1);
            assert_int_equal(sotto_ot_answer_bytes(s->kind, b->count) + (stocks ? 59840 : 0), chan->stats.bytes_out - before);
        } else {
            status = b->random ? sotto_ot_recv_random(ot, chan, b->choices, b->count, b->t, &b->first_recv)
                               : sotto_ot_recv(ot, chan, b->choices, b->count, b->t, &b->first_recv);
            if (status == SOTTO_OK) {
                status = sotto_chan_flush(chan);
                assert_int_equal(sotto_ot_wire_bytes(s->kind, b->count, b->random) + (stocks ? 680 : 0), chan->stats.bytes_out - before);
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

static void check_batches(sotto_ot_kind kind)
{
    static const size_t sizes[] = {1, 7, 64, 127, 128, 129, 0, 2047, 2048, 2049, 5000, 3, 300, 4096};
    static const int sender[] = {0, 1, 1, 0, 1, 0, 1, 0, 1, 1, 0, 0, 0, 1};
    enum { N = sizeof sizes / sizeof *sizes };
    const uint64_t seed = test_seed();
    const sotto_rng rng = test_rng(seed, 9);
    batch *b = sotto_calloc(N, sizeof *b);
    assert_non_null(b);
    script s = {b, sender, N, kind};
    uint64_t ones = 0, randoms = 0;
    for (size_t i = 0; i < N; i++) {
        b[i].count = sizes[i];
        b[i].random = i % 3 == 1 || i == 10;
        assert_ok(sotto_rng_fill(&rng, b[i].choices, sizeof b[i].choices));
    }
    session(kind, seed, act, &s);
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
            ones += b[i].random && mask != 0;
            randoms += (uint64_t)b[i].random;
        }
        if (b[i].random && b[i].count % 8 != 0) {
            assert_int_equal(0, b[i].choices[b[i].count / 8] >> b[i].count % 8);
        }
    }
    /* Five standard deviations: one test in two million fails by chance. */
    const double off = (double)ones - (double)randoms / 2;
    assert_true(randoms > 7000 && off * off < 25.0 * (double)randoms / 4);
    sotto_free(b);
}

static void test_batches(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        check_batches(kinds[i]);
    }
}

/* The matrix that travels says nothing about the choices: as many ones as zeros in it, whatever they are. */
typedef struct sniff {
    const uint8_t *choices;
    size_t wire;
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
    uint8_t *wire = sotto_calloc(s->wire, 1);
    assert_non_null(wire);
    const int status = sotto_chan_recv(chan, wire, s->wire);
    for (size_t i = 0; i < s->wire; i++) {
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
    static const sotto_ot_kind some[] = {SOTTO_OT_IKNP, SOTTO_OT_SOFTSPOKEN4, SOTTO_OT_SOFTSPOKEN7};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        for (size_t k = 0; k < 2; k++) {
            uint8_t choices[512];
            memset(choices, fill[k], sizeof choices);
            sniff s = {.choices = choices, .wire = sotto_ot_wire_bytes(some[i], 4096, 0)};
            session(some[i], test_seed() + k, sniff_act, &s);
            assert_true(test_chi_square(s.cells, 256, s.bytes) < test_chi_square_bound(256));
        }
    }
}

/* ---- chosen OT ---- */

#define CHOSEN_MAX 5000

typedef struct chosen {
    size_t count;
    uint8_t choices[(CHOSEN_MAX + 7) / 8];
    sotto_block m0[CHOSEN_MAX], m1[CHOSEN_MAX], out[CHOSEN_MAX];
} chosen;

static int chosen_act(ot_party *p, sotto_ot *ot, sotto_chan *chan)
{
    chosen *c = p->data;
    return p->party == 0 ? sotto_ot_chosen_recv(ot, chan, c->choices, c->count, c->out)
                         : sotto_ot_chosen_send(ot, chan, c->count, c->m0, c->m1);
}

static void test_chosen(void **state)
{
    (void)state;
    static chosen c;
    const sotto_rng rng = test_rng(test_seed(), 3);
    for (size_t k = 0; k < KINDS; k++) {
        c.count = k % 2 ? 1000 : CHOSEN_MAX;
        assert_ok(sotto_rng_fill(&rng, c.choices, sizeof c.choices));
        assert_ok(sotto_rng_fill(&rng, c.m0, sizeof c.m0));
        assert_ok(sotto_rng_fill(&rng, c.m1, sizeof c.m1));
        session(kinds[k], 1, chosen_act, &c);
        for (size_t i = 0; i < c.count; i++) {
            assert_true(same(c.out[i], sotto_bit(c.choices, i) ? c.m1[i] : c.m0[i]));
        }
    }
}

/* Known answer: transcripts of both parties for a session with base OTs, an extension and chosen OTs, made by this
 * program; on every kernel, so that parties with different processors understand each other. Version 2: base OTs have
 * another second direction. */
static void test_transcript_of_session(void **state)
{
    (void)state;
    static const struct {
        sotto_ot_kind kind;
        const char *want[2];
    } known[] = {
        {SOTTO_OT_IKNP,
         {"9117acde6cc5960655b8b0483801361e1b77650646554bdd90ef66e0a2e2a89d",
          "d9f18d6af9e32b5e2220a37976aac64e12a1da05edcd2e6ca996d68a03522ae9"}},
        {SOTTO_OT_SOFTSPOKEN3,
         {"9c483532778a24706b8ddeafa0706044f7ec05e6224235c088db46f86f7ed0ba",
          "17bafe81b18cf8b57651d1cd65e21520b3e9ae5540a4f13ae84e0f9977b53dd4"}},
        {SOTTO_OT_SOFTSPOKEN4,
         {"3b10f0b8072dcc4dd20516c075ecfce8d2df26896c5c2ca27615ffd72bf5513c",
          "67afa5ab8c41e873b109a6a253bfcf2cf7e65c85dcd0c22fbffa1f91c80c0d35"}},
        {SOTTO_OT_FERRET,
         {"b0ab44a8cb3e49348e2f5621328a030e4d8dbbe2216c4a3133c6503b08045ae9",
          "8e75657c1f8fe76fa33eeec66265f671a22f29aee98ff1b2a1403b48c6558502"}},
    };
    static chosen c;
    const sotto_tier best = sotto_cpu_tier();
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        for (int tier = SOTTO_TIER_PORTABLE; tier <= (int)best; tier++) {
            memset(&c, 0x5a, sizeof c);
            c.count = 300;
            sotto_cpu_force_tier((sotto_tier)tier);
            ot_party p[2] = {{.party = 0, .seed = 11, .kind = known[k].kind, .act = chosen_act, .data = &c},
                             {.party = 1, .seed = 11, .kind = known[k].kind, .act = chosen_act, .data = &c}};
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
                assert_string_equal(known[k].want[i], hex);
            }
        }
    }
    sotto_cpu_force_tier(SOTTO_TIER_IFMA);
}

/* A peer that closes or sends garbage at operation k, for every k: an error or a wrong result, no crash and no hang. */
static void check_faults(sotto_ot_kind extension, test_fault kind, int faulty)
{
    static chosen c;
    c.count = 100;
    ot_party p[2] = {{.party = 0, .seed = 5, .kind = extension, .act = chosen_act, .data = &c},
                     {.party = 1, .seed = 5, .kind = extension, .act = chosen_act, .data = &c}};
    long ops = 1;
    /* The base OTs, 17 operations, are the same for all. */
    const long from = extension == SOTTO_OT_IKNP ? 0 : 16;
    for (long k = -1; k < ops; k = k < 0 ? from : k + 1) {
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

static void test_faults(void **state)
{
    (void)state;
    static const sotto_ot_kind some[] = {SOTTO_OT_IKNP, SOTTO_OT_SOFTSPOKEN4, SOTTO_OT_FERRET};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        for (int faulty = 0; faulty < 2; faulty++) {
            check_faults(some[i], TEST_FAULT_CLOSE, faulty);
            check_faults(some[i], TEST_FAULT_FLIP, faulty);
            /* a stall is the channel's own timeout, tested there and with whole sessions */
            check_faults(some[i], TEST_FAULT_GARBAGE, faulty);
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
    return sotto_ot_new((sotto_ot **)p->data, chan, &rng, fixture_salt, p->party,
                        p->kind == 0 ? SOTTO_OT_IKNP : p->kind);
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

/* Keys in one go are those of two calls. */
typedef struct keyed {
    size_t count;
    int at_once;
    uint8_t *choices;
    sotto_block *k0, *k1, *k;
    uint64_t first[2];
} keyed;

static int keyed_act(ot_party *p, sotto_ot *ot, sotto_chan *chan)
{
    keyed *c = p->data;
    int status;
    if (p->party == 0 && c->at_once) {
        return sotto_ot_recv_keys(ot, chan, c->choices, c->count, c->k, &c->first[0]);
    }
    if (c->at_once) {
        return sotto_ot_send_keys(ot, chan, c->count, c->k0, c->k1, &c->first[1]);
    }
    if (p->party == 0) {
        status = sotto_ot_recv(ot, chan, c->choices, c->count, c->k, &c->first[0]);
        sotto_ot_keys_recv(ot, c->first[0], c->count, 0, c->k, c->k);
    } else {
        status = sotto_ot_send(ot, chan, c->count, c->k0, &c->first[1]);
        sotto_ot_keys_send(ot, c->first[1], c->count, 0, c->k0, c->k0, c->k1);
    }
    return status;
}

static void test_keys_at_once(void **state)
{
    (void)state;
    static const sotto_ot_kind some[] = {SOTTO_OT_IKNP, SOTTO_OT_SOFTSPOKEN4, SOTTO_OT_FERRET};
    static const size_t counts[] = {1, 3000, 70000}; /* above and below what is hashed at once */
    enum { MAX = 70000 };
    const uint64_t seed = test_seed();
    const sotto_rng rng = test_rng(seed, 5);
    keyed c[2];
    uint8_t *choices = sotto_calloc(MAX / 8, 1);
    assert_non_null(choices);
    assert_ok(sotto_rng_fill(&rng, choices, MAX / 8));
    for (int i = 0; i < 2; i++) {
        c[i].at_once = i;
        c[i].choices = choices;
        c[i].k0 = sotto_calloc(MAX, 3 * sizeof *c[i].k0);
        assert_non_null(c[i].k0);
        c[i].k1 = c[i].k0 + MAX;
        c[i].k = c[i].k1 + MAX;
    }
    for (size_t s = 0; s < sizeof some / sizeof *some; s++) {
        for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
            for (int i = 0; i < 2; i++) {
                c[i].count = counts[n];
                session(some[s], seed, keyed_act, &c[i]);
            }
            for (int i = 0; i < 2; i++) {
                assert_int_equal(c[0].first[i], c[1].first[i]);
            }
            assert_memory_equal(c[0].k0, c[1].k0, MAX * 3 * sizeof *c[0].k0);
            for (size_t i = 0; i < counts[n]; i++) {
                assert_true(same(c[1].k[i], sotto_bit(choices, i) ? c[1].k1[i] : c[1].k0[i]));
            }
        }
    }
    sotto_free(c[0].k0);
    sotto_free(c[1].k0);
    sotto_free(choices);
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
    memset(t, 0x77, sizeof t);
    assert_status(SOTTO_ERR_CLOSED, sotto_ot_recv_keys(h.ot[1], &h.chan[1], choices, 200, t, &first));
    assert_memory_equal(zero, t, sizeof t);
    memset(t, 0x77, sizeof t);
    memset(q, 0x77, sizeof q);
    assert_status(SOTTO_ERR_CLOSED, sotto_ot_send_keys(h.ot[1], &h.chan[1], 200, q, t, &first));
    assert_memory_equal(zero, q, sizeof q);
    assert_memory_equal(zero, t, sizeof t);
    const uint64_t before = h.chan[1].stats.bytes_out;
    assert_status(SOTTO_ERR_LIMIT, sotto_ot_recv_keys(h.ot[1], &h.chan[1], choices, (size_t)1 << 39, t, &first));
    assert_status(SOTTO_ERR_LIMIT, sotto_ot_recv(h.ot[1], &h.chan[1], choices, (size_t)1 << 39, t, &first));
    assert_status(SOTTO_ERR_LIMIT, sotto_ot_send(h.ot[1], &h.chan[1], SIZE_MAX, q, &first));
    assert_int_equal(before, h.chan[1].stats.bytes_out);
    halves_free(&h);
}

/* Party 0 draws offset, scalar, coins; party 1 offset, 128 scalars, coins. */
static void test_rng_failure(void **state)
{
    (void)state;
    static const struct {
        int victim;
        long k;
    } cases[] = {{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}, {1, 60}, {1, 128}, {1, 129}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int victim = cases[i].victim;
        test_faulty_rng faulty = {.inner = test_rng(1, 1), .k = cases[i].k};
        const sotto_rng rng = test_faulty_rng_wrap(&faulty);
        ot_party p[2] = {{.party = 0, .seed = 1, .kind = SOTTO_OT_SOFTSPOKEN2},
                         {.party = 1, .seed = 1, .kind = SOTTO_OT_SOFTSPOKEN2}};
        int status[2];
        p[victim].rng = &rng;
        test_two_party(ot_party_run, &p[0], ot_party_run, &p[1], status);
        assert_status(SOTTO_ERR_RNG, status[victim]);
        assert_int_not_equal(SOTTO_OK, status[1 - victim]);
    }
}

/* Allocation n of the process fails, for every n: one party says so, the other notices. */
static void test_memory_failure(void **state)
{
    (void)state;
    static const sotto_ot_kind some[] = {SOTTO_OT_IKNP, SOTTO_OT_SOFTSPOKEN8, SOTTO_OT_FERRET};
    static chosen c;
    c.count = 100;
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        int status[2] = {SOTTO_ERR_MEMORY, SOTTO_ERR_MEMORY};
        for (long n = 0; status[0] != SOTTO_OK || status[1] != SOTTO_OK; n++) {
            ot_party p[2] = {{.party = 0, .seed = 1, .kind = some[i], .act = chosen_act, .data = &c},
                             {.party = 1, .seed = 1, .kind = some[i], .act = chosen_act, .data = &c}};
            sotto_chan inner[2];
            test_chan_pair(&inner[0], &inner[1], 2000);
            sotto_calloc_fail_after(n);
            test_two_party_on(&inner[0], ot_party_run, &p[0], &inner[1], ot_party_run, &p[1], status);
            sotto_calloc_fail_after(-1);
            assert_true(status[0] == SOTTO_OK || status[1] == SOTTO_OK || status[0] == SOTTO_ERR_MEMORY ||
                        status[1] == SOTTO_ERR_MEMORY);
            assert_true(n < 100);
        }
    }
}

static void test_refusals(void **state)
{
    (void)state;
    sotto_chan c[2];
    sotto_ot *ot = NULL;
    const sotto_rng rng = test_rng(1, 1);
    test_chan_pair(&c[0], &c[1], 100);
    assert_status(SOTTO_ERR_ARG, sotto_ot_new(&ot, &c[0], &rng, fixture_salt, 0, (sotto_ot_kind)0));
    assert_status(SOTTO_ERR_ARG, sotto_ot_new(&ot, &c[0], &rng, fixture_salt, 0, (sotto_ot_kind)9));
    assert_null(ot);
    assert_int_equal(0, c[0].stats.bytes_out);
    sotto_chan_close(&c[0]);
    sotto_chan_close(&c[1]);
    assert_int_equal(SIZE_MAX, sotto_ot_wire_bytes(SOTTO_OT_IKNP, SIZE_MAX / 8, 1));
    assert_string_equal("iknp", sotto_ot_kind_name(SOTTO_OT_IKNP));
    assert_string_equal("softspoken8", sotto_ot_kind_name(SOTTO_OT_SOFTSPOKEN8));
    assert_string_equal("ferret", sotto_ot_kind_name(SOTTO_OT_FERRET));
    assert_string_equal("unknown", sotto_ot_kind_name((sotto_ot_kind)9));
    /* bytes of a million OTs: k bits cost one column, the last piece may be shorter */
    static const size_t columns[] = {0, 128, 64, 43, 32, 26, 22, 19, 16};
    for (unsigned k = 1; k <= 8; k++) {
        /* a multiple of 128 */
        assert_int_equal(columns[k] * (1000064 / 8), sotto_ot_wire_bytes((sotto_ot_kind)k, 1000000, k & 1));
        assert_int_equal(0, sotto_ot_answer_bytes((sotto_ot_kind)k, 1000000));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches),      cmocka_unit_test(test_matrix_is_uniform),
        cmocka_unit_test(test_chosen),       cmocka_unit_test(test_transcript_of_session),
        cmocka_unit_test(test_keys),         cmocka_unit_test(test_keys_at_once),
        cmocka_unit_test(test_failed_batch), cmocka_unit_test(test_faults),
        cmocka_unit_test(test_rng_failure),  cmocka_unit_test(test_memory_failure),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
