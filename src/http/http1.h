/*
 * http1.h - HTTP/1 on the wire: bytes in, the events of phases.h out; and messages out as bytes.
 *
 * One machine for both sides. It walks FIRST_LINE -> HEADERS -> BODY (phases.h), in line mode
 * where the next thing is a line, in raw mode where it is a run of bytes; llhttp, built strict,
 * drives headers and chunks behind our own checks of each line (what llhttp lets through wrongly
 * is refused, what browsers send and it refuses is served). Knows nothing of sockets. However the
 * bytes were cut, the events, body pieces joined, are the same.
 *
 * The owner feeds bytes and is told what happened. From inside an event it may call http1_pause()
 * and http1_stop(); it must not free the parser.
 */
#ifndef DEJUNK_HTTP_HTTP1_H
#define DEJUNK_HTTP_HTTP1_H

#include <sys/uio.h>

#include "http/message.h"
#include "http/phases.h"

/* What a peer may send (RELIABILITY figures); each with a test at limit and limit + 1. */
enum {
    HTTP1_FIRST_LINE_BYTES = 16 * 1024,     // request line
    HTTP1_FIELD_BYTES = 16 * 1024,          // one header line of a request
    HTTP1_REQUEST_HEAD_BYTES = 64 * 1024,   // all header lines of a request
    HTTP1_REQUEST_FIELDS = 200,
    HTTP1_RESPONSE_HEAD_BYTES = 256 * 1024, // all of a response, one line may be as long
    HTTP1_RESPONSE_FIELDS = 500,
    HTTP1_CHUNK_LINE_BYTES = 256,
    HTTP1_TRAILER_BYTES = 16 * 1024,
    HTTP1_INTERIM_RESPONSES = 32,           // 1xx before the final one
};

struct http1; // opaque, about as small as llhttp_t allows; idle connections need none

/* For requests (our browser side) or responses (our outgoing side). */
struct http1 *http1_new(enum phases_side side, const struct phases_events *events, void *owner);
void http1_free(struct http1 **parser);

/* Before the first byte of each message: where it goes. For a response also the method of the
 * request that it answers (HEAD and CONNECT change its framing). The message and its arena
 * outlive the parsing. 1xx responses are told with on_interim and the same message is then used
 * anew for the next. */
void http1_begin(struct http1 *parser, struct message *message, enum method answers);

/* Eats what it can and says how much: all, or up to the end of the message, or up to where an
 * event paused it, or up to the start of raw mode for good (CONNECT, 101). Zero with bytes left
 * when it is FINISHED or FAILED. Empty lines before a request are passed over (at most 4). */
size_t http1_feed(struct http1 *parser, struct span bytes);

/* The peer has finished sending. Ends a body that lasts until close; else, inside a message,
 * on_error(ERROR_LOST). */
void http1_end(struct http1 *parser);

void http1_pause(struct http1 *parser);  // http1_feed() returns after the event under way
void http1_resume(struct http1 *parser);

enum phase http1_phase(const struct http1 *parser);
/* Body bytes that are still to come and that are on the wire as they are (length or until
 * close), so that they may be spliced past the parser: UINT64_MAX until close, 0: none or not
 * so. http1_skip() tells how many went by; finishing the body raises on_finished. */
uint64_t http1_raw_left(const struct http1 *parser);
void http1_skip(struct http1 *parser, uint64_t bytes);

/* ---- writing ---------------------------------------------------------------------------- */

/* Appends "METHOD target HTTP/1.1 CRLF fields CRLF CRLF" to `out`, from the message's parsed
 * form: dropped fields left out, Content-Length and Transfer-Encoding written from `framing`
 * alone, `host` as the only Host. close adds "Connection: close". Upgrade requests keep
 * "Connection: upgrade" and Upgrade. False when out is full. */
struct http1_request_line {
    struct span target; // origin-form, or absolute-form towards a parent, or authority-form
    struct span host;   // host[:port]
    bool close;
};
bool http1_write_request(struct buffer *out, const struct message *message,
                         const struct http1_request_line *line);
/* The same for a response, as HTTP/1.1 (RFC 9110 section 6.2: our own version). framing may have
 * been changed by the caller (UNTIL_CLOSE -> CHUNKED for an HTTP/1.1 browser). answers: the method
 * of its request. */
bool http1_write_response(struct buffer *out, const struct message *message, enum method answers,
                          bool close);
/* "1a\r\n" into `to`, returns its length; data and CRLF follow it. */
enum { HTTP1_CHUNK_HEAD_BYTES = 20 };
size_t http1_chunk_head(char *to, uint64_t size);
/* "0\r\n" trailers "\r\n". */
bool http1_write_last_chunk(struct buffer *out, const struct message *message);

#endif
