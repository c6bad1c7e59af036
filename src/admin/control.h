/*
 * control.h - the control socket: a unix socket on which commands of this machine come in.
 *
 * One line in (control_line.h), an answer out, then the end: its first line is "ok" or "error"
 * with a reason, the rest is text. A follower stays connected and gets lines as they come; what it
 * does not take in time is left out and counted. Whoever may open the socket may command: that is
 * its file mode, 0660. The socket is put in its place by rename, so a successor takes the name
 * over without a gap; at the end the name goes only while it is still ours.
 */
#ifndef DEJUNK_ADMIN_CONTROL_H
#define DEJUNK_ADMIN_CONTROL_H

#include "admin/control_line.h"
#include "io/loop.h"

enum {
    CONTROL_CALLERS = 32,      // at once; more are turned away
    CONTROL_LINE_MS = 5000,    // for the line to come
    CONTROL_ANSWER_MS = 10000, // for an answer to be taken
    CONTROL_ANSWER_BYTES = 4 * 1024 * 1024,
    CONTROL_FOLLOWER_BYTES = 256 * 1024, // that a follower has not taken yet
};

struct control;
struct control_caller; // ends with its answer; on_gone() comes when it goes before that

struct control_events {
    /* Answered now or later, by control_answer() or control_follow(). */
    void (*on_request)(void *owner, struct control_caller *caller,
                       const struct control_request *request);
    /* A caller that was not answered yet, or that followed, is gone. */
    void (*on_gone)(void *owner, struct control_caller *caller);
};

/* Makes the directory where it is not there. ERROR_ADDRESS. `events` is borrowed. */
enum error_kind control_open(struct control **out, struct loop *loop, const char *path,
                             const struct control_events *events, void *owner, struct error *error);
/* Ends every caller; takes the name away unless it is somebody else's by now. */
void control_free(struct control **control);
const char *control_path(const struct control *control);

/* `problem` NULL: "ok", then the text. The caller is gone for its owner after. */
void control_answer(struct control_caller *caller, const char *problem, struct span text);
/* "ok"; then it gets what control_tell() says. */
void control_follow(struct control_caller *caller);
/* A line, with its line feed, to every follower. */
void control_tell(struct control *control, struct span line);
size_t control_followers(const struct control *control);

#endif
