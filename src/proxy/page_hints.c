#include "proxy/page_hints.h"

#include "proxy/page_links.h"

struct hint {
    struct span all, url, rel, as;
};

/* Where `byte` is, outside of quotes; or text.size. */
static size_t find_bare(struct span text, char byte)
{
    bool is_quoted = false;

    for (size_t i = 0; i < text.size; i++) {
        char c = text.at[i];
        if (is_quoted && c == '\\')
            i++;
        else if (c == '"')
            is_quoted = !is_quoted;
        else if (c == byte && !is_quoted)
            return i;
    }
    return text.size;
}

static struct span unquoted(struct span value)
{
    if (value.size >= 2 && value.at[0] == '"' && value.at[value.size - 1] == '"')
        return span_slice(value, 1, value.size - 2);
    return value;
}

/* "; rel=preload; as=script": the first of each name counts. */
static void take_parameters(struct hint *hint, struct span text)
{
    while (text.size) {
        size_t end = find_bare(text, ';'), equals;
        struct span one = span_trim(span_slice(text, 0, end)), name, value;

        text = span_from(text, end + (end < text.size));
        equals = span_find_byte(one, '=');
        name = span_trim(span_slice(one, 0, equals));
        value = equals < one.size ? unquoted(span_trim(span_from(one, equals + 1))) : SPAN("");
        if (!hint->rel.at && span_equal_nocase(name, SPAN("rel")))
            hint->rel = value;
        if (!hint->as.at && span_equal_nocase(name, SPAN("as")))
            hint->as = value;
    }
}

/* Cuts the next link off a field's value; .url.at NULL: it is not well-formed. False: the end. */
static bool next_hint(struct span *left, struct hint *hint)
{
    size_t open, end = 0;

    while (left->size && (left->at[0] == ',' || left->at[0] == ' ' || left->at[0] == '\t'))
        *left = span_from(*left, 1);
    if (left->size == 0)
        return false;
    *hint = (struct hint){ .url = SPAN_NONE };
    open = left->at[0] == '<' ? span_find_byte(*left, '>') : left->size;
    if (open < left->size)
        end = open + 1;
    end += find_bare(span_from(*left, end), ',');
    hint->all = span_trim(span_slice(*left, 0, end));
    if (open < left->size) {
        hint->url = span_slice(*left, 1, open - 1);
        take_parameters(hint, span_slice(*left, open + 1, end - open - 1));
    }
    *left = span_from(*left, end);
    return true;
}

struct filtering {
    page_hint_stopped *is_stopped;
    void *owner;
    struct span page;
    struct buffer resolved;
};

static bool goes(struct filtering *filtering, const struct hint *hint)
{
    enum page_link_kind kind;
    enum request_type type;

    return hint->url.at && hint->rel.at && page_link_of_rel(hint->rel, hint->as, &kind, &type) &&
           page_link_resolve(&filtering->resolved, filtering->page, span_trim(hint->url)) &&
           filtering->is_stopped(filtering->owner, buffer_span(&filtering->resolved), type,
                                 kind == PAGE_LINK_HOST);
}

/* False: all of it stays. */
static bool filter(struct filtering *filtering, struct span value, struct arena *arena,
                   struct span *out)
{
    struct span left = value;
    struct hint hint;
    bool any_goes = false;

    *out = SPAN_NONE;
    while (next_hint(&left, &hint)) {
        if (goes(filtering, &hint)) {
            any_goes = true;
            continue;
        }
        if ((out->size && !arena_extend(arena, out, SPAN(", "))) ||
            !arena_extend(arena, out, hint.all))
            return false;
    }
    return any_goes;
}

void page_hints_filter(struct message *response, struct span url, page_hint_stopped *is_stopped,
                       void *owner)
{
    struct filtering filtering = { .is_stopped = is_stopped,
                                   .owner = owner,
                                   .page = url,
                                   .resolved.limit_bytes = PAGE_RESOLVED_BYTES };

    for (size_t i = 0; i < response->field_count; i++) {
        struct field *field = &response->fields[i];
        struct span kept;

        if (field->is_dropped || !span_equal_nocase(field->name, SPAN("Link")) ||
            !filter(&filtering, field->value, response->arena, &kept))
            continue;
        field->value = kept;
        field->is_dropped = kept.size == 0;
    }
    buffer_release(&filtering.resolved);
}
