#include "io/stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* events
 *
 * Each change of what epoll watches is a system call, so the wish to read is dropped lazily: the
 * watch stays until an event comes that nobody wants. A browser that waits for its answer sends
 * nothing, so most exchanges end without a call. The wish to write is dropped at once, because a
 * socket is nearly always writable; so is the wish to read where more is known to wait. What is
 * watched is a superset of stream->wanted. */

static void set_watch(struct stream *stream, int events)
{
    ev_io_stop(stream->loop->ev, &stream->watch);
    ev_io_modify(&stream->watch, events);
    if (events)
        ev_io_start(stream->loop->ev, &stream->watch);
}

static int watched(const struct stream *stream)
{
    return ev_is_active(&stream->watch) ? stream->watch.events & (EV_READ | EV_WRITE) : 0;
}

static void tcp_want(struct stream *stream, int events)
{
    int now = watched(stream);
    int needed = events;

    if (stream->was_emptied && !stream->has_ended)
        needed |= now & EV_READ;
    stream->wanted = events;
    if (needed != now)
        set_watch(stream, needed);
}

static void on_event(struct ev_loop *ev, ev_io *watch, int happened)
{
    struct stream *stream = watch->data;
    int wanted = happened & stream->wanted;

    if (happened & ~stream->wanted & watched(stream))
        set_watch(stream, stream->wanted);
    if (wanted == (EV_READ | EV_WRITE)) // the second comes by itself, unless the first closes it
        ev_feed_event(ev, watch, EV_WRITE);
    if (wanted & EV_READ)
        stream->events->on_readable(stream->owner);
    else if (wanted & EV_WRITE)
        stream->events->on_writable(stream->owner);
}

/* bytes */

static enum stream_outcome outcome_of_errno(struct stream *stream)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return STREAM_WAIT;
    stream->has_ended = true;
    return STREAM_LOST;
}

static enum stream_outcome tcp_read(struct stream *stream, char *at, size_t size, size_t *got)
{
    ssize_t count;

    assert(size > 0);
    do
        count = recv(stream->fd, at, size, MSG_DONTWAIT);
    while (count < 0 && errno == EINTR);
    stream->was_emptied = count < 0 || (size_t)count < size;
    if (count < 0)
        return outcome_of_errno(stream);
    if (count == 0) {
        stream->has_ended = true;
        return STREAM_END;
    }
    *got = (size_t)count;
    return STREAM_OK;
}

static enum stream_outcome tcp_write(struct stream *stream, const struct iovec *parts, int count,
                                     size_t *put)
{
    struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count };
    ssize_t written;

    assert(count > 0);
    do
        written = count == 1 ? send(stream->fd, parts->iov_base, parts->iov_len,
                                    MSG_NOSIGNAL | MSG_DONTWAIT)
                             : sendmsg(stream->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (written < 0 && errno == EINTR);
    if (written < 0)
        return outcome_of_errno(stream);
    *put = (size_t)written;
    return STREAM_OK;
}

static void tcp_shutdown(struct stream *stream)
{
    shutdown(stream->fd, SHUT_WR);
}

static int tcp_splice_fd(const struct stream *stream)
{
    return stream->fd;
}

/* endings */

struct lingerer { // a socket without an owner; frees itself
    struct loop_guest guest;
    struct loop *loop;
    struct loop_timer deadline;
    ev_io watch;
    int fd;
    size_t left_bytes;
};

static void end_lingering(struct loop_guest *guest)
{
    struct lingerer *lingerer = (struct lingerer *)guest;

    loop_guest_leave(lingerer->loop, guest);
    loop_timer_stop(&lingerer->deadline);
    ev_io_stop(lingerer->loop->ev, &lingerer->watch);
    close(lingerer->fd);
    free(lingerer);
}

static void on_linger_deadline(void *owner)
{
    end_lingering(owner);
}

static void on_unwanted_bytes(struct ev_loop *ev, ev_io *watch, int events)
{
    struct lingerer *lingerer = watch->data;
    ssize_t count;

    (void)ev, (void)events;
    do // on TCP the kernel drops them without a copy
        count = recv(lingerer->fd, lingerer->loop->scratch, LOOP_SCRATCH_BYTES,
                     MSG_TRUNC | MSG_DONTWAIT);
    while (count < 0 && errno == EINTR);
    if (count < 0 && errno == EAGAIN)
        return;
    if (count <= 0 || (size_t)count >= lingerer->left_bytes)
        end_lingering(&lingerer->guest);
    else
        lingerer->left_bytes -= (size_t)count;
}

/* Takes the descriptor over. */
static void linger(struct loop *loop, int fd)
{
    struct lingerer *lingerer;

    shutdown(fd, SHUT_WR);
    if (loop->guest_count >= STREAM_LINGERERS) {
        close(fd);
        return;
    }
    lingerer = calloc(1, sizeof *lingerer);
    if (!lingerer)
        abort();
    lingerer->loop = loop;
    lingerer->fd = fd;
    lingerer->left_bytes = STREAM_LINGER_BYTES;
    loop_guest_enter(loop, &lingerer->guest, end_lingering);
    loop_timer_init(&lingerer->deadline, loop, on_linger_deadline, lingerer);
    loop_timer_set(&lingerer->deadline, STREAM_LINGER_MS);
    ev_io_init(&lingerer->watch, on_unwanted_bytes, fd, EV_READ);
    lingerer->watch.data = lingerer;
    ev_io_start(loop->ev, &lingerer->watch);
}

/* Closing with bytes unread makes the kernel send a reset and forget what it was to send
 * (RFC 1122 section 4.2.2.13). */
static bool has_unread(const struct stream *stream)
{
    int bytes = 0;

    return !stream->has_ended && ioctl(stream->fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

static void tcp_close(struct stream *stream, enum stream_ending ending)
{
    static const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

    ev_io_stop(stream->loop->ev, &stream->watch);
    if (ending == STREAM_BY_RESET)
        setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    if ((ending == STREAM_LINGERING && !stream->has_ended) ||
        (ending == STREAM_IN_ORDER && has_unread(stream)))
        linger(stream->loop, stream->fd);
    else
        close(stream->fd);
    stream->ops = NULL;
    stream->fd = -1;
    stream->wanted = 0;
}

static void tcp_move(struct stream *to, struct stream *from)
{
    int events = watched(from);

    /* Copied whole while it is stopped, and started in the same round: libev sees no change of
     * what the descriptor is watched for, and epoll hears nothing of it. */
    ev_io_stop(from->loop->ev, &from->watch);
    to->watch = from->watch;
    to->watch.data = to;
    if (events)
        ev_io_start(to->loop->ev, &to->watch);
}

static const struct stream_ops tcp_ops = {
    .read = tcp_read,
    .write = tcp_write,
    .want = tcp_want,
    .shutdown = tcp_shutdown,
    .close = tcp_close,
    .move = tcp_move,
    .splice_fd = tcp_splice_fd,
};

void stream_init_tcp(struct stream *stream, struct loop *loop, int fd,
                     const struct stream_events *events, void *owner)
{
    *stream = (struct stream){
        .ops = &tcp_ops, .loop = loop, .events = events, .owner = owner, .fd = fd
    };
    ev_io_init(&stream->watch, on_event, fd, 0);
    stream->watch.data = stream;
}

/* what all kinds of streams share */

void stream_hand_over(struct stream *to, struct stream *from, const struct stream_events *events,
                      void *owner)
{
    assert(stream_is_open(from) && !stream_is_open(to));
    *to = (struct stream){ .ops = from->ops,
                           .loop = from->loop,
                           .events = events,
                           .owner = owner,
                           .fd = from->fd,
                           .has_ended = from->has_ended,
                           .was_emptied = from->was_emptied,
                           .layer = from->layer };
    to->ops->move(to, from);
    from->ops = NULL;
    from->layer = NULL;
    from->fd = -1;
    from->wanted = 0;
}

void stream_close(struct stream *stream)
{
    if (stream->ops)
        stream->ops->close(stream, STREAM_IN_ORDER);
}

void stream_linger(struct stream *stream)
{
    if (stream->ops)
        stream->ops->close(stream, STREAM_LINGERING);
}

void stream_reset(struct stream *stream)
{
    if (stream->ops)
        stream->ops->close(stream, STREAM_BY_RESET);
}
