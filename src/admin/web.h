/*
 * web.h - dejunk's own pages over HTTP/1: callers in, requests out, answers back.
 *
 * A caller is a connection from a worker, which has checked who asks, by which name, and has put
 * both into fields that no browser can send. GET and HEAD are served, and POST of a small form; any
 * other request with a body is answered and its connection ends. Knows nothing of what the pages
 * say.
 */
#ifndef DEJUNK_ADMIN_WEB_H
#define DEJUNK_ADMIN_WEB_H

#include "base/arena.h"
#include "base/bytes.h"
#include "io/loop.h"

enum {
    WEB_CALLERS = 512,      // at once; more are closed
    WEB_REQUEST_MS = 10000, // for a request's head, from its first byte
    WEB_IDLE_MS = 60000,    // between requests: longer than workers keep a connection
    WEB_ANSWER_MS = 30000,  // for an answer to be taken
    WEB_HELD_MS = 3000,     // an answer is held back no longer
    WEB_ARENA_BYTES = 256 * 1024,
    WEB_FORM_BYTES = 16 * 1024,
    WEB_ANSWER_BYTES = 4 * 1024 * 1024,
};

struct web_request {          // borrowed until the answer is given
    struct span path;         // without query
    struct span host;         // what Host says
    struct span client, user; // who asks; user may be empty
    bool is_post;
    struct span form; // of a POST: application/x-www-form-urlencoded
};

struct web_answer {
    unsigned status;
    const char *content_type;
    const char *policy;   // Content-Security-Policy; NULL: nothing is allowed
    struct span location; // to go on to; .at NULL: nowhere
    struct buffer body;
    uint64_t held_until; // held back until web_let_go() of this number, or a greater one; 0: not
};

struct web_events {
    /* Fills in the answer, which is a 404 so far. The body's buffer is the web's. */
    void (*on_request)(void *owner, const struct web_request *request, struct web_answer *answer);
};

struct web; // opaque

struct web *web_new(struct loop *loop, const struct web_events *events, void *owner);
/* Ends every caller. */
void web_free(struct web **web);
/* Takes over a connected non-blocking stream socket. */
void web_take(struct web *web, int fd);

/* What an answer was held back for has come. */
void web_let_go(struct web *web, uint64_t number);

/* The value of a form's field, decoded into the arena; .at NULL when it is not there, or not well
 * encoded. */
struct span web_form_value(struct arena *arena, struct span form, struct span name);

#endif
