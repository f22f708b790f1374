/* Tiles that are given, costs as a file, forecasts against sessions, choices against all choices. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "nn/plain/fixed.h"
#include "nn/secure/planner.h"
#include "tests/nn/fixture.h"

/* ---- made-up machines ----------------------------------------------------------------------------------------------------------- */

static double some(const sotto_rng *rng, double low, double high)
{
    return low * pow(high / low, (double)test_below(rng, 1u << 20) / (1u << 20));
}

static void random_works(double *of, size_t count, const sotto_rng *rng, double low, double high)
{
    for (size_t i = 0; i < count; i++) {
        of[i] = some(rng, low, high);
    }
}

/* Costs within two orders of magnitude, with the first `sets` HE sets. */
static void random_costs(sotto_costs *c, size_t sets, const sotto_rng *rng)
{
    const sotto_he_set *all = sotto_network_sets(&c->he_count);
    memset(c, 0, sizeof *c);
    sotto_costs_machine(c->machine);
    c->he_count = sets;
    for (size_t i = 0; i < sets; i++) {
        c->he[i].set = all[i];
        random_works(c->he[i].of, SOTTO_HE_WORKS, rng, 1e-6, 1e-4);
        c->he[i].of[SOTTO_HE_FLOOD] *= 1e-3;
        c->he[i].of[SOTTO_HE_WANTED] *= 1e-3;
    }
    random_works(c->ot_send, sizeof c->ot_send / sizeof *c->ot_send, rng, 1e-9, 1e-7);
    random_works(c->ot_recv, sizeof c->ot_recv / sizeof *c->ot_recv, rng, 1e-9, 1e-7);
    for (size_t i = 0; i < SOTTO_SIGN_PROVIDERS * 2; i++) {
        for (unsigned u = 2; u <= SOTTO_COST_U_MAX; u++) {
            random_works(c->unit[i / 2][i % 2][u].of, SOTTO_WORKS, rng, 1e-7, 1e-6);
        }
    }
    random_works(c->pixel.of, SOTTO_WORKS, rng, 1e-8, 1e-7);
    random_works(c->passed[0].of, SOTTO_WORKS, rng, 1e-8, 1e-7);
    random_works(c->passed[1].of, SOTTO_WORKS, rng, 1e-8, 1e-7);
    random_works(c->poly.of, SOTTO_WORKS, rng, 1e-8, 1e-7);
    random_works(c->apply, SOTTO_APPLY_KINDS, rng, 1e-10, 1e-9);
    c->word = some(rng, 1e-10, 1e-8);
    c->draw = some(rng, 1e-10, 1e-8);
    c->sent = some(rng, 1e-11, 1e-9);
    c->received = some(rng, 1e-11, 1e-9);
    c->byte = some(rng, 1e-10, 1e-9);
    c->round_trip = some(rng, 1e-6, 1e-4);
}

static sotto_conditions random_conditions(const sotto_costs *c, const sotto_rng *rng)
{
    const int loopback = test_below(rng, 4) == 0;
    return (sotto_conditions){c, loopback ? 0.0 : some(rng, 1e5, 1e9), some(rng, 1e-5, 1e-1), 1 + (unsigned)test_below(rng, 4)};
}

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

/* ---- costs ---------------------------------------------------------------------------------------------------------------------- */

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
    } damage[] = {{"costs 1", "costs 2", SOTTO_ERR_VERSION}, {"machine ", "machine x", SOTTO_ERR_MISMATCH}, {"pixel ", "pixle ", SOTTO_ERR_FORMAT},
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
    assert_true(c.sent > 0.0 && c.received > 0.0 && c.byte > 0.0 && c.round_trip > 0.0 && c.word > 0.0 && c.draw > 0.0);
}

/* ---- forecasts ------------------------------------------------------------------------------------------------------------------ */

static const char fixture_poly[] = "sotto-model 1\n"
                                   "name poly\n"
                                   "input 2x6x5\n"
                                   "conv c1 input out=4 kernel=3 pad=1\n"
                                   "act a1 c1\n"
                                   "maxpool p1 a1 kernel=2 stride=1\n"
                                   "identity i1 p1\n"
                                   "dense f1 i1 out=3\n";

static void poly_model(sotto_model *m, unsigned exchange, const sotto_rng *rng)
{
    static const uint8_t kinds[] = {SOTTO_UNIT_SQUARE, SOTTO_UNIT_RELU, SOTTO_UNIT_CUBIC, SOTTO_UNIT_IDENTITY};
    fixture_model(m, fixture_poly, 6, rng);
    fixture_polynomials(m, "a1", kinds, exchange, rng);
}

typedef struct both {
    const sotto_serving *serving;
    sotto_sign_provider sign;
    sotto_ot_kind ot;
    uint64_t seed;
    sotto_stats stats;
} both;

static int run_server(sotto_chan *chan, void *ctx)
{
    const both *r = ctx;
    const sotto_session_env env = {.chan = chan, .rng = test_rng(r->seed, 1)};
    return sotto_session_serve(r->serving, &env, NULL);
}

static int run_client(sotto_chan *chan, void *ctx)
{
    both *r = ctx;
    const sotto_session_env env = {.chan = chan, .rng = test_rng(r->seed, 2)};
    sotto_session *s = NULL;
    int64_t x[4096] = {1, 2, 3}, logits[64];
    int status = sotto_session_open(&s, &r->serving->network, &env, r->sign, r->ot);
    if (status == SOTTO_OK) {
        status = sotto_session_prepare(s);
    }
    if (status == SOTTO_OK) {
        status = sotto_session_infer(s, logits, x);
        r->stats = sotto_session_stats(s);
    }
    sotto_session_close(s);
    return status;
}

static void assert_bytes(const sotto_item_bytes *want, const sotto_stats *got)
{
    assert_int_equal(want->prepare_out, got->prepare.bytes_out);
    assert_int_equal(want->prepare_in, got->prepare.bytes_in);
    assert_int_equal(want->infer_out, got->infer.bytes_out);
    assert_int_equal(want->infer_in, got->infer.bytes_in);
}

/* The forecast's bytes are those of a session, and its steps add up to them but for what frames an item. */
static void check_bytes(const sotto_serving *serving, sotto_sign_provider sign, sotto_ot_kind ot, const sotto_conditions *o, uint64_t seed)
{
    both r = {.serving = serving, .sign = sign, .ot = ot, .seed = seed};
    sotto_terms t;
    sotto_forecast f;
    int status[2];
    assert_ok(sotto_terms_new(&t, &serving->network, sign, ot));
    assert_ok(sotto_forecast_new(&f, &t, o));
    test_two_party(run_server, &r, run_client, &r, status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    assert_bytes(&f.bytes, &r.stats);
    sotto_item_bytes sum = {0};
    for (size_t i = 0; i < f.step_count; i++) {
        sum.prepare_out += f.steps[i].bytes.prepare_out;
        sum.prepare_in += f.steps[i].bytes.prepare_in;
        sum.infer_out += f.steps[i].bytes.infer_out;
        sum.infer_in += f.steps[i].bytes.infer_in;
    }
    const sotto_program *p = &serving->network.program;
    const sotto_step_info *last = &p->steps[p->step_count - 1];
    assert_int_equal(f.bytes.prepare_out - sum.prepare_out, 24);
    assert_int_equal(f.bytes.prepare_in - sum.prepare_in, 24);
    assert_int_equal(f.bytes.infer_out - sum.infer_out, 24 + sotto_packed_bytes(p->input_words, p->steps[0].l));
    assert_int_equal(f.bytes.infer_in - sum.infer_in, 16 + sotto_packed_bytes(last->words, last->l));
    sotto_forecast_free(&f);
    sotto_terms_free(&t);
}

static void print_model(sotto_model *m)
{
    char *text = NULL;
    size_t len;
    assert_ok(sotto_model_print(m, &text, &len));
    sotto_free(text);
}

static void test_bytes(void **state)
{
    (void)state;
    static const char *const texts[] = {fixture_plain, fixture_rich, fixture_mixed};
    for (size_t i = 0; i < 5; i++) {
        const uint64_t seed = test_seed() + i;
        const sotto_rng rng = test_rng(seed, 30);
        static sotto_costs c;
        sotto_model m;
        sotto_serving serving;
        size_t sets;
        (void)sotto_network_sets(&sets);
        random_costs(&c, sets, &rng);
        const sotto_conditions o = random_conditions(&c, &rng);
        if (i < 3) {
            fixture_model(&m, texts[i], 6, &rng);
        } else {
            poly_model(&m, i == 4, &rng);
        }
        for (int planned = 0; planned < 2; planned++) {
            if (planned) {
                sotto_choice choice;
                const sotto_wish wish = {o, SOTTO_GOAL_SUM, 1, 1, SOTTO_SIGN_LOOKUP, SOTTO_OT_IKNP};
                assert_ok(sotto_planner_choose(&m, &choice, &wish));
                print_model(&m);
            }
            assert_ok(sotto_serving_new(&serving, &m, NULL));
            for (int kind = SOTTO_OT_IKNP; kind <= SOTTO_OT_SOFTSPOKEN8; kind++) {
                const int sign = (kind + (int)i + planned) % 2;
                check_bytes(&serving, (sotto_sign_provider)sign, (sotto_ot_kind)kind, &o, seed);
            }
            sotto_serving_free(&serving);
        }
        sotto_model_free(&m);
    }
}

/* No side, no line and no exchange can be quicker than its own work; a slower network or machine is never quicker. */
static void test_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        const sotto_rng rng = test_rng(test_seed() + i, 40);
        static sotto_costs c;
        sotto_model m;
        sotto_network n;
        sotto_terms t;
        sotto_forecast f, slower;
        size_t sets;
        (void)sotto_network_sets(&sets);
        random_costs(&c, sets, &rng);
        fixture_model(&m, i % 2 ? fixture_rich : fixture_mixed, 6, &rng);
        sotto_conditions o = random_conditions(&c, &rng);
        o.bytes_per_second = some(&rng, 1e5, 1e9);
        assert_ok(sotto_network_new(&n, &m));
        assert_ok(sotto_terms_new(&t, &n, (sotto_sign_provider)(i % 2), SOTTO_OT_SOFTSPOKEN4));
        assert_ok(sotto_forecast_new(&f, &t, &o));
        double client = 0.0, server = 0.0, client_infer = 0.0, server_infer = 0.0, round_trips = 0.0;
        for (size_t k = 0; k < f.step_count; k++) {
            client += f.steps[k].client_prepare;
            server += f.steps[k].server_prepare;
            client_infer += f.steps[k].client_infer;
            server_infer += f.steps[k].server_infer;
            round_trips += f.steps[k].bytes.infer_in > 0 && f.steps[k].bytes.infer_out > 0;
        }
        const double least = 0.999999;
        assert_true(f.prepare >= least * client && f.prepare >= least * server);
        assert_true(f.prepare >= least * ((double)f.bytes.prepare_out / o.bytes_per_second + o.rtt));
        assert_true(f.prepare >= least * ((double)f.bytes.prepare_in / o.bytes_per_second + o.rtt));
        assert_true(f.infer >= least * (client_infer + server_infer) - 1e-12);
        assert_true(f.infer >= least * (round_trips * o.rtt + (double)(f.bytes.infer_out > f.bytes.infer_in ? f.bytes.infer_out : f.bytes.infer_in) / o.bytes_per_second));
        assert_true(f.security >= 128 && f.log_failure <= -40.0);
        o.bytes_per_second *= 0.7;
        o.rtt *= 1.3;
        assert_ok(sotto_forecast_new(&slower, &t, &o));
        assert_true(slower.prepare >= f.prepare && slower.infer >= f.infer);
        sotto_forecast_free(&f);
        sotto_forecast_free(&slower);
        sotto_terms_free(&t);
        sotto_network_free(&n);
        sotto_model_free(&m);
    }
}

/* Two layers, one thread, everything by hand: which is waited for, and when. */
static void test_time_by_hand(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\ninput 1x4x4\nconv c1 input out=2 kernel=3 pad=1\nrelu r1 c1\ndense f1 r1 out=3\n";
    const sotto_rng rng = test_rng(test_seed(), 50);
    static sotto_costs c;
    sotto_model m;
    sotto_network n;
    sotto_terms t;
    sotto_forecast f;
    fixture_model(&m, text, 6, &rng);
    assert_ok(sotto_network_new(&n, &m));
    assert_ok(sotto_terms_new(&t, &n, SOTTO_SIGN_LOOKUP, SOTTO_OT_SOFTSPOKEN4));
    memset(&c, 0, sizeof c); /* work takes no time: only the lines do */
    const sotto_he_set *sets = sotto_network_sets(&c.he_count);
    for (size_t i = 0; i < c.he_count; i++) {
        c.he[i].set = sets[i];
    }
    const double rate = 1000.0, rtt = 7.0;
    const sotto_conditions o = {&c, rate, rtt, 1};
    assert_ok(sotto_forecast_new(&f, &t, &o));
    const sotto_unit_plan *u = &t.units[2];
    const double requests[2] = {16.0 + (double)n.linear[1].plan.request_bytes, 16.0 + (double)n.linear[3].plan.request_bytes};
    const double answers[2] = {16.0 + (double)n.linear[1].plan.answer_bytes, 16.0 + (double)n.linear[3].plan.answer_bytes};
    const double matrix = 16.0 + (double)u->bytes.matrix, correction = 16.0 + (double)u->bytes.correction, choice = 16.0 + (double)u->bytes.choice;
    const double ups[3] = {24.0 + requests[0], matrix, requests[1]}, downs[3] = {answers[0], correction, answers[1]};
    double up = 0.0, down = 0.0;
    for (size_t i = 0; i < 3; i++) { /* each answer after its request */
        up += ups[i] / rate;
        down = fmax(down, up + rtt / 2.0) + downs[i] / rate;
    }
    const double learnt = down + rtt / 2.0, chosen = fmax(up, learnt) + choice / rate + rtt / 2.0;
    assert_true(fabs(f.prepare - (fmax(down, chosen) + 24.0 / rate + rtt / 2.0)) < 1e-9);
    const double input = 24.0 + (double)sotto_terms_input_bytes(&t), offer = 16.0 + (double)u->bytes.offer, reply = 16.0 + (double)u->bytes.reply;
    const double logits = 16.0 + (double)sotto_packed_bytes(3, n.program.steps[3].l);
    assert_int_equal(n.program.step_count, 4);
    assert_true(fabs(f.infer - (2.0 * rtt + (input + offer + reply + logits) / rate)) < 1e-9);
    sotto_forecast_free(&f);
    sotto_terms_free(&t);
    sotto_network_free(&n);
    sotto_model_free(&m);
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
        for (int session = 0; session < 16; session++) {
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
        const sotto_wish wish = {random_conditions(&c, &rng), (sotto_goal)(i % 3), i < 3, i < 3, SOTTO_SIGN_LOOKUP, SOTTO_OT_SOFTSPOKEN3};
        assert_ok(sotto_program_new(&program, &m));
        exhaustive e = {&m, &program, &wish, INFINITY, 0};
        try_all(&e, 0);
        assert_true(e.tried > 50);
        assert_ok(sotto_planner_choose(&m, &choice, &wish));
        assert_true(choice.slack == 0.0);
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
        const sotto_wish wish = {random_conditions(&c, &rng), SOTTO_GOAL_PREPARE, 0, 0, SOTTO_SIGN_LOOKUP, (sotto_ot_kind)(1 + test_below(&rng, 8))};
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
    sotto_wish wish = {{&c, 0.0, 0.0, 1}, SOTTO_GOAL_SUM, 0, 1, SOTTO_SIGN_LOOKUP, SOTTO_OT_IKNP};
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
    assert_int_equal(choice.sign, SOTTO_SIGN_CIRCUIT);
    sotto_model_free(&m);
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
    const sotto_wish wish = {{&c, 0.0, 0.0, 1}, SOTTO_GOAL_SUM, 0, 0, SOTTO_SIGN_LOOKUP, SOTTO_OT_SOFTSPOKEN4};
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
        cmocka_unit_test(test_tiles),       cmocka_unit_test(test_tile_refused),  cmocka_unit_test(test_tile_text),
        cmocka_unit_test(test_costs_file),  cmocka_unit_test(test_costs_measured), cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_time),        cmocka_unit_test(test_time_by_hand),  cmocka_unit_test(test_optimum),
        cmocka_unit_test(test_no_worse),    cmocka_unit_test(test_refused),       cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
