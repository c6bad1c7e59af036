#include "io/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>

enum { V4_BITS = 32, V6_BITS = 128, PORT_MAX = 65535 };

/* classes */

struct block {
    uint8_t bytes[16];
    uint8_t bits;
    enum address_class class_of;
};

/* The first that fits counts, so the narrower ones stand first.
 * https://www.iana.org/assignments/iana-ipv4-special-registry (and -ipv6-): what is not globally
 * reachable, and what is but serves nobody's pages (anycast relays inside 192.0.0.0/24). */
static const struct block v4_blocks[] = {
    { { 0 }, 8, ADDRESS_UNSPECIFIED },
    { { 10 }, 8, ADDRESS_PRIVATE },
    { { 100, 64 }, 10, ADDRESS_PRIVATE },
    { { 127 }, 8, ADDRESS_LOOPBACK },
    { { 169, 254 }, 16, ADDRESS_LINK_LOCAL },
    { { 172, 16 }, 12, ADDRESS_PRIVATE },
    { { 192, 0, 0 }, 24, ADDRESS_RESERVED },
    { { 192, 0, 2 }, 24, ADDRESS_RESERVED },   // documentation
    { { 192, 88, 99 }, 24, ADDRESS_RESERVED }, // 6to4 relays, RFC 7526
    { { 192, 168 }, 16, ADDRESS_PRIVATE },
    { { 198, 18 }, 15, ADDRESS_RESERVED },      // benchmarks
    { { 198, 51, 100 }, 24, ADDRESS_RESERVED }, // documentation
    { { 203, 0, 113 }, 24, ADDRESS_RESERVED },  // documentation
    { { 255, 255, 255, 255 }, 32, ADDRESS_MULTICAST },
    { { 224 }, 4, ADDRESS_MULTICAST },
    { { 240 }, 4, ADDRESS_RESERVED },
};

static const struct block v6_blocks[] = {
    { { 0 }, 128, ADDRESS_UNSPECIFIED },
    { { [15] = 1 }, 128, ADDRESS_LOOPBACK },
    { { 0x20, 0x01, 0x00, 0x04, 0x01, 0x12 }, 48, ADDRESS_PUBLIC }, // AS112
    { { 0x20, 0x01, 0x00 }, 23, ADDRESS_RESERVED },                 // protocols, Teredo, ORCHID
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32, ADDRESS_RESERVED },           // documentation
    { { 0x3f, 0xff }, 20, ADDRESS_RESERVED },                       // documentation
    { { 0x20 }, 3, ADDRESS_PUBLIC },
    { { 0xfc }, 7, ADDRESS_PRIVATE },
    { { 0xfe, 0x80 }, 10, ADDRESS_LINK_LOCAL },
    { { 0xfe, 0xc0 }, 10, ADDRESS_PRIVATE }, // site-local, RFC 3879
    { { 0xff }, 8, ADDRESS_MULTICAST },
    { { 0 }, 0, ADDRESS_RESERVED }, // all else was never given out
};

static const char *const class_names[] = {
    [ADDRESS_PUBLIC] = "public",       [ADDRESS_PRIVATE] = "private",
    [ADDRESS_LOOPBACK] = "loopback",   [ADDRESS_LINK_LOCAL] = "link-local",
    [ADDRESS_MULTICAST] = "multicast", [ADDRESS_UNSPECIFIED] = "unspecified",
    [ADDRESS_RESERVED] = "reserved",
};

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static bool is_v4(const struct address *address)
{
    return address->any.sa_family == AF_INET;
}

static bool is_v6(const struct address *address)
{
    return address->any.sa_family == AF_INET6;
}

static const uint8_t *v4_bytes(const struct address *address)
{
    return (const uint8_t *)&address->v4.sin_addr;
}

static const uint8_t *v6_bytes(const struct address *address)
{
    return address->v6.sin6_addr.s6_addr;
}

static struct address v4_address(const uint8_t *bytes, in_port_t network_port)
{
    struct address address = { .v4 = { .sin_family = AF_INET, .sin_port = network_port } };

    memcpy(&address.v4.sin_addr, bytes, 4);
    return address;
}

/* Where IPv4 addresses hide in IPv6 ones. */
static const struct hideout {
    uint8_t bytes[16];
    uint8_t bits, offset; // the address follows `offset` bytes
} hideouts[] = {
    { { [10] = 0xff, [11] = 0xff }, 96, 12 },           // mapped
    { { 0x00, 0x64, 0xff, 0x9b }, 96, 12 },             // NAT64, RFC 6052
    { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48, 12 }, // NAT64, RFC 8215
    { { 0x20, 0x02 }, 16, 2 },                          // 6to4, RFC 3056
};

static const struct hideout *hideout_of(const struct address *address)
{
    if (is_v6(address))
        for (size_t i = 0; i < sizeof hideouts / sizeof *hideouts; i++)
            if (same_bits(v6_bytes(address), hideouts[i].bytes, hideouts[i].bits))
                return &hideouts[i];
    return NULL;
}

struct address address_unwrap(const struct address *address)
{
    const struct hideout *hideout = hideout_of(address);

    if (!hideout)
        return *address;
    return v4_address(v6_bytes(address) + hideout->offset, address->v6.sin6_port);
}

static enum address_class classify_v4(const uint8_t *bytes)
{
    for (size_t i = 0; i < sizeof v4_blocks / sizeof *v4_blocks; i++)
        if (same_bits(bytes, v4_blocks[i].bytes, v4_blocks[i].bits))
            return v4_blocks[i].class_of;
    return ADDRESS_PUBLIC;
}

/* A translator of 64:ff9b:1::/48 may use a prefix of any length (RFC 6052 section 2.2), which the
 * address does not tell. So the answer is the first possible reading that is not public. */
static enum address_class classify_local_nat64(const uint8_t *b)
{
    static const struct {
        uint8_t at[4], end; // where the IPv4 address stands; from `end` on, and at 8, it is zero
    } readings[] = {
        { { 6, 7, 9, 10 }, 11 },    // /48
        { { 7, 9, 10, 11 }, 12 },   // /56
        { { 9, 10, 11, 12 }, 13 },  // /64
        { { 12, 13, 14, 15 }, 16 }, // /96, where 8 may be anything
    };
    static const uint8_t zeros[16];
    bool was_read = false;

    for (size_t i = 0; i < sizeof readings / sizeof *readings; i++) {
        const uint8_t *at = readings[i].at, end = readings[i].end;
        const uint8_t inside[4] = { b[at[0]], b[at[1]], b[at[2]], b[at[3]] };
        enum address_class class_of = classify_v4(inside);

        if (end < 16 && (b[8] != 0 || memcmp(b + end, zeros, 16 - end) != 0))
            continue;
        if (class_of != ADDRESS_PUBLIC && !(was_read && class_of == ADDRESS_UNSPECIFIED))
            return class_of;
        was_read = true;
    }
    return ADDRESS_PUBLIC;
}

enum address_class address_classify(const struct address *address)
{
    const struct hideout *hideout = hideout_of(address);
    struct address inside;

    if (hideout && hideout->bits == 48)
        return classify_local_nat64(v6_bytes(address));
    inside = address_unwrap(address);
    if (is_v4(&inside))
        return classify_v4(v4_bytes(&inside));
    if (is_v6(&inside))
        for (size_t i = 0; i < sizeof v6_blocks / sizeof *v6_blocks; i++)
            if (same_bits(v6_bytes(&inside), v6_blocks[i].bytes, v6_blocks[i].bits))
                return v6_blocks[i].class_of;
    return ADDRESS_RESERVED;
}

const char *address_class_name(enum address_class class_of)
{
    return class_names[class_of];
}

/* parsing */

bool address_parse(struct address *out, struct span text, uint16_t port)
{
    char copy[INET6_ADDRSTRLEN];
    struct address address;
    bool in_brackets = text.size >= 2 && text.at[0] == '[' && text.at[text.size - 1] == ']';

    if (in_brackets)
        text = span_slice(text, 1, text.size - 2);
    if (text.size == 0 || text.size >= sizeof copy || span_find_byte(text, '\0') < text.size)
        return false;
    memcpy(copy, text.at, text.size);
    copy[text.size] = '\0';

    memset(&address, 0, sizeof address);
    if (inet_pton(AF_INET6, copy, &address.v6.sin6_addr) == 1) {
        address.v6.sin6_family = AF_INET6;
        address.v6.sin6_port = htons(port);
    } else if (!in_brackets && inet_pton(AF_INET, copy, &address.v4.sin_addr) == 1) {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = htons(port);
    } else {
        return false;
    }
    *out = address;
    return true;
}

static bool parse_number(struct span text, size_t max_digits, uint64_t max, uint64_t *number)
{
    return text.size <= max_digits && span_to_u64(text, number) && *number <= max;
}

/* Cuts ":..." off the end of an address in text; false when there is none. Without brackets an
 * IPv6 address has no port. */
static bool cut_port(struct span *text, struct span *port)
{
    size_t colon = text->size;

    while (colon > 0 && text->at[colon - 1] != ':' && text->at[colon - 1] != ']')
        colon--;
    if (colon == 0 || text->at[colon - 1] != ':')
        return false;
    colon--;
    if (text->at[0] != '[' && span_find_byte(*text, ':') < colon)
        return false;
    *port = span_from(*text, colon + 1);
    text->size = colon;
    return true;
}

bool address_parse_with_port(struct address *out, struct span text)
{
    struct span port_text;
    uint64_t port;

    if (!cut_port(&text, &port_text) || !parse_number(port_text, 5, PORT_MAX, &port))
        return false;
    return address_parse(out, text, (uint16_t)port);
}

/* printing and comparing */

/* By hand, because it is asked for with every request, and inet_ntop() takes long for it. */
static void v4_text(const uint8_t *bytes, char *to)
{
    for (unsigned i = 0; i < 4; i++) {
        unsigned byte = bytes[i];

        if (byte >= 100)
            *to++ = (char)('0' + byte / 100);
        if (byte >= 10)
            *to++ = (char)('0' + byte / 10 % 10);
        *to++ = (char)('0' + byte % 10);
        *to++ = i < 3 ? '.' : '\0';
    }
}

const char *address_text(const struct address *address, char *to)
{
    if (is_v4(address))
        v4_text(v4_bytes(address), to);
    else if (is_v6(address))
        inet_ntop(AF_INET6, &address->v6.sin6_addr, to, ADDRESS_TEXT_BYTES);
    else
        snprintf(to, ADDRESS_TEXT_BYTES, "unix");
    return to;
}

const char *address_text_with_port(const struct address *address, char *to)
{
    char text[ADDRESS_TEXT_BYTES];

    address_text(address, text);
    if (is_v6(address))
        snprintf(to, ADDRESS_TEXT_BYTES, "[%.45s]:%u", text, address_port(address));
    else if (is_v4(address))
        snprintf(to, ADDRESS_TEXT_BYTES, "%.45s:%u", text, address_port(address));
    else
        snprintf(to, ADDRESS_TEXT_BYTES, "%.45s", text);
    return to;
}

uint16_t address_port(const struct address *address)
{
    if (is_v4(address))
        return ntohs(address->v4.sin_port);
    return is_v6(address) ? ntohs(address->v6.sin6_port) : 0;
}

void address_set_port(struct address *address, uint16_t port)
{
    if (is_v4(address))
        address->v4.sin_port = htons(port);
    else if (is_v6(address))
        address->v6.sin6_port = htons(port);
}

socklen_t address_size(const struct address *address)
{
    return is_v6(address) ? sizeof address->v6 : sizeof address->v4;
}

bool address_equal(const struct address *a, const struct address *b)
{
    if (is_v4(a) && is_v4(b))
        return a->v4.sin_port == b->v4.sin_port && memcmp(v4_bytes(a), v4_bytes(b), 4) == 0;
    return is_v6(a) && is_v6(b) && a->v6.sin6_port == b->v6.sin6_port &&
           a->v6.sin6_scope_id == b->v6.sin6_scope_id && memcmp(v6_bytes(a), v6_bytes(b), 16) == 0;
}

/* ranges */

static bool parse_ports(struct address_range *range, struct span text)
{
    size_t dash = span_find_byte(text, '-');
    uint64_t first, last;

    if (!parse_number(span_slice(text, 0, dash), 5, PORT_MAX, &first))
        return false;
    last = first;
    if (dash < text.size && !parse_number(span_from(text, dash + 1), 5, PORT_MAX, &last))
        return false;
    if (first > last)
        return false;
    range->first_port = (uint16_t)first;
    range->last_port = (uint16_t)last;
    return true;
}

/* A block of IPv6 addresses with one IPv4 block inside becomes that. */
static void unwrap_range(struct address_range *range)
{
    const struct hideout *hideout = hideout_of(&range->base);
    unsigned before = hideout ? hideout->offset * 8u : 0;

    if (!hideout || range->prefix_bits < before)
        return;
    range->base = address_unwrap(&range->base);
    range->prefix_bits = (uint8_t)(range->prefix_bits - before);
    if (range->prefix_bits > V4_BITS)
        range->prefix_bits = V4_BITS;
}

bool address_range_parse(struct address_range *out, struct span text)
{
    struct address_range range = { .first_port = 0, .last_port = PORT_MAX };
    struct span ports, bits = SPAN_NONE;
    size_t slash = span_find_byte(text, '/');
    uint64_t prefix_bits;

    if (slash < text.size) { // "ADDRESS/BITS" or "ADDRESS/BITS:PORTS"
        size_t colon;

        bits = span_from(text, slash + 1);
        text.size = slash;
        colon = span_find_byte(bits, ':');
        if (colon < bits.size && !parse_ports(&range, span_from(bits, colon + 1)))
            return false;
        bits.size = colon;
        if (bits.size == 0)
            return false;
    } else if (cut_port(&text, &ports) && !parse_ports(&range, ports)) {
        return false;
    }

    if (!address_parse(&range.base, text, 0))
        return false;
    prefix_bits = is_v4(&range.base) ? V4_BITS : V6_BITS;
    if (bits.size > 0 && !parse_number(bits, 3, prefix_bits, &prefix_bits))
        return false;
    range.prefix_bits = (uint8_t)prefix_bits;
    unwrap_range(&range);
    *out = range;
    return true;
}

bool address_range_has(const struct address_range *range, const struct address *address)
{
    struct address inside = address_unwrap(address);
    uint16_t port = address_port(&inside);

    if (port < range->first_port || port > range->last_port ||
        inside.any.sa_family != range->base.any.sa_family)
        return false;
    if (is_v4(&inside))
        return same_bits(v4_bytes(&inside), v4_bytes(&range->base), range->prefix_bits);
    return is_v6(&inside) &&
           same_bits(v6_bytes(&inside), v6_bytes(&range->base), range->prefix_bits);
}
