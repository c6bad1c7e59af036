/*
 * stream.h - a byte stream to a peer, plain TCP or TLS: readiness in, bytes by call.
 *
 * Knows nothing of HTTP. A stream lives inside its owner. It tells when reading or writing may
 * get further (level-triggered, only what stream_want() asked for) and the owner reads into the
 * loop's scratch or writes; so idle connections hold no buffer. What kind of stream it is shows
 * only in `ops`; stream_tcp.c and stream_tls.c each bring theirs.
 *
 * In an event the owner may close the stream, hand it over or open another in its place; its
 * memory must last until the callbacks of the round are over (loop_bury).
 */
#ifndef DEJUNK_IO_STREAM_H
#define DEJUNK_IO_STREAM_H

#include <sys/uio.h>

#include "io/loop.h"

enum stream_outcome {
    STREAM_OK,   // at least one byte moved
    STREAM_WAIT, // nothing now; the event comes when wanted
    STREAM_END,  // reading: the peer has finished sending, in order
    STREAM_LOST, // reset, aborted or broken; errno says how
};

enum { STREAM_READ = EV_READ, STREAM_WRITE = EV_WRITE };

/* How long, for how many bytes and how many streams at once stream_linger() goes on. */
enum { STREAM_LINGER_MS = 2000, STREAM_LINGER_BYTES = 4 * 1024 * 1024, STREAM_LINGERERS = 1000 };

struct stream;

struct stream_events {
    void (*on_readable)(void *owner);
    void (*on_writable)(void *owner);
};

enum stream_ending { STREAM_IN_ORDER, STREAM_LINGERING, STREAM_BY_RESET };

struct stream_ops {
    enum stream_outcome (*read)(struct stream *stream, char *at, size_t size, size_t *got);
    enum stream_outcome (*write)(struct stream *stream, const struct iovec *parts, int count,
                                 size_t *put);
    void (*want)(struct stream *stream, int events);
    void (*shutdown)(struct stream *stream);
    void (*close)(struct stream *stream, enum stream_ending ending);
    void (*move)(struct stream *to, struct stream *from); // ops to fd are already copied
    int (*splice_fd)(const struct stream *stream);        // NULL: bytes cannot be spliced
};

struct stream {
    const struct stream_ops *ops; // NULL: closed
    struct loop *loop;
    const struct stream_events *events;
    void *owner;
    int fd;
    int wanted;       // stream_*.c and pipes.c only, from here
    bool has_ended;   // the peer has finished sending, or it is lost
    bool was_emptied; // the last read took all there was
    ev_io watch;
    void *layer; // stream_tls.c: its session
};

/* Takes over a non-blocking connected stream socket. Nothing is wanted yet. TCP_NODELAY is the
 * business of who made the socket (the acceptor and the connector set it). stream_tcp.c. */
void stream_init_tcp(struct stream *stream, struct loop *loop, int fd,
                     const struct stream_events *events, void *owner);
/* Hands an open stream to a new owner, who wants nothing of it yet; `from` is closed after and
 * the old owner gets no more events. `to` is closed or zeroed before. */
void stream_hand_over(struct stream *to, struct stream *from, const struct stream_events *events,
                      void *owner);

static inline bool stream_is_open(const struct stream *stream)
{
    return stream->ops != NULL;
}

/* The set of STREAM_READ | STREAM_WRITE that the owner wants to hear of from now on. */
static inline void stream_want(struct stream *stream, int events)
{
    if (stream->wanted != events)
        stream->ops->want(stream, events);
}

/* At most `size` (1 or more) bytes. */
static inline enum stream_outcome stream_read(struct stream *stream, char *at, size_t size,
                                              size_t *got)
{
    return stream->ops->read(stream, at, size, got);
}

/* May put less than asked (STREAM_OK with *put smaller). 1 to IOV_MAX parts, not all empty. */
static inline enum stream_outcome stream_write(struct stream *stream, const struct iovec *parts,
                                               int count, size_t *put)
{
    return stream->ops->write(stream, parts, count, put);
}

/* The descriptor for splice(2), or -1 where bytes must pass through us. */
static inline int stream_splice_fd(const struct stream *stream)
{
    return stream->ops->splice_fd ? stream->ops->splice_fd(stream) : -1;
}

/* No more bytes from us (FIN, close_notify); reading goes on. */
static inline void stream_shutdown(struct stream *stream)
{
    stream->ops->shutdown(stream);
}

/* Ends it in order: what the kernel has taken still goes to the peer. When the peer has sent what
 * nobody read, it ends as by stream_linger(). Harmless when closed, as are the next two. */
void stream_close(struct stream *stream);
/* For a peer that may still be sending (an answer given before all of the request was read): ends
 * our half, and what still comes is dropped for a while on the loop, because the reset that a
 * plain close would send may overtake the answer. */
void stream_linger(struct stream *stream);
/* Ends it with a reset, so that the peer knows that what it got is short. */
void stream_reset(struct stream *stream);

#endif
