#include "io/pipes.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static void close_pair(struct pipe_pair *pair)
{
    close(pair->read_fd);
    close(pair->write_fd);
    pair->read_fd = pair->write_fd = -1;
    pair->held_bytes = 0;
}

void pipes_init(struct pipe_pool *pool)
{
    *pool = (struct pipe_pool){ .size_bytes = PIPES_SIZE_BYTES };
    signal(SIGPIPE, SIG_IGN);
}

void pipes_done(struct pipe_pool *pool)
{
    while (pool->count > 0)
        close_pair(&pool->kept[--pool->count]);
}

/* The pipe's size, as near to what is wanted as the kernel allows. */
static int set_size(struct pipe_pool *pool, int fd)
{
    int size = fcntl(fd, F_SETPIPE_SZ, (int)pool->size_bytes);

    if (size > 0)
        return size;
    /* The user's share of pipe memory is used up, or the system's maximum is lower. */
    pool->size_bytes = PIPES_MIN_BYTES;
    size = fcntl(fd, F_GETPIPE_SZ);
    return size >= PIPES_MIN_BYTES ? size : fcntl(fd, F_SETPIPE_SZ, PIPES_MIN_BYTES);
}

static bool make_pair(struct pipe_pool *pool, struct pipe_pair *out)
{
    struct pipe_pair pair = { 0 };
    int fds[2], size;

    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    pair.read_fd = fds[0];
    pair.write_fd = fds[1];
    size = set_size(pool, fds[1]);
    if (size < PIPES_MIN_BYTES) {
        close_pair(&pair);
        return false;
    }
    pair.size_bytes = (size_t)size;
    *out = pair;
    return true;
}

bool pipes_borrow(struct pipe_pool *pool, struct pipe_pair *out)
{
    if (pool->count > 0) {
        *out = pool->kept[--pool->count];
        return true;
    }
    if (pool->rest > 0) {
        pool->rest--;
        return false;
    }
    if (make_pair(pool, out))
        return true;
    pool->rest = PIPES_REST;
    return false;
}

void pipes_give_back(struct pipe_pool *pool, struct pipe_pair *pair)
{
    if (pair->held_bytes > 0 || pool->count == PIPES_KEPT) {
        close_pair(pair);
        return;
    }
    pool->kept[pool->count++] = *pair;
    pair->read_fd = pair->write_fd = -1;
}

enum stream_outcome stream_splice_in(struct stream *stream, struct pipe_pair *pair,
                                     size_t limit_bytes, size_t *got)
{
    ssize_t count;

    assert(limit_bytes > 0);
    do
        count = splice(stream_splice_fd(stream), NULL, pair->write_fd, NULL, limit_bytes,
                       SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (count < 0 && errno == EINTR);
    if (count < 0) {
        stream->was_emptied = pair->held_bytes == 0;
        if (errno == EAGAIN)
            return STREAM_WAIT;
        stream->has_ended = true;
        return STREAM_LOST;
    }
    if (count == 0) {
        stream->has_ended = true;
        return STREAM_END;
    }
    stream->was_emptied = false;
    pair->held_bytes += (size_t)count;
    *got = (size_t)count;
    return STREAM_OK;
}

enum stream_outcome stream_splice_out(struct stream *stream, struct pipe_pair *pair, size_t *put)
{
    ssize_t count;

    assert(pair->held_bytes > 0);
    do
        count = splice(pair->read_fd, NULL, stream_splice_fd(stream), NULL, pair->held_bytes,
                       SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (count < 0 && errno == EINTR);
    if (count < 0 && errno == EAGAIN)
        return STREAM_WAIT;
    if (count <= 0) {
        stream->has_ended = true;
        return STREAM_LOST;
    }
    pair->held_bytes -= (size_t)count;
    *put = (size_t)count;
    return STREAM_OK;
}
