/*
 * notify.h - what the service manager is told (sd_notify(3)) and what it hands over
 * (sd_listen_fds(3)), by hand: a datagram to a unix socket, three environment variables.
 *
 * Without a manager everything here does nothing, well.
 */
#ifndef DEJUNK_DAEMON_NOTIFY_H
#define DEJUNK_DAEMON_NOTIFY_H

#include <sys/socket.h>
#include <sys/un.h>

#include "base/bytes.h"
#include "base/error.h"

struct notify {
    int fd; // -1: nobody listens; notify.c only, as are the next two
    struct sockaddr_un to;
    socklen_t to_size;
    uint64_t watchdog_ms; // the manager wants a sign of life this often; 0: it does not
};

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. ERROR_ADDRESS for a socket name that
 * cannot be; *notify then tells nobody. */
enum error_kind notify_open(struct notify *notify, struct error *error);
void notify_close(struct notify *notify);

/* Each is one datagram, never waits and never fails visibly: the manager may be gone. `status`
 * is one line, without a newline. */
void notify_ready(const struct notify *notify, const char *status);
void notify_reloading(const struct notify *notify);
void notify_stopping(const struct notify *notify);
void notify_status(const struct notify *notify, const char *status);
void notify_watchdog(const struct notify *notify);
/* Another process of ours is the service from now on. */
void notify_main_pid(const struct notify *notify, int pid);

enum { NOTIFY_SOCKETS = 64 };
/* The listening sockets that the manager passed to this process, made non-blocking and closed on
 * exec; forgets the variables (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES), so that no child sees
 * them. ERROR_CONFIG for one that is no listening internet stream socket or more than
 * NOTIFY_SOCKETS. */
enum error_kind notify_take_sockets(int *fds, size_t *count, struct error *error);

#endif
