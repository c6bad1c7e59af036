/*
 * packets.h - one end of a line of packets between two processes, SOCK_SEQPACKET, on a loop.
 *
 * Packets go out in order; what the other end does not take yet is kept, up to a ceiling. An end
 * that only answers reads nothing while an answer of its own waits, so that who asks without
 * taking answers stops itself. Knows nothing of what the packets mean. Lives inside its owner.
 */
#ifndef DEJUNK_DAEMON_PACKETS_H
#define DEJUNK_DAEMON_PACKETS_H

#include "io/loop.h"

enum {
    PACKETS_KEPT_BYTES = 1024 * 1024, // that wait to be sent
    PACKETS_LONGEST_BYTES = 40 * 1024,
};

struct packets;

struct packets_events {
    /* May close the line. The bytes are good until it returns. */
    void (*on_packet)(void *owner, struct span packet);
    /* The other end is gone, or sent what is longer than agreed; the line is closed. */
    void (*on_end)(void *owner);
};

struct packets { // packets.c only, but for `fd`
    struct loop *loop;
    int fd; // -1: closed
    size_t longest_bytes;
    bool only_answers;
    const struct packets_events *events;
    void *owner;
    ev_io incoming, outgoing;
    struct buffer kept; // each behind its size
};

/* Takes the descriptor over. `events` is borrowed. */
void packets_open(struct packets *line, struct loop *loop, int fd, size_t longest_bytes,
                  bool only_answers, const struct packets_events *events, void *owner);
/* Harmless on one that is closed; needed before its memory goes away. Zeroed memory with fd -1 is a
 * closed line. */
void packets_close(struct packets *line);
static inline bool packets_is_open(const struct packets *line)
{
    return line->fd >= 0;
}
/* False when the line is closed or as much as it keeps waits already. */
bool packets_send(struct packets *line, struct span packet);

#endif
