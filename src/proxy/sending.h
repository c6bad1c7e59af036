/*
 * sending.h - a request on its way to the origin: a connection for it, its head, its body.
 *
 * Claims a connection, writes the request anew from its parsed form, then the body as it comes, by
 * copy or by splice; sends it once more where a kept connection died under it. What comes back is
 * relay.h's.
 */
#ifndef DEJUNK_PROXY_SENDING_H
#define DEJUNK_PROXY_SENDING_H

#include "proxy/exchange.h"

/* Begins. fresh_only: not on a connection that was used before. */
void sending_claim(struct exchange *x, bool fresh_only);

/* Writes what was staged for the origin; call it before the bytes go away. */
void sending_flush(struct exchange *x);

/* The body goes by splice now: the session's stream is readable. */
bool sending_is_by_splice(const struct exchange *x);
void sending_splice(struct exchange *x);
/* What is left of the body goes by splice from here on, where that is worth it. */
void sending_enter_splice(struct exchange *x);

/* Sets what is wanted of the origin's stream. */
void sending_update(struct exchange *x);

/* The origin's side of the exchange has failed: tries again, answers, or cuts. */
void sending_failed(struct exchange *x, const struct error *error);

#endif
