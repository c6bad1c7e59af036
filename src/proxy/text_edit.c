#include "proxy/text_edit.h"

#include <assert.h>
#include <stdlib.h>

#include "filter/edit.h"

enum { LET_GO_BYTES = 256 * 1024 }; // of what was held, at once

struct text_edit {
    const struct body_edit_events *events;
    void *owner;
    struct amender *amender;
    struct directive edits[EDIT_LIMIT];
    size_t edit_count, edits_done;
    struct buffer body; // what was made of it so far
    bool has_changed;
    bool is_over;       // nothing more is changed: what is held goes out
    size_t came_bytes;  // of a body that was changed
    rule_number costly; // the first that ran into a limit, or 0
    struct body_edit_counts counts;
};

/* Some of what is held, from its front. */
static void let_go(struct text_edit *edit, size_t most)
{
    size_t size = edit->body.size < most ? edit->body.size : most;

    if (size)
        edit->events->on_output(edit->owner, span_slice(buffer_span(&edit->body), 0, size));
    if (size < edit->body.size)
        buffer_consume(&edit->body, size);
    else
        buffer_release(&edit->body);
}

static void feed(void *owner, struct span bytes)
{
    struct text_edit *edit = owner;

    if (!edit->is_over && buffer_append(&edit->body, bytes))
        return;
    if (!edit->is_over)
        edit->events->on_gave_up(edit->owner, "it is too long for rules that need all of it",
                                 edit->edits[0].rule);
    edit->is_over = true;
    let_go(edit, LET_GO_BYTES);
    if (edit->body.size == 0)
        edit->events->on_output(edit->owner, bytes);
    else if (!buffer_append(&edit->body, bytes))
        assert(!"room for less than what was let go");
}

/* By its mark: two or four bytes to a character. */
static bool is_wide(struct span body)
{
    return span_starts(body, SPAN("\xff\xfe")) || span_starts(body, SPAN("\xfe\xff"));
}

/* One directive's work on the body. */
static void change(struct text_edit *edit, const struct directive *directive)
{
    struct buffer changed = { .at = NULL };
    enum prune_result result =
        edit_body(edit->amender, directive, buffer_span(&edit->body), &changed);

    if (result == PRUNE_TOO_MUCH && !edit->costly)
        edit->costly = directive->rule;
    if (result != PRUNE_DONE)
        return;
    if (!edit->has_changed)
        edit->came_bytes = edit->body.size;
    edit->has_changed = true;
    buffer_release(&edit->body);
    edit->body = changed;
}

/* One directive at a time, then piece by piece what has become of the body. */
static bool finish(void *owner)
{
    struct text_edit *edit = owner;

    if (!edit->is_over && !is_wide(buffer_span(&edit->body)) &&
        edit->edits_done < edit->edit_count) {
        change(edit, &edit->edits[edit->edits_done++]);
        return false;
    }
    if (!edit->is_over && edit->came_bytes > edit->body.size)
        edit->counts.removed_bytes = edit->came_bytes - edit->body.size;
    if (!edit->is_over && edit->costly)
        edit->events->on_gave_up(edit->owner, "a rule ran into a limit and changed nothing",
                                 edit->costly);
    edit->is_over = true;
    let_go(edit, LET_GO_BYTES);
    return edit->body.size == 0;
}

static void stop(void *owner, rule_number *costly)
{
    struct text_edit *edit = owner;
    size_t at_work = edit->edits_done ? edit->edits_done - 1 : 0;

    *costly = edit->is_over ? 0 : edit->costly ? edit->costly : edit->edits[at_work].rule;
    edit->is_over = true;
    let_go(edit, SIZE_MAX);
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
