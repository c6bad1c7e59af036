/*
 * validators.h - entity tags of edited bodies: marked on the way in, restored on the way out.
 *
 * A browser keeps what we made of a body, and asks with its validators whether that is still good.
 * It is, when the origin's body has not changed and neither have the rules. So the tag that it
 * sees carries the generation of the rules:
 *
 *     "abc" -> W/"abc-dj0123456789abcdefs"     s: it was a strong one, w: it was weak,
 *     (none, but a date) -> W/"-dj...n"        n: there was none, If-Modified-Since asks
 *
 * With another generation, or of a body that was not edited where it would be now, the origin is
 * asked without any condition. Knows nothing of rules.
 */
#ifndef DEJUNK_PROXY_VALIDATORS_H
#define DEJUNK_PROXY_VALIDATORS_H

#include "http/message.h"

enum { VALIDATORS_TAG_BYTES = 1024 }; // a longer one is left off an edited body

struct validators {   // of a request
    bool are_current; // they are of a body edited as it would be now; the origin's were restored
    struct span tag;  // as the browser sent it, where it is one alone
};

enum validators_outlook { // for the response
    OUTLOOK_UNEDITED,
    OUTLOOK_UNKNOWN, // it may be edited
    OUTLOOK_EDITED,  // it will be, unless its type or its bytes forbid it
};

/* Puts the conditions of a request right: If-None-Match, If-Modified-Since, If-Range (with Range),
 * If-Match. */
struct validators validators_restore(struct message *request, uint64_t generation,
                                     enum validators_outlook outlook);

/* The tag of an edited response, or of the 304 that stands for one to a request of `asked`. */
void validators_mark(struct message *response, uint64_t generation, const struct validators *asked);

#endif
