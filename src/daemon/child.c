#include "daemon/child.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/jail.h"

enum {
    MESSAGES_AT_ONCE = 16, // of one child, before others get their turn
    MOST_KEPT = 128,       // descriptors that a new process takes along
};

struct child {
    struct loop_grave grave; // first, so that the grave is the child
    struct loop *loop;
    char name[CHILD_NAME_BYTES];
    const struct child_events *events;
    void *owner;
    enum child_phase phase;
    pid_t pid; // 0: none, as are the next two
    int pidfd; // readable when the process has ended
    int channel;
    ev_io ended, incoming;
    struct loop_timer ping; // while it runs: the next ping; while it does not: the next start
    uint64_t pings;
    unsigned unanswered; // counted, not timed: a master that was stopped itself blames nobody
    struct child_history history;
};

static void on_timer(void *owner);

struct child *child_new(struct loop *loop, const char *name, const struct child_events *events,
                        void *owner)
{
    struct child *child = calloc(1, sizeof *child);

    if (!child)
        abort();
    child->loop = loop;
    snprintf(child->name, sizeof child->name, "%s", name);
    child->events = events;
    child->owner = owner;
    child->pidfd = child->channel = -1;
    loop_timer_init(&child->ping, loop, on_timer, child);
    return child;
}

enum child_phase child_phase(const struct child *child)
{
    return child->phase;
}

int child_pid(const struct child *child)
{
    return child->pid;
}

const char *child_name(const struct child *child)
{
    return child->name;
}

uint64_t child_wait_ms(struct child_history *history, uint64_t now_ms)
{
    const size_t last = CHILD_CRASHES - 1;
    uint64_t wait;

    if (history->count == CHILD_CRASHES) {
        memmove(history->ended_ms, history->ended_ms + 1, last * sizeof *history->ended_ms);
        history->count--;
    }
    history->ended_ms[history->count++] = now_ms;
    if (history->count < CHILD_CRASHES ||
        now_ms - history->ended_ms[0] > CHILD_CRASHES_MS + history->last_wait_ms) {
        history->last_wait_ms = 0;
        return 0;
    }
    wait = history->last_wait_ms == 0 ? CHILD_FIRST_WAIT_MS : history->last_wait_ms * 2;
    if (wait > CHILD_LONGEST_WAIT_MS)
        wait = CHILD_LONGEST_WAIT_MS;
    history->last_wait_ms = wait;
    return wait;
}

static int compare_fds(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

void child_keep_only(const int *fds, size_t count)
{
    int sorted[MOST_KEPT];
    unsigned next = 3;

    assert(count <= MOST_KEPT);
    memcpy(sorted, fds, count * sizeof *fds);
    qsort(sorted, count, sizeof *sorted, compare_fds);
    for (size_t i = 0; i < count; i++) {
        if (sorted[i] < (int)next)
            continue;
        if (sorted[i] > (int)next)
            close_range(next, (unsigned)sorted[i] - 1, 0);
        next = (unsigned)sorted[i] + 1;
    }
    close_range(next, ~0u, 0);
}

/* The master's signals are not ours: a terminal's Ctrl-C and systemd's TERM reach every process,
 * and the master says what follows from it. */
static void reset_signals(void)
{
    static const int masters[] = { SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE };
    sigset_t none;

    for (int number = 1; number < 32; number++)
        signal(number, SIG_DFL);
    for (size_t i = 0; i < sizeof masters / sizeof *masters; i++)
        signal(masters[i], SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

int child_fork(void)
{
    sigset_t all, before;
    pid_t master = getpid(), pid;

    fflush(NULL); // or both would write it
    // no handler of the master's may run in the child: its loop is not ours
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() != master)
            _exit(EX_TEMPFAIL); // it died before the kernel knew our wish
        reset_signals();
        return 0;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

static _Noreturn void be_the_child(struct child *child, int channel)
{
    int code;

    prctl(PR_SET_NAME, child->name, 0, 0, 0);
    code = child->events->run(child->owner, channel);
    if (!jail_is_wanted())
        exit(code); // sanitizers and coverage have a last word
    _exit(code);
}

static void stop_watching(struct child *child)
{
    if (child->pid == 0)
        return;
    ev_io_stop(child->loop->ev, &child->ended);
    ev_io_stop(child->loop->ev, &child->incoming);
    loop_timer_stop(&child->ping);
    close(child->pidfd);
    close(child->channel);
    child->pidfd = child->channel = -1;
    child->pid = 0;
}

static void start_later(struct child *child)
{
    uint64_t wait = child_wait_ms(&child->history, loop_now_ms(child->loop));

    child->phase = CHILD_ENDED;
    if (wait == 0) {
        child->phase = CHILD_IDLE;
        child_start(child);
        return;
    }
    log_warning("%s ended %d times in short time, the next start is in %llu ms", child->name,
                CHILD_CRASHES, (unsigned long long)wait);
    loop_timer_set(&child->ping, wait);
}

static void see_end(struct child *child, int status)
{
    stop_watching(child);
    child->phase = CHILD_IDLE;
    if (child->events->on_ended(child->owner, status))
        start_later(child);
}

static void on_end(struct ev_loop *ev, ev_io *watcher, int revents)
{
    struct child *child = watcher->data;
    int status = 0;
    pid_t got;

    (void)ev;
    (void)revents;
    do
        got = waitpid(child->pid, &status, WNOHANG);
    while (got < 0 && errno == EINTR);
    if (got != 0)
        see_end(child, status);
}

/* False when the child must not be touched any more by this turn. */
static bool take_message(struct child *child)
{
    struct message message;
    struct error error;

    switch (message_receive(child->channel, &message, &error)) {
    case MESSAGE_WAIT:
        return false;
    case MESSAGE_END: // it is ending; on_end() says how
        ev_io_stop(child->loop->ev, &child->incoming);
        return false;
    case MESSAGE_BAD:
        child_kill(child, error.text);
        return false;
    case MESSAGE_GOT:
        break;
    }
    child->unanswered = 0;
    if (message.type == MESSAGE_PONG)
        return true;
    if (message.type == MESSAGE_READY && child->phase == CHILD_STARTING) {
        child->phase = CHILD_SERVING;
        child->events->on_ready(child->owner);
        return true;
    }
    child->events->on_message(child->owner, &message);
    return true;
}

static void on_incoming(struct ev_loop *ev, ev_io *watcher, int revents)
{
    struct child *child = watcher->data;
    pid_t pid = child->pid;

    (void)ev;
    (void)revents;
    for (int i = 0; i < MESSAGES_AT_ONCE; i++)
        if (!take_message(child) || child->pid != pid)
            return;
}

static enum error_kind fork_it(struct child *child, struct error *error)
{
    int ends[2], pid, pidfd;
    enum error_kind kind = message_channel(ends, error);

    if (kind != ERROR_NONE)
        return kind;
    pid = child_fork();
    if (pid == 0)
        be_the_child(child, ends[1]);
    close(ends[1]);
    pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;
    if (pid < 0 || pidfd < 0) {
        kind = error_errno(error, ERROR_SYSTEM, "cannot start %s", child->name);
        close(ends[0]);
        if (pid > 0) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
        return kind;
    }
    child->pid = pid;
    child->pidfd = pidfd;
    child->channel = ends[0];
    return ERROR_NONE;
}

void child_start(struct child *child)
{
    struct error error;

    if (child->phase != CHILD_IDLE)
        return;
    if (fork_it(child, &error) != ERROR_NONE) {
        log_error("%s", error.text);
        child->phase = CHILD_ENDED;
        loop_timer_set(&child->ping, CHILD_PING_MS);
        return;
    }
    child->phase = CHILD_STARTING;
    child->unanswered = 0;
    ev_io_init(&child->ended, on_end, child->pidfd, EV_READ);
    ev_io_init(&child->incoming, on_incoming, child->channel, EV_READ);
    child->ended.data = child->incoming.data = child;
    ev_io_start(child->loop->ev, &child->ended);
    ev_io_start(child->loop->ev, &child->incoming);
    loop_timer_set(&child->ping, CHILD_PING_MS);
    child->events->on_started(child->owner, child->pid);
}

static void on_timer(void *owner)
{
    struct child *child = owner;
    struct message ping = message_of(MESSAGE_PING);

    if (child->phase == CHILD_ENDED) {
        child->phase = CHILD_IDLE;
        child_start(child);
        return;
    }
    loop_timer_set(&child->ping, CHILD_PING_MS);
    if (child->unanswered >= CHILD_PINGS) {
        child_kill(child, "it does not answer");
        return;
    }
    child->unanswered++;
    ping.number.number = ++child->pings;
    message_send(child->channel, &ping, NULL); // one that finds no room is one less to answer
}

void child_kill(struct child *child, const char *why)
{
    if (child->pid == 0)
        return;
    log_error("%s (pid %d) is killed: %s", child->name, (int)child->pid, why);
    ev_io_stop(child->loop->ev, &child->incoming);
    kill(child->pid, SIGKILL);
}

bool child_send(struct child *child, const struct message *message)
{
    struct error error;

    if (child->pid == 0)
        return false;
    switch (message_send(child->channel, message, &error)) {
    case ERROR_NONE:
        return true;
    case ERROR_LOST: // it is ending; on_end() says how
        return false;
    default:
        child_kill(child, error.text);
        return false;
    }
}

static void dig(struct loop_grave *grave)
{
    free(grave);
}

void child_free(struct child **child)
{
    struct child *old = *child;

    if (!old)
        return;
    if (old->pid != 0) {
        kill(old->pid, SIGKILL);
        waitpid(old->pid, NULL, 0);
    }
    stop_watching(old);
    loop_timer_stop(&old->ping);
    old->phase = CHILD_IDLE;
    loop_bury(old->loop, &old->grave, dig);
    *child = NULL;
}
