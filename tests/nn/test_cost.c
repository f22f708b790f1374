/* Costs as a file, in any state of damage; costs of the machine that runs the test. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "nn/plan/cost_internal.h"
#include "tests/nn/machines.h"

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void test_costs_file(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 20);
    char path[] = "/tmp/sotto-test-costs-XXXXXX", text[65536] = "";
    sotto_costs c, back;
    size_t sets;
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    (void)sotto_network_sets(&sets);
    random_costs(&c, sets, &rng);
    assert_ok(sotto_costs_save(&c, path));
    assert_ok(sotto_costs_load(&back, path));
    assert_string_equal(c.machine, back.machine);
    assert_int_equal(c.he_count, back.he_count);
    const double pairs[][2] = {{c.he[0].of[0], back.he[0].of[0]}, {c.he[sets - 1].of[SOTTO_HE_WORKS - 1], back.he[sets - 1].of[SOTTO_HE_WORKS - 1]},
                               {c.unit[1][1][16].of[6], back.unit[1][1][16].of[6]}, {c.ot_recv[8], back.ot_recv[8]}, {c.poly.of[0], back.poly.of[0]},
                               {c.round_trip, back.round_trip}, {c.apply[2], back.apply[2]}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_true(fabs(pairs[i][0] - pairs[i][1]) <= 1e-12);
    }
    /* Damage of each kind. */
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    const size_t len = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    assert_true(len > 1000);
    static const struct {
        const char *find, *put;
        int status;
    } damage[] = {{"costs 2", "costs 1", SOTTO_ERR_VERSION}, {"machine ", "machine x", SOTTO_ERR_MISMATCH}, {"pixel ", "pixle ", SOTTO_ERR_FORMAT},
                  {"word ", "word x", SOTTO_ERR_FORMAT},     {"he.", "he,", SOTTO_ERR_VERSION},             {"draw ", "draw  ", SOTTO_ERR_FORMAT}};
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        char bad[65536 + 8];
        const char *at = strstr(text, damage[i].find);
        assert_non_null(at);
        snprintf(bad, sizeof bad, "%.*s%s%s", (int)(at - text), text, damage[i].put, at + strlen(damage[i].find));
        write_text(path, bad);
        assert_status(damage[i].status, sotto_costs_load(&back, path));
        assert_int_equal(back.he_count, 0);
    }
    for (size_t cut = 1; cut < len; cut += 1 + len / 50) { /* torn */
        char bad[65536];
        memcpy(bad, text, len - cut);
        bad[len - cut] = '\0';
        write_text(path, bad);
        assert_int_not_equal(sotto_costs_load(&back, path), SOTTO_OK);
    }
    snprintf(text + len, sizeof text - len, "more\n");
    write_text(path, text);
    assert_status(SOTTO_ERR_FORMAT, sotto_costs_load(&back, path));
    unlink(path);
    assert_status(SOTTO_ERR_IO, sotto_costs_load(&back, path));
}

/* Each cost by itself; a round that was disturbed does not count. */
static void test_median(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 21);
    static sotto_costs rounds[SOTTO_COST_ROUNDS], same;
    random_costs(&same, 2, &rng);
    for (size_t i = 0; i < SOTTO_COST_ROUNDS; i++) {
        rounds[i] = same;
    }
    rounds[0].he[1].of[3] *= 100.0;
    rounds[1].unit[2][1][16].of[2] *= 100.0;
    rounds[2].company *= 100.0;
    rounds[0].window = 100.0;
    sotto_costs_median(rounds, SOTTO_COST_ROUNDS);
    assert_memory_equal(&rounds[0], &same, sizeof same);
    for (size_t i = 0; i < SOTTO_COST_ROUNDS; i++) {
        rounds[i].byte = (double)((i + 2) % SOTTO_COST_ROUNDS);
    }
    sotto_costs_median(rounds, SOTTO_COST_ROUNDS);
    assert_true(rounds[0].byte == (double)(SOTTO_COST_ROUNDS / 2));
}

/* Takes seconds of whatever machine runs the tests. */
static void test_costs_measured(void **state)
{
    (void)state;
    if (getenv("SOTTO_TEST_LONG") == NULL) {
        skip();
    }
    static sotto_costs c;
    assert_ok(sotto_costs_measure(&c, NULL, NULL));
    for (size_t i = 0; i < c.he_count; i++) {
        assert_true(c.he[i].of[SOTTO_HE_REQUEST] > 0.0 && c.he[i].of[SOTTO_HE_ANSWER] > 0.0 && c.he[i].of[SOTTO_HE_OPEN] > 0.0);
        assert_true(c.he[i].of[SOTTO_HE_ANSWER] < 1.0);
    }
    for (int kind = SOTTO_OT_IKNP; kind <= SOTTO_OT_SOFTSPOKEN8; kind++) {
        assert_true(c.ot_send[kind] > 0.0 && c.ot_recv[kind] > 0.0);
    }
    for (size_t work = 0; work < SOTTO_WORKS; work++) {
        assert_true(c.unit[SOTTO_SIGN_LOOKUP][0][6].of[work] > 0.0);
    }
    for (size_t work = 0; work < SOTTO_WORK_FINISH; work++) {
        assert_true(c.label[0].of[work] > 0.0 && c.label[1].of[work] > 0.0);
    }
    assert_true(c.sent > 0.0 && c.received > 0.0 && c.byte > 0.0 && c.round_trip > 0.0 && c.word > 0.0 && c.draw > 0.0);
    assert_true(c.company >= 1.0 && c.company < 4.0 && c.window >= 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_costs_file),
        cmocka_unit_test(test_median),
        cmocka_unit_test(test_costs_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
