/* Widths of signs by trial: shares as the protocol has them; bounds, monotony and the budget of the choice, recomputed from runs of its own; what leaves the plan alone. */
#include "nn/plain/signs.h"

#include <math.h>
#include <string.h>

#include "lib/bytes.h"
#include "nn/plain/fixed.h"
#include "tests/nn/fixture.h"

#define IMAGES 12

static const char *const texts[] = {fixture_plain, fixture_rich, fixture_mixed};

/* Calibrated, with what tables decide at most. */
static uint8_t *planned(sotto_model *m, const char *text, const sotto_rng *rng)
{
    sotto_calibration o = sotto_calibration_default();
    sotto_observation seen;
    o.sign_bits = 0;
    o.threads = 1;
    fixture_raw(m, text, rng);
    assert_ok(sotto_model_deploy(m));
    uint8_t *images = fixture_images(m, IMAGES, rng);
    assert_ok(sotto_observe(&seen, m, images, IMAGES, 1, NULL, NULL));
    assert_ok(sotto_plan(m, &seen, &o, NULL));
    sotto_observation_free(&seen);
    return images;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned most_bits(const sotto_node *n)
{
    return least(n->plan.k, 9);
}

/* ---- shares ------------------------------------------------------------------------------------------------------------ */

typedef struct shares {
    sotto_program p;
    uint64_t **value;    /* per step */
    const uint8_t *only; /* steps that are read from shares; NULL: all */
} shares;

static void shares_new(shares *s, const sotto_model *m)
{
    assert_ok(sotto_program_new(&s->p, m));
    s->value = sotto_calloc(s->p.step_count, sizeof *s->value);
    assert_non_null(s->value);
    for (size_t i = 0; i < s->p.step_count; i++) {
        s->value[i] = sotto_calloc(s->p.steps[i].words, sizeof **s->value);
        assert_non_null(s->value[i]);
    }
    s->only = NULL;
}

static void shares_free(shares *s)
{
    for (size_t i = 0; i < s->p.step_count; i++) {
        sotto_free(s->value[i]);
    }
    sotto_free(s->value);
    sotto_program_free(&s->p);
}

static const uint64_t *share_of(void *ctx, size_t step)
{
    const shares *s = ctx;
    return s->only == NULL || s->only[step] ? s->value[step] : NULL;
}

/* In the rings, a function of the seed; what is local follows from what it reads; what is not is drawn. */
static void test_shares(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 0);
    for (size_t t = 0; t < 3; t++) {
        sotto_model m;
        shares s[3];
        uint8_t *images = planned(&m, texts[t], &rng);
        const sotto_block seed[3] = {{{1, 2}}, {{1, 2}}, {{1, 3}}};
        size_t drawn = 0, differ = 0;
        for (size_t k = 0; k < 3; k++) {
            shares_new(&s[k], &m);
            sotto_program_draw_shares(&s[k].p, s[k].value, seed[k]);
        }
        for (size_t at = 0; at < s[0].p.step_count; at++) {
            const sotto_step_info *step = &s[0].p.steps[at];
            const size_t bytes = step->words * sizeof(uint64_t);
            assert_memory_equal(s[0].value[at], s[1].value[at], bytes);
            for (size_t i = 0; i < step->words; i++) {
                assert_int_equal(s[0].value[at][i] >> step->l, 0);
            }
            if (step->op == SOTTO_STEP_ADD || step->op == SOTTO_STEP_CONCAT || step->op == SOTTO_STEP_PAD || step->op == SOTTO_STEP_SUM || step->op == SOTTO_STEP_GATHER) {
                sotto_step_local(&s[1].p, at, s[1].value);
                for (size_t i = 0; i < step->words; i++) {
                    assert_int_equal(s[0].value[at][i], sotto_low_bits(s[1].value[at][i], step->l));
                }
            } else {
                for (size_t i = 0; i < step->words; i++) {
                    differ += s[0].value[at][i] != s[2].value[at][i];
                }
                drawn += step->words;
            }
        }
        assert_true(differ > drawn / 2);
        for (size_t k = 0; k < 3; k++) {
            shares_free(&s[k]);
        }
        sotto_free(images);
        sotto_model_free(&m);
    }
}

/* ---- the choice -------------------------------------------------------------------------------------------------------- */

static void set_bits(sotto_model *m, unsigned u)
{
    for (size_t i = 0; i < m->node_count; i++) {
        sotto_node_plan *plan = &m->nodes[i].plan;
        plan->u = plan->u > 0 ? least(u, plan->k) : 0;
    }
}

static double table_bytes(const sotto_model *m)
{
    sotto_program p;
    double sum = 0.0;
    assert_ok(sotto_program_new(&p, m));
    for (size_t i = 0; i < p.step_count; i++) {
        sum += p.steps[i].sign ? (double)p.steps[i].decisions * ldexp(1.0, (int)m->nodes[p.steps[i].node].plan.u - 1) / 8.0 : 0.0;
    }
    sotto_program_free(&p);
    return sum;
}

/* Logits of model m with these shares, or plainly. */
static void logits_of(const sotto_model *m, const uint8_t *image, shares *s, int plain, int64_t *logits)
{
    sotto_program p;
    sotto_program_weights w;
    sotto_fixed_run *run;
    assert_ok(sotto_program_new(&p, m));
    assert_ok(sotto_program_weights_new(&w, &p, m));
    assert_ok(sotto_fixed_run_new(&run, &p, &w));
    int64_t *x = sotto_calloc(p.input_words, sizeof *x);
    assert_non_null(x);
    const sotto_fixed_options options = {.share = share_of, .ctx = s};
    sotto_program_input(&p, m, x, image);
    sotto_fixed_infer(run, logits, x, plain ? NULL : &options, NULL);
    sotto_free(x);
    sotto_fixed_run_free(run);
    sotto_program_weights_free(&w);
    sotto_program_free(&p);
}

static double distance(const int64_t *a, const int64_t *b, size_t count)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)(a[i] - b[i]) * (double)(a[i] - b[i]);
    }
    return sum;
}

typedef struct noises {
    double rounding, node[64];
    int decides[64];
} noises;

/* What the library measures, by other means: models of u = k and u = 6 compiled anew for every run. */
static void measure(const sotto_model *m, const uint8_t *images, noises *out)
{
    sotto_model exact, tried;
    shares s;
    int64_t logits[2][16];
    assert_ok(sotto_model_copy(&exact, m));
    assert_ok(sotto_model_copy(&tried, m));
    set_bits(&exact, 50);
    set_bits(&tried, 6);
    shares_new(&s, m);
    *out = (noises){0};
    uint8_t *only = sotto_calloc(s.p.step_count, 1);
    assert_non_null(only);
    for (size_t i = 0; i < IMAGES; i++) {
        const uint8_t *image = images + i * s.p.input_words;
        sotto_program_draw_shares(&s.p, s.value, (sotto_block){{i, 0}});
        s.only = NULL;
        logits_of(&exact, image, &s, 1, logits[0]);
        logits_of(&exact, image, &s, 0, logits[1]);
        out->rounding += distance(logits[0], logits[1], s.p.output_words);
        s.only = only;
        for (size_t n = 0; n < m->node_count; n++) {
            memset(only, 0, s.p.step_count);
            for (size_t k = 0; k < s.p.step_count; k++) {
                if (s.p.steps[k].sign && s.p.steps[k].node == n) {
                    only[s.p.steps[k].in[0]] = 1;
                    out->decides[n] = 1;
                }
            }
            if (out->decides[n]) {
                logits_of(&exact, image, &s, 0, logits[0]);
                logits_of(&tried, image, &s, 0, logits[1]);
                out->node[n] += distance(logits[0], logits[1], s.p.output_words);
            }
        }
    }
    sotto_free(only);
    shares_free(&s);
    sotto_model_free(&exact);
    sotto_model_free(&tried);
}

/* Bits within bounds, none where nothing is decided; the noise holds the budget wherever more bits could have been had; more noise never costs more bytes; the ends are the bounds. */
static void test_choice(void **state)
{
    (void)state;
    static const double allowed[] = {1e-6, 0.05, 0.5, 2.0, 8.0, 100.0, 1e6};
    size_t between = 0;
    for (size_t trial = 0; trial < 6; trial++) {
        const sotto_rng rng = test_rng(test_seed(), 1 + trial);
        sotto_calibration o = sotto_calibration_default();
        sotto_model m;
        noises noise;
        uint8_t *images = planned(&m, texts[trial % 3], &rng);
        double before = INFINITY;
        o.sign_bits = 0;
        o.threads = 1;
        assert_true(m.node_count <= 64);
        measure(&m, images, &noise);
        for (size_t a = 0; a < sizeof allowed / sizeof *allowed; a++) {
            double sum = 0.0;
            int all_most = 1, all_least = 1;
            set_bits(&m, 9);
            o.sign_noise = allowed[a];
            assert_ok(sotto_plan_signs(&m, &o, images, IMAGES, NULL, NULL));
            for (size_t n = 0; n < m.node_count; n++) {
                const sotto_node *node = &m.nodes[n];
                if (!noise.decides[n]) {
                    assert_int_equal(node->plan.u, 0);
                    continue;
                }
                assert_true(node->plan.u >= least(5, node->plan.k) && node->plan.u <= most_bits(node));
                all_most &= node->plan.u == most_bits(node) || noise.node[n] == 0.0;
                all_least &= node->plan.u == least(5, node->plan.k);
                sum += noise.node[n] * pow(8.0, 6.0 - node->plan.u);
            }
            assert_true(all_most || sum <= allowed[a] * noise.rounding * (1.0 + 1e-9));
            assert_true(all_most || a > 0);
            between += !all_most && !all_least;
            assert_true(table_bytes(&m) <= before);
            before = table_bytes(&m);
        }
        set_bits(&m, 5);
        assert_true(table_bytes(&m) == before); /* a million times the rounding: all have the least */
        sotto_free(images);
        sotto_model_free(&m);
    }
    assert_true(between > 0);
}

/* Random shares that the choice has not seen: wrong signs of all nodes at once add what is allowed, within a factor for so few images and the law of eights: one and a half on average over
 * seeds, up to three and more for some; a bit less everywhere would be eight times that. */
static void test_budget_of_runs(void **state)
{
    (void)state;
    double trials = 0.0, added = 0.0;
    sotto_calibration o = sotto_calibration_default();
    o.sign_bits = 0;
    o.sign_noise = 4.0;
    o.threads = 1;
    for (size_t trial = 0; trial < 6; trial++) {
        const sotto_rng rng = test_rng(test_seed(), 20 + trial);
        sotto_model m, exact;
        shares s;
        int64_t logits[3][16];
        double of[2] = {0.0, 0.0};
        uint8_t *images = planned(&m, texts[trial % 2], &rng);
        assert_ok(sotto_plan_signs(&m, &o, images, IMAGES, NULL, NULL));
        assert_ok(sotto_model_copy(&exact, &m));
        set_bits(&exact, 50);
        shares_new(&s, &m);
        for (size_t i = 0; i < 4 * IMAGES; i++) {
            const uint8_t *image = images + i % IMAGES * s.p.input_words;
            sotto_program_draw_shares(&s.p, s.value, (sotto_block){{i, 77}});
            logits_of(&exact, image, &s, 1, logits[0]);
            logits_of(&exact, image, &s, 0, logits[1]);
            logits_of(&m, image, &s, 0, logits[2]);
            of[0] += distance(logits[0], logits[1], s.p.output_words);
            of[1] += distance(logits[1], logits[2], s.p.output_words);
        }
        trials += 1.0;
        added += of[1] / of[0] / o.sign_noise;
        shares_free(&s);
        sotto_free(images);
        sotto_model_free(&exact);
        sotto_model_free(&m);
    }
    if (!(added <= 6.0 * trials)) {
        fail_msg("wrong signs add %g times what is allowed", added / trials);
    }
}

/* ---- what it does not depend on, what it leaves alone --------------------------------------------------------------------- */

static void bits_of(const sotto_model *m, unsigned *u)
{
    for (size_t i = 0; i < m->node_count; i++) {
        u[i] = m->nodes[i].plan.u;
    }
}

static void count_calls(void *ctx, size_t done, size_t count)
{
    size_t *calls = ctx;
    assert_int_equal(done, *calls + 1);
    assert_int_equal(count, IMAGES);
    *calls = done;
}

static void test_threads(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 40);
    for (size_t t = 0; t < 3; t++) {
        sotto_calibration o = sotto_calibration_default();
        sotto_model m;
        unsigned u[2][64] = {{0}};
        size_t calls = 0;
        uint8_t *images = planned(&m, texts[t], &rng);
        assert_true(m.node_count <= 64);
        o.sign_bits = 0;
        for (o.threads = 1; o.threads < 6; o.threads += 2) {
            set_bits(&m, 9);
            assert_ok(sotto_plan_signs(&m, &o, images, IMAGES, o.threads == 1 ? count_calls : NULL, &calls));
            bits_of(&m, u[o.threads > 1]);
            assert_true(o.threads == 1 || memcmp(u[0], u[1], sizeof *u) == 0);
        }
        assert_int_equal(calls, IMAGES);
        sotto_free(images);
        sotto_model_free(&m);
    }
}

static void test_left_alone(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 50);
    static const char linear[] = "sotto-model 1\ninput 1x4x4\nconv c1 input out=3 kernel=3\nidentity i1 c1\ndense f1 i1 out=2\n";
    for (unsigned kind = 0; kind < 3; kind++) { /* fixed bits; a plan that does not compile; no signs */
        sotto_calibration o = sotto_calibration_default();
        sotto_model m;
        unsigned u[2][64] = {{0}};
        uint8_t *images = planned(&m, kind == 2 ? linear : fixture_plain, &rng);
        o.sign_bits = kind == 0 ? 6 : 0;
        o.threads = 1;
        m.nodes[1].plan.weight_bits = kind == 1 ? 99 : m.nodes[1].plan.weight_bits;
        bits_of(&m, u[0]);
        assert_ok(sotto_plan_signs(&m, &o, images, IMAGES, NULL, NULL));
        bits_of(&m, u[1]);
        assert_memory_equal(u[0], u[1], sizeof *u);
        sotto_free(images);
        sotto_model_free(&m);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 60);
    for (size_t t = 0; t < 3; t += 2) {
        sotto_calibration o = sotto_calibration_default();
        sotto_model m;
        unsigned u[2][64] = {{0}};
        long k = 0;
        uint8_t *images = planned(&m, texts[t], &rng);
        o.sign_bits = 0;
        o.threads = 1;
        bits_of(&m, u[0]);
        for (int status = SOTTO_ERR_MEMORY; status != SOTTO_OK; k++) {
            sotto_calloc_fail_after(k);
            status = sotto_plan_signs(&m, &o, images, 1, NULL, NULL);
            sotto_calloc_fail_after(-1);
            if (status != SOTTO_OK) {
                assert_int_equal(status, SOTTO_ERR_MEMORY);
                bits_of(&m, u[1]);
                assert_memory_equal(u[0], u[1], sizeof *u);
            }
        }
        assert_true(k > 50);
        sotto_free(images);
        sotto_model_free(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),  cmocka_unit_test(test_choice),     cmocka_unit_test(test_budget_of_runs),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_left_alone), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
