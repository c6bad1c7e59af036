/*
 * clock.h - for tests of time limits: a clock that stands still and leaps to the next alarm.
 *
 * Stands in the place of what libev asks of the C library. While events come, no time passes; when
 * none is there, it is at once as late as the loop would have waited. So ten seconds take none, and
 * what happens a millisecond before a limit can be told from what happens after. All that talks
 * must be in this process. To be included by the test's own file, once.
 */
#ifndef DEJUNK_TESTS_CLOCK_H
#define DEJUNK_TESTS_CLOCK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "io/loop.h"

enum {
    CLOCK_GRACE_MS = 5,     // of real time, for what is on its way inside the kernel
    CLOCK_CREEP_NS = 20000, // libev looks again where less than it can wait for is left
};

static uint64_t clock_leapt_ns;

int clock_gettime(clockid_t id, struct timespec *to)
{
    static struct timespec began[2]; // of the two that are asked for: when this was first called
    struct timespec *first = &began[id == CLOCK_REALTIME];

    if (id != CLOCK_REALTIME && id != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, id, to);
    if (first->tv_sec == 0)
        syscall(SYS_clock_gettime, id, first);
    *to = *first;
    to->tv_sec += (time_t)(clock_leapt_ns / 1000000000);
    to->tv_nsec += (long)(clock_leapt_ns % 1000000000);
    if (to->tv_nsec >= 1000000000) {
        to->tv_nsec -= 1000000000;
        to->tv_sec++;
    }
    return 0;
}

int epoll_wait(int fd, struct epoll_event *events, int most, int timeout)
{
    int grace = timeout < 0 || timeout > CLOCK_GRACE_MS ? CLOCK_GRACE_MS : timeout;
    int count = (int)syscall(SYS_epoll_pwait, fd, events, most, grace, NULL, 0);

    if (count == 0 && timeout < 0) {
        fprintf(stderr, "the loop waits, and nothing will ever come\n");
        abort();
    }
    if (count == 0)
        clock_leapt_ns += timeout ? (uint64_t)timeout * 1000000 : CLOCK_CREEP_NS;
    return count;
}

static inline void clock_stop(void *loop)
{
    loop_stop(loop);
}

/* Runs the loop until this clock is so much later. */
static inline void clock_run(struct loop *loop, uint64_t for_ms)
{
    struct loop_timer until;

    loop_timer_init(&until, loop, clock_stop, loop);
    loop_timer_set(&until, for_ms);
    loop_run(loop);
    loop_timer_stop(&until);
}

#endif
