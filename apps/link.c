#include "apps/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/mem.h"

#define AHEAD ((size_t)4 << 20)        /* bytes that a sender may run ahead of the line */
#define ROOM_MAX ((size_t)256 << 20)
#define BURSTS 65536u                  /* reads whose bytes are on their way */
#define GRAIN 50e-6                    /* seconds of line that are handed over at once */
#define HOP 30e-6                      /* seconds each way that the relay's own copies and wake-ups take on an idle machine; part of the delay */
#define ACCEPT_MS 120000

/* ---- what was asked for ---------------------------------------------------------------------------------------------------- */

typedef struct scale {
    const char *suffix;
    double factor;
} scale;

/* A number with one of these suffixes, up to the end of the text or the comma; 0 when it is none. */
static double quantity(const char *text, const scale *scales, size_t count, const char **end)
{
    char *tail;
    const double x = strtod(text, &tail);
    const size_t len = strcspn(tail, ",");
    for (size_t i = 0; i < count && tail != text; i++) {
        if (strlen(scales[i].suffix) == len && strncasecmp(tail, scales[i].suffix, len) == 0) {
            *end = tail + len;
            return x * scales[i].factor;
        }
    }
    return 0.0;
}

int link_parse(link_spec *spec, const char *text)
{
    static const link_spec named[] = {{0.0, 0.0, "loopback"}, {1e9, 1.2e-3, "lan"}, {1e8, 40e-3, "wan"}};
    static const scale rates[] = {{"bit", 1.0}, {"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}};
    static const scale times[] = {{"us", 1e-6}, {"ms", 1e-3}, {"s", 1.0}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        if (strcmp(text, named[i].name) == 0) {
            *spec = named[i];
            return SOTTO_OK;
        }
    }
    const char *end = "";
    link_spec s = {.bits_per_second = quantity(text, rates, sizeof rates / sizeof *rates, &end)};
    const int comma = s.bits_per_second > 0.0 && *end == ',';
    s.rtt = comma ? quantity(end + 1, times, sizeof times / sizeof *times, &end) : 0.0;
    if (!comma || *end != '\0' || !(s.bits_per_second >= 1e3 && s.bits_per_second <= 1e11) || !(s.rtt > 0.0 && s.rtt <= 10.0) ||
        strlen(text) >= sizeof s.name) {
        return sotto_fail(SOTTO_ERR_ARG, "network '%.40s'; expected loopback, lan, wan or BANDWIDTH,RTT such as 200Mbit,10ms (1 Kbit to 100 Gbit, to 10 s)", text);
    }
    snprintf(s.name, sizeof s.name, "%s", text);
    *spec = s;
    return SOTTO_OK;
}

/* ---- one way --------------------------------------------------------------------------------------------------------------- */

/* Bytes that were read at once. */
typedef struct burst {
    double start; /* when the first of them enters the line */
    size_t len, sent;
} burst;

typedef struct way {
    int from, to;
    uint8_t *data;  /* ring of `room` bytes, `held` of them from `head` on */
    size_t room, head, held;
    burst *bursts;  /* ring of BURSTS */
    size_t first, count;
    double free_at; /* when the line has sent all */
    double byte_time, delay;
    int ended;      /* nothing more comes from `from`; 2: and `to` was told */
    int stuck;      /* `to` takes no more at present */
} way;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int temporary(int code)
{
    return code == EAGAIN || code == EWOULDBLOCK || code == EINTR;
}

static int has_room(const way *w)
{
    return !w->ended && w->held < w->room && w->count < BURSTS;
}

/* Takes in what there is and stamps it. 0: the connection is gone. */
static int take(way *w, double now)
{
    while (has_room(w)) {
        const size_t at = (w->head + w->held) % w->room;
        const size_t wanted = w->room - w->held < w->room - at ? w->room - w->held : w->room - at;
        const ssize_t n = recv(w->from, w->data + at, wanted, MSG_DONTWAIT);
        if (n < 0) {
            return temporary(errno);
        }
        if (n == 0) {
            w->ended = 1;
            break;
        }
        burst *b = &w->bursts[(w->first + w->count++) % BURSTS];
        *b = (burst){now > w->free_at ? now : w->free_at, (size_t)n, 0};
        w->free_at = b->start + (double)n * w->byte_time;
        w->held += (size_t)n;
    }
    return 1;
}

/* Bytes of the oldest burst that are out of the line at this time. */
static size_t due(const way *w, const burst *b, double now)
{
    const double passed = now - w->delay - b->start;
    if (passed < 0.0) {
        return 0;
    }
    return passed >= (double)b->len * w->byte_time ? b->len : (size_t)(passed / w->byte_time);
}

/* Hands over what is due. 0: the connection is gone. */
static int give(way *w, double now)
{
    w->stuck = 0;
    while (w->count > 0) {
        burst *b = &w->bursts[w->first];
        size_t len = due(w, b, now) - b->sent;
        len = len < w->room - w->head ? len : w->room - w->head;
        if (len > 0) {
            const ssize_t n = send(w->to, w->data + w->head, len, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0) {
                w->stuck = 1;
                return temporary(errno);
            }
            w->head = (w->head + (size_t)n) % w->room;
            w->held -= (size_t)n;
            b->sent += (size_t)n;
        }
        if (b->sent == b->len) {
            w->first = (w->first + 1) % BURSTS;
            w->count--;
        } else if (len == 0) {
            break;
        }
    }
    if (w->ended == 1 && w->count == 0) {
        w->ended = 2;
        shutdown(w->to, SHUT_WR);
    }
    return 1;
}

/* When there is something to hand over: the next grain of the oldest burst, or its end. Far away when nothing is on its way. */
static double next_due(const way *w, double never)
{
    if (w->count == 0 || w->stuck) {
        return never;
    }
    const burst *b = &w->bursts[w->first];
    const double rest = (double)(b->len - b->sent) * w->byte_time;
    return b->start + w->delay + (double)b->sent * w->byte_time + (rest < GRAIN ? rest : GRAIN);
}

/* ---- the relay --------------------------------------------------------------------------------------------------------------- */

static void relay(way *ways)
{
    const double hour = 3600.0;
    for (;;) {
        const double now = now_s();
        double next = now + hour;
        struct pollfd fds[2];
        for (size_t i = 0; i < 2; i++) {
            if (!take(&ways[i], now) || !give(&ways[i], now)) {
                return;
            }
            const double at = next_due(&ways[i], now + hour);
            next = at < next ? at : next;
        }
        if (ways[0].ended == 2 && ways[1].ended == 2) {
            return;
        }
        for (size_t i = 0; i < 2; i++) { /* socket i is where way i reads and the other one writes */
            fds[i] = (struct pollfd){.fd = ways[i].from, .events = (short)((has_room(&ways[i]) ? POLLIN : 0) | (ways[1 - i].stuck ? POLLOUT : 0))};
            fds[i].fd = fds[i].events == 0 ? -1 : fds[i].fd;
        }
        const double wait = next > now ? next - now : 0.0;
        const struct timespec t = {.tv_sec = (time_t)wait, .tv_nsec = (long)(1e9 * (wait - (double)(time_t)wait))};
        if (ppoll(fds, 2, &t, NULL) < 0 && errno != EINTR) {
            return;
        }
    }
}

static int new_socket(void)
{
    const int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    return fd;
}

static struct sockaddr_in address(uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* The process: one client, one connection to the target. */
static int run(int listener, const link_spec *spec, uint16_t target, size_t room)
{
    const struct sockaddr_in to = address(target);
    const int one = 1, server = new_socket();
    struct pollfd p = {.fd = listener, .events = POLLIN};
    prctl(PR_SET_TIMERSLACK, 1UL); /* nanoseconds; 50,000 unless set, as much as a grain */
    if (poll(&p, 1, ACCEPT_MS) != 1) {
        return 1;
    }
    const int client = accept(listener, NULL, NULL);
    if (client < 0 || server < 0 || connect(server, (const struct sockaddr *)&to, sizeof to) != 0) {
        return 1;
    }
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    close(listener);
    way ways[2];
    for (size_t i = 0; i < 2; i++) {
        ways[i] = (way){.from = i == 0 ? client : server, .to = i == 0 ? server : client, .room = room, .data = sotto_calloc(room, 1),
                        .bursts = sotto_calloc(BURSTS, sizeof(burst)), .byte_time = 8.0 / spec->bits_per_second,
                        .delay = spec->rtt > 2.0 * HOP ? spec->rtt / 2.0 - HOP : 0.0};
        if (ways[i].data == NULL || ways[i].bursts == NULL) {
            return 1;
        }
    }
    relay(ways);
    return 0; /* sockets and memory go with the process */
}

int link_start(link_process *l, const link_spec *spec, uint16_t target)
{
    *l = (link_process){0, target};
    if (spec->bits_per_second == 0.0) {
        return SOTTO_OK;
    }
    const double flight = spec->bits_per_second / 8.0 * spec->rtt / 2.0;
    if (flight > (double)(ROOM_MAX - AHEAD)) {
        return sotto_fail(SOTTO_ERR_MEMORY, "network %s: %.0f MB are on their way at any time, and an emulated one holds 252 at most", spec->name, flight / 1e6);
    }
    struct sockaddr_in own = address(0);
    socklen_t len = sizeof own;
    const int listener = new_socket();
    if (listener < 0 || bind(listener, (struct sockaddr *)&own, sizeof own) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&own, &len) != 0) {
        const int code = errno;
        if (listener >= 0) {
            close(listener);
        }
        return sotto_fail(SOTTO_ERR_IO, "no port for an emulated network: %s", strerror(code));
    }
    const pid_t parent = getpid();
    fflush(NULL);
    const int pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(getppid() != parent ? 1 : run(listener, spec, target, AHEAD + (size_t)flight));
    }
    close(listener);
    if (pid < 0) {
        return sotto_fail(SOTTO_ERR_IO, "no process for an emulated network: %s", strerror(errno));
    }
    *l = (link_process){pid, ntohs(own.sin_port)};
    return SOTTO_OK;
}

void link_stop(link_process *l)
{
    if (l->pid > 0) {
        kill(l->pid, SIGKILL);
        while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    l->pid = 0;
}
