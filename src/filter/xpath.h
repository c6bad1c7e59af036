/*
 * xpath.h - which parts of an XML text an XPath names, and the text without them.
 *
 * XPath 1.0 but for variables, namespaces (a name is compared as it is written, prefix and all),
 * comments and processing instructions. What it has:
 *
 *      /MPD/Period   //Period   ./a   ../b   @id   *   text()   node()   axis::name
 *        axes: child descendant descendant-or-self parent ancestor ancestor-or-self self
 *              attribute following-sibling preceding-sibling
 *      [3] [last()] [@id] [a = 'b'] [not(contains(@id, 'ad-')) and position() mod 2 = 1]
 *        or and = != < <= > >= + - * div mod | and parentheses
 *      position last count name local-name string concat starts-with contains substring-before
 *      substring-after substring string-length normalize-space translate boolean not true false
 *      number sum floor ceiling round
 *
 * Elements, attributes and texts can be taken out. The work for one text and the memory for its
 * strings have limits.
 */
#ifndef DEJUNK_FILTER_XPATH_H
#define DEJUNK_FILTER_XPATH_H

#include "filter/json_path.h" // enum prune_result

enum {
    XPATH_WORK = 8000000, // bytes of strings made, and steps of as much time, for one text
};

/* Without what `expression` names; all other bytes are as they were. `out` is empty, with its limit
 * set; it stays empty unless PRUNE_DONE. */
enum prune_result xpath_prune(struct span expression, struct span text, struct buffer *out);

/* Can it be read, and does it name nodes? */
bool xpath_is_good(struct span expression);

#endif
