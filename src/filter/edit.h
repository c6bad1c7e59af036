/*
 * edit.h - what directives do to the body of a response: a whole text in, a whole text out.
 *
 * `replace` for every kind of text, `jsonprune` for JSON (json_path.h), `xmlprune` for XML
 * (xpath.h). The caller gathers the decoded body, up to EDIT_BODY_LIMIT; what is longer passes
 * as it came, and has the directives do their work one after the other, each on what the one before
 * made of it. Knows nothing of HTTP but the name of a media type.
 */
#ifndef DEJUNK_FILTER_EDIT_H
#define DEJUNK_FILTER_EDIT_H

#include "filter/amend.h"
#include "filter/json_path.h" // enum prune_result

#define EDIT_BODY_LIMIT (4u << 20)   // bytes of a body
#define EDIT_RESULT_LIMIT (8u << 20) // and of what it becomes
#define EDIT_LIMIT 32u               // directives for one body; further ones are left out

enum edit_media {
    EDIT_NONE, // no text: never touched
    EDIT_TEXT, // pages, style sheets, scripts, plain text, playlists
    EDIT_JSON,
    EDIT_XML, // not XHTML or SVG: those are text
};

/* What kind of body is it, by the value of Content-Type (may be empty) and the URL? */
enum edit_media edit_media_of(struct span content_type, struct span url);

/* Could any of these change a body of some kind? To be asked before the request goes out. */
bool edit_may(const struct directive *directives, size_t count);

/* Those that can change a body of this kind, in their order; `out` may be `directives` itself.
 * Returns how many, at most `limit`. */
size_t edit_pick(const struct directive *directives, size_t count, enum edit_media media,
                 struct directive *out, size_t limit);

/* Does a picked directive's work on `body`. PRUNE_DONE: *out (empty before) is the new body, to be
 * released by the caller. PRUNE_TOO_MUCH: the rule ran into a limit; of time, too, which is that of
 * some million steps. A body that is not there (.at NULL) stays so. */
enum prune_result edit_body(struct amender *amender, const struct directive *edit, struct span body,
                            struct buffer *out);

#endif
