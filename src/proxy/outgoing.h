/*
 * outgoing.h - connections to origins: claimed, opened through the gates, kept idle, reused.
 *
 * A claim asks for a connection to one place; it gets an idle one at once, or waits for its turn:
 *
 *     claim -> origin's gate -> total gate -> resolve and race -> parent's talk -> TLS -> ready
 *
 * The places in both gates belong to the connection from then on until it closes, idle or not, so
 * the gates limit open connections. A connection that becomes idle while others wait in its
 * origin's line goes to the first of them. Everything that shaped a connection is in its origin's
 * key. One over TLS is ready when the origin is verified, and not before. Knows nothing of
 * requests; the parser lives here so that it is kept with its connection.
 */
#ifndef DEJUNK_PROXY_OUTGOING_H
#define DEJUNK_PROXY_OUTGOING_H

#include "http/http1.h"
#include "io/backlog.h"
#include "io/connect.h"
#include "proxy/context.h"
#include "proxy/destination.h"
#include "trust/origin.h"

enum { OUTGOING_HANDSHAKE_MS = 10000 }; // of TLS

struct origin {             // outgoing.c only
    struct table_node node; // first
    struct span key;
    struct destination to;
    const struct parent *parent; // in settings
    struct settings *settings;
    bool is_local;
    bool is_secure;             // over TLS
    struct span name;           // is_secure: who it must be
    struct verify_roots *roots; // is_secure: says who; referenced
    struct gate gate;
    struct outgoing_list idle;
    struct claim *first_waiting, **last_waiting; // at the gates, in order
    size_t users;                                // connections and claims
    char text[];                                 // the key's, host's and name's bytes
};

struct outgoing_tls { // what a connection over TLS is to be
    struct span name; // who the origin must be: a host name or an address
    struct verify_roots *roots;
    const struct hello *like; // offer only what this browser offers, copied; NULL: all good
    bool no_protocol;         // do not name HTTP/1.1 by ALPN
};

struct outgoing_target {
    struct destination to;
    struct settings *settings;
    const struct parent *parent; // may be NULL
    bool is_local;               // dejunk's own name: proxy_seams.connect_local
    bool is_tunnel;              // a fresh connection that carries anything
    bool fresh_only;             // not one that was used before
    bool is_once;                // the request cannot be sent a second time: a kept connection is
                                 // looked at before it is taken
    const struct outgoing_tls *tls; // NULL: in clear
    const struct address *only_at;  // this address and no other; NULL: what the name resolves to
};

enum outgoing_failure {        // of a connection over TLS, beside the error
    OUTGOING_UNREACHED,        // no connection, or it was lost or silent in the handshake
    OUTGOING_DISAGREED,        // the handshake failed: ERROR_UNSUPPORTED
    OUTGOING_BAD_CERTIFICATE,  // ERROR_TLS
    OUTGOING_WANTS_CERTIFICATE // from us: ERROR_FORBIDDEN
};

struct claim { // lives inside its owner, who calls outgoing_cancel() before it goes away
    void (*on_ready)(void *owner, struct outgoing *outgoing);
    void (*on_failed)(void *owner, const struct error *error);
    /* May this address be used for it, beside what destination.h says? answer names the CNAME
     * chain; NULL for a literal. NULL: yes. On false it has filled in *error. */
    bool (*may_use)(void *owner, const struct address *address, const struct resolve_answer *answer,
                    struct error *error);
    void *owner;
    struct outgoing
        *outgoing; // outgoing.c only, but for the next two: opening for this claim, or granted
    enum outgoing_failure failure; // written before on_failed(), as is the next
    struct address tried;          // where the handshake failed; no family: there was none
    struct claim *next, **link;    // in the origin's line
    struct loop_task granted;
    bool takes_idle;
};

struct outgoing_events { // for whoever holds it
    void (*on_readable)(void *owner);
    void (*on_writable)(void *owner);
    void (*on_timeout)(void *owner);
};

enum outgoing_state {
    OUTGOING_IN_LINE,    // for a place in the gates
    OUTGOING_CONNECTING, // resolving, racing
    OUTGOING_TALKING,    // to the parent
    OUTGOING_SHAKING,    // hands: TLS with the origin
    OUTGOING_HELD,       // by an exchange or tunnel
    OUTGOING_IDLE,
    OUTGOING_CLOSED,
};

struct opening; // what only an opening connection needs

struct outgoing {
    struct proxy *proxy;
    struct origin *origin;
    struct stream stream;
    struct outbox outbox;
    struct http1 *parser; // made at first need, by the holder
    struct loop_timer timer;
    const struct outgoing_events *events;
    void *owner;
    struct buffer early; // bytes that came behind a parent's answer
    struct address address;
    struct resolve_answer *answer; // that it came from, referenced; NULL: a literal
    uint32_t uses;                 // requests sent on it
    bool is_fresh; // opened for who holds it now, whose claim was asked of its address
    struct backlog backlog;
    bool is_tainted; // carried something abnormal, or belongs to one browser: never pooled

    enum outgoing_state state; // outgoing.c only, from here
    struct claim *claim;
    struct opening *opening;
    struct gate_ticket origin_ticket, total_ticket;
    struct outgoing *next, *previous; // in the origin's idle list
    struct outgoing *older, *newer;   // in the proxy's
    struct loop_grave grave;
};

/* An idle connection at once: returned, and held by the caller, who sets events and owner. Else
 * NULL, and one of the claim's functions is called later, from the loop. */
struct outgoing *outgoing_claim(struct proxy *proxy, struct claim *claim,
                                const struct outgoing_target *target);
/* Gives up waiting. Harmless when the claim waits for nothing. */
void outgoing_cancel(struct claim *claim);

/* Nothing came that nobody asked for, and it has not ended. TLS has bytes of its own to read in
 * between. */
bool outgoing_is_quiet(struct outgoing *outgoing);

/* Back from its holder: kept for the next claim when it is clean, else closed. */
void outgoing_release(struct outgoing *outgoing);
/* Ends it, from its holder. reset: the far side is to see that it was cut off. */
void outgoing_close(struct outgoing *outgoing, bool reset);

/* Closes the oldest idle connection; false when none is idle. */
bool outgoing_spare_one(struct proxy *proxy);
/* Closes all idle connections. */
void outgoing_close_idle(struct proxy *proxy);

#endif
