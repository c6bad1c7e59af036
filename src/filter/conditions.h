/*
 * conditions.h - what rules ask about addresses and header fields, text against text.
 *
 * Knows nothing of rules' other parts or of the database. Regular expressions among the values are
 * compiled for each question: these conditions are rare and asked last.
 */
#ifndef DEJUNK_FILTER_CONDITIONS_H
#define DEJUNK_FILTER_CONDITIONS_H

#include "base/bytes.h"

/* `written`: "name", "name:value" (without case, '*' for any run, else part of it), "name:~value",
 * "name:/regex/flags". `field` gives a field's value or .at NULL; may be NULL: false. */
bool condition_field(struct span written, struct span (*field)(void *owner, struct span name),
                     void *owner);

/* `list`: divided by '|', each an address, a block ("10.0.0.0/8"), "lan", "loopback", text with
 * '*', a regular expression, or a name; '~' in front: not. Holds for `address` or `name` (either
 * may be empty: not known; both: false). */
bool condition_address(struct span list, struct span address, struct span name);

#endif
