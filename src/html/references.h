/*
 * references.h - what character references in text and attribute values stand for.
 *
 * HTML section 13.2.5.72 and following. Bytes that are no reference are copied as they are, so
 * any charset passes in which ASCII bytes are ASCII; what a reference stands for is written as
 * UTF-8. Line ends become line feeds, as the parser's input stream has them.
 */
#ifndef DEJUNK_HTML_REFERENCES_H
#define DEJUNK_HTML_REFERENCES_H

#include "base/bytes.h"

enum references_where {
    REFERENCES_IN_TEXT,
    REFERENCES_IN_ATTRIBUTE // "&copy=1" is left alone, NUL is U+FFFD
};

/* Appends `raw`, decoded, to `to`: at most three bytes for each one. False past its limit; it
 * may then hold a part. */
bool references_decode(struct buffer *to, struct span raw, enum references_where where);

/* False: decoding would change nothing. */
bool references_needed(struct span raw);
/* The same where the sixteen bytes up to its end may be read: faster for a short one. */
bool references_needed_inside(struct span raw);

#endif
