/*
 * part.h - parts of a body: which one an answer brings, and what a part can be gone on by.
 *
 * Fields in, facts out (RFC 9110 sections 8.8 and 14). Knows no transfer and keeps nothing.
 */
#ifndef DEJUNK_PROXY_PART_H
#define DEJUNK_PROXY_PART_H

#include "http/message.h"

struct part { // bytes of the whole body, counted from 0
    uint64_t first, last;
    uint64_t whole; // its length; UINT64_MAX: not known
};

/* Content-Range of a 206, "bytes 5-9/10" or "bytes 5-9/" with a star (section 14.4). False: it is
 * not well-formed, or impossible; *out is what it was. */
bool part_read(struct part *out, struct span content_range);

/* Content-Range of a 416, a star and "/10": how long the whole is. False as above. */
bool part_read_none(uint64_t *whole, struct span content_range);

/* What a part of this body can go on by: a strong ETag, or a date that is surely older than any
 * change that the date could hide (section 8.8.2.2). Points into the response; empty: nothing. */
struct span part_validator(const struct message *response);

/* Does this part say that it is of another body than the one that had this validator? */
bool part_is_of_another(const struct message *response, struct span validator);

#endif
