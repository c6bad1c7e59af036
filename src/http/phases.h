/*
 * phases.h - the road every message walks, on both sides of the proxy, and the events on it.
 *
 *     FIRST_LINE -> HEADERS -> BODY -> FINISHED -> FIRST_LINE (the next message)
 *                      |                  ^
 *                      +------------------+    no body;  anything -> FAILED
 *
 * In line mode the next thing on the wire is a line, in raw mode a run of bytes. Spoken by http1
 * and (later) http2. The phase is written by one function, which checks the step.
 */
#ifndef DEJUNK_HTTP_PHASES_H
#define DEJUNK_HTTP_PHASES_H

#include "base/bytes.h"
#include "base/error.h"

enum phases_side { SIDE_BROWSER, SIDE_OUTGOING };
enum phase { PHASE_FIRST_LINE, PHASE_HEADERS, PHASE_BODY, PHASE_FINISHED, PHASE_FAILED, PHASES };
enum phase_mode { LINE_MODE, RAW_MODE };

struct phases_events {
    /* The first byte of a message is here. May be NULL, as may on_first_line and on_interim. */
    void (*on_started)(void *owner);
    void (*on_first_line)(void *owner);
    /* A 1xx response other than 101 is complete in the message. */
    void (*on_interim)(void *owner);
    /* The message has its fields and framing. 101 and CONNECT's 2xx are followed by
     * on_finished; what comes after on the wire is not ours. */
    void (*on_headers_finished)(void *owner);
    /* Body bytes, decoded from chunks; borrowed until it returns. */
    void (*on_body)(void *owner, struct span bytes);
    /* The message is complete, trailers too. */
    void (*on_finished)(void *owner);
    /* At most once, and last. `status` is what a browser side answers with: 400, 413, 414, 417,
     * 431, 501, 505; an outgoing side's owner answers 502. */
    void (*on_error)(void *owner, const struct error *error, unsigned status);
};

const char *phase_name(enum phase phase);
bool phase_may_follow(enum phase from, enum phase to);

#endif
