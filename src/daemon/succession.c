#include "daemon/succession.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/keep.h"
#include "base/log.h"
#include "daemon/child.h"

#define VARIABLE "DEJUNK_SUCCEEDS"

enum {
    ARGUMENTS_BYTES = 1024 * 1024,
    HAND_OVER_MS = 5000, // all of it is sent before the successor even looks
};

/* ---- how we were started ---- */

static char **split_arguments(struct span bytes)
{
    size_t count = 0, at = 0;
    char **arguments;

    for (size_t i = 0; i < bytes.size; i++)
        count += bytes.at[i] == '\0';
    arguments = calloc(count + 1, sizeof *arguments);
    if (!arguments)
        abort();
    for (size_t i = 0; i < count; i++) {
        arguments[i] = strdup(bytes.at + at);
        if (!arguments[i])
            abort();
        at += strlen(arguments[i]) + 1;
    }
    return arguments;
}

enum error_kind succession_program_read(struct succession_program *out, struct error *error)
{
    struct buffer bytes = { .limit_bytes = ARGUMENTS_BYTES };
    char path[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    enum error_kind kind;

    *out = (struct succession_program){ NULL, NULL };
    if (size <= 0)
        return error_errno(error, ERROR_SYSTEM, "cannot tell how this program was started");
    kind = keep_read("/proc/self/cmdline", &bytes, error);
    if (kind != ERROR_NONE) {
        buffer_release(&bytes);
        return kind;
    }
    path[size] = '\0';
    out->path = strdup(path);
    if (!out->path)
        abort();
    out->arguments = split_arguments(buffer_span(&bytes));
    buffer_release(&bytes);
    return ERROR_NONE;
}

void succession_program_done(struct succession_program *program)
{
    for (size_t i = 0; program->arguments && program->arguments[i]; i++)
        free(program->arguments[i]);
    free(program->arguments);
    free(program->path);
    *program = (struct succession_program){ NULL, NULL };
}

/* ---- the predecessor's side ---- */

struct succession {
    struct loop_grave grave; // first, so that the grave is the succession
    struct loop *loop;
    const struct succession_events *events;
    void *owner;
    pid_t pid;
    int channel;
    ev_io incoming;
    struct loop_timer patience;
    bool is_ready, is_over; // over: told to go on, or failed
};

static void fail(struct succession *succession, const char *why)
{
    if (succession->is_over)
        return;
    succession->is_over = true;
    ev_io_stop(succession->loop->ev, &succession->incoming);
    loop_timer_stop(&succession->patience);
    succession->events->on_failed(succession->owner, why);
}

static void on_patience_over(void *owner)
{
    fail(owner, "it was not ready in time");
}

static void on_incoming(struct ev_loop *ev, ev_io *watcher, int revents)
{
    struct succession *succession = watcher->data;
    struct message message;
    struct error error;

    (void)ev;
    (void)revents;
    switch (message_receive(succession->channel, &message, &error)) {
    case MESSAGE_WAIT:
        return;
    case MESSAGE_END:
        fail(succession, "it ended");
        return;
    case MESSAGE_BAD:
        fail(succession, error.text);
        return;
    case MESSAGE_GOT:
        break;
    }
    if (message.fd >= 0)
        close(message.fd);
    if (message.type != MESSAGE_READY || succession->is_ready)
        return;
    succession->is_ready = true;
    loop_timer_stop(&succession->patience);
    succession->events->on_ready(succession->owner, succession->pid);
}

static void reset_signals(void)
{
    sigset_t none;

    for (int number = 1; number < 32; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void be_the_successor(const struct succession_program *program, int channel)
{
    char number[16];

    reset_signals();
    child_keep_only(&channel, 1);
    snprintf(number, sizeof number, "%d", channel);
    setenv(VARIABLE, number, 1);
    unsetenv("WATCHDOG_PID"); // the sign of life is due from the successor then
    if (fcntl(channel, F_SETFD, 0) == 0)
        execv(program->path, program->arguments);
    log_error("cannot start %s: %s", program->path, strerror(errno));
    _exit(EX_OSERR);
}

static enum error_kind hand_over_listener(int channel, const struct listener *listener,
                                          struct error *error)
{
    for (size_t i = 0; i < listener->places; i++) {
        struct message message = message_of(MESSAGE_LISTEN);
        enum error_kind kind;

        message.fd = listener->fds[i];
        snprintf(message.listener.name, sizeof message.listener.name, "%s", listener->name);
        message.listener.place = (uint32_t)i;
        message.listener.is_shared = listener->is_shared;
        message.listener.is_passed = listener->is_passed;
        if (message.fd < 0)
            continue;
        kind = message_send(channel, &message, error);
        if (kind != ERROR_NONE)
            return kind;
    }
    return ERROR_NONE;
}

static enum error_kind hand_over(int channel, const struct listeners *listeners,
                                 const struct shared *shared, const struct message_tickets *tickets,
                                 struct error *error)
{
    struct message counters = message_of(MESSAGE_COUNTERS), keys = message_of(MESSAGE_TICKETS);
    struct message end = message_of(MESSAGE_HANDED_OVER);
    enum error_kind kind = ERROR_NONE;

    for (size_t i = 0; i < listeners->count && kind == ERROR_NONE; i++)
        kind = hand_over_listener(channel, listeners->items[i], error);
    counters.fd = shared_fd(shared);
    counters.parcel.size_bytes = shared_size_bytes();
    keys.tickets = *tickets;
    if (kind == ERROR_NONE)
        kind = message_send(channel, &counters, error);
    if (kind == ERROR_NONE)
        kind = message_send(channel, &keys, error);
    if (kind == ERROR_NONE)
        kind = message_send(channel, &end, error);
    return kind;
}

static pid_t fork_successor(const struct succession_program *program, int channel)
{
    sigset_t all, before;
    pid_t pid;

    fflush(NULL);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0)
        be_the_successor(program, channel);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

enum error_kind succession_start(struct succession **out, struct loop *loop,
                                 const struct succession_program *program,
                                 const struct listeners *listeners, const struct shared *shared,
                                 const struct message_tickets *tickets,
                                 const struct succession_events *events, void *owner,
                                 struct error *error)
{
    struct succession *succession;
    int ends[2];
    pid_t pid;
    enum error_kind kind = message_channel(ends, error);

    if (kind != ERROR_NONE)
        return kind;
    kind = hand_over(ends[0], listeners, shared, tickets, error);
    if (kind != ERROR_NONE)
        goto fail;
    pid = fork_successor(program, ends[1]);
    if (pid < 0) {
        kind = error_errno(error, ERROR_SYSTEM, "cannot start a successor");
        goto fail;
    }
    close(ends[1]);
    succession = calloc(1, sizeof *succession);
    if (!succession)
        abort();
    succession->loop = loop;
    succession->events = events;
    succession->owner = owner;
    succession->pid = pid;
    succession->channel = ends[0];
    loop_timer_init(&succession->patience, loop, on_patience_over, succession);
    loop_timer_set(&succession->patience, SUCCESSION_MS);
    ev_io_init(&succession->incoming, on_incoming, succession->channel, EV_READ);
    succession->incoming.data = succession;
    ev_io_start(loop->ev, &succession->incoming);
    *out = succession;
    return ERROR_NONE;
fail:
    close(ends[0]);
    close(ends[1]);
    return kind;
}

void succession_go_on(struct succession *succession)
{
    struct message go_on = message_of(MESSAGE_GO_ON);
    struct error error;

    ev_io_stop(succession->loop->ev, &succession->incoming);
    succession->is_over = true;
    succession->pid = 0; // not ours to kill any more
    if (message_send(succession->channel, &go_on, &error) != ERROR_NONE)
        log_error("%s", error.text);
}

static void dig(struct loop_grave *grave)
{
    free(grave);
}

void succession_free(struct succession **succession)
{
    struct succession *old = *succession;

    if (!old)
        return;
    ev_io_stop(old->loop->ev, &old->incoming);
    loop_timer_stop(&old->patience);
    close(old->channel);
    if (old->pid > 0) {
        kill(old->pid, SIGKILL);
        waitpid(old->pid, NULL, 0);
    }
    loop_bury(old->loop, &old->grave, dig);
    *succession = NULL;
}

/* ---- the successor's side ---- */

static enum error_kind take(struct inheritance *inheritance, struct message *message,
                            struct error *error)
{
    enum error_kind kind;

    if (message->type == MESSAGE_LISTEN) {
        kind = listeners_adopt(&inheritance->listeners, &message->listener, message->fd, error);
        if (kind == ERROR_NONE)
            message->fd = -1;
        return kind;
    }
    if (message->type == MESSAGE_COUNTERS && !inheritance->shared) {
        kind = shared_open(&inheritance->shared, message->fd, error);
        if (kind == ERROR_UNSUPPORTED)
            log_notice("counters begin anew: %s", error->text);
        return kind == ERROR_UNSUPPORTED ? ERROR_NONE : kind;
    }
    if (message->type == MESSAGE_TICKETS) {
        inheritance->tickets = message->tickets;
        return ERROR_NONE;
    }
    return error_set(error, ERROR_SYNTAX, "the predecessor sent a %s message",
                     message_name(message->type));
}

static enum error_kind take_all(struct inheritance *inheritance, struct error *error)
{
    for (;;) {
        struct pollfd readable = { .fd = inheritance->channel, .events = POLLIN };
        struct message message;
        enum error_kind kind;

        if (poll(&readable, 1, HAND_OVER_MS) == 0)
            return error_set(error, ERROR_TIMEOUT, "the predecessor hands nothing over");
        switch (message_receive(inheritance->channel, &message, error)) {
        case MESSAGE_WAIT:
            continue;
        case MESSAGE_END:
            return error_set(error, ERROR_LOST, "the predecessor is gone");
        case MESSAGE_BAD:
            return error->kind;
        case MESSAGE_GOT:
            break;
        }
        if (message.type == MESSAGE_HANDED_OVER)
            return ERROR_NONE;
        kind = take(inheritance, &message, error);
        if (message.fd >= 0)
            close(message.fd);
        if (kind != ERROR_NONE)
            return kind;
    }
}

enum error_kind succession_inherit(struct inheritance *out, struct error *error)
{
    struct inheritance inheritance = { .channel = -1 };
    const char *text = getenv(VARIABLE);
    struct error local;
    uint64_t number;
    enum error_kind kind;

    if (!text) {
        *out = inheritance;
        return ERROR_NONE;
    }
    if (!span_to_u64(span_text(text), &number) || number < 3 || number > INT_MAX ||
        fcntl((int)number, F_SETFD, FD_CLOEXEC) < 0)
        return error_set(error, ERROR_CONFIG, VARIABLE " is no open descriptor");
    unsetenv(VARIABLE);
    inheritance.channel = (int)number;
    kind = take_all(&inheritance, error ? error : &local);
    if (kind != ERROR_NONE) {
        inheritance_done(&inheritance);
        return kind;
    }
    *out = inheritance;
    return ERROR_NONE;
}

void inheritance_done(struct inheritance *inheritance)
{
    listeners_done(&inheritance->listeners);
    shared_free(&inheritance->shared);
    if (inheritance->channel >= 0)
        close(inheritance->channel);
    inheritance->channel = -1;
}
