/*
 * charset.h - which charset a page is in, and whether its tags can be read without knowing more.
 *
 * Labels and names are those of the Encoding standard. A page is readable when every byte below
 * 0x80 that looks like markup is markup: so in all charsets but UTF-16 and those that switch with
 * escape sequences. What a page's <meta> says is not asked: in UTF-16 none could be read, and
 * escape sequences show themselves (rewrite.h).
 */
#ifndef DEJUNK_HTML_CHARSET_H
#define DEJUNK_HTML_CHARSET_H

#include "base/bytes.h"

enum charset_kind {
    CHARSET_UNKNOWN, // no label, or one that nobody knows
    CHARSET_READABLE,
    CHARSET_UNREADABLE // to be passed as it is
};

/* The charset's name ("shift_jis" for "x-sjis"), or SPAN_NONE for a label that nobody knows. */
struct span charset_name(struct span label);
enum charset_kind charset_kind(struct span label);

/* By the byte order mark at a page's start, which wins over every label; SPAN_NONE: there is none.
 */
struct span charset_mark(struct span start);

#endif
