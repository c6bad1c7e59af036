#include "proxy/place.h"

#include <stdlib.h>

#include "base/url.h"
#include "http/octets.h"

struct parts { // of a reference, RFC 3986 section 3; .at NULL: it is not there
    struct span scheme, authority, path, query;
};

static struct parts cut(struct span text)
{
    struct parts parts = { .path = text };
    size_t end = 0;

    while (end < text.size && !strchr(":/?", text.at[end]))
        end++;
    if (end && end < text.size && text.at[end] == ':' && octet_is(text.at[0], OCTET_ALPHA)) {
        parts.scheme = span_slice(text, 0, end);
        text = span_from(text, end + 1);
    }
    if (span_starts(text, SPAN("//"))) {
        text = span_from(text, 2);
        for (end = 0; end < text.size && text.at[end] != '/' && text.at[end] != '?';)
            end++;
        parts.authority = span_slice(text, 0, end);
        text = span_from(text, end);
    }
    end = span_find_byte(text, '?');
    parts.path = span_slice(text, 0, end);
    if (end < text.size)
        parts.query = span_from(text, end + 1);
    return parts;
}

/* RFC 3986 section 5.2.4, in place: `path` begins with a slash. Returns the new size. */
static size_t remove_dots(char *path, size_t size)
{
    size_t from = 0, to = 0;

    while (from < size) {
        size_t end = from + 1;
        struct span segment;
        bool is_last;

        while (end < size && path[end] != '/')
            end++;
        is_last = end == size;
        segment = span_of(path + from + 1, end - from - 1);
        if (span_equal(segment, SPAN(".."))) {
            while (to && path[--to] != '/')
                ;
        } else if (!span_equal(segment, SPAN("."))) {
            memmove(path + to, path + from, end - from);
            to += end - from;
            from = end;
            continue;
        }
        if (is_last)
            path[to++] = '/';
        from = end;
    }
    return to;
}

/* Browsers encode these, and no request line has them (WHATWG URL, query percent-encode set). */
static bool must_be_encoded(char c)
{
    return (unsigned char)c <= ' ' || (unsigned char)c >= 0x7f || c == '"' || c == '<' || c == '>';
}

static bool append_encoded(struct buffer *to, struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        bool fits = must_be_encoded(text.at[i])
                        ? buffer_printf(to, "%%%02X", (unsigned char)text.at[i])
                        : buffer_append(to, span_slice(text, i, 1));
        if (!fits)
            return false;
    }
    return true;
}

/* The path and query of `text`, on the way from `base` (may be NULL). */
static bool append_path(struct buffer *to, const struct parts *parts, const struct parts *base)
{
    size_t at = to->size, before;
    struct span query = parts->query;

    if (base && parts->path.size == 0) {
        if (!buffer_append(to, base->path))
            return false;
        if (!query.at)
            query = base->query;
    } else if (base && parts->path.at[0] != '/') {
        for (before = base->path.size; before && base->path.at[before - 1] != '/';)
            before--;
        if (!buffer_append(to, span_slice(base->path, 0, before)))
            return false;
    }
    if (to->size == at && !span_starts(parts->path, SPAN("/")) && !buffer_append(to, SPAN("/")))
        return false;
    if (!append_encoded(to, parts->path))
        return false;
    to->size = at + remove_dots(to->at + at, to->size - at);
    return !query.at || (buffer_append(to, SPAN("?")) && append_encoded(to, query));
}

static bool append_authority(struct buffer *to, struct span authority)
{
    size_t end =
        authority.size && authority.at[0] == '[' ? authority.size : span_find_byte(authority, ':');
    struct span host = span_slice(authority, 0, end);
    char lower[URL_HOST_LIMIT], ascii[URL_HOST_LIMIT];
    bool is_ascii = true;

    if (authority.size == 0)
        return true; // which is refused when it is split
    for (size_t i = 0; i < host.size; i++)
        is_ascii = is_ascii && (unsigned char)host.at[i] < 0x80;
    if (!is_ascii && host.size <= sizeof lower) {
        for (size_t i = 0; i < host.size; i++)
            lower[i] = ascii_lower(host.at[i]);
        host = span_of(ascii, url_host_to_ascii(span_of(lower, host.size), ascii, sizeof ascii));
    }
    return buffer_append(to, host) && buffer_append(to, span_from(authority, end));
}

static struct span basic(struct arena *arena, struct span user)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *plain = arena_alloc(arena, user.size + 1);
    struct span out = arena_printf(arena, "Basic %*s", (int)((user.size + 3) / 3 * 4), "");
    size_t size, to = 6;

    if (!plain || !out.at)
        return SPAN_NONE;
    memcpy(plain, user.at, user.size);
    size = url_decode(span_of(plain, user.size), plain);
    for (size_t i = 0; i < size; i += 3) {
        unsigned bits = (unsigned)(unsigned char)plain[i] << 16;
        if (i + 1 < size)
            bits |= (unsigned)(unsigned char)plain[i + 1] << 8;
        if (i + 2 < size)
            bits |= (unsigned)(unsigned char)plain[i + 2];
        ((char *)out.at)[to++] = digits[bits >> 18];
        ((char *)out.at)[to++] = digits[bits >> 12 & 63];
        ((char *)out.at)[to++] = i + 1 < size ? digits[bits >> 6 & 63] : '=';
        ((char *)out.at)[to++] = i + 2 < size ? digits[bits & 63] : '=';
    }
    out.size = to;
    return out;
}

static size_t find_last(struct span text, char byte)
{
    size_t at = text.size;

    while (at && text.at[at - 1] != byte)
        at--;
    return at ? at - 1 : text.size;
}

static enum error_kind split(struct place *place, struct arena *arena, struct error *error)
{
    struct message message;
    enum error_kind kind;

    message_init(&message, arena, true);
    message.target = place->url;
    message.target_form = TARGET_ABSOLUTE;
    kind = target_split(&place->target, &message, error);
    return kind;
}

static enum error_kind resolve(struct place *out, struct arena *arena, struct span text,
                               const struct place *base, struct buffer *url, struct error *error)
{
    struct place place = { .authorization = SPAN_NONE };
    struct parts parts = cut(text), of_base = { 0 };
    size_t at_sign;
    enum error_kind kind;

    if (base)
        of_base = cut(base->url);
    if (parts.scheme.at && !span_equal_nocase(parts.scheme, SPAN("http")) &&
        !span_equal_nocase(parts.scheme, SPAN("https")))
        return error_set(error, ERROR_UNSUPPORTED, "only http:// and https:// can be fetched");
    if (parts.scheme.at && !parts.authority.at)
        return error_set(error, ERROR_SYNTAX, "behind the scheme is no //host");
    at_sign = find_last(parts.authority, '@');
    if (!base && at_sign < parts.authority.size) {
        place.authorization = basic(arena, span_slice(parts.authority, 0, at_sign));
        parts.authority = span_from(parts.authority, at_sign + 1);
    }
    if (!buffer_printf(
            url, "%s://",
            span_equal_nocase(parts.scheme.at ? parts.scheme : of_base.scheme, SPAN("https"))
                ? "https"
                : "http") ||
        !append_authority(url, parts.authority.at ? parts.authority : of_base.authority) ||
        !append_path(url, &parts, parts.authority.at ? NULL : &of_base))
        return error_set(error, ERROR_LIMIT, "the URL is longer than %d bytes", PLACE_URL_BYTES);
    place.url = arena_copy(arena, buffer_span(url));
    if (!place.url.at)
        return error_set(error, ERROR_LIMIT, "the URL has no room left");
    kind = split(&place, arena, error);
    if (kind == ERROR_NONE)
        *out = place;
    return kind;
}

enum error_kind place_read(struct place *out, struct arena *arena, struct span text,
                           const struct place *base, struct error *error)
{
    struct buffer url = { .limit_bytes = PLACE_URL_BYTES },
                  given = { .limit_bytes = PLACE_URL_BYTES };
    enum error_kind kind;

    text = span_trim(text);
    text.size = span_find_byte(text, '#');
    if (text.size > PLACE_URL_BYTES - 8)
        return error_set(error, ERROR_LIMIT, "the URL is longer than %d bytes",
                         PLACE_URL_BYTES - 8);
    if (!base && text.size == 0)
        return error_set(error, ERROR_SYNTAX, "the URL is empty");
    if (!base && !(cut(text).scheme.at && cut(text).authority.at)) {
        (void)(buffer_append(&given, SPAN("http://")) && buffer_append(&given, text));
        text = buffer_span(&given);
    }
    kind = resolve(out, arena, text, base, &url, error);
    buffer_release(&url);
    buffer_release(&given);
    return kind;
}

bool place_same_origin(const struct place *a, const struct place *b)
{
    return a->target.scheme == b->target.scheme && a->target.port == b->target.port &&
           span_equal(a->target.host, b->target.host);
}
