/*
 * loop.h - the event loop of one process: libev, cheap timers, tasks for later, burials.
 *
 * Knows nothing of sockets or HTTP. Everything that waits hangs on one loop; nothing here is for
 * threads. Timers are lazy: to move a deadline further away is one store, and the kernel hears
 * nothing of it, because most time limits are pushed ahead far more often than they run out.
 *
 * One round: events are collected and their callbacks run, then the tasks queued until then, then
 * the dead are buried, then the loop sleeps until the next event.
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
    uint64_t alarm_ms; // when the watcher wakes up: at the deadline or before
    struct loop *loop;
    void (*on_expired)(void *owner);
    void *owner;
};

struct loop_task {
    void (*run)(void *owner);
    void *owner;
    struct loop_task *next, **link; // loop.c only; link NULL: not queued
};

struct loop_grave {
    struct loop_grave *next;
    void (*dig)(struct loop_grave *grave);
};

/* Something that lives on the loop without an owner, such as a socket that drains. */
struct loop_guest {
    void (*evict)(struct loop_guest *guest); // ends it at once; it calls loop_guest_leave()
    struct loop_guest *next, **link;         // loop.c only
};

struct loop {
    struct ev_loop *ev;
    char *scratch; // LOOP_SCRATCH_BYTES for one read; its bytes are good until the next read
    struct loop_task *tasks, **last_task; // loop.c only, from here; queued for the next run
    struct loop_task *running;            // queued before this run
    struct loop_grave *graves;
    struct loop_guest *guests;
    size_t guest_count;
    bool (*spare)(void *owner); // set by who holds many descriptors: ends one, false: none to spare
    void *spare_owner;
    uint64_t now_ms; // good while is_running
    bool is_running;
    ev_check after_waiting;
    ev_prepare before_waiting;
    ev_idle not_yet;
};

enum error_kind loop_new(struct loop **out, struct error *error);
/* Evicts the guests and digs what is still buried; needs every watcher and timer stopped and no
 * task queued. Sets *loop to NULL. */
void loop_free(struct loop **loop);

/* Runs until loop_stop() is called or nothing is left to wait for. */
void loop_run(struct loop *loop);
/* The round under way is the last: its callbacks still come, its tasks do not. */
void loop_stop(struct loop *loop);

/* Monotonic milliseconds, as of when the loop last woke up. */
uint64_t loop_now_ms(const struct loop *loop);

void loop_timer_init(struct loop_timer *timer, struct loop *loop, void (*on_expired)(void *owner),
                     void *owner);
/* (Re)starts: on_expired() is called once, from the loop, in after_ms, never earlier. Free when
 * it moves the deadline further away. */
void loop_timer_set(struct loop_timer *timer, uint64_t after_ms);
/* Harmless on a timer that does not run. Needed before its memory goes away. */
void loop_timer_stop(struct loop_timer *timer);
bool loop_timer_is_set(const struct loop_timer *timer);

/* task->run() is called from the loop, soon, in order. Does nothing when already queued. A task
 * queued by a task runs in the next round, after the events that wait. */
void loop_later(struct loop *loop, struct loop_task *task);
/* Harmless when not queued. */
void loop_later_cancel(struct loop *loop, struct loop_task *task);
static inline bool loop_task_is_queued(const struct loop_task *task)
{
    return task->link != NULL;
}

/* Frees an object when the loop is back on the ground: dig(grave) is called with no event under
 * way. The object has stopped all its watchers, timers and tasks before. */
void loop_bury(struct loop *loop, struct loop_grave *grave, void (*dig)(struct loop_grave *grave));
/* Digs all graves now; for the end of things, with no event under way. */
void loop_dig(struct loop *loop);

/* Right after a call that failed: when it was for want of a descriptor, ends something that is
 * missed least. True: it is worth another try. */
bool loop_spare_descriptor(struct loop *loop);

/* The loop evicts the guest when it ends before the guest has left. */
void loop_guest_enter(struct loop *loop, struct loop_guest *guest,
                      void (*evict)(struct loop_guest *guest));
void loop_guest_leave(struct loop *loop, struct loop_guest *guest);

#endif
