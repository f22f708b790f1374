/* What the tests share: a seeded rng, an in-memory channel pair, fault injectors, two-party runs.
 * Nothing here is linked into the library or the program. */
#ifndef SOTTO_TESTS_SUPPORT_H
#define SOTTO_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/aes.h"
#include "lib/chan.h"
#include "lib/err.h"
#include "lib/rng.h"

/* Fails the cmocka test with the library's message when `expr` is not `want`. */
#define assert_status(want, expr) test_assert_status((want), (expr), #expr, __FILE__, __LINE__)
#define assert_ok(expr) assert_status(SOTTO_OK, expr)
void test_assert_status(int want, int got, const char *expr, const char *file, int line);

/* Seed of this run: the environment variable SOTTO_TEST_SEED (decimal) if set, else random; printed once to stderr. */
uint64_t test_seed(void);

/* Deterministic rng for tests: a PRG keyed by (seed, stream); safe from several threads (a lock). Freed at process exit. */
sotto_rng test_rng(uint64_t seed, uint64_t stream);
/* 64 bits / below `bound` / packed words from an rng; abort the test on failure. */
uint64_t test_u64(const sotto_rng *rng);
uint64_t test_below(const sotto_rng *rng, uint64_t bound);

/* An rng that passes calls on to `inner` and fails call number `k` (from 0) and all later ones. */
typedef struct test_faulty_rng {
    sotto_rng inner;
    long k;
    long calls; /* calls so far */
} test_faulty_rng;
sotto_rng test_faulty_rng_wrap(test_faulty_rng *f);

/* Two channels connected in memory, unbounded buffers; recv waits at most `timeout_ms` (0: 10 s). */
void test_chan_pair(sotto_chan *a, sotto_chan *b, unsigned timeout_ms);

/* What a fault injector does at operation k (sends and receives counted together, from 0). */
typedef enum test_fault {
    TEST_FAULT_NONE,
    TEST_FAULT_CLOSE,   /* closes the channel */
    TEST_FAULT_STALL,   /* stops sending for ever; receives run into the timeout */
    TEST_FAULT_FLIP,    /* flips one bit (chosen from the seed) of what is sent at k */
    TEST_FAULT_GARBAGE  /* replaces what is sent from k on by random bytes */
} test_fault;

typedef struct test_fault_plan {
    test_fault kind;
    long k;
    uint64_t seed;
    long ops; /* operations seen so far, for a dry run that counts them */
} test_fault_plan;

/* Takes over *inner and gives a channel that misbehaves as *plan says; closing it closes inner. */
void test_chan_faulty(sotto_chan *out, sotto_chan *inner, test_fault_plan *plan);

/* A channel that hashes all that is sent through it (BLAKE2b-256) and passes it on: for transcript known answers. */
typedef struct test_transcript {
    void *state;
} test_transcript;
void test_chan_transcript(sotto_chan *out, sotto_chan *inner, test_transcript *t);
/* Hex digest (65 bytes with the terminator) of what was sent so far; releases the state. */
void test_transcript_hex(test_transcript *t, char hex[65]);

/* Runs both functions at once in two threads on the ends of a fresh pair (or on the given ends) and returns when both ended.
 * status[0], status[1] are their results; each end is closed when its function returns. */
void test_two_party(int (*party0)(sotto_chan *, void *), void *ctx0, int (*party1)(sotto_chan *, void *), void *ctx1,
                    int status[2]);
void test_two_party_on(sotto_chan *c0, int (*party0)(sotto_chan *, void *), void *ctx0, sotto_chan *c1,
                       int (*party1)(sotto_chan *, void *), void *ctx1, int status[2]);

/* Chi-square statistic of `count` observations in `cells` equally likely cells, and the bound that it exceeds with
 * probability below 1e-9 (Wilson-Hilferty). */
double test_chi_square(const uint64_t *observed, size_t cells, uint64_t count);
double test_chi_square_bound(size_t cells);

#endif
