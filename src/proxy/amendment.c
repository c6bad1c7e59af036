#include "proxy/amendment.h"

#include "proxy/patience.h"

struct span amendment_skip(struct amender *amender, const struct directives *directives,
                           struct span url, bool is_blocked, struct arena *arena)
{
    struct buffer made = { 0 };
    struct span out = SPAN_NONE;

    for (size_t i = 0; i < directives->count && !made.size; i++)
        if (directives->items[i].kind == DIRECTIVE_URLSKIP)
            amend_skip(amender, url, directives->items[i].value, is_blocked, &made);
    if (made.size)
        out = arena_copy(arena, buffer_span(&made));
    buffer_release(&made);
    return out;
}

struct span amendment_url(struct amender *amender, const struct directives *directives,
                          struct span url, bool is_page_visit, struct arena *arena)
{
    struct buffer made = { 0 };
    struct span out = SPAN_NONE;

    if (is_page_visit)
        out = amendment_skip(amender, directives, url, false, arena);
    if (!out.at && amend_url(amender, url, directives->items, directives->count, &made))
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

/* Is the cookie one that the directive is for, and that no exception names? */
static bool is_for_cookie(struct amender *amender, const struct directives *directives,
                          const struct directive *directive, struct span name)
{
    if (!amend_names_cookie(amender, directive->value, name))
        return false;
    for (size_t i = 0; i < directives->count; i++)
        if (directives->items[i].kind == DIRECTIVE_COOKIE && directives->items[i].is_exception &&
            amend_names_cookie(amender, directives->items[i].value, name))
            return false;
    return true;
}

/* Of "a=1; b=2" those that the directive is not for. */
static bool remove_cookies(struct amender *amender, const struct directives *directives,
                           const struct directive *directive, struct message *request)
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
            if (is_for_cookie(amender, directives, directive, cookie_name(pair))) {
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

/* A date as in Expires: also in the form "Sun, 06-Nov-1994 08:49:37 GMT". */
static bool cookie_date(struct span text, time_t *out)
{
    char copy[40];

    if (patience_date(text, out))
        return true;
    if (text.size > sizeof copy)
        return false;
    for (size_t i = 0; i < text.size; i++)
        copy[i] = text.at[i] == '-' ? ' ' : text.at[i];
    return patience_date(span_of(copy, text.size), out);
}

/* Would the cookie be kept for more than so many seconds? One for the session would. Max-Age counts
 * before Expires, the last of each (RFC 6265 section 5.3). */
static bool lives_longer(struct span cookie, uint64_t limit_s)
{
    bool has_age = false, is_longer = true;

    while (cookie.size) {
        size_t end = span_find_byte(cookie, ';');
        struct span part = span_slice(cookie, 0, end), name = cookie_name(part), value;
        time_t then;
        uint64_t age;

        cookie = span_from(cookie, end < cookie.size ? end + 1 : end);
        end = span_find_byte(part, '=');
        value = span_trim(span_from(part, end + (end < part.size)));
        if (span_equal_nocase(name, SPAN("Max-Age"))) {
            has_age = true;
            if (value.size > 1 && value.at[0] == '-')
                is_longer = false;
            else if (span_to_u64(value, &age))
                is_longer = age > limit_s;
        } else if (!has_age && span_equal_nocase(name, SPAN("Expires")) &&
                   cookie_date(value, &then)) {
            time_t now = time(NULL);
            is_longer = then > now && (uint64_t)(then - now) > limit_s;
        }
    }
    return is_longer;
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

static bool change_set_cookies(struct amender *amender, const struct directives *directives,
                               const struct directive *directive, struct message *response)
{
    struct cookie_change wanted = amend_cookie_change(directive->value);
    bool changed = false;

    for (size_t i = 0; i < response->field_count; i++) {
        struct field *field = &response->fields[i];
        struct cookie_change change = wanted;

        if (field->is_dropped || field->id != FIELD_SET_COOKIE ||
            !is_for_cookie(amender, directives, directive, cookie_name(field->value)))
            continue;
        change.has_max_age = change.has_max_age && lives_longer(field->value, change.max_age_s);
        if (change.has_max_age || change.has_same_site)
            field->value = changed_cookie(response->arena, field->value, &change);
        else if (wanted.has_max_age)
            continue; // it is gone sooner as it is
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
        } else if (directive->kind == DIRECTIVE_COOKIE && !directive->is_exception) {
            struct cookie_change change = amend_cookie_change(directive->value);
            if (!change.has_max_age && !change.has_same_site)
                changed |= remove_cookies(amender, directives, directive, request);
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
            changed |= !directive->is_exception &&
                       change_set_cookies(amender, directives, directive, response);
            break;
        default: // URLs were changed before the request went out; bodies are for the page
            break;
        }
    }
    return changed;
}
