/*
 * http1.h - HTTP/1 on the wire: bytes in, the events of phases.h out; and messages out as bytes.
 *
 * One machine for both sides. It walks FIRST_LINE -> HEADERS -> BODY (phases.h), in line mode
 * where the next thing is a line, in raw mode where it is a run of bytes; llhttp, built strict,
 * drives framing and chunks behind our own checks of each line (what llhttp lets through wrongly
 * is refused, what browsers send and it refuses is served). Knows nothing of sockets. However the
 * bytes were cut, the events, body pieces joined, are the same.
 *
 * The owner feeds bytes and is told what happened. From inside an event it may call anything here
 * but http1_free(). Messages are written by http1_write.h.
 */
#ifndef DEJUNK_HTTP_HTTP1_H
#define DEJUNK_HTTP_HTTP1_H

#include "http/http1_write.h"
#include "http/message.h"
#include "http/phases.h"

/* What a peer may send (RELIABILITY figures); each with a test at limit and limit + 1. */
enum {
    HTTP1_FIRST_LINE_BYTES = 16 * 1024,   // request or status line; all without their CRLF
    HTTP1_FIELD_BYTES = 16 * 1024,        // one header line of a request
    HTTP1_REQUEST_HEAD_BYTES = 64 * 1024, // all header lines of a request
    HTTP1_REQUEST_FIELDS = 200,
    HTTP1_RESPONSE_HEAD_BYTES = 256 * 1024, // all of a response, one line may be as long
    HTTP1_RESPONSE_FIELDS = 500,
    HTTP1_CHUNK_LINE_BYTES = 256,
    HTTP1_TRAILER_BYTES = 16 * 1024,
    HTTP1_INTERIM_RESPONSES = 32, // 1xx before the final one
};

struct http1; // opaque, some 200 bytes and at times a line; idle connections need none

/* For requests (our browser side) or responses (our outgoing side). */
struct http1 *http1_new(enum phases_side side, const struct phases_events *events, void *owner);
void http1_free(struct http1 **parser);

/* Before the first byte of each message: where it goes, made by message_init(). For a response
 * also the method of the request that it answers (HEAD and CONNECT change its framing). The
 * message and its arena outlive the parsing. 1xx responses are told with on_interim and the same
 * message is then used anew for the next. A 101 that nobody asked for is the owner's to refuse:
 * only it knows whether the request had is_upgrade. */
void http1_begin(struct http1 *parser, struct message *message, enum method answers);

/* Eats what it can and says how much: all, or up to the end of the message, or up to where an
 * event paused it, or up to the start of raw mode for good (CONNECT, 101). Zero with bytes left
 * when it is paused, FINISHED or FAILED. Empty lines before a request are passed over (at most
 * 4). What cannot be the first byte of HTTP/1 fails at once, without waiting for a line. */
size_t http1_feed(struct http1 *parser, struct span bytes);

/* The peer has finished sending. Ends a body that lasts until close; inside a message, or where a
 * response is waited for, on_error(ERROR_LOST). */
void http1_end(struct http1 *parser);

/* No byte more is eaten after the event under way, until http1_resume(); then feed what was left.
 * Events for which no more bytes are needed still come: on_first_line after on_started, and
 * on_finished after the last body byte or after the head of a message without a body. */
void http1_pause(struct http1 *parser);
void http1_resume(struct http1 *parser);
/* The owner gives up on this connection: no more bytes, no more events, not even on_error(). */
void http1_stop(struct http1 *parser);

enum phase http1_phase(const struct http1 *parser);
/* Body bytes that are still to come and that are on the wire as they are (length or until
 * close), so that they may be spliced past the parser: UINT64_MAX until close, 0: none or not
 * so. http1_skip() tells how many went by; finishing the body raises on_finished. */
uint64_t http1_raw_left(const struct http1 *parser);
void http1_skip(struct http1 *parser, uint64_t bytes);

#endif
