/*
 * scope.h - what holds for all requests inside of a tunnel in which HTTP is spoken.
 *
 * Made from a CONNECT by whoever finds HTTP in its tunnel (tunnel.c in clear, intercept.c inside
 * of TLS), then kept by the session until it ends. One piece of memory, besides the hello.
 */
#ifndef DEJUNK_PROXY_SCOPE_H
#define DEJUNK_PROXY_SCOPE_H

#include "base/error.h"
#include "trust/hello.h"

enum { SCOPE_FAILURE_MS = 5000 }; // what failed longer ago is tried again

struct scope {
    struct span host; // what requests must name; inside of TLS also what the origin must be
    struct span to;   // where CONNECT leads: the same, or an address
    struct span user; // who said a good password
    uint16_t port;
    bool to_is_literal, to_is_rooted;
    bool is_secure;            // inside of TLS
    bool is_stopped;           // by the rules, as a whole: requests have verdicts of their own
    bool has_asked;            // a request was read
    bool offers_http1;         // is_secure: the browser named "http/1.1" itself
    const struct hello *hello; // is_secure: what it offered, for our own connections to the origin
    uint64_t failed_ms;        // when there was a failure, on the loop's clock
    struct error *failure;     // what kept us from the origin then, to be told once; NULL: nothing
    char text[];
};

struct scope_plan {
    struct span host, to, user;
    uint16_t port;
    bool to_is_literal, to_is_rooted, is_stopped;
    const struct hello *hello;   // copied; NULL: in clear
    const struct error *failure; // copied; may be NULL
    uint64_t now_ms;
};

struct scope *scope_new(const struct scope_plan *plan);
void scope_free(struct scope **scope);

#endif
