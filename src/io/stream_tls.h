/*
 * stream_tls.h - TLS on top of another stream: bytes in clear for the owner, records below.
 *
 * Takes SSL objects made elsewhere and moves their bytes; what they offer, demand and verify is
 * the maker's business. Idle connections hold no buffer. Readiness is level-triggered as for any
 * stream: bytes that OpenSSL has already taken off the wire raise on_readable() until they are
 * read. The end of the peer's bytes is STREAM_END only by its close_notify; a bare end of the
 * stream below is STREAM_LOST, so that a body that lasts until the close is known to be short.
 *
 * The application data of the SSL (SSL_get_app_data) and its info callback are this module's.
 */
#ifndef DEJUNK_IO_STREAM_TLS_H
#define DEJUNK_IO_STREAM_TLS_H

#include <openssl/ssl.h>

#include "io/stream.h"

enum {
    STREAM_TLS_UNSENT_BYTES = 64 * 1024, // encrypted bytes that wait for the stream below
    STREAM_TLS_FLUSH_MS = 10000,         // how long they may go on waiting after stream_close()
};

/* How it ended; STREAM_TLS_WHOLE while it has not, and after close_notify. */
enum stream_tls_ending {
    STREAM_TLS_WHOLE,
    STREAM_TLS_ALERT_FROM_PEER,
    STREAM_TLS_ALERT_FROM_US,
    STREAM_TLS_CLOSED,  // the peer ended the stream below, without a word
    STREAM_TLS_LOST,    // the stream below was lost
    STREAM_TLS_STOPPED, // a callback of the SSL's maker stopped the handshake
    STREAM_TLS_BROKEN,  // bytes that are no TLS, or no agreement, and no alert was sent
};

struct stream_tls_failure {
    enum stream_tls_ending ending;
    int alert;                 // its number (RFC 8446 section 6) for the two kinds of alerts
    bool certificate_was_sent; // ours, as a server, before the failure
    struct error error;        // ERROR_TLS, or ERROR_LOST for STREAM_TLS_CLOSED and _LOST
};

/* Puts TLS on the open stream `below`, which it takes over (and closes `below` for its owner), as
 * it does *ssl. The SSL has been set to accept or connect. `replay` are bytes that were read from
 * `below` before; they are copied. Nothing moves before stream_tls_shake_hands(). */
void stream_init_tls(struct stream *stream, struct stream *below, SSL **ssl, struct span replay,
                     const struct stream_events *events, void *owner);

/* Starts the handshake. on_shaken() comes once, from the loop, with NULL when the handshake has
 * ended well; what failed is borrowed until the callback returns. Until then nothing is read or
 * written and no other event comes. The stream is not closed by a failure. */
void stream_tls_shake_hands(struct stream *stream,
                            void (*on_shaken)(void *owner,
                                              const struct stream_tls_failure *failure));

/* The SSL below an open stream of this kind, for questions; NULL for other kinds. */
SSL *stream_tls_ssl(const struct stream *stream);

/* After STREAM_LOST: why, in short. */
enum stream_tls_ending stream_tls_ending(const struct stream *stream, int *alert);

/* "unknown ca", "certificate unknown"... */
const char *stream_tls_alert_name(int alert);

#endif
