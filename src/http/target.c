#include "http/target.h"

#include <arpa/inet.h>

#include "http/octets.h"

struct authority {
    struct span host; // as it came, without brackets and the dot at the end
    bool is_literal_v4, is_literal_v6, is_rooted;
    bool has_port;
    uint16_t port;
};

/* inet_pton() wants a C string, and would stop at a NUL. */
static bool is_address(int family, struct span text)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (text.size >= sizeof copy || span_find_byte(text, '\0') < text.size)
        return false;
    memcpy(copy, text.at, text.size);
    copy[text.size] = '\0';
    return inet_pton(family, copy, &address) == 1;
}

/* Would a URL parser take a host that ends so for an IPv4 address (WHATWG URL, "ends in a number")?
 */
static bool is_number(struct span label)
{
    if (octets_are(label, OCTET_DIGIT))
        return true;
    return label.size >= 2 && label.at[0] == '0' && (label.at[1] | 0x20) == 'x' &&
           octets_run(span_from(label, 2), OCTET_HEX) == label.size - 2;
}

/* A name as the DNS can have it; numbers only as a plain IPv4 address. */
static const char *check_name(struct authority *authority)
{
    struct span host = authority->host, label;
    size_t start = 0;

    if (octets_run(host, OCTET_HOST) != host.size)
        return "the host has a byte that no host name has";
    if (host.size && host.at[host.size - 1] == '.') {
        authority->is_rooted = true;
        host.size--;
    }
    if (host.size == 0)
        return "the host is empty";
    if (host.size > TARGET_HOST_BYTES)
        return "the host name is too long";
    for (;;) {
        size_t size = span_find_byte(span_from(host, start), '.');

        if (size == 0 || size > TARGET_LABEL_BYTES)
            return "a part of the host name is empty or too long";
        label = span_slice(host, start, size);
        start += size;
        if (start == host.size)
            break;
        start++;
        if (start == host.size)
            return "a part of the host name is empty or too long";
    }
    if (is_number(label)) {
        if (authority->is_rooted || !is_address(AF_INET, host))
            return "the host is a number, but no IPv4 address in four decimal parts";
        authority->is_literal_v4 = true;
    }
    authority->host = host;
    return NULL;
}

static const char *parse_port(struct authority *authority, struct span text)
{
    uint64_t port;

    if (text.size == 0 || text.size > 5 || text.at[0] == '0' || !span_to_u64(text, &port) ||
        port > UINT16_MAX)
        return "the port is not a number from 1 to 65535";
    authority->has_port = true;
    authority->port = (uint16_t)port;
    return NULL;
}

/* host [":" port]; NULL or what is wrong. */
static const char *parse_authority(struct authority *out, struct span text)
{
    struct authority authority = { 0 };
    size_t end;
    const char *wrong;

    if (span_find_byte(text, '@') < text.size)
        return "user names in addresses are not taken";
    if (text.size && text.at[0] == '[') {
        end = span_find_byte(text, ']');
        if (end == text.size)
            return "the IPv6 address is not closed";
        authority.host = span_slice(text, 1, end - 1);
        authority.is_literal_v6 = true;
        if (!is_address(AF_INET6, authority.host))
            return "between the brackets is no IPv6 address";
        end++;
    } else {
        end = span_find_byte(text, ':');
        authority.host = span_slice(text, 0, end);
        wrong = check_name(&authority);
        if (wrong)
            return wrong;
    }
    if (end < text.size) {
        if (text.at[end] != ':')
            return "the host has a byte that no host name has";
        wrong = parse_port(&authority, span_from(text, end + 1));
        if (wrong)
            return wrong;
    }
    *out = authority;
    return NULL;
}

bool target_is_authority(struct span text)
{
    struct authority authority;
    return parse_authority(&authority, text) == NULL;
}

/* Cuts "http://authority" off the front of `rest`. */
static enum error_kind cut_absolute(struct span *rest, enum target_scheme *scheme,
                                    struct span *authority, struct error *error)
{
    size_t end = 0;

    if (span_starts_nocase(*rest, SPAN("http://"))) {
        *scheme = TARGET_HTTP;
        *rest = span_from(*rest, 7);
    } else if (span_starts_nocase(*rest, SPAN("https://"))) {
        *scheme = TARGET_HTTPS;
        *rest = span_from(*rest, 8);
    } else {
        return error_set(error, ERROR_UNSUPPORTED, "only http:// and https:// can be fetched");
    }
    while (end < rest->size && rest->at[end] != '/' && rest->at[end] != '?')
        end++;
    *authority = span_slice(*rest, 0, end);
    *rest = span_from(*rest, end);
    return ERROR_NONE;
}

static bool set_host(struct target *target, const struct authority *authority, struct arena *arena)
{
    char host[TARGET_HOST_BYTES];

    for (size_t i = 0; i < authority->host.size; i++)
        host[i] = ascii_lower(authority->host.at[i]);
    target->host = arena_copy(arena, span_of(host, authority->host.size));
    target->is_literal_v4 = authority->is_literal_v4;
    target->is_literal_v6 = authority->is_literal_v6;
    target->is_rooted = authority->is_rooted;
    target->has_port = authority->has_port;
    return target->host.at != NULL;
}

static bool set_authority(struct target *target, bool shows_port, struct arena *arena)
{
    char port[8], *at = port + sizeof port;
    struct span text = SPAN_NONE;
    unsigned left = target->port;

    if (!target->is_literal_v6 && !target->is_rooted && !shows_port) {
        target->authority = target->host;
        return true;
    }
    while (left) {
        *--at = (char)('0' + left % 10);
        left /= 10;
    }
    *--at = ':';
    if ((target->is_literal_v6 && !arena_extend(arena, &text, SPAN("["))) ||
        !arena_extend(arena, &text, target->host) ||
        (target->is_literal_v6 && !arena_extend(arena, &text, SPAN("]"))) ||
        (target->is_rooted && !arena_extend(arena, &text, SPAN("."))) ||
        (shows_port && !arena_extend(arena, &text, span_of(at, (size_t)(port + sizeof port - at)))))
        return false;
    target->authority = text;
    return true;
}

/* What goes into the request line for the origin. */
static bool set_path(struct target *target, const struct message *message, struct span path)
{
    target->path_and_query = path;
    if (path.size && path.at[0] != '?')
        return true;
    if (path.size == 0) {
        target->path_and_query = message->method == METHOD_OPTIONS ? SPAN("*") : SPAN("/");
        return true;
    }
    target->path_and_query = SPAN_NONE;
    return arena_extend(message->arena, &target->path_and_query, SPAN("/")) &&
           arena_extend(message->arena, &target->path_and_query, path);
}

enum error_kind target_split(struct target *out, const struct message *message, struct error *error)
{
    return target_split_in(out, message, TARGET_HTTP, error);
}

enum error_kind target_split_in(struct target *out, const struct message *message,
                                enum target_scheme scheme, struct error *error)
{
    struct target target = { .scheme = scheme };
    struct span rest = message->target, text = SPAN("");
    struct authority authority;
    uint16_t default_port;
    enum error_kind kind;
    const char *wrong;

    switch (message->target_form) {
    case TARGET_ABSOLUTE:
        kind = cut_absolute(&rest, &target.scheme, &text, error);
        if (kind != ERROR_NONE)
            return kind;
        break;
    case TARGET_AUTHORITY:
        text = rest;
        break;
    case TARGET_ORIGIN:
    case TARGET_ASTERISK:
        if (message_find(message, FIELD_HOST))
            text = message_value(message, FIELD_HOST);
        break;
    }
    if (span_find_byte(rest, '#') < rest.size)
        return error_set(error, ERROR_SYNTAX, "fragments are not sent to servers");
    if (octets_run(rest, OCTET_TARGET) != rest.size)
        return error_set(error, ERROR_SYNTAX, "the target has a blank or a control in it");
    wrong = parse_authority(&authority, text);
    if (wrong)
        return error_set(error, ERROR_SYNTAX, "%s", wrong);
    if (message->target_form == TARGET_AUTHORITY && !authority.has_port)
        return error_set(error, ERROR_SYNTAX, "CONNECT needs a port");

    default_port = target.scheme == TARGET_HTTPS ? 443 : 80;
    target.port = authority.has_port ? authority.port : default_port;
    if (!set_host(&target, &authority, message->arena) ||
        !set_authority(&target,
                       target.port != default_port || message->target_form == TARGET_AUTHORITY,
                       message->arena) ||
        (message->target_form != TARGET_AUTHORITY && !set_path(&target, message, rest)))
        return error_set(error, ERROR_LIMIT, "the request has no room left");
    *out = target;
    return ERROR_NONE;
}
