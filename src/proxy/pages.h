/*
 * pages.h - the small plain pages that dejunk answers with itself: what happened, in words.
 *
 * Bytes of a whole response; knows nothing of connections. What came from a peer is escaped.
 */
#ifndef DEJUNK_PROXY_PAGES_H
#define DEJUNK_PROXY_PAGES_H

#include "http/message.h"

struct page {
    unsigned status;
    struct span title;        // SPAN_NONE: the status's standard phrase
    struct span text;         // one or two sentences, plain text
    struct span proxy_status; // RFC 9209 error type for Proxy-Status, or SPAN_NONE
    struct span extra;        // more header lines, each with its CRLF, or SPAN_NONE
    struct span html;         // behind the text, as it is: ours alone
    struct span content_type; // .at set: `body` is sent as it is, in place of a page of ours
    struct span body;
    enum method answers;
    bool http10; // the browser speaks HTTP/1.0
    bool close;
};

/* Appends the response. False when `out` is full. */
bool page_write(struct buffer *out, const struct page *page);

/* What an error on the outgoing side answers with: 502, 503, 504 or 403, and its RFC 9209 name. */
unsigned page_status_of(enum error_kind kind);
struct span page_proxy_status_of(enum error_kind kind);

/* Appends `text` with & < > " ' as character references and controls as '?'. */
bool page_append_escaped(struct buffer *out, struct span text);

#endif
