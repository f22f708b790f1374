/* Whole sessions between two threads: bit-exact against the reference, single use, hostile and broken peers. */
#include "lib/bytes.h"
#include "nn/plain/fixed.h"
#include "nn/secure/frame.h"
#include "nn/secure/session.h"
#include "tests/nn/fixture.h"

/* ---- a run of both parties -------------------------------------------------------------------------------------- */

typedef struct shares {
    const sotto_program *program;
    uint64_t **value; /* per step */
} shares;

static void keep(void *ctx, size_t step, const uint64_t *share, size_t words)
{
    shares *s = ctx;
    assert_int_equal(s->program->steps[step].words, words);
    memcpy(s->value[step], share, words * sizeof *share);
}

static void shares_new(shares *s, const sotto_program *p)
{
    s->program = p;
    s->value = sotto_calloc(p->step_count, sizeof *s->value);
    assert_non_null(s->value);
    for (size_t i = 0; i < p->step_count; i++) {
        s->value[i] = sotto_calloc(p->steps[i].words, sizeof **s->value);
        assert_non_null(s->value[i]);
    }
}

static void shares_free(shares *s)
{
    for (size_t i = 0; i < s->program->step_count; i++) {
        sotto_free(s->value[i]);
    }
    sotto_free(s->value);
}

typedef struct run {
    const sotto_serving *serving;
    const uint8_t *images;
    size_t count, prepare; /* images; items prepared ahead of each */
    sotto_sign_provider sign;
    sotto_ot_kind ot;
    uint64_t seed;
    shares client, server;
    void (*check)(struct run *r, size_t image, const int64_t *x, const int64_t *logits);
    sotto_fixed_run *reference;
    sotto_stats stats[2];
} run;

static int run_server(sotto_chan *chan, void *ctx)
{
    run *r = ctx;
    const sotto_session_env env = {.chan = chan, .rng = test_rng(r->seed, 1), .audit = {r->server.value ? keep : NULL, &r->server}};
    return sotto_session_serve(r->serving, &env, &r->stats[1]);
}

static int run_client(sotto_chan *chan, void *ctx)
{
    run *r = ctx;
    const sotto_program *p = &r->serving->network.program;
    const sotto_session_env env = {.chan = chan, .rng = test_rng(r->seed, 2), .audit = {r->client.value ? keep : NULL, &r->client}};
    sotto_session *s = NULL;
    int64_t *x = sotto_calloc(p->input_words, sizeof *x), *logits = sotto_calloc(p->output_words, sizeof *logits);
    int status = x == NULL || logits == NULL ? SOTTO_ERR_MEMORY : sotto_session_open(&s, &r->serving->network, &env, r->sign, r->ot);
    for (size_t i = 0; i < r->count && status == SOTTO_OK; i++) {
        while (status == SOTTO_OK && sotto_session_prepared(s) < r->prepare) {
            status = sotto_session_prepare(s);
        }
        if (status == SOTTO_OK) {
            sotto_program_input(p, &r->serving->network.model, x, r->images + i * p->input_words);
            status = sotto_session_infer(s, logits, x);
        }
        if (status == SOTTO_OK && r->check != NULL) {
            r->check(r, i, x, logits);
        }
    }
    if (s != NULL) {
        r->stats[0] = sotto_session_stats(s);
    }
    sotto_session_close(s);
    sotto_free(x);
    sotto_free(logits);
    return status;
}

/* ---- bit-exact --------------------------------------------------------------------------------------------------- */

static const uint64_t *reference_share(void *ctx, size_t step)
{
    return ((run *)ctx)->client.value[step];
}

static void reference_seen(void *ctx, size_t step, const int64_t *value, size_t words)
{
    const run *r = ctx;
    const unsigned l = r->serving->network.program.steps[step].l;
    for (size_t i = 0; i < words; i++) {
        const uint64_t sum = sotto_low_bits(r->client.value[step][i] + r->server.value[step][i], l);
        if (sum != sotto_low_bits((uint64_t)value[i], l)) {
            fail_msg("step %zu word %zu: parties have %llx, reference %llx", step, i, (unsigned long long)sum,
                     (unsigned long long)sotto_low_bits((uint64_t)value[i], l));
        }
    }
}

static void check_exact(run *r, size_t image, const int64_t *x, const int64_t *logits)
{
    (void)image;
    const sotto_fixed_options hook = {.share = reference_share, .ctx = r};
    int64_t want[64];
    sotto_fixed_infer(r->reference, want, x, &hook, NULL);
    assert_memory_equal(want, logits, r->serving->network.program.output_words * sizeof *want);
}

static void exact(const char *text, unsigned sign_bits, sotto_sign_provider sign, uint64_t seed, size_t images)
{
    const sotto_rng rng = test_rng(seed, 0);
    sotto_model m;
    sotto_serving serving;
    fixture_model(&m, text, sign_bits, &rng);
    assert_ok(sotto_serving_new(&serving, &m, NULL));
    uint8_t *pixels = fixture_images(&m, images, &rng);
    run r = {.serving = &serving, .count = 1, .prepare = 1, .sign = sign, .ot = (sotto_ot_kind)(SOTTO_OT_IKNP + seed % 8), .check = check_exact};
    shares_new(&r.client, &serving.network.program);
    shares_new(&r.server, &serving.network.program);
    assert_ok(sotto_fixed_run_new(&r.reference, &serving.network.program, &serving.weights));
    const size_t words = serving.network.program.input_words;
    for (size_t i = 0; i < images; i++) {
        int status[2];
        r.seed = seed + 1000 * i;
        r.images = pixels + i * words;
        test_two_party(run_server, &r, run_client, &r, status);
        assert_ok(status[0]);
        assert_ok(status[1]);
        int64_t x[4096], logits[64];
        const sotto_fixed_options hook = {.share = reference_share, .seen = reference_seen, .ctx = &r};
        sotto_program_input(&serving.network.program, &m, x, r.images);
        sotto_fixed_infer(r.reference, logits, x, &hook, NULL);
    }
    sotto_fixed_run_free(r.reference);
    shares_free(&r.client);
    shares_free(&r.server);
    sotto_free(pixels);
    sotto_serving_free(&serving);
    sotto_model_free(&m);
}

static void test_exact_plain(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    exact(fixture_plain, 5, SOTTO_SIGN_LOOKUP, seed, 3);
    exact(fixture_plain, 5, SOTTO_SIGN_CIRCUIT, seed, 3);
}

static void test_exact_rich(void **state)
{
    (void)state;
    const uint64_t seed = test_seed();
    exact(fixture_rich, 6, SOTTO_SIGN_LOOKUP, seed, 2);
    exact(fixture_rich, 6, SOTTO_SIGN_CIRCUIT, seed, 2);
    exact(fixture_rich, 12, SOTTO_SIGN_CIRCUIT, seed, 1); /* beyond the lookup's width */
}

/* ---- masked shares --------------------------------------------------------------------------------------------------- */

/* Ones in the lowest and highest bit of all words that a party holds of a step, over many runs of one image with one network. */
typedef struct tally {
    const sotto_program *program;
    uint64_t ones[64][2], words[64]; /* per step; [0] low bit, [1] high bit */
} tally;

static void count_bits(void *ctx, size_t step, const uint64_t *share, size_t words)
{
    tally *t = ctx;
    for (size_t i = 0; i < words; i++) {
        t->ones[step][0] += share[i] & 1;
        t->ones[step][1] += share[i] >> (t->program->steps[step].l - 1);
    }
    t->words[step] += words;
}

typedef struct tally_run {
    run r;
    tally tallies[2];
} tally_run;

static int tally_server(sotto_chan *chan, void *ctx)
{
    tally_run *t = ctx;
    const sotto_session_env env = {.chan = chan, .rng = test_rng(t->r.seed, 1), .audit = {count_bits, &t->tallies[0]}};
    return sotto_session_serve(t->r.serving, &env, NULL);
}

static int tally_client(sotto_chan *chan, void *ctx)
{
    tally_run *t = ctx;
    const sotto_session_env env = {.chan = chan, .rng = test_rng(t->r.seed, 2), .audit = {count_bits, &t->tallies[1]}};
    sotto_session *s = NULL;
    int64_t x[64], logits[8];
    int status = sotto_session_open(&s, &t->r.serving->network, &env, t->r.sign, t->r.ot);
    sotto_program_input(&t->r.serving->network.program, &t->r.serving->network.model, x, t->r.images);
    for (size_t i = 0; i < t->r.count && status == SOTTO_OK; i++) {
        status = sotto_session_prepare(s);
        status = status == SOTTO_OK ? sotto_session_infer(s, logits, x) : status;
    }
    sotto_session_close(s);
    return status;
}

static void test_shares_are_uniform(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 0);
    sotto_model m;
    sotto_serving serving;
    fixture_model(&m, fixture_plain, 5, &rng);
    assert_ok(sotto_serving_new(&serving, &m, NULL));
    uint8_t *pixels = fixture_images(&m, 1, &rng);
    for (unsigned sign = 0; sign < SOTTO_SIGN_PROVIDERS; sign++) {
        static tally_run t;
        int status[2];
        memset(&t, 0, sizeof t);
        t.r = (run){.serving = &serving, .images = pixels, .count = 150, .sign = (sotto_sign_provider)sign, .ot = SOTTO_OT_SOFTSPOKEN4, .seed = test_seed()};
        t.tallies[0].program = t.tallies[1].program = &serving.network.program;
        test_two_party(tally_server, &t, tally_client, &t, status);
        assert_ok(status[0]);
        assert_ok(status[1]);
        for (size_t p = 0; p < 2; p++) {
            for (size_t i = 0; i < serving.network.program.step_count; i++) {
                if (serving.network.program.steps[i].op == SOTTO_STEP_GATHER) {
                    continue; /* repeats words of the step before */
                }
                for (size_t bit = 0; bit < 2; bit++) {
                    const uint64_t n = t.tallies[p].words[i], cells[2] = {n - t.tallies[p].ones[i][bit], t.tallies[p].ones[i][bit]};
                    assert_true(n >= 150);
                    assert_true(test_chi_square(cells, 2, n) < test_chi_square_bound(2));
                }
            }
        }
    }
    sotto_free(pixels);
    sotto_serving_free(&serving);
    sotto_model_free(&m);
}

/* ---- prepared material is used once ------------------------------------------------------------------------------ */

static const char fixture_tiny[] = "sotto-model 1\n"
                                   "input 1x2x2\n"
                                   "dense f1 input out=3\n"
                                   "relu r1 f1\n"
                                   "dense f2 r1 out=2\n";

typedef struct tiny {
    sotto_model m;
    sotto_serving serving;
    run r;
    uint8_t pixels[4];
    sotto_session_env env; /* of a client that does what the test wants */
    int again;             /* client_again: 0 an item never made, 1 one used */
    int result;
} tiny;

static void tiny_new(tiny *t)
{
    const sotto_rng rng = test_rng(3, 0);
    memset(t, 0, sizeof *t);
    fixture_model(&t->m, fixture_tiny, 4, &rng);
    assert_ok(sotto_serving_new(&t->serving, &t->m, NULL));
    assert_ok(sotto_rng_fill(&rng, t->pixels, sizeof t->pixels));
    t->r = (run){.serving = &t->serving, .images = t->pixels, .count = 1, .prepare = 1, .ot = SOTTO_OT_SOFTSPOKEN4, .seed = 4};
}

static void tiny_free(tiny *t)
{
    sotto_serving_free(&t->serving);
    sotto_model_free(&t->m);
}

/* Runs one inference properly if `again`, then asks the server for item 0 by a frame of its own. */
static int client_again(sotto_chan *chan, void *ctx)
{
    tiny *t = ctx;
    const sotto_session_env env = {.chan = chan, .rng = test_rng(5, 2)};
    const size_t input = sotto_packed_bytes(4, t->serving.network.program.steps[0].l);
    sotto_session *s = NULL;
    sotto_frame frame;
    uint8_t body[64] = {0};
    int64_t x[4] = {1, 2, 3, 4}, logits[2];
    int status = sotto_session_open(&s, &t->serving.network, &env, SOTTO_SIGN_LOOKUP, SOTTO_OT_SOFTSPOKEN4);
    if (status == SOTTO_OK) {
        assert_status(SOTTO_ERR_USED, sotto_session_infer(s, logits, x)); /* the client's own store is empty */
    }
    if (status == SOTTO_OK && t->again) {
        status = sotto_session_prepare(s);
        status = status == SOTTO_OK ? sotto_session_infer(s, logits, x) : status;
        if (status == SOTTO_OK) {
            assert_status(SOTTO_ERR_USED, sotto_session_infer(s, logits, x));
        }
    }
    if (status == SOTTO_OK) {
        status = sotto_frame_send(chan, SOTTO_FRAME_INFER, 0, body, 8 + input);
        t->result = status == SOTTO_OK ? sotto_frame_next(chan, &frame) : status;
    }
    sotto_session_close(s);
    return status;
}

static void test_material_is_used_once(void **state)
{
    (void)state;
    for (int again = 0; again < 2; again++) {
        tiny t;
        int status[2];
        tiny_new(&t);
        t.again = again;
        test_two_party(run_server, &t.r, client_again, &t, status);
        assert_int_equal(SOTTO_ERR_USED, status[0]);
        assert_ok(status[1]);
        assert_int_equal(SOTTO_ERR_USED, t.result); /* and the client is told so */
        tiny_free(&t);
    }
}

/* A client may leave so many items waiting as the server says, and goes on after it was told. */
static int server_of_two(sotto_chan *chan, void *ctx)
{
    const tiny *t = ctx;
    const sotto_session_env env = {.chan = chan, .rng = test_rng(5, 1), .items = 2};
    return sotto_session_serve(&t->serving, &env, NULL);
}

static int client_of_three(sotto_chan *chan, void *ctx)
{
    tiny *t = ctx;
    const sotto_session_env env = {.chan = chan, .rng = test_rng(5, 2)};
    sotto_session *s = NULL;
    int64_t x[4] = {1, 2, 3, 4}, logits[2];
    int status = sotto_session_open(&s, &t->serving.network, &env, SOTTO_SIGN_LOOKUP, SOTTO_OT_SOFTSPOKEN4);
    for (int i = 0; i < 2 && status == SOTTO_OK; i++) {
        status = sotto_session_prepare(s);
    }
    if (status == SOTTO_OK) {
        t->result = sotto_session_prepare(s);
        status = sotto_session_infer(s, logits, x);
    }
    status = status == SOTTO_OK ? sotto_session_prepare(s) : status;
    status = status == SOTTO_OK ? sotto_session_infer(s, logits, x) : status;
    sotto_session_close(s);
    return status;
}

static void test_waiting_items_are_limited(void **state)
{
    (void)state;
    tiny t;
    int status[2];
    tiny_new(&t);
    test_two_party(server_of_two, &t, client_of_three, &t, status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    assert_int_equal(SOTTO_ERR_LIMIT, t.result);
    tiny_free(&t);
}

/* ---- handshake ----------------------------------------------------------------------------------------------------- */

static void test_other_model_or_plan(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        tiny t, other;
        int status[2];
        char *text = NULL;
        size_t len;
        tiny_new(&t);
        tiny_new(&other);
        sotto_model *m = &other.serving.network.model;
        if (kind == 0) {
            m->id[3] ^= 1;
        } else {
            m->nodes[2].plan.u--; /* another plan of the same model */
        }
        assert_ok(sotto_model_print(m, &text, &len));
        sotto_free(text);
        test_two_party(run_server, &t.r, run_client, &other.r, status);
        assert_int_equal(SOTTO_ERR_MISMATCH, status[0]);
        assert_int_equal(SOTTO_ERR_MISMATCH, status[1]);
        tiny_free(&t);
        tiny_free(&other);
    }
}

/* Sends these bytes and reads until the other side has gone. */
typedef struct sender {
    const uint8_t *bytes;
    size_t len;
} sender;

static int send_and_drain(sotto_chan *chan, void *ctx)
{
    const sender *s = ctx;
    uint8_t byte;
    int status = sotto_chan_send(chan, s->bytes, s->len);
    if (status == SOTTO_OK) {
        status = sotto_chan_flush(chan);
    }
    while (status == SOTTO_OK) {
        status = sotto_chan_recv(chan, &byte, 1);
    }
    return SOTTO_OK;
}

static void test_other_version_and_strangers(void **state)
{
    (void)state;
    static const uint8_t version[] = {0x53, 0x6f, 9, SOTTO_FRAME_HELLO, 0, 0, 0, 0, 65, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t type[] = {0x53, 0x6f, 1, 77, 0, 0, 0, 0, 65, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t early[] = {0x53, 0x6f, 1, SOTTO_FRAME_INFER, 0, 0, 0, 0, 65, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t huge[] = {0x53, 0x6f, 1, SOTTO_FRAME_HELLO, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 127};
    static const struct {
        sender s;
        int status;
    } cases[] = {
        {{version, sizeof version}, SOTTO_ERR_VERSION},
        {{(const uint8_t *)"GET / HTTP/1.1\r\nHost: x\r\n", 25}, SOTTO_ERR_PROTOCOL},
        {{type, sizeof type}, SOTTO_ERR_PROTOCOL},
        {{early, sizeof early}, SOTTO_ERR_PROTOCOL},
        {{huge, sizeof huge}, SOTTO_ERR_PROTOCOL},
    };
    tiny t;
    tiny_new(&t);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status[2];
        sender s = cases[i].s;
        test_two_party(run_server, &t.r, send_and_drain, &s, status);
        assert_int_equal(cases[i].status, status[0]);
        test_two_party(run_client, &t.r, send_and_drain, &s, status);
        assert_int_equal(cases[i].status, status[0]);
    }
    tiny_free(&t);
}

/* ---- a peer that closes, stalls, flips a bit or sends garbage at operation k, for every k ----------------------------- */

typedef struct fault_case {
    tiny *t;
    test_fault kind;
    int faulty; /* 0 server, 1 client */
    long k;
} fault_case;

static void fault(const fault_case *f, int status[2], long *ops)
{
    const unsigned timeout = f->kind == TEST_FAULT_STALL ? 60 : 3000;
    test_fault_plan plan = {.kind = f->kind, .k = f->k, .seed = (uint64_t)f->k};
    sotto_chan inner[2], outer;
    run r = f->t->r; /* each run its own stats */
    test_chan_pair(&inner[0], &inner[1], timeout);
    test_chan_faulty(&outer, &inner[f->faulty], &plan);
    test_two_party_on(f->faulty == 0 ? &outer : &inner[0], run_server, &r, f->faulty == 1 ? &outer : &inner[1], run_client, &r, status);
    *ops = plan.ops;
}

static void test_faults_at_every_message(void **state)
{
    (void)state;
    tiny t;
    tiny_new(&t);
    for (unsigned sign = 0; sign < SOTTO_SIGN_PROVIDERS; sign++) {
        t.r.sign = (sotto_sign_provider)sign;
        for (int faulty = 0; faulty < 2; faulty++) {
            int status[2];
            long ops = 0, ignored;
            fault(&(fault_case){&t, TEST_FAULT_NONE, faulty, 0}, status, &ops);
            assert_ok(status[0]);
            assert_ok(status[1]);
            assert_true(ops > 20);
            for (long k = 0; k < ops; k++) {
                for (test_fault kind = TEST_FAULT_CLOSE; kind <= TEST_FAULT_GARBAGE; kind++) {
                    fault(&(fault_case){&t, kind, faulty, k}, status, &ignored);
                    /* A flipped bit in masked data cannot be noticed and gives a wrong result; a closed or dead connection must be, save where
                     * the client's goodbye alone is lost. */
                    if (kind == TEST_FAULT_CLOSE && k < ops - 2) {
                        assert_true(status[0] != SOTTO_OK && status[1] != SOTTO_OK);
                    } else if (kind == TEST_FAULT_STALL && k < ops - 2) {
                        assert_true(status[0] != SOTTO_OK || status[1] != SOTTO_OK);
                    }
                }
            }
        }
    }
    tiny_free(&t);
}

/* ---- failures of our own -------------------------------------------------------------------------------------------- */

typedef struct rng_case {
    tiny *t;
    test_faulty_rng faulty;
    int server;
} rng_case;

static int rng_party(sotto_chan *chan, void *ctx)
{
    rng_case *c = ctx;
    const sotto_session_env env = {.chan = chan, .rng = test_faulty_rng_wrap(&c->faulty)};
    sotto_session *s = NULL;
    if (c->server) {
        return sotto_session_serve(&c->t->serving, &env, NULL);
    }
    int status = sotto_session_open(&s, &c->t->serving.network, &env, SOTTO_SIGN_CIRCUIT, SOTTO_OT_IKNP);
    status = status == SOTTO_OK ? sotto_session_prepare(s) : status;
    sotto_session_close(s);
    return status;
}

static void test_rng_failures(void **state)
{
    (void)state;
    tiny t;
    tiny_new(&t);
    for (int server = 0; server < 2; server++) {
        long calls = 1;
        for (long k = -1; k < calls; k += k > 16 ? 1 + calls / 40 : 1) { /* the first say something each, the rest are samplers */
            rng_case bad = {&t, {.inner = test_rng(1, 1), .k = k < 0 ? 1L << 40 : k}, server};
            rng_case good = {&t, {.inner = test_rng(1, 2), .k = 1L << 40}, !server};
            int status[2];
            test_two_party(rng_party, &bad, rng_party, &good, status);
            if (k < 0) {
                assert_ok(status[0]);
                assert_ok(status[1]);
                calls = bad.faulty.calls;
                assert_true(calls > 10);
            } else {
                assert_int_equal(SOTTO_ERR_RNG, status[0]);
                assert_int_not_equal(SOTTO_OK, status[1]);
            }
        }
    }
    tiny_free(&t);
}

/* Memory runs out at allocation k of either party (they share the counter): an error, nothing leaked under the sanitizers. */
static void test_memory_failures(void **state)
{
    (void)state;
    tiny t;
    tiny_new(&t);
    t.r.sign = SOTTO_SIGN_CIRCUIT;
    int failed = 1;
    for (long k = 0; failed; k++) {
        int status[2];
        sotto_chan c[2];
        test_chan_pair(&c[0], &c[1], 3000);
        sotto_calloc_fail_after(k);
        test_two_party_on(&c[0], run_server, &t.r, &c[1], run_client, &t.r, status);
        sotto_calloc_fail_after(-1);
        failed = status[0] == SOTTO_ERR_MEMORY || status[1] == SOTTO_ERR_MEMORY;
        assert_true(failed || (status[0] == SOTTO_OK && status[1] == SOTTO_OK));
    }
    for (long k = 0;; k++) {
        sotto_serving s;
        sotto_calloc_fail_after(k);
        const int status = sotto_serving_new(&s, &t.m, NULL);
        sotto_calloc_fail_after(-1);
        if (status == SOTTO_OK) {
            sotto_serving_free(&s);
            break;
        }
        assert_int_equal(SOTTO_ERR_MEMORY, status);
    }
    tiny_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_plain),
        cmocka_unit_test(test_exact_rich),
        cmocka_unit_test(test_shares_are_uniform),
        cmocka_unit_test(test_material_is_used_once),
        cmocka_unit_test(test_waiting_items_are_limited),
        cmocka_unit_test(test_other_model_or_plan),
        cmocka_unit_test(test_other_version_and_strangers),
        cmocka_unit_test(test_faults_at_every_message),
        cmocka_unit_test(test_rng_failures),
        cmocka_unit_test(test_memory_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
