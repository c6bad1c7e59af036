/*
 * charset.h - which charset a page is in, and whether its tags can be read without knowing more.
 *
 * Labels and names are those of the Encoding standard; the look at the page's beginning is HTML
 * section 13.2.3. A page is readable when every byte below 0x80 that looks like markup is
 * markup: so in all charsets but UTF-16 and those that switch with escape sequences.
 */
#ifndef DEJUNK_HTML_CHARSET_H
#define DEJUNK_HTML_CHARSET_H

#include "base/bytes.h"

enum charset_kind {
    CHARSET_UNKNOWN, // no label, or one that nobody knows
    CHARSET_READABLE,
    CHARSET_UNREADABLE // to be passed as it is
};

enum { CHARSET_SNIFF_BYTES = 1024 };

/* The charset's name ("shift_jis" for "x-sjis"), or SPAN_NONE for a label that nobody knows. */
struct span charset_name(struct span label);
enum charset_kind charset_kind(struct span label);

/* By the first bytes of a page: its byte order mark, or a <meta> that says so. A page should say
 * it in its first CHARSET_SNIFF_BYTES; browsers look no further before they begin, but follow
 * what comes later too. All of `start` is looked at. SPAN_NONE: nothing is said. */
struct span charset_sniff(struct span start);
/* By the byte order mark alone, which wins over every label. */
struct span charset_mark(struct span start);

/* What holds for a page with this label in its Content-Type (or SPAN_NONE) that begins so: a
 * mark wins, then the label, then what the page says of itself. */
enum charset_kind charset_of_page(struct span label, struct span start);

#endif
