#include "proxy/page_links.h"

#include <assert.h>

const bool page_links_wanted[TAGS_COUNT] = {
    [TAG_IMG] = true,   [TAG_SCRIPT] = true, [TAG_IFRAME] = true, [TAG_FRAME] = true,
    [TAG_EMBED] = true, [TAG_OBJECT] = true, [TAG_SOURCE] = true, [TAG_AUDIO] = true,
    [TAG_VIDEO] = true, [TAG_TRACK] = true,  [TAG_INPUT] = true,  [TAG_LINK] = true,
    [TAG_IMAGE] = true, // the parser makes it an img
    [TAG_BASE] = true,  [TAG_META] = true,
};

struct finding {
    const struct token *tag;
    struct page_link *links;
    size_t count;
};

static bool has(const struct token *tag, struct span name)
{
    size_t index;
    return token_find_attribute(tag, name, &index);
}

static struct span value_of(const struct token *tag, struct span name)
{
    size_t index;

    if (!token_find_attribute(tag, name, &index))
        return SPAN_NONE;
    return span_trim(token_attribute_value(tag, index));
}

static void add(struct finding *finding, struct span name, enum page_link_kind kind,
                enum request_type type)
{
    size_t index;

    if (!token_find_attribute(finding->tag, name, &index))
        return;
    assert(finding->count < PAGE_LINKS);
    finding->links[finding->count++] = (struct page_link){ kind, type, index };
}

/* Data blocks and templates are scripts by name only. */
static bool is_fetched_script(const struct token *tag)
{
    static const char *const types[] = { "",
                                         "module",
                                         "text/javascript",
                                         "application/javascript",
                                         "application/x-javascript",
                                         "text/ecmascript",
                                         "application/ecmascript",
                                         "text/jscript" };
    struct span type = value_of(tag, SPAN("type"));

    type.size = type.at ? span_find_byte(type, ';') : 0;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (span_equal_nocase(span_trim(type), span_text(types[i])))
            return true;
    return false;
}

static bool preload_type(struct span as, enum request_type *type)
{
    static const struct {
        const char *as;
        enum request_type type;
    } rows[] = {
        { "script", TYPE_SCRIPT }, { "style", TYPE_STYLESHEET },
        { "image", TYPE_IMAGE },   { "font", TYPE_FONT },
        { "fetch", TYPE_XHR },     { "track", TYPE_OTHER },
        { "audio", TYPE_MEDIA },   { "video", TYPE_MEDIA },
        { "worker", TYPE_SCRIPT }, { "document", TYPE_SUBDOCUMENT },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (span_equal_nocase(as, span_text(rows[i].as))) {
            *type = rows[i].type;
            return true;
        }
    return false;
}

static bool has_word(struct span words, const char *word)
{
    while (words.size) {
        size_t end = 0;
        while (end < words.size && !memchr(" \t\n\r\f", words.at[end], 5))
            end++;
        if (span_equal_nocase(span_slice(words, 0, end), span_text(word)))
            return true;
        words = span_from(words, end + (end < words.size));
    }
    return false;
}

bool page_link_of_rel(struct span rel, struct span as, enum page_link_kind *kind,
                      enum request_type *type)
{
    *kind = PAGE_LINK_ELEMENT;
    *type = TYPE_OTHER;
    if (has_word(rel, "stylesheet")) {
        *type = TYPE_STYLESHEET;
        return !has_word(rel, "alternate");
    }
    if (has_word(rel, "icon"))
        *type = TYPE_IMAGE;
    else if (has_word(rel, "modulepreload"))
        *type = TYPE_SCRIPT;
    else if (has_word(rel, "preload"))
        return preload_type(as, type);
    else if (!has_word(rel, "prefetch")) {
        *kind = PAGE_LINK_HOST;
        return has_word(rel, "preconnect") || has_word(rel, "dns-prefetch");
    }
    return true;
}

static void add_link(struct finding *finding)
{
    struct span rel = value_of(finding->tag, SPAN("rel"));
    enum page_link_kind kind;
    enum request_type type;

    if (!rel.at || !page_link_of_rel(rel, value_of(finding->tag, SPAN("as")), &kind, &type))
        return;
    add(finding, SPAN("href"), kind, type);
    if (type == TYPE_IMAGE && !has_word(rel, "icon"))
        add(finding, SPAN("imagesrcset"), PAGE_LINK_SET, type);
}

size_t page_links_of(const struct token *tag, struct page_link links[PAGE_LINKS])
{
    struct finding finding = { .tag = tag, .links = links };

    switch (tag->tag) {
    case TAG_IMG:
    case TAG_IMAGE:
        add(&finding, SPAN("src"), PAGE_LINK_ELEMENT, TYPE_IMAGE);
        add(&finding, SPAN("srcset"), PAGE_LINK_SET, TYPE_IMAGE);
        break;
    case TAG_SCRIPT:
        if (is_fetched_script(tag))
            add(&finding, SPAN("src"), PAGE_LINK_ELEMENT, TYPE_SCRIPT);
        break;
    case TAG_IFRAME:
        if (!has(tag, SPAN("srcdoc")))
            add(&finding, SPAN("src"), PAGE_LINK_ELEMENT, TYPE_SUBDOCUMENT);
        break;
    case TAG_FRAME:
        add(&finding, SPAN("src"), PAGE_LINK_ELEMENT, TYPE_SUBDOCUMENT);
        break;
    case TAG_EMBED:
        add(&finding, SPAN("src"), PAGE_LINK_ELEMENT, TYPE_OBJECT);
        break;
    case TAG_OBJECT:
        add(&finding, SPAN("data"), PAGE_LINK_ATTRIBUTE, TYPE_OBJECT);
        break;
    case TAG_SOURCE:
        add(&finding, SPAN("src"), PAGE_LINK_ELEMENT, TYPE_MEDIA);
        add(&finding, SPAN("srcset"), PAGE_LINK_SET, TYPE_IMAGE);
        break;
    case TAG_VIDEO:
        add(&finding, SPAN("poster"), PAGE_LINK_ATTRIBUTE, TYPE_IMAGE);
        add(&finding, SPAN("src"), PAGE_LINK_ATTRIBUTE, TYPE_MEDIA);
        break;
    case TAG_AUDIO:
        add(&finding, SPAN("src"), PAGE_LINK_ATTRIBUTE, TYPE_MEDIA);
        break;
    case TAG_TRACK:
        add(&finding, SPAN("src"), PAGE_LINK_ELEMENT, TYPE_OTHER);
        break;
    case TAG_INPUT:
        if (span_equal_nocase(value_of(tag, SPAN("type")), SPAN("image")))
            add(&finding, SPAN("src"), PAGE_LINK_ATTRIBUTE, TYPE_IMAGE);
        break;
    case TAG_LINK:
        add_link(&finding);
        break;
    default:
        break;
    }
    return finding.count;
}

/* ---- URLs ---- */

static bool is_slash(char c)
{
    return c == '/' || c == '\\';
}

/* The size of "scheme:" at the start, or 0. */
static size_t scheme_size(struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = ascii_lower(text.at[i]);
        if (c == ':')
            return i ? i + 1 : 0;
        if (!(c >= 'a' && c <= 'z') &&
            (i == 0 || !((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.')))
            return 0;
    }
    return 0;
}

/* Where the path of an absolute URL begins. */
static size_t path_at(struct span url)
{
    size_t at = span_find(url, SPAN("://"));

    for (at = at < url.size ? at + 3 : url.size; at < url.size; at++)
        if (url.at[at] == '/' || url.at[at] == '?' || url.at[at] == '#')
            break;
    return at;
}

static bool is_line_break(char c)
{
    return c == '\t' || c == '\n' || c == '\r';
}

/* Up to a fragment, as it goes over the wire. */
static bool append_clean(struct buffer *to, struct span text)
{
    bool in_query = false;
    char *at;

    text.size = span_find_byte(text, '#');
    if (!buffer_reserve(to, text.size * 3)) // of each byte at most "%20"
        return false;
    at = to->at + to->size;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.at[i];

        in_query = in_query || c == '?';
        if (c == '\\' && !in_query)
            c = '/';
        if (c == ' ' || c == '"' || c == '<' || c == '>') {
            *at++ = '%';
            *at++ = c == ' ' || c == '"' ? '2' : '3';
            c = c == ' ' ? '0' : c == '"' ? '2' : c == '<' ? 'C' : 'E';
        }
        *at++ = c;
    }
    to->size = (size_t)(at - to->at);
    return true;
}

/* "/a/./b/../c" is "/a/c", from `from` on up to the query. */
static void remove_dots(struct buffer *url, size_t from)
{
    struct span text = span_from(buffer_span(url), from);
    size_t end = span_find_byte(text, '?'), out = from;
    char *at = url->at;

    if (span_find(span_slice(text, 0, end), SPAN("/.")) == end)
        return;
    for (size_t i = from; i < from + end;) {
        size_t next = i + 1;
        struct span segment;

        while (next < from + end && at[next] != '/')
            next++;
        segment = span_of(at + i + 1, next - i - 1); // it begins with a slash
        if (span_equal(segment, SPAN("..")) || span_equal(segment, SPAN("."))) {
            if (segment.size == 2)
                while (out > from && at[--out] != '/')
                    ;
            if (next == from + end)
                at[out++] = '/';
        } else {
            memmove(at + out, at + i, next - i);
            out += next - i;
        }
        i = next;
    }
    memmove(at + out, at + from + end, url->size - from - end);
    url->size -= from + end - out;
}

static bool append_relative(struct buffer *to, struct span base, struct span value)
{
    size_t path = path_at(base), end = path, slash;
    bool fits;

    while (end < base.size && base.at[end] != '?' && base.at[end] != '#')
        end++;
    if (value.size && is_slash(value.at[0])) {
        fits = buffer_append(to, span_slice(base, 0, path));
    } else if (value.size && value.at[0] == '?') {
        fits = buffer_append(to, span_slice(base, 0, end));
    } else {
        for (slash = end; slash > path && base.at[slash - 1] != '/';)
            slash--;
        fits = buffer_append(to, span_slice(base, 0, slash));
        if (slash == path)
            fits = fits && buffer_append(to, SPAN("/"));
    }
    return fits && append_clean(to, value);
}

/* `value` has no controls and spaces at its ends, and no tabs or line ends. */
static bool resolve(struct buffer *to, struct span base, struct span value)
{
    size_t scheme = scheme_size(value), slashes = 0;
    bool fits;

    if (scheme && !span_equal_nocase(span_slice(value, 0, scheme), SPAN("http:")) &&
        !span_equal_nocase(span_slice(value, 0, scheme), SPAN("https:")))
        return false;
    while (scheme + slashes < value.size && is_slash(value.at[scheme + slashes]))
        slashes++;
    if (scheme && slashes == 0 && span_starts_nocase(base, span_slice(value, 0, scheme)))
        value = span_from(value, scheme), scheme = 0; // "https:x.png" is "x.png" there
    to->size = 0;
    if (scheme) {
        fits = buffer_append(to, value.at[4] == ':' ? SPAN("http://") : SPAN("https://")) &&
               append_clean(to, span_from(value, scheme + slashes));
    } else if (slashes >= 2) {
        fits = buffer_append(to, span_slice(base, 0, span_find_byte(base, ':') + 1)) &&
               buffer_append(to, SPAN("//")) && append_clean(to, span_from(value, slashes));
    } else {
        fits = append_relative(to, base, value);
    }
    if (fits)
        remove_dots(to, path_at(buffer_span(to)));
    return fits;
}

bool page_link_resolve(struct buffer *to, struct span base, struct span value)
{
    struct buffer clean = { .limit_bytes = PAGE_URL_BYTES };
    bool is_url;

    while (value.size && (unsigned char)value.at[0] <= ' ')
        value = span_from(value, 1);
    while (value.size && (unsigned char)value.at[value.size - 1] <= ' ')
        value.size--;
    if (value.size > PAGE_URL_BYTES)
        return false;
    for (size_t i = 0; i < value.size; i++) {
        if (!is_line_break(value.at[i]) || !buffer_append(&clean, span_slice(value, 0, i)))
            continue;
        for (; i < value.size; i++)
            if (!is_line_break(value.at[i]))
                (void)buffer_append(&clean, span_slice(value, i, 1)); // shorter than before
        value = buffer_span(&clean);
    }
    is_url = value.size > 0 && value.at[0] != '#' && resolve(to, base, value);
    buffer_release(&clean);
    return is_url;
}

static bool is_space(char c)
{
    return memchr(" \t\n\r\f", c, 5) != NULL;
}

/* HTML section 4.8.4.2.2: the URL ends at white space; a comma at its very end ends the candidate.
 */
bool page_link_next(struct span *set, struct span *url, struct span *candidate)
{
    size_t at = 0, start, depth = 0;

    while (at < set->size && (is_space(set->at[at]) || set->at[at] == ','))
        at++;
    start = at;
    while (at < set->size && !is_space(set->at[at]))
        at++;
    if (at == start)
        return false;
    *url = span_slice(*set, start, at - start);
    if (url->at[url->size - 1] == ',') {
        while (url->size && url->at[url->size - 1] == ',')
            url->size--;
        *candidate = *url;
    } else {
        for (; at < set->size && (depth || set->at[at] != ','); at++)
            depth += (set->at[at] == '(') - (set->at[at] == ')' && depth);
        *candidate = span_slice(*set, start, at - start);
    }
    *set = span_from(*set, at);
    return url->size > 0;
}
