#include "proxy/alternatives.h"

/* protocol-id "=" ..., where an id over QUIC begins with "h3" or is "quic" or "hq". */
static bool is_over_quic(struct span alternative)
{
    return span_starts_nocase(alternative, SPAN("h3")) ||
           span_starts_nocase(alternative, SPAN("quic")) ||
           span_starts_nocase(alternative, SPAN("hq"));
}

/* A value without them; .at NULL: nothing is left. *changed where there were any. */
static struct span without_quic(struct arena *arena, struct span value, bool *changed)
{
    struct span left = SPAN_NONE, list = value, alternative;

    while (span_next_element(&list, &alternative)) {
        if (is_over_quic(alternative)) {
            *changed = true;
            continue;
        }
        if ((left.size && !arena_extend(arena, &left, SPAN(", "))) ||
            !arena_extend(arena, &left, alternative))
            return SPAN_NONE;
    }
    return left;
}

void alternatives_strip(struct message *response)
{
    for (size_t i = 0; i < response->field_count; i++) {
        struct field *field = &response->fields[i];
        bool changed = false;
        struct span left;

        if (field->id != FIELD_ALT_SVC || field->is_dropped)
            continue;
        left = without_quic(response->arena, field->value, &changed);
        if (changed && left.size)
            field->value = left;
        else if (changed)
            field->is_dropped = true;
    }
}
