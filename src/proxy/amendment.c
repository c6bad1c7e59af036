#include "proxy/amendment.h"

struct span amendment_url(struct amender *amender, const struct directives *directives,
                          struct span url, bool is_page_visit, struct arena *arena)
{
    struct buffer made = { 0 };
    struct span out = SPAN_NONE;

    for (size_t i = 0; is_page_visit && i < directives->count; i++)
        if (directives->items[i].kind == DIRECTIVE_URLSKIP &&
            amend_skip(amender, url, directives->items[i].value, &made))
            break;
    if (made.size == 0)
        amend_url(amender, url, directives->items, directives->count, &made);
    if (made.size)
        out = arena_copy(arena, buffer_span(&made));
    buffer_release(&made);
    return out;
}

/* ---- fields ---- */

/* What no rule may take out: a message would mean something else without it. */
static bool is_needed(const struct field *field)
{
    switch (field->id) {
    case FIELD_HOST:
    case FIELD_CONTENT_LENGTH:
    case FIELD_CONTENT_TYPE:
    case FIELD_CONTENT_ENCODING:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_CONNECTION:
    case FIELD_UPGRADE:
        return true;
    default:
        return false;
    }
}

static bool remove_fields(struct amender *amender, const struct header_removal *removal,
                          struct message *message)
{
    bool changed = false;

    for (size_t i = 0; i < message->field_count; i++) {
        struct field *field = &message->fields[i];
        if (field->is_dropped || is_needed(field) || !span_equal_nocase(field->name, removal->name))
            continue;
        if (removal->expression.at && !amend_matches(amender, removal->expression, field->value))
            continue;
        field->is_dropped = true;
        changed = true;
    }
    return changed;
}

/* ---- cookies ---- */

static struct span cookie_name(struct span pair)
{
    return span_trim(span_slice(pair, 0, span_find_byte(pair, '=')));
}

/* Of "a=1; b=2" those that the directive does not name. */
static bool remove_cookies(struct amender *amender, struct span value, struct message *request)
{
    bool changed = false;

    for (size_t i = 0; i < request->field_count; i++) {
        struct field *field = &request->fields[i];
        struct span rest = field->value, kept = SPAN_NONE;
        bool is_cut = false;

        if (field->is_dropped || field->id != FIELD_COOKIE)
            continue;
        while (rest.size) {
            size_t end = span_find_byte(rest, ';');
            struct span pair = span_trim(span_slice(rest, 0, end));

            rest = span_from(rest, end < rest.size ? end + 1 : end);
            if (amend_names_cookie(amender, value, cookie_name(pair))) {
                is_cut = true;
                continue;
            }
            if (kept.size && !arena_extend(request->arena, &kept, SPAN("; ")))
                return changed;
            if (!arena_extend(request->arena, &kept, pair))
                return changed;
        }
        if (!is_cut)
            continue;
        changed = true;
        field->value = kept;
        field->is_dropped = kept.size == 0;
    }
    return changed;
}

/* "name=value; attributes" without Max-Age, Expires or SameSite where the change says other ones.
 */
static struct span changed_cookie(struct arena *arena, struct span value,
                                  const struct cookie_change *change)
{
    struct span out = SPAN_NONE, rest = value;

    while (rest.size) {
        size_t end = span_find_byte(rest, ';');
        struct span part = span_trim(span_slice(rest, 0, end));
        struct span name = cookie_name(part);

        rest = span_from(rest, end < rest.size ? end + 1 : end);
        if (out.size && change->has_max_age &&
            (span_equal_nocase(name, SPAN("Max-Age")) || span_equal_nocase(name, SPAN("Expires"))))
            continue;
        if (out.size && change->has_same_site && span_equal_nocase(name, SPAN("SameSite")))
            continue;
        if ((out.size && !arena_extend(arena, &out, SPAN("; "))) ||
            !arena_extend(arena, &out, part))
            return value;
    }
    if (change->has_max_age)
        out = arena_printf(arena, "%.*s; Max-Age=%llu", SPAN_PRINT(out),
                           (unsigned long long)change->max_age_s);
    if (change->has_same_site)
        out = arena_printf(arena, "%.*s; SameSite=%.*s", SPAN_PRINT(out),
                           SPAN_PRINT(change->same_site));
    return out;
}

static bool change_set_cookies(struct amender *amender, struct span value, struct message *response)
{
    struct cookie_change change = amend_cookie_change(value);
    bool changed = false;

    for (size_t i = 0; i < response->field_count; i++) {
        struct field *field = &response->fields[i];
        if (field->is_dropped || field->id != FIELD_SET_COOKIE ||
            !amend_names_cookie(amender, value, cookie_name(field->value)))
            continue;
        if (change.has_max_age || change.has_same_site)
            field->value = changed_cookie(response->arena, field->value, &change);
        else
            field->is_dropped = true;
        changed = true;
    }
    return changed;
}

/* ---- both ways ---- */

bool amend_request(struct amender *amender, const struct directives *directives,
                   struct message *request)
{
    bool changed = false;

    for (size_t i = 0; i < directives->count; i++) {
        const struct directive *directive = &directives->items[i];

        if (directive->kind == DIRECTIVE_REMOVEHEADER) {
            struct header_removal removal = amend_header_removal(directive->value);
            if (removal.from_request)
                changed |= remove_fields(amender, &removal, request);
        } else if (directive->kind == DIRECTIVE_COOKIE) {
            struct cookie_change change = amend_cookie_change(directive->value);
            if (!change.has_max_age && !change.has_same_site)
                changed |= remove_cookies(amender, directive->value, request);
        }
    }
    return changed;
}

/* A second policy of the same name: browsers enforce both (CSP level 3, section 2.1). */
static bool add_policy(struct message *response, struct span name, struct span value)
{
    return value.size > 0 && message_add(response, name, value);
}

bool amend_response(struct amender *amender, const struct directives *directives,
                    struct message *response, enum request_type type)
{
    bool is_page = type == TYPE_DOCUMENT || type == TYPE_SUBDOCUMENT, changed = false;
    struct span csp = SPAN("Content-Security-Policy");

    for (size_t i = 0; i < directives->count; i++) {
        const struct directive *directive = &directives->items[i];
        struct header_removal removal;

        switch (directive->kind) {
        case DIRECTIVE_CSP:
            changed |= is_page && add_policy(response, csp, directive->value);
            break;
        case DIRECTIVE_INLINE_SCRIPT:
            changed |= is_page &&
                       add_policy(response, csp, SPAN("script-src 'unsafe-eval' * blob: data:"));
            break;
        case DIRECTIVE_INLINE_FONT:
            changed |= is_page && add_policy(response, csp, SPAN("font-src *"));
            break;
        case DIRECTIVE_PERMISSIONS:
            changed |=
                is_page && add_policy(response, SPAN("Permissions-Policy"), directive->value);
            break;
        case DIRECTIVE_REFERRERPOLICY:
            changed |= message_set(response, FIELD_REFERRER_POLICY, directive->value);
            break;
        case DIRECTIVE_REMOVEHEADER:
            removal = amend_header_removal(directive->value);
            if (!removal.from_request)
                changed |= remove_fields(amender, &removal, response);
            break;
        case DIRECTIVE_COOKIE:
            changed |= change_set_cookies(amender, directive->value, response);
            break;
        default: // URLs were changed before the request went out; bodies are for the page
            break;
        }
    }
    return changed;
}
