/*
 * destination.h - where a request may go, decided on the resolved address and port.
 *
 * Asked again for every address of every connection, so that a name that changes its mind (DNS
 * rebinding) gains nothing. Loopback, link-local, multicast, unspecified and reserved addresses
 * and our own listeners are refused; private addresses are for literals and local names. What the
 * config allows lifts a refusal, except that of our own listeners. Each refusal's text names the
 * one config line that would allow it.
 */
#ifndef DEJUNK_PROXY_DESTINATION_H
#define DEJUNK_PROXY_DESTINATION_H

#include "proxy/settings.h"

struct destination {
    struct span host; // lower case, without brackets and the dot at the end
    uint16_t port;
    bool is_literal; // an address, not a name
    bool is_rooted;  // a name with a dot at its end: no search domains
};

/* Ports first, before anything is resolved: CONNECT goes to connect_ports or an allowed range,
 * plain requests go anywhere but to ports of other protocols (WHATWG Fetch "bad port"). */
enum error_kind destination_check_port(const struct settings *settings,
                                       const struct destination *to, bool is_connect,
                                       struct error *error);

/* `own` are the addresses that we listen on. */
enum error_kind destination_check_address(const struct settings *settings,
                                          const struct destination *to,
                                          const struct address *address, const struct address *own,
                                          size_t own_count, struct error *error);

/* Single labels and .local .lan .home.arpa .internal .intranet .private .home .corp. */
bool destination_is_local_name(struct span host);

#endif
