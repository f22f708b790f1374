/* The emulated network: what it was asked for is what a peer measures, and bytes come through whole. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "apps/link.h"
#include "lib/prg.h"
#include "lib/tcp.h"
#include "tests/support/support.h"

typedef struct ends {
    link_process link;
    sotto_chan client, server;
} ends;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static ends ends_new(const char *text)
{
    ends e;
    link_spec spec;
    sotto_tcp_listener *listener;
    memset(&e, 0, sizeof e);
    assert_ok(link_parse(&spec, text));
    assert_ok(sotto_tcp_listen(&listener, "127.0.0.1", 0));
    assert_ok(link_start(&e.link, &spec, sotto_tcp_port(listener)));
    assert_ok(sotto_tcp_connect(&e.client, "127.0.0.1", e.link.port, 20000));
    assert_ok(sotto_tcp_accept(listener, &e.server, 20000, NULL));
    sotto_tcp_listener_free(listener);
    return e;
}

static void ends_free(ends *e)
{
    sotto_chan_close(&e->client);
    sotto_chan_close(&e->server);
    link_stop(&e->link);
}

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double bits, rtt;
    } good[] = {
        {"loopback", 0, 0},        {"lan", 1e9, 1.2e-3},          {"wan", 1e8, 40e-3},    {"200Mbit,10ms", 2e8, 10e-3},
        {"1.5gbit,300us", 1.5e9, 300e-6}, {"1kbit,10s", 1e3, 10}, {"2000bit,1s", 2e3, 1},
    };
    static const char *const bad[] = {"", "moon", "lan ", "100Mbit", "100Mbit,", "100,10ms", "100Mbit,10", "Mbit,10ms", ",", "100Mbit,ms", "-5Mbit,1ms", "5Mbit,-1ms",
                                      "nanMbit,1ms", "5Mbit,nanms", "1bit,1ms", "1000Gbit,1ms", "1Mbit,0ms", "1Mbit,11s", "1Mbit,1ms,2ms", "1Mbit 1ms",
                                      "1Mbit,0000000000000000000000000000000000000000001ms"};
    link_spec s;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_ok(link_parse(&s, good[i].text));
        assert_true(s.bits_per_second == good[i].bits && s.rtt == good[i].rtt);
        assert_string_equal(s.name, good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_status(SOTTO_ERR_ARG, link_parse(&s, bad[i]));
    }
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void *echo(void *arg)
{
    ends *e = arg;
    uint8_t byte;
    while (sotto_chan_recv(&e->server, &byte, 1) == SOTTO_OK && sotto_chan_send(&e->server, &byte, 1) == SOTTO_OK) {
    }
    return NULL;
}

/* The machine may be busy: the lower quartile of many round trips is what the relay can do, and one of eight attempts has to be near. */
static void test_round_trip(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double rtt;
    } nets[] = {{"lan", 1.2e-3}, {"100Mbit,10ms", 10e-3}, {"1Mbit,40ms", 40e-3}};
    enum { TRIPS = 24 };
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        double got = 0;
        int near = 0;
        for (int attempt = 0; attempt < 8 && !near; attempt++) {
            ends e = ends_new(nets[i].text);
            pthread_t thread;
            double trip[TRIPS];
            assert_int_equal(pthread_create(&thread, NULL, echo, &e), 0);
            for (size_t k = 0; k < TRIPS; k++) {
                uint8_t byte = (uint8_t)k;
                const double start = now_s();
                assert_ok(sotto_chan_send(&e.client, &byte, 1));
                assert_ok(sotto_chan_recv(&e.client, &byte, 1));
                trip[k] = now_s() - start;
                assert_int_equal(byte, k);
            }
            qsort(trip, TRIPS, sizeof *trip, ascending);
            got = trip[TRIPS / 4];
            assert_true(trip[0] > 0.9 * nets[i].rtt);
            near = got < 1.1 * nets[i].rtt;
            sotto_chan_close(&e.client);
            pthread_join(thread, NULL);
            ends_free(&e);
        }
        print_message("%s: round trip %.3f ms\n", nets[i].text, 1e3 * got);
        assert_true(near);
    }
}

typedef struct stream {
    sotto_chan *chan;
    size_t len;
    uint8_t seed;
    int bad;
    double end; /* when the last byte was there */
} stream;

/* Pieces of changing size, from one byte to 200 kB. */
static size_t piece(size_t k, size_t left)
{
    const size_t sizes[] = {1, 1000, 70000, 13, 200000, 4096};
    const size_t size = sizes[k % (sizeof sizes / sizeof *sizes)];
    return size < left ? size : left;
}

static void *sender(void *arg)
{
    stream *s = arg;
    sotto_prg prg;
    uint8_t *data = malloc(200000);
    sotto_prg_init(&prg, (sotto_block){{s->seed, 1}});
    for (size_t done = 0, k = 0; done < s->len && !s->bad; k++) {
        const size_t n = piece(k, s->len - done);
        sotto_prg_fill(&prg, data, n);
        s->bad |= sotto_chan_send(s->chan, data, n) != SOTTO_OK;
        done += n;
    }
    s->bad |= sotto_chan_flush(s->chan) != SOTTO_OK;
    free(data);
    return NULL;
}

static void *receiver(void *arg)
{
    stream *s = arg;
    sotto_prg prg;
    uint8_t *data = malloc(200000), *expected = malloc(200000);
    sotto_prg_init(&prg, (sotto_block){{s->seed, 1}});
    for (size_t done = 0, k = 0; done < s->len && !s->bad; k++) {
        const size_t n = piece(k, s->len - done);
        sotto_prg_fill(&prg, expected, n);
        s->bad |= sotto_chan_recv(s->chan, data, n) != SOTTO_OK || memcmp(data, expected, n) != 0;
        done += n;
    }
    s->end = now_s();
    free(data);
    free(expected);
    return NULL;
}

static void test_throughput(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double bytes_per_second, delay;
        size_t len;
    } nets[] = {{"lan", 125e6, 0.6e-3, 40000000}, {"wan", 12.5e6, 20e-3, 9000000}, {"20Mbit,1ms", 2.5e6, 0.5e-3, 1500000}};
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        double got = 0;
        int near = 0;
        for (int attempt = 0; attempt < 8 && !near; attempt++) {
            ends e = ends_new(nets[i].text);
            stream out = {.chan = &e.client, .len = nets[i].len, .seed = 7}, in = {.chan = &e.server, .len = nets[i].len, .seed = 7};
            pthread_t thread;
            const double start = now_s();
            assert_int_equal(pthread_create(&thread, NULL, receiver, &in), 0);
            sender(&out);
            pthread_join(thread, NULL);
            assert_false(out.bad || in.bad);
            got = (double)nets[i].len / (in.end - start - nets[i].delay);
            assert_true(got < 1.01 * nets[i].bytes_per_second);
            near = got > 0.95 * nets[i].bytes_per_second;
            ends_free(&e);
        }
        print_message("%s: %.2f MB/s of %.2f\n", nets[i].text, got / 1e6, nets[i].bytes_per_second / 1e6);
        assert_true(near);
    }
}

/* A party of two that send first and receive afterwards. */
static void *both(void *arg)
{
    stream *s = arg; /* [0] what it sends, [1] what it receives */
    sender(&s[0]);
    receiver(&s[1]);
    return NULL;
}

/* Both send at once, each way with its own line: as long as one way alone, nothing lost or mixed, and ends are passed on. */
static void test_both_ways(void **state)
{
    (void)state;
    enum { LEN = 10000000 };
    ends e = ends_new("400Mbit,4ms");
    stream a[2] = {{.chan = &e.client, .len = LEN, .seed = 1}, {.chan = &e.client, .len = LEN, .seed = 2}};
    stream b[2] = {{.chan = &e.server, .len = LEN, .seed = 2}, {.chan = &e.server, .len = LEN, .seed = 1}};
    pthread_t thread;
    const double start = now_s();
    assert_int_equal(pthread_create(&thread, NULL, both, b), 0);
    both(a);
    pthread_join(thread, NULL);
    const double seconds = now_s() - start;
    assert_false(a[0].bad || a[1].bad || b[0].bad || b[1].bad);
    assert_true(seconds >= 0.2 && seconds < 0.39); /* one after the other would be 0.4 */
    uint8_t byte;
    sotto_chan_close(&e.client);
    assert_status(SOTTO_ERR_CLOSED, sotto_chan_recv(&e.server, &byte, 1));
    /* A relay whose ends are gone is gone: no process is left over. */
    sotto_chan_close(&e.server);
    int status = -1;
    assert_int_equal(waitpid(e.link.pid, &status, 0), e.link.pid);
    assert_int_equal(status, 0);
}

static void test_refusals(void **state)
{
    (void)state;
    link_spec spec;
    link_process l;
    assert_ok(link_parse(&spec, "100Gbit,10s"));
    assert_status(SOTTO_ERR_MEMORY, link_start(&l, &spec, 1));
    assert_int_equal(l.pid, 0);
    assert_ok(link_parse(&spec, "loopback"));
    assert_ok(link_start(&l, &spec, 1234));
    assert_true(l.pid == 0 && l.port == 1234);
    link_stop(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse), cmocka_unit_test(test_round_trip), cmocka_unit_test(test_throughput),
        cmocka_unit_test(test_both_ways), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
