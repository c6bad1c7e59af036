/*
 * sniff.h - does a body that is labelled as a page begin like one?
 *
 * Answers to scripts are labelled so, too: JSON, feeds and other XML, pieces of text. Knows nothing
 * of messages.
 */
#ifndef DEJUNK_HTML_SNIFF_H
#define DEJUNK_HTML_SNIFF_H

#include "base/bytes.h"

enum sniff {
    SNIFF_MORE, // more of it tells
    SNIFF_PAGE,
    SNIFF_OTHER,
};

/* By its first bytes; `is_all`: no more are to be had, `is_whole`: because there are no more. Where
 * it is shown as a page in any case (`is_visit`) text without a tag is one, too. */
enum sniff sniff_page(struct span start, bool is_all, bool is_whole, bool is_visit);

#endif
