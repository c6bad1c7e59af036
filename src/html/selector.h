/*
 * selector.h - CSS selectors, compiled for a page that streams.
 *
 * A set holds many thousands of selectors, each with a number of its owner's choice, and finds
 * those that an element matches with a few probes, whatever their count (selection.h does). A
 * selector is streamed when all it asks is known once the element's start tag is there: names,
 * classes, attributes, ancestors, elder siblings. What needs younger siblings, descendants, text
 * or the state of the browser is for the page itself: the set does not hold it, and says so.
 *
 * What lists write and CSS does not know is told apart from what is wrong.
 */
#ifndef DEJUNK_HTML_SELECTOR_H
#define DEJUNK_HTML_SELECTOR_H

#include "base/error.h"
#include "html/tag.h"

enum {
    SELECTOR_LIMIT_BYTES = 16384,
    SELECTOR_COMPOUNDS = 128,    // joined by combinators
    SELECTOR_TESTS = 128,        // in one compound
    SELECTOR_NESTING = 8,        // of :not() and the like
    SELECTOR_POSITIONS = 1 << 20 // compounds in a set; as many tests twice over
};

enum selector_kind {
    SELECTOR_STREAMED,   // decided as the page streams
    SELECTOR_FOR_PAGE,   // CSS, for a style sheet in the page
    SELECTOR_PROCEDURAL, // :has-text() and its like, for a script in the page
    SELECTOR_INVALID
};

struct selector_set;

struct selector_set *selector_set_new(void);
void selector_set_free(struct selector_set **set);

/* Adds a list of selectors (separated by commas), all with this number. The answer is that of
 * the hardest one; where it is SELECTOR_FOR_PAGE, those that are streamed are in the set still,
 * else nothing was added. `error` (may be NULL) says what is wrong with an invalid one. */
enum selector_kind selector_set_add(struct selector_set *set, struct span text, uint32_t id,
                                    struct error *error);

/* After the last one was added, and before it is used; from then on it does not change and may
 * be shared. */
void selector_set_finish(struct selector_set *set);

/* How many selectors it holds, each alternative of a list counted. */
size_t selector_set_count(const struct selector_set *set);
size_t selector_set_bytes(const struct selector_set *set);

/* What selector_set_add() would answer. */
enum selector_kind selector_classify(struct span text);

#endif
