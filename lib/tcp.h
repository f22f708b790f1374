/* TCP channels: IPv4 and IPv6, no delay, keep-alive, a timeout on every wait, a 1 MB send buffer, no SIGPIPE.
 *
 * Both parties may send much at the same time: a send that has to wait for the peer takes in what the peer sends
 * meanwhile, up to a limit (1 GB unless set; then SOTTO_ERR_LIMIT), and later receives are served from that first. The
 * timeout bounds each wait for progress, and a whole send, recv or flush has so long plus 1 ms for every 16 bytes: a peer
 * that moves less than 16 kB a second cannot hold this side. After a failure of one of them the channel is to be closed:
 * how much was moved is not known.
 * Closing a channel with input unread resets the connection, and the peer may then lose what was flushed last: a party
 * whose last message matters first receives all that the peer has sent. A channel belongs to one thread at a time. */
#ifndef SOTTO_LIB_TCP_H
#define SOTTO_LIB_TCP_H

#include <stdint.h>

#include "lib/chan.h"

/* Connects within `timeout_ms`, which then bounds every later wait for the peer (0: no bound); the addresses of a host are
 * tried in turn and share the time. Looking up a name is left to the system and has the system's own limit. The message
 * names host, port and remedy. SOTTO_ERR_IO: unknown host, refused; SOTTO_ERR_TIMEOUT. On success the caller closes *out. */
SOTTO_MUST_CHECK int sotto_tcp_connect(sotto_chan *out, const char *host, uint16_t port, unsigned timeout_ms);

/* Another timeout and limit of input from now on; nothing for a channel of another kind. A limit above 1 GB counts as 1 GB. */
void sotto_tcp_set(sotto_chan *c, unsigned timeout_ms, uint64_t input_limit);
/* Ends the connection under the channel, whose waiting and later calls then fail with SOTTO_ERR_CLOSED or _IO; for stopping a thread that
 * uses it. Safe from another thread as long as nobody closes the channel meanwhile; nothing for a channel of another kind. */
void sotto_tcp_shutdown(sotto_chan *c);

typedef struct sotto_tcp_listener sotto_tcp_listener;

/* Listens on host ("127.0.0.1", "::", ...) and port; port 0 lets the system choose. "::" serves IPv4 as well; of a name
 * with several addresses the first that can be had. SOTTO_ERR_IO when the address is unknown or taken; the message says
 * which. Freed with sotto_tcp_listener_free, after no accept waits any more. */
SOTTO_MUST_CHECK int sotto_tcp_listen(sotto_tcp_listener **out, const char *host, uint16_t port);
/* The port that is bound. */
uint16_t sotto_tcp_port(const sotto_tcp_listener *l);
/* Waits for a client. SOTTO_ERR_CLOSED after sotto_tcp_interrupt. `timeout_ms` bounds later waits on the new channel, not
 * this one. `peer`, if not NULL, gets "address:port" (at most 64 bytes). */
SOTTO_MUST_CHECK int sotto_tcp_accept(sotto_tcp_listener *l, sotto_chan *out, unsigned timeout_ms, char peer[64]);
/* Wakes a waiting accept, which fails from now on; safe from a signal handler and from another thread. */
void sotto_tcp_interrupt(sotto_tcp_listener *l);
void sotto_tcp_listener_free(sotto_tcp_listener *l);

#endif
