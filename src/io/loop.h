/*
 * loop.h - the event loop of one process: libev, cheap timers, tasks for later, burials.
 *
 * Knows nothing of sockets or HTTP. Everything that waits hangs on one loop; nothing here is for
 * threads. Timers are lazy: to move a deadline further away is one store, and the kernel hears
 * nothing of it, because most time limits are pushed ahead far more often than they run out.
 */
#ifndef DEJUNK_IO_LOOP_H
#define DEJUNK_IO_LOOP_H

#include <ev.h>

#include "base/bytes.h"
#include "base/error.h"

enum { LOOP_SCRATCH_BYTES = 64 * 1024 };

struct loop_timer {
    ev_timer watcher; // loop.c only, as is the rest
    uint64_t deadline_ms;
    struct loop *loop;
    void (*on_expired)(void *owner);
    void *owner;
};

struct loop_task {
    void (*run)(void *owner);
    void *owner;
    struct loop_task *next; // loop.c only, from here
    bool is_queued;
};

struct loop_grave {
    struct loop_grave *next;
    void (*dig)(struct loop_grave *grave);
};

struct loop {
    struct ev_loop *ev;
    char *scratch; // LOOP_SCRATCH_BYTES for one read; its bytes are good until the next read
    struct loop_task *first_task, **last_task; // loop.c only, from here
    struct loop_grave *graves;
    ev_prepare before_waiting;
    ev_idle not_yet;
};

enum error_kind loop_new(struct loop **out, struct error *error);
/* Digs what is still buried; needs every watcher and timer stopped. Sets *loop to NULL. */
void loop_free(struct loop **loop);

/* Runs until loop_stop() is called or nothing is left to wait for. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* Monotonic milliseconds, as of when the loop last woke up. */
uint64_t loop_now_ms(const struct loop *loop);

void loop_timer_init(struct loop_timer *timer, struct loop *loop, void (*on_expired)(void *owner),
                     void *owner);
/* (Re)starts: on_expired() is called once, from the loop, in after_ms. Cheap when it moves the
 * deadline further away, or not far. */
void loop_timer_set(struct loop_timer *timer, uint64_t after_ms);
/* Harmless on a timer that does not run. Needed before its memory goes away. */
void loop_timer_stop(struct loop_timer *timer);
bool loop_timer_is_set(const struct loop_timer *timer);

/* task->run() is called from the loop, soon, in order. Does nothing when already queued. */
void loop_later(struct loop *loop, struct loop_task *task);
void loop_later_cancel(struct loop *loop, struct loop_task *task);

/* Frees an object when the loop is back on the ground: dig(grave) is called with no event under
 * way. The object has stopped all its watchers, timers and tasks before. */
void loop_bury(struct loop *loop, struct loop_grave *grave, void (*dig)(struct loop_grave *grave));

#endif
