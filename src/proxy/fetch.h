/*
 * fetch.h - fetching many URLs, never too many at once: what came, piece by piece, and how it
 * ended.
 *
 * A fetch walks the same way as a browser's request: a place in its host's line, a place among all
 * (both first come first served, and given back only when a body has ended), a connection of
 * proxy/outgoing.h, the phases of http/phases.h. Redirects and new attempts are part of it:
 *
 *     in line -> connecting -> head -> body -> done
 *        ^                      |       |
 *        +---- redirect --------+       |     elsewhere, or after a pause to try again
 *        +---- pause <------------------+     what broke off, where the order allows it
 *
 * Knows nothing of files or terminals, and keeps nothing of what came. Where a redirect may lead is
 * decided here: never from https to http unless the order says so, never from a public name into
 * private networks, and no credential to another origin.
 */
#ifndef DEJUNK_PROXY_FETCH_H
#define DEJUNK_PROXY_FETCH_H

#include "http/message.h"
#include "proxy/proxy.h"
#include "trust/verify.h"

enum {
    FETCH_FIELDS = 100,            // own fields of one order
    FETCH_DRAIN_BYTES = 64 * 1024, // of a body nobody wants, to keep its connection
    FETCH_RETRY_AFTER_S = 600,     // a server that wants more patience than this is not asked again
    FETCH_BOMB_BYTES = 64 * 1024 * 1024,    // from here on, decoded, no more than
    FETCH_BOMB_RATIO = 200,                 // times what came over the wire
    FETCH_CODING_BYTES = 40 * 1024 * 1024,  // of memory for the codings of one, two of the largest
    FETCH_CODING_MOST = 1024 * 1024 * 1024, // and of all together
};

enum fetch_end {
    FETCH_DONE,
    FETCH_REFUSED,
    FETCH_NO_HOST,
    FETCH_CERTIFICATE, // it is not good, or one is wanted of us
    FETCH_HANDSHAKE,   // TLS failed for another reason
    FETCH_LOST,        // before its headers were in
    FETCH_SHORT,
    FETCH_TIMED_OUT,
    FETCH_TOO_MANY_REDIRECTS,
    FETCH_UNREACHABLE,
    FETCH_REDIRECT_REFUSED,
    FETCH_TOO_LARGE,
    FETCH_BAD_ANSWER, // it is not HTTP, or beyond our limits
    FETCH_BAD_CODING,
    FETCH_BAD_URL,
    FETCH_FAILED, // by this machine
    FETCH_ENDS
};
/* "done", "refused", "no such host", "certificate", "lost before headers", "short body",
 * "timed out", "too many redirects"... */
const char *fetch_end_name(enum fetch_end end);

#define FETCH_RATE_MOST (1000ULL * 1000 * 1000 * 1000) // bytes a second

struct fetcher; // opaque: those that share tokens; lives as long as any of its fetches
struct fetch;   // opaque: one URL

struct fetch_limits {
    size_t at_once;        // 1 or more
    size_t per_host;       // 0: no limit of its own
    uint64_t rate_bytes_s; // read from the network, all together; 0: as fast as it comes;
                           // at most FETCH_RATE_MOST
};

struct fetch_trust { // whom origins over TLS are verified by
    /* Called once, when the first https URL is met: a reference for the fetcher, or NULL and
     * *error. */
    struct verify_roots *(*roots)(void *owner, struct error *error);
    /* Is this the root of the dejunk that all goes through, who looks into https and may be asked
     * what it does (report.h)? NULL: nobody is. */
    bool (*is_own)(void *owner, X509 *root);
    void *owner;
};

/* `proxy` brings loop, settings (limits of time, parents), resolver and connections; its config's
 * connections_total should be `at_once`. */
struct fetcher *fetcher_new(struct proxy *proxy, const struct fetch_limits *limits,
                            const struct fetch_trust *trust);
/* Cancels what is left. Sets *fetcher to NULL. */
void fetcher_free(struct fetcher **fetcher);

struct fetch_field {
    struct span name, value;
};

struct fetch_order { // what its spans point to lives until the fetch has ended, but for `url`
    struct span url;
    struct span method;               // SPAN_NONE: GET
    struct span body;                 // sent with Content-Length; .at NULL: none
    const struct fetch_field *fields; // beside and in place of ours
    size_t field_count;
    uint64_t from_byte;   // of a body that is there in part: go on from here; 0: the whole
    struct span if_range; // validator of that part: an ETag or a date; may be SPAN_NONE
    struct span if_none_match, if_modified_since; // SPAN_NONE: asked for in any case
    bool takes_codings; // gzip, br and zstd may be used on the way, and are undone here
    bool can_restart;   // its owner can take a body again from its beginning
    bool may_downgrade; // from https to http by a redirect
    unsigned max_redirects;
    unsigned retries;     // new attempts at what may be attempted again
    uint64_t max_bytes;   // of the body, decoded; 0: no limit
    uint64_t max_time_ms; // from its first token to its end, pauses too; 0: no limit
};

struct fetch_head { // borrowed until the event ends
    const struct message *response;
    struct span url;       // after redirects
    uint64_t body_from;    // where in the whole body the bytes that follow belong; 0: begin anew
    uint64_t whole_bytes;  // of the whole body; UINT64_MAX: not known (coded, or without length)
    struct span validator; // a strong ETag, else Last-Modified: what a part can go on by, or empty
    bool is_plain;  // no coding: its bytes are as on the wire, and a part of it can be continued
    bool is_other;  // a part of another body than was there: cancelled by its owner, or it fails
    bool asked_why; // the dejunk that all goes through was: REPORT_FIELD is its own
    const struct address *peer; // connected to; NULL behind another proxy
};

enum fetch_again_kind { FETCH_REDIRECTED, FETCH_WILL_RETRY };
struct fetch_again {
    enum fetch_again_kind kind;
    const struct message *response; // NULL: none came
    struct span url;                // where to next
    uint64_t wait_ms;
    enum fetch_end end; // FETCH_WILL_RETRY: of this attempt; FETCH_DONE: by its status
    const char *why;
};

struct fetch_result {
    enum fetch_end end;
    const char *why;                 // more words, or ""; never from a peer without escaping
    unsigned status;                 // 0: no head came
    uint64_t body_bytes, wire_bytes; // decoded; as read from the network, heads and all attempts
    unsigned redirects, attempts;
    uint64_t duration_ms; // from the first token
};

/* Each comes from the loop, never from inside fetch_start(). In any of them the owner may pause,
 * resume or cancel. on_started, on_again may be NULL. */
struct fetch_events {
    /* It has its token; again after each wait in line. */
    void (*on_started)(void *owner);
    void (*on_headers)(void *owner, const struct fetch_head *head);
    void (*on_body)(void *owner, struct span bytes);
    /* Nothing of that answer is told by the events above. */
    void (*on_again)(void *owner, const struct fetch_again *again);
    /* Last, and once; not after a cancel. The fetch is gone when it returns. */
    void (*on_done)(void *owner, const struct fetch_result *result);
};

/* Puts it in line. */
struct fetch *fetch_start(struct fetcher *fetcher, const struct fetch_order *order,
                          const struct fetch_events *events, void *owner);
/* At any moment; NULL is fine. Sets *fetch to NULL. */
void fetch_cancel(struct fetch **fetch);
/* No more is read for it; what one read has brought still comes. Its limits of time stand, but not
 * that of a silent body. */
void fetch_pause(struct fetch *fetch);
void fetch_resume(struct fetch *fetch);

/* For a display: bytes read from the network by all fetches until now. */
uint64_t fetcher_wire_bytes(const struct fetcher *fetcher);

#endif
