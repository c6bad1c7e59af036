/*
 * interception.h - what a worker has for opening tunnels: leaves, keys of tickets, whom to trust.
 *
 * One for each proxy, made with it; what comes from other processes (the authority's chain, ticket
 * keys, roots, what was learned) comes later and may change. Nothing is intercepted before it is
 * whole. One intercepted CONNECT is intercept.c's business.
 */
#ifndef DEJUNK_PROXY_INTERCEPTION_H
#define DEJUNK_PROXY_INTERCEPTION_H

#include "proxy/anchors.h"
#include "proxy/choice.h"
#include "proxy/outgoing.h"
#include "proxy/scope.h"
#include "trust/browser.h"
#include "trust/leaf.h"

struct interception {
    struct proxy *proxy;
    struct choice *choice;
    struct anchors *anchors;   // NULL until there are roots
    struct leaf_cache *leaves; // NULL until there is an authority
    struct browser_tls *browser;
    bool is_settled; // the signer is there, and `leaves` are of its authority
};

enum error_kind interception_new(struct interception **out, struct proxy *proxy,
                                 struct error *error);
/* Needs every session and every connection gone. */
void interception_free(struct interception **interception);

/* Is there all that it takes, for this host? */
bool interception_is_ready(const struct interception *interception, const struct settings *settings,
                           struct span host);

/* Was the certificate that a browser got from us signed by the authority of now? One that it
 * refuses may be of another: then that says nothing about its program. */
bool interception_signed(const struct interception *interception, const SSL *browser);

/* A connection to the origin of a secure scope; borrows from all of them. */
struct outgoing_tls interception_towards(const struct interception *interception,
                                         const struct settings *settings,
                                         const struct scope *scope);

#endif
