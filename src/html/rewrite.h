/*
 * rewrite.h - changes a page as it streams: copies every byte that it was not asked to change.
 *
 * Bytes in, bytes out, in spans of the input wherever nothing is changed. For start tags that
 * its selectors match, or of kinds its owner wants to see, the owner decides: the element stays,
 * goes with all its content, or is hollowed: kept as an element without content (scripts and
 * styles in it are left alone), for pages that count their elements. A tag's attributes can be
 * changed, text can be put before it and behind it, and at the start of the head.
 *
 * What a browser's parser makes of the output is what it would make of the input, less what was
 * removed: where a removed tag would have closed or opened other elements, these tags are
 * written out; formatting that leaks from a removed element is put back.
 *
 * When a limit is reached the rest passes as it is, and the owner is told. Text that is put in
 * must be ASCII, as the page's charset is not looked at. Knows nothing of HTTP, URLs or lists.
 */
#ifndef DEJUNK_HTML_REWRITE_H
#define DEJUNK_HTML_REWRITE_H

#include "html/selection.h"

enum {
    REWRITE_KEPT_TAG_BYTES = 4096, // a removed element's tag that may have to come back
    REWRITE_KEPT_TAGS_BYTES = 256 << 10,
    REWRITE_EDITS = 32, // in one tag
    REWRITE_EDIT_BYTES = 64 << 10,
    REWRITE_WORK = 1 << 22,    // steps allowed to any page,
    REWRITE_WORK_PER_BYTE = 64 // and more for each byte
};

enum rewrite_action {
    REWRITE_KEEP,
    REWRITE_REMOVE, // with all its content; html, head and body stay
    REWRITE_HOLLOW, // as above
    REWRITE_INSPECT // script, style and other elements of raw text: on_text decides
};

enum rewrite_reason { // why it gave up
    REWRITE_LONG_TAG,
    REWRITE_DEEP,
    REWRITE_WORK_SPENT,
    REWRITE_ESCAPE, // ESC: ISO-2022, where '<' need not be a '<'
    REWRITE_REASONS
};

struct rewrite_element {     // offered to on_element()
    const struct token *tag; // NULL: implied, so only to be kept or removed
    enum tag name;           // TAG_OTHER: see tag->name
    bool is_foreign;         // SVG or MathML
    bool is_raw_text;        // may be inspected
    bool is_in_hollow;       // a script or style in a hollow element
    const struct match *matches;
    size_t match_count;
};

struct rewrite_events {
    /* The page goes on; the bytes are good until it returns. */
    void (*on_output)(void *owner, struct span bytes);
    /* What is to become of this element? Here, and only here, the rewrite_...() functions below
     * that change its tag may be called. */
    enum rewrite_action (*on_element)(void *owner, const struct rewrite_element *element);
    /* The head begins: what is to be put at its start, or SPAN_NONE. May be NULL. */
    struct span (*on_head)(void *owner);
    /* The text of an inspected element, all of it or as much as is held. Answers REWRITE_KEEP or
     * REWRITE_REMOVE; *text may be changed. NULL where nothing is inspected. */
    enum rewrite_action (*on_text)(void *owner, struct span *text, bool is_whole);
    /* From here on the page passes untouched. May be NULL. */
    void (*on_gave_up)(void *owner, enum rewrite_reason reason);
};

struct rewrite_options {
    const struct selector_set *const *sets; // at most SELECTION_SETS, outlive the rewrite
    size_t set_count;
    const bool *wanted;    // of each tag: on_element() is asked even without a match; or NULL
    size_t inspect_bytes;  // of text held for on_text(); at most TOKENIZER_HELD_LIMIT_BYTES
    struct span hollow;    // behind the name of a hollow element's tag: " hidden"
    bool charset_is_known; // to be one without escape sequences
};

struct rewrite; // opaque

struct rewrite *rewrite_new(const struct rewrite_options *options,
                            const struct rewrite_events *events, void *owner);
void rewrite_free(struct rewrite **rewrite);

void rewrite_feed(struct rewrite *rewrite, struct span bytes);
void rewrite_finish(struct rewrite *rewrite);
/* As if a limit was reached, at the owner's wish: what is held comes out as it is, the rest is
 * copied; on_gave_up() is not called. Not from inside an event. */
void rewrite_stop(struct rewrite *rewrite);

/* ---- in on_element() only: false when there are too many changes; all are then dropped ---- */

/* Puts another value (raw, without double quotes and '>') in an attribute's place. */
bool rewrite_set_attribute(struct rewrite *rewrite, size_t index, struct span value);
bool rewrite_remove_attribute(struct rewrite *rewrite, size_t index);
/* " name=\"value\"", put behind the tag's name, where it wins over others of that name. */
bool rewrite_add_attributes(struct rewrite *rewrite, struct span text);

/* ---- any time ---- */

bool rewrite_gave_up(const struct rewrite *rewrite);
/* A selector that took most of the work so far; false: none is known. */
bool rewrite_costly(const struct rewrite *rewrite, struct match *out);
/* Bytes held back at this moment, and memory that grows with open elements. */
size_t rewrite_held(const struct rewrite *rewrite);
/* Bytes of the input that are not in the output. */
uint64_t rewrite_removed_bytes(const struct rewrite *rewrite);
/* Elements removed and hollowed. */
uint64_t rewrite_removed_elements(const struct rewrite *rewrite);

#endif
