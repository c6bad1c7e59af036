/*
 * values.h - the values of a rule's options: as they are meant, and whether they are good.
 *
 * Undoes the escapes of the lists and asks those who will work with a value whether they can. Knows
 * the rule that a line says (rule.h), and nothing of how it is kept or found. What is made stands
 * in the caller's arena; what needs no change is the rule's own.
 */
#ifndef DEJUNK_FILTER_VALUES_H
#define DEJUNK_FILTER_VALUES_H

#include "base/arena.h"
#include "filter/rule.h"

/* Without the backslash in front of any of `bytes`. */
struct span values_unescape(struct arena *arena, struct span text, const char *bytes);

/* The modifier's value without the lists' escapes. REASON_NONE: it is good; else why it is not. */
enum rule_reason values_clean(struct arena *arena, const struct rule *rule, struct span *out);

/* Does every regular expression in a list divided by '|' compile? */
bool values_items_are_good(struct span list);

/* Does the expression of "name:/regex/" compile, if there is one? */
bool values_field_is_good(struct span written);

#endif
