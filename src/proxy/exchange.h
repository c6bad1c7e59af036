/*
 * exchange.h - one request with its response: parsed, judged, sent on, answered.
 *
 * Joins a session (browser side) and an outgoing connection. Lives from the first byte of a
 * request until its response is written; then its memory is kept for the next one. All its parsed
 * text is in one arena.
 *
 *     request head -> admission -> own pages | tunnel | where may it go -> claim a connection
 *       -> request out, body behind it -> response head -> body -> end
 *
 * Every way to fail ends in a page while the status is not out, in a cut connection after that.
 */
#ifndef DEJUNK_PROXY_EXCHANGE_H
#define DEJUNK_PROXY_EXCHANGE_H

#include "http/http1.h"
#include "http/target.h"
#include "proxy/auth.h"
#include "proxy/body.h"
#include "proxy/judge.h"
#include "proxy/outgoing.h"
#include "proxy/report.h"
#include "proxy/rework.h"
#include "proxy/session.h"

enum exchange_action { // for counters and the log
    ACTION_PASSED,
    ACTION_BLOCKED,
    ACTION_REDIRECTED,
    ACTION_MODIFIED,
    ACTION_TUNNELED,
    ACTION_LOCAL,
    ACTION_REFUSED,
    ACTION_ERROR,
    ACTIONS
};

struct exchange {
    struct proxy *proxy;
    struct session *session;
    struct settings *settings; // as of its beginning
    struct arena arena;
    struct http1 *parser; // of the request
    struct message request, response;
    struct target target;
    struct claim claim;
    struct outgoing *outgoing; // held by us; NULL before and after
    uint64_t number;
    uint64_t started_ms;
    uint64_t response_bytes; // of the body
    unsigned status;         // sent to the browser; 0: none yet
    enum exchange_action action;
    struct span user;         // who said a good password
    struct span claimed_user; // whose password is being checked
    struct auth_question question;
    struct judgement judgement; // once it was judged
    struct directives directives;
    struct database *rules; // that they were found in, referenced
    struct report report;   // for a client that asks

    bool is_local;         // for our own name, asked of proxy_seams.connect_local
    bool is_over;          // buried: whatever still comes is not heard
    bool head_finished;    // the request's head is parsed
    bool request_finished; // the request is parsed to its end
    bool is_paused;        // its body waits for a connection
    bool was_sent;         // its head went to the origin
    bool upload_is_void;   // the origin takes no more of it
    bool got_response;     // any byte of it came
    bool response_finished;
    bool was_retried;
    bool close_browser;  // after this exchange
    bool is_until_close; // the response ends with the connection
    bool is_event_stream;
    bool uploads_by_splice, downloads_by_splice;
    struct flow upload, download;
    struct rework rework;     // of the response
    struct loop_task working; // there is more for its chain to do
    uint64_t reworked_bytes;  // of what came out of it

    struct exchange *next_free; // exchange.c only
    struct loop_grave grave;
};

/* For the first byte of a request. The session owns it until session_exchange_ended(). */
struct exchange *exchange_new(struct session *session);
/* Feeds the browser's bytes; returns how many were taken. */
size_t exchange_feed(struct exchange *x, struct span bytes);
/* Writes what exchange_feed() staged; call it before the bytes go away. */
void exchange_flush_upload(struct exchange *x);

/* What the session's reading side should do now. */
enum exchange_reads { READS_ON, READS_EARLY, READS_NOT };
enum exchange_reads exchange_reads(const struct exchange *x);

/* The body goes by splice now: the session's stream is readable. */
bool exchange_uploads_by_splice(const struct exchange *x);
void exchange_splice_upload(struct exchange *x);

/* The browser took bytes: the outbox may be empty now. */
void exchange_browser_writable(struct exchange *x);
/* A time limit of the request ran out. */
void exchange_timed_out(struct exchange *x);
/* The browser is gone: end everything. The session is closed by the caller. */
void exchange_abort(struct exchange *x);

void exchange_free_all(struct proxy *proxy);

#endif
