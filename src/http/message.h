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

/* Fields that our own code asks for by number: id, and the name as we write it. message.c has them
 * by length too. */
// clang-format off
#define FIELD_NAMES(ROW) \
    ROW(ACCEPT, "Accept") ROW(ACCEPT_ENCODING, "Accept-Encoding") \
    ROW(ACCEPT_RANGES, "Accept-Ranges") ROW(AGE, "Age") ROW(ALT_SVC, "Alt-Svc") \
    ROW(AUTHORIZATION, "Authorization") ROW(CACHE_CONTROL, "Cache-Control") \
    ROW(CONNECTION, "Connection") ROW(CONTENT_DISPOSITION, "Content-Disposition") \
    ROW(CONTENT_ENCODING, "Content-Encoding") ROW(CONTENT_LENGTH, "Content-Length") \
    ROW(CONTENT_RANGE, "Content-Range") ROW(CONTENT_SECURITY_POLICY, "Content-Security-Policy") \
    ROW(CONTENT_TYPE, "Content-Type") ROW(COOKIE, "Cookie") ROW(DATE, "Date") \
    ROW(DIGEST, "Digest") ROW(ETAG, "ETag") ROW(EXPECT, "Expect") ROW(HOST, "Host") \
    ROW(HTTP2_SETTINGS, "HTTP2-Settings") ROW(IF_MATCH, "If-Match") \
    ROW(IF_MODIFIED_SINCE, "If-Modified-Since") ROW(IF_NONE_MATCH, "If-None-Match") \
    ROW(IF_RANGE, "If-Range") ROW(KEEP_ALIVE, "Keep-Alive") \
    ROW(LAST_MODIFIED, "Last-Modified") ROW(LOCATION, "Location") \
    ROW(MAX_FORWARDS, "Max-Forwards") ROW(ORIGIN, "Origin") \
    ROW(PERMISSIONS_POLICY, "Permissions-Policy") ROW(PRAGMA, "Pragma") \
    ROW(PROXY_AUTHENTICATE, "Proxy-Authenticate") \
    ROW(PROXY_AUTHENTICATION_INFO, "Proxy-Authentication-Info") \
    ROW(PROXY_AUTHORIZATION, "Proxy-Authorization") ROW(PROXY_CONNECTION, "Proxy-Connection") \
    ROW(RANGE, "Range") ROW(REFERER, "Referer") ROW(REFERRER_POLICY, "Referrer-Policy") \
    ROW(SEC_FETCH_DEST, "Sec-Fetch-Dest") ROW(SEC_FETCH_MODE, "Sec-Fetch-Mode") \
    ROW(SEC_FETCH_SITE, "Sec-Fetch-Site") ROW(SEC_FETCH_USER, "Sec-Fetch-User") \
    ROW(SEC_GPC, "Sec-GPC") ROW(SERVER, "Server") ROW(SET_COOKIE, "Set-Cookie") ROW(TE, "TE") \
    ROW(TRAILER, "Trailer") ROW(TRANSFER_ENCODING, "Transfer-Encoding") ROW(UPGRADE, "Upgrade") \
    ROW(USER_AGENT, "User-Agent") ROW(VARY, "Vary") ROW(VIA, "Via") \
    ROW(WWW_AUTHENTICATE, "WWW-Authenticate")
// clang-format on

enum field_id {
    FIELD_OTHER = 0,
#define FIELD_ID(id, name) FIELD_##id,
    FIELD_NAMES(FIELD_ID)
#undef FIELD_ID
        FIELDS
};

struct field {
    struct span name;  // as it came, a token
    struct span value; // without blanks at its ends; no CR, LF or NUL
    enum field_id id;
    bool is_dropped; // not to be written out
};

enum method {
    METHOD_OTHER = 0,
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_CONNECT,
    METHOD_OPTIONS,
    METHOD_TRACE,
    METHOD_PATCH,
};

enum framing {
    FRAMING_NONE,   // no body
    FRAMING_LENGTH, // body_bytes of it
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
    uint64_t body_bytes;   // FRAMING_LENGTH; for HEAD and 304 what Content-Length said
    bool has_length;       // there was a Content-Length
    bool keep_alive;       // the peer that sent it will take another message after this one
    bool expects_continue; // request with Expect: 100-continue and HTTP/1.1
    bool is_upgrade;       // request to switch to what may be switched to; response: 101
    bool is_abnormal;      // it was accepted, but the connection must not be used again
};

/* An empty message in `arena`. */
void message_init(struct message *message, struct arena *arena, bool is_request);

/* `name` has no controls in it, as a token has not. */
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

/* Cuts the next element off a comma-separated list of what cannot be quoted (Connection, Upgrade),
 * trimmed; false at the end. A quote hides no comma here, as span_next_element() would have it. */
bool message_next_token(struct span *list, struct span *element);
/* May Upgrade name this: a protocol by its grammar, neither HTTP nor TLS? A switch to those is
 * between us and the peer, and we do not offer it. */
bool message_may_switch_to(struct span protocol);
/* Drops what is for one connection only (RFC 9110 section 7.6.1): Connection and what it names,
 * Keep-Alive, Proxy-Connection, Transfer-Encoding, HTTP2-Settings; Proxy-Authorization in
 * requests, Proxy-Authenticate and Proxy-Authentication-Info in responses. Of TE only "trailers"
 * stays, of Upgrade (where is_upgrade) what is neither HTTP nor TLS; is_upgrade is then whether
 * any is left. Trailer stays with a chunked body. Connection cannot name away what a message
 * needs (Host, Content-Length, ... see message.c). */
void message_drop_hop_by_hop(struct message *message);

#endif
