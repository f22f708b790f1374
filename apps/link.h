/* An emulated network between two processes of this machine, without privileges: a relay on loopback, a process of its own, that passes bytes on no faster than
 * a bandwidth and no earlier than a delay, each way alike.
 *
 * Each way is a serial line and a delay queue: a byte that arrives at time t begins to be sent at max(t, end of the byte before), takes 8 / bandwidth, and comes
 * out half a round trip later. The bandwidth is that of the payload: headers, loss and the slow start of a fresh TCP connection are not modelled. A sender may
 * run ahead by the bandwidth-delay product and 4 MB, as with a socket buffer.
 */
#ifndef SOTTO_APPS_LINK_H
#define SOTTO_APPS_LINK_H

#include <stdint.h>

#include "lib/err.h"

typedef struct link_spec {
    double bits_per_second; /* 0: no limit */
    double rtt;             /* seconds; both 0: plain loopback, without a relay */
    char name[48];          /* as it was asked for */
} link_spec;

/* "loopback", "lan" (1 Gbit/s, 1.2 ms), "wan" (100 Mbit/s, 40 ms) or BANDWIDTH,RTT such as 200Mbit,10ms: bit, Kbit, Mbit, Gbit (1 kbit/s to 100 Gbit/s) and
 * us, ms, s (to 10 s). SOTTO_ERR_ARG. */
SOTTO_MUST_CHECK int link_parse(link_spec *spec, const char *text);

typedef struct link_process {
    int pid;       /* 0: none */
    uint16_t port; /* on 127.0.0.1; where the client connects instead */
} link_process;

/* Starts a relay for one connection to 127.0.0.1:target; for plain loopback none, and port = target. It ends with either of the two connections, with
 * link_stop, or with this process. SOTTO_ERR_IO, SOTTO_ERR_MEMORY (a bandwidth-delay product above 256 MB). */
SOTTO_MUST_CHECK int link_start(link_process *l, const link_spec *spec, uint16_t target);
void link_stop(link_process *l);

#endif
