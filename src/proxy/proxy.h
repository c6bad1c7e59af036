/*
 * proxy.h - the proxying of one process: listeners, sessions, pools, joined by one struct.
 *
 * This is what daemon/ sees of proxy/. One struct proxy lives on one loop in one worker. It opens
 * no file: config, name-server texts, rule database and log descriptor are handed in, at start
 * and whenever they change; exchanges under way keep what they began with.
 */
#ifndef DEJUNK_PROXY_PROXY_H
#define DEJUNK_PROXY_PROXY_H

#include "base/error.h"
#include "base/metrics.h"
#include "filter/database.h"
#include "io/loop.h"
#include "state/config.h"

struct proxy;
struct stubs;
struct learned_event;
struct browser_ticket_key;

/* How the rooms above take part. Every pointer may be NULL. */
struct proxy_seams {
    /* A connected non-blocking stream socket to whoever answers requests for dejunk's own name
     * (the admin process), or -1. Called for each new connection. */
    int (*connect_local)(void *owner);
    /* One line of the access log, with its newline. NULL: nothing is logged. */
    void (*write_access_log)(void *owner, struct span line);
    /* Hands a packet (trust/sign.h) to the signer; its answer comes by proxy_take_signature(),
     * later and never inside. False when it cannot be reached. */
    bool (*ask_signer)(void *owner, struct span packet);
    /* What a handshake with a browser came to, where that changes anything, for whoever keeps it
     * for all workers. Borrowed. */
    void (*tell_learned)(void *owner, const struct learned_event *event);
    void *owner;
};

struct proxy_setup {
    struct loop *loop;
    struct config *config;             // referenced, not taken over
    struct metrics *metrics;           // this worker's page; borrowed
    struct span resolv_conf, hosts;    // texts; borrowed until proxy_new() returns
    struct span via_pseudonym;         // made per installation; copied
    const unsigned char *site_secret;  // secret.h; copied; NULL: one is made, for this process
    struct proxy_seams seams;          // copied
    const struct stubs *stubs;         // borrowed; NULL: the smallest only
    const unsigned char *visit_secret; // visit.h; borrowed; NULL: block pages offer no way on
};

enum error_kind proxy_new(struct proxy **out, const struct proxy_setup *setup, struct error *error);
/* Ends every connection at once. */
void proxy_free(struct proxy **proxy);

/* Accepts on a listening non-blocking socket, which stays the caller's (shared by workers) and is
 * not closed. A few accepts for each wake-up. At most 64 (OWN_ADDRESSES) at a time. */
enum error_kind proxy_listen(struct proxy *proxy, int fd, struct error *error);
/* No more accepts on it, at once; connections accepted before live on. The caller may close it. */
void proxy_unlisten(struct proxy *proxy, int fd);

/* New config for requests from now on; may fail on what only proxy/ can check (addresses, ports,
 * parents), and then the old one stays. proxy_check_config() is the same without a proxy. */
enum error_kind proxy_configure(struct proxy *proxy, struct config *config, struct error *error);
enum error_kind proxy_check_config(struct config *config, struct error *error);
/* The rules for requests from now on, referenced; NULL: none. */
void proxy_use_rules(struct proxy *proxy, struct database *database);
/* Passes given and pauses, as all workers have them: copied, in place of those before. */
enum { PROXY_PASSES = 1000 };
struct proxy_pass {
    struct span host;   // it and all below it; empty: every host (a pause)
    struct span client; // an address; empty: every client
    uint64_t until_ms;  // since 1970; PROXY_PASS_FOR_GOOD: it does not end
};
#define PROXY_PASS_FOR_GOOD UINT64_MAX
struct proxy_passes {
    const struct proxy_pass *items;
    size_t count; // at most PROXY_PASSES
};
void proxy_set_passes(struct proxy *proxy, const struct proxy_passes *passes);
/* Somebody follows: lines of the access log are written even where the config has none. */
void proxy_set_followed(struct proxy *proxy, bool is_followed);
/* New texts of resolv.conf and hosts. */
void proxy_configure_names(struct proxy *proxy, struct span resolv_conf, struct span hosts);

/* ---- https; each before proxy_listen() and again when it changes ---- */

/* What is sent behind a leaf, in PEM (authority_chain_pem()); copied. Empty: there is no
 * authority, and nothing is opened. On an error the old one stays. */
enum error_kind proxy_set_authority(struct proxy *proxy, struct span chain_pem,
                                    struct error *error);
/* An answer of the signer. ERROR_SYNTAX: it is none, and the signer is to be given up. */
enum error_kind proxy_take_signature(struct proxy *proxy, struct span packet, struct error *error);
/* Who waits for the signer is told; leaves that are kept stay. Until the next one has said by
 * proxy_set_authority() what it signs with, nothing is learned from who refuses a leaf. */
void proxy_signer_lost(struct proxy *proxy);
/* trust/browser.h; the first is the one to give tickets with. Copied. */
void proxy_set_ticket_keys(struct proxy *proxy, const struct browser_ticket_key *keys,
                           size_t count);
struct proxy_trust_file { // one that an extra_ca names
    struct span path, pem;
};
struct proxy_trust {          // texts; borrowed until the call returns
    struct span roots;        // PEM: the system's
    struct span no_intercept; // hosts that are never opened, one a line
    const struct proxy_trust_file *files;
    size_t file_count;
};
enum error_kind proxy_set_trust(struct proxy *proxy, const struct proxy_trust *trust,
                                struct error *error);
/* The text of proxy/learned.h, as all workers have it; in place of what is there. */
enum error_kind proxy_set_learned(struct proxy *proxy, struct span text, struct error *error);

enum { PROXY_DRAIN_FOREVER = -1 };
/* Stops accepting, closes idle connections, lets exchanges and tunnels end; on_drained is called
 * once, from the loop, when none is left or after within_ms (PROXY_DRAIN_FOREVER: no limit), when
 * the rest is cut. Called again while it drains, it moves the limit. */
void proxy_drain(struct proxy *proxy, int64_t within_ms, void (*on_drained)(void *owner),
                 void *owner);

#endif
