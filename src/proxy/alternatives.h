/*
 * alternatives.h - no way out beside us: offers of HTTP/3 are taken from answers.
 *
 * A browser that takes one (RFC 7838) would go to the origin over QUIC, past the proxy.
 */
#ifndef DEJUNK_PROXY_ALTERNATIVES_H
#define DEJUNK_PROXY_ALTERNATIVES_H

#include "http/message.h"

/* Drops the alternatives that are HTTP/3 ("h3", "h3-29"...) or older QUIC from Alt-Svc, and the
 * field where no other is left. */
void alternatives_strip(struct message *response);

#endif
