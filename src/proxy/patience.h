/*
 * patience.h - which answers are worth another attempt, and how long to wait before it.
 *
 * Pure questions; knows no clock but what it is given.
 */
#ifndef DEJUNK_PROXY_PATIENCE_H
#define DEJUNK_PROXY_PATIENCE_H

#include <time.h>

#include "base/bytes.h"

enum {
    PATIENCE_FIRST_MS = 1000, // before the second attempt; doubled for each further one
    PATIENCE_MOST_MS = 60 * 1000,
};

/* Does this status say that it may go better later (RFC 9110 sections 15.5.9, 15.6; RFC 6585)? */
bool patience_status(unsigned status);

/* Back-off before attempt `attempt` + 1 (the first is 1): doubled each time, and of that a half for
 * certain and a half by chance (`chance` is any random number), so that many who failed together
 * do not come again together. */
uint64_t patience_wait_ms(unsigned attempt, uint32_t chance);

/* Retry-After (RFC 9110 section 10.2.3), as seconds from `now`; false when it is neither a number
 * nor a date. A date that has passed is 0. */
bool patience_retry_after(struct span value, time_t now, uint64_t *seconds);

/* "Sun, 06 Nov 1994 08:49:37 GMT" and the two old forms (RFC 9110 section 5.6.7). */
bool patience_date(struct span text, time_t *out);

#endif
