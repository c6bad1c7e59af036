/*
 * pipes.h - pipes to carry bytes from socket to socket inside the kernel, borrowed from a pool.
 *
 * One pool for each loop. A pipe is borrowed only while bytes are in it, so few serve many
 * relays. That none can be had is normal (descriptors, the user's pipe memory): the caller then
 * copies. Knows nothing of what the bytes are.
 */
#ifndef DEJUNK_IO_PIPES_H
#define DEJUNK_IO_PIPES_H

#include "io/stream.h"

enum {
    PIPES_KEPT = 16,                // idle ones in a pool
    PIPES_SIZE_BYTES = 1024 * 1024, // asked for
    PIPES_MIN_BYTES = 64 * 1024,    // a smaller one is slower than copying
    PIPES_REST = 64,                // when none was to be had, so many are refused without trying
};

struct pipe_pair {
    int read_fd, write_fd; // non-blocking
    size_t size_bytes;     // what fits in whole pages; small segments fill it earlier
    size_t held_bytes;     // what is in it
};

struct pipe_pool { // pipes.c only, all of it
    struct pipe_pair kept[PIPES_KEPT];
    size_t count;
    size_t size_bytes; // asked for; smaller after the kernel said no
    unsigned rest;
};

/* Also makes the process ignore SIGPIPE, which splice(2) to a closed socket would raise. */
void pipes_init(struct pipe_pool *pool);
void pipes_done(struct pipe_pool *pool);

/* An empty pipe, or false. */
bool pipes_borrow(struct pipe_pool *pool, struct pipe_pair *out);
/* One with bytes in it is closed and the bytes are gone. Leaves descriptors of -1. */
void pipes_give_back(struct pipe_pool *pool, struct pipe_pair *pair);

/* At most `limit_bytes` (1 or more) from the stream into the pipe. STREAM_WAIT: the stream has
 * nothing, or, when bytes are held, perhaps the pipe is full: take them out before you wait.
 * Needs stream_splice_fd(stream) >= 0, as does the next. */
enum stream_outcome stream_splice_in(struct stream *stream, struct pipe_pair *pair,
                                     size_t limit_bytes, size_t *got);
/* What is held (not nothing) out to the stream, as much as it takes. */
enum stream_outcome stream_splice_out(struct stream *stream, struct pipe_pair *pair, size_t *put);

#endif
