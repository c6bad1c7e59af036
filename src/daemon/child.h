/*
 * child.h - one process that the master keeps alive: started by fork, pinged, replaced.
 *
 *            child_start()                READY                    it ends, or is killed for
 *     IDLE ---------------> STARTING ------------> SERVING         not answering CHILD_PINGS
 *       ^                       |                     |
 *       |                       +----------+----------+
 *       |  on_ended() says no              v
 *       +------------------------------- ENDED ---> (back-off) ---> STARTING
 *                                           on_ended() says yes
 *
 * A child that ended is started again at once; from the third end within CHILD_CRASHES_MS on it
 * waits, longer each time. What the process does, and what its messages mean, is its owner's; ping
 * and pong and the first READY are handled here. The process dies with the master: by a signal
 * of the kernel's, and by the end of its channel.
 */
#ifndef DEJUNK_DAEMON_CHILD_H
#define DEJUNK_DAEMON_CHILD_H

#include "daemon/messages.h"
#include "io/loop.h"

enum {
    CHILD_PING_MS = 1000,
    CHILD_PINGS = 10,         // without an answer: killed
    CHILD_CRASHES = 3,        // within ...
    CHILD_CRASHES_MS = 10000, // ... this: from now on it waits
    CHILD_FIRST_WAIT_MS = 250,
    CHILD_LONGEST_WAIT_MS = 8000,
    CHILD_NAME_BYTES = 32,
};

struct child;

struct child_events {
    /* In the new process: all signals at their default (those the master handles: ignored), all
     * memory as the master's was, `channel` to talk to the master. Returns the exit code. */
    int (*run)(void *owner, int channel);
    void (*on_started)(void *owner, int pid);
    void (*on_ready)(void *owner);
    /* Any other message than PONG and READY. Its descriptor is the owner's. */
    void (*on_message)(void *owner, struct message *message);
    /* `status` as from waitpid(2). True: start another one. */
    bool (*on_ended)(void *owner, int status);
};

enum child_phase { CHILD_IDLE, CHILD_STARTING, CHILD_SERVING, CHILD_ENDED };

/* Nothing runs yet. `name` is for logs and the process's own name. */
struct child *child_new(struct loop *loop, const char *name, const struct child_events *events,
                        void *owner);
/* Kills what still runs, without an event. May be called from an event. Sets *child to NULL. */
void child_free(struct child **child);

/* Forks. When that fails it is logged and tried again later. Does nothing unless idle. */
void child_start(struct child *child);
/* SIGKILL; on_ended() follows. Harmless when nothing runs. */
void child_kill(struct child *child, const char *why);

/* A child that does not take its messages is as good as dead: it is killed (and so replaced).
 * False when nothing runs or it was so. */
bool child_send(struct child *child, const struct message *message);

enum child_phase child_phase(const struct child *child);
int child_pid(const struct child *child); // 0: none
const char *child_name(const struct child *child);

/* How long to wait before the next start, by when it ended (the latest last) and how long it
 * waited before. Only for tests and child.c. */
struct child_history {
    uint64_t ended_ms[CHILD_CRASHES];
    size_t count; // of ended_ms
    uint64_t last_wait_ms;
};
uint64_t child_wait_ms(struct child_history *history, uint64_t now_ms);

/* fork(2) for any process of ours: 0 in the new one, whose signals are at their default but for
 * the master's, which are ignored, and which the kernel ends when the master ends. -1: errno. */
int child_fork(void);

/* For a new process: closes every descriptor but 0, 1, 2 and these. */
void child_keep_only(const int *fds, size_t count);

#endif
