/*
 * parent.h - asking a parent proxy for a connection to somewhere else: SOCKS5 or HTTP CONNECT.
 *
 * Bytes in, bytes out; knows nothing of sockets. SOCKS5 is RFC 1928 with the login of RFC 1929,
 * names resolved by the parent. HTTP parents are asked by CONNECT (RFC 9110 section 9.3.6) only
 * for tunnels; plain requests go to them in absolute-form and need no talk.
 */
#ifndef DEJUNK_PROXY_PARENT_H
#define DEJUNK_PROXY_PARENT_H

#include "proxy/settings.h"

enum { PARENT_ANSWER_BYTES = 16 * 1024 };

enum parent_step {
    PARENT_GREETING, // SOCKS5: methods sent
    PARENT_LOGIN,    // SOCKS5: user and password sent
    PARENT_REQUEST,  // the destination sent
    PARENT_DONE,
};

struct parent_talk {
    const struct parent *parent; // borrowed
    struct span host;            // borrowed
    uint16_t port;
    enum parent_step step;
    struct buffer out;    // bytes to send now; emptied by the caller
    struct buffer answer; // what came so far of the answer under way
};

/* Fills talk->out with the first message. */
void parent_talk_init(struct parent_talk *talk, const struct parent *parent, struct span host,
                      uint16_t port);
void parent_talk_done(struct parent_talk *talk);

/* Feeds what the parent sent. Afterwards: an error (refused, syntax, limit); or step is
 * PARENT_DONE and what came behind the answer is left in talk->answer; or there may be more in
 * talk->out, and more is awaited. */
enum error_kind parent_talk_feed(struct parent_talk *talk, struct span bytes, struct error *error);

#endif
