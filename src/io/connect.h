/*
 * connect.h - a TCP connection to a host: resolve, then race the addresses (RFC 8305).
 *
 * IPv6 and IPv4 take turns, a new attempt every 250 ms or as soon as one fails; the first that
 * connects wins and the others are closed. Each address is shown to the owner's policy before a
 * socket is opened for it. Gates are the caller's business. Knows nothing of HTTP.
 */
#ifndef DEJUNK_IO_CONNECT_H
#define DEJUNK_IO_CONNECT_H

#include "io/resolve.h"

enum { CONNECT_RACE_DELAY_MS = 250, CONNECT_RACERS = 16 };

struct connect_racer;

struct connector { // lives inside its owner; open fields first
    /* May this address (with its port) be connected to? On false it has filled in *error. The
     * answer names the CNAME chain; NULL for a literal. Called for every address, each time. */
    bool (*may_connect)(void *owner, const struct address *address,
                        const struct resolve_answer *answer, struct error *error);
    /* fd is a connected non-blocking socket that now belongs to the owner, or -1 with *error:
     * ERROR_NO_HOST, ERROR_REFUSED, ERROR_TIMEOUT, ERROR_FORBIDDEN (every address was refused by
     * policy; the first refusal's text), ERROR_ADDRESS (unreachable), ERROR_SYSTEM. */
    void (*on_connected)(void *owner, int fd, const struct address *address,
                         const struct error *error);
    void *owner;
    struct loop *loop; // connect.c only, from here
    struct resolver *resolver;
    struct resolve_query query;
    struct resolve_answer *answer;
    struct connect_racer *racers;
    struct loop_timer timer, race;
    struct loop_task tell;
    struct address order[2 * RESOLVE_ADDRESSES];
    size_t order_count, next;
    uint16_t port;
    struct error first_error;
    bool is_active;
};

/* `host` is a name or an address literal without brackets. timeout_ms covers all of it.
 * on_connected() comes exactly once, from the loop, unless cancelled. */
void connector_start(struct connector *connector, struct loop *loop, struct resolver *resolver,
                     struct span host, uint16_t port, uint64_t timeout_ms);
/* Closes what is under way. Harmless when idle; needed before the owner goes away. */
void connector_cancel(struct connector *connector);

#endif
