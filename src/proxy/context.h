/*
 * context.h - struct proxy from within: what the rooms of proxy/ share.
 *
 * proxy.c makes and ends it; the others hold a borrowed pointer for as long as they live, which
 * is never longer than the proxy.
 */
#ifndef DEJUNK_PROXY_CONTEXT_H
#define DEJUNK_PROXY_CONTEXT_H

#include "base/table.h"
#include "filter/request.h"
#include "http/coding.h"
#include "io/gate.h"
#include "io/pipes.h"
#include "io/resolve.h"
#include "proxy/outbox.h"
#include "proxy/proxy.h"
#include "proxy/secret.h"
#include "proxy/settings.h"

struct session;
struct outgoing;
struct exchange;
struct tunnel;
struct checker;
struct access_clock;
struct passes;
struct judge;
struct interception;
struct origin_tls;

enum {
    OWN_ADDRESSES = 64,  // of listeners
    FREE_EXCHANGES = 64, // kept for their next life
    EXCHANGE_ARENA_BYTES = 4 * 1024 * 1024,
    WINDOW_BYTES = 2 * 1024 * 1024, // what a browser may have under way to us
    UNSENT_BYTES = 512 * 1024,      // in the kernel, to a browser
};

struct session_list { // a doubly linked list, oldest first
    struct session *first, *last;
    size_t count;
};

struct outgoing_list {
    struct outgoing *first, *last;
    size_t count;
};

struct proxy_generation { // rework.c only: of what becomes of bodies, and what it was made from
    uint64_t value, of_settings, of_rules;
};

struct proxy_sizes { // of bodies that passed, for one type of request
    uint64_t count, bytes;
};

struct proxy {
    struct loop *loop;
    struct settings *settings; // for what begins from now on
    struct metrics *metrics;
    struct resolver *resolver;
    struct proxy_seams seams;
    struct span via; // "1.1 pseudonym", ours
    struct span pseudonym;
    struct secret secret; // of what sites see of us

    struct outbox_stage stage;
    struct pipe_pool pipes;
    struct coding_memory coding_memory; // for all bodies that are changed
    struct proxy_generation generation;
    struct proxy_sizes sizes[REQUEST_TYPES]; // tally.c only

    struct session_list busy_sessions, idle_sessions;
    struct table clients; // address -> connections, proxy/session.c

    struct origin_tls *origin_tls; // for whoever talks TLS to origins
    struct interception *interception;

    struct table origins;               // proxy/outgoing.c
    struct outgoing_list idle_outgoing; // of all origins, oldest first
    struct gate total_gate;
    size_t tunnels;

    struct exchange *free_exchanges;
    size_t free_exchange_count;
    uint64_t exchange_number; // counts up, for the log

    struct passes *passes;
    struct judge *judge;
    const struct stubs *stubs;         // borrowed; may be NULL
    const unsigned char *visit_secret; // borrowed; may be NULL
    struct access_clock *access_clock;
    bool is_followed; // somebody reads the access log as it is written

    struct checker *checker; // passwords; NULL until one is asked for

    struct address own[OWN_ADDRESSES];
    size_t own_count;

    struct proxy_listener *listeners;
    bool is_draining;
    struct loop_timer drain_timer;
    struct loop_task drained;
    void (*on_drained)(void *owner);
    void *drain_owner;
};

/* To be called when a session or tunnel has ended: tells on_drained() after the last one. */
void proxy_note_end(struct proxy *proxy);

static inline void count(struct proxy *proxy, enum metric metric)
{
    metrics_add(proxy->metrics, metric, 1);
}

#endif
