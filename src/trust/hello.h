/*
 * hello.h - the first bytes of a browser's tunnel: what they are, and the TLS hello in them.
 *
 * A collector keeps every byte it is fed, so that they can be played again: into our own
 * handshake, or to the origin when it becomes a tunnel. It reads TLS records and the ClientHello
 * message (RFC 8446 section 4.1.2) in whatever pieces they come. Knows nothing of sockets or
 * clocks; decides nothing. A collector lives inside its owner.
 */
#ifndef DEJUNK_TRUST_HELLO_H
#define DEJUNK_TRUST_HELLO_H

#include "base/bytes.h"
#include "base/error.h"

enum {
    HELLO_LIMIT_BYTES = 64 * 1024, // of kept bytes: the hello, its records and what came behind
    HELLO_EXTENSIONS = 128,
    HELLO_NAME_BYTES = 256, // a host name and its NUL
};

enum hello_kind {
    HELLO_KIND_MORE,  // too few bytes to say
    HELLO_KIND_TLS,   // a handshake record
    HELLO_KIND_HTTP,  // a method of HTTP, or the preface of HTTP/2
    HELLO_KIND_OTHER, // SSH, a game, anything
};
/* What the first bytes of a conversation are; 24 bytes are always enough to say. */
enum hello_kind hello_classify(struct span first);

struct hello {                          // spans point into the collector
    char server_name[HELLO_NAME_BYTES]; // lower case, no last dot; "" where none was sent
    struct span protocols;  // ALPN as on the wire: a length byte before each; empty: none sent
    struct span ciphers;    // two bytes each, in the browser's order, GREASE and all
    struct span groups;     // the same
    struct span signatures; // the same
    uint16_t version;       // the highest offered, without GREASE: 0x0304 for TLS 1.3
    bool has_ech;           // an encrypted_client_hello extension, real or GREASE
    bool has_session;       // offers to resume: a PSK or a ticket
    /* The same for all hellos of one program, whatever host, session, order of extensions,
     * padding or ALPN; never zero. In the manner of JA4: version, ciphers in order, extensions
     * sorted, signature algorithms in order, all without GREASE. */
    uint64_t family;
};

enum { HELLO_COPY_BYTES = 256 }; // of each list in a copy: more than any browser sends

/* What an origin is to be offered later, on the heap by itself: the version, ciphers and groups,
 * of which HELLO_COPY_BYTES at most. Ends with free(). */
struct hello *hello_copy(const struct hello *hello);

/* Does the browser offer this protocol ("h2", "http/1.1")? */
bool hello_offers(const struct hello *hello, struct span protocol);

enum hello_progress {
    HELLO_MORE,   // feed more
    HELLO_WHOLE,  // collector->hello is filled in
    HELLO_BROKEN, // not a hello; the kept bytes are still there to be tunnelled
};

struct hello_collector {
    struct buffer kept;    // every byte fed, for whoever plays them again
    struct hello hello;    // once HELLO_WHOLE
    struct buffer message; // hello.c only, from here: the records' payload
    size_t next_record;    // offset in kept
    enum hello_progress progress;
};

void hello_collector_init(struct hello_collector *collector);
void hello_collector_done(struct hello_collector *collector);

/* How many bytes may still be fed; the reader asks its stream for no more. */
size_t hello_room(const struct hello_collector *collector);

/* Keeps the bytes (at most hello_room()) and reads on. HELLO_BROKEN sets *error: ERROR_SYNTAX, or
 * ERROR_LIMIT when no hello ends within the limit. Once whole or broken, bytes are only kept. */
enum hello_progress hello_feed(struct hello_collector *collector, struct span bytes,
                               struct error *error);

#endif
