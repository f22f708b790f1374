/* Silent OT beyond the sizes that test_extension.c has: rounds, the code, the estimate of its security. */
#include "ot/ferret_internal.h"

#include <math.h>

#include "tests/ot/fixture.h"

/* One call of each party for `count` OTs, then another for `more`. */
typedef struct long_run {
    size_t count, more;
    sotto_block *q, *t, offset;
    uint8_t *choices;
    uint64_t out[2];
} long_run;

static int long_act(ot_party *p, sotto_ot *ot, sotto_chan *chan)
{
    long_run *r = p->data;
    uint64_t first;
    int status;
    if (p->party == 0) {
        status = sotto_ot_recv_random(ot, chan, r->choices, r->count, r->t, &first);
        if (status == SOTTO_OK) {
            status = sotto_ot_recv_random(ot, chan, r->choices + r->count / 8, r->more, r->t + r->count, &first);
        }
    } else {
        const uint64_t before = chan->stats.bytes_in;
        r->offset = sotto_ot_offset(ot);
        status = sotto_ot_send_random(ot, chan, r->count, r->q, &first);
        if (status == SOTTO_OK) {
            status = sotto_ot_send_random(ot, chan, r->more, r->q + r->count, &first);
        }
        r->out[1] = chan->stats.bytes_in - before;
    }
    return status;
}

/* Into the second stock: the correlation holds, the choices look like coins and no two rounds give the same blocks. */
static void test_rounds(void **state)
{
    (void)state;
    const size_t round = SOTTO_FERRET_TREES * SOTTO_FERRET_LEAVES;
    long_run r = {.count = round, .more = 3 * round + 3000};
    const size_t all = r.count + r.more;
    r.q = sotto_calloc(all, sizeof *r.q);
    r.t = sotto_calloc(all, sizeof *r.t);
    r.choices = sotto_calloc(all / 8 + 1, 1);
    assert_true(r.q != NULL && r.t != NULL && r.choices != NULL);
    ot_party p[2] = {{.party = 0, .seed = test_seed(), .kind = SOTTO_OT_FERRET, .act = long_act, .data = &r},
                     {.party = 1, .seed = test_seed(), .kind = SOTTO_OT_FERRET, .act = long_act, .data = &r}};
    int status[2];
    test_two_party(ot_party_run, &p[0], ot_party_run, &p[1], status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    uint64_t ones = 0, bytes[256] = {0}, wrong = 0, repeated = 0;
    for (size_t i = 0; i < all; i++) {
        const uint64_t bit = sotto_bit(r.choices, i);
        const sotto_block want = sotto_block_xor(r.q[i], sotto_block_and(r.offset, 0 - bit));
        wrong += (want.w[0] ^ r.t[i].w[0]) != 0 || want.w[1] != r.t[i].w[1] || (r.q[i].w[0] & 1) != 0;
        ones += bit;
        bytes[r.q[i].w[1] >> 56]++;
        for (size_t back = round; back <= i; back += round) {
            repeated += r.q[i].w[1] == r.q[i - back].w[1];
        }
    }
    assert_int_equal(0, wrong);
    assert_int_equal(0, repeated);
    const double off = (double)ones - (double)all / 2;
    assert_true(off * off < 36.0 * (double)all / 4);
    assert_true(test_chi_square(bytes, 256, all) < test_chi_square_bound(256));
    /* What the receiver sends: two stocks of five starts, flips of every tree. */
    const size_t trees = 4 * SOTTO_FERRET_TREES + 2 + 2 * 5 * SOTTO_FERRET_START_TREES;
    assert_int_equal(trees * SOTTO_FERRET_FLIP_BYTES, r.out[1]);
    sotto_free(r.q);
    sotto_free(r.t);
    sotto_free(r.choices);
}

/* Levels of stocks: they end with as many starts as are wanted and one more, in as few exchanges as nine for one allow, none spent that was not there. */
static void test_levels(void **state)
{
    (void)state;
    for (size_t rounds = 0; rounds < 2000; rounds++) {
        size_t have = 1, most = 1, spent = 0;
        unsigned level = 0;
        for (; sotto_ferret_level_of(rounds, level).made > 0; level++) {
            const sotto_ferret_level l = sotto_ferret_level_of(rounds, level);
            assert_true(most < rounds + 1); /* else it needed no further exchange */
            assert_true(l.spent > 0 && l.spent <= have && l.made <= l.spent * SOTTO_FERRET_FAN && l.made > l.spent);
            assert_true((have + l.made - l.spent) * SOTTO_FERRET_START_TREES <= rounds * SOTTO_FERRET_TREES); /* places of a level have room */
            have += l.made - l.spent;
            spent += l.spent;
            most *= SOTTO_FERRET_FAN;
        }
        assert_int_equal(rounds + 1, have);
        assert_int_equal((rounds + SOTTO_FERRET_FAN - 2) / (SOTTO_FERRET_FAN - 1), spent);
        assert_int_equal(0, sotto_ferret_level_of(rounds, level + 1).made);
    }
}

/* What a start needs fits into a round nine times, and the bytes that extension.h names are right. */
static void test_sizes(void **state)
{
    (void)state;
    assert_true(SOTTO_FERRET_START_TREES * SOTTO_FERRET_LEAVES >= SOTTO_FERRET_START);
    assert_int_equal(9, SOTTO_FERRET_FAN);
    assert_int_equal(276224, sotto_softspoken_wire_bytes(SOTTO_SOFTSPOKEN_K_MAX, SOTTO_FERRET_START));
    assert_int_equal(680, 5 * SOTTO_FERRET_START_TREES * SOTTO_FERRET_FLIP_BYTES);
    assert_int_equal(59840, 5 * SOTTO_FERRET_START_TREES * SOTTO_FERRET_SUM_BYTES);
    assert_int_equal(176, sotto_ot_answer_bytes(SOTTO_OT_FERRET, 2048));
    assert_int_equal(2 * 176, sotto_ot_answer_bytes(SOTTO_OT_FERRET, 2049));
    assert_int_equal(2 + 256, sotto_ot_wire_bytes(SOTTO_OT_FERRET, 2048, 0));
    assert_int_equal(4, sotto_ot_wire_bytes(SOTTO_OT_FERRET, 2049, 1));
    /* a tenth of a byte an OT over whole stocks of calls in step */
    const double per = (4.0 * SOTTO_FERRET_TREES + 5.0 * SOTTO_FERRET_START_TREES) * (SOTTO_FERRET_SUM_BYTES + SOTTO_FERRET_FLIP_BYTES) /
                       (4.0 * SOTTO_FERRET_TREES * (double)SOTTO_FERRET_LEAVES);
    assert_true(per < 0.1);
}

/* The estimates of ferret_internal.h, from its formulas; below 128 bits the parameters would have to change. */
static double prange(double n, double k, double t)
{
    return -t * log2(1 - k / n) + log2(3 * 11 * k * k);
}

static double algebraic(double n, double k, double t)
{
    const double piece = n / t;
    double best = 1e9;
    for (double m = 0; m < piece / 2; m += 1) { /* places without noise that are guessed in each piece */
        const double equations = t * (piece - m) * (piece - m) / 2, monomials = (k - m * t) * (k - m * t) / 2;
        if (k > m * t && equations >= monomials) {
            const double bits = -t * log2(1 - m / piece) + log2(3 * 121 * monomials * monomials + 3 * 11 * k * k);
            best = bits < best ? bits : best;
        }
    }
    return best;
}

static void test_estimate(void **state)
{
    (void)state;
    const double k = (double)SOTTO_FERRET_CODE, t = SOTTO_FERRET_TREES, n = t * (double)SOTTO_FERRET_LEAVES;
    assert_true(prange(n, k, t) > 128 && fabs(prange(n, k, t) - 136) < 1);
    assert_true(algebraic(n, k, t) > 128 && fabs(algebraic(n, k, t) - 129) < 1);
    assert_true(fabs(algebraic(2396160, 131072, 1170) - 116) < 1); /* the sets that the header warns of */
    assert_true(fabs(algebraic(10180608, 124000, 4971) - 74) < 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_estimate),
    };
    return cmocka_run_group_tests_name("ot/ferret", tests, NULL, NULL);
}
