/* Forecasts against sessions, for bytes, and against sums by hand, for times. */
#include "lib/bytes.h"
#include "nn/plan/forecast_internal.h"
#include "nn/plan/planner.h"
#include "tests/nn/machines.h"

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
    int label_only;
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
    const sotto_session_env env = {.chan = chan, .rng = test_rng(r->seed, 2), .label_only = r->label_only};
    sotto_session *s = NULL;
    int64_t x[4096] = {1, 2, 3}, logits[64];
    int status = sotto_session_open(&s, &r->serving->network, &env, r->sign, r->ot);
    if (status == SOTTO_OK) {
        status = sotto_session_prepare(s);
    }
    if (status == SOTTO_OK) {
        size_t label;
        status = r->label_only ? sotto_session_label(s, &label, x) : sotto_session_infer(s, logits, x);
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
static void check_bytes(const sotto_serving *serving, sotto_sign_provider sign, sotto_ot_kind ot, int label_only, const sotto_conditions *o, uint64_t seed)
{
    both r = {.serving = serving, .sign = sign, .ot = ot, .label_only = label_only, .seed = seed};
    sotto_terms t;
    sotto_forecast f;
    int status[2];
    sotto_network_session(&serving->network.model, &sign, &ot);
    assert_ok(sotto_terms_new(&t, &serving->network, sign, ot));
    if (label_only) {
        assert_ok(sotto_terms_label_only(&t));
    }
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
    const sotto_unit_bytes *label = &t.label.bytes;
    const sotto_stock_cost stock = sotto_terms_stock(&t);
    assert_int_equal(f.bytes.prepare_out - sum.prepare_out, 24 + stock.out + (label_only ? 32 + label->matrix + label->choice : 0));
    assert_int_equal(f.bytes.prepare_in - sum.prepare_in, 24 + stock.in + (label_only ? 16 + label->table + (label->correction > 0 ? 16 + label->correction : 0) : 0));
    assert_int_equal(f.bytes.infer_out - sum.infer_out, 24 + sotto_packed_bytes(p->input_words, p->steps[0].l));
    assert_int_equal(f.bytes.infer_in - sum.infer_in, 16 + (label_only ? label->offer : sotto_packed_bytes(last->words, last->l)));
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
                const sotto_wish wish = {o, SOTTO_GOAL_SUM, 0, 1, 1, SOTTO_SIGN_LOOKUP, SOTTO_OT_IKNP};
                assert_ok(sotto_planner_choose(&m, &choice, &wish));
                print_model(&m);
            }
            assert_ok(sotto_serving_new(&serving, &m, NULL));
            for (int kind = SOTTO_OT_IKNP; kind <= SOTTO_OT_SOFTSPOKEN8 + 2; kind++) {
                const int sign = (kind + (int)i + planned) % SOTTO_SIGN_PROVIDERS;
                check_bytes(&serving, (sotto_sign_provider)sign, kind > SOTTO_OT_SOFTSPOKEN8 ? SOTTO_OT_FERRET : (sotto_ot_kind)kind, kind % 5 == 4, &o, seed);
            }
            check_bytes(&serving, SOTTO_SIGN_PLANNED, SOTTO_OT_PLANNED, 0, &o, seed);
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
    const sotto_conditions o = {&c, rate, rtt, 1, 0};
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

/* A connection that holds little keeps the client from learning: it cannot have asked before the server has read. Work on one machine takes longer by as much as both
 * work at once. */
static void test_window_and_company(void **state)
{
    (void)state;
    sotto_flow flow[3] = {{.mask = 1.0, .ask = 2.0, .answer = 10.0, .learn = 3.0, .up = 100.0, .down = 10.0},
                          {.ask = 2.0, .answer = 20.0, .learn = 4.0, .up = 100.0, .down = 10.0},
                          {.ask = 2.0, .answer = 30.0, .learn = 5.0, .up = 100.0, .down = 10.0}};
    sotto_line l = {.window = INFINITY, .company = 1.0};
    /* The server: from 3 to 13, 33, 63; the client has asked by 7, and learns between. */
    assert_true(fabs(sotto_flow_prepare(flow, 3, &l) - (63.0 + 5.0)) < 1e-12);
    l.window = 200.0; /* the third request waits until the first is read, which is at once */
    assert_true(fabs(sotto_flow_prepare(flow, 3, &l) - (63.0 + 5.0)) < 1e-12);
    l.window = 100.0; /* until the second is read, at 13 */
    assert_true(fabs(sotto_flow_prepare(flow, 3, &l) - (63.0 + 5.0)) < 1e-12);
    flow[2].answer = 0.0; /* at 13 the client begins to learn from the first; at 33 the rest has arrived */
    assert_true(fabs(sotto_flow_prepare(flow, 3, &l) - (33.0 + 4.0 + 5.0)) < 1e-12);
    flow[0].learn = 25.0;
    assert_true(fabs(sotto_flow_prepare(flow, 3, &l) - (13.0 + 25.0 + 4.0 + 5.0)) < 1e-12);
    l.window = INFINITY; /* all asked by 7, the first answer is there at 13 all the same */
    assert_true(fabs(sotto_flow_prepare(flow, 3, &l) - (13.0 + 25.0 + 4.0 + 5.0)) < 1e-12);
    flow[1].answer = 0.0;
    flow[0].answer = 1.0; /* learning begins when all is asked: at 7, or held up: when the second has been read, at 5 */
    assert_true(fabs(sotto_flow_prepare(flow, 3, &l) - (7.0 + 34.0)) < 1e-12);
    /* Client 1 + 6 + 34, server 1: the second slows the first by a second at most. */
    l.company = 1.5;
    assert_true(fabs(sotto_flow_prepare(flow, 3, &l) - (7.0 + 34.0) * (1.0 + 0.5 * 1.0 / 41.0)) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_time_by_hand),
        cmocka_unit_test(test_window_and_company),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
