/*
 * via.h - our name in Via: added to what passes, and found again in what goes in a loop.
 */
#ifndef DEJUNK_PROXY_VIA_H
#define DEJUNK_PROXY_VIA_H

#include "proxy/exchange.h"

/* Says in one of the exchange's messages that it came through us (RFC 9110 section 7.6.3), where
 * the config wants that. */
void via_add(struct exchange *x, struct message *message);
/* The request has been here before. */
bool via_is_loop(const struct exchange *x);

#endif
