/*
 * first_line.h - the first line of a request or response, taken apart strictly.
 *
 * Knows nothing of how lines are found. One blank between the parts, HTTP/1.x, a method that is a
 * token (unknown ones are legal), a status of three digits. llhttp is not asked: it knows some
 * methods only, and refuses bytes in targets that browsers send.
 */
#ifndef DEJUNK_HTTP_FIRST_LINE_H
#define DEJUNK_HTTP_FIRST_LINE_H

#include "http/message.h"
#include "http/refusal.h"

enum { FIRST_LINE_METHOD_BYTES = 64 };

/* Can a message begin so? `bytes` is what there is of its first line, one byte at least. What
 * others speak (TLS, SOCKS, SMTP, HTTP/2) is known by that, without waiting for a line end that
 * may not come. */
bool first_line_may_begin(struct span bytes, bool is_request);

/* Fills the message's first-line fields with spans of `line`, which is without its CRLF and began
 * well. False: *why says what is wrong. */
bool first_line_parse(struct message *message, struct span line, struct refusal *why);

#endif
