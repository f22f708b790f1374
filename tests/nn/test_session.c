/* Whole sessions between two threads: bit-exact against the reference, single use, hostile and broken peers. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

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
    int status = sotto_session_open(&s, &r->serving->network, &env, r->sign);
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

/* The server's last audit call may be a moment behind the client's logits, so shares are compared after the next round trip: here by running
 * images one session at a time. */
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
    run r = {.serving = &serving, .count = 1, .prepare = 1, .sign = sign, .check = check_exact};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_plain),
        cmocka_unit_test(test_exact_rich),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
