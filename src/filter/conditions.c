#include "filter/conditions.h"

#include <arpa/inet.h>

#include "filter/regex.h"
#include "filter/rule.h"

bool condition_field(struct span written, struct span (*field)(void *owner, struct span name),
                     void *owner)
{
    size_t colon = span_find_byte(written, ':');
    struct span name = span_trim(span_slice(written, 0, colon)), want, have, text;
    unsigned flags;
    bool is_not = false, found;

    if (!field)
        return false;
    have = field(owner, name);
    if (!have.at)
        return false;
    if (colon == written.size)
        return true;
    want = span_trim(span_from(written, colon + 1));
    if (want.size && want.at[0] == '~') {
        is_not = true;
        want = span_from(want, 1);
    }
    if (regex_split(want, &text, &flags)) {
        struct regex_cache *cache = regex_cache_new(1);
        found = regex_find(cache, 0, text, flags | REGEX_NOCASE, have);
        regex_cache_free(&cache);
    } else if (span_find_byte(want, '*') < want.size) {
        found = span_matches_wildcard(have, want);
    } else {
        found = false;
        for (size_t i = 0; i + want.size <= have.size && !found; i++)
            found = span_equal_nocase(span_slice(have, i, want.size), want);
    }
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

static bool is_in_class(const struct address *address, struct span name)
{
    const uint8_t *b = address->bytes;

    if (span_equal(name, SPAN("loopback")))
        return address->size == 4 ? b[0] == 127
                                  : memcmp(b, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16) == 0;
    if (span_equal(name, SPAN("lan")))
        return address->size == 4
                   ? b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) ||
                         (b[0] == 192 && b[1] == 168) || (b[0] == 169 && b[1] == 254)
                   : (b[0] & 0xfe) == 0xfc || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
    return false;
}

bool condition_address(struct span list, struct span text, struct span other)
{
    struct address address = { .size = 0 };
    bool has_with = false, is_not;
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
        if (regex_split(item, &expression, &flags)) {
            struct regex_cache *cache = regex_cache_new(1);
            hit = regex_find(cache, 0, expression, flags | REGEX_NOCASE, text);
            regex_cache_free(&cache);
        } else if (span_find_byte(item, '*') < item.size) {
            hit = span_matches_wildcard(text, item) ||
                  (other.size && span_matches_wildcard(other, item));
        } else {
            hit = (address.size && (in_block(&address, item) || is_in_class(&address, item))) ||
                  (other.size && span_equal_nocase(other, item));
        }
        if (hit && is_not)
            return false;
        if (hit)
            return true;
        has_with = has_with || !is_not;
    }
    return !has_with;
}
