/*
 * auth.h - who a client says it is: Basic passwords (RFC 7617), checked outside the loop.
 *
 * A hash that is dear to compute would stop everybody; so one thread beside the loop computes it,
 * and a good pair is remembered as a keyed hash for 10 minutes. A wrong one is answered a second
 * later. Nothing here keeps a password.
 */
#ifndef DEJUNK_PROXY_AUTH_H
#define DEJUNK_PROXY_AUTH_H

#include "proxy/context.h"

enum {
    AUTH_REMEMBERED_MS = 10 * 60 * 1000,
    AUTH_WRONG_DELAY_MS = 1000,
    AUTH_CREDENTIAL_BYTES = 1024, // of the base64 text
    AUTH_REMEMBERED = 1024,       // pairs
    AUTH_WAITING = 256,           // questions in line; more are answered as wrong, later
};

enum auth_answer { AUTH_GOOD, AUTH_WRONG, AUTH_LATER };

struct auth_question { // lives inside its owner, who calls auth_cancel() before it goes away
    void (*on_answer)(void *owner, bool is_good);
    void *owner;
    struct auth_job *job; // auth.c only, as is the rest
    struct loop_timer delay;
    bool has_delay;
};

/* `value` is that of Proxy-Authorization. AUTH_GOOD with *user (borrowed from settings) at once,
 * or AUTH_LATER and on_answer() comes from the loop. *user may be filled in whatever the answer
 * is: until then it is only who they say they are. */
enum auth_answer auth_ask(struct proxy *proxy, const struct settings *settings,
                          struct auth_question *question, struct span value, struct span *user);
void auth_cancel(struct proxy *proxy, struct auth_question *question);

/* Starts the thread, while that is still allowed (before a jail). */
void auth_start(struct proxy *proxy);
void auth_stop(struct proxy *proxy);

#endif
