/*
 * backlog.h - how much the kernel takes in of a stream while nobody reads it.
 *
 * The kernel lets a receive buffer grow with the speed at which it is read, as far as the system
 * allows (net.ipv4.tcp_rmem, often many megabytes), and still when reading has stopped, for all
 * that the window had promised: 1.6 MB were seen to become 15. So when reading stops, because who
 * the bytes are for is slow, the buffer is set to BACKLOG_BYTES; it may grow again once reading has
 * not had to stop for a while. A download whose two ends are about as fast stops and goes on all
 * the time and pays no system call for it. (To lock a small buffer as it is would cost such a
 * download a third more time.) Lives inside the stream's owner, zeroed at first; needs no end.
 */
#ifndef DEJUNK_IO_BACKLOG_H
#define DEJUNK_IO_BACKLOG_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BACKLOG_BYTES = 4 * 1024 * 1024, // as the kernel counts, with what it needs around them
    BACKLOG_CALM_MS = 1000,
};

struct backlog { // backlog.c only
    uint64_t stopped_ms;
    bool is_set;
};

/* Reading stops now. */
void backlog_stop(struct backlog *backlog, int fd, uint64_t now_ms);

void backlog_let_grow(struct backlog *backlog, int fd);
/* Reading goes on; may be called as often as it does. */
static inline void backlog_go_on(struct backlog *backlog, int fd, uint64_t now_ms)
{
    if (backlog->is_set && now_ms - backlog->stopped_ms >= BACKLOG_CALM_MS)
        backlog_let_grow(backlog, fd);
}

#endif
