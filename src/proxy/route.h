/*
 * route.h - what is to be done with a request whose head is there.
 *
 *     who is it -> our own pages | loops, Max-Forwards end here -> may it go there
 *       -> the rules: stopped | sent elsewhere | changed -> on its way (sending.h)
 */
#ifndef DEJUNK_PROXY_ROUTE_H
#define DEJUNK_PROXY_ROUTE_H

#include "proxy/exchange.h"

/* Once, when the head is parsed. The exchange may be over after. */
void route_request(struct exchange *x);

/* Is it dejunk's own name? */
bool route_is_own_name(struct span host);

/* Of a claim: the address, and the names that led to it, are asked of the rules too. */
bool route_may_use(void *owner, const struct address *address,
                   const struct resolve_answer *resolved, struct error *error);

#endif
