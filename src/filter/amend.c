#include "filter/amend.h"

#include <stdlib.h>

#include "base/url.h"
#include "filter/expressions.h"

enum {
    PARAMETERS = 1024, // of a URL; what is behind them is one piece, which no name is found in
    STEPS = 16,
};

struct amender {
    struct expressions *expressions;
};

struct amender *amender_new(void)
{
    struct amender *amender = calloc(1, sizeof *amender);

    if (!amender)
        abort(); // out of memory
    amender->expressions = expressions_new();
    return amender;
}

void amender_free(struct amender **amender)
{
    if (!*amender)
        return;
    expressions_free(&(*amender)->expressions);
    free(*amender);
    *amender = NULL;
}

struct expressions *amender_expressions(struct amender *amender)
{
    return amender->expressions;
}

bool amend_matches(struct amender *amender, struct span expression, struct span text)
{
    return expressions_find(amender->expressions, expression, text);
}

static bool is_expression(struct span value)
{
    return value.size > 1 && value.at[0] == '/';
}

static bool is_web_url(struct span url)
{
    for (size_t i = 0; i < url.size; i++)
        if ((unsigned char)url.at[i] <= ' ' || url.at[i] == 0x7f)
            return false;
    return (span_starts_nocase(url, SPAN("http://")) && url.size > 7) ||
           (span_starts_nocase(url, SPAN("https://")) && url.size > 8);
}

/* ---- parameters ---- */

/* Is the expression found in "name=value", as it stands in the query or with its escapes undone? */
static bool finds_parameter(struct amender *amender, struct span expression, struct span parameter)
{
    struct buffer decoded = { .limit_bytes = AMEND_URL_BYTES };
    bool found = amend_matches(amender, expression, parameter);

    if (!found && span_find_byte(parameter, '%') < parameter.size &&
        buffer_append(&decoded, parameter))
        found = amend_matches(amender, expression,
                              span_of(decoded.at, url_decode(parameter, decoded.at)));
    buffer_release(&decoded);
    return found;
}

/* Does a removeparam value name this "name=value" of a query? */
static bool names_parameter(struct amender *amender, struct span value, struct span parameter)
{
    bool inverted = value.size && value.at[0] == '~', found;

    if (value.size == 0)
        return true;
    if (inverted)
        value = span_from(value, 1);
    if (is_expression(value))
        found = finds_parameter(amender, value, parameter);
    else
        found = span_equal(span_slice(parameter, 0, span_find_byte(parameter, '=')), value);
    return found != inverted;
}

static bool remove_parameters(struct amender *amender, struct span value, struct buffer *url)
{
    struct span whole = buffer_span(url);
    size_t hash = span_find_byte(whole, '#');
    size_t mark = span_find_byte(span_slice(whole, 0, hash), '?');
    struct buffer kept = { .limit_bytes = AMEND_URL_BYTES };
    struct span query;
    bool changed = false, first = true, ok = true;

    if (mark == hash)
        return false;
    query = span_slice(whole, mark + 1, hash - mark - 1);
    ok = buffer_append(&kept, span_slice(whole, 0, mark));
    for (size_t at = 0, number = 1; at <= query.size; number++) {
        struct span rest = span_from(query, at);
        bool is_asked = number <= PARAMETERS || value.size == 0;
        size_t size = number <= PARAMETERS ? span_find_byte(rest, '&') : rest.size;
        struct span parameter = span_slice(rest, 0, size);

        at += size + 1;
        if (parameter.size && is_asked && names_parameter(amender, value, parameter)) {
            changed = true;
            continue;
        }
        ok = ok && buffer_append(&kept, first ? SPAN("?") : SPAN("&")) &&
             buffer_append(&kept, parameter);
        first = false;
    }
    ok = ok && buffer_append(&kept, span_from(whole, hash));
    if (changed && ok) {
        buffer_release(url);
        *url = kept;
        return true;
    }
    buffer_release(&kept);
    return false;
}

/* Done to path, query and fragment; to all of the URL where the expression begins with "^http" or
 * is empty: then it is the rule's own, which the compiler put behind a NUL. */
static bool transform(struct amender *amender, struct span value, struct buffer *url)
{
    struct span whole = buffer_span(url), own = SPAN_NONE;
    size_t scheme = span_find(whole, SPAN("://")), nul = span_find_byte(value, '\0'), start = 0;
    struct buffer made = { .limit_bytes = AMEND_URL_BYTES };
    struct replacement parts;
    bool changed = false;

    if (nul < value.size)
        own = span_from(value, nul + 1);
    if (scheme == whole.size || !replacement_split(&parts, span_slice(value, 0, nul)))
        return false;
    if (parts.expression.size == 0)
        parts.expression = own;
    else if (!span_starts(parts.expression, SPAN("^http")))
        start = scheme + 3 + span_find_byte(span_from(whole, scheme + 3), '/');
    if (expressions_replace(amender->expressions, &parts, span_from(whole, start), &made) ==
        REPLACE_DONE) {
        struct buffer next = { .limit_bytes = AMEND_URL_BYTES };

        changed = buffer_append(&next, span_slice(whole, 0, start)) &&
                  buffer_append(&next, buffer_span(&made)) &&
                  (start ? made.size && made.at[0] == '/' : is_web_url(buffer_span(&next)));
        if (changed) {
            buffer_release(url);
            *url = next;
        } else {
            buffer_release(&next);
        }
    }
    buffer_release(&made);
    return changed;
}

bool amend_url(struct amender *amender, struct span url, const struct directive *directives,
               size_t count, struct buffer *out)
{
    bool changed = false;

    out->limit_bytes = AMEND_URL_BYTES;
    if (!buffer_append(out, url))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (directives[i].kind == DIRECTIVE_REMOVEPARAM)
            changed |= remove_parameters(amender, directives[i].value, out);
        else if (directives[i].kind == DIRECTIVE_URITRANSFORM)
            changed |= transform(amender, directives[i].value, out);
    }
    if (!changed)
        buffer_release(out);
    return changed;
}

/* ---- skipping ---- */

static void decode_percent(struct buffer *text)
{
    text->size = url_decode(buffer_span(text), text->at);
}

/* Standard and URL-safe alphabets, padded or not. False: it is not base64. */
static bool decode_base64(struct buffer *text)
{
    uint32_t bits = 0;
    size_t to = 0, have = 0;

    for (size_t i = 0; i < text->size; i++) {
        char c = text->at[i];
        int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                    : c >= 'a' && c <= 'z' ? c - 'a' + 26
                    : c >= '0' && c <= '9' ? c - '0' + 52
                    : c == '+' || c == '-' ? 62
                    : c == '/' || c == '_' ? 63
                                           : -1;
        if (c == '=')
            break;
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        have += 6;
        if (have >= 8) {
            have -= 8;
            text->at[to++] = (char)(bits >> have);
        }
    }
    text->size = to;
    return to > 0;
}

static bool set(struct buffer *text, struct span to)
{
    struct buffer copy = { .limit_bytes = AMEND_URL_BYTES };
    bool ok = buffer_append(&copy, to);

    buffer_release(text);
    *text = copy;
    return ok && to.size > 0;
}

static struct span query_of(struct span url)
{
    size_t hash = span_find_byte(url, '#');
    size_t mark = span_find_byte(span_slice(url, 0, hash), '?');

    return mark < hash ? span_slice(url, mark + 1, hash - mark - 1) : SPAN_NONE;
}

/* The value of the named parameter, or with index > 0 the name of that one. */
static bool take_parameter(struct buffer *text, struct span name, uint64_t index)
{
    struct span query = query_of(buffer_span(text));

    for (uint64_t i = 1; query.size && i <= PARAMETERS; i++) {
        size_t size = span_find_byte(query, '&');
        struct span parameter = span_slice(query, 0, size);
        size_t equals = span_find_byte(parameter, '=');

        if (index ? i == index : span_equal(span_slice(parameter, 0, equals), name)) {
            struct span found =
                index ? span_slice(parameter, 0, equals)
                      : span_from(parameter, equals < parameter.size ? equals + 1 : equals);
            if (!set(text, found))
                return false;
            decode_percent(text);
            return true;
        }
        query = span_from(query, size < query.size ? size + 1 : size);
    }
    return false;
}

static bool take_group(struct amender *amender, struct buffer *text, struct span written)
{
    struct span group;

    return expressions_group(amender->expressions, written, buffer_span(text), &group) &&
           set(text, group);
}

/* "+https": whatever the scheme was, or none. */
static bool make_secure(struct buffer *text)
{
    struct span whole = buffer_span(text);
    struct buffer secure = { .limit_bytes = AMEND_URL_BYTES };
    bool ok;

    if (span_starts_nocase(whole, SPAN("https://")))
        return true;
    if (span_starts_nocase(whole, SPAN("http://")))
        whole = span_from(whole, 7);
    else if (span_find(whole, SPAN("://")) < whole.size)
        return false;
    ok = buffer_append(&secure, SPAN("https://")) && buffer_append(&secure, whole);
    buffer_release(text);
    *text = secure;
    return ok;
}

static bool step(struct amender *amender, struct buffer *text, struct span word)
{
    struct span whole = buffer_span(text);
    uint64_t index;

    switch (word.at[0]) {
    case '?':
        return take_parameter(text, span_from(word, 1), 0);
    case '&':
        return span_to_u64(span_from(word, 1), &index) && index > 0 &&
               take_parameter(text, SPAN_NONE, index);
    case '#': {
        size_t hash = span_find_byte(whole, '#');
        return hash < whole.size && set(text, span_from(whole, hash + 1));
    }
    case '/':
        return take_group(amender, text, word);
    case '+':
        return span_equal(word, SPAN("+https")) && make_secure(text);
    case '-':
        if (span_equal(word, SPAN("-base64")) || span_equal(word, SPAN("-safebase64")))
            return decode_base64(text);
        if (span_equal(word, SPAN("-uricomponent"))) {
            decode_percent(text);
            return true;
        }
        return span_equal(word, SPAN("-blocked")); // says when, not what
    default:
        return false;
    }
}

static struct span next_step(struct span *steps)
{
    struct span word;

    *steps = span_trim(*steps);
    word = span_slice(*steps, 0, span_find_byte(*steps, ' '));
    *steps = span_from(*steps, word.size);
    return word;
}

bool amend_skip(struct amender *amender, struct span url, struct span steps, bool is_blocked,
                struct buffer *out)
{
    struct span word;
    bool ok = true;

    out->limit_bytes = AMEND_URL_BYTES;
    ok = buffer_append(out, url);
    for (int i = 0; ok && i < STEPS && (word = next_step(&steps)).size; i++) {
        ok = step(amender, out, word);
        is_blocked = is_blocked && !span_equal(word, SPAN("-blocked"));
    }
    if (ok && !is_blocked && is_web_url(buffer_span(out)) && !span_equal(buffer_span(out), url))
        return true;
    buffer_release(out);
    return false;
}

bool amend_skip_is_good(struct span steps)
{
    static const char *const words[] = { "#",           "+https",        "-base64",
                                         "-safebase64", "-uricomponent", "-blocked" };
    size_t count = 0;

    for (struct span word; (word = next_step(&steps)).size; count++) {
        bool is_good = word.at[0] == '?'   ? word.size > 1
                       : word.at[0] == '/' ? expression_is_good(word)
                                           : false;
        uint64_t index;

        if (word.at[0] == '&')
            is_good = span_to_u64(span_from(word, 1), &index) && index > 0;
        for (size_t i = 0; i < sizeof words / sizeof *words && !is_good; i++)
            is_good = span_equal(word, span_text(words[i]));
        if (!is_good)
            return false;
    }
    return count > 0 && count <= STEPS;
}

/* ---- cookies and headers ---- */

static struct span cookie_part(struct span value)
{
    size_t end = 0;

    while (end < value.size) {
        struct span rest = span_from(value, end);
        // A regular expression may hold semicolons.
        if (rest.at[0] == ';' &&
            (!is_expression(value) || span_starts_nocase(rest, SPAN(";maxAge=")) ||
             span_starts_nocase(rest, SPAN(";sameSite="))))
            break;
        end++;
    }
    return span_slice(value, 0, end);
}

bool amend_names_cookie(struct amender *amender, struct span value, struct span cookie_name)
{
    struct span part = cookie_part(value);

    if (part.size == 0)
        return true;
    return is_expression(part) ? amend_matches(amender, part, cookie_name)
                               : span_equal(part, cookie_name);
}

/* Takes ";name=value" off the start of `rest`. False: it is no change that there is. */
static bool next_change(struct span *rest, struct cookie_change *change)
{
    struct span part = span_from(*rest, 1), value;

    part.size = span_find_byte(part, ';');
    *rest = span_from(*rest, 1 + part.size);
    part = span_trim(part);
    if (span_starts_nocase(part, SPAN("maxAge=")))
        return change->has_max_age = span_to_u64(span_from(part, 7), &change->max_age_s);
    if (!span_starts_nocase(part, SPAN("sameSite=")))
        return false;
    value = span_from(part, 9);
    if (!span_equal_nocase(value, SPAN("lax")) && !span_equal_nocase(value, SPAN("strict")) &&
        !span_equal_nocase(value, SPAN("none")))
        return false;
    change->same_site = value;
    return change->has_same_site = true;
}

bool amend_cookie_is_good(struct span value)
{
    struct span part = cookie_part(value), rest = span_from(value, part.size);
    struct cookie_change change = { .has_max_age = false };

    while (rest.size)
        if (!next_change(&rest, &change))
            return false;
    return !is_expression(part) || expression_is_good(part);
}

struct cookie_change amend_cookie_change(struct span value)
{
    struct cookie_change change = { .has_max_age = false };
    struct span rest = span_from(value, cookie_part(value).size);

    while (rest.size)
        next_change(&rest, &change);
    return change;
}

struct header_removal amend_header_removal(struct span value)
{
    struct header_removal removal = { .expression = SPAN_NONE };
    size_t colon;

    if (span_starts_nocase(value, SPAN("request:"))) {
        removal.from_request = true;
        value = span_from(value, 8);
    }
    colon = span_find_byte(value, ':');
    removal.name = span_slice(value, 0, colon);
    if (colon < value.size)
        removal.expression = span_from(value, colon + 1);
    return removal;
}
