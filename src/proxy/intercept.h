/*
 * intercept.h - one CONNECT that may be opened: from its answer to HTTP inside, or to a tunnel.
 *
 *     COLLECTING the browser's first bytes, which are kept
 *       | no byte for a second, neither TLS nor HTTP, not for us ---------> a tunnel
 *       | HTTP in clear --------------------------------------------------> the session goes on
 *     ORIGIN: a connection is claimed, its handshake finished and verified
 *       | a bad certificate, one wanted of the browser, no agreement -----> a tunnel, to the same
 *       | not reached: a leaf all the same, and the error inside            address, with the
 *     LEAF is asked of the signer                                           kept bytes
 *     BROWSER: our handshake with it, on the kept bytes ------------------> the session goes on
 *
 * Nothing is sent to the browser before the origin is known to be good, so that a bad certificate
 * never becomes one that looks good. A host that the rules stop is opened without asking the
 * origin: each request inside has its own verdict. Belongs to its session; frees itself.
 */
#ifndef DEJUNK_PROXY_INTERCEPT_H
#define DEJUNK_PROXY_INTERCEPT_H

#include "proxy/access_log.h"
#include "proxy/interception.h"
#include "proxy/session.h"

enum {
    INTERCEPT_SILENCE_MS = 1000, // a browser that says nothing waits for the origin to speak
    INTERCEPT_HELLO_MS = 10000,  // for the whole hello
    INTERCEPT_LEAF_MS = 10000,
    INTERCEPT_HANDSHAKE_MS = 10000, // with the browser
};

struct intercept; // opaque

struct intercept_plan { // what CONNECT said; copied
    struct settings *settings;
    struct span host; // lower case, no brackets
    struct span user;
    uint16_t port;
    bool is_literal, is_rooted;
    bool is_stopped;          // by the rules: the origin is not asked
    bool is_our_name;         // nor is it for our own pages
    struct access_note *note; // taken over; may be NULL
};

/* Before the answer to CONNECT: may it be opened, as far as can be said? */
bool intercept_may(struct session *session, const struct intercept_plan *plan);

/* The session is in SESSION_TUNNEL and "200" is in its outbox; what came early is in its buffer. */
void intercept_start(struct session *session, const struct intercept_plan *plan);

/* The session goes away. */
void intercept_let_go(struct intercept *intercept);

/* In an opened tunnel the origin wants a certificate of the browser's. */
void intercept_note_wanted(struct session *session);

/* The same of one that asks later, for some of its pages: by another handshake (TLS 1.2), which it
 * does not get. True where this connection's origin did: the tunnel is to end after the answer. */
bool intercept_note_asked_again(struct session *session, const struct outgoing *outgoing);

/* An opened tunnel broke off before anything was asked in it: some programs look at certificates
 * only then. */
void intercept_note_loss(struct session *session);

#endif
