/*
 * tunnel.h - bytes both ways, as they are: CONNECT, and connections after an upgrade.
 *
 * A tunnel made by CONNECT looks at the browser's first bytes: when they are an HTTP request line
 * the session goes on as if the request had come to the port itself, with the same policies (this
 * is how browsers open ws://, RFC 6455 section 4.1). When they are a TLS hello, the rules are asked
 * of the name in it. Half-closes are passed on. Owns the outgoing
 * connection; frees itself, and closes its session, when both directions have ended.
 */
#ifndef DEJUNK_PROXY_TUNNEL_H
#define DEJUNK_PROXY_TUNNEL_H

#include "proxy/outgoing.h"
#include "proxy/session.h"

enum { TUNNEL_SNIFF_BYTES = HTTP1_FIRST_LINE_BYTES };

/* What the browser's first bytes are. HTTP only once a whole request line is there. */
enum tunnel_first { FIRST_MORE, FIRST_HTTP, FIRST_TLS, FIRST_OTHER };
enum tunnel_first tunnel_sniff(struct span bytes);

/* Takes the connection over, and the session's streams. `first` are bytes of the origin that were
 * read already; what the browser sent already is in session->early. *scope, taken over: for HTTP,
 * which is looked for then; NULL: it is not. */
void tunnel_start(struct session *session, struct outgoing *outgoing, struct span first,
                  struct scope **scope, uint64_t idle_ms);

/* The session goes away: so does the tunnel, with its outgoing connection. */
void tunnel_let_go(struct tunnel *tunnel, bool reset);

#endif
