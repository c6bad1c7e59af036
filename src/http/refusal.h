/*
 * refusal.h - why a message is not taken: the kind for the program, the status for the browser,
 * the words for both.
 */
#ifndef DEJUNK_HTTP_REFUSAL_H
#define DEJUNK_HTTP_REFUSAL_H

#include <stdbool.h>

#include "base/error.h"

struct refusal {
    enum error_kind kind;
    unsigned status;  // what a browser is answered; an origin's fault is always 502
    const char *text; // a constant, never from a peer
};

/* Always false: `return refuse(why, ERROR_LIMIT, 431, "...")`. */
static inline bool refuse(struct refusal *why, enum error_kind kind, unsigned status,
                          const char *text)
{
    *why = (struct refusal){ kind, status, text };
    return false;
}

static inline bool refuse_syntax(struct refusal *why, const char *text)
{
    return refuse(why, ERROR_SYNTAX, 400, text);
}

#endif
