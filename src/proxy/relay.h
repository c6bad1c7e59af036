/*
 * relay.h - a response on its way to the browser: its head, its body, its end.
 *
 * Reads the origin's connection while the browser takes what came, by copy or by splice, through
 * the chain that changes a body (rework.h) where there is one, and gives the connection back.
 */
#ifndef DEJUNK_PROXY_RELAY_H
#define DEJUNK_PROXY_RELAY_H

#include "proxy/exchange.h"

/* Of a connection that an exchange holds, and of the parser on it (whose owner it is). */
extern const struct outgoing_events relay_outgoing_events;
extern const struct phases_events relay_response_events;

/* The browser took bytes: its outbox may be empty now. */
void relay_browser_writable(struct exchange *x);
/* There is more for the response's chain to do (x->working). */
void relay_work(void *owner);
/* The origin's time begins anew: it took bytes, or waits for us. */
void relay_wait_on(struct exchange *x);
/* The response is parsed to its end, and everything of it put. has_extra: the origin said more. */
void relay_response_is_done(struct exchange *x, bool has_extra);

#endif
