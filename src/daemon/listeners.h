/*
 * listeners.h - the set of listening sockets: who opened them, who keeps them over a reload.
 *
 * A listener is one address as the config writes it and one socket that all workers share, or,
 * with reuse_port, one socket for each worker's place. Sets share listeners by reference: a reload
 * makes the new set from the old one, opening only what is new, and then frees either. Sockets
 * that systemd passed are taken as they are; they stay through every reload, and the config's own
 * addresses are not opened beside them. Only the master has sets. Knows nothing of who accepts.
 */
#ifndef DEJUNK_DAEMON_LISTENERS_H
#define DEJUNK_DAEMON_LISTENERS_H

#include "base/error.h"
#include "daemon/messages.h"
#include "state/config.h"

enum {
    LISTENERS_MOST = 64,  // addresses
    LISTENER_PLACES = 64, // workers with a socket of their own
};

struct listener {
    unsigned references; // listeners.c only
    char name[MESSAGE_NAME_BYTES];
    bool is_shared; // fds[0] is everybody's
    bool is_passed; // by systemd
    size_t places;
    int fds[LISTENER_PLACES]; // -1: not there
};

struct listeners {
    struct listener *items[LISTENERS_MOST];
    size_t count;
};

/* The set that `config` wants for `places` workers, with all it can use of `old` (which may be
 * empty, and is not changed). ERROR_ADDRESS for what cannot be bound, ERROR_CONFIG for text that
 * is no address, ERROR_LIMIT; *out is then untouched and `old` good as before. */
enum error_kind listeners_make(struct listeners *out, const struct listeners *old,
                               const struct config *config, size_t places, struct error *error);
/* Gives the references back; a listener in no set any more is closed. */
void listeners_done(struct listeners *set);

/* Closes the sockets of places from `places` on: the kernel would go on giving them connections
 * that nobody takes. */
void listeners_trim(struct listeners *set, size_t places);

/* Takes over an open socket: from systemd, or from a predecessor in pieces, place by place.
 * ERROR_LIMIT when the set is full; the descriptor is then still the caller's. */
enum error_kind listeners_adopt(struct listeners *set, const struct message_listener *about, int fd,
                                struct error *error);
/* The address that a socket is bound to, as the name of a passed one. */
void listener_name_of(int fd, char name[MESSAGE_NAME_BYTES]);

/* NULL when not in the set. */
struct listener *listeners_find(const struct listeners *set, const char *name);
/* The socket for the worker in that place. */
int listener_fd(const struct listener *listener, size_t place);

#endif
