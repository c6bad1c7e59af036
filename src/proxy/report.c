#include "proxy/report.h"

static bool is_ours(struct span name)
{
    return span_starts_nocase(name, REPORT_FIELD);
}

static void strip(struct message *message)
{
    for (size_t i = 0; i < message->field_count; i++)
        if (is_ours(message->fields[i].name))
            message->fields[i].is_dropped = true;
}

void report_begin(struct report *report, struct message *request, const struct address *client)
{
    struct address plain = address_unwrap(client);

    report->is_wanted = message_find_name(request, REPORT_ASK) != NULL &&
                        address_classify(&plain) == ADDRESS_LOOPBACK;
    strip(request);
}

void report_strip(struct message *response)
{
    strip(response);
}

/* Printable ASCII without quotes and backslashes, as much as still fits. */
static bool append(struct report *report, struct arena *arena, struct span text)
{
    char piece[256];

    while (text.size) {
        size_t size = text.size < sizeof piece ? text.size : sizeof piece;

        if (report->changes.size + size > REPORT_BYTES)
            return false;
        for (size_t i = 0; i < size; i++) {
            char c = text.at[i];
            piece[i] = c >= 0x20 && c < 0x7f && c != '"' && c != '\\' ? c : '?';
        }
        if (!arena_extend(arena, &report->changes, span_of(piece, size)))
            return false;
        text = span_from(text, size);
    }
    return true;
}

static bool append_mark(struct report *report, struct arena *arena, struct span mark)
{
    return arena_extend(arena, &report->changes, mark);
}

void report_note(struct report *report, struct arena *arena, const char *name, struct span value)
{
    if (!report->is_wanted)
        return;
    (void)(append_mark(report, arena, SPAN("; ")) && append_mark(report, arena, span_text(name)) &&
           append_mark(report, arena, SPAN("=\"")));
    (void)append(report, arena, value);
    (void)append_mark(report, arena, SPAN("\""));
}

void report_note_dropped(struct report *report, struct arena *arena, const struct message *message)
{
    struct buffer names = { .limit_bytes = REPORT_BYTES };

    for (size_t i = 0; report->is_wanted && i < message->field_count; i++) {
        const struct field *field = &message->fields[i];
        if (!field->is_dropped || is_ours(field->name))
            continue;
        (void)(buffer_append(&names, names.size ? SPAN(", ") : SPAN("")) &&
               buffer_append(&names, field->name));
    }
    if (names.size)
        report_note(report, arena, message->is_request ? "request-headers" : "headers",
                    buffer_span(&names));
    buffer_release(&names);
}

struct span report_value(const struct report *report, struct arena *arena, struct span blocked_by)
{
    struct report blocked = { .is_wanted = true };

    if (!report->is_wanted)
        return SPAN_NONE;
    if (!blocked_by.at)
        return arena_printf(arena, "%s%.*s", report->changes.size ? "changed" : "passed",
                            SPAN_PRINT(report->changes));
    report_note(&blocked, arena, "by", blocked_by);
    return arena_printf(arena, "blocked%.*s", SPAN_PRINT(blocked.changes));
}
