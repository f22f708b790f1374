#include "lib/tcp.h"

#include "tests/support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/mem.h"

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Both ends of a connection over `host`; 0 when this machine has no such address. */
static int connected(const char *host, sotto_chan *client, sotto_chan *server, unsigned timeout_ms, char peer[64])
{
    sotto_tcp_listener *l = NULL;

    if (sotto_tcp_listen(&l, host, 0) != SOTTO_OK)
        return 0;
    /* The kernel completes the connection before it is accepted, so one thread can do both. */
    assert_ok(sotto_tcp_connect(client, host, sotto_tcp_port(l), timeout_ms));
    assert_ok(sotto_tcp_accept(l, server, timeout_ms, peer));
    sotto_tcp_listener_free(l);
    return 1;
}

static void local_pair(sotto_chan *client, sotto_chan *server, unsigned timeout_ms)
{
    assert_int_equal(1, connected("127.0.0.1", client, server, timeout_ms, NULL));
}

static void small_messages(const char *host, const char *prefix)
{
    sotto_chan client, server;
    char peer[64] = "", got[6] = "";

    if (!connected(host, &client, &server, 5000, peer))
        skip();
    assert_memory_equal(prefix, peer, strlen(prefix));
    assert_int_not_equal(0, atoi(peer + strlen(prefix)));
    for (int i = 0; i < 100; i++) {
        assert_ok(sotto_chan_send(&client, "he", 2));
        assert_ok(sotto_chan_send(&client, "llo", 4));
        assert_ok(sotto_chan_flush(&client));
        assert_ok(sotto_chan_recv(&server, got, 1));
        assert_ok(sotto_chan_recv(&server, got + 1, 5));
        assert_string_equal("hello", got);
        assert_ok(sotto_chan_send(&server, "back", 5));
        assert_ok(sotto_chan_flush(&server));
        assert_ok(sotto_chan_recv(&client, got, 5));
        assert_string_equal("back", got);
    }
    assert_true(client.stats.rounds == 100 && client.stats.bytes_out == 600 && client.stats.bytes_in == 500);
    sotto_chan_close(&client);
    sotto_chan_close(&server);
}

static void ipv4(void **state)
{
    (void)state;
    small_messages("127.0.0.1", "127.0.0.1:");
}

static void ipv6(void **state)
{
    (void)state;
    small_messages("::1", "[::1]:");
}

static void name(void **state)
{
    sotto_chan client, server;
    struct addrinfo *list = NULL;

    (void)state;
    if (getaddrinfo("localhost", NULL, NULL, &list) != 0)
        skip(); /* a bare system may know no names at all */
    freeaddrinfo(list);
    assert_int_equal(1, connected("localhost", &client, &server, 5000, NULL));
    sotto_chan_close(&client);
    sotto_chan_close(&server);
}

/* Pieces from one byte to far more than any buffer; a stream of its own for each direction. */
typedef struct traffic {
    const sotto_rng *rng;
    size_t total;
    uint64_t out_stream, in_stream;
    int receive_last; /* send everything before receiving anything */
    size_t most;      /* bytes per call */
} traffic;

static int move(sotto_chan *c, const traffic *t, int sending)
{
    const sotto_rng stream = test_rng(test_seed(), sending ? t->out_stream : t->in_stream);
    uint8_t *data = malloc(t->most), *want = malloc(t->most);
    int status = data && want ? SOTTO_OK : SOTTO_ERR_MEMORY;

    for (size_t left = t->total; left > 0 && status == SOTTO_OK;) {
        /* Sizes of all magnitudes. */
        size_t n = 1 + test_below(t->rng, (t->most - 1) >> test_below(t->rng, 20));
        n = n < left ? n : left;
        status = sotto_rng_fill(&stream, want, n);
        if (status == SOTTO_OK)
            status = sending ? sotto_chan_send(c, want, n) : sotto_chan_recv(c, data, n);
        if (status == SOTTO_OK && !sending && memcmp(data, want, n) != 0)
            status = sotto_fail(SOTTO_ERR_MISMATCH, "other bytes arrived, %zu before the end", left);
        left -= n;
    }
    free(data);
    free(want);
    return status;
}

static int exchange(sotto_chan *c, void *ctx)
{
    const traffic *t = ctx;
    int status = move(c, t, t->receive_last);

    if (status == SOTTO_OK && t->receive_last)
        status = sotto_chan_flush(c);
    if (status == SOTTO_OK)
        status = move(c, t, !t->receive_last);
    return status == SOTTO_OK ? sotto_chan_flush(c) : status;
}

static void run_exchange(size_t total, size_t most, int both_send_first)
{
    const sotto_rng rng = test_rng(test_seed(), 1);
    traffic t0 = {.rng = &rng, .total = total, .most = most, .out_stream = 2, .in_stream = 3, .receive_last = 1};
    traffic t1 = {.rng = &rng, .total = total, .most = most, .out_stream = 3, .in_stream = 2,
                  .receive_last = both_send_first};
    sotto_chan a, b;
    int status[2];

    local_pair(&a, &b, 20000);
    test_two_party_on(&a, exchange, &t0, &b, exchange, &t1, status);
    assert_ok(status[0]);
    assert_ok(status[1]);
}

static void one_after_the_other(void **state)
{
    (void)state;
    run_exchange((size_t)20 << 20, (size_t)3 << 20, 0);
    run_exchange((size_t)1 << 20, 3000, 0);
}

/* Neither receives before it has sent all: far more than the system's buffers hold. */
static void both_at_once(void **state)
{
    (void)state;
    run_exchange((size_t)40 << 20, (size_t)3 << 20, 1);
    run_exchange((size_t)2 << 20, 3000, 1);
    if (getenv("SOTTO_TEST_LONG"))
        run_exchange((size_t)700 << 20, (size_t)64 << 20, 1);
}

/* STEP: most bytes sent before the next receive, more than the system buffers. */
enum { STEP = 8 << 20, TURNS = 60 };

/* Sends and receives by turns, and leaves a rest of the input each time, so that later sends find the input buffer
 * neither empty nor at its beginning. Both parties follow one schedule: neither waits for what the other has yet to be asked for. */
static int take_turns(sotto_chan *c, void *ctx)
{
    const uint64_t *streams = ctx;
    const sotto_rng schedule = test_rng(test_seed(), 9);
    const sotto_rng outgoing = test_rng(test_seed(), streams[0]), incoming = test_rng(test_seed(), streams[1]);
    uint8_t *data = malloc(2 * STEP), *want = malloc(2 * STEP);
    int status = data && want ? SOTTO_OK : SOTTO_ERR_MEMORY;
    size_t rest = 0;

    for (int i = 0; i < TURNS && status == SOTTO_OK; i++) {
        const size_t n = 1 + test_below(&schedule, STEP);
        /* Nothing at the end: closing with input unread would reset the connection under the other party. */
        const size_t keep = i < TURNS - 1 ? test_below(&schedule, STEP) : 0;
        const size_t take = rest + n > keep ? rest + n - keep : 0;
        status = sotto_rng_fill(&outgoing, data, n);
        if (status == SOTTO_OK)
            status = sotto_chan_send(c, data, n);
        if (status == SOTTO_OK)
            status = sotto_chan_recv(c, data, take);
        if (status == SOTTO_OK)
            status = sotto_rng_fill(&incoming, want, take);
        if (status == SOTTO_OK && memcmp(data, want, take) != 0)
            status = sotto_fail(SOTTO_ERR_MISMATCH, "other bytes arrived in step %d", i);
        rest = rest + n - take;
    }
    free(data);
    free(want);
    return status;
}

static void by_turns(void **state)
{
    uint64_t streams[2][2] = {{2, 3}, {3, 2}};
    sotto_chan a, b;
    int status[2];

    (void)state;
    local_pair(&a, &b, 20000);
    test_two_party_on(&a, take_turns, streams[0], &b, take_turns, streams[1], status);
    assert_ok(status[0]);
    assert_ok(status[1]);
}

typedef struct flood {
    size_t left;
    int status;
} flood;

static int send_flood(sotto_chan *c, void *ctx)
{
    static const uint8_t megabyte[1 << 20];
    flood *f = ctx;
    int status = SOTTO_OK;

    for (; f->left > 0 && status == SOTTO_OK; f->left--)
        status = sotto_chan_send(c, megabyte, sizeof megabyte);
    return status;
}

/* A party whose input limit is reached while it sends gives up; the other, whose sends were taken in, sees the end. */
static void too_much_input(void **state)
{
    flood a = {.left = 64}, b = {.left = 64};
    sotto_chan c0, c1;
    int status[2];

    (void)state;
    local_pair(&c0, &c1, 20000);
    sotto_tcp_set(&c0, 20000, 8 << 20);
    sotto_tcp_set(&c1, 20000, 8 << 20);
    test_two_party_on(&c0, send_flood, &a, &c1, send_flood, &b, status);
    assert_true(status[0] == SOTTO_ERR_LIMIT || status[1] == SOTTO_ERR_LIMIT);
    assert_true(status[0] != SOTTO_OK && status[1] != SOTTO_OK);
}

static void peer_closes(void **state)
{
    sotto_chan a, b;
    uint8_t got[64];
    const uint8_t zero[64] = {0};

    (void)state;
    /* What was flushed before the close arrives, what was not does not. */
    local_pair(&a, &b, 5000);
    assert_ok(sotto_chan_send(&a, "last", 4));
    assert_ok(sotto_chan_flush(&a));
    assert_ok(sotto_chan_send(&a, "lost", 4));
    sotto_chan_close(&a);
    assert_ok(sotto_chan_recv(&b, got, 4));
    assert_memory_equal("last", got, 4);
    memset(got, 9, sizeof got);
    assert_status(SOTTO_ERR_CLOSED, sotto_chan_recv(&b, got, 64));
    assert_memory_equal(zero, got, 64);
    assert_status(SOTTO_ERR_CLOSED, sotto_chan_recv(&b, got, 1));
    sotto_chan_close(&b);

    /* The end in the middle of a message, short or long enough to bypass the input buffer. */
    for (size_t len = 64; len <= (size_t)1 << 20; len <<= 14) {
        uint8_t *big = malloc(len);
        assert_non_null(big);
        local_pair(&a, &b, 5000);
        assert_ok(sotto_chan_send(&a, "some", 4));
        assert_ok(sotto_chan_flush(&a));
        sotto_chan_close(&a);
        assert_status(SOTTO_ERR_CLOSED, sotto_chan_recv(&b, big, len));
        for (size_t i = 0; i < len; i++)
            assert_int_equal(0, big[i]);
        sotto_chan_close(&b);
        free(big);
    }
}

/* Sending to a peer that is gone is an error, not a signal; it may take the system a send or two to know. */
static void send_to_closed(void **state)
{
    sotto_chan a, b;
    int status = SOTTO_OK;

    (void)state;
    local_pair(&a, &b, 5000);
    sotto_chan_close(&b);
    for (int i = 0; i < 1000 && status == SOTTO_OK; i++) {
        status = sotto_chan_send(&a, "x", 1);
        if (status == SOTTO_OK)
            status = sotto_chan_flush(&a);
        (void)usleep(1000);
    }
    assert_int_equal(SOTTO_ERR_CLOSED, status);
    sotto_chan_close(&a);
}

static void stalls(void **state)
{
    static const uint8_t megabyte[1 << 20];
    sotto_chan a, b;
    uint8_t byte = 1;
    int status = SOTTO_OK;

    (void)state;
    local_pair(&a, &b, 100);
    int64_t start = now_ms();
    assert_status(SOTTO_ERR_TIMEOUT, sotto_chan_recv(&a, &byte, 1));
    assert_true(now_ms() - start >= 100 && now_ms() - start < 5000);
    assert_non_null(strstr(sotto_error_message(), "did not send within 100 ms"));
    assert_int_equal(0, byte);

    for (int i = 0; i < 100 && status == SOTTO_OK; i++) {
        start = now_ms();
        status = sotto_chan_send(&a, megabyte, sizeof megabyte);
    }
    assert_int_equal(SOTTO_ERR_TIMEOUT, status);
    assert_true(now_ms() - start >= 100 && now_ms() - start < 5000);
    assert_non_null(strstr(sotto_error_message(), "did not read within 100 ms"));
    sotto_chan_close(&a);
    sotto_chan_close(&b);
}

static int slow_sender(sotto_chan *c, void *ctx)
{
    int status = SOTTO_OK;

    (void)ctx;
    for (int i = 0; i < 6 && status == SOTTO_OK; i++) {
        (void)usleep(200000);
        status = sotto_chan_send(c, "x", 1);
        if (status == SOTTO_OK)
            status = sotto_chan_flush(c);
    }
    return status;
}

static int receive_six(sotto_chan *c, void *ctx)
{
    uint8_t got[6];

    (void)ctx;
    return sotto_chan_recv(c, got, sizeof got);
}

/* The bound is on the whole of a receive, not on each wait within it: a peer that sends a byte now and then is stopped. */
static void trickle_is_stopped(void **state)
{
    sotto_chan a, b;
    int status[2];

    (void)state;
    local_pair(&a, &b, 1000);
    test_two_party_on(&a, slow_sender, NULL, &b, receive_six, NULL, status);
    assert_int_equal(SOTTO_ERR_TIMEOUT, status[1]);
}

static int steady_sender(sotto_chan *c, void *ctx)
{
    static const uint8_t piece[8192];
    int status = SOTTO_OK;

    (void)ctx;
    for (int i = 0; i < 6 && status == SOTTO_OK; i++) {
        (void)usleep(200000);
        status = sotto_chan_send(c, piece, sizeof piece);
        if (status == SOTTO_OK)
            status = sotto_chan_flush(c);
    }
    return status;
}

static int receive_pieces(sotto_chan *c, void *ctx)
{
    static uint8_t got[6 * 8192];

    (void)ctx;
    return sotto_chan_recv(c, got, sizeof got);
}

/* 48 kB in 1.2 s pass a timeout of 0.5 s: they have 3 s more. */
static void slow_is_not_stalled(void **state)
{
    sotto_chan a, b;
    int status[2];

    (void)state;
    local_pair(&a, &b, 500);
    test_two_party_on(&a, steady_sender, NULL, &b, receive_pieces, NULL, status);
    assert_ok(status[0]);
    assert_ok(status[1]);
}

static uint16_t free_port(void)
{
    sotto_tcp_listener *l = NULL;

    assert_ok(sotto_tcp_listen(&l, "127.0.0.1", 0));
    const uint16_t port = sotto_tcp_port(l);
    sotto_tcp_listener_free(l);
    return port;
}

static void cannot_connect(void **state)
{
    sotto_chan c = {.ops = NULL};
    char want[64];

    (void)state;
    const uint16_t port = free_port();
    assert_status(SOTTO_ERR_IO, sotto_tcp_connect(&c, "127.0.0.1", port, 2000));
    (void)snprintf(want, sizeof want, "127.0.0.1:%u refused the connection", (unsigned)port);
    assert_non_null(strstr(sotto_error_message(), want));
    assert_null(c.ops);
    assert_status(SOTTO_ERR_IO, sotto_tcp_connect(&c, "no such host", 1, 2000));
    assert_non_null(strstr(sotto_error_message(), "cannot find the host \"no such host\""));
    assert_null(c.ops);
}

/* A listener whose queue is full leaves further handshakes unanswered. */
static void connect_times_out(void **state)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    enum { TRIES = 16 };
    sotto_chan c[TRIES];
    int made = 0, status = SOTTO_OK;

    (void)state;
    const int s = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(s >= 0);
    assert_int_equal(0, bind(s, (struct sockaddr *)&addr, sizeof addr));
    assert_int_equal(0, listen(s, 0));
    assert_int_equal(0, getsockname(s, (struct sockaddr *)&addr, &len));
    int64_t start = 0;
    while (made < TRIES && status == SOTTO_OK) {
        start = now_ms();
        status = sotto_tcp_connect(&c[made], "127.0.0.1", ntohs(addr.sin_port), 300);
        made += status == SOTTO_OK;
    }
    const int64_t took = now_ms() - start;
    while (made > 0)
        sotto_chan_close(&c[--made]);
    (void)close(s);
    assert_status(SOTTO_ERR_TIMEOUT, status);
    assert_true(took >= 300 && took < 5000);
    assert_non_null(strstr(sotto_error_message(), "did not answer within 300 ms"));
}

static void cannot_listen(void **state)
{
    sotto_tcp_listener *l = NULL, *second = NULL;
    char want[128];

    (void)state;
    assert_ok(sotto_tcp_listen(&l, "127.0.0.1", 0));
    assert_int_not_equal(0, sotto_tcp_port(l));
    assert_status(SOTTO_ERR_IO, sotto_tcp_listen(&second, "127.0.0.1", sotto_tcp_port(l)));
    (void)snprintf(want, sizeof want,
                   "cannot listen on 127.0.0.1:%u: the port is in use; stop the other program or choose another port",
                   (unsigned)sotto_tcp_port(l));
    assert_string_equal(want, sotto_error_message());
    assert_null(second);
    /* 192.0.2.0/24 is set aside for documentation (RFC 5737): no machine has it. */
    assert_status(SOTTO_ERR_IO, sotto_tcp_listen(&second, "192.0.2.1", 0));
    assert_non_null(strstr(sotto_error_message(), "does not have the address"));
    assert_null(second);
    assert_status(SOTTO_ERR_IO, sotto_tcp_listen(&second, "no such host", 0));
    assert_null(second);
    sotto_tcp_listener_free(l);
    sotto_tcp_listener_free(NULL);
}

/* A port is free again at once, although connections through it still linger. */
static void port_again(void **state)
{
    sotto_tcp_listener *l = NULL;
    sotto_chan client, server;
    uint16_t port = 0;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_ok(sotto_tcp_listen(&l, "127.0.0.1", port));
        port = sotto_tcp_port(l);
        assert_ok(sotto_tcp_connect(&client, "127.0.0.1", port, 1000));
        assert_ok(sotto_tcp_accept(l, &server, 1000, NULL));
        sotto_chan_close(&server); /* the side that closes first keeps the port in TIME_WAIT */
        sotto_chan_close(&client);
        sotto_tcp_listener_free(l);
    }
}

static sotto_tcp_listener *waiting;

static void *interrupt_soon(void *arg)
{
    (void)arg;
    (void)usleep(50000);
    sotto_tcp_interrupt(waiting);
    return NULL;
}

static void on_alarm(int number)
{
    (void)number;
    sotto_tcp_interrupt(waiting);
}

static void on_other_signal(int number)
{
    (void)number;
}

static void interrupt(void **state)
{
    const struct sigaction stop = {.sa_handler = on_alarm}, other = {.sa_handler = on_other_signal};
    sotto_chan c = {.ops = NULL};
    pthread_t thread;

    (void)state;
    assert_ok(sotto_tcp_listen(&waiting, "127.0.0.1", 0));
    assert_int_equal(0, pthread_create(&thread, NULL, interrupt_soon, NULL));
    assert_status(SOTTO_ERR_CLOSED, sotto_tcp_accept(waiting, &c, 1000, NULL));
    assert_int_equal(0, pthread_join(thread, NULL));
    assert_null(c.ops);
    /* It stays interrupted, even with a client at the door. */
    sotto_chan client;
    assert_ok(sotto_tcp_connect(&client, "127.0.0.1", sotto_tcp_port(waiting), 1000));
    assert_status(SOTTO_ERR_CLOSED, sotto_tcp_accept(waiting, &c, 1000, NULL));
    sotto_chan_close(&client);
    sotto_tcp_listener_free(waiting);

    /* From a handler; errno is left as it was. */
    assert_ok(sotto_tcp_listen(&waiting, "127.0.0.1", 0));
    assert_int_equal(0, sigaction(SIGALRM, &stop, NULL));
    (void)ualarm(50000, 0);
    assert_status(SOTTO_ERR_CLOSED, sotto_tcp_accept(waiting, &c, 1000, NULL));
    errno = 12345;
    for (int i = 0; i < 1000; i++)
        sotto_tcp_interrupt(waiting);
    assert_int_equal(12345, errno);
    sotto_tcp_listener_free(waiting);

    /* A signal that has nothing to say about it does not end a wait. */
    sotto_chan a, b;
    uint8_t byte;
    assert_int_equal(0, sigaction(SIGALRM, &other, NULL));
    local_pair(&a, &b, 200);
    const int64_t start = now_ms();
    (void)ualarm(20000, 20000);
    const int status = sotto_chan_recv(&a, &byte, 1);
    (void)ualarm(0, 0);
    assert_status(SOTTO_ERR_TIMEOUT, status);
    assert_true(now_ms() - start >= 200);
    sotto_chan_close(&a);
    sotto_chan_close(&b);
}

static int open_files(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Every allocation of every constructor fails once: an error, nothing made, no descriptor lost. */
static void out_of_memory(void **state)
{
    sotto_tcp_listener *l = NULL;
    sotto_chan a = {.ops = NULL}, b = {.ops = NULL};

    (void)state;
    const int before = open_files();
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_tcp_listen(&l, "127.0.0.1", 0));
    assert_null(l);
    assert_int_equal(before, open_files());
    assert_ok(sotto_tcp_listen(&l, "127.0.0.1", 0));
    const int listening = open_files();
    for (long k = 0; k < 2; k++) {
        sotto_calloc_fail_after(k);
        assert_status(SOTTO_ERR_MEMORY, sotto_tcp_connect(&a, "127.0.0.1", sotto_tcp_port(l), 1000));
        assert_null(a.ops);
        sotto_calloc_fail_after(k);
        assert_status(SOTTO_ERR_MEMORY, sotto_tcp_accept(l, &b, 1000, NULL));
        assert_null(b.ops);
        assert_int_equal(listening, open_files());
    }
    sotto_tcp_listener_free(l);
    assert_int_equal(before, open_files());

    /* The input buffer is made at the first short receive. */
    uint8_t byte = 1;
    local_pair(&a, &b, 1000);
    assert_ok(sotto_chan_send(&a, "x", 1));
    assert_ok(sotto_chan_flush(&a));
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_MEMORY, sotto_chan_recv(&b, &byte, 1));
    assert_int_equal(0, byte);
    sotto_calloc_fail_after(-1);
    sotto_chan_close(&a);
    sotto_chan_close(&b);
    assert_int_equal(before, open_files());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4),                   cmocka_unit_test(ipv6),
        cmocka_unit_test(name),                   cmocka_unit_test(one_after_the_other),
        cmocka_unit_test(both_at_once),           cmocka_unit_test(by_turns),
        cmocka_unit_test(too_much_input),         cmocka_unit_test(peer_closes),
        cmocka_unit_test(send_to_closed),         cmocka_unit_test(stalls),
        cmocka_unit_test(slow_is_not_stalled),    cmocka_unit_test(trickle_is_stopped),
           cmocka_unit_test(cannot_connect),
        cmocka_unit_test(connect_times_out),      cmocka_unit_test(cannot_listen),
        cmocka_unit_test(port_again),             cmocka_unit_test(interrupt),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests_name("lib/tcp", tests, NULL, NULL);
}
