#include "proxy/validators.h"

#include <inttypes.h>

enum { GENERATION_DIGITS = 16 };
static const struct span mark = { "-dj", 3 };

struct tag {
    bool is_ours;
    uint64_t generation;
    char kind;            // of ours: s, w, n
    struct span original; // of ours: between the quotes
};

/* Between the quotes (RFC 9110 section 8.8.3), or .at NULL. */
static struct span opaque_of(struct span text, bool *is_weak)
{
    *is_weak = span_starts(text, SPAN("W/"));
    if (*is_weak)
        text = span_from(text, 2);
    if (!text.at || text.size < 2 || text.at[0] != '"' || text.at[text.size - 1] != '"')
        return SPAN_NONE;
    text = span_slice(text, 1, text.size - 2);
    return span_find_byte(text, '"') == text.size ? text : SPAN_NONE;
}

static bool parse_generation(struct span digits, uint64_t *generation)
{
    *generation = 0;
    for (size_t i = 0; i < digits.size; i++) {
        char c = digits.at[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        *generation = *generation << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return true;
}

static struct tag tag_of(struct span text)
{
    struct tag tag = { .is_ours = false };
    size_t tail = mark.size + GENERATION_DIGITS + 1;
    struct span opaque, end;
    bool is_weak;

    opaque = opaque_of(text, &is_weak);
    if (!is_weak || opaque.size < tail)
        return tag;
    end = span_from(opaque, opaque.size - tail);
    tag.kind = end.at[tail - 1];
    tag.original = span_slice(opaque, 0, opaque.size - tail);
    tag.is_ours = span_starts(end, mark) &&
                  (tag.kind == 's' || tag.kind == 'w' || (tag.kind == 'n' && !tag.original.size)) &&
                  parse_generation(span_slice(end, mark.size, GENERATION_DIGITS), &tag.generation);
    return tag;
}

/* ---- requests ---- */

struct condition { // what the fields of one name say
    size_t count;
    size_t ours, current; // current: ours and of this generation
    struct span only;     // the first
};

static struct condition read_condition(const struct message *request, enum field_id id,
                                       uint64_t generation)
{
    struct condition condition = { .count = 0 };

    for (const struct field *field = message_find(request, id); field;
         field = message_find_next(request, field)) {
        struct span list = field->value, element;
        while (span_next_element(&list, &element)) {
            struct tag tag = tag_of(element);
            if (condition.count++ == 0)
                condition.only = element;
            condition.ours += tag.is_ours;
            condition.current += tag.is_ours && tag.generation == generation;
        }
    }
    return condition;
}

static bool extend(struct arena *arena, struct span *out, struct span element)
{
    struct tag tag = tag_of(element);

    if (tag.is_ours && tag.kind == 'n')
        return true;
    if (out->size && !arena_extend(arena, out, SPAN(", ")))
        return false;
    if (!tag.is_ours)
        return arena_extend(arena, out, element);
    return arena_extend(arena, out, tag.kind == 'w' ? SPAN("W/\"") : SPAN("\"")) &&
           arena_extend(arena, out, tag.original) && arena_extend(arena, out, SPAN("\""));
}

/* The origin's own tags in place of ours. */
static void put_back(struct message *request, enum field_id id)
{
    struct span out = SPAN_NONE;

    for (const struct field *field = message_find(request, id); field;
         field = message_find_next(request, field)) {
        struct span list = field->value, element;
        while (span_next_element(&list, &element))
            if (!extend(request->arena, &out, element))
                return;
    }
    if (out.size)
        message_set(request, id, out);
    else
        message_drop(request, id);
}

static void drop_conditions(struct message *request)
{
    message_drop(request, FIELD_IF_NONE_MATCH);
    message_drop(request, FIELD_IF_MODIFIED_SINCE);
}

/* A part of an edited body is no part of the origin's. */
static void restore_range(struct message *request, enum validators_outlook outlook)
{
    struct span value = message_value(request, FIELD_IF_RANGE);
    bool is_date = value.at && span_find_byte(value, '"') == value.size;

    if (tag_of(value).is_ours || (is_date && outlook == OUTLOOK_EDITED)) {
        message_drop(request, FIELD_IF_RANGE);
        message_drop(request, FIELD_RANGE);
    }
}

struct validators validators_restore(struct message *request, uint64_t generation,
                                     enum validators_outlook outlook)
{
    struct validators out = { .are_current = false };
    struct condition asked = read_condition(request, FIELD_IF_NONE_MATCH, generation);

    restore_range(request, outlook);
    if (read_condition(request, FIELD_IF_MATCH, generation).ours)
        put_back(request, FIELD_IF_MATCH);
    if (asked.ours == 0) {
        if (outlook == OUTLOOK_EDITED) // of a body from before there were rules for it
            drop_conditions(request);
    } else if (asked.current == asked.count && outlook != OUTLOOK_UNEDITED) {
        out.are_current = true;
        if (asked.count == 1)
            out.tag = asked.only;
        put_back(request, FIELD_IF_NONE_MATCH);
    } else {
        drop_conditions(request);
    }
    return out;
}

/* ---- responses ---- */

void validators_mark(struct message *response, uint64_t generation, const struct validators *asked)
{
    struct span value = message_value(response, FIELD_ETAG), opaque = SPAN_NONE;
    bool is_weak = false, has_date = message_find(response, FIELD_LAST_MODIFIED) != NULL;
    char kind = 'n';

    if (!value.at && response->status == 304 && asked->tag.at) {
        message_set(response, FIELD_ETAG, asked->tag);
        return;
    }
    if (value.at && value.size <= VALIDATORS_TAG_BYTES)
        opaque = opaque_of(value, &is_weak);
    if (opaque.at)
        kind = is_weak ? 'w' : 's';
    message_drop(response, FIELD_ETAG);
    if (!opaque.at && !has_date)
        return;
    message_set(response, FIELD_ETAG,
                arena_printf(response->arena, "W/\"%.*s%.*s%016" PRIx64 "%c\"", SPAN_PRINT(opaque),
                             SPAN_PRINT(mark), generation, kind));
}
