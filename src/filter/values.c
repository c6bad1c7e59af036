#include "filter/values.h"

#include <stdlib.h>

#include "filter/amend.h"
#include "filter/expressions.h"
#include "filter/json_path.h"
#include "filter/regex.h"
#include "filter/xpath.h"

static char *room(struct arena *arena, size_t size)
{
    char *at = arena_alloc(arena, size);

    if (!at)
        abort(); // out of memory
    return at;
}

struct span values_unescape(struct arena *arena, struct span text, const char *bytes)
{
    size_t size = 0;
    char *at;

    if (text.size == 0 || span_find_byte(text, '\\') == text.size)
        return text;
    at = room(arena, text.size);
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] == '\\' && i + 1 < text.size && strchr(bytes, text.at[i + 1]))
            i++;
        else if (text.at[i] == '\\' && i + 1 < text.size)
            at[size++] = text.at[i++]; // a backslash and what it escapes stay together
        at[size++] = text.at[i];
    }
    return span_of(at, size);
}

bool values_items_are_good(struct span list)
{
    struct span item, text;
    unsigned flags;
    bool is_not;

    while (rule_next_name(&list, &item, &is_not)) {
        if (item.size > 1 && memchr("'\"", item.at[0], 2))
            item = span_slice(item, 1, item.size - 2);
        if (regex_split(item, &text, &flags) && !expression_is_good(item))
            return false;
    }
    return true;
}

bool values_field_is_good(struct span written)
{
    size_t colon = span_find_byte(written, ':');
    struct span value = span_trim(span_from(written, colon + (colon < written.size))), text;
    unsigned flags;

    if (value.size && value.at[0] == '~')
        value = span_from(value, 1);
    return colon == written.size || !regex_split(value, &text, &flags) || expression_is_good(value);
}

/* "//replacement/": with the rule's own expression behind a NUL, see amend.h. */
static struct span with_own_expression(struct arena *arena, const struct rule *rule,
                                       struct span value)
{
    static const char nocase[] = "(?i)";
    size_t prefix = rule->is_match_case ? 0 : sizeof nocase - 1;
    char *at = room(arena, value.size + 1 + prefix + rule->pattern.size);

    memcpy(at, value.at, value.size);
    at[value.size] = 0;
    memcpy(at + value.size + 1, nocase, prefix);
    memcpy(at + value.size + 1 + prefix, rule->pattern.at, rule->pattern.size);
    return span_of(at, value.size + 1 + prefix + rule->pattern.size);
}

/* Would a policy have browsers tell somebody what they do? */
static bool reports_to_others(struct span policy)
{
    while (policy.size) {
        struct span part = policy;

        for (size_t i = 0; i < policy.size; i++)
            if (policy.at[i] == ';' || policy.at[i] == ',' || policy.at[i] == '|') {
                part.size = i;
                break;
            }
        policy = span_from(policy, part.size + (part.size < policy.size));
        part = span_trim(part);
        if (span_starts_nocase(part, SPAN("report-uri")) ||
            span_starts_nocase(part, SPAN("report-to")))
            return true;
    }
    return false;
}

static bool is_referrer_policy(struct span value)
{
    static const char *const values[] = {
        "no-referrer",
        "no-referrer-when-downgrade",
        "origin",
        "origin-when-cross-origin",
        "same-origin",
        "strict-origin",
        "strict-origin-when-cross-origin",
        "unsafe-url",
    };

    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (span_equal(value, span_text(values[i])))
            return true;
    return false;
}

enum rule_reason values_clean(struct arena *arena, const struct rule *rule, struct span *out)
{
    struct span value = rule->value, name;

    *out = value;
    if (value.size == 0)
        return REASON_NONE;
    switch (rule->modifier) {
    case MODIFIER_REMOVEPARAM:
        *out = name = values_unescape(arena, value, ",");
        if (name.at[0] == '~')
            name = span_from(name, 1);
        if (name.size > 1 && name.at[0] == '/')
            return expression_is_good(name) ? REASON_NONE : REASON_REGEX;
        return span_find_byte(name, '|') < name.size ? REASON_VALUE : REASON_NONE;
    case MODIFIER_URLSKIP:
        *out = values_unescape(arena, value, ",");
        return amend_skip_is_good(*out) || rule->is_exception ? REASON_NONE : REASON_VALUE;
    case MODIFIER_CSP:
        *out = values_unescape(arena, value, ",");
        return reports_to_others(value) ? REASON_VALUE : REASON_NONE;
    case MODIFIER_REFERRERPOLICY:
        return is_referrer_policy(value) ? REASON_NONE : REASON_VALUE;
    case MODIFIER_COOKIE:
        *out = values_unescape(arena, value, ",");
        return amend_cookie_is_good(*out) ? REASON_NONE : REASON_VALUE;
    case MODIFIER_REMOVEHEADER:
        *out = values_unescape(arena, value, ",");
        name = amend_header_removal(*out).expression;
        return name.at && !expression_is_good(name) ? REASON_REGEX : REASON_NONE;
    case MODIFIER_PERMISSIONS: {
        char *at = room(arena, value.size);

        if (reports_to_others(value))
            return REASON_VALUE;
        value = values_unescape(arena, value, ",");
        for (size_t i = 0; i < value.size; i++)
            at[i] = value.at[i] == '|' ? ',' : value.at[i];
        *out = span_of(at, value.size);
        return REASON_NONE;
    }
    case MODIFIER_URITRANSFORM:
    case MODIFIER_REPLACE:
        *out = values_unescape(arena, value, ",");
        if (!replacement_is_good(*out))
            return REASON_REGEX;
        if (!span_starts(*out, SPAN("//")) || rule->is_exception)
            return REASON_NONE;
        if (!rule->is_regex || rule->modifier == MODIFIER_REPLACE)
            return REASON_VALUE;
        *out = with_own_expression(arena, rule, *out);
        return REASON_NONE;
    case MODIFIER_JSONPRUNE:
        *out = values_unescape(arena, value, ",$");
        return json_path_is_good(*out) ? REASON_NONE : REASON_VALUE;
    case MODIFIER_XMLPRUNE:
        *out = values_unescape(arena, value, ",$");
        return xpath_is_good(*out) ? REASON_NONE : REASON_VALUE;
    default:
        *out = values_unescape(arena, value, ",");
        return REASON_NONE;
    }
}
