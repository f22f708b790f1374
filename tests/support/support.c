#include "tests/support/support.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/ct.h"
#include "lib/prg.h"

/* Plain malloc throughout: what the tests need must not count for, nor fail by, sotto_calloc_fail_after. */
static void *must_alloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);

    if (!p) {
        (void)fprintf(stderr, "test support: out of memory\n");
        abort();
    }
    return p;
}

/* ---- assertions and seeds ---- */

void test_assert_status(int want, int got, const char *expr, const char *file, int line)
{
    if (got == want)
        return;
    print_error("%s: %s instead of %s: %s\n", expr, sotto_status_name(got), sotto_status_name(want), sotto_error_message());
    _fail(file, line);
}

static uint64_t run_seed;

static void choose_seed(void)
{
    const char *text = getenv("SOTTO_TEST_SEED");
    const sotto_rng rng = sotto_rng_system();

    if (text) {
        char *end = NULL;
        errno = 0;
        run_seed = strtoull(text, &end, 10);
        if (errno != 0 || end == text || *end != 0) {
            (void)fprintf(stderr, "SOTTO_TEST_SEED=%s is no decimal number of 64 bits\n", text);
            exit(2);
        }
    } else if (sotto_rng_fill(&rng, &run_seed, sizeof run_seed) != SOTTO_OK) {
        (void)fprintf(stderr, "no seed: %s\n", sotto_error_message());
        exit(2);
    }
    (void)fprintf(stderr, "seed: SOTTO_TEST_SEED=%" PRIu64 "\n", run_seed);
}

uint64_t test_seed(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, choose_seed);
    return run_seed;
}

/* ---- random numbers ---- */

typedef struct seeded {
    sotto_prg prg;
    pthread_mutex_t lock;
    struct seeded *next;
} seeded;

static int seeded_fill(void *ctx, void *out, size_t len)
{
    seeded *s = ctx;

    (void)pthread_mutex_lock(&s->lock);
    sotto_prg_fill(&s->prg, out, len);
    (void)pthread_mutex_unlock(&s->lock);
    return SOTTO_OK;
}

sotto_rng test_rng(uint64_t seed, uint64_t stream)
{
    /* The list keeps every generator reachable, which is what a leak checker asks of memory that lives to the end. */
    static seeded *all;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    seeded *s = must_alloc(sizeof *s);

    sotto_prg_init(&s->prg, (sotto_block){{seed, stream}});
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_mutex_lock(&lock);
    s->next = all;
    all = s;
    (void)pthread_mutex_unlock(&lock);
    return (sotto_rng){seeded_fill, s};
}

uint64_t test_u64(const sotto_rng *rng)
{
    uint64_t v;

    assert_ok(sotto_rng_fill(rng, &v, sizeof v));
    return v;
}

uint64_t test_below(const sotto_rng *rng, uint64_t bound)
{
    /* High word of a product: off from uniform by at most bound / 2^64, which no test can see. */
    return (uint64_t)(((sotto_u128)test_u64(rng) * bound) >> 64);
}

static int faulty_fill(void *ctx, void *out, size_t len)
{
    test_faulty_rng *f = ctx;

    if (__atomic_fetch_add(&f->calls, 1, __ATOMIC_RELAXED) < f->k)
        return sotto_rng_fill(&f->inner, out, len);
    memset(out, 0, len);
    return sotto_fail(SOTTO_ERR_RNG, "injected failure of the rng at call %ld", f->k);
}

sotto_rng test_faulty_rng_wrap(test_faulty_rng *f)
{
    return (sotto_rng){faulty_fill, f};
}

/* ---- channels in memory ---- */

typedef struct queue {
    uint8_t *data; /* cap bytes, of which [pos, pos + len) wait to be received */
    size_t pos, len, cap;
} queue;

typedef struct pair {
    pthread_mutex_t lock;
    pthread_cond_t change;
    queue to[2];
    int closed[2];
    unsigned timeout_ms;
} pair;

typedef struct pair_end {
    pair *p;
    int side;
} pair_end;

static int pair_send(void *ctx, const void *data, size_t len)
{
    const pair_end *e = ctx;
    pair *p = e->p;
    queue *q = &p->to[!e->side];

    (void)pthread_mutex_lock(&p->lock);
    if (p->closed[!e->side]) {
        (void)pthread_mutex_unlock(&p->lock);
        return sotto_fail(SOTTO_ERR_CLOSED, "the other end of the pair is closed");
    }
    if (q->cap - q->pos - q->len < len) {
        const size_t cap = 2 * (q->len + len) + 64;
        uint8_t *bigger = must_alloc(cap);
        if (q->len)
            memcpy(bigger, q->data + q->pos, q->len);
        free(q->data);
        *q = (queue){.data = bigger, .len = q->len, .cap = cap};
    }
    memcpy(q->data + q->pos + q->len, data, len);
    q->len += len;
    (void)pthread_cond_broadcast(&p->change);
    (void)pthread_mutex_unlock(&p->lock);
    return SOTTO_OK;
}

static struct timespec deadline_in(unsigned ms)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

static int pair_recv(void *ctx, void *data, size_t len)
{
    const pair_end *e = ctx;
    pair *p = e->p;
    queue *q = &p->to[e->side];
    const struct timespec deadline = deadline_in(p->timeout_ms);
    int code = 0, status = SOTTO_OK;

    (void)pthread_mutex_lock(&p->lock);
    while (q->len < len && !p->closed[!e->side] && code == 0)
        code = pthread_cond_timedwait(&p->change, &p->lock, &deadline);
    if (q->len >= len) {
        memcpy(data, q->data + q->pos, len);
        q->len -= len;
        q->pos = q->len ? q->pos + len : 0;
    } else if (p->closed[!e->side]) {
        status = sotto_fail(SOTTO_ERR_CLOSED, "the other end of the pair is closed");
    } else {
        status = sotto_fail(SOTTO_ERR_TIMEOUT, "nothing came within %u ms", p->timeout_ms);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return status;
}

static int pair_flush(void *ctx)
{
    (void)ctx;
    return SOTTO_OK;
}

static void pair_close(void *ctx)
{
    pair_end *e = ctx;
    pair *p = e->p;

    (void)pthread_mutex_lock(&p->lock);
    p->closed[e->side] = 1;
    const int last = p->closed[!e->side];
    (void)pthread_cond_broadcast(&p->change);
    (void)pthread_mutex_unlock(&p->lock);
    free(e);
    if (!last)
        return;
    free(p->to[0].data);
    free(p->to[1].data);
    (void)pthread_cond_destroy(&p->change);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}

static const sotto_chan_ops pair_ops = {pair_send, pair_recv, pair_flush, pair_close};

void test_chan_pair(sotto_chan *a, sotto_chan *b, unsigned timeout_ms)
{
    sotto_chan *const ends[2] = {a, b};
    pair *p = must_alloc(sizeof *p);
    pthread_condattr_t monotonic;

    p->timeout_ms = timeout_ms ? timeout_ms : 10000;
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&p->change, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    for (int side = 0; side < 2; side++) {
        pair_end *e = must_alloc(sizeof *e);
        *e = (pair_end){p, side};
        *ends[side] = (sotto_chan){.ops = &pair_ops, .ctx = e};
    }
}

/* ---- fault injection ---- */

typedef struct faulty {
    sotto_chan inner;
    test_fault_plan *plan;
    sotto_rng rng;
} faulty;

/* Counts the operation; 1 when the channel is closed at or before it. */
static int closes_now(faulty *f, long *op)
{
    *op = f->plan->ops++;
    if (f->plan->kind != TEST_FAULT_CLOSE || *op < f->plan->k)
        return 0;
    sotto_chan_close(&f->inner);
    return 1;
}

static int faulty_send(void *ctx, const void *data, size_t len)
{
    faulty *f = ctx;
    const test_fault kind = f->plan->kind;
    const long k = f->plan->k;
    long op;

    if (closes_now(f, &op))
        return sotto_fail(SOTTO_ERR_CLOSED, "injected close at operation %ld", k);
    if (kind == TEST_FAULT_STALL && op >= k)
        return SOTTO_OK;
    const int flip = kind == TEST_FAULT_FLIP && op == k, garbage = kind == TEST_FAULT_GARBAGE && op >= k;
    if (!flip && !garbage)
        return sotto_chan_send(&f->inner, data, len);

    uint8_t *copy = must_alloc(len);
    memcpy(copy, data, len);
    if (flip) {
        const uint64_t bit = test_below(&f->rng, 8 * (uint64_t)len);
        copy[bit / 8] = (uint8_t)(copy[bit / 8] ^ 1u << bit % 8);
    } else {
        assert_ok(sotto_rng_fill(&f->rng, copy, len));
    }
    const int status = sotto_chan_send(&f->inner, copy, len);
    free(copy);
    return status;
}

static int faulty_recv(void *ctx, void *data, size_t len)
{
    faulty *f = ctx;
    long op;

    if (closes_now(f, &op))
        return sotto_fail(SOTTO_ERR_CLOSED, "injected close at operation %ld", f->plan->k);
    return sotto_chan_recv(&f->inner, data, len);
}

static int faulty_flush(void *ctx)
{
    faulty *f = ctx;

    /* After an injected close the operation that follows reports it. */
    return f->inner.ops ? sotto_chan_flush(&f->inner) : SOTTO_OK;
}

static void faulty_close(void *ctx)
{
    faulty *f = ctx;

    sotto_chan_close(&f->inner);
    free(f);
}

void test_chan_faulty(sotto_chan *out, sotto_chan *inner, test_fault_plan *plan)
{
    static const sotto_chan_ops ops = {faulty_send, faulty_recv, faulty_flush, faulty_close};
    faulty *f = must_alloc(sizeof *f);

    *f = (faulty){.inner = *inner, .plan = plan, .rng = test_rng(plan->seed, (uint64_t)plan->k)};
    *inner = (sotto_chan){.ops = NULL};
    *out = (sotto_chan){.ops = &ops, .ctx = f};
}

/* ---- transcripts ---- */

typedef struct recorder {
    sotto_chan inner;
    crypto_generichash_state *hash;
} recorder;

static int record_send(void *ctx, const void *data, size_t len)
{
    recorder *r = ctx;

    (void)crypto_generichash_update(r->hash, data, len);
    return sotto_chan_send(&r->inner, data, len);
}

static int record_recv(void *ctx, void *data, size_t len)
{
    return sotto_chan_recv(&((recorder *)ctx)->inner, data, len);
}

static int record_flush(void *ctx)
{
    return sotto_chan_flush(&((recorder *)ctx)->inner);
}

static void record_close(void *ctx)
{
    recorder *r = ctx;

    sotto_chan_close(&r->inner);
    free(r);
}

void test_chan_transcript(sotto_chan *out, sotto_chan *inner, test_transcript *t)
{
    static const sotto_chan_ops ops = {record_send, record_recv, record_flush, record_close};
    recorder *r = must_alloc(sizeof *r);
    /* libsodium wants the state aligned to 64 bytes; its size is a multiple of that. */
    crypto_generichash_state *hash = aligned_alloc(64, sizeof *hash);

    if (!hash || sodium_init() < 0 || crypto_generichash_init(hash, NULL, 0, 32) != 0)
        abort();
    t->state = hash;
    *r = (recorder){.inner = *inner, .hash = hash};
    *inner = (sotto_chan){.ops = NULL};
    *out = (sotto_chan){.ops = &ops, .ctx = r};
}

void test_transcript_hex(test_transcript *t, char hex[65])
{
    uint8_t digest[32];

    (void)crypto_generichash_final(t->state, digest, sizeof digest);
    (void)sodium_bin2hex(hex, 65, digest, sizeof digest);
    free(t->state);
    t->state = NULL;
}

/* ---- two parties ---- */

typedef struct party {
    int (*fn)(sotto_chan *, void *);
    sotto_chan *chan;
    void *ctx;
    int status;
    char message[512];
} party;

static void *party_main(void *arg)
{
    party *p = arg;

    p->status = p->fn(p->chan, p->ctx);
    if (p->status != SOTTO_OK)
        (void)snprintf(p->message, sizeof p->message, "%s", sotto_error_message());
    sotto_chan_close(p->chan);
    return NULL;
}

void test_two_party_on(sotto_chan *c0, int (*party0)(sotto_chan *, void *), void *ctx0, sotto_chan *c1,
                       int (*party1)(sotto_chan *, void *), void *ctx1, int status[2])
{
    party p[2] = {{.fn = party0, .chan = c0, .ctx = ctx0}, {.fn = party1, .chan = c1, .ctx = ctx1}};
    pthread_t thread[2];

    for (int i = 0; i < 2; i++) {
        if (pthread_create(&thread[i], NULL, party_main, &p[i]) != 0)
            abort();
    }
    for (int i = 0; i < 2; i++) {
        (void)pthread_join(thread[i], NULL);
        status[i] = p[i].status;
    }
    /* So that assert_ok(status[i]) has something to say. */
    if (status[0] != SOTTO_OK || status[1] != SOTTO_OK)
        (void)sotto_fail(SOTTO_OK, "party 0: %s (%.200s); party 1: %s (%.200s)", sotto_status_name(status[0]), p[0].message,
                         sotto_status_name(status[1]), p[1].message);
}

void test_two_party(int (*party0)(sotto_chan *, void *), void *ctx0, int (*party1)(sotto_chan *, void *), void *ctx1,
                    int status[2])
{
    sotto_chan a, b;

    test_chan_pair(&a, &b, 0);
    test_two_party_on(&a, party0, ctx0, &b, party1, ctx1, status);
}

/* ---- statistics ---- */

double test_chi_square(const uint64_t *observed, size_t cells, uint64_t count)
{
    const double expected = (double)count / (double)cells;
    double sum = 0;

    for (size_t i = 0; i < cells; i++) {
        const double d = (double)observed[i] - expected;
        sum += d * d / expected;
    }
    return sum;
}

double test_chi_square_bound(size_t cells)
{
    /* Wilson-Hilferty: the cube root of chi^2 / f is nearly normal with mean 1 - 2/(9f) and variance 2/(9f). A normal
     * variable exceeds 6 standard deviations with probability 9.9e-10. */
    const double z = 6, f = (double)(cells - 1), v = 2 / (9 * f);
    const double root = 1 - v + z * sqrt(v);

    return f * root * root * root;
}
