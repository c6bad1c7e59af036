#include "io/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

static void switch_on(int fd, int level, int option)
{
    static const int on = 1;

    setsockopt(fd, level, option, &on, sizeof on);
}

enum error_kind listener_open(int *out, const struct address *at, bool reuse_port,
                              struct error *error)
{
    char text[ADDRESS_TEXT_BYTES];
    enum error_kind kind;
    int fd = socket(at->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    address_text_with_port(at, text);
    if (fd < 0)
        return error_errno(error, ERROR_SYSTEM, "no socket for %s", text);
    switch_on(fd, SOL_SOCKET, SO_REUSEADDR);
    if (reuse_port)
        switch_on(fd, SOL_SOCKET, SO_REUSEPORT);
    if (at->any.sa_family == AF_INET6)
        switch_on(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    if (bind(fd, &at->any, address_size(at)) < 0) {
        kind = error_errno(error, ERROR_ADDRESS, "cannot bind %s", text);
        goto fail;
    }
    if (listen(fd, LISTENER_BACKLOG) < 0) {
        kind = error_errno(error, ERROR_ADDRESS, "cannot listen at %s", text);
        goto fail;
    }
    *out = fd;
    return ERROR_NONE;
fail:
    close(fd);
    return kind;
}

enum error_kind listener_address(int fd, struct address *out, struct error *error)
{
    struct address address = { 0 };
    socklen_t size = sizeof address;

    if (getsockname(fd, &address.any, &size) < 0)
        return error_errno(error, ERROR_SYSTEM, "a listening socket without address");
    *out = address;
    return ERROR_NONE;
}

static void pause_accepting(struct acceptor *acceptor)
{
    ev_io_stop(acceptor->loop->ev, &acceptor->watch);
    loop_timer_set(&acceptor->pause, ACCEPTOR_PAUSE_MS);
    if (acceptor->events->on_exhausted)
        acceptor->events->on_exhausted(acceptor->owner);
}

/* How many to try for: one, and twice as many each time that the socket is ready in round after
 * round. A lone connection so costs no second accept4() that finds nothing. */
static unsigned next_batch(struct acceptor *acceptor)
{
    unsigned round = ev_iteration(acceptor->loop->ev);
    bool keeps_coming = round == acceptor->last_round + 1;

    acceptor->last_round = round;
    acceptor->batch = keeps_coming ? acceptor->batch * 2 : 1;
    if (acceptor->batch > acceptor->per_wake_up)
        acceptor->batch = acceptor->per_wake_up;
    return acceptor->batch;
}

static void on_connections(struct ev_loop *ev, ev_io *watch, int happened)
{
    struct acceptor *acceptor = watch->data;

    (void)ev, (void)happened;
    for (unsigned left = next_batch(acceptor); left > 0 && acceptor->is_started; left--) {
        struct address peer = { 0 };
        socklen_t size = sizeof peer;
        int fd = accept4(watch->fd, &peer.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            acceptor->events->on_accepted(acceptor->owner, fd, &peer);
            continue;
        }
        switch (errno) {
        case EAGAIN: // somebody else took it
            acceptor->batch = 1;
            return;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            pause_accepting(acceptor);
            return;
        case EBADF:
        case EINVAL:
        case ENOTSOCK: // no longer a listening socket
            ev_io_stop(acceptor->loop->ev, &acceptor->watch);
            return;
        default: // the connection died in line (accept(2)); the next may be well
            break;
        }
    }
}

static void on_pause_over(void *owner)
{
    acceptor_resume(owner);
}

void acceptor_start(struct acceptor *acceptor, struct loop *loop, int fd,
                    const struct acceptor_events *events, void *owner, unsigned per_wake_up)
{
    *acceptor = (struct acceptor){
        .loop = loop,
        .events = events,
        .owner = owner,
        .is_started = true,
        .batch = 1,
        .per_wake_up = per_wake_up ? per_wake_up : ACCEPTOR_PER_WAKE_UP,
    };
    switch_on(fd, IPPROTO_TCP, TCP_NODELAY); // fails on a unix socket, which needs none
    loop_timer_init(&acceptor->pause, loop, on_pause_over, acceptor);
    ev_io_init(&acceptor->watch, on_connections, fd, EV_READ);
    acceptor->watch.data = acceptor;
    ev_io_start(loop->ev, &acceptor->watch);
}

void acceptor_resume(struct acceptor *acceptor)
{
    if (!acceptor->is_started)
        return;
    loop_timer_stop(&acceptor->pause);
    ev_io_start(acceptor->loop->ev, &acceptor->watch);
}

void acceptor_empty(struct acceptor *acceptor)
{
    for (unsigned left = LISTENER_BACKLOG; left > 0 && acceptor->is_started; left--) {
        struct address peer = { 0 };
        socklen_t size = sizeof peer;
        int fd = accept4(acceptor->watch.fd, &peer.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0)
            acceptor->events->on_accepted(acceptor->owner, fd, &peer);
        else if (errno != ECONNABORTED && errno != EINTR)
            return;
    }
}

void acceptor_stop(struct acceptor *acceptor)
{
    if (!acceptor->is_started)
        return;
    acceptor->is_started = false;
    loop_timer_stop(&acceptor->pause);
    ev_io_stop(acceptor->loop->ev, &acceptor->watch);
}
