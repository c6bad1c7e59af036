/*
 * text_edit.h - `replace`, `jsonprune` and `xmlprune` as an editor: it holds all of a body.
 *
 * What is longer than filter/edit.h takes passes as it came, and so does what is no text in an
 * encoding where ASCII bytes are ASCII. Each directive has a turn of its own, within the limits of
 * filter/edit.h. Knows nothing of responses but the type they say.
 */
#ifndef DEJUNK_PROXY_TEXT_EDIT_H
#define DEJUNK_PROXY_TEXT_EDIT_H

#include "proxy/body_edit.h"
#include "proxy/judge.h"

struct text_subject { // borrowed until the editor is freed
    struct amender *amender;
    const struct directives *directives; // that hold for the request
    struct span content_type, charset, url;
};

/* Could any of these change a body? Before the request goes out. */
bool text_edit_may(const struct directives *directives);
/* False: none of them is for such a body. */
bool text_edit_open(struct body_edit *out, const struct text_subject *subject,
                    const struct body_edit_events *events, void *owner);

#endif
