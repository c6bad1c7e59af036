#include "filter/amend.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "base/table.h"
#include "filter/regex.h"

enum { PARAMETERS = 1024, STEPS = 16 };

struct expression {
    struct table_node node; // first
    pcre2_code *code;       // NULL: it does not compile
    bool is_global;
    struct span text;
    char bytes[];
};

struct amender {
    struct table expressions;
    pcre2_match_context *limits;
    pcre2_match_data *match;
};

struct amender *amender_new(void)
{
    struct amender *amender = calloc(1, sizeof *amender);

    if (!amender)
        abort(); // out of memory
    table_init(&amender->expressions);
    amender->limits = pcre2_match_context_create(NULL);
    amender->match = pcre2_match_data_create(16, NULL);
    if (!amender->limits || !amender->match)
        abort(); // out of memory
    pcre2_set_match_limit(amender->limits, REGEX_STEP_LIMIT);
    pcre2_set_heap_limit(amender->limits, REGEX_HEAP_LIMIT_KB);
    return amender;
}

static void forget(struct table_node *node, void *owner)
{
    struct amender *amender = owner;
    struct expression *expression = (struct expression *)node;

    table_remove(&amender->expressions, node);
    pcre2_code_free(expression->code);
    free(expression);
}

void amender_free(struct amender **amender)
{
    struct amender *old = *amender;

    *amender = NULL;
    if (!old)
        return;
    table_visit(&old->expressions, forget, old);
    table_done(&old->expressions);
    pcre2_match_context_free(old->limits);
    pcre2_match_data_free(old->match);
    free(old);
}

/* ---- expressions ------------------------------------------------------------------------------------ */

static bool is_same(const struct table_node *node, const void *key)
{
    return span_equal(((const struct expression *)node)->text, *(const struct span *)key);
}

/* "/text/flags", compiled and kept. */
static struct expression *expression_for(struct amender *amender, struct span written)
{
    uint64_t hash = table_hash(&amender->expressions, written);
    struct expression *made =
        (struct expression *)table_find(&amender->expressions, hash, is_same, &written);
    struct span text;
    unsigned flags;
    uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
    int problem;
    PCRE2_SIZE where;

    if (made)
        return made;
    if (amender->expressions.count >= AMEND_EXPRESSIONS)
        table_visit(&amender->expressions, forget, amender);
    made = calloc(1, sizeof *made + written.size);
    if (!made)
        abort(); // out of memory
    memcpy(made->bytes, written.at, written.size);
    made->text = span_of(made->bytes, written.size);
    if (regex_split(made->text, &text, &flags) && text.size <= REGEX_LIMIT) {
        if (flags & REGEX_NOCASE)
            options |= PCRE2_CASELESS;
        if (flags & REGEX_DOT_ALL)
            options |= PCRE2_DOTALL;
        if (flags & REGEX_MULTILINE)
            options |= PCRE2_MULTILINE;
        made->is_global = flags & REGEX_GLOBAL;
        made->code = pcre2_compile((PCRE2_SPTR)text.at, text.size, options, &problem, &where, NULL);
    }
    table_add(&amender->expressions, &made->node, hash);
    return made;
}

bool amend_matches(struct amender *amender, struct span expression, struct span text)
{
    const struct expression *made = expression_for(amender, expression);

    return made->code && pcre2_match(made->code, (PCRE2_SPTR)(text.at ? text.at : ""), text.size, 0,
                                     0, amender->match, amender->limits) >= 0;
}

static bool is_expression(struct span value)
{
    return value.size > 1 && value.at[0] == '/';
}

/* ---- parameters --------------------------------------------------------------------------------------- */

/* Does a removeparam value name this "name=value" of a query? */
static bool names_parameter(struct amender *amender, struct span value, struct span parameter)
{
    bool inverted = value.size && value.at[0] == '~', found;

    if (value.size == 0)
        return true;
    if (inverted)
        value = span_from(value, 1);
    if (is_expression(value))
        found = amend_matches(amender, value, parameter);
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
    for (size_t at = 0, rounds = 0; at <= query.size && rounds < PARAMETERS; rounds++) {
        struct span rest = span_from(query, at);
        size_t size = rounds + 1 < PARAMETERS ? span_find_byte(rest, '&') : rest.size;
        struct span parameter = span_slice(rest, 0, size);

        at += size + 1;
        if (parameter.size && names_parameter(amender, value, parameter)) {
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

/* "/regex/replacement/flags" done to path, query and fragment. */
static bool transform(struct amender *amender, struct span value, struct buffer *url)
{
    struct span whole = buffer_span(url), path, replacement;
    size_t scheme = span_find(whole, SPAN("://")), middle = 0, last, start;
    char written[REGEX_LIMIT + 16], put[4096];
    size_t written_size, put_size = 0;
    const struct expression *made;
    PCRE2_SIZE size = AMEND_URL_BYTES;
    char *made_text;
    bool changed = false;
    int count;

    if (scheme == whole.size || !is_expression(value))
        return false;
    start = scheme + 3 + span_find_byte(span_from(whole, scheme + 3), '/');
    path = span_from(whole, start);
    for (size_t i = 1; i < value.size && !middle; i++) {
        if (value.at[i] == '\\')
            i++;
        else if (value.at[i] == '/')
            middle = i;
    }
    for (last = value.size; last > middle && value.at[last - 1] != '/'; last--)
        ;
    if (!middle || last <= middle + 1)
        return false;
    replacement = span_slice(value, middle + 1, last - 1 - (middle + 1));
    written_size = middle + 1 + (value.size - last);
    if (written_size > sizeof written || replacement.size * 2 > sizeof put)
        return false;
    memcpy(written, value.at, middle + 1);
    memcpy(written + middle + 1, value.at + last, value.size - last);
    made = expression_for(amender, span_of(written, written_size));
    if (!made->code)
        return false;
    for (size_t i = 0; i < replacement.size; i++) { // "\/" is "/", "$1" is as PCRE2 has it
        if (replacement.at[i] == '\\' && i + 1 < replacement.size)
            i++;
        put[put_size++] = replacement.at[i];
    }
    made_text = malloc(AMEND_URL_BYTES);
    if (!made_text)
        abort(); // out of memory
    count = pcre2_substitute(made->code, (PCRE2_SPTR)path.at, path.size, 0,
                             (made->is_global ? PCRE2_SUBSTITUTE_GLOBAL : 0) |
                                 PCRE2_SUBSTITUTE_UNKNOWN_UNSET | PCRE2_SUBSTITUTE_UNSET_EMPTY,
                             amender->match, amender->limits, (PCRE2_SPTR)put, put_size,
                             (PCRE2_UCHAR *)made_text, &size);
    if (count > 0 && size > 0 && made_text[0] == '/' &&
        !span_equal(path, span_of(made_text, size))) {
        url->size = start;
        changed = buffer_append(url, span_of(made_text, size));
    }
    free(made_text);
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

/* ---- skipping --------------------------------------------------------------------------------------------- */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void decode_percent(struct buffer *text)
{
    size_t to = 0;

    for (size_t i = 0; i < text->size; i++) {
        int high = i + 2 < text->size ? hex(text->at[i + 1]) : -1;
        int low = i + 2 < text->size ? hex(text->at[i + 2]) : -1;
        if (text->at[i] == '%' && high >= 0 && low >= 0) {
            text->at[to++] = (char)(high * 16 + low);
            i += 2;
        } else {
            text->at[to++] = text->at[i];
        }
    }
    text->size = to;
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
            struct span found = index ? span_slice(parameter, 0, equals)
                                      : span_from(parameter, equals < parameter.size ? equals + 1
                                                                                     : equals);
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
    const struct expression *made = expression_for(amender, written);
    PCRE2_SIZE *ends;

    if (!made->code || pcre2_match(made->code, (PCRE2_SPTR)text->at, text->size, 0, 0,
                                   amender->match, amender->limits) < 2)
        return false;
    ends = pcre2_get_ovector_pointer(amender->match);
    if (ends[2] == PCRE2_UNSET)
        return false;
    return set(text, span_slice(buffer_span(text), ends[2], ends[3] - ends[2]));
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
        if (span_equal(word, SPAN("+https")) && span_starts_nocase(whole, SPAN("http://"))) {
            struct buffer secure = { .limit_bytes = AMEND_URL_BYTES };
            bool ok = buffer_append(&secure, SPAN("https://")) &&
                      buffer_append(&secure, span_from(whole, 7));
            buffer_release(text);
            *text = secure;
            return ok;
        }
        return span_equal(word, SPAN("+https"));
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

static bool is_web_url(struct span url)
{
    for (size_t i = 0; i < url.size; i++)
        if ((unsigned char)url.at[i] <= ' ' || url.at[i] == 0x7f)
            return false;
    return (span_starts_nocase(url, SPAN("http://")) && url.size > 7) ||
           (span_starts_nocase(url, SPAN("https://")) && url.size > 8);
}

bool amend_skip(struct amender *amender, struct span url, struct span steps, struct buffer *out)
{
    bool ok = true;

    out->limit_bytes = AMEND_URL_BYTES;
    ok = buffer_append(out, url);
    for (int i = 0; ok && i < STEPS && (steps = span_trim(steps)).size; i++) {
        size_t size = span_find_byte(steps, ' ');
        ok = step(amender, out, span_slice(steps, 0, size));
        steps = span_from(steps, size);
    }
    if (ok && is_web_url(buffer_span(out)) && !span_equal(buffer_span(out), url))
        return true;
    buffer_release(out);
    return false;
}

/* ---- cookies and headers ---------------------------------------------------------------------------------- */

static struct span cookie_part(struct span value)
{
    // A regular expression may hold semicolons: it ends at its last slash.
    if (is_expression(value)) {
        size_t end = value.size;
        size_t change = span_find(value, SPAN(";maxAge="));
        size_t same = span_find(value, SPAN(";sameSite="));
        end = change < end ? change : end;
        end = same < end ? same : end;
        return span_slice(value, 0, end);
    }
    return span_slice(value, 0, span_find_byte(value, ';'));
}

bool amend_names_cookie(struct amender *amender, struct span value, struct span cookie_name)
{
    struct span part = cookie_part(value);

    if (part.size == 0)
        return true;
    return is_expression(part) ? amend_matches(amender, part, cookie_name)
                               : span_equal(part, cookie_name);
}

struct cookie_change amend_cookie_change(struct span value)
{
    struct cookie_change change = { .has_max_age = false };
    struct span rest = span_from(value, cookie_part(value).size);

    while (rest.size) {
        struct span part;
        rest = span_from(rest, 1);
        part = span_slice(rest, 0, span_find_byte(rest, ';'));
        rest = span_from(rest, part.size);
        if (span_starts_nocase(part, SPAN("maxAge=")))
            change.has_max_age = span_to_u64(span_from(part, 7), &change.max_age_s);
        else if (span_starts_nocase(part, SPAN("sameSite="))) {
            change.has_same_site = true;
            change.same_site = span_from(part, 9);
        }
    }
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
