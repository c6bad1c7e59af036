#include "io/backlog.h"

#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72 // Linux 5.15
#endif

/* The kernel lets nothing grow that was set. */
static bool set(int fd)
{
    int half = BACKLOG_BYTES / 2; // the kernel doubles it

    return setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &half, sizeof half) == 0;
}

/* A system may allow far less than that when it is asked for a size (net.core.rmem_max), and what
 * was set so small would not grow again. There the kernel's own limit has to do. */
static bool can_set(void)
{
    static enum { UNKNOWN, YES, NO } answer; // of the system, not of anything of ours
    int fd, bytes = 0;
    socklen_t size = sizeof bytes;

    if (answer != UNKNOWN)
        return answer == YES;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false; // out of descriptors: not now
    answer = set(fd) && getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &size) == 0 &&
                     bytes >= BACKLOG_BYTES
                 ? YES
                 : NO;
    close(fd);
    return answer == YES;
}

void backlog_stop(struct backlog *backlog, int fd, uint64_t now_ms)
{
    backlog->stopped_ms = now_ms;
    if (!backlog->is_set)
        backlog->is_set = can_set() && set(fd);
}

void backlog_let_grow(struct backlog *backlog, int fd)
{
    int nothing = 0;

    backlog->is_set = false;
    (void)setsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &nothing, sizeof nothing);
}
