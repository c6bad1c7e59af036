/*
 * conditions.h - what rules ask about addresses and header fields, text against text.
 *
 * Knows nothing of rules' other parts or of the database. Regular expressions among the values are
 * compiled at first use and kept by whoever asks.
 */
#ifndef DEJUNK_FILTER_CONDITIONS_H
#define DEJUNK_FILTER_CONDITIONS_H

#include "base/bytes.h"

struct expressions;

/* The value of the `number`th field of a name, from 0 on, or .at NULL. */
typedef struct span condition_value(void *owner, struct span name, unsigned number);

/* `written`: "name"; "name:value" (part of the value, without case; '*' for any run, '?' for one
 * byte); "name:/regex/flags" (capitals count but for the flag "i"); "name:~..." for: not that. Of
 * several fields with the name one is enough. `value_of` may be NULL: false. */
bool condition_field(struct expressions *expressions, struct span written,
                     condition_value *value_of, void *owner);

/* `list`: divided by '|', each an address, a block ("10.0.0.0/8"), "lan", "loopback", text with
 * '*', a regular expression, or a name; '~' in front: not. In quotes '\' keeps the next byte as it
 * is. Holds for `address` or `name` (either may be empty: not known; both: false). */
bool condition_address(struct expressions *expressions, struct span list, struct span address,
                       struct span name);

#endif
