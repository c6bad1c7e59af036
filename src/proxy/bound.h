/*
 * bound.h - an outgoing connection that belongs to one browser connection (NTLM, Negotiate).
 *
 * These schemes authenticate the connection and not the request, so what was spoken on one is
 * nobody else's: between two requests it is kept by the session, at most one, and never pooled.
 */
#ifndef DEJUNK_PROXY_BOUND_H
#define DEJUNK_PROXY_BOUND_H

#include "proxy/outgoing.h"
#include "proxy/session.h"

/* Are these credentials, or one challenge, of such a scheme? */
bool bound_is_for(struct span value);
/* Is one among the challenges of this list? */
bool bound_is_offered(struct span list);

/* Takes the connection over from its holder; one that was kept before is closed. */
void bound_keep(struct session *session, struct outgoing **outgoing, uint64_t idle_ms);
/* The kept one when it leads there, held by the caller, who sets events and owner; else NULL. */
struct outgoing *bound_take(struct session *session, const struct outgoing_target *target);
/* Closes the kept one. Harmless when there is none. */
void bound_drop(struct session *session);

#endif
