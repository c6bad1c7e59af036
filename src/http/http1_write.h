/*
 * http1_write.h - messages out as bytes of HTTP/1, serialised anew from their parsed form.
 *
 * Never a copy of what came: CRLF only, one Host first, one framing field made from
 * message->framing, and no field for one connection but those made here. Part of http1.h, for
 * whoever only writes.
 */
#ifndef DEJUNK_HTTP_HTTP1_WRITE_H
#define DEJUNK_HTTP_HTTP1_WRITE_H

#include "http/message.h"

struct http1_request_line {
    struct span target; // origin-form, or absolute-form towards a parent, or authority-form
    struct span host;   // host[:port], what Host says
    bool close;
};

/* Appends "METHOD target HTTP/1.1 CRLF fields CRLF CRLF" to `out`, from the message's parsed
 * form: dropped fields left out, Content-Length or Transfer-Encoding written from `framing`
 * alone, `host` as the only Host. Connection says "close" where `close`, "upgrade" where
 * is_upgrade, "TE" where there is a TE field. False, and nothing written, when out is full. */
bool http1_write_request(struct buffer *out, const struct message *message,
                         const struct http1_request_line *line);

/* The same for a response, as HTTP/1.1 (RFC 9110 section 6.2: our own version). framing may have
 * been changed by the caller (UNTIL_CLOSE -> CHUNKED for an HTTP/1.1 browser); UNTIL_CLOSE says
 * "Connection: close" by itself. A reason of SPAN_NONE becomes the standard phrase. answers: the
 * method of its request. */
bool http1_write_response(struct buffer *out, const struct message *message, enum method answers,
                          bool close);

/* "1a\r\n" into `to`, returns its length; data and CRLF follow it. Size 0 is the last chunk. */
enum { HTTP1_CHUNK_HEAD_BYTES = 20 };
size_t http1_chunk_head(char *to, uint64_t size);

/* "0\r\n" trailers "\r\n". */
bool http1_write_last_chunk(struct buffer *out, const struct message *message);

#endif
