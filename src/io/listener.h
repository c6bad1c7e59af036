/*
 * listener.h - listening sockets, and taking connections from them a few at a time.
 *
 * Knows nothing of what is spoken on a connection. The listening socket belongs to who opened it
 * (workers share one); the acceptor lives inside its owner and only watches it. At the limit of
 * descriptors it tells its owner, who may close something idle, and stops listening for a while
 * instead of spinning.
 */
#ifndef DEJUNK_IO_LISTENER_H
#define DEJUNK_IO_LISTENER_H

#include "io/address.h"
#include "io/loop.h"

enum { LISTENER_BACKLOG = 4096, ACCEPTOR_PER_WAKE_UP = 8, ACCEPTOR_PAUSE_MS = 100 };

/* A non-blocking listening TCP socket, close-on-exec, for IPv6 without IPv4. With `reuse_port`
 * several may listen at one address and the kernel spreads connections over them. ERROR_ADDRESS
 * when it cannot be bound. Port 0: the kernel chooses; listener_address() tells. */
enum error_kind listener_open(int *out, const struct address *at, bool reuse_port,
                              struct error *error);
enum error_kind listener_address(int fd, struct address *out, struct error *error);

struct acceptor_events {
    /* fd is connected, non-blocking, close-on-exec, and now belongs to the owner. The peer of a
     * unix socket has the family AF_UNIX and nothing else. */
    void (*on_accepted)(void *owner, int fd, const struct address *peer);
    /* There is no descriptor or memory for another connection; accepting has paused. Closing
     * something and acceptor_resume() make it go on. May be NULL. */
    void (*on_exhausted)(void *owner);
};

struct acceptor { // listener.c only, all of it
    struct loop *loop;
    const struct acceptor_events *events;
    void *owner;
    ev_io watch;
    struct loop_timer pause;
    unsigned per_wake_up, batch, last_round;
    bool is_started;
};

/* Accepts at most `per_wake_up` (0: ACCEPTOR_PER_WAKE_UP) connections before other events have
 * their turn. Sets TCP_NODELAY on the listening socket, which the connections inherit. */
void acceptor_start(struct acceptor *acceptor, struct loop *loop, int fd,
                    const struct acceptor_events *events, void *owner, unsigned per_wake_up);
/* Goes on before the pause is over. Harmless when it is not pausing. */
void acceptor_resume(struct acceptor *acceptor);
/* Accepts all that wait in line, as far as descriptors reach: before a socket is closed whose line
 * nobody else has. At most LISTENER_BACKLOG. */
void acceptor_empty(struct acceptor *acceptor);
/* Also from inside its events. Harmless on a zeroed or stopped acceptor. */
void acceptor_stop(struct acceptor *acceptor);

#endif
