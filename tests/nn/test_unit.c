/* Units over real OTs with all providers: results against the reference for all shares of a small ring, for each kind of unit and for mixtures, sizes as planned, what each
 * side receives is uniform; tiles, kinds of OT, a transcript as known answer on every tier, faults. */
#include <stdio.h>

#include "nn/secure/unit.h"

#include <stdlib.h>

#include "lib/cpu.h"
#include "lib/ct.h"
#include "tests/ot/fixture.h"

#define COUNT_MAX 140000
#define VIEW_COUNT 4096

typedef struct unit_ctx {
    sotto_step_info step;
    sotto_sign_provider sign;
    sotto_ot_kind ot; /* 0: IKNP */
    sotto_unit_plan plan;
    uint64_t a[COUNT_MAX], c[COUNT_MAX], r[COUNT_MAX], e[COUNT_MAX];
    /* what was received: choice by the server, then the offer by the client and the reply by the server */
    uint8_t *choice, *offer, *reply;
    const int64_t *bound; /* clip */
    int in_files;         /* the client's tables */
    long calloc_fails; /* the allocation that fails, counted over both parties from the end of the OT set-up on, plus 1; 0: none */
} unit_ctx;

/* Buffers here are not from sotto_calloc, which a test makes fail. */
static int client(unit_ctx *u, sotto_ot *ot, sotto_chan *chan)
{
    sotto_unit_client *unit = NULL;
    const sotto_unit_plan *p = &u->plan;
    uint8_t *choice = calloc(p->bytes.choice + 1, 1);
    uint8_t *offer = calloc(p->bytes.offer + 1, 1), *reply = calloc(p->bytes.reply + 1, 1);
    int status = fixture_stock(ot, chan, p->client_sums, p->server_sums);
    const uint64_t before = chan->stats.bytes_out;
    status = status == SOTTO_OK ? sotto_unit_client_new(&unit, p, ot, chan) : status;
    if (status == SOTTO_OK) {
        status = chan->stats.bytes_out - before == p->bytes.matrix ? sotto_unit_client_choose(unit, ot, chan, u->c, choice) : SOTTO_ERR_ARG;
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_send(chan, choice, p->bytes.choice);
    }
    if (status == SOTTO_OK) {
        size_t room = u->in_files ? 0 : SIZE_MAX;
        status = sotto_unit_client_take(unit, chan, &room);
    }
    if (status == SOTTO_OK && p->bytes.offer > 0) {
        status = sotto_chan_recv(chan, offer, p->bytes.offer);
        memcpy(u->offer, offer, p->bytes.offer);
    }
    if (status == SOTTO_OK) {
        status = sotto_unit_client_reply(unit, reply, offer, u->r);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_send(chan, reply, p->bytes.reply);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_flush(chan);
    }
    sotto_unit_client_free(unit);
    free(choice);
    free(offer);
    free(reply);
    return status;
}

static int server(unit_ctx *u, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng)
{
    sotto_unit_server *unit = NULL;
    const sotto_unit_plan *p = &u->plan;
    uint8_t *offer = calloc(p->bytes.offer + 1, 1);
    int status = fixture_stock(ot, chan, p->client_sums, p->server_sums);
    status = status == SOTTO_OK ? sotto_unit_server_new(&unit, p, ot, chan, rng, u->bound) : status;
    const uint64_t before = chan->stats.bytes_out;
    if (status == SOTTO_OK) {
        status = sotto_unit_server_correct(unit, ot, chan);
    }
    if (status == SOTTO_OK) {
        status = chan->stats.bytes_out - before == p->bytes.correction ? sotto_chan_recv(chan, u->choice, p->bytes.choice) : SOTTO_ERR_ARG;
    }
    if (status == SOTTO_OK) {
        const uint64_t sent = chan->stats.bytes_out;
        status = sotto_unit_server_ready(unit, ot, chan, u->choice);
        status = status == SOTTO_OK && chan->stats.bytes_out - sent != p->bytes.table ? SOTTO_ERR_ARG : status;
    }
    if (status == SOTTO_OK) {
        status = sotto_unit_server_offer(unit, offer, u->a);
        if (status == SOTTO_OK) {
            assert_status(SOTTO_ERR_USED, sotto_unit_server_offer(unit, offer, u->a));
        }
    }
    if (status == SOTTO_OK && p->bytes.offer > 0) {
        status = sotto_chan_send(chan, offer, p->bytes.offer);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_recv(chan, u->reply, p->bytes.reply);
    }
    if (status == SOTTO_OK) {
        status = sotto_unit_server_finish(unit, u->e, u->reply);
    }
    sotto_unit_server_free(unit);
    free(offer);
    return status;
}

static int act(ot_party *p, sotto_ot *ot, sotto_chan *chan)
{
    const sotto_rng rng = test_rng(p->seed, 10 + (uint64_t)p->party);
    const unit_ctx *u = p->data;
    if (p->party == 0 && u->calloc_fails > 0) {
        sotto_calloc_fail_after(u->calloc_fails - 1);
    }
    return p->party == 0 ? client(p->data, ot, chan) : server(p->data, ot, chan, &rng);
}

/* Over channels of the caller; NULL: a fresh pair. */
static void run_on(unit_ctx *u, uint64_t seed, sotto_chan *ends[2], int status[2])
{
    if (u->ot == 0) {
        u->ot = SOTTO_OT_IKNP;
    }
    assert_ok(sotto_unit_plan_new(&u->plan, &u->step, u->sign, u->ot));
    u->choice = sotto_calloc(u->plan.bytes.choice, 1);
    u->offer = sotto_calloc(u->plan.bytes.offer, 1);
    u->reply = sotto_calloc(u->plan.bytes.reply, 1);
    assert_true(u->choice != NULL && u->offer != NULL && u->reply != NULL);
    ot_party p[2] = {{.party = 0, .seed = seed, .kind = u->ot, .act = act, .data = u}, {.party = 1, .seed = seed, .kind = u->ot, .act = act, .data = u}};
    if (ends == NULL) {
        test_two_party(ot_party_run, &p[0], ot_party_run, &p[1], status);
    } else {
        test_two_party_on(ends[0], ot_party_run, &p[0], ends[1], ot_party_run, &p[1], status);
    }
}

static void run(unit_ctx *u, uint64_t seed)
{
    int status[2];
    run_on(u, seed, NULL, status);
    assert_ok(status[0]);
    assert_ok(status[1]);
}

static void done(unit_ctx *u)
{
    sotto_free(u->choice);
    sotto_free(u->offer);
    sotto_free(u->reply);
    sotto_unit_plan_free(&u->plan);
}

static int decide(const sotto_step_info *s, size_t decision, uint64_t y, uint64_t c)
{
    const unsigned bits = s->patch_bits == NULL ? 0 : s->patch_bits[decision], lift = s->lift == NULL ? 0 : s->lift[decision];
    const sotto_sign_window w = {s->sign_window.k + bits, s->sign_window.j + bits};
    return (int)sotto_sign_reference(w, y << lift, c << lift);
}

/* The references of step.h, put together as program.h says. */
static void reference(const unit_ctx *u, uint64_t *want)
{
    const sotto_step_info *s = &u->step;
    const sotto_truncation t = s->truncation;
    static uint64_t y[COUNT_MAX], sum[COUNT_MAX], share[COUNT_MAX];
    memset(sum, 0, sizeof sum);
    memset(share, 0, sizeof share);
    for (size_t i = 0; i < s->units; i++) {
        y[i] = sotto_low_bits(u->a[i] + u->c[i], t.l);
        want[i] = sotto_truncate_reference(t, y[i], u->c[i]);
        if (s->decision != NULL && s->decision[i] < SOTTO_DECISION_ZERO) {
            sum[s->decision[i]] += y[i];
            share[s->decision[i]] += u->c[i];
        }
    }
    for (size_t i = 0; i < s->units; i++) {
        if (s->clip) {
            const uint64_t most = (uint64_t)u->bound[i / ((size_t)s->shape.h * s->shape.w)];
            const int b = decide(s, i, y[i], u->c[i]), b2 = decide(s, i, y[i] - most, u->c[i]);
            want[i] = (b != b2 ? want[i] : 0) + (b2 ? most >> t.f : 0);
        } else if (s->decision != NULL) {
            const uint32_t d = s->decision[i];
            want[i] *= d == SOTTO_DECISION_PASS || (d != SOTTO_DECISION_ZERO && decide(s, d, sum[d], share[d]));
        } else if (s->sign) {
            want[i] *= (uint64_t)decide(s, i, y[i], u->c[i]);
        }
        want[i] = sotto_low_bits(want[i], t.l_next);
    }
}

static void check(const unit_ctx *u)
{
    static uint64_t want[COUNT_MAX];
    const sotto_truncation t = u->step.truncation;
    reference(u, want);
    for (size_t i = 0; i < u->step.units; i++) {
        const uint64_t got = sotto_low_bits(u->e[i] + u->r[i], t.l_next);
        if (got != want[i]) {
            fail_msg("unit %zu: y %llu c %llu gives %llu, reference %llu", i, (unsigned long long)sotto_low_bits(u->a[i] + u->c[i], t.l),
                     (unsigned long long)u->c[i], (unsigned long long)got, (unsigned long long)want[i]);
        }
    }
}

/* All values within range, all shares, of a ring of 6 bits; every relation of the rings; relu and identity. */
static void test_all_shares(void **state)
{
    (void)state;
    static unit_ctx u;
    static const unsigned l_next[] = {2, 4, 5, 6, 9};
    const sotto_rng rng = test_rng(test_seed(), 0);
    for (size_t k = 0; k < sizeof l_next / sizeof *l_next; k++) {
        for (unsigned kind = 0; kind <= SOTTO_SIGN_PROVIDERS; kind++) { /* identity, relu by each provider */
            memset(&u, 0, sizeof u);
            u.sign = (sotto_sign_provider)(kind == 0 ? 0 : kind - 1);
            u.step = (sotto_step_info){.op = SOTTO_STEP_UNIT, .truncation = {6, 2, l_next[k]}, .sign = kind > 0, .sign_window = {5, 2}};
            for (int64_t y = -16; y <= 12; y++) { /* -2^(l-2) .. 2^(l-2) - 2^f */
                for (uint64_t c = 0; c < 64; c++) {
                    const size_t i = u.step.units++;
                    u.c[i] = c;
                    u.a[i] = sotto_low_bits((uint64_t)y - c, 6);
                    u.r[i] = test_below(&rng, UINT64_C(1) << l_next[k]);
                }
            }
            run(&u, test_seed() + 10 * k + kind);
            check(&u);
            done(&u);
        }
    }
}

/* Clip: all values, all shares, all bounds; the reference itself is a clipped value outside half a step. */
static void test_clip_of_all_shares(void **state)
{
    (void)state;
    static unit_ctx u;
    static const unsigned l_next[] = {2, 4, 5, 6, 9};
    static const int64_t bound[] = {4, 8, 12};
    const sotto_rng rng = test_rng(test_seed(), 30);
    for (size_t k = 0; k < sizeof l_next / sizeof *l_next; k++) {
        for (unsigned sign = 0; sign < SOTTO_SIGN_PROVIDERS; sign++) {
            memset(&u, 0, sizeof u);
            u.sign = (sotto_sign_provider)sign;
            u.bound = bound;
            u.step = (sotto_step_info){.op = SOTTO_STEP_UNIT, .truncation = {6, 2, l_next[k]}, .sign = 1, .clip = 1, .sign_window = {5, 2},
                                       .shape = {3, 29, 64}};
            for (size_t channel = 0; channel < 3; channel++) {
                for (int64_t y = -16; y <= 12; y++) {
                    for (uint64_t c = 0; c < 64; c++) {
                        const size_t i = u.step.units++;
                        u.c[i] = c;
                        u.a[i] = sotto_low_bits((uint64_t)y - c, 6);
                        u.r[i] = test_below(&rng, UINT64_C(1) << l_next[k]);
                        const uint64_t most = (uint64_t)bound[channel];
                        const int b = decide(&u.step, 0, (uint64_t)y, c), b2 = decide(&u.step, 0, (uint64_t)y - most, c);
                        if (y >= -16 + 2 + bound[channel]) { /* both decisions within their window */
                            assert_true(y >= -2 || (!b && !b2));
                            assert_true(y < 2 || y >= bound[channel] - 2 || (b && !b2));
                            assert_true(y < bound[channel] + 2 || (b && b2));
                            assert_true(!b2 || b);
                        }
                    }
                }
            }
            run(&u, test_seed() + 10 * k + sign);
            check(&u);
            done(&u);
        }
    }
}

/* Patches of two pixels: all values and shares of both. */
static void test_pairs_of_all_shares(void **state)
{
    (void)state;
    static unit_ctx u;
    static uint32_t decision[COUNT_MAX];
    static uint8_t patch_bits[COUNT_MAX];
    const sotto_rng rng = test_rng(test_seed(), 31);
    for (unsigned kind = 0; kind < 2 * SOTTO_SIGN_PROVIDERS; kind++) {
        const unsigned l_next = kind & 1 ? 6 : 3;
        memset(&u, 0, sizeof u);
        u.sign = (sotto_sign_provider)(kind / 2);
        u.step = (sotto_step_info){.op = SOTTO_STEP_UNIT, .truncation = {5, 1, l_next}, .sign = 1, .sign_window = {3, 0}, .decision = decision,
                                   .patch_bits = patch_bits};
        for (unsigned all = 0; all < 1 << 16; all++) {
            const size_t i = u.step.units;
            const unsigned d = all;
            const uint64_t y[2] = {(uint64_t)(all & 7) - 4, (uint64_t)(all >> 3 & 7) - 4}, c[2] = {all >> 6 & 31, all >> 11};
            for (unsigned k = 0; k < 2; k++) {
                u.c[i + k] = c[k];
                u.a[i + k] = sotto_low_bits(y[k] - c[k], 5);
                u.r[i + k] = test_below(&rng, UINT64_C(1) << l_next);
                decision[i + k] = d;
            }
            patch_bits[d] = 1;
            u.step.units += 2;
            u.step.decisions++;
        }
        u.step.words = u.step.units;
        run(&u, test_seed() + kind);
        assert_int_equal(1, u.plan.section_count);
        check(&u);
        done(&u);
    }
}

/* ---- mixed layers ---------------------------------------------------------------------------------------------------- */

/* Rounds of the map of a layer: what share of its values are of which kind, of 16; the rest are relus of one pixel. */
typedef struct mixture {
    unsigned pass, zero, patches;
} mixture;

static uint32_t mixed_decision[COUNT_MAX];
static uint8_t mixed_bits[COUNT_MAX];

/* Scatters patches of up to `most` pixels, which need not be neighbours here, over `words` values of random shares. */
static void mix(unit_ctx *u, mixture kinds, size_t words, unsigned most, const sotto_rng *rng)
{
    sotto_step_info *s = &u->step;
    size_t open = 0, left = 0; /* the patch that takes pixels at present, and how many more */
    s->units = s->words = words;
    s->decisions = 0;
    for (size_t i = 0; i < words; i++) {
        const unsigned kind = (unsigned)test_below(rng, 16);
        if (kind < kinds.pass) {
            mixed_decision[i] = SOTTO_DECISION_PASS;
        } else if (kind < kinds.pass + kinds.zero) {
            mixed_decision[i] = SOTTO_DECISION_ZERO;
            u->r[i] = 0;
        } else if (kind < kinds.pass + kinds.zero + kinds.patches) {
            if (left == 0) {
                open = s->decisions++;
                mixed_bits[open] = 0;
                left = 1 + test_below(rng, most);
            }
            mixed_decision[i] = (uint32_t)open;
            left--;
        } else {
            mixed_bits[s->decisions] = 0;
            mixed_decision[i] = (uint32_t)s->decisions++;
        }
    }
    for (size_t d = 0; d < s->decisions; d++) {
        size_t pixels = 0;
        for (size_t i = 0; i < words; i++) {
            pixels += mixed_decision[i] == d;
        }
        while ((size_t)1 << mixed_bits[d] < pixels) {
            mixed_bits[d]++;
        }
    }
    s->sign = s->decisions > 0;
    s->decision = mixed_decision;
    s->patch_bits = mixed_bits;
}

static void test_mixtures(void **state)
{
    (void)state;
    static unit_ctx u;
    static const mixture kinds[] = {{4, 2, 6}, {14, 0, 0}, {0, 0, 16}, {0, 12, 0}, {16, 0, 0}, {8, 8, 0}, {0, 16, 0}, {5, 5, 3}};
    const sotto_rng rng = test_rng(test_seed(), 32);
    for (unsigned round = 0; round < 4 * sizeof kinds / sizeof *kinds; round++) {
        memset(&u, 0, sizeof u);
        const unsigned l = 14 + (unsigned)test_below(&rng, 20), f = (unsigned)test_below(&rng, 8), l_next = 2 + (unsigned)test_below(&rng, 40);
        u.sign = (sotto_sign_provider)(round / 3 % SOTTO_SIGN_PROVIDERS);
        u.ot = round % 3 == 0 ? SOTTO_OT_SOFTSPOKEN4 : SOTTO_OT_IKNP;
        u.step = (sotto_step_info){.op = SOTTO_STEP_UNIT, .truncation = {l, f, l_next}, .sign_window = {l - 5, l - 10}};
        const size_t words = round < 8 ? 5000 : 1 + test_below(&rng, 400);
        for (size_t i = 0; i < words; i++) {
            u.c[i] = sotto_low_bits(test_u64(&rng), l);
            u.a[i] = sotto_low_bits(test_below(&rng, UINT64_C(1) << (l - 5)) - (UINT64_C(1) << (l - 6)) - u.c[i], l);
            u.r[i] = sotto_low_bits(test_u64(&rng), l_next);
        }
        mix(&u, kinds[round % (sizeof kinds / sizeof *kinds)], words, round < 8 ? 5 : 32, &rng);
        run(&u, test_seed() + round);
        check(&u);
        done(&u);
    }
}

/* ---- windows of their own -------------------------------------------------------------------------------------------- */

static uint8_t lifts[COUNT_MAX];

/* Every shift below k, of all values and shares of a ring of 6 bits. */
static void test_lifts_of_all_shares(void **state)
{
    (void)state;
    static unit_ctx u;
    const sotto_rng rng = test_rng(test_seed(), 60);
    for (unsigned sign = 0; sign < SOTTO_SIGN_PROVIDERS; sign++) {
        memset(&u, 0, sizeof u);
        u.sign = (sotto_sign_provider)sign;
        u.step = (sotto_step_info){.op = SOTTO_STEP_UNIT, .truncation = {6, 2, 6}, .sign = 1, .sign_window = {5, 2}, .lift = lifts};
        for (unsigned lift = 0; lift < 5; lift++) {
            for (int64_t y = -16; y <= 12; y++) {
                for (uint64_t c = 0; c < 64; c++) {
                    const size_t i = u.step.units++;
                    lifts[i] = (uint8_t)lift;
                    u.c[i] = c;
                    u.a[i] = sotto_low_bits((uint64_t)y - c, 6);
                    u.r[i] = test_below(&rng, 64);
                }
            }
        }
        run(&u, test_seed() + sign);
        check(&u);
        for (size_t i = 0; i < u.step.units; i++) { /* and where a shift leaves no low bits and the value stays within its window, the decision is that of the value */
            const int64_t y = (int64_t)((u.a[i] + u.c[i]) << 58) >> 58, end = 16 >> lifts[i];
            if (lifts[i] >= 2 && y >= -end && y < end) {
                assert_int_equal(sotto_low_bits(u.e[i] + u.r[i], 6), y < 0 ? 0 : sotto_truncate_reference(u.step.truncation, (uint64_t)y, u.c[i]));
            }
        }
        done(&u);
    }
}

/* All kinds of sections, each decision with a shift of its own: relu, a stage of a maximum, clip, patches, masks; over several tiles. */
static void test_lifts(void **state)
{
    (void)state;
    enum { KINDS = 5, L = 22 };
    static unit_ctx u;
    static const int64_t bound[] = {100, 7000, 65535};
    static const mixture kinds[] = {{4, 2, 6}, {8, 0, 0}};
    const sotto_rng rng = test_rng(test_seed(), 61);
    for (unsigned round = 0; round < KINDS * SOTTO_SIGN_PROVIDERS; round++) {
        const unsigned kind = round % KINDS;
        const size_t words = 3 * (700 + test_below(&rng, 100));
        memset(&u, 0, sizeof u);
        u.sign = (sotto_sign_provider)(round / KINDS);
        u.ot = round % 2 == 0 ? SOTTO_OT_SOFTSPOKEN4 : SOTTO_OT_IKNP;
        u.bound = kind == 2 ? bound : NULL;
        u.step = (sotto_step_info){.op = kind == 1 ? SOTTO_STEP_MAX : SOTTO_STEP_UNIT, .truncation = {L, kind == 1 ? 0 : 5, kind == 1 ? L : 14 + round}, .sign = 1, .clip = kind == 2,
                                   .units = words, .words = words, .decisions = words, .shape = {3, 1, (uint32_t)(words / 3)}, .sign_window = {17, 11}, .lift = lifts};
        for (size_t i = 0; i < words; i++) {
            lifts[i] = (uint8_t)test_below(&rng, 16);
            u.c[i] = sotto_low_bits(test_u64(&rng), L);
            u.a[i] = sotto_low_bits(test_below(&rng, UINT64_C(1) << 17) - (UINT64_C(1) << 16) - u.c[i], L);
            u.r[i] = sotto_low_bits(test_u64(&rng), u.step.truncation.l_next);
        }
        if (kind >= 3) {
            mix(&u, kinds[kind - 3], words, 9, &rng);
        }
        run(&u, test_seed() + round);
        check(&u);
        done(&u);
    }
}

/* The plan of lifts has nothing left when memory fails. */
static void test_lifts_without_memory(void **state)
{
    (void)state;
    static unit_ctx u;
    const sotto_rng rng = test_rng(test_seed(), 62);
    for (unsigned kind = 0; kind < 2; kind++) {
        memset(&u, 0, sizeof u);
        u.step = (sotto_step_info){.op = SOTTO_STEP_UNIT, .truncation = {22, 5, 14}, .sign = 1, .units = 90, .words = 90, .sign_window = {17, 11}, .lift = lifts};
        if (kind == 1) {
            mix(&u, (mixture){4, 2, 6}, 90, 5, &rng);
        }
        long k = 0;
        for (int status = SOTTO_ERR_MEMORY; status != SOTTO_OK; k++) {
            sotto_calloc_fail_after(k);
            status = sotto_unit_plan_new(&u.plan, &u.step, SOTTO_SIGN_LOOKUP, SOTTO_OT_IKNP);
            sotto_calloc_fail_after(-1);
            if (status != SOTTO_OK) {
                assert_int_equal(status, SOTTO_ERR_MEMORY);
                assert_true(u.plan.sections == NULL && u.plan.lift == NULL && u.plan.value == NULL);
            }
        }
        assert_true(k >= 3);
        sotto_unit_plan_free(&u.plan);
    }
}

static double prepare_bytes(const sotto_unit_plan *p)
{
    return (double)(p->bytes.matrix + p->bytes.correction + p->bytes.choice + p->bytes.table);
}

/* A layer costs what its kinds cost: zeros nothing, identities one word, and the bits and the OT of a truncation that is not local. */
static void test_bytes_follow_the_mixture(void **state)
{
    (void)state;
    enum { WORDS = 1 << 14 };
    static unit_ctx u;
    const sotto_rng rng = test_rng(test_seed(), 33);
    const sotto_step_info relu = {.op = SOTTO_STEP_UNIT, .units = WORDS, .words = WORDS, .truncation = {24, 7, 24}, .sign = 1, .sign_window = {23, 17}};
    sotto_unit_plan all, mixed;
    assert_ok(sotto_unit_plan_new(&all, &relu, SOTTO_SIGN_LOOKUP, SOTTO_OT_SOFTSPOKEN4));
    u.step = relu;
    mix(&u, (mixture){.zero = 16}, WORDS, 1, &rng);
    assert_ok(sotto_unit_plan_new(&mixed, &u.step, SOTTO_SIGN_LOOKUP, SOTTO_OT_SOFTSPOKEN4));
    assert_true(prepare_bytes(&mixed) == 0 && mixed.bytes.offer == 0 && mixed.bytes.reply == 0);
    sotto_unit_plan_free(&mixed);

    mix(&u, (mixture){.pass = 16}, WORDS, 1, &rng);
    assert_ok(sotto_unit_plan_new(&mixed, &u.step, SOTTO_SIGN_LOOKUP, SOTTO_OT_SOFTSPOKEN4));
    assert_int_equal(WORDS * 24 / 8, mixed.bytes.reply);
    assert_int_equal(WORDS / 8, mixed.bytes.offer);
    assert_int_equal(WORDS * 4 + WORDS / 8 + WORDS * 6 / 8, prepare_bytes(&mixed));
    sotto_unit_plan_free(&mixed);
    u.step.truncation.l_next = 17; /* local */
    assert_ok(sotto_unit_plan_new(&mixed, &u.step, SOTTO_SIGN_LOOKUP, SOTTO_OT_SOFTSPOKEN4));
    assert_int_equal(WORDS * 17 / 8, mixed.bytes.reply);
    assert_true(prepare_bytes(&mixed) == 0 && mixed.bytes.offer == 0);
    sotto_unit_plan_free(&mixed);
    u.step.truncation.l_next = 24;

    for (size_t i = 0; i < WORDS; i++) {
        mixed_decision[i] = i % 10 == 0 ? (uint32_t)(i / 10) : SOTTO_DECISION_PASS;
    }
    u.step.decisions = (WORDS + 9) / 10;
    u.step.sign = 1;
    memset(mixed_bits, 0, u.step.decisions);
    assert_ok(sotto_unit_plan_new(&mixed, &u.step, SOTTO_SIGN_LOOKUP, SOTTO_OT_SOFTSPOKEN4));
    assert_true(prepare_bytes(&mixed) <= 0.35 * prepare_bytes(&all));
    assert_true((double)(mixed.bytes.offer + mixed.bytes.reply) <= 0.40 * (double)(all.bytes.offer + all.bytes.reply));
    sotto_unit_plan_free(&mixed);
    sotto_unit_plan_free(&all);
}

static void test_random_rings(void **state)
{
    (void)state;
    static unit_ctx u;
    const sotto_rng rng = test_rng(test_seed(), 1);
    for (int round = 0; round < 24; round++) {
        memset(&u, 0, sizeof u);
        const unsigned l = 6 + (unsigned)test_below(&rng, 30), f = (unsigned)test_below(&rng, l - 2), l_next = 2 + (unsigned)test_below(&rng, 40);
        const unsigned k = 4 + (unsigned)test_below(&rng, l - 4), most = k < 9 ? k : 9, bits = 2 + (unsigned)test_below(&rng, most - 1);
        u.sign = (sotto_sign_provider)(round / 3 % SOTTO_SIGN_PROVIDERS);
        u.step = (sotto_step_info){.op = SOTTO_STEP_UNIT, .units = 1 + test_below(&rng, 300), .truncation = {l, f, l_next},
                                   .sign = round % 3 != 0, .sign_window = {k, k - bits}};
        for (size_t i = 0; i < u.step.units; i++) {
            /* the range of both steps */
            const uint64_t span = (UINT64_C(1) << (l - 2)) - (UINT64_C(1) << f) + 1;
            uint64_t y = test_below(&rng, span);
            y = test_below(&rng, 2) ? 0 - y : y;
            u.c[i] = sotto_low_bits(test_u64(&rng), l);
            u.a[i] = sotto_low_bits(y - u.c[i], l);
            u.r[i] = sotto_low_bits(test_u64(&rng), l_next);
        }
        run(&u, test_seed() + (uint64_t)round);
        check(&u);
        done(&u);
    }
}

/* The layer that u->step is, of another kind: 1 clips, 2 patches of 4, 3 all passed on, 4 some of each, two of every three in a patch. */
static void vary(unit_ctx *u, unsigned variant)
{
    const size_t pixels = variant == 4 ? 3 : 4;
    static const int64_t bound[] = {1 << 9};
    sotto_step_info *s = &u->step;
    if (variant == 1) {
        s->clip = 1;
        s->shape = (sotto_shape){1, 1, (uint32_t)s->units};
        u->bound = bound;
    }
    if (variant < 2) {
        return;
    }
    s->sign_window = (sotto_sign_window){s->sign_window.k - 2, s->sign_window.j - 2}; /* which patch_bits take back */
    s->words = s->units;
    s->decisions = 0;
    for (size_t i = 0; i < s->units; i++) {
        const int patch = variant == 2 || (variant == 4 && i % 3 != 0);
        mixed_decision[i] = patch ? (uint32_t)(i / pixels) : i % 2 ? SOTTO_DECISION_PASS : SOTTO_DECISION_ZERO;
        mixed_decision[i] = variant == 3 ? SOTTO_DECISION_PASS : mixed_decision[i];
        s->decisions = patch ? i / pixels + 1 : s->decisions;
        u->r[i] = mixed_decision[i] == SOTTO_DECISION_ZERO ? 0 : u->r[i];
    }
    memset(mixed_bits, variant == 2 ? 2 : 1, s->decisions);
    s->sign = s->decisions > 0;
    s->decision = mixed_decision;
    s->patch_bits = mixed_bits;
}

/* For a fixed value and a fixed client share, every byte that either side receives is uniform. Counts are multiples of 8 so that no array has padding. */
static void test_views_are_uniform(void **state)
{
    (void)state;
    static unit_ctx u;
    for (unsigned kind = 0; kind < 32; kind++) {
        const sotto_rng rng = test_rng(test_seed(), kind);
        const unsigned variant = kind / 8;
        memset(&u, 0, sizeof u);
        const uint64_t y = kind & 2 ? 0x3ff00 : 0x00123; /* negative and positive, modulo 2^18 */
        u.sign = (sotto_sign_provider)(kind & 1);
        u.step = (sotto_step_info){.op = SOTTO_STEP_UNIT, .units = VIEW_COUNT, .truncation = {18, 6, 16}, .sign = 1, .sign_window = {17, 11}};
        vary(&u, variant);
        for (size_t i = 0; i < VIEW_COUNT; i++) {
            u.c[i] = kind & 4 ? 0x15a5a : 0;
            u.a[i] = sotto_low_bits(y - u.c[i], 18);
            u.r[i] = test_below(&rng, 1 << 16); /* the client's next mask */
        }
        run(&u, test_seed() + kind);
        check(&u);
        const struct {
            const char *name;
            const uint8_t *bytes;
            size_t len;
        } views[] = {{"choice", u.choice, u.plan.bytes.choice}, {"offer", u.offer, u.plan.bytes.offer}, {"reply", u.reply, u.plan.bytes.reply}};
        for (size_t v = 0; v < 3; v++) {
            uint64_t cells[256] = {0};
            for (size_t i = 0; i < views[v].len; i++) {
                cells[views[v].bytes[i]]++;
            }
            const double chi = test_chi_square(cells, 256, views[v].len);
            if (!(chi < test_chi_square_bound(256))) {
                fail_msg("%s (kind %u) is not uniform: chi-square %g", views[v].name, kind, chi);
            }
        }
        done(&u);
    }
}

/* Random values and shares of the rings of the program's own layers. */
static void fill(unit_ctx *u, size_t count, unsigned bits, const sotto_rng *rng)
{
    u->step = (sotto_step_info){.op = SOTTO_STEP_UNIT, .units = count, .truncation = {24, 7, 24}, .sign = 1, .sign_window = {23, 23 - bits}};
    for (size_t i = 0; i < count; i++) {
        const uint64_t y = test_below(rng, (UINT64_C(1) << 22) - 128);
        u->c[i] = test_below(rng, 1 << 24);
        u->a[i] = sotto_low_bits((i % 2 ? 0 - y : y) - u->c[i], 24);
        u->r[i] = test_below(rng, 1 << 24);
    }
}

/* Counts around tiles, with every kind of OT. */
static void test_tiles(void **state)
{
    (void)state;
    static unit_ctx u;
    static const struct {
        sotto_ot_kind ot;
        size_t count;
        unsigned bits;
        sotto_sign_provider sign;
    } cases[] = {{SOTTO_OT_IKNP, 2047, 6, SOTTO_SIGN_LOOKUP},       {SOTTO_OT_IKNP, 2048, 2, SOTTO_SIGN_LOOKUP},
                 {SOTTO_OT_SOFTSPOKEN4, 2049, 9, SOTTO_SIGN_LOOKUP}, {SOTTO_OT_SOFTSPOKEN4, 4103, 6, SOTTO_SIGN_CIRCUIT},
                 {SOTTO_OT_FERRET, 4103, 16, SOTTO_SIGN_CIRCUIT},    {SOTTO_OT_FERRET, 65536 + 2051, 6, SOTTO_SIGN_LOOKUP},
                 {SOTTO_OT_FERRET, 139000, 9, SOTTO_SIGN_LOOKUP}, /* the client's OTs take more than a round */
                 {SOTTO_OT_IKNP, 6151, 3, SOTTO_SIGN_CIRCUIT},       {SOTTO_OT_SOFTSPOKEN8, 1, 7, SOTTO_SIGN_LOOKUP},
                 {SOTTO_OT_SOFTSPOKEN4, 4103, 6, SOTTO_SIGN_CIRCUIT3}, {SOTTO_OT_IKNP, 2051, 2, SOTTO_SIGN_CIRCUIT3}};
    const sotto_rng rng = test_rng(test_seed(), 20);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        for (int sign = 0; sign < 2; sign++) {
            memset(&u, 0, sizeof u);
            u.sign = cases[k].sign;
            u.ot = cases[k].ot;
            u.in_files = k % 2 == 0;
            fill(&u, cases[k].count, cases[k].bits, &rng);
            u.step.sign = sign;
            run(&u, test_seed() + k);
            check(&u);
            done(&u);
        }
    }
}

/* Known answer: what both parties send, made by this program; the same on every tier, so that parties with different processors understand each other. */
static void test_transcript_of_units(void **state)
{
    (void)state;
    static const char *const known[SOTTO_SIGN_PROVIDERS][2] = {
        {"1cc8d655345b26105f1bbfdbee40f8fbf2ba54c8c054f3b997104958893a0773", "0b687391c0bcce52748a291b5a1a80ac8cdf16ddb718e6ce9c3287f753f69737"},
        {"1cc8d655345b26105f1bbfdbee40f8fbf2ba54c8c054f3b997104958893a0773", "69975011c6442df79bee21d79edf7c59b32704563f8e5928c16def2c41fe4b32"},
        {"1cc8d655345b26105f1bbfdbee40f8fbf2ba54c8c054f3b997104958893a0773", "8f83e2ff04ab983c214595ef346091562c403fc8d3d62650b6b94b521ce422df"}};
    static unit_ctx u;
    for (int sign = 0; sign < SOTTO_SIGN_PROVIDERS; sign++) {
        for (int tier = SOTTO_TIER_PORTABLE; tier <= SOTTO_TIER_IFMA; tier++) {
            const sotto_rng rng = test_rng(7, 21);
            memset(&u, 0, sizeof u);
            u.sign = (sotto_sign_provider)sign;
            fill(&u, 2100, 6, &rng);
            sotto_cpu_force_tier((sotto_tier)tier);
            sotto_chan inner[2], outer[2];
            test_transcript t[2];
            char hex[65];
            int status[2];
            test_chan_pair(&inner[0], &inner[1], 0);
            test_chan_transcript(&outer[0], &inner[0], &t[0]);
            test_chan_transcript(&outer[1], &inner[1], &t[1]);
            run_on(&u, 7, (sotto_chan *[2]){&outer[0], &outer[1]}, status);
            assert_ok(status[0]);
            assert_ok(status[1]);
            check(&u);
            for (int i = 0; i < 2; i++) {
                test_transcript_hex(&t[i], hex);
                assert_string_equal(hex, known[sign][i]);
            }
            done(&u);
        }
    }
}

/* A peer that closes, or sends wrong bytes, at operation k: an error or a wrong result, no crash and no hang. The OT set-up before has tests of its own. */
static void test_faults(void **state)
{
    (void)state;
    enum { SET_UP = 16 };
    static const test_fault faults[] = {TEST_FAULT_CLOSE, TEST_FAULT_FLIP, TEST_FAULT_GARBAGE};
    static unit_ctx u;
    const sotto_rng rng = test_rng(test_seed(), 22);
    for (unsigned kind = 0; kind < 6 * SOTTO_SIGN_PROVIDERS; kind++) {
        const int faulty = kind & 1;
        const unsigned sign = kind / 6;
        const test_fault fault = faults[kind / 2 % 3];
        long ops = SET_UP + 1;
        for (long k = SET_UP - 1; k < ops; k++) { /* the first one counts */
            test_fault_plan plan = {.kind = k < SET_UP ? TEST_FAULT_NONE : fault, .k = k, .seed = test_seed()};
            sotto_chan inner[2], outer;
            int status[2];
            memset(&u, 0, sizeof u);
            u.sign = (sotto_sign_provider)sign;
            fill(&u, 21, 6, &rng);
            vary(&u, sign == SOTTO_SIGN_LOOKUP ? 4 : 1);
            test_chan_pair(&inner[0], &inner[1], 2000);
            test_chan_faulty(&outer, &inner[faulty], &plan);
            run_on(&u, 5, (sotto_chan *[2]){faulty == 0 ? &outer : &inner[0], faulty == 1 ? &outer : &inner[1]}, status);
            if (k < SET_UP) {
                assert_ok(status[0]);
                assert_ok(status[1]);
                assert_true(plan.ops > SET_UP);
                ops = plan.ops;
            } else if (fault == TEST_FAULT_CLOSE) {
                assert_true(status[0] != SOTTO_OK || status[1] != SOTTO_OK);
            }
            done(&u);
        }
    }
}

/* Every allocation of either party fails once: the party says so, the other one sees a closed channel. */
static void test_lack_of_memory(void **state)
{
    (void)state;
    static unit_ctx u;
    const sotto_rng rng = test_rng(test_seed(), 23);
    for (int sign = 0; sign < SOTTO_SIGN_PROVIDERS; sign++) {
        int failed = 1;
        for (long k = 1; failed; k++) {
            int status[2];
            memset(&u, 0, sizeof u);
            u.sign = (sotto_sign_provider)sign;
            u.in_files = sign == SOTTO_SIGN_CIRCUIT3;
            fill(&u, 10, 6, &rng);
            vary(&u, sign == SOTTO_SIGN_LOOKUP ? 4 : 1);
            u.calloc_fails = k;
            run_on(&u, 5, NULL, status);
            sotto_calloc_fail_after(-1);
            failed = status[0] != SOTTO_OK || status[1] != SOTTO_OK;
            assert_true(!failed || status[0] == SOTTO_ERR_MEMORY || status[1] == SOTTO_ERR_MEMORY);
            assert_true(failed || k > 16); /* the client alone makes as many */
            if (!failed) {
                check(&u);
            }
            done(&u);
        }
    }
}

static void test_plans_without_memory(void **state)
{
    (void)state;
    static unit_ctx u;
    const sotto_rng rng = test_rng(test_seed(), 24);
    const unsigned variants[] = {1, 4};
    for (size_t v = 0; v < 2; v++) {
        sotto_unit_plan p;
        int status = SOTTO_ERR_MEMORY;
        memset(&u, 0, sizeof u);
        fill(&u, 21, 6, &rng);
        vary(&u, variants[v]);
        for (long k = 0; status != SOTTO_OK; k++) {
            sotto_calloc_fail_after(k);
            status = sotto_unit_plan_new(&p, &u.step, SOTTO_SIGN_LOOKUP, SOTTO_OT_IKNP);
            sotto_calloc_fail_after(-1);
            assert_true(status == SOTTO_OK ? k > 0 : status == SOTTO_ERR_MEMORY && p.sections == NULL && p.value == NULL);
        }
        sotto_unit_plan_free(&p);
    }
}

static void test_refused(void **state)
{
    (void)state;
    sotto_unit_plan p;
    uint32_t wrong[2] = {0, 2};
    uint8_t bits[2] = {0};
    const sotto_step_info maps = {.op = SOTTO_STEP_UNIT, .units = 2, .words = 2, .truncation = {20, 4, 16}, .sign = 1, .sign_window = {19, 14},
                                  .decisions = 2, .decision = wrong, .patch_bits = bits};
    assert_status(SOTTO_ERR_ARG, sotto_unit_plan_new(&p, &maps, SOTTO_SIGN_LOOKUP, SOTTO_OT_IKNP)); /* a decision that is none */
    wrong[1] = 0;
    assert_status(SOTTO_ERR_ARG, sotto_unit_plan_new(&p, &maps, SOTTO_SIGN_LOOKUP, SOTTO_OT_IKNP)); /* one without values */
    const sotto_step_info wide = {.op = SOTTO_STEP_UNIT, .units = 4, .truncation = {20, 4, 16}, .sign = 1, .sign_window = {19, 9}};
    assert_status(SOTTO_ERR_PARAMS, sotto_unit_plan_new(&p, &wide, SOTTO_SIGN_LOOKUP, SOTTO_OT_IKNP));
    assert_non_null(strstr(sotto_error_message(), "choose the circuit"));
    assert_ok(sotto_unit_plan_new(&p, &wide, SOTTO_SIGN_CIRCUIT, SOTTO_OT_IKNP));
    sotto_unit_plan_free(&p);
    assert_ok(sotto_unit_plan_new(&p, &wide, SOTTO_SIGN_CIRCUIT3, SOTTO_OT_IKNP));
    sotto_unit_plan_free(&p);
    assert_status(SOTTO_ERR_PARAMS, sotto_unit_plan_new(&p, &wide, SOTTO_SIGN_PROVIDERS, SOTTO_OT_IKNP));
    const sotto_step_info linear = {.op = SOTTO_STEP_LINEAR};
    assert_status(SOTTO_ERR_ARG, sotto_unit_plan_new(&p, &linear, SOTTO_SIGN_LOOKUP, SOTTO_OT_IKNP));
    const sotto_step_info deep = {.op = SOTTO_STEP_UNIT, .units = 4, .truncation = {20, 19, 16}};
    assert_status(SOTTO_ERR_PARAMS, sotto_unit_plan_new(&p, &deep, SOTTO_SIGN_LOOKUP, SOTTO_OT_IKNP));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_shares),
        cmocka_unit_test(test_clip_of_all_shares),
        cmocka_unit_test(test_pairs_of_all_shares),
        cmocka_unit_test(test_mixtures),
        cmocka_unit_test(test_lifts_of_all_shares),
        cmocka_unit_test(test_lifts),
        cmocka_unit_test(test_lifts_without_memory),
        cmocka_unit_test(test_bytes_follow_the_mixture),
        cmocka_unit_test(test_random_rings),
        cmocka_unit_test(test_views_are_uniform),
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_transcript_of_units),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_lack_of_memory),
        cmocka_unit_test(test_plans_without_memory),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
