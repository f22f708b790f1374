/* The cases of tests/ct with two parties in two threads: what each holds is secret, what is sent is seen. */
#include <stdlib.h>
#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"
#include "nn/secure/label.h"
#include "nn/secure/poly.h"
#include "nn/secure/session.h"
#include "nn/secure/unit.h"
#include "tests/ct/ct.h"
#include "tests/nn/fixture.h"
#include "tests/ot/fixture.h"

/* ---- channels: what is sent is seen ---------------------------------------------------------------------------------------- */

static int open_send(void *ctx, const void *data, size_t len)
{
    uint8_t *copy = malloc(len + 1);
    require(copy != NULL);
    memcpy(copy, data, len);
    SOTTO_DECLASSIFY(copy, len); /* on the wire: the peer and whoever listens see it */
    const int status = sotto_chan_send(ctx, copy, len);
    free(copy);
    return status;
}

static int open_recv(void *ctx, void *data, size_t len)
{
    return sotto_chan_recv(ctx, data, len);
}

static int open_flush(void *ctx)
{
    return sotto_chan_flush(ctx);
}

static void open_close(void *ctx)
{
    (void)ctx;
}

static sotto_chan open_chan(sotto_chan *inner)
{
    static const sotto_chan_ops ops = {open_send, open_recv, open_flush, open_close};
    return (sotto_chan){.ops = &ops, .ctx = inner};
}

static int secret_party_fill(void *ctx, void *out, size_t len)
{
    const sotto_rng *rng = ctx; /* a seeded one with a lock: two threads draw */
    const int status = sotto_rng_fill(rng, out, len);
    SOTTO_SECRET(out, len);
    return status;
}

/* One party of a case: its OT session on secret coins, then what the case does with it. */
typedef struct party {
    int number; /* 0: client */
    sotto_ot_kind kind;
    int (*act)(const struct party *p, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng);
} party;

static int party_run(sotto_chan *inner, void *ctx)
{
    const party *p = ctx;
    sotto_rng seeded = test_rng(7, (uint64_t)p->number);
    const sotto_rng rng = {secret_party_fill, &seeded};
    sotto_chan chan = open_chan(inner);
    sotto_ot *ot = NULL;
    int status = sotto_ot_new(&ot, &chan, &rng, fixture_salt, p->number, p->kind);
    status = status == SOTTO_OK ? p->act(p, ot, &chan, &rng) : status;
    status = status == SOTTO_OK ? sotto_chan_flush(&chan) : status;
    sotto_ot_free(ot);
    return status;
}

/* Both sides over a channel that waits long enough for Valgrind. */
static void run_both(int (*side0)(sotto_chan *, void *), void *ctx0, int (*side1)(sotto_chan *, void *), void *ctx1)
{
    int status[2];
    sotto_chan c[2];
    test_chan_pair(&c[0], &c[1], 100000);
    test_two_party_on(&c[0], side0, ctx0, &c[1], side1, ctx1, status);
    require(status[0] == SOTTO_OK && status[1] == SOTTO_OK);
}

static void both(sotto_ot_kind kind, int (*act)(const party *p, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng))
{
    party p[2] = {{0, kind, act}, {1, kind, act}};
    run_both(party_run, &p[0], party_run, &p[1]);
}

/* ---- oblivious transfer of chosen blocks, both directions of the base OTs ----------------------------------------------------- */

enum { OTS = 200 };
static sotto_block ot_message[2][OTS], ot_out[OTS];
static uint8_t ot_choice[OTS / 8];

static int chosen(const party *p, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng)
{
    (void)rng;
    const sotto_ot_stock stock = {{0, 1}}; /* silent OT would make a larger one by itself */
    const int status = sotto_ot_stock_make(ot, chan, &stock);
    if (status != SOTTO_OK) {
        return status;
    }
    return p->number == 0 ? sotto_ot_chosen_send(ot, chan, OTS, ot_message[0], ot_message[1]) : sotto_ot_chosen_recv(ot, chan, ot_choice, OTS, ot_out);
}

void case_ot(void)
{
    static const sotto_ot_kind kinds[] = {SOTTO_OT_IKNP, SOTTO_OT_SOFTSPOKEN2, SOTTO_OT_SOFTSPOKEN5, SOTTO_OT_SOFTSPOKEN8, SOTTO_OT_FERRET};
    const sotto_rng rng = ct_rng();
    /* Ferret makes a stock of 280,000 OTs: half a minute under Valgrind. Its calls in step are made of its halves. */
    const size_t count = sizeof kinds / sizeof *kinds - (getenv("SOTTO_TEST_LONG") == NULL);
    for (size_t k = 0; k < count; k++) {
        require(sotto_rng_fill(&rng, ot_message, sizeof ot_message) == SOTTO_OK);
        require(sotto_rng_fill(&rng, ot_choice, sizeof ot_choice) == SOTTO_OK);
        both(kinds[k], chosen);
        SOTTO_DECLASSIFY(ot_message, sizeof ot_message); /* to compare */
        SOTTO_DECLASSIFY(ot_choice, sizeof ot_choice);
        SOTTO_DECLASSIFY(ot_out, sizeof ot_out);
        for (size_t i = 0; i < OTS; i++) {
            require(memcmp(&ot_out[i], &ot_message[sotto_bit(ot_choice, i)][i], sizeof *ot_out) == 0);
        }
    }
}

/* ---- units on secret shares: every kind, enough of them for vectors and what is left over ------------------------------------------- */

enum { WORDS = 45, RING = 24, DROP = 7, WINDOW = 20, RANGE = 1 << 17 };

/* map: of the values in turn, over and over: p passed on, z zero, a digit: that many with one decision. NULL: all alike. */
static const struct unit_kind {
    unsigned u, l_next; /* bits of the sign, 0: none; l_next up to RING - DROP: the truncation is local */
    int clip, max;
    const char *map;
} unit_kinds[] = {
    {6, RING, 0, 0, NULL},    {9, RING, 0, 0, NULL},       {4, RING - DROP, 0, 0, NULL}, /* relu */
    {0, RING, 0, 0, NULL},    {0, RING - DROP, 0, 0, NULL},                              /* identity */
    {6, RING, 1, 0, NULL},    {5, RING - DROP, 1, 0, NULL},                              /* clip */
    {6, RING, 0, 0, "2"},     {4, RING - DROP, 0, 0, "43"},                              /* patches */
    {5, RING, 0, 0, "pz143"}, {5, RING - DROP, 0, 0, "1zp2"}, {0, RING, 0, 0, "pz"},     /* mixtures */
    {7, RING, 0, 1, NULL},                                                               /* a stage of a maximum */
};
enum { KINDS = sizeof unit_kinds / sizeof *unit_kinds, LAYERS = KINDS * SOTTO_SIGN_PROVIDERS };

typedef struct layer {
    sotto_step_info step;
    sotto_unit_plan plan;
    uint32_t decision[WORDS];
    uint8_t patch_bits[WORDS];
    uint64_t a[WORDS], c[WORDS], r[WORDS], e[WORDS], want[WORDS];
} layer;

static layer layers[LAYERS];
static int64_t unit_bound[3];

static int unit_server(const layer *v, uint64_t *e, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng)
{
    const sotto_unit_plan *p = &v->plan;
    sotto_unit_server *u = NULL;
    uint8_t *choice = sotto_calloc(p->bytes.choice, 1), *offer = sotto_calloc(p->bytes.offer, 1), *reply = sotto_calloc(p->bytes.reply, 1);
    require(choice != NULL && offer != NULL && reply != NULL);
    int status = sotto_unit_server_new(&u, p, ot, chan, rng, unit_bound);
    status = status == SOTTO_OK ? sotto_unit_server_correct(u, ot, chan) : status;
    status = status == SOTTO_OK ? sotto_chan_recv(chan, choice, p->bytes.choice) : status;
    status = status == SOTTO_OK ? sotto_unit_server_ready(u, ot, chan, choice) : status;
    status = status == SOTTO_OK ? sotto_unit_server_offer(u, offer, v->a) : status;
    status = status == SOTTO_OK ? sotto_chan_send(chan, offer, p->bytes.offer) : status;
    status = status == SOTTO_OK ? sotto_chan_recv(chan, reply, p->bytes.reply) : status;
    status = status == SOTTO_OK ? sotto_unit_server_finish(u, e, reply) : status;
    sotto_unit_server_free(u);
    sotto_free(choice);
    sotto_free(offer);
    sotto_free(reply);
    return status;
}

static int unit_client(const layer *v, sotto_ot *ot, sotto_chan *chan)
{
    const sotto_unit_plan *p = &v->plan;
    sotto_unit_client *u = NULL;
    uint8_t *choice = sotto_calloc(p->bytes.choice, 1), *offer = sotto_calloc(p->bytes.offer, 1), *reply = sotto_calloc(p->bytes.reply, 1);
    require(choice != NULL && offer != NULL && reply != NULL);
    int status = sotto_unit_client_new(&u, p, ot, chan);
    status = status == SOTTO_OK ? sotto_unit_client_choose(u, ot, chan, v->c, choice) : status;
    status = status == SOTTO_OK ? sotto_chan_send(chan, choice, p->bytes.choice) : status;
    status = status == SOTTO_OK ? sotto_unit_client_take(u, chan, NULL) : status;
    status = status == SOTTO_OK ? sotto_chan_recv(chan, offer, p->bytes.offer) : status;
    status = status == SOTTO_OK ? sotto_unit_client_reply(u, reply, offer, v->r) : status;
    status = status == SOTTO_OK ? sotto_chan_send(chan, reply, p->bytes.reply) : status;
    sotto_unit_client_free(u);
    sotto_free(choice);
    sotto_free(offer);
    sotto_free(reply);
    return status;
}

static int all_layers(const party *p, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng)
{
    int status = SOTTO_OK;
    for (size_t i = 0; i < LAYERS && status == SOTTO_OK; i++) {
        layer *v = &layers[i];
        if (v->plan.words > 0) {
            status = p->number == 0 ? unit_client(v, ot, chan) : unit_server(v, v->e, ot, chan, rng);
        }
    }
    return status;
}

/* Decisions as `map` says. */
static void map_layer(layer *v, const char *map)
{
    sotto_step_info *s = &v->step;
    for (size_t i = 0, at = 0; i < WORDS; at = map[at + 1] == '\0' ? 0 : at + 1) {
        if (map[at] == 'p' || map[at] == 'z') {
            v->decision[i++] = map[at] == 'p' ? SOTTO_DECISION_PASS : SOTTO_DECISION_ZERO;
            continue;
        }
        const size_t end = i + (size_t)(map[at] - '0') < WORDS ? i + (size_t)(map[at] - '0') : WORDS, pixels = end - i;
        v->patch_bits[s->decisions] = pixels == 1 ? 0 : pixels == 2 ? 1 : 2;
        for (; i < end; i++) {
            v->decision[i] = (uint32_t)s->decisions;
        }
        s->decisions++;
    }
    s->decision = v->decision;
    s->patch_bits = v->patch_bits;
}

static uint64_t decide(const sotto_step_info *s, unsigned patch_bits, uint64_t y, uint64_t c)
{
    return sotto_sign_reference((sotto_sign_window){s->sign_window.k + patch_bits, s->sign_window.j + patch_bits}, y, c);
}

/* From the references of nn/secure/step.h, as nn/plain/program.h puts them together. */
static void layer_reference(layer *v)
{
    const sotto_step_info *s = &v->step;
    uint64_t sum[WORDS] = {0}, share[WORDS] = {0};
    for (size_t i = 0; i < WORDS; i++) {
        const uint32_t d = s->decision == NULL ? (uint32_t)i : v->decision[i];
        if (d < WORDS) {
            sum[d] += v->a[i] + v->c[i];
            share[d] += v->c[i];
        }
    }
    for (size_t i = 0; i < WORDS; i++) {
        const uint64_t y = sotto_low_bits(v->a[i] + v->c[i], s->truncation.l), most = (uint64_t)unit_bound[i / s->shape.w];
        const uint32_t d = s->decision == NULL ? (uint32_t)i : v->decision[i];
        uint64_t kept = d == SOTTO_DECISION_ZERO ? 0 : 1, top = 0;
        if (s->sign && d < WORDS) {
            kept = decide(s, v->patch_bits[d], sum[d], share[d]);
        }
        if (s->clip) {
            top = decide(s, 0, y - most, v->c[i]);
            kept ^= top;
        }
        v->want[i] = kept * sotto_truncate_reference(s->truncation, y, v->c[i]) + top * (most >> DROP);
        v->want[i] = sotto_low_bits(v->want[i] - v->r[i], s->truncation.l_next);
    }
}

static void layer_new(layer *v, const struct unit_kind *kind, sotto_sign_provider provider, const sotto_rng *rng)
{
    memset(v, 0, sizeof *v);
    const unsigned l_next = kind->l_next;
    v->step = (sotto_step_info){.op = kind->max ? SOTTO_STEP_MAX : SOTTO_STEP_UNIT, .units = WORDS, .words = WORDS, .shape = {3, 1, WORDS / 3},
                                .truncation = {RING, kind->max ? 0 : DROP, l_next}, .sign = kind->u > 0, .clip = kind->clip,
                                .sign_window = {WINDOW, WINDOW - kind->u}};
    if (kind->map != NULL) {
        map_layer(v, kind->map);
    }
    for (size_t i = 0; i < WORDS; i++) {
        v->c[i] = test_below(rng, 1 << RING);
        v->a[i] = sotto_low_bits(test_below(rng, 2 * RANGE) - RANGE - v->c[i], RING);
        v->r[i] = v->step.decision != NULL && v->decision[i] == SOTTO_DECISION_ZERO ? 0 : test_below(rng, UINT64_C(1) << l_next);
    }
    layer_reference(v);
    SOTTO_SECRET(v->a, sizeof v->a);
    SOTTO_SECRET(v->c, sizeof v->c);
    SOTTO_SECRET(v->r, sizeof v->r);
    require(sotto_unit_plan_new(&v->plan, &v->step, provider, SOTTO_OT_SOFTSPOKEN4) == SOTTO_OK);
}

void case_units(void)
{
    const sotto_rng rng = test_rng(11, 0);
    for (size_t i = 0; i < 3; i++) {
        unit_bound[i] = (int64_t)(1 + test_below(&rng, RANGE >> DROP)) << DROP;
    }
    for (size_t i = 0; i < LAYERS; i++) {
        const struct unit_kind *kind = &unit_kinds[i % KINDS];
        if (kind->u > 0 || i < KINDS) { /* without signs every provider is alike */
            layer_new(&layers[i], kind, (sotto_sign_provider)(i / KINDS), &rng);
        }
    }
    SOTTO_SECRET(unit_bound, sizeof unit_bound); /* of the weights */
    both(SOTTO_OT_SOFTSPOKEN4, all_layers);
    for (size_t i = 0; i < LAYERS; i++) {
        layer *v = &layers[i];
        if (v->plan.words > 0) {
            SOTTO_DECLASSIFY(v->e, sizeof v->e); /* to compare */
            require(memcmp(v->e, v->want, sizeof v->want) == 0);
        }
        sotto_unit_plan_free(&v->plan);
    }
}

/* ---- polynomials: channels of every degree, secret coefficients ------------------------------------------------------------------------ */

enum { CHANNELS = 5, AREA = 15, POLY_L = 30, POLY_BITS = 9, POLY_SHIFT = 3 };
static uint8_t poly_degree[CHANNELS] = {2, 0, 3, 1, 2};
static sotto_poly_plan poly_plan;
static int64_t poly_terms[CHANNELS * SOTTO_POLY_TERMS];
static uint64_t poly_e[CHANNELS * AREA], poly_rho[CHANNELS * AREA], poly_a[CHANNELS * AREA], poly_c[CHANNELS * AREA];

static int polynomials(const party *side, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng)
{
    (void)rng;
    const sotto_poly_plan *p = &poly_plan;
    sotto_poly_server *server = NULL;
    sotto_poly_client *client = NULL;
    uint8_t *choice = sotto_calloc(p->bytes.choice, 1), *offer = sotto_calloc(p->bytes.offer, 1);
    int status;
    require(choice != NULL && offer != NULL);
    if (side->number == 0) {
        status = sotto_poly_client_new(&client, p, ot, chan, poly_rho);
        status = status == SOTTO_OK ? sotto_poly_client_choose(client, ot, chan, choice) : status;
        status = status == SOTTO_OK ? sotto_chan_send(chan, choice, p->bytes.choice) : status;
        status = status == SOTTO_OK ? sotto_chan_recv(chan, offer, p->bytes.offer) : status;
        status = status == SOTTO_OK ? sotto_poly_client_open(client, poly_c, offer) : status;
    } else {
        status = sotto_poly_server_new(&server, p, ot, chan, poly_terms);
        status = status == SOTTO_OK ? sotto_poly_server_correct(server, ot, chan) : status;
        status = status == SOTTO_OK ? sotto_chan_recv(chan, choice, p->bytes.choice) : status;
        status = status == SOTTO_OK ? sotto_poly_server_ready(server, ot, choice) : status;
        status = status == SOTTO_OK ? sotto_poly_server_offer(server, offer, poly_a, poly_e) : status;
        status = status == SOTTO_OK ? sotto_chan_send(chan, offer, p->bytes.offer) : status;
    }
    sotto_poly_client_free(client);
    sotto_poly_server_free(server);
    sotto_free(choice);
    sotto_free(offer);
    return status;
}

void case_polynomials(void)
{
    const sotto_rng rng = test_rng(12, 0);
    const sotto_step_info step = {.op = SOTTO_STEP_POLY, .l = POLY_L, .poly_bits = POLY_BITS, .shape = {CHANNELS, 3, 5}, .words = CHANNELS * AREA,
                                  .shift = {POLY_SHIFT}, .degree = poly_degree};
    uint64_t want[CHANNELS * AREA];
    for (size_t i = 0; i < CHANNELS * SOTTO_POLY_TERMS; i++) {
        const unsigned power = i % SOTTO_POLY_TERMS, degree = poly_degree[i / SOTTO_POLY_TERMS];
        poly_terms[i] = degree < 2 || power > degree ? 0 : (int64_t)test_below(&rng, 1 << POLY_BITS) - (1 << (POLY_BITS - 1));
    }
    for (size_t i = 0; i < CHANNELS * AREA; i++) {
        const int64_t *term = poly_terms + i / AREA * SOTTO_POLY_TERMS;
        poly_e[i] = test_below(&rng, 1 << POLY_L);
        poly_rho[i] = test_below(&rng, 1 << POLY_L);
        const uint64_t x = poly_e[i] + poly_rho[i];
        want[i] = poly_degree[i / AREA] == 1 ? x << POLY_SHIFT : 0;
        for (unsigned j = SOTTO_POLY_TERMS; poly_degree[i / AREA] > 1 && j-- > 0;) {
            want[i] = want[i] * x + (uint64_t)term[j];
        }
    }
    SOTTO_SECRET(poly_terms, sizeof poly_terms);
    SOTTO_SECRET(poly_e, sizeof poly_e);
    SOTTO_SECRET(poly_rho, sizeof poly_rho);
    require(sotto_poly_plan_new(&poly_plan, &step, SOTTO_OT_SOFTSPOKEN4) == SOTTO_OK);
    both(SOTTO_OT_SOFTSPOKEN4, polynomials);
    sotto_poly_plan_free(&poly_plan);
    SOTTO_DECLASSIFY(poly_a, sizeof poly_a); /* to compare */
    SOTTO_DECLASSIFY(poly_c, sizeof poly_c);
    for (size_t i = 0; i < CHANNELS * AREA; i++) {
        require(sotto_low_bits(poly_a[i] + poly_c[i] - want[i], POLY_L) == 0);
    }
}

/* ---- the label of secret outputs ----------------------------------------------------------------------------------------------------------- */

enum { OUTPUTS = 7, OUTPUT_BITS = 20 };

static struct labelling {
    sotto_label_plan plan;
    uint64_t a[OUTPUTS], c[OUTPUTS];
    size_t want, found;
} labellings[SOTTO_GARBLE_SCHEMES];

static int label_server(const struct labelling *v, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng)
{
    const sotto_unit_bytes *bytes = &v->plan.bytes;
    sotto_label_server *u = NULL;
    uint8_t *choice = sotto_calloc(bytes->choice, 1), *offer = sotto_calloc(bytes->offer, 1), *tables = sotto_calloc(bytes->table, 1);
    require(choice != NULL && offer != NULL && tables != NULL);
    int status = sotto_label_server_new(&u, &v->plan, ot, chan, rng);
    status = status == SOTTO_OK ? sotto_chan_recv(chan, choice, bytes->choice) : status;
    status = status == SOTTO_OK ? sotto_label_server_ready(u, ot, tables, choice) : status;
    status = status == SOTTO_OK ? sotto_chan_send(chan, tables, bytes->table) : status;
    status = status == SOTTO_OK ? sotto_label_server_offer(u, offer, v->a) : status;
    status = status == SOTTO_OK ? sotto_chan_send(chan, offer, bytes->offer) : status;
    sotto_label_server_free(u);
    sotto_free(choice);
    sotto_free(offer);
    sotto_free(tables);
    return status;
}

static int label_client(struct labelling *v, sotto_ot *ot, sotto_chan *chan)
{
    const sotto_unit_bytes *bytes = &v->plan.bytes;
    sotto_label_client *u = NULL;
    uint8_t *choice = sotto_calloc(bytes->choice, 1), *offer = sotto_calloc(bytes->offer, 1);
    require(choice != NULL && offer != NULL);
    int status = sotto_label_client_new(&u, &v->plan, ot, chan);
    if (status == SOTTO_OK) {
        sotto_label_client_choose(u, v->c, choice);
        status = sotto_chan_send(chan, choice, bytes->choice);
    }
    status = status == SOTTO_OK ? sotto_chan_recv(chan, sotto_label_client_tables(u), bytes->table) : status;
    status = status == SOTTO_OK ? sotto_chan_recv(chan, offer, bytes->offer) : status;
    status = status == SOTTO_OK ? sotto_label_client_open(u, &v->found, offer) : status;
    sotto_label_client_free(u);
    sotto_free(choice);
    sotto_free(offer);
    return status;
}

static int all_labels(const party *p, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng)
{
    int status = SOTTO_OK;
    for (size_t i = 0; i < SOTTO_GARBLE_SCHEMES && status == SOTTO_OK; i++) {
        status = p->number == 0 ? label_client(&labellings[i], ot, chan) : label_server(&labellings[i], ot, chan, rng);
    }
    return status;
}

void case_label(void)
{
    const sotto_rng rng = test_rng(13, 0);
    for (unsigned scheme = 0; scheme < SOTTO_GARBLE_SCHEMES; scheme++) {
        struct labelling *v = &labellings[scheme];
        uint64_t most = 0;
        for (size_t i = 0; i < OUTPUTS; i++) {
            const uint64_t shifted = test_below(&rng, 1 << OUTPUT_BITS);
            v->want = shifted > most ? i : v->want;
            most = shifted > most ? shifted : most;
            v->c[i] = test_u64(&rng);
            v->a[i] = shifted - (1 << (OUTPUT_BITS - 1)) - v->c[i];
        }
        SOTTO_SECRET(v->a, sizeof v->a);
        SOTTO_SECRET(v->c, sizeof v->c);
        require(sotto_label_plan_new(&v->plan, OUTPUTS, OUTPUT_BITS, SOTTO_OT_SOFTSPOKEN4, (sotto_garble_scheme)scheme) == SOTTO_OK);
    }
    both(SOTTO_OT_SOFTSPOKEN4, all_labels);
    for (size_t i = 0; i < SOTTO_GARBLE_SCHEMES; i++) {
        require(labellings[i].found == labellings[i].want);
        sotto_label_plan_free(&labellings[i].plan);
    }
}

/* ---- a whole session: keys, linear layers, every kind of unit, both sign providers, both results ---------------------------------------------- */

static const char network_text[] = "sotto-model 1\n"
                                   "input 1x2x2\n"
                                   "conv c1 input out=5 kernel=1\n"
                                   "act a1 c1\n"
                                   "maxpool p1 a1 kernel=2\n"
                                   "dense f1 p1 out=3\n"
                                   "clip l1 f1\n"
                                   "dense f2 l1 out=2\n"
                                   "relu r2 f2\n"
                                   "dense f3 r2 out=2\n";
static const uint8_t network_kinds[] = {SOTTO_UNIT_RELU, SOTTO_UNIT_SQUARE, SOTTO_UNIT_CUBIC, SOTTO_UNIT_ZERO, SOTTO_UNIT_IDENTITY};

static sotto_serving serving;
static sotto_sign_provider sign;
static int64_t logits[2];
static size_t label;

static int serve_side(sotto_chan *inner, void *ctx)
{
    (void)ctx;
    sotto_rng seeded = test_rng(8, 0);
    sotto_chan chan = open_chan(inner);
    const sotto_session_env env = {.chan = &chan, .rng = {secret_party_fill, &seeded}};
    return sotto_session_serve(&serving, &env, NULL);
}

static int client_side(sotto_chan *inner, void *ctx)
{
    (void)ctx;
    sotto_rng seeded = test_rng(8, 1);
    sotto_chan chan = open_chan(inner);
    const sotto_session_env env = {.chan = &chan, .rng = {secret_party_fill, &seeded}, .label_only = sign != SOTTO_SIGN_LOOKUP};
    sotto_session *s = NULL;
    int64_t x[4] = {100, -100, 30, 7};
    SOTTO_SECRET(x, sizeof x); /* the image */
    int status = sotto_session_open(&s, &serving.network, &env, sign, sign == SOTTO_SIGN_CIRCUIT3 ? SOTTO_OT_FERRET : SOTTO_OT_SOFTSPOKEN4);
    status = status == SOTTO_OK ? sotto_session_prepare(s) : status;
    if (status == SOTTO_OK) {
        status = env.label_only ? sotto_session_label(s, &label, x) : sotto_session_infer(s, logits, x);
    }
    sotto_session_close(s);
    return status;
}

void case_session(void)
{
    sotto_model m;
    const sotto_rng rng = test_rng(9, 0);
    fixture_model(&m, network_text, 4, &rng);
    fixture_polynomials(&m, "a1", network_kinds, 1, &rng);
    for (unsigned provider = 0; provider < SOTTO_SIGN_PROVIDERS; provider++) {
        require(sotto_serving_new(&serving, &m, NULL) == SOTTO_OK);
        /* The integers of the model; what is made of them before a client comes (quantisation, transforms) runs once, with nobody to time it. */
        for (size_t i = 0; i < serving.weights.step_count; i++) {
            SOTTO_SECRET(serving.weights.weights[i], serving.weights.weight_counts[i] * sizeof(int32_t));
            SOTTO_SECRET(serving.weights.bias[i], serving.weights.bias_counts[i] * sizeof(int64_t));
            SOTTO_SECRET(serving.weights.bound[i], serving.weights.bound_counts[i] * sizeof(int64_t));
            SOTTO_SECRET(serving.weights.poly[i], serving.weights.poly_counts[i] * sizeof(int64_t));
            const sotto_network_linear *linear = &serving.network.linear[i];
            if (linear->params != NULL) { /* the transforms, made again from secret weights */
                sotto_linear_weights_free(serving.packed[i], linear->params);
                require(sotto_linear_weights_new(&serving.packed[i], &linear->plan, linear->params, serving.weights.weights[i], NULL) ==
                        SOTTO_OK);
            }
        }
        sign = (sotto_sign_provider)provider;
        run_both(serve_side, NULL, client_side, NULL);
        SOTTO_DECLASSIFY(logits, sizeof logits); /* the outcome, which the client may do with as it likes */
        require(logits[0] != 0 || logits[1] != 0);
        require(provider == SOTTO_SIGN_LOOKUP || label == (logits[1] > logits[0])); /* provider 0 came first */
        sotto_serving_free(&serving);
    }
    sotto_model_free(&m);
}

