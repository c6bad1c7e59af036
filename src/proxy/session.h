/*
 * session.h - the browser side: one connection of a browser, from accept to close.
 *
 *     IDLE -> BUSY -> IDLE ...        requests, one exchange at a time, answers in order
 *               |  -> TUNNEL          CONNECT or an upgrade: a tunnel moves its bytes
 *               +  -> CLOSING -> gone
 *
 * Reads bytes, feeds them to the exchange under way, keeps what comes early (pipelined requests)
 * up to a ceiling. Knows nothing of origins. Frees itself; an idle one holds no buffer, no parser
 * and no exchange.
 */
#ifndef DEJUNK_PROXY_SESSION_H
#define DEJUNK_PROXY_SESSION_H

#include "proxy/context.h"
#include "proxy/scope.h"

enum {
    SESSION_EARLY_BYTES = 16 * 1024,  // read no further ahead than about this
    SESSION_UPLOAD_STEP_BYTES = 1024, // progress that counts against the idle-body limit
    SESSION_PROBE_MS = 1000,          // after which one that finished sending is asked for
    SESSION_LOOK_MS = 10,             // the first look for its answer; then ever later
    SESSION_FIRST_MS = 1000,          // for a first request, when we drain
};

enum session_state {
    SESSION_IDLE,
    SESSION_BUSY,
    SESSION_TUNNEL,
    SESSION_CLOSING, // the last answer is being written
    SESSION_CLOSED,
};

enum session_wait { // what its timer is for
    WAIT_NOTHING,
    WAIT_REQUEST, // the next request to begin
    WAIT_HEAD,    // a request's head to end
    WAIT_BODY,    // a request's body to go on
    WAIT_WRITE,   // the browser to take what is written
    WAIT_PROBE,   // a browser that finished sending: is it still there?
};

struct session {
    struct proxy *proxy;
    struct stream stream;
    struct outbox outbox;
    struct loop_timer timer;
    struct address peer;
    enum session_state state;
    enum session_wait wait;
    struct exchange *exchange;   // NULL between requests
    struct tunnel *tunnel;       // SESSION_TUNNEL: who moves the bytes
    struct intercept *intercept; // SESSION_TUNNEL: or who finds out what they are
    struct access_note *note;    // on the way to the tunnel, for the log
    struct outgoing *bound;      // an idle connection that belongs to this browser (NTLM)
    struct scope *scope;         // inside a tunnel in which HTTP is spoken; NULL: there is none
    struct buffer early;         // read, not yet fed
    bool peer_finished;          // it has finished sending
    bool has_asked;              // at least once
    bool may_close_at_once;      // its last request asked for that and was read in full

    uint64_t upload_bytes; // session.c only, from here: since the timer was last set
    bool is_feeding, was_probed;
    uint64_t look_ms;
    struct session_list *list;
    struct session *next, *previous;
    struct client *client; // counts the connections of this address; NULL: exempt
    struct loop_grave grave;
};

/* Takes a connection over from the acceptor. */
void session_open(struct proxy *proxy, int fd, const struct address *peer);
/* Ends it at once. reset: the browser is to see that the answer is not whole. */
void session_close(struct session *session, bool reset);

/* ---- for exchanges and tunnels ---- */

/* Feeds what was read early, then reads on as far as the exchange takes it. From the loop or from
 * events of the outgoing side. */
void session_resume(struct session *session);
/* The exchange is over and everything of it is in the outbox. */
void session_exchange_ended(struct session *session, bool close);
/* Sets what is wanted of the stream, and the timer, from the state. */
void session_update(struct session *session);
/* Some bytes went out, or came in: the browser is alive. */
void session_note_progress(struct session *session);
/* So much of a request's body came; a trickle is not enough. */
void session_note_upload(struct session *session, uint64_t bytes);
/* A tunnel (or what may become one) takes the streams over: the session no longer reads, writes or
 * waits, until session_end_tunnel() or session_close(), which calls tunnel_let_go() or
 * intercept_let_go(). */
void session_start_tunnel(struct session *session);
/* HTTP is spoken inside the tunnel after all: `early` holds its first bytes. */
void session_end_tunnel(struct session *session);

/* Ends the oldest idle one; false when none is idle. */
bool session_spare_one(struct proxy *proxy);
/* Ends the idle ones, but for those whose request is there already, and those that never had one:
 * they came to us and not to our successor, and get SESSION_FIRST_MS for it. */
void session_end_idle(struct proxy *proxy);

#endif
