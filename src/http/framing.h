/*
 * framing.h - what the fields of a head mean for its body and its connection, decided once.
 *
 * RFC 9112 section 6 as a proxy must read it: what two programs could frame differently is
 * refused; what origins really send, and all programs frame alike, is taken, but then the
 * connection is not used again (is_abnormal). Knows nothing of bytes on the wire.
 */
#ifndef DEJUNK_HTTP_FRAMING_H
#define DEJUNK_HTTP_FRAMING_H

#include "http/message.h"
#include "http/refusal.h"

/* What the head declared, whether or not a body follows: for a second opinion on it. */
struct framing_declared {
    bool has_length, has_coding, is_chunked;
    uint64_t length;
    struct span length_text, coding_text; // as they came, where they are there
};

/* Sets framing, body_bytes, has_length, keep_alive, expects_continue, is_upgrade and is_abnormal
 * of a message whose first line and fields are in. answers: the request's method, for a response.
 * Drops an Expect that means nothing here. False: *why says what is wrong. */
bool framing_decide(struct message *message, enum method answers, struct framing_declared *declared,
                    struct refusal *why);

#endif
