#include "io/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* Longest wait handed to libev: its times are doubles. The timer then looks again. */
enum { LONGEST_ALARM_MS = 24 * 60 * 60 * 1000 };

static uint64_t clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* tasks */

static void unlink_task(struct loop *loop, struct loop_task *task)
{
    *task->link = task->next;
    if (task->next)
        task->next->link = task->link;
    else if (loop->last_task == &task->next)
        loop->last_task = task->link;
    task->next = NULL;
    task->link = NULL;
    ev_unref(loop->ev);
}

void loop_later(struct loop *loop, struct loop_task *task)
{
    if (task->link)
        return;
    task->next = NULL;
    task->link = loop->last_task;
    *loop->last_task = task;
    loop->last_task = &task->next;
    ev_ref(loop->ev); // a queued task is something left to wait for
}

void loop_later_cancel(struct loop *loop, struct loop_task *task)
{
    if (task->link)
        unlink_task(loop, task);
}

static void run_tasks(struct loop *loop)
{
    if (!loop->tasks)
        return;
    assert(!loop->running);
    loop->running = loop->tasks;
    loop->running->link = &loop->running;
    loop->tasks = NULL;
    loop->last_task = &loop->tasks;
    while (loop->running) {
        struct loop_task *task = loop->running;
        unlink_task(loop, task);
        task->run(task->owner);
    }
}

/* burials */

void loop_bury(struct loop *loop, struct loop_grave *grave, void (*dig)(struct loop_grave *grave))
{
    grave->dig = dig;
    grave->next = loop->graves;
    loop->graves = grave;
}

static void dig_graves(struct loop *loop)
{
    while (loop->graves) {
        struct loop_grave *grave = loop->graves;
        loop->graves = grave->next;
        grave->dig(grave);
    }
}

void loop_dig(struct loop *loop)
{
    dig_graves(loop);
}

/* guests */

void loop_guest_enter(struct loop *loop, struct loop_guest *guest,
                      void (*evict)(struct loop_guest *guest))
{
    guest->evict = evict;
    guest->next = loop->guests;
    guest->link = &loop->guests;
    if (guest->next)
        guest->next->link = &guest->next;
    loop->guests = guest;
    loop->guest_count++;
}

void loop_guest_leave(struct loop *loop, struct loop_guest *guest)
{
    *guest->link = guest->next;
    if (guest->next)
        guest->next->link = guest->link;
    guest->link = NULL;
    loop->guest_count--;
}

/* descriptors */

bool loop_spare_descriptor(struct loop *loop)
{
    return (errno == EMFILE || errno == ENFILE) && loop->spare && loop->spare(loop->spare_owner);
}

/* rounds */

static void woke_up(struct ev_loop *ev, ev_check *watcher, int events)
{
    struct loop *loop = watcher->data;

    (void)ev, (void)events;
    loop->now_ms = clock_ms();
}

static void is_about_to_wait(struct ev_loop *ev, ev_prepare *watcher, int events)
{
    struct loop *loop = watcher->data;

    (void)events;
    run_tasks(loop);
    dig_graves(loop);
    if (loop->tasks)
        ev_idle_start(ev, &loop->not_yet); // takes the events that wait, then comes back here
    else
        ev_idle_stop(ev, &loop->not_yet);
}

static void do_nothing(struct ev_loop *ev, ev_idle *watcher, int events)
{
    (void)ev, (void)watcher, (void)events;
}

enum error_kind loop_new(struct loop **out, struct error *error)
{
    struct loop *loop = calloc(1, sizeof *loop);

    if (!loop)
        abort();
    loop->scratch = malloc(LOOP_SCRATCH_BYTES);
    if (!loop->scratch)
        abort();
    loop->ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV | EVFLAG_NOTIMERFD);
    if (!loop->ev)
        loop->ev = ev_loop_new(EVFLAG_NOENV | EVFLAG_NOTIMERFD);
    if (!loop->ev) {
        free(loop->scratch);
        free(loop);
        return error_errno(error, ERROR_SYSTEM, "no event loop");
    }
    loop->last_task = &loop->tasks;

    ev_check_init(&loop->after_waiting, woke_up);
    ev_set_priority(&loop->after_waiting, EV_MAXPRI); // before the events it tells the time of
    loop->after_waiting.data = loop;
    ev_prepare_init(&loop->before_waiting, is_about_to_wait);
    loop->before_waiting.data = loop;
    ev_idle_init(&loop->not_yet, do_nothing);
    ev_check_start(loop->ev, &loop->after_waiting);
    ev_unref(loop->ev); // these two alone are nothing to wait for
    ev_prepare_start(loop->ev, &loop->before_waiting);
    ev_unref(loop->ev);

    *out = loop;
    return ERROR_NONE;
}

void loop_free(struct loop **loop_pointer)
{
    struct loop *loop = *loop_pointer;

    *loop_pointer = NULL;
    if (!loop)
        return;
    while (loop->guests)
        loop->guests->evict(loop->guests);
    dig_graves(loop);
    assert(!loop->tasks && !loop->running);
    ev_idle_stop(loop->ev, &loop->not_yet);
    ev_ref(loop->ev);
    ev_prepare_stop(loop->ev, &loop->before_waiting);
    ev_ref(loop->ev);
    ev_check_stop(loop->ev, &loop->after_waiting);
    ev_loop_destroy(loop->ev);
    free(loop->scratch);
    free(loop);
}

void loop_run(struct loop *loop)
{
    assert(!loop->is_running);
    ev_now_update(loop->ev);
    loop->now_ms = clock_ms();
    loop->is_running = true;
    ev_run(loop->ev, 0);
    loop->is_running = false;
    dig_graves(loop);
}

void loop_stop(struct loop *loop)
{
    ev_break(loop->ev, EVBREAK_ALL);
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return loop->is_running ? loop->now_ms : clock_ms();
}

/* timers */

static void set_alarm(struct loop_timer *timer, uint64_t now_ms)
{
    uint64_t wait_ms = timer->deadline_ms > now_ms ? timer->deadline_ms - now_ms : 0;

    if (wait_ms > LONGEST_ALARM_MS)
        wait_ms = LONGEST_ALARM_MS;
    timer->alarm_ms = now_ms + wait_ms;
    ev_timer_set(&timer->watcher, (ev_tstamp)wait_ms / 1000., 0.);
    ev_timer_start(timer->loop->ev, &timer->watcher);
}

static void alarm_went_off(struct ev_loop *ev, ev_timer *watcher, int events)
{
    struct loop_timer *timer = watcher->data;

    (void)ev, (void)events;
    if (timer->deadline_ms > timer->loop->now_ms)
        set_alarm(timer, timer->loop->now_ms);
    else
        timer->on_expired(timer->owner);
}

void loop_timer_init(struct loop_timer *timer, struct loop *loop, void (*on_expired)(void *owner),
                     void *owner)
{
    *timer = (struct loop_timer){ .loop = loop, .on_expired = on_expired, .owner = owner };
    ev_init(&timer->watcher, alarm_went_off);
    timer->watcher.data = timer;
}

void loop_timer_set(struct loop_timer *timer, uint64_t after_ms)
{
    struct loop *loop = timer->loop;
    uint64_t now_ms = loop_now_ms(loop);

    timer->deadline_ms = after_ms < UINT64_MAX - now_ms ? now_ms + after_ms : UINT64_MAX;
    if (ev_is_active(&timer->watcher)) {
        if (timer->deadline_ms >= timer->alarm_ms)
            return;
        ev_timer_stop(loop->ev, &timer->watcher);
    } else if (ev_is_pending(&timer->watcher)) {
        ev_clear_pending(loop->ev, &timer->watcher); // went off, but set anew before it ran
    }
    if (!loop->is_running)
        ev_now_update(loop->ev);
    set_alarm(timer, now_ms);
}

void loop_timer_stop(struct loop_timer *timer)
{
    if (timer->loop)
        ev_timer_stop(timer->loop->ev, &timer->watcher); // a pending one too
}

bool loop_timer_is_set(const struct loop_timer *timer)
{
    return ev_is_active(&timer->watcher) || ev_is_pending(&timer->watcher);
}
