/* Groups ring and bfv: one thread, no second party. */
#include <string.h>

#include "apps/bench.h"
#include "bfv/evaluate.h"
#include "bfv/wire.h"
#include "lib/mem.h"
#include "ring/ntt.h"
#include "ring/poly.h"
#include "ring/prime.h"
#include "ring/sample.h"

/* ---- ring ----------------------------------------------------------------------------------------------------------------- */

#define TERMS 16 /* of a sum of products, each in memory of its own as a layer's ciphertexts and weights are */

typedef struct ring_ctx {
    sotto_rns *rns;
    const sotto_ntt *ntt;
    uint32_t n;
    uint64_t *x, *sum[2], *term[3][TERMS];
    int64_t *small;
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
                       (const uint64_t *const *)c->term[2], TERMS);
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
    double items;
} ring_rows[] = {{"ntt.forward", ntt_forward, 1}, {"ntt.inverse", ntt_inverse, 1}, {"mac", mac, TERMS},
                 {"sample.uniform", uniform, 1},  {"sample.error", error, 1},      {"sample.ternary", ternary, 1}};

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
    const bench_param params[] = {{"n", NULL, n}, {"bits", NULL, bits}, {0}};
    uint64_t q;
    int status = sotto_prime_generate(&q, 1, bits, n, NULL, 0);
    if (status == SOTTO_OK) {
        status = ring_setup(&c, q);
    }
    for (size_t i = 0; i < sizeof ring_rows / sizeof *ring_rows && status == SOTTO_OK; i++) {
        const struct ring_row *r = &ring_rows[i];
        if (bench_wants(b, r->name)) {
            status = bench_measure(b, &(bench_row){.name = r->name, .unit = "us", .items = r->items, .call = r->call, .ctx = &c,
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
    sotto_bfv_ct ct, acc, switched;
    sotto_bfv_plain w;
    uint64_t *m;
    uint8_t *wire;
    size_t wire_bytes;
    sotto_rng rng;
} bfv_ctx;

static int encrypt_symmetric(void *ctx)
{
    bfv_ctx *c = ctx;
    sotto_block seed;
    return sotto_bfv_encrypt_symmetric(&c->acc, &seed, c->p, &c->sk, c->m, &c->rng);
}

static int encrypt_public(void *ctx)
{
    bfv_ctx *c = ctx;
    return sotto_bfv_encrypt_public(&c->acc, c->p, &c->pk, c->m, &c->rng);
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
    return sotto_bfv_add(&c->acc, c->p, &c->ct);
}

static int bfv_mac(void *ctx)
{
    bfv_ctx *c = ctx;
    return sotto_bfv_mac_plain(&c->acc, c->p, &c->ct, &c->w);
}

static int modswitch(void *ctx)
{
    bfv_ctx *c = ctx;
    return sotto_bfv_mod_switch(&c->switched, c->smaller, &c->ct, c->p);
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

/* In an order in which each row finds ct and acc in the form it needs: ct in NTT form from the third group on. */
static const struct bfv_row {
    const char *name;
    int (*call)(void *ctx);
} bfv_rows[] = {{"encrypt.symmetric", encrypt_symmetric}, {"encrypt.public", encrypt_public}, {"decrypt", decrypt},
                {"load.seeded", load_seeded},             {"keygen", keygen}};

static int bfv_setup(bfv_ctx *c, uint32_t n, const unsigned *bits, size_t primes, unsigned log_t)
{
    const size_t words = n;
    sotto_block seed;
    sotto_writer w;
    int status = sotto_bfv_params_from_bits(&c->p, n, bits, primes, UINT64_C(1) << log_t);
    if (status == SOTTO_OK) {
        uint64_t kept[8];
        for (size_t i = 0; i + 1 < primes; i++) {
            kept[i] = sotto_rns_modulus(sotto_bfv_rns(c->p), i)->q;
        }
        status = sotto_bfv_params_new(&c->smaller, n, kept, primes - 1, UINT64_C(1) << log_t);
    }
    if (status == SOTTO_OK) {
        status = sotto_bfv_secret_key_new(&c->sk, c->p, &c->rng);
    }
    if (status == SOTTO_OK) {
        status = sotto_bfv_public_key_new(&c->pk, c->p, &c->sk, &c->rng);
    }
    if (status == SOTTO_OK) {
        status = sotto_bfv_ct_new(&c->ct, c->p);
    }
    if (status == SOTTO_OK) {
        status = sotto_bfv_ct_new(&c->acc, c->p);
    }
    if (status == SOTTO_OK) {
        status = sotto_bfv_ct_new(&c->switched, c->smaller);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    int64_t *weights = sotto_calloc(words, sizeof *weights);
    c->m = sotto_calloc(words, sizeof *c->m);
    c->wire_bytes = sotto_bfv_seeded_bytes(c->p);
    c->wire = sotto_calloc(c->wire_bytes, 1);
    if (weights == NULL || c->m == NULL || c->wire == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a plaintext");
    } else {
        for (size_t i = 0; i < words; i++) {
            weights[i] = (int64_t)(i * 2654435761u % 255) - 127;
            c->m[i] = i * 40503 % (UINT64_C(1) << log_t);
        }
        status = sotto_bfv_plain_new(&c->w, c->p, weights);
    }
    if (status == SOTTO_OK) {
        status = sotto_bfv_encrypt_symmetric(&c->ct, &seed, c->p, &c->sk, c->m, &c->rng);
    }
    if (status == SOTTO_OK) {
        sotto_writer_init(&w, c->wire, c->wire_bytes);
        sotto_bfv_seeded_write(&w, c->p, &c->ct, seed);
        status = w.status;
    }
    sotto_free(weights);
    return status;
}

static int bfv_set(bench *b, uint32_t n, const unsigned *bits, size_t primes, unsigned log_t)
{
    bfv_ctx c = {.rng = sotto_rng_system()};
    int status = bfv_setup(&c, n, bits, primes, log_t);
    const double log_q = status == SOTTO_OK ? sotto_rns_bits(sotto_bfv_rns(c.p)) : 0;
    const bench_param params[] = {{"n", NULL, n}, {"logq", NULL, log_q}, {"logt", NULL, log_t}, {0}};
    bench_row row = {.unit = "us", .items = 1, .ctx = &c, .params = params};
    for (size_t i = 0; i < sizeof bfv_rows / sizeof *bfv_rows && status == SOTTO_OK; i++) {
        if (bench_wants(b, bfv_rows[i].name)) {
            row.name = bfv_rows[i].name;
            row.call = bfv_rows[i].call;
            status = bench_measure(b, &row);
        }
    }
    if (status == SOTTO_OK && bench_wants(b, "modswitch")) {
        sotto_bfv_to_coeff(&c.ct, c.p);
        row.name = "modswitch";
        row.call = modswitch;
        status = bench_measure(b, &row);
    }
    if (status == SOTTO_OK) {
        sotto_bfv_to_ntt(&c.ct, c.p);
        status = encrypt_symmetric(&c);
        sotto_bfv_to_ntt(&c.acc, c.p);
    }
    const struct bfv_row last[] = {{"add", add}, {"mac", bfv_mac}};
    for (size_t i = 0; i < 2 && status == SOTTO_OK; i++) {
        if (bench_wants(b, last[i].name)) {
            row.name = last[i].name;
            row.call = last[i].call;
            status = bench_measure(b, &row);
        }
    }
    sotto_bfv_plain_free(&c.w, c.p);
    sotto_bfv_ct_free(&c.ct);
    sotto_bfv_ct_free(&c.acc);
    sotto_bfv_ct_free(&c.switched);
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
    static const unsigned small[] = {46, 46}, wide[] = {50, 50}, large[] = {50, 50, 50, 50};
    int status = bfv_set(b, 4096, small, 2, 24);
    if (status == SOTTO_OK) {
        status = bfv_set(b, 4096, wide, 2, 32);
    }
    return status == SOTTO_OK ? bfv_set(b, 8192, large, 4, 24) : status;
}
