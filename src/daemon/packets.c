#include "daemon/packets.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { AT_ONCE = 16 }; // before others get their turn

static void end(struct packets *line)
{
    packets_close(line);
    line->events->on_end(line->owner);
}

/* Of one that only answers: no more questions while an answer waits. */
static bool reads(const struct packets *line)
{
    return !line->only_answers || line->kept.size == 0;
}

/* 1: gone; 0: it waits; -1: the other end is. */
static int try_send(const struct packets *line, struct span packet)
{
    ssize_t sent;

    do
        sent = send(line->fd, packet.at, packet.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return 1;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 0 : -1;
}

static void on_writable(struct ev_loop *ev, ev_io *watcher, int revents)
{
    struct packets *line = watcher->data;

    (void)ev;
    (void)revents;
    while (line->kept.size > 0) {
        uint32_t size;
        int sent;

        memcpy(&size, line->kept.at, sizeof size);
        sent = try_send(line, span_of(line->kept.at + sizeof size, size));
        if (sent < 0) {
            end(line);
            return;
        }
        if (sent == 0)
            return;
        buffer_consume(&line->kept, sizeof size + size);
    }
    ev_io_stop(line->loop->ev, &line->outgoing);
    buffer_release(&line->kept);
    ev_io_start(line->loop->ev, &line->incoming);
}

bool packets_send(struct packets *line, struct span packet)
{
    uint32_t size = (uint32_t)packet.size;

    assert(packet.size > 0 && packet.size <= PACKETS_LONGEST_BYTES);
    if (line->fd < 0)
        return false;
    if (line->kept.size == 0) {
        int sent = try_send(line, packet);

        if (sent != 0)
            return sent > 0; // the end of the other one is seen by reading
    }
    if (!buffer_reserve(&line->kept, sizeof size + packet.size))
        return false;
    buffer_append(&line->kept, span_of((const char *)&size, sizeof size));
    buffer_append(&line->kept, packet);
    ev_io_start(line->loop->ev, &line->outgoing);
    if (!reads(line))
        ev_io_stop(line->loop->ev, &line->incoming);
    return true;
}

static void on_readable(struct ev_loop *ev, ev_io *watcher, int revents)
{
    struct packets *line = watcher->data;
    char packet[PACKETS_LONGEST_BYTES];

    (void)ev;
    (void)revents;
    for (int i = 0; i < AT_ONCE && line->fd >= 0 && reads(line); i++) {
        ssize_t got = recv(line->fd, packet, line->longest_bytes, MSG_DONTWAIT | MSG_TRUNC);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (got <= 0 || (size_t)got > line->longest_bytes) {
            end(line);
            return;
        }
        line->events->on_packet(line->owner, span_of(packet, (size_t)got));
    }
}

void packets_open(struct packets *line, struct loop *loop, int fd, size_t longest_bytes,
                  bool only_answers, const struct packets_events *events, void *owner)
{
    assert(longest_bytes <= PACKETS_LONGEST_BYTES);
    *line = (struct packets){ .loop = loop,
                              .fd = fd,
                              .longest_bytes = longest_bytes,
                              .only_answers = only_answers,
                              .events = events,
                              .owner = owner,
                              .kept = { .limit_bytes = PACKETS_KEPT_BYTES } };
    ev_io_init(&line->incoming, on_readable, fd, EV_READ);
    ev_io_init(&line->outgoing, on_writable, fd, EV_WRITE);
    line->incoming.data = line->outgoing.data = line;
    ev_io_start(loop->ev, &line->incoming);
}

void packets_close(struct packets *line)
{
    if (line->fd < 0)
        return;
    ev_io_stop(line->loop->ev, &line->incoming);
    ev_io_stop(line->loop->ev, &line->outgoing);
    close(line->fd);
    line->fd = -1;
    buffer_release(&line->kept);
}
