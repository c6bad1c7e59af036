#include "filter/conditions.h"

#include <arpa/inet.h>

#include "filter/expressions.h"
#include "filter/regex.h"
#include "filter/rule.h"

/* Is the pattern, with '*' and '?', anywhere in the text? */
static bool holds_pattern(struct span text, struct span pattern)
{
    size_t t = 0, p = 0, again_p = 0, again_t = 0; // from where to go on where it does not fit

    while (p < pattern.size) {
        if (pattern.at[p] == '*') {
            again_p = ++p;
            again_t = t;
        } else if (t == text.size) {
            return false;
        } else if (pattern.at[p] == '?' || ascii_lower(pattern.at[p]) == ascii_lower(text.at[t])) {
            p++;
            t++;
        } else {
            p = again_p;
            t = ++again_t;
        }
    }
    return true;
}

bool condition_field(struct expressions *expressions, struct span written,
                     condition_value *value_of, void *owner)
{
    size_t colon = span_find_byte(written, ':');
    struct span name = span_trim(span_slice(written, 0, colon)), have, want, text;
    bool is_not, is_regex, found = false;
    unsigned flags;

    if (!value_of)
        return false;
    have = value_of(owner, name, 0);
    if (!have.at || colon == written.size)
        return have.at != NULL;
    want = span_trim(span_from(written, colon + 1));
    is_not = want.size && want.at[0] == '~';
    want = span_from(want, is_not);
    is_regex = regex_split(want, &text, &flags);
    for (unsigned i = 1; have.at && !found; have = value_of(owner, name, i++))
        found = is_regex ? expressions_find(expressions, want, have) : holds_pattern(have, want);
    return found != is_not;
}

/* An address as four or sixteen bytes. */
struct address {
    uint8_t bytes[16];
    unsigned size;
};

static bool read_address(struct address *out, struct span text)
{
    char room[64];

    if (text.size > 1 && text.at[0] == '[' && text.at[text.size - 1] == ']')
        text = span_slice(text, 1, text.size - 2);
    text.size = span_find_byte(text, '%');
    if (text.size == 0 || text.size >= sizeof room)
        return false;
    memcpy(room, text.at, text.size);
    room[text.size] = 0;
    if (inet_pton(AF_INET, room, out->bytes) == 1) {
        out->size = 4;
        return true;
    }
    if (inet_pton(AF_INET6, room, out->bytes) != 1)
        return false;
    out->size = 16;
    if (memcmp(out->bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0) { // an IPv4 address inside
        memmove(out->bytes, out->bytes + 12, 4);
        out->size = 4;
    }
    return true;
}

static bool in_block(const struct address *address, struct span written)
{
    size_t slash = span_find_byte(written, '/');
    struct address block;
    uint64_t bits;

    if (!read_address(&block, span_slice(written, 0, slash)) || block.size != address->size)
        return false;
    bits = block.size * 8u;
    if (slash < written.size &&
        (!span_to_u64(span_from(written, slash + 1), &bits) || bits > block.size * 8u))
        return false;
    if (memcmp(block.bytes, address->bytes, bits / 8) != 0)
        return false;
    return bits % 8 == 0 ||
           (block.bytes[bits / 8] ^ address->bytes[bits / 8]) >> (8 - bits % 8) == 0;
}

/* As uBlock Origin's "lan": what is of this machine counts, too. */
static bool is_in_class(const struct address *address, struct span name)
{
    static const char *const lan[] = { "0.0.0.0/8",      "10.0.0.0/8",    "127.0.0.0/8",
                                       "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
                                       "::/127",         "fc00::/7",      "fe80::/10" };
    static const char *const loopback[] = { "127.0.0.0/8", "::1" };

    if (span_equal(name, SPAN("lan")))
        for (size_t i = 0; i < sizeof lan / sizeof *lan; i++)
            if (in_block(address, span_text(lan[i])))
                return true;
    if (span_equal(name, SPAN("loopback")))
        for (size_t i = 0; i < sizeof loopback / sizeof *loopback; i++)
            if (in_block(address, span_text(loopback[i])))
                return true;
    return false;
}

/* Are they the same, without case, but for a '\\' in front of a byte that is taken as it is? */
static bool is_name(struct span name, struct span written)
{
    size_t i = 0;

    for (size_t k = 0; k < written.size; k++, i++) {
        if (written.at[k] == '\\' && k + 1 < written.size)
            k++;
        if (i >= name.size || ascii_lower(name.at[i]) != ascii_lower(written.at[k]))
            return false;
    }
    return i == name.size;
}

bool condition_address(struct expressions *expressions, struct span list, struct span text,
                       struct span other)
{
    struct address address = { .size = 0 };
    bool has_with = false, is_with = false, is_not;
    struct span item, expression;
    unsigned flags;

    if (text.size == 0 && other.size == 0)
        return false;
    if (text.size && !read_address(&address, text))
        address.size = 0;
    while (rule_next_name(&list, &item, &is_not)) {
        bool hit;

        if (item.size > 1 && (item.at[0] == '\'' || item.at[0] == '"') &&
            item.at[item.size - 1] == item.at[0])
            item = span_slice(item, 1, item.size - 2);
        if (regex_split(item, &expression, &flags))
            hit = expressions_find(expressions, item, text);
        else if (span_find_byte(item, '*') < item.size)
            hit = span_matches_wildcard(text, item) ||
                  (other.size && span_matches_wildcard(other, item));
        else
            hit = (address.size && (in_block(&address, item) || is_in_class(&address, item))) ||
                  (other.size && is_name(other, item));
        if (hit && is_not)
            return false;
        is_with = is_with || hit;
        has_with = has_with || !is_not;
    }
    return is_with || !has_with;
}
