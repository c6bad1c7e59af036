/*
 * exchange.h - one request with its response: parsed, judged, sent on, answered.
 *
 * Joins a session (browser side) and an outgoing connection. Lives from the first byte of a
 * request until its response is written; then its memory is kept for the next one. All its parsed
 * text is in one arena.
 *
 *     request head -> admission -> own pages | tunnel | where may it go      (route.h)
 *       -> claim a connection -> request out, body behind it                 (sending.h)
 *       -> response head -> body                                             (relay.h)  -> end
 *
 * Every way to fail ends in a page (answer.h) while the status is not out, in a cut connection
 * after that.
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

/* ---- for the session ---- */

/* For the first byte of a request. The session owns it until session_exchange_ended(). */
struct exchange *exchange_new(struct session *session);
/* Feeds the browser's bytes; returns how many were taken. */
size_t exchange_feed(struct exchange *x, struct span bytes);

/* What the session's reading side should do now. */
enum exchange_reads { READS_ON, READS_EARLY, READS_NOT };
enum exchange_reads exchange_reads(const struct exchange *x);

/* A time limit of the request ran out. */
void exchange_timed_out(struct exchange *x);
/* The browser is gone: end everything. The session is closed by the caller. */
void exchange_abort(struct exchange *x);

void exchange_free_all(struct proxy *proxy);

/* ---- for those who route, send, relay and answer ---- */

/* Inside of TLS that we ended, whose origin is asked over TLS too. */
static inline bool exchange_is_secure(const struct exchange *x)
{
    return x->target.scheme == TARGET_HTTPS;
}

/* What the rules are asked of. */
struct case_file exchange_case(struct exchange *x);

/* Stages a piece of a body, in its framing. */
void exchange_put_body(struct outbox *outbox, enum framing framing, struct span bytes);
void exchange_put_last_chunk(struct outbox *outbox, const struct message *message);

/* Waits with the request's body for something that is not there yet; and goes on with it. */
void exchange_hold_body(struct exchange *x);
void exchange_let_body_go(struct exchange *x);

/* Ends the connection to the origin, if there is one, as cut off. */
void exchange_drop_outgoing(struct exchange *x);

/* Nothing more is done to the response's body. */
void exchange_stop_rework(struct exchange *x);

/* CONNECT has its connection, and is answered here; or an upgrade was granted. `first`: what the
 * origin has said already. The exchange is over. */
void exchange_become_tunnel(struct exchange *x, struct span first);
/* What CONNECT begins is looked into, and perhaps opened; the exchange is over. False: that is not
 * for us. */
bool exchange_become_intercept(struct exchange *x);

/* Ends it when everything of the response is in the browser's outbox, or nothing more can be. */
void exchange_try_end(struct exchange *x);
/* The response is cut off: the browser sees that it is short. */
void exchange_cut(struct exchange *x);

#endif
