/*
 * page_hints.h - `Link` fields of a page, less what would have the browser fetch what is stopped.
 *
 * They do what <link> does (RFC 8288), before the page is there. Only links that fetch by
 * themselves go; all others, and what is not well-formed, stay as they are. Knows nothing of rules.
 */
#ifndef DEJUNK_PROXY_PAGE_HINTS_H
#define DEJUNK_PROXY_PAGE_HINTS_H

#include "filter/request.h"
#include "http/message.h"

/* Would a request for this URL be stopped? is_host_only: every request to its host. */
typedef bool page_hint_stopped(void *owner, struct span url, enum request_type type,
                               bool is_host_only);

/* `url` is the page's. */
void page_hints_filter(struct message *response, struct span url, page_hint_stopped *is_stopped,
                       void *owner);

#endif
