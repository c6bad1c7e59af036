/*
 * body.h - bytes that go from one stream to another as they are: spliced, or copied.
 *
 * A flow moves bytes through a pipe in the kernel where both ends allow it; the pipe is borrowed
 * only while bytes are in it. Knows nothing of messages; the caller counts and frames.
 */
#ifndef DEJUNK_PROXY_BODY_H
#define DEJUNK_PROXY_BODY_H

#include "proxy/context.h"

enum {
    SPLICE_FROM_BYTES = 64 * 1024,     // shorter bodies are copied
    FLOW_TURN_BYTES = 4 * 1024 * 1024, // then others have their turn
};

enum flow_outcome {
    FLOW_DRY,       // the source has nothing now
    FLOW_BLOCKED,   // the sink takes nothing now; bytes may be in the pipe
    FLOW_TURN_OVER, // there may be more at once
    FLOW_LIMIT,     // `limit` bytes were taken and all of them are written
    FLOW_ENDED,     // the source has finished sending, and all is written
    FLOW_FROM_LOST, // the source broke off
    FLOW_TO_LOST,   // the sink broke off
    FLOW_NO_PIPE,   // cannot splice now: copy
};

struct flow {
    struct pipe_pair pipe; // borrowed while bytes are in it
    size_t in_pipe;        // pipe.held_bytes, 0 without a pipe
    bool has_pipe;
    bool has_ended; // the source finished; FLOW_ENDED comes when the pipe is empty
};

/* Can bytes be spliced between these two? */
static inline bool flow_can_splice(const struct stream *from, const struct stream *to)
{
    return stream_splice_fd(from) >= 0 && stream_splice_fd(to) >= 0;
}

/* Moves up to `limit` more bytes out of `from` (0: only what is in the pipe). *taken is how many
 * left the source, *put how many the sink took. */
enum flow_outcome flow_splice(struct proxy *proxy, struct flow *flow, struct stream *from,
                              struct stream *to, uint64_t limit, uint64_t *taken, uint64_t *put);

/* Gives the pipe back, whatever is in it. */
void flow_done(struct proxy *proxy, struct flow *flow);

#endif
