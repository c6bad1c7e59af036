#include "admin/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "io/listener.h"
#include "io/stream.h"

enum { BACKLOG = 2 * CONTROL_CALLERS };

enum state { READING, WAITING, FOLLOWING, ANSWERED };

struct control_caller {
    struct control *control;
    struct stream stream;
    struct loop_timer timer;
    enum state state;
    bool has_finished; // it sends no more, and waits for its answer
    struct buffer in, out;
    uint64_t left_out; // lines that a follower did not get
    struct control_caller *next, **link;
    struct loop_grave grave;
};

struct control {
    struct loop *loop;
    const struct control_events *events;
    void *owner;
    struct acceptor acceptor;
    int fd;
    dev_t device;
    ino_t inode; // of the socket's name
    struct control_caller *callers;
    size_t caller_count, follower_count;
    char path[sizeof((struct sockaddr_un){ 0 }.sun_path)];
};

/* ---- callers ---- */

static void dig(struct loop_grave *grave)
{
    free((char *)grave - offsetof(struct control_caller, grave));
}

static void end(struct control_caller *caller)
{
    struct control *control = caller->control;

    if (caller->state == FOLLOWING)
        control->follower_count--;
    if (caller->state == FOLLOWING || caller->state == WAITING) {
        caller->state = ANSWERED;
        control->events->on_gone(control->owner, caller);
    }
    *caller->link = caller->next;
    if (caller->next)
        caller->next->link = caller->link;
    control->caller_count--;
    loop_timer_stop(&caller->timer);
    stream_close(&caller->stream);
    buffer_release(&caller->in);
    buffer_release(&caller->out);
    loop_bury(control->loop, &caller->grave, dig);
}

static void flush(struct control_caller *caller)
{
    while (caller->out.size > 0) {
        struct iovec part = { caller->out.at, caller->out.size };
        size_t put = 0;
        enum stream_outcome outcome = stream_write(&caller->stream, &part, 1, &put);

        if (outcome == STREAM_LOST || outcome == STREAM_END) {
            end(caller);
            return;
        }
        if (outcome == STREAM_WAIT)
            break;
        buffer_consume(&caller->out, put);
    }
    if (caller->out.size == 0 && caller->state == ANSWERED) {
        end(caller);
        return;
    }
    stream_want(&caller->stream, (caller->has_finished ? 0 : STREAM_READ) |
                                     (caller->out.size > 0 ? STREAM_WRITE : 0));
}

void control_answer(struct control_caller *caller, const char *problem, struct span text)
{
    caller->state = ANSWERED;
    caller->out.limit_bytes = CONTROL_ANSWER_BYTES;
    if (problem)
        buffer_printf(&caller->out, "error %s\n", problem);
    else if (!buffer_append(&caller->out, SPAN("ok\n")) || !buffer_append(&caller->out, text))
        log_error("an answer on the control socket is too long");
    loop_timer_set(&caller->timer, CONTROL_ANSWER_MS);
    flush(caller);
}

void control_follow(struct control_caller *caller)
{
    caller->state = FOLLOWING;
    caller->control->follower_count++;
    caller->out.limit_bytes = CONTROL_FOLLOWER_BYTES;
    loop_timer_stop(&caller->timer);
    buffer_append(&caller->out, SPAN("ok\n"));
    flush(caller);
}

static void tell(struct control_caller *caller, struct span line)
{
    if (caller->left_out > 0 && caller->out.size < CONTROL_FOLLOWER_BYTES / 2) {
        buffer_printf(&caller->out, "(%llu lines are left out here)\n",
                      (unsigned long long)caller->left_out);
        caller->left_out = 0;
    }
    if (caller->left_out > 0 || !buffer_append(&caller->out, line)) {
        caller->left_out++;
        return;
    }
    flush(caller);
}

void control_tell(struct control *control, struct span line)
{
    struct control_caller *next;

    for (struct control_caller *caller = control->callers; caller; caller = next) {
        next = caller->next;
        if (caller->state == FOLLOWING)
            tell(caller, line);
    }
}

size_t control_followers(const struct control *control)
{
    return control->follower_count;
}

static void take_line(struct control_caller *caller, struct span line)
{
    struct control_request request;
    struct error error;

    if (control_parse(&request, line, &error) != ERROR_NONE) {
        control_answer(caller, error.text, SPAN(""));
        return;
    }
    caller->state = WAITING;
    loop_timer_stop(&caller->timer);
    caller->control->events->on_request(caller->control->owner, caller, &request);
}

static void on_readable(void *owner)
{
    struct control_caller *caller = owner;
    char *scratch = caller->control->loop->scratch;
    struct span all;
    size_t got = 0, end_of_line;

    switch (stream_read(&caller->stream, scratch, CONTROL_LINE_BYTES + 1, &got)) {
    case STREAM_WAIT:
        return;
    case STREAM_END:
        if (caller->state == WAITING || caller->state == ANSWERED) {
            caller->has_finished = true;
            stream_want(&caller->stream, caller->out.size > 0 ? STREAM_WRITE : 0);
            return;
        }
        end(caller);
        return;
    case STREAM_LOST:
        end(caller);
        return;
    case STREAM_OK:
        break;
    }
    if (caller->state != READING)
        return; // nobody asked for more
    if (!buffer_append(&caller->in, span_of(scratch, got))) {
        control_answer(caller, "the line is too long", SPAN(""));
        return;
    }
    all = buffer_span(&caller->in);
    end_of_line = span_find_byte(all, '\n');
    if (end_of_line < all.size)
        take_line(caller, span_slice(all, 0, end_of_line));
}

static void on_writable(void *owner)
{
    flush(owner);
}

static const struct stream_events stream_events = { on_readable, on_writable };

static void on_late(void *owner)
{
    struct control_caller *caller = owner;

    if (caller->state == READING)
        control_answer(caller, "no line came", SPAN(""));
    else
        end(caller);
}

static void on_accepted(void *owner, int fd, const struct address *peer)
{
    struct control *control = owner;
    struct control_caller *caller;

    (void)peer;
    if (control->caller_count == CONTROL_CALLERS) {
        close(fd);
        return;
    }
    caller = calloc(1, sizeof *caller);
    if (!caller)
        abort(); // out of memory; the master starts another
    caller->control = control;
    caller->in.limit_bytes = CONTROL_LINE_BYTES + 1;
    caller->next = control->callers;
    caller->link = &control->callers;
    if (caller->next)
        caller->next->link = &caller->next;
    control->callers = caller;
    control->caller_count++;
    loop_timer_init(&caller->timer, control->loop, on_late, caller);
    loop_timer_set(&caller->timer, CONTROL_LINE_MS);
    stream_init_tcp(&caller->stream, control->loop, fd, &stream_events, caller);
    stream_want(&caller->stream, STREAM_READ);
}

static const struct acceptor_events acceptor_events = { on_accepted, NULL };

/* ---- the socket ---- */

static void make_directory(const char *path)
{
    char directory[sizeof((struct sockaddr_un){ 0 }.sun_path)];
    char *slash;

    snprintf(directory, sizeof directory, "%s", path);
    slash = strrchr(directory, '/');
    if (!slash || slash == directory)
        return;
    *slash = '\0';
    mkdir(directory, 0750); // bind() says what is wrong otherwise
}

/* Listens under a name beside, then moves that to its place. */
static enum error_kind put_in_place(struct control *control, struct error *error)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    struct stat about;
    mode_t mask;
    int size = snprintf(name.sun_path, sizeof name.sun_path, "%s.%d", control->path, getpid());
    bool is_bound;

    if (size < 0 || (size_t)size >= sizeof name.sun_path)
        return error_set(error, ERROR_ADDRESS, "the path of the control socket is too long: %s",
                         control->path);
    make_directory(control->path);
    unlink(name.sun_path);
    mask = umask(0117);
    is_bound = bind(control->fd, (struct sockaddr *)&name, sizeof name) == 0;
    umask(mask);
    if (is_bound && listen(control->fd, BACKLOG) == 0 && stat(name.sun_path, &about) == 0 &&
        rename(name.sun_path, control->path) == 0) {
        control->device = about.st_dev;
        control->inode = about.st_ino;
        return ERROR_NONE;
    }
    error_errno(error, ERROR_ADDRESS, "no control socket at %s", control->path);
    if (is_bound)
        unlink(name.sun_path);
    return ERROR_ADDRESS;
}

enum error_kind control_open(struct control **out, struct loop *loop, const char *path,
                             const struct control_events *events, void *owner, struct error *error)
{
    struct control *control = calloc(1, sizeof *control);
    enum error_kind kind;

    if (!control)
        abort(); // out of memory; the master starts another
    control->loop = loop;
    control->events = events;
    control->owner = owner;
    if (strlen(path) >= sizeof control->path) {
        free(control);
        return error_set(error, ERROR_ADDRESS, "the path of the control socket is too long: %s",
                         path);
    }
    snprintf(control->path, sizeof control->path, "%s", path);
    control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control->fd < 0)
        kind = error_errno(error, ERROR_SYSTEM, "no control socket");
    else
        kind = put_in_place(control, error);
    if (kind != ERROR_NONE) {
        if (control->fd >= 0)
            close(control->fd);
        free(control);
        return kind;
    }
    acceptor_start(&control->acceptor, loop, control->fd, &acceptor_events, control, 0);
    *out = control;
    return ERROR_NONE;
}

void control_free(struct control **control)
{
    struct control *old = *control;
    struct stat about;

    *control = NULL;
    if (!old)
        return;
    acceptor_stop(&old->acceptor);
    while (old->callers)
        end(old->callers);
    close(old->fd);
    if (stat(old->path, &about) == 0 && about.st_dev == old->device && about.st_ino == old->inode)
        unlink(old->path);
    loop_dig(old->loop);
    free(old);
}

const char *control_path(const struct control *control)
{
    return control->path;
}
