/*
 * message.h - one HTTP message as it was parsed: first line, fields, framing, trailers.
 *
 * Made by the machine in phases/http1 (and later http2) in an arena of the exchange; changed by
 * proxy (fields added, dropped, replaced); written out by http1_write_*(), which serialises it
 * anew. Knows nothing of connections or bytes on the wire. All spans point into the arena or into
 * constants; they live as long as the arena.
 */
#ifndef DEJUNK_HTTP_MESSAGE_H
#define DEJUNK_HTTP_MESSAGE_H

#include "base/arena.h"
#include "base/error.h"

/* Fields that our own code asks for by number. The table of names is in message.c. */
enum field_id {
    FIELD_OTHER = 0,
    FIELD_ACCEPT, FIELD_ACCEPT_ENCODING, FIELD_ACCEPT_RANGES, FIELD_AGE, FIELD_ALT_SVC,
    FIELD_AUTHORIZATION, FIELD_CACHE_CONTROL, FIELD_CONNECTION, FIELD_CONTENT_DISPOSITION,
    FIELD_CONTENT_ENCODING, FIELD_CONTENT_LENGTH, FIELD_CONTENT_RANGE,
    FIELD_CONTENT_SECURITY_POLICY, FIELD_CONTENT_TYPE, FIELD_COOKIE, FIELD_DATE, FIELD_DIGEST,
    FIELD_ETAG, FIELD_EXPECT, FIELD_HOST, FIELD_HTTP2_SETTINGS, FIELD_IF_MODIFIED_SINCE,
    FIELD_IF_NONE_MATCH, FIELD_IF_RANGE, FIELD_KEEP_ALIVE, FIELD_LAST_MODIFIED, FIELD_LOCATION,
    FIELD_MAX_FORWARDS, FIELD_ORIGIN, FIELD_PERMISSIONS_POLICY, FIELD_PRAGMA,
    FIELD_PROXY_AUTHENTICATE, FIELD_PROXY_AUTHENTICATION_INFO, FIELD_PROXY_AUTHORIZATION,
    FIELD_PROXY_CONNECTION, FIELD_RANGE, FIELD_REFERER, FIELD_REFERRER_POLICY, FIELD_SEC_FETCH_DEST,
    FIELD_SEC_FETCH_MODE, FIELD_SEC_FETCH_SITE, FIELD_SEC_FETCH_USER, FIELD_SEC_GPC, FIELD_SERVER,
    FIELD_SET_COOKIE, FIELD_TE, FIELD_TRAILER, FIELD_TRANSFER_ENCODING, FIELD_UPGRADE,
    FIELD_USER_AGENT, FIELD_VARY, FIELD_VIA, FIELD_WWW_AUTHENTICATE,
    FIELDS
};

struct field {
    struct span name;  // as it came, a token
    struct span value; // without blanks at its ends; no CR, LF or NUL
    enum field_id id;
    bool is_dropped; // not to be written out
};

enum method {
    METHOD_OTHER = 0, METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_DELETE,
    METHOD_CONNECT, METHOD_OPTIONS, METHOD_TRACE, METHOD_PATCH,
};

enum framing {
    FRAMING_NONE,        // no body
    FRAMING_LENGTH,      // body_bytes of it
    FRAMING_CHUNKED,
    FRAMING_UNTIL_CLOSE, // responses only
};

enum target_form { TARGET_ORIGIN, TARGET_ABSOLUTE, TARGET_AUTHORITY, TARGET_ASTERISK };

/* The most fields that a message holds (what the wire may bring and what we add), and the most
 * names that its Connection fields may give. */
enum { MESSAGE_FIELDS = 600, MESSAGE_CONNECTION_NAMES = 64 };

struct message {
    struct arena *arena;
    bool is_request;
    uint8_t version_minor; // HTTP/1.0 or HTTP/1.1 (any 1.x above 1 is taken as 1.1)

    enum method method; // request
    struct span method_name;
    struct span target; // as it came
    enum target_form target_form;

    unsigned status; // response
    struct span reason;

    struct field *fields;
    size_t field_count, field_capacity;
    struct field *trailers;
    size_t trailer_count, trailer_capacity;

    enum framing framing;
    uint64_t body_bytes;     // FRAMING_LENGTH; for HEAD and 304 what Content-Length said
    bool has_length;         // there was a Content-Length
    bool keep_alive;         // the peer that sent it will take another message after this one
    bool expects_continue;   // request with Expect: 100-continue and HTTP/1.1
    bool is_upgrade;         // request: HTTP/1.1, Connection: upgrade, Upgrade; response: 101
    bool is_abnormal;        // it was accepted, but the connection must not be used again
};

/* An empty message in `arena`. */
void message_init(struct message *message, struct arena *arena, bool is_request);

enum field_id field_id_of(struct span name);
struct span field_id_name(enum field_id id);
enum method method_of(struct span name);
/* GET, HEAD, OPTIONS, TRACE (RFC 9110 section 9.2.1); these, PUT and DELETE (section 9.2.2). */
bool method_is_safe(enum method method);
bool method_is_idempotent(enum method method);
/* The standard phrase, or "" for a code that has none. */
const char *status_phrase(unsigned status);

/* False when the arena is full, the count is at its limit, the name is no token, or the value has
 * CR, LF, NUL or another control in it. Name and value are borrowed, not copied. */
bool message_add(struct message *message, struct span name, struct span value);
bool message_add_trailer(struct message *message, struct span name, struct span value);
/* For whoever has checked name and value already (http1.c). */
bool message_add_parsed(struct message *message, struct field field);
/* May a trailer be called so (RFC 9110 section 6.5.1)? No to framing, routing, conditionals,
 * authentication, cookies and what says how to read the content. */
bool field_may_be_trailer(enum field_id id, struct span name);
/* The first field that is not dropped, or NULL; then the next after `after`. */
struct field *message_find(const struct message *message, enum field_id id);
struct field *message_find_next(const struct message *message, const struct field *after);
struct field *message_find_name(const struct message *message, struct span name);
/* Value of the first one, or SPAN_NONE (.at is NULL). */
struct span message_value(const struct message *message, enum field_id id);
void message_drop(struct message *message, enum field_id id); // all of them
/* Drops all of them, then adds this one. */
bool message_set(struct message *message, enum field_id id, struct span value);
/* Is `element` in the comma-separated list of any such field? Without case. */
bool message_lists(const struct message *message, enum field_id id, struct span element);

/* Drops what is for one connection only (RFC 9110 section 7.6.1): Connection and what it names,
 * Keep-Alive, Proxy-Connection, Transfer-Encoding, HTTP2-Settings; Proxy-Authorization in
 * requests, Proxy-Authenticate and Proxy-Authentication-Info in responses. Of TE only "trailers"
 * stays, of Upgrade (where is_upgrade) what is neither HTTP nor TLS; is_upgrade is then whether
 * any is left. Trailer stays with a chunked body. Connection cannot name away what a message
 * needs (Host, Content-Length, ... see message.c). */
void message_drop_hop_by_hop(struct message *message);

#endif
