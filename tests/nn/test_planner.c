/* Tiles that are given; choices against all choices; what is refused. */
#include <stdio.h>

#include "nn/plan/planner.h"
#include "tests/nn/machines.h"

/* ---- tiles ---------------------------------------------------------------------------------------------------------------------- */

typedef struct tile_case {
    sotto_linear_shape shape;
    sotto_bfv_params *p;
    sotto_bfv_secret_key sk;
    sotto_bfv_public_key pk;
    sotto_rng rng;
    size_t seen;
} tile_case;

/* W r by a request and an answer with this tile, against the product in the clear. */
static void check_tile(tile_case *k, sotto_linear_tile tile)
{
    const sotto_linear_shape *s = &k->shape;
    const uint64_t t = sotto_bfv_t(k->p);
    sotto_linear_plan plan;
    sotto_linear_weights *weights = NULL;
    int32_t w[512];
    assert_ok(sotto_linear_plan_tile(&plan, k->p, s, 1000, tile));
    assert_memory_equal(&plan.tile, &tile, sizeof tile);
    const size_t count = (size_t)s->out_c * (s->in_c / s->groups) * s->kernel_h * s->kernel_w;
    assert_true(count <= 512);
    for (size_t i = 0; i < count; i++) {
        w[i] = (int32_t)test_below(&k->rng, 255) - 127;
    }
    uint64_t *r = sotto_calloc(plan.in_words, 8), *masks = sotto_calloc(plan.out_words, 8), *c = sotto_calloc(plan.out_words, 8), *want = sotto_calloc(plan.out_words, 8);
    uint8_t *request = sotto_calloc(plan.request_bytes, 1), *answer = sotto_calloc(plan.answer_bytes, 1);
    for (size_t i = 0; i < plan.in_words; i++) {
        r[i] = test_below(&k->rng, t);
    }
    for (size_t i = 0; i < plan.out_words; i++) {
        masks[i] = test_below(&k->rng, t);
    }
    assert_ok(sotto_linear_weights_new(&weights, &plan, k->p, w, NULL));
    assert_ok(sotto_linear_request(request, &plan, k->p, &k->sk, r, &k->rng, NULL));
    assert_ok(sotto_linear_answer(answer, &plan, k->p, &k->pk, weights, request, masks, &k->rng, NULL));
    assert_ok(sotto_linear_open(c, &plan, k->p, &k->sk, answer, NULL));
    sotto_linear_apply(want, s, w, r);
    for (size_t i = 0; i < plan.out_words; i++) {
        if ((c[i] + masks[i] - want[i]) % t != 0) {
            fail_msg("tile %ux%ux%ux%u: output %zu is wrong", tile.channels, tile.filters, tile.rows, tile.cols, i);
        }
    }
    sotto_linear_weights_free(weights, k->p);
    sotto_free(r);
    sotto_free(masks);
    sotto_free(c);
    sotto_free(want);
    sotto_free(request);
    sotto_free(answer);
}

static int any(void *ctx, const sotto_linear_plan *candidate, const sotto_bfv_params *p)
{
    (void)candidate;
    (void)p;
    return ctx != NULL;
}

static void check_candidate(void *ctx, const sotto_linear_plan *candidate, const sotto_bfv_params *p)
{
    tile_case *k = ctx;
    assert_ptr_equal(p, k->p);
    check_tile(k, candidate->tile);
    k->seen++;
}

static const unsigned two_primes[] = {46, 46};

/* All that the search offers, and tiles of any size that no even split gives. */
static void test_tiles(void **state)
{
    (void)state;
    static const sotto_linear_shape shapes[] = {
        {3, 7, 5, 4, 3, 3, 1, 1, 1, 1, 1, 1, 1, 8},
        {4, 6, 7, 6, 3, 2, 2, 1, 1, 0, 0, 1, 2, 8},
        {24, 1, 1, 7, 1, 1, 1, 1, 0, 0, 0, 0, 1, 8},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        tile_case k = {.shape = shapes[i], .rng = test_rng(test_seed(), i)};
        sotto_linear_plan plan;
        assert_ok(sotto_bfv_params_from_bits(&k.p, 4096, two_primes, 2, UINT64_C(1) << 20));
        assert_ok(sotto_bfv_secret_key_new(&k.sk, k.p, &k.rng));
        assert_ok(sotto_bfv_public_key_new(&k.pk, k.p, &k.sk, &k.rng));
        const sotto_linear_visitor v = {any, check_candidate, &k};
        assert_ok(sotto_linear_plan_each(k.p, &k.shape, 1000, &v));
        assert_true(k.seen >= 4);
        assert_ok(sotto_linear_plan_new(&plan, k.p, &k.shape, 1000));
        for (size_t run = 0; run < 12; run++) {
            check_tile(&k, (sotto_linear_tile){1 + (uint32_t)test_below(&k.rng, plan.planes), 1 + (uint32_t)test_below(&k.rng, k.shape.out_c),
                                               1 + (uint32_t)test_below(&k.rng, plan.out_h), 1 + (uint32_t)test_below(&k.rng, plan.out_w)});
        }
        sotto_bfv_secret_key_free(&k.sk);
        sotto_bfv_public_key_free(&k.pk);
        sotto_bfv_params_free(k.p);
    }
}

static void test_tile_refused(void **state)
{
    (void)state;
    const sotto_linear_shape shape = {64, 16, 16, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 8};
    static const sotto_linear_tile wrong[] = {{0, 1, 1, 1}, {1, 0, 1, 1},  {1, 1, 0, 1},          {1, 1, 1, 0},           {65, 1, 1, 1},
                                              {1, 65, 1, 1}, {1, 1, 17, 1}, {1, 1, 1, 17}, {64, 64, 16, 16}, {UINT32_MAX, UINT32_MAX, 16, 16}, {64, 64, 1, 1}};
    sotto_bfv_params *p = NULL;
    assert_ok(sotto_bfv_params_from_bits(&p, 4096, two_primes, 2, UINT64_C(1) << 20));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        sotto_linear_plan plan = {.planes = 77};
        assert_status(SOTTO_ERR_PARAMS, sotto_linear_plan_tile(&plan, p, &shape, 1000, wrong[i]));
        assert_non_null(strstr(sotto_error_message(), "tile"));
        assert_int_equal(plan.planes, 77);
    }
    sotto_bfv_params_free(p);
}

/* What both parties read: the same in, the same out; nothing but four numbers. */
static void test_tile_text(void **state)
{
    (void)state;
    static const char head[] = "sotto-model 1\ninput 1x4x4\nconv c1 input out=2 kernel=3 pad=1\nplan c1 weight-scale=0.5 weight-bits=8 he=4096:46,46";
    static const struct {
        const char *tail;
        int holds;
    } cases[] = {{" tile=1x2x4x3\n", 1}, {"\n", 1},           {" tile=1x2x4\n", 0},    {" tile=0x2x4x4\n", 0},
                 {" tile=1x2x4x4x1\n", 0}, {" tile=1,2,4,4\n", 0}, {" tile=\n", 0}, {" tile=99999999999x1x1x1\n", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512], *printed = NULL, *again = NULL;
        size_t len, len2;
        sotto_model m;
        snprintf(text, sizeof text, "%s%s", head, cases[i].tail);
        const int status = sotto_model_parse(&m, text, strlen(text));
        assert_int_equal(status, cases[i].holds ? SOTTO_OK : SOTTO_ERR_FORMAT);
        if (status == SOTTO_OK) {
            const uint32_t want[4] = {1, 2, 4, 3}, none[4] = {0};
            assert_memory_equal(m.nodes[1].plan.tile, i == 0 ? want : none, sizeof want);
            assert_ok(sotto_model_print(&m, &printed, &len));
            sotto_model_free(&m);
            assert_ok(sotto_model_parse(&m, printed, len));
            assert_ok(sotto_model_print(&m, &again, &len2));
            assert_int_equal(len, len2);
            assert_memory_equal(printed, again, len);
            assert_int_equal(strstr(printed, " tile=1x2x4x3\n") != NULL, i == 0);
            sotto_free(printed);
            sotto_free(again);
            sotto_model_free(&m);
        }
    }
}

/* What sessions run with is a part of the plan, and names are all that stands in the file. */
static void test_session_text(void **state)
{
    (void)state;
    static const char head[] = "sotto-model 1\ninput 1x4x4\nconv c1 input out=2 kernel=3 pad=1\nplan input scale=0.5 bits=8";
    static const struct {
        const char *tail;
        int status;
        sotto_sign_provider sign;
        sotto_ot_kind ot;
    } cases[] = {{"\n", SOTTO_OK, SOTTO_SIGN_LOOKUP, SOTTO_OT_SOFTSPOKEN4},
                 {" sign=lookup ot=iknp\n", SOTTO_OK, SOTTO_SIGN_LOOKUP, SOTTO_OT_IKNP},
                 {" sign=circuit3 ot=softspoken8\n", SOTTO_OK, SOTTO_SIGN_CIRCUIT3, SOTTO_OT_SOFTSPOKEN8},
                 {" ot=ferret\n", SOTTO_OK, SOTTO_SIGN_LOOKUP, SOTTO_OT_FERRET},
                 {" sign=unknown\n", SOTTO_ERR_FORMAT, 0, 0},
                 {" ot=unknown\n", SOTTO_ERR_FORMAT, 0, 0},
                 {" sign=plan\n", SOTTO_ERR_FORMAT, 0, 0},
                 {" ot=\n", SOTTO_ERR_FORMAT, 0, 0},
                 {" sign=lookup sign=lookup\n", SOTTO_ERR_FORMAT, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512], *printed = NULL;
        size_t len;
        sotto_model m;
        sotto_sign_provider sign = SOTTO_SIGN_PLANNED;
        sotto_ot_kind ot = SOTTO_OT_PLANNED;
        snprintf(text, sizeof text, "%s%s", head, cases[i].tail);
        assert_status(cases[i].status, sotto_model_parse(&m, text, strlen(text)));
        if (cases[i].status == SOTTO_OK) {
            sotto_network_session(&m, &sign, &ot);
            assert_int_equal(sign, cases[i].sign);
            assert_int_equal(ot, cases[i].ot);
            assert_ok(sotto_model_print(&m, &printed, &len));
            snprintf(text, sizeof text, "plan input scale=0.5 bits=8%s", cases[i].tail);
            assert_non_null(strstr(printed, text));
            sign = SOTTO_SIGN_CIRCUIT; /* who asks gets it */
            ot = SOTTO_OT_SOFTSPOKEN3;
            sotto_network_session(&m, &sign, &ot);
            assert_int_equal(sign, SOTTO_SIGN_CIRCUIT);
            assert_int_equal(ot, SOTTO_OT_SOFTSPOKEN3);
            sotto_free(printed);
            sotto_model_free(&m);
        }
    }
}

/* ---- choices -------------------------------------------------------------------------------------------------------------------- */

static const char fixture_tiny[] = "sotto-model 1\n"
                                   "input 1x4x4\n"
                                   "conv c1 input out=3 kernel=3 pad=1\n"
                                   "relu r1 c1\n"
                                   "conv c2 r1 out=2 kernel=2 stride=2\n"
                                   "relu r2 c2\n"
                                   "dense f1 r2 out=3\n";

typedef struct listed {
    const sotto_he_set *set;
    sotto_linear_tile tile[64];
    size_t count;
} listed;

static void list_tile(void *ctx, const sotto_linear_plan *candidate, const sotto_bfv_params *p)
{
    listed *l = ctx;
    (void)p;
    assert_true(l->count < 64);
    l->tile[l->count++] = candidate->tile;
}

static double aim(const sotto_forecast *f, sotto_goal goal)
{
    return goal == SOTTO_GOAL_PREPARE ? f->prepare : goal == SOTTO_GOAL_INFER ? f->infer : f->prepare + f->infer;
}

typedef struct exhaustive {
    sotto_model *m;
    const sotto_program *program;
    const sotto_wish *wish;
    double least;
    size_t tried;
} exhaustive;

/* With the plans of all linear steps before `step` given. */
static void try_all(exhaustive *e, size_t step)
{
    const sotto_conditions *o = &e->wish->conditions;
    while (step < e->program->step_count && e->program->steps[step].op != SOTTO_STEP_LINEAR) {
        step++;
    }
    if (step == e->program->step_count) {
        sotto_network n;
        assert_ok(sotto_network_new(&n, e->m));
        for (int session = 0; session < 8 * SOTTO_SIGN_PROVIDERS; session++) {
            sotto_terms t;
            sotto_forecast f;
            if ((e->wish->any_sign || session / 8 == (int)e->wish->sign) && (e->wish->any_ot || session % 8 + 1 == (int)e->wish->ot)) {
                assert_ok(sotto_terms_new(&t, &n, (sotto_sign_provider)(session / 8), (sotto_ot_kind)(session % 8 + 1)));
                assert_ok(sotto_forecast_new(&f, &t, o));
                e->least = fmin(e->least, aim(&f, e->wish->goal));
                e->tried++;
                sotto_forecast_free(&f);
                sotto_terms_free(&t);
            }
        }
        sotto_network_free(&n);
        return;
    }
    const sotto_step_info *s = &e->program->steps[step];
    sotto_node_plan *plan = &e->m->nodes[s->node].plan;
    for (size_t i = 0; i < o->costs->he_count; i++) {
        listed l = {.set = &o->costs->he[i].set};
        sotto_bfv_params *p = NULL;
        const sotto_linear_visitor v = {any, list_tile, &l};
        assert_ok(sotto_bfv_params_from_bits(&p, l.set->n, l.set->bits, l.set->primes, UINT64_C(1) << s->l));
        const int status = sotto_linear_plan_each(p, &s->linear, e->program->coefficients, &v);
        assert_true(status == SOTTO_OK || status == SOTTO_ERR_PARAMS);
        for (size_t k = 0; k < l.count; k++) {
            plan->he_n = l.set->n;
            plan->he_primes = l.set->primes;
            memcpy(plan->he_prime_bits, l.set->bits, sizeof plan->he_prime_bits);
            const uint32_t tile[4] = {l.tile[k].channels, l.tile[k].filters, l.tile[k].rows, l.tile[k].cols};
            memcpy(plan->tile, tile, sizeof tile);
            try_all(e, step + 1);
        }
        sotto_bfv_params_free(p);
    }
}

static void test_optimum(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const sotto_rng rng = test_rng(test_seed() + i, 60);
        static sotto_costs c;
        sotto_model m;
        sotto_program program;
        sotto_choice choice;
        random_costs(&c, i % 2 ? 2 : 1, &rng);
        fixture_model(&m, i < 3 ? "sotto-model 1\ninput 1x4x4\nconv c1 input out=3 kernel=3 pad=1\nrelu r1 c1\ndense f1 r1 out=3\n" : fixture_tiny, 6, &rng);
        if (i == 3) {
            c.he_count = 1;
        }
        const sotto_wish wish = {random_conditions(&c, &rng), (sotto_goal)(i % 3), 0, i < 3, i < 3, SOTTO_SIGN_LOOKUP, SOTTO_OT_SOFTSPOKEN3};
        assert_ok(sotto_program_new(&program, &m));
        exhaustive e = {&m, &program, &wish, INFINITY, 0};
        try_all(&e, 0);
        assert_true(e.tried > 50);
        assert_ok(sotto_planner_choose(&m, &choice, &wish));
        assert_true(choice.slack == 0.0);
        assert_int_equal(m.nodes[0].plan.sign, 1 + choice.sign);
        assert_int_equal(m.nodes[0].plan.ot, choice.ot);
        sotto_network n;
        sotto_terms t;
        sotto_forecast f;
        assert_ok(sotto_network_new(&n, &m));
        assert_ok(sotto_terms_new(&t, &n, choice.sign, choice.ot));
        assert_ok(sotto_forecast_new(&f, &t, &wish.conditions));
        assert_true(fabs(f.prepare - choice.prepare) <= 1e-9 * f.prepare && fabs(f.infer - choice.infer) <= 1e-9 * f.infer);
        if (fabs(aim(&f, wish.goal) - e.least) > 1e-9 * e.least) {
            fail_msg("chosen %.9g s, the least of %zu choices is %.9g s", aim(&f, wish.goal), e.tried, e.least);
        }
        sotto_forecast_free(&f);
        sotto_terms_free(&t);
        sotto_network_free(&n);
        sotto_program_free(&program);
        sotto_model_free(&m);
    }
}

/* On networks with too many combinations to try: never worse than the plan without the planner in the same session, but for the slack. */
static void test_no_worse(void **state)
{
    (void)state;
    static const char *const texts[] = {fixture_plain, fixture_rich, fixture_mixed};
    for (size_t i = 0; i < 6; i++) {
        const sotto_rng rng = test_rng(test_seed() + i, 70);
        static sotto_costs c;
        sotto_model m;
        sotto_network n;
        sotto_terms t;
        sotto_forecast f;
        sotto_choice choice;
        size_t sets;
        (void)sotto_network_sets(&sets);
        random_costs(&c, sets, &rng);
        fixture_model(&m, texts[i % 3], 6, &rng);
        const sotto_wish wish = {random_conditions(&c, &rng), SOTTO_GOAL_PREPARE, 0, 0, 0, SOTTO_SIGN_LOOKUP, (sotto_ot_kind)(1 + test_below(&rng, 8))};
        assert_ok(sotto_network_new(&n, &m));
        assert_ok(sotto_terms_new(&t, &n, wish.sign, wish.ot));
        assert_ok(sotto_forecast_new(&f, &t, &wish.conditions));
        assert_ok(sotto_planner_choose(&m, &choice, &wish));
        assert_int_equal(choice.ot, wish.ot);
        assert_true(choice.prepare <= f.prepare * (1.0 + 1e-12) + choice.slack);
        assert_true(choice.slack <= 0.05 * choice.prepare);
        sotto_forecast_free(&f);
        sotto_terms_free(&t);
        sotto_network_free(&n);
        sotto_model_free(&m);
    }
}

/* ---- refusals ------------------------------------------------------------------------------------------------------------------- */

static void assert_says(const char *a, const char *b)
{
    if (strstr(sotto_error_message(), a) == NULL || strstr(sotto_error_message(), b) == NULL) {
        fail_msg("'%s' does not say '%s' and '%s'", sotto_error_message(), a, b);
    }
}

static void set_he(sotto_model *m, const char *node, uint32_t n, unsigned primes, unsigned bits)
{
    sotto_node_plan *p = &m->nodes[sotto_model_find(m, node)].plan;
    p->he_n = n;
    p->he_primes = primes;
    for (unsigned i = 0; i < primes; i++) {
        p->he_prime_bits[i] = bits;
    }
}

static void test_refused(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 80);
    static sotto_costs c;
    sotto_model m;
    sotto_network n;
    sotto_choice choice;
    random_costs(&c, 2, &rng);
    fixture_model(&m, fixture_plain, 6, &rng);
    const sotto_node_plan before = m.nodes[sotto_model_find(&m, "c1")].plan;
    set_he(&m, "c1", 4096, 3, 46); /* above the table's log2 q */
    assert_status(SOTTO_ERR_PARAMS, sotto_network_new(&n, &m));
    assert_says("c1", "128");
    set_he(&m, "c1", 2048, 1, 54); /* secure, and no room for the flood */
    assert_status(SOTTO_ERR_PARAMS, sotto_network_new(&n, &m));
    assert_says("c1", "room");
    m.nodes[sotto_model_find(&m, "c1")].plan = before;
    m.nodes[sotto_model_find(&m, "f1")].plan.tile[0] = 1; /* rows: 0 */
    assert_status(SOTTO_ERR_PARAMS, sotto_network_new(&n, &m));
    assert_says("f1", "tile");
    m.nodes[sotto_model_find(&m, "f1")].plan.tile[0] = 0;
    /* Nothing to choose from; a ring that no set holds; signs that a lookup cannot decide. */
    sotto_wish wish = {{&c, 0.0, 0.0, 1, 0}, SOTTO_GOAL_SUM, 0, 0, 1, SOTTO_SIGN_LOOKUP, SOTTO_OT_IKNP};
    c.he_count = 0;
    assert_status(SOTTO_ERR_PARAMS, sotto_planner_choose(&m, &choice, &wish));
    assert_says("c1", "HE");
    c.he_count = 1;
    sotto_node_plan *k = &m.nodes[sotto_model_find(&m, "p1")].plan;
    const sotto_node_plan pool = *k;
    k->k = 48;
    assert_status(SOTTO_ERR_PARAMS, sotto_planner_choose(&m, &choice, &wish));
    assert_says("c1", "bits");
    *k = pool;
    for (size_t i = 0; i < m.node_count; i++) {
        m.nodes[i].plan.u = m.nodes[i].plan.u > 0 ? 11 : 0;
    }
    assert_status(SOTTO_ERR_PARAMS, sotto_planner_choose(&m, &choice, &wish));
    assert_says("lookup", "11");
    assert_memory_equal(&m.nodes[sotto_model_find(&m, "c1")].plan, &before, sizeof before);
    wish.any_sign = 1;
    assert_ok(sotto_planner_choose(&m, &choice, &wish));
    assert_int_not_equal(choice.sign, SOTTO_SIGN_LOOKUP);
    sotto_model_free(&m);
}

/* Of a plan that was just made, the same figures as when it was made; of one with wider rings no more that can be left. */
static void test_widths(void **state)
{
    (void)state;
    static const char *const texts[] = {fixture_plain, fixture_rich, fixture_mixed};
    for (size_t i = 0; i < 3; i++) {
        const sotto_rng rng = test_rng(test_seed() + i, 95);
        sotto_model m, bare;
        sotto_observation seen = {0};
        sotto_calibration options = sotto_calibration_default();
        sotto_calibration_report made, read;
        options.sign_bits = 6;
        fixture_raw(&m, texts[i], &rng);
        assert_ok(sotto_model_deploy(&m));
        uint8_t *images = fixture_images(&m, FIXTURE_IMAGES, &rng);
        assert_ok(sotto_observe(&seen, &m, images, FIXTURE_IMAGES, 1, NULL, NULL));
        assert_ok(sotto_plan(&m, &seen, &options, &made));
        const sotto_node_plan before = m.nodes[2].plan;
        assert_ok(sotto_plan_report(&m, &read));
        assert_int_equal(read.units, made.units);
        assert_true(read.never <= made.never && read.units > 0);
        assert_memory_equal(&before, &m.nodes[2].plan, sizeof before);
        for (size_t k = 1; k < m.node_count; k++) {
            m.nodes[k].plan.k += m.nodes[k].plan.k > 0 ? 8 : 0;
            for (uint32_t c = 0; m.nodes[k].windows != NULL && c < m.nodes[k].shape.c; c++) {
                m.nodes[k].windows[c] = (uint8_t)(m.nodes[k].windows[c] + 8);
            }
        }
        const size_t never = read.never;
        assert_ok(sotto_plan_report(&m, &read));
        assert_true(read.never >= never);
        assert_ok(sotto_model_parse(&bare, texts[i], strlen(texts[i])));
        assert_status(SOTTO_ERR_ARG, sotto_plan_report(&bare, &read));
        sotto_model_free(&bare);
        sotto_observation_free(&seen);
        sotto_free(images);
        sotto_model_free(&m);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 90);
    static sotto_costs c;
    sotto_model m;
    sotto_choice choice;
    random_costs(&c, 1, &rng);
    fixture_model(&m, "sotto-model 1\ninput 1x4x4\nconv c1 input out=3 kernel=3 pad=1\nrelu r1 c1\ndense f1 r1 out=3\n", 6, &rng);
    const sotto_wish wish = {{&c, 0.0, 0.0, 1, 0}, SOTTO_GOAL_SUM, 0, 0, 0, SOTTO_SIGN_LOOKUP, SOTTO_OT_SOFTSPOKEN4};
    sotto_node_plan before[8];
    assert_true(m.node_count <= 8);
    for (size_t i = 0; i < m.node_count; i++) {
        before[i] = m.nodes[i].plan;
    }
    long failures = 0;
    for (long k = 0;; k++) {
        sotto_calloc_fail_after(k);
        const int status = sotto_planner_choose(&m, &choice, &wish);
        sotto_calloc_fail_after(-1);
        if (status == SOTTO_OK) {
            break;
        }
        assert_int_equal(status, SOTTO_ERR_MEMORY);
        failures++;
        for (size_t i = 0; i < m.node_count; i++) {
            assert_memory_equal(&m.nodes[i].plan, &before[i], sizeof before[i]);
        }
    }
    assert_true(failures > 10);
    sotto_network n;
    sotto_terms t;
    assert_ok(sotto_network_new(&n, &m));
    assert_ok(sotto_terms_new(&t, &n, choice.sign, choice.ot));
    for (long k = 0; k < 2; k++) {
        sotto_forecast f;
        sotto_calloc_fail_after(k);
        const int status = sotto_forecast_new(&f, &t, &wish.conditions);
        sotto_calloc_fail_after(-1);
        assert_int_equal(status, SOTTO_ERR_MEMORY);
        assert_null(f.steps);
    }
    sotto_terms_free(&t);
    sotto_network_free(&n);
    sotto_model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_tile_refused),
        cmocka_unit_test(test_tile_text),
        cmocka_unit_test(test_session_text),
        cmocka_unit_test(test_optimum),
        cmocka_unit_test(test_no_worse),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
