/* Groups ring and bfv: one thread, no second party. */
#include <string.h>

#include "apps/bench.h"
#include "bfv/evaluate.h"
#include "bfv/galois.h"
#include "bfv/multiply.h"
#include "bfv/wire.h"
#include "lib/mem.h"
#include "ring/ntt.h"
#include "ring/poly.h"
#include "ring/prime.h"
#include "ring/sample.h"

/* ---- ring ----------------------------------------------------------------------------------------------------------------- */

/* Terms of a sum of products, each in memory of its own as a layer's ciphertexts and weights are: few, which stay in a core's L2
 * cache, and so many that they do not. */
#define TERMS_FEW 4
#define TERMS 32

typedef struct ring_ctx {
    sotto_rns *rns;
    const sotto_ntt *ntt;
    uint32_t n;
    uint64_t *x, *sum[2], *term[3][TERMS];
    int64_t *small;
    size_t terms;
    sotto_rng rng;
    sotto_block seed;
} ring_ctx;

static int ntt_forward(void *ctx)
{
    const ring_ctx *c = ctx;
    sotto_ntt_forward(c->ntt, c->x);
    return SOTTO_OK;
}

static int ntt_inverse(void *ctx)
{
    const ring_ctx *c = ctx;
    sotto_ntt_inverse(c->ntt, c->x);
    return SOTTO_OK;
}

static int mac(void *ctx)
{
    const ring_ctx *c = ctx;
    sotto_ntt_dot_pair(c->ntt, c->sum[0], c->sum[1], (const uint64_t *const *)c->term[0], (const uint64_t *const *)c->term[1],
                       (const uint64_t *const *)c->term[2], c->terms);
    return SOTTO_OK;
}

static int uniform(void *ctx)
{
    ring_ctx *c = ctx;
    c->seed.w[0]++;
    sotto_sample_uniform_seeded(c->rns, c->x, c->seed);
    return SOTTO_OK;
}

static int error(void *ctx)
{
    const ring_ctx *c = ctx;
    return sotto_sample_error(c->small, c->n, &c->rng);
}

static int ternary(void *ctx)
{
    const ring_ctx *c = ctx;
    return sotto_sample_ternary(c->small, c->n, &c->rng);
}

static const struct ring_row {
    const char *name;
    int (*call)(void *ctx);
    size_t terms; /* of a sum, 0: none */
} ring_rows[] = {{"ntt.forward", ntt_forward, 0}, {"ntt.inverse", ntt_inverse, 0}, {"mac", mac, TERMS_FEW}, {"mac", mac, TERMS},
                 {"sample.uniform", uniform, 0},  {"sample.error", error, 0},      {"sample.ternary", ternary, 0}};

static double items_of(size_t terms)
{
    return terms > 0 ? (double)terms : 1.0;
}

static int ring_setup(ring_ctx *c, uint64_t q)
{
    int status = sotto_rns_new(&c->rns, c->n, &q, 1);
    if (status != SOTTO_OK) {
        return status;
    }
    uint64_t **const poly[] = {&c->x, &c->sum[0], &c->sum[1]};
    int missing = 0;
    c->ntt = sotto_rns_ntt(c->rns, 0);
    c->small = sotto_calloc(c->n, sizeof *c->small);
    for (size_t i = 0; i < 3; i++) {
        *poly[i] = sotto_poly_new(c->rns);
        missing |= *poly[i] == NULL;
        for (size_t k = 0; k < TERMS; k++) {
            c->term[i][k] = sotto_poly_new(c->rns);
            missing |= c->term[i][k] == NULL;
        }
    }
    if (c->small == NULL || missing) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for polynomials");
    }
    for (size_t i = 0; i < 3 * TERMS; i++) {
        c->seed.w[0]++;
        sotto_sample_uniform_seeded(c->rns, c->term[i / TERMS][i % TERMS], c->seed);
    }
    return uniform(c);
}

static int ring_set(bench *b, uint32_t n, unsigned bits)
{
    ring_ctx c = {.n = n, .rng = sotto_rng_system()};
    uint64_t q;
    int status = sotto_prime_generate(&q, 1, bits, n, NULL, 0);
    if (status == SOTTO_OK) {
        status = ring_setup(&c, q);
    }
    for (size_t i = 0; i < sizeof ring_rows / sizeof *ring_rows && status == SOTTO_OK; i++) {
        const struct ring_row *r = &ring_rows[i];
        const bench_param params[] = {{"n", NULL, n}, {"bits", NULL, bits}, {r->terms > 0 ? "terms" : NULL, NULL, (double)r->terms}, {0}};
        c.terms = r->terms;
        if (bench_wants(b, r->name)) {
            status = bench_measure(b, &(bench_row){.name = r->name, .unit = "us", .items = items_of(r->terms), .call = r->call, .ctx = &c,
                                                   .tier = sotto_ntt_tier(c.ntt), .params = params});
        }
    }
    for (size_t i = 0; i < 3 * TERMS; i++) {
        sotto_free(c.term[i / TERMS][i % TERMS]);
    }
    sotto_free(c.x);
    sotto_free(c.sum[0]);
    sotto_free(c.sum[1]);
    sotto_free(c.small);
    sotto_rns_free(c.rns);
    return status;
}

int bench_ring(bench *b)
{
    static const struct {
        uint32_t n;
        unsigned bits;
    } sets[] = {{1024, 27}, {2048, 50}, {4096, 46}, {4096, 50}, {4096, 60}, {8192, 50}, {16384, 50}, {32768, 50}};
    int status = SOTTO_OK;
    for (size_t i = 0; i < sizeof sets / sizeof *sets && status == SOTTO_OK; i++) {
        status = ring_set(b, sets[i].n, sets[i].bits);
    }
    return status;
}

/* ---- bfv ------------------------------------------------------------------------------------------------------------------- */

typedef struct bfv_ctx {
    sotto_bfv_params *p, *smaller;
    sotto_bfv_secret_key sk;
    sotto_bfv_public_key pk;
    sotto_bfv_switch_key relin;
    sotto_bfv_galois_keys galois;
    sotto_bfv_ct ct, coeff, out, switched, term[TERMS]; /* coeff in coefficient form, the others in NTT form */
    sotto_bfv_plain weight[TERMS];
    uint64_t *m;
    uint8_t *wire;
    size_t wire_bytes, terms;
    sotto_rng rng;
} bfv_ctx;

static int encrypt_symmetric(void *ctx)
{
    bfv_ctx *c = ctx;
    sotto_block seed;
    return sotto_bfv_encrypt_symmetric(&c->out, &seed, c->p, &c->sk, c->m, &c->rng);
}

static int encrypt_public(void *ctx)
{
    bfv_ctx *c = ctx;
    return sotto_bfv_encrypt_public(&c->out, c->p, &c->pk, c->m, &c->rng);
}

static int decrypt(void *ctx)
{
    bfv_ctx *c = ctx;
    return sotto_bfv_decrypt(c->m, c->p, &c->sk, &c->ct);
}

static int load_seeded(void *ctx)
{
    bfv_ctx *c = ctx;
    sotto_reader r;
    sotto_bfv_ct ct = {0};
    sotto_reader_init(&r, c->wire, c->wire_bytes);
    const int status = sotto_bfv_seeded_read(&ct, c->p, &r);
    sotto_bfv_ct_free(&ct);
    return status;
}

static int add(void *ctx)
{
    bfv_ctx *c = ctx;
    return sotto_bfv_add(&c->out, c->p, &c->ct);
}

static int bfv_mac(void *ctx)
{
    bfv_ctx *c = ctx;
    const sotto_bfv_ct *x[TERMS];
    const sotto_bfv_plain *w[TERMS];
    for (size_t k = 0; k < c->terms; k++) {
        x[k] = &c->term[k];
        w[k] = &c->weight[k];
    }
    return sotto_bfv_dot_plain(&c->out, c->p, x, w, c->terms);
}

static int modswitch(void *ctx)
{
    bfv_ctx *c = ctx;
    return sotto_bfv_mod_switch(&c->switched, c->smaller, &c->coeff, c->p);
}

static int keygen(void *ctx)
{
    bfv_ctx *c = ctx;
    sotto_bfv_secret_key sk = {0};
    sotto_bfv_public_key pk = {0};
    int status = sotto_bfv_secret_key_new(&sk, c->p, &c->rng);
    if (status == SOTTO_OK) {
        status = sotto_bfv_public_key_new(&pk, c->p, &sk, &c->rng);
    }
    sotto_bfv_secret_key_free(&sk);
    sotto_bfv_public_key_free(&pk);
    return status;
}

static int multiply_relin(void *ctx)
{
    bfv_ctx *c = ctx;
    return sotto_bfv_mul(&c->out, c->p, &c->ct, &c->relin);
}

static int rotate(void *ctx)
{
    bfv_ctx *c = ctx;
    return sotto_bfv_rotate_rows(&c->out, c->p, 1, &c->galois);
}

static const struct bfv_row {
    const char *name;
    int (*call)(void *ctx);
    size_t terms; /* of a sum, 0: none */
    int special;  /* needs a special prime */
} bfv_rows[] = {{"encrypt.symmetric", encrypt_symmetric, 0, 0},
                {"encrypt.public", encrypt_public, 0, 0},
                {"decrypt", decrypt, 0, 0},
                {"load.seeded", load_seeded, 0, 0},
                {"keygen", keygen, 0, 0},
                {"add", add, 0, 0},
                {"mac", bfv_mac, TERMS_FEW, 0},
                {"mac", bfv_mac, TERMS, 0},
                {"modswitch", modswitch, 0, 0},
                {"multiply.relin", multiply_relin, 0, 1},
                {"rotate", rotate, 0, 1}};

/* Prime lengths of the ciphertext modulus, 0 at the end; special: length of the special prime, 0 for none. */
typedef struct bfv_shape {
    uint32_t n;
    unsigned bits[SOTTO_RNS_MAX], special, log_t;
} bfv_shape;

/* Keys, by what the set allows. */
static int bfv_keys(bfv_ctx *c, const bfv_shape *s)
{
    int status = sotto_bfv_secret_key_new(&c->sk, c->p, &c->rng);
    if (status == SOTTO_OK) {
        status = sotto_bfv_public_key_new(&c->pk, c->p, &c->sk, &c->rng);
    }
    if (status == SOTTO_OK && s->special != 0) {
        const uint32_t left = sotto_bfv_galois_row(c->p, 1);
        status = sotto_bfv_relin_key_new(&c->relin, c->p, &c->sk, &c->rng);
        if (status == SOTTO_OK) {
            status = sotto_bfv_galois_keys_new(&c->galois, c->p, &c->sk, &left, 1, &c->rng);
        }
    }
    return status;
}

/* The set, and the one that its modulus switch leads to. */
static int bfv_params(bfv_ctx *c, const bfv_shape *s)
{
    size_t primes = 0;
    uint64_t q[SOTTO_RNS_MAX];
    while (s->bits[primes] != 0) {
        primes++;
    }
    const uint64_t t = UINT64_C(1) << s->log_t;
    int status = s->special != 0 ? sotto_bfv_params_from_bits_special(&c->p, s->n, s->bits, primes, s->special, t)
                                 : sotto_bfv_params_from_bits(&c->p, s->n, s->bits, primes, t);
    for (size_t i = 0; i + 1 < primes && status == SOTTO_OK; i++) {
        q[i] = sotto_rns_modulus(sotto_bfv_rns(c->p), i)->q;
    }
    return status == SOTTO_OK ? sotto_bfv_params_new(&c->smaller, s->n, q, primes - 1, t) : status;
}

/* TERMS fresh ciphertexts and multiplicands, and what the other rows read. */
static int bfv_data(bfv_ctx *c, const bfv_shape *s)
{
    const size_t n = s->n;
    sotto_block seed;
    sotto_writer w;
    int64_t *weights = sotto_calloc(n, sizeof *weights);
    c->m = sotto_calloc(n, sizeof *c->m);
    c->wire_bytes = sotto_bfv_seeded_bytes(c->p);
    c->wire = sotto_calloc(c->wire_bytes, 1);
    int status = weights == NULL || c->m == NULL || c->wire == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for a plaintext") : SOTTO_OK;
    for (size_t i = 0; i < n && status == SOTTO_OK; i++) {
        weights[i] = (int64_t)(i * 2654435761u % 255) - 127;
        c->m[i] = i * 40503 & ((UINT64_C(1) << s->log_t) - 1);
    }
    sotto_bfv_ct *const own[] = {&c->ct, &c->coeff, &c->out};
    for (size_t k = 0; k < 3 + TERMS && status == SOTTO_OK; k++) {
        sotto_bfv_ct *ct = k < 3 ? own[k] : &c->term[k - 3];
        status = sotto_bfv_ct_new(ct, c->p);
        if (status == SOTTO_OK) {
            status = sotto_bfv_encrypt_symmetric(ct, &seed, c->p, &c->sk, c->m, &c->rng);
        }
        if (status == SOTTO_OK && k >= 3) {
            status = sotto_bfv_plain_new(&c->weight[k - 3], c->p, weights);
        }
    }
    if (status == SOTTO_OK) {
        sotto_writer_init(&w, c->wire, c->wire_bytes);
        sotto_bfv_seeded_write(&w, c->p, &c->term[TERMS - 1], seed);
        status = w.status;
    }
    if (status == SOTTO_OK) {
        sotto_bfv_to_coeff(&c->coeff, c->p);
        status = sotto_bfv_ct_new(&c->switched, c->smaller);
    }
    sotto_free(weights);
    return status;
}

static int bfv_set(bench *b, const bfv_shape *s)
{
    bfv_ctx c = {.rng = sotto_rng_system()};
    int status = bfv_params(&c, s);
    if (status == SOTTO_OK) {
        status = bfv_keys(&c, s);
    }
    if (status == SOTTO_OK) {
        status = bfv_data(&c, s);
    }
    const double log_q = status == SOTTO_OK ? sotto_rns_bits(sotto_bfv_rns(c.p)) : 0;
    for (size_t i = 0; i < sizeof bfv_rows / sizeof *bfv_rows && status == SOTTO_OK; i++) {
        const struct bfv_row *r = &bfv_rows[i];
        const bench_param params[] = {{"n", NULL, s->n},         {"logq", NULL, log_q}, {"special", NULL, s->special},
                                      {"logt", NULL, s->log_t}, {r->terms > 0 ? "terms" : NULL, NULL, (double)r->terms}, {0}};
        c.terms = r->terms;
        if (bench_wants(b, r->name) && (s->special != 0 || !r->special)) {
            status = bench_measure(b, &(bench_row){.name = r->name, .unit = "us", .items = items_of(r->terms), .call = r->call, .ctx = &c,
                                                   .tier = sotto_ntt_tier(sotto_rns_ntt(sotto_bfv_rns(c.p), 0)), .params = params});
        }
    }
    for (size_t k = 0; k < TERMS; k++) {
        sotto_bfv_plain_free(&c.weight[k], c.p);
        sotto_bfv_ct_free(&c.term[k]);
    }
    sotto_bfv_ct_free(&c.ct);
    sotto_bfv_ct_free(&c.coeff);
    sotto_bfv_ct_free(&c.out);
    sotto_bfv_ct_free(&c.switched);
    sotto_bfv_galois_keys_free(&c.galois);
    sotto_bfv_switch_key_free(&c.relin);
    sotto_bfv_secret_key_free(&c.sk);
    sotto_bfv_public_key_free(&c.pk);
    sotto_bfv_params_free(c.smaller);
    sotto_bfv_params_free(c.p);
    sotto_free(c.m);
    sotto_free(c.wire);
    return status;
}

int bench_bfv(bench *b)
{
    static const bfv_shape shapes[] = {{4096, {46, 46}, 0, 24},
                                       {4096, {50, 50}, 0, 32},
                                       {4096, {36, 36, 37}, 0, 20},
                                       {4096, {36, 36}, 37, 16},
                                       {8192, {43, 43, 44, 44}, 44, 20}};
    int status = SOTTO_OK;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes && status == SOTTO_OK; i++) {
        status = bfv_set(b, &shapes[i]);
    }
    return status;
}
