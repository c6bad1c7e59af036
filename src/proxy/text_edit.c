#include "proxy/text_edit.h"

#include <stdlib.h>

#include "filter/edit.h"

struct text_edit {
    const struct body_edit_events *events;
    void *owner;
    struct amender *amender;
    struct directive edits[EDIT_LIMIT];
    size_t edit_count;
    struct buffer body;
    bool is_over; // it only copies
    struct body_edit_counts counts;
};

static void let_go(struct text_edit *edit)
{
    edit->is_over = true;
    if (edit->body.size)
        edit->events->on_output(edit->owner, buffer_span(&edit->body));
    buffer_release(&edit->body);
}

static void feed(void *owner, struct span bytes)
{
    struct text_edit *edit = owner;

    if (edit->is_over) {
        edit->events->on_output(edit->owner, bytes);
        return;
    }
    if (buffer_append(&edit->body, bytes))
        return;
    edit->events->on_gave_up(edit->owner, "it is too long for rules that need all of it",
                             edit->edits[0].rule);
    let_go(edit);
    edit->events->on_output(edit->owner, bytes);
}

/* By its mark: two or four bytes to a character. */
static bool is_wide(struct span body)
{
    return span_starts(body, SPAN("\xff\xfe")) || span_starts(body, SPAN("\xfe\xff"));
}

static void finish(void *owner)
{
    struct text_edit *edit = owner;
    struct buffer changed = { .at = NULL };
    rule_number costly = 0;

    if (edit->is_over)
        return;
    if (is_wide(buffer_span(&edit->body)) ||
        !edit_body(edit->amender, edit->edits, edit->edit_count, buffer_span(&edit->body), &changed,
                   &costly)) {
        let_go(edit);
    } else {
        edit->is_over = true;
        if (changed.size < edit->body.size)
            edit->counts.removed_bytes = edit->body.size - changed.size;
        buffer_release(&edit->body);
        if (changed.size)
            edit->events->on_output(edit->owner, buffer_span(&changed));
        buffer_release(&changed);
    }
    if (costly)
        edit->events->on_gave_up(edit->owner, "a rule ran into a limit and changed nothing",
                                 costly);
}

static void stop(void *owner, rule_number *costly)
{
    struct text_edit *edit = owner;

    *costly = edit->is_over ? 0 : edit->edits[0].rule;
    let_go(edit);
}

static size_t held(const void *owner)
{
    return ((const struct text_edit *)owner)->body.size;
}

static void counts(const void *owner, struct body_edit_counts *out)
{
    *out = ((const struct text_edit *)owner)->counts;
}

static void free_edit(void *owner)
{
    struct text_edit *edit = owner;

    buffer_release(&edit->body);
    free(edit);
}

static const struct body_editor ops = { feed, finish, stop, held, counts, free_edit };

bool text_edit_may(const struct directives *directives)
{
    return directives->count && edit_may(directives->items, directives->count);
}

bool text_edit_open(struct body_edit *out, const struct text_subject *subject,
                    const struct body_edit_events *events, void *owner)
{
    enum edit_media media = edit_media_of(subject->content_type, subject->url);
    struct directive picked[EDIT_LIMIT];
    struct text_edit *edit;
    size_t count;

    if (media == EDIT_NONE || span_starts_nocase(subject->charset, SPAN("utf-16")) ||
        span_starts_nocase(subject->charset, SPAN("utf-32")))
        return false;
    count = edit_pick(subject->directives->items, subject->directives->count, media, picked,
                      EDIT_LIMIT);
    if (count == 0)
        return false;
    edit = calloc(1, sizeof *edit);
    if (!edit)
        abort(); // out of memory ends the worker; the master starts another
    edit->events = events;
    edit->owner = owner;
    edit->amender = subject->amender;
    memcpy(edit->edits, picked, count * sizeof *picked);
    edit->edit_count = count;
    edit->body.limit_bytes = EDIT_BODY_LIMIT;
    *out = (struct body_edit){ &ops, edit };
    return true;
}
