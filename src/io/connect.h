/*
 * connect.h - a TCP connection to a host: resolve, then race the addresses (RFC 8305).
 *
 * IPv6 and IPv4 take turns, IPv6 first where there is one; a new attempt every 250 ms or as soon
 * as one fails; the first that connects wins and the others are closed. Each address is shown to
 * the owner's policy before a socket is opened for it. Gates are the caller's business. Knows
 * nothing of HTTP.
 */
#ifndef DEJUNK_IO_CONNECT_H
#define DEJUNK_IO_CONNECT_H

#include "io/resolve.h"

enum {
    CONNECT_RACE_DELAY_MS = 250,
    CONNECT_RACERS = 16, // sockets opened for one connection, at most
};

struct connect_race;

struct connector { // lives inside its owner; open fields first
    /* May this address (with its port) be connected to? On false it has filled in *error. The
     * answer names the CNAME chain; NULL for a literal. Called for every address, each time, also
     * from inside connector_start(). It may not cancel the connector. */
    bool (*may_connect)(void *owner, const struct address *address,
                        const struct resolve_answer *answer, struct error *error);
    /* fd is a connected non-blocking socket with TCP_NODELAY that now belongs to the owner, or -1
     * with *error: ERROR_NO_HOST, ERROR_REFUSED, ERROR_TIMEOUT, ERROR_FORBIDDEN (every address was
     * refused by policy; the first refusal's text), ERROR_ADDRESS (unreachable), ERROR_LIMIT (too
     * many names asked for), ERROR_SYSTEM. Of several failures the most telling: that one
     * address refused says more than that another was silent until the time was up. `address` is
     * NULL without a connection. The connector is idle again. */
    void (*on_connected)(void *owner, int fd, const struct address *address,
                         const struct error *error);
    void *owner;
    struct connect_race *race; // connect.c only; NULL: idle
};

/* `host` is a name or an address literal without brackets, and need not live on. timeout_ms covers
 * all of it. on_connected() comes exactly once, from the loop, unless cancelled. */
void connector_start(struct connector *connector, struct loop *loop, struct resolver *resolver,
                     struct span host, uint16_t port, uint64_t timeout_ms);
/* Closes what is under way. Harmless when idle; needed before the owner goes away. */
void connector_cancel(struct connector *connector);
static inline bool connector_is_busy(const struct connector *connector)
{
    return connector->race != NULL;
}

#endif
