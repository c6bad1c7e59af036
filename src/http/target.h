/*
 * target.h - where a request wants to go: its target split strictly into host, port and path.
 *
 * What browsers send is passed on byte for byte; what two programs could read differently
 * (userinfo, odd bytes or escapes in the host, ports that are no plain number, fragments, numbers
 * that only some read as addresses) is refused. Knows nothing of which places are allowed. All
 * spans live as long as the message's arena.
 */
#ifndef DEJUNK_HTTP_TARGET_H
#define DEJUNK_HTTP_TARGET_H

#include "http/message.h"

enum target_scheme { TARGET_HTTP, TARGET_HTTPS };

struct target {
    enum target_scheme scheme;  // http where the target has none: CONNECT, origin-form
    struct span host;           // lower case, no brackets, no dot at the end
    bool is_literal_v4;         // host is an IPv4 address in four decimal parts
    bool is_literal_v6;         // host is an IPv6 address
    bool is_rooted;             // a dot at the end was there: no search domains
    bool has_port;              // it was given, not the scheme's default
    uint16_t port;              // 1 to 65535
    struct span path_and_query; // as it came, "/" before an empty path; "*" for OPTIONS of the
                                // whole server; SPAN_NONE for CONNECT
    struct span authority;      // for Host: "host", "host:port", with brackets and the dot;
                                // without the scheme's default port, but CONNECT keeps its own
};

static inline bool target_is_literal(const struct target *target)
{
    return target->is_literal_v4 || target->is_literal_v6;
}

enum { TARGET_HOST_BYTES = 253, TARGET_LABEL_BYTES = 63 };

/* Splits the message's target; origin-form and asterisk-form take host and port from the Host
 * field. ERROR_SYNTAX: it breaks the grammar (400). ERROR_UNSUPPORTED: a scheme other than http
 * and https (400). ERROR_LIMIT: the arena is full. *out is unchanged on failure. */
enum error_kind target_split(struct target *out, const struct message *message,
                             struct error *error);
/* The same for a request inside of something of this scheme, which a target that has none takes. */
enum error_kind target_split_in(struct target *out, const struct message *message,
                                enum target_scheme scheme, struct error *error);

/* Is it host [":" port], as in a Host field? Strict as above. */
bool target_is_authority(struct span text);

#endif
