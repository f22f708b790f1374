#include "lib/tcp.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/mem.h"

#define SEND_BUFFER ((size_t)1 << 20)
#define READ_AHEAD ((size_t)1 << 16)
#define INPUT_LIMIT ((size_t)1 << 30) /* bytes of input taken in while this side is busy sending, unless set otherwise */
#define BYTES_PER_MS 16               /* what a peer has to keep up, beyond the timeout: 16 kB a second */
#define INPUT_KEPT ((size_t)1 << 22)  /* a larger input buffer is given back when it is empty */

/* A peer that vanished without a word is noticed after 60 + 6 * 10 seconds, also where no timeout was asked for. */
enum { KEEP_IDLE = 60, KEEP_INTERVAL = 10, KEEP_COUNT = 6 };

typedef struct tcp {
    int fd;
    unsigned timeout_ms;
    size_t input_limit;
    uint8_t *out; /* SEND_BUFFER bytes, the first out_len of which wait to be sent */
    size_t out_len;
    uint8_t *in; /* in_cap bytes, of which [in_pos, in_pos + in_len) are received and not yet asked for */
    size_t in_pos, in_len, in_cap;
    int ended; /* the peer sends no more */
} tcp;

/* ---- waiting ---- */

#define NEVER INT64_MAX

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t deadline_in(unsigned timeout_ms)
{
    return timeout_ms ? now_ms() + timeout_ms : NEVER;
}

/* Until when `len` bytes must have moved: a peer that trickles cannot hold a call for longer. */
static int64_t deadline_of(unsigned timeout_ms, size_t len)
{
    return timeout_ms ? now_ms() + timeout_ms + (int64_t)(len / BYTES_PER_MS) : NEVER;
}

/* poll(2) until the deadline, signals or not: SOTTO_OK, SOTTO_ERR_TIMEOUT (without a message) or SOTTO_ERR_IO. */
static int wait_until(struct pollfd *fds, nfds_t count, int64_t deadline)
{
    for (;;) {
        int ms = -1;
        if (deadline != NEVER) {
            const int64_t left = deadline - now_ms();
            ms = left <= 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
        }
        const int n = poll(fds, count, ms);
        if (n > 0)
            return SOTTO_OK;
        if (n == 0 && now_ms() >= deadline)
            return SOTTO_ERR_TIMEOUT;
        if (n < 0 && errno != EINTR)
            return sotto_fail(SOTTO_ERR_IO, "poll on a socket failed: %s", strerror(errno));
    }
}

/* ---- an established connection ---- */

static int peer_closed(void)
{
    return sotto_fail(SOTTO_ERR_CLOSED, "the other party closed the connection");
}

/* Status for the errno of a send or a receive. */
static int transfer_error(int code)
{
    if (code == EPIPE || code == ECONNRESET)
        return peer_closed();
    if (code == ETIMEDOUT)
        return sotto_fail(SOTTO_ERR_TIMEOUT, "the other party's machine no longer answers");
    return sotto_fail(SOTTO_ERR_IO, "the connection failed: %s", strerror(code));
}

/* Some progress within the timeout, and all of the call's by `deadline`. */
static int wait_for_peer(const tcp *t, short events, int64_t deadline, short *ready)
{
    struct pollfd p = {.fd = t->fd, .events = events};
    const int64_t step = deadline_in(t->timeout_ms);
    const int status = wait_until(&p, 1, step < deadline ? step : deadline);

    if (status == SOTTO_ERR_TIMEOUT)
        return sotto_fail(status, "the other party did not %s within %u ms, or too slowly", events & POLLOUT ? "read" : "send",
                          t->timeout_ms);
    *ready = p.revents;
    return status;
}

/* At most `len` bytes without waiting; *got 0 when there are none now, or none will come (then t->ended). */
static int receive_some(tcp *t, void *data, size_t len, size_t *got)
{
    ssize_t n;

    *got = 0;
    do {
        n = recv(t->fd, data, len, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0)
        *got = (size_t)n;
    else if (n == 0)
        t->ended = 1;
    else if (errno != EAGAIN && errno != EWOULDBLOCK)
        return transfer_error(errno);
    return SOTTO_OK;
}

/* Makes room for READ_AHEAD more bytes behind the input. The capacity doubles, so that copying stays linear. */
static int grow_input(tcp *t)
{
    if (t->in_cap - t->in_pos - t->in_len >= READ_AHEAD)
        return SOTTO_OK;
    if (t->in_len > t->input_limit)
        return sotto_fail(SOTTO_ERR_LIMIT, "the other party sent more than %zu kB without reading what was sent to it",
                          t->input_limit >> 10);
    if (t->in_cap / 2 >= t->in_len + READ_AHEAD) {
        memmove(t->in, t->in + t->in_pos, t->in_len);
    } else {
        const size_t cap = t->in_cap ? 2 * t->in_cap : 2 * READ_AHEAD;
        uint8_t *in = sotto_calloc(cap, 1);
        if (!in)
            return sotto_fail(SOTTO_ERR_MEMORY, "out of memory for %zu bytes of input", cap);
        if (t->in_len)
            memcpy(in, t->in + t->in_pos, t->in_len);
        sotto_free_secret(t->in, t->in_cap, 1);
        t->in = in;
        t->in_cap = cap;
    }
    t->in_pos = 0;
    return SOTTO_OK;
}

/* Takes what has arrived into the input buffer; *got says how much that is. */
static int drain_input(tcp *t, size_t *got)
{
    int status = grow_input(t);

    *got = 0;
    if (status == SOTTO_OK)
        status = receive_some(t, t->in + t->in_pos + t->in_len, t->in_cap - t->in_pos - t->in_len, got);
    t->in_len += *got;
    return status;
}

/* While the peer's buffers are full, the peer may itself be stuck in a send to this side; so input is taken in too. */
static int send_all(tcp *t, const uint8_t *data, size_t len)
{
    const int64_t deadline = deadline_of(t->timeout_ms, len);

    while (len > 0) {
        const ssize_t n = send(t->fd, data, len, MSG_NOSIGNAL);
        if (n >= 0) {
            data += n;
            len -= (size_t)n;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return transfer_error(errno);
        size_t got;
        short ready = 0;
        int status = wait_for_peer(t, t->ended ? POLLOUT : POLLOUT | POLLIN, deadline, &ready);
        if (status == SOTTO_OK && (ready & POLLIN))
            status = drain_input(t, &got);
        if (status != SOTTO_OK)
            return status;
    }
    return SOTTO_OK;
}

static int tcp_flush(void *ctx)
{
    tcp *t = ctx;
    const size_t len = t->out_len;

    t->out_len = 0; /* also after a failure: what was sent of it is not known */
    return send_all(t, t->out, len);
}

static int tcp_send(void *ctx, const void *data, size_t len)
{
    tcp *t = ctx;

    if (len > SEND_BUFFER - t->out_len) {
        const int status = tcp_flush(t);
        if (status != SOTTO_OK)
            return status;
    }
    if (len >= SEND_BUFFER)
        return send_all(t, data, len);
    memcpy(t->out + t->out_len, data, len);
    t->out_len += len;
    return SOTTO_OK;
}

static size_t take_input(tcp *t, uint8_t *data, size_t len)
{
    const size_t n = len < t->in_len ? len : t->in_len;

    if (n)
        memcpy(data, t->in + t->in_pos, n);
    t->in_len -= n;
    t->in_pos = t->in_len ? t->in_pos + n : 0;
    if (!t->in_len && t->in_cap > INPUT_KEPT) {
        sotto_free_secret(t->in, t->in_cap, 1);
        t->in = NULL;
        t->in_cap = 0;
    }
    return n;
}

static int tcp_recv(void *ctx, void *data, size_t len)
{
    tcp *t = ctx;
    uint8_t *p = data;
    const int64_t deadline = deadline_of(t->timeout_ms, len);

    for (;;) {
        size_t got = take_input(t, p, len);
        p += got;
        len -= got;
        if (!len)
            return SOTTO_OK;
        if (t->ended)
            return peer_closed();
        /* Much goes straight to its place; little is read ahead, so that short messages do not cost a call each. */
        const int direct = len >= READ_AHEAD;
        int status = direct ? receive_some(t, p, len, &got) : drain_input(t, &got);
        if (status == SOTTO_OK && !got && !t->ended) {
            short ready = 0;
            status = wait_for_peer(t, POLLIN, deadline, &ready);
        }
        if (status != SOTTO_OK)
            return status;
        if (direct) {
            p += got;
            len -= got;
        }
    }
}

static void tcp_close(void *ctx)
{
    tcp *t = ctx;

    (void)close(t->fd);
    sotto_free_secret(t->in, t->in_cap, 1);
    sotto_free_secret(t->out, SEND_BUFFER, 1);
    sotto_free(t);
}

static const sotto_chan_ops tcp_ops = {tcp_send, tcp_recv, tcp_flush, tcp_close};

/* These options save time and notice dead peers; without one of them the connection works all the same. */
static void tune(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT},
    };

    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof options[i].value);
}

/* Makes a channel of a connected non-blocking socket; takes over fd, also on failure. */
static int channel_new(sotto_chan *out, int fd, unsigned timeout_ms)
{
    tcp *t = sotto_calloc(1, sizeof *t);
    uint8_t *buffer = sotto_calloc(SEND_BUFFER, 1);

    if (!t || !buffer) {
        sotto_free(t);
        sotto_free(buffer);
        (void)close(fd);
        return sotto_fail(SOTTO_ERR_MEMORY, "out of memory for the buffers of a connection");
    }
    tune(fd);
    *t = (tcp){.fd = fd, .timeout_ms = timeout_ms, .input_limit = INPUT_LIMIT, .out = buffer};
    *out = (sotto_chan){.ops = &tcp_ops, .ctx = t};
    return SOTTO_OK;
}

/* ---- addresses ---- */

static int resolve(struct addrinfo **list, const char *host, uint16_t port, int flags)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    char service[8];

    (void)snprintf(service, sizeof service, "%u", (unsigned)port);
    const int code = getaddrinfo(host, service, &hints, list);
    if (code != 0)
        return sotto_fail(SOTTO_ERR_IO, "cannot find the host \"%s\": %s; check its name and this machine's network",
                          host, code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code));
    return SOTTO_OK;
}

/* "address:port" of a peer, "[address]:port" for IPv6. */
static void name_peer(char out[64], const struct sockaddr *addr, socklen_t len)
{
    char host[48] = "?", port[8] = "?";
    const int v6 = addr->sa_family == AF_INET6;

    (void)getnameinfo(addr, len, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    (void)snprintf(out, 64, v6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* ---- connecting ---- */

void sotto_tcp_set(sotto_chan *c, unsigned timeout_ms, uint64_t input_limit)
{
    if (c->ops == &tcp_ops) {
        tcp *t = c->ctx;
        t->timeout_ms = timeout_ms;
        t->input_limit = input_limit < INPUT_LIMIT ? (size_t)input_limit : INPUT_LIMIT;
    }
}

void sotto_tcp_shutdown(sotto_chan *c)
{
    if (c->ops == &tcp_ops)
        (void)shutdown(((tcp *)c->ctx)->fd, SHUT_RDWR);
}

/* A connected socket in *fd, or an errno value; ETIMEDOUT at the deadline. */
static int connect_one(const struct addrinfo *a, int64_t deadline, int *fd)
{
    int code = 0;
    socklen_t len = sizeof code;
    const int s = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);

    if (s < 0)
        return errno;
    /* An interrupted connect goes on in the background, as one in progress does. */
    if (connect(s, a->ai_addr, a->ai_addrlen) != 0 && (code = errno, code == EINPROGRESS || code == EINTR)) {
        struct pollfd p = {.fd = s, .events = POLLOUT};
        const int status = wait_until(&p, 1, deadline);
        if (status != SOTTO_OK)
            code = status == SOTTO_ERR_TIMEOUT ? ETIMEDOUT : EIO;
        else if (getsockopt(s, SOL_SOCKET, SO_ERROR, &code, &len) != 0)
            code = errno;
    }
    if (code != 0)
        (void)close(s);
    else
        *fd = s;
    return code;
}

static int connect_error(int code, const char *host, uint16_t port, unsigned timeout_ms)
{
    if (code == ETIMEDOUT)
        return sotto_fail(SOTTO_ERR_TIMEOUT, "%s:%u did not answer within %u ms; check the address and any firewall",
                          host, (unsigned)port, timeout_ms);
    if (code == ECONNREFUSED)
        return sotto_fail(SOTTO_ERR_IO, "%s:%u refused the connection; is the server running, and on this port?",
                          host, (unsigned)port);
    return sotto_fail(SOTTO_ERR_IO, "cannot connect to %s:%u: %s; check the address and the network", host,
                      (unsigned)port, strerror(code));
}

int sotto_tcp_connect(sotto_chan *out, const char *host, uint16_t port, unsigned timeout_ms)
{
    const int64_t deadline = deadline_in(timeout_ms);
    struct addrinfo *list = NULL;
    int fd = -1, code = EADDRNOTAVAIL;
    int64_t left = 0;
    const int status = resolve(&list, host, port, 0);

    if (status != SOTTO_OK)
        return status;
    for (const struct addrinfo *a = list; a; a = a->ai_next)
        left++;
    /* The remaining time is divided evenly, so that one address that swallows packets leaves time for the next. */
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next, left--) {
        const int64_t now = now_ms();
        code = connect_one(a, deadline == NEVER ? NEVER : now + (deadline - now) / left, &fd);
    }
    freeaddrinfo(list);
    return fd < 0 ? connect_error(code, host, port, timeout_ms) : channel_new(out, fd, timeout_ms);
}

/* ---- listening ---- */

struct sotto_tcp_listener {
    int fd;
    int interrupt; /* eventfd: readable from the first interrupt on */
    uint16_t port;
};

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof addr;

    if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
        return 0;
    return ntohs(addr.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&addr)->sin6_port
                                            : ((struct sockaddr_in *)&addr)->sin_port);
}

/* A listening socket, or -1 and errno. */
static int listen_one(const struct addrinfo *a)
{
    const int on = 1, off = 0;
    const int s = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);

    if (s < 0)
        return -1;
    /* A restarted server gets its port back while old connections linger. */
    (void)setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->ai_family == AF_INET6)
        (void)setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(s, a->ai_addr, a->ai_addrlen) == 0 && listen(s, SOMAXCONN) == 0)
        return s;
    const int code = errno;
    (void)close(s);
    errno = code;
    return -1;
}

static int listen_error(int code, const char *host, uint16_t port)
{
    const char *what = strerror(code), *remedy = "check the address";

    if (code == EADDRINUSE) {
        what = "the port is in use";
        remedy = "stop the other program or choose another port";
    } else if (code == EACCES) {
        what = "not permitted";
        remedy = "choose a port from 1024 on";
    } else if (code == EADDRNOTAVAIL) {
        what = "this machine does not have the address";
        remedy = "use one of its own, 127.0.0.1 for this machine alone or 0.0.0.0 for all";
    }
    return sotto_fail(SOTTO_ERR_IO, "cannot listen on %s:%u: %s; %s", host, (unsigned)port, what, remedy);
}

int sotto_tcp_listen(sotto_tcp_listener **out, const char *host, uint16_t port)
{
    struct addrinfo *list = NULL;
    int code = 0, fd = -1;
    const int status = resolve(&list, host, port, AI_PASSIVE);

    if (status != SOTTO_OK)
        return status;
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = listen_one(a);
        code = fd < 0 ? errno : 0;
    }
    freeaddrinfo(list);
    if (fd < 0)
        return listen_error(code, host, port);

    sotto_tcp_listener *l = sotto_calloc(1, sizeof *l);
    if (!l) {
        (void)close(fd);
        return sotto_fail(SOTTO_ERR_MEMORY, "out of memory for a listener");
    }
    const int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (event < 0) {
        code = errno;
        sotto_free(l);
        (void)close(fd);
        return sotto_fail(SOTTO_ERR_IO, "cannot make an eventfd: %s; if files are the limit, raise it (ulimit -n)",
                          strerror(code));
    }
    *l = (sotto_tcp_listener){.fd = fd, .interrupt = event, .port = bound_port(fd)};
    *out = l;
    return SOTTO_OK;
}

uint16_t sotto_tcp_port(const sotto_tcp_listener *l)
{
    return l->port;
}

/* Errors of accept(2) that concern one client only, who is gone; Linux reports a new socket's network errors here. */
static int is_passing(int code)
{
    static const int passing[] = {EAGAIN, EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET,
                                  EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH, EPERM};

    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
        if (code == passing[i])
            return 1;
    }
    return 0;
}

int sotto_tcp_accept(sotto_tcp_listener *l, sotto_chan *out, unsigned timeout_ms, char peer[64])
{
    struct sockaddr_storage addr = {0};
    socklen_t len;

    for (;;) {
        struct pollfd p[2] = {{.fd = l->interrupt, .events = POLLIN}, {.fd = l->fd, .events = POLLIN}};
        const int status = wait_until(p, 2, NEVER);
        if (status != SOTTO_OK)
            return status;
        if (p[0].revents)
            return sotto_fail(SOTTO_ERR_CLOSED, "the listener was told to stop");
        len = sizeof addr;
        const int fd = accept4(l->fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            if (peer)
                name_peer(peer, (struct sockaddr *)&addr, len);
            return channel_new(out, fd, timeout_ms);
        }
        if (!is_passing(errno))
            return sotto_fail(SOTTO_ERR_IO, "cannot accept a connection on port %u: %s", (unsigned)l->port,
                              strerror(errno));
    }
}

void sotto_tcp_interrupt(sotto_tcp_listener *l)
{
    const int saved = errno;
    const uint64_t one = 1;

    /* Fails only when the counter is full, and then it is readable already. */
    const ssize_t n = write(l->interrupt, &one, sizeof one);
    (void)n;
    errno = saved;
}

void sotto_tcp_listener_free(sotto_tcp_listener *l)
{
    if (!l)
        return;
    (void)close(l->fd);
    (void)close(l->interrupt);
    sotto_free(l);
}
