/*
 * expressions.h - regular expressions by their text, compiled at first use and kept; finding and
 * replacing with them.
 *
 * For what directives say about texts: URLs, cookies, fields, bodies. One for each thread. The
 * dialect is that of the lists (regex.h), the replacement's that of JavaScript: $1 $2 ... $& $$
 * $<name>; "\/", "\," and "\$" are the lists' own escapes for '/', ',' and '$'. What is done
 * to one text has limits on steps (regex.h) and memory; past them nothing is found, and the
 * expression counts as costly.
 */
#ifndef DEJUNK_FILTER_EXPRESSIONS_H
#define DEJUNK_FILTER_EXPRESSIONS_H

#include "base/bytes.h"

enum {
    EXPRESSIONS_KEPT = 256,        // more are compiled anew
    EXPRESSIONS_GROUPS = 32,       // that can be asked for
    EXPRESSIONS_REPLACED = 100000, // places in one text; further ones stay as they are
};

struct expressions; // opaque

struct expressions *expressions_new(void);
void expressions_free(struct expressions **expressions);

/* Is "/text/flags" found? Never, when it does not compile. */
bool expressions_find(struct expressions *expressions, struct span written, struct span text);

/* The first group of its first match in `text`; false where there is none. */
bool expressions_group(struct expressions *expressions, struct span written, struct span text,
                       struct span *group);

/* "/text/replacement/flags" taken apart; false: it is not of that form. */
struct replacement {
    struct span expression;  // between the first two slashes; may be empty
    struct span replacement; // raw
    struct span flags;
};
bool replacement_split(struct replacement *out, struct span written);

enum replace_result {
    REPLACE_NOTHING, // not found, or it makes no difference; `out` is empty
    REPLACE_DONE,
    REPLACE_TOO_MUCH, // past a limit of steps or of `out`; `out` is empty
};
/* Replaces the first match in `text`, all with the flag "g". `out` is empty, with its limit set. */
enum replace_result expressions_replace(struct expressions *expressions,
                                        const struct replacement *replacement, struct span text,
                                        struct buffer *out);

/* Do the expressions of such values compile? For the compiler of lists. */
bool expression_is_good(struct span written);
bool replacement_is_good(struct span written);

#endif
