/*
 * amendment.h - directives of rules done to messages: URLs, header fields, cookies, policies.
 *
 * What a directive's value means is filter/amend.h's; here it meets messages. Text that is added
 * lives in the message's arena. Knows nothing of connections.
 */
#ifndef DEJUNK_PROXY_AMENDMENT_H
#define DEJUNK_PROXY_AMENDMENT_H

#include "http/message.h"
#include "proxy/judge.h"

/* Where urlskip leads a page visit, in the arena; .at NULL: nowhere. */
struct span amendment_skip(struct amender *amender, const struct directives *directives,
                           struct span url, bool is_blocked, struct arena *arena);

/* Another URL for the request, in the arena; .at NULL: it stays. Page visits may also be sent
 * where urlskip leads. */
struct span amendment_url(struct amender *amender, const struct directives *directives,
                          struct span url, bool is_page_visit, struct arena *arena);

/* Fields and cookies of a request. True: something changed. */
bool amend_request(struct amender *amender, const struct directives *directives,
                   struct message *request);

/* Fields, cookies and policies of a response to a request of that type. True: something changed. */
bool amend_response(struct amender *amender, const struct directives *directives,
                    struct message *response, enum request_type type);

#endif
