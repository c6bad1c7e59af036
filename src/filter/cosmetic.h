/*
 * cosmetic.h - rules that change pages: what one says, and which hold for a host.
 *
 * Selection reads the section COSMETIC of a database (image.h) and allocates nothing that outlives
 * the call; a rule's text is database_rule()'s, taken apart by rule_parse() and cosmetic_parse().
 * Knows nothing of HTML: a selector is a text here.
 */
#ifndef DEJUNK_FILTER_COSMETIC_H
#define DEJUNK_FILTER_COSMETIC_H

#include "filter/database.h"
#include "filter/image.h"
#include "filter/rule.h"

enum {
    COSMETIC_TESTS = 8,          // of an element's text, in one rule
    COSMETIC_FOUND_LIMIT = 8192, // rules of one host; further ones are not looked for
    COSMETIC_TEXT_BYTES = 8192,  // an element with more is not touched by "$$", unless it says so
};

enum cosmetic_effect {
    COSMETIC_HIDES,
    COSMETIC_STYLES, // `style`
    COSMETIC_REMOVES,
};

enum cosmetic_test_kind { COSMETIC_HAS_TEXT, COSMETIC_HAS_REGEX, COSMETIC_IS_LIKE };

struct cosmetic_test { // of the text in an element
    enum cosmetic_test_kind kind;
    unsigned flags;   // of regex.h
    struct span text; // to be found, or a pattern with '*' and '?' that all of it must match
};

struct cosmetic_parts {
    enum cosmetic_effect effect;
    bool is_html;         // an HTML filter: takes effect before the browser sees the page
    struct span selector; // may have operators that CSS does not know
    struct span style;    // declarations, without braces
    struct cosmetic_test tests[COSMETIC_TESTS];
    size_t test_count;
    size_t least_bytes, most_bytes; // of the element's text
    char room[RULE_TEXT_LIMIT + 8]; // some of the texts are here
};

/* Takes a cosmetic rule's body apart (not of scriptlets and headers). False: it is not
 * well-formed, or asks for what is not done. Spans point into the body and into parts->room. */
bool cosmetic_parse(struct cosmetic_parts *parts, const struct rule *rule);

/* Is a text one that a rule may put into a style sheet? No comments, no braces, nothing that
 * fetches. */
bool cosmetic_style_is_good(struct span style);

struct cosmetic_found {
    rule_number rule;
    bool is_exception; // takes rules of the same body off here
    bool is_not;       // a generic rule that does not hold here
};

/* The rules that name this host (lower case, a dot at its end off), the most specific name of
 * each deciding; in the order of their numbers. Returns how many; fills in at most `limit`. */
size_t cosmetic_select(const struct database *database, struct span host,
                       struct cosmetic_found *out, size_t limit);

/* A walk over generic rules and generic exceptions, in the order of their numbers; a zeroed one
 * begins. */
struct cosmetic_walk {
    uint32_t pair, done; // cosmetic.c only
    struct cosmetic_found next;
};
/* False: that was all. */
bool cosmetic_next_generic(const struct database *database, struct cosmetic_walk *walk,
                           struct cosmetic_found *out);

/* Is a section COSMETIC good? For database.c. */
bool cosmetic_check(const struct image_view *view);

#endif
