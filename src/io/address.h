/*
 * address.h - internet and unix addresses: parse, print, compare, classes and ranges.
 *
 * Knows nothing of names or sockets. Plain data, copied freely.
 */
#ifndef DEJUNK_IO_ADDRESS_H
#define DEJUNK_IO_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/error.h"

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
};

/* "127.0.0.1", "::1" or "[::1]" (no port, no zone). Only the strict dotted-quad form of IPv4. */
bool address_parse(struct address *out, struct span text, uint16_t port);
/* "127.0.0.1:8119", "[::1]:8119"; the port is required. */
bool address_parse_with_port(struct address *out, struct span text);
enum { ADDRESS_TEXT_BYTES = 64 };
/* "127.0.0.1" or "::1"; "unix" for other families; returns `to` (ADDRESS_TEXT_BYTES). */
const char *address_text(const struct address *address, char *to);
/* "127.0.0.1:80" or "[::1]:80". */
const char *address_text_with_port(const struct address *address, char *to);
uint16_t address_port(const struct address *address);
void address_set_port(struct address *address, uint16_t port);
socklen_t address_size(const struct address *address);
bool address_equal(const struct address *a, const struct address *b); // with ports

/* The IPv4 address inside an IPv4-mapped, NAT64 (64:ff9b::/96, 64:ff9b:1::/48) or 6to4 address,
 * as an IPv4 address with the same port; else *address itself. In 64:ff9b:1::/48 it is taken from
 * the last four bytes. */
struct address address_unwrap(const struct address *address);

enum address_class {
    ADDRESS_PUBLIC,
    ADDRESS_PRIVATE,     // RFC 1918, 100.64/10, fc00::/7, fec0::/10
    ADDRESS_LOOPBACK,    // 127/8, ::1
    ADDRESS_LINK_LOCAL,  // 169.254/16, fe80::/10
    ADDRESS_MULTICAST,   // 224/4, ff00::/8, broadcast
    ADDRESS_UNSPECIFIED, // 0/8, ::
    ADDRESS_RESERVED,    // 240/4, documentation, discard and other never-routed blocks
};
/* Of the unwrapped address (IANA special-purpose registries). In 64:ff9b:1::/48, where it may
 * stand in several places, the first that is not public decides. */
enum address_class address_classify(const struct address *address);
const char *address_class_name(enum address_class class_of);

struct address_range { // a CIDR block and ports
    struct address base;
    uint8_t prefix_bits;
    uint16_t first_port, last_port; // 0-65535: any
};
/* "10.0.0.0/8", "::1", "127.0.0.0/8:18080", "127.0.0.1:18501-18550", "[::1]:80", "[fd00::]/8:443".
 * Bits of the address behind the prefix do not count. A block of wrapped IPv4 addresses is the
 * block of IPv4 addresses inside. */
bool address_range_parse(struct address_range *out, struct span text);
/* Compares unwrapped addresses. */
bool address_range_has(const struct address_range *range, const struct address *address);

#endif
